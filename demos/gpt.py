"""A GPT in scalars: it learns to recite a poem, and the same loops run at four speeds.

A GPT reads the last characters and says how likely each next one is.  Everything in it is a number
with a name: no matrix, no tensor, and every operation makes a :class:`~chainrule.Value`.  The file
reads from top to bottom: the parameters, the network, the loss, a step of training, a sample; then
the same training in pure Python, in C, compiled, and compiled for several threads.  The losses are
the same in all four, so nothing but time was changed.

The text is Jabberwocky, by Lewis Carroll (1871; in the public domain: data/README.md).
"""

import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import chainrule as cr
from chainrule import nn

BLOCK, WIDTH, HEADS = 16, 16, 4  # how far it looks back; numbers per character; kinds of attention
BATCH, RATE = 16, 0.01

# A poem, with an empty page before it: where there is nothing to look back on, it sees new lines.
TEXT = "\n" * BLOCK + (Path(__file__).parent / "data" / "jabberwocky.txt").read_text("ascii")
ALPHABET = sorted(set(TEXT))
TOKENS = [ALPHABET.index(character) for character in TEXT]

Vector = list[Any]  # of Values
Matrix = list[Vector]


def matrix(rows: int, columns: int, rng: random.Random) -> Matrix:
    """Return random Values, small enough that no neuron starts out saturated."""
    return [[cr.Value(rng.gauss(0.0, 0.08)) for _ in range(columns)] for _ in range(rows)]


class Weights:
    """All that is learned: two tables, the four matrices of attention, two of thinking, one out."""

    def __init__(self, seed: int = 0) -> None:
        rng = random.Random(seed)
        self.character = matrix(len(ALPHABET), WIDTH, rng)  # what a character means
        self.position = matrix(BLOCK, WIDTH, rng)  # what it means to stand there
        self.query, self.key, self.value, self.mix = (matrix(WIDTH, WIDTH, rng) for _ in range(4))
        self.wide, self.narrow = matrix(4 * WIDTH, WIDTH, rng), matrix(WIDTH, 4 * WIDTH, rng)
        self.out = matrix(len(ALPHABET), WIDTH, rng)

    def all(self) -> Vector:
        """Return every parameter, in one list."""
        return [v for rows in vars(self).values() for row in rows for v in row]


def linear(rows: Matrix, x: Vector) -> Vector:
    """Return a matrix times a vector: one weighted sum per row."""
    return [cr.dot(row, x) for row in rows]


def plus(x: Vector, y: Vector) -> Vector:
    return [a + b for a, b in zip(x, y, strict=True)]


def normal(x: Vector) -> Vector:
    """Return *x* scaled so that its mean square is 1."""
    scale = 1.0 / cr.sqrt(cr.mean([cr.square(a) for a in x]) + 1e-5)
    return [a * scale for a in x]


def attend(query: Vector, keys: Matrix, values: Matrix) -> Vector:
    """Return the mean of *values*, each weighted by how well its key answers the query."""
    scores = [cr.dot(query, key) / math.sqrt(len(query)) for key in keys]
    weights = cr.softmax(scores)
    return [cr.dot(weights, column) for column in zip(*values, strict=True)]


def gpt(weights: Weights, tokens: Any) -> Matrix:
    """Return for each position the logits of the character that follows."""
    keys, values, logits, size = [], [], [], WIDTH // HEADS
    for token, position in zip(tokens, weights.position, strict=True):
        x = plus(cr.take(weights.character, token), position)
        # Look back: at itself and at all before it, with several pairs of eyes.
        seen = normal(x)
        query = linear(weights.query, seen)
        keys.append(linear(weights.key, seen))
        values.append(linear(weights.value, seen))
        found: Vector = []
        for head in (slice(i, i + size) for i in range(0, WIDTH, size)):
            found += attend(query[head], [k[head] for k in keys], [v[head] for v in values])
        x = plus(x, linear(weights.mix, found))
        # Think about what was found.
        hidden = [cr.relu(z) for z in linear(weights.wide, normal(x))]
        x = plus(x, linear(weights.narrow, hidden))
        logits.append(linear(weights.out, normal(x)))
    return logits


def surprise(weights: Weights, tokens: Any, following: Any) -> Any:
    """Return the mean of -log p(the character that followed): log of the alphabet when guessing."""
    pairs = zip(gpt(weights, tokens), following, strict=True)
    return cr.mean([cr.logsumexp(logits) - cr.take(logits, right) for logits, right in pairs])


Backward = Callable[[Any, Any], float]
"""Adds the gradient of a batch's mean loss to the parameters' ``grad``, and returns the loss."""


def node_by_node(weights: Weights) -> Backward:
    """Return the backward pass of the graph: one node for every operation."""

    def backward(X: Any, Y: Any) -> float:
        loss = cr.mean([surprise(weights, x, y) for x, y in zip(X, Y, strict=True)])
        loss.backward()
        return float(loss.data)

    return backward


def compiled(weights: Weights, threads: int = 1) -> Backward:
    """Return the same as a program: recorded once, lifted to matrix products, run on the batch."""
    return cr.compile(lambda x, y: surprise(weights, x, y), threads=threads).backward


def train(backward: Backward, weights: Weights, steps: int, total: int, seed: int) -> Any:
    """Do *steps* of *total* steps of Adam, whose rate falls to zero; yield the loss before each."""
    optimiser = nn.optim.Adam(weights.all(), nn.optim.cosine(RATE, total=total))
    rng = random.Random(seed)
    for _ in range(steps):
        starts = [rng.randrange(len(TOKENS) - BLOCK) for _ in range(BATCH)]
        pieces = [TOKENS[s : s + BLOCK + 1] for s in starts]
        optimiser.zero_grad()
        yield backward([piece[:-1] for piece in pieces], [piece[1:] for piece in pieces])
        optimiser.step()


def sample(weights: Weights, length: int, seed: int) -> str:
    """Return *length* characters, each drawn from what the network expects after the last ones."""
    rng, tokens = random.Random(seed), TOKENS[:BLOCK]
    with cr.no_grad():
        for _ in range(length):
            chances: Any = cr.softmax(gpt(weights, tokens[-BLOCK:])[-1])
            tokens += rng.choices(range(len(ALPHABET)), [p.data for p in chances])
    return "".join(ALPHABET[token] for token in tokens[BLOCK:])


def measured(steps: int, seed: int, make: Callable[[Weights], Backward]) -> tuple[float, Vector]:
    """Return the seconds of the fastest step but the first, and the losses of the first three."""
    weights, losses, ticks = Weights(seed), [], []
    for loss in train(make(weights), weights, steps, 1000, seed):
        losses.append(loss)
        ticks.append(time.perf_counter())
    return min(b - a for a, b in pairwise(ticks)), losses[:3]


def in_pure_python(seed: int) -> tuple[float, Vector]:
    """Return the same, measured by a process that leaves the C core alone."""
    code = f"gpt.BATCH = {BATCH}; print(*gpt.measured(3, {seed}, gpt.node_by_node))"
    command = [sys.executable, "-W", "ignore", "-c", f"from chainrule.demos import gpt; {code}"]
    off = {**os.environ, "CHAINRULE_NO_EXTENSIONS": "1"}
    seconds, _, losses = subprocess.check_output(command, env=off, text=True).partition(" ")
    return float(seconds), json.loads(losses)


def four_speeds(seed: int) -> None:
    """Print a table: the same three steps of training, and what one of them takes."""
    threads = min(4, os.cpu_count() or 1)
    rows = {"node by node, pure Python": in_pure_python(seed)}
    if cr.backend == "native":
        rows["node by node, in C"] = measured(5, seed, node_by_node)
    rows["compiled"] = measured(40, seed, compiled)
    rows[f"compiled, {threads} threads"] = measured(40, seed, lambda w: compiled(w, threads))
    slowest, expected = rows["node by node, pure Python"]
    print(f"{'':28}{'ms per step':>12}{'times':>8}   the first losses")
    for name, (seconds, losses) in rows.items():
        shown = "  ".join(f"{loss:.12f}" for loss in losses)
        print(f"{name:28}{seconds * 1e3:12.2f}{slowest / seconds:8.0f}   {shown}")
        assert all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(losses, expected, strict=True))


def main(epochs: int = 600, seed: int = 0) -> None:
    """Train on the poem, compiled, and recite; then the same steps of training at four speeds."""
    weights = Weights(seed)
    steps = epochs * math.ceil(len(TOKENS) / (BATCH * BLOCK))
    print(f"{len(weights.all()):,} parameters, {len(TOKENS)} characters of {len(ALPHABET)} kinds")
    for step, loss in enumerate(train(compiled(weights), weights, steps, steps, seed), start=1):
        if step in (1, steps) or step % max(1, steps // 8) == 0:
            print(f"step {step:5}  loss {loss:.3f}  (guessing: {math.log(len(ALPHABET)):.3f})")
    print(f"\n{sample(weights, 300, seed)}\n")
    four_speeds(seed)


if __name__ == "__main__":
    main()
