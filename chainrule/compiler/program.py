"""The array program: a list of array operations as plain data, and the builder that makes it.

An :class:`Operation` is one step on whole arrays.  The only NumPy objects in a program are its
constants, so it can be pickled, and printed for any array library.

Arrays have a *shape* for one example, of at least one axis, and may be *batched*: then an axis for
the examples comes before all others.  A view addresses the elements of an example as one flat row.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine import table as primitives
from ..engine.table import Primitive

Shape = tuple[int, ...]
AnyArray = np.ndarray[Any, Any]
Strides = tuple[int, tuple[tuple[int, int], ...]]
"""The offset of a view and, for each of its axes, extent and stride."""

KINDS = {
    "input": "the argument number *detail*",
    "parameter": "the parameters from *detail[0]* to *detail[1]*, in the shape of the operation",
    "constant": "the constant array number *detail*",
    "apply": "the primitive number *detail* of the rows, element by element, broadcasting",
    "view": "elements at offset and strides *detail*",
    "reshape": "the same elements in another shape",
    "take": "elements at the addresses in constant number *detail*",
    "pick": "rows of the second argument chosen by the first",
    "spread": "the transpose of pick: rows added up where the first argument says",
    "one_minus": "1 minus the first argument, the sigmoid of the second, to full relative accuracy",
    "one_minus_square": "1 minus the square of the first, the tanh of the second, likewise",
    "broadcast": "copies along axes of extent 1",
    "matmul": "matrix product, each argument's last two axes exchanged first if *detail* says so; "
    "all axes but the last are rows, unless *detail[2]* calls for a stack of products",
    "linked_matmul": "likewise, without the terms for which the third argument, the mask of the "
    "first, is 0: whatever the second is there, they count as 0",
    "sum": "sum over the axes *detail*, counted from the last, which keep extent 1",
    "sum_batch": "sum over the examples; over all else too if the result has fewer elements",
    "segment_sum": "sums of the stretches that start where constant number *detail* says",
    "maximum": "largest along the last axis, or of such stretches",
    "minimum": "smallest, likewise",
    "logsumexp": "log of the sum of exponentials along the last axis; or of stretches, *detail* "
    "being two constants: where they start, and which stretch an element is in",
    "softmax": "exponentials over their sum, likewise, in the shape of the argument",
    "logsumexp_slopes": "the softmax, but 0 where the logsumexp is -inf",
    "softmax_pullback": "the adjoint of the logits, from the softmax and its adjoint",
    "one_hot": "1 at the place that the argument says, 0 at the others, along the last axis",
    "softmax_rest": "1 minus the entry of the softmax in the first argument where the second has a "
    "1, as the sum of the others",
    "surprisals": "minus the logarithms of the softmax along the last axis",
    "cross_entropy": "of the logits in the first argument, along the last axis, with the shares "
    "in the second",
    "softmax_minus": "the softmax of the first argument minus the second, to full relative "
    "accuracy: the adjoint of the logits above",
    "count": "the number of examples, times the argument",
    "new": "an array filled with the number *detail*, or with nothing yet",
    "store": "write the second argument into the view *detail* of the first",
    "accumulate": "add the second argument to the view *detail* of the first",
}
"""The kinds of operation; ``store`` and ``accumulate`` change an array made by ``new``."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of an array program; *args* are numbers of earlier steps, or floats."""

    kind: str
    args: tuple[int | float, ...]
    shape: Shape
    batched: bool
    detail: Any = None


@dataclass
class Program:
    """A list of operations, the data they refer to, and the operations that are its results."""

    operations: list[Operation] = field(default_factory=list)
    constants: list[AnyArray] = field(default_factory=list)
    rows: list[Primitive] = field(default_factory=list)
    """The primitives that are applied: a name may be that of several."""
    names: dict[int, str] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[int | float] = field(default_factory=list)
    cost: int | float | None = None
    """The mean of the only output over the examples, if the program has a derivative."""
    gradients: list[tuple[int, int | float]] = field(default_factory=list)
    """The parameter operations and their derivatives."""
    pools: set[int] = field(default_factory=set)
    """The arrays made by ``new`` that are read before the last write to them."""
    arguments: dict[str, list[int]] = field(default_factory=dict)
    """The parameter operations that each function of the source takes."""

    def row(self, operation: Operation) -> Primitive | None:
        """Return the primitive that *operation* applies, or None if it is of another kind."""
        return self.rows[operation.detail] if operation.kind == "apply" else None

    def row_names(self) -> list[str]:
        """Return the names by which the source calls the rows: their own, if those are free."""
        return distinct_names(row.name for row in self.rows)

    def needed(self, results: Sequence[int | float]) -> set[int]:
        """Return the operations that *results* need, including writes into their arrays."""
        wanted = {x for x in results if type(x) is int}
        for n in range(len(self.operations) - 1, -1, -1):
            operation = self.operations[n]
            if operation.kind in ("store", "accumulate") and operation.args[0] in wanted:
                wanted.add(n)
            if n in wanted:
                wanted.update(x for x in operation.args if type(x) is int)
        return wanted

    def parameters(self, function: str) -> list[Operation]:
        """Return the parameter operations in the order in which *function* takes them."""
        return [self.operations[n] for n in self.arguments[function]]


def distinct_names(names: Iterable[str]) -> list[str]:
    """Return *names*, with a number behind each that occurred before."""
    found: list[str] = []
    for name in names:
        candidates = (name if i == 1 else f"{name} ({i})" for i in itertools.count(1))
        found.append(next(x for x in candidates if x not in found))
    return found


class Symbol:
    """The result of an operation in a program under construction.

    The partials in the table compute with symbols as they do with numbers.
    """

    __slots__ = ("builder", "number", "operation")

    def __init__(self, builder: Builder, number: int):
        self.builder = builder
        self.number = number
        self.operation = builder.program.operations[number]

    @property
    def shape(self) -> Shape:
        return self.operation.shape

    @property
    def batched(self) -> bool:
        return self.operation.batched

    @property
    def row(self) -> Primitive | None:
        return self.builder.program.row(self.operation)

    @staticmethod
    def __chainrule__(row: Primitive, args: tuple[Any, ...]) -> Any:
        builder = next(arg.builder for arg in args if isinstance(arg, Symbol))
        # An int among the operands of an operation is the number of another operation.
        return builder.apply(
            row,
            *(x if isinstance(x, Symbol) else primitives.as_float(x, row.name) for x in args),
        )

    def __add__(self, other: Any) -> Any:
        return primitives.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return primitives.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return primitives.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return primitives.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return primitives.multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return primitives.multiply(other, self)

    def __neg__(self) -> Any:
        return primitives.negative(self)

    def __pos__(self) -> Any:
        return self

    def __truediv__(self, other: Any) -> Any:
        return primitives.divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return primitives.divide(other, self)

    def __pow__(self, other: Any) -> Any:
        return primitives.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return primitives.power(other, self)

    def __abs__(self) -> Any:
        return primitives.absolute(self)

    # A comparison is 1 or 0 for every element, so that a partial may multiply by it.

    def __lt__(self, other: Any) -> Any:
        return primitives.less(self, other)

    def __gt__(self, other: Any) -> Any:
        return primitives.less(other, self)

    def __le__(self, other: Any) -> Any:
        return primitives.less_equal(self, other)

    def __ge__(self, other: Any) -> Any:
        return primitives.less_equal(other, self)

    def __eq__(self, other: Any) -> Any:
        return primitives.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        return 1.0 - primitives.equal(self, other)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("a Symbol stands for many numbers, so it is neither true nor false")

    def __float__(self) -> float:
        raise TypeError("a Symbol stands for many numbers, so it is not one")


Operand = Symbol | float
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
        simpler = _simpler(row, args)
        if simpler is not None:
            return simpler  # type: ignore[no-any-return]
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
        scale, unscaled = _unscaled(x)
        if scale != 1.0:
            return primitives.multiply(self.total(unscaled, axes, shape), scale)
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
        scale, unscaled = _unscaled(x)
        if scale != 1.0:
            return primitives.multiply(self.total_batch(unscaled), scale)
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


def _simpler(row: Primitive, args: Sequence[Any]) -> Any:
    """Return *row* of *args* without an operation, or by a cheaper one; None if there is no way.

    It applies only what gives the same number for every argument, including nan and infinity.
    """
    if row is primitives.multiply:
        for x, other in (args, args[::-1]):
            if isinstance(x, float) and x in (1.0, -1.0):
                return other if x == 1.0 else -other
        if _same(*args):
            return primitives.square(args[0])
    elif row is primitives.divide:
        if isinstance(args[1], float) and args[1] in (1.0, -1.0):
            return args[0] if args[1] == 1.0 else -args[0]
    elif row is primitives.power:
        if isinstance(args[1], float):
            x, p = args
            if p == 1.0:
                return x
            if p == 2.0:
                return primitives.square(x)
            if p == -1.0:
                return primitives.divide(1.0, x)
    elif row is primitives.identity:
        return args[0]
    elif row is primitives.negative:
        return _negated(args[0])
    elif row is primitives.add:
        a, b = args
        if (x := _negated(b)) is not None:
            return primitives.subtract(a, x)
        if (x := _negated(a)) is not None:
            return primitives.subtract(b, x)
    elif row is primitives.subtract and (x := _negated(args[1])) is not None:
        return primitives.add(args[0], x)
    elif row is primitives.sigmoid and (x := _negated(args[0])) is not None:
        builder = args[0].builder
        known = builder.known(primitives.sigmoid, x)
        if known is not None:
            return builder.emit("one_minus", (known, x), x.shape, x.batched)
    elif row is primitives.add_up:
        return functools.reduce(primitives.add, args)
    elif row is primitives.squared_error:  # in steps, so that the difference is taken once
        return primitives.square(primitives.subtract(*args))
    return None


def _same(a: Any, b: Any) -> bool:
    return isinstance(a, Symbol) and isinstance(b, Symbol) and a.number == b.number


def _negated(x: Any) -> Any:
    """Return the operand of which *x* is the negative, or None if *x* is not a negative."""
    if isinstance(x, Symbol) and x.row is primitives.negative:
        return x.builder.symbol(int(x.operation.args[0]))
    return None


def _unscaled(x: Symbol) -> tuple[float, Symbol]:
    """Return a sign or power of two by which all of *x* is multiplied, and *x* without it.

    A sum may have it as its own factor: to multiply by it rounds nothing.
    """
    scale, x = _scale(x)
    if x.row is not primitives.multiply:
        return scale, x
    args = [x.builder.symbol(i) if type(i) is int else i for i in x.operation.args]
    found = [_scale(a) if isinstance(a, Symbol) else (1.0, a) for a in args]
    inner = math.prod(factor for factor, _ in found)
    if inner == 1.0:
        return scale, x
    product: Any = primitives.multiply(*(a for _, a in found))
    return scale * inner, product


def _scale(x: Symbol) -> tuple[float, Symbol]:
    """Return the sign and the powers of two by which *x* is multiplied last, and the rest."""
    scale = 1.0
    while True:
        if (negated := _negated(x)) is not None:
            scale, x = -scale, negated
            continue
        if x.row is not primitives.multiply:
            return scale, x
        a, b = x.operation.args
        factor, other = (a, b) if type(a) is float else (b, a)
        if type(factor) is not float or abs(math.frexp(factor)[0]) != 0.5:
            return scale, x
        assert type(other) is int
        scale, x = scale * factor, x.builder.symbol(other)


# --- addresses -----------------------------------------------------------------------------------


def contiguous(shape: Shape) -> tuple[tuple[int, int], ...]:
    """Return the extent and stride of every axis of an array whose elements are contiguous.

    >>> contiguous((2, 3))
    ((2, 3), (3, 1))
    """
    axes: list[tuple[int, int]] = []
    stride = 1
    for extent in reversed(shape):
        axes.append((extent, stride))
        stride *= extent
    return tuple(reversed(axes))


def affine(addresses: AnyArray) -> Strides | None:
    """Return the offset and strides if *addresses* change evenly along every axis, else None.

    >>> affine(np.array([[3, 4, 5], [13, 14, 15]]))
    (3, ((2, 10), (3, 1)))
    """
    offset = int(addresses.flat[0])
    if addresses.size == 1:
        return offset, ((1, 0),) * addresses.ndim
    axes = []
    expected: Any = offset
    for axis, extent in enumerate(addresses.shape):
        corner: list[Any] = [0] * addresses.ndim
        corner[axis] = min(1, extent - 1)
        stride = int(addresses[tuple(corner)]) - offset
        axes.append((extent, stride))
        shape = [1] * addresses.ndim
        shape[axis] = extent
        expected = expected + (np.arange(extent) * stride).reshape(shape)
    if min(stride for _, stride in axes) < 0 or not np.array_equal(expected, addresses):
        return None
    return offset, tuple(axes)


def factors(addresses: AnyArray) -> Strides | None:
    """Return the axes that make a row of *addresses* affine, or None if it takes too many.

    >>> factors(np.array([0, 0, 1, 1, 2, 2]))
    (0, ((3, 1), (2, 0)))
    """
    axes: list[tuple[int, int]] = []
    row = addresses
    while len(row) > 1:
        steps = np.diff(row)
        stride = int(steps[0])
        breaks = np.flatnonzero(steps != stride)
        extent = int(breaks[0]) + 1 if len(breaks) else len(row)
        if stride < 0 or len(row) % extent or len(axes) == 5:
            return None
        table = row.reshape(-1, extent)
        if not (table - table[:, :1] == np.arange(extent) * stride).all():
            return None
        axes.append((extent, stride))
        row = table[:, 0]
    return int(row[0]), tuple(reversed(axes or [(1, 1)]))


def addresses_of(strides: Strides) -> AnyArray:
    """Return the addresses that a view shows."""
    offset, axes = strides
    found: Any = np.full((1,) * len(axes), offset, dtype=np.int64)
    for axis, (extent, stride) in enumerate(axes):
        shape = [1] * len(axes)
        shape[axis] = extent
        found = found + (np.arange(extent, dtype=np.int64) * stride).reshape(shape)
    return found  # type: ignore[no-any-return]
