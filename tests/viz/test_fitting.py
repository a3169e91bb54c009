"""Pictures that can be read on a slide: what is wrapped, written tightly, folded and unfolded."""

import itertools
import math
import random
from xml.etree import ElementTree as ET

import pytest

import chainrule as cr
from chainrule import Value, viz
from chainrule.demos import gallery
from chainrule.nn import MLP
from chainrule.viz import boxes, fitting, folding, layered
from chainrule.viz.circuit import circuit_of
from chainrule.viz.text import advance

pytestmark = pytest.mark.text_alone

SVG = "{http://www.w3.org/2000/svg}"
GRAPHS = [
    name for name in gallery.PICTURES if name not in ("small_network", "classifier", "digits")
]


def smallest_text(svg):
    """Return the size in pixels of the smallest text of a picture fitted into 1280 x 640."""
    root = ET.fromstring(svg)
    shrunk = min(1280 / float(root.get("width")), 640 / float(root.get("height")))
    sizes = [float(e.get("font-size")) for e in root.iter() if e.get("font-size")]
    assert sizes
    assert not any(e.get("transform", "").startswith("scale") for e in root.iter())
    return min(sizes) * shrunk


@pytest.fixture(scope="module")
def drawn():
    return {name: gallery.PICTURES[name]("light") for name in gallery.PICTURES}


@pytest.mark.parametrize("name", gallery.PICTURES)
def test_no_text_of_a_slide_is_smaller_than_eleven_pixels(drawn, name):
    assert smallest_text(drawn[name].svg) >= 11.0


def random_graph(seed, count):
    rng = random.Random(seed)
    values = [Value(rng.gauss(0, 1), f"x{i}") for i in range(5)]
    for _ in range(count):
        a, b = rng.choice(values[-12:]), rng.choice(values[-12:])
        values.append(rng.choice([a + b, a * b, a - b, cr.tanh(a), cr.maximum(a, b)]))
    return cr.sum(values[-6:])


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize(("seed", "count"), [(0, 25), (2, 150)])
def test_a_graph_without_any_pattern_can_be_read_too(seed, count, direction):
    root = random_graph(seed, count)
    root.backward()
    drawing = viz.draw(root, direction=direction)
    assert smallest_text(drawing.svg) >= 11.0
    assert len(drawing.diagram.nodes) >= 2
    assert viz.draw(root, direction=direction).svg == drawing.svg


# --- the layout: what touches what ---------------------------------------------------------------


def check_layout(circuit, layout, direction="right"):
    """Assert that boxes are apart, and that edges run from the side of one to a pin of another."""
    down = direction == "down"
    places = list(layout.nodes.items())
    for (_, (x, y, w, h)), (_, (u, v, p, q)) in itertools.combinations(places, 2):
        assert abs(x - u) >= (w + p) / 2 - 0.01 or abs(y - v) >= (h + q) / 2 - 0.01
    for x, y, w, h in layout.nodes.values():
        assert -0.01 <= x - w / 2 <= x + w / 2 <= layout.width + 0.01
        assert -0.01 <= y - h / 2 <= y + h / 2 <= layout.height + 0.01
    tags = {tag.node: tag for tag in layout.tags}
    arrived = {}
    for edge, spline in zip(circuit.edges, layout.edges, strict=True):
        x, y, w, h = layout.nodes[edge.tail]
        start = spline.points[0]
        assert len(spline.points) % 3 == 1
        out = boxes.HEADER + boxes.ROW * (edge.row + 0.5) - h / 2 if edge.row >= 0 else 0.0
        leaves = (x, y + h / 2) if down else (x + w / 2, y + out)
        assert math.dist(start, leaves) < 0.1 or edge.tail in tags
        x, y, w, h = layout.nodes[edge.head]
        side = y - h / 2 if down else x - w / 2
        assert (spline.tip[1] if down else spline.tip[0]) == pytest.approx(side, abs=0.1)
        arrived.setdefault(edge.head, []).append(
            (edge.pin, spline.tip[0] if down else spline.tip[1])
        )
        assert distance_to(spline.points, spline.label) < 3.0 or not edge.local
        if edge.local:
            half = advance(edge.local, boxes.SMALL_SIZE) / 2
            for u, v, p, q in layout.nodes.values():  # no label is under a box
                dx, dy = abs(spline.label[0] - u) - p / 2, abs(spline.label[1] - v) - q / 2
                assert dx > half - 4.0 or dy > 3.0
    for pins in arrived.values():  # in the order of the operands
        assert [place for _, place in sorted(pins)] == sorted(place for _, place in pins)


def distance_to(points, target):
    found = math.inf
    for i in range(0, len(points) - 1, 3):
        a, b, c, d = points[i : i + 4]
        for t in (k / 150 for k in range(151)):
            weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            point = [
                sum(w * p[k] for w, p in zip(weights, (a, b, c, d), strict=True)) for k in (0, 1)
            ]
            found = min(found, math.dist(point, target))
    return found


@pytest.mark.parametrize("name", GRAPHS)
def test_boxes_are_apart_and_edges_run_from_one_to_the_other(drawn, name):
    drawing = drawn[name]
    check_layout(drawing.diagram, drawing._layout)


def check_labels(drawing):
    labels = [
        (spline.label, advance(edge.local, boxes.SMALL_SIZE))
        for edge, spline in zip(drawing.diagram.edges, drawing._layout.edges, strict=True)
        if edge.local
    ]
    height = 0.8 * boxes.SMALL_SIZE  # of digits
    for ((x, y), w), ((u, v), p) in itertools.combinations(labels, 2):
        assert abs(x - u) >= (w + p) / 2 or abs(y - v) >= height, (x, y)


@pytest.mark.parametrize("name", GRAPHS)
def test_no_label_of_an_edge_covers_another(drawn, name):
    check_labels(drawn[name])


def test_what_fits_only_with_labels_on_top_of_each_other_is_folded_further():
    rng = random.Random(1)

    def numbers(name, rows):
        return [[Value(rng.uniform(-1, 1), f"{name}{i}{j}") for j in (0, 1)] for i in range(rows)]

    seen = numbers("x", 3)
    made = [
        [[cr.dot(row, x) for row in rows] for x in seen] for rows in map(numbers, "QKV", [2] * 3)
    ]
    queries, keys, values = made
    scores = cr.softmax([cr.dot(queries[-1], key) / math.sqrt(2.0) for key in keys])
    a, b = (cr.dot(scores, [value[j] for value in values]) for j in (0, 1))
    head = a * a + b
    head.backward()
    check_labels(viz.draw(head))


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("count", [3, 8, 11])
def test_no_label_is_covered_where_boxes_of_a_column_differ_in_width(count, direction):
    total = 0.0
    for i in range(count):
        x = Value(0.1 * i, "longer and " * (i % 3) + f"x{i}")
        total = total + x * x
        total.label = x.label
    check_labels(viz.draw(total, direction=direction))


@pytest.mark.parametrize("name", ["newton", "recurrence"])
def test_the_steps_of_a_loop_stand_side_by_side(drawn, name):
    """A box is as high as the one before, to less than half its height."""
    drawing = drawn[name]
    places = [drawing._layout.nodes[n.id] for n in drawing.diagram.nodes if n.folded]
    for (x, y, _, h), (u, v, _, _) in itertools.pairwise(places):
        assert abs(y - v) < h / 2 or u < x  # it goes on in the next row


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("seed", range(3))
def test_any_graph_is_laid_out_without_overlaps(seed, direction):
    root = random_graph(seed, 20 + 10 * seed)
    circuit = circuit_of(root)
    for room in (None, (900.0, 500.0)):
        check_layout(circuit, layered.lay_out(circuit, direction, room), direction)


def test_units_stand_in_their_order(drawn):
    for name in ("softmax", "weights", "loss"):
        drawing = drawn[name]
        nodes = {node.id: node for node in drawing.diagram.nodes}
        columns = {}
        for key, (x, y, w, _) in drawing._layout.nodes.items():
            node = nodes[key]
            columns.setdefault((round(x + w / 2), node.op), []).append((y, int(key[1:])))
        for (_, op), column in columns.items():
            if op in ("exp", "dot", "tanh"):
                assert [i for _, i in sorted(column)] == sorted(i for _, i in column)


def test_the_weights_of_a_neuron_stand_beside_it(drawn):
    drawing = drawn["weights"]
    nodes = {node.id: node for node in drawing.diagram.nodes}
    places = drawing._layout.nodes
    for edge in drawing.diagram.edges:
        if nodes[edge.tail].label.startswith("Theta"):
            x, _, w, _ = places[edge.tail]
            u, _, p, _ = places[edge.head]
            between = [v for v, *_ in places.values() if x + w / 2 + 1 < v < u - p / 2 - 1]
            assert not between


def test_a_long_chain_goes_on_in_the_next_row(drawn):
    layout = drawn["chain"]._layout
    assert len(drawn["chain"].diagram.nodes) == 21
    assert len({round(y) for _, y, _, _ in layout.nodes.values()}) == 3
    down = viz.draw(Value(0.5, "x") * 2.0 + 1.0, direction="down")._layout
    assert len({round(x) for x, *_ in down.nodes.values()}) <= 3
    assert down.nodes["n0"][1] < down.nodes["n1"][1] < down.nodes["n2"][1]


def test_a_direction_that_is_not_one_is_refused():
    with pytest.raises(ValueError, match="direction is 'up'; expected 'right' or 'down'"):
        viz.draw(Value(1.0), direction="up")


def test_straight_lines_are_straight(drawn):
    layout = drawn["chain"]._layout
    for spline in layout.edges:
        if spline.tip[0] > spline.points[0][0]:  # not to another row
            assert len({round(y, 3) for _, y in spline.points}) == 1


# --- folding -------------------------------------------------------------------------------------


def names(drawing):
    return [node.op for node in drawing.diagram.nodes if node.folded]


def test_what_fits_is_not_folded():
    x = Value(0.5, "x")
    drawing = viz.draw(cr.tanh(x * x + 1.0))
    assert not names(drawing)
    assert drawing.diagram.note == ""
    assert drawing.diagram == circuit_of(cr.tanh(x * x + 1.0))


def test_the_steps_of_a_loop_are_folded_and_one_stays_open(drawn):
    drawing = drawn["newton"]
    assert names(drawing) == ["step 2", "step 3", "step 4", "step 5"]
    assert "unfold=True draws all 27 nodes" in drawing.diagram.note
    assert drawing.diagram.note in drawing.svg


def test_a_folded_step_has_the_derivative_of_the_whole_step(drawn):
    def step(x, a):
        return x - (x * x - a) / (2.0 * x)

    x, circuit = 1.5, drawn["newton"].diagram
    second = next(node for node in circuit.nodes if node.op == "step 2")
    edges = {e.tail: float(e.local) for e in circuit.edges if e.head == second.id}
    by_name = {n.label or n.data: n.id for n in circuit.nodes}
    assert edges[by_name["a"]] == pytest.approx(cr.grad(step, 1)(x, 2.0), rel=1e-3)
    assert edges[by_name["1.5"]] == pytest.approx(cr.grad(step)(x, 2.0), rel=1e-3)
    assert float(second.data) == pytest.approx(step(x, 2.0), rel=1e-3)


def test_the_examples_of_a_batch_are_folded_and_one_stays_open(drawn):
    assert names(drawn["batch"]) == ["term 2", "term 3", "term 4"]


def test_every_step_of_a_recurrence_is_found(drawn):
    assert names(drawn["recurrence"]) == [f"step {t}" for t in range(2, 9)]  # the first stays open
    inputs = [n.label for n in drawn["recurrence"].diagram.nodes if n.label.startswith("x")]
    assert sorted(inputs) == [f"x{t}" for t in range(1, 9)]  # inputs stay in sight


def test_many_steps_of_a_loop_are_folded_together():
    h = x = Value(0.3, "x")
    for _ in range(100):
        h = cr.tanh(h * x) + x
    drawing = viz.draw(h, limit=400)
    assert names(drawing)[-2:] == ["steps 81 to 90", "steps 91 to 100"]
    ten = next(n for n in drawing.diagram.nodes if n.op == "steps 91 to 100")
    assert ten.folded == 30
    opened = viz.draw(h, limit=400, unfold="steps 91 to 100").diagram.nodes
    assert len(opened) == len(drawing.diagram.nodes) + 29


def test_a_long_sum_lists_its_operands(drawn):
    (box,) = drawn["wide_sum"].diagram.nodes
    assert [row.name for row in box.rows[:2]] == ["+ x0", "+ x1"]
    assert box.rows[-3].name == "… 17 more"
    assert len(viz.draw(cr.sum([Value(1.0) for _ in range(40)]), unfold=True).diagram.nodes) == 41


def test_scopes_are_folded_before_anything_else():
    x = h = Value(0.3, "x")
    for _ in range(12):
        with cr.scope("block"):
            h = cr.tanh(h * x) + x
    with cr.scope("head"):
        y = cr.sigmoid(h * 2.0)
    y.backward()
    drawing = viz.draw(y)
    assert set(names(drawing)) >= {"block 1", "block 2", "head"}
    assert smallest_text(drawing.svg) >= 11.0


def deep(levels):
    x = Value(0.3, "x")

    def block(h, level):
        with cr.scope(f"level {level}"):
            for _ in range(3):
                h = block(h, level + 1) if level < levels else cr.tanh(h * x) + x
        return h

    return block(x, 1)


def test_scopes_inside_one_another_fold_as_far_as_needed_and_unfold_one_by_one():
    root = deep(3)
    drawing = viz.draw(root, limit=1000)
    assert all(name.startswith("level") for name in names(drawing))
    some = names(drawing)[0]
    opened = viz.draw(root, unfold=some, limit=1000)
    assert some not in names(opened)
    assert len(opened.diagram.nodes) > len(drawing.diagram.nodes)


def test_a_scope_that_others_reach_into_is_drawn_without_a_circle():
    x = Value(0.5, "x")
    with cr.scope("a"):
        a1 = cr.tanh(x)
    with cr.scope("b"):
        b = a1 * 2.0
        c = cr.exp(b)
    grouped = [folding.Fold("mixed", (a1, c)), folding.Fold("b", (b,))]
    nodes = [x, a1, b, c]
    assert not folding.Graph(nodes, grouped).acyclic
    for _ in folding.ways_to_fold(nodes):
        pass


def test_several_outputs_of_a_scope_are_rows_of_its_box():
    x = Value(0.5, "x")
    with cr.scope("pair"):
        s, c = cr.sin(x), cr.cos(x)
    s.label, c.label = "s", "c"
    y = s * c
    y.backward()
    nodes = [x, s, c, y]
    (fold,) = next(folding.ways_to_fold(nodes))
    look = fitting.Look((fold,))
    circuit = circuit_of(y, look=look)
    assert [(n.op, n.data, len(n.rows)) for n in circuit.nodes] == [
        ("", "0.5", 0), ("pair", "", 2), ("*", "0.4207", 0)
    ]  # fmt: skip
    assert [(row.name, row.data) for row in circuit.nodes[1].rows] == [
        ("s", "0.4794"),
        ("c", "0.8776"),
    ]
    assert [(e.tail, e.head, e.local) for e in circuit.edges] == [
        ("n0", "n1", ""), ("n1", "n2", "0.8776"), ("n1", "n2", "0.4794")
    ]  # fmt: skip


def test_an_edge_starts_at_the_row_of_its_output(drawn):
    drawing = drawn["attention"]
    nodes = {node.id: node for node in drawing.diagram.nodes}
    rows = {}
    for edge in drawing.diagram.edges:
        if nodes[edge.tail].op == "scores":
            rows.setdefault(edge.row, set()).add(nodes[edge.head].op)
    assert sorted(rows) == [0, 1, 2]
    assert all(len(heads) == 3 for heads in rows.values())


def test_of_many_outputs_the_first_and_the_last_have_rows_and_the_others_share_one():
    x = Value(0.5, "x")
    with cr.scope("many"):
        outputs = [cr.sin(x * float(i)) for i in range(12)]
    y = outputs[0]
    for i, output in enumerate(outputs[1:]):
        y = cr.tanh(y + output) if i % 2 else y * output
    nodes = fitting.members_of(y)[0]
    (fold,) = next(folding.ways_to_fold(nodes))
    circuit = circuit_of(y, look=fitting.Look((fold,)))
    box = next(node for node in circuit.nodes if node.folded)
    assert len(box.rows) == 8
    assert box.rows[5].name == "… 5 more"
    starts = [edge.row for edge in circuit.edges if edge.tail == box.id]
    assert sorted(starts) == [0, 1, 2, 3, 4, 5, 5, 5, 5, 5, 6, 7]
    check_layout(circuit, layered.lay_out(circuit))


def test_layers_have_the_numbers_of_the_notes():
    model = MLP(3, [4, 4, 2], "tanh", seed=0)
    out = cr.sum([y**2 for y in model([0.5, -1.0, 2.0])])
    nodes = list(fitting.members_of(out, fold_weights=False)[0])
    layers = [
        f for folds in folding.ways_to_fold(nodes) for f in folds if f.name.startswith("layer")
    ]
    assert {"layer 2", "layer 3", "layer 4"} == {fold.name for fold in layers}
    second = next(fold for fold in layers if fold.name == "layer 2")
    assert sum(node.op == "dot" for node in second.members) == 4
    assert sum(node.op == "tanh" for node in second.members) == 4


def test_all_can_be_unfolded_or_one():
    drawing = gallery.newton("light")
    x = Value(1.0, "x0")
    a = Value(2.0, "a")
    for _ in range(5):
        x = x - (x * x - a) / (2.0 * x)
    assert len(viz.draw(x, unfold=True).diagram.nodes) == 27
    assert names(viz.draw(x, unfold="step 3")) == ["step 2", "step 4", "step 5"]
    assert names(viz.draw(x, unfold=["step 3", "step 5"])) == ["step 2", "step 4"]
    assert len(viz.draw(x, unfold=["step 3"]).diagram.nodes) == len(drawing.diagram.nodes) + 4
    with pytest.raises(
        ValueError, match="unfold is 'step 9'; what is folded is 'step 2', 'step 3'"
    ):
        viz.draw(x, unfold="step 9")
    with pytest.raises(ValueError, match="nothing is"):
        viz.draw(a * 2.0, unfold="step 1")
    with pytest.raises(TypeError, match="expected True, or the names"):
        viz.draw(x, unfold=[3])
    for wrong in (None, 3, {"step 3": 1}):
        with pytest.raises(TypeError, match="expected True, or the names"):
            viz.draw(x, unfold=wrong)


def test_hostile_names_of_scopes_are_text():
    x = h = Value(0.3, "<script>")
    for _ in range(40):
        with cr.scope("<b>'\"&\u202e\\N]]>"):
            h = cr.tanh(h * x) + x
    drawing = viz.draw(h)
    assert names(drawing)
    root = ET.fromstring(drawing.svg)
    assert not list(root.iter(f"{SVG}script"))
    assert not list(root.iter(f"{SVG}b"))
    assert drawing.dot.count("subgraph") == 0
    pygraphviz = pytest.importorskip("pygraphviz", reason="Graphviz itself reads the text")
    assert len(pygraphviz.AGraph(string=drawing.dot).nodes()) == len(drawing.diagram.nodes)


def test_without_a_backward_pass_folded_boxes_say_so():
    x = Value(1.0, "x0")
    for _ in range(9):
        x = x - (x * x - 2.0) / (2.0 * x)
    assert {node.grad for node in viz.draw(x).diagram.nodes} == {"–"}


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("count", [20, 60, 130, 160, 200])
def test_what_is_left_out_as_hopeless_would_not_have_fitted(
    count: int, direction: layered.Direction
) -> None:
    """The bound on small boxes may only leave out what the layout refuses."""
    hopeless = 0
    for wide in (True, False):
        leaves = [Value(0.1 * i) for i in range(count // 2)]
        root = leaves[0]
        for leaf in leaves[1:]:
            root = root + leaf if wide else -(root + leaf)
        members, _ = fitting.members_of(root, limit=1000)
        for look in (fitting.Look(), fitting.Look(flat_leaves=True)):
            if fitting.is_hopeless(look, members, members):
                hopeless += 1
                drawn = circuit_of(root, limit=1000, look=look)
                assert layered.fit(drawn, direction, fitting.room(drawn)) is None
    assert (hopeless > 0) == (count > 60)
