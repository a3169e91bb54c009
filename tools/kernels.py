"""Write the C core's kernels from the table: values and partials of one and two arguments.

python tools/kernels.py            write formulas.h and table.h of chainrule/engine/native, and
                                   kernels.py of chainrule/compiler/printers
python tools/kernels.py --check    write nothing; exit status 1 if one of them is out of date

The functions of the table are called with symbols.  Arithmetic on a symbol writes itself down, a
row that meets one becomes a call of that row's kernel, and where a function asks whether a
condition on a symbol holds it is called once for each answer.  The exceptions of Python's
arithmetic do not come: C computes what the try block says, and its answers are IEEE's.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from chainrule.engine import methods, native
from chainrule.engine.table import BUILT_IN, TABLE, Primitive, floats, rows

FOLDER = Path(native.__file__).parent
HEAD = "/* Made by `python tools/kernels.py` from the rows of the table, which explain it. */"
WIDTH = 100
PRINTED = FOLDER.parents[1] / "compiler" / "printers" / "kernels.py"

IDENTIFIERS = {row: name for name, row in vars(rows).items() if isinstance(row, Primitive)}
OPERATORS = {rows.add: "+", rows.subtract: "-", rows.multiply: "*", rows.divide: "/"}
LIBM = {"log1p": "signed_log1p", "hypot": "math_hypot"}
"""Functions of Python's math module that C's of that name are not always."""
PRINTED_SLOPES = ("k_tanh_0",)
"""Partials that a plan has as a step of its own."""
PRINTED_BY_HAND = [
    "signed_log1p",
    "k_sum",
    "k_mean",
    "all_equal",
    "k_maximum",
    "k_minimum",
    "k_logsumexp",
    "normalise",
    "k_shares",
    "k_softmax",
    "all_but",
    "k_softmax_rest",
    "softmax_pullback",
    "surprisal_of_top",
    "below",
    "is_none",
    "k_cross_entropy",
    "k_soft_cross_entropy",
]
"""Functions of kernels.h that printed programs call: of any number of arguments."""
PRINTED_FOR_ONE = ["slopes", "surprisals", "softmax_minus"]
"""Forms of the machine that no row has: in careful.h for a column of vectors, printed for one."""


class UnwritableError(Exception):
    """A row cannot be written in C, for the reason given; it is computed by Python."""


# --- symbols -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Symbol:
    """A number in C: *text* with a place for each of *parts*; *atom* says that it needs no name."""

    text: str
    parts: tuple[Symbol, ...] = ()
    atom: bool = False
    made: ClassVar[dict[Any, Symbol]] = {}

    @staticmethod
    def of(text: str, *parts: Any) -> Symbol:
        """Return the symbol of such a text, one object for all that are alike."""
        key = (text, *(symbol(part) for part in parts))
        return Symbol.made.setdefault(key, Symbol(text, key[1:]))

    @staticmethod
    def __chainrule__(row: Primitive, args: tuple[Any, ...]) -> Symbol:
        if row in OPERATORS:
            return Symbol.of(f"({{}} {OPERATORS[row]} {{}})", *args)
        if row is rows.where:
            return Symbol.of("({} != 0.0 ? {} : {})", *args)
        if row is rows.softmax_entry:
            places = ", ".join(["{}"] * len(args))
            return Symbol.of(
                f"k_softmax((const double[]){{{{{places}}}}}, {len(args)}, NULL)", *args
            )
        if row.arity not in (1, 2):
            raise UnwritableError(f"{row.name} has no kernel of one or two arguments")
        return call(f"k_{IDENTIFIERS[row]}", *args)

    def __add__(self, other: Any) -> Symbol:
        return Symbol.of("({} + {})", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return Symbol.of("({} + {})", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return Symbol.of("({} - {})", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return Symbol.of("({} - {})", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return Symbol.of("({} * {})", self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return Symbol.of("({} * {})", other, self)

    def __truediv__(self, other: Any) -> Symbol:
        return Symbol.of("({} / {})", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return Symbol.of("({} / {})", other, self)

    def __neg__(self) -> Symbol:
        return Symbol.of("-{}", self)

    def __abs__(self) -> Symbol:
        return call("fabs", self)

    def __lt__(self, other: Any) -> Condition:
        return Condition(Symbol.of("{} < {}", self, other))

    def __le__(self, other: Any) -> Condition:
        return Condition(Symbol.of("{} <= {}", self, other))

    def __gt__(self, other: Any) -> Condition:
        return Condition(Symbol.of("{} > {}", self, other))

    def __ge__(self, other: Any) -> Condition:
        return Condition(Symbol.of("{} >= {}", self, other))

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return Condition(Symbol.of("{} == {}", self, other))

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return Condition(Symbol.of("{} != {}", self, other))

    __hash__ = object.__hash__


def call(function: str, *args: Any) -> Symbol:
    """Return the symbol of a call in C."""
    return Symbol.of(f"{function}({', '.join(['{}'] * len(args))})", *args)


def symbol(x: Any) -> Symbol:
    """Return *x*, a number or a symbol, as a symbol."""
    if isinstance(x, Symbol):
        return x
    number = float(x)
    text = repr(number)
    if math.isnan(number):
        text = "Py_NAN"
    elif math.isinf(number):
        text = "Py_HUGE_VAL" if number > 0.0 else "-Py_HUGE_VAL"
    return Symbol.made.setdefault(text, Symbol(text, atom=True))


# --- conditions ----------------------------------------------------------------------------------


class Condition:
    """A condition on symbols: it holds, or does not, as the tracer wants it now."""

    answers: ClassVar[dict[Symbol, bool]] = {}
    unknown: ClassVar[list[Symbol]] = []

    def __init__(self, text: Symbol) -> None:
        self.text = text

    def __bool__(self) -> bool:
        if self.text not in Condition.answers:
            Condition.unknown.append(self.text)
        return Condition.answers.get(self.text, True)


@dataclass(frozen=True)
class Choice:
    """What a function returns where a condition holds, and where not."""

    condition: Symbol
    yes: Choice | Symbol
    no: Choice | Symbol


def traced(function: Callable[[], Any]) -> Choice | Symbol:
    """Return what *function* returns, for every answer to the conditions that it asks for."""
    Condition.unknown.clear()
    result = function()
    if not Condition.unknown:
        return symbol(result)
    asked = Condition.unknown[0]
    found = []
    for answer in (True, False):
        Condition.answers[asked] = answer
        found.append(traced(function))
        del Condition.answers[asked]
    return Choice(asked, *found)


# --- Python's own functions on symbols -----------------------------------------------------------


def on_symbols(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function* of the math module, as a call in C where it is given a symbol."""

    def called(*args: Any) -> Any:
        if not any(isinstance(arg, Symbol) for arg in args):
            return function(*args)
        made = call(LIBM.get(name, name), *args)
        return Condition(made) if name.startswith("is") else made

    return called


def kernel(row: Primitive, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function*, the row's on floats, as a call of its kernel where given a symbol."""

    def called(*args: Any) -> Any:
        if any(isinstance(arg, Symbol) for arg in args):
            return call(f"k_{IDENTIFIERS[row]}", *args)
        return function(*args)

    return called


MATH = SimpleNamespace(
    **{
        name: on_symbols(name, thing) if callable(thing) else thing
        for name, thing in vars(math).items()
        if not name.startswith("_")
    }
)


@contextmanager
def writing() -> Iterator[None]:
    """Have the functions of ``floats`` take symbols in this block."""
    before = vars(floats).copy()
    known = {row.scalar: row for row in IDENTIFIERS if row.arity in (1, 2)}
    floats.math = MATH  # type: ignore[assignment]
    for name, function in before.items():
        if callable(function) and function in known:
            setattr(floats, name, kernel(known[function], function))
    try:
        yield
    finally:
        vars(floats).update(before)


# --- C -------------------------------------------------------------------------------------------


def text_of(x: Symbol, names: dict[Symbol, str]) -> str:
    """Return *x* as an expression in which some symbols have *names*."""
    if x in names:
        return names[x]
    parts = [text_of(part, names) for part in x.parts]
    if not x.text.startswith("("):  # a call: its arguments need no parentheses
        parts = [outer(part) for part in parts] if x.text.endswith(")") else parts
    return x.text.format(*parts)


def outer(text: str) -> str:
    """Return an expression without the parentheses around the whole of it."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return text[1:-1] if text[0] == "(" and i == len(text) - 1 else text
    return text


def shared(x: Symbol) -> list[Symbol]:
    """Return the symbols under *x* that occur in more than one place, those they need first."""
    uses: dict[Symbol, int] = {}
    order = []

    def visit(part: Symbol) -> None:
        uses[part] = uses.get(part, 0) + 1
        if uses[part] == 1:
            for inner in part.parts:
                visit(inner)
            order.append(part)

    visit(x)
    return [part for part in order if uses[part] > 1 and part.parts]


def statements(tree: Choice | Symbol, indent: str = "    ") -> list[str]:
    """Return the statements that return *tree*."""
    if isinstance(tree, Symbol):
        names: dict[Symbol, str] = {}
        lines = []
        for i, part in enumerate(shared(tree)):
            lines.append(f"{indent}double t{i} = {outer(text_of(part, names))};")
            names[part] = f"t{i}"
        return [*lines, f"{indent}return {outer(text_of(tree, names))};"]
    condition = text_of(tree.condition, {})
    yes, no = statements(tree.yes, indent), statements(tree.no, indent)
    if len(yes) == len(no) == 1:
        chosen = [line[0].strip().removeprefix("return ").removesuffix(";") for line in (yes, no)]
        if "?" in chosen[0]:
            chosen[0] = f"({chosen[0]})"
        line = f"{indent}return {condition} ? {chosen[0]} : {chosen[1]};"
        if len(line) <= WIDTH:
            return [line]
    return [
        f"{indent}if ({condition}) {{",
        *statements(tree.yes, indent + "    "),
        f"{indent}}}",
        *no,
    ]


def symbols_in(tree: Choice | Symbol) -> set[Symbol]:
    """Return all symbols of *tree*."""
    if isinstance(tree, Choice):
        return symbols_in(tree.condition) | symbols_in(tree.yes) | symbols_in(tree.no)
    return {tree}.union(*map(symbols_in, tree.parts))


def definition(name: str, arguments: tuple[str, ...], tree: Choice | Symbol) -> str:
    """Return the definition of a function in C."""
    used = symbols_in(tree)
    unused = [f"(void){x}" for x in arguments if argument(x) not in used]
    lines = statements(tree)
    if unused:
        lines.insert(0, f"    {', '.join(unused)};")
    parameters = ", ".join(f"double {x}" for x in arguments)
    short = f"static double {name}({parameters}) {{ {' '.join(line.strip() for line in lines)} }}"
    if len(short) <= WIDTH and len(lines) <= 2:
        return short + "\n"
    return "\n".join([f"\nstatic double\n{name}({parameters})", "{", *lines, "}\n\n"])


def argument(name: str) -> Symbol:
    """Return the symbol of an argument."""
    return Symbol.made.setdefault(("argument", name), Symbol(name, atom=True))


@dataclass
class Kernel:
    """A row in C: its value, and its partials by the names of their functions, or NULL."""

    row: Primitive
    functions: list[str]
    partials: list[str]
    written: int = 0

    @property
    def constant(self) -> str:
        """Return its name among the kernels."""
        return IDENTIFIERS[self.row].upper()


def kernel_of(row: Primitive) -> Kernel:
    """Return *row* in C; UnwritableError where it has no such kernel."""
    names = ("x",) if row.arity == 1 else ("a", "b")
    args = [argument(name) for name in names]
    own = f"k_{IDENTIFIERS[row]}"
    with writing():
        if getattr(row.scalar, "__module__", None) == "math":
            tree: Choice | Symbol = symbol(MATH.__dict__[row.scalar.__name__](*args))
        else:
            tree = traced(lambda: row.scalar(*args))
        made = Kernel(row, [definition(own, names, tree)], [])
        for i, partial in enumerate(row.partials):
            if partial is None:
                made.partials.append("NULL")
                continue
            given = (*args, argument("y"))
            slope = traced(lambda p=partial, at=given: p(*at) if callable(p) else p)
            made.partials.append(f"{own}_{i}")
            made.functions.append(definition(f"{own}_{i}", (*names, "y"), slope))
            made.written += 1
    return made


def kernels() -> tuple[list[Kernel], dict[str, str]]:
    """Return all kernels, and why other rows of one or two arguments have none."""
    found, without = [], {}
    for name in (name for name in TABLE if name in BUILT_IN):
        row = TABLE[name]
        if row.arity in (1, 2) and row.selects is None:
            try:
                found.append(kernel_of(row))
            except UnwritableError as reason:
                without[name] = str(reason)
    return found, without


def listed(name: str, parameter: str, lines: list[str]) -> str:
    """Return the definition of a list that is written once and used by macros."""
    return " \\\n".join([f"#define {name}({parameter})", *(f"    {line}" for line in lines)]) + "\n"


def files() -> dict[str, str]:
    """Return the files by name: the functions, and the lists of rows and methods."""
    found, without = kernels()
    parts = [HEAD, "\n\n"]
    for kernel in found:
        parameters = ", ".join(["double"] * (kernel.row.arity or 0))
        parts.append(f"static double k_{IDENTIFIERS[kernel.row]}({parameters});\n")
    parts.append("\n")
    parts += [function for kernel in found for function in kernel.functions]
    formulas = "".join(parts)
    while "\n\n\n" in formulas:
        formulas = formulas.replace("\n\n\n", "\n\n")
    parts = [HEAD, "\n"]
    public = {kernel.row: kernel for kernel in found}
    for arity, title in ((1, "UNARY_ROWS"), (2, "BINARY_ROWS")):
        lines = [
            f'ROW({k.constant}, "{k.row.name}", k_{IDENTIFIERS[k.row]}, {", ".join(k.partials)})'
            for k in found
            if k.row.arity == arity
        ]
        parts += ["\n", listed(title, "ROW", lines)]
    lines = [
        f"METHOD({name}, {public[row].constant})"
        for name, row in sorted(methods.names().items())
        if row in public
    ]
    parts += ["\n", listed("UNARY_METHODS", "METHOD", lines)]
    parts += [f"\n/* Not here: {name}, for {why}. */\n" for name, why in without.items()]
    return {"formulas.h": formulas.rstrip() + "\n", "table.h": "".join(parts)}


# --- for printed programs ------------------------------------------------------------------------

PRINTED_HEAD = '''"""The kernels of the C core, for printed programs.

Made by ``python tools/kernels.py`` from the rows of the table, which explain it, from the rows of
any number of arguments in kernels.h, and from forms in the machine's careful.h.  ``@real`` stands
for the type of the numbers, and every other ``@`` for what C adds to a constant, or to a function
of libm, that is of this type.
"""

from __future__ import annotations

'''
IN_MATH_H = [
    "exp",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sqrt",
    "pow",
    "fabs",
    "copysign",
    "floor",
    "fmod",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "atan2",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "erfc",
]
SPELLINGS = [
    (r"\bdouble\b", "@real"),
    (r"\bPy_ssize_t\b", "int"),
    (r"\bPy_NAN\b", "NAN"),
    (r"\bPy_HUGE_VAL\b", "INFINITY"),
    (r"(?<![\w.])(\d+\.\d*(?:e[+-]?\d+)?)", r"\1@"),
    (rf"\b({'|'.join(IN_MATH_H)})\(", r"\1@("),
    (r"\bmath_hypot\(", "hypot@("),  # there is no interpreter to ask
]


def by_hand(name: str) -> str:
    """Return the definition of a function in kernels.h."""
    text = (FOLDER / "kernels.h").read_text(encoding="utf-8")
    found = re.search(rf"^static \w+ {name}\(.*}}$", text, re.M)
    found = found or re.search(rf"^static \w+\n{name}\(.*?^}}$", text, re.M | re.S)
    if found is None:
        raise LookupError(f"kernels.h has no function {name}")
    return found[0] + "\n"


OF_ONE = [
    (r"EACH_ROW\(k\)\n    {", "for (Py_ssize_t k = 0; k < n; k++) {"),
    (
        r"V top = LEVEL\(softmax\)\(n, w, z\);",
        "LEVEL(softmax)(n, w, z);\n    V top = LEVEL(top)(n, w, z);",
    ),
    (r"LEVEL\(softmax\)\(n, w, z\)", "k_shares(z, n, result)"),
    (r"LEVEL\(top\)\(n, w, z\)", "k_maximum(z, n, NULL)"),
    (r"V top = ([^;]*?), of_top = ", r"V top = \1;\n    V of_top = "),
    (
        r"LEVEL\(surprisal_of_top\)\(n, w, z, top\)",
        "is_none(top) ? NAN : surprisal_of_top(z, n, top)",
    ),
    (r"- LEVEL\(below\)\(", "+ below("),  # which kernels.h has with the other sign
    (r"\bSET\(([^()]*)\)", r"\1"),
    (r"\bLOAD\(AT\((\w), k\)\)", r"\1[k]"),
    (r"\bV\b", "double"),
]
"""What a vector form is for one example: its numbers lie side by side, and it may branch."""


def for_one(name: str) -> str:
    """Return a form of careful.h for one example, whose result has a place of its own."""
    text = (FOLDER / "machine" / "vector" / "careful.h").read_text(encoding="utf-8")
    head = rf"((?:/\*[^\n]*\*/\n)?)static void\nLEVEL\({name}_column\)\((.*?)\)\n({{.*?^}}$)"
    found = re.search(head, text, re.M | re.S)
    if found is None:
        raise LookupError(f"careful.h has no function {name}_column")
    about, arguments, body = found.groups()
    for pattern, one in OF_ONE:
        body = re.sub(pattern, one, body)
    body = without_calls("SELECT", body, "({} ? {} : {})")
    body = without_calls("STORE", body, "{} = {}")
    body = re.sub(r"AT\(z, k\) = (\()?(.*?)(?(1)\));", r"result[k] = \2;", body)
    if "k_shares(" in body:  # from there on z is not read any more
        before, call, after = body.partition("k_shares(z, n, result);")
        body = before + call + re.sub(r"\bz\[k\]", "result[k]", after)
    given = [x for x in arguments.split(", ") if x[-1] in "zy"]
    given = [f"const double *{x[-1]}" for x in given]
    signature = ", ".join([*given, "Py_ssize_t n", "double *result"])
    return f"{about}static void\n{name}({signature})\n{body}\n"


def without_calls(function: str, text: str, form: str) -> str:
    """Return *text* with each call of *function* written as *form* with its arguments."""
    while (start := text.find(f"{function}(")) >= 0:
        args, depth, first = [], 0, start + len(function) + 1
        for i in range(first, len(text)):
            if depth == 0 and text[i] in ",)":
                args.append(text[first:i].strip())
                first = i + 1
                if text[i] == ")":
                    break
            depth += {"(": 1, ")": -1}.get(text[i], 0)
        text = text[:start] + form.format(*args) + text[i + 1 :]
    return text


def printed() -> str:
    """Return the functions that printed programs call, as a module: their texts and needs."""
    texts = {name: by_hand(name) for name in PRINTED_BY_HAND}
    texts.update({name: for_one(name) for name in PRINTED_FOR_ONE})
    for kernel in kernels()[0]:
        for function in kernel.functions:
            name = re.search(r"\w+(?=\()", function)[0]  # type: ignore[index]
            if name == f"k_{IDENTIFIERS[kernel.row]}" or name in PRINTED_SLOPES:
                texts[name] = function.strip() + "\n"
    parts = [PRINTED_HEAD, "FORMULAS = {\n"]
    needs = {}
    for name, text in texts.items():
        needs[name] = sorted((set(re.findall(r"\w+", text)) & texts.keys()) - {name})
        for pattern, spelling in SPELLINGS:
            text = re.sub(pattern, spelling, text)
        parts.append(f'    "{name}": """\\\n{text}""",\n')
    parts.append('}\n"""By name, what defines a function."""\n\n')
    parts.append("NEEDS = {\n")
    parts += [f'    "{name}": "{" ".join(used)}",\n' for name, used in needs.items() if used]
    parts.append('}\n"""The functions that a function calls, if it calls any."""\n')
    return "".join(parts)


def main() -> None:
    """Do what the command line says."""
    found = {FOLDER / name: text for name, text in files().items()}
    for file, text in {**found, PRINTED: printed()}.items():
        if "--check" not in sys.argv[1:]:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            sys.exit(f"{file} is out of date: python tools/kernels.py")


if __name__ == "__main__":
    main()
