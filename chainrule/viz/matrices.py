"""From a large model to ``Matrices``: its Theta matrices, activations and deltas as coloured cells.

A layer is drawn as the formula is written, z = Theta [1; a]: the activations stand above the
columns that they multiply, and beside each row of Theta stand the activation and the delta of the
unit that the row computes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .boxes import SMALL_SIZE
from .network import Matrix, Outputs, checked_model, titled
from .text import advance, checked_title, short

LEVELS = 8
"""Shades of each of the two colours; 0 is the paper."""
_ROOM = 1330.0, 470.0  # for the cells of a picture that fits a slide
_MOST_COLUMNS, _MOST_ROWS = 200, 90  # of a matrix; larger ones are gathered
_LARGEST, _SMALLEST = 14.0, 3.0  # the side of a cell
_STRIP = 16.0  # the breadth of activations and deltas
_BETWEEN, _BLOCKS = 6.0, 46.0
_NOTES, _LINE = 180.0, 15.0  # the room of what stands beside the outputs, and its lines' height
_GAP = 8.0  # between the last cells and what stands beside them
_MOST_NOTES = 24


@dataclass(frozen=True, slots=True)
class Grid:
    """A matrix of cells: their levels, from -LEVELS to LEVELS, and where they are.

    *kind* says what it is beside its layer: the matrix itself, or a strip above or beside it.
    """

    kind: Literal["matrix", "above", "beside"]
    name: str
    superscript: str
    x: float
    y: float
    width: float
    height: float
    levels: tuple[tuple[int, ...], ...]
    hint: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line of text beside an output, bold if it is marked."""

    x: float
    y: float
    text: str
    is_marked: bool


@dataclass(frozen=True, slots=True)
class Scale:
    """What the darkest cells of a kind of number stand for."""

    name: str
    largest: str


@dataclass(frozen=True, slots=True)
class Matrices:
    """A drawing of a network, as data: grids of cells, notes and scales."""

    title: str
    sizes: tuple[int, ...]
    grids: tuple[Grid, ...]
    notes: tuple[Note, ...]
    scales: tuple[Scale, ...]
    width: float
    height: float
    remarks: tuple[str, ...] = ()


def matrices_of(
    model: Any, trace: Any = None, *, target: Any = None, title: str | None = None
) -> Matrices:
    """Return the matrices of *model*, with the numbers of *trace* beside them.

    >>> from chainrule.nn import MLP
    >>> drawn = matrices_of(MLP(64, [32, 10], seed=0))
    >>> [(grid.name, len(grid.levels), len(grid.levels[0])) for grid in drawn.grids]
    [('Θ', 32, 65), ('Θ', 10, 33)]
    """
    thetas, sizes = checked_model(model, trace)
    outputs = Outputs.of(model, trace, target)
    gathers = [
        (-(-theta.shape[0] // _MOST_ROWS), -(-theta.shape[1] // _MOST_COLUMNS)) for theta in thetas
    ]
    shapes = [
        (-(-theta.shape[0] // down), -(-theta.shape[1] // across))
        for theta, (down, across) in zip(thetas, gathers, strict=True)
    ]
    strips = 0.0 if trace is None else 2 * _STRIP + 3 * _BETWEEN
    beside = len(thetas) * (strips + _BLOCKS) + (_NOTES if outputs.any else 0.0)
    side = min(
        (_ROOM[0] - beside) / sum(columns for _, columns in shapes),
        (_ROOM[1] - _STRIP) / max(rows for rows, _ in shapes),
        _LARGEST,
    )
    side = max(side, _SMALLEST)
    a, deltas = _numbers(trace)
    largest = [_largest(thetas), _largest(a), _largest(deltas)]
    grids: list[Grid] = []
    notes: list[Note] = []
    x, tallest = 0.0, max(rows for rows, _ in shapes) * side
    top = 0.0 if trace is None else _STRIP + _BETWEEN
    noted = outputs.any and gathers[-1][0] == 1 and sizes[-1] <= _MOST_NOTES
    for layer, (theta, gather, (rows, columns)) in enumerate(
        zip(thetas, gathers, shapes, strict=True), start=1
    ):
        width, height = columns * side, rows * side
        if noted and layer == len(thetas):
            height = max(height, rows * _LINE)
            tallest = max(tallest, height)
        if trace is not None:
            above = np.concatenate([[1.0], a[layer - 1]])[None, :]
            hint = f"the activations of layer {layer}, after the bias unit (trace.a[{layer}])"
            cells = _levels(above, (1, gather[1]), largest[1])
            y = top - _STRIP - _BETWEEN
            grids.append(Grid("above", "a", f"({layer})", x, y, width, _STRIP, cells, hint))
        hint = f"Theta^({layer}), {theta.shape[0]} × {theta.shape[1]} (model.thetas[{layer - 1}])"
        cells = _levels(theta, gather, largest[0])
        grids.append(Grid("matrix", "Θ", f"({layer})", x, top, width, height, cells, hint))
        x += width
        if trace is not None:
            for name, numbers, most, where in (
                ("a", a[layer], largest[1], f"trace.a[{layer + 1}]"),
                ("δ", deltas[layer - 1], largest[2], f"trace.delta({layer + 1})"),
            ):
                x += _BETWEEN if name == "a" else 2 * _BETWEEN
                cells = _levels(numbers[:, None], (gather[0], 1), most)
                hint = (
                    f"{'activations' if name == 'a' else 'deltas'} of layer {layer + 1} ({where})"
                )
                superscript = f"({layer + 1})"
                grids.append(Grid("beside", name, superscript, x, top, _STRIP, height, cells, hint))
                x += _STRIP
        x += _BLOCKS
    if noted:
        pitch = grids[-1].height / sizes[-1]
        for j in range(sizes[-1]):
            name = f"class {j}" if outputs.are_classes else f"output {j + 1}"
            text = ",  ".join([name, *outputs.notes(j)])
            notes.append(Note(x - _BLOCKS + _GAP, top + (j + 0.5) * pitch, text, "target" in text))
    widths = (advance(note.text, SMALL_SIZE) + _GAP for note in notes)
    kinds = [("weights", largest[0])]
    if trace is not None:
        kinds.append(("activations", largest[1]))
        if not all(np.isnan(delta).all() for delta in deltas):
            kinds.append(("deltas", largest[2]))
    remarks = list(outputs.remarks)
    if any(gather != (1, 1) for gather in gathers):
        remarks.append("a cell is the largest of several")
    if any(np.isnan(delta).all() for delta in deltas):
        remarks.append("deltas not yet computed")
    return Matrices(
        checked_title("draw_network: title", titled(sizes) if title is None else title),
        tuple(sizes),
        tuple(grids),
        tuple(notes),
        tuple(Scale(name, short(most)) for name, most in kinds),
        width=x - _BLOCKS + max(widths, default=0.0),
        height=top + tallest,
        remarks=tuple(remarks),
    )


def _numbers(trace: Any) -> tuple[list[Matrix], list[Matrix]]:
    """Return the activations of all layers and the deltas from layer 2 on; nan for none yet."""
    if trace is None:
        return [], []
    a = [np.array([unit.data for unit in units]) for _, units in sorted(trace.a.items())]
    deltas = [
        np.array([unit.grad if unit.has_grad else math.nan for unit in units])
        for _, units in sorted(trace.z.items())
    ]
    return a, deltas


def _largest(arrays: list[Matrix]) -> float:
    finite = [np.abs(x[np.isfinite(x)]).max(initial=0.0) for x in arrays]
    return float(max(finite, default=0.0))


def _levels(
    numbers: Matrix, gather: tuple[int, int], largest: float
) -> tuple[tuple[int, ...], ...]:
    """Return the level of each cell: of the number of the largest size of those it stands for."""
    down, across = gather
    rows, columns = -(-numbers.shape[0] // down), -(-numbers.shape[1] // across)
    padded = np.zeros((rows * down, columns * across))
    padded[: numbers.shape[0], : numbers.shape[1]] = np.nan_to_num(
        numbers, nan=0.0, posinf=largest, neginf=-largest
    )
    blocks = padded.reshape(rows, down, columns, across).swapaxes(1, 2).reshape(rows, columns, -1)
    chosen = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[..., None], axis=2)[..., 0]
    scaled = np.clip(chosen / (largest or 1.0), -1.0, 1.0)
    # Away from zero, so that a number that is not 0 has a colour.
    levels = np.sign(scaled) * np.ceil(np.abs(scaled) * LEVELS)
    return tuple(tuple(int(level) for level in row) for row in levels)
