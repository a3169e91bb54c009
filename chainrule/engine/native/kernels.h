/* The rows of the table on floats, to the last bit.

   Each function is the one of that name in the table; the explanations stand there.  Those of one
   and two arguments are printed from the table, those of any number are written here. */

/* CPython's log1p keeps the sign of a zero, whatever the platform's does. */
static double signed_log1p(double x) { return x == 0.0 ? x : log1p(x); }

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
