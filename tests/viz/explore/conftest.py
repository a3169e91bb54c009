"""A real browser for the tests: the chromium on the PATH, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class Browser:
    """A browser whose pages tell what went wrong in them."""

    def __init__(self, chromium, folder):
        self.chromium, self.folder, self.problems = chromium, folder, []

    def open(self, page, fragment="", width=1280, height=900, **options):
        """Return the tab in which *page* (a viz Page, or HTML) was opened from a file."""
        tab = self.chromium.new_page(viewport={"width": width, "height": height}, **options)
        tab.on("pageerror", lambda error: self.problems.append(str(error)))
        tab.on("console", lambda message: self.problems.append(message.text))
        tab.on("dialog", lambda dialog: self.problems.append(dialog.message))
        tab.on("requestfinished", lambda request: self.asked(request.url))
        tab.on("requestfailed", lambda request: self.failed(request))
        self.show(tab, page, fragment)
        return tab

    def show(self, tab, page, fragment=""):
        """Open *page* in a *tab* that is open already, which takes less time."""
        path = self.folder / "page.html"
        path.write_text(page if isinstance(page, str) else page.html, encoding="utf-8")
        tab.goto(path.as_uri() + fragment)

    def failed(self, request):
        if request.failure != "csp":  # the policy let it go
            self.problems.append(f"asked for {request.url}: {request.failure}")

    def asked(self, url):
        if not url.startswith((self.folder.as_uri(), "about:srcdoc")):
            self.problems.append(f"asked for {url}")


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright (nox -s browser)"
    )
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs the browser chromium on the PATH")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def browser(chromium, tmp_path):
    found = Browser(chromium, tmp_path)
    yield found
    for context in chromium.contexts:
        context.close()
    assert found.problems == []


def axe_finds(tab):
    """Return what axe finds in *tab*, light and dark, on a screen and on a phone.

    What does not depend on colours is looked for in the light only.
    """
    axe = os.environ.get("CHAINRULE_AXE")
    if not axe:
        pytest.skip("CHAINRULE_AXE is not set to the axe.min.js of npm's axe-core")
    tab.evaluate(Path(axe).read_text(encoding="utf-8"))
    found = []
    for width in (1280, 360):
        tab.set_viewport_size({"width": width, "height": 900})
        if not tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"):
            found.append((width, "scrolls sideways"))
        for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
            tab.emulate_media(color_scheme=scheme)
            tab.wait_for_function("(scheme) => document.documentElement.dataset.theme === scheme",
                                  arg=scheme)  # fmt: skip
            violations = tab.evaluate("async (rules) => (await axe.run(rules)).violations", rules)
            found += [(width, scheme, v["id"], [n["html"] for n in v["nodes"]]) for v in violations]
    return found
