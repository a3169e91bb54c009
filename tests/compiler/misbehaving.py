"""An operation that a worker computes badly: the number says how.

It is in a module of its own because a worker has to define it too, before it is sent a program.
"""

import os
import time

import numpy as np

import chainrule as cr

RAISES, DIES, NAPS = 1e6, 2e6, 3e6
NAP = 3.0  # seconds


def _array(x):
    largest = np.max(x, initial=0.0)
    if largest == RAISES:
        raise ArithmeticError("it was asked to raise")
    if largest == DIES:
        os._exit(3)
    if largest == NAPS:
        time.sleep(NAP)
    return x * 2.0


doubled = cr.primitive("misbehaves", lambda x: x * 2.0, (2.0,), array=_array)


def define():
    """Let a worker import this module, which is all it takes."""
