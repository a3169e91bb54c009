/* Value: the attributes of a node, read and written. */

/* Return *x* as a float object, as `as_float` or its like does it; *doing* may be NULL. */
static int
number_by(PyObject *asked, PyObject *x, const char *doing, double *number)
{
    if (plain_number(x, number)) {
        return 0;
    }
    PyObject *y = doing ? PyObject_CallFunction(asked, "Os", x, doing)
                        : PyObject_CallOneArg(asked, x);
    if (y == NULL) {
        return -1;
    }
    *number = PyFloat_AsDouble(y);
    Py_DECREF(y);
    return *number == -1.0 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *
label_of(const Node *node) /* borrowed, or NULL */
{
    return node->form == LEAF ? node->leaf.label : node->form == BLOCK ? node->block->label : NULL;
}

static int
set_label(Node *node, PyObject *label)
{
    PyObject *plain = PyObject_CallOneArg(arena_of(node)->state->asked.checked_label, label);
    if (plain == NULL) {
        return -1;
    }
    if (PyUnicode_GET_LENGTH(plain) == 0) {
        Py_CLEAR(plain);
    }
    if (node->form != LEAF && to_block(node) < 0) {
        Py_XDECREF(plain);
        return -1;
    }
    if (node->form == LEAF) {
        Py_XSETREF(node->leaf.label, plain);
    }
    else {
        Py_XSETREF(node->block->label, plain);
    }
    return 0;
}

static int
refuse_to_delete(const char *name)
{
    PyErr_Format(PyExc_AttributeError, "%s of a Value cannot be deleted", name);
    return -1;
}

static PyObject *
get_data(PyObject *self, void *closure)
{
    (void)closure;
    return PyFloat_FromDouble(((Node *)self)->data);
}

static int
set_data(PyObject *self, PyObject *data, void *closure)
{
    (void)closure;
    Node *node = (Node *)self;
    Asked *asked = &arena_of(node)->state->asked;
    double number;
    if (data == NULL) {
        return refuse_to_delete("data");
    }
    if (node->form != LEAF) {
        Py_XDECREF(PyObject_CallOneArg(asked->refuse_write, self));
        return -1;
    }
    if (number_by(asked->as_float, data, "Value.data", &number) < 0) {
        return -1;
    }
    node->data = number;
    arena_of(node)->state->writes++;
    return 0;
}

static PyObject *
get_grad(PyObject *self, void *closure)
{
    (void)closure;
    return PyFloat_FromDouble(grad_of((Node *)self));
}

static int
set_grad(PyObject *self, PyObject *grad, void *closure)
{
    (void)closure;
    Node *node = (Node *)self;
    double number;
    if (grad == NULL) {
        return refuse_to_delete("grad");
    }
    if (number_by(arena_of(node)->state->asked.checked_grad, grad, NULL, &number) < 0) {
        return -1;
    }
    assign_grad(node, number);
    return 0;
}

static PyObject *
get_has_grad(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((Node *)self)->reached != 0);
}

static PyObject *
get_label(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *label = label_of((Node *)self);
    return label ? Py_NewRef(label) : PyUnicode_FromStringAndSize(NULL, 0);
}

static int
set_label_attribute(PyObject *self, PyObject *label, void *closure)
{
    (void)closure;
    return label ? set_label((Node *)self, label) : refuse_to_delete("label");
}

static PyObject *
get_primitive(PyObject *self, void *closure)
{
    (void)closure;
    return Py_NewRef(row_of(arena_of((Node *)self)->state, (Node *)self));
}

static PyObject *
get_operands(PyObject *self, void *closure)
{
    (void)closure;
    return operands_of((Node *)self);
}

/* A tuple with one entry per parent. */
static PyObject *
per_parent(Node *node, PyObject *(*entry)(const Terms *, Py_ssize_t))
{
    Terms terms = terms_of(node);
    Py_ssize_t n = 0;
    for (Py_ssize_t i = 0; i < terms.n; i++) {
        n += (terms.kind[i] & IS_PARENT) != 0;
    }
    PyObject *tuple = PyTuple_New(n);
    if (tuple == NULL) {
        return NULL;
    }
    terms = terms_of(node); /* again: the tuple may have run any code */
    n = 0;
    for (Py_ssize_t i = 0; i < terms.n; i++) {
        if (terms.kind[i] & IS_PARENT) {
            PyObject *x = entry(&terms, i);
            if (x == NULL) {
                Py_DECREF(tuple);
                return NULL;
            }
            PyTuple_SET_ITEM(tuple, n++, x);
        }
    }
    return tuple;
}

static PyObject *
parent_entry(const Terms *terms, Py_ssize_t i)
{
    return Py_NewRef((PyObject *)terms->operand[i].node);
}

static PyObject *
partial_entry(const Terms *terms, Py_ssize_t i)
{
    return PyFloat_FromDouble(terms->partial[i]);
}

static PyObject *
get_parents(PyObject *self, void *closure)
{
    (void)closure;
    return per_parent((Node *)self, parent_entry);
}

static PyObject *
get_partials(PyObject *self, void *closure)
{
    (void)closure;
    return per_parent((Node *)self, partial_entry);
}

static PyObject *
get_serial(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(((Node *)self)->serial);
}

static PyObject *
get_origin(PyObject *self, void *closure)
{
    (void)closure;
    Node *node = (Node *)self;
    PyObject *origin = node->form == LEAF    ? node->leaf.origin
                       : node->form == BLOCK ? node->block->origin
                                             : NULL;
    return Py_NewRef(origin ? origin : Py_None);
}

static int
node_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    int done = PyObject_GenericSetAttr(self, name, value);
    if (done < 0 && value != NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyObject *kind, *error, *traceback;
        PyErr_Fetch(&kind, &error, &traceback);
        if (PyObject_HasAttr((PyObject *)Py_TYPE(self), name)) {
            PyErr_Restore(kind, error, traceback);
            return done;
        }
        Py_XDECREF(kind);
        Py_XDECREF(error);
        Py_XDECREF(traceback);
        PyObject *given = PyObject_CallFunctionObjArgs(
            arena_of((Node *)self)->state->asked.give_attribute, self, name, value, NULL);
        done = given == NULL ? -1 : 0;
        Py_XDECREF(given);
    }
    return done;
}

static PyGetSetDef node_getset[] = {
    {"data", get_data, set_data, "The number.  Writable on a leaf only.", NULL},
    {"grad", get_grad, set_grad,
     "The derivative of the last root of backward() with respect to this node; leaves add up.", NULL},
    {"has_grad", get_has_grad, NULL,
     "Whether a backward pass has reached this node since its grad was last reset.", NULL},
    {"label", get_label, set_label_attribute, "A name for drawings and messages.", NULL},
    {"primitive", get_primitive, NULL,
     "The row of the table that made this node; None for a leaf.", NULL},
    {"operands", get_operands, NULL,
     "What the operation was applied to: the parents, and the constants between them.", NULL},
    {"parents", get_parents, NULL,
     "The Values this one was computed from, in order, with duplicates.", NULL},
    {"partials", get_partials, NULL,
     "The derivative of this node with respect to each of its parents.", NULL},
    {"serial", get_serial, NULL, "The number of nodes made before this one.", NULL},
    {"origin", get_origin, NULL,
     "Where in the source the node was made, if detect_anomaly was on.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
