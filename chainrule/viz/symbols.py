"""Symbols: called with them, the partials of the table return formulas.

A ``Symbol`` is a name, or a primitive applied to symbols and numbers.  It has the same hook as a
``Value``, so the rules of the table work on it unchanged.  Results are tidied lightly, as one would
on paper: 0 and 1 vanish, fractions are gathered, equal factors become squares.  What a rule does
only at single points or outside the domain (``where`` with an equality or a nan) is left out: the
formula is the derivative where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..engine import table
from ..engine.table import Primitive, as_float

Expression = Any
"""A Symbol or a float."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name (then *row* is None), or *row* applied to *args*."""

    name: str = ""
    row: Primitive | None = None
    args: tuple[Expression, ...] = ()

    @staticmethod
    def __chainrule__(row: Primitive, args: tuple[Any, ...]) -> Expression:
        """Return *row* applied to *args*, tidied: primitives call this when they meet a symbol."""
        args = tuple(x if isinstance(x, Symbol) else as_float(x, row.name) for x in args)
        return _tidied(row, args)

    def __add__(self, other: Any) -> Expression:
        return table.add(self, other)

    def __radd__(self, other: Any) -> Expression:
        return table.add(other, self)

    def __sub__(self, other: Any) -> Expression:
        return table.subtract(self, other)

    def __rsub__(self, other: Any) -> Expression:
        return table.subtract(other, self)

    def __mul__(self, other: Any) -> Expression:
        return table.multiply(self, other)

    def __rmul__(self, other: Any) -> Expression:
        return table.multiply(other, self)

    def __truediv__(self, other: Any) -> Expression:
        return table.divide(self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return table.divide(other, self)

    def __pow__(self, other: Any) -> Expression:
        return table.power(self, other)

    def __rpow__(self, other: Any) -> Expression:
        return table.power(other, self)

    def __neg__(self) -> Expression:
        return table.negative(self)

    def __bool__(self) -> bool:
        raise TypeError("a symbol has no truth value: choose with chainrule.where")


def partials(row: Primitive, args: Sequence[Symbol]) -> list[Expression]:
    """Return the partial derivatives of *row* with respect to each of *args*, as formulas.

    >>> x = Symbol("x")
    >>> partials(table.exp, [x]) == [table.exp(x)]
    True
    """
    arguments: list[Expression] = list(args)
    if row in table.OF_A_CLASS:
        arguments.insert(0, 0.0)  # the index of the entry, which is not a variable
    linked = [i for i, x in enumerate(arguments) if isinstance(x, Symbol)]
    output = Symbol(row=row, args=tuple(arguments))
    if row.variadic is None:
        given = [i for i, partial in enumerate(row.partials) if partial is not None]
        found = dict(zip(given, row.partial_values(arguments, output, given), strict=True))
        return [found.get(i, 0.0) for i in linked]
    return list(row.partial_values(arguments, output, linked))


# --- tidying -----------------------------------------------------------------------------------


def _tidied(row: Primitive, args: tuple[Expression, ...]) -> Expression:
    if row in (table.multiply, table.damped, table.divide, table.negative):
        return _product(*_factors(Symbol(row=row, args=args)))
    if row is table.subtract and args[1] == 0.0:
        return args[0]
    if row is table.add and 0.0 in args:
        return args[1] if args[0] == 0.0 else args[0]
    if row in (table.add_up, table.identity) and len(args) == 1:
        return args[0]
    if row is table.where:
        condition, a, b = args
        if a != a:
            return b
        if b != b:
            return a
        if _holds_at_points(condition):
            return b
    return Symbol(row=row, args=args)


def _holds_at_points(condition: Expression) -> bool:
    """Return whether *condition* demands an equality, perhaps among other things."""
    if not isinstance(condition, Symbol):
        return False
    _, over, _ = _factors(condition)
    return any(factor.row is table.equal for factor in over)


Factors = tuple[float, list[Symbol], list[Symbol]]
"""A product: a number, the factors above the fraction bar, and the factors below it."""


def _factors(x: Expression) -> Factors:
    if not isinstance(x, Symbol):
        return x, [], []
    if x.row is table.negative:
        number, over, under = _factors(x.args[0])
        return -number, over, under
    if x.row in (table.multiply, table.damped):
        (p, over, under), (q, over2, under2) = map(_factors, x.args)
        return p * q, over + over2, under + under2
    if x.row is table.divide:
        (p, over, under), (q, under2, over2) = map(_factors, x.args)
        return table.divide(p, q), over + over2, under + under2
    return 1.0, [x], []


def _product(number: float, over: list[Symbol], under: list[Symbol]) -> Expression:
    if number == 0.0:
        return 0.0
    below = list(under)
    above = [factor for factor in over if not _removed(factor, below)]
    if not above and not below:
        return number
    size, inverse = abs(number), 1.0 / abs(number)
    if size < 1.0 and inverse == round(inverse) and inverse < 100.0:
        result = _fraction(_times(1.0, above), _times(inverse, below))
    else:
        result = _fraction(_times(size, above), _times(1.0, below))
    return Symbol(row=table.negative, args=(result,)) if number < 0.0 else result


def _removed(factor: Symbol, factors: list[Symbol]) -> bool:
    if factor in factors:
        factors.remove(factor)
        return True
    return False


def _times(number: float, factors: Sequence[Symbol]) -> Expression:
    product: Expression = number
    squared: list[Symbol] = []
    for factor in sorted(factors, key=_rank):
        if factor in squared:
            squared[squared.index(factor)] = _squared(factor)
        else:
            squared.append(factor)
    for factor in squared:
        product = factor if product == 1.0 else Symbol(row=table.multiply, args=(product, factor))
    return product


def _rank(factor: Symbol) -> int:
    """Return the rank of a factor in a product: names, then powers of names, then the rest."""
    if factor.row is None:
        return 0
    if factor.row in (table.power, table.square) and factor.args[0].row is None:
        return 1
    return 2


def _squared(x: Symbol) -> Symbol:
    if x.row is table.hypot:
        squares = tuple(Symbol(row=table.square, args=(side,)) for side in x.args)
        return Symbol(row=table.add, args=squares)
    return Symbol(row=table.square, args=(x,))


def _fraction(over: Expression, under: Expression) -> Expression:
    return over if under == 1.0 else Symbol(row=table.divide, args=(over, under))
