"""Numbers and labels as a drawing shows them.

A label is data: it may hold anything a Python string can.  Characters that could mislead a reader
or a parser (control characters, line breaks, bidirectional overrides, lone surrogates) are replaced
by a visible stand-in here, once, before any diagram is made; the writers of DOT and SVG only have
to quote.
"""

from __future__ import annotations

import math
import unicodedata
from functools import lru_cache
from typing import Any

from ..characters import JOINERS, stand_in
from ..engine.arguments import count

NOT_COMPUTED = "–"
"""Shown in place of a gradient until a backward pass has reached the node."""
DUST = " ≈ 0"
"""Shown behind a number that is nothing but the rounding of a sum whose terms cancel."""

_ROUNDING = 1e-12  # relative: what a few thousand operations may leave behind an exact result
_DUST = 16 * 2.0**-53  # relative to the largest term: a few roundings of a sum that should be 0
_MOST_MARKS = 3  # on one character; the scripts that need such marks need no more


def short(x: float) -> str:
    """Return *x* to four significant digits.

    >>> [short(x) for x in (2.0, 0.5, 1e-5, -1/3, 67000.0, 1e300, -0.0, float("-inf"))]
    ['2', '0.5', '1e-5', '-0.3333', '6.7e4', '1e300', '-0', '-inf']

    Trailing zeros mean that digits were left out, other than those of rounding errors:

    >>> short(0.3), short(0.1 + 0.2), short(0.99999)
    ('0.3', '0.3', '1.000')
    """
    text = f"{x:.4g}"
    if math.isfinite(x) and not math.isclose(float(text), x, rel_tol=_ROUNDING):
        text = f"{x:#.4g}"
    mantissa, _, exponent = text.partition("e")
    return mantissa.rstrip(".") + (f"e{int(exponent)}" if exponent else "")


def with_dust(x: float, largest: float) -> str:
    """Return *x*, a sum whose largest term is *largest*, marked if it is only their rounding.

    >>> with_dust(0.1 + 0.2 - 0.3, 0.3), with_dust(0.1 + 0.2 - 0.2, 0.2)
    ('5.551e-17 ≈ 0', '0.1')
    """
    dust = 0.0 < abs(x) <= _DUST * abs(largest) < math.inf
    return f"{short(x)}{DUST}" if dust else short(x)


def visible(text: str, limit: int = 24) -> str:
    r"""Return *text* on one line and without invisible characters, at most *limit* long.

    >>> visible("tab\there"), visible("\u202egnp"), visible("x" * 30)
    ('tab\\there', '\\u202egnp', 'xxxxxxxxxxxxxxxxxxxxxxx…')

    Three combining marks are kept per character; a taller pile would cover the line above.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    shown, marks = "", 0
    for character in text:
        marks = marks + 1 if _is_mark(character) else 0
        if marks > _MOST_MARKS + 1:
            continue
        piece = stand_in(character) if marks <= _MOST_MARKS else "…"
        if len(shown) + len(piece) > limit:
            return shown[: limit - 1] + "…"
        shown += piece
    return shown


def checked_title(name: str, title: Any) -> str:
    """Return the *title* of a drawing as it is shown; TypeError, which says *name*, if not a str.

    >>> checked_title("draw: title", 3)
    Traceback (most recent call last):
        ...
    TypeError: draw: title is 3: expected a str, or None for the default title
    """
    if not isinstance(title, str):
        raise TypeError(f"{name} is {title!r:.80}: expected a str, or None for the default title")
    return visible(title, 120)


def check_limit(name: str, limit: Any) -> None:
    """Raise an error that says *name* unless *limit* is a whole number, or infinite.

    >>> check_limit("draw: limit", "all")
    Traceback (most recent call last):
        ...
    TypeError: draw: limit is 'all': expected an int
    """
    if not (isinstance(limit, float) and limit == math.inf):
        count(name, limit, least=0)


def _is_mark(character: str) -> bool:
    """Return whether *character* is drawn over or under the one before it."""
    return unicodedata.category(character) in ("Mn", "Me")


@lru_cache(maxsize=4096)
def _width(text: str) -> float:
    return sum(map(_advance, text))


def advance(text: str, size: float) -> float:
    """Return the approximate width of *text* in a sans-serif font of that *size*, on the wide side.

    A drawing is laid out before anyone knows which font will show it.
    """
    return size * _width(text)


def _advance(character: str) -> float:
    if character in "iIjl.,:;'|!()[]` ft":
        return 0.4
    if character in "mwMW…×":
        return 0.95
    if _is_mark(character) or character in JOINERS:
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    return 0.76 if character.isupper() else 0.64
