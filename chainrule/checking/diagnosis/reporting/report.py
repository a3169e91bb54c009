"""What a diagnosis says, as plain data, and how much of it is told.

A report holds findings. How much of them a reader gets is a *hint level*: a grader need not give
the solution away. ``data`` is what may be told at a level; whatever writes a report down takes that
alone, and so cannot tell more.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ....characters import plain
from ...comparison import Comparison
from ...problem import Problem
from ..mistakes import CATEGORIES
from .words import level_of

SCHEMA = 1
"""The version of ``Report.data``; it changes when a key changes its meaning."""


@dataclass(frozen=True)
class Alternative:
    """Another explanation of the same numbers, and what would tell the two apart."""

    codes: tuple[str, ...]
    says: str
    probe: str
    """What to change in the data so that the explanations give different gradients."""


@dataclass(frozen=True)
class BaseFinding:
    """What is said of a mistake, wherever it is."""

    code: str
    """The stable code of its row in the table of mistakes."""
    says: str
    fix: str
    formula: str = ""
    """The rule that is broken."""
    here: str = ""
    """The same with numbers: what was given, and what was expected."""
    evidence: str = ""
    confidence: str = "certain"
    """"certain", "one of several" if there are alternatives, or "partial" if it may not be all."""
    alternatives: tuple[Alternative, ...] = ()

    @property
    def category(self) -> str:
        """The first half of the code."""
        return self.code.partition(".")[0]


@dataclass(frozen=True, kw_only=True)
class Finding(BaseFinding):
    """One mistake that was found in a gradient; its category is a key of ``CATEGORIES``."""

    layer: int | None = None
    """l of the Theta^(l) it was made in; None if in all of them, or in several."""
    rule: str = ""
    """The code of the formula that is broken, A1 to C8."""
    layers: tuple[int, ...] = ()
    """l of each Theta^(l) it was made in, if it was made in several but not in all of them."""


@dataclass(frozen=True)
class Convention:
    """Something that was done another way than stated, and is right all the same."""

    name: str
    says: str


@dataclass(frozen=True)
class ReportData:
    """What a diagnosis found out about a gradient."""

    problem: Problem = field(repr=False)
    findings: tuple[Finding, ...] = ()
    """The mistakes; none if the gradient is right."""
    conventions: tuple[Convention, ...] = ()
    """How the gradient was read, where it was not as stated."""
    comparison: Comparison | None = field(default=None, repr=False)
    """The layers beside the true ones; None if there is nothing to compare."""
    wrong_layers: tuple[int, ...] = ()
    """l of each Theta^(l) whose gradient is wrong, from the output."""
    wrong_entries: tuple[tuple[int, int, int], ...] = field(default=(), repr=False)
    """(l, row, column) of each wrong entry, for drawings."""
    wrong_deltas: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """(l, unit) of each delta^(l) that is wrong, as far as the findings explain it."""
    theirs: tuple[np.ndarray[Any, Any], ...] = field(default=(), repr=False, compare=False)
    """What was given, read as arrays of the Thetas' shapes; none if there is nothing to read."""
    unseen: tuple[str, ...] = field(default=(), repr=False)
    """Codes of mistakes that this data cannot show."""
    name: str = "gradient"
    """What was checked."""

    @property
    def ok(self) -> bool:
        """Whether the gradient is right; a convention is not a mistake."""
        return not self.findings

    @property
    def first_wrong_layer(self) -> int | None:
        """L of the first Theta^(l), counted from the output, whose gradient is wrong."""
        return self.wrong_layers[0] if self.wrong_layers else None

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the findings."""
        return tuple(finding.code for finding in self.findings)

    def __bool__(self) -> bool:
        return self.ok

    # What may be told at a level.

    def data(self, hints: str = "fix") -> dict[str, Any]:
        """Return the report as plain data, as much of it as the level *hints* tells.

        >>> from chainrule.checking import diagnose
        >>> from chainrule.checking.problem import probe
        >>> p = probe()
        >>> report = diagnose([-D for D in p.truth.D], p.thetas, p.X, p.Y, p.lam)
        >>> report.data("pass")["findings"], report.data("category")["findings"][0]["category"]
        ([], 'sign')
        """
        level = level_of(hints)
        told: dict[str, Any] = {
            "schema": SCHEMA,
            "name": self.name,
            "ok": self.ok,
            "hints": hints,
            "problem": self.problem.describe(),
            "conventions": [asdict(convention) for convention in self.conventions],
            "first_wrong_layer": None,
            "wrong_layers": [],
            "layers": [],
            "findings": [],
            "unseen": list(self.unseen) if self.ok else [],
        }
        if level >= 1:
            told["first_wrong_layer"] = self.first_wrong_layer
            told["wrong_layers"] = list(self.wrong_layers)
            told["layers"] = self._layers(numbers=level >= 3)
        told["findings"] = [
            self._finding(finding, level)
            for finding in self.findings
            if level >= 2 or (level == 1 and finding.category == "call")
        ]
        shown: dict[str, Any] = plain_texts(told)
        return shown

    def _layers(self, numbers: bool) -> list[dict[str, Any]]:
        if self.comparison is None:
            return []
        layers = []
        for number, layer in enumerate(self.comparison.layers, start=1):
            row: dict[str, Any] = {"layer": number, "ok": number not in self.wrong_layers}
            if numbers:
                row |= {
                    "max_difference": layer.max_difference,
                    "difference": layer.difference,
                    "relative_difference": layer.max_relative_difference,
                    "index": None if layer.index is None else list(layer.index),
                    "theirs": layer.theirs,
                    "truth": layer.truth,
                }
            layers.append(row)
        return layers

    def _finding(self, finding: Finding, level: int) -> dict[str, Any]:
        told: dict[str, Any] = {
            "category": finding.category,
            "about": CATEGORIES[finding.category],
            "layer": finding.layer,
            "layers": list(finding.layers),
        }
        if finding.category == "call":
            told |= {"code": finding.code, "says": finding.says, "evidence": finding.evidence}
        if level >= 3:
            told = asdict(finding) | told
            told["alternatives"] = [
                {"codes": list(other.codes), "says": other.says, "probe": other.probe}
                for other in finding.alternatives
            ]
        return told


def plain_texts(value: Any) -> Any:
    """Much of the text is a submission's own: none of it may steer who reads the report."""
    if isinstance(value, dict):
        return {key: plain_texts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_texts(item) for item in value]
    return plain(value) if isinstance(value, str) else value
