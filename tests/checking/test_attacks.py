"""What a submission, or a file beside it, can do to the checker: wait, load, lie, forge, escape."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from chainrule import cli
from chainrule.checking import Report, compare, diagnose, probe
from chainrule.checking.diagnosis.running import process

from .. import children

pytestmark = pytest.mark.processes_alone
posix = pytest.mark.skipif(os.name != "posix", reason="processes, links and signals of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="as Linux does it")

RIGHT = """
import numpy as np

def backprop(thetas, X, Y, lam):
    m, a = len(X), [X]
    for theta in thetas:
        a.append(1 / (1 + np.exp(-np.c_[np.ones(m), a[-1]] @ theta.T)))
    delta, D = a[-1] - Y, []
    for l in reversed(range(len(thetas))):
        grad = delta.T @ np.c_[np.ones(m), a[l]] / m
        grad[:, 1:] += lam / m * thetas[l][:, 1:]
        D.insert(0, grad)
        delta = (delta @ thetas[l])[:, 1:] * a[l] * (1 - a[l])
    return D
"""


@pytest.fixture
def submit(tmp_path, capsys):
    """Return a function that checks a file with this text, and returns (status, out, err)."""

    def submitted(text, *options, function="f"):
        path = tmp_path / "student.py"
        path.write_text(RIGHT + textwrap.dedent(text), encoding="utf-8")
        status = cli.main(["check", f"{path}:{function}", "--loss", "logistic", *map(str, options)])
        return (status, *capsys.readouterr())

    return submitted


# --- nothing on our side waits or loads without a limit -------------------------------------------


def left_by(text):
    """Return a submission that, while it runs, puts something beside the result it would have."""
    return f"""
        import os, pathlib, io, json, zipfile
        def f(*args):
            here = pathlib.Path.cwd()
            for name in [*(f"outcome-{{i}}.npz" for i in range(9)), "memory-limit-too-small"]:
                path = here / name
                {text}
            os._exit(0)
    """


@posix
@pytest.mark.parametrize(
    "text",
    ["os.mkfifo(path)", "path.symlink_to('/dev/zero')", "path.symlink_to('/dev/stdin')"],
)
def test_what_lies_where_the_submission_runs_is_not_read(submit, text):
    start = time.monotonic()
    status, out, err = submit(left_by(text))
    assert time.monotonic() - start < 60
    assert (status, err) == (1, "")
    assert "call.dies" in out


def test_a_text_in_a_file_does_not_become_our_message(submit):
    status, out, err = submit(left_by("path.write_text('full marks, says the teacher')"))
    assert status == 1
    assert "full marks" not in out + err


def test_a_result_of_too_many_arrays_is_refused(submit):
    status, out, err = submit(
        """
        def f(*args):
            one = np.zeros((1, 1))
            return [[one] * 1000] * 30
        """
    )
    assert (status, err) == (1, "")
    assert "call.no-numbers" in out


@pytest.mark.numpy_alone
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("how", ["claims", "expands"])
def test_a_saved_gradient_is_as_long_as_its_file(tmp_path, capsys, suffix, how):
    path = tmp_path / f"gradient{suffix}"
    header = io.BytesIO()
    count = 10**15 if how == "claims" else 3 * 10**7
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (count,)}
    )
    content = header.getvalue()
    if how == "expands":
        content += bytes(8 * count)
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("D1.npy", content)
    else:
        path.write_bytes(content)
    status = cli.main(["check", str(path)])
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "expected" in err


@pytest.mark.numpy_alone
@posix
@pytest.mark.parametrize("argument", ["target", "arrays", "network"])
@pytest.mark.parametrize("what", ["pipe", "zeros"])
def test_only_files_are_read(tmp_path, argument, what):
    path = tmp_path / ("student.py" if argument == "target" else "arrays.npz")
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    arguments = {
        "target": [f"{path}:f"],
        "arrays": [str(path)],
        "network": [str(path), "--network", str(path)],
    }[argument]
    done = children.run("-m", "chainrule", "check", *arguments, seconds=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "is not a file" in done.stderr


@linux
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_when_the_checker_is_ended(tmp_path, by):
    path, temporary = tmp_path / "student.py", tmp_path / "temporary"
    temporary.mkdir()
    path.write_text(
        "import os, time, pathlib\n"
        "def f(*args):\n    pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "    while True: time.sleep(1)\n"
    )
    command = ("-m", "chainrule", "check", f"{path}:f", "--time-limit", "100")
    with children.started(*command, TMPDIR=str(temporary)) as checker:
        _until(lambda: any(path.read_text() for path in temporary.glob("*/pid")))
        (path,) = temporary.glob("*/pid")
        pid = int(path.read_text())
        checker.send_signal(by)
        checker.wait(timeout=30)
        _until(lambda: not _runs(pid))
        _until(lambda: not list(temporary.iterdir()))


def _until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def alive(mark):
    """Return the processes in whose environment *mark* stands, as Linux shows them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


@linux
def test_what_leaves_the_session_is_ended_too(submit, monkeypatch):
    mark = f"CHAINRULE_MARK_{os.getpid()}"
    monkeypatch.setenv(mark, "1")
    before = alive(mark)
    status, _, _ = submit(
        """
        import os, time
        def f(*args):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    open("pid", "w").write(str(os.getpid()))
                    while True: time.sleep(1)
                os._exit(0)
            while not os.path.exists("pid"): time.sleep(0.01)
            return backprop(*args)
        """
    )
    assert status == 0
    _until(lambda: set(alive(mark)) <= set(before))


# --- verdicts -------------------------------------------------------------------------------------


def test_a_network_that_is_not_finite_is_refused(tmp_path, capsys):
    p = probe()
    for name, bad in [("X", np.nan), ("Y", np.nan), ("theta2", np.inf), ("theta2", 1e308)]:
        arrays = {f"theta{i}": theta for i, theta in enumerate(p.thetas, 1)} | {"X": p.X, "Y": p.Y}
        arrays[name] = arrays[name].copy()
        arrays[name][0, 1] = bad
        np.savez(tmp_path / "network.npz", **arrays, lam=100.0)
        (tmp_path / "student.py").write_text(RIGHT)
        target = f"{tmp_path / 'student.py'}:backprop"
        options = ["--network", str(tmp_path / "network.npz")]
        status = cli.main(["check", target, *options])
        out, err = capsys.readouterr()
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "finite" in err or "is nan" in err


def test_only_what_was_written_to_has_changed():
    """Numbers are compared as they stand in memory: nan is what it was, and -0.0 is not 0.0."""
    from chainrule.checking.diagnosis.running.calls import call

    thetas, X, Y = [np.ones((1, 2))], np.array([[np.nan]]), np.zeros((1, 1))

    class Given:
        pass

    given = Given()
    given.thetas, given.X, given.Y, given.lam = tuple(thetas), X, Y, 0.0
    assert call(lambda *args: args[0], given).changed == ()

    def writes(thetas, X, Y, lam):
        Y[0, 0] = -0.0
        return thetas

    assert call(writes, given).changed == ("Y",)


@pytest.mark.numpy_alone
@pytest.mark.parametrize("limit", [9_000_000_000_000, 2**64, 10**30])
def test_a_limit_beyond_what_can_be_counted_is_none(submit, limit):
    assert submit("", "--memory-limit", limit, function="backprop")[0] == 0


def test_masked_entries_are_not_there():
    p = probe()
    masked = [np.ma.masked_all_like(D) for D in p.truth.D]
    for array, D in zip(masked, p.truth.D, strict=True):
        array.data[...] = D
    report = diagnose(masked, p.thetas, p.X, p.Y, p.lam, loss="logistic")
    assert report.codes == ("call.no-numbers",)
    assert "mask" in report.findings[0].evidence
    plain = [np.ma.array(D) for D in p.truth.D]
    assert diagnose(plain, p.thetas, p.X, p.Y, p.lam, loss="logistic").ok
    assert not compare(masked, list(p.truth.D)).ok
    assert compare(plain, list(p.truth.D)).ok
    with pytest.raises((TypeError, ValueError), match="mask"):
        diagnose(list(p.truth.D), p.thetas, np.ma.masked_all_like(p.X), p.Y, p.lam)


# --- reports --------------------------------------------------------------------------------------

HOSTILE = "\x1b[2J\x1b]0;title\x07 right \u202egnorw\u2066 \ud800 \x9b31m \x00 \u200f"


@pytest.mark.numpy_alone
@pytest.mark.parametrize("form", ["text", "markdown", "html", "json", "gradescope"])
def test_what_a_submission_says_is_shown_as_plain_text(submit, tmp_path, form):
    status, out, err = submit(
        f"""
        def f(*args):
            raise RuntimeError({HOSTILE!r})
        """,
        "--format", form, "-o", tmp_path / "report",
    )  # fmt: skip
    assert (status, out, err) == (1, "", "")
    text = (tmp_path / "report").read_text(encoding="utf-8")
    assert "call.raises" in text or "call\\.raises" in text
    if form in ("json", "gradescope"):
        text = json.dumps(json.loads(text), ensure_ascii=False)
    for mark in HOSTILE:
        assert mark.isprintable() or mark not in text
    assert "\\u202e" in text


def test_what_cannot_be_loaded_is_told_as_plain_text(submit):
    status, _, err = submit(f"raise RuntimeError({HOSTILE!r})")
    assert (status, err.count("\n")) == (2, 1)
    assert err[:-1].isprintable()


@posix
def test_a_file_is_named_as_plain_text(tmp_path, capsys):
    status = cli.main(["check", f"{tmp_path}/\x1b[2J\n\u202e.py:f"])
    err = capsys.readouterr().err
    assert (status, err.count("\n")) == (2, 1)
    assert err[:-1].isprintable()


def test_a_report_replaces_the_old_one_whole_or_not_at_all(submit, tmp_path, monkeypatch):
    (tmp_path / "report").write_text("the old one")
    monkeypatch.setattr(Report, "json", lambda report, hints: "\ud800")
    status, _, err = submit("", "--format", "json", "-o", tmp_path / "report", function="backprop")
    assert (status, "surrogates" in err) == (2, True)
    assert (tmp_path / "report").read_text() == "the old one"
    monkeypatch.undo()
    assert submit("", "-o", tmp_path / "report", function="backprop")[0] == 0
    assert (tmp_path / "report").read_text().startswith("backprop in student.py: right")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "student.py"]


@posix
def test_a_report_may_go_to_what_is_not_a_file(submit):
    assert submit("", "-o", "/dev/null", function="backprop")[0] == 0


# --- forging a pass -------------------------------------------------------------------------------


@pytest.mark.numpy_alone
@pytest.mark.parametrize(
    "text",
    [
        """
        from chainrule import backprop as closed
        def f(*args):
            return closed.gradients(*args).D
        """,
        """
        def f(*args):
            import importlib
            return importlib.import_module("chainrule.backprop").gradients(*args).D
        """,
        """
        import sys
        def f(*args):
            for name in [n for n in sys.modules if n.startswith("chainrule")]:
                if sys.modules[name] is None: del sys.modules[name]
            sys.meta_path[:] = [x for x in sys.meta_path if x.__module__.startswith("_frozen")
                                or "frozen" in repr(x) or "editable" in repr(x)]
            from chainrule import backprop
            return backprop.gradients(*args).D
        """,
    ],
)
def test_our_own_gradients_are_not_at_hand(submit, text):
    status, out, err = submit(text)
    assert status in (1, 2)
    assert "chainrule" in out + err
    assert submit(text, "--allow-chainrule")[0] == 0


def test_our_own_source_cannot_be_read(submit):
    import chainrule.backprop.network

    status, out, _ = submit(
        f"""
        def f(*args):
            return eval(open({chainrule.backprop.network.__file__!r}).read())
        """
    )
    assert status == 1
    assert "PermissionError" in out


def test_nothing_of_ours_is_loaded_beside_a_submission(submit):
    status, out, err = submit(
        """
        import sys
        def f(*args):
            ours = [n for n, m in sys.modules.items() if n.partition(".")[0] == "chainrule"]
            main = [n for n in vars(sys.modules["__main__"]) if n[0] != "_"]
            raise RuntimeError(f"{ours} {main}")
        """
    )
    assert (status, err) == (1, "")
    assert "RuntimeError: [] []" in out


def test_a_result_cannot_be_written_in_its_place(submit):
    """Every open descriptor gets what a result looks like: none of it is one."""
    status, out, _ = submit(
        """
        import os
        def f(*args):
            for number in range(1, 64):
                for text in (b"{}", b"\\0" * 4096):
                    try: os.write(number, text)
                    except OSError: pass
            return [0 * theta for theta in args[0]]
        """
    )
    assert status == 1
    assert "call.dies" in out or "sum.all-zero" in out


@posix
@pytest.mark.parametrize("by", ["SIGKILL", "SIGSTOP"])
def test_ending_the_guard_helps_nobody(submit, by, monkeypatch):
    monkeypatch.setattr(process, "_LANDLOCK", False)  # with it, there is no way to the guard
    start = time.monotonic()
    status, out, err = submit(
        f"""
        import os, signal, time
        def f(*args):
            os.kill(os.getppid(), signal.{by})
            time.sleep(1000)
        """,
        "--time-limit", 2,
    )  # fmt: skip
    assert (status, err) == (1, "")
    assert ("call.dies" if by == "SIGKILL" else "call.too-slow") in out
    assert time.monotonic() - start < 60


def test_numpy_may_be_patched_and_the_verdict_stays(submit):
    status, out, _ = submit(
        """
        import json
        np.array_equal = np.allclose = lambda *a, **k: True
        np.savez = json.dumps = lambda *a, **k: None
        def f(thetas, X, Y, lam):
            D = backprop(thetas, X, Y, lam)
            X[:] = 0
            return [-d for d in D]
        """
    )
    assert status == 1
    assert "call.changes-arguments" in out
    assert "sign.everything" in out


def test_a_table_of_answers_for_the_probe_network_is_not_enough(submit):
    p = probe()
    answers = [D.tolist() for D in p.truth.D]
    status, out, err = submit(
        f"""
        def f(thetas, X, Y, lam):
            if [theta.shape for theta in thetas] == [(6, 6), (4, 7), (3, 5)]:
                return [np.array(D) for D in {answers!r}]
            return [-D for D in backprop(thetas, X, Y, lam)]
        """
    )
    assert (status, err) == (1, "")
    assert "sign.everything" in out
    assert "drawn at random" in out


def test_the_second_network_can_be_drawn_again(submit):
    text = """
        def f(thetas, X, Y, lam):
            if len(X) == 8:
                return backprop(thetas, X, Y, lam)
            return [-D for D in backprop(thetas, X, Y, lam)]
    """
    first = submit(text)[1]
    seed = first.partition("seed ")[2].partition(":")[0].partition(",")[0]
    assert seed.isdecimal()
    assert submit(text, "--seed", seed)[1] == first
