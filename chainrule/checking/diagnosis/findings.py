"""Findings: a row of the table of mistakes, and the formula that it breaks at one entry."""

from __future__ import annotations

from dataclasses import replace

from ..problem import Problem
from ..text import number, short
from . import least_squares
from .catalogue import catalogue_of
from .evidence import Evidence
from .matches import Made, Match
from .mistakes import BY_CODE, Mistake
from .reporting import Alternative, Finding
from .worked import Worked, rule_for, rule_text

_FROM_THE_OUTPUT = (
    "examples", "forward", "output", "slope", "sign", "factor", "hidden", "sum", "bias", "mean",
    "penalty", "layout", "update", "number", "cost",
)  # fmt: skip
"""The categories in the order in which a gradient flows."""
_OTHER_SQUARE = {
    "squared_error": "half_squared_error",
    "half_squared_error": "squared_error",
}


def bare(code: str, says: str = "", layer: int | None = None) -> Finding:
    """Return the finding of a row with what supports it, and no formula."""
    row = BY_CODE[code]
    return Finding(code, row.says, row.fix, evidence=says, layer=layer)


def with_rule(finding: Finding, found: Evidence) -> Finding:
    """Add the formula that is broken, with this network's numbers."""
    layers = () if finding.layer is None else (finding.layer - 1,)
    layer, unit, column = found.entry_for(finding.code, layers)
    rule, formula = _rule(BY_CODE[finding.code], found.problem, layer)
    here = Worked(found.problem).here(rule, layer, unit, column)
    return replace(finding, rule=rule, formula=formula, here=here)


def _rule(row: Mistake, problem: Problem, layer: int) -> tuple[str, str]:
    """Return the code of the formula that *row* breaks at *layer*, and the formula."""
    # A wrong forward pass shows behind the layer that it is made in.
    at = None if row.category == "forward" else layer
    rule = rule_for(row.rule, problem, at)
    return rule, rule_text(rule, problem, at)


def sentences(match: Match) -> str:
    """Return what is said of an explanation, its number put in."""
    return " ".join(_sentence(made, match) for made in match.made)


def _sentence(made: Made, match: Match) -> str:
    row = made.mistake
    if row.with_number and match.number is not None:
        return row.with_number.format(number=number(match.number))
    return row.says


def of_match(
    match: Match, found: Evidence, alternatives: tuple[Alternative, ...] = ()
) -> list[Finding]:
    """Return a finding for each mistake of *match*, what happens at the output first."""
    evidence = "\n".join(_support(match, found))
    findings = []
    for made in sorted(match.made, key=lambda made: _FROM_THE_OUTPUT.index(made.mistake.category)):
        row = made.mistake
        layer, unit, column = found.entry_for(row.code, made.layers)
        rule, formula = _rule(row, found.problem, layer)
        here = Worked(found.problem).here(rule, layer, unit, column)
        findings.append(
            Finding(
                row.code,
                _sentence(made, match),
                row.fix,
                formula,
                f"{here}\n{found.two_numbers(layer, unit, column)}",
                evidence,
                "one of several" if alternatives else "certain",
                alternatives,
                layer=made.layers[0] + 1 if len(made.layers) == 1 else None,
                rule=rule,
                layers=tuple(layer + 1 for layer in made.layers) if len(made.layers) > 1 else (),
            )
        )
    return findings


def _support(match: Match, found: Evidence) -> list[str]:
    """Say how well the replay fits, and what else the numbers show."""
    together = "this mistake" if len(match.made) == 1 else "these mistakes together"
    says = [f"The algorithm replayed with {together} gives your gradient, to {short(match.error)}."]
    if match.number is not None and any(made.mistake.with_number for made in match.made):
        what = (
            "number" if any(made.mistake.category == "number" for made in match.made) else "factor"
        )
        says.append(f"The {what} is {number(match.number)}.")
    elif match.number is not None:
        says.append(f"The learning rate of the update was {number(match.number)}.")
    other = _with_other_square(found.problem)
    if other is not None and catalogue_of(other).error(found.gradients) <= found.tolerance:
        says.append(
            f"It is the gradient of the {other.loss} loss, not of {found.problem.loss}: if that is "
            "the cost you want, state it."
        )
    return says + least_squares.evidence(found.problem, found.gradients, found.tolerance)


def _with_other_square(problem: Problem) -> Problem | None:
    other = _OTHER_SQUARE.get(problem.loss)
    return None if other is None else replace(problem, loss=other)
