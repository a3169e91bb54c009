"""A step of gradient descent inside the function."""

from __future__ import annotations

from collections.abc import Callable

from ...problem import Array
from ..algorithm import Run
from .row import Mistake


def _stepped(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    updated: Array = run.problem.thetas[layer] - run.rate * usual(layer)
    return updated


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "update.weights-returned",
        "B10",
        "The function returns the weights, not their gradient.",
        "Return the gradient, and update the weights outside. Where the weights are "
        "Values or tensors, return the .grad of each.",
        ({"gradient": _stepped},),
        solves_rate=True,
    ),
    Mistake(
        "update.rate-inside",
        "B10",
        "Everything is multiplied by one factor, such as a learning rate.",
        "Return the gradient alone, and multiply by the learning rate in the update.",
        ({"gradient": lambda run, usual, layer: run.rate * usual(layer)},),
        # One delta for one output and one example: any mistake in it is such a factor.
        lambda problem: problem.m * problem.K > 1,
        solves_rate=True,
    ),
)
