"""``chainrule check``: a gradient from somebody's file, diagnosed, in the format asked for."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .requests import RequestError
from .submissions import add_options, options_of

SUMMARY = "say what is wrong with a hand-written backpropagation, or a hand-written engine"
DESCRIPTION = (
    "Call a program in a process of its own, on a network that shows every mistake, and name the "
    "mistake in its gradient. How it is called, and how it answers, is found out. A class "
    "with arithmetic (FILE.py:Value) is examined as an autograd engine: each operation, shared "
    "nodes, one pass after another. Exit status 1 if there is a mistake."
)
_BY_SUFFIX = {".html": "html", ".htm": "html", ".md": "markdown", ".json": "json"}
"""The format that the name of a file stands for."""
FORMATS = ("text", "markdown", "html", "json", "gradescope")
"""The methods of a report that write it down."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``chainrule check``."""
    from ..checking.diagnosis.reporting import HINTS

    parser.add_argument(
        "target",
        nargs="?",
        metavar="FILE[:NAME]",
        help="a function, or a class, CLASS.METHOD or FORWARD,BACKWARD, of a .py or .ipynb file, a "
        "module or a folder; or an autograd class; or gradients, saved as .npz or .npy",
    )
    add_options(parser)
    parser.add_argument(
        "--save-network",
        type=Path,
        metavar="FILE",
        help="write the network there as .npz, and stop",
    )
    told = parser.add_argument_group("the report")
    told.add_argument(
        "--format", choices=FORMATS, help="by default what the name of --output says, or text"
    )
    told.add_argument("--hints", choices=HINTS, default="fix", help="how much to tell")
    told.add_argument(
        "--points", type=float, default=1.0, metavar="N", help="of a right gradient, for gradescope"
    )
    told.add_argument("-o", "--output", type=Path, metavar="FILE")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command, and return 0 if the gradient is right, 1 if it is not.

    2 if there was no function to call: a person is told so in a line, as all senseless requests
    are; a program gets the report in the form that it asked for.
    """
    try:
        return _checked(arguments)
    except (TypeError, ValueError) as error:
        raise RequestError(str(error)) from error


def _checked(arguments: argparse.Namespace) -> int:
    from ..checking.handed_in import report_on
    from ..checking.problem import probe
    from ..checking.saved import put, write_problem

    options = options_of(arguments)
    if arguments.save_network is not None:
        loss, lam = options["loss"] or "logistic", arguments.lam
        network = probe(loss, lam=1.3 if lam is None else lam)
        write_problem(arguments.save_network, network)
        thetas = ", ".join(f"theta{i}" for i in range(1, len(network.thetas) + 1))
        print(
            f"wrote {arguments.save_network}: {thetas}, X, Y, lam of {network.name}; "
            f"then: chainrule check GRADIENT.npz --network {arguments.save_network} --loss {loss}",
            file=sys.stderr,
        )
        return 0
    if arguments.target is None:
        raise RequestError("expected FILE.py:FUNCTION, or a file of arrays")
    report = report_on(arguments.target, **options)
    chosen = arguments.format or _BY_SUFFIX.get(getattr(arguments.output, "suffix", ""), "text")
    not_loaded = "call.not-loaded" in report.codes
    if not_loaded and chosen == "text":
        raise RequestError("; ".join(report.data()["findings"][0]["evidence"].splitlines()))
    more = {"points": arguments.points} if chosen == "gradescope" else {}
    text: str = getattr(report, chosen)(arguments.hints, **more).rstrip("\n") + "\n"
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        put(arguments.output, text.encode())
    return 2 if not_loaded else int(not report.ok)
