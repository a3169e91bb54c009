/* Sweeps of Values, which can be differentiated again: the reference's, with the rules of the table
   called from here. */

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

/* Return the list of the tangents of *outputs*, floats and Values, for *tangents* of *inputs* that are
   those: what the reference's pushforward gives with linked partials. */
static PyObject *
push_values(State *state, PyObject *const *outputs, Py_ssize_t m, PyObject *const *inputs,
            PyObject *const *tangents, Py_ssize_t n)
{
    Route route;
    PyObject *found = NULL, *partials = NULL;
    if (find_route(state, outputs, m, inputs, n, &route) < 0) {
        return NULL;
    }
    PyObject *held = nodes_among(state, outputs, m);
    PyObject **tangent = PyMem_Calloc(route.n + 1, sizeof(PyObject *));
    if (held == NULL || tangent == NULL) {
        PyErr_NoMemory();
        goto end;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (route.input[i] >= 0) {
            Py_XSETREF(tangent[route.input[i]], Py_NewRef(tangents[i]));
        }
    }
    for (Py_ssize_t i = 0; i < route.n; i++) {
        if (tangent[i] != NULL || route.first[i] == route.first[i + 1]) {
            continue; /* an input has its own, whatever it depends on */
        }
        if (i % 1024 == 0 && PyErr_CheckSignals() < 0) {
            goto end;
        }
        if ((partials = linked_partials_of(state, route.node[i])) == NULL) {
            goto end;
        }
        for (Py_ssize_t e = route.first[i]; e < route.first[i + 1]; e++) {
            PyObject *from = tangent[route.parent[e]];
            if (from == NULL || route.which[e] >= PyTuple_GET_SIZE(partials)) {
                continue;
            }
            PyObject *partial = PyTuple_GET_ITEM(partials, route.which[e]);
            PyObject *term = combined(state, MULTIPLY, partial, from);
            if (term != NULL && tangent[i] != NULL) {
                PyObject *sum = combined(state, ADD, tangent[i], term);
                Py_DECREF(term);
                term = sum;
            }
            if (term == NULL) {
                goto end;
            }
            Py_XSETREF(tangent[i], term);
        }
        Py_CLEAR(partials);
    }
    found = PyList_New(m);
    for (Py_ssize_t k = 0; found != NULL && k < m; k++) {
        Py_ssize_t place = route.output[k];
        PyObject *x = place >= 0 && tangent[place] != NULL ? Py_NewRef(tangent[place])
                                                           : PyFloat_FromDouble(0.0);
        if (x == NULL) {
            Py_CLEAR(found);
            break;
        }
        PyList_SET_ITEM(found, k, x);
    }
end:
    for (Py_ssize_t i = 0; tangent != NULL && i < route.n; i++) {
        Py_XDECREF(tangent[i]);
    }
    PyMem_Free(tangent);
    Py_XDECREF(partials);
    Py_XDECREF(held);
    free_route(&route);
    return found;
}
