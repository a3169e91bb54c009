"""The page of a network: it trains as nn does, and says what fits together and what does not."""

from __future__ import annotations

import random

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, viz
from chainrule.demos import explore
from chainrule.viz.explore.network import network_data

from .node import ask, needs_node

ACTIVATIONS = ("tanh", "sigmoid", "relu", "leaky_relu", "softplus", "silu", "gelu")


def close(found, wanted):
    np.testing.assert_allclose(np.asarray(found, float), wanted, rtol=1e-9, atol=1e-13)


def problem(seed):
    """Return a random model, its examples, its targets and its loss."""
    rng = random.Random(seed)
    loss = ("logistic", "cross_entropy", "squared_error", "half_squared_error", "hinge")[seed % 5]
    outputs = rng.randint(2, 4) if loss == "cross_entropy" else rng.randint(1, 3)
    widths = [rng.randint(1, 5) for _ in range(rng.randint(0, 2))]
    last = "linear"
    if loss.endswith("squared_error"):
        last = rng.choice(["linear", "sigmoid", "softmax" if outputs > 1 else "tanh"])
    model = nn.MLP(
        rng.randint(1, 4),
        [*widths, outputs],
        activation=rng.choice(ACTIVATIONS),
        output_activation=last,
        seed=seed,
    )
    inputs = model.thetas[0].shape[1] - 1
    m = rng.randint(1, 5)
    X = [[rng.uniform(-2, 2) for _ in range(inputs)] for _ in range(m)]
    if loss == "cross_entropy":
        soft = rng.random() < 0.5
        Y = [rng.randrange(outputs) for _ in X]
        if soft:
            Y = np.eye(outputs)[Y] * 0.5 + 0.5 / outputs
    elif loss == "hinge":
        Y = [[rng.choice([-1, 1]) for _ in range(outputs)] for _ in X]
    else:
        Y = [[rng.choice([0, 1, 0.25]) for _ in range(outputs)] for _ in X]
    return model, X, Y, loss


def descend(model, X, Y, loss, examples, rate):
    model.zero_grad()
    costs = [getattr(nn.losses, loss)(model(X[i]), Y[i]) for i in examples]
    cr.mean(costs).backward()
    for parameter in model.parameters():
        parameter.data -= rate * parameter.grad


def state(model, X, Y, loss):
    """Return what the page must have: thetas, mean cost, and a, z, delta, cost, gradient."""
    passes = []
    for x, y in zip(X, Y, strict=True):
        model.zero_grad()
        trace = model.trace(x)
        cost = getattr(nn.losses, loss)(trace.output, y)
        cost.backward()
        layers = sorted(trace.z)
        passes.append(
            [
                [[float(getattr(a, "data", a)) for a in trace.a[k]] for k in sorted(trace.a)],
                [[z.data for z in trace.z[layer]] for layer in layers],
                [trace.delta(layer) for layer in layers],
                cost.data,
                [one.theta_grad for one in model.layers],
            ]
        )
    return model.thetas, np.mean([p[3] for p in passes]), passes


@needs_node
def test_it_trains_as_nn_does(tmp_path):
    cases, expected = [], []
    for seed in range(30):
        model, X, Y, loss = problem(seed)
        m, rng = len(X), random.Random(seed)
        case = {"network": network_data(model, X, Y, loss), "acts": []}
        shown = []
        for _ in range(3):
            if rng.random() < 0.5:
                examples = [rng.randrange(m)]
                case["acts"].append(["step", examples, 0.1])
                descend(model, X, Y, loss, examples, 0.1)
            else:
                batch = rng.randint(1, m)
                case["acts"].append(["epoch", batch, 0.05])
                for i in range(0, m, batch):
                    descend(model, X, Y, loss, range(i, min(i + batch, m)), 0.05)
            shown.append(state(model, X, Y, loss))
        cases.append(case)
        expected.append(shown)
    for answer, shown in zip(ask("network.mjs", cases, tmp_path), expected, strict=True):
        for found, (thetas, mean, passes) in zip(answer, shown, strict=True):
            for theta, wanted in zip(found["thetas"], thetas, strict=True):
                close(theta, wanted)
            close(found["mean"], mean)
            for parts, others in zip(found["passes"], passes, strict=True):
                for part, other in zip(parts, others, strict=True):
                    if isinstance(part, list):
                        for one, another in zip(part, other, strict=True):
                            close(one, another)
                    else:
                        close(part, other)


XOR = [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_the_model_stays_as_it_is_and_a_notebook_gets_its_picture():
    model = nn.MLP(2, [2, 1], seed=0)
    before = [theta.copy() for theta in model.thetas]
    page = viz.explore_network(model, XOR, [0, 1, 1, 0], loss=nn.losses.logistic, title="XOR")
    assert page._repr_mimebundle_()["image/svg+xml"].startswith("<svg")
    assert "<title>XOR</title>" in page.html
    assert all((a == b).all() for a, b in zip(before, model.thetas, strict=True))
    assert len(page.html.encode()) < 200_000


@pytest.mark.parametrize(
    ("X", "Y", "loss", "error", "says"),
    [
        (XOR, [0, 1, 1, 0], "entropy", ValueError, "expected one of squared_error"),
        (XOR, [0, 1, 1, 0], cr.exp, ValueError, "expected one of squared_error"),
        (XOR, [0, 1, 1], "logistic", ValueError, "4 examples and 3 targets"),
        ([[1, 2, 3]], [0], "logistic", ValueError, "a row of 2 numbers"),
        ([], [], "logistic", ValueError, "expected at least one example"),
        (XOR, [0, 2, 1, 0], "logistic", ValueError, "target 0 is 2.0"),
        (XOR, [0, 1, 1, 0], "cross_entropy", ValueError, "cross_entropy of one logit"),
        ([[0, float("nan")]], [0], "logistic", ValueError, "finite numbers"),
        (XOR, [0, 1, 1, 0], None, ValueError, "loss is None; expected one of squared_error"),
        ("abc", [0], "logistic", TypeError, "explore_network: X has dtype <U3"),
        ([[1, 2], [3]], [0, 1], "logistic", ValueError, "explore_network: X is ragged"),
        (XOR, [0, 1, 1, None], "logistic", TypeError, "explore_network: Y: NoneType is not"),
    ],
)
def test_what_does_not_fit_is_refused(X, Y, loss, error, says):
    with pytest.raises(error, match=says):
        viz.explore_network(nn.MLP(2, [2, 1], seed=0), X, Y, loss=loss)


def test_a_graph_is_not_a_network():
    with pytest.raises(TypeError, match=r"viz.explore\(value\)"):
        viz.explore_network(cr.Value(1.0), XOR, [0, 1, 1, 0], loss="logistic")


def test_the_demo_writes_pages_that_need_nothing_else(tmp_path, capsys):
    explore.main(out=tmp_path)
    pages = sorted(path.name for path in tmp_path.iterdir())
    assert pages == ["moons.html", "neuron.html"]
    assert "<title>Two moons</title>" in (tmp_path / "moons.html").read_text(encoding="utf-8")
    assert "open them in a browser" in capsys.readouterr().out
