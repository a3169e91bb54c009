"""The search for what explains a gradient, the plainest explanation first.

Each step takes every reading of what was given, and every choice of what was not stated, before the
next one is tried; the first that explains the numbers makes the report. What nothing explains is
narrowed down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ... import backprop
from ..comparison import compare
from ..problem import Problem, single
from ..text import short
from . import findings, least_squares
from .catalogue import Catalogue, Match, catalogue_of, closest, separating_probe
from .evidence import Evidence
from .mistakes import BY_CODE
from .readings import Reading, also, misfit, precision, readings
from .reporting import Alternative, Convention, Finding, Report
from .running.calls import Caller, Outcome
from .running.results import Tree, finite
from .worked import Worked, rule_for, rule_text, symbol

TOLERANCES: dict[type[np.floating[Any]], float] = {np.float16: 2e-2, np.float32: 1e-4}
"""How far two right programs may be apart, relative to the terms summed, by type of number."""
TOLERANCE = 1e-7
"""The same for float64: far above rounding, and far below what any mistake makes."""
EXAMPLES_ALONE = 8
"""How many examples are tried alone; a mistake must explain them all: one may be a coincidence."""


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
        steps = [
            (step, tolerance)
            for tolerance in tolerances
            for step in (self._right, self._named(Catalogue.single))
        ]
        steps += [
            (step, tolerance)
            for step in (
                # If much is unstated, pairs are looked for in the first choice alone: two thousand
                # of them for each loss, activation and reduction would take a minute, and coincide.
                self._named(Catalogue.pair, len(backprop.LOSSES)),
                self._named(Catalogue.step),
                self._factors,
                self._one_more,
            )
            for tolerance in tolerances
        ]
        for step, tolerance in steps:
            report = step(read, tolerance)
            if report is not None:
                return report
        return self._unknown(read[0], own)

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
                return self._report(fits[0], reading, tolerance, fits=fits)
        return None

    def _named(
        self, look: Callable[..., list[Match]], most: int | None = None
    ) -> Callable[[list[Reading], float], Report | None]:
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
                " ".join(made.mistake.says for made in other.made),
                separating_probe(problem, match.made, other.made),
            )
            for other in others[:4]
        )
        found = Evidence(problem, reading.gradients, tolerance)
        named = findings.of_match(match, found, alternatives)
        report = self._report(index, reading, tolerance, named)
        return replace(report, wrong_deltas=tuple(self.catalogues[index].wrong_deltas(match)))

    # What nothing explains.

    def _unknown(self, reading: Reading, tolerance: float) -> Report:
        """Show the first wrong delta, the entry that is furthest off, and how it comes about."""
        problem = self.problems[0]
        found = Evidence(problem, reading.gradients, tolerance)
        wrong = found.wrong_layers()
        layer = wrong[0] - 1
        unit, column = found.worst(layer)
        known = self._by_probes(reading, found)
        row = BY_CODE[known.code]
        is_delta = row.code == "unknown.deltas"
        rule = rule_for("B8" if is_delta and layer == problem.last else row.rule, problem)
        chain = Worked(problem).chain(layer, unit, column)
        partly = known.partly
        if is_delta and not partly:
            partly = self._next_to_the_output(layer, found)
        finding = Finding(
            row.code,
            # A delta is first wrong somewhere; a wrong sum or penalty is where it shows.
            layer + 1 if is_delta or len(wrong) == 1 else None,
            "There is another mistake as well, which is not in the list." if partly else row.says,
            row.fix,
            rule,
            rule_text(rule),
            "\n".join(
                [found.two_numbers(layer, unit, column), *(chain if is_delta else chain[:1])]
            ),
            "\n".join(known.evidence),
            "partial",
        )
        report = self._report(0, reading, tolerance, [*partly, finding])
        if not is_delta:
            return report
        # The bias unit is 1 and its weight has no penalty, so column 0 adds up the deltas.
        deltas = [(layer + 1, row) for layer, row, column in report.wrong_entries if not column]
        return replace(report, wrong_deltas=tuple(deltas))

    def _next_to_the_output(self, layer: int, found: Evidence) -> list[Finding]:
        """Return the findings that explain the layers from *layer* to the output, if any do."""
        matches = closest(self.catalogues[0].from_output(found.gradients, layer, found.tolerance))
        if not matches:
            return []
        so_far = f"It explains the layers from {symbol('Θ', layer + 1)} to the output."
        return [
            replace(one, evidence=so_far, confidence="partial")
            for one in findings.of_match(matches[0], found)
        ]

    def _by_probes(self, reading: Reading, found: Evidence) -> _Known:
        """Call the function on single examples and without a penalty, to see what that excludes."""
        problem, tolerance, columns = found.problem, found.tolerance, found.columns()
        alone = [single(problem, t) for t in range(min(problem.m, EXAMPLES_ALONE))]
        together = replace(problem, lam=0.0, name=f"{problem.name}, lambda = 0")
        read = self._read_again([*alone, together], reading)
        if read is None:
            biases_right = all(column for _, _, column in found.wrong_entries())
            code = "unknown.products" if biases_right else "unknown.deltas"
            return _Known(code, [columns] if columns else [])
        *each, all_of_them = (
            Evidence(one, again.gradients, tolerance)
            for one, again in zip([*alone, together], read, strict=True)
        )
        wrong = [t for t, one in enumerate(each) if one.wrong_layers()]
        if not wrong:
            if not all_of_them.wrong_layers():
                return _Known("penalty.other", ["With lambda = 0 your gradient is right."])
            which = f"each of the {'first ' * (len(alone) < problem.m)}{len(alone)} examples"
            says = f"With lambda = 0 {which} alone is right; all {problem.m} together are not."
            return _Known("mean.other", [says, columns] if columns else [says])
        evidence, deltas_right = each[wrong[0]].deltas_of(wrong[0])
        code = "unknown.products" if deltas_right else "unknown.deltas"
        return _Known(code, evidence, _named_alone(each))

    def _read_again(self, problems: list[Problem], like: Reading) -> list[Reading] | None:
        """Call the function with each problem; read what comes back as it was read before."""
        outcomes = [] if self.call is None else self.call(problems)
        found = []
        for problem, outcome in zip(problems, outcomes, strict=False):
            if outcome.tree is not None and finite(outcome.tree):
                possible = readings(outcome.tree, problem)
                same = [one for one in possible if one.convention == like.convention]
                found += (same or possible)[:1]
        return found if len(found) == len(problems) else None

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
        by_shape = [
            findings.with_rule(findings.bare(code, "The shape alone shows it.", layer + 1), found)
            for code, layer in reading.mistakes
        ]
        every = _first_of_each((*by_shape, *self._by_call, *named))
        layers = found.wrong_layers() if wrong is None else wrong
        layers = sorted({*layers, *(layer + 1 for _, layer in reading.mistakes)}, reverse=True)
        conventions = list(self._found_out(index, fits))
        if reading.convention:
            conventions.append(Convention(reading.convention, reading.says))
        error = replays.error(reading.gradients)
        if not every and error > TOLERANCE:
            says = f"it agrees to {short(error)} only, as float32 or finite differences would"
            conventions.append(Convention("precision", says))
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


@dataclass(frozen=True)
class _Known:
    """What is known of a gradient that nothing explains."""

    code: str
    evidence: list[str]
    partly: list[Finding] = field(default_factory=list)
    """What explains single examples."""


def _named_alone(each: list[Evidence]) -> list[Finding]:
    """Return the findings that explain every one of the single examples, if there are any."""
    first, *others = each
    replays = catalogue_of(first.problem)
    matches = replays.single(first.gradients, first.tolerance)
    matches = matches or replays.pair(first.gradients, first.tolerance)
    for match in closest(matches):
        if all(
            Catalogue(one.problem).explains(match, one.gradients, one.tolerance) for one in others
        ):
            return [
                replace(
                    finding,
                    evidence=f"With one example and lambda = 0. {finding.evidence}",
                    confidence="partial",
                )
                for finding in findings.of_match(match, first)
            ]
    return []


def _first_of_each(given: Sequence[Finding]) -> tuple[Finding, ...]:
    """Leave out a finding whose code is there already."""
    return tuple({finding.code: finding for finding in reversed(given)}.values())[::-1]


def _times_outputs(reading: Reading, problem: Problem) -> Reading:
    """Read what may be the gradient of a mean over the outputs as that of the sum."""
    base = catalogue_of(problem).base
    gradients = []
    for layer, D in enumerate(reading.gradients):
        decay = base.decay(layer)
        gradients.append((D - decay) * problem.K + decay)
    says = "the cost is a mean over the outputs as well as over the examples, as np.mean makes it"
    return replace(also(reading, "mean-over-outputs", says), gradients=gradients)
