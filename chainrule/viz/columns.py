"""The columns of a layered layout, and the order within them: as few crossings as sweeps find."""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field

SWEEPS = 12


@dataclass(slots=True, eq=False)
class Item:
    """Something in a column: a box, a place that a long edge passes, or a name in its stead."""

    tail: int
    """The box itself, or the box from which the edge comes."""
    net: int
    """The row of the box where the edge starts, -1 for its middle, and for the box itself."""
    row: int
    column: int
    wish: int
    """Its place in the order of the operands."""
    is_box: bool = False
    is_result: bool = False
    """Whether it is a box, and not a leaf's."""
    is_tag: bool = False
    breadth: float = 0.0
    length: float = 0.0
    at: float = 0.0
    """The middle, across the flow."""

    @property
    def is_line(self) -> bool:
        return not (self.is_box or self.is_tag)


@dataclass(slots=True, eq=False)
class Step:
    """A piece of an edge, from one column to the next; it arrives *pin* away from the middle."""

    start: Item
    end: Item
    pin: float = 0.0
    edge: int = -1
    """The edge that ends with this piece, if one does."""
    out: float = 0.0
    """Where it starts, off the middle."""

    arrival: float = field(init=False)
    """Where it arrives as a part of one place in a column."""
    departure: float = field(init=False)
    """Where it starts as a part of one place in a column."""

    def __post_init__(self) -> None:
        self.arrival = self.pin / (self.end.breadth + 1.0)
        self.departure = self.out / (self.start.breadth + 1.0)


@dataclass(slots=True, eq=False)
class Strip:
    """Columns that stand side by side, with the steps between each and the next."""

    columns: list[list[Item]]
    steps: list[list[Step]]
    bottom: float = 0.0
    stretch: list[float] = field(default_factory=list)
    lefts: list[float] = field(default_factory=list)
    rights: list[float] = field(default_factory=list)


def crossings(row: Strip) -> int:
    """Return how many pairs of steps cross in *row*."""
    count = 0
    places = {item: i for column in row.columns for i, item in enumerate(column)}
    for steps in row.steps:
        ordered = sorted((places[s.start] + s.departure, places[s.end] + s.arrival) for s in steps)
        ends: list[float] = []
        for _, end in ordered:
            count += len(ends) - bisect_right(ends, end)
            insort(ends, end)
    return count


def sweep_once(row: Strip, forward: bool) -> None:
    """Order each column by the mean place of its neighbours in the column before, or behind."""
    gaps = range(len(row.steps))
    for gap in gaps if forward else reversed(gaps):
        moved, fixed = (gap + 1, gap) if forward else (gap, gap + 1)
        places = {item: float(i) for i, item in enumerate(row.columns[fixed])}
        found: dict[Item, list[float]] = {}
        for s in row.steps[gap]:
            if forward:
                found.setdefault(s.end, []).append(places[s.start] + s.departure)
            else:
                found.setdefault(s.start, []).append(places[s.end] + s.arrival)
        means = {item: float(i) for i, item in enumerate(row.columns[moved])}
        means |= {item: sum(near) / len(near) for item, near in found.items()}
        row.columns[moved].sort(key=lambda item: (means[item], item.wish))
