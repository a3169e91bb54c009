"""The optimisers against their published rules, written out per parameter, and against PyTorch."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.nn import optim

CURVATURES = np.array([1.0, 10.0, 0.1, 3.0])
START = np.array([1.0, -2.0, 3.0, 0.0])


def descend(make, steps):
    """Return the path of an optimiser on sum_i c_i/2 (theta_i - 1)^2 + theta_0 theta_1."""
    theta = [cr.Value(v) for v in START]
    optimiser = make(theta)
    path = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = cr.dot(CURVATURES / 2, [(t - 1) ** 2 for t in theta]) + theta[0] * theta[1]
        loss.backward()
        optimiser.step()
        path.append([t.data for t in theta])
    return np.array(path)


def gradient(theta):
    g = CURVATURES * (theta - 1)
    return g + np.array([theta[1], theta[0], 0.0, 0.0])


def sgd_rule(rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    v = np.zeros(4)

    def step(theta, t):
        nonlocal v
        g = gradient(theta) + weight_decay * theta
        v = momentum * v + g
        return theta - rate * (g + momentum * v if nesterov else v)

    return step


def adam_rule(rate, b1=0.9, b2=0.999, eps=1e-8, coupled=0.0, decoupled=0.0):
    m, v = np.zeros(4), np.zeros(4)

    def step(theta, t):
        nonlocal m, v
        g = gradient(theta) + coupled * theta
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        corrected = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        return theta - rate * decoupled * theta - rate * corrected

    return step


RULES = {
    "plain": (lambda p: optim.SGD(p, 0.05), sgd_rule(0.05), ("SGD", {"lr": 0.05})),
    "momentum": (
        lambda p: optim.SGD(p, 0.02, momentum=0.9),
        sgd_rule(0.02, 0.9),
        ("SGD", {"lr": 0.02, "momentum": 0.9}),
    ),
    "nesterov": (
        lambda p: optim.SGD(p, 0.02, momentum=0.8, nesterov=True, weight_decay=0.1),
        sgd_rule(0.02, 0.8, True, 0.1),
        ("SGD", {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ),
    "decay": (
        lambda p: optim.SGD(p, 0.05, weight_decay=0.3),
        sgd_rule(0.05, weight_decay=0.3),
        ("SGD", {"lr": 0.05, "weight_decay": 0.3}),
    ),
    "adam": (lambda p: optim.Adam(p, 0.1), adam_rule(0.1), ("Adam", {"lr": 0.1})),
    "adam with decay": (
        lambda p: optim.Adam(p, 0.05, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.2),
        adam_rule(0.05, 0.8, 0.99, 1e-6, coupled=0.2),
        ("Adam", {"lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.2}),
    ),
    "adamw": (
        lambda p: optim.AdamW(p, 0.1),
        adam_rule(0.1, decoupled=0.01),
        ("AdamW", {"lr": 0.1}),
    ),
    "adamw with decay": (
        lambda p: optim.AdamW(p, 0.05, betas=(0.5, 0.9), weight_decay=0.4),
        adam_rule(0.05, 0.5, 0.9, decoupled=0.4),
        ("AdamW", {"lr": 0.05, "betas": (0.5, 0.9), "weight_decay": 0.4}),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_optimisers_follow_the_published_rules(name):
    make, rule, _ = RULES[name]
    theta = START
    for t, found in enumerate(descend(make, 60), start=1):
        theta = rule(theta, t)
        np.testing.assert_allclose(found, theta, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", RULES)
def test_optimisers_step_as_those_of_pytorch(name):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")
    make, _, (kind, options) = RULES[name]
    ours = make([cr.Value(v) for v in START])
    theta = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    theirs = getattr(torch.optim, kind)([theta], **options)
    # Gradients that do not depend on the path: there is nothing for a last bit to grow in.
    for g in np.random.default_rng(0).normal(size=(500, 4)):
        for parameter, number in zip(ours.parameters, g, strict=True):
            parameter.grad = number
        ours.step()
        theta.grad = torch.tensor(g)
        theirs.step()
        found = [parameter.data for parameter in ours.parameters]
        np.testing.assert_allclose(found, theta.detach().numpy(), rtol=1e-12, atol=1e-13)


def test_training_a_network_step_for_step_with_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")
    rng = np.random.default_rng(0)
    X, classes = rng.normal(size=(8, 3)), rng.integers(0, 3, 8)
    model = nn.MLP(3, [5, 3], activation="tanh", seed=0)
    weights = [torch.tensor(theta.copy(), requires_grad=True) for theta in model.thetas]
    ours = optim.Adam(model.parameters(), lr=0.05)
    theirs = torch.optim.Adam(weights, lr=0.05)
    for _ in range(30):
        ours.zero_grad()
        pairs = zip(X, classes, strict=True)
        cr.mean([nn.losses.cross_entropy(model(x), t) for x, t in pairs]).backward()
        ours.step()
        theirs.zero_grad()
        a = torch.tensor(X)
        z = torch.tanh(a @ weights[0][:, 1:].T + weights[0][:, 0])
        z = z @ weights[1][:, 1:].T + weights[1][:, 0]
        torch.nn.functional.cross_entropy(z, torch.tensor(classes)).backward()
        theirs.step()
    for theta, weight in zip(model.thetas, weights, strict=True):
        np.testing.assert_allclose(theta, weight.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_a_network_learns_moons_like_data():
    model = nn.MLP(2, [8, 1], activation="tanh", seed=0)
    optimiser = optim.AdamW(model.parameters(), lr=0.05)
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 2))
    y = (X[:, 0] ** 2 + X[:, 1] > 0.5).astype(int)
    for _ in range(40):
        optimiser.zero_grad()
        for x, t in zip(X, y, strict=True):
            nn.losses.logistic(model(x), t).backward(1 / len(X))
        optimiser.step()
    with cr.no_grad():
        right = [(model(x).data > 0) == t for x, t in zip(X, y, strict=True)]
    assert sum(right) >= 38


# ---------------------------------------------------------------- state


@pytest.mark.parametrize("name", RULES)
def test_state_goes_over_to_another_optimiser(name):
    make = RULES[name][0]
    theta, other = ([cr.Value(v) for v in START] for _ in range(2))
    first, second = make(theta), make(other)

    def run(optimiser, steps):
        for _ in range(steps):
            for parameter, g in zip(
                optimiser.parameters, gradient(np.array([p.data for p in optimiser.parameters])),
                strict=True,
            ):  # fmt: skip
                parameter.grad = g
            optimiser.step()

    run(first, 5)
    state = first.state_dict()
    for source, target in zip(theta, other, strict=True):
        target.data = source.data
    second.load_state_dict(copy.deepcopy(state))
    run(first, 5)
    run(second, 5)
    assert [p.data for p in theta] == [p.data for p in other]
    assert state["steps"] == 5
    assert first.steps == second.steps == 10


def test_a_state_is_a_copy_in_both_directions():
    first, second = (optim.Adam([cr.Value(1.0)]) for _ in range(2))
    state = first.state_dict()
    second.load_state_dict(state)
    state["v"][0] = 5.0
    assert first.state_dict()["v"][0] == second.state_dict()["v"][0] == 0.0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"m": np.zeros(2)}, ValueError, r"m has shape \(2,\): expected \(4,\)"),
        ({"m": None}, TypeError, "m has dtype object"),
        ({"v": [1, 1, 1, -1]}, ValueError, "v holds -1.0: expected 0.0 or more"),
        ({"v": [1, 1, 1, math.nan]}, ValueError, r"v\[3\] is nan"),
        ({"steps": -1}, ValueError, "steps is -1"),
        ({"steps": 1.0}, TypeError, "steps is 1.0"),
        ({"velocity": np.zeros(4)}, ValueError, "unexpected 'velocity'"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, message):
    optimiser = optim.Adam([cr.Value(v) for v in START])
    for parameter in optimiser.parameters:
        parameter.grad = 1.0
    optimiser.step()
    before = optimiser.state_dict()
    changed = {"steps": 7, "m": np.ones(4), "v": np.ones(4)} | change
    with pytest.raises(error, match=message):
        optimiser.load_state_dict(changed)
    after = optimiser.state_dict()
    assert after["steps"] == before["steps"] == 1
    assert all((after[name] == before[name]).all() for name in ("m", "v"))


def test_a_state_of_another_kind_of_optimiser():
    with pytest.raises(ValueError, match="missing 'm', 'v'; unexpected 'velocity'"):
        optim.Adam([cr.Value(1.0)]).load_state_dict(optim.SGD([cr.Value(1.0)]).state_dict())
    with pytest.raises(TypeError, match="expected a mapping"):
        optim.Adam([cr.Value(1.0)]).load_state_dict([])


# ---------------------------------------------------------------- what may be given


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD(p, -0.1), ValueError, "SGD: lr is -0.1"),
        (lambda p: optim.SGD(p, math.nan), ValueError, "lr is nan"),
        (lambda p: optim.SGD(p, math.inf), ValueError, "lr is inf"),
        (lambda p: optim.SGD(p, "0.1"), TypeError, "lr: str"),
        (lambda p: optim.SGD(p, momentum=1.0), ValueError, "momentum is 1.0: expected 0 or more"),
        (lambda p: optim.SGD(p, momentum=-0.1), ValueError, "momentum is -0.1"),
        (lambda p: optim.SGD(p, nesterov=True), ValueError, "nesterov needs a momentum"),
        (lambda p: optim.SGD(p, weight_decay=-1), ValueError, "weight_decay is -1.0"),
        (lambda p: optim.Adam(p, betas=(0.9, 1.0)), ValueError, r"Adam: betas\[1\] is 1.0"),
        (lambda p: optim.Adam(p, betas=(math.nan, 0.9)), ValueError, r"betas\[0\] is nan"),
        (lambda p: optim.AdamW(p, betas=0.9), ValueError, "AdamW: betas is 0.9; expected two"),
        (lambda p: optim.Adam(p, betas=(0.9,)), ValueError, "expected two numbers"),
        (lambda p: optim.Adam(p, eps=-1e-8), ValueError, "eps is -1e-08"),
        (lambda p: optim.AdamW(p, weight_decay=math.inf), ValueError, "weight_decay is inf"),
        (lambda p: optim.SGD([]), ValueError, "no parameters"),
        (lambda p: optim.SGD([*p, p[0]]), ValueError, "given twice"),
        (lambda p: optim.SGD([p[0] * 2]), ValueError, "computed, not a leaf"),
        (lambda p: optim.SGD([1.0]), TypeError, "1.0 is not a Value"),
        (lambda p: optim.SGD(p[0]), TypeError, r"SGD: the parameters are Value\(.*a list of Val"),
        (lambda p: optim.Adam(None), TypeError, "Adam: the parameters are None: expected a list"),
        (lambda p: optim.SGD(nn.MLP(1, [1])), TypeError, r"pass model.parameters\(\)"),
    ],
)
def test_invalid_optimisers_raise(make, error, message):
    with pytest.raises(error, match=message):
        make([cr.Value(1.0), cr.Value(2.0)])


def test_a_gradient_that_is_not_finite_follows_ieee():
    p = [cr.Value(1.0), cr.Value(1.0)]
    optimiser = optim.SGD(p, 0.1)
    p[0].grad, p[1].grad = math.inf, 1.0
    optimiser.step()
    assert [v.data for v in p] == [-math.inf, 0.9]


def test_zero_grad_resets_and_steps_are_counted():
    p = cr.Value(1.0)
    optimiser = optim.SGD([p], 0.5)
    (p * p).backward()
    optimiser.zero_grad()
    assert not p.has_grad
    optimiser.step()
    assert (p.data, optimiser.steps) == (1.0, 1)


# ---------------------------------------------------------------- schedules


def test_an_optimiser_asks_its_schedule_with_the_steps_taken_so_far():
    asked = []

    def schedule(steps):
        asked.append(steps)
        return 1.0 if steps < 2 else 0.25

    p = cr.Value(0.0)
    optimiser = optim.SGD([p], lr=schedule)
    path = []
    for _ in range(4):
        p.grad = 1.0
        optimiser.step()
        path.append(p.data)
    assert (asked, path) == ([0, 1, 2, 3], [-1.0, -2.0, -2.25, -2.5])
    optimiser.lr = 2.0
    assert optimiser.current_rate() == 2.0


@pytest.mark.parametrize("bad", [-1.0, math.nan, "fast", None])
def test_a_schedule_gone_wrong_changes_nothing(bad):
    p = cr.Value(1.0)
    optimiser = optim.SGD([p], lr=lambda steps: bad, momentum=0.9)
    p.grad = 1.0
    with pytest.raises((ValueError, TypeError), match="SGD: lr"):
        optimiser.step()
    assert (p.data, optimiser.steps) == (1.0, 0)
    assert optimiser.state_dict()["velocity"].tolist() == [0.0]


def test_schedules():
    assert [optim.constant(0.5)(t) for t in (0, 10**9)] == [0.5, 0.5]
    assert [optim.step_decay(1.0, 3, 0.5)(t) for t in range(7)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert optim.step_decay(1.0, 1)(10**6) == 0.0
    at = optim.cosine(0.8, 8, final=0.2)
    assert [at(0), at(4), at(8), at(100)] == pytest.approx([0.8, 0.5, 0.2, 0.2], rel=1e-15)
    assert at(2) == pytest.approx(0.2 + 0.6 * (1 + math.sqrt(0.5)) / 2, rel=1e-15)
    at = optim.warmup(2, optim.step_decay(1.0, 2, 0.5))
    assert [at(t) for t in range(7)] == [0.5, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25]
    assert [optim.warmup(2, 0.4)(t) for t in range(3)] == [0.2, 0.4, 0.4]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.constant(-1), ValueError, "constant: rate is -1.0"),
        (lambda: optim.step_decay(0.1, 0), ValueError, "step_decay: every is 0"),
        (lambda: optim.step_decay(0.1, 1, math.nan), ValueError, "factor is nan"),
        (lambda: optim.cosine(0.1, 2.5), TypeError, "cosine: total is 2.5"),
        (lambda: optim.cosine(0.1, 2, final=-1), ValueError, "final is -1.0"),
        (lambda: optim.warmup(0, 0.1), ValueError, "warmup: over is 0"),
        (lambda: optim.warmup(5, None), TypeError, "NoneType"),
    ],
)
def test_invalid_schedules_raise(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---------------------------------------------------------------- how it is shown and kept


def test_an_optimiser_says_what_it_is():
    optimiser = optim.SGD([cr.Value(1.0)], 0.5)
    optimiser.step()
    assert repr(optimiser) == "<SGD: 1 parameter, lr=0.5, steps=1>"
    scheduled = optim.Adam([cr.Value(1.0), cr.Value(2.0)], optim.constant(0.5))
    assert repr(scheduled) == "<Adam: 2 parameters, lr=a schedule, steps=0>"


@pytest.mark.parametrize(
    "schedule",
    [
        optim.constant(0.1),
        optim.step_decay(0.8, 10, 0.5),
        optim.cosine(1.0, 20, 0.1),
        optim.warmup(4, optim.cosine(0.8, 100)),
    ],
)
def test_an_optimiser_with_a_schedule_goes_on_from_a_pickle(schedule):
    def run(optimiser, steps):
        for _ in range(steps):
            optimiser.zero_grad()
            cr.square(optimiser.parameters[0] - 3.0).backward()
            optimiser.step()
        return optimiser

    straight = run(optim.Adam([cr.Value(1.0)], schedule), 12)
    resumed = run(pickle.loads(pickle.dumps(run(optim.Adam([cr.Value(1.0)], schedule), 5))), 7)
    assert resumed.parameters[0].data == straight.parameters[0].data
    assert [schedule(t) for t in range(30)] == [resumed.lr(t) for t in range(30)]
