"""Array programs as parts of a larger plan: their steps, with its places for what goes in and out.

A section of a program with loops is lowered as any array program is, but into a plan that is there
already.  What it is given and what it returns lies in rows of that plan.  The derivatives by
parameters are added up in SUMS, over the examples and, in a loop, over its rounds: what is done
with these sums, after the examples, is linear in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..engine.backend import Value
from .addresses import contiguous
from .assembly import PIECES, Whole
from .drafting import AFTER, BEFORE, EACH
from .lowering import Lowering
from .pieces import Section
from .places import Buffer, Spot
from .plan import BLOCK, STILL, Plan
from .program import Operation
from .strides import strides_of


class Slopes(NamedTuple):
    """Places in STILL for the derivatives by leaves, and one more for those by all others."""

    first: int
    entries: Mapping[Value, int]


def embed(
    whole: Whole,
    section: Section,
    given: Mapping[str, int],
    into: Sequence[int],
    slopes: Slopes | None = None,
) -> None:
    """Append the steps of *section*.

    *given* says from which row on each of its arguments is, *into* where each of what it ``gives``
    is to be, and then each of its masks; *slopes* where the derivatives by its leaves are added.
    """
    _Embedded(whole, section, given, into, slopes).append()


class _Embedded(Lowering):
    def __init__(
        self,
        whole: Whole,
        section: Section,
        given: Mapping[str, int],
        into: Sequence[int],
        slopes: Slopes | None,
    ) -> None:
        super().__init__(section.program, 0)
        self.whole, self.section, self.slopes = whole, section, slopes
        self.at = [given[name] for name in section.program.inputs]
        self.plan = Plan(tables=whole.plan.tables)
        self._rows, self._sums = whole.rows, whole.plan.sums
        self._still, self._taken, self._first_row = [], len(whole.still), PIECES
        self.count = _fixed(STILL, 0, 1)
        self.theta = self._parameters()
        own = len(into)
        self.rows = list(zip(section.results[:own], into, strict=True))
        self.by = [
            (n, x)
            for n, x in zip(section.by, section.results[own:], strict=True)
            if slopes is not None and not slopes.entries.keys().isdisjoint(section.blocks[n])
        ]
        self.later: list[tuple[int, Spot]] = []  # results that cannot be computed in their places

    def append(self) -> None:
        """Append all steps to those of the whole."""
        results = [*(n for n, _ in self.rows), *(x for _, x in self.by)]
        plan, whole = self.run(results, True), self.whole
        whole.still += plan.still.tolist()
        whole.plan.sums = plan.sums
        whole.plan.before += plan.before
        whole.plan.after += plan.after
        whole.steps += plan.each
        whole.pieces = max(whole.pieces, plan.block - PIECES)

    def _parameters(self) -> Spot:
        """Return where the leaves are, in the order of the section."""
        places = np.array([1 + self.whole.place[leaf] for leaf in self.section.leaves])
        count = len(places)
        if not count or (np.diff(places) == 1).all():
            return _fixed(STILL, int(places[0]) if count else 0, count)
        found = self._keep(np.zeros(count))
        all_of_them = _fixed(STILL, 0, 1 + len(self.whole.captured))
        self.step("gather", BEFORE, (count,), (found, all_of_them), (self.table(places),))
        return found

    def _input(self, n: int, operation: Operation) -> Spot:
        spot = _fixed(BLOCK, self.at[operation.detail], 1)
        spot = spot._replace(strides=strides_of(operation.shape))
        if n not in self.dest:
            return spot
        self.each("copy", EACH, operation.shape, (self.dest[n], spot))
        return self.dest[n]

    def _begin(self) -> None:
        for n, row in self.rows:
            shape = self.operations[n].shape
            place = _fixed(BLOCK, row, 1)._replace(strides=strides_of(shape))
            if self.operations[n].kind == "new":
                buffer = self.buffers[n]
                if buffer.space == BLOCK and not buffer.fixed:
                    buffer.at, buffer.fixed = row, True
                    continue
            elif n not in self.dest and self._is_made(n):
                self.dest[n] = place
                continue
            self.later.append((n, place))

    def _is_made(self, n: int) -> bool:
        """Return whether operation *n* computes numbers for each example."""
        operation = self.operations[n]
        axes = contiguous(operation.shape)
        return operation.kind != "input" and self._can_be_placed(n, BLOCK, axes)

    def _end(self) -> None:
        for n, place in self.later:
            shape = self.operations[n].shape
            self.each("copy", EACH, shape, (place, self.spot(n, shape)))
        for n, x in self.by:
            assert self.slopes is not None
            entries, last = self.slopes.entries, len(self.slopes.entries)
            table = np.array([entries.get(leaf, last) for leaf in self.section.blocks[n]])
            shape = self.operations[x].shape
            value = self._packed(AFTER, self.spot(x, shape), shape)._replace(strides=(1,))
            target = _fixed(STILL, self.slopes.first, last + 1)
            spots = target, value
            self.step("scatter_add", AFTER, table.shape, spots, (self.table(table),))


def _fixed(space: int, at: int, count: int) -> Spot:
    return Spot(Buffer(space, count, at, fixed=True), 0, (1,))
