"""What has arrived at every operation on the way back: adjoints, and masks that say where.

Adjoints are collected until all that use an operation have given theirs, and then added up.  What
was read through a view or gathered arrives at addresses of the array; it is added up there, with
views, in the place of a scatter, wherever that will do.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..engine import table as primitives
from .addresses import AnyArray, Shape
from .builder import Builder
from .dependence import dependence
from .masks import Mask, Masks
from .program import Operation
from .symbolic import Operand, Symbol

WHOLE = None


class Flow(NamedTuple):
    """What an array has received: an adjoint, and its mask, at addresses *where* of the array."""

    where: AnyArray | None
    adjoint: Operand
    mask: Mask


class Arrivals:
    """What every operation of a program has received, and the way to give it something.

    Adjoints go to the parameters and to *inputs*, numbers of operations with what of each array is
    a Value in the engine: the adjoint of an input is there for each example, that of a parameter is
    the sum over the examples.
    """

    def __init__(
        self,
        builder: Builder,
        inputs: Mapping[int, AnyArray] | None = None,
        count: int | None = None,
    ):
        self.builder = builder
        self.program = builder.program
        self.forward = len(self.program.operations) if count is None else count
        self.inputs = inputs or {}
        self.leaves = {
            n
            for n, operation in enumerate(self.program.operations[: self.forward])
            if operation.kind == "parameter" or n in self.inputs
        }
        self.active = self._active()
        self.arrived: dict[int, list[Flow]] = {}
        # The adjoints of arrays that are read while they are filled, and their masks: a symbol, and
        # the addresses that are reached for every example.
        self.pools: dict[int, Symbol] = {}
        self.pool_masks: dict[int, Symbol] = {}
        self.pools_sure: dict[int, AnyArray] = {}
        self.masks = Masks(builder)
        self.chooses = self._chooses()
        self.mask: Mask = 1.0  # of the operation whose rule is at work

    def _chooses(self) -> bool:
        """Return whether a number may depend on a parameter and have no part in the derivative."""
        for operation in self.program.operations[: self.forward]:
            row = self.program.row(operation)
            if operation.kind in ("pick", "one_hot") or (
                row is not None and (row.selects is not None or None in row.partials)
            ):
                return True
        return False

    def _active(self) -> list[bool]:
        """Return, for every operation, whether it depends on a leaf."""
        active: list[bool] = []
        for number, operation in enumerate(self.program.operations[: self.forward]):
            depends = number in self.leaves or any(
                type(arg) is int and active[arg] for arg in operation.args
            )
            active.append(depends)
            if operation.kind == "store" and depends:
                active[operation.args[0]] = True  # type: ignore[index]
        return active

    @functools.cached_property
    def depends(self) -> list[AnyArray]:
        """For every operation, which of its numbers depend on a leaf."""
        return dependence(self.program, self.forward, self.inputs)

    def give(
        self,
        number: int | float,
        adjoint: Operand,
        batched: bool,
        where: AnyArray | None = WHOLE,
        mask: Mask | None = None,
    ) -> None:
        """Add *adjoint* to the adjoint of operation *number*, at addresses *where* of its array.

        *batched* says whether there is one adjoint per example.  The *mask* is that of the
        operation which gives, unless another is named.
        """
        if type(number) is int and self.active[number]:
            mask = self.mask if mask is None else mask
            if batched and not self.program.operations[number].batched:
                adjoint = self.builder.total_batch(adjoint)
                mask = self.masks.any_example(mask)
            if number in self.program.pools:
                self._pool(number, adjoint, where, mask)
            else:
                self.arrived.setdefault(number, []).append(Flow(where, adjoint, mask))

    def _pool(self, number: int, adjoint: Operand, where: AnyArray | None, mask: Mask) -> None:
        operation, builder = self.program.operations[number], self.builder
        if number not in self.pools:
            self.pools[number] = builder.new(operation.shape, operation.batched, 0.0)
            self.pools_sure[number] = np.zeros(operation.shape[0], dtype=bool)
        if where is WHOLE:
            where = np.arange(operation.shape[0])
        builder.accumulate(self.pools[number], *self._unique(where, adjoint, operation.batched))
        if not isinstance(mask, Symbol):
            self.pools_sure[number][where] = True
        else:
            if number not in self.pool_masks:
                self.pool_masks[number] = builder.new(operation.shape, operation.batched, 0.0)
            unique = self._unique(where, mask, operation.batched)
            builder.accumulate(self.pool_masks[number], *unique)

    def pool_mask(self, number: int, where: AnyArray) -> Mask:
        """Return the mask of a pool at addresses *where*."""
        if not self.chooses:
            return 1.0
        sure = self.pools_sure[number][where]
        if (sure | ~self.depends[number][where]).all():
            return 1.0
        if number not in self.pool_masks:
            return self.masks.fixed(sure)
        found = self.builder.at(self.pool_masks[number], where)
        return primitives.add(found, self.masks.fixed(sure)) if sure.any() else found

    def total(self, number: int) -> tuple[Operand, Mask]:
        """Return the adjoint of operation *number*, the sum of what arrived, and its mask."""
        operation = self.program.operations[number]
        arrived = self.arrived.pop(number)
        whole = [x for where, x, _ in arrived if where is WHOLE]
        parts = [(where, x) for where, x, _ in arrived if where is not WHOLE]
        total: Operand | None = None
        for x in whole:
            total = x if total is None else primitives.add(total, x)
        if parts:
            total = self._gathered(operation, total, parts)
        assert total is not None
        return total, self._reached(number, arrived)

    def _reached(self, number: int, arrived: list[Flow]) -> Mask:
        """Return the mask of operation *number*."""
        operation = self.program.operations[number]
        below = number not in self.leaves or number in self.inputs
        if not (self.chooses and below):  # nothing is below a parameter
            return 1.0
        whole = [mask for where, _, mask in arrived if where is WHOLE]
        total = self.masks.either(whole) if whole else None
        if total is not None and not isinstance(total, Symbol):
            return 1.0
        places: dict[Any, tuple[AnyArray, list[Mask]]] = {}
        for where, _, mask in arrived:
            if where is not WHOLE:
                key = where.shape, where.tobytes()
                places.setdefault(key, (where, []))[1].append(mask)
        if not places:
            assert total is not None
            return total
        parts = [(where, self.masks.either(masks)) for where, masks in places.values()]
        sure = np.zeros(math.prod(operation.shape), dtype=bool)
        for where, mask in parts:
            if not isinstance(mask, Symbol):
                sure[where] = True
        if (sure | ~self.depends[number].ravel()).all():
            return 1.0
        if total is None and not any(isinstance(mask, Symbol) for _, mask in parts):
            return self.masks.fixed(sure.reshape(operation.shape))
        return self._gathered(operation, total, parts)

    def _gathered(
        self, operation: Operation, total: Operand | None, parts: list[tuple[AnyArray, Operand]]
    ) -> Operand:
        """Return an array shaped like *operation*, with *parts* added up at their addresses."""
        builder = self.builder
        size = math.prod(operation.shape)
        rest: list[tuple[AnyArray, Operand]] = []
        for where, x in parts:
            where, x = self._unique(where, x, operation.batched)
            if where.size == size:  # the whole array, rearranged: gather it instead of scattering
                back = np.argsort(where.ravel()).reshape(operation.shape)
                if isinstance(x, Symbol):
                    x = builder.at(self.filled(x, where.shape), back)
                total = x if total is None else primitives.add(total, x)
            else:
                rest.append((where, x))
        if not rest:
            assert total is not None
            return total
        written = np.full(size, total is not None)
        plan, blank = [], False
        for where, x in rest:
            fresh = not written[where].any()
            blank = blank or not (fresh or written[where].all())
            plan.append((where, x, fresh))
            written[where] = True
        fill = 0.0 if blank or not written.all() else None
        target = builder.new(operation.shape, operation.batched, fill)
        if total is not None:
            builder.store(target, np.arange(size).reshape(operation.shape), total)
        for where, x, fresh in plan:
            (builder.store if fresh else builder.accumulate)(target, where, x)
        return target

    def _unique(self, where: AnyArray, x: Operand, batched: bool) -> tuple[AnyArray, Operand]:
        """Return distinct addresses and what to add there, summed where *where* repeats itself."""
        different, counts = np.unique(where, return_counts=True)
        if len(different) == where.size:
            return where, x
        builder = self.builder
        if not isinstance(x, Symbol):
            return different, builder.constant(counts * x)
        x = self.filled(x, where.shape)
        order = np.argsort(where.ravel(), kind="stable")
        if counts.min() == counts.max():
            each = int(counts[0])
            summed = builder.total(builder.at(x, order.reshape(-1, each)), (-1,), (1, each))
            return different, builder.reshape(summed, different.shape)
        starts = builder.array(np.cumsum(counts) - counts)
        row = builder.at(x, order)
        batched = isinstance(row, Symbol) and row.batched
        return different, builder.emit("segment_sum", (row,), different.shape, batched, starts)

    def filled(self, x: Operand, shape: Shape) -> Symbol:
        if isinstance(x, Symbol) and x.shape == shape:
            return x
        return self.builder.broadcast(x, shape, isinstance(x, Symbol) and x.batched)

    def times(self, partial: Operand, adjoint: Operand, mask: Mask) -> Operand:
        """Return *adjoint* times *partial*, and 0 where nothing arrived."""
        term = primitives.multiply(adjoint, partial)
        if not isinstance(mask, Symbol) or (isinstance(partial, float) and math.isfinite(partial)):
            return term
        return primitives.where(mask, term, 0.0)
