/* A step done on the lanes of a block. */

typedef struct Context {
    const Machine *machine;
    const struct Vector *vector;
    double *space[N_SPACES];
    Py_ssize_t lanes;
    double *scratch;
    double work; /* done since it was last asked whether to stop */
    Py_ssize_t round; /* of the innermost loop */
    int asks;    /* whether it is this thread that asks Python for signals */
    Py_ssize_t bad_count; /* not 0: a number that is not one of so many rows was met */
} Context;

enum { STRETCH = 512, TILE = 4096, FEW_LANES = 32 }; /* numbers that are worked on at a time */
enum { SHORT = 16 }; /* numbers in one piece below which several such pieces are brought together */

/* How many columns a tile of lines of *n* has at most, a multiple of eight. */
static Py_ssize_t
tile_width(Py_ssize_t n)
{
    return n > TILE / 8 ? 8 : TILE / n & ~(Py_ssize_t)7;
}

/* How many numbers of room a step needs. */
static Py_ssize_t
scratch_of(const Step *step)
{
    if (step->code == STEP_call) {
        return 4 * step->n_table; /* pointers, strides, numbers twice */
    }
    if (step->code <= STEP_one_minus_square) {
        return step->n_operands * (STRETCH + 8);
    }
    if (step->code >= STEP_segment_sum && step->code <= STEP_softmax_minus) {
        Py_ssize_t n = step->extent[step->n_axes - 1], w = tile_width(n);
        return (step->code == STEP_softmax_pullback ? 3 : 2) * n * w + n;
    }
    if (step->code == STEP_product || step->code == STEP_linked_product) {
        return FEW_LANES * step->product->form[WIDE].n.extent;
    }
    return 4 * STRETCH;
}

/* --- loops ----------------------------------------------------------------------------------- */

typedef struct {
    double *at[MOST_OPERANDS];
    Py_ssize_t scale[MOST_OPERANDS]; /* from rows to numbers */
    Py_ssize_t lane[MOST_OPERANDS];  /* from lane to lane: 1, or 0 */
} Cursor;

ALWAYS_INLINE int
is_wide(const Context *context)
{
    return context->lanes > 1;
}

static Cursor
cursor_at(const Context *context, const Step *step)
{
    Cursor cursor = {{NULL}, {0}, {0}};
    for (int k = 0; k < step->n_operands && k < MOST_OPERANDS; k++) {
        Place place = step->place[k];
        int lanes = place.space == IN_BLOCK;
        cursor.scale[k] = lanes ? context->lanes : 1;
        cursor.lane[k] = lanes;
        cursor.at[k] = context->space[place.space] + place.offset * cursor.scale[k];
    }
    return cursor;
}

/* Move on by one in the first *n* axes of a loop; 0 at its end, when all is as it was before. */
ALWAYS_INLINE int
advance(const Loop *loop, int n, Py_ssize_t *index, int n_operands, double **at,
        const Py_ssize_t *scale)
{
    for (int axis = n - 1; axis >= 0; axis--) {
        const Py_ssize_t *stride = loop->stride + axis;
        if (++index[axis] < loop->extent[axis]) {
            for (int k = 0; k < n_operands; k++) {
                at[k] += stride[k * loop->n] * scale[k];
            }
            return 1;
        }
        index[axis] = 0;
        for (int k = 0; k < n_operands; k++) {
            at[k] -= stride[k * loop->n] * scale[k] * (loop->extent[axis] - 1);
        }
    }
    return 0;
}

static void
copy_stretch(Py_ssize_t n, double *r, Py_ssize_t sr, const double *x, Py_ssize_t s)
{
    if (sr == 1 && s == 1) {
        memmove(r, x, sizeof(double) * (size_t)n);
        return;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        r[sr * i] = x[s * i];
    }
}

/* --- rows ------------------------------------------------------------------------------------ */

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
    Py_ssize_t index[MOST_AXES] = {0};
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

/* Flat steps on one lane. Where the compiler can do it, each step jumps to the next one itself, which
   processors foresee better than one jump for all. */
static void
flat_narrow(Context *context, const Step *step)
{
    double *const base[2] = {context->space[IN_BLOCK], context->space[IN_STILL]};
    const Flat *flat = step->flat;
#define AT(address) base[(uint32_t)(address) >> 31][(address) ^ ((address) >> 31)]
#define X AT(flat->argument[0])
#define Y AT(flat->argument[1])
#if defined(__GNUC__)
#define CASE(NAME) label_##NAME
#define NEXT flat++; goto *label[flat->row]
#define UNARY_LABEL(NAME, name, value, partial) [NAME] = &&label_##NAME,
#define BINARY_LABEL(NAME, name, value, first, second) [NAME] = &&label_##NAME,
#define VARIADIC_LABEL(NAME, name, value, partials, takes) [NAME] = &&label_OTHER,
    __extension__ static const void *const label[] = {
        VARIADIC_ROWS(VARIADIC_LABEL) UNARY_ROWS(UNARY_LABEL) BINARY_ROWS(BINARY_LABEL)
        [ROW_HYPOT] = &&label_ROW_HYPOT, [ROW_ATAN2] = &&label_ROW_ATAN2,
        [ROW_TAKE] = &&label_OTHER, [ROW_ONE_MINUS] = &&label_ROW_ONE_MINUS,
        [ROW_ONE_MINUS_SQUARE] = &&label_OTHER, [ROW_END] = &&label_ROW_END,
    };
    goto *label[flat->row];
#else
#define CASE(NAME) case NAME
#define NEXT break
    for (;; flat++)
    switch (flat->row) {
#endif
#define UNARY_CASE(NAME, name, value, partial) \
    CASE(NAME):                                \
        AT(flat->result) = value(X);           \
        NEXT;
#define BINARY_CASE(NAME, name, value, first, second) \
    CASE(NAME):                                       \
        AT(flat->result) = value(X, Y);               \
        NEXT;
    UNARY_ROWS(UNARY_CASE)
    BINARY_ROWS(BINARY_CASE)
    CASE(ROW_HYPOT):
        AT(flat->result) = hypot(X, Y);
        NEXT;
    CASE(ROW_ATAN2):
        AT(flat->result) = atan2(X, Y);
        NEXT;
    CASE(ROW_ONE_MINUS):
        AT(flat->result) = k_sigmoid(-Y);
        NEXT;
    CASE(ROW_END):
        return;
#if defined(__GNUC__)
    label_OTHER:
#else
    default:
#endif
    {
        const double *x[3] = {&X, &Y, &AT(flat->argument[2])};
        const Py_ssize_t s[3] = {1, 1, 1};
        double room[4];
        apply_row(context, flat->row, arity_of(flat->row) ? arity_of(flat->row) : 2, 1,
                  &AT(flat->result), x, s, room);
        NEXT;
    }
#if !defined(__GNUC__)
    }
#endif
#undef AT
#undef X
#undef Y
#undef CASE
#undef NEXT
#undef UNARY_LABEL
#undef BINARY_LABEL
#undef VARIADIC_LABEL
#undef UNARY_CASE
#undef BINARY_CASE
}

static void
flat(Context *context, const Step *step)
{
    Py_ssize_t n = context->lanes;
    if (!is_wide(context)) {
        flat_narrow(context, step);
        return;
    }
    double *block = context->space[IN_BLOCK], *still = context->space[IN_STILL];
    Py_ssize_t k = 0;
    while ((k = context->vector->flat(step->flat, k, step->n_flat, n, still, block)) <
           step->n_flat) { /* a row of any number of arguments */
        const double *x[2];
        Py_ssize_t s[2];
        double room[4];
        for (int i = 0; i < 2; i++) {
            int32_t at = step->flat[k].argument[i];
            s[i] = at >= 0;
            x[i] = at >= 0 ? block + at * n : still + ~at;
        }
        apply_row(context, step->flat[k].row, 2, n, block + step->flat[k].result * n, x, s, room);
        k++;
    }
}

/* --- sums ------------------------------------------------------------------------------------ */

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
    Py_ssize_t index[MOST_AXES] = {0}, one = 1;
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
    Py_ssize_t index[MOST_AXES] = {0}, n = context->lanes;
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
        Py_ssize_t inner_index[MOST_AXES] = {0};
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

/* --- products -------------------------------------------------------------------------------- */

static void
plain_product(Context *context, const Step *step)
{
    Cursor cursor = cursor_at(context, step);
    const Loop *loop = &step->product->loop, *sum = &step->product->sum;
    int to_sums = step->place[0].space == IN_SUMS;
    Py_ssize_t index[MOST_AXES] = {0};
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
    Py_ssize_t index[MOST_AXES] = {0};
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

/* Are all numbers of an operand finite? */
static int
all_finite(const Context *context, const Step *step, int k)
{
    Place place = step->place[k];
    const Py_ssize_t *stride = step->stride + k * step->n_axes;
    Py_ssize_t lanes = place.space == IN_BLOCK ? context->lanes : 1, index[MOST_AXES] = {0};
    const double *x = context->space[place.space] + place.offset * lanes;
    for (int axis = 0; axis >= 0;) {
        double nothing = 0.0; /* or nan */
        for (Py_ssize_t l = 0; l < lanes; l++) {
            nothing += x[l] * 0.0;
        }
        if (nothing != 0.0) {
            return 0;
        }
        for (axis = step->n_axes - 1; axis >= 0; axis--) {
            if (stride[axis] != 0 && index[axis] + 1 < step->extent[axis]) {
                index[axis]++;
                x += stride[axis] * lanes;
                break;
            }
            x -= stride[axis] * lanes * index[axis];
            index[axis] = 0;
        }
    }
    return 1;
}

/* A product without the terms where the mask is 0. Where it is, a is 0 as well, so that only a nan or
   an infinity makes a difference. */
static void
linked_product(Context *context, const Step *step)
{
    int to_sums = step->place[0].space == IN_SUMS;
    if (!to_sums || (all_finite(context, step, 1) && all_finite(context, step, 2))) {
        product(context, step);
        if (to_sums || all_finite(context, step, 0)) {
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

/* --- lines ----------------------------------------------------------------------------------- */

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
    Py_ssize_t index[MOST_AXES] = {0}, stride[3] = {0}, apart[3] = {0}, count = 1;
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

/* --- places by number ------------------------------------------------------------------------ */

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
    Py_ssize_t index[MOST_AXES] = {0}, n = cursor.lane[0] ? context->lanes : 1;
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

static void
do_step(Context *context, const Step *step)
{
    switch (step->code) {
    case STEP_apply:
    case STEP_one_minus:
    case STEP_one_minus_square:
    case STEP_copy:
    case STEP_add:
    case STEP_sigmoids:
        elements(context, step);
        break;
    case STEP_move:
        move(context, step);
        break;
    case STEP_gather:
    case STEP_scatter:
    case STEP_scatter_add:
        gather(context, step);
        break;
    case STEP_product:
        product(context, step);
        break;
    case STEP_linked_product:
        linked_product(context, step);
        break;
    case STEP_sum:
        sum(context, step);
        break;
    case STEP_one_hot:
        one_hot(context, step);
        break;
    case STEP_pick:
    case STEP_spread:
        rows_by_number(context, step);
        break;
    case STEP_call:
        call(context, step);
        break;
    case STEP_flat:
        flat(context, step);
        break;
    default:
        lines(context, step);
    }
}
