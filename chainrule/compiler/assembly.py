"""A plan in the making that is put together from parts: places for all, and small steps between.

A part is the plan of a piece of the graph, made by :mod:`.flat`, or steps on arrays that
:mod:`.embedding` writes.  What goes from one part to the next lies in rows that this file hands
out; what a part needs for itself lies in rows behind those, which all parts share.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine import table as primitives
from ..engine.backend import Value
from ..engine.table import Primitive
from .plan import BLOCK, STILL, Operand, Plan, Step
from .tape import Ids, Mask

PIECES = 1 << 40
"""The rows of pieces, until it is known where they are."""
_FEW = 8
"""Numbers that are copied one by one: single steps are quicker than one on arrays."""


class Whole:
    """A plan made of parts."""

    def __init__(self, captured: Sequence[Value]) -> None:
        self.captured = list(captured)
        self.place = {leaf: i for i, leaf in enumerate(self.captured)}
        self.plan = Plan(parameters=(1, 1 + len(self.captured)))
        self.still = [0.0] * (1 + len(self.captured))
        self.rows: dict[Primitive, int] = {}
        self.top = 0
        self.pieces = 0  # rows that a piece needs at most
        self.steps: list[Step] = []

    def take(self, count: int) -> int:
        """Return the first of *count* rows."""
        self.top += count
        return self.top - count

    # --- small steps -----------------------------------------------------------------------------

    def constant(self, count: int = 1, value: float = 0.0) -> int:
        """Return the first of *count* new places in STILL."""
        self.still += [value] * count
        return len(self.still) - count

    def table(self, numbers: Any) -> int:
        """Return the number of a new table."""
        self.plan.tables.append(np.ascontiguousarray(numbers, dtype=np.int64))
        return len(self.plan.tables) - 1

    def copy(self, to: int, of: int, count: int) -> None:
        """Append a copy of rows."""
        if count:
            self.steps.append(Step("copy", (count,), (rows_from(to), rows_from(of))))

    def move(self, to: int, of: int, count: int, by: tuple[int, int]) -> None:
        """Append a copy of rows that goes on by so much at each round."""
        if count:
            self.steps.append(Step("move", (count,), (rows_from(to), rows_from(of)), by))

    def clear(self, first: int, count: int) -> None:
        """Append that rows become 0."""
        self.fill(first + np.arange(count), 0.0)

    def fill(self, rows: Ids, number: float) -> None:
        """Append that *rows*, which go on by one in some stretches, become a *number*."""
        for part in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
            if len(part):
                x = Operand(STILL, self.constant(1, number), (0,))
                self.steps.append(Step("copy", (len(part),), (rows_from(int(part[0])), x)))

    def assign(self, rows: Ids, of: Ids) -> None:
        """Append that the numbers at *of* go to *rows*; none of these is one that is read."""
        runs, rest = _in_runs(rows, of)
        for first, source, count in runs:
            self.copy(first, source, count)
        self._one_by_one(primitives.identity, rows[rest], of[rest])

    def add_to(self, rows: Ids, terms: Ids) -> None:
        """Append that the numbers at *terms* are added to *rows*, each of which occurs once."""
        runs, rest = _in_runs(rows, terms)
        for first, source, count in runs:
            self.steps.append(Step("add", (count,), (rows_from(first), rows_from(source))))
        few = rows[rest]
        sums = self.take(len(few)) + np.arange(len(few))
        self._one_by_one(primitives.add, sums, few, terms[rest])
        self._one_by_one(primitives.identity, few, sums)

    def _one_by_one(self, row: Primitive, rows: Ids, *arguments: Ids) -> None:
        """Append *row* of the numbers at *arguments* for each of *rows*, as flat steps."""
        if len(rows):
            table = np.zeros((len(rows), 5), dtype=np.int64)
            table[:, 0] = self.rows.setdefault(row, len(self.rows))
            for column, of in enumerate((rows, *arguments), 1):
                table[:, column] = of
            self.steps.append(Step("flat", (), (), (self.table(table),)))

    def collect(self, addresses: Ids, to: int) -> None:
        """Append that the numbers at *addresses* are brought together in rows from *to* on."""
        count, still = len(addresses), np.flatnonzero(addresses < 0)
        if not count:
            return
        if len(still) < count:
            table = self.table(np.maximum(addresses, 0))
            self.steps.append(Step("gather", (count,), (rows_from(to), rows_from(0)), (table,)))
        if len(still):
            first, some = self.constant(len(still)), (len(still),)
            both = Operand(STILL, first, (1,)), Operand(STILL, 0, (1,))
            table = self.table(~addresses[still])
            self.plan.before.append(Step("gather", some, both, (table,)))
            whole = len(still) == count
            room = to if whole else self.take(len(still))
            self.steps.append(Step("copy", some, (rows_from(room), Operand(STILL, first, (1,)))))
            if not whole:
                operands = rows_from(to), rows_from(room)
                self.steps.append(Step("scatter", some, operands, (self.table(still),)))

    def accumulate(self, addresses: Ids, into: Ids) -> None:
        """Append that the numbers at *addresses* are added to the rows *into*."""
        if len(addresses):
            room = self.take(len(addresses))
            self.collect(addresses, room)
            operands = rows_from(0), rows_from(room)
            table = self.table(into)
            self.steps.append(Step("scatter_add", (len(addresses),), operands, (table,)))

    def loop(self, count: int, first: int) -> None:
        """Make a loop of the steps from number *first* on; flat steps become one list."""
        steps: list[Step] = []
        for flat_ones, group in itertools.groupby(self.steps[first:], lambda x: x.code == "flat"):
            some = list(group)
            if flat_ones and len(some) > 1:
                tables = self.plan.tables
                table = self.table(np.concatenate([tables[step.detail[0]] for step in some]))
                some = [Step("flat", (), (), (table,))]
            steps += some
        self.steps[first:] = [Step("loop", (), (), (count, len(steps))), *steps]

    # --- pieces ----------------------------------------------------------------------------------

    def insert(self, plan: Plan, inputs: Sequence[int]) -> Ids:
        """Append the steps of a piece, and return the addresses of its outputs.

        The rows of the whole are known only in the end, so those of pieces are numbered from
        PIECES on.
        """
        rows = PIECES + np.arange(plan.block)
        for (first, count), at in zip(plan.inputs, inputs, strict=True):
            rows[first : first + count] = at + np.arange(count)
        _, stop = plan.parameters
        still = np.arange(len(plan.still))
        still[stop:] = len(self.still) + np.arange(len(plan.still) - stop)
        self.still += plan.still[stop:].tolist()
        numbers = [self.rows.setdefault(row, len(self.rows)) for row in plan.rows]
        known = np.array([*numbers, -2, -1])  # the complements count from the end

        def placed(addresses: Ids) -> Ids:
            found: Ids = addresses.astype(np.int64)
            found[addresses >= 0] = rows[addresses[addresses >= 0]] if plan.block else 0
            found[addresses < 0] = ~still[~addresses[addresses < 0]]
            return found

        def moved(step: Step) -> Step:
            table = plan.tables[step.detail[-1]]
            if step.code == "call":
                return step._replace(detail=(numbers[step.detail[0]], self.table(placed(table))))
            assert step.code == "flat"
            moved = np.concatenate([known[table[:, :1]], placed(table[:, 1:])], axis=1)
            return step._replace(detail=(self.table(moved),))

        self.plan.before += map(moved, plan.before)
        self.steps += map(moved, plan.each)
        self.pieces = max(self.pieces, plan.block)
        outputs = [x.offset if x.space == BLOCK else ~x.offset for x in plan.outputs]
        found: Ids = placed(np.array(outputs, dtype=np.int64))
        return found

    def finished(self) -> Plan:
        """Return the plan, with the rows of pieces behind all others."""
        plan = self.plan
        for i, table in enumerate(plan.tables):
            plan.tables[i] = np.where(table >= PIECES, table - PIECES + self.top, table)
        plan.outputs = [self._settled(x) for x in plan.outputs]
        plan.each = [
            step._replace(operands=tuple(map(self._settled, step.operands))) for step in self.steps
        ]
        plan.rows, plan.still = list(self.rows), np.array(self.still)
        plan.block = self.top + self.pieces
        return plan

    def _settled(self, x: Operand) -> Operand:
        return x._replace(offset=x.offset - PIECES + self.top) if x.offset >= PIECES else x


def rows_from(first: int) -> Operand:
    """Return the rows from *first* on as an operand."""
    return Operand(BLOCK, first, (1,))


def _in_runs(to: Ids, of: Ids) -> tuple[list[tuple[int, int, int]], Mask]:
    """Return the longer stretches of rows in which both *to* and *of* go on by one, and the rest.

    A stretch is its first row of either, and how many they are.
    """
    if not len(to):
        return [], np.zeros(0, dtype=bool)
    breaks = (np.diff(to) != 1) | (np.diff(of) != 1)
    starts = np.append(0, np.flatnonzero(breaks) + 1)
    counts = np.diff(np.append(starts, len(to)))
    long = (counts >= _FEW) & (of[starts] >= 0)
    found = [
        (int(to[k]), int(of[k]), int(n)) for k, n in zip(starts[long], counts[long], strict=True)
    ]
    return found, ~np.repeat(long, counts)
