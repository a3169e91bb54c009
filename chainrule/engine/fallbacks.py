"""What the C core asks Python where it does not know better, by the names in native/names.h."""

from __future__ import annotations

import numpy as np

from .admission import (
    GIVEN,
    as_operand,
    checked_grad,
    checked_label,
    coerced,
    leaf_data,
    node_contents,
    refuse_row,
    refuse_write,
)
from .anomalies import observe, watch_backward
from .attributes import give_attribute
from .table import as_float
from .ufuncs import UFUNCS, array_ufunc
from .value import comparable, evaluate

FLOAT64 = np.float64

__all__ = [
    "FLOAT64",
    "GIVEN",
    "UFUNCS",
    "array_ufunc",
    "as_float",
    "as_operand",
    "checked_grad",
    "checked_label",
    "coerced",
    "comparable",
    "evaluate",
    "give_attribute",
    "leaf_data",
    "node_contents",
    "observe",
    "refuse_row",
    "refuse_write",
    "watch_backward",
]
