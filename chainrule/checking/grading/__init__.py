"""A class: every submission diagnosed, in parallel, and what they have in common."""

from .classes import ClassReport, grade
from .results import Count, Found, Group, Result

__all__ = ["ClassReport", "Count", "Found", "Group", "Result", "grade"]
