"""A lock that a fork does not leave locked."""

import os

import pytest

from .. import children

HELD_AT_A_FORK = """
import os, sys
from chainrule.engine.locks import Lock

lock = Lock()
with lock:
    child = os.fork()
    if child == 0:
        with lock:  # which somebody in the parent holds
            os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_child_does_not_wait_for_a_thread_of_its_parent():
    children.printed("-c", HELD_AT_A_FORK, seconds=60)
