"""Passes 3 and 5: which nodes are alike, and which groups of sums are matrix products.

Two nodes are alike if they are the same operation on operands that are alike.  How many terms a sum
has is no part of the likeness, or causal attention would fall apart into one group per position.
Alike nodes have the same depth, so no group depends on itself, and one array operation can compute
all its members at once.

A group of M sums of K products each is one matrix product where its first factors form |U|
different rows of K, its second factors |W|, and every pair of rows occurs once: |U| |W| = M.  If
the pairs fall into blocks with that property, such as the heads of attention, it is a stack of
matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from ..engine import primitives
from ..engine.primitives import Primitive
from .tape import ONE, Tape, needed

Ids = np.ndarray[Any, np.dtype[np.int64]]
"""Numbers of nodes."""

UNIT, PARAMETER, CONSTANT, INPUT = -1, 0, 1, 2
"""The colours of ONE and of leaves; input i has colour ``INPUT + i``, computed nodes come after."""

SEGMENTED = (primitives.maximum, primitives.minimum, primitives.logsumexp_of)
"""Operations on any number of operands that have a form for a whole axis."""

# Of these a constant operand may differ from member to member; of any other it is part of the name.
_OPEN = {
    primitives.multiply,
    primitives.divide,
    primitives.where,
    primitives.maximum,
    primitives.minimum,
    primitives.less,
    primitives.less_equal,
    primitives.equal,
    primitives.hypot,
    primitives.atan2,
    primitives.logaddexp,
    primitives.damped,
}
_WHOLE = (primitives.softmax_entry, primitives.take_entry)  # never mixed with others
_FEW = 4  # sizes of products, or numbers of terms, for which a group is split up
SMALL = 8  # fewer alike nodes than this are not worth an array operation of their own


@dataclass(eq=False)
class Product:
    """A stack of C matrix products: member (c, u, w) is the dot of left (c, u) and right (c, w)."""

    members: Ids
    """(C, U, W) positions in the group."""
    left: Ids
    """(C, U, K) nodes."""
    right: Ids
    """(C, W, K) nodes."""


@dataclass(eq=False)
class Terms:
    """The terms of one kind in a group of sums: sign times left times right."""

    sign: int
    left: Ids
    right: Ids
    counts: Ids
    """How many of the terms each member has; they follow one another in left and right."""
    signs: Ids | None = None
    """The sign of every term, where they are mixed."""
    product: Product | None = None

    @property
    def each(self) -> int | None:
        """How many terms every member has, None if they differ."""
        least = int(self.counts.min())
        return least if least == int(self.counts.max()) else None


@dataclass(eq=False)
class Group:
    """Nodes that one array operation computes."""

    row: Primitive | None
    """The operation, None for a sum of products."""
    members: Ids
    colour: int
    operands: list[Ids] = field(default_factory=list)
    """Of an elementwise operation: one array per argument."""
    segments: Ids | None = None
    """Of an operation on any number of operands: those of all members, one after another."""
    counts: Ids | None = None
    terms: list[Terms] = field(default_factory=list)
    lump: bool = False
    """Whether the operands are not alike: nodes of an irregular graph, gathered from anywhere."""


@dataclass(eq=False)
class Grouping:
    """The groups in an order in which they can be computed."""

    groups: list[Group]
    colour: Ids
    """The colour of every node; members of a group share one."""


def group(tape: Tape, arguments: Sequence[Sequence[int]]) -> Grouping:
    """Return the nodes of a normalised *tape* in groups; *arguments* lists the leaves of each."""
    alive = needed(tape)
    size = len(tape.rows)
    colour = np.zeros(size, dtype=np.int64)
    for n in tape.constants:
        colour[n] = CONSTANT
    colour[ONE] = UNIT
    for i, members in enumerate(arguments):
        colour[members] = INPUT + i
    fresh = INPUT + len(arguments)
    colours: list[int] = colour.tolist()
    groups: list[Group] = []
    for level in _levels(tape, alive):
        for key, alike in _buckets(tape, level, colours).items():
            for part in _form(tape, key, alike, colour):
                part.colour = fresh
                part.lump = "mixed" in key
                colour[part.members] = fresh
                for n in part.members.tolist():
                    colours[n] = fresh
                groups.append(part)
                fresh += 1
    return Grouping(groups, colour)


def _levels(tape: Tape, alive: list[int]) -> list[list[int]]:
    """Return the computed nodes by depth: a node is one deeper than its deepest operand."""
    depth = [0] * len(tape.rows)
    levels: list[list[int]] = []
    rows, operands, terms = tape.rows, tape.operands, tape.terms
    for n in alive:
        if rows[n] is None:
            continue
        found = terms.get(n)
        if found is None:
            d = max([depth[x] for x in operands[n]])
        else:
            d = max([max(depth[a], depth[b]) for _, a, b in found])
        depth[n] = d + 1
        if d == len(levels):
            levels.append([])
        levels[d].append(n)
    return levels


def _buckets(tape: Tape, level: list[int], colours: list[int]) -> dict[Any, list[int]]:
    """Return the nodes of one depth by what makes them alike."""
    rows, operands, terms, constants = tape.rows, tape.operands, tape.terms, tape.constants
    found: dict[Any, list[int]] = {}
    key: Any
    for n in level:
        row = rows[n]
        assert row is not None
        if n in terms:
            kinds = set()
            for s, a, b in terms[n]:
                p, q = colours[a], colours[b]
                kinds.add((s, p, q) if p >= q else (s, q, p))
            key = (None, frozenset(kinds))
        else:
            inputs = operands[n]
            if row is primitives.multiply:
                a, b = inputs
                p, q = colours[a], colours[b]
                key = (row, p, q) if p >= q else (row, q, p)
            elif row is primitives.softmax_entry or (
                row in SEGMENTED and len(inputs) > 2 and not any(x in constants for x in inputs)
            ):
                key = (row, frozenset([colours[x] for x in inputs]))
            elif row in _OPEN:
                key = (row, *[colours[x] for x in inputs])
            else:
                key = (row, *[(constants[x],) if x in constants else colours[x] for x in inputs])
        members = found.get(key)
        if members is None:
            found[key] = [n]
        else:
            members.append(n)
    return _lumped(found)


def _lumped(found: dict[Any, list[int]]) -> dict[Any, list[int]]:
    """Return the buckets with those of a few members merged, where an operation has many of them.

    Irregular graphs would otherwise need an array operation per node.
    """
    if len(found) < 2:
        return found
    small: dict[Any, list[Any]] = {}
    for key, members in found.items():
        if len(members) < SMALL and key[0] not in _WHOLE:
            shape = 2 if len(key) == 2 and isinstance(key[1], frozenset) else len(key)
            fixed = tuple(part if isinstance(part, tuple) else None for part in key[1:])
            small.setdefault((key[0], shape, fixed), []).append(key)
    for (row, shape, fixed), keys in small.items():
        if len(keys) >= _FEW:
            lump = sorted(chain.from_iterable(found.pop(key) for key in keys))
            found[(row, "mixed", shape, fixed)] = lump
    return found


def _form(tape: Tape, key: Any, members: list[int], colour: Ids) -> list[Group]:
    """Return the alike nodes *members* as a group, or as several where that gives products."""
    ids = np.array(members, dtype=np.int64)
    row = key[0]
    if row is None:
        return _sums(tape, ids, colour, mixed=key[1] == "mixed")
    operands = [tape.operands[n] for n in members]
    if row is primitives.softmax_entry:
        firsts = [n for i, n in enumerate(members) if i == 0 or operands[i] is not operands[i - 1]]
        logits = [tape.operands[n] for n in firsts]
        return [_segmented(row, ids, logits)]
    if row in SEGMENTED and ((key[1] == "mixed" and key[2] == 2) or isinstance(key[1], frozenset)):
        return [_segmented(row, ids, operands)]
    columns = np.array(operands, dtype=np.int64).T
    if row is primitives.multiply and key[1] != "mixed":
        turned = colour[columns[0]] < colour[columns[1]]
        columns = np.where(turned, columns[::-1], columns)
    return [Group(row, ids, -1, operands=list(columns))]


def _segmented(row: Primitive, ids: Ids, operands: Sequence[tuple[int, ...]]) -> Group:
    counts = np.array([len(x) for x in operands], dtype=np.int64)
    flat = np.fromiter(chain.from_iterable(operands), dtype=np.int64, count=int(counts.sum()))
    return Group(row, ids, -1, segments=flat, counts=counts)


# --- sums ----------------------------------------------------------------------------------------


def _sums(tape: Tape, ids: Ids, colour: Ids, mixed: bool) -> list[Group]:
    lists = [tape.terms[n] for n in ids.tolist()]
    counts = np.array([len(x) for x in lists], dtype=np.int64)
    flat = np.array(list(chain.from_iterable(lists)), dtype=np.int64).reshape(-1, 3)
    sign, left, right = flat.T
    owner = np.repeat(np.arange(len(ids)), counts)
    first, second = colour[left], colour[right]
    turned = first < second
    left, right = np.where(turned, right, left), np.where(turned, left, right)
    if mixed:
        plain = left == ONE
        left, right = np.where(plain, right, left), np.where(plain, left, right)
        signs = None if (sign == 1).all() else sign
        return [Group(None, ids, -1, terms=[Terms(1, left, right, counts, signs)])]
    kind = np.stack([sign, colour[left], colour[right]])
    kinds, which = np.unique(kind, axis=1, return_inverse=True)
    which = which.ravel()
    classes: list[Terms] = []
    for i in range(kinds.shape[1]):
        of_kind = which == i
        number = np.bincount(owner[of_kind], minlength=len(ids))
        classes.append(Terms(int(kinds[0, i]), left[of_kind], right[of_kind], number))
    whole = Group(None, ids, -1, terms=classes)
    parts = []
    for part in _by_counts(whole):
        parts += _with_products(part, colour)
    return parts


def _by_counts(whole: Group) -> list[Group]:
    """Return the sums split by their numbers of terms if only a few different ones occur."""
    signatures = np.stack([terms.counts for terms in whole.terms], axis=1)
    different, which, size = np.unique(signatures, axis=0, return_inverse=True, return_counts=True)
    if len(different) == 1 or len(different) > _FEW or size.min() < _FEW:
        return [whole]
    return [_subset(whole, np.flatnonzero(which.ravel() == i)) for i in range(len(different))]


def _subset(whole: Group, chosen: Ids) -> Group:
    """Return the sums at the positions *chosen*, in that order, as a group."""
    parts = []
    for terms in whole.terms:
        starts = np.cumsum(terms.counts) - terms.counts
        take = ranges(starts[chosen], terms.counts[chosen])
        parts.append(Terms(terms.sign, terms.left[take], terms.right[take], terms.counts[chosen]))
    return Group(None, whole.members[chosen], -1, terms=parts)


def ranges(starts: Ids, counts: Ids) -> Ids:
    """Return starts[0], starts[0] + 1, ... counts[0] numbers in all, then those from starts[1]...

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(counts)
    shift = np.repeat(starts - (ends - counts), counts)
    steps: Ids = np.arange(len(shift)) + shift
    return steps


def is_neuron(terms: Terms, colour: Ids) -> bool:
    """Return whether all factors on the right are parameters, and none on the left is."""
    weights = bool((colour[terms.right] == PARAMETER).all())
    return weights and not (colour[terms.left] == PARAMETER).any()


def _with_products(whole: Group, colour: Ids) -> list[Group]:
    """Return the group with its largest product found; split if that takes several products."""
    candidates = [
        terms
        for terms in whole.terms
        if (terms.each or 0) >= 2
        and not (terms.right == ONE).all()
        and (len(whole.members) > 1 or is_neuron(terms, colour))
    ]
    for terms in sorted(candidates, key=lambda terms: -(terms.each or 0)):
        products = find_products(
            terms.left.reshape(len(whole.members), -1), terms.right.reshape(len(whole.members), -1)
        )
        if len(products) == 1:
            terms.product = products[0]
            return [whole]
        if products:
            at = whole.terms.index(terms)
            parts = []
            for product in products:
                part = _subset(whole, product.members.ravel())
                ordered = np.arange(product.members.size).reshape(product.members.shape)
                part.terms[at].product = Product(ordered, product.left, product.right)
                parts.append(part)
            return parts
    return [whole]


def find_products(left: Ids, right: Ids) -> list[Product]:
    """Return the stacks of matrix products that M dots of K factors, two (M, K) arrays, make up.

    Empty if there are none, or too many different ones to be worth it.
    """
    members, length = left.shape
    for side in (None, right, left):  # the terms may come in another order in every member
        order = None if side is None else np.argsort(side, axis=1, kind="stable")
        a = left if order is None else np.take_along_axis(left, order, 1)
        b = right if order is None else np.take_along_axis(right, order, 1)
        u, of_left = unique_rows(a)
        w, of_right = unique_rows(b)
        if len(u) == len(w) == members > 1 and length > 1:
            continue  # nothing is shared: as good as no product
        blocks = _blocks(of_left, of_right, len(u), len(w))
        if blocks:
            return [
                Product(
                    block,
                    a[block[:, :, 0]],
                    b[block[:, 0, :]],
                )
                for block in blocks
            ]
    return []


def unique_rows(rows: Ids) -> tuple[Ids, Ids]:
    """Return where the different rows of a matrix first occur, and which of them each row is.

    >>> first, which = unique_rows(np.array([[7, 8], [1, 2], [7, 8]]))
    >>> first.tolist(), which.tolist()
    ([0, 1], [0, 1, 0])
    """
    # A sum with odd weights modulo 2**64 stands for the row; the comparison makes it certain.
    weights = np.random.default_rng(1).integers(2**62, size=rows.shape[1], dtype=np.uint64) * 2 + 1
    digest = rows.astype(np.uint64) @ weights
    _, first, which = np.unique(digest, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first, which = first[order], rank[which]
    if not np.array_equal(rows, rows[first[which]]):  # pragma: no cover (a chance of 1 in 2**60)
        _, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, which.ravel()


def _blocks(of_left: Ids, of_right: Ids, nu: int, nw: int) -> list[Ids]:
    """Return the members, (C, U, W) for each size of block, if they fall into full blocks."""
    members = len(of_left)
    block_of_u, block_of_w = np.arange(nu), np.full(nw, nu)
    while True:  # every row takes the least block it is connected with
        np.minimum.at(block_of_w, of_right, block_of_u[of_left])
        before = block_of_u.copy()
        np.minimum.at(block_of_u, of_left, block_of_w[of_right])
        if np.array_equal(before, block_of_u):
            break
    block = block_of_u[of_left]
    names, block = np.unique(block, return_inverse=True)
    block_of_u = np.searchsorted(names, block_of_u)
    block_of_w = np.searchsorted(names, block_of_w)
    heights = np.bincount(block_of_u, minlength=len(names))
    widths = np.bincount(block_of_w, minlength=len(names))
    sizes = np.bincount(block, minlength=len(names))
    if not np.array_equal(sizes, heights * widths):
        return []
    if len(np.unique(of_left * nw + of_right)) < members:
        return []
    shapes, which = np.unique(np.stack([heights, widths]), axis=1, return_inverse=True)
    which = which.ravel()
    if shapes.shape[1] > _FEW or (len(names) > 1 and (shapes == 1).all()):
        return []
    found = []
    for i in range(shapes.shape[1]):
        chosen = np.flatnonzero(which[block] == i)
        order = np.lexsort((of_right[chosen], of_left[chosen], block[chosen]))
        u, w = shapes[:, i]
        found.append(chosen[order].reshape(-1, u, w))
    return found
