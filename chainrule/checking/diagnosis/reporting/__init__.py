"""What a diagnosis found, and the ways to write it down.

The report itself is data and knows nothing of them. Each way is a function of that data, in a file
of its own, and :class:`Report` has them as methods.
"""

from __future__ import annotations

from .graders import as_gradescope, as_json
from .markdown import as_markdown
from .page import as_fragment, as_page
from .parts import Part, PartFinding, PartsData
from .report import Alternative, Convention, Finding, ReportData
from .terminal import as_text
from .words import HINTS, Tells

__all__ = [
    "HINTS",
    "Alternative",
    "Convention",
    "Finding",
    "Part",
    "PartFinding",
    "PartsData",
    "PartsReport",
    "Report",
    "ReportData",
]


class _Written(Tells):
    """The ways to write down what ``data`` tells."""

    def text(self, hints: str = "fix") -> str:
        """Return the report for a terminal."""
        return as_text(self, hints)

    def markdown(self, hints: str = "fix") -> str:
        """Return the report as Markdown."""
        return as_markdown(self, hints)

    def html(self, hints: str = "fix") -> str:
        """Return one page that needs nothing else; a network is drawn, its wrong deltas marked."""
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


class Report(ReportData, _Written):
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


class PartsReport(PartsData, _Written):
    """What was found out about something made of parts: the operations of an engine, say.

    >>> from chainrule import Value
    >>> from chainrule.checking import check_engine
    >>> report = check_engine(Value)
    >>> print(report.text())
    Value: right
    ...

    Each way to write it down takes one of the levels in ``HINTS``, and tells no more than that:
    "layer" tells which parts are right.
    """
