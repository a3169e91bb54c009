"""The page as a file: what is in it, how large it is, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import random
import re

import pytest

import chainrule as cr
from chainrule import nn, viz
from chainrule.viz.explore.data import whole_graph
from chainrule.viz.explore.expressions import TEXTBOOK
from chainrule.viz.explore.page import as_json, digest
from chainrule.viz.explore.views import views_of


def part(html, start, end):
    return html.partition(start)[2].partition(end)[0]


def data_of(page):
    return json.loads(part(page.html, '<script type="application/json" id="data">', "</script>"))


def test_the_policy_names_the_script_and_the_style_and_nothing_else():
    html = viz.explore(cr.Value(2.0, "x") * 3.0).html
    script = html.rpartition("<script>")[2].partition("</script>")[0]
    style = part(html, "<style>", "</style>")
    policy = part(html, 'Content-Security-Policy" content="', '"')
    assert policy == (
        f"default-src 'none'; script-src '{digest(script)}'; style-src '{digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert "%" not in policy
    assert re.search(r"\son\w+=", html.replace(script, "")) is None  # no handlers in attributes
    assert re.search(r"(?:src|href)=", html.replace(script, "")) is None
    assert "innerHTML" not in script
    assert "http" not in script.replace("http://www.w3.org/2000/svg", "")


def layers_of_a_hundred_nodes():
    model = nn.MLP(3, [14, 2], activation="tanh", seed=0)
    return nn.losses.squared_error(model([0.1, -0.2, 0.7]), [1.0, 0.0])


def steps_that_all_use_one_leaf():
    y = x = cr.Value(0.5, "x")
    for _ in range(55):
        y = cr.sin(y) * x
    return y


@pytest.mark.parametrize("make", [layers_of_a_hundred_nodes, steps_that_all_use_one_leaf])
def test_a_graph_of_a_hundred_nodes_is_under_200_kilobytes(make):
    page = viz.explore(make())
    assert 100 <= len(data_of(page)["nodes"]) <= 130
    assert len(page.html.encode()) < 200_000


def test_numbers_that_json_lacks_are_texts():
    x = cr.Value(float("inf"), "x")
    data = data_of(viz.explore(x - x))
    assert [node["data"] for node in data["nodes"]] == ["inf", "nan"]
    assert viz.explore(cr.Value(-0.0) * 1.0).html.count('"data":-0.0') == 2


def test_the_branch_that_is_not_chosen_is_there_too():
    a, b = cr.Value(1.0, "a"), cr.Value(2.0, "b")
    y = cr.where(cr.less(a, 0.0), cr.exp(b), a)
    data = data_of(viz.explore(y))
    assert [node["name"] for node in data["nodes"]] == ["a", "b", "less(a, 0)", "exp(b)", "result"]
    assert data["nodes"][-1]["operands"] == [2, 3, 0]
    assert len(data["views"][0]["wires"]) == 5


@pytest.mark.parametrize("row", TEXTBOOK, ids=lambda row: row.name)
def test_what_a_course_writes_is_the_derivative_of_the_table(row):
    for x in (-3.0, -0.2, 0.0, 1.5):
        written = eval(TEXTBOOK[row], {"x": x, row.name: row})
        assert written == pytest.approx(cr.grad(row)(x), rel=1e-12)


def test_text_cannot_leave_its_element():
    written = as_json({"<!--": "</script>&amp;\u2028"})
    assert not set("<>&\u2028") & set(written)
    assert json.loads(written) == {"<!--": "</script>&amp;\u2028"}


@pytest.mark.parametrize(
    ("root", "says"),
    [
        (3.0, "explore: expected a Value, the root of a graph, not float"),
        ([cr.Value(1.0)], "explore one of its elements"),
        (nn.MLP(1, [1], seed=0), r"use viz.explore_network\(model, X, Y, loss=...\)"),
    ],
)
def test_what_is_not_a_graph_is_refused(root, says):
    with pytest.raises(TypeError, match=says):
        viz.explore(root)
    with pytest.raises(TypeError, match="explore: title is 3"):
        viz.explore(cr.Value(1.0), title=3)


def wide():
    model = nn.MLP(2, [6, 5, 2], activation="tanh", seed=0)
    X = [[0.1, -0.2], [0.5, 0.1]]
    return cr.mean([nn.losses.squared_error(model(x), [1.0, 0.0]) for x in X])


@pytest.mark.parametrize("make", [wide, lambda: chain(150)], ids=["network", "chain"])
def test_a_large_graph_is_folded_and_every_node_is_somewhere(make):
    data = data_of(viz.explore(make(), limit=60))
    views, nodes = data["views"], data["nodes"]
    assert len(nodes) > 60
    assert len(views) > 1
    shown = {box["node"] for view in views for box in view["boxes"] if "view" not in box}
    assert shown == set(range(len(nodes)))
    for place, view in enumerate(views):
        for box in view["boxes"]:
            if "view" in box:
                assert views[box["view"]]["parent"] == place
                assert len(box["inside"]) > 1
    wires = {tuple(link) for view in views for wire in view["wires"] for link in wire["links"]}
    links = {
        (k, slot)
        for k, node in enumerate(nodes)
        for slot, x in enumerate(node["operands"])
        if not isinstance(x, list)
    }
    assert wires == links
    assert len(views[0]["boxes"]) <= 60


def chain(length):
    y = cr.Value(1.0, "x")
    for _ in range(length):
        y = cr.sin(y)
    return y


def test_a_graph_too_large_for_a_page_is_refused_with_a_way_out():
    with pytest.raises(ValueError, match=r"5,001 nodes.*viz.explore\(node\)"):
        viz.explore(chain(5000))


def test_a_page_is_saved_as_html_and_as_nothing_else(tmp_path):
    page = viz.explore(cr.Value(2.0, "x") * 3.0, title="Six")
    page.save(tmp_path / "six.html")
    assert (tmp_path / "six.html").read_text(encoding="utf-8") == page.html
    with pytest.raises(ValueError, match=r"\.svg.*\.html"):
        page.save(tmp_path / "six.svg")
    assert repr(page) == "<Page: Six>"


def test_a_page_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "six.html"
    target.write_text("the page of yesterday")
    page = viz.explore(cr.Value(2.0, "x") * 3.0)

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        page.save(target)
    assert target.read_text() == "the page of yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["six.html"]


def test_a_notebook_gets_a_frame_and_an_export_gets_a_picture():
    page = viz.explore(cr.Value(2.0, 'x"') * 3.0, title='"Six"')
    bundle = page._repr_mimebundle_()
    assert bundle["text/html"].startswith('<iframe title="&quot;Six&quot;" sandbox="allow-scripts"')
    assert bundle["image/svg+xml"].startswith("<svg")
    assert bundle["text/plain"] == '<Page: "Six">'


def test_what_has_no_shape_is_cut_into_pieces_side_by_side():
    rng = random.Random(1)
    nodes = [cr.Value(rng.random(), f"v{i}") for i in range(20)]
    for _ in range(400):
        a, b = rng.sample(nodes[-40:], 2)
        nodes.append(rng.choice([lambda: a * b, lambda: a + b, lambda: cr.tanh(a)])())  # noqa: B023
    root = cr.sum(nodes[-40:])
    views = views_of(root, "graph", most=60)
    pieces = [v for v in views if v["title"].startswith("earlier, part")]
    assert [v["title"] for v in pieces if v["parent"] == 0] == [
        f"earlier, part {i}" for i in range(1, len([v for v in pieces if v["parent"] == 0]) + 1)
    ]
    assert 4 <= len(pieces) <= 16

    def depth(view):
        return 0 if view["parent"] is None else 1 + depth(views[view["parent"]])

    assert max(map(depth, views)) <= 2  # one inside the other, it was one for every 24 nodes
    shown = {box["node"] for view in views for box in view["boxes"] if "view" not in box}
    assert shown == set(range(len(whole_graph(root))))
