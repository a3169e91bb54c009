/* The transforms of functions, and what the reference calls. */

/* Return the derivatives of the only output of *run* by its variables, a list. */
static PyObject *
gradient_of(State *state, const FunctionRun *run, int linked)
{
    enum { AT_HAND = 32 };
    Py_ssize_t n;
    PyObject *const *variables = variables_of(run, &n);
    PyObject *list = NULL;
    if (linked) {
        PyObject *one = PyFloat_FromDouble(1.0);
        PyObject *seed = is_node(state, run->result) ? one : NULL;
        list = one ? pull_values(state, &run->result, &seed, 1, variables, n) : NULL;
        Py_XDECREF(one);
        for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
            PyObject *x = answered(state, PyList_GET_ITEM(list, i), 1);
            if (x == NULL || PyList_SetItem(list, i, x) < 0) {
                Py_CLEAR(list);
            }
        }
        return list;
    }
    double at_hand[AT_HAND], seed = 1.0;
    double *found = n <= AT_HAND ? at_hand : PyMem_New(double, n);
    if (found == NULL || pull_numbers(state, &run->result, &seed, 1, variables, n, found) < 0) {
        PyErr_NoMemory();
    }
    else {
        list = PyList_New(n);
        for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
            PyObject *x = PyFloat_FromDouble(found[i]);
            if (x == NULL) {
                Py_CLEAR(list);
                break;
            }
            PyList_SET_ITEM(list, i, x);
        }
    }
    if (found != at_hand) {
        PyMem_Free(found);
    }
    return list;
}

/* gradient(function, args, argnums, kwargs, with_value): what grad, or value_and_grad, gives; what is
   not for C goes to the function of that name in runs.py. */
static PyObject *
gradient(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    State *state = connected(module);
    FunctionRun run;
    if (state == NULL) {
        return NULL;
    }
    if (n != 5) {
        PyErr_SetString(PyExc_TypeError, "gradient: expected five arguments");
        return NULL;
    }
    int begun = args[2] == Py_None ? 0 : begin_run(state, args[0], args[1], args[2], args[3], &run);
    if (begun < 0) {
        return NULL;
    }
    if (begun == 0) {
        if (state->above.gradient == NULL) {
            PyErr_SetString(PyExc_RuntimeError, "the transforms are not connected yet");
            return NULL;
        }
        return PyObject_Vectorcall(state->above.gradient, args, n, NULL);
    }
    PyObject *answer = NULL, *derivatives = NULL, *gradient = NULL;
    int linked = run.linked, single = PyLong_CheckExact(args[2]);
    Py_ssize_t next = 0;
    if (!is_node(state, run.result) && !PyFloat_CheckExact(run.result)) {
        answer = PyObject_CallFunction(state->above.continued, "OOOiOOi", args[0], run.primals,
                                       run.scope, run.linked, run.result, args[4], single);
        goto end;
    }
    if (!linked && PyList_GET_ITEM(run.scope, AROUND) != Py_None) {
        PyObject *reaches = PyObject_CallFunction(state->above.reaches, "OO", run.scope, run.result);
        if (reaches == NULL) {
            goto end;
        }
        linked = PyObject_IsTrue(reaches);
        Py_DECREF(reaches);
    }
    if (!linked && single && args[4] != Py_True && PyList_GET_SIZE(run.scope) == VARIABLES + 1 &&
        is_leaf_of(PyTuple_GET_ITEM(run.primals, 0))) { /* the derivative of a function of a number */
        double seed = 1.0, slope;
        if (pull_numbers(state, &run.result, &seed, 1, PySequence_Fast_ITEMS(run.scope) + VARIABLES,
                         1, &slope) < 0) {
            PyErr_NoMemory();
        }
        else {
            answer = PyFloat_FromDouble(slope);
        }
        goto end;
    }
    if ((derivatives = gradient_of(state, &run, linked)) == NULL) {
        goto end;
    }
    if (single) {
        gradient = shaped(PyTuple_GET_ITEM(run.primals, 0), derivatives, &next);
    }
    else {
        gradient = shaped(run.primals, derivatives, &next);
    }
    if (gradient != NULL && args[4] == Py_True) {
        PyObject *value = answered(state, run.result, linked);
        answer = value ? PyTuple_Pack(2, value, gradient) : NULL;
        Py_XDECREF(value);
    }
    else {
        answer = Py_XNewRef(gradient);
    }
end:
    Py_XDECREF(derivatives);
    Py_XDECREF(gradient);
    forget_run(&run);
    return answer;
}

enum { FEW_ROWS = 4 };

/* --- forward mode ------------------------------------------------------------------------------ */

/* Append the numbers in *given*, which has the structure of *pattern*, to *found*, a list; 0 if that
   is not for C, or not so. */
static int
match_numbers(const State *state, PyObject *given, PyObject *pattern, PyObject *found)
{
    double number;
    if (is_leaf_of(pattern)) {
        PyObject *x = number_in(state, given, &number) ? PyFloat_FromDouble(number) : NULL;
        int outcome = x == NULL ? 0 : PyList_Append(found, x) == 0;
        Py_XDECREF(x);
        return outcome;
    }
    if (PyDict_CheckExact(pattern) || (!PyList_CheckExact(given) && !PyTuple_CheckExact(given)) ||
        PySequence_Fast_GET_SIZE(given) != PySequence_Fast_GET_SIZE(pattern) ||
        Py_EnterRecursiveCall("")) {
        return 0;
    }
    int outcome = 1;
    for (Py_ssize_t i = 0; outcome && i < PySequence_Fast_GET_SIZE(pattern) &&
                           i < PySequence_Fast_GET_SIZE(given); i++) {
        outcome = match_numbers(state, PySequence_Fast_GET_ITEM(given, i),
                                PySequence_Fast_GET_ITEM(pattern, i), found);
    }
    Py_LeaveRecursiveCall();
    return outcome;
}

/* Return the tangents of *outputs*, a list of Values and floats, for those of the variables. */
static PyObject *
push_numbers(State *state, const FunctionRun *run, PyObject *outputs, PyObject *tangents)
{
    Py_ssize_t n, m = PyList_GET_SIZE(outputs);
    PyObject *const *variables = variables_of(run, &n);
    double *number = PyMem_New(double, n + m + 1);
    PyObject *list = NULL;
    if (number == NULL) {
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        number[i] = PyFloat_AS_DOUBLE(PyList_GET_ITEM(tangents, i));
    }
    if (sweep_rows(state, PySequence_Fast_ITEMS(outputs), m, variables, n, 1, number, number + n, 1) ==
        0) {
        list = PyList_New(m);
        for (Py_ssize_t i = 0; list != NULL && i < m; i++) {
            PyObject *x = PyFloat_FromDouble(number[n + i]);
            if (x == NULL) {
                Py_CLEAR(list);
                break;
            }
            PyList_SET_ITEM(list, i, x);
        }
    }
    PyMem_Free(number);
    return list;
}

/* Replace the Values in a list that nobody else has by their numbers. */
static int
to_numbers(State *state, PyObject *list)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *x = answered(state, PyList_GET_ITEM(list, i), 0);
        if (x == NULL || PyList_SetItem(list, i, x) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Run *function* on *primals* for a transform with *tangents*, both tuples or lists: 1 with *list*, the
   numbers in the tangents, 0 if that is not for C, or -1 and an error. */
static int
begin_forward(State *state, PyObject *const *args, Py_ssize_t n, FunctionRun *run, PyObject **list)
{
    if (n != 3 || !(PyTuple_CheckExact(args[1]) || PyList_CheckExact(args[1]))) {
        return 0;
    }
    PyObject *primals = PySequence_Tuple(args[1]);
    *list = PyList_New(0);
    int outcome = primals == NULL || *list == NULL ? -1 : 0;
    if (outcome == 0 && match_numbers(state, args[2], primals, *list)) {
        outcome = begin_run(state, args[0], primals, Py_None, Py_None, run);
    }
    else if (PyErr_Occurred()) {
        outcome = -1;
    }
    Py_XDECREF(primals);
    if (outcome < 1) {
        Py_CLEAR(*list);
    }
    return outcome;
}

static int
alone(const State *state, const FunctionRun *run, PyObject *tangents) /* whether numbers will do */
{
    (void)state;
    return !run->linked && PyList_GET_ITEM(run->scope, AROUND) == Py_None &&
           PyList_GET_SIZE(tangents) == PyList_GET_SIZE(run->scope) - VARIABLES;
}

/* jvp(function, primals, tangents): the value and the tangent, two items; the run, five items, if
   Python is to go on; or None if that is not for C and nothing was called. */
static PyObject *
jvp(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    State *state = connected(module);
    FunctionRun run;
    PyObject *tangents, *answer = NULL, *moved = NULL, *value = NULL, *tangent = NULL;
    int begun = state == NULL ? -1 : begin_forward(state, args, n, &run, &tangents);
    if (begun <= 0) {
        return begun < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *outputs = PyList_New(0);
    int plain = outputs == NULL ? -1 : outputs_in(state, run.result, outputs);
    if (plain == 0 || (plain == 1 && !alone(state, &run, tangents))) {
        Py_DECREF(tangents);
        return handed_over(&run, outputs, plain);
    }
    Py_ssize_t next = 0, also = 0;
    if (plain == 1 && (moved = push_numbers(state, &run, outputs, tangents)) != NULL &&
        to_numbers(state, outputs) == 0 &&
        (value = shaped(run.result, outputs, &next)) != NULL &&
        (tangent = shaped(run.result, moved, &also)) != NULL) {
        answer = PyTuple_Pack(2, value, tangent);
    }
    Py_XDECREF(outputs);
    Py_XDECREF(moved);
    Py_XDECREF(value);
    Py_XDECREF(tangent);
    Py_DECREF(tangents);
    forget_run(&run);
    return answer;
}

/* hvp(function, primals, vector): the gradient and the product, two items, otherwise as jvp. */
static PyObject *
hvp(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    State *state = connected(module);
    FunctionRun run;
    PyObject *vector, *answer = NULL, *moved = NULL, *slopes = NULL, *slope = NULL, *product = NULL;
    int begun = state == NULL ? -1 : begin_forward(state, args, n, &run, &vector);
    if (begun <= 0) {
        return begun < 0 ? NULL : Py_NewRef(Py_None);
    }
    if (!is_node(state, run.result) || !alone(state, &run, vector)) {
        Py_DECREF(vector);
        return handed_over(&run, Py_NewRef(Py_None), 0);
    }
    Py_ssize_t next = 0, also = 0;
    if ((slopes = gradient_of(state, &run, 1)) != NULL &&
        (moved = push_numbers(state, &run, slopes, vector)) != NULL &&
        to_numbers(state, slopes) == 0 && (slope = shaped(run.primals, slopes, &next)) != NULL &&
        (product = shaped(run.primals, moved, &also)) != NULL) {
        answer = PyTuple_Pack(2, slope, product);
    }
    Py_XDECREF(slopes);
    Py_XDECREF(moved);
    Py_XDECREF(slope);
    Py_XDECREF(product);
    Py_DECREF(vector);
    forget_run(&run);
    return answer;
}

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

/* vjp(function, primals, pull): the value and the pullback of a function of numbers whose result is
   one, two items, the pullback being pull(run), called with the cotangent; otherwise as jvp. */
static PyObject *
vjp(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = connected(module);
    FunctionRun run;
    int begun = state == NULL ? -1
                : count == 3  ? begin_run(state, args[0], args[1], Py_None, Py_None, &run)
                              : 0;
    if (begun <= 0) {
        return begun < 0 ? NULL : Py_NewRef(Py_None);
    }
    int numbers = 1;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(run.primals); i++) {
        numbers = numbers && is_leaf_of(PyTuple_GET_ITEM(run.primals, i));
    }
    if (!numbers || run.linked || !is_node(state, run.result) ||
        PyList_GET_ITEM(run.scope, AROUND) != Py_None) {
        return handed_over(&run, Py_NewRef(Py_None), 0);
    }
    PyObject *answer = NULL, *pulled = NULL, *value = NULL;
    PyObject *found = Py_BuildValue("(OOOO)", args[0], run.primals, run.scope, run.result);
    if (found != NULL &&
        (pulled = PyObject_CallFunctionObjArgs(state->above.partial, args[2], found, NULL)) != NULL &&
        (value = PyFloat_FromDouble(((Node *)run.result)->data)) != NULL) {
        answer = PyTuple_Pack(2, value, pulled);
    }
    Py_XDECREF(found);
    Py_XDECREF(pulled);
    Py_XDECREF(value);
    forget_run(&run);
    return answer;
}

/* pull_run((function, primals, scope, result), cotangent): the adjoints of the variables, a tuple. */
static PyObject *
pull_run(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    enum { AT_HAND = 16 };
    State *state = connected(module);
    PyObject *function, *primals, *scope, *result, *answer = NULL;
    if (state == NULL) {
        return NULL;
    }
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "a pullback takes one argument, the cotangent");
        return NULL;
    }
    if (!PyArg_ParseTuple(args[0], "OO!O!O:pull_run", &function, &PyTuple_Type, &primals,
                          &PyList_Type, &scope, &result)) {
        return NULL;
    }
    Py_ssize_t n = PyList_GET_SIZE(scope) - VARIABLES;
    if (PyList_GET_SIZE(state->modes) || !PyFloat_CheckExact(args[1]) || n > AT_HAND) {
        return PyObject_CallFunctionObjArgs(state->above.pulled, function, primals, scope, result,
                                            args[1], NULL);
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!is_node(state, PyList_GET_ITEM(scope, VARIABLES + i))) {
            PyErr_SetString(PyExc_TypeError, "pull_run: expected a run");
            return NULL;
        }
    }
    double found[AT_HAND], seed = PyFloat_AS_DOUBLE(args[1]);
    if (pull_numbers(state, &result, &seed, 1, PySequence_Fast_ITEMS(scope) + VARIABLES, n, found) <
        0) {
        return PyErr_NoMemory();
    }
    answer = PyTuple_New(n);
    for (Py_ssize_t i = 0; answer != NULL && i < n; i++) {
        PyObject *x = PyFloat_FromDouble(found[i]);
        if (x == NULL) {
            Py_CLEAR(answer);
            break;
        }
        PyTuple_SET_ITEM(answer, i, x);
    }
    return answer;
}

/* --- what the reference calls ------------------------------------------------------------------ */

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
        list = PyList_New(n);
        for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
            PyObject *x = PyFloat_FromDouble(number[i]);
            if (x == NULL) {
                Py_CLEAR(list);
                break;
            }
            PyList_SET_ITEM(list, i, x);
        }
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
