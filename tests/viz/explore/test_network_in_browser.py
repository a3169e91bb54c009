"""The page of a network in a real browser."""

from __future__ import annotations

import re

import pytest

from chainrule import nn, viz
from chainrule.viz.text import short

from .conftest import axe_finds
from .test_network import descend

XOR, TARGETS = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0.0, 1.0, 1.0, 0.0]


def made():
    model = nn.MLP(2, [3, 1], activation="tanh", seed=1)
    return model, viz.explore_network(model, XOR, TARGETS, loss="logistic")


def units(tab):
    return tab.evaluate("""() => [...document.querySelectorAll(".unit[role]")].map((unit) =>
        [unit.querySelector(".data").textContent, unit.querySelector(".grad").textContent])""")


def expected(model, i):
    model.zero_grad()
    trace = model.trace(XOR[i])
    nn.losses.logistic(trace.output, TARGETS[i]).backward()
    found = [[short(x), ""] for x in XOR[i]]
    for layer in sorted(trace.z):
        found += [
            [short(a.data), short(z.grad)]
            for a, z in zip(trace.a[layer], trace.z[layer], strict=True)
        ]
    return found


def test_it_shows_and_trains_what_nn_says(browser):
    model, page = made()
    tab = browser.open(page)
    for i in (0, 1, 2, 3, 1):
        tab.select_option("#example", str(i))
        assert units(tab) == expected(model, i)
    tab.click("#one")
    descend(model, XOR, TARGETS, "logistic", [1], 0.1)
    assert units(tab) == expected(model, 1)
    tab.fill("#rate", "0.5")
    tab.select_option("#batch", "1")
    for _ in range(5):
        tab.click("#epoch")
        for i in range(4):
            descend(model, XOR, TARGETS, "logistic", [i], 0.5)
    assert units(tab) == expected(model, 1)
    tab.locator("#picture").press("ArrowLeft")
    assert units(tab) == expected(model, 0)
    tab.click("#reset")
    assert units(tab) == expected(made()[0], 0)
    assert tab.text_content("#told") == "The cost is logistic."
    tab.fill("#rate", "inf")
    tab.click("#epoch")
    assert tab.text_content("#outcome") == "prediction nan; target 0; cost nan"
    assert "reset them, and take a smaller rate" in tab.text_content("#told")
    assert tab.text_content("#key").startswith("0 of 4 examples are on the right side")


def test_a_unit_tells_its_formulas_with_its_numbers(browser):
    model = nn.MLP(1, [1, 1], activation="sigmoid", output_activation="sigmoid", seed=0)
    model.thetas = [[[0.5, 2.0]], [[-1.0, 3.0]]]
    page = viz.explore_network(model, [[0.25]], [1.0], loss="half_squared_error")
    tab = browser.open(page, "#unit=1,1")
    trace = model.trace([0.25])
    nn.losses.half_squared_error(trace.output, 1.0).backward()
    z, delta, after = trace.z[2][0], trace.delta(2)[0], trace.delta(3)[0]
    slope = trace.a[2][0].data * (1 - trace.a[2][0].data)
    said = [line.text_content() for line in tab.locator("#about p").all()]
    assert said == [
        "z₁⁽²⁾ = Θ₁₀⁽¹⁾ + Θ₁₁⁽¹⁾ a₁⁽¹⁾",
        f"= 0.5 + 2 × 0.25 = {short(z.data)}",
        f"a₁⁽²⁾ = sigmoid(1) = {short(trace.a[2][0].data)}",
        "δ₁⁽²⁾ = (Θ₁₁⁽²⁾ δ₁⁽³⁾) × g'(z₁⁽²⁾)",
        f"= (3 × ({short(after)})) × {short(slope)} = {short(delta)}",
        f"d cost / d Θ₁₁⁽¹⁾ = δ₁⁽²⁾ a₁⁽¹⁾ = ({short(delta)}) × 0.25 = {short(delta * 0.25)}",
        f"d cost / d Θ₁₀⁽¹⁾ = δ₁⁽²⁾ = {short(delta)}",
    ]
    tab.locator(".unit[role]").last.click()
    a = trace.output.data
    cost, slope, after = short(a - 1.0), short(a * (1 - a)), short(after)
    said = tab.locator("#about p").all_text_contents()
    assert f"δ₁⁽³⁾ = d cost / d a₁⁽³⁾ × g'(z) = ({cost}) × {slope} = {after}" in said


def test_it_runs_until_it_is_told_to_stop(browser):
    tab = browser.open(made()[1])
    tab.locator("#picture").press("Space")
    expect = pytest.importorskip("playwright.sync_api").expect
    expect(tab.locator("#epochs")).to_have_text(re.compile(r"^[1-9]\d* epochs$"))
    tab.click("#run")
    assert tab.text_content("#run") == "Run"
    assert "examples are on the right side" in tab.text_content("#key")
    assert tab.locator("#losses svg").count() == 1


def test_a_large_network_is_shown_as_its_matrices(browser):
    model = nn.MLP(20, [15, 5], activation="relu", seed=0)
    page = viz.explore_network(model, [[0.1] * 20], [2], loss="cross_entropy")
    tab = browser.open(page)
    captions = [each.text_content() for each in tab.locator("figcaption").all()]
    assert [text.partition(",")[0] for text in captions] == [
        "a⁽¹⁾: 20 × 1", "Θ⁽¹⁾: 15 × 21", "δ⁽²⁾: 15 × 1",
        "a⁽²⁾: 15 × 1", "Θ⁽²⁾: 5 × 16", "δ⁽³⁾: 5 × 1", "a⁽³⁾: 5 × 1",
    ]  # fmt: skip
    assert tab.is_hidden("#bounded")
    tab.fill("#rate", "inf")
    tab.click("#epoch")
    assert tab.text_content("#outcome").startswith("prediction nan; target class 2")


@pytest.mark.parametrize("large", [False, True])
def test_axe_finds_nothing(browser, large):
    page = made()[1]
    if large:
        model = nn.MLP(2, [13, 3], activation="relu", seed=0)
        page = viz.explore_network(model, [[0.1] * 2], [2], loss="cross_entropy")
    tab = browser.open(page)
    tab.click("#epoch")
    tab.eval_on_selector("#all", "(e) => { e.open = true; }")
    assert tab.locator("canvas[role=img]").count() > 2 * large
    assert axe_finds(tab) == []
