"""Programs that nobody wrote: compiled, and compared with the engine and with fifty digits."""

import ast
import math
import os

import numpy as np
import pytest

import chainrule as cr

from .random_programs import fifty_digits, pieces, shrinking, verdict, worlds
from .random_programs.language import Call, Program
from .random_programs.trial import PRECISE

# Each program is called several times, with changes between, and each call asks in five ways.
pytestmark = pytest.mark.asks_once

PROGRAMS = int(os.environ.get("CHAINRULE_PROGRAMS", "1000"))
FURTHER = int(os.environ.get("CHAINRULE_FURTHER_PROGRAMS", str(max(50, PROGRAMS // 20))))
"""How many programs are asked for all derivatives: Jacobians, Hessians, products."""
PORTION = 50
FIRST = int(os.environ.get("CHAINRULE_FIRST_PROGRAM", "0"))


@pytest.mark.parametrize("start", range(FIRST, FIRST + PROGRAMS, PORTION))
def test_random_programs_agree_with_the_engine(start):
    run(range(start, min(start + PORTION, FIRST + PROGRAMS)))


@pytest.mark.parametrize("start", range(FIRST, FIRST + FURTHER, PORTION))
def test_all_derivatives_of_random_programs_are_the_engines(start):
    run(range(start, min(start + PORTION, FIRST + FURTHER)), further=True)


def run(seeds, further=False):
    for seed in seeds:
        program = pieces.program(seed)
        try:
            outcome = verdict.check(program, precise=seed % PRECISE == 0, further=further)
        except verdict.InvalidProgramError:
            continue
        if outcome.failure is not None:
            small = shrinking.shrunk(program, outcome.failure)
            found = verdict.check(small, further=further).failure or outcome.failure
            pytest.fail(f"program {seed}: {found}\n{small.script(found.of_gradient)}")


def test_hardly_a_program_is_not_run_and_hardly_a_number_undecided():
    outcomes, refused = [], 0
    for seed in range(80):
        program = pieces.program(seed)
        try:
            outcomes.append(verdict.check(program, precise=seed % 4 == 0))
        except verdict.InvalidProgramError:
            refused += "scipy." not in program.text  # which need not be installed
    assert refused <= 1
    assert sum(o.compared for o in outcomes) > 50 * len(outcomes)
    assert sum(o.undecided for o in outcomes) <= 1e-3 * sum(o.compared for o in outcomes)
    assert sum(o.precise for o in outcomes) > 80


def test_a_program_is_made_from_its_seed_alone():
    for seed in range(20):
        assert pieces.program(seed) == pieces.program(seed)
    assert len({pieces.program(seed).text for seed in range(50)}) == 50


# --- programs that failed once, as small as they could be made ------------------------------------

LARGER = (
    "cr.primitive('rows', lambda a, b: a if a > b else b, (1.0, 1.0), "
    "selects=lambda a, b: int(a <= b))"
)
PRODUCT = (
    "cr.primitive('scale', lambda *xs: math.prod(xs), variadic=lambda xs, y, linked: "
    "[math.prod([x for j, x in enumerate(xs) if j != i]) for i in linked])"
)
ERFC_OF_2 = 0.004677734981047266
FAILED = {  # the text, the batch, the results per example, the gradient of their mean
    "a leaf made inside": (
        "w = [cr.Value(2.0)]\ndef f(x): return cr.Value(1.0) * w[0] * x",
        [3.0, 5.0], [6.0, 10.0], [4.0],
    ),
    "where in gradients": (
        "def f(x):\n    y = cr.where(cr.less(0.5, x), x, 1.0)\n"
        "    return cr.gradients(y, [x], create_graph=True)[0]",
        [1.0, 0.5], [1.0, 0.0], [],
    ),
    "a logarithm in gradients": (
        "def f(x):\n    n = -x\n    y = cr.where(cr.less(1.0, n), cr.log(n), 1.0)\n"
        "    return cr.gradients(y, [n], create_graph=True)[0]",
        [-1.5, 1.0], [1.0 / 1.5, 0.0], [],
    ),
    "where in value_and_grad": (
        "def f(x): return cr.value_and_grad(\n"
        "    lambda t: cr.where(cr.less_equal(t, 1.0), 1.0, t))(x)[1]",
        [1.0, 2.0], [0.0, 1.0], [],
    ),
    "take in vjp": (
        "w = [cr.Value(3.0)]\ndef f(i): return cr.vjp(\n"
        "    lambda s: cr.take([1.0, s], i), w[0])[1](1.0)[0]",
        [1.0, 0.0], [1.0, 0.0], [0.0],
    ),
    "one that selects": (
        f"w = [cr.Value(1.0)]\nop = {LARGER}\ndef f(x): return op(cr.sum([1.0, w[0]]), 1.0)",
        [1.0], [2.0], [1.0],
    ),
    "two of one name": (
        "op = cr.primitive('stack', lambda x: x * x, (lambda x, y: 2.0 * x,))\n"
        "cr.primitive('stack', lambda a, b: a - b, (1.0, -1.0))\n"
        "w = [cr.Value(3.0)]\ndef f(x): return op(w[0] * x)",
        [1.0, 2.0], [9.0, 36.0], [15.0],
    ),
    "called root": (
        "op = cr.primitive('root', lambda x: -0.5 * x, (-0.5,))\n"
        "w = [cr.Value(1.0)]\ndef f(x): return op(-w[0]) * x",
        [1.0, 3.0], [0.5, 1.5], [1.0],
    ),
    "a product of its own": (
        f"w = [cr.Value(2.0), cr.Value(5.0)]\nop = {PRODUCT}\n"
        "def f(M): return op(w[0], sum(w[1:])) * M[0][1]",
        [[[1.0, 2.0], [3.0, 4.0]]], [20.0], [10.0, 4.0],
    ),
    "an array form for a constant": (
        "op = cr.primitive('pick', lambda a, b: a * b + a, "
        "(lambda a, b, y: b + 1.0, lambda a, b, y: a))\n"
        "w = [cr.Value(1.0)]\ndef f(u): return op(1.0, u[1]) * w[0]",
        [[1.0, 2.0]], [3.0], [3.0],
    ),
    "two tables": (
        "A = [[cr.Value(1.0), cr.Value(2.0)], [cr.Value(3.0), cr.Value(4.0)]]\n"
        "B = [[cr.Value(5.0), cr.Value(6.0)], [cr.Value(7.0), cr.Value(8.0)]]\n"
        "def f(i): return cr.sum([p * q for p, q in zip(cr.take(A, i[0]), cr.take(B, i[1]))])",
        [[0.0, 1.0], [1.0, 1.0]], [23.0, 53.0], [3.5, 4.0, 3.5, 4.0, 0.0, 0.0, 2.0, 3.0],
    ),
    "an infinite constant": (
        "w = [cr.Value(0.5)]\ndef f(x): return cr.where(0.0, cr.log(0.0) * cr.tanh(w[0]), x)",
        [1.0, 2.0], [1.0, 2.0], [0.0],
    ),
    "a product whose other row serves a condition": (
        "C = [[1.0, 1.0], [cr.Value(1.0), cr.Value(1.0)], [cr.Value(1.0), cr.Value(1.0)]]\n"
        "def f(u):\n    h = [u[1] * r[0] + u[1] * r[1] for r in C]\n"
        "    return cr.where(cr.less(h[1], 1.0), 0, h[2])",
        [[1.0, math.nan], [1.0, 2.0]], [math.nan, 4.0], [0.0, 0.0, math.nan, math.nan],
    ),
    "a derivative of sigmoid": (
        "w = [cr.Value(0.0)]\ndef f(x): return cr.grad(cr.sigmoid)(w[0] * x)",
        [1.0, 2.0], [0.25, 0.25], [0.0],
    ),
    "a tie with a choice that only hangs on a parameter": (
        "w = [cr.Value(1.0), cr.Value(1.0)]\ndef f(x):\n"
        "    h = cr.where(cr.less(1.0, w[1]), x, 1.0)\n    y = cr.maximum(w[0], h)\n"
        "    for _ in range(30):\n        y = cr.sin(y)\n        y = y * 1.0\n"
        "    return cr.where(cr.less(-1.0, y), cr.maximum(w[0], h), y)",
        [1.0, 2.0], [1.0, 1.0], [0.5, 0.0],
    ),
    "a tie with an entry of a table": (
        "w = [cr.Value(2.0), cr.Value(0.0)]\n"
        "def f(i): return cr.maximum(cr.take([w[0], 0.0], i), w[1])",
        [1.0, 0.0], [0.0, 2.0], [0.5, 0.25],
    ),
    "an infinite adjoint of a softmax": (
        "w = [cr.Value(1.0)]\ndef f(x): return x * cr.softmax([1.0, w[0]])[1]",
        [math.inf, 2.0], [math.inf, 1.0], [math.inf],
    ),
    "a difference in a sum": (
        "w = [cr.Value(1.0)]\ndef f(x):\n    s = (x**3)**3\n"
        "    return cr.sum([w[0] * cr.erfc(2.0), s - s])",
        [2.0, 8.0], [ERFC_OF_2, ERFC_OF_2], [ERFC_OF_2],
    ),
    "a difference at the head of a sum": (
        "w = [cr.Value(1.0)]\ndef f(x):\n    s = (x**3)**3\n"
        "    return s - s + w[0] * cr.erfc(2.0)",
        [2.0, 8.0], [ERFC_OF_2, ERFC_OF_2], [ERFC_OF_2],
    ),
    "a difference of two of a kind at the head of a sum": (
        "w = [cr.Value(1.0)]\ndef f(u): return u[0] - u[0] + u[1] * w[0] + u[2]",
        [[1e9, 1e-9, 3.0]], [3.0 + 1e-9], [1e-9],
    ),
    "terms between which the sum is 0": (
        "w = [cr.Value(20.0)]\ndef f(u):\n    e = cr.exp(w[0])\n"
        "    return cr.sum([cr.sin(u[0]), -e, e, cr.sin(u[1])])",
        [[0.0, 1e-9]], [1e-9], [0.0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILED)
def test_programs_that_failed_once(name):
    text, batch, results, gradient = FAILED[name]
    calls = tuple(Call("f", (given,)) for given in (batch, batch[:1], batch))
    assert verdict.check(Program(text + "\n", calls), precise=True).failure is None
    world = worlds.library(text)
    compiled = cr.compile(world.function("f"))
    for _ in range(3):
        assert compiled(batch).tolist() == pytest.approx(results, rel=1e-15, nan_ok=True)
        slopes = dict(
            zip(map(id, compiled.parameters), compiled.value_and_grad(batch)[1], strict=True)
        )
        found = [slopes.get(id(leaf), 0.0) for leaf in world.parameters.values()]
        assert found == pytest.approx(gradient, rel=1e-15, nan_ok=True)


JUDGED = {  # what only fifty digits can decide: the text, the batch
    "gradients through the result of another transform": (
        "w = [cr.Value(-0.93), cr.Value(1.58)]\nb = cr.Value(-0.17)\n"
        "def f(x):\n"
        "    n = w[1] * cr.abs(b)\n"
        "    slope = cr.vjp(lambda s, t: (cr.where(cr.less_equal(t, 0.3), n, w[0]),\n"
        "        cr.where(cr.less(0.0, b), cr.log(b) * 0.1, 0.1)), w[1], -1.0)[1]((w[1], b))[1]\n"
        "    y = n * (slope - cr.where(cr.less(0.1, abs(n)), 1.0 / n, n))\n"
        "    g = cr.gradients(y, [n, w[1]], create_graph=True)\n"
        "    return cr.softmax([-0.7, 1.5, g[0]])[2] + x",
        [1.068, -0.0, 2.0],
    ),
    "an infinite input that nothing depends on": (
        "A = [cr.Value(0.5), cr.Value(-1.37)]\n"
        "def f(x):\n    a = cr.logsigmoid(A[1])\n    return cr.softmax([a, a, a])[1]",
        [-2.0, -math.inf, math.nan],
    ),
}


@pytest.mark.parametrize("name", JUDGED)
def test_fifty_digits_decide_what_is_left_of_terms_that_cancel(name):
    text, batch = JUDGED[name]
    outcome = verdict.check(Program(text + "\n", (Call("f", (batch,)),)), precise=True)
    assert outcome.failure is None
    assert outcome.precise > 0
    assert outcome.undecided == 0


CANCELLING = """
b = cr.Value(1.0)
def f(x, u): return cr.sum([u * b, cr.less(x, 1.0), b, {} * b])
"""


def test_past_a_convention_noise_says_what_is_left_of_terms_that_cancel():
    """Seed 514538: whether nan is less than 1 is a convention; 1e300 in a sum has its roundings."""
    calls = (Call("f", ([1.0, math.nan, 1.0], [1e300, 1.0, -1e300])),)
    assert verdict.check(Program(CANCELLING.format(0.0), calls), precise=True).failure is None


def test_past_a_convention_a_wrong_number_is_seen(monkeypatch):
    """The batch is the one above, but for 1e300: nothing excuses an error of 1e-11."""

    class Wrong(cr.compiler.Compiled):
        def value_and_grad(self, *batch):
            cost, gradient = super().value_and_grad(*batch)
            return cost, gradient + 1e-11

    monkeypatch.setattr(cr, "compile", Wrong)
    calls = (Call("f", ([1.0, math.nan, 1.0], [3.0, 1.0, -3.0])),)
    failure = verdict.check(Program(CANCELLING.format(-1.5), calls)).failure
    assert failure.kind == "gradient"


def test_the_exponent_of_a_number_has_a_derivative_in_gradients():
    """Seed 600580."""
    text = (
        "w = [cr.Value(1.0), cr.Value(1.0)]\n"
        "def f(x):\n    y = 2.0 ** (w[1] * x)\n"
        "    return cr.gradients(y, [w[1]], create_graph=True)[0]\n"
    )
    outcome = verdict.check(Program(text, (Call("f", ([1.0, 0.0],)),)), precise=True)
    assert outcome.failure is None
    assert outcome.precise > 0


def test_an_argument_that_is_not_differentiated_by_is_a_constant_on_a_tie():
    """Seed 607231."""
    text = "def f(x): return cr.grad(lambda s, t: cr.minimum(t, s))(x, 1.0)\n"
    assert verdict.check(Program(text, (Call("f", ([1.0, 2.0],)),))).failure is None


def test_what_a_parameter_chose_inside_a_transform_is_a_value_on_a_tie():
    """Seed 588094."""
    text = (
        "b = [cr.Value(0.0), cr.Value(1.0)]\n"
        "def f(x):\n    slope = cr.grad(lambda t: cr.where(b[1], 1.0, t) ** 1)(1.0)\n"
        "    return cr.minimum(b[0], slope) * x\n"
    )
    outcome = verdict.check(Program(text, (Call("f", ([1.0, 2.0],)),)))
    assert outcome.failure is None
    assert outcome.undecided > 0


def test_equal_nodes_are_one_where_infinities_of_both_signs_meet():
    text = (
        "w = [cr.Value(-1.0), cr.Value(0.0)]\n"
        "def f(x):\n    h = 1.0 - w[0]\n    return cr.softplus(h * x) - h * x\n"
        "def g(x): return cr.sqrt(w[1]) * x\n"
    )
    calls = Call("f", ([-math.inf, 1.0],)), Call("g", ([1.0, -3.0],))
    assert verdict.check(Program(text, calls)).failure is None


@pytest.mark.parametrize("graph", [True, False])
def test_a_program_that_python_itself_does_not_run_is_not_a_failure(graph):
    text = (
        "w = [cr.Value(1.0)]\ndef f(x):\n    a = cr.relu(-1.0)\n    return w[0] * x * (1.0 / a)\n"
    )
    with pytest.raises(verdict.InvalidProgramError, match="ZeroDivisionError"):
        verdict.check(Program(text, (Call("f", ([1.0],), graph=graph),)))


TIES = {  # with x = 0 and b = 0: what a transform hands back, its value, its derivative by b
    "the value at a parameter": ("cr.value_and_grad(lambda t: cr.maximum(x, t))(b)[0]", 0.0, 0.0),
    "the slope at a parameter": ("cr.value_and_grad(lambda t: cr.maximum(x, t))(b)[1]", 0.0, 0.0),
    "the value at an input": ("cr.value_and_grad(lambda t: cr.maximum(b, t))(x)[0]", 0.0, 0.0),
    "the slope at an input": ("cr.value_and_grad(lambda t: cr.maximum(b, t))(x)[1]", 0.5, 0.0),
    "the tangent at an input": ("cr.jvp(lambda t: cr.minimum(t, b), (x,), (2.0,))[1]", 1.0, 0.0),
    "a pullback of two inputs": ("cr.vjp(lambda t: cr.maximum(x, t), x)[1](1.0)[0]", 0.0, 0.0),
    "two variables": ("cr.grad(lambda t, u: cr.maximum(t, u))(x, b)", 0.5, 0.0),
    "a parameter and a slope": ("b * cr.grad(lambda t: cr.maximum(t, b))(x)", 0.0, 0.5),
}


@pytest.mark.parametrize("name", TIES)
def test_a_tie_with_what_depends_on_inputs_alone_is_one_with_a_constant(name):
    expression, value, slope = TIES[name]
    text = f"b = cr.Value(0.0)\ndef f(x): return {expression}\n"
    call = Call("f", ([0.0, 0.0],))
    assert verdict.check(Program(text, (call, call, call))).failure is None
    world = worlds.library(text)
    compiled = cr.compile(world.function("f"))
    for _ in range(3):
        assert compiled([0.0]).tolist() == [value]
        gradient = dict(zip(compiled.parameters, compiled.value_and_grad([0.0])[1], strict=True))
        assert gradient.get(world.parameters["b"], 0.0) == slope


# --- what is written of ------------------------------------------------------------------------


NAMED = [
    "cr.grad(", "cr.jvp(", "cr.vjp(", "cr.hessian(", "cr.hvp(", "cr.jacobian(", "cr.gradients(",
    "cr.value_and_grad(", "cr.where(", "cr.less(", "cr.less_equal(", "cr.equal(", "cr.take(",
    "cr.primitive(", "selects=", "array=", "frompyfunc", "scipy.special", "cr.softmax(",
    "cr.logsumexp(", "cr.maximum(", "cr.Value(0.0) +", "namedtuple", "np.array(", "for k in",
]  # fmt: skip


def test_programs_have_every_piece():
    programs = [pieces.program(seed) for seed in range(1000)]
    texts = [program.text for program in programs]
    assert [piece for piece in NAMED if sum(piece in text for text in texts) < 10] == []
    sizes = {call.size for program in programs for call in program.calls}
    assert {1, 2, 3, 4, 5, 6, 7, 8} < sizes
    assert max(sizes) == 70


# --- the tester is tested ------------------------------------------------------------------------

CUBE = "w = [cr.Value(2.0)]\ncube = cr.primitive('cube', lambda x: x * x * x, (lambda x, y: {},))\n"
CALL = Call("f", ([1.0, -1.5, 0.5],))


def checked(text, *calls, precise=False):
    return verdict.check(Program(text, calls or (CALL,)), precise)


def test_a_wrong_partial_is_seen_by_fifty_digits():
    right, wrong = "3.0 * x * x", "3.000001 * x * x"
    function = "def f(x): return cube(w[0] * x)\n"
    assert checked(CUBE.format(right) + function, precise=True).failure is None
    failure = checked(CUBE.format(wrong) + function, precise=True).failure
    assert failure.kind == "precise"


def test_what_cancels_is_decided_by_fifty_digits_and_not_by_a_tolerance():
    text = "w = [cr.Value(0.1)]\ndef f(x): return (w[0] * x + 1e9) - w[0] * x - 1e9 + {} * w[0]\n"
    assert checked(text.format("1e-3")).failure is None
    assert checked(text.format("1e-3"), precise=True).failure is None


@pytest.mark.parametrize("wrong", ["value", "gradient", "sticky"])
def test_wrong_numbers_are_seen(monkeypatch, wrong):
    compile_ = cr.compile

    class Wrong:
        def __init__(self, function):
            self.right, self.calls = compile_(function), 0

        def __getattr__(self, name):
            return getattr(self.right, name)

        def __call__(self, *batch):
            return self.right(*batch) * (1.0 + 1e-10 * (wrong == "value"))

        def value_and_grad(self, *batch):
            self.calls += 1
            cost, gradient = self.right.value_and_grad(*batch)
            if wrong == "gradient":
                gradient = gradient * (1.0 + 1e-10)
            return cost, gradient * (self.calls if wrong == "sticky" else 1)

    monkeypatch.setattr(cr, "compile", Wrong)
    text = "w = [cr.Value(0.5)]\ndef f(x): return cr.tanh(w[0] * x)\n"
    failure = checked(text, CALL, CALL, CALL).failure
    assert failure.kind == {"value": "result"}.get(wrong, "gradient")


@pytest.mark.parametrize("wrong", [math.nan, -math.inf, 0.0])
def test_a_wrong_infinity_is_seen(monkeypatch, wrong):
    class Wrong(cr.compiler.Compiled):
        def value_and_grad(self, *batch):
            cost, gradient = super().value_and_grad(*batch)
            return cost, np.where(np.isinf(gradient), wrong, gradient)

    monkeypatch.setattr(cr, "compile", Wrong)
    text = "w = [cr.Value(0.0)]\ndef f(x): return cr.where(cr.less(0.0, x), cr.sqrt(w[0]) * x, x)\n"
    assert checked(text).failure.kind == "gradient, not finite"


def test_a_failure_is_made_small(monkeypatch):
    tanh = fifty_digits.tanh
    monkeypatch.setattr(fifty_digits, "tanh", lambda x: tanh(x) * (1 + 1e-9))
    text = (
        "w = [cr.Value(0.3), cr.Value(0.7)]\n"
        "def f(x, u):\n"
        "    a = cr.sin(x) + w[1] * u[0]\n"
        "    h = [cr.sigmoid(a + r) for r in w]\n"
        "    return cr.sum([h[0], cr.tanh(a * w[0]), h[1] / (1.0 + cr.square(u[1]))])\n"
    )
    calls = [Call("f", ([0.3, 1.0], [[0.1, 0.2], [0.3, 0.4]])), Call("f", ([0.3], [[1.5, 0.2]]))]
    program = Program(text, tuple(calls))
    failure = verdict.check(program, precise=True).failure
    small = shrinking.shrunk(program, failure, precise=True)
    assert "tanh" in small.text
    assert len(list(ast.walk(ast.parse(small.text)))) < 40
    assert [call.size for call in small.calls] == [1]
    exec(compile(small.script(), "script", "exec"), {})


FURTHER_WRONG = {  # a method, and what is wrong about what it gives
    "jacobian": lambda found: found * (1.0 + 1e-10),
    "hessian": lambda found: np.swapaxes(found, 1, 2) + np.tri(found.shape[1], k=-1) * 1e-8,
    "hvp": lambda found: -found,
    "jvp": lambda found: (found[0], found[1] * 2.0),
}


@pytest.mark.parametrize("method", FURTHER_WRONG)
def test_a_wrong_derivative_is_seen(monkeypatch, method):
    right = getattr(cr.compiler.Compiled, method)

    def wrong(self, *args, **options):
        found = right(self, *args, **options)
        return found if options.get("sparse") else FURTHER_WRONG[method](found)

    text = (
        "w = [cr.Value(0.5)]\ndef f(u): return cr.tanh(w[0] * u[0] * u[1]) + u[1] * cr.exp(u[0])\n"
    )
    program = Program(text, (Call("f", ([[1.0, 0.3], [0.2, -1.0]],)),))
    assert verdict.check(program, precise=True, further=True).failure is None
    monkeypatch.setattr(cr.compiler.Compiled, method, wrong)
    failure = verdict.check(program, further=True).failure
    assert failure.derivatives
    assert method in failure.where
    monkeypatch.setattr(cr.compiler.Compiled, method, right)


def test_a_wrong_sparse_entry_and_a_wrong_pullback_are_seen(monkeypatch):
    pytest.importorskip("scipy", reason="sparse matrices are SciPy's")
    text = "w = [cr.Value(0.5)]\ndef f(u): return [w[0] * u[0] * u[1], u[1] * cr.exp(u[0])]\n"
    program = Program(text, (Call("f", ([[1.0, 0.3], [0.2, -1.0]],)),))
    assert verdict.check(program, further=True).failure is None
    right = cr.compiler.sparsity.matrices
    with monkeypatch.context() as patched:
        patched.setattr(
            cr.compiler.sparsity, "matrices", lambda table, *rest: right(table * 1.5, *rest)
        )
        assert "sparse jacobian" in verdict.check(program, further=True).failure.where
    called = cr.compiler.nodes.called
    with monkeypatch.context() as patched:
        patched.setattr(
            cr.compiler.nodes,
            "called",
            lambda a, b, c, slopes, *rest: called(a, b, c, -slopes, *rest),
        )
        assert verdict.check(program, further=True).failure.kind == "vjp"


# --- derivatives in fifty digits -----------------------------------------------------------------


NUMERIC = [
    *pieces.SAFE, "tan", "sinh", "cosh", "asin", "acos", "acosh", "atanh", "exp", "exp2", "expm1",
    "log", "log1p", "log2", "log10", "sqrt", "cbrt", "hypot", "atan2", "logaddexp",
]  # fmt: skip


@pytest.mark.parametrize("name", NUMERIC)
def test_fifty_digits_know_the_functions_that_programs_call(name):
    args = {"acosh": [1.6], "hypot": [0.6, 0.3], "atan2": [0.6, 0.3], "logaddexp": [0.6, 0.3]}
    xs = args.get(name, [0.6])
    with fifty_digits.rounding(None):
        found = fifty_digits.real(getattr(fifty_digits, name)(*xs)).value
    assert float(found) == pytest.approx(getattr(cr, name)(*xs), rel=1e-14)


def test_towers_are_right_where_the_answer_is_known():
    with fifty_digits.rounding(None):
        d = fifty_digits
        third = d.grad(d.grad(d.grad(d.exp)))(1.0)
        assert float(d.real(third).value) == pytest.approx(2.718281828459045, rel=1e-15)
        confused = d.grad(lambda x: x * d.grad(lambda y: x + y)(x))(1.0)
        assert float(d.real(confused).value) == 1.0
        matrix = d.hessian(lambda v: v[0] ** 2 * v[1])([3.0, 4.0])
        assert [[float(d.real(x).value) for x in row] for row in matrix] == [[8.0, 6.0], [6.0, 0.0]]
        x = d.number(0.5)
        y = d.sin(x) * x
        (slope,) = d.gradients(y, [x])
        assert float(d.real(slope).value) == pytest.approx(
            math.sin(0.5) + 0.5 * math.cos(0.5), rel=1e-15
        )


def test_a_power_of_a_negative_number_has_derivatives_also_where_results_are_disturbed():
    d = fifty_digits
    for seed in range(5):
        with d.rounding(seed):
            for derivative, right in ((lambda x: x**3, -8.0), (d.grad(lambda x: x**3), 12.0)):
                found = d.real(derivative(d.number(-2.0))).value
                assert float(found) == pytest.approx(right, rel=1e-14)
            second = d.real(d.grad(d.grad(lambda x: x**3))(-2.0)).value
            assert float(second) == pytest.approx(-12.0, rel=1e-14)


def test_gradients_go_through_the_result_of_another_transform():
    with fifty_digits.rounding(None):
        d = fifty_digits
        x, k, one = d.number(2.0), d.number(5.0), d.number(1.0)
        slope = d.grad(lambda t: k * t**3)(x)
        found = d.gradients(slope * x, [x, k, slope])
        assert [float(d.real(g).value) for g in found] == [180.0, 24.0, 2.0]
        ((_, tangent),) = [d.jvp(lambda t: t, (x,), (k,))]
        found = d.gradients(tangent * k, [tangent, k])
        assert [float(d.real(g).value) for g in found] == [5.0, 10.0]
        chosen = d.where(one, x, k)
        found = d.gradients(chosen * x, [chosen, x])
        assert [float(d.real(g).value) for g in found] == [2.0, 4.0]


def test_the_angle_of_zero_and_a_positive_number_is_not_an_edge():
    d = fifty_digits
    with d.rounding(None):
        assert d.real(d.grad(lambda b: d.atan2(b, 2.0))(0.0)).value == 0.5
        with pytest.raises(d.ConventionError):
            d.atan2(0.0, -2.0)


def test_a_tie_is_a_convention_and_a_rounded_tie_is_nobodys():
    with fifty_digits.rounding(None), pytest.raises(fifty_digits.TieError):
        fifty_digits.maximum(fifty_digits.number(0.0), 0.0)
    third = 1.0 / fifty_digits.number(3.0)
    with fifty_digits.rounding(None), pytest.raises(fifty_digits.RoundingError):
        fifty_digits.maximum(third + third, 2.0 / fifty_digits.number(3.0))
