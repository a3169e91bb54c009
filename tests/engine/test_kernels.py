"""The C core's kernels are what the table says: printed from it, and nothing added by hand."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import pytest

from chainrule.engine.table import TABLE, floats, rows

from .. import children

TOOL = Path(__file__).parents[2] / "tools" / "kernels.py"
if not TOOL.exists():
    pytest.skip("the tool is in the repository, not in the package", allow_module_level=True)


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("kernels", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules["kernels"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["kernels"]


def test_what_is_committed_is_what_the_table_gives():
    done = children.run(TOOL, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_row_of_one_or_two_arguments_has_a_kernel(tool):
    kernels, without = tool.kernels()
    assert without == {}
    assert {k.row.name for k in kernels} == {
        name
        for name, row in TABLE.items()
        if name in tool.BUILT_IN and row.arity in (1, 2) and row.selects is None
    }


def test_a_function_is_written_for_every_answer_to_its_conditions(tool):
    x = tool.argument("x")

    def written(function):
        with tool.writing():
            return [line.strip() for line in tool.statements(tool.traced(lambda: function(x)))]

    log = floats.log
    assert written(log) == ["return x > 0.0 ? log(x) : x == 0.0 ? -Py_HUGE_VAL : Py_NAN;"]
    assert written(lambda x: floats.exp(-floats.exp(-x))) == ["return k_exp(-k_exp(-x));"]
    assert written(lambda x: rows.exp(x) * x + math.pi) == [
        "return (k_exp(x) * x) + 3.141592653589793;"
    ]
    assert written(lambda x: max(x, 1.0) if x == x else -x) == [
        "return x == x ? (x < 1.0 ? 1.0 : x) : -x;"
    ]
    assert written(lambda x: (x - 1.0) * (x - 1.0)) == ["double t0 = x - 1.0;", "return t0 * t0;"]
    assert floats.math is math
    assert floats.log is log


def test_a_formula_that_calls_a_row_without_a_kernel_is_left_to_python(tool):
    with tool.writing(), pytest.raises(tool.UnwritableError, match="has no kernel"):
        rows.maximum(tool.argument("x"), 1.0)
