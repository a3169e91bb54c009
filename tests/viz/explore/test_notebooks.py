"""Notebooks that are executed, and what is kept of them when they are exported."""

from __future__ import annotations

import re

import pytest

reason = "needs Jupyter (nox -s browser)"
nbformat = pytest.importorskip("nbformat", reason=reason)
nbclient = pytest.importorskip("nbclient", reason=reason)
nbconvert = pytest.importorskip("nbconvert", reason=reason)
pytest.importorskip("ipykernel", reason=reason)

# What Jupyter's own packages warn of is theirs.
pytestmark = pytest.mark.filterwarnings("default")

CELLS = {
    "value": "import chainrule as cr\nfrom chainrule import nn, viz\n"
    "w, x, b = cr.Value(-3.0, 'w'), cr.Value(2.0, 'x'), cr.Value(6.88, 'b')\n"
    "out = cr.tanh(w * x + b); out.backward(); out",
    "graph": "viz.draw(out)",
    "page": "viz.explore(out)",
    "model": "model = nn.MLP(2, [3, 1], activation='tanh', seed=0); model",
    "trace": "trace = model.trace([0.5, -1.0]); trace",
    "network": "viz.draw_network(model, trace)",
    "network page": "viz.explore_network(model, [[0, 1], [1, 0]], [1, 0], loss='logistic')",
    "compiled": "cr.compile(lambda x: cr.tanh(w * x))",
    "check": "from chainrule import checking\nchecking.check_gradients(lambda t: t * t, 3.0)",
}
PAGES = "page", "network page"


@pytest.fixture(scope="module")
def executed():
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return notebook


@pytest.fixture(scope="module")
def outputs(executed):
    """The one output of each cell, as {kind: content}."""
    found = {}
    for name, cell in zip(CELLS, executed.cells, strict=True):
        (output,) = cell.outputs
        found[name] = dict(output.data)
    return found


@pytest.mark.parametrize("name", CELLS)
def test_each_cell_shows_something_short_as_text_and_something_good_in_a_browser(outputs, name):
    shown = outputs[name]
    assert len(shown["text/plain"]) < 200
    assert "text/html" in shown or "image/svg+xml" in shown


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_in_a_frame_that_cannot_reach_the_notebook(outputs, name):
    (tag,) = re.findall(r"<iframe [^>]*>", outputs[name]["text/html"])
    assert 'sandbox="allow-scripts"' in tag  # and not allow-same-origin
    assert int(re.search(r'height="(\d+)"', tag)[1]) >= 400
    assert outputs[name]["image/svg+xml"].startswith("<svg")  # for exports on paper


@pytest.fixture(scope="module")
def exported(executed):
    """The notebook as HTML, without what Jupyter loads for itself."""
    body, _ = nbconvert.HTMLExporter(template_name="basic").from_notebook_node(executed)
    return body


def test_an_export_to_html_keeps_pages_and_pictures(exported):
    frames = re.findall(r"<iframe [^>]*>", exported)
    assert len(frames) == len(PAGES)
    assert all('sandbox="allow-scripts"' in tag for tag in frames)
    assert len(re.findall(r'<img [^>]*src="data:image/svg', exported)) == 2  # graph and network


def test_a_page_works_inside_the_export(exported, browser):
    tab = browser.open(exported)
    frame = tab.frame_locator("iframe").first
    field = frame.locator("#leaves input[type=text]").first
    before = frame.locator("#root-value").text_content()
    field.fill("1.0")
    field.press("Enter")
    assert frame.locator("#root-value").text_content() != before
