"""Arguments of a compiled function: arrays outside, lists of Values inside.

A batch is an array whose first axis counts the examples.  The recorded function sees one example,
in which every number is a Value, and returns a Value or a structure of Values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine import structures
from ..engine import table as primitives
from ..engine.backend import Value

Array = np.ndarray[Any, np.dtype[np.float64]]


def floats(given: Any, what: str) -> Array:
    """Return *given*, called *what* in messages, as an array of float whose rows are examples."""
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
    with np.errstate(over="ignore"):  # a long double that is too large becomes inf, as in a Value
        return aligned(array.astype(float, copy=False))


def aligned(array: Array) -> Array:
    """Return *array*, or a copy if its numbers lie between addresses: a slice of a message, say."""
    return array if array.flags.aligned else array.copy()


class HoldsValuesError(TypeError):
    """An argument of a compiled function holds Values."""


def example_like(x: Any) -> Any:
    """Return one example, an array of objects or a single one, as the function is given it."""
    return x.tolist() if isinstance(x, np.ndarray) else x


def _from_objects(given: Any, array: Any, what: str) -> Any:
    """Return an array of number objects, such as fractions, as an array of float."""
    if any(isinstance(x, Value) for x in array.flat):
        raise HoldsValuesError(
            f"{what} holds Values; expected plain numbers: with Values you may call a compiled "
            "function, but not ask for its derivatives, which cr.grad and the others give"
        )
    if not array.ndim:
        raise TypeError(f"{what} is {given!r:.80}; expected an array, or a nested list, of numbers")
    numbers = [primitives.as_float(x, what) for x in array.flat]
    return np.array(numbers).reshape(array.shape)


def example(batch: Array) -> Any:
    """Return the first example of *batch* with Values for its numbers, or zeros if it is empty."""
    first = batch[0] if len(batch) else np.zeros(batch.shape[1:])

    def wrapped(x: Any) -> Any:
        return [wrapped(part) for part in x] if isinstance(x, list) else Value(x)

    return wrapped(first.tolist())


def numbered(structure: Any, outputs: list[Any], name: str) -> Any:
    """Return *structure* with its leaves numbered from 0; the leaves are appended to *outputs*."""

    def leaf(x: Any) -> int:
        outputs.append(x if isinstance(x, Value) else primitives.as_float(x, f"result of {name}"))
        return len(outputs) - 1

    return structures.mapped(structure, leaf)
