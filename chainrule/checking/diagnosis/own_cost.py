"""A gradient beside a cost that is not known here, compared with that cost's differences.

Hinge losses, absolute errors, costs with weights for classes: what a program returns beside its
gradient can be differentiated by central differences, whatever it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..comparison import compare
from ..problem import Array, Problem
from ..text import number
from . import findings
from .candidates import Candidate
from .readings import Reading, readings
from .reporting import Convention, Report
from .running.calls import Caller

MOST_ENTRIES = 400
"""Of how many entries differences are taken; each takes two calls."""
STEP, CLOSE = 1e-5, 1e-5
"""The step of the differences, and how near they must be, relative to the layer's largest."""
SAYS = (
    "the cost that comes with the gradient is none of those that are known here; the gradient is "
    "that of this cost, by its central differences: state --loss to enforce one"
)


def by_own_cost(one: Candidate, call: Caller, name: str) -> Report | None:
    """Return the report on a gradient by the cost beside it; None if there is none to be had.

    A cost counts that depends on the targets, and on the weights of each layer.
    """
    reading = next((each for each in one.read if each.cost is not None), None)
    if reading is None or sum(theta.size for theta in one.problem.thetas) > MOST_ENTRIES:
        return None
    slopes = _differences(one.problem, reading, call)
    if slopes is None or not all(np.abs(slope[:, 1:]).max(initial=0.0) > 1e-9 for slope in slopes):
        return None
    problem = replace(one.problem, own_cost=True)
    off = [np.abs(D - slope) for D, slope in zip(reading.gradients, slopes, strict=True)]
    bounds = [CLOSE * max(float(np.abs(slope).max()), 1e-12) for slope in slopes]
    wrong = [
        layer + 1 for layer, (D, bound) in enumerate(zip(off, bounds, strict=True))
        if float(D.max()) > bound
    ]  # fmt: skip
    entries = [
        (layer + 1, int(row), int(column))
        for layer, (D, bound) in enumerate(zip(off, bounds, strict=True))
        for row, column in np.argwhere(bound < D)
    ]
    told = [Convention("own-cost", SAYS)] if not wrong else []
    found = () if not wrong else (
        findings.bare("unknown.own-cost", _evidence(reading.gradients, slopes)),
    )  # fmt: skip
    return Report(
        problem, found, tuple(told), compare(reading.gradients, slopes), tuple(wrong[::-1]),
        tuple(entries), theirs=tuple(reading.gradients), name=name,
    )  # fmt: skip


def _differences(problem: Problem, like: Reading, call: Caller) -> list[Array] | None:
    """Return the derivatives of the cost by each entry of the Thetas; None if a call fails."""
    moved = []
    for layer, theta in enumerate(problem.thetas):
        for place in np.ndindex(*theta.shape):
            for step in (STEP, -STEP):
                other = theta.copy()
                other[place] += step
                thetas = (*problem.thetas[:layer], other, *problem.thetas[layer + 1 :])
                moved.append(replace(problem, thetas=thetas))
    moved.append(replace(problem, Y=np.roll(problem.Y, 1, axis=0)))
    costs = []
    for at, outcome in zip(moved, call(moved), strict=False):
        cost = None if outcome.tree is None else _cost(readings(outcome.tree, at), like)
        if cost is None:
            return None
        costs.append(cost)
    if len(costs) < len(moved) or costs.pop() == like.cost:
        return None
    rises = np.array(costs[0::2]) - np.array(costs[1::2])
    stops = np.cumsum([theta.size for theta in problem.thetas])[:-1]
    blocks = np.split(rises / (2.0 * STEP), stops)
    found = [block.reshape(theta.shape) for block, theta in
             zip(blocks, problem.thetas, strict=True)]  # fmt: skip
    if not problem.biases:
        for slope in found:
            slope[:, 0] = 0.0
    return found


def _cost(read: Sequence[Reading], like: Reading) -> float | None:
    return next((one.cost for one in read if one.convention == like.convention), None)


def _evidence(gradients: Sequence[Array], slopes: Sequence[Array]) -> str:
    """Say by which factor a gradient is off, if it is one in every layer."""
    theirs = np.concatenate([D.ravel() for D in gradients])
    right = np.concatenate([slope.ravel() for slope in slopes])
    factor = float(theirs @ right) / float(right @ right)
    if np.abs(theirs - factor * right).max() <= CLOSE * np.abs(theirs).max(initial=1e-12):
        return f"In every layer yours is {number(factor)} times the derivative of the cost."
    return (
        'The numbers under "right" are central differences of the cost that comes with the '
        "gradient. That cost is none of those that are known here, so no mistake is named."
    )
