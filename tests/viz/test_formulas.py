"""Formulas: what a graph is written as in LaTeX, and the derivatives read off the table."""

import math
import re

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given, settings

import chainrule as cr
from chainrule import Value, viz
from chainrule.engine import table as primitives
from chainrule.engine.table import OF_A_CLASS, TABLE, take_entry
from chainrule.viz import formulas
from chainrule.viz.symbols import Symbol, partials

pytestmark = pytest.mark.text_alone

BUILT_IN = sorted(primitives.BUILT_IN)
x, y, z = Value(2.0, "x"), Value(5.0, "y"), Value(3.0, "z")


# --- expressions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "formula"),
    [
        (x, "x"),
        (Value(2.5), "2.5"),
        ((x + y) * z, r"\left(x + y\right) \, z"),
        (x + y * z, r"x + y \, z"),
        (x - (y - z), r"x - \left(y - z\right)"),
        (x - y - z, "x - y - z"),
        (x - (-y), r"x - \left(-y\right)"),
        (x + Value(-3.0), r"x + \left(-3\right)"),
        (cr.Value.__neg__(-x), r"-\left(-x\right)"),
        (-(x * y), r"-x \, y"),
        (x * y / z, r"\frac{x \, y}{z}"),
        ((x / y) ** 2, r"\left(\frac{x}{y}\right)^{2}"),
        ((x**2) ** 3, r"\left(x^{2}\right)^{3}"),
        (x ** (y + 1), "x^{y + 1}"),
        ((-x) ** 2, r"\left(-x\right)^{2}"),
        (2 * x, r"2 \, x"),
        (x * 2, r"x \cdot 2"),
        (x * -2, r"x \, \left(-2\right)"),
        (x * 1e-5, r"x \cdot 10^{-5}"),
        (cr.tanh(x) ** 2, r"\tanh\left(x\right)^{2}"),
        (cr.exp(-x), "e^{-x}"),
        (cr.exp(x) ** 2, r"\left(e^{x}\right)^{2}"),
        (cr.sqrt(x + 1), r"\sqrt{x + 1}"),
        (cr.log1p(-x), r"\ln\left(1 -x\right)"),
        (cr.log1p(x), r"\ln\left(1 + x\right)"),
        (abs(x), r"\left\lvert x \right\rvert"),
        (cr.maximum(x, 0), r"\max\left(x, 0\right)"),
        (cr.sum([x, y - z, -x]), r"x + y - z + \left(-x\right)"),
        (cr.dot([x], [y], z), r"x \, y + z"),
        (cr.dot([x, 2.0], [y, z + 1]), r"x \, y + 2 \, \left(z + 1\right)"),
        (cr.mean([x, y]), r"\operatorname{mean}\left(x, y\right)"),
        (cr.logsumexp([x, y]), r"\ln\left(e^{x} + e^{y}\right)"),
        (cr.softmax([x, y])[1], r"\operatorname{softmax}_{1}\left(x, y\right)"),
        (
            cr.where(cr.less(1.0, 2.0), x, y * z),
            r"\begin{cases}x & \text{if } 1 \\ 15 & \text{otherwise}\end{cases}",
        ),
    ],
)  # fmt: skip
def test_expressions_are_written_as_on_paper(value, formula):
    assert viz.latex(value) == formula


@pytest.mark.parametrize(
    ("label", "formula"),
    [
        ("w1", "w_{1}"),
        ("w_12", "w_{12}"),
        ("w[3]", "w_{3}"),
        ("W[1,2]", "W_{1,2}"),
        ("Theta2[0,1]", r"\Theta^{(2)}_{0,1}"),
        ("a3[0]", "a^{(3)}_{0}"),
        ("alpha", r"\alpha"),
        ("α", r"\alpha"),
        ("lambda_1", r"\lambda_{1}"),
        ("x_in", r"x_{\mathrm{in}}"),
        ("y'", "y'"),
        ("loss", r"\mathrm{loss}"),
        ("my loss", r"\text{my loss}"),
        ("a_b_c", r"\text{a\_b\_c}"),
        ("50%$#&^~", r"\text{50\%\$\#\&\textasciicircum{}\textasciitilde{}}"),
        (r"}\input{x}", r"\text{\}\textbackslash{}input\{x\}}"),
        ("a\nb", r"\text{a\textbackslash{}nb}"),
        ("größe", r"\text{größe}"),
        ("x" * 40, r"\text{" + "x" * 23 + "…}"),
    ],
)
def test_labels_become_names(label, formula):
    assert viz.latex(Value(1.0, label)) == formula


@settings(deadline=None)
@given(st.text(st.characters()))
def test_no_label_escapes_from_its_name(label):
    assume(label)
    formula = viz.latex(Value(1.0, label))
    bare = re.sub(r"\\[\\{}$&#_%]", "", formula)
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    assert not re.search(r"[$#%&]", bare)


def test_a_name_with_a_superscript_is_raised_in_parentheses():
    assert viz.latex(Value(2.0, "a2[1]") ** 2) == r"\left(a^{(2)}_{1}\right)^{2}"


@pytest.mark.parametrize(
    ("number", "formula"),
    [
        (1e-5, "10^{-5}"),
        (-1e-5, "-10^{-5}"),
        (-1.5e20, r"-1.5 \cdot 10^{20}"),
        (1 / 3, "0.3333"),
        (math.inf, r"\infty"),
        (-math.inf, r"-\infty"),
        (math.nan, r"\mathrm{nan}"),
    ],
)
def test_numbers_are_written_with_powers_of_ten(number, formula):
    assert viz.latex(Value(number)) == formula


def python_of(formula):
    """Translate the LaTeX of arithmetic into Python, knowing nothing of how it was made."""
    text = formula.replace(r"\left(", "(").replace(r"\right)", ")")
    text = text.replace(r"\,", "*").replace(r"\cdot", "*")
    while True:
        before = text
        text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", text)
        text = re.sub(r"\^\{([^{}]*)\}", r"**(\1)", text)
        if text == before:
            return text


LEAVES = {"a": 1.5, "b": -0.75, "c": 2.0}
operations = st.recursive(
    st.sampled_from([*LEAVES, -3.0, 2.0, 0.5, 1e-5, -4e-7]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["add", "sub", "mul", "div", "sum", "dot"]), inner, inner),
        st.tuples(st.sampled_from(["neg", "square", "cube"]), inner),
    ),
    max_leaves=12,
)


def build(tree):
    if isinstance(tree, str):
        return Value(LEAVES[tree], tree)
    if isinstance(tree, float):
        return Value(tree)
    name, *args = tree
    args = [build(arg) for arg in args]
    return {
        "add": lambda p, q: p + q,
        "sub": lambda p, q: p - q,
        "mul": lambda p, q: p * q,
        "div": lambda p, q: p / q,
        "sum": lambda p, q: cr.sum([p, 2.0, q]),
        "dot": lambda p, q: cr.dot([p, q], [q, 3.0], p),
        "neg": lambda p: -p,
        "square": cr.square,
        "cube": lambda p: p**3,
    }[name](*args)


@settings(deadline=None, max_examples=200)
@given(operations)
def test_the_formula_read_back_gives_the_value(tree):
    value = build(tree)
    assume(math.isfinite(value.data))
    try:
        formula = viz.latex(value, limit=10_000)
        read_back = eval(python_of(formula), {"__builtins__": {}}, LEAVES)
    except (ZeroDivisionError, OverflowError, ValueError):
        assume(False)
    assert not isinstance(read_back, complex)
    assert read_back == pytest.approx(value.data, rel=1e-9, abs=1e-300)


# --- limits --------------------------------------------------------------------------------------


def test_a_formula_that_would_grow_exponentially_is_refused_at_once(monkeypatch):
    value = x
    for _ in range(100):
        value = value * value
    lengths, apply = [], formulas.apply

    def noted(row, args):
        text, precedence = apply(row, args)
        lengths.append(len(text))
        return text, precedence

    monkeypatch.setattr(formulas, "apply", noted)
    with pytest.raises(ValueError, match="101 nodes is longer than 4,000 characters"):
        viz.latex(value)
    assert len(lengths) < 20
    assert lengths[-1] == max(lengths) < 10_000


def test_a_deep_graph_is_refused_and_its_limit_can_be_raised():
    value = x
    for _ in range(300_000):
        value = value + 1.0
    with pytest.raises(ValueError, match="300,001 nodes"):
        viz.latex(value)
    short = cr.sum([x] * 900) + 1
    assert len(viz.latex(short)) < 4000
    with pytest.raises(ValueError, match="longer than 100 characters"):
        viz.latex(short, limit=100)


@pytest.mark.parametrize("root", [1.0, None, "x", [x]])
def test_only_values_have_an_expression(root):
    with pytest.raises(TypeError, match="expected a Value"):
        viz.latex(root)


def test_a_primitive_is_sent_to_the_function_for_primitives():
    with pytest.raises(TypeError, match="latex_partials"):
        viz.latex(cr.tanh)


# --- derivatives ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "formulas_expected"),
    [
        ("+", ("1", "1")),
        ("-", ("1", "-1")),
        ("*", ("b", "a")),
        ("/", (r"\frac{1}{b}", r"-\frac{a}{b^{2}}")),
        ("**", (r"p \, x^{p - 1}", r"x^{p} \, \ln\left(x\right)")),
        ("square", (r"2 \, x",)),
        ("abs", (r"\operatorname{sgn}\left(x\right)",)),
        ("exp", ("e^{x}",)),
        ("log", (r"\frac{1}{x}",)),
        ("log1p", (r"\frac{1}{1 + x}",)),
        ("sqrt", (r"\frac{1}{2 \, \sqrt{x}}",)),
        ("sin", (r"\cos\left(x\right)",)),
        ("cos", (r"-\sin\left(x\right)",)),
        ("tan", (r"1 + \tan\left(x\right)^{2}",)),
        ("atan2", (r"\frac{a}{a^{2} + b^{2}}", r"-\frac{b}{b^{2} + a^{2}}")),
        ("sigmoid", (r"\sigma\left(x\right) \, \sigma\left(-x\right)",)),
        ("relu", (r"\left[x > 0\right]",)),
        ("silu", (
            r"\sigma\left(x\right) + x \, \sigma\left(x\right) \, \sigma\left(-x\right)",
        )),
        ("dot", ("x_{1}", "x_{2}", "w_{1}", "w_{2}", "1")),
        ("sum", ("1", "1")),
        ("mean", ("0.5", "0.5")),
        ("logaddexp", (
            r"\operatorname{softmax}_{0}\left(a, b\right)",
            r"\operatorname{softmax}_{1}\left(a, b\right)",
        )),
        ("less", ("0", "0")),
    ],
)  # fmt: skip
def test_derivatives_are_those_of_a_textbook(name, formulas_expected):
    assert viz.latex_partials(name) == formulas_expected


def test_symbols_are_tidied_as_on_paper():
    t, u = Symbol("t"), Symbol("u")
    for expression, formula in [
        (0 + t + 0, "t"),
        (t - 0, "t"),
        (1 - t, "1 - t"),
        (t * -1 * -1, "t"),
        (t * 0, "0"),
        (t * 2 * 3, r"6 \, t"),
        (t / u * u, "t"),
        (2 / t / t, r"\frac{2}{t^{2}}"),
        (3 / t * (1 / u), r"\frac{3}{t \, u}"),
        (t * 0.25, r"\frac{t}{4}"),
        (t * u * t, r"t^{2} \, u"),
        (2**t, "2^{t}"),
        (t**2, "t^{2}"),
        (cr.where(cr.less(t, 0.0), math.nan, u), "u"),
        (cr.where(cr.less(0.0, t), u, math.nan), "u"),
        (cr.where(cr.equal(t, 0.0), 1.0, u), "u"),
    ]:
        assert formulas._written(expression)[0] == formula


def evaluated(expression, numbers):
    if not isinstance(expression, Symbol):
        return expression
    if expression.row is None:
        return numbers[expression.name]
    args = [float(evaluated(arg, numbers)) for arg in expression.args]
    return float(expression.row.scalar(*args))


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_tidied_derivative_has_the_value_of_the_partial_in_the_table(name):
    row = TABLE[name]
    generator = np.random.default_rng(0)
    symbols = formulas._arguments(row)
    constants = (0.0,) if row in (*OF_A_CLASS, take_entry) else ()
    expressions = partials(row, symbols)
    for _ in range(20):
        domain = row.domain or [(-2.0, 2.0)] * len(symbols)
        numbers = [float(generator.uniform(low, high)) for low, high in domain]
        args = (*constants, *numbers)
        linked = row.linked(args, range(len(constants), len(args)))
        wanted = [0.0] * len(args)
        for i, number in zip(
            linked, row.partial_values(args, row.scalar(*args), linked), strict=True
        ):
            wanted[i] = number
        names = dict(zip((symbol.name for symbol in symbols), numbers, strict=True))
        found = [evaluated(expression, names) for expression in expressions]
        if row.selects is not None:
            continue  # which one is linked is decided by the numbers, not by the formula
        assert found == pytest.approx(wanted[len(constants) :], rel=1e-12, abs=1e-300)


@pytest.fixture
def own_rows():
    """Take the rows that a test adds to the table away again."""
    yield
    for name in set(TABLE).difference(BUILT_IN):
        if name.endswith("_for_latex"):
            del TABLE[name]


@pytest.mark.usefixtures("own_rows")
def test_a_primitive_of_the_user_is_written_too():
    cube = cr.primitive(
        "cube_for_latex", lambda t: t**3, (lambda t, y: 3.0 * cr.square(t),), latex="{0}^{{3}}",
        precedence=4, binds=(5,),
    )  # fmt: skip
    quotient = cr.primitive(
        "quotient_for_latex", lambda u, v: u / v, (lambda u, v, y: 1 / v, lambda u, v, y: -y / v)
    )
    assert viz.latex(cube(x + 1)) == r"\left(x + 1\right)^{3}"
    assert viz.latex_partials(cube) == (r"3 \, t^{2}",)
    assert viz.latex(quotient(x, y)) == r"\operatorname{quotient\_for\_latex}\left(x, y\right)"
    assert len(viz.latex_partials(quotient)) == 2


@pytest.mark.usefixtures("own_rows")
def test_a_derivative_that_takes_no_symbols_is_refused_with_the_way_out():
    bad = cr.primitive("bad_for_latex", math.sinh, (lambda t, y: math.cosh(t),))
    with pytest.raises(TypeError, match=r"bad_for_latex.*chainrule\.exp, not math\.exp"):
        viz.latex_partials(bad)
    assert viz.derivative_table().splitlines()[-1].endswith(r"\left(t\right)$ | (no formula) |")
    branching = cr.primitive("branch_for_latex", abs, (lambda t, y: 1.0 if t else -1.0,))
    with pytest.raises(TypeError, match=r"chainrule\.where"):
        viz.latex_partials(branching)


@pytest.mark.usefixtures("own_rows")
def test_a_template_that_cannot_be_filled_in_is_reported():
    odd = cr.primitive("odd_for_latex", abs, (1.0,), latex=r"\frac{0}{1}{2}")
    with pytest.raises(ValueError, match=r"odd_for_latex.*double all other braces"):
        viz.latex(odd(x))


def test_what_is_no_primitive_is_refused():
    with pytest.raises(ValueError, match=r"no primitive is named 'tanhh'; there are .*tanh"):
        viz.latex_partials("tanhh")
    with pytest.raises(TypeError, match="'sum', 'dot', 'softmax'"):
        viz.latex_partials(cr.sum)


def test_the_table_has_one_row_of_three_cells_for_each_primitive():
    lines = viz.derivative_table().splitlines()
    assert len(lines) == 2 + len(TABLE)
    for line, name in zip(lines[2:], TABLE, strict=True):
        assert line.startswith(f"| `{name}` | $")
        assert line.count("|") == 4
        assert line.count("$") % 2 == 0
