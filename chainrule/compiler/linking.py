"""Plans with loops: a scan whose body was recorded once becomes a loop among the steps.

The program is cut where its loops are.  A *piece* computes what goes into a loop, or the results,
and the body of a loop is a piece too.  Each comes from :mod:`.flat` as a plan of its own or, if it
has width, from :mod:`.embedding` as steps on arrays.  Here they are put one after another in one
plan, with rows in common for what goes from one to the next.

Backward, a piece is differentiated along the adjoints of its results: the derivative of
``w_1 r_1 + w_2 r_2 + ...`` is what :func:`.flat.pulled` gives for leaves w.  So the backward loop
goes from the last step to the first, and each round computes the body again from the carry with
which the step began, and pulls the adjoints through it: backpropagation through time.  Only the
carries are kept.  What reaches nothing has no adjoint, not one that is 0, as in the engine; so the
last rounds may be loops of their own, until as much is reached as in all rounds before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..engine import modes
from ..engine import table as primitives
from ..engine.backend import Value
from ..engine.bodies import Loop
from ..engine.modes import WriteOut
from ..engine.table import BUILT_IN
from . import flat
from .embedding import Slopes, embed
from .pieces import Group, Piece, Row, Section, in_use, piece_of, weighted
from .plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from .tape import CONSTANT, Ids, Tape, starts_of
from .whole import Whole, rows_from

_MOST_ENDINGS = 6  # rounds that may be loops of their own
MOST_KEPT = 50_000
"""Numbers of states in a loop, beyond which a program keeps those of some steps, unless told."""
_DIFFERS = "what its results depend on differs from step to step"
_OF_A_CLASS = frozenset({primitives.take_entry, *primitives.OF_A_CLASS})


def apart(loop: Loop, known: set[Value]) -> tuple[list[Any], list[Value], list[Value]]:
    """Return the results of a body, cut off from the graph below it.

    Also return the computed Values that it captured, and the leaves that stand for them; leaves in
    *known* stand for themselves.
    """
    body = loop.body
    inner = {*body.carry_in, *body.x_in, *body.nodes}
    oldest = min(v.serial for v in (*body.carry_in, *body.x_in, *body.nodes))
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
    count = max(0, loop.count - _MOST_ENDINGS) // every
    return count, every if count else 0


def states_kept(loop: Loop) -> int:
    """Return how many states are kept for the way back."""
    count, every = segments(loop)
    return count + every + loop.count - count * every


class Rounds(NamedTuple):
    """Rounds on the way back through a loop in which the same numbers are reached."""

    steps: int
    live: list[int]
    """The numbers of the carry whose adjoints go in."""
    used: list[int]
    """Likewise of what goes out of a step."""
    before: list[int]
    """The numbers of the carry that are reached."""


@dataclass
class _Rows:
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
    rounds: list[Rounds] = field(default_factory=list)
    """From the last step to the first."""
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


Placed = tuple[Sequence[Any], int]
"""Numbers, and the row from which on they are, or are to be."""


class Weighted(NamedTuple):
    """Numbers, of which *some* have adjoints, in rows from *at* on."""

    numbers: Sequence[Any]
    at: int
    some: Sequence[int]


class _Flat:
    """A piece of the graph that is computed number by number."""

    def __init__(self, linker: Linker, outputs: Sequence[Any], more: Sequence[Placed]) -> None:
        self.linker = linker
        known = {v for values, _ in (*linker.groups, *more) for v in values} | linker.place.keys()
        self.tape = piece_of(outputs, known)
        _add_one_by_one(self.tape)
        self.groups = [*in_use(self.tape, linker.groups), *more]
        members = self.tape.arguments([*(values for values, _ in self.groups), linker.captured])
        self.arguments, self.parameters = members[:-1], members[-1]
        _check_rows(self.tape)
        self.number = {
            leaf: n
            for values, numbers in zip(
                [*(values for values, _ in self.groups), linker.captured], members, strict=True
            )
            for leaf, n in zip(values, numbers, strict=True)
        }

    def values(self) -> Ids:
        """Append the steps of the outputs, and return the addresses of these."""
        plan = flat.forward(self.tape, self.arguments, self.parameters)
        return self.linker.insert(plan, [row for _, row in self.groups])

    def reached(self, wanted: Sequence[Value]) -> Ids:
        """Return which of the leaves *wanted* the only output depends on, by their places there."""
        numbers = [self.number.get(leaf, -1) for leaf in wanted]
        status = flat.reached(self.tape, self.arguments, self.parameters, numbers)
        return np.flatnonzero(status)

    def pulled(self, wanted: Sequence[Value]) -> Ids:
        """Append the steps of the only output and its derivatives, and return their addresses."""
        numbers = [self.number[leaf] for leaf in wanted]
        plan = flat.pulled(self.tape, self.arguments, self.parameters, numbers)
        return self.linker.insert(plan, [row for _, row in self.groups])


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
        self.groups: list[Placed] = []
        """Leaves whose numbers lie in rows one after another, and the first of these."""
        for argument in arguments:
            at = self.take(len(argument))
            self.plan.inputs.append((at, len(argument)))
            self.groups.append((argument, at))
        self.places: list[_Rows] = []
        self.given = {leaf for argument in arguments for leaf in argument}
        known = self.given | set(self.captured)
        self.bodies = []
        for loop in self.loops:
            with modes.suspended():
                self.bodies.append(apart(loop, known))
            n, nx, ny = len(loop.carry), len(loop.body.x_in), len(loop.body.y_out)
            self.places.append(
                _Rows(
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
            [Group(leaves, f"r{at}", (len(leaves),)) for leaves, at in some if len(leaves)]
            for some in (self.groups, own)
        )
        asked = [Row(f"r{at}", numbers, some) for numbers, at, some in rows]
        found = Piece(asked, self.captured, groups, mine)
        if not found.is_wide():
            return None
        _check_rows(found.tape)
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
        found = _Flat(self, [x for numbers, _ in rows for x in numbers], own).values()
        for numbers, at in rows:
            of, found = found[: len(numbers)], found[len(numbers) :]
            if own:
                self.assign(at + np.arange(len(of)), of)
            else:
                self.collect(of, at)

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
            found = _Flat(self, self.outputs, ()).values()
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

    # --- backward --------------------------------------------------------------------------------

    def gradient(self) -> Plan:
        """Return the plan of the mean of the only output, and of its derivatives."""
        self.run_loops(keep=True)
        self.wanted = [leaf for leaf in dict.fromkeys(self.asked) if leaf in self.place]
        entries = {leaf: i for i, leaf in enumerate(self.wanted)}
        self.slopes = Slopes(self.constant(len(self.wanted) + 1), entries)
        cost, one = self.take(1), self.take(1)
        self.adjoint: dict[Value, int] = {}
        """The rows of adjoints: of what loops gave, and of parameters that have one."""
        self.reached: set[Value] = set()
        self.sums: list[int] = []
        """The rows of the derivatives by parameters, each with its leaf in ``by``."""
        self.by: list[Value] = []
        self.cleared = len(self.steps)
        for loop, at in zip(self.loops, self.places, strict=True):
            n, ny = len(loop.carry), len(loop.body.y_out)
            at.last, at.by_ys = self.take(n), self.take(ny * loop.count)
            self.clear(at.last, n + ny * loop.count)
            ys = [y for row in loop.ys for y in row]
            self.adjoint.update(zip(loop.last, range(at.last, at.last + n), strict=True))
            self.adjoint.update(zip(ys, range(at.by_ys, at.by_ys + len(ys)), strict=True))
        self.compute([(self.outputs, cost)])
        self.steps.append(
            Step("copy", (1,), (rows_from(one), Operand(STILL, self.constant(1, 1.0), (0,))))
        )
        self.pull_back([Weighted(self.outputs, one, [0])])
        for which in reversed(range(len(self.loops))):
            del self.groups[-2:]
            self.pull_loop(which)
        return self.mean(cost)

    def pull(
        self, rows: Sequence[Weighted], own: Sequence[Placed] = (), wanted: Sequence[Value] = ()
    ) -> dict[Value, int]:
        """Append the way back through numbers, along their adjoints.

        Return the addresses of the adjoints of all leaves that are reached: of those *wanted*, of
        parameters, and of what loops gave.  Of parameters they are left out where they are added
        up already.
        """
        weights = [[Value(0.0) for _ in row.some] for row in rows]
        terms = [
            (w, row.numbers[i])
            for row, ws in zip(rows, weights, strict=True)
            for w, i in zip(ws, row.some, strict=True)
        ]
        groups: list[Placed] = []
        for row, ws in zip(rows, weights, strict=True):
            whole = [Value(0.0) for _ in row.numbers]
            for w, i in zip(ws, row.some, strict=True):
                whole[i] = w
            groups.append((whole, row.at))
        found = _Flat(self, [weighted(terms)], [*own, *groups])
        asked = list(dict.fromkeys([*wanted, *self.adjoint, *self.wanted]))
        asked = [leaf for leaf in asked if leaf in found.number]
        there = found.reached(asked)
        leaves = [asked[k] for k in there]
        self.reached.update(leaves)
        wide = self.piece(rows, own)
        if wide is None:
            return dict(zip(leaves, found.pulled(leaves)[1:].tolist(), strict=True))
        reached = set(leaves)
        by = [group for group in wide.given if not reached.isdisjoint(group.leaves)]
        section = wide.back([group.name for group in by])
        given = {group.name: group for group in by}
        into = [self.take(len(given[name].leaves)) for name in section.gives]
        self.embed(section, into)
        places: dict[Value, int] = {}
        for name, at in zip(section.gives, into, strict=True):
            places.update((leaf, at + i) for i, leaf in enumerate(given[name].leaves))
        return {leaf: places[leaf] for leaf in leaves if leaf in places}

    def embed(self, section: Section, into: Sequence[int]) -> None:
        """Append the steps of a section whose arguments are named for the rows they are in."""
        given = {name: int(name.removeprefix("d_")[1:]) for name in section.program.inputs}
        embed(self, section, given, into, self.slopes if section.by else None)

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
        self.accumulate(
            np.array([*found.values()], dtype=np.int64),
            np.array([self.row_of(leaf) for leaf in found], dtype=np.int64),
        )

    def pull_loop(self, which: int) -> None:
        """Append the way back through a loop, and through what goes into it."""
        loop, at, held = self.loops[which], self.places[which], self.bodies[which][2]
        n, nx, ny = len(loop.carry), len(loop.body.x_in), len(loop.body.y_out)
        used = [[j for j in range(ny) if row[j] in self.reached] for row in loop.ys]
        if any(x != used[0] for x in used):
            raise WriteOut("of what goes out of its steps, some is read and some is not")
        live = [i for i, leaf in enumerate(loop.last) if leaf in self.reached]
        if not live and not used[0]:
            return
        at.start, at.weights, at.by_x = self.take(n), self.take(n + ny), self.take(nx)
        at.by_xs, at.by_held = self.take(nx * loop.count), self.take(len(held))
        self.clear(at.by_x, nx)
        self.clear(at.by_xs, nx * loop.count)
        self.clear(at.by_held, len(held))
        self.copy(at.weights, at.last, n)
        came: list[set[int]] = []  # for each round from the last on, what of x and held is reached
        done = at.segments * at.every
        strip = Strip(at.kept, at.xs + nx * done, -1, at.by_xs + nx * done, at.by_ys + ny * done)
        rest = loop.count - done
        for _ in range(_MOST_ENDINGS):
            before, more, rounds = self.pull_body(which, live, used[0], rest - len(came), strip)
            came += [more] * rounds
            at.rounds.append(Rounds(rounds, live, used[0], before))
            stable, live = before == live, before
            if not live and not used[0]:
                came += [set()] * (loop.count - len(came))  # nothing goes further back
            if len(came) >= rest:
                break
        else:
            raise WriteOut(_DIFFERS)
        if len(came) < loop.count:
            if not stable:
                raise WriteOut(_DIFFERS)
            came += [more] * done
            at.rounds[-1] = at.rounds[-1]._replace(steps=at.rounds[-1].steps + done)
            self.pull_segments(which, live, used[0])
        reached = [i in live for i in range(n)]
        reached += [j in more for more in reversed(came) for j in range(nx)]
        reached += [any(nx + k in more for more in came) for k in range(len(held))]
        self.pull_entry(which, iter(reached))

    def pull_entry(self, which: int, reached: Iterator[bool]) -> None:
        """Append the way back through what goes into a loop, of which so much is reached."""
        at = self.places[which]
        adjoints = at.weights, at.by_xs, at.by_held
        rows = []
        for (numbers, _), by in zip(self.entry(which), adjoints, strict=True):
            there = [next(reached) for _ in numbers]
            some = [
                i
                for i, x in enumerate(numbers)
                if there[i] and isinstance(x, Value) and x not in self.given
            ]
            if some:
                rows.append(Weighted(numbers, by, some))
        if rows:
            self.pull_back(rows)

    def pull_segments(self, which: int, live: list[int], used: list[int]) -> None:
        """Append the way back through the segments, whose states are computed again."""
        loop, at, strip = self.loops[which], self.places[which], self.places[which].segment
        assert strip is not None
        n, nx, ny = len(loop.carry), len(loop.body.x_in), len(loop.body.y_out)
        k, last = at.every, at.segments - 1
        strip.by_xs, strip.by_ys, strip.ys = self.take(nx * k), self.take(ny * k), -1
        first = len(self.steps)
        self.move(at.carry, at.marks + last * n, n, (0, -n))
        self.move(strip.xs, at.xs + last * k * nx, k * nx, (0, -k * nx))
        self.move(strip.by_ys, at.by_ys + last * k * ny, k * ny, (0, -k * ny))
        self.run_body(which, k, strip)
        self.pull_body(which, live, used, k, strip)
        self.move(at.by_xs + last * k * nx, strip.by_xs, k * nx, (-k * nx, 0))
        self.loop(at.segments, first)

    def pull_body(
        self, which: int, live: list[int], used: list[int], left: int, strip: Strip
    ) -> tuple[list[int], set[int], int]:
        """Append one round back, or, if all that are *left* are alike, all of them.

        Return which numbers of the carry are reached before these rounds, which of those that come
        in and then of those that are captured, and how many rounds there were.
        """
        loop, at, (outs, _, held) = self.loops[which], self.places[which], self.bodies[which]
        n, nx, ny = len(loop.carry), len(loop.body.x_in), len(loop.body.y_out)
        first, mark = len(self.steps), left - 1
        self.move(at.start, strip.states + mark * n, n, (0, -n))
        self.move(at.x, strip.xs + mark * nx, nx, (0, -nx))
        self.move(at.weights + n, strip.by_ys + mark * ny, ny, (0, -ny))
        rows = [Weighted(outs[:n], at.weights, live), Weighted(outs[n:], at.weights + n, used)]
        own = [*loop.body.carry_in, *self.coming_in(loop), *held]
        found = self.pull([row for row in rows if row.some], self.leaves_of(which, at.start), own)
        targets = [
            [(i, found.pop(leaf)) for i, leaf in enumerate(leaves) if leaf in found]
            for leaves in (loop.body.carry_in, loop.body.x_in, held)
        ]
        before, by_x, by_held = ([i for i, _ in some] for some in targets)
        (_, from_carry), (_, from_x), (_, from_held) = (
            (_, np.array([address for _, address in some], dtype=np.int64)) for some in targets
        )
        into = [*(at.by_held + i for i in by_held), *(self.row_of(leaf) for leaf in found)]
        terms = np.concatenate([from_held, np.array([*found.values()], dtype=np.int64)])
        self.add_to(np.array(into, dtype=np.int64), terms)
        self.assign(at.by_x + np.array(by_x, dtype=np.int64), from_x)
        room = self.take(len(before)) + np.arange(len(before))
        self.assign(room, from_carry)
        self.assign(at.weights + np.array(before, dtype=np.int64), room)
        if by_x:
            self.move(strip.by_xs + mark * nx, at.by_x, nx, (-nx, 0))
        rounds = left if before == live else 1
        self.loop(rounds, first)
        return before, {*by_x, *(nx + k for k in by_held)}, rounds

    def coming_in(self, loop: Loop) -> list[Value]:
        """Return the leaves for what comes into *loop*, if anything of that was computed."""
        return [
            leaf
            for j, leaf in enumerate(loop.body.x_in)
            if any(isinstance(x := row[j], Value) and x not in self.given for row in loop.xs)
        ]

    def mean(self, cost: int) -> Plan:
        """Return the plan, with the means of row *cost* and of the derivatives as its results."""
        plan, rows = self.plan, [cost, *self.sums]
        count, size, zero = len(rows), len(self.wanted) + 1, self.constant()
        steps, self.steps = self.steps, []
        for row in self.sums:
            self.clear(row, 1)
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


def _check_rows(tape: Tape) -> None:
    """Raise WriteOut for operations of which a piece would have to know more than it does.

    A piece does not know which of its results the rest chooses, nor which exponents are constant.
    """
    for row in (tape.rows[code] for code in np.unique(tape.codes) if code >= 0):
        if row.selects is not None or row.name not in BUILT_IN or row in _OF_A_CLASS:
            raise WriteOut(f"there is the operation {row.name}, in its step or around it")
    powers = np.flatnonzero(tape.codes >= 0)
    powers = powers[tape.are(powers, primitives.power)]
    if len(powers) and not tape.constant(tape.inputs[tape.starts[powers] + 1]).all():
        raise WriteOut("there is a power with an exponent that is not constant")
