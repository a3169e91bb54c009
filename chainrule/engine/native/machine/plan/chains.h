/* Flat steps become chains: what only the next operation needs stays at hand, and is not written.

   The result of a step that a single later one reads is *held*: computed when that one is, so that it
   has no place of its own, or only one in a register. A product that is added to something, or
   subtracted, is one operation with that. What is held has been removed from its place in the order,
   so it is written to its place at once when something else is to be written where it reads. */

/* --- who reads what -------------------------------------------------------------------------- */

enum { NOBODY, SEVERAL = -1 }; /* else a list of flat steps alone: its number, from 1 on */

/* Note that *who* reads from *first* on up to *end*, or as far as there are places. */
static void
note_reader(const Reading *reading, int space, Py_ssize_t first, Py_ssize_t end, int32_t who)
{
    Py_ssize_t size = reading->machine->size[space];
    end = end < size ? end : size;
    for (Py_ssize_t i = first; space != IN_SUMS && i < end; i++) {
        int32_t *reader = &reading->reader[space][i];
        *reader = *reader == NOBODY || *reader == who ? who : SEVERAL;
    }
}

static void
note_address(const Reading *reading, int64_t address, int32_t who)
{
    Py_ssize_t at = (Py_ssize_t)(address < 0 ? ~address : address);
    note_reader(reading, address < 0 ? IN_STILL : IN_BLOCK, at, at + 1, who);
}

/* Note what a step reads, or might. */
static void
note_reads(Reading *reading, Step *step)
{
    const Machine *machine = reading->machine;
    if (step->code == STEP_flat) {
        reading->n_flat++;
        for (Py_ssize_t i = 0; i < step->n_flat; i++) {
            const Flat *flat = &step->flat[i];
            int arity = arity_of(flat->row) ? arity_of(flat->row) : 2;
            for (int k = 0; k < arity; k++) {
                note_address(reading, flat->argument[k], reading->n_flat);
            }
        }
        return;
    }
    for (Py_ssize_t i = 1; step->code == STEP_call && i < step->n_table; i++) {
        note_address(reading, step->table[i], SEVERAL);
    }
    for (int k = 0; step->code != STEP_call && k < step->n_operands; k++) {
        Place place = step->place[k];
        Py_ssize_t first = place.offset, end = end_of(step, k);
        if (step->code == STEP_gather && k == 1) {
            for (Py_ssize_t i = 0; i < step->n_table; i++) {
                Py_ssize_t at = first + (Py_ssize_t)step->table[i] * step->stride[k];
                note_reader(reading, place.space, at, at + 1, SEVERAL);
            }
            continue;
        }
        if (step->code == STEP_move) {
            Py_ssize_t by = (reading->rounds - 1) * step->moves[k];
            first += by < 0 ? by : 0;
            end += by > 0 ? by : 0;
        }
        else if (step->code == STEP_scatter || step->code == STEP_scatter_add ||
                 step->code == STEP_pick || step->code == STEP_spread) {
            first = 0;
            end = machine->size[place.space];
        }
        note_reader(reading, place.space, first, end, SEVERAL);
    }
}

/* Note what a run reads in the end. */
static void
note_results(const Reading *reading)
{
    const Machine *machine = reading->machine;
    for (Py_ssize_t i = 0; i < machine->n_outputs; i++) {
        Place place = machine->output[i];
        note_reader(reading, place.space, place.offset, place.offset + 1, SEVERAL);
    }
    if (machine->cost >= 0) {
        note_reader(reading, IN_STILL, machine->cost, machine->cost + 1, SEVERAL);
        note_reader(reading, IN_STILL, machine->gradient[0], machine->gradient[1], SEVERAL);
    }
}

/* --- chains ---------------------------------------------------------------------------------- */

enum { MOST_HELD = 32, NONE = -1 };

typedef struct {
    int32_t head, tail; /* its operations, by the numbers of their steps */
    int32_t place;      /* where its result belongs */
} Chain;

typedef struct {
    Flat *step;      /* a copy of the list; those that are held are operations already */
    int32_t *next;   /* of each operation in a chain */
    int32_t *reader; /* of each step: the only one that reads it in this list, or NONE */
    uint8_t *held;   /* of each place: 1 + the chain that belongs there, or 0 */
    uint32_t *reads; /* of each place: a bit for every chain that loads what is there */
    Chain chain[MOST_HELD];
    uint32_t busy;  /* a bit for every chain that is held */
    int oldest;     /* which to write when there are too many */
    int32_t at_hand; /* the place that was written last, or NONE */
    Flat *into;     /* where operations go */
} Chains;

static int
is_arithmetic(int row)
{
    return row == ADD || row == SUBTRACT || row == MULTIPLY || row == DIVIDE || row == NEGATIVE ||
           row == SQUARE;
}

static int
is_product(int operation) /* of two arguments alone */
{
    return operation == DO_MULTIPLY_BB || operation == DO_MULTIPLY_BS;
}

/* How many arguments an operation loads, which are its first. */
static int
n_loaded(int operation)
{
    switch (operation) {
    case DO_NEGATIVE_A:
    case DO_MULTIPLY_AA:
        return 0;
    case DO_NEGATIVE_B:
        return 1;
    default:
        return operation >= DO_ADD_AB && operation < DO_ADD_PRODUCT_BB ? 1 : 2;
    }
}

/* The operation of a row of two arguments from memory, of which the *left* or the *right* is the same for
   all; they are brought into the order that it has them in. 0 if there is none. */
static int
fresh_operation(int row, int32_t *argument, int left, int right)
{
    if (left && right) {
        return 0;
    }
    if ((row == ADD || row == MULTIPLY) && left) {
        int32_t first = argument[0];
        argument[0] = argument[1];
        argument[1] = first;
        right = 1;
    }
    switch (row) {
    case ADD:
        return right ? DO_ADD_BS : DO_ADD_BB;
    case MULTIPLY:
        return right ? DO_MULTIPLY_BS : DO_MULTIPLY_BB;
    case SUBTRACT:
        return left ? DO_SUBTRACT_SB : right ? DO_SUBTRACT_BS : DO_SUBTRACT_BB;
    default:
        return left ? DO_DIVIDE_SB : right ? DO_DIVIDE_BS : DO_DIVIDE_BB;
    }
}

/* The operation of a row on what is at hand, on its right or its left, and another argument. */
static int
next_operation(int row, int at_right, int32_t other)
{
    int still = other < 0;
    switch (row) {
    case ADD:
        return still ? DO_ADD_AS : DO_ADD_AB;
    case MULTIPLY:
        return still ? DO_MULTIPLY_AS : DO_MULTIPLY_AB;
    case SUBTRACT:
        return at_right ? (still ? DO_SUBTRACT_SA : DO_SUBTRACT_BA)
                        : (still ? DO_SUBTRACT_AS : DO_SUBTRACT_AB);
    default:
        return at_right ? (still ? DO_DIVIDE_SA : DO_DIVIDE_BA)
                        : (still ? DO_DIVIDE_AS : DO_DIVIDE_AB);
    }
}

/* The operation that adds a product to what is at hand, or subtracts one from the other. */
static int
operation_with_product(int row, int product_at_right, int product)
{
    int still = product == DO_MULTIPLY_BS;
    if (row == ADD) {
        return still ? DO_ADD_PRODUCT_BS : DO_ADD_PRODUCT_BB;
    }
    return product_at_right ? (still ? DO_SUBTRACT_PRODUCT_BS : DO_SUBTRACT_PRODUCT_BB)
                            : (still ? DO_FROM_PRODUCT_BS : DO_FROM_PRODUCT_BB);
}

/* The first operation of a chain, if one of its arguments is at hand. */
static Flat
continued(Flat first, int32_t at_hand)
{
    static const int on_hand[][4] = {
        /* of both arguments; the first at hand; the second; both */
        {DO_ADD_BB, DO_ADD_AB, DO_ADD_AB, 0},
        {DO_ADD_BS, DO_ADD_AS, 0, 0},
        {DO_SUBTRACT_BB, DO_SUBTRACT_AB, DO_SUBTRACT_BA, 0},
        {DO_SUBTRACT_BS, DO_SUBTRACT_AS, 0, 0},
        {DO_SUBTRACT_SB, 0, DO_SUBTRACT_SA, 0},
        {DO_MULTIPLY_BB, DO_MULTIPLY_AB, DO_MULTIPLY_AB, DO_MULTIPLY_AA},
        {DO_MULTIPLY_BS, DO_MULTIPLY_AS, 0, 0},
        {DO_DIVIDE_BB, DO_DIVIDE_AB, DO_DIVIDE_BA, 0},
        {DO_DIVIDE_BS, DO_DIVIDE_AS, 0, 0},
        {DO_DIVIDE_SB, 0, DO_DIVIDE_SA, 0},
        {DO_NEGATIVE_B, DO_NEGATIVE_A, 0, 0},
        {DO_TAKE_B, DO_TAKE_A, 0, 0},
    };
    int left = first.argument[0] == at_hand, right = first.argument[1] == at_hand;
    int is_unary = first.row == DO_NEGATIVE_B || first.row == DO_TAKE_B;
    right = right && !is_unary;
    for (size_t i = 0; (left || right) && i < sizeof(on_hand) / sizeof(*on_hand); i++) {
        int found = on_hand[i][left + 2 * right];
        if (first.row == on_hand[i][0] && found) {
            first.row = found;
            first.argument[0] = left ? first.argument[1] : first.argument[0];
        }
    }
    return first;
}

/* --- making them ----------------------------------------------------------------------------- */

/* Say that chain *c* loads the arguments of an operation, or no more. */
static void
note_loads(Chains *all, const Flat *operation, int c, int is_on)
{
    for (int k = 0; k < n_loaded(operation->row); k++) {
        int32_t at = operation->argument[k];
        if (at >= 0) {
            all->reads[at] = is_on ? all->reads[at] | 1u << c : all->reads[at] & ~(1u << c);
        }
    }
}

/* Write the operations of a chain, the last of which writes its result. */
static void
write_chain(Chains *all, int c)
{
    const Chain *chain = &all->chain[c];
    for (int32_t i = chain->head;; i = all->next[i]) {
        Flat operation = all->step[i];
        note_loads(all, &operation, c, 0);
        if (i == chain->head && all->at_hand != NONE) {
            operation = continued(operation, all->at_hand);
        }
        operation.result = chain->place;
        operation.row += i == chain->tail; /* and kept */
        *all->into++ = operation;
        if (i == chain->tail) {
            break;
        }
    }
    all->at_hand = chain->place;
    all->held[chain->place] = 0;
    all->busy &= ~(1u << c);
}

static void
write_chains(Chains *all, uint32_t which)
{
    for (int c = 0; which; c++, which >>= 1) {
        if (which & 1) {
            write_chain(all, c);
        }
    }
}

/* Return a chain that is free. */
static int
free_chain(Chains *all)
{
    if (all->busy == UINT32_MAX) {
        all->oldest = (all->oldest + 1) % MOST_HELD;
        write_chain(all, all->oldest);
    }
    int c = 0;
    while (all->busy >> c & 1) {
        c++;
    }
    all->busy |= 1u << c;
    return c;
}

/* Make a chain of step *k*, or let it go on with one that is held; return that, or NONE if the step is
   to stay as it is. */
static int
chain_of(Chains *all, int32_t k)
{
    Flat *step = &all->step[k];
    int32_t *argument = step->argument;
    int row = step->row, n = row == NEGATIVE || row == SQUARE ? 1 : 2;
    int held[2] = {NONE, NONE};
    for (int i = 0; i < n; i++) {
        held[i] = argument[i] >= 0 ? (int)all->held[argument[i]] - 1 : NONE;
    }
    if (held[0] == NONE && held[1] == NONE) {
        if (row == SQUARE) {
            argument[1] = argument[0];
            row = MULTIPLY;
        }
        step->row = row == NEGATIVE ? (argument[0] < 0 ? 0 : DO_NEGATIVE_B)
                                    : fresh_operation(row, argument, argument[0] < 0,
                                                      argument[1] < 0);
        if (!step->row) {
            step->row = row;
            return NONE;
        }
        int c = free_chain(all);
        all->chain[c] = (Chain){k, k, step->result};
        return c;
    }
    int mine = held[0] != NONE ? 0 : 1; /* which argument the chain that goes on is */
    if (held[0] != NONE && held[1] != NONE) {
        const Chain *left = &all->chain[held[0]], *right = &all->chain[held[1]];
        int adds = row == ADD || row == SUBTRACT;
        int is_right = adds && right->head == right->tail && is_product(all->step[right->head].row);
        int is_left = adds && left->head == left->tail && is_product(all->step[left->head].row);
        mine = is_right || !is_left ? 0 : 1;
        int other = held[1 - mine];
        if (is_right || is_left) {
            Flat product = all->step[all->chain[other].head];
            note_loads(all, &product, other, 0);
            all->busy &= ~(1u << other);
            all->held[all->chain[other].place] = 0;
            step->row = operation_with_product(row, mine == 0, product.row);
            memcpy(argument, product.argument, sizeof(product.argument));
        }
        else {
            write_chain(all, other);
        }
    }
    int c = held[mine];
    Chain *chain = &all->chain[c];
    all->held[chain->place] = 0;
    if (step->row == row) { /* not with a product */
        step->row = row == NEGATIVE ? DO_NEGATIVE_A
                    : row == SQUARE ? DO_MULTIPLY_AA
                                    : next_operation(row, mine, argument[1 - mine]);
        argument[0] = n == 2 ? argument[1 - mine] : argument[0];
    }
    all->next[chain->tail] = k;
    chain->tail = k;
    chain->place = step->result;
    return c;
}

/* Find which steps are read by one other alone, which can go on with them. What is in a place in the end
   is read by others if *readers* says so, or by this list if it comes round again. */
static void
find_readers(Chains *all, Py_ssize_t n, Py_ssize_t size, int32_t *writer, const int32_t *readers,
             int32_t who)
{
    memset(writer, 0xFF, sizeof(int32_t) * (size_t)size); /* NONE everywhere */
    for (Py_ssize_t k = 0; k < n; k++) {
        const Flat *step = &all->step[k];
        int arity = arity_of(step->row) ? arity_of(step->row) : 2;
        for (int i = 0; i < arity; i++) {
            int32_t at = step->argument[i], from = at >= 0 ? writer[at] : NONE;
            if (from != NONE) {
                int is_first = all->reader[from] == 0 && is_arithmetic(step->row);
                all->reader[from] = is_first ? (int32_t)k : NONE;
            }
            else if (at >= 0) {
                all->reads[at] = 1; /* from the round before */
            }
        }
        all->reader[k] = 0; /* no step is read by the first */
        writer[step->result] = (int32_t)k;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        if (writer[i] != NONE && (all->reads[i] || (readers[i] != NOBODY && readers[i] != who))) {
            all->reader[writer[i]] = NONE;
        }
        all->reads[i] = 0;
    }
}

static void
make_chain_of_all(Chains *all, Py_ssize_t n)
{
    for (Py_ssize_t k = 0; k < n; k++) {
        const Flat *step = &all->step[k];
        int32_t place = step->result;
        int c = is_arithmetic(step->row) ? chain_of(all, (int32_t)k) : NONE;
        if (c == NONE) {
            write_chains(all, all->reads[place]);
            Flat other = *step;
            for (int i = 0; i < 3; i++) {
                other.same |= (other.argument[i] < 0) << i;
            }
            *all->into++ = other;
            all->at_hand = NONE;
            continue;
        }
        note_loads(all, step, c, 1);
        write_chains(all, all->reads[place] & ~(1u << c));
        if (all->reader[k] > 0) {
            all->held[place] = (uint8_t)(1 + c);
        }
        else {
            write_chain(all, c);
        }
    }
    *all->into = (Flat){.row = ROW_END};
}

/* Make chains of a list of flat steps, the one with number *who*. */
static int
make_chains(const Reading *reading, Step *list, int32_t who)
{
    size_t n = (size_t)list->n_flat;
    int space = list->on_still ? IN_STILL : IN_BLOCK;
    size_t size = (size_t)reading->machine->size[space];
    int32_t *writer = PyMem_RawMalloc(sizeof(int32_t) * size + 1);
    Chains all = {
        .step = PyMem_RawMalloc(sizeof(Flat) * n + 1),
        .next = PyMem_RawMalloc(sizeof(int32_t) * n + 1),
        .reader = PyMem_RawMalloc(sizeof(int32_t) * n + 1),
        .held = PyMem_RawCalloc(size + 1, sizeof(uint8_t)),
        .reads = PyMem_RawCalloc(size + 1, sizeof(uint32_t)),
        .at_hand = NONE,
        .into = list->flat,
    };
    int failed = all.step == NULL || all.next == NULL || all.reader == NULL || all.held == NULL ||
                 all.reads == NULL || writer == NULL;
    if (!failed) {
        for (size_t i = 0; i < n; i++) {
            all.step[i] = list->flat[i];
            for (int k = 0; list->on_still && k < 4; k++) {
                int32_t *at = k < 3 ? &all.step[i].argument[k] : &all.step[i].result;
                *at = *at < 0 ? ~*at : *at;
            }
        }
        find_readers(&all, list->n_flat, (Py_ssize_t)size, writer, reading->reader[space], who);
        make_chain_of_all(&all, list->n_flat);
    }
    PyMem_RawFree(writer);
    PyMem_RawFree(all.step);
    PyMem_RawFree(all.next);
    PyMem_RawFree(all.reader);
    PyMem_RawFree(all.held);
    PyMem_RawFree(all.reads);
    if (failed) {
        PyErr_NoMemory();
    }
    return failed ? -1 : 0;
}

/* Make chains of all lists of flat steps, when all of a plan is read. */
static int
make_all_chains(const Reading *reading)
{
    Machine *machine = reading->machine;
    int32_t who = 0;
    for (int list = 0; list < N_LISTS; list++) {
        const Steps *steps = &machine->list[list];
        for (Py_ssize_t i = 0; i < steps->n; i++) {
            if (steps->step[i].code == STEP_flat) {
                steps->step[i].on_still = list != EACH;
                machine->has_flat |= list == EACH;
                if (make_chains(reading, &steps->step[i], ++who) < 0) {
                    return -1;
                }
            }
        }
    }
    return 0;
}
