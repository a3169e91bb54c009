"""The former home of the table, which is now :mod:`chainrule.engine.table`."""

from .table import *  # noqa: F403
from .table import BUILT_IN as _built_in  # noqa: F401, N811
