"""``Page``: one HTML file that needs nothing else, from data and the modules of this folder.

The modules are joined into one script, each in a function of its own.  The policy in the head of
the page names the script and the style by their hashes and forbids everything else: no request is
ever made, and nothing that stands in a label can run.  Data is JSON inside an element that is never
executed, and every text reaches the page through ``textContent``.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..drawing import Drawing, target_of, write

_FOLDER = Path(__file__).parent
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_COMMENT = re.compile(r"^ *(?:/\*\*(?:[^*]|\*(?!/))*\*/|//.*)\n", re.MULTILINE)
_SAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class Page:
    """A page to play with: show it in a notebook, save it, or take its HTML.

    >>> from chainrule import Value, viz
    >>> x = Value(3.0, "x")
    >>> page = viz.explore(x * x)
    >>> page
    <Page: Computation graph>
    >>> page.html.startswith("<!doctype html>")
    True
    """

    __module__ = "chainrule.viz"

    def __init__(
        self, title: str, kind: str, data: Mapping[str, Any], *, height: int, picture: Drawing
    ) -> None:
        self.title = title
        self.height = height
        self._kind = kind
        self._data = {"title": title, **data}
        self._picture = picture

    @functools.cached_property
    def html(self) -> str:
        """The page as one HTML document."""
        style, script = _source("page.css"), bundle(self._kind)
        policy = (
            f"default-src 'none'; script-src '{digest(script)}'; style-src '{digest(style)}'; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        )
        parts = {
            "policy": policy,
            "title": html.escape(self.title),
            "style": style,
            "body": _source(f"{self._kind}.html"),
            "data": as_json(self._data),
            "script": script,
        }
        return re.sub(r"%(\w+)%", lambda match: parts[match[1]], _source("page.html"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file whose name ends in .html; ValueError for any other suffix.

        The file is written whole or not at all.
        """
        target = target_of("Page.save", path, [".html"])
        write(target, self.html.encode(), "Page.save")

    def _repr_html_(self) -> str:
        # Scripts run in an origin of their own: they cannot reach the notebook around them.
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" width="100%" '
            f'height="{self.height}" style="border:0" srcdoc="{html.escape(self.html)}"></iframe>'
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {
            "text/plain": repr(self),
            "text/html": self._repr_html_(),
            "image/svg+xml": self._picture.svg,  # for exports that cannot show HTML
        }

    def __repr__(self) -> str:
        return f"<Page: {self.title}>"


def as_json(data: Any) -> str:
    r"""Return *data* as JSON that may stand inside an HTML element.

    >>> as_json("</script>")
    '"\\u003c/script\\u003e"'
    """
    return json.dumps(data, allow_nan=False, separators=(",", ":")).translate(_SAFE)


def digest(text: str) -> str:
    """Return the hash of a script or style, as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@functools.cache
def _source(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8").strip()


@functools.cache
def bundle(kind: str) -> str:
    """Return the modules that the page of a *kind* needs as one script.

    >>> bundle("graph").count("const rows = (() => {")
    1
    """
    order: list[str] = []

    def visit(name: str) -> None:
        for match in _IMPORT.finditer(_source(f"{name}.js")):
            if match[2] not in order:
                visit(match[2])
        order.append(name)

    visit(f"{kind}-page")
    run = 'start(JSON.parse(document.getElementById("data").textContent));'
    parts = [_module(name) for name in order]
    return "\n".join(['"use strict";', *parts, f"{_variable(order[-1])}.{run}"])


def _module(name: str) -> str:
    text = _source(f"{name}.js") + "\n"
    exported = [match[1] for match in _EXPORT.finditer(text)]
    text = _IMPORT.sub(lambda m: f"const {{{m[1]}}} = {_variable(m[2])};", text)
    text = _COMMENT.sub("", _EXPORT.sub("", text))
    body = re.sub(r"\n{2,}", "\n", text).strip()
    return f"const {_variable(name)} = (() => {{\n{body}\nreturn {{{', '.join(exported)}}};\n}})();"


def _variable(name: str) -> str:
    return name.replace("-", "_")
