"""The report on a function that is called as function(thetas, X, Y, lam)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..problem import Problem, square
from .reporting import Report
from .running.calls import Caller
from .running.habits import habits
from .search import Search


def diagnose_calls(call: Caller, problems: Sequence[Problem], name: str = "gradient") -> Report:
    """Return the report on a function that *call* calls."""
    problem = problems[0]
    outcomes = call([problem] * 3)
    report = Search(problems, name, call).report(outcomes[0], habits(outcomes))
    if outcomes[0].code == "call.raises" and len(set(problem.sizes)) > 1:
        # A matrix that was not transposed gets past the shapes of a square network.
        squares = [square(one) for one in problems]
        again = Search(squares, name, call).report(call(squares[:1])[0])
        if again.comparison is not None and not again.ok:
            sizes = "-".join(map(str, again.problem.sizes))
            findings = [
                replace(finding, evidence=f"On a {sizes} network it returns. {finding.evidence}")
                for finding in again.findings
            ]
            return replace(again, findings=(*report.findings, *findings), name=name)
    return report
