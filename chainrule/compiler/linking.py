"""Plans with loops: a scan whose body was recorded once becomes a loop among the steps.

The program is cut where its loops are.  A *piece* computes what goes into a loop, or the results,
and the body of a loop is a piece too; each comes from :mod:`.flat` as a plan of its own, and here
they are put one after another in one plan, with rows in common for what goes from one to the next.

Backward, a piece is differentiated along the adjoints of its results: the derivative of
``w_1 r_1 + w_2 r_2 + ...`` is what :func:`.flat.pulled` gives for leaves w.  So the backward loop
goes from the last step to the first, and each round computes the body again from the carry with
which the step began, and pulls the adjoints through it: backpropagation through time.  Only the
carries are kept.  What reaches nothing has no adjoint, not one that is 0, as in the engine; so the
last rounds may be loops of their own, until as much is reached as in all rounds before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..engine import modes
from ..engine import table as primitives
from ..engine.backend import Value
from ..engine.bodies import Loop
from ..engine.modes import WriteOut
from ..engine.table import BUILT_IN, Primitive
from . import flat
from .plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from .tape import CONSTANT, Ids, Tape, fix, flatten, starts_of

_MOST_ENDINGS = 6  # rounds that may be loops of their own
MOST_KEPT = 50_000
"""Numbers of states in a loop, beyond which a program keeps those of some steps, unless told."""
_DIFFERS = "what its results depend on differs from step to step"
_PIECES = 1 << 40  # the rows of pieces, until it is known where they are
_OF_A_CLASS = frozenset({primitives.take_entry, *primitives.OF_A_CLASS})


# --- the graph of a piece ------------------------------------------------------------------------


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


# --- one plan of many ----------------------------------------------------------------------------


def piece_of(outputs: Sequence[Any], known: Collection[Value]) -> Tape:
    """Return the tape of a piece of the graph; its leaves are those that are *known*."""
    tape = flatten([x if isinstance(x, Value) else Value(x) for x in outputs])
    fix(tape, [n for n, leaf in tape.leaves.items() if leaf not in known])
    return tape


def in_use(tape: Tape, groups: Sequence[tuple[Sequence[Value], Any]]) -> list[Any]:
    """Return those of *groups* of leaves of which *tape* has one."""
    used = set(tape.leaves.values())
    return [group for group in groups if not used.isdisjoint(group[0])]


class _Piece:
    """A piece of the graph, with a place in the whole for each of its groups of leaves."""

    def __init__(self, linker: Linker, outputs: Sequence[Any], more: Sequence[Any] = ()) -> None:
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

    def pulled(self, wanted: Sequence[Value]) -> tuple[Ids, list[bool]]:
        """Append the steps of the only output and its derivatives, and return their addresses."""
        numbers = [self.number[leaf] for leaf in wanted]
        plan, reached = flat.pulled(self.tape, self.arguments, self.parameters, numbers)
        return self.linker.insert(plan, [row for _, row in self.groups]), reached


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


class Linker:
    """A plan made of the plans of pieces."""

    def __init__(
        self,
        loops: Sequence[Loop],
        arguments: Sequence[Sequence[Value]],
        outputs: Sequence[Any],
        captured: Sequence[Value],
        wanted: Sequence[Value],
    ) -> None:
        self.loops, self.arguments, self.outputs = loops, arguments, outputs
        self.captured, self.asked = list(captured), wanted
        self.place = {leaf: i for i, leaf in enumerate(self.captured)}
        self.plan = Plan(parameters=(1, 1 + len(self.captured)))
        self.still = [0.0] * (1 + len(self.captured))
        self.rows: dict[Primitive, int] = {}
        self.top = 0
        self.pieces = 0  # rows that a piece needs at most
        self.steps: list[Step] = []
        self.groups: list[tuple[Sequence[Value], int]] = []
        """Leaves whose numbers lie in rows one after another, and the first of these."""
        for argument in arguments:
            at = self.take(len(argument))
            self.plan.inputs.append((at, len(argument)))
            self.groups.append((argument, at))
        self.places: list[_Rows] = []
        known = {v for values, _ in self.groups for v in values} | set(self.captured)
        self.bodies = []
        for loop in self.loops:
            with modes.suspended():
                self.bodies.append(apart(loop, known))
            known |= {*loop.last, *(y for row in loop.ys for y in row)}
            n, nx, ny = len(loop.carry), len(loop.body.x_in), len(loop.body.y_out)
            self.places.append(
                _Rows(
                    self.take(n), self.take(nx), self.take(nx * loop.count),
                    self.take(len(self.bodies[-1][1])), self.take(ny * loop.count),
                    self.take(n + ny),
                )
            )  # fmt: skip

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
            self.steps.append(Step("copy", (count,), (_rows(to), _rows(of))))

    def move(self, to: int, of: int, count: int, by: tuple[int, int]) -> None:
        """Append a copy of rows that goes on by so much at each round."""
        if count:
            self.steps.append(Step("move", (count,), (_rows(to), _rows(of)), by))

    def clear(self, first: int, count: int) -> None:
        """Append that rows become 0."""
        if count:
            zero = Operand(STILL, self.constant(), (0,))
            self.steps.append(Step("copy", (count,), (_rows(first), zero)))

    def assign(self, rows: Ids, row: Primitive, *arguments: Ids) -> None:
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
            self.steps.append(Step("gather", (count,), (_rows(to), _rows(0)), (table,)))
        if len(still):
            first, some = self.constant(len(still)), (len(still),)
            both = Operand(STILL, first, (1,)), Operand(STILL, 0, (1,))
            table = self.table(~addresses[still])
            self.plan.before.append(Step("gather", some, both, (table,)))
            whole = len(still) == count
            room = to if whole else self.take(len(still))
            self.steps.append(Step("copy", some, (_rows(room), Operand(STILL, first, (1,)))))
            if not whole:
                operands = _rows(to), _rows(room)
                self.steps.append(Step("scatter", some, operands, (self.table(still),)))

    def accumulate(self, addresses: Ids, into: Ids) -> None:
        """Append that the numbers at *addresses* are added to the rows *into*."""
        if len(addresses):
            room = self.take(len(addresses))
            self.collect(addresses, room)
            operands = _rows(0), _rows(room)
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
        rows = _PIECES + np.arange(plan.block)
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
            plan.tables[i] = np.where(table >= _PIECES, table - _PIECES + self.top, table)
        plan.outputs = [
            x._replace(offset=x.offset - _PIECES + self.top) if x.offset >= _PIECES else x
            for x in plan.outputs
        ]
        plan.rows, plan.still = list(self.rows), np.array(self.still)
        plan.each, plan.block = self.steps, self.top + self.pieces
        return plan

    # --- forward ---------------------------------------------------------------------------------

    def entry(self, which: int) -> list[Any]:
        """Return the Values that go into a loop."""
        loop = self.loops[which]
        return [*loop.carry, *(x for row in loop.xs for x in row), *self.bodies[which][1]]

    def forward(self) -> Plan:
        """Return the plan of the outputs."""
        self.run_loops()
        outputs = _Piece(self, self.outputs).values().tolist()
        self.plan.outputs = [Operand(STILL, ~x) if x < 0 else Operand(BLOCK, x) for x in outputs]
        return self.finished()

    def run_loops(self, keep: bool = False) -> None:
        """Append all loops; the carries with which steps begin are kept if *keep* is set."""
        for which, (loop, at) in enumerate(zip(self.loops, self.places, strict=True)):
            n, nx, ny = len(loop.carry), len(loop.body.x_in), len(loop.body.y_out)
            found = _Piece(self, self.entry(which)).values()
            self.collect(found[:n], at.carry)
            self.collect(found[n : n + nx * loop.count], at.xs)
            self.collect(found[n + nx * loop.count :], at.held)
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
        if outs:
            found = _Piece(self, outs, self.leaves_of(which, at.carry)).values()
            self.assign(at.results + np.arange(len(outs)), primitives.identity, found)
        self.assign(at.carry + np.arange(n), primitives.identity, at.results + np.arange(n))
        if strip.ys >= 0:
            self.move(strip.ys, at.results + n, ny, (ny, 0))
        self.loop(count, first)

    def leaves_of(self, which: int, carry: int) -> list[tuple[Sequence[Value], int]]:
        """Return the leaves of a body, with the carry in rows from *carry* on."""
        loop, at, stand_ins = self.loops[which], self.places[which], self.bodies[which][2]
        return [(loop.body.carry_in, carry), (loop.body.x_in, at.x), (stand_ins, at.held)]

    # --- backward --------------------------------------------------------------------------------

    def gradient(self) -> Plan:
        """Return the plan of the mean of the only output, and of its derivatives."""
        self.run_loops(keep=True)
        self.wanted = [leaf for leaf in dict.fromkeys(self.asked) if leaf in self.place]
        result = self.take(1 + len(self.wanted))  # the cost, and then its derivatives
        self.adjoint: dict[Value, int] = {
            leaf: result + 1 + i for i, leaf in enumerate(self.wanted)
        }
        self.reached: set[Value] = set()
        self.clear(result, 1 + len(self.wanted))
        for loop, at in zip(self.loops, self.places, strict=True):
            n, ny = len(loop.carry), len(loop.body.y_out)
            at.last, at.by_ys = self.take(n), self.take(ny * loop.count)
            self.clear(at.last, n + ny * loop.count)
            ys = [y for row in loop.ys for y in row]
            self.adjoint.update(zip(loop.last, range(at.last, at.last + n), strict=True))
            self.adjoint.update(zip(ys, range(at.by_ys, at.by_ys + len(ys)), strict=True))
        found = self.pull(_Piece(self, self.outputs))
        self.collect(found[:1], result)
        for which in reversed(range(len(self.loops))):
            del self.groups[-2:]
            self.pull_loop(which)
        return self.mean(result, 1 + len(self.wanted))

    def pull(self, piece: _Piece) -> Ids:
        """Append the derivatives of the only output of *piece*, added to what there is."""
        leaves = [leaf for leaf in self.adjoint if leaf in piece.number]
        found, reached = piece.pulled(leaves)
        some = [i for i, there in enumerate(reached) if there]
        self.reached.update(leaves[i] for i in some)
        self.accumulate(found[1:][some], np.array([self.adjoint[leaves[i]] for i in some], int))
        return found

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
        weights = [Value(0.0) for _ in self.entry(which)]
        reached = [i in live for i in range(n)]
        reached += [j in more for more in reversed(came) for j in range(nx)]
        reached += [any(nx + k in more for more in came) for k in range(len(held))]
        stop = n + nx * loop.count
        groups = [(weights[:n], at.weights), (weights[n:stop], at.by_xs),
                  (weights[stop:], at.by_held)]  # fmt: skip
        given = {leaf for argument in self.arguments for leaf in argument}
        terms = [
            (w, x)
            for w, x, there in zip(weights, self.entry(which), reached, strict=True)
            if there and isinstance(x, Value) and x not in given
        ]
        if terms:
            self.pull(_Piece(self, [_weighted(terms)], groups))

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
        weights = [Value(0.0) for _ in range(n + ny)]
        terms = [(weights[i], outs[i]) for i in [*live, *(n + j for j in used)]]
        first, mark = len(self.steps), left - 1
        self.move(at.start, strip.states + mark * n, n, (0, -n))
        self.move(at.x, strip.xs + mark * nx, nx, (0, -nx))
        self.move(at.weights + n, strip.by_ys + mark * ny, ny, (0, -ny))
        groups = [*self.leaves_of(which, at.start), (weights, at.weights)]
        piece = _Piece(self, [_weighted(terms)], groups)
        own = [*loop.body.carry_in, *loop.body.x_in, *held]
        others = [leaf for leaf in self.adjoint if leaf in piece.number]
        found, there = piece.pulled([*own, *others])
        found, reached = found[1:], np.flatnonzero(there)
        before = reached[reached < n]
        by_x = reached[(reached >= n) & (reached < n + nx)]
        by_held = reached[(reached >= n + nx) & (reached < len(own))]
        further = reached[reached >= len(own)]
        into = [self.adjoint[others[k - len(own)]] for k in further]
        sums = np.concatenate([at.by_held + by_held - n - nx, np.array(into, int)])
        room = self.take(len(sums)) + np.arange(len(sums))
        terms_of = np.concatenate([found[by_held], found[further]])
        self.assign(room, primitives.add, sums, terms_of)
        self.assign(sums, primitives.identity, room)
        self.reached.update(others[k - len(own)] for k in further)
        self.assign(at.by_x + by_x - n, primitives.identity, found[by_x])
        room = self.take(len(before)) + np.arange(len(before))
        self.assign(room, primitives.identity, found[before])
        self.assign(at.weights + before, primitives.identity, room)
        if len(by_x):
            self.move(strip.by_xs + mark * nx, at.by_x, nx, (-nx, 0))
        rounds = left if before.tolist() == live else 1
        self.loop(rounds, first)
        return before.tolist(), {int(k) - n for k in (*by_x, *by_held)}, rounds

    def mean(self, result: int, count: int) -> Plan:
        """Return the plan, with the means of the rows from *result* on as its results."""
        plan, extents = self.plan, (count,)
        means, last = self.constant(count), self.constant(len(self.asked))
        sums, into = Operand(SUMS, 0, (1,)), Operand(STILL, means, (1,))
        self.steps.append(Step("sum", extents, (sums, _rows(result)), (0,)))
        divide = self.rows.setdefault(primitives.divide, len(self.rows))
        plan.sums, plan.cost = count, means
        plan.after = [
            Step("copy", extents, (into, sums)),
            Step("apply", extents, (into, into, Operand(STILL, 0, (0,))), (divide,)),
        ]
        plan.gradient = last, last + len(self.asked)
        if self.asked:
            where = {leaf: means + 1 + i for i, leaf in enumerate(self.wanted)}
            zero = self.constant()
            table = self.table([where.get(leaf, zero) for leaf in self.asked])
            operands = Operand(STILL, last, (1,)), Operand(STILL, 0, (1,))
            plan.after.append(Step("gather", (len(self.asked),), operands, (table,)))
        return self.finished()


def _rows(first: int) -> Operand:
    return Operand(BLOCK, first, (1,))


def _weighted(terms: Sequence[tuple[Value, Any]]) -> Any:
    """Return the sum of all weights times numbers."""
    with modes.suspended():
        return primitives.add_up(*(weight * x for weight, x in terms))


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
