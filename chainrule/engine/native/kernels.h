/* The rows of the table on floats, to the last bit.

   Each function is the one of that name in the table; the explanations stand there.  Those of one
   and two arguments are printed from the table, those of any number are written here. */

/* CPython's log1p keeps the sign of a zero, whatever the platform's does. */
static double signed_log1p(double x) { return x == 0.0 ? x : log1p(x); }

/* What math.hypot of the running interpreter gives: an algorithm of CPython's own, which changed from
   version to version and is not libm's. It runs no other code. Should memory run out for its floats,
   libm's. */
static double
math_hypot(double a, double b)
{
    PyObject *kept = PyInterpreterState_GetDict(PyInterpreterState_Get()); /* borrowed */
    PyObject *function = kept ? PyDict_GetItemWithError(kept, (PyObject *)&module_def) : NULL;
    PyObject *args[2] = {PyFloat_FromDouble(a), PyFloat_FromDouble(b)}, *y = NULL;
    if (function != NULL && args[0] != NULL && args[1] != NULL) {
        y = PyObject_Vectorcall(function, args, 2, NULL);
    }
    double found = y != NULL && PyFloat_CheckExact(y) ? PyFloat_AS_DOUBLE(y) : hypot(a, b);
    PyErr_Clear();
    Py_XDECREF(args[0]);
    Py_XDECREF(args[1]);
    Py_XDECREF(y);
    return found;
}

static double k_softmax(const double *x, Py_ssize_t n, double *unused);

#include "formulas.h"

/* Of any number of arguments.  Partials are written into all terms, linked or not. */

static double
k_sum(const double *x, Py_ssize_t n, double *unused)
{
    (void)unused;
    double total = x[0];
    for (Py_ssize_t i = 1; i < n; i++) {
        total = total + x[i];
    }
    return total;
}

static double
k_mean(const double *x, Py_ssize_t n, double *unused)
{
    return k_sum(x, n, unused) / (double)n;
}

static void
all_equal(double value, Py_ssize_t n, double *partial)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        partial[i] = value;
    }
}

static void
k_sum_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    (void)x, (void)y, (void)kind;
    all_equal(1.0, n, partial);
}

static void
k_mean_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    (void)x, (void)y, (void)kind;
    all_equal(1.0 / (double)n, n, partial);
}

static double
k_where(const double *x, Py_ssize_t n, double *unused)
{
    (void)n, (void)unused;
    return x[0] != 0.0 ? x[1] : x[2];
}

static int
k_where_takes(const double *x, Py_ssize_t n, const uint8_t *kind)
{
    (void)x, (void)kind;
    return n == 3;
}

static void
k_where_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    (void)x, (void)y, (void)kind;
    all_equal(1.0, n, partial); /* only the chosen one is linked */
}

static double
k_maximum(const double *x, Py_ssize_t n, double *unused)
{
    (void)unused;
    double best = x[0];
    for (Py_ssize_t i = 1; i < n; i++) {
        if (x[i] > best || x[i] != x[i]) {
            best = x[i];
        }
        else if (x[i] == best && best == 0.0) {
            best = x[i] + best;
        }
        if (best != best) {
            return Py_NAN;
        }
    }
    return best;
}

static double
k_minimum(const double *x, Py_ssize_t n, double *unused)
{
    (void)unused;
    double best = -x[0];
    for (Py_ssize_t i = 1; i < n; i++) {
        if (-x[i] > best || x[i] != x[i]) {
            best = -x[i];
        }
        else if (-x[i] == best && best == 0.0) {
            best = -x[i] + best;
        }
        if (best != best) {
            return -Py_NAN;
        }
    }
    return -best;
}

static void
k_tie_shares(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    double count = 0.0;
    for (Py_ssize_t i = 0; i < n; i++) {
        count += x[i] == y;
    }
    double share = 1.0 / count;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!(kind[i] & IS_NODE)) {
            share = share * (1.0 - (x[i] == y));
        }
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        partial[i] = (x[i] == y) * share;
    }
}

static double
k_logsumexp(const double *x, Py_ssize_t n, double *weight) /* which its partials are made of */
{
    double top = k_maximum(x, n, NULL);
    if (!isfinite(top)) {
        return top;
    }
    double rest = 0.0;
    int skipped = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        weight[i] = exp(x[i] - top);
        if (!skipped && x[i] == top) {
            skipped = 1;
        }
        else {
            rest = rest + weight[i];
        }
    }
    return top + signed_log1p(rest);
}

static void
normalise(Py_ssize_t n, double *weight)
{
    double total = weight[0];
    for (Py_ssize_t i = 1; i < n; i++) {
        total = total + weight[i];
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        weight[i] = weight[i] / total;
    }
}

static void
k_shares(const double *x, Py_ssize_t n, double *partial) /* the softmax of x, into the partials */
{
    double top = k_maximum(x, n, NULL);
    if (!isfinite(top) && top != Py_HUGE_VAL) {
        all_equal(Py_NAN, n, partial);
        return;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        partial[i] = top == Py_HUGE_VAL ? (double)(x[i] == top) : exp(x[i] - top);
    }
    normalise(n, partial);
}

static void
k_logsumexp_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    (void)kind;
    if (isfinite(y)) {
        normalise(n, partial); /* the weights that are there */
    }
    else if (y == -Py_HUGE_VAL) {
        all_equal(0.0, n, partial);
    }
    else {
        k_shares(x, n, partial);
    }
}

static double
k_softmax(const double *x, Py_ssize_t n, double *unused) /* which entry, then the logits */
{
    (void)unused;
    double top = k_maximum(x + 1, n - 1, NULL), total = 0.0, own = 0.0;
    if (!isfinite(top) && top != Py_HUGE_VAL) {
        return Py_NAN;
    }
    for (Py_ssize_t i = 1; i < n; i++) {
        double weight = top == Py_HUGE_VAL ? (double)(x[i] == top) : exp(x[i] - top);
        total = i > 1 ? total + weight : weight;
        if (i - 1 == (Py_ssize_t)x[0]) {
            own = weight;
        }
    }
    return own / total;
}

static void
k_softmax_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    (void)kind;
    Py_ssize_t own = (Py_ssize_t)x[0] + 1, met = 0;
    double rest = 0.0;
    k_shares(x + 1, n - 1, partial + 1);
    for (Py_ssize_t i = 1; i < n; i++) {
        if (i != own) {
            rest = met++ ? rest + partial[i] : partial[i];
        }
    }
    for (Py_ssize_t i = 1; i < n; i++) {
        partial[i] = i == own ? y * rest : -(y * partial[i]);
    }
}

static int
k_softmax_takes(const double *x, Py_ssize_t n, const uint8_t *kind)
{
    return !(kind[0] & IS_NODE) && x[0] >= 0.0 && x[0] < (double)(n - 1);
}

/* Losses of a class, or of the share of every class, and the logits. */

static int
k_class_takes(const double *x, Py_ssize_t n, const uint8_t *kind)
{
    return k_softmax_takes(x, n, kind) && x[0] == floor(x[0]);
}

static double
all_but(const double *share, Py_ssize_t n, Py_ssize_t own)
{
    double before = 0.0, after = 0.0;
    for (Py_ssize_t i = 0; i < own; i++) {
        before = i ? before + share[i] : share[i];
    }
    for (Py_ssize_t i = n - 1; i > own; i--) {
        after = i < n - 1 ? after + share[i] : share[i];
    }
    return own == 0 ? after : own == n - 1 ? before : before + after;
}

static double
k_softmax_rest(const double *x, Py_ssize_t n, double *share) /* which entry, then the logits */
{
    k_shares(x + 1, n - 1, share + 1);
    return all_but(share + 1, n - 1, (Py_ssize_t)x[0]);
}

static void
k_softmax_rest_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *share)
{
    (void)kind;
    Py_ssize_t own = (Py_ssize_t)x[0] + 1; /* the shares are there from the value */
    double entry = share[own];
    for (Py_ssize_t i = 1; i < n; i++) {
        share[i] = i == own ? -(entry * y) : entry * share[i];
    }
    share[0] = 0.0;
}

/* The adjoints of the logits, p (g - sum of g p), from those of the shares. Where a share is almost 1
   or an adjoint is infinite, nothing is subtracted that should not be there: then a logit gets
   p_j (g_j (1 - p_j) - sum of the other g_k p_k), which is inf or nan where the engine's sum is. */
static void
softmax_pullback(const double *p, const double *g, Py_ssize_t n, double *result)
{
    double sum = 0.0, most = 0.0, rest = 0.0, after = 0.0;
    for (Py_ssize_t i = 0; i < n; i++) {
        result[i] = sum; /* of those before */
        sum = sum + p[i] * g[i];
        most = p[i] > most ? p[i] : most;
        rest = rest + (p[i] > 0.5 ? 0.0 : p[i]);
    }
    int plain = most <= 0.999 && isfinite(sum);
    for (Py_ssize_t i = n - 1; i >= 0; i--) {
        double own = g[i] * (p[i] > 0.5 ? rest : 1.0 - p[i]);
        result[i] = p[i] * (plain ? g[i] - sum : own - (result[i] + after));
        after = after + p[i] * g[i];
    }
}

/* Return minus the logarithm of the share that the largest logit has. */
static double
surprisal_of_top(const double *x, Py_ssize_t n, double top)
{
    double rest = 0.0;
    for (Py_ssize_t i = 0, skipped = 0; i < n; i++) {
        if (x[i] == top && !skipped) {
            skipped = 1;
        }
        else {
            rest = rest + (x[i] == top ? 1.0 : exp(-(top - x[i])));
        }
    }
    return signed_log1p(rest);
}

static double below(double x, double top) { return x == top ? 0.0 : top - x; }

static int is_none(double top) { return top != top || top == -Py_HUGE_VAL; }

static double
k_cross_entropy(const double *x, Py_ssize_t n, double *unused) /* which class, then the logits */
{
    (void)unused;
    double top = k_maximum(x + 1, n - 1, NULL);
    if (is_none(top)) {
        return Py_NAN;
    }
    return below(x[1 + (Py_ssize_t)x[0]], top) + surprisal_of_top(x + 1, n - 1, top);
}

static void
k_cross_entropy_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    (void)y, (void)kind;
    Py_ssize_t own = (Py_ssize_t)x[0];
    k_shares(x + 1, n - 1, partial + 1);
    partial[1 + own] = -all_but(partial + 1, n - 1, own);
    partial[0] = 0.0;
}

static double
k_soft_cross_entropy(const double *x, Py_ssize_t n, double *unused) /* shares, then logits */
{
    (void)unused;
    Py_ssize_t m = n / 2;
    const double *z = x + m;
    double top = k_maximum(z, m, NULL), loss = 0.0;
    double of_top = is_none(top) ? Py_NAN : surprisal_of_top(z, m, top);
    for (Py_ssize_t i = 0; i < m; i++) {
        double term = k_damped(below(z[i], top) + of_top, x[i]);
        loss = i ? loss + term : term;
    }
    return loss;
}

enum { MOST_CLASSES = 256 }; /* of the loss above, whose partials need room; else the table does */

static void
all_but_one(const double *x, Py_ssize_t n, double *found)
{
    double before = 0.0, after = 0.0;
    for (Py_ssize_t i = n - 1; i >= 0; i--) {
        found[i] = after;
        after = i == n - 1 ? x[i] : after + x[i];
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        found[i] = i == 0 ? found[i] : i == n - 1 ? before : before + found[i];
        before = i == 0 ? x[i] : before + x[i];
    }
}

static void
k_soft_cross_entropy_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind,
                       double *partial)
{
    (void)y, (void)kind;
    Py_ssize_t m = n / 2;
    const double *z = x + m;
    double rests[MOST_CLASSES], others[MOST_CLASSES], *shares = partial + m;
    double top = k_maximum(z, m, NULL);
    double of_top = is_none(top) ? Py_NAN : surprisal_of_top(z, m, top);
    k_shares(z, m, shares);
    all_but_one(shares, m, rests);
    all_but_one(x, m, others);
    for (Py_ssize_t i = 0; i < m; i++) {
        double surprisal = below(z[i], top) + of_top;
        partial[i] = x[i] == 0.0 && surprisal == Py_HUGE_VAL ? 0.0 : surprisal;
        partial[m + i] = others[i] * shares[i] - x[i] * rests[i];
    }
}

static int
k_soft_cross_entropy_takes(const double *x, Py_ssize_t n, const uint8_t *kind)
{
    (void)x, (void)kind;
    return n % 2 == 0 && n <= 2 * MOST_CLASSES;
}

typedef struct {
    const char *name;
    struct {
        double (*value)(double);
        double (*partial)(double x, double y); /* NULL: zero wherever it exists */
    } unary;
    struct {
        double (*value)(double, double);
        double (*partial[2])(double a, double b, double y);
    } binary;
    struct {
        double (*value)(const double *x, Py_ssize_t n, double *partial); /* room to prepare them */
        void (*partials)(const double *x, Py_ssize_t n, double y, const uint8_t *kind,
                         double *partial);
        int (*takes)(const double *x, Py_ssize_t n, const uint8_t *kind); /* NULL: any */
    } variadic;
} Kernel;

#define UNARY(NAME, name, value, partial) [NAME] = {name, .unary = {value, partial}},
#define BINARY(NAME, name, value, first, second) \
    [NAME] = {name, .binary = {value, {first, second}}},
#define VARIADIC(NAME, name, value, partials, takes) \
    [NAME] = {name, .variadic = {value, partials, takes}},
static const Kernel kernels[N_KERNELS] = {
    UNARY_ROWS(UNARY) BINARY_ROWS(BINARY) VARIADIC_ROWS(VARIADIC)
};
#undef UNARY
#undef BINARY
#undef VARIADIC
