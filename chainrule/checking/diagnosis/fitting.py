"""Costs by which the numbers of a program may be right, where none was stated.

The layers next to the output say which: whatever is wrong further back, they agree with one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..problem import Array, Problem
from ..text import number
from .asked import PENALTIES, Asked, Usual, with_penalty
from .candidates import Candidate, right_layers
from .readings import Reading
from .reporting import Convention

_NO_RATE = "the learning rate is taken to be 1"


class Costs:
    """What the cost of a program may be, by what was *asked* and by the *words* in its code."""

    def __init__(self, asked: Asked, words: Sequence[str] = ()) -> None:
        self.asked, self.words = asked, words
        self._known: dict[tuple[Problem, bool], list[Problem]] = {}

    def _costs(self, like: Problem, *, wide: bool) -> list[Problem]:
        """Return the same problems if they are asked for again: each keeps its gradient."""
        if (like, wide) not in self._known:
            self._known[like, wide] = list(self.asked.costs(like, self.words, wide=wide))
        return self._known[like, wide]

    def usual(self, one: Candidate) -> list[Problem]:
        return self._costs(one.problem, wide=False)

    def wide(self, one: Candidate) -> list[Problem]:
        found = self._costs(one.problem, wide=True)
        if one.manner.takes_lam and not one.manner.is_step:
            # With a penalty in view, sums in place of means are a mistake unless they are stated.
            found = [p for p in found if p.reduction == "mean" or self.asked.reduction != "mean"]
        return found

    def as_usual(
        self, one: Candidate, gradients: list[Array], problem: Problem, wide: bool
    ) -> Iterator[tuple[list[Array], Problem, list[Convention]]]:
        """Yield the gradients as they would be by the usual conventions, and which they have."""
        if not one.finds_rate:
            yield gradients, problem, []
        if not wide:
            return
        for scale, said in self.scales(one, gradients, problem):
            scaled = [D / scale for D in gradients]
            if said:
                yield scaled, problem, said
            if self.asked.finds_penalty and one.manner.takes_lam:
                for penalty in list(PENALTIES.values())[1:]:
                    changed = with_penalty(problem, scaled, penalty)
                    says = Convention(f"penalty-{penalty.name}", without(penalty.name))
                    yield changed, problem, [*said, says]
            elif self.asked.finds_penalty:
                strength = own_penalty(problem, scaled)
                if strength is not None:
                    own = replace(problem, lam=strength * problem.divisor)
                    says = Convention(
                        "penalty-own",
                        f"the gradient of its own penalty is {number(strength)} Theta: state --lam "
                        "to enforce one",
                    )
                    yield scaled, own, [*said, says]

    def scales(
        self, one: Candidate, gradients: list[Array], problem: Problem
    ) -> Iterator[tuple[float, list[Convention]]]:
        if one.finds_rate:
            true = problem.truth.D[-1]
            rate = float(np.vdot(true, gradients[-1]) / (np.vdot(true, true) or 1.0))
            if 1e-12 < abs(rate) < 1e6:  # with the wrong sign it is a rate all the same
                says = f"the learning rate is {number(abs(rate))}, as the numbers say"
                yield abs(rate), [Convention("rate", says)]
            if abs(rate) != 1.0:
                yield 1.0, [Convention("rate", _NO_RATE)]
            return
        yield 1.0, []
        if self.asked.loss is None and problem.K > 1:
            says = "the cost is a mean over the outputs as well as over the examples"
            yield 1.0 / problem.K, [Convention("mean-over-outputs", says)]

    def found_out(self, chosen: Problem) -> Iterator[Convention]:
        """Say what was not stated of the cost, and is not usual."""
        if self.asked.loss is None:
            output = f" with {chosen.output} outputs" if "squared" in chosen.loss else ""
            yield Convention("loss", f"the loss was not stated; {chosen.loss}{output} fits")
        if not is_stated(self.asked.activation) and set(chosen.activations) - {"sigmoid"}:
            names = "/".join(dict.fromkeys(chosen.activations))
            yield Convention("activation", f"the activation was not stated; {names} fits")
        if not is_stated(self.asked.reduction) and chosen.reduction == "sum":
            says = "sums over the examples in place of means: state --reduction mean to enforce it"
            yield Convention("reduction", says)

    def scaled(self, one: Candidate) -> Iterator[tuple[Problem, list[Array], Reading]]:
        """Yield the likeliest costs with the gradients, a step's divided by its rate."""
        likeliest = self.likeliest(one)
        summed = self.summed(one, likeliest[0])
        for problem in dict.fromkeys([*likeliest, *self.usual(one), *summed]):
            for reading in one.read[:4]:
                gradients = reading.gradients
                if one.finds_rate:
                    for scale, _ in self.scales(one, gradients, problem):
                        yield problem, [D / scale for D in gradients], reading
                    continue
                yield problem, gradients, reading

    def summed(self, one: Candidate, like: Problem) -> list[Problem]:
        """Return the costs that are sums, for a program without a penalty: many make no mean."""
        if one.manner.takes_lam or is_stated(self.asked.reduction):
            return []
        return [
            p for p in self.wide(one)
            if p.reduction == "sum" and p.activations == like.activations
            and p.output_activation == like.output_activation
        ]  # fmt: skip

    def rightness(self, one: Candidate) -> float:
        """Return how many layers next to the output are right, by the best of the usual costs."""
        return max(
            right_layers(problem, reading.gradients, one.tolerance)
            for problem in self.usual(one)
            for reading in one.read[:4]
        )

    def likeliest(self, one: Candidate) -> list[Problem]:
        """Return the costs that agree with the layers next to the output, or the usual ones."""
        usual = self.usual(one)
        if one.manner.plain and not set(self.words) & {"tanh", "relu", "maximum"}:
            return usual
        best, most = usual, 0.0
        for problem in [*usual, *self.wide(one)]:
            for reading in one.read[:4]:
                for scale, _ in self.scales(one, reading.gradients, problem):
                    scaled = [D / scale for D in reading.gradients]
                    right = right_layers(problem, scaled, one.tolerance)
                    if not right:  # with the wrong sign it speaks for a cost all the same
                        turned = [-D for D in scaled]
                        right = 0.1 * right_layers(problem, turned, one.tolerance)
                    if right > most:
                        best, most = [problem], right
        if most:
            return best
        wide = self.wide(one)
        first = wide[0].activations if wide else ()
        return [p for p in wide if p.activations == first and p.output_activation is None][
            :2
        ] or usual


def own_penalty(problem: Problem, gradients: Sequence[Array]) -> float | None:
    """Return c if the gradients are those without penalty, and c Theta; None if they are not."""
    last = problem.thetas[-1][:, 1:]
    data = problem.truth.Delta[-1][:, 1:] / problem.divisor
    strength = float(np.vdot(last, gradients[-1][:, 1:] - data) / (np.vdot(last, last) or 1.0))
    return strength if 1e-9 < strength < 1e6 else None


def shows_penalty(problem: Problem, gradients: Sequence[Array], tolerance: float) -> bool:
    """Whether the output layer's weights are some multiple of the data's, and the penalty."""
    data, theta = problem.truth.Delta[-1][:, 1:], problem.thetas[-1][:, 1:]
    for sign in (1.0, -1.0):  # subtracted, it is seen as well
        rest = gradients[-1][:, 1:] - sign * problem.lam / problem.divisor * theta
        factor = float(np.vdot(data, rest) / (np.vdot(data, data) or 1.0))
        scale = max(problem.scales[-1], float(np.abs(rest).max()))
        if (np.abs(rest - factor * data) <= tolerance * scale).all():
            return True
    return False


def is_stated(value: Any) -> bool:
    """Whether *value* was stated: it is not missing, and not a default that may be another."""
    return value is not None and not isinstance(value, Usual)


def without(name: str) -> str:
    """Say that a program has the penalty *name*, and no other one."""
    if name == "none":
        return "it is right without a penalty: state --lam to ask for one"
    return PENALTIES[name].says
