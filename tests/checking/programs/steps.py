"""Training steps: they return new weights, or change those of their arguments, object or module."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def returns_new_weights(W1, b1, W2, b2, X, Y, learning_rate):
    a1 = sigmoid(X @ W1 + b1)
    a2 = sigmoid(a1 @ W2 + b2)
    d2 = (a2 - Y) / len(X)
    d1 = d2 @ W2.T * a1 * (1 - a1)
    return (W1 - learning_rate * X.T @ d1, b1 - learning_rate * d1.sum(0),
            W2 - learning_rate * a1.T @ d2, b2 - learning_rate * d2.sum(0))  # fmt: skip


def updates_too_early(X, y, W1, W2, lr):
    """Without biases; the second layer moves before its weights carry the error back."""
    a1 = sigmoid(X @ W1)
    a2 = sigmoid(a1 @ W2)
    d2 = (a2 - y) * a2 * (1 - a2)
    W2 -= lr * a1.T @ d2
    d1 = d2 @ W2.T * a1 * (1 - a1)
    W1 -= lr * X.T @ d1


def gradient_descent_step(params, x, y, eta):
    """A dictionary, changed where it is."""
    h = np.tanh(x @ params["W1"] + params["b1"])
    out = h @ params["W2"] + params["b2"]
    d2 = 2 * (out - y) / len(x)
    d1 = d2 @ params["W2"].T * (1 - h**2)
    params["W2"] -= eta * h.T @ d2
    params["b2"] -= eta * d2.sum(axis=0)
    params["W1"] -= eta * x.T @ d1
    params["b1"] -= eta * d1.sum(axis=0)
    return params


class Online:
    """One example at a time, its rate in the object."""

    def __init__(self, n_input, n_hidden, n_output, learning_rate=0.1):
        self.lr = learning_rate
        self.wih = np.random.normal(0.0, 1.0, (n_hidden, n_input))
        self.who = np.random.normal(0.0, 1.0, (n_output, n_hidden))

    def query(self, inputs):
        return sigmoid(self.who @ sigmoid(self.wih @ np.array(inputs, ndmin=2).T))

    def train(self, inputs_list, targets_list):
        x = np.array(inputs_list, ndmin=2).T
        t = np.array(targets_list, ndmin=2).T
        hidden = sigmoid(self.wih @ x)
        final = sigmoid(self.who @ hidden)
        output_errors = t - final
        hidden_errors = self.who.T @ output_errors
        self.who += self.lr * (output_errors * final * (1.0 - final)) @ hidden.T
        self.wih += self.lr * (hidden_errors * hidden * (1.0 - hidden)) @ x.T


class OnlineRight(Online):
    """The hidden error comes from the delta."""

    def train(self, inputs_list, targets_list):
        x = np.array(inputs_list, ndmin=2).T
        t = np.array(targets_list, ndmin=2).T
        hidden = sigmoid(self.wih @ x)
        final = sigmoid(self.who @ hidden)
        delta = (t - final) * final * (1.0 - final)
        hidden_delta = self.who.T @ delta * hidden * (1.0 - hidden)
        self.who += self.lr * delta @ hidden.T
        self.wih += self.lr * hidden_delta @ x.T


class FixedSizes:
    """Takes its examples when it is made; four hidden units and one output, no biases."""

    def __init__(self, x, y):
        self.input = x
        self.weights1 = np.random.rand(self.input.shape[1], 4)
        self.weights2 = np.random.rand(4, 1)
        self.y = y
        self.output = np.zeros(self.y.shape)

    def feedforward(self):
        self.layer1 = sigmoid(self.input @ self.weights1)
        self.output = sigmoid(self.layer1 @ self.weights2)

    def backprop(self):
        error = 2 * (self.y - self.output) * self.output * (1 - self.output)
        d2 = self.layer1.T @ error
        d1 = self.input.T @ (error @ self.weights2.T * self.layer1 * (1 - self.layer1))
        self.weights1 += d1
        self.weights2 += d2


class MiniBatch:
    """Lists of (x, y), as columns."""

    def __init__(self, sizes):
        self.biases = [np.random.randn(y, 1) for y in sizes[1:]]
        self.weights = [np.random.randn(y, x) for x, y in pairwise(sizes)]

    def update_mini_batch(self, mini_batch, eta):
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        for x, y in mini_batch:
            for store, new in zip((nabla_b, nabla_w), self.of_one(x, y), strict=True):
                for i, grad in enumerate(new):
                    store[i] = store[i] + grad
        self.weights = [
            w - (eta / len(mini_batch)) * n for w, n in zip(self.weights, nabla_w, strict=True)
        ]
        self.biases = [
            b - (eta / len(mini_batch)) * n for b, n in zip(self.biases, nabla_b, strict=True)
        ]

    def of_one(self, x, y):
        a = [x]
        for w, b in zip(self.weights, self.biases, strict=True):
            a.append(sigmoid(w @ a[-1] + b))
        delta, nabla_b, nabla_w = a[-1] - y, [], []
        for i in reversed(range(len(self.weights))):
            nabla_b.insert(0, delta)
            nabla_w.insert(0, delta @ a[i].T)
            delta = self.weights[i].T @ delta * a[i] * (1 - a[i])
        return nabla_b, nabla_w


class FitInPlace:
    """fit with a number of epochs; a wrong bias, regularised at a rate of its own."""

    def __init__(self, input_size, hidden_size, output_size):
        self.W1 = np.random.randn(input_size, hidden_size)
        self.b1 = np.zeros((1, hidden_size))
        self.W2 = np.random.randn(hidden_size, output_size)
        self.b2 = np.zeros((1, output_size))

    def fit(self, X, y, epochs, learning_rate):
        for _ in range(epochs):
            a1 = np.tanh(X @ self.W1 + self.b1)
            a2 = sigmoid(a1 @ self.W2 + self.b2)
            d2 = (a2 - y) / len(X)
            d1 = d2 @ self.W2.T * (1 - a1**2)
            self.W2 -= learning_rate * a1.T @ d2
            self.b2 -= learning_rate * d2.sum(axis=0, keepdims=True)
            self.W1 -= learning_rate * X.T @ d1
            self.b1 -= learning_rate * d1.sum(axis=0, keepdims=True)


W1 = np.zeros((2, 3))
W2 = np.zeros((3, 1))
lr = 0.3


def moves_globals(X, y):
    """The weights are the module's; sums over the examples."""
    global W1, W2
    h = sigmoid(X @ W1)
    o = sigmoid(h @ W2)
    d = (o - y) * o * (1 - o)
    g2, g1 = h.T @ d, X.T @ (d @ W2.T * h * (1 - h))
    W2 = W2 - lr * g2
    W1 = W1 - lr * g1


def rate_of_its_own(weights, X, Y):
    """Nobody is told the learning rate, which is 0.05."""
    a = [X]
    for w in weights:
        a.append(sigmoid(a[-1] @ w))
    delta = (a[-1] - Y) / len(X)
    for i in reversed(range(len(weights))):
        back = delta @ weights[i].T * a[i] * (1 - a[i])
        weights[i] -= 0.05 * a[i].T @ delta
        delta = back
