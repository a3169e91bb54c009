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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    # What the page shows as <Drawing: ...> is a picture here.
    pictures = sum("viz.draw" in cell.source for cell in notebook.cells if "outputs" in cell)
    assert sum("image/svg+xml" in json.dumps(o) for o in outputs) == pictures


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_becomes_one_of_marimo_that_runs(path, tmp_path):
    made = tmp_path / "notebook.py"
    children.printed("-m", "marimo", "convert", path, "-o", made, cwd=tmp_path)
    children.printed(made, cwd=tmp_path)  # two cells that define one name would fail
