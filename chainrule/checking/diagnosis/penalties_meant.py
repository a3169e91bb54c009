"""Which penalty is meant where it is not that of the notes, and what is said of mistakes in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..problem import Problem
from .algorithm import Run
from .asked import PENALTIES, Penalty
from .catalogue import catalogue_of
from .matches import Match, same_cost
from .readings import Reading
from .reporting import Convention, Finding
from .search import TOLERANCE


def as_the_notes_have_it(problem: Problem, penalty: Penalty) -> tuple[Problem, Convention]:
    """Return *problem* with the lambda that makes the usual penalty this one, and say so."""
    lam = penalty.strength(problem.lam, problem.m) * problem.divisor
    says = (
        f"{penalty.says}; in the numbers below lambda is {lam:g}, which makes the penalty of the "
        "notes the same"
    )
    return replace(problem, lam=lam), Convention(f"penalty-{penalty.name}", says)


def of_penalties(matches: Sequence[Match]) -> bool:
    """Whether some of these explanations are mistakes in the penalty."""
    return any(code.startswith("penalty.") for match in matches for code in match.codes)


def of_penalty(found: Finding, penalty: Penalty) -> Finding:
    """Say of a mistake in the penalty what it is where another one than the notes' is meant."""
    if not found.code.startswith("penalty."):
        return found
    says = {
        "penalty.divided-by-2m": "The regularisation term is half of what it should be.",
        "penalty.doubled": "The regularisation term is twice what it should be.",
        "penalty.not-divided": "The regularisation term is m times what it should be.",
    }
    if not penalty.over_m:
        says["penalty.divided-twice"] = "The regularisation term is divided by m; this one is not."
    fix = f"Add {penalty.term} to the gradient of the weights: {penalty.says}."
    return replace(found, says=says.get(found.code, found.says), fix=fix)


def agrees(reading: Reading, said: Sequence[Convention], problem: Problem) -> bool:
    """Whether the cost beside a gradient is the one by which the gradient is right."""
    cost = usual_cost(reading, said, problem)
    return cost is None or same_cost(Run(problem).cost(), cost, TOLERANCE)


def usual_cost(
    reading: Reading, said: Sequence[Convention], problem: Problem
) -> float | None:  # fmt: skip
    """Return the cost as it would be by the usual conventions; None if that cannot be said."""
    cost, names = reading.cost, {item.name for item in said}
    if cost is None or names & {"rate", "mean-over-outputs"}:
        return None
    for penalty in PENALTIES.values():
        if f"penalty-{penalty.name}" in names:
            if same_cost(catalogue_of(problem).base.data_cost(), cost, TOLERANCE):
                return cost  # the gradient has a penalty, whichever, and the cost has none
            theirs = penalty.strength(problem.lam, problem.m)
            weights = sum(float((theta[:, 1:] ** 2).sum()) for theta in problem.thetas)
            biases = sum(float((theta[:, 0] ** 2).sum()) for theta in problem.thetas)
            cost += (problem.lam / problem.divisor - theirs) / 2 * weights
            cost -= theirs / 2 * biases if penalty.on_biases else 0.0
    return cost
