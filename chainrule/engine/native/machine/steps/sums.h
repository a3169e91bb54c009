/* Sums. */

static double
sum_of_one(const Loop *loop, const double *x)
{
    if (loop->n == 0) {
        return *x;
    }
    const Py_ssize_t *stride = loop->stride + loop->n; /* of the second operand */
    int last = loop->n - 1;
    double total = *x;
    if (last == 0) {
        for (Py_ssize_t i = 1; i < loop->extent[0]; i++) {
            total = total + x[i * stride[0]];
        }
        return total;
    }
    Py_ssize_t index[MOST_AXES], one = 1;
    begin(index, loop->n);
    Loop outer = {loop->n, loop->extent, (Py_ssize_t *)stride};
    double *at = (double *)x;
    int begun = 0;
    do {
        for (Py_ssize_t i = 0; i < loop->extent[last]; i++) {
            total = begun ? total + at[i * stride[last]] : at[i * stride[last]];
            begun = 1;
        }
    } while (advance(&outer, last, index, 1, &at, &one));
    return total;
}

static void
sum(Context *context, const Step *step)
{
    Cursor cursor = cursor_at(context, step);
    const Loop *loop = &step->loop[is_wide(context)], *reduced = &step->reduced[0];
    Py_ssize_t index[MOST_AXES], n = context->lanes;
    begin(index, loop->n);
    Loop inner = {reduced->n, reduced->extent, reduced->stride + reduced->n};
    int to_sums = step->place[0].space == IN_SUMS;
    if (!is_wide(context) && loop->n == 1 && reduced->n == 1 && !to_sums) {
        const double *x = cursor.at[1];
        for (Py_ssize_t i = 0; i < loop->extent[0]; i++, x += loop->stride[1]) {
            double total = x[0];
            for (Py_ssize_t k = 1; k < reduced->extent[0]; k++) {
                total = total + x[k * reduced->stride[1]];
            }
            cursor.at[0][i * loop->stride[0]] = total;
        }
        return;
    }
    if (!is_wide(context)) {
        do {
            double total = sum_of_one(reduced, cursor.at[1]);
            *cursor.at[0] = to_sums ? *cursor.at[0] + total : total;
        } while (advance(loop, loop->n, index, 2, cursor.at, cursor.scale));
        return;
    }
    do {
        Py_ssize_t inner_index[MOST_AXES];
        begin(inner_index, inner.n);
        double *x = cursor.at[1], *r = cursor.at[0];
        if (to_sums) {
            do {
                *r += cursor.lane[1] ? context->vector->total(n, x) : (double)n * *x;
            } while (advance(&inner, inner.n, inner_index, 1, &x, &cursor.scale[1]));
            continue;
        }
        copy_stretch(n, r, 1, x, cursor.lane[1]);
        while (advance(&inner, inner.n, inner_index, 1, &x, &cursor.scale[1])) {
            context->vector->add_to(n, r, x, cursor.lane[1]);
        }
    } while (advance(loop, loop->n, index, 2, cursor.at, cursor.scale));
}
