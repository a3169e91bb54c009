"""Explanations of a gradient, how well they fit, and which of those that fit are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..problem import Array
from .algorithm import Changes, only
from .mistakes import Mistake

CLOSE = 30.0
"""How many times as far off as the closest match another one may be, and still be as good."""
MOST_DIFFERENT = 1e-6
"""How far a number may be from a plain one and still be meant as it."""
SMALLEST = 1e-6
"""Relative to the terms that are summed, what is below this is compared as if it were as large."""
_PLAIN = frozenset(
    {3.0, 4.0, 0.25, *(float(f"1e{e}") for e in (-6, -5, -4, -3, -2, -1, 1, 2, 3, 4))}
    | {float(f"{digit}e{e}") for digit in (2, 3, 5) for e in (-5, -4, -3, -2)}
    | {0.3}
)
"""Factors that need no mistake of their own to be written down: learning rates, 4, a quarter."""


@dataclass(frozen=True)
class Made:
    """One way to make one mistake, in all layers or in some."""

    mistake: Mistake
    way: int = 0
    layers: tuple[int, ...] = ()
    """The indices of the Thetas concerned; empty for all of them."""

    @property
    def changes(self) -> Changes:
        changes = self.mistake.ways[self.way]
        return only(changes, self.layers) if self.layers else changes


Explanation = tuple[Made, ...]
"""One or more mistakes that together give a gradient."""


@dataclass(frozen=True)
class Match:
    """An explanation that fits, how well, and with which number if it has one."""

    made: Explanation
    error: float
    """The largest difference between replay and gradient, relative to the layer's scale."""
    number: float | None = None
    """A learning rate, a factor, how many digits."""

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(made.mistake.code for made in self.made)


def is_plain(number: float) -> bool:
    """Whether *number* is one that people write down as it is: 0.1, 1e-4, 3, 4 or a quarter.

    >>> is_plain(-0.1), is_plain(0.25), is_plain(0.125)
    (True, True, False)
    """
    return any(abs(abs(number) / plain - 1.0) < MOST_DIFFERENT for plain in _PLAIN)


def same_cost(one: float, two: float, tolerance: float) -> bool:
    """Whether two costs are equal but for rounding, and for what keeps logarithms finite."""
    return abs(one - two) <= max(tolerance, 1e-6) * max(abs(one), abs(two))


def closest(matches: Sequence[Match]) -> list[Match]:
    """Leave out what fits far worse than the best: in float32 near misses fit too.

    Two right explanations are off by rounding, one perhaps some times as far as the other. A near
    miss is off by the difference between the two mistakes as well.
    """
    least = min((match.error for match in matches), default=0.0)
    return [match for match in matches if match.error <= max(1e-10, CLOSE * least)]


def in_float32(gradients: Sequence[Array]) -> bool:
    """Whether every entry is a number of float32, whatever type it has now."""
    return all(np.array_equal(D, D.astype(np.float32)) for D in gradients)


def size_of(wanted: Array) -> float:
    """What a difference is relative to: a mistake may make all entries large, or small."""
    return max(SMALLEST, float(np.abs(wanted).max()))


def equal(one: Array, two: Array) -> bool:
    """Whether two replays are the same but for rounding."""
    return bool(np.abs(one - two).max() <= 1e-11 * max(1.0, float(np.abs(one).max())))


def one_for_each_code(matches: Sequence[Match]) -> list[Match]:
    """Keep one match for each set of codes, the most common ways first.

    The number of a way says how common it is: a row's first way goes before another's second.
    """
    ordered = sorted(matches, key=lambda match: sum(made.way for made in match.made))
    return list({tuple(sorted(match.codes)): match for match in reversed(ordered)}.values())[::-1]
