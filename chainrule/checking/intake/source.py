"""A file, notebook or module -> what of it is called, without running loose code.

Many a script loads data and trains as soon as it is imported. Of such a file only this is run: the
definitions, and those imports and assignments that they need. If the file has nothing loose in it,
or if what is asked for is only made by loose code, it is imported as usual.
"""

from __future__ import annotations

import ast
import builtins
import codecs
import json
import linecache
import re
import symtable
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from . import loops, missing
from .manner import LOOP
from .names import BACKWARD, STEP, gradient_of, plain, role_of, sounds_like_gradients
from .python2 import as_python3

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign)
_ABOVE = 4
"""How many folders up from a file its imports may begin."""
_NETWORKS = ("net", "network", "neuralnetwork", "mlp", "model", "neuralnet", "nn", "twolayernet")


class CannotReadError(Exception):
    """The file cannot be read as a program; the message says why."""


def text_of(path: Path) -> str:
    """Return the program in a file; of a notebook, its cells of code one after the other."""
    content = _decoded(path.read_bytes())
    if path.suffix != ".ipynb":
        return _readable(content)
    try:
        book = json.loads(content)
        cells = book["cells"] if "cells" in book else book["worksheets"][0]["cells"]
        sources = ["".join(cell["source"] if "source" in cell else cell["input"])
                   for cell in cells if cell["cell_type"] == "code"]  # fmt: skip
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CannotReadError(f"{path.name} is not a notebook: {error}") from error
    return "\n".join(_code_of(source) for source in sources)


def _decoded(content: bytes) -> str:
    """Return a file's text: in UTF-8, or in UTF-16 where it begins as editors of Windows do."""
    sixteen = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if sixteen else "utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _readable(text: str) -> str:
    """Return the text of a program, in today's Python if it was written for that of yesterday."""
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return as_python3(text)
    return text


def _code_of(cell: str) -> str:
    """Return a cell without magics and shell commands; "" if it is none of Python's."""
    lines = cell.splitlines()
    while lines and lines[0].startswith("%%"):
        if not lines[0].startswith(("%%time", "%%capture", "%%prun")):
            return ""
        del lines[0]
    kept = [
        line[: len(line) - len(line.lstrip())] + "pass" if line.lstrip().startswith(("%", "!", "?"))
        else line for line in lines
    ]  # fmt: skip
    text = _readable("\n".join(kept))
    try:
        ast.parse(text)
    except SyntaxError:
        return ""  # a cell that was left unfinished
    return text


def tree_of(path: Path) -> ast.Module:
    """Return the statements of the program in a file."""
    return ast.parse(text_of(path), str(path))


def load(path: Path, name: str, package: str = "") -> ModuleType:
    """Return the module in the file *path*, run as far as *name* needs it.

    *name* may have dots (a method of a class) or a comma (two functions). Whatever the file raises
    is raised.
    """
    text, tree = text_of(path), tree_of(path)
    wanted = [part.partition(".")[0] for part in name.split(",")]
    if wanted == [LOOP]:
        tree = loops.as_function(tree)
    package = package or _package_of(path, tree)
    sys.path += [root for root in _roots(path, tree, package) if root not in sys.path]
    _make_package(path, package)
    module = _new_module(path, package)
    linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
    if path.suffix == ".ipynb" or any(_is_loose(statement) for statement in tree.body):
        try:
            _run_needed(tree, wanted, module)
        except CannotReadError:
            if path.suffix == ".ipynb" or all(_defines(tree, one) for one in wanted):
                raise
        if all(hasattr(module, one) for one in wanted):
            return module
        module = _new_module(path, package)
    try:
        missing.run(tree.body, module)
    except ImportError:
        # A library may be there for the data alone, or for pictures.
        if not all(_defines(tree, one) for one in wanted):
            raise
        module = _new_module(path, package)
        _run_needed(tree, wanted, module)
    return module


def _package_of(path: Path, tree: ast.Module) -> str:
    """Return the package that a file's relative imports mean: its folders, as many as it takes."""
    levels = [node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    folders = list(path.resolve().parents)
    count = max(levels, default=0)
    while 0 < count < len(folders) - 1 and (folders[count] / "__init__.py").is_file():
        count += 1
    return ".".join(folder.name for folder in reversed(folders[:count]))


def _make_package(path: Path, package: str) -> None:
    """Make a file's own folder the package that it means, if nothing else says that it is one.

    A module of the folder's own name would be found in its place.
    """
    folder = path.resolve().parent
    if package and "." not in package and not (folder / "__init__.py").is_file():
        made = ModuleType(package)
        made.__path__ = [str(folder)]
        sys.modules.setdefault(package, made)


def _roots(path: Path, tree: ast.Module, package: str) -> list[str]:
    """Return the folders that imports begin from: that of its package, and of those it names."""
    folders = list(path.resolve().parents)
    found = [folders[package.count(".") + 1]] if package else []
    firsts = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, _IMPORTS)
        for name in ([one.name for one in node.names] if isinstance(node, ast.Import)
                     else [node.module or ""] if not node.level else [])
    }  # fmt: skip
    found += [folder.parent for folder in folders[:-1] if folder.name in firsts]
    # Who runs a file from its folder's parent, or puts that on the path, imports from there.
    for folder in folders[1:_ABOVE]:
        if any((folder / one).is_dir() or (folder / f"{one}.py").is_file()
               for one in firsts - {""} if not (folders[0] / one).exists()
               and one not in sys.stdlib_module_names):  # fmt: skip
            found.append(folder)
    return [str(folder) for folder in found]


def _new_module(path: Path, package: str) -> ModuleType:
    name = f"{package}.{path.stem}" if package else path.stem
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__package__ = package
    # dataclasses and pickle look a module up; a file called json.py must not replace json.
    if sys.modules.setdefault(name, module).__dict__.get("__file__") == str(path):
        sys.modules[name] = module
    return module


# --- which of it is run ---


def _is_loose(statement: ast.stmt) -> bool:
    """Whether a statement does something when it is run, beside naming something plain."""
    if isinstance(statement, (*_DEFINITIONS, *_IMPORTS)):
        return False
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return False
    if isinstance(statement, _ASSIGNMENTS):
        value = statement.value
        return value is not None and any(isinstance(n, ast.Call) for n in ast.walk(value))
    if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test):
        return False
    return not isinstance(statement, (ast.Pass, ast.Try))


def _defines(tree: ast.Module, name: str) -> bool:
    return any(name in _names_made(statement) for statement in tree.body)


def _names_made(statement: ast.stmt) -> set[str]:
    if isinstance(statement, _DEFINITIONS):
        return {statement.name}
    if isinstance(statement, _IMPORTS):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if isinstance(statement, _ASSIGNMENTS):
        return {
            node.id
            for node in ast.walk(statement)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
    if isinstance(statement, ast.Try):
        return {name for part in ast.walk(statement) if part is not statement
                and isinstance(part, (*_IMPORTS, *_ASSIGNMENTS, *_DEFINITIONS))
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


def _run_needed(tree: ast.Module, wanted: list[str], module: ModuleType) -> None:
    makers = _makers(tree)
    must = _needed(tree, makers, wanted)
    # Helpers may be found by their names only, such as the forward pass.
    helpers = [name for name, places in makers.items()
               if any(isinstance(tree.body[place], _DEFINITIONS) for place in places)]  # fmt: skip
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
            if isinstance(statement, _ASSIGNMENTS) and _are_examples(names):
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


# --- which file, which name ---


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
            tree = ast.parse(text_of(path))
        except (SyntaxError, CannotReadError, OSError):
            continue
        if name and all(_defines(tree, part.partition(".")[0]) for part in name.split(",")):
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
    if loops.has_loop(tree) and (not names or _only_pieces(tree, names)):
        return LOOP
    names = names or [name for name in [_object_used(tree)] if name]
    if not names:
        defined = [node.name for node in tree.body if isinstance(node, _DEFINITIONS)]
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


def _ranked(tree: ast.Module) -> Iterator[tuple[float, str]]:
    for place, node in enumerate(tree.body):
        behind = -place / 1000  # of two, the later one: it may call the other
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            rank = _rank(node.name, BACKWARD, 0)
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
                yield min(ranks) - (30 if is_network else -100) + behind, node.name


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


def own_names(module: ModuleType) -> list[str]:
    """Return the functions and classes that a module defines."""
    return [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
        and not isinstance(value, ModuleType)
        and not hasattr(builtins, name)
        and callable(value)
    ]
