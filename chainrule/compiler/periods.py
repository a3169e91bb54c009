"""Periods in a tape: where a loop of Python was written out, what it did is there again and again.

The computed numbers of a tape stand in the order in which they were made, so the steps of a loop
are stretches of equal length, one after another, with the same operations.  A :class:`Run` is so
many repetitions of a stretch whose operands can be those of a loop, too.  Of the operands at one
place of all repetitions, either

- all are from the same repetition, or from one so many repetitions before: a carry, or a delay
  line of carries; in the first repetitions, what is carried comes from before the run;
- or all are from before the run: then they are the same number, or something comes in at each step.

Anything else ends the run.  A candidate is found by looking for windows of operations that occur
again, and the best one is that which leaves the fewest nodes.  Then the search goes on before and
after it, so loops that follow each other are all found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..engine.bodies import FEWEST_STEPS
from .tape import Ids, Tape, starts_of

MOST_RUNS = 8
MOST_DELAY = 16
"""From how many repetitions before an operand may be."""
_WINDOWS = (6, 40)  # operations: short ones for short steps, long ones for steps in steps
_SAMPLE = 1 << 14
_ENOUGH = 0.75
_CANDIDATES = 8  # distances that are tried, of those that are most frequent in a stretch
_TRIES = 12  # beginnings of a run in one stretch of alike operations
_AT_ONCE = 1 << 21  # operands that are looked at together
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

Kinds = np.ndarray[Any, np.dtype[np.uint64]]
"""A number for each operation, the same for alike ones."""


@dataclass(frozen=True, order=True)
class Run:
    """So many repetitions of a stretch of computed numbers."""

    start: int
    """Where it begins among the computed numbers."""
    period: int
    count: int

    @property
    def stop(self) -> int:
        """Where it ends."""
        return self.start + self.period * self.count

    @property
    def saved(self) -> int:
        """How many nodes need not be written out."""
        return self.period * (self.count - 1)


class Break(NamedTuple):
    """Why repetitions end: the operand of a node, or the operation itself."""

    repetition: int
    node: int
    operand: int
    """Which operand differs, -1 if it is the operation."""


@dataclass
class Sequence:
    """The computed numbers of a tape, in order; a *position* is a place in it."""

    tape: Tape
    numbers: Ids = field(init=False)
    position: Ids = field(init=False)
    """Of every number of the tape, -1 if it is not computed."""
    first: Ids = field(init=False)
    """Where the operands of every position start in ``below``; one more at the end."""
    operands: Ids = field(init=False)
    below: Ids = field(init=False)
    """The positions of the operands."""
    kinds: Kinds = field(init=False)
    """The operation and the number of operands."""

    def __post_init__(self) -> None:
        tape = self.tape
        computed = tape.codes >= 0
        counts = np.diff(tape.starts)
        self.numbers = np.flatnonzero(computed)
        self.position = np.full(len(tape), -1, dtype=np.int64)
        self.position[self.numbers] = np.arange(len(self.numbers))
        sizes = counts[self.numbers]
        self.first = starts_of(sizes)
        self.operands = tape.inputs[np.repeat(computed, counts)]
        self.below = self.position[self.operands]
        kinds = (tape.codes[self.numbers].astype(np.uint64) << np.uint64(40)) + sizes.astype(
            np.uint64
        )
        self.kinds = (kinds + np.uint64(1)) * _MULTIPLIER

    def __len__(self) -> int:
        return len(self.numbers)

    def table(self, start: int, period: int, count: int) -> tuple[Ids, Ids]:
        """Return the operands of *count* repetitions, and their positions: a row for each."""
        some = slice(int(self.first[start]), int(self.first[start + period * count]))
        return (
            self.operands[some].reshape(count, -1),
            self.below[some].reshape(count, -1),
        )

    def read_later(self, run: Run) -> Ids:
        """Return which positions of *run* are read from outside, or are results."""
        later = self.below[self.first[run.stop] :]
        results = self.position[np.array(self.tape.outputs, dtype=np.int64)]
        found = np.concatenate([later, results])
        marks = np.zeros(run.stop - run.start, dtype=bool)
        marks[found[(found >= run.start) & (found < run.stop)] - run.start] = True
        places: Ids = np.flatnonzero(marks)
        return places


@dataclass
class Found:
    """What the search found."""

    runs: list[Run]
    """In order."""
    left: int
    """How many nodes are not in a loop, or are its step."""
    reason: str
    """Why there is not more, or none."""


def find(sequence: Sequence, most: int = MOST_RUNS) -> Found:
    """Return the runs in *sequence* that leave the fewest nodes to be written out."""
    least = max(FEWEST_STEPS, len(sequence) // 100)
    runs: list[Run] = []
    search = _Search(sequence)
    waiting = [(0, len(sequence))]
    while waiting:
        start, stop = waiting.pop()
        run = search.best(start, stop, least)
        if run is not None:
            runs.append(run)
            waiting += [(start, run.start), (run.stop, stop)]
    runs = sorted(sorted(runs, key=lambda run: -run.saved)[:most])
    left = len(sequence) - sum(run.saved for run in runs)
    return Found(runs, left, search.reason(runs))


class _Search:
    """Looks for runs; remembers why the most promising one ended."""

    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence
        self.breaks: list[tuple[int, int, int, Break]] = []
        """How long alike operations go on, their start and period, and what ended a run there."""

    def best(self, start: int, stop: int, least: int) -> Run | None:
        """Return the run between two positions that saves most, if that is *least* nodes."""
        middle = (start + stop) // 2
        if stop - start > 4 * _SAMPLE:
            # Where nearly all is one loop, a part of it says as much as the whole.
            run = self._best(start, stop, least, slice(middle - _SAMPLE, middle + _SAMPLE))
            if run is not None and run.saved > _ENOUGH * (stop - start):
                return run
        return self._best(start, stop, least, slice(start, stop))

    def _best(self, start: int, stop: int, least: int, part: slice) -> Run | None:
        """Return the best run between two positions, with a period that is there in a *part*."""
        stretches = sorted(self._stretches(start, stop, part), reverse=True)
        best: Run | None = None
        for length, first, period in stretches:
            if length < least or (best is not None and length <= best.saved):
                break
            run = self._run(first, period, first + length + period)
            if run is not None and run.saved >= max(least, 0 if best is None else best.saved + 1):
                best = run
        return best

    # --- candidates ------------------------------------------------------------------------------

    def _stretches(self, start: int, stop: int, part: slice) -> Iterator[tuple[int, int, int]]:
        """Yield stretches in which each operation is that of a period later.

        They are given as their length without the last repetition, their start and the period.
        """
        kinds = self.sequence.kinds[start:stop]
        for period in self._distances(self.sequence.kinds[part]):
            differ = np.flatnonzero(kinds[:-period] != kinds[period:])
            ends = np.concatenate([[-1], differ, [len(kinds) - period]])
            lengths = np.diff(ends) - 1
            for k in np.argsort(-lengths, kind="stable")[:3].tolist():
                if lengths[k] >= (FEWEST_STEPS - 1) * period:
                    yield int(lengths[k]), start + int(ends[k]) + 1, period

    def _distances(self, kinds: Kinds) -> list[int]:
        """Return after how many operations the same ones often come again."""
        found: dict[int, None] = {}
        for size in _WINDOWS:
            if len(kinds) < FEWEST_STEPS + size:
                continue
            hashes = np.zeros(len(kinds) - size + 1, dtype=np.uint64)
            for k in range(size):
                hashes *= _MULTIPLIER
                hashes += kinds[k : len(kinds) - size + 1 + k]
            order = np.argsort(hashes, kind="stable")
            same = hashes[order[1:]] == hashes[order[:-1]]
            distances = np.diff(order)[same]
            counts = np.bincount(distances[distances * (FEWEST_STEPS - 1) <= len(kinds)])
            for weight in (counts, counts * np.arange(len(counts))):
                top = np.argsort(-weight, kind="stable")[:_CANDIDATES]
                found.update(dict.fromkeys(top[weight[top] > 0].tolist()))
        return list(found)

    # --- what the operands say -------------------------------------------------------------------

    def _run(self, start: int, period: int, stop: int) -> Run | None:
        """Return the longest run of a *period* between two positions with alike operations."""
        start = self._cut(start, period, stop)
        best: Run | None = None
        longest = (stop - start) // period
        _, below = self.sequence.table(start, period, longest)
        first = 0
        for _ in range(_TRIES):
            if longest - first < FEWEST_STEPS:
                break
            end, why = self._valid(below, start, period, first)
            if end < longest:
                node = int(np.searchsorted(self._ends(start, period), why, side="right"))
                self._note(stop - start - period, start, period, end, node, why)
            run = Run(start + first * period, period, end - first)
            if run.count >= FEWEST_STEPS and (best is None or run.saved > best.saved):
                best = run
            first = end
        return None if best is None else self._settled(self._aligned(best))

    def _ends(self, start: int, period: int) -> Ids:
        first = self.sequence.first
        ends: Ids = first[start + 1 : start + period + 1] - first[start]
        return ends

    def _note(
        self, length: int, start: int, period: int, repetition: int, node: int, column: int
    ) -> None:
        before = int(self._ends(start, period)[node - 1]) if node else 0
        why = Break(repetition, node, column - before)
        self.breaks.append((length, start, period, why))

    def _cut(self, start: int, period: int, stop: int) -> int:
        """Return where in the first period a step should begin: where the fewest numbers go on."""
        first, below = self.sequence.first, self.sequence.below
        middle = start + period * ((stop - start) // period // 2)
        some = slice(int(first[middle]), int(first[middle + period]))
        owner = np.repeat(np.arange(middle, middle + period), np.diff(first[middle:][: period + 1]))
        reach = owner - below[some]
        near = (below[some] >= start) & (reach <= MOST_DELAY * period)
        last = np.zeros(period, dtype=np.int64)  # how far each number of a period is read
        np.maximum.at(last, (below[some][near] - start) % period, reach[near])
        alive = np.zeros(2 * period + 1, dtype=np.int64)
        place, rest = np.arange(period), last % period
        np.add.at(alive, place + 1, 1)
        np.add.at(alive, place + 1 + rest, -1)
        going = np.cumsum(alive)
        cuts = going[:period] + going[period : 2 * period]
        return start + int(np.argmin(cuts))

    def _valid(self, below: Ids, start: int, period: int, first: int) -> tuple[int, int]:
        """Return up to which repetition a run that begins with repetition *first* is one.

        Also return the column of the operand that ends it.
        """
        count, width = below.shape
        end, why = count, 0
        block = max(1, _AT_ONCE // max(1, count))
        for left in range(0, width, block):
            columns = below[first:end, left : left + block]
            steps = np.arange(len(columns))
            inside = columns >= start + first * period
            distance = columns - (start + period * (first + steps))[:, None]
            at = inside.argmax(axis=0)
            which = np.arange(columns.shape[1])
            there = inside[at, which]
            own = distance[at, which]
            lag = -(own // period)
            bad = np.where(inside, distance != own, (steps[:, None] >= at) & there)
            ends = np.where(bad.any(axis=0), bad.argmax(axis=0), len(columns))
            late = there & ((at > np.maximum(lag, 0)) | (lag > MOST_DELAY))
            ends = np.where(late, np.minimum(ends, at), ends)
            k = int(ends.argmin()) if len(ends) else 0
            if len(ends) and first + ends[k] < end:
                end, why = first + int(ends[k]), left + k
        return end, why

    def _aligned(self, run: Run) -> Run:
        """Return *run* without its first steps if these begin what later ones carry differently.

        A number that is read one and two steps later is carried once, if it begins as one.
        """
        depth = min(run.count - 1, MOST_DELAY)
        operands, below = self.sequence.table(run.start, run.period, depth + 1)
        offset = below[depth] - (run.start + run.period * depth)
        carried = np.flatnonzero((below[depth] >= run.start) & (offset < 0))
        beginnings: dict[int, list[int]] = {}
        skipped, differ = 0, False
        for column in carried.tolist():
            lag = -(int(offset[column]) // run.period)
            mine = operands[:lag, column][::-1].tolist()
            known = beginnings.get(int(offset[column]) % run.period, [])
            differ |= any(a != b for a, b in zip(mine, known, strict=False))
            beginnings[int(offset[column]) % run.period] = max(mine, known, key=len)
            skipped = max(skipped, lag)
        if not differ or run.count < skipped + FEWEST_STEPS:
            return run
        return Run(run.start + skipped * run.period, run.period, run.count - skipped)

    def _settled(self, run: Run) -> Run | None:
        """Return the part of *run* of whose numbers others read those of all repetitions.

        Or they read those of the last ones alone.
        """
        for _ in range(8):
            if run.count < FEWEST_STEPS:
                return None
            smaller = self._smaller(run)
            if smaller is None:
                return run
            run = smaller
        return run

    def _smaller(self, run: Run) -> Run | None:
        """Return a part of *run* if of some node others read a part of the repetitions only."""
        places = self.sequence.read_later(run)
        node, step = places % run.period, places // run.period
        order = np.argsort(node, kind="stable")
        node, step = node[order], step[order]
        cuts = np.flatnonzero(np.diff(node)) + 1
        low, high = 0, run.count
        for steps in np.split(step, cuts) if len(step) else []:
            if len(steps) == run.count or steps[0] >= run.count - MOST_TAIL:
                continue
            gaps = np.diff(steps)
            if (gaps == 1).all() and len(steps) >= FEWEST_STEPS:
                low, high = max(low, int(steps[0])), min(high, int(steps[-1]) + 1)
            elif len(gaps) >= FEWEST_STEPS and (gaps == gaps[0]).all():
                times = int(gaps[0])
                skipped = (int(steps[0]) + 1) % times
                count = (run.count - skipped) // times
                return Run(run.start + skipped * run.period, run.period * times, count)
            elif len(steps) <= MOST_RUNS:  # what is read ends a part
                ends = np.concatenate([[0], steps + 1, [run.count]])
                k = int(np.diff(ends).argmax())
                low, high = max(low, int(ends[k])), min(high, int(ends[k + 1]))
        if (low, high) == (0, run.count):
            return None
        return Run(run.start + low * run.period, run.period, max(0, high - low))

    # --- in words --------------------------------------------------------------------------------

    def reason(self, runs: list[Run]) -> str:
        """Return why the most promising period is not a loop, or not all of it."""
        open_ones = [
            x
            for x in self.breaks
            if not any(r.start <= x[1] + x[2] * x[3][0] <= r.stop for r in runs)
        ]
        if not open_ones:
            return "" if runs else "no stretch of its operations comes again eight times or more"
        _, start, period, (repetition, node, operand) = max(
            open_ones, key=lambda x: (x[0] + x[2], -x[2])
        )
        tape, at = self.sequence.tape, start + period * repetition + node
        row = tape.row(int(self.sequence.numbers[at]))
        name = "" if row is None else row.name
        there = int(self.sequence.first[at]) + operand
        what = _told(self.sequence, there, at)
        before = _told(self.sequence, there - self._width(start, period), at - period)
        return (
            f"{period} nodes come again, but operand {operand + 1} of {name!r}, node {node + 1} of "
            f"these, is {what} in repetition {repetition + 1}, and {before} in the one before"
        )

    def _width(self, start: int, period: int) -> int:
        return int(self.sequence.first[start + period] - self.sequence.first[start])


MOST_TAIL = 3
"""Of so many last repetitions, others may read a number without that one goes out of each step."""


def _told(sequence: Sequence, edge: int, owner: int) -> str:
    """Return what an operand is, in words."""
    n, place = int(sequence.operands[edge]), int(sequence.below[edge])
    if place >= 0:
        return f"the result {owner - place} nodes before"
    if n in sequence.tape.leaves:
        return "a leaf"
    return f"the number {float(sequence.tape.values[n])!r}"
