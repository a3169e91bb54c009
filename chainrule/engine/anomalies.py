"""What ``detect_anomaly`` watches for: infinite numbers and nan, and the line that made them."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import modes
from .sweeps import pullback

if TYPE_CHECKING:
    from .value import Value

_PACKAGE = str(Path(__file__).parents[1]) + os.sep


def observe(node: Any) -> tuple[bool, str | None]:
    """Return whether a *node* just made stays linked to its parents, and where it was made."""
    mode = modes.current()
    origin = None
    if mode.count is not None:
        mode.count(node.serial)
    if mode.watching and node.primitive is not None:
        frame = sys._getframe(1)
        while frame.f_back and frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.f_back
        origin = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        if not math.isfinite(node.data):
            raise modes.AnomalyError(f"{_written(node)} = {node.data}, made at {origin}")
    return mode.linking, origin


def watch_backward(root: Any, seed: float) -> None:
    """Raise AnomalyError, in detect_anomaly, if *root*'s backward pass meets an infinity or nan."""
    modes.refuse_while_tracing(
        "backward() in a compiled function would run once, for one example: call backward of the "
        "compiled function, or cr.gradients(y, [x], create_graph=True) inside"
    )
    if modes.current().watching:
        watch_adjoints(pullback({root: seed}))


def watch_adjoints(adjoints: dict[Value, Any]) -> None:
    """Raise AnomalyError for the first contribution to *adjoints* that is infinite or nan."""
    for node in sorted(adjoints, key=lambda node: node.serial, reverse=True):
        for i, (parent, partial) in enumerate(zip(node.parents, node.partials, strict=True)):
            flowing = partial * adjoints[node] if parent in adjoints else 0.0
            if type(flowing) is float and not math.isfinite(flowing):
                raise modes.AnomalyError(
                    f"the gradient {flowing} flows into operand {i} ({parent!r}) of "
                    f"{_written(node)} = {node.data}: local derivative {partial}, gradient from "
                    f"above {adjoints[node]}; made at {_origin(node)}"
                )


def watch_tangents(tangents: dict[Value, Any]) -> None:
    """Raise AnomalyError for the first of *tangents* that is infinite or nan."""
    for node, tangent in tangents.items():
        if node.parents and type(tangent) is float and not math.isfinite(tangent):
            raise modes.AnomalyError(
                f"the tangent of {_written(node)} = {node.data} is {tangent}: local derivatives "
                f"{node.partials}; made at {_origin(node)}"
            )


def _origin(node: Value) -> str:
    return node.origin or "an unknown place: make the graph inside detect_anomaly too"


def _written(node: Any) -> str:
    numbers = [repr(x if type(x) is float else x.data) for x in node.operands]
    if len(numbers) == 2 and not node.op.isidentifier():
        return f" {node.op} ".join(numbers)
    return f"{node.op}({', '.join(numbers)})"
