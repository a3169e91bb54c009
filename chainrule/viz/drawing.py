"""``Drawing``: the result of ``viz.draw`` and ``viz.draw_network``; makes DOT and SVG on demand."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from .circuit import Circuit
from .network import Network


class Drawing:
    """A picture that you can show in a notebook, save, or take as text.

    ``diagram`` is what it shows, as plain data, fixed when the drawing was made.

    >>> from chainrule import Value, viz
    >>> x = Value(3.0, "x")
    >>> drawing = viz.draw(x * x)
    >>> drawing
    <Drawing: Computation graph>
    >>> len(drawing.diagram.edges)
    2
    """

    __module__ = "chainrule.viz"

    def __init__(self, diagram: Circuit | Network) -> None:
        self.diagram = diagram

    @cached_property
    def dot(self) -> str:
        """The picture in Graphviz's DOT language, complete with colours and labels."""
        from . import dot

        if isinstance(self.diagram, Network):
            return dot.network_dot(self.diagram)
        return dot.circuit_dot(self.diagram)

    @cached_property
    def svg(self) -> str:
        """The picture as an SVG document, for light and dark backgrounds.

        Graphviz lays out the graph of a Value: :class:`GraphvizError` if it is missing.
        """
        from . import layout, svg

        if isinstance(self.diagram, Network):
            return svg.network_svg(self.diagram)
        return svg.circuit_svg(self.diagram, layout.lay_out(self.dot))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the drawing to a file, as SVG or DOT according to the suffix of *path*.

        ValueError for any other suffix.  Nothing is written if the drawing cannot be made.
        """
        target = Path(path)
        if target.suffix.lower() not in (".svg", ".dot"):
            raise ValueError(
                f"Drawing.save({str(path)!r}): the suffix {target.suffix!r} is not known; expected "
                "a path that ends in .svg or .dot"
            )
        text = self.svg if target.suffix.lower() == ".svg" else self.dot
        target.write_text(text, encoding="utf-8", newline="\n")

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<Drawing: {self.diagram.title}>"
