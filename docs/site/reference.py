"""The reference: a page for each public room, a place for each public name, from its docstring."""

from __future__ import annotations

import importlib
import inspect
import re
from types import ModuleType
from typing import Any

import chainrule as cr
from chainrule import viz

FACES = {
    "chainrule": "Values, operations, transforms, loops, compiling",
    "chainrule.nn": "Networks",
    "chainrule.nn.losses": "Losses",
    "chainrule.nn.optim": "Optimisers and schedules",
    "chainrule.backprop": "The closed-form delta formulas",
    "chainrule.viz": "Pictures and pages",
    "chainrule.checking": "Checking",
    "chainrule.compiler": "The compiler",
}
"""The modules whose ``__all__`` is public, and what their pages are called."""

VALUE = "data, grad, label, op, parents, partials, backward, detach"
"""What a Value has, without the operations, which are methods too."""


def names(face: str) -> list[str]:
    """Return the public names of a face that are not faces themselves."""
    module = importlib.import_module(face)
    return [name for name in module.__all__ if f"{face}.{name}" not in FACES]


def pages() -> dict[str, str]:
    """Return the reStructuredText of every page, by its name."""
    listed = "\n".join(f"   {face}" for face in FACES)
    index = f"{_heading('Reference')}.. toctree::\n\n{listed}\n"
    return {"index": index, **{face: _page(face, title) for face, title in FACES.items()}}


def _heading(text: str, under: str = "=") -> str:
    return f"{text}\n{under * len(text)}\n\n"


def _page(face: str, title: str) -> str:
    module = importlib.import_module(face)
    kinds: dict[str, list[str]] = {"Classes": [], "Functions": [], "Operations": [], "Data": []}
    for name in names(face):
        kind, entry = _entry(module, name)
        kinds[kind].append(entry)
    parts = [
        _heading(f"``{face}``: {title}") if face != "chainrule" else _heading(title),
        f".. automodule:: {face}\n   :no-members:\n",
        f".. currentmodule:: {face}\n",
    ]
    for kind, entries in kinds.items():
        if entries:
            parts += [_heading(kind, "-"), *entries]
    return "\n".join(parts)


def _entry(module: ModuleType, name: str) -> tuple[str, str]:
    thing = getattr(module, name)
    if thing is cr.Value:
        return "Classes", f".. autoclass:: {name}\n   :members: {VALUE}\n"
    if inspect.isclass(thing):
        return "Classes", f".. autoclass:: {name}\n   :members:\n"
    if type(thing) is type(cr.tanh):
        return "Operations", _operation(name, thing)
    if callable(thing):
        return "Functions", f".. autofunction:: {name}\n"
    said = {
        "backend": 'Which :class:`Value` runs: ``"native"``, in C, or ``"python"``.',
        "__version__": "The version, as a text.",
    }.get(name, f"``{thing!r}``")
    return "Data", f".. py:data:: {name}\n\n   {said}\n"


def _operation(name: str, row: Any) -> str:
    """Return the place of an operation: what it computes, and its derivative, from the table."""
    line = next(
        line for line in viz.derivative_table().splitlines() if line.startswith(f"| `{row.name}` ")
    )
    written, derivative = (
        re.sub(r"\$(.*?)\$", r":math:`\1`", cell) for cell in line.strip("| ").split(" | ")[1:]
    )
    of = re.findall(r"\\partial (?:\\mathrm{)?(\w+)}+ =", line) or ["x"]
    defaults = dict(zip(of[::-1], (row.defaults or ())[::-1], strict=False))
    arguments = ", ".join(f"{a}={defaults[a]}" if a in defaults else a for a in of)
    if row.arity is None:
        arguments = "*values"
    return f".. py:function:: {name}({arguments})\n\n   {written}; derivative: {derivative}\n"
