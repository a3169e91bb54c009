"""Every eval at a small size: closed forms, and other people's way to a derivative.

Where there is no closed form, the function is written once more on arrays of NumPy, from its
definition, and differentiated by the complex step, which is exact to the last digits.
"""

import itertools
import json
import math

import numpy as np
import pytest
from evals import ba, descent, det, gmm, ht, kmeans, llsq, lse, lstm, ode, particle, saddle

import chainrule as cr


def asked(module, function, given):
    """Return the output, after a journey through JSON."""
    return json.loads(json.dumps(module.FUNCTIONS[function](json.loads(json.dumps(given)))))


def close(x, y, rtol=1e-11):
    np.testing.assert_allclose(np.array(x, dtype=float), y, rtol=rtol, atol=rtol)


def slopes(f, x):
    """Return the derivatives of *f* at a vector by the complex step; the last axis is x's."""
    x = np.array(x, dtype=complex)
    found = [np.imag(f(x + 1e-30j * unit)) / 1e-30 for unit in np.eye(len(x))]
    return np.stack(found, axis=-1)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


# --- closed forms --------------------------------------------------------------------------------


def test_lse(rng):
    x = rng.normal(size=7)
    e = np.exp(x)
    close(asked(lse, "primal", {"x": x.tolist()}), np.log(e.sum()))
    close(asked(lse, "gradient", {"x": x.tolist()}), e / e.sum())
    assert asked(lse, "primal", {"x": [1000.0, 1000.0]}) == pytest.approx(1000.0 + math.log(2.0))


@pytest.mark.parametrize(("n", "m"), [(9, 4), (2, 1), (6, 12)])
def test_llsq(rng, n, m):
    x = rng.normal(size=m)
    t = np.linspace(-1.0, 1.0, n)
    powers = t[:, None] ** np.arange(m)
    residual = np.sign(np.round(t, 15)) - powers @ x
    given = {"x": x.tolist(), "n": n}
    close(asked(llsq, "primal", given), 0.5 * (residual**2).sum())
    close(asked(llsq, "gradient", given), -powers.T @ residual)


@pytest.mark.parametrize("ell", [1, 2, 3, 5])
def test_det(rng, ell):
    A = rng.normal(size=(ell, ell))
    given = {"A": A.ravel().tolist(), "ell": ell}
    close(asked(det, "primal", given), np.linalg.det(A))
    close(asked(det, "gradient", given), (np.linalg.det(A) * np.linalg.inv(A).T).ravel())


def test_ode_where_the_method_is_exact(rng):
    """y_i is a polynomial of degree i + 1, and the method is exact up to the fourth."""
    x = rng.uniform(0.5, 1.5, size=4)
    for steps in (1, 3):
        given = {"x": x.tolist(), "s": steps}
        exact = [np.prod(x[: i + 1]) * 2.0 ** (i + 1) / math.factorial(i + 1) for i in range(4)]
        close(asked(ode, "primal", given), exact)
        close(asked(ode, "gradient", given), exact[3] / x)


def test_ode_where_it_is_not(rng):
    def solved(x):
        def slope(y):
            return x * np.concatenate([[1.0], y[:-1]])

        y, h = np.zeros(6, dtype=complex), 0.5
        for _ in range(4):
            k1 = slope(y)
            k2 = slope(y + h / 2 * k1)
            k3 = slope(y + h / 2 * k2)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(y + h * k3))
        return y

    x = rng.uniform(0.5, 1.5, size=6)
    given = {"x": x.tolist(), "s": 4}
    close(asked(ode, "primal", given), solved(x).real)
    close(asked(ode, "gradient", given), slopes(lambda x: solved(x)[-1], x))


def test_kmeans(rng):
    points = rng.random((40, 3))
    centroids = points[-4:]
    far = ((points[:, None] - centroids) ** 2).sum(axis=2)
    nearest = far.argmin(axis=1)
    means = np.stack([points[nearest == i].mean(axis=0) for i in range(4)])
    given = {"points": points.tolist(), "centroids": centroids.tolist()}
    close(asked(kmeans, "cost", given), far.min(axis=1).sum())
    close(asked(kmeans, "dir", given), centroids - means)


# --- the complex step ----------------------------------------------------------------------------


def test_gmm(rng):
    d, k, n, m, gamma = 3, 2, 6, 2, 0.7
    x = rng.normal(size=(n, d))
    sizes = {"alpha": (k,), "mu": (k, d), "q": (k, d), "l": (k, d * (d - 1) // 2)}
    parts = {name: rng.normal(size=size) for name, size in sizes.items()}
    ends = np.cumsum([part.size for part in parts.values()])[:-1]

    def posterior(theta):
        """Return the logarithm of the densities as they are defined, one factor after another."""
        alpha, mu, q, entries = (
            part.reshape(size)
            for part, size in zip(np.split(theta, ends), sizes.values(), strict=True)
        )
        Q = np.zeros((k, d, d), dtype=complex)
        Q[:, range(d), range(d)] = np.exp(q)
        for column, first in ((0, 0), (1, 2)):
            Q[:, column + 1 :, column] = entries[:, first : first + d - 1 - column]
        roots = np.exp(q.sum(axis=1))  # of the determinants of the precision matrices
        likely = 0.0
        for point in x:
            off = np.einsum("kij,kj->ki", Q, point - mu)
            densities = roots * np.exp(-0.5 * (off**2).sum(axis=1)) / (2 * np.pi) ** (d / 2)
            likely += np.log((np.exp(alpha) / np.exp(alpha).sum() * densities).sum())
        nu = d + m + 1
        log_gamma = d * (d - 1) / 4 * math.log(math.pi)
        log_gamma += sum(math.lgamma((nu - j) / 2) for j in range(d))
        spread = nu * d / 2 * math.log(2.0) - nu * d * math.log(gamma) + log_gamma
        for one, root in zip(Q, roots, strict=True):
            likely += m * np.log(root) - gamma**2 / 2 * (one**2).sum() - spread
        return likely

    given = {"d": d, "k": k, "n": n, "m": m, "gamma": gamma, "x": x.tolist()}
    given |= {name: part.tolist() for name, part in parts.items()}
    theta = np.concatenate([part.ravel() for part in parts.values()])
    close(asked(gmm, "objective", given), posterior(theta + 0j).real)
    found = asked(gmm, "jacobian", given)
    assert {name: np.shape(x) for name, x in found.items()} == sizes
    close(np.concatenate([np.ravel(found[name]) for name in sizes]), slopes(posterior, theta))


def test_lstm(rng):
    layers, bits, characters = 2, 3, 5
    main = rng.normal(size=(2 * layers, 4 * bits))
    extra, state = rng.normal(size=(3, bits)), rng.normal(size=(2 * layers, bits))
    sequence = rng.integers(0, 2, size=(characters, bits)).astype(float)

    def cost(theta):
        weights = theta[: main.size].reshape(layers, 2, 4, bits)
        first, last, bias = theta[main.size :].reshape(3, bits)
        hidden, cells = state[::2].astype(complex), state[1::2].astype(complex)
        total = 0.0
        for now, following in itertools.pairwise(sequence):
            flow = now * first
            for i, (w, b) in enumerate(weights):
                forget, ingate, outgate, change = w * [flow, hidden[i], flow, hidden[i]] + b
                kept = cells[i] / (1 + np.exp(-forget))
                cells[i] = kept + np.tanh(change) / (1 + np.exp(-ingate))
                flow = hidden[i] = np.tanh(cells[i]) / (1 + np.exp(-outgate))
            guess = flow * last + bias
            total += (following * (guess - np.log(np.exp(guess).sum() + 2.0))).sum()
        return -total / (bits * (characters - 1))

    given = {"main_params": main.tolist(), "extra_params": extra.tolist()}
    given |= {"state": state.tolist(), "sequence": sequence.tolist()}
    theta = np.concatenate([main.ravel(), extra.ravel()])
    close(asked(lstm, "objective", given), cost(theta + 0j).real)
    close(asked(lstm, "jacobian", given), slopes(cost, theta))


def rotated(axis, x):
    angle = np.sqrt((axis**2).sum())
    u = axis / angle
    cross = np.array(
        [u[1] * x[2] - u[2] * x[1], u[2] * x[0] - u[0] * x[2], u[0] * x[1] - u[1] * x[0]]
    )
    return x * np.cos(angle) + cross * np.sin(angle) + u * (u * x).sum() * (1 - np.cos(angle))


def test_ba(rng):
    n, m, p = 2, 3, 5
    cam, point, weight, seen = (
        rng.normal(size=11),
        rng.normal(size=3) + 4.0,
        0.4,
        rng.normal(size=2),
    )

    def errors(theta):
        cam, point, weight = theta[:11], theta[11:14], theta[14]
        x, y, z = rotated(cam[:3], point - cam[3:6])
        flat = np.array([x / z, y / z])
        far = (flat**2).sum()
        picture = cam[6] * flat * (1 + cam[9] * far + cam[10] * far**2) + cam[7:9]
        return np.concatenate([weight * (picture - seen), [1 - weight**2]])

    theta = np.concatenate([cam, point, [weight]])
    given = {"n": n, "m": m, "p": p, "cam": cam.tolist(), "x": point.tolist()}
    given |= {"w": weight, "feat": seen.tolist()}
    first, second, third = errors(theta)
    found = asked(ba, "objective", given)
    assert found["reproj_error"].pop("repeated") == found["w_err"].pop("repeated") == p
    close(found["reproj_error"]["elements"], [first, second])
    close(found["w_err"]["element"], third)

    dense = np.zeros((3 * p, 11 * n + 3 * m + p))
    J = slopes(errors, theta)
    for i in range(p):
        weight_column = 11 * n + 3 * m + i
        for row in (2 * i, 2 * i + 1):
            dense[row, 11 * (i % n) : 11 * (i % n) + 11] = J[row - 2 * i, :11]
            start = 11 * n + 3 * (i % m)
            dense[row, start : start + 3] = J[row - 2 * i, 11:14]
            dense[row, weight_column] = J[row - 2 * i, 14]
        dense[2 * p + i, weight_column] = J[2, 14]
    starts, columns, values = ba.jacobian(ba.Problem(given))
    rebuilt = np.zeros_like(dense)
    for row, (start, stop) in enumerate(itertools.pairwise(starts.tolist())):
        rebuilt[row, columns[start:stop]] = values[start:stop]
    close(rebuilt, dense)
    shown = asked(ba, "jacobian", given)
    assert shown["rows"] == [*starts[:30].tolist(), 31 * p]
    assert shown["cols"] == [*columns[:30].tolist(), 11 * n + 3 * m + p - 1]
    assert shown["vals"] == [*values[:30].tolist(), values[-1]]


def hand(rng, on_triangles):
    """Return an input for ``ht``: 22 bones, five fingers, and a few vertices."""
    parents = [-1, 0, *(x for f in range(5) for x in range(1 + 4 * f, 5 + 4 * f))][:22]
    affine = np.zeros((2, 22, 4, 4))
    affine[:, :, :3] = rng.normal(size=(2, 22, 3, 4))
    affine[:, :, 3, 3] = 1.0
    vertices, points = 5, 4
    model = {
        "bone_count": 22,
        "bone_names": [f"bone{i}" for i in range(22)],
        "parents": parents,
        "base_relatives": (0.5 * affine[0] + 0.5 * np.eye(4)).tolist(),
        "inverse_base_absolutes": affine[1].tolist(),
        "base_positions": np.c_[rng.normal(size=(vertices, 3)), np.ones(vertices)].tolist(),
        "weights": rng.random((vertices, 22)).tolist(),
        "triangles": [[0, 1, 2], [2, 3, 4], [4, 0, 3]],
        "is_mirrored": bool(on_triangles),
    }
    data = {
        "model": model,
        "correspondences": rng.integers(0, 3 if on_triangles else vertices, points).tolist(),
        "points": rng.normal(size=(points, 3)).tolist(),
    }
    us = rng.random((points, 2)).tolist() if on_triangles else []
    return {"theta": rng.normal(size=26).tolist(), "us": us, "data": data}


def hand_errors(given, theta, us):
    """Return the errors from matrices of four rows, as the eval defines them."""
    model, data = given["data"]["model"], given["data"]
    pose = np.zeros((25, 3), dtype=complex)
    rest = iter(theta[6:])
    for finger in range(5):
        for joint in (2, 3, 4):
            bone = 4 * finger + joint
            pose[bone, 0] = next(rest)
            if joint == 2:
                pose[bone, 1] = next(rest)
    absolute, positions = [], np.array(model["base_positions"]).T
    total = 0.0
    for bone, parent in enumerate(model["parents"]):
        (sx, sz, sy), (cx, cz, cy) = np.sin(pose[bone]), np.cos(pose[bone])
        Rx = np.array([[1, 0, 0, 0], [0, cx, -sx, 0], [0, sx, cx, 0], [0, 0, 0, 1]])
        Ry = np.array([[cy, 0, sy, 0], [0, 1, 0, 0], [-sy, 0, cy, 0], [0, 0, 0, 1]])
        Rz = np.array([[cz, -sz, 0, 0], [sz, cz, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        own = np.array(model["base_relatives"][bone]) @ Rz @ Ry @ Rx
        absolute.append(own if parent == -1 else absolute[parent] @ own)
        moved = absolute[bone] @ np.array(model["inverse_base_absolutes"][bone]) @ positions
        total = total + moved * np.array(model["weights"])[:, bone]
    skinned = total[:3]
    if model["is_mirrored"]:
        skinned[0] = -skinned[0]
    placed = np.stack([rotated(theta[:3], x) + theta[3:6] for x in skinned.T])
    found = []
    for i, which in enumerate(data["correspondences"]):
        if len(us):
            a, b, c = placed[model["triangles"][which]]
            u, v = us[i]
            placed_point = u * a + v * b + (1 - u - v) * c
        else:
            placed_point = placed[which]
        found.append(np.array(data["points"][i]) - placed_point)
    return np.concatenate(found)


@pytest.mark.parametrize("on_triangles", [True, False])
def test_ht(rng, on_triangles):
    given = hand(rng, on_triangles)
    theta, us = np.array(given["theta"]), np.array(given["us"]).reshape(-1, 2)
    close(asked(ht, "objective", given), hand_errors(given, theta + 0j, us).real)
    expected = slopes(lambda theta: hand_errors(given, theta, us), theta)
    if on_triangles:
        by_us = slopes(lambda us: hand_errors(given, theta, us.reshape(-1, 2)), us.ravel())
        own = np.stack([by_us[3 * i : 3 * i + 3, 2 * i : 2 * i + 2] for i in range(len(us))])
        expected = np.concatenate([own.reshape(-1, 2), expected], axis=1)
    close(asked(ht, "jacobian", given), expected, rtol=1e-10)


# --- searches ------------------------------------------------------------------------------------

MODES = [(outer, inner) for outer in descent.MODES for inner in descent.MODES]


@pytest.mark.parametrize("mode", descent.MODES.values())
def test_a_search_finds_a_minimum(mode):
    x, y = descent.argmin(lambda x: cr.square(x[0] - 3.0) + cr.square(x[1]), mode, [2.0, 2.0])
    assert (x, y) == (pytest.approx(3.0, abs=1e-4), pytest.approx(0.0, abs=1e-4))
    (x,) = descent.argmax(lambda x: -cr.square(x[0] - 3.0), mode, [2.0])
    assert x == pytest.approx(3.0, abs=1e-4)


@pytest.mark.parametrize(("outer", "inner"), MODES)
def test_the_greatest_value_found_by_a_search_is_differentiated(outer, inner):
    """The greatest value of 10 (w y - y^2) is 10 w^2 / 4, and its derivative 5 w."""

    def greatest(w):
        def height(y):
            return 10.0 * (w[0] * y[0] - y[0] * y[0])

        return height(descent.argmax(height, descent.MODES[inner], [0.0]))

    value, (slope,) = descent.MODES[outer](greatest)([3.0])
    assert value == pytest.approx(22.5, abs=1e-6)
    assert slope == pytest.approx(15.0, abs=1e-3)


@pytest.mark.parametrize(("outer", "inner"), MODES)
def test_where_the_particle_crosses_the_axis_is_differentiated(outer, inner):
    def crossing(w):
        return particle.crossing(w[0], descent.MODES[inner])

    value, (slope,) = descent.MODES[outer](crossing)([0.1])
    h = 1e-4
    left, right = (crossing([0.1 + x]) for x in (-h, h))
    assert value == pytest.approx((left + right) / 2, rel=1e-6)
    assert slope == pytest.approx((right - left) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("function", ["fr", "rr"])
def test_a_saddle_is_found(function):
    """The eval's own expectation, in the two modes that take the least time."""
    found = asked(saddle, function, {"start": [1.0, 1.0]})
    assert found == pytest.approx([8.246324826140356e-06] * 4, rel=1e-9)
