"""What a transform costs beside the graph built by hand and its backward().

python benchmarks/transforms.py [rounds]

Both are timed in turns in one process, and the best of the rounds count.  The second column is what
the transform has to do at least, written by hand: grad, vjp and jvp beside the graph and one
backward(), jacobian beside one for each result; hvp and hessian beside the graph of
gradients(create_graph=True) and one backward() over it, or one for each number.
"""

import functools
import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr

Function = Callable[..., Any]


def few(x: Any, y: Any) -> Any:
    """Return a function of two numbers and about ten operations."""
    a = x * y + cr.sin(x)
    b = cr.tanh(a) * y
    return cr.exp(b) - a / y + b * b


def three(x: Any, y: Any) -> list[Any]:
    """Return three results of two numbers."""
    return [x * y, cr.sin(x), y * y]


def rosenbrock(x: Any) -> Any:
    """Return the function of that name, of any number of numbers."""
    total = 0.0
    for a, b in itertools.pairwise(x):
        total = total + cr.square(1.0 - a) + 100.0 * cr.square(b - cr.square(a))
    return total


def by_hand(function: Function, x: float, y: float) -> Callable[[], Any]:
    """Return a call that builds the graph of two numbers and runs backward()."""

    def call() -> tuple[float, float]:
        a, b = cr.Value(x), cr.Value(y)
        function(a, b).backward()
        return a.grad, b.grad

    return call


def matrix_by_hand() -> Any:
    """Return the Jacobian of three results of two numbers."""
    a, b = cr.Value(3.0), cr.Value(2.0)
    rows = []
    for result in three(a, b):
        a.grad = b.grad = 0.0
        result.backward()
        rows.append([a.grad, b.grad])
    return np.array(rows)


def square_by_hand() -> float:
    """Differentiate the square of a number."""
    x = cr.Value(3.0)
    square(x).backward()
    return x.grad


def many_by_hand() -> list[float]:
    """Differentiate a function of a hundred numbers."""
    leaves = [cr.Value(x) for x in HUNDRED]
    rosenbrock(leaves).backward()
    return [leaf.grad for leaf in leaves]


def second_by_hand(function: Function, x: float, y: float, sweeps: int) -> Callable[[], Any]:
    """Return a call that builds the graph of the gradient, and sweeps over it so many times."""

    def call() -> tuple[float, float]:
        a, b = cr.Value(x), cr.Value(y)
        slopes = cr.gradients(function(a, b), [a, b], create_graph=True)
        for slope in slopes[:sweeps]:
            slope.backward()
        return a.grad, b.grad

    return call


def square(x: Any) -> Any:
    """Return the smallest function there is to differentiate."""
    return x * x


HUNDRED = [0.01 * i for i in range(100)]
SLOPE, SLOPES = cr.grad(square), cr.grad(few, (0, 1))
SLOPE_OF_MANY, BOTH = cr.grad(rosenbrock), cr.value_and_grad(rosenbrock)
MATRIX, SECOND = cr.jacobian(three), cr.hessian(few)
CASES: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
    ("grad, x * x", functools.partial(SLOPE, 3.0), square_by_hand),
    ("grad, 10 operations", lambda: SLOPES(3.0, 2.0), by_hand(few, 3.0, 2.0)),
    ("grad, 100 numbers", lambda: SLOPE_OF_MANY(HUNDRED), many_by_hand),
    ("value_and_grad, 100 numbers", lambda: BOTH(HUNDRED), many_by_hand),
    ("jvp, 10 operations", lambda: cr.jvp(few, (3.0, 2.0), (1.0, 0.0)), by_hand(few, 3.0, 2.0)),
    ("vjp, 10 operations", lambda: cr.vjp(few, 3.0, 2.0)[1](1.0), by_hand(few, 3.0, 2.0)),
    ("jacobian, 3 results", lambda: MATRIX(3.0, 2.0), matrix_by_hand),
    (
        "hvp, 10 operations",
        lambda: cr.hvp(few, (3.0, 2.0), (1.0, 0.0)),
        second_by_hand(few, 3.0, 2.0, 1),
    ),
    ("hessian, 10 operations", lambda: SECOND(3.0, 2.0), second_by_hand(few, 3.0, 2.0, 2)),
]


def best(calls: list[Callable[[], Any]], rounds: int) -> list[float]:
    """Return the time of each of *calls* in nanoseconds, taken in turns."""
    start = time.thread_time_ns()
    for call in calls:
        call()
    repeats = max(1, int(2e6 * len(calls) // max(1, time.thread_time_ns() - start)))
    found = [np.inf] * len(calls)
    for _ in range(rounds):
        for i, call in enumerate(calls):
            start = time.thread_time_ns()
            for _ in range(repeats):
                call()
            found[i] = min(found[i], (time.thread_time_ns() - start) / repeats)
    return found


def main(rounds: int = 30) -> None:
    """Print a line for each case: both times in microseconds, and their ratio."""
    print(f"transforms beside the graph by hand, backend {cr.backend}, microseconds")
    for name, transform, hand in CASES:
        show(name, *best([transform, hand], rounds))
    x, number = cr.Value(3.0), np.float64(2.0)
    show("np.float64 - Value", *best([lambda: number - x, lambda: 2.0 - x], rounds))


def show(name: str, ours: float, theirs: float) -> None:
    """Print both times, in nanoseconds, as microseconds, and their ratio."""
    print(f"{name:28} {ours / 1e3:9.2f} {theirs / 1e3:9.2f}   ratio {ours / theirs:5.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
