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
from chainrule.compiler import pieces
from chainrule.compiler.machine import Machine
from chainrule.compiler.plan import BLOCK, ONE_MINUS, ONE_MINUS_SQUARE, STILL, Operand, Plan, Step
from chainrule.compiler.printers import c
from chainrule.engine import bodies, table
from chainrule.engine.table import BUILT_IN, TABLE

from . import families, test_loops

pytestmark = pytest.mark.text_alone

CC = shutil.which("cc")
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
STRICT = {"double": ["-Wshadow"], "float": ["-Wshadow", "-Wdouble-promotion"]}

needs_cc = pytest.mark.skipif(CC is None, reason="there is no C compiler called cc")

EXAMPLES = 4


def built(text, folder, name="model", precision="double"):
    """Compile *text* without a warning, and load it."""
    folder.mkdir(exist_ok=True)
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
    results = leaves_of(f(*arrays))
    rows_ = np.reshape(results, (-1, len(arrays[0]) if arrays else 1)).T
    for _ in range(2):  # nothing is left behind by a call
        found = printed.forward(arrays, rows_.shape[1])
        assert np.allclose(found, rows_, tolerance, tolerance, equal_nan=True), printed.text
        if rows_.shape[1] == 1:
            mean, gradient = printed.gradient(arrays)
            expected, slopes = f.value_and_grad(*arrays)
            finite = np.isfinite(slopes)
            allowed = 5 * tolerance * max(1.0, np.abs(slopes[finite]).max(initial=0.0))
            assert math.isclose(mean, expected, rel_tol=tolerance, abs_tol=tolerance)
            assert np.allclose(gradient, slopes, 0.0, allowed, equal_nan=True)
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
        return cr.sum(
            [cr.where(cr.less(0.0, x[i]), row[i] * w[i], cr.exp(row[i])) for i in range(3)]
        )

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


def infinite(rng):
    w = families.values(rng, 4)

    def f(c):
        return cr.sum([a * b for a, b in zip(cr.softmax(w), c, strict=True)])

    return f, [np.array([[math.inf, 0.5, -1.0, 2.0], [1.0, 0.5, math.inf, 0.0]])]


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
    "infinite adjoints": infinite,
    "constant": constant,
}


@needs_cc
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("precision", ["double", "float"])
def test_printed_c_computes_what_the_machine_computes(name, precision, tmp_path):
    function, arrays = PROGRAMS[name](random.Random(name))
    tolerance = {"double": 1e-13, "float": 1e-5}[precision]
    check(cr.compile(function), arrays, tmp_path, tolerance, precision)


@needs_cc
def test_a_graph_has_no_batch_and_wrt_says_which_derivatives_come_first(tmp_path):
    a, b, unread = cr.Value(0.7), cr.Value(-1.2), cr.Value(3.0)
    check(cr.compile(cr.tanh(a * b) + a), [], tmp_path)
    f = cr.compile(lambda x: cr.sin(a * x) * b, wrt=[b, unread])
    printed = check(f, [np.array([0.3, 0.4])], tmp_path / "other")
    assert len(printed.given[0]) == 3


@needs_cc
@pytest.mark.parametrize(("steps", "tabular"), [(6, False), (60, True)])
def test_a_graph_without_width_is_assignments_or_if_they_are_many_a_table(steps, tabular, tmp_path):
    k, damping, unread = cr.Value(0.8), cr.Value(0.1), cr.Value(1.0)

    def f(x):
        position, speed = x
        for _ in range(steps):
            speed = speed - 0.05 * (k * cr.sin(position) + damping * speed)
            position = position + 0.05 * speed
        return position * speed

    X = np.array([[0.3, 0.4], [1.0, -0.5]])
    for wrt in (None, [damping, unread, k], [damping]):
        printed = check(cr.compile(f, wrt=wrt), [X], tmp_path / str(wrt and len(wrt)))
        assert ("switch" in printed.text) is tabular


# --- every code and every row --------------------------------------------------------------------


@needs_cc
@pytest.mark.parametrize("make", test_loops.LOOPS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("width", [0, 1_000_000], ids=["arrays", "numbers"])
def test_a_loop_is_a_loop_in_c(make, width, tmp_path, monkeypatch):
    monkeypatch.setattr(bodies, "LEAST_WORK", 1)
    monkeypatch.setattr(pieces, "WIDTH", width)
    f = cr.compile(make()[1])
    check(f, (test_loops.X, test_loops.XS), tmp_path, tolerance=1e-12)
    assert f"for (int round = 0; round < {test_loops.STEPS}; round++) {{" in f.c_source


def signature(plan, name="plan"):
    count = plan.parameters[1] - plan.parameters[0]
    arguments = [(f"x{i}", f"X{i}", (n,)) for i, (_, n) in enumerate(plan.inputs)]
    return c.Signature(name, arguments, (len(plan.outputs),), [""] * count, range(count))


def run(plan, parameters, arrays, folder):
    """Return the outputs of a plan by the machine in NumPy and by the printed C."""
    text = c.write({"forward": plan}, signature(plan))
    library = built(text, folder, "plan")
    expected = Machine(plan).run([cr.Value(x) for x in parameters], arrays)
    found = []
    given = [(ctypes.c_double * len(parameters))(*parameters)] if parameters else []
    for example in zip(*arrays, strict=True) if arrays else [()]:
        result = (ctypes.c_double * len(plan.outputs))()
        pointers = [(ctypes.c_double * len(x))(*x) for x in example]
        library.plan_forward(*given, *pointers, result)
        found.append(list(result))
    return np.array(found).T, expected


def block(offset, *strides):
    return Operand(BLOCK, offset, strides)


def still(offset, *strides):
    return Operand(STILL, offset, strides)


# The argument has the rows 0 to 11, of which 0 to 3 may be indices; from 12 on are results.
MULTIPLY = [table.multiply, table.maximum, table.logsumexp_of, table.softmax_entry, table.power]
CODES = {
    "apply": [Step("apply", (2, 3), (block(12, 3, 1), block(4, 1, 2), still(1, 0, 1)), (0,))],
    "many": [
        Step("apply", (2,), (block(12, 1), still(6, 0), block(4, 1), block(6, 2)), (3,)),
        Step("apply", (2,), (block(14, 1), block(0, 0), block(4, 1), block(6, 2)), (1,)),
        Step("apply", (2,), (block(16, 1), block(0, 0), block(4, 1), block(6, 2)), (2,)),
    ],
    "complements": [
        Step("apply", (2,), (block(12, 1), block(4, 1)), (5,)),
        Step("one_minus", (2,), (block(14, 1), block(12, 1), block(4, 1))),
        Step("apply", (2,), (block(16, 1), block(4, 1)), (6,)),
        Step("one_minus_square", (2,), (block(18, 1), block(16, 1), block(4, 1))),
    ],
    "add": [
        Step("copy", (6,), (block(12, 1), still(4, 0))),
        Step("add", (2, 3), (block(12, 1, 2), block(4, 3, 1))),
    ],
    "by tables": [
        Step("copy", (9,), (block(12, 1), still(4, 0))),
        Step("gather", (3,), (block(12, 1), block(4, 2)), (0,)),
        Step("scatter", (3,), (block(15, 1), block(4, 1)), (0,)),
        Step("scatter_add", (3,), (block(18, 1), block(4, 1)), (1,)),
        Step("gather", (2,), (block(21, 1), block(0, 1)), (7,)),  # all of it behind the argument
        Step("scatter", (1,), (block(2, 1), still(5, 1)), (8,)),
    ],
    "product": [
        Step("product", (2, 2, 3), (block(12, 2, 1, 0), block(4, 3, 0, 1), still(1, 0, 1, 0)))
    ],
    "linked product": [
        Step(
            "linked_product",
            (2, 3),
            (block(12, 1, 0), block(4, 3, 1), still(5, 0, 1), still(5, 0, 1)),
        )
    ],
    "squared distance": [
        Step(
            "squared_distance",
            (2, 3),
            (block(12, 1, 0), block(4, 0, 1), still(1, 1, 1)),
            (1,),
        ),
        Step("squared_distance", (1,), (block(14, 0), block(4, 0), still(1, 0)), (1,)),
    ],
    "weighted difference": [
        Step(
            "weighted_difference",
            (2, 3),
            (block(12, 0, 0), block(8, 1, 0), block(4, 0, 1), still(1, 1, 1)),
            (2,),
        ),
        Step(
            "weighted_difference",
            (2, 3),
            (block(13, 3, 1), block(8, 1, 0), block(4, 0, 1), still(1, 1, 1)),
            (0,),
        ),
    ],
    "sum": [
        Step("sum", (2, 2, 2), (block(12, 1, 0, 0), block(4, 1, 4, 2)), (2,)),
        Step("sum", (2,), (block(14, 1), block(4, 1)), (0,)),
    ],
    "one hot": [Step("one_hot", (2, 4), (block(12, 4, 1), block(0, 1, 0)))],
    "pick": [Step("pick", (2, 3), (block(12, 3, 1), block(0, 1, 0), still(1, 0, 1)), (2, 3))],
    "calls": [Step("call", (), (), (1, 2)), Step("call", (), (), (4, 3))],
    "flat": [Step("flat", (), (), (4,))],
    "long flat": [Step("flat", (), (), (5,))],
}
for _code in ("segment_sum", "maximum", "minimum", "logsumexp"):
    CODES[_code] = [
        Step(_code, (2, 4), (block(12, 1, 0), block(4, 4, 1))),
        Step(_code, (2, 4), (block(14, 2, 1), block(4, 1, 2)), (6,)),
    ]
for _code in ("softmax", "logsumexp_slopes"):
    CODES[_code] = [
        Step(_code, (1, 4), (block(12, 4, 1), block(4, 4, 2))),
        Step(_code, (1, 4), (block(16, 8, 2), block(4, 4, 1)), (6,)),
    ]
CODES["softmax pullback"] = [
    Step("softmax", (4,), (block(12, 1), block(4, 1))),
    Step("softmax_pullback", (4,), (block(16, 1), block(12, 1), block(8, 1))),
    Step("softmax_pullback", (4,), (block(20, 1), block(12, 1), still(1, 0)), (6,)),
]
CODES["losses"] = [
    Step("surprisals", (2, 3), (block(12, 1, 2), block(4, 3, 1))),
    Step("cross_entropy", (2, 3), (block(18, 1, 0), block(4, 3, 1), still(1, 0, 1))),
    Step("softmax_minus", (1, 4), (block(20, 0, 1), block(4, 1, 2), still(1, 0, 1))),
]


def plan_of(steps):
    flat = [
        [0, 12, 4, ~1, 0],
        [5, 13, 12, 0, 0],
        [ONE_MINUS, 14, 13, 12, 0],
        [6, 15, 4, 0, 0],
        [ONE_MINUS_SQUARE, 16, 15, 4, 0],
        [4, 17, 13, ~2, 0],
        [1, 18, 4, 5, 0],
        [7, 19, 0, 4, 5],
    ]
    more = [[0, 20 + i % 4, 4 + i % 3, 8 + i % 2, 0] for i in range(250)]
    tables = [
        [2, 0, 1],
        [1, 1, 0],
        [12, 4, 5, 6],
        [13, 5, ~1],
        flat,
        flat + more,
        [0, 1],
        [12, 13],
        [21],
    ]
    return Plan(
        rows=[*MULTIPLY, table.sigmoid, table.tanh, table.where],
        tables=[np.array(x) for x in tables],
        still=np.array([0.0, 0.0, 0.0, 0.0, 0.25, 1.0, 0.0, 2.0]),
        block=24,
        parameters=(1, 4),
        inputs=[(0, 12)],
        each=[Step("copy", (12,), (block(12, 1), still(7, 0))), *steps],
        outputs=[block(i) for i in range(12, 24)],
    )


@needs_cc
@pytest.mark.parametrize("name", CODES)
def test_every_code(name, tmp_path):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(3, 12))
    X[:, :4] = [[0, 1, 1, 0], [1, 0, 0, 1], [1, 1, 0, 0]]
    X[2, 4:8] = [40.0, 0.0, -3.0, 1.0]  # a softmax that is almost 1
    found, expected = run(plan_of(CODES[name]), [0.5, 0.3, 0.2], [X], tmp_path)
    assert np.allclose(found, expected, rtol=1e-13, atol=1e-14, equal_nan=True)


POINTS = [0.0, -0.0, 0.5, -0.7, 1.0, -1.0, 2.0, 30.0, -800.0, 1e-300, math.inf, -math.inf, math.nan]
PRINTABLE = [
    row
    for name, row in TABLE.items()
    if name in BUILT_IN and row.arity in (1, 2) and row is not table.dot_product
]


@needs_cc
def test_every_row_has_the_engine_s_values_also_at_the_edges(tmp_path):
    pairs = [(a, b) for a in POINTS for b in (0.0, 0.5, -1.0, 2.0, math.inf, math.nan)]
    steps = [[i, 2 + i, 0, 1 if row.arity == 2 else 0, 0] for i, row in enumerate(PRINTABLE)]
    plan = Plan(
        rows=PRINTABLE,
        tables=[np.array(steps)],
        block=2 + len(PRINTABLE),
        inputs=[(0, 2)],
        each=[Step("flat", (), (), (0,))],
        outputs=[block(2 + i) for i in range(len(PRINTABLE))],
    )
    found, _ = run(plan, [], [np.array(pairs)], tmp_path)
    for row, values in zip(PRINTABLE, found, strict=True):
        expected = [row.scalar(*pair[: row.arity]) for pair in pairs]
        assert np.allclose(values, expected, rtol=1e-14, atol=0.0, equal_nan=True), row.name


# --- text ----------------------------------------------------------------------------------------


@needs_cc
@pytest.mark.parametrize(
    "label", ["*/ int x;", "a\n#error", "??/", "\\", "é²", "/*", "@real 1.0@", "%s", "int"]
)
def test_labels_are_data(label, tmp_path):
    w = [cr.Value(0.5, label), cr.Value(0.3, label)]
    check(cr.compile(lambda x: cr.dot(w, x)), [np.ones((2, 2))], tmp_path)


@needs_cc
def test_names_that_c_has_are_changed(tmp_path):
    w = cr.Value(0.5)
    arguments = [
        "int",
        "exp",
        "parameters",
        "m",
        "k_sin",
        "i",
        "I",
        "X",
        "x",
        "é",
        "work",
        "result",
    ]
    made = {}
    exec(
        f"def double({', '.join(arguments)}): return w * ({' + '.join(arguments)})", {"w": w}, made
    )
    f = cr.compile(made["double"])
    for name in ("double", "1 + 1", "k_exp", "", "é", "while"):
        f.record(*[np.ones(2)] * len(arguments))
        text = f.c(name=name)
        built(text, tmp_path)
    arrays = [np.arange(2.0) + i for i in range(len(arguments))]
    check(f, arrays, tmp_path / "run")


def test_the_text_is_the_same_every_time():
    texts = []
    for _ in range(2):
        function, arrays = careful(random.Random(3))
        texts.append(cr.compile(function).record(*arrays).c_source)
    assert texts[0] == texts[1]
    assert texts[0].isascii()
    assert "@" not in texts[0]


def test_an_operation_of_ones_own_is_named():
    name = "twice, for C"
    twice = cr.primitive(name, lambda x: 2.0 * x, [lambda x, y: 2.0])
    f = cr.compile(lambda x: twice(x)).record([1.0])
    with pytest.raises(LookupError, match=f"the operation '{name}' has no formula in C; write"):
        f.c()
    del TABLE[name]


def test_only_double_and_float():
    f = cr.compile(lambda x: x * x).record([1.0])
    with pytest.raises(ValueError, match="precision='half'; expected 'double' or 'float'"):
        f.c(precision="half")
    with pytest.raises(RuntimeError, match="not recorded yet"):
        cr.compile(lambda x: x).c_source  # noqa: B018
