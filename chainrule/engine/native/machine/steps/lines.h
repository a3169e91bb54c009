/* The careful forms, of lines of numbers. */

/* Into a tile of *n* rows of *w* numbers, of which *columns* are there; the rest is 0. */
static void
load_tile(double *tile, Py_ssize_t n, Py_ssize_t w, Py_ssize_t columns, const double *x,
          Py_ssize_t stride, Py_ssize_t apart)
{
    for (Py_ssize_t k = 0; k < n; k++) {
        double *row = tile + k * w;
        copy_stretch(columns, row, 1, x + k * stride, apart);
        for (Py_ssize_t l = columns; l < w; l++) {
            row[l] = 0.0;
        }
    }
}

/* Of one line on one lane, in one piece or in stretches, the forms whose result depends on few passes:
   numbers one by one, but for the exponentials. */
static void
narrow_line(Context *context, const Step *step, double *r, Py_ssize_t sr, const double *x,
            Py_ssize_t sx, const double *y, Py_ssize_t sy)
{
    Py_ssize_t extent = step->extent[step->n_axes - 1], n_stretches = step->table ? step->n_table : 1;
    double *z = context->scratch, *g = z + extent, *top = g + extent;
    const double *const place = z;
    const Py_ssize_t one = 1;
    int reduces = step->code == STEP_maximum || step->code == STEP_logsumexp;
    if (step->table == NULL && sx == 1 && (sr == 1 || reduces) &&
        context->vector->long_line(step->code, extent, r, x)) {
        return;
    }
    copy_stretch(extent, z, 1, x, sx);
    if (step->code == STEP_softmax_pullback) {
        copy_stretch(extent, g, 1, y, sy);
    }
#define EACH_STRETCH                                                                             \
    for (Py_ssize_t i = 0, start = 0, end; i < n_stretches; i++, start = end)                     \
        if (end = i + 1 < n_stretches ? (Py_ssize_t)step->table[i + 1] : extent, 1)
#define EACH_OF_IT for (Py_ssize_t j = start; j < end; j++)
    switch (step->code) {
    case STEP_segment_sum:
        EACH_STRETCH
        {
            r[i * sr] = k_sum(z + start, end - start, NULL);
        }
        break;
    case STEP_maximum:
        EACH_STRETCH
        {
            r[i * sr] = k_maximum(z + start, end - start, NULL);
        }
        break;
    case STEP_minimum:
        EACH_STRETCH
        {
            r[i * sr] = k_minimum(z + start, end - start, NULL);
        }
        break;
    case STEP_softmax:
    case STEP_logsumexp_slopes:
        EACH_STRETCH
        {
            double most = k_maximum(z + start, end - start, NULL);
            double tie = most > -Py_HUGE_VAL ? 0.0 : Py_NAN;
            top[i] = most;
            EACH_OF_IT
            {
                z[j] = z[j] == most ? tie : z[j] - most;
            }
        }
        context->vector->rows(EXP, 1, extent, z, &place, &one);
        EACH_STRETCH
        {
            double total = k_sum(z + start, end - start, NULL);
            int is_none = step->code == STEP_logsumexp_slopes && top[i] == -Py_HUGE_VAL;
            EACH_OF_IT
            {
                r[j * sr] = is_none ? 0.0 : z[j] / total;
            }
        }
        break;
    case STEP_logsumexp:
        EACH_STRETCH
        {
            double most = k_maximum(z + start, end - start, NULL), ties = -1.0;
            EACH_OF_IT
            {
                ties += z[j] == most;
                z[j] = z[j] == most ? -Py_HUGE_VAL : z[j] - most;
            }
            top[i] = most;
            g[i] = ties;
        }
        context->vector->rows(EXP, 1, extent, z, &place, &one);
        EACH_STRETCH
        {
            double rest = k_sum(z + start, end - start, NULL) + g[i];
            r[i * sr] = isfinite(top[i]) ? top[i] + signed_log1p(rest) : top[i];
        }
        break;
    case STEP_softmax_pullback:
        EACH_STRETCH
        {
            softmax_pullback(z + start, g + start, end - start, top + start);
            copy_stretch(end - start, r + start * sr, sr, top + start, 1);
        }
        break;
    }
#undef EACH_STRETCH
#undef EACH_OF_IT
}

/* The careful forms, of the last index, or of its stretches. Lines become columns of a tile: those of
   the lanes, or on one lane those along the last other axis. */
static void
lines(Context *context, const Step *step)
{
    Cursor cursor = cursor_at(context, step);
    const Loop *loop = &step->loop[is_wide(context)];
    int last = step->n_axes - 1, outer = loop->n, n_operands = step->n_operands;
    Py_ssize_t index[MOST_AXES], stride[3] = {0}, apart[3] = {0}, count = 1;
    begin(index, loop->n);
    int wide = cursor.lane[0] && context->lanes > 1;
    for (int k = 0; k < n_operands; k++) {
        stride[k] = step->stride[k * step->n_axes + last] * cursor.scale[k];
        apart[k] = wide      ? cursor.lane[k]
                   : outer > 0 ? loop->stride[k * outer + outer - 1] * cursor.scale[k] : 1;
    }
    if (wide) {
        count = context->lanes;
    }
    else if (outer > 0) {
        count = loop->extent[--outer];
    }
    int to_one = (step->code >= STEP_segment_sum && step->code <= STEP_logsumexp) ||
                 step->code == STEP_cross_entropy;
    Py_ssize_t n_stretches = step->table != NULL ? step->n_table : 1;
    if (!wide && (step->table != NULL || count == 1) && step->code <= STEP_softmax_pullback) {
        do {
            narrow_line(context, step, cursor.at[0], stride[0], cursor.at[1], stride[1],
                        cursor.at[2], stride[2]);
        } while (advance(loop, loop->n, index, n_operands, cursor.at, cursor.scale));
        return;
    }
    do {
        for (Py_ssize_t i = 0; i < n_stretches; i++) {
            Py_ssize_t start = step->table != NULL ? (Py_ssize_t)step->table[i] : 0;
            Py_ssize_t end = i + 1 < n_stretches ? (Py_ssize_t)step->table[i + 1]
                                                 : step->extent[last];
            Py_ssize_t n = end - start, most = tile_width(n), written = to_one ? i : start;
            for (Py_ssize_t l = 0; l < count; l += most) {
                Py_ssize_t columns = count - l < most ? count - l : most;
                Py_ssize_t w = (columns + 7) & ~(Py_ssize_t)7;
                double *z = context->scratch, *y = z + n * w;
                load_tile(z, n, w, columns, cursor.at[1] + start * stride[1] + l * apart[1],
                          stride[1], apart[1]);
                if (n_operands == 3) {
                    load_tile(y, n, w, columns, cursor.at[2] + start * stride[2] + l * apart[2],
                              stride[2], apart[2]);
                }
                context->vector->careful(step->code, n, w, z, y);
                double *r = cursor.at[0] + written * stride[0] + l * apart[0];
                for (Py_ssize_t k = 0; k < (to_one ? 1 : n); k++) {
                    copy_stretch(columns, r + k * stride[0], apart[0], z + k * w, 1);
                }
            }
        }
    } while (advance(loop, outer, index, n_operands, cursor.at, cursor.scale));
}
