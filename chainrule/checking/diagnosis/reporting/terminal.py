"""A report for a terminal."""

from __future__ import annotations

import textwrap
from typing import Any

from ...text import columns
from .words import Tells, facts_of, first_wrong, table_of, unseen, verdict

_WIDTH = 88
_INDENT = " " * 14


def as_text(report: Tells, hints: str) -> str:
    """Return the report as plain text, as much of it as the level *hints* tells."""
    told = report.data(hints)
    lines = [f"{told['name']}: {verdict(told)}", told["problem"]]
    lines += [f"convention: {item['says']}" for item in told["conventions"]]
    if rows := table_of(told):
        lines += ["", columns(rows)]
    if first := first_wrong(told):
        lines += ["", first]
    for count, finding in enumerate(told["findings"], start=1):
        lines += ["", *_finding(count, finding)]
    if told.get("unseen"):
        lines += ["", *textwrap.wrap(unseen(told), _WIDTH)]
    return "\n".join(lines)


def _finding(count: int, finding: dict[str, Any]) -> list[str]:
    (_, head), *facts = facts_of(finding)
    lines = textwrap.wrap(f"{count}. {head}", _WIDTH, subsequent_indent="   ")
    previous = ""
    for label, value in facts:
        shown = "" if label == previous else label
        lines += textwrap.wrap(
            value, 96, initial_indent=f"   {shown:11}", subsequent_indent=_INDENT
        )
        previous = label
    return lines
