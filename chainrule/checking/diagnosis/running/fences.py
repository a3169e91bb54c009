"""What a submission may not touch: our own files, other people's, and whatever is to be written.

Two fences, put up in the student's process before anything of the submission is read:

- Landlock, where the kernel has it (Linux 5.13 and later). The kernel refuses, for this process and
  whatever it starts, to open the files that are hidden, to write anywhere but in the folder it runs
  in, to connect over TCP, and to signal or look into processes that it did not start (all of that
  from Linux 6.12 on). It cannot be taken down, not by C and not as root.
- An audit hook of the interpreter, everywhere. It refuses the same to plain Python code, and to
  start another program where Landlock would not follow it there. Whoever takes the interpreter
  apart gets past it.

It needs nothing but the standard library, and nothing of ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same number on every processor
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 14
_CHANGES = sum(1 << bit for bit in range(4, 13))  # remove and make anything
_REFER = 1 << 13
_TCP = 0b11  # bind, connect
_SCOPES = 0b11  # abstract sockets, signals
_CAPABILITY_VERSION = 0x20080522
_OPENS_FILES = 1 << 1 | 1 << 2 | 1 << 3  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")


@dataclass(frozen=True)
class Fences:
    """What a submission may read and write; paths are absolute."""

    package: str
    """A module that cannot be imported; "" if all can."""
    hidden: tuple[str, ...]
    """Files and directories that cannot be opened."""
    shown: tuple[str, ...]
    """What can be opened all the same, if it lies in a directory that is hidden."""
    folder: str
    """The directory that can be written to."""

    @classmethod
    def of(cls, package: str, hidden: Sequence[str], shown: Sequence[str], folder: str) -> Fences:
        """Return the fences around these paths, wherever links lead."""
        real = os.path.realpath
        return cls(package, tuple(map(real, hidden)), tuple(map(real, shown)), real(folder))

    def put_up(self, landlock: bool = True) -> None:
        """Put both fences up, around this process.

        Before this is called there must be one thread only: Landlock is for threads.
        """
        confined = landlock and _confine(self)
        _drop_capabilities()
        sys.addaudithook(_hook(self, confined))


def landlock_version() -> int:
    """Return the version of Landlock that the kernel has, 0 if it has none."""
    if sys.platform != "linux":
        return 0
    try:
        found = ctypes.CDLL(None, use_errno=True).syscall(_CREATE_RULESET, None, 0, _VERSION)
    except (OSError, AttributeError):
        return 0
    return max(int(found), 0)


# --- Landlock -------------------------------------------------------------------------------------


def _confine(fences: Fences) -> bool:
    """Put up the kernel's fence; return whether that could be done."""
    version = landlock_version()
    if not version:
        return False
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long

    def syscall(*arguments: Any) -> int:
        wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
        return int(library.syscall(*wide))

    written = _WRITE_FILE | _CHANGES
    written |= _REFER if version >= 2 else 0
    written |= _TRUNCATE if version >= 3 else 0
    # Directories can be listed: imports need it, and names tell nothing.
    handled = _EXECUTE | _READ_FILE | written
    words = [handled]
    words += [_TCP] if version >= 4 else []
    words += [_SCOPES] if version >= 6 else []
    attributes = (ctypes.c_uint64 * len(words))(*words)
    ruleset = syscall(_CREATE_RULESET, attributes, ctypes.sizeof(attributes), 0)
    if ruleset < 0:
        return False

    def allow(path: str, access: int) -> None:
        try:
            found = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return
        try:
            if not stat.S_ISDIR(os.fstat(found).st_mode):
                access &= _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE
            rule = access.to_bytes(8, sys.byteorder) + found.to_bytes(4, sys.byteorder)
            syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
        finally:
            os.close(found)

    try:
        for path in _readable(fences):
            allow(path, _EXECUTE | _READ_FILE)
        for path in _DEVICES:
            allow(path, _READ_FILE | _WRITE_FILE)
        allow(fences.folder, handled)
        library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return bool(syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _readable(fences: Fences) -> Iterator[str]:
    """Yield paths that cover all that lies beneath the root, but for what is hidden.

    A link leads to where it leads, which is covered there or hidden there, so none is followed. A
    directory on the way may not be listable: what Python needs is named besides.
    """
    hidden = frozenset(fences.hidden)
    above = {str(parent) for path in hidden for parent in Path(path).parents}

    def beneath(path: str) -> Iterator[str]:
        if path not in above:
            yield path
            return
        try:
            with os.scandir(path) as entries:
                found = [entry.path for entry in entries if not entry.is_symlink()]
        except OSError:
            return
        for inner in found:
            if inner not in hidden:
                yield from beneath(inner)

    needed = {os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, *sys.path) if path}
    for path in ("/", *fences.shown, *sorted(needed)):
        if path in fences.shown or not _is_hidden(path + os.sep, fences):
            yield from beneath(path)


def _is_hidden(path: str, fences: Fences) -> bool:
    """Whether the path, with a separator at its end, is hidden: the nearest word on it counts."""

    def nearest(above: Sequence[str]) -> int:
        return max((len(one) for one in above if path.startswith(one.rstrip(os.sep) + os.sep)),
                   default=-1)  # fmt: skip

    return nearest(fences.hidden) > nearest(fences.shown)


def _drop_capabilities() -> None:
    """Of what root may do, keep the right to open files: limits cannot be raised again, say."""
    if sys.platform != "linux":
        return
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then those from 32 on
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        if library.capget(header, sets) == 0:
            kept = [word & _OPENS_FILES for word in sets[:3]]
            library.capset(header, (ctypes.c_uint32 * 6)(*kept, 0, 0, 0))


# --- the interpreter ------------------------------------------------------------------------------

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FIRST, _SECOND, _BOTH = slice(0, 1), slice(1, 2), slice(0, 2)
_CHANGING = {
    **dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree"), _FIRST),
    **dict.fromkeys(("os.chmod", "os.chown", "os.utime", "os.setxattr"), _FIRST),
    **dict.fromkeys(("os.rename", "os.link"), _BOTH),
    "os.symlink": _SECOND,
}
"""Events that change files, and which of their arguments are the paths of what changes."""
_STARTING = frozenset(
    {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn",
     "os.startfile"}
)  # fmt: skip
_SEARCHING = frozenset({"gc.get_objects", "gc.get_referrers"})
"""Ways to lay hands on the hook."""


def _hook(fences: Fences, confined: bool) -> Callable[[str, tuple[Any, ...]], None]:
    # Bound here, before a submission can put something else in their place.
    real, decoded, error, separator = os.path.realpath, os.fsdecode, PermissionError, os.sep
    package, ours, is_hidden = fences.package, fences.folder + os.sep, _is_hidden
    devices, changing = frozenset({*_DEVICES, real(os.devnull)}), dict(_CHANGING)
    texts = (str, bytes)
    refused = _SEARCHING if confined else _SEARCHING | _STARTING

    def guard(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], texts):
            path = real(decoded(arguments[0]))
            if is_hidden(path + separator, fences):
                raise error(f"a file that is checked may not use {path}")
            writes = isinstance(arguments[2], int) and arguments[2] & _WRITES
            if writes and not (path + separator).startswith(ours) and path not in devices:
                raise error(f"a file that is checked may write to its own folder only: {path}")
        elif event == "import":
            name, file = arguments[:2]
            if (package and str(name).partition(".")[0] == package) or (
                isinstance(file, str) and is_hidden(real(file) + separator, fences)
            ):
                raise error(f"a file that is checked may not use {name}")
        elif event in changing:
            for path in arguments[changing[event]]:
                where = real(decoded(path)) + separator if isinstance(path, texts) else ours
                if not where.startswith(ours):
                    raise error("a file that is checked may change its own folder only")
        elif event in refused:
            raise error(f"a file that is checked may not do this: {event}")

    return guard
