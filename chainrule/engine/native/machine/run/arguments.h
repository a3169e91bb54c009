/* What Python gives: parameters and arguments. */

/* Read the parameters into STILL: from Values, or from a vector. No step writes there, so a tuple of
   Values need not be read again as long as nobody writes to a leaf. */
static int
take_parameters(const Machine *machine, PyObject *given, Workspace *workspace)
{
    const State *state = machine->state;
    Py_ssize_t n = machine->parameters[1] - machine->parameters[0];
    double *into = workspace->still + machine->parameters[0];
    Segment segment;
    if (given == workspace->parameters && workspace->writes == state->writes) {
        return 0;
    }
    Py_CLEAR(workspace->parameters);
    if (segment_of(given, &segment)) {
        const PyTypeObject *type = state->value_type;
        for (Py_ssize_t i = 0; segment.n == n && i < n; i++) {
            if (Py_TYPE(segment.item[i]) != type) {
                PyErr_Format(PyExc_TypeError, "Machine.run: expected Values as parameters, not %R",
                             segment.item[i]);
                return -1;
            }
            into[i] = ((Node *)segment.item[i])->data;
        }
        if (segment.n != n) {
            PyErr_Format(PyExc_ValueError, "Machine.run: expected %zd parameters, not %zd", n,
                         segment.n);
            return -1;
        }
        if (PyTuple_CheckExact(given)) {
            workspace->parameters = Py_NewRef(given);
            workspace->writes = state->writes;
        }
        return 0;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(given, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        return -1;
    }
    int fits = view.format != NULL && strcmp(view.format, "d") == 0 &&
               view.len == n * (Py_ssize_t)sizeof(double);
    if (fits) {
        memcpy(into, view.buf, (size_t)view.len);
    }
    else {
        PyErr_Format(PyExc_ValueError, "Machine.run: expected %zd parameters of float64", n);
    }
    PyBuffer_Release(&view);
    return fits ? 0 : -1;
}

typedef struct {
    Py_buffer view;
    double *copy; /* of an array whose examples are not in one piece, or NULL */
} Given;

enum { FEW = 4 };

typedef struct {
    Py_ssize_t n; /* how many are taken */
    Given *given, few[FEW];
    Argument *argument, few_arguments[FEW];
} Arguments;

static void
release_arguments(Arguments *arguments)
{
    for (Py_ssize_t i = 0; i < arguments->n; i++) {
        PyMem_Free(arguments->given[i].copy);
        PyBuffer_Release(&arguments->given[i].view);
    }
    if (arguments->given != arguments->few) {
        PyMem_Free(arguments->given);
        PyMem_Free(arguments->argument);
    }
}

/* See that an array holds examples of *size* numbers, if they are read; how many, or -1. */
static Py_ssize_t
examples_in(Given *given, Py_ssize_t size, Argument *argument)
{
    const Py_buffer *view = &given->view;
    if (view->format == NULL || strcmp(view->format, "d") != 0 || view->ndim < 1) {
        PyErr_SetString(PyExc_ValueError,
                        "Machine.run: expected arrays of float64 with an axis for the examples");
        return -1;
    }
    Py_ssize_t each = 1, step = (Py_ssize_t)sizeof(double);
    int in_one_piece = view->strides[0] % step == 0 && (uintptr_t)view->buf % sizeof(double) == 0;
    for (int axis = view->ndim - 1; axis > 0; axis--) {
        in_one_piece = in_one_piece &&
                       (view->shape[axis] == 1 || view->strides[axis] == step * each);
        each *= view->shape[axis];
    }
    *argument = (Argument){view->buf, view->strides[0] / step};
    if (size == 0 || view->shape[0] == 0) {
        return view->shape[0];
    }
    if (each != size) {
        PyErr_Format(PyExc_ValueError, "Machine.run: expected %zd numbers of each example, not %zd",
                     size, each);
        return -1;
    }
    if (!in_one_piece) {
        given->copy = PyMem_Malloc((size_t)view->len);
        if (given->copy == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        if (PyBuffer_ToContiguous(given->copy, (Py_buffer *)view, view->len, 'C') < 0) {
            return -1;
        }
        *argument = (Argument){given->copy, size};
    }
    return view->shape[0];
}

/* Whether an argument is an array of float64 whose examples have that very shape. */
static int
is_of_shape(const Py_buffer *view, PyObject *shape)
{
    if (!PyTuple_Check(shape) || view->ndim != 1 + PyTuple_GET_SIZE(shape) ||
        view->format == NULL || strcmp(view->format, "d") != 0) {
        return 0;
    }
    for (int axis = 1; axis < view->ndim; axis++) {
        if (view->shape[axis] != PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, axis - 1))) {
            PyErr_Clear();
            return 0;
        }
    }
    return view->shape[0] > 0;
}

enum { UNFIT = -2 };

/* Take the arguments; how many examples there are, or -1. If *shapes* are given, arguments that are not
   arrays of float64 with such examples, one at least, are UNFIT. */
static Py_ssize_t
take_arguments(const Machine *machine, PyObject *tuple, PyObject *shapes, Arguments *arguments)
{
    Py_ssize_t n = machine->n_inputs, m = 1;
    arguments->given = arguments->few;
    arguments->argument = arguments->few_arguments;
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != n) {
        if (shapes != NULL) {
            return UNFIT;
        }
        PyErr_Format(PyExc_ValueError, "Machine.run: expected a tuple of %zd arguments", n);
        return -1;
    }
    if (n > FEW) {
        arguments->given = PyMem_Calloc((size_t)n, sizeof(Given));
        arguments->argument = PyMem_Calloc((size_t)n, sizeof(Argument));
        if (arguments->given == NULL || arguments->argument == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        Given *given = &arguments->given[i];
        PyObject *array = PyTuple_GET_ITEM(tuple, i);
        given->copy = NULL;
        if (shapes != NULL && (PyObject *)Py_TYPE(array) != machine->array) {
            return UNFIT;
        }
        if (PyObject_GetBuffer(array, &given->view, PyBUF_STRIDES | PyBUF_FORMAT) < 0) {
            if (shapes == NULL || !(PyErr_ExceptionMatches(PyExc_ValueError) ||
                                    PyErr_ExceptionMatches(PyExc_BufferError))) {
                return -1;
            }
            PyErr_Clear(); /* an array of dates, say: Python tells what was expected */
            return UNFIT;
        }
        arguments->n++;
        if (shapes != NULL && !is_of_shape(&given->view, PyTuple_GET_ITEM(shapes, i))) {
            return UNFIT;
        }
        Py_ssize_t found = examples_in(given, machine->input[i].size, &arguments->argument[i]);
        if (found < 0) {
            return -1;
        }
        if (i > 0 && found != m && shapes != NULL) {
            return UNFIT;
        }
        if (i > 0 && found != m) {
            PyErr_Format(PyExc_ValueError,
                         "Machine.run: expected as many examples in all arguments, not %zd and %zd",
                         m, found);
            return -1;
        }
        m = found;
    }
    return m;
}
