"""Mistakes that one network hides; a layer by itself; mistakes beside a course's own penalty."""

from __future__ import annotations

import os

import pytest

from chainrule import cli
from chainrule.checking import diagnose
from chainrule.checking.intake.locating import locate

from .programs import other_sizes

pytestmark = pytest.mark.numpy_alone


def test_one_error_for_all_layers_is_not_right_because_two_layers_cannot_show_it():
    report = diagnose(other_sizes.one_error_for_all)
    assert report.problem.sizes == (5, 4, 4, 3)
    assert report.wrong_layers == (1,)
    assert "It is right on a 5-6-3 network; not on this one." in report.text()
    assert diagnose(other_sizes.one_error_for_all, sizes=(5, 6, 3)).ok


def test_what_is_right_with_one_output_only_is_told_so():
    report = diagnose(other_sizes.one_total)
    said = [item.says for item in report.conventions if item.name == "one-output"]
    assert report.ok
    assert said[0].startswith("right with one output unit; with three (--sizes 5,6,3): All biases")
    assert diagnose(other_sizes.one_total, sizes=(5, 6, 3)).codes == ("bias.one-total",)


def test_one_layer_is_not_a_network():
    report = diagnose(other_sizes.Dense)
    assert report.codes == ("call.one-layer",)
    assert "takes grad_output, no targets" in report.text()
    assert "check_layer" in report.findings[0].fix


@pytest.mark.parametrize(
    ("program", "codes", "layer"),
    [
        (other_sizes.TwoReg, (), None),
        (other_sizes.TwoRegInOneLayer, ("penalty.missing",), 1),
        (other_sizes.TwoRegHalved, ("penalty.divided-by-2m",), 1),
        (other_sizes.TwoRegOfSums, ("mean.missing",), None),
    ],
)
def test_mistakes_beside_a_penalty_that_is_not_that_of_the_notes(program, codes, layer):
    report = diagnose(program)
    assert report.codes == codes
    assert [one.layer for one in report.findings] == [layer] * len(codes)
    assert any(item.name == "penalty-no-half-not-divided" for item in report.conventions)


def test_a_file_of_ones_own_that_is_missing_is_asked_for(tmp_path, capsys):
    (tmp_path / "w.py").write_text(
        "from helpers_of_week_4 import sigmoid\ndef backprop(thetas, X, Y):\n    sigmoid(X)\n"
    )
    assert cli.main(["check", str(tmp_path / "w.py")]) == 1
    assert "put it beside this one" in " ".join(capsys.readouterr().out.split())


def test_the_network_that_was_saved_is_named(tmp_path, capsys):
    assert cli.main(["check", "--save-network", str(tmp_path / "n.npz"), "--loss", "logistic"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "n.npz: theta1, theta2, theta3, X, Y, lam" in said.err


def test_a_pipe_in_a_folder_is_passed_over(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "a.py")
    (tmp_path / "b.py").write_text("def backprop(thetas, X, Y): return thetas")
    assert locate(str(tmp_path))[0].name == "b.py"
