"""A report for a terminal."""

from __future__ import annotations

import textwrap
from typing import Any

from ...text import columns
from .words import Tells, about_rules, facts_of, first_wrong, table_of, unseen, verdict

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
    for said in (about_rules(told), unseen(told) if told.get("unseen") else ""):
        if said:
            lines += ["", *_wrapped(said, _WIDTH)]
    return "\n".join(lines)


def _finding(count: int, finding: dict[str, Any]) -> list[str]:
    (_, head), *facts = facts_of(finding)
    lines = _wrapped(f"{count}. {head}", _WIDTH, subsequent_indent="   ")
    previous = ""
    for label, value in facts:
        shown = "" if label == previous else label
        lines += _wrapped(value, 96, initial_indent=f"   {shown:11}", subsequent_indent=_INDENT)
        previous = label
    return lines


def _wrapped(
    text: str, width: int, initial_indent: str = "", subsequent_indent: str = ""
) -> list[str]:
    """Wrap *text* between words: a code or a formula that is broken cannot be looked up."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=initial_indent,
        subsequent_indent=subsequent_indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
