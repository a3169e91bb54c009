"""Expressions written as text: what ``chainrule draw`` reads.

Python's own parser turns the text into a syntax tree, and a walk over that tree turns it into a
graph.  The walk knows numbers, names, arithmetic, lists and the library's functions, and refuses
everything else; no part of the text is ever run.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import math
import operator
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import chainrule as cr

from ..engine import table as primitives
from ..engine.table import Primitive, as_float

MAX_LENGTH = 2000
"""The longest text that is read, in characters: the drawing of a longer one would be unreadable."""

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: primitives.add,
    ast.Sub: primitives.subtract,
    ast.Mult: primitives.multiply,
    ast.Div: primitives.divide,
    ast.Mod: primitives.remainder,
    ast.Pow: primitives.power,
    ast.USub: primitives.negative,
    ast.UAdd: operator.pos,
}


_OF_A_LIST = ("sum", "mean", "logsumexp")
_CONSTANTS = {"pi": math.pi, "π": math.pi, "e": math.e, "tau": math.tau}
"""Names that have a value where none is given for them."""
_TYPESET = str.maketrans("·⋅×−", "***-")
"""Operators as they are typeset, and as Python writes them: character by character, so that a
position in one text is one in the other."""
_SUBSCRIPTS = re.compile(r"(?<=[^\W\d])[₀-₉]+")
"""Digits below the line, right after a letter."""
_SUPERSCRIPT = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_NUMBER_AND_MORE = re.compile(
    r"(?<![\w.])((?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?!(?:[eE])?\d)([^\W\d]\w*)"
)
_NAME_AND_MORE = re.compile(r"(?<![\w.])([^\W\d]\w*)\s+(\w+)")
_OTHER_NAMES = {
    "ln": "did you mean log?",
    "softmax": "it has several results, but an expression has one: exp(x)/(exp(x) + exp(y))",
}


class ExpressionError(ValueError):
    """The text of an expression, or the values given for its names, cannot be understood."""


def functions() -> dict[str, Callable[..., Any]]:
    """Return the functions that an expression may call, by their names in the library."""
    public = {name: getattr(cr, name) for name in cr.__all__}
    rows = {name: f for name, f in public.items() if isinstance(f, Primitive)}
    return rows | {"sum": cr.sum, "mean": cr.mean, "dot": cr.dot, "logsumexp": cr.logsumexp}


def evaluate(text: str, at: Mapping[str, Any]) -> Any:
    """Return the value of the expression *text*, with the names in it as given in *at*.

    The values of the names are numbers or Values.

    >>> from chainrule import Value
    >>> w, x, b = Value(-3.0), Value(2.0), Value(6.0)
    >>> y = evaluate("tanh(w*x + b)", {"w": w, "x": x, "b": b})
    >>> y.op, y.data
    ('tanh', 0.0)

    Functions are called as in the library, so a neuron is ``tanh(dot([w1, w2], [x1, x2], b))``.

    ExpressionError if *text* is longer than ``MAX_LENGTH`` or holds anything but numbers, names,
    ``+ - * / % **``, lists and calls of :func:`functions`, or if the names in *at* are not exactly
    those in *text*; ``pi``, ``e`` and ``tau`` have their usual values if none is given.  Arithmetic
    on constants is IEEE arithmetic, done at once.  Operators may be typeset, as in ``w₁·x₁``, and
    w₁ is another spelling of w1.
    """
    try:
        tree = _parse(text)
        values = {spelled(name): value for name, value in at.items()}
        names = _names(tree)
        values = {name: _CONSTANTS[name] for name in names if name in _CONSTANTS} | values
        _match(names, values, _called(tree))
        result = _Walk(in_python(text), values).visit(tree)
    except (RecursionError, MemoryError):  # of Python's parser, or of the walk
        raise ExpressionError("the expression is nested too deeply") from None
    if isinstance(result, list):
        raise ExpressionError("the expression is a list: expected one number")
    return result


def constants(text: str, at: Mapping[str, Any]) -> dict[str, float]:
    """Return the names in *text* that have their usual values, since *at* gives them no others.

    >>> constants("sin(pi*x)", {"x": 1.0})
    {'pi': 3.141592653589793}
    """
    given = {spelled(name) for name in at}
    return {n: _CONSTANTS[n] for n in _names(_parse(text)) if n in _CONSTANTS and n not in given}


def spelled(name: str) -> str:
    """Return a name as Python spells it.

    >>> spelled("w₁")
    'w1'
    """
    return unicodedata.normalize("NFKC", in_python(name))


def in_python(text: str) -> str:
    """Return *text* with what is typeset in it as Python writes it."""
    return _SUBSCRIPTS.sub(
        lambda digits: unicodedata.normalize("NFKC", digits[0]), text.translate(_TYPESET)
    )


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"the expression has {len(text)} characters: at most {MAX_LENGTH} are read"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are about source code, which this is not
            return ast.parse(in_python(text).strip(), mode="eval").body
    except SyntaxError as error:
        if not text.strip():
            raise ExpressionError("the expression is empty: write one such as x**2") from None
        says = _instead(in_python(text)) or error.msg
        raise ExpressionError(f"cannot read {_short(text)}: {says}") from None
    except ValueError as error:  # null bytes, lone surrogates
        raise ExpressionError(f"cannot read {_short(text)}: {error}") from None


def _instead(text: str) -> str:
    """Say how something is written that Python cannot read; empty if it is none of the usual."""
    if found := _SUPERSCRIPT.search(text):
        power = unicodedata.normalize("NFKC", found[0]).replace("−", "-")
        return f"a power is written **{power}"
    if (found := _NUMBER_AND_MORE.search(text)) and not keyword.iskeyword(found[2]):
        return f"a product is written {found[1]}*{found[2]}"
    for found in _NAME_AND_MORE.finditer(text):
        first, second = found.groups()
        if first in functions():
            return f"write {first}({second})"
        if not (keyword.iskeyword(first) or keyword.iskeyword(second)):
            return f"a product is written {first}*{second}"
    return ""


def _called(tree: ast.expr) -> set[str]:
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {function.id for function in calls if isinstance(function, ast.Name)}


def _names(tree: ast.expr) -> list[str]:
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called]
    return list(dict.fromkeys(n.id for n in sorted(found, key=lambda n: (n.lineno, n.col_offset))))


def _match(names: Iterable[str], values: Mapping[str, Any], called: set[str]) -> None:
    missing = [name for name in names if name not in values]
    extra = sorted(set(values).difference(names))
    found = [f"no value for {', '.join(missing)}"] if missing else []
    if missing and not values:
        found[0] += f": give it as in --at {','.join(f'{name}=2' for name in missing[:3])}"
    found += [f"a value for {_short(', '.join(extra))}, not in the expression"] if extra else []
    found += [f"a product is written {n}*(...)" for n in extra if n in called]
    found += [hint for name in missing if (hint := _run_together(name, values))]
    if found:
        raise ExpressionError("; ".join(found))


def _run_together(name: str, values: Mapping[str, Any]) -> str:
    """Say what is meant by *name* if it is a function, or two names without a sign between."""
    known = functions()
    if name in known:
        return f"a function is called: {name}(x)"
    for first, second in [(name[:k], name[k:]) for k in range(1, len(name))]:
        if second in values and (first in values or first in _CONSTANTS):
            return f"a product is written {first}*{second}"
        if second in values and first in known:
            return f"write {first}({second})"
    return ""


class _Walk(ast.NodeVisitor):
    """Computes the value of each node of the syntax tree from those below it."""

    def __init__(self, text: str, values: Mapping[str, Any]) -> None:
        self.text, self.values, self.functions = text.strip(), values, functions()

    def visit_Constant(self, node: ast.Constant) -> float:
        if type(node.value) not in (int, float):
            self.generic_visit(node)
        return as_float(node.value, "number")

    def visit_Name(self, node: ast.Name) -> Any:
        return self.values[node.id]

    def visit_List(self, node: ast.List) -> list[Any]:
        return [self.visit(element) for element in node.elts]

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        return self.apply(node, _OPERATORS.get(type(node.op)), [node.operand])

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        return self.apply(node, _OPERATORS.get(type(node.op)), [node.left, node.right])

    def visit_Call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Constant):
            raise ExpressionError(
                f"{self.source(node)}: a product is written {ast.unparse(node.func)}*(...)"
            )
        if not isinstance(node.func, ast.Name) or node.keywords:
            self.generic_visit(node)
        name = node.func.id
        if name in self.values and name not in self.functions:
            raise ExpressionError(f"{self.source(node)}: a product is written {name}*(...)")
        if name not in self.functions:
            raise ExpressionError(f"there is no function named {name!r}: {self._known(name)}")
        if name in _OF_A_LIST and not (len(node.args) == 1 and isinstance(node.args[0], ast.List)):
            inside = ", ".join(ast.unparse(argument) for argument in node.args) or "x, y"
            raise ExpressionError(
                f"{self.source(node)}: {name} takes one list: {_short(f'{name}([{inside}])')}"
            )
        return self.apply(node, self.functions[name], node.args)

    def _known(self, name: str) -> str:
        """Suggest the function that is meant, or list the functions."""
        if name in _OTHER_NAMES:
            return _OTHER_NAMES[name]
        close = difflib.get_close_matches(name, self.functions, n=1, cutoff=0.5)
        return f"did you mean {close[0]}?" if close else ", ".join(sorted(self.functions))

    def apply(
        self, node: ast.expr, function: Callable[..., Any] | None, operands: list[ast.expr]
    ) -> Any:
        if function is None:
            self.generic_visit(node)
        arguments = [self.visit(operand) for operand in operands]
        try:
            return function(*arguments)
        except (TypeError, ValueError) as error:
            raise ExpressionError(f"{self.source(node)}: {error}") from None

    def generic_visit(self, node: ast.AST) -> NoReturn:
        hint = "; a power is written **" if isinstance(getattr(node, "op", 0), ast.BitXor) else ""
        if isinstance(node, ast.Compare):
            hint = "; a comparison is a function, 1 or 0: less(a, b) for a < b"
        if isinstance(node, ast.IfExp):
            hint = "; a choice is where(condition, a, b)"
        raise ExpressionError(
            f"{self.source(node)} is not understood: an expression is made of numbers, names, "
            f"+ - * / **, lists and functions{hint}"
        )

    def source(self, node: ast.AST) -> str:
        return _short(ast.get_source_segment(self.text, node) or self.text)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
