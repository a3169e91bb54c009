/* Nodes of which Python says what they are: a user's primitive applied, a graph restored. */

/* Return *row* of *args*, Values and floats: by its kernel, or by what evaluate() says. */
static PyObject *
computed_by(State *state, PyObject *row, PyObject *args)
{
    int kernel = kernel_of(state, row);
    if (kernel != NO_KERNEL) {
        PyObject *result =
            apply(state, kernel, ((PyTupleObject *)args)->ob_item, PyTuple_GET_SIZE(args));
        if (result != Py_NotImplemented) {
            return result;
        }
        Py_DECREF(result);
    }
    double y;
    PyObject *linked, *partials, *positions = NULL;
    Node *node = NULL;
    Block *block = NULL;
    PyObject *evaluated = PyObject_CallFunctionObjArgs(state->asked.evaluate, row, args, NULL);
    if (evaluated == NULL ||
        !PyArg_ParseTuple(evaluated, "dOO!", &y, &linked, &PyTuple_Type, &partials) ||
        (positions = PySequence_Tuple(linked)) == NULL ||
        (block = new_block(state, PyTuple_GET_SIZE(args))) == NULL) {
        goto failed;
    }
    uint8_t *kind = kinds_of(block);
    for (Py_ssize_t i = 0; i < block->n; i++) {
        PyObject *arg = PyTuple_GET_ITEM(args, i);
        kind[i] = is_node(state, arg) ? IS_NODE : 0;
        if (kind[i]) {
            block->operand[i].node = (Node *)arg; /* not owned yet */
        }
        else {
            block->operand[i].number = PyFloat_AS_DOUBLE(arg);
        }
    }
    if (PyTuple_GET_SIZE(positions) != PyTuple_GET_SIZE(partials)) {
        PyErr_Format(PyExc_ValueError, "%R: %zd partials for %zd linked arguments", row,
                     PyTuple_GET_SIZE(partials), PyTuple_GET_SIZE(positions));
        goto failed;
    }
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(positions); k++) {
        Py_ssize_t i = PyLong_AsSsize_t(PyTuple_GET_ITEM(positions, k));
        double partial = PyFloat_AsDouble(PyTuple_GET_ITEM(partials, k));
        if (PyErr_Occurred()) {
            goto failed;
        }
        if (i < 0 || i >= block->n || kind[i] != IS_NODE) {
            PyErr_Format(PyExc_ValueError, "%R: position %zd is not a linked argument", row, i);
            goto failed;
        }
        kind[i] |= IS_PARENT;
        partials_of(block)[i] = partial;
    }
    if ((node = new_computed(state)) == NULL) {
        goto failed;
    }
    for (Py_ssize_t i = 0; i < block->n; i++) {
        if (kind[i] & IS_NODE) {
            Py_INCREF((PyObject *)block->operand[i].node);
        }
    }
    block->row = Py_NewRef(row);
    node->data = y;
    node->form = BLOCK;
    node->kernel = NO_KERNEL;
    node->block = block;
    Py_DECREF(positions);
    Py_DECREF(evaluated);
    return finished(state, node);

failed:
    if (block != NULL) {
        free_block(state, block);
    }
    Py_XDECREF(positions);
    Py_XDECREF(evaluated);
    return NULL;
}

/* Return the tuple *given* with everything in it that is not a Value turned into a float. */
static PyObject *
numbers_and_nodes(State *state, PyObject *row, PyObject *given)
{
    Py_ssize_t n = PyTuple_GET_SIZE(given), known = 0;
    while (known < n && (is_node(state, PyTuple_GET_ITEM(given, known)) ||
                         PyFloat_CheckExact(PyTuple_GET_ITEM(given, known)))) {
        known++;
    }
    if (known == n) {
        return Py_NewRef(given);
    }
    PyObject *name = attribute(row, "name"), *args = PyTuple_New(n);
    if (name == NULL || args == NULL) {
        goto failed;
    }
    PyObject_GC_UnTrack(args); /* so that nobody can come by it while it fills */
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *arg = PyTuple_GET_ITEM(given, i);
        arg = is_node(state, arg)
                  ? Py_NewRef(arg)
                  : PyObject_CallFunctionObjArgs(state->asked.as_operand, arg, name, NULL);
        if (arg == NULL) {
            goto failed;
        }
        PyTuple_SET_ITEM(args, i, arg);
    }
    PyObject_GC_Track(args);
    Py_DECREF(name);
    return args;

failed:
    Py_XDECREF(name);
    Py_XDECREF(args);
    return NULL;
}

/* `Value.__chainrule__(row, args)`: what a primitive calls that met a Value among its arguments. */
static PyObject *
chainrule_hook(PyObject *module, PyObject *const *given, Py_ssize_t n_given)
{
    State *state = connected(module);
    if (state == NULL) {
        return NULL;
    }
    if (n_given != 2 || !PyTuple_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "__chainrule__: expected a primitive and a tuple");
        return NULL;
    }
    PyObject *row = given[0];
    if (!is_row(state, row)) {
        Py_XDECREF(PyObject_CallOneArg(state->asked.refuse_row, row));
        return NULL;
    }
    PyObject *args = numbers_and_nodes(state, row, given[1]);
    PyObject *result = args == NULL ? NULL : computed_by(state, row, args);
    Py_XDECREF(args);
    return result;
}

/* Return *kernel* if it could have made a node of these terms, else NO_KERNEL. */
static int
kernel_for(int kernel, Block *block)
{
    const uint8_t *kind = kinds_of(block);
    Py_ssize_t n = block->n;
    if (kernel == NO_KERNEL || n == 0) {
        return NO_KERNEL;
    }
    const Kernel *made_by = &kernels[kernel];
    int could = made_by->unary.value != NULL    ? n == 1 && (kind[0] & IS_NODE)
                : made_by->binary.value != NULL ? n == 2
                : kernel == DOT                 ? n % 2 == 1
                                                : 1;
    if (kernel == WHERE) {
        could = n == 3;
    }
    if (kernel == SOFTMAX || kernel == SOFTMAX_REST || kernel == CROSS_ENTROPY) {
        double entry = block->operand[0].number;
        could = !(kind[0] & IS_NODE) && made_by->variadic.takes(&entry, n, kind);
    }
    if (kernel == SOFT_CROSS_ENTROPY) {
        could = k_soft_cross_entropy_takes(NULL, n, kind);
    }
    return could ? kernel : NO_KERNEL;
}

/* make_node(primitive, operands, parents, data, partials, grad=None, label=""): exactly these. */
static PyObject *
make_node(PyObject *module, PyObject *given)
{
    State *state = connected(module);
    if (state == NULL) {
        return NULL;
    }
    PyObject *row, *operands, *parents, *partials, *grad = Py_None, *label = NULL;
    double data, number = 0.0;
    if (!PyArg_ParseTuple(given, "OO!O!dO!|OO:make_node", &row, &PyTuple_Type, &operands,
                          &PyTuple_Type, &parents, &data, &PyTuple_Type, &partials, &grad,
                          &label)) {
        return NULL;
    }
    if (grad != Py_None && number_by(state->asked.as_float, grad, "make_node", &number) < 0) {
        return NULL;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(operands), n_parents = PyTuple_GET_SIZE(parents);
    Node *node;
    if (row == Py_None) {
        if (n > 0 || n_parents > 0) {
            PyErr_SetString(PyExc_ValueError, "make_node: a leaf has no operands");
            return NULL;
        }
        if ((node = new_leaf(state, data)) == NULL) {
            return NULL;
        }
    }
    else {
        if (!is_row(state, row)) {
            PyErr_Format(PyExc_TypeError, "make_node: expected a primitive, not %R", row);
            return NULL;
        }
        Block *block = new_block(state, n);
        if (block == NULL) {
            return NULL;
        }
        uint8_t *kind = kinds_of(block);
        Py_ssize_t parent = 0;
        int valid = PyTuple_GET_SIZE(partials) == n_parents;
        for (Py_ssize_t i = 0; i < n && valid; i++) {
            PyObject *operand = PyTuple_GET_ITEM(operands, i);
            kind[i] = is_node(state, operand) ? IS_NODE : 0;
            if (kind[i]) {
                block->operand[i].node = (Node *)operand; /* not owned yet */
                if (parent < n_parents && PyTuple_GET_ITEM(parents, parent) == operand) {
                    PyObject *partial = PyTuple_GET_ITEM(partials, parent++);
                    valid = plain_number(partial, &partials_of(block)[i]);
                    kind[i] |= IS_PARENT;
                }
            }
            else if (number_by(state->asked.as_operand, operand, "make_node",
                               &block->operand[i].number) < 0) {
                free_block(state, block);
                return NULL;
            }
        }
        if (!valid || parent != n_parents) {
            free_block(state, block);
            PyErr_SetString(PyExc_ValueError,
                            "make_node: operands are Values and numbers, parents are some of them "
                            "in their order, and each has a partial");
            return NULL;
        }
        if ((node = new_computed(state)) == NULL) {
            free_block(state, block);
            return NULL;
        }
        for (Py_ssize_t i = 0; i < n; i++) {
            if (kind[i] & IS_NODE) {
                Py_INCREF((PyObject *)block->operand[i].node);
            }
        }
        node->data = data;
        node->kernel = (uint8_t)kernel_for(kernel_of(state, row), block);
        if (node->kernel != NO_KERNEL && kernels[node->kernel].variadic.value == NULL &&
            node->kernel != DOT) {
            node->form = (uint8_t)n;
            memcpy(node->kind, kind, n);
            memcpy(node->operand, block->operand, n * sizeof(Operand));
            memcpy(node->partial, partials_of(block), n * sizeof(double));
            free_block(state, block);
        }
        else {
            block->row = Py_NewRef(row);
            node->form = BLOCK;
            node->block = block;
        }
    }
    if (grad != Py_None) {
        put_grad(node, number);
    }
    if (label != NULL && PyUnicode_CheckExact(label) && PyUnicode_GET_LENGTH(label) == 0) {
        label = NULL;
    }
    if (label != NULL && set_label(node, label) < 0) {
        Py_DECREF((PyObject *)node);
        return NULL;
    }
    return finished(state, node);
}

/* write_partials(node, partials): of a node that was given them, other ones. */
static PyObject *
write_partials(PyObject *module, PyObject *args)
{
    State *state = connected(module);
    PyObject *given, *partials;
    if (state == NULL ||
        !PyArg_ParseTuple(args, "OO!:write_partials", &given, &PyTuple_Type, &partials)) {
        return NULL;
    }
    Node *node = (Node *)given;
    int valid = is_node(state, given) && node->form == BLOCK && node->kernel == NO_KERNEL &&
                node->block->n == PyTuple_GET_SIZE(partials);
    for (Py_ssize_t i = 0; valid && i < PyTuple_GET_SIZE(partials); i++) {
        valid = PyFloat_CheckExact(PyTuple_GET_ITEM(partials, i)) &&
                kinds_of(node->block)[i] == (IS_NODE | IS_PARENT);
    }
    if (!valid) {
        PyErr_SetString(PyExc_ValueError, "write_partials: expected a float for each child");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(partials); i++) {
        partials_of(node->block)[i] = PyFloat_AS_DOUBLE(PyTuple_GET_ITEM(partials, i));
    }
    Py_RETURN_NONE;
}
