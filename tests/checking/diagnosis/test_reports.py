"""Reports: in each format, at each level of hints, and as points."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from chainrule.checking import Report, diagnose, probe
from chainrule.checking.diagnosis.mistakes import BY_CODE, CATEGORIES
from chainrule.checking.diagnosis.reporting.words import HINTS

from ...oracles import planted
from .making import PROBE, made, report_on

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


@pytest.mark.parametrize(
    ("activation", "rule", "slope"),
    [
        ("sigmoid", "B2", "a(1 - a)"),
        ("tanh", "C8", "g'(z) = 1 - a²"),
        ("relu", "C8", "g'(z) = 1 where z > 0, 0 elsewhere"),
    ],
)
def test_the_slope_is_that_of_the_layers_own_activation(activation, rule, slope):
    problem = probe("half_squared_error", activation)
    gradients = made("hidden.slope-is-1-minus-a", problem=problem, activation=activation)
    finding = report_on(gradients, problem).findings[0]
    assert (finding.code, finding.rule) == ("hidden.slope-is-1-minus-a", rule)
    assert slope in finding.formula
    assert finding.here.count("g'(z") == 1


def test_a_forward_pass_with_another_activation_is_told_the_stated_one():
    problem = probe("half_squared_error", "tanh")
    gradients = made(problem=problem, activation="relu")
    finding = report_on(gradients, problem).findings[0]
    assert finding.code == "forward.wrong-activation"
    assert finding.formula == "a = tanh(z), g'(z) = 1 - a²"


def test_a_penalty_is_shown_at_a_weight_and_nothing_is_said_of_it_twice():
    """The largest difference is a bias's, which no mean explains and no penalty."""
    gradients = [PROBE.m * D for D in replace(PROBE, lam=0.0).truth.D]
    report = report_on(gradients)
    assert report.codes == ("mean.missing", "penalty.missing")
    mean, penalty = report.findings
    assert mean.says == "The sum over the examples is not divided by m."
    assert "λ Θ₃₄⁽³⁾" in penalty.here
    assert "D₃₀⁽³⁾" in mean.here
    other = mean.alternatives[0]
    assert other.codes == ("mean.missing-everywhere", "penalty.missing")
    assert other.probe.startswith("nothing does: both describe one program")


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
