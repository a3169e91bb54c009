"""Checks of gradients: against oracles, against one another, and for the mistake that was made."""

from .comparison import Comparison, LayerComparison, compare
from .diagnosis import assert_gradients_close, diagnose
from .gradients import (
    CheckedDerivative,
    GradientCheck,
    GradientMismatch,
    NotCheckable,
    check_gradients,
)
from .problem import Problem, probe
from .report import Alternative, Convention, Finding, Report
from .step import diagnose_step

__all__ = [
    "Alternative",
    "CheckedDerivative",
    "Comparison",
    "Convention",
    "Finding",
    "GradientCheck",
    "GradientMismatch",
    "LayerComparison",
    "NotCheckable",
    "Problem",
    "Report",
    "assert_gradients_close",
    "check_gradients",
    "compare",
    "diagnose",
    "diagnose_step",
    "probe",
]
