"""From SVG to PNG and PDF, by two packages whose wheels carry the same renderer, resvg.

Both belong to the extra ``export``; neither needs a program or a library of the system.  Typst
keeps the picture a picture: curves stay curves, and text stays text that can be searched.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from .theme import FONT

SCALE = 2  # pixels of a PNG for each unit of an SVG: sharp on today's screens and in print

_PAGE = b"""\
#set document(date: none)
#set page(width: auto, height: auto, margin: 0pt)
#image("picture.svg")
"""
_COMMON = str.maketrans("", "", "–…×·°±²³µθδΘΔ≈")
"""What the fonts of the drawings have beyond ASCII."""
_LETTER = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text y="9">{}</text></svg>'


def png(svg: str) -> bytes:
    """Return the picture as PNG.

    ImportError if resvg-py is missing; RuntimeError if no font is found.
    """
    resvg = _package("resvg_py", ".png")
    fonts = _fonts()
    if fonts == [] and _draw(resvg, _LETTER.format("H")) == _draw(resvg, _LETTER.format("")):
        raise RuntimeError(
            "Drawing.save: no font was found to write a .png with: install one (matplotlib brings "
            "its own: python3 -m pip install matplotlib), or save as .svg"
        )
    return _draw(resvg, _with_wide_fonts(svg), zoom=SCALE, font_dirs=fonts)


def pdf(svg: str) -> bytes:
    """Return the picture as PDF, on a page of its own size.

    ImportError if typst is missing.
    """
    typst = _package("typst", ".pdf")
    files = {"main.typ": _PAGE, "picture.svg": svg.encode()}
    made: bytes = typst.compile(files, format="pdf", font_paths=_fonts())
    return made


def _with_wide_fonts(svg: str) -> str:
    """Return *svg* with a font of many characters for the lines that need one.

    Where a font lacks a character, as Helvetica lacks the subscript of x₁, resvg takes the first
    other font that it finds for all of the line, often one with serifs.
    """
    root = ET.fromstring(svg)
    for line in root.iter("{http://www.w3.org/2000/svg}text"):
        if not "".join(line.itertext()).translate(_COMMON).isascii():
            line.set("font-family", f"DejaVu Sans,Noto Sans,Segoe UI,{FONT}")
    return ET.tostring(root, encoding="unicode")


def _draw(resvg: Any, svg: str, **options: Any) -> bytes:
    return bytes(resvg.svg_to_bytes(svg_string=svg, **options))


def _package(name: str, suffix: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"Drawing.save: {suffix} needs the package {name.replace('_', '-')}, which is not "
            "installed: python3 -m pip install 'chainrule[export]'; .svg and .dot do without",
            name=name,
        ) from error


@cache
def _fonts() -> list[str]:
    """Return the folder of fonts that matplotlib brings, if it is here: a system may have none."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        return []
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    return [str(folder)] if folder.is_dir() else []
