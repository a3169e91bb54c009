"""The functions that users call, re-exported from the table: a row listed here is public.

Each is ``chainrule.<name>``; functions of one argument are methods of a Value too, also under
NumPy's name.
"""

from .table import rows as _rows

# isort: off
from .table.rows import (
    acos as acos,
    acosh as acosh,
    asin as asin,
    asinh as asinh,
    atan as atan,
    atan2 as atan2,
    atanh as atanh,
    cbrt as cbrt,
    cos as cos,
    cosh as cosh,
    equal as equal,
    erf as erf,
    erfc as erfc,
    exp as exp,
    exp2 as exp2,
    expm1 as expm1,
    gelu as gelu,
    hypot as hypot,
    leaky_relu as leaky_relu,
    less as less,
    less_equal as less_equal,
    log as log,
    log1p as log1p,
    log2 as log2,
    log10 as log10,
    logaddexp as logaddexp,
    logsigmoid as logsigmoid,
    maximum as maximum,
    minimum as minimum,
    relu as relu,
    sigmoid as sigmoid,
    sign as sign,
    silu as silu,
    sin as sin,
    sinh as sinh,
    softplus as softplus,
    sqrt as sqrt,
    square as square,
    step as step,
    tan as tan,
    tanh as tanh,
    where as where,
)

abs = _rows.absolute
