"""Transforms inside compiled functions: what they choose is chosen for every example anew.

Each program is compared with the engine, example by example, on batches with examples on both sides
of every choice and in different orders, so that the first one, which is recorded, is never the
same.  Values and the gradient with respect to the captured leaves, each asked for several times.
"""

import math

import numpy as np
import pytest

import chainrule as cr

V = cr.Value


def engine(function, leaves, rows):
    """Return results and mean gradient from the engine: inputs are Values, as when recorded."""
    results, total = [], np.zeros(len(leaves))
    for row in rows:
        y = function(*[[V(a) for a in x] if isinstance(x, list) else V(x) for x in row])
        outputs = list(y) if isinstance(y, (list, tuple, np.ndarray)) else [y]
        results.append([getattr(v, "data", v) for v in outputs])
        if len(outputs) == 1 and isinstance(outputs[0], V):
            total += [getattr(g, "data", g) for g in cr.gradients(outputs[0], leaves)]
    return np.array(results), total / len(rows)


def agree(function, leaves, rows, tolerance=1e-11):
    """Assert that the compiled *function* says on *rows*, in any order, what the engine does."""
    for turned in (rows, rows[::-1]):  # the first example is the one that is recorded
        compiled = cr.compile(function)
        for batch in (turned, turned[1:] + turned[:1] + turned):
            columns = [list(column) for column in zip(*batch, strict=True)]
            results, gradient = engine(function, leaves, batch)
            for _ in range(2):
                y = compiled(*columns)
                outputs = list(y) if isinstance(y, (list, tuple)) else [y]
                found = np.array(outputs).reshape(results.shape[1], -1).T
                np.testing.assert_allclose(found, results, rtol=tolerance, atol=tolerance)
            if results.shape[1] == 1:
                value, slopes = compiled.value_and_grad(*columns)
                of = dict(zip(compiled.parameters, slopes, strict=True))
                assert set(of) <= set(leaves)
                np.testing.assert_allclose(value, results.mean(), rtol=tolerance, atol=tolerance)
                slopes = [of.get(leaf, 0.0) for leaf in leaves]
                np.testing.assert_allclose(slopes, gradient, rtol=tolerance, atol=tolerance)


W = [V(0.7), V(-1.3), V(0.4)]


def piecewise(x):
    return cr.where(cr.less(x, 0.0), W[0] * x * x, W[1] * x**3)


def within(x):
    """sqrt and log of what is negative, in the branch that is not taken."""
    return cr.where(cr.less(0.0, x), cr.sqrt(x) * W[0] + cr.log(x), W[1] * cr.square(x))


def nested(x):
    inner = cr.where(cr.less(x, 1.0), cr.square(x) * W[0], cr.log(x) + W[2])
    return cr.where(cr.less(x, 0.0), cr.exp(x) * W[1], inner * x)


def of_the_parameter(x):
    return cr.where(cr.less(W[0] * x, 0.1), x * W[1] * x, cr.sin(x * W[0]))


def both_branches_share(x):
    y = cr.sin(x) * W[0]
    return cr.where(cr.less(x, 0.5), y * y, cr.where(cr.less(x, 1.5), y, W[1] * y**3)) + y


def in_a_loop(x):
    y = x
    for _ in range(3):
        y = cr.where(cr.less(y, 0.5), y * y + W[0], 0.5 * y * W[1] - 0.2)
    return y


def clipped(x):
    return cr.square(cr.minimum(cr.maximum(W[0] * x, -0.5), 0.8)) * x


def of_three(x):
    return cr.square(cr.maximum(W[0] * x, cr.square(x) * W[1], W[2]))


def leaky(x):
    return cr.square(cr.leaky_relu(x * W[0], 0.1)) + cr.relu(x) * cr.abs(W[1] * x)


def powers(x):
    return cr.abs(x) ** (W[0] + 2.0) * x + (x * x + 1.0) ** x


def distance(x):
    return cr.hypot(cr.relu(x), cr.relu(x) * W[0]) + cr.hypot(x, W[1]) ** 2


def soft(x):
    return (
        cr.logsumexp([x * W[0], cr.where(cr.less(x, 0.0), -x, x * x), W[2]])
        * cr.softmax([x, W[1]])[0]
    )


def damped_swish(x):
    return cr.gelu(x * W[0]) + cr.gelu(x) * cr.softplus(x * W[1])


SCALARS = [
    piecewise, within, nested, of_the_parameter, both_branches_share, in_a_loop, clipped, of_three,
    leaky, powers, distance, soft, damped_swish,
]  # fmt: skip

TRANSFORMS = {
    "grad": cr.grad,
    "grad of grad": lambda f: cr.grad(cr.grad(f)),
    "jvp": lambda f: lambda x: cr.jvp(f, (x,), (1.5,))[1],
    "jvp along a parameter": lambda f: lambda x: cr.jvp(f, (x,), (W[2],))[1],
    "vjp": lambda f: lambda x: cr.vjp(f, x)[1](2.0)[0],
    "hessian": lambda f: cr.hessian(f),
    "hvp": lambda f: lambda x: cr.hvp(f, (x,), (W[1],))[0],
    "grad of jvp": lambda f: cr.grad(lambda x: cr.jvp(f, (x,), (1.0,))[1]),
    "by the leaf": lambda f: lambda x: cr.gradients(f(x), [W[0]], create_graph=True)[0],
    "squared residual": lambda f: lambda x: cr.square(cr.grad(f)(x) + W[2] * f(x)),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("function", SCALARS)
def test_what_a_transform_chooses_is_chosen_for_every_example(function, transform):
    rows = [(-1.3,), (0.3,), (0.9,), (1.7,)]
    agree(TRANSFORMS[transform](function), W, rows, tolerance=1e-9)


def test_cases_as_they_were_met():
    f = lambda x: cr.where(cr.less(x, 0.0), x * x, x**3)  # noqa: E731
    assert cr.compile(lambda x: cr.grad(f)(x))([1.0, -1.0]).tolist() == [3.0, -2.0]
    assert cr.compile(lambda x: cr.hessian(f)(x))([1.0, -1.0]).tolist() == [6.0, 2.0]
    t = [V(1.0), V(2.0)]
    rows = cr.compile(lambda i: cr.grad(lambda t: cr.square(cr.take(t, i)))(t))([0, 1])
    assert [row.tolist() for row in rows] == [[2.0, 0.0], [0.0, 4.0]]


def test_a_transform_at_a_plain_number_depends_on_the_inputs_all_the_same():
    # Its variable is a number, and the function refers to the input from outside.
    agree(lambda x: cr.grad(lambda t: t * t * x)(3.0), [], [(1.0,), (2.0,), (-3.0,)])
    agree(lambda x: cr.jvp(lambda t: cr.sin(t * x), (2.0,), (1.0,))[1], [], [(1.0,), (2.0,)])
    agree(lambda x: cr.hessian(lambda t: t**3 * x)(2.0), [], [(1.0,), (2.0,)])


def test_tables_rows_and_several_outputs():
    t = [[V(0.1 * i + j) for j in range(2)] for i in range(3)]
    flat = [v for row in t for v in row]

    def gradient_of_a_row(i, x):
        def inner(x):
            return cr.square(cr.dot(cr.take(t, i), [x, x * x]))

        return cr.grad(inner)(x)

    agree(gradient_of_a_row, flat, [(0.0, 1.0), (2.0, -1.0), (1.0, 0.5), (2.0, 0.3)])

    def by_the_table(i, x):
        inner = lambda t: cr.sum([v**3 * x for v in cr.take(t, i)])  # noqa: E731
        return cr.sum([cr.square(g) for row in cr.grad(inner)(t) for g in row])

    agree(by_the_table, flat, [(0.0, 1.0), (2.0, -1.0), (1.0, 0.5), (2.0, 0.3)])

    def rotation(m):
        """A quaternion from a matrix, by cases of its trace: one component."""
        trace = m[0] + m[1] + m[2]
        large = cr.sqrt(trace + 1.0)
        other = cr.sqrt(1.0 + m[0] - m[1] - m[2])
        return cr.where(cr.less(0.0, trace), 0.5 * large, (m[1] - m[2]) / (2.0 * other))

    rows = [([0.5, 0.2, 0.1],), ([0.4, -0.9, -0.6],), ([0.3, 0.9, 0.9],)]
    agree(lambda m: cr.grad(rotation)(m), [], rows)
    agree(lambda m: cr.hessian(rotation)(m).ravel().tolist(), [], rows)
    agree(lambda m: cr.jacobian(lambda m: [rotation(m), cr.maximum(*m)])(m).ravel(), [], rows)


def test_operations_of_ones_own_that_copy_an_argument():
    larger = cr.primitive("larger of two", max, (1.0, 1.0), selects=lambda a, b: 0 if a >= b else 1)
    median = cr.primitive(
        "median of any",
        lambda *xs: sorted(xs)[len(xs) // 2],
        variadic=lambda args, y, linked: [1.0] * len(linked),
        selects=lambda *xs: xs.index(sorted(xs)[len(xs) // 2]),
    )
    functions = [
        lambda x: larger(W[0] * x, W[1] * x),
        lambda x: larger(cr.log(x) * W[0], W[1] * x + larger(x, W[2])),
        lambda x: cr.grad(lambda t: larger(W[0] * t**3, W[1] * t))(x),
        lambda x: cr.hessian(lambda t: larger(W[0] * t**3, W[1] * t * t))(x),
        lambda x: median(W[0] * x, W[1], W[2] * x * x),
        lambda x: cr.grad(lambda t: median(W[0] * t, W[1] * cr.sin(t), W[2] * t * t))(x),
        lambda x: cr.gradients(median(W[0] * x, W[2]), [W[0]], create_graph=True)[0] * W[1],
    ]
    rows = [(-1.3,), (0.3,), (0.9,), (1.7,)]
    for function in functions[:1] + functions[2:]:
        agree(function, W, rows)
    agree(functions[1], W, [(0.3,), (0.9,), (1.7,)])
    p, q = V(0.7), V(0.4)
    compiled = cr.compile(lambda x: larger(p * x, q * x))
    assert compiled.value_and_grad([1.0])[1].tolist() == [1.0, 0.0]


def test_a_tie_inside_a_transform_has_no_derivative_where_it_is_with_an_input():
    x = [(1.0,), (2.0,), (0.5,)]
    compiled = cr.compile(lambda x: cr.grad(lambda w: cr.maximum(w, x))(V(1.0)))
    assert compiled([a for (a,) in x]).tolist() == [0.0, 0.0, 1.0]
    compiled = cr.compile(lambda x: cr.grad(lambda w: cr.maximum(w, W[0], x))(W[0]))
    assert compiled([0.7, 0.1]).tolist() == [0.0, 0.5]


# --- what is made while recording ----------------------------------------------------------------


def test_leaves_made_while_recording_are_constants():
    w = V(0.0, "w")
    cases = [
        lambda x: V(0.0) + cr.square(w * x - 1.0),
        lambda x: w * cr.grad(lambda t: 3 * t)(x),
        lambda x: w * cr.grad(lambda t: t * t)(2.0) + x,
        lambda x: w * cr.tanh(V(0.5)) + cr.softmax([V(1.0), V(2.0), 3.0])[1] * x,
        lambda x: w * sum((V(float(k)) * V(2.0) for k in range(4)), V(0.0)) * x,
        lambda x: w * cr.gradients(x * x, [w], create_graph=True)[0] + w * x,
        lambda x: w * x * V(-0.0) + cr.maximum(V(1.0), V(2.0), w * x),
        lambda x: w * cr.where(V(1.0), V(2.0), x),
        lambda x: w * cr.logsumexp([V(1.0), V(2.0)]) * cr.dot([V(1.0)], [V(3.0)], V(2.0)) + x,
    ]
    for function in cases:
        compiled = cr.compile(function).record([1.0])
        assert compiled.parameters == (w,)
        agree(function, [w], [(1.0,), (2.0,), (-1.0,)])
    assert cr.compile(lambda x: [V(3.0), V(2.0) * V(4.0), x]).record([1.0]).parameters == ()
    y = cr.compile(lambda x: [V(3.0), V(2.0) * V(4.0), x])([1.0, 2.0])
    assert [a.tolist() for a in y] == [[3.0, 3.0], [8.0, 8.0], [1.0, 2.0]]


def test_leaves_made_while_recording_are_constants_in_a_narrow_graph():
    w = V(0.1)

    def newton(x):
        root = V(1.0) * V(2.0) + x
        for _ in range(100):
            root = V(0.5) * (root + x / root) + 0.001 * w
        return root

    compiled = cr.compile(newton).record([2.0])
    assert compiled.stats["way"].startswith("no width")
    assert compiled.parameters == (w,)
    agree(newton, [w], [(2.0,), (3.0,)])
    compiled = cr.compile(newton)
    assert "theta" in compiled.record([2.0]).source
    assert math.isclose(compiled([2.0])[0], newton(V(2.0)).data, rel_tol=1e-12)
