"""Parameters of networks: their names, their labels, and Theta read and written."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn


def test_a_neurons_weights_are_a_list_whose_changes_take_effect():
    neuron = nn.Neuron(2, False)
    neuron.theta = [1.0, 2.0, 3.0]
    assert [p.data for p in neuron.w + [neuron.b]] == [2.0, 3.0, 1.0]  # noqa: RUF005
    neuron.w[1] = cr.Value(30.0)
    assert neuron([1.0, 1.0]).data == 33.0
    neuron.w = [cr.Value(w) for w in (4.0, 5.0, 6.0)]
    neuron.b = cr.Value(7.0)
    assert neuron([1.0, 1.0, 1.0]).data == 22.0
    assert neuron.theta.tolist() == [7.0, 4.0, 5.0, 6.0]
    assert [p.data for p in neuron.parameters()] == [4.0, 5.0, 6.0, 7.0]
    assert neuron.state_dict()["w"].tolist() == [4.0, 5.0, 6.0]
    assert repr(neuron) == "Neuron(3, 'linear')"


def test_layers_and_neurons_are_lists_whose_changes_take_effect(tmp_path):
    model = nn.MLP(2, [3, 1], seed=0)
    model.layers[0].neurons.append(nn.Neuron(2, seed=1))
    model.layers[1] = nn.Layer(4, 2, nonlin=False, seed=2)
    model.layers.append(nn.Layer(2, 1, "tanh", seed=3))
    assert model.sizes == (2, 4, 2, 1)
    assert model.activations == ("relu", "linear", "tanh")
    assert [theta.shape for theta in model.thetas] == [(4, 3), (2, 5), (1, 3)]
    assert len(model.parameters()) == 12 + 10 + 3
    model([1.0, 2.0]).backward()
    assert all(p.has_grad for p in model.layers[-1].parameters())
    trace = model.trace([1.0, 2.0])
    assert trace.output.data == model([1.0, 2.0]).data
    nn.save(model, tmp_path / "grown.npz")
    assert nn.load(tmp_path / "grown.npz")([1.0, 2.0]).data == trace.output.data
    model.layers = model.layers[:1]
    model.layers[0].neurons = model.layers[0].neurons[:2]
    assert len(model([1.0, 2.0])) == 2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda m: m.layers[0].neurons[1].w.append(cr.Value(1.0)), ValueError, r"3 weights"),
        (lambda m: m.layers[0].neurons[0].w.pop(), ValueError, r"takes 1 input,|expected 1,"),
        (lambda m: m.layers[0].neurons.append(nn.Neuron(2, "tanh")), ValueError, "activations"),
        (lambda m: setattr(m.layers[0].neurons[0], "nonlin", False), ValueError, "activations"),
        (lambda m: m.layers[0].neurons.append(nn.Neuron(2)), ValueError, "inputs"),
        (lambda m: m.layers[0].neurons.append(print), TypeError, r"Layer.neurons\[3\] is .*print"),
        (lambda m: m.layers[0].neurons.clear(), ValueError, "Layer.neurons is empty"),
        (lambda m: m.layers.insert(1, nn.Layer(2, 3)), ValueError, "inputs"),
        (lambda m: m.layers.append(math.tanh), TypeError, r"MLP.layers\[2\] .* expected a Layer"),
        (lambda m: m.layers.clear(), ValueError, "MLP.layers is empty"),
    ],
)
def test_lists_that_no_longer_make_a_network_are_refused_on_every_way(
    change, error, message, tmp_path
):
    model = nn.MLP(2, [3, 1], seed=0)
    change(model)
    for use in (
        lambda: model([1.0, 2.0]),
        lambda: model.trace([1.0, 2.0]),
        model.parameters,
        lambda: nn.save(model, tmp_path / "w.npz"),
    ):
        with pytest.raises(error, match=message):
            use()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([0.5, 1.0], TypeError, r"Neuron.w\[0\] is 0.5: expected a Value"),
        ([], ValueError, "Neuron.w is empty"),
        (3, TypeError, "Neuron.w is 3: expected a list"),
    ],
)
def test_weights_that_are_no_values_are_refused(weights, error, message):
    neuron = nn.Neuron(2, seed=0)
    before = neuron.theta
    with pytest.raises(error, match=message):
        neuron.w = weights
    assert (neuron.theta == before).all()
    if weights == [0.5, 1.0]:
        neuron.w[:] = weights
        with pytest.raises(error, match=message):
            neuron.parameters()
    with pytest.raises(TypeError, match=r"Neuron.b is 0.0: expected a Value"):
        neuron.b = 0.0


def test_nonlin_says_whether_there_is_an_activation():
    model = nn.MLP(2, [3, 1], seed=0)
    assert [[n.nonlin for n in layer.neurons] for layer in model.layers] == [[True] * 3, [False]]
    for neuron in model.layers[0].neurons:
        neuron.nonlin = False
    assert model.activations == ("linear", "linear")
    tanh = nn.Neuron(2, "tanh")
    tanh.nonlin = True
    assert tanh.activation == "tanh"
    assert [nn.Neuron(2, nonlin).activation for nonlin in (True, False)] == ["relu", "linear"]


def test_micrograds_names_of_the_sizes_serve_too():
    assert repr(nn.MLP(nin=2, nouts=[3, 1])) == repr(nn.MLP(2, [3, 1]))
    assert repr(nn.Layer(nin=2, nout=3)) == repr(nn.Layer(2, 3))
    assert repr(nn.Neuron(nin=2, nonlin=False)) == repr(nn.Neuron(2, "linear"))
    with pytest.raises(TypeError, match="nin and n_inputs are the same argument"):
        nn.MLP(nin=2, n_inputs=2, widths=[1])
    with pytest.raises(TypeError, match="multiple values for argument 'n_inputs'"):
        nn.MLP(2, [1], nin=2)


def test_parameters_are_listed_unit_by_unit_the_bias_last_and_named_by_their_place_in_theta():
    model = nn.MLP(2, [2, 1], seed=0)
    names = [name for name, _ in model.named_parameters()]
    assert names == [
        "Theta1[0,1]", "Theta1[0,2]", "Theta1[0,0]", "Theta1[1,1]", "Theta1[1,2]", "Theta1[1,0]",
        "Theta2[0,1]", "Theta2[0,2]", "Theta2[0,0]",
    ]  # fmt: skip
    assert [p.label for p in model.parameters()] == names
    assert [p for _, p in model.named_parameters()] == model.parameters()
    bias_last = np.concatenate([np.roll(theta, -1, axis=1).ravel() for theta in model.thetas])
    assert bias_last.tolist() == [p.data for p in model.parameters()]
    assert model.layers[0].neurons[1].b is model.parameters()[5]
    assert [p.label for p in nn.Neuron(2).parameters()] == ["w[0]", "w[1]", "b"]
    assert nn.Layer(1, 1).parameters()[1].label == "Theta[0,0]"


def test_theta_is_set_as_a_whole():
    layer = nn.Layer(2, 2)
    layer.theta = [[1, 2, 3], [4, 5, 6]]
    assert [[n.b.data, *(w.data for w in n.w)] for n in layer.neurons] == [[1, 2, 3], [4, 5, 6]]
    assert layer.theta.dtype == np.float64
    neuron = nn.Neuron(2)
    neuron.theta = np.array([1, 2, 3])
    assert neuron.theta.tolist() == [1, 2, 3]
    assert (neuron.b.data, neuron.w[1].data) == (1, 3)


def test_writing_into_a_theta_raises_rather_than_being_lost():
    model = nn.MLP(2, [1])
    with pytest.raises(ValueError, match="read-only"):
        model.thetas[0][0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        model.layers[0].theta[0, 0] = 1.0
    with pytest.raises(TypeError):
        model.thetas[0] = np.ones((1, 3))


@pytest.mark.parametrize(
    ("theta", "error", "message"),
    [
        (np.ones((3, 2)), ValueError, r"shape \(3, 2\): expected \(2, 3\)"),
        ([[1, 2], [3, 4]], ValueError, r"shape \(2, 2\): expected \(2, 3\)"),
        ([[1, 2, 3], [4, 5]], ValueError, "ragged"),
        ([["1", "2", "3"]] * 2, TypeError, "dtype"),
        (np.ones((2, 3), dtype=complex), TypeError, "complex128"),
        ([[cr.Value(1.0)] * 3] * 2, TypeError, "take .data of each Value"),
        (None, TypeError, "dtype object"),
        (5.0, ValueError, r"shape \(\)"),
        (np.ma.masked_equal([[1, 2, 3], [4, 5, 6]], 5), ValueError, "has masked entries"),
    ],
)
def test_a_theta_that_does_not_fit_changes_nothing(theta, error, message):
    model = nn.MLP(2, [2, 2], seed=0)
    before = model.state_dict()
    with pytest.raises(error, match=message):
        model.layers[0].theta = theta
    with pytest.raises(error, match=r"thetas\[0\]"):
        model.thetas = [theta, np.ones((2, 3))]
    with pytest.raises(error, match=r"thetas\[1\]"):
        model.thetas = [np.ones((2, 3)), theta]
    with pytest.raises(ValueError, match="1 matrices; expected 2"):
        model.thetas = [np.ones((2, 3))]
    assert all((model.state_dict()[name] == array).all() for name, array in before.items())


def test_theta_takes_what_is_not_finite_as_data_does():
    layer = nn.Layer(1, 1)
    layer.theta = [[math.nan, math.inf]]
    assert math.isnan(layer.neurons[0].b.data)


def test_state_dict_is_a_copy_and_loads_back():
    model, other = nn.MLP(2, [3, 1], seed=0), nn.MLP(2, [3, 1], seed=1)
    state = model.state_dict()
    other.load_state_dict(state)
    assert [p.data for p in other.parameters()] == [p.data for p in model.parameters()]
    state["Theta1"][0, 0] = 99.0
    assert model.thetas[0][0, 0] == other.thetas[0][0, 0] == 0.0
    other.load_state_dict({name: array.astype(np.float32) for name, array in state.items()})
    assert other.thetas[0][0, 0] == 99.0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"Theta2": None}, ValueError, "missing 'Theta2'; unexpected none"),
        ({"Theta3": np.ones((1, 1))}, ValueError, "missing none; unexpected 'Theta3'"),
        ({"Theta2": np.ones((1, 3))}, ValueError, r"Theta2 has shape \(1, 3\): expected \(1, 4\)"),
        ({"Theta2": np.full((1, 4), np.nan)}, ValueError, r"Theta2\[0, 0\] is nan"),
        ({"Theta2": [[0, 0, 0, -math.inf]]}, ValueError, r"Theta2\[0, 3\] is -inf"),
        ({"Theta2": np.ones((1, 4), dtype=complex)}, TypeError, "complex"),
        ({"Theta2": "weights"}, TypeError, "dtype"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, message):
    model = nn.MLP(2, [3, 1], seed=0)
    before = [p.data for p in model.parameters()]
    state = {name: array + 1 for name, array in model.state_dict().items()} | change
    state = {name: array for name, array in state.items() if array is not None}
    with pytest.raises(error, match=message):
        model.load_state_dict(state)
    assert [p.data for p in model.parameters()] == before


def test_a_state_that_is_no_mapping():
    with pytest.raises(TypeError, match=r"expected a mapping from names to arrays.*\[1\]"):
        nn.MLP(1, [1]).load_state_dict([1])
