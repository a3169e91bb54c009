"""Programs that make their weights in the training method, or go over examples in their own way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


class OneUnit:
    """A vector of weights, and a number for the bias."""

    def __init__(self, rate=0.01, n_iters=1000):
        self.rate, self.n_iters = rate, n_iters
        self.weights, self.bias = None, None

    def fit(self, X, y):
        self.weights, self.bias = np.zeros(X.shape[1]), 0
        for _ in range(self.n_iters):
            error = sigmoid(X @ self.weights + self.bias) - y
            self.weights -= self.rate * (X.T @ error) / len(X)
            self.bias -= self.rate * error.mean()


class Fitted:
    """Two layers of weights that are drawn as late as in fit."""

    def __init__(self, n_hidden=4, n_iterations=500, learning_rate=0.1):
        self.n_hidden, self.n_iterations = n_hidden, n_iterations
        self.learning_rate = learning_rate

    def slope(self, a):
        return a * (1.0 - a)

    def fit(self, X, y):
        draw = np.random.default_rng()
        self.W1 = draw.normal(size=(X.shape[1], self.n_hidden))
        self.b1 = draw.normal(size=self.n_hidden)
        self.W2 = draw.normal(size=(self.n_hidden, y.shape[1]))
        self.b2 = draw.normal(size=y.shape[1])
        for _ in range(self.n_iterations):
            a = sigmoid(X @ self.W1 + self.b1)
            delta = (sigmoid(a @ self.W2 + self.b2) - y) / len(X)
            hidden = delta @ self.W2.T * self.slope(a)
            for held, change in (
                (self.W1, X.T @ hidden), (self.b1, hidden.sum(axis=0)),
                (self.W2, a.T @ delta), (self.b2, delta.sum(axis=0)),
            ):  # fmt: skip
                held -= self.learning_rate * change
        return self


class FittedWithoutSlope(Fitted):
    def slope(self, a):
        return 1.0


class Whole:
    """All examples at once; what is divided by m can be told."""

    per_weight = True

    def __init__(self, n_in, n_hidden, n_out):
        self.W1, self.b1 = np.zeros((n_in, n_hidden)), np.zeros((1, n_hidden))
        self.W2, self.b2 = np.zeros((n_hidden, n_out)), np.zeros((1, n_out))

    def forward(self, X):
        self.a1 = np.maximum(0, X @ self.W1 + self.b1)
        e = np.exp(self.a1 @ self.W2 + self.b2)
        self.probs = e / e.sum(axis=1, keepdims=True)
        return self.probs

    def backward(self, X, y_true, lr):
        m = len(X)
        dz2 = self.probs - y_true
        dz1 = dz2 @ self.W2.T * (self.a1 > 0)
        self.W1 -= lr * X.T @ dz1 / m
        self.b1 -= lr * dz1.sum(axis=0, keepdims=True) / m
        self.W2 -= lr * self.a1.T @ dz2 / (m if self.per_weight else 1)
        self.b2 -= lr * dz2.sum(axis=0, keepdims=True) / m


class WholeWithoutMean(Whole):
    per_weight = False


class OneByOne(Whole):
    """An epoch goes over the examples in another order each time."""

    factor = 1.0

    def train(self, X, Y, epochs, lr):
        for _ in range(epochs):
            for i in np.random.permutation(len(X)):
                x, y = X[i : i + 1], Y[i : i + 1]
                self.forward(x)
                dz2 = self.probs - y
                dz1 = self.factor * dz2 @ self.W2.T * (self.a1 > 0)
                self.W2 -= lr * self.a1.T @ dz2
                self.b2 -= lr * dz2
                self.W1 -= lr * x.T @ dz1
                self.b1 -= lr * dz1

    backward = None


class OneByOneHalved(OneByOne):
    factor = 0.5


class Unrolled:
    """Its gradients come as one vector, its weights do not; no biases."""

    sign = -1.0

    def __init__(self):
        draw = np.random.default_rng(0)
        self.W1, self.W2 = draw.normal(size=(2, 3)), draw.normal(size=(3, 1))

    def forward(self, X):
        self.a2 = sigmoid(X @ self.W1)
        self.out = sigmoid(self.a2 @ self.W2)
        return self.out

    def computeGradients(self, X, y):
        self.forward(X)
        delta = self.sign * (y - self.out) * self.out * (1 - self.out)
        hidden = delta @ self.W2.T * self.a2 * (1 - self.a2)
        return np.concatenate(((X.T @ hidden).ravel(), (self.a2.T @ delta).ravel()))


class UnrolledTurned(Unrolled):
    sign = 1.0


class OddNames:
    """Nothing is called as usual but the variables inside."""

    def __init__(self, inputs_n, hidden_n, outputs_n):
        self.W1, self.W2 = np.zeros((hidden_n, inputs_n)), np.zeros((outputs_n, hidden_n))
        self.b1, self.b2 = np.zeros((hidden_n, 1)), np.zeros((outputs_n, 1))

    def go(self, training_inputs, expected_outputs):
        a1 = sigmoid(self.W1 @ training_inputs + self.b1)
        dZ2 = sigmoid(self.W2 @ a1 + self.b2) - expected_outputs
        dZ1 = self.W2.T @ dZ2 * a1 * (1 - a1)
        m = training_inputs.shape[1]
        dW1, db1 = dZ1 @ training_inputs.T / m, dZ1.sum(axis=1, keepdims=True) / m
        dW2, db2 = dZ2 @ a1.T / m, dZ2.sum(axis=1, keepdims=True) / m
        return dW1, db1, dW2, db2


def softmax_loss_vectorized(W, X, y, reg):
    """One layer without biases, under the one name W."""
    e = np.exp(X @ W)
    p = e / e.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(X)), y]).mean() + 0.5 * reg * (W**2).sum()
    p[np.arange(len(X)), y] -= 1
    return loss, X.T @ p / len(X) + reg * W


def column_of_labels(thetas, X, y, lam):
    """Two layers by name; the classes, from 1, stand in one column."""
    Theta1, Theta2 = thetas
    Y = (y == np.arange(1, len(Theta2) + 1)).astype(float)
    return _two_layers(Theta1, Theta2, np.c_[np.ones(len(X)), X], Y, lam)


def holds_its_ones(thetas, X, Y, lam):
    """The column of ones is in X already."""
    Theta1, Theta2 = thetas
    assert X.shape[1] == Theta1.shape[1]
    return _two_layers(Theta1, Theta2, X, Y, lam)


def holds_its_ones_without_a(thetas, X, Y, lam):
    Theta1, Theta2 = thetas
    return _two_layers(Theta1, Theta2, X, Y, lam, lambda a: 1 - a)


def _two_layers(Theta1, Theta2, a1, Y, lam, slope=lambda a: a * (1 - a)):
    m = len(a1)
    a2 = np.c_[np.ones(m), sigmoid(a1 @ Theta1.T)]
    d3 = sigmoid(a2 @ Theta2.T) - Y
    d2 = d3 @ Theta2[:, 1:] * slope(a2[:, 1:])
    D1, D2 = d2.T @ a1 / m, d3.T @ a2 / m
    D1[:, 1:] += lam / m * Theta1[:, 1:]
    D2[:, 1:] += lam / m * Theta2[:, 1:]
    return D1, D2


class InPairs:
    """Plain lists; the weights are updated after each pair of the training data."""

    def __init__(self, n_input, n_hidden, n_output, rate):
        draw = np.random.default_rng(0)
        self.rate = rate
        self.w_hidden = draw.normal(size=(n_input, n_hidden)).tolist()
        self.w_output = draw.normal(size=(n_hidden, n_output)).tolist()
        self.b_hidden, self.b_output = [0.0] * n_hidden, [0.0] * n_output

    def layer(self, a, w, b):
        return [sigmoid(sum(x * row[j] for x, row in zip(a, w, strict=True)) + b[j])
                for j in range(len(b))]  # fmt: skip

    def slope(self, a):
        return a * (1.0 - a)

    def train(self, training_data, epochs):
        for _ in range(epochs):
            for x, wanted in training_data:
                hidden = self.layer(x, self.w_hidden, self.b_hidden)
                out = self.layer(hidden, self.w_output, self.b_output)
                delta = [(o - t) * o * (1.0 - o) for o, t in zip(out, wanted, strict=True)]
                back = [sum(w * d for w, d in zip(row, delta, strict=True)) * self.slope(a)
                        for row, a in zip(self.w_output, hidden, strict=True)]  # fmt: skip
                for a, deltas, w, b in ((hidden, delta, self.w_output, self.b_output),
                                        (x, back, self.w_hidden, self.b_hidden)):  # fmt: skip
                    for j, d in enumerate(deltas):
                        b[j] -= self.rate * d
                        for i, value in enumerate(a):
                            w[i][j] -= self.rate * d * value


class InPairsWithoutSlope(InPairs):
    def slope(self, a):
        return 1.0


class Leaky:
    """The units are told per layer; where z is below 0 the hidden layer lets a little through."""

    leak = 0.01

    def __init__(self, nb_of_neurons_per_layer):
        draw = np.random.default_rng(0)
        pairs = pairwise(nb_of_neurons_per_layer)
        self.weights = [draw.normal(size=shape) for shape in pairs]
        self.biases = [np.zeros(n) for n in nb_of_neurons_per_layer[1:]]

    def backward(self, X, Y):
        a, z = [X], []
        for w, b in zip(self.weights, self.biases, strict=True):
            z.append(a[-1] @ w + b)
            a.append(np.where(z[-1] > 0, z[-1], 0.01 * z[-1]))
        scores = np.exp(z[-1])
        delta = (scores / scores.sum(axis=1, keepdims=True) - Y) / len(X)
        self.dW, self.db = [], []
        for i in reversed(range(len(z))):
            self.dW.insert(0, a[i].T @ delta)
            self.db.insert(0, delta.sum(axis=0))
            if i:
                delta = delta @ self.weights[i].T * np.where(z[i - 1] > 0, 1.0, self.leak)
        return self.dW, self.db


class LeakyForwardsOnly(Leaky):
    leak = 0.0
