"""Pieces of a program with loops: the graph of one, and its functions of whole arrays.

A program is cut where its loops are: what goes into a loop, the body of a loop, the end.  A
:class:`Section` is a piece, or the way back through it, as an array program with named arguments
and results.  A printer writes it as a function; :mod:`.embedding` makes steps of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..engine import modes
from ..engine import table as primitives
from ..engine.backend import Value
from .addresses import Shape
from .adjoint import Pullback
from .groups import Grouping, group
from .layout import Layout, lay_out
from .program import Program
from .scalars import LUMP, WIDTH, least_groups
from .symbolic import Operand, Symbol
from .tape import Tape, fix, flatten, normalise


class NamedLeaves(NamedTuple):
    """Leaves whose numbers are one array, with its name and the shape of one example."""

    leaves: Sequence[Value]
    name: str
    shape: Shape


class NamedNumbers(NamedTuple):
    """Numbers that a section gives as one array, of which only those at *some* are asked for."""

    name: str
    numbers: Sequence[Any]
    some: Sequence[int]
    shaded: bool = False
    """Whether a mask says, for each example, which of them have a part in the result."""


@dataclass
class Section:
    """One function of arrays."""

    program: Program
    """Its arguments are ``inputs``, an array for each, with the examples along the first axis."""
    gives: list[str]
    """The names of what it returns; for the way back, those of the arrays whose adjoints it
    returns.  After these come the derivatives by ``by``, added up over the examples."""
    results: list[int]
    """The operations that are returned."""
    blocks: dict[int, tuple[Value, ...]]
    """The operations that are parameters, and the leaves that each holds."""
    takes: list[int]
    """Those that are arguments, before all others."""
    by: list[int]
    """Those whose derivatives are returned."""
    leaves: list[Value]
    """All leaves that are parameters, in the order of the program."""
    masks: list[str]
    """The names of the arrays whose masks are returned, after what it ``gives``."""


def piece_of(outputs: Sequence[Any], known: Collection[Value]) -> Tape:
    """Return the tape of a piece of the graph; its leaves are those that are *known*."""
    tape = flatten([x if isinstance(x, Value) else Value(x) for x in outputs])
    fix(tape, [n for n, leaf in tape.leaves.items() if leaf not in known])
    return tape


def in_use(tape: Tape, groups: Sequence[tuple[Sequence[Value], Any]]) -> list[Any]:
    """Return those of *groups* of leaves of which *tape* has one."""
    used = set(tape.leaves.values())
    return [group for group in groups if not used.isdisjoint(group[0])]


def weighted(terms: Sequence[tuple[Value, Any, Value | None]]) -> Any:
    """Return the sum of all weights times numbers: its derivative is that along the weights.

    A number with a mask has a part in it only where that is not 0.
    """
    with modes.suspended():
        return primitives.add_up(
            *(
                weight * x if mask is None else primitives.where(mask, weight * x, 0.0)
                for weight, x, mask in terms
            )
        )


class Piece:
    """Numbers that are computed from leaves which others have computed, or which are given."""

    def __init__(
        self,
        rows: Sequence[NamedNumbers],
        captured: Collection[Value],
        groups: Sequence[NamedLeaves],
        own: Sequence[NamedLeaves] = (),
    ) -> None:
        self.rows = [row for row in rows if len(row.some)]
        roots = [row.numbers[i] for row in self.rows for i in row.some]
        known = set(captured).union(*(group.leaves for group in (*groups, *own)))
        self.tape = piece_of(roots, known)
        used = in_use(self.tape, [(group.leaves, group) for group in groups])
        # For the size of a batch there is one at least.
        self.given: list[NamedLeaves] = [*(group for _, group in used), *own] or [*groups[:1]]
        self.members = self.tape.arguments([group.leaves for group in self.given])
        normalise(self.tape)
        self._grouping: Grouping | None = None

    @property
    def grouping(self) -> Grouping:
        """Its groups of alike nodes."""
        if self._grouping is None:
            self._grouping = group(self.tape, self.members)
        return self._grouping

    def is_wide(self) -> bool:
        """Return whether it is better computed as arrays than number by number."""
        nodes = self.tape.recorded
        if nodes < WIDTH * max(1, least_groups(self.tape)):
            return False
        return nodes >= WIDTH * sum(LUMP if part.lump else 1 for part in self.grouping.groups)

    def values(self) -> Section:
        """Return the section that computes the rows; it is given all groups that are its own."""
        layout = self._laid_out()
        found = [
            layout.builder.broadcast(x, (len(row.some),), True)
            for x, row in zip(layout.rows, self.rows, strict=True)
        ]
        return self._section(layout, [row.name for row in self.rows], found, [])

    def back(
        self,
        by: Collection[str],
        linked: Collection[Value] | None = None,
        masks: Collection[str] = (),
    ) -> Section:
        """Return the way back through the rows: to the groups named in *by*, and to the leaves.

        Of the groups, only what is *linked* is a Value in the engine, or all of it.  There are
        masks too of those named in *masks*.
        """
        layout = self._laid_out()
        builder, program = layout.builder, layout.program
        inputs = {
            operation.detail: n
            for n, operation in enumerate(program.operations)
            if operation.kind == "input"
        }
        wanted = {n: self.given[i] for i, n in inputs.items() if self.given[i].name in by}
        pullback = Pullback(
            builder,
            {
                n: np.array([linked is None or leaf in linked for leaf in group.leaves])
                for n, group in wanted.items()
            },
        )
        more: list[str] = []

        def seed(name: str, row: NamedNumbers) -> Symbol:
            shape = (len(row.numbers),)
            given = builder.emit("input", (), shape, True, len(self.given) + len(more))
            more.append(f"{name}_{row.name}")
            found = builder.at(given, np.array(row.some, dtype=np.int64))
            assert isinstance(found, Symbol)
            return found

        seeds: list[tuple[Operand, Symbol, Operand]] = []
        for row, x in zip(self.rows, layout.rows, strict=True):
            weights = seed("d", row)
            seeds.append((x, weights, seed("m", row) if row.shaded else 1.0))
        gives, results, by_blocks, blocks, shaded, shades = [], [], [], [], [], []
        for n, adjoint in pullback.pull(seeds):
            if n in wanted:
                _, name, shape = wanted[n]
                gives.append(name)
                results.append(builder.broadcast(adjoint, shape, True))
                if name in masks:
                    shaded.append(name)
                    shades.append(builder.broadcast(pullback.mask_of[n], shape, True))
            else:
                by_blocks.append(n)
                blocks.append(builder.broadcast(adjoint, program.operations[n].shape, False))
        found = [*results, *shades, *blocks]
        return self._section(layout, gives, found, by_blocks, more, shaded)

    def _laid_out(self) -> Layout:
        shapes = [group.shape for group in self.given]
        lengths = [len(row.some) for row in self.rows]
        return lay_out(self.tape, self.grouping, self.members, shapes, rows=lengths)

    def _section(
        self,
        layout: Layout,
        gives: list[str],
        results: Sequence[Symbol],
        by: list[int],
        more: Sequence[str] = (),
        masks: list[str] | None = None,
    ) -> Section:
        program, tape = layout.program, self.tape
        program.inputs = [*(group.name for group in self.given), *more]
        numbers = [x.number for x in results]
        leaves = [tape.leaves[n] for n in layout.parameters]
        needed = program.needed(numbers)
        takes = [n for n in sorted(needed) if program.operations[n].kind == "parameter"]
        blocks = {
            n: tuple(leaves[slice(*program.operations[n].detail)]) for n in sorted({*takes, *by})
        }
        return Section(program, gives, numbers, blocks, takes, by, leaves, masks or [])
