"""Imports that find nothing: a library that draws, or shows progress, is not what is checked.

In place of a library that is not installed stands something that may be imported, and says so as
soon as it is used. A file whose name differs only in case (``Loss.py`` for ``import loss``) is
taken, as Windows and macOS do.
"""

from __future__ import annotations
import __future__

import ast
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from .python2 import as_python3

_MOST = 40
"""How many libraries may be missing."""
_DEEP = 6
"""How many folders a package may lie in."""
_LAZY = __future__.annotations.compiler_flag
"""Annotations are not run: they may name what comes later, and a statement is run on its own."""


class StandIn(ModuleType):
    """In place of a library that is not installed; whoever uses it is told so."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__file__ = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(f"{self.__name__}.{name}")

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise self._lacking()

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        raise self._lacking()

    def _lacking(self) -> ModuleNotFoundError:
        library = self.__name__.partition(".")[0]
        return ModuleNotFoundError(
            f"No module named {library!r}: it is not installed where this is checked, and "
            f"{self.__name__} is used; if it is a file of your own, put it beside this one",
            name=library,
        )


class _Progress:
    """What shows the progress of a loop, without showing it."""

    def __init__(self, over: Any = (), *_: Any, **__: Any) -> None:
        self._over = over

    def __iter__(self) -> Iterator[Any]:
        return iter(self._over)

    def __len__(self) -> int:
        return len(self._over)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def _compiled(*given: Any, **_: Any) -> Any:
    """A decorator that compiles, without compiling: ``@njit`` or ``@njit(cache=True)``."""
    if len(given) == 1 and callable(given[0]):
        return given[0]
    return lambda function: function


def _trange(*given: int, **_: Any) -> _Progress:
    return _Progress(range(*given))


_HARMLESS: dict[str, dict[str, Any]] = {
    "tqdm": dict.fromkeys(("tqdm", "tqdm_notebook"), _Progress)
    | dict.fromkeys(("trange", "tnrange"), _trange),
    "numba": dict.fromkeys(("jit", "njit"), _compiled),
    "past": {"xrange": range, "unicode": str, "long": int, "raw_input": input},
    "six": {"xrange": range, "range": range, "zip": zip, "map": map},
}
"""Libraries without which a program computes the same."""


def _sigmoid(z: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-np.asarray(z)))


def _relu(z: Any) -> Any:
    return np.maximum(0.0, z)


def _and_its_cache(activation: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, Any]]:
    return lambda Z: (activation(Z), Z)


def _back_through(slope: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda dA, cache: np.asarray(dA) * slope(cache)


_OF_A_COURSE: tuple[tuple[re.Pattern[str], dict[str, Any]], ...] = (
    (
        re.compile(r"(?:planar|reg|init|opt|gc)_utils\w*"),
        {"sigmoid": _sigmoid, "relu": _relu},
    ),
    (
        re.compile(r"dnn_utils\w*"),
        {
            "sigmoid": _and_its_cache(_sigmoid),
            "relu": _and_its_cache(_relu),
            "sigmoid_backward": _back_through(lambda Z: _sigmoid(Z) * (1.0 - _sigmoid(Z))),
            "relu_backward": _back_through(lambda Z: np.asarray(Z) > 0),
        },
    ),
)
"""What files that a course hands out beside its exercises have in them, as it is called there."""


def of_a_course(name: str) -> dict[str, Any]:
    """Return what stands in for the functions of a course's own file; {} if it is not one.

    >>> sorted(of_a_course("planar_utils")), of_a_course("numpy")
    (['relu', 'sigmoid'], {})
    """
    return next((made for known, made in _OF_A_COURSE if known.fullmatch(name)), {})


def run(statements: list[ast.stmt], module: ModuleType) -> None:
    """Run *statements* in *module*; an import that finds no library finds a stand-in.

    Who catches the ``ImportError`` itself, to use another library, is left to it.
    """
    for statement in statements:
        alone = ast.Module([statement], type_ignores=[])
        code = compile(alone, str(module.__file__), "exec", flags=_LAZY, dont_inherit=True)
        _run(code, statement, module)


def _run(code: CodeType, statement: ast.stmt, module: ModuleType) -> None:
    for _ in range(_MOST):
        try:
            exec(code, vars(module))
            return
        except ModuleNotFoundError as error:
            folder = Path(str(module.__file__)).parent
            if _takes_all(statement) or not error.name or not _stands_in(error.name, folder):
                raise
        except SyntaxError as error:
            if not _written_for_python2(Path(str(error.filename or ""))):
                raise
        except ImportError:
            # The library is another version, or is made for another one.
            if not _foreign(statement):
                raise
            for one in statement.names:  # type: ignore[attr-defined]
                name = f"{statement.module}.{one.name}"  # type: ignore[attr-defined]
                vars(module)[one.asname or one.name] = StandIn(name)
            return


def _takes_all(statement: ast.stmt) -> bool:
    """Whether it is from ... import *: what would come from there, nobody knows."""
    return isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*"


def _foreign(statement: ast.stmt) -> bool:
    """Whether names are imported from a library that somebody else wrote."""
    if not isinstance(statement, ast.ImportFrom) or statement.level or not statement.module:
        return False
    found = sys.modules.get(statement.module.partition(".")[0])
    return "site-packages" in str(getattr(found, "__file__", "")) and not _takes_all(statement)


def _stands_in(name: str, folder: Path) -> bool:
    """Put something in place of the module *name*; whether there was something to put."""
    root = name.partition(".")[0]
    if root in sys.stdlib_module_names or root == "chainrule" or name in sys.modules:
        return False
    beside = _in_other_case(name, folder)
    if beside is not None:
        return _loaded(name, beside)
    above = sys.modules.get(root)
    if root != name and (above is None or not isinstance(above, StandIn)):
        return False  # a part of a library that is there, or of the author's own package
    if any((Path(str(place)) / root).is_dir() or (Path(str(place)) / f"{root}.py").exists()
           for place in (folder, *sys.path) if place):  # fmt: skip
        return False
    made = StandIn(name)
    vars(made).update(_HARMLESS.get(root, {}) or of_a_course(root))
    sys.modules[name] = made
    return True


def _written_for_python2(path: Path) -> bool:
    """Load the file *path*, which another one imports, as what it says in Python 3; if it can."""
    if path.suffix != ".py" or not path.is_file() or not _names_of(path):
        return False
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    made = as_python3(text)
    if made == text:
        return False
    names = _names_of(path)
    module = ModuleType(names[0])
    module.__file__, module.__package__ = str(path), names[0].rpartition(".")[0]
    for name in names:
        sys.modules[name] = module
        above = sys.modules.get(name.rpartition(".")[0])
        if above is not None:
            setattr(above, path.stem, module)
    run(ast.parse(made, str(path)).body, module)
    return True


def _names_of(path: Path) -> list[str]:
    """Return the names by which a file may be imported, and is not yet; the longest first."""
    folders = path.resolve().parents
    starts = {Path(place).resolve() for place in sys.path if place}
    found = []
    for depth, folder in enumerate(folders[:_DEEP]):
        if folder in starts or depth == 0:
            parts = [*(one.name for one in reversed(folders[:depth])), path.stem]
            found.append(".".join(parts))
    return [name for name in reversed(found) if name not in sys.modules]


def _in_other_case(name: str, folder: Path) -> Path | None:
    if "." in name:
        return None
    try:
        return next(
            (path for path in folder.glob("*.py") if path.stem.lower() == name.lower()), None
        )
    except OSError:
        return None


def _loaded(name: str, path: Path) -> bool:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        return False
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return True
