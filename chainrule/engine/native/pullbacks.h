/* `vjp`: a function that was run, and its pullback. */

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
