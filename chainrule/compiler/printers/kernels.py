"""The kernels of the C core, for printed programs.

Made by ``python tools/kernels.py`` from the rows of the table, which explain it, from the rows of
any number of arguments in kernels.h, and from forms in the machine's careful.h.  ``@real`` stands
for the type of the numbers, and every other ``@`` for what C adds to a constant, or to a function
of libm, that is of this type.
"""

from __future__ import annotations

FORMULAS = {
    "signed_log1p": """\
static @real signed_log1p(@real x) { return x == 0.0@ ? x : log1p@(x); }
""",
    "k_sum": """\
static @real
k_sum(const @real *x, int n, @real *unused)
{
    (void)unused;
    @real total = x[0];
    for (int i = 1; i < n; i++) {
        total = total + x[i];
    }
    return total;
}
""",
    "k_mean": """\
static @real
k_mean(const @real *x, int n, @real *unused)
{
    return k_sum(x, n, unused) / (@real)n;
}
""",
    "all_equal": """\
static void
all_equal(@real value, int n, @real *partial)
{
    for (int i = 0; i < n; i++) {
        partial[i] = value;
    }
}
""",
    "k_maximum": """\
static @real
k_maximum(const @real *x, int n, @real *unused)
{
    (void)unused;
    @real best = x[0];
    for (int i = 1; i < n; i++) {
        if (x[i] > best || x[i] != x[i]) {
            best = x[i];
        }
        else if (x[i] == best && best == 0.0@) {
            best = x[i] + best;
        }
        if (best != best) {
            return NAN;
        }
    }
    return best;
}
""",
    "k_minimum": """\
static @real
k_minimum(const @real *x, int n, @real *unused)
{
    (void)unused;
    @real best = -x[0];
    for (int i = 1; i < n; i++) {
        if (-x[i] > best || x[i] != x[i]) {
            best = -x[i];
        }
        else if (-x[i] == best && best == 0.0@) {
            best = -x[i] + best;
        }
        if (best != best) {
            return -NAN;
        }
    }
    return -best;
}
""",
    "k_logsumexp": """\
static @real
k_logsumexp(const @real *x, int n, @real *weight) /* which its partials are made of */
{
    @real top = k_maximum(x, n, NULL);
    if (!isfinite(top)) {
        return top;
    }
    @real rest = 0.0@;
    int skipped = 0;
    for (int i = 0; i < n; i++) {
        weight[i] = exp@(x[i] - top);
        if (!skipped && x[i] == top) {
            skipped = 1;
        }
        else {
            rest = rest + weight[i];
        }
    }
    return top + signed_log1p(rest);
}
""",
    "normalise": """\
static void
normalise(int n, @real *weight)
{
    @real total = weight[0];
    for (int i = 1; i < n; i++) {
        total = total + weight[i];
    }
    for (int i = 0; i < n; i++) {
        weight[i] = weight[i] / total;
    }
}
""",
    "k_shares": """\
static void
k_shares(const @real *x, int n, @real *partial) /* the softmax of x, into the partials */
{
    @real top = k_maximum(x, n, NULL);
    if (!isfinite(top) && top != INFINITY) {
        all_equal(NAN, n, partial);
        return;
    }
    for (int i = 0; i < n; i++) {
        partial[i] = top == INFINITY ? (@real)(x[i] == top) : exp@(x[i] - top);
    }
    normalise(n, partial);
}
""",
    "k_softmax": """\
static @real
k_softmax(const @real *x, int n, @real *unused) /* which entry, then the logits */
{
    (void)unused;
    @real top = k_maximum(x + 1, n - 1, NULL), total = 0.0@, own = 0.0@;
    if (!isfinite(top) && top != INFINITY) {
        return NAN;
    }
    for (int i = 1; i < n; i++) {
        @real weight = top == INFINITY ? (@real)(x[i] == top) : exp@(x[i] - top);
        total = i > 1 ? total + weight : weight;
        if (i - 1 == (int)x[0]) {
            own = weight;
        }
    }
    return own / total;
}
""",
    "all_but": """\
static @real
all_but(const @real *share, int n, int own)
{
    @real before = 0.0@, after = 0.0@;
    for (int i = 0; i < own; i++) {
        before = i ? before + share[i] : share[i];
    }
    for (int i = n - 1; i > own; i--) {
        after = i < n - 1 ? after + share[i] : share[i];
    }
    return own == 0 ? after : own == n - 1 ? before : before + after;
}
""",
    "k_softmax_rest": """\
static @real
k_softmax_rest(const @real *x, int n, @real *share) /* which entry, then the logits */
{
    k_shares(x + 1, n - 1, share + 1);
    return all_but(share + 1, n - 1, (int)x[0]);
}
""",
    "softmax_pullback": """\
static void
softmax_pullback(const @real *p, const @real *g, int n, @real *result)
{
    @real sum = 0.0@, most = 0.0@, rest = 0.0@, after = 0.0@;
    for (int i = 0; i < n; i++) {
        result[i] = sum; /* of those before */
        sum = sum + p[i] * g[i];
        most = p[i] > most ? p[i] : most;
        rest = rest + (p[i] > 0.5@ ? 0.0@ : p[i]);
    }
    int plain = most <= 0.999@ && isfinite(sum);
    for (int i = n - 1; i >= 0; i--) {
        @real own = g[i] * (p[i] > 0.5@ ? rest : 1.0@ - p[i]);
        result[i] = p[i] * (plain ? g[i] - sum : own - (result[i] + after));
        after = after + p[i] * g[i];
    }
}
""",
    "surprisal_of_top": """\
static @real
surprisal_of_top(const @real *x, int n, @real top)
{
    @real rest = 0.0@;
    for (int i = 0, skipped = 0; i < n; i++) {
        if (x[i] == top && !skipped) {
            skipped = 1;
        }
        else {
            rest = rest + (x[i] == top ? 1.0@ : exp@(-(top - x[i])));
        }
    }
    return signed_log1p(rest);
}
""",
    "below": """\
static @real below(@real x, @real top) { return x == top ? 0.0@ : top - x; }
""",
    "is_none": """\
static int is_none(@real top) { return top != top || top == -INFINITY; }
""",
    "k_cross_entropy": """\
static @real
k_cross_entropy(const @real *x, int n, @real *unused) /* which class, then the logits */
{
    (void)unused;
    @real top = k_maximum(x + 1, n - 1, NULL);
    if (is_none(top)) {
        return NAN;
    }
    return below(x[1 + (int)x[0]], top) + surprisal_of_top(x + 1, n - 1, top);
}
""",
    "k_soft_cross_entropy": """\
static @real
k_soft_cross_entropy(const @real *x, int n, @real *unused) /* shares, then logits */
{
    (void)unused;
    int m = n / 2;
    const @real *z = x + m;
    @real top = k_maximum(z, m, NULL), loss = 0.0@;
    @real of_top = is_none(top) ? NAN : surprisal_of_top(z, m, top);
    for (int i = 0; i < m; i++) {
        @real term = k_damped(below(z[i], top) + of_top, x[i]);
        loss = i ? loss + term : term;
    }
    return loss;
}
""",
    "slopes": """\
static void
slopes(const @real *z, int n, @real *result)
{
    k_shares(z, n, result);
    @real top = k_maximum(z, n, NULL);
    for (int k = 0; k < n; k++) {
        result[k] = top == -INFINITY ? 0.0@ : result[k];
    }
}
""",
    "surprisals": """\
static void
surprisals(const @real *z, int n, @real *result)
{
    @real top = k_maximum(z, n, NULL);
    @real of_top = is_none(top) ? NAN : surprisal_of_top(z, n, top);
    for (int k = 0; k < n; k++) {
        result[k] = of_top + below(z[k], top);
    }
}
""",
    "softmax_minus": """\
/* softmax(z) - y, with all digits also where both are almost 1.@ */
static void
softmax_minus(const @real *z, const @real *y, int n, @real *result)
{
    @real rest = 0.0@, total = 0.0@;
    k_shares(z, n, result);
    for (int k = 0; k < n; k++) {
        @real p = result[k];
        rest = rest + (p > 0.9@ ? 0.0@ : p);
        total = total + y[k];
    }
    for (int k = 0; k < n; k++) {
        @real p = result[k], share = y[k];
        @real sure = (total - share) * p - share * rest;
        result[k] = p > 0.9@ ? sure : p * total - share;
    }
}
""",
    "k_equal": """\
static @real k_equal(@real a, @real b) { return a == b ? 1.0@ : 0.0@; }
""",
    "k_less": """\
static @real k_less(@real a, @real b) { return a < b ? 1.0@ : 0.0@; }
""",
    "k_less_equal": """\
static @real k_less_equal(@real a, @real b) { return a <= b ? 1.0@ : 0.0@; }
""",
    "k_step": """\
static @real k_step(@real x) { return x > 0.0@ ? 1.0@ : x <= 0.0@ ? 0.0@ : NAN; }
""",
    "k_whole_quotient": """\
static @real
k_whole_quotient(@real a, @real b)
{
    if (fabs@(k_divide(a - k_remainder(a, b), b)) >= 4503599627370496.0@) {
        return k_divide(a - k_remainder(a, b), b);
    }
    @real t0 = k_divide(a - k_remainder(a, b), b) + 0.5@;
    return t0 - k_remainder(t0, 1.0@);
}
""",
    "k_sign": """\
static @real k_sign(@real x) { return k_step(x) - k_step(-x); }
""",
    "k_identity": """\
static @real k_identity(@real x) { return x; }
""",
    "k_add": """\
static @real k_add(@real a, @real b) { return a + b; }
""",
    "k_subtract": """\
static @real k_subtract(@real a, @real b) { return a - b; }
""",
    "k_multiply": """\
static @real k_multiply(@real a, @real b) { return a * b; }
""",
    "k_divide": """\
static @real k_divide(@real a, @real b) { return a / b; }
""",
    "k_remainder": """\
static @real
k_remainder(@real a, @real b)
{
    if (b == 0.0@) {
        return NAN;
    }
    if (isfinite(a)) {
        if (fmod@(a, b) == 0.0@) {
            return copysign@(0.0@, b);
        }
        if (fmod@(a, b) < 0.0@) {
            return b < 0.0@ ? fmod@(a, b) : fmod@(a, b) + b;
        }
        return b < 0.0@ ? fmod@(a, b) + b : fmod@(a, b);
    }
    return NAN;
}
""",
    "k_negative": """\
static @real k_negative(@real x) { return -x; }
""",
    "k_power": """\
static @real k_power(@real a, @real b) { return pow@(a, b); }
""",
    "k_square": """\
static @real k_square(@real x) { return x * x; }
""",
    "k_absolute": """\
static @real k_absolute(@real x) { return fabs@(x); }
""",
    "k_damped": """\
static @real k_damped(@real a, @real b) { return b != 0.0@ ? a * b : 0.0@; }
""",
    "k_exp": """\
static @real k_exp(@real x) { return exp@(x); }
""",
    "k_exp2": """\
static @real k_exp2(@real x) { return k_power(2.0@, x); }
""",
    "k_expm1": """\
static @real k_expm1(@real x) { return expm1@(x); }
""",
    "k_log": """\
static @real k_log(@real x) { return x > 0.0@ ? log@(x) : x == 0.0@ ? -INFINITY : NAN; }
""",
    "k_log1p": """\
static @real
k_log1p(@real x)
{
    return x > -1.0@ ? signed_log1p(x) : x == -1.0@ ? -INFINITY : NAN;
}
""",
    "k_log2": """\
static @real k_log2(@real x) { return x > 0.0@ ? log2@(x) : x == 0.0@ ? -INFINITY : NAN; }
""",
    "k_log10": """\
static @real k_log10(@real x) { return x > 0.0@ ? log10@(x) : x == 0.0@ ? -INFINITY : NAN; }
""",
    "k_sqrt": """\
static @real k_sqrt(@real x) { return x >= 0.0@ ? sqrt@(x) : NAN; }
""",
    "k_cbrt": """\
static @real
k_cbrt(@real x)
{
    if (x == 0.0@) {
        return x;
    }
    if (isfinite(x)) {
        @real t0 = copysign@(pow@(fabs@(x), 0.3333333333333333@), x);
        return t0 - ((t0 - (x / (t0 * t0))) / 3.0@);
    }
    return x;
}
""",
    "k_one_less_square": """\
static @real k_one_less_square(@real x) { return (1.0@ - x) * (1.0@ + x); }
""",
    "k_inverse_hypotenuse": """\
static @real
k_inverse_hypotenuse(@real x)
{
    return fabs@(x) < 10000000000.0@ ? 1.0@ / sqrt@(1.0@ + (x * x)) : 1.0@ / fabs@(x);
}
""",
    "k_lorentzian": """\
static @real
k_lorentzian(@real x)
{
    if (fabs@(x) < 10000000000.0@) {
        return 1.0@ / (1.0@ + (x * x));
    }
    @real t0 = 1.0@ / x;
    return t0 * t0;
}
""",
    "k_gaussian": """\
static @real
k_gaussian(@real x)
{
    if (fabs@(x) < 28.0@) {
        @real t0 = 134217729.0@ * x;
        @real t1 = t0 - (t0 - x);
        return exp@(-t1 * t1) * exp@((t1 - x) * (t1 + x));
    }
    return x == x ? 0.0@ : NAN;
}
""",
    "k_inversion": """\
static @real
k_inversion(@real a, @real b)
{
    if (isinf(a)) {
        return a == a ? (b == b ? 0.0@ : NAN) : NAN;
    }
    if (isinf(b)) {
        return a == a ? (b == b ? 0.0@ : NAN) : NAN;
    }
    if (fabs@(a) >= fabs@(b)) {
        return k_divide(1.0@, a + (b * k_divide(b, a)));
    }
    @real t0 = k_divide(a, b);
    return k_divide(t0, b + (a * t0));
}
""",
    "k_sin": """\
static @real k_sin(@real x) { return isfinite(x) ? sin@(x) : NAN; }
""",
    "k_cos": """\
static @real k_cos(@real x) { return isfinite(x) ? cos@(x) : NAN; }
""",
    "k_tan": """\
static @real k_tan(@real x) { return isfinite(x) ? tan@(x) : NAN; }
""",
    "k_asin": """\
static @real k_asin(@real x) { return x >= -1.0@ ? (x <= 1.0@ ? asin@(x) : NAN) : NAN; }
""",
    "k_acos": """\
static @real k_acos(@real x) { return x >= -1.0@ ? (x <= 1.0@ ? acos@(x) : NAN) : NAN; }
""",
    "k_atan": """\
static @real k_atan(@real x) { return atan@(x); }
""",
    "k_hypot": """\
static @real k_hypot(@real a, @real b) { return hypot@(a, b); }
""",
    "k_atan2": """\
static @real k_atan2(@real a, @real b) { return atan2@(a, b); }
""",
    "k_sinh": """\
static @real k_sinh(@real x) { return sinh@(x); }
""",
    "k_cosh": """\
static @real k_cosh(@real x) { return cosh@(x); }
""",
    "k_asinh": """\
static @real k_asinh(@real x) { return asinh@(x); }
""",
    "k_acosh": """\
static @real k_acosh(@real x) { return x >= 1.0@ ? acosh@(x) : NAN; }
""",
    "k_atanh": """\
static @real
k_atanh(@real x)
{
    if (x > -1.0@) {
        return x < 1.0@ ? atanh@(x) : fabs@(x) == 1.0@ ? copysign@(INFINITY, x) : NAN;
    }
    return fabs@(x) == 1.0@ ? copysign@(INFINITY, x) : NAN;
}
""",
    "k_erf": """\
static @real k_erf(@real x) { return erf@(x); }
""",
    "k_erfc": """\
static @real k_erfc(@real x) { return erfc@(x); }
""",
    "k_sigmoid": """\
static @real
k_sigmoid(@real x)
{
    if (x >= 0.0@) {
        return 1.0@ / (1.0@ + exp@(-x));
    }
    @real t0 = exp@(x);
    return t0 / (1.0@ + t0);
}
""",
    "k_tanh": """\
static @real k_tanh(@real x) { return tanh@(x); }
""",
    "k_tanh_0": """\
static @real
k_tanh_0(@real x, @real y)
{
    (void)y;
    return 4.0@ * (k_sigmoid(2.0@ * x) * k_sigmoid(-2.0@ * x));
}
""",
    "k_relu": """\
static @real k_relu(@real x) { return x <= 0.0@ ? 0.0@ : x; }
""",
    "k_leaky_relu": """\
static @real k_leaky_relu(@real a, @real b) { return a > 0.0@ ? a : b * a; }
""",
    "k_softplus": """\
static @real
k_softplus(@real x)
{
    return x > 0.0@ ? x + signed_log1p(exp@(-x)) : signed_log1p(exp@(x));
}
""",
    "k_logsigmoid": """\
static @real k_logsigmoid(@real x) { return -k_softplus(-x); }
""",
    "k_silu": """\
static @real k_silu(@real x) { return k_damped(x, k_sigmoid(x)); }
""",
    "k_normal_pdf": """\
static @real k_normal_pdf(@real x) { return 0.3989422804014327@ * exp@((-0.5@ * x) * x); }
""",
    "k_normal_cdf": """\
static @real k_normal_cdf(@real x) { return 0.5@ * erfc@(-x * 0.7071067811865476@); }
""",
    "k_gelu": """\
static @real k_gelu(@real x) { return k_damped(x, k_normal_cdf(x)); }
""",
    "k_logaddexp": """\
static @real
k_logaddexp(@real a, @real b)
{
    if (a != a) {
        return NAN;
    }
    if (b != b) {
        return NAN;
    }
    if (b > a) {
        return isinf(b) ? b : b + signed_log1p(exp@(-fabs@(a - b)));
    }
    return isinf(a) ? a : a + signed_log1p(exp@(-fabs@(a - b)));
}
""",
    "k_sigmoid_minus": """\
static @real
k_sigmoid_minus(@real a, @real b)
{
    return ((1.0@ - b) * k_sigmoid(a)) - (b * k_sigmoid(-a));
}
""",
    "k_logistic_loss": """\
static @real
k_logistic_loss(@real a, @real b)
{
    if (a >= 0.0@) {
        return signed_log1p(exp@(-fabs@(a))) + k_damped(a, 1.0@ - b);
    }
    return signed_log1p(exp@(-fabs@(a))) + k_damped(-a, b);
}
""",
    "k_squared_error": """\
static @real k_squared_error(@real a, @real b) { @real t0 = a - b; return t0 * t0; }
""",
    "k_half_squared_error": """\
static @real k_half_squared_error(@real a, @real b) { return 0.5@ * k_squared_error(a, b); }
""",
    "k_hinge_loss": """\
static @real k_hinge_loss(@real a, @real b) { return k_relu(1.0@ - (b * a)); }
""",
}
"""By name, what defines a function."""

NEEDS = {
    "k_mean": "k_sum",
    "k_logsumexp": "k_maximum signed_log1p",
    "k_shares": "all_equal k_maximum normalise",
    "k_softmax": "k_maximum",
    "k_softmax_rest": "all_but k_shares",
    "surprisal_of_top": "signed_log1p",
    "k_cross_entropy": "below is_none k_maximum surprisal_of_top",
    "k_soft_cross_entropy": "below is_none k_damped k_maximum surprisal_of_top",
    "slopes": "k_maximum k_shares",
    "surprisals": "below is_none k_maximum surprisal_of_top",
    "softmax_minus": "k_shares",
    "k_whole_quotient": "k_divide k_remainder",
    "k_sign": "k_step",
    "k_exp2": "k_power",
    "k_log1p": "signed_log1p",
    "k_inversion": "k_divide",
    "k_tanh_0": "k_sigmoid",
    "k_softplus": "signed_log1p",
    "k_logsigmoid": "k_softplus",
    "k_silu": "k_damped k_sigmoid",
    "k_gelu": "k_damped k_normal_cdf",
    "k_logaddexp": "signed_log1p",
    "k_sigmoid_minus": "k_sigmoid",
    "k_logistic_loss": "k_damped signed_log1p",
    "k_half_squared_error": "k_squared_error",
    "k_hinge_loss": "k_relu",
}
"""The functions that a function calls, if it calls any."""
