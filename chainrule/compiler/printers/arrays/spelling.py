"""How each array library spells the words, and the functions that the rows of the table are.

A word that a library has no entry for is spelled as in :mod:`.words`, and a function as ``xp.`` and
NumPy's name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import words

DEFAULTS: dict[str, Callable[..., Any]] = {
    name: x for name, x in vars(words).items() if inspect.isfunction(x)
}
"""The words in NumPy."""


_REMAINDER = "xp.copysign(xp.remainder({0}, {1}), {1})"  # whose zeros have not always b's sign


@dataclass(frozen=True)
class Spelling:
    """One library: what stands at the head of a program, its words, and its functions."""

    head: str
    """The imports, of which one gives ``xp``."""
    words: Mapping[str, str] = field(default_factory=dict)
    """What a word returns, by its name and arguments."""
    functions: Mapping[str, str] = field(default_factory=dict)
    """Templates in the arguments, by the name of a row's function in NumPy."""
    zero: str = "{0} + 0.0"
    """A number plus 0.0, which makes a negative zero positive."""
    quotient: str = ""
    """A quotient that is divided again, if the library would divide by the product."""
    device: bool = False
    """Whether arrays are made on a device that has to be named."""


_STANDARD = {
    "number(condition)": "xp.astype(condition, dtype)",
    "whole(x)": "xp.astype(x, xp.int64)",
    "concat(parts, axis)": "xp.concat(parts, axis=axis)",
    "cumulative(x)": "xp.cumulative_sum(x, axis=-1)",
    "transposed(x)": "xp.matrix_transpose(x)",
    "permuted(x, order)": "xp.permute_dims(x, order)",
}
STANDARD = Spelling(
    "import math\n\nimport {module} as xp\nimport numpy as np",
    _STANDARD,
    {
        **{f"arc{name}": f"xp.a{name}({{0}})" for name in ("sin", "cos", "tan")},
        **{f"arc{name}": f"xp.a{name}({{0}})" for name in ("sinh", "cosh", "tanh")},
        "arctan2": "xp.atan2({0}, {1})",
        "absolute": "xp.abs({0})",
        "exp2": "2.0 ** ({0})",
        "cbrt": "real_cbrt({0})",
        "erf": "xp.asarray(np.vectorize(math.erf, otypes=[float])(np.asarray({0})))",
        "erfc": "xp.asarray(np.vectorize(math.erfc, otypes=[float])(np.asarray({0})))",
        "relu": "xp.maximum({0}, 0.0) + 0.0",
    },
)
"""Any module that follows the array API standard, whose name is put in."""
NUMPY = Spelling(
    "import math\n\nimport numpy as xp",
    {},
    {
        "erf": "xp.vectorize(math.erf, otypes=[float])({0})",
        "erfc": "xp.vectorize(math.erfc, otypes=[float])({0})",
        "relu": "xp.maximum({0}, 0.0) + 0.0",
    },
)
CUPY = Spelling(
    "import cupy as xp\nimport cupyx.scipy.special as special",
    {},
    {
        "erf": "special.erf({0})",
        "erfc": "special.erfc({0})",
        "relu": "xp.maximum({0}, 0.0) + 0.0",
    },
)
JAX = Spelling(
    "import jax\nimport jax.numpy as xp",
    {
        # A choice: XLA takes the product with a condition for one, and drops nan and infinities.
        "number(condition)": "xp.where(condition, full((), 1.0), 0.0)",
        "segment_sum(x, owner, padded)": "xp.moveaxis(jax.ops.segment_sum("
        "xp.moveaxis(x, -1, 0), owner, padded.shape[0], indices_are_sorted=True), 0, -1)",
        "scan(step, carry, xs, length)": "jax.lax.scan(step, carry, xs, length)",
        "spread(rows, delta, count)": "full((count, delta.shape[-1]), 0.0).at[rows].add(delta)",
    },
    {
        "erf": "jax.scipy.special.erf({0})",
        "exp2": "2.0 ** ({0})",
        "erfc": "jax.scipy.special.erfc({0})",
        "remainder": _REMAINDER,
        "relu": "positive(xp.maximum({0}, 0.0))",
    },
    # XLA takes x + 0.0 for x, and a / b / c for a / (b c), which may overflow.
    zero="positive({0})",
    quotient="jax.lax.optimization_barrier({0})",
)
TORCH = Spelling(
    "import torch as xp",
    {
        "full(shape, x)": "xp.full(shape, x, dtype=dtype, device=device)",
        "constant(numbers)": "xp.asarray(numbers, dtype=dtype, device=device)",
        "indices(numbers)": "xp.asarray(numbers, dtype=xp.int64, device=device)",
        "counting(n)": "xp.arange(n, dtype=dtype, device=device)",
        "number(condition)": "condition.to(dtype)",
        "whole(x)": "x.to(xp.int64)",
        "concat(parts, axis)": "xp.cat(parts, dim=axis)",
        "take(x, index, axis=-1)": "xp.index_select(x, axis, index)",
        "total(x, axis, keep=False)": "xp.sum(x, dim=axis, keepdim=keep)",
        "largest(x)": "xp.amax(x, dim=-1, keepdim=True)",
        "smallest(x)": "xp.amin(x, dim=-1, keepdim=True)",
        "cumulative(x)": "xp.cumsum(x, dim=-1)",
        "turned(x, axis=-1)": "xp.flip(x, (axis,))",
        "transposed(x)": "xp.transpose(x, -1, -2)",
        "permuted(x, order)": "xp.permute(x, order)",
        "together(xs)": "xp.broadcast_tensors(*xs)",
        "segment_sum(x, owner, padded)": "full((*x.shape[:-1], padded.shape[0]), 0.0)"
        ".index_add(-1, owner, x)",
        "spread(rows, delta, count)": "full((count, delta.shape[-1]), 0.0)"
        ".index_add(0, rows, delta)",
    },
    {
        "erf": "xp.special.erf({0})",
        "erfc": "xp.special.erfc({0})",
        "cbrt": "real_cbrt({0})",
        "remainder": _REMAINDER,
        "relu": "xp.clamp({0}, min=0.0) + 0.0",
    },
    device=True,
)
SPELLINGS = {"numpy": NUMPY, "jax": JAX, "torch": TORCH, "cupy": CUPY}
