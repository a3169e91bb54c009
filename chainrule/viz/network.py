"""From a model to a ``Network``: plain data that says where units are and what they show.

Networks are drawn as in course notes: a column per layer, units a_j^(l) counted from 1, the bias
unit a_0 = 1 on top of each column but the last, an edge per entry of Theta^(l).  The code counts
units from 0; tooltips show how it names them.  A network that is too large for that is drawn as its
matrices: :mod:`.matrices`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any, Protocol

import numpy as np

from ..engine import table
from ..engine.arguments import numbers_in
from ..engine.reductions import softmax
from .boxes import SMALL_SIZE
from .text import NOT_COMPUTED, advance, checked_title, short, visible
from .weight_places import Segment, weight_places

MOST_UNITS = {True: 9, False: 10}  # of a layer, with and without numbers inside
MOST_WEIGHTS = 80  # written on their edges
_MOST_LAYERS = 40
_RADII, _WIDE = {True: (25.0, 34.0), False: (20.0, 24.0)}, {True: 24.0, False: 0.0}
_BIAS_RADIUS = 18.0
_GAPS = 4.0, 22.0  # between two units of a column, at least and at most
_DOWN = 540.0  # for the units of a column, on a slide
_PITCHES = (210.0, 260.0, 320.0, 400.0, 480.0, 560.0, 620.0)
"""From column to column: the first with room for the weights."""
_NARROW = (180.0, 150.0, 120.0)  # for more layers than have room otherwise
_ACROSS = 1150.0  # from the first column to the last, on a slide
_MANY = 24  # weights, from which on the columns are as far apart as they can be
_NOTES = 110.0  # the width of what stands beside the outputs


class HasThetas(Protocol):
    """A model that is drawn: its matrices Theta, in the order of the layers."""

    @property
    def thetas(self) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit, or a bias unit (``index`` 0).

    ``x`` and ``y`` are its centre in points.  It is a circle, or two halves of one that are twice
    ``wide`` apart.  ``delta`` is empty if there is none to show; ``notes`` stand beside it.
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
    wide: float = 0.0
    notes: tuple[str, ...] = ()


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
    remarks: tuple[str, ...] = ()
    """What the legend adds: that all biases are 0, or what p is."""


def seen_part(tail: Unit, head: Unit) -> Segment:
    """Return the ends of the visible edge: where it leaves one unit and enters the other."""
    dx, dy = head.x - tail.x, head.y - tail.y
    length = math.hypot(dx, dy)
    leave = _reach(tail, dx / length, dy / length) / length
    enter = 1.0 - _reach(head, dx / length, dy / length) / length
    return tail.x + leave * dx, tail.y + leave * dy, tail.x + enter * dx, tail.y + enter * dy


def _reach(unit: Unit, cosine: float, sine: float) -> float:
    """Return how far it is from the centre of *unit* to its outline in a direction."""
    cosine, sine = abs(cosine), abs(sine)
    if unit.radius * cosine <= unit.wide * sine:  # through one of the straight sides
        return unit.radius / sine
    return unit.wide * cosine + math.sqrt(unit.radius**2 - (unit.wide * sine) ** 2)


def network_of(
    model: Any, trace: Any = None, *, target: Any = None, title: str | None = None
) -> Network:
    """Return the network of *model*, with the numbers of *trace* in its units.

    >>> from chainrule.nn import MLP
    >>> drawn = network_of(MLP(2, [2, 1], seed=0))
    >>> [unit.id for unit in drawn.units]
    ['a1_0', 'a1_1', 'a1_2', 'a2_0', 'a2_1', 'a2_2', 'a3_1']
    >>> len(drawn.links)
    9
    """
    thetas, sizes = checked_model(model, trace)
    outputs = Outputs.of(model, trace, target)
    (smallest, largest), wide = _RADII[trace is not None], _WIDE[trace is not None]
    columns = [[0, *range(1, size + 1)] for size in sizes[:-1]] + [[*range(1, sizes[-1] + 1)]]
    most = max(map(len, columns))
    radius = min(max((_DOWN + 6.0) / most / 2 - 3.0, smallest), largest)
    gap = (_DOWN - 2 * radius * most) / max(most - 1, 1)
    step = 2 * radius + min(max(gap, _GAPS[0]), _GAPS[1])
    height = step * (most - 1) + 2 * radius
    units = []
    for layer, column in enumerate(columns, start=1):
        for i, index in enumerate(column):
            y = height / 2 + step * (i - (len(column) - 1) / 2)
            unit = _unit(layer, index, radius + wide, y, radius, trace)
            if layer == len(sizes):
                unit = replace(unit, notes=outputs.notes(index - 1))
            units.append(replace(unit, wide=wide if index else 0.0))
    units, links, pitch = _spread(units, _links(thetas, columns))
    captions = [
        *_column_captions(model, sizes, radius + wide, pitch),
        *_matrix_captions(thetas, radius + wide, pitch),
    ]
    remarks = [*outputs.remarks]
    if all(not theta[:, 0].any() for theta in thetas):
        remarks.append("all biases are 0")
    return Network(
        checked_title("draw_network: title", titled(sizes) if title is None else title),
        tuple(units),
        tuple(links),
        tuple(captions),
        width=pitch * (len(sizes) - 1) + 2 * (radius + wide) + (_NOTES if outputs.any else 0.0),
        height=height,
        remarks=tuple(remarks),
    )


def titled(sizes: Sequence[int]) -> str:
    """Return the title of the picture of a network."""
    return f"Network of {' - '.join(map(str, sizes))} units"


Matrix = np.ndarray[Any, np.dtype[np.float64]]


def checked_model(model: Any, trace: Any) -> tuple[list[Matrix], list[int]]:
    """Return the Theta matrices of *model* and the sizes of its layers.

    TypeError or ValueError for what is not a network, or not a trace of it.
    """
    thetas = _matrices(model)
    sizes = [thetas[0].shape[1] - 1, *(theta.shape[0] for theta in thetas)]
    if trace is not None:
        _check_trace(trace, sizes)
    return thetas, sizes


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the outputs of a network mean: probabilities, which is predicted, which is right."""

    shares: tuple[float, ...] = ()
    """The probability of each, if they have any."""
    are_classes: bool = False
    predicted: int | None = None
    targets: tuple[float, ...] = ()
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: Any, trace: Any, target: Any = None) -> Outputs:
        """Return what the outputs of *trace* mean: from *target*, the model and the deltas.

        Where a loss is the cross-entropy of a softmax, the deltas are p - y with p = softmax(z) and
        a y of zeros and a one; for the logistic loss of a single output p = sigmoid(z).  No other
        loss has such deltas, so they tell what p and y are.
        """
        if trace is None:
            if target is not None:
                raise ValueError(
                    "draw_network: a target is drawn beside outputs: give a trace as well"
                )
            return cls()
        last = max(trace.a)
        activation = (getattr(model, "activations", None) or [""])[-1]
        a = [unit.data for unit in trace.a[last]]
        z = [unit.data for unit in trace.z[last]]
        are_shares = activation in ("sigmoid", "softmax")
        shares = a if are_shares else _shares(z)
        deltas = [unit.grad if unit.has_grad else math.nan for unit in trace.z[last]]
        found = [_bit(p - delta) for p, delta in zip(shares, deltas, strict=True)]
        is_loss = None not in found and (are_shares or len(z) == 1 or sum(filter(None, found)) == 1)
        targets = _targets(target, len(z))
        if is_loss and not targets:
            targets = tuple(bit or 0.0 for bit in found)
        are_classes = len(a) > 1 and (
            is_loss or are_shares or (sorted(targets)[-1:] == [1.0] and sum(targets) == 1.0)
        )
        name = "softmax(z)" if len(z) > 1 else "sigmoid(z)"
        return cls(
            shares=tuple(shares) if is_loss and not are_shares else (),
            are_classes=are_classes,
            predicted=a.index(max(a)) if are_classes else None,
            targets=targets,
            remarks=(f"p = {name}",) if is_loss and not are_shares else (),
        )

    @property
    def any(self) -> bool:
        """Whether there is anything to say."""
        return bool(self.shares or self.targets or self.predicted is not None)

    def notes(self, j: int) -> tuple[str, ...]:
        """Return what stands beside output *j*, which counts from 0."""
        notes = [f"p = {short(self.shares[j])}"] if self.shares else []
        if self.predicted == j:
            notes.append("prediction")
        if self.targets and not self.are_classes:
            notes.append(f"target {short(self.targets[j])}")
        elif self.targets and self.targets[j] == max(self.targets):
            notes.append("target")
        return tuple(notes)


def _shares(z: list[float]) -> list[float]:
    return [table.sigmoid(z[0])] if len(z) == 1 else [float(p) for p in softmax(z)]


def _bit(x: float) -> float | None:
    """Return 0 or 1 if *x* is that but for rounding, else None."""
    return next((bit for bit in (0.0, 1.0) if abs(x - bit) < 1e-9), None)


def _targets(target: Any, count: int) -> tuple[float, ...]:
    if target is None:
        return ()
    if isinstance(target, (int, np.integer)) and not isinstance(target, bool) and count > 1:
        if not 0 <= target < count:
            raise ValueError(f"draw_network: target is {target}; the classes are 0 to {count - 1}")
        return tuple(float(j == target) for j in range(count))
    found = np.atleast_1d(numbers_in("draw_network: target", target))
    if found.shape != (count,):
        raise ValueError(
            f"draw_network: target has shape {found.shape}; expected a class or {count} numbers"
        )
    return tuple(found.tolist())


def _matrices(model: Any) -> list[Matrix]:
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


def _unit(layer: int, index: int, x: float, y: float, radius: float, trace: Any) -> Unit:
    if index == 0:
        return Unit(
            f"a{layer}_0", layer, 0, x, y, _BIAS_RADIUS, hint=f"bias unit of layer {layer}, 1"
        )
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


def _links(thetas: Sequence[Matrix], columns: Sequence[Sequence[int]]) -> list[Link]:
    shown = [
        (layer, j, k, float(theta[j - 1, k]))
        for layer, theta in enumerate(thetas, start=1)
        for j in columns[layer]
        for k in columns[layer - 1]
        if j > 0
    ]
    no_biases = {layer for layer, theta in enumerate(thetas, start=1) if not theta[:, 0].any()}
    written = sum(k > 0 or layer not in no_biases for layer, _, k, _ in shown)
    largest = max((abs(w) for *_, w in shown if math.isfinite(w)), default=0.0) or 1.0
    return [
        Link(
            tail=f"a{layer}_{k}",
            head=f"a{layer + 1}_{j}",
            weight=w,
            strength=min(abs(w) / largest, 1.0) if w == w else 0.0,
            label=short(w) if written <= MOST_WEIGHTS and (k or layer not in no_biases) else "",
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
    gaps = max(unit.layer for unit in units) - 1
    room = [pitch for pitch in _PITCHES if pitch * gaps <= _ACROSS]
    if not room:
        room = [pitch for pitch in _NARROW if pitch * gaps <= _ACROSS] or [_NARROW[-1]]
    if sum(bool(link.label) for link in links) > _MANY:
        room = room[-1:] + room[:-1]  # they are easier to read with all the room there is
    for pitch in room:
        spread = [replace(unit, x=unit.x + pitch * (unit.layer - 1)) for unit in units]
        if not any(link.label for link in links):
            return spread, list(links), pitch
        by_id = {unit.id: unit for unit in spread}
        placed = [link for link in links if not link.label]
        labelled = [link for link in links if link.label]
        for _, matrix in groupby(labelled, key=lambda link: by_id[link.tail].layer):
            between = list(matrix)
            places = weight_places(
                [seen_part(by_id[link.tail], by_id[link.head]) for link in between],
                [advance(link.label, SMALL_SIZE) for link in between],
            )
            placed += map(_at, between, places or ())
        if len(placed) == len(links):
            order = {(link.tail, link.head): i for i, link in enumerate(links)}
            placed.sort(key=lambda link: order[link.tail, link.head])
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
