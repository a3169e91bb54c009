/* Element-wise steps. */

/* Is *x* a whole number from 0 to *count* - 1? */
ALWAYS_INLINE int
is_index(double x, Py_ssize_t count)
{
    return x >= 0.0 && x < (double)count && x == floor(x);
}

/* A row on a stretch; *room* has place for twice as many numbers as there are arguments. */
static void
apply_row(Context *context, int row, int n_arguments, Py_ssize_t n, double *r,
          const double *const *x, const Py_ssize_t *s, double *room)
{
    if (row >= N_KERNELS || kernels[row].variadic.value == NULL || row == WHERE || row == SUM ||
        row == MEAN) {
        if (row != ROW_TAKE) {
            context->vector->rows(row, n_arguments, n, r, x, s);
            return;
        }
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        for (int k = 0; k < n_arguments; k++) {
            room[k] = x[k][s[k] * i];
        }
        if (row == ROW_TAKE) {
            int fits = room[0] >= 0.0 && room[0] < (double)(n_arguments - 1);
            r[i] = fits ? room[1 + (Py_ssize_t)room[0]] : Py_NAN;
            if (!fits) {
                context->bad_count = n_arguments - 1;
            }
            continue;
        }
        if (row == SOFTMAX || row == SOFTMAX_REST || row == CROSS_ENTROPY) {
            if (!is_index(room[0], n_arguments - 1)) {
                context->bad_count = n_arguments - 1;
                r[i] = Py_NAN;
                continue;
            }
        }
        r[i] = kernels[row].variadic.value(room, n_arguments, room + n_arguments);
    }
}

/* Rows of *n* numbers each, of which *count* are brought together into stretches. Of an operand, *apart*
   is how far its rows lie apart, and *inner* how far the numbers in one. */
static void
short_rows(Context *context, const Step *step, Py_ssize_t count, Py_ssize_t n, double *const *at,
           const Py_ssize_t *apart, const Py_ssize_t *inner, double *few_room, double *room)
{
    int n_arguments = step->n_operands - 1;
    const double **x = (const double **)few_room;
    Py_ssize_t *s = (Py_ssize_t *)few_room + n_arguments, most = STRETCH / n;
    for (Py_ssize_t first = 0; first < count; first += most) {
        Py_ssize_t some = count - first < most ? count - first : most;
        for (int k = 0; k < n_arguments; k++) {
            const double *from = at[k + 1] + first * apart[k + 1];
            s[k] = apart[k + 1] != 0 || (n > 1 && inner[k + 1] != 0);
            x[k] = from;
            if (s[k] && (inner[k + 1] != 1 || apart[k + 1] != n)) {
                double *into = room + (k + 1) * STRETCH;
                x[k] = into;
                for (Py_ssize_t j = 0; j < some; j++, from += apart[k + 1], into += n) {
                    for (Py_ssize_t i = 0; i < n; i++) {
                        into[i] = from[i * inner[k + 1]];
                    }
                }
            }
        }
        int together = inner[0] == 1 && apart[0] == n;
        double *into = at[0] + first * apart[0], *r = together ? into : room;
        apply_row(context, step->row, n_arguments, some * n, r, x, s, few_room + 2 * n_arguments);
        for (Py_ssize_t j = 0; !together && j < some; j++, into += apart[0], r += n) {
            copy_stretch(n, into, inner[0], r, 1);
        }
    }
}

/* An element-wise step. Operands are brought into stretches where they are not in one. */
static void
elements(Context *context, const Step *step)
{
    int wide = is_wide(context), n_operands = step->n_operands, n_arguments = n_operands - 1;
    const Loop *loop = &step->loop[wide];
    double *few_at[MOST_OPERANDS];
    Py_ssize_t few[2 * MOST_OPERANDS] = {0};
    double **at = few_at, *room = context->scratch;
    Py_ssize_t *scale = few, *inner = few + MOST_OPERANDS;
    if (n_operands > MOST_OPERANDS) {
        at = (double **)room;
        scale = (Py_ssize_t *)room + n_operands;
        inner = scale + n_operands;
        room += 3 * n_operands;
    }
    double *few_room = room;
    room += 5 * n_operands;
    int outer = loop->n, last = loop->n - 1, merges = last >= 0;
    for (int k = 0; k < n_operands; k++) {
        Place place = step->place[k];
        if (step->code == STEP_move) {
            place.offset += step->moves[k] * context->round;
        }
        scale[k] = place.space == IN_BLOCK ? context->lanes : 1;
        at[k] = context->space[place.space] + place.offset * scale[k];
        inner[k] = place.space == IN_BLOCK;
        merges = merges && loop->stride[k * loop->n + last] == inner[k];
    }
    Py_ssize_t n = context->lanes;
    if (!wide || merges) { /* the last axis with the lanes, or in the place of the one lane */
        n = last >= 0 ? context->lanes * loop->extent[last] : 1;
        outer = last >= 0 ? last : 0;
        for (int k = 0; k < n_operands && !wide; k++) {
            inner[k] = last >= 0 ? loop->stride[k * loop->n + last] : 1;
        }
    }
    int plain = n == 1 || inner[0] == 1;
    for (int k = 1; k < n_operands; k++) {
        plain = plain && (n == 1 || inner[k] == 1 || inner[k] == 0);
    }
    if (n == 1) {
        for (int k = 0; k < n_operands; k++) {
            inner[k] = 1;
        }
    }
    Py_ssize_t index[MOST_AXES];
    begin(index, outer);
    if (n < SHORT && outer > 0 && n_operands <= MOST_OPERANDS && loop->extent[outer - 1] > 1 &&
        step->code != STEP_sigmoids && step->code != STEP_copy && step->code != STEP_move &&
        step->code != STEP_add) {
        Py_ssize_t apart[MOST_OPERANDS];
        for (int k = 0; k < n_operands; k++) {
            apart[k] = loop->stride[k * loop->n + outer - 1] * scale[k];
        }
        do {
            short_rows(context, step, loop->extent[outer - 1], n, at, apart, inner, few_room, room);
        } while (advance(loop, outer - 1, index, n_operands, at, scale));
        return;
    }
    do {
        if (step->code == STEP_sigmoids) {
            context->vector->sigmoids(n, at[0], at[1], at[2]);
        }
        else if (step->code == STEP_copy || step->code == STEP_move) {
            copy_stretch(n, at[0], inner[0], at[1], inner[1]);
        }
        else if (step->code == STEP_add) {
            if (plain) {
                context->vector->add_to(n, at[0], at[1], inner[1]);
            }
            else {
                for (Py_ssize_t i = 0; i < n; i++) {
                    at[0][inner[0] * i] += at[1][inner[1] * i];
                }
            }
        }
        else if (plain) {
            apply_row(context, step->row, n_arguments, n, at[0],
                      (const double *const *)(at + 1), inner + 1, few_room);
        }
        else {
            const double **x = (const double **)few_room;
            Py_ssize_t *s = (Py_ssize_t *)few_room + n_arguments;
            double *arguments = room + STRETCH;
            for (Py_ssize_t i = 0; i < n; i += STRETCH) {
                Py_ssize_t part = n - i < STRETCH ? n - i : STRETCH;
                for (int k = 0; k < n_arguments; k++) {
                    Py_ssize_t stride = inner[k + 1];
                    x[k] = at[k + 1] + stride * i;
                    s[k] = stride;
                    if (stride > 1) {
                        copy_stretch(part, arguments + k * STRETCH, 1, x[k], stride);
                        x[k] = arguments + k * STRETCH;
                        s[k] = 1;
                    }
                }
                double *r = inner[0] == 1 ? at[0] + i : room;
                apply_row(context, step->row, n_arguments, part, r, x, s,
                          few_room + 2 * n_arguments);
                if (inner[0] != 1) {
                    copy_stretch(part, at[0] + inner[0] * i, inner[0], r, 1);
                }
            }
        }
    } while (advance(loop, outer, index, n_operands, at, scale));
}

/* A copy whose places depend on the round of the loop; mostly rows in one piece. */
static void
move(Context *context, const Step *step)
{
    const Loop *loop = &step->loop[WIDE];
    if (loop->n == 0 || (loop->n == 1 && loop->stride[0] == 1 && loop->stride[1] == 1)) {
        Py_ssize_t to = step->place[0].offset + step->moves[0] * context->round;
        Py_ssize_t of = step->place[1].offset + step->moves[1] * context->round;
        Py_ssize_t n = context->lanes * (loop->n ? loop->extent[0] : 1);
        double *block = context->space[IN_BLOCK];
        memmove(block + to * context->lanes, block + of * context->lanes,
                sizeof(double) * (size_t)n);
        return;
    }
    elements(context, step);
}

static void
call(Context *context, const Step *step)
{
    int n_arguments = (int)step->n_table - 1;
    const double **x = (const double **)context->scratch;
    Py_ssize_t *s = (Py_ssize_t *)context->scratch + n_arguments;
    Py_ssize_t n = context->lanes;
    double *place[2] = {context->space[IN_BLOCK], context->space[IN_STILL]};
    for (int k = 0; k < n_arguments; k++) {
        int64_t at = step->table[1 + k];
        s[k] = at >= 0;
        x[k] = at >= 0 ? place[0] + at * n : place[1] + ~at;
    }
    int64_t at = step->table[0];
    double *r = at >= 0 ? place[0] + at * n : place[1] + ~at;
    apply_row(context, step->row, n_arguments, at >= 0 ? n : 1, r, x, s,
              context->scratch + 2 * n_arguments);
}
