r"""Formulas: the expression that a graph computes, and the derivative of each primitive, in LaTeX.

Both are read from the table: a row says how it is written (``latex``), how tightly that binds
(``precedence``), and how tightly its arguments must bind to need no parentheses (``binds``).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence

from ..engine import table
from ..engine.backend import Value
from ..engine.sweeps import topological_order
from ..engine.table import Primitive
from .symbols import Expression, Symbol, partials
from .text import check_limit, short, visible

Written = tuple[str, int]
"""A formula and how tightly it binds: 1 a sum, 2 a product, 3 a sign, 4 a power, 9 an atom."""

_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta",
    "η": "eta", "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu",
    "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi",
    "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda",
    "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Υ": "Upsilon", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_BAR = r"\vert "  # a bare bar would end a cell of a table
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    **{character: "\\" + character for character in "#$%&_{}"},
}
_WORD = r"(?P<base>[^\W\d_]+)"
_NAME = re.compile(
    rf"{_WORD}(?P<layer>\d+)\[(?P<index>\d+(?:, ?\d+)*)\]"  # Theta1[2,0]
    rf"|{_WORD.replace('base', 'base2')}(?:_?(?P<number>\d+)|\[(?P<index2>\d+(?:, ?\d+)*)\]"
    rf"|_(?P<sub>[^\W_]+))?(?P<primes>'*)"
)


# --- the expression of a graph -------------------------------------------------------------------


def latex(root: Value, *, limit: int = 4000) -> str:
    r"""Return the expression that computed *root*, in LaTeX.

    A leaf appears by its label or, if it has none, as its number.

    >>> import chainrule as cr
    >>> w1, x, b = cr.Value(-3.0, "w1"), cr.Value(2.0, "x"), cr.Value(6.88, "beta")
    >>> print(latex(cr.tanh(w1 * x + b) ** 2))
    \tanh\left(w_{1} \, x + \beta\right)^{2}

    A node that is used twice is written out twice, so a formula can be exponentially longer than
    its graph: ValueError as soon as a part of it exceeds *limit* characters.
    """
    if not isinstance(root, Value):
        raise TypeError(
            f"latex: expected a Value, the root of a graph, not {type(root).__name__}"
            + "; latex_partials writes derivatives of a primitive" * isinstance(root, Primitive)
        )
    check_limit("latex: limit", limit)
    order = topological_order([root])
    written: dict[Value | float, Written] = {}
    text = ""
    for node in order:
        row = node.primitive
        if row is None:
            written[node] = _leaf(node)
        else:
            written[node] = apply(row, [written.get(x) or _leaf(x) for x in node.operands])
        text, _ = written[node]
        if max(len(order), len(text)) > limit:
            raise ValueError(
                f"latex: the formula of this graph of {len(order):,} nodes is longer than "
                f"{limit:,} characters: write a part of it with viz.latex(node), or draw it with "
                "viz.draw(root)"
            )
    return text


def _leaf(node: Value | float) -> Written:
    """Return a constant, a leaf, or a Value that ``where`` did not choose, by label or number."""
    if not isinstance(node, Value):
        return number(node)
    return name(node.label) if node.label else number(node.data)


def apply(row: Primitive, args: Sequence[Written]) -> Written:
    r"""Return *row* applied to *args*, with parentheses where an argument needs them.

    >>> apply(table.multiply, [("a + b", 1), ("c", 9)])[0]
    '\\left(a + b\\right) \\, c'
    """
    binds = row.binds or (0,)
    texts = []
    for i, (text, precedence) in enumerate(args):
        needed = binds[min(i, len(binds) - 1)]
        after_sign = i > 0 or row is table.negative
        if precedence < needed or (needed and after_sign and text.startswith("-")):
            text = rf"\left({text}\right)"
        texts.append(text)
    try:
        if callable(row.latex):
            return row.latex(texts), row.precedence
        if row.arity is None:
            texts = [", ".join(texts)]
        return row.latex.format(*texts), row.precedence
    except (IndexError, KeyError, ValueError) as error:
        raise ValueError(
            f"primitive {row.name}: its latex {row.latex!r} cannot be filled in ({error!r}); write "
            "{0}, {1}, ... for the arguments and double all other braces"
        ) from None


def number(x: float) -> Written:
    r"""Return *x* to four significant digits.

    >>> number(-1.5e-7), number(1e300)
    (('-1.5 \\cdot 10^{-7}', 2), ('10^{300}', 4))
    """
    if x != x:
        return r"\mathrm{nan}", 9
    mantissa, _, exponent = short(x).replace("inf", r"\infty").partition("e")
    if not exponent:
        return mantissa, 3 if mantissa.startswith("-") else 9
    if mantissa in ("1", "-1"):
        return f"{mantissa[:-1]}10^{{{exponent}}}", 3 if mantissa == "-1" else 4
    return rf"{mantissa} \cdot 10^{{{exponent}}}", 2


def name(label: str) -> Written:
    r"""Return a label as a name: letters upright in words, digits below, Greek in Greek.

    >>> [name(label)[0] for label in ("w1", "Theta1[2,0]", "a_in", "loss", "50% more")]
    ['w_{1}', '\\Theta^{(1)}_{2,0}', 'a_{\\mathrm{in}}', '\\mathrm{loss}', '\\text{50\\% more}']
    """
    match = _NAME.fullmatch(label)
    if match is None or len(label) > 24:
        return rf"\text{{{_escaped(visible(label))}}}", 9
    if match["layer"]:
        # Before another superscript it needs parentheses, as a power does.
        return f"{_base(match['base'])}^{{({match['layer']})}}_{{{match['index']}}}", 4
    below = match["number"] or match["index2"]
    if match["sub"]:
        below = _base(match["sub"])
    subscript = f"_{{{below}}}" if below else ""
    return f"{_base(match['base2'])}{match['primes']}{subscript}", 9


def _base(word: str) -> str:
    word = _GREEK.get(word, word)
    if word in _GREEK.values():
        return "\\" + word
    if not word.isascii():
        return rf"\text{{{_escaped(visible(word))}}}"
    return word if len(word) == 1 else rf"\mathrm{{{word}}}"


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)


# --- the derivatives of the table ----------------------------------------------------------------


def latex_partials(primitive: Primitive | str) -> tuple[str, ...]:
    r"""Return the partial derivatives of a *primitive*, or of the primitive of that name, in LaTeX.

    There is one formula per argument, obtained by calling the partials of the row with symbols.

    >>> import chainrule as cr
    >>> latex_partials(cr.log), latex_partials("*")
    (('\\frac{1}{x}',), ('b', 'a'))
    >>> print(latex_partials(cr.sqrt)[0])
    \frac{1}{2 \, \sqrt{x}}

    The formulas hold where the function is differentiable; elsewhere the library's conventions say
    what the derivative is.  If an operation takes any number of arguments, the formulas are for
    two.
    """
    row = _row(primitive)
    return tuple(_written(partial)[0] for partial in _partials(row, _arguments(row)))


def derivative_table() -> str:
    r"""Return all primitives and their derivatives as a Markdown table with LaTeX formulas.

    >>> table_lines = derivative_table().splitlines()
    >>> print(next(line for line in table_lines if line.startswith("| `log` ")))
    | `log` | $\ln\left(x\right)$ | $\frac{1}{x}$ |
    """
    lines = ["| operation | written | derivative |", "|---|---|---|"]
    for row in table.TABLE.values():
        args = _arguments(row)
        formula = _written(Symbol(row=row, args=_with_constants(row, args)))[0]
        cells = f"`{visible(row.name)}`", f"${formula}$", _derivative_cell(row, args)
        lines.append(f"| {' | '.join(cell.replace('|', _BAR) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _derivative_cell(row: Primitive, args: Sequence[Symbol]) -> str:
    try:
        formulas = [_written(partial)[0] for partial in _partials(row, args)]
    except TypeError:  # a user's row: latex_partials would say what is wrong with it
        return "(no formula)"
    if len(args) > 1:
        formulas = [
            rf"\frac{{\partial}}{{\partial {_written(arg)[0]}}} = {formula}"
            for arg, formula in zip(args, formulas, strict=True)
        ]
    return ", ".join(f"${formula}$" for formula in formulas)


def _row(primitive: Primitive | str) -> Primitive:
    if isinstance(primitive, str):
        if primitive not in table.TABLE:
            raise ValueError(
                f"latex_partials: no primitive is named {primitive!r}; there are "
                f"{', '.join(table.TABLE)}"
            )
        return table.TABLE[primitive]
    if not isinstance(primitive, Primitive):
        raise TypeError(
            f"latex_partials: expected a primitive or its name, not {type(primitive).__name__}; "
            "functions of any number of values are primitives by name: 'sum', 'dot', 'softmax'"
        )
    return primitive


def _arguments(row: Primitive) -> list[Symbol]:
    """Return names for the arguments: those that the row's own partials give them."""
    if row is table.dot_product:
        names = ["w1", "w2", "x1", "x2", "b"]
    elif row is table.soft_cross_entropy:
        names = ["y0", "y1", "z0", "z1"]
    elif row.arity is None:
        names = ["x0", "x1"]
    else:
        names = ["x"] if row.arity == 1 else list("abcdefgh"[: row.arity])
        for partial in filter(callable, row.partials):
            parameters = list(inspect.signature(partial).parameters)
            if len(parameters) == row.arity + 1:
                names = parameters[:-1]
                break
    return [Symbol(name) for name in names]


def _with_constants(row: Primitive, args: Sequence[Symbol]) -> tuple[Expression, ...]:
    return (0.0, *args) if row in table.OF_A_CLASS else tuple(args)


def _partials(row: Primitive, args: Sequence[Symbol]) -> list[Expression]:
    try:
        return partials(row, args)
    except TypeError as error:
        raise TypeError(
            f"the derivative of {row.name} cannot be written as a formula ({error}): write its "
            "partials in the library's functions (chainrule.exp, not math.exp)"
        ) from error


def _written(x: Expression) -> Written:
    if not isinstance(x, Symbol):
        return number(x)
    if x.row is None:
        return name(x.name)
    return apply(x.row, [_written(arg) for arg in x.args])
