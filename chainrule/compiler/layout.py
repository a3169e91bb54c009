"""Pass 5: where every node is kept, and the forward program that follows from it.

The members of a group are kept in one array, ordered so that operands are views rather than gathers
wherever possible: in the order of the rows and columns of a product, or in the order of their first
operand.  Parameters take the order that their first user needs, so a layer's weights become the
matrix Theta, with the bias in column 0.  An array that is multiplied by such a Theta gets a column
of ones in front: the bias unit a_0 = 1 of the notes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..engine import table as primitives
from .groups import (
    INPUT,
    OVER_CLASSES,
    PARAMETER,
    SMALL,
    Group,
    Grouping,
    Terms,
    find_products,
    is_neuron,
)
from .program import AnyArray, Builder, Operand, Program, Shape, Symbol, factors
from .tape import CONSTANT, LEAF, ONE, Ids, Tape, ranges
from .triangles import holed

_UNPLACED, _CONSTANT = -1, -2
_ACTIVATIONS = (
    primitives.sigmoid,
    primitives.tanh,
    primitives.relu,
    primitives.leaky_relu,
    primitives.silu,
    primitives.gelu,
)


@dataclass
class Layout:
    """A program with its forward part, and what its arrays hold."""

    program: Program
    builder: Builder
    parameters: list[int]
    """The leaves in the order of the parameter vector."""
    rows: list[Operand]
    """The outputs, a number for each: in one row unless there are to be several."""

    @property
    def outputs(self) -> Operand:
        """The only row of outputs."""
        (row,) = self.rows
        return row


class _Placer:
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
        wanted = np.unique(np.concatenate([ids for part in lumps for ids in _mentioned(part)]))
        asked = Counter(self.colour[wanted].tolist())
        for part in groups:
            if part.lump or SMALL * asked[part.colour] >= len(part.members):
                self.pooling.add(part.colour)
        leaves = wanted[self.colour[wanted] < self.first]
        size = len(leaves) + sum(len(p.members) for p in groups if p.colour in self.pooling)
        pool = self.builder.new((size,), batched, None)
        self.builder.program.pools.add(pool.number)
        for colour in np.unique(self.colour[leaves]).tolist():
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
            bias = _bias(part, terms, self.colour)
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
        if new.size == ids.size and len(np.unique(new)) == new.size:
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
        different = np.unique(homes).tolist()
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
            ids = _narrow(ids)
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
            if len(found[1]) == 1 and len(set(addresses.tolist())) == array_size(array):
                candidate |= _breaks(array.shape)
            if _is_chain(candidate) and len(candidate) <= 6:
                breaks = candidate
        ends = sorted(breaks)
        shape = tuple(b // a for a, b in pairwise(ends))[::-1] or (1,)
        operands: list[Operand] = []
        for array, addresses in places:
            if array is None:
                operands.append(self.builder.constant(_narrow(addresses.reshape(shape))))
                continue
            grid = addresses.reshape(shape)
            operands.append(self.builder.at(array, _narrow(grid)))
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

    # --- computing groups ----------------------------------------------------------------------

    def compute(self, part: Group) -> None:
        if part.row is None:
            self._sum(part)
        elif part.segments is not None:
            self._segmented(part)
        else:
            self._elementwise(part)

    def _elementwise(self, part: Group) -> None:
        if part.row is primitives.take_entry:
            self._take(part)
            return
        if part.row in OVER_CLASSES:
            self._over_classes(part)
            return
        order = self._order(part.operands)
        operands, shape = self.fetch_together([ids[order] for ids in part.operands])
        assert part.row is not None
        name = ""
        if isinstance(operands[0], Symbol):
            argument = self.builder.program.names.get(operands[0].number, "")
            if argument[:1] == "z" and part.row in _ACTIVATIONS:
                name = "a" + argument[1:]
        self.keep(part.members[order], self.builder.apply(part.row, *operands), shape, name)

    def _over_classes(self, part: Group) -> None:
        """Compute losses over the logits of every member, which become the last axis."""
        builder, row, columns = self.builder, part.row, part.operands
        classes = len(columns) // 2 if row is primitives.soft_cross_entropy else len(columns) - 1
        logits = np.stack(columns[-classes:], axis=1)
        order = self._order([logits[:, 0]])
        rows = len(order)
        shape: Shape = (classes,) if rows == 1 else (rows, classes)
        z = self._symbol(self.fetch(logits[order].reshape(shape)), shape)
        if row is primitives.soft_cross_entropy:
            shares = np.stack(columns[:classes], axis=1)
            y = self._symbol(self.fetch(shares[order].reshape(shape)), shape)
        else:
            which = self.fetch(columns[0][order].reshape(*shape[:-1], 1))
            y = builder.one_hot(which, shape)
        batched = z.batched or y.batched
        z = builder.broadcast(z, shape, batched)
        made = (*shape[:-1], 1)
        if row is primitives.softmax_rest:
            p = builder.emit("softmax", (z,), shape, batched)
            value = builder.emit("softmax_rest", (p, y), made, batched)
        else:
            value = builder.emit("cross_entropy", (z, y), made, batched)
        self.keep(part.members[order], builder.reshape(value, (rows,)), (rows,))

    def _take(self, part: Group) -> None:
        """Compute entries of tables: rows of a matrix if every index uses the same columns."""
        index, *entries = part.operands
        table = np.stack(entries, axis=1)
        products = find_products(index[:, None], table)
        builder = self.builder
        if len(products) == 1 and len(products[0].left) == 1:
            product = products[0]
            which = self._symbol(self.fetch(product.left[0, :, 0]), (len(product.left[0]),))
            values = self._symbol(self.fetch(product.right[0].T), product.right[0].T.shape)
            if not values.batched:
                shape = product.members.shape[1:]
                value = builder.emit("pick", (which, values), shape, which.batched)
                shape = tuple(n for n in shape if n > 1) or (1,)
                order = product.members.ravel()
                self.keep(part.members[order], builder.reshape(value, shape), shape)
                return
        operands, shape = self.fetch_together(part.operands)
        which, *choices = operands  # type: ignore[assignment]
        chosen: Operand = choices[-1]
        for k in range(len(choices) - 2, -1, -1):
            chosen = primitives.where(primitives.equal(which, float(k)), choices[k], chosen)
        self.keep(part.members, chosen, shape)

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
                different = len(np.unique(rank))
                if different > most:
                    best, most = np.argsort(rank, kind="stable"), different
            if most > 1:
                break
        return best

    def _segmented(self, part: Group) -> None:
        assert part.segments is not None
        assert part.counts is not None
        counts, segments = part.counts, part.segments
        softmax = part.row is primitives.softmax_entry
        starts = np.cumsum(counts) - counts
        self.locate(segments)
        order = self._order([segments[starts]])
        flat = segments[ranges(starts[order], counts[order])]
        entries = ranges(starts[order], counts[order]) if softmax else order
        members = part.members[entries]
        counts = counts[order]
        rows, length = len(counts), int(counts[0])
        builder = self.builder
        assert part.row is not None
        kind = _SEGMENTED[part.row]
        if (counts == length).all():
            shape: Shape = (length,) if rows == 1 else (rows, length)
            x = self._symbol(self.fetch(flat.reshape(shape)), shape)
            made = shape if softmax else (*shape[:-1], 1)
            value = builder.emit(kind, (x,), made, x.batched)
            shape = shape if softmax else (rows,)
            self.keep(members, builder.reshape(value, shape), shape)
        else:
            x = self._symbol(self.fetch(flat), flat.shape)
            shape = (len(members),)
            detail: Any = builder.stretches(counts)
            if kind in ("maximum", "minimum"):
                detail = detail[0]
            self.keep(members, builder.emit(kind, (x,), shape, x.batched, detail), shape)

    def _symbol(self, x: Operand, shape: Shape) -> Symbol:
        return self.builder.broadcast(x, shape, isinstance(x, Symbol) and x.batched)

    # --- sums --------------------------------------------------------------------------------

    def _sum(self, part: Group) -> None:
        """Compute a group of sums, products first because they fix the order of the members."""
        count = len(part.members)
        value: Operand | None = None
        rest = list(part.terms)
        name = ""
        found = next((terms for terms in rest if terms.product is not None), None)
        shape: Shape
        if found is not None:
            rest.remove(found)
            value, order, shape = self._first_product(found, rest, part)
            positions = order.reshape(-1)
            if is_neuron(found, self.colour):
                self.layers += 1
                name = f"z{self.layers + 1}"
        else:
            columns = [column for terms in rest for column in _columns(terms, count)]
            if columns:
                positions = self._order(columns)
                _, shape = self.fetch_together([ids[positions] for ids in columns])
            else:
                starts = np.cumsum(rest[0].counts) - rest[0].counts
                self.locate(rest[0].left)
                positions = self._order([rest[0].left[starts]])
                shape = (count,)
            order = positions.reshape(shape)
        addends: dict[Any, tuple[int, Operand]] = {}  # in the order in which they were written
        lines: set[Shape] = set()  # for a single member, what remains to be added up
        for terms in part.terms:
            if terms is found:
                assert value is not None
                addends[id(terms)] = 1, value
            elif self._is_inner(terms, count):
                for addend, along in self._inner_product(terms):
                    lines.add(along)
                    addends[along] = _plus(addends.get(along), terms.sign, addend)
            elif any(terms is other for other in rest):  # else it is the bias of the product
                addends[id(terms)] = terms.sign, self._terms(terms, order, shape)
        total: tuple[int, Operand] | None = None
        for key, (sign, addend) in addends.items():
            if key in lines:
                summed = self.builder.total(addend, range(-len(key), 0), key)
                addend = self.builder.reshape(summed, (1,))
            total = _plus(total, sign, addend)
        assert total is not None
        sign, value = total
        value = value if sign == 1 else primitives.negative(value)
        self.keep(part.members[positions], value, shape, name)

    def _terms(self, terms: Terms, order: Ids, shape: Shape) -> Operand:
        """Return the sums of left times right, for the members in *order*, in *shape*."""
        each, builder = terms.each, self.builder
        if each is None:
            starts = np.cumsum(terms.counts) - terms.counts
            counts = terms.counts[order.ravel()]
            if (found := self._holed(terms, order)) is not None:
                return builder.reshape(found, shape)
            take = ranges(starts[order.ravel()], counts)
            addends = self._multiplied(terms.left[take], terms.right[take])
            if terms.signs is not None:
                addends = primitives.multiply(builder.constant(terms.signs[take]), addends)
            x = self._symbol(addends, take.shape)
            begins = builder.array(np.cumsum(counts) - counts)
            summed = builder.emit("segment_sum", (x,), counts.shape, x.batched, begins)
            return builder.reshape(summed, shape)
        left, right = terms.left.reshape(-1, each)[order], terms.right.reshape(-1, each)[order]
        plain = bool((right == ONE).all())
        if terms.signs is not None:
            signed = builder.constant(terms.signs.reshape(-1, each)[order])
            addends = primitives.multiply(signed, self._multiplied(left, right))
            return builder.reshape(builder.total(addends, (-1,), (*shape, each)), shape)
        product = None if plain or each == 1 else _along(left, right)
        if product is not None:
            return builder.reshape(self._product(*product), shape)
        if _columns(terms, len(terms.counts)):
            value = self._multiplied(left[..., 0], right[..., 0], narrow=True)
            for k in range(1, each):
                addend = self._multiplied(left[..., k], right[..., k], narrow=True)
                value = primitives.add(value, addend)
            return value
        value = builder.total(self._multiplied(left, right), (-1,), (*shape, each))
        return builder.reshape(value, shape)

    def _holed(self, terms: Terms, order: Ids) -> Symbol | None:
        """Return sums of parameters times nodes, in *order*, as a product with holes, or None."""
        left, right, builder = terms.left, terms.right, self.builder
        if terms.signs is not None or not self._all_new(right):
            return None
        rank = np.empty(order.size, dtype=np.int64)
        rank[order.ravel()] = np.arange(order.size)
        found = holed(left, right, terms.counts, rank)
        if found is None:
            return None
        stack, rows, width = found.entries.shape
        array, addresses = self.locate(found.columns)
        columns, entries = found.columns, found.entries
        if array is not None:
            along = np.argsort(addresses, axis=1, kind="stable")
            columns = np.take_along_axis(columns, along, 1)
            entries = np.take_along_axis(entries, along[:, None], 2)
        there = np.flatnonzero(entries.ravel() >= 0)
        matrices = builder.new((stack, rows, width), False, 0.0)
        builder.store(matrices, there, self.fetch(right[entries.ravel()[there]]))
        filled = np.zeros(entries.size)
        filled[there] = 1.0
        number = builder.array(filled.reshape(entries.shape))
        mask = builder.emit("constant", (), entries.shape, False, number)
        vectors = self._symbol(self.fetch(columns[:, None]), (stack, 1, width))
        product = builder.stack(matrices, vectors, (False, True), mask)
        place = np.empty(order.size, dtype=np.int64)
        place[rank[found.members.ravel()]] = np.arange(order.size)
        made = builder.at(builder.reshape(product, (order.size,)), place)  # type: ignore[arg-type]
        assert isinstance(made, Symbol)
        return made

    def _is_inner(self, terms: Terms, count: int) -> bool:
        """Return whether *terms* are one long sum, but not a product of data with weights."""
        if count > 1 or terms.each is None or terms.each == 1 or terms.signs is not None:
            return False
        return not is_neuron(terms, self.colour)

    def _inner_product(self, terms: Terms) -> list[tuple[Operand, Shape]]:
        """Return the arrays to be added up, and the shapes they are broadcast to."""
        left, right = terms.left, terms.right
        plain = bool((right == ONE).all())
        self._place_parameters(left[self.colour[left] == PARAMETER])
        found = []
        homes = self.home[left]
        for home in dict.fromkeys(homes.tolist()):
            here = homes == home
            columns = [left[here]] if plain else [left[here], right[here]]
            order = self._order(columns)
            operands, shape = self.fetch_together([ids[order] for ids in columns])
            found.append((operands[0] if plain else primitives.multiply(*operands), shape))
        return found

    def _multiplied(self, left: Ids, right: Ids, narrow: bool = False) -> Operand:
        if (right == ONE).all():
            return self.fetch(left, narrow)
        product: Operand = primitives.multiply(self.fetch(left, narrow), self.fetch(right, narrow))
        return product

    def _first_product(
        self, found: Terms, rest: list[Terms], part: Group
    ) -> tuple[Operand, Ids, Shape]:
        """Return the product, its members in the order of its rows and columns, and their shape."""
        assert found.product is not None
        members, left, right = found.product.members, found.product.left, found.product.right
        taken, bias = _bias(part, found, self.colour) or (None, None)
        # Rows and columns have the order of the left factor.
        array, addresses = self.locate(left)
        if array is not None:
            k = np.argsort(addresses[0, 0], kind="stable")
            left, right, addresses = left[..., k], right[..., k], addresses[..., k]
            u = np.argsort(addresses[:, :, 0], axis=1, kind="stable")
            left = np.take_along_axis(left, u[..., None], 1)
            members = np.take_along_axis(members, u[..., None], 1)
            c = np.argsort(addresses.min(axis=(1, 2)), kind="stable")
            left, right, members = left[c], right[c], members[c]
            bias = bias[c] if bias is not None else None
        if (self.home[right] >= 0).all() and (self.colour[right] != PARAMETER).all():
            _, beside = self.locate(right)
            w = np.argsort(beside[:, :, 0], axis=1, kind="stable")
            right = np.take_along_axis(right, w[..., None], 1)
            members = np.take_along_axis(members, w[:, None, :], 2)
            bias = np.take_along_axis(bias, w, 1) if bias is not None else None
        if bias is not None and len(left) == 1:
            value = self._product_with_bias(left, right, bias)
            if value is not None and taken is not None:
                rest.remove(taken)
            else:
                value = self._product(left, right)
        else:
            value = self._product(left, right)
        if found.sign == -1:
            value = primitives.negative(value)
        shape = tuple(n for n in members.shape if n != 1) or (1,)
        return self.builder.reshape(value, shape), members.reshape(shape), shape

    def _product_with_bias(self, left: Ids, right: Ids, bias: Ids) -> Operand | None:
        """Return the product with the bias as the weight of a unit that is 1, or None."""
        array, addresses = self.locate(left[0])
        theta = np.concatenate([bias[0][:, None], right[0]], axis=1)
        if array is None:
            rows = np.concatenate([np.ones((len(addresses), 1)), addresses], axis=1)
            a: Operand = self.builder.emit(
                "constant", (), rows.shape, False, self.builder.array(rows)
            )
        else:
            home = int(self.home[left.flat[0]])
            width = array.shape[-1]
            if home not in self.ones or left.shape[2] != width - 1:
                return None
            if not (addresses == addresses[:, :1] + np.arange(width - 1)).all() or (
                (addresses[:, 0] % width != 1).any()
            ):
                return None
            extended = np.concatenate([addresses[:, :1] - 1, addresses], axis=1)
            if len(extended) == 1:
                extended = extended[0]
            a = self.builder.at(array, extended)
        b = self.fetch(theta)
        assert isinstance(a, Symbol)
        assert isinstance(b, Symbol)
        return self.builder.matmul(a, b, (False, True))

    def _product(self, left: Ids, right: Ids) -> Operand:
        """Return the product of (C, U, K) with (C, W, K) nodes, in a shape of U W, or C U W."""
        stack, rows, length = left.shape
        columns = right.shape[1]
        builder = self.builder
        if stack == rows == columns == 1:
            a = self._symbol(self.fetch(left[0, 0]), (length,))
            b = self._symbol(self.fetch(right[0, 0]), (length,))
            return builder.total(primitives.multiply(a, b), (-1,), (length,))
        if stack == 1:
            a = self._symbol(
                self.fetch(left[0, 0] if rows == 1 else left[0]),
                left.shape[2:] if rows == 1 else left.shape[1:],
            )
            b = self._symbol(self.fetch(right[0]), right.shape[1:])
            if not b.batched:
                return builder.matmul(a, b, (False, True))
            a = builder.reshape(a, (rows, length))  # type: ignore[assignment]
            return builder.stack(a, b, (False, True))
        a = self._symbol(self.fetch(left), left.shape)
        b = self._symbol(self.fetch(right), right.shape)
        return builder.stack(a, b, (False, True))


def _plus(total: tuple[int, Operand] | None, sign: int, addend: Operand) -> tuple[int, Operand]:
    """Return *total*, a sign and what it is the sign of, with *sign* times *addend* added."""
    if total is None:
        return sign, addend
    of_total, x = total
    if of_total == sign:
        return sign, primitives.add(x, addend)
    first, second = (x, addend) if of_total == 1 else (addend, x)
    return 1, primitives.subtract(first, second)


def _columns(terms: Terms, count: int) -> list[Ids]:
    """Return the factors of sums that are short enough to add term by term, else nothing."""
    each = terms.each
    if each is None or terms.signs is not None or each > (3 if count > 1 else 1):
        return []
    left, right = terms.left.reshape(count, each), terms.right.reshape(count, each)
    return [side[:, k] for k in range(each) for side in (left, right)]


def _stem(label: str) -> str:
    """Return *label* without its index: z2 for z2[3], W for W_1_2."""
    found = re.match(r"[A-Za-z][A-Za-z]*\d*", label)
    return found.group() if found and found.group().isidentifier() else ""


def array_size(array: Symbol) -> int:
    """Return how many elements of an example *array* holds."""
    return math.prod(array.shape)


def _narrow(grid: AnyArray) -> AnyArray:
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


def _along(left: Ids, right: Ids) -> tuple[Ids, Ids] | None:
    """Return the factors of a product if the members, in the order of their axes, form one.

    For a member shape (U, W), left must not change along W, nor right along U.
    """
    *lead, length = left.shape
    if len(lead) > 3:
        return None
    for rows in (lead[-2],) if len(lead) >= 2 else (1, lead[-1]):
        stack = math.prod(lead[:-2])
        shape = (stack, rows, -1, length)
        a, b = left.reshape(shape), right.reshape(shape)
        for order in (None, b, a):
            if order is not None:
                index = np.argsort(order, axis=3, kind="stable")
                a, b = (
                    np.take_along_axis(left.reshape(shape), index, 3),
                    np.take_along_axis(right.reshape(shape), index, 3),
                )
            if (a == a[:, :, :1]).all() and (b == b[:, :1]).all():
                return a[:, :, 0], b[:, 0]
    return None


def _mentioned(part: Group) -> list[Ids]:
    found = list(part.operands)
    if part.segments is not None:
        found.append(part.segments)
    for terms in part.terms:
        found += [terms.left, terms.right]
    return found


def _bias(part: Group, found: Terms, colour: Ids) -> tuple[Terms, Ids] | None:
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
            if weights and _bias(part, terms, grouping.colour) is not None:
                rows = product.left[0]
                wishes.setdefault(int(grouping.colour[rows.flat[0]]), []).append(rows)
    return wishes


_SEGMENTED: dict[primitives.Primitive, str] = {
    primitives.maximum: "maximum",
    primitives.minimum: "minimum",
    primitives.logsumexp_of: "logsumexp",
    primitives.softmax_entry: "softmax",
}


def lay_out(
    tape: Tape,
    grouping: Grouping,
    arguments: Sequence[Sequence[int]],
    shapes: Sequence[Shape],
    parameters: Sequence[int] = (),
    rows: Sequence[int] = (),
) -> Layout:
    """Return the forward program.

    *arguments* lists the leaves of each argument, and *shapes* the shape of one example of it.  If
    *parameters* are given, they form one array, in that order.  The outputs are one row, or *rows*
    of so many, none of them empty.
    """
    placer = _Placer(tape, grouping, arguments, shapes, parameters)
    for part in grouping.groups:
        placer.compute(part)
    outputs = np.array(tape.outputs, dtype=np.int64)
    found = [placer.fetch(row) for row in np.split(outputs, np.cumsum(rows[:-1], dtype=np.int64))]
    return Layout(placer.builder.program, placer.builder, placer.placed, found)
