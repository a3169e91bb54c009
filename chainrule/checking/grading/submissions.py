"""What a class handed in: which entries of a folder are submissions, and what to call in each.

Nothing is run and nothing outside is read. A submission is a file (``.py``, ``.ipynb``, arrays in
``.npz`` or ``.npy``) or a folder; within a folder, the file that defines the function is looked for
without importing any. Links inside a folder are not followed, and only regular files are opened: a
folder may come from anywhere.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..intake.locating import likeliest

CODE, ARRAYS = (".py", ".ipynb"), (".npz", ".npy")
_MOST_BYTES = 4 << 20
"""A file of code that is longer is not looked into."""
_MOST_FILES = 2000
"""How many files of one folder are looked at."""
_LIKELY = re.compile(r"back_?prop|backward|grad|cost_?function", re.IGNORECASE)


@dataclass(frozen=True)
class Submission:
    """One entry of the class's folder."""

    name: str
    """The name of the file or folder."""
    path: Path
    target: str = ""
    """What is checked: ``file.py:function``, or a file of arrays; "" if it could not be found."""
    wrong: str = ""
    """Why there is nothing to check."""

    @property
    def relative_target(self) -> str:
        """The target as seen from the class's folder."""
        return self.target.removeprefix(f"{self.path.parent}{os.sep}")


def entries_of(directory: Path) -> list[Path]:
    """Return the paths of the submissions in *directory*, by name.

    ``OSError`` if it is not a directory, or cannot be read.
    """
    found = []
    for entry in sorted(directory.iterdir(), key=lambda path: path.name):
        if entry.name.startswith((".", "__")):  # also what archives and Python leave behind
            continue
        known = entry.suffix.lower() in (*CODE, *ARRAYS)
        if entry.is_dir() or (known and (entry.is_file() or entry.is_symlink())):
            found.append(entry)
    return found


def submissions_of(paths: Sequence[Path], function: str | None) -> tuple[list[Submission], str]:
    """Return the submissions at *paths*, and the name of the function that is called in each.

    If *function* is None it is found out: of the names at the top level that sound like
    backpropagation, the one that most of the class defines; in a submission without it, what is
    likeliest there. ``ValueError`` if nothing is.
    """
    defined = {
        path: {} if path.is_symlink() else {file: names_in(file) for file in files_of(path, CODE)}
        for path in paths
    }
    if function is not None:
        return [_submission(path, defined[path], function) for path in paths], function
    common = _most_common(list(defined.values()))
    otherwise = {
        path: target
        for path in paths
        if not any(common in names for names in defined[path].values())
        and (target := _likeliest(path, list(defined[path])))
    }
    if not common and not otherwise and any(defined.values()):
        raise ValueError(
            "no submission defines a function whose name sounds like backpropagation: "
            "say which one to call, --function NAME"
        )
    found = [
        Submission(path.name, path, otherwise[path])
        if path in otherwise
        else _submission(path, defined[path], common)
        for path in paths
    ]
    return found, common


def _most_common(defined: Sequence[dict[Path, list[str]]]) -> str:
    counts: Counter[str] = Counter()
    for files in defined:
        names = {name for names in files.values() for name in names if _LIKELY.search(name)}
        counts.update(sorted(names))
    return counts.most_common(1)[0][0] if counts else ""


def _likeliest(path: Path, files: list[Path]) -> str:
    """Return what is checked where nothing has the common name, as by ``chainrule check FILE``."""
    if path.is_symlink():
        return ""
    found = [f"{file}:{name}" for file in files if (name := _likeliest_in(file))]
    return found[0] if len(found) == 1 else ""


def _likeliest_in(file: Path) -> str:
    try:
        if file.stat().st_size > _MOST_BYTES or not names_in(file):
            return ""
        return likeliest(file)
    except (OSError, ValueError, MemoryError, RecursionError):
        return ""


def _submission(path: Path, files: dict[Path, list[str]], function: str) -> Submission:
    if path.is_symlink():
        return Submission(path.name, path, wrong="it is a link: hand in the file itself")
    if path.is_file() and path.suffix.lower() in ARRAYS:
        return Submission(path.name, path, str(path))
    top_level = re.split("[.,]", function)[0]  # of Net.backprop, or of forward,backward
    have = [file for file, names in files.items() if top_level in names] or (
        list(files) if len(files) == 1 else []
    )
    if have:
        highest = min(len(file.parts) for file in have)
        have = [file for file in have if len(file.parts) == highest]
    if len(have) == 1:
        return Submission(path.name, path, f"{have[0]}:{function}")
    arrays = list(files_of(path, ARRAYS)) if not files else []
    if len(arrays) == 1:
        return Submission(path.name, path, str(arrays[0]))
    shown = ", ".join(str(file.relative_to(path)) for file in have[:4])
    wrong = (
        f"{len(have)} files define {function}: {shown}" if have else f"no file defines {function}"
    )
    return Submission(path.name, path, wrong=wrong)


def files_of(path: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Yield *path* itself, or the regular files of that folder, in order; links are left out."""
    if path.is_file():
        if path.suffix.lower() in suffixes:
            yield path
        return
    count = 0
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(names):
            file = Path(folder, name)
            if name.startswith(".") or file.is_symlink() or not file.is_file():
                continue
            count += 1
            if count > _MOST_FILES:
                return
            if file.suffix.lower() in suffixes:
                yield file


def names_in(file: Path) -> list[str]:
    """Return the functions and classes that *file* defines at its top level; nothing is run."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            return []
        text = file.read_bytes().decode("utf-8", errors="replace")
        pieces = _cells(text) if file.suffix.lower() == ".ipynb" else [text]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []
    return [name for piece in pieces for name in _defined(piece)]


def _cells(text: str) -> list[str]:
    return [
        "".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"
    ]


def _defined(text: str) -> list[str]:
    # Lines for IPython are not Python; a cell without them may define something all the same.
    text = re.sub(r"^\s*[%!?].*$", "", text, flags=re.MULTILINE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(text.removeprefix("\ufeff")).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        # What does not parse is still found by its name, and its report says where it breaks.
        return re.findall(r"^(?:def|class)\s+(\w+)", text, flags=re.MULTILINE)
    kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    return [node.name for node in body if isinstance(node, kinds)]


def fingerprint(submission: Submission, settings: str) -> str:
    """Return a digest of all that the result depends on: every file, and the *settings*."""
    digest = hashlib.sha256(f"{settings}\0{submission.wrong}\0".encode())
    folder = submission.path.parent
    digest.update(os.fsencode(submission.relative_target) + b"\0")
    for file in _all_files(submission.path):
        digest.update(os.fsencode(file.relative_to(folder)) + b"\0")
        if file.is_symlink():
            digest.update(os.fsencode(file.readlink()) + b"\0")
        elif file.is_file():
            with file.open("rb") as stream:
                # The length first, so that two files are not one longer one.
                digest.update(str(file.stat().st_size).encode() + b"\0")
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def checker() -> str:
    """Return a digest of the checker itself, on which every result depends as well."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _all_files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (Path(folder, name) for name in sorted(names))
