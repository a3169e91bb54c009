"""A step of gradient descent inside the function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...problem import Array
from ..algorithm import Run
from .row import Mistake, Solves


def _stepped(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    updated: Array = run.problem.thetas[layer] - run.rate * usual(layer)
    return updated


def _one_by_one(factor: Callable[[Run], float]) -> Callable[..., Any]:
    """Add up the examples' gradients, each at the weights that the one before has left."""

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        thetas, total = list(run.problem.thetas), np.zeros(run.problem.shapes[layer])
        for t in range(run.m):
            one = replace(
                run.problem,
                thetas=tuple(thetas),
                X=run.problem.X[t : t + 1],
                Y=run.problem.Y[t : t + 1],
                lam=0.0,
            )
            D = Run(one).gradients()
            total += D[layer]
            thetas = [theta - run.rate * step for theta, step in zip(thetas, D, strict=True)]
        return factor(run) * total

    return change


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
            {"data": _one_by_one(lambda run: 1.0 / run.count())},
            {"data": _one_by_one(lambda run: 1.0)},
        ),
        lambda problem: problem.m > 1,
        solves=Solves.CURVE,
    ),
)
