"""The generated pages say what the code says now."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_the_generated_pages_are_up_to_date():
    finished = run("docs/build.py", "--check")
    assert finished.returncode == 0, finished.stderr


def test_every_picture_that_a_page_shows_exists():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for line in page.read_text(encoding="utf-8").splitlines():
            if "](docs/images/" in line or "](images/" in line:
                picture = line.partition("](")[2].partition(")")[0]
                assert (page.parent / picture).is_file(), (page.name, picture)


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_an_example_on_a_page_is_shown_as_code(page):
    html = MarkdownIt("commonmark").enable("table").render(page.read_text(encoding="utf-8"))
    outside_code = re.sub(r"<(pre|code)\b.*?</\1>", "", html, flags=re.DOTALL)
    assert "<blockquote>" not in outside_code  # what ">>>" in column 0 becomes
    assert "&gt;&gt;&gt;" not in outside_code
    assert "```" not in outside_code  # a fence that was not closed, or was opened within a line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_to_a_file_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(
        r"\]\(([^)#]+)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    ):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target
