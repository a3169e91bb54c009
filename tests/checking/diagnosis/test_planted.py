"""Mistakes planted in right programs are named: alone, first, and with their layer.

They are planted in ``planted.py``, an implementation that shares nothing with the replays of the
checker; the right programs in ``correct.py`` are a third one.
"""

from __future__ import annotations

import itertools
import os
import re

import numpy as np
import pytest

from chainrule import backprop
from chainrule.checking import diagnose, probe
from chainrule.checking.diagnosis.algorithm import Run
from chainrule.checking.diagnosis.catalogue import Catalogue
from chainrule.checking.diagnosis.matches import Made, Match, closest
from chainrule.checking.diagnosis.mistakes import BY_CODE, CATEGORIES, MISTAKES
from chainrule.checking.diagnosis.worked import rule_text, symbol
from chainrule.checking.problem import build

from ...oracles import planted
from .making import PROBE, code, made, report_on

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
    # With other activations: see test_homework.py.
    tested |= {"hidden.slope-of-other-leak", "hidden.slope-of-elu-lacks-alpha"}
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
    last = problem.last if finding.category in ("output", "slope") else None
    formulas = {rule_text(finding.rule, problem, layer) for layer in (None, last)}
    assert finding.formula in formulas
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
