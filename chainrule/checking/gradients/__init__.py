"""Gradients held against oracles: the complex step, and differences."""

from .check import (
    CheckedDerivative,
    GradientCheck,
    GradientMismatch,
    NotCheckable,
    check_gradients,
)

__all__ = [
    "CheckedDerivative",
    "GradientCheck",
    "GradientMismatch",
    "NotCheckable",
    "check_gradients",
]
