"""A report for programs: JSON, and what Gradescope reads."""

from __future__ import annotations

import json
from typing import Any

from .terminal import as_text
from .words import Tells


def as_json(report: Tells, hints: str) -> str:
    """Return the report as JSON; keys and codes are stable, numbers that are not finite null."""
    return _written(report.data(hints))


def as_gradescope(report: Tells, hints: str, points: float) -> str:
    """Return Gradescope's results.json: all *points* if the gradient is right, else none."""
    told = report.data(hints)
    score = points if told["ok"] else 0.0
    test = {
        "name": told["name"],
        "score": score,
        "max_score": points,
        "status": "passed" if told["ok"] else "failed",
        "output_format": "text",
        "output": as_text(report, hints),
        "extra_data": told,
    }
    return _written({"score": score, "tests": [test]})


def _written(value: Any) -> str:
    return json.dumps(_finite(value), indent=2, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    """JSON has no nan and no infinity."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
