/* A function run on fresh variables: what is not for C is left to the reference, runs.py, by None. */

/* A differentiation in progress, as runs.py knows it: a list of the one around it, or None, of what
   Python notes about it, and of the nodes to differentiate by. */
enum { AROUND = 0, NOTES = 1, VARIABLES = 2 };

typedef struct {
    State *state;
    PyObject *scope;
    int linked; /* whether a Value was given */
} Varied;

/* Whether *x*, which `varied` took, is a number and not a structure. */
ALWAYS_INLINE int
is_leaf_of(PyObject *x)
{
    return !PyList_CheckExact(x) && !PyTuple_CheckExact(x) && !PyDict_CheckExact(x);
}

/* Return a list, tuple or dict like *x* with what *made* returns for each part, in its place; NULL if
   it returns that, or, without an error, if *x* changes: making objects may run any code. */
static PyObject *
structure_like(PyObject *x, PyObject *(*made)(void *how, PyObject *part), void *how)
{
    int is_list = PyList_CheckExact(x);
    if (PyDict_CheckExact(x)) {
        PyObject *result = PyDict_New(), *key, *value;
        Py_ssize_t position = 0, n = PyDict_GET_SIZE(x);
        while (result != NULL && PyDict_GET_SIZE(x) == n &&
               PyDict_Next(x, &position, &key, &value)) {
            Py_INCREF(key);
            Py_INCREF(value);
            PyObject *part = made(how, value);
            if (part == NULL || PyDict_SetItem(result, key, part) < 0) {
                Py_CLEAR(result);
            }
            Py_XDECREF(part);
            Py_DECREF(key);
            Py_DECREF(value);
        }
        if (PyDict_GET_SIZE(x) != n) {
            Py_CLEAR(result);
        }
        return result;
    }
    Py_ssize_t n = is_list ? PyList_GET_SIZE(x) : PyTuple_GET_SIZE(x);
    PyObject *result = is_list ? PyList_New(n) : PyTuple_New(n);
    for (Py_ssize_t i = 0; result != NULL && i < n; i++) {
        if (is_list && PyList_GET_SIZE(x) != n) {
            Py_CLEAR(result);
            break;
        }
        PyObject *item = Py_NewRef(is_list ? PyList_GET_ITEM(x, i) : PyTuple_GET_ITEM(x, i));
        PyObject *part = made(how, item);
        Py_DECREF(item);
        if (part == NULL) {
            Py_CLEAR(result);
        }
        else if (is_list) {
            PyList_SET_ITEM(result, i, part);
        }
        else {
            PyTuple_SET_ITEM(result, i, part);
        }
    }
    return result;
}

/* Return *x* with a fresh variable for each number in it; NULL without an error if it is not for C:
   lists, tuples and dicts of numbers and Values are. *given* is a Varied. */
static PyObject *
varied(void *given, PyObject *x)
{
    Varied *run = given;
    double number;
    if (is_node(run->state, x) || number_in(run->state, x, &number)) {
        PyObject *variable = is_node(run->state, x) ? unary(IDENTITY, x)
                                                    : (PyObject *)new_leaf(run->state, number);
        run->linked |= is_node(run->state, x);
        if (variable != NULL && PyList_Append(run->scope, variable) < 0) {
            Py_CLEAR(variable);
        }
        return variable;
    }
    if (is_leaf_of(x) || Py_EnterRecursiveCall("")) {
        return NULL;
    }
    PyObject *result = structure_like(x, varied, run);
    Py_LeaveRecursiveCall();
    return result;
}

/* A list of numbers, and which is the next. */
typedef struct {
    PyObject *numbers;
    Py_ssize_t *next;
} Numbered;

static PyObject *
numbered(void *given, PyObject *x)
{
    const Numbered *run = given;
    PyObject *result = NULL;
    if (!is_leaf_of(x)) {
        if (Py_EnterRecursiveCall(" while a derivative is put together")) {
            return NULL;
        }
        result = structure_like(x, numbered, given);
        Py_LeaveRecursiveCall();
    }
    else if (*run->next < PyList_GET_SIZE(run->numbers)) {
        result = Py_NewRef(PyList_GET_ITEM(run->numbers, (*run->next)++));
    }
    if (result == NULL && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "an argument was changed while its derivative was taken");
    }
    return result;
}

/* Return *structure*, which `varied` took, with the next of *numbers*, a list, in each place. */
static PyObject *
shaped(PyObject *structure, PyObject *numbers, Py_ssize_t *next)
{
    if (is_leaf_of(structure) && *next < PyList_GET_SIZE(numbers)) { /* mostly */
        return Py_NewRef(PyList_GET_ITEM(numbers, (*next)++));
    }
    Numbered run = {numbers, next};
    return numbered(&run, structure);
}

/* A function that was run on fresh variables. */
typedef struct {
    PyObject *primals;   /* a tuple: the arguments that are varied, as they were given */
    PyObject *scope;
    PyObject *result;
    int linked; /* whether a Value was given */
} FunctionRun;

ALWAYS_INLINE PyObject *const *
variables_of(const FunctionRun *run, Py_ssize_t *n)
{
    *n = PyList_GET_SIZE(run->scope) - VARIABLES;
    return PySequence_Fast_ITEMS(run->scope) + VARIABLES;
}

static void
forget_run(FunctionRun *run)
{
    Py_XDECREF(run->primals);
    Py_XDECREF(run->scope);
    Py_XDECREF(run->result);
}

/* The *k*-th of *argnums*, None or a sequence of ints, as a position among *n*; -1 if it is none. */
static Py_ssize_t
position_in(PyObject *argnums, Py_ssize_t k, Py_ssize_t n)
{
    if (argnums == Py_None) {
        return k;
    }
    PyObject *number = PyLong_CheckExact(argnums)    ? argnums
                       : PyList_CheckExact(argnums) ? PyList_GET_ITEM(argnums, k)
                                                     : PyTuple_GET_ITEM(argnums, k);
    int beyond = 1;
    long i = PyLong_CheckExact(number) ? PyLong_AsLongAndOverflow(number, &beyond) : 0;
    return beyond || i < -n || i >= n ? -1 : i < 0 ? i + n : i;
}

/* Call *function* with variables in place of the numbers in some arguments: 1, 0 if that is not for C
   and nothing was called, or -1 and an error. */
static int
begin_run(State *state, PyObject *function, PyObject *args, PyObject *argnums, PyObject *kwargs,
          FunctionRun *run)
{
    memset(run, 0, sizeof(*run));
    if (PyList_GET_SIZE(state->modes) || !PyCallable_Check(function) || !PyTuple_CheckExact(args) || state->above.enclosing == NULL ||
        !(argnums == Py_None || PyLong_CheckExact(argnums) || PyList_CheckExact(argnums) ||
          PyTuple_CheckExact(argnums))) {
        return 0;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(args), done = 0;
    Py_ssize_t count = argnums == Py_None            ? n
                       : PyLong_CheckExact(argnums)  ? 1
                       : PyList_CheckExact(argnums) ? PyList_GET_SIZE(argnums)
                                                     : PyTuple_GET_SIZE(argnums);
    PyObject *at_hand[8], **given = n <= 8 ? at_hand : PyMem_New(PyObject *, n);
    PyObject *token = NULL, *around = NULL;
    int outcome = -1, declined = 0;
    if (given == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (; done < n; done++) {
        given[done] = Py_NewRef(PyTuple_GET_ITEM(args, done));
    }
    int only = n == 1 && PyLong_CheckExact(argnums); /* then the primals are the arguments */
    run->primals = only ? Py_NewRef(args) : PyTuple_New(count);
    run->scope = PyList_New(VARIABLES);
    if (run->primals == NULL || run->scope == NULL ||
        PyContextVar_Get(state->above.enclosing, NULL, &around) < 0) {
        goto end;
    }
    PyList_SET_ITEM(run->scope, AROUND, around);
    PyList_SET_ITEM(run->scope, NOTES, Py_NewRef(Py_None));
    Varied fresh = {state, run->scope, 0};
    for (Py_ssize_t k = 0; k < count; k++) {
        Py_ssize_t i = position_in(argnums, k, n), before = PyList_GET_SIZE(run->scope);
        PyObject *part = NULL;
        if (i < 0 || given[i] != PyTuple_GET_ITEM(args, i)) { /* or it is named twice */
            declined = 1;
        }
        else {
            part = varied(&fresh, given[i]);
            declined = part == NULL || PyList_GET_SIZE(run->scope) == before;
        }
        if (declined) {
            Py_XDECREF(part);
            outcome = PyErr_Occurred() ? -1 : 0;
            goto end;
        }
        if (only) {
            Py_DECREF(given[i]);
        }
        else {
            PyTuple_SET_ITEM(run->primals, k, given[i]);
        }
        given[i] = part;
    }
    if (PyList_GET_SIZE(run->scope) == VARIABLES) {
        outcome = 0;
        goto end;
    }
    run->linked = fresh.linked;
    if ((token = PyContextVar_Set(state->above.enclosing, run->scope)) == NULL) {
        goto end;
    }
    run->result = PyObject_VectorcallDict(function, given, n, kwargs == Py_None ? NULL : kwargs);
    PyObject *kind, *error, *traceback;
    PyErr_Fetch(&kind, &error, &traceback);
    int reset = PyContextVar_Reset(state->above.enclosing, token);
    if (run->result == NULL) {
        PyErr_Clear();
        PyErr_Restore(kind, error, traceback);
    }
    else if (reset == 0) {
        outcome = 1;
    }
end:
    while (done-- > 0) {
        Py_DECREF(given[done]);
    }
    if (given != at_hand) {
        PyMem_Free(given);
    }
    Py_XDECREF(token);
    if (outcome < 1) {
        forget_run(run);
    }
    return outcome;
}

/* Append the Values and floats in *x* to *found*, a list: 1, 0 if it holds anything else, or -1. */
static int
outputs_in(const State *state, PyObject *x, PyObject *found)
{
    if (is_node(state, x) || PyFloat_CheckExact(x)) {
        return PyList_Append(found, x) < 0 ? -1 : 1;
    }
    int is_list = PyList_CheckExact(x);
    if (!is_list && !PyTuple_CheckExact(x)) {
        return 0;
    }
    if (Py_EnterRecursiveCall(" while a result is read")) {
        return -1;
    }
    int outcome = 1;
    for (Py_ssize_t i = 0; outcome == 1 && i < PySequence_Fast_GET_SIZE(x); i++) {
        outcome = outputs_in(state, PySequence_Fast_GET_ITEM(x, i), found);
    }
    Py_LeaveRecursiveCall();
    return outcome;
}

/* A run for Python to go on with: the primals, the scope, whether a Value was given, the result, and its
   Values and floats, a list, or None if there is anything else in it.  Takes all over. */
static PyObject *
handed_over(FunctionRun *run, PyObject *outputs, int plain)
{
    if (!plain) {
        Py_SETREF(outputs, Py_NewRef(Py_None));
    }
    return Py_BuildValue("(NNNNN)", run->primals, run->scope, PyBool_FromLong(run->linked),
                         run->result, outputs);
}

/* run(function, args, argnums, kwargs): what `handed_over` says, or None if that is not for C and
   nothing was called. */
static PyObject *
run_function(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    State *state = connected(module);
    FunctionRun run;
    if (state == NULL) {
        return NULL;
    }
    if (n != 4) {
        PyErr_SetString(PyExc_TypeError, "run: expected four arguments");
        return NULL;
    }
    int begun = begin_run(state, args[0], args[1], args[2], args[3], &run);
    if (begun <= 0) {
        return begun < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *outputs = PyList_New(0);
    int plain = outputs == NULL ? -1 : outputs_in(state, run.result, outputs);
    if (plain < 0) {
        Py_XDECREF(outputs);
        forget_run(&run);
        return NULL;
    }
    return handed_over(&run, outputs, plain);
}

/* As an item of a result: itself or, where the caller may differentiate again, as a Value. */
static PyObject *
answered(State *state, PyObject *x, int linked)
{
    if (is_node(state, x)) {
        return linked ? Py_NewRef(x) : PyFloat_FromDouble(((Node *)x)->data);
    }
    return linked ? (PyObject *)new_leaf(state, PyFloat_AS_DOUBLE(x)) : Py_NewRef(x);
}

static PyObject *
list_of_floats(const double *number, Py_ssize_t n)
{
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
        PyObject *x = PyFloat_FromDouble(number[i]);
        if (x == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, i, x);
    }
    return list;
}
