"""Checks of gradients: against independent oracles, and of one gradient against another."""

from .comparison import Comparison, LayerComparison, compare
from .gradients import (
    CheckedDerivative,
    GradientCheck,
    GradientMismatch,
    NotCheckable,
    check_gradients,
)

__all__ = [
    "CheckedDerivative",
    "Comparison",
    "GradientCheck",
    "GradientMismatch",
    "LayerComparison",
    "NotCheckable",
    "check_gradients",
    "compare",
]
