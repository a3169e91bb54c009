"""``ba``: bundle adjustment, the errors of observed points, and their sparse Jacobian."""

import numpy as np

import chainrule as cr

from .function import Function

CAMERA, POINT = 11, 3  # numbers in a camera and in a point
WIDTH = CAMERA + POINT + 1  # an error depends on these and on a weight


def cross(a, b):
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def rotated(axis, x):
    """Return *x* turned about *axis* by its length, after Rodrigues; the length is not 0."""
    angle = cr.sqrt(cr.sum([cr.square(r) for r in axis]))
    unit = [r / angle for r in axis]
    along = cr.sum([u * a for u, a in zip(unit, x, strict=True)]) * (1.0 - cr.cos(angle))
    turned = zip(x, cross(unit, x), unit, strict=True)
    return [a * cr.cos(angle) + c * cr.sin(angle) + u * along for a, c, u in turned]


def errors(camera, point, weight, seen):
    """Return the weighted error of one observation in the picture, and the error of its weight."""
    axis, centre, (focal, u0, v0, k1, k2) = camera[:3], camera[3:6], camera[6:]
    x, y, z = rotated(axis, [a - c for a, c in zip(point, centre, strict=True)])
    u, v = x / z, y / z
    far = u * u + v * v
    scale = focal * (1.0 + k1 * far + k2 * far * far)
    return [
        weight * (u * scale + u0 - seen[0]),
        weight * (v * scale + v0 - seen[1]),
        1.0 - weight * weight,
    ]


class Problem:
    """All observations as arrays, one example each; room for what each run writes anew."""

    def __init__(self, given):
        self.n, self.m, self.p = n, m, p = given["n"], given["m"], given["p"]
        self.cameras = np.tile(given["cam"], (n, 1))
        self.points = np.tile(given["x"], (m, 1))
        self.weights = np.full(p, given["w"])
        self.seen = np.tile(given["feat"], (p, 1))
        self.camera, self.point = np.arange(p) % n, np.arange(p) % m
        self.errors = cr.compile(errors)
        self.seen_by, self.seen_at = np.empty((p, CAMERA)), np.empty((p, POINT))
        self.entries = np.empty(2 * p * WIDTH + p)
        self.columns = np.empty(len(self.entries), dtype=np.int32)

    def observations(self):
        self.cameras.take(self.camera, axis=0, out=self.seen_by, mode="clip")
        self.points.take(self.point, axis=0, out=self.seen_at, mode="clip")
        return self.seen_by, self.seen_at, self.weights, self.seen


def objective(problem):
    first, second, weight = problem.errors(*problem.observations())
    return np.stack([first, second], axis=1).ravel(), weight


def jacobian(problem):
    """Return the sparse matrix in compressed rows: where rows start, columns, numbers."""
    n, m, p = problem.n, problem.m, problem.p
    by_camera, by_point, by_weight = problem.errors.jacobian(
        *problem.observations(), argnums=[0, 1, 2]
    )
    values, columns = problem.entries, problem.columns
    for numbers, camera, point, weight in (
        (values, by_camera[:, :2], by_point[:, :2], by_weight[:, :2]),
        (
            columns,
            CAMERA * problem.camera[:, None, None] + np.arange(CAMERA),
            CAMERA * n + POINT * problem.point[:, None, None] + np.arange(POINT),
            CAMERA * n + POINT * m + np.arange(p)[:, None],
        ),
    ):
        blocks = numbers[: 2 * p * WIDTH].reshape(p, 2, WIDTH)
        blocks[..., :CAMERA] = camera
        blocks[..., CAMERA:-1] = point
        blocks[..., -1] = weight
    values[-p:] = by_weight[:, 2]
    columns[-p:] = CAMERA * n + POINT * m + np.arange(p)
    starts = np.arange(2 * p + 1) * WIDTH
    return np.concatenate([starts, starts[-1] + 1 + np.arange(p)]), columns, values


def present_errors(found):
    in_picture, of_weights = found
    return {
        "reproj_error": {"elements": in_picture[:2].tolist(), "repeated": len(in_picture) // 2},
        "w_err": {"element": float(of_weights[0]), "repeated": len(of_weights)},
    }


def present_jacobian(found):
    parts = zip(("rows", "cols", "vals"), found, strict=True)
    return {name: [*x[: 2 * WIDTH].tolist(), x[-1].item()] for name, x in parts}


FUNCTIONS = {
    "objective": Function(objective, Problem, present_errors),
    "jacobian": Function(jacobian, Problem, present_jacobian),
}
