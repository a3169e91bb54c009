"""Rows of the table as NumPy expressions, and the functions that they call.

Where the formula of the notes loses digits, it is printed all the same; what runs keeps them.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...engine import table as primitives
from ...engine.table import Primitive, arrays
from .. import forms
from ..addresses import AnyArray
from .literals import literal, number

SUM, PRODUCT, SIGN, ATOM = 1, 2, 3, 9
"""How tightly a text binds: what stands around one that binds less tightly needs parentheses."""


# Array forms of the table's rows that are not NumPy functions: what ``arrays`` has, as an
# expression in the arguments or as a function that is printed.  A test compares each with the row.
EXPRESSIONS = {
    "relu": "np.maximum({0}, 0.0)",
    "hinge_loss": "np.maximum(1.0 - {1} * {0}, 0.0)",
}
_ANNOTATION = re.compile(r": Any(?= =|[,)])| -> Any(?=:)")


def printed(function: Callable[..., Any]) -> str:
    """Return the source of *function* without its annotations."""
    signature = inspect.signature(function)
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    bare = signature.replace(parameters=parameters, return_annotation=signature.empty)
    body = inspect.getsource(function).split(":\n", 1)[1]
    return f"\ndef {function.__name__}{bare}:\n{_ANNOTATION.sub('', body)}"


def inlined(function: Callable[..., Any]) -> str:
    """Return what *function* returns, as a template in its arguments."""
    (definition,) = ast.parse(inspect.getsource(function)).body
    assert isinstance(definition, ast.FunctionDef)
    places = {argument.arg: f"{{{i}}}" for i, argument in enumerate(definition.args.args)}
    (returned,) = definition.body
    for node in ast.walk(returned):
        if isinstance(node, ast.Name):
            node.id = places.get(node.id, node.id)
    return ast.unparse(returned).removeprefix("return ")


def _of_arrays() -> dict[str, Callable[..., Any]]:
    """Return the functions of ``arrays`` that are a row's; those of sums are folded instead."""
    found = {}
    for name, row in vars(primitives).items():
        if not isinstance(row, Primitive) or row.array is not getattr(arrays, name, None):
            continue
        if row.arity is not None or row is primitives.softmax_entry:
            found[name] = row.array
    return found


_OF_ARRAYS = _of_arrays()
CONDITIONS = {"equal": "{0} == {1}", "less": "{0} < {1}", "less_equal": "{0} <= {1}"}
_INLINE = ("step", "softplus", "leaky_relu")
EXPRESSIONS |= {name: f"({text}).astype(float)" for name, text in CONDITIONS.items()}
EXPRESSIONS |= {name: inlined(_OF_ARRAYS[name]) for name in _INLINE}
_SEGMENTS = """
# Of the last axis; or of its stretches, given where they start and which one each element is in:

"""
FUNCTIONS = {
    name: printed(function) for name, function in _OF_ARRAYS.items() if name not in EXPRESSIONS
}
FUNCTIONS |= {
    function.__name__: printed(function)
    for function in (
        forms.sigmoid_pair,
        forms.one_minus_square,
        forms.rows_of,
        forms.pick,
        forms.spread,
        forms.power,
        forms.root,
    )
}
FUNCTIONS["segments"] = _SEGMENTS + printed(forms.reduced) + "\n" + printed(forms.repeated)
FUNCTIONS |= {
    function.__name__: printed(function)
    for function in (
        forms.softmax,
        forms.logsumexp,
        forms.logsumexp_slopes,
        forms.sum_of_others,
        forms.softmax_pullback,
        forms.linked_product,
        forms.one_hot,
        forms.view,
        arrays.surprisals,
        arrays.cross_entropy,
        arrays.softmax_minus,
    )
}
_NEEDS = {
    "power": ("root",),
    "silu": ("damped", "sigmoid"),
    "gelu": ("damped", "normal_cdf"),
    "pick": ("rows_of",),
    "spread": ("rows_of",),
    "softmax": ("segments",),
    "logsumexp": ("segments",),
    "logsumexp_slopes": ("segments", "softmax"),
    "softmax_pullback": ("segments", "sum_of_others"),
    "cross_entropy": ("surprisals",),
}
# The formulas of the notes, which lose digits that the engine and the machine keep.
READ = {
    primitives.logistic_loss: ("np.logaddexp(0.0, {0}) - {0} * {1}", SUM),
    primitives.sigmoid_minus: ("sigmoid({0}) - {1}", SUM),
}


# A name does not tell an operation: a user's own may have that of one of the functions above.
SPELLED = {
    row
    for name in (*EXPRESSIONS, *FUNCTIONS)
    if isinstance(row := getattr(primitives, name, None), Primitive) and row.name == name
} - {primitives.cross_entropy}  # whose function is of a whole axis
INFIX = (primitives.add, primitives.subtract, primitives.multiply, primitives.divide)
FOLDED = {
    primitives.maximum: "maximum",
    primitives.minimum: "minimum",
    primitives.logsumexp_of: "logaddexp",
    primitives.add_up: "add",
}
_PRINTED = {*SPELLED, *FOLDED, primitives.where, primitives.softmax_entry}


def is_printed(row: Primitive) -> bool:
    """Return whether *row* can be written in NumPy; a user's own row is called by its name."""
    return row in _PRINTED or is_numpys(row.array)


def is_numpys(function: Any) -> bool:
    """Return whether *function* is one of NumPy's ufuncs that map floats to floats."""
    known: Any = getattr(np, getattr(function, "__name__", ""), None)
    if not isinstance(known, np.ufunc) or function is not known:
        return False
    return f"{'d' * known.nin}->d" in known.types


# --- rows as expressions -------------------------------------------------------------------------


class RowText(NamedTuple):
    """How a row is written."""

    text: str
    """With a place for each argument."""
    binds: int
    needs: tuple[int, ...]
    """How tightly each argument has to bind there."""
    helper: str = ""
    """The function of ours that it calls, if any."""
    is_call: bool = False
    """Whether it is a call of the row itself, which makes of NumPy's numbers Python's."""

    def write(self, args: Sequence[tuple[str, int]]) -> str:
        """Return the text with the texts of the arguments, which bind so tightly, in it."""
        texts = [
            text if binds >= need else f"({text})"
            for (text, binds), need in zip(args, self.needs, strict=True)
        ]
        return self.text.format(*texts)


def spelled(row: Primitive, count: int, name: str, exponent: float | None = None) -> RowText:
    """Return how *row* of *count* arguments is written, or its call by *name*.

    *exponent* is the last argument, if that is a constant.
    """
    places = ", ".join(f"{{{i}}}" for i in range(count))
    loose = (0,) * count
    if row in INFIX:
        tight = SUM if row in (primitives.add, primitives.subtract) else PRODUCT
        right = tight if row is primitives.add else tight + 1
        return RowText(f"{{0}} {row.name} {{1}}", tight, (tight, right))
    if row is primitives.negative:
        return RowText("-{0}", SIGN, (SIGN,))
    if row in FOLDED:
        text = "{0}"
        for i in range(1, count):
            text = f"np.{FOLDED[row]}({text}, {{{i}}})"
        return RowText(text, ATOM, loose if count > 1 else (ATOM,))
    if row is primitives.power and exponent is None:
        return RowText("power({0}, {1})", ATOM, loose, "power")
    if row is primitives.power and exponent == 0.5:
        return RowText("root({0})", ATOM, loose, "root")
    if row is primitives.where:
        return RowText(f"np.where({places})", ATOM, loose)
    if row in READ:
        text, binds = READ[row]
        helper = "sigmoid" if "sigmoid(" in text else ""
        return RowText(text, binds, (PRODUCT + 1,) * count, helper)
    if row is primitives.half_squared_error:
        return RowText("0.5 * np.square({0} - {1})", PRODUCT, (SUM, SUM + 1))
    if row in SPELLED:
        form = EXPRESSIONS.get(row.name)
        if form is not None:
            return RowText(form, ATOM, (ATOM,) * count)
        return RowText(f"{row.name}({places})", ATOM, loose, row.name)
    if is_numpys(row.array):
        return RowText(f"np.{row.array.__name__}({places})", ATOM, loose)
    # A brace in a name would be a place.
    called = f"rows[{name!r}]".replace("{", "{{").replace("}", "}}")
    return RowText(f"{called}({places})", ATOM, loose, is_call=True)


def need(helpers: dict[str, None], name: str) -> None:
    """Note that a function of ours is called, and those that it calls."""
    for other in _NEEDS.get(name, ()):
        need(helpers, other)
    helpers.setdefault(name)


def number_text(x: float) -> tuple[str, int]:
    """Return a number as text, and how tightly it binds."""
    return number(x), ATOM if math.copysign(1.0, x) > 0 else SIGN


def module(
    functions: Sequence[str], helpers: Collection[str], constants: Mapping[str, AnyArray]
) -> str:
    """Return the text of a module: the *helpers*, by name, and then *functions* and *constants*."""
    texts = [FUNCTIONS[name].strip() for name in FUNCTIONS if name in helpers]
    head = ["import math\n\nimport numpy as np"] if "math." in "".join(texts) else []
    lines = [f"{name} = {literal(array)}" for name, array in constants.items()]
    parts = [*(head or ["import numpy as np"]), *texts, *functions]
    return "\n\n\n".join([*parts, *(["\n".join(lines)] if lines else [])]) + "\n"
