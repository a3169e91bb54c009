"""What ``check`` and ``grade`` have in common: how to state the cost and the limits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .requests import from_on


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what a submission is measured by, and within which limits."""
    from .. import backprop
    from ..checking.diagnosis.asked import COURSES, MEAN, PENALTIES, SIGMOID
    from ..checking.intake.manner import CONTAINERS, TARGETS

    network = parser.add_argument_group("the cost; what is not stated is found out")
    network.add_argument("--loss", choices=[*backprop.LOSSES, "none"], default="none")
    network.add_argument(
        "--activation",
        default=SIGMOID,
        metavar="NAME",
        help=f"{', '.join(backprop.ACTIVATIONS)}, leaky_relu(0.2), elu(0.5), or none",
    )
    network.add_argument("--output-activation", metavar="NAME", help="by default the loss's own")
    network.add_argument("--reduction", choices=["mean", "sum", "none"], default=MEAN)
    network.add_argument(
        "--lam", type=float, metavar="LAMBDA", help="asks for the penalty of the notes, A1"
    )
    network.add_argument("--penalty", choices=PENALTIES, help="another penalty, by its name")
    network.add_argument(
        "--course", choices=COURSES, help="the conventions of a course, all in one word"
    )
    network.add_argument(
        "--sizes", type=_sizes, metavar="5,6,3", help="the units of each layer, the input first"
    )
    network.add_argument(
        "--network", type=Path, metavar="FILE", help="by default the probe network"
    )
    network.add_argument(
        "--seed",
        type=from_on(0),
        metavar="N",
        help="of the second network, on which a right function is tried",
    )
    manner = parser.add_argument_group("the manner of the program; what is not stated is found out")
    manner.add_argument("--examples", choices=["rows", "columns", "one"])
    manner.add_argument("--targets", choices=TARGETS)
    manner.add_argument("--biases", choices=["with", "none"])
    manner.add_argument("--weights", choices=CONTAINERS, help="how the weights are handed over")
    manner.add_argument("--rate", type=float, help="the learning rate of a training step")
    manner.add_argument(
        "--argument",
        action="append",
        type=_argument,
        metavar="NAME=ROLE",
        help="what a parameter is: thetas, weights, biases, X, Y, lam, rate, sizes, or a number",
    )
    manner.add_argument(
        "--strict", action="store_true", help="what had to be found out is a mistake"
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
        "penalty": arguments.penalty,
        "course": arguments.course,
        "sizes": arguments.sizes,
        "examples": arguments.examples,
        "targets": arguments.targets,
        "biases": arguments.biases,
        "weights": arguments.weights,
        "rate": arguments.rate,
        "arguments": dict(arguments.argument or ()),
        "strict": arguments.strict,
        "seed": arguments.seed,
        "time_limit": arguments.time_limit,
        "memory_limit": arguments.memory_limit,
        "allow_chainrule": arguments.allow_chainrule,
    }


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if len(parts) < 2 or not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: expected sizes such as 5,6,3")
    return tuple(int(part) for part in parts)


def _argument(text: str) -> tuple[str, str]:
    name, equals, role = text.partition("=")
    if not (name.isidentifier() and equals and role):
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=ROLE, such as w=thetas")
    return name, role


def _stated(choice: str) -> str | None:
    return None if choice == "none" else choice
