"""``chainrule bench``: what an operation costs; the measuring itself is in ``timing``."""

from __future__ import annotations

import argparse

from .requests import from_on

SUMMARY = "measure what an operation costs, beside plain floats and other libraries"
DESCRIPTION = (
    "Print nanoseconds per scalar operation for plain floats, chainrule, and micrograd, xad and "
    "torch if they are installed, taking turns in one process."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``chainrule bench``."""
    parser.add_argument(
        "--rounds", type=from_on(1), metavar="N", default=5, help="the number of turns for each"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes only, as a smoke test")


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    from .timing import main

    main(arguments.rounds, arguments.quick)
