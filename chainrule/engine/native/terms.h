/* What a node was computed from, and its gradient. */

typedef struct {
    Py_ssize_t n;
    Operand *operand;
    double *partial;
    uint8_t *kind;
} Terms;

ALWAYS_INLINE Terms
terms_of(Node *node)
{
    if (node->form == BLOCK) {
        Block *block = node->block;
        return (Terms){block->n, block->operand, partials_of(block), kinds_of(block)};
    }
    return (Terms){node->form, node->operand, node->partial, node->kind};
}

/* Whether *x* is a node of any state of this library. */
ALWAYS_INLINE int
is_any_node(PyObject *x)
{
    return Py_TYPE(x)->tp_dealloc == node_dealloc; /* Value is the only type with it */
}

/* Whether *x* is a node of this state; those of another import or interpreter are strangers. */
ALWAYS_INLINE int
is_node(const State *state, PyObject *x)
{
    return Py_TYPE(x) == state->value_type;
}

/* Write the float that *x* is, if it is one of Python's own numbers, but for an int of more than 64
   bits, which may be beyond the float range: asking would raise, so it is left to Python.  Runs no
   code whatever, so that lists that are gone through meanwhile stay as they are. */
ALWAYS_INLINE int
plain_number(PyObject *x, double *number)
{
    if (PyFloat_CheckExact(x)) {
        *number = PyFloat_AS_DOUBLE(x);
        return 1;
    }
    if (!PyLong_CheckExact(x) && !PyBool_Check(x)) {
        return 0;
    }
    int beyond;
    *number = (double)PyLong_AsLongLongAndOverflow(x, &beyond);
    return !beyond;
}

/* The same, and NumPy's float64, which is what a row of an array is made of. */
ALWAYS_INLINE int
number_in(const State *state, PyObject *x, double *number)
{
    if ((PyObject *)Py_TYPE(x) == state->asked.FLOAT64) {
        *number = PyFloat_AS_DOUBLE(x);
        return 1;
    }
    return plain_number(x, number);
}

static PyObject *
row_of(const State *state, const Node *node) /* borrowed; None for a leaf */
{
    if (node->form == LEAF) {
        return Py_None;
    }
    return node->form == BLOCK && node->block->row ? node->block->row : state->row[node->kernel];
}

static PyObject *
operands_of(Node *node)
{
    PyObject *operands = PyTuple_New(terms_of(node).n);
    Terms terms = terms_of(node); /* only now: the tuple may have run any code */
    for (Py_ssize_t i = 0; operands != NULL && i < terms.n; i++) {
        PyObject *operand = terms.kind[i] & IS_NODE
                                ? Py_NewRef((PyObject *)terms.operand[i].node)
                                : PyFloat_FromDouble(terms.operand[i].number);
        if (operand == NULL) {
            Py_CLEAR(operands);
            break;
        }
        PyTuple_SET_ITEM(operands, i, operand);
    }
    return operands;
}

static int
to_block(Node *node) /* so that a computed node can have a label or an origin */
{
    if (node->form == BLOCK) {
        return 0;
    }
    Terms terms = terms_of(node);
    Block *block = new_block(arena_of(node)->state, terms.n);
    if (block == NULL) {
        return -1;
    }
    memcpy(block->operand, terms.operand, terms.n * sizeof(Operand));
    memcpy(partials_of(block), terms.partial, terms.n * sizeof(double));
    memcpy(kinds_of(block), terms.kind, terms.n);
    node->block = block;
    node->form = BLOCK;
    return 0;
}

/* Gradients.

   The gradient of a computed node is its adjoint.  That of a leaf is the sum of its adjoints, of
   which the last is added in only when the next sweep begins with it, or when it is read: so a sweep
   need not come back to the leaves when their adjoints are complete. */

enum { BY_HAND = 1, LAST_SWEEP = UINT16_MAX }; /* in `reached`: not by a sweep; the last number */

ALWAYS_INLINE double
grad_of(const Node *node)
{
    return node->reached == 0     ? 0.0
           : node->form == LEAF ? node->adjoint + node->leaf.earlier
                                : node->adjoint;
}

ALWAYS_INLINE void
put_grad(Node *node, double grad)
{
    node->reached = BY_HAND;
    node->adjoint = grad;
    if (node->form == LEAF) {
        node->leaf.earlier = -0.0; /* to add that changes nothing, not even a sign */
    }
}

ALWAYS_INLINE void
assign_grad(Node *node, double grad) /* as `node.grad = grad` does: 0.0 is "not yet computed" */
{
    if (grad == 0.0) {
        node->reached = 0;
    }
    else {
        put_grad(node, grad);
    }
}

static PyObject *
settle(State *state, Node *node) /* steals *node*: what a mode that looks at it makes of it */
{
    PyObject *self = (PyObject *)node;
    PyObject *verdict = PyObject_CallOneArg(state->asked.observe, self);
    PyObject *origin = NULL;
    int linked;
    if (verdict == NULL || !PyArg_ParseTuple(verdict, "pO", &linked, &origin)) {
        goto failed;
    }
    if (node->form != LEAF && !linked) {
        Node *leaf = new_leaf(state, node->data);
        if (leaf == NULL) {
            goto failed;
        }
        if (node->reached) {
            put_grad(leaf, node->adjoint);
        }
        if (node->form == BLOCK) {
            leaf->leaf.label = Py_XNewRef(node->block->label);
        }
        Py_DECREF(self);
        node = leaf;
        self = (PyObject *)leaf;
    }
    if (origin != Py_None) {
        if (node->form == LEAF) {
            Py_XSETREF(node->leaf.origin, Py_NewRef(origin));
        }
        else {
            if (to_block(node) < 0) {
                goto failed;
            }
            Py_XSETREF(node->block->origin, Py_NewRef(origin));
        }
    }
    Py_DECREF(verdict);
    return self;

failed:
    Py_XDECREF(verdict);
    Py_DECREF(self);
    return NULL;
}

ALWAYS_INLINE PyObject *
finished(State *state, Node *node)
{
    return UNLIKELY(PyList_GET_SIZE(state->observing)) ? settle(state, node) : (PyObject *)node;
}
