"""What a random program is: a text in Python, and the calls that are made to it.

The text defines parameters (leaves in lists, at module level), operations of its own, and functions
of one example.  A call changes some parameters, and runs one function on a batch.  All of it is
plain data, so a program prints as a script, and a smaller one is made by leaving things out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

IMPORTS = {
    "collections": "import collections",
    "math": "import math",
    "scipy": "import scipy.special",
    "np": "import numpy as np",
    "cr": "import chainrule as cr",
}


@dataclass(frozen=True)
class Call:
    """One call of a compiled function, after some parameters have changed."""

    function: str
    batch: tuple[Any, ...]
    """For every argument a list with an entry per example: a number, a list or a nested list."""
    changes: tuple[tuple[str, float], ...] = ()
    """Parameters, as the text names them, and their new data."""
    graph: bool = False
    """Compile the graph of one example, rather than the function; its leaves are written to."""
    source: bool = False
    """Ask for the NumPy program first: from then on it is what large batches run."""

    @property
    def size(self) -> int:
        return len(self.batch[0])

    def example(self, n: int) -> list[Any]:
        return [argument[n] for argument in self.batch]

    def only(self, examples: list[int]) -> Call:
        return replace(self, batch=tuple([x[n] for n in examples] for x in self.batch))


@dataclass(frozen=True)
class Program:
    text: str
    calls: tuple[Call, ...]

    def script(self, gradient: bool = True) -> str:
        """Return the program as a script that prints what the compiled functions say."""
        lines, compiled = [], {}
        for call in self.calls:
            name = call.function
            lines += [f"{path}.data = {number(x)}" for path, x in call.changes]
            if call.graph:
                lines += self._graph_lines(call, compiled)
                continue
            if name not in compiled:
                compiled[name] = f"compiled_{name}"
                lines.append(f"compiled_{name} = cr.compile({name})")
            batch = ", ".join(map(literal, call.batch))
            if call.source:
                lines.append(f"compiled_{name}.record({batch}).source")
            lines.append(f"print(compiled_{name}({batch}))")
            if gradient:
                lines.append(f"print(compiled_{name}.value_and_grad({batch}))")
        body = self.text + "\n" + "\n".join(lines) + "\n"
        used = [line for name, line in IMPORTS.items() if f"{name}." in body]
        return "\n".join(used) + "\n\n" + body

    def _graph_lines(self, call: Call, compiled: dict[str, str]) -> list[str]:
        name, key = f"graph_{call.function}", f"graph {call.function}"
        example = call.example(0)
        if key in compiled:
            return [
                f"for leaf, x in zip(leaves, {[x for _, x in leaves(example)]}): leaf.data = x",
                f"print({name}())",
            ]
        compiled[key] = name
        made = literal(example, wrap="cr.Value({})")
        return [
            f"example = {made}",
            "leaves = np.ravel(np.array(example, dtype=object)).tolist()",
            f"{name} = cr.compile({call.function}(*example))",
            f"print({name}(), {name}.value_and_grad())",
        ]


def number(x: float) -> str:
    """Return *x* as Python would read it."""
    return repr(x) if x == x and abs(x) != float("inf") else f"float('{x}')"


def literal(structure: Any, wrap: str = "{}") -> str:
    if isinstance(structure, (list, tuple)):
        return "[" + ", ".join(literal(part, wrap) for part in structure) + "]"
    return wrap.format(number(structure))


def leaves(structure: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return (path, leaf) for every leaf of lists, tuples, dictionaries and arrays."""
    if isinstance(structure, dict):
        parts = [(f"{path}[{key!r}]", part) for key, part in structure.items()]
    elif isinstance(structure, (list, tuple)) or (getattr(structure, "ndim", 0) and structure.ndim):
        parts = [(f"{path}[{i}]", part) for i, part in enumerate(structure)]
    else:
        return [(path, structure)]
    return [leaf for where, part in parts for leaf in leaves(part, where)]
