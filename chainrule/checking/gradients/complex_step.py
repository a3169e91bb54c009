"""The recorded graph run again: on complex numbers, for its exact derivative, and for its rounding.

If every operation between x and the result is analytic, then Im y(x + ih) / h is dy/dx with nothing
subtracted and so nothing lost, however small h is (Squire and Trapp 1998).  The real parts are
those that were recorded, which keeps the two derivatives comparable to the last digits wherever
the function is ill-conditioned.

Beside it run the usual first-order bounds of rounding analysis, so that a checker knows what
difference is an error and what is arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...engine.backend import Value

_EPS = 2.0**-52
_UNDERFLOW = 2.0**-1060  # times a derivative, a step is lost among the subnormal numbers
_DRIFT = 2.0**-20  # how far the value itself may come out differently; its derivative is not better
_SLACK = 16.0  # roundings allowed for in one partial


def own_rounding(node: Value) -> float:
    """Return a bound on the rounding of the one operation that made *node*: eps (|y| + |p| |x|)."""
    if not node.parents:
        return 0.0
    terms = zip(node.parents, node.partials, strict=True)
    bound = _EPS * (abs(node.data) + sum(abs(partial * parent.data) for parent, partial in terms))
    return bound if math.isfinite(bound) else 0.0


def rounding_errors(nodes: Iterable[Value]) -> dict[Value, float]:
    """Return a bound on the rounding error in the data of each of *nodes*, oldest first.

    E(y) = sum_i |p_i| E(x_i) + its own, with p_i the partials; 0.0 where an infinite or undefined
    partial leaves no bound.
    """
    errors: dict[Value, float] = {}
    for node in nodes:
        terms = zip(node.parents, node.partials, strict=True)
        passed_on = sum(abs(partial) * errors[parent] for parent, partial in terms)
        errors[node] = own_rounding(node) + (passed_on if math.isfinite(passed_on) else 0.0)
    return errors


class ComplexStep:
    """The derivatives of *nodes* (oldest first) with respect to *variable*, by complex step."""

    def __init__(self, nodes: Sequence[Value], variable: Value) -> None:
        x = variable.data
        self.step = math.ldexp(1.0, max(math.frexp(x)[1] - 100, -1000))
        self._moved: dict[Value, complex | None] = {variable: complex(x, self.step)}
        self._bounds = {variable: (1.0, 0.0)}  # of the derivative, and of its rounding error
        for node in nodes:
            if node is not variable and any(parent in self._moved for parent in node.parents):
                moved, drift = _evaluated(node, self._moved), 0.0
                if moved is not None:
                    drift = abs(moved.real - node.data)
                    usable = drift <= _DRIFT * abs(node.data) and math.isfinite(moved.imag)
                    moved = complex(node.data, moved.imag) if usable else None
                    drift = drift / abs(node.data) if usable and drift else 0.0
                self._moved[node] = moved
                self._bounds[node] = _bounded(node, self._bounds, drift)

    def derivative(self, node: Any) -> float | None:
        """Return the derivative of *node*; None if an operation on the way is not analytic."""
        if node not in self._moved:
            return 0.0
        moved = self._moved[node]
        return None if moved is None else moved.imag / self.step

    def rounding(self, node: Any) -> float:
        """Return a bound on the rounding error in any derivative along the paths of the graph.

        Infinite or nan where an infinite partial leaves no bound.
        """
        return self._bounds[node][1] + _UNDERFLOW / self.step if node in self._bounds else 0.0

    def reaches(self, node: Any) -> bool:
        """Return whether *node* depends on the variable, as far as the graph knows."""
        return node in self._moved


def _evaluated(node: Value, moved: Mapping[Value, complex | None]) -> complex | None:
    row = node.primitive
    if row is None or row.analytic is None:
        return None
    args = []
    for x in node.operands:
        z = moved.get(x, complex(x.data)) if isinstance(x, Value) else complex(x)
        if z is None:
            return None
        args.append(z)
    try:
        return complex(row.analytic(*args))
    except (ArithmeticError, ValueError):
        return None


def _bounded(
    node: Value, bounds: Mapping[Value, tuple[float, float]], drift: float
) -> tuple[float, float]:
    size = error = 0.0
    for parent, partial in zip(node.parents, node.partials, strict=True):
        if parent in bounds:
            above, below = bounds[parent]
            size += abs(partial) * above
            # A partial that is written with y, as 1 - y**2 for tanh, is not better than y.
            y, x = abs(node.data), abs(parent.data)
            inexact = abs(partial) + y / max(1.0, min(x, y))
            error += abs(partial) * below + _SLACK * _EPS * inexact * above
    return size, error + 4.0 * drift * size
