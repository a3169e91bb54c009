"""From a circuit to DOT text, through the ``graphviz`` package.

The text is complete in itself: any Graphviz can draw it, in the light theme.  :mod:`.svg` takes
only the positions from it.
"""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from . import theme
from .boxes import FLAT, HALF, HEADER, OP_SIZE, ROW, SMALL_SIZE, TEXT_SIZE, Box, box
from .circuit import Circuit, Node
from .matrices import Matrices
from .network import Network, Unit
from .terms import Row

if TYPE_CHECKING:
    import graphviz

_FONT = "Helvetica"


def digraph(title: str, **attributes: str) -> graphviz.Digraph:
    """Return an empty graph with this *title*, in the style that all drawings share."""
    import graphviz

    return graphviz.Digraph(
        "chainrule",
        graph_attr={
            "bgcolor": theme.PAPER.light,
            "fontname": _FONT,
            "label": graphviz.escape(title),
            **attributes,
        },
        node_attr={"fontname": _FONT, "fontcolor": theme.INK.light, "shape": "plain"},
        edge_attr={
            "arrowsize": "0.7",
            "color": theme.LINE.light,
            "fontcolor": theme.LOCAL.light,
            "fontname": _FONT,
            "fontsize": f"{SMALL_SIZE:g}",
        },
    )


def circuit_dot(circuit: Circuit) -> str:
    r"""Return *circuit* as DOT text.

    >>> from chainrule import Value
    >>> from chainrule.viz.circuit import circuit_of
    >>> circuit_dot(circuit_of(Value(2.0, "x")))
    'digraph chainrule {...n0 [label=<<TABLE...>x</I>...>2</FONT>...}\n'
    """
    import graphviz

    graph = digraph(circuit.title, rankdir="LR", nodesep="0.25", ranksep="0.55")
    for node in circuit.nodes:
        graph.node(node.id, f"<{_table(node)}>")
    for i, edge in enumerate(circuit.edges):
        graph.edge(
            f"{edge.tail}:e", f"{edge.head}:p{edge.pin}:w", graphviz.escape(edge.local), id=f"e{i}"
        )
    return str(graph.source)


# HTML-like labels: all text passes through _font, which escapes it.


def _table(node: Node) -> str:
    sizes = box(node)
    fill = theme.LEAF if node.is_leaf else theme.GATE
    style = f'COLOR="{theme.LINE.light}" STYLE="{"ROUNDED,DASHED" if node.cut else "ROUNDED"}"'
    inner = f"{_pins(node, sizes)}{_gate(node, sizes)}{_wire(node, sizes)}"
    border = 3 if node.folded else 1
    return (
        f'<TABLE BORDER="{border}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0" {style} '
        f'BGCOLOR="{fill.light}">{_row(inner)}</TABLE>'
    )


def _wire(node: Node, sizes: Box) -> str:
    data, grad = _font(node.data, theme.DATA, TEXT_SIZE), _font(node.grad, theme.GRAD, TEXT_SIZE)
    if not node.data:
        return ""
    if node.flat:
        cells = (
            _cell(text, w, FLAT) for text, w in zip((data, grad), sizes.columns[1:], strict=True)
        )
        return "".join(f"<VR/>{cell}" for cell in cells)
    halves = (_row(_cell(text, sizes.wire, HALF)) for text in (data, grad))
    return f"<VR/>{_cell(_nest('<HR/>'.join(halves)))}"


def _pins(node: Node, sizes: Box) -> str:
    if not node.pins:
        return ""
    heights = [ROW if node.has_row_pins else sizes.height / node.pins] * node.pins
    pins = [_row(_cell("", 1, height, f'PORT="p{i}"')) for i, height in enumerate(heights)]
    header = [_row(_cell("", 1, HEADER))] if node.has_row_pins else []
    return _cell(_nest(*header, *pins))


def _gate(node: Node, sizes: Box) -> str:
    parts = [_font(node.op, theme.INK, OP_SIZE, "B")] if node.op else []
    parts += [_font(node.label, theme.INK, TEXT_SIZE, "I")] if node.label else []
    if not node.rows:
        return _cell("<BR/>".join(parts), sizes.gate, sizes.height)
    header = _row(_cell(" &#160; ".join(parts), sizes.gate, HEADER, 'COLSPAN="3"'))
    return _cell(_nest(header, *(_term(row, sizes.columns) for row in node.rows)))


def _term(row: Row, columns: tuple[float, float, float]) -> str:
    texts = ((row.name, theme.INK), (row.data, theme.DATA), (row.grad, theme.GRAD))
    return _row(
        "".join(
            _cell(_font(text, tone, SMALL_SIZE), width + 12, ROW)
            for (text, tone), width in zip(texts, columns, strict=True)
        )
    )


def _nest(*rows: str) -> str:
    inner = "".join(rows)
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{inner}</TABLE>'


def _row(cells: str) -> str:
    return f"<TR>{cells}</TR>"


def _cell(content: str, width: float = 0, height: float = 0, attributes: str = "") -> str:
    sizes = f' WIDTH="{width:.0f}" HEIGHT="{height:.0f}"' if height else ""
    return f"<TD{sizes}{' ' + attributes if attributes else ''}>{content}</TD>"


def _font(text: str, tone: theme.Tone, size: float, style: str = "") -> str:
    if not text:
        return ""
    # Graphviz would replace \N and the like by names, even when written as entities: break them up.
    content = escape(text).replace("\\", "<FONT>\\</FONT>")
    content = f"<{style}>{content}</{style}>" if style else content
    return f'<FONT COLOR="{tone.light}" POINT-SIZE="{size:g}">{content}</FONT>'


# --- networks ----------------------------------------------------------------------------------


def network_dot(network: Network) -> str:
    """Return *network* as DOT text for ``neato``, with every unit pinned to its place."""
    graph = digraph(network.title, layout="neato", splines="line", outputorder="edgesfirst")
    for unit in network.units:
        graph.node(
            unit.id,
            f"<{_unit_label(unit)}>",
            shape="circle",
            style="filled",
            color=theme.LINE.light,
            fillcolor=_unit_fill(unit).light,
            fixedsize="true",
            width=f"{unit.radius / 36:.4f}",
            pos=f"{unit.x / 72:.4f},{(network.height - unit.y) / 72:.4f}!",
        )
    for link in network.links:
        tone = theme.POSITIVE if link.weight > 0 else theme.NEGATIVE if link.weight < 0 else None
        graph.edge(
            link.tail,
            link.head,
            arrowhead="none",
            color=(tone or theme.LINE).light,
            penwidth=f"{0.5 + 4.5 * link.strength:.3f}",
            **({"style": "dashed"} if link.weight < 0 else {}),
            **({"label": link.label} if link.label else {}),
        )
    return str(graph.source)


def matrices_dot(drawn: Matrices) -> str:
    """Return the layers of *drawn* as DOT text: DOT has no cells."""
    graph = digraph(drawn.title, rankdir="LR")
    for layer, size in enumerate(drawn.sizes, start=1):
        graph.node(f"layer{layer}", f"layer {layer}: {size} units", shape="box")
    for layer, (size, after) in enumerate(pairwise(drawn.sizes), start=1):
        label = f"Θ({layer}), {after} × {size + 1}"
        graph.edge(f"layer{layer}", f"layer{layer + 1}", label)
    return str(graph.source)


def _unit_fill(unit: Unit) -> theme.Tone:
    return theme.BIAS if unit.index == 0 else theme.LEAF if unit.layer == 1 else theme.GATE


def _unit_label(unit: Unit) -> str:
    if unit.index == 0:
        return "+1"
    lines = [
        _font(unit.value, theme.DATA, SMALL_SIZE),
        f"<I>a</I><SUB>{unit.index}</SUB><SUP>({unit.layer})</SUP>",
        _font(unit.delta, theme.GRAD, SMALL_SIZE),
    ]
    return "<BR/>".join(filter(None, lines))
