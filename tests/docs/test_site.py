"""The site: what it is made of is looked at here; ``nox -s site`` builds it and looks at that."""

import importlib
import importlib.util
import os
import re
import sys
import zlib
from pathlib import Path

import pytest

import chainrule as cr
from chainrule import backprop, checking, compiler, nn, viz

ROOT = Path(__file__).parents[2]
SITE = os.environ.get("CHAINRULE_SITE")
FACES = [cr, nn, nn.losses, nn.optim, backprop, viz, checking, compiler]


def loaded(name):
    """Return a module of docs/site, which is not a package."""
    path = ROOT / "docs" / "site" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference():
    return loaded("reference")


@pytest.fixture(scope="module")
def make(reference):
    return loaded("make")


def public_names():
    for face in FACES:
        for name in face.__all__:
            if getattr(face, name) not in FACES:
                yield face.__name__, name


def test_every_public_name_has_its_place_in_the_reference(reference):
    pages = reference.pages()
    for face, name in public_names():
        entries = re.findall(r"^\.\. [\w:]+:: (\w+)", pages[face], flags=re.MULTILINE)
        assert entries.count(name) == 1, (face, name)


def test_an_operation_is_there_with_its_derivative(reference):
    page = reference.pages()["chainrule"]
    _, _, entry = page.partition(".. py:function:: leaky_relu(x, slope=0.01)\n")
    assert entry.strip().startswith(":math:`\\operatorname{leaky\\_relu}")
    assert "function:: maximum(*values)" in page
    assert "function:: sin(x)\n\n   :math:`\\sin\\left(x\\right)`; derivative: :math:`\\cos" in page


def test_a_link_to_a_page_to_play_with_leads_to_one_that_is_made(make):
    linked = set()
    for page in make.pages():
        text = (ROOT / page).read_text(encoding="utf-8")
        linked |= set(re.findall(re.escape(make.ADDRESS) + r"live/(\w+)\.html", text))
    assert linked == make.LIVE.keys()


def test_every_page_is_in_the_menu(make):
    menu = make.menu()
    for page in make.pages():
        if page != Path("README.md"):
            assert f"\n{page.with_suffix('').as_posix()}\n" in menu
    assert set(re.findall(r"\n(docs/\S+)", menu)) <= {
        page.with_suffix("").as_posix() for page in make.pages()
    }


def test_a_page_is_in_the_menu_once(make):
    listed = [name for names in make.MENU.values() for name in names]
    assert sorted(listed) == sorted(set(listed))


def test_what_sphinx_reads_differently_is_changed_outside_code_alone(make):
    page = Path("docs/learn/index.md")
    written = (
        "A formula: $`a \\, b`$. [The table](../../demos/gpt.py), [a page](../pictures.md), "
        "[the front](../../README.md#speed).\n\n"
        "```pycon\n>>> '$`x`$ [The table](../../demos/gpt.py)'\n\n```\n\n"
        f"[![A picture](../images/graph.svg)]({make.ADDRESS}live/neuron.html)\n"
        f"Or [by itself]({make.ADDRESS}live/twice.html).\n"
    )
    read = make.for_the_site(written, page)
    assert "A formula: $a \\, b$." in read
    assert f"[The table]({make.FORGE}demos/gpt.py), [a page](../pictures.md)" in read
    assert "[the front](../../index.md#speed)" in read
    assert "```pycon\n>>> '$`x`$ [The table](../../demos/gpt.py)'\n```\n" in read
    assert '<iframe src="../../live/neuron.html" title="A picture"' in read
    assert 'Or <a href="../../live/twice.html">by itself</a>.' in read


def test_the_pages_to_play_with_are_pages(make):
    for name, made in make.LIVE.items():
        assert made().html.lower().startswith("<!doctype html>"), name


# --- the built site ------------------------------------------------------------------------------

built = pytest.mark.skipif(SITE is None, reason="needs the built site (nox -s site)")


def inventory():
    """Return the names that the site's index has: what other projects' pages can link to."""
    data = (ROOT / SITE / "objects.inv").read_bytes()
    head = data.index(b"zlib.\n") + len(b"zlib.\n")
    return {line.split()[0] for line in zlib.decompress(data[head:]).decode().splitlines()}


@built
def test_the_built_reference_has_every_public_name():
    missing = {f"{face}.{name}" for face, name in public_names()} - inventory()
    assert not missing


@built
def test_the_built_pages_have_nothing_that_leaked():
    pages = [p for p in (ROOT / SITE).rglob("*.html") if "live" not in p.parts]
    assert len(pages) > 40
    for page in pages:
        html = page.read_text(encoding="utf-8")
        text = re.sub(r"<(pre|code|script|style)\b.*?</\1>", "", html, flags=re.DOTALL)
        text = re.sub(r'<span class="math"[^>]*>.*?</math></span>', "", text, flags=re.DOTALL)
        assert "&gt;&gt;&gt;" not in text, page
        assert "```" not in text, page
        assert "$`" not in text, page
        assert not re.search(r"\\(frac|left|right|mathrm|sigma)\b", text), page


@built
def test_a_formula_is_mathml_and_a_page_loads_nothing_from_elsewhere():
    page = (ROOT / SITE / "docs" / "primitives.html").read_text(encoding="utf-8")
    assert page.count("<math ") > 150
    log = re.search(
        r"<mfrac>(<mrow>)?<mn>1</mn>(</mrow>)?(<mrow>)?<mi>x</mi>(</mrow>)?</mfrac>", page
    )
    assert log  # its derivative
    for path in (ROOT / SITE).rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)="([^"]+)"',
            path.read_text(encoding="utf-8"),
        )
        assert not [at for at in loaded if at.startswith(("http:", "https:", "//"))], path


@built
def test_the_built_site_can_be_searched_and_played_with():
    assert (ROOT / SITE / "searchindex.js").stat().st_size > 10_000
    page = (ROOT / SITE / "docs" / "learn" / "neuron.html").read_text(encoding="utf-8")
    (frame,) = re.findall(r'<iframe src="([^"]+)"', page)
    assert (ROOT / SITE / "docs" / "learn" / frame).resolve().is_file()
