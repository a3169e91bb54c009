"""Every formula of the course notes, on the graph and in closed form, at many random networks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.checking import course
from chainrule.checking.course import FORMULAS, Instance
from chainrule.checking.course.table import relative_difference

EXPECTED = (
    [f"A{i}" for i in range(1, 8)]
    + [f"B{i}" for i in range(1, 13)]
    + [f"C{i}" for i in range(1, 8)]
    + ["C8 tanh", "C8 relu"]
)
WRONG_IN_PRINT = {"A2", "A4", "A5", "A7", "B4", "C3"}

by_code = pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: formula.code)


@st.composite
def problems(draw, formula):
    setting = formula.setting
    depth = draw(st.integers(*setting.depth))
    widths = st.integers(1, setting.widest)
    sizes = [draw(widths) for _ in range(depth)] + [setting.outputs or draw(widths)]
    return Instance(
        setting,
        sizes,
        m=draw(st.integers(1, 20)),
        lam=draw(st.sampled_from([0.0, 0.01, 1.3, 30.0])),
        seed=draw(st.integers(0, 2**32)),
    )


def test_every_formula_of_the_notes_is_in_the_table():
    assert [formula.code for formula in FORMULAS] == EXPECTED


@by_code
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_the_graph_and_the_closed_form_agree_to_1e_12(formula, data):
    problem = data.draw(problems(formula))
    row = course.check(formula, problem)
    assert row.difference <= 1e-12, (problem.sizes, problem.m, problem.lam)


@by_code
def test_the_network_in_the_table_shows_every_erratum(formula):
    row = course.check(formula, course.example(formula))
    if formula.code in WRONG_IN_PRINT:
        assert row.verdict == "holds as corrected"
        assert formula.erratum
        assert row.printed > 0.05  # what was printed is plainly another number
    else:
        assert row.verdict == "holds"
        assert not formula.erratum
        assert row.printed is None


@by_code
def test_a_closed_form_that_is_off_by_a_millionth_is_refused(formula):
    problem = course.example(formula)
    wrong = replace(formula, closed=lambda p: np.asarray(formula.closed(p)) * (1 + 1e-6))
    assert course.check(wrong, problem).verdict == "does not hold"


def test_a_graph_that_gives_nan_does_not_hold():
    formula = replace(FORMULAS[0], graph=lambda p: np.nan)
    assert course.check(formula, course.example(formula)).verdict == "does not hold"


def test_arrays_of_different_shapes_are_not_compared():
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        relative_difference([1.0, 2.0], [1.0])


def test_with_the_sign_that_a2_is_printed_with_delta_would_be_y_minus_a():
    z, y = cr.Value(0.7), 1.0
    a = cr.sigmoid(z)
    (y * cr.log(a) + (1 - y) * cr.log(1 - a)).backward()
    assert z.grad == pytest.approx(y - a.data, rel=1e-14)


def test_the_text_has_every_formula_its_verdict_and_what_was_wrong():
    text = course.as_text(course.table())
    for formula in FORMULAS:
        assert formula.code in text
        assert formula.text in text
    assert text.count("holds as corrected") == len(WRONG_IN_PRINT)
    assert "28 formulas: 22 hold as printed, 6 hold as corrected, 0 do not hold." in text
    assert "without the parentheses" in " ".join(text.split())


def test_the_markdown_page_is_a_table_that_nothing_in_a_formula_breaks():
    lines = course.as_markdown(course.table()).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == len(FORMULAS) + 2
    assert {row.replace(r"\|", "").count("|") for row in rows} == {7}
