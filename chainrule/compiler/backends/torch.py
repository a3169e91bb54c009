"""PyTorch: functions run as they are, without recording anything for its autograd."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from ..addresses import AnyArray
from ..printers.arrays.spelling import TORCH
from .library import Library, imported


class TorchLibrary(Library):
    """PyTorch, on its default device or on one that is given."""

    name, title, install, spelling = "torch", "PyTorch", "'chainrule[torch]'", TORCH

    def __init__(self, precision: str = "float64", device: Any = None):
        torch = imported("torch", ("torch",), self.title, self.install)
        device = torch.get_default_device() if device is None else device
        super().__init__(torch, precision, device)

    def check_device(self) -> None:
        try:
            self.device = self.xp.device(self.device)
            self.xp.zeros(1, device=self.device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            first = str(error).partition("\n")[0]
            raise ValueError(f"compile: device={str(self.device)!r}: {first}") from None

    def is_own(self, x: Any) -> bool:
        return isinstance(x, self.xp.Tensor)

    def array(self, x: Any) -> Any:
        numbers = np.array(x, dtype=float)  # a copy: PyTorch has no negative strides
        return self.xp.tensor(numbers, dtype=self.dtype, device=self.device)

    def cast(self, x: Any) -> Any:
        return x.detach().to(dtype=self.dtype, device=self.device)

    def numpy(self, x: Any) -> AnyArray:
        found: AnyArray = x.detach().cpu().numpy().astype(float)
        return found

    def running(self) -> contextlib.AbstractContextManager[Any]:
        return self.xp.no_grad()  # type: ignore[no-any-return]
