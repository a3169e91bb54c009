"""Which parts of a gradient are right, so that each can earn its points.

The parts are the weights and the biases of each layer, judged without the penalty, and the penalty.
A program that forgets the penalty has everything else right; one whose hidden deltas are wrong has
the output layer right. Nothing is called again: what was returned is taken apart.

The gradient of a layer is N + (lambda/m) Theta~, the data's part and the penalty's. If theirs is N
plus any multiple of the weights, the data's part is right and it is the penalty that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...problem import Array
from .report import ReportData

_TOLERANCE = 1e-4
"""How near N + beta Theta must be, relative to the terms that are summed: as float32 would be."""


@dataclass(frozen=True)
class PartPoints:
    """One part of a gradient, and whether it is right."""

    layer: int | None
    """l of the Theta^(l); None for the penalty, which belongs to all."""
    part: str
    """"weights", "biases", "penalty" or "whole"."""
    ok: bool


def parts_of(report: ReportData) -> tuple[PartPoints, ...]:
    """Return the parts of the gradient that *report* is on; one, the whole, if it has none.

    >>> from dataclasses import replace
    >>> from chainrule.checking import diagnose, probe
    >>> p = probe()
    >>> without = [D.copy() for D in replace(p, lam=0.0).truth.D]
    >>> parts = parts_of(diagnose(without, p.thetas, p.X, p.Y, p.lam, loss="logistic"))
    >>> [part.part for part in parts if not part.ok]
    ['penalty']
    """
    if not report.theirs:
        return (PartPoints(None, "whole", report.ok),)
    if report.ok:
        judged = [(True, True, True)] * len(report.theirs)
    else:
        judged = list(_judged(report))
    if any(finding.category == "call" for finding in report.findings):
        # Numbers that change from call to call, say, are not right by being so once.
        judged = [(False, False, False)] * len(judged)
    parts = []
    for layer, (weights, biases, _) in enumerate(judged, start=1):
        parts += [PartPoints(layer, "weights", weights), PartPoints(layer, "biases", biases)]
    if report.problem.lam:
        parts.append(PartPoints(None, "penalty", all(penalty for *_, penalty in judged)))
    return tuple(parts)


def _judged(report: ReportData) -> Iterator[tuple[bool, bool, bool]]:
    """For each layer, say whether its weights, its biases and its penalty are right."""
    problem, categories = report.problem, {finding.category for finding in report.findings}
    explained = all(finding.confidence != "partial" for finding in report.findings)
    only_penalty = categories == {"penalty"}
    # A replay that agrees to rounding, without a mistake in the penalty, has it right.
    penalty_known = explained and "penalty" not in categories
    data = replace(problem, lam=0.0).truth.D
    for layer, theirs in enumerate(report.theirs):
        scale = problem.scales[layer] or 1.0
        theta, N, D = problem.thetas[layer], data[layer], problem.truth.D[layer]

        def right(part: slice, wanted: Array, theirs: Array = theirs, scale: float = scale) -> bool:
            return bool(np.all(np.abs(theirs - wanted)[:, part] <= _TOLERANCE * scale))

        sides = []
        for part in (slice(1, None), slice(0, 1)):
            with_penalty = right(part, D)
            fits = only_penalty or _is_multiple((theirs - N)[:, part], theta[:, part], scale)
            sides.append((with_penalty or fits, with_penalty))
        (weights, whole_weights), (biases, whole_biases) = sides
        penalty = penalty_known or (
            whole_weights and (whole_biases or not biases)  # a bias that is wrong says nothing
        )
        yield weights, biases, penalty


def _is_multiple(rest: Array, theta: Array, scale: float) -> bool:
    """Whether *rest* is a multiple of *theta*; one number always is, which shows nothing."""
    squares = float((theta**2).sum())
    if rest.size < 2 or not squares or not np.isfinite(rest).all():
        return False
    beta = float((rest * theta).sum()) / squares
    return bool(np.all(np.abs(rest - beta * theta) <= _TOLERANCE * scale))
