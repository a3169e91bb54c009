"""Drawings: what they say, as data; what they are written as; and what cannot break them."""

import itertools
import math
import random
import re
import textwrap
from xml.etree import ElementTree as ET

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import chainrule as cr
from chainrule import Value, viz
from chainrule.engine.table import TABLE
from chainrule.nn import MLP
from chainrule.viz import circuit as circuit_module
from chainrule.viz import layered, theme
from chainrule.viz import svg as svg_module
from chainrule.viz.circuit import circuit_of
from chainrule.viz.dot import circuit_dot
from chainrule.viz.geometry import Layout, Spline
from chainrule.viz.network import network_of, seen_part
from chainrule.viz.text import advance, short, visible

from .. import children

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    'say "hi"',
    "\\N \\G \\l \\\\ \\",
    "{record|<port>}",
    "<b>bold</b>",
    "<script>alert(1)</script>",
    "]]><!-- --> &amp; &lt; &#65;",
    "'onload='x",
    "line\nbreak\r\ttab",
    "\x00\x1b\x7f\x85",
    "\ud800 lone",
    "\ufffe\uffff",
    "\u202eright to left\u2066",
    "مرحبا שלום",
    "θ → 𝔸 😀 👩‍🔬",
    "e\u0301" * 9,
    "n0 -> n1; subgraph {",
    "%s %d {0} {x}",
    "<",
    "",
    " ",
    "x" * 10_000,
]


def texts(svg, role):
    return [
        span.text or "" for span in ET.fromstring(svg).find(f"{SVG}g").iter(f"{SVG}tspan")
        if theme.presentation(role).items() <= span.attrib.items()
    ]  # fmt: skip


def grid_layout(circuit):
    """Stands for Graphviz where only the writing is tested."""
    places = {node.id: (100.0 * i, 50.0, 90.0, 46.0) for i, node in enumerate(circuit.nodes)}
    spline = Spline(((0.0, 0.0), (1.0, 1.0), (2.0, 1.0), (3.0, 0.0)), (4.0, 0.0), (2.0, 2.0))
    return Layout(100.0 * len(places), 100.0, places, tuple(spline for _ in circuit.edges))


def svg_of(root, **options):
    circuit = circuit_of(root, **options)
    return svg_module.circuit_svg(circuit, grid_layout(circuit))


def neuron():
    w, x, b = Value(-3.0, "w"), Value(2.0, "x"), Value(6.8813735870195432, "b")
    out = cr.tanh(w * x + b)
    out.label = "o"
    return out


# --- numbers and labels --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "written"),
    [
        (1e-5, "1e-5"),
        (1.23456e-5, "1.235e-5"),
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (1 / 3, "0.3333"),
        (0.99999, "1.000"),
        (1234.4, "1234"),
        (123456.0, "1.235e5"),
        (1e300, "1e300"),
        (5e-324, "4.941e-324"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
    ],
)
def test_numbers_have_four_significant_digits(x, written):
    assert short(x) == written


@settings(deadline=None)
@given(st.integers(-99_999, 99_999), st.integers(0, 4), st.integers(-8, 8))
def test_a_number_is_written_alike_with_and_without_the_rounding_of_its_last_bits(n, digits, ulps):
    x = (n // 10) / 10**digits  # up to four significant digits
    near = x
    for _ in range(abs(ulps)):
        near = math.nextafter(near, math.copysign(math.inf, ulps))
    assert x == 0.0 or short(near) == short(x)


def test_what_rounding_left_of_a_sum_is_shown_as_what_it_is():
    a, b, c = Value(0.1, "a"), Value(0.2, "b"), Value(0.3, "c")
    for sum_ in (a + b - c, cr.sum([a, b, -c]), cr.dot([a, b, c], [1.0, 1.0, -1.0])):
        assert sum_.data != 0.0
        assert circuit_of(sum_).nodes[-1].data == f"{short(sum_.data)} ≈ 0"
    x = Value(2.0, "x")
    (0.1 * x + 0.2 * x - 0.3 * x).backward()
    assert x.grad != 0.0
    assert circuit_of(x * 1.0).nodes[0].grad == short(x.grad)  # this graph does not know of what
    y = 0.1 * x + 0.2 * x - 0.3 * x
    x.grad = 0.0
    y.backward()
    circuit = circuit_of(y)
    assert circuit.nodes[0].grad == f"{short(x.grad)} ≈ 0"
    assert "left by rounding" in svg_of(y)
    assert "left by rounding" not in svg_of(a + b)


@pytest.mark.parametrize(
    "pieces", [(1e-17,), (1.0, 1e-15), (1.0, -1.0), (math.inf, 1.0), (1e-300, 1e-310)]
)
def test_a_small_number_that_is_not_what_rounding_left_is_not_marked(pieces):
    sum_ = cr.sum([Value(piece) for piece in pieces])
    assert "≈" not in circuit_of(sum_).nodes[-1].data


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False).filter(bool))
def test_a_number_that_is_not_zero_is_never_written_as_zero(x):
    written = short(x)
    assert len(written) <= 11
    if abs(x) < 1.79e308:
        # half a unit in the fourth digit; subnormals are written exactly as far as they go
        assert math.isclose(float(written), x, rel_tol=5.01e-4, abs_tol=5e-324)
    assert any(digit in written.split("e")[0] for digit in "123456789")


def test_labels_lose_nothing_but_what_cannot_be_seen():
    assert visible('"<b>&\\N{x|y} θ 😀') == '"<b>&\\N{x|y} θ 😀'
    assert visible("a\nb\x00") == "a\\nb\\x00"
    assert visible("\u202eabc") == "\\u202eabc"
    assert visible("\ud800") == "\\ud800"
    assert visible("👩\u200d🔬") == "👩\u200d🔬"
    assert visible("x" * 24) == "x" * 24
    assert visible("x" * 25) == "x" * 23 + "…"


@settings(deadline=None)
@given(st.text(st.characters()), st.integers(1, 50))
def test_every_label_becomes_one_legal_line(label, limit):
    shown = visible(label, limit)
    assert len(shown) <= limit
    assert shown.splitlines() in ([], [shown])
    assert ET.fromstring(f"<a><![CDATA[{shown.replace(']]>', '')}]]></a>") is not None


# --- what a drawing says -------------------------------------------------------------------------


def test_nodes_stand_in_topological_order_and_are_named_after_it():
    circuit = circuit_of(neuron())
    assert [(n.id, n.op, n.label, n.data) for n in circuit.nodes] == [
        ("n0", "", "w", "-3"),
        ("n1", "", "x", "2"),
        ("n2", "", "b", "6.881"),
        ("n3", "*", "", "-6"),
        ("n4", "+", "", "0.8814"),
        ("n5", "tanh", "o", "0.7071"),
    ]
    assert [(e.tail, e.head, e.pin, e.local) for e in circuit.edges] == [
        ("n0", "n3", 0, "2"),
        ("n1", "n3", 1, "-3"),
        ("n3", "n4", 0, "1"),
        ("n2", "n4", 1, "1"),
        ("n4", "n5", 0, "0.5"),
    ]


def test_gradients_are_marked_as_not_computed_until_they_are():
    out = neuron()
    before = viz.draw(out)
    out.backward()
    after = viz.draw(out)
    assert {node.grad for node in before.diagram.nodes} == {"–"}
    assert [node.grad for node in after.diagram.nodes] == [
        "1", "-1.5", "0.5", "0.5", "0.5", "1",
    ]  # fmt: skip
    assert "not yet computed" in svg_of(neuron())
    assert "not yet computed" not in svg_of(out)


def test_a_gradient_that_is_zero_is_told_from_one_that_is_not_there():
    x, y = Value(-1.0, "x"), Value(2.0, "y")
    (cr.relu(x) * 3).backward()
    assert [node.grad for node in circuit_of(x + y).nodes] == ["0", "–", "–"]


def test_a_square_has_both_its_edges():
    x = Value(3.0, "x")
    edges = circuit_of(x * x).edges
    assert [(e.tail, e.head, e.pin, e.local) for e in edges] == [
        ("n0", "n1", 0, "3"),
        ("n0", "n1", 1, "3"),
    ]


def test_every_operation_is_drawn_as_what_it_is():
    a, b = Value(6.0, "a"), Value(3.0, "b")
    assert [circuit_of(v).nodes[-1].op for v in (a - b, a / b, -a, abs(a), a**b)] == [
        "-", "/", "neg", "abs", "**",
    ]  # fmt: skip


def test_constants_stand_beside_their_operation():
    x = Value(2.0, "x")
    nodes = [x**2, 2 * x, x - 0.1, 1 / x, cr.maximum(x, 0.0), cr.where(1.0, x, 3.0)]
    nodes += [cr.leaky_relu(x), cr.softmax([x, x, x, x, x])[1], cr.dot([x], [x])]
    assert [circuit_of(v).nodes[-1].op for v in nodes] == [
        "** 2", "2 *", "- 0.1", "1 /", "maximum(·, 0)", "where(1, ·, 3)",
        "leaky_relu(·, 0.01)", "softmax(1, ·, …, ·)", "dot",
    ]  # fmt: skip


def test_a_drawing_is_a_snapshot():
    x = Value(2.0, "x")
    y = x * x
    drawing = viz.draw(y)
    x.data = 7.0
    y.backward()
    assert [node.data for node in drawing.diagram.nodes] == ["2", "4"]
    assert "–" in drawing.dot


def test_tooltips_have_all_digits():
    x = Value(1 / 3, "x")
    y = x * 3.0
    y.backward()
    circuit = circuit_of(y)
    assert circuit.nodes[0].hint == "x\nvalue 0.3333333333333333\ngradient 3.0"
    assert circuit.edges[0].hint == ("local derivative d(*)/d(x) = 3.0\nsends back 3.0 × 1.0 = 3.0")


def test_a_leaf_alone_can_be_drawn():
    circuit = circuit_of(Value(1.0))
    assert len(circuit.nodes) == 1
    assert circuit.nodes[0].is_leaf
    assert not circuit.nodes[0].cut
    assert circuit.title == "Computation graph"
    assert circuit_of(Value(1.0, "loss")).title == "Computation graph of loss"


def test_the_same_program_gives_the_same_drawing():
    first, second = viz.draw(neuron()), viz.draw(neuron())
    assert first.diagram == second.diagram
    assert first.dot == second.dot


# --- weights folded into dot nodes ---------------------------------------------------------------


def cs231n_neuron():
    w = [Value(2.0, "w0"), Value(-3.0, "w1")]
    x = [Value(-1.0, "x0"), Value(-2.0, "x1")]
    out = cr.sigmoid(cr.dot(w, x, Value(-3.0, "w2")))
    out.backward()
    return out


def test_weights_are_folded_into_their_dot_node():
    circuit = circuit_of(cs231n_neuron())
    assert [node.label or node.op for node in circuit.nodes] == ["x0", "x1", "dot", "sigmoid"]
    rows = circuit.nodes[2].rows
    assert [(row.name, row.data, row.grad) for row in rows] == [
        ("× w0", "2", "-0.1966"),
        ("× w1", "-3", "-0.3932"),
        ("+ w2", "-3", "0.1966"),
    ]
    assert [(e.tail, e.head, e.pin, e.local) for e in circuit.edges[:2]] == [
        ("n0", "n2", 0, "2"),
        ("n1", "n2", 1, "-3"),
    ]


def test_weights_are_shown_as_nodes_on_request():
    circuit = circuit_of(cs231n_neuron(), fold_weights=False)
    assert len(circuit.nodes) == 7
    assert all(not node.rows for node in circuit.nodes)
    assert [e.pin for e in circuit.edges if e.head == "n5"] == [0, 1, 2, 3, 4]


def test_a_weight_with_another_use_stays_a_node_of_its_own():
    w, v, x = Value(2.0, "w"), Value(5.0, "v"), Value(3.0, "x")
    circuit = circuit_of(cr.dot([w, v], [x, 4.0]) + w * w)
    assert [node.label for node in circuit.nodes if node.is_leaf] == ["w", "x"]
    dot = next(node for node in circuit.nodes if node.op == "dot")
    assert [(row.name, row.data) for row in dot.rows] == [("× ·", ""), ("4 × v", "5")]
    into = [(e.tail, e.pin, e.local) for e in circuit.edges if e.head == dot.id]
    assert into == [("n0", 0, "3"), ("n1", 0, "2")]


def test_a_dot_of_constants_and_weights_and_shared_leaves_keeps_its_meaning():
    x = Value(3.0, "x")
    square = circuit_of(cr.dot([x], [x]))  # the same leaf as weight and as input
    assert [len(node.rows) for node in square.nodes] == [0, 0]
    mixed = circuit_of(cr.dot([2.0, Value(1.0, "w")], [x, x], -1.0)).nodes[-1]
    assert [(row.name, row.data) for row in mixed.rows] == [("×", "2"), ("× w", "1"), ("+", "-1")]


def test_a_long_dot_is_shortened_and_its_edges_go_to_the_gap():
    x = [Value(float(i), f"x{i}") for i in range(64)]
    w = [Value(0.5, f"w{i}") for i in range(64)]
    circuit = circuit_of(cr.dot(w, x, Value(1.0, "b")))
    names = [row.name for row in circuit.nodes[-1].rows]
    assert names == ["× w0", "× w1", "× w2", "× w3", "× w4", "… 58 more", "× w63", "+ b"]
    pins = [edge.pin for edge in circuit.edges]
    assert pins == [0, 1, 2, 3, 4, *[5] * 58, 6]


# --- what is left of an earlier pass -----------------------------------------------------------


def test_a_gradient_that_holds_more_than_flows_here_is_told():
    w, x, b = Value(-3.0, "w"), Value(2.0, "x"), Value(6.88, "b")
    y = cr.tanh(w * x + b)
    assert viz.draw(y).diagram.note == ""  # no pass yet
    y.backward()
    assert viz.draw(y).diagram.note == ""
    y.backward()
    note = viz.draw(y).diagram.note
    assert note.startswith("More than flows here is in the gradient of w, x, b")
    assert note in ET.fromstring(viz.draw(y).svg).itertext()
    for leaf in (w, x, b):
        leaf.grad = 0.0
    y.backward()
    assert viz.draw(y).diagram.note == ""
    assert viz.draw(cr.tanh(w * x + b)).diagram.note == ""  # computed again, no pass yet


def test_leaves_without_names_that_hold_more_are_counted():
    a, b = Value(2.0), Value(3.0)
    y = a * b
    y.backward()
    y.backward()
    assert "the gradient of 2 leaves" in viz.draw(y).diagram.note


# --- limits --------------------------------------------------------------------------------------


def long_chain(n):
    x = Value(1.0, "x")
    for _ in range(n):
        x = x + 1.0
    return x


def test_the_loss_of_a_batch_is_refused_before_anything_is_drawn(monkeypatch):
    model = MLP(8, [8, 1], "tanh", seed=0)
    loss = cr.mean([model([float(i)] * 8) ** 2 for i in range(3750)])
    monkeypatch.setattr(layered, "lay_out", pytest.fail)
    monkeypatch.setattr(circuit_module, "Node", pytest.fail)
    with pytest.raises(ValueError, match=r"67,501 nodes.*depth=3.*viz\.draw\(node\)"):
        viz.draw(loss)


def test_a_refused_depth_and_a_small_excess_have_their_own_advice():
    wide = cr.sum([Value(1.0) for _ in range(300)])
    with pytest.raises(ValueError, match="a depth below 1"):
        viz.draw(wide, depth=1, limit=200)
    with pytest.raises(ValueError, match=r"limit=301\) folds and draws all"):
        viz.draw(wide, limit=200)
    assert len(viz.draw(wide, limit=301, unfold=True).diagram.nodes) == 301


def test_a_network_of_plain_neurons_is_folded_and_not_refused():
    rng = random.Random(0)

    def neuron(inputs):
        weights = [Value(rng.uniform(-1.0, 1.0)) for _ in inputs]
        return sum((w * x for w, x in zip(weights, inputs, strict=True)), Value(0.0)).tanh()

    outputs = [Value(2.0), Value(3.0), Value(-1.0)]
    for width in (16, 16, 1):
        outputs = [neuron(outputs) for _ in range(width)]
    diagram = viz.draw(outputs[0]).diagram
    assert len(diagram.nodes) < 40 < 900 < sum(node.folded or 1 for node in diagram.nodes)


def test_a_deep_graph_is_drawn_in_part_without_recursion():
    chain = long_chain(300_000)
    circuit = circuit_of(chain, depth=3)
    assert [node.data for node in circuit.nodes] == ["3.000e5", "3.000e5", "3e5", "3.000e5"]
    assert [node.cut for node in circuit.nodes] == [True, False, False, False]
    assert circuit.nodes[0].pins == 0
    assert [edge.pin for edge in circuit.edges] == [0, 0, 0]
    assert "dashed" in svg_of(chain, depth=3)


def test_depth_counts_steps_and_keeps_edges_among_what_is_drawn():
    a = Value(2.0, "a")
    b = a + 1.0
    y = b * a
    assert len(circuit_of(y, depth=0).nodes) == 1
    one = circuit_of(y, depth=1)
    assert [(e.tail, e.head) for e in one.edges] == [("n0", "n1"), ("n1", "n2"), ("n0", "n2")]
    assert not any(node.cut for node in one.nodes)
    assert circuit_of(y, depth=99) == circuit_of(y)


@pytest.mark.parametrize("root", [3.0, None, "x", [Value(1.0)], cr.tanh, MLP(1, [1])])
def test_a_root_that_is_no_value_is_refused(root):
    with pytest.raises(TypeError, match="expected a Value"):
        viz.draw(root)


def test_the_refusal_names_the_function_that_would_do():
    with pytest.raises(TypeError, match="draw_network"):
        viz.draw(MLP(1, [1]))
    with pytest.raises(TypeError, match="one of its elements"):
        viz.draw([Value(1.0)])


@pytest.mark.parametrize("depth", [-1, 1.5, "3"])
def test_a_depth_that_is_no_count_is_refused(depth):
    with pytest.raises((TypeError, ValueError), match=r"depth, .*, is .*: expected"):
        viz.draw(Value(1.0), depth=depth)


@pytest.mark.parametrize("limit", [None, "all", 2.5, -1])
def test_a_limit_is_a_whole_number_or_infinite(limit):
    x = Value(1.0)
    for call in (viz.draw, viz.latex, viz.explore):
        with pytest.raises((TypeError, ValueError), match=rf"{call.__name__}: limit is"):
            call(x * x, limit=limit)
        assert call(x * x, limit=math.inf)


@pytest.mark.parametrize("path", [None, 3, b"x.svg"])
def test_what_is_not_a_path_is_refused(path):
    x = Value(1.0)
    for picture in (viz.draw(x), viz.explore(x)):
        with pytest.raises(TypeError, match=r"save: the path is .*; expected a str or a pathlib"):
            picture.save(path)


# --- DOT -----------------------------------------------------------------------------------------


def test_the_dot_text_of_a_square_is_this():
    x = Value(3.0, "x")
    y = x * x
    y.backward()
    table = (
        '<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0" COLOR="#818b98" '
        'STYLE="ROUNDED" BGCOLOR="{fill}"><TR>{pins}{gate}<VR/><TD><TABLE BORDER="0" '
        'CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"><TR><TD WIDTH="52" HEIGHT="23">'
        '<FONT COLOR="#116329" POINT-SIZE="13">{data}</FONT></TD></TR><HR/><TR>'
        '<TD WIDTH="52" HEIGHT="23"><FONT COLOR="#c4161c" POINT-SIZE="13">{grad}</FONT></TD></TR>'
        "</TABLE></TD></TR></TABLE>"
    )
    pins = (
        '<TD><TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"><TR>'
        '<TD WIDTH="1" HEIGHT="23" PORT="p0"></TD></TR><TR><TD WIDTH="1" HEIGHT="23" PORT="p1">'
        "</TD></TR></TABLE></TD>"
    )
    gate = '<TD WIDTH="36" HEIGHT="46"><FONT COLOR="#1f2328" POINT-SIZE="{}">{}</FONT></TD>'
    leaf = table.format(fill="#ddf4ff", pins="", gate=gate.format(13, "<I>x</I>"), data=3, grad=6)
    root = table.format(fill="#f3f4f6", pins=pins, gate=gate.format(15, "<B>*</B>"), data=9, grad=1)
    assert viz.draw(y).dot == (
        "digraph chainrule {\n"
        '\tgraph [bgcolor="#ffffff" fontname=Helvetica label="Computation graph" nodesep=0.25 '
        "rankdir=LR ranksep=0.55]\n"
        '\tnode [fontcolor="#1f2328" fontname=Helvetica shape=plain]\n'
        '\tedge [arrowsize=0.7 color="#818b98" fontcolor="#6639ba" fontname=Helvetica '
        "fontsize=12]\n"
        f"\tn0 [label=<{leaf}>]\n"
        f"\tn1 [label=<{root}>]\n"
        "\tn0:e -> n1:p0:w [label=3 id=e0]\n"
        "\tn0:e -> n1:p1:w [label=3 id=e1]\n"
        "}\n"
    )


def hostile_graph(labels):
    leaves = [Value(float(i), label) for i, label in enumerate(labels)]
    odd = cr.primitive('o"\\N<i>&\n', lambda x: x, (1.0,))
    del TABLE[odd.name]  # for the other tests
    return odd(cr.sum(leaves))


def test_graphviz_reads_hostile_labels_as_text():
    pygraphviz = pytest.importorskip("pygraphviz", reason="Graphviz itself reads the text")
    drawing = viz.draw(hostile_graph(HOSTILE), title="<b>\\G\n", unfold=True)
    drawn = pygraphviz.AGraph(string=drawing.dot).draw(format="svg", prog="dot").decode()
    shown = "".join("".join(ET.fromstring(drawn).itertext()).split()).replace("\xa0", "")
    for label in HOSTILE:
        assert "".join(visible(label).split()) in shown
    assert "<b>\\G\\n" in shown


@settings(max_examples=10, deadline=None)
@given(st.lists(st.text(st.characters()) | st.sampled_from(HOSTILE), min_size=1, max_size=12))
def test_no_label_adds_a_node_or_an_edge(labels):
    circuit = circuit_of(hostile_graph(labels))
    layout = layered.lay_out(circuit)
    assert list(layout.nodes) == [node.id for node in circuit.nodes]
    assert len(layout.edges) == len(circuit.edges)
    pygraphviz = pytest.importorskip("pygraphviz", reason="Graphviz itself reads the text")
    graph = pygraphviz.AGraph(string=circuit_dot(circuit))
    assert sorted(graph.nodes()) == sorted(node.id for node in circuit.nodes)
    assert graph.number_of_edges() == len(circuit.edges)


# --- SVG -----------------------------------------------------------------------------------------


def test_the_svg_of_a_neuron_shows_values_gradients_and_local_derivatives():
    out = neuron()
    out.backward()
    svg = viz.draw(out).svg
    root = ET.fromstring(svg)
    assert root.find(f"{SVG}title").text == "Computation graph of o"
    assert len(root.get("viewBox").split()) == 4
    assert root.find(f"{SVG}rect").get("fill") == theme.PAPER.light
    assert texts(svg, "data") == ["-3", "2", "6.881", "-6", "0.8814", "0.7071"]
    assert texts(svg, "grad") == ["1", "-1.5", "0.5", "0.5", "0.5", "1"]
    assert texts(svg, "local") == ["2", "-3", "1", "1", "0.5"]
    assert svg == viz.draw(out).svg


def test_the_rows_of_a_folded_node_and_labels_of_operations_are_drawn():
    neuron = cs231n_neuron()
    neuron.label = "out"
    svg = viz.draw(neuron).svg
    assert texts(svg, "ink") == ["x0", "x1", "dot", "  ", "", "× w0", "× w1", "+ w2", "sigmoid",
                                 "out"]  # fmt: skip
    assert texts(svg, "grad")[2:6] == ["0.1966", "-0.1966", "-0.3932", "0.1966"]
    assert all(row in viz.draw(neuron).dot for row in ("× w0", "-0.3932", "<I>out</I>"))


def test_parents_stand_in_operand_order_from_top_to_bottom():
    x, y, z = Value(-2.0, "x"), Value(5.0, "y"), Value(-4.0, "z")
    layout = layered.lay_out(circuit_of((x + y) * z))
    assert layout.nodes["n0"][1] < layout.nodes["n1"][1] < layout.nodes["n2"][1]
    square = layered.lay_out(circuit_of(x * x))
    first, second = square.edges
    assert first.tip[1] < second.tip[1]


def test_everything_lies_inside_the_picture():
    circuit = circuit_of(cs231n_neuron(), fold_weights=False)
    layout = layered.lay_out(circuit)
    for x, y, width, height in layout.nodes.values():
        assert width / 2 - 0.01 <= x <= layout.width - width / 2 + 0.01
        assert height / 2 - 0.01 <= y <= layout.height - height / 2 + 0.01


def contrast(one, other):
    def luminance(tone):
        channels = (int(tone[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast_in_both_themes(scheme):
    # 4.5 : 1 is what WCAG 2 asks of text
    inks = theme.INK, theme.DATA, theme.GRAD
    for paper in (theme.PAPER, theme.LEAF, theme.GATE):
        for ink in inks:
            assert contrast(ink[scheme], paper[scheme]) >= 4.5
    for ink in (theme.MUTED, theme.LOCAL, theme.POSITIVE, theme.NEGATIVE):
        assert contrast(ink[scheme], theme.PAPER[scheme]) >= 4.5
    assert contrast(theme.INK[scheme], theme.BIAS[scheme]) >= 4.5


def style_of(drawing):
    return ET.fromstring(drawing.svg).find(f"{SVG}style").text


def colours_of(drawing):
    names = "fill", "stroke"
    return {e.get(name) for e in ET.fromstring(drawing.svg).iter() for name in names} - {None}


@pytest.mark.parametrize(
    "draw",
    [
        lambda **options: viz.draw(neuron(), **options),
        lambda **options: viz.draw_network(MLP(1, [1], seed=0), **options),
    ],
)
def test_a_drawing_has_the_colours_of_its_theme_and_nothing_that_runs(draw):
    light, dark, auto = (draw(theme=name) for name in ("light", "dark", "auto"))
    # A program without style sheets, and a notebook with drawings of all themes in one page, shows
    # each in its own colours.
    assert {theme.PAPER.light, theme.INK.light} < colours_of(light) == colours_of(auto)
    assert {theme.PAPER.dark, theme.INK.dark} < colours_of(dark)
    assert "none" in colours_of(dark)
    assert not colours_of(light) & colours_of(dark) - {"none"}
    assert style_of(light) == style_of(dark)
    for drawing in (light, dark):
        classes = [e.get("class") for e in ET.fromstring(drawing.svg).iter()]
        assert set(classes) == {"cr-picture", None}
        # One that applies a dark media query to white paper would make the titles invisible.
        assert "prefers-color-scheme" not in drawing.svg
    rules = style_of(auto).partition("@media (prefers-color-scheme:dark)")[2]
    assert f".cr-data{{fill:{theme.DATA.dark}}}" in rules
    assert "url(" not in light.svg + dark.svg + auto.svg
    assert draw().svg == light.svg


def test_the_pieces_of_a_line_follow_each_other_from_a_start():
    # LibreOffice puts the pieces of a centred line on top of each other.
    model, trace, _ = traced()
    for drawing in (viz.draw_network(model, trace), viz.draw(cs231n_neuron())):
        for line in ET.fromstring(drawing.svg).iter(f"{SVG}text"):
            assert len(line) == 1 or line.get("text-anchor") == "start"


def test_a_theme_that_is_not_one_is_refused():
    with pytest.raises(ValueError, match="draw: theme is 'night'; expected 'light', 'dark' or"):
        viz.draw(neuron(), theme="night")
    with pytest.raises(ValueError, match="draw_network: theme is None"):
        viz.draw_network(MLP(1, [1]), theme=None)
    with pytest.raises(ValueError, match="draw: theme is array"):
        viz.draw(neuron(), theme=np.array(["light", "dark"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters()) | st.sampled_from(HOSTILE), min_size=1, max_size=8))
def test_labels_survive_as_text_and_cannot_inject_svg(labels):
    svg = svg_of(hostile_graph(labels), title=labels[0])
    svg.encode()
    root = ET.fromstring(svg)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "title", "style", "rect", "g", "path", "polygon", "text", "tspan"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not any(name.startswith("on") or "href" in name for name in names)
    shown = texts(svg, "italic")
    assert [visible(label) for label in labels] == shown[: len(labels)]


# --- getting a drawing out -----------------------------------------------------------------------


def test_the_suffix_decides_what_is_saved(tmp_path):
    drawing = viz.draw(neuron())
    drawing.save(tmp_path / "graph.svg")
    drawing.save(str(tmp_path / "GRAPH.DOT"))
    assert (tmp_path / "graph.svg").read_bytes() == drawing.svg.encode()
    assert (tmp_path / "GRAPH.DOT").read_bytes() == drawing.dot.encode()
    for wrong in ("graph.jpg", "graph", "svg"):
        with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf or \.dot"):
            drawing.save(tmp_path / wrong)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        drawing.save(tmp_path / "nowhere" / "graph.dot")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_notebook_gets_the_svg():
    drawing = viz.draw(Value(1.0, "x"))
    assert drawing._repr_svg_() == drawing.svg
    bundle = drawing._repr_mimebundle_(include=None, exclude=None)
    assert bundle == {
        "image/svg+xml": drawing.svg,
        "text/plain": "<Drawing: Computation graph of x>",
    }


def test_nothing_heavy_is_imported_before_it_is_used():
    code = """
        import sys
        from chainrule import viz, Value
        viz.draw(Value(1.0))
        loaded = {name.partition(".")[0] for name in sys.modules}
        print(sorted(loaded & {"graphviz", "pygraphviz", "matplotlib"}))
    """
    assert children.printed("-c", textwrap.dedent(code)).strip() == "[]"


# --- networks ------------------------------------------------------------------------------------


def traced(sizes=(3, 4, 3, 2)):
    model = MLP(sizes[0], sizes[1:], "tanh", seed=1)
    trace = model.trace([0.5, -1.0, 2.0][: sizes[0]])
    return model, trace, cr.sum([a**2 for a in trace.a[len(sizes)]])


def test_a_network_has_a_column_per_layer_with_its_bias_unit_on_top():
    model, trace, _ = traced()
    network = network_of(model, trace)
    columns = {}
    for unit in network.units:
        columns.setdefault(unit.layer, []).append(unit)
    assert {layer: len(units) for layer, units in columns.items()} == {1: 4, 2: 5, 3: 4, 4: 2}
    for units in columns.values():
        assert len({unit.x for unit in units}) == 1
        assert [unit.y for unit in units] == sorted(unit.y for unit in units)
        assert [unit.index for unit in units] == sorted(unit.index for unit in units)
    assert len(network.links) == sum(theta.size for theta in model.thetas)


def test_links_carry_the_entries_of_theta():
    model, _, _ = traced()
    links = {(link.tail, link.head): link for link in network_of(model).links}
    assert links["a1_0", "a2_3"].weight == model.thetas[0][2, 0]
    assert links["a2_4", "a3_1"].weight == model.thetas[1][0, 4]
    largest = max(abs(theta).max() for theta in model.thetas)
    assert max(link.strength for link in links.values()) == 1.0
    assert links["a2_4", "a3_1"].strength == abs(model.thetas[1][0, 4]) / largest


def test_units_show_activations_and_after_backward_deltas():
    model, trace, loss = traced()
    before = {unit.id: unit for unit in network_of(model, trace).units}
    assert before["a2_1"].value == short(trace.a[2][0].data)
    assert before["a2_1"].delta == "–"
    loss.backward()
    units = {unit.id: unit for unit in network_of(model, trace).units}
    for layer in (2, 3, 4):
        for j, delta in enumerate(trace.delta(layer)):
            assert units[f"a{layer}_{j + 1}"].delta == short(delta)
    assert units["a1_1"].delta == ""
    assert units["a1_0"].value == ""
    assert "trace.z[2][0].grad" in units["a2_1"].hint


def test_the_deltas_of_a_published_example_stand_in_its_units():
    # Mazur, "A Step by Step Backpropagation Example"; the hidden deltas are recomputed
    model = MLP(2, [2, 2], "sigmoid", "sigmoid", seed=0)
    model.thetas = [[[0.35, 0.15, 0.2], [0.35, 0.25, 0.3]], [[0.6, 0.4, 0.45], [0.6, 0.5, 0.55]]]
    trace = model.trace([0.05, 0.10])
    error = cr.sum([(a - t) ** 2 for a, t in zip(trace.output, (0.01, 0.99), strict=True)]) / 2
    error.backward()
    svg = viz.draw_network(model, trace).svg
    assert texts(svg, "data") == ["0.05", "0.1", "0.5933", "0.5969", "0.7514", "0.7729"]
    assert texts(svg, "grad") == ["0.008771", "0.009954", "0.1385", "-0.03810"]


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    "sizes", [(1, 1), (2, 2, 1), (3, 4, 2), (2, 3, 3, 1), (5, 4), (6, 3), (9, 2)]
)
def test_no_two_weights_are_written_on_top_of_each_other(sizes, seed, shown):
    model = MLP(sizes[0], list(sizes[1:]), seed=seed)
    for theta in model.thetas:  # biases that are all 0 are not written
        assert not theta[:, 0].any()
    model.thetas = [theta + 0.01 * (np.arange(theta.shape[1]) == 0) for theta in model.thetas]
    network = network_of(model, model.trace([0.5] * sizes[0]) if shown else None)
    units = {unit.id: unit for unit in network.units}
    assert all(link.label for link in network.links)
    outlines = []
    for link in network.links:
        x0, y0, x1, y1 = seen_part(units[link.tail], units[link.head])
        length = math.hypot(x1 - x0, y1 - y0)
        half = advance(link.label, 11.5) / 2
        assert half <= link.place * length <= length - half  # clear of both units
        along = (x1 - x0) / length, (y1 - y0) / length
        middle = x0 + link.place * (x1 - x0), y0 + link.place * (y1 - y0)
        outlines.append((middle, along, half))
    for one, other in itertools.combinations(outlines, 2):
        assert apart(one, other) or apart(other, one), (one, other)


def apart(one, other, half_height=6.9):
    """Whether a side of *one* has all of *other* on its far side: two turned rectangles."""
    (x, y), (c, s), half = one
    corners = []
    (u, v), (d, t), far = other
    for a, b in itertools.product((-far, far), (-half_height, half_height)):
        dx, dy = u + a * d - b * t - x, v + a * t + b * d - y
        corners.append((dx * c + dy * s, dy * c - dx * s))
    along, across = zip(*corners, strict=True)
    return (
        min(along) > half or max(along) < -half or
        min(across) > half_height or max(across) < -half_height
    )  # fmt: skip


def test_more_weights_than_can_be_told_apart_are_left_to_the_tooltips():
    long = MLP(9, [9, 9], seed=0)
    long.thetas = [1.2345678e-3 * theta for theta in long.thetas]
    for model in (MLP(8, [8, 8], seed=0), long):
        drawing = viz.draw_network(model)
        assert not any(link.label for link in drawing.diagram.links)
        assert "their numbers are in the tooltips" in drawing.svg
    assert "tooltips" not in viz.draw_network(MLP(2, [2, 1], seed=0)).svg


def test_the_size_of_a_picture_is_one_that_every_reader_of_svg_understands():
    model, trace, _ = traced()
    for drawing in (viz.draw_network(model, trace), viz.draw(Value(1.0, "x") * 2.0)):
        root = ET.fromstring(drawing.svg)
        width, height = float(root.get("width")), float(root.get("height"))
        assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
        assert min(width, height) > 20.0
        assert root.get("style") is None
        rules = root.find(f"{SVG}style").text
        assert "@media all{.cr-picture{max-width:100%;height:auto}}" in rules  # for web pages
        outside = re.sub(r"@media[^{]*\{([^{}]*\{[^{}]*\})*\}", "", rules)
        assert "height" not in outside
        assert "@media" not in outside


def test_a_picture_is_not_blank_where_cairosvg_draws_it():
    cairosvg = pytest.importorskip("cairosvg", reason="the converter that drew blank pictures")
    svg = viz.draw_network(MLP(2, [2, 1], seed=0)).svg
    full = cairosvg.svg2png(bytestring=svg.encode())
    assert len(full) > 5000
    assert cairosvg.svg2png(bytestring=svg.encode(), output_width=100) != full


@pytest.mark.parametrize("title", [3, b"x", ["x"]])
def test_a_title_that_is_no_text_is_refused(title):
    for draw in (lambda: viz.draw(Value(1.0), title=title),
                 lambda: viz.draw_network(MLP(1, [1], seed=0), title=title)):  # fmt: skip
        said = rf"draw(_network)?: title is {re.escape(repr(title))}: expected a str"
        with pytest.raises(TypeError, match=f"^{said}"):
            draw()


def test_a_pile_of_combining_marks_is_cut():
    assert visible("a" + "\u0301" * 50 + "b") == "a\u0301\u0301\u0301…b"
    assert visible("e\u0323\u0302") == "e\u0323\u0302"
    assert advance("a\u0301\u20dd", 10.0) == advance("a", 10.0)


def test_few_weights_are_written_along_their_links():
    model = MLP(2, [2, 2], "sigmoid", "sigmoid", seed=0)
    model.thetas = [[[0.35, 0.15, 0.2], [0.35, 0.25, 0.3]], [[0.6, 0.4, 0.45], [0.6, 0.5, 0.55]]]
    assert [link.label for link in network_of(model).links] == [
        "0.35", "0.15", "0.2", "0.35", "0.25", "0.3", "0.6", "0.4", "0.45", "0.6", "0.5", "0.55",
    ]  # fmt: skip


def test_a_network_is_drawn_with_its_units_and_links(tmp_path):
    model, trace, loss = traced()
    loss.backward()
    drawing = viz.draw_network(model, trace, title="<b>")
    drawing.save(tmp_path / "network.svg")
    root = ET.fromstring(drawing.svg)
    assert root.find(f"{SVG}title").text == "<b>"
    outlines = [e for e in root.iter(f"{SVG}rect") if e.get("stroke") == theme.LINE.light]
    assert len(outlines) == 15
    strokes = {(e.get("stroke"), e.get("stroke-dasharray")) for e in root.iter(f"{SVG}path")}
    assert {(theme.POSITIVE.light, None), (theme.NEGATIVE.light, "9 3")} <= strokes
    assert drawing.svg == viz.draw_network(model, trace, title="<b>").svg


def test_weights_that_are_zero_or_not_finite_are_drawn_without_a_sign():
    model = MLP(1, [3], seed=0)
    model.thetas = [[[0.0, 1.0], [math.nan, -2.0], [math.inf, 0.5]]]
    network = network_of(model)
    assert [link.strength for link in network.links] == [0.0, 0.5, 0.0, 1.0, 1.0, 0.25]
    svg = viz.draw_network(model, theme="auto").svg
    assert "nan," not in svg
    assert [e.get("class") for e in ET.fromstring(svg).iter(f"{SVG}path")] == [
        "cr-line cr-dotted", "cr-plus", "cr-line cr-dotted", "cr-minus", "cr-plus", "cr-plus",
    ]  # fmt: skip


def test_graphviz_draws_the_dot_text_of_a_network_at_the_same_places():
    pygraphviz = pytest.importorskip("pygraphviz", reason="Graphviz itself reads the text")
    model, trace, _ = traced((2, 2, 1))
    drawing = viz.draw_network(model, trace)
    graph = pygraphviz.AGraph(string=drawing.dot)
    graph.layout(prog="neato")
    places = {node: [float(c) for c in node.attr["pos"].split(",")] for node in graph.nodes()}
    one, other = drawing.diagram.units[0], drawing.diagram.units[-1]
    assert places[other.id][0] - places[one.id][0] == pytest.approx(other.x - one.x, abs=0.1)
    assert places[one.id][1] - places[other.id][1] == pytest.approx(other.y - one.y, abs=0.1)
    assert graph.number_of_edges() == 9


def test_what_is_no_network_or_no_trace_of_it_is_refused():
    model, trace, _ = traced()
    with pytest.raises(TypeError, match=r"Theta.*viz\.draw\(value\)"):
        viz.draw_network(Value(1.0))
    with pytest.raises(TypeError, match=r"model\.trace\(x\)"):
        viz.draw_network(model, [0.5, -1.0, 2.0])
    with pytest.raises(ValueError, match=r"\[3, 4, 3, 2\] units, the model of \[3, 2\]"):
        viz.draw_network(MLP(3, [2], seed=0), trace)

    class Broken:
        thetas = ([[1.0, 2.0]], [[1.0, 2.0, 3.0]])

    with pytest.raises(ValueError, match="Theta2 needs 2 columns"):
        viz.draw_network(Broken())
    Broken.thetas = ()
    with pytest.raises(ValueError, match="matrices of shape"):
        viz.draw_network(Broken())
    with pytest.raises(ValueError, match="layers"):
        viz.draw_network(MLP(1, [1] * 50, seed=0))


def test_random_graphs_are_drawn_with_every_edge():
    generator = random.Random(7)
    values = [Value(generator.gauss(0, 1), f"x{i}") for i in range(4)]
    for _ in range(30):
        a, b = generator.choice(values), generator.choice(values)
        values.append(generator.choice([a + b, a * b, a - b, cr.tanh(a), cr.maximum(a, b)]))
    total = cr.sum(values)
    total.backward()
    circuit = viz.draw(total, unfold=True).diagram
    assert len(circuit.nodes) == 35
    parents = sum(len(v.parents) for v in values) + len(total.parents)
    assert len(circuit.edges) == parents
    assert ET.fromstring(viz.draw(total).svg) is not None


# --- large graphs --------------------------------------------------------------------------------


@pytest.mark.skipif(cr.backend == "native", reason="the C class has no __hash__ that can count")
@pytest.mark.parametrize("depth", [None, 10**6])
def test_twice_the_nodes_are_twice_the_work(monkeypatch, depth):
    looked_up = 0

    def counting(value):
        nonlocal looked_up
        looked_up += 1
        return object.__hash__(value)

    monkeypatch.setattr(Value, "__hash__", counting)

    def look_ups(length):
        nonlocal looked_up
        x = y = Value(0.5)
        for _ in range(length):
            y = cr.tanh(y) * x
        looked_up = 0
        circuit_of(y, depth=depth, limit=10**6)
        return looked_up

    assert look_ups(400) < 2.1 * look_ups(200)
