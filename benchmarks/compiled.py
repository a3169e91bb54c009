"""How fast compiled programs run, and what compiling costs: ``python benchmarks/compiled.py``.

Everything is measured in one process on one thread, in float64, and every figure is the best of
several rounds, so that the ratios can be compared between machines.  PyTorch and JAX take part
where they are installed.  ``--quick`` makes it a smoke test.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before NumPy is imported
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

# ruff: noqa: E402
import argparse
import functools
import importlib.util
import itertools
import platform
import random
import time
import tracemalloc

import numpy as np

import chainrule as cr
from chainrule.compiler.machine import Machine


def best(function, seconds=0.3, rounds=7):
    """Return the least time of one call, in microseconds."""
    function()
    start = time.perf_counter()
    function()
    calls = max(1, int(seconds / rounds / max(1e-7, time.perf_counter() - start)))
    least = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            function()
        least = min(least, (time.perf_counter() - start) / calls)
    return least * 1e6


# --- MLP 64-32-10, sigmoid, squared error: the loss and all gradients ----------------------------

SIZES = (64, 32, 10)


def sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def with_bias(a):
    return np.hstack([np.ones((len(a), 1)), a])


def by_hand(theta1, theta2, X, Y):
    """Return what ``backprop.gradients`` does, stripped of its checks."""
    m = len(X)
    a1 = with_bias(X)
    z2 = a1 @ theta1.T
    a2 = with_bias(sigmoid(z2))
    z3 = a2 @ theta2.T
    residual = sigmoid(z3) - Y
    delta3 = 2.0 * residual * (sigmoid(z3) * sigmoid(-z3))
    delta2 = (delta3 @ theta2[:, 1:]) * (sigmoid(z2) * sigmoid(-z2))
    return np.square(residual).sum() / m, [delta2.T @ a1 / m, delta3.T @ a2 / m]


def by_hand_loosely(theta1, theta2, X, Y):
    """Return the same by a(1 - a), which is 0 where a sigmoid rounds to 1: the least work."""
    m = len(X)
    a2 = 1.0 / (1.0 + np.exp(-(X @ theta1[:, 1:].T + theta1[:, 0])))
    a3 = 1.0 / (1.0 + np.exp(-(a2 @ theta2[:, 1:].T + theta2[:, 0])))
    residual = a3 - Y
    delta3 = 2.0 * residual * a3 * (1.0 - a3)
    delta2 = (delta3 @ theta2[:, 1:]) * a2 * (1.0 - a2)
    D1 = np.hstack([delta2.sum(0)[:, None], delta2.T @ X]) / m
    D2 = np.hstack([delta3.sum(0)[:, None], delta3.T @ a2]) / m
    return np.square(residual).sum() / m, [D1, D2]


def in_torch(theta1, theta2, X, Y):
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    torch.set_num_threads(1)
    thetas = [torch.tensor(t, requires_grad=True) for t in (theta1, theta2)]
    X, Y = torch.tensor(X), torch.tensor(Y)

    def run():
        for theta in thetas:
            theta.grad = None
        a = X
        for theta in thetas:
            a = torch.sigmoid(a @ theta[:, 1:].T + theta[:, 0])
        (((a - Y) ** 2).sum() / len(X)).backward()

    return run


def in_jax(theta1, theta2, X, Y):
    if importlib.util.find_spec("jax") is None:
        return None, None
    import jax

    jax.config.update("jax_enable_x64", True)

    def cost(thetas, X, Y):
        a = X
        for theta in thetas:
            a = jax.nn.sigmoid(a @ theta[:, 1:].T + theta[:, 0])
        return ((a - Y) ** 2).sum() / len(X)

    step = jax.jit(jax.value_and_grad(cost))
    placed = jax.device_put(([theta1, theta2], X, Y))

    def from_numpy():
        value, gradients = step([theta1, theta2], X, Y)
        return float(value), [np.asarray(g) for g in gradients]

    return (lambda: jax.block_until_ready(step(*placed))), from_numpy


def products_alone(theta1, theta2, X, Y):
    """Return a function that only does the five matrix products: the lower limit."""
    a1, a2, delta3 = with_bias(X), with_bias(X[:, :32]), Y
    delta2 = X[:, :32].copy()
    z2, z3, D1, D2 = a1 @ theta1.T, a2 @ theta2.T, delta2.T @ a1, delta3.T @ a2

    def run():
        np.matmul(a1, theta1.T, out=z2)
        np.matmul(a2, theta2.T, out=z3)
        np.matmul(delta3, theta2[:, 1:], out=delta2)
        np.matmul(delta2.T, a1, out=D1)
        np.matmul(delta3.T, a2, out=D2)

    return run


def network():
    rng = random.Random(0)
    thetas = [
        [[cr.Value(rng.gauss(0.0, 0.3)) for _ in range(1 + s)] for _ in range(n)]
        for s, n in itertools.pairwise(SIZES)
    ]

    def loss(x, y):
        for theta in thetas:
            x = [cr.sigmoid(cr.dot(row[1:], x, row[0])) for row in theta]
        return cr.sum([cr.square(a - b) for a, b in zip(x, y, strict=True)])

    return loss


def matrices(compiled):
    """Return the ``gradient`` of the printed program, and the parameters as it takes them."""
    namespace = {}
    exec(compiled.source, namespace)
    vector = np.array([p.data for p in compiled.placed])
    program = compiled.program
    return namespace["gradient"], [
        vector[slice(*o.detail)].reshape(o.shape) for o in program.parameters("gradient")
    ]


def network_line(compiled, m):
    generator = np.random.default_rng(m)
    X, Y = generator.normal(size=(m, 64)), np.eye(10)[generator.integers(0, 10, m)]
    cost, vector = compiled.value_and_grad(X, Y)
    program, thetas = matrices(compiled)
    expected = by_hand(*thetas, X, Y)
    assert abs(cost - expected[0]) < 1e-12 * cost
    assert np.allclose(vector, np.concatenate([D.ravel() for D in expected[1]]), rtol=1e-11)
    hand = best(lambda: by_hand(*thetas, X, Y))
    loose = best(lambda: by_hand_loosely(*thetas, X, Y))
    raw = best(lambda: program(*thetas, X, Y))
    called = best(lambda: compiled.value_and_grad(X, Y))
    machine = Machine(compiled.plans["gradient"])
    loops = best(lambda: machine.run(compiled.placed, (X, Y)))
    others = [products_alone(*thetas, X, Y), in_torch(*thetas, X, Y), *in_jax(*thetas, X, Y)]
    rest = " ".join(f"{best(run):9.1f}" if run else f"{'-':>9}" for run in others)
    return (
        f"{m:6} {hand:9.1f} {loose:9.1f} {raw:9.1f} {loops:9.1f} {called:9.1f} "
        f"{called / raw:6.2f} {called / hand:6.2f} {called / loose:6.2f} {rest}"
    )


def networks(batches):
    print("\nMLP 64-32-10, sigmoid, squared error; loss and all gradients; microseconds")
    print(
        f"{'batch':>6} {'by hand':>9} {'loosely':>9} {'printed':>9} {'in NumPy':>9} "
        f"{'compiled':>9} {'/print':>6} {'/hand':>6} {'/loose':>6} {'products':>9} "
        f"{'PyTorch':>9} {'JAX jit':>9} {'JAX+NumPy':>9}"
    )
    loss = network()
    compiled = cr.compile(loss)
    for m in batches:
        print(network_line(compiled, m))
    print("by hand: backprop.gradients without its checks; loosely: with a(1 - a), 0 in the tails;")
    print("printed: the source on matrices; in NumPy: the plan by calls of NumPy; compiled:")
    print(f"value_and_grad; its {len(compiled.parameters)} Values are read once written;")
    print("products: the five alone;")
    print("JAX jit: arrays on its device; JAX+NumPy: NumPy arrays in and out, as in the others")


# --- a small transformer -------------------------------------------------------------------------


def linear(w, x):
    return [sum(wk * xk for wk, xk in zip(row, x, strict=True)) for row in w]


def rms_norm(x):
    scale = (sum(v * v for v in x) / len(x) + 1e-5) ** -0.5
    return [v * scale for v in x]


def transformer(tokens=10, width=16, heads=4, feed_forward=64, vocabulary=20):
    """Return the mean loss of predicting each next token, causal attention, as one graph."""
    rng = random.Random(0)

    def matrix(rows, columns):
        return [[cr.Value(rng.gauss(0.0, 0.3)) for _ in range(columns)] for _ in range(rows)]

    embedding, positions = matrix(vocabulary, width), matrix(tokens, width)
    wq, wk, wv, wo = (matrix(width, width) for _ in range(4))
    up, down, head = matrix(feed_forward, width), matrix(width, feed_forward), matrix(20, width)
    text = [rng.randrange(vocabulary) for _ in range(tokens + 1)]
    d = width // heads
    keys, held, losses = [], [], []
    for t in range(tokens):
        x = [a + b for a, b in zip(embedding[text[t]], positions[t], strict=True)]
        residual = x = rms_norm(x)
        x = rms_norm(x)
        query = linear(wq, x)
        keys.append(linear(wk, x))
        held.append(linear(wv, x))
        mixed = []
        for h in range(heads):
            s = slice(h * d, h * d + d)
            scores = [
                sum(a * b for a, b in zip(query[s], k[s], strict=True)) / d**0.5 for k in keys
            ]
            shares = cr.softmax(scores)
            mixed += [
                sum(p * v[h * d + j] for p, v in zip(shares, held, strict=True)) for j in range(d)
            ]
        x = [a + b for a, b in zip(linear(wo, mixed), residual, strict=True)]
        residual = x
        x = linear(down, [cr.relu(z) for z in linear(up, rms_norm(x))])
        x = [a + b for a, b in zip(x, residual, strict=True)]
        losses.append(-cr.log(cr.softmax(linear(head, x))[text[t + 1]]))
    return cr.mean(losses)


def attention():
    print("\nTransformer: 10 tokens, width 16, 4 heads, feed-forward 64, causal, RMS norm")
    root = transformer()
    start = time.perf_counter()
    compiled = cr.compile(root)
    took = time.perf_counter() - start
    stats = compiled.stats
    eager = best(lambda: transformer().backward(), seconds=0.1, rounds=3)
    sweep = best(root.backward, seconds=0.1, rounds=3)
    program, thetas = matrices(compiled)
    print(f"  {stats['nodes']} nodes, {stats['gradient']} array operations, of which")
    print(f"  {stats['gradient products']} are products and {stats['gradient gathers']} gathers")
    print(f"  compiling: {took * 1e6 / stats['nodes']:.1f} us per node")
    print(f"  printed program {best(lambda: program(*thetas)) / 1e3:.3f} ms; ", end="")
    print(f"value_and_grad {best(compiled.value_and_grad) / 1e3:.3f} ms; ", end="")
    print(f"the engine ({cr.backend}): {eager / 1e3:.1f} ms,")
    print(f"  of which backward {sweep / 1e3:.1f} ms and the rest the Python code that builds it")


# --- what compiling costs ------------------------------------------------------------------------


def compiling(sizes):
    print("\nCompiling a loop over the samples: MLP 6-16-4, written with * and +")
    rng = random.Random(0)
    thetas = [
        [[cr.Value(rng.gauss(0.0, 0.3)) for _ in range(1 + s)] for _ in range(n)]
        for s, n in ((6, 16), (16, 4))
    ]
    for samples in sizes:
        root = 0.0
        for _ in range(samples):
            x = [rng.gauss(0.0, 1.0) for _ in range(6)]
            for theta in thetas:
                x = [
                    cr.tanh(sum(w * a for w, a in zip(r[1:], x, strict=True)) + r[0]) for r in theta
                ]
            root = root + cr.sum([cr.square(a) for a in x])
        start = time.perf_counter()
        compiled = cr.compile(root)
        took = time.perf_counter() - start
        nodes = compiled.stats["nodes"]
        run = best(compiled.value_and_grad, seconds=0.1, rounds=3)
        line = f"  {nodes:8} nodes: {took * 1e6 / nodes:4.1f} us per node to compile, "
        line += f"{run / 1e3:7.2f} ms to run"
        if samples == sizes[0]:
            tracemalloc.start()
            cr.compile(root)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            line += f", {peak / nodes:.0f} bytes per node while compiling"
        print(line)


# --- graphs without width ------------------------------------------------------------------------


def chain(x, w, steps):
    for _ in range(steps // 4):
        x = w[0] * cr.sin(x) + w[1]
    return x


def newton(x, w, steps):
    root = x
    for _ in range(steps // 5):
        root = 0.5 * (root + x / root) + w[0]
    return root


def recurrence(x, w, steps):
    h = c = x
    for _ in range(steps // 10):
        h, c = cr.tanh(w[0] * h + w[1] * c + w[2]), cr.sigmoid(w[3] * h + w[4] * c + w[5])
    return h * c


CHOICES = [
    lambda a, b: cr.tanh(a + b),
    lambda a, b: cr.sin(a * b),
    lambda a, b: a - cr.sigmoid(b),
    lambda a, b: a / (b * b + 1.0),
]


@functools.cache
def plan(steps):
    rng = random.Random(0)
    return [(rng.choice(CHOICES), rng.randint(1, 50), rng.randint(1, 50)) for _ in range(steps)]


def tangle(x, w, steps):
    pool = [x, *w] * 8
    for choice, i, j in plan(steps // 3):
        pool.append(choice(pool[-i], pool[-j]))
    return cr.sum(pool[-20:])


def irregular(sizes):
    print("\nGraphs without width: compiling and running, in nanoseconds per node and example;")
    print("eager is building the graph and backward, by the engine")
    print(
        f"{'':12} {'nodes':>7} {'compiling':>9} {'eager':>7} {'graph':>7} "
        f"{'batch 1':>7} {'30':>7} {'1,000':>7}"
    )
    w = [cr.Value(0.1 * k + 0.2) for k in range(6)]
    for build, steps in itertools.product((chain, newton, recurrence, tangle), sizes):
        eager = best(lambda b=build, n=steps: b(cr.Value(0.5), w, n).backward(), 0.1, 3)
        root = build(cr.Value(0.5), w, steps)
        start = time.perf_counter()
        compiled = cr.compile(root)
        took = time.perf_counter() - start
        nodes = compiled.stats["nodes"]
        function = cr.compile(lambda x, b=build, n=steps: b(x, w, n))
        X = np.linspace(0.4, 0.6, 1000)
        times = [
            eager,
            best(compiled.value_and_grad, 0.1, 3),
            best(lambda f=function, X=X: f.value_and_grad(X[:1]), 0.1, 3),
            best(lambda f=function, X=X: f.value_and_grad(X[:30]), 0.1, 3) / 30.0,
        ]
        times.append(best(lambda f=function, X=X: f.value_and_grad(X), 0.1, 3) / len(X))
        each = " ".join(f"{t * 1e3 / nodes:7.1f}" for t in times)
        print(f"{build.__name__:12} {nodes:7} {took * 1e9 / nodes:8.0f}  {each}")
    print(compiled.stats["way"])


# --- a camera: two residuals of one observation, and their Jacobian -------------------------------


def residuals(inputs, seen, m=cr):
    """Return how far a point is seen from where a camera shows it, times a weight.

    The *inputs* are the camera's rotation vector, its place, its focal length, its principal point
    and two coefficients of radial distortion, then the point and the weight: 15 numbers.  *m* has
    the functions.
    """
    turn, place, focal, centre = inputs[:3], inputs[3:6], inputs[6], inputs[7:9]
    (k1, k2), point, weight = inputs[9:11], inputs[11:14], inputs[14]
    x = [a - b for a, b in zip(point, place, strict=True)]
    square = turn[0] * turn[0] + turn[1] * turn[1] + turn[2] * turn[2]
    angle = m.sqrt(square)
    axis = [r / angle for r in turn]
    cosine, sine = m.cos(angle), m.sin(angle)
    across = [
        axis[1] * x[2] - axis[2] * x[1],
        axis[2] * x[0] - axis[0] * x[2],
        axis[0] * x[1] - axis[1] * x[0],
    ]
    along = (axis[0] * x[0] + axis[1] * x[1] + axis[2] * x[2]) * (1.0 - cosine)
    x = [a * cosine + b * sine + c * along for a, b, c in zip(x, across, axis, strict=True)]
    u, v = x[0] / x[2], x[1] / x[2]
    radius = u * u + v * v
    stretch = (1.0 + radius * (k1 + k2 * radius)) * focal
    return [
        weight * (u * stretch + centre[0] - seen[0]),
        weight * (v * stretch + centre[1] - seen[1]),
    ]


def camera_in_jax(inputs, seen):
    if importlib.util.find_spec("jax") is None:
        return []
    import jax

    jax.config.update("jax_enable_x64", True)

    def stacked(inputs, seen):
        return jax.numpy.stack(residuals(list(inputs), list(seen), jax.numpy))

    primal = jax.jit(jax.vmap(stacked))
    placed = jax.device_put((inputs, seen))
    reverse, forward = (jax.jit(jax.vmap(d(stacked))) for d in (jax.jacrev, jax.jacfwd))
    return [lambda f=f: jax.block_until_ready(f(*placed)) for f in (primal, reverse, forward)]


def camera(count):
    print(f"\nA camera: 2 residuals of 15 inputs, and their Jacobian, of {count:,} observations")
    rng = np.random.default_rng(0)
    inputs = rng.normal(0.0, 0.3, (count, 15)) + np.eye(15)[6] + 4.0 * np.eye(15)[13]
    seen = rng.normal(size=(count, 2))
    compiled = cr.compile(residuals)
    by_inputs = compiled.jacobian(inputs, seen, argnums=0)
    first = cr.jacobian(lambda *x: residuals(list(x), seen[0].tolist()))(*inputs[0].tolist())
    assert np.allclose(by_inputs[0], first, rtol=1e-12)
    ours = [lambda: compiled(inputs, seen), lambda: compiled.jacobian(inputs, seen, argnums=0)]
    times = [best(run) for run in [*ours, *camera_in_jax(inputs, seen)]]
    names = ("residuals", "Jacobian", "JAX, residuals", "JAX, reverse", "JAX, forward")
    for name, t in zip(names, times, strict=False):
        print(f"  {name:15} {t / 1e3:8.3f} ms, {t * 1e3 / count:7.1f} ns per observation")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    quick = parser.parse_args().quick
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}")
    networks((1, 32) if quick else (1, 32, 256, 1797))
    attention()
    compiling((20,) if quick else (100, 1000, 7500))
    irregular((500,) if quick else (1000, 10_000))
    camera(80 if quick else 8000)


if __name__ == "__main__":
    main()
