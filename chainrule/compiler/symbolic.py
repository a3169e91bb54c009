"""A symbol: the result of an operation, which computes as a number does.

What is computed with symbols is appended to the program that they belong to, so the rows of the
table write a program where they are called with symbols in place of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..engine import table as primitives
from ..engine.table import Primitive
from .addresses import Shape
from .program import Program


class Maker(Protocol):
    """What a symbol needs to know about the builder that made it."""

    program: Program

    def symbol(self, number: int) -> Symbol:
        """Return the result of operation *number*."""

    def known(self, row: Primitive, x: Symbol) -> Symbol | None:
        """Return *row* of *x* if the program already has it, else None."""

    def apply(self, row: Primitive, *args: Any) -> Operand:
        """Return *row* of the operands, element by element."""

    def emit(
        self, kind: str, args: Sequence[Operand], shape: Shape, batched: bool, detail: Any = None
    ) -> Symbol:
        """Return the result of a new operation, or of an equal one that already exists."""


class Symbol:
    """The result of an operation in a program under construction.

    The partials in the table compute with symbols as they do with numbers.
    """

    __slots__ = ("builder", "number", "operation")

    def __init__(self, builder: Maker, number: int):
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

    def __mod__(self, other: Any) -> Any:
        return primitives.remainder(self, other)

    def __rmod__(self, other: Any) -> Any:
        return primitives.remainder(other, self)

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
