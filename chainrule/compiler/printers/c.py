"""Plans as C99: one file that needs nothing but libm, for a microcontroller or any other program.

Every step of a plan becomes a loop over the numbers of one example; the gradient goes over the
examples of a batch.  Arrays have the sizes that the plan says, so nothing is allocated.  Kernels of
rows are those of the C core, printed from the table; only those that are called are printed.

In the text as it is made, ``@real`` stands for the type of the numbers, and every other ``@`` for
the ``f`` that constants and functions of that type have in C, if it is float.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...engine import table as primitives
from ...engine.table import Primitive, rows
from ..accesses import NARROW, read, written
from ..plan import BLOCK, ONE_MINUS, ONE_MINUS_SQUARE, STILL, SUMS, Operand, Plan, Step
from ..program import AnyArray
from .kernels import FORMULAS, NEEDS

PRECISIONS = ("double", "float")

_PLAIN = 200  # flat steps up to which each is a line of its own, and not of a table
_FEW = 4  # terms of a sum that are added in one expression
_WIDTH = 96

_IDENTIFIERS = {row: name for name, row in vars(rows).items() if isinstance(row, Primitive)}
_OPERATORS = {
    primitives.add: "+",
    primitives.subtract: "-",
    primitives.multiply: "*",
    primitives.divide: "/",
}
_VARIADIC = {
    "sum_of": "k_sum",
    "mean_of": "k_mean",
    "maximum": "k_maximum",
    "minimum": "k_minimum",
    "logsumexp_of": "k_logsumexp",
    "softmax_entry": "k_softmax",
    "softmax_rest": "k_softmax_rest",
    "cross_entropy": "k_cross_entropy",
    "soft_cross_entropy": "k_soft_cross_entropy",
    "take_entry": "take",
}
"""Kernels of rows of any number of arguments, by the rows' identifiers."""

_HELPERS = {
    "is_row": """\
/* Is x a whole number from 0 to count - 1? */
static int
is_row(@real x, int count)
{
    return x >= 0.0@ && x < (@real)count && x == floor@(x);
}
""",
    "take": """\
/* The entry x[0] of the numbers that follow; NAN if there is none. */
static @real
take(const @real *x, int n, @real *unused)
{
    (void)unused;
    return is_row(x[0], n - 1) ? x[1 + (int)x[0]] : NAN;
}
""",
    "slopes": """\
/* The derivatives of logsumexp: the softmax, but 0 where all is -INFINITY. */
static void
slopes(const @real *z, int n, @real *result)
{
    if (k_maximum(z, n, NULL) == -INFINITY) {
        all_equal(0.0@, n, result);
    }
    else {
        k_shares(z, n, result);
    }
}
""",
    "surprisals": """\
/* Minus the logarithm of the softmax. */
static void
surprisals(const @real *z, int n, @real *result)
{
    @real top = k_maximum(z, n, NULL);
    @real of_top = is_none(top) ? NAN : surprisal_of_top(z, n, top);
    for (int i = 0; i < n; i++) {
        result[i] = below(z[i], top) + of_top;
    }
}
""",
    "softmax_minus": """\
/* softmax(z) - y, with all digits also where both are almost 1. */
static void
softmax_minus(const @real *z, const @real *y, int n, @real *result)
{
    @real rest = 0.0@, total = 0.0@;
    k_shares(z, n, result);
    for (int i = 0; i < n; i++) {
        rest = rest + (result[i] > 0.9@ ? 0.0@ : result[i]);
        total = total + y[i];
    }
    for (int i = 0; i < n; i++) {
        @real p = result[i];
        result[i] = p > 0.9@ ? (total - y[i]) * p - y[i] * rest : p * total - y[i];
    }
}
""",
}
_HELPERS_NEED = {
    "take": "is_row",
    "slopes": "all_equal k_maximum k_shares",
    "surprisals": "below is_none k_maximum surprisal_of_top",
    "softmax_minus": "k_shares",
}
_ALONG = {
    "softmax": "k_shares",
    "logsumexp_slopes": "slopes",
    "surprisals": "surprisals",
    "softmax_minus": "softmax_minus",
    "softmax_pullback": "softmax_pullback",
    "segment_sum": "k_sum",
    "maximum": "k_maximum",
    "minimum": "k_minimum",
    "logsumexp": "k_logsumexp",
    "cross_entropy": "k_soft_cross_entropy",
}
"""The functions of numbers in a row, by the codes of steps."""

_WORDS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "**": "power"}
"""What a comment calls the rows whose name is a sign."""

_RESERVED_TEXT = """
auto break case char const continue default do double else enum extern float for goto if inline
int long register restrict return short signed sizeof static struct switch typedef union
unsigned void volatile while _Bool _Complex _Imaginary asm fortran bool true false class new
delete this template typename namespace private public protected operator try catch throw using
virtual friend explicit export mutable and or not xor nullptr constexpr parameters result
gradient m count work fixed sums constants line example total place run i j k l z y_line start
starts step steps a b c main NULL NAN INFINITY HUGE_VAL HUGE_VALF HUGE_VALL MATH_ERRNO
MATH_ERREXCEPT math_errhandling EOF errno offsetof size_t ptrdiff_t wchar_t DOMAIN SING OVERFLOW
UNDERFLOW PLOSS TLOSS fpclassify isfinite isinf isnan isnormal signbit isgreater isgreaterequal
isless islessequal islessgreater isunordered float_t double_t hypot atan2
"""
_RESERVED = frozenset(_RESERVED_TEXT.split())


@dataclass(frozen=True)
class Signature:
    """What a printed file says of its functions, and the order of their arguments."""

    name: str
    arguments: Sequence[tuple[str, str, tuple[int, ...]]]
    """For each argument its name, that of a batch of it, and the shape of one example."""
    result: tuple[int, ...]
    """The shape of the result of one example."""
    parameters: Sequence[str]
    """A label, or "", for each of the numbers that ``parameters`` points to."""
    order: Sequence[int]
    """For each parameter of the plans, which of those it is."""
    blocks: Sequence[tuple[str, int, int, tuple[int, ...]]] = ()
    """Names for parts of the parameters: the first, the number behind the last, and the shape."""


def write(plans: Mapping[str, Plan], signature: Signature, precision: str = "double") -> str:
    """Return the file of *plans*, ``forward`` and perhaps ``gradient``.

    LookupError if a row has no kernel in C.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"C source: precision={precision!r}; expected 'double' or 'float'")
    return _File(signature, precision).text(plans)


def identifier(text: str, taken: Sequence[str] = (), default: str = "x") -> str:
    """Return *text* as an identifier of C that is none of those *taken*, nor any that C knows."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_") or default
    if name[0].isdigit():
        name = f"{default}{name}"
    name = name[:31]
    if name in _RESERVED or name in FORMULAS or name in _HELPERS or _is_known(name):
        name += "_"
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def _is_known(name: str) -> bool:
    """Return whether *name* may be one of libm's, or one that is printed here."""
    printed = re.match(r"(k|FP|M|MATH)_|(table|t|i)\d+\Z", name)
    return printed is not None or name in _LIBM or re.sub(r"[fl]\Z", "", name) in _LIBM


_LIBM_TEXT = """
acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs
fdim floor fma fmax fmin fmod frexp hypot ilogb ldexp lgamma llrint llround log log10 log1p log2
logb lrint lround modf nan nearbyint nextafter nexttoward pow remainder remquo rint round
scalbln scalbn sin sinh sqrt tan tanh tgamma trunc j0 j1 jn y0 y1 yn gamma
"""
_LIBM = frozenset(_LIBM_TEXT.split())


# --- the file ------------------------------------------------------------------------------------


class _File:
    """A file in the making: what its functions share."""

    def __init__(self, signature: Signature, precision: str):
        self.signature, self.precision = signature, precision
        self.name = identifier(signature.name, default="function")
        self.sizes = {"work": 0, "fixed": 0, "sums": 0, "line": 0}
        self.functions: dict[str, None] = {}  # called, those that others call first
        self.tables: dict[tuple[int, ...], str] = {}
        self.flat: list[str] = []
        self.cases: dict[int | Primitive, int] = {}
        taken: list[str] = []
        self.single: list[str] = []
        self.batch: list[str] = []
        for one, many, _ in signature.arguments:
            self.single.append(identifier(one, taken))
            taken.append(self.single[-1])
            # Of its own name in the loop over the examples.
            self.batch.append(identifier(many, taken))
            taken.append(self.batch[-1])

    def needs(self, function: str) -> str:
        """Note that *function* is called, and return its name."""
        if function not in self.functions:
            for other in (NEEDS.get(function) or _HELPERS_NEED.get(function, "")).split():
                self.needs(other)
            self.functions[function] = None
        return function

    def room(self, array: str, size: int) -> None:
        """See to it that *array* has so many numbers at least."""
        self.sizes[array] = max(self.sizes[array], size)

    def table(self, numbers: Sequence[int]) -> str:
        """Return the name of an array of whole numbers."""
        return self.tables.setdefault(tuple(numbers), f"table{len(self.tables) + 1}")

    def literal(self, x: float) -> str:
        """Return a number as a constant, in parentheses if it is negative."""
        with np.errstate(over="ignore"):
            number = x if self.precision == "double" else np.float32(x)
        if math.isnan(x):
            return "NAN"
        if math.isinf(number):
            return "INFINITY" if x > 0 else "(-INFINITY)"
        text = repr(float(x)) if self.precision == "double" else str(number)
        return f"({text}@)" if text.startswith("-") else f"{text}@"

    def text(self, plans: Mapping[str, Plan]) -> str:
        """Return the whole file."""
        bodies = [_Function(self, plans["forward"]).forward()]
        if "gradient" in plans:
            bodies.append(_Function(self, plans["gradient"]).gradient())
        interpreter = [self._interpreter()] if self.cases else []
        parts = ["#include <math.h>\n#include <stddef.h>\n"]
        arrays = [
            f"static @real {name}[{size}]; /* {_ARRAYS[name]} */\n"
            for name, size in self.sizes.items()
            if size
        ]
        if arrays:
            parts.append("".join(arrays))
        if self.tables:
            tables = self.tables.items()
            parts.append(
                "".join(
                    _array(f"static const int {name}[{len(numbers)}]", map(str, numbers))
                    for numbers, name in tables
                )
            )
        for name in self.functions:
            parts.append(FORMULAS.get(name) or _HELPERS[name])
        code = "\n".join([*parts, *interpreter, *bodies])
        code = code.replace("@real", self.precision)
        code = code.replace("@", "f" if self.precision == "float" else "")
        return self._head(plans) + "\n" + code

    def _interpreter(self) -> str:
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
        for what, number in self.cases.items():
            body = self.flat_expression(what, ["a", "b", "c"])
            lines.append(f"        case {number}:")
            lines += [f"            {line}" for line in _assigned("*to", body)]
            lines.append("            break;")
        lines += ["        }", "    }", "}", ""]
        return "\n".join(lines)

    def flat_expression(self, what: int | Primitive, args: Sequence[str]) -> tuple[list[str], str]:
        """Return statements, and then the value, of a flat step."""
        if what == ONE_MINUS:
            return [], f"{self.needs('k_sigmoid')}(-{args[1]})"
        if what == ONE_MINUS_SQUARE:
            return [], f"{self.needs('k_tanh_0')}({args[1]}, {args[0]})"
        assert isinstance(what, Primitive)
        return self.expression(what, args[: 2 if what.arity is None else what.arity])

    def expression(self, row: Primitive, args: Sequence[str]) -> tuple[list[str], str]:
        """Return statements, and then the value, of *row*."""
        known = _IDENTIFIERS.get(row)
        if row in _OPERATORS and len(args) == 2:
            return [], f"{args[0]} {_OPERATORS[row]} {args[1]}"
        if row is primitives.negative:
            return [], f"-{args[0]}"
        if row is primitives.identity:
            return [], args[0]
        if row is primitives.where and len(args) == 3:
            return [], f"{args[0]} != 0.0@ ? {args[1]} : {args[2]}"
        if row in (primitives.hypot, primitives.atan2):
            return [], f"{known}@({', '.join(args)})"
        if row is primitives.dot_product:
            n = len(args) // 2
            pairs = zip(args[:n], args[n:-1], strict=True)
            return [], " + ".join([*(f"{w} * {x}" for w, x in pairs), args[-1]])
        if known in _VARIADIC:
            if known == "sum_of" and len(args) <= _FEW:
                return [], " + ".join(args)
            return self._of_many(_VARIADIC[known], args)
        kernel = f"k_{known}"
        if kernel not in FORMULAS or row.arity not in (1, 2):
            raise LookupError(
                f"C source: the operation {row.name!r} has no formula in C; write the function "
                "with operations that chainrule has (docs/primitives.md lists them), or run it "
                "as NumPy: f.source"
            )
        return [], f"{self.needs(kernel)}({', '.join(map(_bare, args))})"

    def _of_many(self, kernel: str, args: Sequence[str]) -> tuple[list[str], str]:
        self.room("line", 2 * len(args))
        count = len(args)
        lines = [f"line[{i}] = {_bare(x)};" for i, x in enumerate(args)]
        return lines, f"{self.needs(kernel)}(line, {count}, line + {count})"

    # --- the comment at its head -----------------------------------------------------------------

    def _head(self, plans: Mapping[str, Plan]) -> str:
        signature, name, real = self.signature, self.name, self.precision
        has = bool(signature.parameters)
        size = {"double": 8, "float": 4}[real]
        numbers = sum(self.sizes.values())
        result = math.prod(signature.result)
        lines = [
            f"{name}: made by chainrule. C99; needs libm alone; allocates nothing.",
            f"Its static arrays take {numbers * size} bytes, beside the constants. They are used "
            "by every call, so calls must not overlap, as in two threads or an interrupt.",
            "",
        ]
        if has:
            lines.append(f"parameters: {_count(signature.parameters)} in this order")
            lines += [f"    {text}" for text in self._parameters()]
        for one, many, (_, _, shape) in zip(
            self.single, self.batch, signature.arguments, strict=True
        ):
            several = f"; {many}: m of these, one after another" if "gradient" in plans else ""
            lines.append(f"{one}: {_shape(shape)}{several}")
        lines.append(f"result: {_shape(signature.result)}")
        if "gradient" in plans:
            entries = self._entries(plans["gradient"])
            mean = (
                "the mean of the results over m examples, m at least 1, and "
                if (self.single)
                else "the result, and "
            )
            lines.append(
                f"{name}_gradient returns {mean}puts its derivatives by the first {entries} "
                "parameters into gradient, in the same order"
                if entries < len(signature.parameters)
                else f"{name}_gradient returns {mean}puts its derivatives by the parameters into "
                "gradient, in the same order"
            )
        lines += [
            "Arrays have the last index moving fastest. An index into a table that is no row of it "
            "gives NAN.",
            "",
            "An example of use:",
            f"    {real} result[{result}];",
            f"    {name}_forward({', '.join([*(['parameters'] * has), *self.single, 'result'])});",
        ]
        if "gradient" in plans:
            given = [*(["parameters"] * has), *(["m"] if self.single else []), *self.batch]
            lines += [
                f"    {real} gradient[{max(1, self._entries(plans['gradient']))}];",
                f"    {real} mean = {name}_gradient({', '.join([*given, 'gradient'])});",
            ]
        wrapped: list[str] = []
        for line in map(_comment, lines):
            if line.startswith("    ") or not line:
                wrapped.append(line)
            else:
                wrapped += textwrap.wrap(line, _WIDTH - 3, subsequent_indent="    ")
        body = "\n".join(f" * {line}".rstrip() for line in wrapped)
        return "/*" + body[2:] + "\n */\n"

    @staticmethod
    def _entries(plan: Plan) -> int:
        assert plan.gradient is not None
        return plan.gradient[1] - plan.gradient[0]

    def _parameters(self) -> list[str]:
        if self.signature.blocks:
            return [
                f"[{start}] to [{stop - 1}]: {name}, {_shape(shape)}"
                for name, start, stop, shape in self.signature.blocks
            ]
        labels = self.signature.parameters
        found = [f"[{i}]: {label:.60}" for i, label in enumerate(labels) if label]
        return found if len(found) <= 100 else [*found[:99], "..."]


_ARRAYS = {
    "work": "what is computed of one example",
    "fixed": "what is the same for all examples",
    "sums": "what is added up over the examples",
    "line": "numbers brought in a row",
}


# --- a function ----------------------------------------------------------------------------------

_COMPUTED, _PARAMETER, _CONSTANT, _COUNT, _GRADIENT = range(5)


class _Function:
    """One function of a file in the making: where its numbers are, and its loops."""

    def __init__(self, file: _File, plan: Plan):
        self.file, self.plan = file, plan
        self.used: set[str] = set()  # arguments of the function
        self.tabular = self._flat_steps() > _PLAIN
        self.steps = [*plan.before, *plan.each, *plan.after]
        self.touched = [self._touched(step) for step in self.steps]
        self._find_places()

    def _flat_steps(self) -> int:
        steps = [*self.plan.before, *self.plan.each, *self.plan.after]
        return sum(len(self.plan.tables[x.detail[0]]) for x in steps if x.code == "flat")

    def _touched(self, step: Step) -> list[tuple[int, AnyArray]]:
        """Return the addresses of every operand; those of flat steps and calls one by one."""
        found = [*written(self.plan, step), *read(self.plan, step)]
        if step.operands:
            return found[: len(step.operands)]
        return [(space, np.array([x])) for space, places in found for x in set(places.tolist())]

    # --- places ----------------------------------------------------------------------------------

    def _find_places(self) -> None:
        """Decide which numbers are read and written right in the arguments and as constants."""
        plan = self.plan
        size = len(plan.still)
        writes = {STILL: np.zeros(size, bool), BLOCK: np.zeros(max(1, plan.block), bool)}
        for step in self.steps:
            for space, places in written(plan, step):
                if space != SUMS:
                    writes[space][places] = True
        still = np.where(writes[STILL], _COMPUTED, _CONSTANT)
        still[slice(*plan.parameters)] = _PARAMETER
        still[0] = _COUNT
        order = list(self.file.signature.order)
        self.moved = order != list(range(len(order))) and plan.parameters[0] < plan.parameters[1]
        if self.moved:
            still[slice(*plan.parameters)] = _COMPUTED
        self.whole = self.tabular
        self.still = still
        if plan.gradient is not None:
            part = slice(*plan.gradient)
            if (still[part] == _COMPUTED).all() and not self.whole:
                still[part] = _GRADIENT
                if self._mixed(STILL, still):
                    still[part] = _COMPUTED
        self.whole = self.whole or self._mixed(STILL, still)
        inputs = np.full(max(1, plan.block), -1)
        for i, (first, count) in enumerate(plan.inputs):
            inputs[first : first + count] = i
        self.direct = set() if self.tabular else {i for i, (_, n) in enumerate(plan.inputs) if n}
        self.direct -= set(inputs[writes[BLOCK]].tolist())
        self.block = np.where(np.isin(inputs, [*self.direct]), inputs, -1)
        for touched in self.touched:
            for space, places in touched:
                if space == BLOCK and len(kinds := set(self.block[places].tolist())) > 1:
                    self.direct -= kinds
        self.block = np.where(np.isin(inputs, [*self.direct]), inputs, -1)
        self._pack()

    def _mixed(self, space: int, kinds: AnyArray) -> bool:
        """Return whether an operand has elements of several kinds."""
        return any(
            (kinds[places] != kinds[places[0]]).any()
            or (kinds[places[0]] == _COUNT and len(set(places.tolist())) > 1)
            for touched in self.touched
            for where, places in touched
            if where == space and len(places)
        )

    def _pack(self) -> None:
        """Give the numbers that are computed, and the constants, places without gaps."""
        plan = self.plan
        fixed: list[tuple[int, int]] = []
        constants: list[tuple[int, int]] = []
        work: list[tuple[int, int]] = []
        outputs = [(x.space, np.array([x.offset])) for x in plan.outputs]
        if plan.cost is not None and plan.gradient is not None:
            outputs += [(STILL, np.array([x])) for x in (plan.cost, *range(*plan.gradient))]
        for space, places in [*(x for touched in self.touched for x in touched), *outputs]:
            if not len(places):
                continue
            ends = int(places.min()), int(places.max()) + 1
            if space == BLOCK and self.block[ends[0]] < 0:
                work.append(ends)
            elif space == STILL and not self.whole:
                if self.still[ends[0]] == _COMPUTED:
                    fixed.append(ends)
                elif self.still[ends[0]] == _CONSTANT:
                    constants.append(ends)
        for i, (first, count) in enumerate(plan.inputs):
            if count and i not in self.direct:
                work.append((first, first + count))
        if self.tabular:
            work = [(0, max(1, plan.block))]
        if self.moved:
            fixed.append(plan.parameters)
        if self.whole:
            fixed = [(0, len(plan.still))]
        self.fixed, self.work = _Packed(fixed), _Packed(work)
        self.constant = _Packed(constants)
        self.file.room("fixed", self.fixed.size)
        self.file.room("work", self.work.size)
        self.file.room("sums", plan.sums)

    def base(self, space: int, at: int) -> tuple[str, int]:
        """Return the array that place *at* of a space is in, and where."""
        if space == SUMS:
            return "sums", at
        if space == BLOCK:
            i = int(self.block[at])
            if i < 0:
                return "work", self.work(at)
            self.used.add(self.file.single[i])
            return self.file.single[i], at - self.plan.inputs[i][0]
        kind = _COMPUTED if self.whole else self.still[at]
        if kind == _PARAMETER:
            self.used.add("parameters")
            return "parameters", at - self.plan.parameters[0]
        if kind == _CONSTANT:
            self.used.add("constants")
            return "constants", self.constant(at)
        if kind == _GRADIENT:
            assert self.plan.gradient is not None
            return "gradient", at - self.plan.gradient[0]
        return "fixed", self.fixed(at)

    def number(self, space: int, at: int) -> str:
        """Return the number at a place as an expression."""
        if space == STILL and not self.whole:
            if self.still[at] == _COUNT:
                self.used.add("count")
                return "count"
            if self.still[at] == _CONSTANT:
                return self.file.literal(float(self.plan.still[at]))
        array, offset = self.base(space, at)
        return f"{array}[{offset}]"

    def element(self, x: Operand, axes: Sequence[tuple[str, int]]) -> str:
        """Return an element of *x*, where each index in *axes* has a stride."""
        terms = [(name, stride) for name, stride in axes if stride]
        if not terms:
            return self.number(x.space, x.offset)
        array, offset = self.base(x.space, x.offset)
        return f"{array}[{_offset(offset, terms)}]"

    # --- the two functions -----------------------------------------------------------------------

    def forward(self) -> str:
        """Return the function that computes the result of one example."""
        file, plan = self.file, self.plan
        body = [*self.lines(plan.before), *self.lines(plan.each), *self._results()]
        arguments = [*self._arguments(file.single), "@real *result"]
        head = self._opening()
        head += [line for i in range(len(plan.inputs)) for line in self._load(i)]
        unused = self._unused(file.single)
        title = "/* The result of one example. */"
        return _function(title, f"void\n{file.name}_forward", arguments, [*unused, *head, *body])

    def _results(self) -> list[str]:
        found: list[str] = []
        outputs = self.plan.outputs
        start = 0
        while start < len(outputs):
            first, stop = outputs[start], start + 1
            while stop < len(outputs) and self._follows(first, outputs[stop], stop - start):
                stop += 1
            if stop - start > 2:
                array, offset = self.base(first.space, first.offset)
                to, at = _offset(start, [("i", 1)]), _offset(offset, [("i", 1)])
                found += [
                    f"for (int i = 0; i < {stop - start}; i++) {{",
                    f"    result[{to}] = {array}[{at}];",
                    "}",
                ]
            else:
                stop = start + 1
                found.append(f"result[{start}] = {_bare(self.number(first.space, first.offset))};")
            start = stop
        return found

    def _follows(self, first: Operand, other: Operand, distance: int) -> bool:
        """Return whether *other* lies that far behind *first* in the same array."""
        if other.space != first.space or other.offset != first.offset + distance:
            return False
        if first.space == STILL and not self.whole and self.still[first.offset] != _COMPUTED:
            return False
        if first.space == STILL and not self.whole and self.still[other.offset] != _COMPUTED:
            return False
        one, other_one = (self.base(x.space, x.offset) for x in (first, other))
        return other_one == (one[0], one[1] + distance)

    def gradient(self) -> str:
        """Return the function that computes the mean over a batch, and its gradient."""
        file, plan = self.file, self.plan
        assert plan.cost is not None
        assert plan.gradient is not None
        before, each, after = (self.lines(x) for x in (plan.before, plan.each, plan.after))
        last = []
        first, stop = plan.gradient
        if self.whole or (self.still[first:stop] != _GRADIENT).any():
            last = self._copied(first, stop)
        last.append(f"return {_bare(self.number(STILL, plan.cost))};")
        batched = bool(file.single)
        loop: list[str] = []
        for i, (name, many) in enumerate(zip(file.single, file.batch, strict=True)):
            load = self._load(i)
            if name in self.used:
                size = plan.inputs[i][1]
                start = f" + {size} * example" if size > 1 else " + example"
                loop.append(f"const @real *{name} = {many}{start};")
                self.used.add(many)
            loop += load
        loop += each
        if batched and each:
            loop = ["for (int example = 0; example < m; example++) {", *_indented(loop), "}"]
        head = self._opening(batched)
        if plan.sums:
            head += [f"for (int i = 0; i < {plan.sums}; i++) {{", "    sums[i] = 0.0@;", "}"]
        arguments = self._arguments(file.batch, ["int m"] if batched else [])
        unused = self._unused(file.batch)
        if batched and not each and not self.whole and "count" not in self.used:
            unused.append("(void)m;")
        if first == stop:
            unused.append("(void)gradient;")
        title = "/* The mean of the results over m examples, and its gradient. */"
        return _function(
            title if batched else "/* The result, and its gradient. */",
            f"@real\n{file.name}_gradient",
            [*arguments, "@real *gradient"],
            [*unused, *head, *before, *loop, *after, *last],
        )

    def _copied(self, first: int, stop: int) -> list[str]:
        """Return the lines that put the places from *first* to *stop* into the gradient."""
        if self.whole or (self.still[first:stop] == _COMPUTED).all():
            places = [self.base(STILL, at) for at in range(first, stop)]
            if len(places) > 1 and all(
                x == (places[0][0], places[0][1] + i) for i, x in enumerate(places)
            ):
                array, offset = places[0]
                return [
                    f"for (int i = 0; i < {stop - first}; i++) {{",
                    f"    gradient[i] = {array}[{_offset(offset, [('i', 1)])}];",
                    "}",
                ]
        return [
            f"gradient[{i}] = {_bare(self.number(STILL, at))};"
            for i, at in enumerate(range(first, stop))
        ]

    def _arguments(self, names: Sequence[str], between: Sequence[str] = ()) -> list[str]:
        found = ["const @real *parameters"] if self.file.signature.parameters else []
        return [*found, *between, *(f"const @real *{name}" for name in names)]

    def _unused(self, names: Sequence[str]) -> list[str]:
        given = [*(["parameters"] if self.file.signature.parameters else []), *names]
        return [f"(void){name};" for name in given if name not in self.used]

    def _opening(self, batched: bool = False) -> list[str]:
        """Return the constants of the function, and the places that are filled first."""
        plan, found = self.plan, []
        if "constants" in self.used:
            numbers = [0.0] * self.constant.size
            for start, stop in self.constant.intervals:
                for at in range(start, stop):
                    numbers[self.constant(at)] = float(plan.still[at])
            texts = [_bare(self.file.literal(x)) for x in numbers]
            found += _array(f"static const @real constants[{len(texts)}]", texts).splitlines()
        count = "(@real)m" if batched else "1.0@"
        if "count" in self.used:
            found.append(f"const @real count = {count};")
        if self.whole:
            found += self._filled(count)
        if self.whole or self.moved:
            found += self._placed()
        return found

    def _filled(self, count: str) -> list[str]:
        """Return the lines that put the number of examples and the constants into STILL."""
        plan = self.plan
        outside = [i for i in range(len(plan.still)) if i not in range(*plan.parameters)]
        constant = [i for i in outside if self.still[i] == _CONSTANT]
        found = [f"fixed[0] = {count};"]
        if constant:
            texts = [_bare(self.file.literal(float(plan.still[i]))) for i in constant]
            places, n = self.file.table(constant), len(constant)
            found += _array(f"static const @real constants[{n}]", texts).splitlines()
            found += _nested(
                [f"for (int i = 0; i < {n}; i++) {{"], [f"fixed[{places}[i]] = constants[i];"]
            )
        return found

    def _placed(self) -> list[str]:
        """Return the lines that put the parameters into STILL, in the order it has them."""
        start, stop = self.plan.parameters
        if start == stop:
            return []
        self.used.add("parameters")
        at = f"{self.file.table(self.file.signature.order)}[i]" if self.moved else "i"
        to = _offset(self.fixed(start), [("i", 1)])
        loop = f"for (int i = 0; i < {stop - start}; i++) {{"
        return [
            "/* the parameters, in the order in which they are read */",
            *_nested([loop], [f"fixed[{to}] = parameters[{at}];"]),
        ]

    def _load(self, i: int) -> list[str]:
        """Return the lines that bring an argument to where it is worked on."""
        first, count = self.plan.inputs[i]
        if not count or i in self.direct:
            return []
        name = self.file.single[i]
        self.used.add(name)
        if count == 1:
            return [f"work[{self.work(first)}] = {name}[0];"]
        return [
            f"for (int i = 0; i < {count}; i++) {{",
            f"    work[{_offset(self.work(first), [('i', 1)])}] = {name}[i];",
            "}",
        ]

    # --- steps -----------------------------------------------------------------------------------

    def lines(self, steps: Sequence[Step]) -> list[str]:
        """Return the statements of *steps*."""
        found = []
        for step in steps:
            found += [f"/* {self._named(step)} */", *getattr(self, "_" + step.code)(step)]
        return found

    def _named(self, step: Step) -> str:
        if step.code in ("apply", "call"):
            name = self.plan.rows[step.detail[0]].name
            return _comment(_WORDS.get(name, name))
        return step.code.replace("_", " ")

    def _loops(
        self,
        extents: Sequence[int],
        operands: Sequence[Operand],
        body: Callable[[list[str]], list[str]],
        first: int = 0,
    ) -> list[str]:
        """Return loops over *extents*; *body* is given the elements, and returns statements."""
        axes = _merged(extents, [x.strides[: len(extents)] for x in operands])
        names = [_index(first + i) for i in range(len(axes))]
        elements = [
            self.element(x, [(n, s[i]) for n, (_, s) in zip(names, axes, strict=True)])
            for i, x in enumerate(operands)
        ]
        found = body(elements)
        for name, (extent, _) in reversed([*zip(names, axes, strict=True)]):
            head = f"for (int {name} = 0; {name} < {extent}; {name}++) {{"
            found = [head, *_indented(found), "}"]
        return found

    def _apply(self, step: Step) -> list[str]:
        row = self.plan.rows[step.detail[0]]

        def body(elements: list[str]) -> list[str]:
            return _assigned(elements[0], self.file.expression(row, elements[1:]))

        return self._loops(step.extents, step.operands, body)

    def _one_minus(self, step: Step) -> list[str]:
        return self._complement(step, ONE_MINUS)

    def _one_minus_square(self, step: Step) -> list[str]:
        return self._complement(step, ONE_MINUS_SQUARE)

    def _complement(self, step: Step, which: int) -> list[str]:
        return self._loops(
            step.extents,
            step.operands,
            lambda x: _assigned(x[0], self.file.flat_expression(which, x[1:])),
        )

    def _copy(self, step: Step) -> list[str]:
        return self._loops(step.extents, step.operands, lambda x: [f"{x[0]} = {_bare(x[1])};"])

    def _add(self, step: Step) -> list[str]:
        return self._loops(step.extents, step.operands, lambda x: [f"{x[0]} += {_bare(x[1])};"])

    def _gather(self, step: Step) -> list[str]:
        return self._by_table(step, 1, "=")

    def _scatter(self, step: Step) -> list[str]:
        return self._by_table(step, 0, "=")

    def _scatter_add(self, step: Step) -> list[str]:
        return self._by_table(step, 0, "+=")

    def _by_table(self, step: Step, which: int, sign: str) -> list[str]:
        numbers = self.plan.tables[step.detail[0]].tolist()
        least = min(numbers)  # from there on: what lies before may be in another array
        many = len(numbers) > 1
        at = f"{self.file.table([n - least for n in numbers])}[i]" if many else "i"
        elements = []
        for i, x in enumerate(step.operands):
            stride = x.strides[0] if many else 0
            if i == which:
                x = x._replace(offset=x.offset + least * x.strides[0])
            elements.append(self.element(x, [(at if i == which else "i", stride)]))
        line = f"{elements[0]} {sign} {_bare(elements[1])};"
        return _nested([f"for (int i = 0; i < {len(numbers)}; i++) {{"] if many else [], [line])

    def _product(self, step: Step) -> list[str]:
        return self._summed(step, len(step.extents) - 1, "0.0@")

    def _linked_product(self, step: Step) -> list[str]:
        return self._summed(step, len(step.extents) - 1, "0.0@")

    def _sum(self, step: Step) -> list[str]:
        return self._summed(step, len(step.extents) - step.detail[0], "-0.0@")

    def _summed(self, step: Step, outer: int, zero: str) -> list[str]:
        """Return loops around a sum over the indices from *outer* on."""
        into, *factors = step.operands
        sign = "+=" if into.space == SUMS else "="

        def terms(elements: list[str]) -> str:
            return " * ".join(map(_bare, elements[:2])) if len(elements) > 1 else elements[0]

        axes = _merged(step.extents[:outer], [x.strides[:outer] for x in step.operands])
        names = [_index(i) for i in range(len(axes))]
        inner = _merged(step.extents[outer:], [x.strides[outer:] for x in factors])
        inner_names = [_index(len(axes) + i) for i in range(len(inner))]

        def at(x: Operand, which: int, is_factor: bool) -> str:
            found = [(n, s[which]) for n, (_, s) in zip(names, axes, strict=True)]
            if is_factor:
                found += [(n, s[which - 1]) for n, (_, s) in zip(inner_names, inner, strict=True)]
            return self.element(x, found)

        result = at(into, 0, False)
        given = [at(x, i + 1, True) for i, x in enumerate(factors)]
        if not inner and len(factors) < 3:
            found = [f"{result} {sign} {terms(given)};"]
        else:
            found = [f"total += {terms(given)};"]
            if len(factors) == 3:
                found = [f"if ({given[2]} != 0.0@) {{", *_indented(found), "}"]
            for name, (extent, _) in reversed([*zip(inner_names, inner, strict=True)]):
                head = f"for (int {name} = 0; {name} < {extent}; {name}++) {{"
                found = [head, *_indented(found), "}"]
            found = [f"@real total = {zero};", *found, f"{result} {sign} total;"]
            if not axes:
                found = ["{", *_indented(found), "}"]
        for name, (extent, _) in reversed([*zip(names, axes, strict=True)]):
            head = f"for (int {name} = 0; {name} < {extent}; {name}++) {{"
            found = [head, *_indented(found), "}"]
        return found

    # --- along the last index --------------------------------------------------------------------

    def _along(self, step: Step) -> list[str]:
        """Return loops around a function of the numbers along the last index, or its stretches."""
        *extents, length = step.extents
        starts = self.plan.tables[step.detail[0]].tolist() if step.detail else [0]
        function = self.file.needs(_ALONG[step.code])
        axes = _merged(extents, [x.strides[:-1] for x in step.operands])
        names = [_index(i) for i in range(len(axes))]
        last = _index(len(axes) + 1)
        stretch = _index(len(axes))
        if step.detail:
            ends = self.file.table([*starts, length])
            first, count = [("start", 1)], "n"
            most = max(np.diff([*starts, length]).tolist())
            opening = [f"const int start = {ends}[{stretch}], n = {ends}[{stretch} + 1] - start;"]
        else:
            first, count, most, opening = [], str(length), length, []
        closing: list[str] = []

        def outer(i: int) -> list[tuple[str, int]]:
            return [(n, s[i]) for n, (_, s) in zip(names, axes, strict=True)]

        def pointer(i: int, along: Sequence[tuple[str, int]]) -> str:
            x = step.operands[i]
            array, offset = self.base(x.space, x.offset)
            text = _offset(offset, [*outer(i), *along])
            return array if text == "0" else f"{array} + {text}"

        def element(i: int, along: Sequence[tuple[str, int]]) -> str:
            x = step.operands[i]
            return self.element(x, [*outer(i), *along])

        def numbers(i: int, room: int, forced: bool = False) -> str:
            stride = step.operands[i].strides[-1]
            along = [(name, stride) for name, _ in first]
            x = step.operands[i]
            constant = (
                x.space == STILL
                and not self.whole
                and self.still[x.offset]
                in (
                    _CONSTANT,
                    _COUNT,
                )
            )
            single = constant and not any(x.strides)
            if (stride == 1 or length == 1) and not forced and not single:
                return pointer(i, along)
            self.file.room("line", (room + 1) * most)
            to = _offset(0, [(last, 1)]) if not room else _room(room, count, last)
            opening.extend(
                [
                    f"for (int {last} = 0; {last} < {count}; {last}++) {{",
                    f"    line[{to}] = {element(i, [*along, (last, stride)])};",
                    "}",
                ]
            )
            return "line" if not room else f"line + {_times(room, count)}"

        narrow = step.code in NARROW or step.code == "cross_entropy"
        if step.code == "cross_entropy":
            numbers(2, 0, True)
            numbers(1, 1, True)
            value = f"{function}(line, {_times(2, count)}, NULL)"
            body = [f"{element(0, [])} = {value};"]
        elif narrow:
            z = numbers(1, 0)
            room = "NULL"
            if step.code == "logsumexp":
                self.file.room("line", 2 * most)
                room = f"line + {count}"
            stride = step.operands[0].strides[-1]
            to = element(0, [(stretch, stride)] if step.detail else [])
            body = [f"{to} = {function}({z}, {count}, {room});"]
        else:
            given = [numbers(i, i - 1) for i in range(1, len(step.operands))]
            stride = step.operands[0].strides[-1]
            along = [(name, stride) for name, _ in first]
            if stride == 1 or length == 1:
                to = pointer(0, along)
            else:
                self.file.room("line", 3 * most)
                to = f"line + {_times(2, count)}"
                closing = [
                    f"for (int {last} = 0; {last} < {count}; {last}++) {{",
                    f"    {element(0, [*along, (last, stride)])} = line[{_room(2, count, last)}];",
                    "}",
                ]
            body = [f"{function}({', '.join(given)}, {count}, {to});"]
        found = [*opening, *body, *closing]
        if step.detail:
            head = f"for (int {stretch} = 0; {stretch} < {len(starts)}; {stretch}++) {{"
            found = [head, *_indented(found), "}"]
        for name, (extent, _) in reversed([*zip(names, axes, strict=True)]):
            head = f"for (int {name} = 0; {name} < {extent}; {name}++) {{"
            found = [head, *_indented(found), "}"]
        return found

    _segment_sum = _maximum = _minimum = _logsumexp = _softmax = _logsumexp_slopes = _along
    _softmax_pullback = _surprisals = _cross_entropy = _softmax_minus = _along

    # --- places by number ------------------------------------------------------------------------

    def _split(self, step: Step) -> tuple[list[str], list[str], str, list[Any]]:
        """Return the loops' heads but for the last index, the names, and the axes of a step."""
        *extents, _ = step.extents
        axes = _merged(extents, [x.strides[:-1] for x in step.operands])
        names = [_index(i) for i in range(len(axes))]
        heads = [
            f"for (int {name} = 0; {name} < {extent}; {name}++) {{"
            for name, (extent, _) in zip(names, axes, strict=True)
        ]
        return heads, names, _index(len(axes)), axes

    def _one_hot(self, step: Step) -> list[str]:
        heads, names, last, axes = self._split(step)
        result, which = (
            self.element(
                x,
                [
                    *((n, s[i]) for n, (_, s) in zip(names, axes, strict=True)),
                    (last, x.strides[-1]),
                ],
            )
            for i, x in enumerate(step.operands)
        )
        return _nested(
            [*heads, f"for (int {last} = 0; {last} < {step.extents[-1]}; {last}++) {{"],
            [f"{result} = {which} == (@real){last} ? 1.0@ : 0.0@;"],
        )

    def _pick(self, step: Step) -> list[str]:
        return self._rows(step, 2)

    def _spread(self, step: Step) -> list[str]:
        return self._rows(step, 0)

    def _rows(self, step: Step, table: int) -> list[str]:
        heads, names, last, axes = self._split(step)
        count, apart = step.detail
        elements = []
        for i, x in enumerate(step.operands):
            terms = [(n, s[i]) for n, (_, s) in zip(names, axes, strict=True)]
            if i != 1:
                terms.append((last, x.strides[-1] if step.extents[-1] > 1 else 0))
            if i == table:
                terms.append(("row", apart))
            elements.append(self.element(x, terms))
        fits = f"{self.file.needs('is_row')}({elements[1]}, {count})"
        loop = f"for (int {last} = 0; {last} < {step.extents[-1]}; {last}++) {{"
        if table == 2:
            found = [
                f"const int row = {fits} ? (int){elements[1]} : -1;",
                *_nested([loop], [f"{elements[0]} = row < 0 ? NAN : {elements[2]};"]),
            ]
        else:
            found = [
                f"if ({fits}) {{",
                f"    const int row = (int){elements[1]};",
                *_indented(_nested([loop], [f"{elements[0]} += {elements[2]};"])),
                "}",
            ]
        return _nested(heads, found) if heads else ["{", *_indented(found), "}"]

    # --- rows of a tape --------------------------------------------------------------------------

    def _at(self, address: int) -> str:
        return self.number(BLOCK, address) if address >= 0 else self.number(STILL, ~address)

    def _call(self, step: Step) -> list[str]:
        row = self.plan.rows[step.detail[0]]
        result, *args = map(self._at, self.plan.tables[step.detail[1]].tolist())
        return _assigned(result, self.file.expression(row, args))

    def _what(self, number: int) -> int | Primitive:
        return number if number < 0 else self.plan.rows[number]

    def _flat(self, step: Step) -> list[str]:
        table = self.plan.tables[step.detail[0]].tolist()
        if self.tabular:
            numbers = []
            for number, *addresses in table:
                what = self._what(number)
                if number >= 0:
                    self.file.flat_expression(what, ["a", "b", "c"])  # raises if it has no kernel
                case = self.file.cases.setdefault(what, len(self.file.cases))
                numbers.append("{" + ", ".join(map(str, (case, *addresses))) + "}")
            name = "steps"
            text = _array(f"static const int {name}[{len(table)}][5]", numbers)
            return ["{", *_indented([*text.splitlines(), f"run({name}, {len(table)});"]), "}"]
        found = []
        for number, result, *args in table:
            what = self._what(number)
            arity = what.arity if isinstance(what, Primitive) and what.arity else 2
            given = [self._at(x) for x in args[:arity]]
            found += _assigned(self._at(result), self.file.flat_expression(what, given))
        return found


class _Packed:
    """Intervals of places, moved together."""

    def __init__(self, intervals: Sequence[tuple[int, int]]):
        self.intervals: list[tuple[int, int]] = []
        for start, stop in sorted(set(intervals)):
            if self.intervals and start <= self.intervals[-1][1]:
                self.intervals[-1] = self.intervals[-1][0], max(stop, self.intervals[-1][1])
            else:
                self.intervals.append((start, stop))
        sizes = [stop - start for start, stop in self.intervals]
        self.firsts = np.array([start for start, _ in self.intervals], dtype=np.int64)
        self.moved = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.size = int(self.moved[-1])

    def __call__(self, at: int) -> int:
        i = int(np.searchsorted(self.firsts, at, "right")) - 1
        return int(self.moved[i]) + at - int(self.firsts[i])


# --- text ----------------------------------------------------------------------------------------


def _merged(
    extents: Sequence[int], strides: Sequence[Sequence[int]]
) -> list[tuple[int, tuple[int, ...]]]:
    """Return extents with the strides of all operands, as few as can be."""
    found: list[tuple[int, tuple[int, ...]]] = []
    for i, extent in enumerate(extents):
        if extent == 1:
            continue
        here = tuple([s[i] for s in strides])
        if found and found[-1][1] == tuple([s * extent for s in here]):
            found[-1] = found[-1][0] * extent, here
        else:
            found.append((extent, here))
    return found


def _index(i: int) -> str:
    return "ijkl"[i] if i < 4 else f"i{i}"


def _offset(offset: int, terms: Sequence[tuple[str, int]]) -> str:
    found = [name if stride == 1 else f"{stride} * {name}" for name, stride in terms if stride]
    return " + ".join([*([str(offset)] if offset or not found else []), *found])


def _times(number: int, count: str) -> str:
    if count.isdigit():
        return str(number * int(count))
    return count if number == 1 else f"{number} * {count}"


def _room(number: int, count: str, index: str) -> str:
    return f"{_times(number, count)} + {index}"


def _bare(text: str) -> str:
    """Return a constant without the parentheses around it."""
    return text[1:-1] if re.fullmatch(r"\(-[\w.+-]+@?\)", text) else text


def _assigned(result: str, value: tuple[list[str], str]) -> list[str]:
    statements, expression = value
    return [*statements, f"{result} = {_bare(expression)};"]


def _indented(lines: Sequence[str]) -> list[str]:
    return ["    " + line for line in lines]


def _nested(heads: Sequence[str], lines: list[str]) -> list[str]:
    for head in reversed(heads):
        lines = [head, *_indented(lines), "}"]
    return lines


def _array(head: str, numbers: Any) -> str:
    text = textwrap.fill(", ".join(numbers), _WIDTH - 12, break_on_hyphens=False)
    if "\n" not in text and len(head) + len(text) < _WIDTH - 12:
        return f"{head} = {{{text}}};\n"
    return f"{head} = {{\n{textwrap.indent(text, '    ')}\n}};\n"


def _function(title: str, name: str, arguments: Sequence[str], body: Sequence[str]) -> str:
    last = name.splitlines()[-1]
    text = _wrapped(last, arguments)
    first = name.splitlines()[0]
    prototype = _wrapped(f"{first} {last}", arguments) + ";"
    return "\n".join([prototype, "", title, first, text, "{", *_indented(body), "}", ""])


def _wrapped(name: str, arguments: Sequence[str]) -> str:
    """Return the head of a function, in several lines if it is long."""
    lines = [f"{name}({arguments[0]}"]
    for x in arguments[1:]:
        if len(lines[-1]) + len(x) + 3 > _WIDTH:
            lines[-1] += ","
            lines.append(f"    {x}")
        else:
            lines[-1] += f", {x}"
    return "\n".join(lines) + ")"


def _comment(text: str) -> str:
    """Return any text as one that may stand in a comment."""
    plain = ascii(text)[1:-1]
    for pair in ("*/", "/*", "??"):
        while pair in plain:
            plain = plain.replace(pair, f"{pair[0]} {pair[1]}")
    return plain


def _shape(shape: Sequence[int]) -> str:
    if not shape:
        return "1 number"
    if len(shape) == 1:
        return f"{shape[0]} number" + "s" * (shape[0] != 1)
    return " x ".join(map(str, shape)) + " numbers"


def _count(things: Sequence[Any]) -> str:
    return _shape((len(things),))
