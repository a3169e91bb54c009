"""The array libraries that the tests of this folder ask, as far as they are installed."""

import sys
import types

import numpy as np
import pytest

NEEDS = {  # what has to be installed, and what is not tested without it
    "jax": "JAX is not installed: pip install 'chainrule[jax]'",
    "torch": "PyTorch is not installed: pip install 'chainrule[torch]'",
    "array_api_strict": "array-api-strict is not installed, which keeps the printer honest",
}
ALL = ("numpy", "cupy", "array_api_strict", "torch", "jax")


def backend(name, monkeypatch):
    """Return what ``cr.compile`` takes as backend; skip if the library is not there.

    There is no GPU here: NumPy stands in for CuPy, under its name.
    """
    if name in NEEDS:
        module = pytest.importorskip(name, reason=NEEDS[name])
        return module if name == "array_api_strict" else name
    if name == "cupy":
        stand_in_for_cupy(monkeypatch)
    return name


def stand_in_for_cupy(monkeypatch):
    """Let NumPy, and the error function of the standard library, be imported as CuPy."""
    import math

    cupy = types.ModuleType("cupy")
    cupy.__dict__.update({k: x for k, x in vars(np).items() if not k.startswith("__")})
    cupy.asnumpy = np.asarray
    special = types.ModuleType("cupyx.scipy.special")
    special.erf = np.vectorize(math.erf, otypes=[float])
    special.erfc = np.vectorize(math.erfc, otypes=[float])
    scipy = types.ModuleType("cupyx.scipy")
    scipy.special = special
    cupyx = types.ModuleType("cupyx")
    cupyx.scipy = scipy
    for module in (cupy, cupyx, scipy, special):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def numpy_of(x):
    """Return an array of any library as one of NumPy."""
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
