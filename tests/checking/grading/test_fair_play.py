"""What docs/fair-play.md promises: no submission earns points by anything but its gradient.

Each cheat comes with a gradient of the wrong sign, and must be told so, or be refused.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from pathlib import Path

import pytest

from chainrule import cli
from chainrule.checking import grade
from chainrule.checking.diagnosis.running import fences, process
from chainrule.checking.grading import runner
from chainrule.checking.handed_in import report_on

from ..test_attacks import RIGHT, alive

pytestmark = pytest.mark.processes_alone
linux = pytest.mark.skipif(sys.platform != "linux", reason="as Linux does it")
kernel = pytest.mark.skipif(
    fences.landlock_version() < 6, reason="this kernel does not have Landlock 6, the fence"
)

WRONG = (
    RIGHT
    + """
def wrong(*args):
    return [-d for d in backprop(*args)]
"""
)

CALLED = """
def f(thetas, X, Y, lam):  # says what it takes, so that no other ways to call it are tried
    return cheat(thetas, X, Y, lam)
"""


@pytest.fixture
def submit(tmp_path):
    """Return a function that checks a file with this text after WRONG, and returns the report."""

    def submitted(text, **options):
        path = tmp_path / "student.py"
        called = textwrap.dedent(text).replace("def f(", "def cheat(") + CALLED
        path.write_text(WRONG + called, encoding="utf-8")
        return report_on(f"{path}:f", **{"loss": "logistic", "time_limit": 60.0, **options})

    return submitted


@pytest.fixture(params=["with the kernel's fence", "with the hook alone"])
def fenced(request, monkeypatch):
    """Try it with both fences, and with the one that every system has."""
    monkeypatch.setattr(process, "_LANDLOCK", request.param == "with the kernel's fence")


def told(report):
    """Return what the finding says of the call."""
    assert not report.ok
    return "\n".join(finding.evidence for finding in report.findings)


# --- printing, exiting, patching ------------------------------------------------------------------

CHEATS = {
    "prints a verdict everywhere": """
        import json, os, sys
        def f(*args):
            forged = json.dumps({"score": 1.0, "ok": True, "tests": [], "words": {"code": ""}})
            for text in ("student.py: right\\n", forged, "\\0" * 99):
                print(text, flush=True)
                print(text, file=sys.stderr, flush=True)
                print(text, file=sys.__stdout__, flush=True)
            return wrong(*args)
        """,
    "patches all that could compare or write": """
        def f(*args):
            import builtins, io, json, sys, types
            yes = lambda *args, **kwargs: True
            for module, names in ((np, "allclose isclose array_equal all"), (builtins, "all any"),
                                  (np.testing, "assert_allclose"), (json, "dumps loads")):
                for name in names.split(): setattr(module, name, yes)
            np.abs = np.max = np.linalg.norm = lambda *args, **kwargs: 0.0
            for name in ("chainrule", "chainrule.checking", "json.encoder"):
                sys.modules[name] = types.ModuleType(name)
            json.JSONEncoder.encode = lambda self, value: '{"words": {"code": ""}, "tree": null}'
            return wrong(*args)
        """,
    "acts when all is over": """
        def f(*args):
            import atexit, os, threading
            def late(*args):
                for number in range(3, 40):
                    try: os.write(number, b"right")
                    except OSError: pass
            class Grave:
                __del__ = late
            atexit.register(late)
            threading.Timer(0.2, late).start()
            np.kept = Grave()
            return wrong(*args)
        """,
    "traces who called it": """
        import sys
        def trace(frame, event, argument):
            for name, value in list(frame.f_locals.items()):
                if "evidence" in name or "code" in name: frame.f_locals[name] = ""
            return trace
        def f(*args):
            sys.settrace(trace); sys.setprofile(trace)
            frame = sys._getframe()
            while frame: frame.f_trace = trace; frame = frame.f_back
            return wrong(*args)
        """,
    "returns what equals everything": """
        class Equal(np.ndarray):
            __eq__ = __le__ = __lt__ = __ge__ = lambda self, other: np.ones(self.shape, bool)
            __sub__ = __rsub__ = __array_ufunc__ = lambda self, *args, **kw: np.zeros(self.shape)
            __array__ = lambda self, *args, **kw: np.zeros(self.shape)
        def f(*args):
            return [d.view(Equal) for d in wrong(*args)]
        """,
    "answers in our name": """
        import sys
        def f(*args):
            frame = sys._getframe()
            while "secret" not in frame.f_locals: frame = frame.f_back
            send = frame.f_locals["answer"]
            for _ in range(9):
                send({"code": "", "evidence": "", "changed": [], "ok": True, "score": 1},
                     wrong(*args))
            return wrong(*args)
        """,
    "ends at once": "import os\ndef f(*args):\n    print('right'); os._exit(0)\n",
    "is killed": "import os, signal\ndef f(*args):\n    os.kill(os.getpid(), signal.SIGTERM)\n",
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_earns_nothing(submit, name):
    report = submit(CHEATS[name])
    assert not report.ok
    gradescope = json.loads(report.gradescope())
    # With the wrong sign, the penalty's included, no part is right.
    assert gradescope["score"] == 0.0, report


def test_the_answer_is_not_in_the_process(submit):
    """All that frames, modules and closures lead to is searched for the right gradient."""
    report = submit(
        """
        import sys, types
        def f(*args):
            right = backprop(*args)
            found, seen, frame = [], set(), sys._getframe(1)
            todo = list(sys.modules.values())
            while frame: todo += [frame.f_locals, frame.f_globals]; frame = frame.f_back
            while todo and len(seen) < 200_000:
                one = todo.pop()
                if id(one) in seen: continue
                seen.add(id(one))
                if isinstance(one, np.ndarray):
                    if any(one.shape == d.shape and np.allclose(one, d) for d in right):
                        found.append(one)
                elif isinstance(one, dict): todo += list(one.values())
                elif isinstance(one, (list, tuple, set)): todo += list(one)
                elif isinstance(one, types.ModuleType): todo.append(vars(one))
                elif isinstance(one, types.FunctionType):
                    todo += [one.__defaults__, one.__globals__]
                    todo += [cell.cell_contents for cell in one.__closure__ or ()]
                elif hasattr(one, "__dict__"): todo.append(vars(one))
            raise RuntimeError(f"{len(found)} found among {len(seen) > 3000}")
        """
    )
    assert "RuntimeError: 0 found among True" in told(report)


def attempts(*texts, **names):
    """Return the text of a function that tries each, and tells which of them was not refused."""
    return f"""
def f(*args):
    import ctypes, gc, os, socket, subprocess, sys
    c = ctypes.CDLL(None)
    def denied(): raise PermissionError("denied")
    names = {names!r} | locals()
    done = []
    for text in {texts!r}:
        try:
            exec(text, names)
            done.append(text)
        except (PermissionError, subprocess.CalledProcessError):
            pass
        except Exception as error:
            done.append(f"{{text}}: {{error!r}}")
    raise NotImplementedError(f"tried {len(texts)}, not refused: {{done}}")  # not called again
"""


@pytest.mark.usefixtures("fenced")
def test_our_gradients_are_not_at_hand(submit):
    ours = Path(process.__file__).parents[3] / "backprop" / "network.py"
    assert ours.is_file()
    report = submit(
        attempts(
            "import chainrule",
            "__import__('importlib').import_module('chainrule.backprop')",
            "open(PATH)",
            "open(os.path.relpath(PATH))",
            "os.symlink(PATH, 'mine'); open('mine')",
            "subprocess.run([sys.executable, '-c', 'import chainrule.backprop'], check=True)",
            "os.system(f'cat {PATH} >/dev/null 2>&1') == 0 or denied()",
            "gc.get_objects()",
            PATH=str(ours),
        )
    )
    assert "tried 8, not refused: []" in told(report)


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fenced")
def test_nothing_is_written_where_reports_go(submit, tmp_path):
    place = tmp_path / "results.json"
    place.write_text("before")
    report = submit(
        attempts(
            "open(PATH, 'w').write('right')",
            "os.open(PATH, os.O_RDWR)",
            "os.truncate(PATH, 0)",
            "os.remove(PATH)",
            "open('mine', 'w').close(); os.rename('mine', PATH)",
            "os.link(PATH, 'theirs')",
            "os.symlink('/dev/null', PATH + '2')",
            "os.mkdir(PATH + '2')",
            PATH=str(place),
        )
    )
    assert "tried 8, not refused: []" in told(report)
    assert place.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "student.py"]


@kernel
def test_what_gets_past_the_interpreter_does_not_get_past_the_kernel(submit, tmp_path):
    (tmp_path / "results.json").write_text("before")
    ours = Path(process.__file__).parents[3] / "backprop" / "network.py"
    report = submit(
        attempts(
            "c.open(PATH.encode(), os.O_RDWR) >= 0 or denied()",
            "c.open(PATH.encode() + b'2', os.O_CREAT | os.O_RDWR, 0o644) >= 0 or denied()",
            "c.unlink(PATH.encode()) == 0 or denied()",
            "c.open(OURS.encode(), os.O_RDONLY) >= 0 or denied()",
            "os.open('backprop/network.py', 0, dir_fd=c.open(PACKAGE.encode(), os.O_PATH))",
            "c.kill(os.getppid(), 9) == 0 or denied()",
            "c.open(b'/proc/%d/mem' % os.getppid(), os.O_RDONLY) >= 0 or denied()",
            "c.setrlimit(9, (ctypes.c_ulong * 2)(-1, -1)) == 0 or denied()",
            "socket.socket().connect_ex(('127.0.0.1', 9)) != 13 or denied()",
            "subprocess.run(['sh', '-c', f'echo right >{PATH}'], stderr=-3, check=True)",
            PATH=str(tmp_path / "results.json"),
            OURS=str(ours),
            PACKAGE=str(ours.parents[1]),
        )
    )
    assert "tried 10, not refused: []" in told(report)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "student.py"]


@pytest.mark.usefixtures("fenced")
def test_nobody_copies_from_others_or_writes_their_results(tmp_path, monkeypatch):
    # A worker is another process, which has to be told as well.
    told = f"import {process.__name__} as process\n"
    told += f"process._LANDLOCK = {process._LANDLOCK}\nmain()\n"
    monkeypatch.setattr(runner, "_START", runner._START.replace("main()\n", told))
    folder, kept = tmp_path / "class", tmp_path / "kept"
    (folder / "zoe").mkdir(parents=True)
    kept.mkdir()
    (kept / "old.json").write_text("theirs")
    (folder / "ada.py").write_text(RIGHT)
    (folder / "shared.txt").write_text("for all")
    takes = textwrap.dedent(
        f"""
        import os
        open(os.path.join({str(folder)!r}, "shared.txt")).read()
        def backprop(*args):
            said = []
            for path in ({str(folder / "ada.py")!r}, {str(kept / "old.json")!r}):
                try: said.append(open(path).read())
                except OSError: pass
            try: import ada; said.append(ada)
            except OSError: pass
            try: open(os.path.join({str(kept)!r}, "new.json"), "w")
            except OSError: pass
            return [0 * theta for theta in args[0]] if not said else said[0]
        """
    )
    (folder / "bob.py").write_text(takes)
    (folder / "zoe" / "hw.py").write_text(
        takes.replace("import ada", f"import sys; sys.path.append({str(folder)!r}); import ada")
    )
    report = grade(folder, "backprop", loss="logistic", jobs=1, results=kept)
    status = {one.name: [found.code for found in one.found] for one in report.results}
    assert status == {"ada.py": [], "bob.py": ["sum.all-zero"], "zoe": ["sum.all-zero"]}
    assert not (kept / "new.json").exists()


# --- limits ---------------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("hangs", [True, False])
def test_nothing_survives_through_children(submit, monkeypatch, hangs):
    mark = f"CHAINRULE_MARK_{os.getpid()}_{hangs}"
    monkeypatch.setenv(mark, "1")
    before = alive(mark)
    report = submit(
        f"""
        import os, signal, time
        def f(*args):
            for number in range(20):
                if os.fork() == 0:
                    for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                        signal.signal(one, signal.SIG_IGN)
                    if number % 2: os.setsid()
                    if number % 3 == 0 and os.fork(): os._exit(0)
                    while True: time.sleep(1)
            while {hangs}: time.sleep(1)
            return wrong(*args)
        """,
        time_limit=1.0 if hangs else 10.0,
    )
    assert report.codes[0] == "call.too-slow" if hangs else not report.ok
    end = time.monotonic() + 10
    while set(alive(mark)) - set(before):
        assert time.monotonic() < end
        time.sleep(0.05)


@linux
def test_memory_cannot_be_had_by_asking_for_more(submit):
    report = submit(
        """
        import resource
        def f(*args):
            for limit in (-1, 1 << 40):
                try: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
                except (ValueError, OSError): pass
            np.ones(1 << 28)
            return backprop(*args)
        """,
        memory_limit=1024,
    )
    assert "MemoryError" in told(report)


def test_a_report_is_ours_whatever_is_said(tmp_path, capsys):
    """A file whose text is a report does not become one, and cannot end the checker."""
    path = tmp_path / "student.py"
    path.write_text(WRONG + "print('student.py: right')\nf = wrong\nraise SystemExit(0)\n")
    assert cli.main(["check", f"{path}:f", "--format", "json"]) in (1, 2)
    assert json.loads(capsys.readouterr().out)["ok"] is False
