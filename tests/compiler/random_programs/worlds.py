"""Where a program's text can be run: with the library, the engine alone, and in fifty digits."""

from __future__ import annotations

import ast
import collections
import functools
import math
import warnings
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

import chainrule as cr

from . import fifty_digits as exact
from .language import leaves


class World:
    """A text that was run, and the parameters it defined, by their names in the text."""

    def __init__(self, text: str, names: dict[str, Any], leaf: type, code: Any = None):
        self.names = dict(names, __builtins__=__builtins__)
        given = set(self.names)
        exec(code if code is not None else compiled_text(text), self.names)
        found: dict[int, tuple[str, Any]] = {}
        for name, value in self.names.items():
            if name not in given:
                for path, x in leaves(value, name):
                    if type(x) is leaf:
                        found.setdefault(id(x), (path, x))
        self.parameters = dict(found.values())

    def function(self, name: str) -> Any:
        return self.names[name]

    def set(self, path: str, data: float) -> None:
        if path in self.parameters:  # a shrunk text may have fewer
            self.parameters[path].data = data


@functools.lru_cache(maxsize=8)
def compiled_text(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # what a shrinker tries
        return compile(text, "<program>", "exec")


@functools.lru_cache(maxsize=8)
def _guarded_text(text: str) -> Any:
    tree = ast.fix_missing_locations(_Guard().visit(ast.parse(text)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return compile(tree, "<program>", "exec")


def _scipy() -> Any:
    import scipy.special

    return SimpleNamespace(special=scipy.special)


def _names(text: str) -> dict[str, Any]:
    names = {"cr": cr, "math": math, "np": np, "collections": collections}
    if "scipy." in text:
        names["scipy"] = _scipy()
    return names


def library(text: str) -> World:
    """Return *text* as its author would run it: its functions are to be compiled."""
    return World(text, _names(text), cr.Value)


TRANSFORMS = ["grad", "value_and_grad", "jvp", "vjp", "hvp", "hessian", "jacobian"]


def transforms(text: str) -> bool:
    """Return whether a text differentiates something."""
    return any(f"cr.{name}(" in text for name in [*TRANSFORMS, "gradients"])


def engine(text: str) -> World:
    """Return *text* for the uncompiled engine, whose functions are given plain numbers.

    Python raises where plain numbers are divided by zero, and knows complex powers; here / and **
    are the library's, on plain numbers too.  A derivative at a plain number would be one, whatever
    else the function refers to, and so would an entry of a table that is one; here they are linked,
    as they are where a function is recorded.
    """
    names = dict(_names(text), cr=_LINKED, _divide=_divide, _power=_power)
    code = _guarded_text(text) if "/" in text or "**" in text else None
    return World(text, names, cr.Value, code)


def _at_values(transform: Any, at: int) -> Any:
    """Return a transform that makes Values of plain numbers at the point, its argument *at*.

    Only of those that it differentiates by: the others are what they were, on a tie too.
    """

    def linked(*args: Any, **options: Any) -> Any:
        if at == 0:
            inner = transform(*args, **options)
            by = args[1] if len(args) > 1 else options.get("argnums", 0)
            chosen = by if isinstance(by, (list, tuple, range)) else [by]
            return lambda *point: inner(
                *(_lifted(x) if i in chosen else x for i, x in enumerate(point))
            )
        return transform(*args[:1], *map(_lifted, args[1:]), **options)

    return linked


def _take(table: Any, index: Any) -> Any:
    return cr.take(table, _lifted(index))


def _lifted(point: Any) -> Any:
    if isinstance(point, (list, tuple)):
        return type(point)(map(_lifted, point))
    return cr.Value(point) if isinstance(point, (int, float)) else point


_LINKED = SimpleNamespace(**{name: getattr(cr, name) for name in cr.__all__})
_LINKED.take = _take
for _name in TRANSFORMS:
    _at = 1 if _name in ("jvp", "vjp", "hvp") else 0
    setattr(_LINKED, _name, _at_values(getattr(cr, _name), _at))


_GUARDED = {ast.Div: "_divide", ast.Pow: "_power"}


class _Guard(ast.NodeTransformer):
    """Puts calls in the place of operators that raise on plain numbers."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        name = _GUARDED.get(type(node.op))
        if name is None:
            return node
        return ast.Call(ast.Name(name, ast.Load()), [node.left, node.right], [])


def _divide(a: Any, b: Any) -> Any:
    if isinstance(a, cr.Value) or isinstance(b, cr.Value):
        return a / b
    return (cr.Value(a) / b).data


def _power(a: Any, b: Any) -> Any:
    if isinstance(a, cr.Value) or isinstance(b, cr.Value):
        return a**b
    return (cr.Value(a) ** b).data


# --- answers -------------------------------------------------------------------------------------


def answered(
    world: World, function: str, example: list[Any], wrt: list[Any], parameters: bool = True
) -> tuple[Any, ...]:
    """Return the engine's result, its numbers, and its gradient by *wrt* if it is one number.

    If *wrt* are the *parameters* of a compiled function, all other leaves are constants, as they
    are there: on a tie with what depends on nothing else, a parameter has no share.
    """
    result = world.function(function)(*_copied(example))
    outputs = [x for _, x in leaves(result)]
    numbers = [x.data if isinstance(x, cr.Value) else float(x) for x in outputs]
    gradient = None
    if len(outputs) == 1:
        (output,) = outputs
        if parameters and isinstance(output, cr.Value):
            output = of_parameters(output, wrt)
        linked = isinstance(output, cr.Value)
        gradient = cr.gradients(output, wrt) if linked else [0.0] * len(wrt)
    return result, numbers, gradient


def _below(output: Any) -> list[Any]:
    """Return *output* and the nodes that it was made from, the oldest first."""
    nodes = {output}
    waiting = [output]
    while waiting:
        for x in waiting.pop().operands:
            if isinstance(x, cr.Value) and x not in nodes:
                nodes.add(x)
                waiting.append(x)
    return sorted(nodes, key=lambda v: v.serial)


def of_parameters(output: Any, parameters: list[Any]) -> Any:
    """Return the graph of *output* with numbers in the place of all leaves but *parameters*."""
    nodes, kept = _below(output), set(parameters)
    if not any(node.primitive is None and node not in kept for node in nodes):
        return output
    made: dict[Any, Any] = {}
    for node in nodes:
        row = node.primitive
        if row is None:
            made[node] = node if node in kept else node.data
        else:
            made[node] = row(*[made.get(x, x) for x in node.operands])
    return made[output]


class Merged:
    """The engine's graphs, made again so that equal nodes are one, as in a compiled program.

    A derivative that is finite is the same.  Where infinities of both signs meet in the sum over
    the users of two equal nodes, it makes a difference: a common factor stands before the sum.
    """

    def __init__(self) -> None:
        self._nodes: dict[Any, Any] = {}
        self._kept: list[Any] = []

    def of(self, output: Any) -> Any:
        """Return the graph of *output* again; equal nodes of graphs seen before are used again."""
        nodes = _below(output)
        self._kept += nodes
        made: dict[Any, Any] = {}
        for node in nodes:
            row = node.primitive
            if row is None:
                made[node] = node
                continue
            operands = [made.get(x, x) for x in node.operands]
            keys = [id(x) if isinstance(x, cr.Value) else repr(x) for x in operands]
            if row.name in ("+", "*"):
                keys.sort(key=str)
            key = row, tuple(keys)
            if key not in self._nodes:
                self._nodes[key] = row(*operands)
            made[node] = self._nodes[key]
        return made[output]


def _copied(structure: Any) -> Any:
    return [_copied(x) for x in structure] if isinstance(structure, list) else structure


class Exact:
    """A text in fifty digits: the numbers of a result, and their derivatives."""

    def __init__(self, text: str):
        with exact.rounding(None):
            names = {
                "cr": exact,
                "math": exact.math,
                "np": _Nothing(),
                "scipy": _Nothing(),
                "collections": collections,
                "abs": exact.absolute,
            }
            self.world = World(text, names, exact.Leaf)

    def set(self, data: dict[str, float]) -> None:
        for path, x in data.items():
            if path in self.world.parameters:
                self.world.parameters[path].number = exact.number(x)

    def results(self, function: str, example: list[Any]) -> list[Any]:
        return [exact.real(x).value for x in self._run(function, example)]

    def derivatives(self, function: str, example: list[Any], path: str) -> list[Any]:
        """Return the derivative of every number of the result by a parameter."""
        leaf = self.world.parameters.get(path)
        if leaf is None:
            return [exact.mpf(0) for _ in self._run(function, example)]
        level, before = exact.new_level(), leaf.number
        leaf.number = exact.Dual(before, exact.number(1.0), level)
        try:
            found = [exact.number(y) for y in self._run(function, example)]
        finally:
            leaf.number = before
        return [exact.real(exact.tangent(y, level)).value for y in found]

    def pushed(self, function: str, example: list[Any], *directions: Sequence[float]) -> list[Any]:
        """Return the derivative of every number of the result in one direction after another."""

        def flat(*args: Any) -> list[Any]:
            return [x for _, x in leaves(self.world.function(function)(*args))]

        for direction in directions:
            flat = _pushed(flat, direction)
        return [exact.real(x).value for x in flat(*_wrapped(example))]

    def by_input(self, function: str, example: list[Any], k: int) -> list[Any]:
        """Return the derivative of every number of the result by number *k* of the example."""
        return self.pushed(function, example, unit(k, len(leaves(example))))

    def _run(self, function: str, example: list[Any]) -> list[Any]:
        result = self.world.function(function)(*_wrapped(example))
        return [x for _, x in leaves(result)]


def unit(k: int, n: int) -> list[float]:
    return [1.0 if i == k else 0.0 for i in range(n)]


def _pushed(function: Any, direction: Sequence[float]) -> Any:
    tangents = [x if x else None for x in direction]
    return lambda *args: exact.pushed(function, args, tangents)[1]


def _wrapped(structure: Any) -> Any:
    if isinstance(structure, list):
        return [_wrapped(x) for x in structure]
    return exact.number(structure)


class _Nothing:
    """Stands for NumPy and SciPy, of which a text only hands on functions and makes arrays."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args[0] if args and isinstance(args[0], list) else self
