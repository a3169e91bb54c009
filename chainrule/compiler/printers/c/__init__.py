"""Plans as C99: one file that needs nothing but libm, for a microcontroller or any other program.

Every step of a plan becomes a loop over the numbers of one example; the gradient goes over the
examples of a batch.  Arrays have the sizes that the plan says, so nothing is allocated.  Kernels of
rows are those of the C core, printed from the table; only those that are called are printed.

In the text as it is made, ``@real`` stands for the type of the numbers, and every other ``@`` for
the ``f`` that constants and functions of that type have in C, if it is float.
"""

from .file import PRECISIONS, write
from .names import identifier
from .shared import Signature

__all__ = ["PRECISIONS", "Signature", "identifier", "write"]
