# Of plain numbers they give numbers, and of anything wider more: the signatures overlap.
# mypy: disable-error-code="overload-overlap"
"""Numbers that an equation defines: ``root`` and ``fixed_point``.

How such a number was found has no part in its derivative.  Where x(p) solves g(x, p) = 0, the
implicit function theorem gives dx/dp = -(dg/dx)^-1 dg/dp.  So the iteration runs on plain numbers,
and its result is one node (one for each unknown), whose parents are the Values p that the function
captured.  To be differentiated again, a node must know its partials as a rule and not as numbers:
g is recorded once, at the solution, as a list of operations without a reference to any node, and
the rule runs that list on whatever it is given.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple, overload

from . import modes
from .arguments import count, real
from .backend import Value
from .structures import described, difference, leaves, like
from .sweeps import paths
from .table import Primitive, as_float, divide, named, unlisted
from .transforms import jvp, vjp

Vector = list[Any]  # of floats, or of Values
Matrix = list[list[Any]]

_HALVINGS = 30  # of a step that makes the residual larger


# --- an equation -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Equation:
    """g(x, p) = 0 for n unknowns x, as a list of operations, with its solution at one p."""

    name: str
    steps: tuple[tuple[Primitive, tuple[int | float, ...]], ...]
    """Each an operation and its operands: an int is the number of an earlier result, where the
    first are x and then p; a float is itself."""
    residuals: tuple[int | float, ...]
    parameters: tuple[float, ...]
    solution: tuple[float, ...]
    unknowns: int = 0
    """How many there are, if there is no solution yet."""
    starts: int = 0
    """At how many numbers the search for them starts."""
    slopes: list[Matrix] = field(default_factory=list, compare=False, repr=False)

    def g(self, *x_and_p: Any) -> Vector:
        """Return the residuals at *x_and_p*, floats or Values."""
        found = list(x_and_p)
        for row, operands in self.steps:
            found.append(row(*(found[x] if type(x) is int else x for x in operands)))
        return [found[x] if type(x) is int else x for x in self.residuals]

    def derivative(self, x: Sequence[Any], p: Sequence[Any]) -> Matrix:
        """Return dx/dp, a row for each unknown: -(dg/dx)^-1 dg/dp."""
        n = len(x)
        pull = vjp(self.g, *x, *p)[1]
        rows = [pull([1.0 if j == i else 0.0 for j in range(n)]) for i in range(n)]
        by_x = [list(row[:n]) for row in rows]
        by_p = [list(row[n:]) for row in rows]
        return [[-entry for entry in row] for row in solved(by_x, by_p)]

    def numbers(self) -> Matrix:
        """Return dx/dp as plain numbers."""
        if not self.slopes:
            with modes.suspended():
                self.slopes.append(self.derivative(self.solution, self.parameters))
        return self.slopes[0]

    def solved_at(self, parameters: Sequence[float]) -> Sequence[float]:
        """Return the solution at other *parameters*, the one next to this one."""
        if all(a == b for a, b in zip(parameters, self.parameters, strict=True)):
            return self.solution
        return _newton(lambda *x: self.g(*x, *parameters), self.solution, 1e-12, 100, self.name)


class _Unknown(Primitive):
    """Unknown number *which* of an equation, as an operation on the equation's parameters."""

    __slots__ = ("equation", "which")

    equation: _Equation
    which: int

    def __reduce__(self) -> tuple[Any, ...]:
        return _unknown, (self.equation, self.which)


def _unknown(equation: _Equation, which: int) -> _Unknown:
    def value(*parameters: float) -> float:
        return equation.solved_at(parameters)[which]

    def partials(args: Sequence[Any], y: Any, linked: Sequence[int]) -> Sequence[Any]:
        if all(type(x) is float for x in args) and tuple(args) == equation.parameters:
            slopes = equation.numbers()[which]
        else:
            others = [_unknown(equation, i) for i in range(len(equation.solution))]
            x = [y if i == which else row(*args) for i, row in enumerate(others)]
            slopes = equation.derivative(x, args)[which]
        return [slopes[i] for i in linked]

    row = _Unknown()
    row.equation, row.which = equation, which
    return unlisted(row, equation.name, value, partials, named)


def _recorded(
    name: str, residual: Callable[..., Vector], solution: Sequence[float]
) -> tuple[_Equation, list[Value]]:
    """Return *residual* at its *solution* as an equation, and the Values that are its parameters.

    They are those with which the operations on the unknowns were done.  What *residual* made out of
    nothing, such as ``Value(2.0)``, is a constant.
    """
    unknowns = [Value(x) for x in solution]
    residuals = residual(*unknowns)
    computed = [
        node
        for node in paths(unknowns, [x for x in residuals if isinstance(x, Value)])
        if node.parents
    ]
    inner = {*unknowns, *computed}
    others = [parent for node in computed for parent in node.parents if parent not in inner]
    others += [x for x in residuals if isinstance(x, Value) and x not in inner]
    parameters = _captured(dict.fromkeys(others), unknowns[0].serial)
    numbers = {node: i for i, node in enumerate([*unknowns, *parameters, *computed])}

    def operand(x: Any, node: Value | None = None) -> int | float:
        if not isinstance(x, Value):
            return as_float(x, name)
        # What has no part in the result, such as the branch not chosen, is a plain number.
        linked = x in inner or node is None or x in node.parents
        return numbers[x] if linked and x in numbers else x.data

    steps = [(node.primitive, tuple(operand(x, node) for x in node.operands)) for node in computed]
    equation = _Equation(
        name,
        tuple(steps),
        tuple(map(operand, residuals)),
        tuple([parameter.data for parameter in parameters]),
        tuple(solution),
    )
    return equation, parameters


def _captured(nodes: Iterable[Value], since: int) -> list[Value]:
    """Return those of *nodes* that are older than *since*, or depend on one that is."""
    younger = {node for node in nodes if node.serial >= since}
    waiting = list(younger)
    while waiting:
        for parent in waiting.pop().parents:
            if parent.serial >= since and parent not in younger:
                younger.add(parent)
                waiting.append(parent)
    constant: set[Value] = set()
    for node in sorted(younger, key=attrgetter("serial")):
        if constant.issuperset(node.parents):
            constant.add(node)
    return [node for node in nodes if node not in constant]


# --- an equation that is solved for other data too -----------------------------------------------


class _Search(NamedTuple):
    """How the solution is found."""

    name: str
    tolerance: float
    limit: int

    def __call__(self, equation: _Equation, start: Sequence[float], p: Sequence[float]) -> Any:
        """Return the solution to which *start* leads, at the parameters *p*."""
        if self.name == "root":
            g = lambda *x: equation.g(*x, *p)  # noqa: E731
            return _newton(g, start, self.tolerance, self.limit, "root")

        def image(*x: Any) -> Vector:
            return [a + b for a, b in zip(equation.g(*x, *p), x, strict=True)]

        return _repeated(image, start, self.tolerance, self.limit)


class _SlopeSearch(NamedTuple):
    """How a solution is found together with its derivative by one of the parameters."""

    search: _Search | _SlopeSearch
    equation: _Equation
    which: int

    @property
    def name(self) -> str:
        return self.search.name

    def __call__(self, equation: _Equation, start: Sequence[float], p: Sequence[float]) -> Any:
        """Return the solution, and its derivatives by the parameter."""
        x = self.search(self.equation, start, p)
        return [*x, *(row[self.which] for row in self.equation.derivative(x, p))]


class _Sought(Primitive):
    """Unknown number *which*, as an operation on the start of the search and the parameters."""

    __slots__ = ("equation", "search", "which")

    equation: _Equation
    search: _Search | _SlopeSearch
    which: int

    def __reduce__(self) -> tuple[Any, ...]:
        return _sought_row, (self.search, self.equation, self.which)


def _sought_row(search: _Search | _SlopeSearch, equation: _Equation, which: int) -> _Sought:
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
    search: _Search | _SlopeSearch,
    equation: _Equation,
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
    return _sought_row(_SlopeSearch(search, equation, parameter), both, n + which)


def _listed(
    name: str,
    unknowns: Sequence[Value],
    residuals: Sequence[Any],
    starts: int,
    parameters: Sequence[Value] | None = None,
) -> tuple[_Equation, Sequence[Value]]:
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
    return _Equation(name, steps, zeros, (), (), len(unknowns), starts), parameters


def _sought(search: _Search, residual: Callable[..., Vector], start: Any) -> Any:
    """Return the solution, shaped as *start*, as nodes that search for it whatever the data are."""
    given = [_number_or_value(x, f"{search.name}: start") for x in leaves(start)]
    unknowns = [Value(_number(x)) for x in given]
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


# --- solving ---------------------------------------------------------------------------------


def solved(matrix: Matrix, right: Matrix) -> Matrix:
    """Return matrix^-1 right, by elimination with the largest pivots; of floats or Values.

    >>> solved([[0.0, 2.0], [1.0, 1.0]], [[4.0], [5.0]])
    [[3.0], [2.0]]

    If *matrix* is singular, there are infinities or nan in the result.
    """
    n = len(matrix)
    rows = [[*a, *b] for a, b in zip(matrix, right, strict=True)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(_number(rows[k][i])))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(i + 1, n):
            if _number(rows[k][i]) != 0.0:
                factor = divide(rows[k][i], rows[i][i])
                rows[k][i + 1 :] = [
                    x - factor * y for x, y in zip(rows[k][i + 1 :], rows[i][i + 1 :], strict=True)
                ]
    found: Matrix = []
    for i in reversed(range(n)):
        known = rows[i][i + 1 : n]
        line: Vector = []
        for x in rows[i][n:]:
            for factor, below in zip(known, reversed(found), strict=True):
                x = x - factor * below[len(line)]
            line.append(divide(x, rows[i][i]))
        found.append(line)
    return found[::-1]


def _number(x: Any) -> float:
    return x.data if isinstance(x, Value) else x


def _newton(
    g: Callable[..., Vector], start: Sequence[float], tolerance: float, limit: int, name: str
) -> list[float]:
    """Return where *g* is 0, by Newton's method; a step that makes g larger is halved."""
    x = list(start)
    scale = _size(x)
    values, pull = vjp(g, *x)
    for k in range(limit):
        size = _size(values)
        if not math.isfinite(size):
            raise _failed(
                f"{name}: f is {_written(values)} at {_written(x)}, after {k} steps", _ELSEWHERE
            )
        if size == 0.0:
            return x
        slopes = [_numbers(pull(_unit(len(x), i))) for i in range(len(x))]
        step = [-line[0] for line in solved(slopes, [[value] for value in _numbers(values)])]
        length = _size(step)
        if not math.isfinite(length):
            raise _failed(
                f"{name}: the derivative of f cannot be divided by at {_written(x)}, after {k} "
                f"steps: it is {_written([entry for row in slopes for entry in row])}",
                _ELSEWHERE,
            )
        scale = max(scale, _size(x))
        if length <= tolerance * scale:
            return [a + b for a, b in zip(x, step, strict=True)]
        for _ in range(_HALVINGS):
            further = [a + b for a, b in zip(x, step, strict=True)]
            values, pull = vjp(g, *further)
            if _size(values) < size:
                break
            step = [0.5 * b for b in step]
        else:
            if length <= math.sqrt(tolerance) * scale:  # as exact as rounding lets it be
                return x
            raise _failed(
                f"{name}: after {k} steps f is {_written(g(*x))} at {_written(x)}, and no step in "
                "Newton's direction makes it smaller: there may be no root near",
                _ELSEWHERE,
            )
        x = further
    raise _failed(
        f"{name}: not found in {limit} steps; the last was {length:.3g} long and led to "
        f"{_written(x)}, where f is {_written(values)}",
        "start nearer to it, or give a higher limit=",
    )


_ELSEWHERE = "start elsewhere"


def _repeated(
    f: Callable[..., Vector], start: Sequence[float], tolerance: float, limit: int
) -> list[float]:
    """Return the number that *f* maps to itself, by applying *f* until nothing changes."""
    x = list(start)
    scale = _size(x)
    for k in range(limit):
        after = _numbers(f(*x))
        change = _size([a - b for a, b in zip(after, x, strict=True)])
        scale = max(scale, _size(after))
        if not math.isfinite(change):
            raise _failed(
                f"fixed_point: step {k} (counted from 0) led from {_written(x)} to "
                f"{_written(after)}",
                "start elsewhere, or make the step shorter: (x + f(x)) / 2",
            )
        x = after
        if change <= tolerance * scale:
            return x
    raise _failed(
        f"fixed_point: not found in {limit} steps; the last led to {_written(x)}, by {change:.3g}",
        "f must bring numbers nearer to each other; give a higher limit= if it does so slowly, or "
        "use cr.root(lambda x: f(x) - x, start)",
    )


def _failed(what: str, advice: str) -> RuntimeError:
    return RuntimeError(f"{what}; {advice}")


def _numbers(values: Sequence[Any]) -> list[float]:
    return [_number(x) for x in values]


def _unit(n: int, i: int) -> list[float]:
    return [1.0 if j == i else 0.0 for j in range(n)]


def _size(numbers: Sequence[Any]) -> float:
    """Return the largest of the absolute values; nan if any is nan."""
    sizes = [abs(_number(x)) for x in numbers]
    return math.nan if any(x != x for x in sizes) else max(sizes)


def _written(numbers: Sequence[Any]) -> str:
    listed = [f"{_number(x):.6g}" for x in numbers]
    return (
        listed[0] if len(listed) == 1 else f"[{', '.join(listed[:6])}{', ...' * (len(listed) > 6)}]"
    )


# --- the public functions --------------------------------------------------------------------


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
        return [_number_or_value(y, "root: f(x)") for y in found]

    if modes.current().tracing:
        return _sought(_Search("root", tolerance, limit), values, start)
    with modes.no_grad():
        solution = _newton(values, point, tolerance, limit, "root")
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
        return [_number_or_value(y, "fixed_point: f(x)") for y in leaves(found)]

    def change(*x: Any) -> Vector:
        return [a - b for a, b in zip(image(*x), x, strict=True)]

    if modes.current().tracing:
        return _sought(_Search("fixed_point", tolerance, limit), change, start)
    with modes.no_grad():
        solution = _repeated(image, point, tolerance, limit)
        if not any(isinstance(y, Value) for y in image(*solution)):
            return like(start, iter(solution))  # f computes with plain numbers alone

    return _linked("fixed_point", change, start, solution)


def _checked(name: str, f: Any, start: Any, tolerance: float, limit: int) -> list[float]:
    """Return the numbers in *start*."""
    if not callable(f):
        raise TypeError(f"{name}: f must be a function, not {described(f)}")
    count(f"{name}: limit", limit)
    real(f"{name}: tolerance", tolerance)
    point = [_number(_number_or_value(x, f"{name}: start")) for x in leaves(start)]
    if not point:
        raise ValueError(f"{name}: start holds no number, but {described(start)}")
    return point


def _number_or_value(x: Any, what: str) -> Any:
    return x if isinstance(x, Value) else as_float(x, what)


def _linked(
    name: str, residual: Callable[..., Vector], start: Any, solution: Sequence[float]
) -> Any:
    """Return the *solution*, shaped as *start*, linked to what *residual* depends on."""
    with modes.recording():
        equation, parameters = _recorded(name, residual, solution)
    if not parameters:
        return like(start, iter(solution))
    return like(start, (_unknown(equation, i)(*parameters) for i in range(len(solution))))
