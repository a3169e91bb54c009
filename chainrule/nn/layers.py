"""Neurons, layers and the multilayer perceptron.

Numbering.  Layers have the numbers of the course notes: layer 1 is the input, layer L the output,
and Theta^(l) leads from layer l to layer l + 1.  Units are counted from 0, as the rows of a matrix
in NumPy are, and column 0 of Theta is the bias, so with ``Theta = model.thetas[l - 1]``

    z[l + 1][j] = Theta[j, 0] + sum_k Theta[j, 1 + k] * a[l][k],    a[l][j] = g(z[l][j]).

The parameter at ``model.thetas[0][2, 1]`` is named, and labelled in drawings, ``Theta1[2,1]``.
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from typing import Any, SupportsFloat, TypeAlias, TypeVar

import numpy as np

from ..engine.backend import Value
from ..engine.reductions import dot
from ..engine.table import as_float
from ..engine.vectors import read_data, read_grads, write_data
from . import arguments
from .activations import ELEMENTWISE, activate, check_activation, initial_weights
from .arguments import Array
from .module import Module, ParameterArray
from .trace import ByLayer, Output, Trace

Seed = int | np.random.Generator | np.random.SeedSequence | None
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Inputs: TypeAlias = Value | SupportsFloat | Sequence[Value | SupportsFloat]
"""One example: numbers or Values in a list, a tuple or an array; a single one may come as it is."""

MOST_PARAMETERS = 10_000_000
"""More are refused: each is a Python object of some 250 bytes."""


def _also_called(**names: str) -> Callable[[F], F]:
    """Let a function take the keywords *names*, micrograd's, for those of ours they stand for."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def renaming(*args: Any, **keywords: Any) -> Any:
            for theirs in names.keys() & keywords.keys():
                if names[theirs] in keywords:
                    raise TypeError(f"{theirs} and {names[theirs]} are the same argument")
                keywords[names[theirs]] = keywords.pop(theirs)
            return function(*args, **keywords)

        return renaming  # type: ignore[return-value]

    return decorate


class Neuron(Module):
    """One unit: a = g(z), z = b + sum_k w_k x_k.

    Calling it makes two nodes, z by ``dot`` and a by the activation (with "linear", z alone).
    *activation* is one of relu, leaky_relu, tanh, sigmoid, softplus, silu, gelu, linear;
    ``nonlin=False`` says "linear" as micrograd does.  The weights are drawn as
    :func:`~chainrule.nn.activations.initial_weights` describes, from *seed*; the bias is 0.

    >>> neuron = Neuron(2, "tanh")
    >>> neuron.theta = [6.8813735870195432, -3, 1]
    >>> out = neuron([2, 0])
    >>> out.backward()
    >>> round(out.data, 4), [round(p.grad, 4) for p in neuron.parameters()]
    (0.7071, [1.0, 0.0, 0.5])

    ``parameters()`` are the weights and then the bias, as micrograd lists them; ``theta`` begins
    with the bias, because a_0 = 1 stands before the inputs.
    """

    @_also_called(nin="n_inputs")
    def __init__(
        self,
        n_inputs: int,
        activation: str | bool = "relu",
        seed: Seed = None,
        *,
        nonlin: bool = True,
    ) -> None:
        n_inputs = arguments.count("Neuron: n_inputs", n_inputs)
        _check_count([n_inputs, 1])
        if isinstance(activation, bool):  # micrograd's second argument is nonlin
            activation = "relu" if activation else "linear"
        activation = check_activation(activation if nonlin else "linear", ELEMENTWISE)
        weights = initial_weights(activation, n_inputs, 1, arguments.generator("Neuron", seed))
        self._set_up(activation, weights[0])
        self._label_parameters()

    def _set_up(self, activation: str, weights: Array) -> None:
        self._activation = activation
        self._w = [Value(w) for w in weights.tolist()]
        self._b = Value(0.0)

    @classmethod
    def _of(cls, activation: str, weights: Array) -> Neuron:
        neuron = cls.__new__(cls)
        neuron._set_up(activation, weights)
        return neuron

    @property
    def w(self) -> list[Value]:
        """The weights, one for each input: the list itself, which may be changed or replaced."""
        return self._w

    @w.setter
    def w(self, w: Iterable[Value]) -> None:
        self._w = _members(Value, "Neuron.w", w)

    @property
    def b(self) -> Value:
        """The bias."""
        return self._b

    @b.setter
    def b(self, b: Value) -> None:
        if type(b) is not Value:
            raise TypeError(f"Neuron.b is {b!r:.80}: expected a Value")
        self._b = b

    @property
    def activation(self) -> str:
        """The name of g."""
        return self._activation

    @property
    def nonlin(self) -> bool:
        """Whether g is another than linear.  Setting it to True makes a linear g relu."""
        return self._activation != "linear"

    @nonlin.setter
    def nonlin(self, nonlin: bool) -> None:
        if bool(nonlin) != self.nonlin:
            self._activation = "relu" if nonlin else "linear"

    @property
    def theta(self) -> Array:
        """The bias and then the weights, shape (1 + s,).  Assign a whole new one to change them."""
        return _frozen(read_data(self._row()))

    @theta.setter
    def theta(self, theta: Any) -> None:
        parameters = self._row()
        write_data(parameters, arguments.real_array("theta", theta, (len(parameters),)))

    def _row(self) -> tuple[Value, ...]:
        """Return the parameters in the order of a row of Theta."""
        if not self._w or not {Value}.issuperset(map(type, self._w)):
            _members(Value, "Neuron.w", self._w)  # says which of them is not
        return (self._b, *self._w)

    def _own_arrays(self) -> Iterable[ParameterArray]:
        bias, *weights = self._row()
        yield ParameterArray("w", tuple(weights), (len(weights),), tuple(weights))
        yield ParameterArray("b", (bias,), (), ())

    def __call__(self, x: Inputs) -> Value:
        """Return the activation a for the inputs *x*: numbers or Values, as many as weights."""
        z = dot(self._w, _inputs(x, len(self._w), self), self._b)
        return activate(self._activation, [z])[0]

    def __repr__(self) -> str:
        return f"Neuron({len(self._w)}, {self._activation!r})"


class Layer(Module):
    """Neurons that share their inputs: z = Theta [1; x], a = g(z).

    *activation* is one of relu, leaky_relu, tanh, sigmoid, softplus, silu, gelu, linear, softmax.
    Calling the layer returns the list of its activations, also when there is only one.

    >>> layer = Layer(2, 3, "tanh", seed=1)
    >>> layer.theta = [[0, 1, 0], [0, 0, 1], [5, 1, 1]]
    >>> [round(a.data, 4) for a in layer([0.5, -1.0])]
    [0.4621, -0.7616, 0.9998]

    ``neurons`` is the list itself, which may be changed or replaced, as long as the neurons in it
    have the same number of inputs and the same activation: that is looked at whenever the layer is
    used, and an error then says which of them does not fit.
    """

    @_also_called(nin="n_inputs", nout="n_outputs")
    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        activation: str = "relu",
        seed: Seed = None,
        *,
        nonlin: bool = True,
    ) -> None:
        n_inputs = arguments.count("Layer: n_inputs", n_inputs)
        n_outputs = arguments.count("Layer: n_outputs", n_outputs)
        _check_count([n_inputs, n_outputs])
        activation = check_activation(activation if nonlin else "linear")
        self._softmax = activation == "softmax"
        if self._softmax and n_outputs == 1:
            raise ValueError("Layer: the softmax of one unit is always 1; take 'sigmoid' instead")
        generator = arguments.generator("Layer", seed)
        weights = initial_weights(activation, n_inputs, n_outputs, generator)
        own = "linear" if self._softmax else activation
        self._neurons = [Neuron._of(own, row) for row in weights]
        self._label_parameters()

    @property
    def neurons(self) -> list[Neuron]:
        """The units, in the order of Theta's rows (those of a softmax layer are linear)."""
        return self._neurons

    @neurons.setter
    def neurons(self, neurons: Iterable[Neuron]) -> None:
        self._neurons = _members(Neuron, "Layer.neurons", neurons)

    def _units(self) -> list[Neuron]:
        """Return the neurons, or raise an error if those that are there now make no layer."""
        neurons = self._neurons
        if {Neuron}.issuperset(map(type, neurons)):
            names = {neuron._activation for neuron in neurons}
            if names == {"linear"} or (len(names) == 1 and not self._softmax):
                return neurons
        _members(Neuron, "Layer.neurons", neurons)
        wanted = "linear ones before the softmax" if self._softmax else "one for all"
        raise ValueError(f"Layer.neurons have the activations {sorted(names)}: expected {wanted}")

    @property
    def activation(self) -> str:
        """The name of g."""
        return "softmax" if self._softmax else self._units()[0]._activation

    @property
    def n_inputs(self) -> int:
        """The number s of inputs, without the bias unit."""
        return len(self._units()[0]._w)

    @property
    def theta(self) -> Array:
        """The matrix Theta, shape (s_next, 1 + s): a row per neuron, column 0 the bias.

        It is a copy and cannot be written into; assign a whole new matrix to change the layer.  A
        wrong shape raises ValueError and changes nothing.  nan and infinities are taken, as
        ``Value.data`` takes them (loading weights does not).
        """
        return _frozen(self._array().read())

    @theta.setter
    def theta(self, theta: Any) -> None:
        self._write(self._checked(theta, "theta"))

    @property
    def theta_grad(self) -> Array:
        """The gradients of the parameters, arranged as in ``theta``."""
        array = self._array()
        return _frozen(read_grads(array.values).reshape(array.shape))

    def _array(self, name: str = "Theta") -> ParameterArray:
        rows = [neuron._row() for neuron in self._units()]
        for i, row in enumerate(rows):
            if len(row) != len(rows[0]):
                raise ValueError(
                    f"Layer.neurons[{i}] has {len(row) - 1} weights: expected {len(rows[0]) - 1}, "
                    "as many as neurons[0]"
                )
        return ParameterArray(
            name,
            tuple(chain.from_iterable(rows)),
            (len(rows), len(rows[0])),
            tuple(chain.from_iterable(row[1:] for row in rows)),
            bias_first=True,
        )

    def _own_arrays(self) -> Iterable[ParameterArray]:
        yield self._array()

    def _checked(self, theta: Any, name: str) -> Array:
        return arguments.real_array(name, theta, self._array().shape)

    def _write(self, theta: Array) -> None:
        write_data(self._array().values, theta.ravel())

    def _z(self, x: Any) -> list[Value]:
        units = self._units()
        inputs = _inputs(x, len(units[0]._w), self)
        return [dot(unit._w, inputs, unit._b) for unit in units]

    def _a(self, z: list[Value]) -> list[Value]:
        return activate(self.activation, z)

    def __call__(self, x: Inputs) -> list[Value]:
        """Return the activations for the inputs *x*: numbers or Values, as many as ``n_inputs``."""
        return self._a(self._z(x))

    def __repr__(self) -> str:
        return f"Layer({self.n_inputs}, {len(self._neurons)}, {self.activation!r})"


class MLP(Module):
    """A multilayer perceptron: layers one after the other.

    *widths* are the numbers of units of the layers after the input, the output's last, in any
    sequence.  *activation* is that of the hidden layers, one name or one for each of them; the
    output layer has *output_activation*.  See :class:`Layer` for the names.  *seed* is an int, or a
    NumPy Generator to draw from; with None every network is different, whatever ``random.seed`` or
    ``numpy.random.seed`` was called with: there is no global state.

    >>> model = MLP(2, [16, 16, 1], activation="tanh", seed=0)
    >>> len(model.parameters()), [theta.shape for theta in model.thetas]
    (337, [(16, 3), (16, 17), (1, 17)])
    >>> out = model([0.5, -1.0])
    >>> out.backward()
    >>> model.parameters()[0].label, model.theta_grads[0].shape
    ('Theta1[0,1]', (16, 3))

    The output is a list, except that a single output comes as it is: ``model(x)`` above is a Value.
    micrograd's names ``nin`` and ``nouts`` serve for the first two arguments too.
    """

    @_also_called(nin="n_inputs", nouts="widths")
    def __init__(
        self,
        n_inputs: int,
        widths: Sequence[int],
        activation: str | Sequence[str] = "relu",
        output_activation: str = "linear",
        seed: Seed = None,
    ) -> None:
        sizes = _sizes(n_inputs, widths)
        _check_count(sizes)
        hidden = _hidden_activations(activation, len(sizes) - 2)
        names = [*hidden, check_activation(output_activation)]
        generator = arguments.generator("MLP", seed)
        self._layers = [
            Layer(before, after, name, generator)
            for (before, after), name in zip(pairwise(sizes), names, strict=True)
        ]
        self._label_parameters()

    @property
    def layers(self) -> list[Layer]:
        """The layers that compute: the first of them leads from the input to layer 2.

        It is the list itself, which may be changed or replaced, as long as every layer has as many
        inputs as the one before it has units: an error says so when the network is next used.
        """
        return self._layers

    @layers.setter
    def layers(self, layers: Iterable[Layer]) -> None:
        self._layers = _members(Layer, "MLP.layers", layers)

    def _stack(self) -> list[Layer]:
        """Return the layers, or raise an error if what is there now cannot be a network."""
        if not self._layers or not {Layer}.issuperset(map(type, self._layers)):
            _members(Layer, "MLP.layers", self._layers)  # says which of them is not
        return self._layers

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of units of every layer, the input first, the bias units left out."""
        layers = self._stack()
        sizes = (layers[0].n_inputs, *(len(layer.neurons) for layer in layers))
        for i, (layer, units) in enumerate(zip(layers, sizes, strict=False)):
            if layer.n_inputs != units:
                raise ValueError(
                    f"MLP.layers[{i}] has {layer.n_inputs} inputs: expected {units}, one for each "
                    "unit before it"
                )
        return sizes

    @property
    def activations(self) -> tuple[str, ...]:
        """The activation of every layer after the input."""
        return tuple(layer.activation for layer in self._stack())

    @property
    def thetas(self) -> tuple[Array, ...]:
        """The matrices Theta^(1) to Theta^(L-1): see ``Layer.theta``.

        Assigning checks all of them before it writes any.
        """
        return tuple(layer.theta for layer in self._stack())

    @thetas.setter
    def thetas(self, thetas: Iterable[Any]) -> None:
        given, layers = arguments.listed("thetas", thetas, "matrices"), self._stack()
        if len(given) != len(layers):
            raise ValueError(
                f"thetas: {len(given)} matrices; expected {len(layers)}, one for each layer after "
                "the input"
            )
        checked = [
            layer._checked(theta, f"thetas[{i}]")
            for i, (layer, theta) in enumerate(zip(layers, given, strict=True))
        ]
        for layer, theta in zip(layers, checked, strict=True):
            layer._write(theta)

    @property
    def theta_grads(self) -> tuple[Array, ...]:
        """The gradients of the parameters, arranged as in ``thetas``."""
        return tuple(layer.theta_grad for layer in self._stack())

    def _own_arrays(self) -> Iterable[ParameterArray]:
        names = theta_shapes(self.sizes)
        for name, layer in zip(names, self._stack(), strict=True):
            yield layer._array(name)

    def __call__(self, x: Inputs) -> Output:
        """Return the output for one example *x*: a Value, or a list if there are several outputs.

        *x* holds as many numbers or Values as there are inputs: a list, a tuple, a row of an array.
        """
        first, *others = self._stack()
        outputs = first(x)
        for layer in others:
            outputs = layer(outputs)
        return _unwrapped(outputs)

    def trace(self, x: Inputs) -> Trace:
        """Compute the output for *x* and return it together with every z and a on the way.

        >>> model = MLP(2, [3, 1], activation="sigmoid", output_activation="sigmoid", seed=0)
        >>> trace = model.trace([1.0, 0.0])
        >>> trace.output is trace.a[3][0]
        True
        >>> loss = (trace.output - 1.0) ** 2
        >>> loss.backward()
        >>> bool(trace.delta(3)[0] == model.theta_grads[1][0, 0])     # the bias unit is 1
        True

        Numbers in *x* become Values here, so ``a[1][j].grad`` is the gradient of that input.  Nodes
        that have no label yet are labelled, for drawings: ``a1[0]``, ``z2[0]``.
        """
        a = {1: _labelled(_inputs(x, self.sizes[0], self), "a1")}
        z = {}
        for number, layer in enumerate(self._stack(), start=2):
            units = layer._z(a[number - 1])
            z[number] = _labelled(units, f"z{number}")
            a[number] = _labelled(layer._a(units), f"a{number}")
        return Trace(ByLayer("z", z), ByLayer("a", a), _unwrapped(list(a[len(a)])))

    def __repr__(self) -> str:
        hidden = self.activations[:-1]
        shown = hidden[0] if len(set(hidden)) == 1 else list(hidden)
        activation = f", activation={shown!r}" if hidden else ""
        return (
            f"MLP({self.sizes[0]}, {list(self.sizes[1:])}{activation}, "
            f"output_activation={self.activations[-1]!r})"
        )


def theta_shapes(sizes: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Return the name and shape of each Theta of a network whose layers have *sizes* units."""
    return {
        f"Theta{number}": (s_next, 1 + s)
        for number, (s, s_next) in enumerate(pairwise(sizes), start=1)
    }


def _members(kind: type[T], name: str, given: Any) -> list[T]:
    """Return *given* as a list, or raise an error that says *name* unless all in it are *kind*.

    No subclass either: what it computes would not be asked for.
    """
    if not arguments.is_sequence(given):
        raise TypeError(f"{name} is {given!r:.80}: expected a list, each of it a {kind.__name__}")
    listed = list(given)
    if not listed:
        raise ValueError(f"{name} is empty: expected at least one {kind.__name__}")
    if not {kind}.issuperset(map(type, listed)):
        i = next(i for i, member in enumerate(listed) if type(member) is not kind)
        raise TypeError(f"{name}[{i}] is {listed[i]!r:.80}: expected a {kind.__name__}")
    return listed


def _sizes(n_inputs: Any, widths: Any) -> list[int]:
    if not arguments.is_sequence(widths):
        raise TypeError(f"MLP: widths is {widths!r}: expected a sequence such as [16, 16, 1]")
    sizes = [arguments.count("MLP: n_inputs", n_inputs)]
    sizes += [arguments.count(f"MLP: widths[{i}]", width) for i, width in enumerate(widths)]
    if len(sizes) == 1:
        raise ValueError("MLP: widths is empty; expected at least the number of outputs, as in [1]")
    return sizes


def _check_count(sizes: Sequence[int]) -> None:
    count = sum(rows * columns for rows, columns in theta_shapes(sizes).values())
    if count > MOST_PARAMETERS:
        raise ValueError(
            f"layers of {', '.join(map(str, sizes))} units have {count:,} parameters, each of them "
            f"an object; expected at most {MOST_PARAMETERS:,}"
        )


def _hidden_activations(activation: Any, count: int) -> list[str]:
    if isinstance(activation, str) or not hasattr(activation, "__iter__"):
        return [check_activation(activation)] * count
    names = [check_activation(name) for name in activation]
    if len(names) != count:
        raise ValueError(
            f"MLP: {len(names)} activations for {count} hidden layers; expected one for each, or "
            "one name for all (the output layer's is output_activation)"
        )
    return names


def _inputs(x: Any, count: int, module: Module) -> Sequence[Value | float]:
    """Return the *count* inputs in *x*, each a float or a Value; the errors name *module*."""
    if isinstance(x, np.ndarray):
        if x.ndim > 1:
            raise ValueError(
                f"{module!r} takes one example at a time, not an array of shape {x.shape}: "
                "[model(x) for x in X]"
            )
        x = x.ravel().tolist()
    elif isinstance(x, (Value, numbers.Number)):
        x = (x,)
    elif not arguments.is_sequence(x):
        raise TypeError(
            f"{module!r} takes a sequence of {count} numbers or Values, not {type(x).__name__}"
        )
    name = type(module).__name__
    inputs = tuple([v if type(v) is float or type(v) is Value else as_float(v, name) for v in x])
    if len(inputs) != count:
        raise ValueError(f"{module!r} takes {_inputs_in_words(count)}, but was given {len(inputs)}")
    return inputs


def _inputs_in_words(count: int) -> str:
    return "1 input" if count == 1 else f"{count} inputs"


def _labelled(units: Sequence[Value | float], name: str) -> tuple[Value, ...]:
    """Return *units* as Values, those without a label labelled by *name* and index."""
    values = tuple(v if isinstance(v, Value) else Value(v) for v in units)
    for j, value in enumerate(values):
        value.label = value.label or f"{name}[{j}]"
    return values


def _unwrapped(outputs: list[Value]) -> Output:
    found: Any = outputs[0] if len(outputs) == 1 else outputs
    return found  # type: ignore[no-any-return]  # see Output


def _frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array
