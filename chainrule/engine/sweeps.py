"""The two sweeps over a recorded graph: ``pullback`` (reverse mode) and ``pushforward`` (forward).

They are mirror images: the same order, the same partials, opposite directions.  A node is anything
with ``parents``, their ``partials`` and the ``serial`` number of its creation.  Parents are always
older than their node, so creation order is a topological order and sorting by it needs no
recursion; it also fixes the order of every sum, to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from .native import core
from .table import as_float

Node = Any
Partials = Callable[[Node], Sequence[Any]]

stored_partials: Partials = attrgetter("partials")
_by_serial = attrgetter("serial")
_PIECE = 2**16  # nodes that are entered in one call, in which nobody looks for Ctrl-C


def linked_partials(node: Node) -> Sequence[Any]:
    """Return the partials of *node* as Values, computed from its operands by the table's rule.

    Their numbers equal the stored ones, and they can be differentiated again.  RuntimeError if the
    numbers differ, because the data of a leaf was written after *node* was made.
    """
    stored: tuple[float, ...] = node.partials
    row, operands = node.primitive, node.operands
    if row is None or row.selects is not None:
        return stored  # of a selected operand the node is a copy: its partial is constant
    linked = row.linked(operands, [i for i, x in enumerate(operands) if hasattr(x, "parents")])
    partials = tuple(
        [
            x if hasattr(x, "parents") else as_float(x, f"partial of {row.name}")
            for x in row.partial_values(operands, node, linked)
        ]
    )
    for partial, number in zip(partials, stored, strict=True):
        now = partial if isinstance(partial, float) else partial.data
        if now != number and number == number and (row.exact or not _close(now, number, stored)):
            raise RuntimeError(
                f"the graph is out of date: a leaf under {node!r} was written after the node was "
                "made, so its derivative cannot be differentiated again; build the graph anew"
            )
    return partials


def _close(x: float, y: float, among: Sequence[float]) -> bool:
    """Return whether x and y may be one number, rounded otherwise; *among* says how large it is."""
    return math.isclose(x, y, rel_tol=1e-6, abs_tol=1e-6 * max(map(abs, among)))


def topological_order(outputs: Iterable[Node]) -> list[Node]:
    """Return *outputs* and everything they depend on, every parent before its children."""
    nodes = list(dict.fromkeys(outputs))
    if core is not None and (order := core.topological_order(tuple(nodes))) is not None:
        return order  # type: ignore[no-any-return]
    seen = set(nodes)
    for node in nodes:  # grows while it is read
        for parent in node.parents:
            if parent not in seen:
                seen.add(parent)
                nodes.append(parent)
    return sorted(nodes, key=_by_serial)


def paths(inputs: Iterable[Node], outputs: Iterable[Node]) -> list[Node]:
    """Return the nodes on the paths from *inputs* to *outputs*, every parent before its children.

    A node that depends on an input is younger than the input.  So nodes older than all inputs are
    not visited: the cost is that of the graph made since, however large the graph below it is.
    """
    inputs, todo = tuple(inputs), list(outputs)
    if core is not None and (order := core.paths(inputs, tuple(todo))) is not None:
        return order  # type: ignore[no-any-return]
    since = min([node.serial for node in inputs], default=math.inf)
    younger: set[Node] = set()
    while todo:
        node = todo.pop()
        if node.serial >= since and node not in younger:
            younger.add(node)
            todo += node.parents
    reached = set(inputs)
    found = []
    for node in sorted(younger, key=_by_serial):
        if node in reached or not reached.isdisjoint(node.parents):
            reached.add(node)
            found.append(node)
    return found


class _Nothing:
    """An empty sum that does not leave a ``0.0 +`` behind in a graph of adjoints."""

    def __add__(self, term: Any) -> Any:
        return term


def pullback(
    outputs: Mapping[Node, Any],
    partials_of: Partials = stored_partials,
    inputs: Iterable[Node] | None = None,
) -> dict[Node, Any]:
    """Return the adjoint of every node that *outputs* (node: cotangent) depend on.

    The adjoint of v is sum over outputs o of cotangent(o) * do/dv.  With *partials_of* set to
    :func:`linked_partials` the adjoints are Values wherever they depend on one.  With *inputs*,
    only the nodes on the paths between those and the outputs have an adjoint.
    """
    order = topological_order(outputs) if inputs is None else paths(inputs, outputs)
    empty = 0.0 if partials_of is stored_partials else _Nothing()
    adjoints: dict[Node, Any] = {}
    for i in range(0, len(order), _PIECE):
        adjoints.update(dict.fromkeys(order[i : i + _PIECE], empty))
    adjoints.update(outputs if inputs is None else _only(outputs, adjoints))
    for node in reversed(order):
        if parents := node.parents:
            adjoint = adjoints[node]
            for parent, partial in zip(parents, partials_of(node)):  # noqa: B905 (the hot loop)
                if parent in adjoints:
                    adjoints[parent] += partial * adjoint
    return adjoints


def pulled_apart(output: Node, inputs: Sequence[Node], partials_of: Partials) -> dict[Node, Any]:
    """Return the adjoints of *inputs* that *output* depends on, each apart from the others.

    What flows into an input stays there, so that of an input below another only the direct part is
    found.
    """
    adjoints: dict[Node, Any] = {output: 1.0}
    ends = set(inputs)
    for node in reversed(paths(inputs, [output])):
        if node in ends or node not in adjoints or not node.parents:
            continue
        for parent, partial in zip(node.parents, partials_of(node), strict=True):
            term = partial * adjoints[node]
            adjoints[parent] = adjoints[parent] + term if parent in adjoints else term
    return {node: adjoints[node] for node in ends if node in adjoints}


def _only(entries: Mapping[Node, Any], nodes: Mapping[Node, Any]) -> dict[Node, Any]:
    return {node: entry for node, entry in entries.items() if node in nodes}


def pushforward(
    outputs: Iterable[Node], inputs: Mapping[Node, Any], partials_of: Partials = stored_partials
) -> dict[Node, Any]:
    """Return the tangent of every node between *inputs* (node: tangent) and *outputs*.

    The tangent of v is sum over inputs x of dv/dx * tangent(x).  A node that depends on no input
    has no entry rather than a 0, because an infinite partial on the way would turn the 0 into nan.
    """
    tangents: dict[Node, Any] = dict(inputs)
    for node in paths(inputs, outputs):
        if node in tangents:
            continue
        tangent = None
        for parent, partial in zip(node.parents, partials_of(node)):  # noqa: B905 (the hot loop)
            if parent in tangents:
                term = partial * tangents[parent]
                tangent = term if tangent is None else tangent + term
        if tangent is not None:
            tangents[node] = tangent
    return tangents
