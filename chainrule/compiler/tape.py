"""Passes 1 and 2: from the graph of Values to flat lists, and on to sums of products.

Pass 1 (*flatten*) walks the graph from its outputs, so that what no output needs is left behind,
and numbers every node; equal nodes, the same operation on the same operands, get one number.
Pass 2 (*normal form*) writes all the ways of adding up in one way, as a list of terms
``sign * a * b``: ``cr.dot``, ``cr.sum``, Python's ``sum`` and chains of ``+``, ``-`` and ``*`` come
out alike, whatever the order of the operands.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from ..engine import primitives
from ..engine.backend import Value
from ..engine.primitives import Primitive

ONE = 0
"""The number of the constant 1.0, the bias unit: a term without a second factor is one times it."""

Term = tuple[int, int, int]  # sign, factor, factor


@dataclass
class Tape:
    """A graph as flat lists, one entry per number; every operand comes before its users.

    ``rows[n]`` is the operation, None for a leaf or a constant; ``operands[n]`` are numbers.  An
    entry of a softmax has the logits as its operands; the entries of one follow one another, the
    first of each listed in ``softmaxes``.
    """

    rows: list[Primitive | None] = field(default_factory=list)
    operands: list[tuple[int, ...]] = field(default_factory=list)
    constants: dict[int, float] = field(default_factory=dict)
    leaves: dict[int, Value] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)
    outputs: list[int] = field(default_factory=list)
    terms: dict[int, list[Term]] = field(default_factory=dict)
    softmaxes: list[int] = field(default_factory=list)
    recorded: int = 0
    """How many nodes the recorded graph had."""

    def append(self, row: Primitive | None, inputs: tuple[int, ...]) -> int:
        """Add an entry and return its number."""
        self.rows.append(row)
        self.operands.append(inputs)
        return len(self.rows) - 1

    def arguments(self, leaves: Sequence[Sequence[Value]]) -> list[list[int]]:
        """Return the numbers of the *leaves* of every argument, used or not."""
        number = {leaf: n for n, leaf in self.leaves.items()}
        found = []
        for argument in leaves:
            members = []
            for leaf in argument:
                n = number.get(leaf)
                if n is None:
                    n = self.append(None, ())
                    self.leaves[n] = leaf
                members.append(n)
            found.append(members)
        return found


def reachable(outputs: Sequence[Value]) -> list[Value]:
    """Return *outputs* and all they were computed from, operands before users.

    Unlike the parents, the operands include the branch that ``where`` did not choose.
    """
    order = list(dict.fromkeys(outputs))
    seen = set(order)
    for node in order:  # grows while it is read
        operands: Any = node.operands
        for operand in operands:
            if type(operand) is not float and operand not in seen:
                seen.add(operand)
                order.append(operand)
    order.sort(key=attrgetter("serial"))
    return order


class _Numbers(dict[Any, int]):
    """The number of every Value and every constant; a constant that is new gets the next one."""

    def __init__(self, tape: Tape):
        super().__init__()
        self.tape = tape
        self.zeros: dict[float, int] = {}

    def __missing__(self, x: float) -> int:
        if x == 0.0:  # the two zeros are equal, but they are not alike
            sign = math.copysign(1.0, x)
            if sign not in self.zeros:
                self.zeros[sign] = self.new(x)
            return self.zeros[sign]
        n = self[x] = self.new(x)
        return n

    def new(self, x: float) -> int:
        n = self.tape.append(None, ())
        self.tape.constants[n] = x
        return n


def flatten(outputs: Sequence[Value]) -> Tape:
    """Return the graph under *outputs* as a tape in which equal nodes have one number."""
    tape = Tape()
    rows, operands = tape.rows, tape.operands
    number = _Numbers(tape)
    number.new(1.0)  # ONE, apart from any 1.0 in the user's code
    of = number.__getitem__
    known: defaultdict[Primitive, dict[tuple[int, ...], int]] = defaultdict(dict)

    def made(row: Primitive, inputs: tuple[int, ...]) -> int:
        """Return the number of *row* applied to *inputs*, a new one if there is none."""
        n = known[row].setdefault(inputs, len(rows))
        if n == len(rows):
            tape.append(row, inputs)
        return n

    order = reachable(outputs)
    for node in order:
        row = node.primitive
        if row is None:
            n = tape.append(None, ())
            tape.leaves[n] = node
            if node.label:
                tape.labels[n] = node.label
        elif row is primitives.softmax_entry:
            which, *logits = node.operands
            n = _softmax(tape, known[row], tuple(map(of, logits))) + int(which)
        elif row is primitives.mean_of:
            terms = tuple(map(of, node.operands))
            n = made(primitives.divide, (made(primitives.add_up, terms), of(float(len(terms)))))
        else:  # made(), written out for speed
            inputs = tuple(map(of, node.operands))
            size = len(rows)
            n = known[row].setdefault(inputs, size)
            if n == size:
                rows.append(row)
                operands.append(inputs)
        number[node] = n
    tape.outputs = [number[node] for node in outputs]
    tape.recorded = len(order)
    return tape


def _softmax(tape: Tape, known: dict[tuple[int, ...], int], logits: tuple[int, ...]) -> int:
    """Return the number of the first entry of the softmax of *logits*."""
    first = known.get(logits)
    if first is None:
        first = known[logits] = len(tape.rows)
        for _ in logits:
            tape.append(primitives.softmax_entry, logits)
        tape.softmaxes.append(first)
    return first


def normalise(tape: Tape) -> None:
    """Fill in ``tape.terms``: every addition as terms, those used once merged into their user."""
    rows, operands, terms = tape.rows, tape.operands, tape.terms
    constants = tape.constants
    uses = [0] * len(rows)
    for inputs in operands:
        for n in inputs:
            uses[n] += 1
    for n in tape.outputs:
        uses[n] += 2  # an output is wanted for itself, so it is never merged away

    add, subtract, negative = primitives.add, primitives.subtract, primitives.negative
    add_up, dot, multiply = primitives.add_up, primitives.dot_product, primitives.multiply
    # Python's sum() starts from 0, and dot has a bias of 0: these are no terms.  Any other 0 is, or
    # a target that is 0 would make its example unlike the rest.
    zero = {n for n, x in constants.items() if x == 0.0}

    def gather(into: list[Term], sign: int, n: int) -> list[Term]:
        """Return *into* with the terms of *sign* times node *n* added."""
        if uses[n] == 1:
            if n in terms:
                inner = terms[n]
                if sign == 1:
                    del terms[n]
                    if len(inner) > len(into):
                        inner[:0] = into  # the chain grows by its short end
                        return inner
                    into += inner
                    return into
                if (
                    len(inner) <= 64
                ):  # a sign is turned once per level: long chains stay as they are
                    del terms[n]
                    into += [(-s, a, b) for s, a, b in inner]
                    return into
            elif rows[n] is multiply:
                a, b = operands[n]
                into.append((sign, a, b))
                return into
        into.append((sign, n, ONE))
        return into

    for n, row in enumerate(rows):
        if row is add:
            a, b = operands[n]
            found = gather([], 1, b) if a in zero else gather(gather([], 1, a), 1, b)
        elif row is subtract:
            a, b = operands[n]
            found = gather(gather([], 1, a), -1, b)
        elif row is negative:
            found = gather([], -1, operands[n][0])
        elif row is add_up:
            found = []
            for x in operands[n]:
                found = gather(found, 1, x)
        elif row is dot:
            inputs = operands[n]
            k = len(inputs) // 2
            found = [
                (1, a, b)
                for a, b in zip(inputs[:k], inputs[k:-1])  # noqa: B905 (the hot loop)
            ]
            if inputs[-1] not in zero or not found:
                found = gather(found, 1, inputs[-1])
        else:
            continue
        terms[n] = found


def needed(tape: Tape) -> list[int]:
    """Return the numbers that the outputs still depend on after :func:`normalise`, in order."""
    operands, terms = tape.operands, tape.terms
    alive = bytearray(len(tape.rows))
    for n in tape.outputs:
        alive[n] = 1
    for n in range(len(alive) - 1, -1, -1):
        if not alive[n]:
            continue
        found = terms.get(n)
        if found is None:
            for x in operands[n]:
                alive[x] = 1
        else:
            for _, a, b in found:
                alive[a] = alive[b] = 1
    for first in tape.softmaxes:  # a softmax is computed whole
        last = first + len(operands[first])
        if any(alive[first:last]):
            alive[first:last] = b"\x01" * (last - first)
    return [n for n, living in enumerate(alive) if living]
