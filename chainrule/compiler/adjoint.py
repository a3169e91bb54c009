"""Pass 6: the backward program, from the partial derivatives in the table, operation by operation.

It is the engine's pullback on whole arrays: in reverse order, each operation passes its adjoint,
times its partials, to its arguments.  What was read through a view is added into the same view;
what was gathered is added up where it came from.  The result is the derivative of the sum over the
examples; the caller divides.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..engine import table as primitives
from .dependence import dependence
from .partials import partial_values
from .program import AnyArray, Builder, Operand, Operation, Shape, Symbol, addresses_of

_WHOLE = None


def differentiate(builder: Builder, output: Operand) -> list[tuple[int, Operand]]:
    """Append the derivative of *output*, of shape (1,); return it for every parameter operation."""
    return Pullback(builder).run(output)


class Pullback:
    """The adjoints of a program, on their way from its output to its parameters."""

    def __init__(self, builder: Builder):
        self.builder = builder
        self.program = builder.program
        self.forward = len(self.program.operations)
        self.active = self._active()
        # For every operation, the adjoints that it has received: where in its array, and what.
        self.arrived: dict[int, list[tuple[AnyArray | None, Operand]]] = {}
        self.pools: dict[int, Symbol] = {}  # adjoints of arrays that are read while they are filled
        self.shaded: set[int] = set()  # below a branch that where() may not have chosen

    def _active(self) -> list[bool]:
        """Return, for every operation, whether it depends on a parameter."""
        active: list[bool] = []
        for operation in self.program.operations:
            depends = operation.kind == "parameter" or any(
                type(arg) is int and active[arg] for arg in operation.args
            )
            active.append(depends)
            if operation.kind == "store" and depends:
                active[operation.args[0]] = True  # type: ignore[index]
        return active

    def run(self, output: Operand) -> list[tuple[int, Operand]]:
        if isinstance(output, Symbol):
            self.arrived[output.number] = [(_WHOLE, 1.0)]
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
            adjoint = self._total(number)
            if operation.kind == "parameter":
                found.append((number, adjoint))
            else:
                self._name(number, adjoint)
                getattr(self, "_" + operation.kind)(number, operation, adjoint)
        return found[::-1]

    # --- collecting --------------------------------------------------------------------------

    def _give(
        self, number: int | float, adjoint: Operand, batched: bool, where: AnyArray | None = _WHOLE
    ) -> None:
        """Add *adjoint* to the adjoint of operation *number*, at addresses *where* of its array.

        *batched* says whether there is one adjoint per example.
        """
        if type(number) is int and self.active[number]:
            if batched and not self.program.operations[number].batched:
                adjoint = self.builder.total_batch(adjoint)
            if number in self.program.pools:
                self._pool(number, adjoint, where)
            else:
                self.arrived.setdefault(number, []).append((where, adjoint))

    def _pool(self, number: int, adjoint: Operand, where: AnyArray | None) -> None:
        operation = self.program.operations[number]
        if number not in self.pools:
            self.pools[number] = self.builder.new(operation.shape, operation.batched, 0.0)
        if where is _WHOLE:
            where = np.arange(operation.shape[0])
        self.builder.accumulate(
            self.pools[number], *self._unique(where, adjoint, operation.batched)
        )

    def _total(self, number: int) -> Operand:
        """Return the adjoint of operation *number*: the sum of all it has received."""
        operation = self.program.operations[number]
        arrived = self.arrived.pop(number)
        whole = [x for where, x in arrived if where is _WHOLE]
        parts = [(where, x) for where, x in arrived if where is not _WHOLE]
        total: Operand | None = None
        for x in whole:
            total = x if total is None else primitives.add(total, x)
        if not parts:
            assert total is not None
            return total
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
            for i, term in self._chosen(row, args, wanted, adjoint):
                self._return(args[i], term, operation, shaded=True)
            return
        if row.variadic is None:
            linked = list(row.linked(args, wanted))
        y = builder.symbol(number)
        shaded = number in self.shaded
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
            # 0 times infinity would be nan: in a branch not chosen the adjoint wins
            if shaded and not (isinstance(partial, float) and math.isfinite(partial)):
                term = primitives.damped(partial, adjoint)
            else:
                term = primitives.multiply(adjoint, partial)
            self._return(args[i], term, operation, shaded)

    def _chosen(
        self, row: primitives.Primitive, args: list[Any], wanted: list[int], adjoint: Operand
    ) -> list[tuple[int, Operand]]:
        """Return the adjoint of each *wanted* argument of a row that copies one argument."""
        where = primitives.where
        if row is where:
            branches = {1: (adjoint, 0.0), 2: (0.0, adjoint)}
            return [(i, where(args[0], *branches[i])) for i in wanted if i in branches]
        position = primitives.position_of(row)(*args)
        return [(i, where(primitives.equal(position, float(i)), adjoint, 0.0)) for i in wanted]

    @functools.cached_property
    def _depends(self) -> list[AnyArray]:
        return dependence(self.program, self.forward)

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

    def _return(self, arg: Any, term: Operand, operation: Operation, shaded: bool) -> None:
        """Give *term* to an argument that an elementwise operation may have broadcast."""
        axes = [
            -1 - i
            for i in range(len(operation.shape))
            if arg.shape[-1 - i] == 1 and operation.shape[-1 - i] != 1
        ]
        term = self.builder.total(term, axes, operation.shape)
        if shaded:
            self.shaded.add(arg.number)
        self._give(arg.number, term, operation.batched)

    def _moved(self, operation: Operation, adjoint: Operand, where: AnyArray) -> None:
        self._give(operation.args[0], adjoint, operation.batched, where)

    def _shade(self, number: int, operation: Operation) -> None:
        if number in self.shaded:
            self.shaded.update(a for a in operation.args if type(a) is int)

    def _view(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._shade(number, operation)
        where = addresses_of(operation.detail)
        axes = [
            i - len(operation.shape)
            for i, (extent, stride) in enumerate(operation.detail[1])
            if stride == 0 and extent > 1
        ]
        adjoint = self.builder.total(adjoint, axes, operation.shape)
        for axis in axes:
            where = np.take(where, [0], axis=axis)
        self._moved(operation, adjoint, where)

    def _take(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._shade(number, operation)
        self._moved(operation, adjoint, self.program.constants[operation.detail])

    def _pick(self, number: int, operation: Operation, adjoint: Operand) -> None:
        index, table = (self.builder.symbol(int(n)) for n in operation.args)
        delta = self.builder.array_of(adjoint, operation.shape, operation.batched)
        spread = self.builder.emit("spread", (index, delta), table.shape, False, table.shape[0])
        self._give(table.number, spread, False)

    def _reshape(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._shade(number, operation)
        source = self.program.operations[operation.args[0]]  # type: ignore[index]
        if isinstance(adjoint, Symbol):
            adjoint = self.builder.reshape(self._filled(adjoint, operation.shape), source.shape)
        self._give(operation.args[0], adjoint, operation.batched)

    def _broadcast(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._shade(number, operation)
        if type(operation.args[0]) is int:
            self._return(self.builder.symbol(operation.args[0]), adjoint, operation, False)

    def _store(self, operation: Operation) -> None:
        """Take the adjoint of a value from where the value was written into a larger array."""
        target, value = int(operation.args[0]), operation.args[1]
        if type(value) is not int or not self.active[value]:
            return
        how, detail = operation.detail
        where = addresses_of(detail) if how == "view" else self.program.constants[detail]
        if target in self.shaded:
            self.shaded.add(value)
        if target in self.pools:
            x = self.builder.at(self.pools[target], where)
            source = self.program.operations[value]
            self._give(value, self._shaped(x, where.shape, source), operation.batched)
        if target not in self.arrived:
            return
        arrived = self.arrived[target]
        source = self.program.operations[value]
        if all(w is not _WHOLE and np.array_equal(w.ravel(), where.ravel()) for w, _ in arrived):
            for w, x in self.arrived.pop(target):
                self._give(value, self._shaped(x, w.shape, source), operation.batched)  # type: ignore[union-attr]
            return
        whole = self._total(target)
        self.arrived[target] = [(_WHOLE, whole)]
        if isinstance(whole, Symbol):
            whole = self.builder.at(self._filled(whole, operation.shape), where)
        self._give(value, self._shaped(whole, where.shape, source), operation.batched)

    def _shaped(self, x: Operand, shape: Shape, source: Operation) -> Operand:
        """Return *x*, an adjoint that is broadcast to *shape*, in the shape of *source*."""
        if not isinstance(x, Symbol) or shape == source.shape:
            return x
        return self.builder.reshape(self._filled(x, shape), source.shape)

    def _one_minus(self, number: int, operation: Operation, adjoint: Operand) -> None:
        """Give the adjoint of 1 - a, where a = sigmoid(z), to z: its slope is minus that of a."""
        a, z = (self.builder.symbol(int(n)) for n in operation.args)
        slope = primitives.multiply(a, self.builder.symbol(number))
        shaded = number in self.shaded
        product = primitives.damped if shaded else primitives.multiply
        self._return(z, -product(slope, adjoint), operation, shaded)

    def _where_used(self, x: Symbol, adjoint: Symbol, axis: int, detail: Any = None) -> Symbol:
        """Return *x*, with 0 where *adjoint* is 0 all along *axis*, as in a branch not chosen.

        The rows of *x* match those of *adjoint* or, for axis -2, its columns; *detail* describes
        the stretches of the axis, if it has any.
        """
        builder = self.builder
        size = primitives.absolute(adjoint)
        if detail is None:
            used = builder.total(size, (axis,), adjoint.shape)
            if axis == -2:
                used = builder.reshape(used, (*adjoint.shape[:-2], adjoint.shape[-1], 1))
        else:
            starts, owners = detail
            count = len(self.program.constants[starts])
            shape = (*adjoint.shape[:-1], count)
            used = builder.emit("segment_sum", (size,), shape, adjoint.batched, starts)
            rows = np.arange(math.prod(shape)).reshape(shape)
            used = builder.at(used, rows[..., self.program.constants[owners]])
        found = primitives.where(primitives.equal(used, 0.0), 0.0, x)
        assert isinstance(found, Symbol)
        return found

    def _matmul(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._shade(number, operation)
        builder = self.builder
        a, b = (builder.symbol(int(n)) for n in operation.args)
        delta = builder.array_of(adjoint, operation.shape, operation.batched)
        left, right = a, b  # the factors; in a branch not chosen they may be infinite or nan
        if number in self.shaded:
            left = self._where_used(a, delta, -1)
            if operation.detail[2]:
                right = self._where_used(b, delta, -2)
        if not operation.detail[2]:
            if self.active[a.number]:
                self._matmul_left(a, b, delta)
            if self.active[b.number]:
                self._give(b.number, builder.matmul(delta, left, (True, False)), False)
            return
        if self.active[a.number]:
            self._give(a.number, builder.stack(delta, right, (False, False)), operation.batched)
        if self.active[b.number]:
            self._give(b.number, builder.stack(delta, left, (True, False)), operation.batched)

    def _matmul_left(self, a: Symbol, b: Symbol, delta: Symbol) -> None:
        """Give the left factor its adjoint, except to a column of ones."""
        builder = self.builder
        if a.operation.kind == "new" and a.operation.detail == 1.0:
            columns = a.shape[-1] - 1
            inner = np.arange(math.prod(b.shape)).reshape(b.shape)[:, 1:]
            weights = builder.at(b, inner)
            assert isinstance(weights, Symbol)
            adjoint = builder.matmul(delta, weights, (False, False))
            where = np.arange(math.prod(a.shape)).reshape(a.shape)[..., 1:]
            assert where.shape[-1] == columns
            self._give(a.number, adjoint, a.batched, where)
        else:
            self._give(a.number, builder.matmul(delta, b, (False, False)), a.batched)

    def _sum(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._shade(number, operation)
        self._give(operation.args[0], adjoint, operation.batched)  # it is broadcast where used

    def _segment_sum(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._shade(number, operation)
        self._give(operation.args[0], self._repeated(operation, adjoint), operation.batched)

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
        self._shade(number, operation)
        builder = self.builder
        x = builder.symbol(int(operation.args[0]))
        ties = primitives.equal(x, self._repeated(operation, builder.symbol(number)))
        if operation.detail is None:
            count = builder.total(ties, (-1,), x.shape)
        else:
            count = builder.emit(
                "segment_sum", (ties,), operation.shape, x.batched, operation.detail
            )
        if number in self.shaded:  # nothing equals a nan maximum, and 0 divided by 0 ties is nan
            share: Operand = primitives.damped(primitives.divide(1.0, count), adjoint)
        else:
            share = primitives.divide(adjoint, count)
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
        self._give(x.number, primitives.multiply(ties, share), operation.batched)

    _minimum = _maximum

    def _logsumexp(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._shade(number, operation)
        builder = self.builder
        x = builder.symbol(int(operation.args[0]))
        shares = builder.emit("logsumexp_slopes", (x,), x.shape, x.batched, operation.detail)
        adjoint = self._repeated(operation, adjoint)
        if number in self.shaded:
            term = primitives.damped(shares, adjoint)
        else:
            term = primitives.multiply(adjoint, shares)
        self._give(x.number, term, operation.batched)

    def _cross_entropy(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._shade(number, operation)
        builder = self.builder
        z, y = (builder.symbol(int(n)) for n in operation.args)
        slopes = builder.emit("softmax_minus", (z, y), z.shape, z.batched)
        partials: list[tuple[Symbol, Any]] = [(z, slopes)]
        if self.active[y.number]:
            s = builder.emit("surprisals", (z,), z.shape, z.batched)
            unlikely = primitives.multiply(primitives.equal(y, 0.0), primitives.equal(s, math.inf))
            partials.append((y, primitives.where(unlikely, 0.0, s)))
        for x, partial in partials:
            if number in self.shaded:
                term = primitives.damped(partial, adjoint)
            else:
                term = primitives.multiply(adjoint, partial)
            self._give(x.number, term, operation.batched)

    def _one_hot(self, number: int, operation: Operation, adjoint: Operand) -> None:
        """Give nothing on: a class has no derivative."""

    def _softmax_rest(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._shade(number, operation)
        p, y = (self.builder.symbol(int(n)) for n in operation.args)
        self._give(p.number, primitives.multiply(adjoint, -y), operation.batched)

    def _softmax(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self._shade(number, operation)
        builder = self.builder
        y = builder.symbol(number)
        if not isinstance(adjoint, Symbol):
            adjoint = builder.broadcast(adjoint, y.shape, False)
        if number in self.shaded:
            y = self._where_used(y, adjoint, -1, operation.detail)
        pulled = builder.emit(
            "softmax_pullback", (y, adjoint), y.shape, y.batched, operation.detail
        )
        self._give(operation.args[0], pulled, operation.batched)
