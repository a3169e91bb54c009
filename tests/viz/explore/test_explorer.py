"""What the page calculates, in Node: after any sequence of actions it has the engine's numbers."""

from __future__ import annotations

import math
import random

import chainrule as cr
from chainrule.viz.explore.data import graph_data
from chainrule.viz.text import short

from .node import ask, needs_node, number
from .sequences import Mirror, Recipe, actions


def same(found, wanted):
    """Return whether two numbers, or nothing twice, are equal up to some last places.

    Descent and long graphs add up what exp and its kin differ by; their cancellations may leave
    less of a sum than that.
    """
    if found is None or wanted is None:
        return found is None and wanted is None
    a, b = number(found), float(wanted)
    return a == b or (a != a and b != b) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


@needs_node
def test_after_any_actions_the_page_has_the_engines_numbers(tmp_path):
    cases, expected = [], []
    for seed in range(60):
        mirror = Mirror(Recipe(seed))
        graph = graph_data(mirror.root)
        acts, shown = [], []
        for action in actions(mirror, random.Random(seed), 12):
            acts.append(action)
            shown += [mirror.shown()] * 2  # also when the state is read back from the address
        cases.append({"graph": graph, "acts": acts})
        expected.append(shown)
    for case, answer, wanted in zip(
        cases, ask("explorer.mjs", cases, tmp_path), expected, strict=True
    ):
        for i, (frame, (values, flows)) in enumerate(zip(answer, wanted, strict=True)):
            where = case["acts"][: i // 2 + 1], frame
            assert all(map(same, frame["values"], values)), (where, values)
            assert all(map(same, frame["flows"], flows)), (where, flows)


@needs_node
def test_a_step_is_told_with_its_numbers(tmp_path):
    w, x = cr.Value(-3.0, "w"), cr.Value(2.0, "x")
    y = cr.tanh(w * x + 6.88)
    y.label = "y"
    once = {"graph": graph_data(y), "acts": [["go", n] for n in range(9)]}
    a = cr.Value(3.0, "a")
    twice = {"graph": graph_data(a * a), "acts": [["go", 2], ["go", 3], ["go", 4]]}
    first, second = ask("explorer.mjs", [once, twice], tmp_path)
    said = [frame["said"] for frame in first[::2]]
    assert said[0] == ""
    assert said[1].startswith("w*x = (-3) × 2 = -6")
    assert said[3].startswith("y = tanh(w*x + 6.88) = tanh(0.88) = 0.7064")
    assert said[4].startswith("y.grad = 1")
    assert said[7].startswith("w.grad += 2 × 0.5010 = 1.002")
    assert "since d (a*b) / d a = b" in said[7]
    assert [frame["said"][:39] for frame in second[::2]] == [
        "(a*a).grad = 1The sweep begins at the re"[:39],
        "a.grad += 3 × 1 = 3The local derivative d (a*a)"[:39],
        "a.grad += 3 × 1: 3 + 3 = 6The local derivative"[:39],
    ]
    assert "is used more than once" in second[4]["said"]


@needs_node
def test_numbers_are_written_as_in_the_pictures(tmp_path):
    rng = random.Random(2)
    numbers = [0.0, -0.0, 1.0, 0.5, 1e-5, -1 / 3, 67000.0, 1e300, 0.99999, 9999.5, 99995.0, 5e-324]
    numbers += [math.inf, -math.inf, math.nan]
    numbers += [rng.uniform(-2, 2) * 10.0 ** rng.randint(-9, 9) for _ in range(500)]
    numbers += [round(rng.uniform(-20000, 20000), rng.randint(0, 4)) for _ in range(500)]
    cases = [x if math.isfinite(x) else repr(x) for x in numbers]
    assert ask("short.mjs", cases, tmp_path) == [short(x) for x in numbers]
