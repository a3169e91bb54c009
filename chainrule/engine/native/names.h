/* Lists of names, each written once.  Those of one and two arguments are printed from the table. */

#include "table.h"

/* Of any number of arguments: value, partials, and for which arguments, or NULL.  dot has a function
   of its own. */
#define VARIADIC_ROWS(ROW) \
    ROW(WHERE, "where", k_where, k_where_d, k_where_takes) \
    ROW(MAXIMUM, "maximum", k_maximum, k_tie_shares, NULL) \
    ROW(MINIMUM, "minimum", k_minimum, k_tie_shares, NULL) \
    ROW(SUM, "sum", k_sum, k_sum_d, NULL) \
    ROW(MEAN, "mean", k_mean, k_mean_d, NULL) \
    ROW(DOT, "dot", NULL, NULL, NULL) \
    ROW(SOFTMAX, "softmax", k_softmax, k_softmax_d, k_softmax_takes) \
    ROW(LOGSUMEXP, "logsumexp", k_logsumexp, k_logsumexp_d, NULL) \
    ROW(SOFTMAX_REST, "softmax_rest", k_softmax_rest, k_softmax_rest_d, k_class_takes) \
    ROW(CROSS_ENTROPY, "cross_entropy", k_cross_entropy, k_cross_entropy_d, k_class_takes) \
    ROW(SOFT_CROSS_ENTROPY, "soft_cross_entropy", k_soft_cross_entropy, k_soft_cross_entropy_d, \
        k_soft_cross_entropy_takes)

/* What of fallbacks.py is asked where C does not know better. */
#define ASKED(NAME) \
    NAME(as_float) NAME(as_operand) NAME(leaf_data) NAME(checked_label) NAME(checked_grad) \
    NAME(node_contents) NAME(GIVEN) NAME(give_attribute) NAME(refuse_row) NAME(refuse_write) \
    NAME(coerced) NAME(comparable) NAME(evaluate) NAME(observe) NAME(watch_backward) NAME(FLOAT64) \
    NAME(UFUNCS) NAME(array_ufunc)

/* What of runs.py the transforms ask. */
#define ASKED_BY_TRANSFORMS(NAME) \
    NAME(enclosing) NAME(continued) NAME(reaches) NAME(linked_partials) NAME(empty) \
    NAME(partial) NAME(pulled) NAME(gradient)

/* Functions that users call. */
#define PUBLISHED(FUNCTION) \
    FUNCTION(SUM, sum) FUNCTION(MEAN, mean) FUNCTION(LOGSUMEXP, logsumexp) FUNCTION(DOT, dot)
