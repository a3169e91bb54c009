"""Where labels stand on their edges: clear of each other, and of other edges."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from .geometry import Point

_CELL = 8.0  # of the grid in which labels look for edges below them


def label_places(
    lines: Sequence[Sequence[Point]], sizes: Sequence[Point], between: tuple[float, float]
) -> tuple[list[Point], bool]:
    """Return a place for the label of each edge, and whether no two of them overlap.

    Each place is one of the points of its edge's line. All edges end in one column; *between* is
    the gap before it. A label may stand beyond the gap, up to the last point of its line: there is
    room in front of a box that is narrower than its column.
    """
    passing = _Passing(lines)
    wanted = (between[0] + between[1]) / 2
    candidates = []
    for line, (length, _) in zip(lines, sizes, strict=True):
        low, high = between[0] + length / 2, max(between[1], line[-1][0]) - length / 2
        found = []
        for point in [p for p in line if low <= p[0] <= high] or [line[len(line) // 2]]:
            near = abs(point[0] - wanted) / 100.0
            others = passing.at(point).bit_count() - 1
            found.append((near + 2.0 * others, near, point))  # the cost is at least the first
        candidates.append(sorted(found))
    labels = _Placed(sizes)
    unders: dict[tuple[int, Point], float] = {}
    count = len(lines)
    costs = [0.0] * count
    for i in [*range(count), *range(count)]:  # once more, when all have a place
        labels.take(i)
        best = inf, candidates[i][0][2]
        for least, near, point in candidates[i]:
            if least > best[0]:
                break
            if near + unders.get((i, point), 0.0) > best[0]:
                continue
            cost = near + 100.0 * labels.met(i, point, (best[0] - near) / 100.0 + 1.0)
            if cost > best[0]:
                continue
            if (i, point) not in unders:
                under = passing.under(point, sizes[i]) & ~(1 << i)
                unders[i, point] = 2.0 * under.bit_count()
            best = min(best, (cost + unders[i, point], point))
        costs[i], point = best
        labels.put(i, point)
    free = all(cost < 100.0 for cost in costs)
    if not free:
        column = _Placed(sizes)  # in front of the arrowheads, like a column of numbers
        for i, found in enumerate(candidates):
            column.put(i, max(point for _, _, point in found))
        if not any(column.met(i, column.places[i], 1.0) > 1 for i in range(count)):
            labels, free = column, True
    return [labels.places[i] for i in range(count)], free


class _Placed:
    """Labels that have a place, found by it: sorted into strips across which none reaches far."""

    def __init__(self, sizes: Sequence[Point]) -> None:
        self.sizes = sizes
        self.places: dict[int, Point] = {}
        self.breadth = max((breadth for _, breadth in sizes), default=1.0)
        self.strips: dict[int, dict[int, tuple[float, float, float, float]]] = {}

    def put(self, label: int, point: Point) -> None:
        """Put the middle of *label* at *point*."""
        self.places[label] = point
        self.strips.setdefault(self._strip(point), {})[label] = *point, *self.sizes[label]

    def take(self, label: int) -> None:
        """Take *label* away, if it is there."""
        if (point := self.places.pop(label, None)) is not None:
            del self.strips[self._strip(point)][label]

    def met(self, label: int, point: Point, enough: float) -> int:
        """Return how many others *label* would overlap at *point*, or more than *enough*."""
        (x, y), (length, breadth), strip = point, self.sizes[label], self._strip(point)
        count = 0
        for near in (strip - 1, strip, strip + 1):
            for u, v, other_length, other_breadth in self.strips.get(near, {}).values():
                if (
                    2 * abs(x - u) < length + other_length
                    and 2 * abs(y - v) < breadth + other_breadth
                ):
                    count += 1
                    if count > enough:
                        return count
        return count

    def _strip(self, point: Point) -> int:
        return int(point[1] // self.breadth)


class _Passing:
    """Which of some lines pass the cells of a grid, as the bits of a number."""

    def __init__(self, lines: Sequence[Sequence[Point]]) -> None:
        self.cells: dict[tuple[int, int], int] = {}
        for i, line in enumerate(lines):
            for cell in {(int(x // _CELL), int(y // _CELL)) for x, y in line}:
                self.cells[cell] = self.cells.get(cell, 0) | 1 << i
        self.columns: dict[tuple[int, int, int], int] = {}
        """What is known of cells side by side: the first index of all, then from where to where."""

    def at(self, point: Point) -> int:
        """Return which lines pass the cell of *point*."""
        return self.cells.get((int(point[0] // _CELL), int(point[1] // _CELL)), 0)

    def under(self, middle: Point, size: Point) -> int:
        """Return which lines pass the cells that a rectangle covers."""
        (x, y), (length, breadth) = middle, size
        low, high = int((y - breadth / 2) // _CELL), int((y + breadth / 2) // _CELL)
        found = 0
        for a in range(int((x - length / 2) // _CELL), int((x + length / 2) // _CELL) + 1):
            column = self.columns.get((a, low, high))
            found |= self._column(a, low, high) if column is None else column
        return found

    def _column(self, a: int, low: int, high: int) -> int:
        found = 0
        for b in range(low, high + 1):
            found |= self.cells.get((a, b), 0)
        self.columns[a, low, high] = found
        return found
