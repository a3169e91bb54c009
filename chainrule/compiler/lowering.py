"""Pass 7: an array program becomes a plan, in which every number has its place.

Operations that only move numbers, such as views, reshapes and broadcasts, become strides of what
reads them; a copy is made only where no strides can say it.  What is computed only to be stored
in a part of a larger array is computed there.  What does not depend on the example is computed
once, before all examples; what depends on sums over the examples, after them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .addresses import AnyArray, addresses_of, affine
from .drafting import AFTER, BEFORE, EACH
from .fusion import differences, fused
from .operation_steps import OperationSteps
from .places import Buffer, Spot
from .plan import STILL, Operand, Plan
from .program import Operation, Program
from .strides import bare, is_contiguous, strides_of

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


class Lowering(OperationSteps):
    """Decides when and where every operation is computed, and lets its steps be written."""

    def run(self, results: Sequence[int | float], again: bool) -> Plan:
        """Return the plan of *results*."""
        self.wanted = sorted(self.program.needed(results))
        self.uses = self.program.uses(self.wanted, [*results, *results])  # a result is read twice
        self.stages = self._stages()
        self.buffers = self._targets()
        self.dest = self._destinations()
        self._begin()
        self.fused = fused(self.program, self.wanted, self.uses)
        self.differences = differences(self.program, self.wanted, self.fused)
        delayed = {*itertools.chain.from_iterable(self.fused.values()), *self.differences.values()}
        for n in self.wanted:
            if n in delayed:
                continue
            self._do(n)
        self._end()
        self._settle(again)
        self._note()
        return self.plan

    def _begin(self) -> None:
        """Say where results are to be computed, if that matters."""

    def _end(self) -> None:
        """Append what is to be done once all operations are."""

    def _note(self) -> None:
        """Note in the plan where the results are."""

    # --- before the operations -------------------------------------------------------------------

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
                found[value] = Spot(self.buffers[target], where[0], bare(where[1]))
        return found

    def _can_be_placed(self, n: int, space: int, axes: Sequence[tuple[int, int]]) -> bool:
        """Return whether operation *n* can have its result at any place with such *axes*."""
        operation = self.operations[n]
        if self._space(n) != space or operation.kind == "count":
            return False
        if operation.kind == "input":
            return bool(math.prod(operation.shape)) and is_contiguous(operation.shape, axes)
        if operation.kind in _FLAT and not is_contiguous(operation.shape, axes):
            return False
        return operation.kind not in _ALIASES


class _Outputs(Lowering):
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


class _Gradient(Lowering):
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
        if operation.kind == "new" and is_contiguous(operation.shape, axes):
            buffer = self.buffers[n]
            if buffer.space != STILL or buffer.fixed:
                return False
            buffer.at, buffer.fixed = gradient.at + offset, True
            return True
        if n in self.dest or not self._can_be_placed(n, STILL, axes):
            return False
        self.dest[n] = Spot(gradient, offset, bare(axes))
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
                into = Spot(self.gradient.buffer, even[0], bare(even[1]))
                self.each("add" if again else "copy", AFTER, shape, (into, value))
                continue
            if value.strides != strides_of(shape):
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
