"""The student's side: what runs in the process in which somebody's function is called.

Only this room is there, without the package around it: nothing of chainrule's that computes a
gradient is loaded, and the file that is checked cannot import it or read its source, unless that is
allowed; ``fences`` says what else it may not touch, and how far that goes.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...intake import making, source
from ...intake.manner import Manner, Stated
from ...intake.methods import is_program
from ...intake.needed import CannotReadError
from ...intake.program import Program
from . import exam, messages
from .calls import Outcome, text_of, told, until_failure
from .fences import Fences
from .results import MOST_ENTRIES, Tree
from .trying import outcomes_of, tried

ROOT = Path(__file__).parents[4]
"""The directory that the package lies in."""
PACKAGE = "chainrule"
ROOM = 32
"""How many MiB a function must have beside what Python and NumPy take."""
FOR_TRIALS = 0.5
"""Which part of its time a program may be tried in: an answer is better than none in time."""
MOST_TEXT = 4000
"""How many characters of an exception are passed on."""


@dataclass(frozen=True)
class Given:
    """What the function is called with."""

    thetas: list[np.ndarray[Any, Any]]
    X: np.ndarray[Any, Any]
    Y: np.ndarray[Any, Any]
    lam: float


def main() -> None:
    """Read what to call and with what, call it, and write what came of it."""
    request, answers = _channels()
    secret = request.read(messages.SECRET)
    words, tree = messages.read(request, secret)
    request.close()

    def answer(words: dict[str, Any], tree: Tree | None = None) -> None:
        messages.write(answers, secret, words, tree)

    if _taken() + ROOM > words["mebibytes"]:
        answer({"needs": _taken() + ROOM})
        return
    _limit(words["seconds"], words["mebibytes"])
    answer({"needs": 0})
    _hide(words["allow"])
    package = "" if words["allow"] else PACKAGE
    fences = Fences.of(package, words["hidden"], words["shown"], str(Path.cwd()))
    fences.put_up(words["landlock"])
    path, name = Path(words["path"]), words["function"]
    package = words.get("package", "")
    if "exam" in words:
        outcomes = _answers(path, name, words["exam"])
    elif "explore" in words or "manner" in words:
        outcomes = _of_program(path, name, package, words, list(_problems(tree)))
    else:
        outcomes = _outcomes(path, name, _problems(tree))
    for outcome in outcomes:
        said: dict[str, Any] = {
            "code": outcome.code,
            "evidence": outcome.evidence[:MOST_TEXT],
            "changed": outcome.changed,
        }
        if outcome.manner is not None:
            said["manner"] = outcome.manner.words()
        answer(said, outcome.tree)
    # Threads and exit handlers of the file do not get to delay the end.
    os._exit(0)


def _channels() -> tuple[BinaryIO, BinaryIO]:
    """Take over standard input and output; what the function reads and prints goes nowhere."""
    request, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return request, answers


def _problems(tree: Any) -> Iterator[Given]:
    for thetas, X, Y, lam in tree:
        yield Given(thetas, X, Y, float(lam))


def _limit(seconds: float, mebibytes: int) -> None:
    try:
        import resource
    except ImportError:
        return
    limits = {
        "RLIMIT_AS": mebibytes << 20,
        "RLIMIT_CPU": int(seconds) + 2,
        "RLIMIT_FSIZE": 16 * MOST_ENTRIES,
        "RLIMIT_CORE": 0,
    }
    for name, limit in limits.items():
        # macOS knows some of these names and refuses to set them; more than can be counted is none.
        with contextlib.suppress(ValueError, OSError, AttributeError, OverflowError):
            kind = getattr(resource, name)
            _, most = resource.getrlimit(kind)
            limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
            resource.setrlimit(kind, (limit, limit))


def _hide(allow: bool) -> None:
    """Make the package something that cannot be imported, and this process look like any other."""
    sys.modules["__main__"] = types.ModuleType("__main__")
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
    if allow:
        sys.path.append(str(ROOT))


def _outcomes(path: Path, name: str, problems: Iterator[Given]) -> Iterator[Outcome]:
    function = _loaded(path, name)
    if isinstance(function, Outcome):
        yield function
    elif exam.is_engine(function):
        yield Outcome(None, exam.IS_ENGINE)
    else:
        yield from until_failure(function, problems)


def _of_program(
    path: Path, name: str, package: str, words: dict[str, Any], problems: list[Given]
) -> Iterator[Outcome]:
    made = _loaded(path, name, package)
    if isinstance(made, Outcome):
        yield made
        return
    if exam.is_engine(made):
        yield Outcome(None, exam.IS_ENGINE)
        return
    method = "" if "," in name else name.partition(".")[2]
    program = Program(made, method)
    if isinstance(made, type) and not program.can_be_made(problems[0]):
        # Then one of those that the file makes.
        made = making.made_in(source.tree_of(path), made.__name__, sys.modules[made.__module__])
        program = program if made is None else Program(made, method)
    if "manner" in words:
        yield from outcomes_of(program, Manner.of(words["manner"]), problems)
        return
    stated = words["explore"] | {"sizes": tuple(words["explore"]["sizes"])}
    yield from tried(program, problems, Stated(**stated), FOR_TRIALS * words["seconds"])


def _answers(path: Path, name: str, programs: Any) -> Iterator[Outcome]:
    made = _loaded(path, name)
    if isinstance(made, Outcome):
        yield made
    else:
        yield from exam.answers(made, programs)


def _taken() -> int:
    """Return the MiB of address space that this process has taken; 0 if the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return pages * os.sysconf("SC_PAGE_SIZE") >> 20
    except (OSError, ValueError, AttributeError):
        return 0


_NEWER = re.compile(r"type \w+(?:\[.*\])? ?=|(?:async )?(?:def|class) \w+\[|except\*")
"""How a line begins that an older Python does not read: 3.12's types, 3.11's groups."""


def _loaded(path: Path, name: str, package: str = "") -> Any:
    """Return what *name* stands for, or the outcome that there is nothing."""
    try:
        return _function(path, name, package)
    except SyntaxError as error:
        where = "" if error.lineno is None else f", line {error.lineno}"
        line = " ".join((error.text or "").split())[:100]
        says = f"{path.name}{where}: {error.msg}{': ' if line else ''}{line}"
        if _NEWER.match(line) or "f-string" in str(error.msg):
            here = ".".join(map(str, sys.version_info[:2]))
            says += f" (it is read as Python {here}; is it written for a newer one?)"
    except (_NoFunctionError, CannotReadError) as error:
        says = str(error)
    except SystemExit as error:
        says = (
            f"{path.name} calls exit({text_of(error.code, repr)}) when it is imported: put that "
            "under if __name__ == '__main__':"
        )
    except Exception as error:
        says = f"{path.name} cannot be imported: {told(error)}"
    return Outcome(None, "call.not-loaded", says)


def _function(path: Path, name: str, package: str) -> Any:
    root = path.parent
    for _ in package.split(".") if package else ():
        root = root.parent
    sys.path.insert(0, str(root))
    module = source.load(path, name, package)
    tree = source.tree_of(path)
    for part in name.split(","):
        if not callable(getattr(module, part.partition(".")[0], type)):
            making.set_up(tree, part.partition(".")[0], module)
    parts = [_found(path, module, part) for part in name.split(",")]
    return parts[0] if len(parts) == 1 else tuple(parts)


def _found(path: Path, module: types.ModuleType, dotted: str) -> Any:
    name, _, method = dotted.partition(".")
    if not hasattr(module, name):
        own = source.own_names(module)
        close = difflib.get_close_matches(name, own, n=1)
        there = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(own[:8]) or 'none'}"
        raise _NoFunctionError(f"{path.name} has no function named {name!r}: {there}")
    found = getattr(module, name)
    if method and not hasattr(found, method):
        raise _NoFunctionError(f"{name} in {path.name} has no method named {method!r}")
    if not is_program(found):
        raise _NoFunctionError(
            f"{name} in {path.name} is not a function: {text_of(found, repr):.60}"
        )
    return found


class _NoFunctionError(Exception):
    """The file was imported, and has no such function."""
