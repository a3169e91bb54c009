/* Sums of differences and of their squares, along vectors. Strides along them are 0 or 1. */

#define DIFFERENCE(l) ((la ? LOAD(x + (l)) : SET(*x)) - (lb ? LOAD(y + (l)) : SET(*y)))

/* r[l] = sum over j < count of (a[j, l] - b[j, l])**2, or that added to r. */
ALWAYS_INLINE void
LEVEL(squares)(int la, int lb, Py_ssize_t n, Py_ssize_t count, int adds, double *r, const double *a,
               Py_ssize_t sa, const double *b, Py_ssize_t sb)
{
    Py_ssize_t l = 0;
    for (; l + 4 * WIDTH <= n; l += 4 * WIDTH) {
        const double *x = a + (la ? l : 0), *y = b + (lb ? l : 0);
        V sum[4];
        for (int u = 0; u < 4; u++) {
            sum[u] = adds ? LOAD(r + l + u * WIDTH) : SET(0.0);
        }
        for (Py_ssize_t j = 0; j < count; j++, x += sa, y += sb) {
            for (int u = 0; u < 4; u++) {
                V d = DIFFERENCE(u * WIDTH);
                sum[u] = FMA(d, d, sum[u]);
            }
        }
        for (int u = 0; u < 4; u++) {
            STORE(r + l + u * WIDTH, sum[u]);
        }
    }
    for (; l + WIDTH <= n; l += WIDTH) {
        const double *x = a + (la ? l : 0), *y = b + (lb ? l : 0);
        V sum = adds ? LOAD(r + l) : SET(0.0);
        for (Py_ssize_t j = 0; j < count; j++, x += sa, y += sb) {
            V d = DIFFERENCE(0);
            sum = FMA(d, d, sum);
        }
        STORE(r + l, sum);
    }
    for (; l < n; l++) {
        const double *x = a + (la ? l : 0), *y = b + (lb ? l : 0);
        double sum = adds ? r[l] : 0.0;
        for (Py_ssize_t j = 0; j < count; j++, x += sa, y += sb) {
            sum += (*x - *y) * (*x - *y);
        }
        r[l] = sum;
    }
}

static void
LEVEL(squared_distance)(Py_ssize_t n, Py_ssize_t count, int adds, double *r, const double *a,
                        Py_ssize_t sa, Py_ssize_t la, const double *b, Py_ssize_t sb, Py_ssize_t lb)
{
    if (la && lb) {
        LEVEL(squares)(1, 1, n, count, adds, r, a, sa, b, sb);
    }
    else if (la) {
        LEVEL(squares)(1, 0, n, count, adds, r, a, sa, b, sb);
    }
    else if (lb) {
        LEVEL(squares)(0, 1, n, count, adds, r, a, sa, b, sb);
    }
    else {
        LEVEL(squares)(0, 0, n, count, adds, r, a, sa, b, sb);
    }
}

/* r[l] += w[l] (a[l] - b[l]) */
static void
LEVEL(weighted_difference)(Py_ssize_t n, double *r, const double *w, Py_ssize_t lw, const double *x,
                           Py_ssize_t la, const double *y, Py_ssize_t lb)
{
    Py_ssize_t l = 0;
    for (; l + WIDTH <= n; l += WIDTH) {
        V weight = lw ? LOAD(w + l) : SET(*w);
        STORE(r + l, FMA(weight, DIFFERENCE(l), LOAD(r + l)));
    }
    for (; l < n; l++) {
        r[l] += w[l * lw] * (x[l * la] - y[l * lb]);
    }
}

/* The sum of w[l] (a[l] - b[l]) */
static double
LEVEL(weighted_total)(Py_ssize_t n, const double *w, Py_ssize_t lw, const double *x, Py_ssize_t la,
                      const double *y, Py_ssize_t lb)
{
    Py_ssize_t l = 0;
    double total = 0.0;
#if WIDTH > 1
    V sum[2] = {SET(0.0), SET(0.0)};
    for (; l + 2 * WIDTH <= n; l += 2 * WIDTH) {
        for (int u = 0; u < 2; u++) {
            V weight = lw ? LOAD(w + l + u * WIDTH) : SET(*w);
            sum[u] = FMA(weight, DIFFERENCE(l + u * WIDTH), sum[u]);
        }
    }
    for (; l + WIDTH <= n; l += WIDTH) {
        V weight = lw ? LOAD(w + l) : SET(*w);
        sum[0] = FMA(weight, DIFFERENCE(l), sum[0]);
    }
    total = LEVEL(across)(sum[0] + sum[1]);
#endif
    for (; l < n; l++) {
        total += w[l * lw] * (x[l * la] - y[l * lb]);
    }
    return total;
}

#undef DIFFERENCE

/* Note which of *n* numbers are not 0, and return how many. */
static Py_ssize_t
LEVEL(nonzero)(Py_ssize_t n, const double *x, Py_ssize_t *hit)
{
    Py_ssize_t l = 0, hits = 0;
#if FUSED == 2 && WIDTH == 8
#define DIFFERING(l) \
    (unsigned)_mm512_cmp_pd_mask(_mm512_loadu_pd(x + (l)), _mm512_setzero_pd(), _CMP_NEQ_UQ)
#elif FUSED == 2
#define DIFFERING(l)                                                                            \
    (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(x + (l)), _mm256_setzero_pd(),    \
                                               _CMP_NEQ_UQ))
#endif
#if FUSED == 2
    for (; l + 4 * WIDTH <= n; l += 4 * WIDTH) {
        unsigned mask = DIFFERING(l) | DIFFERING(l + WIDTH) << WIDTH |
                        DIFFERING(l + 2 * WIDTH) << 2 * WIDTH | DIFFERING(l + 3 * WIDTH) << 3 * WIDTH;
        for (; mask != 0; mask &= mask - 1) {
            hit[hits++] = l + __builtin_ctz(mask);
        }
    }
#undef DIFFERING
#endif
    for (; l < n; l++) {
        hit[hits] = l;
        hits += x[l] != 0.0;
    }
    return hits;
}
