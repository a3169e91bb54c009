"""``diagnose``: not only that a gradient is wrong, but which mistake made it so.

In this order:

- the call, if there is a function to call: it may raise, write to its arguments, answer differently
  each time;
- the shape: how the arrays are laid out, see ``layouts``;
- the replay: every mistake of the table, alone, in some layers, two at a time, see ``matching``;
- least squares in each layer, theirs = alpha N + beta Theta~ + gamma Theta_b + kappa 1_b (N is the
  data gradient, Theta~ the weights without the biases, Theta_b the biases alone, 1_b ones in their
  column), for several wrong factors at once, and as evidence for a single one: right is
  (1, lambda/m, 0, 0);
- probes with one example, or without a penalty, when nothing else explains the numbers: they show
  whether it is the penalty, or the mean; and with one example a gradient is delta a^T, so that,
  since a_0 = 1, column 0 is their delta, and the first wrong delta can be told.

The replay comes before least squares, because a named mistake says more than four numbers; where
both apply they agree, as the numbers of the one are evidence for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .. import backprop
from . import least_squares
from .comparison import compare
from .layouts import Reading, also, misfit, precision, readings
from .matching import Catalogue, Match, catalogue, separating_probe
from .mistakes import BY_CODE
from .problem import Array, Problem, probe, single, square
from .report import Alternative, Convention, Finding, Report
from .running.calls import Caller, Outcome, caller
from .running.habits import habits
from .running.results import Tree, finite, tidy
from .text import short
from .worked import Worked, number, rule_for, rule_text, symbol

TOLERANCES: dict[type[np.floating[Any]], float] = {np.float16: 2e-2, np.float32: 1e-4}
"""How far two right programs may be apart, relative to the terms summed, by type of number."""
TOLERANCE = 1e-7
"""The same for float64: wide of rounding, and far below what any mistake makes."""
EXAMPLES_ALONE = 8
"""How many examples are tried alone; a mistake must explain them all: one may be a coincidence."""


def diagnose(
    theirs: Any,
    thetas: Iterable[Any] | None = None,
    X: Any = None,
    Y: Any = None,
    lam: float | None = None,
    *,
    loss: str | None = None,
    activation: str | Iterable[str] | None = "sigmoid",
    output_activation: str | None = None,
    reduction: str | None = "mean",
    name: str = "gradient",
) -> Report:
    """Return a report on what is wrong with a gradient, and which mistake made it so.

    *theirs* is a function called as ``theirs(thetas, X, Y, lam)``, or what such a function
    returned: a list of arrays with the shapes of the Thetas, (s_next, 1 + s) with the bias in
    column 0; (W, b) pairs; either of them transposed; or one vector, row- or column-major. The rest
    is the network as in ``backprop.gradients``; if it is left out, the probe network is used, on
    which every mistake shows.

    >>> from chainrule import backprop
    >>> from chainrule.checking import diagnose
    >>> def summed(thetas, X, Y, lam):
    ...     found = backprop.gradients(thetas, X, Y, lam)
    ...     return [D + (len(X) - 1) / len(X) * Delta for D, Delta in zip(found.D, found.Delta)]
    >>> report = diagnose(summed, loss="logistic")
    >>> report.ok, report.codes
    (False, ('mean.missing',))
    >>> report.findings[0].fix
    'Divide Delta by m: D = (Delta + lambda Theta) / m.'

    *loss*, *activation* and *reduction* may be None: they are then found out, and the report says
    what was found. ``ValueError`` and ``TypeError`` are for a network that makes no sense; whatever
    is wrong with *theirs*, from a wrong shape to an exception, is a finding.

    The surprise: a gradient in another layout is right, and where no loss was stated so is that of
    any of them. The report mentions it under ``conventions``. Of a stated loss every factor counts:
    twice the gradient of the half squared error is a mistake.
    """
    problems = problems_for(
        thetas,
        X,
        Y,
        lam,
        loss=loss,
        activation=activation,
        output_activation=output_activation,
        reduction=reduction,
    )
    return _diagnosed(theirs, problems, name)


def _diagnosed(theirs: Any, problems: Sequence[Problem], name: str) -> Report:
    if callable(theirs):
        return diagnose_calls(caller(theirs), problems, name)
    try:
        outcome = Outcome(tidy(theirs))
    except (TypeError, ValueError) as error:
        outcome = Outcome(None, "call.no-numbers", f"It is {error}.")
    return _Diagnosis(problems, name).of(outcome)


def assert_gradients_close(theirs: Any, problem: Problem | None = None, hints: str = "fix") -> None:
    """Raise ``AssertionError`` with the diagnosis if *theirs* is not the gradient of *problem*.

    *theirs* is as in :func:`diagnose`, *problem* by default the probe network with the logistic
    loss. *hints* is how much the message tells: "pass", "layer", "category" or "fix".

    >>> from chainrule.checking.problem import probe
    >>> assert_gradients_close([-D for D in probe().truth.D], hints="category")
    Traceback (most recent call last):
    ...
    AssertionError: gradient: not right
    ...
    1. There is a mistake in a sign.
    """
    __tracebackhide__ = True
    chosen = probe() if problem is None else problem
    report = _diagnosed(theirs, [chosen], "gradient")
    if not report.ok:
        raise AssertionError(report.text(hints))


def problems_for(
    thetas: Iterable[Any] | None = None,
    X: Any = None,
    Y: Any = None,
    lam: float | None = None,
    *,
    loss: str | None = None,
    activation: str | Iterable[str] | None = "sigmoid",
    output_activation: str | None = None,
    reduction: str | None = "mean",
) -> list[Problem]:
    """Return the problem for each choice of what was not stated; the stated one alone if all was.

    Arguments and errors are those of :func:`diagnose`.

    >>> [problem.loss for problem in problems_for()]
    ['logistic', 'cross_entropy', 'half_squared_error', 'squared_error']
    """
    if thetas is None and not (X is None and Y is None):
        raise TypeError("diagnose: X or Y without thetas: give all of thetas, X and Y, or none")
    if thetas is not None:
        if X is None or Y is None:
            raise TypeError("diagnose: thetas without X or Y: give all of thetas, X and Y, or none")
        thetas = [np.asanyarray(theta) for theta in thetas]
    losses = list(backprop.LOSSES) if loss is None else [loss]
    activations: list[Any] = list(backprop.ACTIVATIONS) if activation is None else [activation]
    reductions = ["mean", "sum"] if reduction is None else [reduction]
    found: list[Problem] = []
    errors: list[Exception] = []
    for one_loss in losses:
        for one_activation in activations:
            for one_reduction in reductions:
                options: dict[str, Any] = {
                    "activation": one_activation,
                    "output_activation": output_activation,
                    "reduction": one_reduction,
                }
                try:
                    if thetas is None:
                        # Targets that suit every loss, if the loss is to be found out.
                        base = probe(loss or "cross_entropy")
                        given = Problem.read(
                            base.thetas,
                            base.X,
                            base.Y,
                            base.lam if lam is None else lam,
                            loss=one_loss,
                            name=base.name,
                            **options,
                        )
                    else:
                        given = Problem.read(thetas, X, Y, lam or 0.0, loss=one_loss, **options)
                except (TypeError, ValueError) as error:
                    errors.append(error)
                else:
                    found.append(given)
    if not found:
        raise errors[0]
    return found


def diagnose_calls(call: Caller, problems: Sequence[Problem], name: str = "gradient") -> Report:
    """Return the report on a function that *call* calls."""
    problem = problems[0]
    outcomes = call([problem] * 3)
    diagnosis = _Diagnosis(problems, name, call)
    report = diagnosis.of(outcomes[0], habits(outcomes))
    if outcomes[0].code == "call.raises" and len(set(problem.sizes)) > 1:
        # A matrix that was not transposed gets past the shapes of a square network.
        on_square = _Diagnosis([square(one) for one in problems], name, call)
        again = on_square.of(call([on_square.problems[0]])[0])
        if again.comparison is not None and not again.ok:
            sizes = "-".join(map(str, again.problem.sizes))
            findings = [
                replace(finding, evidence=f"On a {sizes} network it returns. {finding.evidence}")
                for finding in again.findings
            ]
            return replace(again, findings=(*report.findings, *findings), name=name)
    return report


class _Diagnosis:
    """The search for an explanation: what was given, and what it could be."""

    def __init__(self, problems: Sequence[Problem], name: str, call: Caller | None = None) -> None:
        self.problems = problems
        self.name = name
        self.call = call
        self.catalogues = [catalogue(problem) for problem in problems]

    @np.errstate(all="ignore")
    def of(self, outcome: Outcome, besides: Sequence[tuple[str, str]] = ()) -> Report:
        """Return the report on what one call gave."""
        problem = self.problems[0]
        by_call = [_plain_finding(code, evidence) for code, evidence in besides]
        if outcome.tree is None:
            findings = [_plain_finding(outcome.code, outcome.evidence), *by_call]
            codes = {finding.code: finding for finding in reversed(findings)}
            return Report(problem, tuple(codes.values())[::-1], name=self.name)
        read = readings(outcome.tree, problem)
        if not read:
            says, layer = misfit(outcome.tree, problem)
            finding = replace(
                _plain_finding("call.wrong-shape", says), layer=None if layer is None else layer + 1
            )
            return Report(problem, (finding, *by_call), name=self.name)
        if not finite(outcome.tree):
            return self._not_finite(read[0], by_call)
        if "call.not-repeatable" in [code for code, _ in besides]:
            return self._report(0, read[0], tuple(by_call), TOLERANCE)
        return self._search(read, outcome.tree, by_call)

    def _not_finite(self, reading: Reading, by_call: list[Finding]) -> Report:
        problem, wrong = self.problems[0], []
        for layer in reversed(range(len(problem.thetas))):
            if not np.isfinite(reading.gradients[layer]).all():
                wrong.append(layer + 1)
        gradient = reading.gradients[wrong[0] - 1]
        unit, column = np.argwhere(~np.isfinite(gradient))[0].tolist()
        entry = symbol("D", wrong[0], unit + 1, column)
        finding = _plain_finding("call.not-finite", f"{entry} is {gradient[unit, column]}.")
        return self._report(
            0, reading, (*by_call, replace(finding, layer=wrong[0])), TOLERANCE, wrong=wrong
        )

    # The search.

    def _search(self, read: list[Reading], tree: Tree, by_call: list[Finding]) -> Report:
        own = TOLERANCES.get(precision(tree), TOLERANCE)
        # Numbers in float64 may still have been computed in float32 on the way.
        tolerances = [own] if own > TOLERANCE else [TOLERANCE, TOLERANCES[np.float32]]
        for tolerance in tolerances:
            for search in (self._right, self._single):
                report = search(read, tolerance, by_call)
                if report is not None:
                    return report
        for search in (self._pair, self._step, self._factors, self._one_more):
            for tolerance in tolerances:
                report = search(read, tolerance, by_call)
                if report is not None:
                    return report
        return self._unknown(read[0], by_call, own)

    def _right(
        self, read: list[Reading], tolerance: float, by_call: list[Finding]
    ) -> Report | None:
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
                return self._report(fits[0], reading, tuple(by_call), tolerance, fits=fits)
        return None

    def _single(
        self, read: list[Reading], tolerance: float, by_call: list[Finding]
    ) -> Report | None:
        for reading in read:
            for index, replays in enumerate(self.catalogues):
                matches = _best(replays.single(reading.gradients, tolerance))
                if matches:
                    return self._matched(index, reading, matches, by_call, tolerance)
        return None

    def _pair(self, read: list[Reading], tolerance: float, by_call: list[Finding]) -> Report | None:
        # If much is unstated, pairs are looked for in the first choice alone: two thousand of them
        # for each loss, activation and reduction would take a minute, and coincide.
        most = len(self.problems) if len(self.problems) <= len(backprop.LOSSES) else 1
        for reading in read:
            for index, replays in enumerate(self.catalogues[:most]):
                matches = _best(replays.pair(reading.gradients, tolerance))
                if matches:
                    return self._matched(index, reading, matches, by_call, tolerance)
        return None

    def _matched(
        self,
        index: int,
        reading: Reading,
        matches: list[Match],
        by_call: list[Finding],
        tolerance: float,
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
        findings = self._findings(index, reading, match, alternatives, tolerance)
        report = self._report(index, reading, (*by_call, *findings), tolerance)
        return replace(report, wrong_deltas=tuple(self.catalogues[index].wrong_deltas(match)))

    def _findings(
        self,
        index: int,
        reading: Reading,
        match: Match,
        alternatives: tuple[Alternative, ...],
        tolerance: float,
    ) -> list[Finding]:
        problem = self.problems[index]
        together = "this mistake" if len(match.made) == 1 else "these mistakes together"
        evidence = [
            f"The algorithm replayed with {together} gives your gradient, to {short(match.error)}."
        ]
        if match.rate is not None and "update.rate-inside" in match.codes:
            evidence.append(f"The factor is {number(match.rate)}.")
        elif match.rate is not None:
            evidence.append(f"The learning rate of the update was {number(match.rate)}.")
        other = _other_square(problem)
        if other is not None and catalogue(other).error(reading.gradients) <= tolerance:
            evidence.append(
                f"It is the gradient of the {other.loss} loss, not of {problem.loss}: if that is "
                "the cost you want, state it."
            )
        evidence += least_squares.evidence(problem, reading.gradients, tolerance)
        found = []
        for made in sorted(match.made, key=lambda made: _upstream(made.mistake.code)):
            row = made.mistake
            layer, unit, column = _entry_for(problem, reading, row.code, made.layers)
            rule = rule_for(row.rule, problem)
            here = Worked(problem).here(rule, layer, unit, column)
            yours = number(float(reading.gradients[layer][unit, column]))
            entry = symbol("D", layer + 1, unit + 1, column)
            found.append(
                Finding(
                    row.code,
                    made.layers[0] + 1 if len(made.layers) == 1 else None,
                    row.says,
                    row.fix,
                    rule,
                    rule_text(rule),
                    f"{here}\nyours: {entry} = {yours}; right: "
                    f"{number(float(problem.truth.D[layer][unit, column]))}",
                    "\n".join(evidence),
                    "one of several" if alternatives else "certain",
                    alternatives,
                    tuple(layer + 1 for layer in made.layers) if len(made.layers) > 1 else (),
                )
            )
        return found

    def _step(self, read: list[Reading], tolerance: float, by_call: list[Finding]) -> Report | None:
        """Look for a step of gradient descent made of the gradient, or of one mistake's."""
        for reading in read:
            for index, replays in enumerate(self.catalogues):
                matches = _best(replays.step(reading.gradients, tolerance))
                if matches:
                    return self._matched(index, reading, matches, by_call, tolerance)
        return None

    def _factors(
        self, read: list[Reading], tolerance: float, by_call: list[Finding]
    ) -> Report | None:
        """Where least squares fit in every layer, only factors are wrong: name three of them."""
        for reading in read:
            for index, problem in enumerate(self.problems):
                if least_squares.fitted(problem, reading.gradients, tolerance) is None:
                    continue
                matches = _best(self.catalogues[index].factors(reading.gradients, tolerance))
                if matches:
                    # Others of so many are other ways to write the same four numbers.
                    return self._matched(index, reading, matches[:1], by_call, tolerance)
                evidence = "\n".join(least_squares.evidence(problem, reading.gradients, tolerance))
                finding = _with_rule(_plain_finding("unknown.scaled", evidence), problem, reading)
                finding = replace(finding, confidence="partial")
                return self._report(index, reading, (*by_call, finding), tolerance)
        return None

    def _one_more(
        self, read: list[Reading], tolerance: float, by_call: list[Finding]
    ) -> Report | None:
        """Look for three mistakes of which the layers next to the output show one or two."""
        problem, reading = self.problems[0], read[0]
        layers = _wrong_layers(problem, reading, tolerance)
        if not layers:
            return None
        found = self.catalogues[0].one_more(reading.gradients, layers[0] - 1, tolerance)
        matches = _best(found)
        return self._matched(0, reading, matches[:1], by_call, tolerance) if matches else None

    def _unknown(self, reading: Reading, by_call: list[Finding], tolerance: float) -> Report:
        """Show the first wrong delta, the entry that is furthest off, and how it comes about."""
        problem = self.problems[0]
        wrong = _wrong_layers(problem, reading, tolerance)
        layer = wrong[0] - 1
        unit, column = _worst(problem, reading, layer)
        known = self._by_probes(reading, tolerance)
        entry = symbol("D", layer + 1, unit + 1, column)
        yours = number(float(reading.gradients[layer][unit, column]))
        right = number(float(problem.truth.D[layer][unit, column]))
        row = BY_CODE[known.code]
        at_output = row.code == "unknown.deltas" and layer == problem.last
        rule = rule_for("B8" if at_output else row.rule, problem)
        chain = Worked(problem).chain(layer, unit, column)
        shown = len(chain) if row.code == "unknown.deltas" else 1
        partly = known.partly
        matches = _best(self.catalogues[0].from_output(reading.gradients, layer, tolerance))
        if matches and not partly and row.code == "unknown.deltas":
            so_far = f"It explains the layers from {symbol('Θ', layer + 1)} to the output."
            partly = [
                replace(one, evidence=so_far, confidence="partial")
                for one in self._findings(0, reading, matches[0], (), tolerance)
            ]
        finding = Finding(
            row.code,
            # A delta is first wrong somewhere; a wrong sum or penalty is where it shows.
            layer + 1 if row.code == "unknown.deltas" or len(wrong) == 1 else None,
            "There is another mistake as well, one that is not in the list."
            if partly
            else row.says,
            row.fix,
            rule,
            rule_text(rule),
            "\n".join([f"yours: {entry} = {yours}; right: {right}", *chain[:shown]]),
            "\n".join(known.evidence),
            "partial",
        )
        report = self._report(0, reading, (*by_call, *partly, finding), tolerance)
        if row.code != "unknown.deltas":
            return report
        # The bias unit is 1 and its weight has no penalty, so column 0 adds up the deltas.
        deltas = [(number + 1, row) for number, row, column in report.wrong_entries if not column]
        return replace(report, wrong_deltas=tuple(deltas))

    def _by_probes(self, reading: Reading, tolerance: float) -> _Known:
        """Call the function on single examples and without a penalty, to see what that excludes."""
        problem = self.problems[0]
        alone = [single(problem, t) for t in range(min(problem.m, EXAMPLES_ALONE))]
        together = replace(problem, lam=0.0, name=f"{problem.name}, lambda = 0")
        read = self._read_again([*alone, together], reading)
        columns = _which_columns(problem, reading, tolerance)
        if read is None:
            code = "unknown.products" if columns.startswith("Column 0 is") else "unknown.deltas"
            return _Known(code, [columns] if columns else [])
        *each, all_of_them = read
        wrong = [
            t
            for t, (one, its) in enumerate(zip(alone, each, strict=True))
            if _wrong_layers(one, its, tolerance)
        ]
        if not wrong:
            if not _wrong_layers(together, all_of_them, tolerance):
                return _Known("penalty.other", ["With lambda = 0 your gradient is right."])
            which = f"each of the {'first ' * (len(alone) < problem.m)}{len(alone)} examples"
            says = f"With lambda = 0 {which} alone is right; all {problem.m} together are not."
            return _Known("mean.other", [says, columns] if columns else [says])
        t = wrong[0]
        evidence, deltas_right = _deltas_alone(t, alone[t], each[t], tolerance)
        code = "unknown.products" if deltas_right else "unknown.deltas"
        return _Known(code, evidence, self._named_alone(alone, each, tolerance))

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

    def _named_alone(
        self, alone: list[Problem], each: list[Reading], tolerance: float
    ) -> list[Finding]:
        """Return the findings that explain every one of the single examples, if there are any."""
        replays, gradients = catalogue(alone[0]), each[0].gradients
        matches = replays.single(gradients, tolerance) or replays.pair(gradients, tolerance)
        kept = [
            match
            for match in _best(matches)
            if all(
                Catalogue(problem).explains(match, reading.gradients, tolerance)
                for problem, reading in zip(alone[1:], each[1:], strict=True)
            )
        ]
        if not kept:
            return []
        told = _Diagnosis([alone[0]], self.name)
        return [
            replace(
                finding,
                evidence=f"With one example and lambda = 0. {finding.evidence}",
                confidence="partial",
            )
            for finding in told._findings(0, each[0], kept[0], (), tolerance)
        ]

    # The report.

    def _report(
        self,
        index: int,
        reading: Reading,
        findings: tuple[Finding, ...],
        tolerance: float,
        *,
        wrong: Sequence[int] | None = None,
        fits: Sequence[int] = (),
    ) -> Report:
        problem, replays = self.problems[index], self.catalogues[index]
        by_shape = [
            _with_rule(
                replace(_plain_finding(code, "The shape alone shows it."), layer=layer + 1),
                problem,
                reading,
            )
            for code, layer in reading.mistakes
        ]
        merged = {finding.code: finding for finding in reversed((*by_shape, *findings))}
        layers = list(_wrong_layers(problem, reading, tolerance) if wrong is None else wrong)
        layers = sorted({*layers, *(layer + 1 for _, layer in reading.mistakes)}, reverse=True)
        conventions = list(self._found_out(index, fits))
        if reading.convention:
            conventions.append(Convention(reading.convention, reading.says))
        if not findings and not by_shape and replays.error(reading.gradients) > TOLERANCE:
            digits = short(replays.error(reading.gradients))
            conventions.append(
                Convention(
                    "precision",
                    f"it agrees to {digits} only, as in float32 or with finite differences",
                )
            )
        return Report(
            problem,
            tuple(merged.values())[::-1],
            tuple(conventions),
            compare(reading.gradients, list(problem.truth.D)),
            tuple(layers),
            tuple(_wrong_entries(problem, reading, tolerance)),
            unseen=tuple(replays.unseen),
            name=self.name,
        )

    def _found_out(self, index: int, fits: Sequence[int]) -> Iterable[Convention]:
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


def _times_outputs(reading: Reading, problem: Problem) -> Reading:
    """Read what may be the gradient of a mean over the outputs as that of the sum."""
    base = catalogue(problem).base
    gradients = []
    for layer, D in enumerate(reading.gradients):
        decay = base.decay(layer)
        gradients.append((D - decay) * problem.K + decay)
    says = "the cost is a mean over the outputs as well as over the examples, as np.mean makes it"
    return replace(also(reading, "mean-over-outputs", says), gradients=gradients)


def _other_square(problem: Problem) -> Problem | None:
    pair = {"squared_error": "half_squared_error", "half_squared_error": "squared_error"}
    other = pair.get(problem.loss)
    return None if other is None else replace(problem, loss=other)


@dataclass(frozen=True)
class _Known:
    """What is known of a gradient that nothing explains."""

    code: str
    evidence: list[str]
    partly: list[Finding] = field(default_factory=list)
    """What explains single examples."""


def _which_columns(problem: Problem, reading: Reading, tolerance: float) -> str:
    """Say if the biases alone are wrong, or the weights alone: what the one column shows."""
    columns = {column > 0 for _, _, column in _wrong_entries(problem, reading, tolerance)}
    if columns == {False}:
        return "Only the gradient of the biases, column 0, is wrong."
    if columns == {True}:
        return (
            "Column 0 is right in every layer. It adds up the deltas and has no penalty: so it is "
            "the activations that the deltas are multiplied by, or the penalty."
        )
    return ""


def _deltas_alone(
    t: int, problem: Problem, reading: Reading, tolerance: float
) -> tuple[list[str], bool]:
    """Say which deltas are right, and whether all are: one example's gradient is delta a^T.

    As a_0 is 1, column 0 is a delta, and the other columns are the same delta times the
    activations: where they contradict each other, the gradient of the biases or the product is
    wrong.
    """
    lines: list[str] = []
    alone = f"With example {t + 1} alone and lambda = 0"
    for layer in reversed(range(problem.last + 1)):
        D, true = reading.gradients[layer], problem.truth.D[layer]
        a = problem.truth.a[layer][0]
        close = np.abs(D - true) <= tolerance * (problem.scales[layer] or 1.0)
        biases, weights = close[:, 0].all(), close[:, 1:].all()
        delta = symbol("δ", layer + 2)
        if biases and weights:
            lines.append(f"{alone} your {delta} is right.")
            continue
        if weights and np.abs(a).max() > 0:
            unit = int(np.argmax(np.abs(D - true)[:, 0]))
            lines.append(
                f"{alone} your {delta} is right, for the gradient of the "
                f"weights is; that of the biases is not: {symbol('D', layer + 1, unit + 1, 0)} is "
                f"{number(float(D[unit, 0]))}; right is {number(float(true[unit, 0]))}."
            )
            continue
        if biases:
            unit, column = divmod(int(np.argmax(np.abs(D - true))), D.shape[1])
            entry = symbol("D", layer + 1, unit + 1, column)
            lines.append(
                f"{alone} your {delta} is right, for the gradient of the "
                f"biases is; its product with the activations is not: {entry} is "
                f"{number(float(D[unit, column]))}; right is {number(float(true[unit, column]))}."
            )
            continue
        unit = int(np.argmax(np.abs(D - true)[:, 0]))
        size = np.abs(D).max()
        if np.abs(D[:, 1:] - np.outer(D[:, 0], a)).max() <= tolerance * size:
            lines.append(
                f"{alone} your {symbol('δ', layer + 2, unit + 1)} is "
                f"{number(float(D[unit, 0]))}; right is {number(float(true[unit, 0]))}."
            )
        else:
            lines.append(
                f"{alone} your gradient by "
                f"{symbol('Θ', layer + 1)} is no delta times the activations: column 0 has "
                f"{number(float(D[unit, 0]))} where {symbol('δ', layer + 2, unit + 1)} = "
                f"{number(float(true[unit, 0]))} belongs, and the other columns do not go with it."
            )
        return lines, False
    return lines, True


def _plain_finding(code: str, evidence: str) -> Finding:
    row = BY_CODE[code]
    return Finding(code, None, row.says, row.fix, evidence=evidence)


def _with_rule(finding: Finding, problem: Problem, reading: Reading) -> Finding:
    """Add the formula that is broken, with this network's numbers."""
    layers = () if finding.layer is None else (finding.layer - 1,)
    layer, unit, column = _entry_for(problem, reading, finding.code, layers)
    rule = rule_for(BY_CODE[finding.code].rule, problem)
    here = Worked(problem).here(rule, layer, unit, column)
    return replace(finding, rule=rule, formula=rule_text(rule), here=here)


def _best(matches: list[Match]) -> list[Match]:
    """Leave out what fits far worse than the best: in float32 near misses fit too."""
    if not matches:
        return []
    closest = min(match.error for match in matches)
    return [match for match in matches if match.error <= max(1e-10, 30 * closest)]


def _upstream(code: str) -> int:
    """Sort findings as the gradient flows: what happens at the output comes first."""
    order = (
        "examples", "forward", "output", "sign", "factor", "hidden", "sum", "bias", "mean",
        "penalty", "layout", "update",
    )  # fmt: skip
    return order.index(code.partition(".")[0])


def _off(problem: Problem, reading: Reading, layer: int) -> Array:
    scale = problem.scales[layer] or 1.0
    off: Array = np.abs(reading.gradients[layer] - problem.truth.D[layer]) / scale
    return off


def _worst(problem: Problem, reading: Reading, layer: int) -> tuple[int, int]:
    off = _off(problem, reading, layer)
    unit, column = np.unravel_index(int(np.argmax(off)), off.shape)
    return int(unit), int(column)


def _wrong_layers(problem: Problem, reading: Reading, tolerance: float) -> list[int]:
    return [
        layer + 1
        for layer in reversed(range(len(problem.thetas)))
        if not (_off(problem, reading, layer) <= tolerance).all()
    ]


def _wrong_entries(
    problem: Problem, reading: Reading, tolerance: float
) -> Iterable[tuple[int, int, int]]:
    for layer in range(len(problem.thetas)):
        for unit, column in np.argwhere(~(_off(problem, reading, layer) <= tolerance)).tolist():
            yield layer + 1, unit, column


def _entry_for(
    problem: Problem, reading: Reading, code: str, made_in: tuple[int, ...]
) -> tuple[int, int, int]:
    """Return the entry at which to show a finding: where its formula acts, and furthest off."""
    layers: Sequence[int] = made_in or range(problem.last + 1)
    if not made_in and code.startswith("hidden.") and problem.last:
        layers = range(problem.last)
    wrong = [one for one in layers if _off(problem, reading, one).max() > TOLERANCE]
    chosen = max(wrong or layers)
    unit, column = _worst(problem, reading, chosen)
    if code.startswith("bias.") or code in ("penalty.on-bias", "penalty.ones-in-bias"):
        unit, column = int(np.argmax(_off(problem, reading, chosen)[:, 0])), 0
    return chosen, unit, column
