"""Functions in C that no row of the table has: the careful forms, and indices of rows."""

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
    "slopes": """\
/* The derivatives of logsumexp: the softmax, but 0 where all is -INFINITY. */
static void
slopes(const @real *z, int n, @real *result)
{
    if (k_maximum(z, n, NULL) == -INFINITY) {
        all_equal(0.0@, n, result);
    }
    else {
        k_shares(z, n, result);
    }
}
""",
    "surprisals": """\
/* Minus the logarithm of the softmax. */
static void
surprisals(const @real *z, int n, @real *result)
{
    @real top = k_maximum(z, n, NULL);
    @real of_top = is_none(top) ? NAN : surprisal_of_top(z, n, top);
    for (int i = 0; i < n; i++) {
        result[i] = below(z[i], top) + of_top;
    }
}
""",
    "softmax_minus": """\
/* softmax(z) - y, with all digits also where both are almost 1. */
static void
softmax_minus(const @real *z, const @real *y, int n, @real *result)
{
    @real rest = 0.0@, total = 0.0@;
    k_shares(z, n, result);
    for (int i = 0; i < n; i++) {
        rest = rest + (result[i] > 0.9@ ? 0.0@ : result[i]);
        total = total + y[i];
    }
    for (int i = 0; i < n; i++) {
        @real p = result[i];
        result[i] = p > 0.9@ ? (total - y[i]) * p - y[i] * rest : p * total - y[i];
    }
}
""",
}
HELPERS_NEED = {
    "take": "is_row",
    "slopes": "all_equal k_maximum k_shares",
    "surprisals": "below is_none k_maximum surprisal_of_top",
    "softmax_minus": "k_shares",
}
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
