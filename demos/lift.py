"""Scalars in, matrices out: the compiler turns loops over neurons into the delta algorithm.

A network written with one node per number is easy to inspect and slow to run.  The compiler
records it once, finds the matrix products in its graph and prints them as NumPy: the vectorised
backpropagation of the course notes, derived rather than typed in.
"""

import inspect
import random
import textwrap
import time
from itertools import pairwise
from typing import Any

import chainrule as cr


def network(sizes: list[int], seed: int) -> list[list[list[cr.Value]]]:
    """Return random Values Theta[l][j][k], the bias of every neuron at k = 0."""
    rng = random.Random(seed)
    return [
        [
            [cr.Value(rng.gauss(0.0, 0.5), f"Theta{layer}[{j},{k}]") for k in range(1 + before)]
            for j in range(after)
        ]
        for layer, (before, after) in enumerate(pairwise(sizes), start=1)
    ]


SIZES = [64, 32, 10]
EXAMPLES = 32


def main(seed: int = 0) -> None:
    """Compile the logistic cost of a sigmoid network, print the program, and time both."""
    thetas = network(SIZES, seed)

    def cost(x: list[Any], y: list[Any]) -> Any:
        a = x
        for theta in thetas:
            z = []
            for row in theta:
                total = row[0]
                for weight, unit in zip(row[1:], a, strict=True):
                    total = total + weight * unit
                z.append(total)
            a = [cr.sigmoid(v) for v in z]
        return cr.sum([cr.softplus(v) - t * v for v, t in zip(z, y, strict=True)])

    rng = random.Random(seed + 1)
    X = [[rng.gauss(0.0, 1.0) for _ in range(SIZES[0])] for _ in range(EXAMPLES)]
    Y = [[float(rng.random() < 0.5) for _ in range(SIZES[-1])] for _ in range(EXAMPLES)]

    compiled = cr.compile(cost)
    loss, gradient = compiled.value_and_grad(X, Y)
    stats = compiled.stats
    print("The cost of one example, written number by number:\n")
    print(textwrap.dedent(inspect.getsource(cost)))
    print(f"That is a graph of {stats['nodes']:,} scalar nodes.  For {EXAMPLES} examples and their")
    print(f"gradients, the program made from it needs {stats['gradient']} array operations:\n")
    print(compiled.source)

    start = time.perf_counter()
    mean = cr.mean([cost(x, y) for x, y in zip(X, Y, strict=True)])
    mean.backward()
    eager = time.perf_counter() - start
    repeats = 20
    start = time.perf_counter()
    for _ in range(repeats):
        compiled.value_and_grad(X, Y)
    lifted = (time.perf_counter() - start) / repeats
    farthest = max(
        abs(g - p.grad) for g, p in zip(gradient.tolist(), compiled.parameters, strict=True)
    )
    print(f"cost: {mean.data:.12f} by the graph, {loss:.12f} by the program")
    print(f"gradients: {len(gradient)} of them, {farthest:.1e} apart at most")
    print(
        f"time: {eager * 1e3:.1f} ms by the graph ({cr.backend}), {lifted * 1e3:.2f} ms by the "
        f"program, {eager / lifted:.0f} times faster"
    )


if __name__ == "__main__":
    main()
