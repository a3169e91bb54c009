"""Right backpropagations in many hands: other conventions, other algebra, other precision."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from chainrule import backprop
from chainrule.backprop import one_hot, unroll
from chainrule.checking.problem import Problem

LAYOUTS = (
    "thetas", "transposed", "pairs", "pairs transposed", "alternating", "two lists", "biases first",
    "dict", "unrolled C", "unrolled F", "bias last", "output first", "with cost", "tuple",
)  # fmt: skip
SIGMOIDS = {
    "plain": lambda z: 1 / (1 + np.exp(-z)),
    "by tanh": lambda z: (1 + np.tanh(z / 2)) / 2,
    "two branches": lambda z: np.where(
        z >= 0, 1 / (1 + np.exp(-abs(z))), 1 - 1 / (1 + np.exp(-abs(z)))
    ),
}


def softmax(z, how):
    if how == "log-sum-exp":
        top = z.max(axis=1, keepdims=True)
        return np.exp(z - top - np.log(np.exp(z - top).sum(axis=1, keepdims=True)))
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def random_problem(rng):
    """A network of any shape, loss and activation."""
    loss = rng.choice(["logistic", "cross_entropy", "half_squared_error", "squared_error"])
    depth = rng.integers(1, 5)
    sizes = [int(s) for s in rng.integers(1, 7, depth + 1)]
    m, K = int(rng.integers(1, 21)), sizes[-1]
    Y = rng.uniform(0, 1, (m, K))
    if loss == "logistic":
        Y = Y.round()
    if loss == "cross_entropy":
        Y = one_hot(rng.integers(0, K, m), K)
    return Problem.read(
        [rng.normal(0, 1, (t, 1 + s)) for s, t in pairwise(sizes)],
        rng.normal(0, 1, (m, sizes[0])),
        Y,
        float(rng.choice([0.0, 0.1, 1.3, 10.0])),
        loss=str(loss),
        activation=str(rng.choice(["sigmoid", "tanh", "relu"])),
        reduction=str(rng.choice(["mean", "sum"])),
    )


def implementation(rng, problem):
    """A right function (thetas, X, Y, lam), and what is particular about it."""
    style = {
        "mean in": rng.choice(["D", "delta", "Delta"]),
        "error": rng.choice(["a - y", "y - a"]),
        "sigmoid": rng.choice(list(SIGMOIDS)),
        "softmax": rng.choice(["log-sum-exp", "plain"]),
        "slope": rng.choice(["of a", "of z"]),
        "sum": rng.choice(["product", "loop", "einsum"]),
        "penalty": rng.choice(["after", "before", "column 0 back"]),
        "dtype": rng.choice([np.float64, np.float64, np.float32]),
        "layout": rng.choice(LAYOUTS),
    }
    return (lambda *args: _gradient(style, problem, *args)), style


def _gradient(style, problem, thetas, X, Y, lam):
    kind, loss = style["dtype"], problem.loss
    thetas = [theta.astype(kind) for theta in thetas]
    X, Y, lam = X.astype(kind), Y.astype(kind), kind(lam)
    m = len(X)
    divisor = kind(m if problem.reduction == "mean" else 1)
    sigmoid = SIGMOIDS[style["sigmoid"]]
    name = problem.activations[0] if problem.activations else "sigmoid"
    g = {"sigmoid": sigmoid, "tanh": np.tanh, "relu": lambda z: z * (z > 0)}[name]
    from_a = style["slope"] == "of a"
    slope = {
        "sigmoid": lambda z, a: a * (1 - a) if from_a else np.exp(-z) / (1 + np.exp(-z)) ** 2,
        "tanh": lambda z, a: 1 - a**2 if from_a else 1 / np.cosh(z) ** 2,
        "relu": lambda z, a: (a > 0).astype(kind) if from_a else np.heaviside(z, kind(0)),
    }[name]

    a, zs, activations = X, [], [X]
    for i, theta in enumerate(thetas):
        z = np.column_stack((np.ones(m, kind), a)) @ theta.T
        if i < len(thetas) - 1:
            a = g(z)
        else:
            a = softmax(z, style["softmax"]) if loss == "cross_entropy" else sigmoid(z)
        zs.append(z)
        activations.append(a)

    sign = kind(1 if style["error"] == "a - y" else -1)
    delta = a - Y if sign > 0 else Y - a
    if loss.endswith("squared_error"):
        delta = delta * (a * (1 - a))
        delta = 2 * delta if loss == "squared_error" else delta
    if style["mean in"] == "delta":
        delta = delta / divisor
    gradients = []
    for i in reversed(range(len(thetas))):
        units = np.column_stack((np.ones(m, kind), activations[i]))
        if style["sum"] == "loop":
            Delta = np.zeros_like(thetas[i])
            for t in range(m):
                Delta = Delta + np.outer(delta[t], units[t])
        elif style["sum"] == "einsum":
            Delta = np.einsum("ti,tj->ij", delta, units)
        else:
            Delta = delta.T @ units
        Delta = sign * Delta
        scale = kind(1) if style["mean in"] == "delta" else divisor
        plain = thetas[i].copy()
        plain[:, 0] = 0
        if style["penalty"] == "before" and style["mean in"] != "delta":
            D = (Delta + lam * plain) / scale
        elif style["penalty"] == "column 0 back":
            D = Delta / scale + lam / divisor * thetas[i]
            D[:, 0] = Delta[:, 0] / scale
        else:
            D = Delta / scale
            D[:, 1:] += (lam / divisor) * thetas[i][:, 1:]
        gradients.insert(0, D)
        if i:
            delta = np.dot(delta, thetas[i][:, 1:]) * slope(zs[i - 1], activations[i])
    cost = backprop.cost(thetas, X, Y, float(lam), **problem.options)
    return laid_out(style["layout"], gradients, cost)


def laid_out(layout, gradients, cost=None):
    weights, biases = [D[:, 1:] for D in gradients], [D[:, 0] for D in gradients]
    if layout == "transposed":
        return [D.T for D in gradients]
    if layout == "pairs":
        return list(zip(weights, biases, strict=True))
    if layout == "pairs transposed":
        return [(W.T, b[np.newaxis]) for W, b in zip(weights, biases, strict=True)]
    if layout == "alternating":
        return [part for pair in zip(weights, biases, strict=True) for part in pair]
    if layout == "two lists":
        return weights, biases
    if layout == "biases first":
        return [b[:, np.newaxis] for b in biases], weights
    if layout == "dict":
        pairs = enumerate(zip(weights, biases, strict=True), start=1)
        return {f"{name}{i}": x for i, pair in pairs for name, x in zip("Wb", pair, strict=True)}
    if layout == "unrolled C":
        return unroll(gradients).astype(gradients[0].dtype)
    if layout == "unrolled F":
        return unroll(gradients, order="F").astype(gradients[0].dtype)[:, np.newaxis]
    if layout == "bias last":
        return [np.roll(D, -1, axis=1) for D in gradients]
    if layout == "output first":
        return gradients[::-1]
    if layout == "with cost":
        return cost, gradients
    return tuple(gradients) if layout == "tuple" else gradients
