"""The gradient that each mistake gives, and which mistakes give the one that was handed in.

A :class:`Catalogue` belongs to one problem. It replays the mistakes of the table, alone, in some of
the layers, and two at a time, and compares each replay with a gradient. The replays do not depend
on the gradient, so they are computed once. Of the many pairs only the output layer's gradient is:
where it fits, which is seldom, the others follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import combinations, pairwise, permutations, product
from typing import Any, TypeAlias

import numpy as np

from ..problem import Array, Problem
from .algorithm import Run, reaches
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

MOST_COMPARED = 4096
"""How many entries of a gradient are compared with each replay; of more, a sample."""
MOST_FOR_PAIRS = 200_000
"""Up to which size of a problem pairs, thousands of them, and choices of layers are replayed."""
MOST_STEPS, SMALL_STEP = 12, 1e-6
"""How many steps of Newton's method a number gets, and how far apart a slope is measured."""
STARTS = (0.0, 0.01, 0.1, 0.5, 1.0)
"""Where Newton's method begins, as learning rates go."""
_NEARER = 0.01
"""How much nearer than the truth a mistake must be: noise of float32 is near to some by chance."""
MOST_FOR_CHOICES = 4
"""Up to how many Thetas every choice of them is tried."""

EXACT, NOT_EXACT = 1e-13, 1e-11
"""What float64 leaves of a right number, and what is far above it."""
LEAST_OF_PENALTY = 1e-3
"""Which part of a penalty has to be off for the penalty to be wrong, and not only inexact."""
_Affine: TypeAlias = tuple[Explanation, Array, Array]
"""An explanation with a number: what it gives at 0, and by how much more at 1."""


COST = "cost"
"""The category of mistakes that no gradient shows."""


@lru_cache(maxsize=16)
def catalogue_of(problem: Problem) -> Catalogue:
    """Return the catalogue of *problem*, the same one if it is asked for again."""
    return Catalogue(problem)


class Catalogue:
    """The replays of one problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.base = Run(problem)
        self.truth = self.vector(problem.truth.D)

    @cached_property
    def _kept(self) -> list[Any]:
        """Which entries of each layer are compared: all, or as many as a sample needs."""
        random = np.random.default_rng(0)
        most = MOST_COMPARED // len(self.problem.thetas)
        found: list[Any] = []
        for theta in self.problem.thetas:
            if theta.size > most:
                found.append(np.sort(random.choice(theta.size, most, replace=False)))
            elif self.problem.biases:
                found.append(slice(None))
            else:
                found.append(np.flatnonzero(np.arange(theta.size) % theta.shape[1]))
        return found

    @cached_property
    def _stops(self) -> list[int]:
        """Where in a vector each layer ends."""
        thetas = zip(self.problem.thetas, self._kept, strict=True)
        return [
            int(stop) for stop in np.cumsum([theta.ravel()[kept].size for theta, kept in thetas])
        ]

    def vector(self, gradients: Sequence[Array]) -> Array:
        """Return the entries compared as one vector, in units of their layer's scale."""
        layers = zip(gradients, self._kept, self.problem.scales, strict=True)
        return np.concatenate(
            [np.ravel(gradient)[kept] / (scale or 1.0) for gradient, kept, scale in layers]
        )

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

    def run(self, explanation: Explanation, number: float = 0.0) -> Run:
        """Return the algorithm with these mistakes in it."""
        return Run(self.problem, [made.changes for made in explanation], number, self.base)

    def replay(self, explanation: Explanation, number: float = 0.0) -> Array:
        """Return the gradient that these mistakes give, as a vector."""
        with np.errstate(all="ignore"):
            return self.vector(self.run(explanation, number).gradients())

    def _top(self, one: Made, two: Made, runs: dict[Made, Run]) -> Array:
        """Return the end of the vector, the gradient of the output layer, without the rest.

        Where the one mistake cannot be seen in the steps that the other changes, the other is added
        to the run that the one has already made.
        """
        last = self.problem.last
        if not reaches(two.changes, one.changes):
            run = Run(self.problem, [two.changes], 0.0, runs[one])
        elif not reaches(one.changes, two.changes):
            run = Run(self.problem, [one.changes], 0.0, runs[two])
        else:
            run = self.run((one, two))
        with np.errstate(all="ignore"):
            D = run.gradient(last)
        kept: Array = np.ravel(D)[self._kept[last]] / (self.problem.scales[last] or 1.0)
        return kept

    @property
    def _start_of_top(self) -> int:
        return self._stops[-2] if self.problem.last else 0

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

    # The replays, computed once.

    def _rows(self, solves: Solves | None) -> list[Made]:
        rows = [
            row
            for row in MISTAKES
            if row.solves is solves and row.category != COST and row.applies(self.problem)
        ]
        return [Made(row, way) for row in rows for way in range(len(row.ways))]

    @cached_property
    def _ways(self) -> list[Made]:
        return self._rows(None)

    @cached_property
    def _updating(self) -> list[Made]:
        """Those in which updated weights lead back to the hidden layers."""
        return self._rows(Solves.BELOW_THE_OUTPUT) if self.problem.last else []

    @cached_property
    def _trying(self) -> list[Made]:
        rows = [row for row in MISTAKES if callable(row.solves) and row.applies(self.problem)]
        return [Made(row, way) for row in rows for way in range(len(row.ways))]

    def _stack(self, explanations: Sequence[Explanation]) -> tuple[list[Explanation], Array]:
        """Replay them all; leave out what overflows and what gives the right gradient."""
        replays = [(one, self.replay(one)) for one in explanations]
        wrong = [
            (one, vector)
            for one, vector in replays
            if np.isfinite(vector).all() and not equal(vector, self.truth)
        ]
        vectors = [vector for _, vector in wrong]
        return [one for one, _ in wrong], np.array(vectors).reshape(len(wrong), len(self.truth))

    @cached_property
    def singles(self) -> tuple[list[Explanation], Array]:
        """Each mistake in all layers.

        What is made in every layer is left out where it is what another row makes in some.
        """
        explanations, vectors = self._stack([(made,) for made in self._ways])
        new = [
            one[0].mistake.category != "slope"
            or not any(
                equal(vector, other)
                for (made,), other in zip(explanations, vectors, strict=True)
                if made.mistake.category != "slope"
            )
            for one, vector in zip(explanations, vectors, strict=True)
        ]
        return [one for one, keep in zip(explanations, new, strict=True) if keep], vectors[new]

    @cached_property
    def in_some_layers(self) -> tuple[list[Explanation], Array]:
        """Each mistake in some of the layers, if it is another gradient then."""
        explanations, vectors = self._stack(
            [
                (replace(made, layers=layers),)
                for layers in self._some_layers()
                for made in self._ways
                if Run.WHOLE.isdisjoint(made.changes) and not made.mistake.alone
            ]
        )
        everywhere = dict(zip(*self.singles, strict=True))
        new = [
            not any(
                one[0].mistake.code == single[0].mistake.code and equal(vector, other)
                for single, other in everywhere.items()
            )
            for one, vector in zip(explanations, vectors, strict=True)
        ]
        return [one for one, keep in zip(explanations, new, strict=True) if keep], vectors[new]

    def _some_layers(self) -> list[tuple[int, ...]]:
        """Every choice of layers but all, few first; of a deep network the runs at either end."""
        every = tuple(range(self.problem.last + 1))
        if self.problem.size > MOST_FOR_PAIRS:
            return [(layer,) for layer in every if self.problem.last]
        if len(every) <= MOST_FOR_CHOICES:
            return [chosen for size in every[1:] for chosen in combinations(every, size)]
        ends = [part for i in every[1:] for part in (every[:i], every[i:]) if len(part) > 1]
        return [(layer,) for layer in every] + ends

    @cached_property
    def _tops(self) -> tuple[list[Explanation], Array]:
        """Two mistakes at once, both orders where it matters, and the output layer's gradient."""
        start = self._start_of_top
        alone = {one[0]: vector[start:] for one, vector in zip(*self.singles, strict=True)}
        # A mistake of the hidden layers leaves the output's as it is, whatever else is wrong.
        below = {
            made
            for made, top in alone.items()
            if made.mistake.category == "hidden" and equal(top, self.truth[start:])
        }

        runs = {made: self.run((made,)) for made in alone}

        def top(one: Made, two: Made) -> Array:
            if one in below or two in below:
                shown: Array = alone[two if one in below else one]
                return shown
            return self._top(one, two, runs)

        pairs = list(self._orders(self._small, 2))
        tops = np.array([top(*pair) for pair in pairs])
        return pairs, tops.reshape(len(pairs), len(self.truth) - start)

    @cached_property
    def _whole(self) -> dict[Explanation, Array]:
        """The vectors of pairs that were looked at, kept for the next gradient."""
        return {}

    def _pairs_like(self, wanted: Array, tolerance: float) -> tuple[list[Explanation], Array]:
        """Return the pairs that give the output layer of *wanted*, and their whole vectors."""
        explanations, tops = self._tops
        if not explanations:
            return [], np.zeros((0, len(wanted)))
        off = np.abs(tops - wanted[self._start_of_top :]).max(axis=1)
        near = [explanations[i] for i in np.flatnonzero(off <= tolerance * size_of(wanted))]
        for pair in near:
            if pair not in self._whole:
                self._whole[pair] = self.replay(pair)
        vectors = np.array([self._whole[pair] for pair in near])
        return near, vectors.reshape(len(near), len(wanted))

    @staticmethod
    def _orders(ways: Sequence[Made], size: int) -> Iterator[Explanation]:
        """Yield that many different mistakes at once, in each order that makes a difference.

        Two that change different steps make none, so neighbours stand as they do in *ways*.
        """
        for chosen in permutations(range(len(ways)), size):
            made = [ways[i] for i in chosen]
            if len({one.mistake.code for one in made}) == size and all(
                i < j or not set(one.changes).isdisjoint(two.changes)
                for (i, one), (j, two) in pairwise(zip(chosen, made, strict=True))
            ):
                yield tuple(made)

    @cached_property
    def _updating_alone(self) -> list[_Affine]:
        return self._by_number([(made,) for made in self._updating])

    def _updating_with(self, others: Iterable[Made]) -> list[_Affine]:
        """Updated weights, which the output layer does not see, and one of the *others*."""
        pairs = [
            pair
            for made in self._updating
            for other in others
            for pair in ((made, other), (other, made))
        ]
        return self._by_number(pairs)

    @cached_property
    def _linear_alone(self) -> list[_Affine]:
        return self._by_number([(made,) for made in self._rows(Solves.LINEAR)])

    @cached_property
    def _linear_after_another(self) -> list[_Affine]:
        return self._by_number(
            [(other, made) for made in self._rows(Solves.LINEAR) for other in self._small]
        )

    @property
    def _small(self) -> list[Made]:
        """The single mistakes that are tried with another; none in a large problem."""
        if self.problem.size > MOST_FOR_PAIRS:
            return []
        return [made for (made,) in self.singles[0] if not made.mistake.alone]

    def _by_number(self, explanations: Sequence[Explanation]) -> list[_Affine]:
        """Replay them with the numbers 0 and 1."""
        found = []
        for explanation in explanations:
            start = self.replay(explanation, 0.0)
            found.append((explanation, start, self.replay(explanation, 1.0) - start))
        return found

    @cached_property
    def unseen(self) -> list[str]:
        """The codes of the mistakes that leave this problem's gradient as it is."""
        seen = {one[0].mistake.code for one in self.singles[0]}
        possible = [
            row.code
            for row in MISTAKES
            if row.ways
            and row.applies(self.problem)
            and row.category not in ("slope", COST)  # its parts are there; no gradient shows it
            and (
                row.solves is None
                or (row.solves is Solves.BELOW_THE_OUTPUT and not self.problem.last)
            )
        ]
        return [code for code in dict.fromkeys(possible) if code not in seen]

    # Which of them is it?

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
        self, explanations: Sequence[_Affine], wanted: Array, tolerance: float
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
        for made, start in product(self._rows(Solves.CURVE), STARTS):
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
        self, explanations: Sequence[_Affine], wanted: Array, tolerance: float
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
