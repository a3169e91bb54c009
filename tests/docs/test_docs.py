"""The generated pages say what the code says now."""

import doctest
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from chainrule import cli

from .. import children

ROOT = Path(__file__).parents[2]


def test_the_generated_pages_are_up_to_date():
    children.printed("docs/build.py", "--check", cwd=ROOT)


def test_every_picture_that_a_page_shows_exists():
    for page in PAGES:
        for picture in re.findall(r"!\[[^\]]*\]\(([^):]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / picture).is_file(), (page.name, picture)


def test_every_picture_is_shown_on_a_page():
    shown = {
        (page.parent / picture).resolve()
        for page in PAGES
        for picture in re.findall(r"\]\(([^):]+\.(?:svg|png))\)", page.read_text(encoding="utf-8"))
    }
    there = [path for path in (ROOT / "docs" / "images").rglob("*") if path.is_file()]
    assert [path for path in there if path not in shown] == []


def test_the_readme_shows_what_the_checker_says_of_the_homework(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "teachers.md").read_text(encoding="utf-8")
    session = doctest.DocTestParser().get_examples(page)
    definitions = [x.source for x in session if x.source.startswith(("import", "def"))][:3]
    (tmp_path / "student.py").write_text("".join(definitions), encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command, shown = re.search(r"\$ chainrule (check .*)\n((?s:.*?))```", readme).groups()
    monkeypatch.chdir(tmp_path)
    assert cli.main(command.split()) == 1
    said = capsys.readouterr().out
    assert doctest.OutputChecker().check_output(shown, said, doctest.ELLIPSIS), said


ROOMS = [ROOT, ROOT / "docs", ROOT / "chainrule", ROOT / "benchmarks", ROOT / "demos"]
PAGES = sorted({*ROOT.glob("*.md"), *(page for room in ROOMS[1:] for page in room.rglob("*.md"))})


@pytest.mark.text_alone
def test_the_page_of_the_house_names_every_file():
    """A folder of mistakes has a file for each category, and its README says so."""
    package = ROOT / "chainrule"
    pages = [ROOT / "docs" / "architecture.md", *package.rglob("README.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    named = set(
        re.findall(r"\w+", "\n".join(re.findall(r"`[^`\n]+`|^ {4}.*$", text, re.MULTILINE)))
    )
    files = [
        path
        for path in package.rglob("*.py")
        if path.parent.name != "mistakes" and not path.stem.startswith("__")
    ]
    assert [str(path) for path in files if path.stem not in named] == []


def rendered(page):
    return MarkdownIt("commonmark").enable("table").render(page.read_text(encoding="utf-8"))


def without_code(html, mark=""):
    return re.sub(r"<(pre|code)\b.*?</\1>", mark, html, flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_an_example_on_a_page_is_shown_as_code(page):
    outside_code = without_code(rendered(page))
    assert "<blockquote>" not in outside_code  # what ">>>" in column 0 becomes
    assert "&gt;&gt;&gt;" not in outside_code
    assert "```" not in outside_code  # a fence that was not closed, or was opened within a line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_formula_is_kept_from_markdown(page):
    # A forge takes $`...`$ for mathematics; of $...$, Markdown eats the strokes in \\, and \\\\.
    html = rendered(page)
    assert "$" not in without_code(html.replace("$<code>", "<code>").replace("</code>$", "</code>"))
    assert not re.search(r"\\[a-zA-Z]+", without_code(html))  # a command of LaTeX as text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_forge_shows_every_cell_of_a_table_and_no_markup_as_text(page):
    text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table  # a | in a formula would end its cell
    # GitHub shows these tags as text, and others not at all.
    shown = set(re.findall(r"<([a-z]+)", without_code(text)))
    assert not shown & {"iframe", "script", "style", "title", "textarea", "xmp", "noembed"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r'<(?:a|img)\b[^>]* (?:href|src)="([^"#]+)', rendered(page)):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target
