"""An object of a class, made as the file itself makes it.

A class may take layers, or have them added one by one: which arguments it wants, nobody can guess.
But the file that defines it also uses it, and its first lines say how.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from .names import BACKWARD, FORWARD, STEP, plain
from .needed import needed_of, run_alone

_USES = {plain(name) for name in (*BACKWARD, *FORWARD, *STEP)}


def made_in(tree: ast.Module, kind: str, module: ModuleType) -> Any:
    """Return an object of the class *kind*, made as *tree* does; None if it makes none.

    What is run is the line that makes it, what that line needs, and the methods that are called of
    the object up to the first that computes: ``net = Network()``, ``net.add(Dense(2, 3))``.
    """
    body = [*tree.body, *_guarded(tree)]
    for place, statement in reversed(list(enumerate(body))):
        name = _makes(statement, kind)
        if name:
            use = [one for one in body[place + 1 :] if _sets_up(one, name)]
            until = next((i for i, one in enumerate(use) if _computes(one)), len(use))
            made = _run(ast.Module(body, []), [statement, *use[:until]], name, module)
            if made is not None:
                return made
    return None


def set_up(tree: ast.Module, name: str, module: ModuleType) -> None:
    """Run what *tree* does with the object *name* before it computes: layers that are added."""
    use = [one for one in tree.body if _sets_up(one, name)]
    until = next((i for i, one in enumerate(use) if _computes(one)), len(use))
    _run(tree, use[:until], name, module)


def _guarded(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield what stands under if __name__ == "__main__", and in a function called main."""
    for node in tree.body:
        is_main = isinstance(node, ast.FunctionDef) and plain(node.name) == "main"
        if is_main or (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)):
            yield from node.body  # type: ignore[attr-defined]


def _makes(statement: ast.stmt, kind: str) -> str:
    """Return the name to which *statement* gives an object of *kind*, "" if it does not."""
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
        function, target = statement.value.func, statement.targets[0]
        if isinstance(function, ast.Name) and function.id == kind and isinstance(target, ast.Name):
            return target.id
    return ""


def _sets_up(statement: ast.stmt, name: str) -> bool:
    """Whether *statement* calls a method of *name* for what it does."""
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return False
    function = statement.value.func
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == name
    )


def _computes(statement: ast.stmt) -> bool:
    function = statement.value.func  # type: ignore[attr-defined]
    return plain(function.attr) in _USES or "print" in plain(function.attr)


def _run(tree: ast.Module, wanted: list[ast.stmt], name: str, module: ModuleType) -> Any:
    needed = needed_of(tree, wanted)
    for statement in tree.body:
        if statement in needed or statement in wanted:
            try:
                run_alone(statement, module)
            except Exception:
                if statement in wanted:
                    return None
                continue
    return vars(module).get(name)
