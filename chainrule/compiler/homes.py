"""The arrays that hold the nodes: for every node its home, and its address there.

Parameters and inputs get their homes first, results when they are computed.  Operands are fetched
as views wherever the addresses allow it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .addresses import AnyArray, Shape, factors
from .builder import Builder
from .groups import SMALL, Group, Grouping, Terms
from .likeness import INPUT, PARAMETER
from .symbolic import Operand, Symbol
from .tape import CONSTANT, LEAF, ONE, Ids, Tape, distinct

_UNPLACED, _CONSTANT = -1, -2


class Homes:
    """The state of the pass: for every node, the array that holds it and its address there."""

    def __init__(
        self,
        tape: Tape,
        grouping: Grouping,
        arguments: Sequence[Sequence[int]],
        shapes: Sequence[Shape],
        parameters: Sequence[int],
    ):
        self.tape = tape
        self.colour = grouping.colour
        self.builder = Builder()
        size = len(tape)
        self.home = np.full(size, _UNPLACED, dtype=np.int64)
        self.address = np.zeros(size, dtype=np.int64)
        self.arrays: list[Symbol] = []
        self.ones: set[int] = set()  # arrays with a column of ones in front
        self.blocks: dict[int, int] = {}  # array of parameters: its start in the parameter vector
        self.values = tape.values
        self.home[tape.codes == CONSTANT] = _CONSTANT
        self.matrices = 0  # blocks that are matrices
        self.placed: list[int] = []  # parameters in the order of their vector
        self.theta: Symbol | None = None
        self.assembled: dict[bytes, Symbol] = {}  # copies of nodes from several arrays
        self.wishes = _wishes(grouping)
        self.first = INPUT + len(arguments)  # colours from here on are computed
        alive = np.zeros(size, dtype=bool)
        alive[tape.outputs] = True
        for part in grouping.groups:
            for ids in _mentioned(part):
                alive[ids] = True
        alive &= (tape.codes == LEAF) & (self.colour == PARAMETER)
        self.parameters = np.flatnonzero(alive).tolist()
        self._place_parameters(np.array(parameters, dtype=np.int64))
        for i, (members, shape) in enumerate(zip(arguments, shapes, strict=True)):
            self._place_input(i, np.array(members, dtype=np.int64), shape or (1,))
        self.layers = 0  # products with parameters so far
        for part in grouping.groups:
            self._place_weights(part)
        self.pool: int | None = None  # the array that lumps are kept in
        self.pooled = np.full(size, _UNPLACED, dtype=np.int64)
        self.pooling: set[int] = set()  # colours whose groups are kept there
        self.filled = 0
        self._make_pool(grouping.groups, bool(arguments))

    def _make_pool(self, groups: Sequence[Group], batched: bool) -> None:
        """Open an array for the nodes of an irregular graph, if there are any.

        A lump gathers all its operands from this one array; otherwise nearly every lump would have
        to assemble them from many.  Groups of which only a few members are needed are kept out.
        """
        lumps = [part for part in groups if part.lump]
        if not lumps:
            return
        wanted = distinct(np.concatenate([ids for part in lumps for ids in _mentioned(part)]))
        asked = Counter(self.colour[wanted].tolist())
        for part in groups:
            if part.lump or SMALL * asked[part.colour] >= len(part.members):
                self.pooling.add(part.colour)
        leaves = wanted[self.colour[wanted] < self.first]
        size = len(leaves) + sum(len(p.members) for p in groups if p.colour in self.pooling)
        pool = self.builder.new((size,), batched, None)
        self.builder.program.pools.add(pool.number)
        for colour in distinct(self.colour[leaves]).tolist():
            members = leaves[self.colour[leaves] == colour]
            value = self.fetch(members)
            self.pooled[members] = self._pour(pool, value, len(members))
        self.pool = len(self.arrays)
        self.arrays.append(pool)

    def _pour(self, pool: Symbol, value: Operand, count: int) -> Ids:
        """Write *value* into the next part of the pool; return the addresses."""
        addresses = np.arange(self.filled, self.filled + count)
        self.filled += count
        self.builder.store(pool, addresses, value)
        return addresses

    def _place_weights(self, part: Group) -> None:
        """Place the weights of a product in a matrix Theta, with the bias in column 0."""
        for terms in part.terms:
            product = terms.product
            if product is None or not (self.colour[product.right] == PARAMETER).all():
                continue
            theta = product.right.reshape(-1, product.right.shape[2])
            bias = bias_of(part, terms, self.colour)
            if bias is not None and len(product.left) == 1:
                theta = np.concatenate([bias[1][0][:, None], theta], axis=1)
            if self._all_new(theta):
                self._place_parameters(theta)

    def _place_input(self, i: int, members: Ids, shape: Shape) -> None:
        if not len(members):
            return
        array = self.builder.emit("input", (), shape, True, i)
        self._home(array, members, np.arange(len(members)))
        if self._with_ones(array, members):
            self.builder.program.names[self.arrays[-1].number] = "a1"

    def _home(self, array: Symbol, members: Ids, addresses: Ids) -> int:
        home = len(self.arrays)
        self.arrays.append(array)
        self.home[members] = home
        self.address[members] = addresses
        return home

    def _with_ones(self, array: Symbol, members: Ids) -> bool:
        """Keep *members*, which fill *array*, with a column of ones if a product needs it."""
        rows = members.reshape(-1, array.shape[-1])
        for wish in self.wishes.get(int(self.colour[members[0]]), ()):
            order = np.argsort(self.address[wish[:, 0]], kind="stable")
            columns = np.argsort(self.address[wish[0]], kind="stable")
            if np.array_equal(wish[order][:, columns], rows):
                width = array.shape[-1]
                shape = (*array.shape[:-1], 1 + width)
                target = self.builder.new(shape, array.batched, 1.0)
                inner = np.arange(math.prod(shape)).reshape(shape)[..., 1:]
                self.builder.store(target, inner, array)
                self.ones.add(self._home(target, members, inner.ravel()))
                return True
        return False

    # --- reaching nodes ------------------------------------------------------------------------

    def _place_parameters(self, ids: Ids) -> None:
        """Place the parameters that have no place yet, in the order and shape of *ids*."""
        new = ids[self.home[ids] == _UNPLACED]
        if not new.size:
            return
        if new.size == ids.size and len(distinct(new)) == new.size:
            shape: Shape = ids.shape
        else:
            _, first = np.unique(new, return_index=True)
            new = new[np.sort(first)]
            shape = new.shape
        start = len(self.placed)
        new = new.ravel()
        block = self.builder.emit("parameter", (), shape, False, (start, start + new.size))
        self.blocks[self._home(block, new, np.arange(new.size))] = start
        self.placed += new.tolist()
        self.matrices += len(shape) > 1
        name = self._label(new) or (f"Theta{self.matrices}" if len(shape) > 1 else "")
        if name:
            self.builder.program.names.setdefault(block.number, name)

    def _whole(self) -> Symbol:
        if self.theta is None:
            n = len(self.parameters)
            self.theta = self.builder.emit("parameter", (), (n,), False, (0, n))
        return self.theta

    def locate(self, ids: Ids) -> tuple[Symbol | None, AnyArray]:
        """Return the array that holds the nodes *ids* and their addresses in it.

        For constants, return None and their numbers.  Nodes from several arrays are first copied
        into one.
        """
        flat = ids.ravel()
        if flat.size == 1:
            return self._locate_one(int(flat[0]), ids)
        self._place_parameters(
            ids[self.colour[ids] == PARAMETER] if not self._all_new(ids) else ids
        )
        homes, addresses = self.home[flat], self.address[flat]
        if self.pool is not None and (homes != homes[0]).any():
            pooled = self.pooled[flat] >= 0
            homes = np.where(pooled, self.pool, homes)
            addresses = np.where(pooled, self.pooled[flat], addresses)
        different = distinct(homes).tolist()
        if different == [_CONSTANT]:
            return None, self.values[ids]
        if len(different) == 1:
            return self.arrays[different[0]], addresses.reshape(ids.shape)
        if all(home in self.blocks for home in different):
            starts = np.array([self.blocks[home] for home in different])
            starts = starts[np.searchsorted(different, homes)]
            return self._whole(), (starts + addresses).reshape(ids.shape)
        parts = [(home, np.flatnonzero(homes == home)) for home in different]
        positions = np.arange(flat.size).reshape(ids.shape)
        if (known := self.assembled.get(flat.tobytes())) is not None:
            return known, positions
        batched = any(self.arrays[h].batched for h in different if h >= 0)
        target = self.assembled[flat.tobytes()] = self.builder.new((flat.size,), batched, None)
        for home, at in parts:
            if home == _CONSTANT:
                value = self.builder.constant(self.values[flat[at]])
            else:
                value = self.builder.at(self.arrays[home], addresses[at])
            self.builder.store(target, at, value)
        return target, positions

    def _locate_one(self, n: int, ids: Ids) -> tuple[Symbol | None, AnyArray]:
        """Return the array that holds node *n*, the only one of *ids*, and its address."""
        if self.home[n] == _UNPLACED and self.colour[n] == PARAMETER:
            self._place_parameters(ids)
        home = int(self.home[n])
        if home == _CONSTANT:
            return None, self.values[ids]
        return self.arrays[home], self.address[ids]

    def _all_new(self, ids: Ids) -> bool:
        return bool((self.colour[ids] == PARAMETER).all() and (self.home[ids] == _UNPLACED).all())

    def fetch(self, ids: Ids, narrow: bool = False) -> Operand:
        """Return the nodes *ids* as one operand of their shape.

        If *narrow*, an axis along which the operand repeats itself has extent 1.
        """
        if narrow:
            ids = narrowed(ids)
        array, addresses = self.locate(ids)
        if array is None:
            return self.builder.constant(addresses)
        return self.builder.at(array, addresses)

    def fetch_together(self, columns: Sequence[Ids]) -> tuple[list[Operand], Shape]:
        """Return operands for nodes, one row of numbers each, and one shape that fits them all.

        The shape has the axes along which the operands are views; they broadcast where they repeat.
        """
        count = len(columns[0])
        places = [self.locate(ids) for ids in columns]
        breaks = {1, count}
        for array, addresses in places:
            if array is None:
                continue
            found = factors(addresses)
            if found is None:
                continue
            candidate = breaks | _breaks([n for n, _ in found[1]])
            if len(found[1]) == 1 and len(set(addresses.tolist())) == _array_size(array):
                candidate |= _breaks(array.shape)
            if _is_chain(candidate) and len(candidate) <= 6:
                breaks = candidate
        ends = sorted(breaks)
        shape = tuple(b // a for a, b in pairwise(ends))[::-1] or (1,)
        operands: list[Operand] = []
        for array, addresses in places:
            if array is None:
                operands.append(self.builder.constant(narrowed(addresses.reshape(shape))))
                continue
            grid = addresses.reshape(shape)
            operands.append(self.builder.at(array, narrowed(grid)))
        return operands, shape

    def keep(self, members: Ids, value: Operand, shape: Shape, name: str = "") -> None:
        """Remember that *value* holds *members*, in that order, in *shape*."""
        if int(self.colour[members[0]]) in self.pooling:
            assert self.pool is not None
            if isinstance(value, Symbol):  # it may be narrow if its members repeat
                value = self.builder.broadcast(value, shape, value.batched)
            self.address[members] = self._pour(self.arrays[self.pool], value, len(members))
            self.home[members] = self.pool
            self.pooled[members] = self.address[members]
            return
        if not isinstance(value, Symbol):
            array = self.builder.emit(
                "constant", (), shape, False, self.builder.array(np.full(shape, value))
            )
        else:
            array = self.builder.broadcast(value, shape, value.batched)
        self._home(array, members, np.arange(len(members)))
        if self._with_ones(array, members):
            array = self.arrays[-1]
        name = self._label(members) or name
        if name:
            self.builder.program.names.setdefault(array.number, name)

    def _label(self, members: Ids) -> str:
        """Return the stem that the labels of *members* share, such as Theta1 for Theta1[0,0]."""
        labels = self.tape.labels
        stems = {_stem(labels.get(n, "")) for n in members.ravel().tolist()} if labels else {""}
        return stems.pop() if len(stems) == 1 else ""

    def _symbol(self, x: Operand, shape: Shape) -> Symbol:
        return self.builder.broadcast(x, shape, isinstance(x, Symbol) and x.batched)

    def _order(self, columns: Sequence[Ids]) -> Ids:
        """Return the members in the order of the operand that gives the clearest order."""
        best, most = np.arange(len(columns[0])), 1
        if len(best) == 1:
            return best
        for computed in (True, False):  # parameters and inputs count only if nothing else does
            for ids in columns:
                homes = self.home[ids]
                if (homes < 0).any() or computed == bool((self.colour[ids] < self.first).any()):
                    continue
                rank = homes * (1 + int(self.address[ids].max())) + self.address[ids]
                different = len(distinct(rank))
                if different > most:
                    best, most = np.argsort(rank, kind="stable"), different
            if most > 1:
                break
        return best


def _stem(label: str) -> str:
    """Return *label* without its index: z2 for z2[3], W for W_1_2."""
    found = re.match(r"[A-Za-z][A-Za-z]*\d*", label)
    return found.group() if found and found.group().isidentifier() else ""


def _array_size(array: Symbol) -> int:
    """Return how many elements of an example *array* holds."""
    return math.prod(array.shape)


def narrowed(grid: AnyArray) -> AnyArray:
    """Return *grid* with extent 1 for the axes along which it does not change."""
    for axis, extent in enumerate(grid.shape):
        if extent > 1:
            first = np.take(grid, [0], axis=axis)
            if (grid == first).all():
                grid = first
    return grid


def _breaks(shape: Sequence[int]) -> set[int]:
    sizes, product = set(), 1
    for extent in reversed(shape):
        product *= extent
        sizes.add(product)
    return sizes


def _is_chain(sizes: set[int]) -> bool:
    ordered = sorted(sizes)
    return all(b % a == 0 for a, b in pairwise(ordered))


def _mentioned(part: Group) -> list[Ids]:
    found = list(part.operands)
    if part.segments is not None:
        found.append(part.segments)
    for terms in part.terms:
        found += [terms.left, terms.right]
    return found


def bias_of(part: Group, found: Terms, colour: Ids) -> tuple[Terms, Ids] | None:
    """Return the terms that are the bias of the product *found*, and the bias of every column."""
    assert found.product is not None
    for terms in part.terms:
        if terms.each == 1 and terms.sign == found.sign and (terms.right == ONE).all():
            ids = terms.left[found.product.members]
            if (colour[ids] == PARAMETER).all() and (ids == ids[:, :1]).all():
                return terms, ids[:, 0]
    return None


def _wishes(grouping: Grouping) -> dict[int, list[Ids]]:
    """Return, by colour, the rows of nodes that will be multiplied by weights with a bias."""
    wishes: dict[int, list[Ids]] = {}
    for part in grouping.groups:
        for terms in part.terms:
            product = terms.product
            if product is None or len(product.left) != 1:
                continue
            weights = (grouping.colour[product.right] == PARAMETER).all()
            if weights and bias_of(part, terms, grouping.colour) is not None:
                rows = product.left[0]
                wishes.setdefault(int(grouping.colour[rows.flat[0]]), []).append(rows)
    return wishes
