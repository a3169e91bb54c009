"""The way back through pieces of a program with loops: adjoints of numbers go to their leaves.

A piece is differentiated along the adjoints of its results: the derivative of ``w_1 r_1 + w_2 r_2 +
...`` by a leaf is what it gets for adjoints w.  What reaches nothing has no adjoint, not one that
is 0, as in the engine.  Where that depends on data, on what was chosen, a *mask* goes with
the adjoint and says for each example whether there is one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..engine import table as primitives
from ..engine.backend import Value
from .assembly import rows_from
from .embedding import Slopes
from .flat_pieces import FlatPiece, Placed
from .linking import Linker, Weighted
from .pieces import Piece, weighted
from .plan import STILL, SUMS, Operand, Plan, Step
from .tape import Ids

NEVER, BY_CHOICE, ALWAYS = range(3)
"""Whether a number is reached."""
SURE = -(1 << 50)
"""In the place of a mask's address: it is 1."""


class Reach(NamedTuple):
    """How a leaf is reached: where its adjoint is, and its mask if it is reached by choice."""

    at: int
    mask: int

    @property
    def status(self) -> int:
        """Whether it is reached."""
        return ALWAYS if self.mask == SURE else BY_CHOICE


class Pulling(Linker):
    """A plan in the making that computes derivatives too."""

    slopes: Slopes

    def begin_back(self) -> None:
        """Have rows for adjoints; all values are computed."""
        self.wanted = [leaf for leaf in dict.fromkeys(self.asked) if leaf in self.place]
        entries = {leaf: i for i, leaf in enumerate(self.wanted)}
        self.slopes = Slopes(self.constant(len(self.wanted) + 1), entries)
        self.adjoint: dict[Value, int] = {}
        """The rows of adjoints: of what loops gave, and of parameters that have one."""
        self.status: dict[Value, int] = {}
        """Whether what loops gave is reached."""
        self.sums: list[int] = []
        """The rows of the derivatives by parameters, each with its leaf in ``by``."""
        self.by: list[Value] = []
        self.cleared = len(self.steps)
        self.zeros: list[tuple[int, int]] = []
        """More rows that are 0 then."""
        self.origin: dict[Value, tuple[int, bool, int]] = {}
        """The loop that gave a Value, whether that went out of a step, and which it is."""
        for which, (loop, at) in enumerate(zip(self.loops, self.places, strict=True)):
            n, ny = len(loop.carry), len(loop.body.y_out)
            at.last, at.by_ys = self.take(n), self.take(ny * loop.count)
            self.clear(at.last, n + ny * loop.count)
            ys = [y for row in loop.ys for y in row]
            self.adjoint.update(zip(loop.last, range(at.last, at.last + n), strict=True))
            self.adjoint.update(zip(ys, range(at.by_ys, at.by_ys + len(ys)), strict=True))
            for goes_out, given in ((False, loop.last), (True, ys)):
                self.origin.update((x, (which, goes_out, i)) for i, x in enumerate(given))

    def pull(
        self,
        rows: Sequence[Weighted],
        own: Sequence[Placed] = (),
        wanted: Sequence[Value] = (),
        plain: Collection[Value] = (),
    ) -> dict[Value, Reach]:
        """Append the way back through numbers, along their adjoints.

        Return how all leaves are reached: those *wanted*, parameters, and what loops gave.  The
        *plain* ones are constants to the engine.  Parameters are left out where their derivatives
        are added up already.
        """
        rows = [row for row in rows if len(row.some)]
        found, asked, plain = self.asked_of(rows, own, wanted, plain)
        status = found.reached(asked, plain)
        leaves = [leaf for leaf, x in zip(asked, status, strict=True) if x]
        chosen = [leaf for leaf, x in zip(asked, status, strict=True) if x == BY_CHOICE]
        wide = self.piece(rows, own)
        if wide is None:
            at = found.pulled(leaves, plain)[1:].tolist()
            mask = dict(zip(chosen, at[len(leaves) :], strict=True))
            places = dict(zip(leaves, at[: len(leaves)], strict=True))
        else:
            places, mask = self.pull_arrays(wide, rows, leaves, chosen, plain)
        return {
            leaf: Reach(places[leaf], mask.get(leaf, SURE)) for leaf in leaves if leaf in places
        }

    def asked_of(
        self,
        rows: Sequence[Weighted],
        own: Sequence[Placed],
        wanted: Sequence[Value],
        plain: Collection[Value],
    ) -> tuple[FlatPiece, list[Value], Collection[Value]]:
        """Return numbers times adjoints as a piece, the leaves to ask of it, and the constants."""
        terms: list[tuple[Value, Any, Value | None]] = []
        groups: list[Placed] = []
        for row in rows:
            weights = [Value(0.0) for _ in row.numbers]
            masks = [Value(0.0) for _ in row.numbers] if row.shaded else []
            groups += [(weights, row.at), (masks, row.masks)] if masks else [(weights, row.at)]
            shaded = set(row.shaded)
            terms += [
                (weights[i], row.numbers[i], masks[i] if i in shaded else None) for i in row.some
            ]
        plain = {*self.given, *self.plain, *plain}
        found = FlatPiece(self, self.groups, [weighted(terms)], [*own, *groups])
        asked = dict.fromkeys([*wanted, *self.adjoint, *self.wanted])
        return found, [x for x in asked if x in found.number and x not in plain], plain

    def pull_arrays(
        self,
        wide: Piece,
        rows: Sequence[Weighted],
        leaves: Sequence[Value],
        chosen: Sequence[Value],
        plain: Collection[Value],
    ) -> tuple[dict[Value, int], dict[Value, int]]:
        """Append the way back through a piece of arrays; return where adjoints and masks are."""
        by, masks = (
            [group for group in wide.given if not some.isdisjoint(group.leaves)]
            for some in (set(leaves), set(chosen))
        )
        linked = {leaf for group in by for leaf in group.leaves}.difference(plain)
        names = [group.name for group in masks]
        section = wide.back([group.name for group in by], linked, names)
        given = {group.name: group for group in by}
        found: tuple[dict[Value, int], dict[Value, int]] = {}, {}
        into: list[int] = []
        for some, places in zip((section.gives, section.masks), found, strict=True):
            for name in some:
                into.append(self.take(len(given[name].leaves)))
                places.update((leaf, into[-1] + i) for i, leaf in enumerate(given[name].leaves))
        self.embed(section, into, {row.at: row.masks for row in rows})
        return found[0], {leaf: found[1][leaf] for leaf in chosen if leaf in found[1]}

    def row_of(self, leaf: Value) -> int:
        """Return the row in which the adjoint of *leaf* is added up."""
        if leaf not in self.adjoint:
            self.adjoint[leaf] = self.take(1)
            self.sums.append(self.adjoint[leaf])
            self.by.append(leaf)
        return self.adjoint[leaf]

    def pull_back(self, rows: Sequence[Weighted]) -> None:
        """Append the way back through numbers outside of loops, added to what there is."""
        found = self.pull(rows)
        shaded = [leaf for leaf, x in found.items() if x.mask != SURE and leaf in self.origin]
        for at, into in (
            ([x.at for x in found.values()], [self.row_of(leaf) for leaf in found]),
            ([found[leaf].mask for leaf in shaded], [self.mask_row(leaf) for leaf in shaded]),
        ):
            self.accumulate(np.array(at, dtype=np.int64), np.array(into, dtype=np.int64))
        for leaf, x in found.items():
            self.status[leaf] = max(x.status, self.status.get(leaf, NEVER))

    def mask_row(self, leaf: Value) -> int:
        """Return the row in which the mask of *leaf*, which a loop gave, is added up."""
        which, goes_out, i = self.origin[leaf]
        self.take_masks(which)
        at = self.places[which]
        return (at.mask_ys if goes_out else at.mask_last) + i

    def take_masks(self, which: int) -> None:
        """Have rows for the masks of what a loop gives."""
        loop, at = self.loops[which], self.places[which]
        if at.mask_last < 0:
            n, count = len(loop.carry), len(loop.body.y_out) * loop.count
            at.mask_last, at.mask_ys = self.take(n), self.take(count)
            self.zeros += [(at.mask_last, n), (at.mask_ys, count)]

    def mean(self, cost: int) -> Plan:
        """Return the plan, with the means of row *cost* and of the derivatives as its results."""
        plan, rows = self.plan, [cost, *self.sums]
        count, size, zero = len(rows), len(self.wanted) + 1, self.constant()
        steps, self.steps = self.steps, []
        for row, many in [*((row, 1) for row in self.sums), *self.zeros]:
            self.clear(row, many)
        self.steps = [*steps[: self.cleared], *self.steps, *steps[self.cleared :]]
        room, means = self.take(count), self.constant(count)
        self.collect(np.array(rows), room)
        sums, into = Operand(SUMS, plan.sums, (1,)), Operand(STILL, means, (1,))
        self.steps.append(Step("sum", (count,), (sums, rows_from(room)), (0,)))
        plan.sums, plan.cost = plan.sums + count, means
        slopes = Operand(STILL, self.slopes.first, (1,))
        after = [
            Step("copy", (size,), (slopes, Operand(STILL, zero, (0,)))),
            *plan.after,
            Step("copy", (count,), (into, sums)),
        ]
        entries = self.slopes.entries
        if self.sums:
            table = self.table([entries[leaf] for leaf in self.by])
            terms = into._replace(offset=means + 1)
            after.append(Step("scatter_add", (count - 1,), (slopes, terms), (table,)))
        divide = self.rows.setdefault(primitives.divide, len(self.rows))
        how_many = Operand(STILL, 0, (0,))
        for x, n in ((into, 1), (slopes, size)):
            after.append(Step("apply", (n,), (x, x, how_many), (divide,)))
        last = self.constant(len(self.asked))
        plan.gradient = last, last + len(self.asked)
        if self.asked:
            first = self.slopes.first
            table = self.table(
                [first + entries[leaf] if leaf in entries else zero for leaf in self.asked]
            )
            operands = Operand(STILL, last, (1,)), Operand(STILL, 0, (1,))
            after.append(Step("gather", (len(self.asked),), operands, (table,)))
        plan.after = after
        return self.finished()


def ids(numbers: Iterable[int]) -> Ids:
    """Return *numbers* as an array."""
    return np.array([*numbers], dtype=np.int64)
