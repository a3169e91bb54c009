"""Compiled programs on array libraries, beside the machine in C: seconds for a value and gradient.

    python benchmarks/devices.py
    python benchmarks/devices.py --device cuda --dtype float32 --batch 8192

Each program is run on every library that is installed, in turns, with batches and parameters on the
device; the time is the median, until the result is there.  Ratios are to the machine in C, in this
run, on this machine's processor.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import statistics
import time

import numpy as np

import chainrule as cr
from chainrule import nn

LIBRARIES = ("jax", "torch", "cupy")


def mlp(size):
    model = nn.MLP(64, [32, 10], activation="tanh", seed=0)
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(size, 64)), rng.integers(0, 10, size).astype(float)
    return lambda x, k: nn.losses.cross_entropy(model(x), k), (X, labels)


def transformer(size):
    """A causal block: 16 numbers at each of 8 places, two heads."""
    rng = random.Random(0)

    def matrix(rows, columns):
        return [[cr.Value(rng.gauss(0.0, 0.3)) for _ in range(columns)] for _ in range(rows)]

    width, heads, places = 16, 2, 8
    queries, keys, values, out = (matrix(width, width) for _ in range(4))
    up, down = matrix(2 * width, width), matrix(width, 2 * width)

    def linear(w, x):
        return [cr.dot(row, x) for row in w]

    def loss(xs, ys):
        held, total = [], []
        for x, y in zip(xs, ys, strict=True):
            q = linear(queries, x)
            held.append((linear(keys, x), linear(values, x)))
            mixed = []
            for h in range(heads):
                s = slice(h * 8, h * 8 + 8)
                shares = cr.softmax([cr.dot(q[s], k[s]) / 8**0.5 for k, _ in held])
                mixed += [cr.dot(shares, [v[h * 8 + j] for _, v in held]) for j in range(8)]
            x = [a + b for a, b in zip(linear(out, mixed), x, strict=True)]
            hidden = [cr.relu(z) for z in linear(up, x)]
            x = [a + b for a, b in zip(linear(down, hidden), x, strict=True)]
            total += [cr.square(a - b) for a, b in zip(x, y, strict=True)]
        return cr.sum(total)

    shape = (max(1, size // 8), places, width)
    numbers = np.random.default_rng(0)
    return loss, (numbers.normal(size=shape), numbers.normal(size=shape))


def particles(size):
    """GradBench's kind of program: a charge between others, 50 steps of a simulation."""
    charges = [(cr.Value(1.0), cr.Value(0.5)), (cr.Value(-0.5), cr.Value(1.5))]

    def closest(x):
        def step(state, _):
            px, py, vx, vy = state
            ax = ay = 0.0
            for cx, cy in charges:
                dx, dy = px - cx, py - cy
                r = cr.hypot(dx, dy) + 0.1
                ax, ay = ax + dx / (r * r * r), ay + dy / (r * r * r)
            vx, vy = vx + 0.01 * ax, vy + 0.01 * ay
            return (px + 0.01 * vx, py + 0.01 * vy, vx, vy), None

        last, _ = cr.scan(step, (x[0], x[1], 0.0, 0.0), length=1000)
        return cr.square(last[0]) + cr.square(last[1])

    return closest, (np.random.default_rng(0).normal(size=(size, 2)),)


def mixture(size):
    """GradBench's gmm: the likelihood of a mixture of ten Gaussians in four dimensions."""
    rng = random.Random(0)
    k, d = 10, 4
    weights = [cr.Value(rng.gauss(0.0, 1.0)) for _ in range(k)]
    means = [[cr.Value(rng.gauss(0.0, 1.0)) for _ in range(d)] for _ in range(k)]
    scales = [[cr.Value(rng.gauss(0.0, 0.3)) for _ in range(d)] for _ in range(k)]

    def loss(x):
        terms = [
            a + cr.sum(s) - 0.5 * cr.sum([cr.square(cr.exp(q) * (v - c)) for q, v, c in
                                          zip(s, x, mu, strict=True)])
            for a, mu, s in zip(weights, means, scales, strict=True)
        ]  # fmt: skip
        return cr.logsumexp(weights) - cr.logsumexp(terms)

    return loss, (np.random.default_rng(0).normal(size=(size, d)),)


PROGRAMS = {"mlp 64-32-10": mlp, "transformer block": transformer,
            "particle, 1000 steps": particles, "gmm, 10 in 4": mixture}  # fmt: skip


def ready(compiled, arrays):
    """Return a call that ends when the gradient is there, and the gradient as a NumPy array."""
    library = getattr(compiled, "library", None)
    if library is None:
        return lambda: compiled.value_and_grad(*arrays)[1]
    given = [library.array(x) for x in arrays]
    return lambda: library.numpy(compiled.value_and_grad(*given)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device")
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 2048])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    found = [x for x in LIBRARIES if importlib.util.find_spec(x)]
    place = f"device {options.device or 'default'}, {options.dtype}"
    told = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {place}"
    print(f"{told}; libraries: {', '.join(found)}")
    for name, make in PROGRAMS.items():
        for size in options.batch:
            function, arrays = make(size)
            calls = {"native": ready(cr.compile(function), arrays)}
            for library in found:
                device = None if library == "cupy" else options.device
                compiled = cr.compile(function, backend=library, dtype=options.dtype, device=device)
                calls[library] = ready(compiled, arrays)
            first, exact = {}, calls["native"]()
            for library, call in calls.items():
                start = time.perf_counter()
                gradient = call()
                first[library] = time.perf_counter() - start
                scale = np.abs(exact).max()
                first[library] = first[library], np.abs(gradient - exact).max() / scale
            times = {library: [] for library in calls}
            for _ in range(options.rounds):
                for library, call in calls.items():
                    start = time.perf_counter()
                    call()
                    times[library].append(time.perf_counter() - start)
            base = statistics.median(times["native"])
            told = [f"native {base * 1e3:.3f} ms"]
            for library in found:
                ratio = statistics.median(times[library]) / base
                told.append(f"{library} {ratio:.2f} (first call {first[library][0]:.1f} s, "
                            f"off by {first[library][1]:.0e})")  # fmt: skip
            print(f"{name}, batch {size}: {'; '.join(told)}", flush=True)


if __name__ == "__main__":
    main()
