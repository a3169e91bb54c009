"""``particle``: where to put a charge so that a moving particle crosses the axis at the origin."""

import chainrule as cr

from . import descent
from .function import Function

TIME_STEP = 0.1


def distance(a, b):
    return cr.sqrt(cr.square(a[0] - b[0]) + cr.square(a[1] - b[1]))


def crossing(w, inner):
    """Return the square of the place at which the particle crosses the axis."""
    charges = [(10.0, 10.0 - w), (10.0, 0.0)]

    def potential(x):
        return sum(1.0 / distance(x, charge) for charge in charges)

    value_and_gradient = inner(potential)
    x, speed = [0.0, 8.0], [0.75, 0.0]
    while True:
        new = [a + TIME_STEP * v for a, v in zip(x, speed, strict=True)]
        if descent.number(new[1]) <= 0.0:
            break
        _, slope = value_and_gradient(x)
        x, speed = new, [v - TIME_STEP * s for v, s in zip(speed, slope, strict=True)]
    rest = -x[1] / speed[1]
    return cr.square(x[0] + rest * speed[0])


def control(w, outer, inner):
    (found,) = descent.argmin(lambda w: crossing(w[0], inner), outer, [w])
    return found


def in_modes(outer, inner):
    modes = descent.MODES[outer], descent.MODES[inner]
    return Function(lambda w: control(w, *modes), lambda given: given["w"])


FUNCTIONS = {outer + inner: in_modes(outer, inner) for outer in "fr" for inner in "fr"}
