"""Layers as a course has them written, and mistakes planted in their text; nothing of ours."""

from __future__ import annotations

import numpy as np

TEXTS = {}

TEXTS["affine"] = """
def affine_forward(x, w, b):
    out = x.dot(w) + b
    return out, (x, w, b)

def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T)
    dw = x.T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db
"""

TEXTS["relu"] = """
def relu_forward(x):
    return np.maximum(0, x), x

def relu_backward(dout, cache):
    dx = dout * (cache > 0)
    return dx
"""

TEXTS["dropout"] = """
def forward(x, dropout_param):
    p = dropout_param["p"]
    mask = (np.random.rand(*x.shape) < p) / p
    return x * mask, (mask, p)

def backward(dout, cache):
    mask, p = cache
    return dout * mask
"""

TEXTS["tanh"] = """
def forward(x):
    t = np.tanh(x)
    return t, (x, t)

def backward(dout, cache):
    x, t = cache
    return (1 - t ** 2) * dout
"""

TEXTS["sigmoid"] = """
def forward(x):
    s = 1 / (1 + np.exp(-x))
    return s, (x, s)

def backward(dout, cache):
    x, s = cache
    return s * (1 - s) * dout
"""

TEXTS["softmax loss"] = """
def forward(logits, y):
    N = len(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    Z = np.exp(shifted).sum(axis=1, keepdims=True)
    log_probs = shifted - np.log(Z)
    probs = np.exp(log_probs)
    loss = -log_probs[np.arange(N), y].sum() / N
    dlogits = probs.copy()
    dlogits[np.arange(N), y] -= 1
    dlogits /= N
    return loss, dlogits

backward = None
"""

TEXTS["convolution"] = """
def conv_forward_naive(x, w, b, conv_param):
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    H2, W2 = 1 + (H + 2 * pad - HH) // stride, 1 + (W + 2 * pad - WW) // stride
    out = np.zeros((N, F, H2, W2))
    for n in range(N):
        for f in range(F):
            for i in range(H2):
                for j in range(W2):
                    window = xp[n, :, i * stride:i * stride + HH, j * stride:j * stride + WW]
                    out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    return out, (x, w, b, conv_param)

def conv_backward_naive(dout, cache):
    x, w, b, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dxp, dw, db = np.zeros_like(xp), np.zeros_like(w), np.zeros_like(b)
    for n in range(N):
        for f in range(F):
            db[f] += dout[n, f].sum()
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    top, left = i * stride, j * stride
                    rows, columns = slice(top, top + HH), slice(left, left + WW)
                    dw[f] += xp[n, :, rows, columns] * dout[n, f, i, j]
                    dxp[n, :, rows, columns] += w[f] * dout[n, f, i, j]
    dx = dxp[:, :, pad:-pad, pad:-pad]
    return dx, dw, db
"""

TEXTS["max pooling"] = """
def forward(x, pool_param):
    h, w, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H, W = x.shape
    out = np.zeros((N, C, H // s, W // s))
    for i in range(H // s):
        for j in range(W // s):
            out[:, :, i, j] = x[:, :, i * s:i * s + h, j * s:j * s + w].max(axis=(2, 3))
    return out, (x, pool_param)

def backward(dout, cache):
    x, pool_param = cache
    h, w, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    window = x[n, c, i * s:i * s + h, j * s:j * s + w]
                    mask = window == window.max()
                    dx[n, c, i * s:i * s + h, j * s:j * s + w] += mask * dout[n, c, i, j]
    return dx
"""

TEXTS["average pooling"] = """
def forward(x):
    N, C, H, W = x.shape
    return x.reshape(N, C, H // 2, 2, W // 2, 2).mean(axis=(3, 5))

def backward(dout, x):
    return np.repeat(np.repeat(dout, 2, axis=2), 2, axis=3) / 4
"""

TEXTS["batch norm"] = """
def forward(x, gamma, beta, bn_param):
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    std = np.sqrt(var + bn_param["eps"])
    xhat = (x - mu) / std
    return gamma * xhat + beta, (x, mu, std, xhat, gamma)

def backward(dout, cache):
    x, mu, std, xhat, gamma = cache
    N = len(x)
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dxhat = dout * gamma
    dvar = (dxhat * (x - mu) * -0.5 * std ** -3).sum(axis=0)
    dmu = -(dxhat / std).sum(axis=0)
    dx = dxhat / std + dvar * 2 * (x - mu) / N + dmu / N
    return dx, dgamma, dbeta
"""

TEXTS["layer norm"] = """
def forward(x, gamma, beta):
    mu = x.mean(axis=1, keepdims=True)
    std = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    xhat = (x - mu) / std
    return gamma * xhat + beta, (std, xhat, gamma)

def backward(dout, cache):
    std, xhat, gamma = cache
    D = xhat.shape[1]
    dxhat = dout * gamma
    dx = dxhat - dxhat.mean(axis=1, keepdims=True)
    dx = dx - xhat * (dxhat * xhat).mean(axis=1, keepdims=True)
    dx = dx / std
    return {"dx": dx, "dgamma": (dout * xhat).sum(axis=0), "dbeta": dout.sum(axis=0)}
"""

TEXTS["rnn step"] = """
def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)

def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h ** 2)
    dx = da @ Wx.T
    dprev_h = da @ Wh.T
    dWx = x.T @ da
    dWh = prev_h.T @ da
    db = da.sum(axis=0)
    return dx, dprev_h, dWx, dWh, db
"""

TEXTS["lstm step"] = """
def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = x @ Wx + prev_h @ Wh + b
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H:2 * H]), sigmoid(a[:, 2 * H:3 * H])
    g = np.tanh(a[:, 3 * H:])
    next_c = f * prev_c + i * g
    t = np.tanh(next_c)
    next_h = o * t
    return next_h, next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c, t, next_h)

def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c, t, next_h = cache
    do = dnext_h * t
    dc = dnext_c + dnext_h * o * (1 - t ** 2)
    df = dc * prev_c
    di = dc * g
    dg = dc * i
    dprev_c = dc * f
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)])
    dx = da @ Wx.T
    dprev_h = da @ Wh.T
    dWx = x.T @ da
    dWh = prev_h.T @ da
    db = da.sum(axis=0)
    return dx, dprev_h, dprev_c, dWx, dWh, db
"""

TEXTS["attention"] = """
def forward(Q, K, V):
    S = Q @ K.T / np.sqrt(Q.shape[1])
    E = np.exp(S - S.max(axis=1, keepdims=True))
    P = E / E.sum(axis=1, keepdims=True)
    return P @ V, (Q, K, V, P)

def backward(dout, cache):
    Q, K, V, P = cache
    d = Q.shape[1]
    dV = P.T @ dout
    dP = dout @ V.T
    dS = P * (dP - (dP * P).sum(axis=1, keepdims=True))
    dQ = dS @ K / np.sqrt(d)
    dK = dS.T @ Q / np.sqrt(d)
    return {"dV": dV, "dP": dP, "dS": dS, "dQ": dQ, "dK": dK}
"""

# kind, what stands there, what should not, code, the first wrong gradient of those returned
PLANTS = [
    ("affine", "x.T.dot(dout)", "x.T.dot(dout) / len(x)", "sum.mean", "dW"),
    ("affine", "np.sum(dout, axis=0)", "np.mean(dout, axis=0)", "sum.mean", "db"),
    ("affine", "np.sum(dout, axis=0)", "np.full(b.shape, dout.sum())", "sum.one-total", "db"),
    ("affine", "np.sum(dout, axis=0)", "dout[0]", "sum.one-example", "db"),
    ("affine", "np.sum(dout, axis=0)", "np.full(b.shape, len(x))", "upstream.forgotten", "db"),
    ("affine", "dout.dot(w.T)", "-dout.dot(w.T)", "sign.error", "dx"),
    ("affine", "x.T.dot(dout)", "2 * x.T.dot(dout)", "factor.doubled", "dW"),
    ("affine", "x.T.dot(dout)", "np.zeros_like(w)", "sum.all-zero", "dW"),
    ("affine", "np.sum(dout, axis=0)", "dout", "call.wrong-shape", "db"),
    ("relu", "dout * (cache > 0)", "dout", "slope.missing", "dx"),
    ("relu", "cache > 0", "cache < 0", "slope.mask-inverted", "dx"),
    ("relu", "cache > 0", "dout > 0", "slope.mask-of-upstream", "dx"),
    ("relu", "(cache > 0)", "np.maximum(cache, 0)", "slope.is-result", "dx"),
    ("relu", "dout * (cache > 0)", "(cache > 0) * 1.0", "upstream.forgotten", "dx"),
    ("dropout", "dout * mask", "dout * 1.0", "dropout.mask-missing", "dx"),
    ("dropout", "dout * mask", "dout / p", "dropout.mask-missing", "dx"),
    ("dropout", "dout * mask", "dout * (mask > 0)", "dropout.not-rescaled", "dx"),
    ("dropout", "dout * mask", "dout * mask / p", "dropout.rescaled-twice", "dx"),
    ("dropout", "dout * mask", "dout * (mask == 0)", "dropout.mask-inverted", "dx"),
    ("dropout", "dout * mask", "dout * (np.random.rand(*mask.shape) < p) / p",
     "dropout.other-mask", "dx"),
    ("dropout", "dout * mask", "-dout * mask", "sign.error", "dx"),
    ("tanh", "1 - t ** 2", "1 - x ** 2", "slope.at-input", "dx"),
    ("tanh", "1 - t ** 2", "1 - t", "slope.not-squared", "dx"),
    ("tanh", "(1 - t ** 2) * ", "", "slope.missing", "dx"),
    ("tanh", "1 - t ** 2", "t * (1 - t)", "slope.of-other-activation", "dx"),
    ("tanh", "1 - t ** 2", "t ** 2 - 1", "sign.error", "dx"),
    ("sigmoid", "s * (1 - s)", "x * (1 - x)", "slope.at-input", "dx"),
    ("sigmoid", "s * (1 - s)", "s", "slope.half-of-it", "dx"),
    ("sigmoid", "s * (1 - s)", "(1 - s ** 2)", "slope.of-other-activation", "dx"),
    ("sigmoid", " * dout", "", "upstream.forgotten", "dx"),
    ("softmax loss", "    dlogits /= N\n", "", "softmax.mean-missing", "dlogits"),
    ("softmax loss", "dlogits /= N", "dlogits /= N * N", "softmax.mean-twice", "dlogits"),
    ("softmax loss", "dlogits /= N", "dlogits /= logits.shape[1]", "softmax.over-classes",
     "dlogits"),
    ("softmax loss", "    dlogits[np.arange(N), y] -= 1\n", "", "softmax.one-missing", "dlogits"),
    ("softmax loss", "probs.copy()", "logits.copy()", "softmax.logits-for-probabilities",
     "dlogits"),
    ("softmax loss", "dlogits /= N", "dlogits *= np.eye(logits.shape[1])[y] / N",
     "softmax.right-class-only", "dlogits"),
    ("softmax loss", "dlogits /= N", "dlogits = -np.eye(logits.shape[1])[y] / probs / N",
     "softmax.of-probabilities", "dlogits"),
    ("convolution", "dxp[n, :, rows, columns] +=", "dxp[n, :, rows, columns] =",
     "window.overwrites", "dx"),
    ("convolution", "dw[f] += xp", "dw[f] = xp", "window.overwrites", "dw"),
    ("convolution", "+= w[f] *", "+= w[f][:, ::-1, ::-1] *", "window.filter-flipped", "dx"),
    ("convolution", "dxp[:, :, pad:-pad, pad:-pad]", "dxp[:, :, :H, :W]", "window.padding-kept",
     "dx"),
    ("convolution", "db[f] += dout[n, f].sum()", "db[f] = dout[n, f].sum()", "sum.one-example",
     "db"),
    ("convolution", "dw[f] += xp", "dw[f] -= xp", "sign.error", "dw"),
    ("max pooling", "mask * dout", "dout", "window.all-entries", "dx"),
    ("max pooling", "mask * dout", "mask * window * dout", "window.times-value", "dx"),
    ("max pooling", "mask * dout[n, c, i, j]", "mask", "upstream.forgotten", "dx"),
    ("max pooling", "mask = window == window.max()", "mask = np.eye(4)[0].reshape(2, 2)",
     "window.first-entry", "dx"),
    ("average pooling", " / 4", "", "window.count-missing", "dx"),
    ("average pooling", " / 4", " / 2", "factor.doubled", "dx"),
    ("batch norm", "dvar = (dxhat", "dvar = 0 * (dxhat", "norm.variance-constant", "dx"),
    ("batch norm", " + dmu / N", "", "norm.mean-constant", "dx"),
    ("batch norm", " + dvar * 2 * (x - mu) / N + dmu / N", "", "norm.both-constant", "dx"),
    ("batch norm", "dxhat = dout * gamma", "dxhat = dout", "norm.gamma-missing", "dx"),
    ("batch norm", "dgamma = (dout * xhat)", "dgamma = (dout * x)", "norm.of-x", "dgamma"),
    ("batch norm", "std ** -3", "std ** -1", "norm.wrong-power", "dx"),
    ("batch norm", "dvar * 2 *", "dvar *", ("norm.two-missing", "factor.halved"), "dx"),
    ("batch norm", "(x - mu) / N + dmu / N", "(x - mu) / N + dmu", "norm.count-missing", "dx"),
    ("batch norm", "dbeta = dout.sum", "dbeta = dout.mean", "sum.mean", "dbeta"),
    ("batch norm", "2 * (x - mu) / N", "2 * (x - mu) / (N - 1)", "norm.divisor", "dx"),
    ("layer norm", "dxhat = dout * gamma", "dxhat = dout", "norm.gamma-missing", "dx"),
    ("layer norm", " - dxhat.mean(axis=1, keepdims=True)", "", "norm.mean-constant", "dx"),
    ("layer norm", "dx = dx - xhat * (dxhat * xhat).mean(axis=1, keepdims=True)", "",
     "norm.variance-constant", "dx"),
    ("rnn step", "dnext_h * (1 - next_h ** 2)", "dnext_h", "slope.missing", "dx"),
    ("rnn step", "1 - next_h ** 2", "1 - next_h", "slope.not-squared", "dx"),
    ("rnn step", "da @ Wh.T", "da @ Wh", "product.not-transposed", "dprev_h"),
    ("rnn step", "prev_h.T @ da", "next_h.T @ da", "product.with-next-state", "dWh"),
    ("rnn step", "prev_h.T @ da", "da.T @ prev_h", "product.transposed", "dWh"),
    ("rnn step", "da.sum(axis=0)", "da.mean(axis=0)", "sum.mean", "db"),
    ("rnn step", "dnext_h * (1 - next_h ** 2)", "1 - next_h ** 2", "upstream.forgotten", "dx"),
    ("lstm step", "dnext_c + dnext_h * o", "dnext_h * o", "gate.cell-from-above-forgotten",
     "dprev_c"),
    ("lstm step", "dnext_c + dnext_h * o * (1 - t ** 2)", "dnext_c",
     "gate.cell-from-state-forgotten", "dprev_c"),
    ("lstm step", "o * (1 - t ** 2)", "o", "slope.missing", "dprev_c"),
    ("lstm step", "o * (1 - t ** 2)", "(1 - t ** 2)", "gate.output-gate-missing", "dprev_c"),
    ("lstm step", "do = dnext_h * t", "do = dnext_h * next_c", "gate.tanh-of-cell-missing", "dx"),
    ("lstm step", "dprev_c = dc * f", "dprev_c = dc", "gate.forget-gate-missing", "dprev_c"),
    ("lstm step", "df = dc * prev_c", "df = dc * next_c", "product.with-next-state", "dx"),
    ("lstm step", "dg = dc * i", "dg = dc * g", "gate.exchanged", "dx"),
    ("lstm step", "dg * (1 - g ** 2)", "dg * g * (1 - g)", "slope.of-other-activation", "dx"),
    ("lstm step", "np.hstack([di * i * (1 - i), df * f * (1 - f)",
     "np.hstack([df * f * (1 - f), di * i * (1 - i)", "gate.wrong-order", "dx"),
    ("lstm step", "dWh = prev_h.T", "dWh = next_h.T", "product.with-next-state", "dWh"),
    ("attention", "P * (dP - (dP * P).sum(axis=1, keepdims=True))", "dP * P * (1 - P)",
     "softmax.diagonal-only", "dS"),
    ("attention", "P * (dP - (dP * P).sum(axis=1, keepdims=True))", "dP * P",
     "softmax.sum-missing", "dS"),
    ("attention", "(dP * P).sum(axis=1", "(dP * P).sum(axis=0", "softmax.wrong-axis", "dS"),
    ("attention", "P * (dP - (dP * P).sum(axis=1, keepdims=True))", "dP", "softmax.not-passed",
     "dS"),
    ("attention", "dS @ K / np.sqrt(d)", "dS @ K", "factor.scale-missing", "dQ"),
    ("attention", "dS.T @ Q / np.sqrt(d)", "dS.T @ Q / d", "factor.scale-twice", "dK"),
    ("attention", "P.T @ dout", "P @ dout", "product.not-transposed", "dV"),
    ("attention", "dS.T @ Q", "dS @ Q", "product.not-transposed", "dK"),
    ("attention", "dS @ K / ", "dS @ Q / ", "product.operands-exchanged", "dQ"),
    ("attention", "dout @ V.T", "dout @ K.T", "product.operands-exchanged", "dP"),
]  # fmt: skip


def made(kind, old="", new=""):
    """Return the two functions of a kind, with something else in the text of the second."""
    text = TEXTS[kind]
    if old:
        start = text.find("backward") if kind != "softmax loss" else 0
        assert old in text[start:], (kind, old)
        text = text[:start] + text[start:].replace(old, new)
    namespace = {"np": np}
    exec(compile(text, "layer.py", "exec"), namespace)
    functions = [value for name, value in namespace.items() if "ward" in name]
    return functions[0], functions[1]
