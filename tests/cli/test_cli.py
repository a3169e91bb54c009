"""The command line: what it prints, where it writes, and how it refuses."""

import math
import os
import re
import signal
import subprocess
import sys
import time
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import cli, demos
from chainrule.cli.expressions import MAX_LENGTH, ExpressionError, evaluate, functions

from .. import children

NEURON = ["draw", "tanh(w*x + b)", "--at", "w=-3,x=2,b=6.88"]


def run(*arguments, **options):
    """Run the command line in a process of its own."""
    return children.run("-W", "error", "-m", "chainrule", *arguments, **options)


def refusal(capsys, *arguments):
    """Return the one line on standard error with which *arguments* are refused."""
    try:
        status = cli.main(list(arguments))
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.startswith("chainrule")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


# --- expressions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at", "value", "slopes"),
    [
        # CS231n's circuit; its sigmoid neuron; micrograd's lecture
        ("(x + y) * z", {"x": -2, "y": 5, "z": -4}, -12, {"x": -4, "y": -4, "z": 3}),
        ("2*(x*y + maximum(z, w))", {"x": 3, "y": -4, "w": -1, "z": 2}, -20, {"x": -8, "w": 0}),
        ("sigmoid(dot([w0, w1], [x0, x1], w2))",
         {"w0": 2, "w1": -3, "w2": -3, "x0": -1, "x1": -2},
         0.7310585786300049, {"w0": -0.19661193324148185, "x1": -0.5898357997244456}),
        ("(a*b + c) * f", {"a": 2, "b": -3, "c": 10, "f": -2}, -8, {"a": 6, "f": 4}),
        ("log(x1) + x1*x2 - sin(x2)", {"x1": 2, "x2": 5}, 11.652071455, {"x2": 1.716337815}),
        ("-x**2", {"x": 3}, -9, {"x": -6}),
        ("2**-x", {"x": 0}, 1, {"x": -0.6931471805599453}),
        ("where(less(x, 0), -x, x)", {"x": -3}, 3, {"x": -1}),
        ("sum([x, x, 1]) / mean([1, 3])", {"x": 1}, 1.5, {"x": 1}),
        ("x % 2 * y", {"x": 7.5, "y": 3}, 4.5, {"x": 3, "y": 1.5}),
        ("µ * 2", {"µ": 3}, 6, {"µ": 2}),  # Python reads the micro sign as the Greek letter
    ],
)  # fmt: skip
def test_an_expression_has_the_value_and_gradients_of_its_graph(text, at, value, slopes):
    leaves = {name: cr.Value(number) for name, number in at.items()}
    root = evaluate(text, leaves)
    root.backward()
    assert root.data == pytest.approx(value, rel=1e-9)
    for name, slope in slopes.items():
        assert leaves[name].grad == pytest.approx(slope, rel=1e-9)


def test_every_operator_is_a_node_of_its_own_kind():
    a, b = cr.Value(3.0), cr.Value(2.0)
    for operator in ("+", "-", "*", "/", "%", "**"):
        assert evaluate(f"a {operator} b", {"a": a, "b": b}).op == operator
    assert evaluate("-a", {"a": a}).op == "neg"
    assert evaluate("+a", {"a": a}) is a


def test_constants_follow_ieee_arithmetic():
    x = cr.Value(1.0)
    assert evaluate("x * (1/0)", {"x": x}).data == float("inf")
    assert evaluate(f"x * {'9' * 400}", {"x": x}).data == float("inf")
    assert math.isnan(evaluate("(-8)**(1/2) * x", {"x": x}).data)


def test_functions_are_those_of_the_library_under_their_public_names():
    assert functions()["abs"] is cr.abs
    assert {"tanh", "leaky_relu", "atan2", "dot", "logsumexp"} <= functions().keys()
    assert not functions().keys() & {"grad", "Value", "primitive", "compile", "no_grad"}


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true') + x", "x.data", "x[0]", "(lambda: x)()", "(y := x)",
        "x + sum([x for _ in x])", "x if x else x", "x and x", "not x", "x < 1", "x @ x", "x // x",
        "x << x", "x | x", "~x", "x + True", "x + None", "x + 'x'", "x + b'x'", "3j * x",
        "x + f'{x}'", "x + ...", "{x}", "{x: x}", "(x, x)", "[x, x]", "[[x]]", "await x",
        "(yield x)", "eval(x)", "exec(x)", "open(x)", "print(x)", "Value(x)", "(tanh)(x)(x)",
        "tanh(x, x)", "tanh() + x", "tanh(x, y=1)", "leaky_relu(x, slope=1)", "sum(*[[x]])",
        "tanh([x])", "[x] + x", "dot([x], [x, x])", "mean([]) + x", "cr.tanh(x)",
        "x; x", "x = 1", "import x", "", " ", "x +", "x y", "(x", "1__0*x", "0x", "\\x",
        "x\0", "\udcff",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(ExpressionError) as refused:
        evaluate(text, {"x": cr.Value(1.0)})
    assert "a value for" not in str(refused.value), "refused for another reason"


@pytest.mark.parametrize(
    "text",
    ["(" * 900 + "x" + ")" * 900, "-" * 1900 + "x", "+".join(["x"] * 1000), "x**" * 600 + "x",
     "[" * 900 + "]" * 900, "x" * (MAX_LENGTH + 1), "x+" * 10**6],
)  # fmt: skip
def test_deep_and_long_expressions_are_refused_and_not_crashed_on(text):
    with pytest.raises(ExpressionError, match=r"deep|nested|characters"):
        evaluate(text, {"x": cr.Value(1.0)})


def test_a_hundred_terms_are_not_too_many():
    assert evaluate("+".join(["x"] * 100), {"x": cr.Value(1.0)}).data == 100.0


@given(st.text(alphabet="xy01.+-*/()[], tanhe\n\\'\"_:=@&;", max_size=40))
@settings(deadline=None)
def test_arbitrary_text_gives_a_number_or_an_expression_error(text):
    try:
        result = evaluate(text, {"x": cr.Value(1.0)})
    except ExpressionError as error:
        result = str(error)
    assert isinstance(result, (float, cr.Value)) or result.isprintable()


# --- draw ----------------------------------------------------------------------------------------


def test_draw_prints_the_value_and_the_gradients(capsys):
    assert cli.main(NEURON) == 0
    y, w, x, b = capsys.readouterr().out.splitlines()
    assert y == "tanh(w*x + b) = 0.7064193203972353"
    assert w.startswith("d/dw = 1.0019434875")
    assert x.startswith("d/dx = -1.50291523")
    assert b.startswith("d/db = 0.5009717437")


def test_draw_without_a_file_says_how_to_get_a_picture(capsys, tmp_path):
    assert cli.main(NEURON) == 0
    assert "-o graph.svg" in capsys.readouterr().err
    assert cli.main([*NEURON, "-o", str(tmp_path / "out.svg")]) == 0
    assert capsys.readouterr().err == ""


def test_pi_and_e_have_their_values_unless_others_are_given(capsys):
    assert cli.main(["draw", "sin(pi*x) + log(e)", "--at", "x=0.5"]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "sin(pi*x) + log(e) = 2.0",
        f"with pi = {math.pi}",
        f"with e = {math.e}",
    ]
    assert cli.main(["draw", "π*x", "--at", "x=1"]) == 0
    assert f"d/dx = {math.pi}" in capsys.readouterr().out
    assert cli.main(["draw", "pi*e", "--at", "e=2,pi=3"]) == 0
    assert capsys.readouterr().out == "pi*e = 6.0\nd/de = 3.0\nd/dpi = 2.0\n"


def test_draw_writes_the_drawing_to_a_file(capsys, tmp_path):
    assert cli.main([*NEURON, "-o", str(tmp_path / "out.svg")]) == 0
    assert str(tmp_path / "out.svg") in capsys.readouterr().out
    drawing = ET.parse(tmp_path / "out.svg").getroot()
    assert drawing.tag.endswith("svg")
    light = (tmp_path / "out.svg").read_text(encoding="utf-8")
    options = ["--theme", "dark", "--direction", "down", "-o", str(tmp_path / "out.svg")]
    assert cli.main([*NEURON, *options]) == 0
    dark = ET.parse(tmp_path / "out.svg").getroot()
    assert float(dark.get("height")) > float(drawing.get("height"))
    assert "#0d1117" in (tmp_path / "out.svg").read_text(encoding="utf-8")
    assert "#0d1117" not in light
    assert cli.main([*NEURON, "-o", str(tmp_path / "out.dot")]) == 0
    assert (tmp_path / "out.dot").read_text().startswith("digraph")


def test_draw_puts_nothing_but_the_drawing_on_standard_output():
    done = run(*NEURON, "-o", "-", encoding="utf-8")
    assert done.returncode == 0
    assert ET.fromstring(done.stdout).tag.endswith("svg")
    assert done.stderr.splitlines()[0] == "tanh(w*x + b) = 0.7064193203972353"


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["-x", "--at", "x=2"], "-x = -2.0"),
        (["--at", "x=2", "-2*x + 1"], "-2*x + 1 = -3.0"),
        (["-x", "--at=x=2"], "-x = -2.0"),
    ],
)
def test_an_expression_may_begin_with_a_minus_sign(capsys, arguments, first):
    assert cli.main(["draw", *arguments]) == 0
    assert capsys.readouterr().out.splitlines()[0] == first


def test_an_expression_may_be_typeset(capsys):
    assert cli.main(["draw", "w₁·x₁ − w₂×x2", "--at", "w₁=2,x1=3,w2=−1,x₂=0.5"]) == 0
    said = capsys.readouterr().out
    assert "= 6.5\n" in said
    for derivative in ("w₁ = 3.0", "x1 = 2.0", "w2 = -0.5", "x₂ = 1.0"):
        assert f"d/d{derivative}\n" in said


def test_values_may_be_given_in_several_options(capsys):
    assert cli.main(["draw", "w*x", "--at", "w=2", "--at", " x = 3e0 "]) == 0
    assert "w*x = 6.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["x*y", "--at", "x=1"], "no value for y"),
        (["x*y", "--at", "x=1,z=2"], "no value for y; a value for 'z', not in the expression"),
        (["x", "--at", "1x=2"], "--at '1x=2': expected NAME=NUMBER"),
        (["sum(x, y)", "--at", "x=1,y=2"], "sum takes one list: 'sum([x, y])'"),
        (["mean()"], "mean takes one list: 'mean([x, y])'"),
        (["softmax(x, y)", "--at", "x=1,y=2"], "exp(x)/(exp(x) + exp(y))"),
        (["ln(x)", "--at", "x=1"], "did you mean log?"),
        (["where(x > 1, x, 2)", "--at", "x=1"], "less(a, b)"),
        (["x if x else 2", "--at", "x=1"], "where(condition, a, b)"),
        (["pi*e"], "pi*e = 8.5397"),
        (["sin(πx)", "--at", "x=1"], "no value for πx; a value for 'x', not in the expression; a"),
        (["w₁x₁", "--at", "w₁=1,x₁=2"], "no value for w1x1; a value for 'w1, x1', not in the ex"),
        (["w₁x₁", "--at", "w₁=1,x₁=2"], "; a product is written w1*x1"),
        (["w₁", "--at", "w₁=1,w1=2"], "--at gives 'w1' twice"),
        (["x", "--at", "x²=1"], "expected NAME=NUMBER"),
        (["2x", "--at", "x=1"], "cannot read '2x': a product is written 2*x"),
        (["x + 2.5e3 x", "--at", "x=1"], "a product is written 2.5e3*x"),
        (["w x", "--at", "w=1,x=1"], "a product is written w*x"),
        (["2(x + 1)", "--at", "x=1"], "'2(x + 1)': a product is written 2*(...)"),
        (["w(x + 1)", "--at", "w=2,x=1"], "; a product is written w*(...)"),
        (["x(x + 1)", "--at", "x=1"], "'x(x + 1)': a product is written x*(...)"),
        (["2*sin x", "--at", "x=1"], "cannot read '2*sin x': write sin(x)"),
        (["sinx", "--at", "x=1"], "; write sin(x)"),
        (["sin + x", "--at", "x=1"], "; a function is called: sin(x)"),
        (["x²", "--at", "x=1"], "a power is written **2"),
        (["x⁻¹", "--at", "x=1"], "a power is written **-1"),
        (["w*y + x"], "no value for w, y, x: give it as in --at w=2,y=2,x=2"),
        ([""], "the expression is empty"),
        (["x", "--at", "x=1,y=2"], "'y'"),
        (["x", "--at", "x=one"], "'one' is not a number"),
        (["x", "--at", "x="], "not a number"),
        (["x", "--at", "x"], "expected NAME=NUMBER"),
        (["x*y", "--at", "x=0,5,y=1"], "such as x=2; a number has a point, x=0.5"),
        (["x", "--at", ""], "expected NAME=NUMBER"),
        (["x", "--at", "=1"], "expected NAME=NUMBER"),
        (["x", "--at", "x=1,x=2"], "twice"),
        (["tnh(x)", "--at", "x=1"], "did you mean tanh?"),
        (["x^2", "--at", "x=1"], "a power is written **"),
        (["x +", "--at", "x=1"], "cannot read"),
        (["tanh(x, x)", "--at", "x=1"], "takes 1 argument (2 given)"),
        (["1 + 1"], "no names"),
        (["x", "--at", "x=1", "-o", "/nowhere/at/all/x.svg"], "/nowhere/at/all/x.svg"),
        (["x", "--at", "x=1", "-o", "x.gif"], "chainrule: -o x.gif: the suffix '.gif'"),
        ([], "required"),
        (["x", "--nonsense"], "--nonsense"),
    ],
)  # fmt: skip
def test_draw_refuses_in_one_line_what_it_cannot_do(capsys, monkeypatch, tmp_path, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert says in refusal(capsys, "draw", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_a_failure_and_no_bad_request(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert cli.main([*NEURON, "-o", str(tmp_path / "x.png")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("chainrule: .png needs the package resvg-py")
    assert "python3 -m pip install 'chainrule[export]'" in said
    assert list(tmp_path.iterdir()) == []


# --- the rest ------------------------------------------------------------------------------------


def test_version_names_the_version_and_the_backend():
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout == f"chainrule {cr.__version__}, {cr.backend} backend\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "COMMAND"),
        (["nonsense"], "nonsense"),
        (["demo", "nonsense"], "no demo named 'nonsense'"),
        (["demo", "chain", "--epochs", "3"], "the demo chain has no option --epochs"),
        (["demo", "mazur", "--out", "x"], "the demo mazur has no option --out"),
        (["demo", "moons", "xor"], "chainrule demo: unrecognized arguments: xor"),
        (["demo", "notes", "--markdown", "/nowhere/x.md"], "/nowhere/x.md"),
        (["demo", "--epochs", "0"], "--epochs"),
        (["demo", "--seed", "-1"], "--seed"),
        (["demo", "--seed", "1.5"], "'1.5' is not a whole number from 0 on"),
        (["demo", "--out", "/dev/null/x"], "/dev/null/x"),
    ],
)
def test_bad_requests_are_refused_in_one_line(capsys, arguments, says):
    assert says in refusal(capsys, *arguments)


def test_list_says_what_each_demo_shows(capsys):
    assert cli.main(["demo", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(demos.NAMES)
    assert all(len(line) > 40 and line.endswith((".", ":")) for line in lines)


def test_help_names_every_demo(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["demo", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in demos.NAMES)


def test_a_reader_that_goes_away_causes_no_traceback():
    with children.started("-m", "chainrule", "demo", "mazur") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1


@pytest.mark.skipif(os.name == "nt", reason="a console has no SIGINT for one process alone")
def test_ctrl_c_ends_with_one_line_and_status_130(tmp_path):
    command = ("-m", "chainrule", "demo", "--epochs", "999", "--out", str(tmp_path))
    with children.started(*command) as process:
        assert "64" in process.stdout.readline()  # it has begun
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert re.match(r"chainrule: interrupted after \d+ of 999 epochs", err)
    assert err.count("\n") == 1


def test_letters_that_the_terminal_lacks_do_not_stop_it():
    done = run("draw", "θ*2", "--at", "θ=1", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.startswith("?*2 = 2.0\nd/d? = 2.0")


@pytest.mark.skipif(os.name != "posix", reason="the shell closes the streams")
@pytest.mark.parametrize(
    ("arguments", "status", "closed"),
    [
        ("draw 'x*2' --at x=3", 0, ">&-"),
        ("draw 'x*2' --at x=3 -o -", 0, ">&-"),
        ("draw 'x*2' --at x=3 -o FILE.svg", 0, "<&- >&- 2>&-"),
        ("demo --list", 0, ">&-"),
        ("demo --list", 0, "2>&-"),
        ("check nothing.py:f", 2, "2>&-"),
        ("check nothing.py:f", 2, "<&- >&- 2>&-"),
    ],
)
def test_a_closed_stream_is_one_that_nobody_reads(tmp_path, arguments, status, closed):
    arguments = arguments.replace("FILE", str(tmp_path / "file"))
    command = f"exec 2>{tmp_path / 'err'}; {sys.executable} -m chainrule {arguments} {closed}"
    done = subprocess.run(command, shell=True, stdout=subprocess.DEVNULL, timeout=120, check=False)
    assert done.returncode == status
    assert "Traceback" not in (tmp_path / "err").read_text()


def test_only_what_a_subcommand_needs_is_imported():
    program = (
        "import sys; from chainrule import cli; "
        "cli.main(['draw', 'x*x', '--at', 'x=3']); "
        "print([m for m in ('matplotlib', 'graphviz', 'pygraphviz', 'chainrule.nn', "
        "'chainrule.viz', 'chainrule.checking') if m in sys.modules])"
    )
    assert children.printed("-c", program).splitlines()[-1] == "[]"


def test_bench_prints_a_figure_for_floats_and_for_ours():
    done = run("bench", "--rounds", "1", "--quick")
    taken = re.search(r"takes ([\d.]+) bytes", done.stdout)
    assert taken
    assert 85.0 < float(taken[1]) < 400.0
    assert done.returncode == 0
    assert "plain floats" in done.stdout
    assert "chainrule (" in done.stdout
