"""Plans with loops: a scan whose body was recorded once becomes a loop among the steps.

The program is cut where its loops are.  A *piece* computes what goes into a loop, or the results,
and the body of a loop is a piece too.  Each comes from :mod:`.flat` as a plan of its own or, if it
has width, from :mod:`.embedding` as steps on arrays.  Here they are put one after another in one
plan, with rows in common for what goes from one to the next.  :mod:`.way_back` adds derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..engine import modes
from ..engine.backend import Value
from ..engine.bodies import Loop
from .assembly import Whole
from .embedding import Slopes, embed
from .flat_pieces import FlatPiece, Placed, check_rows
from .pieces import NamedLeaves, NamedNumbers, Piece, Section
from .plan import BLOCK, STILL, Operand, Plan

MOST_ENDINGS = 6
"""Rounds on the way back that may be loops of their own."""
MOST_KEPT = 250_000
"""Numbers of states in a loop, beyond which a program keeps those of some steps, unless told.

It is a limit of memory alone, 2 MB for each example of a block: to compute a step again takes
longer than to write its state and read it, wherever that lies.
"""


def apart(loop: Loop, known: set[Value]) -> tuple[list[Any], list[Value], list[Value]]:
    """Return the results of a body, cut off from the graph below it.

    Also return the computed Values that it captured, and the leaves that stand for them; leaves in
    *known* stand for themselves.
    """
    body = loop.body
    inner = {*body.carry_in, *body.x_in, *body.nodes}
    oldest = min((v.serial for v in (*body.carry_in, *body.x_in, *body.nodes)), default=0)
    new: dict[Value, Any] = {}
    sources: list[Value] = []
    stand_ins: list[Value] = []

    def mapped(x: Any) -> Any:
        if not isinstance(x, Value) or x in known:
            return x
        if x in new:
            return new[x]
        if x in inner:
            return x
        if x.primitive is None and x.serial > oldest:
            return x.data  # made by the step
        sources.append(x)
        new[x] = Value(x.data)
        stand_ins.append(new[x])
        return new[x]

    for node in body.nodes:
        assert node.primitive is not None
        new[node] = node.primitive(*map(mapped, node.operands))
    return [mapped(x) for x in (*body.carry_out, *body.y_out)], sources, stand_ins


def segments(loop: Loop) -> tuple[int, int]:
    """Return into how many segments the beginning of *loop* is cut, and how many steps each has.

    Of a segment only the state with which it begins is kept.  The last steps are not in one: there
    the rounds back may differ.
    """
    every = loop.every
    if every is None:
        many = len(loop.carry) * loop.count > MOST_KEPT
        every = math.isqrt(loop.count) if many else loop.count
    count = max(0, loop.count - MOST_ENDINGS) // every
    return count, every if count else 0


def states_kept(loop: Loop) -> int:
    """Return how many states are kept for the way back."""
    count, every = segments(loop)
    return count + every + loop.count - count * every


class Rounds(NamedTuple):
    """Rounds on the way back through a loop in which the same numbers are reached, all surely."""

    steps: int
    live: list[int]
    """The numbers of the carry whose adjoints go in."""
    used: list[int]
    """Likewise of what goes out of a step."""
    before: list[int]
    """The numbers of the carry that are reached."""


@dataclass
class LoopRows:
    """Where in BLOCK the numbers of a loop are."""

    carry: int
    x: int
    xs: int
    held: int
    """What the body captured."""
    ys: int
    results: int
    kept: int = -1
    # Of the backward sweep:
    start: int = -1
    weights: int = -1
    last: int = -1
    by_ys: int = -1
    by_x: int = -1
    by_xs: int = -1
    by_held: int = -1
    # The masks of what there are adjoints of, -1 if there are none:
    masks: int = -1
    mask_last: int = -1
    mask_ys: int = -1
    mask_x: int = -1
    mask_xs: int = -1
    mask_held: int = -1
    rounds: list[Rounds] = field(default_factory=list)
    """From the last step to the first."""
    plain: list[frozenset[Value]] = field(default_factory=lambda: [frozenset()])
    """The leaves of the body that are constants to the engine: in the first steps, one after
    another, and then in all others."""
    masked: bool = False
    """Whether a round has masks, or constants."""
    segments: int = 0
    """How many segments at the beginning keep the state with which they begin, and no other."""
    every: int = 0
    """How many steps such a segment has."""
    marks: int = -1
    """The states with which they begin."""
    segment: Strip | None = None
    """The rows of the segment that is computed again."""


@dataclass
class Strip:
    """Rows with something for every step: of a whole loop, or of a segment of it."""

    states: int
    xs: int
    ys: int
    by_xs: int = -1
    by_ys: int = -1
    mask_xs: int = -1
    mask_ys: int = -1


class Weighted(NamedTuple):
    """Numbers, of which *some* have adjoints, in rows from *at* on.

    Those that are *shaded* have masks, in rows from *masks* on; if there are any, so have all.
    """

    numbers: Sequence[Any]
    at: int
    some: Sequence[int]
    masks: int = -1
    shaded: Sequence[int] = ()


class Linker(Whole):
    """A plan made of the plans of pieces."""

    def __init__(
        self,
        loops: Sequence[Loop],
        arguments: Sequence[Sequence[Value]],
        outputs: Sequence[Any],
        captured: Sequence[Value],
        wanted: Sequence[Value],
        arrays: bool = True,
    ) -> None:
        super().__init__(captured)
        self.loops, self.arguments, self.outputs = loops, arguments, outputs
        self.asked, self.arrays = wanted, arrays
        self.slopes: Slopes | None = None
        self.plain: set[Value] = set()
        """What loops gave that depends on no parameter, if that matters."""
        self.groups: list[Placed] = []
        """Leaves whose numbers lie in rows one after another, and the first of these."""
        for argument in arguments:
            at = self.take(len(argument))
            self.plan.inputs.append((at, len(argument)))
            self.groups.append((argument, at))
        self.places: list[LoopRows] = []
        self.given = {leaf for argument in arguments for leaf in argument}
        known = self.given | set(self.captured)
        self.bodies = []
        for loop in self.loops:
            with modes.suspended():
                self.bodies.append(apart(loop, known))
            n, nx, ny = len(loop.carry), len(loop.body.x_in), len(loop.body.y_out)
            self.places.append(
                LoopRows(
                    self.take(n), self.take(nx), self.take(nx * loop.count),
                    self.take(len(self.bodies[-1][1])), self.take(ny * loop.count),
                    self.take(n + ny),
                )
            )  # fmt: skip

    # --- pieces ----------------------------------------------------------------------------------

    def piece(self, rows: Sequence[Weighted], own: Sequence[Placed] = ()) -> Piece | None:
        """Return a piece of the graph as arrays, which are named for the rows that they are in.

        None if it is better computed number by number.
        """
        if not self.arrays:
            return None
        groups, mine = (
            [NamedLeaves(leaves, f"r{at}", (len(leaves),)) for leaves, at in some if len(leaves)]
            for some in (self.groups, own)
        )
        asked = [
            NamedNumbers(f"r{row.at}", row.numbers, row.some, bool(row.shaded)) for row in rows
        ]
        found = Piece(asked, self.captured, groups, mine)
        if not found.is_wide():
            return None
        check_rows(found.tape)
        return found

    def compute(self, rows: Sequence[Placed], own: Sequence[Placed] = ()) -> None:
        """Append that numbers are computed into *rows*."""
        rows = [row for row in rows if len(row[0])]
        if not rows:
            return
        wide = self.piece([Weighted(x, at, range(len(x))) for x, at in rows], own)
        if wide is not None:
            self.embed(wide.values(), [at for _, at in rows])
            return
        found = FlatPiece(
            self, self.groups, [x for numbers, _ in rows for x in numbers], own
        ).values()
        for numbers, at in rows:
            of, found = found[: len(numbers)], found[len(numbers) :]
            if own:
                self.assign(at + np.arange(len(of)), of)
            else:
                self.collect(of, at)

    def embed(
        self, section: Section, into: Sequence[int], masks: Mapping[int, int] | None = None
    ) -> None:
        """Append the steps of a section whose arguments are named for the rows they are in."""
        given: dict[str, int] = {}
        for name in section.program.inputs:
            kind, _, row = name.rpartition("r")
            given[name] = masks[int(row)] if masks and kind == "m_" else int(row)
        embed(self, section, given, into, self.slopes if section.by else None)

    # --- forward ---------------------------------------------------------------------------------

    def entry(self, which: int) -> list[Placed]:
        """Return the numbers that go into a loop, and the rows in which it finds them."""
        loop, at = self.loops[which], self.places[which]
        entries = [x for row in loop.xs for x in row]
        return [(loop.carry, at.carry), (entries, at.xs), (self.bodies[which][1], at.held)]

    def forward(self) -> Plan:
        """Return the plan of the outputs."""
        self.run_loops()
        wide = self.piece([Weighted(self.outputs, 0, range(len(self.outputs)))])
        if wide is None:
            found = FlatPiece(self, self.groups, self.outputs, ()).values()
        else:
            first = self.take(len(self.outputs))
            self.embed(wide.values(), [first])
            found = first + np.arange(len(self.outputs))
        self.plan.outputs = [
            Operand(STILL, ~x) if x < 0 else Operand(BLOCK, x) for x in found.tolist()
        ]
        return self.finished()

    def run_loops(self, keep: bool = False) -> None:
        """Append all loops; the carries with which steps begin are kept if *keep* is set."""
        for which, (loop, at) in enumerate(zip(self.loops, self.places, strict=True)):
            n, nx, ny = len(loop.carry), len(loop.body.x_in), len(loop.body.y_out)
            self.compute(self.entry(which))
            if keep:
                at.segments, at.every = segments(loop)
            done = at.segments * at.every
            if done:
                at.marks = self.take(n * at.segments)
                at.segment = Strip(*(self.take(width * at.every) for width in (n, nx, ny)))
                first = len(self.steps)
                self.move(at.marks, at.carry, n, (n, 0))
                self.move(at.segment.xs, at.xs, nx * at.every, (0, nx * at.every))
                self.run_body(which, at.every, Strip(-1, at.segment.xs, at.segment.ys))
                self.move(at.ys, at.segment.ys, ny * at.every, (ny * at.every, 0))
                self.loop(at.segments, first)
            at.kept = self.take(n * (loop.count - done)) if keep else -1
            rest = Strip(at.kept, at.xs + nx * done, at.ys + ny * done)
            self.run_body(which, loop.count - done, rest)
            # What comes later finds the results in their rows.
            self.groups += [(loop.last, at.carry), ([y for row in loop.ys for y in row], at.ys)]

    def run_body(self, which: int, count: int, strip: Strip) -> None:
        """Append *count* steps; their states are kept if there is a place for them in *strip*."""
        loop, at = self.loops[which], self.places[which]
        n, nx, ny = len(loop.carry), len(loop.body.x_in), len(loop.body.y_out)
        first = len(self.steps)
        if strip.states >= 0:
            self.move(strip.states, at.carry, n, (n, 0))
        self.move(at.x, strip.xs, nx, (0, nx))
        outs = self.bodies[which][0] if strip.ys >= 0 else self.bodies[which][0][:n]
        self.compute([(outs, at.results)], self.leaves_of(which, at.carry))
        self.assign(at.carry + np.arange(n), at.results + np.arange(n))
        if strip.ys >= 0:
            self.move(strip.ys, at.results + n, ny, (ny, 0))
        self.loop(count, first)

    def leaves_of(self, which: int, carry: int) -> list[Placed]:
        """Return the leaves of a body, with the carry in rows from *carry* on."""
        loop, at, stand_ins = self.loops[which], self.places[which], self.bodies[which][2]
        return [(loop.body.carry_in, carry), (loop.body.x_in, at.x), (stand_ins, at.held)]
