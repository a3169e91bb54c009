"""Arguments: what callers hand in becomes float64 matrices and known names, or a clear error.

Nothing here knows about networks. Integers, booleans and any width of float are taken and computed
in float64; complex numbers, objects, text and dates are refused, because NumPy would carry them
through the formulas and return something that only looks like a gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from operator import index
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]


def real_array(name: str, value: ArrayLike) -> Array:
    """Return a fresh float64 copy of *value*: no result ever shares memory with an input."""
    try:
        given = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} is ragged: expected rows of equal length") from None
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} has masked entries: expected a number for each")
    if given.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} has dtype {given.dtype}: expected real numbers"
            + ("; take .data of each Value" if given.dtype == object else "")
        )
    return np.array(given, dtype=np.float64)


def matrix(name: str, value: ArrayLike, hint: str = "") -> Array:
    """Return *value* as a non-empty float64 matrix; *hint* ends the message if it is not 2-D."""
    array = real_array(name, value)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}: expected a matrix, 2-D{hint}")
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}: expected at least one row and column")
    return array


def matrices(name: str, values: Iterable[ArrayLike], hint: str = "") -> list[Array]:
    """Return *values* as a list of matrices, refusing a lone matrix meant as a list of one."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        raise TypeError(
            f"{name} is one array of shape {values.shape}: expected a list of matrices, [matrix]"
        )
    try:
        items = list(values)
    except TypeError:
        raise TypeError(f"{name} is {values!r}: expected a list of matrices") from None
    if not items:
        raise ValueError(f"{name} is empty: expected at least one matrix")
    return [matrix(f"{name}[{i}]", item, hint) for i, item in enumerate(items)]


def non_negative(name: str, value: float) -> float:
    """Return *value* as a float that is finite and not below 0."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r:.80}: expected a real number")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not 0 <= number < np.inf:
        raise ValueError(f"{name} is {number}: expected a finite number, 0 or more")
    return number


def whole(name: str, value: int) -> int:
    """Return *value* as an int; TypeError if it is not a whole number."""
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r:.80}: expected a whole number") from None


def chosen(name: str, value: object, options: Iterable[str]) -> str:
    """Return *value* if it is one of *options*, else say what the options are."""
    allowed = list(options)
    if not isinstance(value, str) or value not in allowed:
        expected = ", ".join(map(repr, allowed))
        raise ValueError(f"{name} is {value!r:.80}: expected one of {expected}")
    return value
