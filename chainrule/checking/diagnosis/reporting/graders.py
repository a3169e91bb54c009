"""A report for programs: JSON, and what Gradescope reads."""

from __future__ import annotations

import json
from typing import Any

from ..worked import symbol
from .points import PartPoints, parts_of
from .report import ReportData
from .terminal import as_text
from .words import HINTS, Tells


def as_json(report: Tells, hints: str) -> str:
    """Return the report as JSON; keys and codes are stable, numbers that are not finite null."""
    return _written(report.data(hints))


def as_gradescope(report: Tells, hints: str, points: float, by_part: bool = True) -> str:
    """Return Gradescope's results.json: the *points* divided among the parts of the gradient.

    Each part (weights and biases of each layer, the penalty) is a test. At the level "pass" the
    tests are hidden from students, who see the sum. What has no parts, and everything if not
    *by_part*, is one test: all points or none.
    """
    told = report.data(hints)
    text = as_text(report, hints)
    parts = parts_of(report) if by_part and isinstance(report, ReportData) else ()
    if len(parts) < 2:
        test = _test(told["name"], told["ok"], points)
        test |= {"output_format": "text", "output": text, "extra_data": told}
        return _written({"score": test["score"], "tests": [test]})
    each = points / len(parts)
    tests = [_test(_name(part), part.ok, each) for part in parts]
    if hints == HINTS[0]:
        tests = [test | {"visibility": "hidden"} for test in tests]
    return _written(
        {
            "score": points * sum(part.ok for part in parts) / len(parts),
            "output_format": "text",
            "output": text,
            "extra_data": told,
            "tests": tests,
        }
    )


def _test(name: str, ok: bool, points: float) -> dict[str, Any]:
    score, status = (points, "passed") if ok else (0.0, "failed")
    return {"name": name, "score": score, "max_score": points, "status": status}


def _name(part: PartPoints) -> str:
    return part.part if part.layer is None else f"{symbol('Θ', part.layer)}: {part.part}"


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
