"""The sum over the examples of delta a^T."""

from __future__ import annotations

from .... import backprop
from .makers import columns_rolled, scaled
from .row import Mistake

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
