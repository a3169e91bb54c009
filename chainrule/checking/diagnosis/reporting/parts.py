"""A report on something made of parts, as plain data: operations of an engine, say."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from .report import SCHEMA, BaseFinding, Convention, plain_texts
from .words import level_of

LIMIT = "limit"
"""The category of what is right as far as it goes."""


@dataclass(frozen=True)
class Part:
    """One part, and whether it is right."""

    name: str
    ok: bool
    says: str
    """"right", "wrong", or why."""


@dataclass(frozen=True, kw_only=True)
class PartFinding(BaseFinding):
    """One mistake that was found in a part, or one limit."""

    about: str
    """What the first half of the code stands for."""
    where: str


@dataclass(frozen=True)
class PartsData:
    """What a check found out about something made of parts."""

    name: str
    subject: str
    """What was checked, in a line."""
    findings: tuple[PartFinding, ...] = ()
    """The mistakes, then the limits; none if everything is right."""
    conventions: tuple[Convention, ...] = ()
    """How it was read, and what it does not have."""
    parts: tuple[Part, ...] = field(default=(), repr=False)
    first_wrong: str = ""
    """A sentence that says which part is the first wrong one; "" if none is."""

    @property
    def ok(self) -> bool:
        """Whether everything is right; a limit is not a mistake."""
        return not self.mistakes

    @property
    def mistakes(self) -> tuple[PartFinding, ...]:
        """The findings that are not limits."""
        return tuple(finding for finding in self.findings if finding.category != LIMIT)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the findings."""
        return tuple(finding.code for finding in self.findings)

    def __bool__(self) -> bool:
        return self.ok

    def data(self, hints: str = "fix") -> dict[str, Any]:
        """Return the report as plain data, as much of it as the level *hints* tells."""
        level = level_of(hints)
        told: dict[str, Any] = {
            "schema": SCHEMA,
            "name": self.name,
            "ok": self.ok,
            "hints": hints,
            "problem": self.subject,
            "conventions": [asdict(convention) for convention in self.conventions],
            "parts": [asdict(part) for part in self.parts] if level >= 1 else [],
            "first_wrong": self.first_wrong if level >= 1 else "",
            "findings": [
                self._finding(finding, level)
                for finding in self.findings
                if level >= 2 or (level == 1 and finding.category in ("call", LIMIT))
            ],
        }
        shown: dict[str, Any] = plain_texts(told)
        return shown

    def _finding(self, finding: PartFinding, level: int) -> dict[str, Any]:
        told = {"category": finding.category, "about": finding.about, "where": finding.where}
        if level >= 3:
            return asdict(finding) | told
        if finding.category in ("call", LIMIT):
            told |= {"code": finding.code, "says": finding.says}
        if finding.category == "call":
            told["evidence"] = finding.evidence
        return told
