/* The compiler's tape.

   What recorded() of compiler/tape.py does, and says, in one walk: every node becomes the number of
   an entry, and equal nodes share one.  Entries are found again in a hash table. */

enum { TAPE_LEAF = -1, TAPE_CONSTANT = -2 };

typedef struct {
    int16_t *code;
    double *value;              /* of a constant */
    int64_t *start, *input;     /* the inputs of entry n begin at start[n] */
    uint64_t *hash;             /* 0 for an entry that is not to be found again */
    int32_t *slot;              /* the hash table: numbers of entries, or -1 */
    Py_ssize_t n, room, n_inputs, input_room;
    Py_ssize_t n_slots;         /* a power of 2, twice the room or more */
    int apart;                  /* every node has an entry of its own */
} Tape;

static int
enlarge(void *array, size_t bytes) /* *array* is the address of a pointer */
{
    void *more;
    memcpy(&more, array, sizeof(more)); /* the pointer is of any type */
    more = PyMem_Realloc(more, bytes);
    if (more == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(array, &more, sizeof(more));
    return 0;
}

/* Return where the entry with these contents is in the hash table, or where it would be. */
static int32_t *
tape_slot(const Tape *tape, uint64_t hash, int code, double value, const int64_t *input, Py_ssize_t n)
{
    uint64_t mask = tape->n_slots - 1, at = hash & mask;
    for (int64_t k; (k = tape->slot[at]) >= 0; at = (at + 1) & mask) {
        if (tape->hash[k] == hash && tape->code[k] == code &&
            tape->start[k + 1] - tape->start[k] == n &&
            memcmp(&tape->value[k], &value, sizeof(value)) == 0 &&
            (n == 0 || memcmp(tape->input + tape->start[k], input, n * sizeof(*input)) == 0)) {
            break;
        }
    }
    return &tape->slot[at];
}

static int
tape_room(Tape *tape, Py_ssize_t entries, Py_ssize_t inputs) /* make room for so many more */
{
    if (tape->n_inputs + inputs > tape->input_room) {
        tape->input_room = 2 * (tape->n_inputs + inputs);
        if (enlarge(&tape->input, tape->input_room * sizeof(int64_t)) < 0) {
            return -1;
        }
    }
    if (tape->n + entries <= tape->room) {
        return 0;
    }
    Py_ssize_t room = tape->n + entries + tape->n / 2;
    if (room > INT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a graph of more than a billion nodes");
        return -1;
    }
    for (tape->n_slots = 1; tape->n_slots < 2 * room;) {
        tape->n_slots *= 2;
    }
    if (enlarge(&tape->code, room * sizeof(int16_t)) < 0 ||
        enlarge(&tape->value, room * sizeof(double)) < 0 ||
        enlarge(&tape->start, (room + 1) * sizeof(int64_t)) < 0 ||
        enlarge(&tape->hash, room * sizeof(uint64_t)) < 0 ||
        enlarge(&tape->slot, tape->n_slots * sizeof(int32_t)) < 0) {
        return -1;
    }
    tape->room = room;
    memset(tape->slot, -1, tape->n_slots * sizeof(int32_t));
    for (int64_t k = 0; k < tape->n; k++) {
        if (tape->hash[k] != 0) {
            int64_t start = tape->start[k];
            *tape_slot(tape, tape->hash[k], tape->code[k], tape->value[k], tape->input + start,
                       tape->start[k + 1] - start) = (int32_t)k;
        }
    }
    return 0;
}

static int64_t
tape_append(Tape *tape, uint64_t hash, int code, double value, const int64_t *input, Py_ssize_t n)
{
    if (tape_room(tape, 1, n) < 0) {
        return -1;
    }
    tape->start[0] = 0;
    tape->code[tape->n] = (int16_t)code;
    tape->value[tape->n] = value;
    tape->hash[tape->n] = hash;
    if (n > 0) {
        memcpy(tape->input + tape->n_inputs, input, n * sizeof(int64_t));
    }
    tape->n_inputs += n;
    tape->start[tape->n + 1] = tape->n_inputs;
    return tape->n++;
}

/* Return the number of the entry with these contents, a new one if there is none; -1: an error. */
static int64_t
tape_entry(Tape *tape, int code, double value, const int64_t *input, Py_ssize_t n)
{
    if (tape->apart && code >= 0 && code != SOFTMAX) {
        return tape_append(tape, 0, code, value, input, n);
    }
    uint64_t hash;
    memcpy(&hash, &value, sizeof(hash));
    hash = (hash ^ (uint64_t)(code + 3)) * 0x9E3779B97F4A7C15u;
    for (Py_ssize_t i = 0; i < n; i++) {
        hash = ((hash ^ (hash >> 29)) + (uint64_t)input[i]) * 0xBF58476D1CE4E5B9u;
    }
    hash = (hash ^ (hash >> 32)) | (uint64_t)1 << 63;
    if (tape_room(tape, 1, n) < 0) {
        return -1;
    }
    int32_t *slot = tape_slot(tape, hash, code, value, input, n);
    if (*slot < 0) {
        *slot = (int32_t)tape->n;
        return tape_append(tape, hash, code, value, input, n);
    }
    return *slot;
}

/* Return the code of a row: the number of its kernel, or its place in *rows* behind all kernels. */
static int
tape_code(const State *state, const Node *node, PyObject *rows)
{
    PyObject *row = row_of(state, node);
    if (node->kernel != NO_KERNEL && row == state->row[node->kernel]) {
        return node->kernel;
    }
    Py_ssize_t code = N_KERNELS;
    while (code < PyList_GET_SIZE(rows) && PyList_GET_ITEM(rows, code) != row) {
        code++;
    }
    if (code > INT16_MAX) {
        PyErr_SetString(PyExc_OverflowError, "tape: too many different primitives");
        return -1;
    }
    if (code == PyList_GET_SIZE(rows) && PyList_Append(rows, row) < 0) {
        return -1;
    }
    return (int)code;
}

/* Append *node*, whose operands have the *inputs* as their numbers; return its own. */
static int64_t
tape_node(Tape *tape, const State *state, Node *node, PyObject *rows, int64_t *input)
{
    Terms terms = terms_of(node);
    if (node->form == LEAF) {
        return tape_append(tape, 0, TAPE_LEAF, 0.0, NULL, 0);
    }
    int code = tape_code(state, node, rows);
    if (code == SOFTMAX) { /* all its entries, one after another; the first stands for them */
        Py_ssize_t before = tape->n, n = terms.n - 1;
        int64_t first = tape_entry(tape, code, 0.0, input + 1, n);
        for (Py_ssize_t k = 1; first == before && k < n; k++) {
            if (tape_append(tape, 0, code, 0.0, input + 1, n) < 0) {
                return -1;
            }
        }
        return first < 0 ? -1 : first + (int64_t)terms.operand[0].number;
    }
    if (code == MEAN) { /* a sum over a number */
        int64_t quotient[2];
        quotient[0] = tape_entry(tape, SUM, 0.0, input, terms.n);
        quotient[1] = tape_entry(tape, TAPE_CONSTANT, (double)terms.n, NULL, 0);
        return quotient[0] < 0 || quotient[1] < 0
                   ? -1 : tape_entry(tape, DIVIDE, 0.0, quotient, 2);
    }
    return code < 0 ? -1 : tape_entry(tape, code, 0.0, input, terms.n);
}

/* Where in *place* a node's place in the order stands, or would: its serial number says where to
   look, so that neighbours in the order are neighbours there. */
ALWAYS_INLINE int32_t *
place_of(int32_t *place, uint64_t mask, Node **order, const Node *node)
{
    uint64_t at = node->serial & mask;
    while (place[at] >= 0 && order[place[at]] != node) {
        at = (at + 1) & mask;
    }
    return &place[at];
}

/* Enter the *count* nodes of *order* into *tape*, the number of each into *number*. */
static int
tape_nodes(Tape *tape, const State *state, Node **order, Py_ssize_t count, int64_t *number,
           PyObject *rows)
{
    Py_ssize_t slots = 1, room = 0;
    while (slots < 2 * count) {
        slots *= 2;
    }
    int32_t *place = NULL;
    int64_t *input = NULL;
    int failed = enlarge(&place, slots * sizeof(int32_t)) < 0;
    if (!failed) {
        memset(place, -1, slots * sizeof(int32_t));
    }
    for (Py_ssize_t i = 0; !failed && i < count; i++) {
        Terms terms = terms_of(order[i]);
        if (terms.n > room) {
            room = 2 * terms.n;
            failed = enlarge(&input, room * sizeof(int64_t)) < 0;
        }
        int is_entry = order[i]->form != LEAF && order[i]->kernel == SOFTMAX; /* of the rest */
        for (Py_ssize_t k = is_entry; !failed && k < terms.n; k++) {
            input[k] = terms.kind[k] & IS_NODE
                           ? number[*place_of(place, slots - 1, order, terms.operand[k].node)]
                           : tape_entry(tape, TAPE_CONSTANT, terms.operand[k].number, NULL, 0);
            failed = input[k] < 0;
        }
        if (!failed) {
            *place_of(place, slots - 1, order, order[i]) = (int32_t)i;
            number[i] = tape_node(tape, state, order[i], rows, input);
            failed = number[i] < 0;
        }
    }
    PyMem_Free(place);
    PyMem_Free(input);
    return failed ? -1 : 0;
}

/* flatten(outputs, apart=False): rows, nodes that are leaves, codes, values, starts, inputs, and the
   number that each of the nodes has, in their order; arrays as bytes.  None if an output is not a
   node of C. */
static PyObject *
flatten(PyObject *module, PyObject *args)
{
    State *state = connected(module);
    PyObject *outputs;
    int apart = 0;
    if (state == NULL || !PyArg_ParseTuple(args, "O!|p:flatten", &PyTuple_Type, &outputs, &apart)) {
        return NULL;
    }
    Py_ssize_t count, n_leaves = 0;
    Node **order = nodes_below(state, outputs, IS_NODE, 0, &count);
    if (order == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    Tape tape = {.apart = apart};
    int64_t *number = NULL;
    PyObject *rows = PyList_New(0), *leaves = NULL, *numbers = NULL, *result = NULL;
    int failed = rows == NULL || enlarge(&number, (count + 1) * sizeof(int64_t)) < 0;
    for (int kernel = 0; !failed && kernel < N_KERNELS; kernel++) {
        failed = PyList_Append(rows, state->row[kernel]) < 0;
    }
    failed = failed || tape_room(&tape, count + count / 8 + 8, 2 * count + 8) < 0;
    if (failed || tape_append(&tape, 0, TAPE_CONSTANT, 1.0, NULL, 0) < 0 /* ONE */ ||
        tape_nodes(&tape, state, order, count, number, rows) < 0) {
        goto done;
    }
    numbers = PyList_New(PyTuple_GET_SIZE(outputs));
    for (Py_ssize_t i = 0; numbers != NULL && i < PyTuple_GET_SIZE(outputs); i++) {
        const Node *output = (Node *)PyTuple_GET_ITEM(outputs, i);
        Py_ssize_t low = 0, high = count - 1;
        while (low < high) { /* nodes stand by serial number */
            Py_ssize_t middle = (low + high) / 2;
            low = order[middle]->serial < output->serial ? middle + 1 : low;
            high = order[middle]->serial < output->serial ? high : middle;
        }
        PyObject *entry = PyLong_FromLongLong(number[low]);
        if (entry == NULL) {
            goto done;
        }
        PyList_SET_ITEM(numbers, i, entry);
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (order[i]->form == LEAF) {
            order[n_leaves++] = order[i];
        }
    }
    leaves = list_of(order, n_leaves);
    if (leaves != NULL && numbers != NULL) {
        result = Py_BuildValue("OOOny#y#y#y#", rows, leaves, numbers, count, (char *)tape.code,
                               tape.n * sizeof(int16_t), (char *)tape.value,
                               tape.n * sizeof(double), (char *)tape.start,
                               (tape.n + 1) * sizeof(int64_t), (char *)tape.input,
                               tape.n_inputs * sizeof(int64_t));
    }
done:
    Py_XDECREF(rows);
    Py_XDECREF(leaves);
    Py_XDECREF(numbers);
    PyMem_Free(number);
    PyMem_Free(order);
    PyMem_Free(tape.code);
    PyMem_Free(tape.value);
    PyMem_Free(tape.start);
    PyMem_Free(tape.input);
    PyMem_Free(tape.hash);
    PyMem_Free(tape.slot);
    return result;
}
