"""A class: what is a submission, what is told, names from anywhere, runs that are cut off."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import sys
import time
from html.parser import HTMLParser

import pytest

from chainrule import cli
from chainrule.checking import ClassReport, grade
from chainrule.checking.grading import classes
from chainrule.checking.grading.results import Found, Result, counts_of, groups_of
from chainrule.checking.grading.spreadsheet import as_csv
from chainrule.checking.grading.store import Store, file_name
from chainrule.checking.grading.submissions import entries_of, submissions_of

from ... import children
from ..test_attacks import RIGHT, alive

pytestmark = pytest.mark.processes_alone
posix = pytest.mark.skipif(os.name != "posix", reason="names, links and signals of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="as Linux does it")

SLOPE = RIGHT.replace("* a[l] * (1 - a[l])", "* (1 - a[l])")
PENALTY = RIGHT.replace("lam / m", "0")
SINE = RIGHT.replace("return D", "return [np.sin(d) for d in D]")


def put(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")


def graded(folder, **options):
    return grade(folder, **{"loss": "logistic", "lam": 1.3, "jobs": 2, **options})


# --- what is a submission -------------------------------------------------------------------------


def test_files_folders_and_notebooks_are_submissions_and_the_rest_is_not(tmp_path):
    for name in ("a.py", "b.ipynb", "c.npz", "d.txt", ".hidden.py", "E.PY"):
        (tmp_path / name).write_text("")
    for name in ("folder", "__pycache__", "__MACOSX", ".git"):
        (tmp_path / name).mkdir()
    assert [path.name for path in entries_of(tmp_path)] == [
        "E.PY", "a.py", "b.ipynb", "c.npz", "folder"
    ]  # fmt: skip


def test_the_function_is_found_without_running_anything(tmp_path):
    bomb = "import os\nos._exit(3)\n"
    (tmp_path / "a.py").write_text(bomb + "def backprop(t, X, Y, lam): ...\ndef plot(): ...")
    (tmp_path / "b.py").write_text(bomb + "def backprop(:")
    (tmp_path / "c.py").write_text(bomb + "def gradient(): ...")
    cells = [
        {"cell_type": "markdown", "source": "def backward(): ..."},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "def backprop(t):\n", "    pass"]},
    ]
    (tmp_path / "d.ipynb").write_text(json.dumps({"cells": cells}))
    found, function = submissions_of(entries_of(tmp_path), None)
    assert function == "backprop"
    assert [one.relative_target for one in found] == [
        "a.py:backprop", "b.py:backprop", "c.py:gradient", "d.ipynb:backprop"
    ]  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="links need no rights there")
def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "solution").mkdir()
    (tmp_path / "solution" / "right.py").write_text("def backprop(t, X, Y, lam): ...")
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "ada.py").symlink_to(tmp_path / "solution" / "right.py")
    (tmp_path / "class" / "bob.py").write_text("def backprop(t, X, Y, lam): ...")
    found, _ = submissions_of(entries_of(tmp_path / "class"), None)
    assert [one.target != "" for one in found] == [False, True]
    assert "link" in found[0].wrong


def test_in_a_folder_the_file_that_defines_it_is_chosen(tmp_path):
    deep = tmp_path / "deep" / "src"
    deep.mkdir(parents=True)
    (deep / "nn.py").write_text("def backprop(): ...")
    (deep / "plot.py").write_text("def draw(): ...")
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        (tmp_path / "two" / f"{name}.py").write_text("def backprop(): ...")
    (tmp_path / "none").mkdir()
    (tmp_path / "loop").mkdir()
    if os.name == "posix":
        (tmp_path / "loop" / "again").symlink_to(tmp_path)
        os.mkfifo(tmp_path / "loop" / "pipe.py")
    found, _ = submissions_of(entries_of(tmp_path), "backprop")
    by_name = {one.name: one for one in found}
    assert by_name["deep"].relative_target == "deep/src/nn.py:backprop".replace("/", os.sep)
    assert "2 files define backprop: a.py, b.py" in by_name["two"].wrong
    assert "no file defines backprop" in by_name["none"].wrong
    assert "no file defines backprop" in by_name["loop"].wrong


def test_a_class_without_anything_to_call_is_a_request_that_makes_no_sense(tmp_path, capsys):
    assert cli.main(["grade", str(tmp_path)]) == 2
    (tmp_path / "a.py").write_text("def f(): ...")
    assert cli.main(["grade", str(tmp_path)]) == 2
    assert cli.main(["grade", str(tmp_path / "nowhere")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 3
    assert "--function" in err


# --- what is told ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    put(folder, ada=RIGHT, bob=SLOPE, cleo=SLOPE, dan=PENALTY, eve="def backprop(:")
    return folder


@pytest.fixture(scope="module")
def report(folder):
    return graded(folder)


def test_a_class_is_told_by_its_mistakes(report):
    assert report.summary == "5 submissions: 1 right, 3 wrong, 1 failed"
    assert report.function == "backprop"
    counts = [(one.code, one.names) for one in report.counts]
    assert counts[0] == ("hidden.slope-is-1-minus-a", ("bob.py", "cleo.py"))
    assert [group.names for group in report.groups] == [("bob.py", "cleo.py"), ("dan.py",)]
    assert "hidden.slope-is-1-minus-a (Θ" in report.text() or "slope-is-1-minus-a: " in str(report)


def test_parts_earn_points(report):
    scores = {one.name: one.score for one in report.results}
    assert scores == pytest.approx(
        {"ada.py": 1, "bob.py": 3 / 7, "cleo.py": 3 / 7, "dan.py": 6 / 7, "eve.py": 0}
    )
    rows = list(csv.DictReader(io.StringIO(report.csv(points=14))))
    assert [row["points"] for row in rows] == ["14", "6", "6", "12", "0"]
    assert [row["same as"] for row in rows] == ["", "", "bob.py", "", ""]
    assert rows[3]["mistakes"] == "penalty.missing"


@pytest.mark.parametrize("hints", ["pass", "layer", "category", "fix"])
def test_the_pages_tell_as_much_as_they_may_and_the_index_tells_all(report, tmp_path, hints):
    report.write_html(tmp_path, hints)
    page = (tmp_path / "reports" / file_name("bob.py", ".html")).read_text(encoding="utf-8")
    assert ("hidden.slope-is-1-minus-a" in page) is (hints == "fix")
    assert ("The first wrong layer" in page) is (hints != "pass")
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "hidden.slope-is-1-minus-a" in index
    for link in re.findall(r'href="([^"]+)"', index):
        assert (tmp_path / link).is_file()


def test_what_nothing_explains_is_the_same_if_its_numbers_are():
    def unknown(name, *numbers):
        found = (Found("unknown.deltas", "?", "Θ⁽¹⁾", "partial"),)
        return Result(name, "wrong", found=found, numbers=numbers)

    results = [unknown("a", 1.0, 2.0), unknown("b", 1.0, 2.5), unknown("c", 1.0, 2.0 + 1e-9)]
    assert [group.names for group in groups_of(results)] == [("a", "c"), ("b",)]
    assert [one.names for one in counts_of(results)] == [("a", "b", "c")]


# --- names from anywhere --------------------------------------------------------------------------

NAMES = [
    "=HYPERLINK(evil)", "+1", "-1+cmd", "@SUM(1)", " =1", 'a,"b",c', "line\nbreak\rand\ttab",
    "..", "...", "a&b<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>",
    "\u202egnp.exe", "שלום", "😀", "e\u0301", "CON", "a" * 180, "\x1b[2J", "café", "＝1", "\udcff",
]  # fmt: skip


class _Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def test_any_name_is_safe_in_a_table_on_a_page_and_as_a_file(tmp_path):
    results = tuple(Result(f"{name}.py", "right", score=1.0) for name in NAMES)
    made = ClassReport(results)
    made.write_csv(tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))[1:]
    assert len(rows) == len(NAMES)
    for (shown, *_), name in zip(rows, NAMES, strict=True):
        assert not re.match(r"\s*[=+\-@＝]", shown), name
        assert all(mark.isprintable() for mark in shown)
    made.write_html(tmp_path / "html")
    names = [path.name for path in (tmp_path / "html" / "reports").iterdir()]
    assert len({name.lower() for name in names}) == len(NAMES)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,80}\.html", name) for name in names)
    page = _Page((tmp_path / "html" / "index.html").read_text(encoding="utf-8"))
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "div", "table", "tr", "th",
        "td", "a", "bdi", "span",
    }  # fmt: skip
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "\u202e" not in "".join(page.words)
    assert "שלום.py" in page.words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["html", "out.csv"]


@linux
def test_files_with_such_names_are_graded(tmp_path):
    names = ["-rf=1,2\n\u202e😀<b>'\":\udcff.py"]
    for name in names:
        (tmp_path / name).write_text(RIGHT)
    report = graded(tmp_path, jobs=1)
    assert [one.name for one in report.results] == names
    assert report.number("right") == 1, report.results
    assert len(list(csv.reader(io.StringIO(as_csv(report.results))))) == 2


# --- runs that are cut off ------------------------------------------------------------------------


def test_what_is_done_and_has_not_changed_is_not_run_again(tmp_path, monkeypatch):
    folder, kept = tmp_path / "class", tmp_path / "kept"
    monkeypatch.setattr(
        classes,
        "run_all",
        lambda asked, jobs, limit: (Result(one["name"], "right", one["target"]) for one in asked),
    )
    folder.mkdir()
    (folder / "eve").mkdir()
    put(folder, ada=RIGHT, bob="def backprop(:")
    put(folder / "eve", hw=RIGHT, data="x = 1")
    ran = []

    def run(**options):
        ran.clear()
        options = {"results": kept, "seed": 1, **options}
        done = graded(folder, progress=lambda result, *_: ran.append(result.name), **options)
        assert [one.name for one in done.results] == ["ada.py", "bob.py", "eve"]
        return sorted(ran)

    assert run() == ["ada.py", "bob.py", "eve"]
    assert run() == []
    put(folder / "eve", data="x = 2")  # a file beside the one that is called counts as well
    assert run() == ["eve"]
    path = kept / file_name("ada.py", ".json")
    for spoiled in (
        b"",
        b"{}",
        b"[" * 100_000,
        path.read_bytes().replace(b'"ada.py"', b'"bob.py"'),
    ):
        path.write_bytes(spoiled)
        assert run() == ["ada.py"]
    (kept / "other.json").write_text("not ours")
    assert run() == []
    assert (kept / "other.json").read_text() == "not ours"
    assert run(lam=2.0) == ["ada.py", "bob.py", "eve"]
    assert run(lam=2.0, again=True) == ["ada.py", "bob.py", "eve"]


def test_what_appears_among_the_results_while_submissions_run_is_not_believed(tmp_path):
    kept = tmp_path / "kept"
    store = Store(kept)
    assert store.done({"a": "1", "b": "1"}) == {}
    store.keep("1", Result("a", "wrong"))
    forged = Store(tmp_path / "forged")
    for name in ("a", "b"):
        forged.keep("1", Result(name, "right", score=1.0))
        forged_file = tmp_path / "forged" / file_name(name, ".json")
        forged_file.replace(kept / forged_file.name)
    store.settle({"a": "1", "b": "1"})
    again = Store(kept).done({"a": "1", "b": "1"})
    assert {name: result.status for name, result in again.items()} == {"a": "wrong"}


def _until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@linux
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_cut_off_leaves_nothing_and_goes_on(tmp_path, by):
    folder, temporary = tmp_path / "class", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    put(folder, a="def backprop(:", b="def backprop(*a):\n    while True: pass\n")
    mark = f"CHAINRULE_MARK_{by}_{os.getpid()}"
    command = ["-m", "chainrule", "grade", str(folder), "--jobs", "1"]
    command += ["--csv", str(tmp_path / "out.csv"), "--time", "100"]
    with children.started(*command, **{"TMPDIR": str(temporary), mark: "1"}) as process:
        _until(lambda: list(tmp_path.glob("out.results/*.json")))
        _until(lambda: len(alive(mark)) >= 4)  # us, a worker, a guard, and what hangs
        (os.killpg if by == signal.SIGINT else os.kill)(process.pid, by)
        err = process.communicate(timeout=30)[1]
        assert process.returncode == (130 if by == signal.SIGINT else -by)
        if by == signal.SIGINT:
            told = "chainrule: interrupted; the same command goes on from here"
            assert err.splitlines()[-1] == told
        _until(lambda: not alive(mark))
        _until(lambda: not list(temporary.iterdir()))
    assert not (tmp_path / "out.csv").exists()
    if by == signal.SIGKILL:
        return
    put(folder, b=RIGHT)
    done = children.run(*command)
    assert done.returncode == 0
    assert "a.py" not in done.stderr
    assert (tmp_path / "out.csv").exists()


def test_a_worker_that_dies_takes_one_submission_along(tmp_path, monkeypatch):
    put(tmp_path, a=RIGHT, b=RIGHT)
    from chainrule.checking.grading import runner

    text = runner._START.replace("main()", "")
    dies = text + (
        "from chainrule.checking.grading import worker\n"
        "import os\nchecked = worker.checked\n"
        "dies = lambda asked: os._exit(7) if asked['name'] == 'a.py' else checked(asked)\n"
        "worker.checked = dies\n"
        "worker.main()\n"
    )
    monkeypatch.setattr(runner, "_START", dies)
    report = graded(tmp_path, jobs=1)
    assert [one.status for one in report.results] == ["not done", "right"]
    assert "status 7" in report.results[0].found[0].says


@posix
def test_a_module_in_the_class_folder_does_not_become_ours(tmp_path):
    put(tmp_path, a=RIGHT, numpy="import pathlib\npathlib.Path('owned').touch()\n", json="1/0")
    script = (
        "import sys; sys.path[:] = [p for p in sys.path if p]; from chainrule.cli import main; "
    )
    script += "sys.exit(main(['grade', '.', '--loss', 'logistic', '--jobs', '1']))"
    done = children.run("-c", script, cwd=tmp_path)
    assert "1 right" in done.stdout, done.stderr
    assert not (tmp_path / "owned").exists()


def test_a_network_that_cannot_be_read_is_nobodys_mistake(tmp_path, capsys):
    put(tmp_path, a=RIGHT)
    network = tmp_path / "network.npz"
    network.write_bytes(b"junk")
    assert cli.main(["grade", str(tmp_path), "--network", str(network)]) == 2
    assert "network.npz" in capsys.readouterr().err
