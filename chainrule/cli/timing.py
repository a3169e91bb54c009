"""What an operation on Values costs, next to plain floats and to other libraries, in one process.

    chainrule bench [--rounds N] [--quick]

Every figure is the median over rounds in which all contestants take turns, in CPU time of this
thread, so a slow minute or another program does not affect only one of them.
Libraries that are not installed are left out: micrograd, xad and torch have these names on PyPI.
"""

from __future__ import annotations

import gc
import itertools
import math
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.engine import value, vectors
from chainrule.engine.native import core as native
from chainrule.engine.sweeps import topological_order


@dataclass
class Contestant:
    """How a library makes a leaf, takes a tanh, and runs *forward* and then backward."""

    name: str
    leaf: Callable[[float], Any]
    tanh: Callable[[Any], Any]
    run: Callable[[Callable[[], Any], list[Any]], Any]


class Minimal:
    """About the smallest scalar autograd Value that Python allows."""

    __slots__ = ("data", "grad", "parents", "partials")

    def __init__(
        self, data: float, parents: tuple[Any, ...] = (), partials: tuple[float, ...] = ()
    ) -> None:
        self.data, self.parents, self.partials, self.grad = data, parents, partials, 0.0

    def __add__(self, other: Any) -> Minimal:
        if type(other) is Minimal:
            return Minimal(self.data + other.data, (self, other), (1.0, 1.0))
        return Minimal(self.data + other, (self,), (1.0,))

    def __mul__(self, other: Any) -> Minimal:
        if type(other) is Minimal:
            return Minimal(self.data * other.data, (self, other), (other.data, self.data))
        return Minimal(self.data * other, (self,), (other,))

    __radd__, __rmul__ = __add__, __mul__

    def tanh(self) -> Minimal:
        y = math.tanh(self.data)
        return Minimal(y, (self,), (1.0 - y * y,))

    def backward(self) -> None:
        order, seen, stack = [], set(), [(self, False)]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((parent, False) for parent in node.parents)
        self.grad = 1.0
        for node in reversed(order):
            for parent, partial in zip(node.parents, node.partials, strict=True):
                parent.grad += partial * node.grad


def _backward(forward: Callable[[], Any], leaves: list[Any]) -> None:
    forward().backward()


def _contestants() -> Iterator[Contestant]:
    yield Contestant("plain floats, forward only", float, math.tanh, lambda f, leaves: f())
    yield Contestant(f"chainrule ({cr.backend})", cr.Value, cr.tanh, _backward)
    if native is not None:
        yield Contestant("chainrule (python)", value.Value, value.Value.tanh, _backward)
    yield Contestant("minimal __slots__ Value", Minimal, Minimal.tanh, _backward)
    try:
        from micrograd.engine import Value as Micrograd
    except ImportError:
        pass
    else:

        def micrograd_tanh(x: Any) -> Any:  # written as micrograd writes its relu
            out = Micrograd(math.tanh(x.data), (x,), "tanh")

            def backward() -> None:
                x.grad += (1.0 - out.data**2) * out.grad

            out._backward = backward
            return out

        yield Contestant("micrograd", Micrograd, micrograd_tanh, _backward)
    try:
        import xad.adj_1st as xad
        from xad import math as xad_math
    except ImportError:
        pass
    else:

        def xad_run(forward: Callable[[], Any], leaves: list[Any]) -> None:
            with xad.Tape() as tape:
                for leaf in leaves:
                    tape.registerInput(leaf)
                tape.newRecording()
                y = forward()
                tape.registerOutput(y)
                y.derivative = 1.0
                tape.computeAdjoints()

        yield Contestant("XAD", xad.Real, xad_math.tanh, xad_run)
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.set_num_threads(1)
        yield Contestant(
            "PyTorch scalars",
            lambda x: torch.tensor(x, dtype=torch.float64, requires_grad=True),
            torch.tanh,
            _backward,
        )


# --- one network, the same loop for all ----------------------------------------------------------

SIZES = (2, 16, 16, 1)
Layers = list[list[tuple[list[Any], Any]]]


def _network(leaf: Callable[[float], Any]) -> tuple[Layers, list[Any]]:
    rng = random.Random(1)
    layers: Layers = [
        [([leaf(rng.uniform(-1, 1)) for _ in range(n)], leaf(rng.uniform(-1, 1))) for _ in range(m)]
        for n, m in itertools.pairwise(SIZES)
    ]
    leaves = [x for layer in layers for weights, bias in layer for x in (*weights, bias)]
    return layers, leaves


def _loss(layers: Layers, tanh: Callable[[Any], Any], samples: list[Any]) -> Any:
    total: Any = 0.0
    for x, y in samples:
        for layer in layers:
            outputs = []
            for weights, bias in layer:
                z = bias
                for w, a in zip(weights, x):  # noqa: B905 (the hot loop)
                    z = z + w * a
                outputs.append(tanh(z))
            x = outputs
        error = x[0] + y
        total = total + error * error
    return total


def _medians(
    turns: Mapping[str, Callable[[], Any]], rounds: int, in_a_row: int = 1
) -> dict[str, float]:
    """Return the median seconds per contestant, with all of them taking turns.

    No contestant pays for another's garbage.  Each pays for its own if there are enough turns
    *in_a_row*, as in training: cycles left behind are collected after a dozen graphs or so.
    """
    clock = time.thread_time
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for turn in turns.values():
        turn()
    for _ in range(rounds):
        for name, turn in turns.items():
            gc.collect()
            start = clock()
            for _ in range(in_a_row):
                turn()
            seconds[name].append((clock() - start) / in_a_row)
    return {name: statistics.median(times) for name, times in seconds.items()}


def _compare(n_samples: int, rounds: int, in_a_row: int) -> None:
    rng = random.Random(2)
    samples = [
        ((rng.uniform(-1, 1), rng.uniform(-1, 1)), rng.choice((-1.0, 1.0)))
        for _ in range(n_samples)
    ]
    turns: dict[str, Callable[[], Any]] = {}
    for c in _contestants():
        layers, leaves = _network(c.leaf)

        def turn(c: Contestant = c, layers: Any = layers, leaves: Any = leaves) -> None:
            c.run(lambda: _loss(layers, c.tanh, samples), leaves)

        turns[c.name] = turn
    layers, _ = _network(cr.Value)
    n = sum(bool(v.op) for v in topological_order([_loss(layers, cr.tanh, samples)]))
    times = _medians(turns, rounds, in_a_row)
    floats, ours = list(times.values())[:2]
    print(f"\nMLP 2-16-16-1, tanh, {n_samples} samples: {n} operations, forward and backward")
    print(f"{'':30}{'ns per operation':>18}{'of floats':>12}{'of chainrule':>14}")
    for name, seconds in times.items():
        print(f"{name:30}{seconds / n * 1e9:18.1f}{seconds / floats:12.2f}{seconds / ours:14.2f}")


# --- what graphs of any size cost ----------------------------------------------------------------


def _chain(n: int) -> Any:
    x = y = cr.Value(1.0)
    for _ in range(n // 2):
        y = y * 0.999 + x
    return y


def _layered(n: int) -> Any:
    weights = [cr.Value(0.1 * i - 0.4) for i in range(8)]
    left, right = weights[:4], weights[4:]
    hidden = [cr.Value(0.3)] * 4
    for _ in range(n // 16):
        hidden = [
            cr.tanh(w * a + v * b)
            for w, v, a, b in zip(left, right, hidden, hidden[1:] + hidden[:1], strict=True)
        ]
    return cr.sum(hidden)


def _scaling(rounds: int, sizes: tuple[int, ...]) -> None:
    print("\nBuild, differentiate and release a graph, collector on: ns per operation")
    for name, build in (("chain", _chain), ("layered", _layered)):

        def turn(n: int, build: Callable[[int], Any] = build) -> None:
            for _ in range(max(1, sizes[-1] // 10 // n)):
                build(n).backward()

        turns = {str(n): (lambda n=n: turn(n)) for n in sizes}
        times = _medians(turns, rounds)
        per = [times[str(n)] / n / max(1, sizes[-1] // 10 // n) * 1e9 for n in sizes]
        cells = "".join(
            f"{n:>12,}: {x:5.1f} ({x / per[0]:.2f})" for n, x in zip(sizes, per, strict=True)
        )
        print(f"{name:10}{cells}")


def _dots(rounds: int) -> None:
    n, repeats = 64, 300
    weights = [cr.Value(0.01 * i) for i in range(n)]
    inputs = [cr.Value(0.02 * i) for i in range(n)]
    data = [x.data for x in inputs]
    bias = cr.Value(0.5)

    def repeat(action: Callable[[], Any]) -> Callable[[], None]:
        def turn() -> None:
            for _ in range(repeats):
                action()

        return turn

    turns = {
        "dot of Values and numbers": repeat(lambda: cr.dot(weights, data, bias).backward()),
        "dot of Values and Values": repeat(lambda: cr.dot(weights, inputs, bias).backward()),
        "sum": repeat(lambda: cr.sum(weights).backward()),
        "mean": repeat(lambda: cr.mean(weights).backward()),
        "logsumexp": repeat(lambda: cr.logsumexp(weights).backward()),
        "the same dot on floats": repeat(lambda: sum([w * x for w, x in zip(data, data)])),  # noqa: B905
    }
    print(f"\n{n} terms, forward and backward: ns per term")
    for name, seconds in _medians(turns, rounds).items():
        print(f"{name:30}{seconds / repeats / n * 1e9:18.1f}")


def _parameters(rounds: int, n: int) -> None:
    values = [cr.Value(0.1 * i) for i in range(n)]
    vector = np.arange(float(n))
    turns = {
        "read_data": lambda: vectors.read_data(values),
        "read_grads": lambda: vectors.read_grads(values),
        "write_data": lambda: vectors.write_data(values, vector),
        "reset_grads": lambda: vectors.reset_grads(values),
    }
    print(f"\nBetween {n:,} Values and one vector: ns per parameter")
    for name, seconds in _medians(turns, rounds).items():
        print(f"{name:30}{seconds / n * 1e9:18.1f}")


def _bytes_per_node(n: int) -> None:
    y = x = cr.Value(1.0)
    gc.collect()
    if native is not None:  # the C core takes memory for 8,192 nodes at once: fill what it has
        for _ in range(64 * native.memory()["empty_slabs"] + 64):
            y = y + x
    tracemalloc.start()
    for _ in range(n):
        y = y + x
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    print(f"\nA binary node takes {taken / n:.1f} bytes ({n:,} of them, traced), and by its own")
    print(f"account {sys.getsizeof(y)}")


def main(rounds: int = 5, quick: bool = False) -> None:
    """Print all tables; with *quick*, for small sizes only, which says little."""
    print(f"chainrule {cr.__version__}, backend {cr.backend}, Python {sys.version.split()[0]}")
    _bytes_per_node(2 * 8_192 if quick else 61 * 8_192)
    for n_samples, in_a_row in ((5, 1),) if quick else ((20, 20), (50, 8)):
        _compare(n_samples, rounds, in_a_row)
    _scaling(max(3, rounds // 3), (2_000, 20_000) if quick else (2_000, 200_000, 1_000_000))
    _dots(rounds)
    _parameters(rounds, 1_000 if quick else 100_000)
