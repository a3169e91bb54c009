"""Rows of nodes that somebody else computed: their number and their partials are given.

``Value(data, children, local_grads)`` makes such a node, as scripts for other ``Value`` classes do.
Its row has a name, for the drawings, and no formulas.  So there is nothing to differentiate again
and nothing to run again, and whoever tries is told.
"""

from __future__ import annotations

import functools
from typing import Any, NoReturn

from .primitive import Primitive, call_template

ADVICE = (
    "add the operation with cr.primitive, or write it with chainrule's own functions, and both "
    "its value and its derivatives are known at every order"
)


def is_given(row: Primitive | None) -> bool:
    """Return whether *row*, of some node, has no formulas."""
    return row is not None and row.found_by is given_row


@functools.lru_cache(maxsize=256)
def given_row(name: str = "given") -> Primitive:
    """Return the row called *name* that computes nothing; it does not stand in the table."""

    def compute(*_: Any) -> NoReturn:
        raise TypeError(
            f"a node {name!r} was given its number with its children, so it cannot be computed "
            f"anew: {ADVICE}"
        )

    def differentiate(*_: Any) -> NoReturn:
        raise TypeError(
            f"the local derivatives of a node {name!r} were given as numbers, so a derivative "
            "through it cannot be differentiated again (a transform that is given Values, or is "
            f"inside another, would need that too): {ADVICE}"
        )

    row = Primitive()
    row._kernel = row.analytic = row.selects = row.takes = row.arity = None
    row.found_by, row.name = given_row, name
    row.scalar = row.array = compute
    row.partials = row.defaults = row.domain = row.binds = ()
    row.variadic = differentiate
    row.latex, row.precedence = call_template(name, None), 9
    return row
