"""The table of mistakes: everything the diagnosis knows of a mistake is one row.

A row has a stable code, the rule it breaks (a formula of the course notes, A1 to C8), a sentence, a
fix, and how to make the mistake: for each way in which people make it, the steps of the algorithm
that come out different, as :class:`~..algorithm.Run` reads them. The diagnosis, the report, the
tests and the page in the documentation read the rows. To teach the checker a mistake is to add a
row to the file of its category.

"B8", the delta of the output layer, stands for the formula that the loss has there: B8 for the two
that take logarithms, B4 and C7 for squared errors.

The order matters where two rows give the same gradient: the more common mistake comes first, and
so do the categories in which it is looked for first.
"""

from __future__ import annotations

from types import MappingProxyType

from . import (
    biases,
    costs,
    entries,
    examples,
    factors,
    forward,
    hidden,
    mean,
    numbers,
    output,
    penalty,
    slopes,
    sums,
    unknown,
    updates,
    when_called,
)
from .row import CATEGORIES, Mistake, Solves

__all__ = ["BY_CODE", "CATEGORIES", "MISTAKES", "Mistake", "Solves", "as_markdown"]

MISTAKES: tuple[Mistake, ...] = (
    *mean.ROWS,
    *factors.ROWS,
    *penalty.ROWS,
    *output.ROWS,
    *hidden.ROWS,
    *slopes.EVERYWHERE,
    *forward.ROWS,
    *sums.ROWS,
    *updates.ROWS,
    *biases.ROWS,
    *examples.ROWS,
    *entries.ROWS,
    *numbers.ROWS,
    *costs.ROWS,
    *when_called.ROWS,
    *unknown.ROWS,
)

BY_CODE = MappingProxyType({row.code: row for row in reversed(MISTAKES)})
"""The rows by their code; the first of those that share one."""


def as_markdown() -> str:
    """Return the table as a Markdown page."""
    lines = [
        "# The mistakes that the checker knows",
        "",
        "Made by `python docs/build.py` from the rows in `chainrule/checking/diagnosis/mistakes/`.",
        "The code is stable; the rule is the formula of the course notes that is broken (see",
        "[the notes, checked](notes.md)).",
    ]
    for category, about in CATEGORIES.items():
        rows = [row for row in MISTAKES if row.category == category]
        lines += ["", f"## {about[0].upper()}{about[1:]}", "", "| code | rule | mistake | fix |"]
        lines += ["|---|---|---|---|"]
        unique = {row.code: row for row in reversed(rows)}
        for row in reversed(unique.values()):
            says, fix = (text.replace("|", "\\|") for text in (row.says, row.fix))
            lines.append(f"| `{row.code}` | {row.rule} | {says} | {fix} |")
    return "\n".join(lines) + "\n"
