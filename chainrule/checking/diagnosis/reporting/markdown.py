"""A report as Markdown."""

from __future__ import annotations

from .words import Tells, about_rules, facts_of, first_wrong, table_of, unseen, verdict


def as_markdown(report: Tells, hints: str) -> str:
    """Return the report as Markdown, as much of it as the level *hints* tells."""
    told = report.data(hints)
    lines = [f"## {_escaped(told['name'])}: {verdict(told)}", "", _escaped(told["problem"])]
    lines += ["", *(f"- convention: {_escaped(item['says'])}" for item in told["conventions"])]
    if rows := table_of(told):
        lines += ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
        lines += ["| " + " | ".join(map(_escaped, row)) + " |" for row in rows[1:]]
    if first := first_wrong(told):
        lines += ["", first]
    for count, finding in enumerate(told["findings"], start=1):
        head, *facts = facts_of(finding)
        lines += ["", f"### {count}. {_escaped(head[1])}", ""]
        lines += [f"- *{label}:* {_escaped(value)}" for label, value in facts]
    for said in (about_rules(told), unseen(told) if told.get("unseen") else ""):
        if said:
            lines += ["", _escaped(said)]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Escape what Markdown would read as markup."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")
