"""What a recording would go on reading although it was replaced is told."""

import functools
import warnings

import pytest

import chainrule as cr
from chainrule import nn

V = cr.Value
X = [1.0, 2.0]


class Neuron:
    def __init__(self):
        self.w, self.b, self.scale = [V(0.5), V(0.25)], V(0.1), 2.0

    def __call__(self, x):
        return cr.tanh(cr.dot(self.w, [x, x * x], self.b)) * self.scale

    def forward(self, x):
        return self(x)


def test_values_that_replaced_parameters_are_told():
    for replaced in ("w", "b", "one"):
        for wrap in (
            lambda n: n, lambda n: n.forward, lambda n: lambda x: n(x),
            lambda n: functools.partial(lambda m, x: m(x), n), lambda n: lambda x: [n][0](x),
        ):  # fmt: skip
            neuron = Neuron()
            compiled = cr.compile(wrap(neuron))
            compiled(X)
            compiled(X)
            if replaced == "one":
                neuron.w[1] = V(3.0)
            else:
                setattr(neuron, replaced, [V(1.0), V(2.0)] if replaced == "w" else V(1.0))
            with pytest.raises(cr.TraceError, match="holds other Values than when the function"):
                compiled(X)
    weights = [V(1.0)]
    compiled = cr.compile(lambda x: weights[0] * x)
    compiled(X)
    weights = [V(2.0)]
    with pytest.raises(cr.TraceError, match=r"weights holds .* write numbers into those"):
        compiled(X)


def test_an_object_that_was_replaced_by_one_with_other_values_is_told():
    class Held:
        def __init__(self, part):
            self.part, self.losses = part, []

    def compiled_part(held):
        return cr.compile(lambda x: held["model"].part([x]))

    def replaced_layer(held):
        held["model"].part.layers[0] = nn.MLP(1, [3], seed=5).layers[0]

    def replaced_model(held):
        held["model"].part = nn.MLP(1, [3, 1], seed=5)

    def replaced_holder(held):
        held["model"] = Held(nn.MLP(1, [3, 1], seed=5))

    for replace in (replaced_layer, replaced_model, replaced_holder):
        held = {"model": Held(nn.MLP(1, [3, 1], seed=0))}
        compiled = compiled_part(held)
        compiled(X)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            held["model"].losses.append(V(2.0))
            held["model"] = Held(held["model"].part)  # another object with the same parameters
            compiled(X)
        compiled = compiled_part(held)
        compiled(X)
        replace(held)
        with pytest.raises(cr.TraceError, match="holds other Values than when the function"):
            compiled(X)


def test_what_is_written_into_is_nothing_new():
    model = nn.MLP(1, [3, 1], seed=0)
    compiled = cr.compile(lambda x: model([x]))
    other = nn.MLP(1, [3, 1], seed=1)
    neuron = Neuron()
    also = cr.compile(neuron)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(40):
            compiled(X)
            also(X)
            model.load_state_dict(other.state_dict())
            model.layers[0].theta = model.layers[0].theta + 0.1
            neuron.w = list(neuron.w)
            neuron.note = V(3.0)
    assert compiled(X)[0] == pytest.approx(model([1.0]).data, rel=1e-12)


def test_numbers_that_changed_are_warned_of():
    rate, count = 0.5, 0

    def function(x):
        nonlocal count
        count += 1
        return rate * x

    compiled = cr.compile(function)
    compiled(X)
    compiled(X)
    count = 10
    compiled(X)
    rate = 0.25
    with pytest.warns(
        RuntimeWarning, match=r"rate was 0\.5 when the function was recorded.* it is 0\.25 now"
    ):
        assert compiled(X).tolist() == [0.5, 1.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(X)
    neuron = Neuron()
    compiled = cr.compile(lambda x: neuron(x))
    compiled(X)
    neuron.scale = 3.0
    with pytest.warns(RuntimeWarning, match=r"neuron\.scale was 2\.0"):
        compiled(X)


def test_only_so_many_things_are_looked_through_and_the_nearest_first():
    looked = []

    class Counted(dict):
        def __iter__(self):
            looked.append(self)
            return super().__iter__()

    class Framework:
        """What a function may refer to without a word: everything there is."""

    framework, w = Framework(), [V(2.0)]
    framework.everything = [Counted(a=1) for _ in range(50_000)]
    framework.settings = {"rate": 0.5}
    compiled = cr.compile(lambda x: framework.settings["rate"] * w[0] * x)
    assert compiled(X).tolist() == [1.0, 2.0]
    assert 0 < len(looked) <= 10_000
    w[0] = V(3.0)
    with pytest.raises(cr.TraceError, match="other Values"):
        compiled(X)


def test_another_compiled_function_is_not_looked_into():
    w = [V(2.0), V(3.0)]
    first = cr.compile(lambda x: cr.dot(w[: len(x)], x))
    second = cr.compile(lambda x: (first, w[0] * w[1] * x)[1])
    first([[1.0, 2.0]])
    assert second([1.0, 2.0]).tolist() == [6.0, 12.0]
    first([[1.0]])  # its latest recording now reads fewer Values, which is its own affair
    assert second([1.0, 2.0]).tolist() == [6.0, 12.0]
    w[0].data = 10.0
    assert second([1.0, 2.0]).tolist() == [30.0, 60.0]
    w[1] = V(4.0)
    with pytest.raises(cr.TraceError, match="holds other Values"):
        second([1.0, 2.0])
