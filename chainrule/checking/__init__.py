"""Checks of gradients: against oracles, against one another, and for the mistake that was made."""

from .comparison import Comparison, LayerComparison, compare
from .diagnosis.diagnose import assert_gradients_close, diagnose
from .diagnosis.published_step import diagnose_step
from .diagnosis.reporting import Alternative, Convention, Finding, Report
from .gradients import (
    CheckedDerivative,
    GradientCheck,
    GradientMismatch,
    NotCheckable,
    check_gradients,
)
from .problem import Problem, probe

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
