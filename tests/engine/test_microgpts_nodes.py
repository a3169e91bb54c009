"""Nodes made in microgpt's way: the script gives children and local derivatives."""

from __future__ import annotations

import math
import textwrap

import pytest

import chainrule


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
