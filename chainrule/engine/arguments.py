"""Arguments that are not Values: whole numbers, sequences and arrays, or a clear error.

What a Value takes is for ``admission``; one number alone is for ``table.as_float``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .table import as_float


def count(name: str, given: Any, least: int | None = 1) -> int:
    """Return *given* as an int; TypeError if it is not one, ValueError if it is below *least*."""
    try:
        number = index(given)
    except TypeError:
        number = None
    if number is None or isinstance(given, bool):
        raise TypeError(f"{name} is {given!r:.80}: expected an int")
    if least is not None and number < least:
        raise ValueError(f"{name} is {number}: expected {least} or more")
    return number


def real(name: str, given: Any, below: float = math.inf) -> float:
    """Return *given* as a float; ValueError unless it is finite and 0 <= given < *below*."""
    number = as_float(given, name)
    if not 0.0 <= number < below:
        limit = "a finite number, 0 or more" if below == math.inf else f"0 or more, below {below:g}"
        raise ValueError(f"{name} is {number}: expected {limit}")
    return number


def is_sequence(given: Any) -> bool:
    """Return whether *given* can be gone through in an order that means something.

    A string is not a sequence of numbers, a mapping or a set has no order to rely on, and an array
    without dimensions has no entries.
    """
    if isinstance(given, np.ndarray):
        return given.ndim > 0
    return hasattr(given, "__iter__") and not isinstance(given, (str, bytes, Mapping, Set))


def listed(name: str, given: Any, of: str) -> list[Any]:
    """Return *given*, an iterable, as a list; TypeError, which says *of* what, if it is not one.

    >>> listed("gradients: the inputs", 3.0, "Values")
    Traceback (most recent call last):
        ...
    TypeError: gradients: the inputs are 3.0: expected a list of Values
    """
    if not (isinstance(given, Set) or is_sequence(given)):
        raise TypeError(f"{name} are {given!r:.80}: expected a list of {of}")
    return list(given)


def numeric(name: str, given: Any) -> NDArray[Any]:
    """Return *given* as an array of real numbers of any width.

    ValueError if it is ragged or has masked entries, TypeError if it holds anything else.
    """
    array = _array(name, given)
    if array.dtype.kind not in "fiub":
        advice = "; take .data of each Value" if array.dtype == object else ""
        raise TypeError(f"{name} has dtype {array.dtype}: expected real numbers{advice}")
    return array


def numbers_in(name: str, given: Any) -> NDArray[np.float64]:
    """Return *given* as an array of float64; unlike :func:`numeric` it takes Fractions too."""
    array = _array(name, given)
    if array.dtype == object:
        floats = [as_float(x, name) for x in array.ravel().tolist()]
        return np.array(floats, dtype=np.float64).reshape(array.shape)
    with np.errstate(over="ignore"):  # a long double beyond the range becomes inf, as in a Value
        return numeric(name, array).astype(np.float64, copy=False)


def _array(name: str, given: Any) -> NDArray[Any]:
    try:
        array = np.asarray(given)
    except ValueError:
        raise ValueError(f"{name} is ragged: expected rows of equal length") from None
    if np.ma.is_masked(given):
        raise ValueError(f"{name} has masked entries: expected a number for each")
    return array
