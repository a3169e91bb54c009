"""A drawing that can be read on a slide: what is wrapped, written tightly or folded for that.

Fitted into 1280 by 640 pixels, no text of a picture is smaller than 11 pixels.  That leaves room
for some forty boxes.  A graph with more is written more tightly, and if that is not enough it is
folded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ..engine.arguments import is_sequence
from ..engine.backend import Value
from . import folding
from .boxes import SMALL_SIZE
from .circuit import Circuit, Look, Node, circuit_of, members_of
from .folding import Fold
from .geometry import Layout, Point
from .layered import Direction, fit, lay_out, least_area, most_area
from .svg import surround
from .terms import Row, listed_operands

SLIDE, SMALLEST = (1280.0, 640.0), 11.0
"""The size of a slide, and of the smallest text on it, in pixels."""

_WHOLE = SLIDE[0] * SMALL_SIZE / SMALLEST, SLIDE[1] * SMALL_SIZE / SMALLEST

Unfold = bool | str | Collection[str]


def fitted(
    root: Value, *, unfold: Unfold = False, direction: Direction = "right", **options: Any
) -> tuple[Circuit, Layout]:
    """Return the circuit of *root*, folded as far as it must be to be readable, and its layout.

    The *options* are those of ``circuit_of``.
    """
    if direction not in ("right", "down"):
        raise ValueError(f"draw: direction is {direction!r:.80}; expected 'right' or 'down'")
    names = _checked(unfold)
    if unfold is True:
        circuit = circuit_of(root, **options)
        return circuit, lay_out(circuit, direction, room(circuit))
    members, folded = members_of(root, **_of_members(options))
    nodes = [node for node in members if node not in folded]
    crowded = None  # the first look that fits, but whose labels overlap: better than no look
    for look in _looks(nodes, members):
        drawn, layout = None, None
        if not is_hopeless(look, nodes, members):
            drawn = circuit_of(root, look=look, **options)
            layout = fit(drawn, direction, room(drawn))
        if layout is not None and not layout.is_crowded:
            break
        if layout is not None and crowded is None:
            crowded = look, drawn, layout
    else:
        if crowded is not None:
            look, drawn, layout = crowded
    circuit = drawn or circuit_of(root, look=look, **options)
    if look.folds and look.folds[0].is_one_of_many:
        example = _look(look.folds[1:], len(nodes), look.flat_leaves)
        open_circuit = circuit_of(root, look=example, **options)
        open_layout = fit(open_circuit, direction, room(open_circuit))
        if open_layout is not None:
            look, circuit, layout = example, open_circuit, open_layout
    if layout is None:  # a single box too large for the slide
        layout = lay_out(circuit, direction, room(circuit))
    if not names:
        return circuit, layout
    known = [fold.name for fold in look.folds]
    if unknown := [name for name in names if name not in known]:
        folded_now = f"what is folded is {', '.join(map(repr, known))}" if known else "nothing is"
        raise ValueError(f"draw: unfold is {unknown[0]!r:.80}; {folded_now}")
    kept = folding.opened(look.folds, names, nodes)
    circuit = circuit_of(root, look=_look(kept, len(nodes), look.flat_leaves), **options)
    return circuit, lay_out(circuit, direction, room(circuit))


def room(circuit: Circuit) -> Point:
    """Return the width and height that the boxes and edges of *circuit* may take."""
    around = surround(circuit.note)
    return _WHOLE[0] - around[0], _WHOLE[1] - around[1]


def is_hopeless(look: Look, nodes: Sequence[Value], members: Sequence[Value]) -> bool:
    """Whether the smallest boxes that *nodes* could have are too many for the room.

    It asks what ``least`` of the layout asks of the whole circuit, only before there is one.
    """
    listed = listed_operands(members) if look.listed_operands else ()
    inside = {node for fold in look.folds for node in fold.members}
    boxes = [node for node in nodes if node not in inside and node not in listed]
    flat = sum(node.primitive is None for node in boxes) if look.flat_leaves else 0
    areas = (
        (len(boxes) - flat) * least_area(Node("", "+", "", "0", "0", 0))
        + flat * least_area(Node("", "", "", "0", "0", 0, flat=True))
        + len(look.folds) * least_area(Node("", "", "", "", "", 0, rows=(Row(""),) * 2))
    )
    return areas > most_area(_WHOLE)


def _checked(unfold: Any) -> list[str]:
    if isinstance(unfold, bool):
        return []
    names = [unfold] if isinstance(unfold, str) or not is_sequence(unfold) else list(unfold)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"draw: unfold is {unfold!r:.80}; expected True, or the names of what to unfold"
        )
    return names


def _of_members(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "title"}


def _looks(nodes: Sequence[Value], members: Sequence[Value]) -> Iterator[Look]:
    """Yield ways to draw *nodes*, each with more left out or written more tightly."""
    yield Look()
    listed = listed_operands(members)
    if listed:
        nodes = [node for node in nodes if node not in listed]
        names = f"Operands are rows of their box; unfold=True draws all {len(nodes) + len(listed)}"
        yield Look(listed_operands=True, note=f"{names} nodes.")
    yield Look(flat_leaves=True, listed_operands=bool(listed))
    for folds in folding.ways_to_fold(nodes):
        yield _look(folds, len(nodes) + len(listed), flat=False)
        yield _look(folds, len(nodes) + len(listed), flat=True)


def _look(folds: Sequence[Fold], count: int, flat: bool) -> Look:
    return Look(tuple(folds), flat, listed_operands=True, note=_note(folds, count))


def _note(folds: Sequence[Fold], count: int) -> str:
    if not folds:
        return ""
    names = [fold.name for fold in folds]
    shown = ", ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]}, … {names[-1]}"
    return (
        f"Folded, to be readable: {shown}.  unfold=True draws all {count} nodes, "
        f"unfold={names[-1]!r} those of one."
    )
