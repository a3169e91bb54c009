/* The careful forms of one long line, along vectors. */

#if WIDTH > 1

/* The *k*-th vector of a line; what is missing of the last one is -inf. */
ALWAYS_INLINE V
LEVEL(of_line)(Py_ssize_t n, const double *x, Py_ssize_t k)
{
    if (k + WIDTH <= n) {
        return LOAD(x + k);
    }
    double part[WIDTH];
    for (int i = 0; i < WIDTH; i++) {
        part[i] = k + i < n ? x[k + i] : -Py_HUGE_VAL;
    }
    return LOAD(part);
}

static double
LEVEL(top_of_line)(Py_ssize_t n, const double *x)
{
    double part[WIDTH];
    V top[4];
    Py_ssize_t k = 0;
    for (int u = 0; u < 4; u++) {
        top[u] = LEVEL(of_line)(n, x, u * WIDTH);
    }
    for (k = 4 * WIDTH; k + 4 * WIDTH <= n; k += 4 * WIDTH) {
        for (int u = 0; u < 4; u++) {
            top[u] = LEVEL(larger)(top[u], LOAD(x + k + u * WIDTH));
        }
    }
    for (; k < n; k += WIDTH) {
        top[0] = LEVEL(larger)(top[0], LEVEL(of_line)(n, x, k));
    }
    STORE(part, LEVEL(larger)(LEVEL(larger)(top[0], top[1]), LEVEL(larger)(top[2], top[3])));
    return k_maximum(part, WIDTH, NULL);
}

static double
LEVEL(logsumexp_of_line)(Py_ssize_t n, const double *x)
{
    double most = LEVEL(top_of_line)(n, x), found[WIDTH];
    V top = SET(most), rest[2] = {SET(0.0), SET(0.0)}, ties = SET(0.0);
    if (!isfinite(most)) {
        return most;
    }
    for (Py_ssize_t k = 0; k < n; k += WIDTH) {
        V below = LEVEL(of_line)(n, x, k) - top;
        I is_top = (I)(below == SET(0.0));
        ties = ties + SELECT(is_top, SET(1.0), SET(0.0));
        V *sum = &rest[k / WIDTH % 2];
        *sum = *sum + SELECT(is_top, SET(0.0), LEVEL(exp)(below));
    }
    double others = LEVEL(across)(rest[0] + rest[1]) + (LEVEL(across)(ties) - 1.0);
    STORE(found, LEVEL(log1p_of_positive)(SET(others)));
    return most + found[0];
}

static void
LEVEL(softmax_of_line)(Py_ssize_t n, double *r, const double *x, int slopes)
{
    double most = LEVEL(top_of_line)(n, x);
    V top = SET(most), total = SET(0.0);
    Py_ssize_t k = 0;
    for (; k + WIDTH <= n; k += WIDTH) {
        V e = LEVEL(exp)(LEVEL(below)(LOAD(x + k), top));
        total = total + e;
        STORE(r + k, e);
    }
    double part[WIDTH], sum = LEVEL(across)(total);
    if (k < n) {
        STORE(part, LEVEL(exp)(LEVEL(below)(LEVEL(of_line)(n, x, k), top)));
        for (Py_ssize_t i = k; i < n; i++) {
            sum += r[i] = part[i - k];
        }
    }
    int none = slopes && most == -Py_HUGE_VAL;
    for (k = 0; k < n; k++) {
        r[k] = none ? 0.0 : r[k] / sum;
    }
}

/* A form of a line of *n* numbers in one piece, as its result is; 0 if that is not done here. */
static int
LEVEL(long_line)(int code, Py_ssize_t n, double *r, const double *x)
{
    if (n < 4 * WIDTH) {
        return 0;
    }
    switch (code) {
    case STEP_maximum:
        *r = LEVEL(top_of_line)(n, x);
        return 1;
    case STEP_logsumexp:
        *r = LEVEL(logsumexp_of_line)(n, x);
        return 1;
    case STEP_softmax:
    case STEP_logsumexp_slopes:
        LEVEL(softmax_of_line)(n, r, x, code == STEP_logsumexp_slopes);
        return 1;
    }
    return 0;
}

#else

static int
LEVEL(long_line)(int code, Py_ssize_t n, double *r, const double *x)
{
    (void)code;
    (void)n;
    (void)r;
    (void)x;
    return 0;
}

#endif
