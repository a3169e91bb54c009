"""A step of gradient descent inside the function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np

from ...problem import Array
from ..algorithm import Changes, Run
from .row import Mistake, Solves


def _stepped(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    updated: Array = run.problem.thetas[layer] - run.rate * usual(layer)
    return updated


def _one_by_one(run: Run) -> list[Array]:
    """Add up the examples' gradients, each at the weights that the one before has left."""
    p = run.problem
    thetas, total = list(p.thetas), [np.zeros(shape) for shape in p.shapes]
    for t in range(p.m):
        one = slice(t, t + 1)
        D = Run(replace(p, thetas=tuple(thetas), X=p.X[one], Y=p.Y[one], lam=0.0)).gradients()
        total = [so_far + step for so_far, step in zip(total, D, strict=True)]
        thetas = [theta - run.rate * step for theta, step in zip(thetas, D, strict=True)]
    return total


def _after_each_example(factor: Callable[[Run], float]) -> Changes:
    """What the walk gives, times factor(run), in place of the examples' part."""
    walked: WeakKeyDictionary[Run, list[Array]] = WeakKeyDictionary()

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        if run not in walked:
            walked[run] = _one_by_one(run)
        return factor(run) * walked[run][layer]

    return {"data": change}


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "update.weights-returned",
        "B10",
        "The function returns the weights, not their gradient.",
        "Return the gradient, and update the weights outside. Where the weights are "
        "Values or tensors, return the .grad of each.",
        ({"gradient": _stepped},),
        solves=Solves.LINEAR,
    ),
    Mistake(
        "update.rate-inside",
        "B10",
        "Everything is multiplied by one factor, such as a learning rate.",
        "Return the gradient alone, and multiply by the learning rate in the update.",
        ({"gradient": lambda run, usual, layer: run.rate * usual(layer)},),
        # One delta for one output and one example: any mistake in it is such a factor.
        lambda problem: problem.m * problem.K > 1,
        solves=Solves.LINEAR,
        with_number="Everything is multiplied by {number}, as by a learning rate.",
    ),
    Mistake(
        "update.after-each-example",
        "B10",
        "The weights are updated after each example, so that the later ones see other weights.",
        "The gradient belongs to one point: add up over all examples first, then update once.",
        (
            _after_each_example(lambda run: 1.0 / run.count()),
            _after_each_example(lambda run: 1.0),
        ),
        lambda problem: problem.m > 1,
        solves=Solves.CURVE,
    ),
)
