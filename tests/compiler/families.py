"""Scalar programs of every family that the compiler lifts, each as a user would write it."""

import itertools
import random

import chainrule as cr


def values(rng, *shape, scale=0.5):
    """Return nested lists of Values of that *shape*."""
    if not shape:
        return cr.Value(rng.gauss(0.0, scale))
    return [values(rng, *shape[1:], scale=scale) for _ in range(shape[0])]


def numbers(rng, *shape):
    if not shape:
        return rng.gauss(0.0, 1.0)
    return [numbers(rng, *shape[1:]) for _ in range(shape[0])]


# --- five ways to write a neuron -----------------------------------------------------------------


def by_dot(w, x, b):
    return cr.dot(w, x, b)


def by_loop(w, x, b):
    z = b
    for k in range(len(w)):
        z = z + w[k] * x[k]
    return z


def by_sum(w, x, b):
    return sum(wk * xk for wk, xk in zip(w, x, strict=True)) + b


def by_one_node(w, x, b):
    return cr.sum([b, *(xk * wk for wk, xk in zip(w, x, strict=True))])


def in_either_order(w, x, b):
    return b + sum(w[k] * x[k] if k % 2 else x[k] * w[k] for k in range(len(w)))


NEURONS = [by_dot, by_loop, by_sum, by_one_node, in_either_order]
ACTIVATIONS = [cr.sigmoid, cr.tanh, cr.relu, cr.leaky_relu, cr.softplus, cr.silu, cr.gelu]


# --- networks ------------------------------------------------------------------------------------


def mlp(rng, sizes, neuron=by_dot, activation=cr.tanh):
    """Return a network with linear outputs, and its weights, a bias first in every row."""
    thetas = [values(rng, n, 1 + s) for s, n in itertools.pairwise(sizes)]

    def run(x):
        for i, theta in enumerate(thetas):
            z = [neuron(row[1:], x, row[0]) for row in theta]
            x = z if i == len(thetas) - 1 else [activation(v) for v in z]
        return x

    return run, thetas


def squared(outputs, targets):
    return cr.sum([cr.square(a - y) for a, y in zip(outputs, targets, strict=True)])


def logistic(logits, targets):
    return cr.sum([cr.softplus(z) - y * z for z, y in zip(logits, targets, strict=True)])


def cross_entropy(logits, targets):
    return -cr.sum([y * cr.log(p) for y, p in zip(targets, cr.softmax(logits), strict=True)])


def log_cross_entropy(logits, targets):
    return cr.logsumexp(logits) - cr.dot(targets, logits)


LOSSES = [squared, logistic, cross_entropy, log_cross_entropy]


def penalty(thetas, lam=0.3):
    return lam / 2 * sum(w * w for theta in thetas for row in theta for w in row[1:])


def recurrent(rng, inputs, width):
    w, u = values(rng, width, 1 + inputs), values(rng, width, width)

    def run(xs):
        h = [0.0] * width
        for x in xs:
            h = [cr.tanh(cr.dot(w[j][1:], x, w[j][0]) + cr.dot(u[j], h)) for j in range(width)]
        return cr.sum([cr.square(v) for v in h])

    return run


def convolution(rng, channels):
    first, bias = values(rng, channels, 3), values(rng, channels)
    second = values(rng, 2, channels, 3)

    def run(x):
        a = [
            [cr.relu(cr.dot(first[c], x[i : i + 3], bias[c])) for i in range(len(x) - 2)]
            for c in range(channels)
        ]
        z = [
            [
                sum(second[o][c][k] * a[c][i + k] for c in range(channels) for k in range(3))
                for i in range(len(x) - 4)
            ]
            for o in range(2)
        ]
        return cr.sum([cr.square(v) for row in z for v in row])

    return run


def linear(w, x):
    return [sum(wk * xk for wk, xk in zip(row, x, strict=True)) for row in w]


def rms_norm(x):
    scale = (sum(v * v for v in x) / len(x) + 1e-5) ** -0.5
    return [v * scale for v in x]


def attention(rng, width, heads, feed_forward):
    """Return a causal transformer block: the loss of a sequence of vectors against targets."""
    wq, wk, wv, wo = (values(rng, width, width) for _ in range(4))
    up, down = values(rng, feed_forward, width), values(rng, width, feed_forward)
    d = width // heads

    def block(xs):
        keys, queries, outputs = [], [], []
        held = []
        for x in xs:
            residual, x = x, rms_norm(x)
            queries, key, value = linear(wq, x), linear(wk, x), linear(wv, x)
            keys.append(key)
            held.append(value)
            mixed = []
            for h in range(heads):
                s = slice(h * d, h * d + d)
                scores = [cr.dot(queries[s], k[s]) / d**0.5 for k in keys]
                shares = cr.softmax(scores)
                mixed += [cr.dot(shares, [v[h * d + j] for v in held]) for j in range(d)]
            x = [a + b for a, b in zip(linear(wo, mixed), residual, strict=True)]
            residual, x = x, rms_norm(x)
            x = linear(down, [cr.relu(z) for z in linear(up, x)])
            outputs.append([a + b for a, b in zip(x, residual, strict=True)])
        return outputs

    def loss(xs, ys):
        return cr.sum([squared(a, y) for a, y in zip(block(xs), ys, strict=True)])

    return loss


# --- random graphs -------------------------------------------------------------------------------

WITHOUT_DERIVATIVE = {"equal", "less", "less_equal", "step", "sign"}


def random_graph(seed, size, leaves, inputs=()):
    """Return a number computed by *size* random primitives from *leaves* and *inputs*.

    Operands are old and new nodes, twice the same one, and constants on either side; what has a
    domain is squashed into it, so that no result depends on the order of a cancellation.
    """
    from chainrule.engine.table import TABLE, primitive

    rng = random.Random(seed)
    if "cube" not in TABLE:
        primitive("cube", lambda x: x * x * x, (lambda x, y: 3.0 * cr.square(x),))
    rows = [row for name, row in TABLE.items() if name not in {*WITHOUT_DERIVATIVE, "take"}]
    pool = [*leaves, *inputs]

    def operand():
        if rng.random() < 0.15:
            return rng.uniform(0.1, 2.0)
        return rng.choice(pool[-rng.choice([3, 8, 40]) :])

    def fitted(x, interval):
        low, high = max(interval[0], -4.0), min(interval[1], 4.0)
        if isinstance(x, float):
            return min(max(x, low), high)
        return low + (high - low) * cr.sigmoid(x)

    for _ in range(size):
        row = rng.choice(rows)
        if row.arity is None:
            count = rng.randrange(1, 6)
            more = {"dot": count + 1, "soft_cross_entropy": count}.get(row.name, 0)
            args = [operand() for _ in range(count + more)]
            if row.name in ("softmax", "softmax_rest", "cross_entropy"):
                args.insert(0, float(rng.randrange(count)))
        elif row.name == "where":
            condition = rng.choice([cr.less, cr.less_equal, cr.equal])(operand(), operand())
            args = [condition, operand(), operand()]
        else:
            args = [fitted(operand(), interval) for interval in row.domain]
        y = row(*args)
        if isinstance(y, cr.Value):
            pool.append(cr.tanh(y) if rng.random() < 0.7 else y)
    return cr.sum([cr.exp(cr.tanh(v)) for v in pool[-4:]])  # positive terms: nothing cancels
