"""Pass 7: an array program becomes a plan, in which every number has its place.

Operations that only move numbers, such as views, reshapes and broadcasts, become strides of those
who read them; a copy is made only where no strides can say it.  What is computed only to be stored
in a part of a larger array is computed there.  What does not depend on the example is computed
once, before all examples; what depends on sums over the examples, after them.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine import table as primitives
from ..engine.table import Primitive
from .fusion import fused
from .places import Buffer, Draft, Spot, settle
from .plan import BLOCK, STILL, SUMS, Operand, Plan
from .program import (
    AnyArray,
    Operation,
    Program,
    Shape,
    addresses_of,
    affine,
    contiguous,
)

BEFORE, EACH, AFTER = range(3)

_ALIASES = frozenset({"input", "parameter", "constant", "view", "reshape", "broadcast", "new"})
_WRITES = frozenset({"store", "accumulate"})
_FLAT = frozenset({"take"})
"""Kinds whose result must have one stride."""


def lower(
    program: Program,
    count: int,
    wanted: Sequence[int] | None = None,
    again: bool = True,
    size: int = 1,
) -> Plan:
    """Return the plan of the outputs of *program*, which has *count* parameters.

    If all outputs are one number, there are *size* of them.  With *wanted*, it is the plan of the
    cost and of its gradient, which has an entry for each number of a parameter in *wanted*, and 0.0
    for each -1.  If not *again*, no place is used for a second array.
    """
    if wanted is None:
        return _Outputs(program, count, size).run(program.outputs, again)
    assert program.cost is not None
    gradient = _Gradient(program, count, wanted)
    return gradient.run([program.cost, *(x for _, x in gradient.parts)], again)


class _Lowering:
    """A program on its way to a plan: where the result of every operation is."""

    def __init__(self, program: Program, count: int):
        self.program = program
        self.operations = program.operations
        self.plan = Plan()
        self.lists: tuple[list[Draft], list[Draft], list[Draft]] = ([], [], [])
        self.spots: dict[int, Spot] = {}
        self.flat: dict[int, Spot] = {}  # contiguous copies of what has other strides
        self.pending: dict[int, tuple[Buffer, AnyArray, float]] = {}  # arrays to be filled
        self.loaded: dict[int, Spot] = {}  # where the arguments are
        self.summing: set[int] = set()  # the sums over the examples
        self._rows: dict[Primitive, int] = {}
        self._tables: dict[bytes, int] = {}
        self._numbers: dict[bytes, Spot] = {}
        self._constants: dict[int, Spot] = {}
        self._still: list[AnyArray] = []
        self._taken = 0
        self._sums = 0
        self.count = self._keep(np.zeros(1))
        self.theta = self._keep(np.zeros(count))

    def run(self, results: Sequence[int | float], again: bool) -> Plan:
        """Return the plan of *results*."""
        self.wanted = sorted(self.program.needed(results))
        self.uses = self._uses(results)
        self.stages = self._stages()
        self.buffers = self._targets()
        self.dest = self._destinations()
        self._begin()
        self.fused = fused(self.program, self.wanted, self.uses)
        delayed = set(itertools.chain.from_iterable(self.fused.values()))
        for n in self.wanted:
            if n in delayed:
                continue
            self._do(n)
        self._end()
        self._settle(again)
        self._note()
        return self.plan

    def _do(self, n: int) -> None:
        """Append the steps of operation *n*, and note where its result is."""
        operation = self.operations[n]
        spot = getattr(self, "_" + operation.kind)(n, operation)
        if spot is not None:
            self.spots[n] = spot

    def _begin(self) -> None:
        """Say where results are to be computed, if that matters."""

    def _end(self) -> None:
        """Append what is to be done once all operations are."""

    def _note(self) -> None:
        """Note in the plan where the results are."""

    # --- before the operations -------------------------------------------------------------------

    def _uses(self, results: Sequence[int | float]) -> dict[int, int]:
        """Return how often every operation is read; a result counts as two readers."""
        uses = dict.fromkeys(self.wanted, 0)
        for n in self.wanted:
            for x in self.operations[n].args:
                if type(x) is int:
                    uses[x] += 1
        for x in results:
            if type(x) is int:
                uses[x] += 2
        return uses

    def _stages(self) -> dict[int, int]:
        """Return when every operation is computed; an array is made with the last write to it."""
        stages: dict[int, int] = {}
        raised = True
        while raised:
            raised = False
            for n in self.wanted:
                operation = self.operations[n]
                stage = max((stages[x] for x in operation.args if type(x) is int), default=BEFORE)
                if operation.kind == "input":
                    stage = EACH
                elif stage == EACH and _adds_up(operation):
                    stage = AFTER
                    self.summing.add(n)
                if operation.kind in _WRITES:
                    target = int(operation.args[0])
                    raised |= stages[target] < stage
                    stages[target] = stage
                elif operation.kind == "new":
                    stage = stages.get(n, BEFORE)
                stages[n] = stage
        return stages

    def _space(self, n: int) -> int:
        """Return the space in which operation *n* computes its result."""
        if n in self.summing:
            return SUMS
        return BLOCK if self.stages[n] == EACH else STILL

    def _targets(self) -> dict[int, Buffer]:
        """Return the buffers of the arrays made by ``new``, and note how they are filled."""
        buffers: dict[int, Buffer] = {}
        empty: dict[int, AnyArray] = {}
        for n in self.wanted:
            operation = self.operations[n]
            if operation.kind == "new":
                size = math.prod(operation.shape)
                buffers[n] = Buffer(self._space(n), size)
                if operation.detail is not None:
                    empty[n] = np.ones(size, dtype=bool)
            elif operation.kind == "store" and operation.args[0] in empty:
                empty[int(operation.args[0])][self._written(operation).ravel()] = False
        for n, places in empty.items():
            if places.any():
                found = buffers[n], np.flatnonzero(places), self.operations[n].detail
                self.pending[id(buffers[n])] = found
        return buffers

    def _written(self, operation: Operation) -> AnyArray:
        how, detail = operation.detail
        return addresses_of(detail) if how == "view" else self.program.constants[detail]

    def _destinations(self) -> dict[int, Spot]:
        """Return where operations whose results are stored in a larger array compute them."""
        operations = self.operations
        changing = {
            operations[n].args[0] for n in self.wanted if operations[n].kind == "accumulate"
        }
        found: dict[int, Spot] = {}
        for n in self.wanted:
            operation = operations[n]
            if operation.kind != "store" or type(operation.args[1]) is not int:
                continue
            target, value = int(operation.args[0]), operation.args[1]
            if operation.detail[0] != "view":
                continue
            alone = self.uses[value] == 1
            where: Any = operation.detail[1]
            if operations[value].kind == "reshape" and alone:
                value = int(operations[value].args[0])
                alone = self.uses[value] == 1
                where = affine(addresses_of(where).reshape(operations[value].shape))
            if where is None or value in found or not (alone or target not in changing):
                continue
            if self._can_be_placed(value, self.buffers[target].space, where[1]):
                found[value] = Spot(self.buffers[target], where[0], _bare(where[1]))
        return found

    def _can_be_placed(self, n: int, space: int, axes: Sequence[tuple[int, int]]) -> bool:
        """Return whether operation *n* can have its result at any place with such *axes*."""
        operation = self.operations[n]
        if self._space(n) != space or operation.kind == "count":
            return False
        if operation.kind == "input":
            return bool(math.prod(operation.shape)) and _is_contiguous(operation.shape, axes)
        if operation.kind in _FLAT and not _is_contiguous(operation.shape, axes):
            return False
        return operation.kind not in _ALIASES

    # --- places ----------------------------------------------------------------------------------

    def _keep(self, values: AnyArray) -> Spot:
        """Return the place of *values* in STILL, which nothing else ever has."""
        values = np.ascontiguousarray(values, dtype=float)
        buffer = Buffer(STILL, values.size, self._taken, fixed=True)
        self._still.append(values.ravel())
        self._taken += values.size
        return Spot(buffer, 0, _strides(values.shape))

    def number(self, x: float) -> Spot:
        """Return the place of the number *x*."""
        key = struct.pack("d", x)
        if key not in self._numbers:
            self._numbers[key] = self._keep(np.full(1, x))._replace(strides=())
        return self._numbers[key]

    def row(self, row: Primitive) -> int:
        """Return the number of *row* in the plan."""
        number = self._rows.setdefault(row, len(self._rows))
        if number == len(self.plan.rows):
            self.plan.rows.append(row)
        return number

    def table(self, numbers: AnyArray) -> int:
        """Return the number of the table of whole *numbers*."""
        values = np.ascontiguousarray(numbers, dtype=np.int64).ravel()
        number = self._tables.setdefault(values.tobytes(), len(self._tables))
        if number == len(self.plan.tables):
            self.plan.tables.append(values)
        return number

    def made(self, n: int, operation: Operation) -> Spot:
        """Return where the result of an operation is to be computed."""
        return self.dest.get(n) or self._room(self._space(n), operation.shape)

    def _room(self, space: int, shape: Shape) -> Spot:
        buffer = Buffer(space, math.prod(shape))
        if space == SUMS:
            buffer.at, buffer.fixed = self._sums, True
            self._sums += buffer.size
        return Spot(buffer, 0, _strides(shape))

    def shape(self, x: int | float) -> Shape:
        return self.operations[x].shape if type(x) is int else ()

    def spot(self, x: int | float, shape: Shape | None = None) -> Spot:
        """Return where operand *x* is, broadcast to *shape* if that is given."""
        found = self.spots[x] if type(x) is int else self.number(float(x))
        return found if shape is None else _broadcast(found, self.shape(x), shape)

    def contiguous(self, n: int) -> Spot:
        """Return the result of operation *n* in one piece: itself, or a copy."""
        if n not in self.flat:
            spot, shape = self.spots[n], self.operations[n].shape
            self.flat[n] = self._packed(self.stages[n], spot, shape)
        return self.flat[n]

    def _packed(self, stage: int, spot: Spot, shape: Shape) -> Spot:
        """Return an array in one piece: where it is, or a copy."""
        if spot.strides == _strides(shape):
            return spot
        copied = self._room(BLOCK if spot.buffer.space == BLOCK else STILL, shape)
        self.each("copy", stage, shape, (copied, spot))
        return copied

    # --- steps -----------------------------------------------------------------------------------

    def step(
        self,
        code: str,
        stage: int,
        extents: Sequence[int],
        spots: Sequence[Spot],
        detail: tuple[int, ...] = (),
    ) -> None:
        """Append a step; what it touches is filled before if it has to be."""
        for spot in spots:
            if self.pending:
                self._fill(spot.buffer)
        if spots[0].buffer.space == SUMS or any(s.buffer.space == BLOCK for s in spots):
            stage = EACH
        self.lists[stage].append(Draft(code, tuple(extents), tuple(spots), detail))

    def _fill(self, buffer: Buffer) -> None:
        """Fill what is not stored of an array, before anything is done with it."""
        found = self.pending.pop(id(buffer), None)
        if found is None:
            return
        _, places, value = found
        stage = EACH if buffer.space == BLOCK else BEFORE
        x = self.number(value)
        even = affine(places)
        if even is not None:
            ((extent, stride),) = even[1]
            spots = Spot(buffer, even[0], (stride,)), x._replace(strides=(0,))
            self.step("copy", stage, (extent,), spots)
        else:
            spots = Spot(buffer, 0, (1,)), x._replace(strides=(0,))
            self.step("scatter", stage, (len(places),), spots, (self.table(places),))

    def each(
        self,
        code: str,
        stage: int,
        shape: Shape,
        spots: Sequence[Spot],
        detail: tuple[int, ...] = (),
        inner: int = 0,
    ) -> None:
        """Append a step over all indices of *shape*, in as few loops as the strides allow.

        The last *inner* indices stay as they are.
        """
        outer = len(shape) - inner
        extents, columns = merged(shape[:outer], [s.strides[:outer] for s in spots])
        extents += shape[outer:]
        if not extents:
            extents, columns = [1], [[0] for _ in spots]
        placed = [
            s._replace(strides=(*column, *s.strides[outer:]))
            for s, column in zip(spots, columns, strict=True)
        ]
        self.step(code, stage, extents, placed, detail)

    def apply(self, row: Primitive, stage: int, shape: Shape, result: Spot, *args: Spot) -> Spot:
        """Append *row* of the *args*, all with the strides of *shape*."""
        self.each("apply", stage, shape, (result, *args), (self.row(row),))
        return result

    def _times_count(self, n: int, spot: Spot, shape: Shape, result: Spot) -> Spot:
        """Append the sum over the examples of what is the same for all of them."""
        every = self.count._replace(strides=(0,) * len(shape))
        return self.apply(primitives.multiply, self.stages[n], shape, result, spot, every)

    # --- every kind of operation: where its result is --------------------------------------------

    def _input(self, n: int, operation: Operation) -> Spot:
        spot = self.made(n, operation)
        self.loaded[operation.detail] = spot
        return spot

    def _parameter(self, n: int, operation: Operation) -> Spot:
        start, _ = operation.detail
        return Spot(self.theta.buffer, start, _strides(operation.shape))

    def _constant(self, n: int, operation: Operation) -> Spot:
        number = operation.detail
        if number not in self._constants:
            self._constants[number] = self._keep(self.program.constants[number])
        return self._constants[number]._replace(strides=_strides(operation.shape))

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
        if spot.strides != _strides(self.operations[x].shape):
            found = affine(self._addresses(x)[addresses_of(operation.detail)])
            if found is not None:
                return Spot(spot.buffer, found[0], _bare(found[1]))
            spot = self.contiguous(x)
        return Spot(spot.buffer, spot.offset + offset, _bare(axes))

    def _addresses(self, n: int) -> AnyArray:
        """Return the addresses of the elements of operation *n* in its buffer, in one row."""
        spot = self.spots[n]
        axes = tuple(zip(self.operations[n].shape, spot.strides, strict=True))
        return addresses_of((spot.offset, axes)).ravel()

    def _reshape(self, n: int, operation: Operation) -> Spot:
        x = int(operation.args[0])
        spot = self.spots[x]
        if spot.strides != _strides(self.operations[x].shape):
            found = affine(self._addresses(x).reshape(operation.shape))
            if found is not None:
                return Spot(spot.buffer, found[0], _bare(found[1]))
            spot = self.contiguous(x)
        return spot._replace(strides=_strides(operation.shape))

    def _broadcast(self, n: int, operation: Operation) -> Spot:
        return self.spot(operation.args[0], operation.shape)

    def _take(self, n: int, operation: Operation) -> Spot:
        x = int(operation.args[0])
        where = self._addresses(x)[self.program.constants[operation.detail].ravel()]
        even = affine(where.reshape(operation.shape))
        if even is not None and n not in self.dest:
            return Spot(self.spots[x].buffer, even[0], _bare(even[1]))
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
            strides = [_stacked(spot, self.shape(a), lead, first) for spot in lefts]
            beside = _broadcast(self.spots[b], self.shape(b), (*lead, 1, 1)).strides[:-2]
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

    def _seen_through(self, x: int | float, shape: Shape, chain: Sequence[int]) -> Spot | None:
        """Return where operand *x*, broadcast to *shape*, is when it is seen through views."""
        spot = self.spot(x, shape)
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
        return None if even is None else Spot(spot.buffer, even[0], _bare(even[1]))

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
        summed = sorted(a + len(shape) for a in axes)
        kept = [a for a in range(len(shape)) if a not in summed]
        into, from_ = result.strides, x.strides
        outer, over = merged(
            [shape[a] for a in kept], [[s[a] for a in kept] for s in (into, from_)]
        )
        inner, along = merged([shape[a] for a in summed], [[from_[a] for a in summed]])
        extents = [*outer, *inner] or [1]
        pad = [0] * (len(extents) - len(outer) - len(inner))
        spots = (
            result._replace(strides=(*pad, *over[0], *(0 for _ in inner))),
            x._replace(strides=(*pad, *over[1], *along[0])),
        )
        self.step("sum", self.stages[n], extents, spots, (len(inner),))

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
        others = _broadcast(rest, beside, shape)
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
        return Spot(self.buffers[n], 0, _strides(operation.shape))

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
        into = Spot(buffer, offset, _bare(axes))
        spot = self.spot(value, shape)
        if even == "copy" and spot == into:
            return  # it was computed there
        self.each(even, self.stages[n], shape, (into, spot))

    # --- after the operations --------------------------------------------------------------------

    def _settle(self, again: bool) -> None:
        """Give all buffers their places, and write the steps."""
        plan = self.plan
        loaded = [spot.buffer for spot in self.loaded.values()]
        still, plan.block = settle(self.lists, loaded, self._taken, again)
        plan.sums = self._sums
        plan.still = np.concatenate([*self._still, np.zeros(still - self._taken)])
        theta = self.theta.buffer
        plan.parameters = theta.at, theta.at + theta.size
        for i in range(len(self.program.inputs)):
            spot = self.loaded.get(i)
            at = (0, 0)
            if spot is not None:
                at = spot.buffer.at + spot.offset, self._input_size(i)
            plan.inputs.append(at)
        plan.before, plan.each, plan.after = (
            [draft.step() for draft in drafts] for drafts in self.lists
        )

    def _input_size(self, i: int) -> int:
        shapes = (o.shape for o in self.operations if o.kind == "input" and o.detail == i)
        return math.prod(next(shapes))


class _Outputs(_Lowering):
    """The plan of the outputs."""

    def __init__(self, program: Program, count: int, size: int):
        super().__init__(program, count)
        self.size = size
        self.places: list[Spot] = []

    def _end(self) -> None:
        (x,) = self.program.outputs
        shape, spot = self.shape(x) or (1,), self.spot(x)
        self._fill(spot.buffer)
        spot.buffer.fixed = True
        axes = tuple(zip(shape, spot.strides or (0,), strict=True))
        where = addresses_of((spot.offset, axes)).ravel().tolist()
        if len(where) == 1:
            where *= self.size
        self.places = [Spot(spot.buffer, i, ()) for i in where]

    def _note(self) -> None:
        self.plan.outputs = [Operand(x.buffer.space, x.buffer.at + x.offset) for x in self.places]


class _Gradient(_Lowering):
    """The plan of the cost and its derivatives, which lie in one row in the order of *wanted*."""

    def __init__(self, program: Program, count: int, wanted: Sequence[int]):
        super().__init__(program, count)
        asked, at = set(wanted), np.array(wanted, dtype=np.int64)
        self.parts = [
            (n, x)
            for n, x in program.gradients
            if not asked.isdisjoint(range(*self.operations[n].detail))
        ]
        self.mean = self._keep(np.zeros(1))
        self.gradient = self._keep(np.zeros(len(wanted) + 1))
        # The entry of the gradient for each parameter; what is not wanted goes behind the last.
        self.entry = np.full(count, len(wanted))
        self.entry[at[at >= 0]] = np.flatnonzero(at >= 0)
        self.moved: list[tuple[int, int | float]] = []  # what cannot be computed in its place

    def _begin(self) -> None:
        """Let cost and derivatives be computed in their places; note what must be moved there."""
        cost = self.program.cost
        free = type(cost) is int and cost not in self.dest
        if free and self._can_be_placed(int(cost), STILL, [(1, 0)]):  # type: ignore[arg-type]
            self.dest[int(cost)] = self.mean  # type: ignore[arg-type]
        times = np.zeros(len(self.entry), dtype=np.int64)
        for n, _ in self.parts:
            times[slice(*self.operations[n].detail)] += 1
        for n, x in self.parts:
            part = slice(*self.operations[n].detail)
            even = affine(self.entry[part].reshape(self.operations[n].shape))
            direct = even is not None and type(x) is int and (times[part] == 1).all()
            if not (direct and self._is_placed(int(x), *even)):  # type: ignore[misc]
                self.moved.append((n, x))

    def _is_placed(self, n: int, offset: int, axes: Sequence[tuple[int, int]]) -> bool:
        """Let operation *n* be computed at *axes* of the gradient, and return whether it can be."""
        operation, gradient = self.operations[n], self.gradient.buffer
        if operation.kind == "new" and _is_contiguous(operation.shape, axes):
            buffer = self.buffers[n]
            if buffer.space != STILL or buffer.fixed:
                return False
            buffer.at, buffer.fixed = gradient.at + offset, True
            return True
        if n in self.dest or not self._can_be_placed(n, STILL, axes):
            return False
        self.dest[n] = Spot(gradient, offset, _bare(axes))
        return True

    def _end(self) -> None:
        """Move the cost and the derivatives to their places, unless they are there."""
        assert self.program.cost is not None
        cost = self.spot(self.program.cost, (1,))
        if cost != self.mean:
            self.each("copy", AFTER, (1,), (self.mean, cost))
        seen = np.zeros(len(self.entry), dtype=bool)
        whole = Spot(self.gradient.buffer, 0, (1,))
        for n, x in self.moved:
            shape, part = self.operations[n].shape, slice(*self.operations[n].detail)
            entry, again = self.entry[part], bool(seen[part].any())
            if again and not seen[part].all():  # a part of it is the first
                fresh = entry[~seen[part]]
                zero = self.number(0.0)._replace(strides=(0,))
                self.step("scatter", AFTER, fresh.shape, (whole, zero), (self.table(fresh),))
            seen[part] = True
            value, even = self.spot(x, shape), affine(entry.reshape(shape))
            if even is not None:
                into = Spot(self.gradient.buffer, even[0], _bare(even[1]))
                self.each("add" if again else "copy", AFTER, shape, (into, value))
                continue
            if value.strides != _strides(shape):
                copied = self._room(STILL, shape)
                self.each("copy", AFTER, shape, (copied, value))
                value = copied
            spots, tables = (whole, value._replace(strides=(1,))), (self.table(entry),)
            self.step("scatter_add" if again else "scatter", AFTER, entry.shape, spots, tables)

    def _note(self) -> None:
        start = self.gradient.buffer.at
        self.plan.cost = self.mean.buffer.at
        self.plan.gradient = start, start + self.gradient.buffer.size - 1


def _adds_up(operation: Operation) -> bool:
    """Return whether the result is a sum over the examples, if the operands differ for them."""
    return operation.kind in ("sum_batch", "spread") or (
        operation.kind in ("matmul", "linked_matmul") and operation.detail == (True, False, False)
    )


def _strides(shape: Shape) -> tuple[int, ...]:
    """Return the strides of an array in one piece; they are 0 along axes of extent 1."""
    return _bare(contiguous(shape))


def _bare(axes: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the strides of *axes*, 0 where the extent is 1."""
    return tuple([stride if extent > 1 else 0 for extent, stride in axes])


def _is_contiguous(shape: Shape, axes: Sequence[tuple[int, int]]) -> bool:
    """Return whether an array of *shape* has its elements in one piece along *axes*."""
    return tuple([extent for extent, _ in axes]) == shape and _bare(axes) == _strides(shape)


def _broadcast(spot: Spot, shape: Shape, target: Shape) -> Spot:
    """Return where the elements of an array of *shape* are if it is broadcast to *target*."""
    lead = (0,) * (len(target) - len(shape))
    return spot._replace(strides=(*lead, *spot.strides))


def _stacked(spot: Spot, shape: Shape, lead: Shape, transposed: bool) -> tuple[int, ...]:
    """Return the strides of the left factor of a stack of products, for all their indices."""
    row, column = spot.strides[-2:][::-1] if transposed else spot.strides[-2:]
    return (*_broadcast(spot, shape, (*lead, 1, 1)).strides[:-2], row, 0, column)


def merged(
    extents: Sequence[int], columns: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """Return the same loops with as few indices as possible, and their strides.

    >>> merged((2, 1, 3), [(3, 0, 1), (0, 0, 0)])
    ([6], [[1], [0]])
    >>> merged((2, 3), [(3, 1), (1, 2)])
    ([2, 3], [[3, 1], [1, 2]])
    """
    found: list[int] = []
    strides: list[list[int]] = [[] for _ in columns]
    for axis, extent in enumerate(extents):
        if extent == 1:
            continue
        steps = [column[axis] for column in columns]
        if found and all(s[-1] == step * extent for s, step in zip(strides, steps, strict=True)):
            found[-1] *= extent
            for s, step in zip(strides, steps, strict=True):
                s[-1] = step
        else:
            found.append(extent)
            for s, step in zip(strides, steps, strict=True):
                s.append(step)
    return found, strides
