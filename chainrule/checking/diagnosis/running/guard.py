"""The guard of the process that runs a submission: whatever happens, nothing of it is left.

It stands between the checker and the submission as a process of its own, because the checker may
itself be ended by a signal that leaves it no time. As long as the checker lives it holds one end of
a pipe to here; when that end is gone, or the submission has ended, the guard ends whatever the
submission started, removes the folder it ran in, and says how it ended.

On Linux it adopts processes whose parent has ended, so that none gets away by leaving its session.

Run as a program, alone: ``python guard.py FOLDER COMMAND...``. It needs nothing but the standard
library. Its standard input begins with 8 bytes that say how much the command is to read, and that.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_ADOPTS_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER
_ENDING = 5.0  # seconds in which the processes that were killed must be gone


def main() -> None:
    """Run the command, feed it, and see to its end."""
    folder, *command = sys.argv[1:]
    adopting = _adopt()
    size = int.from_bytes(sys.stdin.buffer.read(8), "big")
    request = sys.stdin.buffer.read(size)
    if len(request) == size:
        temporary = dict.fromkeys(("TMPDIR", "TMP", "TEMP"), folder)  # the one it may write to
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, **temporary},
        )
        # Only the submission writes there now: when it has ended, so has the channel.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        threading.Thread(target=_feed, args=(process, request), daemon=True).start()
        threading.Thread(target=_follow, args=(process,), daemon=True).start()
        status = process.wait()
        with contextlib.suppress(OSError):  # nobody may be there to hear it
            os.write(2, f"{status}\n".encode())
    if adopting:
        _end_children()
    with contextlib.suppress(RecursionError):  # folders in folders, a thousand deep
        shutil.rmtree(folder, ignore_errors=True)
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # this process too: it has nothing left to do
    os._exit(0)  # a thread still reads, and must not be waited for


def _feed(process: subprocess.Popen[bytes], request: bytes) -> None:
    with contextlib.suppress(OSError):
        assert process.stdin is not None
        process.stdin.write(request)
        process.stdin.close()


def _follow(process: subprocess.Popen[bytes]) -> None:
    """End the command when the checker has: then nobody holds the other end of the pipe."""
    sys.stdin.buffer.read()
    process.kill()


def _adopt() -> bool:
    """Become the parent of orphans among the descendants; return whether that can be done."""
    if sys.platform != "linux" or not Path("/proc/self/stat").exists():
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(_ADOPTS_ORPHANS, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def _end_children() -> None:
    """Kill the children until there are none; each one's own children become ours by that."""
    end = time.monotonic() + _ENDING
    while time.monotonic() < end:
        for pid in _children():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def _children() -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name of a program stands in parentheses, and may hold any character.
                after_name = (process / "stat").read_text(errors="replace").rpartition(")")[2]
                if int(after_name.split()[1]) == os.getpid():
                    found.append(int(process.name))
    return found


if __name__ == "__main__":
    main()
