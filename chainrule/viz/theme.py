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

_MANNERS = {
    "italic": {"font-style": "italic"},
    "bold": {"font-weight": "bold"},
    "dashed": {"stroke-dasharray": "4 3"},
    "dotted": {"stroke-dasharray": "1.5 3"},
    "minus": {"stroke-dasharray": "9 3"},  # so that a sign is seen without colours, too
}


def checked_theme(caller: str, theme: Any) -> Theme:
    """Return *theme*, or raise ValueError, which names *caller*, for what is not one.

    >>> checked_theme("draw", "night")
    Traceback (most recent call last):
        ...
    ValueError: draw: theme is 'night'; expected 'light', 'dark' or 'auto'
    """
    if not isinstance(theme, str) or theme not in get_args(Theme):
        raise ValueError(f"{caller}: theme is {theme!r:.80}; expected 'light', 'dark' or 'auto'")
    return theme  # type: ignore[return-value]


def presentation(classes: str, theme: Theme = "light") -> dict[str, str]:
    """Return the attributes that give an element the looks of *classes*, such as ``"data bold"``.

    The colours are attributes, not rules of a style sheet: slide programs and previews know little
    of style sheets, and a notebook has all its drawings in one page, where a rule of one would hold
    for the others.  Only ``auto`` adds classes, for the rules of :func:`css`.

    >>> presentation("data bold")
    {'fill': '#116329', 'font-weight': 'bold'}
    """
    tone = 1 if theme == "dark" else 0
    found: dict[str, str] = {}
    for name in classes.split():
        if name in FILLS:
            found["fill"] = FILLS[name][tone]
        if name in STROKES:
            found |= {"fill": "none", "stroke": STROKES[name][tone]}
        found |= _MANNERS.get(name, {})
    if theme == "auto":
        found["class"] = " ".join(f"cr-{name}" for name in classes.split())
    return found


def css(theme: Theme = "light") -> str:
    """Return the style sheet: what is meant only for web pages.

    It is inside ``@media``, which converters such as CairoSVG skip: an ``auto`` height would make
    their pictures blank.
    """
    fitted = "@media all{.cr-picture{max-width:100%;height:auto}}"
    if theme != "auto":
        return fitted
    fills = (f".cr-{role}{{fill:{tones.dark}}}" for role, tones in FILLS.items())
    strokes = (f".cr-{role}{{stroke:{tones.dark}}}" for role, tones in STROKES.items())
    return f"{fitted}@media (prefers-color-scheme:dark){{{''.join((*fills, *strokes))}}}"
