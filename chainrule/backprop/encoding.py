"""From one way of writing to another: vector and matrices, labels and targets.

Optimisers and course exercises want all parameters in one vector, data sets number their classes;
the formulas want a list of matrices and a column per class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .arguments import Array, chosen, matrices, real_array, whole

Order = Literal["C", "F"]


def unroll(thetas: Iterable[ArrayLike], order: Order = "C") -> Array:
    """Return all matrices as one vector, matrix after matrix (notes C4).

    ``order="C"`` reads each matrix row by row, ``order="F"`` column by column, which is what
    ``[Theta1(:); Theta2(:)]`` does in Octave and MATLAB. C4 writes a unit's weight before its
    bias; with the bias in column 0 it comes first here.

    >>> unroll([[[1, 2], [3, 4]], [[5, 6]]]).tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    >>> unroll([[[1, 2], [3, 4]], [[5, 6]]], order="F").tolist()
    [1.0, 3.0, 2.0, 4.0, 5.0, 6.0]

    The vector does not remember its order: roll it back with the same one.
    """
    chosen("order", order, ("C", "F"))
    return np.concatenate([theta.ravel(order) for theta in matrices("thetas", thetas)])


def roll(
    vector: ArrayLike, shapes: Iterable[Sequence[int]], order: Order = "C"
) -> tuple[Array, ...]:
    """Return the matrices of the given *shapes* that ``unroll`` would turn into *vector*.

    >>> [theta.tolist() for theta in roll([1, 3, 2, 4, 5, 6], [(2, 2), (1, 2)], order="F")]
    [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]]

    A vector that is not 1-D or not as long as the shapes need raises ``ValueError``.
    """
    chosen("order", order, ("C", "F"))
    values = real_array("vector", vector)
    try:
        pairs = [tuple([whole("", n) for n in shape]) for shape in shapes]
    except TypeError:
        raise TypeError(f"shapes is {shapes!r:.80}: expected pairs (rows, columns)") from None
    if not pairs or any(len(pair) != 2 or min(pair) < 1 for pair in pairs):
        raise ValueError(f"shapes is {pairs}: expected pairs (rows, columns), all 1 or more")
    sizes = [prod(pair) for pair in pairs]
    if values.shape != (sum(sizes),):
        raise ValueError(
            f"vector has shape {values.shape}: expected ({sum(sizes)},), for matrices of {pairs}"
        )
    pieces = np.split(values, np.cumsum(sizes)[:-1])
    return tuple(
        piece.reshape(pair, order=order) for piece, pair in zip(pieces, pairs, strict=True)
    )


def one_hot(labels: ArrayLike, K: int, first: int = 0) -> Array:
    """Return the targets Y of shape (m, K): in each row a 1 in the column of the example's class.

    *labels* holds m whole numbers (a column of shape (m, 1) will do), *first* is the number of the
    first class: 0 as in Python, 1 as in Octave and MATLAB.

    >>> one_hot([3, 1], 3, first=1).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]

    A label that is not a whole number from *first* to *first* + K - 1 raises ``ValueError``.
    """
    classes, lowest = whole("K", K), whole("first", first)
    if classes < 1:
        raise ValueError(f"K is {classes}: expected at least one class")
    values = real_array("labels", labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"labels has shape {values.shape}: expected one label per example")
    columns = values - lowest
    foreign = np.flatnonzero(~((columns >= 0) & (columns < classes) & (columns % 1 == 0)))
    if foreign.size:
        raise ValueError(
            f"labels[{foreign[0]}] is {values[foreign[0]]:g}: expected a whole number from {lowest}"
            f" to {lowest + classes - 1}, for K={classes} classes counted from first={lowest}"
        )
    targets = np.zeros((values.size, classes))
    targets[np.arange(values.size), columns.astype(np.intp)] = 1.0
    return targets
