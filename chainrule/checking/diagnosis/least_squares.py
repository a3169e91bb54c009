"""Four factors for each layer: theirs = alpha N + beta Theta~ + gamma Theta_b + kappa 1_b.

N is the data gradient, Theta~ the weights with a zero bias column, Theta_b the bias column alone
and 1_b ones there. Every gradient that is right but for factors, of the data or of the penalty, is
such a sum; the right one has (1, lambda/m, 0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ..problem import Array, Problem
from ..text import number
from .worked import symbol

LETTERS = MappingProxyType(
    {
        "N": "the right gradient without penalty",
        "Θ~": "Θ with zeros for the biases",
        "Θ_b": "the biases alone, with zeros for the weights",
        "1_b": "ones for the biases, zeros for the weights",
    }
)
"""What the four letters stand for, in words."""


@dataclass(frozen=True)
class Fit:
    """The four factors of one layer."""

    coefficients: tuple[float, float, float, float]

    @classmethod
    def of(cls, gradient: Array, problem: Problem, layer: int, tolerance: float) -> Fit | None:
        """Return the fit, or None if there is none or more than one."""
        theta = problem.thetas[layer]
        if not problem.biases:
            return cls._without_biases(gradient, problem, layer, tolerance)
        bias = np.zeros_like(theta)
        bias[:, 0] = 1.0
        data = problem.truth.Delta[layer] / problem.divisor
        columns = np.stack([data, theta * (1.0 - bias), theta * bias, bias], axis=-1)
        columns = columns.reshape(-1, 4)
        sizes = np.abs(columns).max(axis=0)
        if theta.size <= 4 or not sizes.all():
            return None
        found, _, rank, singular = np.linalg.lstsq(columns / sizes, gradient.ravel(), rcond=None)
        if rank < 4 or singular[-1] < 1e-3 * singular[0]:
            return None
        off = np.abs(columns / sizes @ found - gradient.ravel()).max()
        if off > tolerance * max(problem.scales[layer], float(np.abs(gradient).max())):
            return None
        alpha, beta, gamma, kappa = (float(value) for value in found / sizes)
        return cls((alpha, beta, gamma, kappa))

    @classmethod
    def _without_biases(
        cls, gradient: Array, problem: Problem, layer: int, tolerance: float
    ) -> Fit | None:
        data = problem.truth.Delta[layer] / problem.divisor
        columns = np.stack([data[:, 1:].ravel(), problem.thetas[layer][:, 1:].ravel()], axis=-1)
        wanted = gradient[:, 1:].ravel()
        if len(columns) <= 2:
            return None
        found, _, rank, _ = np.linalg.lstsq(columns, wanted, rcond=None)
        off = float(np.abs(columns @ found - wanted).max())
        if rank < 2 or off > tolerance * max(problem.scales[layer], float(np.abs(wanted).max())):
            return None
        return cls((float(found[0]), float(found[1]), 0.0, 0.0))

    def differs(self, other: Fit) -> bool:
        """Whether any of the factors is another."""
        pairs = zip(self.coefficients, other.coefficients, strict=True)
        return any(abs(a - b) > 1e-5 * max(1.0, abs(a), abs(b)) for a, b in pairs)

    def __str__(self) -> str:
        terms = zip(self.coefficients, LETTERS, strict=True)
        shown = [_term(c, matrix) for c, matrix in terms if abs(c) > 1e-9]
        return " + ".join(shown).replace("+ -", "- ") or "0"


def _term(factor: float, matrix: str) -> str:
    shown = number(factor)
    return {"1": "", "-1": "-"}.get(shown, f"{shown} ") + matrix


def fitted(problem: Problem, gradients: Sequence[Array], tolerance: float) -> list[Fit] | None:
    """Return the fit of every layer, or None if there is a layer that has none.

    >>> from chainrule.checking.problem import probe
    >>> print(*fitted(probe(), [-2 * D for D in probe().truth.D], 1e-7), sep="; ")
    -2 N - 0.325 Θ~; -2 N - 0.325 Θ~; -2 N - 0.325 Θ~
    """
    fits = [Fit.of(gradient, problem, layer, tolerance) for layer, gradient in enumerate(gradients)]
    found = [fit for fit in fits if fit is not None]
    return found if len(found) == len(fits) else None


def evidence(problem: Problem, gradients: Sequence[Array], tolerance: float) -> list[str]:
    """Return what least squares say of factors that are not right, in words; maybe nothing."""
    fits = fitted(problem, gradients, tolerance)
    right = Fit((1.0, problem.lam / problem.divisor, 0.0, 0.0))
    if fits is None or not any(fit.differs(right) for fit in fits):
        return []
    if not any(fit.differs(fits[0]) for fit in fits):
        found = [f"In every layer yours = {fits[0]}; right is {right}."]
    else:
        found = [
            f"{symbol('Θ', layer)}: yours = {fit}; right is {right}."
            for layer, fit in enumerate(fits, start=1)
            if fit.differs(right)
        ]
    letters = [f"{letter} is {LETTERS[letter]}" for letter in LETTERS if letter in " ".join(found)]
    return [*found, f"({'; '.join(letters)}.)"]
