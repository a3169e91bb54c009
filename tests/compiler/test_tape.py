"""The compiler's flat arrays: C and the reference agree, and no rewriting changes a value."""

import functools
import math
import operator
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.compiler.tape import CONSTANT, LEAF, depths, flatten, normalise, recorded

from . import families

native_only = pytest.mark.skipif(cr.backend != "native", reason="compares C with the reference")


def same(found, expected):
    """Whether two tapes are equal in everything but the places of the rows."""
    assert [found.row(n) for n in range(len(found))] == [
        expected.row(n) for n in range(len(expected))
    ]
    np.testing.assert_array_equal(found.values, expected.values)
    assert np.signbit(found.values).tolist() == np.signbit(expected.values).tolist()
    assert (np.minimum(found.codes, 0) == np.minimum(expected.codes, 0)).all()
    assert found.starts.tolist() == expected.starts.tolist()
    assert found.inputs.tolist() == expected.inputs.tolist()
    assert found.leaves == expected.leaves
    assert (found.labels, found.outputs) == (expected.labels, expected.outputs)
    assert found.recorded == expected.recorded
    return True


@native_only
@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.integers(1, 60), st.booleans())
def test_c_writes_the_tape_that_the_reference_writes(seed, size, apart):
    root = families.random_graph(seed, size, families.values(random.Random(seed), 4))
    other = root.parents[0] if root.parents else root
    assert same(flatten([root, other, root], apart), recorded([root, other, root], apart))


@native_only
def test_c_writes_the_tape_of_large_families_softmaxes_and_means():
    rng = random.Random(0)
    x = families.values(rng, 5, 4)
    loss = families.attention(rng, 4, 2, 8)(x, families.numbers(rng, 5, 4))
    shares = cr.softmax(x[0])[1] * cr.softmax(x[0])[3] + cr.mean(x[1]) * cr.mean(x[1])
    x[0][0].label = "x"
    odd = [x[0][0] * c for c in (0.0, -0.0, 1.0, math.nan, -math.nan, math.inf, 5e-324)]
    with cr.no_grad():
        loose = x[0][0] + 1.0
    for apart in (False, True):
        roots = [loss, shares, *odd, loose]
        assert same(flatten(roots, apart), recorded(roots, apart))


def test_equal_nodes_have_one_number_and_unequal_ones_have_not():
    x, y = cr.Value(2.0), cr.Value(2.0)
    tape = flatten([x * y, x * y, y * x, x * 2.0, x * -2.0, cr.tanh(x * y), cr.tanh(x * y)])
    a, b, c, d, e, f, g = tape.outputs
    assert (a, f) == (b, g)
    assert len({a, c, d, e, f}) == 5
    assert len(set(flatten([x * y, x * y, x + 1.0, x + 1.0], apart=True).outputs)) == 4
    assert flatten([x]).outputs == [1]
    assert flatten([y, x]).outputs == [2, 1]


def evaluated(tape):
    """Return the value of every number by its terms, where it has some, else by its row."""
    values = tape.values.copy()
    for n, leaf in tape.leaves.items():
        values[n] = leaf.data
    with np.errstate(all="ignore"):
        for n in tape.computed.tolist():
            terms, row = tape.sum_of(n), tape.row(n)
            args = [float(values[x]) for x in tape.operands(n)]
            if terms:
                found = [s * float(values[a]) * float(values[b]) for s, a, b in terms]
                values[n] = functools.reduce(operator.add, found)  # sum() would compensate
            elif row.name == "softmax":
                first = n
                while tape.row(first - 1) is row and tape.operands(first - 1) == tape.operands(n):
                    first -= 1
                values[n] = row.scalar(float(n - first), *args)
            else:
                values[n] = row.scalar(*args)
    return values


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**31), st.integers(1, 60))
def test_the_normal_form_has_the_values_of_the_graph(seed, size):
    root = families.random_graph(seed, size, families.values(random.Random(seed), 4))
    tape = flatten([root])
    normalise(tape)
    assert evaluated(tape)[tape.outputs[0]] == pytest.approx(root.data, rel=1e-12)


def grown(kinds, rng, leaves):
    """Return a sum that each of *kinds* makes longer, at its end or around it."""
    total = leaves[0] * leaves[1]
    for kind in kinds:
        x = rng.choice(leaves)
        if kind == "+":
            total = rng.choice([total + x * x, total + x, 0 + total, x * x + total, x + total])
        elif kind == "-":
            total = rng.choice([total - x, total - x * leaves[2], x - total])
        elif kind == "~":
            total = -total
        elif kind == "s":
            total = rng.choice([cr.sum([total, x, 2.5]), cr.sum([x, total, 2.5])])
        elif kind == "d":
            total = cr.dot(leaves[:2], [x, 3.0], total)
        elif kind == "(":
            total = rng.choice(
                [cr.sum([x, 2.5, total]), total + (x - leaves[3]), (x + leaves[3]) - total]
            )
        else:
            total = cr.tanh(total)
    return total


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from("+-.~sd("), min_size=1, max_size=40), st.integers(0, 2**31))
def test_chains_of_sums_merge_with_their_signs(kinds, seed):
    rng = random.Random(seed)
    total = grown(kinds, rng, [cr.Value(rng.uniform(-1.0, 1.0)) for _ in range(6)])
    tape = flatten([total])
    normalise(tape)
    sums = [n for n in tape.computed.tolist() if tape.sum_of(n)]
    # What is added to a chain is merged into it, unless it stands in parentheses.
    assert len(sums) <= 1 + kinds.count(".") + 3 * kinds.count("(")
    assert evaluated(tape)[tape.outputs[0]] == pytest.approx(total.data, rel=1e-12, abs=1e-13)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**31), st.integers(1, 20))
def test_terms_that_are_not_products_are_added_in_the_order_of_the_engine(seed, size):
    rng = random.Random(seed)
    numbers = [1e16, -1e16, 1.0, -1.0, 0.1, 1e-9, 3e16]
    values = [cr.Value(rng.choice(numbers)) for _ in range(4)]
    for _ in range(size):
        a, b, c = (rng.choice(values[-6:]) for _ in range(3))
        values.append(
            rng.choice([a + b, a - b, -a, 0 + a, 0 + a + b + c, cr.sum([a, b, c]), a - (b - c)])
        )
    root = cr.sum(values[-3:])
    tape = flatten([root])
    normalise(tape)
    assert evaluated(tape)[tape.outputs[0]] == root.data


def test_what_stands_in_parentheses_is_one_term_and_a_neuron_is_one_sum():
    a, b, c, w, x = (cr.Value(0.5 + k) for k in range(5))

    def sums(root):
        tape = flatten([root])
        normalise(tape)
        return sorted(len(tape.sum_of(n)) for n in tape.computed.tolist() if tape.sum_of(n))

    assert sums(a + x + (b - c)) == [2, 2, 2]
    assert sums(a + x - (b - c)) == [2, 2, 2]
    assert sums(a - b + c) == [3]
    assert sums(a - (b - c)) == [3]  # the same as -(b - c) + a
    assert sums(cr.tanh(a) + w * (b - c)) == [2, 2]
    assert sums(-(a - b) + c) == [3]
    assert sums(cr.sum([a, b - c, w])) == [4]
    assert sums(cr.sum([a, w, b - c])) == [2, 3]
    assert sums(a + (w * x + b * c)) == [3]
    assert sums(a + sum([w * x, b * c])) == [3]
    assert sums(cr.dot([w, b], [x, c]) + cr.dot([a], [c]) + b) == [4]
    assert sums(b - cr.dot([w, b], [x, c])) == [3]
    assert sums(sum(cr.tanh(v) - v * w for v in (a, b, c))) == [2, 2, 2, 3]  # all are alike
    assert sums(sum([cr.tanh(v) - v * w for v in (b, c)], start=a)) == [2, 2, 3]
    backwards = a
    for u, v in ((w, x), (b, c)):
        backwards = u * v + backwards
    assert sums(backwards) == [3]


def test_a_sum_of_many_terms_is_one_sum():
    x = cr.Value(0.5)
    total = 0.0
    for _ in range(200_000):
        total = total + x
    tape = flatten([total])
    normalise(tape)
    assert tape.computed.tolist() == tape.outputs
    assert len(tape.sum_of(tape.outputs[0])) == 200_000


def test_depths_count_computed_nodes_and_operands_come_first():
    x, y = cr.Value(1.0), cr.Value(2.0)
    root = cr.tanh(cr.sin(x) * y + cr.sin(y)) * x
    tape = flatten([root])
    normalise(tape)
    found = depths(tape)
    assert found[tape.outputs[0]] == 4
    assert set(found[(tape.codes == LEAF) | (tape.codes == CONSTANT)].tolist()) == {0}


@native_only
def test_longest_paths_refuses_what_is_no_tape():
    from chainrule.engine.native import core as native

    depth = np.zeros(2, dtype=np.int64)
    for starts, inputs in (([0, 1, 2], [0, 0]), ([0, 0, 1], [1]), ([0, 0, 1], [-1]), ([0, 1], [0])):
        with pytest.raises(ValueError, match="inputs before their users"):
            native.longest_paths(np.array(starts), np.array(inputs), depth)
