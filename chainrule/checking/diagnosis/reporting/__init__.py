"""What a diagnosis found, and the ways to write it down.

The report itself is data and knows nothing of them. Each way is a function of that data, in a file
of its own, and :class:`Report` has them as methods.
"""

from __future__ import annotations

from .graders import as_gradescope, as_json
from .markdown import as_markdown
from .page import as_fragment, as_page
from .parts import Part, PartFinding, PartsData
from .points import PartPoints, parts_of
from .report import Alternative, Convention, Finding, ReportData
from .terminal import as_text
from .words import HINTS, Tells

__all__ = [
    "HINTS",
    "Alternative",
    "Convention",
    "Finding",
    "Limited",
    "Part",
    "PartFinding",
    "PartPoints",
    "PartsData",
    "PartsReport",
    "Report",
    "ReportData",
    "parts_of",
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

    def gradescope(self, hints: str = "fix", points: float = 1.0, by_part: bool = True) -> str:
        """Return Gradescope's results.json, a test for each part of a gradient.

        The parts are the weights and the biases of each layer, and the penalty; they share the
        *points* equally. All points or none if not *by_part*, and for what has no such parts.
        """
        return as_gradescope(self, hints, points, by_part)

    def up_to(self, hints: str) -> Limited:
        """Return what may be told at the level *hints*, to be shown in a notebook, say.

        >>> from chainrule.checking import diagnose, probe
        >>> p = probe()
        >>> shown = diagnose([-D for D in p.truth.D], p.thetas, p.X, p.Y, p.lam).up_to("category")
        >>> print(shown)
        gradient: not right
        ...
        1. There is a mistake in a sign.
        """
        return Limited(self, hints)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return as_fragment(self, "fix")


class Limited:
    """A report as it may be shown at one hint level: to a notebook, to ``print``, as HTML.

    It holds the texts, and not the report: nothing more can be got out of it.
    """

    def __init__(self, report: _Written, hints: str) -> None:
        self.ok = bool(report.data(hints)["ok"])
        """Whether what was checked is right."""
        self._text = report.text(hints)
        self._fragment = as_fragment(report, hints)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return self.ok

    def _repr_html_(self) -> str:
        return self._fragment


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

    @property
    def parts(self) -> tuple[PartPoints, ...]:
        """The weights and biases of each layer and the penalty, and whether each is right."""
        return parts_of(self)


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
