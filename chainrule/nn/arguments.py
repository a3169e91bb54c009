"""Arguments: what callers hand in becomes a number or an array, or a clear error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from operator import index
from typing import Any

import numpy as np

from ..engine.table import as_float

Array = np.ndarray[Any, np.dtype[np.float64]]


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


def generator(name: str, seed: Any) -> np.random.Generator:
    """Return the Generator to draw from for *seed*; TypeError or ValueError if it is not a seed."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{name}: seed is {seed!r:.80}; expected an int, 0 or more, a NumPy Generator, or None"
        ) from None


def is_sequence(given: Any) -> bool:
    """Return whether *given* can be gone through in an order that means something.

    A string is not a sequence of numbers, and a mapping or a set has no order to rely on.
    """
    return hasattr(given, "__iter__") and not isinstance(given, (str, bytes, Mapping, Set))


def real_array(name: str, given: Any, shape: tuple[int, ...]) -> Array:
    """Return *given* as a new float64 array of exactly *shape*, or raise an error that says *name*.

    >>> real_array("Theta1", [[1, 2, 3]], (1, 2))
    Traceback (most recent call last):
        ...
    ValueError: Theta1 has shape (1, 3): expected (1, 2)
    """
    try:
        array = np.asarray(given)
    except ValueError:
        raise ValueError(f"{name} is ragged: expected an array of shape {shape}") from None
    if array.dtype.kind not in "fiub":
        advice = "; take .data of each Value" if array.dtype == object else ""
        raise TypeError(f"{name} has dtype {array.dtype}: expected real numbers{advice}")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}: expected {shape}")
    with np.errstate(over="ignore"):  # a long double beyond the range becomes inf, as in a Value
        return array.astype(np.float64)


def finite_array(name: str, given: Any, shape: tuple[int, ...]) -> Array:
    """Return :func:`real_array` of the arguments, or raise a ValueError if a number is not finite.

    What is loaded must be finite: weights that are not come from a run that has diverged.
    """
    array = real_array(name, given, shape)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        position = tuple(bad[0].tolist())
        raise ValueError(
            f"{name}{list(position) or ''} is {array[position]}: expected finite numbers"
        )
    return array


def names(expected: Sequence[str], given: Any) -> None:
    """Raise an error that lists the differences unless *given* is a mapping of *expected* names."""
    if not isinstance(given, Mapping):
        raise TypeError(
            f"expected a mapping from names to arrays, as state_dict() returns, not {given!r:.80}"
        )
    missing = [name for name in expected if name not in given]
    foreign = [name for name in given if name not in expected]
    if missing or foreign:
        raise ValueError(
            f"the names do not fit: missing {_listed(missing)}; unexpected {_listed(foreign)}; "
            f"expected {_listed(expected)}"
        )


def _listed(names: Sequence[object]) -> str:
    return ", ".join(f"{name!r:.60}" for name in names[:6]) + ", ..." * (len(names) > 6) or "none"
