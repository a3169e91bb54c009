"""Errors that end a command, and types of options."""

from __future__ import annotations

import argparse
from collections.abc import Callable


class RequestError(Exception):
    """A request that cannot be carried out as it stands: exit status 2."""


class FailureError(Exception):
    """A failure while running that is not the fault of the request: exit status 1."""


def from_on(least: int) -> Callable[[str], int]:
    """Return the type of an option that is a whole number, *least* or more."""

    def whole_number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return whole_number
