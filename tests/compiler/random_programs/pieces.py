"""From a seed to a program: the sentences an outsider might write, and how they are put together.

A :class:`Scope` knows what may be named at some place of the text: numbers, lists of numbers, and
indices, each with the text that names it.  A piece is a method of :class:`Writer` that returns the
text of one number, or one list, made from what is in scope; pieces contain pieces.  To add a kind
of program is to add a method and to name it in one of the lists below.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import worlds
from .language import Call, Program

SAFE = [
    "sin", "cos", "tanh", "sigmoid", "softplus", "logsigmoid", "silu", "gelu", "square", "relu",
    "leaky_relu", "abs", "atan", "asinh", "erf", "erfc",
]  # fmt: skip
SMOOTH = ["sin", "cos", "tanh", "sigmoid", "softplus", "silu"]
ACTIVATIONS = ["tanh", "sigmoid", "relu", "leaky_relu", "softplus", "silu", "gelu"]

# Names for operations of one's own: the printer's words, kinds of array operations, NumPy's and the
# engine's names, and ordinary ones.
NAMES = [
    "root", "pick", "view", "spread", "segments", "gather", "store", "new", "input", "parameter",
    "matmul", "scale", "f", "np", "count", "total", "rows", "slots", "reduced", "one_minus_square",
    "expm", "power", "m", "X", "choose", "scatter", "stack", "len", "my op", "cube", "Symbol",
]  # fmt: skip

NUMBERS = [0.5, 0.3, 2.0, -1.0, 1.5, 0.1, -0.7, 3.0]
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0]
HOSTILE = [*EDGES, float("inf"), float("-inf"), float("nan"), 1e300, -1e300, 5e-324, 1e-300, 800.0]


PLAIN_LOOPS = 0.4  # of the scans


@dataclass
class Scope:
    """What can be named: numbers, lists with their lengths, and indices with their ranges."""

    numbers: list[str]
    vectors: list[tuple[str, int]]
    indices: list[tuple[str, int]]
    depth: int = 0
    """How many transforms are around this place."""
    new: list[str] = field(default_factory=list)
    """Numbers made lately, which are named more often than the rest, so that little is in vain."""

    def inner(self, numbers: Sequence[str] = (), vectors: Sequence[tuple[str, int]] = ()) -> Scope:
        """Return the scope within a transform, where *numbers* and *vectors* are new."""
        entries = [f"{name}[{i}]" for name, size in vectors for i in range(size)]
        return Scope(
            [*self.numbers, *self.new],
            [*self.vectors[-2:], *vectors],
            self.indices,
            self.depth + 1,
            [*numbers, *entries],
        )

    def add(self, *numbers: str) -> None:
        self.new += numbers

    def add_list(self, name: str, size: int) -> None:
        self.vectors += [(name, size)] * 2
        self.new += [f"{name}[{i}]" for i in range(size)]


@dataclass
class Writer:
    rng: random.Random
    lines: list[str] = field(default_factory=list)
    matrices: list[tuple[str, int, int]] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)
    unary: list[str] = field(default_factory=list)
    binary: list[str] = field(default_factory=list)
    variadic: list[str] = field(default_factory=list)
    serial: int = 0
    tied: bool = False
    plain: bool = False
    """Whether nothing is to choose, or to be differentiated, at this place."""

    def fresh(self, stem: str) -> str:
        self.serial += 1
        return f"{stem}{self.serial}"

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    # --- numbers ---------------------------------------------------------------------------------

    def atom(self, scope: Scope) -> str:
        if self.chance(0.08):
            return repr(self.rng.choice(NUMBERS))
        return self.rng.choice(scope.new if scope.new and self.chance(0.6) else scope.numbers)

    def number(self, scope: Scope, depth: int = 2) -> str:
        """Return the text of a number."""
        if depth <= 0 or self.chance(0.12):
            return self.atom(scope)
        return self.compound(scope, depth)

    def compound(self, scope: Scope, depth: int) -> str:
        """Return the text of a number that is computed."""
        pieces = self.rng.choices(
            [
                self.applied, self.arithmetic, self.guarded, self.reduced, self.chosen, self.taken,
                self.own, self.transformed, self.made,
            ],
            [20, 24, 12, 14, 10, 7 if scope.indices else 0, 9 if self.unary else 0,
             12 if scope.depth < 2 else 0, 2],
        )  # fmt: skip
        if self.plain:
            pieces = [self.rng.choice([self.applied, self.arithmetic, self.guarded])]
        text = pieces[0](scope, depth - 1)
        return text if text is not None else self.atom(scope)

    def applied(self, scope: Scope, depth: int) -> str:
        return f"cr.{self.rng.choice(SAFE)}({self.number(scope, depth)})"

    def arithmetic(self, scope: Scope, depth: int) -> str:
        a, b = self.number(scope, depth), self.number(scope, depth)
        return self.rng.choice(
            [f"({a} + {b})", f"({a} - {b})", f"({a} * {b})", f"({a} * {b})", f"(-{a})", f"abs({a})",
             f"({a} * {a})", f"({a} + {b} * {self.atom(scope)})"]
        )  # fmt: skip

    def guarded(self, scope: Scope, depth: int) -> str:
        """Return an operation with a domain, on something inside of it."""
        a, b = self.number(scope, depth), self.number(scope, depth)
        positive = f"(cr.square({a}) + {self.rng.choice([0.1, 0.5, 1.0])})"
        return self.rng.choice(
            [f"({b} / {positive})", f"cr.log({positive})", f"cr.sqrt({positive})",
             f"({positive} ** {self.rng.choice([0.5, -0.5, -1.0, 1.5, 2.0, -2])})",
             f"({a} ** {self.rng.choice([2, 3, 1.0, 2.0, 0])})",
             f"({positive} ** cr.sin({b}))", f"cr.hypot({a}, {b})", f"cr.hypot({a}, 0.5)",
             f"cr.atan2({b}, {positive})", f"cr.logaddexp({a}, {b})", f"cr.exp(cr.tanh({a}))",
             f"cr.expm1(cr.sin({a}))", f"cr.log1p(cr.square({a}))", f"cr.tan(cr.tanh({a}))",
             f"cr.leaky_relu({a}, {self.rng.choice([0.1, 0.0, 1.0])})",
             f"cr.leaky_relu({a}, cr.sigmoid({b}))", f"(1.0 / {positive})",
             f"cr.asin(cr.sin({a}) * 0.9)", f"cr.acos(0.5 * cr.tanh({a}))",
             f"cr.atanh(cr.tanh({a}) * 0.7)", f"cr.acosh(1.5 + cr.square({a}))",
             f"cr.sinh(cr.sin({a}))", f"cr.cosh(cr.tanh({a}))", f"cr.exp2(cr.cos({a}))",
             f"cr.log2({positive})", f"cr.log10({positive})", f"cr.cbrt({positive})",
             f"({a} % {positive})", f"({a} % 1.5)"]
        )  # fmt: skip

    def several(self, scope: Scope, depth: int, least: int = 2) -> list[str]:
        return [self.number(scope, depth) for _ in range(self.rng.randint(least, 3))]

    def some(self, scope: Scope, depth: int) -> str:
        """Return the text of a list of numbers."""
        if scope.vectors and self.chance(0.45):
            return self.rng.choice(scope.vectors)[0]
        return f"[{', '.join(self.several(scope, depth - 1))}]"

    def reduced(self, scope: Scope, depth: int) -> str:
        name = self.rng.choice(
            ["sum", "mean", "logsumexp", "softmax", "maximum", "minimum", "dot", "python", "loss"]
        )
        if name == "softmax":
            xs = self.several(scope, depth)
            return f"cr.softmax([{', '.join(xs)}])[{self.rng.randrange(len(xs))}]"
        if name in ("maximum", "minimum"):
            return f"cr.{name}({', '.join(self.several(scope, depth))})"
        if name == "dot":
            return self.product(scope)
        if name == "loss":
            return self.loss(scope)
        if name == "python":
            return f"sum({self.some(scope, depth)})"
        return f"cr.{name}({self.some(scope, depth)})"

    def product(self, scope: Scope) -> str:
        """Return a neuron's z, in one of the ways it is written."""
        size, w, x = self._pair(scope)
        b = self.atom(scope)
        return neuron(self.rng, w, x, b, size)

    def _pair(self, scope: Scope) -> tuple[int, str, str]:
        w, size = self.rng.choice(scope.vectors) if scope.vectors else ("", 0)
        others = [text for text, n in scope.vectors if n == size]
        if not others:
            a, b = (", ".join(self.atom(scope) for _ in range(2)) for _ in range(2))
            return 2, f"[{a}]", f"[{b}]"
        return size, w, self.rng.choice(others)

    def loss(self, scope: Scope) -> str:
        z, y = self.number(scope, 1), self.atom(scope)
        return self.rng.choice(
            [f"cr.square({z} - {y})", f"(cr.softplus({z}) - {y} * {z})", f"0.5 * ({z} - {y}) ** 2",
             f"cr.maximum(0.0, 1.0 - {y} * {z})", f"abs({z} - {y})",
             f"(cr.logsumexp([{z}, {y}]) - {z})",
             f"-(cr.sigmoid({y}) * cr.logsigmoid({z}))"]
        )  # fmt: skip

    # --- choosing --------------------------------------------------------------------------------

    def condition(self, scope: Scope) -> str:
        a, b = self.atom(scope), self.atom(scope)
        name = self.rng.choice(["less", "less", "less_equal", "less_equal", "equal"])
        if self.chance(0.4):
            b = repr(self.rng.choice([0.0, 0.5, 0.3]))
        if self.chance(0.2):
            a, b = b, a
        return f"cr.{name}({a}, {b})"

    def chosen(self, scope: Scope, depth: int) -> str:
        condition, b = self.condition(scope), self.number(scope, depth)
        a = self.number(scope, depth)
        if self.chance(0.35):  # what only one branch may compute
            x = self.atom(scope)
            condition, a = self.rng.choice(
                [(f"cr.less(0.0, {x})", f"cr.log({x})"), (f"cr.less(0.0, {x})", f"cr.sqrt({x})"),
                 (f"cr.less(0.1, abs({x}))", f"(1.0 / {x})"),
                 (f"cr.less(0.0, {x})", f"cr.log({x}) * {b}")]
            )  # fmt: skip
        return f"cr.where({condition}, {a}, {b})"

    def index(self, scope: Scope) -> tuple[str, int]:
        """Return the text of an index and how many numbers it may be."""
        if self.chance(0.2):
            return self.condition(scope), 2
        text, count = self.rng.choice(scope.indices)
        if self.chance(0.15):
            return f"({count - 1}.0 - {text})", count
        if self.chance(0.15):
            return f"({text} + {self.condition(scope)})", count + 1
        return text, count

    def taken(self, scope: Scope, depth: int) -> str | None:
        index, count = self.index(scope)
        tables = [text for text, n in scope.vectors if n >= count]
        rows = [(text, c) for text, r, c in self.matrices if r >= count]
        kind = self.rng.choice(["list", "vector", "rows", "rows", "matrices"])
        if kind == "vector" and tables:
            return f"cr.take({self.rng.choice(tables)}, {index})"
        if kind == "rows" and rows:
            text, c = self.rng.choice(rows)
            return f"cr.take({text}, {index})[{self.rng.randrange(c)}]"
        if kind == "matrices" and count == 2 and len(self.matrices) > 1:
            (a, r, c), (b, p, q) = self.rng.sample(self.matrices, 2)
            if (r, c) == (p, q):
                at = f"[{self.rng.randrange(r)}][{self.rng.randrange(c)}]"
                return f"cr.take([{a}, {b}], {index}){at}"
        return f"cr.take([{', '.join(self.number(scope, depth) for _ in range(count))}], {index})"

    # --- operations of one's own -----------------------------------------------------------------

    def own(self, scope: Scope, depth: int) -> str | None:
        kind = self.rng.choice(["unary", "unary", "binary", "variadic"])
        if kind == "variadic" and self.variadic:
            return f"{self.rng.choice(self.variadic)}({', '.join(self.several(scope, depth))})"
        if kind == "binary" and self.binary:
            a, b = self.number(scope, depth), self.number(scope, depth)
            return f"{self.rng.choice(self.binary)}({a}, {b})"
        return f"{self.rng.choice(self.unary)}({self.number(scope, depth)})"

    def made(self, scope: Scope, depth: int) -> str:
        """Return a number with a leaf that is made on the spot."""
        x = self.rng.choice([0.0, 1.0, 0.5])
        return f"(cr.Value({x}) {'*' if x else '+'} {self.number(scope, depth)})"

    # --- transforms ------------------------------------------------------------------------------

    def transformed(self, scope: Scope, depth: int) -> str:
        piece = self.rng.choice(
            [self.gradient, self.gradient, self.gradient_of_list, self.forward, self.backward,
             self.second, self.value_too, self.curvature, self.rows]
        )  # fmt: skip
        return piece(scope, max(depth, 1))

    def point(self, scope: Scope) -> str:
        return self.rng.choice(scope.numbers) if self.chance(0.7) else self.number(scope, 1)

    def gradient(self, scope: Scope, depth: int) -> str:
        if self.chance(0.25):
            s, t = self.fresh("s"), self.fresh("t")
            body = self.compound(scope.inner([s, t]), depth)
            which = self.rng.randrange(2)
            points = f"{self.point(scope)}, {self.point(scope)}"
            return f"cr.grad(lambda {s}, {t}: {body}, {which})({points})"
        t = self.fresh("t")
        return f"cr.grad(lambda {t}: {self.compound(scope.inner([t]), depth)})({self.point(scope)})"

    def gradient_of_list(self, scope: Scope, depth: int) -> str:
        v = self.fresh("v")
        point, n = self.listed(scope)
        body = self.compound(scope.inner([], [(v, n)]), depth)
        return f"cr.grad(lambda {v}: {body})({point})[{self.rng.randrange(n)}]"

    def listed(self, scope: Scope) -> tuple[str, int]:
        if scope.vectors and self.chance(0.5):
            return self.rng.choice(scope.vectors)
        return f"[{self.rng.choice(scope.numbers)}, {self.atom(scope)}]", 2

    def forward(self, scope: Scope, depth: int) -> str:
        s, t = self.fresh("s"), self.fresh("t")
        body = self.compound(scope.inner([s, t]), depth)
        points, tangents = self._two(scope), self._two(scope)
        return f"cr.jvp(lambda {s}, {t}: {body}, {points}, {tangents})[{self.rng.randrange(2)}]"

    def _two(self, scope: Scope) -> str:
        return f"({self.rng.choice(scope.numbers)}, {self.atom(scope)})"

    def backward(self, scope: Scope, depth: int) -> str:
        s, t = self.fresh("s"), self.fresh("t")
        inner = scope.inner([s, t])
        a, b = self.compound(inner, depth), self.compound(inner, depth)
        points = self._two(scope)[1:-1]
        pull = f"cr.vjp(lambda {s}, {t}: ({a}, {b}), {points})[1]({self._two(scope)})"
        return f"{pull}[{self.rng.randrange(2)}]"

    def second(self, scope: Scope, depth: int) -> str:
        v = self.fresh("v")
        point = f"[{self.rng.choice(scope.numbers)}, {self.atom(scope)}]"
        body = self.compound(scope.inner([], [(v, 2)]), depth)
        at = f"[{self.rng.randrange(2)}][{self.rng.randrange(2)}]"
        return f"cr.hessian(lambda {v}: {body})({point}){at}"

    def value_too(self, scope: Scope, depth: int) -> str:
        t = self.fresh("t")
        body = self.compound(scope.inner([t]), depth)
        which = self.rng.randrange(2)
        return f"cr.value_and_grad(lambda {t}: {body})({self.point(scope)})[{which}]"

    def curvature(self, scope: Scope, depth: int) -> str:
        s, t = self.fresh("s"), self.fresh("t")
        body = self.compound(scope.inner([s, t]), depth)
        points, vector = self._two(scope), self._two(scope)
        which = self.rng.randrange(2)
        return f"cr.hvp(lambda {s}, {t}: {body}, {points}, {vector})[{which}]"

    def rows(self, scope: Scope, depth: int) -> str:
        v = self.fresh("v")
        inner = scope.inner([], [(v, 2)])
        body = f"[{self.compound(inner, depth)}, {self.compound(inner, depth)}]"
        point = f"[{self.rng.choice(scope.numbers)}, {self.atom(scope)}]"
        at = f"[{self.rng.randrange(2)}][{self.rng.randrange(2)}]"
        return f"cr.jacobian(lambda {v}: {body})({point}){at}"

    # --- statements ------------------------------------------------------------------------------

    def statement(self, scope: Scope) -> list[str]:
        """Return lines that put something new into *scope*."""
        pieces = self.rng.choices(
            [self.assigned, self.layer, self.mapped, self.loop, self.accumulated, self.shares,
             self.swept, self.flow, self.positions, self.recurrent, self.scanned],
            [30, 22, 10, 8, 5, 5, 5, 5, 5 if scope.indices and self.matrices else 0, 6, 14],
        )  # fmt: skip
        return pieces[0](scope)

    def assigned(self, scope: Scope) -> list[str]:
        name = self.fresh("a")
        lines = [f"{name} = {self.compound(scope, 2)}"]
        scope.add(name)
        return lines

    def layer(self, scope: Scope) -> list[str]:
        """A layer of neurons; its rows are those of a matrix, or taken from anywhere."""
        name = self.fresh("h")
        found = self._rows(scope)
        if found is None:
            return self.assigned(scope)
        rows, count, x, size = found
        b = self.rng.choice(["0.0", self.atom(scope), self.atom(scope)])
        z = neuron(self.rng, "r", x, b, size)
        if self.chance(0.85):
            z = f"cr.{self.rng.choice(ACTIVATIONS)}({z})"
        scope.add_list(name, count)
        return [f"{name} = [{z} for r in {rows}]"]

    def _rows(self, scope: Scope) -> tuple[str, int, str, int] | None:
        matrices = self.matrices
        fitting = [
            (text, r, c, v) for text, r, c in matrices for v, n in scope.vectors[-4:] if n == c
        ]
        if not fitting:
            return None
        text, r, c, v = self.rng.choice(fitting)
        if not self.tied:
            return text, r, v, c
        alike = [f"{m}[{i}]" for m, rows, cols in matrices if cols == c for i in range(rows)]
        picked = [self.rng.choice(alike) for _ in range(self.rng.choice([2, 2, c]))]
        return f"[{', '.join(picked)}]", len(picked), v, c

    def mapped(self, scope: Scope) -> list[str]:
        if not scope.vectors:
            return self.assigned(scope)
        name, (text, n) = self.fresh("h"), self.rng.choice(scope.vectors)
        body = self.compound(scope.inner(["e"]), 2) if self.chance(0.5) else "cr.tanh(e)"
        scope.add_list(name, n)
        return [f"{name} = [{body} for e in {text}]"]

    def loop(self, scope: Scope) -> list[str]:
        name = self.fresh("s")
        start = self.rng.choice(scope.numbers)
        count = self.rng.choice([2, 3, 5, 12])
        body = self.compound(scope.inner([name, name]), 2)
        scope.add(name)
        return [
            f"{name} = {start}",
            f"for k in range({count}):",
            f"    {name} = cr.{self.rng.choice(SMOOTH)}({body})",
        ]

    def scanned(self, scope: Scope) -> list[str]:
        """A scan, long enough to be a loop or not, of a step that makes numbers no larger."""
        c, e, last, ys = map(self.fresh, "cesy")
        size, outs = self.rng.choice([0, 1, 2, 2, 3]), self.rng.choice([0, 0, 1, 2])
        steps = self.rng.choice([1, 3, 9, 9, 10, 12, 16, 20])
        states = [f"{c}[{i}]" for i in range(size)] or [c]
        entry, came = [], f"length={steps}"
        if self.chance(0.6):
            some = ", ".join(self.atom(scope) for _ in range(self.rng.choice([1, 1, 2, 3])))
            entry, came = [e], f"([{some}] * {steps})[:{steps}]"
        inner = scope.inner([*states, *states, *entry])

        def state() -> str:
            if self.chance(0.15):
                return self.rng.choice([*states, *entry])
            return f"cr.{self.rng.choice(SMOOTH)}({self.compound(inner, 2)})"

        self.plain = self.chance(0.4)
        after = [state() for _ in range(max(size, 1))]
        out = [self.compound(inner, 1) for _ in range(outs)]
        self.plain = False
        given = [self.atom(scope) for _ in after]
        texts = {0: "None", 1: out[0] if out else "", 2: f"({', '.join(out)})"}
        carry, start = (f"[{', '.join(x)}]" if size else x[0] for x in (after, given))
        how = f", checkpoint={self.rng.choice([1, 2, 3, 4])}" if self.chance(0.15) else ""
        if size:
            scope.add_list(last, size)
        else:
            scope.add(last)
        which = self.rng.randrange(2) if outs > 1 else None
        each = ys if which is None else f"{ys}[{which}]"
        lines = [
            f"{last}, {ys} = cr.scan("
            f"lambda {c}, {e}: ({carry}, {texts[outs]}), {start}, {came}{how})"
        ]
        if self.chance(PLAIN_LOOPS):  # the same as a loop of Python
            over = came if entry else f"range({steps})"
            lines = [
                f"{c}, {ys} = {start}, []",
                f"for {e} in {over}:",
                f"    {c}, y = {carry}, {texts[outs]}",
                f"    {ys}.append(y)",
                f"{last} = {c}",
            ]
            each = ys if which is None else f"[y[{which}] for y in {ys}]"
        if outs:
            total = self.fresh("t")
            ask = self.rng.choice(["cr.mean({})", "cr.sum({})", "sum({})", "{}[-1]", "{}[0]"])
            lines.append(f"{total} = {ask.format(each)}")
            scope.add(total)
        return lines

    def recurrent(self, scope: Scope) -> list[str]:
        """A state of two numbers, and what it adds up to on the way."""
        found = self._rows(scope)
        total, h = self.fresh("s"), self.fresh("h")
        if found is None or found[3] != 2:
            return self.loop(scope)
        rows, _, v, _ = found
        two = f"({rows})[:2]"
        count = self.rng.choice([2, 3, 20])
        z = neuron(self.rng, "r", h, self.atom(scope), 2)
        scope.add_list(h, 2)
        scope.add(total)
        return [
            f"{h}, {total} = {v}, 0.0",
            f"for k in range({count}):",
            f"    {h} = [cr.tanh({z}) for r in {two}]",
            f"    {total} = {total} + cr.square({h}[0])",
        ]

    def accumulated(self, scope: Scope) -> list[str]:
        """A total that starts from a leaf made on the spot."""
        name = self.fresh("s")
        start = self.rng.choice(["cr.Value(0.0)", "0.0", "cr.Value(1.0)"])
        over, _ = self.listed(scope)
        body = self.compound(scope.inner(["e"]), 1)
        scope.add(name)
        return [f"{name} = {start}", f"for e in {over}:", f"    {name} = {name} + {body}"]

    def shares(self, scope: Scope) -> list[str]:
        name, over = self.fresh("p"), self.several(scope, 1)
        scope.add_list(name, len(over))
        return [f"{name} = cr.softmax([{', '.join(over)}])"]

    def swept(self, scope: Scope) -> list[str]:
        """The derivative of one node by another, as a node."""
        h, y, g = self.fresh("n"), self.fresh("y"), self.fresh("g")
        if not self.parameters:
            return self.assigned(scope)
        p = self.rng.choice(self.parameters)
        body = self.compound(scope.inner([h, h]), 2)
        lines = [
            f"{h} = {p} * {self.atom(scope)}",
            f"{y} = {h} * {body}",
            f"{g} = cr.gradients({y}, [{h}, {p}], create_graph=True)",
        ]
        scope.add(f"{g}[0]", f"{g}[1]", y)
        return lines

    def flow(self, scope: Scope) -> list[str]:
        """Steps of gradient descent inside the program."""
        t, f = self.fresh("t"), self.fresh("u")
        body = self.compound(scope.inner([f"{t}_"]), 2)
        lines = [
            f"{f} = lambda {t}_: {body}",
            f"{t} = {self.rng.choice(scope.numbers)}",
            f"for k in range({self.rng.choice([1, 2, 3])}):",
            f"    {t} = {t} - 0.1 * cr.grad({f})({t})",
        ]
        scope.add(t)
        return lines

    def positions(self, scope: Scope) -> list[str]:
        """Tables looked up at every position, the way a model of tokens does."""
        name = self.fresh("e")
        (text, _, c), lines = self.rng.choice(self.matrices), []
        parts = []
        for index, count in self.rng.sample(scope.indices, min(2, len(scope.indices))):
            tables = [m for m, r, cols in self.matrices if r >= count and cols == c]
            if tables:
                parts.append(f"cr.take({self.rng.choice(tables)}, {index})")
        if len(parts) < 2:
            parts.append(f"{text}[0]")
        scope.add_list(name, c)
        lines.append(f"{name} = [p + q for p, q in zip({parts[0]}, {parts[-1]})]")
        return lines


def neuron(rng: random.Random, w: str, x: str, b: str, size: int) -> str:
    """Return b + w . x, as different people write it."""
    return rng.choice(
        [
            f"cr.dot({w}, {x}, {b})",
            f"cr.dot({w}, {x})",
            f"(sum(p * q for p, q in zip({w}, {x})) + {b})",
            f"({b} + sum({w}[k] * {x}[k] for k in range({size})))",
            f"cr.sum([{b}, *(q * p for p, q in zip({w}, {x}))])",
            "(" + " + ".join([b, *(f"{w}[{k}] * {x}[{k}]" for k in range(size))]) + ")",
            "(" + " + ".join([*(f"{x}[{k}] * {w}[{k}]" for k in range(size)), b]) + ")",
        ]
    )


# --- operations of one's own ---------------------------------------------------------------------


def own_operations(rng: random.Random, writer: Writer) -> list[str]:
    """Return lines that define one to three operations, some of one name."""
    lines = []
    names = rng.sample(NAMES, 3)
    if rng.random() < 0.3:
        names[1] = names[0]
    for k in range(rng.choice([1, 1, 2, 2, 3])):
        handle = f"op{k}"
        kind, body = rng.choice(OWN)
        text = body.replace("K", repr(rng.choice([2.0, 100.0, -0.5, 3.0])))
        lines.append(f"{handle} = cr.primitive({names[k]!r}, {text})")
        getattr(writer, kind).append(handle)
        if kind != "unary" and not writer.unary:
            lines.append(
                "square_ = cr.primitive('square_', lambda x: x * x, (lambda x, y: 2.0 * x,))"
            )
            writer.unary.append("square_")
    return lines


# Where this is differentiated inside a program, the choice would be fixed for all examples.
COMPARES = "lambda x, y: 1.0 if x > 0.0 else 0.1"

OWN = [
    ("unary", "lambda x: K * x, (K,)"),
    ("unary", "lambda x: K * x, (K,)"),
    ("unary", "lambda x: x * x * x, (lambda x, y: 3.0 * cr.square(x),)"),
    ("unary", "lambda x: x * x + K * x, (lambda x, y: 2.0 * x + K,)"),
    ("unary", "lambda x: x / (1.0 + abs(x)), (lambda x, y: 1.0 / (1.0 + abs(x)) ** 2,)"),
    ("unary", "math.atan, (lambda x, y: 1.0 / (1.0 + x ** 2),)"),
    ("unary", "math.atan, (lambda x, y: 1.0 / (1.0 + x * x),), array=np.arctan"),
    ("unary", "math.atan, (lambda x, y: 1 / (1 + cr.square(x)),), array=np.vectorize(math.atan)"),
    (
        "unary",
        "math.atan, (lambda x, y: 1.0 / (1.0 + x * x),), array=np.frompyfunc(math.atan, 1, 1)",
    ),
    ("unary", "math.erf, (lambda x, y: 2.0 / math.pi ** 0.5 * cr.exp(-x * x),)"),
    (
        "unary",
        "math.erf, (lambda x, y: 1.1283791670955126 * cr.exp(-cr.square(x)),), "
        "array=scipy.special.erf",
    ),
    (
        "unary",
        f"lambda x: x if x > 0.0 else 0.1 * x, ({COMPARES},)",
    ),
    (
        "unary",
        "lambda x: x if x > 0.0 else 0.1 * x, (lambda x, y: cr.where(cr.less(0.0, x), 1.0, 0.1),)",
    ),
    (
        "unary",
        "lambda x: x * x if x > 0.0 else x, "
        "(lambda x, y: cr.where(cr.less(0.0, x), 2.0 * x, 1.0),)",
    ),
    ("binary", "lambda a, b: a * b + a, (lambda a, b, y: b + 1.0, lambda a, b, y: a)"),
    (
        "binary",
        "lambda a, b: a * b + a, (lambda a, b, y: b + 1.0, lambda a, b, y: a), defaults=(2.0,)",
    ),
    ("binary", "lambda a, b: a - K * b, (1.0, -K)"),
    ("binary", "lambda a, b: a * a * b, (lambda a, b, y: 2.0 * a * b, lambda a, b, y: a ** 2)"),
    (
        "binary",
        "lambda a, b: a if a > b else b, (1.0, 1.0), selects=lambda a, b: 0 if a > b else 1",
    ),
    (
        "binary",
        "lambda a, b: a if a > b else b, (1.0, 1.0), selects=lambda a, b: int(a <= b), "
        "array=np.maximum",
    ),
    (
        "binary",
        "lambda a, b: a if abs(a) < abs(b) else b, (1.0, 1.0), "
        "selects=lambda a, b: 0 if abs(a) < abs(b) else 1",
    ),
    (
        "variadic",
        "lambda *xs: math.prod(xs), variadic=lambda xs, y, linked: "
        "[math.prod([x for j, x in enumerate(xs) if j != i]) for i in linked]",
    ),
]


# --- whole programs ------------------------------------------------------------------------------


def program(seed: int) -> Program:
    """Return the program of a seed."""
    rng = random.Random(seed)
    writer = Writer(rng)
    data = _Data(rng)
    lines = _parameters(rng, writer, data)
    writer.tied = rng.random() < 0.3
    if rng.random() < 0.35:
        lines += own_operations(rng, writer)
    arguments = _arguments(rng)
    scope = _scope(arguments, writer)
    names = ["f"]
    pooled = rng.random() < 0.15
    lines += _function("f", arguments, writer, scope, pooled)
    if rng.random() < 0.2:
        names.append("g")
        lines += _function("g", arguments, writer, _scope(arguments, writer), False)
    text = "\n".join(lines)
    graph = not worlds.transforms(text) and "checkpoint" not in text and rng.random() < 0.2
    return Program(text + "\n", tuple(_calls(rng, writer, data, arguments, names, graph)))


class _Data:
    """Where the numbers come from: ordinary ones, ties and zeros, or hostile ones."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.kind = rng.choices(["ordinary", "edges", "hostile"], [86, 11, 3])[0]

    def number(self) -> float:
        if self.kind != "ordinary" and self.rng.random() < 0.5:
            return self.rng.choice(EDGES if self.kind == "edges" else HOSTILE)
        return round(self.rng.gauss(0.0, 1.2), 3)

    def parameter(self) -> float:
        if self.kind != "ordinary" and self.rng.random() < 0.4:
            return self.rng.choice(EDGES)
        return round(self.rng.gauss(0.0, 0.9), 2)

    def batch(self, shape: tuple[int, ...], high: int | None, size: int) -> list[Any]:
        return [self._entry(shape, high) for _ in range(size)]

    def _entry(self, shape: tuple[int, ...], high: int | None) -> Any:
        if shape:
            return [self._entry(shape[1:], high) for _ in range(shape[0])]
        return self.number() if high is None else float(self.rng.randrange(high))


def _parameters(rng: random.Random, writer: Writer, data: _Data) -> list[str]:
    """Return the lines that make the parameters."""

    def leaf(_: str) -> str:
        return f"cr.Value({data.parameter()!r})"

    lines = []
    for name in ["w", "v"][: rng.choice([1, 1, 2])]:
        size = rng.choice([2, 2, 3])
        lines.append(f"{name} = [{', '.join(leaf(name) for _ in range(size))}]")
        writer.parameters += [f"{name}[{i}]" for i in range(size)]
    if rng.random() < 0.4:
        lines.append(f"b = {leaf('b')}")
        writer.parameters.append("b")
    for name in ["A", "B", "C"][: rng.choice([0, 1, 1, 2, 2, 3])]:
        r, c = rng.choice([2, 2, 3]), rng.choice([2, 2, 2, 3])
        rows = [f"[{', '.join(leaf(name) for _ in range(c))}]" for _ in range(r)]
        lines.append(f"{name} = [{', '.join(rows)}]")
        writer.matrices.append((name, r, c))
        writer.parameters += [f"{name}[{i}][{j}]" for i in range(r) for j in range(c)]
    return lines


@dataclass
class _Argument:
    name: str
    shape: tuple[int, ...] = ()
    high: int | None = None
    """One more than the largest index; None for a number."""


def _arguments(rng: random.Random) -> list[_Argument]:
    found = []
    if rng.random() < 0.75:
        found.append(_Argument("x"))
    if rng.random() < 0.5 or not found:
        found.append(_Argument("u", (rng.choice([2, 2, 3]),)))
    if rng.random() < 0.25:
        found.append(_Argument("i", (), rng.choice([2, 2, 3])))
    elif rng.random() < 0.15:
        found.append(_Argument("i", (2,), rng.choice([2, 3])))
    elif rng.random() < 0.15:
        found.append(_Argument("M", (2, 2)))
    return found


def _scope(arguments: list[_Argument], writer: Writer) -> Scope:
    scope = Scope([], [], [])
    for argument in arguments:
        if argument.high is not None:
            entries = [f"i[{k}]" for k in range(2)] if argument.shape else ["i"]
            scope.indices += [(text, argument.high) for text in entries]
        elif not argument.shape:
            scope.numbers += [argument.name] * 3
        elif len(argument.shape) == 1:
            n = argument.shape[0]
            scope.vectors += [(argument.name, n)] * 2
            scope.numbers += [f"{argument.name}[{k}]" for k in range(n)]
        else:
            scope.vectors += [(f"M[{k}]", 2) for k in range(2)]
            scope.numbers += [f"M[{k}][{j}]" for k in range(2) for j in range(2)]
    stems: dict[str, int] = {}
    for path in writer.parameters:
        stem = path.rpartition("[")[0]
        if stem:
            stems[stem] = stems.get(stem, 0) + 1
    scope.vectors += list(stems.items())
    scope.numbers += writer.parameters
    return scope


def _function(
    name: str, arguments: list[_Argument], writer: Writer, scope: Scope, pooled: bool
) -> list[str]:
    rng = writer.rng
    body: list[str] = []
    for _ in range(rng.choice([0, 0, 1, 1, 1, 2, 3])):
        body += writer.statement(scope)
    lines = [f"def {name}({', '.join(a.name for a in arguments)}):"]
    if pooled:  # hardly two nodes are alike
        terms = ", ".join(writer.number(scope, 2) for _ in range(rng.randint(4, 8)))
        result = f"cr.sum([{terms}])"
    elif rng.random() < 0.75:
        result = writer.compound(scope, rng.choice([1, 2, 2, 3]))
    else:
        parts = [writer.compound(scope, 2) for _ in range(rng.choice([1, 2, 3]))]
        kind = rng.choice(["list", "tuple", "dict", "nested", "named", "array", "vector"])
        if kind == "named":
            fields = " ".join("pqr"[: len(parts)])
            lines.insert(0, f"{name}_result = collections.namedtuple('{name}_result', '{fields}')")
        result = _returned(kind, parts, name, scope)
    return [*lines, *(f"    {line}" for line in body), f"    return {result}"]


def _returned(kind: str, parts: list[str], name: str, scope: Scope) -> str:
    together = ", ".join(parts)
    if kind == "vector" and scope.vectors:
        return scope.vectors[-1][0]
    return {
        "list": f"[{together}]",
        "tuple": f"({together},)",
        "dict": "{" + ", ".join(f"'k{i}': {part}" for i, part in enumerate(parts)) + "}",
        "nested": f"[({together},), {{'k': {parts[0]}}}]",
        "named": f"{name}_result({together})",
        "array": f"np.array([{together}])",
        "vector": f"[{together}]",
    }[kind]


def _calls(
    rng: random.Random,
    writer: Writer,
    data: _Data,
    arguments: list[_Argument],
    names: list[str],
    graph: bool,
) -> list[Call]:
    calls = []
    for k in range(rng.choice([2, 2, 3])):
        size = rng.choice([1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 8, 9, rng.randint(8, 70)])
        as_graph = graph and rng.random() < 0.6
        batch = tuple(data.batch(a.shape, a.high, 1 if as_graph else size) for a in arguments)
        changed = rng.random()
        paths = writer.parameters if changed < 0.6 else rng.sample(writer.parameters, 1)
        changes = [(path, data.parameter()) for path in paths] if k and changed < 0.8 else []
        calls.append(
            Call(
                names[k % len(names)] if rng.random() < 0.8 else rng.choice(names),
                batch,
                tuple(changes),
                as_graph,
                not as_graph and rng.random() < 0.1,
            )
        )
    return calls
