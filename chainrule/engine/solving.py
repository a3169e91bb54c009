"""Solving on numbers: linear equations, Newton's method, and repetition until nothing changes.

A function maps a list of floats or Values to as many.  Derivatives come from its graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .backend import Value
from .table import as_float, divide
from .transforms import vjp

Vector = list[Any]  # of floats, or of Values
Matrix = list[list[Any]]

_HALVINGS = 30  # of a step that makes the residual larger
_ELSEWHERE = "start elsewhere"


def solved(matrix: Matrix, right: Matrix) -> Matrix:
    """Return matrix^-1 right, by elimination with the largest pivots; of floats or Values.

    >>> solved([[0.0, 2.0], [1.0, 1.0]], [[4.0], [5.0]])
    [[3.0], [2.0]]

    If *matrix* is singular, there are infinities or nan in the result.
    """
    n = len(matrix)
    rows = [[*a, *b] for a, b in zip(matrix, right, strict=True)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(number(rows[k][i])))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(i + 1, n):
            if number(rows[k][i]) != 0.0:
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


def number(x: Any) -> float:
    """Return the data of a Value, and a number as it is."""
    return x.data if isinstance(x, Value) else x


def number_or_value(x: Any, what: str) -> Any:
    """Return *x* if it is a Value, else as a float; the error says *what* it is."""
    return x if isinstance(x, Value) else as_float(x, what)


def newton(
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


def repeated(
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
    return [number(x) for x in values]


def _unit(n: int, i: int) -> list[float]:
    return [1.0 if j == i else 0.0 for j in range(n)]


def _size(numbers: Sequence[Any]) -> float:
    """Return the largest of the absolute values; nan if any is nan."""
    sizes = [abs(number(x)) for x in numbers]
    return math.nan if any(x != x for x in sizes) else max(sizes)


def _written(numbers: Sequence[Any]) -> str:
    listed = [f"{number(x):.6g}" for x in numbers]
    return (
        listed[0] if len(listed) == 1 else f"[{', '.join(listed[:6])}{', ...' * (len(listed) > 6)}]"
    )
