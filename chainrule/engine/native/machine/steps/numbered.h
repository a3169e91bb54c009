/* Steps that go to places by number. */

static void
gather(Context *context, const Step *step)
{
    Cursor cursor = cursor_at(context, step);
    Py_ssize_t n = cursor.lane[0] ? context->lanes : 1;
    Py_ssize_t sr = step->stride[0] * cursor.scale[0], sx = step->stride[1] * cursor.scale[1];
    int table_of_result = step->code != STEP_gather;
    const int64_t *table = step->table;
    if (n == 1 && step->code == STEP_gather) {
        for (Py_ssize_t i = 0; i < step->n_table; i++) {
            cursor.at[0][sr * i] = cursor.at[1][sx * (Py_ssize_t)table[i]];
        }
        return;
    }
    if (n == 1 && step->code == STEP_scatter) {
        for (Py_ssize_t i = 0; i < step->n_table; i++) {
            cursor.at[0][sr * (Py_ssize_t)table[i]] = cursor.at[1][sx * i];
        }
        return;
    }
    for (Py_ssize_t i = 0; i < step->n_table; i++) {
        Py_ssize_t at = (Py_ssize_t)table[i];
        double *r = cursor.at[0] + sr * (table_of_result ? at : i);
        const double *x = cursor.at[1] + sx * (table_of_result ? i : at);
        if (step->code == STEP_scatter_add) {
            context->vector->add_to(n, r, x, cursor.lane[1]);
        }
        else {
            copy_stretch(n, r, 1, x, cursor.lane[1]);
        }
    }
}

static void
one_hot(Context *context, const Step *step)
{
    Cursor cursor = cursor_at(context, step);
    const Loop *loop = &step->loop[is_wide(context)];
    int last = step->n_axes - 1;
    Py_ssize_t index[MOST_AXES], n = cursor.lane[0] ? context->lanes : 1;
    begin(index, loop->n);
    Py_ssize_t sr = step->stride[last] * cursor.scale[0];
    Py_ssize_t sx = step->stride[step->n_axes + last] * cursor.scale[1];
    do {
        for (Py_ssize_t k = 0; k < step->extent[last]; k++) {
            double *r = cursor.at[0] + k * sr;
            const double *x = cursor.at[1] + k * sx;
            for (Py_ssize_t l = 0; l < n; l++) {
                r[l] = x[l * cursor.lane[1]] == (double)k ? 1.0 : 0.0;
            }
        }
    } while (advance(loop, loop->n, index, 2, cursor.at, cursor.scale));
}

/* pick and spread: the last index is a column. */
static void
rows_by_number(Context *context, const Step *step)
{
    Cursor cursor = cursor_at(context, step);
    const Loop *loop = &step->loop[is_wide(context)];
    int last = step->n_axes - 1, picks = step->code == STEP_pick;
    Py_ssize_t index[MOST_AXES] = {0}, stride[3], columns = step->extent[last];
    for (int k = 0; k < 3; k++) {
        stride[k] = step->stride[k * step->n_axes + last] * cursor.scale[k];
    }
    Py_ssize_t apart = step->step * cursor.scale[picks ? 2 : 0];
    Py_ssize_t n = step->place[0].space == IN_STILL ? 1 : context->lanes;
    do {
        for (Py_ssize_t l = 0; l < n; l++) {
            double which = cursor.at[1][l * cursor.lane[1]];
            if (!is_index(which, step->count)) {
                context->bad_count = step->count;
                return;
            }
            double *r = cursor.at[0] + l * cursor.lane[0];
            const double *x = cursor.at[2] + l * cursor.lane[2];
            if (picks) {
                x += (Py_ssize_t)which * apart;
                for (Py_ssize_t c = 0; c < columns; c++) {
                    r[c * stride[0]] = x[c * stride[2]];
                }
            }
            else {
                r += (Py_ssize_t)which * apart;
                for (Py_ssize_t c = 0; c < columns; c++) {
                    r[c * stride[0]] += x[c * stride[2]];
                }
            }
        }
    } while (advance(loop, loop->n, index, 3, cursor.at, cursor.scale));
}
