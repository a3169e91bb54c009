"""What a function returned, whatever it is, as arrays of real numbers in nested lists.

Read where the function runs, in a process of its own as well, so that this module needs NumPy and
nothing of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from ...intake.names import block_of, gradient_of

Tree: TypeAlias = "np.ndarray[Any, Any] | list[Any]"
"""Arrays of real numbers in nested lists."""

MOST_ENTRIES = 10_000_000
MOST_ARRAYS = 10_000
DEEPEST = 6


def tidy(value: Any) -> Tree:
    """Return *value*, whatever it is, as arrays of real numbers in nested lists.

    Dictionaries give their values in order, without what is stored beside gradients (``dA1`` beside
    ``dW1``); Values their data; nested sequences of numbers an array. Anything else raises
    ``TypeError`` or ``ValueError`` with what it was.

    >>> tidy({"W1": [[1, 2], [3, 4]], "b1": (5, 6)})
    [array([[1, 2],
           [3, 4]]), array([5, 6])]
    """
    tree = _tidied(value, DEEPEST)
    # The same array may stand there a million times, and is a million arrays from here on.
    sizes = [array.size for array in arrays_of(tree)]
    if len(sizes) > MOST_ARRAYS:
        raise ValueError(f"{len(sizes)} arrays")
    if sum(sizes) > MOST_ENTRIES:
        raise ValueError(f"{sum(sizes)} entries in {len(sizes)} arrays")
    return tree


def arrays_of(tree: Tree) -> list[np.ndarray[Any, Any]]:
    """Return the arrays of *tree* in order."""
    if isinstance(tree, list):
        return [array for item in tree for array in arrays_of(item)]
    return [tree]


def _tidied(value: Any, depth: int) -> Tree:
    if depth < 0:
        raise ValueError(f"lists within lists, more than {DEEPEST} deep")
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise ValueError("an array with masked entries")
        value = value.data
    if isinstance(value, np.ndarray) and value.dtype != object:
        return _real(value)
    if isinstance(value, (str, bytes)) or value is None:
        raise TypeError(f"{type(value).__name__} {str(value)[:60]!r}" if value else repr(value))
    if isinstance(value, Iterator) and not hasattr(value, "read"):
        value = list(islice(value, MOST_ARRAYS + 1))  # a generator, which may have no end
    if isinstance(value, Mapping):
        value = _gradients_of(value)
    elif hasattr(value, "data") and isinstance(value.data, float):
        value = value.data
    elif hasattr(value, "detach") and hasattr(value, "numpy"):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        if len(value) > MOST_ENTRIES:
            raise ValueError(f"a list of {len(value)} items")
        return _joined([_tidied(item, depth - 1) for item in value], value)
    array = np.asarray(value)
    if array.dtype == object:
        raise TypeError(f"an object of type {type(value).__name__}")
    return _real(array)


def _gradients_of(named: Mapping[Any, Any]) -> list[Any]:
    """Return the values; if some are named as gradients of weights and biases, those alone."""
    names = [str(name) for name in named if isinstance(name, (str, int))]
    chosen = [name for name in names if gradient_of(name)] or [n for n in names if block_of(n)]
    return [named[name] for name in chosen] if chosen else list(named.values())


def _real(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "fiub":
        raise TypeError(f"an array of {array.dtype}")
    if array.size > MOST_ENTRIES:
        raise ValueError(f"an array of {array.size} entries")
    return array


def _joined(items: list[Tree], given: Sequence[Any]) -> Tree:
    """Make numbers a vector, and lists of numbers of one length a matrix; leave arrays apart."""
    if not items or any(isinstance(item, list) for item in items):
        return items
    numbers = all(np.ndim(item) == 0 for item in items)
    rows = len({np.shape(item) for item in items}) == 1 and np.ndim(items[0]) == 1
    if numbers or (rows and not any(isinstance(item, np.ndarray) for item in given)):
        return np.array(items)
    return items


def finite(tree: Tree) -> bool:
    """Whether every number of *tree* is finite."""
    return bool(np.isfinite(flat(tree)).all())


def flat(tree: Tree) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return all numbers of *tree* as one vector."""
    vectors = [np.asarray(array, dtype=np.float64).ravel() for array in arrays_of(tree)]
    return np.concatenate([np.zeros(0), *vectors])
