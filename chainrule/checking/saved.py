"""Saved arrays and networks, ``.npy`` and ``.npz``, read and written with a limit on their size.

A file may come from anywhere. What is not a file is not opened, no array is made for what a header
merely claims, no archive unfolds to more than the limit, and nothing is unpickled.
"""

from __future__ import annotations

import math
import stat
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ..nn.files import write_whole
from .diagnosis.running.results import MOST_ENTRIES
from .problem import Problem

_MOST_BYTES = 8 * MOST_ENTRIES + (1 << 20)
_MOST_FILES = 10_000
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}

Array = np.ndarray[Any, np.dtype[Any]]


def check_is_file(path: Path) -> None:
    """Raise ``OSError`` unless *path* is a file: a pipe would let us wait, a device never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(None, "is not a file", str(path))


def read_arrays(path: Path) -> Array | dict[str, Array]:
    """Return the array in an ``.npy`` file, or those in an ``.npz`` file by name.

    ``OSError`` if the file cannot be read, ``ValueError`` if it is anything else, or too large.
    """
    check_is_file(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return _array(file.read(_MOST_BYTES))
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len(infos) > _MOST_FILES or sum(info.file_size for info in infos) > _MOST_BYTES:
                raise ValueError("it unfolds to too much")
            return {
                info.filename.removesuffix(".npy"): _array(archive.read(info)) for info in infos
            }
    except OSError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds
        raise ValueError(
            f"{path}: arrays of numbers cannot be read from it: expected a file that numpy.save or "
            f"numpy.savez wrote, up to {_MOST_BYTES >> 20} MiB"
        ) from error


def _array(content: bytes) -> Array:
    stream = BytesIO(content)
    shape, _, dtype = _HEADERS[npy.read_magic(stream)](stream)
    if dtype.hasobject or dtype.itemsize * math.prod(shape) != len(content) - stream.tell():
        raise ValueError(f"{len(content)} bytes for an array of {dtype} and shape {shape}")
    stream.seek(0)
    array: Array = npy.read_array(stream, allow_pickle=False)
    return array


def write_problem(path: Path, problem: Problem) -> None:
    """Write the arrays of *problem* as ``.npz``: theta1, theta2, ..., X, Y and lam."""
    thetas = {f"theta{i}": theta for i, theta in enumerate(problem.thetas, start=1)}
    content = BytesIO()
    np.savez(content, **thetas, X=problem.X, Y=problem.Y, lam=problem.lam)  # type: ignore[arg-type]
    put(path, content.getvalue())


def read_problem(path: Path, **options: Any) -> Problem:
    """Return what :func:`write_problem` wrote; ``ValueError`` if it is anything else."""
    try:
        arrays = read_arrays(path)
        assert isinstance(arrays, dict)
        thetas = [arrays[f"theta{i}"] for i in range(1, len(arrays) - 2)]
        X, Y, lam = arrays["X"], arrays["Y"], float(arrays["lam"])
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path.name} is not a saved network: expected .npz with theta1, theta2, ..., X, Y, lam"
        ) from error
    return Problem.read(thetas, X, Y, lam, **options)


def put(path: Path, content: bytes) -> None:
    """Write *content* to the file *path*, whole or not at all, or into the pipe that *path* is."""
    if path.exists() and not path.is_file() and not path.is_dir():
        try:
            with path.open("wb") as stream:
                stream.write(content)
        except OSError as error:  # a full disk does not say which file
            raise OSError(error.errno, error.strerror, str(path)) from error
    else:
        write_whole(path, content, "check")
