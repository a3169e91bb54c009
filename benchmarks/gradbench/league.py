"""Ours beside GradBench's other tools: ``python benchmarks/gradbench/league.py CHECKOUT``.

CHECKOUT is a folder with a clone of GradBench.  Its JAX and PyTorch tools take part where their
interpreters (``--jax``, ``--pytorch``) have them, its C++ tools where somebody has built them.
Every tool is a process of its own, held to one thread.  They take turns on each problem, a few
rounds, so that what else the machine does falls on all of them; the first run of every turn, in
which programs are compiled or recorded, is shown for ours and left out otherwise.  The table shows
ratios of medians: how many times our time a tool took, so above 1 we are ahead.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import inputs

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
CPP = ("manual", "codipack", "cppad", "adol-c", "adept", "enzyme", "tapenade", "finite", "ad-hpp")
OURS = "chainrule"
START = 120.0  # seconds in which a tool has to have loaded its libraries
# What JAX returns may be a promise; its tool is made to wait for the result, which is measured too.
WAITING = """
import os, runpy, sys, jax
from gradbench import wrap
timed = wrap.multiple_runs
def waiting(**how):
    return lambda f: timed(**how)(lambda given: jax.block_until_ready(f(given)))
wrap.multiple_runs = waiting
sys.path[0] = os.path.dirname(sys.argv[1])
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""
SAME = 1e-4  # GradBench's own tolerance


class Case(NamedTuple):
    """One problem: an eval with its sizes and one of its functions."""

    module: str
    sizes: tuple[Any, ...]
    function: str
    given: Any

    @property
    def name(self) -> str:
        return " ".join(map(str, (self.module, *self.sizes, self.function)))


class Turn(NamedTuple):
    """What a tool answered: its output, and the seconds that each run took."""

    output: Any
    times: list[float]


class Tool:
    """A process that speaks the protocol; it is started when it is first asked."""

    def __init__(self, name: str, command: list[str], folder: Path, python_path: str, limit: float):
        self.name, self.command, self.folder, self.limit = name, command, folder, limit
        self.environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": python_path}
        self.process: subprocess.Popen[bytes] | None = None

    def knows(self, module: str) -> bool:
        """Return whether the tool has that module."""
        if self.name in CPP:  # to define a module is to build it, which is left to others
            return (self.folder / "tools" / self.name / "bin" / module).exists()
        message = {"id": 0, "kind": "define", "module": module}
        return bool(self.ask(message, START).get("success"))

    def evaluate(self, case: Case, seconds: float) -> Turn | str:
        """Return what the tool answers, or why there is no answer."""
        wishes = {"min_runs": 3, "min_seconds": seconds}
        given = case.given | wishes if isinstance(case.given, dict) else case.given
        message = {"id": 1, "kind": "evaluate", "module": case.module, "function": case.function}
        found = self.ask({**message, "input": given}, self.limit)
        if not found.get("success"):
            return str(found.get("error") or "failed").strip().splitlines()[-1][:60]
        times = [x["nanoseconds"] / 1e9 for x in found["timings"] if x["name"] == "evaluate"]
        return Turn(found["output"], times)

    def ask(self, message: Any, limit: float) -> dict[str, Any]:
        """Return the answer to *message*; the process is given up if there is none in time."""
        if self.process is None:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self.folder,
                env=self.environment,
            )
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
            line = self._line(limit)
        except BrokenPipeError:
            line = b""
        if not line:
            self.close()
            return {"success": False, "error": "ended"}
        if line == b"late":
            self.close()
            return {"success": False, "error": f"over {limit:g} s"}
        found: dict[str, Any] = json.loads(line)
        return found

    def _line(self, limit: float) -> bytes:
        """Return the next line of the process, nothing at its end, "late" if there is none."""
        assert self.process is not None
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(limit):
                return b"late"
        return self.process.stdout.readline()

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def tools(checkout: Path, pythons: dict[str, str], limit: float) -> list[Tool]:
    """Return ours and those of the checkout that can be run here, and say which cannot."""
    packages = checkout / "python" / "gradbench"
    own = str(Path(__file__).resolve().parents[2])
    script = Path(__file__).with_name("run.py")
    found = [Tool(OURS, [sys.executable, str(script)], checkout, own, limit)]
    for name, needs in (("jax", "jax"), ("pytorch", "torch")):
        python = pythons[name]
        test = subprocess.run([python, "-c", f"import {needs}"], capture_output=True, check=False)
        if test.returncode:
            print(f"{name} does not take part: {python} cannot import {needs}")
        else:
            script = packages / "gradbench" / "tools" / name / "run.py"
            told = ["-c", WAITING] if name == "jax" else []
            command = [python, *told, str(script)]
            found.append(Tool(name, command, checkout, str(packages), limit))
    built = [name for name in CPP if (checkout / "tools" / name / "bin").is_dir()]
    if not built:
        print("no C++ tool takes part: none is built in the checkout")
    script = packages / "gradbench" / "cpp.py"
    own_python = sys.executable  # the wrapper of a C++ tool needs nothing but NumPy
    return found + [
        Tool(name, [own_python, str(script), name], checkout, str(packages), limit)
        for name in built
    ]


def cases(checkout: Path, wanted: list[str]) -> Iterator[Case]:
    for module, (make, sizes, functions) in inputs.CASES.items():
        if wanted and module not in wanted:
            continue
        for size in sizes:
            try:
                given = make(checkout, *size)
            except OSError as error:
                print(f"{module} {size}: left out, {error}")
                continue
            for function in functions:
                yield Case(module, size, function, given)


def played(case: Case, players: list[Tool], rounds: int, seconds: float) -> dict[str, Any]:
    """Return for every tool its turns, or why it has none."""
    found: dict[str, Any] = {}
    for _ in range(rounds):
        for tool in players:
            if isinstance(found.get(tool.name), str):
                continue
            turn = tool.evaluate(case, seconds)
            if isinstance(turn, str):
                found[tool.name] = turn
            else:
                found.setdefault(tool.name, []).append(turn)
    return found


def median(turns: list[Turn]) -> float:
    """Return the median time, without the first run of every turn."""
    return statistics.median([time for turn in turns for time in turn.times[1:]])


def same(x: Any, y: Any) -> bool:
    """Return whether two outputs agree, by GradBench's own measure."""
    if isinstance(x, dict):
        return isinstance(y, dict) and x.keys() == y.keys() and all(same(x[k], y[k]) for k in x)
    if isinstance(x, list):
        return isinstance(y, list) and len(x) == len(y) and all(map(same, x, y))
    return abs(x - y) / max(1.0, abs(x) + abs(y)) <= SAME


def row(case: Case, found: dict[str, Any], names: list[str]) -> str:
    """Return one line of the table."""
    ours = found[OURS]
    if isinstance(ours, str):
        return f"{case.name:<28} ours failed: {ours}"
    time = median(ours)
    cells = [f"{case.name:<28} {time * 1e3:10.3f} {ours[0].times[0] * 1e3:10.1f}"]
    for name in names:
        theirs = found.get(name)
        if theirs is None:
            cells.append(f"{'-':>10}")
        elif isinstance(theirs, str):
            cells.append(f"{theirs[:10]:>10}")
        else:
            mark = "" if same(ours[0].output, theirs[0].output) else "!"
            cells.append(f"{mark + format(median(theirs) / time, '.3g'):>10}")
    return " ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path, help="the folder of a GradBench checkout")
    parser.add_argument("evals", nargs="*", help="only these evals")
    for name in ("jax", "pytorch"):
        parser.add_argument(
            f"--{name}", default=sys.executable, help="the interpreter of that tool"
        )
    parser.add_argument("--rounds", type=int, default=3, help="turns of every tool")
    parser.add_argument(
        "--seconds", type=float, default=0.3, help="how long a turn lasts, at least"
    )
    parser.add_argument(
        "--limit", type=float, default=60.0, help="seconds until a tool is given up"
    )
    chosen = parser.parse_intermixed_args()
    pythons = {"jax": chosen.jax, "pytorch": chosen.pytorch}
    players = tools(chosen.checkout.resolve(), pythons, chosen.limit)
    names = [tool.name for tool in players if tool.name != OURS]
    head = f"{'':<28} {'ours, ms':>10} {'first, ms':>10} " + " ".join(f"{x:>10}" for x in names)
    print("Times of the others, divided by ours; ! marks a result that differs.\n", head, sep="\n")
    module, playing = "", players
    try:
        for case in cases(chosen.checkout.resolve(), chosen.evals):
            if case.module != module:
                module, playing = case.module, [x for x in players if x.knows(case.module)]
            print(
                row(case, played(case, playing, chosen.rounds, chosen.seconds), names), flush=True
            )
    finally:
        for tool in players:
            tool.close()


if __name__ == "__main__":
    main()
