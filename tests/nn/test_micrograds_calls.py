"""Networks that are called as micrograd's are, without its traps."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.nn.layers import MOST_PARAMETERS


def test_micrograd_calls():
    model = nn.MLP(2, [16, 16, 1])
    assert len(model.parameters()) == 337
    out = model([2.0, 3.0])
    assert isinstance(out, cr.Value)
    out.backward()
    assert any(p.grad for p in model.parameters())
    model.zero_grad()
    assert not any(p.grad or p.has_grad for p in model.parameters())
    assert nn.Neuron(2, nonlin=True).activation == "relu"
    assert nn.Neuron(2, nonlin=False).activation == "linear"
    assert nn.Layer(2, 3, nonlin=False).activation == "linear"
    assert model.activations == ("relu", "relu", "linear")


def test_hidden_layers_of_width_one_work():
    model = nn.MLP(2, [4, 1, 1], activation="tanh", seed=0)
    assert isinstance(model([1.0, 2.0]), cr.Value)
    model([1.0, 2.0]).backward()
    assert all(p.has_grad for p in model.parameters())


@pytest.mark.parametrize("name", nn.activations.ELEMENTWISE)
def test_each_neuron_of_a_layer_computes_the_layers_entry(name):
    layer = nn.Layer(2, 3, name, seed=0)
    alone = [neuron([0.5, -1.0]).data for neuron in layer.neurons]
    assert alone == [a.data for a in layer([0.5, -1.0])]


def test_a_layer_returns_a_list_whatever_its_width():
    assert [type(nn.Layer(2, n)([1, 2])) for n in (1, 2)] == [list, list]
    assert isinstance(nn.MLP(2, [3])([1, 2]), list)


@pytest.mark.parametrize("module", [nn.MLP(3, [2, 1]), nn.Layer(3, 2), nn.Neuron(3)])
@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_a_wrong_input_length_raises_with_both_numbers(module, count):
    with pytest.raises(ValueError, match=f"takes 3 inputs, but was given {count}"):
        module([1.0] * count)


def test_inputs_may_be_numbers_values_or_rows():
    model = nn.MLP(2, [3, 1], activation="tanh", seed=0)
    expected = model([1.0, 2.0]).data
    for x in (
        (1, 2), [True, Fraction(2)], np.array([1, 2]), np.array([1, 2], dtype=np.float32),
        [cr.Value(1.0), 2], np.array([cr.Value(1.0), cr.Value(2.0)]), iter([1.0, 2.0]),
        [np.float64(1), np.int8(2)], np.array([[1, 2], [3, 4]])[0],
    ):  # fmt: skip
        assert model(x).data == expected
    assert nn.MLP(1, [1], seed=0)(0.5).data == nn.MLP(1, [1], seed=0)([0.5]).data
    assert nn.MLP(1, [1], seed=0)(cr.Value(0.5)).data == nn.MLP(1, [1], seed=0)([0.5]).data
    assert math.isnan(model([math.nan, 1.0]).data)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ("ab", TypeError, "sequence of 2 numbers"),
        (None, TypeError, "not NoneType"),
        ({1: 2, 3: 4}, TypeError, "not dict"),
        ({1.0, 2.0}, TypeError, "not set"),
        ([1, "2"], TypeError, "str is not a real number"),
        ([1, 2j], TypeError, "complex is not a real number"),
        ([1, None], TypeError, "NoneType"),
        ([[1, 2], [3, 4]], TypeError, "list is not a real number"),
        (np.ones((5, 2)), ValueError, r"one example at a time, not an array of shape \(5, 2\)"),
        (1.0, ValueError, "takes 2 inputs, but was given 1"),
    ],
)
def test_inputs_that_are_none(x, error, message):
    with pytest.raises(error, match=message):
        nn.MLP(2, [2, 1])(x)
    with pytest.raises(error, match=message):
        nn.MLP(2, [2, 1]).trace(x)


@pytest.mark.parametrize(
    "widths", [[3, 1], (3, 1), np.array([3, 1]), range(3, 0, -2), iter([3, 1])]
)
def test_sizes_may_be_any_sequence(widths):
    model = nn.MLP(np.int64(2), widths)
    assert model.sizes == (2, 3, 1)
    assert repr(model) == "MLP(2, [3, 1], activation='relu', output_activation='linear')"


@pytest.mark.parametrize(
    ("n_inputs", "widths", "error", "message"),
    [
        (2, [], ValueError, "widths is empty"),
        (2, 3, TypeError, "widths is 3"),
        (2, "31", TypeError, "widths is '31'"),
        (2, {3, 1}, TypeError, "widths is"),
        (0, [1], ValueError, "n_inputs is 0"),
        (-2, [1], ValueError, "n_inputs is -2"),
        (2.0, [1], TypeError, "n_inputs is 2.0"),
        (True, [1], TypeError, "n_inputs is True"),
        (2, [3, 0], ValueError, r"widths\[1\] is 0"),
        (2, [3, -1], ValueError, r"widths\[1\] is -1"),
        (2, [3.0, 1], TypeError, r"widths\[0\] is 3.0"),
        (2, np.array([3.0, 1.0]), TypeError, r"widths\[0\]"),
        (2, [[3], 1], TypeError, r"widths\[0\]"),
        (2, [None], TypeError, r"widths\[0\] is None"),
        (10**6, [10**6], ValueError, "parameters"),
        (1, [10**18], ValueError, "parameters"),
    ],
)
def test_invalid_sizes_raise(n_inputs, widths, error, message):
    with pytest.raises(error, match=message):
        nn.MLP(n_inputs, widths)


def test_too_many_parameters_are_refused_before_anything_is_made():
    for make in (lambda: nn.Neuron(MOST_PARAMETERS), lambda: nn.Layer(MOST_PARAMETERS, 1)):
        with pytest.raises(ValueError, match="10,000,000"):
            make()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"activation": "swish"}, ValueError, "expected one of relu, leaky_relu"),
        ({"activation": None}, TypeError, "expected a name"),
        ({"activation": cr.relu}, TypeError, "expected a name"),
        ({"activation": ["relu"]}, ValueError, "1 activations for 2 hidden layers"),
        ({"activation": ["relu", "exp"]}, ValueError, "'exp'"),
        ({"output_activation": "log"}, ValueError, "'log'"),
        ({"output_activation": ["tanh"]}, TypeError, "expected a name"),
        ({"seed": -1}, ValueError, "seed is -1; expected an int, 0 or more"),
        ({"seed": "a"}, TypeError, "seed is 'a'; expected an int, 0 or more"),
    ],
)
def test_invalid_options_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        nn.MLP(2, [3, 3, 1], **arguments)
