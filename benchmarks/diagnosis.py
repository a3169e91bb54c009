"""How well ``diagnose`` names mistakes: the confusion matrix, the pairs, and the false alarms.

The mistakes are planted in a separate implementation (tests/oracles/planted.py); the right programs
come from another (tests/oracles/correct.py). Run it as ``python benchmarks/diagnosis.py`` from any
directory; it takes a few minutes.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from chainrule.checking.diagnosis.diagnose import diagnose_calls
from chainrule.checking.diagnosis.running.calls import Outcome
from chainrule.checking.diagnosis.running.results import tidy
from chainrule.checking.problem import probe
from tests.oracles import correct, planted

SETTINGS = [
    (loss, activation)
    for loss in ("logistic", "cross_entropy", "half_squared_error", "squared_error")
    for activation in ("sigmoid", "tanh", "relu")
]


def code(bug):
    return bug.partition(":")[0]


def report_on(problem, gradients):
    return diagnose_calls(lambda problems: [Outcome(gradients) for _ in problems], [problem])


def singles(settings):
    """Plant every mistake alone, and print those that were taken for something else."""
    matrix = Counter()
    for loss, activation in settings:
        p = probe(loss, activation)
        for bug in planted.EVERY:
            if planted.possible(bug, loss, activation):
                wrong = planted.backprop(bug, loss=loss, activation=activation)
                report = report_on(p, wrong(p.thetas, p.X, p.Y, p.lam))
                named = report.codes or tuple(f"convention: {c.name}" for c in report.conventions)
                others = [other.codes for one in report.findings for other in one.alternatives]
                if (code(bug),) in others:  # one program, two names
                    named = ("the alternative of", *named)
                matrix[code(bug), named] += 1
    right = sum(count for (bug, named), count in matrix.items() if named == (bug,))
    print(f"single mistakes: {right} of {matrix.total()} named alone and first")
    for (bug, named), count in sorted(matrix.items()):
        print(f"  {count:4}  {bug:36}{'' if named == (bug,) else ' and '.join(named)}")


def same(one, two):
    return all(np.allclose(a, b, rtol=1e-10, atol=1e-13) for a, b in zip(one, two, strict=True))


def pairs(loss, activation, verbose, each=1):
    """Plant every pair of mistakes, or one in *each*."""
    p = probe(loss, activation)
    bugs = [bug for bug in planted.EVERY if planted.possible(bug, loss, activation)]

    def made(*planted_bugs):
        function = planted.backprop(*planted_bugs, loss=loss, activation=activation)
        return function(p.thetas, p.X, p.Y, p.lam)

    alone = {bug: made(bug) for bug in bugs}
    outcomes = Counter()
    every = [pair for pair in combinations(bugs, 2) if code(pair[0]) != code(pair[1])]
    for one, two in every[::each]:
        gradients = made(one, two)
        if not all(np.isfinite(D).all() for D in gradients):
            continue
        if any(same(gradients, other) for other in (alone[one], alone[two], p.truth.D)):
            outcomes["(one hides the other, or they cancel)"] += 1
            continue
        report = report_on(p, gradients)
        wrong = [
            number
            for number, (D, true) in enumerate(zip(gradients, p.truth.D, strict=True), start=1)
            if not np.allclose(D, true, rtol=1e-9, atol=1e-12)
        ]
        both = {code(one), code(two)}
        others = [set(a.codes) for finding in report.findings for a in finding.alternatives]
        if set(report.codes) == both:
            outcome = "both named"
        elif both in others:
            outcome = "both named as the alternative"
        elif both & set(report.codes):
            outcome = "one named, first wrong layer right"
        else:
            outcome = "other mistakes named, first wrong layer right"
        if report.ok:
            outcome = "together the gradient of the other squared error: a convention"
        elif report.codes[0].startswith("unknown"):
            outcome = "none named, first wrong layer right"
        if report.first_wrong_layer != wrong[-1] and not report.ok:
            outcome = "FIRST WRONG LAYER WRONG"
        outcomes[outcome] += 1
        if verbose and outcome != "both named":
            print(f"    {one} + {two}: {', '.join(report.codes)}")
    tried = sum(count for outcome, count in outcomes.items() if not outcome.startswith("("))
    print(f"pairs, {loss}, {activation}: {tried}")
    for outcome, count in outcomes.most_common():
        print(f"  {count:5}  {outcome}")


def false_alarms(count, seed):
    """Diagnose right implementations; print each on which anything was found."""
    rng, alarms = np.random.default_rng(seed), 0
    for _ in range(count):
        problem = correct.random_problem(rng)
        function, style = correct.implementation(rng, problem)
        report = diagnose_calls(
            lambda problems, f=function: [
                Outcome(tidy(f(p.thetas, p.X, p.Y, p.lam))) for p in problems
            ],
            [problem],
        )
        if not report.ok:
            alarms += 1
            print(f"  {problem.describe()} {style}: {report.codes}")
    print(f"false alarms: {alarms} on {count} right implementations")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the logistic loss with sigmoid alone")
    parser.add_argument("--right", type=int, default=1000, help="how many right implementations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=1, help="plant one pair in so many")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    settings = SETTINGS[:1] if arguments.quick else SETTINGS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a planted mistake may overflow
        false_alarms(arguments.right, arguments.seed)
        singles(settings)
        for loss, activation in settings[:: 1 if arguments.quick else 4]:
            pairs(loss, activation, arguments.verbose, arguments.each)


if __name__ == "__main__":
    main()
