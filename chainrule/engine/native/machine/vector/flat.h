/* Flat steps on several lanes. */

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
