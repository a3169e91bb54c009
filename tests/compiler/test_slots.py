"""Nodes at the edge of a row join the others of it, so that steps do not fall apart."""

import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import groups, tape
from chainrule.engine import table as primitives

SIZE = 40


def rod(u, steps):
    """Heat in a rod whose ends are kept at 0: neighbours of the ends are numbers, not Values."""
    for _ in range(steps):
        ends = [0.0, *u, 0.0]
        u = [b + 0.2 * (c - 2.0 * b + a) for a, b, c in zip(ends, ends[1:], ends[2:], strict=False)]
    return u


def stream(u, steps):
    """A front that moves to the right; what comes in on the left is always the same."""
    for _ in range(steps):
        u = [u[0]] + [b - 0.1 * b * (b - a) for a, b in itertools.pairwise(u)]
    return u


def chain(u, steps):
    """Masses with springs between them: those at the ends have one only."""
    speed = [0.0] * len(u)
    for _ in range(steps):
        force = [2.0 * (b - a - 1.0) for a, b in itertools.pairwise(u)]
        pairs = zip([0.0, *force], [*force, 0.0], strict=True)
        speed = [v + 0.05 * (right - left) for v, (left, right) in zip(speed, pairs, strict=True)]
        u = [x + 0.05 * v for x, v in zip(u, speed, strict=True)]
    return u


def cascade(x, steps):
    """Runge and Kutta's method for coupled equations; the first has a rule of its own."""

    def slope(y):
        return [x[0]] + [xi * before for xi, before in zip(x[1:], y, strict=False)]

    y = [0.0] * len(x)
    for _ in range(steps):
        first = slope(y)
        second = slope([a + 0.05 * b for a, b in zip(y, first, strict=True)])
        y = [a + 0.1 * b for a, b in zip(y, second, strict=True)]
    return y


PROGRAMS = (rod, stream, chain, cascade)


def leaves():
    return [cr.Value(x) for x in np.random.default_rng(3).uniform(0.5, 1.5, SIZE)]


def groups_of(program, steps):
    recorded = tape.flatten(program(leaves(), steps))
    tape.normalise(recorded)
    return len(groups.group(recorded, []).groups)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_step_has_as_many_groups(program):
    few, more, many = (groups_of(program, steps) for steps in (4, 8, 12))
    assert many - more <= more - few
    assert more - few <= 4 * 17


@pytest.mark.parametrize("program", PROGRAMS)
def test_values_and_slopes_are_those_of_the_engine(program):
    x = leaves()
    total = cr.sum([cr.square(u) for u in program(x, 6)])
    total.backward()
    value, slopes = cr.compile(total, wrt=x).value_and_grad()
    assert value == pytest.approx(total.data, rel=1e-13)
    np.testing.assert_allclose(slopes, [leaf.grad for leaf in x], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_batch_has_the_results_of_its_examples(program):
    compiled = cr.compile(lambda x: cr.sum(program(x, 3)))
    batch = np.random.default_rng(5).uniform(0.5, 1.5, (3, SIZE))
    one_by_one = [cr.sum(program([cr.Value(v) for v in row], 3)).data for row in batch]
    np.testing.assert_allclose(compiled(batch), one_by_one, rtol=1e-12)


def test_a_node_is_computed_after_its_operands_and_before_its_users():
    recorded = tape.flatten(cascade(leaves(), 5))
    tape.normalise(recorded)
    starts, inputs = tape.wiring(recorded)
    slot = np.zeros(len(recorded), dtype=int)
    for number, group in enumerate(groups.group(recorded, []).groups, 1):
        for n in group.members.tolist():
            assert (slot[inputs[starts[n] : starts[n + 1]]] < number).all()
        slot[group.members] = number
        computed = inputs[starts[group.members[0]] : starts[group.members[0] + 1]]
        assert (slot[computed[recorded.codes[computed] >= 0]] > 0).all()
    assert (slot[recorded.computed] > 0).all()


def test_what_is_used_in_another_way_does_not_join():
    """A product in the slot of nineteen others, but it goes to exp where they go to tanh."""
    w = [cr.Value(0.1 * k) for k in range(20)]
    row = [cr.tanh(cr.sin(a) * b) for a, b in itertools.pairwise(w)]
    lone = cr.square(cr.exp(cr.cos(w[0]) * w[1]))
    recorded = tape.flatten([cr.sum(row) * lone])
    tape.normalise(recorded)
    found = groups.group(recorded, []).groups
    sizes = sorted(len(g.members) for g in found if g.row is primitives.multiply)
    assert sizes == [1, 1, 19]  # the second is the result
