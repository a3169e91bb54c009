/* What a plan is made of, read from Python: numbers, tables, rows. What is not sound is a ValueError. */

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
    if (PyObject_GetBuffer(object, &table->view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        table->view.obj = NULL;
        return -1;
    }
    const Py_buffer *view = &table->view;
    char format = view->format != NULL && view->format[0] != '\0' && view->format[1] == '\0'
                      ? view->format[0] : '?';
    if (strchr("ilq", format) == NULL || (view->itemsize != 4 && view->itemsize != 8)) {
        return unsound("a table is not of whole numbers");
    }
    table->n = view->len / view->itemsize;
    table->columns = view->ndim == 2 ? view->shape[1] : 0;
    return 0;
}

static inline int64_t
entry_of(const Numbers *table, Py_ssize_t i)
{
    const Py_buffer *view = &table->view;
    return view->itemsize == 8 ? ((const int64_t *)view->buf)[i] : ((const int32_t *)view->buf)[i];
}

static const int64_t *
kept_table(Machine *machine, Numbers *table)
{
    if (table->kept == NULL) {
        int64_t *copy = machine_room(machine, (size_t)table->n * sizeof(int64_t) + 1);
        for (Py_ssize_t i = 0; copy != NULL && i < table->n; i++) {
            copy[i] = entry_of(table, i);
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
    int32_t *reader[N_SPACES]; /* of each place of STILL and BLOCK: see chains.h */
    int32_t n_flat;            /* lists of flat steps that are read */
} Reading;

/* Which kernel a row of the table has here; -1 for none. */
static int
machine_row(const State *state, PyObject *row)
{
    int kernel = kernel_of(state, row);
    return kernel != NO_KERNEL ? kernel : row == state->take ? ROW_TAKE : -1;
}

static int
arity_of(int row) /* 0: any number */
{
    switch (row) {
    case WHERE:
        return 3;
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
