"""The results of a class, as plain data that JSON can hold: what was found, and how often."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ...characters import plain
from ..diagnosis.reporting import HINTS, PartsReport, Report, parts_of
from ..diagnosis.worked import symbol

RIGHT, WRONG, FAILED, UNDONE = "right", "wrong", "failed", "not done"
"""What can come of a submission: FAILED is a gradient that never came, so that there is nothing to
compare; UNDONE is the checker's own failure, and is tried again."""
_SAME = 1e-6
"""Two wrong gradients are the same up to this, relative to their size."""
_MOST_NUMBERS = 2000
"""Larger gradients are not kept, and not grouped if nothing explains them."""


@dataclass(frozen=True)
class Found:
    """One finding of one submission, in short."""

    code: str
    says: str
    where: str
    confidence: str

    @property
    def known(self) -> bool:
        """Whether it is a mistake that has a name."""
        return not self.code.startswith("unknown.")


@dataclass(frozen=True)
class Result:
    """What came of one submission."""

    name: str
    status: str
    target: str = ""
    """What was called, relative to the class's folder."""
    score: float = 0.0
    """The share of the parts that are right, from 0 to 1."""
    parts: tuple[tuple[str, bool], ...] = ()
    """Each part of the gradient, and whether it is right."""
    found: tuple[Found, ...] = ()
    conventions: tuple[str, ...] = ()
    first_wrong: str = ""
    """The first wrong layer, counted from the output, or the first wrong operation."""
    seconds: float = 0.0
    numbers: tuple[float, ...] = field(default=(), repr=False)
    """The wrong gradient, if no mistake with a name explains it."""
    written: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    """The report at each hint level: as a page, and as text."""

    @property
    def ok(self) -> bool:
        """Whether it is right."""
        return self.status == RIGHT

    @property
    def shown(self) -> str:
        """The name, as it may be shown anywhere."""
        return plain(self.name, kept="")

    def plain_data(self) -> dict[str, Any]:
        """Return it as JSON can hold it; :func:`result_from` reads it back."""
        return asdict(self)


def result_of(name: str, target: str, report: Report | PartsReport, seconds: float) -> Result:
    """Return the result that a report makes."""
    told = report.data()
    found = tuple(
        Found(one["code"], one["says"], _where(one), one["confidence"]) for one in told["findings"]
    )
    parts = _parts(report)
    unexplained = any(not one.known for one in found)
    theirs = report.theirs if isinstance(report, Report) and unexplained else ()
    numbers = [float(number) for D in theirs for number in D.ravel()]
    nothing = (isinstance(report, Report) and not report.theirs) or not parts
    first = told.get("first_wrong_layer")
    return Result(
        name,
        RIGHT if told["ok"] else FAILED if nothing else WRONG,
        target,
        1.0 if told["ok"] else sum(ok for _, ok in parts) / max(len(parts), 1),
        parts,
        found,
        tuple(one["says"] for one in told["conventions"]),
        told.get("first_wrong", "") if first is None else symbol("Θ", first),
        round(seconds, 3),
        tuple(numbers) if len(numbers) <= _MOST_NUMBERS else (),
        {level: {"html": report.html(level), "text": report.text(level)} for level in HINTS},
    )


def without_report(name: str, status: str, says: str, code: str = "call.not-loaded") -> Result:
    """Return the result of a submission that could not be checked, with the reason."""
    return Result(name, status, found=(Found(code, plain(says), "", "certain"),))


def result_from(data: dict[str, Any]) -> Result:
    """Return what ``plain_data`` wrote; ``TypeError`` and its kin if it is anything else."""
    given = dict(data)
    given["parts"] = tuple((str(name), bool(ok)) for name, ok in given["parts"])
    given["found"] = tuple(Found(**one) for one in given["found"])
    for key in ("conventions", "numbers"):
        given[key] = tuple(given[key])
    return Result(**given)


def _where(finding: dict[str, Any]) -> str:
    layers = finding.get("layers") or [finding["layer"]] if finding.get("layer") else ()
    return finding.get("where") or " ".join(symbol("Θ", layer) for layer in layers)


def _parts(report: Report | PartsReport) -> tuple[tuple[str, bool], ...]:
    if isinstance(report, PartsReport):
        return tuple((part.name, part.ok) for part in report.parts)
    return tuple(
        (one.part if one.layer is None else f"{symbol('Θ', one.layer)} {one.part}", one.ok)
        for one in parts_of(report)
    )


# --- over the class -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    """A mistake, and who made it."""

    code: str
    says: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Submissions with the same mistakes in the same places."""

    codes: tuple[str, ...]
    says: tuple[str, ...]
    where: str
    names: tuple[str, ...]


def counts_of(results: Sequence[Result]) -> list[Count]:
    """Return each mistake with those who made it, the most frequent first."""
    made: dict[str, dict[str, str]] = defaultdict(dict)
    for result in results:
        for one in result.found:
            if not result.ok:
                made[one.code].setdefault(result.name, one.says)
    counts = [Count(code, next(iter(by.values())), tuple(by)) for code, by in made.items()]
    return sorted(counts, key=lambda count: (-len(count.names), count.code))


def groups_of(results: Sequence[Result]) -> list[Group]:
    """Return the submissions that made the same mistakes in the same places, the largest first.

    What no mistake with a name explains is the same if the numbers are; where nothing came back,
    there is nothing to be the same.
    """
    groups: list[tuple[Result, list[str]]] = []
    for result in results:
        if result.status != WRONG or not result.found:
            continue
        for first, names in groups:
            if _same(first, result):
                names.append(result.name)
                break
        else:
            groups.append((result, [result.name]))
    found = [
        Group(
            tuple(one.code for one in first.found),
            tuple(one.says for one in first.found),
            " ".join(dict.fromkeys(one.where for one in first.found if one.where)),
            tuple(names),
        )
        for first, names in groups
    ]
    return sorted(found, key=lambda group: -len(group.names))


def _same(a: Result, b: Result) -> bool:
    if [(one.code, one.where) for one in a.found] != [(one.code, one.where) for one in b.found]:
        return False
    if all(one.known for one in a.found):
        return True
    if len(a.numbers) != len(b.numbers) or not a.numbers:
        return False
    size = max(max(map(abs, a.numbers)), max(map(abs, b.numbers)))
    return all(abs(x - y) <= _SAME * size for x, y in zip(a.numbers, b.numbers, strict=True))
