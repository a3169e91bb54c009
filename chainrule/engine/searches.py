"""Equations that are solved for other data too, as in a compiled function: a search is a node.

Its operands are where the search starts and the parameters of the equation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from . import modes
from .backend import Value
from .equations import Equation
from .solving import Vector, newton, number, number_or_value, repeated
from .structures import leaves, like
from .table import Primitive, as_float, named, unlisted
from .transforms import jvp


class Search(NamedTuple):
    """How the solution is found."""

    name: str
    tolerance: float
    limit: int

    def __call__(self, equation: Equation, start: Sequence[float], p: Sequence[float]) -> Any:
        """Return the solution to which *start* leads, at the parameters *p*."""
        if self.name == "root":
            g = lambda *x: equation.g(*x, *p)  # noqa: E731
            return newton(g, start, self.tolerance, self.limit, "root")

        def image(*x: Any) -> Vector:
            return [a + b for a, b in zip(equation.g(*x, *p), x, strict=True)]

        return repeated(image, start, self.tolerance, self.limit)


class SlopeSearch(NamedTuple):
    """How a solution is found together with its derivative by one of the parameters."""

    search: Search | SlopeSearch
    equation: Equation
    which: int

    @property
    def name(self) -> str:
        return self.search.name

    def __call__(self, equation: Equation, start: Sequence[float], p: Sequence[float]) -> Any:
        """Return the solution, and its derivatives by the parameter."""
        x = self.search(self.equation, start, p)
        return [*x, *(row[self.which] for row in self.equation.derivative(x, p))]


class _Sought(Primitive):
    """Unknown number *which*, as an operation on the start of the search and the parameters."""

    __slots__ = ("equation", "search", "which")

    equation: Equation
    search: Search | SlopeSearch
    which: int

    def __reduce__(self) -> tuple[Any, ...]:
        return _sought_row, (self.search, self.equation, self.which)


def _sought_row(search: Search | SlopeSearch, equation: Equation, which: int) -> _Sought:
    n = equation.starts

    @functools.lru_cache(maxsize=1)  # the unknowns of one example are asked for one after another
    def solution(*args: float) -> tuple[float, ...]:
        with modes.apart():
            return tuple(search(equation, args[:n], args[n:]))

    def value(*args: float) -> float:
        return solution(*map(float, args))[which]

    def partials(args: Sequence[Any], y: Any, linked: Sequence[int]) -> Sequence[Any]:
        if not any(isinstance(x, Value) for x in args):
            with modes.apart():
                found = solution(*map(float, args))
                slopes = equation.derivative(found, args[n:])[which]
        elif equation.unknowns > 1 and modes.current().tracing:
            # Elimination chooses by the data: what it gives is an unknown, too, searched for anew.
            at = solution(*(x.data if isinstance(x, Value) else float(x) for x in args))
            return [
                0.0 if i < n else _slope_row(search, equation, which, i - n, at, args[n:])(*args)
                for i in linked
            ]
        else:
            others = [_sought_row(search, equation, i) for i in range(equation.unknowns)]
            x: Sequence[Any] = [y if i == which else row(*args) for i, row in enumerate(others)]
            slopes = equation.derivative(x, args[n:])[which]
        return [0.0 if i < n else slopes[i - n] for i in linked]

    row = _Sought()
    row.equation, row.search, row.which = equation, search, which
    return unlisted(row, search.name, value, partials, named)


def _slope_row(
    search: Search | SlopeSearch,
    equation: Equation,
    which: int,
    parameter: int,
    solution: Sequence[float],
    parameters: Sequence[Any],
) -> _Sought:
    """Return the derivative of unknown *which* by a parameter, as an operation like the unknown.

    The derivatives s of the unknowns x by a parameter p_j solve dg/dx s + dg/dp_j = 0, so x and s
    together are the unknowns of one equation more.  It is recorded at a *solution*.
    """
    given = [Value(x.data if isinstance(x, Value) else float(x)) for x in parameters]
    unknowns = [Value(x) for x in (*solution, *solution)]
    n = len(solution)
    along = [1.0 if i == parameter else 0.0 for i in range(len(given))]
    values, slopes = jvp(
        lambda *at: equation.g(*at), [*unknowns[:n], *given], [*unknowns[n:], *along]
    )
    both, _ = _listed(search.name, unknowns, [*values, *slopes], equation.starts, given)
    return _sought_row(SlopeSearch(search, equation, parameter), both, n + which)


def _listed(
    name: str,
    unknowns: Sequence[Value],
    residuals: Sequence[Any],
    starts: int,
    parameters: Sequence[Value] | None = None,
) -> tuple[Equation, Sequence[Value]]:
    """Return what was computed from *unknowns* as an equation for any data, and its parameters.

    These are the *parameters* given, or all that is older than the unknowns.
    """
    since, known = unknowns[0].serial, set(unknowns)
    nodes: set[Value] = {x for x in residuals if isinstance(x, Value)}
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        for x in node.operands if node.serial >= since else ():
            if isinstance(x, Value) and x not in nodes:
                nodes.add(x)
                waiting.append(x)
    ordered = sorted(nodes, key=attrgetter("serial"))
    if parameters is None:
        parameters = [x for x in ordered if x.serial < since]
    computed = [(x, x.primitive) for x in ordered if x.serial >= since and x.primitive is not None]
    place = {x: i for i, x in enumerate([*unknowns, *parameters, *(x for x, _ in computed)])}

    def operand(x: Any) -> int | float:
        if isinstance(x, Value):
            return place[x] if x in place or x in known else x.data  # a leaf that it made
        return as_float(x, name)

    steps = tuple([(row, tuple(map(operand, x.operands))) for x, row in computed])
    zeros = tuple(map(operand, residuals))
    return Equation(name, steps, zeros, (), (), len(unknowns), starts), parameters


def sought(search: Search, residual: Callable[..., Vector], start: Any) -> Any:
    """Return the solution, shaped as *start*, as nodes that search for it whatever the data are."""
    given = [number_or_value(x, f"{search.name}: start") for x in leaves(start)]
    unknowns = [Value(number(x)) for x in given]
    demands: modes.Demands = {}
    with modes.within(demands):
        residuals = residual(*unknowns)
    equation, parameters = _listed(search.name, unknowns, residuals, len(given))
    rows = [_sought_row(search, equation, i) for i in range(len(given))]
    solution = [row(*given, *parameters) for row in rows]
    if demands:  # of the unknowns, whose data are those of a start: they are made at the solution
        with modes.without_loops():
            residual(*solution)
    return like(start, iter(solution))
