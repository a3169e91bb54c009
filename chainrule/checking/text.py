"""Plain text for a terminal: numbers short enough to read, and columns that line up."""

from __future__ import annotations

from collections.abc import Sequence


def short(number: float) -> str:
    """Return *number* with two significant digits, enough for the size of an error.

    >>> short(0.0), short(1.2e-16), short(0.5)
    ('0', '1.2e-16', '0.5')
    """
    return f"{number:.2g}"


def number(value: float) -> str:
    """Return *value* with six significant digits, enough to find it again.

    >>> number(1 / 3), number(2.0)
    ('0.333333', '2')
    """
    return f"{value:.6g}"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return *rows*, the first of them the heading, as left-aligned columns.

    >>> print(columns([("layer", "exact"), ("layer 1", "yes")]))
    layer    exact
    layer 1  yes
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)
