/* A plan, as compiler/plan.py says what one is, read once into plain data and checked. */

#define STEP_CODES(CODE)                                                                   \
    CODE(apply) CODE(one_minus) CODE(one_minus_square) CODE(copy) CODE(add) CODE(gather)   \
    CODE(scatter) CODE(scatter_add) CODE(product) CODE(linked_product) CODE(sum)           \
    CODE(segment_sum)                                                                      \
    CODE(maximum) CODE(minimum) CODE(logsumexp) CODE(softmax) CODE(logsumexp_slopes)       \
    CODE(softmax_pullback) CODE(surprisals) CODE(cross_entropy) CODE(softmax_minus)        \
    CODE(one_hot) CODE(pick) CODE(spread) CODE(move) CODE(loop) CODE(call) CODE(flat)

#define CONSTANT(name) STEP_##name,
enum { STEP_CODES(CONSTANT) N_STEP_CODES, STEP_sigmoids = N_STEP_CODES }; /* the last made here */
#undef CONSTANT

enum { IN_STILL, IN_BLOCK, IN_SUMS, N_SPACES };
enum { BEFORE, EACH, AFTER, N_LISTS };
enum { NARROW, WIDE }; /* for one lane, and for more than one */
enum { MOST_AXES = 32, MOST_OPERANDS = 4 }; /* of operands: but of apply and call */

/* What runs beside the kernels of the engine: rows that have none there, and the two complements. */
enum {
    ROW_HYPOT = N_KERNELS, ROW_ATAN2, ROW_TAKE, ROW_ONE_MINUS, ROW_ONE_MINUS_SQUARE,
    ROW_END, /* after the last of flat steps */
};

typedef struct {
    uint8_t space;
    Py_ssize_t offset;
} Place;

/* A nest of loops, the last the innermost; strides of each operand in numbers or in rows. */
typedef struct {
    int n;
    Py_ssize_t *extent; /* n of them */
    Py_ssize_t *stride; /* for each operand n of them */
} Loop;

/* One step of a flat list: addresses, r for row r of BLOCK, ~s for place s of STILL. */
typedef struct {
    int32_t row;
    int32_t result;
    int32_t argument[3];
} Flat;

typedef struct Product Product;

typedef struct {
    uint8_t code;
    int row;
    int n_operands, n_axes;
    Place *place;
    Py_ssize_t *extent, *stride; /* as they were given */
    Loop loop[2];     /* over all axes, or all but those of detail */
    Loop reduced[2];  /* of a sum: those that are summed over */
    const int64_t *table;
    Py_ssize_t n_table;
    Py_ssize_t count, step; /* of the rows of a table: how many, and how far apart; of a loop: how
                               often, and how many steps */
    Py_ssize_t moves[2];    /* by how much the offsets go on at each round of a loop */
    Flat *flat;
    Py_ssize_t n_flat;
    Product *product;
    double work; /* about how many operations for each lane */
} Step;

typedef struct {
    Step *step;
    Py_ssize_t n;
    double work;
} Steps;

/* A table while a plan is read; *kept* is its copy in the machine, made when a step needs one. */
typedef struct {
    int64_t *item;
    const int64_t *kept;
    Py_ssize_t n, columns;
} Numbers;

typedef struct Piece {
    struct Piece *next;
    size_t used, size;
    double memory[];
} Piece;

typedef struct {
    Py_ssize_t row, size;
} Input;

struct Context;
struct Workspace;
struct Vector;

typedef struct {
    PyObject_HEAD
    PyObject *empty, *array; /* numpy.empty and numpy.ndarray */
    State *state;    /* kept alive by the module, which the type keeps alive */
    Piece *pieces;
    Py_ssize_t size[N_SPACES]; /* of BLOCK: its rows */
    double *still;             /* as it is before a run */
    Py_ssize_t parameters[2];
    Py_ssize_t n_inputs, n_outputs;
    Input *input;
    Place *output;
    int turned;             /* whether an example's outputs lie side by side */
    Py_ssize_t cost;        /* or -1 */
    Py_ssize_t gradient[2]; /* from which place of STILL to which */
    Steps list[N_LISTS];
    Py_ssize_t lanes;   /* as many as a block may have */
    Py_ssize_t scratch; /* numbers of room that a step needs at most */
    const struct Vector *vector;
    struct Workspace *spare;
} Machine;

/* --- memory that lives as long as the machine ------------------------------------------------ */

static void *
machine_room(Machine *machine, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    Piece *piece = machine->pieces;
    if (piece == NULL || piece->size - piece->used < size) {
        size_t all = size > 1 << 16 ? size : 1 << 16;
        piece = PyMem_RawMalloc(sizeof(Piece) + all + 16);
        if (piece == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        *piece = (Piece){machine->pieces, (16 - (uintptr_t)piece->memory % 16) % 16, all + 16};
        machine->pieces = piece;
    }
    void *found = (char *)piece->memory + piece->used;
    piece->used += size;
    return found;
}

/* --- loops ----------------------------------------------------------------------------------- */

/* Make of the first *n* axes of a step the shortest nest: without axes of one, neighbours merged. */
static int
make_loop(Machine *machine, const Step *step, int first, int n, Loop *loop)
{
    int n_operands = step->n_operands, all = step->n_axes;
    loop->n = 0;
    loop->extent = machine_room(machine, sizeof(Py_ssize_t) * (size_t)(n - first + 1));
    loop->stride = machine_room(
        machine, sizeof(Py_ssize_t) * (size_t)((n - first + 1) * n_operands));
    if (loop->extent == NULL || loop->stride == NULL) {
        return -1;
    }
    int kept[MOST_AXES] = {0};
    for (int axis = first; axis < n; axis++) {
        Py_ssize_t extent = step->extent[axis];
        if (extent == 1) {
            continue;
        }
        int merges = loop->n > 0;
        for (int k = 0; merges && k < n_operands; k++) {
            const Py_ssize_t *stride = step->stride + k * all;
            merges = stride[kept[loop->n - 1]] == extent * stride[axis];
        }
        if (merges) {
            loop->extent[loop->n - 1] *= extent;
            kept[loop->n - 1] = axis;
        }
        else {
            loop->extent[loop->n] = extent;
            kept[loop->n++] = axis;
        }
    }
    for (int k = 0; k < n_operands; k++) {
        for (int i = 0; i < loop->n; i++) {
            loop->stride[k * loop->n + i] = step->stride[k * all + kept[i]];
        }
    }
    return 0;
}

/* --- reading --------------------------------------------------------------------------------- */

static int
unsound(const char *what)
{
    PyErr_Format(PyExc_ValueError, "Machine: the plan is not sound: %s", what);
    return -1;
}

static int
read_whole(PyObject *object, Py_ssize_t *number)
{
    *number = PyNumber_AsSsize_t(object, PyExc_OverflowError);
    return *number == -1 && PyErr_Occurred() ? -1 : 0;
}

/* Read a tuple of at most *most* numbers; how many there are, or -1. */
static int
read_numbers(PyObject *tuple, Py_ssize_t *number, int most)
{
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) > most) {
        return unsound("expected a tuple of numbers, and not too long a one");
    }
    for (int i = 0; i < PyTuple_GET_SIZE(tuple); i++) {
        if (read_whole(PyTuple_GET_ITEM(tuple, i), &number[i]) < 0) {
            return -1;
        }
    }
    return (int)PyTuple_GET_SIZE(tuple);
}

static int
read_table(PyObject *object, Numbers *table)
{
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        return -1;
    }
    char format = view.format != NULL && view.format[0] != '\0' && view.format[1] == '\0'
                      ? view.format[0] : '?';
    int fits = strchr("ilq", format) != NULL && (view.itemsize == 4 || view.itemsize == 8);
    table->n = fits ? view.len / view.itemsize : 0;
    table->columns = fits && view.ndim == 2 ? view.shape[1] : 0;
    int64_t *item = fits ? PyMem_Malloc((size_t)table->n * sizeof(int64_t) + 1) : NULL;
    for (Py_ssize_t i = 0; item != NULL && i < table->n; i++) {
        item[i] = view.itemsize == 8 ? ((const int64_t *)view.buf)[i]
                                     : ((const int32_t *)view.buf)[i];
    }
    table->item = item;
    PyBuffer_Release(&view);
    if (!fits) {
        return unsound("a table is not of whole numbers");
    }
    if (item == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static const int64_t *
kept_table(Machine *machine, Numbers *table)
{
    if (table->kept == NULL) {
        size_t size = (size_t)table->n * sizeof(int64_t);
        int64_t *copy = machine_room(machine, size + 1);
        if (copy != NULL) {
            memcpy(copy, table->item, size);
        }
        table->kept = copy;
    }
    return table->kept;
}

/* Is *offset* to *offset* + the sum of all (extent - 1) * stride inside 0 to *size*? */
static int
inside(Py_ssize_t offset, int n, const Py_ssize_t *extent, const Py_ssize_t *stride,
       Py_ssize_t size)
{
    if (offset < 0 || offset >= size) {
        return 0;
    }
    Py_ssize_t left = size - 1 - offset;
    for (int i = 0; i < n; i++) {
        if (stride[i] < 0 || (stride[i] > 0 && extent[i] - 1 > left / stride[i])) {
            return 0;
        }
        left -= (extent[i] - 1) * stride[i];
    }
    return 1;
}

typedef struct {
    Machine *machine;
    Py_ssize_t n_rows, n_tables;
    int *row; /* the number of each row's kernel, or -1 */
    Numbers *table;
    PyObject *rows; /* a sequence, borrowed */
    Py_ssize_t rounds; /* of the innermost loop around the step that is read; 0 for none */
} Reading;

/* Which kernel a row of the table has here; -1 for none. */
static int
machine_row(const State *state, PyObject *row)
{
    int kernel = kernel_of(state, row);
    for (int i = 0; kernel == NO_KERNEL && i < 3; i++) {
        if (row == state->machine_row[i]) {
            return ROW_HYPOT + i;
        }
    }
    return kernel == NO_KERNEL ? -1 : kernel;
}

static int
arity_of(int row) /* 0: any number */
{
    switch (row) {
    case WHERE:
        return 3;
    case ROW_HYPOT:
    case ROW_ATAN2:
    case ROW_ONE_MINUS:
    case ROW_ONE_MINUS_SQUARE:
        return 2;
    case ROW_TAKE:
        return 0;
    default:
        return kernels[row].unary.value ? 1 : kernels[row].binary.value ? 2 : 0;
    }
}

/* Does a row take so many arguments? */
static int
takes_so_many(int row, Py_ssize_t n)
{
    switch (row) {
    case DOT:
        return n % 2 == 1;
    case SOFT_CROSS_ENTROPY:
        return n > 0 && n % 2 == 0;
    case SOFTMAX:
    case SOFTMAX_REST:
    case CROSS_ENTROPY:
    case ROW_TAKE:
        return n > 1;
    default:
        return arity_of(row) ? n == arity_of(row) : n > 0;
    }
}

static int
read_row(const Reading *reading, Py_ssize_t which, Py_ssize_t n, int *row)
{
    if (which < 0 || which >= reading->n_rows) {
        return unsound("there is no such row");
    }
    *row = reading->row[which];
    if (*row < 0) {
        PyObject *given = PySequence_Fast_GET_ITEM(reading->rows, which);
        PyErr_Format(PyExc_LookupError, "Machine: there is no kernel of %R in C", given);
        return -1;
    }
    return takes_so_many(*row, n) ? 0 : unsound("a row does not take so many arguments");
}

static int
may_write(int list, int code, int space)
{
    switch (space) {
    case IN_STILL:
        return list != EACH;
    case IN_BLOCK:
        return list == EACH;
    default:
        return list == EACH &&
               (code == STEP_sum || code == STEP_product || code == STEP_linked_product ||
                code == STEP_spread);
    }
}

static int
may_read(int list, int space)
{
    return space == IN_STILL || (space == IN_BLOCK && list == EACH) ||
           (space == IN_SUMS && list == AFTER);
}

static int
fits_address(const Machine *machine, int list, int64_t address)
{
    return address >= 0 ? list == EACH && address < machine->size[IN_BLOCK]
                        : ~address < machine->size[IN_STILL];
}

static int
read_flat(const Reading *reading, const Numbers *table, Step *step, int list)
{
    const Machine *machine = reading->machine;
    if (table->columns != 5 || machine->size[IN_BLOCK] > INT32_MAX ||
        machine->size[IN_STILL] > INT32_MAX) {
        return unsound("flat steps have five columns, and addresses of 32 bits");
    }
    step->n_flat = table->n / 5;
    step->flat = machine_room(reading->machine, sizeof(Flat) * ((size_t)step->n_flat + 1));
    if (step->flat == NULL) {
        return -1;
    }
    step->work = (double)step->n_flat;
    step->flat[step->n_flat] = (Flat){ROW_END, 0, {0, 0, 0}};
    for (Py_ssize_t i = 0; i < step->n_flat; i++) {
        const int64_t *item = table->item + 5 * i;
        Flat *flat = &step->flat[i];
        int row;
        if (item[0] == -1 || item[0] == -2) {
            row = item[0] == -1 ? ROW_ONE_MINUS : ROW_ONE_MINUS_SQUARE;
        }
        else {
            int known = item[0] >= 0 && item[0] < reading->n_rows ? reading->row[item[0]] : -1;
            int arity = known < 0 ? 0 : arity_of(known);
            if (read_row(reading, (Py_ssize_t)item[0], arity ? arity : 2, &row) < 0) {
                return -1;
            }
        }
        int arity = arity_of(row) ? arity_of(row) : 2;
        if (!fits_address(machine, list, item[1]) || (item[1] < 0) == (list == EACH)) {
            return unsound("the result of a flat step has no such place");
        }
        *flat = (Flat){row, (int32_t)item[1], {0, 0, 0}};
        for (int k = 0; k < arity; k++) {
            if (!fits_address(machine, list, item[2 + k]) || item[2 + k] == item[1]) {
                return unsound("an argument of a flat step has no such place");
            }
            flat->argument[k] = (int32_t)item[2 + k];
        }
    }
    return 0;
}

static int
read_operand(PyObject *operand, Step *step, int k, int list)
{
    if (!PyTuple_Check(operand) || PyTuple_GET_SIZE(operand) != 3) {
        return unsound("an operand is not (space, offset, strides)");
    }
    Py_ssize_t space, *stride = step->stride + k * step->n_axes;
    Place *place = &step->place[k];
    if (read_whole(PyTuple_GET_ITEM(operand, 0), &space) < 0 ||
        read_whole(PyTuple_GET_ITEM(operand, 1), &place->offset) < 0) {
        return -1;
    }
    int n = read_numbers(PyTuple_GET_ITEM(operand, 2), stride, step->n_axes);
    if (n < 0) {
        return -1;
    }
    if (n != step->n_axes || space < 0 || space >= N_SPACES) {
        return unsound("an operand has as many strides as the step has extents, and a space");
    }
    place->space = (uint8_t)space;
    if (k == 0 ? !may_write(list, step->code, (int)space) : !may_read(list, (int)space)) {
        return unsound("an operand lies in a space that is not for it");
    }
    return 0;
}

static int
fits_operand(const Machine *machine, const Step *step, int k, const Py_ssize_t *extent)
{
    return inside(step->place[k].offset, step->n_axes, extent, step->stride + k * step->n_axes,
                  machine->size[step->place[k].space]);
}

/* Check what the operands of a step with extents may reach. */
static int
check_reach(const Machine *machine, const Step *step)
{
    Py_ssize_t extent[MOST_AXES];
    int last = step->n_axes - 1;
    for (int k = 0; k < step->n_operands; k++) {
        memcpy(extent, step->extent, sizeof(Py_ssize_t) * (size_t)step->n_axes);
        int reduces = step->code >= STEP_segment_sum && step->code <= STEP_logsumexp;
        if (k == 0 && (reduces || step->code == STEP_cross_entropy)) {
            extent[last] = step->table != NULL ? step->n_table : 1;
        }
        if ((step->code == STEP_gather && k == 1) ||
            ((step->code == STEP_scatter || step->code == STEP_scatter_add) && k == 0)) {
            int64_t most = 0;
            for (Py_ssize_t i = 0; i < step->n_table; i++) {
                if (step->table[i] < 0) {
                    return unsound("an index is negative");
                }
                most = step->table[i] > most ? step->table[i] : most;
            }
            if (most >= PY_SSIZE_T_MAX) {
                return unsound("an index is too large");
            }
            extent[0] = (Py_ssize_t)most + 1;
        }
        if ((step->code == STEP_pick && k == 2) || (step->code == STEP_spread && k == 0)) {
            Py_ssize_t size = machine->size[step->place[k].space];
            if (step->count < 1 || step->step < 0 ||
                (step->step > 0 && step->count - 1 > (size - 1) / step->step) ||
                !inside(step->place[k].offset + (step->count - 1) * step->step, step->n_axes,
                        extent, step->stride + k * step->n_axes, size)) {
                return unsound("the rows of a table lie outside");
            }
        }
        if (!fits_operand(machine, step, k, extent)) {
            return unsound("an operand reaches beyond its space");
        }
    }
    return 0;
}

static int
n_operands_of(int code) /* 0: any number, but more than one */
{
    switch (code) {
    case STEP_apply:
        return 0;
    case STEP_copy:
    case STEP_add:
    case STEP_gather:
    case STEP_scatter:
    case STEP_scatter_add:
    case STEP_sum:
    case STEP_segment_sum:
    case STEP_maximum:
    case STEP_minimum:
    case STEP_logsumexp:
    case STEP_softmax:
    case STEP_logsumexp_slopes:
    case STEP_surprisals:
    case STEP_one_hot:
    case STEP_move:
        return 2;
    case STEP_linked_product:
        return 4;
    default:
        return 3;
    }
}

static int
read_detail(const Reading *reading, Step *step, const Py_ssize_t *detail, int n)
{
    int segmented = step->code >= STEP_segment_sum && step->code <= STEP_softmax_pullback;
    int expected = 0;
    switch (step->code) {
    case STEP_apply:
    case STEP_gather:
    case STEP_scatter:
    case STEP_scatter_add:
    case STEP_sum:
    case STEP_flat:
        expected = 1;
        break;
    case STEP_pick:
    case STEP_spread:
    case STEP_move:
    case STEP_loop:
    case STEP_call:
        expected = 2;
        break;
    default:
        expected = segmented && n == 1;
    }
    if (n != expected) {
        return unsound("a step has more or less detail than its code");
    }
    Py_ssize_t which = step->code == STEP_call ? detail[1] : detail[0];
    if (step->code == STEP_gather || step->code == STEP_scatter || segmented ||
        step->code == STEP_scatter_add || step->code == STEP_call || step->code == STEP_flat) {
        if (segmented && n == 0) {
            return 0;
        }
        if (which < 0 || which >= reading->n_tables) {
            return unsound("there is no such table");
        }
        if (step->code != STEP_flat) {
            step->table = kept_table(reading->machine, &reading->table[which]);
            step->n_table = reading->table[which].n;
            if (step->table == NULL) {
                return -1;
            }
        }
    }
    if (step->code == STEP_pick || step->code == STEP_spread || step->code == STEP_loop) {
        step->count = detail[0];
        step->step = detail[1];
    }
    if (step->code == STEP_move) {
        memcpy(step->moves, detail, sizeof(step->moves));
    }
    if (step->code == STEP_sum) {
        step->count = detail[0]; /* of indices */
        if (step->count < 0 || step->count > step->n_axes) {
            return unsound("a sum is over as many indices as there are at most");
        }
    }
    if (step->code == STEP_gather || step->code == STEP_scatter ||
        step->code == STEP_scatter_add) {
        if (step->n_axes != 1 || step->n_table != step->extent[0]) {
            return unsound("a gather or scatter has one extent, and as long a table");
        }
    }
    if (segmented) {
        Py_ssize_t last = step->extent[step->n_axes - 1];
        int fits = step->n_table > 0 && step->table[0] == 0;
        for (Py_ssize_t i = 1; fits && i < step->n_table; i++) {
            fits = step->table[i] > step->table[i - 1] && step->table[i] < last;
        }
        if (!fits) {
            return unsound("stretches begin at 0 and go on upwards, none of them empty");
        }
    }
    return 0;
}

static int
check_zeros(const Step *step, int n) /* the result's strides along the last *n* axes are 0 */
{
    for (int axis = step->n_axes - n; axis < step->n_axes; axis++) {
        if (step->stride[axis] != 0) {
            return unsound("the result of a sum or product has strides of 0 along what is summed");
        }
    }
    return 0;
}

static int make_product(Machine *machine, Step *step);

/* Choose the axis along which an element-wise step runs at one lane: the result's contiguous one. */
static void
prefer_contiguous(Loop *loop, int n_operands)
{
    int last = loop->n - 1;
    for (int axis = last - 1; last > 0 && loop->stride[last] != 1 && axis >= 0; axis--) {
        if (loop->stride[axis] == 1) {
            Py_ssize_t extent = loop->extent[axis];
            loop->extent[axis] = loop->extent[last];
            loop->extent[last] = extent;
            for (int k = 0; k < n_operands; k++) {
                Py_ssize_t *stride = loop->stride + k * loop->n, moved = stride[axis];
                stride[axis] = stride[last];
                stride[last] = moved;
            }
        }
    }
}

static int
make_loops(Machine *machine, Step *step)
{
    int n = step->n_axes, outer = n;
    switch (step->code) {
    case STEP_sum:
        outer = n - (int)step->count;
        break;
    case STEP_gather:
    case STEP_scatter:
    case STEP_scatter_add:
        return 0;
    case STEP_product:
    case STEP_linked_product:
        return make_product(machine, step);
    case STEP_apply:
    case STEP_one_minus:
    case STEP_one_minus_square:
    case STEP_copy:
    case STEP_add:
    case STEP_move:
        break;
    default:
        outer = n - 1;
    }
    if (make_loop(machine, step, 0, outer, &step->loop[NARROW]) < 0 ||
        make_loop(machine, step, 0, outer, &step->loop[WIDE]) < 0 ||
        (step->code == STEP_sum && make_loop(machine, step, outer, n, &step->reduced[0]) < 0)) {
        return -1;
    }
    if (outer == n || step->code == STEP_sum) {
        prefer_contiguous(&step->loop[NARROW], step->n_operands);
    }
    return 0;
}

/* Check what the operands of a step that moves may reach in the last round; a straight line leads
   from there to the first. */
static int
check_moves(const Reading *reading, Step *step, int list)
{
    Py_ssize_t most = reading->machine->size[IN_BLOCK], rounds = reading->rounds;
    if (list != EACH || rounds < 1 || most > INT32_MAX) {
        return unsound("nothing moves but in a loop, and only so far");
    }
    for (int k = 0; k < 2; k++) {
        Py_ssize_t by = step->moves[k], first = step->place[k].offset;
        if (by > most || by < -most || step->place[k].space != IN_BLOCK) {
            return unsound("a step moves beyond its space");
        }
        step->place[k].offset += (rounds - 1) * by;
        if (first < 0 || !fits_operand(reading->machine, step, k, step->extent)) {
            return unsound("a step moves beyond its space");
        }
        step->place[k].offset = first;
    }
    return 0;
}

static int
read_step(const Reading *reading, PyObject *given, Step *step, int list)
{
#define NAME(name) #name,
    static const char *const names[] = {STEP_CODES(NAME)};
#undef NAME
    Machine *machine = reading->machine;
    Py_ssize_t extent[MOST_AXES], detail[2];
    if (!PyTuple_Check(given) || PyTuple_GET_SIZE(given) != 4 ||
        !PyUnicode_Check(PyTuple_GET_ITEM(given, 0)) ||
        !PyTuple_Check(PyTuple_GET_ITEM(given, 2))) {
        return unsound("a step is not (code, extents, operands, detail)");
    }
    memset(step, 0, sizeof(*step));
    PyObject *operands = PyTuple_GET_ITEM(given, 2);
    int code = 0;
    while (code < N_STEP_CODES && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(given, 0),
                                                                  names[code]) != 0) {
        code++;
    }
    if (code == N_STEP_CODES) {
        PyErr_Format(PyExc_LookupError, "Machine: there is no code %R in C",
                     PyTuple_GET_ITEM(given, 0));
        return -1;
    }
    step->code = (uint8_t)code;
    step->n_axes = read_numbers(PyTuple_GET_ITEM(given, 1), extent, MOST_AXES);
    int n_detail = read_numbers(PyTuple_GET_ITEM(given, 3), detail, 2);
    if (step->n_axes < 0 || n_detail < 0) {
        return -1;
    }
    int bare = code == STEP_call || code == STEP_flat || code == STEP_loop;
    if (bare != (step->n_axes == 0) || (bare && PyTuple_GET_SIZE(operands) != 0)) {
        return unsound("a step has extents and operands, but loop, call and flat have none");
    }
    double all = 1.0;
    for (int i = 0; i < step->n_axes; i++) {
        if (extent[i] < 1) {
            return unsound("an extent is below 1");
        }
        all *= (double)extent[i];
    }
    if (all > 1e15) {
        return unsound("a step of so many elements does not end");
    }
    step->work = all;
    size_t n_axes = (size_t)step->n_axes;
    Py_ssize_t n_operands = PyTuple_GET_SIZE(operands);
    if (n_operands > 1 << 24) {
        return unsound("a step has too many operands");
    }
    step->n_operands = (int)n_operands;
    step->extent = machine_room(machine, sizeof(Py_ssize_t) * n_axes + 1);
    step->stride = machine_room(machine, sizeof(Py_ssize_t) * n_axes * (size_t)n_operands + 1);
    step->place = machine_room(machine, sizeof(Place) * (size_t)n_operands + 1);
    if (step->extent == NULL || step->stride == NULL || step->place == NULL) {
        return -1;
    }
    memcpy(step->extent, extent, sizeof(Py_ssize_t) * n_axes);
    if (read_detail(reading, step, detail, n_detail) < 0) {
        return -1;
    }
    if (code == STEP_loop) {
        step->work = 0.0;
        return 0; /* read_loop says what it is around */
    }
    if (code == STEP_flat) {
        return read_flat(reading, &reading->table[detail[0]], step, list);
    }
    if (code == STEP_call) {
        step->work = (double)step->n_table;
        for (Py_ssize_t i = 0; i < step->n_table; i++) {
            if (!fits_address(machine, list, step->table[i]) ||
                (i == 0 && (step->table[0] < 0) == (list == EACH)) ||
                (i > 0 && step->table[i] == step->table[0])) {
                return unsound("a call has no such place");
            }
        }
        if (step->n_table < 2 || step->n_table > 1 << 24) {
            return unsound("a call has a result and arguments");
        }
        return read_row(reading, detail[0], step->n_table - 1, &step->row);
    }
    int expected = n_operands_of(code);
    if (expected ? n_operands != expected : n_operands < 2) {
        return unsound("a step has more or less operands than its code");
    }
    for (int k = 0; k < step->n_operands; k++) {
        if (read_operand(PyTuple_GET_ITEM(operands, k), step, k, list) < 0) {
            return -1;
        }
    }
    if (code == STEP_apply && read_row(reading, detail[0], n_operands - 1, &step->row) < 0) {
        return -1;
    }
    step->row = code == STEP_one_minus ? ROW_ONE_MINUS
                : code == STEP_one_minus_square ? ROW_ONE_MINUS_SQUARE : step->row;
    int multiplies = code == STEP_product || code == STEP_linked_product;
    if (code == STEP_move && check_moves(reading, step, list) < 0) {
        return -1;
    }
    if (check_reach(machine, step) < 0 || (multiplies && check_zeros(step, 1) < 0) ||
        (code == STEP_sum && check_zeros(step, (int)step->count) < 0)) {
        return -1;
    }
    return make_loops(machine, step);
}

/* --- a sigmoid and its complement ------------------------------------------------------------ */

static int
is_same_operand(const Step *one, int i, const Step *other, int k)
{
    return one->n_axes == other->n_axes && one->place[i].space == other->place[k].space &&
           one->place[i].offset == other->place[k].offset &&
           memcmp(one->stride + i * one->n_axes, other->stride + k * other->n_axes,
                  sizeof(Py_ssize_t) * (size_t)one->n_axes) == 0;
}

/* The places behind the last one that an operand may reach. */
static Py_ssize_t
end_of(const Step *step, int k)
{
    Py_ssize_t end = step->place[k].offset + 1;
    for (int axis = 0; axis < step->n_axes; axis++) {
        end += (step->extent[axis] - 1) * step->stride[k * step->n_axes + axis];
    }
    return end;
}

/* May operand *k* of *step* share places with operand *i* of *other*? */
static int
may_touch(const Step *step, int k, const Step *other, int i)
{
    if (step->place[k].space != other->place[i].space) {
        return 0;
    }
    int is_plain = step->code <= STEP_add || (step->code >= STEP_product && step->code <= STEP_sum) ||
                   step->code == STEP_sigmoids;
    return !is_plain || (step->place[k].offset < end_of(other, i) &&
                         other->place[i].offset < end_of(step, k));
}

/* If the complement *late*, of operands (rest, a, z), may be computed with the sigmoid *early* of it,
   let *early* do that; 1, or 0 if not, or -1. */
static int
pair_up(Machine *machine, Step *early, const Step *late)
{
    size_t n_axes = (size_t)late->n_axes, size = sizeof(Py_ssize_t) * n_axes;
    const Py_ssize_t *stride = late->stride;
    if (early->code != STEP_apply || early->row != SIGMOID || early->n_axes != late->n_axes ||
        memcmp(early->extent, late->extent, size) != 0 || !is_same_operand(early, 0, late, 1) ||
        !is_same_operand(early, 1, late, 2) || may_touch(early, 0, early, 1) ||
        may_touch(late, 0, late, 1) || memcmp(stride, stride + n_axes, size) != 0 ||
        memcmp(stride, stride + 2 * n_axes, size) != 0 || stride[n_axes - 1] != 1 ||
        late->place[0].space != late->place[1].space ||
        late->place[0].space != late->place[2].space) {
        return 0;
    }
    if (may_touch(late, 0, late, 2) && late->place[0].offset != late->place[2].offset) {
        return 0;
    }
    Place *place = machine_room(machine, 3 * sizeof(Place));
    if (place == NULL) {
        return -1;
    }
    place[0] = late->place[1];
    place[1] = late->place[0];
    place[2] = late->place[2];
    early->code = STEP_sigmoids;
    early->place = place;
    early->stride = late->stride; /* the same for all three */
    early->n_operands = 3;
    return make_loop(machine, early, 0, early->n_axes, &early->loop[NARROW]) < 0 ||
                   make_loop(machine, early, 0, early->n_axes, &early->loop[WIDE]) < 0
               ? -1 : 1;
}

/* Compute each complement of a sigmoid together with it, where nothing between the two steps is in
   the way: both need the same exponential. */
static int
pair_sigmoids(Machine *machine, Steps *steps)
{
    enum { FAR = 64 };
    Py_ssize_t kept = 0;
    for (Py_ssize_t j = 0; j < steps->n; j++) {
        const Step *late = &steps->step[j];
        int paired = 0;
        for (Py_ssize_t i = kept - 1; late->code == STEP_one_minus && i >= 0 && i > kept - FAR;
             i--) {
            Step *early = &steps->step[i];
            paired = pair_up(machine, early, late);
            int is_in_the_way = early->code == STEP_flat || early->code == STEP_call;
            for (int k = 0; !is_in_the_way && k < early->n_operands; k++) {
                is_in_the_way = may_touch(early, k, late, 0) ||
                                (k == 0 && (may_touch(early, k, late, 1) ||
                                            may_touch(early, k, late, 2))) ||
                                (k == 1 && early->code == STEP_sigmoids &&
                                 (may_touch(early, k, late, 1) || may_touch(early, k, late, 2)));
            }
            if (paired || is_in_the_way) {
                break;
            }
        }
        if (paired < 0) {
            return -1;
        }
        if (!paired) {
            steps->step[kept++] = *late;
        }
    }
    steps->n = kept;
    return 0;
}

enum { MOST_NESTED = 32 };

/* Read the steps from *first* on up to *end*, those of loops included; how much work they are, or -1. */
static double
read_range_of_steps(Reading *reading, PyObject *steps, Steps *found, int list, Py_ssize_t end,
                    int depth)
{
    double work = 0.0;
    while (found->n < end) {
        Step *step = &found->step[found->n];
        if (found->n >= PySequence_Fast_GET_SIZE(steps)) {
            return unsound("a list of steps changed");
        }
        PyObject *given = PySequence_Fast_GET_ITEM(steps, found->n);
        if (read_step(reading, given, step, list) < 0) {
            return -1;
        }
        found->n++;
        if (step->code == STEP_loop) {
            Py_ssize_t around = reading->rounds;
            if (list != EACH || step->count < 1 || step->count > 1 << 30 || step->step < 1 ||
                step->step > end - found->n || depth == MOST_NESTED) {
                return unsound("a loop goes round once at least, and ends with the one around it");
            }
            reading->rounds = step->count;
            double inner = read_range_of_steps(reading, steps, found, list,
                                               found->n + step->step, depth + 1);
            reading->rounds = around;
            if (inner < 0) {
                return -1;
            }
            work += inner * (double)step->count;
        }
        else {
            work += step->work;
        }
    }
    return work;
}

static int
has_loop(const Steps *steps)
{
    for (Py_ssize_t i = 0; i < steps->n; i++) {
        if (steps->step[i].code == STEP_loop) {
            return 1;
        }
    }
    return 0;
}

static int
read_steps(Reading *reading, PyObject *plan, const char *name, int list)
{
    Machine *machine = reading->machine;
    PyObject *given = PyObject_GetAttrString(plan, name);
    PyObject *steps = given ? PySequence_Fast(given, "Machine: expected a list of steps") : NULL;
    Py_XDECREF(given);
    if (steps == NULL) {
        return -1;
    }
    Steps *found = &machine->list[list];
    Py_ssize_t n = PySequence_Fast_GET_SIZE(steps);
    found->step = machine_room(machine, sizeof(Step) * (size_t)n + 1);
    found->work = found->step == NULL ? -1
                                      : read_range_of_steps(reading, steps, found, list, n, 0);
    Py_DECREF(steps);
    return found->work < 0 ? -1 : has_loop(found) ? 0 : pair_sigmoids(machine, found);
}

static PyObject *
sequence_of(PyObject *plan, const char *name)
{
    PyObject *given = PyObject_GetAttrString(plan, name);
    PyObject *found = given ? PySequence_Tuple(given) : NULL;
    Py_XDECREF(given);
    return found;
}

static int
read_optional(PyObject *plan, const char *name, Py_ssize_t *number)
{
    PyObject *given = PyObject_GetAttrString(plan, name);
    *number = -1;
    int failed = given == NULL || (given != Py_None && read_whole(given, number) < 0);
    if (!failed && given != Py_None && *number < 0) {
        failed = unsound("a place is negative") < 0;
    }
    Py_XDECREF(given);
    return failed ? -1 : 0;
}

/* Read from which place of STILL to which. */
static int
read_range(const Machine *machine, PyObject *plan, const char *name, Py_ssize_t *range)
{
    PyObject *given = sequence_of(plan, name);
    int n = given ? read_numbers(given, range, 2) : -1;
    Py_XDECREF(given);
    if (n < 0) {
        return -1;
    }
    if (n != 2 || range[0] < 1 || range[1] < range[0] || range[1] > machine->size[IN_STILL]) {
        return unsound("the parameters or the gradient lie outside of still");
    }
    return 0;
}

static int
read_sizes(Machine *machine, PyObject *plan)
{
    Py_buffer view;
    PyObject *still = PyObject_GetAttrString(plan, "still");
    if (still == NULL) {
        return -1;
    }
    int failed = PyObject_GetBuffer(still, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0;
    Py_DECREF(still);
    if (failed) {
        return -1;
    }
    int fits = view.format != NULL && strcmp(view.format, "d") == 0 &&
               view.len >= (Py_ssize_t)sizeof(double);
    machine->size[IN_STILL] = view.len / (Py_ssize_t)sizeof(double);
    machine->still = fits ? machine_room(machine, (size_t)view.len) : NULL;
    if (machine->still != NULL) {
        memcpy(machine->still, view.buf, (size_t)view.len);
    }
    PyBuffer_Release(&view);
    if (machine->still == NULL) {
        return fits ? -1 : unsound("still is a vector of float64 with one number at least");
    }
    if (read_optional(plan, "block", &machine->size[IN_BLOCK]) < 0 ||
        read_optional(plan, "sums", &machine->size[IN_SUMS]) < 0 ||
        read_optional(plan, "cost", &machine->cost) < 0) {
        return -1;
    }
    if (machine->size[IN_BLOCK] < 0 || machine->size[IN_SUMS] < 0) {
        return unsound("block and sums are numbers");
    }
    PyObject *turned = PyObject_GetAttrString(plan, "turned");
    machine->turned = turned ? PyObject_IsTrue(turned) : -1;
    Py_XDECREF(turned);
    if (machine->turned < 0) {
        return -1;
    }
    if (machine->cost >= machine->size[IN_STILL]) {
        return unsound("the cost lies outside of still");
    }
    return read_range(machine, plan, "parameters", machine->parameters) < 0 ||
                   (machine->cost >= 0 &&
                    read_range(machine, plan, "gradient", machine->gradient) < 0)
               ? -1 : 0;
}

static int
read_inputs(Machine *machine, PyObject *plan)
{
    PyObject *inputs = sequence_of(plan, "inputs");
    PyObject *outputs = inputs ? sequence_of(plan, "outputs") : NULL;
    int failed = inputs == NULL || outputs == NULL;
    if (!failed) {
        machine->n_inputs = PyTuple_GET_SIZE(inputs);
        machine->n_outputs = PyTuple_GET_SIZE(outputs);
        machine->input = machine_room(machine, sizeof(Input) * (size_t)machine->n_inputs + 1);
        machine->output = machine_room(machine, sizeof(Place) * (size_t)machine->n_outputs + 1);
        failed = machine->input == NULL || machine->output == NULL;
    }
    for (Py_ssize_t i = 0; !failed && i < machine->n_inputs; i++) {
        Py_ssize_t pair[2];
        int n = read_numbers(PyTuple_GET_ITEM(inputs, i), pair, 2);
        failed = n < 0;
        if (!failed) {
            machine->input[i] = (Input){pair[0], pair[1]};
            if (n != 2 || pair[0] < 0 || pair[1] < 0 ||
                pair[1] > machine->size[IN_BLOCK] - pair[0]) {
                failed = unsound("an input lies outside of block") < 0;
            }
        }
    }
    for (Py_ssize_t i = 0; !failed && i < machine->n_outputs; i++) {
        PyObject *operand = PyTuple_GET_ITEM(outputs, i);
        Py_ssize_t space;
        if (!PyTuple_Check(operand) || PyTuple_GET_SIZE(operand) < 2) {
            failed = unsound("an output is not (space, offset)") < 0;
            break;
        }
        failed = read_whole(PyTuple_GET_ITEM(operand, 0), &space) < 0 ||
                 read_whole(PyTuple_GET_ITEM(operand, 1), &machine->output[i].offset) < 0;
        if (!failed && ((space != IN_STILL && space != IN_BLOCK) ||
                        machine->output[i].offset < 0 ||
                        machine->output[i].offset >= machine->size[space])) {
            failed = unsound("an output lies outside") < 0;
        }
        machine->output[i].space = (uint8_t)(failed ? 0 : space);
    }
    Py_XDECREF(inputs);
    Py_XDECREF(outputs);
    return failed ? -1 : 0;
}

/* Read all of *plan* into *machine*. */
static int
read_plan(Machine *machine, PyObject *plan)
{
    if (read_sizes(machine, plan) < 0 || read_inputs(machine, plan) < 0) {
        return -1;
    }
    PyObject *rows = sequence_of(plan, "rows");
    PyObject *tables = rows ? sequence_of(plan, "tables") : NULL;
    Reading reading = {.machine = machine, .rows = rows};
    int failed = rows == NULL || tables == NULL;
    if (!failed) {
        reading.n_rows = PyTuple_GET_SIZE(rows);
        reading.n_tables = PyTuple_GET_SIZE(tables);
        reading.row = PyMem_Calloc((size_t)reading.n_rows + 1, sizeof(int));
        reading.table = PyMem_Calloc((size_t)reading.n_tables + 1, sizeof(Numbers));
        if (reading.row == NULL || reading.table == NULL) {
            PyErr_NoMemory();
            failed = 1;
        }
    }
    for (Py_ssize_t i = 0; !failed && i < reading.n_rows; i++) {
        reading.row[i] = machine_row(machine->state, PyTuple_GET_ITEM(rows, i));
    }
    for (Py_ssize_t i = 0; !failed && i < reading.n_tables; i++) {
        failed = read_table(PyTuple_GET_ITEM(tables, i), &reading.table[i]) < 0;
    }
    failed = failed || read_steps(&reading, plan, "before", BEFORE) < 0 ||
             read_steps(&reading, plan, "each", EACH) < 0 ||
             read_steps(&reading, plan, "after", AFTER) < 0;
    for (Py_ssize_t i = 0; reading.table != NULL && i < reading.n_tables; i++) {
        PyMem_Free(reading.table[i].item);
    }
    PyMem_Free(reading.row);
    PyMem_Free(reading.table);
    Py_XDECREF(rows);
    Py_XDECREF(tables);
    return failed ? -1 : 0;
}
