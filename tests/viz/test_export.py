"""Files: what is written in which format, with which colours, and whole or not at all."""

import importlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

import chainrule as cr
from chainrule import Value, viz
from chainrule.nn import MLP
from chainrule.viz import drawing as drawing_module
from chainrule.viz import export

pytestmark = pytest.mark.text_alone

needs_export = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("resvg_py", "typst")),
    reason="the extra 'export' is not installed",
)


def small():
    x = Value(0.3, "θ_1 <&> \u202e")
    y = cr.tanh(x * 2.0)
    y.backward()
    return y


def pixels(path):
    image = pytest.importorskip("matplotlib.image", reason="reads the PNG")
    return image.imread(path)


@needs_export
@pytest.mark.parametrize(
    ("name", "paper"), [("light", "#ffffff"), ("dark", "#0d1117"), ("auto", "#ffffff")]
)
def test_a_png_has_the_size_and_the_colours_of_the_svg(tmp_path, name, paper):
    drawing = viz.draw(small(), theme=name)
    drawing.save(tmp_path / "graph.png")
    root = ET.fromstring(drawing.svg)
    image = pixels(tmp_path / "graph.png")
    height, width = image.shape[:2]
    assert width == pytest.approx(export.SCALE * float(root.get("width")), abs=1)
    assert height == pytest.approx(export.SCALE * float(root.get("height")), abs=1)
    corner = "#" + "".join(f"{round(255 * c):02x}" for c in image[2, 2, :3])
    assert corner == paper
    assert len({tuple(p) for p in image.reshape(-1, image.shape[2])}) > 20  # text, in colours


def test_a_line_with_a_rare_character_has_a_font_that_knows_it_and_others_keep_theirs():
    svg = viz.draw(Value(1.0, "x₁") * Value(2.0, "x2")).svg
    lines = ET.fromstring(export._with_wide_fonts(svg)).iter("{http://www.w3.org/2000/svg}text")
    fonts = {"".join(line.itertext()): line.get("font-family", "") for line in lines}
    assert fonts["x₁"].startswith("DejaVu Sans,")
    assert {text for text, font in fonts.items() if font} == {"x₁"}


@needs_export
def test_a_pdf_is_a_picture_of_curves_and_text_and_the_same_each_time(tmp_path):
    drawing = viz.draw_network(MLP(2, [2, 1], seed=0))
    drawing.save(tmp_path / "network.pdf")
    written = (tmp_path / "network.pdf").read_bytes()
    assert written.startswith(b"%PDF-")
    assert b"/FontFile" in written
    assert b"/Subtype/Image" not in written  # not a photograph of itself
    drawing.save(tmp_path / "network.pdf")
    assert (tmp_path / "network.pdf").read_bytes() == written


@pytest.mark.parametrize(("suffix", "package"), [("png", "resvg-py"), ("pdf", "typst")])
def test_without_the_extra_the_error_says_what_to_install(tmp_path, monkeypatch, suffix, package):
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    command = rf"needs the package {package}.*python3 -m pip install 'chainrule\[export\]'"
    with pytest.raises(ImportError, match=command):
        viz.draw(small()).save(tmp_path / f"graph.{suffix}")
    assert list(tmp_path.iterdir()) == []


@needs_export
def test_a_png_without_a_single_font_is_refused_rather_than_written_without_text(monkeypatch):
    monkeypatch.setattr(export, "_fonts", list)
    drawn = export._draw
    monkeypatch.setattr(
        export, "_draw", lambda *given, **options: drawn(*given, **options, skip_system_fonts=True)
    )
    with pytest.raises(RuntimeError, match="no font"):
        export.png(viz.draw(small()).svg)


@pytest.mark.parametrize("suffix", ["svg", "dot"])
def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"graph.{suffix}"
    path.write_text("before")
    drawing = viz.draw(small())

    def fails(*_):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(drawing_module, "write_whole", fails)
    with pytest.raises(OSError, match="No space left"):
        drawing.save(path)
    assert path.read_text() == "before"
    monkeypatch.undo()
    drawing.save(path)
    assert path.read_text(encoding="utf-8") == getattr(drawing, suffix)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="a pipe with a name")
def test_a_drawing_can_be_written_into_a_pipe(tmp_path):
    pipe = tmp_path / "graph.svg"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    drawing = viz.draw_network(MLP(1, [1], seed=0))
    drawing.save(pipe)
    assert reader.communicate(timeout=30)[0].decode() == drawing.svg
