"""Bundle adjustment: where the cameras stood, and where the points are, from the pictures alone.

Six cameras look at forty points on a spiral staircase.  What is known is where each point is in
each picture, give or take a pixel; what is wanted is all else, 162 numbers.  The error of one
observation is written in scalars; compiled, it gives those of all 240 and their Jacobian at once,
and a few steps of Levenberg and Marquardt do the rest.

A right answer leaves only the noise in the pictures: the residuals' root mean square comes down to
sigma sqrt(1 - p/n), with n numbers seen and p that can be known from them.  Some can not: nobody
can say from pictures alone where the whole scene stands, how it is turned, and how large it is.
"""

from typing import Any

import numpy as np

import chainrule as cr

CAMERAS, POINTS = 6, 40
SIGMA = 1.0  # the noise, in pixels
FOCAL = 800.0  # the distance of the picture from the lens, in pixels


def cross(a: Any, b: Any) -> list[Any]:
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def turned(q: Any, x: Any) -> list[Any]:
    """Return *x* turned by the quaternion *q*, of any length but 0."""
    scalar, axis = q[0], q[1:]
    once = cross(axis, x)
    twice = cross(axis, once)
    length = cr.sum([cr.square(part) for part in q])
    return [a + 2.0 * (scalar * b + c) / length for a, b, c in zip(x, once, twice, strict=True)]


def error(camera: Any, point: Any, seen: Any) -> list[Any]:
    """Return how far off, in pixels, a point is from where a camera has seen it.

    A *camera* is a quaternion, how the world is turned, and three numbers, how it is then moved.
    """
    x, y, z = (a + b for a, b in zip(turned(camera[:4], point), camera[4:], strict=True))
    return [FOCAL * x / z - seen[0], FOCAL * y / z - seen[1]]


def scene() -> tuple[Any, Any]:
    """Return the cameras, on a half circle around the staircase, and its points."""
    angle = np.linspace(0.0, np.pi, CAMERAS)
    cameras = np.zeros((CAMERAS, 7))
    cameras[:, 0], cameras[:, 2] = np.cos(angle / 2), np.sin(angle / 2)  # turned about y
    cameras[:, 6] = 6.0  # and six metres away
    climb = np.linspace(0.0, 4 * np.pi, POINTS)
    return cameras, np.stack([np.cos(climb), climb / 6 - 1.0, np.sin(climb)], axis=1)


CAMERA, POINT = (x.ravel() for x in np.mgrid[:CAMERAS, :POINTS])  # of each observation


def same_scene(points: Any, truth: Any) -> float:
    """Return how far *points* are from the *truth*, moved, turned and scaled to fit it best."""
    a, b = points - points.mean(axis=0), truth - truth.mean(axis=0)
    left, stretch, right = np.linalg.svd(a.T @ b)
    fitted = a @ (left @ right) * stretch.sum() / np.square(a).sum()
    return float(np.sqrt(np.square(fitted - b).sum(axis=1).mean()))


def main(epochs: int = 25, seed: int = 0) -> None:
    """Take pictures, forget the scene, start from a poor guess, and find it again."""
    rng = np.random.default_rng(seed)
    cameras, points = scene()
    project = cr.compile(lambda camera, point: error(camera, point, [0.0, 0.0]))
    seen = np.stack(project(cameras[CAMERA], points[POINT]), axis=1)
    seen += rng.normal(0.0, SIGMA, seen.shape)

    f = cr.compile(error)
    sizes = cameras.size, points.size
    rows = np.arange(seen.size).reshape(-1, 2, 1)
    columns = 7 * CAMERA[:, None] + np.arange(7), sizes[0] + 3 * POINT[:, None] + np.arange(3)

    def parts(x: Any) -> tuple[Any, Any, Any]:
        return x[: sizes[0]].reshape(-1, 7)[CAMERA], x[sizes[0] :].reshape(-1, 3)[POINT], seen

    def residuals(x: Any) -> Any:
        return np.stack(f(*parts(x)), axis=1).ravel()

    def jacobian(x: Any) -> Any:
        J = np.zeros((seen.size, x.size))
        for block, column in zip(f.jacobian(*parts(x), argnums=(0, 1)), columns, strict=True):
            J[rows, column[:, None, :]] = block
        return J

    x = np.concatenate([cameras.ravel(), points.ravel()])
    x += rng.normal(0.0, 0.15, x.shape)
    damping, r = 1e-2, residuals(x)
    print(f"{x.size} unknowns, {seen.size} numbers seen, noise of {SIGMA} pixels")
    print(f"{'step':>4}{'error in pixels':>18}{'scene off by':>16}")
    for step in range(epochs + 1):
        off = same_scene(x[sizes[0] :].reshape(-1, 3), points)
        rms = np.sqrt(np.mean(np.square(r)))
        print(f"{step:4}{rms:18.6f}{off:16.6f}")
        J = jacobian(x)
        normal, gradient = J.T @ J, J.T @ r
        while True:
            move = np.linalg.solve(normal + damping * np.diag(normal.diagonal() + 1e-9), -gradient)
            new = residuals(x + move)
            if new @ new < r @ r or damping > 1e12:
                break
            damping *= 10.0
        gained = r @ r - new @ new
        if gained <= 1e-9 * (r @ r):
            break
        x, r, damping = x + move, new, damping / 10.0
    known = x.size - 7 - CAMERAS  # nor does a quaternion's length say anything
    expected = SIGMA * np.sqrt(1.0 - known / seen.size)
    print(f"what the noise leaves of a right answer: about {expected:.3f} pixels")


if __name__ == "__main__":
    main()
