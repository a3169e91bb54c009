/* What the reference asks for: sweeps over what it lists, and how it is connected. */

/* Read the outputs and inputs of a sweep, lists; 0 if they are not for C. */
static int
read_ends(const State *state, PyObject *outputs, PyObject *inputs)
{
    if (!PyList_CheckExact(outputs) || !PyList_CheckExact(inputs)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(inputs); i++) {
        if (!is_node(state, PyList_GET_ITEM(inputs, i))) {
            return 0;
        }
    }
    return 1;
}

/* sweep(outputs, inputs, seeds, found, forward): sweep once for each row of *seeds*, a float64 buffer
   as *found* is, which gets a row for each; seeds that are None give the Jacobian.  False, and nothing
   was done, if that is not for C. */
static PyObject *
sweep(PyObject *module, PyObject *args)
{
    State *state = connected(module);
    PyObject *outputs, *inputs, *seeds, *found, *result = NULL;
    Py_buffer from = {0}, to = {0};
    int forward;
    if (state == NULL ||
        !PyArg_ParseTuple(args, "OOOOp:sweep", &outputs, &inputs, &seeds, &found, &forward)) {
        return NULL;
    }
    int unit = seeds == Py_None;
    if ((!unit && PyObject_GetBuffer(seeds, &from, PyBUF_ND | PyBUF_FORMAT) < 0) ||
        PyObject_GetBuffer(found, &to, PyBUF_ND | PyBUF_FORMAT | PyBUF_WRITABLE) < 0) {
        goto end;
    }
    /* Asking for buffers may have run Python code, so the lists are looked at only now. */
    Py_ssize_t m = PyList_CheckExact(outputs) ? PyList_GET_SIZE(outputs) : 0;
    Py_ssize_t n = PyList_CheckExact(inputs) ? PyList_GET_SIZE(inputs) : 0;
    Py_ssize_t rows = unit ? (forward ? n : m) : from.ndim == 2 ? from.shape[0] : 0;
    if (!read_ends(state, outputs, inputs)) {
        result = Py_NewRef(Py_False);
        goto end;
    }
    int fits = to.ndim == 2 && strcmp(to.format, "d") == 0 && is_aligned(&to, sizeof(double));
    if (unit) {
        fits = fits && to.shape[0] == m && to.shape[1] == n;
    }
    else {
        fits = fits && from.ndim == 2 && strcmp(from.format, "d") == 0 &&
               is_aligned(&from, sizeof(double)) && to.shape[0] == rows &&
               from.shape[1] == (forward ? n : m) && to.shape[1] == (forward ? m : n);
    }
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "sweep: the buffers do not fit the outputs and inputs");
        goto end;
    }
    /* Copies: listing what lies between may run code that changes the lists. */
    PyObject *held_outputs = PyList_AsTuple(outputs), *held_inputs = PyList_AsTuple(inputs);
    if (held_outputs != NULL && held_inputs != NULL && PyTuple_GET_SIZE(held_outputs) == m &&
        PyTuple_GET_SIZE(held_inputs) == n &&
        sweep_rows(state, PySequence_Fast_ITEMS(held_outputs), m,
                   PySequence_Fast_ITEMS(held_inputs), n, rows, from.buf, to.buf, forward) == 0) {
        result = Py_NewRef(Py_True);
    }
    Py_XDECREF(held_outputs);
    Py_XDECREF(held_inputs);
end:
    if (from.obj != NULL) {
        PyBuffer_Release(&from);
    }
    if (to.obj != NULL) {
        PyBuffer_Release(&to);
    }
    return result;
}

/* pull(outputs, inputs, seeds): the adjoints of the inputs, for seeds that are floats; None if that is
   not for C.  All are lists. */
static PyObject *
pull(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    enum { AT_HAND = 32 };
    State *state = connected(module);
    PyObject *list = NULL;
    if (state == NULL) {
        return NULL;
    }
    if (count != 3 || !read_ends(state, args[0], args[1]) || !PyList_CheckExact(args[2]) ||
        PyList_GET_SIZE(args[2]) != PyList_GET_SIZE(args[0])) {
        Py_RETURN_NONE;
    }
    Py_ssize_t m = PyList_GET_SIZE(args[0]), n = PyList_GET_SIZE(args[1]);
    double at_hand[AT_HAND], *number = n + m <= AT_HAND ? at_hand : PyMem_New(double, n + m);
    if (number == NULL) {
        return PyErr_NoMemory();
    }
    int floats = 1;
    for (Py_ssize_t k = 0; k < m && floats; k++) {
        PyObject *seed = PyList_GET_ITEM(args[2], k);
        floats = PyFloat_CheckExact(seed);
        number[n + k] = floats ? PyFloat_AS_DOUBLE(seed) : 0.0;
    }
    if (!floats) {
        list = Py_NewRef(Py_None);
    }
    else if (pull_numbers(state, PySequence_Fast_ITEMS(args[0]), number + n, m,
                          PySequence_Fast_ITEMS(args[1]), n, number) < 0) {
        PyErr_NoMemory();
    }
    else {
        list = list_of_floats(number, n);
    }
    if (number != at_hand) {
        PyMem_Free(number);
    }
    return list;
}

/* pull_linked(outputs, inputs, seeds): the same with adjoints that are Values wherever they depend on
   one; the seeds are floats and Values. */
static PyObject *
pull_linked(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = connected(module);
    if (state == NULL) {
        return NULL;
    }
    if (count != 3 || !read_ends(state, args[0], args[1]) || !PyList_CheckExact(args[2]) ||
        PyList_GET_SIZE(args[2]) != PyList_GET_SIZE(args[0]) || state->above.linked_partials == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *found = NULL, *outputs = PyList_AsTuple(args[0]), *inputs = PyList_AsTuple(args[1]);
    PyObject *seeds = PyList_AsTuple(args[2]);
    Py_ssize_t m = outputs ? PyTuple_GET_SIZE(outputs) : 0;
    PyObject **seed = PyMem_New(PyObject *, m + 1);
    if (outputs == NULL || inputs == NULL || seeds == NULL || seed == NULL ||
        PyTuple_GET_SIZE(seeds) != m) {
        if (!PyErr_Occurred()) {
            PyErr_NoMemory();
        }
        goto end;
    }
    for (Py_ssize_t k = 0; k < m; k++) {
        seed[k] = PyTuple_GET_ITEM(seeds, k);
        if (!is_node(state, seed[k]) && !PyFloat_CheckExact(seed[k])) {
            found = Py_NewRef(Py_None);
            goto end;
        }
        if (!is_node(state, PyTuple_GET_ITEM(outputs, k)) ||
            (PyFloat_CheckExact(seed[k]) && PyFloat_AS_DOUBLE(seed[k]) == 0.0)) {
            seed[k] = NULL;
        }
    }
    found = pull_values(state, PySequence_Fast_ITEMS(outputs), seed, m,
                        PySequence_Fast_ITEMS(inputs), PyTuple_GET_SIZE(inputs));
end:
    PyMem_Free(seed);
    Py_XDECREF(outputs);
    Py_XDECREF(inputs);
    Py_XDECREF(seeds);
    return found;
}

/* push_linked(outputs, inputs, tangents): the tangents of the outputs, Values wherever they depend on
   one; those of the inputs are floats, but 0.0, and Values. */
static PyObject *
push_linked(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = connected(module);
    if (state == NULL) {
        return NULL;
    }
    if (count != 3 || !read_ends(state, args[0], args[1]) || !PyList_CheckExact(args[2]) ||
        PyList_GET_SIZE(args[2]) != PyList_GET_SIZE(args[1]) || state->above.linked_partials == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *found = NULL, *outputs = PyList_AsTuple(args[0]), *inputs = PyList_AsTuple(args[1]);
    PyObject *tangents = PyList_AsTuple(args[2]);
    if (outputs == NULL || inputs == NULL || tangents == NULL) {
        goto end;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(inputs);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *x = PyTuple_GET_ITEM(tangents, i);
        if (!is_node(state, x) && !PyFloat_CheckExact(x)) {
            found = Py_NewRef(Py_None);
            goto end;
        }
    }
    found = push_values(state, PySequence_Fast_ITEMS(outputs), PyTuple_GET_SIZE(outputs),
                        PySequence_Fast_ITEMS(inputs), PySequence_Fast_ITEMS(tangents), n);
end:
    Py_XDECREF(outputs);
    Py_XDECREF(inputs);
    Py_XDECREF(tangents);
    return found;
}

/* sweep_linked(outputs, inputs, forward): what `linked_sweeps` says; None if that is not for C. */
static PyObject *
sweep_linked(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = connected(module);
    if (state == NULL) {
        return NULL;
    }
    if (count != 3 || !read_ends(state, args[0], args[1]) || state->above.linked_partials == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *found = NULL, *outputs = PyList_AsTuple(args[0]), *inputs = PyList_AsTuple(args[1]);
    if (outputs != NULL && inputs != NULL) {
        found = linked_sweeps(state, PySequence_Fast_ITEMS(outputs), PyTuple_GET_SIZE(outputs),
                              PySequence_Fast_ITEMS(inputs), PyTuple_GET_SIZE(inputs),
                              args[2] == Py_True);
    }
    Py_XDECREF(outputs);
    Py_XDECREF(inputs);
    return found;
}

/* connect_transforms(runs): take what the transforms ask of that module. */
static PyObject *
connect_transforms(PyObject *module, PyObject *runs)
{
    State *state = connected(module);
    if (state == NULL) {
        return NULL;
    }
#define ASK(name)                                                        \
    Py_XSETREF(state->above.name, PyObject_GetAttrString(runs, #name)); \
    if (state->above.name == NULL) {                                     \
        return NULL;                                                     \
    }
    ASKED_BY_TRANSFORMS(ASK)
#undef ASK
    Py_RETURN_NONE;
}
