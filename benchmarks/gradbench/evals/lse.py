"""``lse``: the logarithm of a sum of exponentials, and its gradient."""

import chainrule as cr

from .function import Function


class Problem:
    """The graph of the function, compiled when it is first asked for."""

    def __init__(self, given):
        self.x = [cr.Value(number) for number in given["x"]]
        self.program = None

    def compiled(self):
        if self.program is None:
            self.program = cr.compile(cr.logsumexp(self.x))
        return self.program


def primal(problem):
    return problem.compiled()()


def gradient(problem):
    _, slopes = problem.compiled().value_and_grad()
    return slopes


FUNCTIONS = {
    "primal": Function(primal, Problem),
    "gradient": Function(gradient, Problem, list),
}
