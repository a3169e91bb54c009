"""The layout of a graph: Graphviz reads DOT text and returns positions.

Graphviz runs in a separate process, without a shell and with a time limit, so neither a layout that
hangs nor one that crashes takes the session down.  It is the ``dot`` on the PATH if there is one,
and otherwise the library inside PyPI's pygraphviz wheel, run by another Python process.
"""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Point = tuple[float, float]
Place = tuple[float, float, float, float]
"""Centre, width and height of a node."""

TIMEOUT = 60.0  # seconds; 200 nodes take a fraction of one

_PYGRAPHVIZ = """
import sys
sys.path[:] = sys.argv[1:]
import pygraphviz
text = sys.stdin.buffer.read().decode("utf-8")
sys.stdout.buffer.write(pygraphviz.AGraph(string=text).draw(format="json0", prog="dot"))
"""


class GraphvizError(RuntimeError):
    """Graphviz is missing, failed, or took too long."""

    __module__ = "chainrule.viz"


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


def lay_out(dot: str) -> Layout:
    """Return where Graphviz puts the nodes and edges of the graph *dot* (laid out by ``dot``).

    GraphvizError if it cannot be run, with what to install.
    """
    answer = _run(dot)
    try:
        return _parsed(json.loads(answer))
    except (ValueError, KeyError, IndexError) as error:
        raise GraphvizError(
            f"Graphviz did not return a layout in JSON ({error!r}): install a newer Graphviz"
        ) from None


def _run(dot: str) -> bytes:
    try:
        done = subprocess.run(
            _command(), input=dot.encode(), capture_output=True, timeout=TIMEOUT, check=True
        )
    except subprocess.TimeoutExpired:
        raise GraphvizError(
            f"Graphviz did not lay the graph out within {TIMEOUT:.0f} seconds: draw a smaller part "
            "of it (depth=...); drawing.dot still has the DOT text"
        ) from None
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"").decode(errors="replace").strip()
        reason = said.splitlines()[-1] if said else str(error)
        raise GraphvizError(
            f"Graphviz failed ({reason}); drawing.dot still has the DOT text"
        ) from None
    return done.stdout


def _command() -> list[str]:
    dot = shutil.which("dot")
    if dot is not None:
        return [dot, "-Tjson0"]
    if importlib.util.find_spec("pygraphviz") is not None:
        return [sys.executable, "-c", _PYGRAPHVIZ, *sys.path]
    raise GraphvizError(
        "an SVG of a graph needs Graphviz: pip install 'pygraphviz>=2.0.4' (its wheel carries "
        "Graphviz), or install Graphviz so that `dot` is on the PATH; the DOT text needs neither: "
        "drawing.dot, drawing.save('graph.dot')"
    )


def _parsed(answer: dict[str, Any]) -> Layout:
    nodes: dict[str, Place] = {}
    for thing in answer.get("objects", []):
        x, y = _point(thing["pos"])
        nodes[thing["name"]] = x, y, 72 * float(thing["width"]), 72 * float(thing["height"])
    edges = []
    for edge in sorted(answer.get("edges", []), key=lambda edge: int(edge["id"][1:])):
        tip, *points = map(_point, edge["pos"].removeprefix("e,").split())
        edges.append(Spline(tuple(points), tip, _nearest(points, _point(edge["lp"]))))
    return cropped(nodes, edges)


def _point(text: str) -> Point:
    x, y = text.split(",")
    return float(x), -float(y)  # Graphviz counts upwards


def _nearest(points: Sequence[Point], target: Point) -> Point:
    """Return the point of a chain of cubic Bezier curves nearest to *target*, on a fine grid."""
    candidates = []
    for i in range(0, len(points) - 1, 3):
        a, b, c, d = points[i : i + 4]
        for t in (k / 16 for k in range(17)):
            weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
            x, y = (
                sum(w * p[axis] for w, p in zip(weights, (a, b, c, d), strict=True))
                for axis in (0, 1)
            )
            candidates.append((x, y))
    return min(candidates, key=lambda point: math.dist(point, target))


def cropped(nodes: dict[str, Place], edges: Sequence[Spline], tags: Sequence[Tag] = ()) -> Layout:
    """Return the layout moved to the origin, just large enough for its nodes, tags and edges."""
    curves = [point for edge in edges for point in (*edge.points, edge.tip)]
    places = [*nodes.values(), *((*tag.middle, tag.width, tag.height) for tag in tags)]
    left = min([x - w / 2 for x, _, w, _ in places] + [x for x, _ in curves])
    right = max([x + w / 2 for x, _, w, _ in places] + [x for x, _ in curves])
    top = min([y - h / 2 for _, y, _, h in places] + [y for _, y in curves])
    bottom = max([y + h / 2 for _, y, _, h in places] + [y for _, y in curves])

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
