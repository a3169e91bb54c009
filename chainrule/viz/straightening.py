"""Where the items of a column stand, across the flow: where the edges are straightest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from math import inf

from .columns import SWEEPS, Item, Strip
from .spacing import APART, LINES_APART

_Pulls = dict[Item, list[tuple[Item, float, float]]]
_Pulled = tuple[Item, float, list[tuple[Item, float, float]], float]
"""An item, its distance from the first of its column, what pulls at it and how strongly."""


def straighten(row: Strip) -> None:
    """Place the items of each column, in their order, where the edges are straightest."""
    pulls: _Pulls = {}
    for column in row.columns:
        position = 0.0
        for i, item in enumerate(column):
            position += _apart(column[i - 1], item) if i else 0.0
            item.at = position
        for item in column:
            item.at -= position / 2
            pulls[item] = []
    for steps in row.steps:
        for s in steps:
            weight = (1.0, 3.0, 12.0)[s.start.is_line + s.end.is_line]
            shift = s.out - s.pin
            if s.start.is_result and s.end.is_box:
                # Level boxes rather than a level edge: else a long chain goes down like stairs.
                weight, shift = 20.0, 0.0
            pulls[s.end].append((s.start, shift, weight))
            pulls[s.start].append((s.end, -shift, weight))
    columns = [_pulled(column, pulls) for column in row.columns]
    for sweep in range(2 * SWEEPS):
        for pulled in columns if sweep % 2 == 0 else reversed(columns):
            _settle(pulled)
    _level(row)


def _pulled(column: Sequence[Item], pulls: _Pulls) -> list[_Pulled]:
    found: list[_Pulled] = []
    offset = 0.0
    for i, item in enumerate(column):
        offset += _apart(column[i - 1], item) if i else 0.0
        found.append((item, offset, pulls[item], sum(w for _, _, w in pulls[item]) or 1e-3))
    return found


def _apart(one: Item, other: Item) -> float:
    """Return the least distance between the middles of two neighbours in a column."""
    between = LINES_APART if one.is_line or other.is_line else APART
    return (one.breadth + other.breadth) / 2 + between


def _settle(column: Sequence[_Pulled]) -> None:
    """Move the items to the nearest places to those they are pulled to that keep them apart.

    Least squares under an order are solved by pooling neighbours that want to pass each other
    (Ayer et al. 1955, "pool adjacent violators").
    """
    blocks: list[tuple[float, float, int]] = []  # mean, weight and number of items
    for item, offset, pulling, weight in column:
        mean = item.at
        if pulling:
            mean = 0.0
            for other, shift, w in pulling:
                mean += w * (other.at + shift)
            mean /= weight
        mean -= offset
        count = 1
        while blocks and blocks[-1][0] > mean:
            m, w, n = blocks.pop()
            mean = (m * w + mean * weight) / (w + weight)
            weight, count = w + weight, n + count
        blocks.append((mean, weight, count))
    items = iter(column)
    for mean, _, count in blocks:
        for item, offset, _, _ in islice(items, count):
            item.at = mean + offset


def _level(row: Strip) -> None:
    """Make long edges run straight as far as their neighbours leave room."""
    after = {
        s.start: s.end for steps in row.steps for s in steps if s.start.is_line and s.end.is_line
    }
    begun = set(after) - set(after.values())
    places = {item: i for column in row.columns for i, item in enumerate(column)}
    for start in sorted(begun, key=lambda item: item.wish):
        line = [start]
        while line[-1] in after:
            line.append(after[line[-1]])
        run: list[Item] = []
        low, high = -inf, inf
        for item in line:
            floor, ceiling = _free(row.columns[item.column], places[item])
            if max(low, floor) > min(high, ceiling):
                _set_level(run, low, high)
                run, low, high = [], -inf, inf
            run.append(item)
            low, high = max(low, floor), min(high, ceiling)
        _set_level(run, low, high)


def _free(column: Sequence[Item], i: int) -> tuple[float, float]:
    """Return between where the item at place *i* can move without coming too near to others."""
    item = column[i]
    low = column[i - 1].at + _apart(column[i - 1], item) if i else -inf
    high = column[i + 1].at - _apart(item, column[i + 1]) if i + 1 < len(column) else inf
    return min(low, item.at), max(high, item.at)


def _set_level(run: Iterable[Item], low: float, high: float) -> None:
    places = [item.at for item in run]
    for item in run:
        item.at = min(max(sum(places) / len(places), low), high)
