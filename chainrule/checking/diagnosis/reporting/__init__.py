"""What a diagnosis found, and the ways to write it down.

The report itself is data and knows nothing of them. Each way is a function of that data, in a file
of its own, and :class:`Report` has them as methods.
"""

from __future__ import annotations

from .graders import as_gradescope, as_json
from .markdown import as_markdown
from .page import as_fragment, as_page
from .report import Alternative, Convention, Finding, ReportData
from .terminal import as_text
from .words import HINTS

__all__ = ["HINTS", "Alternative", "Convention", "Finding", "Report", "ReportData"]


class Report(ReportData):
    """What :func:`diagnose` found out about a gradient.

    >>> from chainrule.checking import diagnose, probe
    >>> p = probe()
    >>> report = diagnose([-D for D in p.truth.D], p.thetas, p.X, p.Y, p.lam)
    >>> print(report.text("category"))
    gradient: not right
    ...
    1. There is a mistake in a sign.

    Each way to write it down takes one of the levels in ``HINTS``, and tells no more than that.
    """

    def text(self, hints: str = "fix") -> str:
        """Return the report for a terminal."""
        return as_text(self, hints)

    def markdown(self, hints: str = "fix") -> str:
        """Return the report as Markdown."""
        return as_markdown(self, hints)

    def html(self, hints: str = "fix") -> str:
        """Return one page that needs nothing else, the network drawn, the wrong deltas marked."""
        return as_page(self, hints)

    def json(self, hints: str = "fix") -> str:
        """Return the report as JSON; keys and codes are stable, numbers that are not finite null.

        >>> import json
        >>> from chainrule.checking import diagnose, probe
        >>> p = probe()
        >>> json.loads(diagnose(p.truth.D, p.thetas, p.X, p.Y, p.lam).json())["ok"]
        True
        """
        return as_json(self, hints)

    def gradescope(self, hints: str = "fix", points: float = 1.0) -> str:
        """Return Gradescope's results.json: all *points* if the gradient is right, else none."""
        return as_gradescope(self, hints, points)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return as_fragment(self, "fix")
