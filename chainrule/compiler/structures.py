"""What a compiled function is given and what it returns: arrays outside, lists of Values inside.

A batch is an array whose first axis counts the examples.  The function that is recorded sees one
example, in which every number is a Value, and returns a Value or a structure of some.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine import primitives
from ..engine.backend import Value

Array = np.ndarray[Any, np.dtype[np.float64]]


def floats(given: Any, what: str) -> Array:
    """Return *given*, the *what* of a message, as an array of float whose rows are examples."""
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError(
            f"{what} is a masked array; expected numbers only: fill or leave out the rest"
        )
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise ValueError(
            f"{what} is ragged; examples must have one shape: pad them, or compile the graph of "
            "each length"
        ) from error
    if array.dtype.kind == "O":
        array = _from_objects(given, array, what)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what} is an array of {array.dtype}; expected numbers")
    if not array.ndim:
        raise ValueError(
            f"{what} is a single number; expected a batch, whose first axis counts the examples"
        )
    with np.errstate(over="ignore"):  # a long double beyond the range becomes inf, as in a Value
        found: Array = array.astype(float, copy=False)
    return found


def _from_objects(given: Any, array: Any, what: str) -> Any:
    """Return an array of objects that are numbers, such as fractions, as one of float."""
    if any(isinstance(x, Value) for x in array.flat):
        raise TypeError(
            f"{what} holds Values; expected plain numbers: in a function of Values call the "
            "function that was compiled, not the compiled one"
        )
    if not array.ndim:
        raise TypeError(f"{what} is {given!r:.80}; expected an array, or a nested list, of numbers")
    numbers = [primitives.as_float(x, what) for x in array.flat]
    return np.array(numbers).reshape(array.shape)


def example(batch: Array) -> Any:
    """Return the first example of *batch* with Values for its numbers; zeros if there is none."""
    first = batch[0] if len(batch) else np.zeros(batch.shape[1:])

    def wrapped(x: Any) -> Any:
        return [wrapped(part) for part in x] if isinstance(x, list) else Value(x)

    return wrapped(first.tolist())


def leaves(structure: Any) -> list[Value]:
    """Return the Values of an :func:`example`, in order."""
    if isinstance(structure, list):
        return [leaf for part in structure for leaf in leaves(part)]
    return [structure]


def numbered(structure: Any, outputs: list[Any], name: str) -> Any:
    """Return *structure* with numbers counted from 0 for its leaves, which go into *outputs*."""

    def leaf(x: Any) -> int:
        outputs.append(x if isinstance(x, Value) else primitives.as_float(x, f"result of {name}"))
        return len(outputs) - 1

    return _mapped(structure, leaf)


def filled(structure: Any, found: Sequence[Any]) -> Any:
    """Return a *structure* made by :func:`numbered` with what was *found* for each number.

    An array of numbers comes back as an array whose axes are followed by those of what was found.
    """
    return _mapped(structure, lambda number: found[number])


def count(structure: Any) -> int:
    """Return how many numbers a *structure* made by :func:`numbered` has."""
    numbers: list[int] = []
    _mapped(structure, numbers.append)
    return len(numbers)


def _mapped(structure: Any, of: Callable[[Any], Any]) -> Any:
    """Return *structure* with *of* every leaf in its place; its containers stay what they are."""
    if isinstance(structure, np.ndarray):
        if not structure.ndim:
            return of(structure[()])
        parts = [of(x) for x in structure.ravel().tolist()]
        shape = (*structure.shape, *(np.shape(parts[0]) if parts else ()))
        return np.array(parts).reshape(shape)
    if isinstance(structure, dict):
        return {key: _mapped(part, of) for key, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        parts = [_mapped(part, of) for part in structure]
        if isinstance(structure, list):
            return parts
        make: Any = getattr(type(structure), "_make", type(structure))  # of a named tuple
        return make(parts)
    return of(structure)
