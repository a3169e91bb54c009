"""Random graphs: gradients against PyTorch in float64, and against the complex step.

A program is a list of steps, each an operation and the numbers of the earlier results it takes.
The same program runs on Values, on tensors and on complex numbers.  Errors are measured against
the sum over all paths of the absolute products of partials: what cancels between paths costs digits
in any arithmetic.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import Value
from chainrule.engine import table as primitives
from chainrule.engine.sweeps import pullback, pushforward

table = primitives.TABLE

SMOOTH = {  # name: (row, how many arguments)
    "+": 2, "-": 2, "*": 2, "neg": 1, "sin": 1, "cos": 1, "tanh": 1, "sigmoid": 1, "softplus": 1,
    "logsigmoid": 1, "silu": 1, "square": 1, "sum": 3, "mean": 3, "dot": 5, "logsumexp": 3,
    "logaddexp": 2,
}  # fmt: skip
KINKED = {"gelu": 1, "relu": 1, "abs": 1, "maximum": 3, "minimum": 2, "leaky_relu": 1, "where": 3}
GUARDED = ("log", "sqrt", "exp", "/", "**", "hypot", "atan2")  # within their domain, whatever comes


@st.composite
def programs(draw, names):
    """Return [(name, positions of arguments)], where positions below 4 are the inputs."""
    steps = []
    for k in range(draw(st.integers(1, 14))):
        name = draw(st.sampled_from(names))
        arity = SMOOTH.get(name) or KINKED.get(name) or 2
        recent = st.integers(max(0, k - 2), k + 3) | st.integers(0, k + 3)
        steps.append((name, draw(st.lists(recent, min_size=arity, max_size=arity))))
    return steps


def run(program, inputs, apply):
    """Run *program* on any kind of number; *apply* maps a name and arguments to a result."""
    results = list(inputs)
    for name, positions in program:
        args = [results[i] for i in positions]
        results.append((guarded if name in GUARDED else apply_plainly)(apply, name, *args))
    return results[-1]


def apply_plainly(apply, name, *args):
    return apply(name, *args)


def guarded(apply, name, a, b):
    """Apply an operation to arguments moved into its domain."""
    positive = apply("sum", apply("*", a, a), 0.5)
    if name in ("log", "sqrt"):
        return apply(name, positive)
    if name == "exp":
        return apply("exp", apply("tanh", a))
    if name == "**":
        return apply("**", positive, apply("sin", b))
    if name == "hypot":
        return apply("hypot", positive, b)
    return apply(name, b, positive)


def on_values(name, *args):
    if name == "where":
        return cr.where(args[0] > args[1], args[1], args[2])
    return table[name](*args)


def on_complex(name, *args):
    return table[name].analytic(*args)


def on_tensors(name, *args):
    import torch

    args = [torch.as_tensor(a, dtype=torch.float64) for a in args]
    functional = torch.nn.functional
    calls = {
        "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
        "/": lambda a, b: a / b, "**": lambda a, b: a**b, "neg": torch.neg,
        "sum": lambda *xs: torch.stack(xs).sum(), "mean": lambda *xs: torch.stack(xs).mean(),
        "dot": lambda v, w, x, y, b: v * x + w * y + b,
        "logsumexp": lambda *xs: torch.logsumexp(torch.stack(xs), 0),
        "maximum": lambda *xs: torch.amax(torch.stack(xs), 0),
        "minimum": lambda *xs: torch.amin(torch.stack(xs), 0),
        "where": lambda a, b, c: torch.where(a > b, b, c),
        "softplus": functional.softplus, "logsigmoid": functional.logsigmoid,
        "silu": functional.silu, "gelu": functional.gelu, "relu": torch.relu,
        "leaky_relu": functional.leaky_relu,
    }  # fmt: skip
    return (calls.get(name) or getattr(torch, name))(*args)


def path_weights(output, inputs):
    """Return for each input the sum over all paths of the absolute products of partials."""
    adjoints = pullback({output: 1.0}, lambda node: [abs(p) for p in node.partials])
    return np.array([adjoints.get(x, 0.0) for x in inputs])


# Away from the kinks, where another convention than ours would not be wrong.
points = st.lists(
    st.floats(-2.0, 2.0).map(lambda x: round(x, 3) + 0.0001234), min_size=4, max_size=4, unique=True
)


@settings(deadline=None, max_examples=150)
@given(programs([*SMOOTH, *GUARDED]), points)
def test_gradients_are_those_of_the_complex_step(program, point):
    inputs = [Value(x) for x in point]
    output = run(program, inputs, on_values)
    assume(isinstance(output, Value) and abs(output.data) < 1e6)
    weights = path_weights(output, inputs)
    assume(weights.max() < 1e8)
    output.backward()
    for i, leaf in enumerate(inputs):
        stepped = [complex(x, 1e-100 * (i == j)) for j, x in enumerate(point)]
        result = complex(run(program, stepped, on_complex))
        assert abs(result.real - output.data) <= 1e-12 * (1 + abs(output.data) + weights.max())
        assert abs(result.imag / 1e-100 - leaf.grad) <= 1e-12 * (1 + weights[i]) * (
            1 + weights.max()
        )


@settings(deadline=None, max_examples=150)
@given(programs([*SMOOTH, *KINKED, *GUARDED]), points)
def test_gradients_and_hessians_are_those_of_pytorch(program, point):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")

    def f(*inputs):
        return run(program, inputs, on_values)

    inputs = [Value(x) for x in point]
    output = f(*inputs)
    assume(isinstance(output, Value) and abs(output.data) < 1e6)
    weights = path_weights(output, inputs)
    assume(weights.max() < 1e6)
    near_kink = any(
        abs(a.data - b.data) < 1e-9
        for node in pullback({output: 1.0})
        if node.op in ("maximum", "minimum", "relu", "abs", "leaky_relu")
        for k, a in enumerate(node.parents)
        for b in [*node.parents[:k], Value(0.0)]
    )
    assume(not near_kink)
    output.backward()

    tensors = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in point]
    theirs = run(program, tensors, on_tensors)
    slack = 1e-11 * (1 + weights.max())
    assert abs(theirs.item() - output.data) <= slack * (1 + abs(output.data))
    if not theirs.requires_grad:
        assert not any(x.grad for x in inputs)
        return
    slopes = torch.autograd.grad(theirs, tensors, create_graph=True, allow_unused=True)
    for leaf, slope, weight in zip(inputs, slopes, weights, strict=True):
        expected = 0.0 if slope is None else slope.item()
        assert abs(leaf.grad - expected) <= slack * (1 + weight)

    hessian = cr.hessian(f)(*point)
    for i, slope in enumerate(slopes):
        if slope is None or not slope.requires_grad:
            row = [None] * 4
        else:
            row = torch.autograd.grad(slope, tensors, retain_graph=True, allow_unused=True)
        for j, entry in enumerate(row):
            expected = 0.0 if entry is None else entry.item()
            scale = (1 + weights.max()) * (1 + np.abs(hessian).max())
            assert abs(hessian[i, j] - expected) <= 1e-11 * scale


@settings(deadline=None, max_examples=100)
@given(programs([*SMOOTH, *KINKED, *GUARDED]), points, points)
def test_forward_and_reverse_mode_are_adjoint_on_any_graph(program, point, direction):
    inputs = [Value(x) for x in point]
    output = run(program, inputs, on_values)
    assume(isinstance(output, Value) and math.isfinite(output.data))
    weights = path_weights(output, inputs)
    assume(weights.max() < 1e12)
    tangent = pushforward([output], dict(zip(inputs, direction, strict=True))).get(output, 0.0)
    adjoints = pullback({output: 1.0})
    pulled = math.fsum(adjoints.get(x, 0.0) * u for x, u in zip(inputs, direction, strict=True))
    assert abs(tangent - pulled) <= 1e-13 * float(weights @ np.abs(direction))
