"""Which mistakes of the table give the gradient that was handed in, on one problem.

A :class:`Catalogue` compares the replays with it: of a mistake alone, in some of the layers, with a
number that is solved for, and of two at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import product

import numpy as np

from ..problem import Array, Problem
from .matches import (
    Explanation,
    Made,
    Match,
    equal,
    in_float32,
    is_plain,
    one_for_each_code,
    same_cost,
    size_of,
)
from .mistakes import MISTAKES, Solves
from .replays import COST, MOST_FOR_PAIRS, Affine, Replays

MOST_STEPS, SMALL_STEP = 12, 1e-6
"""How many steps of Newton's method a number gets, and how far apart a slope is measured."""
STARTS = (0.0, 0.01, 0.1, 0.5, 1.0)
"""Where Newton's method begins, as learning rates go."""
_NEARER = 0.01
"""How much nearer than the truth a mistake must be: noise of float32 is near to some by chance."""
EXACT, NOT_EXACT = 1e-13, 1e-11
"""What float64 leaves of a right number, and what is far above it."""
LEAST_OF_PENALTY = 1e-3
"""Which part of a penalty has to be off for the penalty to be wrong, and not only inexact."""


@lru_cache(maxsize=16)
def catalogue_of(problem: Problem) -> Catalogue:
    """Return the catalogue of *problem*, the same one if it is asked for again."""
    return Catalogue(problem)


class Catalogue(Replays):
    """What a gradient is compared with: the truth, and each mistake."""

    def error(self, gradients: Sequence[Array]) -> float:
        """Return how far *gradients* are from the truth, relative to the layers' scales."""
        layers = zip(gradients, self.problem.truth.D, self.problem.scales, strict=True)
        return max(float(np.abs(D - true).max()) / (scale or 1.0) for D, true, scale in layers)

    def right_layers(self, gradients: Sequence[Array], tolerance: float) -> int:
        """Return how many layers are right, counted from the output up to the first wrong one."""
        layers = zip(gradients, self.problem.truth.D, self.problem.scales, strict=True)
        right = [
            float(np.abs(D - true).max()) <= tolerance * (scale or 1.0) for D, true, scale in layers
        ]
        return next((n for n, one in enumerate(reversed(right)) if not one), len(right))

    def only_penalty_wrong(self, gradients: Sequence[Array], most: float) -> bool:
        """Whether the weights are off by *most* at most, and the biases exact in float64.

        What is off has to be a good part of the penalty: a lambda in float32 is not a mistake.
        """
        if not self.problem.lam or in_float32(gradients):
            return False
        weights = biases = decay = 0.0
        for layer, (D, true) in enumerate(zip(gradients, self.problem.truth.D, strict=True)):
            if not true[:, 0].any():
                return False  # nothing is learnt from biases that are 0
            scale = self.problem.scales[layer] or 1.0
            off = np.abs(D - true) / scale
            weights = max(weights, float(off[:, 1:].max(initial=0.0)))
            biases = max(biases, float(off[:, 0].max()))
            decay = max(decay, float(np.abs(self.base.decay(layer)).max()) / scale)
        return biases < EXACT < NOT_EXACT < weights <= most and weights > LEAST_OF_PENALTY * decay

    def explains(self, match: Match, gradients: Sequence[Array], tolerance: float) -> bool:
        """Return whether *match*, found on another problem, gives *gradients* on this one."""
        replayed, wanted = self.replay(match.made, match.number or 0.0), self.vector(gradients)
        return bool(np.abs(replayed - wanted).max() <= tolerance * size_of(wanted))

    def wrong_deltas(self, match: Match) -> list[tuple[int, int]]:
        """Return (l, unit) of each delta^(l) that these mistakes make wrong in some example."""
        run = self.run(match.made, match.number or 0.0)
        found = []
        for layer, true in enumerate(self.problem.truth.delta):
            off = np.abs(run.delta(layer) - true).max(axis=0)
            wrong = np.flatnonzero(off > 1e-9 * max(float(np.abs(true).max()), 1e-300))
            found += [(layer + 2, unit) for unit in wrong.tolist()]
        return found

    def single(self, gradients: Sequence[Array], tolerance: float) -> list[Match]:
        """Return the single mistakes that give *gradients*, in all layers or else in some.

        A plain factor is an explanation of its own: it stands beside the rows that have this factor
        by chance, and before two of them at once.
        """
        tolerance = min(tolerance, _NEARER * self.error(gradients))
        wanted = self.vector(gradients)
        matches = self._matches(*self.singles, wanted, tolerance)
        matches += self._solved(self._updating_alone, wanted, tolerance)
        plain = [
            match
            for match in self._linear(self._linear_alone, wanted, tolerance)
            if match.number is not None
            and (is_plain(match.number) or match.codes == ("update.weights-returned",))
        ]
        if plain and not matches:
            plain += self._matches(*self._pairs_like(wanted, tolerance), wanted, tolerance)
        matches += plain
        return matches or self._matches(*self.in_some_layers, wanted, tolerance)

    def tried(self, gradients: Sequence[Array], tolerance: float) -> list[Match]:
        """Return the mistakes whose number can be read off *gradients*: digits, a bound."""
        return self._tried([()], gradients, tolerance)

    def tried_after_another(self, gradients: Sequence[Array], tolerance: float) -> list[Match]:
        """Return the same where another mistake has been made before."""
        return self._tried([(made,) for made in self._small], gradients, tolerance)

    def _tried(
        self, before: Sequence[Explanation], gradients: Sequence[Array], tolerance: float
    ) -> list[Match]:
        wanted, found = self.vector(gradients), []
        for made in self._trying:
            tries = made.mistake.solves
            for number in tries(self.problem, gradients) if callable(tries) else ():
                for others in before:
                    vector = self.replay((*others, made), number)
                    error = float(np.abs(vector - wanted).max()) / size_of(wanted)
                    if error <= tolerance and not equal(vector, self.truth):
                        shown = number if made.mistake.with_number else None
                        found.append(Match((*others, made), error, shown))
        return one_for_each_code(found)

    def pair(self, gradients: Sequence[Array], tolerance: float) -> list[Match]:
        """Return the pairs of mistakes that give *gradients*."""
        wanted = self.vector(gradients)
        matches = self._matches(*self._pairs_like(wanted, tolerance), wanted, tolerance)
        if matches:
            return matches
        start = self._start_of_top
        near = {
            one[0]
            for one, vector in zip(*self.singles, strict=True)
            if np.abs(vector[start:] - wanted[start:]).max() <= tolerance * size_of(wanted)
        }
        others = [made for made in self._small if made in near]
        return self._solved(self._updating_with(others), wanted, tolerance)

    def costs(self, match: Match | None = None) -> list[float]:
        """Return the costs that go with the gradient: the right one, and that of its mistakes."""
        found = [float(self.base.cost())]
        if match is not None:
            with suppress(ValueError):  # where the loss refuses what the mistake makes of targets
                found.append(float(self.run(match.made, match.number or 0.0).cost()))
        return found

    def mistakes_in_cost(self, cost: float, tolerance: float) -> list[Made]:
        """Return the mistakes that lead to *cost*."""
        rows = [row for row in MISTAKES if row.category == COST and row.applies(self.problem)]
        ways = [Made(row, way) for row in rows for way in range(len(row.ways))]
        return [made for made in ways if same_cost(self.run((made,)).cost(), cost, tolerance)]

    def constant(self, gradients: Sequence[Array], tolerance: float) -> list[Match]:
        """Return what one factor explains, whichever it is, or one and another mistake."""
        wanted = self.vector(gradients)
        for affine in (self._linear_alone, self._linear_after_another):
            found = self._linear(affine, wanted, tolerance)
            if found:
                return found
        return []

    def _linear(
        self, explanations: Sequence[Affine], wanted: Array, tolerance: float
    ) -> list[Match]:
        """Find the number that explains *wanted* where every entry is linear in it."""
        found = []
        for explanation, start, move in explanations:
            length = float(move @ move)
            if not 0.0 < length < np.inf:
                continue
            number = float(move @ (wanted - start)) / length
            error = float(np.abs(start + number * move - wanted).max()) / size_of(wanted)
            if error <= tolerance:
                found.append(Match(explanation, error, number))
        return one_for_each_code(found)

    def curve(self, gradients: Sequence[Array], tolerance: float) -> list[Match]:
        """Find the number where nothing is known but that the gradient is smooth in it."""
        wanted = self.vector(gradients)
        if self.problem.size > MOST_FOR_PAIRS:
            return []
        for made, start in product(self.rows(Solves.CURVE), STARTS):
            number, error = start, np.inf
            for _ in range(MOST_STEPS):
                at, before = self.replay((made,), number), error
                error = float(np.abs(at - wanted).max()) / size_of(wanted)
                if error <= tolerance or not error < before / 2:
                    break
                move = (self.replay((made,), number + SMALL_STEP) - at) / SMALL_STEP
                length = float(move @ move)
                if not 0.0 < length < np.inf:
                    break
                number += float(move @ (wanted - at)) / length
            if error <= tolerance and number > 0.0:
                return [Match((made,), error, number)]
        return []

    def factors(self, gradients: Sequence[Array], tolerance: float) -> list[Match]:
        """Return three wrong factors at once that give *gradients*."""
        one_way = {
            made.mistake.code: made
            for (made,) in reversed(self.singles[0])
            if made.mistake.category in ("mean", "sign", "factor", "penalty")
        }
        triples = [
            triple
            for triple in self._orders(list(one_way.values()), 3)
            # Of two wrong counts at once one is enough to tell.
            if sum(made.mistake.category == "mean" for made in triple) < 2
        ]
        explanations, vectors = self._stack(triples)
        return self._matches(explanations, vectors, self.vector(gradients), tolerance)

    def from_output(self, gradients: Sequence[Array], layer: int, tolerance: float) -> list[Match]:
        """Return the mistakes, one or two, that give *gradients* from *layer* to the output."""
        start = self._stops[layer - 1] if layer else 0
        wanted = self.vector(gradients)[start:]
        explanations, vectors = self.singles
        matches = self._matches(explanations, vectors[:, start:], wanted, tolerance)
        if matches:
            return matches
        explanations, vectors = self._pairs_like(self.vector(gradients), tolerance)
        return self._matches(explanations, vectors[:, start:], wanted, tolerance)

    def one_more(self, gradients: Sequence[Array], layer: int, tolerance: float) -> list[Match]:
        """Return what gives *gradients*: mistakes seen from *layer* to the output, and another."""
        known = self.from_output(gradients, layer, tolerance)[:8]
        ways = [one[0] for one in self.singles[0]]
        longer = [
            explanation
            for match in known
            for made in ways
            if made.mistake.code not in match.codes
            for explanation in ((*match.made, made), (made, *match.made))
        ]
        explanations, vectors = self._stack(longer)
        return self._matches(explanations, vectors, self.vector(gradients), tolerance)

    def _matches(
        self, explanations: list[Explanation], vectors: Array, wanted: Array, tolerance: float
    ) -> list[Match]:
        if not explanations:
            return []
        errors = np.abs(vectors - wanted).max(axis=1) / size_of(wanted)
        found = [
            Match(explanations[i], float(errors[i])) for i in np.flatnonzero(errors <= tolerance)
        ]
        return one_for_each_code(found)

    def _solved(
        self, explanations: Sequence[Affine], wanted: Array, tolerance: float
    ) -> list[Match]:
        """Find the learning rate of the updated weights that explains *wanted*.

        The layer below the output is linear in it. Deeper layers are not, so the rate found there
        has to explain them as well.
        """
        if self.problem.last == 0:
            return []
        *below, start = (0, *self._stops[:-1])
        top = slice(below[-1], start)
        found = []
        for explanation, at_0, move in explanations:
            off = np.abs(at_0[start:] - wanted[start:]).max()
            if off > tolerance * size_of(wanted):
                continue
            direction = move[top]
            length = float(direction @ direction)
            if not 0.0 < length < np.inf:
                continue
            rate = float(direction @ (wanted[top] - at_0[top])) / length
            if not 1e-9 < rate < np.inf:
                continue
            solved = self.replay(explanation, rate)
            error = float(np.abs(solved - wanted).max()) / size_of(wanted)
            if error <= tolerance:
                found.append(Match(explanation, error, rate))
        return one_for_each_code(found)
