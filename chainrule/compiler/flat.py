"""From a tape straight to a plan, for graphs without width: no arrays, one step after another.

A number of the tape is a *register*, and so is everything else that is computed: what a node's
:mod:`formula <.node_steps>` leaves on the way, and the adjoint of a number after each of its users.
A register is written once; where it lies is found out at the end, from its lifetime.

All nodes with one formula are done at once, with arrays of their numbers, and so are all edges: a
node costs little more than its share of a few sorts.  Terms are added in the order of the engine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..engine import table as primitives
from ..engine.native import core as native
from ..engine.table import Primitive
from .lifetimes import Registers, places
from .node_steps import (
    LATER,
    OPERAND,
    RESULT,
    Formula,
    Line,
    Reference,
    formula,
    knows_numbers,
    softmax_slopes,
    softmax_values,
)
from .plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from .tape import CONSTANT, Ids, Mask, Tape, distinct, starts_of

BEFORE, FORWARD, PARTIALS, SWEEP = range(4)
"""The phases of a run: the first is before the examples, the others are on each block of them; a
sweep for each output that is differentiated.  What is done after the examples comes last."""

_CALL, _MORE = 1 << 28, 1 << 29  # codes of calls: with the row, and for arguments beyond three
_SLOPES = 1 << 28  # the place in a node of the partials of an entry, after all entries...
_PULL = 1 << 29  # ...and of the first step that is not of a formula
_CHEAP = frozenset(
    {primitives.negative, primitives.square, primitives.absolute, primitives.identity}
)
"""Rows of one argument that take no longer than to look their result up."""
Marks = np.ndarray[Any, np.dtype[np.uint8]]
NOTHING: Ids = np.zeros(0, dtype=np.int64)


def takes(tape: Tape) -> bool:
    """Return whether *tape* has an index into a table: the steps here do not check it."""
    return bool(tape.are(np.flatnonzero(tape.codes >= 0), primitives.take_entry).any())


def forward(tape: Tape, arguments: Sequence[Sequence[int]], parameters: Sequence[int]) -> Plan:
    """Return the plan that computes the outputs of *tape* for every example.

    *arguments* and *parameters* are the numbers of the leaves.
    """
    lowering = _Lowering(tape, arguments, parameters)
    lowering.write_values()
    return lowering.plan(tape.outputs)


def gradient(
    tape: Tape,
    arguments: Sequence[Sequence[int]],
    parameters: Sequence[int],
    wanted: Sequence[int],
) -> Plan:
    """Return the plan of the mean of the only output, and of its derivatives.

    They are by the numbers *wanted*, of which -1 is a leaf that the tape does not have.
    """
    (output,) = tape.outputs
    lowering = _Lowering(tape, arguments, parameters)
    lowering.link(parameters, [n for n in wanted if n >= 0])
    lowering.write_values()
    sweep = _Sweep(lowering, 0)
    return lowering.mean_plan(output, lowering.found(sweep.run(), wanted), sweep)


def jacobian(
    tape: Tape,
    arguments: Sequence[Sequence[int]],
    parameters: Sequence[int],
    wanted: Sequence[int],
) -> Plan:
    """Return the plan of the derivatives of every output by the leaves *wanted*, per example.

    Its results are, for each example, the derivatives of the first output, then those of the
    second, and so on.  The outputs share the values and the partials.

    In the engine the parameters would be Values, and the arguments that are wanted; if there are
    any, so would be what the function made of them.  All else would be numbers.
    """
    lowering = _Lowering(tape, arguments, parameters, singly=True)
    given = {n for argument in arguments for n in argument}.intersection(wanted)
    leaves = [*parameters, *given, *(tape.made if given else ())]
    lowering.link(leaves, [n for n in wanted if n >= 0])
    lowering.write_values()
    adjoints = [_Sweep(lowering, i).run() for i in range(len(tape.outputs))]
    plan = lowering.plan(np.concatenate([lowering.found(x, wanted) for x in adjoints]))
    plan.turned = True
    return plan


def pulled(
    tape: Tape,
    arguments: Sequence[Sequence[int]],
    parameters: Sequence[int],
    leaves: Sequence[int],
    wanted: Sequence[int],
) -> Plan:
    """Return the plan of the only output and its derivatives by the leaves *wanted*, per example.

    The output depends on all of these.  Of those on which it does by choice, see :func:`reached`,
    there are also masks: where they are chosen, there is something else than 0.
    """
    lowering = _linked(tape, arguments, parameters, leaves, wanted)
    lowering.write_values()
    sweep = _Sweep(lowering, 0)
    adjoints, numbers = sweep.run(), np.array(wanted, dtype=np.int64)
    masks = sweep.mask[numbers[sweep.status[numbers] == 1]]
    found = lowering.found(adjoints, wanted)
    return lowering.plan(np.concatenate([np.array(tape.outputs), found, masks]))


def reached(
    tape: Tape,
    arguments: Sequence[Sequence[int]],
    parameters: Sequence[int],
    leaves: Sequence[int],
    wanted: Sequence[int],
) -> Marks:
    """Return whether the only output depends on the leaves *wanted*: 2 always, 1 by choice."""
    status = _linked(tape, arguments, parameters, leaves, wanted).status[0]
    found: Marks = status[np.array(wanted, dtype=np.int64)]
    return found


def depending(tape: Tape, leaves: Sequence[int]) -> Mask:
    """Return which numbers of *tape* depend on one of the *leaves*, by a condition too."""
    return _Lowering(tape, [], [])._reached(leaves)


def _linked(
    tape: Tape,
    arguments: Sequence[Sequence[int]],
    parameters: Sequence[int],
    leaves: Sequence[int],
    wanted: Sequence[int],
) -> _Lowering:
    """Return the lowering of a tape of which only *leaves* are not constants, in the engine."""
    lowering = _Lowering(tape, arguments, parameters, singly=True)
    lowering.link(leaves, wanted)
    return lowering


class _Lowering:
    """A plan in the making."""

    def __init__(
        self,
        tape: Tape,
        arguments: Sequence[Sequence[int]],
        parameters: Sequence[int],
        singly: bool = False,
    ) -> None:
        self.tape, self.size = tape, len(tape)
        self.singly = singly  # whether derivatives are wanted for each example
        self.arguments, self.parameters = arguments, np.array(parameters, dtype=np.int64)
        self.nodes = np.flatnonzero(tape.codes >= 0)
        counts = np.where(tape.codes >= 0, np.diff(tape.starts), 0)
        # An edge leads from a node to one of its operands.  They stand in the order of the nodes.
        self.first = starts_of(counts)
        self.owner = np.repeat(np.arange(self.size, dtype=np.int32), counts)
        self.position = np.arange(len(self.owner), dtype=np.int32)
        self.position -= np.repeat(self.first[:-1].astype(np.int32), counts)
        self.operand = tape.inputs[tape.starts[self.owner] + self.position]
        edges = len(self.owner)
        self.batched = self._reached([n for argument in arguments for n in argument])
        # Of each edge: whether the engine would link it, and whether its partial is needed.
        self.linked = self.wanted = np.zeros(edges, dtype=bool)
        self.status: list[Marks] = []  # see _chosen
        # The register of the partial, whether it is to be subtracted, and what says that the
        # operand is chosen, or is not.
        self.slope = np.full(edges, -1, dtype=np.int32)
        self.negative = np.zeros(edges, dtype=bool)
        self.condition = np.full(edges, -1, dtype=np.int32)
        self.when = np.ones(edges, dtype=bool)
        self.registers = self.size
        # Of the registers beyond the numbers of the tape: whether they are in STILL, and how many.
        self.spaces: list[tuple[Any, int]] = []
        self.numbers: dict[str, int] = {}
        self.values: list[float] = []
        self.aliases: list[tuple[Registers, Registers]] = []
        self.rows: dict[Primitive, int] = {}
        self.lines: list[_Lines] = []

    # --- what depends on what --------------------------------------------------------------------

    def _reached(self, leaves: Sequence[int], edges: Mask | None = None) -> Mask:
        """Return which numbers depend on *leaves*, by certain *edges*."""
        on = np.ones(len(self.operand), dtype=bool) if edges is None else edges
        found = np.zeros(self.size, dtype=bool)
        found[np.array(leaves, dtype=np.int64)] = True
        if native is not None:
            native.reach(self.first, self.operand, on, found)
            return found
        marks = [*found.tolist(), False]
        below, first = np.where(on, self.operand, -1).tolist(), self.first.tolist()
        for n in self.nodes.tolist():
            for e in range(first[n], first[n + 1]):
                if marks[below[e]]:
                    marks[n] = True
                    break
        return np.array(marks[:-1], dtype=bool)

    def link(self, leaves: Sequence[int], wanted: Sequence[int]) -> None:
        """Say which *leaves* would be Values in the engine, and which derivatives are *wanted*."""
        tape = self.tape
        possible = np.ones(len(self.owner), dtype=bool)
        for code, row in enumerate(tape.rows):
            flat = [i for i, partial in enumerate(row.partials) if partial is None]
            if flat:
                of_row = tape.codes[self.owner] == code
                possible &= ~(of_row & np.isin(self.position, flat))
        self.linked = possible & self._reached(leaves)[self.operand]  # by a condition, too
        self.wanted = possible & self._reached(wanted, possible)[self.operand]
        self.status = [self._chosen(output) for output in tape.outputs]
        needed = np.max([status[self.owner] for status in self.status], axis=0, initial=0)
        self.wanted &= needed > 0

    def _chosen(self, output: int) -> Marks:
        """Return which numbers *output* depends on: 2 if always, 1 if only where it chooses them.

        As in the engine, nothing flows into an operand that is not chosen, whatever the partials
        are: where a number is chosen has to be kept track of, if it is not always.
        """
        status = np.zeros(self.size, dtype=np.uint8)
        status[output] = 2
        choosing = np.array([*(row.selects is not None for row in self.tape.rows), False, False])
        ceilings = np.where(choosing[self.tape.codes], 1, 2).astype(np.uint8)
        if native is not None:
            native.descend(self.first, self.operand, self.wanted, ceilings, status)
            return status
        marks, ceiling = status.tolist(), ceilings.tolist()
        wanted, operand, first = self.wanted.tolist(), self.operand.tolist(), self.first.tolist()
        for n in reversed(self.nodes.tolist()):
            mine = min(marks[n], ceiling[n])
            if mine:
                for e in range(first[n], first[n + 1]):
                    if wanted[e] and marks[operand[e]] < mine:
                        marks[operand[e]] = mine
        return np.array(marks, dtype=np.uint8)

    # --- registers and steps ---------------------------------------------------------------------

    def new(self, space: Any, count: int) -> int:
        """Return the first of *count* new registers in a *space*, or one for each."""
        first = self.registers
        self.registers += count
        self.spaces.append((np.equal(space, STILL), count))
        return first

    def number(self, x: float) -> int:
        """Return the register of a number."""
        key = repr(x)  # the two zeros differ, and a nan is not equal to itself
        if key not in self.numbers:
            self.numbers[key] = self.new(STILL, 1)
            self.values.append(x)
        return self.numbers[key]

    def made(self, on: Mask, varies: Mask) -> Registers:
        """Return a new register for each that is *on*, and -1 for the others."""
        found = np.full(len(on), -1, dtype=np.int32)
        spaces = np.where(varies[on], np.int8(BLOCK), np.int8(STILL))
        first = self.new(spaces, len(spaces))
        found[on] = np.arange(first, first + len(spaces), dtype=np.int32)
        return found

    def found(self, adjoints: Registers, wanted: Sequence[int]) -> Registers:
        """Return the adjoints of the numbers *wanted*, that of 0.0 for those that have none."""
        found = np.append(adjoints, -1)[np.array(wanted, dtype=np.int64)]
        return np.where(found < 0, self.number(0.0), found)

    def add(self, phase: Any, at: Any, slot: Any, row: int, result: Any, *args: Any) -> None:
        """Append a step for each of *at*, the places of nodes in the order of a *phase*.

        The steps of a node stand in the order of *slot*.
        """
        key = np.multiply(phase, self.size + 2, dtype=np.int64) + at
        columns = [row, result, *args, *[-1] * (3 - len(args))]
        self.lines.append(_Lines(key, *(_small(x) for x in (slot, *columns))))

    def row(self, row: Primitive) -> int:
        """Return the number of *row* in the plan."""
        return self.rows.setdefault(row, len(self.rows))

    # --- values and partials ---------------------------------------------------------------------

    def write_values(self) -> None:
        """Append the steps of all values, and of the partials that are wanted."""
        for row, nodes, operands, linked, wanted, entry in self._alike():
            if row is not primitives.softmax_entry:
                self._write(formula(row, operands, linked, wanted), nodes, wanted)
                continue
            if entry == 0:
                self._write(softmax_values(operands), nodes, ())
            if wanted:
                slopes = softmax_slopes(operands, entry, linked, wanted)
                self._write(slopes, nodes, wanted, first=_SLOPES)

    def _alike(self) -> Iterator[tuple[Primitive, Ids, Any, Any, Any, int]]:
        """Yield row, nodes, operands, linked and wanted positions of nodes with one formula."""
        tape = self.tape
        marks = self.batched[self.operand] + 2 * self.linked + 4 * self.wanted
        by_value = np.array([*map(knows_numbers, tape.rows), False, False])
        known = by_value[tape.codes[self.owner]] & tape.constant(self.operand)
        apart = np.zeros(self.size, dtype=bool)  # what is not told from others by a few bits
        apart[self.owner[known]] = True
        entries = self._entries()
        apart[list(entries)] = True
        counts = np.diff(self.first)
        apart |= counts > 3
        nodes = self.nodes[~apart[self.nodes]]
        keys = tape.codes[nodes].astype(np.int64)
        for k in range(3):
            there = counts[nodes] > k
            mark = np.full(len(nodes), 8)
            mark[there] = marks[self.first[nodes[there]] + k]
            keys = 16 * keys + mark
        order = np.argsort(keys, kind="stable")
        cuts = np.flatnonzero(np.diff(keys[order])) + 1
        for members in np.split(nodes[order], cuts) if len(nodes) else []:
            n = members[0]
            mine = marks[self.first[n] : self.first[n + 1]].tolist()
            yield (*self._kinds(mine, tape.codes[n], members), 0)
        groups: dict[Any, list[int]] = {}
        first, codes = self.first.tolist(), tape.codes.tolist()
        texts = np.full(len(known), "", dtype=object)
        texts[known] = [*map(repr, tape.values[self.operand[known]].tolist())]
        for n in np.flatnonzero(apart).tolist():
            a, b = first[n], first[n + 1]
            key = codes[n], marks[a:b].tobytes(), tuple(texts[a:b]), entries.get(n, 0)
            groups.setdefault(key, []).append(n)
        for (code, _, told, entry), some in groups.items():
            a, b = first[some[0]], first[some[0] + 1]
            row, found, kinds, linked, wanted = self._kinds(marks[a:b].tolist(), code, some)
            kinds = tuple([text or kind for text, kind in zip(told, kinds, strict=True)])
            yield row, found, kinds, linked, wanted, entry

    def _kinds(
        self, marks: list[int], code: int, nodes: Any
    ) -> tuple[Primitive, Ids, Any, Any, Any]:
        return (
            self.tape.rows[code],
            np.array(nodes, dtype=np.int64),
            tuple([bool(mark & 1) for mark in marks]),
            tuple([i for i, mark in enumerate(marks) if mark & 2]),
            tuple([i for i, mark in enumerate(marks) if mark & 4]),
        )

    def _entries(self) -> dict[int, int]:
        """Return which entry of its softmax each node is that is one."""
        tape = self.tape
        entries = self.nodes[tape.are(self.nodes, primitives.softmax_entry)]
        first = entries[tape.whole(entries)]
        sizes = tape.starts[first + 1] - tape.starts[first]
        which = np.arange(len(entries)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return dict(zip(entries.tolist(), which.tolist(), strict=True))

    def _write(self, found: Formula, nodes: Ids, wanted: Sequence[int], first: int = 0) -> None:
        """Append the steps of a formula for each of *nodes*, from slot *first* on."""
        total = len(found.temporaries)
        spaces = np.where(found.temporaries, np.int8(BLOCK), np.int8(STILL))
        start = self.new(np.tile(spaces, len(nodes)), total * len(nodes))
        base = start + total * np.arange(len(nodes))

        def register(at: Reference) -> Any:
            kind, which = at
            if kind == OPERAND:
                return self.operand[self.first[nodes] + which]
            if kind == RESULT:
                return nodes + which
            return base + which if kind == LATER else self.number(which)

        slot = first
        for lines, is_partial in ((found.value, False), (found.partials, True)):
            for line in lines:
                slot = self._append(line, is_partial, nodes, slot, register)
        for i, slope in zip(wanted, found.slopes, strict=True):
            edges = self.first[nodes] + i
            self.slope[edges] = register(slope.at)
            self.negative[edges] = slope.negative
            if slope.condition is not None:
                self.condition[edges] = register(slope.condition)
                self.when[edges] = slope.when

    def _append(self, line: Line, is_partial: bool, nodes: Ids, slot: int, register: Any) -> int:
        """Append one step of *nodes*, and return the next slot."""
        phase: int = FORWARD if line.varies else BEFORE
        at = nodes
        if is_partial and len(self.status) == 1:  # just before they are used
            if line.varies:
                phase, at = SWEEP, self.size - nodes
            elif not self.batched[nodes[0]] and not self.singly:
                phase, at = SWEEP + 1, self.size - nodes
        elif is_partial and line.varies:
            phase = PARTIALS
        args = [register(x) for x in line.arguments]
        row: Any = line.row if isinstance(line.row, int) else self.row(line.row)
        if len(args) > 3 or (not isinstance(line.row, int) and _calls(line.row, len(args))):
            row += _CALL
        for start in range(0, len(args), 3):
            self.add(phase, at, slot, row, register(line.result), *args[start : start + 3])
            slot, row = slot + 1, _MORE
        return slot

    def alias(self, registers: Registers, of: Registers) -> None:
        """Say that *registers* are other names of others."""
        self.aliases.append((registers, of))

    # --- the plan --------------------------------------------------------------------------------

    def plan(self, outputs: Sequence[int] | Registers) -> Plan:
        """Return the plan whose results are the registers *outputs*."""
        return _Placing(self, np.array(outputs, dtype=np.int64)).plan

    def mean_plan(self, output: int, gradient: Registers, sweep: _Sweep) -> Plan:
        """Return the plan of the mean of *output*, and of the registers of its derivatives."""
        cost, summed, means = np.array([output]), sweep.summed, sweep.means
        if self.batched[output]:
            summed, means = [cost, *summed], [np.array([self.new(STILL, 1)]), *means]
            cost = means[0]
        placing = _Placing(
            self,
            np.concatenate([cost, gradient]),
            np.concatenate([NOTHING, *summed]),
            np.concatenate([NOTHING, *means]),
        )
        return placing.mean_plan()


class _Sweep:
    """The adjoints of all numbers below one output.

    An adjoint is the sum of a term for each edge that leads to its number.  What is the same for
    all examples gets the mean of the terms from users that are not, unless derivatives are wanted
    for each example.
    """

    def __init__(self, lowering: _Lowering, number: int) -> None:
        self.lowering, self.status = lowering, lowering.status[number]
        self.output, self.size = lowering.tape.outputs[number], lowering.size
        found = np.flatnonzero(lowering.wanted & (self.status[lowering.owner] > 0))
        self.edges = found[np.argsort(-lowering.owner[found], kind="stable")]
        self.owner, self.operand = lowering.owner[self.edges], lowering.operand[self.edges]
        self.varies = lowering.batched[self.owner] | lowering.singly
        self.crosses = self.varies & ~lowering.batched[self.operand] & (not lowering.singly)
        self.phase = np.where(self.varies, SWEEP + number, SWEEP + len(lowering.status))
        self.slot = 8 * lowering.position[self.edges] + _PULL
        self.crossing = distinct(self.operand[self.crosses])
        self.summed: list[Ids | Registers] = []
        """What is added up over the examples, so that its mean goes on, and..."""
        self.means: list[Ids] = []
        """...the registers of the means."""

    def run(self) -> Registers:
        """Append the steps, and return the adjoint of every number, -1 where there is none."""
        lowering = self.lowering
        self.one = lowering.number(1.0)
        sums, before, adjoint = self._chains(np.ones(len(self.edges), dtype=bool))
        adjoint[self.output] = self.one
        shaded = self.status[self.operand] == 1
        self.mask = mask = np.full(self.size, self.one, dtype=np.int32)
        if shaded.any():
            so_far, mask_before, found = self._chains(shaded)
            self.mask = mask = np.where(self.status == 1, found, mask)
            self._append_masks(shaded, mask[self.owner], so_far, mask_before)
        terms = self._terms(adjoint[self.owner], mask[self.owner])
        negative, first = lowering.negative[self.edges], before < 0
        lowering.alias(sums[first & ~negative], terms[first & ~negative])
        self._add(first & negative, 5, primitives.negative, sums, terms)
        self._add(~first & ~negative, 5, primitives.add, sums, before, terms)
        self._add(~first & negative, 5, primitives.subtract, sums, before, terms)
        return adjoint

    def _chains(self, on: Mask) -> tuple[Registers, Registers, Registers]:
        """Return registers for what is added up along the edges that are *on*.

        They are the sum so far at each edge, the sum before it, -1 if there is none, and the whole
        sum at each number.
        """
        lowering, size = self.lowering, self.size
        start = np.full(size, -1, dtype=np.int32)
        if len(self.crossing):
            means = lowering.new(STILL, len(self.crossing)) + np.arange(len(self.crossing))
            start[self.crossing] = means
        at = np.flatnonzero(on)
        sums, before = lowering.made(on, self.varies), np.full(len(on), -1, dtype=np.int32)
        target = (self.operand + size * self.crosses)[at]
        order = np.argsort(target, kind="stable")
        same = np.diff(target[order]) == 0
        before[at[order[1:][same]]] = sums[at[order[:-1][same]]]
        first = (before < 0) & ~self.varies
        before[first] = start[self.operand[first]]
        last = np.full(2 * size, -1, dtype=np.int32)
        last[target] = sums[at]  # the last one counts
        if len(self.crossing):
            there = last[size + self.crossing] >= 0
            self.summed.append(last[size + self.crossing][there])
            self.means.append(means[there])
            start[self.crossing[~there]] = -1
        return sums, before, np.where(last[:size] < 0, start, last[:size])

    def _terms(self, adjoint: Registers, mask: Registers) -> Registers:
        """Append partial times adjoint for every edge, and return their registers."""
        lowering = self.lowering
        slope, condition = lowering.slope[self.edges], lowering.condition[self.edges]
        chooses, when = condition >= 0, lowering.when[self.edges]
        zero = lowering.number(0.0)
        terms = np.where(slope == self.one, adjoint, np.where(adjoint == self.one, slope, -1))
        terms[chooses] = -1
        made, where = terms < 0, primitives.where
        terms = np.where(made, lowering.made(made, self.varies), terms)
        self._add(made & ~chooses, 0, primitives.multiply, terms, slope, adjoint)
        self._add(chooses & when, 0, where, terms, condition, adjoint, zero)
        self._add(chooses & ~when, 0, where, terms, condition, zero, adjoint)
        # In a branch that is not chosen the adjoint is 0, and has to stay that.
        numbers = zip(lowering.numbers.values(), lowering.values, strict=True)
        finite = [n for n, x in numbers if np.isfinite(x)]
        shaded = (mask != self.one) & ~chooses
        if not shaded.any():
            return terms
        shaded &= ~np.isin(slope, finite)
        masked = np.where(shaded, lowering.made(shaded, self.varies), terms)
        self._add(shaded, 1, where, masked, mask, terms, zero)
        return masked

    def _append_masks(
        self, on: Mask, mask: Registers, so_far: Registers, before: Registers
    ) -> None:
        """Append what says where the operands of the edges that are *on* are chosen."""
        lowering = self.lowering
        condition, when = lowering.condition[self.edges], lowering.when[self.edges]
        chooses = on & (condition >= 0)
        zero, one = lowering.number(0.0), lowering.number(1.0)
        mine, where = np.where(chooses, lowering.made(chooses, self.varies), mask), primitives.where
        self._add(chooses & when, 2, where, mine, condition, mask, zero)
        self._add(chooses & ~when, 2, where, mine, condition, zero, mask)
        first = on & (before < 0)
        lowering.alias(so_far[first], mine[first])
        self._add(on & ~first, 3, where, so_far, before, one, mine)

    def _add(self, on: Mask, slot: int, row: Primitive, *columns: Any) -> None:
        """Append a step of *row* for each edge that is *on*: its result and its arguments."""
        if on.any():
            self.lowering.add(
                self.phase[on],
                self.size - self.owner[on],
                self.slot[on] + slot,
                self.lowering.row(row),
                *(column if isinstance(column, int) else column[on] for column in columns),
            )


class _Lines(NamedTuple):
    """Some steps in the making; a number stands for a column of equal ones.

    Few bytes for each: a graph with millions of nodes has ten times as many steps.
    """

    key: Ids
    """The order of the nodes, by phases."""
    slot: Any
    """The order in a node."""
    row: Any
    result: Any
    first: Any
    second: Any
    third: Any


def _small(x: Any) -> Any:
    return int(x) if np.ndim(x) == 0 else np.asarray(x, dtype=np.int32)


class _Placing:
    """The steps of a lowering in order, and a place for every register."""

    def __init__(
        self, lowering: _Lowering, results: Ids, summed: Ids = NOTHING, means: Ids = NOTHING
    ) -> None:
        self.lowering = lowering
        same = self._same()
        spaces = [~lowering.batched]
        spaces += [np.broadcast_to(is_still, count) for is_still, count in lowering.spaces]
        self.still: Mask = np.concatenate(spaces)
        self._arrange(same)
        self.results, self.summed, self.means = same[results], same[summed], means
        self.plan = Plan(rows=list(lowering.rows))
        self.address = self._addresses()
        self.plan.before, self.plan.each, self.plan.after = map(self._steps, self.parts)
        found = self.address[self.results].tolist()
        self.plan.outputs = [Operand(STILL, ~x) if x < 0 else Operand(BLOCK, x) for x in found]

    def _same(self) -> Registers:
        """Return for every register the one that it is another name of."""
        same = np.arange(self.lowering.registers, dtype=np.int32)
        for registers, of in self.lowering.aliases:
            same[registers] = of
        while (same[same] != same).any():  # twice as far in every round
            same = same[same]
        return same

    def _arrange(self, same: Registers) -> None:
        """Bring the steps into order, and note which are before, in and after the blocks."""
        lowering = self.lowering
        lines, lowering.lines = lowering.lines, []
        counts = [len(some.key) for some in lines]

        def column(name: str) -> Registers:
            found = np.empty(sum(counts), dtype=np.int32)
            start = 0
            for some, count in zip(lines, counts, strict=True):
                found[start : start + count] = getattr(some, name)
                start += count
            return found

        key, slot = np.concatenate([NOTHING, *(some.key for some in lines)]), column("slot")
        last = SWEEP + len(lowering.status)
        ends = [int(np.count_nonzero(key < x * (lowering.size + 2))) for x in (FORWARD, last)]
        if len(key) == 0 or int(key.max()) < 1 << 31:
            key <<= 31
            key |= slot
            order = np.argsort(key, kind="stable")
        else:
            order = np.lexsort((slot, key))
        del key, slot
        self.rows, self.into = column("row")[order], column("result")[order]
        first = column("first")[order]
        gone = self._again(first, same)
        if len(gone):
            stays = np.ones(len(order), dtype=bool)
            stays[gone] = False
            self.rows, self.into = self.rows[stays], self.into[stays]
            first, order = first[stays], order[stays]
            ends = [end - int(np.searchsorted(gone, end)) for end in ends]
        names = np.append(same, np.int32(-1))
        self.arguments = np.empty((len(order), 3), dtype=np.int32)
        self.arguments[:, 0] = names[first]
        for k, name in enumerate(("second", "third")):
            self.arguments[:, k + 1] = names[column(name)[order]]
        self.parts = slice(0, ends[0]), slice(*ends), slice(ends[1], None)

    def _again(self, arguments: Registers, same: Registers) -> Ids:
        """Return which calls of functions repeat another, and note it in *same*.

        *arguments* are the first of each step.

        So the partial of a sine is the cosine that was there already.  Its value has to be kept
        from the first use to the last, but its argument has not.
        """
        dear = np.array([row not in _CHEAP and row.arity == 1 for row in self.lowering.rows])
        known = (self.rows >= 0) & (self.rows < len(dear))
        at = np.flatnonzero(known)[dear[self.rows[known]]] if known.any() else NOTHING
        if len(at) < 2:
            return NOTHING
        what = self.rows[at].astype(np.int64) * (len(same) + 1) + same[arguments[at]]
        _, first, which = np.unique(what, return_index=True, return_inverse=True)
        kept = at[first][which.ravel()]
        into = self.into
        again = (kept != at) & (self.still[into[kept]] == self.still[into[at]])
        same[into[at[again]]] = into[kept[again]]
        same[:] = same[same]
        found: Ids = at[again]
        return found

    def _addresses(self) -> Registers:
        """Return the address of every register, and say in the plan what lies where."""
        lowering, plan, tape = self.lowering, self.plan, self.lowering.tape
        before, each, after = self.parts
        kept = np.zeros(lowering.registers, dtype=bool)
        kept[self.results] = kept[self.summed] = True
        own = ~self.still
        for _, members in zip(self._inputs(), lowering.arguments, strict=True):
            own[members] = False
        rows, plan.block = places(
            self.into[each], self.arguments[each], own, kept, sum(n for _, n in plan.inputs)
        )
        for (row, _), members in zip(plan.inputs, lowering.arguments, strict=True):
            rows[members] = row + np.arange(len(members))

        numbers = np.fromiter(lowering.numbers.values(), np.int64)
        constants = np.flatnonzero(tape.codes == CONSTANT)
        fixed = np.concatenate([lowering.parameters, numbers, constants, self.means])
        own = self.still.copy()
        own[fixed] = False
        for k in range(3):
            given = self.arguments[each, k]
            kept[given[given >= 0]] = True
        into, arguments = self.into, self.arguments
        if each.start < each.stop:
            into = np.concatenate([into[before], into[after]])
            arguments = np.concatenate([arguments[before], arguments[after]])
        at, stop = places(into, arguments, own, kept, 1 + len(fixed))
        at[fixed] = 1 + np.arange(len(fixed))
        plan.parameters = 1, 1 + len(lowering.parameters)
        plan.still = np.zeros(stop)
        plan.still[at[numbers]] = lowering.values
        plan.still[at[constants]] = tape.values[constants]
        return np.where(self.still, ~at, rows)

    def _inputs(self) -> list[tuple[int, int]]:
        ends = starts_of([len(members) for members in self.lowering.arguments]).tolist()
        self.plan.inputs = [(start, end - start) for start, end in itertools.pairwise(ends)]
        return self.plan.inputs

    def _steps(self, part: slice) -> list[Step]:
        """Return the steps of a part: pieces of flat ones, and calls."""
        rows, arguments = self.rows[part], self.arguments[part]
        address = np.append(self.address, np.int32(0))
        table = np.empty((len(rows), 5), dtype=np.int32)
        table[:, 0], table[:, 1] = rows, address[self.into[part]]
        for k in range(3):
            table[:, 2 + k] = address[arguments[:, k]]
        steps: list[Step] = []
        start = 0
        for call in np.flatnonzero((rows >= _CALL) & (rows < _MORE)).tolist():
            self._flat(steps, table[start:call])
            start = call + 1
            while start < len(rows) and rows[start] == _MORE:
                start += 1
            given = arguments[call:start].ravel()
            operands = np.concatenate([table[call, 1:2], self.address[given[given >= 0]]])
            steps.append(Step("call", (), (), (int(rows[call] - _CALL), self._table(operands))))
        self._flat(steps, table[start:])
        return steps

    def _flat(self, steps: list[Step], table: Registers) -> None:
        if len(table):
            steps.append(Step("flat", (), (), (self._table(table),)))

    def _table(self, table: Ids | Registers) -> int:
        self.plan.tables.append(np.ascontiguousarray(table))
        return len(self.plan.tables) - 1

    def mean_plan(self) -> Plan:
        """Return the plan, with the means of what is summed, and the derivatives in one piece."""
        plan, still = self.plan, ~self.address[self.results]
        if len(self.means):
            self._add_means()
        plan.outputs = []
        plan.cost = int(still[0])
        first, count = len(plan.still), len(still) - 1
        plan.gradient = first, first + count
        if count:
            plan.still = np.append(plan.still, np.zeros(count))
            to, of = Operand(STILL, first, (1,)), Operand(STILL, 0, (1,))
            plan.after.append(Step("gather", (count,), (to, of), (self._table(still[1:]),)))
        return plan

    def _add_means(self) -> None:
        plan, count = self.plan, len(self.means)
        address = self.address[self.summed]
        first = int(~self.address[self.means[0]])
        rows, means = Operand(BLOCK, plan.block, (1,)), Operand(STILL, first, (1,))
        sums = Operand(SUMS, 0, (1,))
        extents = (count,)
        plan.each.append(
            Step(
                "gather",
                extents,
                (rows, Operand(BLOCK, 0, (1,))),
                (self._table(np.maximum(address, 0)),),
            )
        )
        for n in np.flatnonzero(address < 0).tolist():  # what all examples have in common
            row, number = (
                Operand(BLOCK, plan.block + n, (0,)),
                Operand(STILL, int(~address[n]), (0,)),
            )
            plan.each.append(Step("copy", (1,), (row, number)))
        plan.each.append(Step("sum", extents, (sums, rows), (0,)))
        plan.block, plan.sums = plan.block + count, count
        divide = self.lowering.row(primitives.divide)
        plan.rows = list(self.lowering.rows)
        how_many = Operand(STILL, 0, (0,))
        plan.after[:0] = [
            Step("copy", extents, (means, sums)),
            Step("apply", extents, (means, means, how_many), (divide,)),
        ]


def _calls(row: Primitive, count: int) -> bool:
    """Return whether *row* of so many arguments is not a flat step."""
    return count > 3 if row.arity is not None else count != 2
