"""The tool: answers GradBench's messages, one JSON object a line, until the eval has no more.

``python benchmarks/gradbench/run.py`` reads from standard input and writes to standard output.
What goes wrong is answered, with ``"success": false`` and the reason; it does not end the tool.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import evals
from evals.function import Function

import chainrule as cr

Message = dict[str, Any]
HELPERS = ("descent", "function")
MODULES = [x.name for x in pkgutil.iter_modules(evals.__path__) if x.name not in HELPERS]


class UnknownError(LookupError):
    """A module or a function was asked for that is not here."""


def functions(module: str) -> dict[str, Function]:
    """Return the functions of a module by name; UnknownError if there is no such module."""
    if module not in MODULES:
        raise UnknownError(f"no module {module!r}; there are {', '.join(MODULES)}")
    found: dict[str, Function] = importlib.import_module(f"evals.{module}").FUNCTIONS
    return found


def measured(function: Function, given: Any) -> tuple[Any, list[int]]:
    """Return the result and how long each run took, in nanoseconds.

    There are as many runs as the input asks for with ``min_runs`` and ``min_seconds``, or one.
    """
    wishes = given if isinstance(given, dict) else {}
    runs, seconds = max(1, wishes.get("min_runs", 1)), wishes.get("min_seconds", 0.0)
    prepared = function.prepare(given)
    times: list[int] = []
    while len(times) < runs or sum(times) < seconds * 1e9:
        start = time.perf_counter_ns()
        result = function.compute(prepared)
        times.append(time.perf_counter_ns() - start)
    return function.present(result), times


def start(message: Message) -> Message:
    return {"tool": "chainrule", "config": {"version": cr.__version__, "backend": cr.backend}}


def define(message: Message) -> Message:
    functions(message["module"])
    return {"success": True}


def evaluate(message: Message) -> Message:
    known = functions(message["module"])
    if message["function"] not in known:
        raise UnknownError(
            f"no function {message['function']!r} in {message['module']!r}; "
            f"there are {', '.join(known)}"
        )
    output, times = measured(known[message["function"]], message["input"])
    timings = [{"name": "evaluate", "nanoseconds": spent} for spent in times]
    return {"success": True, "output": output, "timings": timings}


ANSWERS: dict[str, Callable[[Message], Message]] = {
    "start": start,
    "define": define,
    "evaluate": evaluate,
}


def answer(message: Message) -> Message:
    """Return the answer to one message; a kind that is not known has its number alone."""
    number = {"id": message.get("id")}
    respond = ANSWERS.get(message.get("kind", ""))
    if respond is None:
        return number
    try:
        return number | respond(message)
    except UnknownError as error:
        return number | {"success": False, "error": str(error)}
    except Exception:
        return number | {"success": False, "error": traceback.format_exc()}


def answered(line: str) -> str:
    """Return the line that answers *line*, whatever it is."""
    try:
        message = json.loads(line)
    except ValueError as error:
        return json.dumps({"id": None, "success": False, "error": f"not JSON: {error}"})
    if not isinstance(message, dict):
        return json.dumps({"id": None, "success": False, "error": "expected a JSON object"})
    found = answer(message)
    try:
        return json.dumps(found, allow_nan=False)  # nan and infinities are not JSON
    except (TypeError, ValueError) as error:
        return json.dumps({"id": found["id"], "success": False, "error": f"output: {error}"})


def session(lines: Iterable[str]) -> Iterator[str]:
    """Yield an answer for every line that is not empty."""
    return (answered(line) for line in lines if line.strip())


def main() -> None:
    try:
        for line in session(sys.stdin):
            print(line, flush=True)
    except (BrokenPipeError, KeyboardInterrupt):
        sys.exit(1)


if __name__ == "__main__":
    main()
