"""The sum over the examples of delta a^T."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .... import backprop
from ...problem import Array
from ..algorithm import Run
from .makers import columns_rolled, scaled
from .row import Mistake


def _product_of_means(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    delta, a = run.delta(layer)[run.rows()], backprop.with_bias(run.a(layer)[run.rows()])
    product: Array = np.outer(delta.sum(axis=0), a.mean(axis=0))
    return product


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "sum.ones-last",
        "B9",
        "The gradient of the biases is in the last column; Theta has the biases in column 0.",
        "Put the column of ones first here too: delta [1; a]^T.",
        ({"sums": columns_rolled},),
    ),
    Mistake(
        "sum.z-for-a",
        "B9",
        "The gradient is computed from z instead of the activation a.",
        "Delta sums delta a^T: the activations that went into the layer.",
        (
            {
                "sums": lambda run, usual, layer: (
                    usual(layer)
                    if layer == 0
                    else backprop.accumulate(run.delta(layer), run.z(layer - 1))
                )
            },
        ),
    ),
    Mistake(
        "sum.product-of-means",
        "B9",
        "The mean of the deltas is multiplied by the mean of the activations.",
        "Take the mean of the products: each example's delta times its own activations.",
        ({"sums": _product_of_means},),
        lambda problem: problem.m > 1,
    ),
    Mistake(
        "sum.missing",
        "B9",
        "The examples do not contribute at all: only the penalty is left, if there is one.",
        "Add up delta a^T over the examples, and return that sum.",
        ({"data": scaled(lambda run: 0)},),
    ),
    Mistake(
        "sum.all-zero",
        "B10",
        "Every entry is 0.",
        "Return the arrays that the loop fills, not the zeros that they began as.",
        ({"gradient": scaled(lambda run: 0)},),
    ),
)
