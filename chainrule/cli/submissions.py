"""What ``check`` and ``grade`` have in common: how to state the cost and the limits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .requests import from_on


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what a submission is measured by, and within which limits."""
    from .. import backprop

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
        "--seed",
        type=from_on(0),
        metavar="N",
        help="of the second network, on which a right function is tried",
    )
    limits = parser.add_argument_group("limits for the process that runs the function")
    limits.add_argument(
        "--time-limit", "--time", type=float, default=10.0, metavar="SECONDS", dest="time_limit"
    )
    limits.add_argument(
        "--memory-limit", "--memory", type=int, default=2048, metavar="MiB", dest="memory_limit"
    )
    limits.add_argument(
        "--allow-chainrule", action="store_true", help="let the file import chainrule"
    )


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what was stated, as ``checking.handed_in.report_on`` takes it."""
    return {
        "loss": _stated(arguments.loss),
        "activation": _stated(arguments.activation),
        "output_activation": arguments.output_activation,
        "reduction": _stated(arguments.reduction),
        "lam": arguments.lam,
        "network": arguments.network,
        "seed": arguments.seed,
        "time_limit": arguments.time_limit,
        "memory_limit": arguments.memory_limit,
        "allow_chainrule": arguments.allow_chainrule,
    }


def _stated(choice: str) -> str | None:
    return None if choice == "none" else choice
