"""The recipes of docs/scipy.md, against what SciPy finds without our derivatives."""

import itertools

import numpy as np
import pytest

import chainrule as cr

pytest.importorskip("scipy", reason="these are recipes for SciPy")

from scipy import integrate, optimize


def rosenbrock(x):
    pairs = itertools.pairwise(x)
    return cr.sum([100 * cr.square(b - cr.square(a)) + cr.square(1 - a) for a, b in pairs])


START = np.array([1.3, 0.7, 0.8, 1.9])


def test_the_derivatives_are_those_that_scipy_has_of_its_own():
    f = cr.compile(rosenbrock)
    v = np.array([1.0, -2.0, 0.5, 3.0])
    np.testing.assert_allclose(f([START])[0], optimize.rosen(START))
    np.testing.assert_allclose(f.jacobian([START])[0], optimize.rosen_der(START))
    np.testing.assert_allclose(f.hessian([START])[0], optimize.rosen_hess(START))
    product = f.hvp([START], vector=v)[0]
    assert product.shape == (4,)
    np.testing.assert_allclose(product, optimize.rosen_hess_prod(START, v))


@pytest.mark.parametrize("method", ["BFGS", "Newton-CG", "trust-krylov", "trust-ncg"])
@pytest.mark.parametrize("eager", [True, False])
def test_minimize_takes_gradients_and_products(method, eager):
    f = cr.compile(rosenbrock)
    if eager:
        value = cr.value_and_grad(rosenbrock)

        def product(x, v):
            return cr.hvp(rosenbrock, (x,), (v,))[0]

        found = optimize.minimize(
            value, START, jac=True, hessp=None if method == "BFGS" else product, method=method
        )
    else:
        found = optimize.minimize(
            lambda x: f([x])[0],
            START,
            jac=lambda x: f.jacobian([x])[0],
            hessp=None if method == "BFGS" else lambda x, v: f.hvp([x], vector=v)[0],
            method=method,
        )
    np.testing.assert_allclose(found.x, 1.0, atol=1e-4)


def test_minimize_takes_hessians():
    f = cr.compile(lambda x: rosenbrock(x) + 1e-3 * cr.dot(x, x))
    found = optimize.minimize(
        lambda x: f([x])[0],
        np.full(4, 0.9),
        jac=lambda x: f.jacobian([x])[0],
        hess=lambda x: f.hessian([x])[0],
        method="trust-exact",
    )
    assert np.abs(f.jacobian([found.x])).max() < 1e-4


def broyden(x):
    padded = [0.0, *x, 0.0]
    return [
        (3 - 2 * b) * b - a - 2 * c + 1
        for a, b, c in zip(padded, padded[1:], padded[2:], strict=False)
    ]


def test_least_squares_takes_sparse_and_dense_jacobians():
    g = cr.compile(broyden)
    start = np.full(30, -1.0)
    found = [
        optimize.least_squares(lambda x: np.ravel(g([x])), start, jac=jac, tr_solver=solver)
        for jac, solver in (
            (lambda x: g.jacobian([x], sparse=True)[0], "lsmr"),
            (lambda x: g.jacobian([x])[0], "exact"),
        )
    ]
    np.testing.assert_allclose(found[0].x, found[1].x, atol=1e-6)
    assert abs(found[0].fun).max() < 1e-6


def test_a_heat_equation_takes_a_sparse_jacobian():
    def right(t, u):
        padded = [0.0, *u, 0.0]
        second = [a - 2 * b + c for a, b, c in zip(padded, padded[1:], padded[2:], strict=False)]
        return [150.0 * d - cr.square(b) for d, b in zip(second, u, strict=True)]

    f = cr.compile(right)
    u = np.sin(np.linspace(0.0, np.pi, 14)[1:-1])
    runs = [
        integrate.solve_ivp(
            lambda t, u: np.ravel(f([t], [u])), (0.0, 0.1), u, method="BDF", jac=jac, rtol=1e-7
        )
        for jac in (lambda t, u: f.jacobian([t], [u], argnums=1, sparse=True)[0], None)
    ]
    np.testing.assert_allclose(runs[0].y[:, -1], runs[1].y[:, -1], rtol=1e-5)
    assert runs[0].nfev <= runs[1].nfev
