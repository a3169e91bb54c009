/* What runs over stretches of numbers, compiled once for each level of the processor: see levels.h,
   which says WIDTH, how many doubles a vector has, and LEVEL, which puts the level into a name.

   Arithmetic is the engine's to the last bit. exp and log are our own here, within one unit in the
   last place of the engine's, and what is made of them follows the engine's formulas. */

/* --- vectors --------------------------------------------------------------------------------- */

#define V LEVEL(Vector)
#define I LEVEL(Whole)

#if WIDTH > 1
typedef double V __attribute__((vector_size(8 * WIDTH)));
typedef int64_t I __attribute__((vector_size(8 * WIDTH)));
typedef double LEVEL(Unaligned) __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
#define LOAD(p) ((V)*(const LEVEL(Unaligned) *)(p))
#define STORE(p, x) ((void)(*(LEVEL(Unaligned) *)(p) = (x)))
#define SET(x) ((V){0} + (x))
#define WHOLE(x) ((I){0} + (int64_t)(x))
#define BITS(x) ((I)(x))
#define FLOATS(x) ((V)(x))
#define SELECT(mask, x, y) ((V)(((I)(mask) & (I)(x)) | (~(I)(mask) & (I)(y))))
#define LOGICAL_SHIFT(x, n) ((I)((LEVEL(Unsigned))(x) >> (n)))
typedef uint64_t LEVEL(Unsigned) __attribute__((vector_size(8 * WIDTH)));
#else
typedef double V;
typedef int64_t I;
#define LOAD(p) (*(p))
#define STORE(p, x) ((void)(*(p) = (x)))
#define SET(x) (x)
#define WHOLE(x) ((int64_t)(x))
#define BITS(x) bits_of(x)
#define FLOATS(x) float_of(x)
#define SELECT(mask, x, y) ((mask) ? (x) : (y))
#define LOGICAL_SHIFT(x, n) ((I)((uint64_t)(x) >> (n)))
#endif

#if FUSED == 2 && WIDTH == 8
#define FMA(x, y, z) ((V)_mm512_fmadd_pd((__m512d)(x), (__m512d)(y), (__m512d)(z)))
#elif FUSED == 2
#define FMA(x, y, z) ((V)_mm256_fmadd_pd((__m256d)(x), (__m256d)(y), (__m256d)(z)))
#elif FUSED == 1
#define FMA(x, y, z) ((V)vfmaq_f64((float64x2_t)(z), (float64x2_t)(x), (float64x2_t)(y)))
#else
#define FMA(x, y, z) ((x) * (y) + (z))
#endif

/* --- exp and log ----------------------------------------------------------------------------- */

/* What e**x is: (1 + p) * first * second, p in about -0.3 to 0.42, the others powers of two. */
typedef struct {
    V p, first, second;
} LEVEL(Power);

ALWAYS_INLINE LEVEL(Power)
LEVEL(power_of)(V x)
{
    /* x = n log(2) + r. Beyond the bounds the result is 0 or inf all the same; a nan stays. */
    x = SELECT(x > SET(710.0), SET(710.0), x);
    x = SELECT(x < SET(-746.0), SET(-746.0), x);
    const V magic = SET(6755399441055744.0); /* 1.5 * 2**52: adding it rounds to a whole number */
    V n = (x * SET(1.4426950408889634) + magic) - magic;
    V high = x - n * SET(6.93147180369123816490e-01); /* exact: the constant has 33 bits */
    V low = n * SET(1.90821492927058770002e-10);
    V r = high - low, rest = (high - r) - low;
    V q = SET(1.0 / 6227020800.0);
    q = FMA(q, r, SET(1.0 / 479001600.0));
    q = FMA(q, r, SET(1.0 / 39916800.0));
    q = FMA(q, r, SET(1.0 / 3628800.0));
    q = FMA(q, r, SET(1.0 / 362880.0));
    q = FMA(q, r, SET(1.0 / 40320.0));
    q = FMA(q, r, SET(1.0 / 5040.0));
    q = FMA(q, r, SET(1.0 / 720.0));
    q = FMA(q, r, SET(1.0 / 120.0));
    q = FMA(q, r, SET(1.0 / 24.0));
    q = FMA(q, r, SET(1.0 / 6.0));
    q = FMA(q, r, SET(0.5));
    V p = r + FMA(r * r, q, rest);
    V half = n * SET(0.5) + magic; /* two factors, so that a subnormal is rounded once */
    V other = (n - (half - magic)) + magic;
    I bias = WHOLE(1023);
    return (LEVEL(Power)){p, FLOATS((BITS(half) + bias) << 52), FLOATS((BITS(other) + bias) << 52)};
}

ALWAYS_INLINE V
LEVEL(exp)(V x)
{
    LEVEL(Power) power = LEVEL(power_of)(x);
    return (SET(1.0) + power.p) * power.first * power.second;
}

ALWAYS_INLINE V
LEVEL(absolute)(V x)
{
    return FLOATS(BITS(x) & WHOLE(INT64_MAX));
}

/* log(x) + more, for x > 0; *more* is small beside it. The formula of FreeBSD's e_log.c. */
ALWAYS_INLINE V
LEVEL(log_of_positive)(V x, V more)
{
    I tiny = (I)(x < SET(2.2250738585072014e-308));
    x = SELECT(tiny, x * SET(18014398509481984.0), x); /* 2**54 */
    /* x = 2**k (1 + f), with 1 + f from about sqrt(1/2) to sqrt(2) */
    I bits = BITS(x) + WHOLE(0x3ff0000000000000 - 0x3fe6a09e667f3bcd);
    I exponent = LOGICAL_SHIFT(bits, 52);
    V k = FLOATS(exponent | WHOLE(0x4330000000000000)) - SET(4503599627370496.0 + 1023.0);
    k = SELECT(tiny, k - SET(54.0), k);
    V f = FLOATS((bits & WHOLE(0x000fffffffffffff)) + WHOLE(0x3fe6a09e667f3bcd)) - SET(1.0);
    V s = f / (SET(2.0) + f), z = s * s;
    V series = SET(1.479819860511658591e-01);
    series = FMA(series, z, SET(1.531383769920937332e-01));
    series = FMA(series, z, SET(1.818357216161805012e-01));
    series = FMA(series, z, SET(2.222219843214978396e-01));
    series = FMA(series, z, SET(2.857142874366239149e-01));
    series = FMA(series, z, SET(3.999999999940941908e-01));
    series = FMA(series, z, SET(6.666666666666735130e-01));
    V square = SET(0.5) * f * f;
    V low = FMA(k, SET(1.90821492927058770002e-10), more);
    return k * SET(6.93147180369123816490e-01) -
           ((square - FMA(s, FMA(series, z, square), low)) - f);
}

ALWAYS_INLINE V
LEVEL(log)(V x)
{
    V found = LEVEL(log_of_positive)(x, SET(0.0));
    found = SELECT(x == SET(Py_HUGE_VAL), x, found);
    found = SELECT(x == SET(0.0), SET(-Py_HUGE_VAL), found);
    return SELECT(x >= SET(0.0), found, SET(Py_NAN));
}

/* log(1 + x) for x from 0 to 1e300. */
ALWAYS_INLINE V
LEVEL(log1p_of_positive)(V x)
{
    V sum = SET(1.0) + x;
    V lost = SELECT(x > SET(1.0), SET(1.0) - (sum - x), x - (sum - SET(1.0)));
    return LEVEL(log_of_positive)(sum, lost / sum);
}

/* --- rows made of them, as the engine's formulas make them ----------------------------------- */

ALWAYS_INLINE V
LEVEL(sigmoid)(V x)
{
    V e = LEVEL(exp)(-LEVEL(absolute)(x));
    return SELECT(x < SET(0.0), e, SET(1.0)) / (SET(1.0) + e);
}

ALWAYS_INLINE V
LEVEL(softplus)(V x)
{
    V rest = LEVEL(log1p_of_positive)(LEVEL(exp)(-LEVEL(absolute)(x)));
    return SELECT(x > SET(0.0), x + rest, SELECT(x == x, rest, x));
}

ALWAYS_INLINE V
LEVEL(logsigmoid)(V x)
{
    return -LEVEL(softplus)(-x);
}

ALWAYS_INLINE V
LEVEL(damped)(V x, V factor)
{
    return SELECT(factor == SET(0.0), SET(0.0), x * factor);
}

ALWAYS_INLINE V
LEVEL(silu)(V x)
{
    return LEVEL(damped)(x, LEVEL(sigmoid)(x));
}

/* (e**2x - 1) / (e**2x + 1) of the absolute x, by way of e**2x - 1, which keeps small ones. */
ALWAYS_INLINE V
LEVEL(tanh)(V x)
{
    V size = LEVEL(absolute)(x);
    V twice = SELECT(size > SET(20.0), SET(40.0), size + size);
    LEVEL(Power) power = LEVEL(power_of)(twice);
    V scale = power.first * power.second;
    V less = FMA(power.p, scale, scale - SET(1.0));
    V found = less / (less + SET(2.0));
    found = SELECT(size < SET(1e-9), size, found);
    return FLOATS(BITS(found) | (BITS(x) & WHOLE(INT64_MIN)));
}

ALWAYS_INLINE V
LEVEL(sigmoid_minus)(V z, V y)
{
    V e = LEVEL(exp)(-LEVEL(absolute)(z)), down = SET(1.0) + e;
    I negative = (I)(z < SET(0.0));
    V share = SELECT(negative, e, SET(1.0)) / down, rest = SELECT(negative, SET(1.0), e) / down;
    return (SET(1.0) - y) * share - y * rest;
}

ALWAYS_INLINE V
LEVEL(logistic_loss)(V z, V y)
{
    V size = LEVEL(absolute)(z), weight = SELECT(z >= SET(0.0), SET(1.0) - y, y);
    return LEVEL(log1p_of_positive)(LEVEL(exp)(-size)) +
           LEVEL(damped)(SELECT(z >= SET(0.0), z, -z), weight);
}

ALWAYS_INLINE V
LEVEL(logaddexp)(V a, V b)
{
    V top = SELECT(b > a, b, a);
    V found = top + LEVEL(log1p_of_positive)(LEVEL(exp)(-LEVEL(absolute)(a - b)));
    found = SELECT(LEVEL(absolute)(top) == SET(Py_HUGE_VAL), top, found);
    return SELECT((I)(a == a) & (I)(b == b), found, SET(Py_NAN));
}

ALWAYS_INLINE V
LEVEL(normal_pdf)(V x)
{
    return SET(0.3989422804014327) * LEVEL(exp)((SET(-0.5) * x) * x);
}

ALWAYS_INLINE V
LEVEL(one_minus)(V a, V z) /* 1 - sigmoid(z) */
{
    (void)a;
    return LEVEL(sigmoid)(-z);
}

ALWAYS_INLINE V
LEVEL(one_minus_square)(V a, V z) /* 1 - tanh(z)**2; by way of e**-2|z| where that is small */
{
    V rest = SET(1.0) - a * a;
    V e = LEVEL(exp)(SET(-2.0) * LEVEL(absolute)(z)), down = SET(1.0) + e;
    return SELECT(rest < SET(0.5), SET(4.0) * e / (down * down), rest);
}

/* --- rows over a stretch --------------------------------------------------------------------- */

/* Operands lie one after another where their stride is 1, and are one number where it is 0. The
   result may be in the place of an operand. */

#define OVER(expression)                 \
    INDEPENDENT                          \
    for (Py_ssize_t i = 0; i < n; i++) { \
        r[i] = expression;               \
    }                                    \
    break;

#define UNARY_OVER(NAME, name, value, partial) \
    case NAME:                                 \
        OVER(value(x[i]))

static void
LEVEL(unary_rows)(int row, Py_ssize_t n, double *r, const double *x)
{
    switch (row) {
        UNARY_ROWS(UNARY_OVER)
    }
}

#define BINARY_OVER(NAME, name, value, first, second) \
    case NAME:                                        \
        OVER(value(A, B))

#define BINARY_SWITCH         \
    switch (row) {            \
        BINARY_ROWS(BINARY_OVER) \
    case ROW_HYPOT:           \
        OVER(hypot(A, B))     \
    case ROW_ATAN2:           \
        OVER(atan2(A, B))     \
    }

#define A x[i]
#define B y[i]
static void
LEVEL(binary_rows)(int row, Py_ssize_t n, double *r, const double *x, const double *y)
{
    BINARY_SWITCH
}
#undef B
#define B b
static void
LEVEL(binary_rows_left)(int row, Py_ssize_t n, double *r, const double *x, double b)
{
    BINARY_SWITCH
}
#undef A
#undef B
#define A a
#define B y[i]
static void
LEVEL(binary_rows_right)(int row, Py_ssize_t n, double *r, double a, const double *y)
{
    BINARY_SWITCH
}
#undef A
#undef B

/* A stretch by vectors; what is left at its end by a vector that is filled up. */
#define UNARY_VECTORS(function)                                            \
    for (; i + WIDTH <= n; i += WIDTH) {                                   \
        STORE(r + i, LEVEL(function)(LOAD(x + i)));                        \
    }                                                                      \
    if (i < n) {                                                           \
        double end[WIDTH] = {0};                                           \
        memcpy(end, x + i, sizeof(double) * (size_t)(n - i));              \
        STORE(end, LEVEL(function)(LOAD(end)));                            \
        memcpy(r + i, end, sizeof(double) * (size_t)(n - i));              \
    }                                                                      \
    return 1;

#define BINARY_VECTORS(function)                                           \
    for (; i + WIDTH <= n; i += WIDTH) {                                   \
        V a = sx ? LOAD(x + i) : SET(*x), b = sy ? LOAD(y + i) : SET(*y);  \
        STORE(r + i, LEVEL(function)(a, b));                               \
    }                                                                      \
    if (i < n) {                                                           \
        size_t left = (size_t)(n - i);                                     \
        double a[WIDTH] = {0}, b[WIDTH] = {0};                             \
        memcpy(a, x + sx * i, sizeof(double) * (sx ? left : 1));           \
        memcpy(b, y + sy * i, sizeof(double) * (sy ? left : 1));           \
        STORE(a, LEVEL(function)(sx ? LOAD(a) : SET(*a), sy ? LOAD(b) : SET(*b))); \
        memcpy(r + i, a, sizeof(double) * left);                           \
    }                                                                      \
    return 1;

/* Whether the row has a form for vectors; if so it is done. */
static int
LEVEL(unary_vectors)(int row, Py_ssize_t n, double *r, const double *x)
{
    Py_ssize_t i = 0;
    switch (row) {
    case EXP:
        UNARY_VECTORS(exp)
    case LOG:
        UNARY_VECTORS(log)
    case SIGMOID:
        UNARY_VECTORS(sigmoid)
    case TANH:
        UNARY_VECTORS(tanh)
    case SOFTPLUS:
        UNARY_VECTORS(softplus)
    case LOGSIGMOID:
        UNARY_VECTORS(logsigmoid)
    case SILU:
        UNARY_VECTORS(silu)
    case NORMAL_PDF:
        UNARY_VECTORS(normal_pdf)
    }
    return 0;
}

static int
LEVEL(binary_vectors)(int row, Py_ssize_t n, double *r, const double *x, Py_ssize_t sx,
                      const double *y, Py_ssize_t sy)
{
    Py_ssize_t i = 0;
    switch (row) {
    case SIGMOID_MINUS:
        BINARY_VECTORS(sigmoid_minus)
    case LOGISTIC_LOSS:
        BINARY_VECTORS(logistic_loss)
    case LOGADDEXP:
        BINARY_VECTORS(logaddexp)
    case ROW_ONE_MINUS:
        BINARY_VECTORS(one_minus)
    case ROW_ONE_MINUS_SQUARE:
        BINARY_VECTORS(one_minus_square)
    }
    return 0;
}

static void
LEVEL(add_to)(Py_ssize_t n, double *r, const double *x, Py_ssize_t s)
{
    if (s == 0) {
        double a = x[0];
        for (Py_ssize_t i = 0; i < n; i++) {
            r[i] = r[i] + a;
        }
        return;
    }
    INDEPENDENT
    for (Py_ssize_t i = 0; i < n; i++) {
        r[i] = r[i] + x[i];
    }
}

/* The sum of a stretch, in eight parts, on every processor the same. */
static double
LEVEL(total)(Py_ssize_t n, const double *x)
{
    V part[8 / WIDTH];
    double sum[8];
    Py_ssize_t i = 0;
    for (int k = 0; k < 8 / WIDTH; k++) {
        part[k] = SET(0.0);
    }
    for (; i + 8 <= n; i += 8) {
        for (int k = 0; k < 8 / WIDTH; k++) {
            part[k] = part[k] + LOAD(x + i + k * WIDTH);
        }
    }
    for (int k = 0; k < 8 / WIDTH; k++) {
        STORE(sum + k * WIDTH, part[k]);
    }
    for (int k = 0; i < n; i++, k++) {
        sum[k] += x[i];
    }
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* One row over a stretch of *n*; *x* and *s* hold the operands and their strides, 0 or 1. */
static void
LEVEL(rows)(int row, int n_arguments, Py_ssize_t n, double *r, const double *const *x,
            const Py_ssize_t *s)
{
    if (n_arguments == 1 && row < N_KERNELS && kernels[row].unary.value != NULL) {
        if (s[0] == 0) { /* the same for all */
            double once;
            LEVEL(rows)(row, 1, 1, &once, x, (const Py_ssize_t[]){1});
            for (Py_ssize_t i = 0; i < n; i++) {
                r[i] = once;
            }
        }
        else if (!LEVEL(unary_vectors)(row, n, r, x[0])) {
            LEVEL(unary_rows)(row, n, r, x[0]);
        }
        return;
    }
    if (n_arguments == 2 && (row > N_KERNELS || row == ROW_HYPOT ||
                             kernels[row].binary.value != NULL) && row != ROW_TAKE) {
        if (s[0] == 0 && s[1] == 0) {
            double once;
            LEVEL(rows)(row, 2, 1, &once, x, (const Py_ssize_t[]){1, 1});
            for (Py_ssize_t i = 0; i < n; i++) {
                r[i] = once;
            }
        }
        else if (!LEVEL(binary_vectors)(row, n, r, x[0], s[0], x[1], s[1])) {
            if (s[0] == 0) {
                LEVEL(binary_rows_right)(row, n, r, x[0][0], x[1]);
            }
            else if (s[1] == 0) {
                LEVEL(binary_rows_left)(row, n, r, x[0], x[1][0]);
            }
            else {
                LEVEL(binary_rows)(row, n, r, x[0], x[1]);
            }
        }
        return;
    }
    /* Of three and more arguments. */
    switch (row) {
    case WHERE: {
        const double *c = x[0], *a = x[1], *b = x[2];
        Py_ssize_t sc = s[0], sa = s[1], sb = s[2];
        INDEPENDENT
        for (Py_ssize_t i = 0; i < n; i++) {
            double yes = a[sa * i], no = b[sb * i];
            r[i] = c[sc * i] != 0.0 ? yes : no;
        }
        break;
    }
    case SUM:
    case MEAN:
        for (Py_ssize_t i = 0; i < n; i++) {
            r[i] = x[0][s[0] * i];
        }
        for (int k = 1; k < n_arguments; k++) {
            LEVEL(add_to)(n, r, x[k], s[k]);
        }
        for (Py_ssize_t i = 0; row == MEAN && i < n; i++) {
            r[i] = r[i] / (double)n_arguments;
        }
        break;
    case DOT: {
        int half = n_arguments / 2;
        for (Py_ssize_t i = 0; i < n; i++) {
            r[i] = x[2 * half][s[2 * half] * i];
        }
        for (int k = 0; k < half; k++) {
            const double *a = x[k], *b = x[half + k];
            Py_ssize_t sa = s[k], sb = s[half + k];
            INDEPENDENT
            for (Py_ssize_t i = 0; i < n; i++) {
                r[i] = r[i] + a[sa * i] * b[sb * i];
            }
        }
        break;
    }
    }
}

/* --- flat steps ------------------------------------------------------------------------------ */

#define FLAT_BINARY(name, operator)                         \
    case name:                                              \
        if (s[0] && s[1]) {                                 \
            INDEPENDENT                                     \
            for (Py_ssize_t i = 0; i < n; i++) {            \
                r[i] = x[0][i] operator x[1][i];            \
            }                                               \
            continue;                                       \
        }                                                   \
        break;

/* Steps of a list on *n* lanes; where one needs more than this file knows, its number, else the
   number of all. */
static Py_ssize_t
LEVEL(flat)(const Flat *flat, Py_ssize_t first, Py_ssize_t count, Py_ssize_t n, double *still,
            double *block)
{
    for (Py_ssize_t k = first; k < count; k++) {
        const Flat step = flat[k];
        double *r = block + step.result * n;
        const double *x[3];
        Py_ssize_t s[3];
        for (int i = 0; i < 3; i++) {
            int32_t at = step.argument[i];
            s[i] = at >= 0;
            x[i] = at >= 0 ? block + at * n : still + ~at;
        }
        switch (step.row) {
            FLAT_BINARY(ADD, +)
            FLAT_BINARY(SUBTRACT, -)
            FLAT_BINARY(MULTIPLY, *)
            FLAT_BINARY(DIVIDE, /)
        case NEGATIVE:
            if (s[0]) {
                INDEPENDENT
                for (Py_ssize_t i = 0; i < n; i++) {
                    r[i] = -x[0][i];
                }
                continue;
            }
            break;
        }
        int arity = arity_of(step.row);
        if (arity == 0) {
            return k;
        }
        LEVEL(rows)(step.row, arity, n, r, x, s);
    }
    return count;
}

/* --- into lanes ------------------------------------------------------------------------------ */

/* Put *n* examples of *size* numbers, *apart* numbers from one to the next, into lanes. */
static void
LEVEL(into_lanes)(Py_ssize_t n, Py_ssize_t size, const double *x, Py_ssize_t apart, double *block)
{
    for (Py_ssize_t i = 0; i < size; i++) {
        for (Py_ssize_t l = 0; l < n; l++) {
            block[i * n + l] = x[l * apart + i];
        }
    }
}

/* --- careful forms --------------------------------------------------------------------------- */

/* On a tile: *n* rows of *w* numbers each, one after another; a column is one line of the form. */

static void
LEVEL(tops)(Py_ssize_t n, Py_ssize_t w, const double *z, double *top)
{
    memcpy(top, z, sizeof(double) * (size_t)w);
    for (Py_ssize_t k = 1; k < n; k++) {
        const double *x = z + k * w;
        for (Py_ssize_t l = 0; l < w; l++) {
            double a = top[l], b = x[l];
            double larger = (b > a) | (b != b) ? b : a;
            top[l] = (a == b) & (b == 0.0) ? a + b : larger;
        }
    }
}

static void
LEVEL(sums)(Py_ssize_t n, Py_ssize_t w, const double *x, double *sum)
{
    memcpy(sum, x, sizeof(double) * (size_t)w);
    for (Py_ssize_t k = 1; k < n; k++) {
        LEVEL(add_to)(w, sum, x + k * w, 1);
    }
}

static int
LEVEL(all_finite)(Py_ssize_t n, const double *x)
{
    int finite = 1;
    for (Py_ssize_t i = 0; i < n; i++) {
        finite &= fabs(x[i]) < Py_HUGE_VAL;
    }
    return finite;
}

/* Put e**(z - top) in the place of z. */
static void
LEVEL(weights)(Py_ssize_t n, Py_ssize_t w, double *z, const double *top)
{
    int finite = LEVEL(all_finite)(w, top);
    for (Py_ssize_t k = 0; k < n; k++) {
        double *x = z + k * w;
        for (Py_ssize_t l = 0; finite && l < w; l++) {
            x[l] = x[l] - top[l];
        }
        /* An infinite logit takes all; where all are -inf, none is right. */
        for (Py_ssize_t l = 0; !finite && l < w; l++) {
            double one = top[l] > -Py_HUGE_VAL ? 0.0 : Py_NAN;
            x[l] = x[l] == top[l] ? one : x[l] - top[l];
        }
    }
    LEVEL(unary_vectors)(EXP, n * w, z, z);
}

/* Put the softmax in the place of z; *top* and *sum* are room for a row each. */
static void
LEVEL(softmax)(Py_ssize_t n, Py_ssize_t w, double *z, double *top, double *sum)
{
    LEVEL(tops)(n, w, z, top);
    LEVEL(weights)(n, w, z, top);
    LEVEL(sums)(n, w, z, sum);
    for (Py_ssize_t k = 0; k < n; k++) {
        double *x = z + k * w;
        for (Py_ssize_t l = 0; l < w; l++) {
            x[l] = x[l] / sum[l];
        }
    }
}

static void
LEVEL(logsumexp)(Py_ssize_t n, Py_ssize_t w, double *z, double *top, double *rest, double *skipped)
{
    LEVEL(tops)(n, w, z, top);
    for (Py_ssize_t l = 0; l < w; l++) {
        skipped[l] = -1.0; /* and one for each that is the largest: how many more there are */
        rest[l] = 0.0;
    }
    for (Py_ssize_t k = 0; k < n; k++) {
        double *x = z + k * w;
        for (Py_ssize_t l = 0; l < w; l++) {
            int is_top = x[l] == top[l];
            skipped[l] += is_top ? 1.0 : 0.0;
            x[l] = is_top ? -Py_HUGE_VAL : x[l] - top[l];
        }
    }
    LEVEL(unary_vectors)(EXP, n * w, z, z);
    for (Py_ssize_t k = 0; k < n; k++) {
        LEVEL(add_to)(w, rest, z + k * w, 1);
    }
    for (Py_ssize_t l = 0; l < w; l++) {
        double found = top[l] + signed_log1p(rest[l] + skipped[l]);
        top[l] = fabs(top[l]) < Py_HUGE_VAL ? found : top[l];
    }
}

/* Put minus the logarithms of the softmax in the place of z; *e* is room for a tile. */
static void
LEVEL(surprisals)(Py_ssize_t n, Py_ssize_t w, double *z, double *e, double *top, double *rest,
                  double *skipped)
{
    LEVEL(tops)(n, w, z, top);
    for (Py_ssize_t l = 0; l < w; l++) {
        skipped[l] = -1.0;
        rest[l] = 0.0;
    }
    for (Py_ssize_t k = 0; k < n; k++) {
        double *x = z + k * w;
        for (Py_ssize_t l = 0; l < w; l++) {
            double tie = top[l] > -Py_HUGE_VAL ? 0.0 : Py_NAN;
            double below = x[l] == top[l] ? tie : top[l] - x[l];
            x[l] = below;
            skipped[l] += below == 0.0 ? 1.0 : 0.0;
            e[k * w + l] = below == 0.0 ? -Py_HUGE_VAL : -below;
        }
    }
    LEVEL(unary_vectors)(EXP, n * w, e, e);
    for (Py_ssize_t k = 0; k < n; k++) {
        LEVEL(add_to)(w, rest, e + k * w, 1);
    }
    for (Py_ssize_t l = 0; l < w; l++) {
        rest[l] = signed_log1p(rest[l] + skipped[l]);
    }
    for (Py_ssize_t k = 0; k < n; k++) {
        LEVEL(add_to)(w, z + k * w, rest, 1);
    }
}

/* Put softmax(z) - y in the place of z, with all digits also where both are almost 1. */
static void
LEVEL(softmax_minus)(Py_ssize_t n, Py_ssize_t w, double *z, const double *y, double *top,
                     double *rest, double *total)
{
    LEVEL(softmax)(n, w, z, top, rest);
    LEVEL(sums)(n, w, y, total);
    for (Py_ssize_t l = 0; l < w; l++) {
        rest[l] = 0.0;
    }
    for (Py_ssize_t k = 0; k < n; k++) {
        for (Py_ssize_t l = 0; l < w; l++) {
            double p = z[k * w + l];
            rest[l] += p > 0.9 ? 0.0 : p;
        }
    }
    for (Py_ssize_t k = 0; k < n; k++) {
        for (Py_ssize_t l = 0; l < w; l++) {
            double p = z[k * w + l], t = y[k * w + l];
            double sure = (total[l] - t) * p - t * rest[l], plain = p * total[l] - t;
            z[k * w + l] = p > 0.9 ? sure : plain;
        }
    }
}

/* Put p (g - sum of g p) in the place of p, with all digits. */
static void
LEVEL(softmax_pullback)(Py_ssize_t n, Py_ssize_t w, double *p, const double *g, double *sum,
                        double *rest, double *small)
{
    int careful = 0;
    for (Py_ssize_t l = 0; l < w; l++) {
        sum[l] = rest[l] = small[l] = 0.0;
    }
    for (Py_ssize_t k = 0; k < n; k++) {
        for (Py_ssize_t l = 0; l < w; l++) {
            double share = p[k * w + l];
            sum[l] += share * g[k * w + l];
            careful |= share > 0.999;
        }
    }
    if (!careful) {
        for (Py_ssize_t k = 0; k < n; k++) {
            for (Py_ssize_t l = 0; l < w; l++) {
                p[k * w + l] = p[k * w + l] * (g[k * w + l] - sum[l]);
            }
        }
        return;
    }
    /* The same without subtracting from a p near 1, of which a line has one at most:
       p_j (g_j (1 - p_j) - sum of the other g_k p_k). */
    for (Py_ssize_t k = 0; k < n; k++) {
        for (Py_ssize_t l = 0; l < w; l++) {
            double share = p[k * w + l], part = share * g[k * w + l];
            rest[l] += share > 0.5 ? 0.0 : share;
            small[l] += share > 0.5 ? 0.0 : part;
        }
    }
    for (Py_ssize_t l = 0; l < w; l++) {
        double large = -1.0, its = 0.0;
        for (Py_ssize_t k = 0; k < n; k++) {
            if (p[k * w + l] > 0.5) {
                large = p[k * w + l];
                its = large * g[k * w + l];
            }
        }
        int needs_care = large > 0.999 && rest[l] > 0.0;
        for (Py_ssize_t k = 0; k < n; k++) {
            double share = p[k * w + l], slope = g[k * w + l];
            if (!needs_care) {
                p[k * w + l] = share * (slope - sum[l]);
            }
            else if (share > 0.5) {
                p[k * w + l] = share * (slope * rest[l] - small[l]);
            }
            else {
                double others = small[l] + its - share * slope;
                p[k * w + l] = share * (slope * (1.0 - share) - others);
            }
        }
    }
}

/* Put the result of a form in the place of *z*: its tile, or its one row. *y* is the second operand;
   room for a tile and three rows follows at *room*. */
static void
LEVEL(careful)(int code, Py_ssize_t n, Py_ssize_t w, double *z, double *y, double *room)
{
    double *a = room, *b = room + w, *c = room + 2 * w, *tile = room + 3 * w;
    switch (code) {
    case STEP_segment_sum:
        LEVEL(sums)(n, w, z, a);
        memcpy(z, a, sizeof(double) * (size_t)w);
        break;
    case STEP_maximum:
        LEVEL(tops)(n, w, z, a);
        memcpy(z, a, sizeof(double) * (size_t)w);
        break;
    case STEP_minimum:
        for (Py_ssize_t i = 0; i < n * w; i++) {
            z[i] = -z[i];
        }
        LEVEL(tops)(n, w, z, a);
        for (Py_ssize_t l = 0; l < w; l++) {
            z[l] = -a[l];
        }
        break;
    case STEP_logsumexp:
        LEVEL(logsumexp)(n, w, z, a, b, c);
        memcpy(z, a, sizeof(double) * (size_t)w);
        break;
    case STEP_softmax:
        LEVEL(softmax)(n, w, z, a, b);
        break;
    case STEP_logsumexp_slopes:
        LEVEL(softmax)(n, w, z, a, b);
        for (Py_ssize_t i = 0; i < n * w; i++) {
            z[i] = a[i % w] == -Py_HUGE_VAL ? 0.0 : z[i];
        }
        break;
    case STEP_softmax_pullback:
        LEVEL(softmax_pullback)(n, w, z, y, a, b, c);
        break;
    case STEP_surprisals:
        LEVEL(surprisals)(n, w, z, tile, a, b, c);
        break;
    case STEP_cross_entropy:
        LEVEL(surprisals)(n, w, z, tile, a, b, c);
        for (Py_ssize_t l = 0; l < w; l++) {
            a[l] = 0.0;
        }
        for (Py_ssize_t k = 0; k < n; k++) {
            for (Py_ssize_t l = 0; l < w; l++) {
                double share = y[k * w + l];
                a[l] += share == 0.0 ? 0.0 : share * z[k * w + l];
            }
        }
        memcpy(z, a, sizeof(double) * (size_t)w);
        break;
    case STEP_softmax_minus:
        LEVEL(softmax_minus)(n, w, z, y, a, b, c);
        break;
    }
}

static const struct Vector LEVEL(functions) = {
    LEVEL_NAME, LEVEL(rows), LEVEL(add_to), LEVEL(total), LEVEL(flat), LEVEL(into_lanes),
    LEVEL(careful),
};

#undef V
#undef I
#undef LOAD
#undef STORE
#undef SET
#undef WHOLE
#undef BITS
#undef FLOATS
#undef SELECT
#undef LOGICAL_SHIFT
#undef FMA
#undef OVER
#undef UNARY_OVER
#undef BINARY_OVER
#undef BINARY_SWITCH
#undef UNARY_VECTORS
#undef BINARY_VECTORS
#undef FLAT_BINARY
