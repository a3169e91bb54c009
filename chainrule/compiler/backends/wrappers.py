"""A compiled function as a differentiable part of a model in PyTorch or JAX.

The derivatives are ours: see :mod:`.model_parts`.  What runs is the machine in C, called back by
the library; or, for a function that was compiled for this very library, its printed program, which
the library traces and runs where its arrays are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..compiled import Compiled
from .compiled import CompiledForLibrary
from .library import imported
from .model_parts import LibraryPart, NativePart


def part_of(compiled: Compiled, backend: str) -> NativePart | LibraryPart:
    """Return *compiled* as a part of a model; TypeError if it is compiled for another library."""
    if not isinstance(compiled, CompiledForLibrary):
        return NativePart(compiled)
    if compiled.library.name != backend:
        raise TypeError(
            f"{backend}_function: {compiled!r} is compiled for {compiled.library.module}; compile "
            f"it with backend={backend!r}, or without backend for the machine"
        )
    return LibraryPart(compiled)


# --- PyTorch -------------------------------------------------------------------------------------


def torch_function(compiled: Compiled) -> Callable[..., Any]:
    """Return *compiled* as a function of tensors: see :meth:`.Compiled.torch_function`."""
    torch = imported("torch", ("torch",), "PyTorch", "'chainrule[torch]'")
    part: Any = part_of(compiled, "torch")
    native = isinstance(part, NativePart)

    def given(x: Any) -> Any:
        if native:
            return x.detach().cpu().numpy().astype(float)
        return part.compiled.library.cast(x)

    def handed(x: Any, like: Any) -> Any:
        if native:
            x = torch.from_numpy(np.ascontiguousarray(x))
        return x.to(dtype=like.dtype, device=like.device)

    class Function(torch.autograd.Function):  # type: ignore[misc, name-defined]
        """The function and its pullback, for PyTorch's autograd."""

        @staticmethod
        def forward(ctx: Any, theta: Any, *arrays: Any) -> Any:
            ctx.save_for_backward(theta, *arrays)
            found = part.forward(given(theta), [given(x) for x in arrays])
            return handed(found, arrays[0])

        @staticmethod
        def backward(ctx: Any, weights: Any) -> Any:
            if native and torch.is_grad_enabled():
                raise RuntimeError(
                    f"a derivative of {compiled!r} by the machine cannot be differentiated again "
                    "by PyTorch; compile it with backend='torch'"
                )
            theta, *arrays = ctx.saved_tensors
            needed = ctx.needs_input_grad
            by = tuple(i for i, need in enumerate(needed[1:]) if need)
            if native:
                theta_, batch = given(theta), [given(x) for x in arrays]
                along = given(weights)
            else:  # as they are: PyTorch may differentiate what is computed here
                theta_, batch, along = theta, arrays, weights
            slopes: list[Any] = [None] * len(needed)
            if needed[0]:
                slopes[0] = handed(part.slope(theta_, batch, along), theta)
            if by:
                found = part.pull(theta_, batch, along, by)
                for i, slope in zip(by, found, strict=True):
                    slopes[1 + i] = handed(slope, arrays[i])
            return tuple(slopes)

    @functools.wraps(compiled.function)  # type: ignore[arg-type]
    def function(*arrays: Any, parameters: Any = None) -> Any:
        for x in arrays:
            if not isinstance(x, torch.Tensor):
                raise TypeError(
                    f"torch_function: an argument is {type(x).__name__}; expected tensors, whose "
                    "first axis counts the examples"
                )
        compiled.check_arguments(arrays)
        if parameters is None:
            part.recorded([tuple(x.shape) for x in arrays])
            parameters = torch.tensor(
                part.parameters(), dtype=arrays[0].dtype, device=arrays[0].device
            )
        return Function.apply(parameters, *arrays)

    del function.__wrapped__
    return function


# --- JAX -----------------------------------------------------------------------------------------


def jax_function(compiled: Compiled) -> Callable[..., Any]:
    """Return *compiled* as a function of JAX arrays: see :meth:`.Compiled.jax_function`."""
    jax = imported("jax", ("jax", "jax.numpy"), "JAX", "'chainrule[jax]'")
    part = part_of(compiled, "jax")
    forward: Callable[..., Any]
    if isinstance(part, LibraryPart):
        forward, pull, slope = part.forward, part.pull, part.slope
    else:
        forward, pull, slope = _called_back(jax, part)

    @jax.custom_vjp  # type: ignore[untyped-decorator]
    def function(theta: Any, arrays: Any) -> Any:
        return forward(theta, arrays)

    def ahead(theta: Any, arrays: Any) -> Any:
        return forward(theta, arrays), (theta, arrays)

    def back(kept: Any, weights: Any) -> Any:
        theta, arrays = kept
        by = tuple(range(len(arrays)))
        return slope(theta, arrays, weights), tuple(pull(theta, arrays, weights, by))

    function.defvjp(ahead, back)
    precision = getattr(getattr(compiled, "library", None), "precision", None)

    @functools.wraps(compiled.function)  # type: ignore[arg-type]
    def called(*arrays: Any, parameters: Any = None) -> Any:
        batch = tuple([jax.numpy.asarray(x) for x in arrays])
        for x in batch:
            if precision is not None and str(x.dtype) != precision:
                raise TypeError(
                    f"jax_function: an argument is an array of {x.dtype}, and the function is "
                    f"compiled for {precision}; compile it with dtype={str(x.dtype)!r}, or call it "
                    "with jax.enable_x64(True)"
                )
        compiled.check_arguments(batch)
        if parameters is None:
            part.recorded([x.shape for x in batch])
            parameters = jax.numpy.asarray(part.parameters(), dtype=batch[0].dtype)
        return function(parameters, batch)

    del called.__wrapped__
    return called


def _called_back(jax: Any, part: NativePart) -> tuple[Any, Any, Any]:
    """Return what *part* does as functions that JAX can trace: it calls the machine back."""

    def numbers(x: Any) -> Any:
        return np.asarray(x).astype(float)

    def back(function: Callable[..., Any], like: Any, *args: Any) -> Any:
        def there(*args: Any) -> Any:
            found = function(*jax.tree_util.tree_map(numbers, args))
            return jax.tree_util.tree_map(lambda x, y: np.asarray(x, y.dtype), found, like)

        return jax.pure_callback(there, like, *args, vmap_method="sequential")

    def like(x: Any, shape: Any = None) -> Any:
        return jax.ShapeDtypeStruct(x.shape if shape is None else shape, x.dtype)

    def forward(theta: Any, arrays: Any) -> Any:
        shape = (arrays[0].shape[0], *part.result_shape([x.shape for x in arrays]))
        return back(part.forward, like(arrays[0], shape), theta, arrays)

    def pull(theta: Any, arrays: Any, weights: Any, by: tuple[int, ...]) -> Any:
        found = tuple(like(arrays[i]) for i in by)

        def pulled(*args: Any) -> Any:
            theta, arrays, weights = args
            return tuple(part.pull(theta, arrays, weights, by))

        return back(pulled, found, theta, arrays, weights)

    def slope(theta: Any, arrays: Any, weights: Any) -> Any:
        return back(part.slope, like(theta), theta, arrays, weights)

    return forward, pull, slope
