"""SVG: a document in one of the themes, and the pictures of circuits and networks.

Elements are built as a tree and serialised at the end, so no text can break out of its element.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from . import theme
from .boxes import FLAT, HEADER, OP_SIZE, PAD, ROW, SMALL_SIZE, TEXT_SIZE, box
from .circuit import Circuit, Edge, Node
from .geometry import Layout, Place, Spline, Tag
from .network import MOST_WEIGHTS, Link, Network, Unit, seen_part
from .text import DUST, NOT_COMPUTED, advance
from .weight_places import HALF_HEIGHT

MARGIN = 18.0
_HEADING_SIZE, _LEGEND_SIZE = 15.0, 12.0
_HEADING, _LEGEND = 34.0, 34.0  # the heights of the lines above and below the picture
_NOTE = 18.0  # the height of a second line below it
_TYPICAL = 0.86  # of the width that advance gives, which is on the wide side
_SCRIPT = 0.8  # the size of sub- and superscripts, relative to their line


def surround(note: str) -> tuple[float, float]:
    """Return the width and the height of what is around a picture: margins and lines of text."""
    return 2 * MARGIN, 2 * MARGIN + _HEADING + _LEGEND + (_NOTE if note else 0.0)


Span = tuple[str, str]
"""A piece of a line of text and its classes."""


def number(x: float) -> str:
    """Return a coordinate, to a hundredth of a point."""
    return f"{round(x, 2) + 0.0:.7g}"


class Document:
    """An SVG picture *width* by *height* points large, with a heading above and a legend below.

    Coordinates start at the corner of the picture proper, below the heading.
    """

    def __init__(
        self,
        title: str,
        width: float,
        height: float,
        legend: Sequence[Span],
        colours: theme.Theme = "light",
        note: str = "",
    ) -> None:
        line = "".join(text for text, _ in legend)
        texts = [advance(title, _HEADING_SIZE), *(advance(t, _LEGEND_SIZE) for t in (line, note))]
        around = surround(note)
        full_width, full_height = max(width, *texts) + around[0], height + around[1]
        self._theme = colours
        self._root = ET.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {number(full_width)} {number(full_height)}",
                "width": number(full_width),
                "height": number(full_height),
                "role": "img",
                "class": "cr-picture",
                "font-family": theme.FONT,
            },
        )
        ET.SubElement(self._root, "title").text = title
        ET.SubElement(self._root, "style").text = theme.css(colours)
        self.draw(self._root, "rect", "paper", width=full_width, height=full_height)
        self.text(self._root, MARGIN, 30, title, "ink bold", _HEADING_SIZE, "start")
        bottom = full_height - 16
        if note:
            self.text(self._root, MARGIN, bottom, note, "muted", _LEGEND_SIZE, "start")
            bottom -= _NOTE
        self.spans(self._root, MARGIN, bottom, legend, _LEGEND_SIZE, "start")
        shift = MARGIN + max(0.0, full_width - 2 * MARGIN - width) / 2, MARGIN + _HEADING
        self.body = ET.SubElement(
            self._root, "g", transform=f"translate({number(shift[0])} {number(shift[1])})"
        )

    def group(self, hint: str) -> ET.Element:
        """Return a new group in the picture, with *hint* as its tooltip."""
        group = ET.SubElement(self.body, "g")
        ET.SubElement(group, "title").text = hint
        return group

    def draw(self, parent: ET.Element, tag: str, classes: str, **attributes: float | str) -> None:
        """Add an element; SVG spells ``stroke_width`` and the like with a hyphen."""
        written = {
            name.replace("_", "-"): value if isinstance(value, str) else number(value)
            for name, value in attributes.items()
        }
        ET.SubElement(parent, tag, theme.presentation(classes, self._theme) | written)

    def text(
        self,
        parent: ET.Element,
        x: float,
        y: float,
        text: str,
        classes: str,
        size: float,
        anchor: str = "middle",
    ) -> None:
        """Add one line of text whose baseline is at *y*."""
        self.spans(parent, x, y, [(text, classes)], size, anchor)

    def spans(
        self,
        parent: ET.Element,
        x: float,
        y: float,
        spans: Sequence[Span],
        size: float,
        anchor: str = "middle",
    ) -> None:
        """Add one line of text in pieces; the classes sub and sup lower and raise a piece."""
        if anchor == "middle" and len(spans) > 1:
            # LibreOffice puts the pieces of a centred line on top of each other.
            x -= _TYPICAL * sum(advance(text, _size(of, size)) for text, of in spans) / 2
            anchor = "start"
        line = ET.SubElement(
            parent,
            "text",
            {
                "x": number(x),
                "y": number(y),
                "font-size": number(size),
                "text-anchor": anchor,
                # A property of CSS that says the same is not known to all programs.
                "{http://www.w3.org/XML/1998/namespace}space": "preserve",
            },
        )
        level = 0.0
        for text, classes in spans:
            span = ET.SubElement(line, "tspan", theme.presentation(classes, self._theme))
            span.text = text
            wanted = 0.28 if "sub" in classes else -0.38 if "sup" in classes else 0.0
            if wanted:
                span.set("font-size", number(_size(classes, size)))
            if wanted != level:
                span.set("dy", number((wanted - level) * size))
                level = wanted

    def __str__(self) -> str:
        return ET.tostring(self._root, encoding="unicode") + "\n"


def _size(classes: str, size: float) -> float:
    """Return how large a piece of a line is written whose other pieces have this *size*."""
    small = "sub" in classes or "sup" in classes
    return max(_SCRIPT * size, SMALL_SIZE) if small else size


# --- circuits ----------------------------------------------------------------------------------


def circuit_svg(circuit: Circuit, layout: Layout, colours: theme.Theme = "light") -> str:
    """Return the picture of *circuit*, with everything where *layout* puts it."""
    document = Document(
        circuit.title, layout.width, layout.height, _legend(circuit), colours, circuit.note
    )
    for edge, spline in zip(circuit.edges, layout.edges, strict=True):
        _draw_edge(document, edge, spline)
    for edge, spline in zip(circuit.edges, layout.edges, strict=True):
        if edge.local:
            _draw_local(document, edge, spline)
    nodes = {node.id: node for node in circuit.nodes}
    for tag in layout.tags:
        _draw_tag(document, nodes[tag.node], tag)
    for node in circuit.nodes:
        _draw_node(document, node, layout.nodes[node.id], is_root=node is circuit.nodes[-1])
    return str(document)


def _legend(circuit: Circuit) -> list[Span]:
    root = circuit.nodes[-1]
    of = f"d {(root.label if not root.folded else '') or 'result'} / d node"
    spans = [("value", "data bold"), (" above,  ", "muted"), ("gradient", "grad bold")]
    spans += [(f" = {of} below", "muted")]
    if any(node.grad == NOT_COMPUTED for node in circuit.nodes):
        spans += [(",  ", "muted"), (NOT_COMPUTED, "grad bold"), (" not yet computed", "muted")]
    if circuit.edges:
        spans += [(",  ", "muted"), ("local derivative", "local bold"), (" on each edge", "muted")]
    if any(text.endswith(DUST) for node in circuit.nodes for text in (node.data, node.grad)):
        spans += [(",  ≈ 0: left by rounding", "muted")]
    # Without colours it is the place alone that says which number is which.
    lines = ["rows"] * any(row.grad for node in circuit.nodes for row in node.rows)
    lines += ["flat boxes"] * any(node.flat for node in circuit.nodes)
    if lines:
        spans += [(f",  in {' and '.join(lines)}: value, gradient", "muted")]
    if any(node.cut for node in circuit.nodes):
        spans += [(",  dashed: some parents are not drawn", "muted")]
    return spans


def _draw_edge(document: Document, edge: Edge, spline: Spline) -> None:
    group = document.group(edge.hint)
    (start, *rest), tip = spline.points, spline.tip
    curve = " ".join(f"{number(x)},{number(y)}" for x, y in rest)
    path = f"M{number(start[0])},{number(start[1])} C{curve}"
    document.draw(group, "path", "line", d=path, stroke_width=1.4)
    end = rest[-1]
    dx, dy = tip[0] - end[0], tip[1] - end[1]
    corners = (
        (end[0] - 0.45 * dy, end[1] + 0.45 * dx), tip, (end[0] + 0.45 * dy, end[1] - 0.45 * dx)
    )  # fmt: skip
    points = " ".join(f"{number(x)},{number(y)}" for x, y in corners)
    document.draw(group, "polygon", "arrow", points=points)


def _draw_local(document: Document, edge: Edge, spline: Spline) -> None:
    # The text interrupts its wire: beside the wire it could seem to belong to a neighbour.
    group = document.group(edge.hint)
    x, y = spline.label
    half = advance(edge.local, SMALL_SIZE) / 2 + 2
    document.draw(
        group, "rect", "paper", x=x - half, y=y - 7.5, width=2 * half, height=15.0, rx=7.0
    )
    document.text(group, x, y + 4, edge.local, "local", SMALL_SIZE)


def _draw_tag(document: Document, node: Node, tag: Tag) -> None:
    group = document.group(node.hint)
    (x, y), width, height = tag.middle, tag.width, tag.height
    frame = {"x": x - width / 2, "y": y - height / 2, "width": width, "height": height}
    document.draw(group, "rect", "leaf", rx=height / 2, **frame)
    document.draw(group, "rect", "hairline", rx=height / 2, **frame)
    document.text(group, x, y + 4.5, node.label, "ink italic", TEXT_SIZE)


def _draw_node(document: Document, node: Node, place: Place, is_root: bool) -> None:
    x, y, width, height = place
    group = document.group(node.hint)
    left, top, right = x - width / 2, y - height / 2, x + width / 2
    sizes = box(node)
    wire = right - sizes.wire
    if node.folded:  # as a pile of boxes
        back = {"x": left + 4, "y": top + 4, "width": width, "height": height, "rx": 7.0}
        document.draw(group, "rect", "gate", **back)
        document.draw(group, "rect", "line", stroke_width=1.2, **back)
    frame = {"x": left, "y": top, "width": width, "height": height, "rx": 7.0}
    document.draw(group, "rect", "leaf" if node.is_leaf else "gate", **frame)
    if node.data:
        hidden = {"x": wire, "y": top, "width": sizes.wire - 7.0, "height": height}
        document.draw(group, "rect", "paper", **hidden)
        document.draw(group, "rect", "paper", **frame | {"x": right - 20, "width": 20.0})
    border = "line dashed" if node.cut else "strong" if is_root else "line"
    document.draw(group, "rect", border, stroke_width=1.2, **frame)
    if node.data:
        upright = f"M{number(wire)},{number(top)}V{number(top + height)}"
        document.draw(group, "path", "line", d=upright)
        if node.flat:
            _draw_flat(document, group, node, wire, y)
        else:
            document.draw(
                group, "path", "hairline", d=f"M{number(wire)},{number(y)}H{number(right)}"
            )
            middle = (wire + right) / 2
            document.text(group, middle, y - 7.5, node.data, "data", TEXT_SIZE)
            document.text(group, middle, y + 16.5, node.grad, "grad", TEXT_SIZE)
    if node.rows:
        _draw_rows(document, group, node, left, top, wire)
    elif node.op and node.label:
        document.text(group, (left + wire) / 2, y - 3, node.op, "ink bold", OP_SIZE)
        document.text(group, (left + wire) / 2, y + 15, node.label, "ink italic", TEXT_SIZE)
    else:
        classes, size = ("ink bold" if node.op else "ink italic"), OP_SIZE
        if node.flat:
            size = TEXT_SIZE
        document.text(group, (left + wire) / 2, y + 5, node.op or node.label, classes, size)


def _draw_flat(document: Document, group: ET.Element, node: Node, wire: float, y: float) -> None:
    _, data, grad = box(node).columns
    line = f"M{number(wire + data)},{number(y - FLAT / 2)}V{number(y + FLAT / 2)}"
    document.draw(group, "path", "hairline", d=line)
    document.text(group, wire + data / 2, y + 4.5, node.data, "data", TEXT_SIZE)
    document.text(group, wire + data + grad / 2, y + 4.5, node.grad, "grad", TEXT_SIZE)


def _draw_rows(
    document: Document, group: ET.Element, node: Node, left: float, top: float, wire: float
) -> None:
    spans = [(node.op, "ink bold"), ("  ", "ink"), (node.label, "ink italic")]
    document.spans(group, (left + wire) / 2, top + 17, spans, TEXT_SIZE)
    line = f"M{number(left)},{number(top + HEADER)}H{number(wire)}"
    document.draw(group, "path", "hairline", d=line)
    x_name, x_grad = left + PAD, wire - PAD
    x_data = x_grad - box(node).columns[2] - PAD
    for i, row in enumerate(node.rows):
        y = top + HEADER + ROW * i + 14
        document.text(group, x_name, y, row.name, "ink", SMALL_SIZE, "start")
        document.text(group, x_data, y, row.data, "data", SMALL_SIZE, "end")
        document.text(group, x_grad, y, row.grad, "grad", SMALL_SIZE, "end")


# --- networks ----------------------------------------------------------------------------------

_CAPTIONS = 40.0  # the height of the captions above the columns


def network_svg(network: Network, colours: theme.Theme = "light") -> str:
    """Return the picture of *network*."""
    height = network.height + _CAPTIONS
    document = Document(network.title, network.width, height, _network_legend(network), colours)
    for caption in network.captions:
        spans = [(caption.first, "ink bold"), (caption.superscript, "ink sup")]
        document.spans(document.body, caption.x, 10, spans, TEXT_SIZE)
        document.text(document.body, caption.x, 27, caption.second, "muted", SMALL_SIZE)
    units = {unit.id: unit for unit in network.units}
    for link in network.links:
        _draw_link(document, link, units[link.tail], units[link.head], len(network.links))
    for link in network.links:
        if link.label:
            _draw_weight(document, link, units[link.tail], units[link.head])
    for unit in network.units:
        _draw_unit(document, unit)
    return str(document)


def _network_legend(network: Network) -> list[Span]:
    dashed = any(link.weight < 0 for link in network.links)
    spans = signs(f"{'(dashed) ' if dashed else ''}weights, thicker where larger")
    if not any(link.label for link in network.links):
        spans += [("; their numbers are in the tooltips", "muted")]
    if any(unit.value for unit in network.units):
        spans += [(",  ", "muted"), ("activation a", "data bold"), (" above,  ", "muted")]
        spans += [("δ = d loss / d z", "grad bold"), (" below", "muted")]
    if any(unit.delta == NOT_COMPUTED for unit in network.units):
        spans += [(",  ", "muted"), (NOT_COMPUTED, "grad bold"), (" not yet computed", "muted")]
    return spans + [(f",  {remark}", "muted") for remark in network.remarks]


def signs(what: str) -> list[Span]:
    """Return the piece of a legend that says which colour is which sign."""
    colours = [("positive", "positive bold"), (" and ", "muted"), ("negative", "negative bold")]
    return [*colours, (f" {what}", "muted")]


def _draw_link(document: Document, link: Link, tail: Unit, head: Unit, count: int) -> None:
    x0, y0, x1, y1 = seen_part(tail, head)
    role = "plus" if link.weight > 0 else "minus" if link.weight < 0 else "line dotted"
    path = f"M{number(x0)},{number(y0 + _CAPTIONS)}L{number(x1)},{number(y1 + _CAPTIONS)}"
    width = 0.5 + 4.5 * link.strength
    opacity = 0.9 if count <= MOST_WEIGHTS else 0.25 + 0.6 * link.strength
    document.draw(
        document.group(link.hint), "path", role, d=path, stroke_width=width, stroke_opacity=opacity
    )


def _draw_weight(document: Document, link: Link, tail: Unit, head: Unit) -> None:
    # The weight interrupts its edge, as in a circuit: beside it, it could belong to another edge.
    x0, y0, x1, y1 = seen_part(tail, head)
    x, y = x0 + link.place * (x1 - x0), y0 + link.place * (y1 - y0) + _CAPTIONS
    turn = f"rotate({number(math.degrees(math.atan2(y1 - y0, x1 - x0)))})"
    group = document.group(link.hint)
    group.set("transform", f"translate({number(x)} {number(y)}) {turn}")
    half = advance(link.label, SMALL_SIZE) / 2
    frame = {"x": -half, "y": -HALF_HEIGHT, "width": 2 * half, "height": 2 * HALF_HEIGHT}
    document.draw(group, "rect", "paper", rx=HALF_HEIGHT, **frame)
    classes = "positive" if link.weight > 0 else "negative" if link.weight < 0 else "muted"
    document.text(group, 0, 4, link.label, classes, SMALL_SIZE)


def _draw_unit(document: Document, unit: Unit) -> None:
    x, y = unit.x, unit.y + _CAPTIONS
    group = document.group(unit.hint)
    fill = "bias" if unit.index == 0 else "leaf" if unit.layer == 1 else "gate"
    frame = {
        "x": x - unit.wide - unit.radius,
        "y": y - unit.radius,
        "width": 2 * (unit.wide + unit.radius),
        "height": 2 * unit.radius,
        "rx": unit.radius,
    }
    document.draw(group, "rect", fill, **frame)
    document.draw(group, "rect", "line", stroke_width=1.4, **frame)
    if unit.index == 0:
        document.text(group, x, y + 5, "+1", "ink", TEXT_SIZE)
        return
    name = [("a", "ink italic"), (str(unit.index), "ink sub"), (f"({unit.layer})", "ink sup")]
    numbers = [(unit.value, "data")] * bool(unit.value) + [(unit.delta, "grad")] * bool(unit.delta)
    document.spans(group, x, y + (5 if len(numbers) != 1 else 12), name, OP_SIZE)
    above, below = (15.0 - unit.radius, unit.radius - 6.0) if len(numbers) > 1 else (-6.0, 0.0)
    for (text, role), dy in zip(numbers, (above, below), strict=False):
        document.text(group, x, y + dy, text, role, SMALL_SIZE)
    for i, note in enumerate(unit.notes):
        classes = "data" if note.startswith("p =") else "ink bold"
        beside = x + unit.wide + unit.radius + 10, y + 5 + 15 * (i - (len(unit.notes) - 1) / 2)
        document.text(document.body, *beside, note, classes, SMALL_SIZE, "start")
