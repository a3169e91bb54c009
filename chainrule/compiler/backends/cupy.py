"""CuPy: NumPy's interface on a GPU."""

from __future__ import annotations

from typing import Any

from ..addresses import AnyArray
from ..printers.arrays.spelling import CUPY
from .library import Library, imported


class CuPyLibrary(Library):
    """CuPy, on its current device."""

    name, title, install, spelling = "cupy", "CuPy", "cupy-cuda12x, or as its page says", CUPY

    def __init__(self, precision: str = "float64", device: Any = None):
        modules = ("cupy", "cupyx.scipy.special")
        super().__init__(imported("cupy", modules, self.title, self.install), precision, device)

    def is_own(self, x: Any) -> bool:
        return isinstance(x, self.xp.ndarray)

    def cast(self, x: Any) -> Any:
        return x.astype(self.dtype, copy=False)

    def numpy(self, x: Any) -> AnyArray:
        found: AnyArray = self.xp.asnumpy(x).astype(float)
        return found
