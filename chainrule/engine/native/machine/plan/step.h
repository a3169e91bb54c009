/* One step, read. */

static int
sums_indices(int code) /* as many of the last as the detail says */
{
    return code == STEP_sum || code == STEP_squared_distance || code == STEP_weighted_difference;
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
    case STEP_squared_distance:
    case STEP_weighted_difference:
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
    if (sums_indices(step->code)) {
        step->count = detail[0];
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
    case STEP_squared_distance:
    case STEP_weighted_difference:
        return make_differences(machine, step);
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
        (sums_indices(code) && check_zeros(step, (int)step->count) < 0)) {
        return -1;
    }
    return make_loops(machine, step);
}
