"""``kmeans``: the cost of centroids, and the step of Newton's method from them."""

import numpy as np

import chainrule as cr

from .function import Function


class Problem:
    """The points as an array, one example each; the centroids as Values."""

    def __init__(self, given):
        self.points = np.array(given["points"])
        self.centroids = [[cr.Value(x) for x in row] for row in given["centroids"]]
        self.shape = np.shape(given["centroids"])
        self.coordinates = [x for row in self.centroids for x in row]
        self.cost = cr.compile(self.nearest, wrt=self.coordinates)
        self.slope = cr.compile(self.slope_of_nearest, wrt=self.coordinates)

    def nearest(self, point):
        """Return the squared distance from *point* to the centroid nearest to it."""
        return cr.minimum(
            *[
                cr.sum([cr.square(a - b) for a, b in zip(point, centroid, strict=True)])
                for centroid in self.centroids
            ]
        )

    def slope_of_nearest(self, point):
        """Return the derivative in the direction (1, ..., 1).

        The gradient of this is the Hessian times that vector: its diagonal, as it has nothing else.
        """
        return cr.sum(cr.gradients(self.nearest(point), self.coordinates, create_graph=True))


def cost(problem):
    return problem.cost(problem.points).sum()


def direction(problem):
    _, gradient = problem.cost.value_and_grad(problem.points)
    _, diagonal = problem.slope.value_and_grad(problem.points)
    return (gradient / diagonal).reshape(problem.shape)


FUNCTIONS = {
    "cost": Function(cost, Problem, float),
    "dir": Function(direction, Problem, np.ndarray.tolist),
}
