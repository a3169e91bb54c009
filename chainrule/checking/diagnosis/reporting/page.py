"""A report as one HTML page that needs nothing else: the network drawn, the wrong deltas marked.

The drawing is SVG inside the page; a unit whose delta is wrong and an edge whose gradient is wrong
are red and drawn differently, so that colour is not needed to see them. Everything told comes from
``data`` at the hint level, the drawing included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from ..mistakes import CATEGORIES
from ..worked import symbol
from .report import ReportData
from .words import HINTS, Tells, about_rules, facts_of, first_wrong, table_of, unseen, verdict

_MOST_UNITS = 8
"""More units of a layer than these are drawn as the first ones and dots."""
_COLUMN, _ROW, _RADIUS, _MARGIN = 170, 62, 17, 46

_CODE = re.compile(rf"\b(?:{'|'.join(CATEGORIES)})\.[a-z0-9]+(?:-[a-z0-9]+)*\b")
"""The code of a mistake."""

_STYLE = """
.chainrule { color-scheme: light dark; --ink: #1d2733; --soft: #5a6775; --line: #c8d0d9;
  --paper: #ffffff; --wash: #f4f6f8; --wrong: #c22f2f; --right: #1f7a4d; }
@media (prefers-color-scheme: dark) { .chainrule { --ink: #e8edf2; --soft: #9fadba; --line: #46525f;
  --paper: #171c22; --wash: #20272f; --wrong: #ff7b72; --right: #56c48d; } }
.chainrule { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 0 auto; padding: 1.5rem; box-sizing: border-box; }
.chainrule h1 { font-size: 1.5rem; margin: 0; } .chainrule h2 { font-size: 1.1rem; margin: 0; }
.chainrule p { margin: .4rem 0; } .chainrule .soft { color: var(--soft); }
.chainrule .ok { color: var(--right); } .chainrule .bad { color: var(--wrong); }
.chainrule section { border: 1px solid var(--line); border-left: 4px solid var(--wrong);
  border-radius: 6px; padding: .9rem 1.1rem; margin: 1rem 0; }
.chainrule dl { display: grid; grid-template-columns: 6.5rem 1fr; gap: .3rem .8rem;
  margin: .7rem 0 0; }
.chainrule dt { color: var(--soft); } .chainrule dd { margin: 0; overflow-wrap: anywhere; }
.chainrule code { font: inherit; white-space: nowrap; }
.chainrule .scroll { overflow-x: auto; }
.chainrule table { border-collapse: collapse; margin: .8rem 0; }
.chainrule th, .chainrule td { text-align: left; padding: .25rem 1rem .25rem 0; border-bottom:
  1px solid var(--line); font-variant-numeric: tabular-nums; }
.chainrule svg { display: block; max-width: 100%; height: auto; margin: 1rem 0; background:
  var(--wash); border-radius: 6px; }
.chainrule svg text { font: 13px system-ui, sans-serif; fill: var(--ink); }
.chainrule svg .name { font-size: 14px; } .chainrule svg .soft { fill: var(--soft); }
.chainrule svg .edge { stroke: var(--line); stroke-width: 1.2; fill: none; }
.chainrule svg .edge.wrong { stroke: var(--wrong); stroke-width: 1.8; stroke-dasharray: 5 3; }
.chainrule svg .unit { fill: var(--paper); stroke: var(--soft); stroke-width: 1.5; }
.chainrule svg .unit.wrong { stroke: var(--wrong); stroke-width: 3.5; }
.chainrule svg .badge { fill: var(--wrong); }
.chainrule svg .cross { stroke: var(--paper); stroke-width: 2; }
.chainrule svg .wrongtext { fill: var(--wrong); font-weight: 600; }
"""


def as_page(report: Tells, hints: str = "fix") -> str:
    """Return the whole page.

    >>> from chainrule.checking import diagnose
    >>> from chainrule.checking.problem import probe
    >>> p = probe()
    >>> text = as_page(diagnose(p.truth.D, p.thetas, p.X, p.Y, p.lam))
    >>> text.startswith("<!DOCTYPE html>"), "right" in text
    (True, True)
    """
    told = report.data(hints)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(told['name'])}: {verdict(told)}</title>\n"
        "<style>body { margin: 0; } @media (prefers-color-scheme: dark) "
        "{ body { background: #171c22; } }</style>\n</head>\n<body>\n"
        f"{as_fragment(report, hints)}</body>\n</html>\n"
    )


def as_fragment(report: Tells, hints: str) -> str:
    """Return the body of the page, its styles included."""
    told = report.data(hints)
    return (
        f'<div class="chainrule">\n<style>{_STYLE}</style>\n{"".join(_body(report, told))}</div>\n'
    )


def _body(report: Tells, told: dict[str, Any]) -> Iterator[str]:
    shown = f'<span class="{"ok" if told["ok"] else "bad"}">{verdict(told)}</span>'
    yield f"<h1>{escape(told['name'])}: {shown}</h1>\n"
    yield f'<p class="soft">{escape(told["problem"])}</p>\n'
    for item in told["conventions"]:
        yield f"<p>Convention: {escape(item['says'])}.</p>\n"
    if first := first_wrong(told):
        yield f"<p>{escape(first)}</p>\n"
    if isinstance(report, ReportData):
        all_told = told["hints"] == HINTS[-1]
        yield _drawing(
            report.problem.sizes,
            told["wrong_layers"],
            report.wrong_entries if all_told else (),
            report.wrong_deltas if all_told else (),
        )
    if rows := table_of(told):
        yield _table(rows)
    for count, finding in enumerate(told["findings"], start=1):
        yield _section(count, finding)
    for said in (about_rules(told), unseen(told) if told.get("unseen") else ""):
        if said:
            yield f'<p class="soft">{_unbroken(said)}</p>\n'


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:]
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>\n'


def _section(count: int, finding: dict[str, Any]) -> str:
    (_, head), *facts = facts_of(finding)
    rows: list[str] = []
    previous = ""
    for label, value in facts:
        shown = "" if label == previous else escape(label)
        rows.append(f"<dt>{shown}</dt><dd>{_unbroken(value)}</dd>")
        previous = label
    return f"<section><h2>{count}. {escape(head)}</h2><dl>{''.join(rows)}</dl></section>\n"


def _unbroken(text: str) -> str:
    """Escape *text*; codes in it stay on one line."""
    return _CODE.sub(r"<code>\g<0></code>", escape(text))


# --- the drawing ----------------------------------------------------------------------------------


def _drawing(
    sizes: Sequence[int],
    wrong_layers: Sequence[int],
    wrong_entries: Sequence[tuple[int, int, int]],
    wrong_deltas: Sequence[tuple[int, int]],
) -> str:
    """Draw the network: a column for each layer, the bias unit on top of all but the last.

    What is wrong is known by entry at the highest hint level, and by layer below it.
    """
    entries = set(wrong_entries)
    shown = [min(size, _MOST_UNITS) for size in sizes]
    tallest = max(shown) + 1
    width = 2 * _MARGIN + _COLUMN * (len(sizes) - 1) + 60
    height = 2 * _MARGIN + _ROW * tallest

    def place(layer: int, unit: int) -> tuple[int, int]:
        # Unit 0 is the bias unit; the output layer has none, but keeps the row for it.
        top = _MARGIN + _ROW * (tallest - shown[layer] - 1) // 2
        return _MARGIN + 20 + _COLUMN * layer, top + _ROW * unit + 24

    def wrong(layer: int, unit: int, column: int) -> bool:
        return (layer, unit, column) in entries if entries else layer in wrong_layers

    parts: list[str] = []
    for red in (False, True):  # wrong edges last, above the others
        for layer in range(1, len(sizes)):
            for unit in range(shown[layer]):
                for column in range(shown[layer - 1] + 1):
                    if wrong(layer, unit, column) is red:
                        ends = place(layer - 1, column), place(layer, unit + 1)
                        parts.append(_edge(*ends, red))
    for layer, size in enumerate(sizes, start=1):
        if layer < len(sizes):
            parts.append(_unit(place(layer - 1, 0), "1", "the bias unit", False))
        for unit in range(shown[layer - 1]):
            bad = (layer, unit) in wrong_deltas
            letter = "x" if layer == 1 else "δ"
            label = f"{letter}{_below(unit + 1)}"
            title = f"{symbol('a', layer, unit + 1)}, {symbol('δ', layer, unit + 1)}"
            if layer == 1:
                title = f"input {unit + 1}"
            parts.append(_unit(place(layer - 1, unit + 1), label, title, bad))
        x, y = place(layer - 1, shown[layer - 1] + 1)
        if size > shown[layer - 1]:
            parts.append(f'<text x="{x}" y="{y - 24}" text-anchor="middle">⋮ {size} units</text>')
        parts.append(
            f'<text class="name soft" x="{x}" y="{height - 14}" text-anchor="middle">'
            f"{'input' if layer == 1 else symbol('δ', layer)}</text>"
        )
    for layer in range(1, len(sizes)):
        x = (place(layer - 1, 0)[0] + place(layer, 0)[0]) // 2
        bad = layer in wrong_layers
        kind = "name wrongtext" if bad else "name soft"
        mark = " wrong" if bad else ""
        parts.append(
            f'<text class="{kind}" x="{x}" y="26" text-anchor="middle">'
            f"{symbol('Θ', layer)}{mark}</text>"
        )
    told = "no layer is wrong"
    if wrong_layers:
        told = "wrong: " + ", ".join(symbol("Θ", layer) for layer in wrong_layers)
    if wrong_deltas:
        deltas = [symbol("δ", layer, unit + 1) for layer, unit in wrong_deltas]
        told += "; " + ", ".join(deltas)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<title>The network, {escape(told)}</title>{''.join(parts)}</svg>\n"
    )


def _below(index: int) -> str:
    return str(index).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _edge(start: tuple[int, int], end: tuple[int, int], wrong: bool) -> str:
    kind = "edge wrong" if wrong else "edge"
    return (
        f'<line class="{kind}" x1="{start[0] + _RADIUS}" y1="{start[1]}" '
        f'x2="{end[0] - _RADIUS}" y2="{end[1]}"/>'
    )


def _unit(at: tuple[int, int], label: str, title: str, wrong: bool) -> str:
    x, y = at
    kind = "unit wrong" if wrong else "unit"
    drawn = f"<g><title>{escape(title)}{': wrong' if wrong else ''}</title>"
    drawn += f'<circle class="{kind}" cx="{x}" cy="{y}" r="{_RADIUS}"/>'
    drawn += f'<text x="{x}" y="{y + 5}" text-anchor="middle">{escape(label)}</text>'
    if wrong:
        x, y = x + 14, y - 14
        drawn += f'<circle class="badge" cx="{x}" cy="{y}" r="8"/>'
        drawn += f'<path class="cross" d="M{x - 3} {y - 3}l6 6m-6 0l6 -6"/>'
    return drawn + "</g>"
