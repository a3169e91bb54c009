/* Made by `python tools/kernels.py` from the rows of the table, which explain it. */

static double k_equal(double, double);
static double k_less(double, double);
static double k_less_equal(double, double);
static double k_step(double);
static double k_whole_quotient(double, double);
static double k_sign(double);
static double k_identity(double);
static double k_add(double, double);
static double k_subtract(double, double);
static double k_multiply(double, double);
static double k_divide(double, double);
static double k_remainder(double, double);
static double k_negative(double);
static double k_power(double, double);
static double k_square(double);
static double k_absolute(double);
static double k_damped(double, double);
static double k_exp(double);
static double k_exp2(double);
static double k_expm1(double);
static double k_log(double);
static double k_log1p(double);
static double k_log2(double);
static double k_log10(double);
static double k_sqrt(double);
static double k_cbrt(double);
static double k_one_less_square(double);
static double k_inverse_hypotenuse(double);
static double k_lorentzian(double);
static double k_gaussian(double);
static double k_inversion(double, double);
static double k_sin(double);
static double k_cos(double);
static double k_tan(double);
static double k_asin(double);
static double k_acos(double);
static double k_atan(double);
static double k_hypot(double, double);
static double k_atan2(double, double);
static double k_sinh(double);
static double k_cosh(double);
static double k_asinh(double);
static double k_acosh(double);
static double k_atanh(double);
static double k_erf(double);
static double k_erfc(double);
static double k_sigmoid(double);
static double k_tanh(double);
static double k_relu(double);
static double k_leaky_relu(double, double);
static double k_softplus(double);
static double k_logsigmoid(double);
static double k_silu(double);
static double k_normal_pdf(double);
static double k_normal_cdf(double);
static double k_gelu(double);
static double k_logaddexp(double, double);
static double k_sigmoid_minus(double, double);
static double k_logistic_loss(double, double);
static double k_squared_error(double, double);
static double k_half_squared_error(double, double);
static double k_hinge_loss(double, double);

static double k_equal(double a, double b) { return a == b ? 1.0 : 0.0; }
static double k_less(double a, double b) { return a < b ? 1.0 : 0.0; }
static double k_less_equal(double a, double b) { return a <= b ? 1.0 : 0.0; }
static double k_step(double x) { return x > 0.0 ? 1.0 : x <= 0.0 ? 0.0 : Py_NAN; }

static double
k_whole_quotient(double a, double b)
{
    if (fabs(k_divide(a - k_remainder(a, b), b)) >= 4503599627370496.0) {
        return k_divide(a - k_remainder(a, b), b);
    }
    double t0 = k_divide(a - k_remainder(a, b), b) + 0.5;
    return t0 - k_remainder(t0, 1.0);
}

static double k_sign(double x) { return k_step(x) - k_step(-x); }
static double k_identity(double x) { return x; }
static double k_identity_0(double x, double y) { (void)x, (void)y; return 1.0; }
static double k_add(double a, double b) { return a + b; }
static double k_add_0(double a, double b, double y) { (void)a, (void)b, (void)y; return 1.0; }
static double k_add_1(double a, double b, double y) { (void)a, (void)b, (void)y; return 1.0; }
static double k_subtract(double a, double b) { return a - b; }
static double k_subtract_0(double a, double b, double y) { (void)a, (void)b, (void)y; return 1.0; }
static double k_subtract_1(double a, double b, double y) { (void)a, (void)b, (void)y; return -1.0; }
static double k_multiply(double a, double b) { return a * b; }
static double k_multiply_0(double a, double b, double y) { (void)a, (void)y; return b; }
static double k_multiply_1(double a, double b, double y) { (void)b, (void)y; return a; }
static double k_divide(double a, double b) { return a / b; }
static double k_divide_0(double a, double b, double y) { (void)a, (void)y; return 1.0 / b; }
static double k_divide_1(double a, double b, double y) { (void)a; return -y / b; }

static double
k_remainder(double a, double b)
{
    if (b == 0.0) {
        return Py_NAN;
    }
    if (isfinite(a)) {
        if (fmod(a, b) == 0.0) {
            return copysign(0.0, b);
        }
        if (fmod(a, b) < 0.0) {
            return b < 0.0 ? fmod(a, b) : fmod(a, b) + b;
        }
        return b < 0.0 ? fmod(a, b) + b : fmod(a, b);
    }
    return Py_NAN;
}

static double
k_remainder_0(double a, double b, double y)
{
    (void)a, (void)b;
    return k_equal(y, y) != 0.0 ? 1.0 : Py_NAN;
}

static double
k_remainder_1(double a, double b, double y)
{
    (void)y;
    return -k_whole_quotient(a, b);
}

static double k_negative(double x) { return -x; }
static double k_negative_0(double x, double y) { (void)x, (void)y; return -1.0; }
static double k_power(double a, double b) { return pow(a, b); }

static double
k_power_0(double a, double b, double y)
{
    (void)y;
    return k_damped(k_power(a, b - 1.0), b);
}

static double
k_power_1(double a, double b, double y)
{
    return (k_equal(a, 0.0) * k_less_equal(0.0, b)) != 0.0 ? 0.0 : (y * k_log(a));
}

static double k_square(double x) { return x * x; }
static double k_square_0(double x, double y) { (void)y; return 2.0 * x; }
static double k_absolute(double x) { return fabs(x); }
static double k_absolute_0(double x, double y) { (void)y; return k_sign(x); }
static double k_damped(double a, double b) { return b != 0.0 ? a * b : 0.0; }
static double k_damped_0(double a, double b, double y) { (void)a, (void)y; return b; }

static double
k_damped_1(double a, double b, double y)
{
    (void)y;
    return (k_equal(b, 0.0) * k_equal(k_absolute(a), Py_HUGE_VAL)) != 0.0 ? 0.0 : a;
}

static double k_exp(double x) { return exp(x); }
static double k_exp_0(double x, double y) { (void)x; return y; }
static double k_exp2(double x) { return k_power(2.0, x); }
static double k_exp2_0(double x, double y) { (void)x; return 0.6931471805599453 * y; }
static double k_expm1(double x) { return expm1(x); }
static double k_expm1_0(double x, double y) { (void)y; return k_exp(x); }
static double k_log(double x) { return x > 0.0 ? log(x) : x == 0.0 ? -Py_HUGE_VAL : Py_NAN; }

static double
k_log_0(double x, double y)
{
    (void)y;
    return (k_less(x, 0.0) != 0.0 ? Py_NAN : 1.0) / (x + 0.0);
}

static double
k_log1p(double x)
{
    return x > -1.0 ? signed_log1p(x) : x == -1.0 ? -Py_HUGE_VAL : Py_NAN;
}

static double
k_log1p_0(double x, double y)
{
    (void)y;
    double t0 = 1.0 + x;
    return (k_less(t0, 0.0) != 0.0 ? Py_NAN : 1.0) / (t0 + 0.0);
}

static double k_log2(double x) { return x > 0.0 ? log2(x) : x == 0.0 ? -Py_HUGE_VAL : Py_NAN; }

static double
k_log2_0(double x, double y)
{
    (void)y;
    return (k_less(x, 0.0) != 0.0 ? Py_NAN : 1.4426950408889634) / (x + 0.0);
}

static double k_log10(double x) { return x > 0.0 ? log10(x) : x == 0.0 ? -Py_HUGE_VAL : Py_NAN; }

static double
k_log10_0(double x, double y)
{
    (void)y;
    return (k_less(x, 0.0) != 0.0 ? Py_NAN : 0.43429448190325176) / (x + 0.0);
}

static double k_sqrt(double x) { return x >= 0.0 ? sqrt(x) : Py_NAN; }
static double k_sqrt_0(double x, double y) { (void)x; return 0.5 / (y + 0.0); }

static double
k_cbrt(double x)
{
    if (x == 0.0) {
        return x;
    }
    if (isfinite(x)) {
        double t0 = copysign(pow(fabs(x), 0.3333333333333333), x);
        return t0 - ((t0 - (x / (t0 * t0))) / 3.0);
    }
    return x;
}

static double k_cbrt_0(double x, double y) { (void)x; return (1.0 / (3.0 * y)) / y; }
static double k_one_less_square(double x) { return (1.0 - x) * (1.0 + x); }
static double k_one_less_square_0(double x, double y) { (void)y; return -2.0 * x; }

static double
k_inverse_hypotenuse(double x)
{
    return fabs(x) < 10000000000.0 ? 1.0 / sqrt(1.0 + (x * x)) : 1.0 / fabs(x);
}

static double k_inverse_hypotenuse_0(double x, double y) { return -((k_damped(x, y) * y) * y); }

static double
k_lorentzian(double x)
{
    if (fabs(x) < 10000000000.0) {
        return 1.0 / (1.0 + (x * x));
    }
    double t0 = 1.0 / x;
    return t0 * t0;
}

static double k_lorentzian_0(double x, double y) { return -2.0 * (k_damped(x, y) * y); }

static double
k_gaussian(double x)
{
    if (fabs(x) < 28.0) {
        double t0 = 134217729.0 * x;
        double t1 = t0 - (t0 - x);
        return exp(-t1 * t1) * exp((t1 - x) * (t1 + x));
    }
    return x == x ? 0.0 : Py_NAN;
}

static double k_gaussian_0(double x, double y) { return -2.0 * k_damped(x, y); }

static double
k_inversion(double a, double b)
{
    if (isinf(a)) {
        return a == a ? (b == b ? 0.0 : Py_NAN) : Py_NAN;
    }
    if (isinf(b)) {
        return a == a ? (b == b ? 0.0 : Py_NAN) : Py_NAN;
    }
    if (fabs(a) >= fabs(b)) {
        return k_divide(1.0, a + (b * k_divide(b, a)));
    }
    double t0 = k_divide(a, b);
    return k_divide(t0, b + (a * t0));
}

static double
k_inversion_0(double a, double b, double y)
{
    double t0 = k_inversion(b, a);
    return (t0 - y) * (t0 + y);
}

static double k_inversion_1(double a, double b, double y) { return -2.0 * (y * k_inversion(b, a)); }
static double k_sin(double x) { return isfinite(x) ? sin(x) : Py_NAN; }
static double k_sin_0(double x, double y) { (void)y; return k_cos(x); }
static double k_cos(double x) { return isfinite(x) ? cos(x) : Py_NAN; }
static double k_cos_0(double x, double y) { (void)y; return -k_sin(x); }
static double k_tan(double x) { return isfinite(x) ? tan(x) : Py_NAN; }
static double k_tan_0(double x, double y) { (void)x; return 1.0 + k_square(y); }
static double k_asin(double x) { return x >= -1.0 ? (x <= 1.0 ? asin(x) : Py_NAN) : Py_NAN; }
static double k_asin_0(double x, double y) { (void)y; return 1.0 / k_sqrt(k_one_less_square(x)); }
static double k_acos(double x) { return x >= -1.0 ? (x <= 1.0 ? acos(x) : Py_NAN) : Py_NAN; }
static double k_acos_0(double x, double y) { (void)y; return -1.0 / k_sqrt(k_one_less_square(x)); }
static double k_atan(double x) { return atan(x); }
static double k_atan_0(double x, double y) { (void)y; return k_lorentzian(x); }
static double k_hypot(double a, double b) { return math_hypot(a, b); }

static double
k_hypot_0(double a, double b, double y)
{
    (void)b;
    return a / (k_equal(y, 0.0) != 0.0 ? 1.0 : y);
}

static double
k_hypot_1(double a, double b, double y)
{
    (void)a;
    return b / (k_equal(y, 0.0) != 0.0 ? 1.0 : y);
}

static double k_atan2(double a, double b) { return atan2(a, b); }
static double k_atan2_0(double a, double b, double y) { (void)y; return k_inversion(b, a); }
static double k_atan2_1(double a, double b, double y) { (void)y; return -k_inversion(a, b); }
static double k_sinh(double x) { return sinh(x); }
static double k_sinh_0(double x, double y) { (void)y; return k_cosh(x); }
static double k_cosh(double x) { return cosh(x); }
static double k_cosh_0(double x, double y) { (void)y; return k_sinh(x); }
static double k_asinh(double x) { return asinh(x); }
static double k_asinh_0(double x, double y) { (void)y; return k_inverse_hypotenuse(x); }
static double k_acosh(double x) { return x >= 1.0 ? acosh(x) : Py_NAN; }

static double
k_acosh_0(double x, double y)
{
    (void)y;
    return (1.0 / k_sqrt(x - 1.0)) / k_sqrt(x + 1.0);
}

static double
k_atanh(double x)
{
    if (x > -1.0) {
        return x < 1.0 ? atanh(x) : fabs(x) == 1.0 ? copysign(Py_HUGE_VAL, x) : Py_NAN;
    }
    return fabs(x) == 1.0 ? copysign(Py_HUGE_VAL, x) : Py_NAN;
}

static double
k_atanh_0(double x, double y)
{
    (void)y;
    return (k_less(1.0, k_absolute(x)) != 0.0 ? Py_NAN : 1.0) / k_one_less_square(x);
}

static double k_erf(double x) { return erf(x); }
static double k_erf_0(double x, double y) { (void)y; return 1.1283791670955126 * k_gaussian(x); }
static double k_erfc(double x) { return erfc(x); }
static double k_erfc_0(double x, double y) { (void)y; return -1.1283791670955126 * k_gaussian(x); }

static double
k_sigmoid(double x)
{
    if (x >= 0.0) {
        return 1.0 / (1.0 + exp(-x));
    }
    double t0 = exp(x);
    return t0 / (1.0 + t0);
}

static double k_sigmoid_0(double x, double y) { return y * k_sigmoid(-x); }
static double k_tanh(double x) { return tanh(x); }

static double
k_tanh_0(double x, double y)
{
    (void)y;
    return 4.0 * (k_sigmoid(2.0 * x) * k_sigmoid(-2.0 * x));
}

static double k_relu(double x) { return x <= 0.0 ? 0.0 : x; }
static double k_relu_0(double x, double y) { (void)y; return k_step(x); }
static double k_leaky_relu(double a, double b) { return a > 0.0 ? a : b * a; }

static double
k_leaky_relu_0(double a, double b, double y)
{
    (void)y;
    double t0 = k_step(a);
    return (t0 != 0.0 ? 1.0 : b) + (0.0 * t0);
}

static double
k_leaky_relu_1(double a, double b, double y)
{
    (void)b, (void)y;
    double t0 = k_step(a);
    return t0 != 0.0 ? (0.0 * t0) : a;
}

static double
k_softplus(double x)
{
    return x > 0.0 ? x + signed_log1p(exp(-x)) : signed_log1p(exp(x));
}

static double k_softplus_0(double x, double y) { (void)y; return k_sigmoid(x); }
static double k_logsigmoid(double x) { return -k_softplus(-x); }
static double k_logsigmoid_0(double x, double y) { (void)y; return k_sigmoid(-x); }
static double k_silu(double x) { return k_damped(x, k_sigmoid(x)); }

static double
k_silu_0(double x, double y)
{
    (void)y;
    double t0 = k_sigmoid(x);
    return t0 + k_damped(x, t0 * k_sigmoid(-x));
}

static double k_normal_pdf(double x) { return 0.3989422804014327 * exp((-0.5 * x) * x); }
static double k_normal_pdf_0(double x, double y) { return -k_damped(x, y); }
static double k_normal_cdf(double x) { return 0.5 * erfc(-x * 0.7071067811865476); }
static double k_normal_cdf_0(double x, double y) { (void)y; return k_normal_pdf(x); }
static double k_gelu(double x) { return k_damped(x, k_normal_cdf(x)); }

static double
k_gelu_0(double x, double y)
{
    (void)y;
    return k_normal_cdf(x) + k_damped(x, k_normal_pdf(x));
}

static double
k_logaddexp(double a, double b)
{
    if (a != a) {
        return Py_NAN;
    }
    if (b != b) {
        return Py_NAN;
    }
    if (b > a) {
        return isinf(b) ? b : b + signed_log1p(exp(-fabs(a - b)));
    }
    return isinf(a) ? a : a + signed_log1p(exp(-fabs(a - b)));
}

static double
k_logaddexp_0(double a, double b, double y)
{
    return k_equal(y, -Py_HUGE_VAL) != 0.0 ? 0.0 : k_softmax((const double[]){0.0, a, b}, 3, NULL);
}

static double
k_logaddexp_1(double a, double b, double y)
{
    return k_equal(y, -Py_HUGE_VAL) != 0.0 ? 0.0 : k_softmax((const double[]){1.0, a, b}, 3, NULL);
}

static double
k_sigmoid_minus(double a, double b)
{
    return ((1.0 - b) * k_sigmoid(a)) - (b * k_sigmoid(-a));
}

static double
k_sigmoid_minus_0(double a, double b, double y)
{
    (void)b, (void)y;
    return k_sigmoid(a) * k_sigmoid(-a);
}

static double
k_sigmoid_minus_1(double a, double b, double y)
{
    (void)a, (void)b, (void)y;
    return -1.0;
}

static double
k_logistic_loss(double a, double b)
{
    if (a >= 0.0) {
        return signed_log1p(exp(-fabs(a))) + k_damped(a, 1.0 - b);
    }
    return signed_log1p(exp(-fabs(a))) + k_damped(-a, b);
}

static double
k_logistic_loss_0(double a, double b, double y)
{
    (void)y;
    return k_sigmoid_minus(a, b);
}

static double k_logistic_loss_1(double a, double b, double y) { (void)b, (void)y; return -a; }
static double k_squared_error(double a, double b) { double t0 = a - b; return t0 * t0; }
static double k_squared_error_0(double a, double b, double y) { (void)y; return 2.0 * (a - b); }
static double k_squared_error_1(double a, double b, double y) { (void)y; return 2.0 * (b - a); }
static double k_half_squared_error(double a, double b) { return 0.5 * k_squared_error(a, b); }
static double k_half_squared_error_0(double a, double b, double y) { (void)y; return a - b; }
static double k_half_squared_error_1(double a, double b, double y) { (void)y; return b - a; }
static double k_hinge_loss(double a, double b) { return k_relu(1.0 - (b * a)); }
static double k_hinge_loss_0(double a, double b, double y) { (void)a; return -(b * k_step(y)); }

static double
k_hinge_loss_1(double a, double b, double y)
{
    (void)b;
    return -k_damped(a, k_step(y));
}
