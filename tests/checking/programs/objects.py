"""Objects: weights as attributes, in dictionaries, lists, layers; gradients returned or stored."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class StoresGradients:
    def __init__(self, n_in, n_hidden, n_out):
        self.W1 = np.random.randn(n_in, n_hidden)
        self.b1 = np.zeros(n_hidden)
        self.W2 = np.random.randn(n_hidden, n_out)
        self.b2 = np.zeros(n_out)

    def forward(self, X):
        self.a1 = sigmoid(X @ self.W1 + self.b1)
        self.a2 = sigmoid(self.a1 @ self.W2 + self.b2)
        return self.a2

    def backward(self, X, y):
        d2 = (self.a2 - y) / len(X)
        d1 = d2 @ self.W2.T * self.a1 * (1 - self.a1)
        self.grad_W2, self.grad_b2 = self.a1.T @ d2, d2.sum(axis=0)
        self.grad_W1, self.grad_b1 = X.T @ d1, d1.sum(axis=0)


class SlopeAtTheOutput(StoresGradients):
    """The slope of the sigmoid with the cross-entropy."""

    def backward(self, X, y):
        d2 = (self.a2 - y) * self.a2 * (1 - self.a2) / len(X)
        d1 = d2 @ self.W2.T * self.a1 * (1 - self.a1)
        self.grad_W2, self.grad_b2 = self.a1.T @ d2, d2.sum(axis=0)
        self.grad_W1, self.grad_b1 = X.T @ d1, d1.sum(axis=0)


class TwoLayerNet:
    """params, and loss(X, y) that returns loss and gradients; the penalty is not over m."""

    def __init__(self, input_size, hidden_size, output_size, std=1e-4):
        self.params = {
            "W1": std * np.random.randn(input_size, hidden_size),
            "b1": np.zeros(hidden_size),
            "W2": std * np.random.randn(hidden_size, output_size),
            "b2": np.zeros(output_size),
        }

    def loss(self, X, y=None, reg=0.0):
        W1, b1 = self.params["W1"], self.params["b1"]
        W2, b2 = self.params["W2"], self.params["b2"]
        hidden = np.maximum(0, X @ W1 + b1)
        scores = hidden @ W2 + b2
        if y is None:
            return scores
        p = softmax(scores)
        loss = -np.log(p[np.arange(len(X)), y]).mean() + 0.5 * reg * ((W1**2).sum() + (W2**2).sum())
        d = p.copy()
        d[np.arange(len(X)), y] -= 1
        d /= len(X)
        grads = {"W2": hidden.T @ d + reg * W2, "b2": d.sum(axis=0)}
        dhidden = d @ W2.T
        dhidden[hidden <= 0] = 0
        grads["W1"] = X.T @ dhidden + reg * W1
        grads["b1"] = dhidden.sum(axis=0)
        return loss, grads


class FullyConnectedNet:
    """Its penalty's strength in the object, any number of layers; the mask is of the next layer."""

    def __init__(self, hidden_dims, input_dim=3, num_classes=2, reg=0.0):
        self.reg = reg
        self.params = {}
        dims = [input_dim, *hidden_dims, num_classes]
        for i in range(len(dims) - 1):
            self.params[f"W{i + 1}"] = np.random.randn(dims[i], dims[i + 1])
            self.params[f"b{i + 1}"] = np.zeros(dims[i + 1])
        self.count = len(dims) - 1

    def loss(self, X, y):
        a, cache = X, [X]
        for i in range(1, self.count + 1):
            z = a @ self.params[f"W{i}"] + self.params[f"b{i}"]
            a = z if i == self.count else np.maximum(z, 0)
            cache.append(a)
        d = softmax(a)
        loss = -np.log(d[np.arange(len(X)), y]).mean()
        d[np.arange(len(X)), y] -= 1
        d /= len(X)
        grads = {}
        for i in range(self.count, 0, -1):
            W = self.params[f"W{i}"]
            grads[f"W{i}"] = cache[i - 1].T @ d + self.reg * W
            grads[f"b{i}"] = d.sum(axis=0)
            d = d @ W.T * (cache[i - 1] > 0)
        squares = sum((self.params[f"W{i}"] ** 2).sum() for i in range(1, self.count + 1))
        return loss + 0.5 * self.reg * squares, grads


class Nielsen:
    def __init__(self, sizes):
        self.weights = [np.random.randn(y, x) for x, y in pairwise(sizes)]
        self.biases = [np.random.randn(y, 1) for y in sizes[1:]]

    def feedforward(self, a):
        for w, b in zip(self.weights, self.biases, strict=True):
            a = sigmoid(w @ a + b)
        return a

    def slope(self, a):
        return a * (1 - a)

    def backprop(self, x, y):
        a = [x]
        for w, b in zip(self.weights, self.biases, strict=True):
            a.append(sigmoid(w @ a[-1] + b))
        delta = (a[-1] - y) * a[-1] * (1 - a[-1])
        nabla_b, nabla_w = [], []
        for i in reversed(range(len(self.weights))):
            nabla_b.insert(0, delta)
            nabla_w.insert(0, delta @ a[i].T)
            delta = self.weights[i].T @ delta * self.slope(a[i])
        return nabla_b, nabla_w


class NielsenWithoutSlope(Nielsen):
    def slope(self, a):
        return 1.0


class Dense:
    def __init__(self, inputs, units):
        self.weights = np.random.randn(inputs, units)
        self.bias = np.zeros((1, units))

    def forward(self, x):
        self.x = x
        self.out = sigmoid(x @ self.weights + self.bias)
        return self.out

    def backward(self, error):
        delta = error * self.out * (1 - self.out)
        self.dweights = self.x.T @ delta
        self.dbias = delta.sum(axis=0, keepdims=True)
        return delta @ self.weights.T


class LayeredNetwork:
    """Layer objects; the error of half the squared error goes in at the end."""

    def __init__(self, layer_sizes):
        self.layers = [Dense(a, b) for a, b in pairwise(layer_sizes)]

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, X, y):
        error = (self.forward(X) - y) / len(X)
        for layer in reversed(self.layers):
            error = layer.backward(error)


class LayerOf:
    """A layer whose backward pass takes a learning rate, and changes its weights."""

    def __init__(self, inputs, units):
        self.weights = np.random.rand(inputs, units) - 0.5
        self.bias = np.random.rand(1, units) - 0.5

    def forward(self, input_data):
        self.input = input_data
        self.output = np.tanh(input_data @ self.weights + self.bias)
        return self.output

    def backward(self, output_error, learning_rate):
        error = output_error * (1 - self.output**2)
        back = error @ self.weights.T
        self.weights -= learning_rate * self.input.T @ error
        self.bias -= learning_rate * error.sum(axis=0, keepdims=True)
        return back


LAYERS = [LayerOf(2, 3), LayerOf(3, 1)]


class NoSizes:
    """Two inputs, three hidden units, one output, whoever asks."""

    def __init__(self):
        self.W1 = np.random.randn(2, 3)
        self.W2 = np.random.randn(3, 1)

    def backward(self, X, y):
        h = sigmoid(X @ self.W1)
        o = sigmoid(h @ self.W2)
        d = o - y
        return X.T @ (d @ self.W2.T * h * (1 - h)), h.T @ d


class BackFromOutput:
    """forward(X), then backward(X, y, output): gradients in a list of dictionaries."""

    def __init__(self, layer_dims):
        self.layers = [
            {"W": np.random.randn(o, i), "b": np.zeros((o, 1))} for i, o in pairwise(layer_dims)
        ]

    def forward(self, X):
        self.a = [X]
        for layer in self.layers:
            self.a.append(sigmoid(layer["W"] @ self.a[-1] + layer["b"]))
        return self.a[-1]

    def backward(self, X, y, output):
        delta, m = output - y, X.shape[1]
        grads = []
        for layer, a in zip(self.layers[::-1], self.a[-2::-1], strict=True):
            grads.insert(0, {"dW": delta @ a.T / m, "db": delta.sum(axis=1, keepdims=True) / m})
            delta = layer["W"].T @ delta * a * (1 - a)
        return grads
