"""``chainrule demo``: run a demo, with the options that it has."""

from __future__ import annotations

import argparse
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chainrule.demos as demos

from .requests import RequestError, from_on

SUMMARY = "run a demo"
DESCRIPTION = "Run a demo: by default digits, which trains a network on real handwriting."
EPILOG = "If you do not give an option, the demo uses its own default."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``chainrule demo``."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="one of: " + ", ".join(demos.NAMES))
    parser.add_argument("--list", action="store_true", help="say what each demo shows, and stop")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the directory for the output files"
    )
    parser.add_argument(
        "--epochs", type=from_on(1), metavar="N", help="passes over the training data"
    )
    parser.add_argument(
        "--seed", type=from_on(0), metavar="N", help="the seed of all random numbers"
    )
    parser.add_argument(
        "--workers", type=from_on(1), metavar="N", help="processes that share each step"
    )
    parser.add_argument(
        "--quiet", action="store_true", default=None, help="print results, not progress"
    )
    parser.add_argument("--theme", choices=("light", "dark"), help="the colours of the pictures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to FILE too")


def run(arguments: argparse.Namespace) -> None:
    """Run the demo that is named."""
    if arguments.list:
        for name in demos.NAMES:
            print(f"{name:12}{(_module(name).__doc__ or '').partition(chr(10))[0]}")
        return
    name = arguments.name or demos.NAMES[0]
    if name not in demos.NAMES:
        raise RequestError(
            f"there is no demo named {name!r}; the demos are {', '.join(demos.NAMES)}"
        )
    demo: Callable[..., None] = _module(name).main
    given = {
        option: value
        for option in ("out", "epochs", "seed", "quiet", "theme", "markdown", "workers")
        if (value := getattr(arguments, option)) is not None
    }
    for option in given.keys() - inspect.signature(demo).parameters:
        raise RequestError(f"the demo {name} has no option --{option}")
    if arguments.markdown is not None:
        with arguments.markdown.open("a"):
            pass  # find out that a file cannot be written before the work, not after it
    try:
        demo(**given)
    except ModuleNotFoundError as error:  # what only this demo needs
        raise RequestError(str(error)) from None


def _module(name: str) -> Any:
    return importlib.import_module(f"{demos.__name__}.{name}")
