"""Scripts in the manner of other ``Value`` classes run when only the import is changed.

Each script takes the class where its import would stand.  Where micrograd is installed the same
script runs on its class too, and must give the same numbers.
"""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

import chainrule

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
