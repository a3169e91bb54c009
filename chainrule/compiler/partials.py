"""Partials of a user's own primitives: called with symbols if possible, else element by element.

The engine calls a partial with floats, so it may compare them, branch on them, or hand them to
``math``.  A symbol stands for many numbers, so it can only be compared.  A partial that does more
becomes a row of its own, which is called with floats, as the engine calls it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine.table import BUILT_IN, Primitive, as_float, named


def partial_values(row: Primitive, args: Sequence[Any], y: Any, linked: Sequence[int]) -> list[Any]:
    """Return the partial of *row* for each *linked* position; *args* and *y* are symbols."""
    if row.name in BUILT_IN:
        return list(row.partial_values(args, y, linked))
    if not linked:
        return []
    try:
        return [x if hasattr(x, "__chainrule__") else as_float(x, row.name)
                for x in row.partial_values(args, y, linked)]  # fmt: skip
    except Exception:
        # If it fails on numbers too, its row will raise when it is run.
        return [partial_of(row, i, tuple(linked), len(args))(*args, y) for i in linked]


class Partial(Primitive):
    """One partial of *row* as an operation on the arguments and then the output."""

    __slots__ = ("made_from",)

    made_from: tuple[Primitive, int, tuple[int, ...], int]

    def __reduce__(self) -> tuple[Any, ...]:
        return partial_of, self.made_from


@functools.lru_cache(maxsize=1024)
def partial_of(row: Primitive, position: int, linked: tuple[int, ...], count: int) -> Partial:
    """Return the operation that computes the partial of *row*, of *count* arguments, at *position*.

    If an operation takes any number of arguments, its partials may depend on which are *linked*.
    """

    def scalar(*args: float) -> float:
        if row.variadic is None:
            (found,) = row.partial_values(args[:-1], args[-1], (position,))
        else:
            values = row.partial_values(args[:-1], args[-1], linked)
            found = values[linked.index(position)]
        return as_float(found, f"partial {position} of {row.name}")

    made = Partial()
    made.variadic = made.analytic = made.selects = None
    made.name = f"partial {position} of {row.name}"
    made.scalar = scalar
    made.array = functools.partial(_one_by_one, scalar)
    made.partials = (None,) * (count + 1)
    made.arity = count + 1
    made.defaults, made.binds, made.domain = (), (0,) * made.arity, ((-3.0, 3.0),) * made.arity
    made.latex, made.precedence = made.name, 9
    made.found_by = named
    made.made_from = row, position, linked, count
    return made


def _one_by_one(scalar: Any, *arrays: Any) -> Any:
    called = np.frompyfunc(lambda *args: scalar(*map(float, args)), len(arrays), 1)
    return np.asarray(called(*arrays), dtype=float)
