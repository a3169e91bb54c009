"""Where the arrays of a program are kept: places are used again when nothing needs them any more.

A lowered program is a list of drafts, steps whose operands lie in *buffers*.  A buffer is alive
from the first draft that touches it to the last one.  Going through the drafts in order, each
buffer gets the first gap that is large enough, and gives its places back after its last draft.  An
element-wise draft that is the last to read an operand may write its result over it.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .plan import BLOCK, STILL, Operand, Step

OVER_ITS_OPERAND = frozenset({"apply", "one_minus", "one_minus_square", "copy"})
"""The codes whose result may be in the place of an operand."""


@dataclass(slots=True, eq=False)
class Buffer:
    """An array of one space; it has its places from *first* to *last*, numbers of drafts."""

    space: int
    size: int
    at: int = -1
    """Its first place; -1 if it has none yet."""
    fixed: bool = False
    """Whether its places are its own for all time."""
    first: int = -1
    last: int = -1

    def touch(self, time: int) -> None:
        """Note that it is alive at *time*."""
        if self.first < 0:
            self.first = time
        self.last = max(self.last, time)


class Spot(NamedTuple):
    """Where the elements of an array are in its buffer; a stride for every axis."""

    buffer: Buffer
    offset: int
    strides: tuple[int, ...]


class Draft(NamedTuple):
    """A step before its buffers have places."""

    code: str
    extents: tuple[int, ...]
    spots: tuple[Spot, ...]
    detail: tuple[int, ...] = ()

    def step(self) -> Step:
        """Return the step, once all buffers have their places."""
        operands = [
            Operand(spot.buffer.space, spot.buffer.at + spot.offset, spot.strides)
            for spot in self.spots
        ]
        return Step(self.code, self.extents, tuple(operands), self.detail)


class Gaps:
    """The free places of one space, whose *size* grows when no gap is large enough."""

    _TRIED = 64  # gaps that are tried; more would not be linear

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self._gaps: list[tuple[int, int]] = []

    def take(self, size: int) -> int:
        """Take *size* free places that lie side by side, and return the first."""
        gaps = self._gaps
        for i, (start, stop) in enumerate(gaps[: self._TRIED]):
            if stop - start >= size:
                gaps[i : i + 1] = [(start + size, stop)] if stop - start > size else []
                return start
        # The last gap may be large enough: it was not tried if there are many.
        start, stop = self.size, self.size
        if gaps and gaps[-1][1] == self.size:
            start, stop = gaps.pop()
        if stop - start > size:
            gaps.append((start + size, stop))
        self.size = max(stop, start + size)
        return start

    def give(self, start: int, size: int) -> None:
        """Make *size* places from *start* on free again."""
        stop = start + size
        at = bisect.bisect(self._gaps, (start, stop))
        if at < len(self._gaps) and self._gaps[at][0] == stop:
            stop = self._gaps.pop(at)[1]
        if at and self._gaps[at - 1][1] == start:
            at -= 1
            start = self._gaps.pop(at)[0]
        self._gaps.insert(at, (start, stop))


def settle(
    lists: tuple[Sequence[Draft], Sequence[Draft], Sequence[Draft]],
    loaded: Sequence[Buffer],
    still: int,
    again: bool,
    block: int = 0,
) -> tuple[int, int]:
    """Give every buffer of the drafts in the three *lists* its places.

    The buffers in *loaded* are alive when a block begins.  The first *still* places of STILL are
    taken, and the first *block* rows of BLOCK.  If not *again*, no place is used twice.  Return the
    sizes of STILL and BLOCK.
    """
    before, each, after = lists
    begin, end = len(before), len(before) + len(each)
    drafts = [*before, *each, *after]
    for buffer in loaded:
        buffer.touch(begin)
    for time, draft in enumerate(drafts):
        inside = begin <= time < end
        for spot in draft.spots:
            buffer = spot.buffer
            buffer.touch(time)
            if inside and buffer.space == STILL:
                buffer.touch(end - 1)  # every block reads it
    gaps = {STILL: Gaps(still), BLOCK: Gaps(block)}

    def place(buffer: Buffer) -> None:
        if buffer.at < 0:
            buffer.at = gaps[buffer.space].take(buffer.size)

    for time, draft in enumerate(drafts):
        if time == begin:
            for buffer in loaded:
                place(buffer)
        kept = _overwritten(draft, time) if again else None
        if kept is not None:
            draft.spots[0].buffer.at = kept.at
        freed = {}
        for spot in draft.spots:
            buffer = spot.buffer
            place(buffer)
            if buffer.last <= time and buffer is not kept and not buffer.fixed:
                freed[id(buffer)] = buffer
        if again:
            for buffer in freed.values():
                gaps[buffer.space].give(buffer.at, buffer.size)
    for buffer in loaded:
        place(buffer)  # if there are no steps
    return gaps[STILL].size, gaps[BLOCK].size


def _overwritten(draft: Draft, time: int) -> Buffer | None:
    """Return the buffer of an operand of *draft* whose places its result can take."""
    result, *operands = draft.spots
    made = result.buffer
    if (
        draft.code not in OVER_ITS_OPERAND
        or made.at >= 0
        or made.first != time
        or math.prod(draft.extents) != made.size
    ):
        return None
    for operand in operands:
        buffer = operand.buffer
        if (
            buffer.last == time
            and not buffer.fixed
            and buffer.space == made.space
            and buffer.size == made.size
            and all(o.buffer is not buffer or o[1:] == result[1:] for o in operands)
        ):
            return buffer
    return None
