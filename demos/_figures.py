"""What the demos' figures share: matplotlib, imported when needed and used without a display."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLUE, RED, GREY = "#2563eb", "#dc2626", "#6b7280"

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.color": "#e5e7eb",
    "svg.hashsalt": "chainrule",  # the same figure is the same file
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def check_matplotlib() -> None:
    """Raise ModuleNotFoundError if no figure can be drawn: before the work rather than after it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ModuleNotFoundError(
            "this demo draws with matplotlib, which is not installed here: "
            "pip install 'chainrule[demo]'",
            name="matplotlib",
        )


@contextlib.contextmanager
def figure(path: Path, width: float, height: float) -> Iterator[Any]:
    """Yield a matplotlib figure, sized in inches, and write it to *path* when the block ends."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        drawn = Figure(figsize=(width, height), layout="constrained")
        yield drawn
        drawn.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
