"""What of a thing is called: whether it is a program, its likeliest method, its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from .layer_objects import Chain
from .names import BACKWARD, LOSSES, STEP, gradient_of, plain, sounds_like_gradients


def main_method(made: Any) -> str:
    """Return the name of the method to call, "" if there is none."""
    return next(iter(methods_of(made)), "")


def methods_of(made: Any) -> list[str]:
    """Return the names of methods that may compute gradients or change weights, likeliest first."""
    there = {plain(name): name for name in dir(made) if not name.startswith("__")}
    likely = [plain(name) for name in there.values() if sounds_like_gradients(name)]
    # A method called loss may return gradients too, but hardly where another is called for them.
    order = [*BACKWARD[: -len(LOSSES)], *likely, *LOSSES, *STEP]
    wanted = [there.get(plain(name), "") for name in order]
    wanted += [name for name in there.values() if _names_gradients(get(made, name))]
    return list(dict.fromkeys(
        name for name in wanted
        if name and callable(get(made, name)) and not _is_a_loss(made, name)
    ))  # fmt: skip


def _names_gradients(function: Any) -> bool:
    """Whether a function has variables that are called dW1, grad_b or delta_weights."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    names = getattr(code, "co_varnames", ())
    return any(gradient_of(name) is not None for name in names)


def _is_a_loss(made: Any, name: str) -> bool:
    """Whether an object was merely given a loss to use: that is not a method of its own."""
    own = made if isinstance(made, (type, ModuleType)) else type(made)
    return plain(name) in ("loss", "costfunction", "grad", "gradient") and not hasattr(own, name)


def get(made: Any, name: str, otherwise: Mapping[str, Any] = {}) -> Any:
    """Return an attribute, else what *otherwise* has; a property of theirs may raise anything."""
    try:
        return getattr(made, name) if hasattr(made, name) else otherwise.get(name)
    except Exception:
        return None


def is_function(made: Any) -> bool:
    """Whether *made* is called itself, not a method of it."""
    if isinstance(made, (type, ModuleType, Chain)):
        return False
    if not callable(made):
        return False
    if inspect.isroutine(made) or not main_method(made):
        return True
    try:
        inspect.signature(made).bind("thetas", "X", "Y", "lam")
    except (TypeError, ValueError):
        return False
    return True


def is_program(made: Any) -> bool:
    """Whether *made* is something to call, not the arrays that a call returned."""
    if isinstance(made, (np.ndarray, Mapping, str, bytes)) or made is None:
        return False
    if isinstance(made, tuple) and len(made) == 2 and all(map(callable, made)):
        return True
    if isinstance(made, (list, tuple)):
        return isinstance(made, list) and bool(made) and all(map(is_layer, made))
    if callable(made):
        return True
    own = type(made).__module__ not in ("builtins", "numpy", "torch")
    return own and not hasattr(made, "__array__") and bool(main_method(made))


def is_layer(made: Any) -> bool:
    """Whether *made* passes forward and backward."""
    return hasattr(made, "forward") and hasattr(made, "backward")


def signature_of(function: Any) -> list[inspect.Parameter]:
    """Return the parameters of *function* in order; none if nobody can say."""
    try:
        return list(inspect.signature(function).parameters.values())
    except Exception:  # TypeError and ValueError, or what a __signature__ of their own raises
        return []


def has_signature(function: Any) -> bool:
    """Whether it is known which arguments *function* takes."""
    try:
        inspect.signature(function)
    except Exception:
        return False
    return True


def parameters_of(function: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of *function* by name; none if nobody can say."""
    return {one.name: one for one in signature_of(function)}
