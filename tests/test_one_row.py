"""One row makes an operation, and one line makes it public: nothing else knows its name.

The package is copied, the row and the line are written into the copy, and a program that uses every
room runs on it, with each backend.
"""

from __future__ import annotations

import doctest
import re
import shutil
from pathlib import Path

import pytest

import chainrule
from chainrule.engine import functions, methods
from chainrule.engine.native import core
from chainrule.engine.table import TABLE, Primitive

from . import children

TOOL = Path(__file__).parents[1] / "tools" / "stubs.py"
ROW = r"""
reciprocal = primitive(
    "reciprocal", lambda x: floats.divide(1.0, x), (lambda x, y: -square(y),),
    array=np.reciprocal, analytic=lambda z: 1.0 / z,
    latex=r"\operatorname{{reciprocal}}\left({0}\right)", domain=(0.5, 3.0),
)  # fmt: skip

"""
LINE = "    reciprocal as reciprocal,\n"

PROGRAM = """
import copy, pickle
import numpy as np
import chainrule as cr
from chainrule import checking, viz
from chainrule.cli.expressions import evaluate

x = cr.Value(2.0, "x")
for y in (cr.reciprocal(x), x.reciprocal(), np.reciprocal(x),
          cr.reciprocal(np.array([x]))[0], evaluate("reciprocal(x)", {"x": x})):
    found = y.data, y.partials, y.parents, y.op
    assert found == (0.5, (-0.25,), (x,), "reciprocal"), found
assert "reciprocal" in cr.__all__

assert cr.reciprocal(4) == 0.25 and cr.reciprocal(0.0) == float("inf")
assert cr.reciprocal(np.array([2.0, 4.0])).tolist() == [0.5, 0.25]

y.backward()                                                             # reverse
assert x.grad == -0.25
assert cr.jvp(cr.reciprocal, (2.0,), (1.0,)) == (0.5, -0.25)             # forward
assert cr.grad(np.reciprocal)(2.0) == -0.25
assert cr.grad(cr.grad(cr.reciprocal))(2.0) == 0.25                      # second order
assert cr.hessian(cr.reciprocal)(2.0) == 0.25

check = checking.check_gradients(cr.reciprocal, 2.0, order=2)            # complex step
assert check.ok and check.rows[0].oracle == "complex step", check.rows[0]

for clone in (copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
    assert clone.primitive is cr.reciprocal and clone.data == 0.5
assert pickle.loads(pickle.dumps(cr.reciprocal)) is cr.reciprocal

w = cr.Value(3.0)
f = cr.compile(lambda t: cr.reciprocal(w * t))
X = np.array([0.5, 2.0])
assert np.allclose(f(X), 1 / (3 * X), rtol=1e-15)
mean, gradient = f.value_and_grad(X)
assert np.allclose(gradient, [np.mean(-1 / (9 * X))], rtol=1e-14)
assert "np.reciprocal(" in f.source and "rows[" not in f.source

assert "reciprocal" in viz.draw(y).dot
assert viz.latex(y) == r"\\operatorname{reciprocal}\\left(x\\right)"
assert "| `reciprocal` |" in viz.derivative_table()
print("every room", cr.backend)
"""


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """Return a folder with a copy of the package that has the row."""
    folder = tmp_path_factory.mktemp("copy")
    package = folder / "chainrule"
    shutil.copytree(Path(chainrule.__file__).parent, package, symlinks=False)
    rows, face = package / "engine/table/rows.py", package / "engine/functions.py"
    text = rows.read_text(encoding="utf-8")
    rows.write_text(text.replace("\nBUILT_IN.update", f"\n{ROW}BUILT_IN.update"), encoding="utf-8")
    text = face.read_text(encoding="utf-8")
    face.write_text(text.replace("    sigmoid as", f"{LINE}    sigmoid as"), encoding="utf-8")
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    return folder


@pytest.mark.parametrize("backend", ["python", *(["native"] if core is not None else [])])
def test_a_row_and_a_line_are_enough_for_every_room(copied, backend):
    without = "1" if backend == "python" else ""
    ours = {"PYTHONPATH": str(copied), "CHAINRULE_NO_EXTENSIONS": without}
    assert children.printed("program.py", cwd=copied, **ours) == f"every room {backend}\n"


def test_type_checkers_are_told_every_method():
    stub = Path(methods.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    told = re.findall(r"^    def (\w+)\(self\) -> Value: \.\.\.$", stub, re.M)
    assert told == sorted(methods.names())  # else run python tools/stubs.py


@pytest.mark.skipif(not TOOL.exists(), reason="the tool is in the repository, not in the package")
def test_the_stub_that_is_committed_is_what_the_table_gives():
    done = children.run(TOOL, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_public_function_is_a_function_of_the_library_and_every_unary_one_a_method():
    for name, row in vars(functions).items():
        if isinstance(row, Primitive):
            assert getattr(chainrule, name) is row
            assert name in chainrule.__all__
            assert row.arity != 1 or hasattr(chainrule.Value, name)


def test_help_on_a_public_function_says_which_it_is_and_its_example_runs():
    runner = doctest.DocTestRunner(verbose=False)
    for name, row in vars(functions).items():
        if isinstance(row, Primitive):
            assert row.__doc__.startswith(f"{name}("), name
            found = doctest.DocTestParser().get_doctest(row.__doc__, {name: row}, name, None, 0)
            assert len(found.examples) == (row.arity is not None), name
            assert runner.run(found).failed == 0, name
    assert Primitive.__doc__.startswith("One row of the table")


def test_help_on_a_users_own_row_does_not_call_it():
    row = chainrule.primitive("unwilling", lambda x: 1 / 0, (1.0,))
    del TABLE["unwilling"]
    assert row.__doc__ == Primitive.__doc__
