"""The command line: ``chainrule demo``, ``draw``, ``explore``, ``check``, ``grade``, ``bench``.

Each command is a file, and imports what it needs when it runs.  Exit status 0 means success, 1 a
failure while running, 2 a request that cannot be understood or carried out, with one line that says
why, and 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__, backend
from ..characters import plain
from . import bench, check, demo, draw, explore, grade
from .requests import FailureError, RequestError

_COMMANDS = {
    "demo": demo,
    "draw": draw,
    "explore": explore,
    "check": check,
    "grade": grade,
    "bench": bench,
}


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
        if given[:1] in (["draw"], ["explore"]):
            given = draw.with_minus(given)
        arguments = _parser(given).parse_args(given)
        status = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        return _fail(str(interrupt) or "interrupted", 130)
    except BrokenPipeError:
        # Buffered output must not be written again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(f"{error.filename or 'error'}: {error.strerror or error}", 2)
    except RequestError as error:
        return _fail(str(error), 2)
    except FailureError as error:
        return _fail(str(error), 1)
    return status or 0


def _fail(message: str, status: int) -> int:
    print(f"chainrule: {plain(message, kept='')}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and name the command they belong to."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, rest = super().parse_known_args(args, namespace)
        if rest and " " in self.prog:  # a subcommand, not the main parser
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
    for name, command in _COMMANDS.items():
        one = commands.add_parser(
            name,
            help=command.SUMMARY,
            description=command.DESCRIPTION,
            epilog=getattr(command, "EPILOG", None),
        )
        one.set_defaults(run=command.run)
        if given[:1] == [name]:  # what the options of a command may be, the others need not import
            command.add_arguments(one)
    return parser
