"""Rows of the table as text: what a printed program writes for one operation on arrays.

What is one function of a library is called by its name; what is not is a careful form of
:mod:`.forms`, or a function of ``engine.table.arrays``, printed with ``xp`` in place of NumPy.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ....engine import table as primitives
from ....engine.table import Primitive, arrays
from ...addresses import AnyArray
from ..literals import number
from ..rows import ATOM, PRODUCT, SIGN, SUM, is_numpys, printed
from . import forms
from .spelling import DEFAULTS, Spelling

POWER = 4


class Term(NamedTuple):
    """An operand as text."""

    text: str
    binds: int
    """How tightly."""
    plain: bool = False
    """Whether it is a number of Python's."""


def number_term(x: float) -> Term:
    """Return the text of a number."""
    text = number(x, "xp")
    return Term(text, SIGN if text.startswith("-") else ATOM, True)


# --- functions that are printed -------------------------------------------------------------------


class _Renamed(ast.NodeTransformer):
    """Puts ``xp`` in the place of NumPy, and takes annotations away."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name("xp", node.ctx) if node.id == "np" else node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        return node


def _of_arrays(function: Callable[..., Any]) -> str:
    tree = ast.parse(inspect.getsource(function))
    return ast.unparse(ast.fix_missing_locations(_Renamed().visit(tree)))


_SHARED = (  # functions of arrays that are pure as they are
    arrays.damped,
    arrays.silu,
    arrays.leaky_relu,
    arrays.normal_pdf,
    arrays.one_less_square,
    arrays.inverse_hypotenuse,
    arrays.lorentzian,
    arrays.gaussian,
    arrays.logistic_loss,
    arrays.whole_quotient,
    arrays.inversion,
)
_FORMS = {
    name: x
    for name, x in vars(forms).items()
    if inspect.isfunction(x) and x.__module__ == forms.__name__
}
SOURCES: dict[str, str] = {f.__name__: _of_arrays(f) for f in _SHARED}
SOURCES |= {name: printed(f).strip() for name, f in _FORMS.items()}
_KNOWN = {*SOURCES, *DEFAULTS}


def _called(text: str) -> list[str]:
    """Return the names of known functions that are called in *text*, in order."""
    found = [
        node.func.id
        for node in ast.walk(ast.parse(text.strip()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return [name for name in dict.fromkeys(found) if name in _KNOWN]


_FUNCTIONS = {  # rows that are a function of that name, or another
    **{getattr(primitives, name): name for name in (
        "damped", "silu", "leaky_relu", "normal_pdf", "one_less_square",
        "inverse_hypotenuse", "lorentzian", "gaussian", "logistic_loss", "sigmoid",
        "sigmoid_minus", "step", "sign", "whole_quotient", "inversion",
    )},
    primitives.soft_cross_entropy: "soft_cross_entropy",
}  # fmt: skip
_OF_A_CLASS: dict[Primitive, str] = {  # whose first argument says which of the others is meant
    primitives.softmax_entry: "softmax_entry",
    primitives.softmax_rest: "softmax_rest",
    primitives.cross_entropy: "cross_entropy_entry",
    primitives.take_entry: "take_entry",
}
_INFIX = (primitives.add, primitives.subtract, primitives.multiply, primitives.divide)
_CONDITIONS: dict[Primitive, str] = {
    primitives.equal: "==",
    primitives.less: "<",
    primitives.less_equal: "<=",
}
_FOLDED: dict[Primitive, str] = {
    primitives.maximum: "maximum",
    primitives.minimum: "minimum",
    primitives.logsumexp_of: "logaddexp",
}


class Rows:
    """Writes rows for one library, and remembers which functions have to be printed with them."""

    def __init__(self, spelling: Spelling):
        self.spelling = spelling
        self.helpers: dict[str, str] = {}
        """Words and forms that are called, in an order in which they can be defined."""
        self.constants: dict[str, AnyArray] = {}
        """The arrays of numbers, by the names that they have."""
        self.tables: dict[str, tuple[str, ...]] = {}
        """Of stretches, by name: the names of the constants that describe them."""
        self._words = {name.partition("(")[0]: name for name in spelling.words}
        self._known: dict[Any, str] = {}
        self._quotients: set[str] = set()  # texts, and names of what they are

    def helper(self, name: str) -> str:
        """Note that a word or form is needed, with all that it calls, and return its name."""
        if name not in self.helpers:
            text = self._definition(name)
            for other in _called(text):
                if other != name:
                    self.helper(other)
            self.helpers[name] = text
        return name

    def _definition(self, name: str) -> str:
        if name in self._words:
            signature = self._words[name]
            return f"def {signature}:\n    return {self.spelling.words[signature]}"
        return SOURCES[name] if name in SOURCES else printed(DEFAULTS[name]).strip()

    def text(self, expression: str) -> str:
        """Return *expression*, with the functions noted that it calls."""
        for name in _called(expression):
            self.helper(name)
        return expression

    # --- constants -------------------------------------------------------------------------------

    def constant(self, array: AnyArray) -> str:
        """Return the name of a constant array: c1, or i1 if it holds addresses."""
        kind = "c" if array.dtype.kind == "f" else "i"
        self.helper("constant" if kind == "c" else "indices")
        key = kind, array.shape, array.tobytes()
        if key not in self._known:
            self._known[key] = f"{kind}{1 + len(self.constants)}"
            self.constants[self._known[key]] = array
        return self._known[key]

    def stretches(self, starts: AnyArray, count: int) -> str:
        """Return the name of what describes the stretches of *count* elements from *starts* on."""
        key = "stretches", starts.tobytes(), count
        if key not in self._known:
            sizes = np.diff([*starts.tolist(), count])
            owner = np.repeat(np.arange(len(starts)), sizes)
            column = np.arange(sizes.max())
            places = starts[:, None] + column
            there = column < sizes[:, None]
            tables = (
                np.where(there, places, (starts + sizes - 1)[:, None]),
                np.where(there, places, count),
                owner,
                owner * len(column) + np.arange(count) - starts[owner],
            )
            name = self._known[key] = f"s{1 + len(self.tables)}"
            self.tables[name] = tuple(map(self.constant, tables))
        return self._known[key]

    # --- one row ---------------------------------------------------------------------------------

    def applied(self, row: Primitive, called: str, args: Sequence[Term]) -> Term:
        """Return *row* of *args* as text; a user's own row is *called* so."""
        if row in _INFIX:
            return self._infix(row, *args)
        if row is primitives.negative:
            return Term("-" + bound(args[0], SIGN), SIGN)
        if row is primitives.identity:
            return args[0]
        if row in _CONDITIONS:
            return Term(f"{self.helper('number')}({self.condition(row, args)})", ATOM)
        if row is primitives.where:
            return self.chosen(self.holds(args[0]), args[1], args[2])
        if row is primitives.power:
            return self._power(*args)
        if row is primitives.add_up or row is primitives.mean_of:
            total = args[0]
            for x in args[1:]:
                total = self._infix(primitives.add, total, x)
            if row is primitives.mean_of:
                total = self._infix(primitives.divide, total, number_term(float(len(args))))
            return total
        if row is primitives.dot_product:
            return self._dot(args)
        if row in _OF_A_CLASS:
            return self._entry(row, args)
        given = [self.array(x) for x in args]
        if row in _FOLDED:
            folded = given[0]
            for more in given[1:]:
                folded = self.numpys(_FOLDED[row], folded, more)
            return Term(folded, ATOM if len(given) > 1 else args[0].binds)
        if row in _FUNCTIONS:
            return Term(f"{self.helper(_FUNCTIONS[row])}({', '.join(given)})", ATOM)
        if row in _WRITTEN:
            return _WRITTEN[row](self, *args)
        if is_numpys(row.array):
            return Term(self.numpys(row.array.__name__, *given), ATOM)
        return Term(f"rows[{called!r}]({', '.join(given)})", ATOM)

    def array(self, x: Term) -> str:
        """Return an operand as an array, also where it is a number."""
        return f"{self.helper('full')}((), {x.text})" if x.plain else x.text

    def condition(self, row: Primitive, args: Sequence[Term]) -> str:
        """Return a comparison, which holds or does not."""
        left, right = (bound(x, SUM) for x in args)
        return f"{left} {_CONDITIONS[row]} {right}"

    def holds(self, x: Term) -> str:
        """Return that a number is not 0, as a condition."""
        return f"{self.array(x) if x.plain else bound(x, SUM)} != 0.0"

    def chosen(self, condition: str, a: Term, b: Term) -> Term:
        """Return the choice between *a* and *b*; of two numbers, the first is made an array."""
        first = self.array(a) if b.plain else a.text
        return Term(f"xp.where({condition}, {first}, {b.text})", ATOM)

    def _infix(self, row: Primitive, a: Term, b: Term) -> Term:
        if row is primitives.add and b.text == "0.0" and self.spelling.zero != "{0} + 0.0":
            return Term(self.text(self.spelling.zero.format(a.text)), ATOM)
        if row is primitives.divide and self.spelling.quotient and a.text in self._quotients:
            a = Term(self.spelling.quotient.format(a.text), ATOM)
        found = self._joined(row, a, b)
        if row is primitives.divide:
            self._quotients.add(found.text)
        return found

    def called(self, name: str, text: str) -> None:
        """Note that *name* is what *text* was."""
        if text in self._quotients:
            self._quotients.add(name)

    def forget(self) -> None:
        """Forget the names of the last function."""
        self._quotients.clear()

    def _joined(self, row: Primitive, a: Term, b: Term) -> Term:
        tight = SUM if row in (primitives.add, primitives.subtract) else PRODUCT
        same = row is primitives.add
        return Term(f"{bound(a, tight)} {row.name} {bound(b, tight + (not same))}", tight)

    def _power(self, x: Term, p: Term) -> Term:
        if not p.plain:
            return Term(f"{self.helper('power')}({self.array(x)}, {p.text})", ATOM)
        exponent = float(p.text.replace("xp.", ""))
        if abs(exponent) == 0.5:  # libraries take a root, also at -inf and -0
            text = f"{self.helper('root')}({x.text})"
            return Term(text, ATOM) if exponent > 0.0 else Term(f"1.0 / {text}", PRODUCT)
        return Term(f"{bound(x, ATOM)} ** {bound(p, ATOM)}", POWER)

    def _dot(self, args: Sequence[Term]) -> Term:
        n = len(args) // 2
        found = args[-1]
        for a, b in zip(args[:n], args[n:-1], strict=True):
            found = self._infix(primitives.add, found, self._infix(primitives.multiply, a, b))
        return found

    def _entry(self, row: Primitive, args: Sequence[Term]) -> Term:
        which, *others = args
        takes_number = row in (primitives.softmax_entry, primitives.softmax_rest)
        first = str(int(float(which.text))) if takes_number else self.array(which)
        given = ", ".join([first, *map(self.array, others)])
        return Term(f"{self.helper(_OF_A_CLASS[row])}({given})", ATOM)

    def numpys(self, name: str, *args: str) -> str:
        """Return the function that has that *name* in NumPy, of arrays."""
        template = self.spelling.functions.get(name)
        if template is not None:
            return self.text(template.format(*args))
        return f"xp.{name}({', '.join(args)})"


def _relu(rows: Rows, x: Term) -> Term:
    return Term(rows.numpys("relu", rows.array(x)), SUM)


def _hinge(rows: Rows, s: Term, y: Term) -> Term:
    return Term(rows.numpys("relu", f"1.0 - {bound(y, PRODUCT)} * {bound(s, SIGN)}"), SUM)


def _softplus(rows: Rows, z: Term) -> Term:
    zero = rows.array(number_term(0.0))
    return Term(rows.numpys("logaddexp", zero, rows.array(z)), ATOM)


def _logsigmoid(rows: Rows, z: Term) -> Term:
    return Term(f"-{_softplus(rows, Term(f'-{bound(z, SIGN)}', SIGN)).text}", SIGN)


def _normal_cdf(rows: Rows, x: Term) -> Term:
    scaled = f"{bound(x, SIGN)} * -{math.sqrt(0.5)!r}"
    return Term(f"0.5 * {rows.numpys('erfc', scaled)}", PRODUCT)


def _gelu(rows: Rows, x: Term) -> Term:
    return Term(f"{rows.helper('damped')}({x.text}, {_normal_cdf(rows, x).text})", ATOM)


def _square(rows: Rows, a: Term, y: Term) -> Term:
    return Term(f"xp.square({bound(a, SUM)} - {bound(y, PRODUCT)})", ATOM)


def _half_square(rows: Rows, a: Term, y: Term) -> Term:
    return Term(f"0.5 * {_square(rows, a, y).text}", PRODUCT)


_WRITTEN: dict[Primitive, Callable[..., Term]] = {
    primitives.relu: _relu,
    primitives.hinge_loss: _hinge,
    primitives.softplus: _softplus,
    primitives.logsigmoid: _logsigmoid,
    primitives.normal_cdf: _normal_cdf,
    primitives.gelu: _gelu,
    primitives.squared_error: _square,
    primitives.half_squared_error: _half_square,
    primitives.erf: lambda rows, x: Term(rows.numpys("erf", x.text), ATOM),
    primitives.erfc: lambda rows, x: Term(rows.numpys("erfc", x.text), ATOM),
}


def bound(x: Term, tight: int) -> str:
    """Return an operand, in parentheses if it binds less tightly than that."""
    return x.text if x.binds >= tight else f"({x.text})"
