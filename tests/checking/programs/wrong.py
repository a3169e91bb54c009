"""The mistakes of programs from courses, books and posts, each in the shape that it had.

What each has is in :data:`WRONG`: the codes that name it.
"""

from __future__ import annotations

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def ones(a):
    return np.c_[np.ones(len(a)), a]


# --- one vector, or Thetas


def _unrolled(nn_params, sizes, X, y, lam, regularised, slope=True, divide=True):
    i, h, k = sizes
    Theta1 = nn_params[: h * (i + 1)].reshape(h, i + 1)
    Theta2 = nn_params[h * (i + 1) :].reshape(k, h + 1)
    m = len(X) if divide else 1
    a1 = ones(X)
    a2 = ones(sigmoid(a1 @ Theta1.T))
    d3 = sigmoid(a2 @ Theta2.T) - np.eye(k)[y - 1]
    d2 = d3 @ Theta2[:, 1:]
    if slope:
        d2 = d2 * a2[:, 1:] * (1 - a2[:, 1:])
    grads = [d2.T @ a1 / m, d3.T @ a2 / m]
    grads = regularised(grads, [Theta1, Theta2], lam, m)
    return np.concatenate([grad.ravel() for grad in grads])


def _right_penalty(grads, thetas, lam, m):
    for grad, theta in zip(grads, thetas, strict=True):
        grad[:, 1:] += lam / m * theta[:, 1:]
    return grads


def hidden_slope_missing(nn_params, input_layer_size, hidden_layer_size, num_labels, X, y, lam):
    sizes = input_layer_size, hidden_layer_size, num_labels
    return _unrolled(nn_params, sizes, X, y, lam, _right_penalty, slope=False)


def ones_in_the_penalty(nn_params, input_layer_size, hidden_layer_size, num_labels, X, y, lam):
    def penalty(grads, thetas, lam, m):
        return [g + lam / m * np.c_[np.ones(len(t)), t[:, 1:]]
                for g, t in zip(grads, thetas, strict=True)]  # fmt: skip

    sizes = input_layer_size, hidden_layer_size, num_labels
    return _unrolled(nn_params, sizes, X, y, lam, penalty)


def biases_zeroed_through_a_view(thetas, X, Y, lam):
    m, a = len(X), [X]
    for theta in thetas:
        a.append(sigmoid(ones(a[-1]) @ theta.T))
    delta, D = a[-1] - Y, []
    for i in reversed(range(len(thetas))):
        D.insert(0, delta.T @ ones(a[i]) / m + lam / m * thetas[i])
        delta = delta @ thetas[i][:, 1:] * a[i] * (1 - a[i])
    for grad, theta in zip(D, thetas, strict=True):
        no_bias = grad  # not a copy
        no_bias[:, 0] = 0
        grad += 0 * theta
    return D


def nothing_is_averaged(nn_params, input_layer_size, hidden_layer_size, num_labels, X, y, lam):
    sizes = input_layer_size, hidden_layer_size, num_labels
    return _unrolled(nn_params, sizes, X, y, lam, _right_penalty, divide=False)


def wrong_column_deleted(thetas, X, Y):
    """The bias unit comes last, and the first column is left out on the way back.

    Nobody can say which of the two is the mistake: where the bias is, or which column is dropped.
    """
    m, a = len(X), [X]
    for theta in thetas:
        a.append(sigmoid(np.c_[a[-1], np.ones(m)] @ theta.T))
    delta, D = (a[-1] - Y) / m, []
    for i in reversed(range(len(thetas))):
        D.insert(0, delta.T @ np.c_[a[i], np.ones(m)])
        delta = delta @ thetas[i][:, 1:] * a[i] * (1 - a[i])
    return D


# --- W1, b1, W2, b2


def _two(X, W1, b1, W2, b2, g, out):
    h = g(X @ W1 + b1)
    return h, out(h @ W2 + b2)


def _grads(X, h, d1, d2):
    return X.T @ d1, d1.sum(0), h.T @ d2, d2.sum(0)


def relu_prime_is_relu(X, y, W1, b1, W2, b2):
    h, p = _two(X, W1, b1, W2, b2, lambda z: np.maximum(0, z), softmax)
    d2 = (p - np.eye(p.shape[1])[y]) / len(X)
    return _grads(X, h, d2 @ W2.T * h, d2)


def slope_with_cross_entropy(X, y, W1, b1, W2, b2):
    h, p = _two(X, W1, b1, W2, b2, sigmoid, sigmoid)
    cost = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum() / len(X)
    d2 = (p - y) * p * (1 - p) / len(X)
    return cost, _grads(X, h, d2 @ W2.T * h * (1 - h), d2)


def row_sum_for_the_biases(X, y, W1, b1, W2, b2):
    """Two at once: the ReLU of what comes back."""
    h, p = _two(X, W1, b1, W2, b2, lambda z: np.maximum(0, z), softmax)
    d2 = (p - np.eye(p.shape[1])[y]) / len(X)
    d1 = np.maximum(0, d2 @ W2.T)
    dW1, dW2 = X.T @ d1, h.T @ d2
    return dW1, dW1.sum(axis=0), dW2, dW2.sum(axis=0)


def output_slope_at_a(X, y, W1, b1, W2, b2):
    h, o = _two(X, W1, b1, W2, b2, sigmoid, sigmoid)
    d2 = 2 * (o - y) * sigmoid_prime(o) / len(X)
    return _grads(X, h, d2 @ W2.T * h * (1 - h), d2)


def softmax_diagonal(X, y, W1, b1, W2, b2):
    h, p = _two(X, W1, b1, W2, b2, np.tanh, softmax)
    Y = np.eye(p.shape[1])[y]
    d2 = -(Y / p) * p * (1 - p) / len(X)
    return _grads(X, h, d2 @ W2.T * (1 - h**2), d2)


def slope_of_the_error(X, y, W1, b1, W2, b2):
    h, o = _two(X, W1, b1, W2, b2, sigmoid, sigmoid)
    d2 = (o - y) / len(X)
    back = d2 @ W2.T
    return _grads(X, h, back * sigmoid_prime(back), d2)


def what_comes_back_is_lost(X, y, W1, b1, W2, b2):
    h, o = _two(X, W1, b1, W2, b2, sigmoid, sigmoid)
    d2 = (o - y) / len(X)
    return _grads(X, h, h * (1 - h), d2)


def only_the_bias_lacks_the_slope(X, y, W1, b1, W2, b2):
    h, o = _two(X, W1, b1, W2, b2, np.tanh, sigmoid)
    d2 = (o - y) / len(X)
    back = d2 @ W2.T
    d1 = back * (1 - h**2)
    return X.T @ d1, back.sum(0), h.T @ d2, d2.sum(0)


def one_total_for_all(X, y, W1, b1, W2, b2):
    h, o = _two(X, W1, b1, W2, b2, np.tanh, softmax)
    d2 = (o - np.eye(o.shape[1])[y]) / len(X)
    d1 = d2 @ W2.T * (1 - h**2)
    return X.T @ d1, d1.sum(), h.T @ d2, d2.sum()


# --- dictionaries, examples in columns


def forward_propagation(X, parameters):
    A1 = np.tanh(parameters["W1"] @ X + parameters["b1"])
    A2 = sigmoid(parameters["W2"] @ A1 + parameters["b2"])
    return A2, {"A1": A1, "A2": A2}


def backward_propagation(parameters, cache, X, Y):
    """dW2 is doubled, db1 four times too large: a course's own exercise."""
    m, A1 = X.shape[1], cache["A1"]
    dZ2 = (cache["A2"] - Y) / m
    dZ1 = parameters["W2"].T @ dZ2 * (1 - A1**2)
    return {
        "dW1": dZ1 @ X.T,
        "db1": 4 * dZ1.sum(axis=1, keepdims=True),
        "dW2": 2 * dZ2 @ A1.T,
        "db2": dZ2.sum(axis=1, keepdims=True),
    }


def forward_pass(X, params):
    a, kept = X, [X]
    for i in range(1, len(params) // 2 + 1):
        a = sigmoid(params["W" + str(i)] @ a + params["b" + str(i)])
        kept.append(a)
    return a, kept


def backward_pass(AL, Y, params, caches):
    """The derivative of the cost by the output is used in all layers."""
    m, grads = Y.shape[1], {}
    dA = -(Y / AL - (1 - Y) / (1 - AL))
    for i in reversed(range(1, len(params) // 2 + 1)):
        dZ = dA * caches[i] * (1 - caches[i])
        grads["dW" + str(i)] = dZ @ caches[i - 1].T / m
        grads["db" + str(i)] = dZ.sum(axis=1, keepdims=True) / m
    return grads


# --- training steps


def early_update(X, y, W1, W2, lr):
    h = sigmoid(X @ W1)
    o = sigmoid(h @ W2)
    delta = (o - y) * o * (1 - o)
    W2 -= lr * h.T @ delta
    W1 -= lr * X.T @ (delta @ W2.T * h * (1 - h))


def early_update_of_rate_one(x, y, w1, w2):
    h = sigmoid(x @ w1)
    o = sigmoid(h @ w2)
    delta = (y - o) * o * (1 - o)
    w2 += h.T @ delta
    w1 += x.T @ (delta @ w2.T * h * (1 - h))


def output_slope_missing_and_early(x, y, w1, w2, alpha):
    h = sigmoid(x @ w1)
    o = sigmoid(h @ w2)
    error = y - o
    w2 += alpha * h.T @ error
    w1 += alpha * x.T @ (error @ w2.T * h * (1 - h))


def slope_at_a_in_a_step(x, y, w1, w2):
    h = sigmoid(x @ w1)
    o = sigmoid(h @ w2)
    delta = (y - o) * sigmoid_prime(o)
    back = delta @ w2.T * h * (1 - h)
    w2 += h.T @ delta
    w1 += x.T @ back


def after_each_example(X, y, W1, b1, W2, b2, lr):
    for x, t in zip(X, y, strict=True):
        h = sigmoid(x @ W1 + b1)
        o = sigmoid(h @ W2 + b2)
        d2 = (o - t) * o * (1 - o)
        d1 = d2 @ W2.T * h * (1 - h)
        W2 -= lr * np.outer(h, d2)
        b2 -= lr * d2
        W1 -= lr * np.outer(x, d1)
        b1 -= lr * d1


def raw_error_in_a_step(x, y, w1, w2):
    h = sigmoid(x @ w1)
    o = sigmoid(h @ w2)
    error = y - o
    back = error @ w2.T * h * (1 - h)
    w2 += h.T @ (error * o * (1 - o))
    w1 += x.T @ back


# --- objects


class BiasesNeverTrained:
    def __init__(self, n_in, n_hidden, n_out):
        self.W1, self.b1 = np.random.randn(n_in, n_hidden), np.random.randn(n_hidden)
        self.W2, self.b2 = np.random.randn(n_hidden, n_out), np.random.randn(n_out)

    def train(self, X, y, lr):
        h = sigmoid(X @ self.W1 + self.b1)
        d2 = sigmoid(h @ self.W2 + self.b2) - y
        d1 = d2 @ self.W2.T * h * (1 - h)
        self.W2 -= lr * h.T @ d2
        self.W1 -= lr * X.T @ d1


class RawError(BiasesNeverTrained):
    def train(self, X, y, lr):
        h = sigmoid(X @ self.W1 + self.b1)
        o = sigmoid(h @ self.W2 + self.b2)
        error = o - y
        d2, d1 = error * o * (1 - o), error @ self.W2.T * h * (1 - h)
        self.W2 -= lr * h.T @ d2
        self.b2 -= lr * d2.sum(0)
        self.W1 -= lr * X.T @ d1
        self.b1 -= lr * d1.sum(0)


class RawErrorByExample:
    def __init__(self, inputs, hidden, outputs, learning_rate):
        self.lr = learning_rate
        self.wih = np.random.randn(hidden, inputs)
        self.who = np.random.randn(outputs, hidden)

    def train(self, inputs_list, targets_list):
        x, t = np.array(inputs_list, ndmin=2).T, np.array(targets_list, ndmin=2).T
        h = sigmoid(self.wih @ x)
        o = sigmoid(self.who @ h)
        error = t - o
        below = self.who.T @ error
        self.who += self.lr * (error * o * (1 - o)) @ h.T
        self.wih += self.lr * (below * h * (1 - h)) @ x.T


class SlopeAtA:
    def __init__(self, x, y):
        self.input, self.y = x, y
        self.weights1 = np.random.rand(x.shape[1], 4)
        self.weights2 = np.random.rand(4, y.shape[1])

    def feedforward(self):
        self.layer1 = sigmoid(self.input @ self.weights1)
        self.output = sigmoid(self.layer1 @ self.weights2)

    def backprop(self):
        delta = 2 * (self.y - self.output) * sigmoid_prime(self.output)
        back = delta @ self.weights2.T * self.layer1 * (1 - self.layer1)
        self.weights2 += self.layer1.T @ delta
        self.weights1 += self.input.T @ back


class LossOfParams:
    """The mask h < 0 is never true."""

    def __init__(self, input_size, hidden_size, output_size):
        self.params = {
            "W1": np.random.randn(input_size, hidden_size), "b1": np.zeros(hidden_size),
            "W2": np.random.randn(hidden_size, output_size), "b2": np.zeros(output_size),
        }  # fmt: skip

    def loss(self, X, y, reg):
        W1, b1, W2, b2 = (self.params[name] for name in ("W1", "b1", "W2", "b2"))
        h = np.maximum(0, X @ W1 + b1)
        p = softmax(h @ W2 + b2)
        loss = -np.log(p[np.arange(len(X)), y]).mean()
        loss += 0.5 * reg * ((W1**2).sum() + (W2**2).sum())
        p[np.arange(len(X)), y] -= 1
        d1 = p / len(X) @ W2.T
        d1[h < 0] = 0
        grads = {"W2": h.T @ p / len(X) + reg * W2, "b2": p.sum(0) / len(X)}
        grads |= {"W1": X.T @ d1 + reg * W1, "b1": d1.sum(0)}
        return loss, grads


LOGISTIC, STATED = {"loss": "logistic"}, {"loss": "logistic", "lam": 1.3}
RAW = ("hidden.errors-without-slopes", "hidden.from-raw-error")


def lists_with_the_bias_last(network, inputs, targets):
    """Neurons as lists of weights, half squared error; the hidden deltas have a cube of no name."""
    hidden = [sigmoid(np.dot(neuron, [*inputs, 1.0])) for neuron in network[0]]
    outputs = [sigmoid(np.dot(neuron, [*hidden, 1.0])) for neuron in network[1]]
    errors = [o * (1 - o) * (o - y) for o, y in zip(outputs, targets, strict=True)]
    back = [np.dot(errors, [neuron[i] for neuron in network[1]]) for i in range(len(hidden))]
    deltas = [h * (1 - h) * b**3 for h, b in zip(hidden, back, strict=True)]
    first = [[delta * x for x in [*inputs, 1.0]] for delta in deltas]
    return [first, [[error * h for h in [*hidden, 1.0]] for error in errors]]


WRONG = [
    (hidden_slope_missing, STATED, [("hidden.slope-missing",)]),
    (ones_in_the_penalty, STATED, [("penalty.ones-in-bias",)]),
    (biases_zeroed_through_a_view, STATED, [("bias.zero",)]),
    (nothing_is_averaged, STATED, [("mean.missing-everywhere",)]),
    (wrong_column_deleted, LOGISTIC, [("forward.ones-last",)]),
    (relu_prime_is_relu, {}, [("hidden.slope-is-a",), ("hidden.slope-is-z",)]),
    (slope_with_cross_entropy, LOGISTIC, [("output.slope-doubled",)]),
    (row_sum_for_the_biases, {}, [("bias.row-sum", "hidden.relu-mask-of-delta")]),
    (output_slope_at_a, {"loss": "squared_error"}, [("output.slope-at-a",)]),
    (softmax_diagonal, {"loss": "cross_entropy"}, [("output.softmax-diagonal",)]),
    (slope_of_the_error, LOGISTIC, [("hidden.slope-of-error",)]),
    (what_comes_back_is_lost, LOGISTIC, [("hidden.blame-lost",)]),
    (only_the_bias_lacks_the_slope, LOGISTIC, [("bias.without-slope",)]),
    (one_total_for_all, {}, [("bias.one-total",)]),
    ((forward_propagation, backward_propagation), LOGISTIC, [("factor.of-one-block",)]),
    ((forward_pass, backward_pass), LOGISTIC, []),  # no row: the first wrong layer is told
    (early_update, {}, [("hidden.updated-weights",)]),
    (early_update_of_rate_one, {}, [("hidden.updated-weights",)]),
    (output_slope_missing_and_early, {"loss": "half_squared_error"},
     [("output.slope-missing", "hidden.updated-weights")]),
    (slope_at_a_in_a_step, {"loss": "half_squared_error"}, [("output.slope-at-a",)]),
    (after_each_example, {"loss": "half_squared_error", "examples": "rows"},
     [("update.after-each-example",)]),
    (raw_error_in_a_step, {}, [(code,) for code in RAW]),
    (BiasesNeverTrained, LOGISTIC, [("bias.zero",)]),
    (RawError, {}, [(code,) for code in RAW]),
    (RawErrorByExample, {}, [(code,) for code in RAW]),
    (SlopeAtA, {"loss": "squared_error"}, [("output.slope-at-a",)]),
    (LossOfParams, {}, [("hidden.slope-missing",), ("hidden.relu-mask-always-true",)]),
]  # fmt: skip
"""Program, what is stated, and the sets of codes that name its mistake."""
