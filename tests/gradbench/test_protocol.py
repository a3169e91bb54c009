"""The tool answers every line with one line: results, and what is wrong with a message."""

import json

import pytest
import run

from .. import children
from .conftest import FOLDER


def asked(**message):
    return json.loads(run.answered(json.dumps({"id": 7, **message})))


def test_start_names_the_tool():
    answer = asked(kind="start", eval="hello")
    assert (answer["id"], answer["tool"]) == (7, "chainrule")


@pytest.mark.parametrize(
    "message", [{"kind": "analysis", "of": 3, "valid": True}, {"kind": "new"}, {}]
)
def test_a_message_that_asks_for_nothing_is_acknowledged(message):
    assert asked(**message) == {"id": 7}


def test_every_eval_is_defined_and_no_other():
    names = sorted("ba det gmm hello ht kmeans llsq lse lstm ode particle saddle".split())  # noqa: SIM905
    assert sorted(run.MODULES) == names
    for name in names:
        assert asked(kind="define", module=name) == {"id": 7, "success": True}
    for name in ("descent", "function", "../run", "os"):
        answer = asked(kind="define", module=name)
        assert not answer["success"]
        assert "no module" in answer["error"]


def test_a_function_is_run_as_often_as_was_asked():
    given = {"x": [0.0, 0.0], "min_runs": 5, "min_seconds": 0}
    answer = asked(kind="evaluate", module="lse", function="gradient", input=given)
    assert answer["output"] == [0.5, 0.5]
    assert [x["name"] for x in answer["timings"]] == ["evaluate"] * 5
    assert all(x["nanoseconds"] > 0 for x in answer["timings"])
    given = {"x": [1.0], "min_runs": 1, "min_seconds": 0.002}
    answer = asked(kind="evaluate", module="lse", function="primal", input=given)
    assert sum(x["nanoseconds"] for x in answer["timings"]) >= 2_000_000


def test_a_number_may_be_the_whole_input():
    answer = asked(kind="evaluate", module="hello", function="double", input=3)
    assert answer["output"] == 6.0
    assert len(answer["timings"]) == 1


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"module": "hello", "function": "cube", "input": 1.0}, "square, double"),
        ({"module": "goodbye", "function": "cube", "input": 1.0}, "no module 'goodbye'"),
        ({"module": "lse", "function": "primal", "input": {}}, "KeyError: 'x'"),
        ({"module": "lse", "function": "primal"}, "KeyError: 'input'"),
        ({"module": "lse", "function": "primal", "input": {"x": ["a"]}}, "TypeError"),
        ({"module": "hello", "function": "square", "input": 1e200}, "not JSON compliant"),
    ],
)
def test_what_goes_wrong_is_answered(message, told):
    answer = asked(kind="evaluate", **message)
    assert answer["id"] == 7
    assert not answer["success"]
    assert told in answer["error"]


@pytest.mark.parametrize("line", ["{", "[1]", '"start"', "nonsense"])
def test_a_line_that_is_not_a_message_is_answered(line):
    answer = json.loads(run.answered(line))
    assert not answer["success"]


def test_a_session_runs_through_standard_input_and_output():
    messages = [
        {"kind": "start", "eval": "hello"},
        {"kind": "define", "module": "hello"},
        {"kind": "evaluate", "module": "hello", "function": "square", "input": 3.0},
        {"kind": "analysis", "of": 2, "valid": True},
        {"kind": "evaluate", "module": "hello", "function": "none", "input": 3.0},
        {"kind": "evaluate", "module": "hello", "function": "double", "input": 9.0},
    ]
    lines = "".join(json.dumps({"id": i, **x}) + "\n" for i, x in enumerate(messages))
    printed = children.printed(FOLDER / "run.py", given=lines)
    answers = [json.loads(line) for line in printed.splitlines()]
    assert [x["id"] for x in answers] == list(range(len(messages)))
    assert [x.get("output") for x in answers] == [None, None, 9.0, None, None, 18.0]
    assert not answers[4]["success"]
