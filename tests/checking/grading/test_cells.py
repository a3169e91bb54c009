"""The cells for graders on docs/teachers.md do what the page says, whatever the program is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ..test_attacks import RIGHT

PAGE = Path(__file__).parents[3] / "docs" / "teachers.md"
SLOPE = RIGHT.replace("* a[l] * (1 - a[l])", "* (1 - a[l])")
NO_PENALTY = RIGHT.replace("lam / m", "0")


def cells():
    """Return the two cells: nbgrader's and otter's."""
    section = PAGE.read_text(encoding="utf-8").partition("## With nbgrader")[2]
    return re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], flags=re.DOTALL)


@pytest.mark.parametrize(("text", "score"), [(RIGHT, 7), (SLOPE, 3), (NO_PENALTY, 6)])
def test_the_cell_for_nbgrader_ends_with_the_score(text, score, capsys):
    namespace = {}
    exec(text, namespace)
    *body, last = ast.parse(cells()[0]).body
    exec(compile(ast.Module(body, []), "cell", "exec"), namespace)
    assert isinstance(last, ast.Expr)
    assert eval(compile(ast.Expression(last.value), "cell", "eval"), namespace) == score
    shown = capsys.readouterr().out
    assert ("The first wrong layer" in shown) is (score < 7)
    assert "fix " not in shown


@pytest.mark.parametrize(
    ("text", "failed"),
    [(RIGHT, []), (SLOPE, ["test_hidden_layers"]), (NO_PENALTY, ["test_penalty"])],
)
def test_the_cells_for_otter_fail_where_the_gradient_does(text, failed):
    namespace = {}
    exec(text, namespace)
    tests = {}
    exec(cells()[1], tests)
    for name in re.findall(r"def (test_\w+)", cells()[1]):
        if name not in failed:
            tests[name](namespace["backprop"])
        else:
            with pytest.raises(AssertionError, match="not right") as raised:
                tests[name](namespace["backprop"])
            assert "hidden." not in str(raised.value)
