"""The results of a class as CSV, one row for each submission.

Cells are for spreadsheets, which run what begins like a formula: such text gets an apostrophe in
front. Characters that cannot be seen are written the way Python writes them, line ends too.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ...characters import plain
from .results import Result, groups_of

HEADING = (
    "submission", "result", "score", "points", "first wrong", "mistakes", "what", "confidence",
    "same as", "called", "seconds",
)  # fmt: skip


def as_csv(results: Sequence[Result], points: float = 1.0) -> str:
    """Return the table; *points* is what a right gradient earns.

    >>> from .results import Result
    >>> print(as_csv([Result("=1, +1", "right", score=1.0)]).splitlines()[1])
    "'=1, +1",right,1,1,,,,,,,0
    """
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(HEADING)
    first_of = {name: group.names[0] for group in groups_of(results) for name in group.names}
    for result in results:
        same = first_of.get(result.name, result.name)
        found = () if result.ok else result.found
        row = (
            result.name,
            result.status,
            f"{result.score:.4g}",
            f"{result.score * points:.4g}",
            result.first_wrong,
            "; ".join(one.code for one in found),
            " ".join(one.says for one in found),
            "; ".join(dict.fromkeys(one.confidence for one in found)),
            same if same != result.name else "",
            result.target,
            f"{result.seconds:g}",
        )
        writer.writerow([cell(text) for text in row])
    return stream.getvalue()


def cell(text: str) -> str:
    r"""Return *text* as what no spreadsheet takes for a formula, on one line.

    >>> cell("=HYPERLINK(1)"), cell("\t=1"), cell("-x"), cell("Müller, Zoë")
    ("'=HYPERLINK(1)", "'\\t=1", "'-x", 'Müller, Zoë')
    """
    shown = plain(text, kept="")
    # Some programs drop spaces first; full-width signs count as signs in some.
    begins = (shown.lstrip() or " ")[0]
    dangerous = begins in "=+-@|%＝＋－＠" or text.startswith(("\t", "\r", "\n"))
    return f"'{shown}" if dangerous and not _is_number(shown) else shown


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
