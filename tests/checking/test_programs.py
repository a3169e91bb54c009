"""Programs as people write them, given as they are: none has a line of glue.

``programs/`` has them, by the shapes that courses, books and posts use; what is right or wrong with
each is known here.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from chainrule import cli
from chainrule.checking import diagnose
from chainrule.checking.diagnosis.asked import COURSES, PENALTIES, Asked
from chainrule.checking.diagnosis.programs import diagnose_and_know, diagnose_program
from chainrule.checking.diagnosis.subjects import Here
from chainrule.checking.handed_in import report_on
from chainrule.checking.intake import trial
from chainrule.checking.intake.locating import locate
from chainrule.checking.intake.manner import Manner, Stated
from chainrule.checking.intake.names import gradient_of, role_of
from chainrule.checking.intake.needed import CannotReadError
from chainrule.checking.intake.program import Program
from chainrule.checking.intake.source import load
from chainrule.checking.intake.trial import explore
from chainrule.checking.problem import build

from .programs import functions, objects, steps

pytestmark = pytest.mark.numpy_alone

PROGRAMS = Path(functions.__file__).parent

# program, what is stated, the code of the mistake ("" for none), conventions that are told
SHAPES = [
    (functions.other_order, {}, "", ["called"]),
    (functions.names_of_their_own, {}, "", []),
    (functions.keyword_only, {}, "", ["called"]),
    (functions.without_lam, {}, "", ["penalty-none"]),
    (functions.hidden_slope_missing, {}, "hidden.slope-missing", ["called"]),
    (functions.columns, {}, "", ["examples-columns"]),
    (functions.one_after_the_other, {}, "", ["examples-one-flat", "layout"]),
    (functions.generates, {}, "", []),
    (functions.a_namedtuple, {}, "", []),
    (functions.bias_last, {}, "", ["biases-last"]),
    (functions.penalty_not_over_m, {}, "", ["penalty-not-divided"]),
    (functions.penalty_not_over_m, {"lam": 1.3}, "penalty.not-divided", []),
    (functions.penalty_on_the_biases, {}, "", ["penalty-on-biases"]),
    (functions.penalty_on_the_biases, {"lam": 1.3}, "penalty.on-bias", []),
    (functions.no_penalty, {}, "", ["penalty-none"]),
    (functions.no_penalty, {"lam": 1.3}, "penalty.missing", []),
    (functions.cost_without_penalty, {}, "cost.penalty-missing", ["with-cost"]),
    (functions.cost_of_a_sum, {}, "cost.not-averaged", ["penalty-none"]),
    (functions.cost_from_nowhere, {}, "cost.wrong", ["with-cost"]),
    (functions.penalty_not_over_m_nor_in_the_cost, {}, "cost.penalty-missing", ["with-cost"]),
    (functions.penalty_not_over_m_with_cost, {}, "", ["penalty-not-divided", "with-cost"]),
    (functions.sums, {}, "", ["reduction"]),
    (functions.sums, {"reduction": "mean"}, "mean.missing", []),
    (functions.no_biases, {}, "", ["biases-none"]),
    (functions.no_biases_slope_of_a, {}, "hidden.slope-at-a", ["biases-none", "turned"]),
    (functions.one_by_one, {}, "", ["weights-separate", "targets-labels-0", "activation"]),
    (functions.tanh_slope_of_one_minus_a, {}, "hidden.slope-is-1-minus-a", ["weights-separate"]),
    (functions.one_output, {}, "", ["targets-flat"]),
    (functions.all_weights_then_all_biases, {}, "", ["layout", "reduction"]),
    (functions.backward_propagation, {}, "", ["weights-dict", "examples-columns"]),
    (functions.backward_without_m, {}, "bias.times-m", ["weights-dict", "examples-columns"]),
    (functions.loss_and_gradients, {}, "", ["penalty-not-divided", "targets-labels-0"]),
    (functions.relu_mask_of_all, {}, "hidden.slope-missing", ["activation", "weights-dict"]),
    (functions.two_lists, {}, "", ["weights-apart", "examples-one-column"]),
    (functions.pairs, {}, "", ["weights-pairs", "turned"]),
    (functions.nnCostFunction, {}, "", ["weights-vector", "targets-labels-1", "unrolled-F"]),
    (functions.grad_of_vector, {}, "", ["unrolled-C", "penalty-on-biases", "targets-labels-0"]),
    (functions.named_gradients, {}, "", []),
    (steps.returns_new_weights, {}, "", ["answer-after", "weights-separate"]),
    (steps.updates_too_early, {}, "hidden.updated-weights", ["answer-changed", "biases-none"]),
    (steps.gradient_descent_step, {}, "", ["weights-dict"]),
    (steps.OnlineRight, {}, "", ["weights-held", "answer-changed", "biases-none"]),
    (steps.FixedSizes, {}, "", ["rate", "answer-changed"]),
    (steps.MiniBatch, {}, "", ["weights-held", "answer-changed"]),
    (steps.FitInPlace, {}, "", ["weights-held", "answer-changed", "activation"]),
    (steps.moves_globals, {}, "", ["weights-held", "answer-changed", "reduction"]),
    (steps.rate_of_its_own, {}, "", ["rate", "biases-none"]),
    (objects.StoresGradients, {}, "", ["answer-stored"]),
    (objects.SlopeAtTheOutput, {"loss": "logistic"}, "output.slope-doubled", ["answer-stored"]),
    (objects.TwoLayerNet, {}, "", ["penalty-not-divided", "targets-labels-0"]),
    (objects.FullyConnectedNet, {}, "", ["penalty-not-divided"]),
    (objects.Nielsen, {}, "", ["examples-one-column"]),
    (objects.NielsenWithoutSlope, {}, "hidden.slope-missing", ["examples-one-column"]),
    (objects.LayeredNetwork, {}, "", ["answer-stored"]),
    (objects.LAYERS, {}, "", ["answer-changed", "reduction"]),
    (objects.NoSizes, {}, "", ["biases-none"]),
    (objects.BackFromOutput, {}, "", ["examples-columns"]),
]


def name_of(value):
    return getattr(value, "__name__", None)


@pytest.mark.parametrize(("program", "stated", "code", "told"), SHAPES, ids=name_of)
def test_a_program_is_taken_as_it_is(program, stated, code, told):
    report = diagnose(program, **stated)
    assert report.codes[:1] == ((code,) if code else ())
    names = [convention.name for convention in report.conventions]
    assert set(told) <= set(names)


def test_most_shapes_run_without_glue():
    """What is counted is programs, not rows of the table."""
    assert len({id(program) for program, *_ in SHAPES}) >= 42


@pytest.mark.parametrize("name", ["HandWritten", "SlopeMissing", "tensors"])
def test_torch_tensors_with_a_backward_pass_by_hand(name):
    pytest.importorskip("torch", reason="PyTorch is not part of the test extra")
    from .programs import in_torch

    report = diagnose(getattr(in_torch, name))
    assert report.codes == (("hidden.slope-missing",) if name == "SlopeMissing" else ())
    assert "torch" in [convention.name for convention in report.conventions]


def test_an_object_and_its_method_are_taken_and_left_as_they_are():
    net = objects.Nielsen((5, 6, 3))
    before = [w.copy() for w in net.weights]
    for given in (net, net.backprop):
        report = diagnose(given)
        assert report.ok
        assert report.problem.sizes == (5, 6, 3)
    assert all(np.array_equal(a, b) for a, b in zip(before, net.weights, strict=True))


def test_a_wrong_cost_loses_its_points_and_no_others():
    report = diagnose(functions.cost_without_penalty, lam=1.3, loss="logistic")
    assert report.codes == ("cost.penalty-missing",)
    assert [(part.part, part.ok) for part in report.parts[-2:]] == [
        ("penalty", True),
        ("cost", False),
    ]
    assert sum(not part.ok for part in report.parts) == 1
    tests = json.loads(report.gradescope(points=8))["tests"]
    assert [(test["name"], test["score"]) for test in tests[-2:]] == [("penalty", 1.0), ("cost", 0)]
    right = diagnose(functions.loss_and_gradients)
    assert [(part.part, part.ok) for part in right.parts if part.layer is None][-1] == (
        "cost",
        True,
    )


def test_two_functions_are_a_pair():
    pair = functions.forward_propagation, functions.backward_propagation
    assert diagnose(pair, sizes=(4, 5, 2)).ok


def test_globals_are_set_back():
    before = steps.W1.copy(), steps.lr
    diagnose(steps.moves_globals)
    assert np.array_equal(steps.W1, before[0])
    assert steps.lr == before[1]


# ---------------------------------------------------------------- what is stated


def test_sizes_biases_and_conventions_can_be_stated():
    report = diagnose(functions.no_biases, sizes=(4, 5, 2), biases="none")
    assert report.ok
    assert report.problem.sizes == (4, 5, 2)
    assert not diagnose(functions.no_biases, biases="with").ok
    assert diagnose(functions.penalty_not_over_m, lam=0.7, penalty="not-divided").ok
    assert diagnose(functions.penalty_on_the_biases, lam=0.7, penalty="on-biases").ok


def test_a_role_can_be_stated_and_is_asked_for_in_one_line():
    def odd(first, second, third, fourth, fifth, sixth):
        return [fourth * D for D in functions.without_lam(first, second, third)]

    report = diagnose(odd)
    assert report.codes[0].startswith("call.")
    roles = {"first": "thetas", "second": "X", "third": "Y", "fourth": "1.0"}
    roles |= {"fifth": "2", "sixth": "3"}
    assert diagnose(odd, arguments=roles).ok
    assert "--argument first=ROLE" in report.findings[0].evidence


def test_strict_makes_what_was_found_out_a_finding():
    report = diagnose(functions.columns, loss="logistic", strict=True)
    assert report.codes == ("call.not-as-asked",)
    assert "examples are columns" in report.findings[0].evidence
    stated = {"examples": "columns", "arguments": {"lambd": "lam"}}
    assert diagnose(functions.columns, loss="logistic", strict=True, lam=1.3, **stated).ok
    assert diagnose(functions._base, loss="logistic", strict=True).codes == ("call.not-as-asked",)


@pytest.mark.parametrize(
    ("course", "program"),
    [
        ("ml-class", functions.nnCostFunction),
        ("dl-specialization", functions.backward_propagation),
        ("cs231n", objects.TwoLayerNet),
        ("nielsen", objects.Nielsen),
        ("from-scratch", steps.moves_globals),
    ],
)
def test_a_course_states_its_conventions_in_one_word(course, program):
    assert diagnose(program, course=course).ok
    assert not diagnose(functions.columns, course="notes").ok


def test_statements_that_make_no_sense_say_what_can_be_stated():
    with pytest.raises(ValueError, match="course is 'mine': expected one of 'notes'"):
        Asked.read(course="mine")
    with pytest.raises(ValueError, match="penalty is 'l1'"):
        Asked.read(penalty="l1")
    with pytest.raises(ValueError, match="as 5,6,3"):
        diagnose(functions.columns, sizes=(5,))
    assert set(COURSES) >= {"notes", "ml-class", "cs231n"}
    assert next(iter(PENALTIES)) == "usual"


# ---------------------------------------------------------------- files


SCRIPT = """
import numpy as np
import no_such_library
from no_such_plots import draw

X, y = no_such_library.load("digits")
rate = 0.5
scale = np.array([1.0, 1.0])

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

class Net:
    def __init__(self, sizes):
        self.W = [np.random.randn(b, a) for a, b in zip(sizes, sizes[1:])]
        self.b = [np.zeros(b) for b in sizes[1:]]

    def gradients(self, X, Y):
        a = [X]
        for W, b in zip(self.W, self.b):
            a.append(sigmoid(a[-1] @ W.T + b) * scale[0])
        delta, found = (a[-1] - Y) / len(X), []
        for i in reversed(range(len(self.W))):
            found.insert(0, (delta.T @ a[i], delta.sum(axis=0)))
            delta = delta @ self.W[i] * a[i] * (1 - a[i])
        return found

net = Net([784, 30, 10])
for epoch in range(10**9):
    net.gradients(X, y)
"""


def test_a_script_that_trains_is_read_without_training(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    module = load(path, "Net")
    assert diagnose(module.Net, name="script.py").ok
    assert not hasattr(module, "net")


def test_what_a_script_needs_and_cannot_have_is_said(tmp_path, capsys):
    path = tmp_path / "script.py"
    path.write_text(
        "import numpy as np\nsize = int(open('sizes.txt').read())\n"
        "def backprop(thetas, X, Y, lam):\n    return size\n"
    )
    assert cli.main(["check", f"{path}:backprop"]) == 2
    said = capsys.readouterr().err
    assert "script.py, line 2: backprop needs size, and this raised FileNotFoundError" in said


def test_a_notebook_a_module_and_a_folder(tmp_path, monkeypatch, capsys):
    cells = [
        {"cell_type": "markdown", "source": ["# Homework"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import numpy as np\n"]},
        {"cell_type": "code", "source": ["data = open('nowhere.csv')\n", "print(data)"]},
        {"cell_type": "code", "source": ["def unfinished(:"]},
        {"cell_type": "code", "source": SCRIPT.partition("rate = 0.5")[2].splitlines(True)},
    ]
    notebook = tmp_path / "home work.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "nbformat": 4}))
    assert cli.main(["check", f"{notebook}:Net.gradients"]) == 0
    package = tmp_path / "course" / "week2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "common.py").write_text("from numpy import exp\n")
    text = SCRIPT.partition("scale =")[2].replace("np.exp", "exp").replace("net = ", "# ")
    text = text.partition("for epoch")[0]
    (package / "net.py").write_text(f"import numpy as np\nfrom .common import exp\nscale ={text}\n")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert cli.main(["check", "course.week2.net:Net"]) == 0
    assert "Net in course.week2.net: right" in capsys.readouterr().out
    assert locate("course/week2") == (Path("course/week2/net.py"), "Net", "")
    with pytest.raises(ValueError, match="no file in it defines other"):
        locate("course/week2:other")


def test_the_likeliest_name_in_a_file():
    assert locate(str(PROGRAMS / "functions.py"))[1] == "backward_propagation"
    assert locate(str(PROGRAMS / "objects.py"))[1] in ("Nielsen", "LayeredNetwork", "TwoLayerNet")


@pytest.mark.parametrize("target", ["steps.py:MiniBatch", "objects.py:SlopeAtTheOutput.backward"])
def test_in_a_process_of_its_own_the_same_is_said(target, capsys):
    name = target.partition(":")[2].partition(".")[0]
    made = getattr(steps, name, None) or getattr(objects, name)
    here = diagnose(made, loss="logistic")
    assert cli.main(["check", str(PROGRAMS / target), "--loss", "logistic"]) == int(not here.ok)
    said = capsys.readouterr().out
    assert here.text().partition("\n")[2].splitlines()[:3] == said.splitlines()[1:4]


def test_options_of_the_command_reach_the_program(capsys):
    target = f"{PROGRAMS / 'functions.py'}:no_biases"
    options = ["--sizes", "4,5,2", "--biases", "none", "--loss", "logistic", "--lam", "0"]
    assert cli.main(["check", target, *options]) == 0
    assert "4-5-2" in capsys.readouterr().out
    assert cli.main(["check", target, "--strict"]) == 1
    with pytest.raises(SystemExit):
        cli.main(["check", target, "--sizes", "four"])


def test_right_without_hidden_layers_is_not_right():
    """A program for any depth that fails wherever there are hidden layers is told what it met."""

    def backward(params, X, Y):
        a = [X]
        for W, b in params:
            a.append(functions.sigmoid(a[-1] @ W + b))
        delta, grads = (a[-1] - Y) / len(X), []
        for i in reversed(range(len(params))):
            assert delta.shape[1] == 1, "one unit"
            grads.insert(0, (a[i].T @ delta, delta.sum(0)))
            delta = delta @ params[i][0].T * a[i] * (1 - a[i])
        return grads

    report = diagnose(backward)
    assert report.codes == ("call.raises",)
    assert "AssertionError: one unit" in report.findings[0].evidence
    assert "where there are no hidden layers only" in report.findings[0].evidence


def test_a_program_with_dropout_is_called_without_it():
    def gradients(X, Y, W1, b1, W2, b2, keep_prob):
        mask = np.random.rand(len(X), b1.size) < keep_prob
        h = np.tanh(X @ W1 + b1) * mask / keep_prob
        d2 = (functions.sigmoid(h @ W2 + b2) - Y) / len(X)
        d1 = d2 @ W2.T * mask / keep_prob * (1 - h**2)
        return X.T @ d1, d1.sum(0), h.T @ d2, d2.sum(0)

    report = diagnose(gradients)
    assert report.ok
    says = {item.name: item.says for item in report.conventions}
    assert 'check_layer(forward, backward, kind="dropout")' in says["dropout"]


# ---------------------------------------------------------------- slow programs


def counted(function):
    """Return *function* with its calls counted, its parameters as they are."""

    @functools.wraps(function)
    def calling(*args, **kwargs):
        calling.calls += 1
        return function(*args, **kwargs)

    calling.calls = 0
    return calling


def test_what_always_fails_alike_is_not_called_again_and_again():
    @counted
    def unfinished(weights, biases, X, Y):
        raise NotImplementedError("to do")

    report = diagnose(unfinished)
    assert report.codes == ("call.raises",)
    assert "NotImplementedError: to do" in report.findings[0].evidence
    assert unfinished.calls < 200


def test_trials_end_in_time_with_what_they_have_found(monkeypatch):
    monkeypatch.setattr(trial, "SLOW", 0.0)
    networks = Asked.read().offered()

    @counted
    def fails(weights, biases, X, Y):
        raise ValueError(f"{fails.calls}")

    found = explore(Program(fails), networks, Stated(), seconds=0.0)
    assert (fails.calls, str(found.failure)) == (1, "1")
    assert "only 1 ways to call it were tried" in found.asked
    right = counted(functions.one_by_one)
    found = explore(Program(right), networks, Stated(), seconds=0.0)
    assert [len(answers) for _, answers in found.answers] in ([], [3])


def test_a_program_whose_manner_is_known_is_called_three_times_more():
    program = counted(functions.columns)
    report, known = diagnose_and_know(Here(program), Asked.read(), "columns")
    assert report.ok
    before = program.calls
    assert diagnose_program(known, Asked.read(), "columns").ok
    assert program.calls == before + 3


# ---------------------------------------------------------------- whole files

FILES = [
    ("loop.py", "", ["one turn of the training loop at its top level was run"]),
    ("while_loop.py", "hidden.errors-without-slopes", ["one turn of the training loop"]),
    ("neurons.py", "", ["lists of dictionaries", "its class behind it", "update_weights(the"]),
    ("neurons_wrong.py", "hidden.slope-missing", ["lists of dictionaries"]),
    ("lists.py", "hidden.updated-weights", ["nested lists", "the bias is the last column"]),
    ("lists.py:sqerror_gradients", "", ["nested lists"]),
    ("built.py:Stack", "", ["called as Stack.fit(x_train = X, y_train = Y", "a list of one row"]),
    ("built.py:TakesLayers", "", ["the network has no biases", "a rate found out"]),
    ("built.py:NeverMoves", "sum.missing", ["the network has no biases"]),
]


@pytest.mark.parametrize(("target", "code", "told"), FILES, ids=[target for target, *_ in FILES])
def test_a_file_is_taken_as_it_is(target, code, told):
    report = report_on(f"{PROGRAMS / target}", time_limit=100.0)
    assert report.codes[:1] == ((code,) if code else ())
    says = "\n".join(convention.says for convention in report.conventions)
    assert [text for text in told if text not in says] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def build(hidden, epochs):\n    return {'W1': 1}", "build takes no weights"),
        (PROGRAMS / "built.py:MakesItsOwn", "an object as MakesItsOwn makes it holds no weights"),
    ],
    ids=["function", "object"],
)
def test_a_program_that_makes_its_own_weights_is_told_so(text, says, tmp_path):
    target = text
    if isinstance(text, str):
        (tmp_path / "own.py").write_text(text)
        target = tmp_path / "own.py:build"
    report = report_on(str(target), time_limit=100.0)
    assert report.codes == ("call.wrong-arguments",)
    assert says in report.findings[0].evidence
    assert "def backprop(thetas, X, Y, lam):" in report.findings[0].evidence


PACKAGED = {
    "course/week/net.py": "import numpy as np\nimport no_such_plots\nfrom course.tools import one\n"
    "from .more import two\ndef backprop(params, X, Y):\n"
    "    return [one * two * X.sum() * w for w in params]\n",
    "course/tools.py": "one = 1.0",
    "course/week/more.py": "two = 2.0",
    "course/week/__init__.py": "",
}


def test_imports_begin_where_the_package_does(tmp_path):
    for name, text in PACKAGED.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    before, modules = [*sys.path], set(sys.modules)
    try:
        module = load(tmp_path / "course/week/net.py", "backprop")
        assert (module.one, module.two) == (1.0, 2.0)
    finally:
        sys.path[:] = before
        for name in set(sys.modules) - modules:
            del sys.modules[name]


def test_what_only_the_data_need_is_not_needed(tmp_path):
    path = tmp_path / "moons.py"
    path.write_text(
        "import numpy as np\nimport no_such_library\nfrom no_such_helpers import *\n"
        "X, y = no_such_library.moons(200)\nprint(X)\n"
        "def backprop(W, X, y):\n    return [np.zeros_like(w) for w in W]\n"
    )
    assert load(path, "backprop").backprop([np.ones(2)], None, None)[0].tolist() == [0.0, 0.0]
    path.write_text(path.read_text().replace("zeros_like(w)", "ones(sigmoid(w))"))
    with pytest.raises(CannotReadError, match=r"line 3: .*; sigmoid may come from there"):
        load(path, "backprop")


def test_a_file_without_a_backward_pass_says_what_it_has(tmp_path):
    path = tmp_path / "few.py"
    path.write_text("def cost(): pass\ndef predict(): pass\n")
    with pytest.raises(ValueError, match="it defines cost, predict: state which"):
        locate(str(path))


# ---------------------------------------------------------------- pieces


def test_a_manner_survives_the_way_between_processes():
    manner = Manner(bias="last", turned=True, examples="one-row", text="f(x)")
    assert Manner.of(json.loads(json.dumps(manner.words()))) == manner
    for wrong in ({"bias": "up"}, {"text": 3}, {"network": "x"}, {"rate": None}, {"other": 1}):
        with pytest.raises((ValueError, TypeError)):
            Manner.of(manner.words() | wrong)


def test_names_say_what_is_likely():
    assert [role_of(name) for name in ("X_train", "y", "lambd", "eta")] == ["X", "Y", "lam", "rate"]
    assert gradient_of("nabla_w") == ("W", "")
    assert gradient_of("activation1") is None


def test_a_network_without_biases_shows_mistakes_as_one_with_them_does():
    problem = build((5, 6, 4, 3)).without_biases()
    assert not problem.truth.D[0][:, 0].any()

    def doubled(weights, X, Y):
        return [2 * D for D in functions.no_biases(weights, X, Y)]

    report = diagnose(doubled, loss="logistic", reduction="mean")
    assert report.codes == ("factor.two",)


def test_stated_manners_are_kept():
    assert Stated(examples="one").allows(Manner(examples="one-row"))
    assert not Stated(biases="none").allows(Manner())


def test_the_programs_are_there_by_themselves():
    """They import neither chainrule nor each other."""
    for path in sorted(PROGRAMS.glob("*.py")):
        assert "chainrule" not in path.read_text(encoding="utf-8")
