/* What a step is done with, and how it goes through its operands. */

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

/* Begin at the first of all indices of a nest of *n* loops. (To clear all that there may be would take
   longer than a small step.) */
ALWAYS_INLINE void
begin(Py_ssize_t *index, int n)
{
    for (int axis = 0; axis < n; axis++) {
        index[axis] = 0;
    }
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

/* Are the absolute values of an operand at most *most*?  A nan is not; of all that are finite, DBL_MAX
   is the bound. */
static int
is_bounded(const Context *context, const Step *step, int k, double most)
{
    Place place = step->place[k];
    const Py_ssize_t *stride = step->stride + k * step->n_axes;
    Py_ssize_t lanes = place.space == IN_BLOCK ? context->lanes : 1, index[MOST_AXES] = {0};
    const double *x = context->space[place.space] + place.offset * lanes;
    for (int axis = 0; axis >= 0;) {
        int beyond = 0;
        for (Py_ssize_t l = 0; l < lanes; l++) {
            beyond |= !(fabs(x[l]) <= most);
        }
        if (beyond) {
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
