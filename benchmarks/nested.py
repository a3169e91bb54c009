"""What a derivative costs inside a function that is itself being differentiated.

python benchmarks/nested.py [steps]

It differentiates a descent of that many steps (800 by default) with cr.grad; each step calls
cr.grad for a slope.  Twice the steps should be twice the work: each slope costs only what its own
graph costs, whatever the steps before it left behind.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import chainrule as cr


def descent(steps: int) -> Callable[[Any], Any]:
    """Return the end of *steps* steps down the slope of t sin(t), as a function of the start."""

    def end(x: Any) -> Any:
        slope = cr.grad(lambda t: cr.sin(t) * t)
        for _ in range(steps):
            x = x - 0.01 * slope(x)
        return x

    return end


def seconds(steps: int) -> float:
    """Return the processor time of the derivative through that many steps, the best of three."""
    times = []
    for _ in range(3):
        start = time.thread_time()
        cr.grad(descent(steps))(1.0)
        times.append(time.thread_time() - start)
    return min(times)


def main(steps: int = 800) -> None:
    """Print the time through half of *steps* and through all of them, and the ratio."""
    half, whole = seconds(steps // 2), seconds(steps)
    print(f"grad through a descent by grad, backend {cr.backend}, milliseconds")
    print(f"{steps // 2:>8,} steps {half * 1e3:10.1f}")
    print(f"{steps:>8,} steps {whole * 1e3:10.1f}   ratio {whole / half:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
