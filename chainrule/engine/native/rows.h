/* Rows of the table: the base of their class, and what happens when one is called.

   The table knows nothing of kernels.  connect() gives each row that has one here its number; a call
   is answered by it, or by the method `applied` of the row's class where the kernel does not take
   the arguments. */

typedef struct {
    PyObject_HEAD
    State *state; /* kept alive by the module, which the type Row keeps alive */
    int kernel;
} Row;

ALWAYS_INLINE int
is_row(const State *state, PyObject *x)
{
    return PyObject_TypeCheck(x, state->row_type);
}

ALWAYS_INLINE int
kernel_of(const State *state, PyObject *x)
{
    return is_row(state, x) ? ((Row *)x)->kernel : NO_KERNEL;
}

/* As PyObject_GetAttrString, but that one's fresh string for the name would stay in the lookup
   cache of types, one more at each call. */
static PyObject *
attribute(PyObject *object, const char *name)
{
    PyObject *interned = PyUnicode_InternFromString(name);
    PyObject *found = interned ? PyObject_GetAttr(object, interned) : NULL;
    Py_XDECREF(interned);
    return found;
}

static PyObject *
row_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs;
    PyTypeObject *base = type; /* of its heirs none has a module */
    while (base->tp_base != NULL && base->tp_base->tp_new == row_new) {
        base = base->tp_base;
    }
    State *state = PyType_GetModuleState(base);
    Row *row = state == NULL ? NULL : (Row *)type->tp_alloc(type, 0);
    if (row != NULL) {
        row->state = state;
        row->kernel = NO_KERNEL;
    }
    return (PyObject *)row;
}

static PyObject *
row_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    Row *row = (Row *)self;
    if (row->kernel != NO_KERNEL && kwargs == NULL) {
        PyObject *result = apply(row->state, row->kernel, ((PyTupleObject *)args)->ob_item,
                                 PyTuple_GET_SIZE(args));
        if (result != Py_NotImplemented) {
            return result;
        }
        Py_DECREF(result);
    }
    PyObject *applied = attribute(self, "applied");
    PyObject *result = applied == NULL ? NULL : PyObject_Call(applied, args, kwargs);
    Py_XDECREF(applied);
    return result;
}

static PyType_Slot row_slots[] = {
    {Py_tp_doc, "What the class of the table's rows is derived from: a call asks C, or `applied`."},
    {Py_tp_new, row_new},
    {Py_tp_call, row_call},
    {0, NULL},
};

static PyType_Spec row_spec = {
    .name = "chainrule.engine.native._core.Row",
    .basicsize = sizeof(Row),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = row_slots,
};
