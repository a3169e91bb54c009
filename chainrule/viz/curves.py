"""The curves of edges, as control points."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .geometry import Point

_TURN = 8.0  # the radius of corners


def line_to(path: list[Point], end: Point) -> None:
    """Go on in a straight line to *end*, unless the path ends there."""
    (x, y), (u, v) = path[-1], end
    if abs(x - u) > 0.01 or abs(y - v) > 0.01:
        path += [(x + (u - x) / 3, y + (v - y) / 3), (u - (u - x) / 3, v - (v - y) / 3), end]


def curve_to(path: list[Point], end: Point) -> None:
    """Go on to *end*, level at both ends."""
    (x, y), (u, v) = path[-1], end
    path += [((x + u) / 2, y), ((x + u) / 2, v), end]


def joined(path: Sequence[Point]) -> list[Point]:
    """Return *path* with what goes straight on, level, past one column after another, in one piece.

    A wire past a hundred columns would be three hundred points.

    >>> start = [(0.0, 5.0)]
    >>> line_to(start, (3.0, 5.0))
    >>> line_to(start, (9.0, 5.0))
    >>> joined(start)
    [(0.0, 5.0), (3.0, 5.0), (6.0, 5.0), (9.0, 5.0)]
    """
    whole = [path[0]]
    begun: Point | None = None  # where a level line began that may go on
    for a, b, c in zip(path[1::3], path[2::3], path[3::3], strict=True):
        here = whole[-1]
        level = all(abs(y - here[1]) <= 0.01 for _, y in (a, b, c)) and here[0] < c[0]
        if level and begun is not None:
            del whole[-3:]
        if level:
            begun = begun or here
            line_to(whole, c)
        else:
            begun = None
            whole += [a, b, c]
    return whole


def around(path: list[Point], end: Point, right: float, below: float, left: float) -> None:
    """Go on at *end*, which is in another row: to the right, down, back and down again."""
    start = path[-1]
    corners = [(right, start[1]), (right, below), (left, below), (left, end[1]), end]
    for corner, after in pairwise(corners):
        line_to(path, _towards(corner, start))
        start = _towards(corner, after)
        path += [corner, corner, start]
    line_to(path, end)


def _towards(corner: Point, target: Point) -> Point:
    (x, y), (u, v) = corner, target
    distance = abs(u - x) + abs(v - y)  # one of them is 0
    part = min(_TURN, distance / 2) / max(distance, 1e-9)
    return x + part * (u - x), y + part * (v - y)


_BASIS = [((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
          for t in (k / 14 for k in range(15))]  # fmt: skip


def _points(curve: Sequence[Point]) -> list[Point]:
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = curve
    return [
        (p * ax + q * bx + r * cx + s * dx, p * ay + q * by + r * cy + s * dy)
        for p, q, r, s in _BASIS
    ]


def last_piece(path: Sequence[Point]) -> list[Point]:
    """Return points on the last piece of an edge, through the last gap to its head."""
    starts = range(max(0, len(path) - 10), len(path) - 1, 3)
    pieces = [path[i : i + 4] for i in starts]
    forward = [piece for piece in pieces if piece[0][0] <= piece[-1][0]]
    return [point for piece in forward for point in _points(piece)]
