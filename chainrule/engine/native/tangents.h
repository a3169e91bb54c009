/* `jvp` and `hvp`: a function that was run, with tangents of its variables. */

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
        list = list_of_floats(number + n, m);
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
