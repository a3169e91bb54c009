"""Backpropagation as functions: other names, orders and containers of arguments, and of answers."""

from __future__ import annotations

from collections import namedtuple

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def ones(a):
    return np.c_[np.ones(len(a)), a]


def _base(X, Y, lam, thetas, slope=lambda a: a * (1 - a)):
    m, a = len(X), [X]
    for theta in thetas:
        a.append(sigmoid(ones(a[-1]) @ theta.T))
    delta, D = a[-1] - Y, []
    for i in reversed(range(len(thetas))):
        grad = delta.T @ ones(a[i]) / m
        grad[:, 1:] += lam / m * thetas[i][:, 1:]
        D.insert(0, grad)
        delta = delta @ thetas[i][:, 1:] * slope(a[i])
    return D


# ------------------------------------------------- the Thetas as a list


def other_order(X, y, theta_list, reg):
    return _base(X, y, reg, theta_list)


def names_of_their_own(foo, bar, baz, qux):
    return _base(bar, baz, qux, foo)


def keyword_only(*, X, Y, thetas, lam=0.0):
    return _base(X, Y, lam, thetas)


def _cost(X, Y, lam, thetas):
    a = X
    for theta in thetas:
        a = sigmoid(ones(a) @ theta.T)
    squares = sum((theta[:, 1:] ** 2).sum() for theta in thetas)
    return (-(Y * np.log(a) + (1 - Y) * np.log(1 - a)).sum() + lam / 2 * squares) / len(X)


def without_lam(thetas, X, Y):
    return _base(X, Y, 0.0, thetas)


def hidden_slope_missing(inputs, targets, weights, regularization):
    return _base(inputs, targets, regularization, weights, slope=lambda a: 1.0)


def columns(thetas, X, Y, lambd):
    m, a = X.shape[1], [X]
    for theta in thetas:
        a.append(sigmoid(theta @ np.r_[np.ones((1, m)), a[-1]]))
    delta, D = a[-1] - Y, []
    for i in reversed(range(len(thetas))):
        grad = delta @ np.r_[np.ones((1, m)), a[i]].T / m
        grad[:, 1:] += lambd / m * thetas[i][:, 1:]
        D.insert(0, grad)
        delta = thetas[i][:, 1:].T @ delta * a[i] * (1 - a[i])
    return D


def one_after_the_other(thetas, x, y):
    """One example, a vector; the output layer comes first."""
    a = [x]
    for theta in thetas:
        a.append(sigmoid(theta @ np.r_[1.0, a[-1]]))
    delta, D = a[-1] - y, []
    for theta, activation in zip(thetas[::-1], a[-2::-1], strict=True):
        D.append(np.outer(delta, np.r_[1.0, activation]))
        delta = theta[:, 1:].T @ delta * activation * (1 - activation)
    return D


def generates(thetas, X, Y, lam):
    yield from _base(X, Y, lam, thetas)


Result = namedtuple("Result", ["cost", "grads", "output"])


def a_namedtuple(thetas, X, Y, lam):
    return Result(_cost(X, Y, lam, thetas), _base(X, Y, lam, thetas), X)


def bias_last(thetas, X, Y, lam):
    turned = [np.roll(theta, 1, axis=1) for theta in thetas]
    return [np.roll(D, -1, axis=1) for D in _base(X, Y, lam, turned)]


# ------------------------------------------------- penalties and sums


def penalty_not_over_m(thetas, X, Y, lam):
    D = _base(X, Y, 0.0, thetas)
    for grad, theta in zip(D, thetas, strict=True):
        grad[:, 1:] += lam * theta[:, 1:]
    return D


def penalty_on_the_biases(thetas, X, Y, lam):
    return [g + lam / len(X) * t for g, t in zip(_base(X, Y, 0.0, thetas), thetas, strict=True)]


def no_penalty(thetas, X, Y, lam):
    return _base(X, Y, 0.0, thetas)


def sums(thetas, X, Y):
    return [len(X) * D for D in _base(X, Y, 0.0, thetas)]


def cost_without_penalty(X, y, theta_list, reg):
    """Its gradient has the penalty."""
    return _cost(X, y, 0.0, theta_list), _base(X, y, reg, theta_list)


def cost_of_a_sum(theta_list, X, y):
    """Its gradient is that of the mean."""
    return {"loss": len(X) * _cost(X, y, 0.0, theta_list), "grads": _base(X, y, 0.0, theta_list)}


def cost_from_nowhere(X, y, theta_list, reg):
    return _base(X, y, reg, theta_list), 123.456


def penalty_not_over_m_nor_in_the_cost(X, y, theta_list, reg):
    return _cost(X, y, 0.0, theta_list), _base(X, y, reg * len(X), theta_list)


def penalty_not_over_m_with_cost(X, y, theta_list, reg):
    """Gradient and cost agree: the penalty is not divided by m."""
    return _cost(X, y, reg * len(X), theta_list), _base(X, y, reg * len(X), theta_list)


# ------------------------------------------------- no biases


def no_biases(weights, X, Y):
    a = [X]
    for W in weights:
        a.append(sigmoid(a[-1] @ W.T))
    delta, D = (a[-1] - Y) / len(X), []
    for i in reversed(range(len(weights))):
        D.insert(0, delta.T @ a[i])
        delta = delta @ weights[i] * a[i] * (1 - a[i])
    return D


def no_biases_slope_of_a(weights, X, Y):
    a = [X]
    for W in weights:
        a.append(sigmoid(a[-1] @ W))
    delta, D = (a[-1] - Y) / len(X), []
    for i in reversed(range(len(weights))):
        D.insert(0, a[i].T @ delta)
        delta = delta @ weights[i].T * sigmoid(a[i]) * (1 - sigmoid(a[i]))
    return D


# ------------------------------------------------- W1, b1, W2, b2 one by one


def _two_layers(X, W1, b1, W2, b2):
    a1 = np.tanh(X @ W1 + b1)
    return a1, softmax(a1 @ W2 + b2)


def one_by_one(W1, b1, W2, b2, X, y):
    m = len(X)
    a1, p = _two_layers(X, W1, b1, W2, b2)
    d2 = p.copy()
    d2[range(m), y] -= 1
    d2 /= m
    d1 = d2 @ W2.T * (1 - a1**2)
    return X.T @ d1, d1.sum(axis=0), a1.T @ d2, d2.sum(axis=0)


def tanh_slope_of_one_minus_a(X, y, W1, b1, W2, b2):
    m = len(X)
    a1, p = _two_layers(X, W1, b1, W2, b2)
    d2 = p.copy()
    d2[range(m), y] -= 1
    d2 /= m
    d1 = d2 @ W2.T * (1 - a1)
    return {"dW1": X.T @ d1, "db1": d1.sum(axis=0), "dW2": a1.T @ d2, "db2": d2.sum(axis=0)}


def one_output(x, y, w1, b1, w2, b2):
    """A scalar bias gradient, for there is one output; y is one vector."""
    a1 = sigmoid(x @ w1 + b1)
    p = sigmoid(a1 @ w2 + b2)
    d2 = (p.ravel() - y)[:, None] / len(x)
    d1 = d2 @ w2.T * a1 * (1 - a1)
    return x.T @ d1, d1.sum(0), a1.T @ d2, d2.sum()


def all_weights_then_all_biases(W1, W2, b1, b2, X, T):
    a1 = sigmoid(X @ W1 + b1)
    y = sigmoid(a1 @ W2 + b2)
    d2 = y - T
    d1 = d2 @ W2.T * a1 * (1 - a1)
    return X.T @ d1, a1.T @ d2, d1.sum(0), d2.sum(0)


# ------------------------------------------------- dictionaries


def forward_propagation(X, parameters):
    cache, A = {"A0": X}, X
    for i in range(1, len(parameters) // 2 + 1):
        A = sigmoid(parameters["W" + str(i)] @ A + parameters["b" + str(i)])
        cache["A" + str(i)] = A
    return A, cache


def backward_propagation(parameters, cache, X, Y, last=lambda A, Y: A - Y):
    m, L, grads = X.shape[1], len(parameters) // 2, {}
    dZ = last(cache["A" + str(L)], Y)
    for i in range(L, 0, -1):
        grads["dW" + str(i)] = dZ @ cache["A" + str(i - 1)].T / m
        grads["db" + str(i)] = dZ.sum(axis=1, keepdims=True) / m
        if i > 1:
            dA = parameters["W" + str(i)].T @ dZ
            grads["dA" + str(i - 1)] = dA
            dZ = dA * cache["A" + str(i - 1)] * (1 - cache["A" + str(i - 1)])
    return grads


def backward_without_m(parameters, cache, X, Y):
    grads = backward_propagation(parameters, cache, X, Y)
    return {name: grad * (X.shape[1] if name[1] == "b" else 1) for name, grad in grads.items()}


def forward(params, x):
    h = np.maximum(0, x @ params["W1"] + params["b1"])
    return h, softmax(h @ params["W2"] + params["b2"])


def loss_and_gradients(params, x, y, reg):
    h, probs = forward(params, x)
    squares = (params["W1"] ** 2).sum() + (params["W2"] ** 2).sum()
    loss = -np.log(probs[range(len(x)), y]).mean() + 0.5 * reg * squares
    d = probs.copy()
    d[range(len(x)), y] -= 1
    d /= len(x)
    grads = {"W2": h.T @ d + reg * params["W2"], "b2": d.sum(axis=0)}
    dh = d @ params["W2"].T * (h > 0)
    grads["W1"] = x.T @ dh + reg * params["W1"]
    grads["b1"] = dh.sum(axis=0)
    return loss, grads


def relu_mask_of_all(params, x, y):
    h, probs = forward(params, x)
    d = probs - np.eye(probs.shape[1])[y]
    d /= len(x)
    dh = d @ params["W2"].T
    return {"dJdW1": x.T @ dh, "dJdb1": dh.sum(axis=0),
            "dJdW2": h.T @ d, "dJdb2": d.sum(axis=0), "probs": probs}  # fmt: skip


# ------------------------------------------------- weights and biases apart, pairs, one vector


def two_lists(weights, biases, x, y):
    """One example as a column; sums over the examples are somebody else's."""
    a = [x]
    for w, b in zip(weights, biases, strict=True):
        a.append(sigmoid(w @ a[-1] + b))
    delta = (a[-1] - y) * a[-1] * (1 - a[-1])
    nabla_b, nabla_w = [], []
    for i in reversed(range(len(weights))):
        nabla_b.insert(0, delta)
        nabla_w.insert(0, delta @ a[i].T)
        delta = weights[i].T @ delta * a[i] * (1 - a[i])
    return nabla_b, nabla_w


def pairs(params, inputs, targets):
    a = [inputs]
    for W, b in params:
        a.append(np.tanh(a[-1] @ W + b))
    a[-1] = np.arctanh(a[-1])
    delta, grads = (a[-1] - targets) / len(inputs), []
    for i in reversed(range(len(params))):
        grads.append((a[i].T @ delta, delta.sum(0)))
        delta = delta @ params[i][0].T * (1 - a[i] ** 2)
    return grads[::-1]


def nnCostFunction(nn_params, input_layer_size, hidden_layer_size, num_labels, X, y, Lambda):
    cut = hidden_layer_size * (input_layer_size + 1)
    Theta1 = nn_params[:cut].reshape((hidden_layer_size, input_layer_size + 1), order="F")
    Theta2 = nn_params[cut:].reshape((num_labels, hidden_layer_size + 1), order="F")
    m = X.shape[0]
    Y = np.zeros((m, num_labels))
    for i in range(m):
        Y[i, y[i] - 1] = 1
    a1 = ones(X)
    a2 = ones(sigmoid(a1 @ Theta1.T))
    h = sigmoid(a2 @ Theta2.T)
    J = -(Y * np.log(h) + (1 - Y) * np.log(1 - h)).sum() / m
    J += Lambda / (2 * m) * ((Theta1[:, 1:] ** 2).sum() + (Theta2[:, 1:] ** 2).sum())
    d3 = h - Y
    d2 = d3 @ Theta2[:, 1:] * a2[:, 1:] * (1 - a2[:, 1:])
    Theta1_grad, Theta2_grad = d2.T @ a1 / m, d3.T @ a2 / m
    Theta1_grad[:, 1:] += Lambda / m * Theta1[:, 1:]
    Theta2_grad[:, 1:] += Lambda / m * Theta2[:, 1:]
    return J, np.r_[Theta1_grad.ravel("F"), Theta2_grad.ravel("F")]


def grad_of_vector(theta, n_in, n_hidden, n_out, X, y, lam):
    """Rows one after the other, the biases are regularised as well; labels from 0."""
    Theta1 = theta[: n_hidden * (n_in + 1)].reshape(n_hidden, n_in + 1)
    Theta2 = theta[n_hidden * (n_in + 1) :].reshape(n_out, n_hidden + 1)
    Y = np.eye(n_out)[y]
    a1 = ones(X)
    a2 = ones(sigmoid(a1 @ Theta1.T))
    d3 = sigmoid(a2 @ Theta2.T) - Y
    d2 = (d3 @ Theta2 * a2 * (1 - a2))[:, 1:]
    grads = [(d2.T @ a1 + lam * Theta1) / len(X), (d3.T @ a2 + lam * Theta2) / len(X)]
    return np.concatenate([grad.ravel() for grad in grads])


def named_gradients(thetas, X, y, lam):
    """Theta1_grad, Theta2_grad, in a dictionary with more in it; the penalty is forgotten once."""
    D = _base(X, y, lam, thetas)
    J = _cost(X, y, lam, thetas)
    return {"cost": J, "deltas": [X], **{f"Theta{i}_grad": d for i, d in enumerate(D, 1)}}
