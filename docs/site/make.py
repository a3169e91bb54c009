"""Build the site: the pages of this repository, the reference, and the pages to play with.

python docs/site/make.py OUT            the site, as HTML, in the folder OUT
python docs/site/make.py OUT --links    look at the links that lead elsewhere, too

The pages stay what they are, Markdown that a forge shows and that runs as tests.  They are staged
as they lie in the repository, so that links from one to another hold, and only what Sphinx reads
differently is changed on the way: see :func:`for_the_site`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import reference

import chainrule as cr
from chainrule import nn, viz

ROOT = Path(__file__).parents[2]
ADDRESS = "https://chainrule.github.io/chainrule/"
FORGE = "https://github.com/chainrule/chainrule/blob/main/"

MENU = {
    "Learn": [
        "docs/learn/index",
        "docs/learn/multiplication",
        "docs/learn/chain-rule",
        "docs/learn/neuron",
        "docs/learn/network",
        "docs/learn/training",
        "docs/learn/engine",
        "docs/learn/gpt",
    ],
    "Teach": [
        "docs/teachers",
        "docs/mistakes",
        "docs/engines",
        "docs/engine-mistakes",
        "docs/layers",
        "docs/notes",
        "docs/fair-play",
    ],
    "Use": [
        "docs/questions",
        "docs/engineers",
        "docs/scipy",
        "docs/simulations",
        "docs/microcontroller",
        "docs/array-libraries",
        "docs/scaling",
        "docs/primitives",
        "docs/comparison",
    ],
    "See": ["docs/pictures", "docs/gallery", "docs/explore"],
    "Contribute": ["docs/walk", "docs/architecture", "docs/compiler", "CONTRIBUTING", "CHANGELOG"],
    "Look up": ["reference/index"],
}
"""The pages by who wants them; what no list has is put under Contribute."""


def pages() -> list[Path]:
    """Return every page of the repository that is for readers, by its place in it."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("chainrule/**/*.md")]
    found += ROOT.glob("benchmarks/**/*.md")
    return sorted(path.relative_to(ROOT) for path in found)


# --- pages to play with ---------------------------------------------------------------------------


def _product() -> viz.Page:
    a, b, c = cr.Value(5.0, "a"), cr.Value(3.0, "b"), cr.Value(2.0, "c")
    return viz.explore(3 * (a + b * c), title="j = 3 (a + b c)")


def _twice() -> viz.Page:
    x = cr.Value(3.0, "x")
    return viz.explore(x * x + x, title="y = x x + x")


def _neuron() -> viz.Page:
    w, x, b = cr.Value(-3.0, "w"), cr.Value(2.0, "x"), cr.Value(6.88, "b")
    return viz.explore(cr.tanh(w * x + b), title="y = tanh(w x + b)")


def _network() -> viz.Page:
    model = nn.MLP(2, [4, 1], activation="tanh", output_activation="sigmoid", seed=1)
    X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]
    return viz.explore_network(model, X, Y, loss="half_squared_error", title="A network learns XOR")


LIVE: dict[str, Callable[[], viz.Page]] = {
    "product": _product,
    "twice": _twice,
    "neuron": _neuron,
    "network": _network,
}
"""The pages that stand at ADDRESS/live/NAME.html."""


# --- staging --------------------------------------------------------------------------------------

CODE = re.compile(r"(^ *(?P<fence>`{3,}).*?^ *(?P=fence)$)", flags=re.MULTILINE | re.DOTALL)
PICTURE_OF_A_PAGE = re.compile(
    r"\[!\[(?P<alt>[^\]]*)\]\([^)]*\)\]\(" + re.escape(ADDRESS) + r"live/(?P<name>\w+)\.html\)"
)


def for_the_site(text: str, page: Path) -> str:
    """Return *text*, the page that lies at *page* in the repository, as Sphinx is to read it.

    - a formula, ``$`x`$`` for a forge, is ``$x$``;
    - a picture that leads to a page to play with is that page, in a frame;
    - a link to a file that is not a page leads to the forge.
    """
    parts = CODE.split(text)
    # What CODE.split gives: text, a block of code, its fence, text, ...
    parts[::3] = [_outside_code(part, page) for part in parts[::3]]
    del parts[2::3]
    # An empty line ends a session for doctest; on a page it is only a gap.
    parts[1::2] = [re.sub(r"\n\n( *`+)$", r"\n\1", part) for part in parts[1::2]]
    return "".join(parts)


def _outside_code(text: str, page: Path) -> str:
    up = "../" * len(page.parent.parts)

    def frame(match: re.Match[str]) -> str:
        at, alt = f"{up}live/{match['name']}.html", " ".join(match["alt"].split())
        return (
            f'<iframe src="{at}" title="{alt}" loading="lazy" width="100%" height="640" '
            f'style="border: 1px solid #8884"></iframe>\n\n<a href="{at}">The page by itself</a>'
        )

    def link(match: re.Match[str]) -> str:
        target, mark, place = match["target"].partition("#")
        there = (ROOT / page.parent / target).resolve()
        if not target or not there.exists() or there.suffix in {".svg", ".png"}:
            return match[0]  # Sphinx says if it leads nowhere
        inside = there.relative_to(ROOT)
        if inside == Path("README.md"):
            return f"]({up}index.md{mark}{place})"
        return match[0] if inside in pages() else f"]({FORGE}{inside.as_posix()}{mark}{place})"

    text = re.sub(r"\$`([^`]+)`\$", r"$\1$", text)
    text = PICTURE_OF_A_PAGE.sub(frame, text)
    live = rf"\[([^\[\]]*)\]\({re.escape(ADDRESS)}live/(\w+\.html)\)"
    text = re.sub(live, rf'<a href="{up}live/\2">\1</a>', text)
    return re.sub(r"\]\((?P<target>[^):]+)\)", link, text)


def menu() -> str:
    """Return the table of contents: every page is in it."""
    there = {path.with_suffix("").as_posix() for path in pages()} - {"README"}
    listed = {name for names in MENU.values() for name in names}
    rest = sorted(there - listed)
    parts = []
    for caption, names in MENU.items():
        lines = [name for name in names if name in there or name.startswith("reference/")]
        lines += rest if caption == "Contribute" else []
        parts.append(f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(lines))
    return "\n```\n\n".join([*parts, ""])


def stage(folder: Path) -> None:
    """Write into *folder* what Sphinx reads."""
    shutil.rmtree(folder, ignore_errors=True)
    for page in pages():
        there = folder / ("index.md" if page == Path("README.md") else page)
        there.parent.mkdir(parents=True, exist_ok=True)
        text = for_the_site((ROOT / page).read_text(encoding="utf-8"), page)
        if there == folder / "index.md":
            text += "\n" + menu()
        there.write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "docs" / "images", folder / "docs" / "images")
    for name, text in reference.pages().items():
        (folder / "reference").mkdir(exist_ok=True)
        (folder / "reference" / f"{name}.rst").write_text(text, encoding="utf-8")
    live = folder / "extra" / "live"
    live.mkdir(parents=True)
    for name, made in LIVE.items():
        made().save(live / f"{name}.html")
    for name in ("conf.py", "mathematics.py"):
        shutil.copy(Path(__file__).parent / name, folder)


def main(out: Path, *, links: bool = False) -> None:
    """Stage the pages and let Sphinx make the site; a warning is an error."""
    staged = out.resolve().with_name(out.name + "-staged")
    stage(staged)
    for builder in ("html", *(["linkcheck"] if links else [])):
        there = out if builder == "html" else out / "links"
        command = ["-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", builder]
        subprocess.run([sys.executable, *command, str(staged), str(there)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), links="--links" in sys.argv[2:])
