"""Results on the disk, one file for each submission, so that a run can be taken up again.

A file is written whole or not at all. What is there is read once, before anything is run, and at
the end every file is made what it should be: while submissions run, nothing that appears in the
folder is believed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ...nn.files import write_whole
from .results import UNDONE, Result, result_from

_SCHEMA = 1
_MOST_BYTES = 64 << 20


def file_name(name: str, suffix: str) -> str:
    """Return a name for a file about *name*, safe on every system, and another for every name.

    >>> file_name("../../Zoë <b>.py", ".html")
    'Zo-b-.py-f66f6a21.html'
    """
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:60]
    return f"{readable or 'submission'}-{digest}{suffix}"


class Store:
    """The folder in which results are kept; None for a run that is not to be taken up again."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._kept: dict[str, tuple[str, Result]] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def done(self, fingerprints: dict[str, str]) -> dict[str, Result]:
        """Return the results that are there for these submissions, unchanged, by name."""
        for name, fingerprint in fingerprints.items():
            result = self._read(name, fingerprint)
            if result is not None:
                self._kept[name] = fingerprint, result
        return {name: result for name, (_, result) in self._kept.items()}

    def keep(self, fingerprint: str, result: Result) -> None:
        """Write a result, unless it is a failure of the checker, which is tried again."""
        if result.status != UNDONE:
            self._kept[result.name] = fingerprint, result
            self._write(result.name)

    def settle(self, names: Iterable[str]) -> None:
        """Make the files of these submissions what they should be: as they were found, or none."""
        if self.folder is None:
            return
        for name in names:
            path = self._path(name)
            if name not in self._kept:
                path.unlink(missing_ok=True)
            elif path.is_symlink() or not path.is_file():
                path.unlink(missing_ok=True)
                self._write(name)
            elif path.read_bytes() != self._contents(name):
                self._write(name)

    def _path(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / file_name(name, ".json")

    def _contents(self, name: str) -> bytes:
        fingerprint, result = self._kept[name]
        data = {"schema": _SCHEMA, "fingerprint": fingerprint, "result": result.plain_data()}
        return json.dumps(data, allow_nan=False).encode()

    def _write(self, name: str) -> None:
        if self.folder is not None:
            write_whole(self._path(name), self._contents(name), "grade")

    def _read(self, name: str, fingerprint: str) -> Result | None:
        if self.folder is None:
            return None
        path = self._path(name)
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
                return None
            data = json.loads(path.read_bytes())
            if data["schema"] != _SCHEMA or data["fingerprint"] != fingerprint:
                return None
            result = result_from(data["result"])
            return result if result.name == name else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None  # it is done again
