"""``chainrule draw``: an expression's value and gradients, and its graph as a drawing."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any

from .requests import FailureError, RequestError

SUMMARY = "draw an expression as a graph, with its gradients"
DESCRIPTION = "Evaluate an expression, print its gradients, and draw its graph."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``chainrule draw``."""
    add_expression(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the drawing there: .svg, .png, .pdf or .dot (- for an SVG on standard output)",
    )
    parser.add_argument(
        "--direction", choices=("right", "down"), default="right", help="where the graph flows"
    )
    parser.add_argument(
        "--theme",
        choices=("light", "dark", "auto"),
        default="light",
        help="the colours of the drawing; auto follows the system of whoever looks at it",
    )


def add_expression(parser: argparse.ArgumentParser) -> None:
    """Add an expression and the values of its names."""
    parser.add_argument("expression", metavar="EXPRESSION", help='such as "tanh(w*x + b)"')
    parser.add_argument(
        "--at",
        action="append",
        default=[],
        metavar="NAME=NUMBER,...",
        help="the values of the names",
    )


def with_minus(given: Sequence[str]) -> list[str]:
    """Let the expression begin with a minus sign, which argparse takes for an option.

    After a space it does not; the options that begin with the same letter keep their meaning.
    """
    option = re.compile(r"-(-.*|[oh].*|$)")
    return [f" {text}" if text[:1] == "-" and not option.match(text) else text for text in given]


def evaluated(arguments: argparse.Namespace) -> tuple[str, Any, dict[str, Any]]:
    """Return the text of the expression, its root and its leaves by name."""
    from ..engine.backend import Value
    from .expressions import ExpressionError, evaluate

    text = arguments.expression.strip()
    leaves = {name: Value(number, name) for name, number in _values(arguments.at).items()}
    try:
        root = evaluate(text, leaves)
    except ExpressionError as error:
        raise RequestError(str(error)) from None
    if not isinstance(root, Value):
        raise RequestError(f"{text} = {root} has no names, so it has no derivatives")
    return text, root, leaves


def run(arguments: argparse.Namespace) -> None:
    """Evaluate and draw the expression."""
    from .expressions import constants

    text, root, leaves = evaluated(arguments)
    root.backward()
    if arguments.output is not None:
        _save(root, text, arguments)

    # If the drawing goes to standard output, nothing else does, so that it can be piped.
    report = sys.stderr if arguments.output == "-" else sys.stdout
    print(f"{text} = {root.data}", file=report)
    for name, number in constants(text, leaves).items():
        print(f"with {name} = {number}", file=report)
    for name, leaf in leaves.items():
        print(f"d/d{name} = {leaf.grad}", file=report)
    if arguments.output not in (None, "-"):
        print(f"drawn in {arguments.output}")
    if arguments.output is None:
        print("nothing is drawn: -o graph.svg draws it, or .png, .pdf, .dot", file=sys.stderr)


def _save(root: Any, title: str, arguments: argparse.Namespace) -> None:
    from .. import viz

    output: str = arguments.output
    try:
        drawing = viz.draw(root, title=title, theme=arguments.theme, direction=arguments.direction)
        if output == "-":
            sys.stdout.buffer.write(drawing.svg.encode())
        else:
            drawing.save(output)
    except OSError as error:  # a full disk does not say which file
        raise OSError(error.errno, error.strerror, output) from error
    except ValueError as error:  # too large, or an unknown suffix
        says = str(error).removeprefix(f"Drawing.save({output!r}): ")
        raise RequestError(f"-o {output}: {says}") from None
    except (ImportError, RuntimeError) as error:  # what a format needs is not there
        raise FailureError(str(error).removeprefix("Drawing.save: ")) from None


def _values(given: Sequence[str]) -> dict[str, float]:
    """Return the numbers in ``--at w=-3,x=2``, which may be given more than once."""
    from .expressions import in_python, spelled

    values: dict[str, float] = {}
    last = ""
    for item in ",".join(given).split(",") if given else ():
        name, equals, number = (part.strip() for part in item.partition("="))
        if not (in_python(name).isidentifier() and equals):
            comma = f"; a number has a point, {last}.{name}" if last and name.isdecimal() else ""
            raise RequestError(f"--at {item!r}: expected NAME=NUMBER, such as x=2{comma}")
        if spelled(name) in map(spelled, values):
            raise RequestError(f"--at gives {name!r} twice")
        try:
            values[name] = float(in_python(number))
            last = f"{name}={number}"
        except ValueError:
            raise RequestError(f"--at {item!r}: {number!r} is not a number") from None
    return values
