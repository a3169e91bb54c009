/* `grad` and `value_and_grad`, of a function that was run. */

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
        list = list_of_floats(found, n);
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
