/* The rows of the table on floats, to the last bit.

   Each function is the one of that name in the table; the explanations stand there. */

static double one2(double x, double y) { (void)x, (void)y; return 1.0; }
static double minus_one2(double x, double y) { (void)x, (void)y; return -1.0; }
static double one3(double a, double b, double y) { (void)a, (void)b, (void)y; return 1.0; }
static double minus_one3(double a, double b, double y) { (void)a, (void)b, (void)y; return -1.0; }
static double output2(double x, double y) { (void)x; return y; }
static double first(double a, double b, double y) { (void)b, (void)y; return a; }
static double second(double a, double b, double y) { (void)a, (void)y; return b; }

static double k_add(double a, double b) { return a + b; }
static double k_subtract(double a, double b) { return a - b; }
static double k_multiply(double a, double b) { return a * b; }
static double k_divide(double a, double b) { return a / b; }
static double k_divide_0(double a, double b, double y) { (void)a, (void)y; return 1.0 / b; }
static double k_divide_1(double a, double b, double y) { (void)a; return -y / b; }
static double k_negative(double x) { return -x; }
static double k_identity(double x) { return x; }
static double k_square(double x) { return x * x; }
static double k_square_0(double x, double y) { (void)y; return 2.0 * x; }
static double k_damped(double x, double w) { return w != 0.0 ? x * w : 0.0; }

static double
k_damped_1(double x, double w, double y)
{
    (void)y;
    return w == 0.0 && isinf(x) ? 0.0 : x;
}

static double k_equal(double a, double b) { return a == b ? 1.0 : 0.0; }
static double k_less(double a, double b) { return a < b ? 1.0 : 0.0; }
static double k_less_equal(double a, double b) { return a <= b ? 1.0 : 0.0; }
static double k_step(double x) { return x > 0.0 ? 1.0 : x <= 0.0 ? 0.0 : Py_NAN; }
static double k_step_0(double x, double y) { (void)y; return k_step(x); }
static double k_sign(double x) { return k_step(x) - k_step(-x); }
static double k_sign_0(double x, double y) { (void)y; return k_sign(x); }

static double k_exp_0(double x, double y) { (void)y; return exp(x); }
static double k_log(double x) { return x > 0.0 ? log(x) : x == 0.0 ? -Py_HUGE_VAL : Py_NAN; }
static double k_log_0(double x, double y) { (void)y; return (x < 0.0 ? Py_NAN : 1.0) / (x + 0.0); }

static double
k_log1p(double x)
{
    if (x > -1.0) {
        return x == 0.0 ? x : log1p(x);
    }
    return x == -1.0 ? -Py_HUGE_VAL : Py_NAN;
}

static double k_log1p_0(double x, double y) { return k_log_0(1.0 + x, y); }
static double k_sqrt(double x) { return x >= 0.0 ? sqrt(x) : Py_NAN; }
static double k_sqrt_0(double x, double y) { (void)x; return 0.5 / (y + 0.0); }
static double k_sin(double x) { return isfinite(x) ? sin(x) : Py_NAN; }
static double k_cos(double x) { return isfinite(x) ? cos(x) : Py_NAN; }
static double k_tan(double x) { return isfinite(x) ? tan(x) : Py_NAN; }
static double k_sin_0(double x, double y) { (void)y; return k_cos(x); }
static double k_cos_0(double x, double y) { (void)y; return -k_sin(x); }
static double k_tan_0(double x, double y) { (void)x; return 1.0 + y * y; }

static double
k_power_0(double x, double p, double y)
{
    (void)y;
    return p != 0.0 ? p * pow(x, p - 1.0) : 0.0;
}

static double
k_power_1(double x, double p, double y)
{
    return x == 0.0 && 0.0 <= p ? 0.0 : y * k_log(x);
}

static double
k_sigmoid(double x)
{
    if (x >= 0.0) {
        return 1.0 / (1.0 + exp(-x));
    }
    double e = exp(x);
    return e / (1.0 + e);
}

static double k_sigmoid_0(double x, double y) { return y * k_sigmoid(-x); }

static double
k_tanh_0(double x, double y)
{
    (void)y;
    return 4.0 * (k_sigmoid(2.0 * x) * k_sigmoid(-2.0 * x));
}

static double k_relu(double x) { return x <= 0.0 ? 0.0 : x; }
static double k_leaky_relu(double x, double slope) { return x > 0.0 ? x : slope * x; }

static double
k_leaky_relu_0(double x, double slope, double y)
{
    (void)y;
    double step = k_step(x);
    return (step != 0.0 ? 1.0 : slope) + 0.0 * step;
}

static double
k_leaky_relu_1(double x, double slope, double y)
{
    (void)slope, (void)y;
    double step = k_step(x);
    return step != 0.0 ? 0.0 * step : x;
}

static double
k_softplus(double x)
{
    return x > 0.0 ? x + k_log1p(exp(-x)) : k_log1p(exp(x));
}

static double k_softplus_0(double x, double y) { (void)y; return k_sigmoid(x); }
static double k_logsigmoid(double x) { return -k_softplus(-x); }
static double k_logsigmoid_0(double x, double y) { (void)y; return k_sigmoid(-x); }
static double k_silu(double x) { return k_damped(x, k_sigmoid(x)); }

static double
k_silu_0(double x, double y)
{
    (void)y;
    double up = k_sigmoid(x), down = k_sigmoid(-x);
    return up + k_damped(x, up * down);
}

static double k_normal_pdf(double x) { return sqrt(0.5 / Py_MATH_PI) * exp(-0.5 * x * x); }
static double k_normal_pdf_0(double x, double y) { return -k_damped(x, y); }
static double k_normal_cdf(double x) { return 0.5 * erfc(-x * sqrt(0.5)); }
static double k_normal_cdf_0(double x, double y) { (void)y; return k_normal_pdf(x); }

static double k_gelu(double x) { return k_damped(x, k_normal_cdf(x)); }

static double
k_gelu_0(double x, double y)
{
    (void)y;
    return k_normal_cdf(x) + k_damped(x, k_normal_pdf(x));
}

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
    return top + k_log1p(rest);
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

static double
k_logaddexp(double a, double b)
{
    if (a != a || b != b) {
        return Py_NAN;
    }
    double high = b > a ? b : a;
    return isinf(high) ? high : high + k_log1p(exp(-fabs(a - b)));
}

static double
k_logaddexp_share(double a, double b, double y, int i)
{
    double x[2] = {a, b};
    double partial[2];
    k_shares(x, 2, partial);
    return y == -Py_HUGE_VAL ? 0.0 : partial[i];
}

static double k_logaddexp_0(double a, double b, double y) { return k_logaddexp_share(a, b, y, 0); }
static double k_logaddexp_1(double a, double b, double y) { return k_logaddexp_share(a, b, y, 1); }

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

/* Not here, because `math.hypot` has an algorithm of its own: hypot, and atan2 that leans on it. */
static const Kernel kernels[N_KERNELS] = {
    [ADD] = {"+", .binary = {k_add, {one3, one3}}},
    [SUBTRACT] = {"-", .binary = {k_subtract, {one3, minus_one3}}},
    [MULTIPLY] = {"*", .binary = {k_multiply, {second, first}}},
    [DIVIDE] = {"/", .binary = {k_divide, {k_divide_0, k_divide_1}}},
    [POWER] = {"**", .binary = {pow, {k_power_0, k_power_1}}},
    [NEGATIVE] = {"neg", .unary = {k_negative, minus_one2}},
    [ABSOLUTE] = {"abs", .unary = {fabs, k_sign_0}},
    [IDENTITY] = {"identity", .unary = {k_identity, one2}},
    [SQUARE] = {"square", .unary = {k_square, k_square_0}},
    [DAMPED] = {"damped", .binary = {k_damped, {second, k_damped_1}}},
    [EQUAL] = {"equal", .binary = {k_equal, {NULL, NULL}}},
    [LESS] = {"less", .binary = {k_less, {NULL, NULL}}},
    [LESS_EQUAL] = {"less_equal", .binary = {k_less_equal, {NULL, NULL}}},
    [STEP] = {"step", .unary = {k_step, NULL}},
    [SIGN] = {"sign", .unary = {k_sign, NULL}},
    [EXP] = {"exp", .unary = {exp, output2}},
    [EXPM1] = {"expm1", .unary = {expm1, k_exp_0}},
    [LOG] = {"log", .unary = {k_log, k_log_0}},
    [LOG1P] = {"log1p", .unary = {k_log1p, k_log1p_0}},
    [SQRT] = {"sqrt", .unary = {k_sqrt, k_sqrt_0}},
    [SIN] = {"sin", .unary = {k_sin, k_sin_0}},
    [COS] = {"cos", .unary = {k_cos, k_cos_0}},
    [TAN] = {"tan", .unary = {k_tan, k_tan_0}},
    [SIGMOID] = {"sigmoid", .unary = {k_sigmoid, k_sigmoid_0}},
    [TANH] = {"tanh", .unary = {tanh, k_tanh_0}},
    [RELU] = {"relu", .unary = {k_relu, k_step_0}},
    [LEAKY_RELU] = {"leaky_relu", .binary = {k_leaky_relu, {k_leaky_relu_0, k_leaky_relu_1}}},
    [SOFTPLUS] = {"softplus", .unary = {k_softplus, k_softplus_0}},
    [LOGSIGMOID] = {"logsigmoid", .unary = {k_logsigmoid, k_logsigmoid_0}},
    [SILU] = {"silu", .unary = {k_silu, k_silu_0}},
    [NORMAL_PDF] = {"normal_pdf", .unary = {k_normal_pdf, k_normal_pdf_0}},
    [NORMAL_CDF] = {"normal_cdf", .unary = {k_normal_cdf, k_normal_cdf_0}},
    [GELU] = {"gelu", .unary = {k_gelu, k_gelu_0}},
    [LOGADDEXP] = {"logaddexp", .binary = {k_logaddexp, {k_logaddexp_0, k_logaddexp_1}}},
    [WHERE] = {"where", .variadic = {k_where, k_where_d, k_where_takes}},
    [MAXIMUM] = {"maximum", .variadic = {k_maximum, k_tie_shares, NULL}},
    [MINIMUM] = {"minimum", .variadic = {k_minimum, k_tie_shares, NULL}},
    [SUM] = {"sum", .variadic = {k_sum, k_sum_d, NULL}},
    [MEAN] = {"mean", .variadic = {k_mean, k_mean_d, NULL}},
    [DOT] = {"dot"}, /* a function of its own, dot() */
    [SOFTMAX] = {"softmax", .variadic = {k_softmax, k_softmax_d, k_softmax_takes}},
    [LOGSUMEXP] = {"logsumexp", .variadic = {k_logsumexp, k_logsumexp_d, NULL}},
};
