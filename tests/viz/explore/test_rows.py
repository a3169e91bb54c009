"""The rows in JavaScript give the engine's numbers: made from the table, and held to it in Node."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from chainrule.engine.table import BUILT_IN, TABLE
from chainrule.viz.explore.data import number as as_json

from ... import children
from .node import ask, needs_node, number

TOOL = Path(__file__).parents[3] / "tools" / "javascript.py"
inf, nan = math.inf, math.nan
EDGES = (0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, 710.0, -745.0, 1e-300, 1e300, 5e-324, inf, -inf, nan)


@pytest.mark.skipif(not TOOL.exists(), reason="the tool is in the repository, not in the package")
def test_what_is_committed_is_what_the_table_gives():
    done = children.run(TOOL, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def points(row, rng):
    """Return arguments for *row*: 1,000 from its domain, and the edges."""
    index = row.name in ("take", "softmax", "softmax_rest", "cross_entropy")
    counts = {"dot": [3, 5, 7], "soft_cross_entropy": [4, 6]}.get(row.name, [2, 3, 5])
    if row.arity is not None:
        counts = [row.arity]
    for _ in range(1000):
        n = rng.choice(counts)
        bounds = row.domain if len(row.domain) == n else [*row.domain, (-3.0, 3.0)][:1] * n
        yield from [with_index([rng.uniform(*b) for b in bounds], index, rng)]
    for x in EDGES:
        for n in counts:
            yield with_index([x] * n, index, rng)
            for y in EDGES if n == 2 else (1.0, -inf, nan):
                yield with_index([x] * (n - 1) + [y], index, rng)


def with_index(args, wanted, rng):
    return [float(rng.randrange(len(args) - 1)), *args[1:]] if wanted else args


def linked_of(row, args, rng):
    """Return some positions that may be Values, as the engine links them."""
    candidates = [i for i in range(len(args)) if rng.random() < 0.8] or [len(args) - 1]
    if row.name in ("softmax", "softmax_rest", "cross_entropy"):
        candidates = [i for i in candidates if i > 0] or [1]
    return list(row.linked(args, candidates))


def apart(a, b, term=0.0):
    """Return how many floats of their size, or of the size of *term*, lie between *a* and *b*."""
    if math.isnan(a) or math.isnan(b):
        return 0 if math.isnan(a) and math.isnan(b) else inf
    if a == b:
        return 0 if math.copysign(1, a) == math.copysign(1, b) else 1
    if math.isinf(a) or math.isinf(b):
        return inf
    return round(abs(a - b) / max(map(math.ulp, (a, b, term))))


# These subtract numbers that may be almost equal.  What is left has the last places of its terms,
# in which libraries differ, and so it is held to four units in the last place of such a term.
TERMS = {
    "gelu": 0.25,
    "logaddexp": 0.5,
    "logistic_loss": 0.5,
    "sigmoid_minus": 0.5,
    "soft_cross_entropy": 0.5,
}


@needs_node
def test_every_row_gives_the_engines_values_and_partials(tmp_path):
    rng = random.Random(1)
    cases, expected = [], []
    for name in sorted(BUILT_IN):
        row = TABLE[name]
        for args in points(row, rng):
            linked = linked_of(row, args, rng)
            y = row.scalar(*args)
            cases.append({"row": name, "args": [as_json(x) for x in args], "linked": linked})
            expected.append([y, *row.partial_values(args, y, linked)])
    worst: dict[str, tuple[float, object]] = {}
    for case, found, wanted in zip(cases, ask("rows.mjs", cases, tmp_path), expected, strict=True):
        assert len(found) == len(wanted)
        for k, (a, b) in enumerate(zip(map(number, found), wanted, strict=True)):
            distance = apart(a, b, TERMS.get(case["row"], 0.0))
            if distance > worst.get(case["row"], (0, None))[0]:
                worst[case["row"]] = distance, (k, case["args"], case["linked"], a, b)
    too_far = {name: w for name, w in worst.items() if w[0] > 4}
    assert not too_far, "\n".join(f"{name}: {w}" for name, w in too_far.items())
