"""An LSTM learns to remember: the adding problem, by a loop that stays a loop when compiled.

A sequence of random numbers goes by, and two of them are marked.  What is the sum of those two?
The network sees one number at a time, so it has to keep the first until the second comes, however
long that takes.  The task is one of those by which Hochreiter and Schmidhuber introduced the LSTM
(1997).  Always saying 1 has a mean squared error of 1/6.

``cr.scan`` gives the recurrence a form: what is carried from step to step, and what comes in.  When
it is compiled, the step is recorded once and repeated: the program does not grow with the sequence.
Short sequences and longer ones are learned in turns, and at the end come some that are longer than
any before.
"""

import random
import time
from typing import Any

import chainrule as cr
from chainrule import nn

UNITS, BATCH = 8, 32
LENGTHS = 10, 20, 40


class LSTM:
    """Eight units, each with a memory and three gates, and the answer as a sum over them."""

    def __init__(self, rng: random.Random) -> None:
        self.gates = [self.rows(rng, bias) for bias in (0.0, 2.0, 0.0, 0.0)]
        self.out = [cr.Value(rng.gauss(0.0, 0.3)) for _ in range(1 + UNITS)]

    @staticmethod
    def rows(rng: random.Random, bias: float) -> list[list[cr.Value]]:
        """Return for each unit a bias, and a weight for each of the inputs and units."""
        return [
            [cr.Value(bias), *(cr.Value(rng.gauss(0.0, 0.3)) for _ in range(2 + UNITS))]
            for _ in range(UNITS)
        ]

    def parameters(self) -> list[cr.Value]:
        """Return all that is learned."""
        return [*(v for gate in self.gates for row in gate for v in row), *self.out]

    def step(self, state: Any, seen: Any) -> Any:
        """Return the state after one more input: what is known, and what is kept in memory."""
        hidden, memory = state
        inputs = [*seen, *hidden]
        write, keep, read, candidate = (
            [cr.dot(row[1:], inputs, row[0]) for row in gate] for gate in self.gates
        )
        memory = [
            cr.sigmoid(k) * m + cr.sigmoid(w) * cr.tanh(c)
            for k, m, w, c in zip(keep, memory, write, candidate, strict=True)
        ]
        hidden = [cr.sigmoid(r) * cr.tanh(m) for r, m in zip(read, memory, strict=True)]
        return (hidden, memory), None

    def answer(self, sequence: Any) -> Any:
        """Return the sum that the network believes to have seen."""
        nothing = [0.0] * UNITS
        (hidden, _), _ = cr.scan(self.step, (nothing, nothing), sequence)
        return cr.dot(self.out[1:], hidden, self.out[0])


def batch(rng: random.Random, steps: int, count: int) -> tuple[list[Any], list[float]]:
    """Return sequences of (number, mark), with a mark in each half, and their sums."""
    X, Y = [], []
    for _ in range(count):
        numbers = [rng.random() for _ in range(steps)]
        marked = rng.randrange(steps // 2), rng.randrange(steps // 2, steps)
        X.append([[x, float(t in marked)] for t, x in enumerate(numbers)])
        Y.append(sum(numbers[t] for t in marked))
    return X, Y


def main(epochs: int = 1500, seed: int = 0) -> None:
    """Train on up to 40 numbers, then ask about more; compare the program with the graph."""
    rng = random.Random(seed)
    network = LSTM(rng)
    optimiser = nn.optim.Adam(network.parameters(), nn.optim.cosine(0.02, total=epochs))

    def error(sequence: Any, total: Any) -> Any:
        return cr.square(network.answer(sequence) - total)

    compiled = cr.compile(error)
    for epoch in range(1, epochs + 1):
        optimiser.zero_grad()
        steps = LENGTHS[epoch % len(LENGTHS)]
        loss = compiled.backward(*batch(rng, steps, BATCH))
        optimiser.step()
        if epoch in (1, epochs) or epoch % max(1, epochs // 6) == 0:
            print(f"step {epoch:5}  mean squared error {loss:.4f}  (always 1: {1 / 6:.4f})")
    for steps in (*LENGTHS, 80, 160):
        X, Y = batch(rng, steps, 200)
        print(f"{steps:4} numbers: mean squared error {sum(compiled(X, Y)) / len(Y):.4f}")
    X, Y = batch(rng, LENGTHS[-1], BATCH)
    start = time.perf_counter()
    optimiser.zero_grad()
    by_graph = cr.mean([error(x, y) for x, y in zip(X, Y, strict=True)])
    by_graph.backward()
    graph = time.perf_counter() - start
    expected = [v.grad for v in network.parameters()]
    optimiser.zero_grad()
    start = time.perf_counter()
    by_program = compiled.backward(X, Y)
    program = time.perf_counter() - start
    pairs = zip(expected, network.parameters(), strict=True)
    print(f"one batch, node by node: {by_graph.data:.12f} in {graph * 1e3:.1f} ms ({cr.backend})")
    print(f"          as a program: {by_program:.12f} in {program * 1e3:.2f} ms")
    print(f"the gradients are at most {max(abs(g - v.grad) for g, v in pairs):.1e} apart")


if __name__ == "__main__":
    main()
