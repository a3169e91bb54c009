/* Element-wise steps of one example become tiles: runs of operations as in chains.h, on numbers that lie
   along an axis instead of lanes.

   A run is made of steps that follow each other. Few numbers, which fit into the registers for a tile, go
   through one operation after another, however many each step has; of more of them, so many go through all
   operations before the next ones do, and so what one step writes and another reads stays in the first
   cache. An operand that lies neither in one piece nor in one place is brought together first, in *rooms*. */

enum { ROOM = 64, N_ROOMS = 4 };

typedef struct {
    Machine *machine;
    Tiled *tiled;          /* the run in the making, or NULL */
    Element *element;      /* the steps of the stretch in the making */
    Flat *code;
    Making *stretch;
    const int32_t **table;
    size_t n_elements, n_code, n_stretches, n_tables, element_room, code_room, stretch_room, table_room;
    Touched touched;
    Py_ssize_t n;          /* how many numbers the last operation has */
    int32_t at_hand;       /* the address of what is at hand, or NO_ADDRESS */
    Reached hand;
    Py_ssize_t n_hand;     /* how many numbers that has */
    Py_ssize_t keeper;     /* the operation that wrote it, if nothing has read it there; or -1 */
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

/* Bring an operand together, or, if it *puts*, put it from there to where it belongs. */
static int
append_irregular(Tiling *all, const Reached *x, Py_ssize_t n, int32_t together, int puts)
{
    int32_t own = address_of(x->space, x->first);
    forget_hand(all);
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

/* Whether what is at hand has all numbers of the operation, if these lie so many places before it. */
static int
serves(const Tiling *all, int before)
{
    Py_ssize_t tile = all->machine->tile;
    return all->at_hand != NO_ADDRESS && all->n <= all->n_hand + before &&
           (all->n <= tile) == (all->n_hand <= tile);
}

/* Move what is at hand on by one number if the operation reads it so, where its places were written just now
   and could be read only later; 1 if so, 0, or -1. */
static int
shift_hand(Tiling *all, const Element *element, Flat operation)
{
    for (int k = 0; k < element->n_arguments && serves(all, 1); k++) {
        const Reached *x = &element->argument[k];
        int32_t at = address_of(x->space, x->first);
        if (x->how == AS_VECTOR && x->space == all->hand.space && x->first + 1 == all->hand.first &&
            continued(operation, at).row != operation.row) {
            all->at_hand = at;
            all->hand = *x;
            all->n_hand = all->n;
            all->keeper = -1;
            return append(all, (Flat){.row = ROW_SHIFT, .argument = {at}}) < 0 ? -1 : 1;
        }
    }
    return 0;
}

/* Append an operation of chains, which goes on with what is at hand if it can. *joined* is the element that
   joins it, and *product* one that is added or subtracted; or NULL. */
static int
append_for_chains(Tiling *all, const Element *element, Flat operation, const Element *joined,
                  const Element *product)
{
    int row = element->row, before = operation.row;
    const Reached *x = element->argument;
    if (product != NULL) {
        Flat factors = {.argument = {address_of(product->argument[0].space, product->argument[0].first)}};
        int last = product->n_arguments - 1, at_right = is_same_place(&x[1], &product->result[0]);
        factors.argument[1] = address_of(product->argument[last].space, product->argument[last].first);
        int found = fresh_operation(MULTIPLY, factors.argument, product->argument[0].how == AS_SAME,
                                    product->argument[last].how == AS_SAME);
        operation.row = (int16_t)operation_with_product(row, at_right, found);
        memcpy(operation.argument, factors.argument, sizeof(factors.argument));
    }
    else {
        if (row == SQUARE) {
            operation.argument[1] = operation.argument[0];
            row = MULTIPLY;
        }
        before = row == NEGATIVE   ? DO_NEGATIVE_B
                 : row == IDENTITY ? (operation.same & 1 ? DO_TAKE_S : DO_TAKE_B)
                                   : fresh_operation(row, operation.argument, operation.same & 1,
                                                     operation.same >> 1);
        operation.row = (int16_t)before;
        if (serves(all, 0)) {
            operation = continued(operation, all->at_hand);
        }
        if (operation.row == before) {
            int shifts = shift_hand(all, element, operation);
            if (shifts < 0) {
                return -1;
            }
            operation = shifts ? continued(operation, all->at_hand) : operation;
        }
    }
    int elides = operation.row != before && all->keeper >= 0;
    if (joined == NULL) { /* it may write over what is at hand */
        elides = elides && operation.result == all->at_hand;
        for (int k = 0; k < element->n_arguments; k++) {
            elides = elides && (is_same_place(&x[k], &all->hand) || !overlaps(&x[k], &all->hand));
        }
    }
    if (elides && operation.row == DO_TAKE_A) {
        all->code[all->keeper].result = operation.result; /* and is kept there */
    }
    else {
        if (elides) {
            all->code[all->keeper].row--; /* it is not kept */
        }
        operation.row++; /* and kept */
        all->keeper = (Py_ssize_t)all->n_code;
        if (append(all, operation) < 0) {
            return -1;
        }
    }
    all->at_hand = operation.result;
    all->hand = element->result[0];
    all->n_hand = element->n;
    return 0;
}

/* Append what one element does, which others may have joined. */
static int
append_element(Tiling *all, const Element *element)
{
    const Element *joined = element->chain == NONE ? NULL : &all->element[element->chain];
    const Element *product = element->product == NONE ? NULL : &all->element[element->product];
    const Reached *result = &element->result[0], *x = element->argument;
    Flat operation = {.row = (int16_t)element->row, .result = address_of(result->space, result->first)};
    int puts = result->how != AS_VECTOR, is_copy = element->row == IDENTITY;
    if (element->n != all->n) {
        all->n = element->n;
        all->keeper = -1; /* it may have other numbers */
        if (append(all, (Flat){.row = ROW_WIDTH, .argument = {(int32_t)element->n}}) < 0) {
            return -1;
        }
    }
    if (is_copy && !puts && x->how > AS_SAME) { /* a copy is no more than that */
        return append_irregular(all, x, element->n, operation.result, 0);
    }
    for (int k = 0; k < element->n_arguments; k++) {
        int together = x[k].how == AS_VECTOR || (x[k].how == AS_SAME && element->row != ROW_PRODUCT);
        operation.argument[k] = together ? address_of(x[k].space, x[k].first)
                                         : address_of(N_SPACES, k * ROOM);
        operation.same |= (together && x[k].how == AS_SAME) << k;
        if (!together && append_irregular(all, &x[k], element->n, operation.argument[k], 0) < 0) {
            return -1;
        }
    }
    if (puts) {
        operation.result = address_of(N_SPACES, (N_ROOMS - 1) * ROOM);
        if (element->adds && append_irregular(all, result, element->n, operation.result, 0) < 0) {
            return -1;
        }
    }
    if (is_for_chains(element)) {
        if (append_for_chains(all, element, operation, joined, product) < 0) {
            return -1;
        }
    }
    else {
        forget_hand(all);
        if (element->row == ROW_PRODUCT) {
            operation.argument[2] = element->adds;
        }
        if (element->row == ROW_SIGMOIDS) {
            operation.argument[1] = address_of(element->result[1].space, element->result[1].first);
        }
        if (append(all, operation) < 0) {
            return -1;
        }
    }
    return puts ? append_irregular(all, result, element->n, operation.result, 1) : 0;
}

/* Append what the elements of the stretch in the making do that have more numbers than *least*. The first
   of them has *n* numbers, or, if that is 0, the operations say so. */
static int
append_elements(Tiling *all, Py_ssize_t least, Py_ssize_t n)
{
    forget_hand(all);
    all->n = n;
    for (size_t i = 0; i < all->n_elements; i++) {
        int32_t k = (int32_t)i;
        if (all->element[i].joins != NONE || all->element[i].n <= least) {
            continue;
        }
        while (all->element[k].chain != NONE) {
            k = all->element[k].chain;
        }
        for (; k != NONE; k = all->element[k].joins) {
            if (append_element(all, &all->element[k]) < 0) {
                return -1;
            }
        }
    }
    return append(all, (Flat){.row = ROW_END});
}

/* End the stretch in the making, if there is one. */
static int
end_stretch(Tiling *all)
{
    if (all->n_elements == 0) {
        return 0;
    }
    Making *stretch = &all->stretch[all->n_stretches - 1];
    join_elements(all->element, (int32_t)all->n_elements);
    stretch->first = all->n_code;
    if (stretch->has_short && append_elements(all, 0, 0) < 0) {
        return -1;
    }
    int is_even = stretch->longest == stretch->shortest;
    stretch->code = all->n_code;
    if (stretch->longest && append_elements(all, all->machine->tile, is_even ? stretch->longest : 0) < 0) {
        return -1;
    }
    all->n_elements = 0;
    return 0;
}

static int
begin_stretch(Tiling *all)
{
    if (end_stretch(all) < 0 ||
        !has_place((void **)&all->stretch, &all->stretch_room, all->n_stretches, sizeof(Making))) {
        return -1;
    }
    all->stretch[all->n_stretches++] = (Making){0};
    all->touched.n = 0;
    return 0;
}

/* Take a step into the run; 1, or 0 if it is not for tiles, or -1. */
static int
take_step(Tiling *all, const Step *step)
{
    Element element;
    Py_ssize_t tile = all->machine->tile;
    if (!read_element(step, &element)) {
        return 0;
    }
    if (!all->n_stretches ||
        !joins_stretch(&all->stretch[all->n_stretches - 1], &all->touched, &element, tile)) {
        if (begin_stretch(all) < 0) {
            return -1;
        }
        joins_stretch(&all->stretch[all->n_stretches - 1], &all->touched, &element, tile);
    }
    if (!has_place((void **)&all->element, &all->element_room, all->n_elements, sizeof(Element))) {
        return -1;
    }
    all->element[all->n_elements++] = element;
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
    if (end_stretch(all) < 0) {
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
        const Making *made = &all->stretch[i];
        stretch[i] = (Stretch){made->longest, made->shortest, made->has_short ? code + made->first : NULL,
                               code + made->code};
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
            all->n_code = all->n_stretches = all->n_tables = all->n_elements = 0;
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

/* Make runs of the element-wise steps; those for each block serve where it has one lane. */
static int
make_tiles(Machine *machine)
{
    Tiling all = {.machine = machine};
    int failed = 0;
    for (int list = 0; list < N_LISTS; list++) {
        failed = failed || make_runs_of(&all, &machine->list[list]) < 0;
    }
    PyMem_RawFree(all.element);
    PyMem_RawFree(all.code);
    PyMem_RawFree(all.stretch);
    PyMem_RawFree(all.table);
    return failed ? -1 : 0;
}
