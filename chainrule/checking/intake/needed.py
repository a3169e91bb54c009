"""Which statements of a file are run for a name: those that it needs, and nothing loose.

A statement needs what makes the names that it reads. Examples that cannot be had are stood in for:
others are put in their place before each call.
"""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import numpy as np

from . import missing
from .names import role_of

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
ASSIGNMENTS = (ast.Assign, ast.AnnAssign)


class CannotReadError(Exception):
    """The file cannot be read as a program; the message says why."""


def is_loose(statement: ast.stmt) -> bool:
    """Whether a statement does something when it is run, beside naming something plain."""
    if isinstance(statement, (*DEFINITIONS, *IMPORTS)):
        return False
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return False
    if isinstance(statement, ASSIGNMENTS):
        value = statement.value
        return value is not None and any(isinstance(n, ast.Call) for n in ast.walk(value))
    if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test):
        return False
    return not isinstance(statement, (ast.Pass, ast.Try))


def defines(tree: ast.Module, name: str) -> bool:
    """Whether a statement at the top level makes *name*."""
    return any(name in _names_made(statement) for statement in tree.body)


def _names_made(statement: ast.stmt) -> set[str]:
    if isinstance(statement, DEFINITIONS):
        return {statement.name}
    if isinstance(statement, IMPORTS):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if isinstance(statement, ASSIGNMENTS):
        return {
            node.id
            for node in ast.walk(statement)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
    if isinstance(statement, ast.Try):
        return {name for part in ast.walk(statement) if part is not statement
                and isinstance(part, (*IMPORTS, *ASSIGNMENTS, *DEFINITIONS))
                for name in _names_made(part)}  # fmt: skip
    return set()


def _names_used(statement: ast.stmt) -> set[str]:
    """Return the names of the module that a statement reads, now or when it is called."""
    try:
        table = symtable.symtable(ast.unparse(statement), "statement", "exec")
    except (SyntaxError, ValueError):
        return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    found = {one.get_name() for one in table.get_symbols() if one.is_referenced()}
    todo = table.get_children()
    while todo:
        inside = todo.pop()
        found |= {one.get_name() for one in inside.get_symbols() if one.is_global()}
        todo += inside.get_children()
    return found


def _makers(tree: ast.Module) -> dict[str, list[int]]:
    """Return the places of the statements that make each name."""
    makers: dict[str, list[int]] = {}
    for place, statement in enumerate(tree.body):
        for name in _names_made(statement):
            makers.setdefault(name, []).append(place)
    return makers


def _needed(tree: ast.Module, makers: dict[str, list[int]], names: Iterable[str]) -> set[int]:
    """Return the places of the statements that *names* need, directly or by others."""
    chosen: set[int] = set()
    todo = list(names)
    while todo:
        for place in makers.get(todo.pop(), []):
            if place not in chosen:
                chosen.add(place)
                # Others are put where examples are: what these come from is not needed.
                if not _are_examples(_names_made(tree.body[place])):
                    todo += _names_used(tree.body[place])
    return chosen


_PLACE = {"X": np.zeros((8, 5)), "Y": np.eye(8, 3)}
"""What stands for examples and targets that cannot be had: weights may be made in their sizes."""


def _are_examples(names: Iterable[str]) -> bool:
    """Whether these are names of examples and targets, those to test and to validate among them."""
    return all(_examples_role(name) in ("X", "Y") for name in names)


def _examples_role(name: str) -> str:
    return role_of(_FOR_TESTS.sub("train", name))


_FOR_TESTS = re.compile(r"test|val(?:id(?:ation)?)?|dev", re.IGNORECASE)


def needed_of(tree: ast.Module, statements: Iterable[ast.stmt]) -> list[ast.stmt]:
    """Return the statements of *tree* that these need."""
    names = {name for statement in statements for name in _names_used(statement)}
    return [tree.body[place] for place in sorted(_needed(tree, _makers(tree), names))]


def run_alone(statement: ast.stmt, module: ModuleType) -> None:
    """Run one statement in *module*."""
    missing.run([statement], module)


def run_needed(tree: ast.Module, wanted: list[str], module: ModuleType) -> None:
    """Run in *module* what the names *wanted* need, and the helpers that are found by name."""
    makers = _makers(tree)
    must = _needed(tree, makers, wanted)
    # Helpers may be found by their names only, such as the forward pass.
    helpers = [name for name, places in makers.items()
               if any(isinstance(tree.body[place], DEFINITIONS) for place in places)]  # fmt: skip
    chosen = must | _needed(tree, makers, helpers)
    stars = {
        place
        for place, statement in enumerate(tree.body)
        if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*"
    }
    for place in sorted(chosen | stars):
        statement = tree.body[place]
        try:
            run_alone(statement, module)
        except Exception as error:
            names = _names_made(statement)
            if place in stars:
                _say_what_lacks(tree, must, makers, module, statement, error)
                continue
            if place not in must:
                continue
            if isinstance(statement, ASSIGNMENTS) and _are_examples(names):
                # Examples: others are put there before each call.
                vars(module).update({name: _PLACE[_examples_role(name)].copy() for name in names})
                continue
            line = " ".join(ast.unparse(statement).split())[:100]
            file = Path(str(module.__file__)).name
            raise CannotReadError(
                f"{file}, line {statement.lineno}: {' and '.join(wanted)} needs "
                f"{', '.join(sorted(names))}, and this raised {type(error).__name__}: "
                f"{str(error)[:200]}: {line}"
            ) from error


def _say_what_lacks(
    tree: ast.Module, must: set[int], makers: dict[str, list[int]], module: ModuleType,
    statement: ast.stmt, error: Exception,
) -> None:  # fmt: skip
    """Raise if names that are needed can come from nowhere but this import, which failed."""
    used = {name for place in must for name in _names_used(tree.body[place])}
    missing = sorted(
        name for name in used - set(makers)
        if not hasattr(module, name) and not hasattr(builtins, name)
    )  # fmt: skip
    if missing:
        raise CannotReadError(
            f"{Path(str(module.__file__)).name}, line {statement.lineno}: "
            f"{ast.unparse(statement)} raised {type(error).__name__}: {str(error)[:200]}; "
            f"{', '.join(missing[:8])} may come from there: put that file beside this one"
        ) from error
