"""The C that is printed: compiled without a warning, run, and compared with the machine."""

import ctypes
import math
import random
import shutil
import subprocess

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.compiler.plan import BLOCK, ONE_MINUS, ONE_MINUS_SQUARE, STILL, Operand, Plan, Step
from chainrule.compiler.printers import c
from chainrule.engine.table import rows

from . import families

CC = shutil.which("cc")
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
STRICT = {"double": ["-Wshadow"], "float": ["-Wshadow", "-Wdouble-promotion"]}

needs_cc = pytest.mark.skipif(CC is None, reason="there is no C compiler called cc")

EXAMPLES = 4


def built(text, folder, name="model", precision="double"):
    """Compile *text* without a warning, and load it."""
    source, library = folder / f"{name}.c", folder / f"{name}.so"
    source.write_text(text, encoding="ascii")
    command = [CC, *FLAGS, *STRICT[precision], "-shared", "-fPIC", "-o", library, source, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


class Printed:
    """A printed program, compiled and loaded."""

    def __init__(self, f, folder, precision="double", name="model"):
        self.f, self.name = f, name
        self.real = {"double": ctypes.c_double, "float": ctypes.c_float}[precision]
        self.dtype = np.dtype(self.real)
        self.text = f.c(precision=precision, name=name)
        self.library = built(self.text, folder, name, precision)

    def pointer(self, numbers):
        flat = np.ascontiguousarray(numbers, dtype=self.dtype).ravel()
        return (self.real * max(1, flat.size))(*flat.tolist())

    @property
    def given(self):
        """The parameters, if there are any: first those of the gradient, then all others."""
        leaves = list(self.f.parameters)
        leaves += [leaf for leaf in self.f.placed if leaf not in set(leaves)]
        return [self.pointer([leaf.data for leaf in leaves])] if leaves else []

    def forward(self, arrays, size):
        function = getattr(self.library, f"{self.name}_forward")
        function.restype = None
        found = []
        for example in zip(*arrays, strict=True) if arrays else [()]:
            result = (self.real * size)()
            function(*self.given, *map(self.pointer, example), result)
            found.append(list(result))
        return np.array(found)

    def gradient(self, arrays):
        function = getattr(self.library, f"{self.name}_gradient")
        function.restype = self.real
        found = (self.real * max(1, len(self.f.parameters)))(*[7.0] * len(self.f.parameters))
        m = [len(arrays[0])] if arrays else []
        mean = function(*self.given, *m, *map(self.pointer, arrays), found)
        return mean, np.array(found)[: len(self.f.parameters)]


def check(f, arrays, folder, tolerance=1e-13, precision="double"):
    """Compare the printed program with the machine, on the results and the gradient."""
    f.record(*arrays)
    printed = Printed(f, folder, precision)
    table = f(*arrays)
    results = leaves_of(table)
    rows_ = np.reshape(results, (-1, len(arrays[0]) if arrays else 1)).T
    for _ in range(2):  # nothing is left behind by a call
        found = printed.forward(arrays, rows_.shape[1])
        assert np.allclose(found, rows_, rtol=tolerance, atol=tolerance), printed.text
        if rows_.shape[1] == 1:
            mean, gradient = printed.gradient(arrays)
            expected, slopes = f.value_and_grad(*arrays)
            scale = max(1.0, np.abs(slopes).max(initial=0.0))
            assert math.isclose(mean, expected, rel_tol=tolerance, abs_tol=tolerance)
            assert np.abs(gradient - slopes).max(initial=0.0) <= 5 * tolerance * scale
    return printed


def leaves_of(x):
    """Return the arrays in a result, in order."""
    if isinstance(x, dict):
        x = list(x.values())
    return [y for v in x for y in leaves_of(v)] if isinstance(x, list) else [np.asarray(x, float)]


# --- programs ------------------------------------------------------------------------------------


def network(activation, loss, outputs=3):
    def make(rng):
        net, _ = families.mlp(rng, [4, 5, outputs], activation=activation)
        X = np.array(families.numbers(rng, EXAMPLES, 4))
        Y = np.abs(np.array(families.numbers(rng, EXAMPLES, outputs)))
        return lambda x, y: loss(net(x), y), [X, Y / Y.sum(axis=1, keepdims=True)]

    return make


def classes(rng):
    net, _ = families.mlp(rng, [3, 4, 3], activation=cr.relu)
    X = np.array(families.numbers(rng, EXAMPLES, 3))
    return lambda x, k: nn.losses.cross_entropy(net(x), k), [X, np.array([0.0, 2.0, 1.0, 1.0])]


def binary(rng):
    net, _ = families.mlp(rng, [3, 4, 1], activation=cr.sigmoid)
    X = np.array(families.numbers(rng, EXAMPLES, 3))
    return lambda x, y: nn.losses.logistic(net(x), [y]), [
        X,
        np.array([0.0, 1.0, 1.0, 0.0]),
    ]


def recurrence(rng):
    w, u = families.values(rng, 3, 3), families.values(rng, 3, 2)

    def f(xs):
        h = [0.1, 0.2, 0.3]
        for x in xs:
            h = [cr.tanh(cr.dot(w[i], h) + cr.dot(u[i], x)) for i in range(3)]
        return cr.sum([cr.square(v) for v in h])

    return f, [np.array(families.numbers(rng, EXAMPLES, 6, 2))]


def choosing(rng):
    table, w = families.values(rng, 5, 3), families.values(rng, 3)

    def f(k, x):
        row = cr.take(table, k)
        return cr.sum([cr.where(cr.less(0.0, x[i]), row[i] * w[i], cr.exp(row[i])) for i in range(3)])

    return f, [np.array([0.0, 4.0, 2.0, 4.0]), np.array(families.numbers(rng, EXAMPLES, 3))]


def careful(rng):
    w = families.values(rng, 4, 4)

    def f(x):
        z = [cr.dot(row, x) for row in w]
        return cr.logsumexp(z) + cr.maximum(*z) * cr.minimum(*z[:2]) + cr.mean(cr.softmax(z[1:]))

    return f, [np.array(families.numbers(rng, EXAMPLES, 4))]


def oscillator(rng):
    k, damping = families.values(rng, 2)

    def f(x):
        position, speed = x
        for _ in range(12):
            force = -k * cr.sin(position) - damping * speed
            speed = speed + 0.05 * force
            position = position + 0.05 * speed
        return position * position + cr.hypot(speed, 2.0) + cr.atan2(speed, position)

    return f, [np.array(families.numbers(rng, EXAMPLES, 2))]


def attention(rng):
    q, k = families.values(rng, 4, 3), families.values(rng, 4, 3)

    def f(xs):
        queries = [[cr.dot(row, x) for row in q] for x in xs]
        keys = [[cr.dot(row, x) for row in k] for x in xs]
        total = 0.0
        for i, query in enumerate(queries):
            p = cr.softmax([cr.dot(query, key) for key in keys[: i + 1]])
            total = total + cr.sum([share * x[0] for share, x in zip(p, xs, strict=False)])
        return total

    return f, [np.array(families.numbers(rng, EXAMPLES, 5, 3))]


def everything(rng):
    w = families.values(rng, 6)
    unary = [cr.silu, cr.gelu, cr.softplus, cr.cbrt, cr.erf, cr.atan, cr.asinh, cr.expm1]

    def f(x):
        found = [op(w[i % 6] * x[i % 3]) for i, op in enumerate(unary)]
        found.append(cr.log(1.0 + cr.exp(w[0])) * cr.leaky_relu(x[0] * w[1], 0.1))
        return {"a": cr.sum(found), "b": [found[2] / (2.0 + w[3] ** 2), x[1]]}

    return f, [np.array(families.numbers(rng, EXAMPLES, 3))]


def constant(rng):
    return lambda x: families.values(rng) * 0.0 + 3.0, [np.ones((EXAMPLES, 1))]


PROGRAMS = {
    "sigmoid, squared": network(cr.sigmoid, families.squared),
    "tanh, logistic": network(cr.tanh, families.logistic),
    "relu, softmax, log": network(cr.relu, families.cross_entropy),
    "silu, logsumexp": network(cr.silu, families.log_cross_entropy),
    "shares": network(cr.tanh, nn.losses.cross_entropy),
    "classes": classes,
    "binary": binary,
    "recurrence": recurrence,
    "where and take": choosing,
    "logsumexp, maximum, softmax": careful,
    "oscillator": oscillator,
    "attention": attention,
    "many operations, several results": everything,
    "constant": constant,
}


@needs_cc
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("precision", ["double", "float"])
def test_printed_c_computes_what_the_machine_computes(name, precision, tmp_path):
    function, arrays = PROGRAMS[name](random.Random(name))
    tolerance = {"double": 1e-13, "float": 1e-5}[precision]
    check(cr.compile(function), arrays, tmp_path, tolerance, precision)
