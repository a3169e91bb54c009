"""The compiled module ``_native``, or None where it was not built or is switched off.

``CHAINRULE_NO_EXTENSIONS=1`` switches it off.  The table of primitives, the modes and the sweeps
ask here for what C can do for them; which ``Value`` that makes is decided in ``backend``.
"""

from __future__ import annotations

import importlib
import os
from typing import Any


def _load() -> Any:
    if os.environ.get("CHAINRULE_NO_EXTENSIONS", "") not in ("", "0"):
        return None
    try:
        return importlib.import_module("._native", __package__)
    except ImportError:  # no compiler when it was installed, or another interpreter's
        return None


native: Any = _load()
