"""``saddle``: the least over x of the greatest over y, each found by gradient descent."""

from . import descent
from .function import Function


def height(x, y):
    return (x[0] * x[0] + x[1] * x[1]) - (y[0] * y[0] + y[1] * y[1])


def saddle_point(start, outer, inner):
    """Return x and y; *outer* is the mode of the derivative by x, *inner* of that by y."""

    def greatest(x):
        y = descent.argmax(lambda y: height(x, y), inner, start)
        return height(x, y)

    x = descent.argmin(greatest, outer, start)
    y = descent.argmax(lambda y: height(x, y), outer, start)
    return [*x, *y]


def in_modes(outer, inner):
    modes = descent.MODES[outer], descent.MODES[inner]
    return Function(
        lambda start: saddle_point(start, *modes),
        lambda given: given["start"],
        lambda found: [float(x) for x in found],
    )


FUNCTIONS = {outer + inner: in_modes(outer, inner) for outer in "fr" for inner in "fr"}
