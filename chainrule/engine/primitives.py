"""The former home of the table, which is now :mod:`chainrule.engine.table`."""

from .table import *  # noqa: F403
