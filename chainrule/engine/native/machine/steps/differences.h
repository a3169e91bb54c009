/* Sums of differences and of their squares, whose terms never have a place of their own. */

/* Along what the vectors run: the lanes or, of one example, the last axis of a loop, if the strides of
   the operands from *first* on are 0 or 1 there, and that of the result 1 or, if it *adds_up*, 0. */
typedef struct {
    Py_ssize_t n;
    Py_ssize_t stride[MOST_OPERANDS];
    int n_outer; /* axes of the loop that are left */
} Along;

static Along
along_lanes(const Context *context, const Cursor *cursor, const Loop *loop, int n_operands, int first,
            int adds_up)
{
    Along along = {context->lanes, {0}, loop->n};
    memcpy(along.stride, cursor->lane, sizeof(along.stride));
    if (is_wide(context) || loop->n == 0) {
        return along;
    }
    const Py_ssize_t *stride = loop->stride + loop->n - 1;
    int fits = stride[0] == 1 || (adds_up && stride[0] == 0);
    for (int k = first; k < n_operands; k++) {
        fits = fits && stride[k * loop->n] <= 1;
    }
    if (fits) {
        along.n_outer--;
        along.n = loop->extent[along.n_outer];
        for (int k = 0; k < n_operands; k++) {
            along.stride[k] = stride[k * loop->n];
        }
    }
    return along;
}

/* Add the terms of a few lanes, *hit*, of a weighted difference: one after another, along the rest. */
static void
add_few(const Loop *rest, const Cursor *cursor, Py_ssize_t hits, const Py_ssize_t *hit, int to_sums)
{
    int last = rest->n > 0 ? rest->n - 1 : 0;
    Py_ssize_t index[MOST_AXES] = {0}, step[4] = {0}, count = rest->n ? rest->extent[last] : 1;
    double *at[4] = {cursor->at[0], cursor->at[1], cursor->at[2], cursor->at[3]};
    for (int k = 0; k < 4 && rest->n; k++) {
        step[k] = rest->stride[k * rest->n + last] * cursor->scale[k];
    }
    do {
        for (Py_ssize_t i = 0; i < hits; i++) {
            Py_ssize_t l = hit[i];
            double w = at[1][l], *r = at[0] + (to_sums ? 0 : l);
            const double *a = at[2] + l * cursor->lane[2], *b = at[3] + l * cursor->lane[3];
            for (Py_ssize_t j = 0; j < count; j++, r += step[0], a += step[2], b += step[3]) {
                *r += w * (*a - *b);
            }
        }
    } while (advance(rest, last, index, 4, at, cursor->scale));
}

static void
squared_distance(Context *context, const Step *step)
{
    Cursor cursor = cursor_at(context, step);
    const Loop *loop = &step->differences->result, *sum = &step->differences->sum;
    Along along = along_lanes(context, &cursor, loop, 3, 1, 0);
    int last = sum->n > 0 ? sum->n - 1 : 0;
    Py_ssize_t index[MOST_AXES], count = sum->n ? sum->extent[last] : 1;
    begin(index, loop->n);
    Py_ssize_t sa = sum->n ? sum->stride[sum->n + last] * cursor.scale[1] : 0;
    Py_ssize_t sb = sum->n ? sum->stride[2 * sum->n + last] * cursor.scale[2] : 0;
    do {
        Py_ssize_t inner[MOST_AXES];
        begin(inner, sum->n);
        double *at[3] = {cursor.at[0], cursor.at[1], cursor.at[2]};
        int adds = 0;
        do {
            context->vector->squared_distance(along.n, count, adds, at[0], at[1], sa,
                                              along.stride[1], at[2], sb, along.stride[2]);
            adds = 1;
        } while (advance(sum, last, inner, 3, at, cursor.scale));
    } while (advance(loop, along.n_outer, index, 3, cursor.at, cursor.scale));
}

/* Terms with a weight of 0 are left out, as they are for most centroids, say, of which an example has
   but the nearest: if the difference is finite, they add 0. */
static void
weighted_difference(Context *context, const Step *step)
{
    Cursor cursor = cursor_at(context, step);
    const Differences *differences = step->differences;
    const Loop *result = &differences->result, *weighted = &differences->weighted;
    const Loop *rest = &differences->rest;
    int to_sums = step->place[0].space == IN_SUMS, wide = is_wide(context);
    Py_ssize_t index[MOST_AXES] = {0}, lanes = context->lanes, lane = cursor.lane[1];
    Along along = along_lanes(context, &cursor, rest, 4, 2, 1);
    int adds_up = along.n_outer < rest->n ? along.stride[0] == 0 : to_sums;
    if (!to_sums) {
        do {
            memset(cursor.at[0], 0, sizeof(double) * (size_t)(cursor.lane[0] ? lanes : 1));
        } while (advance(result, result->n, index, 4, cursor.at, cursor.scale));
    }
    int skips = is_bounded(context, step, 2, 1e300) && is_bounded(context, step, 3, 1e300);
    Py_ssize_t *hit = (Py_ssize_t *)context->scratch;
    do {
        const double *w = cursor.at[1];
        Py_ssize_t hits = !skips ? lanes
                          : wide && lane ? context->vector->nonzero(lanes, w, hit)
                                         : lanes * (*w != 0.0);
        if (hits == 0) {
            continue;
        }
        if (skips && wide && lane && 4 * hits <= lanes) {
            add_few(rest, &cursor, hits, hit, to_sums);
            continue;
        }
        Py_ssize_t inner[MOST_AXES];
        begin(inner, rest->n);
        double *at[4] = {cursor.at[0], cursor.at[1], cursor.at[2], cursor.at[3]};
        do {
            double *r = at[0], *a = at[2], *b = at[3];
            if (adds_up) {
                *r += context->vector->weighted_total(along.n, w, along.stride[1], a,
                                                      along.stride[2], b, along.stride[3]);
            }
            else {
                context->vector->weighted_difference(along.n, r, w, along.stride[1], a,
                                                     along.stride[2], b, along.stride[3]);
            }
        } while (advance(rest, along.n_outer, inner, 4, at, cursor.scale));
    } while (advance(weighted, weighted->n, index, 4, cursor.at, cursor.scale));
}
