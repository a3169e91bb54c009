"""Functions are called: what they raise, return or change is a finding."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import backprop
from chainrule.checking import diagnose
from chainrule.checking.diagnosis.diagnose import assert_gradients_close, diagnose_calls
from chainrule.checking.diagnosis.reporting.words import HINTS
from chainrule.checking.diagnosis.running.calls import caller
from chainrule.checking.intake import trial
from chainrule.checking.problem import build, square

from ...oracles import planted
from .making import PROBE, made, report_on

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
def test_a_failing_call_is_a_finding(function, expected, evidence, monkeypatch):
    # What is wrong in every manner is known long before the two thousandth.
    monkeypatch.setattr(trial, "MOST_CALLS", 100)
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
