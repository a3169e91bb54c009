"""Equations as operations: a solution is a node, and its derivative a rule, not numbers.

Where x(p) solves g(x, p) = 0, the implicit function theorem gives dx/dp = -(dg/dx)^-1 dg/dp.  g is
recorded once, at the solution, as a list of operations without a reference to any node, and the
rule runs that list on whatever it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from . import modes
from .backend import Value
from .solving import Matrix, Vector, newton, solved
from .sweeps import paths
from .table import Primitive, as_float, named, unlisted
from .transforms import vjp


@dataclass(frozen=True)
class Equation:
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
        return newton(lambda *x: self.g(*x, *parameters), self.solution, 1e-12, 100, self.name)


class Unknown(Primitive):
    """Unknown number *which* of an equation, as an operation on the equation's parameters."""

    __slots__ = ("equation", "which")

    equation: Equation
    which: int

    def __reduce__(self) -> tuple[Any, ...]:
        return unknown, (self.equation, self.which)


def unknown(equation: Equation, which: int) -> Unknown:
    """Return the row that gives unknown number *which* from the parameters."""

    def value(*parameters: float) -> float:
        return equation.solved_at(parameters)[which]

    def partials(args: Sequence[Any], y: Any, linked: Sequence[int]) -> Sequence[Any]:
        if all(type(x) is float for x in args) and tuple(args) == equation.parameters:
            slopes = equation.numbers()[which]
        else:
            others = [unknown(equation, i) for i in range(len(equation.solution))]
            x = [y if i == which else row(*args) for i, row in enumerate(others)]
            slopes = equation.derivative(x, args)[which]
        return [slopes[i] for i in linked]

    row = Unknown()
    row.equation, row.which = equation, which
    return unlisted(row, equation.name, value, partials, named)


def recorded(
    name: str, residual: Callable[..., Vector], solution: Sequence[float]
) -> tuple[Equation, list[Value]]:
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
    equation = Equation(
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
