"""``diagnose``: planted mistakes are named, right programs are left alone, reports tell no more
than they may.

The mistakes are planted in ``planted.py``, an implementation that shares nothing with the replays
of the checker; the right programs in ``correct.py`` are a third one.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import warnings
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from chainrule import backprop
from chainrule.checking import Report, diagnose, diagnose_step, probe
from chainrule.checking.diagnosis.algorithm import Run
from chainrule.checking.diagnosis.catalogue import Catalogue
from chainrule.checking.diagnosis.diagnose import assert_gradients_close, diagnose_calls
from chainrule.checking.diagnosis.matches import Made, Match, closest
from chainrule.checking.diagnosis.mistakes import BY_CODE, CATEGORIES, MISTAKES
from chainrule.checking.diagnosis.reporting.words import HINTS
from chainrule.checking.diagnosis.running.calls import Outcome, caller
from chainrule.checking.diagnosis.running.results import tidy
from chainrule.checking.diagnosis.worked import Worked, rule_text, symbol
from chainrule.checking.problem import build, mazur, ng, single, square

from ..oracles import correct, planted

PROBE = probe()


def made(*bugs, problem=PROBE, **options):
    """The gradient that a program with these mistakes returns."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        function = planted.backprop(*bugs, loss=problem.loss, **options)
        return function(problem.thetas, problem.X, problem.Y, problem.lam)


def report_on(gradients, problem=PROBE):
    return diagnose_calls(lambda problems: [Outcome(tidy(gradients))] * len(problems), [problem])


def code(bug):
    return bug.partition(":")[0]


# ---------------------------------------------------------------- the table


def test_codes_are_stable_names_of_known_categories_and_rules():
    for row in MISTAKES:
        assert re.fullmatch(r"[a-z]+\.[a-z0-9-]+", row.code), row.code
        assert row.category in CATEGORIES
        assert rule_text(row.rule)
        assert row.says.endswith(".")
        assert row.fix.endswith(".")


def test_every_mistake_that_a_gradient_shows_is_planted_in_a_test():
    tested = {code(bug) for bug in planted.EVERY} | {"mean.not-wanted", "sum.missing"}
    assert {code(bug) for bug in planted.EVERY} <= set(BY_CODE)
    # On networks that repeat a width, and by their type: see test_courses.py.
    tested |= {"hidden.slope-of-other-layer", "hidden.delta-never-updated", "number.integers"}
    tested |= {"hidden.theta-of-neighbour"}
    costs = {row.code for row in MISTAKES if row.category == "cost"}
    assert {row.code for row in MISTAKES if row.ways} - costs == tested


@pytest.mark.parametrize("loss", backprop.LOSSES)
def test_a_replay_without_mistakes_is_the_closed_form(loss):
    problem = probe(loss, "tanh")
    for D, true in zip(Run(problem).gradients(), problem.truth.D, strict=True):
        assert pytest.approx(true, rel=1e-14, abs=1e-16) == D


# ---------------------------------------------------------------- planted mistakes

SETTINGS = [
    ("logistic", "sigmoid"),
    ("cross_entropy", "tanh"),
    ("half_squared_error", "sigmoid"),
    ("squared_error", "relu"),
]
if os.environ.get("CHAINRULE_MISTAKES") == "all":
    SETTINGS = list(itertools.product(backprop.LOSSES, ("sigmoid", "tanh", "relu")))
PLANTED = [
    (bug, loss, activation)
    for loss, activation in SETTINGS
    for bug in planted.EVERY
    if planted.possible(bug, loss, activation)
]


@pytest.mark.numpy_alone
@pytest.mark.parametrize(("bug", "loss", "activation"), PLANTED)
def test_a_planted_mistake_is_named_alone_and_first(bug, loss, activation):
    problem = probe(loss, activation)
    gradients = made(bug, problem=problem, activation=activation)
    report = report_on(gradients, problem)
    finding = report.findings[0]
    if bug == "hidden.relu-mask-always-true":  # and no other slope: one program
        assert report.codes == ("hidden.slope-missing",)
        assert [other.codes for other in finding.alternatives] == [(bug,)]
    else:
        assert report.codes == (code(bug),)
    assert finding.formula == rule_text(finding.rule, problem)
    assert finding.here
    wrong = [
        number
        for number, (D, true) in enumerate(zip(gradients, problem.truth.D, strict=True), start=1)
        if not np.allclose(D, true, rtol=1e-9, atol=1e-13)
    ]
    assert report.wrong_layers == tuple(reversed(wrong))
    assert report.first_wrong_layer == wrong[-1]


@pytest.mark.numpy_alone
def test_on_the_probe_only_mistakes_that_are_one_program_are_alternatives():
    found = {}
    for bug in planted.EVERY:
        if planted.possible(bug, "logistic", "sigmoid"):
            others = report_on(made(bug)).findings[0].alternatives
            if others:
                found[bug] = [other.codes for other in others]
    # And a plain factor, which two mistakes have together.
    four = [("mean.missing-everywhere", "factor.half")]
    assert found == {"update.rate-inside:four": four}


ONE_PROGRAM = {"hidden.slope-missing", "hidden.relu-mask-always-true"}
"""Without a slope a ReLU lets everything through, as it does if its mask is true everywhere."""


@pytest.mark.numpy_alone
@pytest.mark.parametrize("loss", backprop.LOSSES)
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_no_two_mistakes_make_the_same_gradient_of_the_probe(loss, activation):
    explanations, replays = Catalogue(probe(loss, activation)).singles
    for (one, first), (two, second) in itertools.combinations(
        zip(explanations, replays, strict=True), 2
    ):
        codes = {one[0].mistake.code, two[0].mistake.code}
        if len(codes) > 1 and codes != ONE_PROGRAM:
            off = np.abs(first - second).max() / max(1, np.abs(first).max(), np.abs(second).max())
            assert off > 1e-4, (one[0].mistake.code, two[0].mistake.code)


def test_no_factor_of_a_wrong_count_is_another_factor_of_the_probe():
    m, n, K = PROBE.m, PROBE.sizes[0], PROBE.K
    factors = {
        "1/m missing": m, "1/m twice": 1 / m, "m - 1": m / (m - 1), "m + 1": m / (m + 1),
        "features": m / n, "outputs": m / K, "over outputs": 1 / K, "entries of X": 1 / n,
        "two": 2, "half": 1 / 2, "times K": K, "times n": n, "lambda": PROBE.lam,
        "1/lambda": 1 / PROBE.lam, "lambda/2": PROBE.lam / 2, "four": 4, "quarter": 1 / 4,
    }  # fmt: skip
    for (one, first), (two, second) in itertools.combinations(factors.items(), 2):
        assert abs(first / second - 1) > 0.01, (one, two)
    # Nor is one the product of two others that are made in different ways, which is how division
    # by 3 features was once taken for m - 1 and a factor 2. What is a product by its nature, m/K
    # of a mean that is missing and one over the outputs, is left out.
    alone = ("1/m missing", "m - 1", "over outputs", "entries of X", "two")
    basic = {name: factors[name] for name in alone}
    for name in ("m - 1", "features", "outputs", "over outputs", "entries of X", "two", "half"):
        for (one, first), (two, second) in itertools.permutations(basic.items(), 2):
            by_nature = {name, one, two} in (
                {"features", "1/m missing", "entries of X"},
                {"outputs", "1/m missing", "over outputs"},
            )
            if name not in (one, two) and not by_nature:
                for product in (first * second, first / second, 1 / first / second):
                    assert abs(product / factors[name] - 1) > 0.01, (name, one, two)


def test_a_wrong_count_is_named_at_every_lambda():
    for lam in (0.0, 0.5, 1.3):
        problem = probe(lam=lam)
        for count, named in (
            (problem.sizes[0], "mean.number-of-features"),
            (problem.K, "mean.number-of-outputs"),
            (problem.Y.size, "mean.over-outputs"),
            (problem.X.size, "mean.entries-of-x"),
        ):
            D = [D * problem.m / count for D in problem.truth.D]
            assert report_on(D, problem).codes == (named,), (lam, count)


def test_mistakes_that_only_a_sum_can_have():
    problem = probe(reduction="sum")
    mean = [D / problem.m for D in problem.truth.D]
    assert report_on(mean, problem).codes == ("mean.not-wanted",)
    penalty_alone = [theta * 1.3 / PROBE.m for theta in PROBE.thetas]
    for D in penalty_alone:
        D[:, 0] = 0
    assert report_on(penalty_alone).codes == ("sum.missing",)


def test_a_mistake_in_one_layer_is_named_with_its_layer():
    right, wrong = PROBE.truth.D, made("penalty.on-bias")
    report = report_on([right[0], wrong[1], right[2]])
    assert report.codes == ("penalty.on-bias",)
    assert report.findings[0].layer == 2
    assert report.wrong_layers == (2,)


@pytest.mark.parametrize("layers", [(1, 2), (1, 3), (2, 3)])
@pytest.mark.parametrize("bug", ["bias.zero", "penalty.missing", "mean.missing-in-weights"])
def test_a_mistake_in_some_layers_is_named_with_them(bug, layers):
    wrong = made(bug)
    mixed = [wrong[i] if i + 1 in layers else D for i, D in enumerate(PROBE.truth.D)]
    report = report_on(mixed)
    assert report.codes == (bug,)
    assert report.findings[0].layers == layers
    assert report.findings[0].layer is None
    assert report.json().count('"layers"') == 2
    where = " and ".join(symbol("Θ", layer) for layer in layers)
    assert f"the layers of {where}" in report.text()


@pytest.mark.parametrize("bug", ["hidden.slope-missing", "hidden.slope-of-wrong-activation:a"])
def test_a_wrong_slope_in_one_hidden_layer_is_named_with_it(bug):
    problem = probe("logistic", "tanh")
    both, delta = made(bug, problem=problem, activation="tanh"), problem.truth.delta
    # Layer 2 alone: behind the right delta of layer 3.
    a = problem.truth.a[1]
    slope = 1.0 if bug == "hidden.slope-missing" else a * (1 - a)
    wrong = delta[1] @ problem.thetas[1][:, 1:] * slope
    data = wrong.T @ np.c_[np.ones(problem.m), problem.X] / problem.m
    decay = problem.lam / problem.m * np.c_[np.zeros(6), problem.thetas[0][:, 1:]]
    report = report_on([data + decay, *problem.truth.D[1:]], problem)
    assert (report.codes, report.findings[0].layer) == ((code(bug),), 1)
    assert report_on(both, problem).findings[0].layer is None


@pytest.mark.numpy_alone
@pytest.mark.parametrize("rate", [1e-3, 0.1, 2.5])
def test_a_step_of_gradient_descent_is_named_with_its_rate(rate):
    stepped = [theta - rate * D for theta, D in zip(PROBE.thetas, PROBE.truth.D, strict=True)]
    report = report_on(stepped)
    assert report.codes == ("update.weights-returned",)
    assert f"The learning rate of the update was {rate:g}." in report.findings[0].evidence
    negative = report_on([-rate * 1.01 * D for D in PROBE.truth.D])
    assert negative.codes == ("update.rate-inside",)
    assert f"The factor is {-rate * 1.01:g}." in negative.findings[0].evidence


def test_weights_that_come_back_as_they_were_are_no_gradient():
    report = report_on(list(PROBE.thetas))
    assert report.codes == ("update.weights-returned",)
    assert ".grad" in report.findings[0].fix


def test_a_mistake_is_named_behind_a_step_of_gradient_descent():
    wrong = made("penalty.on-bias")
    stepped = [theta - 0.1 * D for theta, D in zip(PROBE.thetas, wrong, strict=True)]
    assert set(report_on(stepped).codes) == {"update.weights-returned", "penalty.on-bias"}


@pytest.mark.numpy_alone
def test_with_one_output_and_one_example_a_factor_is_no_learning_rate():
    # There any mistake in the only delta is a factor of everything.
    problem = build((3, 2, 1), 1, 0.0)
    assert "update.rate-inside" not in report_on([0.7 * D for D in problem.truth.D], problem).codes


def test_a_gradient_of_zeros_is_one_finding():
    report = report_on([0 * D for D in PROBE.truth.D])
    assert report.codes == ("sum.all-zero",)


def test_a_gradient_transposed_in_one_layer_is_seen_by_its_shape():
    right = PROBE.truth.D
    report = report_on([right[0], right[1].T, right[2]])
    assert report.codes == ("layout.gradient-transposed",)
    assert report.findings[0].layer == report.first_wrong_layer == 2
    square_one = report_on([right[0].T, right[1], right[2]])
    assert square_one.codes == ("layout.gradient-transposed",)


def test_biases_with_a_row_for_each_example_are_not_summed():
    pairs = [
        (D[:, 1:], delta / PROBE.m)
        for D, delta in zip(PROBE.truth.D, PROBE.truth.delta, strict=True)
    ]
    assert report_on(pairs).codes == ("bias.not-summed",)


def test_the_learning_rate_of_weights_updated_too_soon_is_solved_for():
    for rate in (0.001, 0.5, 20.0):
        report = report_on(made("hidden.updated-weights", rate=rate))
        assert report.codes == ("hidden.updated-weights",)
        assert f"The learning rate of the update was {rate:.6g}." in report.findings[0].evidence


@pytest.mark.numpy_alone
def test_pairs_are_both_named_or_the_first_wrong_layer_is():
    bugs = [bug for bug in planted.EVERY if planted.possible(bug, "logistic", "sigmoid")]
    pairs = [pair for pair in itertools.combinations(bugs, 2) if code(pair[0]) != code(pair[1])]
    alone = {bug: made(bug) for bug in bugs}
    tried = both = 0
    for pair in pairs[::47]:
        gradients = made(*pair)
        if any(_same(gradients, other) for other in (*(alone[b] for b in pair), PROBE.truth.D)):
            continue  # one hides the other
        report = report_on(gradients)
        wrong = [i for i, (D, true) in enumerate(zip(gradients, PROBE.truth.D, strict=True), 1)
                 if not np.allclose(D, true, rtol=1e-9, atol=1e-13)]  # fmt: skip
        assert report.first_wrong_layer == wrong[-1], pair
        tried += 1
        both += set(report.codes) == {code(bug) for bug in pair}
    assert tried > 70
    assert both >= 0.9 * tried


def _same(one, two):
    return all(np.allclose(a, b, rtol=1e-10, atol=1e-13) for a, b in zip(one, two, strict=True))


@pytest.mark.numpy_alone
def test_three_wrong_factors_are_named_by_least_squares():
    report = report_on(made("sign.error", "penalty.on-bias", "penalty.not-divided"))
    assert set(report.codes) == {"sign.error", "penalty.on-bias", "penalty.not-divided"}


@pytest.mark.numpy_alone
@pytest.mark.parametrize(
    "bugs",
    [
        ("hidden.slope-missing", "penalty.on-bias", "examples.first-skipped"),
        ("output.slope-doubled", "hidden.theta-not-transposed", "mean.missing"),
    ],
)
def test_three_mistakes_are_named_if_the_output_layer_shows_two(bugs):
    assert set(report_on(made(*bugs)).codes) == set(bugs)


@pytest.mark.numpy_alone
def test_a_factor_of_no_known_mistake_is_shown_as_a_number():
    gradients = [
        3.7 * D + 0.2 * theta for D, theta in zip(PROBE.truth.D, PROBE.thetas, strict=True)
    ]
    report = report_on(gradients)
    assert report.codes == ("unknown.scaled",)
    assert "3.7 N" in report.findings[0].evidence


def test_gradients_in_float32_are_diagnosed_too():
    for bug in ("mean.missing", "hidden.slope-missing", "penalty.on-bias"):
        gradients = [D.astype(np.float32) for D in made(bug)]
        assert report_on(gradients).codes == (bug,)
        assert report_on([D.astype(np.float64) for D in gradients]).codes == (bug,)


# ---------------------------------------------------------------- right programs


@pytest.mark.numpy_alone
def test_nothing_is_found_on_right_programs_of_every_kind():
    rng = np.random.default_rng(2024)
    for _ in range(120):
        problem = correct.random_problem(rng)
        function, style = correct.implementation(rng, problem)
        outcome = Outcome(tidy(function(problem.thetas, problem.X, problem.Y, problem.lam)))
        report = diagnose_calls(lambda problems, o=outcome: [o] * len(problems), [problem])
        assert report.ok, (problem.describe(), style, report.codes)


COST = backprop.cost(PROBE.thetas, PROBE.X, PROBE.Y, PROBE.lam)


@pytest.mark.parametrize("layout", correct.LAYOUTS)
def test_a_layout_is_a_convention_and_no_mistake(layout):
    report = report_on(correct.laid_out(layout, list(PROBE.truth.D), COST))
    assert report.ok
    assert len(report.conventions) == (layout not in ("thetas", "tuple"))


def test_what_a_dictionary_has_beside_gradients_is_left_alone():
    given = {}
    for i in (3, 2, 1):  # in the order of a backward pass, as course exercises fill it
        D = PROBE.truth.D[i - 1]
        given |= {
            f"dA{i - 1}": PROBE.X,
            f"dZ{i}": PROBE.Y.T,
            f"dW{i}": D[:, 1:],
            f"db{i}": D[:, :1],
        }
    given["dA2"] = None
    assert report_on(given).ok
    given["dW3"] = -given["dW3"]
    given["db3"] = -given["db3"]
    assert report_on(given).first_wrong_layer == 3


@pytest.mark.parametrize("layout", correct.LAYOUTS)
def test_mistakes_are_named_in_every_layout(layout):
    report = report_on(correct.laid_out(layout, made("hidden.slope-missing"), COST))
    assert report.codes == ("hidden.slope-missing",)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_other_squared_error_is_a_mistake_where_the_loss_is_stated(reduction):
    stated = probe("squared_error", reduction=reduction)
    other = probe("half_squared_error", reduction=reduction)
    for one, two, factor in ((other, stated, "factor.half"), (stated, other, "factor.two")):
        report = report_on(one.truth.D, two)
        assert report.codes == (factor,)
        assert f"It is the gradient of the {one.loss} loss" in report.findings[0].evidence


@pytest.mark.parametrize("loss", ["squared_error", "half_squared_error"])
def test_either_squared_error_is_a_convention_where_no_loss_is_stated(loss):
    given = probe(loss)
    report = diagnose(given.truth.D, given.thetas, given.X, given.Y, given.lam)
    assert report.ok
    assert report.problem.loss == loss


def mean_over_outputs(problem):
    """The gradient of np.mean of the losses, the penalty as it was."""
    return [
        Delta / problem.Y.size + problem.lam / problem.m * np.c_[np.zeros(len(theta)), theta[:, 1:]]
        for Delta, theta in zip(problem.truth.Delta, problem.thetas, strict=True)
    ]


def test_a_mean_over_the_outputs_is_a_mistake_only_where_the_loss_is_stated():
    gradients = mean_over_outputs(PROBE)
    assert report_on(gradients).codes == ("mean.over-outputs",)
    report = diagnose(gradients, PROBE.thetas, PROBE.X, PROBE.Y, PROBE.lam)
    assert report.ok
    assert "a mean over the outputs as well" in " ".join(c.says for c in report.conventions)
    everything = [D / PROBE.K for D in PROBE.truth.D]  # the penalty too: nobody's cost
    assert not diagnose(everything, PROBE.thetas, PROBE.X, PROBE.Y, PROBE.lam).ok


def test_what_is_not_stated_is_found_out_and_said():
    given = {"thetas": PROBE.thetas, "X": PROBE.X, "Y": PROBE.Y, "lam": 1.3}
    for loss in ("logistic", "half_squared_error"):
        problem = replace(PROBE, loss=loss)
        report = diagnose(problem.truth.D, **given)
        assert report.ok
        assert report.problem.loss == loss
        assert [c.says for c in report.conventions] == [
            f"the loss was not stated; only {loss} fits"
        ]
    tanh = replace(PROBE, activations=("tanh", "tanh"), reduction="sum")
    found = diagnose(tanh.truth.D, **given, loss="logistic", activation=None, reduction=None)
    assert found.ok
    assert [c.says for c in found.conventions] == [
        "the activation was not stated; only tanh fits",
        "the reduction was not stated; only sum fits",
    ]


def test_finite_differences_are_right_and_their_accuracy_is_mentioned():
    def by_differences(thetas, X, Y, lam, step=1e-2):
        slopes = []
        for i, theta in enumerate(thetas):
            slope = np.zeros_like(theta)
            for entry in np.ndindex(theta.shape):
                ends = []
                for sign in (1, -1):
                    moved = [t.copy() for t in thetas]
                    moved[i][entry] += sign * step
                    ends.append(backprop.cost(moved, X, Y, lam))
                slope[entry] = (ends[0] - ends[1]) / (2 * step)
            slopes.append(slope)
        return slopes

    report = diagnose(by_differences, loss="logistic")
    assert report.ok
    assert [c.name for c in report.conventions] == ["differences"]
    assert "central differences of the cost, with a step of 0.01" in report.conventions[0].says


# ---------------------------------------------------------------- what cannot be told apart


def test_without_a_penalty_both_explanations_come_with_the_probe_that_separates_them():
    problem = probe(lam=0.0)
    report = report_on([problem.m * D for D in problem.truth.D], problem)
    assert report.codes == ("mean.missing",)
    finding = report.findings[0]
    assert finding.confidence == "one of several"
    assert [(other.codes, other.probe) for other in finding.alternatives] == [
        (("mean.missing-everywhere",), "lambda = 1.3")
    ]


def test_a_right_gradient_on_poor_data_says_what_it_cannot_show():
    poor = build((2, 2, 1), 1, 0.0)
    report = report_on(poor.truth.D, poor)
    assert report.ok
    hidden = {"mean.missing", "penalty.missing", "penalty.on-bias", "examples.last-only",
              "hidden.overwritten", "examples.labels-shifted"}  # fmt: skip
    assert hidden <= set(report.unseen)
    assert report_on(PROBE.truth.D).unseen == ()


def test_with_one_example_a_sum_and_a_mean_are_one():
    one = single(PROBE)
    report = report_on([2 * D for D in one.truth.D], one)
    assert report.codes == ("factor.two",)
    assert report.ok is False


# ---------------------------------------------------------------- when nothing matches


@pytest.mark.numpy_alone
def test_an_unknown_mistake_shows_the_first_wrong_delta_and_the_chain_to_it():
    def strange(thetas, X, Y, lam):
        right = backprop.gradients(thetas, X, Y, lam)
        delta = right.delta[1] * [1.0, 1.1, 1.0, 1.0]  # one unit of layer 3 is off
        D2 = backprop.regularise(backprop.accumulate(delta, right.a[1]), thetas[1], lam, len(X))
        below = backprop.delta_hidden(thetas[1], delta, right.z[0])
        D1 = backprop.regularise(backprop.accumulate(below, right.a[0]), thetas[0], lam, len(X))
        return [D1, D2, right.D[2]]

    report = diagnose(strange, loss="logistic")
    assert report.codes == ("unknown.deltas",)
    assert report.first_wrong_layer == 2
    assert report.wrong_deltas[-3:] != report.wrong_deltas[:-3]
    assert (3, 1) in report.wrong_deltas
    assert (3, 0) not in report.wrong_deltas
    finding = report.findings[0]
    one = single(PROBE).truth.delta[1][0]
    assert "your δ⁽⁴⁾ is right" in finding.evidence
    assert f"your δ₂⁽³⁾ is {1.1 * one[1]:.6g}; right is {one[1]:.6g}" in finding.evidence
    assert "yours: D₂" in finding.here
    for part in ("δ₂⁽³⁾ = g'(z₂⁽³⁾)", "⁽⁴⁾ = a"):
        assert part in finding.here


def right(thetas, X, Y, lam):
    return [D.copy() for D in backprop.gradients(thetas, X, Y, lam).D]


def test_a_wrong_penalty_of_no_known_kind_is_found_by_exclusion():
    def strange(thetas, X, Y, lam):
        gradients = right(thetas, X, Y, 0.0)
        for D, theta in zip(gradients, thetas, strict=True):
            D[:, 1:] += lam / len(X) * np.sin(theta[:, 1:])
        return gradients

    report = diagnose(strange, loss="logistic")
    assert report.codes == ("penalty.other",)
    assert report.findings[0].evidence == "With lambda = 0 your gradient is right."
    assert report.findings[0].layer is None
    assert "There is a mistake in regularisation." in report.text("category")


def test_a_wrong_mean_of_no_known_kind_is_found_by_exclusion():
    def median(thetas, X, Y, lam):
        each = [right(thetas, X[t : t + 1], Y[t : t + 1], 0.0) for t in range(len(X))]
        return [
            np.median(D, axis=0) + lam / len(X) * np.c_[np.zeros(len(theta)), theta[:, 1:]]
            for D, theta in zip(zip(*each, strict=True), thetas, strict=True)
        ]

    report = diagnose(median, loss="logistic")
    assert report.codes == ("mean.other",)
    assert "each of the 8 examples alone is right" in report.findings[0].evidence


def test_a_wrong_column_of_biases_is_no_wrong_delta():
    def strange(thetas, X, Y, lam):
        gradients = right(thetas, X, Y, lam)
        gradients[1][:, 0] **= 2
        return gradients

    report = diagnose(strange, loss="logistic")
    assert report.codes == ("unknown.products",)
    evidence = report.findings[0].evidence
    for delta in ("δ⁽⁴⁾", "δ⁽³⁾", "δ⁽²⁾"):
        assert f"your {delta} is right" in evidence
    assert "that of the biases is not: D" in evidence
    true = single(PROBE).truth.D[1][:, 0]
    unit = int(np.argmax(np.abs(true**2 - true)))
    assert f"is {true[unit] ** 2:.6g}; right is {true[unit]:.6g}." in evidence


def test_what_saved_arrays_show_is_told_by_their_columns():
    weights = [D + 0.1 * np.c_[np.zeros(len(D)), D[:, 1:] ** 2] for D in PROBE.truth.D]
    report = report_on_arrays(weights)
    assert report.codes == ("unknown.products",)
    assert "Column 0 is right in every layer." in report.findings[0].evidence
    biases = [np.c_[D[:, 0] ** 2, D[:, 1:]] for D in PROBE.truth.D]
    evidence = report_on_arrays(biases).findings[0].evidence
    assert evidence == "Only the gradient of the biases, column 0, is wrong."


def report_on_arrays(gradients):
    return diagnose(gradients, PROBE.thetas, PROBE.X, PROBE.Y, PROBE.lam, loss="logistic")


def test_what_one_example_shows_by_luck_is_not_told():
    def by_luck(thetas, X, Y, lam):
        if len(X) == 1 and X[0, 0] == PROBE.X[0, 0]:
            return planted.backprop("hidden.slope-missing")(thetas, X, Y, lam)
        return [np.sin(D) for D in right(thetas, X, Y, lam)]

    report = diagnose(by_luck, loss="logistic")
    assert report.codes == ("unknown.deltas",)
    assert report.findings[0].rule == "B8"  # it begins at the output


def test_a_delta_that_is_wrong_in_a_later_example_alone_is_found_there():
    def strange(thetas, X, Y, lam):
        found = backprop.gradients(thetas, X, Y, lam)
        odd = X[:, :1] == PROBE.X[4, 0]  # the fifth example, wherever it is
        delta = np.where(odd, found.delta[-1] ** 3, found.delta[-1])
        Delta = backprop.accumulate(delta, found.a[-2])
        last = backprop.regularise(Delta, thetas[-1], lam, len(X))
        return [*found.D[:-1], last]

    report = diagnose(strange, loss="logistic")
    assert report.codes == ("unknown.deltas",)
    assert "With example 5 alone and lambda = 0 your δ" in report.findings[0].evidence


def test_what_every_example_shows_is_told_beside_what_nothing_explains():
    def strange(thetas, X, Y, lam):
        D = planted.backprop("hidden.slope-missing")(thetas, X, Y, lam)
        return D if len(X) == 1 else [np.sin(one) for one in D]

    report = diagnose(strange, loss="logistic")
    assert report.codes == ("hidden.slope-missing", "unknown.deltas")
    assert report.findings[0].confidence == "partial"
    assert report.findings[1].says.startswith("There is another mistake as well")


@pytest.mark.parametrize("hints", ["category", "fix"])
def test_an_unknown_mistake_is_told_in_a_sentence(hints):
    report = report_on([np.sin(D) for D in PROBE.truth.D])
    assert "mistake in not" not in report.text(hints)
    if hints == "category":
        assert "There is a mistake that is not in the list of mistakes." in report.text(hints)


@pytest.mark.numpy_alone
def test_the_letters_of_the_evidence_are_explained():
    report = report_on([0.9 * theta - 0.1 * D for theta, D in
                        zip(PROBE.thetas, PROBE.truth.D, strict=True)])  # fmt: skip
    for words in ("N is the right gradient", "Θ~ is Θ with zeros", "Θ_b is the biases alone"):
        assert words in report.findings[0].evidence


@pytest.mark.parametrize("loss", backprop.LOSSES)
def test_the_numbers_put_into_formulas_are_the_right_ones(loss):
    problem = probe(loss, "tanh")
    worked = Worked(problem)
    for layer, D in enumerate(problem.truth.D):
        for unit, column in np.ndindex(D.shape):
            line = worked.gradient(layer, unit, column)
            assert float(line.rpartition("= ")[2]) == pytest.approx(D[unit, column], rel=1e-5)
        for t in range(problem.m):
            delta = problem.truth.delta[layer][t]
            for unit in range(len(D)):
                line = (
                    worked.output(layer, unit, t)
                    if layer == problem.last
                    else worked.hidden(layer, unit, t)
                )
                assert float(line.rpartition("= ")[2]) == pytest.approx(delta[unit], rel=1e-5)


# ---------------------------------------------------------------- calls, in this process


def test_theta_not_transposed_is_found_on_a_square_network_when_shapes_refuse_it():
    def not_transposed(thetas, X, Y, lam):
        right = backprop.gradients(thetas, X, Y, lam)
        delta, D = right.delta[-1], [right.D[-1]]
        for i in (1, 0):
            delta = (delta @ thetas[i + 1][:, 1:].T) * backprop.derivative("sigmoid", right.z[i])
            Delta = backprop.accumulate(delta, right.a[i])
            D.insert(0, backprop.regularise(Delta, thetas[i], lam, len(X)))
        return D

    report = diagnose(not_transposed, loss="logistic")
    assert report.codes == ("call.raises", "hidden.theta-not-transposed")
    assert report.problem.sizes == square(PROBE).sizes


def test_gradients_that_add_up_over_the_calls():
    kept = []

    def accumulates(thetas, X, Y, lam):
        D = backprop.gradients(thetas, X, Y, lam).D
        kept[:] = [old + new for old, new in zip(kept, D, strict=True)] if kept else D
        return kept

    assert diagnose(accumulates, loss="logistic").codes == ("call.accumulates",)
    kept.clear()
    buffers = [np.zeros_like(theta) for theta in PROBE.thetas]

    def adds_in_place(thetas, X, Y, lam):
        for buffer, D in zip(buffers, backprop.gradients(thetas, X, Y, lam).D, strict=True):
            buffer += D
        return buffers

    assert diagnose(adds_in_place, loss="logistic").codes == ("call.accumulates",)


def test_mistakes_are_named_beside_what_the_calls_show():
    wrong = planted.backprop("mean.missing")

    def updates(thetas, X, Y, lam):
        D = wrong(thetas, X, Y, lam)
        for theta, d in zip(thetas, D, strict=True):
            theta -= 0.1 * d
        return D

    report = diagnose(updates, loss="logistic")
    assert report.codes == ("call.changes-arguments", "mean.missing")
    assert "thetas[0], thetas[1], thetas[2]" in report.findings[0].evidence


def test_answers_that_differ():
    rng = np.random.default_rng(0)

    def noisy(thetas, X, Y, lam):
        return [rng.normal() * D for D in backprop.gradients(thetas, X, Y, lam).D]

    assert diagnose(noisy, loss="logistic").codes == ("call.not-repeatable",)


def _right(thetas, X, Y, lam):
    return list(backprop.gradients(thetas, X, Y, lam).D)


@pytest.mark.parametrize(
    ("function", "expected", "evidence"),
    [
        (lambda *args: 1 / 0, "call.raises", "ZeroDivisionError"),
        (lambda: None, "call.wrong-arguments", "<lambda>(thetas, X, Y, lam)"),
        (lambda *args: exit(3), "call.dies", "exit(3)"),
        (lambda *args: None, "call.no-numbers", "None"),
        (lambda *args: "gradient", "call.no-numbers", "gradient"),
        (lambda *args: [[1j]], "call.no-numbers", "complex"),
        (lambda *args: object(), "call.no-numbers", "object"),
        (lambda *args: [[[[[[[[[1]]]]]]]]], "call.no-numbers", "deep"),
        (lambda *args: [], "call.wrong-shape", "0 arrays for 3 Thetas"),
        (lambda *args: 3.0, "call.wrong-shape", "1 array for 3 Thetas"),
        (lambda *args: _right(*args)[:2], "call.wrong-shape", "2 arrays for 3 Thetas"),
        (
            lambda *args: [D[:, 1:] for D in _right(*args)],
            "call.wrong-shape",
            "no column for the biases",
        ),
        (
            lambda *args: [np.vstack([D, D[:1]]) for D in _right(*args)],
            "call.wrong-shape",
            "the delta of the bias unit was kept",
        ),
        (lambda *args: [D * np.nan for D in _right(*args)], "call.not-finite", "D₁₀⁽³⁾ is nan"),
        (lambda *args: [D / 0.0 for D in _right(*args)], "call.not-finite", "inf"),
    ],
)
def test_a_failing_call_is_a_finding(function, expected, evidence):
    with np.errstate(all="ignore"):
        report = diagnose(function, loss="logistic")
    assert report.codes == (expected,)
    assert evidence in report.findings[0].evidence
    for hints in HINTS:
        assert report.text(hints)
        assert report.html(hints)


def test_the_function_gets_copies():
    before = [theta.copy() for theta in PROBE.thetas]

    def destroys(thetas, X, Y, lam):
        D = _right(thetas, X, Y, lam)
        for array in (*thetas, X, Y):
            array[:] = 0
        thetas.clear()
        return D

    report = report_on_call(destroys)
    assert report.codes == ("call.changes-arguments",)
    assert "the list thetas" in report.findings[0].evidence
    assert all(np.array_equal(a, b) for a, b in zip(before, PROBE.thetas, strict=True))


def report_on_call(function, problem=PROBE):
    return diagnose_calls(caller(function), [problem])


def test_the_wrong_network_raises_and_is_no_finding():
    with pytest.raises(ValueError, match="loss is 'hinge'"):
        diagnose(PROBE.truth.D, loss="hinge")
    with pytest.raises(TypeError, match="X or Y without thetas"):
        diagnose(PROBE.truth.D, X=PROBE.X, Y=PROBE.Y)
    with pytest.raises(ValueError, match="expected"):
        diagnose(PROBE.truth.D, PROBE.thetas[:2], PROBE.X, PROBE.Y, 1.3)


@pytest.mark.numpy_alone
def test_a_network_of_ordinary_size_takes_little_time():
    problem = build((64, 50, 10), 200, 1.0, loss="cross_entropy")
    for bug in ("mean.missing", "hidden.slope-missing"):
        assert report_on(made(bug, problem=problem), problem).codes == (bug,)
    assert report_on(problem.truth.D, problem).ok


# ---------------------------------------------------------------- published examples


def test_mazurs_published_error_after_the_step_is_the_wrong_order():
    report = diagnose_step(0.291027924, mazur(), 0.5, biases="fixed")
    assert report.codes == ("hidden.updated-weights",)
    assert report.findings[0].confidence == "certain"
    assert "0.291027774" in report.findings[0].evidence
    assert diagnose_step(0.291027774, mazur(), 0.5, biases="fixed").ok
    assert diagnose_step(0.29, mazur(), 0.5, biases="fixed").codes == ("unknown.deltas",)


def test_mazurs_gradient_in_the_wrong_order_is_named_with_its_learning_rate():
    # The post keeps its biases fixed: only the weights were updated, and only they lead back.
    problem = mazur()
    updated = problem.thetas[1] - 0.5 * problem.truth.D[1] * [0, 1, 1]
    late = backprop.delta_hidden(updated, problem.truth.delta[1], problem.truth.z[0])
    D1 = backprop.accumulate(late, problem.X)
    report = report_on([D1, problem.truth.D[1]], problem)
    assert report.codes == ("hidden.updated-weights",)
    assert "was 0.5." in report.findings[0].evidence


def test_ngs_published_gradient_is_right_to_its_digits():
    published = """0.766138 0.979897 -0.027540 -0.035844 -0.024929 -0.053862
                   0.883417 0.568762 0.584668 0.598139 0.459314 0.344618
                   0.256313 0.311885 0.478337 0.368920 0.259771 0.322331"""
    report = report_on([float(number) for number in published.split()], ng(0.0))
    assert report.ok
    assert [c.name for c in report.conventions] == ["unrolled-F", "precision"] or [
        c.name for c in report.conventions
    ] == ["precision", "unrolled-F"]


# ---------------------------------------------------------------- reports

WRONG = report_on(made("hidden.slope-missing", "penalty.on-bias"))


class _Page(HTMLParser):
    VOID = frozenset({"meta", "line", "circle", "path"})

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.links = [], [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        self.links += [v for k, v in attributes if k in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(text):
    page = _Page()
    page.feed(text)
    assert page.open == []
    return page


def test_the_page_is_self_contained_and_marks_the_wrong_deltas():
    page = parsed(WRONG.html())
    assert page.links == []
    assert not any(tag in ("script", "link", "img") for tag, _ in page.seen)
    crosses = sum(attributes.get("class") == "cross" for _, attributes in page.seen)
    assert crosses == 6 + 4  # the hidden units; the output deltas are right
    assert "http" not in WRONG.html()


def test_a_right_gradient_has_no_marks():
    page = parsed(report_on(PROBE.truth.D).html())
    assert not any("wrong" in (attributes.get("class") or "") for _, attributes in page.seen)


def test_hostile_text_is_escaped_in_every_format():
    def raises(*args):
        raise ValueError("<script>alert(1)</script> | `x`")

    report = diagnose(raises, loss="logistic", name="<b>me</b>")
    assert "<script>" not in report.html()
    assert "<b>me</b>" not in report.html()
    assert "<script>" not in report.markdown().replace("\\<script\\>", "")
    assert json.loads(report.json())["name"] == "<b>me</b>"


@pytest.mark.parametrize("hints", HINTS)
@pytest.mark.parametrize("form", ["text", "markdown", "html", "json", "gradescope"])
def test_no_format_tells_more_than_its_hint_level(hints, form):
    told = getattr(WRONG, form)(hints)
    finding = WRONG.findings[0]
    level = HINTS.index(hints)
    plain = told.replace("&#x27;", "'").replace("\\", "")
    assert (finding.says in plain) is (level >= 3)
    assert (finding.fix in plain) is (level >= 3)
    assert (finding.code in plain) is (level >= 3)
    assert (CATEGORIES["hidden"] in plain) is (
        level == 2 or (level == 3 and form in ("json", "gradescope"))
    )
    if form == "html":
        page = parsed(told)
        assert any(a.get("class") == "edge wrong" for _, a in page.seen) is (level >= 1)
        assert any(a.get("class") == "cross" for _, a in page.seen) is (level >= 3)
    if form == "json":
        assert (json.loads(told)["first_wrong_layer"] == 3) is (level >= 1)


def test_an_unknown_hint_level_is_an_error():
    with pytest.raises(ValueError, match="hints is 'all'"):
        WRONG.text("all")


def test_json_is_strict_and_keeps_its_keys():
    def no_constant(text):
        raise AssertionError(text)

    nan = report_on([D * np.nan for D in PROBE.truth.D])
    told = json.loads(nan.json(), parse_constant=no_constant)
    assert list(told) == ["schema", "name", "ok", "hints", "problem", "conventions",
                          "first_wrong_layer", "wrong_layers", "layers", "findings",
                          "unseen"]  # fmt: skip
    finding = json.loads(WRONG.json())["findings"][0]
    assert {"code", "category", "layer", "rule", "formula", "here", "evidence", "confidence",
            "alternatives", "fix", "says"} <= set(finding)  # fmt: skip


def test_gradescope_gives_all_points_or_none_where_parts_do_not_count():
    right, wrong = report_on(PROBE.truth.D), WRONG
    for report, score, status in ((right, 5.0, "passed"), (wrong, 0.0, "failed")):
        told = json.loads(report.gradescope("layer", points=5.0, by_part=False))
        assert told["score"] == told["tests"][0]["score"] == score
        assert told["tests"][0]["status"] == status
        assert told["tests"][0]["max_score"] == 5.0


def wrong_parts(gradient):
    """Return the names of the tests that fail, and the score out of 7."""
    told = json.loads(report_on(gradient).gradescope("layer", points=7.0))
    assert told["score"] == pytest.approx(sum(test["score"] for test in told["tests"]))
    assert sum(test["max_score"] for test in told["tests"]) == pytest.approx(7.0)
    failed = [test["name"] for test in told["tests"] if test["status"] == "failed"]
    return failed, told["score"]


HIDDEN = [f"Θ⁽{layer}⁾: {part}" for layer in "¹²" for part in ("weights", "biases")]
ALL = [*HIDDEN, "Θ⁽³⁾: weights", "Θ⁽³⁾: biases"]


@pytest.mark.parametrize(
    ("code", "failed"),
    [
        ("penalty.missing", ["penalty"]),
        ("penalty.not-divided", ["penalty"]),
        ("penalty.on-bias", ["penalty"]),
        ("hidden.slope-missing", HIDDEN),
        ("mean.missing", ALL),
        ("output.slope-missing", ALL),
    ],
)
def test_gradescope_gives_points_for_each_part_that_is_right(code, failed):
    gradient = planted.backprop(code)(PROBE.thetas, PROBE.X, PROBE.Y, PROBE.lam)
    assert wrong_parts(gradient) == (failed, pytest.approx(7.0 - len(failed)))


def test_parts_are_judged_in_numbers_that_nothing_explains():
    data = replace(PROBE, lam=0.0).truth.D
    odd = [D.copy() for D in PROBE.truth.D]
    odd[1][:, 0] = np.sin(odd[1][:, 0])
    assert wrong_parts(odd)[0] == ["Θ⁽²⁾: biases"]
    odd[0] = odd[0] + np.cos(odd[0])
    assert wrong_parts(odd)[0] == ["Θ⁽¹⁾: weights", "Θ⁽¹⁾: biases", "Θ⁽²⁾: biases"]
    no_penalty = [np.cos(data[0]), *data[1:]]
    assert wrong_parts(no_penalty)[0] == ["Θ⁽¹⁾: weights", "Θ⁽¹⁾: biases", "penalty"]
    assert wrong_parts(PROBE.truth.D) == ([], pytest.approx(7.0))
    nearly = [D.copy() for D in PROBE.truth.D]
    nearly[2][0, 3] *= 1.001
    assert wrong_parts(nearly)[0] == ["Θ⁽³⁾: weights"]
    assert wrong_parts([-D for D in PROBE.truth.D])[1] == 0.0


def test_what_has_no_biases_earns_no_points_for_them():
    p = PROBE.without_biases()
    wrong = [-D for D in p.truth.D]
    report = replace(report_on(PROBE.truth.D), problem=p, theirs=tuple(wrong))
    assert [part.part for part in report.parts] == ["weights"] * 3 + ["penalty"]


def test_without_a_lambda_a_penalty_is_a_wrong_gradient():
    p = replace(PROBE, lam=0.0)
    report = diagnose([D + theta for D, theta in zip(p.truth.D, p.thetas, strict=True)],
                      p.thetas, p.X, p.Y, 0.0, loss="logistic")  # fmt: skip
    told = json.loads(report.gradescope())
    assert [test["status"] for test in told["tests"]] == ["failed"] * 6


def test_a_function_that_does_not_behave_earns_nothing_by_its_numbers():
    calls = []

    def adds_up(*args):
        calls.append(1)
        return [len(calls) * D for D in PROBE.truth.D]

    told = json.loads(diagnose(adds_up, loss="logistic").gradescope("layer"))
    assert told["score"] == 0.0


def test_at_the_level_pass_a_student_sees_the_sum_alone():
    told = json.loads(WRONG.gradescope("pass"))
    assert {test["visibility"] for test in told["tests"]} == {"hidden"}
    assert 0 < told["score"] < 1
    assert "Θ" not in told["output"]


def test_a_report_can_be_limited_for_a_notebook():
    shown = WRONG.up_to("layer")
    assert str(shown) == repr(shown) == WRONG.text("layer")
    assert WRONG.findings[0].says not in shown._repr_html_()
    assert "The first wrong layer" in shown._repr_html_()
    assert (bool(shown), shown.ok) == (False, False)
    assert not any(isinstance(value, Report) for value in vars(shown).values())
    with pytest.raises(ValueError, match="hints"):
        WRONG.up_to("all")


def test_reports_in_words():
    assert str(WRONG) == WRONG.text()
    assert "first wrong layer, counted from the output, is that of Θ⁽³⁾" in WRONG.text()
    assert bool(WRONG) is WRONG.ok is False
    assert WRONG._repr_html_().startswith("<div")
    assert all(BY_CODE[code].says in WRONG.text() for code in WRONG.codes)
    ok = report_on(PROBE.truth.D)
    assert ok.text().startswith("gradient: right\n")


# ---------------------------------------------------------------- pytest


def test_assert_gradients_close_names_the_mistake():
    assert_gradients_close(PROBE.truth.D, PROBE)
    with pytest.raises(AssertionError, match=r"mean\.missing"):
        assert_gradients_close(made("mean.missing"))
    with pytest.raises(AssertionError) as raised:
        assert_gradients_close(planted.backprop("mean.missing"), PROBE, hints="category")
    assert "the mean over the examples" in str(raised.value)
    assert "mean.missing" not in str(raised.value)


# ---------------------------------------------------------------- anything at all


@pytest.mark.numpy_alone
def test_whatever_is_handed_in_gets_a_report():
    rng = np.random.default_rng(7)
    problems = [build((2, 1), 1, 0.0), build((1, 1, 1), 1, 1.0), build((2, 2, 2), 3, 1.0)]
    oddities = [None, "x", b"x", 1j, {}, {1}, True, 10**400, np.datetime64("2020"), object(),
                np.array(["a"]), np.array([None]), np.array(3.0), float("nan")]  # fmt: skip

    def anything(problem, depth):
        shape = problem.shapes[rng.integers(len(problem.shapes))]
        kind = rng.integers(8)
        if kind == 0:
            return oddities[rng.integers(len(oddities))]
        if kind == 1:
            return rng.choice([np.inf, np.nan, 1e308, -0.0]) * np.ones(shape)
        if kind == 2:
            return rng.normal(size=rng.integers(0, 5, rng.integers(0, 4)))
        if kind < 5 or depth == 0:
            return rng.normal(size=shape if kind % 2 else shape[::-1])
        return [anything(problem, depth - 1) for _ in range(rng.integers(0, 5))]

    for _ in range(150):
        problem = problems[rng.integers(len(problems))]
        report = diagnose(
            anything(problem, 3), problem.thetas, problem.X, problem.Y, problem.lam, loss="logistic"
        )
        assert not report.ok
        for form in ("text", "markdown", "html", "json", "gradescope"):
            assert getattr(report, form)()


# ---------------------------------------------------------------- near misses


def test_a_match_is_as_good_as_the_best_up_to_its_own_rounding():
    """In float32 two right explanations may differ by some roundings; a near miss by more."""
    made = (Made(BY_CODE["sign.everything"]),)
    matches = [Match(made, error) for error in (2e-7, 1e-8, 4e-7)]
    assert closest(matches) == matches[:2]
    exact = [Match(made, error) for error in (0.0, 9e-11, 2e-10)]
    assert closest(exact) == exact[:2]
    assert closest([]) == []


def test_in_float32_a_near_miss_is_not_an_alternative():
    # Without 1/m in the penalty too: a thousandth of a percent of the gradient here.
    p = probe(lam=1e-4)
    theirs = [
        np.float32(Delta + p.lam / p.m * np.c_[np.zeros(len(theta)), theta[:, 1:]])
        for Delta, theta in zip(p.truth.Delta, p.thetas, strict=True)
    ]
    wanted = Catalogue(p).vector(theirs)
    errors = [
        float(np.abs(Catalogue(p).replay((Made(BY_CODE[code]),)) - wanted).max())
        for code in ("mean.missing", "mean.missing-everywhere")
    ]
    assert errors[0] < 1e-6 < 30 * errors[0] < errors[1] < 1e-4 * np.abs(wanted).max()
    report = diagnose(theirs, p.thetas, p.X, p.Y, p.lam, loss="logistic")
    assert report.codes == ("mean.missing",)
    assert report.findings[0].confidence == "certain"
