# Of plain numbers they give numbers, and of anything wider more: the signatures overlap.
# mypy: disable-error-code="overload-overlap"
"""Numbers that an equation defines: ``root`` and ``fixed_point``.

How such a number was found has no part in its derivative.  So the iteration runs on plain numbers,
and its result is one node (one for each unknown), whose parents are the Values p that the function
captured.  :mod:`.solving` finds the number, :mod:`.equations` makes the node, and in a compiled
function the search itself is a node: :mod:`.searches`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from . import modes
from .arguments import count, real
from .backend import Value
from .equations import recorded, unknown
from .searches import Search, sought
from .solving import Vector, newton, number, number_or_value, repeated
from .structures import described, difference, leaves, like


@overload
def root(
    f: Callable[[float], float], start: float, *, tolerance: float = ..., limit: int = ...
) -> float: ...
@overload
def root(
    f: Callable[[Any], Any], start: Any, *, tolerance: float = ..., limit: int = ...
) -> Any: ...
def root(f: Callable[[Any], Any], start: Any, *, tolerance: float = 1e-12, limit: int = 100) -> Any:
    """Return the x near *start* at which *f(x)* is 0, with its derivative by everything in *f*.

    x may be a number, or several in a list, tuple, dict or array, and *f* returns as many; there
    should be few, for the work grows as their cube.

    >>> import chainrule as cr
    >>> root_of = lambda a: cr.root(lambda x: x * x - a, 1.0)
    >>> x, slope = cr.value_and_grad(root_of)(4.0)
    >>> round(x, 12), round(slope, 12), round(cr.grad(cr.grad(root_of))(4.0), 12)
    (2.0, 0.25, -0.03125)

    If *f* computes with Values other than x, the result is a Value (or holds some) that depends on
    them: where g(x, p) = 0, the implicit function theorem gives dx/dp = -(dg/dx)^-1 dg/dp, in
    reverse and forward mode and at every order.  Otherwise it is a plain number.

    Newton's method finds x, with derivatives by the graph of *f*; a step that makes *f* larger is
    halved.  It ends when a step is smaller than *tolerance* times the largest of the numbers it has
    seen.  RuntimeError if that takes more than *limit* steps, if *f* is nan or infinite, or if its
    derivative is 0, with the place where it happened.  A compiled function searches for each
    example.
    """
    point = _checked("root", f, start, tolerance, limit)

    def values(*x: Any) -> Vector:
        found = leaves(f(like(start, iter(x))))
        if len(found) != len(x):
            raise ValueError(
                f"root: f gives {len(found)} numbers; expected {len(x)}, one for each unknown"
            )
        return [number_or_value(y, "root: f(x)") for y in found]

    if modes.current().tracing:
        return sought(Search("root", tolerance, limit), values, start)
    with modes.no_grad():
        solution = newton(values, point, tolerance, limit, "root")
    return _linked("root", values, start, solution)


@overload
def fixed_point(
    f: Callable[[float], float], start: float, *, tolerance: float = ..., limit: int = ...
) -> float: ...
@overload
def fixed_point(
    f: Callable[[Any], Any], start: Any, *, tolerance: float = ..., limit: int = ...
) -> Any: ...
def fixed_point(
    f: Callable[[Any], Any], start: Any, *, tolerance: float = 1e-14, limit: int = 10_000
) -> Any:
    """Return the x with *f(x)* = x to which *f* leads from *start*, with its derivative.

    >>> import chainrule as cr
    >>> balance = lambda a: cr.fixed_point(lambda x: a * cr.cos(x), 0.5)
    >>> x, slope = cr.value_and_grad(balance)(1.0)
    >>> round(x, 9), round(slope, 9)
    (0.739085133, 0.441610792)

    *f* is applied until x changes by less than *tolerance* times the largest of its numbers, so the
    iteration must contract: after a last change of d at a rate q, x is off by about d q / (1 - q).
    The derivative is not that of the iteration but that of the equation, as for :func:`root`, so
    neither memory nor its digits depend on the number of steps.

    RuntimeError after *limit* steps, or when x is nan or infinite.
    """
    point = _checked("fixed_point", f, start, tolerance, limit)

    def image(*x: Any) -> Vector:
        found = f(like(start, iter(x)))
        if (words := difference(found, start, "f(x)")) is not None:
            raise ValueError(f"fixed_point: {words} as x")
        return [number_or_value(y, "fixed_point: f(x)") for y in leaves(found)]

    def change(*x: Any) -> Vector:
        return [a - b for a, b in zip(image(*x), x, strict=True)]

    if modes.current().tracing:
        return sought(Search("fixed_point", tolerance, limit), change, start)
    with modes.no_grad():
        solution = repeated(image, point, tolerance, limit)
        if not any(isinstance(y, Value) for y in image(*solution)):
            return like(start, iter(solution))  # f computes with plain numbers alone

    return _linked("fixed_point", change, start, solution)


def _checked(name: str, f: Any, start: Any, tolerance: float, limit: int) -> list[float]:
    """Return the numbers in *start*."""
    if not callable(f):
        raise TypeError(f"{name}: f must be a function, not {described(f)}")
    count(f"{name}: limit", limit)
    real(f"{name}: tolerance", tolerance)
    point = [number(number_or_value(x, f"{name}: start")) for x in leaves(start)]
    if not point:
        raise ValueError(f"{name}: start holds no number, but {described(start)}")
    return point


def _linked(
    name: str, residual: Callable[..., Vector], start: Any, solution: Sequence[float]
) -> Any:
    """Return the *solution*, shaped as *start*, linked to what *residual* depends on."""
    with modes.recording():
        equation, parameters = recorded(name, residual, solution)
    if not parameters:
        return like(start, iter(solution))
    return like(start, (unknown(equation, i)(*parameters) for i in range(len(solution))))
