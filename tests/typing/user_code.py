"""What users write, room by room: it runs, and type checkers find nothing to say about it.

``assert_type`` says what a checker must see; test_user_code.py asks mypy, strictly, and pyright.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_type

import chainrule as cr
from chainrule import Value, backprop, checking, nn, viz

# --- arithmetic and functions -------------------------------------------------------------------

x, w, b = Value(0.5, "x"), Value(-3.0, label="w"), Value(Fraction(1, 3))
z = w * x + b
assert_type(z, Value)
assert_type(2 * x - 1, Value)
assert_type(1 / x**2, Value)
assert_type(x % 2 + 7.5 % x, Value)
assert_type(np.float32(2.0) + x, Value)
assert_type(-x + abs(w), Value)
assert_type(x > 0, bool)
assert_type(max(x, w), Value)
assert_type(cr.tanh(z), Value)
assert_type(cr.tanh(0.5), float)
assert_type(cr.tanh(1), float)
assert_type(cr.asin(x) + cr.erf(x) + cr.cbrt(x) + cr.log2(x), Value)
assert_type(z.tanh().sigmoid().exp2(), Value)
assert_type(x.atan() * x.arctan() + x.leaky_relu(0.1), Value)
assert_type(cr.hypot(x, 2.0), Value)
assert_type(cr.atan2(1.0, x), Value)
assert_type(cr.hypot(3, 4), float)
assert_type(cr.maximum(x, 0.0, w), Value)
assert_type(cr.minimum(1.0, 2.0), float)
assert_type(cr.where(x > 0, x, 0.0), Value)
assert_type(cr.leaky_relu(x), Value)
assert_type(cr.abs(-2.0), float)
z.backward()
assert_type(z.data + w.grad, float)
assert_type(z.parents, tuple[Value, ...])
assert_type(z.detach(), Value)
with cr.no_grad():
    z = w * x
with cr.detect_anomaly():
    z = w * x

# --- arrays -------------------------------------------------------------------------------------

numbers = np.linspace(-1.0, 1.0, 5)
assert_type(cr.sigmoid(numbers), NDArray[Any])
assert_type(x * numbers, NDArray[Any])
assert_type(cr.where(numbers > 0, numbers, x), NDArray[Any])
row: NDArray[np.object_] = np.array([Value(float(v)) for v in numbers], dtype=object)
energy: Value = cr.sum(cr.square(row) * 0.5)
score: Value = cr.dot(row, numbers)
energy.backward()
first: Value = row[0]
slopes: list[float] = [v.grad for v in row]

# --- many terms ---------------------------------------------------------------------------------

weights = [Value(0.1), Value(0.2)]
mixed: list[Value | float] = [Value(1.0), 2.0]
assert_type(cr.sum(weights), Value)
assert_type(cr.sum([1.0, 2.0]), float)
assert_type(cr.mean(mixed), Value)
assert_type(cr.dot(weights, [1.0, 2.0], bias=0.5), Value)
assert_type(cr.dot(weights, mixed), Value)
assert_type(cr.softmax(weights), list[Value])
assert_type(cr.softmax([1.0, 2.0]), list[float])
assert_type(cr.logsumexp(v * 2 for v in weights), Value)
assert_type(cr.take(weights, 1), Value)
assert_type(sum(weights, Value(0.0)), Value)

# --- derivatives --------------------------------------------------------------------------------


def potential(position: Value, stiffness: float = 2.0) -> Value:
    return 0.5 * stiffness * position**2 - cr.cos(position)


def rosenbrock(point: list[Value]) -> Value:
    a, b = point
    return (1 - a) ** 2 + 100 * (b - a**2) ** 2


force = cr.grad(potential)
assert_type(force(0.3), float)
assert_type(force(Value(0.3)), Value)
assert_type(cr.grad(cr.grad(potential))(0.3), float)
assert_type(cr.grad(cr.tanh)(0.3), float)
assert_type(cr.grad(lambda v: v**3)(2.0), float)
assert_type(cr.grad(rosenbrock)([1.0, 2.0]), list[float])
assert_type(cr.value_and_grad(rosenbrock)([1.0, 2.0]), tuple[float, list[float]])
by_both = cr.grad(lambda u, v: u * v, argnums=(0, 1))(2.0, 3.0)
assert_type(by_both, tuple[Any, ...])
assert_type(cr.gradients(z, [w, x]), list[float])
(linked,) = cr.gradients(w**3, [w], create_graph=True)
assert_type(linked, Value)


def polar(r: Value, angle: Value) -> list[Value]:
    return [r * cr.cos(angle), r * cr.sin(angle)]


def energy_of(r: Value, angle: Value) -> Value:
    return r**2 + cr.sin(angle)


assert_type(cr.jvp(potential, (0.3,), (1.0,)), tuple[float, float])
assert_type(cr.jvp(potential, (x,), (1.0,)), tuple[Value, Value])
assert_type(cr.jvp(rosenbrock, ([1.0, 2.0],), ([0.0, 1.0],)), tuple[float, float])
assert_type(cr.jvp(polar, (1.0, 2), [1.0, 0.0]), tuple[list[float], list[float]])
moved, along = cr.jvp(lambda u, v: (u * v, u + v), (1.0, 2.0), (1.0, 0.0))
value, pull = cr.vjp(potential, 0.3)
assert_type(value, float)
assert_type(pull(1.0), tuple[float, ...])
both, pull_both = cr.vjp(polar, 1.0, 2.0)
assert_type(both, list[float])
assert_type(pull_both([1.0, 0.0]), tuple[float, ...])
linked_value, linked_pull = cr.vjp(energy_of, x, w)
assert_type(linked_pull(1.0)[0] * linked_value, Value)
summed, pull_array = cr.vjp(lambda v: cr.sum(v * v), numbers)
array_slopes: NDArray[np.float64] = pull_array(1.0)[0]
assert_type(cr.hessian(rosenbrock)([1.0, 2.0]), NDArray[Any])
assert_type(cr.hessian(rosenbrock)(np.array([1.0, 2.0])), NDArray[Any])
assert_type(cr.hessian(energy_of)(1.0, 2.0), NDArray[Any])
assert_type(cr.hessian(potential)(0.3), float)
assert_type(cr.hessian(potential)(x), Value)
assert_type(cr.jacobian(polar)(1.0, 2.0), NDArray[Any])
assert_type(cr.jacobian(polar, mode="forward")(1.0, 2.0), NDArray[Any])
assert_type(cr.jacobian(energy_of)(1.0, np.float64(2.0)), NDArray[Any])
jacobian: NDArray[np.float64] = cr.jacobian(lambda u, v: [u * v, u + v])(1.0, 2.0)
eigenvalues = np.linalg.eigvalsh(cr.hessian(lambda u, v: u * v)(1.0, 2.0))
assert_type(cr.hvp(energy_of, (1.0, 2.0), (1.0, 0.0)), tuple[float, ...])
assert_type(cr.hvp(energy_of, [x, w], [1.0, 0.0]), tuple[Value, ...])
product = cr.hvp(lambda u, v: u * v, (1.0, 2.0), (1.0, 0.0))
both_of_them = cr.hvp(energy_of, (1.0, 2.0), (1.0, 0.0), with_gradient=True)
assert_type(both_of_them, tuple[tuple[float, ...], tuple[float, ...]])
linked_both = cr.hvp(energy_of, [x, w], [1.0, 0.0], with_gradient=True)
assert_type(linked_both, tuple[tuple[Value, ...], tuple[Value, ...]])
cr.write_data([x, w], cr.read_data([x, w]))

# --- loops --------------------------------------------------------------------------------------


def grow(size: Value | float, rate: Value | float) -> tuple[Value | float, Value | float]:
    return size * (1 + rate), size


def fall(state: tuple[Value, Value], _: None) -> tuple[tuple[Value, Value], None]:
    height, speed = state
    return (height + 0.1 * speed, speed - 0.981), None


final, sizes = cr.scan(grow, 1.0, [0.1, 0.2])
assert_type(final, Value | float)
assert_type(sizes, list[Value | float])
assert_type(cr.scan(fall, (x, w), length=10), tuple[tuple[Value, Value], None])
total, partial_sums = cr.scan(lambda c, u: (c + u, c * w), x, [1.0, 2.0])
total.backward()
(last_height, _), heights = cr.scan(lambda s, u: ((s[0] + u, s[1]), s[0]), (x, w), numbers)
ended: tuple[Value, list[tuple[Value, Value]]] = cr.scan(
    lambda s, uv: (s * uv[0] + uv[1], None), x, ([1.0, 2.0], [3.0, 4.0])
)
assert_type(cr.while_loop(lambda v: v > 1.0, lambda v: v / 2, x), Value)
assert_type(cr.while_loop(lambda v: v[0] > 1.0, lambda v: [v[0] / 2], [x]), list[Value])
assert_type(cr.while_loop(lambda v: v > 1.0, lambda v: v / 2, 8.0, limit=None), float)
assert_type(cr.fixed_point(math.cos, 0.5), float)
solved: Value = cr.root(lambda v: v * v - x, 1.0, tolerance=1e-9, limit=20)
place: list[float] = cr.root(lambda v: [v[0] - 1.0, v[0] * v[1]], [1.0, 1.0])
assert_type(cr.grad(lambda a: cr.root(lambda v: v * v - a, 1.0))(2.0), float)

# --- a row of one's own -------------------------------------------------------------------------

cube = cr.primitive("cube of the page", lambda v: v * v * v, (lambda v, y: 3.0 * cr.square(v),))
assert_type(cube(x), Value)
assert_type(cube(2.0), float)

# --- networks -----------------------------------------------------------------------------------

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = [0.0, 1.0, 1.0, 0.0]
model = nn.MLP(2, [4, 1], activation="tanh", seed=1)
optimiser = nn.optim.Adam(model.parameters(), lr=nn.optim.cosine(0.1, total=20))
for _ in range(3):
    optimiser.zero_grad()
    losses = [nn.losses.logistic(model(row), y) for row, y in zip(X, Y, strict=True)]
    loss: Value = cr.mean(losses) + nn.losses.l2(model, lam=1e-3, m=len(Y))
    loss.backward()
    optimiser.step()
hidden = nn.Layer(2, 3, "relu", seed=0)
assert_type(hidden([1.0, x]), list[Value])
assert_type(nn.Neuron(2)([1.0, 2.0]), Value)
theta: NDArray[np.float64] = model.thetas[0]
trace = model.trace([1.0, 0.0])
assert_type(trace.z[2][0], Value)
single: Value = model(X[0])
assert_type(model([x, 0.5]) * 2 - 1.0, Value)
assert_type(model((0, 1)).sigmoid(), Value)
activated: Value = cr.tanh(trace.output)
classifier = nn.MLP(2, [4, 3], output_activation="softmax", seed=1)
several: list[Value] = classifier([1.0, w])
assert_type(classifier([1.0, w])[0], Value)
assert_type([p.data for p in classifier(X[1])], list[float])
chosen = nn.losses.cross_entropy(classifier(X[0]), 2)
state = model.state_dict()
model.load_state_dict(state)

# --- the other rooms ----------------------------------------------------------------------------


@cr.compile
def squared(features: list[Value], target: Value) -> Value:
    return cr.square(cr.dot(weights, features) - target)


mean, gradient = squared.value_and_grad(X, Y)
assert_type(mean, float)
assert_type(squared.source, str)
picture = viz.draw(z, theme="dark", direction="down", unfold=True)
assert_type(picture.svg, str)


@cr.scope("block")
def block(h: Value, size: float) -> Value:
    with cr.scope("inside"):
        return cr.tanh(h * size)


assert_type(block(z, 2.0), Value)
check = checking.check_gradients(potential, 0.3, order=2)
assert_type(check.ok, bool)
theirs = backprop.gradients(list(model.thetas), X, np.array(Y)[:, None], loss="logistic",
                            activation="tanh")  # fmt: skip
