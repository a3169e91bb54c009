"""The compiled module ``_core``, or None if it was not built or is switched off.

``CHAINRULE_NO_EXTENSIONS=1`` switches it off.  The table of primitives, the modes and the sweeps
look here for what C can do for them; ``backend`` decides which ``Value`` this process uses.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any


def _load() -> Any:
    if os.environ.get("CHAINRULE_NO_EXTENSIONS", "") not in ("", "0"):
        return None
    try:
        return importlib.import_module("._core", __name__)
    except ImportError:  # no compiler when it was installed, or another interpreter's
        if _buildable():
            warnings.warn(
                "chainrule runs in pure Python here, some fifty times slower than in C: the C "
                "core was not built at installation. Install a C compiler and reinstall chainrule, "
                "or set CHAINRULE_NO_EXTENSIONS=1 if pure Python is what you want.",
                RuntimeWarning,
                stacklevel=2,
            )
        return None


def _buildable() -> bool:
    """Return whether the C core can be built for this interpreter."""
    import sysconfig

    return (
        sys.implementation.name == "cpython"
        and sys.platform not in ("emscripten", "wasi")
        and not sysconfig.get_config_var("Py_GIL_DISABLED")
    )


core: Any = _load()


if TYPE_CHECKING or core is None:

    class Row:
        """What the class of the table's rows is derived from: a call asks ``applied``."""

        __slots__ = ()

        applied: Any

        def __init_subclass__(cls) -> None:
            super().__init_subclass__()
            cls.__call__ = cls.applied  # type: ignore[method-assign]

else:
    Row = core.Row  # which asks a kernel first
