"""What need not be computed, or can be at a lower cost: rules that change no number.

They are asked before an operation is appended to a program, and see one operation and its operands.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from ..engine import table as primitives
from ..engine.table import Primitive
from .symbolic import Symbol


def simpler(row: Primitive, args: Sequence[Any]) -> Any:
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


def unscaled(x: Symbol) -> tuple[float, Symbol]:
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
