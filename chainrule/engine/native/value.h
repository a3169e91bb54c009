/* Value: the class, and what a node does. */

static PyObject *
labelled_leaf(State *state, PyObject *data, PyObject *label)
{
    double number;
    if (!number_in(state, data, &number) &&
        number_by(state->asked.leaf_data, data, NULL, &number) < 0) {
        return NULL;
    }
    Node *node = new_leaf(state, number);
    if (node != NULL && label != NULL && set_label(node, label) < 0) {
        Py_CLEAR(node);
    }
    return (PyObject *)node;
}

/* Whether more is given than data and label. */
static int
more_given(PyObject *args, PyObject *kwargs)
{
    Py_ssize_t known = 0, named = kwargs == NULL ? 0 : PyDict_GET_SIZE(kwargs);
    if (named > 0) {
        known += PyDict_GetItemString(kwargs, "data") != NULL;
        known += PyDict_GetItemString(kwargs, "label") != NULL;
    }
    return PyTuple_GET_SIZE(args) + named > 2 || named > known;
}

static PyObject *make_node(PyObject *module, PyObject *given);

/* Value(data, children, local_grads) in any of its forms. */
static PyObject *
given_node(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    State *state = PyType_GetModuleState(type);
    PyObject *contents = PyObject_Call(state->asked.node_contents, args, kwargs), *node = NULL;
    if (contents != NULL && PyTuple_Check(contents)) {
        node = make_node(PyType_GetModule(type), contents);
    }
    Py_XDECREF(contents);
    return node;
}

/* The same of plain numbers and tuples, without a detour; NotImplemented for anything else. */
static PyObject *
plainly_given_node(State *state, PyObject *data, PyObject *children, PyObject *partials)
{
    double number;
    if (PyList_GET_SIZE(state->modes) || !PyTuple_CheckExact(children) || !PyTuple_CheckExact(partials) ||
        PyTuple_GET_SIZE(children) != PyTuple_GET_SIZE(partials) ||
        PyTuple_GET_SIZE(children) == 0 || !plain_number(data, &number)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    Block *block = new_block(state, PyTuple_GET_SIZE(children));
    if (block == NULL) {
        return NULL;
    }
    memset(kinds_of(block), IS_NODE | IS_PARENT, block->n);
    for (Py_ssize_t i = 0; i < block->n; i++) {
        PyObject *child = PyTuple_GET_ITEM(children, i);
        block->operand[i].node = (Node *)child; /* not owned yet */
        if (Py_TYPE(child) != state->value_type ||
            !plain_number(PyTuple_GET_ITEM(partials, i), &partials_of(block)[i])) {
            free_block(state, block);
            Py_RETURN_NOTIMPLEMENTED;
        }
    }
    Node *node = new_computed(state);
    if (node == NULL) {
        free_block(state, block);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < block->n; i++) {
        Py_INCREF((PyObject *)block->operand[i].node);
    }
    block->row = Py_NewRef(state->asked.GIVEN);
    node->data = number;
    node->form = BLOCK;
    node->kernel = NO_KERNEL;
    node->block = block;
    return (PyObject *)node;
}

static PyObject *
node_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"data", "label", NULL};
    PyObject *data, *label = NULL;
    if (type->tp_dealloc != node_dealloc) { /* a class caught before __init_subclass__ refused it */
        PyErr_SetString(PyExc_TypeError, "Value cannot be subclassed");
        return NULL;
    }
    if (more_given(args, kwargs)) {
        return given_node(type, args, kwargs);
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:Value", names, &data, &label)) {
        return NULL;
    }
    if (label != NULL && !PyUnicode_Check(label)) {
        return given_node(type, args, kwargs);
    }
    return labelled_leaf(PyType_GetModuleState(type), data, label);
}

static PyObject *
node_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t n = PyVectorcall_NARGS(nargsf);
    State *state = PyType_GetModuleState((PyTypeObject *)type);
    if (kwnames == NULL && (n == 1 || (n == 2 && PyUnicode_Check(args[1])))) {
        return labelled_leaf(state, args[0], n == 2 ? args[1] : NULL);
    }
    if (kwnames == NULL && n == 3) {
        PyObject *given = plainly_given_node(state, args[0], args[1], args[2]);
        if (given != Py_NotImplemented) {
            return given;
        }
        Py_DECREF(given);
    }
    PyObject *positional = PyTuple_New(n), *keywords = PyDict_New(), *node = NULL;
    if (positional == NULL || keywords == NULL) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyTuple_SET_ITEM(positional, i, Py_NewRef(args[i]));
    }
    for (Py_ssize_t i = 0; kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyDict_SetItem(keywords, PyTuple_GET_ITEM(kwnames, i), args[n + i]) < 0) {
            goto done;
        }
    }
    node = node_new((PyTypeObject *)type, positional, keywords);
done:
    Py_XDECREF(positional);
    Py_XDECREF(keywords);
    return node;
}

static PyObject *
node_backward(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    State *state = arena_of((Node *)self)->state;
    double seed = 1.0;
    Py_ssize_t n_named = names ? PyTuple_GET_SIZE(names) : 0;
    if (n + n_named > 1 ||
        (n_named && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "seed"))) {
        PyErr_SetString(PyExc_TypeError, "backward() takes one argument at most, the seed");
        return NULL;
    }
    if (n + n_named == 1 &&
        number_by(state->asked.as_float, args[0], "backward(seed)", &seed) < 0) {
        return NULL;
    }
    if (PyList_GET_SIZE(state->modes)) {
        PyObject *fine = PyObject_CallFunction(state->asked.watch_backward, "Od", self, seed);
        if (fine == NULL) {
            return NULL;
        }
        Py_DECREF(fine);
    }
    sweep_from(state, (Node *)self, seed);
    Py_RETURN_NONE;
}

/* What NumPy calls where one of its functions, or the operator of one of its numbers or arrays, meets
   a Value. */
static PyObject *
node_array_ufunc(PyObject *self, PyObject *args, PyObject *kwargs)
{
    State *state = arena_of((Node *)self)->state;
    Py_ssize_t n = PyTuple_GET_SIZE(args);
    PyObject *const *item = ((PyTupleObject *)args)->ob_item;
    if (n > 2 && kwargs == NULL && PyUnicode_Check(item[1]) &&
        PyUnicode_CompareWithASCIIString(item[1], "__call__") == 0) {
        PyObject *row = PyDict_GetItemWithError(state->asked.UFUNCS, item[0]);
        if (row == NULL && PyErr_Occurred()) {
            return NULL;
        }
        int kernel = row == NULL ? NO_KERNEL : kernel_of(state, row);
        PyObject *result = kernel == NO_KERNEL ? Py_NewRef(Py_NotImplemented)
                                               : apply(state, kernel, item + 2, n - 2);
        if (result != Py_NotImplemented) {
            return result;
        }
        Py_DECREF(result);
    }
    PyObject *bound = PyMethod_New(state->asked.array_ufunc, self);
    PyObject *result = bound == NULL ? NULL : PyObject_Call(bound, args, kwargs);
    Py_XDECREF(bound);
    return result;
}

static PyObject *
node_sizeof(PyObject *self, PyObject *unused)
{
    (void)unused;
    Node *node = (Node *)self;
    size_t size = sizeof(Node);
    if (node->form == BLOCK) {
        size += block_size(node->block->n);
    }
    return PyLong_FromSize_t(size);
}

static PyObject *
richcompare(PyObject *self, PyObject *other, int op)
{
    double b;
    int equality = op == Py_EQ || op == Py_NE;
    if (equality && self == other) {
        return PyBool_FromLong(op == Py_EQ);
    }
    State *state = arena_of((Node *)self)->state;
    if (PyList_GET_SIZE(state->modes)) { /* comparing may be refused */
        PyObject *fine = PyObject_CallOneArg(state->asked.comparable, other);
        if (fine == NULL) {
            return NULL;
        }
        Py_DECREF(fine);
    }
    if (equality) { /* identity, which the interpreter falls back to */
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (is_node(state, other)) {
        b = ((Node *)other)->data;
    }
    else if (!plain_number(other, &b)) {
        PyObject *number = PyObject_CallOneArg(state->asked.comparable, other);
        if (number == NULL) {
            return NULL;
        }
        if (number == Py_None) {
            Py_DECREF(number);
            Py_RETURN_NOTIMPLEMENTED;
        }
        b = PyFloat_AsDouble(number);
        Py_DECREF(number);
    }
    double a = ((Node *)self)->data; /* only now: what other did to it counts */
    Py_RETURN_RICHCOMPARE(a, b, op);
}

static Py_hash_t
hash_of(PyObject *self)
{
    return PyBaseObject_Type.tp_hash(self);
}

static PyObject *node_add(PyObject *a, PyObject *b) { return binary(ADD, a, b); }
static PyObject *node_subtract(PyObject *a, PyObject *b) { return binary(SUBTRACT, a, b); }
static PyObject *node_multiply(PyObject *a, PyObject *b) { return binary(MULTIPLY, a, b); }
static PyObject *node_divide(PyObject *a, PyObject *b) { return binary(DIVIDE, a, b); }
static PyObject *node_remainder(PyObject *a, PyObject *b) { return binary(REMAINDER, a, b); }
static PyObject *node_negative(PyObject *x) { return unary(NEGATIVE, x); }
static PyObject *node_positive(PyObject *x) { return Py_NewRef(x); }
static PyObject *node_absolute(PyObject *x) { return unary(ABSOLUTE, x); }

static PyObject *
node_power(PyObject *a, PyObject *b, PyObject *modulus)
{
    if (modulus != Py_None) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    return binary(POWER, a, b);
}

#define METHOD(name, KERNEL) \
    static PyObject *method_##name(PyObject *x, PyObject *_) { (void)_; return unary(KERNEL, x); }
UNARY_METHODS(METHOD)
#undef METHOD

#define METHOD(name, KERNEL)                                                                       \
    {#name, method_##name, METH_NOARGS,                                                            \
     #name "($self)\n--\n\nReturn the node " #name "(self)."},
static PyMethodDef node_methods[] = {
    {"backward", (PyCFunction)(void (*)(void))node_backward, METH_FASTCALL | METH_KEYWORDS,
     "backward($self, seed=1.0)\n--\n\n"
     "Leave in grad of every node below this one seed times d(this)/d(that node).\n\n"
     "Gradients of interior nodes start fresh at each call; leaves add up, so that after k calls\n"
     "a leaf holds k times its gradient.  Nothing is changed if the pass raises."},
    {"__array_ufunc__", (PyCFunction)(void (*)(void))node_array_ufunc, METH_VARARGS | METH_KEYWORDS,
     "What NumPy calls where one of its functions meets a Value."},
    {"__sizeof__", node_sizeof, METH_NOARGS, "The bytes that this node takes."},
    UNARY_METHODS(METHOD)
    {NULL, NULL, 0, NULL},
};
#undef METHOD

static PyMemberDef node_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Node, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot node_slots[] = {
    {Py_tp_doc, "Value(data, label='')\n--\n\nSee chainrule.engine.value.Value."},
    {Py_tp_new, node_new},
    {Py_tp_dealloc, node_dealloc},
    {Py_tp_methods, node_methods},
    {Py_tp_members, node_members},
    {Py_tp_getset, node_getset},
    {Py_tp_setattro, node_setattro},
    {Py_tp_richcompare, richcompare},
    {Py_tp_hash, hash_of},
    {Py_nb_add, node_add},
    {Py_nb_subtract, node_subtract},
    {Py_nb_multiply, node_multiply},
    {Py_nb_true_divide, node_divide},
    {Py_nb_remainder, node_remainder},
    {Py_nb_power, node_power},
    {Py_nb_negative, node_negative},
    {Py_nb_positive, node_positive},
    {Py_nb_absolute, node_absolute},
    {0, NULL},
};

static PyType_Spec node_spec = {
    .name = "chainrule.Value",
    .basicsize = sizeof(Node),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, /* for __init_subclass__ to refuse */
    .slots = node_slots,
};
