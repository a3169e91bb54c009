"""``ode``: an ordinary differential equation, solved with *s* steps of Runge and Kutta's method."""

import numpy as np

import chainrule as cr

from .function import Function


def slope(x, y):
    """Return y': x_0 for the first component, x_i y_(i-1) for the others."""
    return [x[0]] + [xi * before for xi, before in zip(x[1:], y, strict=False)]


def moved(y, h, k):
    return [a + h * b for a, b in zip(y, k, strict=True)]


def solution(x, steps):
    h = 2.0 / steps
    y = [0.0] * len(x)
    for _ in range(steps):
        k1 = slope(x, y)
        k2 = slope(x, moved(y, h / 2, k1))
        k3 = slope(x, moved(y, h / 2, k2))
        k4 = slope(x, moved(y, h, k3))
        y = [
            a + h / 6 * (b + 2 * c + 2 * d + e)
            for a, b, c, d, e in zip(y, k1, k2, k3, k4, strict=True)
        ]
    return y


class Problem:
    """The program, compiled when it is first asked for."""

    def __init__(self, given):
        self.x = [cr.Value(number) for number in given["x"]]
        self.steps = given["s"]
        self.program = None

    def compiled(self, last):
        if self.program is None:
            y = solution(self.x, self.steps)
            self.program = cr.compile(y[-1] if last else np.array(y), wrt=self.x)
        return self.program


def primal(problem):
    return problem.compiled(last=False)()


def gradient(problem):
    _, slopes = problem.compiled(last=True).value_and_grad()
    return slopes


FUNCTIONS = {
    "primal": Function(primal, Problem, np.ndarray.tolist),
    "gradient": Function(gradient, Problem, list),
}
