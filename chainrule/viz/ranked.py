"""A circuit whose boxes have columns, each to the right of what it depends on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from .boxes import HEADER, ROW, SMALL_SIZE, box
from .circuit import Circuit, Node
from .geometry import Point
from .spacing import APART, ARROW, GAP, LABEL_HEIGHT, MOST_ROWS
from .text import advance


class RankedCircuit:
    """The boxes of a circuit by number, their edges, and the column of each."""

    def __init__(self, circuit: Circuit, down: bool) -> None:
        self.nodes, self.edges, self.down = circuit.nodes, circuit.edges, down
        index = {node.id: i for i, node in enumerate(circuit.nodes)}
        self.ends = [(index[e.tail], index[e.head]) for e in circuit.edges]
        sizes = [box(node, down) for node in circuit.nodes]
        self.sizes = [(size.gate + size.wire + 2.0, size.height) for size in sizes]
        self.into: list[list[int]] = [[] for _ in circuit.nodes]
        self.out: list[list[int]] = [[] for _ in circuit.nodes]
        for edge, (tail, head) in enumerate(self.ends):
            self.into[head].append(edge)
            self.out[tail].append(edge)
        self.pins = [
            pin_offset(self.nodes[head], edge.pin, self.sizes[head], down)
            for edge, (_, head) in zip(circuit.edges, self.ends, strict=True)
        ]
        self.outs = [
            HEADER + ROW * (edge.row + 0.5) - self.sizes[tail][1] / 2
            if edge.row >= 0 and not down
            else 0.0
            for edge, (tail, _) in zip(circuit.edges, self.ends, strict=True)
        ]
        self.labels = [advance(e.local, SMALL_SIZE) + 4.0 if e.local else 0.0 for e in self.edges]
        self.rank = self._ranks()
        self.last = max(self.rank)
        self._widen()
        self.extents, self.breadths = [0.0] * (self.last + 1), [-APART] * (self.last + 1)
        for i, rank in enumerate(self.rank):
            gap = max([GAP, *map(self.label_room, self.into[i])])
            self.extents[rank] = max(self.extents[rank], self.sizes[i][down] + gap)
            self.breadths[rank] += self.sizes[i][not down] + APART

    def _widen(self) -> None:
        """Make boxes of a kind equally wide where they stand one below the other."""
        alike: dict[object, list[int]] = {}
        for i, node in enumerate(self.nodes):
            kind = (node.flat, "leaf") if node.is_leaf else (bool(node.rows), node.op)
            alike.setdefault((self.rank[i], kind), []).append(i)
        for group in alike.values():
            width = max(self.sizes[i][0] for i in group)
            for i in group:
                self.sizes[i] = width, self.sizes[i][1]

    def _ranks(self) -> list[int]:
        """Return the column of each box: behind all that it depends on, and near who needs it."""
        rank = [0] * len(self.into)
        for head, edges in enumerate(self.into):
            rank[head] = max((rank[self.ends[e][0]] + 1 for e in edges), default=0)
        for node in reversed(range(len(rank))):
            tails = [self.ends[e][0] for e in self.into[node]]
            alone = all(self.ends[e][1] == node for tail in tails for e in self.out[tail])
            if self.out[node] and alone:
                rank[node] = min(rank[self.ends[e][1]] for e in self.out[node]) - 1
        return rank

    def has_name(self, node: int) -> bool:
        """Whether the name of *node* can stand for it where an edge would be long."""
        return self.nodes[node].is_leaf and bool(self.nodes[node].label.strip())

    def label_room(self, edge: int) -> float:
        """Return how wide a gap must be for the label of *edge* and its arrow."""
        label = self.labels[edge]
        return (LABEL_HEIGHT if self.down else label) + ARROW + 14.0 if label else GAP

    def ways_to_break(self, room: Point, whole: bool = False) -> Iterator[list[int]]:
        """Yield lists of the columns with which a new row begins: none, then more and more.

        Of the *whole* circuit in its size, only those whose rows are not too short for it.
        """
        yield []
        length = room[1] if self.down else room[0]
        total = sum(self.extents)
        if whole and total > MOST_ROWS * (length + GAP):
            return
        crossing = self._crossing()
        for rows in range(2, min(MOST_ROWS, self.last) + 1):
            too_short = whole and total > rows * (length + GAP)
            if total > 0.6 * length * (rows - 1) and not too_short:
                yield breaks_into(self.extents, crossing, rows)

    def _crossing(self) -> list[int]:
        """Return how many boxes without a name have an edge that passes the left of each column."""
        until = list(self.rank)
        for tail, head in self.ends:
            until[tail] = max(until[tail], self.rank[head])
        change = [0] * (self.last + 2)
        for tail, last in enumerate(until):
            if not self.has_name(tail):
                change[self.rank[tail] + 1] += 1
                change[last + 1] -= 1
        return list(accumulate(change))[:-1]

    def least(self, breaks: Sequence[int], room: Point) -> bool:
        """Whether boxes and lines alone, as close as they may be, fit into *room*."""
        length, breadth = reversed(room) if self.down else room
        total = 0.0
        for start, stop in pairwise([0, *breaks, self.last + 1]):
            if sum(self.extents[start:stop]) - GAP > length:
                return False
            total += max(self.breadths[start:stop])
        return total + 2 * APART * len(breaks) <= breadth


def pin_offset(node: Node, pin: int, size: tuple[float, float], down: bool) -> float:
    """Return how far from the middle of the side of *node* its *pin* is."""
    width, height = size
    if down:
        return width * ((pin + 0.5) / max(node.pins, 1) - 0.5)
    if node.has_row_pins:
        return HEADER + ROW * (pin + 0.5) - height / 2
    return height * ((pin + 0.5) / max(node.pins, 1) - 0.5)


def breaks_into(extents: Sequence[float], crossing: Sequence[int], rows: int) -> list[int]:
    """Return where to break into *rows*: rows of like length, at places that few edges cross."""
    wanted = sum(extents) / rows
    n = len(extents)
    sums = [0.0]
    for extent in extents:
        sums.append(sums[-1] + extent)
    best: dict[tuple[int, int], tuple[float, list[int]]] = {(0, 0): (0.0, [])}
    for row in range(1, rows + 1):
        for end in range(row, n + 1):
            options = []
            for start in range(row - 1, end):
                if (row - 1, start) in best:
                    before, cuts = best[row - 1, start]
                    uneven = ((sums[end] - sums[start]) / wanted - 1.0) ** 2
                    edges = 0.15 * (crossing[start] - 1) if start else 0.0
                    options.append((before + uneven + edges, cuts + [start] * (start > 0)))
            if options:
                best[row, end] = min(options)
    return best[rows, n][1]
