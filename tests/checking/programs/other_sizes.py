"""Programs whose mistake does not show on every network; one layer by itself; a penalty of 2 reg.

Sizes are read off the weights, so that these run wherever the shapes allow it.
"""

from __future__ import annotations

import numpy as np


def one_error_for_all(parameters, X, Y):
    """Every hidden layer gets the error that the output layer hands back."""
    depth, a = len(parameters) // 2, [X]
    for i in range(1, depth + 1):
        z = parameters[f"W{i}"] @ a[-1] + parameters[f"b{i}"]
        a.append(np.tanh(z) if i < depth else 1 / (1 + np.exp(-z)))
    m, delta, grads = X.shape[1], a[-1] - Y, {}
    back = parameters[f"W{depth}"].T @ delta
    for i in range(depth, 0, -1):
        dZ = delta if i == depth else back * (1 - a[i] ** 2)
        grads[f"dW{i}"] = dZ @ a[i - 1].T / m
        grads[f"db{i}"] = dZ.sum(axis=1, keepdims=True) / m
    return grads


def one_total(parameters, X, Y):
    """The sum over everything is right for the bias of one output unit only."""
    a = np.tanh(parameters["W1"] @ X + parameters["b1"])
    dZ2 = 1 / (1 + np.exp(-(parameters["W2"] @ a + parameters["b2"]))) - Y
    dZ1 = parameters["W2"].T @ dZ2 * (1 - a**2)
    m = X.shape[1]
    return {"dW1": dZ1 @ X.T / m, "db1": dZ1.sum(axis=1, keepdims=True) / m,
            "dW2": dZ2 @ a.T / m, "db2": np.sum(dZ2) / m}  # fmt: skip


class Dense:
    """One layer: what comes back is the gradient of its output."""

    def __init__(self, inputs, outputs):
        self.W, self.b = np.random.randn(inputs, outputs), np.zeros(outputs)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, grad_output):
        self.dW, self.db = self.x.T @ grad_output, grad_output.sum(axis=0)
        return grad_output @ self.W.T


class TwoReg:
    """The cost has reg times the squares; which layers have its gradient can be told."""

    first, second, mean = 2.0, 2.0, True

    def __init__(self, input_size, hidden_size, output_size):
        self.params = {
            "W1": np.random.randn(input_size, hidden_size), "b1": np.zeros(hidden_size),
            "W2": np.random.randn(hidden_size, output_size), "b2": np.zeros(output_size),
        }  # fmt: skip

    def loss(self, X, y, reg=0.0):
        W1, W2 = self.params["W1"], self.params["W2"]
        hidden = np.maximum(0, X @ W1 + self.params["b1"])
        e = np.exp(hidden @ W2 + self.params["b2"])
        p = e / e.sum(axis=1, keepdims=True)
        cost = -np.log(p[range(len(X)), y]).mean() + reg * ((W1**2).sum() + (W2**2).sum())
        p[range(len(X)), y] -= 1
        p /= len(X) if self.mean else 1
        below = p @ W2.T * (hidden > 0)
        return cost, {
            "W1": X.T @ below + self.first * reg * W1, "b1": below.sum(axis=0),
            "W2": hidden.T @ p + self.second * reg * W2, "b2": p.sum(axis=0),
        }  # fmt: skip


class TwoRegInOneLayer(TwoReg):
    first = 0.0


class TwoRegHalved(TwoReg):
    first = 1.0


class TwoRegOfSums(TwoReg):
    mean = False
