/* What runs over stretches of numbers, compiled once for each level of the processor: see levels.h,
   which says WIDTH, how many doubles a vector has, and LEVEL, which puts the level into a name.

   Arithmetic is the engine's to the last bit. exp and log are our own here, within one unit in the
   last place of the engine's, and what is made of them follows the engine's formulas. */

/* --- vectors --------------------------------------------------------------------------------- */

#define V LEVEL(Vector)
#define I LEVEL(Whole)

#if WIDTH > 1
typedef double V __attribute__((vector_size(8 * WIDTH)));
typedef uint64_t I __attribute__((vector_size(8 * WIDTH))); /* whose sums may wrap around */
typedef double LEVEL(Unaligned) __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
#define LOAD(p) ((V)*(const LEVEL(Unaligned) *)(p))
#define STORE(p, x) ((void)(*(LEVEL(Unaligned) *)(p) = (x)))
#define SET(x) LEVEL(set)(x)
#define WHOLE(x) ((I){0} + (uint64_t)(x))
#define BITS(x) ((I)(x))
#define FLOATS(x) ((V)(x))
#if FUSED == 2 && WIDTH == 4
#define SELECT(mask, x, y) ((V)_mm256_blendv_pd((__m256d)(y), (__m256d)(x), (__m256d)(I)(mask)))
#else
#define SELECT(mask, x, y) ((V)(((I)(mask) & (I)(x)) | (~(I)(mask) & (I)(y))))
#endif
#else
typedef double V;
typedef uint64_t I;
#define LOAD(p) (*(p))
#define STORE(p, x) ((void)(*(p) = (x)))
#define SET(x) (x)
#define WHOLE(x) ((uint64_t)(x))
#define BITS(x) bits_of(x)
#define FLOATS(x) float_of(x)
#define SELECT(mask, x, y) ((mask) ? (x) : (y))
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

#if WIDTH > 1
/* All numbers of a vector the same. (0 + x would be an addition, and lose the sign of -0.0.) */
ALWAYS_INLINE V
LEVEL(set)(double x)
{
#if WIDTH == 8
    return (V){x, x, x, x, x, x, x, x};
#elif WIDTH == 4
    return (V){x, x, x, x};
#else
    return (V){x, x};
#endif
}
#endif

/* x, but not more, or not less, than a bound; a nan stays. */
#if FUSED == 2 && WIDTH == 8
#define AT_MOST(bound, x) ((V)_mm512_min_pd((__m512d)SET(bound), (__m512d)(x)))
#define AT_LEAST(bound, x) ((V)_mm512_max_pd((__m512d)SET(bound), (__m512d)(x)))
#elif FUSED == 2
#define AT_MOST(bound, x) ((V)_mm256_min_pd((__m256d)SET(bound), (__m256d)(x)))
#define AT_LEAST(bound, x) ((V)_mm256_max_pd((__m256d)SET(bound), (__m256d)(x)))
#else
#define AT_MOST(bound, x) SELECT((x) > SET(bound), SET(bound), x)
#define AT_LEAST(bound, x) SELECT((x) < SET(bound), SET(bound), x)
#endif

/* --- exp and log ----------------------------------------------------------------------------- */

/* What e**x is: (1 + r + more) * first * second, with r from about -0.35 to 0.35, *more* smaller, and
   the others powers of two. */
typedef struct {
    V r, more, first, second;
} LEVEL(Power);

ALWAYS_INLINE LEVEL(Power)
LEVEL(power_of)(V x)
{
    /* x = n log(2) + r. Beyond the bounds the result is 0 or inf all the same; a nan stays. */
    x = AT_MOST(710.0, x);
    x = AT_LEAST(-746.0, x);
    const V magic = SET(6755399441055744.0); /* 1.5 * 2**52: adding it rounds to a whole number */
    V n = (x * SET(1.4426950408889634) + magic) - magic;
    V high = x - n * SET(6.93147180369123816490e-01); /* exact: the constant has 33 bits */
    V low = n * SET(1.90821492927058770002e-10);
    V r = high - low, rest = (high - r) - low;
    /* (e**r - 1 - r) / r**2, by pairs, so that no term waits for many others. */
    V r2 = r * r, r4 = r2 * r2;
    V q0 = FMA(FMA(SET(1.0 / 120.0), r, SET(1.0 / 24.0)), r2, FMA(SET(1.0 / 6.0), r, SET(0.5)));
    V q4 = FMA(FMA(SET(1.0 / 362880.0), r, SET(1.0 / 40320.0)), r2,
               FMA(SET(1.0 / 5040.0), r, SET(1.0 / 720.0)));
    V q8 = FMA(FMA(SET(1.0 / 6227020800.0), r, SET(1.0 / 479001600.0)), r2,
               FMA(SET(1.0 / 39916800.0), r, SET(1.0 / 3628800.0)));
    V q = FMA(FMA(q8, r4, q4), r4, q0);
    V half = n * SET(0.5) + magic; /* two factors, so that a subnormal is rounded once */
    V other = (n - (half - magic)) + magic;
    I bias = WHOLE(1023);
    return (LEVEL(Power)){r, FMA(r2, q, rest), FLOATS((BITS(half) + bias) << 52),
                          FLOATS((BITS(other) + bias) << 52)};
}

ALWAYS_INLINE V
LEVEL(exp)(V x)
{
    LEVEL(Power) power = LEVEL(power_of)(x);
    V sum = SET(1.0) + power.r, lost = (SET(1.0) - sum) + power.r;
    return (sum + (lost + power.more)) * power.first * power.second;
}

#if FUSED == 2 && WIDTH == 8
#define SQUARE_ROOT(x) ((V)_mm512_sqrt_pd((__m512d)(x)))
#elif FUSED == 2
#define SQUARE_ROOT(x) ((V)_mm256_sqrt_pd((__m256d)(x)))
#elif FUSED == 1
#define SQUARE_ROOT(x) ((V)vsqrtq_f64((float64x2_t)(x)))
#elif WIDTH == 2
#define SQUARE_ROOT(x) ((V){sqrt((x)[0]), sqrt((x)[1])})
#else
#define SQUARE_ROOT(x) sqrt(x)
#endif

ALWAYS_INLINE V
LEVEL(sqrt)(V x)
{
    return SELECT(x >= SET(0.0), SQUARE_ROOT(x), SET(Py_NAN));
}

ALWAYS_INLINE V
LEVEL(absolute)(V x)
{
    return FLOATS(BITS(x) & WHOLE(INT64_MAX));
}

/* log(x) + more, for x > 0; *more* is small beside it. The formula of FreeBSD's e_log.c,
   but for what the first sum loses. */
ALWAYS_INLINE V
LEVEL(log_of_positive)(V x, V more)
{
    I tiny = (I)(x < SET(2.2250738585072014e-308));
    x = SELECT(tiny, x * SET(18014398509481984.0), x); /* 2**54 */
    /* x = 2**k (1 + f), with 1 + f from about sqrt(1/2) to sqrt(2) */
    I bits = BITS(x) + WHOLE(0x3ff0000000000000 - 0x3fe6a09e667f3bcd);
    I exponent = bits >> 52;
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
    V whole = k * SET(6.93147180369123816490e-01); /* exact, and 0 or larger than f */
    V sum = whole + f, lost = f - (sum - whole);
    return sum + (lost - (square - FMA(s, FMA(series, z, square), low)));
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

/* Whether a mask holds for any number of the vector. */
ALWAYS_INLINE int
LEVEL(any)(I mask)
{
#if FUSED == 2 && WIDTH == 8
    return _mm512_movepi64_mask((__m512i)mask) != 0;
#elif FUSED == 2
    return _mm256_movemask_pd((__m256d)mask) != 0;
#else
    double part[WIDTH];
    int found = 0;
    STORE(part, SELECT(mask, SET(1.0), SET(0.0)));
    for (int i = 0; i < WIDTH; i++) {
        found |= part[i] != 0.0;
    }
    return found;
#endif
}

/* --- sin and cos ----------------------------------------------------------------------------- */

/* The sine of x, or with *quarters* 1 the cosine, for x up to MOST_TURNED. The formulas of FreeBSD's
   e_rem_pio2.c, k_sin.c and k_cos.c: x = n pi/2 + r + rest, with pi/2 in three parts. */
ALWAYS_INLINE V
LEVEL(turned)(V x, uint64_t quarters)
{
    const V magic = SET(6755399441055744.0); /* as in power_of */
    V shifted = x * SET(6.36619772367581382433e-01) + magic, n = shifted - magic;
    V t = x - n * SET(1.57079632673412561417e+00); /* exact: the constant has 33 bits... */
    V w = n * SET(6.07710050630396597660e-11);     /* ...and so has this one */
    V high = t - w;
    V low = n * SET(2.02226624879595063154e-21) - ((t - high) - w);
    V r = high - low, rest = (high - r) - low;
    V z = r * r, z2 = z * z, v = z * r, half = SET(0.5) * z, top = SET(1.0) - half;
    V s = FMA(FMA(FMA(SET(1.58969099521155010221e-10), z, SET(-2.50507602534068634195e-08)), z,
                  SET(2.75573137070700676789e-06)),
              z2, FMA(SET(-1.98412698298579493134e-04), z, SET(8.33333333332248946124e-03)));
    V sine = r - ((z * (SET(0.5) * rest - v * s) - rest) - v * SET(-1.66666666666666324348e-01));
    V c = FMA(FMA(FMA(SET(-1.13596475577881948265e-11), z, SET(2.08757232129817482790e-09)), z,
                  SET(-2.75573143513906633035e-07)),
              z2 * z2, z * FMA(FMA(SET(2.48015872894767294178e-05), z, SET(-1.38888888888741095749e-03)),
                              z, SET(4.16666666666666019037e-02)));
    V cosine = top + (((SET(1.0) - top) - half) + (z * c - r * rest));
    I turn = BITS(shifted) + WHOLE(quarters);
    I odd = WHOLE(0) - (turn & WHOLE(1)), sign = (turn & WHOLE(2)) << 62;
    return FLOATS(BITS(SELECT(odd, cosine, sine)) ^ sign);
}

#define MOST_TURNED 1024.0 /* as far as three parts of pi/2 give all digits */

/* Sines, or cosines, of a stretch; vectors with larger numbers, or with a nan, are left to the library. */
static Py_ssize_t
LEVEL(turns)(int row, Py_ssize_t n, double *r, const double *x)
{
    Py_ssize_t i = 0;
    uint64_t quarters = row == COS;
    for (; i + WIDTH <= n; i += WIDTH) {
        V a = LOAD(x + i);
        if (LEVEL(any)((I)(LEVEL(absolute)(a) > SET(MOST_TURNED)) | (I)(a != a))) {
            unary_row(row, WIDTH, r + i, x + i);
        }
        else {
            STORE(r + i, LEVEL(turned)(a, quarters));
        }
    }
    return i;
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
    V less = FMA(power.r + power.more, scale, scale - SET(1.0));
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
LEVEL(one_minus)(V a, V z) /* 1 - a for a = sigmoid(z): where a is above 1/2, a times e**-z */
{
    V e = LEVEL(exp)(-LEVEL(absolute)(z));
    return SELECT(z > SET(0.0), a * e, SET(1.0) - a);
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
   result may be in the place of an operand. The rows here are those that the compiler makes vectors
   of; all others are the same at every level. */

#define OVER(expression)                 \
    INDEPENDENT                          \
    for (Py_ssize_t i = 0; i < n; i++) { \
        r[i] = expression;               \
    }                                    \
    return 1;

static int
LEVEL(unary_arithmetic)(int row, Py_ssize_t n, double *r, const double *x)
{
    switch (row) {
    case IDENTITY:
        OVER(x[i])
    case NEGATIVE:
        OVER(-x[i])
    case SQUARE:
        OVER(x[i] * x[i])
    case ABSOLUTE:
        OVER(fabs(x[i]))
    case ONE_LESS_SQUARE:
        OVER((1.0 - x[i]) * (1.0 + x[i]))
    case RELU:
        OVER(k_relu(x[i]))
    }
    return 0;
}

#define BINARY_SWITCH                     \
    switch (row) {                        \
    case ADD:                             \
        OVER(A + B)                       \
    case SUBTRACT:                        \
        OVER(A - B)                       \
    case MULTIPLY:                        \
        OVER(A * B)                       \
    case DIVIDE:                          \
        OVER(A / B)                       \
    case LESS:                            \
        OVER(A < B ? 1.0 : 0.0)           \
    case LESS_EQUAL:                      \
        OVER(A <= B ? 1.0 : 0.0)          \
    case EQUAL:                           \
        OVER(A == B ? 1.0 : 0.0)          \
    case SQUARED_ERROR:                   \
        OVER((A - B) * (A - B))           \
    case HALF_SQUARED_ERROR:              \
        OVER(0.5 * ((A - B) * (A - B)))   \
    }                                     \
    return 0;

#define A x[i]
#define B y[i]
static int
LEVEL(binary_arithmetic)(int row, Py_ssize_t n, double *r, const double *x, const double *y)
{
    BINARY_SWITCH
}
#undef B
#define B b
static int
LEVEL(binary_arithmetic_left)(int row, Py_ssize_t n, double *r, const double *x, double b)
{
    if (row == DIVIDE && is_power_of_two(b)) {
        row = MULTIPLY; /* by the reciprocal, which is exact */
        b = 1.0 / b;
    }
    BINARY_SWITCH
}
#undef A
#undef B
#define A a
#define B y[i]
static int
LEVEL(binary_arithmetic_right)(int row, Py_ssize_t n, double *r, double a, const double *y)
{
    BINARY_SWITCH
}
#undef A
#undef B

#define UNARY_VECTORS(function)                     \
    for (; i + WIDTH <= n; i += WIDTH) {            \
        STORE(r + i, LEVEL(function)(LOAD(x + i))); \
    }                                               \
    break;

#define BINARY_VECTORS(function)                                              \
    for (; i + WIDTH <= n; i += WIDTH) {                                      \
        STORE(r + i, LEVEL(function)(LOAD(x + sx * i), LOAD(y + sy * i)));    \
    }                                                                         \
    break;

/* Whether the row has a form for vectors; if so it is done. What is left at the end of a stretch is a
   vector that is filled up. */
static int
LEVEL(unary_vectors)(int row, Py_ssize_t n, double *r, const double *x)
{
    Py_ssize_t i = 0;
    switch (row) {
    case EXP:
        UNARY_VECTORS(exp)
    case LOG:
        UNARY_VECTORS(log)
    case SQRT:
        UNARY_VECTORS(sqrt)
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
    case SIN:
    case COS:
        i = LEVEL(turns)(row, n, r, x);
        break;
    default:
        return 0;
    }
    if (i < n) {
        double end[WIDTH] = {0};
        memcpy(end, x + i, sizeof(double) * (size_t)(n - i));
        LEVEL(unary_vectors)(row, WIDTH, end, end);
        memcpy(r + i, end, sizeof(double) * (size_t)(n - i));
    }
    return 1;
}

static int
LEVEL(binary_vectors)(int row, Py_ssize_t n, double *r, const double *x, Py_ssize_t sx,
                      const double *y, Py_ssize_t sy)
{
    Py_ssize_t i = 0;
    double left[WIDTH], right[WIDTH]; /* an operand that is the same for all, or the end of one */
    if (sx == 0) {
        STORE(left, SET(*x));
        x = left;
    }
    if (sy == 0) {
        STORE(right, SET(*y));
        y = right;
    }
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
    default:
        return 0;
    }
    if (i < n) {
        size_t size = sizeof(double) * (size_t)(n - i);
        if (sx) {
            STORE(left, SET(0.0));
            memcpy(left, x + i, size);
        }
        if (sy) {
            STORE(right, SET(0.0));
            memcpy(right, y + i, size);
        }
        LEVEL(binary_vectors)(row, WIDTH, left, left, 1, right, 1);
        memcpy(r + i, left, size);
    }
    return 1;
}

/* A stretch of sigmoids, and of 1 - them. */
static void
LEVEL(sigmoids)(Py_ssize_t n, double *a, double *rest, const double *z)
{
    Py_ssize_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        V x = LOAD(z + i), e = LEVEL(exp)(-LEVEL(absolute)(x));
        V large = SET(1.0) / (SET(1.0) + e), small = large * e;
        I negative = (I)(x < SET(0.0));
        STORE(a + i, SELECT(negative, small, large));
        STORE(rest + i, SELECT(negative, large, small));
    }
    if (i < n) {
        double x[WIDTH] = {0}, y[WIDTH];
        memcpy(x, z + i, sizeof(double) * (size_t)(n - i));
        LEVEL(sigmoids)(WIDTH, x, y, x);
        memcpy(a + i, x, sizeof(double) * (size_t)(n - i));
        memcpy(rest + i, y, sizeof(double) * (size_t)(n - i));
    }
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
    if (n_arguments == 1 && is_of(row, 1)) {
        if (s[0] == 0) { /* the same for all */
            double once;
            LEVEL(rows)(row, 1, 1, &once, x, (const Py_ssize_t[]){1});
            for (Py_ssize_t i = 0; i < n; i++) {
                r[i] = once;
            }
        }
        else if (!LEVEL(unary_arithmetic)(row, n, r, x[0]) &&
                 !LEVEL(unary_vectors)(row, n, r, x[0])) {
            unary_row(row, n, r, x[0]);
        }
        return;
    }
    if (n_arguments == 2 && is_of(row, 2)) {
        if (s[0] == 0 && s[1] == 0) {
            double once;
            LEVEL(rows)(row, 2, 1, &once, x, (const Py_ssize_t[]){1, 1});
            for (Py_ssize_t i = 0; i < n; i++) {
                r[i] = once;
            }
            return;
        }
        int done = s[0] == 0   ? LEVEL(binary_arithmetic_right)(row, n, r, x[0][0], x[1])
                   : s[1] == 0 ? LEVEL(binary_arithmetic_left)(row, n, r, x[0], x[1][0])
                               : LEVEL(binary_arithmetic)(row, n, r, x[0], x[1]);
        if (!done && !LEVEL(binary_vectors)(row, n, r, x[0], s[0], x[1], s[1])) {
            binary_row(row, n, r, x[0], s[0], x[1], s[1]);
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

/* --- products -------------------------------------------------------------------------------- */

#if WIDTH > 1

/* The first *n* of a vector's numbers, fewer than all; the others are 0. */
#if FUSED == 2 && WIDTH == 8
#define LOAD_PART(x, n) ((V)_mm512_maskz_loadu_pd((__mmask8)((1 << (n)) - 1), x))
#define STORE_PART(r, x, n) _mm512_mask_storeu_pd(r, (__mmask8)((1 << (n)) - 1), (__m512d)(x))
#elif FUSED == 2
#define MASK(n) _mm256_loadu_si256((const __m256i *)(mask_of_part + 4 - (n)))
#define LOAD_PART(x, n) ((V)_mm256_maskload_pd(x, MASK(n)))
#define STORE_PART(r, x, n) _mm256_maskstore_pd(r, MASK(n), (__m256d)(x))
#else
#define LOAD_PART(x, n) ((V){(x)[0], 0.0})
#define STORE_PART(r, x, n) ((void)((r)[0] = (x)[0]))
#endif

/* A tile of *rows* by *vectors* of the result; *part*, if not 0, is how much of the one vector. */
ALWAYS_INLINE void
LEVEL(result_tile)(int rows, int vectors, int a_vector, int adds, Py_ssize_t part, Py_ssize_t k,
                   const Tiles *t, double *r, const double *a, const double *b)
{
    V sum[6][6];
    const Py_ssize_t am = t->am, rm = t->rm, ak = t->ak, bk = t->bk;
    for (int i = 0; i < rows; i++) {
        for (int u = 0; u < vectors; u++) {
            sum[i][u] = !adds ? SET(0.0)
                        : part ? LOAD_PART(r + i * rm, part) : LOAD(r + i * rm + u * WIDTH);
        }
    }
    for (; k > 0; k--, a += ak, b += bk) {
        V y[6];
        for (int u = 0; u < vectors; u++) {
            y[u] = part ? LOAD_PART(b, part) : LOAD(b + u * WIDTH);
        }
        for (int i = 0; i < rows; i++) {
            for (int u = 0; u < vectors; u++) {
                V x = !a_vector ? SET(a[i * am])
                      : part ? LOAD_PART(a + i * am, part) : LOAD(a + i * am + u * WIDTH);
                sum[i][u] = FMA(x, y[u], sum[i][u]);
            }
        }
    }
    for (int i = 0; i < rows; i++) {
        for (int u = 0; u < vectors; u++) {
            if (part) {
                STORE_PART(r + i * rm, sum[i][u], part);
            }
            else {
                STORE(r + i * rm + u * WIDTH, sum[i][u]);
            }
        }
    }
}

#define RESULT_TILE(rows, vectors, a_vector, part)                                               \
    LEVEL(result_tile)(rows, vectors, a_vector, adds, part, k, t, r + i * t->rm + l,              \
                       a + i * t->am + (a_vector ? l : 0), b + l)

/* *m* rows of the result and all of its vectors, summed over *k*. */
static void
LEVEL(result_rows)(const Tiles *t, Py_ssize_t m, Py_ssize_t k, int adds, double *r,
                   const double *a, const double *b)
{
    Py_ssize_t l = 0, i;
    if (m == 1 && !t->a_vector) {
        i = 0;
        for (; l + 6 * WIDTH <= t->v; l += 6 * WIDTH) {
            RESULT_TILE(1, 6, 0, 0);
        }
    }
    for (; l + TILE_VECTORS * WIDTH <= t->v; l += TILE_VECTORS * WIDTH) {
        for (i = 0; t->a_vector && i + 3 <= m; i += 3) {
            RESULT_TILE(3, TILE_VECTORS, 1, 0);
        }
        for (; t->a_vector && i < m; i++) {
            RESULT_TILE(1, TILE_VECTORS, 1, 0);
        }
        for (; i + 6 <= m; i += 6) {
            RESULT_TILE(6, TILE_VECTORS, 0, 0);
        }
        for (; i + 4 <= m; i += 4) {
            RESULT_TILE(4, TILE_VECTORS, 0, 0);
        }
        for (; i + 2 <= m; i += 2) {
            RESULT_TILE(2, TILE_VECTORS, 0, 0);
        }
        for (; i < m; i++) {
            RESULT_TILE(1, TILE_VECTORS, 0, 0);
        }
    }
    for (; l + WIDTH <= t->v; l += WIDTH) {
        for (i = 0; t->a_vector && i < m; i++) {
            RESULT_TILE(1, 1, 1, 0);
        }
        for (; i + 6 <= m; i += 6) {
            RESULT_TILE(6, 1, 0, 0);
        }
        for (; i + 2 <= m; i += 2) {
            RESULT_TILE(2, 1, 0, 0);
        }
        for (; i < m; i++) {
            RESULT_TILE(1, 1, 0, 0);
        }
    }
    Py_ssize_t part = t->v - l;
    if (part) {
        for (i = 0; t->a_vector && i < m; i++) {
            RESULT_TILE(1, 1, 1, part);
        }
        for (; i + 4 <= m; i += 4) {
            RESULT_TILE(4, 1, 0, part);
        }
        for (; i < m; i++) {
            RESULT_TILE(1, 1, 0, part);
        }
    }
}

enum { LEVEL(MOST_SUMMED) = 256, LEVEL(MOST_ROWS) = 48 }; /* of a and b at a time, for the cache */

/* Rows of a whose numbers lie apart, as those of a transposed matrix, are brought together first. */
static void
LEVEL(packed_rows)(const Tiles *t, Py_ssize_t m, Py_ssize_t k, int adds, double *r,
                   const double *a, const double *b)
{
    double packed[LEVEL(MOST_ROWS) * LEVEL(MOST_SUMMED)];
    Tiles tiles = *t;
    for (Py_ssize_t j = 0; j < k; j++) {
        for (Py_ssize_t i = 0; i < m; i++) {
            packed[j * m + i] = a[i * t->am + j * t->ak];
        }
    }
    tiles.am = 1;
    tiles.ak = m;
    LEVEL(result_rows)(&tiles, m, k, adds, r, packed, b);
}

/* r[i, :] = sum over k of a[i, k] b[k, :], where b has vectors, and perhaps a. */
static void
LEVEL(along_result)(const Tiles *t, double *r, const double *a, const double *b)
{
    for (Py_ssize_t k = 0; k < t->k; k += LEVEL(MOST_SUMMED)) {
        Py_ssize_t more = t->k - k < LEVEL(MOST_SUMMED) ? t->k - k : LEVEL(MOST_SUMMED);
        for (Py_ssize_t i = 0; i < t->m; i += LEVEL(MOST_ROWS)) {
            Py_ssize_t rows = t->m - i < LEVEL(MOST_ROWS) ? t->m - i : LEVEL(MOST_ROWS);
            int packs = !t->a_vector && t->ak > 8 && t->v >= 32 && rows > 3;
            (packs ? LEVEL(packed_rows) : LEVEL(result_rows))(
                t, rows, more, t->adds || k > 0, r + i * t->rm, a + i * t->am + k * t->ak,
                b + k * t->bk);
        }
    }
}

ALWAYS_INLINE double
LEVEL(across)(V x)
{
    double part[WIDTH];
    STORE(part, x);
    double total = part[0] + part[WIDTH / 2];
    for (int i = 1; i < WIDTH / 2; i++) {
        total += part[i] + part[i + WIDTH / 2];
    }
    return total;
}

/* The sums of four vectors. */
ALWAYS_INLINE void
LEVEL(across_four)(const V *x, double *total)
{
#if FUSED == 2 && WIDTH == 4
    __m256d low = _mm256_hadd_pd((__m256d)x[0], (__m256d)x[1]);
    __m256d high = _mm256_hadd_pd((__m256d)x[2], (__m256d)x[3]);
    STORE(total, (V)_mm256_permute2f128_pd(low, high, 0x20) +
                     (V)_mm256_permute2f128_pd(low, high, 0x31));
#else
    for (int i = 0; i < 4; i++) {
        total[i] = LEVEL(across)(x[i]);
    }
#endif
}

/* A tile of *rows* by *columns* sums. */
ALWAYS_INLINE void
LEVEL(sum_tile)(int rows, int columns, const Tiles *t, double *r, const double *a, const double *b)
{
    V sum[4][4]; /* of a column the rows */
    const Py_ssize_t am = t->am, bn = t->bn, v = t->v;
    double rest[4][4] = {{0}};
    for (int j = 0; j < columns; j++) {
        for (int i = 0; i < 4; i++) {
            sum[j][i] = SET(0.0);
        }
    }
    for (Py_ssize_t k = 0; k < t->k; k++, a += t->ak, b += t->bk) {
        Py_ssize_t l = 0;
        for (; l + WIDTH <= v; l += WIDTH) {
            V y[4];
            for (int j = 0; j < columns; j++) {
                y[j] = LOAD(b + j * bn + l);
            }
            for (int i = 0; i < rows; i++) {
                V x = LOAD(a + i * am + l);
                for (int j = 0; j < columns; j++) {
                    sum[j][i] = FMA(x, y[j], sum[j][i]);
                }
            }
        }
        for (; l < v; l++) {
            for (int i = 0; i < rows; i++) {
                for (int j = 0; j < columns; j++) {
                    rest[j][i] += a[i * am + l] * b[j * bn + l];
                }
            }
        }
    }
    for (int j = 0; j < columns; j++) {
        double total[4];
        LEVEL(across_four)(sum[j], total);
        for (int i = 0; i < rows; i++) {
            double *place = r + i * t->rm + j * t->rn, found = total[i] + rest[j][i];
            *place = t->adds ? *place + found : found;
        }
    }
}

#define SUM_TILE(rows, columns) \
    LEVEL(sum_tile)(rows, columns, t, r + i * t->rm + j * t->rn, a + i * t->am, b + j * t->bn)

/* r[i, j] = sum over k and all of a vector of a[i, k, :] b[j, k, :]. */
static void
LEVEL(along_sum)(const Tiles *t, double *r, const double *a, const double *b)
{
    Py_ssize_t i = 0, j;
    for (; i + 4 <= t->m; i += 4) {
        for (j = 0; j + TILE_COLUMNS <= t->n; j += TILE_COLUMNS) {
            SUM_TILE(4, TILE_COLUMNS);
        }
        for (; j + 2 <= t->n; j += 2) {
            SUM_TILE(4, 2);
        }
        for (; j < t->n; j++) {
            SUM_TILE(4, 1);
        }
    }
    for (; i + 2 <= t->m; i += 2) {
        for (j = 0; j + 4 <= t->n; j += 4) {
            SUM_TILE(2, 4);
        }
        for (; j < t->n; j++) {
            SUM_TILE(2, 1);
        }
    }
    for (; i < t->m; i++) {
        for (j = 0; j + 4 <= t->n; j += 4) {
            SUM_TILE(1, 4);
        }
        for (; j < t->n; j++) {
            SUM_TILE(1, 1);
        }
    }
}

#else /* plain loops serve */

static void
LEVEL(along_result)(const Tiles *t, double *r, const double *a, const double *b)
{
    for (Py_ssize_t i = 0; i < t->m; i++) {
        for (Py_ssize_t l = 0; l < t->v && !t->adds; l++) {
            r[i * t->rm + l] = 0.0;
        }
        for (Py_ssize_t k = 0; k < t->k; k++) {
            const double *x = a + i * t->am + k * t->ak, *y = b + k * t->bk;
            for (Py_ssize_t l = 0; l < t->v; l++) {
                r[i * t->rm + l] += x[t->a_vector ? l : 0] * y[l];
            }
        }
    }
}

static void
LEVEL(along_sum)(const Tiles *t, double *r, const double *a, const double *b)
{
    for (Py_ssize_t i = 0; i < t->m; i++) {
        for (Py_ssize_t j = 0; j < t->n; j++) {
            double total = 0.0;
            for (Py_ssize_t k = 0; k < t->k; k++) {
                const double *x = a + i * t->am + k * t->ak, *y = b + j * t->bn + k * t->bk;
                for (Py_ssize_t l = 0; l < t->v; l++) {
                    total += x[l] * y[l];
                }
            }
            double *place = r + i * t->rm + j * t->rn;
            *place = t->adds ? *place + total : total;
        }
    }
}

#endif

/* --- into lanes ------------------------------------------------------------------------------ */

#if FUSED == 2
/* Transpose four rows of four numbers. */
ALWAYS_INLINE void
LEVEL(transpose)(const double *x, Py_ssize_t apart, double *r, Py_ssize_t n)
{
    __m256d a = _mm256_loadu_pd(x), b = _mm256_loadu_pd(x + apart);
    __m256d c = _mm256_loadu_pd(x + 2 * apart), d = _mm256_loadu_pd(x + 3 * apart);
    __m256d ab = _mm256_unpacklo_pd(a, b), cd = _mm256_unpacklo_pd(c, d);
    __m256d AB = _mm256_unpackhi_pd(a, b), CD = _mm256_unpackhi_pd(c, d);
    _mm256_storeu_pd(r, _mm256_permute2f128_pd(ab, cd, 0x20));
    _mm256_storeu_pd(r + n, _mm256_permute2f128_pd(AB, CD, 0x20));
    _mm256_storeu_pd(r + 2 * n, _mm256_permute2f128_pd(ab, cd, 0x31));
    _mm256_storeu_pd(r + 3 * n, _mm256_permute2f128_pd(AB, CD, 0x31));
}
#else
ALWAYS_INLINE void
LEVEL(transpose)(const double *x, Py_ssize_t apart, double *r, Py_ssize_t n)
{
    for (int i = 0; i < 4; i++) {
        for (int l = 0; l < 4; l++) {
            r[i * n + l] = x[l * apart + i];
        }
    }
}
#endif

/* Put *n* examples of *size* numbers, *apart* numbers from one to the next, into lanes. */
static void
LEVEL(into_lanes)(Py_ssize_t n, Py_ssize_t size, const double *x, Py_ssize_t apart, double *block)
{
    Py_ssize_t l = 0;
    if (n == 1) {
        memcpy(block, x, sizeof(double) * (size_t)size);
        return;
    }
    for (; l + 8 <= n; l += 8) { /* a cache line of each row */
        Py_ssize_t i = 0;
        for (; i + 4 <= size; i += 4) {
            for (int k = 0; k < 8 && i % 8 == 0 && l + 8 < n; k++) {
                PREFETCH(x + (l + 8 + k) * apart + i);
            }
            LEVEL(transpose)(x + l * apart + i, apart, block + i * n + l, n);
            LEVEL(transpose)(x + (l + 4) * apart + i, apart, block + i * n + l + 4, n);
        }
        for (; i < size; i++) {
            for (int k = 0; k < 8; k++) {
                block[i * n + l + k] = x[(l + k) * apart + i];
            }
        }
    }
    for (; l + 4 <= n; l += 4) {
        Py_ssize_t i = 0;
        for (; i + 4 <= size; i += 4) {
            LEVEL(transpose)(x + l * apart + i, apart, block + i * n + l, n);
        }
        for (; i < size; i++) {
            for (int k = 0; k < 4; k++) {
                block[i * n + l + k] = x[(l + k) * apart + i];
            }
        }
    }
    for (; l < n; l++) {
        for (Py_ssize_t i = 0; i < size; i++) {
            block[i * n + l] = x[l * apart + i];
        }
    }
}

/* --- careful forms --------------------------------------------------------------------------- */

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

ALWAYS_INLINE V
LEVEL(top)(Py_ssize_t n, Py_ssize_t w, const double *z)
{
    V top = LOAD(z);
    for (Py_ssize_t k = 1; k < n; k++) {
        top = LEVEL(larger)(top, LOAD(AT(z, k)));
    }
    return top;
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
    V top = -LOAD(z);
    for (Py_ssize_t k = 1; k < n; k++) {
        top = LEVEL(larger)(top, -LOAD(AT(z, k)));
    }
    STORE(z, -top);
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

static const struct Vector LEVEL(functions) = {
    LEVEL_NAME, LEVEL(rows), LEVEL(sigmoids), LEVEL(add_to), LEVEL(total), LEVEL(flat), LEVEL(into_lanes),
    LEVEL(along_result), LEVEL(along_sum), LEVEL(careful),
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
#undef FMA
#undef OVER
#undef BINARY_SWITCH
#undef UNARY_VECTORS
#undef BINARY_VECTORS
#undef FLAT_BINARY
#undef RESULT_TILE
#undef EACH_ROW
#undef EACH_COLUMN
#undef AT
#undef SQUARE_ROOT
#undef AT_MOST
#undef MOST_TURNED
#undef AT_LEAST
#undef LOAD_PART
#undef STORE_PART
#undef MASK
#undef SUM_TILE

/* The parameters of the level: the next one sets its own. */
#undef LEVEL
#undef LEVEL_NAME
#undef WIDTH
#undef FUSED
#undef TILE_VECTORS
#undef TILE_COLUMNS
