"""What a notebook shows of an object: a caption and a small table, in HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice

from .. import characters

MOST_ROWS = 20


def plain(text: str) -> str:
    r"""Return *text* for HTML, with a stand-in for every character that cannot be seen.

    >>> plain("<b>\u202e")
    '&lt;b&gt;\\u202e'
    """
    return escape(characters.plain(text, kept=""))


def html_table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in HTML; of more than twenty rows it shows the first, and says so.

    >>> html_table("f", ["x"], [["1"], ["<2>"]])
    '<table><caption>f</caption><tr><th>x</th></tr><tr><td>1</td></tr><tr><td>&lt;2&gt;</td></tr></table>'
    """
    rows = iter(rows)
    lines = [f"<table><caption>{plain(caption)}</caption>", _row("th", headings)]
    lines += [_row("td", row) for row in islice(rows, MOST_ROWS)]
    more = sum(1 for _ in rows)
    if more:
        lines.append(f'<tr><td colspan="{len(headings)}">… {more:,} more</td></tr>')
    return "".join([*lines, "</table>"])


def _row(tag: str, cells: Sequence[object]) -> str:
    inner = "".join(f"<{tag}>{plain(str(cell))}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"
