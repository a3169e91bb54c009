"""Scripts in the manner of other ``Value`` classes run when only the import is changed.

Each script takes the class where its import would stand.  Where micrograd is installed the same
script runs on its class too, and must give the same numbers.
"""

from __future__ import annotations

import itertools
import math
import random
import textwrap

import numpy as np
import pytest

import chainrule


@pytest.fixture(params=["chainrule", "micrograd"])
def Value(request):
    if request.param == "chainrule":
        return chainrule.Value
    engine = pytest.importorskip("micrograd.engine", reason="compares with micrograd if installed")
    return engine.Value


# ---------------------------------------------------------------- a README's expression


def test_an_expression_with_every_operator_on_either_side(Value):
    a = Value(-4.0)
    b = Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    g.backward()
    assert f"{g.data:.4f} {a.grad:.4f} {b.grad:.4f}" == "24.7041 138.8338 645.5773"


# ---------------------------------------------------------------- the demo notebook: two moons


class Neuron:
    def __init__(self, Value, nin, nonlin=True):
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0)
        self.nonlin = nonlin

    def __call__(self, x):
        act = sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b)
        return act.relu() if self.nonlin else act

    def parameters(self):
        return [*self.w, self.b]


class Layer:
    def __init__(self, Value, nin, nout, **kwargs):
        self.neurons = [Neuron(Value, nin, **kwargs) for _ in range(nout)]

    def __call__(self, x):
        out = [n(x) for n in self.neurons]
        return out[0] if len(out) == 1 else out

    def parameters(self):
        return [p for n in self.neurons for p in n.parameters()]


class MLP:
    def __init__(self, Value, nin, nouts):
        sz = [nin, *nouts]
        self.layers = [
            Layer(Value, sz[i], sz[i + 1], nonlin=i != len(nouts) - 1) for i in range(len(nouts))
        ]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self):
        return [p for layer in self.layers for p in layer.parameters()]

    def zero_grad(self):
        for p in self.parameters():
            p.grad = 0


def train_on_moons(Value, steps):
    random.seed(1337)
    rng = np.random.default_rng(1337)
    angles = rng.uniform(0, np.pi, size=24)
    upper = np.arange(24) % 2 == 0
    X = np.where(
        upper[:, None],
        np.c_[np.cos(angles), np.sin(angles)],
        np.c_[1 - np.cos(angles), 0.5 - np.sin(angles)],
    )
    y = np.where(upper, 1, -1)
    model = MLP(Value, 2, [8, 8, 1])

    def loss():
        inputs = [list(map(Value, xrow)) for xrow in X]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(y, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        alpha = 1e-4
        reg_loss = alpha * sum(p * p for p in model.parameters())
        total_loss = data_loss + reg_loss
        accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(y, scores, strict=True)]
        return total_loss, sum(accuracy) / len(accuracy)

    history = []
    for k in range(steps):
        total_loss, acc = loss()
        model.zero_grad()
        total_loss.backward()
        learning_rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= learning_rate * p.grad
        history.append((total_loss.data, acc))
    return history, [p.grad for p in model.parameters()]


def test_the_demo_notebook_trains(Value):
    history, _ = train_on_moons(Value, 12)
    assert history[-1][0] < history[0][0]
    assert history[-1][1] >= 0.85


def test_the_demo_notebook_gives_what_micrograd_gives():
    engine = pytest.importorskip("micrograd.engine", reason="compares with micrograd if installed")
    ours, our_grads = train_on_moons(chainrule.Value, 3)
    theirs, their_grads = train_on_moons(engine.Value, 3)
    assert [loss for loss, _ in ours] == pytest.approx([loss for loss, _ in theirs], rel=1e-12)
    assert [acc for _, acc in ours] == [acc for _, acc in theirs]
    # Theirs adds up in another order from run to run: parents stand in a set.
    assert our_grads == pytest.approx(their_grads, rel=1e-9, abs=1e-12)


# ---------------------------------------------------------------- the lecture's notebook


def test_the_lectures_manual_derivative():
    Value = chainrule.Value

    def lol(h, which):
        numbers = {"a": 2.0, "b": -3.0, "c": 10.0, "f": -2.0}
        numbers[which] += h
        a, b, c, f = (Value(numbers[k], label=k) for k in "abcf")
        e = a * b
        e.label = "e"
        d = e + c
        d.label = "d"
        L = d * f
        L.label = "L"
        return L.data

    h = 0.0001
    slopes = {k: (lol(h, k) - lol(0, k)) / h for k in "abcf"}
    assert slopes == pytest.approx({"a": 6.0, "b": -4.0, "c": -2.0, "f": 4.0}, rel=1e-6)


def test_the_lectures_gradients_by_hand_and_a_step():
    Value = chainrule.Value
    a = Value(2.0, label="a")
    b = Value(-3.0, label="b")
    c = Value(10.0, label="c")
    e = a * b
    d = e + c
    f = Value(-2.0, label="f")
    L = d * f
    # by hand, as the lecture fills them in
    L.grad = 1.0
    f.grad = 4.0
    d.grad = -2.0
    c.grad = -2.0
    e.grad = -2.0
    a.grad = -2.0 * -3.0
    b.grad = -2.0 * 2.0
    by_hand = [v.grad for v in (a, b, c, f, e, d, L)]
    for leaf in (a, b, c, f):
        leaf.grad = 0.0
    L.backward()
    assert [v.grad for v in (a, b, c, f, e, d, L)] == by_hand
    for leaf in (a, b, c, f):
        leaf.data += 0.01 * leaf.grad
    assert ((a * b + c) * f).data == pytest.approx(-7.286496, abs=5e-7)


def test_the_lectures_training_loop():
    Value = chainrule.Value
    random.seed(1)

    class TanhNeuron(Neuron):
        def __call__(self, x):
            act = sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b)
            return act.tanh()

    layers = [
        [TanhNeuron(Value, nin) for _ in range(nout)] for nin, nout in ((3, 4), (4, 4), (4, 1))
    ]

    def n(x):
        for layer in layers:
            x = [neuron(x) for neuron in layer]
        return x[0]

    parameters = [p for layer in layers for neuron in layer for p in neuron.parameters()]
    xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
    ys = [1.0, -1.0, -1.0, 1.0]
    for _ in range(60):
        ypred = [n(x) for x in xs]
        loss = sum((yout - ygt) ** 2 for ygt, yout in zip(ys, ypred, strict=True))
        for p in parameters:
            p.grad = 0.0
        loss.backward()
        for p in parameters:
            p.data += -0.1 * p.grad
    assert loss.data < 0.05
    assert [round(y.data) for y in ypred] == ys
    assert str(ypred[0]).startswith("Value(data=0.")


def test_the_lectures_tanh_in_pieces_equals_tanh_whole():
    Value = chainrule.Value
    grads = []
    for whole in (True, False):
        x, w, b = Value(2.0), Value(-3.0), Value(6.8813735870195432)
        n = x * w + b
        e = (2 * n).exp()
        o = n.tanh() if whole else (e - 1) / (e + 1)
        o.backward()
        grads.append([x.grad, w.grad, b.grad])
    assert grads[0] == pytest.approx(grads[1], rel=1e-14)


# ---------------------------------------------------------------- a language model in scalars


def tiny_transformer(Value, seed=42):
    """Return (parameters, loss function) of a transformer of a few hundred scalars."""
    random.seed(seed)
    n_embd, n_head, block_size, vocab_size = 4, 2, 5, 6
    head_dim = n_embd // n_head

    def matrix(nout, nin, std=0.3):
        return [[Value(random.gauss(0, std)) for _ in range(nin)] for _ in range(nout)]

    state = {"wte": matrix(vocab_size, n_embd), "wpe": matrix(block_size, n_embd)}
    for name, shape in (
        ("wq", (n_embd, n_embd)), ("wk", (n_embd, n_embd)), ("wv", (n_embd, n_embd)),
        ("wo", (n_embd, n_embd)), ("fc1", (4 * n_embd, n_embd)), ("fc2", (n_embd, 4 * n_embd)),
        ("lm_head", (vocab_size, n_embd)),
    ):  # fmt: skip
        state[name] = matrix(*shape)
    params = [p for mat in state.values() for row in mat for p in row]

    def linear(x, w):
        return [sum(wi * xi for wi, xi in zip(wo, x, strict=True)) for wo in w]

    def softmax(logits):
        max_val = max(val.data for val in logits)
        exps = [(val - max_val).exp() for val in logits]
        total = sum(exps)
        return [e / total for e in exps]

    def rmsnorm(x):
        ms = sum(xi * xi for xi in x) / len(x)
        scale = (ms + 1e-5) ** -0.5
        return [xi * scale for xi in x]

    def gpt(token_id, pos_id, keys, values):
        x = [t + p for t, p in zip(state["wte"][token_id], state["wpe"][pos_id], strict=True)]
        x = rmsnorm(x)
        residual = x
        q, k, v = (linear(x, state[w]) for w in ("wq", "wk", "wv"))
        keys.append(k)
        values.append(v)
        attended = []
        for h in range(n_head):
            part = slice(h * head_dim, (h + 1) * head_dim)
            logits = [
                sum(a * b for a, b in zip(q[part], kt[part], strict=True)) / head_dim**0.5
                for kt in keys
            ]
            weights = softmax(logits)
            attended += [
                sum(w * vt[part][j] for w, vt in zip(weights, values, strict=True))
                for j in range(head_dim)
            ]
        x = [a + b for a, b in zip(linear(attended, state["wo"]), residual, strict=True)]
        residual = x
        x = [xi.relu() ** 2 for xi in linear(rmsnorm(x), state["fc1"])]
        x = [a + b for a, b in zip(linear(x, state["fc2"]), residual, strict=True)]
        return linear(x, state["lm_head"])

    def loss_of(tokens):
        keys, values, losses = [], [], []
        for pos, (token, target) in enumerate(itertools.pairwise(tokens)):
            probs = softmax(gpt(token, pos, keys, values))
            losses.append(-probs[target].log())
        return (1 / len(losses)) * sum(losses)

    return params, loss_of


def test_a_language_model_in_scalars_learns_a_sequence():
    params, loss_of = tiny_transformer(chainrule.Value)
    tokens = [0, 3, 1, 4, 1, 5]
    lr, beta1, beta2, eps = 0.05, 0.85, 0.99, 1e-8
    m, v = [0.0] * len(params), [0.0] * len(params)
    history = []
    for step in range(25):
        loss = loss_of(tokens)
        loss.backward()
        for i, p in enumerate(params):
            m[i] = beta1 * m[i] + (1 - beta1) * p.grad
            v[i] = beta2 * v[i] + (1 - beta2) * p.grad**2
            m_hat = m[i] / (1 - beta1 ** (step + 1))
            v_hat = v[i] / (1 - beta2 ** (step + 1))
            p.data -= lr * m_hat / (v_hat**0.5 + eps)
            p.grad = 0
        history.append(loss.data)
    assert history[0] > 1.0
    assert history[-1] < 0.2


def test_the_gradients_of_the_language_model_are_those_of_differences():
    params, loss_of = tiny_transformer(chainrule.Value)
    tokens = [0, 3, 1, 4, 1, 5]
    loss_of(tokens).backward()
    for p in params[::29]:
        at, h = p.data, 1e-5
        p.data = at + h
        above = loss_of(tokens).data
        p.data = at - h
        below = loss_of(tokens).data
        p.data = at
        assert p.grad == pytest.approx((above - below) / (2 * h), rel=1e-6, abs=1e-9)


# ---------------------------------------------------------------- habits seen elsewhere


def test_a_newton_iteration_on_scalars():
    Value = chainrule.Value
    x = Value(2.0)
    for _ in range(6):
        f = x**2 - 2
        x.grad = 0
        f.backward()
        x.data = x.data - f.data / x.grad
    assert x.data == pytest.approx(math.sqrt(2), rel=1e-15)


def test_logistic_regression_with_numpy_arrays_of_values():
    Value = chainrule.Value
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    y = (X @ [1.5, -2.0] > 0.3).astype(int)
    w = np.array([Value(0.0), Value(0.0)])
    b = Value(0.0)
    for _ in range(40):
        p = np.array([z.sigmoid() for z in X @ w + b])
        loss = -np.mean(
            [yi * pi.log() + (1 - yi) * (1 - pi).log() for yi, pi in zip(y, p, strict=True)]
        )
        for parameter in (*w, b):
            parameter.grad = 0.0
        loss.backward()
        for parameter in (*w, b):
            parameter.data -= 1.0 * parameter.grad
    assert np.mean([(pi.data > 0.5) == yi for pi, yi in zip(p, y, strict=True)]) > 0.9


def test_printing_in_the_ways_scripts_print():
    v = chainrule.Value(0.70710678, label="o")
    v.backward()
    assert f"{v.data:.4f} | {v.grad:.4f}" == "0.7071 | 1.0000"
    assert f"{{ {v.label} | data {v.data:.4f} | grad {v.grad:.4f} }}" == (
        "{ o | data 0.7071 | grad 1.0000 }"
    )
    assert "data=0.70710678" in str(v)


# ---------------------------------------------------------------- looking into the nodes


def test_the_lectures_drawing_and_its_hand_cranked_pass(Value):
    def trace(root):
        nodes, edges = set(), set()

        def build(v):
            if v not in nodes:
                nodes.add(v)
                for child in v._prev:
                    edges.add((child, v))
                    build(child)

        build(root)
        return nodes, edges

    a, b, c = Value(2.0), Value(-3.0), Value(10.0)
    e = a * b
    d = e + c
    nodes, edges = trace(d)
    assert len(nodes) == 5
    assert edges == {(a, e), (b, e), (e, d), (c, d)}
    assert {n._op for n in nodes} == {"", "*", "+"}
    d.grad = 1.0
    d._backward()
    e._backward()
    assert (a.grad, b.grad, c.grad) == (-3.0, 2.0, 1.0)


# ---------------------------------------------------------------- the networks of the package


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


# ---------------------------------------------------------------- microgpt's way of making nodes


class Microgpt:
    """A ``Value`` in microgpt's style, to compare with: children and local gradients are given."""

    __slots__ = ("_children", "_local_grads", "data", "grad")

    def __init__(self, data, children=(), local_grads=()):
        self.data, self.grad = data, 0.0
        self._children, self._local_grads = children, local_grads

    def __add__(self, other):
        other = other if isinstance(other, Microgpt) else Microgpt(other)
        return Microgpt(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        other = other if isinstance(other, Microgpt) else Microgpt(other)
        return Microgpt(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, power):
        return Microgpt(self.data**power, (self,), (power * self.data ** (power - 1),))

    def log(self):
        return Microgpt(math.log(self.data), (self,), (1 / self.data,))

    def exp(self):
        return Microgpt(math.exp(self.data), (self,), (math.exp(self.data),))

    def relu(self):
        return Microgpt(max(0.0, self.data), (self,), (float(self.data > 0),))

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + other * -1

    def __truediv__(self, other):
        return self * (other**-1 if isinstance(other, Microgpt) else 1 / other)

    __radd__, __rmul__ = __add__, __mul__

    def backward(self):
        order, seen = [], set()

        def build(v):
            if v not in seen:
                seen.add(v)
                for child in v._children:
                    build(child)
                order.append(v)

        build(self)
        self.grad = 1.0
        for v in reversed(order):
            for child, local in zip(v._children, v._local_grads, strict=True):
                child.grad += local * v.grad


GPT = """
    from microgpt import Value
    import math, random

    random.seed(7)
    docs = ["emma", "olivia", "ava", "isabella", "mia"]
    chars = ["<BOS>"] + sorted(set("".join(docs)))
    stoi = {ch: i for i, ch in enumerate(chars)}
    BOS = stoi["<BOS>"]
    n_embd, n_head, n_layer, block_size = 8, 2, 1, 6
    head_dim = n_embd // n_head
    vocab_size = len(chars)

    def matrix(nout, nin, std=0.2):
        return [[Value(random.gauss(0, std)) for _ in range(nin)] for _ in range(nout)]

    state_dict = {"wte": matrix(vocab_size, n_embd), "wpe": matrix(block_size, n_embd)}
    for i in range(n_layer):
        state_dict[f"layer{i}.attn_wq"] = matrix(n_embd, n_embd)
        state_dict[f"layer{i}.attn_wk"] = matrix(n_embd, n_embd)
        state_dict[f"layer{i}.attn_wv"] = matrix(n_embd, n_embd)
        state_dict[f"layer{i}.attn_wo"] = matrix(n_embd, n_embd, std=0.05)
        state_dict[f"layer{i}.mlp_fc1"] = matrix(4 * n_embd, n_embd)
        state_dict[f"layer{i}.mlp_fc2"] = matrix(n_embd, 4 * n_embd, std=0.05)
    state_dict["lm_head"] = matrix(vocab_size, n_embd)
    params = [p for mat in state_dict.values() for row in mat for p in row]

    # The three that the loops spend their time in make one node each, with given partials.
    def dot(ws, xs):
        total = 0.0
        for wi, xi in zip(ws, xs):
            total += wi.data * xi.data
        return Value(total, (*ws, *xs), (*[xi.data for xi in xs], *[wi.data for wi in ws]))

    def linear(x, w):
        return [dot(wo, x) for wo in w]

    def softmax(logits):
        max_val = max(val.data for val in logits)
        exps = [math.exp(val.data - max_val) for val in logits]
        total = sum(exps)
        probs = [e / total for e in exps]
        return [
            Value(p, tuple(logits), tuple(p * ((i == j) - q) for j, q in enumerate(probs)))
            for i, p in enumerate(probs)
        ]

    def rmsnorm(x):
        ms = sum(xi * xi for xi in x) / len(x)
        scale = (ms + 1e-5) ** -0.5
        return [xi * scale for xi in x]

    def squared_relu(x):
        r = max(0.0, x.data)
        return Value(data=r * r, children=(x,), local_grads=(2 * r,))

    def gpt(token_id, pos_id, keys, values):
        tok_emb, pos_emb = state_dict["wte"][token_id], state_dict["wpe"][pos_id]
        x = rmsnorm([t + p for t, p in zip(tok_emb, pos_emb)])
        for li in range(n_layer):
            x_residual = x
            x = rmsnorm(x)
            q = linear(x, state_dict[f"layer{li}.attn_wq"])
            keys[li].append(linear(x, state_dict[f"layer{li}.attn_wk"]))
            values[li].append(linear(x, state_dict[f"layer{li}.attn_wv"]))
            x_attn = []
            for h in range(n_head):
                hs = h * head_dim
                q_h = q[hs:hs + head_dim]
                k_h = [ki[hs:hs + head_dim] for ki in keys[li]]
                v_h = [vi[hs:hs + head_dim] for vi in values[li]]
                attn_logits = [dot(q_h, kt) / head_dim**0.5 for kt in k_h]
                attn_weights = softmax(attn_logits)
                x_attn += [
                    sum(attn_weights[t] * v_h[t][j] for t in range(len(v_h)))
                    for j in range(head_dim)
                ]
            x = linear(x_attn, state_dict[f"layer{li}.attn_wo"])
            x = [a + b for a, b in zip(x, x_residual)]
            x_residual = x
            x = [squared_relu(xi) for xi in linear(rmsnorm(x), state_dict[f"layer{li}.mlp_fc1"])]
            x = [a + b for a, b in zip(linear(x, state_dict[f"layer{li}.mlp_fc2"]), x_residual)]
        return linear(x, state_dict["lm_head"])

    learning_rate, beta1, beta2, eps = 0.02, 0.9, 0.95, 1e-8
    m, v = [0.0] * len(params), [0.0] * len(params)
    num_steps, history = 12, []
    for step in range(num_steps):
        doc = docs[step % len(docs)]
        tokens = [BOS] + [stoi[ch] for ch in doc] + [BOS]
        n = min(block_size, len(tokens) - 1)
        keys, values = [[] for _ in range(n_layer)], [[] for _ in range(n_layer)]
        losses = []
        for pos_id in range(n):
            probs = softmax(gpt(tokens[pos_id], pos_id, keys, values))
            losses.append(-probs[tokens[pos_id + 1]].log())
        loss = (1 / n) * sum(losses)
        loss.backward()
        grads = [p.grad for p in params]
        lr_t = learning_rate * (1 - step / num_steps)
        for i, p in enumerate(params):
            m[i] = beta1 * m[i] + (1 - beta1) * p.grad
            v[i] = beta2 * v[i] + (1 - beta2) * p.grad**2
            m_hat = m[i] / (1 - beta1 ** (step + 1))
            v_hat = v[i] / (1 - beta2 ** (step + 1))
            p.data -= lr_t * m_hat / (v_hat**0.5 + eps)
            p.grad = 0
        history.append(loss.data)
"""


def run_with(script, module, Value):
    """What *script* leaves in its names, with *Value* for that of its *module*."""
    names = {"Value": Value}
    text = textwrap.dedent(script)
    assert f"from {module} import Value\n" in text
    exec(text.replace(f"from {module} import Value\n", ""), names)
    return names


def test_a_gpt_whose_loops_make_nodes_with_given_partials():
    ours = run_with(GPT, "microgpt", chainrule.Value)
    theirs = run_with(GPT, "microgpt", Microgpt)
    assert ours["history"] == pytest.approx(theirs["history"], rel=1e-12)
    assert ours["grads"] == pytest.approx(theirs["grads"], rel=1e-9, abs=1e-12)
    assert min(ours["history"][5:]) < ours["history"][0]


BIGRAM = """
    from micrograd.engine import Value
    import math, random

    random.seed(3)
    words = ["anna", "hannah", "nan", "ana"]
    chars = ["."] + sorted(set("".join(words)))
    stoi = {s: i for i, s in enumerate(chars)}
    V, H = len(chars), 6

    def tanh(self):
        x = self.data
        t = (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1)
        out = Value(t, (self,), 'tanh')

        def _backward():
            self.grad += (1 - t**2) * out.grad
        out._backward = _backward

        return out

    def exp(self):
        out = Value(math.exp(self.data), (self,), 'exp')

        def _backward():
            self.grad += out.data * out.grad
        out._backward = _backward

        return out

    def log(self):
        out = Value(math.log(self.data), (self,), 'log')

        def _backward():
            self.grad += (1 / self.data) * out.grad
        out._backward = _backward

        return out

    Value.tanh, Value.exp, Value.log = tanh, exp, log

    W1 = [[Value(random.uniform(-0.5, 0.5)) for _ in range(H)] for _ in range(V)]
    W2 = [[Value(random.uniform(-0.5, 0.5)) for _ in range(H)] for _ in range(V)]
    parameters = [p for W in (W1, W2) for row in W for p in row]

    def nll(ix, iy):
        h = [w.tanh() for w in W1[ix]]  # a one-hot input picks a row
        logits = [sum((wi * hi for wi, hi in zip(row, h)), Value(0.0)) for row in W2]
        counts = [l.exp() for l in logits]
        return -(counts[iy] / sum(counts)).log()

    pairs = [(stoi[a], stoi[b]) for w in words for a, b in zip("." + w, w + ".")]
    history = []
    for k in range(15):
        loss = sum(nll(ix, iy) for ix, iy in pairs) / len(pairs)
        for p in parameters:
            p.grad = 0.0
        loss.backward()
        for p in parameters:
            p.data += -0.8 * p.grad
        history.append(loss.data)

    # The pass written out, walking _prev.
    topo, visited = [], set()

    def build_topo(v):
        if v not in visited:
            visited.add(v)
            for child in v._prev:
                build_topo(child)
            topo.append(v)

    loss = nll(*pairs[0]) + nll(*pairs[1])
    build_topo(loss)
    for p in parameters:
        p.grad = 0.0
    loss.grad = 1.0
    for node in reversed(topo):
        node._backward()
    by_hand = [p.grad for p in parameters]
    for p in parameters:
        p.grad = 0.0
    loss = nll(*pairs[0]) + nll(*pairs[1])
    loss.backward()
    by_method = [p.grad for p in parameters]
    ops = {node._op for node in topo}
"""


@pytest.fixture
def methods_as_they_were(Value):
    names = "tanh", "exp", "log"
    before = {name: getattr(Value, name, None) for name in names}
    yield
    for name, method in before.items():
        if method is None:
            delattr(Value, name)
        else:
            setattr(Value, name, method)


def test_a_bigram_model_with_operations_made_of_closures(Value, methods_as_they_were):
    names = run_with(BIGRAM, "micrograd.engine", Value)
    assert names["history"][-1] < 0.8 * names["history"][0]
    assert names["by_hand"] == pytest.approx(names["by_method"], rel=1e-9, abs=1e-12)
    assert {"tanh", "exp", "log", "*", "+"} <= names["ops"]
