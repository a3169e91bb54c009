/* Element-wise steps of one example become tiles: runs of operations as in chains.h, on numbers that lie
   along an axis instead of lanes.

   A run is made of steps that follow each other. Few numbers, which fit into the registers for a tile, go
   through one operation after another, however many each step has; of more of them, so many go through all
   operations before the next ones do, and so what one step writes and another reads stays in the first
   cache. An operand that lies neither in one piece nor in one place is brought together first, in *rooms*. */

enum { ROOM = 64, N_ROOMS = 4, MOST_TABLED = 512, MOST_TOUCHED = 256 };
enum { AS_VECTOR, AS_SAME, AS_STRIDED, AS_TABLED };

/* One operand of a step: where it lies, and how the step goes through it. */
typedef struct {
    int how;
    uint8_t space;
    Py_ssize_t first, end; /* what it may reach */
    Py_ssize_t stride;
    const Loop *loop;
    int which;             /* of the loop's operands */
} Reached;

typedef struct {
    Reached reached;
    int writes;
} Touch;

typedef struct {
    Machine *machine;
    Tiled *tiled;          /* the run in the making, or NULL */
    Flat *code;
    Stretch *stretch;
    const int32_t **table;
    size_t n_code, n_stretches, n_tables, code_room, stretch_room, table_room;
    Py_ssize_t n;          /* how many numbers the last operation has */
    int32_t at_hand;       /* the address of what is at hand, or NO_ADDRESS */
    Reached hand;
    Py_ssize_t keeper;     /* the operation that wrote it, if nothing has read it there; or -1 */
    Touch touch[MOST_TOUCHED]; /* what the steps of a long stretch read and write */
    int n_touched;
} Tiling;

enum { NO_ADDRESS = INT32_MIN }; /* the last place of SUMS that an address could have */

static int32_t
address_of(uint8_t space, Py_ssize_t offset)
{
    int32_t at = (int32_t)offset;
    switch (space) {
    case IN_BLOCK:
        return at;
    case IN_STILL:
        return ~at;
    case IN_SUMS:
        return ~(at | 1 << 30);
    default: /* rooms */
        return at | 1 << 30;
    }
}

/* --- what may be done ------------------------------------------------------------------------ */

/* Find how a step of *n* numbers goes through operand *k*; 0 if that is not for tiles. */
static int
goes_through(const Step *step, const Loop *loop, Py_ssize_t n, int k, Reached *found)
{
    const Py_ssize_t *stride = loop->stride + k * loop->n;
    Py_ssize_t inner = 1, end = step->place[k].offset + 1;
    int is_vector = 1, is_same = 1;
    for (int axis = loop->n - 1; axis >= 0; axis--) {
        is_vector = is_vector && stride[axis] == inner;
        is_same = is_same && stride[axis] == 0;
        inner *= loop->extent[axis];
        end += (loop->extent[axis] - 1) * stride[axis];
    }
    *found = (Reached){is_vector     ? AS_VECTOR
                       : is_same     ? AS_SAME
                       : loop->n == 1 ? AS_STRIDED : AS_TABLED,
                       step->place[k].space, step->place[k].offset, end,
                       loop->n == 1 ? stride[0] : 0, loop, k};
    return end < 1 << 30 && (found->how != AS_TABLED || n <= MOST_TABLED);
}

/* The loops of an element-wise step, or NULL. */
static const Loop *
elements_of(const Step *step)
{
    switch (step->code) {
    case STEP_apply:
        return arity_of(step->row) > 0 ? &step->loop[NARROW] : NULL;
    case STEP_sum:
        return step->count == 0 ? &step->loop[NARROW] : NULL;
    case STEP_product:
        return step->product->sum.n == 0 && step->product->form[NARROW].kind == ALONG_RESULT
                   ? &step->product->loop : NULL;
    case STEP_copy:
    case STEP_add:
    case STEP_one_minus:
    case STEP_one_minus_square:
    case STEP_sigmoids:
        return &step->loop[NARROW];
    default:
        return NULL;
    }
}

static int
overlaps(const Reached *one, const Reached *other)
{
    return one->space == other->space && one->first < other->end && other->first < one->end;
}

/* --- making them ----------------------------------------------------------------------------- */

static int
has_place(void **list, size_t *room, size_t n, size_t size)
{
    if (n >= *room) {
        size_t more = *room ? 2 * *room : 64;
        void *grown = PyMem_RawRealloc(*list, more * size);
        if (grown == NULL) {
            PyErr_NoMemory();
            return 0;
        }
        *list = grown;
        *room = more;
    }
    return 1;
}

static int
append(Tiling *all, Flat operation)
{
    if (!has_place((void **)&all->code, &all->code_room, all->n_code, sizeof(Flat))) {
        return -1;
    }
    all->code[all->n_code++] = operation;
    return 0;
}

static void
forget_hand(Tiling *all)
{
    all->at_hand = NO_ADDRESS;
    all->keeper = -1;
}

/* Begin a stretch of operations on *n* numbers. */
static int
begin_stretch(Tiling *all, Py_ssize_t n)
{
    if ((all->n_stretches && append(all, (Flat){.row = ROW_END}) < 0) ||
        !has_place((void **)&all->stretch, &all->stretch_room, all->n_stretches, sizeof(Stretch))) {
        return -1;
    }
    all->stretch[all->n_stretches++] = (Stretch){n, (const Flat *)all->n_code};
    all->n = n;
    all->n_touched = 0;
    forget_hand(all);
    return 0;
}

/* Bring an operand together, or, if it *puts*, put it from there to where it belongs. */
static int
append_irregular(Tiling *all, const Reached *x, Py_ssize_t n, int32_t together, int puts)
{
    int32_t own = address_of(x->space, x->first);
    Flat operation = {
        .row = puts ? ROW_PUT : ROW_BRING,
        .result = puts ? own : together,
        .argument = {puts ? together : own, (int32_t)x->stride, -1},
    };
    if (x->how == AS_TABLED) {
        int32_t *table = machine_room(all->machine, sizeof(int32_t) * (size_t)n);
        if (table == NULL || !has_place((void **)&all->table, &all->table_room, all->n_tables,
                                       sizeof(int32_t *))) {
            return -1;
        }
        const Loop *loop = x->loop;
        Py_ssize_t index[MOST_AXES] = {0}, at = 0;
        for (Py_ssize_t i = 0; i < n; i++) {
            table[i] = (int32_t)at;
            for (int axis = loop->n - 1; axis >= 0; axis--) {
                Py_ssize_t stride = loop->stride[x->which * loop->n + axis];
                if (++index[axis] < loop->extent[axis]) {
                    at += stride;
                    break;
                }
                at -= stride * (loop->extent[axis] - 1);
                index[axis] = 0;
            }
        }
        operation.argument[2] = (int32_t)all->n_tables;
        all->table[all->n_tables++] = table;
    }
    return append(all, operation);
}

/* Append an arithmetic operation, which goes on with what is at hand if it can. */
static int
append_arithmetic(Tiling *all, int row, Flat step, const Reached *x, int n_arguments)
{
    if (row == SQUARE) {
        step.argument[1] = step.argument[0];
        row = MULTIPLY;
    }
    int found = row == NEGATIVE ? DO_NEGATIVE_B
                                : fresh_operation(row, step.argument, step.same & 1, step.same >> 1);
    step.row = (int16_t)found;
    Flat operation = all->at_hand == NO_ADDRESS ? step : continued(step, all->at_hand);
    int elides = operation.row != step.row && all->keeper >= 0 && step.result == all->at_hand;
    for (int k = 0; k < n_arguments; k++) {
        int is_hand = x[k].how == AS_VECTOR && address_of(x[k].space, x[k].first) == all->at_hand;
        elides = elides && (is_hand || !overlaps(&x[k], &all->hand));
    }
    if (elides) {
        all->code[all->keeper].row--; /* it is not kept */
    }
    operation.row++; /* and kept */
    all->keeper = (Py_ssize_t)all->n_code;
    all->at_hand = operation.result;
    return append(all, operation);
}

/* Append an operation on operands that lie together; *x* are the arguments as they were. */
static int
append_operation(Tiling *all, const Step *step, Flat operation, const Reached *result,
                 const Reached *x, int n_arguments)
{
    int row = step->row, adds = step->code == STEP_add;
    if (step->code == STEP_sum || step->code == STEP_copy) {
        row = IDENTITY;
        adds = step->place[0].space == IN_SUMS;
    }
    Reached both[2] = {*result, x[0]};
    if (adds) { /* to what is there */
        row = ADD;
        operation.argument[1] = operation.argument[0];
        operation.argument[0] = operation.result;
        operation.same <<= 1;
        x = both;
        n_arguments = 2;
    }
    int is_plain = (row == NEGATIVE || row == SQUARE) ? operation.same == 0 : operation.same != 3;
    if (step->code != STEP_product && step->code != STEP_sigmoids && is_arithmetic(row) && is_plain) {
        int failed = append_arithmetic(all, row, operation, x, n_arguments);
        all->hand = *result;
        return failed;
    }
    forget_hand(all);
    operation.row = (int16_t)row;
    if (step->code == STEP_product) {
        operation.row = ROW_PRODUCT;
        operation.argument[2] = step->place[0].space == IN_SUMS;
    }
    if (step->code == STEP_sigmoids) {
        operation.row = ROW_SIGMOIDS;
    }
    return append(all, operation);
}

/* Whether a step may be in a long stretch together with the steps before it: what one writes and another
   reads or writes is the same to both, or nothing. */
static int
goes_together(Tiling *all, const Reached *reached, int n_operands, int n_written)
{
    for (int k = 0; k < n_operands; k++) {
        for (int i = 0; i < all->n_touched; i++) {
            const Touch *touch = &all->touch[i];
            if ((touch->writes || k < n_written) && overlaps(&touch->reached, &reached[k]) &&
                (touch->reached.how != AS_VECTOR || reached[k].how != AS_VECTOR ||
                 touch->reached.first != reached[k].first)) {
                return 0;
            }
        }
    }
    return all->n_touched + n_operands <= MOST_TOUCHED;
}

/* Take a step into the run; 1, or 0 if it is not for tiles, or -1. */
static int
take_step(Tiling *all, const Step *step)
{
    const Loop *loop = elements_of(step);
    Reached reached[MOST_OPERANDS] = {{0}};
    Py_ssize_t n = 1, most = all->machine->tile;
    int n_operands = step->n_operands, n_written = step->code == STEP_sigmoids ? 2 : 1;
    if (loop == NULL || n_operands > MOST_OPERANDS) {
        return 0;
    }
    for (int axis = 0; axis < loop->n; axis++) {
        n *= loop->extent[axis];
    }
    for (int k = 0; k < n_operands; k++) {
        if (!goes_through(step, loop, n, k, &reached[k]) || (k < n_written && reached[k].how == AS_SAME)) {
            return 0;
        }
    }
    int is_copy = step->code == STEP_copy || (step->code == STEP_sum && reached[0].space != IN_SUMS);
    if (n > 1 << 30 || (is_copy && n > MOST_TABLED) ||
        (step->code == STEP_sigmoids && reached[0].how != AS_VECTOR)) {
        return 0;
    }
    int is_long = n > most, was_long = all->n > most;
    if (!all->n_stretches || is_long != was_long || (is_long && n != all->n) ||
        (is_long && !goes_together(all, reached, n_operands, n_written))) {
        if (begin_stretch(all, n) < 0) {
            return -1;
        }
    }
    else if (n != all->n) {
        Flat width = {.row = ROW_WIDTH, .argument = {(int32_t)n}};
        if (append(all, width) < 0) {
            return -1;
        }
        all->n = n;
        forget_hand(all);
    }
    for (int k = 0; is_long && k < n_operands; k++) {
        all->touch[all->n_touched++] = (Touch){reached[k], k < n_written};
    }
    Flat operation = {.result = address_of(reached[0].space, reached[0].first)};
    int puts = reached[0].how != AS_VECTOR, moves = is_copy && reached[1].how != AS_VECTOR;
    if (moves && !puts && reached[1].how != AS_SAME) { /* a copy is no more than that */
        forget_hand(all);
        return append_irregular(all, &reached[1], n, operation.result, 0) < 0 ? -1 : 1;
    }
    if (step->code == STEP_sigmoids) {
        operation.argument[0] = address_of(reached[2].space, reached[2].first);
        operation.argument[1] = address_of(reached[1].space, reached[1].first);
        return append_operation(all, step, operation, reached, reached + 2, 1) < 0 ? -1 : 1;
    }
    for (int k = 1; k < n_operands; k++) {
        const Reached *x = &reached[k];
        int together = x->how == AS_VECTOR || (x->how == AS_SAME && step->code != STEP_product);
        operation.argument[k - 1] = together ? address_of(x->space, x->first)
                                             : address_of(N_SPACES, (k - 1) * ROOM);
        operation.same |= (together && x->how == AS_SAME) << (k - 1);
        if (!together && append_irregular(all, x, n, operation.argument[k - 1], 0) < 0) {
            return -1;
        }
    }
    if (puts) {
        operation.result = address_of(N_SPACES, (N_ROOMS - 1) * ROOM);
        if (step->code == STEP_add || reached[0].space == IN_SUMS) { /* and from where it is */
            if (append_irregular(all, &reached[0], n, operation.result, 0) < 0) {
                return -1;
            }
        }
    }
    if (append_operation(all, step, operation, reached, reached + 1, n_operands - 1) < 0) {
        return -1;
    }
    if (puts) {
        forget_hand(all);
        return append_irregular(all, &reached[0], n, operation.result, 1) < 0 ? -1 : 1;
    }
    return 1;
}

/* End the run in the making, if there is one. */
static int
end_run(Tiling *all)
{
    Tiled *tiled = all->tiled;
    all->tiled = NULL;
    if (tiled == NULL) {
        return 0;
    }
    if (append(all, (Flat){.row = ROW_END}) < 0) {
        return -1;
    }
    Flat *code = machine_room(all->machine, sizeof(Flat) * all->n_code);
    Stretch *stretch = machine_room(all->machine, sizeof(Stretch) * all->n_stretches);
    tiled->table = machine_room(all->machine, sizeof(int32_t *) * all->n_tables + 1);
    if (code == NULL || stretch == NULL || tiled->table == NULL) {
        return -1;
    }
    memcpy(code, all->code, sizeof(Flat) * all->n_code);
    if (all->n_tables) {
        memcpy(tiled->table, all->table, sizeof(int32_t *) * all->n_tables);
    }
    for (size_t i = 0; i < all->n_stretches; i++) {
        stretch[i] = (Stretch){all->stretch[i].n, code + (size_t)all->stretch[i].code};
    }
    tiled->stretch = stretch;
    tiled->n_stretches = (int)all->n_stretches;
    return 0;
}

static int
make_runs_of(Tiling *all, Steps *steps)
{
    enum { MOST_WORK = 10000000 };
    Py_ssize_t end[MOST_NESTED + 1];
    int depth = 0;
    for (Py_ssize_t i = 0; i < steps->n; i++) {
        Step *step = &steps->step[i];
        for (; depth > 0 && end[depth - 1] == i; depth--) {
            if (end_run(all) < 0) {
                return -1;
            }
        }
        if (all->tiled == NULL) {
            all->n_code = all->n_stretches = all->n_tables = 0;
        }
        int taken = take_step(all, step);
        if (taken < 0 || (!taken && end_run(all) < 0)) {
            return -1;
        }
        if (step->code == STEP_loop) {
            end[depth++] = i + 1 + step->step;
        }
        if (taken) {
            if (all->tiled == NULL) {
                all->tiled = step->tiled = machine_room(all->machine, sizeof(Tiled));
                if (step->tiled == NULL) {
                    return -1;
                }
                *step->tiled = (Tiled){0};
            }
            all->tiled->n_steps++;
            all->tiled->work += step->work;
            if (all->tiled->work > MOST_WORK && end_run(all) < 0) {
                return -1;
            }
        }
    }
    return end_run(all);
}

/* Make runs of the element-wise steps for each block; they serve where it has one lane. */
static int
make_tiles(Machine *machine)
{
    Tiling all = {.machine = machine};
    int failed = make_runs_of(&all, &machine->list[EACH]) < 0;
    PyMem_RawFree(all.code);
    PyMem_RawFree(all.stretch);
    PyMem_RawFree(all.table);
    return failed ? -1 : 0;
}
