"""A network with its data, as a diagnosis needs it; the probe network and the worked examples.

On most networks many mistakes cannot be seen, or cannot be told apart: without a penalty all
penalties look alike, with one example a mean is a sum, with one output a transposed weight is the
same weight. The probe network is chosen so that every mistake in the table gives another gradient.

Its sizes matter too. A wrong count makes a wrong factor, and factors coincide: with seven examples
of three features, division by the number of features is division by m - 1 and a factor 2. The
probe has 8 examples, 5 features and 3 outputs: no two of the factors 8, 7, 5, 3 and 2 multiply to
another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import backprop

Array: TypeAlias = NDArray[np.float64]

PROBE_EXAMPLES = 8
"""How many examples the probe network has; not 7, see above."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Weights, a batch, a lambda, and what the cost is made of; *truth* has its gradient.

    >>> probe().truth.D[2].shape
    (3, 5)
    """

    thetas: tuple[Array, ...]
    X: Array
    Y: Array
    lam: float = 0.0
    loss: str = "logistic"
    activations: tuple[str, ...] = ()
    """One name for each hidden layer."""
    output_activation: str | None = None
    reduction: str = "mean"
    name: str = "the given network"
    biases: bool = True
    """Whether the network has biases; if not, column 0 of each Theta and of its gradient is 0."""
    own_cost: bool = False
    """Whether the cost is one of the program's own, and not the loss named here."""

    @classmethod
    def read(
        cls,
        thetas: Iterable[ArrayLike],
        X: ArrayLike,
        Y: ArrayLike,
        lam: float = 0.0,
        *,
        loss: str = "logistic",
        activation: str | Iterable[str] = "sigmoid",
        output_activation: str | None = None,
        reduction: str = "mean",
        name: str = "the given network",
    ) -> Problem:
        """Return the problem, or raise what ``backprop.gradients`` raises for these arguments."""
        weights = [np.asanyarray(theta) for theta in thetas]  # a mask stays, to be refused
        names = activation if isinstance(activation, str) else list(activation)
        found = backprop.gradients(
            weights,
            X,
            Y,
            lam,
            loss=loss,
            activation=names,
            output_activation=output_activation,
            reduction=reduction,
        )
        arrays: dict[str, Any] = {f"thetas[{i}]": theta for i, theta in enumerate(weights)}
        arrays |= {"X": X, "Y": Y}
        arrays |= {f"the gradient by thetas[{i}]": D for i, D in enumerate(found.D)}
        for what, array in arrays.items():
            if not np.isfinite(np.asarray(array, dtype=np.float64)).all():
                raise ValueError(
                    f"{what} has entries that are nan or infinite: expected finite ones"
                )
        hidden = (names,) * (len(weights) - 1) if isinstance(names, str) else tuple(names)
        return cls(
            tuple(np.array(theta, dtype=np.float64) for theta in weights),
            np.array(X, dtype=np.float64),
            np.array(Y, dtype=np.float64),
            float(lam),
            loss,
            hidden,
            output_activation,
            reduction,
            name,
        )

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        arrays = [(array.shape, array.tobytes()) for array in (*self.thetas, self.X, self.Y)]
        stated = (self.lam, self.loss, self.activations, self.output_activation, self.reduction)
        return (*arrays, *stated, self.biases)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of ``backprop.gradients``."""
        return {
            "loss": self.loss,
            "activation": self.activations,
            "output_activation": self.output_activation,
            "reduction": self.reduction,
        }

    @cached_property
    def truth(self) -> backprop.Gradients:
        """Everything that the algorithm B10 computes here."""
        found = backprop.gradients(self.thetas, self.X, self.Y, self.lam, **self.options)
        if self.biases:
            return found
        for D in found.D:
            D[:, 0] = 0.0
        return found

    @property
    def m(self) -> int:
        """The number of examples."""
        return len(self.X)

    @property
    def K(self) -> int:  # noqa: N802 (the notes' letter)
        """The number of outputs."""
        return len(self.thetas[-1])

    @property
    def squares(self) -> bool:
        """Whether the loss is a squared error; the others take logarithms."""
        return self.loss in ("half_squared_error", "squared_error")

    @property
    def last(self) -> int:
        """The index of the last Theta."""
        return len(self.thetas) - 1

    @property
    def divisor(self) -> int:
        """What sums over the examples are divided by: m for the mean, else 1."""
        return self.m if self.reduction == "mean" else 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of units of each layer, the input first."""
        return (self.X.shape[1], *(len(theta) for theta in self.thetas))

    @property
    def size(self) -> int:
        """How many products one gradient takes, about: the entries of the Thetas, m times."""
        return self.m * sum(theta.size for theta in self.thetas)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The shape of each Theta."""
        return [(after, 1 + before) for before, after in pairwise(self.sizes)]

    @cached_property
    def output(self) -> str:
        """The activation that turns the last z into what the loss compares with Y."""
        if self.loss in ("logistic", "cross_entropy"):
            return backprop.LOSSES[self.loss][0]
        return self.output_activation or backprop.LOSSES[self.loss][0]

    @cached_property
    def scales(self) -> list[float]:
        """For each Theta, the size of the largest entry of D if no two terms cancelled.

        Two right programs agree to the rounding of the terms of the sums B5 and B10, not to that
        of the sums; so does a replay with the program that made the mistake.
        """
        z, a = self.truth.z, self.truth.a
        size = np.abs(self.truth.delta[-1])
        found: list[float] = []
        for layer in reversed(range(len(self.thetas))):
            if layer < self.last:
                name, theta = self.activations[layer], np.abs(self.thetas[layer + 1])
                slopes = np.abs(backprop.derivative(name, z[layer]))
                size = backprop.delta_hidden(theta, size, z[layer], "linear") * slopes
            sums = backprop.accumulate(size, np.abs(a[layer]))
            terms = backprop.regularise(sums, np.abs(self.thetas[layer]), self.lam, self.divisor)
            found.insert(0, float(terms.max()))
        return found

    def describe(self) -> str:
        """Return one line that says which network this is."""
        sizes = "-".join(map(str, self.sizes))
        if self.own_cost:
            return f"{self.name}: {sizes}, m = {self.m}, lambda = {self.lam:g}, a cost of its own"
        hidden = "/".join(dict.fromkeys(self.activations)) or "no hidden layer"
        return (
            f"{self.name}: {sizes}, {hidden}, {self.output} output, {self.loss} loss, "
            f"m = {self.m}, lambda = {self.lam:g}, {self.reduction} over the examples"
            f"{'' if self.biases else ', no biases'}"
        )

    def without_biases(self) -> Problem:
        """Return the same network without biases.

        >>> probe().without_biases().truth.D[0][:, 0].tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        """
        thetas = tuple(np.column_stack([np.zeros(len(t)), t[:, 1:]]) for t in self.thetas)
        return replace(self, thetas=thetas, biases=False)

    def with_classes(self) -> Problem:
        """Return the same network with one class for each example, that of its largest target."""
        Y = backprop.one_hot([int(label) for label in self.Y.argmax(axis=1)], self.K)
        return replace(self, Y=Y)


def _numbers(shape: tuple[int, ...], step: float, start: float) -> Array:
    # Cosines of an irregular progression: of order 1, no two alike, and short to write down.
    count = int(np.prod(shape))
    numbers: Array = 1.2 * np.cos(step * np.arange(1, count + 1) ** 1.3 + start)
    rounded: Array = numbers.round(2).reshape(shape)
    return rounded


def build(
    sizes: Sequence[int],
    m: int = PROBE_EXAMPLES,
    lam: float = 1.3,
    *,
    loss: str = "logistic",
    activation: str | Iterable[str] = "sigmoid",
    output_activation: str | None = None,
    reduction: str = "mean",
    name: str = "a network",
) -> Problem:
    """Return a problem of these *sizes*, the input first, with *m* examples.

    The numbers are always the same, of order 1, two digits each.

    >>> problem = build((5, 6, 3), loss="cross_entropy", activation="tanh")
    >>> problem.sizes, problem.m, problem.output
    ((5, 6, 3), 8, 'softmax')

    Mistakes are told apart best where all sizes, m and the number of outputs are different, and
    none is a multiple of another.
    """
    thetas = [
        _numbers((after, 1 + before), 1.7, 0.3 + layer)
        for layer, (before, after) in enumerate(pairwise(sizes))
    ]
    X, K = _numbers((m, sizes[0]), 2.3, 0.9), sizes[-1]
    if loss == "cross_entropy":
        Y = backprop.one_hot([(t * t + t // 2) % K for t in range(m)], K)
    else:
        Y = 0.5 + _numbers((m, K), 1.1, 0.5) / 2.5
        Y = Y.round() if loss == "logistic" else Y.round(2)
    return Problem.read(
        thetas,
        X,
        Y,
        lam,
        loss=loss,
        activation=activation,
        output_activation=output_activation,
        reduction=reduction,
        name=name,
    )


def probe(
    loss: str = "logistic",
    activation: str = "sigmoid",
    output_activation: str | None = None,
    reduction: str = "mean",
    lam: float = 1.3,
) -> Problem:
    """Return the probe network: 5-6-4-3, eight examples, lambda 1.3, weights of order 1.

    >>> print(probe().describe())
    the probe network: 5-6-4-3, sigmoid, sigmoid output, logistic loss, m = 8, lambda = 1.3, mean \
over the examples
    """
    return build(
        (5, 6, 4, 3),
        PROBE_EXAMPLES,
        lam,
        loss=loss,
        activation=activation,
        output_activation=output_activation,
        reduction=reduction,
        name="the probe network",
    )


def drawn(problems: Sequence[Problem], seed: int, *, shapes: bool = False) -> list[Problem]:
    """Return *problems*, all with one network drawn at random in place of theirs.

    It is as deep as theirs; its sizes are others, unless it keeps the *shapes*, and its numbers of
    order 1. The targets suit all of the losses.
    """
    random, like = np.random.default_rng(seed), problems[0]
    sizes, m = like.sizes, like.m
    if not shapes:
        inside = [int(size) for size in random.integers(4, 8, like.last)]
        sizes = (int(random.choice([6, 7])), *inside, int(random.choice([3, 4])))
        m = int(random.choice([11, 13]))
    thetas = [random.normal(size=(after, 1 + before)) for before, after in pairwise(sizes)]
    X, K = random.normal(size=(m, sizes[0])), sizes[-1]
    losses = {problem.loss for problem in problems}
    Y: Array = random.uniform(size=(m, K))
    if "cross_entropy" in losses:
        Y = backprop.one_hot([int(label) for label in random.integers(0, K, m)], K)
    elif "logistic" in losses:
        Y = Y.round()
    found = [
        replace(
            problem,
            thetas=tuple(thetas),
            X=X,
            Y=Y,
            name=f"a network drawn at random, seed {seed}",
        )
        for problem in problems
    ]
    return [problem if problem.biases else problem.without_biases() for problem in found]


def square(like: Problem) -> Problem:
    """Return a 3-3-3-3 network: there a Theta that was not transposed gets past the shapes."""
    found = build(
        (3, 3, 3, 3),
        PROBE_EXAMPLES,
        like.lam,
        loss=like.loss,
        activation=like.activations[0] if like.activations else "sigmoid",
        output_activation=like.output_activation,
        reduction=like.reduction,
        name="a square network",
    )
    return found if like.biases else found.without_biases()


def single(problem: Problem, example: int = 0) -> Problem:
    """Return *problem* with one example and no penalty, where a gradient is delta a^T.

    The bias unit a_0 is 1, so column 0 of the gradient is the delta itself.
    """
    one = slice(example, example + 1)
    return replace(
        problem,
        X=problem.X[one],
        Y=problem.Y[one],
        lam=0.0,
        name=f"{problem.name}, example {example + 1} alone, lambda = 0",
    )


def mazur() -> Problem:
    """Return Mazur's "A Step by Step Backpropagation Example" (2-2-2, half squared error).

    The post has one bias for both units of a layer; here each unit has its own copy.
    """
    return Problem.read(
        [
            [[0.35, 0.15, 0.20], [0.35, 0.25, 0.30]],
            [[0.60, 0.40, 0.45], [0.60, 0.50, 0.55]],
        ],
        [[0.05, 0.10]],
        [[0.01, 0.99]],
        loss="half_squared_error",
        name="Mazur's step by step example",
    )


def ng(lam: float = 3.0) -> Problem:
    """Return the 2-2-4 network on which the course exercise publishes cost and gradient."""
    return Problem.read(
        backprop.roll(np.arange(1, 19) / 10, [(2, 3), (4, 3)], order="F"),
        np.cos([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        backprop.one_hot([4, 2, 3], 4, first=1),
        lam,
        name="the exercise's 2-2-4 network",
    )
