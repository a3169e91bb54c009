"""What ``help`` says of a row: a docstring of its own, made from what the row holds."""

from __future__ import annotations

import inspect
import math
from collections.abc import Container
from typing import Any


class Description:
    """The docstring of the class of rows and, asked of one that is *built_in*, that of this row.

    What a user's own row does is not asked, as nothing but its functions could tell.
    """

    def __init__(self, of_class: str | None, built_in: Container[str]):
        self._of_class = inspect.cleandoc(of_class or "")  # there is none under -OO
        self._built_in = built_in

    def __get__(self, row: Any, owner: type) -> str:
        known = row is not None and getattr(row, "name", None) in self._built_in
        return _described(row) if known else self._of_class


def _described(row: Any) -> str:
    names, written = ["x1", "x2", "..."], ""
    if row.arity is not None:
        names = ["x"] if row.arity == 1 else list("abcdefgh"[: row.arity])
        formula = row.latex(names) if callable(row.latex) else row.latex.format(*names)
        written = f", written ${formula}$"
    return f"""{row.name}({", ".join(names)}): an operation of the table{written}.

    It takes numbers, Values and arrays of either, element by element, and is one node of the graph
    where an argument is a Value. Where the operation is not defined the result is nan or infinite,
    as in IEEE arithmetic, and never an exception; TypeError for what is not a real number.
    docs/primitives.md has its derivatives, and what holds at kinks and in the tails.
{_example(row)}"""


def _example(row: Any) -> str:
    """Return a call of *row* where it is sampled; nothing where it has no name to call it by."""
    if not row.name.isidentifier() or len(row.domain) != row.arity:
        return ""
    point = [
        _inside(wanted, *bounds)
        for wanted, bounds in zip((0.5, 2.0, -1.0, 3.0), row.domain, strict=False)
    ]
    if len(point) != row.arity:
        return ""
    return f"""
    >>> {row.name}({", ".join(map(repr, point))})
    {row(*point)!r}
    """


def _inside(wanted: float, low: float, high: float) -> float:
    """Return *wanted*, or a short number near the lower end of what a row is sampled on."""
    return wanted if low < wanted < high else float(math.floor(low) + 1)
