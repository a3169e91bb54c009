"""The builder of an array program: it appends operations, and knows those that it has.

Its methods are the ways to compute, to move, to add up and to change arrays; each chooses the kind
of operation that does it, and a view wherever one will do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine import table as primitives
from ..engine.table import Primitive
from .addresses import AnyArray, Shape, Strides, affine, contiguous, factors
from .program import Operation, Program
from .simpler import simpler, unscaled
from .symbolic import Operand, Symbol

_OWN = frozenset({"new", "store", "accumulate"})
"""The kinds of operation that are never one and the same, however equal they look."""


class Builder:
    """Appends operations to a program, reusing an equal operation if there is one."""

    def __init__(self) -> None:
        self.program = Program()
        self._known: dict[Any, int] = {}
        self._rows: dict[Primitive, int] = {}
        self._numbers: list[bool] = []  # see _is_number
        self._arrays: dict[Any, int] = {}

    @classmethod
    def after(cls, program: Program, count: int) -> Builder:
        """Return a builder that goes on after the first *count* operations of a *program*.

        The program itself stays as it is.
        """
        made = cls()
        made.program = Program(
            operations=program.operations[:count],
            constants=list(program.constants),
            rows=list(program.rows),
            inputs=program.inputs,
            outputs=program.outputs,
            pools={n for n in program.pools if n < count},
        )
        made._rows = {row: n for n, row in enumerate(program.rows)}
        made._arrays = {_key(x): n for n, x in enumerate(program.constants)}
        for n, x in enumerate(made.program.operations):
            if x.kind not in _OWN:
                made._known.setdefault((x.kind, _told_apart(x.args), x.shape, x.detail), n)
        return made

    def symbol(self, number: int) -> Symbol:
        """Return the result of operation *number*."""
        return Symbol(self, number)

    def emit(
        self,
        kind: str,
        args: Sequence[Operand],
        shape: Shape,
        batched: bool,
        detail: Any = None,
    ) -> Symbol:
        """Return the result of a new operation, or of an equal one that already exists."""
        numbers = tuple([arg.number if isinstance(arg, Symbol) else arg for arg in args])
        operation = Operation(kind, numbers, shape, batched, detail)
        program = self.program
        if kind not in _OWN:
            key = (kind, _told_apart(numbers), shape, detail)
            found = self._known.setdefault(key, len(program.operations))
            if found < len(program.operations):
                return Symbol(self, found)
        program.operations.append(operation)
        return Symbol(self, len(program.operations) - 1)

    def known(self, row: Primitive, x: Symbol) -> Symbol | None:
        """Return *row* of *x* if the program already has it, else None."""
        found = self._known.get(("apply", (x.number,), x.shape, self._rows.get(row)))
        return None if found is None else self.symbol(found)

    def number(self, row: Primitive) -> int:
        """Return the place of *row* among the rows of the program."""
        number = self._rows.setdefault(row, len(self._rows))
        if number == len(self.program.rows):
            self.program.rows.append(row)
        return number

    # --- operands ----------------------------------------------------------------------------

    def array(self, values: AnyArray) -> int:
        """Return the number of a constant array."""
        values = np.ascontiguousarray(values)
        number = self._arrays.setdefault(_key(values), len(self._arrays))
        if number == len(self.program.constants):
            self.program.constants.append(values)
        return number

    def stretches(self, counts: AnyArray) -> tuple[int, int]:
        """Return the constants that describe stretches of *counts* elements: starts, and owners."""
        starts = np.cumsum(counts) - counts
        return self.array(starts), self.array(np.repeat(np.arange(len(counts)), counts))

    def constant(self, values: AnyArray) -> Operand:
        """Return *values* as an operand, which is a plain number if they are all the same."""
        values = np.asarray(values, dtype=float)
        first = float(values.flat[0])
        if (values == first).all() and (first or not np.signbit(values).any()):
            return first
        return self.emit("constant", (), values.shape, False, self.array(values))

    # --- elementwise -------------------------------------------------------------------------

    def apply(self, row: Primitive, *args: Any) -> Operand:
        """Return *row* of the operands, element by element."""
        if not any(isinstance(arg, Symbol) for arg in args):
            return float(row.scalar(*args))
        shorter = simpler(row, args)
        if shorter is not None:
            return shorter  # type: ignore[no-any-return]
        symbols = [arg for arg in args if isinstance(arg, Symbol)]
        shapes = {arg.shape for arg in symbols}
        shape = shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes)
        batched = any(arg.batched for arg in symbols)
        return self.emit("apply", args, shape, batched, self.number(row))

    def one_hot(self, which: Operand, shape: Shape) -> Symbol:
        """Return an array of *shape* with a 1 in every last axis, at the place *which* says."""
        if isinstance(which, Symbol) and which.operation.kind != "constant":
            return self.emit("one_hot", (which,), shape, which.batched)
        known: Any = which
        if isinstance(which, Symbol):
            known = self.program.constants[which.operation.detail]
        ones = np.broadcast_to(known == np.arange(shape[-1]), shape).astype(float)
        return self.emit("constant", (), shape, False, self.array(ones))

    # --- moving ------------------------------------------------------------------------------

    def reshape(self, x: Operand, shape: Shape) -> Operand:
        """Return the same elements in another *shape*."""
        if not isinstance(x, Symbol) or x.shape == shape:
            return x
        if x.operation.kind == "broadcast" and type(x.operation.args[0]) is float:
            return x.operation.args[0]
        if x.operation.kind == "reshape":
            return self.reshape(self.symbol(int(x.operation.args[0])), shape)
        if self._is_number(x):
            return self.emit(x.operation.kind, self._args(x), shape, False, x.operation.detail)
        return self.emit("reshape", (x,), shape, x.batched)

    def _args(self, x: Symbol) -> list[Operand]:
        return [self.symbol(a) if type(a) is int else a for a in x.operation.args]

    def _is_number(self, x: Operand) -> bool:
        """Return whether *x* is computed from numbers and the count of examples alone.

        Such an operand fits any shape.
        """
        known, operations = self._numbers, self.program.operations
        for operation in operations[len(known) :]:  # each only once: chains of them may be long
            known.append(
                operation.kind == "count"
                or (
                    operation.kind == "apply"
                    and all(type(arg) is not int or known[arg] for arg in operation.args)
                )
            )
        return not isinstance(x, Symbol) or known[x.number]

    def _shaped(self, x: Symbol, shape: Shape) -> Symbol:
        """Return *x* in another *shape*, as a symbol even where a number would be enough."""
        reshaped = self.reshape(x, shape)
        return reshaped if isinstance(reshaped, Symbol) else self.broadcast(x, shape, x.batched)

    def view(self, x: Symbol, strides: Strides) -> Symbol:
        """Return the elements of *x* at an offset and strides."""
        offset, axes = strides
        shape = tuple(n for n, _ in axes)
        whole = all(a == b or a[0] == 1 for a, b in zip(axes, contiguous(shape), strict=True))
        if whole and not offset and math.prod(shape) == math.prod(x.shape):
            return self._shaped(x, shape)
        if self._is_number(x):
            return self._shaped(x, shape)
        while x.operation.kind == "reshape":
            x = self.symbol(int(x.operation.args[0]))
        return self.emit("view", (x,), shape, x.batched, strides)

    def at(self, x: Symbol, addresses: AnyArray) -> Operand:
        """Return the elements of *x* at *addresses*, in their shape, as a view if possible."""
        if x.operation.kind == "broadcast" and type(x.operation.args[0]) is float:
            return x.operation.args[0]
        strides = affine(addresses)
        if strides is not None:
            return self.view(x, strides)
        finer = factors(addresses.ravel())
        if finer is not None:
            return self.reshape(self.view(x, finer), addresses.shape)
        if self._is_number(x):
            return self.reshape(x, addresses.shape)
        while x.operation.kind == "reshape":
            x = self.symbol(int(x.operation.args[0]))
        return self.emit("take", (x,), addresses.shape, x.batched, self.array(addresses))

    def broadcast(self, x: Operand, shape: Shape, batched: bool) -> Symbol:
        """Return *x* copied along the axes where it has extent 1."""
        if isinstance(x, Symbol) and x.shape == shape and x.batched >= batched:
            return x
        return self.emit("broadcast", (x,), shape, batched)

    def array_of(self, x: Operand, shape: Shape, batched: bool) -> Symbol:
        """Return *x* copied to *shape*, as an array even if it is made of numbers alone."""
        found = self.broadcast(x, shape, batched)
        if found.operation.kind == "broadcast" or not self._is_number(found):
            return found
        return self.emit("broadcast", (found,), shape, batched)

    # --- adding up ---------------------------------------------------------------------------

    def total(self, x: Operand, axes: Sequence[int], shape: Shape) -> Operand:
        """Return the sum of *x*, broadcast to *shape*, over *axes* counted from the last.

        The summed axes stay, with extent 1.
        """
        axes = tuple(sorted(axes))
        if not axes:
            return x
        if not isinstance(x, Symbol):
            return x * math.prod(shape[a] for a in axes)
        scale, rest = unscaled(x)
        if scale != 1.0:
            return primitives.multiply(self.total(rest, axes, shape), scale)
        copies = math.prod(shape[a] for a in axes if x.shape[a] == 1)
        summed = tuple(a for a in axes if x.shape[a] != 1)
        if summed:
            kept = list(x.shape)
            for a in summed:
                kept[a] = 1
            x = self.emit("sum", (x,), tuple(kept), x.batched, summed)
        return x if copies == 1 else x * float(copies)

    def total_batch(self, x: Operand) -> Operand:
        """Return the sum of *x* over the examples."""
        if not isinstance(x, Symbol):
            return self.emit("count", (x,), (1,), False)
        if not x.batched:
            return primitives.multiply(x, self.emit("count", (1.0,), (1,) * len(x.shape), False))
        scale, rest = unscaled(x)
        if scale != 1.0:
            return primitives.multiply(self.total_batch(rest), scale)
        inner = x.operation
        if inner.kind == "sum" and math.prod(inner.shape) == 1:  # one sum over everything
            return self.emit("sum_batch", (self.symbol(int(inner.args[0])),), (1,), False)
        return self.emit("sum_batch", (x,), x.shape, False)

    def matmul(
        self, a: Symbol, b: Symbol, transposed: tuple[bool, bool], mask: Operand = 1.0
    ) -> Symbol:
        """Return the matrix product of *a* and *b*, where *b* is one matrix for all examples.

        Terms are left out where the *mask* of *a* is 0.
        """
        (ta, tb) = transposed
        if ta:  # rows against rows: (..., U) and (..., K) to (U, K)
            shape = (a.shape[-1], b.shape[-1])
            return self._product(a, b, mask, shape, False, (True, False, False))
        columns = b.shape[-2] if tb else b.shape[-1]
        return self._product(a, b, mask, (*a.shape[:-1], columns), a.batched, (False, tb, False))

    def stack(
        self, a: Symbol, b: Symbol, transposed: tuple[bool, bool], mask: Operand = 1.0
    ) -> Symbol:
        """Return the products of two stacks of matrices, for each example.

        Terms are left out where the *mask* of *a* is 0.
        """
        rows = a.shape[-1 if transposed[0] else -2]
        columns = b.shape[-2 if transposed[1] else -1]
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        shape = (*lead, rows, columns)
        return self._product(a, b, mask, shape, a.batched or b.batched, (*transposed, True))

    def _product(
        self,
        a: Symbol,
        b: Symbol,
        mask: Operand,
        shape: Shape,
        batched: bool,
        detail: tuple[bool, bool, bool],
    ) -> Symbol:
        if not isinstance(mask, Symbol):
            return self.emit("matmul", (a, b), shape, batched, detail)
        if mask.shape[:-1] != a.shape[:-1] or mask.batched != a.batched:
            mask = self.broadcast(mask, a.shape, a.batched)
        return self.emit("linked_matmul", (a, b, mask), shape, batched, detail)

    # --- changing ----------------------------------------------------------------------------

    def new(self, shape: Shape, batched: bool, fill: float | None) -> Symbol:
        """Return a new array, filled with a number or, if that is None, with nothing yet."""
        return self.emit("new", (), shape, batched, fill)

    def store(self, target: Symbol, addresses: AnyArray, value: Operand) -> None:
        """Write *value* at *addresses* of *target*."""
        self._write("store", target, addresses, value)

    def accumulate(self, target: Symbol, addresses: AnyArray, value: Operand) -> None:
        """Add *value* at *addresses* of *target*; no address may occur twice."""
        self._write("accumulate", target, addresses, value)

    def _write(self, kind: str, target: Symbol, addresses: AnyArray, value: Operand) -> None:
        shape = addresses.shape
        strides = affine(addresses) or factors(addresses.ravel())
        if strides is not None:
            detail: Any = ("view", strides)
            value = self.reshape(self._full(value, shape), tuple(n for n, _ in strides[1]))
        else:
            detail = ("take", self.array(addresses.ravel()))
            value = self.reshape(self._full(value, shape), (addresses.size,))
        self.emit(kind, (target, value), target.shape, target.batched, detail)

    def _full(self, value: Operand, shape: Shape) -> Operand:
        if not isinstance(value, Symbol) or value.shape == shape:
            return value
        if math.prod(value.shape) == math.prod(shape):
            return self.reshape(value, shape)
        return self.broadcast(value, shape, value.batched)


def _key(values: AnyArray) -> Any:
    """Return what two arrays have in common only if they are equal to the bit."""
    return values.dtype.kind, values.shape, values.tobytes()


def _told_apart(numbers: Sequence[int | float]) -> tuple[Any, ...]:
    """Return *numbers* so that 0.0, -0.0 and the operation 0 are three things."""
    return tuple([(x, math.copysign(1.0, x)) if type(x) is float else x for x in numbers])
