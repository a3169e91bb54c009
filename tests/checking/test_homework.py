"""Homework as courses hand it out, right, and with one slip each: the slip is named, or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.checking import diagnose
from chainrule.checking.diagnosis.diagnose import diagnose_calls
from chainrule.checking.diagnosis.running import student
from chainrule.checking.diagnosis.running.calls import Outcome
from chainrule.checking.intake.locating import likeliest
from chainrule.checking.problem import probe

pytestmark = pytest.mark.numpy_alone

COLUMNS = """
def g(z): return np.where(z > 0, z, 0.2 * z)
def slope(z, a): return np.where(a > 0, 1.0, 0.2)
def backward(params, X, Y):
    W1, b1, W2, b2 = (params[key] for key in ("W1", "b1", "W2", "b2"))
    m = X.shape[1]
    Z1 = W1 @ X + b1
    A1 = g(Z1)
    A2 = 1 / (1 + np.exp(-(W2 @ A1 + b2)))
    dZ2 = A2 - Y
    dZ1 = W2.T @ dZ2 * slope(Z1, A1)
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    return {"dW1": dZ1 @ X.T / m, "db1": db1, "dW2": dZ2 @ A1.T / m, "db2": db2, "dZ1": dZ1}
"""
LEAKY = ("np.where(z > 0, z, 0.2 * z)", "np.where(a > 0, 1.0, 0.2)")
ELU = "np.where(z > 0, z, np.exp(z) - 1)"
ONE_LAYER = """
def propagate(w, b, X, Y):
    m = X.shape[1]
    A = 1 / (1 + np.exp(-(w.T @ X + b)))
    cost = -1 / m * np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A))
    dw = X @ (A - Y).T / m
    db = np.sum(A - Y) / m
    return {"dw": dw, "db": db}, cost
"""
SOFTMAX = """
def softmax_loss(W, X, y, reg):
    s = X @ W
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    loss = -np.mean(np.log(p[np.arange(len(X)), y])) + reg * np.sum(W * W)
    p[np.arange(len(X)), y] -= 1
    return loss, X.T @ p / len(X) + 2 * reg * W
"""
HINGE = """
def svm_loss(W, X, y, reg):
    s = X @ W
    margins = np.maximum(0, s - s[np.arange(len(X)), y][:, None] + 1)
    margins[np.arange(len(X)), y] = 0
    loss = margins.sum() / len(X) + reg * np.sum(W * W)
    mask = (margins > 0) * 1.0
    mask[np.arange(len(X)), y] = -mask.sum(axis=1)
    return loss, X.T @ mask / len(X) + 2 * reg * W
"""
ANY_DEPTH = """
class Network:
    def __init__(self, sizes):
        self.weights = [np.ones((y, x)) for x, y in zip(sizes[:-1], sizes[1:])]
        self.biases = [np.ones((y, 1)) for y in sizes[1:]]
    def backprop(self, x, y):
        a = [x]
        for W, b in zip(self.weights, self.biases):
            a.append(1 / (1 + np.exp(-(W @ a[-1] + b))))
        delta = a[-1] - y
        nabla_w = [delta @ a[-2].T]
        nabla_b = [delta]
        for l in range(2, len(a)):
            delta = self.weights[-l + 1].T @ delta * a[-l] * (1 - a[-l])
            nabla_w.insert(0, delta @ a[-l - 1].T)
            nabla_b.insert(0, delta)
        return nabla_b, nabla_w
"""
LOOP_OVER_EXAMPLES = """
class Net:
    def __init__(self, x, y):
        self.x, self.y = x, y
        self.w1, self.w2 = np.ones((x.shape[1], 4)), np.ones((4, 1))
    def feedforward(self):
        self.h = 1 / (1 + np.exp(-self.x @ self.w1))
        self.o = 1 / (1 + np.exp(-self.h @ self.w2))
    def backprop(self):
        d = 2 * (self.y - self.o) * slope(self.o)
        e = d @ self.w2.T * slope(self.h)
        self.w1 += self.x.T @ e
        self.w2 += self.h.T @ d
def slope(a): return a * (1 - a)
"""
COST_OF_ONE_VECTOR = """
def nn_cost(params, input_size, hidden_size, num_labels, X, y, learning_rate):
    m, cut = len(X), hidden_size * (input_size + 1)
    T1 = params[:cut].reshape(hidden_size, input_size + 1)
    T2 = params[cut:].reshape(num_labels, hidden_size + 1)
    a1 = np.c_[np.ones(m), X]
    a2 = np.c_[np.ones(m), 1 / (1 + np.exp(-a1 @ T1.T))]
    h = 1 / (1 + np.exp(-a2 @ T2.T))
    J = -np.sum(y * np.log(h) + (1 - y) * np.log(1 - h)) / m
    J += learning_rate / (2 * m) * (np.sum(T1[:, 1:] ** 2) + np.sum(T2[:, 1:] ** 2))
    d3 = h - y
    d2 = (d3 @ T2 * a2 * (1 - a2))[:, 1:]
    G1, G2 = d2.T @ a1 / m, d3.T @ a2 / m
    G1[:, 1:] += learning_rate / m * T1[:, 1:]
    G2[:, 1:] += learning_rate / m * T2[:, 1:]
    return J, np.concatenate([G1.ravel(), G2.ravel()])
"""
ONE_NEURON = """
def gradient(theta, X, y, learningRate):
    error = 1 / (1 + np.exp(-X @ theta)) - y
    grad = X.T @ error / len(X) + learningRate / len(X) * theta
    grad[0] = np.sum(error * X[:, 0]) / len(X)
    return grad
"""
VECTOR_AND_NUMBER = """
def compute_gradient(X, y, w, b):
    (m, n), dj_db = X.shape, 0.0
    dj_dw = np.zeros((n,))
    for i in range(m):
        err = np.dot(X[i], w) + b - y[i]
        for j in range(n):
            dj_dw[j] = dj_dw[j] + err * X[i, j]
        dj_db = dj_db + err
    return dj_db / m, dj_dw / m
"""

HANDED_IN = [
    # activations that are not in the list of every course
    (COLUMNS, (), ()),
    (COLUMNS, (LEAKY[0], ELU, LEAKY[1], "np.where(z > 0, 1.0, a + 1)"), ()),
    (COLUMNS, (LEAKY[0], "np.log(1 + np.exp(z))", LEAKY[1], "1 / (1 + np.exp(-z))"), ()),
    (COLUMNS, (LEAKY[1], "np.where(a > 0, 1.0, 0.01)"), ("hidden.slope-of-other-leak",)),
    (COLUMNS, (LEAKY[0], ELU, LEAKY[1], "np.where(z > 0, 1.0, a)"),
     ("hidden.slope-of-elu-lacks-alpha",)),
    # biases of a wrong shape
    (COLUMNS, ("np.sum(dZ1, axis=1, keepdims=True)", "np.sum(dZ1)"), ("bias.one-total",)),
    (COLUMNS, ("np.sum(dZ1, axis=1, keepdims=True)", "dZ1"), ("bias.not-summed",)),
    # one layer under one name
    (ONE_LAYER, (), ()),
    (ONE_LAYER, ("np.sum(A - Y) / m", "(A - Y) / m"), ("bias.not-summed",)),
    # the cost says which penalty is meant
    (SOFTMAX, (), ()),
    (SOFTMAX, ("+ 2 * reg * W", "+ reg * W"), ("penalty.divided-by-2m",)),
    (SOFTMAX, (" + 2 * reg * W", ""), ("penalty.missing",)),
    (SOFTMAX, ("X.T @ p / len(X)", "X.T @ p"), ("mean.missing",)),
    # a cost that is not known
    (HINGE, (), ()),
    (HINGE, ("X.T @ mask / len(X)", "X.T @ mask"), ("unknown.own-cost",)),
    # right only where there are no hidden layers
    (ANY_DEPTH, (), ()),
    (ANY_DEPTH, ("a[-l - 1].T", "a[-l].T"), ("call.wrong-shape",)),
    (ANY_DEPTH, ("self.weights[-l + 1].T", "self.weights[-l].T"), ("call.raises",)),
    # steps whose rate is nowhere
    (LOOP_OVER_EXAMPLES, (), ()),
    (LOOP_OVER_EXAMPLES, ("+=", "-="), ("sign.everything",)),
    (LOOP_OVER_EXAMPLES, ("return a * (1 - a)", "return a"), ("slope.is-a",)),
    # lambda under another name, and the layers in another order
    (COST_OF_ONE_VECTOR, ("d3.T @ a2 / m", "d3.T @ a2"), ("mean.missing",)),
    (COST_OF_ONE_VECTOR, ("[G1.ravel(), G2.ravel()]", "[G2.ravel(), G1.ravel()]"),
     ("layout.unrolled-in-wrong-order",)),
    (ONE_NEURON, (), ()),
    (VECTOR_AND_NUMBER, (), ()),
    (VECTOR_AND_NUMBER, ("dj_db / m", "dj_db"), ("bias.times-m",)),
]  # fmt: skip


def written(source, edits):
    for old, new in zip(edits[::2], edits[1::2], strict=True):
        assert old in source
        source = source.replace(old, new)
    there = {"np": np, "__name__": "homework"}
    exec(source, there)
    return next(value for name, value in reversed(there.items()) if name in NAMES)


NAMES = (
    "compute_gradient",
    "gradient",
    "backward",
    "propagate",
    "softmax_loss",
    "svm_loss",
    "Network",
    "Net",
    "nn_cost",
)


@pytest.mark.parametrize(("source", "edits", "codes"), HANDED_IN)
def test_homework_is_right_or_its_slip_is_named(source, edits, codes):
    assert diagnose(written(source, edits)).codes == codes


def test_a_layer_of_its_own_is_told_to_be_one():
    report = diagnose(lambda dout, cache: (dout @ cache[1].T, cache[0].T @ dout))
    assert report.codes == ("call.one-layer",)


def test_of_the_classes_in_a_file_the_one_that_uses_the_others_is_called(tmp_path):
    methods = "def backward(self, grad): return grad"
    classes = [
        f"class Linear:\n    {methods}",
        "class Net:\n    def __init__(self): self.layers = [Linear(), MSELoss()]\n"
        "    def train_step(self, x, y): pass",
        f"class MSELoss:\n    {methods}",
    ]
    path = tmp_path / "layers.py"
    path.write_text("\n".join(classes))
    assert likeliest(path) == "Net"


def test_what_a_newer_python_reads_is_told_to_be_that(tmp_path):
    path = tmp_path / "newer.py"
    path.write_text("type Vector[T = list[int] = list[T]\ndef backprop(thetas, X, Y, lam): pass\n")
    outcome = student._loaded(path, "backprop")
    assert "is it written for a newer one?" in outcome.evidence


def test_of_a_penalty_that_the_cost_tells_it_is_said_what_belongs_there():
    report = diagnose(written(SOFTMAX, ("+ 2 * reg * W", "+ reg * W")))
    assert report.findings[0].says == "The regularisation term is half of what it should be."
    assert "Add 2 lambda Theta" in report.findings[0].fix


@pytest.mark.parametrize("activation", ["leaky_relu(0.2)", "elu(0.5)", "softplus", "silu"])
def test_formulas_with_numbers_are_written_for_activations_without_a_graph(activation):
    problem = probe("half_squared_error", activation)
    gradients = [D * (1 + (i == 1)) for i, D in enumerate(problem.truth.D)]
    report = diagnose_calls(lambda problems: [Outcome(gradients) for _ in problems], [problem])
    assert "right: " in report.findings[0].here
