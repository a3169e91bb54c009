"""Which file and which name a request stands for, read off the source; nothing is run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from . import training_loops
from .manner import LOOP
from .names import BACKWARD, STEP, gradient_of, plain, sounds_like_gradients
from .needed import DEFINITIONS, CannotReadError, defines
from .source import text_of

_NETWORKS = ("net", "network", "neuralnetwork", "mlp", "model", "neuralnet", "nn", "twolayernet")


def locate(target: str) -> tuple[Path, str, str]:
    """Return the file, the name in it and its package that *target* stands for; nothing is run.

    ``FILE.py:NAME``, ``FILE.ipynb:NAME``, ``package.module:NAME``, ``FOLDER:NAME``; without a NAME
    the one that is likeliest. ``ValueError`` says what there is, if that cannot be told.
    """
    place, colon, name = target.rpartition(":")
    if not colon or "/" in name or "\\" in name or name.endswith((".py", ".ipynb")):
        place, name = target, ""
    elif not name:
        raise ValueError(f"{target}: expected a name after the colon")
    path, package = Path(place), ""
    if not path.exists() and path.suffix not in (".py", ".ipynb"):
        path, package = _module_path(place)
    if path.is_dir():
        return _in_folder(path, name)
    if not name:
        name = likeliest(path)
    return path, name, package


def _module_path(dotted: str) -> tuple[Path, str]:
    parts = dotted.split(".")
    if all(part.isidentifier() for part in parts):
        for root in (Path(), *map(Path, sys.path)):
            beginning = root.joinpath(*parts)
            for path in (beginning.with_suffix(".py"), beginning / "__init__.py"):
                if path.is_file():
                    inside = parts if path.name == "__init__.py" else parts[:-1]
                    return path.resolve(), ".".join(inside)
    return Path(dotted), ""


def _in_folder(folder: Path, name: str) -> tuple[Path, str, str]:
    found = []
    for path in sorted([*folder.glob("*.py"), *folder.glob("*.ipynb")])[:200]:
        try:
            if not path.is_file():
                continue  # a pipe would let us wait
            tree = ast.parse(text_of(path))
        except (SyntaxError, CannotReadError, OSError):
            continue
        if name and all(defines(tree, part.partition(".")[0]) for part in name.split(",")):
            found.append((path, name))
        elif not name:
            names = _likely(tree)
            if names and not path.name.startswith(("test_", "conftest")):
                found.append((path, names[0]))
    if len(found) == 1:
        return (*found[0], "")
    if not found:
        raise ValueError(f"{folder}: no file in it defines {name or 'a backward pass'}")
    there = ", ".join(f"{path.name}:{what}" for path, what in found[:8])
    raise ValueError(f"{folder}: state which of {there}")


def likeliest(path: Path) -> str:
    """Return the name of what computes gradients in a file; ``ValueError`` if none tells."""
    if not path.is_file():
        return ""
    try:
        tree = ast.parse(text_of(path))
    except (SyntaxError, CannotReadError):
        return "backprop"  # to be said when it is loaded
    names = _likely(tree)
    if training_loops.has_loop(tree) and (not names or _only_pieces(tree, names)):
        return LOOP
    names = names or [name for name in [_object_used(tree)] if name]
    if not names:
        defined = [node.name for node in tree.body if isinstance(node, DEFINITIONS)]
        there = f"it defines {', '.join(defined[:12])}" if defined else "it defines nothing"
        raise ValueError(
            f"{path}: nothing in it is named as a backward pass, and no loop at its top level "
            f"changes weights; {there}: state which, {path.name}:NAME"
        )
    return names[0]


def _only_pieces(tree: ast.Module, names: list[str]) -> bool:
    """Whether these are functions without a parameter, which hold the loop itself."""
    defined = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    return all(name in defined and not ast.unparse(defined[name].args) for name in names)


def _likely(tree: ast.Module) -> list[str]:
    return [name for _, name in sorted(_ranked(tree), key=lambda one: one[0])]


def _names_in(node: ast.ClassDef) -> set[str]:
    """Return the names that the methods of a class use."""
    return {one.id for part in node.body for one in ast.walk(part) if isinstance(one, ast.Name)}


def _ranked(tree: ast.Module) -> Iterator[tuple[float, str]]:
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    for place, node in enumerate(tree.body):
        behind = -place / 1000  # of two, the later one: it may call the other
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            rank = _rank(node.name, BACKWARD, 0)
            if rank is None and plain(node.name) == "propagate" and _computes_gradients(node):
                rank = 190.0  # forwards and back; what trains calls it
            rank = rank if rank is not None else _rank(node.name, STEP, 200)
            if rank is None and sounds_like_gradients(node.name):
                rank = 500.0
            if rank is None and _computes_gradients(node):
                rank = 600.0
            if rank is not None:
                yield rank + behind / 1000, node.name
        elif isinstance(node, ast.ClassDef):
            methods = [one.name for one in node.body if isinstance(one, ast.FunctionDef)]
            ranks = [r for m in methods if (r := _rank(m, (*BACKWARD, *STEP), 20)) is not None]
            ranks = ranks or [90.0 for m in methods if sounds_like_gradients(m)]
            ranks = ranks or [95.0 for m in node.body if _computes_gradients(m)]
            if "__add__" in methods and "__mul__" in methods:
                yield 400, node.name
            elif ranks:
                is_network = plain(node.name) in _NETWORKS or any("net" in plain(b.id) for b in
                    node.bases if isinstance(b, ast.Name)) or "net" in plain(node.name)  # fmt: skip
                is_network = is_network or bool(_names_in(node) & classes - {node.name})
                is_loss = "loss" in plain(node.name) or "criterion" in plain(node.name)
                rank = min(ranks) - (30 if is_network else -100) + (200 if is_loss else 0)
                yield rank + behind, node.name


def _object_used(tree: ast.Module) -> str:
    """Return the name of the last object at the top level that is trained there, "" if none is."""
    steps = {plain(name) for name in STEP}
    for statement in reversed(tree.body):
        function = getattr(getattr(statement, "value", None), "func", None)
        if (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and plain(function.attr) in steps
        ):
            return function.value.id
    return ""


def _computes_gradients(node: ast.AST) -> bool:
    """Whether a function gives names such as dW1, grad_b or delta_weights to what it computes."""
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and any(
        isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
        and (gradient_of(one.id) is not None or plain(one.id) in ("grad", "grads", "gradient"))
        for one in ast.walk(node)
    )  # fmt: skip


def _rank(name: str, names: tuple[str, ...], start: float) -> float | None:
    known = [plain(one) for one in names]
    return start + known.index(plain(name)) if plain(name) in known else None
