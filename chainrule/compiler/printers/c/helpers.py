"""Functions in C of indices of rows, and which function a step calls for the numbers in a row."""

from __future__ import annotations

HELPERS = {
    "is_row": """\
/* Is x a whole number from 0 to count - 1? */
static int
is_row(@real x, int count)
{
    return x >= 0.0@ && x < (@real)count && x == floor@(x);
}
""",
    "take": """\
/* The entry x[0] of the numbers that follow; NAN if there is none. */
static @real
take(const @real *x, int n, @real *unused)
{
    (void)unused;
    return is_row(x[0], n - 1) ? x[1 + (int)x[0]] : NAN;
}
""",
}
HELPERS_NEED = {"take": "is_row"}
ALONG = {
    "softmax": "k_shares",
    "logsumexp_slopes": "slopes",
    "surprisals": "surprisals",
    "softmax_minus": "softmax_minus",
    "softmax_pullback": "softmax_pullback",
    "segment_sum": "k_sum",
    "maximum": "k_maximum",
    "minimum": "k_minimum",
    "logsumexp": "k_logsumexp",
    "cross_entropy": "k_soft_cross_entropy",
}
"""The functions of numbers in a row, by the codes of steps."""
