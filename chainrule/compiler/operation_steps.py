"""The steps of every kind of operation of an array program.

A method is named for its kind, and returns where the result is.  Kinds that only move numbers, such
as views, reshapes and broadcasts, answer with strides; a copy is made where no strides can say it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine import table as primitives
from .addresses import AnyArray, Shape, addresses_of, affine
from .drafting import Drafting
from .places import Spot
from .plan import BLOCK, STILL, SUMS
from .program import Operation
from .strides import bare, broadcast, merged, stack_strides, strides_of


class OperationSteps(Drafting):
    """Appends the steps of operations."""

    def _do(self, n: int) -> None:
        """Append the steps of operation *n*, and note where its result is."""
        operation = self.operations[n]
        spot = getattr(self, "_" + operation.kind)(n, operation)
        if spot is not None:
            self.spots[n] = spot

    def _input(self, n: int, operation: Operation) -> Spot:
        spot = self.made(n, operation)
        self.loaded[operation.detail] = spot
        return spot

    def _parameter(self, n: int, operation: Operation) -> Spot:
        start, _ = operation.detail
        return Spot(self.theta.buffer, start, strides_of(operation.shape))

    def _constant(self, n: int, operation: Operation) -> Spot:
        number = operation.detail
        if number not in self._constants:
            self._constants[number] = self._keep(self.program.constants[number])
        return self._constants[number]._replace(strides=strides_of(operation.shape))

    def _count(self, n: int, operation: Operation) -> Spot:
        x = operation.args[0]
        every = self.count._replace(strides=(0,) * len(operation.shape))
        if x == 1.0:
            return every
        result = self.made(n, operation)
        times = self.spot(x, operation.shape)
        stage, shape = self.stages[n], operation.shape
        return self.apply(primitives.multiply, stage, shape, result, every, times)

    def _view(self, n: int, operation: Operation) -> Spot:
        x = int(operation.args[0])
        spot = self.spots[x]
        offset, axes = operation.detail
        if spot.strides != strides_of(self.operations[x].shape):
            found = affine(self._addresses(x)[addresses_of(operation.detail)])
            if found is not None:
                return Spot(spot.buffer, found[0], bare(found[1]))
            spot = self.contiguous(x)
        return Spot(spot.buffer, spot.offset + offset, bare(axes))

    def _addresses(self, n: int) -> AnyArray:
        """Return the addresses of the elements of operation *n* in its buffer, in one row."""
        spot = self.spots[n]
        axes = tuple(zip(self.operations[n].shape, spot.strides, strict=True))
        return addresses_of((spot.offset, axes)).ravel()

    def _reshape(self, n: int, operation: Operation) -> Spot:
        x = int(operation.args[0])
        spot = self.spots[x]
        if spot.strides != strides_of(self.operations[x].shape):
            found = affine(self._addresses(x).reshape(operation.shape))
            if found is not None:
                return Spot(spot.buffer, found[0], bare(found[1]))
            spot = self.contiguous(x)
        return spot._replace(strides=strides_of(operation.shape))

    def _broadcast(self, n: int, operation: Operation) -> Spot:
        return self.spot(operation.args[0], operation.shape)

    def _take(self, n: int, operation: Operation) -> Spot:
        x = int(operation.args[0])
        where = self._addresses(x)[self.program.constants[operation.detail].ravel()]
        even = affine(where.reshape(operation.shape))
        if even is not None and n not in self.dest:
            return Spot(self.spots[x].buffer, even[0], bare(even[1]))
        result = self.made(n, operation)
        low = int(where.min())
        spots = result._replace(strides=(1,)), Spot(self.spots[x].buffer, low, (1,))
        self.step("gather", self.stages[n], (where.size,), spots, (self.table(where - low),))
        return result

    def _apply(self, n: int, operation: Operation) -> Spot:
        row = self.program.rows[operation.detail]
        result = self.made(n, operation)
        args = [self.spot(x, operation.shape) for x in operation.args]
        return self.apply(row, self.stages[n], operation.shape, result, *args)

    def _complement(self, n: int, operation: Operation) -> Spot:
        result = self.made(n, operation)
        args = [self.spot(x, operation.shape) for x in operation.args]
        self.each(operation.kind, self.stages[n], operation.shape, (result, *args))
        return result

    _one_minus = _one_minus_square = _complement

    def _matmul(self, n: int, operation: Operation) -> Spot:
        first, second, stacked = operation.detail
        if first and not stacked:
            return self._outer(n, operation)
        a, b, *masks = (int(x) for x in operation.args)
        shape, lefts = operation.shape, [self.spot(x, self.shape(a)) for x in (a, *masks)]
        lead = shape[:-2] if stacked else shape[:-1]
        right = self.spots[b].strides
        length, (row, column) = self.shape(b)[-1 if second else -2], right[-2:]
        if second:
            row, column = column, row
        if stacked:
            indices: Shape = (*lead, shape[-2], shape[-1], length)
            strides = [stack_strides(spot, self.shape(a), lead, first) for spot in lefts]
            beside = broadcast(self.spots[b], self.shape(b), (*lead, 1, 1)).strides[:-2]
            right = (*beside, 0, column, row)
        else:
            indices = (*lead, shape[-1], length)
            strides = [(*spot.strides[:-1], 0, spot.strides[-1]) for spot in lefts]
            right = (*(0 for _ in lead), column, row)
        result = self.made(n, operation)
        left, *linked = [x._replace(strides=s) for x, s in zip(lefts, strides, strict=True)]
        into = result._replace(strides=(*result.strides, 0))
        self._product(n, indices, (into, left, self.spots[b]._replace(strides=right), *linked))
        return result

    _linked_matmul = _matmul

    def _outer(self, n: int, operation: Operation) -> Spot:
        """Append the product of rows with rows, summed over all of them and the examples."""
        a, b, *masks = (int(x) for x in operation.args)
        shapes = [self.shape(a), self.shape(b), *(self.shape(a) for _ in masks)]
        spots = [self.spot(x, shape) for x, shape in zip((a, b, *masks), shapes, strict=True)]
        rows = shapes[0][:-1]
        extents, columns = merged(rows, [s.strides[:-1] for s in spots])
        if len(extents) > 1:
            spots = [self._packed(self.stages[n], s, x) for s, x in zip(spots, shapes, strict=True)]
            extents, columns = merged(rows, [s.strides[:-1] for s in spots])
        (length,), along = extents or [1], [x[0] for x in columns] if extents else [0] * len(spots)
        placed = [
            spot._replace(strides=(0, spot.strides[-1], k) if i == 1 else (spot.strides[-1], 0, k))
            for i, (spot, k) in enumerate(zip(spots, along, strict=True))
        ]
        result, indices = self.made(n, operation), (*operation.shape, length)
        repeated = n not in self.summing and any(self.operations[x].batched for x in (a, b))
        product = self._room(STILL, operation.shape) if repeated else result
        self._product(n, indices, (product._replace(strides=(*product.strides, 0)), *placed))
        if repeated:
            self._times_count(n, product, operation.shape, result)
        return result

    def _product(self, n: int, indices: Shape, spots: Sequence[Spot]) -> None:
        code = "product" if len(spots) == 3 else "linked_product"
        self.each(code, self.stages[n], indices, spots, inner=1)

    def _sum(self, n: int, operation: Operation) -> Spot:
        x = int(operation.args[0])
        shape, result = self.shape(x), self.made(n, operation)
        if not self._fused(n, shape, operation.detail, result):
            self._add_up(n, shape, operation.detail, result, self.spots[x])
        return result

    def _fused(self, n: int, shape: Shape, axes: Sequence[int], result: Spot) -> bool:
        """Append a sum of products as one step if it can be one, and return whether it is.

        If not, what was left to be done before the sum is done now.
        """
        chain = self.fused.get(n)
        if chain is None:
            return False
        if self._difference(n, shape, axes, result, chain):
            return True
        inner = self.operations[chain[-1]]
        if n in self.summing and inner.kind != "apply":
            if all(self.spots[int(x)].buffer.space == BLOCK for x in inner.args[:2]):
                self.dest[chain[-1]] = result
                self._do(chain[-1])
                return True
        elif self._space(n) != STILL:
            factors = [self._seen_through(x, inner.shape, chain[:-1]) for x in inner.args]
            a, b = factors[0], factors[-1]
            if a is not None and b is not None:
                together = BLOCK in (a.buffer.space, b.buffer.space)
                if n in self.summing:
                    together = a.buffer.space == b.buffer.space == BLOCK
                if together and self._product_of(n, shape, axes, (result, a, b)):
                    return True
        for x in reversed(chain):
            self._do(x)
        return False

    def _difference(
        self, n: int, shape: Shape, axes: Sequence[int], result: Spot, chain: Sequence[int]
    ) -> bool:
        """Append a sum of squared or weighted differences as one step, if it can be one.

        If not, the difference is computed now, for whoever reads it.
        """
        if (x := self.differences.get(n)) is None:
            return False
        inner, difference = self.operations[chain[-1]], self.operations[x]
        squares = len(inner.args) == 1
        spots = [
            self._seen(
                broadcast(self.spot(a, difference.shape), difference.shape, inner.shape),
                inner.shape,
                chain[:-1],
            )
            for a in difference.args
        ]
        if not squares:
            (weight,) = (a for a in inner.args if a != x)
            spots.insert(0, self._seen(self.spot(weight, inner.shape), inner.shape, chain[:-1]))
        sound = [spot for spot in spots if spot is not None]
        space = result.buffer.space
        fits = space == BLOCK or (space == SUMS and not squares)
        fits = fits and (squares or sound[0].buffer.space == BLOCK) and x not in self.spots
        if not fits or len(sound) < len(spots):
            if x not in self.spots:
                self._do(x)
            return False
        code = "squared_distance" if squares else "weighted_difference"
        self._summed_up(code, n, shape, axes, (result, *sound))
        return True

    def _seen_through(self, x: int | float, shape: Shape, chain: Sequence[int]) -> Spot | None:
        """Return where operand *x*, broadcast to *shape*, is when it is seen through views."""
        return self._seen(self.spot(x, shape), shape, chain)

    def _seen(self, spot: Spot, shape: Shape, chain: Sequence[int]) -> Spot | None:
        """Return where what is at *spot*, of that *shape*, is when it is seen through views."""
        if not chain:
            return spot
        where = addresses_of((spot.offset, tuple(zip(shape, spot.strides, strict=True))))
        where = np.broadcast_to(where, shape)
        for n in reversed(chain):
            operation = self.operations[n]
            if operation.kind == "view":
                where = where.ravel()[addresses_of(operation.detail)]
            where = where.reshape(operation.shape)
        even = affine(where)
        return None if even is None else Spot(spot.buffer, even[0], bare(even[1]))

    def _product_of(
        self, n: int, shape: Shape, axes: Sequence[int], spots: tuple[Spot, Spot, Spot]
    ) -> bool:
        """Append the sum over *axes* of the product of two arrays, unless it takes two loops."""
        summed = sorted(axis + len(shape) for axis in axes)
        kept = [axis for axis in range(len(shape)) if axis not in summed]
        inner, along = merged(
            [shape[i] for i in summed], [[x.strides[i] for i in summed] for x in spots[1:]]
        )
        if len(inner) > 1 or (inner and len(along[0]) != 1):
            return False
        outer, over = merged(
            [shape[i] for i in kept], [[x.strides[i] for i in kept] for x in spots]
        )
        steps = (0, *(x[0] for x in along)) if inner else (0, 0, 0)
        placed = [
            spot._replace(strides=(*column, step))
            for spot, column, step in zip(spots, over, steps, strict=True)
        ]
        self.step("product", self.stages[n], [*outer, *(inner or [1])], placed)
        return True

    def _add_up(self, n: int, shape: Shape, axes: Sequence[int], result: Spot, x: Spot) -> None:
        """Append the sum of *x* over *axes*, counted from the last; it is added to in SUMS."""
        self._summed_up("sum", n, shape, axes, (result, x))

    def _summed_up(
        self, code: str, n: int, shape: Shape, axes: Sequence[int], spots: Sequence[Spot]
    ) -> None:
        """Append a step that sums over *axes* of *shape*, in as few loops as the strides allow."""
        summed = sorted(a + len(shape) for a in axes)
        kept = [a for a in range(len(shape)) if a not in summed]
        outer, over = merged(
            [shape[a] for a in kept], [[x.strides[a] for a in kept] for x in spots]
        )
        inner, along = merged(
            [shape[a] for a in summed], [[x.strides[a] for a in summed] for x in spots[1:]]
        )
        extents = [*outer, *inner] or [1]
        pad = [0] * (len(extents) - len(outer) - len(inner))
        columns = [[0] * len(inner), *along]
        placed = [
            x._replace(strides=(*pad, *before, *behind))
            for x, before, behind in zip(spots, over, columns, strict=True)
        ]
        self.step(code, self.stages[n], extents, placed, (len(inner),))

    def _sum_batch(self, n: int, operation: Operation) -> Spot:
        x = int(operation.args[0])
        shape, result = self.shape(x), self.made(n, operation)
        axes = range(-len(shape), 0) if shape != operation.shape else ()
        if n in self.summing:
            if not self._fused(n, shape, axes, result):
                self._add_up(n, shape, axes, result, self.spots[x])
            return result
        for delayed in reversed(self.fused.get(n, ())):
            self._do(delayed)
        spot = self.spots[x]
        if axes:
            spot = self._room(STILL, operation.shape)
            self._add_up(n, shape, axes, spot, self.spots[x])
        return self._times_count(n, spot, operation.shape, result)

    def _along(self, n: int, operation: Operation) -> Spot:
        """Append a step on the last axis of its first argument, or on stretches of it."""
        shape = self.shape(operation.args[0])
        result = self.made(n, operation)
        args = [self.spot(x, shape) for x in operation.args]
        detail = operation.detail
        if isinstance(detail, tuple):
            detail = detail[0]
        tables = () if detail is None else (self.table(self.program.constants[detail]),)
        into = result
        if detail is None and operation.shape[-1] != shape[-1]:
            into = result._replace(strides=(*result.strides[:-1], 0))
        self.each(operation.kind, self.stages[n], shape, (into, *args), tables, inner=1)
        return result

    _segment_sum = _maximum = _minimum = _logsumexp = _softmax = _logsumexp_slopes = _along
    _softmax_pullback = _surprisals = _cross_entropy = _softmax_minus = _along

    def _softmax_rest(self, n: int, operation: Operation) -> Spot:
        """Append the sum of p * (1 - y): what the softmax leaves to the other classes."""
        p, y = operation.args
        shape = self.shape(p)
        beside = self.shape(y)
        rest = self._room(BLOCK if self.spot(y).buffer.space == BLOCK else STILL, beside)
        one = self.spot(1.0, beside)
        self.apply(primitives.subtract, self.stages[int(y)], beside, rest, one, self.spot(y))
        result = self.made(n, operation)
        into = result._replace(strides=(*result.strides[:-1], 0))
        others = broadcast(rest, beside, shape)
        self._product(n, shape, (into, self.spot(p), others))
        return result

    def _one_hot(self, n: int, operation: Operation) -> Spot:
        result, shape = self.made(n, operation), operation.shape
        which = self.spot(operation.args[0], shape)
        self.each("one_hot", self.stages[n], shape, (result, which), inner=1)
        return result

    def _pick(self, n: int, operation: Operation) -> Spot:
        which, x = (int(a) for a in operation.args)
        result, shape = self.made(n, operation), operation.shape
        count, _ = self.shape(x)
        row, column = self.spots[x].strides
        index = self.spot(which, shape[:-1])
        spots = (
            result,
            index._replace(strides=(*index.strides, 0)),
            self.spots[x]._replace(strides=(*(0 for _ in shape[1:]), column)),
        )
        self.each("pick", self.stages[n], shape, spots, (count, row), inner=1)
        return result

    def _spread(self, n: int, operation: Operation) -> Spot:
        which, x = (int(a) for a in operation.args)
        result, shape = self.made(n, operation), self.shape(x)
        count, _ = operation.shape
        repeated = n not in self.summing and any(self.operations[a].batched for a in (which, x))
        into = self._room(STILL, operation.shape) if repeated else result
        if into.buffer.space == STILL:
            self.each(
                "copy", self.stages[n], operation.shape, (into, self.spot(0.0, operation.shape))
            )
        row, column = into.strides
        index = self.spot(which, shape[:-1])
        spots = (
            into._replace(strides=(*(0 for _ in shape[1:]), column)),
            index._replace(strides=(*index.strides, 0)),
            self.spots[x],
        )
        self.each("spread", self.stages[n], shape, spots, (count, row), inner=1)
        if repeated:
            self._times_count(n, into, operation.shape, result)
        return result

    def _new(self, n: int, operation: Operation) -> Spot:
        return Spot(self.buffers[n], 0, strides_of(operation.shape))

    def _store(self, n: int, operation: Operation) -> None:
        self._write(n, operation, "copy", "scatter")

    def _accumulate(self, n: int, operation: Operation) -> None:
        self._write(n, operation, "add", "scatter_add")

    def _write(self, n: int, operation: Operation, even: str, uneven: str) -> None:
        """Append a step that writes the second argument into a part of the first."""
        target, value = int(operation.args[0]), operation.args[1]
        buffer = self.spots[target].buffer
        how, detail = operation.detail
        if how == "take":
            table = self.program.constants[detail].ravel()
            spots = Spot(buffer, 0, (1,)), self.spot(value, table.shape)
            self.step(uneven, self.stages[n], table.shape, spots, (self.table(table),))
            return
        offset, axes = detail
        shape = tuple(extent for extent, _ in axes)
        into = Spot(buffer, offset, bare(axes))
        spot = self.spot(value, shape)
        if even == "copy" and spot == into:
            return  # it was computed there
        self.each(even, self.stages[n], shape, (into, spot))
