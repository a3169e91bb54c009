"""The order of the entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...problem import Array
from ..algorithm import Run
from .row import Mistake


def _transposed(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    turned = usual(layer)
    rows, columns = turned.shape
    if rows == columns:
        turned = turned.T
    elif rows == columns - 1:
        turned = np.hstack([turned[:, :1], turned[:, 1:].T])
    return turned


def _reread(write: Any, read: Any) -> Callable[..., Any]:
    return lambda run, usual, layer: (
        usual(layer).ravel(order=write).reshape(run.problem.shapes[layer], order=read)
    )


def _output_first(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    """The entries of a layer where the vector begins with the last one's."""
    every = range(run.last + 1)
    vector = np.concatenate([usual(other).ravel() for other in reversed(every)])
    start = sum(run.problem.thetas[other].size for other in every[:layer])
    shape = run.problem.shapes[layer]
    return vector[start : start + shape[0] * shape[1]].reshape(shape)


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "layout.gradient-transposed",
        "B4",
        "The gradient is transposed.",
        "With Theta of shape (s_next, 1 + s) the gradient is delta a^T: a row for each unit.",
        ({"gradient": _transposed},),
    ),
    Mistake(
        "layout.unrolled-in-wrong-order",
        "C4",
        "The entries were unrolled in one order and rolled back in another.",
        'Use one order in both places: "C" reads row by row, "F" column by column; and of the '
        "layers the first one first.",
        (
            {"gradient": _reread("F", "C")},
            {"gradient": _reread("C", "F")},
            {"gradient": _output_first},
        ),
    ),
)
