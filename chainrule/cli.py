"""The command line: ``chainrule demo``, ``draw``, ``check`` and ``bench``.

Each subcommand imports what it needs when it runs.  Exit status 0 is success, 1 a failure on the
way, 2 a request that cannot be understood or carried out, told in one line, and 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import chainrule.demos as demos

from . import __version__, backend
from .characters import plain


class _RequestError(Exception):
    """A request that cannot be carried out as it stands: exit status 2."""


class _FailureError(Exception):
    """Something that went wrong on the way, for no fault of the request: exit status 1."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv* (by default the process's own) and return its exit status.

    >>> main(["draw", "w*x + b", "--at", "w=2,x=3,b=1"])
    w*x + b = 7.0
    d/dw = 3.0
    d/dx = 2.0
    d/db = 1.0
    0
    """
    with contextlib.ExitStack() as stack:
        # A stream that was closed before Python started is None.
        if sys.stdout is None:
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        if sys.stderr is None:
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        return _carried_out(argv)


def _carried_out(argv: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a ? where a terminal has no Greek
    try:
        given = sys.argv[1:] if argv is None else list(argv)
        arguments = _parser(given).parse_args(_with_minus(given))
        status = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        return _fail(str(interrupt) or "interrupted", 130)
    except BrokenPipeError:
        # What is still buffered must not be tried again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(f"{error.filename or 'error'}: {error.strerror or error}", 2)
    except _RequestError as error:
        return _fail(str(error), 2)
    except _FailureError as error:
        return _fail(str(error), 1)
    return status or 0


def _fail(message: str, status: int) -> int:
    print(f"chainrule: {plain(message, kept='')}", file=sys.stderr)
    return status


def _with_minus(given: Sequence[str]) -> list[str]:
    """Let the expression of ``draw`` begin with a minus sign, which argparse takes for an option.

    After a space it does not; the options that begin with the same letter keep their meaning.
    """
    if given[:1] != ["draw"]:
        return list(given)
    option = re.compile(r"-(-.*|[oh].*|$)")
    return [f" {text}" if text[:1] == "-" and not option.match(text) else text for text in given]


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and name the command they belong to."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, rest = super().parse_known_args(args, namespace)
        if rest and " " in self.prog:  # a command, not the whole
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="chainrule",
        description="Scalar reverse-mode automatic differentiation that shows its work.",
    )
    parser.add_argument(
        "--version", action="version", version=f"chainrule {__version__}, {backend} backend"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    demo = commands.add_parser(
        "demo",
        help="run a demo",
        description="Run a demo: by default digits, which trains a network on real handwriting.",
        epilog="An option that is not given has the demo's own default.",
    )
    demo.add_argument("name", nargs="?", metavar="NAME", help="one of: " + ", ".join(demos.NAMES))
    demo.add_argument("--list", action="store_true", help="say what each demo shows, and stop")
    demo.add_argument("--out", type=Path, metavar="DIR", help="the directory for what is written")
    demo.add_argument("--epochs", type=_from(1), metavar="N", help="passes over the training data")
    demo.add_argument("--seed", type=_from(0), metavar="N", help="of everything random")
    demo.add_argument("--quiet", action="store_true", default=None, help="results, no progress")
    demo.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to FILE too")
    demo.set_defaults(run=_demo)

    draw = commands.add_parser(
        "draw",
        help="draw an expression as a graph, with its gradients",
        description="Evaluate an expression, print its gradients, and draw its graph.",
    )
    draw.add_argument("expression", metavar="EXPRESSION", help='such as "tanh(w*x + b)"')
    draw.add_argument(
        "--at", action="append", default=[], metavar="NAME=NUMBER,...", help="what the names are"
    )
    draw.add_argument(
        "-o", "--output", metavar="FILE", help="write the drawing there (- for standard output)"
    )
    draw.set_defaults(run=_draw)

    check = commands.add_parser(
        "check",
        help="say what is wrong with a hand-written backpropagation",
        description="Call a function in a process of its own, on a network that shows every "
        "mistake, and name the mistake in the gradient it returns. Exit status 1 if there is one.",
    )
    check.set_defaults(run=_check)

    bench = commands.add_parser(
        "bench",
        help="measure what an operation costs, beside plain floats and other libraries",
        description="Print nanoseconds per scalar operation for plain floats, chainrule and those "
        "of micrograd, xad and torch that are installed, in one process, taking turns.",
    )
    bench.add_argument(
        "--rounds", type=_from(1), metavar="N", default=5, help="turns that each takes"
    )
    bench.add_argument("--quick", action="store_true", help="small sizes only, as a smoke test")
    bench.set_defaults(run=_bench)
    if given[:1] == ["check"]:
        # The choices are those of the checker, which the other commands need not import.
        from .checking import command

        command.add_arguments(check)
    return parser


def _from(least: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return whole_number


# --- check ---------------------------------------------------------------------------------------


def _check(arguments: argparse.Namespace) -> int:
    from .checking import command

    try:
        return command.run(arguments)
    except (TypeError, ValueError) as error:
        raise _RequestError(str(error)) from error


# --- demo ----------------------------------------------------------------------------------------


def _demo(arguments: argparse.Namespace) -> None:
    if arguments.list:
        for name in demos.NAMES:
            print(f"{name:12}{(_module(name).__doc__ or '').partition(chr(10))[0]}")
        return
    name = arguments.name or demos.NAMES[0]
    if name not in demos.NAMES:
        raise _RequestError(f"no demo is named {name!r}; there are {', '.join(demos.NAMES)}")
    demo: Callable[..., None] = _module(name).main
    given = {
        option: value
        for option in ("out", "epochs", "seed", "quiet", "markdown")
        if (value := getattr(arguments, option)) is not None
    }
    for option in given.keys() - inspect.signature(demo).parameters:
        raise _RequestError(f"the demo {name} has no option --{option}")
    if arguments.markdown is not None:
        with arguments.markdown.open("a"):
            pass  # a file that cannot be written is better known before the work than after it
    try:
        demo(**given)
    except ModuleNotFoundError as error:  # what only this demo needs
        raise _RequestError(str(error)) from None


def _module(name: str) -> Any:
    return importlib.import_module(f"{demos.__name__}.{name}")


def _bench(arguments: argparse.Namespace) -> None:
    from .bench import main

    main(arguments.rounds, arguments.quick)


# --- draw ----------------------------------------------------------------------------------------


def _draw(arguments: argparse.Namespace) -> None:
    from .engine.backend import Value
    from .expressions import ExpressionError, evaluate

    text = arguments.expression.strip()
    leaves = {name: Value(number, name) for name, number in _values(arguments.at).items()}
    try:
        root = evaluate(text, leaves)
    except ExpressionError as error:
        raise _RequestError(str(error)) from None
    if not isinstance(root, Value):
        raise _RequestError(f"{text} = {root} has no names, so no derivatives")
    root.backward()
    if arguments.output is not None:
        _save(root, arguments.output, text)

    # Where the drawing is on standard output it stands there alone, to be piped on.
    report = sys.stderr if arguments.output == "-" else sys.stdout
    print(f"{text} = {root.data}", file=report)
    for name, leaf in leaves.items():
        print(f"d/d{name} = {leaf.grad}", file=report)
    if arguments.output not in (None, "-"):
        print(f"drawn in {arguments.output}")


def _save(root: Any, output: str, title: str) -> None:
    from . import viz

    try:
        drawing = viz.draw(root, title=title)
        if output == "-":
            sys.stdout.buffer.write(drawing.svg.encode())
        else:
            drawing.save(output)
    except OSError as error:  # a full disk does not say which file
        raise OSError(error.errno, error.strerror, output) from error
    except ValueError as error:  # too large, or a suffix that is none
        says = str(error).removeprefix(f"Drawing.save({output!r}): ")
        raise _RequestError(f"-o {output}: {says}") from None
    except viz.GraphvizError as error:
        raise _FailureError(str(error)) from None


def _values(given: Sequence[str]) -> dict[str, float]:
    """Return the numbers in ``--at w=-3,x=2``, which may be given more than once."""
    values: dict[str, float] = {}
    for item in ",".join(given).split(",") if given else ():
        name, equals, number = (part.strip() for part in item.partition("="))
        if not (name.isidentifier() and equals):
            raise _RequestError(f"--at {item!r}: expected NAME=NUMBER, such as x=2")
        if name in values:
            raise _RequestError(f"--at gives {name!r} twice")
        try:
            values[name] = float(number)
        except ValueError:
            raise _RequestError(f"--at {item!r}: {number!r} is not a number") from None
    return values
