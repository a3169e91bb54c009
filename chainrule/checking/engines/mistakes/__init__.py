"""The table of mistakes that people make in an engine: each is one row.

A row has a stable code, a sentence, a fix, and the ways in which the mistake is made: the steps of
the reference engine that come out different, as ``replay`` reads them. A row for operations is
planted in each operation that the engine has, in one operand or in all.
"""

from __future__ import annotations

from types import MappingProxyType

from . import called, later, limits, passing, slopes, values, whole
from .row import CATEGORIES, Mistake

MISTAKES: tuple[Mistake, ...] = (
    *whole.ROWS,
    *passing.ROWS,
    *slopes.ROWS,
    *values.ROWS,
    *later.ROWS,
    *limits.ROWS,
    *called.ROWS,
)

BY_CODE = MappingProxyType({row.code: row for row in MISTAKES})
"""The rows by their code."""

__all__ = ["BY_CODE", "CATEGORIES", "MISTAKES", "Mistake", "as_markdown"]


def as_markdown() -> str:
    """Return the table as a Markdown page."""
    lines = [
        "# The mistakes of engines that the checker knows",
        "",
        "Made by `python docs/build.py` from the rows in `chainrule/checking/engines/mistakes/`.",
        "The code is stable. A row for an operation is tried in every operation of an engine;",
        "see [checking an engine](engines.md).",
    ]
    put = {"method": "the operation", "operand": "the operand", "zero": "`zero_grad`"}
    for category, about in CATEGORIES.items():
        lines += ["", f"## {about[0].upper()}{about[1:]}", "", "| code | mistake | fix |"]
        lines += ["|---|---|---|"]
        for row in MISTAKES:
            if row.category == category:
                says, fix = (
                    text.format(rule="the derivative", **put).replace("|", "\\|")
                    for text in (row.says, row.fix)
                )
                lines.append(f"| `{row.code}` | {says[0].upper()}{says[1:]} | {fix} |")
    return "\n".join(lines) + "\n"
