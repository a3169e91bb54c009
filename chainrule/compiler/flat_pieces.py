"""Pieces of a program with loops that are computed number by number: plans of :mod:`.flat`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ..engine import table as primitives
from ..engine.backend import Value
from ..engine.modes import WriteOut
from ..engine.table import BUILT_IN
from . import flat
from .assembly import Whole
from .pieces import in_use, piece_of
from .tape import CONSTANT, Ids, Tape, starts_of

Placed = tuple[Sequence[Any], int]
"""Numbers, and the row from which on they are, or are to be."""


class FlatPiece:
    """A piece of the graph that is computed number by number."""

    def __init__(
        self, whole: Whole, groups: Sequence[Placed], outputs: Sequence[Any], own: Sequence[Placed]
    ) -> None:
        self.whole = whole
        known = {v for values, _ in (*groups, *own) for v in values} | whole.place.keys()
        self.tape = piece_of(outputs, known)
        _add_one_by_one(self.tape)
        self.groups = [*in_use(self.tape, groups), *own]
        members = self.tape.arguments([*(values for values, _ in self.groups), whole.captured])
        self.arguments, self.parameters = members[:-1], members[-1]
        check_rows(self.tape)
        self.number = {
            leaf: n
            for values, numbers in zip(
                [*(values for values, _ in self.groups), whole.captured], members, strict=True
            )
            for leaf, n in zip(values, numbers, strict=True)
        }

    def values(self) -> Ids:
        """Append the steps of the outputs, and return the addresses of these."""
        plan = flat.forward(self.tape, self.arguments, self.parameters)
        return self.whole.insert(plan, [row for _, row in self.groups])

    def reached(self, wanted: Sequence[Value], plain: Collection[Value]) -> list[int]:
        """Return whether the only output depends on the leaves *wanted*; the *plain* are none."""
        numbers = [self.number[leaf] for leaf in wanted]
        linked = [n for leaf, n in self.number.items() if leaf not in plain]
        found = flat.reached(self.tape, self.arguments, self.parameters, linked, numbers)
        return [int(x) for x in found]

    def pulled(self, wanted: Sequence[Value], plain: Collection[Value]) -> Ids:
        """Append the steps of the only output and its derivatives, and return their addresses.

        Behind these are the addresses of the masks of those that are reached by choice.
        """
        numbers = [self.number[leaf] for leaf in wanted]
        linked = [n for leaf, n in self.number.items() if leaf not in plain]
        plan = flat.pulled(self.tape, self.arguments, self.parameters, linked, numbers)
        return self.whole.insert(plan, [row for _, row in self.groups])


def _add_one_by_one(tape: Tape) -> None:
    """Write sums and means of many numbers as additions of two, in the order of the engine.

    In a loop's program many numbers are added up that are alike, and steps of two are cheap.
    """
    sizes, means = np.diff(tape.starts), tape.are(np.arange(len(tape)), primitives.mean_of)
    long = (means | tape.are(np.arange(len(tape)), primitives.add_up)) & (sizes > 2)
    if not long.any():
        return
    # The additions of a number stand before it, and before these how many terms a mean has.
    more = np.where(long, sizes - 2 + 2 * means, 0)
    place = np.arange(len(tape)) + np.cumsum(more)
    codes = np.full(int(place[-1]) + 1, -3, dtype=tape.codes.dtype)
    codes[place] = tape.codes
    values = np.zeros(len(codes))
    values[place] = tape.values
    operands: list[list[int]] = [[] for _ in codes]
    rows = list(tape.rows)
    at_add, at_divide = len(rows), len(rows) + 1
    inputs, starts = place[tape.inputs], tape.starts.tolist()
    for n in np.flatnonzero(~long & (sizes > 0)).tolist():
        operands[place[n]] = inputs[starts[n] : starts[n + 1]].tolist()
    for n in np.flatnonzero(long).tolist():
        terms, end, mean = inputs[starts[n] : starts[n + 1]].tolist(), int(place[n]), bool(means[n])
        first = end - len(terms) + 2 - mean
        codes[first : end + 1] = at_add
        total = terms[0]
        for k, term in enumerate(terms[1:], first):
            operands[k] = [total, term]
            total = k
        if mean:
            codes[first - 1], values[first - 1], codes[end] = CONSTANT, len(terms), at_divide
            operands[end] = [total, first - 1]
    tape.rows = [*rows, primitives.add, primitives.divide]
    tape.codes, tape.values = codes, values
    tape.starts = starts_of([len(x) for x in operands])
    tape.inputs = np.array([x for some in operands for x in some], dtype=np.int64)
    tape.leaves = {int(place[n]): leaf for n, leaf in tape.leaves.items()}
    tape.labels = {int(place[n]): label for n, label in tape.labels.items()}
    tape.outputs = place[tape.outputs].tolist()


def check_rows(tape: Tape) -> None:
    """Raise WriteOut for the operations of users."""
    for row in (tape.rows[code] for code in np.unique(tape.codes) if code >= 0):
        if row.name not in BUILT_IN:
            raise WriteOut(f"there is the operation {row.name}, in its step or around it")
