"""The page in a real browser: what it shows is what Python says, and what it must never do."""

from __future__ import annotations

import os
import random

import pytest

import chainrule as cr
from chainrule import viz
from chainrule.viz.explore.data import whole_graph
from chainrule.viz.explore.expressions import names
from chainrule.viz.text import short

from .conftest import axe_finds
from .sequences import Mirror, Recipe, actions

SEQUENCES = int(os.environ.get("CHAINRULE_SEQUENCES", "20"))
GRAPHS = 20
BY_HAND = 3  # sequences that are typed and clicked as by a person, which takes ten times as long

SHOWN = """() => [...document.querySelectorAll(".box")].map((box) =>
    [box.querySelector(".data").textContent, box.querySelector(".grad").textContent])"""


def neuron():
    w, x, b = cr.Value(-3.0, "w"), cr.Value(2.0, "x"), cr.Value(6.88, "b")
    out = cr.tanh(w * x + b)
    out.label = "out"
    return out


def is_shown(text, number, nothing):
    if number is None:
        return text == nothing
    nearby = (number, number * (1 + 1e-9), number * (1 - 1e-9), number + 1e-12, number - 1e-12)
    return text in {short(x) for x in nearby}


def act(tab, action, given):
    """Do on the page what a person would do."""
    match action:
        case "type":
            field = tab.locator("#leaves input[type=text]").nth(given[0])
            field.fill(repr(given[1]))
            field.press("Enter")
            field.blur()
        case "descend":
            tab.fill("#rate", repr(given[0]))
            tab.click("#descend")
        case "undo":
            if tab.is_enabled("#undo"):
                tab.click("#undo")
        case "reset":
            tab.click("#reset")
        case "go":
            tab.eval_on_selector(
                "#scrub",
                "(e, to) => { e.value = to; e.dispatchEvent(new Event('input')); }",
                given[0],
            )
        case "step":
            tab.locator("#picture").press("ArrowRight" if given[0] > 0 else "ArrowLeft")
        case "mode":
            tab.select_option("#mode", given[0])
        case "seed":
            tab.select_option("#mode", "forward")
            tab.select_option("#seed", index=given[0])


ACTED = """(actions) => {
    const find = (selector) => document.querySelector(selector);
    const set = (element, value, event) => {
        element.value = value;
        element.dispatchEvent(new Event(event));
    };
    const shown = SHOWN;
    return actions.map(([action, given]) => {
        switch (action) {
            case "type": {
                const fields = document.querySelectorAll("#leaves input[type=text]");
                set(fields[given[0]], given[1], "change");
                break;
            }
            case "descend":
                find("#rate").value = given[0];
                find("#descend").click();
                break;
            case "undo": case "reset":
                find("#" + action).click();
                break;
            case "go":
                set(find("#scrub"), given[0], "input");
                break;
            case "step": {
                const key = Number(given[0]) > 0 ? "ArrowRight" : "ArrowLeft";
                find("#picture").dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
                break;
            }
            case "mode":
                set(find("#mode"), given[0], "change");
                break;
            case "seed":
                set(find("#mode"), "forward", "change");
                find("#seed").selectedIndex = given[0];
                find("#seed").dispatchEvent(new Event("change"));
        }
        return shown();
    });
}""".replace("SHOWN", SHOWN)


def test_after_any_sequence_the_page_shows_what_python_says(browser):
    tab = browser.open(viz.explore(neuron()))
    for graph in range(min(GRAPHS, SEQUENCES)):
        recipe = Recipe(graph)
        page = viz.explore(recipe.build(recipe.start))
        for sequence in range(graph, SEQUENCES, GRAPHS):
            browser.show(tab, page)
            mirror, done, expected = Mirror(recipe), [], []
            for action, *given in actions(mirror, random.Random(sequence), 8):
                done.append((action, given))
                expected.append(mirror.shown())
            if sequence < BY_HAND:
                seen = [(act(tab, *each), tab.evaluate(SHOWN))[1] for each in done]
            else:
                events = [(action, [*map(str, given)]) for action, given in done]
                seen = tab.evaluate(ACTED, events)
            for each, texts, (values, flows) in zip(done, seen, expected, strict=True):
                for (data, grad), value, flow in zip(texts, values, flows, strict=True):
                    assert is_shown(data, value, ""), (graph, sequence, each, data, value)
                    assert is_shown(grad, flow, "–"), (graph, sequence, each, grad, flow)


def test_labels_are_data_and_nothing_in_them_runs(browser):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    a, b = cr.Value(2.0, evil), cr.Value(3.0, "'\"><svg onload=alert(3)>\u2028${alert(4)}&lt;")
    c = cr.Value(1.0, "%data%")
    tab = browser.open(viz.explore(a * b + a * c, title="<b onclick=alert(5)>bold</b>"))
    assert tab.locator("img, b, script:not([id])").count() == 1  # the page's own script
    for box in tab.locator(".box").all():
        box.click()
    assert tab.text_content("h1") == "<b onclick=alert(5)>bold</b>"
    assert evil[:10] in tab.text_content("#leaves")
    assert "%data%" in tab.text_content("#leaves")


def same(text, number):
    """Whether *text* is, as Python reads it, this *number*, to the sign of a zero."""
    return repr(float(text)) == repr(number)


def test_what_is_typed_is_the_number_that_python_reads(browser):
    x = cr.Value(2.0, "x")
    tab = browser.open(viz.explore(1.0 / x))
    field = tab.locator("#leaves input[type=text]")
    for text in (
        "1e309", "-0", "nan", "NaN", "inf", "-Infinity", "1e-320", " 2 ", "−3", "1e−3", "+5.",
        ".5", "3.14159265358979323846264338327950288", "1" * 400,
    ):  # fmt: skip
        field.fill(text)
        field.press("Enter")
        x = cr.Value(float(text.replace("−", "-")))
        assert same(field.input_value(), x.data), text
        assert same(tab.text_content("#root-value"), (1.0 / x).data), text
        assert tab.evaluate(SHOWN)[0][0] == short(x.data), text
        assert tab.text_content("#refused") == "", text


def test_the_address_keeps_what_is_not_an_ordinary_number(browser):
    graph = cr.Value(2.0, "a") + cr.Value(2.0, "b") + cr.Value(2.0, "c") + cr.Value(0.0, "d")
    page = viz.explore(graph)
    tab = browser.open(page)
    fields = tab.locator("#leaves input[type=text]")
    typed = ["inf", "nan", "1e-320", "-0"]
    for i, text in enumerate(typed):
        fields.nth(i).fill(text)
        fields.nth(i).press("Enter")
    tab.wait_for_timeout(400)
    again = browser.open(page, tab.evaluate("location.hash"))
    shown = [field.input_value() for field in again.locator("#leaves input[type=text]").all()]
    assert shown == typed


REFUSED = {
    "abc": "“abc” is not a number here",
    "": "Nothing was given",
    "0,5": "“0,5” has a comma: write 0.5, with a point.",
    "0x10": "not a number",
    "1_000": "not a number",
    "1/3": "not a number",
    "x" * 5000: "“" + "x" * 29 + "…” is not",
}


def test_what_is_not_a_number_is_refused_aloud_and_changes_nothing(browser):
    tab = browser.open(viz.explore(neuron()))
    before = tab.text_content("#root-value")
    field, other = (tab.locator("#leaves input[type=text]").nth(i) for i in (0, 1))
    refused = tab.locator("#refused")
    assert refused.get_attribute("role") == "status"
    for text, said in REFUSED.items():
        field.fill(text)
        field.press("Enter")
        assert said in refused.text_content()
        assert refused.text_content().endswith("w stays -3.")
        assert field.get_attribute("aria-invalid") == "true"
        assert tab.text_content("#root-value") == before
        tab.fill("#h", text)
        assert said in tab.text_content("#nudge")
    tab.fill("#rate", "0,5")
    tab.click("#descend")
    assert REFUSED["0,5"] in tab.text_content("#refused-rate")
    assert tab.get_attribute("#rate", "aria-invalid") == "true"
    assert tab.get_attribute("#h", "aria-invalid") == "true"
    field.press("Escape")  # back to what it was
    assert (field.input_value(), refused.text_content()) == ("-3", "")
    assert field.get_attribute("aria-invalid") == "false"
    field.fill("abc")
    field.press("Enter")
    other.fill("1")
    other.press("Enter")
    assert (field.input_value(), refused.text_content()) == ("-3", "")
    assert field.get_attribute("aria-invalid") == "false"
    field.fill("4")
    other.focus()
    assert tab.text_content("#root-value") == repr((cr.tanh(cr.Value(4.0) * 1.0 + 6.88)).data)
    tab.locator("#picture").press("Control+z")
    tab.locator("#picture").press("Control+z")
    tab.locator("#picture").press("Control+z")  # nothing is left to undo
    assert tab.text_content("#root-value") == before


def test_on_paper_a_page_is_light_and_whole(browser):
    y = cr.Value(0.5, "x")
    for _ in range(12):
        y = cr.sin(y)
    tab = browser.open(viz.explore(y), width=600, color_scheme="dark")
    ink = "getComputedStyle(document.body).color"
    assert tab.evaluate(ink) == "rgb(230, 237, 243)"
    tab.emulate_media(media="print")
    assert tab.evaluate(ink) == "rgb(31, 35, 40)"
    picture = tab.locator("#picture")
    assert picture.evaluate("(e) => e.scrollWidth <= e.clientWidth")
    assert not tab.is_visible("#play")
    assert not tab.is_visible("#h-quiz")
    assert tab.evaluate("getComputedStyle(document.body).page") == "wide"


def test_without_scripts_it_says_what_it_needs(browser):
    tab = browser.open(viz.explore(neuron()), java_script_enabled=False)
    assert "allow it to run scripts" in tab.locator("body").inner_text()


def test_no_request_can_be_made(browser):
    tab = browser.open(viz.explore(neuron()))
    tried = tab.evaluate("""async () => {
        const found = [];
        for (const url of ["https://example.org/", "data.json"]) {
            found.push(await fetch(url).then(() => "sent", () => "refused"));
        }
        const picture = new Image();
        const loaded = new Promise((done) => {
            picture.onload = () => done("sent");
            picture.onerror = () => done("refused");
        });
        picture.src = "https://example.org/x.png";
        found.push(await loaded);
        document.body.setAttribute("onclick", "window.ran = 1");
        document.body.click();
        found.push(window.ran === undefined ? "refused" : "ran");
        return found;
    }""")
    assert tried == ["refused"] * 4
    others = [text for text in browser.problems if "Content Security Policy" not in text]
    assert others == []
    browser.problems.clear()


def test_keys_step_and_controls_keep_theirs(browser):
    tab = browser.open(viz.explore(neuron()))
    count = tab.locator("#count")
    tab.locator("#picture").press("Home")
    assert count.text_content() == "0 of 9"
    assert tab.text_content("#sentence") == "Only the leaves have numbers yet."
    tab.keyboard.press("ArrowRight")
    assert tab.text_content("#sentence") == "w*x = (-3) × 2 = -6"
    tab.keyboard.press("End")
    assert count.text_content() == "9 of 9"
    tab.keyboard.press("ArrowLeft")
    assert tab.text_content("#sentence") == "w.grad += 2 × 0.5010 = 1.002"
    tab.keyboard.press("Space")
    assert tab.text_content("#play") == "Pause"
    expect = pytest.importorskip("playwright.sync_api").expect
    expect(tab.locator("#play")).to_have_text("Play")
    assert count.text_content() == "9 of 9"
    field = tab.locator("#leaves input").first
    field.press("Home")
    field.press("ArrowRight")
    assert count.text_content() == "9 of 9"  # these keys move in the text


def test_an_address_opens_the_page_where_it_was(browser):
    tab = browser.open(viz.explore(neuron()))
    tab.fill("#leaves input >> nth=0", "-2.5")
    tab.keyboard.press("Enter")
    tab.locator(".box").nth(0).click()
    tab.locator("#picture").press("Home")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_timeout(400)
    fragment = tab.evaluate("location.hash")
    assert fragment == "#step=1&at=0:-2.5&node=0"
    again = browser.open(viz.explore(neuron()), fragment)
    assert again.text_content("#sentence") == "w*x = (-2.5) × 2 = -5"
    assert again.text_content("#about").startswith("w = -2.5")
    nonsense = browser.open(viz.explore(neuron()), "#step=x&at=9:1,0:abc&node=77&forward=5&%")
    assert nonsense.text_content("#count") == "9 of 9"


def test_paths_multiply_and_add_up_to_the_gradient(browser):
    a = cr.Value(3.0, "a")
    b = a * 2.0
    b.label = "b"
    tab = browser.open(viz.explore(a * b))
    tab.locator(".box").nth(0).hover()
    about = tab.text_content("#about")
    assert "2 paths lead to a*b" in about
    assert "a → a*b: 6 = 6" in about
    assert "a → b → a*b: 2 × 3 = 6" in about
    assert "sum: 6 + 6 = 12" in about
    assert tab.locator(".link.on-path").count() == 3
    tab.mouse.move(0, 0)
    assert tab.locator(".link.on-path").count() == 0
    tab.locator(".box").nth(1).focus()
    assert tab.locator(".link.on-path").count() == 1


def test_a_drag_is_one_change_and_what_was_stays_in_sight(browser):
    tab = browser.open(viz.explore(neuron()))
    slider = tab.locator("#leaves input[type=range]").first
    box = slider.bounding_box()
    y = box["y"] + box["height"] / 2
    tab.mouse.move(box["x"] + box["width"] / 2, y)
    tab.mouse.down()
    for i in range(5):
        tab.mouse.move(box["x"] + box["width"] / 2 + 4 * i, y)
    tab.mouse.up()
    now = float(tab.locator("#leaves input[type=text]").first.input_value())
    assert now != -3.0
    row = tab.locator("#leaves tr").first
    assert "changed" in row.get_attribute("class")
    assert row.locator("td").nth(2).text_content() == "-3"
    expected = cr.tanh(cr.Value(now) * 2.0 + 6.88).data
    assert float(tab.text_content("#root-value")) == pytest.approx(expected, rel=1e-14)
    tab.click("#undo")
    assert tab.locator("#leaves input[type=text]").first.input_value() == "-3"
    assert tab.is_disabled("#undo")


def test_a_nudge_beside_the_gradient(browser):
    x = cr.Value(3.0, "x")
    tab = browser.open(viz.explore(x * x))
    tab.fill("#h", "0.5")
    said = tab.text_content("#nudge")
    assert "x*x goes from 9 to 12.25: a change of 3.25" in said
    assert "x.grad × h = 6 × 0.5 = 3" in said
    assert "They differ by 0.25" in said
    tab.fill("#leaves input[type=text]", "nan")
    tab.keyboard.press("Enter")
    assert "there is nothing to compare" in tab.text_content("#nudge")


def test_the_quiz_hides_what_it_asks_and_says_what_a_wrong_answer_is_right_for(browser):
    x = cr.Value(3.0, "x")
    y = x * x
    y.label = "y"
    tab = browser.open(viz.explore(y))
    tab.evaluate("Math.random = () => 0.99")
    tab.click("#ask")
    assert tab.text_content("#question") == "What is x.grad, that is d y / d x?"
    assert tab.evaluate(SHOWN)[0] == ["3", "?"]
    for answer, verdict in (
        ("3", "flows through y alone"),
        ("-6", "the sign is not"),
        ("1", "from upstream alone"),
        ("abc", "not a number"),
        ("6.01", "Right. x.grad = 3 × 1 + 3 × 1 = 6."),
    ):
        tab.fill("#answer", answer)
        tab.keyboard.press("Enter")
        assert verdict in tab.locator("#verdict p").last.text_content()
    assert tab.text_content("#score").startswith("1 right of 1 asked")
    assert tab.evaluate(SHOWN)[0] == ["3", "6"]


def test_a_leaf_under_an_operation_of_your_own_is_locked(browser):
    cube = cr.primitive("page_cube", lambda x: x * x * x, (lambda x, y: 3.0 * x * x,))
    a, b = cr.Value(2.0, "a"), cr.Value(5.0, "b")
    tab = browser.open(viz.explore(cube(a) * b))
    fields = tab.locator("#leaves input[type=text]")
    assert fields.nth(0).is_disabled()
    fields.nth(1).fill("10")
    fields.nth(1).press("Enter")
    assert tab.evaluate(SHOWN) == [["2", "120"], ["10", "8"], ["8", "10"], ["80", "1"]]


def test_a_fold_opens_and_closes_and_numbers_are_the_same_inside(browser):
    x = cr.Value(0.5, "x")
    y = x
    for _ in range(30):
        y = cr.sin(y) * x
    page = viz.explore(y, limit=20)
    tab = browser.open(page)
    folds = tab.locator(".box.fold")
    assert folds.count() > 0
    assert tab.locator("#crumbs button").count() == 0
    folds.first.click()
    assert tab.locator("#crumbs button").all_text_contents() == ["whole graph"]
    tab.locator("#crumbs button").click()
    assert folds.count() > 0
    folds.first.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("#crumbs button").count() == 1
    y.backward()
    members = whole_graph(y)
    member = names(members)[20]
    tab.select_option("#node", label=member)
    box = tab.locator(".box.selected")
    assert box.get_attribute("aria-label").endswith(f"({member}, value, gradient)")
    data, grad = box.locator(".data").text_content(), box.locator(".grad").text_content()
    node = members[20]
    assert (data, grad) == (short(node.data), short(node.grad))
    tab.wait_for_timeout(400)
    assert "view=" in tab.evaluate("location.hash")
    again = browser.open(page, tab.evaluate("location.hash"))
    assert again.locator(".box.selected").get_attribute("aria-label") == box.get_attribute(
        "aria-label"
    )


def test_in_a_notebook_it_runs_in_a_frame_of_its_own(browser):
    page = viz.explore(neuron())
    tab = browser.open(f"<!doctype html><title>notebook</title>{page._repr_html_()}")
    frame = tab.frame_locator("iframe")
    frame.locator("#back").click()
    assert frame.locator("#sentence").text_content() == "w.grad += 2 × 0.5010 = 1.002"
    assert tab.locator("iframe").get_attribute("sandbox") == "allow-scripts"


def test_axe_finds_nothing(browser):
    tab = browser.open(viz.explore(neuron()))
    tab.locator(".box").nth(0).click()
    tab.click("#ask")
    tab.click("#hint")
    tab.eval_on_selector("#all", "(e) => { e.open = true; }")
    assert axe_finds(tab) == []


@pytest.mark.parametrize("zoom", [1, 2])
def test_a_narrow_screen_does_not_scroll_sideways(browser, zoom):
    tab = browser.open(viz.explore(neuron()), width=360 * zoom, device_scale_factor=zoom)
    tab.evaluate("(zoom) => { document.documentElement.style.zoom = zoom; }", zoom)
    tab.locator(".box").nth(0).click()
    tab.eval_on_selector("#all", "(e) => { e.open = true; }")
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
