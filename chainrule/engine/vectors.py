"""Copies between many Values and one vector, for optimisers, Theta matrices and files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .backend import Value
from .native import core

Vector = np.ndarray[Any, np.dtype[np.float64]]


def read_data(values: Sequence[Value], out: Vector | None = None) -> Vector:
    """Return the data of *values* as a float64 vector: *out*, if one is given.

    >>> import chainrule as cr
    >>> cr.read_data([cr.Value(1.0), cr.Value(2.0) * 3.0])
    array([1., 6.])
    """
    vector = np.empty(len(values)) if out is None else out
    if core is None or not core.read_data(values, vector):
        vector[:] = [value.data for value in values]
    return vector


def read_grads(values: Sequence[Value]) -> Vector:
    """Return the gradients of *values* as a float64 vector."""
    if core is not None and core.read_grads(values, vector := np.empty(len(values))):
        return vector
    return np.array([value.grad for value in values], dtype=float)


def _one_each(doing: str, values: Sequence[Value], vector: Any) -> Vector:
    numbers: Vector = np.asarray(vector, dtype=float)
    if numbers.shape != (len(values),):
        raise ValueError(
            f"{doing}: an array of shape {numbers.shape} for {len(values)} Values; "
            f"expected shape ({len(values)},)"
        )
    return numbers


def write_data(values: Sequence[Value], vector: Any) -> None:
    """Set the data of the leaves *values* from *vector*, one number each.

    ValueError if their number differs; AttributeError if one of *values* is not a leaf.  Nothing is
    written in either case.

    >>> import chainrule as cr
    >>> weights = [cr.Value(0.0), cr.Value(0.0)]
    >>> cr.write_data(weights, [1.5, -2.0])
    >>> weights[1].data
    -2.0
    """
    vector = _one_each("write_data", values, vector)
    if core is not None and core.write_data(values, vector):
        return
    for value in values:
        if value.primitive is not None:
            raise AttributeError(f"write_data: {value!r} is not a leaf, so its data is read-only")
    for value, number in zip(values, vector.tolist(), strict=True):
        value.data = number


def add_grads(values: Sequence[Value], vector: Any) -> None:
    """Add *vector* to the gradients of the leaves *values*, one number each, as a sweep would.

    A leaf that occurs in *values* several times gets each of its numbers.  ValueError if their
    number differs; AttributeError if one of *values* is not a leaf, since the gradients of computed
    nodes start fresh at each sweep.  Nothing is added in either case.
    """
    vector = _one_each("add_grads", values, vector)
    if core is not None and core.add_grads(values, vector):
        return
    for value in values:
        if value.primitive is not None:
            raise AttributeError(f"add_grads: {value!r} is not a leaf, so its grad does not add up")
    for value, number in zip(values, vector.tolist(), strict=True):
        value.grad += number


def reset_grads(values: Sequence[Value]) -> None:
    """Set the gradient of each of *values* to 0.0, "not yet computed"."""
    if core is not None and core.reset_grads(values):
        return
    for value in values:
        value.grad = 0.0
