"""Random numbers that are the same again, for a program that draws its weights in each call."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

_SEED = 5


@contextlib.contextmanager
def drawn_alike() -> Iterator[None]:
    """Let whatever is drawn inside be the same each time, unless the program says otherwise."""
    states = random.getstate(), np.random.get_state()
    fresh = np.random.default_rng

    def seeded(seed: Any = None) -> np.random.Generator:
        return fresh(_SEED if seed is None else seed)

    random.seed(_SEED)
    np.random.seed(_SEED)
    np.random.default_rng = seeded
    try:
        yield
    finally:
        np.random.default_rng = fresh
        random.setstate(states[0])
        np.random.set_state(states[1])
