"""What the demos' figures share: matplotlib, imported when needed and used without a display."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple


class Colours(NamedTuple):
    """The colours of a figure."""

    paper: str
    ink: str
    grey: str
    grid: str
    blue: str
    red: str
    ramp: str
    """The colour map from the paper to the ink."""


Theme = Literal["light", "dark"]
COLOURS: dict[Theme, Colours] = {
    "light": Colours("#ffffff", "#1f2328", "#6b7280", "#e5e7eb", "#2563eb", "#dc2626", "gray_r"),
    "dark": Colours("#0d1117", "#e6edf3", "#9198a1", "#30363d", "#58a6ff", "#ff7b72", "gray"),
}

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 10,
    "svg.hashsalt": "chainrule",  # the same figure is the same file
}


def _coloured(colours: Colours) -> Any:
    papers = dict.fromkeys(("figure.facecolor", "axes.facecolor"), colours.paper)
    inks = dict.fromkeys(("text.color", "axes.labelcolor"), colours.ink)
    greys = dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), colours.grey)
    return papers | inks | greys | {"grid.color": colours.grid}


def check_matplotlib() -> None:
    """Raise ModuleNotFoundError if no figure can be drawn: before the work rather than after it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ModuleNotFoundError(
            "this demo draws with matplotlib, which is not installed here: "
            "pip install 'chainrule[demo]'",
            name="matplotlib",
        )


@contextlib.contextmanager
def figure(
    path: Path, width: float, height: float, colours: Colours = COLOURS["light"]
) -> Iterator[Any]:
    """Yield a matplotlib figure, sized in inches, and write it to *path* when the block ends."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE | _coloured(colours)):
        drawn = Figure(figsize=(width, height), layout="constrained")
        yield drawn
        drawn.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
