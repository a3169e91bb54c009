"""Make the learner's notebooks from the pages: each example a cell, each paragraph as it stands.

python tools/notebooks.py            write docs/learn/notebooks/*.ipynb
python tools/notebooks.py --check    write nothing; exit status 1 if one is out of date

Needs jupytext.  The pages stay the only text.  A notebook has no results in it: whoever opens it
gets those of the version that is installed.
"""

from __future__ import annotations

import doctest
import json
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

import jupytext

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "learn"
NOTEBOOKS = PAGES / "notebooks"
FORGE = "https://github.com/chainrule/chainrule/blob/main/"
RAW = "https://raw.githubusercontent.com/chainrule/chainrule/main/"

FENCE = re.compile(r"^(?P<indent> *)```pycon\n(?P<code>.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<to>[^):]+)\)")
FIGURES = re.compile(r"<!-- figures: .*?<!-- end of figures -->", re.DOTALL)
OPENERS = re.compile(r"^\[Open in Colab\].*\n\n", re.MULTILINE)

INSTALL = """\
try:
    import chainrule
except ImportError:  # as on Colab
    import subprocess
    import sys

    source = "git+https://github.com/chainrule/chainrule"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)
"""


def notebook(page: str) -> dict[str, Any]:
    """Return the notebook of a page, as plain data.

    The markdown that jupytext reads is the page with its sessions as code.  What a session shows is
    left out, and so is a picture that the cell before it draws.
    """
    page = FIGURES.sub("(What was measured stands on the page.)", OPENERS.sub("", page))
    text = FENCE.sub(_cells, page)
    text = re.sub(r"(?<=\nviz)(\.draw[^\n]*\n```\n\n)!\[[^\]]*\]\([^)]*\)\n\n", r"\1", text)
    title, _, rest = text.partition("\n")
    text = f"{title}\n\n```python\n{INSTALL}```\n{rest}"
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [LINK.sub(_link, part) for part in parts[::2]]
    found = jupytext.reads("".join(parts), fmt="md")
    for number, cell in enumerate(found.cells):
        cell["id"] = f"cell-{number}"
        cell["metadata"] = {}
    found.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    found.nbformat_minor = 5
    return dict(json.loads(jupytext.writes(found, fmt="ipynb")))


def _cells(match: re.Match[str]) -> str:
    """Return a session as code, cut after each line that shows something."""
    cells = [""]
    for example in doctest.DocTestParser().get_examples(match["code"]):
        cells[-1] += example.source
        if example.want:
            cells.append("")
    return "\n\n".join(f"```python\n{cell}```" for cell in cells if cell)


def _link(match: re.Match[str]) -> str:
    there = posixpath.normpath(f"docs/learn/{match['to']}")
    return f"]({RAW}{there}?sanitize=true)" if there.endswith(".svg") else f"]({FORGE}{there})"


def notebooks() -> dict[Path, str]:
    """Return the text of every notebook: of each page but the first, which only lists them."""
    return {
        NOTEBOOKS / f"{page.stem}.ipynb": json.dumps(
            notebook(page.read_text(encoding="utf-8")), indent=1, ensure_ascii=False
        )
        + "\n"
        for page in sorted(PAGES.glob("*.md"))
        if page.stem != "index"
    }


def main() -> None:
    """Do what the command line says."""
    for path, text in notebooks().items():
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or json.loads(path.read_text(encoding="utf-8")) != json.loads(text):
            sys.exit(f"{path} is out of date: run python tools/notebooks.py")


if __name__ == "__main__":
    main()
