"""``check_engine``: right engines of many styles, planted mistakes, and what is said of them."""

from __future__ import annotations

import json
import sys
from collections import Counter

import mpmath
import pytest

import chainrule as cr
from chainrule import cli
from chainrule.checking import check_engine
from chainrule.checking.engines import check_engine_file
from chainrule.checking.engines.mistakes import BY_CODE, CATEGORIES, MISTAKES
from chainrule.checking.engines.operations import OPERATIONS
from chainrule.checking.engines.planting import plants
from chainrule.checking.engines.programs import exam
from chainrule.checking.engines.replay import Build, outcomes
from chainrule.checking.engines.search import truth

from . import planted, right

pytestmark = pytest.mark.numpy_alone


@pytest.fixture(autouse=True)
def _recursion_limit():
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)  # which some engines change


# --- what is right is found right ---


@pytest.mark.parametrize("style", right.TEXTS)
def test_a_right_engine_is_right_whatever_its_style(style):
    report = check_engine(right.made(right.TEXTS[style]))
    assert report.ok, report.text()
    assert not report.findings, report.text()
    assert report.parts


def test_the_value_of_this_library_is_right_and_has_all_operations():
    report = check_engine(cr.Value)
    assert report.ok, report.text()
    assert not report.findings, report.text()
    assert len(report.parts) > len(OPERATIONS)


def test_micrograd_is_right_within_its_limits():
    engine = pytest.importorskip("micrograd.engine", reason="micrograd is not installed")
    report = check_engine(engine.Value)
    assert report.ok, report.text()
    assert report.codes == ("limit.interior-kept", "limit.recursion")
    assert report.text("layer").startswith("Value: right, within limits\n")


def test_a_second_pass_may_be_refused():
    text = right.CLOSURES.replace(
        "            v._backward()",
        "            if v._op == 'used':\n                raise RuntimeError('pass only once')\n"
        "            v._op = 'used' if v._prev else ''\n            v._backward()",
    )
    report = check_engine(right.made(text))
    assert report.ok, report.text()
    assert report.codes == ("limit.one-pass",)


def test_a_function_that_makes_nodes_may_be_given():
    report = check_engine(lambda number: cr.Value(number), name="made by a function")
    assert report.ok, report.text()
    assert len(report.parts) > len(OPERATIONS)


def test_an_engine_is_as_it_was_after_it_was_looked_at():
    engine = right.made(right.CLOSURES)
    before = dict(vars(engine))
    check_engine(engine)
    assert dict(vars(engine)) == before


# --- what is wrong is named ---


def names(plants):
    """Return a readable name for each plant, unique."""
    seen = Counter()
    for plant in plants:
        name = f"{plant[0]}-{plant[1] or 'everywhere'}-{plant[-1]}"
        seen[name] += 1
        yield f"{name}-{seen[name]}" if seen[name] > 1 else name


@pytest.mark.parametrize("plant", planted.PLANTS, ids=list(names(planted.PLANTS)))
def test_a_planted_mistake_is_named_alone_and_first(plant):
    report = check_engine(right.made(planted.source(plant)))
    code = plant[-1]
    assert report.codes == (code,), report.text()
    assert report.ok is (BY_CODE[code].category == "limit")
    finding = report.findings[0]
    assert finding.confidence == ("partial" if code == "nodes.not-repeatable" else "certain")
    if plant[1] and BY_CODE[code].local:
        assert plant[1] in finding.where


@pytest.mark.parametrize("sets", ["up", "up if not self.parents else self.g + up"])
@pytest.mark.parametrize("order", ["self.parents", "reversed(self.parents)"])
def test_an_engine_that_goes_down_use_by_use_and_overwrites_is_named(sets, order):
    source = f"""
class Num:
    def __init__(self, v, parents=()):
        self.v, self.g, self.parents = v, 0.0, parents
    def __add__(self, o):
        return Num(self.v + o.v, ((self, 1.0), (o, 1.0)))
    def __mul__(self, o):
        return Num(self.v * o.v, ((self, o.v), (o, self.v)))
    def backward(self, up=1.0):
        self.g = {sets}
        for p, d in {order}:
            p.backward(up * d)
"""
    names = {}
    exec(source, names)
    report = check_engine(names["Num"])
    assert report.codes == ("accumulate.overwrites-everywhere", "limit.recursion"), report.text()
    assert report.findings[0].confidence == "certain"


def test_so_many_mistakes_are_planted():
    assert len(planted.PLANTS) >= 60
    assert {plant[0] for plant in planted.PLANTS} == {"closures", "local", "tape"}


def test_two_mistakes_are_both_named():
    text = right.CLOSURES.replace("(1 - t ** 2)", "(1 - t)")
    text = text.replace("self.grad += out.grad  # add", "self.grad = out.grad")
    report = check_engine(right.made(text))
    assert set(report.codes) == {"slope.not-squared", "accumulate.overwrites"}, report.text()


def test_two_mistakes_in_one_method_are_both_named():
    text = right.CLOSURES.replace("self.grad += (1 - t ** 2)", "self.grad = (1 - t)")
    text = text.replace("self.grad += (1 / self.data)", "self.grad = -(1 / self.data)")
    report = check_engine(right.made(text))
    assert sorted(report.codes) == [
        "accumulate.overwrites",
        "accumulate.overwrites",
        "slope.not-squared",
        "slope.sign",
    ], report.text()


def test_two_mistakes_that_cancel_here_and_there_are_both_named():
    text = right.CLOSURES.replace("other.grad += out.grad  # add 2", "other.grad = out.grad")
    text = text.replace("(other * self", "((other - 1) * self")
    report = check_engine(right.made(text))
    assert set(report.codes) == {"slope.factor-lowered", "accumulate.overwrites"}, report.text()


def test_what_is_made_of_a_wrong_operation_in_a_wrong_way_is_told_how():
    text = right.CLOSURES.replace("self.grad += other.data", "self.grad -= other.data")
    text = text.replace("other + (-self)", "self - other")
    report = check_engine(right.made(text))
    assert set(report.codes) == {"value.operands-exchanged", "slope.sign"}, report.text()
    assert report.findings[0].evidence == "2 - a is computed as a - 2."


@pytest.mark.parametrize("slope", ["1 - 0.9 * t ** 3", "1 - abs(t)", "0.3", "math.cos(self.data)"])
def test_a_mistake_that_nobody_listed_is_not_given_a_name(slope):
    text = right.CLOSURES.replace("(1 - t ** 2)", f"({slope})")
    report = check_engine(right.made(text))
    assert report.codes == ("unknown.slope",), report.text()
    finding = report.findings[0]
    assert finding.confidence == "partial"
    assert "tanh" in finding.where
    assert "expected" in finding.here


def test_a_pass_that_nobody_listed_is_not_given_a_name():
    text = right.CLOSURES.replace("visited.add(v)", "len(visited) < 3 and visited.add(v)")
    report = check_engine(right.made(text))
    assert report.codes == ("unknown.sweep",), report.text()


def test_an_order_at_random_is_not_repeatable():
    text = right.CLOSURES.replace(
        "for v in reversed(topo)", "import random; random.shuffle(topo)\n        for v in topo"
    )
    report = check_engine(right.made(text))
    assert report.codes == ("nodes.not-repeatable",), report.text()


def test_a_constant_factor_that_nobody_listed_is_told():
    text = right.CLOSURES.replace("out.data * out.grad", "1.7 * out.data * out.grad", 1)
    report = check_engine(right.made(text))
    assert report.codes == ("unknown.slope",)
    assert report.findings[0].evidence == "It is 1.7 times what is right, wherever it is wrong."


def test_a_wrong_product_is_not_told_of_what_is_made_of_it():
    text = right.CLOSURES.replace("self.grad += other.data * out.grad", "self.grad += 3 * out.grad")
    report = check_engine(right.made(text))
    assert report.codes == ("unknown.slope",), report.text()
    assert "__mul__" in report.findings[0].where


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        (type("Empty", (), {}), "no node could be made"),
        (type("Mute", (), {"__init__": lambda self, x: None}), "its number cannot be found"),
        (
            type("Still", (), {"__init__": lambda self, x: setattr(self, "data", x)}),
            "it has no backward pass",
        ),
    ],
)
def test_a_class_that_cannot_be_examined_is_told_why(engine, says):
    report = check_engine(engine)
    assert report.codes == ("call.not-examinable",)
    assert says in report.findings[0].evidence


# --- what the names rest on ---


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_reference_engine_is_right(name):
    row = OPERATIONS[name]
    functions = {
        "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
        "div": lambda a, b: a / b, "pow": mpmath.power, "neg": lambda x: -x, "abs": abs,
        "relu": lambda x: max(x, 0), "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
        "square": lambda x: x * x, "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    }  # fmt: skip
    exact = functions.get(name) or getattr(mpmath, name)
    with mpmath.workdps(30):
        for point in row.points:
            result = row.value(*point)
            assert result == pytest.approx(float(exact(*point)), rel=1e-14)
            for place, partial in enumerate(row.partials):
                order = tuple(int(k == place) for k in range(len(point)))
                slope = mpmath.diff(exact, point, order)
                assert partial(*point, result) == pytest.approx(float(slope), rel=1e-12)


def test_the_engine_of_this_library_gives_what_is_taken_for_right():
    for program in exam():
        if program.about in ("alone", "above", "shared", "order"):
            made, leaves = [], []
            for kind, *rest in program.steps:
                if kind == "leaf":
                    made.append(cr.Value(rest[0]))
                    leaves.append(made[-1])
                elif kind == "number":
                    made.append(rest[0])
                elif kind == "sum":
                    made.append(sum(made[k] for k in rest))
                elif kind == "apply":
                    a, *b = [made[k] for k in rest[1:]]
                    made.append(
                        {
                            "add": lambda a, b: a + b, "sub": lambda a, b: a - b,
                            "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
                            "pow": lambda a, b: a**b, "neg": lambda a: -a, "abs": abs,
                        }.get(rest[0], lambda a, name=rest[0]: getattr(cr, name)(a))(a, *b)
                    )  # fmt: skip
            made[-1].backward()
            found = [made[-1].data, *(leaf.grad for leaf in leaves)]
            assert found == pytest.approx(list(truth(program)), rel=1e-12, abs=1e-15)


def test_no_two_rows_give_the_same_answers_in_one_operation():
    offers = frozenset(form for program in exam() for form in program.needs)
    build = Build(offers, zero=True)
    for form in ("tanh:V", "mul:VV", "div:VV", "relu:V", "pow:VV", "log:V"):
        programs = [program for program in exam() if program.form == form]
        programs = [program for program in programs if program.about != "extreme"]
        signatures = {}
        for plant in plants(build, {form}):
            if not plant.forms:
                continue
            answers = [outcomes(program.steps, build, [plant]) for program in programs]
            if answers == [[truth(program)] for program in programs]:
                continue  # it does nothing there
            key = json.dumps([[f"{x:.9g}" for x in numbers] for a in answers for numbers in a])
            other = signatures.setdefault(key, plant.code)
            assert other == plant.code, form


def test_every_row_has_its_texts():
    for row in MISTAKES:
        assert row.category in CATEGORIES
        assert row.says.endswith(".")
        assert row.fix.endswith(".")
    assert len({row.code for row in MISTAKES}) == len(MISTAKES)


# --- the report ---


@pytest.fixture
def wrong():
    return check_engine(right.made(right.CLOSURES.replace("(1 - t ** 2)", "(1 - t)")))


def test_a_hint_level_tells_no_more_than_it_should(wrong):
    assert "tanh" not in wrong.text("pass")
    assert "a.tanh()" in wrong.text("layer")
    assert "1 - y^2" not in wrong.text("layer")
    assert "There is a mistake in the derivative of an operation." in wrong.text("category")
    assert "slope.not-squared" not in wrong.text("category")
    assert "slope.not-squared" in wrong.text("fix")


def test_the_report_is_written_in_every_form(wrong):
    assert wrong.markdown().startswith("## Value: not right")
    assert "not right" in wrong.html()
    assert "<svg" not in wrong.html()
    told = json.loads(wrong.json())
    assert [finding["code"] for finding in told["findings"]] == ["slope.not-squared"]
    assert {"name": "a.tanh()", "ok": False, "says": "wrong"} in told["parts"]
    assert json.loads(wrong.gradescope(points=5))["score"] == 0.0


# --- a file ---


@pytest.fixture
def engine_file(tmp_path):
    def write(text):
        path = tmp_path / "engine.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_command_tells_a_class_from_a_function(engine_file, capsys):
    path = engine_file(right.CLOSURES.replace("(1 - t ** 2)", "(1 - t)"))
    assert cli.main(["check", f"{path}:Value", "--format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "engine.py:Value"
    assert told["findings"][0]["code"] == "slope.not-squared"


def test_the_command_finds_a_right_engine_right(engine_file, capsys):
    assert cli.main(["check", f"{engine_file(right.LOCAL)}:Value"]) == 0
    assert capsys.readouterr().out.startswith("engine.py:Value: right, within limits\n")


@pytest.mark.parametrize("target", ["/engine.py", "", ":Value"])
def test_the_command_finds_the_engine_in_a_file_or_a_folder(engine_file, capsys, target):
    folder = engine_file(right.LOCAL).parent
    assert cli.main(["check", f"{folder}{target}"]) == 0
    assert capsys.readouterr().out.startswith("engine.py:Value: right, within limits\n")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("class Value:\n    1/0", "call.not-loaded"),
        (right.CLOSURES.replace("t = math.tanh", "import os; os._exit(3); t = math.tanh"),
         "call.dies"),
        (right.CLOSURES.replace("t = math", "while True: pass\n        t = math"), "call.too-slow"),
    ],
)  # fmt: skip
def test_whatever_a_file_does_is_a_finding(engine_file, text, code):
    report = check_engine_file(engine_file(text), "Value", time_limit=2.0)
    assert code in report.codes, report.text()
    assert not report.ok
