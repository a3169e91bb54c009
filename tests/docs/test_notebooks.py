"""The learner's notebooks are made from the pages, run from top to bottom, and open in marimo."""

import json
from pathlib import Path

import pytest

from .. import children

reason = "needs Jupyter, jupytext and marimo (nox -s browser)"
nbformat = pytest.importorskip("nbformat", reason=reason)
nbclient = pytest.importorskip("nbclient", reason=reason)
pytest.importorskip("ipykernel", reason=reason)
pytest.importorskip("jupytext", reason=reason)
pytest.importorskip("marimo", reason=reason)

# What Jupyter's own packages warn of is theirs.
pytestmark = pytest.mark.filterwarnings("default")

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "learn" / "notebooks").glob("*.ipynb"))


def test_the_notebooks_say_what_the_pages_say():
    children.printed("tools/notebooks.py", "--check", cwd=ROOT)
    pages = {page.stem for page in (ROOT / "docs" / "learn").glob("*.md")} - {"index"}
    assert {notebook.stem for notebook in NOTEBOOKS} == pages


def test_every_notebook_runs_from_top_to_bottom():
    # In one kernel, which takes a second or two to start, and forgets all names before each.
    together = nbformat.v4.new_notebook()
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") for cell in notebook.cells)
        together.cells += [nbformat.v4.new_code_cell("%reset -f"), *notebook.cells]
    nbclient.NotebookClient(together, timeout=120, kernel_name="python3").execute()
    for cell in together.cells:
        # What the page shows as <Drawing: ...> is a picture here.
        pictures = sum("image/svg+xml" in json.dumps(o) for o in cell.get("outputs", []))
        assert pictures == (cell.cell_type == "code" and "viz.draw" in cell.source), cell.source


def test_every_notebook_becomes_one_of_marimo_that_runs(tmp_path):
    # In one process, which imports marimo once.
    program = """
import runpy, sys
from pathlib import Path
for path in map(Path, sys.argv[1:]):
    print(path.stem, file=sys.stderr)
    made = path.stem.replace("-", "_") + ".py"
    sys.argv = ["marimo", "convert", str(path), "-o", made]
    try:
        runpy.run_module("marimo", run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, ended.code
    sys.argv = [made]
    runpy.run_path(made, run_name="__main__")  # two cells that define one name would fail
    print("ran", path.stem)
"""
    said = children.printed("-c", program, *NOTEBOOKS, cwd=tmp_path).splitlines()
    assert [path.stem for path in NOTEBOOKS if f"ran {path.stem}" not in said] == []
