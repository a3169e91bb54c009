/* Products: every case is a nest of loops, with the lanes as one more axis. One axis is chosen to run
   along vectors. Where the result has it, each element of a tile of the result is a vector; where it
   is summed, each is the sum of a vector in the end. What fits neither is done by plain loops. */

typedef struct {
    Py_ssize_t extent, stride[3]; /* of result, a and b; in numbers, or in rows */
} Axis;

enum { PLAIN, ALONG_RESULT, ALONG_SUM };

typedef struct {
    uint8_t kind;
    uint8_t swapped;  /* a and b */
    uint8_t lanes;    /* whether the axis of the vectors is the lanes, or ends with them */
    uint8_t a_vector; /* ALONG_RESULT: whether a has the axis too, as b always has */
    Axis v;           /* the axis of the vectors */
    Axis m;           /* in the result and a */
    Axis n;           /* ALONG_SUM: in the result and b */
    Axis k;           /* summed */
    int n_outer;
    Axis *outer;
} Form;

struct Product {
    Form form[2];
    Loop loop; /* over the result's elements */
    Loop sum;  /* over what is summed */
};

static const Axis no_axis = {1, {0, 0, 0}};

static void
take_axis(Axis *axes, int *n, int which, Axis *taken)
{
    *taken = axes[which];
    memmove(axes + which, axes + which + 1, sizeof(Axis) * (size_t)(*n - which - 1));
    --*n;
}

/* Find the longest axis that operand *without* does not have and operand *with* has. */
static int
longest_axis(const Axis *axes, int n, int with, int without)
{
    int found = -1;
    for (int i = 0; i < n; i++) {
        if (axes[i].stride[without] == 0 && axes[i].stride[with] != 0 &&
            (found < 0 || axes[i].extent > axes[found].extent)) {
            found = i;
        }
    }
    return found;
}

static int
runs_along(const Axis *axis) /* the result, and at least one of the operands, one by one */
{
    const Py_ssize_t *s = axis->stride;
    return s[0] == 1 && s[1] <= 1 && s[2] <= 1 && s[1] + s[2] > 0;
}

/* Choose how a product is done: on one lane, or on many. */
static int
choose_form(Machine *machine, const Step *step, int wide, Form *form)
{
    const Product *product = step->product;
    const Loop *loop = &product->loop, *sum = &product->sum;
    Axis axes[MOST_AXES], along = no_axis;
    int n = loop->n;
    memset(form, 0, sizeof(*form));
    form->v = form->m = form->n = form->k = no_axis;
    for (int i = 0; i < n; i++) {
        axes[i] = (Axis){loop->extent[i], {loop->stride[i], loop->stride[n + i],
                                           loop->stride[2 * n + i]}};
        if (axes[i].stride[0] == 0) {
            return 0;
        }
    }
    if (sum->n) {
        along = (Axis){sum->extent[0], {0, sum->stride[1], sum->stride[2]}};
    }
    int a_lanes = step->place[1].space == IN_BLOCK, b_lanes = step->place[2].space == IN_BLOCK;
    if (wide && step->place[0].space == IN_BLOCK && (a_lanes || b_lanes)) {
        form->kind = ALONG_RESULT;
        form->lanes = 1;
        form->v = (Axis){1, {1, a_lanes, b_lanes}};
        form->k = along;
    }
    else if (wide && step->place[0].space == IN_SUMS && a_lanes && b_lanes) {
        form->kind = ALONG_SUM;
        form->lanes = 1;
        form->v = (Axis){1, {0, 1, 1}};
        if (along.stride[1] == 1 && along.stride[2] == 1) {
            form->v.extent = along.extent;
        }
        else {
            form->k = along;
        }
    }
    else if (!wide) {
        int best = -1, dots = along.stride[1] == 1 && along.stride[2] == 1;
        for (int i = 0; i < n; i++) {
            if (runs_along(&axes[i]) && (best < 0 || axes[i].extent > axes[best].extent)) {
                best = i;
            }
        }
        if (best >= 0 && (!dots || axes[best].extent >= 4 || axes[best].extent >= along.extent)) {
            form->kind = ALONG_RESULT;
            take_axis(axes, &n, best, &form->v);
            form->k = along;
        }
        else if (dots) {
            form->kind = ALONG_SUM;
            form->v = along;
        }
    }
    if (form->kind == PLAIN) {
        return 0;
    }
    form->swapped = form->kind == ALONG_RESULT && form->v.stride[2] == 0;
    int a = form->swapped ? 2 : 1, b = 3 - a;
    form->a_vector = form->kind == ALONG_RESULT && form->v.stride[a] != 0;
    int best = longest_axis(axes, n, a, b);
    if (best >= 0) {
        take_axis(axes, &n, best, &form->m);
    }
    best = form->kind == ALONG_SUM ? longest_axis(axes, n, b, a) : -1;
    if (best >= 0) {
        take_axis(axes, &n, best, &form->n);
    }
    form->n_outer = n;
    form->outer = machine_room(machine, sizeof(Axis) * (size_t)n + 1);
    if (form->outer == NULL) {
        return -1;
    }
    memcpy(form->outer, axes, sizeof(Axis) * (size_t)n);
    return 0;
}

static int
make_product(Machine *machine, Step *step)
{
    Product *product = step->product = machine_room(machine, sizeof(Product));
    int n = step->n_axes;
    return product == NULL || make_loop(machine, step, 0, n - 1, &product->loop) < 0 ||
                   make_loop(machine, step, n - 1, n, &product->sum) < 0 ||
                   choose_form(machine, step, NARROW, &product->form[NARROW]) < 0 ||
                   choose_form(machine, step, WIDE, &product->form[WIDE]) < 0
               ? -1 : 0;
}
