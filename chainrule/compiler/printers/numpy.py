"""An array program as NumPy source that a person can read and paste into a file.

An operation that is used once is written where it is used, so that a line reads like the formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ...engine import table as primitives
from ..addresses import Shape, Strides
from ..program import Operation, Program
from .in_place import begun, rests, stored
from .literals import WIDTH
from .names import is_taken
from .products import product
from .rows import (
    ATOM,
    CONDITIONS,
    FOLDED,
    PRODUCT,
    SPELLED,
    SUM,
    module,
    need,
    number_text,
    spelled,
)
from .slices import candidates, slicing


class Emitter:
    """Writes one function: the operations that its results need, in order."""

    def __init__(self, program: Program, first: int = 0):
        self.program = program
        self.first = first  # of the numbers by which constants are named
        self.names = dict(program.names)
        self.row_names = program.row_names()
        self.helpers: dict[str, None] = {}
        self.constants: dict[int, str] = {}
        self.lines: list[str] = []
        self.text: dict[int, tuple[str, int]] = {}  # expression and how tightly it binds
        self.inline: set[int] = set()  # what is written where it is used
        self.used_names: set[str] = set(program.inputs)
        self.next_names: dict[str, int] = {}
        self.counted = False  # whether the number of examples occurs

    def function(
        self, name: str, results: Sequence[Any], returned: Callable[[list[str]], str]
    ) -> str:
        """Return the source of function *name*; *returned* writes its last line."""
        program = self.program
        wanted = program.needed(results)
        uses = program.uses(wanted, results)
        direct = stored(program, wanted, self.names)
        first = begun(program, wanted, uses, self.names)
        self.rests = rests(program, wanted)
        parameters = program.arguments[name]
        for n in parameters:
            self.text[n] = (self._name(n, "theta"), ATOM)
        for n in sorted(wanted):
            operation = program.operations[n]
            if operation.kind == "parameter":
                continue
            if n in first:
                variable = self._name(int(operation.args[0]), "v")
                self.lines.append(f"{variable} = {self.operand(operation.args[1])[0]}")
                self.text[int(operation.args[0])] = (variable, ATOM)
                continue
            if operation.kind == "new" and n in first.values():
                continue
            if operation.kind in ("store", "accumulate"):
                place = self._write(operation)
                if direct.get(operation.args[1]) == n:
                    self.text[int(operation.args[1])] = (place, ATOM)
                continue
            if operation.kind == "one_minus" and operation.args[0] in self.rests:
                continue  # it was computed together with the sigmoid
            text = self._expression(n, operation)
            named = n in self.names and operation.kind not in ("input",)
            inline = (
                operation.kind in ("input", "count")
                or n in direct
                or (
                    not named
                    and uses[n] == 1
                    and n not in self.rests
                    and len(text[0]) < WIDTH - 20
                    and operation.kind != "new"
                )
            )
            if inline:
                self.text[n] = text
                self.inline.add(n)
            else:
                variable = self._name(n, "v")
                self.lines.append(f"{variable}{self._rest(n, variable)} = {text[0]}")
                self.text[n] = (variable, ATOM)
        arguments = [self.text[n][0] for n in parameters] + program.inputs
        last = returned([self.operand(x)[0] for x in results])
        body = self.lines + last.split("\n")
        if self.counted:
            body.insert(0, f"m = len({program.inputs[0]})")
        return "\n".join(
            ['@np.errstate(all="ignore")', f"def {name}({', '.join(arguments)}):"]
            + ["    " + line for line in body]
        )

    def _rest(self, n: int | float, name: str) -> str:
        """Return what follows the name of *n* on the left side of its line."""
        if n not in self.rests or self.rests[n] in self.text:
            return ""
        rest = self.rests[n]
        self.names.setdefault(rest, f"one_minus_{name.partition('[')[0]}")
        variable = self._name(rest, "v")
        self.text[rest] = (variable, ATOM)
        return f", {variable}"

    def _name(self, n: int, stem: str) -> str:
        name = self.names.get(n)
        if name is None or name in self.used_names or is_taken(name):
            stem = name + "_" if name else stem
            i = self.next_names.get(stem, 1)
            while f"{stem}{i}" in self.used_names:
                i += 1
            self.next_names[stem] = i + 1
            name = f"{stem}{i}"
        self.used_names.add(name)
        return name

    def operand(self, x: int | float, binding: int = 0) -> tuple[str, int]:
        """Return the text of an operand, in parentheses if it binds less tightly than *binding*."""
        if type(x) is int:
            text, binds = self.text[x]
        else:
            text, binds = number_text(float(x))
        return (text, binds) if binds >= binding else (f"({text})", ATOM)

    def _args(self, operation: Operation) -> list[str]:
        return [self.operand(x)[0] for x in operation.args]

    def _array(self, number: int) -> str:
        array = self.program.constants[number]
        stem = "c" if array.dtype.kind == "f" else "i"
        return self.constants.setdefault(number, f"{stem}{self.first + number}")

    def functions(self) -> list[str]:
        """Return the source of ``forward`` and, if the program has a cost, of ``gradient``."""
        program = self.program
        functions = [self.function("forward", program.outputs, lambda x: f"return {x[0]}")]
        if program.cost is not None:
            self.restart()
            results = [program.cost, *(x for _, x in program.gradients)]
            functions.append(
                self.function("gradient", results, lambda x: f"return {x[0]}, [{', '.join(x[1:])}]")
            )
        return functions

    def restart(self) -> None:
        """Forget the last function; helpers and constants are shared by all functions."""
        self.lines, self.text, self.used_names = [], {}, set(self.program.inputs)
        self.inline = set()
        self.next_names, self.counted = {}, False

    # --- expressions -------------------------------------------------------------------------

    def _expression(self, n: int, operation: Operation) -> tuple[str, int]:
        return getattr(self, "_" + operation.kind)(operation)  # type: ignore[no-any-return]

    def _input(self, operation: Operation) -> tuple[str, int]:
        return self.program.inputs[operation.detail], ATOM

    def _apply(self, operation: Operation) -> tuple[str, int]:
        row = self.program.rows[operation.detail]
        args = operation.args
        if row in FOLDED and len(args) == 1:
            return self.operand(args[0])
        if row is primitives.softmax_entry:
            self.helper("softmax_entry")
            texts = self._args(operation)
            return f"softmax_entry({int(args[0])}, {', '.join(texts[1:])})", ATOM
        if any(operation is self.program.operations[int(n)] for n in self.rests):
            self.helper("sigmoid_pair")
            return f"sigmoid_pair({self.operand(args[0])[0]})", ATOM
        exponent = None if type(args[-1]) is int else float(args[-1])
        form = spelled(row, len(args), self.row_names[operation.detail], exponent)
        if form.helper:
            self.helper(form.helper)
        given = [self.operand(x) for x in args]
        if row is primitives.where:
            given[0] = self._condition(args[0]), ATOM
        if row is primitives.multiply and self._is_product(args[0]):
            given[0] = f"({given[0][0]})", ATOM
        return form.write(given), form.binds

    def _condition(self, x: int | float) -> str:
        """Return the text of a condition for np.where, which does not need it as a number."""
        operation = self.program.operations[int(x)] if self._is_inline(x) else None
        row = self.program.row(operation) if operation is not None else None
        if operation is not None and row in SPELLED and row.name in CONDITIONS:
            args = operation.args
            return CONDITIONS[row.name].format(*(self.operand(y, ATOM)[0] for y in args))
        return self.operand(x)[0]

    def _is_inline(self, x: int | float) -> bool:
        """Return whether *x* is the result of an operation that is written where it is used."""
        return type(x) is int and x in self.inline

    def _is_product(self, x: int | float) -> bool:
        return (
            self._is_inline(x)
            and self.program.operations[int(x)].kind == "matmul"
            and self.text[int(x)][1] == PRODUCT
        )

    def helper(self, name: str) -> None:
        need(self.helpers, name)

    def _constant(self, operation: Operation) -> tuple[str, int]:
        return self._array(operation.detail), ATOM

    def _view(self, operation: Operation) -> tuple[str, int]:
        source = self.program.operations[int(operation.args[0])]
        x, _ = self.operand(operation.args[0], ATOM)
        return self._viewed(x, source, operation.detail), ATOM

    def _viewed(self, x: str, source: Operation, strides: Strides) -> str:
        for shape in candidates(source.shape, strides):
            found = slicing(shape, source.batched, strides)
            if found is not None:
                if shape != source.shape:
                    x = f"{x}.reshape({self._shape(shape, source.batched)})"
                index, order = found
                return x + index + _transposed(order)
        self.helper("view")
        offset, axes = strides
        return (
            f"view({x}, {offset}, {tuple(n for n, _ in axes)}, {tuple(s for _, s in axes)}, "
            f"{source.batched})"
        )

    def _shape(self, shape: Shape, batched: bool) -> str:
        return ", ".join(map(str, ((-1, *shape) if batched else shape)))

    def _flat(self, n: int | float) -> str:
        source = self.program.operations[int(n)]
        x, _ = self.operand(n, ATOM)
        if len(source.shape) == 1:
            return x
        return f"{x}.reshape({self._shape((math.prod(source.shape),), source.batched)})"

    def _reshape(self, operation: Operation) -> tuple[str, int]:
        number = int(operation.args[0])
        source = self.program.operations[number]
        if source.kind == "sum" and number in self.inline:
            summed, _ = self.operand(source.args[0], ATOM)
            if self._is_total(source):
                return f"{summed}.sum().reshape({self._shape(operation.shape, False)})", ATOM
            if source.detail == (-1,) and source.shape[:-1] == operation.shape:
                return f"{summed}.sum(axis=-1)", ATOM
        x, _ = self.operand(number, ATOM)
        return f"{x}.reshape({self._shape(operation.shape, operation.batched)})", ATOM

    def _is_total(self, operation: Operation) -> bool:
        """Return whether an operation adds up all numbers of a matrix, or more axes, to one."""
        source = self.program.operations[int(operation.args[0])]
        return not source.batched and len(operation.detail) == len(source.shape) > 1

    def _take(self, operation: Operation) -> tuple[str, int]:
        index = self._array(operation.detail)
        lead = ":, " if operation.batched else ""
        return f"{self._flat(operation.args[0])}[{lead}{index}]", ATOM

    def _broadcast(self, operation: Operation) -> tuple[str, int]:
        x = self.operand(operation.args[0])[0]
        shape = self._sizes(operation)
        return f"np.broadcast_to({x}, ({shape}))", ATOM

    def _sizes(self, operation: Operation) -> str:
        self.counted = self.counted or operation.batched
        sizes = ", ".join(map(str, operation.shape))
        return (
            f"m, {sizes}"
            if operation.batched
            else sizes + ("," if len(operation.shape) == 1 else "")
        )

    def _matmul(self, operation: Operation) -> tuple[str, int]:
        text = product(self, operation, self.program.operations[int(operation.args[0])])
        if operation.kind == "linked_matmul":
            self.helper("linked_product")
        return text

    def exchanged(self, x: int | float) -> str:
        """Return operand *x* with its last two axes exchanged."""
        return f"{self.operand(x, ATOM)[0]}.swapaxes(-1, -2)"

    def merged(self, x: int | float) -> str:
        """Return operand *x* with all axes but the last merged into one."""
        source = self.program.operations[int(x)]
        text = self.operand(x, ATOM)[0]
        rank = len(source.shape) + source.batched
        if rank == 2:
            return text
        if rank == 1:
            return f"{text}[None, :]"
        return f"{text}.reshape(-1, {source.shape[-1]})"

    def reshaped(self, text: str, binds: int, operation: Operation) -> str:
        """Return the array that *text* gives, in the shape of *operation*."""
        shape = self._shape(operation.shape, operation.batched)
        return f"{text if binds == ATOM else f'({text})'}.reshape({shape})"

    _linked_matmul = _matmul

    def _sum(self, operation: Operation) -> tuple[str, int]:
        x, _ = self.operand(operation.args[0], ATOM)
        axes = operation.detail
        if self._is_total(operation):
            ones = ", ".join("1" for _ in axes)
            return f"{x}.sum().reshape({ones})", ATOM
        axis = str(axes[0]) if len(axes) == 1 else str(tuple(axes))
        return f"{x}.sum(axis={axis}, keepdims=True)", ATOM

    def _sum_batch(self, operation: Operation) -> tuple[str, int]:
        source = self.program.operations[int(operation.args[0])]
        x, _ = self.operand(operation.args[0], ATOM)
        return f"{x}.sum({'axis=0' if source.shape == operation.shape else ''})", ATOM

    def _count(self, operation: Operation) -> tuple[str, int]:
        x = operation.args[0]
        self.counted = True
        if x == 1.0:
            return "m", ATOM
        return f"m * {self.operand(x, PRODUCT + 1)[0]}", PRODUCT

    def _segment_sum(self, operation: Operation) -> tuple[str, int]:
        x, _ = self.operand(operation.args[0])
        return f"np.add.reduceat({x}, {self._array(operation.detail)}, axis=-1)", ATOM

    def _segmented(self, operation: Operation) -> tuple[str, int]:
        self.helper(operation.kind)
        args = self._args(operation)
        if operation.detail is not None:
            args += map(self._array, operation.detail)
        return f"{operation.kind}({', '.join(args)})", ATOM

    def _pick(self, operation: Operation) -> tuple[str, int]:
        self.helper(operation.kind)
        args = self._args(operation)
        if operation.detail is not None:
            args.append(str(operation.detail))
        return f"{operation.kind}({', '.join(args)})", ATOM

    _spread = _pick

    def _one_hot(self, operation: Operation) -> tuple[str, int]:
        self.helper("one_hot")
        return f"one_hot({self._args(operation)[0]}, {operation.shape[-1]})", ATOM

    def _softmax_minus(self, operation: Operation) -> tuple[str, int]:
        self.helper("softmax")
        z, y = operation.args
        return f"softmax({self.operand(z)[0]}) - {self.operand(y, PRODUCT)[0]}", SUM

    _one_minus_square = _softmax = _logsumexp = _logsumexp_slopes = _softmax_pullback = _segmented
    _cross_entropy = _surprisals = _segmented

    def _softmax_rest(self, operation: Operation) -> tuple[str, int]:
        p, y = (self.operand(x, PRODUCT)[0] for x in operation.args)
        return f"({p} * (1.0 - {y})).sum(axis=-1, keepdims=True)", ATOM

    def _reduced(self, operation: Operation) -> tuple[str, int]:
        x, _ = self.operand(operation.args[0])
        if operation.detail is None:
            return f"np.{operation.kind}.reduce({x}, axis=-1, keepdims=True)", ATOM
        starts = self._array(operation.detail)
        return f"np.{operation.kind}.reduceat({x}, {starts}, axis=-1)", ATOM

    _maximum = _minimum = _reduced

    def _new(self, operation: Operation) -> tuple[str, int]:
        shape = f"({self._sizes(operation)})"
        if operation.detail is None:
            return f"np.empty({shape})", ATOM
        if operation.detail in (0.0, 1.0):
            return f"np.{'ones' if operation.detail else 'zeros'}({shape})", ATOM
        return f"np.full({shape}, {operation.detail})", ATOM

    def _write(self, operation: Operation) -> str:
        target = self.program.operations[int(operation.args[0])]
        how, detail = operation.detail
        x = self.text[int(operation.args[0])][0]
        if how == "view":
            place = self._viewed(x, target, detail)
            if place == x:
                place += "[:]"
            elif not place.endswith("]"):
                place += "[...]"
        else:
            lead = ":, " if target.batched else ""
            place = f"{self._flat(operation.args[0])}[{lead}{self._array(detail)}]"
        sign = "=" if operation.kind == "store" else "+="
        text = self.operand(operation.args[1])[0]
        self.lines.append(f"{place}{self._rest(operation.args[1], place)} {sign} {text}")
        return place


def _transposed(order: Sequence[int]) -> str:
    if not order:
        return ""
    return ".T" if len(order) == 2 else f".transpose({', '.join(map(str, order))})"


def write(program: Program) -> str:
    """Return *program* as a NumPy module: ``forward`` and, if it has one, ``gradient``."""
    emitter = Emitter(program)
    functions = emitter.functions()
    constants = {name: program.constants[n] for n, name in sorted(emitter.constants.items())}
    return module(functions, emitter.helpers, constants)
