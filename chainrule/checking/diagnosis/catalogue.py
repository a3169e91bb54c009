"""The gradient that each mistake gives, and which mistakes give the one that was handed in.

A :class:`Catalogue` belongs to one problem. It replays the mistakes of the table, alone, in some of
the layers, and two at a time, and compares each replay with a gradient. The replays do not depend
on the gradient, so they are computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import combinations, pairwise, permutations
from typing import Any, TypeAlias

import numpy as np

from ..problem import PROBE_EXAMPLES, Array, Problem, build, probe
from .algorithm import Changes, Run, only
from .mistakes import MISTAKES, Mistake


@dataclass(frozen=True)
class Made:
    """One way to make one mistake, in all layers or in some."""

    mistake: Mistake
    way: int = 0
    layers: tuple[int, ...] = ()
    """The indices of the Thetas concerned; empty for all of them."""

    @property
    def changes(self) -> Changes:
        changes = self.mistake.ways[self.way]
        return only(changes, self.layers) if self.layers else changes


Explanation = tuple[Made, ...]
"""One or more mistakes that together give a gradient."""


@dataclass(frozen=True)
class Match:
    """An explanation that fits, how well, and with which learning rate if it has one."""

    made: Explanation
    error: float
    """The largest difference between replay and gradient, relative to the layer's scale."""
    rate: float | None = None

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(made.mistake.code for made in self.made)


CLOSE = 30.0
"""How many times as far off as the closest match another one may be, and still be as good."""
MOST_COMPARED = 4096
"""How many entries of a gradient are compared with each replay; of more, a sample."""
MOST_FOR_PAIRS = 200_000
"""Up to which size of a problem pairs, thousands of them, and choices of layers are replayed."""
MOST_FOR_CHOICES = 4
"""Up to how many Thetas every choice of them is tried."""

_Affine: TypeAlias = tuple[Explanation, Array, Array]
"""An explanation with a learning rate: what it gives at rate 0, and by how much more at rate 1."""


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

    def replay(self, explanation: Explanation, rate: float = 0.0) -> Array:
        """Return the gradient that these mistakes give, as a vector."""
        changes = [made.changes for made in explanation]
        with np.errstate(all="ignore"):
            return self.vector(Run(self.problem, changes, rate, self.base).gradients())

    def explains(self, match: Match, gradients: Sequence[Array], tolerance: float) -> bool:
        """Return whether *match*, found on another problem, gives *gradients* on this one."""
        replayed, wanted = self.replay(match.made, match.rate or 0.0), self.vector(gradients)
        size = max(1.0, float(np.abs(replayed).max()))
        return bool(np.abs(replayed - wanted).max() <= tolerance * size)

    def wrong_deltas(self, match: Match) -> list[tuple[int, int]]:
        """Return (l, unit) of each delta^(l) that these mistakes make wrong in some example."""
        changes = [made.changes for made in match.made]
        run = Run(self.problem, changes, match.rate or 0.0, self.base)
        found = []
        for layer, true in enumerate(self.problem.truth.delta):
            off = np.abs(run.delta(layer) - true).max(axis=0)
            wrong = np.flatnonzero(off > 1e-9 * max(float(np.abs(true).max()), 1e-300))
            found += [(layer + 2, unit) for unit in wrong.tolist()]
        return found

    # The replays, computed once.

    @cached_property
    def _ways(self) -> list[Made]:
        rows = [row for row in MISTAKES if row.applies(self.problem) and not row.solves_rate]
        return [Made(row, way) for row in rows for way in range(len(row.ways))]

    @cached_property
    def _with_rate(self) -> list[Made]:
        """Those in which updated weights lead back to the hidden layers."""
        hidden = self.problem.last > 0
        return [made for made in self._solving if "gradient" not in made.changes and hidden]

    @cached_property
    def _steps(self) -> list[Made]:
        """Those that make a step of gradient descent of what would be returned."""
        return [made for made in self._solving if "gradient" in made.changes]

    @cached_property
    def _solving(self) -> list[Made]:
        rows = [row for row in MISTAKES if row.applies(self.problem) and row.solves_rate]
        return [Made(row, way) for row in rows for way in range(len(row.ways))]

    def _stack(self, explanations: Sequence[Explanation]) -> tuple[list[Explanation], Array]:
        """Replay them all; leave out what overflows and what gives the right gradient."""
        replays = [(one, self.replay(one)) for one in explanations]
        wrong = [
            (one, vector)
            for one, vector in replays
            if np.isfinite(vector).all() and not _equal(vector, self.truth)
        ]
        vectors = [vector for _, vector in wrong]
        return [one for one, _ in wrong], np.array(vectors).reshape(len(wrong), len(self.truth))

    @cached_property
    def singles(self) -> tuple[list[Explanation], Array]:
        """Each mistake in all layers."""
        return self._stack([(made,) for made in self._ways])

    @cached_property
    def in_some_layers(self) -> tuple[list[Explanation], Array]:
        """Each mistake in some of the layers, if it is another gradient then."""
        explanations, vectors = self._stack(
            [
                (replace(made, layers=layers),)
                for layers in self._some_layers()
                for made in self._ways
                if Run.WHOLE.isdisjoint(made.changes)
            ]
        )
        everywhere = dict(zip(*self.singles, strict=True))
        new = [
            not any(
                one[0].mistake.code == single[0].mistake.code and _equal(vector, other)
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
    def pairs(self) -> tuple[list[Explanation], Array]:
        """Two mistakes at once, both orders where it matters, unless one hides the other."""
        singles = dict(zip(*self.singles, strict=True))
        explanations, vectors = self._stack(list(self._orders(self._small, 2)))
        genuine = [
            not any(_equal(vector, singles[made,]) for made in one)
            for one, vector in zip(explanations, vectors, strict=True)
        ]
        return [one for one, keep in zip(explanations, genuine, strict=True) if keep], vectors[
            genuine
        ]

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
    def _with_rate_alone(self) -> list[_Affine]:
        return self._by_rate([(made,) for made in self._with_rate])

    @cached_property
    def _with_rate_and_another(self) -> list[_Affine]:
        return self._by_rate(
            [
                pair
                for made in self._with_rate
                for other in self._small
                for pair in ((made, other), (other, made))
            ]
        )

    @cached_property
    def _steps_alone(self) -> list[_Affine]:
        return self._by_rate([(made,) for made in self._steps])

    @cached_property
    def _steps_after_another(self) -> list[_Affine]:
        return self._by_rate([(other, made) for made in self._steps for other in self._small])

    @property
    def _small(self) -> list[Made]:
        """The single mistakes that are tried with another; none in a large problem."""
        return [one[0] for one in self.singles[0] if self.problem.size <= MOST_FOR_PAIRS]

    def _by_rate(self, explanations: Sequence[Explanation]) -> list[_Affine]:
        """Replay them with the learning rates 0 and 1."""
        found = []
        for explanation in explanations:
            start = self.replay(explanation, 0.0)
            found.append((explanation, start, self.replay(explanation, 1.0) - start))
        return found

    @cached_property
    def unseen(self) -> list[str]:
        """The codes of the mistakes that leave this problem's gradient as it is."""
        seen = {one[0].mistake.code for one in self.singles[0]}
        seen |= {made.mistake.code for made in (*self._with_rate, *self._steps)}
        possible = [row.code for row in MISTAKES if row.ways and row.applies(self.problem)]
        return [code for code in dict.fromkeys(possible) if code not in seen]

    # Which of them is it?

    def single(self, gradients: Sequence[Array], tolerance: float) -> list[Match]:
        """Return the single mistakes that give *gradients*, in all layers or else in some."""
        wanted = self.vector(gradients)
        matches = self._matches(*self.singles, wanted, tolerance)
        matches += self._solved(self._with_rate_alone, wanted, tolerance)
        return matches or self._matches(*self.in_some_layers, wanted, tolerance)

    def pair(self, gradients: Sequence[Array], tolerance: float) -> list[Match]:
        """Return the pairs of mistakes that give *gradients*."""
        wanted = self.vector(gradients)
        matches = self._matches(*self.pairs, wanted, tolerance)
        return matches or self._solved(self._with_rate_and_another, wanted, tolerance)

    def step(self, gradients: Sequence[Array], tolerance: float) -> list[Match]:
        """Return what a step of gradient descent made of the gradient, or of one mistake's."""
        wanted = self.vector(gradients)
        for affine in (self._steps_alone, self._steps_after_another):
            found = []
            for explanation, start, move in affine:
                length = float(move @ move)
                if not 0.0 < length < np.inf:
                    continue
                rate = float(move @ (wanted - start)) / length
                size = max(1.0, float(np.abs(wanted).max()))
                error = float(np.abs(start + rate * move - wanted).max()) / size
                if error <= tolerance:
                    found.append(Match(explanation, error, rate))
            if found:
                return _one_for_each_code(found)
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
        for explanations, vectors in (self.singles, self.pairs):
            matches = self._matches(explanations, vectors[:, start:], wanted, tolerance)
            if matches:
                return matches
        return []

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
        # A mistake may make the entries large: then its own rounding counts, not the truth's.
        size = np.maximum(1.0, np.abs(vectors).max(axis=1))
        errors = np.abs(vectors - wanted).max(axis=1) / size
        found = [
            Match(explanations[i], float(errors[i])) for i in np.flatnonzero(errors <= tolerance)
        ]
        return _one_for_each_code(found)

    def _solved(
        self, explanations: Sequence[_Affine], wanted: Array, tolerance: float
    ) -> list[Match]:
        """Find the learning rate that explains *wanted*.

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
            if off > tolerance * max(1.0, float(np.abs(at_0).max())):
                continue
            direction = move[top]
            length = float(direction @ direction)
            if not 0.0 < length < np.inf:
                continue
            rate = float(direction @ (wanted[top] - at_0[top])) / length
            if not 1e-9 < rate < np.inf:
                continue
            solved = self.replay(explanation, rate)
            error = float(np.abs(solved - wanted).max()) / max(1.0, float(np.abs(solved).max()))
            if error <= tolerance:
                found.append(Match(explanation, error, rate))
        return _one_for_each_code(found)


def closest(matches: Sequence[Match]) -> list[Match]:
    """Leave out what fits far worse than the best: in float32 near misses fit too.

    Two right explanations are off by rounding, one perhaps some times as far as the other. A near
    miss is off by the difference between the two mistakes as well.
    """
    least = min((match.error for match in matches), default=0.0)
    return [match for match in matches if match.error <= max(1e-10, CLOSE * least)]


def _equal(one: Array, two: Array) -> bool:
    return bool(np.abs(one - two).max() <= 1e-11 * max(1.0, float(np.abs(one).max())))


def _one_for_each_code(matches: Sequence[Match]) -> list[Match]:
    """Keep one match for each set of codes, the most common ways first.

    The number of a way says how common it is: a row's first way goes before another's second.
    """
    ordered = sorted(matches, key=lambda match: sum(made.way for made in match.made))
    return list({tuple(sorted(match.codes)): match for match in reversed(ordered)}.values())[::-1]


def separating_probe(problem: Problem, one: Explanation, two: Explanation) -> str:
    """Say what to change in *problem* so that two explanations give different gradients."""
    sizes, lam = problem.sizes, problem.lam or 1.3
    options: dict[str, Any] = {
        "loss": problem.loss,
        "activation": problem.activations,
        "output_activation": problem.output_activation,
        "reduction": problem.reduction,
    }
    others = [
        ("lambda = 1.3", replace(problem, lam=lam)),
        ("other weights and data, of order 1", build(sizes, problem.m, problem.lam, **options)),
        ("eight examples", build(sizes, PROBE_EXAMPLES, problem.lam, **options)),
        ("eight examples and lambda = 1.3", build(sizes, PROBE_EXAMPLES, lam, **options)),
        (
            "the probe network",
            probe(
                problem.loss,
                problem.activations[0] if problem.activations else "sigmoid",
                problem.output_activation,
                problem.reduction,
            ),
        ),
    ]
    for says, other in others:
        if all(layer <= other.last for made in (*one, *two) for layer in made.layers):
            replays = catalogue_of(other)
            if not _equal(replays.replay(one, 0.5), replays.replay(two, 0.5)):
                return says
    return "none: on a network without shared or skipped units they are the same program"
