"""Gradients held against oracles: the complex step, and differences."""

from .check import check_gradients
from .verdicts import CheckedDerivative, GradientCheck, GradientMismatch, NotCheckable

__all__ = [
    "CheckedDerivative",
    "GradientCheck",
    "GradientMismatch",
    "NotCheckable",
    "check_gradients",
]
