"""The table of primitives: what a row is, and the rows.

It imports nothing of the package but the base that the C core gives the rows' class.

==================  ========================================================================
``primitive.py``    what a row is, how it is called, and how it is found by its name
``definitions.py``  how a row is defined, and what its definition is checked for
``alike.py``        whether two rows of one name are the same
``floats.py``       the real line with IEEE answers, where Python's own arithmetic raises
``arrays.py``       the same on NumPy arrays, where NumPy has no function of that name
``analytic.py``     the same on complex numbers near the real axis
``given.py``        rows without formulas, of nodes whose numbers are given
``rows.py``         the table
==================  ========================================================================
"""

from .definitions import primitive as primitive
from .given import ADVICE as ADVICE
from .given import given_row as given_row
from .given import is_given as is_given
from .primitive import BUILT_IN as BUILT_IN
from .primitive import TABLE as TABLE
from .primitive import Primitive as Primitive
from .primitive import as_float as as_float
from .primitive import call_template as call_template
from .primitive import named as named
from .primitive import position_of as position_of
from .primitive import unlisted as unlisted
from .rows import *  # noqa: F403 (every row by its Python name; rows.py is the list of them)
