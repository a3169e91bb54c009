"""The sizes of the parts of a node, in points; both DOT and SVG are written from them.

A node is a box of two parts.  The left part is the gate: the operation, or the terms of a folded
``dot``.  The right part is the wire that leaves it: its value above, its gradient below.
"""

from __future__ import annotations

from dataclasses import dataclass

from .circuit import Node
from .text import advance

OP_SIZE, TEXT_SIZE, SMALL_SIZE = 15.0, 13.0, 12.0
HALF = 23.0  # the height of the value, and of the gradient
PIN_PITCH = 12.0
HEADER, ROW = 25.0, 19.0
FLAT = 24.0  # the height of a node on one line
PAD = 9.0


@dataclass(frozen=True, slots=True)
class Box:
    """The size of a node; Graphviz, if it draws the DOT text, may widen it."""

    gate: float
    wire: float
    height: float
    columns: tuple[float, float, float]
    """The widths of name, value and gradient of the rows; of value and gradient if it is flat."""


def box(node: Node, down: bool = False) -> Box:
    """Return the size of *node*, whose pins are on its left side or, if the flow is *down*, above.

    >>> box(Node("n0", "tanh", "", "0.5", "–", pins=1)).height
    46.0
    >>> [box(Node("n0", "sum", "", "0.5", "–", pins=9), down).height for down in (False, True)]
    [108.0, 46.0]
    """
    if node.flat:
        name = max(30.0, advance(node.label, TEXT_SIZE) + 2 * PAD)
        data, grad = (max(40.0, advance(t, TEXT_SIZE) + PAD) for t in (node.data, node.grad))
        return Box(name, data + grad, FLAT, (0.0, data, grad))
    header = max(advance(node.op, OP_SIZE), advance(node.label, TEXT_SIZE))
    if node.rows and node.label:
        header = advance(node.op, OP_SIZE) + 8 + advance(node.label, TEXT_SIZE)
    columns = tuple(
        max((advance(getattr(row, part), SMALL_SIZE) for row in node.rows), default=0.0)
        for part in ("name", "data", "grad")
    )
    gate = max(36.0, header + 2 * PAD, sum(columns) + 4 * PAD if node.rows else 0.0)
    wire = max(52.0, *(advance(text, TEXT_SIZE) + 2 * PAD for text in (node.data, node.grad)))
    if not node.data:  # a box of several outputs, which are its rows
        wire = 0.0
    pins = min(PIN_PITCH * node.pins, max(20 * PIN_PITCH, 3.0 * node.pins))
    tall = HEADER + ROW * len(node.rows) + 4 if node.rows else pins
    if down and not node.rows:
        gate, tall = max(gate, pins - wire), 0.0
    return Box(gate, wire, max(2 * HALF, tall), columns)  # type: ignore[arg-type]
