"""Interpreters that tests start: how one is called, in which environment, and for how long."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

SECONDS = 300
"""After which a child is killed: far more than any takes, as a machine may be busy."""


def environment(**changed):
    """Return the environment of this process with *changed* variables; None takes one away."""
    return {name: text for name, text in {**os.environ, **changed}.items() if text is not None}


def run(*arguments, seconds=SECONDS, text=True, given=None, cwd=None, **changed):
    """Run this interpreter with *arguments*; return how it ended and what it wrote.

    It reads *given* from standard input; *changed* are variables of its environment.
    """
    return subprocess.run(
        [sys.executable, *arguments], timeout=seconds, capture_output=True, check=False,
        text=text, input=given, cwd=cwd, env=environment(**changed),
    )  # fmt: skip


def printed(*arguments, **options):
    """Run this interpreter with *arguments*, which must end well, and return what it printed."""
    done = run(*arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def started(*arguments, cwd=None, **changed):
    """Start this interpreter with *arguments*; in the end it is killed, with all that it started.

    It hears the signals that end a process even if the suite ignores them, as one that was started
    in the background does, or by ``nohup``.
    """
    with _heard("SIGINT", "SIGHUP"):
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=cwd, env=environment(**changed), start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # when all are gone
            os.killpg(process.pid, signal.SIGKILL) if os.name == "posix" else process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@contextlib.contextmanager
def _heard(*names):
    """What is ignored here is ignored in children; what is handled here is not."""
    there = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ignored = [one for one in there if signal.getsignal(one) == signal.SIG_IGN]
    for one in ignored:
        signal.signal(one, signal.default_int_handler)
    try:
        yield
    finally:
        for one in ignored:
            signal.signal(one, signal.SIG_IGN)
