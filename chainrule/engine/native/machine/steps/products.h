/* Products. */

static void
plain_product(Context *context, const Step *step)
{
    Cursor cursor = cursor_at(context, step);
    const Loop *loop = &step->product->loop, *sum = &step->product->sum;
    int to_sums = step->place[0].space == IN_SUMS;
    Py_ssize_t index[MOST_AXES];
    begin(index, loop->n);
    Py_ssize_t n = cursor.lane[0] || to_sums ? context->lanes : 1;
    Py_ssize_t count = sum->n ? sum->extent[0] : 1;
    Py_ssize_t sa = sum->n ? sum->stride[1] * cursor.scale[1] : 0;
    Py_ssize_t sb = sum->n ? sum->stride[2] * cursor.scale[2] : 0;
    Py_ssize_t la = cursor.lane[1], lb = cursor.lane[2];
    do {
        const double *a = cursor.at[1], *b = cursor.at[2];
        double *r = cursor.at[0];
        double total = 0.0;
        for (Py_ssize_t l = 0; l < n; l++) {
            for (Py_ssize_t k = 0; k < count; k++) {
                total += a[k * sa + l * la] * b[k * sb + l * lb];
            }
            if (!to_sums) {
                r[l] = total;
                total = 0.0;
            }
        }
        if (to_sums) {
            *r += total;
        }
    } while (advance(loop, loop->n, index, 3, cursor.at, cursor.scale));
}

static void
product(Context *context, const Step *step)
{
    const Form *form = &step->product->form[is_wide(context)];
    if (form->kind == PLAIN) {
        plain_product(context, step);
        return;
    }
    Cursor cursor = cursor_at(context, step);
    int a = form->swapped ? 2 : 1, b = 3 - a;
    const Py_ssize_t *scale = cursor.scale;
    Tiles tiles = {
        .v = form->v.extent * (form->lanes ? context->lanes : 1),
        .m = form->m.extent,
        .n = form->n.extent,
        .k = form->k.extent,
        .rm = form->m.stride[0] * scale[0],
        .am = form->m.stride[a] * scale[a],
        .rn = form->n.stride[0] * scale[0],
        .bn = form->n.stride[b] * scale[b],
        .ak = form->k.stride[a] * scale[a],
        .bk = form->k.stride[b] * scale[b],
        .a_vector = form->a_vector,
        .adds = step->place[0].space == IN_SUMS,
    };
    Py_ssize_t index[MOST_AXES];
    begin(index, form->n_outer);
    double *at[3] = {cursor.at[0], cursor.at[1], cursor.at[2]};
    int transposes = form->kind == ALONG_SUM && form->lanes && tiles.v <= FEW_LANES &&
                     tiles.k == 1 && tiles.rn == 1;
    Tiles transposed = tiles; /* the sums are short, so vectors run along n */
    transposed.v = tiles.n;
    transposed.k = tiles.v;
    transposed.ak = 1;
    transposed.bk = tiles.n;
    for (int axis = 0; axis >= 0;) {
        if (transposes) {
            double *turned = context->scratch;
            context->vector->into_lanes(tiles.n, tiles.v, at[b], tiles.bn, turned);
            context->vector->along_result(&transposed, at[0], at[a], turned);
        }
        else if (form->kind == ALONG_RESULT) {
            context->vector->along_result(&tiles, at[0], at[a], at[b]);
        }
        else {
            context->vector->along_sum(&tiles, at[0], at[a], at[b]);
        }
        for (axis = form->n_outer - 1; axis >= 0; axis--) {
            const Axis *outer = &form->outer[axis];
            int ends = ++index[axis] == outer->extent;
            for (int k = 0; k < 3; k++) {
                Py_ssize_t step_on = outer->stride[k] * scale[k];
                at[k] += ends ? -step_on * (outer->extent - 1) : step_on;
            }
            if (!ends) {
                break;
            }
            index[axis] = 0;
        }
    }
}

/* A product without the terms where the mask is 0. Where it is, a is 0 as well, so that only a nan or
   an infinity makes a difference. */
static void
linked_product(Context *context, const Step *step)
{
    int to_sums = step->place[0].space == IN_SUMS;
    if (!to_sums ||
        (is_bounded(context, step, 1, DBL_MAX) && is_bounded(context, step, 2, DBL_MAX))) {
        product(context, step);
        if (to_sums || is_bounded(context, step, 0, DBL_MAX)) {
            return;
        }
    }
    Cursor cursor = cursor_at(context, step);
    const Loop *loop = &step->product->loop, *sum = &step->product->sum;
    Py_ssize_t index[MOST_AXES] = {0}, along[4] = {0}, count = sum->n ? sum->extent[0] : 1;
    Py_ssize_t n = cursor.lane[0] || to_sums ? context->lanes : 1;
    for (int k = 1; k < 4 && sum->n; k++) {
        along[k] = sum->stride[k] * cursor.scale[k];
    }
    do {
        double total = 0.0;
        for (Py_ssize_t l = 0; l < n; l++) {
            const double *a = cursor.at[1] + l * cursor.lane[1];
            const double *b = cursor.at[2] + l * cursor.lane[2];
            const double *mask = cursor.at[3] + l * cursor.lane[3];
            for (Py_ssize_t k = 0; k < count; k++) {
                if (mask[k * along[3]] != 0.0) {
                    total += a[k * along[1]] * b[k * along[2]];
                }
            }
            if (!to_sums) {
                cursor.at[0][l] = total;
                total = 0.0;
            }
        }
        if (to_sums) {
            *cursor.at[0] += total;
        }
    } while (advance(loop, loop->n, index, 4, cursor.at, cursor.scale));
}
