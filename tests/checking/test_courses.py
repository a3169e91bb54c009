"""Programs as courses, books and blogs have them: a wrong one never gets a confident wrong name.

Each case is one program with one thing changed, in the shape that people hand in: other layouts,
another sign for the error, plain factors, a penalty that is off by very little.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace

import numpy as np
import pytest

from chainrule import backprop
from chainrule.checking import diagnose, probe
from chainrule.checking.diagnosis.diagnose import diagnose_calls
from chainrule.checking.diagnosis.running.calls import Outcome, caller
from chainrule.checking.diagnosis.running.results import tidy
from chainrule.checking.problem import build

PROBE = probe()
ALL = os.environ.get("CHAINRULE_MISTAKES") == "all"
"""Whether everything is tried, as it is at night."""


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def program(**changes):
    """A right function (thetas, X, Y, lam) but for the steps in *changes*."""
    step = {
        "g": sigmoid,
        "output": sigmoid,
        "error": lambda a, Y: a - Y,
        "top": lambda error, z, a: error,
        "slope": lambda z, a, back: a * (1 - a),
        "sums": lambda delta, units: delta.T @ units / len(units),
        "decay": lambda theta, lam, m: lam / m * theta,
        "result": lambda D: D,
        "hidden": None,
    } | changes

    def function(thetas, X, Y, lam):
        m, zs, activations = len(X), [], [X]
        for i, theta in enumerate(thetas):
            zs.append(np.c_[np.ones(m), activations[-1]] @ theta.T)
            activations.append(step["output" if i == len(thetas) - 1 else "g"](zs[-1]))
        delta = step["top"](step["error"](activations[-1], Y), zs[-1], activations[-1])
        gradients = []
        for i in reversed(range(len(thetas))):
            D = step["sums"](delta, np.c_[np.ones(m), activations[i]])
            D[:, 1:] += step["decay"](thetas[i][:, 1:], lam, m)
            gradients.insert(0, D)
            if i:
                back = delta @ thetas[i][:, 1:]
                delta = back * step["slope"](zs[i - 1], activations[i], back)
                if step["hidden"] is not None:
                    delta = step["hidden"](back, activations[i])
        return step["result"](gradients)

    return function


def scaled(factor):
    return program(result=lambda Ds: [factor * D for D in Ds])


def test_the_program_without_a_change_is_right():
    assert diagnose(program(), loss="logistic").ok


# ---------------------------------------------------------------- plain factors


@pytest.mark.numpy_alone
@pytest.mark.parametrize("factor", [0.1, 4, 0.25, 1e-4, 10])
def test_a_plain_factor_is_told_as_itself(factor):
    report = diagnose(scaled(factor), loss="logistic")
    assert report.codes == ("update.rate-inside",)
    finding = report.findings[0]
    assert f"multiplied by {factor:g}" in finding.says
    # Two mistakes at once that have this factor together are the less likely.
    assert (finding.confidence == "certain") is (not finding.alternatives)
    assert all(len(other.codes) == 2 for other in finding.alternatives)


def test_m_plus_1_is_a_count():
    def function(thetas, X, Y, lam):
        return [D * len(X) / (len(X) + 1) for D in program()(thetas, X, Y, lam)]

    assert diagnose(function, loss="logistic").codes == ("mean.m-plus-1",)


def test_a_row_with_a_plain_factor_is_not_certain():
    ten = build((4, 5, 3), 10, 1.3)
    report = on_arrays([D / 10 for D in ten.truth.D], ten)
    assert report.codes == ("mean.twice",)
    others = [other.codes for other in report.findings[0].alternatives]
    assert ("update.rate-inside",) in others
    assert report.findings[0].confidence == "one of several"


@pytest.mark.parametrize(
    ("decay", "code", "says"),
    [
        (lambda theta, lam, m: lam / m**2 * theta, "penalty.divided-twice", "divided by m twice"),
        (lambda theta, lam, m: 3 * lam / m * theta, "penalty.scaled", "is 3 times the right one"),
        (lambda theta, lam, m: 0.7 * lam / m * theta, "penalty.scaled", "is 0.7 times"),
    ],
)
def test_a_factor_of_the_penalty(decay, code, says):
    report = diagnose(program(decay=decay), loss="logistic")
    assert report.codes == (code,)
    assert says in report.findings[0].says
    assert report.findings[0].confidence == "certain"


def test_integers_cut_the_gradient_off():
    for dtype in (int, np.int32):
        report = diagnose(
            program(result=lambda Ds, d=dtype: [D.astype(d) for D in Ds]), loss="logistic"
        )
        assert report.codes == ("number.integers",)


# ---------------------------------------------------------------- slopes


def test_a_slope_of_the_wrong_sign_is_one_of_the_hidden_layers():
    report = diagnose(program(slope=lambda z, a, back: a * (a - 1)), loss="logistic")
    assert report.codes == ("hidden.slope-sign",)
    assert report.findings[0].confidence == "certain"


def test_the_diagonal_of_the_softmax():
    wrong = program(output=softmax, error=lambda p, Y: -(Y / p) * p * (1 - p))
    assert diagnose(wrong, loss="cross_entropy").codes == ("output.softmax-diagonal",)


def in_squares(slope):
    """Half the squared error, with *slope* for g' at the output."""
    return program(top=lambda error, z, a: error * slope(z, a))


SLOPES = [
    ("at-a", lambda z, a: sigmoid(a) * (1 - sigmoid(a))),
    ("formula-of-z", lambda z, a: z * (1 - z)),
    ("is-a", lambda z, a: a),
    ("is-1-minus-a", lambda z, a: 1 - a),
    ("of-wrong-activation", lambda z, a: 1 - a**2),
]


@pytest.mark.parametrize(("kind", "slope"), SLOPES)
def test_slopes_at_the_output_are_named_as_in_hidden_layers(kind, slope):
    assert diagnose(in_squares(slope), loss="half_squared_error").codes == (f"output.slope-{kind}",)
    everywhere = program(
        top=lambda error, z, a: error * slope(z, a), slope=lambda z, a, back: slope(z, a)
    )
    report = diagnose(everywhere, loss="half_squared_error")
    assert report.codes == (f"slope.{kind}",)
    assert "In every layer, the output layer too" in report.findings[0].says


def test_the_masks_of_a_relu():
    def relu(mask):
        return program(g=lambda z: np.maximum(z, 0), slope=mask)

    def codes(mask):
        report = diagnose(relu(mask), loss="logistic", activation="relu")
        others = [other.says for one in report.findings for other in one.alternatives]
        return report.codes, others

    assert codes(lambda z, a, back: a > 0) == ((), [])
    assert codes(lambda z, a, back: z <= 0)[0] == ("hidden.relu-mask-inverted",)
    always, others = codes(lambda z, a, back: a >= 0)
    assert always == ("hidden.slope-missing",)
    assert "The ReLU's mask is true everywhere" in others[0]


# ---------------------------------------------------------------- the first wrong layer


def on_arrays(gradients, problem=PROBE):
    """The report where there is no function to call again."""
    p = problem
    return diagnose(gradients, p.thetas, p.X, p.Y, p.lam, loss=p.loss)


def of_its_error(back, a):
    return back * back * (1 - back)


def nobody_writes(back, a):
    return back * a * (1 - a) * np.cos(back)


LAYOUTS = {
    "plain": lambda Ds: Ds,
    "bias last": lambda Ds: [np.roll(D, -1, axis=1) for D in Ds],
    "one vector": lambda Ds: np.concatenate([D.ravel() for D in Ds]),
    "one vector, F": lambda Ds: np.concatenate([D.ravel(order="F") for D in Ds]),
    "transposed": lambda Ds: [D.T for D in Ds],
    "output first": lambda Ds: Ds[::-1],
    "apart": lambda Ds: [(D[:, 1:], D[:, 0]) for D in Ds],
}


@pytest.mark.numpy_alone
@pytest.mark.parametrize("layout", LAYOUTS if ALL else ["bias last", "one vector, F"])
def test_the_first_wrong_layer_is_right_in_every_layout(layout):
    gradients = program(hidden=nobody_writes)(PROBE.thetas, PROBE.X, PROBE.Y, PROBE.lam)
    report = on_arrays(LAYOUTS[layout](gradients))
    assert report.codes == ("unknown.deltas",)
    assert report.first_wrong_layer == report.findings[0].layer == 2


@pytest.mark.parametrize("layout", ["bias last", "one vector, F"])
def test_a_slope_at_the_error_is_named_in_the_layout_that_it_has(layout):
    report = diagnose(program(hidden=of_its_error, result=LAYOUTS[layout]), loss="logistic")
    assert report.codes == ("hidden.slope-of-error",)
    assert report.first_wrong_layer == 2
    assert report.conventions


@pytest.mark.numpy_alone
def test_behind_a_first_mistake_the_next_is_where_its_replay_parts():
    p = probe("half_squared_error")
    report = on_arrays(program(hidden=nobody_writes)(p.thetas, p.X, p.Y, p.lam), p)
    assert report.codes == ("output.slope-missing", "unknown.deltas")
    assert report.first_wrong_layer == 3
    assert report.findings[1].layer == 2
    assert "with the first mistake alone: " in report.findings[1].here


# ---------------------------------------------------------------- y - a


def descending(**changes):
    """The same with y - a for the error, and the sign put right at the end."""
    return program(
        error=changes.pop("error", lambda a, Y: Y - a),
        decay=lambda theta, lam, m: -lam / m * theta,
        result=lambda Ds: [-D for D in Ds],
        **changes,
    )


def test_with_the_other_sign_of_the_error_the_names_are_the_same():
    assert diagnose(descending(), loss="logistic").ok
    squared = descending(error=lambda a, Y: (Y - a) ** 2)
    assert diagnose(squared, loss="logistic").codes == ("output.not-differentiated",)
    masked = descending(g=lambda z: np.maximum(z, 0), slope=lambda z, a, back: back > 0)
    report = diagnose(masked, loss="logistic", activation="relu")
    assert report.codes == ("hidden.relu-mask-of-delta",)


# ---------------------------------------------------------------- a small penalty


@pytest.mark.parametrize("lam", [1e-4, 1e-6, 1e-8])
def test_a_wrong_penalty_is_wrong_however_small(lam):
    strange = program(decay=lambda theta, lam, m: lam / m * np.sin(theta))
    report = diagnose(strange, PROBE.thetas, PROBE.X, PROBE.Y, lam, loss="logistic")
    assert report.codes == ("penalty.other",)
    listed = program(decay=lambda theta, lam, m: lam / m * theta / 2)
    report = diagnose(listed, PROBE.thetas, PROBE.X, PROBE.Y, lam, loss="logistic")
    assert report.codes == ("penalty.divided-by-2m",)


def test_a_lambda_in_float32_is_right():
    inexact = program(decay=lambda theta, lam, m: float(np.float32(lam)) / m * theta)
    assert diagnose(inexact, loss="logistic").ok


def test_a_small_penalty_in_float32_is_right():
    Ds = program()(PROBE.thetas, PROBE.X, PROBE.Y, 1e-6)
    report = given([D.astype(np.float32).astype(float) for D in Ds], replace(PROBE, lam=1e-6))
    assert report.ok


# ---------------------------------------------------------------- blocks, numbers, networks


def given(gradients, problem=PROBE):
    return diagnose_calls(lambda problems: [Outcome(tidy(gradients))] * len(problems), [problem])


@pytest.mark.numpy_alone
def test_factors_of_single_blocks_are_told_with_their_place():
    def doubled(Ds):
        Ds[1][:, 1:] *= 2
        Ds[0][:, 0] *= 4
        return Ds

    report = diagnose(program(result=doubled), loss="logistic")
    assert report.codes == ("factor.of-one-block",)
    evidence = report.findings[0].evidence
    assert "The weights of Θ⁽²⁾ are 2 times the right ones." in evidence
    assert "The biases of Θ⁽¹⁾ are 4 times the right ones." in evidence


def test_few_digits_are_told_with_their_number():
    report = diagnose(program(result=lambda Ds: [D.round(2) for D in Ds]), loss="logistic")
    assert report.codes == ("number.rounded",)
    assert "2 digits" in report.findings[0].says
    six = diagnose(program(result=lambda Ds: [D.round(6) for D in Ds]), loss="logistic")
    assert six.ok


def test_a_mistake_is_named_behind_few_digits():
    rounded = program(slope=lambda z, a, back: a, result=lambda Ds: [D.round(2) for D in Ds])
    report = diagnose(rounded, loss="logistic")
    assert report.codes == ("hidden.slope-is-a", "number.rounded")


SQUARE = build((4, 4, 4, 4), 8, 1.3)


@pytest.mark.parametrize(
    ("code", "hidden"),
    [
        ("hidden.slope-of-other-layer", "slope"),
        ("hidden.delta-never-updated", "delta"),
        ("hidden.theta-of-neighbour", "theta"),
    ],
)
def test_where_widths_repeat_a_neighbours_array_may_be_taken(code, hidden):
    p = SQUARE
    z, a, delta = p.truth.z, p.truth.a, p.truth.delta[-1]
    output, Ds = delta, [p.truth.D[-1]]
    for i in (1, 0):
        back = delta @ p.thetas[i + 1 - (hidden == "theta")][:, 1:]
        other = i + 1 if hidden == "slope" else i
        delta = back * sigmoid(z[other]) * (1 - sigmoid(z[other]))
        delta = output if hidden == "delta" else delta
        D = backprop.regularise(backprop.accumulate(delta, a[i]), p.thetas[i], p.lam, p.m)
        Ds.insert(0, D)
    assert given(Ds, p).codes == (code,)


def test_without_a_penalty_a_theta_that_was_not_transposed_is_named_alone():
    def not_transposed(thetas, X, Y, lam):
        right = backprop.gradients(thetas, X, Y, lam)
        delta, Ds = right.delta[-1], [right.D[-1]]
        for i in (1, 0):
            delta = (delta @ thetas[i + 1][:, 1:].T) * backprop.derivative("sigmoid", right.z[i])
            Ds.insert(0, backprop.accumulate(delta, right.a[i]) / len(X))
        return Ds

    report = diagnose_calls(caller(not_transposed), [probe(lam=0.0)])
    assert report.codes == ("call.raises", "hidden.theta-not-transposed")
    assert report.first_wrong_layer == 2


# ---------------------------------------------------------------- layouts


def pairs_of(Ds):
    return [D[:, 1:] for D in Ds], [D[:, 0] for D in Ds]


def one_vector(Ds, blocks, order="C"):
    weights, biases = pairs_of(Ds)
    return np.concatenate(
        [biases[i] if b else weights[i].ravel(order=order) for i, b in blocks(len(Ds))]
    )


VECTORS = {
    "all W, then all b": lambda n: [(i, b) for b in (False, True) for i in range(n)],
    "all b, then all W": lambda n: [(i, b) for b in (True, False) for i in range(n)],
    "b before W": lambda n: [(i, b) for i in range(n) for b in (True, False)],
    "output first": lambda n: [(i, b) for i in reversed(range(n)) for b in (False, True)],
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("blocks", VECTORS)
def test_weights_and_biases_in_one_vector_in_any_order(blocks, order):
    report = on_arrays(one_vector(PROBE.truth.D, VECTORS[blocks], order))
    assert report.ok
    assert "one vector" in report.conventions[0].says
    wrong = program(hidden=of_its_error)(PROBE.thetas, PROBE.X, PROBE.Y, PROBE.lam)
    report = on_arrays(one_vector(wrong, VECTORS[blocks], order))
    assert report.codes == ("hidden.slope-of-error",)


def test_lists_in_any_order():
    weights, biases = pairs_of(PROBE.truth.D)
    for answer in (
        [*weights, *biases],
        [*biases, *weights],
        [part for pair in zip(biases, weights, strict=True) for part in pair],
        [part for pair in zip(weights[::-1], biases[::-1], strict=True) for part in pair],
    ):
        assert on_arrays(answer).ok


def test_a_total_in_place_of_biases_is_told_and_a_single_one_is_right():
    weights, biases = pairs_of(PROBE.truth.D)
    report = on_arrays([(W, b.sum()) for W, b in zip(weights, biases, strict=True)])
    assert report.codes == ("bias.one-total",)
    one = build((3, 4, 1), 5, 1.3)
    (W1, W2), (b1, b2) = pairs_of(one.truth.D)
    for answer in ([W1, b1, W2, b2[0]], {"dW1": W1, "db1": b1, "dW2": W2, "db2": b2[0]}):
        assert on_arrays(answer, one).ok
    cost = backprop.cost(one.thetas, one.X, one.Y, one.lam)
    assert on_arrays([W1, b1, W2, b2[0], cost], one).ok
    assert on_arrays([W1, b1, W2, b2[0], 7.0], one).codes == ("cost.wrong",)


# ---------------------------------------------------------------- the cost, and differences

J = backprop.cost(PROBE.thetas, PROBE.X, PROBE.Y, PROBE.lam)
WITHOUT = backprop.cost(PROBE.thetas, PROBE.X, PROBE.Y, 0.0)


@pytest.mark.parametrize(
    ("cost", "codes"),
    [
        (J, ()),
        (123.456, ("cost.wrong",)),
        (WITHOUT, ("cost.penalty-missing",)),
        (PROBE.m * J, ("cost.not-averaged",)),
        (-J, ("cost.wrong-sign",)),
        (WITHOUT / PROBE.K + (J - WITHOUT), ("cost.over-outputs",)),
        (2 * J - WITHOUT, ("cost.penalty-doubled",)),
        (np.array([[J]]), ()),
    ],
)
def test_a_cost_beside_right_gradients(cost, codes):
    Ds = list(PROBE.truth.D)
    for answer in ((cost, Ds), (Ds, cost), [cost, *Ds], {"grads": Ds, "cost": cost}):
        report = on_arrays(answer)
        assert report.codes == codes
    if codes:
        assert "right: " in report.findings[0].evidence
        assert report.first_wrong_layer is None


def test_the_cost_of_a_mistake_is_not_another_mistake():
    def no_biases(thetas, X, Y, lam):
        bare = [np.c_[0 * theta[:, 0], theta[:, 1:]] for theta in thetas]
        return backprop.cost(bare, X, Y, lam), list(backprop.gradients(bare, X, Y, lam).D)

    assert diagnose(no_biases, loss="logistic").codes == ("forward.no-bias",)


def by_differences(step, sides=2):
    def function(thetas, X, Y, lam):
        Ds = [np.zeros_like(theta) for theta in thetas]
        for D, theta in zip(Ds, thetas, strict=True):
            for entry in np.ndindex(theta.shape):
                ends = []
                for move in (step, -step) if sides == 2 else (step, 0.0):
                    moved = [t.copy() if t is theta else t for t in thetas]
                    moved[[t is theta for t in thetas].index(True)][entry] += move
                    ends.append(backprop.cost(moved, X, Y, lam))
                D[entry] = (ends[0] - ends[1]) / (sides * step)
        return Ds

    return function


@pytest.mark.numpy_alone
@pytest.mark.parametrize(("step", "sides"), [(1e-3, 2), (1e-4, 2), (1e-6, 1)])
def test_differences_in_place_of_backpropagation_are_remarked(step, sides):
    report = on_arrays(by_differences(step, sides)(PROBE.thetas, PROBE.X, PROBE.Y, PROBE.lam))
    assert report.ok
    (said,) = report.conventions
    kind = "central" if sides == 2 else "one-sided"
    assert f"{kind} differences of the cost, with a step of {step:.2g}" in said.says


# ---------------------------------------------------------------- what is said


def test_a_row_of_the_table_has_one_entry_counted_in_both_ways():
    Ds = [D.copy() for D in PROBE.truth.D]
    Ds[1][2, 1] += 1e-3
    Ds[1][0, 0] *= 1 + 1e-5
    report = on_arrays(Ds)
    heading, *rows = [line for line in report.text().splitlines() if line.startswith(("lay", "Θ"))]
    assert heading.split() == ["layer", "entry", "in", "code", "yours", "right", "difference",
                               "relative"]  # fmt: skip
    wrong = next(row for row in rows if "wrong" in row)
    assert "D₃₁⁽²⁾  D[1][2, 1]" in wrong
    assert "0.001 " in wrong
    told = report.data()["layers"][1]
    assert told["index"] == [2, 1]
    assert told["difference"] == pytest.approx(1e-3)


def test_rules_are_those_of_this_depth():
    one = build((4, 3), 8, 1.3, loss="half_squared_error")
    report = on_arrays([(one.truth.a[-1] - one.Y).T @ np.c_[np.ones(8), one.X] / 8
                        + 1.3 / 8 * np.c_[np.zeros(3), one.thetas[0][:, 1:]]], one)  # fmt: skip
    assert report.codes == ("output.slope-missing",)
    assert report.findings[0].formula == "∂J/∂Θ₁ = a₁ᵀ δ₂, δ₂ = -(y - ŷ) g'(z₂)"
    logistic = diagnose(program(error=lambda a, Y: Y - a), loss="logistic")
    assert logistic.findings[0].formula == "δ⁽⁴⁾ = a⁽⁴⁾ - y"


def test_codes_stay_on_one_line_and_rules_can_be_looked_up():
    report = diagnose(program(decay=lambda theta, lam, m: 0 * theta), loss="logistic", lam=1.3)
    text = report.text()
    assert "lam=0, or --lam 0" in " ".join(text.split())
    assert "docs/notes.md" in text
    poor = build((2, 2, 1), 1, 0.0)
    right = on_arrays(poor.truth.D, poor)
    codes = re.findall(r"[a-z]+\.[a-z0-9-]+[a-z0-9]", right.text().split("cannot show: ")[1])
    assert set(right.unseen) == set(codes)
    assert "<code>penalty.missing</code>" in report.html()
