"""The functions of one argument as methods, as other Value classes have them: ``v.tanh()``.

They are taken from ``functions``, under NumPy's names too: in an array of objects, NumPy calls the
method with the name of its own function, so ``np.arctan(array)`` calls ``v.arctan()``.  For type
checkers ``tools/stubs.py`` writes them out in ``methods.pyi``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import functions
from .table import Primitive


def names() -> dict[str, Primitive]:
    """Return the functions of one argument, by the names of their methods."""
    found = {
        name: row
        for name, row in vars(functions).items()
        if isinstance(row, Primitive) and row.arity == 1
    }
    theirs = {row.array.__name__: row for row in found.values() if isinstance(row.array, np.ufunc)}
    return theirs | found


class Methods:
    """The methods: one for each function of one argument."""

    __slots__ = ()


def add_to(value_type: type, apply: Callable[[Primitive, Any], Any]) -> None:
    """Give *value_type* the methods that it lacks; ``apply(row, x)`` makes the node."""
    for name, row in names().items():
        if not hasattr(value_type, name):
            setattr(value_type, name, _method(name, row, apply))


def _method(name: str, row: Primitive, apply: Callable[[Primitive, Any], Any]) -> Any:
    def method(self: Any) -> Any:
        return apply(row, self)

    method.__name__, method.__qualname__ = name, f"Value.{name}"
    method.__doc__ = f"Return the node {name}(self)."
    return method
