"""Runs the page's modules in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from chainrule import viz

SOURCES = Path(viz.__file__).parent / "explore"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node (the program node on the PATH)")


def ask(script, cases, folder):
    """Return what *script*, a module of this folder, answers to each of *cases*.

    It runs in *folder*, beside a copy of the page's modules.
    """
    for source in SOURCES.glob("*.js"):
        shutil.copy(source, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(Path(__file__).with_name(script), folder)
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run(
        [NODE, script], cwd=folder, input=lines, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(cases)
    return answers


def number(x):
    """Return a number that was written as text where JSON has none for it."""
    return (
        float(x.replace("Infinity", "inf").replace("NaN", "nan"))
        if isinstance(x, str)
        else float(x)
    )
