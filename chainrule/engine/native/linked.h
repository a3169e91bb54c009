/* Sweeps of Values, which can be differentiated again: the reference's, with the rules of the table
   called from here. */

/* Return the partials that *node* keeps, one for each parent. */
static PyObject *
constant_partials(Node *node)
{
    Terms terms = terms_of(node);
    Py_ssize_t i = 0, count = 0;
    while ((i = next_of(IS_PARENT, terms.kind, i, terms.n)) < terms.n) {
        count++;
        i++;
    }
    PyObject *partials = PyTuple_New(count);
    count = i = 0;
    terms = terms_of(node); /* again: making a tuple may have run any code */
    while (partials != NULL && (i = next_of(IS_PARENT, terms.kind, i, terms.n)) < terms.n) {
        PyObject *x = PyFloat_FromDouble(terms.partial[i++]);
        if (x == NULL) {
            Py_CLEAR(partials);
            break;
        }
        PyTuple_SET_ITEM(partials, count++, x);
    }
    return partials;
}

/* Return the partials of *node* as linked_partials does, a tuple of floats and Values, by calling the
   rules in its row.  NULL without an error if that is left to Python. */
static PyObject *
partials_by_rule(State *state, Node *node)
{
    PyObject *args[3], *partials = NULL, *rules = NULL;
    Py_ssize_t n = terms_of(node).n, count = 0;
    int kernel = node->kernel;
    if (kernel == SUM || kernel == MEAN) {
        return constant_partials(node);
    }
    if (node->form == LEAF || kernel == NO_KERNEL || n > 2 ||
        (kernels[kernel].unary.value == NULL && kernels[kernel].binary.value == NULL)) {
        return NULL;
    }
    PyObject *operands = operands_of(node), *found[2];
    rules = operands ? PyObject_GetAttr(state->row[kernel], state->partials_name) : NULL;
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

/* A route for sweeps of Values: the partials of its nodes, tuples, as they are first asked for, so that
   several sweeps share them. */
typedef struct {
    Route route;
    PyObject *held; /* the outputs hold the nodes, but code that runs meanwhile could let go of them */
    PyObject **partials;
    PyObject **flow; /* what has flowed to each node in the sweep in progress: its adjoint or tangent */
} LinkedRoute;

static void
end_linked(LinkedRoute *linked)
{
    for (Py_ssize_t i = 0; linked->partials != NULL && i < linked->route.n; i++) {
        Py_XDECREF(linked->partials[i]);
    }
    PyMem_Free(linked->partials);
    PyMem_Free(linked->flow);
    Py_XDECREF(linked->held);
    free_route(&linked->route);
}

static int
begin_linked(State *state, PyObject *const *outputs, Py_ssize_t m, PyObject *const *inputs,
             Py_ssize_t n, LinkedRoute *linked)
{
    linked->partials = linked->flow = NULL;
    linked->held = NULL;
    if (find_route(state, outputs, m, inputs, n, &linked->route) < 0) {
        return -1;
    }
    linked->held = nodes_among(state, outputs, m);
    linked->partials = PyMem_Calloc(linked->route.n + 1, sizeof(PyObject *));
    linked->flow = PyMem_Calloc(linked->route.n + 1, sizeof(PyObject *));
    if (linked->held == NULL || linked->partials == NULL || linked->flow == NULL) {
        end_linked(linked);
        if (!PyErr_Occurred()) {
            PyErr_NoMemory();
        }
        return -1;
    }
    return 0;
}

static void
forget_flow(LinkedRoute *linked)
{
    for (Py_ssize_t i = 0; i < linked->route.n; i++) {
        Py_CLEAR(linked->flow[i]);
    }
}

/* Return the partials of node *i* of the route, borrowed. */
static PyObject *
shared_partials(State *state, LinkedRoute *linked, Py_ssize_t i)
{
    if (linked->partials[i] == NULL) {
        linked->partials[i] = linked_partials_of(state, linked->route.node[i]);
    }
    return linked->partials[i];
}

/* Add *partial* times *from* to *flow*. */
static int
add_flow(State *state, PyObject **flow, PyObject *partial, PyObject *from)
{
    PyObject *share = combined(state, MULTIPLY, partial, from);
    if (share != NULL && *flow != NULL) {
        PyObject *sum = combined(state, ADD, *flow, share);
        Py_DECREF(share);
        share = sum;
    }
    if (share == NULL) {
        return -1;
    }
    Py_XSETREF(*flow, share);
    return 0;
}

/* Return what has flowed to the nodes at *place*, a list. */
static PyObject *
flow_at(const LinkedRoute *linked, const Py_ssize_t *place, Py_ssize_t n)
{
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
        PyObject *x = place[i] >= 0 ? Py_XNewRef(linked->flow[place[i]]) : NULL;
        if (x == NULL && (x = PyFloat_FromDouble(0.0)) == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, i, x);
    }
    return list;
}

/* Let the adjoints flow down: what the reference's pullback does with linked partials. */
static int
pull_flow(State *state, LinkedRoute *linked)
{
    const Route *route = &linked->route;
    for (Py_ssize_t i = route->n; i-- > 0;) {
        if (linked->flow[i] == NULL ||
            (route->first[i] == route->first[i + 1] && !has_parents(route->node[i]))) {
            continue;
        }
        if (i % 1024 == 0 && PyErr_CheckSignals() < 0) {
            return -1;
        }
        PyObject *partials = shared_partials(state, linked, i);
        if (partials == NULL) {
            return -1;
        }
        for (Py_ssize_t e = route->first[i]; e < route->first[i + 1]; e++) {
            if (route->which[e] >= PyTuple_GET_SIZE(partials)) {
                break; /* as zip does */
            }
            if (add_flow(state, &linked->flow[route->parent[e]],
                         PyTuple_GET_ITEM(partials, route->which[e]), linked->flow[i]) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* Let the tangents flow up: what the reference's pushforward does with linked partials. */
static int
push_flow(State *state, LinkedRoute *linked)
{
    const Route *route = &linked->route;
    for (Py_ssize_t i = 0; i < route->n; i++) {
        if (linked->flow[i] != NULL) {
            continue; /* an input has its own, whatever it depends on */
        }
        if (i % 1024 == 0 && PyErr_CheckSignals() < 0) {
            return -1;
        }
        for (Py_ssize_t e = route->first[i]; e < route->first[i + 1]; e++) {
            PyObject *from = linked->flow[route->parent[e]];
            if (from == NULL) {
                continue;
            }
            PyObject *partials = shared_partials(state, linked, i);
            if (partials == NULL) {
                return -1;
            }
            if (route->which[e] < PyTuple_GET_SIZE(partials) &&
                add_flow(state, &linked->flow[i], PyTuple_GET_ITEM(partials, route->which[e]),
                         from) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* Return the list of the adjoints of *inputs*, floats and Values, for *seeds* that are those.  A seed
   that is NULL is none. */
static PyObject *
pull_values(State *state, PyObject *const *outputs, PyObject *const *seeds, Py_ssize_t m,
            PyObject *const *inputs, Py_ssize_t n)
{
    LinkedRoute linked;
    PyObject *found = NULL, **seeded = PyMem_New(PyObject *, m + 1);
    Py_ssize_t count = 0, seen = 0;
    if (seeded == NULL) {
        return PyErr_NoMemory();
    }
    for (Py_ssize_t k = 0; k < m; k++) {
        if (seeds[k] != NULL) {
            seeded[count++] = outputs[k];
        }
    }
    int begun = begin_linked(state, seeded, count, inputs, n, &linked);
    PyMem_Free(seeded);
    if (begun < 0) {
        return NULL;
    }
    for (Py_ssize_t k = 0; k < m; k++) {
        Py_ssize_t place = seeds[k] ? linked.route.output[seen++] : -1;
        if (place >= 0) {
            PyObject *before = linked.flow[place];
            linked.flow[place] = before ? combined(state, ADD, before, seeds[k])
                                        : Py_NewRef(seeds[k]);
            Py_XDECREF(before);
            if (linked.flow[place] == NULL) {
                goto end;
            }
        }
    }
    if (pull_flow(state, &linked) == 0) {
        found = flow_at(&linked, linked.route.input, n);
    }
end:
    forget_flow(&linked);
    end_linked(&linked);
    return found;
}

/* Return the list of the tangents of *outputs*, floats and Values, for *tangents* of *inputs* that are
   those. */
static PyObject *
push_values(State *state, PyObject *const *outputs, Py_ssize_t m, PyObject *const *inputs,
            PyObject *const *tangents, Py_ssize_t n)
{
    LinkedRoute linked;
    PyObject *found = NULL;
    if (begin_linked(state, outputs, m, inputs, n, &linked) < 0) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (linked.route.input[i] >= 0) {
            Py_XSETREF(linked.flow[linked.route.input[i]], Py_NewRef(tangents[i]));
        }
    }
    if (push_flow(state, &linked) == 0) {
        found = flow_at(&linked, linked.route.output, m);
    }
    forget_flow(&linked);
    end_linked(&linked);
    return found;
}

/* Return the derivatives of *outputs* by *inputs*, a list of lists of floats and Values: for each input
   those of the outputs or, back, for each output those by the inputs.  All sweeps have the same
   partials. */
static PyObject *
linked_sweeps(State *state, PyObject *const *outputs, Py_ssize_t m, PyObject *const *inputs,
              Py_ssize_t n, int forward)
{
    LinkedRoute linked;
    PyObject *one = PyFloat_FromDouble(1.0), *found = one ? PyList_New(0) : NULL;
    if (found == NULL || begin_linked(state, outputs, m, inputs, n, &linked) < 0) {
        Py_XDECREF(one);
        Py_XDECREF(found);
        return NULL;
    }
    const Route *route = &linked.route;
    const Py_ssize_t *from = forward ? route->input : route->output;
    for (Py_ssize_t k = 0; found != NULL && k < (forward ? n : m); k++) {
        int done = 0;
        if (from[k] >= 0) {
            linked.flow[from[k]] = Py_NewRef(one);
            done = forward ? push_flow(state, &linked) : pull_flow(state, &linked);
        }
        PyObject *row = done < 0  ? NULL
                        : forward ? flow_at(&linked, route->output, m)
                                  : flow_at(&linked, route->input, n);
        if (row == NULL || PyList_Append(found, row) < 0) {
            Py_CLEAR(found);
        }
        Py_XDECREF(row);
        forget_flow(&linked);
    }
    Py_DECREF(one);
    end_linked(&linked);
    return found;
}
