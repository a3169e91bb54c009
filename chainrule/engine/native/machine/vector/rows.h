/* Rows over a stretch of numbers. */

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

/* A vector from *x* on, or the part of one that is left at the end of a stretch; the rest is 0. */
#define LOAD_LEFT(x, left) ((left) >= WIDTH ? LOAD(x) : LOAD_PART(x, left))
#define STORE_LEFT(r, x, left)     \
    if ((left) >= WIDTH) {         \
        STORE(r, x);               \
    }                              \
    else {                         \
        STORE_PART(r, x, left);    \
    }

#define UNARY_VECTORS(function)                                \
    for (; i < n; i += WIDTH) {                                \
        V found = LEVEL(function)(LOAD_LEFT(x + i, n - i));    \
        STORE_LEFT(r + i, found, n - i)                        \
    }                                                          \
    return 1;

#define BINARY_VECTORS(function)                                              \
    for (; i < n; i += WIDTH) {                                               \
        V left = sx ? LOAD_LEFT(x + i, n - i) : SET(*x);                      \
        V right = sy ? LOAD_LEFT(y + i, n - i) : SET(*y);                     \
        V found = LEVEL(function)(left, right);                               \
        STORE_LEFT(r + i, found, n - i)                                       \
    }                                                                         \
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

/* A stretch of sigmoids, and of 1 - them. */
static void
LEVEL(sigmoids)(Py_ssize_t n, double *a, double *rest, const double *z)
{
    Py_ssize_t i = 0;
    for (; i < n; i += WIDTH) {
        V x = LOAD_LEFT(z + i, n - i), e = LEVEL(exp)(-LEVEL(absolute)(x));
        V large = SET(1.0) / (SET(1.0) + e), small = large * e;
        I negative = (I)(x < SET(0.0));
        V here = SELECT(negative, small, large), there = SELECT(negative, large, small);
        STORE_LEFT(a + i, here, n - i)
        STORE_LEFT(rest + i, there, n - i)
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
NEVER_INLINE void
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
