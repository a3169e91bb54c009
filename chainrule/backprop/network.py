r"""Forward, cost, deltas and gradients: the algorithm of the notes, one line of it at a time.

The layers of the notes count from 1, Python's tuples from 0. Everything that belongs to a matrix
has the index of that matrix, and the input comes first among the activations::

    thetas[l]   Theta^(l+1)     (s_next, 1 + s), column 0 the bias: weights from a[l] to z[l]
    a[l]        a^(l+1)         (m, s), a row per example, without the bias unit a_0 = 1; a[0] is X
    z[l]        z^(l+2)         (m, s_next)
    delta[l]    delta^(l+2)     (m, s_next), d cost(t) / d z
    Delta[l]    Delta^(l+1)     the shape of thetas[l], summed over the examples
    D[l]        D^(l+1)         the shape of thetas[l], the gradient d J / d Theta

The deltas carry no 1/m: delta is the derivative of *one example's* cost (A3), and the mean is
taken when the sums Delta become D. In the graph of the whole batch's J, where the mean is already
in, z.grad is delta/m.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike

from .activations import ACTIVATIONS, activate, checked_name, derivative
from .arguments import Array, chosen, matrices, matrix, non_negative
from .cost import Activation, Cost, hidden_activations
from .losses import delta_output, example_costs


@dataclass(frozen=True, eq=False)
class Forward:
    """What a forward pass computes: every layer's z and a, for every example."""

    z: tuple[Array, ...]
    a: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class Gradients:
    """Every quantity of the algorithm B10: J, then z, a, delta, Delta and the gradient D."""

    cost: float
    z: tuple[Array, ...]
    a: tuple[Array, ...]
    delta: tuple[Array, ...]
    Delta: tuple[Array, ...]
    D: tuple[Array, ...]


# The steps, rows being examples.


def with_bias(a: ArrayLike) -> Array:
    """Return *a*, (m, s), as (m, 1 + s): the bias unit a_0 = 1 of each example put first.

    >>> with_bias([[7.0, 8.0]]).tolist()
    [[1.0, 7.0, 8.0]]
    """
    units = matrix("a", a)
    with_unit = np.ones((len(units), 1 + units.shape[1]))
    with_unit[:, 1:] = units
    return with_unit


@np.errstate(all="ignore")
def delta_hidden(
    theta: ArrayLike, delta_next: ArrayLike, z: ArrayLike, activation: str = "sigmoid"
) -> Array:
    r"""Return a hidden layer's delta, (m, s), from the next layer's delta, (m, s_next).

    delta^(l) = (Theta^(l))^T delta^(l+1) .* g'(z^(l))  (B5), for one unit k

        delta_k = g'(z_k) sum_j Theta_jk delta_j

    where the bias column of *theta*, (s_next, 1 + s), takes no part: no weight leads into a bias
    unit. With rows for examples the product is delta^(l+1) Theta^(l) (B6). The sum alone is
    d cost / d a_k (C6, the step of the recursion C7), and it is all that is printed in A4 and A5,

        delta_2^(2) = Theta_12^(2) delta_1^(3) + Theta_22^(2) delta_2^(3)
        delta_2^(3) = Theta_12^(3) delta_1^(4)

    which by the notes' own A3 still lack the factor g'(z).

    >>> delta_hidden([[0.5, 2.0, -4.0]], [[3.0]], [[0.0, 0.0]]).tolist()
    [[1.5, -3.0]]

    Shapes that do not fit and unknown activations raise ``ValueError``.
    """
    weights = matrix("theta", theta)[:, 1:]
    following, inputs = matrix("delta_next", delta_next), matrix("z", z)
    if (len(inputs), len(weights)) != following.shape or weights.shape[1] != inputs.shape[1]:
        raise ValueError(
            f"theta has shape {np.shape(theta)}, delta_next {following.shape}, z {inputs.shape}: "
            "expected (s_next, 1 + s), (m, s_next), (m, s)"
        )
    return (following @ weights) * derivative(activation, inputs)


@np.errstate(all="ignore")
def accumulate(delta_next: ArrayLike, a: ArrayLike) -> Array:
    r"""Return Delta^(l), the sum over the examples of delta^(l+1) (a^(l))^T, shape (s_next, 1 + s).

    B10's loop Delta := Delta + delta^(l+1) (a^(l))^T over the rows of *delta_next*, (m, s_next),
    and of *a*, (m, s), is a single matrix product; B4 and B6 write it (a2)^T delta3 and
    X^T delta2, which is its transpose. The bias unit a_0 = 1 is added here, so column 0 is the sum
    of the deltas themselves: dC/db = delta (C3).

    >>> accumulate([[3.0]], [[10.0, 20.0]]).tolist()
    [[3.0, 30.0, 60.0]]

    Different numbers of examples raise ``ValueError``.
    """
    following, units = matrix("delta_next", delta_next), with_bias(a)
    if len(following) != len(units):
        raise ValueError(
            f"delta_next has shape {following.shape} and a {np.shape(a)}: expected the same number "
            "of rows, one per example"
        )
    Delta: Array = following.T @ units
    return Delta


@np.errstate(all="ignore")
def regularise(Delta: ArrayLike, theta: ArrayLike, lam: float, m: int) -> Array:
    r"""Return D = (Delta + lambda Theta) / m, and Delta / m in the bias column (B10).

    It is the derivative of the mean over the examples (C2; B9 if lambda is 0) plus that of
    ``penalty``. With m = 1 it is the derivative of the sum.

    >>> regularise([[2.0, 4.0]], [[10.0, 10.0]], lam=0.2, m=2).tolist()
    [[1.0, 3.0]]

    Unequal shapes, a lambda that is negative or not finite and m below 1 raise ``ValueError``.
    """
    sums, weights = matrix("Delta", Delta), matrix("theta", theta)
    if sums.shape != weights.shape:
        raise ValueError(f"Delta has shape {sums.shape}: expected that of theta, {weights.shape}")
    strength, count = non_negative("lam", lam), _count(m)
    if strength:  # 0 * inf would put nan where no penalty was asked for
        sums[:, 1:] += strength * weights[:, 1:]
    return sums / count


@np.errstate(all="ignore")
def penalty(thetas: Iterable[ArrayLike], lam: float, m: int) -> float:
    r"""Return (lambda / 2m) sum_l sum_i sum_j Theta_ji^2, bias columns left out (A1).

    >>> penalty([[[100.0, 3.0, 4.0]]], lam=2.0, m=5)
    5.0

    A lambda that is negative or not finite and m below 1 raise ``ValueError``.
    """
    strength, count = non_negative("lam", lam), _count(m)
    weights = [theta[:, 1:] for theta in matrices("thetas", thetas)]
    if not strength:
        return 0.0
    return strength * sum(float(np.sum(w**2)) for w in weights) / (2 * count)


def _count(m: int) -> int:
    if not isinstance(m, Integral) or m < 1:
        raise ValueError(f"m is {m!r}: expected a number of examples, 1 or more")
    return int(m)


# The whole algorithm.


@np.errstate(all="ignore")
def forward(
    thetas: Iterable[ArrayLike],
    X: ArrayLike,
    *,
    activation: Activation = "sigmoid",
    output_activation: str = "sigmoid",
    examples: str = "rows",
    units: str = "rows",
) -> Forward:
    r"""Return every layer's z and a for the inputs *X*, shape (m, s_1).

    z_j = Theta_j0 + sum_k Theta_jk a_k  (A7, C5) and a = g(z), layer after layer. The last term of
    A7, for z_1^(3), is Theta_12^(2) a_2^(2), where print has a_1^(2).

    - *thetas*: one matrix per layer, (s_next, 1 + s), column 0 the bias; *X* itself has no column
      of ones.
    - *activation*: of the hidden layers, one name for all or a list with one for each:
      ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"linear"``, ``"leaky_relu"``, ``"elu"``,
      ``"softplus"``, ``"silu"``; ``"leaky_relu(0.2)"`` and ``"elu(0.5)"`` state a number.
      *output_activation*: one of these or ``"softmax"``.
    - *examples*: ``"rows"`` as in notes B, or ``"columns"``, an example a column vector as in
      notes A; then X is (s_1, m) and all z and a are transposed as well.
    - *units*: ``"rows"``, the weights into one unit are a row of its Theta, z = Theta a; or
      ``"columns"``, Theta is (1 + s, s_next) and z = a Theta, as in B4.

    The two conventions are independent: any combination may be chosen.

    >>> identity_with_bias = [[1.0, 1.0, 0.0], [2.0, 0.0, 1.0]]
    >>> passed = forward([identity_with_bias, [[0.0, 1.0, 1.0]]], [[-3.0, 4.0]], activation="relu")
    >>> [a.round(4).tolist() for a in passed.a]
    [[[-3.0, 4.0]], [[0.0, 6.0]], [[0.9975]]]

    Computation is in float64 and follows IEEE rules: what overflows becomes inf or nan, without a
    warning. Shapes that do not fit, empty arrays and unknown names raise ``ValueError``, anything
    but real numbers ``TypeError``.
    """
    checked_name("output_activation", output_activation, (*ACTIVATIONS, "softmax"))
    network = _Network.read(thetas, activation, output_activation, units)
    z, a = network.forward(network.inputs(X, examples))
    return Forward(_laid_out(z, examples), _laid_out(a, examples))


@np.errstate(all="ignore")
def cost(
    thetas: Iterable[ArrayLike],
    X: ArrayLike,
    Y: ArrayLike,
    lam: float = 0.0,
    *,
    loss: str = "logistic",
    activation: Activation = "sigmoid",
    output_activation: str | None = None,
    reduction: str = "mean",
    examples: str = "rows",
    units: str = "rows",
) -> float:
    r"""Return the regularised cost J of the whole batch.

    J = (1/m) sum_t cost(t) + (lambda / 2m) sum_l sum_i sum_j Theta_ji^2, bias columns left out.
    With the logistic loss that is A1, or B7 for K classes; ``example_costs`` has cost(t) for every
    loss.

    - *Y*: the targets, (m, K); see ``one_hot`` for class labels.
    - *lam*: lambda, 0 or more.
    - *output_activation*: by default what the loss goes with, ``"sigmoid"`` for ``"logistic"``,
      ``"softmax"`` for ``"cross_entropy"``, and ``"sigmoid"`` for ``"half_squared_error"`` and
      ``"squared_error"``, which take any elementwise one. The first two also take ``"linear"``:
      the same cost, with logits for outputs.
    - *reduction*: ``"mean"``; or ``"sum"``, which drops every 1/m, the penalty's too, as B1 and B3
      do.

    The rest is as in ``forward``.

    >>> cost([[[0.0, 1.0]]], [[1000.0], [-1000.0]], [[1], [1]])       # log(a) would be log(0)
    500.0

    Besides the errors of ``forward``, targets outside [0, 1] raise ``ValueError`` where the loss
    takes logarithms.
    """
    minimised = Cost(loss, activation, output_activation, reduction)
    problem = _Problem.read(thetas, X, Y, lam, minimised, examples, units)
    return problem.cost(problem.network.forward(problem.X)[0])


@np.errstate(all="ignore")
def deltas(
    thetas: Iterable[ArrayLike],
    X: ArrayLike,
    Y: ArrayLike,
    *,
    loss: str = "logistic",
    activation: Activation = "sigmoid",
    output_activation: str | None = None,
    examples: str = "rows",
    units: str = "rows",
) -> tuple[Array, ...]:
    r"""Return the deltas of every layer, first hidden layer to output: d cost(t) / d z (A3).

    The last one is ``delta_output`` (A6, B8), each one before it follows by ``delta_hidden`` (B5).
    Arguments, errors and shapes are those of ``cost`` and ``forward``; delta[l] has the shape of
    z[l].

    >>> theta = [[0.0, 1.0]]
    >>> [delta.tolist() for delta in deltas([theta, theta], [[0.0]], [[1]], activation="linear")]
    [[[-0.5]], [[-0.5]]]

    There is a row for every example: deltas are never averaged, and the penalty does not enter
    them.
    """
    minimised = Cost(loss, activation, output_activation)
    problem = _Problem.read(thetas, X, Y, 0.0, minimised, examples, units)
    return _laid_out(problem.deltas(problem.network.forward(problem.X)[0]), examples)


@np.errstate(all="ignore")
def gradients(
    thetas: Iterable[ArrayLike],
    X: ArrayLike,
    Y: ArrayLike,
    lam: float = 0.0,
    *,
    loss: str = "logistic",
    activation: Activation = "sigmoid",
    output_activation: str | None = None,
    reduction: str = "mean",
    examples: str = "rows",
    units: str = "rows",
) -> Gradients:
    r"""Return J and its gradient D[l] = dJ/dTheta^(l+1), with all that was computed on the way.

    The algorithm is B10: forward; delta^(L) (``delta_output``); the deltas backwards
    (``delta_hidden``); their products with the activations, summed into Delta (``accumulate``);
    D = (Delta + lambda Theta)/m (``regularise``). Without penalty that is B9,

        dJ/dTheta_ij^(l) = (1/m) sum_t a_j^(l) delta_i^(l+1),

    and the special cases in the notes are this line with the deltas written out:

    - B1, the output layer: dJ/dTheta2 = -(y - yhat) yhat(1 - yhat) a2; B3, a network of one layer:
      dE/dw_i = -sum_n x_i y(1 - y)(t - y). Both are sums of half squared errors:
      ``loss="half_squared_error", reduction="sum"``.
    - B4 and B6, rows for examples: dJ/dTheta2 = (a2)^T delta3, dJ/dTheta1 = X^T delta2 with
      delta2 = delta3 Theta2^T .* g'(z2). ``units="columns"`` gives D in that shape, its row 0 the
      bias. B4's delta3 is -(y - yhat) g'(z3), with the sign.
    - B12: dJ/dtheta^(L-2) = ((a^(L) - y) theta^(L-1) a^(L-1)(1 - a^(L-1))) a^(L-2), for the
      logistic loss.
    - C1: dC0/dw = a_prev g'(z) 2(a - y), ``loss="squared_error"``; C2 is the mean over the
      examples. C3, the bias: dC0/db = g'(z) 2(a - y), whose left side is printed as dw.
    - C7: dC/dw_jk^(l) = a_k^(l-1) g'(z_j^(l)) dC/da_j^(l), where dC/da_j^(l) is the sum C6, or
      2(a_j - y_j) at the output.

    Arguments and errors are those of ``cost``. ``unroll(result.D)`` is the gradient as one vector
    (C4).

    >>> found = gradients([[[0.0, 0.0, 0.0]]], [[1.0, 2.0], [3.0, 4.0]], [[1], [1]])
    >>> found.delta[0].tolist(), found.Delta[0].tolist(), found.D[0].tolist()
    ([[-0.5], [-0.5]], [[-1.0, -2.0, -3.0]], [[-0.5, -1.0, -1.5]])

    Each D[l] includes the bias, in column 0: those of W and b alone are ``D[l][:, 1:]`` and
    ``D[l][:, 0]``.
    """
    minimised = Cost(loss, activation, output_activation, reduction)
    problem = _Problem.read(thetas, X, Y, lam, minimised, examples, units)
    z, a = problem.network.forward(problem.X)
    delta = problem.deltas(z)
    Delta = [accumulate(d, units_before) for d, units_before in zip(delta, a[:-1], strict=True)]
    D = [
        regularise(sums, theta, problem.lam, problem.divisor)
        for sums, theta in zip(Delta, problem.network.thetas, strict=True)
    ]
    return Gradients(
        cost=problem.cost(z),
        z=_laid_out(z, examples),
        a=_laid_out(a, examples),
        delta=_laid_out(delta, examples),
        Delta=_laid_out(Delta, units),
        D=_laid_out(D, units),
    )


# Reading the arguments: inside, rows are examples and rows of Theta are units.


def _turned(array: Array, layout: str) -> Array:
    return array if layout == "rows" else array.T


def _laid_out(arrays: Sequence[Array], layout: str) -> tuple[Array, ...]:
    return tuple(_turned(array, layout) for array in arrays)


def _shape(rows: int, columns: int, *, layout: str) -> tuple[int, int]:
    return (rows, columns) if layout == "rows" else (columns, rows)


@dataclass(frozen=True)
class _Network:
    thetas: list[Array]
    activations: list[str]  # one per matrix, the output's last

    @classmethod
    def read(
        cls,
        thetas: Iterable[ArrayLike],
        activation: Activation,
        output_activation: str,
        units: str,
    ) -> _Network:
        chosen("units", units, ("rows", "columns"))
        hint = "; column 0 is the bias" if units == "rows" else "; row 0 is the bias"
        weights = [_turned(theta, units) for theta in matrices("thetas", thetas, hint)]
        for i, theta in enumerate(weights):
            given = f"thetas[{i}] has shape {_shape(*theta.shape, layout=units)}"
            if theta.shape[1] < 2:
                raise ValueError(f"{given}: expected a bias and at least one weight per unit{hint}")
            before = len(weights[i - 1])
            if i and theta.shape[1] != 1 + before:
                raise ValueError(
                    f"{given}, but thetas[{i - 1}] leads to {before} units: "
                    f"expected {_shape(len(theta), 1 + before, layout=units)}{hint}"
                )
        return cls(weights, [*hidden_activations(activation, len(weights) - 1), output_activation])

    def inputs(self, X: ArrayLike, examples: str) -> Array:
        chosen("examples", examples, ("rows", "columns"))
        one = _shape(1, -1, layout=examples)
        inputs = _turned(matrix("X", X, f"; one example is X.reshape{one}"), examples)
        expected = self.thetas[0].shape[1] - 1
        if inputs.shape[1] != expected:
            if inputs.shape[1] == expected + 1:
                advice = "; leave out the column of ones, the bias unit is added for you"
            elif inputs.shape[0] == expected:
                advice = "; is X transposed? see the argument examples"
            else:
                advice = ""
            raise ValueError(
                f"X has shape {np.shape(X)}, but thetas[0] takes {expected} inputs and a bias: "
                f"expected {_shape(len(inputs), expected, layout=examples)}{advice}"
            )
        return inputs

    def forward(self, X: Array) -> tuple[list[Array], list[Array]]:
        z: list[Array] = []
        a = [X]
        for theta, name in zip(self.thetas, self.activations, strict=True):
            z.append(with_bias(a[-1]) @ theta.T)
            a.append(activate(name, z[-1]))
        return z, a


@dataclass(frozen=True)
class _Problem:
    network: _Network
    X: Array
    Y: Array
    lam: float
    minimised: Cost

    @classmethod
    def read(
        cls,
        thetas: Iterable[ArrayLike],
        X: ArrayLike,
        Y: ArrayLike,
        lam: float,
        minimised: Cost,
        examples: str,
        units: str,
    ) -> _Problem:
        network = _Network.read(thetas, minimised.activation, minimised.output, units)
        inputs = network.inputs(X, examples)
        hint = "; class labels become targets with one_hot(labels, K)"
        targets = _turned(matrix("Y", Y, hint), examples)
        m, K = len(inputs), len(network.thetas[-1])
        if targets.shape != (m, K):
            raise ValueError(
                f"Y has shape {np.shape(Y)}: expected {_shape(m, K, layout=examples)}, "
                f"for {m} examples and {K} outputs{hint}"
            )
        return cls(network, inputs, targets, non_negative("lam", lam), minimised)

    @property
    def divisor(self) -> int:
        return self.minimised.divisor(len(self.X))

    def cost(self, z: Sequence[Array]) -> float:
        options = self.minimised
        costs = example_costs(
            z[-1], self.Y, loss=options.loss, output_activation=options.output_activation
        )
        return float(costs.sum()) / self.divisor + penalty(
            self.network.thetas, self.lam, self.divisor
        )

    def deltas(self, z: Sequence[Array]) -> list[Array]:
        thetas, names, options = self.network.thetas, self.network.activations, self.minimised
        delta = [
            delta_output(
                z[-1], self.Y, loss=options.loss, output_activation=options.output_activation
            )
        ]
        for i in reversed(range(len(thetas) - 1)):
            delta.insert(0, delta_hidden(thetas[i + 1], delta[0], z[i], names[i]))
        return delta
