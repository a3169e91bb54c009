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

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..engine import table as primitives
from .addresses import AnyArray, Shape, addresses_of
from .arrivals import WHOLE, Flow
from .builder import Builder
from .last_axis import AlongLastAxis
from .masks import Mask
from .partials import partial_values
from .program import Operation
from .symbolic import Operand, Symbol


def differentiate(builder: Builder, output: Operand) -> list[tuple[int, Operand]]:
    """Append the derivative of *output*, of shape (1,); return it for every parameter operation."""
    return Pullback(builder).run(output)


class Pullback(AlongLastAxis):
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
        super().__init__(builder, inputs, count)
        self.mask_of: dict[int, Mask] = {}
        """Where the inputs are reached, once the sweep is done."""

    def run(self, output: Operand) -> list[tuple[int, Operand]]:
        """Return the adjoint of each leaf that the only *output* depends on."""
        if isinstance(output, Symbol):
            self.arrived[output.number] = [Flow(WHOLE, 1.0, 1.0)]
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
                self.give(output.number, zeroed, True, mask=mask)
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
            adjoint, self.mask = self.total(number)
            if number in self.leaves:
                found.append((number, adjoint))
                self.mask_of[number] = self.mask
            else:
                self._name(number, adjoint)
                getattr(self, "_" + operation.kind)(number, operation, adjoint)
        return found[::-1]

    def _name(self, number: int, adjoint: Operand) -> None:
        name = self.program.names.get(number, "")
        if name.startswith("z") and isinstance(adjoint, Symbol):
            self.program.names.setdefault(adjoint.number, "delta" + name[1:])

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
            self._return(args[i], self.times(partial, adjoint, self.mask), operation, self.mask)

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

    def _tie_shares(
        self, row: primitives.Primitive, args: list[Any], y: Symbol, wanted: list[int]
    ) -> list[Operand]:
        """Return the row's partials; which arguments are constants may differ between elements."""
        depends = np.array(
            [
                np.broadcast_to(isinstance(x, Symbol) and self.depends[x.number], y.shape)
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
        self.give(arg.number, term, operation.batched, mask=self.masks.any_along(mask, axes))

    def _moved(self, operation: Operation, adjoint: Operand, where: AnyArray, mask: Mask) -> None:
        self.give(operation.args[0], adjoint, operation.batched, where, mask)

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
        self.give(table.number, spread, False, mask=mask)

    def _reshape(self, number: int, operation: Operation, adjoint: Operand) -> None:
        source = self.program.operations[operation.args[0]]  # type: ignore[index]
        if isinstance(adjoint, Symbol):
            adjoint = self.builder.reshape(self.filled(adjoint, operation.shape), source.shape)
        mask = self._mask_shaped(self.mask, operation.shape, source)
        self.give(operation.args[0], adjoint, operation.batched, mask=mask)

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
            x, mask = self._shaped(x, where.shape, source), self.pool_mask(target, where)
            mask = self._mask_shaped(mask, where.shape, source)
            self.give(value, x, operation.batched, mask=mask)
        if target not in self.arrived:
            return
        arrived = self.arrived[target]
        if all(
            flow.where is not WHOLE and np.array_equal(flow.where.ravel(), where.ravel())
            for flow in arrived
        ):
            for w, x, mask in self.arrived.pop(target):
                x = self._shaped(x, w.shape, source)  # type: ignore[union-attr]
                mask = self._mask_shaped(mask, w.shape, source)  # type: ignore[union-attr]
                self.give(value, x, operation.batched, mask=mask)
            return
        whole, mask = self.total(target)
        self.arrived[target] = [Flow(WHOLE, whole, mask)]
        if isinstance(whole, Symbol):
            whole = self.builder.at(self.filled(whole, operation.shape), where)
        mask = self._mask_shaped(self.masks.at(mask, operation, where), where.shape, source)
        self.give(value, self._shaped(whole, where.shape, source), operation.batched, mask=mask)

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
        return self.builder.reshape(self.filled(x, shape), source.shape)

    def _one_minus(self, number: int, operation: Operation, adjoint: Operand) -> None:
        """Give the adjoint of 1 - a, where a = sigmoid(z), to z: its slope is minus that of a."""
        a, z = (self.builder.symbol(int(n)) for n in operation.args)
        slope = primitives.multiply(a, self.builder.symbol(number))
        self._return(z, -self.times(slope, adjoint, self.mask), operation, self.mask)

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
                self.give(b.number, product, False, mask=mask)
            return
        if self.active[a.number]:
            product = builder.stack(delta, b, (False, False), self.mask)
            self.give(a.number, product, operation.batched, mask=to_left)
        if self.active[b.number]:
            product = builder.stack(delta, a, (True, False), self.mask)
            mask = self.masks.any_along(self.mask, (-2,))
            if isinstance(mask, Symbol):
                mask = builder.reshape(mask, (*mask.shape[:-2], mask.shape[-1], 1))
            self.give(b.number, product, operation.batched, mask=mask)

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
            self.give(a.number, product, operation.batched, mask=mask)
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
            self.give(b.number, product, operation.batched, mask=mask)

    def _matmul_left(self, a: Symbol, b: Symbol, delta: Symbol, mask: Mask) -> None:
        """Give the left factor its adjoint, except to a column of ones."""
        builder = self.builder
        where = WHOLE
        if a.operation.kind == "new" and a.operation.detail == 1.0:
            columns = a.shape[-1] - 1
            inner = np.arange(math.prod(b.shape)).reshape(b.shape)[:, 1:]
            weights = builder.at(b, inner)
            assert isinstance(weights, Symbol)
            b = weights
            where = np.arange(math.prod(a.shape)).reshape(a.shape)[..., 1:]
            assert where.shape[-1] == columns
        adjoint = builder.matmul(delta, b, (False, False), self.mask)
        self.give(a.number, adjoint, a.batched, where, mask)
