"""The picture of a large network: its matrices as cells, whose colours say sign and size."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from . import theme
from .boxes import SMALL_SIZE, TEXT_SIZE
from .geometry import Point
from .matrices import LEVELS, Grid, Matrices, Scale
from .svg import Document, number, signs
from .text import advance

_CAPTION = 26.0  # the height of the names above
_SCALES = 58.0  # the height of the scales below
_SWATCH = 11.0
_MARKED = 5.0  # a smaller cell has no room for the dash that says that it is negative
_BAR = (2 * LEVELS + 1) * _SWATCH
_BEFORE, _AFTER, _APART = 8.0, 6.0, 34.0  # around the bar of a scale, and between two scales


def matrices_svg(drawn: Matrices, colours: theme.Theme = "light") -> str:
    """Return the picture of *drawn*."""
    legend = signs("(with a dash) numbers, darker where larger")
    if any(grid.name == "δ" for grid in drawn.grids):
        legend += [(",  ", "muted"), ("δ = d loss / d z", "grad bold")]
    legend += [(f",  {remark}", "muted") for remark in drawn.remarks]
    height = drawn.height + _CAPTION + _SCALES
    width = max(drawn.width, sum(_scale_width(scale) for scale in drawn.scales) - _APART)
    document = Document(drawn.title, width, height, legend, colours)
    for grid in drawn.grids:
        _draw_grid(document, grid)
    for note in drawn.notes:
        y = note.y + _CAPTION + 4.0
        classes = "ink bold" if note.is_marked else "ink"
        document.text(document.body, note.x, y, note.text, classes, SMALL_SIZE, "start")
    x = 0.0
    for scale in drawn.scales:
        _draw_scale(document, scale, x, height - _SCALES + 34.0)
        x += _scale_width(scale)
    return str(document)


def _draw_grid(document: Document, grid: Grid) -> None:
    group = document.group(grid.hint)
    y = grid.y + _CAPTION
    across, down = grid.width / len(grid.levels[0]), grid.height / len(grid.levels)
    frame = {"x": grid.x, "y": y, "width": grid.width, "height": grid.height}
    document.draw(group, "rect", "paper", **frame)
    cells: dict[int, list[str]] = {}
    for i, row in enumerate(grid.levels):
        for j, level in enumerate(row):
            corner = f"M{number(grid.x + j * across)},{number(y + i * down)}"
            cells.setdefault(level, []).append(
                f"{corner}h{number(across)}v{number(down)}h{number(-across)}z"
            )
    for level in sorted(cells):
        if level:
            _draw_cells(document, group, level, "".join(cells[level]))
    if min(across, down) >= _MARKED:
        negative = [
            (grid.x + j * across, y + (i + 0.5) * down)
            for i, row in enumerate(grid.levels)
            for j, level in enumerate(row)
            if level < 0
        ]
        _draw_dashes(document, group, negative, across)
    document.draw(group, "rect", "line", stroke_width=0.8, **frame)
    name = [(grid.name, "ink italic"), (grid.superscript, "ink sup")]
    match grid.kind:
        case "above":
            document.spans(group, grid.x, y - 6.0, name, TEXT_SIZE, "start")
        case "beside":
            document.spans(group, grid.x + grid.width / 2, y - 8.0, name, TEXT_SIZE)
        case "matrix":
            below = y + grid.height + 18.0
            document.spans(group, grid.x + grid.width / 2, below, name, TEXT_SIZE)


def _draw_cells(document: Document, parent: ET.Element, level: int, path: str) -> None:
    opacity = (abs(level) / LEVELS) ** 0.8
    role = "positive" if level > 0 else "negative"
    document.draw(parent, "path", role, d=path, fill_opacity=opacity, shape_rendering="crispEdges")


def _draw_dashes(
    document: Document, parent: ET.Element, cells: Sequence[Point], width: float
) -> None:
    """Mark *cells*, given by the middle of their left side, as negative without a colour."""
    if cells:
        path = "".join(
            f"M{number(x + 0.3 * width)},{number(y)}h{number(0.4 * width)}" for x, y in cells
        )
        document.draw(parent, "path", "strong", d=path, stroke_width=0.8)


def _draw_scale(document: Document, scale: Scale, x: float, y: float) -> None:
    group = document.group(f"{scale.name}: the darkest cells stand for {scale.largest} and more")
    smallest = f"{scale.name}  -{scale.largest}"
    document.text(group, x, y + 9.5, smallest, "muted", SMALL_SIZE, "start")
    left = x + _width(smallest) + _BEFORE
    for i, level in enumerate(range(-LEVELS, LEVELS + 1)):
        corner = f"M{number(left + i * _SWATCH)},{number(y)}"
        path = f"{corner}h{number(_SWATCH)}v{number(_SWATCH)}h{number(-_SWATCH)}z"
        if level:
            _draw_cells(document, group, level, path)
    negative = [(left + i * _SWATCH, y + _SWATCH / 2) for i in range(LEVELS)]
    _draw_dashes(document, group, negative, _SWATCH)
    frame = {"x": left, "y": y, "width": _BAR, "height": _SWATCH}
    document.draw(group, "rect", "hairline", **frame)
    largest = left + _BAR + _AFTER
    document.text(group, largest, y + 9.5, scale.largest, "muted", SMALL_SIZE, "start")


def _scale_width(scale: Scale) -> float:
    """Return how far the next scale begins behind *scale*."""
    texts = _width(f"{scale.name}  -{scale.largest}") + _width(scale.largest)
    return texts + _BEFORE + _BAR + _AFTER + _APART


def _width(text: str) -> float:
    return advance(text, SMALL_SIZE)
