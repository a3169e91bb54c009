"""Measure the figures of the README and of other pages anew, and write them there.

python benchmarks/readme.py                          all but GradBench's
python benchmarks/readme.py --gradbench CHECKOUT     all
python benchmarks/readme.py eager gpt                some

A table of figures stands between ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``, and
nowhere else; each says on which machine, how busy it was, and with which command it was made.  What
is measured is measured by the benchmarks beside this file, in processes of their own: here their
tables are read, and written down as Markdown.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- figures: {} -->\n", "<!-- end of figures -->"


def printed(*command: str) -> str:
    """Return what a benchmark prints, and let it be seen on the way."""
    with subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print("   ", line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed")
    return "".join(lines)


def machine(load: float, *packages: str) -> str:
    """Return where and when it was measured, and how busy the machine was before."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        model = found[1].strip() if found else model
    versions = [f"CPython {platform.python_version()}"]
    for package in ("numpy", *packages):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"without {package}")
    return (
        f"{datetime.date.today()}, {model}, {os.cpu_count()} cores, load {load:.1f} by others; "
        f"{', '.join(versions)}"
    )


def short(x: float) -> str:
    """Return *x* with three digits that count, and not as a power of ten."""
    return f"{float(f'{x:.3g}'):,.0f}" if x >= 100 else f"{x:.3g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def eager(_: Path | None) -> tuple[str, tuple[str, ...]]:
    """Return what one scalar operation costs, forward and backward."""
    return operations(printed("-m", "chainrule", "bench")), ("torch", "micrograd")


def operations(text: str) -> str:
    """Return the table of what ``chainrule bench`` prints, of the network with most samples."""
    part = text.split("tanh, 50 samples")[1].split("\n\n")[0]
    rows = re.findall(r"^(\S.*?) {2,}([\d.]+) +([\d.]+) +[\d.]+$", part, re.MULTILINE)
    shown = [
        [name.replace("_", r"\_"), short(float(ns)), short(float(ratio))]
        for name, ns, ratio in rows
    ]
    return table(["2-16-16-1, tanh, 50 samples", "ns per operation", "of plain floats"], shown)


BATCHES = (1, 32, 256, 1797)
COLUMNS = ["batch", "by hand", "loosely", "printed", "in NumPy", "compiled", "/print", "/hand"]
COLUMNS += ["/loose", "products", "PyTorch", "JAX jit", "JAX+NumPy"]
COMPILED = {
    "`cr.compile(loss).value_and_grad`": "compiled",
    "NumPy by hand: `backprop.gradients` without its checks": "by hand",
    "NumPy by hand with a(1 - a), which is 0 in the tails": "loosely",
    "PyTorch": "PyTorch",
    "JAX, `jit`, arrays on its device": "JAX jit",
    "JAX, `jit`, NumPy arrays in and out": "JAX+NumPy",
}


def compiled(_: Path | None) -> tuple[str, tuple[str, ...]]:
    """Return what a compiled network of scalar neurons takes, beside matrix code."""
    script = f"sys.path.insert(0, 'benchmarks'); import compiled; compiled.networks({BATCHES})"
    return networks(printed("-c", f"import sys; {script}")), ("torch", "jax")


def networks(text: str) -> str:
    """Return the table of what ``benchmarks/compiled.py`` prints of the network."""
    lines = [line for line in text.splitlines() if line.strip()]
    if lines[1].split() != " ".join(COLUMNS).split():
        raise ValueError(f"the columns of benchmarks/compiled.py are others now: {lines[1]}")
    cells = [line.split() for line in lines[2:] if line.split()[0].isdigit()]
    by_name = {name: [line[i] for line in cells] for i, name in enumerate(COLUMNS)}
    rows = [
        [words, *(x if x == "-" else short(float(x)) for x in by_name[name])]
        for words, name in COMPILED.items()
    ]
    head = "64-32-10, the loss and 2,410 derivatives: microseconds for a batch of"
    return table([head, *(line[0] for line in cells)], rows)


def league(checkout: Path | None) -> tuple[str, tuple[str, ...]]:
    """Return GradBench's evals: how many times our time the others take."""
    return evals(printed("benchmarks/gradbench/league.py", str(checkout))), ("jax", "torch")


def evals(text: str) -> str:
    """Return the table of what the league prints: for each eval and tool the geometric mean.

    A case counts for a tool if it gave the same result in time.
    """
    head, *lines = text[text.index("ours, ms") :].splitlines()
    tools = head.split("first, ms")[1].split()
    found: dict[str, list[list[str]]] = {}
    for line in lines:
        if line.strip() and "failed" not in line:
            cells = [line[len(line) - 11 * i :][:11].strip() for i in range(len(tools), 0, -1)]
            found.setdefault(line.split()[0], []).append(cells)
    rows = []
    for name, cases in found.items():
        means = []
        for column in zip(*cases, strict=True):
            numbers = [float(x) for x in column if re.fullmatch(r"\d[\d.]*(e[+-]\d+)?", x)]
            mean = math.exp(sum(map(math.log, numbers)) / len(numbers)) if numbers else 0.0
            means.append(f"{mean:.2g}" if numbers else "-")
            if 0 < len(numbers) < len(cases):
                means[-1] += f" (of {len(numbers)})"
        rows.append([name, str(len(cases)), *means])
    return table(["eval", "cases", *tools], rows)


def gpt(_: Path | None) -> tuple[str, tuple[str, ...]]:
    """Return the GPT's table of four speeds."""
    text = printed("-c", "from chainrule.demos import gpt; gpt.four_speeds(0)")
    return f"```text\n{text}```\n", ()


FIGURES: dict[str, tuple[str, Callable[[Path | None], tuple[str, tuple[str, ...]]]]] = {
    "eager": ("README.md", eager),
    "compiled": ("README.md", compiled),
    "league": ("README.md", league),
    "gpt": ("docs/learn/gpt.md", gpt),
}
"""The page of every table, and who measures it."""


def replaced(page: str, name: str, text: str) -> str:
    """Return *page* with *text* as the figures *name*; ValueError if they have no place on it."""
    begin = BEGIN.format(name)
    before, found, rest = page.partition(begin)
    _, end, after = rest.partition(END)
    if not (found and end):
        raise ValueError(f"no place for {name}: expected {begin.strip()} and {END}")
    return f"{before}{begin}\n{text}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*FIGURES, []], help="which; all if none")
    parser.add_argument("--gradbench", type=Path, help="a checkout of GradBench, for the league")
    chosen = parser.parse_args()
    for name in chosen.names or FIGURES:
        if name == "league" and chosen.gradbench is None:
            print("league: left as it is; --gradbench CHECKOUT measures it")
            continue
        page, measure = FIGURES[name]
        print(f"{name}, for {page}:")
        load = os.getloadavg()[0]
        figures, packages = measure(chosen.gradbench)
        path = ROOT / page
        command = f"python benchmarks/readme.py {name}"
        if name == "league":
            command += " --gradbench CHECKOUT"
        said = f"{figures}\nMeasured {machine(load, *packages)}: `{command}`."
        path.write_text(replaced(path.read_text(encoding="utf-8"), name, said), encoding="utf-8")


if __name__ == "__main__":
    main()
