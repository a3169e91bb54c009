/* The careful forms. */

/* On a column of vectors: *n* of them, *w* numbers apart. The first argument is what is worked on, in
   place; a form that gives one number leaves it in the first row. */

#define EACH_ROW(k) for (Py_ssize_t k = 0; k < n; k++)
#define AT(x, k) ((x) + (k) * w)

ALWAYS_INLINE V
LEVEL(larger)(V a, V b) /* a nan is the largest; -0.0 and 0.0 give 0.0 */
{
    V found = SELECT((I)(b > a) | (I)(b != b), b, a);
    return SELECT((I)(a == b) & (I)(b == SET(0.0)), a + b, found);
}

/* The largest of a column, or of its negatives: four at a time, as each waits for the one before. */
ALWAYS_INLINE V
LEVEL(most)(Py_ssize_t n, Py_ssize_t w, const double *z, int negated)
{
#define NUMBER(k) (negated ? -LOAD(AT(z, k)) : LOAD(AT(z, k)))
    V top = NUMBER(0);
    Py_ssize_t k = 1;
    if (n >= 8) {
        V second = NUMBER(1), third = NUMBER(2), fourth = NUMBER(3);
        for (k = 4; k + 4 <= n; k += 4) {
            top = LEVEL(larger)(top, NUMBER(k));
            second = LEVEL(larger)(second, NUMBER(k + 1));
            third = LEVEL(larger)(third, NUMBER(k + 2));
            fourth = LEVEL(larger)(fourth, NUMBER(k + 3));
        }
        top = LEVEL(larger)(LEVEL(larger)(top, second), LEVEL(larger)(third, fourth));
    }
    for (; k < n; k++) {
        top = LEVEL(larger)(top, NUMBER(k));
    }
#undef NUMBER
    return top;
}

ALWAYS_INLINE V
LEVEL(top)(Py_ssize_t n, Py_ssize_t w, const double *z)
{
    return LEVEL(most)(n, w, z, 0);
}

/* x - top; an infinite logit takes all; where all are -inf, none is right. */
ALWAYS_INLINE V
LEVEL(below)(V x, V top)
{
    V tie = SELECT(top > SET(-Py_HUGE_VAL), SET(0.0), SET(Py_NAN));
    return SELECT(x == top, tie, x - top);
}

/* Put the softmax in the place of z; return the largest. */
ALWAYS_INLINE V
LEVEL(softmax)(Py_ssize_t n, Py_ssize_t w, double *z)
{
    V top = LEVEL(top)(n, w, z), sum = SET(0.0);
    EACH_ROW(k)
    {
        V e = LEVEL(exp)(LEVEL(below)(LOAD(AT(z, k)), top));
        sum = sum + e;
        STORE(AT(z, k), e);
    }
    EACH_ROW(k)
    {
        STORE(AT(z, k), LOAD(AT(z, k)) / sum);
    }
    return top;
}

static void
LEVEL(softmax_column)(Py_ssize_t n, Py_ssize_t w, double *z)
{
    LEVEL(softmax)(n, w, z);
}

static void
LEVEL(slopes_column)(Py_ssize_t n, Py_ssize_t w, double *z)
{
    V top = LEVEL(softmax)(n, w, z);
    EACH_ROW(k)
    {
        STORE(AT(z, k), SELECT(top == SET(-Py_HUGE_VAL), SET(0.0), LOAD(AT(z, k))));
    }
}

/* log of the sum of e**(x - top), the largest x not counted among them but as the 1 of log1p. */
ALWAYS_INLINE V
LEVEL(surprisal_of_top)(Py_ssize_t n, Py_ssize_t w, const double *z, V top)
{
    V rest = SET(0.0), ties = SET(-1.0);
    EACH_ROW(k)
    {
        V below = LEVEL(below)(LOAD(AT(z, k)), top);
        I is_top = (I)(below == SET(0.0));
        ties = ties + SELECT(is_top, SET(1.0), SET(0.0));
        rest = rest + SELECT(is_top, SET(0.0), LEVEL(exp)(below));
    }
    return LEVEL(log1p_of_positive)(rest + ties);
}

static void
LEVEL(logsumexp_column)(Py_ssize_t n, Py_ssize_t w, double *z)
{
    V top = LEVEL(top)(n, w, z), found = top + LEVEL(surprisal_of_top)(n, w, z, top);
    STORE(z, SELECT(LEVEL(absolute)(top) < SET(Py_HUGE_VAL), found, top));
}

static void
LEVEL(surprisals_column)(Py_ssize_t n, Py_ssize_t w, double *z)
{
    V top = LEVEL(top)(n, w, z), of_top = LEVEL(surprisal_of_top)(n, w, z, top);
    EACH_ROW(k)
    {
        STORE(AT(z, k), of_top - LEVEL(below)(LOAD(AT(z, k)), top));
    }
}

static void
LEVEL(cross_entropy_column)(Py_ssize_t n, Py_ssize_t w, double *z, const double *y)
{
    V top = LEVEL(top)(n, w, z), of_top = LEVEL(surprisal_of_top)(n, w, z, top);
    V total = SET(0.0);
    EACH_ROW(k)
    {
        V surprisal = of_top - LEVEL(below)(LOAD(AT(z, k)), top);
        total = total + LEVEL(damped)(surprisal, LOAD(AT(y, k)));
    }
    STORE(z, total);
}

/* softmax(z) - y, with all digits also where both are almost 1. */
static void
LEVEL(softmax_minus_column)(Py_ssize_t n, Py_ssize_t w, double *z, const double *y)
{
    V rest = SET(0.0), total = SET(0.0);
    LEVEL(softmax)(n, w, z);
    EACH_ROW(k)
    {
        V p = LOAD(AT(z, k));
        rest = rest + SELECT(p > SET(0.9), SET(0.0), p);
        total = total + LOAD(AT(y, k));
    }
    EACH_ROW(k)
    {
        V p = LOAD(AT(z, k)), share = LOAD(AT(y, k));
        V sure = (total - share) * p - share * rest;
        STORE(AT(z, k), SELECT(p > SET(0.9), sure, p * total - share));
    }
}

/* As softmax_pullback of kernels.h; there is room for another tile. */
static void
LEVEL(softmax_pullback_column)(Py_ssize_t n, Py_ssize_t w, double *p, const double *g, double *before)
{
    V sum = SET(0.0), most = SET(0.0), rest = SET(0.0), after = SET(0.0);
    EACH_ROW(k)
    {
        V share = LOAD(AT(p, k));
        STORE(AT(before, k), sum);
        sum = sum + share * LOAD(AT(g, k));
        most = SELECT(share > most, share, most);
        rest = rest + SELECT(share > SET(0.5), SET(0.0), share);
    }
    I plain = (I)(most <= SET(0.999)) & (I)(LEVEL(absolute)(sum) < SET(Py_HUGE_VAL));
    int careful = LEVEL(any)(~plain);
    for (Py_ssize_t k = n - 1; k >= 0; k--) {
        V share = LOAD(AT(p, k)), slope = LOAD(AT(g, k)), found = slope - sum;
        if (careful) {
            V own = slope * SELECT(share > SET(0.5), rest, SET(1.0) - share);
            found = SELECT(plain, found, own - (LOAD(AT(before, k)) + after));
            after = after + share * slope;
        }
        STORE(AT(p, k), share * found);
    }
}

static void
LEVEL(sum_column)(Py_ssize_t n, Py_ssize_t w, double *z)
{
    V sum = LOAD(z);
    for (Py_ssize_t k = 1; k < n; k++) {
        sum = sum + LOAD(AT(z, k));
    }
    STORE(z, sum);
}

static void
LEVEL(maximum_column)(Py_ssize_t n, Py_ssize_t w, double *z)
{
    STORE(z, LEVEL(top)(n, w, z));
}

static void
LEVEL(minimum_column)(Py_ssize_t n, Py_ssize_t w, double *z)
{
    STORE(z, -LEVEL(most)(n, w, z, 1));
}

#define EACH_COLUMN(form)                               \
    for (Py_ssize_t l = 0; l < w; l += WIDTH) {         \
        form;                                           \
    }                                                   \
    break;

/* A form on a tile of *n* rows of *w* numbers, a multiple of eight; *y* is the second operand, behind
   which some forms have room. */
static void
LEVEL(careful)(int code, Py_ssize_t n, Py_ssize_t w, double *z, double *y)
{
    double *const room = y + n * w;
    switch (code) {
    case STEP_segment_sum:
        EACH_COLUMN(LEVEL(sum_column)(n, w, z + l))
    case STEP_maximum:
        EACH_COLUMN(LEVEL(maximum_column)(n, w, z + l))
    case STEP_minimum:
        EACH_COLUMN(LEVEL(minimum_column)(n, w, z + l))
    case STEP_logsumexp:
        EACH_COLUMN(LEVEL(logsumexp_column)(n, w, z + l))
    case STEP_softmax:
        EACH_COLUMN(LEVEL(softmax_column)(n, w, z + l))
    case STEP_logsumexp_slopes:
        EACH_COLUMN(LEVEL(slopes_column)(n, w, z + l))
    case STEP_softmax_pullback:
        EACH_COLUMN(LEVEL(softmax_pullback_column)(n, w, z + l, y + l, room + l))
    case STEP_surprisals:
        EACH_COLUMN(LEVEL(surprisals_column)(n, w, z + l))
    case STEP_cross_entropy:
        EACH_COLUMN(LEVEL(cross_entropy_column)(n, w, z + l, y + l))
    case STEP_softmax_minus:
        EACH_COLUMN(LEVEL(softmax_minus_column)(n, w, z + l, y + l))
    }
}
