"""Whether a callable can be called with so many arguments, as far as Python can tell."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any


def takes(function: Callable[..., Any], count: int) -> bool:
    """Return False if *function* certainly cannot be called with *count* arguments.

    >>> takes(lambda x, y: x, 2), takes(lambda x: x, 2), takes(lambda *args: 0, 2), takes(max, 2)
    (True, False, True, True)
    """
    if type(function) is FunctionType:  # nearly always, and a signature costs 10 microseconds
        code = function.__code__
        if code.co_argcount == count and not code.co_kwonlyargcount:
            return True
    try:
        signature = inspect.signature(function)
    except Exception:  # a builtin has none, and a __signature__ of their own may raise anything
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
