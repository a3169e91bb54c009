"""The pictures of a page: that of the whole graph, and one of what is inside each fold.

Too many boxes would not make a picture, so what belongs together is folded into one box, as in a
drawing.  What is inside has a picture of its own, in which there may be folds again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...engine.backend import Value
from ..boxes import box
from ..circuit import Circuit, Edge, Node, circuit_of
from ..folding import EARLIER, Fold, Graph, ways_to_fold
from ..layered import lay_out
from ..text import visible
from .data import whole_graph

_FEW = 60  # boxes of a picture in which there are folds: those are looked at, not counted
_PIECES = 16  # of what is earlier, side by side in one picture
ROOM = "-0.00000"
"""Numbers change, so every box has room for this one."""


def views_of(root: Value, title: str, *, most: int) -> list[dict[str, Any]]:
    """Return the pictures of the graph of *root*; in one with more than *most* nodes are folds.

    The first is that of the whole graph; a fold says which of the others shows what is inside.

    >>> import chainrule as cr
    >>> x = cr.Value(3.0, "x")
    >>> (view,) = views_of(x * x, "x*x", most=10)
    >>> [box["node"] for box in view["boxes"]], [wire["links"] for wire in view["wires"]]
    ([0, 1], [[[1, 0]], [[1, 1]]])

    A box has the number of its node and its place: the centre, width and height, and the width of
    the part with numbers.  A wire has the operands that it stands for, as pairs of node and slot.
    """
    nodes = whole_graph(root)
    index = {node: k for k, node in enumerate(nodes)}
    found: list[dict[str, Any]] = []

    def add(inside: Sequence[Value], title: str, parent: int | None) -> int:
        place = len(found)
        found.append({"title": title, "parent": parent})
        units = _units(inside, most)
        folds = {
            i: add(unit.members, unit.name, place) for i, unit in enumerate(units) if unit.folded
        }
        found[place] |= _picture(units, _wires(units, index), folds, index)
        return place

    add(nodes, title, None)
    return found


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is one box: a fold with its name, or a node; perhaps one that is used from elsewhere."""

    members: Sequence[Value]
    name: str = ""
    from_elsewhere: bool = False

    @property
    def folded(self) -> bool:
        return bool(self.name)


def _units(nodes: Sequence[Value], most: int) -> list[_Unit]:
    folds = _folds(nodes, most)
    units = [_Unit([node]) for node in nodes]  # in the order of creation
    if folds:
        graph = Graph(nodes, folds)
        units = [
            _Unit(members, "" if fold is None else visible(fold.name))
            for fold, members in zip(graph.folds, graph.members, strict=True)
        ]
    known = set(nodes)
    used = (x for node in nodes for x in node.operands if isinstance(x, Value) and x not in known)
    return [*(_Unit([x], from_elsewhere=True) for x in dict.fromkeys(used)), *units]


def _folds(nodes: Sequence[Value], most: int) -> list[Fold]:
    found: list[Fold] = []
    if len(nodes) > most:
        for folds in ways_to_fold(nodes):
            graph = Graph(nodes, folds)
            if graph.acyclic:
                found = folds
                if len(graph.members) <= min(most, _FEW):
                    break
        found = _cut(found, nodes, most)
    return [fold for fold in found if 1 < len(fold.members) < len(nodes)]


def _cut(folds: list[Fold], nodes: Sequence[Value], most: int) -> list[Fold]:
    """Return *folds*, in which all that is earlier lies in pieces if one picture cannot hold it.

    The pieces are cut by the order of creation.  As one fold, it would hold another such fold, and
    that the next: a click for every few nodes, and each of the many pictures looked for anew.
    """
    cut: list[Fold] = []
    for fold in folds:
        count = min(-(-len(fold.members) // max(most, 1)), _PIECES)
        size = -(-len(fold.members) // max(count, 1))
        if fold.name != EARLIER or count < 2:
            cut.append(fold)
            continue
        for i, start in enumerate(range(0, len(fold.members), size), start=1):
            cut.append(Fold(f"{EARLIER}, part {i}", fold.members[start : start + size]))
    return cut if Graph(nodes, cut).acyclic else folds


def _wires(
    units: Sequence[_Unit], index: Mapping[Value, int]
) -> dict[tuple[int, ...], list[list[int]]]:
    """Return the operands behind each wire: by tail and head, between two nodes also by slot."""
    unit_of = {node: i for i, unit in enumerate(units) for node in unit.members}
    wires: dict[tuple[int, ...], list[list[int]]] = {}
    for head, unit in enumerate(units):
        for node in () if unit.from_elsewhere else unit.members:
            for slot, x in enumerate(node.operands):
                tail = unit_of[x] if isinstance(x, Value) else head
                if tail >= head:
                    continue  # inside a fold, or a branch not chosen now that would go back
                between = (slot,) if not (unit.folded or units[tail].folded) else ()
                wires.setdefault((tail, head, *between), []).append([index[node], slot])
    return wires


def _picture(
    units: Sequence[_Unit],
    wires: Mapping[tuple[int, ...], list[list[int]]],
    folds: Mapping[int, int],
    index: Mapping[Value, int],
) -> dict[str, Any]:
    pins = [0] * len(units)
    edges = []
    for tail, head, *_ in wires:
        edges.append(Edge(f"n{tail}", f"n{head}", pins[head], ROOM))
        pins[head] += 1
    drawn = [_drawn(f"n{i}", unit, pins[i]) for i, unit in enumerate(units)]
    layout = lay_out(_with_one_end(drawn, edges))
    places = [layout.nodes[node.id] for node in drawn]
    return {
        "width": _place(max(x + width / 2 for x, _, width, _ in places)),
        "height": _place(layout.height),
        "boxes": [
            {
                "node": _shown(unit, units, index),
                "place": [*map(_place, places[i]), _place(box(node).wire)],
                **(
                    {"op": node.op, "view": folds[i], "inside": _numbers(unit, index)}
                    if unit.folded
                    else {}
                ),
            }
            for i, (unit, node) in enumerate(zip(units, drawn, strict=True))
        ],
        "wires": [
            {
                "links": links,
                "plain": not units[key[1]].folded,
                "points": [_place(c) for point in spline.points for c in point],
                "tip": [_place(c) for c in spline.tip],
                "label": [_place(c) for c in spline.label],
            }
            for (key, links), spline in zip(wires.items(), layout.edges[: len(wires)], strict=True)
        ],
    }


def _with_one_end(nodes: Sequence[Node], edges: Sequence[Edge]) -> Circuit:
    """Return the circuit, in which all leads to one node, if need be to one that nobody will see.

    What is inside a fold may have several ends, but a layout begins at one.
    """
    ends = {node.id for node in nodes} - {edge.tail for edge in edges}
    if len(ends) == 1:
        return Circuit("", tuple(nodes), tuple(edges))
    last = Node("end", " ", "", "", "", len(ends))
    to_it = (Edge(name, last.id, pin, "") for pin, name in enumerate(sorted(ends)))
    return Circuit("", (*nodes, last), (*edges, *to_it))


def _numbers(unit: _Unit, index: Mapping[Value, int]) -> list[int]:
    return [index[node] for node in unit.members]


def _shown(unit: _Unit, units: Sequence[_Unit], index: Mapping[Value, int]) -> int | None:
    """Return the node whose numbers a box shows: of a fold the only one that others use."""
    if not unit.folded:
        return index[unit.members[0]]
    inside = set(unit.members)
    used = {
        x
        for other in units
        if other is not unit
        for node in other.members
        for x in node.operands
        if isinstance(x, Value)
    }
    last = {unit.members[-1]} if unit is units[-1] else set()
    outputs = (used & inside) | last
    return index[outputs.pop()] if len(outputs) == 1 else None


def _drawn(name: str, unit: _Unit, pins: int) -> Node:
    if unit.folded:
        text = f"{unit.name} ({len(unit.members)} nodes)"
        return Node(name, text, "", ROOM, ROOM, pins)
    (node,) = circuit_of(unit.members[0], depth=0, fold_weights=False).nodes
    return Node(name, node.op, node.label, ROOM, ROOM, pins)


def _place(x: float) -> float:
    return round(x, 1)
