"""A program as it is, diagnosed: which manner it has, whether it is right, or which mistake.

The intake finds manners in which a call gives a gradient; the numbers decide between them, and
between the costs that were not stated. In this order: right by what is usual; right by another
convention; one mistake alone in some manner; and what the layers next to the output agree with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ..intake.manner import Manner, Stated
from ..intake.program import Program
from ..problem import Array, Problem
from ..text import number
from . import findings
from .asked import PENALTIES, Asked, with_penalty
from .called import diagnose_calls
from .catalogue import catalogue_of
from .matches import same_cost
from .readings import Reading, precision, readings
from .reporting import Convention, Report
from .running.calls import Caller, Outcome
from .running.habits import habits
from .running.results import finite
from .running.trying import EXPLORED, OTHER_SIZES, outcomes_of, tried
from .search import TOLERANCE, TOLERANCES, Search

_REFUSED = re.compile(r"^TypeError: [\w.<>]+\(\) (?:takes|missing|got) |'list' object ")
"""What Python says of other arguments than a function takes, or of another container."""


class Subject(Protocol):
    """A program, wherever it runs."""

    def explore(self, offered: Sequence[Problem], stated: Stated) -> list[Outcome]:
        """Return what came of each manner, see ``trying``."""

    def caller(self, manner: Manner) -> Caller:
        """Return how to call it in this manner."""


class Here:
    """A program in this process."""

    def __init__(self, made: Any) -> None:
        self.program = Program(made)

    def explore(self, offered: Sequence[Problem], stated: Stated) -> list[Outcome]:
        return list(tried(self.program, offered, stated))

    def caller(self, manner: Manner) -> Caller:
        return lambda problems: list(outcomes_of(self.program, manner, problems))


@dataclass(frozen=True, eq=False)
class _Candidate:
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


class Known:
    """A program of which it is known how it is called, and which words are in its code."""

    def __init__(self, subject: Subject, manner: Manner, words: Sequence[str]) -> None:
        self.subject, self.manner, self.words = subject, replace(manner, network=0), words

    def explore(self, offered: Sequence[Problem], stated: Stated) -> list[Outcome]:
        outcomes = self.caller(self.manner)([offered[0]] * 3)
        found = [replace(outcome, manner=self.manner) for outcome in outcomes]
        return [*found, Outcome(None, EXPLORED, json.dumps(list(self.words)))]

    def caller(self, manner: Manner) -> Caller:
        return self.subject.caller(manner)


def diagnose_program(subject: Subject, asked: Asked, name: str) -> Report:
    """Return the report on a program, called in whatever manner it has."""
    return _Diagnosis(subject, asked, name).report()


def diagnose_and_know(subject: Subject, asked: Asked, name: str) -> tuple[Report, Subject]:
    """Return the report, and the program with the manner in which it was called."""
    diagnosis = _Diagnosis(subject, asked, name)
    return diagnosis.report(), diagnosis.known or subject


class _Diagnosis:
    def __init__(self, subject: Subject, asked: Asked, name: str) -> None:
        self.subject, self.asked, self.name = subject, asked, name
        self.words: list[str] = []
        self.known: Known | None = None
        """The program in the manner that was chosen."""
        self._known: dict[tuple[Problem, bool], list[Problem]] = {}

    def report(self) -> Report:
        offered = self.asked.offered()
        outcomes = self.subject.explore(offered, self.asked.manner)
        if outcomes[-1].code == OTHER_SIZES:
            offered = self.asked.offered(_sizes(outcomes[-1].evidence))
            outcomes = self.subject.explore(offered, self.asked.manner)
        if outcomes[-1].code == EXPLORED:
            self.words = _words(outcomes[-1].evidence)
        candidates = list(self._candidates(outcomes, offered))
        if not candidates:
            return self._without_a_gradient(outcomes, offered[0])
        report, chosen = self._best(candidates)
        self.known = Known(self.subject, chosen.manner, self.words)
        return self._obliged(report)

    def _candidates(
        self, outcomes: Sequence[Outcome], offered: Sequence[Problem]
    ) -> Iterator[_Candidate]:
        together: dict[Manner, list[Outcome]] = {}
        for outcome in outcomes:
            if outcome.manner is not None and outcome.manner.network < len(offered):
                together.setdefault(outcome.manner, []).append(outcome)
        for manner, calls in together.items():
            problem = self.asked.fitted(offered[manner.network], manner)
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
            stated = PENALTIES.get(self.asked.penalty or "")
            if stated is not None and stated.on_biases:
                # A network's own penalty has no biases; those that were asked for are taken off.
                found = [replace(one, gradients=_off_biases(problem, one)) for one in found]
                calls = [replace(one, tree=found[0].gradients) for one in calls if found]
            yield _Candidate(manner, calls or together[manner], problem, found)

    def _without_a_gradient(self, outcomes: Sequence[Outcome], network: Problem) -> Report:
        """Say what the likeliest call met."""
        problems = list(self.asked.costs(network, wide=False))
        last = outcomes[-1]
        if last.code == OTHER_SIZES:
            says = "Its weights do not fit a network of known sizes: state them, --sizes 5,6,3."
            last = Outcome(None, "call.wrong-arguments", says)
        if last.code == "call.raises":
            plain = diagnose_calls(self.subject.caller(Manner()), problems, self.name)
            met = plain.findings[0] if plain.findings else None
            if met and met.code == "call.raises" and not _REFUSED.search(met.evidence):
                return plain
        return Search(problems, self.name).report(last)

    # --- which manner, which cost ---

    def _best(self, candidates: list[_Candidate]) -> tuple[Report, _Candidate]:
        usable = [one for one in _whole_batches(candidates) if one.read and _finite(one)]
        usable.sort(key=lambda one: one.wavers)  # other numbers each time say little of the manner
        for tolerance in (None, TOLERANCES[np.dtype(np.float32).type]):
            for one in usable:
                for wide in (False, True):
                    found = self._right(one, tolerance, wide=wide)
                    if found is not None:
                        return found, one
            if tolerance is None:
                for one in usable:
                    found = self._one_mistake(one)
                    if found is not None:
                        return found, one
        if usable:  # the first of those with the most right layers
            one = max(usable, key=self._rightness)
            return self._searched(one, self._likeliest(one), one.outcomes[0]), one
        one = candidates[0]
        return self._searched(one, self._usual(one), one.outcomes[0]), one

    def _costs(self, like: Problem, *, wide: bool) -> list[Problem]:
        """Return the same problems if they are asked for again: each keeps its gradient."""
        if (like, wide) not in self._known:
            self._known[like, wide] = list(self.asked.costs(like, self.words, wide=wide))
        return self._known[like, wide]

    def _usual(self, one: _Candidate) -> list[Problem]:
        return self._costs(one.problem, wide=False)

    def _wide(self, one: _Candidate) -> list[Problem]:
        found = self._costs(one.problem, wide=True)
        if one.manner.takes_lam and not one.manner.is_step:
            # With a penalty in view, sums in place of means are a mistake unless they are stated.
            found = [p for p in found if p.reduction == "mean" or self.asked.reduction != "mean"]
        return found

    def _right(self, one: _Candidate, tolerance: float | None, *, wide: bool) -> Report | None:
        """Return the report if the gradient is right by some cost."""
        tolerance = tolerance or one.tolerance
        problems = self._wide(one) if wide else self._usual(one)
        found: list[tuple[float, Problem, list[Array], list[Convention], Reading]] = []
        for problem in problems:
            for reading in one.read:
                if reading.mistakes:
                    continue
                for gradients, at, said in self._as_usual(one, reading.gradients, problem, wide):
                    if error_of(at, gradients) > tolerance:
                        continue
                    if not said and not wide:
                        return self._searched(one, problems, one.outcomes[0])
                    found.append((_oddity(said), at, gradients, said, reading))
                    if not one.finds_rate:
                        break
            if found and not one.finds_rate:
                break
        if not found:
            return None
        _, at, gradients, said, reading = min(found, key=lambda each: each[0])
        cost = _usual_cost(reading, said, at)
        tree = gradients if cost is None else [np.array(cost), gradients]
        outcome = replace(one.outcomes[0], tree=tree)
        said = [*said, *self._cost_found_out(at)]
        if reading.convention and not (cost is not None and reading.convention == "with-cost"):
            said.append(Convention(reading.convention, reading.says))
        return self._searched(one, [at], outcome, said)

    def _as_usual(
        self, one: _Candidate, gradients: list[Array], problem: Problem, wide: bool
    ) -> Iterator[tuple[list[Array], Problem, list[Convention]]]:
        """Yield the gradients as they would be by the usual conventions, and which they have."""
        if not one.finds_rate:
            yield gradients, problem, []
        if not wide:
            return
        for scale, said in self._scales(one, gradients, problem):
            scaled = [D / scale for D in gradients]
            if said:
                yield scaled, problem, said
            if self.asked.finds_penalty and one.manner.takes_lam:
                for penalty in list(PENALTIES.values())[1:]:
                    changed = with_penalty(problem, scaled, penalty)
                    says = Convention(f"penalty-{penalty.name}", _without(penalty.name))
                    yield changed, problem, [*said, says]
            elif self.asked.finds_penalty:
                strength = _own_penalty(problem, scaled)
                if strength is not None:
                    own = replace(problem, lam=strength * problem.divisor)
                    says = Convention(
                        "penalty-own",
                        f"the gradient of its own penalty is {number(strength)} Theta: state --lam "
                        "to enforce one",
                    )
                    yield scaled, own, [*said, says]

    def _scales(
        self, one: _Candidate, gradients: list[Array], problem: Problem
    ) -> Iterator[tuple[float, list[Convention]]]:
        if one.finds_rate:
            true = problem.truth.D[-1]
            rate = float(np.vdot(true, gradients[-1]) / (np.vdot(true, true) or 1.0))
            if 1e-12 < abs(rate) < 1e6 and rate > 0:
                says = f"the learning rate is {number(rate)}, as the numbers say"
                yield rate, [Convention("rate", says)]
            return
        yield 1.0, []
        if self.asked.loss is None and problem.K > 1 and "squared" in problem.loss:
            says = "the cost is a mean over the outputs as well as over the examples"
            yield 1.0 / problem.K, [Convention("mean-over-outputs", says)]

    def _cost_found_out(self, chosen: Problem) -> Iterator[Convention]:
        """Say what was not stated of the cost, and is not usual."""
        if self.asked.loss is None:
            output = f" with {chosen.output} outputs" if "squared" in chosen.loss else ""
            yield Convention("loss", f"the loss was not stated; {chosen.loss}{output} fits")
        if not _stated(self.asked.activation) and set(chosen.activations) - {"sigmoid"}:
            names = "/".join(dict.fromkeys(chosen.activations))
            yield Convention("activation", f"the activation was not stated; {names} fits")
        if not _stated(self.asked.reduction) and chosen.reduction == "sum":
            says = "sums over the examples in place of means: state --reduction mean to enforce it"
            yield Convention("reduction", says)

    # --- which mistake ---

    def _one_mistake(self, one: _Candidate) -> Report | None:
        """Return the report if one mistake alone explains the numbers of this manner."""
        for problem, gradients, reading in self._scaled(one):
            if catalogue_of(problem).single(gradients, one.tolerance):
                return self._named(one, problem, gradients, reading)
        return self._one_mistake_and_a_penalty(one)

    def _one_mistake_and_a_penalty(self, one: _Candidate) -> Report | None:
        """Return the same where the penalty is another one, as the output layer shows."""
        if not (self.asked.finds_penalty and one.manner.takes_lam) or one.finds_rate:
            return None
        if one.manner.plain:  # whoever writes function(thetas, X, Y, lam) follows the notes
            return None
        for problem, gradients, reading in self._scaled(one):
            for penalty in list(PENALTIES.values())[1:]:
                changed = with_penalty(problem, gradients, penalty)
                if not _any_right(problem, changed, one.tolerance):
                    continue
                if catalogue_of(problem).single(changed, one.tolerance):
                    said = Convention(f"penalty-{penalty.name}", _without(penalty.name))
                    return self._named(one, problem, changed, reading, [said])
        return None

    def _scaled(self, one: _Candidate) -> Iterator[tuple[Problem, list[Array], Reading]]:
        """Yield the likeliest costs with the gradients, a step's divided by its rate."""
        likeliest = self._likeliest(one)
        summed = self._summed(one, likeliest[0])
        for problem in dict.fromkeys([*likeliest, *self._usual(one), *summed]):
            for reading in one.read[:4]:
                gradients = reading.gradients
                if one.finds_rate:
                    for scale, _ in self._scales(one, gradients, problem):
                        yield problem, [D / scale for D in gradients], reading
                    continue
                yield problem, gradients, reading

    def _summed(self, one: _Candidate, like: Problem) -> list[Problem]:
        """Return the costs that are sums, for a program without a penalty: many make no mean."""
        if one.manner.takes_lam or _stated(self.asked.reduction):
            return []
        return [
            p for p in self._wide(one)
            if p.reduction == "sum" and p.activations == like.activations
            and p.output_activation == like.output_activation
        ]  # fmt: skip

    def _named(
        self, one: _Candidate, problem: Problem, gradients: list[Array], reading: Reading,
        besides: Sequence[Convention] = (),
    ) -> Report:  # fmt: skip
        tree = one.outcomes[0].tree if gradients is reading.gradients else gradients
        usual = self._usual(one)
        if problem in usual and tree is one.outcomes[0].tree:
            return self._searched(one, usual, one.outcomes[0])
        said = [*besides, *self._cost_found_out(problem)]
        return self._searched(one, [problem], replace(one.outcomes[0], tree=tree), said)

    def _rightness(self, one: _Candidate) -> float:
        """Return how many layers next to the output are right, by the best of the usual costs."""
        return max(
            _right_layers(problem, reading.gradients, one.tolerance)
            for problem in self._usual(one)
            for reading in one.read[:4]
        )

    def _likeliest(self, one: _Candidate) -> list[Problem]:
        """Return the costs that agree with the layers next to the output, or the usual ones."""
        usual = self._usual(one)
        if one.manner.plain and not set(self.words) & {"tanh", "relu", "maximum"}:
            return usual
        best, most = usual, 0.0
        for problem in [*usual, *self._wide(one)]:
            for reading in one.read[:4]:
                for scale, _ in self._scales(one, reading.gradients, problem):
                    scaled = [D / scale for D in reading.gradients]
                    right = _right_layers(problem, scaled, one.tolerance)
                    if not right:  # with the wrong sign it speaks for a cost all the same
                        turned = [-D for D in scaled]
                        right = 0.1 * _right_layers(problem, turned, one.tolerance)
                    if right > most:
                        best, most = [problem], right
        if most:
            return best
        wide = self._wide(one)
        first = wide[0].activations if wide else ()
        return [p for p in wide if p.activations == first and p.output_activation is None][
            :2
        ] or usual

    def _searched(
        self, one: _Candidate, problems: Sequence[Problem], outcome: Outcome,
        said: Sequence[Convention] = (),
    ) -> Report:  # fmt: skip
        """Return the search's report, with what was found out beside it."""
        call = self.subject.caller(one.manner)
        besides = habits(one.outcomes) if len(one.outcomes) > 1 else []
        if outcome.tree is not one.outcomes[0].tree or one.manner.container == "made":
            call = _scaled_caller(call, one, outcome)
        report = Search(problems, self.name, call).report(outcome, besides)
        how = [Convention(name, says) for name, says in one.manner.conventions()]
        if (
            not one.manner.takes_lam
            and self.asked.finds_penalty
            and not any(item.name.startswith("penalty") for item in said)
        ):
            how.append(Convention("penalty-none", "it takes no lambda, and has no penalty"))
        unseen = report.unseen
        if not report.problem.lam and self.asked.finds_penalty:
            unseen = tuple(code for code in unseen if not code.startswith("penalty."))
        conventions = (*how, *said, *report.conventions)
        return replace(report, conventions=conventions, unseen=unseen)

    # --- what was stated is an obligation ---

    def _obliged(self, report: Report) -> Report:
        if not self.asked.strict:
            return report
        found_out = [item for item in report.conventions if not self._is_stated(item.name)]
        if not found_out:
            return report
        says = "\n".join(f"Not stated: {item.says}." for item in found_out)
        return replace(
            report, findings=(*report.findings, findings.bare("call.not-as-asked", says))
        )

    def _is_stated(self, name: str) -> bool:
        first, stated = name.partition("-")[0], self.asked.manner
        return {
            "precision": True, "with": True, "dropout": True,
            "called": bool(stated.arguments or stated.weights or stated.examples),
            "examples": bool(stated.examples), "targets": bool(stated.targets),
            "biases": bool(stated.biases), "weights": bool(stated.weights),
            "turned": bool(stated.weights), "unrolled": stated.weights == "vector",
            "penalty": self.asked.penalty is not None, "rate": stated.rate is not None,
            "answer": stated.rate is not None,
        }.get(first, False)  # fmt: skip


def _whole_batches(candidates: list[_Candidate]) -> list[_Candidate]:
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


def _multiples(one: _Candidate, other: _Candidate) -> bool:
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


def _right_layers(problem: Problem, gradients: Sequence[Array], tolerance: float) -> float:
    """Return how many layers are right, counted from the output; half a one counts a half."""
    count = 0.0
    layers = list(zip(gradients, problem.truth.D, problem.scales, strict=True))
    for D, true, scale in reversed(layers):
        right = np.abs(D - true) <= tolerance * (scale or 1.0)
        if not right.all():
            return count + 0.5 * bool(right[:, 1:].all() or (right[:, 0].all() and problem.biases))
        count += 1
    return count


def _any_right(problem: Problem, gradients: Sequence[Array], tolerance: float) -> bool:
    """Whether the weights of a layer are right."""
    return any(
        bool((np.abs(D - true)[:, 1:] <= tolerance * (scale or 1.0)).all())
        for D, true, scale in zip(gradients, problem.truth.D, problem.scales, strict=True)
    )


def _oddity(said: Sequence[Convention]) -> float:
    """Return how far from usual a learning rate is: 1 is, then the powers of ten."""
    for item in said:
        if item.name == "rate":
            power = np.log10(float(item.says.split(",")[0].rpartition(" ")[2]))
            return float(abs(power) / 100 + (abs(power - round(power)) > 1e-5))
    return 0.0


def _usual_cost(
    reading: Reading, said: Sequence[Convention], problem: Problem
) -> float | None:  # fmt: skip
    """Return the cost as it would be by the usual conventions; None if that cannot be said."""
    cost, names = reading.cost, {item.name for item in said}
    if cost is None or names & {"rate", "mean-over-outputs"}:
        return None
    for penalty in PENALTIES.values():
        if f"penalty-{penalty.name}" in names:
            if same_cost(catalogue_of(problem).base.data_cost(), cost, TOLERANCE):
                return cost  # the gradient has a penalty, whichever, and the cost has none
            theirs = penalty.strength(problem.lam, problem.m)
            weights = sum(float((theta[:, 1:] ** 2).sum()) for theta in problem.thetas)
            biases = sum(float((theta[:, 0] ** 2).sum()) for theta in problem.thetas)
            cost += (problem.lam / problem.divisor - theirs) / 2 * weights
            cost -= theirs / 2 * biases if penalty.on_biases else 0.0
    return cost


def _off_biases(problem: Problem, reading: Reading) -> list[Array]:
    """Return the gradients without a penalty on the biases."""
    strength = problem.lam / problem.divisor
    found = [np.array(D) for D in reading.gradients]
    for D, theta in zip(found, problem.thetas, strict=True):
        D[:, 0] -= strength * theta[:, 0]
    return found


def _own_penalty(problem: Problem, gradients: Sequence[Array]) -> float | None:
    """Return c if the gradients are those without penalty, and c Theta; None if they are not."""
    last = problem.thetas[-1][:, 1:]
    data = problem.truth.Delta[-1][:, 1:] / problem.divisor
    strength = float(np.vdot(last, gradients[-1][:, 1:] - data) / (np.vdot(last, last) or 1.0))
    return strength if 1e-9 < strength < 1e6 else None


def _scaled_caller(call: Caller, one: _Candidate, outcome: Outcome) -> Caller:
    """Return a caller that gives the arrays only as they were called; probes are not needed."""

    def nothing(problems: Sequence[Any]) -> list[Outcome]:
        return []

    return nothing


def _finite(one: _Candidate) -> bool:
    tree = one.outcomes[0].tree
    return tree is not None and finite(tree)


def _stated(value: Any) -> bool:
    from .asked import Usual

    return value is not None and not isinstance(value, Usual)


def _without(name: str) -> str:
    if name == "none":
        return "it is right without a penalty: state --lam to ask for one"
    return PENALTIES[name].says


def _sizes(text: str) -> list[tuple[int, ...]]:
    """Return what sizes a program says that it has, as far as they make sense."""
    found = []
    try:
        for sizes in json.loads(text):
            counts = tuple(int(size) for size in sizes)
            if 2 <= len(counts) <= 12 and all(0 < size <= 200 for size in counts):
                found.append(counts)
    except (TypeError, ValueError):
        return []
    return found[:4]


def _words(text: str) -> list[str]:
    try:
        return [word for word in json.loads(text) if isinstance(word, str)]
    except (TypeError, ValueError):
        return []
