"""From a graph of Values to a ``Circuit``: plain data that says what a drawing shows.

A circuit holds finished strings and no Value, so it is a snapshot: a later backward pass does not
change it.  Nodes are in topological order and named ``n0``, ``n1``, ... in that order, so the same
program gives the same drawing.  Every choice of content (which weights are folded away, how
constants are written, what is too large to draw) is made here; :mod:`.dot` and :mod:`.svg` only
write it down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from ..engine.arguments import count
from ..engine.backend import Value
from ..engine.sweeps import topological_order
from ..engine.table import dot_product
from .folding import Fold, Graph
from .node_texts import (
    TOOLTIP,
    data_of,
    flow_of,
    grads_of,
    hint_of,
    more_than_flows,
    name_of,
    op_of,
)
from .terms import MOST_ROWS, Row, Terms, listed_operands, terms_of
from .text import check_limit, checked_title, short, visible

LIMIT = 2000  # nodes of a drawing, if nothing else is said: a second or two to fold
_MOST_EDGES = 3  # from a box of several outputs to another box, drawn one by one


@dataclass(frozen=True, slots=True)
class Node:
    """The box of one Value, and what it says.

    ``pins`` is the number of places on its left side where edges arrive.  A node that is ``cut``
    has parents that are not drawn.  A box that stands for several nodes has their number as
    ``folded``; if several of them are used outside, they are its rows, and it has no value of its
    own.  A ``flat`` node is written on one line.
    """

    id: str
    op: str
    label: str
    data: str
    grad: str
    pins: int
    rows: tuple[Row, ...] = ()
    cut: bool = False
    hint: str = ""
    folded: int = 0
    flat: bool = False

    @property
    def is_leaf(self) -> bool:
        """Whether the node is a leaf: not computed from others."""
        return not self.op

    @property
    def has_row_pins(self) -> bool:
        """Whether edges arrive at its rows, rather than evenly spread over its side."""
        return bool(self.rows) and not self.folded


@dataclass(frozen=True, slots=True)
class Edge:
    """The dependence of ``head`` on ``tail`` through one of its operands.

    ``local`` is the local derivative, d head / d tail with the other operands held fixed.  An edge
    from one of several outputs of a box starts at its ``row``; others start in the middle.
    """

    tail: str
    head: str
    pin: int
    local: str
    hint: str = ""
    row: int = -1


@dataclass(frozen=True, slots=True)
class Circuit:
    """A drawing of a graph, as data: nodes in topological order, edges in operand order."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    note: str = ""
    """What is folded, and how to unfold it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is left out of a drawing, or drawn smaller, so that the rest can be read."""

    folds: tuple[Fold, ...] = ()
    flat_leaves: bool = False
    listed_operands: bool = False
    """Whether the leaves that are operands of a long sum are rows of its box."""
    note: str = ""


_PLAIN = Look()


def circuit_of(
    root: Value,
    *,
    depth: int | None = None,
    fold_weights: bool = True,
    limit: int = LIMIT,
    title: str | None = None,
    look: Look = _PLAIN,
) -> Circuit:
    """Return the circuit of *root* and everything it depends on, or of the last *depth* steps.

    >>> from chainrule import Value
    >>> x = Value(3.0, "x")
    >>> drawn = circuit_of(x * x)
    >>> [(node.id, node.op or node.label, node.data) for node in drawn.nodes]
    [('n0', 'x', '3'), ('n1', '*', '9')]
    >>> [(edge.tail, edge.head, edge.local) for edge in drawn.edges]
    [('n0', 'n1', '3'), ('n0', 'n1', '3')]
    """
    members, folded = members_of(root, depth=depth, fold_weights=fold_weights, limit=limit)
    if look.listed_operands:
        folded |= listed_operands(members)
    drawn = [node for node in members if node not in folded]
    grads = grads_of(members)
    graph = Graph(drawn, look.folds)
    nodes: list[Node] = []
    edges: list[Edge] = []
    for unit, (fold, inside) in enumerate(zip(graph.folds, graph.members, strict=True)):
        if fold is None:
            terms = terms_of(inside[0], folded, grads)
            nodes.append(_node(f"n{unit}", inside[0], terms, folded, graph, grads, look))
            edges += _bundled(_edges_into(inside[0], terms, graph), graph)
        else:
            nodes.append(_fold_node(f"n{unit}", fold, inside, graph, grads))
            edges += _edges_into_fold(unit, inside, graph)
    if title is None:
        title = f"Computation graph of {root.label}" if root.label else "Computation graph"
    notes = [look.note, more_than_flows(members) if depth is None else ""]
    note = "  ".join(filter(None, notes))
    return Circuit(checked_title("draw: title", title), tuple(nodes), tuple(edges), note)


def members_of(
    root: Value, *, depth: int | None = None, fold_weights: bool = True, limit: int = LIMIT
) -> tuple[list[Value], Set[Value]]:
    """Return the nodes that a drawing of *root* is about, and which of them are not boxes."""
    check_root("draw", root)
    if depth is not None:
        count("draw: depth, the number of steps back,", depth, least=0)
    check_limit("draw: limit", limit)
    members = topological_order([root]) if depth is None else _last_steps(root, depth)
    folded = _foldable(members) if fold_weights else frozenset()
    boxes = len(members) - len(folded)
    if boxes > limit:
        raise ValueError(_too_large(boxes, limit, depth))
    return members, folded


def _node(
    name: str,
    node: Value,
    terms: Terms | None,
    folded: Set[Value],
    graph: Graph,
    grads: Mapping[Value, str],
    look: Look,
) -> Node:
    present = any(parent in graph.unit_of for parent in node.parents)
    known = [parent in graph.unit_of or parent in folded for parent in node.parents]
    return Node(
        id=name,
        op=op_of(node, folded=terms is not None),
        label=visible(node.label),
        data=data_of(node),
        grad=grads[node],
        pins=len(terms.rows) if terms else len(node.parents) if present else 0,
        rows=terms.rows if terms else (),
        cut=not all(known),
        hint=hint_of(node),
        flat=look.flat_leaves and node.primitive is None and all(known),
    )


def _bundled(edges: list[Edge], graph: Graph) -> list[Edge]:
    """Return *edges*, all to one node, with many that come from one fold as a single one."""
    counts = Counter(edge.tail for edge in edges)
    often = (name for name, count in counts.items() if count > _MOST_EDGES)
    many = {name for name in often if graph.folds[int(name[1:])]}
    kept = [edge for edge in edges if edge.tail not in many]
    for tail in (name for name in counts if name in many):
        pins = [edge.pin for edge in edges if edge.tail == tail]
        hint = f"{len(pins)} edges, from nodes that are not drawn one by one"
        kept.append(Edge(tail, edges[0].head, pins[len(pins) // 2], "", hint))
    return sorted(kept, key=lambda edge: edge.pin)


def _edges_into(node: Value, terms: Terms | None, graph: Graph) -> list[Edge]:
    pins = terms.pins if terms else list(range(len(node.parents)))
    head = f"n{graph.unit_of[node]}"
    return [
        Edge(
            f"n{graph.unit_of[p]}",
            head,
            pin,
            short(partial),
            flow_of(node, p, partial),
            _row_of(p, graph),
        )
        for p, partial, pin in zip(node.parents, node.partials, pins, strict=True)
        if p in graph.unit_of
    ]


def check_root(caller: str, root: Any) -> None:
    """Raise a TypeError that names *caller*, ``draw`` or ``explore``, unless *root* is a Value.

    >>> check_root("explore", "x")
    Traceback (most recent call last):
        ...
    TypeError: explore: expected a Value, the root of a graph, not str
    """
    if isinstance(root, Value):
        return
    kind = type(root).__name__
    if hasattr(root, "thetas"):
        given = "model" if caller == "draw" else "model, X, Y, loss=..."
        kind += f": use viz.{caller}_network({given})"
    elif isinstance(root, (list, tuple)):
        kind += f": {caller} one of its elements, or their sum"
    raise TypeError(f"{caller}: expected a Value, the root of a graph, not {kind}")


def _too_large(count: int, limit: int, depth: int | None) -> str:
    if depth is None:
        part = "draw the last steps with viz.draw(root, depth=3), or one node inside with"
    else:
        part = f"choose a depth below {depth}, or draw one node inside with"
    everything = f"; viz.draw(root, limit={count}) folds and draws all" if count <= 10_000 else ""
    return (
        f"draw: {count:,} nodes are more than the limit of {limit:,}: "
        f"{part} viz.draw(node){everything}"
    )


def _last_steps(root: Value, depth: int) -> list[Value]:
    members = {root}
    frontier: Set[Value] = members
    for _ in range(depth):
        frontier = {parent for node in frontier for parent in node.parents} - members
        if not frontier:
            break
        members |= frontier
    return sorted(members, key=lambda node: node.serial)


def _foldable(members: Iterable[Value]) -> Set[Value]:
    """Return the leaves that are only used as a weight or bias of ``dot`` nodes."""
    weights: set[Value] = set()
    others: set[Value] = set()
    for node in members:
        if node.primitive is dot_product:
            n = len(node.operands) // 2
            for i, operand in enumerate(node.operands):
                if isinstance(operand, Value):
                    (others if n <= i < 2 * n else weights).add(operand)
        else:
            others.update(node.parents)
    present = set(members)
    return {leaf for leaf in weights - others if leaf.primitive is None and leaf in present}


# --- boxes that stand for several nodes --------------------------------------------------------


def _outputs(inside: Sequence[Value], graph: Graph) -> list[Value]:
    """Return the nodes of a fold that others use, or that is the root."""
    unit = graph.unit_of[inside[0]]
    used = {parent for head in graph.out[unit] for v in graph.members[head] for parent in v.parents}
    return [node for node in inside if node in used] or [inside[-1]]


def _row_of(node: Value, graph: Graph) -> int:
    """Return the row of *node* in the box of its fold, if that has several outputs, else -1."""
    unit = graph.unit_of[node]
    outputs = _outputs(graph.members[unit], graph) if graph.folds[unit] else ()
    if len(outputs) < 2:
        return -1
    i, first, last = outputs.index(node), MOST_ROWS - 3, len(outputs) - 2
    if len(outputs) <= MOST_ROWS or i < first:
        return i
    return first if i < last else i - (len(outputs) - MOST_ROWS)


def _fold_node(
    name: str, fold: Fold, inside: Sequence[Value], graph: Graph, grads: Mapping[Value, str]
) -> Node:
    outputs = _outputs(inside, graph)
    output = outputs[-1] if len(outputs) == 1 else None
    inputs = graph.into[graph.unit_of[inside[0]]]
    rows = [Row(name_of(node), short(node.data), grads[node]) for node in outputs]
    if len(rows) > MOST_ROWS:
        rows[MOST_ROWS - 3 : -2] = [Row(f"… {len(rows) - MOST_ROWS + 1} more")]
    count = f"{len(inside)} nodes"
    what = f" of {output.label}" if output is not None and output.label else ""
    return Node(
        id=name,
        op=visible(fold.name),
        label=visible(f"{count}{what}"),
        data="" if output is None else data_of(output),
        grad="" if output is None else grads[output],
        pins=len(inputs),
        rows=() if output is not None else tuple(rows),
        hint=f"{visible(fold.name, TOOLTIP)}: {count}; unfold={fold.name!r} draws them"
        + ("" if output is None else f"\n{hint_of(output)}"),
        folded=len(inside),
    )


def _edges_into_fold(unit: int, inside: Sequence[Value], graph: Graph) -> list[Edge]:
    """Return an edge from everything the fold uses, with the derivative of its only output.

    That is a sum over all ways through the fold, taken by a sweep back over its nodes.
    """
    outputs = _outputs(inside, graph)
    adjoints = {outputs[-1]: 1.0}
    for node in reversed(inside):
        adjoint = adjoints.get(node, 0.0)
        for parent, partial in zip(node.parents, node.partials, strict=True):
            adjoints[parent] = adjoints.get(parent, 0.0) + partial * adjoint
    edges = []
    for pin, tail in enumerate(graph.into[unit]):
        local = hint = ""
        used = [p for p in graph.members[tail] if any(p in v.parents for v in inside)]
        if len(outputs) == 1 and len(used) == 1:
            total = adjoints[used[0]]
            local, hint = short(total), flow_of(outputs[0], used[0], total)
        row = _row_of(used[0], graph) if len(used) == 1 else -1
        edges.append(Edge(f"n{tail}", f"n{unit}", pin, local, hint, row))
    return edges
