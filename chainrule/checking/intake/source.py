"""A file, notebook or module -> what of it is called, without running loose code.

Many a script loads data and trains as soon as it is imported. Of such a file only this is run: the
definitions, and those imports and assignments that they need. If the file has nothing loose in it,
or if what is asked for is only made by loose code, it is imported as usual.
"""

from __future__ import annotations

import ast
import builtins
import codecs
import contextlib
import importlib
import json
import linecache
import sys
from pathlib import Path
from types import ModuleType

from . import missing, training_loops
from .manner import LOOP
from .needed import IMPORTS, CannotReadError, defines, is_loose, run_needed
from .python2 import as_python3, uses_python2

_ABOVE = 4
"""How many folders up from a file its imports may begin."""


def text_of(path: Path) -> str:
    """Return the program in a file; of a notebook, its cells of code one after the other."""
    content = _decoded(path.read_bytes())
    if path.suffix != ".ipynb":
        text = _readable(content)
        return text if _parses(text) else _readable(_without_magics(content))
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
    if not _parses(text) or uses_python2(ast.parse(text)):
        return as_python3(text)
    return text


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def _without_magics(text: str) -> str:
    """Return *text* without the lines that are a notebook's own, as exports of one have."""
    kept = [
        line[: len(line) - len(line.lstrip())] + "pass" if line.lstrip().startswith(("%", "!", "?"))
        else line for line in text.splitlines()
    ]  # fmt: skip
    return "\n".join(kept)


def _code_of(cell: str) -> str:
    """Return a cell without magics and shell commands; "" if it is none of Python's."""
    lines = cell.splitlines()
    while lines and lines[0].startswith("%%"):
        if not lines[0].startswith(("%%time", "%%capture", "%%prun")):
            return ""
        del lines[0]
    text = _readable(_without_magics("\n".join(lines)))
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
        tree = training_loops.as_function(tree)
    package = package or _package_of(path, tree)
    sys.path += [root for root in _roots(path, tree, package) if root not in sys.path]
    _make_package(path, package)
    _import_package(path, package)
    module = _new_module(path, package)
    linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
    if path.suffix == ".ipynb" or any(is_loose(statement) for statement in tree.body):
        try:
            run_needed(tree, wanted, module)
        except CannotReadError:
            if path.suffix == ".ipynb" or all(defines(tree, one) for one in wanted):
                raise
        if all(hasattr(module, one) for one in wanted):
            return module
        module = _new_module(path, package)
    try:
        missing.run(tree.body, module)
    except ImportError:
        # A library may be there for the data alone, or for pictures.
        if not all(defines(tree, one) for one in wanted):
            raise
        module = _new_module(path, package)
        run_needed(tree, wanted, module)
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


def _import_package(path: Path, package: str) -> None:
    """Import the package of a file before the file: its ``__init__`` may import the file itself.

    Whatever is wrong with it is met again by the file's own imports, and said there.
    """
    if package and (path.parent / "__init__.py").is_file() and path.stem != "__init__":
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(package)


def _roots(path: Path, tree: ast.Module, package: str) -> list[str]:
    """Return the folders that imports begin from: that of its package, and of those it names."""
    folders = list(path.resolve().parents)
    found = [folders[package.count(".") + 1]] if package else []
    firsts = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, IMPORTS)
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
