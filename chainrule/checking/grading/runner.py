"""Runs the checks of a class, several at a time, each in one of a few worker processes.

A thread for each worker asks it, one submission after another, and waits; this process does nothing
else. What it asks is pickled, options being of many types; what a worker answers is plain data. A
worker that dies or takes too long is replaced, and its submission is reported as not done. Whatever
ends the run, no worker is left, and no submission.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from ..diagnosis.running.student import ROOT
from .results import UNDONE, Result, result_from, without_report

_CONVERSATIONS = 12
"""How many times the time limit a check may take, as it runs the function in several processes."""
_BESIDES = 180.0
"""How many seconds more it may take, for the search."""
_START = """
import sys
# Not from the folder in which this is run: it may be the class's, and have a numpy.py.
sys.path[:] = [*filter(None, sys.path), sys.argv.pop(1)]
from %s.worker import main
main()
"""


def run_all(asked: Sequence[dict[str, Any]], jobs: int, time_limit: float) -> Iterator[Result]:
    """Yield the result of each question, as they come; see ``worker.checked`` for what one is.

    When the iteration ends, by an exception or Ctrl-C too, every process has ended.
    """
    todo: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    for question in asked:
        todo.put(question)
    results: queue.SimpleQueue[Result] = queue.SimpleQueue()
    patience = _CONVERSATIONS * time_limit + _BESIDES
    askers = [_Asker(todo, results, patience) for _ in range(min(jobs, len(asked)))]
    try:
        for asker in askers:
            asker.thread.start()
        for _ in asked:
            yield _next(results, askers)
    finally:
        for asker in askers:
            asker.stop()
        for asker in askers:
            if asker.thread.ident is not None:
                asker.thread.join()


def _next(results: queue.SimpleQueue[Result], askers: Sequence[_Asker]) -> Result:
    while True:
        with contextlib.suppress(queue.Empty):
            return results.get(timeout=1.0)  # where waits cannot be interrupted, they are short
        for asker in askers:
            if asker.failure is not None:
                raise asker.failure


class _Asker:
    """Asks one worker, until there is nothing more to ask."""

    def __init__(
        self,
        todo: queue.SimpleQueue[dict[str, Any]],
        results: queue.SimpleQueue[Result],
        patience: float,
    ) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._todo, self._results, self._patience = todo, results, patience
        self._worker: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self.failure: BaseException | None = None

    def _run(self) -> None:
        try:
            while not self._stopped:
                try:
                    question = self._todo.get_nowait()
                except queue.Empty:
                    break
                self._results.put(self._result(question))
        except BaseException as error:
            self.failure = error
        finally:
            self._end()

    def stop(self) -> None:
        """End the worker, and with it the thread."""
        with self._lock:
            self._stopped = True
            if self._worker is not None:
                self._worker.kill()

    def _result(self, question: dict[str, Any]) -> Result:
        worker = self._started()
        assert worker is not None
        assert worker.stdin is not None
        assert worker.stdout is not None
        in_time = threading.Timer(self._patience, worker.kill)
        in_time.daemon = True
        in_time.start()
        try:
            worker.stdin.write(base64.b64encode(pickle.dumps(question)).decode() + "\n")
            worker.stdin.flush()
            return result_from(json.loads(worker.stdout.readline()))
        except (OSError, ValueError, TypeError, KeyError):
            self._end()
            says = (
                f"The process that checked it ended (status {worker.returncode}), or did not "
                f"answer in {self._patience:g} seconds."
            )
            return without_report(question["name"], UNDONE, says)
        finally:
            in_time.cancel()

    def _started(self) -> subprocess.Popen[str]:
        with self._lock:
            if self._stopped:
                raise ChildProcessError(None, "the run was stopped", "worker")
            if self._worker is None:
                self._worker = subprocess.Popen(
                    [sys.executable, "-c", _START % __package__, str(ROOT)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    encoding="ascii",
                    env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                )
            return self._worker

    def _end(self) -> None:
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is None:
            return
        for stream in (worker.stdin, worker.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        worker.kill()
        worker.wait()
