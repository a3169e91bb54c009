"""What the tests let clusters compute; a module of its own, as workers import it."""

import numpy as np

import chainrule as cr


def model():
    """Return a loss whose examples cost something, and its leaves."""
    rng = np.random.default_rng(1)
    W = [[cr.Value(x) for x in row] for row in rng.normal(size=(30, 6)).tolist()]

    def loss(x, y):
        a = [cr.tanh(cr.dot(w, x)) for w in W]
        for _ in range(40):  # so that a shard is still being computed when its worker is killed
            a = [cr.sin(u) * a[0] for u in a]
        return cr.square(cr.sum(a) - y)

    return loss, [w for row in W for w in row]


def batch(count):
    rng = np.random.default_rng(count)
    return rng.normal(size=(count, 6)), rng.normal(size=count)


def bits(found):
    """Return a mean and a gradient as bytes."""
    cost, gradient = found
    return np.float64(cost).tobytes() + gradient.tobytes()
