"""What the rows of several categories are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .... import backprop
from ...problem import Array, Problem
from ..algorithm import Changes, Run

USUAL = ("sigmoid", "tanh", "relu", "linear", "leaky_relu")
"""The activations that are taken for one another."""


def scaled(factor: Callable[[Run], float]) -> Callable[..., Any]:
    """Multiply what a step gives by factor(run)."""
    return lambda run, usual, *layer: factor(run) * usual(*layer)


def scaled_ways(factor: Callable[[Run], float]) -> tuple[Changes, ...]:
    """Two ways: a factor before the data alone, and one before the penalty too."""
    return {"data": scaled(factor)}, {"gradient": scaled(factor)}


def with_column_0(matrix: Array, column: Array | float) -> Array:
    """Return a copy of *matrix* with another column of the biases."""
    changed: Array = matrix.copy()
    changed[:, 0] = column
    return changed


def bias_column(column: Callable[[Run, int, Array], Any]) -> Changes:
    """Replace the bias column of the data gradient by column(run, layer, data gradient)."""

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        data = usual(layer)
        return with_column_0(data, column(run, layer, data))

    return {"data": change}


def takes_mean(problem: Problem) -> bool:
    """Whether the cost of *problem* is a mean over the examples."""
    return problem.reduction == "mean"


def last_unit_dropped(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    """Go back through Theta and drop the last unit where the bias unit, the first, should go."""
    theta = run.theta_back(layer)
    product: Array = run.delta(layer + 1) @ theta[:, :-1]
    return product


def columns_rolled(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    """Put the biases' column last."""
    return np.roll(usual(layer), -1, axis=1)


def rows_of(rows: slice) -> Callable[..., Any]:
    """Sum these examples alone."""
    return lambda run, usual: rows


def on_the_bias_too(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    """The penalty, with the biases in it."""
    theta = run.problem.thetas[layer]
    biases = np.hstack([np.zeros((len(theta), 1)), theta[:, :1]])
    column = backprop.regularise(np.zeros_like(biases), biases, run.problem.lam, run.count())
    return with_column_0(usual(layer), column[:, 1])


def skipping(entries: tuple[int | slice, int | slice]) -> Callable[..., Any]:
    """Leave these entries out of the penalty, in place of column 0."""

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        decay = on_the_bias_too(run, usual, layer)
        decay[entries] = 0.0
        return decay

    return change
