"""What mypy, strictly, and pyright see of the library in other people's code.

``user_code.py`` is a page that uses every room: nothing on it is reported.  ``mistakes.py`` is a
list of mistakes: each is reported, by both.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import chainrule

from .. import children

HERE = Path(__file__).parent
SOURCES = Path(chainrule.__file__).parents[1]
PAGES = ("user_code.py", "mistakes.py")


def said(*arguments, **options):
    done = children.run("-m", *arguments, **options)
    return done.stdout + done.stderr


def by_mypy(folder, cache):
    installed = "site-packages" in SOURCES.parts  # then mypy finds it by itself
    return said(
        "mypy", "--strict", "--config-file=", "--follow-imports=silent",
        "--cache-dir", str(cache), *PAGES, cwd=folder, MYPYPATH="" if installed else str(SOURCES),
    )  # fmt: skip


def by_pyright(folder, cache):
    settings = {"include": list(PAGES), "extraPaths": [str(SOURCES)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    return said("pyright", "--pythonpath", sys.executable, cwd=folder)


@pytest.fixture(scope="module", params=[by_mypy, by_pyright], ids=["mypy", "pyright"])
def reported(request, tmp_path_factory):
    """Return {page: {number of a line: what a checker says of it}}."""
    name = request.param.__name__.removeprefix("by_")
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed (dependency group: types)")
    folder = tmp_path_factory.mktemp(name)
    if name == "pyright":
        version = said("pyright", "--version", cwd=folder)
        if not re.match(r"pyright \d", version):
            pytest.skip(f"pyright fetches itself on its first run, and could not: {version[-200:]}")
    for page in PAGES:
        shutil.copy(HERE / page, folder)
    kept = getattr(request.config, "cache", None)  # there is none with -p no:cacheprovider
    output = request.param(folder, kept.mkdir("mypy") if kept else folder / "cache")
    found = {page: {} for page in PAGES}
    for page, line, what in re.findall(
        r"^.*?(\w+\.py):(\d+)(?::\d+)?(?: -|:) (error.*)$", output, re.M
    ):
        found[page][int(line)] = what
    assert found["mistakes.py"], output
    return found


def test_nothing_is_reported_on_a_page_of_user_code(reported):
    assert reported["user_code.py"] == {}


def test_every_planted_mistake_is_reported_and_nothing_else(reported):
    lines = (HERE / "mistakes.py").read_text(encoding="utf-8").splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert len(wrong) > 40
    missed = [lines[number - 1] for number in sorted(wrong - set(reported["mistakes.py"]))]
    assert missed == []
    extra = {n: what for n, what in reported["mistakes.py"].items() if n not in wrong}
    assert extra == {}


def test_the_page_of_user_code_runs():
    pytest.importorskip("typing_extensions")
    children.printed(HERE / "user_code.py")
