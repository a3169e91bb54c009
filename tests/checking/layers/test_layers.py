"""``check_layer``: right layers as courses have them, planted mistakes, and what is said."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.checking import check_layer
from chainrule.checking.layers.kinds import KINDS, RULES
from chainrule.checking.layers.mistakes import BY_CODE, CATEGORIES, MISTAKES

from .planted import PLANTS, TEXTS, made

pytestmark = pytest.mark.numpy_alone


@pytest.mark.parametrize("kind", KINDS)
def test_a_right_layer_is_right(kind):
    report = check_layer(*made(kind), kind=kind)
    assert report.ok, report.text()
    assert not report.findings
    assert {part.says for part in report.parts} == {"exact"}
    assert not report.first_wrong


@pytest.mark.parametrize("kind", KINDS)
def test_the_closed_form_is_the_derivative_of_the_forward_pass(kind):
    layer = KINDS[kind]
    for settings in ({}, *layer.variants.values()):
        given = layer.drawn(3, settings)
        found = layer.gradients(given, settings)

        def total(name, place, t, layer=layer, given=given, settings=settings):
            moved = given[name].copy()
            moved[place] += t
            scope = layer.scope({**given, name: moved}, settings)
            return sum(np.sum(getattr(scope, out) * given[f"d{out}"]) for out in layer.outputs)

        for name in layer.inputs:
            if name == "y":
                continue
            slope = found[f"d{name}"]
            assert slope.shape == given[name].shape
            for place in list(np.ndindex(slope.shape))[:: max(1, slope.size // 8)]:
                near = total(name, place, 1e-3) - total(name, place, -1e-3)
                far = total(name, place, 2e-3) - total(name, place, -2e-3)
                assert slope[place] == pytest.approx((8 * near - far) / 12e-3, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize(
    ("kind", "old", "new", "code", "first"),
    PLANTS,
    ids=[f"{plant[0]}-{plant[4]}-{number}" for number, plant in enumerate(PLANTS)],
)
def test_a_planted_mistake_is_named_alone_and_first(kind, old, new, code, first):
    report = check_layer(*made(kind, old, new), kind=kind)
    assert not report.ok
    codes = code if isinstance(code, tuple) else (code,)
    assert len(report.codes) == 1, report.text()
    assert report.codes[0] in codes, report.text()
    assert report.first_wrong == f"The first wrong gradient, in backward order, is {first}."


def test_all_steps_may_be_given_by_name():
    forward, backward = made("attention", "dP * P).sum(axis=1", "dP * P).sum(axis=0")
    report = check_layer(forward, backward, kind="attention")
    says = {part.name: part.says for part in report.parts}
    assert says == {
        "dV": "exact",
        "dP": "exact",
        "dS": "wrong",
        "dQ": "follows from another",
        "dK": "follows from another",
    }


def test_two_mistakes_are_both_named():
    forward, backward = made("lstm step", "dprev_c = dc * f", "dprev_c = dc")

    def also(*arguments):
        *others, db = backward(*arguments)
        return (*others, db / 3)

    report = check_layer(forward, also, kind="lstm step")
    assert report.codes == ("gate.forget-gate-missing", "sum.mean")


def test_a_mistake_that_nobody_listed_is_not_given_a_name():
    forward, backward = made("tanh", "1 - t ** 2", "1 - 0.7 * t ** 3")
    report = check_layer(forward, backward, kind="tanh")
    assert report.codes == ("unknown.gradient",)
    assert report.findings[0].confidence == "partial"
    assert "expected" in report.findings[0].here
    forward, backward = made("tanh", "1 - t ** 2", "1.7 * (1 - t ** 2)")
    report = check_layer(forward, backward, kind="tanh")
    assert report.findings[0].evidence == "It is 1.7 times the right one."


def test_what_the_numbers_do_not_tell_apart_is_listed():
    forward, _ = made("attention")
    text = TEXTS["attention"].replace("dP = dout", "dP = -dout")
    text = text.replace('{"dV": dV, "dP": dP, "dS": dS, "dQ": dQ, "dK": dK}', "dQ, dK, dV")
    namespace = {"np": np}
    exec(text, namespace)
    report = check_layer(forward, namespace["backward"], kind="attention")
    assert report.codes == ("sign.error",)
    assert report.findings[0].confidence == "one of several"
    assert report.findings[0].alternatives


# --- how functions are called, and how layers are defined ---


def test_a_convolution_without_padding_is_a_convention():
    forward, backward = made("convolution", "pad:-pad, pad:-pad", ":, :")
    report = check_layer(
        lambda x, w, b: forward(x, w, b, {"stride": 1, "pad": 0}), backward, kind="conv"
    )
    assert report.ok, report.text()
    assert report.conventions[0].says == "there is no padding"
    settings = {"stride": 2, "pad": 1}
    assert check_layer(*made("convolution"), kind="conv", settings=settings).ok


def test_rounded_gradients_are_approximate():
    forward, backward = made("affine")
    report = check_layer(
        forward, lambda dout, cache: [g.astype(np.float32) for g in backward(dout, cache)]
    )
    assert report.ok
    assert all(part.says.startswith("approximate, to ") for part in report.parts)


def test_there_need_be_no_cache_and_names_are_used():
    report = check_layer(
        lambda x, W, b: x @ W + b,
        lambda W, x, dout: {"db": dout.sum(0), "dW": x.T @ dout, "dx": dout @ W.T},
    )
    assert report.ok, report.text()
    assert len(report.parts) == 3


def test_weights_with_a_row_for_each_output_are_a_convention():
    report = check_layer(
        lambda x, W, b: (x @ W.T + b, (x, W)),
        lambda dout, cache: (dout @ cache[1], dout.T @ cache[0], dout.sum(axis=0)),
    )
    assert report.ok, report.text()
    assert report.conventions[0].says == "W has a row for each output: out = x W^T + b"


def test_another_definition_is_a_convention():
    text = TEXTS["attention"].replace(" / np.sqrt(Q.shape[1])", "").replace(" / np.sqrt(d)", "")
    namespace = {"np": np}
    exec(text, namespace)
    report = check_layer(namespace["forward"], namespace["backward"], kind="attention")
    assert report.ok, report.text()
    assert report.conventions[0].says == "the scores are not divided by sqrt(d)"


def test_the_truth_is_that_of_their_forward_pass():
    report = check_layer(lambda x: (np.sin(x), x), lambda dout, x: dout * np.cos(x), kind="tanh")
    assert report.codes == ("forward.unknown",)
    assert [part.says for part in report.parts] == ["exact"]
    report = check_layer(lambda x: (np.sin(x), x), lambda dout, x: -dout * np.cos(x), kind="tanh")
    assert report.codes == ("forward.unknown", "unknown.gradient")
    assert report.findings[1].evidence == "It is -1 times the right one."


@pytest.mark.parametrize(
    ("forward", "backward", "code", "says"),
    [
        (lambda x, W, b: 1 / 0, None, "call.raises", "ZeroDivisionError"),
        (lambda x, W, b: None, None, "call.no-arrays", "expected out"),
        (lambda x, W, b: x @ W + b, lambda dout, x, W, b: (dout @ W.T,), "call.no-arrays",
         "It returned (ndarray)"),
        (lambda x, W, b: x @ W + b, lambda dout, x, W, b: x @ dout, "call.raises", "ValueError"),
        (lambda x, W, b: x @ W + b, lambda dout, x, W, b: {"a": 1}, "call.no-arrays",
         "expected dx, dW, db"),
    ],
)  # fmt: skip
def test_whatever_goes_wrong_in_a_call_is_a_finding(forward, backward, code, says):
    report = check_layer(forward, backward)
    assert report.codes == (code,), report.text()
    assert says in report.findings[0].evidence


def test_what_is_written_to_is_mentioned():
    def backward(dout, x):
        dout[x <= 0] = 0
        return dout

    report = check_layer(lambda x: (np.maximum(x, 0), x), backward, kind="relu")
    assert report.ok
    assert "writes into dout" in report.text()


def test_a_kind_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="kind is 'gru': expected one of 'affine'"):
        check_layer(lambda x: x, kind="gru")
    assert check_layer(*made("batch norm"), kind="BatchNorm").ok


def test_every_row_has_its_texts():
    for row in MISTAKES:
        assert row.category in CATEGORIES
        assert BY_CODE[row.code] is row
        assert row.says.endswith(".")
        assert row.fix.rstrip(".]").endswith(("}", "]")) or row.fix.endswith(".")
        for kind, steps in row.changes.items():
            assert set(steps) <= set(KINDS[kind].steps)
    for kind, layer in KINDS.items():
        assert set(RULES[kind]) == set(layer.steps)
