"""``diagnose_step``: one published number, the cost after a step of gradient descent.

Worked examples in print often end with the error after one update. That single number is enough to
replay the mistakes against, if it is given with its digits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ... import backprop
from ..problem import Array, Problem
from . import findings
from .algorithm import Run
from .catalogue import catalogue_of
from .matches import Made, Match
from .mistakes import BY_CODE, MISTAKES, Solves
from .reporting import Alternative, Finding, Report
from .worked import rule_for, rule_text


def diagnose_step(
    after: float, problem: Problem, rate: float, *, digits: int = 9, biases: str = "updated"
) -> Report:
    """Return a report on the cost *after* one step Theta := Theta - *rate* D.

    Each mistake of the table is made, the step taken with what comes out, and the cost compared at
    as many *digits* after the point as were printed. *biases* is "updated", or "fixed" if the step
    leaves them where they are.

    >>> from chainrule.checking.problem import mazur
    >>> diagnose_step(0.291027924, mazur(), rate=0.5, biases="fixed").codes
    ('hidden.updated-weights',)

    That is the error which Mazur's post publishes after its step; the right one is 0.291027774.
    """
    if biases not in ("updated", "fixed"):
        raise ValueError(f"biases is {biases!r}: expected 'updated' or 'fixed'")
    if not 0 < rate < np.inf:
        raise ValueError(f"rate is {rate}: expected a learning rate, finite and above 0")

    def cost_after(gradients: list[Array] | tuple[Array, ...]) -> float:
        moved = []
        for theta, D in zip(problem.thetas, gradients, strict=True):
            step = rate * D
            if biases == "fixed":
                step[:, 0] = 0.0
            moved.append(theta - step)
        return backprop.cost(moved, problem.X, problem.Y, problem.lam, **problem.options)

    def agrees(cost: float) -> bool:
        return abs(cost - after) <= 0.6 * 10.0**-digits

    right, name = cost_after(problem.truth.D), f"the cost after one step, {after}"
    if agrees(right):
        return Report(problem, name=name)
    base = catalogue_of(problem).base
    found: dict[str, Match] = {}
    # Of the rows with a number those in which it is the learning rate of the step.
    rows = [
        row
        for row in MISTAKES
        if row.solves in (None, Solves.BELOW_THE_OUTPUT) or row.category == "update"
    ]
    for row in rows:
        for way in range(len(row.ways) if row.applies(problem) else 0):
            made = Made(row, way)
            with np.errstate(all="ignore"):
                gradients = Run(problem, [made.changes], rate, base).gradients()
            if all(np.isfinite(D).all() for D in gradients):
                cost = cost_after(gradients)
                if agrees(cost):
                    found.setdefault(row.code, Match((made,), abs(cost - after)))
    shown = f"the right step leads to {right:.{digits}f}"
    if not found:
        return Report(problem, (_finding("unknown.deltas", problem, shown),), name=name)
    first, *others = found.values()
    evidence = f"A step with this mistake leads to the printed cost, {after}; {shown}."
    alternatives = tuple(
        Alternative(other.codes, other.made[0].mistake.says, "the gradient itself, not the cost")
        for other in others
    )
    finding = _finding(first.codes[0], problem, evidence, alternatives)
    return Report(problem, (finding,), name=name)


def _finding(
    code: str, problem: Problem, evidence: str, others: tuple[Alternative, ...] = ()
) -> Finding:
    rule = rule_for(BY_CODE[code].rule, problem)
    return replace(
        findings.bare(code, evidence),
        rule=rule,
        formula=rule_text(rule, problem),
        confidence="one of several" if others else "certain",
        alternatives=others,
    )
