"""Published worked examples."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.backprop import (
    accumulate,
    cost,
    delta_hidden,
    deltas,
    derivative,
    example_costs,
    forward,
    gradients,
    unroll,
)

from .references import assert_close, close, ng_problem

# ---------------------------------------------------------------- published worked examples


def mazur(thetas, **options):
    return gradients(thetas, [[0.05, 0.10]], [[0.01, 0.99]], loss="half_squared_error", **options)


MAZUR = (
    np.array([[0.35, 0.15, 0.20], [0.35, 0.25, 0.30]]),
    np.array([[0.60, 0.40, 0.45], [0.60, 0.50, 0.55]]),
)


def test_mazur_step_by_step_backpropagation():
    found = mazur(MAZUR)
    z, costs = found.z, example_costs(found.z[1].T, [[0.01], [0.99]], loss="half_squared_error")
    assert z[0][0] == pytest.approx([0.3775, 0.3925], abs=5e-10)
    assert found.a[1][0] == pytest.approx([0.593269992, 0.596884378], abs=6e-10)
    assert z[1][0] == pytest.approx([1.105905967, 1.224921404], abs=6e-10)
    assert found.a[2][0] == pytest.approx([0.751365070, 0.772928465], abs=6e-10)
    assert costs == pytest.approx([0.274811083, 0.023560026], abs=6e-10)
    assert found.cost == pytest.approx(0.298371109, abs=6e-10)
    assert found.delta[0][0] == pytest.approx([0.008771355, 0.009954255], abs=6e-10)
    assert found.delta[1][0] == pytest.approx([0.138498562, -0.038098237], abs=6e-10)
    weights = np.concatenate([D[:, 1:].ravel() for D in found.D])
    published = """.000438567734 .000877135469 .000497712735 .000995425471
                   .082167040564 .082667627848 -.022602540477 -.022740242216"""
    assert weights == pytest.approx([float(w) for w in published.split()], abs=6e-13)
    # One bias is shared by the units of a layer, so its gradient is the sum of theirs.
    shared = [D[:, 0].sum() for D in found.D]
    assert shared == pytest.approx([0.018725609395, 0.100400325112], abs=6e-13)


def mazur_step(D):
    """One step of eta = 0.5 that leaves the biases where they are."""
    return [theta - 0.5 * d * [0, 1, 1] for theta, d in zip(MAZUR, D, strict=True)]


def test_mazur_after_one_step():
    stepped = mazur_step(mazur(MAZUR).D)
    weights = np.concatenate([theta[:, 1:].ravel() for theta in stepped])
    published = """.149780716 .19956143 .24975114 .29950229
                   .35891648 .408666186 .511301270 .561370121"""
    assert weights == pytest.approx([float(w) for w in published.split()], abs=6e-9)
    assert mazur(stepped).cost == close(0.29102777369359933)


def test_mazur_published_error_comes_from_weights_updated_too_soon():
    found = mazur(MAZUR)
    updated = mazur_step(found.D)[1]
    late = delta_hidden(updated, found.delta[1], found.z[0])
    stepped = mazur_step([accumulate(late, found.a[0]), found.D[1]])
    assert mazur(stepped).cost == pytest.approx(0.291027924, abs=6e-10)


NG = {
    0.0: (
        7.406969856065749,
        """0.766138 0.979897 -0.027540 -0.035844 -0.024929 -0.053862
           0.883417 0.568762 0.584668 0.598139 0.459314 0.344618
           0.256313 0.311885 0.478337 0.368920 0.259771 0.322331""",
        6e-7,
    ),
    3.0: (
        16.45696985606575,
        """0.76614 0.97990 0.27246 0.36416 0.47507 0.54614
           0.88342 0.56876 0.58467 0.59814 1.55931 1.54462
           1.55631 1.71189 1.97834 1.96892 1.95977 2.12233""",
        6e-6,
    ),
}


@pytest.mark.parametrize("lam", NG)
def test_ng_cost_and_unrolled_gradient(lam):
    J, published, abs_tol = NG[lam]
    found = gradients(*ng_problem(), lam)
    assert found.cost == close(J)
    expected = [float(number) for number in published.split()]
    assert unroll(found.D, order="F") == pytest.approx(expected, abs=abs_tol)


def test_ng_cost_at_lambda_4_and_deltas():
    assert cost(*ng_problem(), 4) == close(19.473636522732416)
    expected = [
        [0.7939316618, 1.0528075567],
        [0.7367358131, 0.9512816635],
        [0.767747634, 0.935601378],
    ]
    assert deltas(*ng_problem())[0] == pytest.approx(np.array(expected), abs=6e-11)


def test_ng_sigmoid_gradient_table():
    found = derivative("sigmoid", [-1, -0.5, 0, 0.5, 1])
    assert found == pytest.approx([0.196612, 0.235004, 0.25, 0.235004, 0.196612], abs=5e-7)


def test_nielsen_single_neuron():
    found = gradients([[[0.9, 0.6]]], [[1.0]], [[0.0]], loss="half_squared_error")
    assert round(found.a[1][0, 0], 2) == 0.82
    assert found.D[0][0] == pytest.approx([0.121938, 0.121938], abs=6e-7)


@pytest.mark.parametrize(
    ("name", "theta", "x", "a", "dw", "dx"),
    [
        (
            "sigmoid",
            [[-3.0, 2.0, -3.0]],
            [[-1.0, -2.0]],
            0.7310585786300049,
            [0.19661193324148185, -0.19661193324148185, -0.3932238664829637],
            [0.3932238664829637, -0.5898357997244456],
        ),
        (
            "tanh",
            [[6.8813735870195432, -3.0, 1.0]],
            [[2.0, 0.0]],
            0.7071067811865476,
            [0.5, 1.0, 0.0],
            [-1.5, 0.5],
        ),
    ],
    ids=["CS231n", "micrograd"],
)
def test_published_single_neurons(name, theta, x, a, dw, dx):
    # Here the output itself is differentiated, so delta is g'(z).
    passed = forward([theta], x, output_activation=name)
    delta = derivative(name, passed.z[0])
    assert passed.a[1][0, 0] == close(a)
    assert accumulate(delta, x)[0] == pytest.approx(dw, rel=1e-12)
    assert delta_hidden(theta, delta, x, "linear")[0] == pytest.approx(dx, rel=1e-12)


def test_small_published_linear_networks():
    options = {"output_activation": "linear"}
    found = gradients([[[8.0, 2.0]]], [[-2.0]], [[2.0]], loss="half_squared_error", **options)
    assert (found.cost, found.D[0].tolist()) == (2.0, [[2.0, -4.0]])

    W = [[0.0, 0.1, 0.5], [0.0, -0.3, 0.8]]
    found = gradients([W], [[0.2, 0.4]], [[0.0, 0.0]], loss="squared_error", **options)
    assert found.cost == close(0.116)
    assert_close([found.D[0][:, 1:]], [[[0.088, 0.176], [0.104, 0.208]]])
    dx = delta_hidden(W, found.delta[0], [[0.2, 0.4]], "linear")
    assert_close([dx], [[[-0.112, 0.636]]])
