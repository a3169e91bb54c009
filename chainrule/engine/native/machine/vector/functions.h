/* exp, log, sin and cos of a vector, and what is made of them. */

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
