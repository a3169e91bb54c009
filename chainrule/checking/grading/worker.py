"""One of the processes that grade: reads what to check, a line at a time, and answers with results.

It is a process of its own, so that a submission whose check takes it along costs no other. When
whoever asks has ended, so does this process; and with it, by ``running.guard``, what the submission
has started.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ..diagnosis.running.process import apart
from ..handed_in import report_on
from .results import UNDONE, Result, result_of, without_report


def main() -> None:
    """Answer each line of standard input with one of standard output."""
    # Ctrl-C reaches the whole group; it is for the one who asked to say what becomes of this.
    signal.signal(signal.SIGINT, lambda *_: None)
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    questions: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(questions,), daemon=True).start()
    while True:
        asked = pickle.loads(base64.b64decode(questions.get()))
        answers.write(json.dumps(checked(asked).plain_data(), allow_nan=False) + "\n")
        answers.flush()


def _read(questions: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        questions.put(line)
    os._exit(0)  # nobody asks any more: what is being checked is of use to nobody


def checked(asked: dict[str, Any]) -> Result:
    """Return the result of one submission."""
    start = time.monotonic()
    try:
        with apart(map(Path, asked["hidden"]), map(Path, asked["shown"])):
            report = report_on(asked["path"], **asked["options"])
    except (OSError, TypeError, ValueError) as error:
        return without_report(asked["name"], UNDONE, f"{type(error).__name__}: {error}")
    return result_of(asked["name"], asked["target"], report, time.monotonic() - start)
