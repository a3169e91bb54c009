"""A program as it is, diagnosed: which manner it has, whether it is right, or which mistake.

The intake finds manners in which a call gives a gradient; the numbers decide between them, and
between the costs that were not stated. In this order: right by what is usual; right by another
convention; one mistake alone in some manner; and what the layers next to the output agree with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..intake.manner import Manner
from ..intake.names import is_upstream
from ..problem import Array, Problem
from . import findings
from .algorithm import Run
from .asked import PENALTIES, Asked, with_penalty
from .called import diagnose_calls
from .candidates import Candidate, any_right, candidates, error_of, is_finite, whole_batches
from .catalogue import catalogue_of
from .fitting import Costs, shows_penalty, without
from .matches import same_cost
from .mistakes import BY_CODE
from .own_cost import by_own_cost
from .penalties_meant import agrees, as_the_notes_have_it, of_penalties, of_penalty, usual_cost
from .readings import Reading
from .reporting import Convention, Report
from .running.calls import Caller, Outcome
from .running.habits import habits
from .running.trying import CUT, EXPLORED, FROM_COURSE, OTHER_SIZES
from .search import TOLERANCE, TOLERANCES, Search
from .subjects import Known, Subject

_SOME_FLOAT32 = 10
"""How much further off than numbers in float64 those are of which some were in float32."""
_OWN_COSTS = 4
"""In how many manners a cost that is not known is differentiated."""
_TOTAL = "bias.one-total"
_SAYS_TOTAL = BY_CODE[_TOTAL].says.rstrip(".")
_ONE_OUTPUT = "right with one output unit; with three (--sizes {sizes}): {says}"
_SQUARE = 4
"""The units of both hidden layers, where a deeper network is tried."""
_REFUSED = re.compile(
    r"^TypeError: [\w.<>]+\(\) (?:takes|missing|got) |'list' object |list indices must be |"
    r"of type 'list'|'list' and |and 'list'|inhomogeneous"
)
"""What Python says of other arguments than a function takes, or of another container."""
_UNFINISHED = re.compile(r"^(?:ModuleNotFound|Import|Name|NotImplemented)Error\b")
"""What a program raises however it is called."""


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
        self.costs = Costs(asked)
        self._known_meant: dict[Candidate, list[Problem]] = {}
        self._known_told: dict[Candidate, dict[Problem, Convention | None]] = {}

    def report(self) -> Report:
        offered = self.asked.offered()
        outcomes = self.subject.explore(offered, self.asked.manner)
        if outcomes[-1].code == OTHER_SIZES:
            offered = self.asked.offered(_sizes(outcomes[-1].evidence))
            outcomes = self.subject.explore(offered, self.asked.manner)
        if outcomes[-1].code == EXPLORED:
            self.words = _words(outcomes[-1].evidence)
            self.costs = Costs(self.asked, self.words)
        found = list(candidates(self.asked, outcomes, offered))
        if not found:
            return self._without_a_gradient(outcomes, offered[0])
        report, chosen = self._best(found)
        self.known = Known(self.subject, chosen.manner, self.words)
        handed = _handed_to_a_layer(chosen)
        if handed and not report.ok:
            says = f"It has one layer of weights, and its backward pass takes {handed}, no targets."
            layer = Outcome(None, "call.one-layer", says)
            return Search([chosen.problem], self.name).report(layer)
        if self.asked.finds_sizes:
            report = (self._on_other_sizes if report.ok else self._with_one_output)(report)
        return self._obliged(self._unsure(self._with_stand_ins(report)))

    def _with_stand_ins(self, report: Report) -> Report:
        """Say which files of a course are not there, and what was taken for them."""
        names = [word.removeprefix(FROM_COURSE) for word in self.words
                 if word.startswith(FROM_COURSE)]  # fmt: skip
        says = "is not here: its sigmoid and relu are taken to be those of the course"
        told = tuple(Convention("stand-in", f"{name}.py {says}") for name in names)
        return replace(report, conventions=(*report.conventions, *told))

    def _on_other_sizes(self, report: Report) -> Report:
        """Call a right program on a network that shows what that one could not."""
        assert self.known is not None
        sizes = report.problem.sizes
        if len(sizes) == 3:
            # A program for any depth may need hidden layers of one size, and then is wrong there.
            deeper = self._judged((sizes[0], _SQUARE, _SQUARE, sizes[2]))
            if deeper.first_wrong_layer == 1:
                says = f"It is right on {report.problem.name}; not on this one."
                told = [replace(one, evidence=f"{says}\n{one.evidence}") for one in deeper.findings]
                return replace(deeper, findings=tuple(told))
        if len(sizes) > 2 and sizes[-1] == 1:
            several = self._judged((*sizes[:-1], 3))
            if several.wrong_layers:
                where, met = _joined(several.problem.sizes), several.findings[0].says.rstrip(".")
                says = _ONE_OUTPUT.format(sizes=where, says=met)
                told_too = (*report.conventions, Convention("one-output", says))
                return replace(report, conventions=told_too)
        return report

    def _with_one_output(self, report: Report) -> Report:
        """Return the report with one output unit, where a total of all biases is no mistake."""
        sizes = report.problem.sizes
        if _TOTAL not in report.codes or sizes[-1] == 1:
            return report
        alone = self._judged((*sizes[:-1], 1))
        if set(alone.codes) - (set(report.codes) - {_TOTAL}):
            return report
        told = Convention("one-output", _ONE_OUTPUT.format(sizes=_joined(sizes), says=_SAYS_TOTAL))
        return replace(alone, conventions=(*alone.conventions, told))

    def _judged(self, sizes: tuple[int, ...]) -> Report:
        assert self.known is not None
        asked = replace(self.asked, network=self.asked.of_sizes(sizes))
        return diagnose_program(self.known, asked, self.name)

    def _unsure(self, report: Report) -> Report:
        """Take certainty from a report if there was no time for all manners: one may be right."""
        if report.ok or CUT not in self.words:
            return report
        says = "there was no time for all the ways to call it: state how it is called, or --time"
        unsure = tuple(
            replace(one, confidence="partial") if one.confidence == "certain" else one
            for one in report.findings
        )
        told = (*report.conventions, Convention("trials-cut", says))
        return replace(report, findings=unsure, conventions=told)

    def _without_a_gradient(self, outcomes: Sequence[Outcome], network: Problem) -> Report:
        """Say what the likeliest call met."""
        problems = list(self.asked.costs(network, wide=False))
        last = next((one for one in reversed(outcomes) if one.code != EXPLORED), outcomes[-1])
        if last.code == OTHER_SIZES:
            says = "Its weights do not fit a network of known sizes: state them, --sizes 5,6,3."
            last = Outcome(None, "call.wrong-arguments", says)
        if last.code == "call.raises" and not _UNFINISHED.match(last.evidence):
            plain = diagnose_calls(self.subject.caller(Manner()), problems, self.name)
            met = plain.findings[0] if plain.findings else None
            if met and met.code == "call.raises" and not _REFUSED.search(met.evidence):
                return plain
        return Search(problems, self.name).report(last)

    # --- which manner, which cost ---

    def _best(self, found: list[Candidate]) -> tuple[Report, Candidate]:
        usable = [one for one in whole_batches(found) if one.read and is_finite(one)]
        usable.sort(key=lambda one: one.wavers)  # other numbers each time say little of the manner
        # Where the cost is right, the program has the weights and examples that it is meant for.
        meant = [one for one in usable if self._meant(one)]
        usable = meant or [one for one in usable if self._told(one)] or usable
        for tolerance in (None, TOLERANCES[np.dtype(np.float32).type]):
            for one in usable:
                for wide in (False, True):
                    report = self._right(one, tolerance, wide=wide)
                    if report is not None:
                        return report, one
            if tolerance is None:
                for one in usable:
                    report = self._one_mistake(one)
                    if report is not None:
                        return report, one
        own = self._by_own_cost(usable)
        if own is not None:
            return own
        for one in usable:
            report = self._one_mistake_and_a_penalty(one, unseen=True)
            if report is not None:
                return report, one
        if usable:  # the first of those with the most right layers
            one = max(usable, key=self.costs.rightness)
            likeliest = self._meant(one) or self.costs.likeliest(one)
            return self._searched(one, likeliest, one.outcomes[0]), one
        one = found[0]
        return self._searched(one, self.costs.usual(one), one.outcomes[0]), one

    def _right(self, one: Candidate, tolerance: float | None, *, wide: bool) -> Report | None:
        """Return the report if the gradient is right by some cost."""
        # With some of it in float32 a right one may be just beyond, and a mistake just within.
        tolerance = tolerance or one.tolerance * (_SOME_FLOAT32 if wide else 1)
        meant = self._meant(one)
        if wide and meant:
            return None
        problems = self.costs.wide(one) if wide else meant or self.costs.usual(one)
        found: list[tuple[float, Problem, list[Array], list[Convention], Reading]] = []
        for problem in problems:
            for reading in one.read:
                if reading.mistakes:
                    continue
                for gradients, at, said in self.costs.as_usual(
                    one, reading.gradients, problem, wide
                ):
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
        told = self._told(one) if wide else {}
        if told and not any(agrees(reading, said, at) for _, at, _, said, reading in found):
            return None  # the cost is right by another convention: the gradient is wrong by it
        _, at, gradients, said, reading = min(found, key=lambda each: each[0])
        cost = usual_cost(reading, said, at)
        tree = gradients if cost is None else [np.array(cost), gradients]
        outcome = replace(one.outcomes[0], tree=tree)
        said = [*said, *self.costs.found_out(at)]
        if reading.convention and not (cost is not None and reading.convention == "with-cost"):
            said.append(Convention(reading.convention, reading.says))
        return self._searched(one, [at], outcome, said)

    def _meant(self, one: Candidate) -> list[Problem]:
        """Return the usual problems of which the cost that comes with the gradient is right.

        If there are any, no other loss, penalty or mean is meant, whatever the gradient is.
        """
        if one not in self._known_meant:
            returned = [reading.cost for reading in one.read if reading.cost is not None]
            self._known_meant[one] = [
                problem
                for problem in self.costs.usual(one)
                if any(same_cost(catalogue_of(problem).base.cost(), x, TOLERANCE) for x in returned)
            ]
        return self._known_meant[one]

    def _told(self, one: Candidate) -> dict[Problem, Convention | None]:
        """Return all problems, usual or not, of which the cost beside the gradient is right.

        Each comes with what there is to say of its penalty.
        """
        if one not in self._known_told:
            returned = [reading.cost for reading in one.read if reading.cost is not None]
            found: dict[Problem, Convention | None] = {}
            for problem in self.costs.wide(one) if returned else ():
                for alike, says in self._penalised(one, problem):
                    cost = Run(alike).cost()
                    if any(same_cost(cost, x, TOLERANCE) for x in returned):
                        found[alike] = says
            self._known_told[one] = found
        return self._known_told[one]

    def _penalised(
        self, one: Candidate, problem: Problem
    ) -> Iterator[tuple[Problem, Convention | None]]:
        """Yield *problem*, and as it is with each other penalty of the weights."""
        yield problem, None
        if self.asked.finds_penalty and one.manner.takes_lam:
            for penalty in list(PENALTIES.values())[1:]:
                if penalty.factor and not penalty.on_biases:
                    yield as_the_notes_have_it(problem, penalty)

    def _by_own_cost(self, usable: Sequence[Candidate]) -> tuple[Report, Candidate] | None:
        """Return the report by the cost beside the gradient, where that is not known here.

        A wrong one counts where no layer is right by any cost that is known.
        """
        if self.asked.loss is not None or not self.asked.finds_penalty:
            return None
        wrong: tuple[Report, Candidate] | None = None
        for one in usable[:_OWN_COSTS]:
            if one.wavers or one.manner.is_step or self._told(one):
                continue
            report = by_own_cost(one, self.subject.caller(one.manner), self.name)
            if report is not None:
                how = [Convention(name, says) for name, says in one.manner.conventions()]
                report = replace(report, conventions=(*how, *report.conventions))
                if report.ok:
                    return report, one
                if not self.costs.rightness(one):
                    wrong = wrong or (report, one)
        return wrong

    # --- which mistake ---

    def _one_mistake(self, one: Candidate) -> Report | None:
        """Return the report if one mistake alone explains the numbers of this manner."""
        meant = self._meant(one)
        for problem, penalty in () if meant or one.finds_rate else self._told(one).items():
            for reading in one.read[:4]:
                if catalogue_of(problem).single(reading.gradients, one.tolerance):
                    besides = [penalty] if penalty else []
                    return self._named(one, problem, reading.gradients, reading, besides)
        for problem, gradients, reading in self.costs.scaled(one):
            if (not meant or problem in meant) and catalogue_of(problem).single(
                gradients, one.tolerance
            ):
                return self._named(one, problem, gradients, reading)
        return self._one_mistake_and_a_penalty(one)

    def _one_mistake_and_a_penalty(self, one: Candidate, *, unseen: bool = False) -> Report | None:
        """Return the same where the penalty is another one, as the output layer shows.

        Where it is *unseen*, as nothing is right, a mistake in all but the penalty shows it.
        """
        if not (self.asked.finds_penalty and one.manner.takes_lam) or one.finds_rate:
            return None
        # Whoever writes function(thetas, X, Y, lam) follows the notes, or leaves the penalty out.
        others = [PENALTIES["none"]] if one.manner.plain else list(PENALTIES.values())[1:]
        for problem, gradients, reading in self.costs.scaled(one):
            for penalty in others:
                if penalty.factor and not penalty.on_biases:
                    # What is wrong with this penalty, or with the sums beside it.
                    alike, said = as_the_notes_have_it(problem, penalty)
                    if shows_penalty(alike, gradients, one.tolerance) and catalogue_of(
                        alike
                    ).single(gradients, one.tolerance):
                        return self._named(one, alike, list(gradients), reading, [said])
                changed = with_penalty(problem, gradients, penalty)
                if not unseen and not any_right(problem, changed, one.tolerance):
                    continue
                matches = catalogue_of(problem).single(changed, one.tolerance)
                if matches and not (unseen and of_penalties(matches)):
                    said = Convention(f"penalty-{penalty.name}", without(penalty.name))
                    return self._named(one, problem, changed, reading, [said])
        return None

    def _named(
        self, one: Candidate, problem: Problem, gradients: list[Array], reading: Reading,
        besides: Sequence[Convention] = (),
    ) -> Report:  # fmt: skip
        tree = one.outcomes[0].tree if gradients is reading.gradients else gradients
        usual = self._meant(one) or self.costs.usual(one)
        if problem in usual and tree is one.outcomes[0].tree:
            return self._searched(one, usual, one.outcomes[0])
        said = [*besides, *self.costs.found_out(problem)]
        report = self._searched(one, [problem], replace(one.outcomes[0], tree=tree), said)
        names = {item.name for item in besides}
        for penalty in PENALTIES.values():
            if f"penalty-{penalty.name}" in names and penalty.factor:
                report = replace(
                    report, findings=tuple(of_penalty(found, penalty) for found in report.findings)
                )
        return report

    def _searched(
        self, one: Candidate, problems: Sequence[Problem], outcome: Outcome,
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


def _handed_to_a_layer(one: Candidate) -> str:
    """Return the parameter that is, by its name, the gradient of one layer's output; or ""."""
    if one.problem.last > 0:
        return ""
    names = re.findall(r"(\w+) = Y\b", one.manner.text)
    names += [name for step in one.manner.steps for name, role in step.arguments if role == "Y"]
    return next(filter(is_upstream, names), "")


def _oddity(said: Sequence[Convention]) -> float:
    """Return how far from usual a learning rate is: 1 is, then the powers of ten."""
    for item in said:
        if item.name == "rate":
            power = np.log10(float(item.says.split(",")[0].rpartition(" ")[2]))
            return float(abs(power) / 100 + (abs(power - round(power)) > 1e-5))
    return 0.0


def _scaled_caller(call: Caller, one: Candidate, outcome: Outcome) -> Caller:
    """Return a caller that gives the arrays only as they were called; probes are not needed."""

    def nothing(problems: Sequence[Any]) -> list[Outcome]:
        return []

    return nothing


def _joined(sizes: Sequence[int]) -> str:
    return ",".join(map(str, sizes))


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
