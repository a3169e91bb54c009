"""Where no known mistake matches, the evidence shows where the first wrong number is."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import backprop
from chainrule.checking import diagnose, probe
from chainrule.checking.diagnosis.worked import Worked
from chainrule.checking.problem import single

from ...oracles import planted
from .making import PROBE, report_on, right

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
