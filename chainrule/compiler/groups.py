"""Passes 3 and 4: which nodes are alike, and which groups of sums are matrix products.

Two nodes are alike if they are the same operation on operands that are alike.  The number of terms
of a sum does not count; otherwise causal attention would fall apart into one group per position.
The members of a group have one slot, so no group depends on itself, and one array operation can
compute all its members at once: see :mod:`.slots`.

A group of M sums of K products each is one matrix product if its first factors form |U| different
rows of K, its second factors |W| rows, and every pair of rows occurs once: |U| |W| = M.  If the
pairs fall into blocks with that property, such as the heads of attention, it is a stack of matrix
products.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from ..engine import table as primitives
from ..engine.table import Primitive
from .likeness import (
    CONSTANT,
    INPUT,
    OVER_CLASSES,
    PARAMETER,
    SEGMENTED,
    UNIT,
    buckets_of,
    scattered,
    terms_of,
)
from .slots import Slots
from .tape import ONE, Ids, Tape, distinct, ranges

_WHOLE = (primitives.softmax_entry, primitives.take_entry, *OVER_CLASSES)  # never mixed
_FEW = 4  # a group is split up if it has at most so many sizes of products, or numbers of terms
_MANY = 32  # kinds of terms, each of which needs its own array operations
SMALL = 8  # fewer alike nodes than this are not worth their own array operation


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
    """The number of terms of each member; left and right hold them one member after another."""
    signs: Ids | None = None
    """The sign of every term, if the signs differ."""
    product: Product | None = None

    @functools.cached_property
    def each(self) -> int | None:
        """The number of terms of every member, or None if the numbers differ."""
        least = int(self.counts.min())
        return least if least == int(self.counts.max()) else None


@dataclass(eq=False)
class Group:
    """Nodes that one array operation computes."""

    row: Primitive | None
    """The operation, or None for a sum of products."""
    members: Ids
    colour: int
    operands: list[Ids] = field(default_factory=list)
    """For an elementwise operation, one array per argument."""
    segments: Ids | None = None
    """For an operation on any number of operands, the operands of one member after another."""
    counts: Ids | None = None
    terms: list[Terms] = field(default_factory=list)
    lump: bool = False
    """Whether the operands are not alike, as in an irregular graph: they are then gathered."""


@dataclass(eq=False)
class Grouping:
    """The groups in an order in which they can be computed."""

    groups: list[Group]
    colour: Ids
    """The colour of every node; members of a group share one."""


def group(tape: Tape, arguments: Sequence[Sequence[int]]) -> Grouping:
    """Return the nodes of a normalised *tape* in groups; *arguments* lists the leaves of each."""
    colour = np.zeros(len(tape), dtype=np.int64)
    colour[tape.constant(np.arange(len(tape)))] = CONSTANT
    colour[ONE] = UNIT
    for i, members in enumerate(arguments):
        colour[members] = INPUT + i
    groups: list[Group] = []
    fresh = INPUT + len(arguments)
    slots = Slots(tape, colour)
    for nodes in slots:
        buckets = buckets_of(tape, nodes, colour)
        slots.settle(buckets)
        if not arguments:  # over a batch, even a few alike nodes are wide, and gathers cost more
            buckets = _lumped(buckets)
        for key, alike in buckets.items():
            ids = np.sort(np.concatenate(alike))
            for part in _form(tape, key, ids, slots.models(ids), colour):
                part.colour = fresh
                part.lump = "mixed" in key
                colour[part.members] = fresh
                groups.append(part)
                fresh += 1
    return Grouping(groups, colour)


def _lumped(found: dict[Any, list[Ids]]) -> dict[Any, list[Ids]]:
    """Return the buckets; if an operation has many small ones, those are merged.

    Without this, irregular graphs would need one array operation per node.
    """
    small: dict[Any, list[Any]] = {}
    for key, parts in found.items():
        kinds = key[1] if len(key) == 2 and isinstance(key[1], frozenset) else ()
        if (sum(map(len, parts)) < SMALL or len(kinds) > _MANY) and key[0] not in _WHOLE:
            shape = 2 if isinstance(kinds, frozenset) else len(key)
            fixed = tuple(part if isinstance(part, tuple) else None for part in key[1:])
            small.setdefault((key[0], shape, fixed), []).append(key)
    for (row, shape, fixed), keys in small.items():
        if len(keys) >= _FEW or any(len(key[1]) > _MANY for key in keys if row is None):
            lump = list(chain.from_iterable(found.pop(key) for key in keys))
            found[(row, "mixed", shape, fixed)] = lump
    return found


def _form(tape: Tape, key: Any, ids: Ids, models: Ids, colour: Ids) -> list[Group]:
    """Return the alike nodes *ids* as one group, or as several if that gives products.

    What stands where among the operands of a node is as in its model.
    """
    row = key[0]
    if row is None:
        return _sums(tape, ids, models, colour, mixed=key[1] == "mixed")
    starts, counts = tape.starts[ids], tape.starts[ids + 1] - tape.starts[ids]
    if row is primitives.softmax_entry:
        first = tape.whole(ids)
        starts, counts = starts[first], counts[first]
        return [Group(row, ids, -1, segments=tape.inputs[ranges(starts, counts)], counts=counts)]
    if row in SEGMENTED and ((key[1] == "mixed" and key[2] == 2) or isinstance(key[1], frozenset)):
        return [Group(row, ids, -1, segments=tape.inputs[ranges(starts, counts)], counts=counts)]
    columns = [tape.inputs[starts + i] for i in range(counts[0])]
    if row is primitives.multiply and key[1] != "mixed":
        first, second = (colour[tape.inputs[tape.starts[models] + i]] for i in range(2))
        turned = first < second
        columns = [np.where(turned, b, a) for a, b in (columns, columns[::-1])]
    return [Group(row, ids, -1, operands=columns)]


# --- sums ----------------------------------------------------------------------------------------


def _sums(tape: Tape, ids: Ids, models: Ids, colour: Ids, mixed: bool) -> list[Group]:
    counts = tape.term_starts[ids + 1] - tape.term_starts[ids]
    _, left, right = tape.terms[:, ranges(tape.term_starts[ids], counts)]
    if mixed:
        models = ids
    _, a, b = tape.terms[:, ranges(tape.term_starts[models], counts)]
    owner, sign, first, second, run = terms_of(tape, models, colour)
    turned = colour[a] < colour[b]
    left, right = np.where(turned, right, left), np.where(turned, left, right)
    if mixed:
        plain = left == ONE
        left, right = np.where(plain, right, left), np.where(plain, left, right)
        signs = None if (sign == 1).all() else sign
        return [Group(None, ids, -1, terms=[Terms(1, left, right, counts, signs)])]
    first, second = first - UNIT, second - UNIT
    size = 1 + int(first.max())
    kinds = ((run * 2 + (sign > 0)) * size + first) * size + second
    order = np.argsort(kinds, kind="stable")
    ends = np.cumsum(np.unique(kinds, return_counts=True)[1])
    classes: list[Terms] = []
    for at in sorted(np.split(order, ends[:-1]), key=lambda at: int(at[0])):  # as written
        number = np.bincount(owner[at], minlength=len(ids))
        classes.append(Terms(int(sign[at[0]]), left[at], right[at], number))
    whole = Group(None, ids, -1, terms=classes)
    parts = []
    for part in _by_counts(whole):
        parts += _with_products(part, colour)
    return parts


def _by_counts(whole: Group) -> list[Group]:
    """Return the sums split by their numbers of terms, if only a few different numbers occur."""
    if len(whole.members) == 1:
        return [whole]
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


def is_neuron(terms: Terms, colour: Ids) -> bool:
    """Return whether all right factors are parameters, and no left factor is one."""
    weights = bool((colour[terms.right] == PARAMETER).all())
    return weights and not (colour[terms.left] == PARAMETER).any()


def _with_products(whole: Group, colour: Ids) -> list[Group]:
    """Return the group with its largest product, or its parts if it has several products."""
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
    """Return the stacks of matrix products that M dots of K factors, two (M, K) arrays, form.

    The list is empty if there are none, or if there are too many different ones to be worth it.  An
    index and a table are not dots, as their rows differ in length, but they share rows in the same
    way.
    """
    members, length = left.shape
    dots = left.shape == right.shape
    for side in (None, right, left) if dots else (None,):  # terms may come in any order
        order = None if side is None else np.argsort(side, axis=1, kind="stable")
        a = left if order is None else np.take_along_axis(left, order, 1)
        b = right if order is None else np.take_along_axis(right, order, 1)
        u, of_left = unique_rows(a)
        w, of_right = unique_rows(b)
        if len(u) == len(w) == members > 1 and length > 1:
            continue  # no rows are shared, so a product gains nothing
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
    """Return where each distinct row of a matrix first occurs, and which of these each row equals.

    >>> first, which = unique_rows(np.array([[7, 8], [1, 2], [7, 8]]))
    >>> first.tolist(), which.tolist()
    ([0, 1], [0, 1, 0])
    """
    # A row is identified by a sum with odd weights modulo 2**64; the comparison below makes sure.
    weights = scattered(np.arange(1, 1 + rows.shape[1])) | np.uint64(1)
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
    while True:  # every row takes the smallest block number that it is connected to
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
    if len(distinct(of_left * nw + of_right)) < members:
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
