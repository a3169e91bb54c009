"""Compiled programs on array libraries, beside the machine in C: seconds for a value and gradient.

    python benchmarks/devices.py
    python benchmarks/devices.py --device cuda --dtype float32 --batch 8192
    python benchmarks/devices.py --gradbench CHECKOUT

Each program is run on every library that is installed, in turns, with batches and parameters on the
device; the time is the median, until the result is there.  Ratios are to the machine in C, in this
run, on this machine's processor.  The programs of GradBench come last: those whose inputs are drawn
at random, and with a checkout of GradBench those that read files; each with its preparation, as it
is timed there.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import random
import statistics
import sys
import time
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule import nn

LIBRARIES = ("jax", "torch", "cupy")
ROUNDS = 7


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


GRADBENCH = {  # function and sizes; the last three read files of a checkout
    "lse": ("gradient", (2500,)),
    "llsq": ("gradient", (1024, 128)),
    "ode": ("gradient", (100, 1)),
    "det": ("gradient", (5,)),
    "kmeans": ("dir", (10, 1000, 8)),
    "gmm": ("jacobian", (2, 5, 1000)),
    "lstm": ("jacobian", (2, 128)),
    "ba": ("jacobian", (1,)),
    "ht": ("jacobian", ("simple_small", 1)),
}


class OnHost:
    """A compiled function whose results come back as NumPy arrays, with which the evals go on."""

    def __init__(self, compiled):
        self.compiled = compiled

    def __getattr__(self, name):
        return getattr(self.compiled, name)

    def __call__(self, *batch):
        return self.compiled.library.numpy(self.compiled(*batch))

    def value_and_grad(self, *batch):
        value, gradient = self.compiled.value_and_grad(*batch)
        return float(value), self.compiled.library.numpy(gradient)

    def jacobian(self, *batch, **wishes):
        found = self.compiled.jacobian(*batch, **wishes)
        numpy = self.compiled.library.numpy
        return tuple(map(numpy, found)) if isinstance(found, tuple) else numpy(found)


@contextlib.contextmanager
def compiling_for(library, dtype, device):
    """Let ``cr.compile``, which the evals call, compile for a library; for None, as it is."""
    usual = cr.compile
    if library is not None:
        options = {"backend": library, "dtype": dtype, "device": device}
        cr.compile = lambda function, **wishes: OnHost(usual(function, **options, **wishes))
    try:
        yield
    finally:
        cr.compile = usual


def of_gradbench(name, checkout, library, dtype, device):
    """Return a call of an eval's derivative on *library*, and the seconds of the first one."""
    function, sizes = GRADBENCH[name]
    given = getattr(importlib.import_module("inputs"), name)(checkout, *sizes)
    asked = importlib.import_module(f"evals.{name}").FUNCTIONS[function]
    start = time.perf_counter()
    with compiling_for(library, dtype, device):
        prepared = asked.prepare(given)
        asked.compute(prepared)  # what is compiled when it is first asked for, is for this library
    seconds = time.perf_counter() - start

    def call():
        return np.concatenate([np.ravel(x) for x in _parts(asked.present(asked.compute(prepared)))])

    return call, seconds


def _parts(result):
    """Return the numbers of an answer, which may be lists in dictionaries."""
    if isinstance(result, dict):
        return [part for x in result.values() for part in _parts(x)]
    if isinstance(result, (list, tuple)):
        return [part for x in result for part in _parts(x)] or [[]]
    return [result]


def compare(name, calls, firsts=()):
    """Print the time of the machine, and of each library: the ratio, the first call, the error."""
    first, exact = {}, calls["native"]()
    for library, call in calls.items():
        start = time.perf_counter()
        gradient = call()
        seconds = dict(firsts).get(library, time.perf_counter() - start)
        first[library] = seconds, np.abs(gradient - exact).max() / (np.abs(exact).max() or 1.0)
    times = {library: [] for library in calls}
    for _ in range(ROUNDS):
        for library, call in calls.items():
            start = time.perf_counter()
            call()
            times[library].append(time.perf_counter() - start)
    base = statistics.median(times["native"])
    told = [f"native {base * 1e3:.3f} ms"]
    for library, (seconds, error) in first.items():
        if library != "native":
            ratio = statistics.median(times[library]) / base
            told.append(f"{library} {ratio:.2f} (first call {seconds:.1f} s, off by {error:.0e})")
    print(f"{name}: {'; '.join(told)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device")
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 2048])
    parser.add_argument("--gradbench", type=Path, metavar="CHECKOUT")
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
            compare(f"{name}, batch {size}", calls)
    sys.path.insert(0, str(Path(__file__).parent / "gradbench"))
    for name, (function, sizes) in GRADBENCH.items():
        if options.gradbench is None and name in ("lstm", "ba", "ht"):
            continue
        calls, firsts = {}, {}
        for library in [None, *found]:
            at = None if library == "cupy" else options.device
            try:
                call, seconds = of_gradbench(name, options.gradbench, library, options.dtype, at)
            except (cr.TraceError, TypeError, FileNotFoundError) as error:
                print(f"{name} on {library}: {error}", flush=True)
            else:
                calls[library or "native"], firsts[library] = call, seconds
        if "native" in calls:
            compare(f"{name}, {function}, {' '.join(map(str, sizes))}", calls, firsts)


if __name__ == "__main__":
    main()
