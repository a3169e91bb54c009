"""What the learner's pages and the ten tasks give as answers is right."""

import doctest
import math
import re
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.checking import check_engine, diagnose

DOCS = Path(__file__).parents[2] / "docs"
QUESTIONS, ANSWERS = (DOCS / "tasks.md").read_text(encoding="utf-8").split("\n## Answers\n")


def mended(page, wrong, right):
    """Return the names that a page defines up to the line *wrong*, which is mended."""
    text = (DOCS / "learn" / page).read_text(encoding="utf-8")
    names = {}
    for example in doctest.DocTestParser().get_examples(text):
        exec(example.source.replace(wrong, right), names)
        if wrong in example.source:
            return names, text
    raise AssertionError(f"{wrong!r} is not on {page}")


def test_the_line_that_is_right_makes_the_network_right():
    wrong = "deltas = deltas @ thetas[l][:, 1:] * layers[l]\n"
    (right,) = re.findall(
        r"right</summary>\s+`(.*)`", (DOCS / "learn" / "network.md").read_text(encoding="utf-8")
    )
    names, _ = mended("network.md", wrong, right + "\n")
    assert diagnose(names["backprop"], loss="logistic", lam=0).ok


def test_the_engine_is_right_when_what_was_wrong_is_mended():
    names, text = mended("engine.md", "(1 - t,)", "(1 - t * t,)")
    assert "`1 - t` should be `1 - t * t`" in text
    assert check_engine(names["Node"]).ok


def answer(number):
    (found,) = re.findall(
        rf"^{number}\. (.*?)(?=^\d+\. |^## |\Z)", ANSWERS, flags=re.DOTALL | re.MULTILINE
    )
    return " ".join(found.split())


def test_there_are_ten_tasks_with_their_answers():
    for number in range(1, 11):
        assert re.search(rf"^{number}\. ", QUESTIONS, flags=re.MULTILINE)
        assert answer(number)


def test_the_derivatives_of_x_to_the_x():
    # x^x (log x + 1), and x^x ((log x + 1)^2 + 1/x)
    first, second = 4 * (math.log(2) + 1), 4 * ((math.log(2) + 1) ** 2 + 0.5)
    assert answer(2) == f"{first:.4f} and {second:.4f}."
    slope = cr.grad(lambda x: x**x)
    assert slope(2.0) == pytest.approx(first, rel=1e-15)
    assert cr.grad(slope)(2.0) == pytest.approx(second, rel=1e-15)


def test_the_bias_that_saturates_the_neuron():
    assert "b = 5: then z = 4 and the gradient is 2 (1 - tanh²4) = 0.0027" in answer(4)
    assert 2 * (1 - math.tanh(4) ** 2) == pytest.approx(0.0027, abs=5e-5)


def test_the_fit():
    # By Gauss and Newton with derivatives by hand.
    t, y = [0, 1, 2, 3], [2, 1.2, 0.75, 0.45]
    a, b = 2.0, 0.5
    for _ in range(20):
        rows = [(math.exp(-b * s), -a * s * math.exp(-b * s)) for s in t]
        r = [a * math.exp(-b * s) - v for s, v in zip(t, y, strict=True)]
        p = sum(u * u for u, _ in rows)
        q = sum(u * v for u, v in rows)
        w = sum(v * v for _, v in rows)
        g = sum(u * e for (u, _), e in zip(rows, r, strict=True))
        h = sum(v * e for (_, v), e in zip(rows, r, strict=True))
        a, b = a - (w * g - q * h) / (p * w - q * q), b - (p * h - q * g) / (p * w - q * q)
    assert answer(7) == f"a = {a:.3f}, b = {b:.3f}."


def test_the_second_derivative_of_gompertz_at_zero():
    assert answer(10).startswith("0:")
    gompertz = cr.grad(cr.grad(lambda x: cr.exp(-cr.exp(-x))))
    assert gompertz(0.0) == 0.0
