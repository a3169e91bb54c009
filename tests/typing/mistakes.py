"""Mistakes that type checkers report: every line that ends in "# wrong" must be, and no other."""

from __future__ import annotations

import math

import chainrule as cr
from chainrule import Value, checking, nn, viz

x, w = Value(2.0), Value(-3.0)
model = nn.MLP(2, [3, 1], activation="tanh")


def cost(a: Value, b: Value) -> Value:
    return a * b


def pair(a: Value, b: Value) -> list[Value]:
    return [a, b]


Value("2.0")  # wrong
Value(1j)  # wrong
Value(2.0, 3.0)  # wrong
x.data = "text"  # wrong
x + "text"  # wrong
[1.0] * x  # wrong
x - None  # wrong
(w * 2).dat  # wrong
x.backwards()  # wrong
x.tahn()  # wrong
x < "text"  # wrong
float(x)  # wrong
math.exp(x)  # wrong
cr.tanh("text")  # wrong
cr.tanh()  # wrong
cr.tanh(x, w)  # wrong
cr.tanh([1.0, 2.0])  # wrong
cr.hypot(x)  # wrong
cr.maximum()  # wrong
cr.maximum(x, None)  # wrong
cr.where(x > 0, x)  # wrong
cr.tanhh(x)  # wrong
cr.sum(x)  # wrong
cr.sum(["a", "b"])  # wrong
cr.dot([x, w])  # wrong
cr.grad(3)  # wrong
cr.grad(x * w)  # wrong
cr.grad(cost, argnum=1)  # wrong
cr.gradients(cost, [x])  # wrong
cr.gradients(x * w, [1.0])  # wrong
cr.grad(cost)(1.0, 2.0).backward()  # wrong
cr.tanh(0.5).backward()  # wrong
cr.compile(3)  # wrong
cr.compile(cost, backend=3)  # wrong
cr.compile(cost).jacobian([1.0], [2.0], mode="sideways")  # wrong
cr.primitive("twice", lambda v: 2 * v, lambda v, y: 2.0)  # wrong
nn.MLP("2", [3, 1])  # wrong
nn.MLP(2, [3, 1], activation=3)  # wrong
nn.optim.SGD(model, lr=0.1)  # wrong
nn.optim.SGD(model.parameters(), learning_rate=0.1)  # wrong
nn.optim.Adam(model.parameters(), lr="0.1")  # wrong
nn.losses.logistic("text", 1.0)  # wrong
nn.losses.squared_error(x, None)  # wrong
nn.losses.half_squared_error(x, 1.0).dat  # wrong
nn.losses.cross_entropy([x, w], "first")  # wrong
model("text")  # wrong
model([None, 2.0])  # wrong
model([1.0, 2.0]).dat  # wrong
model([1.0, 2.0]).backwards()  # wrong
model([1.0, 2.0])["first"]  # wrong
nn.Layer(2, 3)(["a", "b"])  # wrong
nn.Neuron(2)([1.0, 2.0])[0]  # wrong
cr.jvp(cost, 1.0, 1.0)  # wrong
cr.jvp(cost, (1.0, 2.0), (1.0, 0.0))[1].backward()  # wrong
cr.vjp(3, 1.0)  # wrong
cr.vjp(cost, 1.0, 2.0)[0].backward()  # wrong
cr.vjp(cost, 1.0, 2.0)[1]()  # wrong
cr.jacobian(x * w)  # wrong
cr.jacobian(cost)(1.0, 2.0).backward()  # wrong
cr.hessian(pair)  # wrong
cr.hessian(cost)("text")  # wrong
cr.hessian(cost)(1.0, 2.0).dat  # wrong
cr.hvp(pair, (1.0, 2.0), (1.0, 0.0))  # wrong
cr.hvp(cost, (1.0, 2.0))  # wrong
cr.hvp(cost, (1.0, 2.0), (1.0, 0.0))[0].backward()  # wrong
cr.scan(3, 0.0, [1.0])  # wrong
cr.scan(cost, x, [1.0])  # wrong
cr.scan(pair, x, [w], "3")  # wrong
cr.while_loop(x, cr.tanh, w)  # wrong
cr.while_loop(lambda v: v > 1.0, lambda v: v / 2, x).dat  # wrong
cr.root(x, 1.0)  # wrong
cr.root(math.cos, 1.0, limit="3")  # wrong
cr.fixed_point(math.cos, 1.0).backward()  # wrong
model.load_state_dict(model.parameters())  # wrong
model.trace([1.0, 2.0]).z[2][0].dat  # wrong
viz.draw(3)  # wrong
viz.draw_network(x)  # wrong
viz.explore_network(cost, [[1.0]], [1.0], loss="logistic")  # wrong
viz.draw(x * w).sgv  # wrong
checking.check_gradients(x)  # wrong
