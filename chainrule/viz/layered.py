"""Where the boxes of a circuit stand and how its edges run: a layered layout, in plain Python.

After Sugiyama, Tagawa and Toda (1981): boxes stand in columns, each to the right of what it depends
on; the order within a column is the order of the operands, changed where that saves crossings; then
each column is shifted to where its edges are straightest.  A picture that is too wide continues in
a second row, like text.  Nothing here is random, and nothing depends on the machine.

The code speaks of columns and of a flow to the right.  Where the flow is ``down`` the same is done
with the sides exchanged, and the columns are rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

from .boxes import TEXT_SIZE, box
from .circuit import Circuit, Node
from .columns import SWEEPS, Item, Step, Strip, crossings, sweep_once
from .curves import around, curve_to, joined, last_piece, line_to
from .geometry import Layout, Place, Point, Spline, Tag, bounds, cropped
from .label_places import label_places
from .ranked import RankedCircuit
from .spacing import APART, ARROW, GAP, LABEL_HEIGHT, LANE, MOST_ROWS
from .straightening import straighten
from .text import advance

Direction = Literal["right", "down"]

_TAG_HEIGHT = 20.0
_STRETCH, _STRETCHES = 25.0, 4  # what moves columns apart whose edges' labels overlap


def lay_out(circuit: Circuit, direction: Direction = "right", room: Point | None = None) -> Layout:
    """Return where the boxes and edges of *circuit* are.

    With *room*, a width and a height, the picture is broken into as many rows as make it largest
    when it is shrunk to fit.
    """
    graph = RankedCircuit(circuit, direction == "down")
    if room is None:
        return _Page(graph, []).layout(None)
    page = _fitting_page(graph, room)
    if page is None:
        pages = [_Page(graph, breaks) for breaks in graph.ways_to_break(room)]
        page = max(pages, key=lambda page: scale(page, room))
    return page.layout(room)


def fit(circuit: Circuit, direction: Direction, room: Point) -> Layout | None:
    """Return the layout of *circuit* in as few rows as let it fit into *room*, or None."""
    page = _fitting_page(RankedCircuit(circuit, direction == "down"), room)
    return None if page is None else page.layout(room)


def _fitting_page(graph: RankedCircuit, room: Point) -> _Page | None:
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
    return min((width + GAP) * (height + APART), (height + GAP) * (width + APART))


def most_area(room: Point) -> float:
    """Return how much of such areas fits into *room*, in whatever direction and number of rows."""
    extra = MOST_ROWS * APART
    return max((length + GAP) * (breadth + extra) for length, breadth in (room, room[::-1]))


def scale(picture: Layout | _Page, room: Point) -> float:
    """Return the largest scale at which *picture* fits into *room*."""
    return min(room[0] / max(picture.width, 1.0), room[1] / max(picture.height, 1.0))


class _Page:
    """The circuit with one way of breaking it into rows."""

    def __init__(self, graph: RankedCircuit, breaks: Sequence[int]) -> None:
        self.graph = graph
        self.starts = [0, *breaks, graph.last + 1]
        row_of = [bisect_right(self.starts, c) - 1 for c in range(graph.last + 1)]
        self.home = [  # a leaf stands before what first uses it, at the beginning of a row too
            row_of[rank + 1] if node.is_leaf and rank < graph.last else row_of[rank]
            for node, rank in zip(graph.nodes, graph.rank, strict=True)
        ]
        self.rows = []
        for start, stop in pairwise(self.starts):  # and a column on each side, for what goes on
            columns: list[list[Item]] = [[] for _ in range(stop - start + 2)]
            gaps = len(columns) - 1
            self.rows.append(Strip(columns, [[] for _ in range(gaps)], stretch=[0.0] * gaps))
        self.items: dict[tuple[int, int, int, int], Item] = {}
        self.chains: list[list[Item]] = [[] for _ in graph.ends]
        self._fill()
        for row in self.rows:
            for column in row.columns:
                column.sort(key=lambda item: item.wish)
                self._in_their_order(column)
            self._uncross(row)
            straighten(row)
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
                labels, crowded = self._labels()
                break
            labels, crowded = self._labels()
        return replace(self._layout(self._tags(), labels), is_crowded=bool(crowded))

    # --- items and steps ----------------------------------------------------------------------

    def _fill(self) -> None:
        """Make the items and the steps of all rows, in the order of the operands."""
        graph = self.graph
        root = len(graph.nodes) - 1
        self._item(root, self.home[root], graph.rank[root])
        stack, seen = [root], {root}
        made: set[tuple[Item, Item]] = set()
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
                        step = Step(start, end, pin, edge, out)
                        self.rows[start.row].steps[start.column].append(step)
                if tail not in seen:
                    seen.add(tail)
                    self._item(tail, self.home[tail], graph.rank[tail])
                    following.append(tail)
            stack += reversed(following)

    def _chain(self, tail: int, head: int, net: int) -> list[Item]:
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

    def _item(self, tail: int, row: int, column: int, net: int = -1, is_tag: bool = False) -> Item:
        key = tail, net, row, column
        if key not in self.items:
            graph, inner = self.graph, column - self.starts[row] + 1
            item = Item(tail, net, row, inner, len(self.items), is_tag=is_tag)
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

    def _uncross(self, row: Strip) -> None:
        best, fewest = [list(column) for column in row.columns], crossings(row)
        for sweep in range(SWEEPS):
            if fewest == 0:
                break
            sweep_once(row, forward=sweep % 2 == 0)
            for column in row.columns:
                self._in_their_order(column)
            count = crossings(row)
            if count < fewest:
                best, fewest = [list(column) for column in row.columns], count
        row.columns = best

    def _in_their_order(self, column: list[Item]) -> None:
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
                + 2 * APART
                + LANE * len({(tail, net) for tail, net, home, _ in self._going() if home == r})
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

    def _gap(self, step: Step) -> float:
        rise = abs(step.end.at + step.pin - step.start.at - step.out)
        label = self.graph.label_room(step.edge) if step.edge >= 0 else GAP
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
                    around(path, self._side(end), *lanes[start.tail, start.net, start.row, end.row])
                    continue
                row, last = self.rows[end.row], end is chain[-1]
                across = end.at + (self.graph.pins[e] if last else 0.0)
                leaving = start.at + (out if start is chain[0] else 0.0)
                line_to(path, (row.rights[start.column], leaving))
                curve_to(path, (row.lefts[end.column], across))
                if last:
                    line_to(path, (self._side(end)[0] - ARROW, across))
                else:
                    line_to(path, (row.rights[end.column], across))
            paths.append(path)
        return paths

    def _side(self, item: Item, behind: bool = False) -> Point:
        """Return the middle of the side at which edges arrive at *item*, or leave it."""
        middle = self._middle(item)
        return middle + (item.length / 2 if behind else -item.length / 2), item.at

    def _middle(self, item: Item) -> float:
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
                right = row.rights[-1] + 6.0 + LANE * inner
                outer -= 1
                found[key] = right, row.bottom + APART + LANE * inner, -16.0 - LANE * outer
        return found

    # --- labels -----------------------------------------------------------------------------------

    def _labels(self) -> tuple[list[Point], list[tuple[Strip, int]]]:
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
                between = row.rights[column], row.lefts[column + 1] - ARROW
                lines = [last_piece(self.paths[e]) for e in ending]
                sizes = [self._turned((self.graph.labels[e], LABEL_HEIGHT)) for e in ending]
                places, free = label_places(lines, sizes, between)
                for e, place in zip(ending, places, strict=True):
                    labels[e] = place
                if not free:
                    crowded.append((row, column))
        return labels, crowded

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

    def _size(self, item: Item) -> Point:
        return self._turned((item.length, item.breadth))

    def _layout(self, tags: Sequence[Tag], labels: Sequence[Point]) -> Layout:
        splines = []
        for e, path in enumerate(self.paths):
            tip = self._tip(path)
            label = labels[e] if labels else tip
            points = tuple(map(self._turned, joined(path)))
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
        return path[-1][0] + ARROW, path[-1][1]

    def _turned(self, point: Point) -> Point:
        return (point[1], point[0]) if self.graph.down else point


def _kind(node: Node) -> object:
    """Return what boxes of a column have in common that keep their order: a kind of operation.

    Of leaves, it is the part of the label before the numbers.
    """
    return node.op or ("leaf", node.label.rstrip("0123456789[](),_ "))
