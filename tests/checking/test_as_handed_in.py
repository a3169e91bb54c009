"""Programs as a teacher gets them: other names, other Pythons, weights that are made late."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from chainrule.checking import diagnose, probe
from chainrule.checking.diagnosis.catalogue import catalogue_of
from chainrule.checking.diagnosis.submissions import diagnose_file
from chainrule.checking.intake import clock, holding, locating, source, trial
from chainrule.checking.intake.names import role_of
from chainrule.checking.intake.python2 import as_python3

from .programs import fitted

pytestmark = pytest.mark.numpy_alone


@pytest.mark.parametrize(
    ("program", "codes"),
    [
        (fitted.OneUnit, ()),
        (fitted.Fitted, ()),
        (fitted.FittedWithoutSlope, ("hidden.slope-missing",)),
        (fitted.Whole, ()),
        (fitted.WholeWithoutMean, ("mean.missing-in-weights",)),
        (fitted.OneByOne, ()),
        (fitted.Unrolled, ()),
        (fitted.OddNames, ()),
        (fitted.softmax_loss_vectorized, ()),
        (fitted.column_of_labels, ()),
        (fitted.InPairs, ()),
        (fitted.InPairsWithoutSlope, ("hidden.slope-missing",)),
        (fitted.Leaky, ()),
        (fitted.LeakyForwardsOnly, ("hidden.slope-of-wrong-activation",)),
        (fitted.holds_its_ones, ()),
        (fitted.holds_its_ones_without_a, ("hidden.slope-is-1-minus-a",)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_program_is_read_as_it_was_written(program, codes):
    assert diagnose(program).codes == codes


def test_a_wrong_program_without_a_penalty_is_not_charged_for_one_that_nobody_asked_for():
    def backprop(thetas, X, Y, lam):
        a = [X]
        for theta in thetas:
            a.append(1.0 / (1.0 + np.exp(-np.c_[np.ones(len(X)), a[-1]] @ theta.T)))
        delta, found = a[-1] - Y, []
        for i in reversed(range(len(thetas))):
            found.insert(0, delta.T @ np.c_[np.ones(len(X)), a[i]] / len(X))
            delta = delta @ thetas[i][:, 1:] * (1.0 - a[i])
        return found

    slope = "hidden.slope-is-1-minus-a"
    report = diagnose(backprop)
    assert report.codes == (slope,)
    assert "penalty-none" in [convention.name for convention in report.conventions]
    assert set(diagnose(backprop, lam=1.3).codes) == {slope, "penalty.missing"}


def test_where_time_was_short_nothing_is_certain(monkeypatch):
    """The plain call is known before any other is tried."""
    report = diagnose(fitted.InPairsWithoutSlope)
    assert report.findings[0].confidence == "certain"
    monkeypatch.setattr(trial, "MOST_CALLS", 1)
    report = diagnose(fitted.InPairsWithoutSlope)
    assert not report.ok
    assert {finding.confidence for finding in report.findings} == {"partial"}
    assert "trials-cut" in [convention.name for convention in report.conventions]


def test_waiting_for_a_processor_is_not_a_programs_own_time(monkeypatch):
    begun = clock.own_time()
    monkeypatch.setattr(clock, "waited", lambda process: 1e6)
    assert clock.own_time() < begun


def test_a_sign_is_not_taken_for_a_learning_rate():
    report = diagnose(fitted.UnrolledTurned)
    assert report.codes == ("sign.everything",)


def test_an_order_that_is_drawn_is_not_the_mistake():
    report = diagnose(fitted.OneByOneHalved)
    assert "call.not-repeatable" not in report.codes
    assert report.first_wrong_layer == 1


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("output_pred", "output"), ("y_hat_train", "output"), ("training_set_inputs", "X"),
        ("training_set_outputs", "Y"), ("true_labels", "Y"), ("input_layer_weights", ""),
        ("hidden_size_list", "hidden_sizes"), ("x_test_error", ""), ("loss_fn", ""),
    ],
)  # fmt: skip
def test_a_name_of_several_words_means_what_one_of_them_says(name, role):
    assert role_of(name) == role


def test_python_2_is_read_line_by_line():
    text = (
        "def f(x):\n"
        "\tfor i in xrange(3):\n"
        "\t\tprint 'a %d' % (\n"
        "\t\t\ti), 2  # no 1\n"
        "\ttry:\n"
        "\t\tprint 'x'; x += 1\n"
        "\texcept ValueError, e:\n"
        "\t\traise ValueError, 'no'\n"
        "\tprint\n"
        "\treturn x\n"
    )
    made = as_python3(text)
    assert made.count("\n") == text.count("\n")
    space: dict[str, object] = {}
    exec(made, space)
    assert space["f"](1) == 2  # type: ignore[operator]


@pytest.mark.parametrize(
    "text", ["print('a', 1)\n", "x = print\n", "def f(:\n", "print.x = 1\n", "print ('a'), 'b'\n"]
)
def test_python_3_and_what_is_neither_stays_as_it_is(text):
    assert as_python3(text) == text


LOADS = """
{}
import numpy as np

def backprop(thetas, X, Y, lam):
    {}
    return [np.zeros_like(theta) for theta in thetas]
"""


def loaded(tmp_path, text, file=""):
    name, path = "backprop", tmp_path / (file or f"handed_in_{abs(hash(text))}.py")
    path.write_text(text)
    try:
        return getattr(source.load(path, name), name)
    finally:
        sys.modules.pop(path.stem, None)


@pytest.fixture
def modules():
    before, folders = dict(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.path[:] = folders


@pytest.mark.usefixtures("modules")
def test_a_library_that_is_not_there_is_missed_where_it_is_used(tmp_path):
    head = "import drawing_9.shapes as s\nfrom drawing_9 import lines, dots as d"
    assert len(loaded(tmp_path, LOADS.format(head, "pass"))([np.ones(2)], 0, 0, 0)) == 1
    used = loaded(tmp_path, LOADS.format(head, "s.circle(X)"))
    with pytest.raises(ModuleNotFoundError, match="not installed where this is checked"):
        used([], 0, 0, 0)


@pytest.mark.usefixtures("modules")
def test_who_has_another_library_at_hand_gets_that(tmp_path):
    head = "try:\n    import arrays_9 as xp\nexcept ImportError:\n    import numpy as xp"
    assert loaded(tmp_path, LOADS.format(head, "assert xp is np"))([], 0, 0, 0) == []


@pytest.mark.usefixtures("modules")
def test_a_file_under_another_case_is_found(tmp_path):
    (tmp_path / "Loss.py").write_text("half = 0.5")
    made = loaded(tmp_path, LOADS.format("from loss import half", "assert half == 0.5"))
    assert made([], 0, 0, 0) == []


@pytest.mark.usefixtures("modules")
def test_a_package_beside_the_folder_is_found(tmp_path):
    (tmp_path / "common_9").mkdir()
    (tmp_path / "common_9" / "functions.py").write_text("def sigmoid(z):\n    return z")
    (tmp_path / "ch04").mkdir()
    head = "import sys, os\nsys.path.append(os.pardir)\nfrom common_9.functions import *"
    made = loaded(tmp_path / "ch04", LOADS.format(head, "assert sigmoid(2) == 2"))
    assert made([], 0, 0, 0) == []


@pytest.mark.usefixtures("modules")
def test_a_package_that_imports_the_file_itself_is_imported_first(tmp_path):
    package = tmp_path / "units_9"
    package.mkdir()
    (package / "__init__.py").write_text("from .slopes import backprop, slope")
    (package / "base.py").write_text("def slope(a):\n    return a * (1 - a)")
    made = loaded(package, LOADS.format("from .base import slope", "pass"), file="slopes.py")
    assert made([], 0, 0, 0) == []


@pytest.mark.usefixtures("modules")
def test_a_module_of_python_2_in_a_package_is_read_as_the_file_is(tmp_path):
    package = tmp_path / "course_9"
    (package / "nets").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "layers.py").write_text("print 'compile first'\ndef half(m):\n    return m / 2")
    head = "from course_9.layers import half"
    made = loaded(package / "nets", LOADS.format(head, "assert half(5) == 2.5"))
    assert made([], 0, 0, 0) == []


MAIN = """
import numpy as np

def load():
    return np.loadtxt("there_is_no_such_file.csv")

def main():
    data = load()
    streetlights, walk_or_stop = data[:, :5], data[:, 5:]
    W1, W2 = np.random.randn(5, 4), np.random.randn(4, 1)
    for epoch in range(50):
        for i in range(len(X)):
            a = 1 / (1 + np.exp(-X[i:i + 1] @ W1))
            delta = a @ W2 - Y[i:i + 1]
            hidden = delta @ W2.T * a * (1 - a)
            W2 -= 0.1 * a.T @ delta
            W1 -= 0.1 * X[i:i + 1].T @ hidden
    print("done")

if __name__ == "__main__":
    main()
"""
NAMED = """
import numpy as np
streetlights = np.array([[1., 0, 1], [0, 1, 1], [0, 0, 1], [1, 1, 1]])
walk_or_stop = np.array([[1., 1, 0, 0]]).T
W1, W2 = 2 * np.random.random((3, 4)) - 1, 2 * np.random.random((4, 1)) - 1
for iteration in range(60):
    for i in range(len(streetlights)):
        a = 1 / (1 + np.exp(-streetlights[i:i + 1] @ W1))
        delta = a @ W2 - walk_or_stop[i:i + 1]
        hidden = delta @ W2.T * a * (1 - a)
        W2 -= 0.1 * a.T @ delta
        W1 -= 0.1 * streetlights[i:i + 1].T @ hidden
"""


@pytest.mark.parametrize("text", [MAIN.replace("streetlights, walk_or_stop", "X, Y"), NAMED],
                         ids=["in main", "under names of its own"])  # fmt: skip
def test_a_loop_is_found_in_the_main_program_and_its_examples_by_their_shapes(tmp_path, text):
    path = tmp_path / "loop_of_its_own.py"
    path.write_text(text)
    assert diagnose_file(str(path), seed=3).ok
    path.write_text(text.replace("* a * (1 - a)", "* a"))
    report = diagnose_file(str(path), seed=3)
    assert report.codes == ("hidden.slope-is-a",)


def test_a_file_in_utf_16_and_one_that_calls_exit_are_told_for_what_they_are(tmp_path):
    path = tmp_path / "sixteen.py"
    path.write_bytes(LOADS.format("", "").encode("utf-16"))
    assert locating.likeliest(path) == "backprop"
    path.write_text(
        "import sys\nclass Net:\n    def __init__(self, mode):\n        sys.exit('state a mode')\n"
        "    def backprop(self, X, y):\n        return X\n"
    )
    report = diagnose_file(str(path))
    assert report.codes == ("call.raises",)
    assert "state a mode" in report.findings[0].evidence


def test_a_part_of_a_deeper_network_is_not_the_network():
    made = ModuleType("three_layers")
    made.W1, made.W2, made.W3 = np.ones((5, 1)), np.ones((3, 5)), np.ones((1, 3))
    from chainrule.checking.intake.settings import Globals

    holder = Globals(vars(made), {"W1", "W2", "W3"})
    assert holding.find(holder, (5, 1)) is None
    assert holding.find(holder, (1, 5, 3, 1)) is not None


def test_what_is_as_near_to_the_truth_as_to_a_mistake_is_not_the_mistake():
    problem = probe(lam=1e-6)
    catalogue = catalogue_of(problem)
    twice = [
        D + problem.lam / problem.m * np.c_[np.zeros(len(D)), theta[:, 1:]]
        for D, theta in zip(problem.truth.D, problem.thetas, strict=True)
    ]
    assert [match.codes for match in catalogue.single(twice, 1e-7)] == [("penalty.doubled",)]
    noise = np.random.default_rng(0)
    between = [D + noise.normal(size=D.shape) * 2e-8 for D in twice]
    assert catalogue.single(between, 1e-7) == []
