"""Photograph the pages that docs/teachers.md shows: a report, and the table of a class.

    python tools/report_pictures.py     write docs/images/report.png and docs/images/class.png

Needs playwright and a Chromium, whose path CHROMIUM may name. The report is on the program of the
page's first example, taken from there; the class is made of that program and of variants of it.
"""

from __future__ import annotations

import doctest
import os
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from chainrule.checking import diagnose, grade

DOCS = Path(__file__).parents[1] / "docs"
WIDTH = 900
VARIANTS = {
    "ada": [],
    "emmy": [("thetas[l])", "np.c_[np.zeros(len(thetas[l])), thetas[l][:, 1:]])"),
             ("* (1 - a[l])", "* a[l] * (1 - a[l])")],
    "grace": [("lam / m * thetas[l]", "lam * np.c_[np.zeros(len(thetas[l])), thetas[l][:, 1:]]"),
              ("* (1 - a[l])", "* a[l] * (1 - a[l])")],
    "karen": [("thetas[l])", "np.c_[np.zeros(len(thetas[l])), thetas[l][:, 1:]])"),
              ("* (1 - a[l])", "")],
    "mary": [("thetas[l])", "np.c_[np.zeros(len(thetas[l])), thetas[l][:, 1:]])"),
             (" * (1 - a[l])", "")],
    "sofia": [("    return gradients", "    return gradient")],
}  # fmt: skip
"""What each student has in place of something of the page's program."""


def first_program() -> str:
    """Return the source of the program that the page begins with."""
    examples = doctest.DocTestParser().get_examples((DOCS / "teachers.md").read_text("utf-8"))
    return "".join(example.source for example in examples[:3])


def report_page(text: str, folder: Path) -> Path:
    """Write the report on the program *text*."""
    names: dict[str, object] = {}
    exec(text, names)
    page = folder / "report.html"
    report = diagnose(names["backprop"], loss="logistic", lam=1.3, name="homework 4")
    page.write_text(report.html(), encoding="utf-8")
    return page


def class_page(text: str, folder: Path) -> Path:
    """Write the page on a class of students."""
    submissions = folder / "submissions"
    submissions.mkdir()
    for student, changes in VARIANTS.items():
        program = text
        for old, new in changes:
            program = program.replace(old, new)
        (submissions / f"{student}.py").write_text(program, encoding="utf-8")
    grade(submissions, function="backprop", loss="logistic", lam=1.3).write_html(folder / "class")
    return folder / "class" / "index.html"


def photograph(page: Page, path: Path, name: str, height: int) -> None:
    """Write the top of the page at *path* as a picture."""
    page.goto(path.as_uri())
    whole = page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": min(height, whole)}
    page.screenshot(path=DOCS / "images" / name, clip=clip, full_page=True)


def main() -> None:
    """Write both pictures."""
    browser_path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    text = first_program()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name)
        browser = driver.chromium.launch(executable_path=browser_path)
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        photograph(page, report_page(text, folder), "report.png", 1250)
        photograph(page, class_page(text, folder), "class.png", 1250)
        browser.close()


if __name__ == "__main__":
    main()
