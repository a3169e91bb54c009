/* Kernels applied to Values and plain numbers. */

ALWAYS_INLINE PyObject *
unary(int kernel, PyObject *operand)
{
    Node *x = (Node *)operand;
    State *state = arena_of(x)->state;
    Node *node = new_computed(state);
    if (node == NULL) {
        return NULL;
    }
    double y = kernels[kernel].unary.value(x->data);
    node->data = y;
    node->form = ONE_TERM;
    node->kernel = (uint8_t)kernel;
    node->kind[0] = IS_NODE;
    node->operand[0].node = (Node *)Py_NewRef(operand);
    if (kernels[kernel].unary.partial != NULL) {
        node->kind[0] = IS_NODE | IS_PARENT;
        node->partial[0] = kernels[kernel].unary.partial(x->data, y);
    }
    return finished(state, node);
}

/* One of *left* and *right* may be NULL, and is then the number *a* or *b*. */
ALWAYS_INLINE PyObject *
binary_of(int kernel, Node *left, double a, Node *right, double b)
{
    State *state = arena_of(left ? left : right)->state;
    Node *node = new_computed(state);
    if (node == NULL) {
        return NULL;
    }
    double y = kernels[kernel].binary.value(a, b);
    node->data = y;
    node->form = TWO_TERMS;
    node->kernel = (uint8_t)kernel;
    if (left == NULL) {
        node->kind[0] = 0;
        node->operand[0].number = a;
    }
    else {
        node->kind[0] = IS_NODE;
        node->operand[0].node = (Node *)Py_NewRef((PyObject *)left);
        if (kernels[kernel].binary.partial[0] != NULL) {
            node->kind[0] = IS_NODE | IS_PARENT;
            node->partial[0] = kernels[kernel].binary.partial[0](a, b, y);
        }
    }
    if (right == NULL) {
        node->kind[1] = 0;
        node->operand[1].number = b;
    }
    else {
        node->kind[1] = IS_NODE;
        node->operand[1].node = (Node *)Py_NewRef((PyObject *)right);
        if (kernels[kernel].binary.partial[1] != NULL) {
            node->kind[1] = IS_NODE | IS_PARENT;
            node->partial[1] = kernels[kernel].binary.partial[1](a, b, y);
        }
    }
    return finished(state, node);
}

NEVER_INLINE PyObject *
binary_with_other(int kernel, PyObject *left, PyObject *right) /* one is neither a Value nor a float */
{
    int reflected = !is_any_node(left);
    PyObject *other = reflected ? left : right;
    Node *self = (Node *)(reflected ? right : left);
    State *state = arena_of(self)->state;
    double number;
    if (!number_in(state, other, &number)) {
        PyObject *known = PyObject_CallFunction(state->asked.coerced, "OOs", state->row[kernel],
                                                other, reflected ? "{1} {0} Value" : "Value {} {}");
        if (known == NULL) {
            return NULL;
        }
        if (known == Py_None) {
            Py_DECREF(known);
            Py_RETURN_NOTIMPLEMENTED;
        }
        if (!PyFloat_CheckExact(known)) { /* an array */
            PyObject *result = PyObject_CallFunctionObjArgs(
                state->row[kernel], reflected ? known : left, reflected ? right : known, NULL);
            Py_DECREF(known);
            return result;
        }
        number = PyFloat_AS_DOUBLE(known);
        Py_DECREF(known);
    }
    return reflected ? binary_of(kernel, NULL, number, self, self->data)
                     : binary_of(kernel, self, self->data, NULL, number);
}

ALWAYS_INLINE PyObject *
binary(int kernel, PyObject *left, PyObject *right) /* at least one is a Value */
{
    Node *l = (Node *)left, *r = (Node *)right;
    if (Py_TYPE(left) == Py_TYPE(right)) {
        return binary_of(kernel, l, l->data, r, r->data);
    }
    if (PyFloat_CheckExact(right)) {
        return binary_of(kernel, l, l->data, NULL, PyFloat_AS_DOUBLE(right));
    }
    if (PyFloat_CheckExact(left)) {
        return binary_of(kernel, NULL, PyFloat_AS_DOUBLE(left), r, r->data);
    }
    return binary_with_other(kernel, left, right);
}

typedef struct {
    PyObject *const *item;
    Py_ssize_t n;
} Segment;

/* Take an item as an operand of *kind*, which was 0 so far, and read its number.  Return 0 if it is
   neither a Value nor a plain number. */
ALWAYS_INLINE int
take_item(const State *state, PyObject *item, int own, Operand *operand, uint8_t *kind, double *x)
{
    if (Py_TYPE(item) == state->value_type) {
        operand->node = (Node *)(own ? Py_NewRef(item) : item);
        *kind = IS_NODE | IS_PARENT;
        *x = operand->node->data;
        return 1;
    }
    if (!number_in(state, item, x)) {
        return 0;
    }
    operand->number = *x;
    return 1;
}

/* Take all items, with references to the Values; 0 if one is neither a Value nor a plain number. */
ALWAYS_INLINE int
take_items(const State *state, const Segment *segment, Block *block, double *restrict x)
{
    PyTypeObject *value_type = state->value_type;
    PyObject *const *item = segment->item;
    Operand *restrict operand = block->operand;
    uint8_t *kind = kinds_of(block);
    Py_ssize_t i = 0, n = segment->n;
    while (i < n) {
        Py_ssize_t start = i;
        for (; i < n && Py_TYPE(item[i]) == value_type; i++) { /* Values come in runs */
            Node *node = (Node *)Py_NewRef(item[i]);
            x[i] = node->data;
            operand[i].node = node;
        }
        memset(kind + start, IS_NODE | IS_PARENT, i - start);
        if (i < n) {
            if (!take_item(state, item[i], 1, &operand[i], &kind[i], &x[i])) {
                return 0;
            }
            i++;
        }
    }
    return 1;
}

/* Return a node of *kernel* with the number *y* and the terms of *block*, which it takes over; a
   float if none of them is a node. */
static PyObject *
with_block(State *state, int kernel, double y, Block *block)
{
    Node *node = NULL;
    PyObject *number = NULL;
    if (next_of(IS_NODE, kinds_of(block), 0, block->n) == block->n) {
        number = PyFloat_FromDouble(y);
    }
    else {
        node = new_computed(state);
    }
    if (node == NULL) {
        untake(state, block);
        return number;
    }
    node->data = y;
    node->form = BLOCK;
    node->kernel = (uint8_t)kernel;
    node->block = block;
    return finished(state, node);
}

/* Apply a variadic kernel to some items: a node, or a float where none is a Value.
   NotImplemented if an item is neither a Value nor a plain number, or the kernel does not take them.
   Runs no Python code before that is decided, so the items stay as they are. */
static PyObject *
variadic(State *state, int kernel, const Segment *segment)
{
    enum { AT_HAND = 288 };
    double at_hand[AT_HAND], *x = at_hand;
    Py_ssize_t n = segment->n;
    Block *block = new_block(state, n);
    if (block == NULL) {
        return NULL;
    }
    if (n > AT_HAND && (x = PyMem_Malloc(n * sizeof(double))) == NULL) {
        untake(state, block);
        return PyErr_NoMemory();
    }
    uint8_t *kind = kinds_of(block);
    int (*takes)(const double *, Py_ssize_t, const uint8_t *) = kernels[kernel].variadic.takes;
    PyObject *result;
    if (!take_items(state, segment, block, x) || (takes != NULL && !takes(x, n, kind))) {
        untake(state, block);
        result = Py_NewRef(Py_NotImplemented);
    }
    else {
        double y = kernels[kernel].variadic.value(x, n, partials_of(block));
        kernels[kernel].variadic.partials(x, n, y, kind, partials_of(block));
        if (kernel == WHERE) {
            for (Py_ssize_t i = 0; i < n; i++) {
                kind[i] &= i == (x[0] != 0.0 ? 1 : 2) ? IS_NODE | IS_PARENT : IS_NODE;
            }
        }
        result = with_block(state, kernel, y, block);
    }
    if (x != at_hand) {
        PyMem_Free(x);
    }
    return result;
}

/* The same for bias + sum_i weights[i] * inputs[i].  The partial of a weight is its input and the
   other way round.  An owner is NULL, or the tuple that the weights, or the inputs, are in: it is
   then counted once, not all its items. */
ALWAYS_INLINE PyObject *
dot(State *state, const Segment *weights, PyObject *owner_of_weights, const Segment *inputs,
    PyObject *owner_of_inputs, PyObject *bias)
{
    Py_ssize_t half = weights->n, last = 2 * half;
    Block *block = new_block(state, last + 1);
    if (block == NULL) {
        return NULL;
    }
    PyTypeObject *value_type = state->value_type, *float_type = &PyFloat_Type;
    PyObject *const *w_item = weights->item, *const *x_item = inputs->item;
    Operand *restrict w_operand = block->operand, *restrict x_operand = w_operand + half;
    double *restrict w_partial = partials_of(block), *restrict x_partial = w_partial + half;
    uint8_t *w_kind = kinds_of(block), *x_kind = w_kind + half;
    double total = 0.0;
    block->owner[0] = Py_XNewRef(owner_of_weights);
    block->owner[1] = Py_XNewRef(owner_of_inputs);
    int taken = take_item(state, bias, 1, &block->operand[last], &w_kind[last], &total);
    for (Py_ssize_t i = 0; taken && i < half;) {
        Py_ssize_t start = i;
        for (; i < half; i++) { /* Values and floats */
            PyObject *w = w_item[i], *x = x_item[i];
            if (Py_TYPE(w) != value_type || Py_TYPE(x) != float_type) {
                break;
            }
            double a = ((Node *)w)->data, b = PyFloat_AS_DOUBLE(x);
            if (owner_of_weights == NULL) {
                Py_INCREF(w);
            }
            w_operand[i].node = (Node *)w;
            x_operand[i].number = b;
            w_partial[i] = b;
            total = total + a * b;
        }
        memset(w_kind + start, IS_NODE | IS_PARENT, i - start);
        start = i;
        for (; i < half; i++) { /* Values and Values */
            PyObject *w = w_item[i], *x = x_item[i];
            if (Py_TYPE(w) != value_type || Py_TYPE(x) != value_type) {
                break;
            }
            double a = ((Node *)w)->data, b = ((Node *)x)->data;
            if (owner_of_weights == NULL) {
                Py_INCREF(w);
            }
            if (owner_of_inputs == NULL) {
                Py_INCREF(x);
            }
            w_operand[i].node = (Node *)w;
            x_operand[i].node = (Node *)x;
            w_partial[i] = b;
            x_partial[i] = a;
            total = total + a * b;
        }
        memset(w_kind + start, IS_NODE | IS_PARENT, i - start);
        memset(x_kind + start, IS_NODE | IS_PARENT, i - start);
        if (i < half) { /* anything */
            double a = 0.0, b = 0.0;
            taken = take_item(state, w_item[i], owner_of_weights == NULL, &w_operand[i],
                              &w_kind[i], &a) &&
                    take_item(state, x_item[i], owner_of_inputs == NULL, &x_operand[i],
                              &x_kind[i], &b);
            w_partial[i] = b;
            x_partial[i] = a;
            total = total + a * b;
            i++;
        }
    }
    if (!taken) {
        untake(state, block);
        Py_RETURN_NOTIMPLEMENTED;
    }
    partials_of(block)[last] = 1.0;
    return with_block(state, DOT, total, block);
}

/* Apply a kernel to arguments, numbers alone included; NotImplemented where it is not for C. */
static PyObject *
apply(State *state, int kernel, PyObject *const *args, Py_ssize_t n)
{
    double a, b;
    if (kernel == DOT && n % 2 == 1) { /* weights, inputs, bias */
        Segment weights = {args, n / 2}, inputs = {args + n / 2, n / 2};
        return dot(state, &weights, NULL, &inputs, NULL, args[n - 1]);
    }
    if (kernels[kernel].variadic.value != NULL && n > 0) {
        Segment all = {args, n};
        return variadic(state, kernel, &all);
    }
    if (kernels[kernel].unary.value != NULL && n == 1) {
        if (is_node(state, args[0])) {
            return unary(kernel, args[0]);
        }
        if (number_in(state, args[0], &a)) {
            return PyFloat_FromDouble(kernels[kernel].unary.value(a));
        }
    }
    else if (kernels[kernel].binary.value != NULL && n == 2) {
        Node *left = is_node(state, args[0]) ? (Node *)args[0] : NULL;
        Node *right = is_node(state, args[1]) ? (Node *)args[1] : NULL;
        if (left != NULL) {
            a = left->data;
        }
        else if (!number_in(state, args[0], &a)) {
            Py_RETURN_NOTIMPLEMENTED;
        }
        if (right != NULL) {
            b = right->data;
        }
        else if (!number_in(state, args[1], &b)) {
            Py_RETURN_NOTIMPLEMENTED;
        }
        if (left == NULL && right == NULL) {
            return PyFloat_FromDouble(kernels[kernel].binary.value(a, b));
        }
        return binary_of(kernel, left, a, right, b);
    }
    Py_RETURN_NOTIMPLEMENTED;
}
