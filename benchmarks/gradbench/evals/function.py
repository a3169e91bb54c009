"""What a module of an eval offers: functions with the shapes of their input and output in JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


def unchanged(x: Any) -> Any:
    return x


class Function(NamedTuple):
    """A function that an eval may ask for; only *compute* is timed.

    >>> double = Function(compute=lambda x: 2 * x, prepare=float, present=str)
    >>> double(3)
    '6.0'
    """

    compute: Callable[[Any], Any]
    prepare: Callable[[Any], Any] = unchanged
    """From the input of the message to the argument of *compute*."""
    present: Callable[[Any], Any] = unchanged
    """From the result of *compute* to the output of the answer."""

    def __call__(self, given: Any) -> Any:
        return self.present(self.compute(self.prepare(given)))
