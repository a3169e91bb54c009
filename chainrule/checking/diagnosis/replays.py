"""The gradient that each mistake of the table gives on one problem, computed once.

The replays do not depend on what was handed in. Of the many pairs only the output layer's gradient
is computed: where it fits, which is seldom, the others follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import combinations, pairwise, permutations
from typing import Any, TypeAlias

import numpy as np

from ..problem import Array, Problem
from .algorithm import Run, reaches
from .matches import Explanation, Made, equal, size_of
from .mistakes import MISTAKES, Solves

MOST_COMPARED = 4096
"""How many entries of a gradient are compared with each replay; of more, a sample."""
MOST_FOR_PAIRS = 200_000
"""Up to which size of a problem pairs, thousands of them, and choices of layers are replayed."""
MOST_FOR_CHOICES = 4
"""Up to how many Thetas every choice of them is tried."""
COST = "cost"
"""The category of mistakes that no gradient shows."""
Affine: TypeAlias = tuple[Explanation, Array, Array]
"""An explanation with a number: what it gives at 0, and by how much more at 1."""


class Replays:
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

    # The replays, computed once.

    def rows(self, solves: Solves | None) -> list[Made]:
        """Return every way of each row whose number is found like this."""
        rows = [
            row
            for row in MISTAKES
            if row.solves is solves and row.category != COST and row.applies(self.problem)
        ]
        return [Made(row, way) for row in rows for way in range(len(row.ways))]

    @cached_property
    def _ways(self) -> list[Made]:
        return self.rows(None)

    @cached_property
    def _updating(self) -> list[Made]:
        """Those in which updated weights lead back to the hidden layers."""
        return self.rows(Solves.BELOW_THE_OUTPUT) if self.problem.last else []

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
    def _updating_alone(self) -> list[Affine]:
        return self._by_number([(made,) for made in self._updating])

    def _updating_with(self, others: Iterable[Made]) -> list[Affine]:
        """Updated weights, which the output layer does not see, and one of the *others*."""
        pairs = [
            pair
            for made in self._updating
            for other in others
            for pair in ((made, other), (other, made))
        ]
        return self._by_number(pairs)

    @cached_property
    def _linear_alone(self) -> list[Affine]:
        return self._by_number([(made,) for made in self.rows(Solves.LINEAR)])

    @cached_property
    def _linear_after_another(self) -> list[Affine]:
        return self._by_number(
            [(other, made) for made in self.rows(Solves.LINEAR) for other in self._small]
        )

    @property
    def _small(self) -> list[Made]:
        """The single mistakes that are tried with another; none in a large problem."""
        if self.problem.size > MOST_FOR_PAIRS:
            return []
        return [made for (made,) in self.singles[0] if not made.mistake.alone]

    def _by_number(self, explanations: Sequence[Explanation]) -> list[Affine]:
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
