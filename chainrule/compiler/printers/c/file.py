"""A whole file: what its functions share, an interpreter of many flat steps, the functions."""

from __future__ import annotations

from collections.abc import Mapping

from ...plan import Plan
from ..kernels import FORMULAS
from .function import Function
from .head import head
from .helpers import HELPERS
from .shared import Shared, Signature
from .text import array_text, assigned

PRECISIONS = ("double", "float")


_ARRAYS = {
    "work": "what is computed of one example",
    "fixed": "what is the same for all examples",
    "sums": "what is added up over the examples",
    "line": "numbers brought in a row",
}


def write(plans: Mapping[str, Plan], signature: Signature, precision: str = "double") -> str:
    """Return the file of *plans*, ``forward`` and perhaps ``gradient``.

    LookupError if a row has no kernel in C.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"C source: precision={precision!r}; expected 'double' or 'float'")
    return _text(Shared(signature, precision), plans)


def _text(shared: Shared, plans: Mapping[str, Plan]) -> str:
    """Return the whole file."""
    bodies = [Function(shared, plans["forward"]).forward()]
    if "gradient" in plans:
        bodies.append(Function(shared, plans["gradient"]).gradient())
    interpreter = [_interpreter(shared)] if shared.cases else []
    parts = ["#include <math.h>\n#include <stddef.h>\n"]
    arrays = [
        f"static @real {name}[{size}]; /* {_ARRAYS[name]} */\n"
        for name, size in shared.sizes.items()
        if size
    ]
    if arrays:
        parts.append("".join(arrays))
    if shared.tables:
        tables = shared.tables.items()
        parts.append(
            "".join(
                array_text(f"static const int {name}[{len(numbers)}]", map(str, numbers))
                for numbers, name in tables
            )
        )
    for name in shared.functions:
        parts.append(FORMULAS.get(name) or HELPERS[name])
    code = "\n".join([*parts, *interpreter, *bodies])
    code = code.replace("@real", shared.precision)
    code = code.replace("@", "f" if shared.precision == "float" else "")
    return head(shared, plans) + "\n" + code


def _interpreter(shared: Shared) -> str:
    """Return the function that does the steps of a table."""
    lines = [
        "/* Where the number with this address is. */",
        "static @real *",
        "place(int at)",
        "{",
        "    return at >= 0 ? work + at : fixed + (-1 - at);",
        "}",
        "",
        "/* Steps one after another: what to do, where the result goes, the arguments. */",
        "static void",
        "run(const int (*step)[5], int count)",
        "{",
        "    for (int i = 0; i < count; i++) {",
        "        const @real a = *place(step[i][2]), b = *place(step[i][3]), "
        "c = *place(step[i][4]);",
        "        @real *to = place(step[i][1]);",
        "        (void)b, (void)c;",
        "        switch (step[i][0]) {",
    ]
    for what, number in shared.cases.items():
        body = shared.flat_expression(what, ["a", "b", "c"])
        lines.append(f"        case {number}:")
        lines += [f"            {line}" for line in assigned("*to", body)]
        lines.append("            break;")
    lines += ["        }", "    }", "}", ""]
    return "\n".join(lines)
