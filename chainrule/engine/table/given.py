"""Rows for nodes whose number and partials the user's own code computed.

``Value(data, children, local_grads)`` makes such a node, as scripts for other ``Value`` classes do.
Its row has a name, for the drawings, but no formulas.  So the node cannot be differentiated twice
or computed again, and an error says so.
"""

from __future__ import annotations

import functools
from typing import Any, NoReturn

from .primitive import Primitive, unlisted

ADVICE = (
    "add the operation with cr.primitive, or write it with chainrule's own functions, and both "
    "its value and its derivatives are known at every order"
)


def is_given(row: Primitive | None) -> bool:
    """Return whether *row* is a given row, without formulas."""
    return row is not None and row.found_by is given_row


@functools.lru_cache(maxsize=256)
def given_row(name: str = "given") -> Primitive:
    """Return a row called *name* that computes nothing; it is not in the table."""

    def compute(*_: Any) -> NoReturn:
        raise TypeError(
            f"the number of a node {name!r} was given with its children, so it cannot be computed "
            f"again: {ADVICE}"
        )

    def differentiate(*_: Any) -> NoReturn:
        raise TypeError(
            f"the local derivatives of a node {name!r} were given as numbers, so a derivative "
            "through it cannot be differentiated again (which a transform of Values, or one inside "
            f"another, would need): {ADVICE}"
        )

    row = unlisted(Primitive(), name, compute, differentiate, given_row)
    row.array = compute
    return row
