"""A report as Markdown."""

from __future__ import annotations

from .report import ReportData
from .words import facts_of, first_wrong, layer_rows, unseen


def as_markdown(report: ReportData, hints: str) -> str:
    """Return the report as Markdown, as much of it as the level *hints* tells."""
    told = report.data(hints)
    verdict = "right" if told["ok"] else "not right"
    lines = [f"## {_escaped(told['name'])}: {verdict}", "", _escaped(told["problem"])]
    lines += ["", *(f"- convention: {_escaped(item['says'])}" for item in told["conventions"])]
    if told["layers"] and not told["ok"]:
        rows = layer_rows(told["layers"])
        lines += ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
        lines += ["| " + " | ".join(map(_escaped, row)) + " |" for row in rows[1:]]
    if told["first_wrong_layer"] is not None:
        lines += ["", first_wrong(told)]
    for count, finding in enumerate(told["findings"], start=1):
        head, *facts = facts_of(finding)
        lines += ["", f"### {count}. {_escaped(head[1])}", ""]
        lines += [f"- *{label}:* {_escaped(value)}" for label, value in facts]
    if told["unseen"]:
        lines += ["", _escaped(unseen(told))]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Escape what Markdown would read as markup."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")
