"""Formulas as MathML, made when the site is built: browsers show it, and nothing is loaded."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx


def show(writer: Any, node: nodes.Element) -> None:
    """Write a formula, inline or as a block of its own, with its LaTeX for those who copy it."""
    block = isinstance(node, nodes.math_block)
    latex = node.astext()
    formula = convert(latex, display="block" if block else "inline")
    writer.body.append(f'<span class="math" data-latex="{writer.attval(latex)}">{formula}</span>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Take the place of what would leave LaTeX to a script."""
    app.add_html_math_renderer("mathml", (show, None), (show, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
