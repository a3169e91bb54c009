"""Passes 1 and 2: from the graph of Values to flat arrays, and on to sums of products.

Pass 1 (:func:`flatten`) walks the graph from its outputs, so nodes that no output needs are left
out, and numbers every node; equal nodes, the same operation on the same operands, get one number.
Pass 2 (:func:`normalise`) writes every way of adding up in one form, as a list of terms
``sign * a * b``: ``cr.dot``, ``cr.sum``, Python's ``sum`` and chains of ``+``, ``-`` and ``*`` come
out alike, whatever the order of the operands.

A graph may have millions of nodes, so a tape holds integers in arrays, and from pass 2 on no
statement runs once per node.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np

from ..engine import table as primitives
from ..engine.backend import Value
from ..engine.modes import TraceError
from ..engine.native import core as native
from ..engine.table import Primitive

Ids = np.ndarray[Any, np.dtype[np.int64]]
"""Numbers of nodes."""
Mask = np.ndarray[Any, np.dtype[np.bool_]]
"""One truth value per number."""

ONE = 0
"""The number of the constant 1.0, the bias unit: a term without a second factor is one times it."""

TIES = (primitives.maximum, primitives.minimum)
"""The rows whose partials ask which of their operands are plain numbers: on a tie."""

LEAF, CONSTANT = -1, -2
"""The codes of numbers that are not computed."""


@dataclass
class Tape:
    """A graph as flat arrays with a place for every number; operands come before their users.

    The operands of a softmax entry are the logits; the entries of one softmax are consecutive.
    """

    rows: list[Primitive]
    """The operations that occur."""
    codes: np.ndarray[Any, np.dtype[np.int16]]
    """The operation of every number: its place in ``rows``, or LEAF or CONSTANT."""
    values: np.ndarray[Any, np.dtype[np.float64]]
    """The constants; 0 for a number that is not a constant."""
    starts: Ids
    """Where the operands of every number start in ``inputs``; one more at the end."""
    inputs: Ids
    leaves: dict[int, Value]
    labels: dict[int, str]
    outputs: list[int]
    recorded: int
    """How many nodes the recorded graph had."""
    term_starts: Ids = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    """Where the terms of every number start in ``terms``; a number without terms is not a sum."""
    terms: Ids = field(default_factory=lambda: np.zeros((3, 0), dtype=np.int64))
    """Rows of signs, of first and of second factors, written by :func:`normalise`."""
    computed: Ids = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """The numbers that remain to be computed after :func:`normalise`."""
    made: list[int] = field(default_factory=list)
    """The constants that were Values when the function ran, made by itself: see :func:`fix`."""

    def __len__(self) -> int:
        return len(self.codes)

    def row(self, n: int) -> Primitive | None:
        """Return the operation of number *n*, None for a leaf or a constant."""
        code = int(self.codes[n])
        return self.rows[code] if code >= 0 else None

    def operands(self, n: int) -> list[int]:
        """Return the operands of number *n*."""
        found: list[int] = self.inputs[self.starts[n] : self.starts[n + 1]].tolist()
        return found

    def sum_of(self, n: int) -> list[tuple[int, int, int]]:
        """Return the terms of number *n*, each a sign and two factors; empty if it is not a sum."""
        terms = self.terms[:, self.term_starts[n] : self.term_starts[n + 1]]
        return [(s, a, b) for s, a, b in terms.T.tolist()]

    def code(self, row: Primitive) -> int:
        """Return the place of *row* in ``rows``, or a number that no node has."""
        return next((i for i, known in enumerate(self.rows) if known is row), len(self.rows))

    def constant(self, ids: Ids | list[int]) -> Mask:
        """Return which of the numbers *ids* are constants."""
        mask: Mask = self.codes[ids] == CONSTANT
        return mask

    def are(self, ids: Ids, *rows: Primitive) -> Mask:
        """Return which of the numbers *ids* are the result of one of *rows*."""
        wanted = np.zeros(len(self.rows) + 2, dtype=bool)  # LEAF and CONSTANT count from the end
        wanted[[i for i, known in enumerate(self.rows) if known in rows]] = True
        mask: Mask = wanted[self.codes[ids]]
        return mask

    def whole(self, entries: Ids) -> Ids:
        """Return where each softmax starts in *entries*, the numbers of whole softmaxes."""
        sizes = (self.starts[entries + 1] - self.starts[entries]).tolist()
        first, following = [], 0
        while following < len(sizes):
            first.append(following)
            following += sizes[following]
        return np.array(first, dtype=np.int64)

    def arguments(self, leaves: Sequence[Sequence[Value]]) -> list[list[int]]:
        """Return the numbers of the *leaves* of every argument, used or not."""
        number = {leaf: n for n, leaf in self.leaves.items()}
        unused = [leaf for argument in leaves for leaf in argument if leaf not in number]
        number.update(zip(unused, itertools.count(len(self)), strict=False))
        self.leaves.update((number[leaf], leaf) for leaf in unused)
        self.codes = np.append(self.codes, np.full(len(unused), LEAF, dtype=np.int16))
        self.values = np.append(self.values, np.zeros(len(unused)))
        self.starts = np.append(self.starts, np.full(len(unused), self.starts[-1]))
        return [[number[leaf] for leaf in argument] for argument in leaves]


# --- pass 1: flat arrays -------------------------------------------------------------------------


def flatten(outputs: Sequence[Value], apart: bool = False) -> Tape:
    """Return the graph under *outputs* as a tape in which equal nodes have one number.

    If they are to be *apart*, every node has a number of its own, but for the entries of a softmax.
    """
    if native is None or (found := native.flatten(tuple(outputs), apart)) is None:
        return recorded(outputs, apart)
    _refuse_given(found[0])
    rows, leaves, numbers, count, codes, values, starts, inputs = found
    codes = np.frombuffer(codes, dtype=np.int16)
    where = np.flatnonzero(codes == LEAF).tolist()
    return Tape(
        rows,
        codes,
        np.frombuffer(values),
        np.frombuffer(starts, dtype=np.int64),
        np.frombuffer(inputs, dtype=np.int64),
        dict(zip(where, leaves, strict=True)),
        {n: leaf.label for n, leaf in zip(where, leaves, strict=True) if leaf.label},
        numbers,
        count,
    )


def _refuse_given(rows: Iterable[Primitive | None]) -> None:
    for row in rows:
        if row is not None and primitives.is_given(row):
            raise TraceError(
                f"the number and the partials of a node {row.name!r} were given with its children: "
                "a compiled program runs the graph on other numbers, for which they are not known; "
                f"{primitives.ADVICE}"
            )


def reachable(outputs: Sequence[Value]) -> list[Value]:
    """Return *outputs* and everything they were computed from, operands before users.

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


class _Entries(dict[Any, int]):
    """The number of every Value, constant and operation; a new constant gets the next number."""

    def __init__(self, apart: bool) -> None:
        super().__init__()
        self.apart = apart
        self.rows: dict[Primitive, int] = {}
        self.codes: list[int] = []
        self.constants: list[float] = []
        self.operands: list[tuple[int, ...]] = []
        self.odd: dict[tuple[bool, float], int] = {}
        self.append(CONSTANT, (), 1.0)  # ONE, apart from any 1.0 in the user's code

    def append(self, code: int, operands: tuple[int, ...], value: float = 0.0) -> int:
        self.codes.append(code)
        self.constants.append(value)
        self.operands.append(operands)
        return len(self.codes) - 1

    def __missing__(self, x: float) -> int:
        if x == 0.0 or x != x:  # the two zeros are equal but differ; a nan does not equal itself
            key = (x != x, math.copysign(1.0, x))
            if key not in self.odd:
                self.odd[key] = self.append(CONSTANT, (), x)
            return self.odd[key]
        n = self[x] = self.append(CONSTANT, (), x)
        return n

    def code(self, row: Primitive) -> int:
        return self.rows.setdefault(row, len(self.rows))

    def made(self, row: Primitive, operands: tuple[int, ...], copies: int = 1) -> int:
        """Return the number of *row* of *operands*; if new, the first of *copies* new numbers."""
        key = row, operands
        n = None if self.apart and row is not primitives.softmax_entry else self.get(key)
        if n is None:
            n = self[key] = len(self.codes)
            for _ in range(copies):
                self.append(self.code(row), operands)
        return n


def recorded(outputs: Sequence[Value], apart: bool = False) -> Tape:
    """Return the same as :func:`flatten`, node by node: the reference, also used without C."""
    order = reachable(outputs)
    _refuse_given(node.primitive for node in order)
    entries = _Entries(apart)
    of = entries.__getitem__
    leaves: dict[int, Value] = {}
    for node in order:
        row = node.primitive
        if row is None:
            n = entries.append(LEAF, ())
            leaves[n] = node
        elif row is primitives.softmax_entry:
            which, *logits = node.operands
            n = entries.made(row, tuple(map(of, logits)), copies=len(logits)) + int(which)  # type: ignore[arg-type]
        elif row is primitives.mean_of:
            terms = tuple(map(of, node.operands))
            total = entries.made(primitives.add_up, terms)
            n = entries.made(primitives.divide, (total, of(float(len(terms)))))
        else:
            n = entries.made(row, tuple(map(of, node.operands)))
        entries[node] = n
    counts = list(map(len, entries.operands))
    return Tape(
        list(entries.rows),
        np.array(entries.codes, dtype=np.int16),
        np.array(entries.constants),
        starts_of(counts),
        np.fromiter(itertools.chain.from_iterable(entries.operands), np.int64, sum(counts)),
        leaves,
        {n: leaf.label for n, leaf in leaves.items() if leaf.label},
        [entries[node] for node in outputs],
        len(order),
    )


def fix(tape: Tape, leaves: Sequence[int]) -> None:
    """Make constants of the numbers *leaves*, and of everything computed from constants alone."""
    if not leaves:
        return
    before, size = tape.codes, len(tape)
    tape.codes, tape.values = tape.codes.copy(), tape.values.copy()
    tape.made += leaves
    for n in leaves:
        tape.values[n] = tape.leaves.pop(n).data
        tape.codes[n] = CONSTANT
        tape.labels.pop(n, None)
    users = np.repeat(np.arange(size), np.diff(tape.starts))[np.argsort(tape.inputs, kind="stable")]
    starts = starts_of(np.bincount(tape.inputs, minlength=size)).tolist()
    waiting = list(leaves)
    while waiting:
        n = waiting.pop()
        for user in dict.fromkeys(users[starts[n] : starts[n + 1]].tolist()):
            operands = tape.operands(user)
            if tape.codes[user] < 0 or not tape.constant(operands).all():
                continue
            row, numbers = tape.row(user), tape.values[operands].tolist()
            assert row is not None
            if row is primitives.softmax_entry:
                which = 0  # the entries of one softmax are consecutive
                while (
                    before[user - which - 1] == before[user]
                    and tape.operands(user - which - 1) == operands
                ):
                    which += 1
                numbers = [float(which), *numbers]
            tape.values[user] = row.scalar(*numbers)
            tape.codes[user] = CONSTANT
            waiting.append(user)
            tape.made.append(user)


# --- pass 2: sums of products --------------------------------------------------------------------


def normalise(tape: Tape) -> None:
    """Fill in the terms: every addition becomes a sum, and some that are used once join their user.

    The terms of a sum keep the order in which the engine adds them.
    """
    size, inputs = len(tape), tape.inputs
    sums = tape.are(
        np.arange(size),
        primitives.add,
        primitives.subtract,
        primitives.negative,
        primitives.add_up,
        primitives.dot_product,
    )
    counts = np.diff(tape.starts)
    uses = np.bincount(inputs, minlength=size)
    uses[tape.outputs] += 2  # an output is needed itself, so it is never merged

    # A place is one operand of a sum.
    place = np.flatnonzero(np.repeat(sums, counts))
    owner = np.repeat(np.arange(size), counts)[place]
    code, slot, operand = tape.codes[owner], place - tape.starts[owner], inputs[place]
    turned = (code == tape.code(primitives.negative)) | (
        (code == tape.code(primitives.subtract)) & (slot == 1)
    )
    sign = np.where(turned, -1, 1)
    # The operands of a dot: k weights, k inputs, a bias.
    in_dot = code == tape.code(primitives.dot_product)
    k = counts[owner] // 2
    weight = in_dot & (slot < k)
    # Python's sum() starts from 0, and dot has a bias of 0: these are not terms.  Any other 0 is
    # one; otherwise a target that is 0 would make its example unlike the rest.
    start = (code == tape.code(primitives.add)) & (slot == 0)
    start |= in_dot & (slot == 2 * k) & (k > 0)
    nothing = start & tape.constant(operand) & (tape.values[operand] == 0.0)
    plain = ~(nothing | (in_dot & (slot < 2 * k)))

    lone = plain & (uses[operand] == 1)
    factors = lone & (tape.codes[operand] == tape.code(primitives.multiply))
    inner = lone & sums[operand]  # sums that may become part of another
    mixed = np.zeros(size, dtype=bool)  # which sums have a term that is not a product
    mixed[owner[plain & ~inner & ~factors]] = True
    _spread(mixed, operand[inner], owner[inner])
    whole = inner & mixed[operand]
    first = whole & np.where(in_dot, slot == 2 * k, slot == 0)
    second = whole & (slot == 1) & ~in_dot
    second[1:] &= ~whole[:-1]
    joins = _joining(first, second, whole & ~first & ~second, operand, owner, size)
    inner &= joins | ~whole
    merged = operand[inner]
    root, turn = np.arange(size), np.ones(size, dtype=np.int64)
    root[merged], turn[merged] = owner[inner], sign[inner]
    while len(merged):  # twice as far up in every round
        above = root[merged]
        merged, above = merged[root[above] != above], above[root[above] != above]
        turn[merged] *= turn[above]
        root[merged] = root[above]

    left, right = operand.copy(), np.full(len(place), ONE)
    right[weight] = inputs[place[weight] + k[weight]]
    first = tape.starts[operand[factors]]
    left[factors], right[factors] = inputs[first], inputs[first + 1]

    term = np.flatnonzero((plain & ~inner) | weight)
    total = root[owner[term]]
    order = np.argsort(total, kind="stable")
    term = term[order]
    tape.terms = np.stack([sign[term] * turn[owner[term]], left[term], right[term]])
    tape.term_starts = starts_of(np.bincount(total, minlength=size))
    left_over = tape.codes >= 0
    left_over[operand[inner | factors]] = False
    tape.computed = np.flatnonzero(left_over)


def _joining(first: Mask, second: Mask, item: Mask, operand: Ids, owner: Ids, size: int) -> Mask:
    """Return at which places a sum becomes part of the sum that adds it up.

    Sums of products alone always do: a neuron needs them all.  The others are the *first* operand
    of their owner, or its *second* and the first is not such a sum, so the two may change places;
    there they go on a chain in the order of the engine.  Or they are an *item* of a chain, which
    stands in parentheses.  An item is a term: in ``e + x + (a - b)`` the digits of e must not hang
    on the size of a.  A chain that has items begins with one, since items should be alike.
    """
    chain = first | second
    of_items = np.zeros(size, dtype=bool)
    of_items[owner[item]] = True
    _spread(of_items, operand[chain], owner[chain])
    above = np.arange(size)
    above[operand[chain]] = owner[chain]
    begins = second & of_items[above[owner]] & ~of_items[owner]  # x + (a - b) + (c - d)
    of_items[owner[begins]] = True
    chain &= ~begins
    return chain & (of_items[operand] | ~of_items[owner])


def _spread(mark: Mask, below: Ids, above: Ids) -> None:
    """Mark what is above anything marked; each of *below* is right under one of *above*."""
    up = np.arange(len(mark))
    up[below] = above
    while len(below):  # twice as far up in every round
        mark[up[below[mark[below]]]] = True
        further = up[up[below]]
        on = further != up[below]
        up[below] = further
        below = below[on]


def wiring(tape: Tape) -> tuple[Ids, Ids]:
    """Return where the operands of every computed number start, and all operands in one row.

    Those of a sum are the two factors of each term.  A node that :func:`normalise` merged into
    another has none.
    """
    counts = np.zeros(len(tape), dtype=np.int64)
    counts[tape.computed] = np.diff(tape.starts)[tape.computed]
    terms = np.diff(tape.term_starts)
    sums = terms > 0
    counts[sums] = 2 * terms[sums]
    inputs = np.empty(counts.sum(), dtype=np.int64)
    in_sum = np.repeat(sums, counts)
    inputs[in_sum] = tape.terms[1:].T.ravel()
    inputs[~in_sum] = tape.inputs[np.repeat(~sums & (counts > 0), np.diff(tape.starts))]
    return starts_of(counts), inputs


def depths(tape: Tape) -> Ids:
    """Return the depth of every number: the longest chain of computed nodes that ends with it.

    A node that :func:`normalise` merged into another counts as a leaf.
    """
    starts, inputs = wiring(tape)
    depth = np.zeros(len(tape), dtype=np.int64)
    if native is not None:
        native.longest_paths(starts, inputs, depth)
        return depth
    below, found = inputs.tolist(), depth.tolist()
    for n, (start, stop) in enumerate(itertools.pairwise(starts.tolist())):
        if start < stop:
            found[n] = 1 + max([found[x] for x in below[start:stop]])
    return np.array(found)


# --- lists of different lengths in one array -----------------------------------------------------


def starts_of(counts: Iterable[int]) -> Ids:
    """Return where consecutive lists of *counts* elements start, and where the last one ends.

    >>> starts_of([2, 0, 3]).tolist()
    [0, 2, 2, 5]
    """
    found: Ids = np.cumsum(np.concatenate([[0], np.asarray(counts, dtype=np.int64)]))
    return found


def ranges(starts: Ids, counts: Ids) -> Ids:
    """Return counts[0] numbers from starts[0] on, then counts[1] numbers from starts[1] on, ...

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(counts)
    shift = np.repeat(starts - (ends - counts), counts)
    steps: Ids = np.arange(len(shift)) + shift
    return steps


def distinct(numbers: Ids) -> Ids:
    """Return the different ones of *numbers*, in order, as np.unique does.

    That is fifty times as slow where most of millions differ: it looks for them with a hash table.
    """
    found = np.sort(np.ravel(numbers))
    first = np.ones(len(found), dtype=bool)
    first[1:] = found[1:] != found[:-1]
    return found[first]
