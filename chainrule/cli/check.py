"""``chainrule check``: a gradient from somebody's file, diagnosed, in the format asked for."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .requests import RequestError, from_on

if TYPE_CHECKING:
    from ..checking import PartsReport, Report

SUMMARY = "say what is wrong with a hand-written backpropagation, or a hand-written engine"
DESCRIPTION = (
    "Call a function in a process of its own, on a network that shows every mistake, and name the "
    "mistake in the gradient it returns. A class with arithmetic (FILE.py:Value) is examined as an "
    "autograd engine: each operation, shared nodes, one pass after another. Exit status 1 if there "
    "is a mistake."
)
FORMATS = ("text", "markdown", "html", "json", "gradescope")
"""The methods of a report that write it down."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``chainrule check``."""
    from .. import backprop
    from ..checking.diagnosis.reporting import HINTS

    parser.add_argument(
        "target",
        nargs="?",
        metavar="FILE.py:NAME",
        help="a function, called as NAME(thetas, X, Y, lam), or an autograd class; or the result "
        "of such a function, saved as .npz or .npy",
    )
    network = parser.add_argument_group("the cost; none: find it out")
    network.add_argument("--loss", choices=[*backprop.LOSSES, "none"], default="none")
    network.add_argument(
        "--activation", choices=[*backprop.ACTIVATIONS, "none"], default="sigmoid", metavar="NAME"
    )
    network.add_argument("--output-activation", metavar="NAME", help="by default the loss's own")
    network.add_argument("--reduction", choices=["mean", "sum", "none"], default="mean")
    network.add_argument("--lam", type=float, metavar="LAMBDA", help="by default 1.3")
    network.add_argument(
        "--network", type=Path, metavar="FILE", help="by default the probe network"
    )
    network.add_argument(
        "--save-network", type=Path, metavar="FILE", help="write it there as .npz, and stop"
    )
    network.add_argument(
        "--seed",
        type=from_on(0),
        metavar="N",
        help="of the second network, on which a right function is tried",
    )
    told = parser.add_argument_group("the report")
    told.add_argument("--format", choices=FORMATS, default="text")
    told.add_argument("--hints", choices=HINTS, default="fix", help="how much to tell")
    told.add_argument("-o", "--output", type=Path, metavar="FILE")
    limits = parser.add_argument_group("limits for the process that runs the function")
    limits.add_argument("--time-limit", type=float, default=10.0, metavar="SECONDS")
    limits.add_argument("--memory-limit", type=int, default=2048, metavar="MiB")
    limits.add_argument(
        "--allow-chainrule", action="store_true", help="let the file import chainrule"
    )


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
    from ..checking.diagnosis.running.process import EngineGivenError
    from ..checking.diagnosis.submissions import diagnose_file
    from ..checking.engines import check_engine_file
    from ..checking.problem import probe
    from ..checking.saved import put, write_problem

    stated = {
        "loss": _stated(arguments.loss),
        "activation": _stated(arguments.activation),
        "output_activation": arguments.output_activation,
        "reduction": _stated(arguments.reduction),
        "lam": arguments.lam,
    }
    if arguments.save_network is not None:
        loss, lam = stated["loss"] or "logistic", arguments.lam
        write_problem(arguments.save_network, probe(loss, lam=1.3 if lam is None else lam))
        return 0
    if arguments.target is None:
        raise RequestError("expected FILE.py:FUNCTION, or a file of arrays")
    limits = {
        "time_limit": arguments.time_limit,
        "memory_limit": arguments.memory_limit,
        "allow_chainrule": arguments.allow_chainrule,
    }
    report: Report | PartsReport
    try:
        report = diagnose_file(
            arguments.target, network=arguments.network, seed=arguments.seed, **limits, **stated
        )
    except EngineGivenError:
        path, _, name = arguments.target.rpartition(":")
        report = check_engine_file(Path(path), name, **limits)
    not_loaded = "call.not-loaded" in report.codes
    if not_loaded and arguments.format == "text":
        raise RequestError("; ".join(report.data()["findings"][0]["evidence"].splitlines()))
    text: str = getattr(report, arguments.format)(arguments.hints).rstrip("\n") + "\n"
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        put(arguments.output, text.encode())
    return 2 if not_loaded else int(not report.ok)


def _stated(choice: str) -> str | None:
    return None if choice == "none" else choice
