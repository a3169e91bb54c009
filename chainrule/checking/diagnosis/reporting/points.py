"""Which parts of a gradient are right, so that each can earn its points.

The parts are the weights and the biases of each layer, judged without the penalty, the penalty, and
the cost, if one came with the gradient.
A program that forgets the penalty has everything else right; one whose hidden deltas are wrong has
the output layer right. Nothing is called again: what was returned is taken apart.

The gradient of a layer is N + (lambda/m) Theta~, the data's part and the penalty's. If theirs is N
plus any multiple of the weights, the data's part is right and it is the penalty that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from ...problem import Array
from .report import ReportData

_WEIGHTS, _BIASES = slice(1, None), slice(0, 1)
_Layer: TypeAlias = "tuple[bool, bool, bool | None]"
"""Whether the weights, the biases and the penalty of a layer are right."""
_TOLERANCES = {np.dtype(np.float64): 1e-6}
_TOLERANCE = 1e-4  # of float32
"""How near two numbers must be, relative to the terms that are summed."""


@dataclass(frozen=True)
class PartPoints:
    """One part of a gradient, and whether it is right."""

    layer: int | None
    """l of the Theta^(l); None for the penalty, which belongs to all."""
    part: str
    """"weights", "biases", "penalty", "cost" or "whole"."""
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
    layers = len(report.theirs)
    judged: list[_Layer] = [(True, True, True)] * layers
    if any(finding.category == "call" for finding in report.findings):
        # Numbers that change from call to call, say, are not right by being so once.
        judged = [(False, False, False)] * layers
    elif not all(finding.category == "cost" for finding in report.findings):
        judged = list(_judged(report))
        if all(weights and biases for weights, biases, _ in judged) and _penalty(judged):
            # It is off by less than is looked at here, in these entries.
            off = {(layer, column > 0) for layer, _, column in report.wrong_entries}
            judged = [
                ((layer, True) not in off, (layer, False) not in off, bool(off))
                for layer in range(1, layers + 1)
            ]
    parts = []
    for layer, (weights, biases, _) in enumerate(judged, start=1):
        parts.append(PartPoints(layer, "weights", weights))
        if report.problem.biases:
            parts.append(PartPoints(layer, "biases", biases))
    if report.problem.lam:
        parts.append(PartPoints(None, "penalty", _penalty(judged)))
    if any("with-cost" in convention.name for convention in report.conventions):
        wrong = any(finding.category in ("cost", "call") for finding in report.findings)
        parts.append(PartPoints(None, "cost", not wrong))
    return tuple(parts)


def _penalty(judged: Sequence[_Layer]) -> bool:
    """Whether the penalty is right wherever something is known of it."""
    known = [penalty for *_, penalty in judged if penalty is not None]
    return bool(known) and all(known)


def _judged(report: ReportData) -> Iterator[_Layer]:
    """For each layer, say whether its weights, its biases and its penalty are right.

    None for a penalty of which nothing is known, as nothing fits.
    """
    problem, categories = report.problem, {finding.category for finding in report.findings}
    explained = all(finding.confidence != "partial" for finding in report.findings)
    data = replace(problem, lam=0.0).truth.D
    for layer, theirs in enumerate(report.theirs):
        tolerance = _TOLERANCES.get(theirs.dtype, _TOLERANCE)
        scale = tolerance * (problem.scales[layer] or 1.0)
        theta, N, D = problem.thetas[layer], data[layer], problem.truth.D[layer]
        pieces = [(theirs[:, part], N[:, part], theta[:, part]) for part in (_WEIGHTS, _BIASES)]
        fit = _fit(*pieces[0], scale)
        if fit is not None:
            alpha, beta = fit
            penalty = (
                abs(beta - _factor((D - N)[:, _WEIGHTS], theta[:, _WEIGHTS])) * np.abs(theta).max()
                <= scale
            )
            weights = bool(np.abs((alpha - 1.0) * N[:, _WEIGHTS]).max() <= scale)
            weights = weights and bool(problem.lam or penalty)  # no penalty, no part that loses
        else:
            # A replay that agrees to rounding, without a mistake in the penalty, has it right.
            penalty = "penalty" not in categories if explained else None
            weights = categories == {"penalty"}
        biases = bool(np.all(np.abs(theirs - D)[:, _BIASES] <= scale))
        if (
            not biases
            and problem.lam
            and (categories == {"penalty"} or _is_multiple(*pieces[1], scale))
        ):
            biases, penalty = True, False
        yield weights, biases, None if penalty is None else bool(penalty)


def _fit(theirs: Array, N: Array, theta: Array, scale: float) -> tuple[float, float] | None:
    """Return alpha and beta of theirs = alpha N + beta theta; None if that does not fit.

    Two numbers always fit two, which shows nothing.
    """
    if theirs.size < 3 or not np.isfinite(theirs).all():
        return None
    columns = np.column_stack([N.ravel(), theta.ravel()])
    (alpha, beta), _, rank, _ = np.linalg.lstsq(columns, theirs.ravel(), rcond=None)
    fits = rank == 2 and np.all(np.abs(alpha * N + beta * theta - theirs) <= scale)
    return (float(alpha), float(beta)) if fits else None


def _is_multiple(theirs: Array, N: Array, theta: Array, scale: float) -> bool:
    """Whether theirs is N and a multiple of *theta*; one number always is, which shows nothing."""
    rest = theirs - N
    if rest.size < 2 or not np.isfinite(rest).all():
        return False
    return bool(np.all(np.abs(rest - _factor(rest, theta) * theta) <= scale))


def _factor(rest: Array, theta: Array) -> float:
    """Return the multiple of *theta* that is nearest to *rest*."""
    squares = float((theta**2).sum())
    return float((rest * theta).sum()) / squares if squares else 0.0
