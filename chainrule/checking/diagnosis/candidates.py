"""The manners in which a program gave arrays, and how near each is to the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..intake.manner import Manner
from ..problem import Array, Problem
from .asked import PENALTIES, Asked
from .readings import Reading, precision, readings
from .running.calls import Outcome
from .running.habits import habits
from .running.results import finite
from .search import TOLERANCE, TOLERANCES


@dataclass(frozen=True, eq=False)
class Candidate:
    """One manner, what three calls gave, and what the network is for it."""

    manner: Manner
    outcomes: list[Outcome]
    problem: Problem
    read: list[Reading]

    @property
    def finds_rate(self) -> bool:
        """Whether the weights changed by an unknown rate times the gradient."""
        return self.manner.is_step and not self.manner.rate

    @property
    def wavers(self) -> bool:
        """Whether equal calls give different numbers."""
        return any(code == "call.not-repeatable" for code, _ in habits(self.outcomes))

    @property
    def tolerance(self) -> float:
        tree = self.outcomes[0].tree
        assert tree is not None
        return TOLERANCES.get(precision(tree), TOLERANCE)


def candidates(
    asked: Asked, outcomes: Sequence[Outcome], offered: Sequence[Problem]
) -> Iterator[Candidate]:
    """Yield each manner in which arrays came, with the network as it is for that manner."""
    together: dict[Manner, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.manner is not None and outcome.manner.network < len(offered):
            together.setdefault(outcome.manner, []).append(outcome)
    for manner, calls in together.items():
        problem = asked.fitted(offered[manner.network], manner)
        tree = calls[0].tree
        if tree is None:
            continue
        if manner.container == "made":
            begun = [np.array(theta) for theta in tree[0]]
            if [one.shape for one in begun] != [one.shape for one in problem.thetas]:
                continue
            problem = replace(problem, thetas=tuple(begun))
            calls = [one if one.tree is None else replace(one, tree=one.tree[1])
                     for one in calls]  # fmt: skip
            tree = calls[0].tree or []
        found = readings(tree, problem)
        stated = PENALTIES.get(asked.penalty or "")
        if stated is not None and stated.on_biases:
            # A network's own penalty has no biases; those that were asked for are taken off.
            found = [replace(one, gradients=_off_biases(problem, one)) for one in found]
            calls = [replace(one, tree=found[0].gradients) for one in calls if found]
        yield Candidate(manner, calls or together[manner], problem, found)


def whole_batches(candidates: list[Candidate]) -> list[Candidate]:
    """Leave out one example at a time where a program takes all at once: then it is asked that.

    With one example a mean is a sum, and what is wrong with it does not show.  A program takes all
    at once if each block of what it gives is a multiple of the mean over the examples.
    """
    whole = [one for one in candidates if one.manner.whole]
    return [
        one
        for one in candidates
        if one.manner.whole or not one.manner.is_step
        or not any(_multiples(one, other) for other in whole)
    ]  # fmt: skip


def _multiples(one: Candidate, other: Candidate) -> bool:
    """Whether two manners of one network give the same but for a factor of each block."""
    if (
        not one.read
        or not other.read
        or one.problem.thetas[0].shape != other.problem.thetas[0].shape
    ):
        return False
    pairs = list(zip(one.read[0].gradients, other.read[0].gradients, strict=False))
    return len(one.read[0].gradients) == len(other.read[0].gradients) and all(
        _is_multiple(a[part], b[part]) for a, b in pairs for part in _BLOCKS
    )


_BLOCKS = np.s_[:, 1:], np.s_[:, 0]


def _is_multiple(one: Array, other: Array) -> bool:
    size, scale = float(np.vdot(one, one)), float(np.abs(other).max(initial=0.0))
    if size == 0.0 or scale == 0.0:
        return size == scale
    return float(np.abs(other - np.vdot(one, other) / size * one).max()) <= 1e-6 * scale


def error_of(problem: Problem, gradients: Sequence[Array]) -> float:
    """Return how far *gradients* are from the truth, relative to the layers' scales."""
    layers = zip(gradients, problem.truth.D, problem.scales, strict=True)
    return max(float(np.abs(D - true).max()) / (scale or 1.0) for D, true, scale in layers)


def right_layers(problem: Problem, gradients: Sequence[Array], tolerance: float) -> float:
    """Return how many layers are right, counted from the output; half a one counts a half."""
    count = 0.0
    layers = list(zip(gradients, problem.truth.D, problem.scales, strict=True))
    for D, true, scale in reversed(layers):
        right = np.abs(D - true) <= tolerance * (scale or 1.0)
        if not right.all():
            return count + 0.5 * bool(right[:, 1:].all() or (right[:, 0].all() and problem.biases))
        count += 1
    return count


def any_right(problem: Problem, gradients: Sequence[Array], tolerance: float) -> bool:
    """Whether the weights of a layer are right."""
    return any(
        bool((np.abs(D - true)[:, 1:] <= tolerance * (scale or 1.0)).all())
        for D, true, scale in zip(gradients, problem.truth.D, problem.scales, strict=True)
    )


def _off_biases(problem: Problem, reading: Reading) -> list[Array]:
    """Return the gradients without a penalty on the biases."""
    strength = problem.lam / problem.divisor
    found = [np.array(D) for D in reading.gradients]
    for D, theta in zip(found, problem.thetas, strict=True):
        D[:, 0] -= strength * theta[:, 0]
    return found


def is_finite(one: Candidate) -> bool:
    """Whether all numbers of the first call are finite."""
    tree = one.outcomes[0].tree
    return tree is not None and finite(tree)
