"""Modules, neurons, layers, networks and traces, against closed forms and published numbers."""

# ruff: noqa: E741 (l is the notes' letter for a layer)
from __future__ import annotations

import ast
import copy
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn

G = {  # g and g' written a second time, for what the graph is judged by
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: 1 / (2 + np.exp(z) + np.exp(-z))),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "linear": (lambda z: z, np.ones_like),
}


def closed_form(thetas, names, x, y):
    """The notes' formulas for C = sum_j (a_j - y_j)^2: z, a, delta and dC/dTheta by layer."""
    a, z = {1: np.asarray(x, dtype=float)}, {}
    for l, (theta, name) in enumerate(zip(thetas, names, strict=True), start=2):
        z[l] = theta[:, 0] + theta[:, 1:] @ a[l - 1]
        a[l] = G[name][0](z[l])
    last = len(thetas) + 1
    delta = {last: 2 * (a[last] - y) * G[names[-1]][1](z[last])}
    for l in range(last - 1, 1, -1):
        delta[l] = thetas[l - 1][:, 1:].T @ delta[l + 1] * G[names[l - 2]][1](z[l])
    D = [np.outer(delta[l + 1], [1, *a[l]]) for l in range(1, last)]
    return z, a, delta, D


def data(units):
    return np.array([unit.data for unit in units])


# ---------------------------------------------------------------- gradients and deltas


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    names=st.data(),
    seed=st.integers(0, 10**6),
)
def test_deltas_and_gradients_of_the_graph_are_those_of_the_formulas(sizes, names, seed):
    chosen = [names.draw(st.sampled_from(sorted(G))) for _ in sizes[1:]]
    rng = np.random.default_rng(seed)
    model = nn.MLP(sizes[0], sizes[1:], activation=chosen[:-1], output_activation=chosen[-1])
    thetas = [rng.normal(size=theta.shape) for theta in model.thetas]
    model.thetas = thetas
    x, y = rng.normal(size=sizes[0]), rng.normal(size=sizes[-1])

    trace = model.trace(x)
    nn.losses.squared_error(trace.output, y).backward()

    z, a, delta, D = closed_form(thetas, chosen, x, y)
    assert sorted(trace.a) == list(range(1, len(sizes) + 1))
    assert sorted(trace.z) == list(range(2, len(sizes) + 1))
    scale = 1 + max(np.abs(d).max() for d in (*z.values(), *delta.values(), *D))
    for l in trace.z:
        np.testing.assert_allclose(data(trace.z[l]), z[l], rtol=1e-12, atol=1e-13 * scale)
        np.testing.assert_allclose(trace.delta(l), delta[l], rtol=1e-12, atol=1e-13 * scale)
    for l in trace.a:
        np.testing.assert_allclose(data(trace.a[l]), a[l], rtol=1e-12, atol=1e-13 * scale)
    for found, expected in zip(model.theta_grads, D, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13 * scale)


def mazur():
    model = nn.MLP(2, [2, 2], activation="sigmoid", output_activation="sigmoid", seed=0)
    model.thetas = [
        [[0.35, 0.15, 0.20], [0.35, 0.25, 0.30]],
        [[0.60, 0.40, 0.45], [0.60, 0.50, 0.55]],
    ]
    return model


def test_mazur_step_by_step_backpropagation_example():
    model = mazur()
    trace = model.trace([0.05, 0.10])
    loss = nn.losses.half_squared_error(trace.output, [0.01, 0.99])
    loss.backward()

    np.testing.assert_allclose(data(trace.z[2]), [0.3775, 0.3925], rtol=1e-12)
    np.testing.assert_allclose(data(trace.a[2]), [0.593269992, 0.596884378], atol=5e-10)
    np.testing.assert_allclose(data(trace.z[3]), [1.105905967, 1.224921404], atol=5e-10)
    np.testing.assert_allclose(data(trace.output), [0.751365070, 0.772928465], atol=5e-10)
    assert loss.data == pytest.approx(0.298371109, abs=5e-10)
    np.testing.assert_allclose(trace.delta(3), [0.138498562, -0.038098237], atol=1.5e-9)
    np.testing.assert_allclose(trace.delta(2), [0.008771355, 0.009954255], atol=5e-10)
    np.testing.assert_allclose(
        np.concatenate([grad[:, 1:].ravel() for grad in model.theta_grads]),
        [0.000438567734, 0.000877135469, 0.000497712735, 0.000995425471,
         0.082167040564, 0.082667627848, -0.022602540477, -0.022740242216],
        atol=6e-13,
    )  # fmt: skip
    biases = [grad[:, 0].sum() for grad in model.theta_grads]
    np.testing.assert_allclose(biases, [0.018725609395, 0.100400325112], atol=6e-13)


def test_mazur_after_one_step_with_the_biases_fixed():
    model = mazur()
    weights = [w for layer in model.layers for neuron in layer.neurons for w in neuron.w]
    optimiser = nn.optim.SGD(weights, lr=0.5)
    nn.losses.half_squared_error(model([0.05, 0.10]), [0.01, 0.99]).backward()
    optimiser.step()
    np.testing.assert_allclose(
        data(weights),
        [0.149780716, 0.19956143, 0.24975114, 0.29950229,
         0.35891648, 0.408666186, 0.511301270, 0.561370121],
        atol=5e-9,
    )  # fmt: skip
    after = nn.losses.half_squared_error(model([0.05, 0.10]), [0.01, 0.99])
    assert after.data == pytest.approx(0.29102777369359933, rel=1e-15)  # not the published figure


def test_micrograd_lecture_neuron():
    neuron = nn.Neuron(2, "tanh")
    neuron.theta = [6.8813735870195432, -3, 1]
    x = [cr.Value(2.0), cr.Value(0.0)]
    out = neuron(x)
    out.backward()
    assert out.parents[0].data == pytest.approx(0.8813735870195432, rel=1e-15)
    assert out.parents[0].grad == pytest.approx(0.5)
    assert out.data == pytest.approx(0.7071067811865476, rel=1e-15)
    assert [v.grad for v in x] == pytest.approx([-1.5, 0.5])
    assert [w.grad for w in neuron.w] == pytest.approx([1.0, 0.0])


def test_cs231n_sigmoid_neuron():
    neuron = nn.Neuron(2, "sigmoid")
    neuron.theta = [-3, 2, -3]
    x = [cr.Value(-1.0), cr.Value(-2.0)]
    out = neuron(x)
    out.backward()
    assert out.data == pytest.approx(0.7310585786300049, rel=1e-15)
    assert [p.grad for p in (*neuron.w, neuron.b)] == pytest.approx(
        [-0.19661193324148185, -0.3932238664829637, 0.19661193324148185], rel=1e-14
    )
    assert [v.grad for v in x] == pytest.approx([0.3932238664829637, -0.5898357997244456])


def test_ng_cost_and_gradient_with_and_without_the_penalty():
    model = nn.MLP(2, [2, 4], activation="sigmoid", seed=0)
    model.thetas = [
        [[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]],
        [[0.7, 1.1, 1.5], [0.8, 1.2, 1.6], [0.9, 1.3, 1.7], [1.0, 1.4, 1.8]],
    ]
    X = np.cos([[1, 2], [3, 4], [5, 6]])
    Y = np.eye(4)[[3, 1, 2]]
    expected = {
        0: (7.406969856065749,
            [0.766138, 0.979897, -0.027540, -0.035844, -0.024929, -0.053862,
             0.883417, 0.568762, 0.584668, 0.598139, 0.459314, 0.344618, 0.256313, 0.311885,
             0.478337, 0.368920, 0.259771, 0.322331]),
        3: (16.45696985606575,
            [0.76614, 0.97990, 0.27246, 0.36416, 0.47507, 0.54614,
             0.88342, 0.56876, 0.58467, 0.59814, 1.55931, 1.54462, 1.55631, 1.71189,
             1.97834, 1.96892, 1.95977, 2.12233]),
    }  # fmt: skip
    for lam, (J, gradient) in expected.items():
        traces = [model.trace(x) for x in X]
        costs = [nn.losses.logistic(t.output, y) for t, y in zip(traces, Y, strict=True)]
        cost = cr.mean(costs) + nn.losses.l2(model, lam, m=3)
        model.zero_grad()
        cost.backward()
        assert cost.data == pytest.approx(J, rel=1e-14)
        unrolled = np.concatenate([grad.ravel("F") for grad in model.theta_grads])
        np.testing.assert_allclose(unrolled, gradient, atol=6e-6 if lam else 6e-7)
        deltas = 3 * np.array([trace.delta(2) for trace in traces])  # the mean is in them
        np.testing.assert_allclose(
            deltas,
            [[0.7939316618, 1.0528075567], [0.7367358131, 0.9512816635],
             [0.767747634, 0.935601378]],
            atol=6e-11,
        )  # fmt: skip


def test_the_backprop_room_agrees():
    from chainrule import backprop

    rng = np.random.default_rng(5)
    model = nn.MLP(3, [4, 1, 3], activation=["tanh", "sigmoid"], seed=1)
    X, classes = rng.normal(size=(6, 3)), [0, 2, 1, 1, 0, 2]
    pairs = zip(X, classes, strict=True)
    losses = [nn.losses.cross_entropy(model(x), t) for x, t in pairs]
    (cr.mean(losses) + nn.losses.l2(model, 1.3, m=6)).backward()
    truth = backprop.gradients(
        model.thetas, X, backprop.one_hot(classes, 3), lam=1.3, loss="cross_entropy",
        activation=["tanh", "sigmoid"],
    )  # fmt: skip
    for found, expected in zip(model.theta_grads, truth.D, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-16)


# ---------------------------------------------------------------- the shape of the graph


@pytest.mark.parametrize(
    "name", [n for n in nn.activations.NAMES if n not in ("linear", "softmax")]
)
def test_a_neuron_is_one_z_node_and_one_activation_node(name):
    neuron = nn.Neuron(3, name, seed=0)
    out = neuron([1.0, 2.0, 3.0])
    assert out.op == name
    (z,) = out.parents
    assert z.op == "dot"
    assert z.parents == (*neuron.w, neuron.b)
    assert z.partials == (1.0, 2.0, 3.0, 1.0)
    assert out.data == getattr(cr, name)(z.data)


def test_a_linear_neuron_has_no_activation_node():
    assert nn.Neuron(2, "linear")([1, 2]).op == "dot"
    trace = nn.MLP(2, [1]).trace([1, 2])
    assert trace.a[2][0] is trace.z[2][0]


def test_a_softmax_output_layer():
    model = nn.MLP(2, [3], output_activation="softmax", seed=3)
    trace = model.trace([0.3, -0.4])
    z = data(trace.z[2])
    np.testing.assert_allclose(data(trace.output), np.exp(z) / np.exp(z).sum(), rtol=1e-14)
    (-cr.log(trace.output[1])).backward()
    np.testing.assert_allclose(trace.delta(2), data(trace.output) - [0, 1, 0], rtol=1e-13)
    with pytest.raises(ValueError, match="softmax of one unit is always 1"):
        nn.MLP(2, [1], output_activation="softmax")
    with pytest.raises(ValueError, match="softmax"):
        nn.Neuron(2, "softmax")


# ---------------------------------------------------------------- initialisation


def test_the_seed_decides_and_nothing_global_is_touched():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first, second = (nn.MLP(3, [4, 2], seed=7).state_dict() for _ in range(2))
    assert all((first[name] == second[name]).all() for name in first)
    assert (nn.MLP(3, [4, 2], seed=8).thetas[0] != first["Theta1"]).any()
    assert (nn.MLP(3, [4, 2]).thetas[0] != nn.MLP(3, [4, 2]).thetas[0]).any()
    assert (np.random.get_state()[1] == before).all()
    generator = np.random.default_rng(7)
    assert (nn.MLP(3, [4, 2], seed=generator).thetas[1] == first["Theta2"]).all()


@pytest.mark.parametrize("name", nn.activations.NAMES)
def test_initial_weights_have_the_published_variance_and_biases_are_zero(name):
    n_inputs, n_outputs = 120, 80
    theta = nn.Layer(n_inputs, n_outputs, name, seed=0).theta
    weights = theta[:, 1:]
    assert (theta[:, 0] == 0).all()
    if name in ("relu", "leaky_relu", "softplus", "silu", "gelu"):
        variance = 2 / n_inputs
        assert np.abs(weights).max() > 3 * math.sqrt(variance)  # normal, not uniform
    else:
        variance = 2 / (n_inputs + n_outputs)
        assert np.abs(weights).max() <= math.sqrt(6 / (n_inputs + n_outputs))
    assert weights.var() == pytest.approx(variance, rel=0.06)  # 4 standard errors
    assert abs(weights.mean()) < 5 * math.sqrt(variance / weights.size)


# ---------------------------------------------------------------- modules of one's own


class Own(nn.Module):
    def __init__(self):
        self.scale = cr.Value(2.0)
        self.body = nn.MLP(2, [2], seed=0)
        self.heads = [nn.Layer(2, 1, seed=1), nn.Neuron(2, seed=2)]
        self.table = {"row": (cr.Value(1.0), cr.Value(2.0))}
        self.grid = np.array([[cr.Value(3.0), cr.Value(4.0)]])
        self.mixed = [1.0, cr.Value(5.0), "text"]
        self.last = self.scale * 2
        self.numbers = np.ones(3)
        self._target = cr.Value(9.0)


def test_parameters_are_found_in_attributes():
    module = Own()
    assert {name: array.shape for name, array in module.state_dict().items()} == {
        "scale": (), "body.Theta1": (2, 3), "heads.0.Theta": (1, 3), "heads.1.b": (),
        "heads.1.w": (2,), "table.row": (2,), "grid": (1, 2), "mixed.1": (),
    }  # fmt: skip
    names = dict(module.named_parameters())
    assert names["body.Theta1[1,2]"] is module.body.layers[0].neurons[1].w[1]
    assert names["grid[0,1]"] is module.grid[0, 1]
    assert module.last not in module.parameters()
    assert module._target not in module.parameters()
    other = Own()
    other.load_state_dict({name: array + 1 for name, array in module.state_dict().items()})
    assert other.grid[0, 1].data == 5.0


def test_attributes_added_to_an_mlp_count_too():
    class Scaled(nn.MLP):
        def __init__(self):
            super().__init__(1, [1], seed=0)
            self.scale = cr.Value(2.0)

    assert list(Scaled().state_dict()) == ["Theta1", "scale"]


def test_a_shared_module_counts_once_and_loads_only_in_agreement():
    class Twice(nn.Module):
        def __init__(self):
            self.first = self.second = nn.Layer(1, 1, seed=0)

    module = Twice()
    assert len(module.parameters()) == 2
    assert list(module.state_dict()) == ["first.Theta", "second.Theta"]
    module.load_state_dict({"first.Theta": [[1, 2]], "second.Theta": [[1, 2]]})
    with pytest.raises(ValueError, match=r"second.Theta\[0,1\] is 3.0, but the same parameter"):
        module.load_state_dict({"first.Theta": [[1, 2]], "second.Theta": [[1, 3]]})
    assert module.first.theta.tolist() == [[1, 2]]


def test_a_reference_back_to_the_parent_does_not_loop():
    parent, child = nn.Module(), nn.Module()
    parent.child, child.parent, child.weight = child, parent, cr.Value(1.0)
    assert [name for name, _ in parent.named_parameters()] == ["child.weight"]


def test_two_parameters_of_one_name_raise():
    module = nn.Module()
    module.table = {1: cr.Value(1.0), "1": cr.Value(2.0)}
    with pytest.raises(ValueError, match=r"two .* 'table.1'"):
        module.parameters()


def test_a_module_without_parameters_is_empty():
    assert nn.Module().parameters() == []
    nn.Module().zero_grad()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_of_a_model_are_independent_and_work(copied):
    model = nn.MLP(2, [3, 1], activation="tanh", seed=0)
    other = copied(model)
    assert repr(other) == repr(model)
    assert other([1, 2]).data == model([1, 2]).data
    other([1, 2]).backward()
    assert any(p.grad for p in other.parameters())
    assert not any(p.grad for p in model.parameters())


def test_reprs_make_the_module_again():
    for model in (
        nn.MLP(2, [3, 4, 1], activation=["tanh", "relu"], output_activation="sigmoid"),
        nn.MLP(2, [1]),
        nn.MLP(2, [4, 4, 3], "gelu", "softmax"),
        nn.Layer(2, 3, "tanh"),
        nn.Neuron(2, "silu"),
    ):
        again = eval(repr(model), {"MLP": nn.MLP, "Layer": nn.Layer, "Neuron": nn.Neuron})
        assert repr(again) == repr(model)
        assert again.state_dict().keys() == model.state_dict().keys()


# ---------------------------------------------------------------- traces


def test_a_trace_computes_what_a_call_does_and_labels_the_nodes():
    model = nn.MLP(2, [2, 1], activation="tanh", seed=0)
    trace = model.trace([0.5, cr.Value(-1.0, label="age")])
    assert trace.output.data == model([0.5, -1.0]).data
    assert [v.label for v in trace.a[1]] == ["a1[0]", "age"]
    assert [v.label for v in trace.z[2]] == ["z2[0]", "z2[1]"]
    assert [v.label for v in trace.a[2]] == ["a2[0]", "a2[1]"]
    assert [v.label for v in trace.a[3]] == ["z3[0]"]
    trace.output.backward()
    expected = cr.gradients(trace.output, trace.a[1])
    assert [v.grad for v in trace.a[1]] == expected


def test_several_outputs_are_a_list_as_in_a_call():
    trace = nn.MLP(2, [3]).trace([1, 2])
    assert isinstance(trace.output, list)
    assert tuple(trace.output) == trace.a[2]


def test_delta_before_a_backward_pass_raises():
    trace = nn.MLP(2, [2, 1]).trace([1, 2])
    with pytest.raises(RuntimeError, match="no backward pass has reached this trace"):
        trace.delta(2)
    with cr.no_grad():
        unlinked = nn.MLP(2, [2, 1]).trace([1, 2])
    with pytest.raises(RuntimeError, match="no_grad"):
        unlinked.delta(3)


def test_delta_of_a_unit_the_loss_does_not_use_is_zero():
    trace = nn.MLP(2, [2], seed=0).trace([1, 2])
    trace.output[0].backward()
    assert trace.delta(2).tolist() == [1.0, 0.0]


def test_delta_of_a_layer_above_the_root_is_zero():
    trace = nn.MLP(2, [2, 1], "tanh", seed=0).trace([1, 2])
    trace.a[2][0].backward()
    assert trace.delta(3).tolist() == [0.0]
    assert trace.delta(2)[0] > 0.0


def test_delta_is_that_of_the_last_backward_pass():
    trace = nn.MLP(1, [1], seed=0).trace([1])
    trace.output.backward()
    (3 * trace.output).backward()
    assert trace.delta(2).tolist() == [3.0]


@pytest.mark.parametrize("l", [0, 1, 4, -1, "2"])
def test_layers_that_have_no_z(l):
    trace = nn.MLP(2, [2, 1]).trace([1, 2])
    trace.output.backward()
    with pytest.raises(KeyError, match="2 to 3; layer 1 is the input"):
        trace.z[l]
    with pytest.raises(KeyError, match="2 to 3"):
        trace.delta(l)


def test_traces_can_be_copied():
    trace = nn.MLP(2, [2, 1], seed=0).trace([1, 2])
    trace.output.backward()
    other = copy.deepcopy(trace)
    assert other.delta(2).tolist() == trace.delta(2).tolist()
    assert other.z[2][0] is not trace.z[2][0]


# ---------------------------------------------------------------- the room


def test_nn_imports_from_the_engine_only():
    for path in Path(nn.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 2:
                assert (node.module or "").startswith("engine"), (path.name, node.module)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                assert not (node.module or "").startswith("chainrule"), path.name


def test_public_names():
    assert set(nn.__all__) == {
        "MLP", "Layer", "Module", "Neuron", "Trace", "load", "losses", "optim", "save",
    }  # fmt: skip


def test_a_softmax_layer_has_linear_neurons():
    layer = nn.Layer(2, 3, "softmax", seed=0)
    for neuron in layer.neurons:
        neuron.nonlin = True
    with pytest.raises(ValueError, match=r"\['relu'\]: expected linear ones before the softmax"):
        layer([1.0, 2.0])
