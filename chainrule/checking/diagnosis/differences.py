"""Whether a gradient was taken by differences of the cost, and with which step.

Central differences are off by h^2/6 times the third derivative, one-sided ones by h/2 times the
second. At one step of our own these errors are measured; where somebody's are the same but for one
factor, the factor gives their step, and their differences can be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ... import backprop
from ..problem import Array, Problem
from ..text import short

MOST_ENTRIES = 16
"""How many entries, those that are furthest off, are taken by differences again."""
MOST_WORK = 2_000_000
"""Up to which size of a problem they are."""
LEAST, MOST = 1e-12, 5e-2
"""Between which errors, relative to the terms that are summed, a gradient may be differences."""
STEP = 1e-2


@dataclass(frozen=True)
class Differences:
    """How a gradient was taken by differences."""

    kind: str
    """"central" or "one-sided"."""
    step: float

    def __str__(self) -> str:
        return f"{self.kind} differences of the cost, with a step of {short(self.step)}"


def differences_of(problem: Problem, gradients: Sequence[Array]) -> Differences | None:
    """Return the differences that *gradients* are; None if they are not, or it cannot be seen.

    >>> from chainrule.checking.problem import probe
    >>> differences_of(probe(), probe().truth.D) is None
    True
    """
    stops = [0, *np.cumsum([theta.size for theta in problem.thetas]).tolist()]
    right = np.concatenate([D.ravel() for D in problem.truth.D])
    theirs = np.concatenate([np.ravel(D) for D in gradients])
    off = theirs - right
    far = float(np.abs(off).max())
    if problem.size > MOST_WORK or not LEAST < far / (max(problem.scales) or 1.0) < MOST:
        return None
    entries = np.argsort(-np.abs(off))[:MOST_ENTRIES].tolist()
    point = np.concatenate([theta.ravel() for theta in problem.thetas])

    def cost(entry: int, step: float) -> float:
        moved = point.copy()
        moved[entry] += step
        parts = zip(pairwise(stops), problem.shapes, strict=True)
        thetas = [moved[start:stop].reshape(shape) for (start, stop), shape in parts]
        return backprop.cost(thetas, problem.X, problem.Y, problem.lam, **problem.options)

    def central(entry: int, step: float) -> float:
        return (cost(entry, step) - cost(entry, -step)) / (2 * step)

    def one_sided(entry: int, step: float) -> float:
        return (cost(entry, step) - cost(entry, 0.0)) / step

    for kind, by, power in (("central", central, 2), ("one-sided", one_sided, 1)):
        ours = np.array([by(entry, STEP) for entry in entries]) - right[entries]
        length = float(ours @ ours)
        factor = float(ours @ off[entries]) / length if length else 0.0
        if factor <= 0.0:
            continue
        step = STEP * factor ** (1 / power)
        again = np.array([by(entry, step) for entry in entries])
        if np.abs(again - theirs[entries]).max() <= 0.1 * far:
            return Differences(kind, step)
    return None
