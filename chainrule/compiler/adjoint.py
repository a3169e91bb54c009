"""Pass 6: the backward program, from the partial derivatives in the table, operation by operation.

It is the engine's pullback on whole arrays: in reverse order, each operation passes its adjoint,
times its partials, to its arguments.  What was read through a view is added into the same view;
what was gathered is added up where it came from.  The result is the derivative of the sum over the
examples; the caller divides.

The engine gives nothing to a number that has no part in the result: the branch that ``where`` does
not choose, or what only serves a condition.  In an array such a number may stand beside others that
have a part.  Its adjoint is 0, and 0 times an infinite partial would be nan.  So, in a program that
chooses, a *mask* goes the way of every adjoint and says which numbers are reached.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..engine import table as primitives
from .dependence import dependence
from .masks import Mask, Masks
from .partials import partial_values
from .program import AnyArray, Builder, Operand, Operation, Shape, Symbol, addresses_of

_WHOLE = None


class Flow(NamedTuple):
    """What an array has received: an adjoint, and its mask, at addresses *where* of the array."""

    where: AnyArray | None
    adjoint: Operand
    mask: Mask


def differentiate(builder: Builder, output: Operand) -> list[tuple[int, Operand]]:
    """Append the derivative of *output*, of shape (1,); return it for every parameter operation."""
    return Pullback(builder).run(output)


class Pullback:
    """The adjoints of a program, on their way from its outputs to its parameters.

    They also go to *inputs*, numbers of operations with what of each array is a Value in the
    engine: the adjoint of an input is there for each example, that of a parameter is the sum over
    the examples.  Only the first *count* operations belong to the program, by default all.
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
        self.mask_of: dict[int, Mask] = {}
        """Where the inputs are reached, once the sweep is done."""
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

    def run(self, output: Operand) -> list[tuple[int, Operand]]:
        """Return the adjoint of each leaf that the only *output* depends on."""
        if isinstance(output, Symbol):
            self.arrived[output.number] = [Flow(_WHOLE, 1.0, 1.0)]
        return self._sweep()

    def run_from(self, outputs: Symbol, place: int) -> list[tuple[int, Operand]]:
        """Return the adjoint of each leaf that the number at *place* of *outputs* depends on."""
        self.arrived[outputs.number] = [Flow(np.array([place]), 1.0, 1.0)]
        return self._sweep()

    def pull(self, outputs: Iterable[tuple[Operand, Symbol, Mask]]) -> list[tuple[int, Operand]]:
        """Return the adjoint of each leaf, from an adjoint and a mask of every output."""
        for output, adjoint, mask in outputs:
            self.chooses = self.chooses or isinstance(mask, Symbol)
            if isinstance(output, Symbol):
                zeroed = (
                    primitives.where(mask, adjoint, 0.0) if isinstance(mask, Symbol) else adjoint
                )
                self._give(output.number, zeroed, True, mask=mask)
        return self._sweep()

    def _sweep(self) -> list[tuple[int, Operand]]:
        found: list[tuple[int, Operand]] = []
        for number in range(self.forward - 1, -1, -1):
            if not self.active[number]:
                continue
            operation = self.program.operations[number]
            if operation.kind == "store":
                self._store(operation)
                continue
            if number not in self.arrived or operation.kind == "new":
                continue
            adjoint, self.mask = self._total(number)
            if number in self.leaves:
                found.append((number, adjoint))
                self.mask_of[number] = self.mask
            else:
                self._name(number, adjoint)
                getattr(self, "_" + operation.kind)(number, operation, adjoint)
        return found[::-1]

    # --- collecting --------------------------------------------------------------------------

    def _give(
        self,
        number: int | float,
        adjoint: Operand,
        batched: bool,
        where: AnyArray | None = _WHOLE,
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
        if where is _WHOLE:
            where = np.arange(operation.shape[0])
        builder.accumulate(self.pools[number], *self._unique(where, adjoint, operation.batched))
        if not isinstance(mask, Symbol):
            self.pools_sure[number][where] = True
        else:
            if number not in self.pool_masks:
                self.pool_masks[number] = builder.new(operation.shape, operation.batched, 0.0)
            unique = self._unique(where, mask, operation.batched)
            builder.accumulate(self.pool_masks[number], *unique)

    def _pool_mask(self, number: int, where: AnyArray) -> Mask:
        """Return the mask of a pool at addresses *where*."""
        if not self.chooses:
            return 1.0
        sure = self.pools_sure[number][where]
        if (sure | ~self._depends[number][where]).all():
            return 1.0
        if number not in self.pool_masks:
            return self.masks.fixed(sure)
        found = self.builder.at(self.pool_masks[number], where)
        return primitives.add(found, self.masks.fixed(sure)) if sure.any() else found

    def _total(self, number: int) -> tuple[Operand, Mask]:
        """Return the adjoint of operation *number*, the sum of what arrived, and its mask."""
        operation = self.program.operations[number]
        arrived = self.arrived.pop(number)
        whole = [x for where, x, _ in arrived if where is _WHOLE]
        parts = [(where, x) for where, x, _ in arrived if where is not _WHOLE]
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
        whole = [mask for where, _, mask in arrived if where is _WHOLE]
        total = self.masks.either(whole) if whole else None
        if total is not None and not isinstance(total, Symbol):
            return 1.0
        places: dict[Any, tuple[AnyArray, list[Mask]]] = {}
        for where, _, mask in arrived:
            if where is not _WHOLE:
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
        if (sure | ~self._depends[number].ravel()).all():
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
                    x = builder.at(self._filled(x, where.shape), back)
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
        x = self._filled(x, where.shape)
        order = np.argsort(where.ravel(), kind="stable")
        if counts.min() == counts.max():
            each = int(counts[0])
            summed = builder.total(builder.at(x, order.reshape(-1, each)), (-1,), (1, each))
            return different, builder.reshape(summed, different.shape)
        starts = builder.array(np.cumsum(counts) - counts)
        row = builder.at(x, order)
        batched = isinstance(row, Symbol) and row.batched
        return different, builder.emit("segment_sum", (row,), different.shape, batched, starts)

    def _filled(self, x: Operand, shape: Shape) -> Symbol:
        if isinstance(x, Symbol) and x.shape == shape:
            return x
        return self.builder.broadcast(x, shape, isinstance(x, Symbol) and x.batched)

    def _name(self, number: int, adjoint: Operand) -> None:
        name = self.program.names.get(number, "")
        if name.startswith("z") and isinstance(adjoint, Symbol):
            self.program.names.setdefault(adjoint.number, "delta" + name[1:])

    # --- the rule of every kind of operation -----------------------------------------------------

    def _apply(self, number: int, operation: Operation, adjoint: Operand) -> None:
        builder = self.builder
        row = self.program.rows[operation.detail]
        args = [builder.symbol(a) if type(a) is int else a for a in operation.args]
        linked = [i for i, a in enumerate(args) if isinstance(a, Symbol) and self._varies(a)]
        wanted = [i for i in linked if self.active[args[i].number]]  # type: ignore[union-attr]
        if row.selects is not None:
            for i, term, mask in self._chosen(row, args, wanted, adjoint):
                self._return(args[i], term, operation, mask)
            return
        if row.variadic is None:
            linked = list(row.linked(args, wanted))
        y = builder.symbol(number)
        if row is primitives.maximum or row is primitives.minimum:
            linked = wanted
            partials: Any = self._tie_shares(row, args, y, wanted)
        elif row is primitives.tanh:  # the row's 4 s(2x) s(-2x), at a lower cost
            partials = [builder.emit("one_minus_square", (y, args[0]), y.shape, y.batched)]
        else:
            partials = partial_values(row, args, y, linked)
        for i, partial in zip(linked, partials, strict=True):
            if i not in wanted:
                continue
            self._return(args[i], self._times(partial, adjoint, self.mask), operation, self.mask)

    def _times(self, partial: Operand, adjoint: Operand, mask: Mask) -> Operand:
        """Return *adjoint* times *partial*, and 0 where nothing arrived."""
        term = primitives.multiply(adjoint, partial)
        if not isinstance(mask, Symbol) or (isinstance(partial, float) and math.isfinite(partial)):
            return term
        return primitives.where(mask, term, 0.0)

    def _chosen(
        self, row: primitives.Primitive, args: list[Any], wanted: list[int], adjoint: Operand
    ) -> list[tuple[int, Operand, Mask]]:
        """Return adjoint and mask of each *wanted* argument of a row that copies one argument."""
        where: Any = primitives.where
        choice = args[0]
        data = 1 if row is where or row is primitives.take_entry else 0  # what chooses comes first
        wanted = [i for i in wanted if i >= data]
        if row is not where:
            choice = primitives.position_of(row)(*args)
        if not isinstance(choice, Symbol):
            chosen = int(choice) if row is not where else 1 if choice else 2
            return [(i, adjoint, self.mask) for i in wanted if i == chosen]
        found: list[tuple[int, Operand, Mask]] = []
        for i in wanted:
            if row is where and i == 2:
                mask = self.masks.other_branch(choice, self.mask)
                found.append((i, where(choice, 0.0, adjoint), mask))
            else:
                here: Any = choice if row is where else primitives.equal(choice, float(i))
                mask = self.masks.branch(here, self.mask, choice, i, len(args) - data)
                found.append((i, where(here, adjoint, 0.0), mask))
        return found

    @functools.cached_property
    def _depends(self) -> list[AnyArray]:
        return dependence(self.program, self.forward, self.inputs)

    def _tie_shares(
        self, row: primitives.Primitive, args: list[Any], y: Symbol, wanted: list[int]
    ) -> list[Operand]:
        """Return the row's partials; which arguments are constants may differ between elements."""
        depends = np.array(
            [
                np.broadcast_to(isinstance(x, Symbol) and self._depends[x.number], y.shape)
                for x in args
            ]
        )
        patterns, which = np.unique(depends.reshape(len(args), -1), axis=1, return_inverse=True)
        which = which.reshape(y.shape)
        found: list[Operand] = [0.0] * len(wanted)
        for k, pattern in enumerate(patterns.T):
            linked = [i for i in wanted if pattern[i]]
            here = self.builder.constant(which == k)
            for i, partial in zip(linked, row.partial_values(args, y, linked), strict=True):
                at = wanted.index(i)
                everywhere = len(patterns.T) == 1
                found[at] = partial if everywhere else primitives.where(here, partial, found[at])
        return found

    def _varies(self, x: Symbol) -> bool:
        return x.operation.kind != "constant"

    def _return(self, arg: Any, term: Operand, operation: Operation, mask: Mask) -> None:
        """Give *term* to an argument that an elementwise operation may have broadcast."""
        axes = [
            -1 - i
            for i in range(len(operation.shape))
            if arg.shape[-1 - i] == 1 and operation.shape[-1 - i] != 1
        ]
        term = self.builder.total(term, axes, operation.shape)
        self._give(arg.number, term, operation.batched, mask=self.masks.any_along(mask, axes))

    def _moved(self, operation: Operation, adjoint: Operand, where: AnyArray, mask: Mask) -> None:
        self._give(operation.args[0], adjoint, operation.batched, where, mask)

    def _view(self, number: int, operation: Operation, adjoint: Operand) -> None:
        where = addresses_of(operation.detail)
        axes = [
            i - len(operation.shape)
            for i, (extent, stride) in enumerate(operation.detail[1])
            if stride == 0 and extent > 1
        ]
        adjoint = self.builder.total(adjoint, axes, operation.shape)
        for axis in axes:
            where = np.take(where, [0], axis=axis)
        self._moved(operation, adjoint, where, self.masks.any_along(self.mask, axes))

    def _take(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._moved(operation, adjoint, self.program.constants[operation.detail], self.mask)

    def _pick(self, number: int, operation: Operation, adjoint: Operand) -> None:
        index, table = (self.builder.symbol(int(n)) for n in operation.args)
        delta = self.builder.array_of(adjoint, operation.shape, operation.batched)
        detail = table.shape[0]
        spread = self.builder.emit("spread", (index, delta), table.shape, False, detail)
        mask: Mask = 1.0
        if table.operation.kind != "parameter":  # only rows that some example picks are reached
            picked = self.builder.array_of(self.mask, operation.shape, operation.batched)
            mask = self.builder.emit("spread", (index, picked), table.shape, False, detail)
        self._give(table.number, spread, False, mask=mask)

    def _reshape(self, number: int, operation: Operation, adjoint: Operand) -> None:
        source = self.program.operations[operation.args[0]]  # type: ignore[index]
        if isinstance(adjoint, Symbol):
            adjoint = self.builder.reshape(self._filled(adjoint, operation.shape), source.shape)
        mask = self._mask_shaped(self.mask, operation.shape, source)
        self._give(operation.args[0], adjoint, operation.batched, mask=mask)

    def _broadcast(self, number: int, operation: Operation, adjoint: Operand) -> None:
        if type(operation.args[0]) is int:
            self._return(self.builder.symbol(operation.args[0]), adjoint, operation, self.mask)

    def _store(self, operation: Operation) -> None:
        """Take the adjoint of a value from where the value was written into a larger array."""
        target, value = int(operation.args[0]), operation.args[1]
        if type(value) is not int or not self.active[value]:
            return
        how, detail = operation.detail
        where = addresses_of(detail) if how == "view" else self.program.constants[detail]
        source = self.program.operations[value]
        if target in self.pools:
            x = self.builder.at(self.pools[target], where)
            x, mask = self._shaped(x, where.shape, source), self._pool_mask(target, where)
            mask = self._mask_shaped(mask, where.shape, source)
            self._give(value, x, operation.batched, mask=mask)
        if target not in self.arrived:
            return
        arrived = self.arrived[target]
        if all(
            flow.where is not _WHOLE and np.array_equal(flow.where.ravel(), where.ravel())
            for flow in arrived
        ):
            for w, x, mask in self.arrived.pop(target):
                x = self._shaped(x, w.shape, source)  # type: ignore[union-attr]
                mask = self._mask_shaped(mask, w.shape, source)  # type: ignore[union-attr]
                self._give(value, x, operation.batched, mask=mask)
            return
        whole, mask = self._total(target)
        self.arrived[target] = [Flow(_WHOLE, whole, mask)]
        if isinstance(whole, Symbol):
            whole = self.builder.at(self._filled(whole, operation.shape), where)
        mask = self._mask_shaped(self.masks.at(mask, operation, where), where.shape, source)
        self._give(value, self._shaped(whole, where.shape, source), operation.batched, mask=mask)

    def _mask_shaped(self, mask: Mask, shape: Shape, source: Operation) -> Mask:
        """Return *mask*, which is broadcast to *shape*, as one that is broadcast to *source*."""
        if not isinstance(mask, Symbol) or shape == source.shape:
            return mask
        if math.prod(mask.shape) > 1:
            mask = self.masks.filled(mask, shape)
        return self.masks.shaped(mask, source.shape)

    def _shaped(self, x: Operand, shape: Shape, source: Operation) -> Operand:
        """Return *x*, an adjoint that is broadcast to *shape*, in the shape of *source*."""
        if not isinstance(x, Symbol) or shape == source.shape:
            return x
        return self.builder.reshape(self._filled(x, shape), source.shape)

    def _one_minus(self, number: int, operation: Operation, adjoint: Operand) -> None:
        """Give the adjoint of 1 - a, where a = sigmoid(z), to z: its slope is minus that of a."""
        a, z = (self.builder.symbol(int(n)) for n in operation.args)
        slope = primitives.multiply(a, self.builder.symbol(number))
        self._return(z, -self._times(slope, adjoint, self.mask), operation, self.mask)

    def _matmul(self, number: int, operation: Operation, adjoint: Operand) -> None:
        builder = self.builder
        a, b = (builder.symbol(int(n)) for n in operation.args)
        delta = builder.array_of(adjoint, operation.shape, operation.batched)
        to_left = self.masks.any_along(self.mask, (-1,))
        if not operation.detail[2]:
            if self.active[a.number]:
                self._matmul_left(a, b, delta, to_left)
            if self.active[b.number]:
                product = builder.matmul(delta, a, (True, False), self.mask)
                axes = range(-len(operation.shape), -1)
                mask = self.masks.any_example(self.masks.any_along(self.mask, axes))
                if isinstance(mask, Symbol):
                    mask = builder.reshape(mask, (mask.shape[-1], 1))
                self._give(b.number, product, False, mask=mask)
            return
        if self.active[a.number]:
            product = builder.stack(delta, b, (False, False), self.mask)
            self._give(a.number, product, operation.batched, mask=to_left)
        if self.active[b.number]:
            product = builder.stack(delta, a, (True, False), self.mask)
            mask = self.masks.any_along(self.mask, (-2,))
            if isinstance(mask, Symbol):
                mask = builder.reshape(mask, (*mask.shape[:-2], mask.shape[-1], 1))
            self._give(b.number, product, operation.batched, mask=mask)

    def _linked_matmul(self, number: int, operation: Operation, adjoint: Operand) -> None:
        """Give the adjoint of matrices with holes, which a mask says, times vectors.

        What is given to a hole goes no further.
        """
        builder = self.builder
        a, b, holes = (builder.symbol(int(n)) for n in operation.args)
        delta = builder.array_of(adjoint, operation.shape, operation.batched)
        product: Operand
        if self.active[a.number]:
            product = builder.stack(delta, b, (False, False), self.mask)
            mask = self.masks.any_along(self.mask, (-1,))
            self._give(a.number, product, operation.batched, mask=mask)
        if self.active[b.number]:
            mask = self.masks.any_along(self.mask, (-2,))
            if isinstance(self.mask, Symbol):
                terms = primitives.multiply(delta, a)
                reached = primitives.where(holes, self.mask, 0.0)
                shape = (*operation.shape[:-1], a.shape[-1])
                product = builder.total(primitives.where(reached, terms, 0.0), (-2,), shape)
            else:
                product = builder.stack(a, delta, (True, False), holes)
                product = builder.reshape(product, b.shape)
            self._give(b.number, product, operation.batched, mask=mask)

    def _matmul_left(self, a: Symbol, b: Symbol, delta: Symbol, mask: Mask) -> None:
        """Give the left factor its adjoint, except to a column of ones."""
        builder = self.builder
        where = _WHOLE
        if a.operation.kind == "new" and a.operation.detail == 1.0:
            columns = a.shape[-1] - 1
            inner = np.arange(math.prod(b.shape)).reshape(b.shape)[:, 1:]
            weights = builder.at(b, inner)
            assert isinstance(weights, Symbol)
            b = weights
            where = np.arange(math.prod(a.shape)).reshape(a.shape)[..., 1:]
            assert where.shape[-1] == columns
        adjoint = builder.matmul(delta, b, (False, False), self.mask)
        self._give(a.number, adjoint, a.batched, where, mask)

    def _sum(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._give(operation.args[0], adjoint, operation.batched)  # it is broadcast where used

    def _segment_sum(self, number: int, operation: Operation, adjoint: Operand) -> None:
        mask = self._repeated_mask(operation)
        self._give(
            operation.args[0], self._repeated(operation, adjoint), operation.batched, mask=mask
        )

    def _repeated_mask(self, operation: Operation) -> Mask:
        if isinstance(self.mask, Symbol) and self.mask.shape[-1] == 1:
            return self.mask
        return self._repeated(operation, self.mask)

    def _repeated(self, operation: Operation, x: Operand) -> Operand:
        """Return *x*, one number per stretch, repeated for every member of its stretch."""
        if not isinstance(x, Symbol) or operation.detail is None:
            return x
        detail = operation.detail
        starts = self.program.constants[detail[0] if isinstance(detail, tuple) else detail]
        length = self.program.operations[operation.args[0]].shape[-1]  # type: ignore[index]
        owner = np.repeat(np.arange(len(starts)), np.diff([*starts.tolist(), length]))
        if x.shape != operation.shape:
            x = self._filled(x, operation.shape)
        return self.builder.at(x, owner)

    def _maximum(self, number: int, operation: Operation, adjoint: Operand) -> None:
        """Divide the adjoint among tied arguments, as the row does."""
        builder = self.builder
        x = builder.symbol(int(operation.args[0]))
        ties = primitives.equal(x, self._repeated(operation, builder.symbol(number)))
        if operation.detail is None:
            count = builder.total(ties, (-1,), x.shape)
        else:
            count = builder.emit(
                "segment_sum", (ties,), operation.shape, x.batched, operation.detail
            )
        share: Operand = primitives.divide(adjoint, count)
        if isinstance(self.mask, Symbol):  # nothing equals a nan maximum, and 0 / 0 ties is nan
            share = primitives.where(self.mask, share, 0.0)
        depends = self._depends[x.number]
        if not depends.all():  # on a tie with a constant, no argument gets a share
            constant = primitives.multiply(ties, builder.constant(~depends))
            if operation.detail is None:
                found = builder.total(constant, (-1,), x.shape)
            else:
                found = builder.emit(
                    "segment_sum", (constant,), operation.shape, x.batched, operation.detail
                )
            share = primitives.multiply(share, primitives.equal(found, 0.0))
        share = self._repeated(operation, share)
        mask = self._repeated_mask(operation)
        self._give(x.number, primitives.multiply(ties, share), operation.batched, mask=mask)

    _minimum = _maximum

    def _logsumexp(self, number: int, operation: Operation, adjoint: Operand) -> None:
        builder = self.builder
        x = builder.symbol(int(operation.args[0]))
        shares = builder.emit("logsumexp_slopes", (x,), x.shape, x.batched, operation.detail)
        mask = self._repeated_mask(operation)
        term = self._times(shares, self._repeated(operation, adjoint), mask)
        self._give(x.number, term, operation.batched, mask=mask)

    def _cross_entropy(self, number: int, operation: Operation, adjoint: Operand) -> None:
        builder = self.builder
        z, y = (builder.symbol(int(n)) for n in operation.args)
        slopes = builder.emit("softmax_minus", (z, y), z.shape, z.batched)
        partials: list[tuple[Symbol, Any]] = [(z, slopes)]
        if self.active[y.number]:
            s = builder.emit("surprisals", (z,), z.shape, z.batched)
            unlikely = primitives.multiply(primitives.equal(y, 0.0), primitives.equal(s, math.inf))
            partials.append((y, primitives.where(unlikely, 0.0, s)))
        for x, partial in partials:
            self._give(x.number, self._times(partial, adjoint, self.mask), operation.batched)

    def _one_hot(self, number: int, operation: Operation, adjoint: Operand) -> None:
        """Give nothing on: a class has no derivative."""

    def _softmax_rest(self, number: int, operation: Operation, adjoint: Operand) -> None:
        p, y = (self.builder.symbol(int(n)) for n in operation.args)
        self._give(p.number, self._times(-y, adjoint, self.mask), operation.batched)

    def _softmax(self, number: int, operation: Operation, adjoint: Operand) -> None:
        builder = self.builder
        y = builder.symbol(number)
        if not isinstance(adjoint, Symbol):
            adjoint = builder.broadcast(adjoint, y.shape, False)
        mask = self._any_of_stretch(operation)
        if isinstance(mask, Symbol):
            y = primitives.where(mask, y, 0.0)  # type: ignore[assignment]
        pulled = builder.emit(
            "softmax_pullback", (y, adjoint), y.shape, y.batched, operation.detail
        )
        self._give(operation.args[0], pulled, operation.batched, mask=mask)

    def _any_of_stretch(self, operation: Operation) -> Mask:
        """Return where anything of the last axis, or of the same stretch of it, is reached."""
        mask, builder = self.mask, self.builder
        if operation.detail is None or not isinstance(mask, Symbol) or mask.shape[-1] == 1:
            return self.masks.any_along(mask, (-1,))
        starts, owners = operation.detail
        shape = (*mask.shape[:-1], len(self.program.constants[starts]))
        found = builder.emit("segment_sum", (mask,), shape, mask.batched, starts)
        rows = np.arange(math.prod(shape)).reshape(shape)
        return builder.at(found, rows[..., self.program.constants[owners]])
