"""``Drawing``: the result of ``viz.draw`` and ``viz.draw_network``; makes files on demand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from ..nn.files import path_of, write_whole
from .circuit import Circuit
from .geometry import Layout
from .matrices import Matrices
from .network import Network
from .theme import Theme, checked_theme


class Drawing:
    """A picture that you can show in a notebook, save, or take as text.

    ``diagram`` is what it shows, as plain data, fixed when the drawing was made; ``theme`` is
    ``"light"``, ``"dark"`` or ``"auto"``.

    >>> from chainrule import Value, viz
    >>> x = Value(3.0, "x")
    >>> drawing = viz.draw(x * x)
    >>> drawing
    <Drawing: Computation graph>
    >>> len(drawing.diagram.edges)
    2
    """

    __module__ = "chainrule.viz"

    def __init__(
        self,
        diagram: Circuit | Network | Matrices,
        theme: Theme = "light",
        layout: Layout | None = None,
    ) -> None:
        if not isinstance(diagram, (Circuit, Network, Matrices)):
            raise TypeError(
                f"Drawing: expected a Circuit, Network or Matrices, not {type(diagram).__name__}: "
                "viz.draw(value) and viz.draw_network(model) make drawings"
            )
        self.diagram = diagram
        self._layout = layout
        self.theme = checked_theme("Drawing", theme)

    @cached_property
    def dot(self) -> str:
        """The picture in Graphviz's DOT language: labels, and the colours of the light theme."""
        from . import dot

        if isinstance(self.diagram, Network):
            return dot.network_dot(self.diagram)
        if isinstance(self.diagram, Matrices):
            return dot.matrices_dot(self.diagram)
        return dot.circuit_dot(self.diagram)

    @cached_property
    def svg(self) -> str:
        """The picture as an SVG document, in the drawing's theme."""
        return self._svg(self.theme)

    def _svg(self, theme: Theme) -> str:
        from . import cells, layered, svg

        if isinstance(self.diagram, Network):
            return svg.network_svg(self.diagram, theme)
        if isinstance(self.diagram, Matrices):
            return cells.matrices_svg(self.diagram, theme)
        return svg.circuit_svg(self.diagram, self._layout or layered.lay_out(self.diagram), theme)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the drawing to a file: as SVG, PNG, PDF or DOT, according to the suffix of *path*.

        PNG and PDF need what ``python3 -m pip install 'chainrule[export]'`` installs, and no other
        program: ImportError without it.  A PNG has two pixels for each unit of length of the SVG; a
        PDF is made of curves and text, not of pixels.  Neither can follow a reader's system, so
        ``theme="auto"`` is light in them.

        ValueError for any other suffix.  The file is written whole or not at all: nothing is left
        behind if the drawing cannot be made.
        """
        makers: dict[str, Callable[[], bytes]] = {
            ".svg": lambda: self.svg.encode(),
            ".png": self._png,
            ".pdf": self._pdf,
            ".dot": lambda: self.dot.encode(),
        }
        target = target_of("Drawing.save", path, makers)
        write(target, makers[target.suffix.lower()](), "Drawing.save")

    def _fixed(self) -> str:
        return self._svg("light") if self.theme == "auto" else self.svg

    def _png(self) -> bytes:
        from . import export

        return export.png(self._fixed())

    def _pdf(self) -> bytes:
        from . import export

        return export.pdf(self._fixed())

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<Drawing: {self.diagram.title}>"


def target_of(caller: str, path: Any, suffixes: Iterable[str]) -> Path:
    """Return *path* as a Path; ValueError, which names *caller*, for any but these *suffixes*."""
    target, known = path_of(caller, path), list(suffixes)
    if target.suffix.lower() not in known:
        *others, last = known
        expected = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(
            f"{caller}({str(path)!r}): the suffix {target.suffix!r} is not known; expected a path "
            f"that ends in {expected}"
        )
    return target


def write(target: Path, contents: bytes, caller: str) -> None:
    """Make *contents* those of the file *target*, whole or not at all."""
    if target.exists() and not target.is_file():  # a device such as /dev/stdout
        target.write_bytes(contents)
    else:
        write_whole(target, contents, caller)
