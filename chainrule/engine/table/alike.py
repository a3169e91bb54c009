"""Whether two primitives were defined by the same code, as when a notebook cell runs again."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .primitive import Primitive


def same_definition(a: Primitive, b: Primitive) -> bool:
    """Return whether *a* and *b* have the same functions, and so compute the same.

    False does not mean that they differ: no one can tell whether different code computes the same.
    """
    return len(a.partials) == len(b.partials) and all(map(_same, _functions(a), _functions(b)))


def _functions(row: Primitive) -> tuple[Any, ...]:
    return row.scalar, row.array, row.variadic, row.selects, *row.partials


def _same(f: Any, g: Any) -> bool:
    """Return whether two functions have the same code, and the same numbers in their closures."""
    if f is g:
        return True
    if isinstance(f, functools.partial) and isinstance(g, functools.partial):
        return f.func is g.func and all(map(_same, f.args, g.args))
    if not (hasattr(f, "__code__") and hasattr(g, "__code__")):
        return type(f) is type(g) and isinstance(f, (float, int, str)) and f == g
    try:
        held = [[*(c.cell_contents for c in h.__closure__ or ()), h.__defaults__] for h in (f, g)]
    except ValueError:  # a name that is not bound yet
        return False
    return f.__code__ == g.__code__ and all(map(_same, *held))
