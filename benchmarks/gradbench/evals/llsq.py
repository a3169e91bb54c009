"""``llsq``: half the squared distance of a polynomial from the sign function, at *n* places."""

import numpy as np

import chainrule as cr

from .function import Function


class Problem:
    """The coefficients as Values; the places and their signs as arrays, one example each."""

    def __init__(self, given):
        n = given["n"]
        self.t = -1.0 + 2.0 * np.arange(n) / (n - 1)
        self.sign = np.sign(self.t)
        self.x = [cr.Value(number) for number in given["x"]]
        self.loss = cr.compile(self.squared_residual, wrt=self.x)

    def squared_residual(self, t, sign):
        power, residual = 1.0, sign
        for coefficient in self.x:
            residual = residual - coefficient * power
            power = power * t
        return cr.square(residual)


def primal(problem):
    return problem.loss(problem.t, problem.sign).sum() / 2.0


def gradient(problem):
    _, mean = problem.loss.value_and_grad(problem.t, problem.sign)
    return mean * (len(problem.t) / 2.0)


FUNCTIONS = {
    "primal": Function(primal, Problem, float),
    "gradient": Function(gradient, Problem, list),
}
