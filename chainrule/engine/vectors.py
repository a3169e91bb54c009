"""Copies between many Values and one vector, for optimisers, Theta matrices and files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .arguments import numbers_in
from .backend import Value
from .native import core

Vector = np.ndarray[Any, np.dtype[np.float64]]


def read_data(values: Sequence[Value], out: Vector | None = None) -> Vector:
    """Return the data of *values*, shape (n,) of float64: in *out*, if one is given.

    >>> import chainrule as cr
    >>> cr.read_data([cr.Value(1.0), cr.Value(2.0) * 3.0])
    array([1., 6.])

    TypeError if one of *values* is not a Value, TypeError or ValueError if *out* is not a vector of
    float64 with a place for each.
    """
    vector = np.empty(_length("read_data", values)) if out is None else out
    if core is None or not core.read_data(values, vector):
        _check_values("read_data", values)
        _check_vector("read_data: out", vector, len(values))
        vector[:] = [value.data for value in values]
    return vector


def read_grads(values: Sequence[Value]) -> Vector:
    """Return the gradients of *values*, shape (n,) of float64."""
    if core is not None and core.read_grads(values, vector := np.empty(len(values))):
        return vector
    return np.array([value.grad for value in values], dtype=float)


def _length(doing: str, values: Any) -> int:
    try:
        return len(values)
    except TypeError:
        raise TypeError(f"{doing}: expected a list of Values, not {values!r:.80}") from None


def _check_values(doing: str, values: Sequence[Any]) -> None:
    for i, value in enumerate(values):
        if not hasattr(type(value), "__chainrule__"):
            raise TypeError(f"{doing}: value {i} is {value!r:.80}; expected a Value")


def _check_vector(name: str, vector: Any, n: int) -> None:
    if not isinstance(vector, np.ndarray) or vector.dtype != np.float64:
        kind = vector.dtype if isinstance(vector, np.ndarray) else type(vector).__name__
        raise TypeError(f"{name} is made of {kind}; expected an array of float64")
    if vector.shape != (n,):
        raise ValueError(f"{name} has shape {vector.shape} for {n} Values; expected ({n},)")


def _one_each(doing: str, values: Sequence[Value], vector: Any) -> Vector:
    n = _length(doing, values)
    numbers: Vector = numbers_in(doing, vector)
    if numbers.shape != (n,):
        raise ValueError(
            f"{doing}: an array of shape {numbers.shape} for {n} Values; expected shape ({n},)"
        )
    return numbers


def write_data(values: Sequence[Value], vector: Any) -> None:
    """Set the data of the leaves *values* from *vector*, one number each.

    ValueError if their number differs, TypeError if *vector* holds anything but real numbers or
    *values* anything but Values, AttributeError if one of them is not a leaf.  Nothing is written
    in any of these cases.

    >>> import chainrule as cr
    >>> weights = [cr.Value(0.0), cr.Value(0.0)]
    >>> cr.write_data(weights, [1.5, -2.0])
    >>> weights[1].data
    -2.0
    """
    vector = _one_each("write_data", values, vector)
    if core is not None and core.write_data(values, vector):
        return
    _check_values("write_data", values)
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
    _check_values("add_grads", values)
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
