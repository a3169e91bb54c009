"""Weights in files: ``save`` and ``load``.

A file is an ordinary ``.npz`` archive, uncompressed, with one float64 array for each entry of
``state_dict()``; ``numpy.load`` reads it too.  That of an :class:`~chainrule.nn.MLP` also holds
``sizes`` and ``activations``, from which the network can be built anew.

A file may come from anywhere, so it is read in three stages: the archive's directory; the header of
every array, for its name, type, shape and length; and only when all of that fits, the numbers.  No
array is made for what a header merely claims, and nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ..engine.locks import Lock
from . import arguments
from .files import path_of, write_whole
from .layers import MLP, theta_shapes
from .module import Module

_ARCHITECTURE = ("sizes", "activations")
_LONGEST_TEXT = 4 * 32  # bytes of an activation's name
_LONGEST_FILE = 1 << 30  # the directory of an archive is read as a whole
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}

_Shape = tuple[int, ...]


_one_at_a_time = Lock()
"""NumPy reads a header with ``ast``, which up to CPython 3.12 counts its depth for all threads
together, and fails when two of them are at it (python/cpython#106905)."""


def save(module: Module, path: str | os.PathLike[str]) -> None:
    """Write the parameters of *module* to the file *path*, whole or not at all.

    The file is written aside and then put in its place, so that whatever happens *path* holds
    either the old weights or the new ones.  A file that is replaced keeps its mode, and its owner
    where the user may give files away.  ValueError, and the old file stays, if a parameter is not
    finite; OSError, which names *path*, if the system refuses.

    >>> import tempfile, os
    >>> from chainrule import nn
    >>> model = nn.MLP(2, [3, 1], activation="tanh", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "weights.npz")
    ...     nn.save(model, path)
    ...     again = nn.load(path)
    >>> again
    MLP(2, [3, 1], activation='tanh', output_activation='linear')
    >>> bool((again.thetas[0] == model.thetas[0]).all())
    True

    The name is taken as it is: no ``.npz`` is appended.
    """
    if not isinstance(module, Module):
        raise TypeError(f"save: expected a Module, then a path; not {module!r:.80}")
    target = path_of("save", path)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        array.name: arguments.finite_array(array.name, array.read(), array.shape)
        for array in module.parameter_arrays()
    }
    if not arrays:
        raise ValueError(f"save: {module!r:.80} has no parameters")
    if type(module) is MLP:  # a subclass may compute something else from the same weights
        arrays["sizes"] = np.array(module.sizes, dtype=np.int64)
        arrays["activations"] = np.array(module.activations)
    contents = io.BytesIO()
    with zipfile.ZipFile(contents, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            npy.write_array(entry, array, allow_pickle=False)
            # A ZipInfo has a fixed date, so that equal weights make equal files.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue())
    write_whole(target, contents.getvalue(), "save")


def load(path: str | os.PathLike[str], into: Module | None = None) -> Any:
    """Return the network in the file *path*; or set the parameters of *into* from it, return that.

    Only a file that ``save`` made of an MLP can be loaded without *into*.  Whatever does not fit
    (not an archive of arrays, other names, shapes or activations, anything but finite float64
    numbers, compressed or damaged entries) raises ValueError naming the file and the entry, and
    *into* is left as it was.  What the operating system refuses raises OSError.

    Weights in another format can be given to ``load_state_dict``, which takes any real arrays.
    """
    path = path_of("load", path)
    if into is not None and not isinstance(into, Module):
        raise TypeError(f"load: into is {into!r:.80}; expected a Module")
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise ValueError(f"load: {path} is not a file")  # opening a pipe would wait for its writer
    with path.open("rb") as file:
        try:
            if status.st_size > _LONGEST_FILE:
                raise ValueError(f"{status.st_size} bytes: expected at most {_LONGEST_FILE}")
            with zipfile.ZipFile(file) as archive:
                return _loaded(_Entries(archive, status.st_size), into)
        # Damaged or hostile contents can make the parsers raise nearly anything.
        except Exception as error:
            raise ValueError(f"load: {path}: {str(error) or type(error).__name__}") from error


class _Entries(Mapping[str, np.ndarray[Any, Any]]):
    """The arrays in an archive, by name; each is read when it is asked for."""

    def __init__(self, archive: zipfile.ZipFile, length: int) -> None:
        self._archive = archive
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename:
                raise ValueError(f"{name!r:.80} is not an array: expected names that end in .npy")
            if name in self._infos:
                raise ValueError(f"{name!r:.80} occurs twice")
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                raise ValueError(
                    f"{name!r:.80} is compressed: expected what chainrule.nn.save or numpy.savez "
                    "writes"
                )
            self._infos[name] = info
        if sum(info.file_size for info in self._infos.values()) > length:
            raise ValueError("the entries overlap: together they are longer than the file")

    def __contains__(self, name: object) -> bool:  # Mapping's own would read the array
        return name in self._infos

    def __len__(self) -> int:
        return len(self._infos)

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        with self._named(name), self._archive.open(self._infos[name]) as stream, _one_at_a_time:
            array: np.ndarray[Any, Any] = npy.read_array(stream, allow_pickle=False)
            return array

    def check(self, name: str, shape: _Shape, dtype: str) -> None:
        """Raise ValueError unless *name* has this shape and dtype, and the length they come to.

        A *dtype* of "str" admits text of any length up to the longest that is of use.
        """
        info = self._infos[name]
        with self._named(name), self._archive.open(info) as stream:
            version = npy.read_magic(stream)
            if version not in _HEADERS:
                raise ValueError(f"npy format {version}: expected one of {[*_HEADERS]}")
            with _one_at_a_time:
                claimed, _, given = _HEADERS[version](stream)
            length = info.file_size - stream.tell()
        if given.newbyteorder("=") != dtype and not (
            dtype == "str" and given.kind == "U" and given.itemsize <= _LONGEST_TEXT
        ):
            raise ValueError(f"{name!r} has dtype {given!s:.80}: expected {dtype}")
        if claimed != shape:
            raise ValueError(f"{name!r} has shape {claimed!s:.80}: expected {shape}")
        if length != given.itemsize * math.prod(shape):
            raise ValueError(
                f"{name!r} has {length} bytes after its header: expected "
                f"{given.itemsize * math.prod(shape)}, for shape {shape} of {given}"
            )

    @contextlib.contextmanager
    def _named(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # as in load
            raise ValueError(f"{name!r:.80}: {str(error) or type(error).__name__}") from error


def _loaded(entries: _Entries, into: Module | None) -> Module:
    shapes: Mapping[str, _Shape]
    if into is None:
        sizes, activations = _architecture(entries)
        described, shapes = True, theta_shapes(sizes)
    else:
        described = isinstance(into, MLP) and all(name in entries for name in _ARCHITECTURE)
        shapes = {array.name: array.shape for array in into.parameter_arrays()}
    arguments.names([*shapes, *_ARCHITECTURE * described], entries)
    for name, shape in shapes.items():
        entries.check(name, shape, "float64")
    if into is None:
        into = MLP(sizes[0], sizes[1:], activations[:-1], activations[-1])
    elif isinstance(into, MLP) and described:
        for name, given in zip(_ARCHITECTURE, _architecture(entries), strict=True):
            if given != getattr(into, name):
                raise ValueError(f"the {name} are {given}: expected {getattr(into, name)}")
    into.load_state_dict({name: entries[name] for name in shapes})
    return into


def _architecture(entries: _Entries) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return sizes and activations of the network that *entries* are the weights of."""
    for name in _ARCHITECTURE:
        if name not in entries:
            raise ValueError(f"{name!r} is missing, so the network to load must be given as into")
    layers = len(entries) - len(_ARCHITECTURE)
    entries.check("sizes", (layers + 1,), "int64")
    entries.check("activations", (layers,), "str")
    sizes = [arguments.count(f"sizes[{i}]", size) for i, size in enumerate(entries["sizes"])]
    return tuple(sizes), tuple(entries["activations"].tolist())
