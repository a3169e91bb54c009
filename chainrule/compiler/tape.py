"""Passes 1 and 2: from the graph of Values to flat lists, and on to sums of products.

Pass 1 (*flatten*) walks the graph from its outputs, so that what no output needs is left behind,
and numbers every node; equal nodes, that is the same operation on the same operands, get one number.
Pass 2 (*normal form*) writes all the ways of adding up in one way, as a list of terms
``sign * a * b``: ``cr.dot``, ``cr.sum``, Python's ``sum`` and chains of ``+``, ``-`` and ``*`` come
out alike, whatever the order of the operands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
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


def reachable(outputs: Sequence[Value]) -> list[Value]:
    """Return *outputs* and all they were computed from, operands before users.

    Unlike the parents, the operands include the branch that ``where`` did not choose.
    """
    order = list(dict.fromkeys(outputs))
    seen = set(order)
    for node in order:  # grows while it is read
        for operand in node.operands:
            if type(operand) is not float and operand not in seen:
                seen.add(operand)
                order.append(operand)
    order.sort(key=_serial)
    return order


def _serial(node: Value) -> int:
    return node.serial


def flatten(outputs: Sequence[Value]) -> Tape:
    """Return the graph under *outputs* as a tape in which equal nodes have one number."""
    tape = Tape()
    rows, operands, constants = tape.rows, tape.operands, tape.constants
    number: dict[Value, int] = {}
    known: dict[Any, int] = {}
    known_constants: dict[Any, int] = {}

    def constant(x: float) -> int:
        key = x if x else (x, math.copysign(1.0, x))  # the two zeros are equal but not alike
        n = known_constants.get(key)
        if n is None:
            n = known_constants[key] = new(None, ())
            constants[n] = x
        return n

    def new(row: Primitive | None, inputs: tuple[int, ...]) -> int:
        rows.append(row)
        operands.append(inputs)
        return len(rows) - 1

    def made(row: Primitive, inputs: tuple[int, ...]) -> int:
        key = (row, inputs)
        n = known.get(key)
        if n is None:
            n = known[key] = new(row, inputs)
        return n

    constants[new(None, ())] = 1.0  # ONE, apart from any 1.0 in the user's code
    order = reachable(outputs)
    for node in order:
        row = node.primitive
        if row is None:
            n = new(None, ())
            tape.leaves[n] = node
        else:
            inputs = tuple(
                [number[x] if type(x) is not float else constant(x) for x in node.operands]
            )
            if row is primitives.softmax_entry:
                logits = inputs[1:]
                first = known.get((row, logits))
                if first is None:
                    first = known[row, logits] = new(row, logits)
                    for _ in logits[1:]:
                        new(row, logits)
                    tape.softmaxes.append(first)
                n = first + int(node.operands[0])
            elif row is primitives.mean_of:
                total = made(primitives.add_up, inputs)
                n = made(primitives.divide, (total, constant(float(len(inputs)))))
            else:
                key = (row, inputs)
                found = known.get(key)
                if found is None:
                    found = known[key] = len(rows)
                    rows.append(row)
                    operands.append(inputs)
                n = found
        number[node] = n
        if node.label:
            tape.labels.setdefault(n, node.label)
    tape.outputs = [number[node] for node in outputs]
    tape.recorded = len(order)
    return tape


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
                if len(inner) <= 64:  # a sign is turned once per level: long chains stay as they are
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
