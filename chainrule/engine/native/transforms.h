/* The transforms: a function run on fresh variables, and its sweeps.  What is not for C is left to the
   reference, runs.py, by None. */

/* --- one reverse sweep of Values --------------------------------------------------------------- */

/* Return the partials of *node* as linked_partials does, a tuple of floats and Values, by calling the
   rules in its row.  NULL without an error if that is left to Python. */
static PyObject *
partials_by_rule(State *state, Node *node)
{
    PyObject *args[3], *partials = NULL, *rules = NULL;
    Py_ssize_t n = terms_of(node).n, count = 0;
    int kernel = node->kernel;
    if (node->form == LEAF || kernel == NO_KERNEL || n > 2 ||
        (kernels[kernel].unary.value == NULL && kernels[kernel].binary.value == NULL)) {
        return NULL;
    }
    PyObject *operands = operands_of(node), *found[2];
    rules = operands ? attribute(state->row[kernel], "partials") : NULL;
    if (rules == NULL || !PyTuple_CheckExact(rules) || PyTuple_GET_SIZE(rules) != n) {
        goto end;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        args[i] = PyTuple_GET_ITEM(operands, i);
    }
    args[n] = (PyObject *)node;
    for (Py_ssize_t i = 0; i < n; i++) {
        Terms terms = terms_of(node); /* again: the last rule may have run any code */
        double stored = terms.partial[i], now;
        if (!(terms.kind[i] & IS_PARENT)) {
            continue;
        }
        PyObject *rule = PyTuple_GET_ITEM(rules, i);
        PyObject *partial = PyFloat_CheckExact(rule) ? Py_NewRef(rule)
                                                     : PyObject_Vectorcall(rule, args, n + 1, NULL);
        if (partial == NULL) {
            goto end;
        }
        found[count++] = partial;
        int known = is_node(state, partial) || PyFloat_CheckExact(partial);
        now = !known ? 0.0
              : is_node(state, partial) ? ((Node *)partial)->data
                                        : PyFloat_AS_DOUBLE(partial);
        if (!known || (now != stored && stored == stored)) { /* it is out of date: Python says so */
            goto end;
        }
    }
    partials = PyTuple_New(count);
    if (partials != NULL) {
        for (Py_ssize_t i = 0; i < count; i++) {
            PyTuple_SET_ITEM(partials, i, found[i]);
        }
        count = 0;
    }
end:
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_DECREF(found[i]);
    }
    Py_XDECREF(operands);
    Py_XDECREF(rules);
    return partials;
}

static int
has_parents(Node *node)
{
    Terms terms = terms_of(node);
    return next_of(IS_PARENT, terms.kind, 0, terms.n) < terms.n;
}

static PyObject *
linked_partials_of(State *state, Node *node)
{
    PyObject *partials = partials_by_rule(state, node);
    if (partials == NULL && !PyErr_Occurred()) {
        PyObject *given = PyObject_CallOneArg(state->above.linked_partials, (PyObject *)node);
        partials = given ? PySequence_Tuple(given) : NULL;
        Py_XDECREF(given);
    }
    return partials;
}

/* Floats or Values: their product, or their sum. */
static PyObject *
combined(State *state, int kernel, PyObject *a, PyObject *b)
{
    if (PyFloat_CheckExact(a) && PyFloat_CheckExact(b)) {
        double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
        return PyFloat_FromDouble(kernel == ADD ? x + y : x * y);
    }
    (void)state;
    return binary(kernel, a, b);
}

/* Return the list of the adjoints of *inputs*, floats and Values, for *seeds* that are those: what
   the reference's pullback gives with linked partials.  A seed that is NULL is none. */
static PyObject *
pull_values(State *state, PyObject *const *outputs, PyObject *const *seeds, Py_ssize_t m,
            PyObject *const *inputs, Py_ssize_t n)
{
    Route route;
    PyObject **adjoint = NULL, *found = NULL, *partials = NULL;
    PyObject **seeded = PyMem_New(PyObject *, m + 1);
    Py_ssize_t count = 0;
    if (seeded == NULL) {
        return PyErr_NoMemory();
    }
    for (Py_ssize_t k = 0; k < m; k++) {
        if (seeds[k] != NULL) {
            seeded[count++] = outputs[k];
        }
    }
    int there = find_route(state, seeded, count, inputs, n, &route);
    PyMem_Free(seeded);
    if (there < 0) {
        return NULL;
    }
    /* The outputs hold the nodes, but code that runs from here on could let go of the outputs. */
    PyObject *held = nodes_among(state, outputs, m);
    adjoint = PyMem_Calloc(route.n + 1, sizeof(PyObject *));
    if (held == NULL || adjoint == NULL) {
        PyErr_NoMemory();
        goto end;
    }
    for (Py_ssize_t k = 0, seen = 0; k < m; k++) {
        if (seeds[k] == NULL) {
            continue;
        }
        Py_ssize_t place = route.output[seen++];
        if (place >= 0) {
            PyObject *before = adjoint[place];
            adjoint[place] = before ? combined(state, ADD, before, seeds[k]) : Py_NewRef(seeds[k]);
            Py_XDECREF(before);
            if (adjoint[place] == NULL) {
                goto end;
            }
        }
    }
    for (Py_ssize_t i = route.n; i-- > 0;) {
        if (route.first[i] == route.first[i + 1] && !has_parents(route.node[i])) {
            continue;
        }
        if (i % 1024 == 0 && PyErr_CheckSignals() < 0) {
            goto end;
        }
        if ((partials = linked_partials_of(state, route.node[i])) == NULL) {
            goto end;
        }
        for (Py_ssize_t e = route.first[i]; e < route.first[i + 1]; e++) {
            PyObject **to = &adjoint[route.parent[e]], *before = *to;
            if (route.which[e] >= PyTuple_GET_SIZE(partials)) {
                break; /* as zip does */
            }
            PyObject *partial = PyTuple_GET_ITEM(partials, route.which[e]);
            PyObject *share = combined(state, MULTIPLY, partial, adjoint[i]);
            if (share != NULL && before != NULL) {
                PyObject *sum = combined(state, ADD, before, share);
                Py_DECREF(share);
                share = sum;
            }
            if (share == NULL) {
                goto end;
            }
            *to = share;
            Py_XDECREF(before);
        }
        Py_CLEAR(partials);
    }
    found = PyList_New(n);
    for (Py_ssize_t i = 0; found != NULL && i < n; i++) {
        Py_ssize_t place = route.input[i];
        PyObject *x = place >= 0 && adjoint[place] != NULL ? Py_NewRef(adjoint[place])
                                                           : PyFloat_FromDouble(0.0);
        if (x == NULL) {
            Py_CLEAR(found);
            break;
        }
        PyList_SET_ITEM(found, i, x);
    }
end:
    for (Py_ssize_t i = 0; adjoint != NULL && i < route.n; i++) {
        Py_XDECREF(adjoint[i]);
    }
    PyMem_Free(adjoint);
    Py_XDECREF(partials);
    Py_XDECREF(held);
    free_route(&route);
    return found;
}

/* --- a function run on fresh variables --------------------------------------------------------- */

/* A differentiation in progress, as runs.py knows it: a list of the one around it, or None, of what
   Python notes about it, and of the nodes to differentiate by. */
enum { AROUND = 0, NOTES = 1, VARIABLES = 2 };

typedef struct {
    State *state;
    PyObject *scope;
    int linked; /* whether a Value was given */
} Varied;

/* Return *x* with a fresh variable for each number in it; NULL without an error if it is not for C:
   lists, tuples and dicts of numbers and Values are. */
static PyObject *
varied(Varied *run, PyObject *x)
{
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
    int is_list = PyList_CheckExact(x), is_dict = PyDict_CheckExact(x);
    if ((!is_list && !is_dict && !PyTuple_CheckExact(x)) || Py_EnterRecursiveCall("")) {
        return NULL;
    }
    PyObject *result = NULL, *key, *value;
    if (is_dict) {
        result = PyDict_New();
        Py_ssize_t position = 0, before = PyDict_GET_SIZE(x);
        while (result != NULL && PyDict_GET_SIZE(x) == before &&
               PyDict_Next(x, &position, &key, &value)) {
            Py_INCREF(key);
            Py_INCREF(value);
            PyObject *part = varied(run, value);
            if (part == NULL || PyDict_SetItem(result, key, part) < 0) {
                Py_CLEAR(result);
            }
            Py_XDECREF(part);
            Py_DECREF(key);
            Py_DECREF(value);
        }
    }
    else {
        Py_ssize_t n = is_list ? PyList_GET_SIZE(x) : PyTuple_GET_SIZE(x);
        result = is_list ? PyList_New(n) : PyTuple_New(n);
        for (Py_ssize_t i = 0; result != NULL && i < n; i++) {
            if (is_list && PyList_GET_SIZE(x) != n) { /* making objects may have run any code */
                Py_CLEAR(result);
                break;
            }
            PyObject *item = Py_NewRef(is_list ? PyList_GET_ITEM(x, i) : PyTuple_GET_ITEM(x, i));
            PyObject *part = varied(run, item);
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
    }
    Py_LeaveRecursiveCall();
    return result;
}

/* Whether *x*, which `varied` took, is a number and not a structure. */
ALWAYS_INLINE int
is_leaf_of(PyObject *x)
{
    return !PyList_CheckExact(x) && !PyTuple_CheckExact(x) && !PyDict_CheckExact(x);
}

/* Return *structure*, which `varied` took, with the next of *numbers*, a list, in each place. */
static PyObject *
shaped(PyObject *structure, PyObject *numbers, Py_ssize_t *next)
{
    int is_list = PyList_CheckExact(structure), is_dict = PyDict_CheckExact(structure);
    if (is_leaf_of(structure)) {
        if (*next >= PyList_GET_SIZE(numbers)) {
            PyErr_SetString(PyExc_RuntimeError,
                            "an argument was changed while its derivative was taken");
            return NULL;
        }
        return Py_NewRef(PyList_GET_ITEM(numbers, (*next)++));
    }
    if (Py_EnterRecursiveCall(" while a derivative is put together")) {
        return NULL;
    }
    PyObject *result = NULL, *key, *value;
    if (is_dict) {
        result = PyDict_New();
        Py_ssize_t position = 0;
        while (result != NULL && PyDict_Next(structure, &position, &key, &value)) {
            Py_INCREF(key);
            Py_INCREF(value);
            PyObject *part = shaped(value, numbers, next);
            if (part == NULL || PyDict_SetItem(result, key, part) < 0) {
                Py_CLEAR(result);
            }
            Py_XDECREF(part);
            Py_DECREF(key);
            Py_DECREF(value);
        }
    }
    else {
        Py_ssize_t n = is_list ? PyList_GET_SIZE(structure) : PyTuple_GET_SIZE(structure);
        result = is_list ? PyList_New(n) : PyTuple_New(n);
        for (Py_ssize_t i = 0; result != NULL && i < n; i++) {
            PyObject *item = is_list && PyList_GET_SIZE(structure) <= i ? Py_None
                             : is_list ? PyList_GET_ITEM(structure, i)
                                       : PyTuple_GET_ITEM(structure, i);
            Py_INCREF(item);
            PyObject *part = shaped(item, numbers, next);
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
    }
    Py_LeaveRecursiveCall();
    return result;
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

/* gradient(function, args, argnums, kwargs, with_value): what grad, or value_and_grad, gives; None if
   that is not for C. */
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
    if (begun <= 0) {
        return begun < 0 ? NULL : Py_NewRef(Py_None);
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
