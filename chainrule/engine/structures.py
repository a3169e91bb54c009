"""Trees of numbers: numbers and Values in lists, tuples, dicts and arrays, nested as they come.

Such are the arguments of a function, what it returns, and a gradient, which is shaped like what it
is taken by.  All rooms read and rebuild them by one rule: from left to right, a dict in its own
order, an array row by row.  Containers stay what they are, named tuples included; an array without
dimensions is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .table import as_float


def leaves(structure: Any) -> list[Any]:
    """Return the numbers and Values in *structure*, from left to right.

    >>> leaves({"w": [1.0, (2.0, 3.0)], "b": np.array([[4.0], [5.0]])})
    [1.0, 2.0, 3.0, 4.0, 5.0]
    """
    if isinstance(structure, np.ndarray):
        return structure.ravel().tolist() if structure.ndim else [structure[()]]
    if isinstance(structure, dict):
        structure = structure.values()
    elif not isinstance(structure, (list, tuple)):
        return [structure]
    return [leaf for part in structure for leaf in leaves(part)]


def mapped(structure: Any, of: Callable[[Any], Any]) -> Any:
    """Return *structure* with *of* every number in its place.

    >>> mapped((1.0, {"b": [2.0, 3.0]}), lambda x: 10 * x)
    (10.0, {'b': [20.0, 30.0]})

    Where arrays come back for the numbers of an array, their axes follow its own.
    """
    if isinstance(structure, np.ndarray):
        if not structure.ndim:
            return of(structure[()])
        return array_of([of(x) for x in structure.ravel().tolist()], structure.shape)
    if isinstance(structure, dict):
        return {key: mapped(part, of) for key, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        make: Any = getattr(type(structure), "_make", type(structure))  # of a named tuple
        return make([mapped(part, of) for part in structure])
    return of(structure)


def like(structure: Any, numbers: Iterator[Any]) -> Any:
    """Return a structure shaped as *structure* with the next of *numbers* in each place.

    >>> like([0.0, (0.0, 0.0)], iter("abc"))
    ['a', ('b', 'c')]
    """
    return mapped(structure, lambda _: next(numbers))


def array_of(entries: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Return an array of *shape*: of float if all *entries* are, else of objects such as Values."""
    if entries and isinstance(entries[0], np.ndarray):
        return np.array(entries).reshape(*shape, *entries[0].shape)
    numeric = all(isinstance(entry, float) for entry in entries)
    array = np.empty(len(entries), dtype=float if numeric else object)
    array[:] = entries
    return array.reshape(shape)


def paths(structure: Any, name: str) -> list[str]:
    """Return how each number in *structure* is written, *structure* itself being *name*.

    >>> paths({"w": [1.0, 2.0], "b": np.zeros((1, 2))}, "p")
    ["p['w'][0]", "p['w'][1]", "p['b'][0, 0]", "p['b'][0, 1]"]
    """
    if isinstance(structure, np.ndarray):
        return [
            f"{name}[{', '.join(map(str, index))}]" if index else name
            for index in np.ndindex(structure.shape)
        ]
    if isinstance(structure, dict):
        return [path for key, x in structure.items() for path in paths(x, f"{name}[{key!r}]")]
    if isinstance(structure, (list, tuple)):
        return [path for i, x in enumerate(structure) for path in paths(x, f"{name}[{i}]")]
    return [name]


def difference(given: Any, pattern: Any, name: str) -> str | None:
    """Return in words where *given*, called *name*, differs in structure from *pattern*, or None.

    >>> difference({"v": [1.0, 2.0]}, {"v": [0.0]}, "carry")
    "carry['v'] is a list of 2, not a list of 1"

    Any number is like any other, plain or Value, and None is like None.
    """
    if type(given) is float and type(pattern) is float:
        return None
    if described(given) != described(pattern):
        return f"{name} is {described(given)}, not {described(pattern)}"
    if isinstance(pattern, dict):
        parts = [(given[key], part, f"{name}[{key!r}]") for key, part in pattern.items()]
    elif isinstance(pattern, (list, tuple)):
        parts = [
            (x, part, f"{name}[{i}]")
            for i, (x, part) in enumerate(zip(given, pattern, strict=True))
        ]
    else:
        return None
    found = (difference(*part) for part in parts)
    return next((words for words in found if words is not None), None)


def described(structure: Any) -> str:
    """Return in words what the outermost part of *structure* is.

    >>> described([1.0]), described({"v": 1.0}), described(np.zeros((2, 3))), described("text")
    ('a list of 1', "a dict of 'v'", 'an array of shape (2, 3)', 'str')
    """
    kind = type(structure)
    if kind in (float, int) or hasattr(kind, "__chainrule__"):
        return "a number"
    if structure is None:
        return "None"
    if isinstance(structure, np.ndarray) and structure.ndim:
        return f"an array of shape {structure.shape}"
    if isinstance(structure, dict):
        keys = ", ".join(sorted(map(repr, structure)))
        return f"a dict of {keys}" if structure else "an empty dict"
    if isinstance(structure, (list, tuple)):
        article = "an" if kind.__name__[0] in "aeiouAEIOU" else "a"
        return f"{article} {kind.__name__} of {len(structure)}"
    try:
        as_float(structure, "")
    except TypeError:
        return kind.__name__
    return "a number"
