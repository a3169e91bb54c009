"""``chainrule explore``: an expression becomes a page."""

from __future__ import annotations

import pytest

from chainrule import cli

NEURON = ["explore", "tanh(w*x + b)", "--at", "w=-3,x=2,b=6.88"]


def test_it_writes_the_page_and_says_where(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(NEURON) == 0
    assert capsys.readouterr().out == (
        "tanh(w*x + b) = 0.7064193203972353\nwrote explore.html: open it in a browser\n"
    )
    html = (tmp_path / "explore.html").read_text(encoding="utf-8")
    assert "<title>tanh(w*x + b)</title>" in html


def test_the_page_alone_goes_to_standard_output(capfd):
    assert cli.main([*NEURON, "-o", "-"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("<!doctype html>")
    assert out.endswith("</html>")


def test_an_expression_may_begin_with_a_minus_sign(tmp_path):
    assert cli.main(["explore", "-x", "--at", "x=2", "-o", str(tmp_path / "x.html")]) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["x*y", "--at", "x=2"], "no value for y"),
        (["2 + 3"], "has no derivatives"),
        (["x*2", "--at", "x=1", "-o", "x.svg"], "-o x.svg: the suffix '.svg' is not known"),
        (
            ["x*2", "--at", "x=1", "-o", "missing/x.html"],
            "missing/x.html: Page.save: there is no directory",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(capsys, arguments, says):
    assert cli.main(["explore", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
