"""Write the pages and pictures of this directory that are made from the code.

python docs/build.py            write them
python docs/build.py --check    write nothing; exit status 1 if a page is out of date
"""

from __future__ import annotations

import doctest
import inspect
import math
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import chainrule as cr
from chainrule import nn, viz
from chainrule.checking import course
from chainrule.checking.diagnosis import mistakes
from chainrule.checking.engines import mistakes as engine_mistakes
from chainrule.demos import gallery, gpt
from chainrule.viz import theme

HERE = Path(__file__).parent

PRIMITIVES = """\
# The primitives and their derivatives

This page is made by `python docs/build.py` from the table in `chainrule/engine/table/rows.py`: the
formulas are what the rows' own rules give when they are called with symbols. What happens at a
kink, outside a domain or in a tail is written in the rows too; the conventions are listed below.

{table}
## Conventions

The derivative is the true one where there is one, otherwise the minimum-norm subgradient, and nan
where the operation left its domain. It is the same in reverse, forward and higher-order mode.

| at | value and derivative |
|---|---|
| `relu`, `abs` at 0 | 0; 0. At nan: nan |
| `maximum`, `minimum` on a tie | 1/k each among k Values; 0 if tied with a constant |
| `leaky_relu` at 0 | the slope |
| `x**0` | 1; 0 at every order, even at 0 and nan |
| `0**y`, both Values | y = 0: (0, 0); y = 0.5: (inf, 0); y = -1: (-inf, -inf) |
| `(-2)**3`, both Values | (12, nan): powers with exponents near 3 are not real |
| `sqrt` at 0 and -0.0 | inf; below 0: nan |
| `log`, `log2`, `log10` at 0 and -0.0 | -inf; inf; below 0: nan, nan |
| `cbrt` at 0 and -0.0 | inf |
| `asin`, `atanh` at 1 and -1; `acos` there; `acosh` at 1 | inf; -inf; inf. Outside: nan, nan |
| `sinh`, `cosh`, `exp2` beyond the largest number | an infinity, and so is the derivative |
| `1/0` | an infinity; -inf |
| `tanh`, `sigmoid`, `softplus`, `logsigmoid` in the tails | full relative accuracy |
| `logaddexp(-inf, -inf)`, `hypot(0, 0)` | (0, 0) |
| `atan2(0, 0)` | nan |
| `logistic_loss` at an infinite logit | 0 or inf; sigma(z) - y. A weight of 0 wins over infinity |
| `cross_entropy` at infinite logits | as the softmax: several +inf share 1; all -inf: nan |
| `hinge_loss` where y s is 1 | 0; 0 |
| `where` | only the chosen branch is linked: no nan leaks from the other |

## With NumPy

The functions take arrays of numbers or of Values, element by element. So do the
corresponding functions of NumPy: `np.exp(A)`, `np.hypot(A, B)`, `np.mean(A)`, `np.std(A)`, `A @ B`.
Two of NumPy's functions never ask the Values in an array: `np.maximum(A, 0)` compares and keeps one
of the two, so a plain 0 may be in the result and a tie has no subgradient; and `np.logaddexp(A, B)`
is refused. `cr.maximum(A, 0)` and `cr.logaddexp(A, B)` make nodes.
"""


GALLERY = """\
# A gallery of pictures

This page is made by `python docs/build.py` from `demos/gallery.py`; `chainrule demo gallery
--out DIR` writes the pictures into a folder, and `--theme dark` makes them dark. Values are
green, gradients red, and the local derivative stands on each edge. Fitted onto a slide of 1280
by 640 pixels, no text is smaller than 11 pixels: a long chain goes on in the next row, and what
would still be too small is folded, as a line below the picture says. `viz.draw(root,
unfold=True)` draws every node, `unfold="step 3"` opens one box, and a `cr.scope("name")` around
a block of code says what belongs together.

In a program, `viz.draw(root).save("graph.svg")` writes a picture; `.png` and `.pdf` work too,
after `python3 -m pip install '.[export]'` in a clone, and without any program of the system.
"""


def gallery_page() -> str:
    """Return the page of the gallery: each picture, what it shows, and the code that draws it."""
    parts = [GALLERY]
    for name, function in gallery.PICTURES.items():
        code = inspect.getsource(function).partition("\n")[2]  # without the decorator
        caption = gallery.caption(name)
        heading = name.replace("_", " ").capitalize()
        parts.append(
            f"## {heading}\n\n{caption}\n\n![{caption}](images/gallery/{name}.svg)\n\n"
            f"<details><summary>The code</summary>\n\n```python\n{code}```\n\n</details>\n"
        )
    return "\n".join(parts)


def for_a_forge(table: str) -> str:
    r"""Return *table* with formulas that Markdown leaves alone: of ``a \, b`` it eats a stroke."""
    return re.sub(r"\$([^$]+)\$", r"$`\1`$", table)


def pages() -> dict[Path, str]:
    """Return the text of every page."""
    return {
        HERE / "primitives.md": PRIMITIVES.format(table=for_a_forge(viz.derivative_table())),
        HERE / "notes.md": course.as_markdown(course.table()),
        HERE / "mistakes.md": mistakes.as_markdown(),
        HERE / "gallery.md": gallery_page(),
        HERE / "engine-mistakes.md": engine_mistakes.as_markdown(),
    }


def pictures() -> dict[Path, viz.Drawing]:
    """Return the drawing in every picture."""
    x, w, b = cr.Value(2.0, "x"), cr.Value(-3.0, "w"), cr.Value(6.88, "b")
    y = cr.tanh(w * x + b)
    y.backward()
    a, b, c = cr.Value(5.0, "a"), cr.Value(3.0, "b"), cr.Value(2.0, "c")
    j = 3 * (a + b * c)
    j.backward()
    of_b, of_c = cr.Value(3.0, "b"), cr.Value(2.0, "c")
    u = of_b * of_c
    u.backward()
    query = [cr.Value(1.0, "q1"), cr.Value(0.5, "q2")]
    (looked,) = gpt.attend(query, [[1.0, 0.0], [0.0, 1.0]], [[10.0], [20.0]])
    looked.backward()
    used = cr.Value(3.0, "x")
    twice = used * used + used
    twice.backward()
    model = nn.MLP(3, [4, 3, 2], activation="sigmoid", output_activation="sigmoid", seed=2)
    trace = model.trace([0.5, -1.0, 2.0])
    nn.losses.half_squared_error(trace.output, [0.0, 1.0]).backward()
    return {
        HERE / "images" / "graph.svg": viz.draw(j, title="j = 3 (a + b c)"),
        HERE / "images" / "neuron.svg": viz.draw(y, title="y = tanh(w x + b)"),
        HERE / "images" / "learn" / "multiplication.svg": viz.draw(u, title="u = b c"),
        HERE / "images" / "learn" / "attention.svg": viz.draw(looked, title="Attention"),
        HERE / "images" / "learn" / "twice.svg": viz.draw(twice, title="y = x x + x"),
        HERE / "images" / "network.svg": viz.draw_network(model, trace, target=[0.0, 1.0]),
        **{
            HERE / "images" / "gallery" / f"{name}.svg": draw("light")
            for name, draw in gallery.PICTURES.items()
        },
    }


def computed_on(page: Path) -> dict[str, Any]:
    """Return the names that the examples on a page define."""
    names: dict[str, Any] = {}
    for example in doctest.DocTestParser().get_examples(page.read_text(encoding="utf-8")):
        if example.exc_msg is None:  # one that shows an error defines nothing
            exec(compile(example.source, str(page), "exec"), names)
    return names


Curve = tuple[str, list[float], list[float], theme.Tone, bool]
"""A name, x, y, a colour, and whether it is a line or dots."""


def chart(title: str, across: str, curves: list[Curve], *, square: bool = False) -> str:
    """Return a chart of *curves* as SVG, with both axes of one scale if it is *square*."""
    width, height, edge = 640.0, 480.0 if square else 300.0, 52.0
    xs = [x for curve in curves for x in curve[1]]
    ys = [y for curve in curves for y in curve[2]]
    left, right, low, high = min(xs), max(xs), min(ys), max(ys)
    by_x, by_y = (width - 2 * edge) / (right - left), (height - 2 * edge) / (high - low)
    if square:
        by_x = by_y = min(by_x, by_y)

    def text(x: float, y: float, words: str, colour: theme.Tone, anchor: str = "start") -> str:
        return (
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour.light}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="{theme.FONT}" font-size="13" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="{theme.PAPER.light}"/>',
        text(width / 2, height - 16, across, theme.MUTED, "middle"),
        text(edge, height - 16, f"{left:.4g}", theme.MUTED),
        text(edge + (right - left) * by_x, height - 16, f"{right:.4g}", theme.MUTED, "end"),
        text(edge - 6, height - edge, f"{low:.3g}", theme.MUTED, "end"),
        text(edge - 6, edge + 10, f"{high:.4g}", theme.MUTED, "end"),
        f'<path d="M{edge} {edge}V{height - edge}H{width - edge}" fill="none" '
        f'stroke="{theme.LINE.light}"/>',
    ]
    for i, (name, x, y, colour, line) in enumerate(curves):
        at = [
            (edge + (a - left) * by_x, height - edge - (b - low) * by_y)
            for a, b in zip(x, y, strict=True)
        ]
        if line:
            points = " ".join(f"{a:.1f},{b:.1f}" for a, b in at)
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{colour.light}" '
                'stroke-width="1.5"/>'
            )
        else:
            parts += [
                f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2" fill="{colour.light}"/>' for a, b in at
            ]
        at_name = edge + 10 + min(190.0, (width - 2 * edge) / len(curves)) * i
        parts.append(text(at_name, 24, name, colour))
    return "\n".join([*parts, "</svg>", ""])


def charts() -> dict[Path, str]:
    """Return the pictures of what some pages compute."""
    return {**_simulations(), **_training()}


def _training() -> dict[Path, str]:
    """Return the losses of the learner's page on training, and of the GPT."""
    found = computed_on(HERE / "learn" / "training.md")
    tones = theme.DATA, theme.POSITIVE, theme.GRAD
    curves: list[Curve] = [
        (f"rate {rate}", [float(k) for k in range(len(losses))], losses, tone, True)
        for (rate, losses), tone in zip(found["curves"].items(), tones, strict=True)
    ]
    steps = [float(k) for k in range(len(found["alone"]))]
    curves.append(("one neuron", steps, found["alone"], theme.MUTED, True))
    weights = gpt.Weights()
    learned = list(gpt.train(gpt.compiled(weights), weights, 300, 300, 0))
    folder = HERE / "images" / "learn"
    return {
        folder / "training.svg": chart("The loss with three rates", "step", curves),
        folder / "gpt.svg": chart(
            "The surprise of a GPT",
            "step",
            [
                ("surprise per character", [float(k) for k in range(300)], learned, tones[0], True),
                ("guessing", [0.0, 299.0], [math.log(len(gpt.ALPHABET))] * 2, theme.MUTED, True),
            ],
        ),
    }


def _simulations() -> dict[Path, str]:
    found = computed_on(HERE / "simulations.md")
    swing, orbit, needed = found["swing"], found["orbit"], found["needed"]
    times = [found["h"] * (k + 1) for k in range(80)]
    years = [1871.0 + k for k in range(100)]
    dots, line, other = theme.GRAD, theme.POSITIVE, theme.DATA
    orbits: list[Curve] = []
    for name, speed, colour in (
        ("a circle", 1.0, theme.MUTED),
        ("half in 80 steps", needed(80), other),
        ("half in 100 steps", needed(100), line),
    ):
        path = orbit(speed, 260)[1]
        orbits.append((name, path["x"], path["y"], colour, True))
    folder = HERE / "images" / "simulations"
    return {
        folder / "pendulum.svg": chart(
            "A pendulum, measured and fitted",
            "seconds",
            [
                ("measured angle", times, found["measured"], dots, False),
                ("0.9 m", times, swing(0.9)[1], theme.MUTED, True),
                ("the length that fits", times, swing(found["length"])[1], line, True),
            ],
        ),
        folder / "nile.svg": chart(
            "The flow of the Nile",
            "year",
            [
                ("flow of the year", years, found["nile"], dots, False),
                ("filtered level", years[1:], found["levels"], line, True),
            ],
        ),
        folder / "orbit.svg": chart("Three orbits", "x", orbits, square=True),
    }


def comparable(page: str) -> str:
    """Return *page* without its measured numbers, whose last digits differ between machines."""
    return re.sub(r"-?\d+\.\d+(e[-+]\d+)?|\d+%", "#", page)


def content(svg: str) -> list[str]:
    """Return what a picture says, without its numbers: they, and with them places, may differ."""
    words = [(e.text or "") for e in ET.fromstring(svg).iter() if not e.tag.endswith("style")]
    masked = (re.sub(r"-?(\d+(\.\d+)?(e[-+]?\d+)?|inf|nan)", "#", word) for word in words)
    return [word for word in masked if word.strip()]


def main() -> None:
    """Do what the command line says."""
    if "--check" in sys.argv[1:]:
        for path, text in pages().items():
            if comparable(path.read_text(encoding="utf-8")) != comparable(text):
                sys.exit(f"{path} is out of date: run python docs/build.py")
        for path, drawing in pictures().items():
            if content(path.read_text(encoding="utf-8")) != content(drawing.svg):
                sys.exit(f"{path} is out of date: run python docs/build.py")
        for path, svg in charts().items():
            if content(path.read_text(encoding="utf-8")) != content(svg):
                sys.exit(f"{path} is out of date: run python docs/build.py")
        return
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    for path, drawing in pictures().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing.save(path)
    for path, svg in charts().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
