/* The sweep that leaves gradients, and the walks that list nodes in its order. */

static void
enqueue(State *state, Slab *slab)
{
    Slab **queue = state->queue;
    Py_ssize_t i = state->queue_length++;
    while (i > 0 && queue[(i - 1) / 2]->number < slab->number) {
        queue[i] = queue[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    queue[i] = slab;
}

static Slab *
dequeue(State *state) /* the newest */
{
    Slab **queue = state->queue;
    Slab *newest = queue[0];
    Py_ssize_t n = --state->queue_length, i = 0;
    Slab *last = queue[n];
    for (;;) {
        Py_ssize_t child = 2 * i + 1;
        if (child + 1 < n && queue[child + 1]->number > queue[child]->number) {
            child++;
        }
        if (child >= n || queue[child]->number <= last->number) {
            break;
        }
        queue[i] = queue[child];
        i = child;
    }
    queue[i] = last;
    return newest;
}

/* How many slots of a slab in the queue to look into.  Holes among them were not reached by this
   sweep, as no node dies meanwhile, and are not listed: a node that dies has been taken off the list,
   and slabs of leaves, which may have unused slots, are wiped when they are taken. */
ALWAYS_INLINE int
slots_used(const State *state, const Slab *slab)
{
    return slab == state->open ? state->open_slot : SLAB_NODES;
}

NEVER_INLINE void
queue_slab_of(State *state, Node *node)
{
    Slab *slab = slab_of(node);
    if (!slab->queued) {
        slab->queued = 1;
        enqueue(state, slab);
    }
}

/* Return a number that is in no node's `reached`. */
static uint16_t
next_sweep(State *state)
{
    if (state->sweep == LAST_SWEEP) {
        for (Arena *arena = state->arenas; arena != NULL; arena = arena->next) {
            for (int i = 0; i < ARENA_SLABS * SLAB_NODES; i++) {
                int live = arena->slab[i / SLAB_NODES].live >> i % SLAB_NODES & 1;
                arena->node[i].reached = live && arena->node[i].reached ? BY_HAND : 0;
            }
        }
        state->sweep = BY_HAND;
    }
    return ++state->sweep;
}

ALWAYS_INLINE void
begin_leaf(Node *leaf, double adjoint, uint16_t sweep)
{
    leaf->leaf.earlier = leaf->reached ? leaf->adjoint + leaf->leaf.earlier : -0.0;
    leaf->adjoint = adjoint;
    leaf->reached = sweep;
}

/* *queued* is the first node of a slab known to be in the queue: mostly it is the one asked for. */
ALWAYS_INLINE void
flow(State *state, Node *parent, double share, uint16_t sweep, Node **queued)
{
    if (parent->reached == sweep) {
        parent->adjoint += share;
        return;
    }
    share = 0.0 + share; /* 0.0 + -0.0 is 0.0, as in the reference */
    if (parent->form == LEAF) {
        begin_leaf(parent, share, sweep);
        return;
    }
    parent->adjoint = share;
    parent->reached = sweep;
    if ((uintptr_t)parent - (uintptr_t)*queued >= SLAB_NODES * sizeof(Node)) {
        queue_slab_of(state, parent);
        *queued = nodes_of(slab_of(parent));
    }
}

/* Add *seed* times the derivative of *root* into all that it depends on.  Cannot fail. */
static void
sweep_from(State *state, Node *root, double seed)
{
    uint16_t sweep = next_sweep(state);
    if (root->form == LEAF) {
        begin_leaf(root, seed, sweep);
        return;
    }
    root->adjoint = seed;
    root->reached = sweep;
    queue_slab_of(state, root);
    while (state->queue_length > 0) {
        Slab *slab = dequeue(state);
        Node *nodes = nodes_of(slab), *queued = nodes;
        for (Node *node = nodes + slots_used(state, slab); node-- > nodes;) {
            if (node->reached != sweep) {
                continue;
            }
            double adjoint = node->adjoint;
            if (node->form == TWO_TERMS) {
                if (node->kind[0] & IS_PARENT) {
                    flow(state, node->operand[0].node, node->partial[0] * adjoint, sweep, &queued);
                }
                if (node->kind[1] & IS_PARENT) {
                    flow(state, node->operand[1].node, node->partial[1] * adjoint, sweep, &queued);
                }
            }
            else {
                Terms terms = terms_of(node);
                Py_ssize_t i = 0, n = terms.n;
                while ((i = next_of(IS_PARENT, terms.kind, i, n)) < n) {
                    Py_ssize_t end = i + (eight_parents(terms.kind, i, n) ? 8 : 1);
                    for (; i < end; i++) {
                        flow(state, terms.operand[i].node, terms.partial[i] * adjoint, sweep,
                             &queued);
                    }
                }
            }
        }
        slab->queued = 0; /* only now: what was reached in it meanwhile stands below */
    }
}

static int
by_serial(const void *a, const void *b)
{
    uint64_t x = (*(Node *const *)a)->serial, y = (*(Node *const *)b)->serial;
    return (x > y) - (x < y);
}

enum { SLABS_TO_A_LOOK = 1024 }; /* for Ctrl-C: every few milliseconds */

ALWAYS_INLINE void
list_node(State *state, Node *node, uint64_t floor)
{
    if (!node->listed && node->serial >= floor) {
        node->listed = 1;
        queue_slab_of(state, node);
    }
}

/* The sweep without gradients: all nodes below *outputs*, a tuple, which holds them from now on, by
   serial number, upwards; where an operand of another *kind* is met, or a node whose serial number is
   below *floor*, it goes no further.  NULL without an error if one is not a node.  At Ctrl-C it stops
   and says so by *interrupted*, with an error only if the handler raised one: other Python code must
   not run while nodes are listed. */
static Node **
walk_below(State *state, PyObject *outputs, uint8_t kind, uint64_t floor, Py_ssize_t *count,
           int *interrupted)
{
    *interrupted = 0;
    if (!PyTuple_CheckExact(outputs)) {
        PyErr_SetString(PyExc_TypeError, "expected a tuple");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(outputs); i++) {
        if (!is_node(state, PyTuple_GET_ITEM(outputs, i))) {
            return NULL;
        }
    }
    /* Newest first; leaves, whose slabs come last, behind all computed nodes. */
    Py_ssize_t room = 4 * SLAB_NODES, n = 0, n_computed = 0;
    Node **found = PyMem_Malloc(room * sizeof(Node *));
    int failed = found == NULL; /* then the nodes must still be taken off the list */
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(outputs); i++) {
        list_node(state, (Node *)PyTuple_GET_ITEM(outputs, i), floor);
    }
    for (int slabs = 1; state->queue_length > 0; slabs++) {
        Slab *slab = dequeue(state);
        Node *nodes = nodes_of(slab);
        if (slabs % SLABS_TO_A_LOOK == 0 && !failed && PyOS_InterruptOccurred()) {
            failed = *interrupted = 1;
        }
        if (!failed && n + SLAB_NODES > room) {
            room *= 2;
            Node **more = PyMem_Realloc(found, room * sizeof(Node *));
            failed = more == NULL;
            found = failed ? found : more;
        }
        for (Node *node = nodes + slots_used(state, slab); node-- > nodes;) {
            if (!node->listed) {
                continue;
            }
            node->listed = 0;
            if (failed) {
                continue;
            }
            found[n++] = node;
            n_computed += slab->number != 0;
            Terms terms = terms_of(node);
            for (Py_ssize_t i = 0; i < terms.n; i++) {
                if (terms.kind[i] & kind) {
                    list_node(state, terms.operand[i].node, floor);
                }
            }
        }
        slab->queued = 0;
    }
    Node **order = failed ? NULL : PyMem_Malloc((n + 1) * sizeof(Node *));
    if (order != NULL) {
        Node **computed = found + n_computed, **leaf = computed, **end = found + n;
        qsort(leaf, end - leaf, sizeof(Node *), by_serial);
        for (Py_ssize_t i = 0; i < n; i++) { /* merge; the computed ones backwards */
            if (computed == found || (leaf < end && (*leaf)->serial < computed[-1]->serial)) {
                order[i] = *leaf++;
            }
            else {
                order[i] = *--computed;
            }
        }
        *count = n;
    }
    else if (*interrupted) {
        PyErr_SetInterrupt();
        (void)PyErr_CheckSignals();
    }
    else {
        PyErr_NoMemory();
    }
    PyMem_Free(found);
    return order;
}

static Node **
nodes_below(State *state, PyObject *outputs, uint8_t kind, uint64_t floor, Py_ssize_t *count)
{
    Node **order;
    int interrupted;
    do {
        order = walk_below(state, outputs, kind, floor, count, &interrupted);
    } while (interrupted && !PyErr_Occurred()); /* the handler let it go on: from the beginning */
    return order;
}

static PyObject *
list_of(Node **nodes, Py_ssize_t n)
{
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
        PyList_SET_ITEM(list, i, Py_NewRef((PyObject *)nodes[i]));
    }
    return list;
}

static PyObject *
topological_order(PyObject *module, PyObject *outputs)
{
    State *state = connected(module);
    if (state == NULL) {
        return NULL;
    }
    Py_ssize_t n;
    Node **order = nodes_below(state, outputs, IS_PARENT, 0, &n);
    if (order == NULL) {
        if (PyErr_Occurred()) {
            return NULL;
        }
        Py_RETURN_NONE;
    }
    PyObject *list = list_of(order, n);
    PyMem_Free(order);
    return list;
}

/* Whether one of the parents of *node* is listed. */
ALWAYS_INLINE int
has_listed_parent(Node *node)
{
    Terms terms = terms_of(node);
    Py_ssize_t i = 0;
    while ((i = next_of(IS_PARENT, terms.kind, i, terms.n)) < terms.n) {
        if (terms.operand[i++].node->listed) {
            return 1;
        }
    }
    return 0;
}

/* The nodes on the paths from *inputs* to *outputs*, both tuples, which hold them from now on, by
   serial number, upwards.  What depends on an input is younger, so what is older than all of them is
   not looked at.  NULL without an error if an item of the tuples is not a node. */
static Node **
nodes_between(State *state, PyObject *inputs, PyObject *outputs, Py_ssize_t *count)
{
    uint64_t floor = UINT64_MAX;
    if (!PyTuple_CheckExact(inputs)) {
        PyErr_SetString(PyExc_TypeError, "expected a tuple");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++) {
        Node *input = (Node *)PyTuple_GET_ITEM(inputs, i);
        if (!is_node(state, (PyObject *)input)) {
            return NULL;
        }
        floor = input->serial < floor ? input->serial : floor;
    }
    Py_ssize_t n_below, n = 0;
    Node **order = nodes_below(state, outputs, IS_PARENT, floor, &n_below);
    if (order == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++) {
        ((Node *)PyTuple_GET_ITEM(inputs, i))->listed = 1;
    }
    for (Py_ssize_t i = 0; i < n_below; i++) {
        if (order[i]->listed || has_listed_parent(order[i])) {
            order[i]->listed = 1;
            order[n++] = order[i];
        }
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        order[i]->listed = 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++) {
        ((Node *)PyTuple_GET_ITEM(inputs, i))->listed = 0;
    }
    *count = n;
    return order;
}

static PyObject *
paths(PyObject *module, PyObject *args)
{
    Py_ssize_t n;
    PyObject *inputs, *outputs;
    State *state = connected(module);
    if (state == NULL || !PyArg_ParseTuple(args, "OO:paths", &inputs, &outputs)) {
        return NULL;
    }
    Node **order = nodes_between(state, inputs, outputs, &n);
    if (order == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    PyObject *list = list_of(order, n);
    PyMem_Free(order);
    return list;
}
