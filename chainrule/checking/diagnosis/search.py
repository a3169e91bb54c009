"""The search for what explains a gradient, the plainest explanation first.

Each step takes every reading of what was given, and every choice of what was not stated, before the
next one is tried; the first that explains the numbers makes the report. What nothing explains is
narrowed down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from ... import backprop
from ..comparison import compare
from ..problem import Array, Problem
from ..text import number, short
from . import findings, least_squares, unexplained
from .catalogue import Catalogue, catalogue_of
from .differences import differences_of
from .evidence import Evidence
from .matches import Match, closest, same_cost
from .mistakes import BY_CODE
from .readings import Reading, also, misfit, of_integers, precision, readings
from .reporting import Alternative, Convention, Finding, Report
from .running.calls import Caller, Outcome
from .running.results import Tree, finite
from .separating import separating_probe
from .worked import rule_for, rule_text, symbol

TOLERANCES: dict[type[np.floating[Any]], float] = {np.float16: 2e-2, np.float32: 1e-4}
"""How far two right programs may be apart, relative to the terms summed, by type of number."""
TOLERANCE = 1e-7
"""The same for float64: far above rounding, and far below what any mistake makes."""
EXACTLY = 1e-11
"""How well a mistake in a penalty that is nearly nothing must explain it."""
PENALTY_ALONE = (
    "The biases, which have no penalty, are right to the last digits; the weights are not, though "
    "by little, as the penalty is small."
)
MOST_BLOCKS = 2
"""How many blocks with a wrong factor are named as such."""

Step: TypeAlias = Callable[["list[Reading]", float], "Report | None"]
"""One step of the search: what was given as it may be read, and the tolerance."""


class Search:
    """What was given, and what it could be.

    *problems* are the choices of what was not stated, the likeliest first. *call*, if there is a
    function to call, is for the probes that exclude what nothing explains.
    """

    def __init__(self, problems: Sequence[Problem], name: str, call: Caller | None = None) -> None:
        self.problems = problems
        self.name = name
        self.call = call
        self.catalogues = [catalogue_of(problem) for problem in problems]
        self._by_call: tuple[Finding, ...] = ()

    @np.errstate(all="ignore")
    def report(self, outcome: Outcome, besides: Sequence[tuple[str, str]] = ()) -> Report:
        """Return the report on what one call gave.

        *besides* has what else the calls showed: codes, with their evidence.
        """
        problem = self.problems[0]
        self._by_call = tuple(findings.bare(code, evidence) for code, evidence in besides)
        if outcome.tree is None:
            every = (findings.bare(outcome.code, outcome.evidence), *self._by_call)
            return Report(problem, _first_of_each(every), name=self.name)
        read = readings(outcome.tree, problem)
        if not read:
            says, layer = misfit(outcome.tree, problem)
            layer = None if layer is None else layer + 1
            finding = findings.bare("call.wrong-shape", says, layer)
            return Report(problem, (finding, *self._by_call), name=self.name)
        if not finite(outcome.tree):
            return self._not_finite(read[0])
        if "call.not-repeatable" in [code for code, _ in besides]:
            return self._report(0, read[0], TOLERANCE)
        return self._searched(read, outcome.tree)

    def _not_finite(self, reading: Reading) -> Report:
        wrong = [
            layer + 1
            for layer in reversed(range(len(reading.gradients)))
            if not np.isfinite(reading.gradients[layer]).all()
        ]
        gradient = reading.gradients[wrong[0] - 1]
        unit, column = np.argwhere(~np.isfinite(gradient))[0].tolist()
        entry = symbol("D", wrong[0], unit + 1, column)
        says = f"{entry} is {gradient[unit, column]}."
        finding = findings.bare("call.not-finite", says, wrong[0])
        return self._report(0, reading, TOLERANCE, [finding], wrong=wrong)

    # The steps.

    def _searched(self, read: list[Reading], tree: Tree) -> Report:
        own = TOLERANCES.get(precision(tree), TOLERANCE)
        # Numbers in float64 may still have been computed in float32 on the way.
        tolerances = [own] if own > TOLERANCE else [TOLERANCE, TOLERANCES[np.float32]]
        read = self._likeliest(read, own)
        single, tried = self._named(Catalogue.single), self._named(Catalogue.tried)
        steps: list[tuple[Step, float]] = [(self._penalty, own), (self._right, own)]
        if of_integers(tree):  # of zeros they are the likelier reason
            steps.append((tried, own))
        steps.append((single, own))
        steps += [(self._right, tolerance) for tolerance in tolerances[1:]]
        steps.append((tried, own))
        steps += [(single, tolerance) for tolerance in tolerances[1:]]
        steps += [
            (step, tolerance)
            for step in (
                # If much is unstated, pairs are looked for in the first choice alone: two thousand
                # of them for each loss, activation and reduction would take a minute, and coincide.
                self._named(Catalogue.pair, most=len(backprop.LOSSES)),
                self._named(Catalogue.tried_after_another),
                self._named(Catalogue.constant),
                self._blocks,
                self._factors,
            )
            for tolerance in tolerances
        ]
        steps += [(self._one_more, own), (self._named(Catalogue.curve), own)]
        for step, tolerance in steps:
            report = step(read, tolerance)
            if report is not None:
                return report
        return self._unknown(read, own)

    def _likeliest(self, read: list[Reading], tolerance: float) -> list[Reading]:
        """Return the readings in which the most layers are right, counted from the output."""
        right = [
            max(replays.right_layers(reading.gradients, tolerance) for replays in self.catalogues)
            for reading in read
        ]
        return [one for one, count in zip(read, right, strict=True) if count == max(right)]

    def _right(self, read: list[Reading], tolerance: float) -> Report | None:
        if len({problem.loss for problem in self.problems}) > 1:
            # No loss was stated: then a mean over the outputs is as good a cost as a sum.
            read = [*read, *(_times_outputs(reading, self.problems[0]) for reading in read)]
        for reading in read:
            fits = [
                index
                for index, replays in enumerate(self.catalogues)
                if replays.error(reading.gradients) <= tolerance
            ]
            if fits:
                wrong = {index: self._wrong_cost(index, reading, tolerance) for index in fits}
                index = next((index for index in fits if not wrong[index]), fits[0])
                return self._report(index, reading, tolerance, wrong[index], fits=fits)
        return None

    def _wrong_cost(
        self, index: int, reading: Reading, tolerance: float, match: Match | None = None
    ) -> list[Finding]:
        """Say that the cost beside the gradient is wrong, if it is."""
        replays, problem = self.catalogues[index], self.problems[index]
        cost = reading.cost
        if cost is None:
            return []
        right = replays.costs(match)
        if "mean-over-outputs" in reading.convention:
            right.append(replays.base.data_cost() / problem.K + replays.base.penalty_cost())
        if any(same_cost(one, cost, tolerance) for one in right):
            return []
        made = replays.mistakes_in_cost(cost, tolerance)
        code = made[0].mistake.code if made else "cost.wrong"
        says = f"yours: J = {number(cost)}; right: {number(right[0])}"
        rule = rule_for(BY_CODE[code].rule, problem)
        return [replace(findings.bare(code, says), rule=rule, formula=rule_text(rule, problem))]

    def _named(self, look: Callable[..., list[Match]], most: int | None = None) -> Step:
        """Return the step that looks something up in every catalogue.

        In the first one alone, if there are more than *most*.
        """
        several = most is None or len(self.problems) <= most

        def step(read: list[Reading], tolerance: float) -> Report | None:
            for reading in read:
                for index, replays in enumerate(self.catalogues[: None if several else 1]):
                    matches = closest(look(replays, reading.gradients, tolerance))
                    if matches:
                        return self._matched(index, reading, matches, tolerance)
            return None

        return step

    def _penalty(self, read: list[Reading], tolerance: float) -> Report | None:
        """Tell a wrong penalty that is small from numbers that are not exact.

        The biases have no penalty: where they are right to the last digits and the weights are not,
        it is the penalty that is wrong, however little.
        """
        for reading in read:
            for index, replays in enumerate(self.catalogues):
                if not replays.only_penalty_wrong(reading.gradients, TOLERANCES[np.float32]):
                    continue
                matches = closest(replays.single(reading.gradients, EXACTLY))
                if matches:
                    return self._matched(index, reading, matches, tolerance)
                finding = findings.bare("penalty.other", PENALTY_ALONE)
                found = Evidence(self.problems[index], reading.gradients, tolerance)
                return self._report(index, reading, tolerance, [findings.with_rule(finding, found)])
        return None

    def _blocks(self, read: list[Reading], tolerance: float) -> Report | None:
        """Where one block or two have a constant factor, and all others are right, say so."""
        for reading in read:
            for index, problem in enumerate(self.problems):
                found = Evidence(problem, reading.gradients, tolerance)
                wrong = [block for block in found.blocks() if not block.right]
                if len(wrong) > MOST_BLOCKS or any(block.ratio is None for block in wrong):
                    continue
                layer = wrong[0].layer + 1 if len({block.layer for block in wrong}) == 1 else None
                finding = findings.bare("factor.of-one-block", "\n".join(found.by_blocks()), layer)
                return self._report(index, reading, tolerance, [findings.with_rule(finding, found)])
        return None

    def _factors(self, read: list[Reading], tolerance: float) -> Report | None:
        """Where least squares fit in every layer, only factors are wrong: name three of them."""
        for reading in read:
            for index, problem in enumerate(self.problems):
                if least_squares.fitted(problem, reading.gradients, tolerance) is None:
                    continue
                matches = closest(self.catalogues[index].factors(reading.gradients, tolerance))
                if matches:
                    # Others of so many are other ways to write the same four numbers.
                    return self._matched(index, reading, matches[:1], tolerance)
                says = "\n".join(least_squares.evidence(problem, reading.gradients, tolerance))
                found = Evidence(problem, reading.gradients, tolerance)
                finding = findings.with_rule(findings.bare("unknown.scaled", says), found)
                finding = replace(finding, confidence="partial")
                return self._report(index, reading, tolerance, [finding])
        return None

    def _one_more(self, read: list[Reading], tolerance: float) -> Report | None:
        """Look for three mistakes of which the layers next to the output show one or two."""
        reading = read[0]
        layers = Evidence(self.problems[0], reading.gradients, tolerance).wrong_layers()
        if not layers:
            return None
        found = self.catalogues[0].one_more(reading.gradients, layers[0] - 1, tolerance)
        matches = closest(found)
        return self._matched(0, reading, matches[:1], tolerance) if matches else None

    def _matched(
        self, index: int, reading: Reading, matches: list[Match], tolerance: float
    ) -> Report:
        match, *others = matches
        problem = self.problems[index]
        alternatives = tuple(
            Alternative(
                other.codes,
                findings.sentences(other),
                separating_probe(problem, match, other),
            )
            for other in others[:4]
        )
        found = Evidence(problem, reading.gradients, tolerance)
        named = findings.of_match(match, found, alternatives)
        named += self._wrong_cost(index, reading, tolerance, match)
        report = self._report(index, reading, tolerance, named)
        return replace(report, wrong_deltas=tuple(self.catalogues[index].wrong_deltas(match)))

    # What nothing explains.

    def _unknown(self, read: list[Reading], tolerance: float) -> Report:
        """Narrow down what nothing explains, where the most is right."""
        reading = read[0]
        right = [one.right_layers(reading.gradients, tolerance) for one in self.catalogues]
        index = right.index(max(right))
        found = Evidence(self.problems[index], reading.gradients, tolerance)
        known = unexplained.narrowed(found, self.catalogues[index], self._read_again(reading))
        report = self._report(index, reading, tolerance, known)
        if known[-1].code != "unknown.deltas":
            return report
        # The bias unit is 1 and its weight has no penalty, so column 0 adds up the deltas.
        deltas = [(layer + 1, row) for layer, row, column in report.wrong_entries if not column]
        return replace(report, wrong_deltas=tuple(deltas))

    def _read_again(self, like: Reading) -> unexplained.Probe:
        """Return a call of the function on other problems, its answers read as *like* was."""

        def probe(problems: Sequence[Problem]) -> list[Reading] | None:
            outcomes = [] if self.call is None else self.call(problems)
            found = []
            for problem, outcome in zip(problems, outcomes, strict=False):
                if outcome.tree is not None and finite(outcome.tree):
                    possible = readings(outcome.tree, problem)
                    same = [one for one in possible if one.convention == like.convention]
                    found += (same or possible)[:1]
            return found if len(found) == len(problems) else None

        return probe

    # The report.

    def _report(
        self,
        index: int,
        reading: Reading,
        tolerance: float,
        named: Sequence[Finding] = (),
        *,
        wrong: Sequence[int] | None = None,
        fits: Sequence[int] = (),
    ) -> Report:
        problem, replays = self.problems[index], self.catalogues[index]
        found = Evidence(problem, reading.gradients, tolerance)
        where: dict[str, list[int]] = {}
        for code, layer in reading.mistakes:
            where.setdefault(code, []).append(layer + 1)
        by_shape = [
            findings.with_rule(
                findings.bare(code, "The shape alone shows it.", at[0] if len(at) == 1 else None),
                found,
            )
            for code, at in where.items()
        ]
        every = _first_of_each((*by_shape, *self._by_call, *named))
        layers = found.wrong_layers() if wrong is None else wrong
        layers = sorted({*layers, *(layer + 1 for _, layer in reading.mistakes)}, reverse=True)
        conventions = list(self._found_out(index, fits))
        if reading.convention:
            conventions.append(Convention(reading.convention, reading.says))
        error = replays.error(reading.gradients)
        if not every:
            conventions += _how_exact(problem, reading.gradients, error)
        return Report(
            problem,
            every,
            tuple(conventions),
            compare(reading.gradients, list(problem.truth.D)),
            tuple(layers),
            tuple(found.wrong_entries()),
            theirs=tuple(reading.gradients),
            unseen=tuple(replays.unseen),
            name=self.name,
        )

    def _found_out(self, index: int, fits: Sequence[int]) -> Iterator[Convention]:
        """Say what was not stated, and what it was taken to be."""
        if len(self.problems) == 1:
            return
        chosen = self.problems[index]
        others = [self.problems[i] for i in fits if i != index] if fits else list(self.problems)
        varied: dict[str, Callable[[Problem], str]] = {
            "loss": lambda p: p.loss,
            "activation": lambda p: "/".join(dict.fromkeys(p.activations)) or "none",
            "reduction": lambda p: p.reduction,
        }
        for what, get in varied.items():
            if len({get(problem) for problem in self.problems}) == 1:
                continue
            same = {get(other) for other in others} <= {get(chosen)}
            if fits and same:
                says = f"the {what} was not stated; only {get(chosen)} fits"
            elif fits:
                says = f"the {what} was not stated; {get(chosen)} fits, and others too"
            else:
                says = f"the {what} was not stated; taken to be {get(chosen)}"
            yield Convention(what, says)


def _first_of_each(given: Sequence[Finding]) -> tuple[Finding, ...]:
    """Leave out a finding whose code is there already."""
    return tuple({finding.code: finding for finding in reversed(given)}.values())[::-1]


def _how_exact(problem: Problem, gradients: Sequence[Array], error: float) -> Iterator[Convention]:
    """Say of a right gradient that it has few digits, or comes from differences of the cost."""
    by = differences_of(problem, gradients)
    if by is not None:
        says = f"these are {by}, not backpropagation; they agree to {short(error)}"
        yield Convention("differences", says)
    elif error > TOLERANCE:
        says = f"it agrees to {short(error)} only, as float32, rounding or differences would"
        yield Convention("precision", says)


def _times_outputs(reading: Reading, problem: Problem) -> Reading:
    """Read what may be the gradient of a mean over the outputs as that of the sum."""
    base = catalogue_of(problem).base
    gradients = []
    for layer, D in enumerate(reading.gradients):
        decay = base.decay(layer)
        gradients.append((D - decay) * problem.K + decay)
    says = "the cost is a mean over the outputs as well as over the examples, as np.mean makes it"
    return replace(also(reading, "mean-over-outputs", says), gradients=gradients)
