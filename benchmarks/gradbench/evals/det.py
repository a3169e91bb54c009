"""``det``: a determinant by expansion along rows, minor by minor, and its gradient."""

import functools

import chainrule as cr

from .function import Function


def determinant(A, size):
    """Return the determinant of a matrix, given row by row; a minor is computed once."""

    @functools.cache
    def minor(columns):
        row = size - len(columns)
        if len(columns) == 1:
            return A[row * size + columns[0]]
        terms = []
        for j, column in enumerate(columns):
            term = A[row * size + column] * minor(columns[:j] + columns[j + 1 :])
            terms.append(-term if j % 2 else term)
        return cr.sum(terms)

    return minor(tuple(range(size)))


class Problem:
    """The graph of the determinant, compiled when it is first asked for."""

    def __init__(self, given):
        self.A = [cr.Value(number) for number in given["A"]]
        self.size = given["ell"]
        self.program = None

    def compiled(self):
        if self.program is None:
            self.program = cr.compile(determinant(self.A, self.size), wrt=self.A)
        return self.program


def primal(problem):
    return problem.compiled()()


def gradient(problem):
    _, slopes = problem.compiled().value_and_grad()
    return slopes


FUNCTIONS = {
    "primal": Function(primal, Problem, float),
    "gradient": Function(gradient, Problem, list),
}
