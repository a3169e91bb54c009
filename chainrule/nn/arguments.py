"""Arguments: what callers hand in becomes a number or an array, or a clear error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..engine.arguments import count as count
from ..engine.arguments import is_sequence as is_sequence
from ..engine.arguments import listed as listed
from ..engine.arguments import numeric
from ..engine.arguments import real as real

Array = np.ndarray[Any, np.dtype[np.float64]]


def generator(name: str, seed: Any) -> np.random.Generator:
    """Return the Generator to draw from for *seed*; TypeError or ValueError if it is not a seed."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{name}: seed is {seed!r:.80}; expected an int, 0 or more, a NumPy Generator, or None"
        ) from None


def real_array(name: str, given: Any, shape: tuple[int, ...]) -> Array:
    """Return *given* as a new float64 array of exactly *shape*, or raise an error that says *name*.

    >>> real_array("Theta1", [[1, 2, 3]], (1, 2))
    Traceback (most recent call last):
        ...
    ValueError: Theta1 has shape (1, 3): expected (1, 2)
    """
    array = numeric(name, given)
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
