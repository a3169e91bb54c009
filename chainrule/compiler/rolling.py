"""Loops in place of the runs of a tape: each step once, and around them what is left of the graph.

What comes of it is what recording a scan gives, a :class:`.Loop` for each run and the rest of the
graph on leaves that stand for what the loops give; so all that follows is the same for both.
:func:`unrolled` is the way back: the graph with all steps, for whatever needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine import modes
from ..engine import table as primitives
from ..engine.backend import Value
from ..engine.bodies import Body, Loop
from .periods import MOST_TAIL, Run, Sequence
from .tape import CONSTANT, Ids, reachable

Slot = tuple[int, tuple[int, ...]]
"""A number that is carried: the node of the step that it is from, and with which numbers it begins.

Of those, the first is that of the latest step; so many there are, so many steps before it is from.
A number -1 is never read.
"""


def rolled(sequence: Sequence, runs: Iterable[Run]) -> tuple[list[Loop], list[Any]]:
    """Return the *runs* as loops, and the outputs of the tape, Values or floats, above these."""
    with modes.apart():
        return _Roller(sequence).run(runs)


class _Roller:
    """Makes the graph anew, in order; computed numbers that are read outside are in ``known``."""

    def __init__(self, sequence: Sequence) -> None:
        self.sequence, self.tape = sequence, sequence.tape
        self.known: dict[int, Any] = dict(self.tape.leaves)

    def run(self, runs: Iterable[Run]) -> tuple[list[Loop], list[Any]]:
        """Return the loops, and the outputs."""
        loops, done = [], 0
        for run in runs:
            self._plain(done, run.start)
            loops.append(_Rolled(self, run).loop)
            done = run.stop
        self._plain(done, len(self.sequence))
        return loops, [self.of(n) for n in self.tape.outputs]

    def of(self, n: int) -> Any:
        """Return a number of the tape as a Value or a float."""
        if n < 0:
            return 0.0
        if self.tape.codes[n] == CONSTANT:
            return float(self.tape.values[n])
        return self.known[n]

    def _plain(self, start: int, stop: int) -> None:
        for n in self.sequence.numbers[start:stop].tolist():
            self.known[n] = self.applied(n, map(self.of, self.tape.operands(n)))

    def applied(self, n: int, operands: Iterable[Any]) -> Any:
        """Return the operation of number *n* on Values and floats."""
        row = self.tape.row(n)
        assert row is not None
        if row is primitives.softmax_entry:
            return row(float(self._entry(n)), *operands)
        return row(*operands)

    def _entry(self, n: int) -> int:
        """Return which entry of its softmax *n* is: the entries are consecutive."""
        own, size = self.tape.operands(n), len(self.tape.operands(n))
        first = n
        while self.tape.codes[first - 1] == self.tape.codes[n] and (
            self.tape.operands(first - 1) == own
        ):
            first -= 1
        return (n - first) % size


@dataclass
class _Rolled:
    """One run, as a loop."""

    roller: _Roller
    made_of: Run
    slots: dict[Slot, int] = field(default_factory=dict)
    loop: Loop = field(init=False)

    def __post_init__(self) -> None:
        roller, run = self.roller, self.made_of
        of, sequence = roller.of, roller.sequence
        operands, below = sequence.table(run.start, run.period, run.count)
        starts = run.start + run.period * np.arange(run.count)
        inside = below >= run.start
        columns: dict[bytes, int] = {}
        coming: list[Ids] = []
        read: list[Callable[[], Any]] = []  # what stands at each place of the operands of a step
        x_in: list[Value] = []
        carry_in: list[Value] = []
        nodes: list[Any] = []

        def node(k: int) -> Callable[[], Any]:
            return lambda: nodes[k]

        def carried(slot: Slot) -> Callable[[], Any]:
            k = self._slot(slot)
            return lambda: carry_in[k]

        def entering(column: Ids) -> Callable[[], Any]:
            k = columns.setdefault(column.tobytes(), len(coming))
            if k == len(coming):
                coming.append(column)
            return lambda: x_in[k]

        def given(n: int) -> Callable[[], Any]:
            return lambda: of(n)

        for column in range(below.shape[1]):
            own = inside[:, column]
            numbers = operands[:, column]
            if own.any():
                first = int(own.argmax())
                offset = int(below[first, column] - starts[first])
                if offset >= 0:
                    read.append(node(offset))
                else:  # the oldest of these are read first
                    before = tuple(numbers[:first][::-1].tolist())
                    read.append(carried((offset % run.period, before)))
            elif (numbers == numbers[0]).all():
                read.append(given(int(numbers[0])))
            else:
                read.append(entering(numbers))
        last, going_out = self._read_later(sequence.read_later(run))
        carry = [of(before[-1]) for _, before in self.slots]
        xs = [[of(n) for n in row] for row in np.array(coming).T.tolist()]
        xs = xs or [[] for _ in range(run.count)]
        carry_in += map(_fresh, carry)
        x_in += map(_fresh, xs[0])
        at = 0
        mine = {*carry_in, *x_in}
        for n in sequence.numbers[run.start : run.start + run.period].tolist():
            count = len(self.roller.tape.operands(n))
            given_to = [x() for x in read[at : at + count]]
            nodes.append(roller.applied(n, given_to))
            if not mine.isdisjoint(given_to):  # else it is the same in all steps
                mine.add(nodes[-1])
            at += count
        carry_out = [
            nodes[k] if len(before) == 1 else carry_in[self.slots[k, before[:-1]]]
            for k, before in self.slots
        ]
        ys = [[Value(0.0) for _ in going_out] for _ in range(run.count)]
        lasts = [Value(0.0) for _ in carry]
        steps = [x for x in nodes if x in mine]
        body = Body(carry_in, x_in, carry_out, [nodes[k] for k in going_out], steps)
        self.loop = Loop(run.count, body, carry, xs, lasts, ys)
        numbers = sequence.numbers
        roller.known.update((int(numbers[at]), lasts[k]) for at, k in last.items())
        for j, k in enumerate(going_out):
            each = numbers[starts + k].tolist()
            roller.known.update(zip(each, [row[j] for row in ys], strict=True))

    def _slot(self, slot: Slot) -> int:
        """Return the number of what is carried, and have all carried through which it comes."""
        node, before = slot
        for count in range(1, len(before) + 1):
            self.slots.setdefault((node, before[:count]), len(self.slots))
        return self.slots[slot]

    def _read_later(self, places: Ids) -> tuple[dict[int, int], list[int]]:
        """Return which positions are carried out, as what; and which nodes go out of each step."""
        run = self.made_of
        node, step = places % run.period, places // run.period
        last: dict[int, int] = {}
        going_out = []
        for k in np.unique(node).tolist():
            steps = step[node == k]
            if steps[0] < run.count - MOST_TAIL:
                going_out.append(k)
                continue
            for number in steps.tolist():
                last[run.start + run.period * number + k] = self._kept(k, run.count - number)
        return last, going_out

    def _kept(self, node: int, delay: int) -> int:
        """Return the number of a carry with the result of *node* so many steps before the end."""
        known = [before for k, before in self.slots if k == node]
        longest = max(known, key=len, default=())
        before = (*longest, *[-1] * max(0, delay - len(longest)))[:delay]
        return self._slot((node, before))


def _fresh(x: Any) -> Value:
    return Value(x.data if isinstance(x, Value) else x)


def unrolled(loops: Iterable[Loop], outputs: Iterable[Any], known: Collection[Value]) -> list[Any]:
    """Return *outputs* with all steps of the *loops* below them.

    Leaves that are not *known*, nor the loops' own, were made while the graph was: constants.
    """
    found: dict[Value, Any] = {leaf: leaf for leaf in known}

    def of(x: Any) -> Any:
        if not isinstance(x, Value):
            return x
        if x not in found:
            for node in reachable([x]):
                if node not in found:
                    row = node.primitive
                    found[node] = node.data if row is None else row(*map(at, node.operands))
        return found[x]

    def at(x: Any) -> Any:
        return found[x] if isinstance(x, Value) else x

    def step(body: Body, carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        own = dict(zip((*body.carry_in, *body.x_in), (*carry, *x), strict=True))

        def inner(x: Any) -> Any:
            return own[x] if x in own else of(x)

        for node in body.nodes:
            row = node.primitive
            assert row is not None
            own[node] = row(*map(inner, node.operands))
        return [*map(inner, body.carry_out)], [*map(inner, body.y_out)]

    with modes.apart():
        for loop in loops:
            carry = [*map(of, loop.carry)]
            for x, ys in zip(loop.xs, loop.ys, strict=True):
                carry, out = step(loop.body, carry, [*map(of, x)])
                found.update(zip(ys, out, strict=True))
            found.update(zip(loop.last, carry, strict=True))
        return [*map(of, outputs)]
