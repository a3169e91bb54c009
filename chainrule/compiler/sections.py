"""A program with loops as functions of arrays: what a printer is told of it.

The pieces into which :mod:`.linking` cuts a program are array programs here: a section is one
function, of the step of a loop, of what goes into a loop, of the end; or of the way back through
one of these, which is given the adjoints of what the piece gives.  Between the sections are only
whole arrays, which have a name and an axis for the examples: the state, what comes in, what goes
out.  So a printer writes the sections as it writes any array program, and around them a loop of its
language: ``for`` in NumPy, and elsewhere a scan whose body is the section.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..engine.bodies import Loop
from ..engine.modes import WriteOut
from .addresses import AnyArray, Shape
from .linking import Linker, Rounds
from .pieces import NamedLeaves, NamedNumbers, Piece, Section, piece_of
from .program import Program
from .tape import CONSTANT


class LoopInput(NamedTuple):
    """What goes into a loop: an argument of the function, numbers, or what a section gives."""

    argument: str | None = None
    numbers: AnyArray | None = None
    section: Section | None = None
    back: Section | None = None
    """The way back, if anything goes there."""


@dataclass
class LoopSections:
    """The sections of one loop, and the names of its arrays."""

    loop: Loop
    state: str
    states: str
    """One for each step, and the last one."""
    x: str
    xs: str
    held: str
    """What the step reads that is computed before the loop."""
    y: str
    ys: str
    held_width: int
    sources: dict[str, LoopInput] = field(default_factory=dict)
    """For the state with which it begins, what comes in, and what is held."""
    step: Section | None = None
    backs: list[tuple[Rounds, Section]] = field(default_factory=list)
    """The way back through a step, from the last one on."""

    @property
    def widths(self) -> tuple[int, int, int]:
        """How many numbers are carried, come in and go out at each step."""
        body = self.loop.body
        return len(self.loop.carry), len(body.x_in), len(body.y_out)


@dataclass
class LoopedArrays:
    """All sections of a program, in the order in which they run."""

    arguments: list[NamedLeaves]
    loops: list[LoopSections]
    end: Section
    end_back: Section | None = None
    """The way back from the result, whose adjoint is called ``d_result``."""


RESULT = "result"


def sections(linker: Linker, names: Sequence[str], shapes: Sequence[Shape]) -> LoopedArrays:
    """Return the sections of a program with one number as its result, or without the way back.

    *linker* has made the plan of its gradient, or of its values; *names* and *shapes* are those of
    the arguments.
    """
    return _Cutter(linker, names, shapes).run()


def free_name(stem: str, taken: set[str]) -> str:
    """Return a name that is not *taken*, nor is it with ``d_`` in front; from now on both are."""
    name, i = stem, 1
    while name in taken or f"d_{name}" in taken:
        i += 1
        name = f"{stem}_{i}"
    taken |= {name, f"d_{name}"}
    return name


class _Cutter:
    """Makes the sections one after another; what later ones can read grows."""

    def __init__(self, linker: Linker, names: Sequence[str], shapes: Sequence[Shape]) -> None:
        self.linker, self.captured = linker, set(linker.captured)
        self.groups = [
            NamedLeaves(leaves, name, shape or (1,))
            for leaves, name, shape in zip(linker.arguments, names, shapes, strict=True)
        ]
        self.taken = set(names)

    def run(self) -> LoopedArrays:
        """Return all sections."""
        found = LoopedArrays(list(self.groups), [], Section(Program(), [], [], {}, [], [], [], []))
        for which, loop in enumerate(self.linker.loops):
            found.loops.append(self._loop(which, loop))
        result = [NamedNumbers(RESULT, self.linker.outputs, range(len(self.linker.outputs)))]
        found.end = self.values(result, self.groups)
        if self.linker.plan.cost is not None:
            found.end_back = self.back(result, self.groups, self._computed())
        return found

    def _computed(self) -> list[str]:
        return [group.name for group in self.groups[len(self.linker.arguments) :]]

    def _loop(self, which: int, loop: Loop) -> LoopSections:
        outs, sources, held = self.linker.bodies[which]
        stems = ("state", "states", "x", "xs", "held", "y", "ys")
        state, states, x, xs, before, y, ys = [free_name(stem, self.taken) for stem in stems]
        mine = LoopSections(loop, state, states, x, xs, before, y, ys, len(held))
        rounds = self.linker.places[which].rounds
        if self.linker.places[which].masked:
            raise WriteOut("what is reached on the way back depends on the data")
        n, nx, ny = mine.widths
        entries = [x for row in loop.xs for x in row]
        for name, numbers, shape in (
            (mine.state, loop.carry, (n,)),
            (mine.xs, entries, (loop.count, nx)),
            (mine.held, sources, (len(held),)),
        ):
            if numbers:
                mine.sources[name] = self._source(name, numbers, shape, bool(rounds))
        own = [
            NamedLeaves(leaves, name, (len(leaves),))
            for leaves, name in (
                (loop.body.carry_in, mine.state),
                (loop.body.x_in, mine.x),
                (held, mine.held),
            )
            if leaves
        ]
        rows = [
            NamedNumbers(mine.state, outs[:n], range(n)),
            NamedNumbers(mine.y, outs[n:], range(ny)),
        ]
        mine.step = self.values(rows, self.groups, own)
        came = mine.sources.get(mine.xs)
        given = () if came is None or came.back is not None else (mine.x,)
        known: dict[Any, Section] = {}
        for some in rounds:
            key = tuple(some.live), tuple(some.used)
            if key not in known:
                asked = [rows[0]._replace(some=some.live), rows[1]._replace(some=some.used)]
                by = [*self._computed(), *(x.name for x in own if x.name not in given)]
                known[key] = self.back(asked, self.groups, by, own)
            mine.backs.append((some, known[key]))
        if n:
            self.groups.append(NamedLeaves(loop.last, mine.state, (n,)))
        if ny:
            shape = (loop.count, ny) if ny > 1 else (loop.count,)
            self.groups.append(NamedLeaves([y for row in loop.ys for y in row], mine.ys, shape))
        return mine

    def _source(self, name: str, numbers: Sequence[Any], shape: Shape, back: bool) -> LoopInput:
        """Return where *numbers* come from."""
        for leaves, given, _ in self.groups[: len(self.linker.arguments)]:
            if len(leaves) == len(numbers) and all(map(operator.is_, leaves, numbers)):
                return LoopInput(argument=given)
        known = self.captured.union(*(group.leaves for group in self.groups))
        tape = piece_of(numbers, known)
        outputs = np.array(tape.outputs)
        if (tape.codes[outputs] == CONSTANT).all():
            return LoopInput(numbers=tape.values[outputs].reshape(shape))
        rows = [NamedNumbers(name, numbers, range(len(numbers)))]
        way_back = self.back(rows, self.groups, self._computed()) if back else None
        if way_back is not None and not way_back.results:
            way_back = None
        return LoopInput(section=self.values(rows, self.groups), back=way_back)

    # --- one section -----------------------------------------------------------------------------

    def values(
        self,
        rows: Sequence[NamedNumbers],
        groups: Sequence[NamedLeaves],
        own: Sequence[NamedLeaves] = (),
    ) -> Section:
        """Return the section that computes *rows*; it is given all groups that are its *own*."""
        return Piece(rows, self.captured, groups, own).values()

    def back(
        self,
        rows: Sequence[NamedNumbers],
        groups: Sequence[NamedLeaves],
        by: Collection[str],
        own: Sequence[NamedLeaves] = (),
    ) -> Section:
        """Return the way back through *rows*: to the groups named in *by*, and to the leaves."""
        return Piece(rows, self.captured, groups, own).back(by)
