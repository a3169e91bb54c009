"""Networks: which weights are written, what outputs mean, and large ones as cells."""

import math
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import chainrule as cr
from chainrule import viz
from chainrule.nn import MLP, losses
from chainrule.viz.matrices import LEVELS, Matrices, matrices_of
from chainrule.viz.network import Network, network_of, seen_part

from .test_fitting import smallest_text

pytestmark = pytest.mark.text_alone

SVG = "{http://www.w3.org/2000/svg}"


def classifier(label=1):
    model = MLP(4, [8, 3], activation="tanh", seed=0)
    trace = model.trace([0.5, -1.0, 2.0, 0.25])
    losses.cross_entropy(trace.output, label).backward()
    return model, trace


def notes(network):
    return [unit.notes for unit in network.units if unit.layer == 3]


def test_a_classifier_of_eight_hidden_units_shows_its_weights():
    model, trace = classifier()
    network = network_of(model, trace)
    written = [link for link in network.links if not link.tail.endswith("_0")]
    assert len(written) == 4 * 8 + 8 * 3
    assert all(link.label for link in written)


def test_biases_that_are_all_zero_are_said_once():
    model, trace = classifier()
    network = network_of(model, trace)
    assert not any(link.label for link in network.links if link.tail.endswith("_0"))
    assert "all biases are 0" in viz.draw_network(model, trace).svg
    model.thetas = [theta + 0.01 * (np.arange(theta.shape[1]) == 0) for theta in model.thetas]
    network = network_of(MLP(2, [2, 1], seed=0))
    assert "all biases are 0" in network.remarks
    model = MLP(2, [2, 1], seed=0)
    model.thetas = [model.thetas[0] + [[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]], model.thetas[1]]
    network = network_of(model)
    assert network.remarks == ()
    labels = {(link.tail, link.head): link.label for link in network.links}
    assert labels["a1_0", "a2_1"] == "0"  # beside one that is not 0
    assert labels["a1_0", "a2_2"] == "0.5"
    assert labels["a2_0", "a3_1"] == ""


def test_the_deltas_of_a_cross_entropy_tell_probabilities_and_target():
    model, trace = classifier(label=1)
    shares = cr.softmax([unit.data for unit in trace.z[3]])
    network = network_of(model, trace)
    predicted = int(np.argmax(shares))
    for j, found in enumerate(notes(network)):
        assert found[0] == f"p = {viz.text.short(shares[j])}"
        assert ("prediction" in found) == (j == predicted)
        assert ("target" in found) == (j == 1)
    assert network.remarks[0] == "p = softmax(z)"
    svg = viz.draw_network(model, trace).svg
    assert svg.count(">prediction<") == 1
    assert svg.count(">target<") == 1


@pytest.mark.parametrize("y", [0.0, 1.0])
def test_the_delta_of_a_logistic_loss_tells_them_too(y):
    model = MLP(2, [2, 1], "tanh", seed=1)
    trace = model.trace([0.5, -1.0])
    losses.logistic(trace.output, y).backward()
    p = cr.sigmoid(trace.output.data)
    assert notes(network_of(model, trace)) == [(f"p = {viz.text.short(p)}", f"target {y:g}")]


def test_other_losses_tell_nothing_that_is_not_so():
    model = MLP(2, [2, 2], "tanh", seed=1)
    trace = model.trace([0.5, -1.0])
    losses.half_squared_error(trace.output, [1.0, 0.0]).backward()
    assert notes(network_of(model, trace)) == [(), ()]
    (losses.cross_entropy(trace.output, 0) * 0.5).backward()  # half of it is not p - y
    assert notes(network_of(model, trace)) == [(), ()]
    assert notes(network_of(model)) == [(), ()]


def test_a_target_can_be_given():
    model = MLP(2, [2, 2], "tanh", seed=1)
    trace = model.trace([0.5, -1.0])
    assert notes(network_of(model, trace, target=[0.25, 1.5])) == [
        ("target 0.25",),
        ("target 1.5",),
    ]
    by_class = notes(network_of(model, trace, target=1))
    assert "target" in by_class[1]
    assert sum("prediction" in found for found in by_class) == 1
    with pytest.raises(ValueError, match="target is 2; the classes are 0 to 1"):
        viz.draw_network(model, trace, target=2)
    with pytest.raises(ValueError, match=r"shape \(3,\); expected a class or 2 numbers"):
        viz.draw_network(model, trace, target=[1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="draw_network: target has dtype <U3"):
        viz.draw_network(model, trace, target="two")
    with pytest.raises(ValueError, match="give a trace"):
        viz.draw_network(model, target=1)


def test_outputs_that_are_probabilities_already_are_marked_alone():
    model = MLP(2, [2, 3], "tanh", "softmax", seed=1)
    trace = model.trace([0.5, -1.0])
    found = notes(network_of(model, trace, target=2))
    assert not any(note.startswith("p =") for unit in found for note in unit)
    assert "target" in found[2]
    assert sum("prediction" in unit for unit in found) == 1


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    "sizes", [(2, 3, 3, 3, 3, 3, 1), (3, 8, 8, 2), (9, 9, 9), (2, *[3] * 8, 1), (784, 128, 10)]
)
def test_a_network_of_up_to_ten_layers_can_be_read_on_a_slide(sizes, traced):
    model = MLP(sizes[0], list(sizes[1:]), "tanh", seed=0)
    trace = model.trace([0.1] * sizes[0]) if traced else None
    assert smallest_text(viz.draw_network(model, trace).svg) >= 11.0


def test_an_edge_ends_on_the_outlines_of_its_units():
    model, trace = classifier()
    network = network_of(model, trace)
    units = {unit.id: unit for unit in network.units}
    for link in network.links:
        x0, y0, x1, y1 = seen_part(units[link.tail], units[link.head])
        for x, y, unit in ((x0, y0, units[link.tail]), (x1, y1, units[link.head])):
            beyond = max(abs(x - unit.x) - unit.wide, 0.0)
            assert math.hypot(beyond, y - unit.y) == pytest.approx(unit.radius)


# --- as matrices ----------------------------------------------------------------------------------


def digits_like(seed=0):
    model = MLP(64, [32, 10], activation="tanh", seed=seed)
    trace = model.trace(np.linspace(-1.0, 1.0, 64).tolist())
    losses.cross_entropy(trace.output, 3).backward()
    return model, trace


def test_a_large_network_is_drawn_as_its_matrices():
    model, trace = digits_like()
    drawing = viz.draw_network(model, trace)
    assert isinstance(drawing.diagram, Matrices)
    assert isinstance(viz.draw_network(MLP(9, [9, 2]), None).diagram, Network)
    shapes = [(g.name + g.superscript, np.shape(g.levels)) for g in drawing.diagram.grids]
    assert shapes == [
        ("a(1)", (1, 65)), ("Θ(1)", (32, 65)), ("a(2)", (32, 1)), ("δ(2)", (32, 1)),
        ("a(2)", (1, 33)), ("Θ(2)", (10, 33)), ("a(3)", (10, 1)), ("δ(3)", (10, 1)),
    ]  # fmt: skip
    assert len(drawing.svg) < 120_000


def test_the_colour_of_a_cell_says_sign_and_size():
    model, trace = digits_like()
    diagram = matrices_of(model, trace)
    theta, levels = model.thetas[0], np.array(diagram.grids[1].levels)
    largest = max(abs(theta).max() for theta in model.thetas)
    activations = [abs(a.data) for layer in trace.a.values() for a in layer]
    assert np.array_equal(np.sign(levels), np.sign(theta))
    assert np.array_equal(abs(levels), np.ceil(LEVELS * abs(theta) / largest - 1e-12))
    assert {scale.name: scale.largest for scale in diagram.scales} == {
        "weights": viz.text.short(float(largest)),
        "activations": viz.text.short(max(activations)),
        "deltas": viz.text.short(max(abs(trace.delta(layer)).max() for layer in (2, 3))),
    }  # fmt: skip


def test_without_colours_a_dash_says_that_a_cell_is_negative():
    model, trace = digits_like()
    diagram = matrices_of(model, trace)
    paths = ET.fromstring(viz.draw_network(model, trace).svg).iter(f"{SVG}path")
    dashes = [path.get("d").count("M") for path in paths if path.get("stroke-width") == "0.8"]
    negative = [sum(x < 0 for row in grid.levels for x in row) for grid in diagram.grids]
    assert dashes == [*filter(None, negative), *[LEVELS] * len(diagram.scales)]


def test_the_classes_are_listed_with_probability_prediction_and_target():
    model, trace = digits_like()
    shares = cr.softmax([unit.data for unit in trace.z[3]])
    listed = [note.text for note in matrices_of(model, trace).notes]
    for j, text in enumerate(listed):
        assert text.startswith(f"class {j},  p = {viz.text.short(shares[j])}")
        assert text.endswith("target") == (j == 3) or "prediction" in text
    assert sum("prediction" in text for text in listed) == 1
    assert [note.is_marked for note in matrices_of(model, trace).notes].index(True) == 3


def rectangles_and_texts(svg):
    """Return the boxes of the cells' frames and of the texts, in the picture's coordinates."""
    root = ET.fromstring(svg)
    body = root.find(f"{SVG}g")
    shift = [float(x) for x in re.findall(r"[-.\d]+", body.get("transform"))]
    frames = [
        [float(rect.get(name)) for name in ("x", "y", "width", "height")]
        for rect in body.iter(f"{SVG}rect")
    ]
    texts = []
    for text in body.iter(f"{SVG}text"):
        size = float(text.get("font-size"))
        content = "".join(text.itertext())
        width = 0.5 * size * len(content)  # the narrow side: what certainly overlaps is seen
        left = float(text.get("x")) - (0 if text.get("text-anchor") == "start" else width / 2)
        texts.append((content, left, float(text.get("y")) - 0.5 * size, width, 0.5 * size))
    return (
        float(root.get("width")),
        [(x + shift[0], y + shift[1], w, h) for x, y, w, h in frames],
        [(content, x + shift[0], y + shift[1], w, h) for content, x, y, w, h in texts],
    )


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("inputs", "widths"),
    [(12, [1]), (4, [16, 16, 1]), (1, [40, 1]), (3, [1, 12, 1]), (30, [12, 2])],
)
def test_names_stand_beside_their_cells_and_everything_is_on_the_paper(inputs, widths, traced):
    model = MLP(inputs, widths, activation="tanh", seed=0)
    trace = model.trace([-0.123456] * inputs) if traced else None
    if traced and widths[-1] == 1:
        losses.logistic(trace.output, 1.0).backward()
    width, frames, texts = rectangles_and_texts(viz.draw_network(model, trace).svg)
    assert frames
    for content, x, y, w, h in texts:
        assert x >= 0.0, content
        assert x + w <= width, content
        for left, top, across, down in frames:
            beside = x + w <= left or left + across <= x or y + h <= top or top + down <= y
            assert beside, (content, (x, y, w, h), (left, top, across, down))
    assert all(left + across <= width for left, _, across, _ in frames)


def test_before_a_backward_pass_it_is_said():
    model = MLP(64, [32, 10], seed=0)
    svg = viz.draw_network(model, model.trace([0.5] * 64)).svg
    assert "deltas not yet computed" in svg
    assert "deltas  -0" not in svg  # a scale of nothing
    assert "deltas not yet computed" not in viz.draw_network(*digits_like()).svg


def test_what_has_more_cells_than_a_picture_is_gathered():
    model = MLP(784, [128, 10], seed=0)
    diagram = matrices_of(model)
    assert "a cell is the largest of several" in diagram.remarks
    theta = model.thetas[0]
    rows, columns = np.shape(diagram.grids[0].levels)
    assert (rows, columns) == (64, 197)
    block = theta[:2, :4].ravel()
    largest = max(abs(theta).max() for theta in model.thetas)
    value = block[abs(block).argmax()]
    assert diagram.grids[0].levels[0][0] == math.copysign(
        math.ceil(LEVELS * abs(value) / largest), value
    )
    root = ET.fromstring(viz.draw_network(model).svg)
    assert float(root.get("width")) < 1400
    assert float(root.get("height")) < 700


def test_numbers_that_are_not_finite_leave_their_cells_empty():
    model = MLP(20, [12], seed=0)
    theta = model.thetas[0].copy()
    theta[0, 1], theta[1, 1] = math.nan, math.inf
    model.thetas = [theta]
    drawing = viz.draw_network(model)
    assert drawing.diagram.grids[0].levels[0][1] == 0
    assert ET.fromstring(drawing.svg) is not None
    assert "nan" not in re.sub(r"<title>.*?</title>", "", drawing.svg)


def test_matrices_have_themes_and_dot_text():
    pygraphviz = pytest.importorskip("pygraphviz", reason="Graphviz itself reads the text")
    drawing = viz.draw_network(*digits_like(), title="<b>\\N", theme="dark")
    graph = pygraphviz.AGraph(string=drawing.dot)
    assert [node.attr["label"] for node in graph.nodes()] == [
        "layer 1: 64 units", "layer 2: 32 units", "layer 3: 10 units"
    ]  # fmt: skip
    root = ET.fromstring(drawing.svg)
    assert root.find(f"{SVG}title").text == "<b>\\N"
    assert "prefers-color-scheme" not in drawing.svg
