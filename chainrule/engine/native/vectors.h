/* Between many Values and one buffer of doubles. */

/* Whether all items are Values of this class, and, if asked, leaves. */
ALWAYS_INLINE int
all_nodes(const State *state, const Segment *segment, int leaves_only)
{
    for (Py_ssize_t i = 0; i < segment->n; i++) {
        if (Py_TYPE(segment->item[i]) != state->value_type ||
            (leaves_only && ((Node *)segment->item[i])->form != LEAF)) {
            return 0;
        }
    }
    return 1;
}

enum { READ_DATA, READ_GRADS, WRITE_DATA, ADD_GRADS };

/* Between Values and a float64 buffer; False, and no Value changed, where it is not for C. */
ALWAYS_INLINE PyObject *
transfer(PyObject *module, PyObject *const *args, Py_ssize_t n, int what)
{
    State *state = PyModule_GetState(module);
    int writing = what == WRITE_DATA || what == ADD_GRADS; /* to the Values */
    Segment segment;
    Py_buffer view;
    if (n != 2) {
        Py_RETURN_FALSE;
    }
    int flags = PyBUF_ND | PyBUF_FORMAT | (writing ? 0 : PyBUF_WRITABLE);
    if (PyObject_GetBuffer(args[1], &view, flags) < 0) {
        PyErr_Clear();
        Py_RETURN_FALSE;
    }
    /* Asking for the buffer may have run Python code, so the sequence is looked at only now. */
    int fits = segment_of(args[0], &segment) && (!writing || all_nodes(state, &segment, 1)) &&
               view.format != NULL && strcmp(view.format, "d") == 0 &&
               view.len == segment.n * (Py_ssize_t)sizeof(double) &&
               is_aligned(&view, sizeof(double));
    double *x = view.buf;
    state->writes += what == WRITE_DATA;
    for (Py_ssize_t i = 0; fits && i < segment.n; i++) {
        Node *node = (Node *)segment.item[i];
        if (!writing && Py_TYPE(node) != state->value_type) {
            fits = 0;
            break;
        }
        switch (what) {
        case READ_DATA:
            x[i] = node->data;
            break;
        case READ_GRADS:
            x[i] = grad_of(node);
            break;
        case WRITE_DATA:
            node->data = x[i];
            break;
        case ADD_GRADS:
            assign_grad(node, grad_of(node) + x[i]);
            break;
        }
    }
    PyBuffer_Release(&view);
    return PyBool_FromLong(fits);
}

static PyObject *
read_data(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    return transfer(module, args, n, READ_DATA);
}

static PyObject *
read_grads(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    return transfer(module, args, n, READ_GRADS);
}

static PyObject *
write_data(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    return transfer(module, args, n, WRITE_DATA);
}

static PyObject *
add_grads(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    return transfer(module, args, n, ADD_GRADS);
}

static PyObject *
reset_grads(PyObject *module, PyObject *values)
{
    Segment segment;
    if (!segment_of(values, &segment) || !all_nodes(PyModule_GetState(module), &segment, 0)) {
        Py_RETURN_FALSE;
    }
    for (Py_ssize_t i = 0; i < segment.n; i++) {
        ((Node *)segment.item[i])->reached = 0;
    }
    Py_RETURN_TRUE;
}
