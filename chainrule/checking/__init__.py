"""Checks of gradients: against oracles, against one another, and for the mistake that was made."""

from .comparison import Comparison, LayerComparison, compare
from .diagnosis.diagnose import assert_gradients_close, diagnose
from .diagnosis.published_step import diagnose_step
from .diagnosis.reporting import (
    Alternative,
    Convention,
    Finding,
    Limited,
    Part,
    PartFinding,
    PartsReport,
    Report,
)
from .engines import check_engine
from .gradients import (
    CheckedDerivative,
    GradientCheck,
    GradientMismatch,
    NotCheckable,
    check_gradients,
)
from .grading import ClassReport, Result, grade
from .layers import check_layer
from .problem import Problem, probe

__all__ = [
    "Alternative",
    "CheckedDerivative",
    "ClassReport",
    "Comparison",
    "Convention",
    "Finding",
    "GradientCheck",
    "GradientMismatch",
    "LayerComparison",
    "Limited",
    "NotCheckable",
    "Part",
    "PartFinding",
    "PartsReport",
    "Problem",
    "Report",
    "Result",
    "assert_gradients_close",
    "check_engine",
    "check_gradients",
    "check_layer",
    "compare",
    "diagnose",
    "diagnose_step",
    "grade",
    "probe",
]
