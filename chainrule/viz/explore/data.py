"""From a graph to the data of its page: plain numbers and texts, ready for JSON.

The page follows every operand, also those that ``where`` did not choose, because another number may
choose them.  A node whose row has no JavaScript (your own primitive, or a given row) keeps its
value and its partials, and the leaves below it cannot be changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...engine.backend import Value
from ...engine.table import BUILT_IN, TABLE
from ..circuit import circuit_of
from ..text import visible
from .expressions import expressions, names, rule, terms


def whole_graph(root: Value) -> list[Value]:
    """Return *root* and every Value that it is computed from, in the order of creation."""
    found = {root}
    waiting = [root]
    while waiting:
        for x in waiting.pop().operands:
            if isinstance(x, Value) and x not in found:
                found.add(x)
                waiting.append(x)
    return sorted(found, key=lambda node: node.serial)


def graph_data(root: Value) -> dict[str, Any]:
    """Return the graph of *root* as data.

    >>> import chainrule as cr
    >>> x = cr.Value(3.0, "x")
    >>> data = graph_data(x * x + 1)
    >>> [(node["row"], node["operands"]) for node in data["nodes"]]
    [(None, []), ('*', [0, 0]), ('+', [1, [1.0]])]
    """
    nodes = whole_graph(root)
    index = {node: k for k, node in enumerate(nodes)}
    return {
        "nodes": [
            _node_data(node, index, *texts)
            for node, *texts in zip(
                nodes, names(nodes), terms(nodes), expressions(nodes), strict=True
            )
        ],
        "root": index[root],
        "rules": _rules(nodes),
    }


def _node_data(
    node: Value, index: Mapping[Value, int], name: str, term: str, expression: str
) -> dict[str, Any]:
    row = node.primitive
    found: dict[str, Any] = {
        "row": None if row is None else row.name,
        "name": name,
        "term": term,
        "expression": expression,
        "op": circuit_of(node, depth=0, fold_weights=False).nodes[0].op,
        "label": visible(node.label),
        "data": number(node.data),
        "operands": [index[x] if isinstance(x, Value) else [number(x)] for x in node.operands],
    }
    if row is not None and not (row.name in BUILT_IN and TABLE[row.name] is row):
        slots = [i for i, x in enumerate(node.operands) if isinstance(x, Value)]
        args = [x.data if isinstance(x, Value) else x for x in node.operands]
        known = dict(zip(row.linked(args, slots), node.partials, strict=True))
        partials = [number(known[i]) if i in known else None for i in range(len(args))]
        found["partials"] = partials
    return found


def _rules(nodes: Sequence[Value]) -> dict[str, Any]:
    rows = {node.primitive: len(node.operands) for node in nodes if node.primitive is not None}
    texts = {row.name: rule(row, arity) for row, arity in rows.items()}
    return {name: text for name, text in texts.items() if text is not None}


def number(x: float) -> float | str:
    """Return *x*, as text where JSON has no number for it."""
    return x if math.isfinite(x) else repr(x)
