"""From a model to a ``Network``: plain data that says where units are and what they show.

Networks are drawn as in course notes: a column per layer, units a_j^(l) counted from 1, the bias
unit a_0 = 1 on top of each column but the last, an edge per entry of Theta^(l).  The code counts
units from 0; tooltips show how it names them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from .boxes import SMALL_SIZE
from .labels import Segment, label_places
from .text import NOT_COMPUTED, advance, checked_title, short, visible

_MOST_UNITS = 10  # shown of one layer; a larger layer shows its first six and its last two
MOST_WEIGHTS = 45  # written on their edges
_MOST_LAYERS = 40
_LEFT_OUT = -1
_RADIUS = {True: 38.0, False: 24.0}  # with and without numbers inside
_GAP = 22.0
_PITCHES = (210.0, 260.0, 320.0)  # from column to column: the first with room for the weights


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit, a bias unit (``index`` 0), or a gap in place of the units left out (``index`` -1).

    ``x`` and ``y`` are its centre in points; ``delta`` is empty if there is none to show.
    """

    id: str
    layer: int
    index: int
    x: float
    y: float
    radius: float
    value: str = ""
    delta: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """An edge and its weight; ``strength`` is |weight| relative to the largest, from 0 to 1.

    The middle of the label is at ``place``, from 0 to 1 along the visible part of the edge.
    """

    tail: str
    head: str
    weight: float
    strength: float
    label: str = ""
    place: float = 0.0
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Caption:
    """Two lines of text above a column, or between two columns."""

    x: float
    first: str
    superscript: str
    second: str


@dataclass(frozen=True, slots=True)
class Network:
    """A drawing of a network, as data: units column by column, links matrix by matrix."""

    title: str
    units: tuple[Unit, ...]
    links: tuple[Link, ...]
    captions: tuple[Caption, ...]
    width: float
    height: float


def seen_part(tail: Unit, head: Unit) -> Segment:
    """Return the ends of the visible edge: where it leaves one unit and enters the other."""
    dx, dy = head.x - tail.x, head.y - tail.y
    length = math.hypot(dx, dy)
    leave, enter = tail.radius / length, 1.0 - head.radius / length
    return tail.x + leave * dx, tail.y + leave * dy, tail.x + enter * dx, tail.y + enter * dy


def network_of(model: Any, trace: Any = None, *, title: str | None = None) -> Network:
    """Return the network of *model*, with the numbers of *trace* in its units.

    >>> from chainrule.nn import MLP
    >>> drawn = network_of(MLP(2, [2, 1], seed=0))
    >>> [unit.id for unit in drawn.units]
    ['a1_0', 'a1_1', 'a1_2', 'a2_0', 'a2_1', 'a2_2', 'a3_1']
    >>> len(drawn.links)
    9
    """
    thetas = _matrices(model)
    sizes = [thetas[0].shape[1] - 1, *(theta.shape[0] for theta in thetas)]
    if trace is not None:
        _check_trace(trace, sizes)
    radius = _RADIUS[trace is not None]
    columns = [_indices(size, bias=True) for size in sizes[:-1]] + [_indices(sizes[-1], bias=False)]
    step = 2 * radius + _GAP
    height = step * max(map(len, columns)) - _GAP
    units = []
    for layer, (column, size) in enumerate(zip(columns, sizes, strict=True), start=1):
        for i, index in enumerate(column):
            y = height / 2 + step * (i - (len(column) - 1) / 2)
            if index == _LEFT_OUT:
                units.append(_gap(layer, size, radius, y))
            else:
                units.append(_unit(layer, index, radius, y, radius, trace))
    units, links, pitch = _spread(units, _links(thetas, columns))
    captions = [
        *_column_captions(model, sizes, radius, pitch),
        *_matrix_captions(thetas, radius, pitch),
    ]
    if title is None:
        title = f"Network of {' - '.join(map(str, sizes))} units"
    return Network(
        checked_title(title),
        tuple(units),
        tuple(links),
        tuple(captions),
        width=pitch * (len(sizes) - 1) + 2 * radius,
        height=height,
    )


def _matrices(model: Any) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    try:
        thetas = [np.asarray(theta, dtype=float) for theta in model.thetas]
    except AttributeError:
        raise TypeError(
            f"draw_network: expected a model with Theta matrices, such as nn.MLP, not "
            f"{type(model).__name__}; viz.draw(value) draws the graph of a Value"
        ) from None
    if not thetas or any(theta.ndim != 2 or theta.shape[1] < 2 for theta in thetas):
        raise ValueError("draw_network: model.thetas must be matrices of shape (s_next, 1 + s)")
    for layer, (theta, after) in enumerate(pairwise(thetas), start=1):
        if after.shape[1] != 1 + theta.shape[0]:
            raise ValueError(
                f"draw_network: Theta{layer} has shape {theta.shape}, so Theta{layer + 1} needs "
                f"{1 + theta.shape[0]} columns; it has shape {after.shape}"
            )
    if len(thetas) >= _MOST_LAYERS:
        raise ValueError(
            f"draw_network: {len(thetas) + 1} layers, more than {_MOST_LAYERS}, would make an "
            "unreadable picture: draw the graph of a part with viz.draw(value, depth=...)"
        )
    return thetas


def _check_trace(trace: Any, sizes: Sequence[int]) -> None:
    try:
        given = [len(trace.a[layer]) for layer in sorted(trace.a)]
    except (AttributeError, TypeError):
        raise TypeError(
            f"draw_network: expected the trace that model.trace(x) returns, not "
            f"{type(trace).__name__}"
        ) from None
    if given != list(sizes):
        raise ValueError(
            f"draw_network: the trace has layers of {given} units, the model of {list(sizes)}; "
            "expected a trace of this model"
        )


def _indices(size: int, bias: bool) -> list[int]:
    """Return which units a column shows."""
    if size <= _MOST_UNITS:
        shown = list(range(1, size + 1))
    else:
        shown = [*range(1, 7), _LEFT_OUT, size - 1, size]
    return [0, *shown] if bias else shown


def _gap(layer: int, size: int, x: float, y: float) -> Unit:
    return Unit(f"more{layer}", layer, _LEFT_OUT, x, y, 20.0, f"{size - 8} more")


def _unit(layer: int, index: int, x: float, y: float, radius: float, trace: Any) -> Unit:
    if index == 0:
        return Unit(f"a{layer}_0", layer, 0, x, y, 20.0, hint=f"bias unit of layer {layer}, 1")
    value = delta = ""
    hint = f"unit {index} of layer {layer}"
    if trace is not None:
        j = index - 1
        activation = trace.a[layer][j]
        value = short(activation.data)
        hint += f"\na = {activation.data!r} (trace.a[{layer}][{j}])"
        if layer in trace.z:
            z = trace.z[layer][j]
            delta = short(z.grad) if z.has_grad else NOT_COMPUTED
            known = repr(z.grad) if z.has_grad else "not yet computed"
            hint += f"\nz = {z.data!r}\ndelta = {known} (trace.z[{layer}][{j}].grad)"
    return Unit(f"a{layer}_{index}", layer, index, x, y, radius, value, delta, hint)


def _links(
    thetas: Sequence[np.ndarray[Any, np.dtype[np.float64]]], columns: Sequence[Sequence[int]]
) -> list[Link]:
    shown = [
        (layer, j, k, float(theta[j - 1, k]))
        for layer, theta in enumerate(thetas, start=1)
        for j in columns[layer]
        for k in columns[layer - 1]
        if j > 0 and k >= 0
    ]
    largest = max((abs(w) for *_, w in shown if math.isfinite(w)), default=0.0) or 1.0
    return [
        Link(
            tail=f"a{layer}_{k}",
            head=f"a{layer + 1}_{j}",
            weight=w,
            strength=min(abs(w) / largest, 1.0) if w == w else 0.0,
            label=short(w) if len(shown) <= MOST_WEIGHTS else "",
            hint=f"weight {w!r} from unit {k} of layer {layer} to unit {j} of layer {layer + 1}"
            f"\nmodel.thetas[{layer - 1}][{j - 1}, {k}]",
        )
        for layer, j, k, w in shown
    ]


def _spread(units: Sequence[Unit], links: Sequence[Link]) -> tuple[list[Unit], list[Link], float]:
    """Return the units in columns, the links with places for their labels, and the pitch.

    The columns are as close together as they can be without overlapping labels.  If labels would
    overlap at any distance, there are none.
    """
    for pitch in _PITCHES:
        spread = [replace(unit, x=unit.x + pitch * (unit.layer - 1)) for unit in units]
        if not any(link.label for link in links):
            return spread, list(links), pitch
        by_id = {unit.id: unit for unit in spread}
        placed: list[Link] = []
        for _, matrix in groupby(links, key=lambda link: by_id[link.tail].layer):
            between = list(matrix)
            places = label_places(
                [seen_part(by_id[link.tail], by_id[link.head]) for link in between],
                [advance(link.label, SMALL_SIZE) for link in between],
            )
            placed += map(_at, between, places or ())
        if len(placed) == len(links):
            return spread, placed, pitch
    return _spread(units, [replace(link, label="") for link in links])


def _at(link: Link, place: float) -> Link:
    return replace(link, place=place)


def _column_captions(
    model: Any, sizes: Sequence[int], radius: float, pitch: float
) -> list[Caption]:
    names = ["input", *getattr(model, "activations", [""] * (len(sizes) - 1))]
    return [
        Caption(
            radius + pitch * i,
            f"layer {i + 1}",
            "",
            visible(f"{name}, {size} unit{'s' * (size != 1)}".removeprefix(", "), 40),
        )
        for i, (name, size) in enumerate(zip(names, sizes, strict=True))
    ]


def _matrix_captions(thetas: Sequence[Any], radius: float, pitch: float) -> list[Caption]:
    return [
        Caption(radius + pitch * (i + 0.5), "Θ", f"({i + 1})", f"{rows} × {columns}")
        for i, (rows, columns) in enumerate(theta.shape for theta in thetas)
    ]
