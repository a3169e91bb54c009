/* Made by `python tools/kernels.py` from the rows of the table, which explain it. */

#define UNARY_ROWS(ROW) \
    ROW(STEP, "step", k_step, NULL) \
    ROW(SIGN, "sign", k_sign, NULL) \
    ROW(IDENTITY, "identity", k_identity, k_identity_0) \
    ROW(NEGATIVE, "neg", k_negative, k_negative_0) \
    ROW(SQUARE, "square", k_square, k_square_0) \
    ROW(ABSOLUTE, "abs", k_absolute, k_absolute_0) \
    ROW(EXP, "exp", k_exp, k_exp_0) \
    ROW(EXP2, "exp2", k_exp2, k_exp2_0) \
    ROW(EXPM1, "expm1", k_expm1, k_expm1_0) \
    ROW(LOG, "log", k_log, k_log_0) \
    ROW(LOG1P, "log1p", k_log1p, k_log1p_0) \
    ROW(LOG2, "log2", k_log2, k_log2_0) \
    ROW(LOG10, "log10", k_log10, k_log10_0) \
    ROW(SQRT, "sqrt", k_sqrt, k_sqrt_0) \
    ROW(CBRT, "cbrt", k_cbrt, k_cbrt_0) \
    ROW(ONE_LESS_SQUARE, "one_less_square", k_one_less_square, k_one_less_square_0) \
    ROW(INVERSE_HYPOTENUSE, "inverse_hypotenuse", k_inverse_hypotenuse, k_inverse_hypotenuse_0) \
    ROW(LORENTZIAN, "lorentzian", k_lorentzian, k_lorentzian_0) \
    ROW(GAUSSIAN, "gaussian", k_gaussian, k_gaussian_0) \
    ROW(SIN, "sin", k_sin, k_sin_0) \
    ROW(COS, "cos", k_cos, k_cos_0) \
    ROW(TAN, "tan", k_tan, k_tan_0) \
    ROW(ASIN, "asin", k_asin, k_asin_0) \
    ROW(ACOS, "acos", k_acos, k_acos_0) \
    ROW(ATAN, "atan", k_atan, k_atan_0) \
    ROW(SINH, "sinh", k_sinh, k_sinh_0) \
    ROW(COSH, "cosh", k_cosh, k_cosh_0) \
    ROW(ASINH, "asinh", k_asinh, k_asinh_0) \
    ROW(ACOSH, "acosh", k_acosh, k_acosh_0) \
    ROW(ATANH, "atanh", k_atanh, k_atanh_0) \
    ROW(ERF, "erf", k_erf, k_erf_0) \
    ROW(ERFC, "erfc", k_erfc, k_erfc_0) \
    ROW(SIGMOID, "sigmoid", k_sigmoid, k_sigmoid_0) \
    ROW(TANH, "tanh", k_tanh, k_tanh_0) \
    ROW(RELU, "relu", k_relu, k_relu_0) \
    ROW(SOFTPLUS, "softplus", k_softplus, k_softplus_0) \
    ROW(LOGSIGMOID, "logsigmoid", k_logsigmoid, k_logsigmoid_0) \
    ROW(SILU, "silu", k_silu, k_silu_0) \
    ROW(NORMAL_PDF, "normal_pdf", k_normal_pdf, k_normal_pdf_0) \
    ROW(NORMAL_CDF, "normal_cdf", k_normal_cdf, k_normal_cdf_0) \
    ROW(GELU, "gelu", k_gelu, k_gelu_0)

#define BINARY_ROWS(ROW) \
    ROW(EQUAL, "equal", k_equal, NULL, NULL) \
    ROW(LESS, "less", k_less, NULL, NULL) \
    ROW(LESS_EQUAL, "less_equal", k_less_equal, NULL, NULL) \
    ROW(WHOLE_QUOTIENT, "whole_quotient", k_whole_quotient, NULL, NULL) \
    ROW(ADD, "+", k_add, k_add_0, k_add_1) \
    ROW(SUBTRACT, "-", k_subtract, k_subtract_0, k_subtract_1) \
    ROW(MULTIPLY, "*", k_multiply, k_multiply_0, k_multiply_1) \
    ROW(DIVIDE, "/", k_divide, k_divide_0, k_divide_1) \
    ROW(REMAINDER, "%", k_remainder, k_remainder_0, k_remainder_1) \
    ROW(POWER, "**", k_power, k_power_0, k_power_1) \
    ROW(DAMPED, "damped", k_damped, k_damped_0, k_damped_1) \
    ROW(INVERSION, "inversion", k_inversion, k_inversion_0, k_inversion_1) \
    ROW(HYPOT, "hypot", k_hypot, k_hypot_0, k_hypot_1) \
    ROW(ATAN2, "atan2", k_atan2, k_atan2_0, k_atan2_1) \
    ROW(LEAKY_RELU, "leaky_relu", k_leaky_relu, k_leaky_relu_0, k_leaky_relu_1) \
    ROW(LOGADDEXP, "logaddexp", k_logaddexp, k_logaddexp_0, k_logaddexp_1) \
    ROW(SIGMOID_MINUS, "sigmoid_minus", k_sigmoid_minus, k_sigmoid_minus_0, k_sigmoid_minus_1) \
    ROW(LOGISTIC_LOSS, "logistic_loss", k_logistic_loss, k_logistic_loss_0, k_logistic_loss_1) \
    ROW(SQUARED_ERROR, "squared_error", k_squared_error, k_squared_error_0, k_squared_error_1) \
    ROW(HALF_SQUARED_ERROR, "half_squared_error", k_half_squared_error, k_half_squared_error_0, k_half_squared_error_1) \
    ROW(HINGE_LOSS, "hinge_loss", k_hinge_loss, k_hinge_loss_0, k_hinge_loss_1)

#define UNARY_METHODS(METHOD) \
    METHOD(abs, ABSOLUTE) \
    METHOD(absolute, ABSOLUTE) \
    METHOD(acos, ACOS) \
    METHOD(acosh, ACOSH) \
    METHOD(arccos, ACOS) \
    METHOD(arccosh, ACOSH) \
    METHOD(arcsin, ASIN) \
    METHOD(arcsinh, ASINH) \
    METHOD(arctan, ATAN) \
    METHOD(arctanh, ATANH) \
    METHOD(asin, ASIN) \
    METHOD(asinh, ASINH) \
    METHOD(atan, ATAN) \
    METHOD(atanh, ATANH) \
    METHOD(cbrt, CBRT) \
    METHOD(cos, COS) \
    METHOD(cosh, COSH) \
    METHOD(erf, ERF) \
    METHOD(erfc, ERFC) \
    METHOD(exp, EXP) \
    METHOD(exp2, EXP2) \
    METHOD(expm1, EXPM1) \
    METHOD(gelu, GELU) \
    METHOD(log, LOG) \
    METHOD(log10, LOG10) \
    METHOD(log1p, LOG1P) \
    METHOD(log2, LOG2) \
    METHOD(logsigmoid, LOGSIGMOID) \
    METHOD(relu, RELU) \
    METHOD(sigmoid, SIGMOID) \
    METHOD(sign, SIGN) \
    METHOD(silu, SILU) \
    METHOD(sin, SIN) \
    METHOD(sinh, SINH) \
    METHOD(softplus, SOFTPLUS) \
    METHOD(sqrt, SQRT) \
    METHOD(square, SQUARE) \
    METHOD(step, STEP) \
    METHOD(tan, TAN) \
    METHOD(tanh, TANH)
