"""``ht``: hand tracking, the errors of points on a hand that 22 bones move, and their Jacobian."""

import numpy as np

import chainrule as cr

from .function import Function

IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def product(A, B):
    """Return the product of two transforms of space: rows of three factors and a shift."""
    rows = []
    for row in A:
        columns = zip(*B, strict=True)
        found = [cr.sum([a * b for a, b in zip(row, column, strict=False)]) for column in columns]
        rows.append([*found[:3], found[3] + row[3]])
    return rows


def turned(x, z, y):
    """Return the rotation about the axes by these angles: first x, then y, then z."""
    sx, cx, sy, cy, sz, cz = (f(a) for a in (x, y, z) for f in (cr.sin, cr.cos))
    return [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx, 0.0],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx, 0.0],
        [-sy, cy * sx, cy * cx, 0.0],
    ]


def rotation(axis):
    """Return the rotation about *axis* by its length."""
    angle = cr.sqrt(cr.sum([cr.square(a) for a in axis]))
    x, y, z = (a / angle for a in axis)
    s, c = cr.sin(angle), cr.cos(angle)
    d = 1.0 - c
    return [
        [x * x + (1.0 - x * x) * c, x * y * d - z * s, x * z * d + y * s],
        [x * y * d + z * s, y * y + (1.0 - y * y) * c, y * z * d - x * s],
        [x * z * d - y * s, y * z * d + x * s, z * z + (1.0 - z * z) * c],
    ]


def angles(theta, bones):
    """Return the three angles of every bone; each finger has four, the others have none."""
    found = [[0.0, 0.0, 0.0] for _ in range(bones)]
    rest = iter(theta[6:])
    for finger in range(5):
        first = 2 + 4 * finger
        found[first][:2] = next(rest), next(rest)
        found[first + 1][0] = next(rest)
        found[first + 2][0] = next(rest)
    return found


def transforms(theta, model):
    """Return what each bone does to a point of the hand at rest."""
    parents, relatives = model["parents"], model["base_relatives"]
    absolute = []
    for own, parent, relative in zip(angles(theta, len(parents)), parents, relatives, strict=True):
        moved = product(relative[:3], turned(*own))
        absolute.append(moved if parent == -1 else product(absolute[parent], moved))
    back = model["inverse_base_absolutes"]
    return [product(a, b[:3]) for a, b in zip(absolute, back, strict=True)]


class Problem:
    """The pose as Values; points and the corners of their triangles as arrays, one example each."""

    def __init__(self, given):
        data = given["data"]
        self.model = data["model"]
        self.theta = [cr.Value(x) for x in given["theta"]]
        self.us = np.array(given["us"])
        which = np.array(data["correspondences"])
        if len(self.us):  # a point is on a triangle, else it is a vertex
            which = np.array(self.model["triangles"])[which]
        self.points = np.array(data["points"])
        self.corners = np.array(self.model["base_positions"])[which, :3]
        self.weights = np.array(self.model["weights"])[which]
        self.program = None

    def compiled(self):
        if self.program is None:
            bones = transforms(self.theta, self.model)
            turn, shift = rotation(self.theta[:3]), self.theta[3:6]
            mirror = -1.0 if self.model["is_mirrored"] else 1.0

            def position(corner, weights):
                x, y, z = skinned(bones, corner, weights)
                return [
                    row[0] * (mirror * x) + row[1] * y + row[2] * z + s
                    for row, s in zip(turn, shift, strict=True)
                ]

            def on_vertex(point, corner, weights):
                found = position(corner, weights)
                return [p - x for p, x in zip(point, found, strict=True)]

            def on_triangle(point, corners, weights, u):
                found = map(position, corners, weights)
                a, b = u
                c = 1.0 - a - b
                return [
                    p - (a * x + b * y + c * z) for p, x, y, z in zip(point, *found, strict=True)
                ]

            self.program = cr.compile(on_triangle if len(self.us) else on_vertex)
        return self.program

    def arguments(self):
        given = self.points, self.corners, self.weights
        return (*given, self.us) if len(self.us) else given


def skinned(bones, corner, weights):
    """Return where the bones move a point of the hand, each with its weight."""
    return [
        cr.sum(
            [
                w * (cr.dot(row[:3], corner) + row[3])
                for w, row in zip(weights, [bone[i] for bone in bones], strict=True)
            ]
        )
        for i in range(3)
    ]


def objective(problem):
    return np.stack(problem.compiled()(*problem.arguments()), axis=1).ravel()


def jacobian(problem):
    """Return the derivatives of each error by its own two *us*, if there are any, and the pose.

    Forward mode moves the bones once for each angle, for all points together.
    """
    program, arguments = problem.compiled(), problem.arguments()
    by_pose = program.jacobian(*arguments, wrt=problem.theta, mode="forward")
    if len(problem.us):
        by_us = program.jacobian(*arguments, argnums=3)
        by_pose = np.concatenate([by_us, by_pose], axis=2)
    return by_pose.reshape(-1, by_pose.shape[2])


FUNCTIONS = {
    "objective": Function(objective, Problem, np.ndarray.tolist),
    "jacobian": Function(jacobian, Problem, np.ndarray.tolist),
}
