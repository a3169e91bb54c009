"""Gradient descent as ``saddle`` and ``particle`` define it, and gradients in two modes.

The functions take a list of numbers or Values, so a search for a minimum can itself be part of
a function that is differentiated.
"""

import math

import chainrule as cr

ENOUGH = 1e-5  # a slope or a step as short as that ends the search


def reverse(f):
    """Return the function that gives the value of *f* and its gradient in reverse mode."""
    return cr.value_and_grad(f)


def forward(f):
    """Return the same function, in forward mode: one sweep with a tangent for each coordinate."""

    def value_and_gradient(x):
        values = []

        def noted(x):
            values.append(f(x))
            return values[-1]

        slopes = cr.jacobian(noted, mode="forward")(x)
        return number(values[-1]), list(slopes)

    return value_and_gradient


MODES = {"f": forward, "r": reverse}


def number(x):
    return x.data if isinstance(x, cr.Value) else x


def length(x):
    return math.hypot(*map(number, x))


def argmin(f, mode, start):
    """Return where *f* is least: downhill, a little faster after every ten steps that help."""
    value_and_gradient = mode(f)
    x, (fx, slope) = start, value_and_gradient(start)
    rate, good = 1e-5, 0
    while length(slope) > ENOUGH:
        if good == 10:
            rate, good = 2.0 * rate, 0
        step = [rate * s for s in slope]
        if length(step) <= ENOUGH:
            break
        new = [a - b for a, b in zip(x, step, strict=True)]
        f_new, slope_new = value_and_gradient(new)
        if number(f_new) < number(fx):
            x, fx, slope, good = new, f_new, slope_new, good + 1
        else:
            rate, good = rate / 2.0, 0
    return x


def argmax(f, mode, start):
    return argmin(lambda x: -f(x), mode, start)
