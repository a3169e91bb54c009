"""``chainrule explore``: an expression as a page to play with."""

from __future__ import annotations

import argparse
import sys

from . import draw
from .requests import RequestError

SUMMARY = "make a page on which an expression's numbers can be changed"
DESCRIPTION = (
    "Make one HTML file that shows the graph of an expression, steps through its values and "
    "gradients, and follows when a number is changed.  It needs no server and no network."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``chainrule explore``."""
    draw.add_expression(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default="explore.html",
        help="write the page there (default: explore.html; - for standard output)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Evaluate the expression and write its page."""
    from .. import viz

    text, root, _ = draw.evaluated(arguments)
    try:
        page = viz.explore(root, title=text)
        if arguments.output == "-":
            sys.stdout.buffer.write(page.html.encode())
            return
        page.save(arguments.output)
    except OSError as error:  # a full disk does not say which file
        raise OSError(error.errno, error.strerror, arguments.output) from error
    except ValueError as error:  # too large, or an unknown suffix
        says = str(error).removeprefix(f"Page.save({arguments.output!r}): ")
        raise RequestError(f"-o {arguments.output}: {says}") from None
    print(f"{text} = {root.data}")
    print(f"wrote {arguments.output}: open it in a browser")
