"""Compiled functions inside models of PyTorch and JAX, by their own gradient checkers."""

import random
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

from .. import families


def network():
    """Return a layer whose result is a list, with its parameters."""
    run, _ = families.mlp(random.Random(3), (3, 4, 2), activation=cr.tanh)
    return lambda x, scale: [scale * v for v in run(x)]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture
def jax():
    return pytest.importorskip("jax", reason="JAX is not installed")


BATCH = np.random.default_rng(0).normal(size=(5, 3)), np.array([0.5, -1.0, 2.0, 1.0, 0.3])


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_pytorchs_gradcheck(torch, backend):
    f = cr.compile(network(), backend=backend).record(*BATCH)
    g = f.torch_function()
    X, s = (torch.tensor(x, requires_grad=True) for x in BATCH)
    theta = torch.tensor([p.data for p in f.parameters], dtype=X.dtype, requires_grad=True)
    call = lambda x, s, t: g(x, s, parameters=t)  # noqa: E731
    assert torch.autograd.gradcheck(call, (X, s, theta))
    if backend == "torch":  # what is printed can be differentiated again
        assert torch.autograd.gradgradcheck(call, (X, s, theta))
    else:
        with pytest.raises(RuntimeError, match="compile it with backend='torch'"):
            torch.autograd.grad(call(X, s, theta).sum(), X, create_graph=True)
    expected = np.stack(cr.compile(f.function)(*BATCH), axis=-1)
    np.testing.assert_allclose(g(X, s).detach().numpy(), expected, rtol=1e-12)
    assert g(X.float(), s.float()).dtype == torch.float32
    assert g(X, s).shape == (5, 2)


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_a_step_of_training_in_a_module_of_pytorch(torch, backend):
    model = nn.MLP(3, [4, 1], activation="tanh", seed=0)
    model(np.zeros(3).tolist())
    f = cr.compile(model, backend=backend).record(np.ones((1, 3)))

    class Mixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(2, 3, dtype=torch.float64)
            self.theta = torch.nn.Parameter(
                torch.tensor([p.data for p in f.parameters], dtype=torch.float64)
            )
            self.ours = f.torch_function()

        def forward(self, x):
            return self.ours(self.first(x), parameters=self.theta)

    torch.manual_seed(0)
    mixed = Mixed()
    x = torch.randn(20, 2, dtype=torch.float64)
    y = x[:, 0] * x[:, 1]
    optimiser = torch.optim.Adam(mixed.parameters(), lr=0.03)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = torch.mean((mixed(x) - y) ** 2)
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in mixed.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("backend", ["native", "jax"])
def test_jaxs_check_grads(jax, backend):
    from jax.test_util import check_grads

    f = cr.compile(network(), backend=backend).record(*BATCH)
    g = f.jax_function()
    with jax.enable_x64(True):
        X, s = (jax.numpy.asarray(x) for x in BATCH)
        theta = jax.numpy.asarray([p.data for p in f.parameters])
        call = lambda x, s, t: g(x, s, parameters=t)  # noqa: E731
        for function in (call, jax.jit(call)):
            check_grads(function, (X, s, theta), order=1, modes=["rev"])
        expected = np.stack(cr.compile(f.function)(*BATCH), axis=-1)
        np.testing.assert_allclose(g(X, s), expected, rtol=1e-12)
        loss = lambda t, x: jax.numpy.sum(g(jax.numpy.tanh(x), s, parameters=t) ** 2)  # noqa: E731
        by_jit = jax.jit(jax.grad(loss, argnums=(0, 1)))(theta, X)
        for a, b in zip(by_jit, jax.grad(loss, argnums=(0, 1))(theta, X), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_a_function_that_jax_is_to_trace_has_its_precision(jax):
    f = cr.compile(lambda x: x * x, backend="jax")
    with pytest.raises(
        TypeError, match=r"array of float32, and the function is compiled for float64"
    ):
        f.jax_function()(jax.numpy.ones(3, dtype="float32"))
    g = cr.compile(lambda x: x * x, backend="jax", dtype="float32").jax_function()
    assert jax.grad(lambda x: g(x).sum())(jax.numpy.ones(3, dtype="float32")).tolist() == [2.0] * 3


def test_jax_keeps_its_settings(jax):
    before = jax.config.jax_enable_x64
    f = cr.compile(lambda x: cr.exp(x), backend="jax")
    assert str(f([1.0]).dtype) == "float64"
    assert jax.config.jax_enable_x64 == before
    assert str(jax.numpy.ones(1).dtype) == ("float64" if before else "float32")


def test_a_result_without_one_shape_is_refused(torch):
    f = cr.compile(lambda x: {"a": x}).torch_function()
    with pytest.raises(TypeError, match="nested list of numbers of one shape"):
        f(torch.ones(2, dtype=torch.float64))
    with pytest.raises(TypeError, match="an argument is list; expected tensors"):
        f([1.0])


def test_the_model_on_the_page_trains_its_parameters_and_the_layer_before_it(torch):
    page = Path(__file__).parents[3] / "docs" / "array-libraries.md"
    (block,) = re.findall(
        r"^    import torch\n(?:^    .*\n)+", page.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    names = {"cr": cr, "np": np}
    exec(textwrap.dedent(block), names)
    theta, hidden = (names[name].detach().numpy() for name in ("theta", "hidden"))
    a = np.tanh(hidden @ theta[:3] + theta[3])
    delta = 2.0 * a * (1.0 - a * a) / len(a)
    by_hand = np.append(delta @ hidden, delta.sum())
    np.testing.assert_allclose(names["theta"].grad.numpy(), by_hand, rtol=1e-12)
    np.testing.assert_allclose(names["hidden"].grad.numpy(), np.outer(delta, theta[:3]), rtol=1e-12)
