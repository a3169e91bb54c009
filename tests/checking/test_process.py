"""``chainrule check``: any file, in a process with limits; the command; the pytest plugin."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from chainrule import cli
from chainrule.checking import probe
from chainrule.checking.diagnosis.diagnose import diagnose_calls
from chainrule.checking.diagnosis.running import messages
from chainrule.checking.diagnosis.running.process import caller_of_file
from chainrule.checking.diagnosis.submissions import diagnose_file
from chainrule.checking.intake import clock
from chainrule.checking.saved import read_problem, write_problem

from .. import children

pytestmark = pytest.mark.processes_alone
posix = pytest.mark.skipif(os.name != "posix", reason="processes and signals of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")

SECRET = b"s" * messages.SECRET

STUDENT = """
import os, sys, time
import numpy as np

print("x" * 100_000)                      # prints at import are nobody's business

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def backprop(thetas, X, Y, lam):
    print("more", flush=True)
    m, a = len(X), [X]
    for theta in thetas:
        a.append(sigmoid(np.c_[np.ones(m), a[-1]] @ theta.T))
    delta, D = a[-1] - Y, []
    for l in reversed(range(len(thetas))):
        grad = delta.T @ np.c_[np.ones(m), a[l]] / m
        grad[:, 1:] += lam / m * thetas[l][:, 1:]
        D.insert(0, grad)
        if l:
            delta = delta @ thetas[l][:, 1:] * a[l] * (1 - a[l])
    return D

def no_slope(thetas, X, Y, lam):
    m, a = len(X), [X]
    for theta in thetas:
        a.append(sigmoid(np.c_[np.ones(m), a[-1]] @ theta.T))
    delta, D = a[-1] - Y, []
    for l in reversed(range(len(thetas))):
        grad = delta.T @ np.c_[np.ones(m), a[l]] / m
        grad[:, 1:] += lam / m * thetas[l][:, 1:]
        D.insert(0, grad)
        delta = delta @ thetas[l][:, 1:]
    return D

total = None
def accumulates(thetas, X, Y, lam):
    global total
    D = backprop(thetas, X, Y, lam)
    total = D if total is None else [t + d for t, d in zip(total, D)]
    return total

def updates(thetas, X, Y, lam):
    D = backprop(thetas, X, Y, lam)
    for theta, d in zip(thetas, D):
        theta -= d
    return D

def hangs(*args):
    while True:
        pass

def sleeps(*args):
    time.sleep(1000)

def prints_without_end(*args):
    while True:
        print("x" * 1_000_000)

def exits(*args):
    sys.exit(0)

def exits_at_once(*args):
    os._exit(7)

def crashes(*args):
    import ctypes
    ctypes.string_at(0)

def eats_memory(*args):
    kept = []
    while True:
        kept.append(np.ones(20_000_000))

def reads(*args):
    return input("how many? ")

def forks(thetas, X, Y, lam):
    if os.fork() == 0:
        while True:
            time.sleep(1)
    return backprop(thetas, X, Y, lam)

def huge(*args):
    return np.zeros(20_000_000)

def wrong_shape(thetas, X, Y, lam):
    return [D[:, 1:] for D in backprop(thetas, X, Y, lam)]

def nan(thetas, X, Y, lam):
    return [theta * np.nan for theta in thetas]

def raises(*args):
    raise RuntimeError("no idea")

def three_arguments(thetas, X, Y):
    return backprop(thetas, X, Y, 0.0)

def lam_by_name(thetas, X, Y, *, lam):
    return backprop(thetas, X, Y, lam)

class Gradient:
    def __array__(self, *args, **kwargs):
        raise KeyError("cannot")

def hostile_object(*args):
    return [Gradient()]
"""


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    path = tmp_path_factory.mktemp("student") / "student.py"
    path.write_text(STUDENT)
    return path


def report_on(student, function, **limits):
    return diagnose_calls(caller_of_file(student, function, **limits), [probe()])


@pytest.mark.parametrize(
    ("function", "expected", "evidence"),
    [
        ("backprop", None, ""),
        ("no_slope", "hidden.slope-missing", "replayed"),
        ("accumulates", "call.accumulates", "three equal calls"),
        ("updates", "call.changes-arguments", "thetas[0]"),
        ("exits", "call.dies", "exit(0)"),
        ("exits_at_once", "call.dies", "exit status 7"),
        ("reads", "call.raises", "EOFError"),
        ("huge", "call.no-numbers", "20000000 entries"),
        ("wrong_shape", "call.wrong-shape", "no column for the biases"),
        ("nan", "call.not-finite", "nan"),
        ("raises", "call.raises", 'in raises: raise RuntimeError("no idea")'),
        ("hostile_object", "call.no-numbers", "cannot"),
        ("not_there", "call.not-loaded", "student.py has no function named 'not_there'"),
        ("three_arguments", "call.wrong-arguments", "called as three_arguments(thetas, X, Y, lam)"),
        (
            "lam_by_name",
            "call.wrong-arguments",
            "it is defined as lam_by_name(thetas, X, Y, *, lam)",
        ),
        pytest.param("crashes", "call.dies", "SIGSEGV", marks=posix),
    ],
)
def test_what_a_function_does_becomes_a_finding(student, function, expected, evidence):
    report = report_on(student, function)
    assert report.codes == (() if expected is None else (expected,))
    if expected is not None:
        assert evidence in report.findings[0].evidence


def test_the_heading_of_a_result_that_is_too_large_is_true_of_it(student):
    heading = str(report_on(student, "huge")).lower()
    assert "is not an array" not in heading  # it is one
    assert "cannot be read as arrays of real numbers" in heading


@pytest.mark.numpy_alone
@pytest.mark.parametrize("function", ["hangs", "sleeps", "prints_without_end"])
def test_a_function_that_does_not_end_is_stopped(student, function):
    start = time.monotonic()
    report = report_on(student, function, time_limit=1.5)
    assert report.codes == ("call.too-slow",)
    assert time.monotonic() - start < 20


@pytest.mark.numpy_alone
@linux
def test_memory_is_limited(student):
    report = report_on(student, "eats_memory", memory_limit=900, time_limit=20)
    assert report.codes in [("call.raises",), ("call.dies",)]
    assert "MemoryError" in report.findings[0].evidence


@pytest.mark.skipif(shutil.which("ps") is None, reason="ps lists the processes")
def test_children_do_not_outlive_the_check(student):
    report = report_on(student, "forks")
    assert report.ok
    running = subprocess.run(["ps", "axww"], capture_output=True, text=True, check=False).stdout
    assert str(student) not in running


@pytest.mark.numpy_alone
@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("def backprop(:", "student.py, line 1: invalid syntax: def backprop(:"),
        ("import no_such_module", "student.py has no function named 'backprop': it has none"),
        (
            "import no_such_module\nno_such_module.run()",
            "No module named 'no_such_module': it is not installed where this is checked, and "
            "no_such_module.run is used; if it is a file of your own, put it beside this one; "
            "line 2",
        ),
        ("raise SystemExit(1)", "student.py calls exit(1) when it is imported"),
        ("x = 1", "student.py has no function named 'backprop': it has none"),
        ("def backprob(): pass", "did you mean 'backprob'?"),
        ("backprop = 3", "backprop in student.py is not a function: 3"),
    ],
)
def test_a_function_that_cannot_be_loaded_is_a_request_that_makes_no_sense(
    tmp_path, text, evidence, capsys
):
    path = tmp_path / "student.py"
    path.write_text(text)
    report = report_on(path, "backprop")
    assert report.codes == ("call.not-loaded",)
    status, printed = run(capsys, f"{path}:backprop")
    assert (status, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert evidence in printed.err


def test_a_program_that_asked_for_a_form_gets_it_even_if_nothing_could_be_loaded(tmp_path, capsys):
    # A grader that finds no results.json blames itself, not the file.
    path = tmp_path / "student.py"
    path.write_text("def backprop(:")
    status, printed = run(capsys, f"{path}:backprop", "--format", "gradescope")
    assert status == 2
    told = json.loads(printed.out)
    assert told["score"] == 0.0
    assert "invalid syntax" in told["tests"][0]["output"]


@linux
def test_a_memory_limit_below_pythons_own_is_refused_and_blames_nobody(student, capsys):
    status, printed = run(capsys, f"{student}:backprop", "--memory-limit", 20)
    assert status == 2
    assert "a memory limit of 20 MiB: Python and NumPy alone take" in printed.err


@linux
def test_a_full_disk_is_named(student, capsys):
    status, printed = run(capsys, f"{student}:backprop", "-o", "/dev/full")
    assert (status, printed.err.count("\n")) == (2, 1)
    assert printed.err.startswith("chainrule: /dev/full: ")


def test_a_stated_loss_is_enforced(tmp_path, capsys):
    (tmp_path / "student.py").write_text(
        "from chainrule import backprop\n"
        "def f(*args):\n"
        "    return backprop.gradients(*args, loss='squared_error').D\n"
    )
    target = f"{tmp_path / 'student.py'}:f"
    allow = "--allow-chainrule"
    status, printed = run(capsys, target, "--loss", "half_squared_error", allow)
    assert status == 1
    assert "factor.two" in printed.out
    assert run(capsys, target, "--loss", "squared_error", allow)[0] == 0
    assert run(capsys, target, allow)[0] == 0


def test_a_file_may_have_the_name_of_a_module_and_import_its_neighbours(tmp_path):
    (tmp_path / "json.py").write_text(STUDENT + "\nfrom beside import one\nassert one == 1\n")
    (tmp_path / "beside.py").write_text("one = 1\n")
    assert report_on(tmp_path / "json.py", "backprop").ok


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 not a zip",
        b"\x93NUMPY" + b"\x00" * 40,
        SECRET,
        SECRET + b"\xff" * 8,
        SECRET + (2).to_bytes(8, "big") + b"{}",
        SECRET + (2).to_bytes(8, "big") + b"\xff\xff",
    ],
)
def test_a_forged_result_is_no_result(content):
    with pytest.raises(messages.NotAMessage):
        messages.read(io.BytesIO(content), SECRET)


def message(tree, content=b""):
    head = json.dumps({"words": {}, "tree": tree}).encode()
    return io.BytesIO(SECRET + len(head).to_bytes(8, "big") + head + content)


@pytest.mark.parametrize(
    "tree",
    [
        {"dtype": "|O", "shape": [1]},  # never unpickled
        {"dtype": "|V8", "shape": [1]},
        {"dtype": ["<f8"], "shape": [1]},
        {"dtype": "<f8", "shape": [10**15]},
        {"dtype": "<f8", "shape": [10**6, 10**6]},
        {"dtype": "<f8", "shape": [-1, -8]},
        {"dtype": "<f8", "shape": [True]},
        {"dtype": "<f8", "shape": "8"},
        {"dtype": "<f8", "shape": [0] * 40},
        {"dtype": "<f8"},
        [{"dtype": "<f8", "shape": [0]}] * 20_000,
        [[[[[[[[[[]]]]]]]]]],
        3,
        "text",
        {},
    ],
)
def test_an_array_that_is_claimed_is_not_made(tree):
    with pytest.raises(messages.NotAMessage):
        messages.read(message(tree, b"\0" * 64), SECRET)


def test_a_message_comes_back_as_it_was_written():
    tree = [np.arange(6.0).reshape(2, 3), [np.float32(1.5).reshape(()), np.zeros((0, 3), int)]]
    stream = io.BytesIO()
    messages.write(stream, SECRET, {"says": "\ud800\n"}, tree)
    messages.write(stream, SECRET, {}, None)
    stream.seek(0)
    words, (one, (two, three)) = messages.read(stream, SECRET)
    assert words == {"says": "\ud800\n"}
    for given, read in zip([tree[0], *tree[1]], [one, two, three], strict=True):
        assert (read.dtype, read.shape) == (given.dtype, given.shape)
        assert np.array_equal(given, read)
    assert messages.read(stream, SECRET) == ({}, None)
    with pytest.raises(messages.NoMessage):
        messages.read(stream, SECRET)


# ---------------------------------------------------------------- the command


def run(capsys, *arguments):
    status = cli.main(["check", *map(str, arguments)])
    return status, capsys.readouterr()


def test_the_command_prints_the_report_and_says_it_by_its_status(student, capsys):
    status, printed = run(capsys, f"{student}:backprop", "--loss", "logistic", "--lam", 1)
    assert status == 0
    assert printed.out.startswith("backprop in student.py: right\n")
    status, printed = run(capsys, f"{student}:no_slope", "--loss", "logistic", "--format", "json")
    assert status == 1
    assert json.loads(printed.out)["findings"][0]["code"] == "hidden.slope-missing"
    status, printed = run(capsys, f"{student}:no_slope", "--hints", "pass")
    assert status == 1
    assert printed.out.splitlines()[0] == "no_slope in student.py: not right"
    assert "hidden" not in printed.out


def test_the_name_of_the_output_says_the_format(student, tmp_path, capsys):
    page, data, text = (tmp_path / name for name in ("r.html", "r.json", "r.txt"))
    for path in (page, data, text):
        run(capsys, f"{student}:no_slope", "--loss", "logistic", "-o", path)
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert json.loads(data.read_text(encoding="utf-8"))["ok"] is False
    assert "not right" in text.read_text(encoding="utf-8").splitlines()[0]


def test_arrays_may_be_computed_elsewhere_and_saved(tmp_path, capsys):
    network, result = tmp_path / "network.npz", tmp_path / "result.npz"
    assert run(capsys, "--save-network", network, "--loss", "squared_error", "--lam", 2)[0] == 0
    problem = read_problem(network, loss="squared_error")
    assert problem.lam == 2.0
    with result.open("wb") as file:
        np.savez(file, *problem.truth.D)
    options = ("--loss", "squared_error", "--network", network)
    assert run(capsys, result, *options)[0] == 0
    np.save(tmp_path / "vector.npy", np.concatenate([-D.ravel() for D in problem.truth.D]))
    status, printed = run(capsys, tmp_path / "vector.npy", *options)
    assert status == 1
    assert "sign.everything" in printed.out


@pytest.mark.parametrize("form", ["text", "markdown", "html", "json", "gradescope"])
def test_every_format_can_be_written_to_a_file(student, tmp_path, form):
    path = tmp_path / "report"
    target = f"{student}:no_slope"
    assert cli.main(["check", target, "--format", form, "--output", str(path)]) == 1
    assert "not right" in path.read_text(encoding="utf-8") or form == "json"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing.py:f"],
        ["nothing.npz"],
        ["student.txt"],
        ["{student}:"],
        ["{student}:Network.backprop"],
        ["{student}:backprop", "--lam", "nan"],
        ["{student}:backprop", "--lam", "-1"],
        ["{student}:backprop", "--time-limit", "0"],
        ["{student}:backprop", "--network", "{student}"],
        ["{student}:backprop", "--output-activation", "tan"],
    ],
)
def test_requests_that_make_no_sense_are_refused_in_one_line(student, arguments, capsys):
    status, printed = run(capsys, *(argument.format(student=student) for argument in arguments))
    assert status == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err


def test_junk_and_pickles_are_no_arrays(tmp_path, capsys):
    (tmp_path / "junk.npz").write_bytes(b"junk")
    np.save(tmp_path / "objects.npy", np.array([None]), allow_pickle=True)
    for name in ("junk.npz", "objects.npy"):
        status, printed = run(capsys, tmp_path / name)
        assert status == 2
        assert "expected a file that numpy.save or numpy.savez wrote" in printed.err
        assert "allow_pickle" not in printed.err


def test_arrays_saved_by_name_are_read_by_name(tmp_path, capsys):
    gradient = {f"dW{i}": D[:, 1:] for i, D in enumerate(probe().truth.D, start=1)}
    gradient |= {f"db{i}": D[:, 0] for i, D in enumerate(probe().truth.D, start=1)}
    np.savez(tmp_path / "cache.npz", dA0=probe().X, **gradient)
    assert run(capsys, tmp_path / "cache.npz", "--loss", "logistic")[0] == 0


def test_check_takes_what_is_known_of_the_cost(student):
    report = diagnose_file(f"{student}:backprop", loss="half_squared_error")
    assert report.codes == ("output.slope-missing",)
    found_out = diagnose_file(f"{student}:backprop")
    assert found_out.ok
    assert "only logistic fits" in found_out.conventions[0].says


def test_a_saved_network_comes_back(tmp_path):
    write_problem(tmp_path / "network.npz", probe())
    assert read_problem(tmp_path / "network.npz") == probe()


# ---------------------------------------------------------------- pytest


def test_the_plugin_has_the_networks_and_an_assertion_that_names_the_mistake(tmp_path):
    (tmp_path / "test_homework.py").write_text(
        """
from chainrule import backprop

def right(thetas, X, Y, lam):
    return backprop.gradients(thetas, X, Y, lam).D

def test_right(assert_gradients_close, probe_network):
    assert_gradients_close(right, probe_network)

def test_wrong(assert_gradients_close):
    assert_gradients_close(lambda *args: [-D for D in right(*args)])

def test_hint(assert_gradients_close, make_probe_network):
    wrong = [-D for D in make_probe_network("squared_error").truth.D]
    assert_gradients_close(wrong, make_probe_network("squared_error"), hints="layer")

def test_examples(assert_gradients_close, mazur_example, ng_example):
    assert mazur_example.sizes == (2, 2, 2)
    assert_gradients_close(right, ng_example)
"""
    )
    # Whether or not the package is installed with its entry point.
    plugin = ["-p", "no:chainrule", "-p", "chainrule.checking.plugin"]
    command = ("-m", "pytest", *plugin, "--junitxml=report.xml", "-q")
    done = children.run(*command, cwd=tmp_path)
    assert "2 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert "sign.everything" in done.stdout
    xml = (tmp_path / "report.xml").read_text(encoding="utf-8")
    assert "this is the direction of descent" in xml


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="nobody says how long")
@pytest.mark.parametrize(("threads", "code"), [(0, ""), (6, "call.too-slow")])
def test_waiting_for_a_processor_is_not_a_programs_time_but_for_its_own_threads(
    tmp_path, monkeypatch, threads, code
):
    monkeypatch.setattr(clock, "waited", lambda process: 100.0)
    path = tmp_path / "waits.py"
    path.write_text(
        "import threading, time\n"
        "def backprop(thetas, X, Y, lam):\n"
        f"    for _ in range({threads}):\n"
        "        threading.Thread(target=time.sleep, args=(3,), daemon=True).start()\n"
        "    time.sleep(2)\n"
        "    return thetas\n"
    )
    p = probe()
    outcome = caller_of_file(path, "backprop", time_limit=1.5)([p])[-1]
    assert outcome.code == code
