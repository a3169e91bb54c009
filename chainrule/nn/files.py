"""Files that are written whole or not at all: aside first, then in one move into their place.

Where the system has them (Linux, on most file systems) the file aside has no name until it is
whole, so that a process that is killed leaves nothing behind; a file that replaces another needs a
name for the moment between two system calls.  Elsewhere it has a name from the start.  Whoever
writes holds a lock on it, which ends with the process, and each save takes away the files of that
pattern that nobody holds: what a kill leaves is gone after the next save of the same path.  Only
Windows, which has no such locks, keeps them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LONGEST_NAME = 200  # bytes; the temporary name is longer by 22, and 255 is the usual limit
_ATTEMPTS = 10


def path_of(function: str, given: Any) -> Path:
    """Return *given* as a path; TypeError or OSError, as of ``open``, for what cannot be one."""
    if not isinstance(given, (str, os.PathLike)) or not isinstance(os.fspath(given), str):
        raise TypeError(f"{function}: the path is {given!r:.80}; expected a str or a pathlib.Path")
    name = os.fspath(given)
    if not name or "\0" in name:
        wrong = "the path has a null character" if name else "the path is empty"
        raise FileNotFoundError(
            errno.ENOENT, f"{function}: {wrong}; expected the name of a file", name
        )
    return Path(name)


def write_whole(path: Path, contents: bytes, caller: str) -> None:
    """Make *contents* the contents of the file *path*; *caller* is named in errors.

    A symbolic link stays one.  A file that is replaced keeps its mode, and its owner and group as
    far as the user may give files away; it does not keep other names (hard links) or extended
    attributes.  When this returns, file and directory have been written through to the disk.
    OSError, which names *path*, if that cannot be; then the old file is untouched.
    """
    old = None
    with contextlib.suppress(FileNotFoundError):  # but not a loop of links, or what may not be read
        old = path.stat()
    target = path.resolve()
    if old is None and not target.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, f"{caller}: there is no directory {str(target.parent)!r}", str(path)
        )
    if old is not None and stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if old is not None and not stat.S_ISREG(old.st_mode):  # no device or pipe is replaced
        raise OSError(errno.EINVAL, "is not a file", str(path))
    try:
        _remove_leftovers(target)
        if not _by_link(target, contents, old):
            _by_name(target, contents, old)
        _synchronise(target.parent)
    except OSError as error:
        if error.errno is None:
            raise
        # The error itself may name the file aside, of which nobody has heard.
        raise OSError(error.errno, error.strerror, str(path)) from None


def _by_link(target: Path, contents: bytes, old: os.stat_result | None) -> bool:
    """Write a file that has no name until it is whole; False if that cannot be had here."""
    if not hasattr(os, "O_TMPFILE"):
        return False
    try:
        descriptor = os.open(target.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except OSError:  # if it is not for want of such files, the other way fails alike
        return False
    with os.fdopen(descriptor, "wb") as file:
        _lock(file)
        _fill(file, contents, old)
        name = _temporary_name(target)
        try:
            if old is None:
                with contextlib.suppress(FileExistsError):  # made by another in the meantime
                    _link(file, target)
                    return True
            _link(file, name)
        except OSError:
            return False
        try:
            name.replace(target)
        except BaseException:
            _unlink(name)
            raise
    return True


def _link(file: IO[bytes], name: Path) -> None:
    # With a directory given, os.link is linkat(..., AT_SYMLINK_FOLLOW).
    directory = os.open(name.parent, os.O_PATH)
    try:
        os.link(f"/proc/self/fd/{file.fileno()}", name.name, dst_dir_fd=directory)
    finally:
        os.close(directory)


def _by_name(target: Path, contents: bytes, old: os.stat_result | None) -> None:
    """Write a file of another name beside *target*."""
    file, name = _named_file(target)
    try:
        with file:
            _fill(file, contents, old)
            if os.name != "nt":  # the lock is held until the file has its place
                name.replace(target)
        if os.name == "nt":  # no open file can be moved there
            name.replace(target)
    except BaseException:
        _unlink(name)
        raise


def _named_file(target: Path) -> tuple[IO[bytes], Path]:
    for _ in range(_ATTEMPTS):
        name = _temporary_name(target)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(name, flags, 0o666), "wb")
        # Another's save may have come between, and taken it for a leftover.
        if _lock(file) and os.fstat(file.fileno()).st_nlink:
            break
        file.close()
        _unlink(name)
    else:
        raise OSError(errno.EBUSY, "other processes take the temporary files away")
    return file, name


def _fill(file: IO[bytes], contents: bytes, old: os.stat_result | None) -> None:
    if old is not None:  # before there is anything in it to read
        _make_like(file, old)
    file.write(contents)
    file.flush()
    os.fsync(file.fileno())


def _make_like(file: IO[bytes], old: os.stat_result) -> None:
    """Give *file* the owner, the group and the mode of *old*, as far as the system allows."""
    if not hasattr(os, "fchown"):  # Windows, where a file has the rights of its directory
        return
    new, mode = os.fstat(file.fileno()), old.st_mode & 0o777
    if new.st_gid != old.st_gid:
        try:
            os.fchown(file.fileno(), -1, old.st_gid)
        except OSError:  # what the old group could do is not for another one
            mode &= ~stat.S_IRWXG | ((mode & stat.S_IRWXO) << 3)
    if new.st_uid != old.st_uid:
        with contextlib.suppress(OSError):
            os.fchown(file.fileno(), old.st_uid, -1)
    os.fchmod(file.fileno(), mode)


def _synchronise(directory: Path) -> None:
    """Write the names in *directory* through to the disk, where a directory can be opened."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:  # Windows, or a directory that may be written and not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems do not have it
            raise
    finally:
        os.close(descriptor)


# Temporary files: names that say what they belong to, and locks that say whether they are in use.


def _prefix(target: Path) -> str:
    return os.fsdecode(b"." + os.fsencode(target.name)[:_LONGEST_NAME] + b".")


def _unlink(name: Path) -> None:
    with contextlib.suppress(OSError):  # it is gone, or the system refuses that too
        name.unlink()


def _temporary_name(target: Path) -> Path:
    return target.with_name(f"{_prefix(target)}{secrets.token_hex(8)}.tmp")


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary files for *target* that no living process holds."""
    if fcntl is None:
        return
    pattern = re.compile(re.escape(_prefix(target)) + r"[0-9a-f]{16}\.tmp")
    with contextlib.suppress(OSError):  # a directory that may be written and not read
        for leftover in target.parent.iterdir():
            if not pattern.fullmatch(leftover.name):
                continue
            with contextlib.suppress(OSError):  # another's, or just now moved or removed
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                with os.fdopen(os.open(leftover, flags)) as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    leftover.unlink()


def _lock(file: IO[bytes]) -> bool:
    """Lock *file*; False if another process holds it.  True too where there are no locks."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True
