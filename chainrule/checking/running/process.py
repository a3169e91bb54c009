"""Calling a function from somebody's file in a process of its own, with limits.

The process may crash, hang, exit, print, fork or eat memory: what reaches this one is a file of
plain numbers and a few lines of text, read without unpickling, or the finding that there is none.
It is a guard against accidents, not a prison: the function runs with the caller's rights, so do not
feed it files that you would not run.

Run as a program (``python -m chainrule.checking.running.process``) this module is the other side.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import inspect
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..layouts import MOST_ENTRIES, Tree
from ..problem import Problem
from .calls import Caller, Outcome, told, until_failure

_MOST_BYTES = 16 * MOST_ENTRIES
_MOST_TEXT = 4000
_REFUSED = "memory-limit-too-small"
"""The name of a file that the other side writes when it cannot even start."""
_ROOM = 32
"""How many MiB a function must have beside what Python and NumPy take."""


def caller_of_file(
    path: Path, function: str, time_limit: float = 10.0, memory_limit: int = 2048
) -> Caller:
    """Return a caller of *function* in the file *path*; each sequence of calls is a new process.

    *time_limit*, in seconds, is for all calls of a sequence together, starting Python and importing
    the file included; *memory_limit*, in MiB, holds where the system can limit memory (not on
    Windows or macOS). ``ValueError`` if they are not above 0, and, at the call, if Python itself
    needs more memory. A file that cannot be imported, or lacks the function, is an outcome.
    """
    if not 0 < time_limit < 1e6 or not memory_limit > 0:
        raise ValueError(
            f"limits of {time_limit} seconds and {memory_limit} MiB: expected numbers above 0"
        )
    path = Path(path).resolve()

    def calls(problems: Sequence[Problem]) -> list[Outcome]:
        with tempfile.TemporaryDirectory(prefix="chainrule-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            for i, problem in enumerate(problems):
                write_problem(folder / f"problem-{i}.npz", problem)
            end = _run(folder, path, function, len(problems), time_limit, memory_limit)
            if (folder / _REFUSED).exists():
                raise ValueError(
                    f"a memory limit of {memory_limit} MiB: Python and NumPy alone take "
                    f"{(folder / _REFUSED).read_text()} MiB here"
                )
            outcomes = []
            for i in range(len(problems)):
                outcomes.append(_read_outcome(folder / f"outcome-{i}.npz", end))
                if outcomes[-1].tree is None:
                    break
            return outcomes

    return calls


def _run(
    folder: Path, path: Path, function: str, count: int, time_limit: float, memory_limit: int
) -> Outcome:
    """Run the other side to its end, and say what a call that left no result must have met."""
    command = [sys.executable, "-m", __name__, str(folder), str(path), function]
    command += [str(count), str(time_limit), str(memory_limit)]
    # One thread: the limits count threads' memory and time, and small matrices gain nothing.
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    root = str(Path(__file__).parents[3])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    group: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, **threads, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        **group,
    )
    try:
        status = process.wait(time_limit)
    except subprocess.TimeoutExpired:
        return Outcome(
            None, "call.too-slow", f"No result after {time_limit:g} seconds; it was stopped."
        )
    finally:
        _kill(process)
    if status < 0:
        with contextlib.suppress(ValueError):
            return Outcome(None, "call.dies", f"Signal {signal.Signals(-status).name} ended it.")
    return Outcome(None, "call.dies", f"It ended with exit status {status} before it returned.")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it forked; what left the session by itself is out of reach."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def write_problem(path: Path, problem: Problem) -> None:
    """Write the arrays of *problem* as .npz: theta1, theta2, ..., X, Y and lam."""
    thetas = {f"theta{i}": theta for i, theta in enumerate(problem.thetas, start=1)}
    with path.open("wb") as file:
        np.savez(file, **thetas, X=problem.X, Y=problem.Y, lam=problem.lam)  # type: ignore[arg-type]


def read_problem(path: Path, **options: Any) -> Problem:
    """Return what ``write_problem`` wrote; ``ValueError`` if it is anything else."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = [f"theta{i}" for i in range(1, len(arrays.files) - 2)]
            thetas, X, Y = [arrays[name] for name in names], arrays["X"], arrays["Y"]
            lam = float(arrays["lam"])
    except (KeyError, TypeError, AttributeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path.name} is not a saved network: expected .npz with theta1, theta2, ..., X, Y, lam"
        ) from error
    return Problem.read(thetas, X, Y, lam, **options)


def _read_outcome(path: Path, end: Outcome) -> Outcome:
    """Read what the other side wrote; it may be missing, cut short, or anything at all."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MOST_BYTES:
                return Outcome(None, "call.no-numbers", "The result is too large.")
        with np.load(path, allow_pickle=False) as arrays:
            told = json.loads(bytes(arrays["told"]).decode())
            tree = _grown(told["tree"], arrays)
        code, evidence = str(told["code"]), str(told["evidence"])
        changed = tuple(str(name) for name in told["changed"])
    except Exception:  # zipfile, json and NumPy raise a dozen kinds; all mean: no result
        return end
    return Outcome(tree, code, evidence[:_MOST_TEXT], changed[:100])


def _grown(plan: Any, arrays: Any) -> Tree | None:
    if plan is None:
        return None
    if isinstance(plan, list):
        return [branch for branch in (_grown(item, arrays) for item in plan) if branch is not None]
    array: np.ndarray[Any, Any] = arrays[f"array{int(plan)}"]
    if array.dtype.kind not in "fiub":
        raise ValueError(f"array of {array.dtype}")
    return array


# --- the other side -------------------------------------------------------------------------------


def _write_outcome(path: Path, outcome: Outcome) -> None:
    arrays: dict[str, np.ndarray[Any, Any]] = {}

    def plan(tree: Tree) -> Any:
        if isinstance(tree, list):
            return [plan(item) for item in tree]
        arrays[f"array{len(arrays)}"] = tree
        return len(arrays) - 1

    told = {
        "tree": None if outcome.tree is None else plan(outcome.tree),
        "code": outcome.code,
        "evidence": outcome.evidence[:_MOST_TEXT],
        "changed": outcome.changed,
    }
    text = np.frombuffer(json.dumps(told).encode(), dtype=np.uint8)
    content = io.BytesIO()
    np.savez(content, told=text, **arrays)  # type: ignore[arg-type]
    path.write_bytes(content.getvalue())


def _limit(seconds: float, mebibytes: int) -> None:
    try:
        import resource
    except ImportError:
        return
    limits = {
        "RLIMIT_AS": mebibytes << 20,
        "RLIMIT_CPU": int(seconds) + 1,
        "RLIMIT_FSIZE": _MOST_BYTES,
        "RLIMIT_CORE": 0,
    }
    for name, limit in limits.items():
        # macOS knows some of these names and refuses to set them.
        with contextlib.suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, name), (limit, limit))


def _taken() -> int:
    """Return the MiB of address space that this process has taken; 0 if the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return pages * os.sysconf("SC_PAGE_SIZE") >> 20
    except (OSError, ValueError, AttributeError):
        return 0


def _loaded(path: Path, name: str) -> Any:
    """Return the function, or the outcome that there is none."""
    try:
        return _function(path, name)
    except SyntaxError as error:
        where = "" if error.lineno is None else f", line {error.lineno}"
        line = " ".join((error.text or "").split())
        says = f"{path.name}{where}: {error.msg}{': ' if line else ''}{line}"
    except _NoFunctionError as error:
        says = str(error)
    except SystemExit as error:
        says = (
            f"{path.name} calls exit({error.code!r}) when it is imported: put that under "
            "if __name__ == '__main__':"
        )
    except Exception as error:
        says = f"{path.name} cannot be imported: {told(error)}"
    return Outcome(None, "call.not-loaded", says)


def _function(path: Path, name: str) -> Any:
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # dataclasses and pickle look a module up; a file called json.py must not replace json.
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if inspect.isfunction(value)
               and value.__module__ == module.__name__]  # fmt: skip
        close = difflib.get_close_matches(name, own, n=1)
        there = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(own[:8]) or 'none'}"
        raise _NoFunctionError(f"{path.name} has no function named {name!r}: {there}")
    found = getattr(module, name)
    if not callable(found):
        raise _NoFunctionError(f"{name} in {path.name} is no function: {found!r:.60}")
    return found


class _NoFunctionError(Exception):
    """The file was imported, and has no such function."""


def _serve(folder: Path, path: Path, name: str, count: int) -> None:
    function = _loaded(path, name)
    if isinstance(function, Outcome):
        _write_outcome(folder / "outcome-0.npz", function)
        return
    problems = (read_problem(folder / f"problem-{i}.npz") for i in range(count))
    for i, outcome in enumerate(until_failure(function, problems)):
        _write_outcome(folder / f"outcome-{i}.npz", outcome)


def _main(arguments: Sequence[str]) -> None:
    folder, path, name, count, seconds, mebibytes = arguments
    if _taken() + _ROOM > int(mebibytes):
        (Path(folder) / _REFUSED).write_text(str(_taken() + _ROOM))
        return
    _limit(float(seconds), int(mebibytes))
    _serve(Path(folder), Path(path), name, int(count))
    # Threads and exit handlers of the file do not get to delay the end.
    os._exit(0)


if __name__ == "__main__":
    _main(sys.argv[1:])
