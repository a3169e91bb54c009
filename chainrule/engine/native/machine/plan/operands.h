/* The operands of steps, read, and checked: is every place there that one can reach? */

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
                code == STEP_weighted_difference || code == STEP_spread);
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
    if (table->columns != 5 || machine->size[IN_BLOCK] > 1 << 30 ||
        machine->size[IN_STILL] > 1 << 30) {
        return unsound("flat steps have five columns, and addresses of 30 bits");
    }
    step->n_flat = table->n / 5;
    step->flat = machine_room(reading->machine, sizeof(Flat) * ((size_t)step->n_flat + 1));
    if (step->flat == NULL) {
        return -1;
    }
    step->work = (double)step->n_flat;
    step->flat[step->n_flat] = (Flat){.row = ROW_END};
    for (Py_ssize_t i = 0; i < step->n_flat; i++) {
        int64_t item[5];
        for (int k = 0; k < 5; k++) {
            item[k] = entry_of(table, 5 * i + k);
        }
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
        *flat = (Flat){.row = row, .result = (int32_t)item[1]};
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
    case STEP_weighted_difference:
        return 4;
    default:
        return 3;
    }
}
