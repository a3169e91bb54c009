"""How the numbers are kept: cut off, rounded, clipped, or not derivatives at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...problem import Array, Problem
from ..algorithm import Run
from .row import Mistake

MOST_DIGITS = 8


def _whole(problem: Problem, gradients: Sequence[Array]) -> Iterator[float]:
    """Yield a number, which nothing reads, if every entry is a whole number."""
    if all(np.array_equal(D, np.trunc(D)) for D in gradients):
        yield 0.0


def _digits(problem: Problem, gradients: Sequence[Array]) -> Iterator[float]:
    """Yield how many digits all entries have after the point, if they are few."""
    for digits in range(MOST_DIGITS + 1):
        if all(np.allclose(D, np.round(D, digits), rtol=0, atol=1e-13) for D in gradients):
            yield digits
            return


def _bound(problem: Problem, gradients: Sequence[Array]) -> Iterator[float]:
    """Yield the largest entry if it occurs more than once."""
    sizes = np.concatenate([np.abs(D).ravel() for D in gradients])
    largest = float(sizes.max(initial=0.0))
    if largest > 0 and np.count_nonzero(sizes >= largest * (1 - 1e-12)) > 1:
        yield largest


def _norm(problem: Problem, gradients: Sequence[Array]) -> Iterator[float]:
    """Yield the largest norm of a layer, if two of them have it."""
    norms = [float(np.linalg.norm(D)) for D in gradients]
    largest = max(norms)
    if largest > 0 and sum(norm >= largest * (1 - 1e-9) for norm in norms) > 1:
        yield largest


def _rounded(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    rounded: Array = np.round(usual(layer), int(run.rate))
    return rounded


def _clipped(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    clipped: Array = np.clip(usual(layer), -run.rate, run.rate)
    return clipped


def _shortened(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    length = float(np.linalg.norm(usual(layer)))
    return usual(layer) * min(1.0, run.rate / length) if length else usual(layer)


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "number.integers",
        "B10",
        "The gradient is kept in integers, which cut off what is behind the point.",
        "Make the arrays of floats: np.zeros(shape), not of an integer dtype or like integers.",
        (
            {"gradient": lambda run, usual, layer: np.trunc(usual(layer))},
            {"gradient": lambda run, usual, layer: np.floor(usual(layer))},
        ),
        solves=_whole,
    ),
    Mistake(
        "number.rounded",
        "B10",
        "The entries are rounded.",
        "Return all digits; round what is printed.",
        ({"gradient": _rounded},),
        solves=_digits,
        with_number="The entries are rounded to {number} digits after the point.",
    ),
    Mistake(
        "number.clipped",
        "B10",
        "The gradient is clipped.",
        "Return the gradient; clip it in the update, where it is wanted.",
        ({"gradient": _clipped},),
        solves=_bound,
        with_number="The entries are clipped at {number}.",
    ),
    Mistake(
        "number.clipped",
        "B10",
        "The gradient is clipped.",
        "Return the gradient; clip it in the update, where it is wanted.",
        ({"gradient": _shortened},),
        solves=_norm,
        with_number="The gradient of each layer is shortened to the length {number}.",
    ),
)
