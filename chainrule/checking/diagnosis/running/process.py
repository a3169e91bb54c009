"""Calling a function from somebody's file in a process of its own, with limits.

The process may crash, hang, exit, print, fork or eat memory: what reaches this one is plain numbers
and a few lines of text, or the finding that there are none. Three processes take part: this one
asks and judges; ``guard`` sees to it that nothing is left, even if this one is ended; ``student``
is where the function runs, and knows nothing of what is right.

``fences`` says what the function cannot touch. Beyond that it runs with the caller's rights, so do
not feed it files that you would not run: docs/fair-play.md says what is promised.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...intake import clock
from ...intake.handing import Network
from ...intake.manner import Manner, Stated
from . import exam, messages, student
from .calls import Caller, Outcome
from .results import Tree
from .trying import EXPLORED, OTHER_SIZES

_CODES = frozenset(
    {
        exam.IS_ENGINE,
        EXPLORED,
        OTHER_SIZES,
        *(
            f"call.{name}"
            for name in (
                "dies",
                "no-numbers",
                "not-loaded",
                "one-layer",
                "raises",
                "wrong-arguments",
            )
        ),
    }
)
"""What the other side may say of a call that gave no result."""
_MOST_TRIED = 80
"""How many outcomes trials may give."""
_LANDLOCK = True
"""Whether the kernel's fence is put up where there is one."""
_apart: ContextVar[tuple[tuple[str, ...], tuple[str, ...]]] = ContextVar("apart", default=((), ()))
_STARTING = 60.0
"""How many seconds Python and NumPy may take to start: not the submission's time."""
_ENDING = 10.0
"""How many seconds the guard has to end what runs."""
_START = """
import sys, types
# The packages without what their __init__ would load: of ours only these two rooms are there.
root = sys.argv.pop(1)
for room in %r:
    name, path = "", root
    for part in room:
        name, path = f"{name}.{part}".lstrip("."), f"{path}/{part}"
        if name not in sys.modules:
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [path]
from %s.student import main
main()
"""


def caller_of_file(
    path: Path,
    function: str,
    time_limit: float = 10.0,
    memory_limit: int = 2048,
    *,
    allow_chainrule: bool = False,
) -> Caller:
    """Return a caller of *function* in the file *path*; each sequence of calls is a new process.

    *time_limit*, in seconds, is for all calls of a sequence together, importing the file included;
    *memory_limit*, in MiB, holds where the system can limit memory (not on Windows or macOS).
    ``ValueError`` if they are not above 0, and, at the call, if Python itself needs more memory. A
    file that cannot be imported, or lacks the function, is an outcome.

    The file cannot import chainrule, which knows the right gradients, unless *allow_chainrule*.
    """
    words = _words(path, function, time_limit, memory_limit, allow_chainrule)

    def calls(problems: Sequence[Network]) -> list[Outcome]:
        tree: list[Tree] = [[list(p.thetas), p.X, p.Y, np.array(p.lam)] for p in problems]
        outcomes = _Conversation(words, tree, len(tree)).outcomes
        if outcomes[0].code == exam.IS_ENGINE:
            raise EngineGivenError(
                f"{function} in {Path(path).name} is a class with arithmetic, not a function that "
                "returns a gradient: check_engine tests it"
            )
        return outcomes

    return calls


class FileProgram:
    """A program in a file, called in a process of its own; limits as for :func:`caller_of_file`."""

    def __init__(
        self,
        path: Path,
        name: str,
        package: str = "",
        time_limit: float = 10.0,
        memory_limit: int = 2048,
        *,
        allow_chainrule: bool = False,
    ) -> None:
        self._name = f"{name} in {Path(path).name}"
        self._words = _words(path, name, time_limit, memory_limit, allow_chainrule)
        self._words["package"] = package

    def explore(self, offered: Sequence[Network], stated: Stated) -> list[Outcome]:
        """Return what came of each manner in which it may be called, see ``trying``."""
        said = {one.name: getattr(stated, one.name) for one in fields(stated)}
        return self._outcomes({"explore": said}, offered, _MOST_TRIED)

    def caller(self, manner: Manner) -> Caller:
        """Return how to call it in this *manner*; each sequence of calls is a new process."""
        return lambda problems: self._outcomes({"manner": manner.words()}, problems, len(problems))

    def _outcomes(
        self, more: dict[str, Any], problems: Sequence[Network], wanted: int
    ) -> list[Outcome]:
        tree: list[Tree] = [[list(p.thetas), p.X, p.Y, np.array(p.lam)] for p in problems]
        outcomes = _Conversation(self._words | more, tree, wanted).outcomes
        if outcomes[0].code == exam.IS_ENGINE:
            raise EngineGivenError(
                f"{self._name} is a class with arithmetic, not a function that returns a gradient: "
                "check_engine tests it"
            )
        return outcomes


class EngineGivenError(TypeError):
    """A class of numbers was given where a function was expected."""


def examined(
    path: Path,
    name: str,
    programs: Sequence[Sequence[exam.Instruction]],
    time_limit: float = 10.0,
    memory_limit: int = 2048,
    *,
    allow_chainrule: bool = False,
) -> list[Outcome]:
    """Return what the class *name* of a file offers and answers, as ``exam.answers`` does.

    If the process ends too early, its end is the last outcome. Limits and errors are those of
    :func:`caller_of_file`.
    """
    words = _words(path, name, time_limit, memory_limit, allow_chainrule)
    words["exam"] = [[list(step) for step in program] for program in programs]
    return _Conversation(words, [[[]]], len(programs) + 1).outcomes


def _words(
    path: Path, name: str, time_limit: float, memory_limit: int, allow_chainrule: bool
) -> dict[str, Any]:
    if not 0 < time_limit < 1e6 or not memory_limit > 0:
        raise ValueError(
            f"limits of {time_limit} seconds and {memory_limit} MiB: expected numbers above 0"
        )
    hidden, shown = _apart.get()
    path = Path(path).resolve()
    return {
        "path": str(path),
        "function": name,
        "seconds": time_limit,
        "mebibytes": memory_limit,
        "allow": allow_chainrule,
        "hidden": [*hidden, *(() if allow_chainrule else map(str, _ours()))],
        "shown": list(shown) or [str(path.parent)],
        "landlock": _LANDLOCK,
    }


def _ours() -> Iterator[Path]:
    """Yield where our own sources are: the right gradients are computed there."""
    yield student.ROOT / student.PACKAGE
    if (student.ROOT / "pyproject.toml").exists():  # a checkout has copies, and tests with oracles
        yield from (student.ROOT / name for name in ("build", ".git", "tests", "benchmarks"))


@contextlib.contextmanager
def apart(hidden: Iterable[Path], shown: Iterable[Path]) -> Iterator[None]:
    """Within this, a submission cannot open the paths that are *hidden*, but for those *shown*.

    Where the system can enforce it, see ``fences``. *shown* has the submission's own path; without
    it, that is the directory of the file that is called.
    """
    before = _apart.set((tuple(map(str, hidden)), tuple(map(str, shown))))
    try:
        yield
    finally:
        _apart.reset(before)


class _Conversation:
    """One process: what it is asked, what it answers, and how it ends."""

    def __init__(self, words: dict[str, Any], tree: list[Tree], wanted: int) -> None:
        self.outcomes: list[Outcome] = []
        self._wanted = wanted
        self._names = [f"thetas[{i}]" for i in range(len(tree[0][0]))]
        self._names += ["X", "Y", "the list thetas", "thetas"]
        self._secret = secrets.token_hex(messages.SECRET // 2).encode()
        self._needs: int | None = None
        self._started = threading.Event()
        self._spoiled = ""
        request = BytesIO()
        request.write(self._secret)
        messages.write(request, self._secret, words, tree)
        seconds, mebibytes = words["seconds"], words["mebibytes"]
        with tempfile.TemporaryDirectory(prefix="chainrule-", ignore_cleanup_errors=True) as folder:
            status = self._run(folder, request.getvalue(), seconds)
        if self._needs is None:
            how = "did not start in a minute" if status is None else f"ended with status {status}"
            raise ChildProcessError(None, f"the process to run the function in {how}", "python")
        if self._needs > 0:
            raise ValueError(
                f"a memory limit of {mebibytes} MiB: Python and NumPy alone take {self._needs} MiB "
                "here"
            )
        # A call that fails is the last one; a class is examined to the end.
        failed = self.outcomes and self.outcomes[-1].tree is None and "exam" not in words
        if len(self.outcomes) < self._wanted and not failed:
            self.outcomes.append(self._end(status, seconds))

    def _run(self, folder: str, request: bytes, seconds: float) -> int | None:
        """Run the other side to its end; return its exit status, or None if it was stopped."""
        room = __package__.split(".")
        start = _START % ([room, [*room[:-2], "intake"]], __package__)
        command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py")), folder]
        command += [sys.executable, "-c", start, str(student.ROOT)]
        # One thread: the limits count threads' memory and time, and small matrices gain nothing.
        threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        guard = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **threads, "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=os.name == "posix",
        )
        assert guard.stdin is not None
        assert guard.stdout is not None
        assert guard.stderr is not None
        listening = threading.Thread(target=self._listen, args=(guard.stdout,), daemon=True)
        in_time = False
        try:
            listening.start()
            with contextlib.suppress(OSError):  # it may have ended
                guard.stdin.write(len(request).to_bytes(8, "big") + request)
                guard.stdin.flush()
            if self._started.wait(_STARTING):
                in_time = _ends_in_time(guard, seconds)
        finally:
            with contextlib.suppress(OSError):
                guard.stdin.close()  # which tells the guard to end it all
            with contextlib.suppress(subprocess.TimeoutExpired):
                guard.wait(_ENDING)
            _kill(guard)
        listening.join(_ENDING)
        with guard.stderr:
            says = guard.stderr.read(20).strip()
        if not in_time:
            return None
        if not says.lstrip(b"-").isdigit():
            self._spoiled = self._spoiled or "It ended the process that guards it."
            return None
        return int(says)

    def _listen(self, stream: BinaryIO) -> None:
        """Read what the other side says, up to the first thing that it cannot mean."""
        with stream:
            try:
                needs = messages.read(stream, self._secret)[0]["needs"]
                self._needs = int(needs)
                self._started.set()
                while len(self.outcomes) < self._wanted:
                    self.outcomes.append(self._outcome(*messages.read(stream, self._secret)))
            except messages.NoMessage:
                pass
            except messages.NotAMessage:
                self._spoiled = "It wrote to the channel by which results come back."
            except (OSError, ValueError):  # it was closed from here
                pass
            finally:
                self._started.set()

    def _outcome(self, words: dict[str, Any], tree: Tree | None) -> Outcome:
        code, evidence, changed = map(words.get, ("code", "evidence", "changed"))
        fits = (
            isinstance(code, str)
            and (code == "" if tree is not None else code in _CODES)
            and isinstance(evidence, str)
            and isinstance(changed, list)
            and all(name in self._names for name in changed)
        )
        if not fits:
            raise messages.NotAMessage("an outcome that no call has")
        outcome = Outcome(tree, str(code), str(evidence)[: student.MOST_TEXT], tuple(changed or ()))
        if "manner" not in words:
            return outcome
        try:
            return outcome.in_manner(Manner.of(words["manner"]))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise messages.NotAMessage("a manner that nobody has") from error

    def _end(self, status: int | None, seconds: float) -> Outcome:
        """Say what a call that left no result must have met."""
        if self._spoiled:
            return Outcome(None, "call.dies", f"{self._spoiled} No result could be read.")
        if status is None:
            says = f"No result after {seconds:g} seconds; it was stopped."
            return Outcome(None, "call.too-slow", says)
        if status < 0:
            with contextlib.suppress(ValueError):
                name = signal.Signals(-status).name
                return Outcome(None, "call.dies", f"Signal {name} ended it.")
        says = f"It ended with exit status {status} before it returned."
        return Outcome(None, "call.dies", says)


def _ends_in_time(guard: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the guard ends in so many seconds, without those of waiting for a processor."""
    begun, left = time.monotonic(), seconds
    while left > 0.0:
        try:
            guard.wait(left)
        except subprocess.TimeoutExpired:
            patience = min(clock.waited_below(guard.pid), clock.MOST_WAITED * seconds)
            left = begun + seconds + patience - time.monotonic()
        else:
            return True
    return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and what is left of its group."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
