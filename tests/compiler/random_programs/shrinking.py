"""From a program that fails to the smallest one that fails in the same way.

Every step leaves something out or puts something simpler in its place, in the calls and in the
syntax tree of the text, and is kept if what is left still fails with the same kind of failure.
Most of what is tried makes no sense; then the engine refuses to run it, and so it is not kept.
"""

from __future__ import annotations

import ast
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from . import verdict, worlds
from .language import Call, Program


def shrunk(
    program: Program, failure: verdict.Failure, seconds: float = 20.0, precise: bool = False
) -> Program:
    """Return a smallest program that fails as *program* does, as far as *seconds* suffice."""
    until = time.monotonic() + seconds
    position = in_vain = 0
    while True:
        candidates = list(_candidates(program))
        position %= len(candidates)
        for make in candidates[position:]:
            if time.monotonic() > until or in_vain > len(candidates):
                return program
            candidate = make()
            if candidate is not None and _fails(candidate, failure, precise):
                program, in_vain = _tidy(candidate), 0
                break
            position, in_vain = position + 1, in_vain + 1


def _tidy(program: Program) -> Program:
    """Return *program* without changes of parameters that are no longer there."""
    there = worlds.library(program.text).parameters
    calls = [
        replace(c, changes=tuple((path, x) for path, x in c.changes if path in there))
        for c in program.calls
    ]
    return replace(program, calls=tuple(calls))


def _fails(program: Program, failure: verdict.Failure, precise: bool) -> bool:
    try:
        found = verdict.check(program, precise, failure.derivatives).failure
    except Exception:  # the engine does not run it, or it is not Python
        return False
    return found is not None and kind(found) == kind(failure)


def kind(failure: verdict.Failure) -> tuple[str, str]:
    """Return what must stay: the kind, and for an exception the start of its message."""
    if not failure.kind.startswith("raises"):
        return failure.kind, ""
    message = failure.where.split(": ", 2)[-1]
    return failure.kind, "".join(c for c in message[:40] if not c.isdigit())


Make = Callable[[], "Program | None"]


def _candidates(program: Program) -> Iterator[Make]:
    """Yield what makes smaller programs, those that leave out most first."""
    for calls in _fewer_calls(program.calls):
        yield partial(replace, program, calls=calls)
    for k in range(len(program.calls[0].batch)):
        yield partial(_without_argument, program, k)
    tree = ast.parse(program.text)
    for change in _changes(tree):
        yield partial(_changed, program, tree, change)
    for calls in _simpler_calls(program.calls):
        yield partial(replace, program, calls=calls)


def _changed(program: Program, tree: ast.AST, change: Any) -> Program | None:
    other = copy.deepcopy(tree)
    change(other)
    try:
        text = ast.unparse(other) + "\n"
    except (ValueError, TypeError, AttributeError):
        return None
    return replace(program, text=text) if text != program.text else None


# --- calls ---------------------------------------------------------------------------------------


def _fewer_calls(calls: tuple[Call, ...]) -> Iterator[tuple[Call, ...]]:
    for k in range(len(calls)):
        if len(calls) > 1:
            yield calls[:k] + calls[k + 1 :]
    for k, call in enumerate(calls):
        if call.size > 1:
            half = call.size // 2
            yield _with(calls, k, call.only(list(range(half))))
            yield _with(calls, k, call.only(list(range(half, call.size))))
            if call.size < 8:
                for n in range(call.size):
                    rest = [m for m in range(call.size) if m != n]
                    yield _with(calls, k, call.only(rest))


def _simpler_calls(calls: tuple[Call, ...]) -> Iterator[tuple[Call, ...]]:
    for k, call in enumerate(calls):
        if call.source:
            yield _with(calls, k, replace(call, source=False))
        if call.changes:
            yield _with(calls, k, replace(call, changes=()))
            for i in range(len(call.changes)):
                rest = call.changes[:i] + call.changes[i + 1 :]
                yield _with(calls, k, replace(call, changes=rest))
        for i, (path, x) in enumerate(call.changes):
            for simple in _simpler_numbers(x):
                changes = (*call.changes[:i], (path, simple), *call.changes[i + 1 :])
                yield _with(calls, k, replace(call, changes=changes))
        for batch in _simpler_data(list(call.batch)):
            yield _with(calls, k, replace(call, batch=tuple(batch)))


def _with(calls: tuple[Call, ...], k: int, call: Call) -> tuple[Call, ...]:
    return (*calls[:k], call, *calls[k + 1 :])


def _simpler_data(structure: Any) -> Iterator[Any]:
    if isinstance(structure, list):
        for i, part in enumerate(structure):
            for simpler in _simpler_data(part):
                yield [*structure[:i], simpler, *structure[i + 1 :]]
        return
    yield from _simpler_numbers(structure)


def _simpler_numbers(x: float) -> Iterator[float]:
    """Yield numbers that are read faster than *x*."""
    for simple in (1.0, 2.0, 0.5, 0.0, float(round(x, 1)) if abs(x) < 1e6 else x):
        if _length(simple) < _length(x):
            yield simple


def _length(x: float) -> tuple[int, float]:
    order = [1.0, 2.0, 0.5, 0.0]
    return (0, order.index(x)) if x in order and str(x) != "-0.0" else (len(repr(x)), 0.0)


def _without_argument(program: Program, k: int) -> Program | None:
    """Return the program with functions that take one argument less."""
    width = len(program.calls[0].batch)
    if width == 1:
        return None
    tree = ast.parse(program.text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and len(node.args.args) == width:
            del node.args.args[k]
    calls = tuple(replace(c, batch=c.batch[:k] + c.batch[k + 1 :]) for c in program.calls)
    return Program(ast.unparse(tree) + "\n", calls)


# --- the text ------------------------------------------------------------------------------------


def _changes(tree: ast.AST) -> Iterator[Any]:
    """Yield functions that make a copy of *tree* smaller, the boldest first."""
    nodes = list(ast.walk(tree))
    frozen = {id(inner) for node in nodes if _defines(node) for inner in ast.walk(node)}
    for position, node in enumerate(nodes):
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list) and len(value) > 1:
                for k in range(len(value)):
                    yield _Delete(position, name, k)
            if isinstance(node, ast.For) and name == "body":
                yield _Unrolled(position)
    for position, node in enumerate(nodes):
        if id(node) in frozen:
            continue
        for name, value in ast.iter_fields(node):
            children = value if isinstance(value, list) else [value]
            for k, child in enumerate(children):
                stored = isinstance(getattr(child, "ctx", None), ast.Store)
                if isinstance(child, ast.expr) and not stored and id(child) not in frozen:
                    at = k if isinstance(value, list) else None
                    for inside in range(len(_parts(child))):
                        yield _Hoist(position, name, at, inside)
                    if not isinstance(child, (ast.Constant, ast.Lambda)) and name != "func":
                        yield _Constant(position, name, at, 1.0)
                    for simple in _simpler_constants(child):
                        yield _Constant(position, name, at, simple)
            if name in ("elts", "args", "keywords") and isinstance(value, list) and len(value) > 1:
                for k in range(len(value)):
                    yield _Delete(position, name, k)
            if isinstance(node, ast.Dict) and name == "values" and len(value) > 1:
                yield _Shorter(position)


def _defines(node: ast.AST) -> bool:
    """Return whether *node* defines an operation, whose parts belong together."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "cr.primitive"


def _parts(node: ast.AST) -> list[ast.expr]:
    """Return the expressions directly inside of *node*, the bodies of lambdas included."""
    return [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]


def _simpler_constants(node: ast.expr) -> list[Any]:
    if not isinstance(node, ast.Constant) or type(node.value) not in (int, float):
        return []
    if type(node.value) is int:
        return [n for n in (1, 2, 3) if n < node.value]
    return list(_simpler_numbers(node.value))


class _Change:
    def __init__(self, position: int, *rest: Any):
        self.position, self.rest = position, rest

    def __call__(self, tree: ast.AST) -> None:
        node = next(n for k, n in enumerate(ast.walk(tree)) if k == self.position)
        self.apply(node, *self.rest)


class _Delete(_Change):
    def apply(self, node: Any, name: str, k: int) -> None:
        del getattr(node, name)[k]


class _Shorter(_Change):
    def apply(self, node: Any) -> None:
        del node.keys[-1], node.values[-1]


class _Unrolled(_Change):
    """A loop is done once: its body stands in a condition that holds."""

    def apply(self, node: Any) -> None:
        if isinstance(node.iter, ast.Call) and getattr(node.iter.func, "id", "") == "range":
            node.iter = ast.List([ast.Constant(0)], ast.Load())


class _Replace(_Change):
    def put(self, node: Any, name: str, k: int | None, new: Any) -> None:
        if k is None:
            setattr(node, name, new)
        else:
            getattr(node, name)[k] = new

    def get(self, node: Any, name: str, k: int | None) -> Any:
        return getattr(node, name) if k is None else getattr(node, name)[k]


class _Hoist(_Replace):
    """An expression is replaced by one of those inside of it."""

    def apply(self, node: Any, name: str, k: int | None, inside: int) -> None:
        self.put(node, name, k, _parts(self.get(node, name, k))[inside])


class _Constant(_Replace):
    def apply(self, node: Any, name: str, k: int | None, x: float) -> None:
        self.put(node, name, k, ast.Constant(x))
