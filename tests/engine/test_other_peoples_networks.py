"""Scripts that use micrograd's networks run when only the import is changed.

Where micrograd is installed the same script runs on its networks too, with the same numbers.
"""

from __future__ import annotations

import textwrap

import pytest

import chainrule


@pytest.fixture(params=["chainrule", "micrograd"])
def package(request):
    """The module named in a script's imports, with engine and nn."""
    return pytest.importorskip(
        request.param, reason="compares with micrograd if installed"
    ).__name__


def run(script, package):
    """What *script* leaves in its names, micrograd in it replaced by *package* as sed would."""
    names = {}
    exec(textwrap.dedent(script).replace("micrograd", package), names)
    return names


def test_a_script_is_changed_by_sed(package):
    script = """
        from micrograd.engine import Value
        from micrograd.nn import MLP, Layer, Module, Neuron
        import micrograd.nn as nn

        model = nn.MLP(nin=3, nouts=[4, 4, 1])
        count = len(model.parameters())
        out = model([Value(2.0), 3.0, -1.0])
        kind = type(out) is Value
        several = len(MLP(2, [4, 2])([1.0, -1.0]))
        linear = Neuron(2, False)
        linear.b.data = 5.0
        for w in linear.w:
            w.data = -1.0
        negative = linear([10.0, 20.0]).data
        nonlin = [[n.nonlin for n in layer.neurons] for layer in model.layers]
        drawn = [isinstance(part, list) for part in (model.layers, linear.w)]
    """
    names = run(script, package)
    assert (names["count"], names["kind"], names["several"]) == (41, True, 2)
    assert names["negative"] == -25.0
    assert names["nonlin"] == [[True] * 4, [True] * 4, [False]]
    assert names["drawn"] == [True, True]


COPY = """
    from micrograd.engine import Value
    from micrograd.nn import MLP

    model = MLP(2, [3, 2, 1])
    for i, p in enumerate(model.parameters()):
        p.data = ((7 * i) % 13 - 6) / 10
    losses = []
    pairs = (0.5, 1.0), (-1.0, 0.0), (2.0, -1.0)
    for _ in range(5):
        loss = sum((model([x, 1.0 - x]) - y) ** 2 for x, y in pairs)
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.01 * p.grad
        losses.append(loss.data)
    flat = [p.data for n in model.layers[0].neurons for p in n.w + [n.b]]
    listed = [p.data for p in model.layers[0].parameters()]
"""


def test_parameters_set_in_their_order_make_the_same_network(package):
    names = run(COPY, package)
    assert names["flat"] == names["listed"]
    assert names["losses"][-1] < names["losses"][0]
    pytest.importorskip("micrograd", reason="the order is its")
    theirs = run(COPY, "micrograd")
    assert names["losses"] == pytest.approx(theirs["losses"], rel=1e-12)
    assert names["flat"] == pytest.approx(theirs["flat"], rel=1e-12)


def test_weights_are_loaded_by_replacing_the_lists(package):
    script = """
        from micrograd.engine import Value
        from micrograd.nn import MLP

        model = MLP(2, [2, 1])
        saved = [[([1.0, -2.0], 0.5), ([0.25, 3.0], -1.0)], [([2.0, -1.0], 0.125)]]
        for layer, rows in zip(model.layers, saved):
            for neuron, (weights, bias) in zip(layer.neurons, rows):
                neuron.w = [Value(w) for w in weights]
                neuron.b = Value(bias)
        out = model([1.0, 0.5])
        out.backward()
        grads = [p.grad for p in model.parameters()]
    """
    names = run(script, package)
    assert names["out"].data == 2.0 * 0.5 - 1.0 * 0.75 + 0.125
    assert names["grads"] == [2.0, 1.0, 2.0, -1.0, -0.5, -1.0, 0.5, 0.75, 1.0]


def test_a_module_of_ones_own_with_parameters_and_zero_grad(package):
    script = """
        from micrograd.nn import Module, Neuron

        class Two(Module):
            def __init__(self):
                self.a, self.b = Neuron(2), Neuron(2, nonlin=False)
            def __call__(self, x):
                return self.a(x) + self.b(x)
            def parameters(self):
                return self.a.parameters() + self.b.parameters()

        two = Two()
        two([1.0, 2.0]).backward()
        some = any(p.grad for p in two.parameters())
        two.zero_grad()
        none = not any(p.grad for p in two.parameters())
    """
    names = run(script, package)
    assert len(names["two"].parameters()) == 6
    assert names["some"]
    assert names["none"]


def test_an_optimiser_that_keeps_its_state_on_the_values(package):
    script = """
        from micrograd.engine import Value

        class Adam:
            def __init__(self, parameters):
                self.parameters, self.t = parameters, 0
                for p in parameters:
                    p.m = p.v = 0.0

            def step(self):
                self.t += 1
                for p in self.parameters:
                    p.m = 0.9 * p.m + 0.1 * p.grad
                    p.v = 0.95 * p.v + 0.05 * p.grad**2
                    m, v = p.m / (1 - 0.9**self.t), p.v / (1 - 0.95**self.t)
                    p.data -= 0.1 * m / (v**0.5 + 1e-8)

        x, y = Value(4.0), Value(-3.0)
        adam, first = Adam([x, y]), None
        for _ in range(300):
            loss = (x - 1.0) ** 2 + (x * 0.5 - y) ** 2
            x.grad = y.grad = 0.0
            loss.backward()
            adam.step()
            first = first or (x.data, y.data)
    """
    names = run(script, package)
    assert names["first"] == pytest.approx((3.9, -2.9), abs=1e-8)  # Adam's first step is the rate
    assert (names["x"].data, names["y"].data) == pytest.approx((1.0, 0.5), abs=1e-2)


def test_momentum_kept_beside_the_values(package):
    script = """
        from micrograd.engine import Value

        x, y = Value(4.0), Value(-3.0)
        velocity = {p: 0.0 for p in (x, y)}
        for _ in range(150):
            loss = (x - 1.0) ** 2 + (x * 0.5 - y) ** 2
            for p in velocity:
                p.grad = 0.0
            loss.backward()
            for p in velocity:
                velocity[p] = 0.8 * velocity[p] - 0.05 * p.grad
                p.data += velocity[p]
    """
    names = run(script, package)
    assert (names["x"].data, names["y"].data) == pytest.approx((1.0, 0.5), abs=1e-4)


def test_gradients_listed_as_parameters_are_understood_by_the_checker():
    from chainrule import nn
    from chainrule.checking import diagnose

    def gradient(thetas, X, Y, lam):
        widths = [theta.shape[0] for theta in thetas]
        model = nn.MLP(X.shape[1], widths, activation="sigmoid", seed=0)
        model.thetas = thetas
        losses = [nn.losses.logistic(model(x), y) for x, y in zip(X, Y, strict=True)]
        (chainrule.mean(losses) + nn.losses.l2(model, lam, len(X))).backward()
        return [p.grad for p in model.parameters()]

    report = diagnose(gradient, loss="logistic")
    assert report.ok
    assert [convention.name for convention in report.conventions] == ["unrolled+bias-last"]
