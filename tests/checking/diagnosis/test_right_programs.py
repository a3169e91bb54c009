"""On right programs nothing is found, whatever their conventions; what data cannot show is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chainrule import backprop
from chainrule.checking import diagnose, probe
from chainrule.checking.diagnosis.diagnose import diagnose_calls
from chainrule.checking.diagnosis.running.calls import Outcome
from chainrule.checking.diagnosis.running.results import tidy
from chainrule.checking.problem import build, single

from ...oracles import correct
from .making import PROBE, made, report_on

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
