"""What a report tells, in words: the same for a terminal, for Markdown and for a page.

It works on the plain data of ``Report.data``, from which the hint level has taken what must not be
told.
"""

from __future__ import annotations

from typing import Any, Protocol

from ...text import short
from ..worked import symbol

HINTS = ("pass", "layer", "category", "fix")
"""The hint levels, each telling what the ones before it tell, and more:

- ``pass``: whether the gradient is right;
- ``layer``: which layers are, and how the function behaved when it was called;
- ``category``: what kind of mistake it is;
- ``fix``: the mistake, the evidence, and how to mend it.
"""


def level_of(hints: str) -> int:
    """Return the number of a hint level; raise ``ValueError`` where there is none of that name."""
    if hints not in HINTS:
        raise ValueError(f"hints is {hints!r}: expected one of {', '.join(map(repr, HINTS))}")
    return HINTS.index(hints)


class Tells(Protocol):
    """A report, to whatever writes it down."""

    def data(self, hints: str = "fix") -> dict[str, Any]: ...


def verdict(told: dict[str, Any]) -> str:
    """Say whether what was checked is right."""
    if told["ok"]:
        return "right, within limits" if told["findings"] else "right"
    return "not right"


def first_wrong(told: dict[str, Any]) -> str:
    """Say which layer, or which part, is the first wrong one; "" if none is, or none is told."""
    number = told.get("first_wrong_layer")
    if number is None:
        return str(told.get("first_wrong", ""))
    return f"The first wrong layer, counted from the output, is that of {symbol('Θ', number)}."


def about_rules(told: dict[str, Any]) -> str:
    """Say where the rules can be looked up; "" if none is quoted."""
    rules = [finding["rule"] for finding in told["findings"] if finding.get("rule")]
    every = list(dict.fromkeys(rules))
    if not every:
        return ""
    what = "a formula" if len(every) == 1 else "formulas"
    return (
        f"{' and '.join(every)}: {what} of the course notes A, B and C, which docs/notes.md "
        "describes and `chainrule demo notes` lists."
    )


def unseen(told: dict[str, Any]) -> str:
    """Say which mistakes the data cannot show."""
    return "This data cannot show: " + ", ".join(told["unseen"]) + "."


def facts_of(finding: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is told of a finding as pairs of a label and a text, its headline first."""
    about = "that is" if finding["category"] == "unknown" else "in"
    head = finding.get("says") or f"There is a mistake {about} {finding['about']}."
    facts = [("finding", head)]
    if "code" in finding:
        facts.append(("code", finding["code"]))
    if finding.get("where"):
        facts.append(("where", finding["where"]))
    if finding.get("layer") is not None:
        facts.append(("where", f"the layer of {symbol('Θ', finding['layer'])}"))
    if finding.get("layers"):
        where = " and ".join(symbol("Θ", layer) for layer in finding["layers"])
        facts.append(("where", f"the layers of {where}"))
    if finding.get("formula"):
        named = f"{finding['rule']}: " if finding.get("rule") else ""
        facts.append(("rule", f"{named}{finding['formula']}"))
    for key in ("here", "evidence", "confidence", "fix"):
        if finding.get(key):
            facts += [(key, line) for line in finding[key].splitlines()]
    for other in finding.get("alternatives", ()):
        facts.append(("or else", f"[{', '.join(other['codes'])}] {other['says']}"))
        facts.append(("to tell", other["probe"]))
    return facts


def table_of(told: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the table of layers or of parts, the heading first; nothing if there is none to see.

    A gradient that is right needs no table.
    """
    if told.get("parts") and told["findings" if told["ok"] else "parts"]:
        return [("part", ""), *((part["name"], part["says"]) for part in told["parts"])]
    return layer_rows(told["layers"]) if told.get("layers") and not told["ok"] else []


def layer_rows(layers: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return the layers as rows of a table, the heading first."""
    numbers = "index" in layers[0]
    heading = ("layer", "", "entry", "in code", "yours", "right", "difference", "relative")
    rows: list[tuple[str, ...]] = [heading if numbers else heading[:2]]
    for layer in layers:
        cells: tuple[str, ...] = (symbol("Θ", layer["layer"]), "right" if layer["ok"] else "wrong")
        if numbers and not layer["ok"] and layer["index"] is not None:
            row, column = layer["index"]
            cells += (
                symbol("D", layer["layer"], row + 1, column),
                f"D[{layer['layer'] - 1}][{row}, {column}]",
                _digits(layer["theirs"]),
                _digits(layer["truth"]),
                short(layer["difference"]),
                short(layer["relative_difference"]),
            )
        else:
            cells += ("",) * (len(rows[0]) - 2)
        rows.append(cells)
    return rows


def _digits(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"
