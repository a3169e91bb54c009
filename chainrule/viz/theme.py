"""The colours of all drawings, light and dark, by role; and which of them a drawing uses.

A drawing is ``light`` unless it is asked to be ``dark``, or ``auto``: then it follows the reader's
system, in programs that know how to ask.  Some that do not (LibreOffice among them) take the dark
colours of such a file and put them on white paper, so ``auto`` is not the default.

Values and gradients have the green and red of the CS231n circuit diagrams.  The two colours of
weights can be told apart by colour-blind readers too.  All text has a contrast of at least 4.5 : 1
to its background.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

Theme = Literal["light", "dark", "auto"]


class Tone(NamedTuple):
    """One colour in the light and in the dark theme."""

    light: str
    dark: str


PAPER = Tone("#ffffff", "#0d1117")
INK = Tone("#1f2328", "#e6edf3")
MUTED = Tone("#59636e", "#9198a1")
LINE = Tone("#818b98", "#7d8590")
HAIRLINE = Tone("#d1d9e0", "#3d444d")
DATA = Tone("#116329", "#56d364")
GRAD = Tone("#c4161c", "#ff7b72")
LOCAL = Tone("#6639ba", "#d2a8ff")
LEAF = Tone("#ddf4ff", "#12304f")
GATE = Tone("#f3f4f6", "#21262d")
BIAS = Tone("#fff8c5", "#3a2d0b")
POSITIVE = Tone("#0969da", "#58a6ff")
NEGATIVE = Tone("#bc4c00", "#f0883e")

FONT = "Helvetica,Arial,Liberation Sans,DejaVu Sans,sans-serif"

FILLS = {
    "paper": PAPER,
    "ink": INK,
    "muted": MUTED,
    "data": DATA,
    "grad": GRAD,
    "local": LOCAL,
    "leaf": LEAF,
    "gate": GATE,
    "bias": BIAS,
    "positive": POSITIVE,
    "negative": NEGATIVE,
    "arrow": LINE,
}
STROKES = {
    "line": LINE,
    "hairline": HAIRLINE,
    "strong": INK,
    "plus": POSITIVE,
    "minus": NEGATIVE,
}


def checked_theme(theme: Any) -> Theme:
    """Return *theme*, or raise ValueError for what is not one.

    >>> checked_theme("night")
    Traceback (most recent call last):
        ...
    ValueError: theme is 'night'; expected 'light', 'dark' or 'auto'
    """
    if not isinstance(theme, str) or theme not in get_args(Theme):
        raise ValueError(f"theme is {theme!r:.80}; expected 'light', 'dark' or 'auto'")
    return theme  # type: ignore[return-value]


def css(theme: Theme = "light") -> str:
    """Return the style sheet.

    Class names are prefixed, because a notebook puts all its drawings into one page; presentation
    stays in plain class rules, which slide programs understand as well as browsers do.  Rules meant
    only for web pages are inside ``@media``, which converters such as CairoSVG skip: an ``auto``
    height would make their pictures blank.
    """
    return "".join(
        (
            "@media all{.cr-picture{max-width:100%;height:auto}}",
            f".cr-text{{font-family:{FONT};white-space:pre}}",
            ".cr-line,.cr-hairline,.cr-strong,.cr-plus,.cr-minus{fill:none}",
            ".cr-italic{font-style:italic}.cr-bold{font-weight:bold}",
            ".cr-dashed{stroke-dasharray:4 3}",
            _rules(1 if theme == "dark" else 0),
            f"@media (prefers-color-scheme:dark){{{_rules(1)}}}" if theme == "auto" else "",
        )
    )


def _rules(tone: int) -> str:
    fills = (f".cr-{role}{{fill:{tones[tone]}}}" for role, tones in FILLS.items())
    strokes = (f".cr-{role}{{stroke:{tones[tone]}}}" for role, tones in STROKES.items())
    return "".join((*fills, *strokes))
