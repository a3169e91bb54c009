"""Where the boxes of a circuit stand and how its edges run: a layered layout, in plain Python.

After Sugiyama, Tagawa and Toda (1981): boxes stand in columns, each to the right of what it depends
on; the order within a column is the order of the operands, changed where that saves crossings; then
each column is shifted to where its edges are straightest.  A picture that is too wide continues in
a second row, like text.  Nothing here is random, and nothing depends on the machine.

The code speaks of columns and of a flow to the right.  Where the flow is ``down`` the same is done
with the sides exchanged, and the columns are rows.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice, pairwise
from math import inf
from typing import Literal

from .boxes import HEADER, ROW, SMALL_SIZE, TEXT_SIZE, box
from .circuit import Circuit, Node
from .geometry import Layout, Place, Point, Spline, Tag, bounds, cropped
from .text import advance

Direction = Literal["right", "down"]

_APART, _LINES_APART = 14.0, 9.0  # between boxes of a column, and between a line and its neighbour
_GAP = 34.0  # the least between two columns
_ARROW = 7.0
_LABEL_HEIGHT, _TAG_HEIGHT = 15.0, 20.0
_LANE = 8.0  # between lines that go on in another row
_TURN = 8.0  # the radius of their corners
_SWEEPS = 12
_MOST_ROWS = 6
_CELL = 8.0  # of the grid in which labels look for edges below them
_STRETCH, _STRETCHES = 25.0, 4  # what moves columns apart whose edges' labels overlap


@dataclass(slots=True, eq=False)
class _Item:
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
class _Step:
    """A piece of an edge, from one column to the next; it arrives *pin* off the middle."""

    start: _Item
    end: _Item
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
class _Row:
    """Columns that stand side by side, with the steps between each and the next."""

    columns: list[list[_Item]]
    steps: list[list[_Step]]
    bottom: float = 0.0
    stretch: list[float] = field(default_factory=list)
    lefts: list[float] = field(default_factory=list)
    rights: list[float] = field(default_factory=list)


def lay_out(circuit: Circuit, direction: Direction = "right", room: Point | None = None) -> Layout:
    """Return where the boxes and edges of *circuit* are.

    With *room*, a width and a height, the picture is broken into as many rows as make it largest
    when it is shrunk to fit.
    """
    graph = _Graph(circuit, direction == "down")
    if room is None:
        return _Page(graph, []).layout(None)
    page = _fitting_page(graph, room)
    if page is None:
        pages = [_Page(graph, breaks) for breaks in graph.ways_to_break(room)]
        page = max(pages, key=lambda page: scale(page, room))
    return page.layout(room)


def fit(circuit: Circuit, direction: Direction, room: Point) -> Layout | None:
    """Return the layout of *circuit* in as few rows as let it fit into *room*, or None."""
    page = _fitting_page(_Graph(circuit, direction == "down"), room)
    return None if page is None else page.layout(room)


def _fitting_page(graph: _Graph, room: Point) -> _Page | None:
    for breaks in graph.ways_to_break(room, whole=True):
        if graph.least(breaks, room):
            page = _Page(graph, breaks)
            if scale(page, room) >= 1.0:
                return page
    return None


def least_area(node: Node) -> float:
    """Return the least area that a box as small as that of *node* takes, with the space around."""
    size = box(node)
    width, height = size.gate + size.wire + 2.0, size.height
    return min((width + _GAP) * (height + _APART), (height + _GAP) * (width + _APART))


def most_area(room: Point) -> float:
    """Return how much of such areas fits into *room*, in whatever direction and number of rows."""
    extra = _MOST_ROWS * _APART
    return max((length + _GAP) * (breadth + extra) for length, breadth in (room, room[::-1]))


def scale(picture: Layout | _Page, room: Point) -> float:
    """Return the largest scale at which *picture* fits into *room*."""
    return min(room[0] / max(picture.width, 1.0), room[1] / max(picture.height, 1.0))


class _Graph:
    """The boxes of a circuit by number, their edges, and the column of each."""

    def __init__(self, circuit: Circuit, down: bool) -> None:
        self.nodes, self.edges, self.down = circuit.nodes, circuit.edges, down
        index = {node.id: i for i, node in enumerate(circuit.nodes)}
        self.ends = [(index[e.tail], index[e.head]) for e in circuit.edges]
        sizes = [box(node) for node in circuit.nodes]
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
        self.extents, self.breadths = [0.0] * (self.last + 1), [-_APART] * (self.last + 1)
        for i, rank in enumerate(self.rank):
            gap = max([_GAP, *map(self.label_room, self.into[i])])
            self.extents[rank] = max(self.extents[rank], self.sizes[i][down] + gap)
            self.breadths[rank] += self.sizes[i][not down] + _APART

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
        return (_LABEL_HEIGHT if self.down else label) + _ARROW + 14.0 if label else _GAP

    def ways_to_break(self, room: Point, whole: bool = False) -> Iterator[list[int]]:
        """Yield lists of the columns with which a new row begins: none, then more and more.

        Of the *whole* circuit in its size, only those whose rows are not too short for it.
        """
        yield []
        length = room[1] if self.down else room[0]
        total = sum(self.extents)
        if whole and total > _MOST_ROWS * (length + _GAP):
            return
        crossing = self._crossing()
        for rows in range(2, min(_MOST_ROWS, self.last) + 1):
            too_short = whole and total > rows * (length + _GAP)
            if total > 0.6 * length * (rows - 1) and not too_short:
                yield _breaks(self.extents, crossing, rows)

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
            if sum(self.extents[start:stop]) - _GAP > length:
                return False
            total += max(self.breadths[start:stop])
        return total + 2 * _APART * len(breaks) <= breadth


class _Page:
    """The circuit with one way of breaking it into rows."""

    def __init__(self, graph: _Graph, breaks: Sequence[int]) -> None:
        self.graph = graph
        self.starts = [0, *breaks, graph.last + 1]
        row_of = [bisect_right(self.starts, c) - 1 for c in range(graph.last + 1)]
        self.home = [  # a leaf stands before what first uses it, at the beginning of a row too
            row_of[rank + 1] if node.is_leaf and rank < graph.last else row_of[rank]
            for node, rank in zip(graph.nodes, graph.rank, strict=True)
        ]
        self.rows = []
        for start, stop in pairwise(self.starts):  # and a column on each side, for what goes on
            columns: list[list[_Item]] = [[] for _ in range(stop - start + 2)]
            gaps = len(columns) - 1
            self.rows.append(_Row(columns, [[] for _ in range(gaps)], stretch=[0.0] * gaps))
        self.items: dict[tuple[int, int, int, int], _Item] = {}
        self.chains: list[list[_Item]] = [[] for _ in graph.ends]
        self._fill()
        for row in self.rows:
            for column in row.columns:
                column.sort(key=lambda item: item.wish)
                self._in_their_order(column)
            self._uncross(row)
            _straighten(row)
        self._place()

    def layout(self, room: Point | None) -> Layout:
        """Return where everything is, with the labels on their edges.

        Where labels would overlap, columns are moved apart as far as there is *room*.
        """
        labels, crowded = self._labels()
        for _ in range(_STRETCHES):
            if not crowded:
                break
            before = [list(row.stretch) for row in self.rows]
            for row, gap in crowded:
                row.stretch[gap] += _STRETCH
            self._place()
            if room is not None and scale(self, room) < 1.0:
                for row, stretch in zip(self.rows, before, strict=True):
                    row.stretch = stretch
                self._place()
                labels, _ = self._labels()
                break
            labels, crowded = self._labels()
        return self._layout(self._tags(), labels)

    # --- items and steps ----------------------------------------------------------------------

    def _fill(self) -> None:
        """Make the items and the steps of all rows, in the order of the operands."""
        graph = self.graph
        root = len(graph.nodes) - 1
        self._item(root, self.home[root], graph.rank[root])
        stack, seen = [root], {root}
        made: set[tuple[_Item, _Item]] = set()
        while stack:  # depth first, so that what belongs to one operand stays together
            head = stack.pop()
            following = []
            for e in graph.into[head]:
                tail = graph.ends[e][0]
                self.chains[e] = self._chain(tail, head, graph.edges[e].row)
                for start, end in pairwise(self.chains[e]):
                    last = end is self.chains[e][-1]
                    if start.row == end.row and (last or (start, end) not in made):
                        made.add((start, end))
                        pin, edge = (graph.pins[e], e) if last else (0.0, -1)
                        out = graph.outs[e] if start is self.chains[e][0] else 0.0
                        step = _Step(start, end, pin, edge, out)
                        self.rows[start.row].steps[start.column].append(step)
                if tail not in seen:
                    seen.add(tail)
                    self._item(tail, self.home[tail], graph.rank[tail])
                    following.append(tail)
            stack += reversed(following)

    def _chain(self, tail: int, head: int, net: int) -> list[_Item]:
        """Return the items that an edge passes, from its tail to its head."""
        first, last = self.graph.rank[tail], self.graph.rank[head]
        home, there = self.home[tail], self.home[head]
        end = self._item(head, there, last)
        if home == there:
            between = [self._item(tail, home, c, net) for c in range(last - 1, first, -1)]
        elif self.graph.has_name(tail):
            return [self._item(tail, there, last - 1, is_tag=True), end]
        else:
            start = self.starts[there] - 1
            between = [self._item(tail, there, c, net) for c in range(last - 1, start - 1, -1)]
            stop = self.starts[home + 1]
            between += [self._item(tail, home, c, net) for c in range(stop, first, -1)]
        return [self._item(tail, home, first), *reversed(between), end]

    def _item(self, tail: int, row: int, column: int, net: int = -1, is_tag: bool = False) -> _Item:
        key = tail, net, row, column
        if key not in self.items:
            graph, inner = self.graph, column - self.starts[row] + 1
            item = _Item(tail, net, row, inner, len(self.items), is_tag=is_tag)
            item.is_box = graph.rank[tail] == column and self.home[tail] == row
            if item.is_box:
                item.is_result = not graph.nodes[tail].is_leaf
                item.length, item.breadth = (
                    graph.sizes[tail][graph.down],
                    graph.sizes[tail][not graph.down],
                )
            elif is_tag:
                width = advance(graph.nodes[tail].label, TEXT_SIZE) + 14.0
                item.length, item.breadth = (
                    (_TAG_HEIGHT, width) if graph.down else (width, _TAG_HEIGHT)
                )
            self.items[key] = item
            self.rows[row].columns[inner].append(item)
        return self.items[key]

    # --- the order within columns ---------------------------------------------------------------

    def _uncross(self, row: _Row) -> None:
        best, fewest = [list(column) for column in row.columns], _crossings(row)
        for sweep in range(_SWEEPS):
            if fewest == 0:
                break
            _sweep(row, forward=sweep % 2 == 0)
            for column in row.columns:
                self._in_their_order(column)
            count = _crossings(row)
            if count < fewest:
                best, fewest = [list(column) for column in row.columns], count
        row.columns = best

    def _in_their_order(self, column: list[_Item]) -> None:
        """Put units of a kind, which are told apart by their order, back into it."""
        kinds: dict[object, list[int]] = {}
        for place, item in enumerate(column):
            if item.is_box:
                kinds.setdefault(_kind(self.graph.nodes[item.tail]), []).append(place)
        for places in kinds.values():
            ordered = sorted((column[place] for place in places), key=lambda item: item.tail)
            for place, item in zip(places, ordered, strict=True):
                column[place] = item

    # --- coordinates ----------------------------------------------------------------------------

    def _place(self) -> None:
        """Put each row below the one before, and its columns beside each other."""
        top = 0.0
        for r, row in enumerate(self.rows):
            row.lefts, row.rights = [], []
            items = [item for column in row.columns for item in column]
            highest = min((item.at - item.breadth / 2 for item in items), default=top)
            for item in items:
                item.at += top - highest
            row.bottom = max((item.at + item.breadth / 2 for item in items), default=top)
            top = (
                row.bottom
                + 2 * _APART
                + _LANE * len({(tail, net) for tail, net, home, _ in self._going() if home == r})
            )
            position = 0.0
            for c, column in enumerate(row.columns):
                if c and column and row.steps[c - 1]:
                    position += max(map(self._gap, row.steps[c - 1])) + row.stretch[c - 1]
                row.lefts.append(position)
                position += max((item.length for item in column), default=0.0)
                row.rights.append(position)
        self.paths = self._paths()
        curves = [self._turned(point) for path in self.paths for point in path]
        curves += [self._turned(self._tip(path)) for path in self.paths]
        left, right, top_, bottom = bounds([*self._nodes().values()], curves)
        self.width, self.height = right - left, bottom - top_

    def _gap(self, step: _Step) -> float:
        rise = abs(step.end.at + step.pin - step.start.at - step.out)
        label = self.graph.label_room(step.edge) if step.edge >= 0 else _GAP
        return max(label, min(0.2 * rise, 70.0))

    def _going(self) -> set[tuple[int, int, int, int]]:
        """Return what goes on in another row: from which box and where there, and both rows."""
        return {
            (chain[0].tail, chain[1].net, chain[0].row, chain[-1].row)
            for chain in self.chains
            if chain[0].row != chain[-1].row
        }

    def _paths(self) -> list[list[Point]]:
        """Return the control points of each edge, along and across, up to its arrow."""
        lanes = self._lanes()
        paths = []
        for e, chain in enumerate(self.chains):
            out = self.graph.outs[e]
            along, across = self._side(chain[0], behind=True)
            path = [(along, across + out)]
            for start, end in pairwise(chain):
                if start.row != end.row:
                    _around(
                        path, self._side(end), *lanes[start.tail, start.net, start.row, end.row]
                    )
                    continue
                row, last = self.rows[end.row], end is chain[-1]
                across = end.at + (self.graph.pins[e] if last else 0.0)
                leaving = start.at + (out if start is chain[0] else 0.0)
                _line(path, (row.rights[start.column], leaving))
                _curve(path, (row.lefts[end.column], across))
                if last:
                    _line(path, (self._side(end)[0] - _ARROW, across))
                else:
                    _line(path, (row.rights[end.column], across))
            paths.append(path)
        return paths

    def _side(self, item: _Item, behind: bool = False) -> Point:
        """Return the middle of the side at which edges arrive at *item*, or leave it."""
        middle = self._middle(item)
        return middle + (item.length / 2 if behind else -item.length / 2), item.at

    def _middle(self, item: _Item) -> float:
        row = self.rows[item.row]
        return (row.lefts[item.column] + row.rights[item.column]) / 2

    def _lanes(self) -> dict[tuple[int, int, int, int], tuple[float, float, float]]:
        """Return, for what goes from one row to another, where it turns: right, below and left.

        The highest line of a row turns outside the others, and arrives inside of them, so that the
        lines do not cross and keep their order.
        """
        found: dict[tuple[int, int, int, int], tuple[float, float, float]] = {}
        going = self._going()
        outer = len(going)
        for r, row in enumerate(self.rows):
            leaving = [key for key in going if key[2] == r]
            at = {key: self.items[key[0], key[1], r, self.starts[r + 1]].at for key in leaving}
            heights = {key[:2]: height for key, height in at.items()}
            nets = sorted(heights, key=lambda net: (heights[net], net))
            for key in sorted(leaving, key=lambda key: (-at[key], key)):
                inner = len(nets) - 1 - nets.index(key[:2])
                right = row.rights[-1] + 6.0 + _LANE * inner
                outer -= 1
                found[key] = right, row.bottom + _APART + _LANE * inner, -16.0 - _LANE * outer
        return found

    # --- labels -----------------------------------------------------------------------------------

    def _labels(self) -> tuple[list[Point], list[tuple[_Row, int]]]:
        """Return where on its edge each label is, clear of other labels and of other edges.

        And the gaps where that is not possible.
        """
        labels: list[Point] = [(0.0, 0.0)] * len(self.paths)
        crowded = []
        for row in self.rows:
            for column, steps in enumerate(row.steps):
                ending = [
                    step.edge for step in steps if step.edge >= 0 and self.graph.labels[step.edge]
                ]
                between = row.rights[column], row.lefts[column + 1] - _ARROW
                places, free = self._spread(ending, between)
                for e, place in places.items():
                    labels[e] = place
                if not free:
                    crowded.append((row, column))
        return labels, crowded

    def _spread(
        self, edges: Sequence[int], between: tuple[float, float]
    ) -> tuple[dict[int, Point], bool]:
        """Return a place for the label of each of *edges*, which all end in the same column.

        And whether no two of them overlap.
        """
        lines = [self._visible(self.paths[e]) for e in edges]
        passing = _Passing(lines)
        wanted = (between[0] + between[1]) / 2
        sizes = [self._turned((self.graph.labels[e], _LABEL_HEIGHT)) for e in edges]
        candidates = []
        for line, (length, _) in zip(lines, sizes, strict=True):
            low, high = between[0] + length / 2, between[1] - length / 2
            found = []
            for point in [p for p in line if low <= p[0] <= high] or [line[len(line) // 2]]:
                near = abs(point[0] - wanted) / 100.0
                others = passing.at(point).bit_count() - 1
                found.append((near + 2.0 * others, near, point))  # the cost is at least the first
            candidates.append(sorted(found))
        labels = _Labels(sizes)
        unders: dict[tuple[int, Point], float] = {}
        costs = [0.0] * len(edges)
        for i in [*range(len(edges)), *range(len(edges))]:  # once more, when all have a place
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
            column = _Labels(sizes)  # in front of the arrowheads, like a column of numbers
            for i, found in enumerate(candidates):
                column.put(i, max(point for _, _, point in found))
            if not any(column.met(i, column.places[i], 1.0) > 1 for i in range(len(edges))):
                labels, free = column, True
        return {e: labels.places[i] for i, e in enumerate(edges)}, free

    def _visible(self, path: Sequence[Point]) -> list[Point]:
        """Return points on the last piece of an edge, through the last gap to its head."""
        starts = range(max(0, len(path) - 10), len(path) - 1, 3)
        pieces = [path[i : i + 4] for i in starts]
        forward = [piece for piece in pieces if piece[0][0] <= piece[-1][0]]
        return [point for piece in forward for point in _points(piece)]

    # --- the result -------------------------------------------------------------------------------

    def _tags(self) -> list[Tag]:
        return [
            Tag(
                self.graph.nodes[item.tail].id,
                self._turned((self._middle(item), item.at)),
                *self._size(item),
            )
            for item in self.items.values()
            if item.is_tag
        ]

    def _size(self, item: _Item) -> Point:
        return self._turned((item.length, item.breadth))

    def _layout(self, tags: Sequence[Tag], labels: Sequence[Point]) -> Layout:
        splines = []
        for e, path in enumerate(self.paths):
            tip = self._tip(path)
            label = labels[e] if labels else tip
            points = tuple(map(self._turned, path))
            splines.append(Spline(points, self._turned(tip), self._turned(label)))
        return cropped(self._nodes(), splines, tags)

    def _nodes(self) -> dict[str, Place]:
        graph = self.graph
        nodes: dict[str, Place] = {}
        for item in sorted(self.items.values(), key=lambda item: item.tail):
            if item.is_box:
                x, y = self._turned((self._middle(item), item.at))
                nodes[graph.nodes[item.tail].id] = x, y, *graph.sizes[item.tail]
        return nodes

    @staticmethod
    def _tip(path: Sequence[Point]) -> Point:
        return path[-1][0] + _ARROW, path[-1][1]

    def _turned(self, point: Point) -> Point:
        return (point[1], point[0]) if self.graph.down else point


class _Labels:
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


def _kind(node: Node) -> object:
    """Return what boxes of a column have in common that keep their order: a kind of operation.

    Of leaves, it is the part of the label before the numbers.
    """
    return node.op or ("leaf", node.label.rstrip("0123456789[](),_ "))


def pin_offset(node: Node, pin: int, size: tuple[float, float], down: bool) -> float:
    """Return how far from the middle of the side of *node* its *pin* is."""
    width, height = size
    if down:
        return width * ((pin + 0.5) / max(node.pins, 1) - 0.5)
    if node.has_row_pins:
        return HEADER + ROW * (pin + 0.5) - height / 2
    return height * ((pin + 0.5) / max(node.pins, 1) - 0.5)


def _breaks(extents: Sequence[float], crossing: Sequence[int], rows: int) -> list[int]:
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


def _crossings(row: _Row) -> int:
    count = 0
    places = {item: i for column in row.columns for i, item in enumerate(column)}
    for steps in row.steps:
        ordered = sorted((places[s.start] + s.departure, places[s.end] + s.arrival) for s in steps)
        ends: list[float] = []
        for _, end in ordered:
            count += len(ends) - bisect_right(ends, end)
            insort(ends, end)
    return count


def _sweep(row: _Row, forward: bool) -> None:
    """Order each column by the mean place of its neighbours in the column before, or behind."""
    gaps = range(len(row.steps))
    for gap in gaps if forward else reversed(gaps):
        moved, fixed = (gap + 1, gap) if forward else (gap, gap + 1)
        places = {item: float(i) for i, item in enumerate(row.columns[fixed])}
        found: dict[_Item, list[float]] = {}
        for s in row.steps[gap]:
            if forward:
                found.setdefault(s.end, []).append(places[s.start] + s.departure)
            else:
                found.setdefault(s.start, []).append(places[s.end] + s.arrival)
        means = {item: float(i) for i, item in enumerate(row.columns[moved])}
        means |= {item: sum(near) / len(near) for item, near in found.items()}
        row.columns[moved].sort(key=lambda item: (means[item], item.wish))


# --- straight edges ------------------------------------------------------------------------------

_Pulls = dict[_Item, list[tuple[_Item, float, float]]]
_Pulled = tuple[_Item, float, list[tuple[_Item, float, float]], float]
"""An item, its distance from the first of its column, what pulls at it and how strongly."""


def _straighten(row: _Row) -> None:
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
    for sweep in range(2 * _SWEEPS):
        for pulled in columns if sweep % 2 == 0 else reversed(columns):
            _settle(pulled)
    _level(row)


def _pulled(column: Sequence[_Item], pulls: _Pulls) -> list[_Pulled]:
    found: list[_Pulled] = []
    offset = 0.0
    for i, item in enumerate(column):
        offset += _apart(column[i - 1], item) if i else 0.0
        found.append((item, offset, pulls[item], sum(w for _, _, w in pulls[item]) or 1e-3))
    return found


def _apart(one: _Item, other: _Item) -> float:
    """Return the least distance between the middles of two neighbours in a column."""
    between = _LINES_APART if one.is_line or other.is_line else _APART
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


def _level(row: _Row) -> None:
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
        run: list[_Item] = []
        low, high = -inf, inf
        for item in line:
            floor, ceiling = _free(row.columns[item.column], places[item])
            if max(low, floor) > min(high, ceiling):
                _set_level(run, low, high)
                run, low, high = [], -inf, inf
            run.append(item)
            low, high = max(low, floor), min(high, ceiling)
        _set_level(run, low, high)


def _free(column: Sequence[_Item], i: int) -> tuple[float, float]:
    """Return between where the item at place *i* can move without coming too near to others."""
    item = column[i]
    low = column[i - 1].at + _apart(column[i - 1], item) if i else -inf
    high = column[i + 1].at - _apart(item, column[i + 1]) if i + 1 < len(column) else inf
    return min(low, item.at), max(high, item.at)


def _set_level(run: Iterable[_Item], low: float, high: float) -> None:
    places = [item.at for item in run]
    for item in run:
        item.at = min(max(sum(places) / len(places), low), high)


# --- curves --------------------------------------------------------------------------------------


def _line(path: list[Point], end: Point) -> None:
    (x, y), (u, v) = path[-1], end
    if abs(x - u) > 0.01 or abs(y - v) > 0.01:
        path += [(x + (u - x) / 3, y + (v - y) / 3), (u - (u - x) / 3, v - (v - y) / 3), end]


def _curve(path: list[Point], end: Point) -> None:
    (x, y), (u, v) = path[-1], end
    path += [((x + u) / 2, y), ((x + u) / 2, v), end]


def _around(path: list[Point], end: Point, right: float, below: float, left: float) -> None:
    """Go on at *end*, which is in another row: to the right, down, back and down again."""
    start = path[-1]
    corners = [(right, start[1]), (right, below), (left, below), (left, end[1]), end]
    for corner, after in pairwise(corners):
        _line(path, _towards(corner, start))
        start = _towards(corner, after)
        path += [corner, corner, start]
    _line(path, end)


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
