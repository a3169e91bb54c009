"""Groups of sums: products of matrices where there are any, and what remains beside them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine import table as primitives
from .addresses import Shape
from .groups import Group, Terms, is_neuron
from .homes import Homes, bias_of
from .likeness import PARAMETER
from .symbolic import Operand, Symbol
from .tape import ONE, Ids, ranges
from .triangles import holed


class Sums(Homes):
    """Computes groups of sums."""

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
        taken, bias = bias_of(part, found, self.colour) or (None, None)
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
