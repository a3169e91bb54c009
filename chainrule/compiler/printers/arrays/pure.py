"""An array program as pure functions of an array library: nothing is written in place.

An array that the program makes by writes into parts of it is remembered by its parts, and put
together with ``concat`` where it is read; a view of one part reads that part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....engine import table as primitives
from ...addresses import AnyArray, Shape, addresses_of, affine
from ...program import Operation, Program
from ..literals import WIDTH
from ..numpy import Emitter
from ..rows import ATOM, PRODUCT, SIGN, SUM
from ..slices import candidates, slicing
from .elementwise import Rows, Term, bound, number_term
from .written_parts import Parts, WrittenPart

_NEVER_NAMED = ("input", "count")


class PureEmitter(Emitter):
    """Writes one function; the names and what is written where are those of the NumPy source."""

    def __init__(self, program: Program, rows: Rows):
        super().__init__(program)
        self.rows = rows
        self.parts: dict[int, Parts] = {}
        """Of each array made by ``new``."""

    def function(
        self, name: str, results: Sequence[Any], returned: Callable[[list[str]], str]
    ) -> str:
        """Return the source of function *name*; *returned* writes its last line."""
        program = self.program
        self.parts = {}
        self.rows.forget()
        wanted = program.needed(results)
        uses = program.uses(wanted, results)
        parameters = program.arguments[name]
        for n in parameters:
            self.text[n] = (self._name(n, "theta"), ATOM)
        for n in sorted(wanted):
            operation = program.operations[n]
            if operation.kind == "parameter":
                continue
            if operation.kind == "new":
                fill = 0.0 if operation.detail is None else operation.detail
                self.parts[n] = Parts(operation.shape, operation.batched, fill)
                continue
            if operation.kind in ("store", "accumulate"):
                self._write_part(operation)
                continue
            text = self._expression(n, operation)
            named = n in self.names and operation.kind not in _NEVER_NAMED
            once = uses[n] == 1 and len(text[0]) < WIDTH - 20
            if operation.kind in _NEVER_NAMED or (once and not named):
                self.text[n] = text
                self.inline.add(n)
            else:
                self._assign(n, text[0])
        arguments = [self.text[n][0] for n in parameters] + program.inputs
        last = returned([self._read(x) for x in results])
        body = self.lines + last.split("\n")
        if self.counted:
            body.insert(0, f"m = {program.inputs[0]}.shape[0]")
        lines = [f"def {name}({', '.join(arguments)}):", *("    " + line for line in body)]
        return "\n".join(lines)

    def _assign(self, n: int, text: str) -> None:
        variable = self._name(n, "v")
        self.lines.append(f"{variable} = {text}")
        self.rows.called(variable, text)
        self.text[n] = (variable, ATOM)

    def _read(self, x: int | float) -> str:
        return self.operand(x)[0]

    # --- operands ------------------------------------------------------------------------------

    def operand(self, x: int | float, binding: int = 0) -> tuple[str, int]:
        """Return the text of an operand as an array, or of a number."""
        if type(x) is not int:
            found = number_term(float(x))
            return (bound(found, binding), found.binds)
        if x in self.parts:
            self._settle(x)
        operation = self.program.operations[x]
        if operation.kind == "count":  # as an array, where it is not merely divided by
            size = self.rows.helper("full")
            return f"{size}({_shape(operation.shape, None)}, {self._counted(operation)})", ATOM
        text, binds = self.text[x]
        return (text, binds) if binds >= binding else (f"({text})", ATOM)

    def _term(self, x: int | float) -> Term:
        text, binds = self.operand(x)
        return Term(text, binds, type(x) is not int)

    def _counted(self, operation: Operation) -> str:
        (x,) = operation.args
        self.counted = True
        return "m" if x == 1.0 else f"m * {self.operand(x, PRODUCT + 1)[0]}"

    def _shape_of(self, operation: Operation) -> str:
        self.counted = self.counted or operation.batched
        return _shape(operation.shape, "m" if operation.batched else None)

    def _array(self, number: int) -> str:
        return self.rows.constant(self.program.constants[number])

    def _source(self, n: int | float) -> Operation:
        return self.program.operations[int(n)]

    # --- arrays of parts -----------------------------------------------------------------------

    def _settle(self, n: int) -> None:
        """Put an array together from its parts, if that was not done since the last write."""
        parts = self.parts[n]
        if n not in self.text:
            text = parts.whole(self.rows, self._shape_text(parts))
            self.text[n] = (text, ATOM)
            if not text.isidentifier():
                self._assign(n, text)

    def _shape_text(self, parts: Parts) -> Callable[[Shape], str]:
        self.counted = self.counted or parts.batched
        lead = "m" if parts.batched else None
        return lambda shape: _shape(shape, lead)

    def _write_part(self, operation: Operation) -> None:
        n, value = int(operation.args[0]), operation.args[1]
        parts = self.parts[n]
        how, detail = operation.detail
        addresses = addresses_of(detail) if how == "view" else self.program.constants[detail]
        part = self._part(value, addresses, parts)
        if operation.kind == "accumulate" and not parts.is_zero(addresses):
            self._settle(n)
            before = self.text[n][0]
            embedded = Parts(parts.shape, parts.batched, 0.0)
            embedded.write(addresses, part)
            more = embedded.whole(self.rows, self._shape_text(parts))
            parts = self.parts[n] = Parts(parts.shape, parts.batched, 0.0)
            self.text.pop(n)
            variable = self._name(n, "v")
            self.lines.append(f"{variable} = {before} + {more}")
            whole = np.arange(math.prod(parts.shape)).reshape(parts.shape)
            parts.write(whole, WrittenPart(variable, parts.shape))
            return
        parts.write(addresses, part)
        self.text.pop(n, None)

    def _part(self, value: int | float, addresses: AnyArray, parts: Parts) -> WrittenPart:
        """Return what is written, as a part that has its own name and the shape of *addresses*."""
        shape = addresses.shape
        if type(value) is not int:
            text = f"{self.rows.helper('full')}({self._shape_text(parts)(shape)}, {value!r})"
            return WrittenPart(text.replace("inf", "xp.inf").replace("nan", "xp.nan"), shape)
        operation = self.program.operations[value]
        text = self.operand(value)[0]
        if operation.batched < parts.batched or operation.shape != shape:
            text = f"xp.broadcast_to({text}, {self._shape_text(parts)(shape)})"
        return WrittenPart(text, shape)

    # --- expressions ---------------------------------------------------------------------------

    def _apply(self, operation: Operation) -> tuple[str, int]:
        row = self.program.rows[operation.detail]
        args = operation.args
        name = self.row_names[operation.detail]
        if row is primitives.where:
            found = self.rows.chosen(self._condition(args[0]), *map(self._term, args[1:]))
        elif row in (primitives.multiply, primitives.divide) and any(map(self._is_count, args)):
            found = self.rows.applied(row, name, [self._scalar(x, args) for x in args])
        else:
            terms = [self._term(x) for x in args]
            if row is primitives.multiply and self._is_product(args[0]):
                terms[0] = Term(f"({terms[0].text})", ATOM)
            found = self.rows.applied(row, name, terms)
        shapes = [self._source(x).shape for x in args if type(x) is int]
        if np.broadcast_shapes(*shapes) != operation.shape:  # of numbers, which fit any shape
            return f"xp.broadcast_to({found.text}, {self._shape_of(operation)})", ATOM
        return found.text, found.binds

    def _is_count(self, x: int | float) -> bool:
        return type(x) is int and self.program.operations[x].kind == "count"

    def _scalar(self, x: int | float, args: Sequence[Any]) -> Term:
        """Return an operand beside another, with the number of examples as a number."""
        others = [y for y in args if type(y) is int and not self._is_count(y)]
        if not self._is_count(x) or not others:
            return self._term(x)
        text = self._counted(self._source(x))
        return Term(text, ATOM if text == "m" else PRODUCT)

    def _condition(self, x: int | float) -> str:
        """Return the text of a condition for ``where``, which does not need it as a number."""
        if self._is_inline(x):
            operation = self._source(x)
            row = self.program.row(operation)
            if row in (primitives.equal, primitives.less, primitives.less_equal):
                return self.rows.condition(row, [self._term(y) for y in operation.args])
        return self.rows.holds(self._term(x))

    def _view(self, operation: Operation) -> tuple[str, int]:
        n, strides = int(operation.args[0]), operation.detail
        if n in self.parts:
            found = self.parts[n].part_at(addresses_of(strides))
            if found is not None:
                part, addresses = found
                within = affine(addresses)
                if within is not None:
                    source = Operation("new", (), part.shape, operation.batched)
                    text = self._viewed(self._named_part(n, part), source, within)
                    return text, ATOM
        x, _ = self.operand(n, ATOM)
        return self._viewed(x, self._source(n), strides), ATOM

    def _named_part(self, n: int, part: WrittenPart) -> str:
        """Return the name of a part, which gets one now if it has none."""
        if not part.text.isidentifier():
            variable = self._name(-1 - len(self.lines), "v")
            self.lines.append(f"{variable} = {part.text}")
            part.text = variable
        return part.text

    def _viewed(self, x: str, source: Operation, strides: Any) -> str:
        for shape in candidates(source.shape, strides):
            found = slicing(shape, source.batched, strides)
            if found is not None:
                if shape != source.shape:
                    x = f"xp.reshape({x}, {self._lead(shape, source.batched)})"
                index, order = found
                if not order:
                    return x + index
                if len(order) == 2:
                    return f"{x}{index}.T"
                return f"{self.rows.helper('permuted')}({x}{index}, {tuple(order)})"
        addresses = addresses_of(strides)
        return self._gathered(x, source, addresses)

    def _lead(self, shape: Shape, batched: bool) -> str:
        self.counted = self.counted or batched
        return _shape(shape, "m" if batched else None)

    def _flat(self, n: int | float) -> str:
        source = self._source(n)
        x, _ = self.operand(n, ATOM)
        return self._flattened(x, source)

    def _flattened(self, x: str, source: Operation) -> str:
        if len(source.shape) == 1:
            return x
        return f"xp.reshape({x}, {self._lead((math.prod(source.shape),), source.batched)})"

    def _gathered(self, x: str, source: Operation, addresses: AnyArray) -> str:
        """Return the elements of *x* at *addresses*, in their shape."""
        index = self.rows.constant(addresses.ravel())
        text = f"{self.rows.helper('take')}({self._flattened(x, source)}, {index})"
        if addresses.ndim == 1:
            return text
        return f"xp.reshape({text}, {self._lead(addresses.shape, source.batched)})"

    def _take(self, operation: Operation) -> tuple[str, int]:
        n, addresses = int(operation.args[0]), self.program.constants[operation.detail]
        if n in self.parts and (found := self.parts[n].part_at(addresses)) is not None:
            part, within = found
            source = Operation("new", (), part.shape, operation.batched)
            x = self._named_part(n, part)
            return self._gathered(x, source, within), ATOM
        x, _ = self.operand(n, ATOM)
        return self._gathered(x, self._source(n), addresses), ATOM

    def _reshape(self, operation: Operation) -> tuple[str, int]:
        x = self.operand(operation.args[0])[0]
        return f"xp.reshape({x}, {self._lead(operation.shape, operation.batched)})", ATOM

    def _broadcast(self, operation: Operation) -> tuple[str, int]:
        (x,) = operation.args
        if type(x) is not int:
            text = self.operand(x)[0]
            return f"{self.rows.helper('full')}({self._shape_of(operation)}, {text})", ATOM
        source = self._source(x)
        text = self.operand(x, ATOM)[0]
        if source.batched and len(source.shape) < len(operation.shape):  # axes after the examples
            ones = (1,) * (len(operation.shape) - len(source.shape))
            text = f"xp.reshape({text}, {self._lead((*ones, *source.shape), True)})"
        return f"xp.broadcast_to({text}, {self._shape_of(operation)})", ATOM

    def helper(self, name: str) -> None:
        self.rows.helper(name)

    def exchanged(self, x: int | float) -> str:
        """Return operand *x* with its last two axes exchanged."""
        return f"{self.rows.helper('transposed')}({self.operand(x)[0]})"

    def reshaped(self, text: str, binds: int, operation: Operation) -> str:
        """Return the array that *text* gives, in the shape of *operation*."""
        return f"xp.reshape({text}, {self._lead(operation.shape, operation.batched)})"

    def merged(self, n: int | float) -> str:
        """Return operand *n* with all axes but the last merged into one."""
        source = self._source(n)
        x = self.operand(n, ATOM)[0]
        rank = len(source.shape) + source.batched
        if rank == 2:
            return x
        if rank == 1:
            return f"{x}[None, :]"
        return f"xp.reshape({x}, (-1, {source.shape[-1]}))"

    def _total(self, x: str, axes: Any, keep: bool) -> tuple[str, int]:
        self.rows.helper("total")
        return f"total({x}, {axes}{', True' if keep else ''})", ATOM

    def _sum(self, operation: Operation) -> tuple[str, int]:
        axes = operation.detail
        return self._total(
            self.operand(operation.args[0])[0], axes[0] if len(axes) == 1 else tuple(axes), True
        )

    def _sum_batch(self, operation: Operation) -> tuple[str, int]:
        source = self._source(operation.args[0])
        x = self.operand(operation.args[0])[0]
        if source.shape == operation.shape:
            return self._total(x, 0, False)
        axes = tuple(range(1 + len(source.shape)))
        text = self._total(x, axes, False)[0]
        return f"xp.reshape({text}, {_shape(operation.shape, None)})", ATOM

    def _count(self, operation: Operation) -> tuple[str, int]:
        return self._counted(operation), ATOM

    def _stretches(self, starts: int, count: int) -> str:
        """Return the name of the constants that describe stretches of so many elements."""
        return self.rows.stretches(self.program.constants[starts], count)

    def _extent(self, x: int | float) -> int:
        return self._source(x).shape[-1]

    def _segment_sum(self, operation: Operation) -> tuple[str, int]:
        (x,) = operation.args
        stretches = self._stretches(operation.detail, self._extent(x))
        self.rows.helper("added")
        return f"added({self.operand(x)[0]}, {stretches})", ATOM

    def _segmented(self, operation: Operation) -> tuple[str, int]:
        args = [self.operand(x)[0] for x in operation.args]
        if operation.detail is not None:
            args.append(self._stretches(operation.detail[0], self._extent(operation.args[0])))
        return f"{self.rows.helper(operation.kind)}({', '.join(args)})", ATOM

    def _of_one(self, operation: Operation) -> tuple[str, int]:
        args = [self.operand(x)[0] for x in operation.args]
        return f"{self.rows.helper(operation.kind)}({', '.join(args)})", ATOM

    def _one_minus(self, operation: Operation) -> tuple[str, int]:
        z = self.operand(operation.args[1], SIGN)[0]
        return f"{self.rows.helper('sigmoid')}(-{z})", ATOM

    def _pick(self, operation: Operation) -> tuple[str, int]:
        index, table = (self._arrayed(x) for x in operation.args)
        self.rows.helper("pick")
        return f"pick({index}, {table})", ATOM

    def _spread(self, operation: Operation) -> tuple[str, int]:
        index, delta = (self._arrayed(x) for x in operation.args)
        self.rows.helper("spread_rows")
        return f"spread_rows({index}, {delta}, {operation.detail})", ATOM

    def _arrayed(self, x: int | float) -> str:
        return self.rows.array(self._term(x))

    def _one_hot(self, operation: Operation) -> tuple[str, int]:
        self.rows.helper("one_hot")
        return f"one_hot({self.operand(operation.args[0])[0]}, {operation.shape[-1]})", ATOM

    _one_minus_square = _softmax_minus = _cross_entropy = _surprisals = _of_one
    _softmax = _logsumexp = _logsumexp_slopes = _softmax_pullback = _segmented

    def _softmax_rest(self, operation: Operation) -> tuple[str, int]:
        p, y = (self.operand(x, SUM + 1)[0] for x in operation.args)
        return self._total(f"xp.where({y} != 0.0, 0.0, {p})", -1, True)

    def _reduced(self, operation: Operation) -> tuple[str, int]:
        (x,) = operation.args
        name = self.rows.helper("highest" if operation.kind == "maximum" else "lowest")
        args = [self.operand(x)[0]]
        if operation.detail is not None:
            args.append(self._stretches(operation.detail, self._extent(x)))
        return f"{name}({', '.join(args)})", ATOM

    _maximum = _minimum = _reduced


def _shape(shape: Shape, lead: str | None) -> str:
    """Return a shape as text, with an axis *lead* before it if there is one."""
    sizes = ([lead] if lead else []) + [str(n) for n in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
