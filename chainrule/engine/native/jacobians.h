/* `jacobian`: a matrix of derivatives of a function that was run. */

/* How many numbers *x* is a row of, -1 if it is one number, -2 if it is neither: a list or tuple of
   numbers and Values, none of them a structure. */
static Py_ssize_t
row_length(PyObject *x)
{
    if (is_leaf_of(x)) {
        return -1;
    }
    if (PyDict_CheckExact(x)) {
        return -2;
    }
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(x); i++) {
        if (!is_leaf_of(PySequence_Fast_GET_ITEM(x, i))) {
            return -2;
        }
    }
    return PySequence_Fast_GET_SIZE(x);
}

enum { FEW_ROWS = 4 }; /* so many are swept one by one, without a route */

/* Write the Jacobian of plain numbers into *found*. */
static int
numeric_jacobian(State *state, PyObject *const *outputs, Py_ssize_t m, PyObject *const *variables,
                 Py_ssize_t n, double *found, int forward)
{
    static const double one = 1.0;
    if (forward || m > FEW_ROWS) {
        return sweep_rows(state, outputs, m, variables, n, forward ? n : m, NULL, found, forward);
    }
    for (Py_ssize_t k = 0; k < m; k++) { /* sweep by sweep, without a route */
        if (pull_numbers(state, outputs + k, &one, 1, variables, n, found + k * n) < 0) {
            PyErr_NoMemory();
            return -1;
        }
    }
    return 0;
}

/* Put what `linked_sweeps` found, as Values, into *matrix*, an array of objects with *n* columns. */
static int
fill_with_values(State *state, PyObject *sweeps, int forward, Py_ssize_t n, const Py_buffer *matrix)
{
    PyObject **item = matrix->buf;
    for (Py_ssize_t k = 0; k < PyList_GET_SIZE(sweeps); k++) {
        PyObject *row = PyList_GET_ITEM(sweeps, k);
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(row); i++) {
            PyObject *x = answered(state, PyList_GET_ITEM(row, i), 1);
            if (x == NULL) {
                return -1;
            }
            Py_XSETREF(item[forward ? i * n + k : k * n + i], x);
        }
    }
    return 0;
}

/* jacobian(function, point, mode): the matrix of a function of numbers, or of one row of them, whose
   result is such, but not of one number by one; *mode* is "forward", "reverse" or None.  Otherwise as
   jvp. */
static PyObject *
jacobian(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = connected(module);
    FunctionRun run;
    PyObject *outputs = NULL, *sweeps = NULL, *matrix = NULL;
    int begun = state == NULL ? -1
                : count == 3  ? begin_run(state, args[0], args[1], Py_None, Py_None, &run)
                              : 0;
    if (begun <= 0) {
        return begun < 0 ? NULL : Py_NewRef(Py_None);
    }
    int plain = (outputs = PyList_New(0)) == NULL ? -1 : outputs_in(state, run.result, outputs);
    if (plain < 0) {
        goto end;
    }
    Py_ssize_t n, m = PyList_GET_SIZE(outputs), rows = row_length(run.result);
    PyObject *const *variables = variables_of(&run, &n);
    PyObject *point = PyTuple_GET_SIZE(run.primals) != 1 ? run.primals
                                                         : PyTuple_GET_ITEM(run.primals, 0);
    Py_ssize_t columns = row_length(point);
    if (!plain || m == 0 || (rows != m && rows != -1) || (columns != n && columns != -1) ||
        (rows == -1 && columns == -1)) {
        return handed_over(&run, outputs, plain);
    }
    int linked = run.linked;
    if (!linked && PyList_GET_ITEM(run.scope, AROUND) != Py_None) {
        PyObject *reaches = PyObject_CallFunction(state->above.reaches, "OO", run.scope, run.result);
        linked = reaches ? PyObject_IsTrue(reaches) : -1;
        Py_XDECREF(reaches);
        if (linked < 0) {
            goto end;
        }
    }
    int forward = args[2] == Py_None ? n < m
                                     : PyUnicode_Check(args[2]) &&
                                           PyUnicode_CompareWithASCIIString(args[2], "forward") == 0;
    if (linked && (sweeps = linked_sweeps(state, PySequence_Fast_ITEMS(outputs), m, variables, n,
                                          forward)) == NULL) {
        goto end;
    }
    PyObject *shape = rows == -1      ? Py_BuildValue("(n)", n)
                      : columns == -1 ? Py_BuildValue("(n)", m)
                                      : Py_BuildValue("(nn)", m, n);
    matrix = shape == NULL ? NULL
             : linked      ? PyObject_CallFunction(state->above.empty, "Os", shape, "O")
                           : PyObject_CallOneArg(state->above.empty, shape);
    Py_XDECREF(shape);
    Py_buffer view;
    int flags = PyBUF_ND | PyBUF_WRITABLE | (linked ? PyBUF_FORMAT : 0);
    if (matrix == NULL || PyObject_GetBuffer(matrix, &view, flags) < 0) {
        Py_CLEAR(matrix);
        goto end;
    }
    int done = linked ? fill_with_values(state, sweeps, forward, n, &view)
                      : numeric_jacobian(state, PySequence_Fast_ITEMS(outputs), m, variables, n,
                                         view.buf, forward);
    PyBuffer_Release(&view);
    if (done < 0) {
        Py_CLEAR(matrix);
    }
end:
    Py_XDECREF(outputs);
    Py_XDECREF(sweeps);
    forget_run(&run);
    return matrix;
}
