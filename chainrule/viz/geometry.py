"""``Layout``: where the boxes, edges and tags of a drawing are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
Place = tuple[float, float, float, float]
"""Centre, width and height of a node."""


@dataclass(frozen=True, slots=True)
class Spline:
    """An edge: the control points of its Bezier curve, the tip of its arrow, where its label is."""

    points: tuple[Point, ...]
    tip: Point
    label: Point


@dataclass(frozen=True, slots=True)
class Tag:
    """The name of a node, where it stands in place of a long edge from that node."""

    node: str
    middle: Point
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions in points, y downwards: nodes by name, edges in order."""

    width: float
    height: float
    nodes: dict[str, Place]
    edges: tuple[Spline, ...]
    tags: tuple[Tag, ...] = ()
    is_crowded: bool = False
    """Whether labels of edges overlap."""


def bounds(places: Sequence[Place], points: Sequence[Point]) -> tuple[float, float, float, float]:
    """Return the least and largest x, then the least and largest y, of boxes and points."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return (
        min(xs + [x - w / 2 for x, _, w, _ in places]),
        max(xs + [x + w / 2 for x, _, w, _ in places]),
        min(ys + [y - h / 2 for _, y, _, h in places]),
        max(ys + [y + h / 2 for _, y, _, h in places]),
    )


def cropped(nodes: dict[str, Place], edges: Sequence[Spline], tags: Sequence[Tag] = ()) -> Layout:
    """Return the layout moved to the origin, just large enough for its nodes, tags and edges."""
    curves = [point for edge in edges for point in (*edge.points, edge.tip)]
    places = [*nodes.values(), *((*tag.middle, tag.width, tag.height) for tag in tags)]
    left, right, top, bottom = bounds(places, curves)

    def moved(point: Point) -> Point:
        return point[0] - left, point[1] - top

    return Layout(
        right - left,
        bottom - top,
        {name: (*moved((x, y)), w, h) for name, (x, y, w, h) in nodes.items()},
        tuple(
            Spline(tuple(map(moved, edge.points)), moved(edge.tip), moved(edge.label))
            for edge in edges
        ),
        tuple(Tag(tag.node, moved(tag.middle), tag.width, tag.height) for tag in tags),
    )
