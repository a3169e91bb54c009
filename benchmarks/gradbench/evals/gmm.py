"""``gmm``: the log posterior of a mixture of Gaussians with a Wishart prior, and its gradient."""

import math

import numpy as np

import chainrule as cr

from .function import Function


def values(numbers):
    """Return nested lists of numbers as nested lists of Values."""
    return list(map(values, numbers)) if isinstance(numbers, list) else cr.Value(numbers)


class Problem:
    """The observations as an array, one example each; the parameters of the mixture as Values."""

    def __init__(self, given):
        self.d, self.k, self.n = given["d"], given["k"], given["n"]
        self.m, self.gamma = given["m"], given["gamma"]
        self.x = np.array(given["x"])
        self.alpha, self.mu, self.q, self.l = (values(given[s]) for s in ("alpha", "mu", "q", "l"))
        rows = [self.alpha, *self.mu, *self.q, *self.l]
        self.parameters = [x for row in rows for x in row]
        self.likelihood = cr.compile(self.log_likelihood, wrt=self.parameters)
        self.prior = None

    def log_likelihood(self, x):
        """Return the logarithm of the density at one observation, without its constant."""
        return cr.logsumexp([self.log_density(x, k) for k in range(self.k)])

    def log_density(self, x, k):
        """Return alpha + sum(q) - |Q (x - mu)|^2 / 2 of component *k*."""
        off = [a - b for a, b in zip(x, self.mu[k], strict=True)]
        scaled = [[cr.exp(q) * a] for q, a in zip(self.q[k], off, strict=True)]
        entries = iter(self.l[k])  # the triangle below the diagonal, column by column
        for column in range(self.d):
            for row in range(column + 1, self.d):
                scaled[row].append(next(entries) * off[column])
        lengths = [cr.square(cr.sum(terms)) for terms in scaled]
        return self.alpha[k] + cr.sum(self.q[k]) - 0.5 * cr.sum(lengths)

    def log_prior(self):
        """Return what the prior and the weights alpha add, without its constant."""
        frobenius = [cr.square(cr.exp(q)) for row in self.q for q in row]
        frobenius += [cr.square(entry) for row in self.l for entry in row]
        logarithms = cr.sum([q for row in self.q for q in row])
        penalty = 0.5 * self.gamma**2 * cr.sum(frobenius) - self.m * logarithms
        return -penalty - self.n * cr.logsumexp(self.alpha)

    def constant(self):
        d, n = self.d, self.d + self.m + 1
        gammas = sum(math.lgamma(0.5 * (n - j)) for j in range(d))
        log_gamma = 0.25 * d * (d - 1) * math.log(math.pi) + gammas
        wishart = self.k * (n * d * math.log(self.gamma / math.sqrt(2.0)) - log_gamma)
        return wishart - 0.5 * self.n * d * math.log(2.0 * math.pi)

    def compiled_prior(self):
        if self.prior is None:
            self.prior = cr.compile(self.log_prior(), wrt=self.parameters)
        return self.prior


def objective(problem):
    likelihood = problem.likelihood(problem.x).sum()
    return likelihood + problem.compiled_prior()() + problem.constant()


def jacobian(problem):
    _, mean = problem.likelihood.value_and_grad(problem.x)
    _, prior = problem.compiled_prior().value_and_grad()
    slopes = mean * problem.n + prior
    d, k = problem.d, problem.k
    alpha, mu, q, entries = np.split(slopes, np.cumsum([k, k * d, k * d]))
    return {
        "alpha": alpha,
        "mu": mu.reshape(k, d),
        "q": q.reshape(k, d),
        "l": entries.reshape(k, d * (d - 1) // 2),
    }


FUNCTIONS = {
    "objective": Function(objective, Problem, float),
    "jacobian": Function(
        jacobian, Problem, lambda found: {name: x.tolist() for name, x in found.items()}
    ),
}
