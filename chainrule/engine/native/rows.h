/* Calling a primitive.

   The table knows nothing of this file. connect() puts a RowKernel into the slot `_kernel` of each row
   that has one here, and primitive_call into tp_call of the rows' class, whose own `__call__` stays
   the answer for everything that a kernel does not take. */

typedef struct {
    PyObject_HEAD
    State *state; /* kept alive by the module, which our type keeps alive */
    int number;
} RowKernel;

enum { KERNEL_SLOT = sizeof(PyObject) }; /* first of the sorted slots; connect() makes sure of it */

static void kernel_dealloc(PyObject *self);

/* Return the kernel in the slot of *row*, an instance of the rows' class, or NULL. Borrowed.
   Anybody can put anything there. */
ALWAYS_INLINE RowKernel *
kernel_in(PyObject *row)
{
    PyObject *kernel = *(PyObject **)((char *)row + KERNEL_SLOT);
    return kernel == NULL || Py_TYPE(kernel)->tp_dealloc != kernel_dealloc ? NULL
                                                                           : (RowKernel *)kernel;
}

ALWAYS_INLINE int
is_row(const State *state, PyObject *row)
{
    return PyObject_TypeCheck(row, Py_TYPE(state->row[0]));
}

ALWAYS_INLINE int
kernel_of(const State *state, PyObject *row)
{
    RowKernel *kernel = is_row(state, row) ? kernel_in(row) : NULL;
    return kernel == NULL ? NO_KERNEL : kernel->number;
}

/* As PyObject_GetAttrString, but that one's fresh string for the name would stay in the lookup cache
   of types, one more at each call. */
static PyObject *
attribute(PyObject *object, const char *name)
{
    PyObject *interned = PyUnicode_InternFromString(name);
    PyObject *found = interned ? PyObject_GetAttr(object, interned) : NULL;
    Py_XDECREF(interned);
    return found;
}

static PyObject *
primitive_call(PyObject *row, PyObject *args, PyObject *kwargs)
{
    RowKernel *kernel = kernel_in(row);
    if (kernel != NULL && kwargs == NULL) {
        PyObject *result = apply(kernel->state, kernel->number, ((PyTupleObject *)args)->ob_item,
                                 PyTuple_GET_SIZE(args));
        if (result != Py_NotImplemented) {
            return result;
        }
        Py_DECREF(result);
    }
    PyObject *call = attribute((PyObject *)Py_TYPE(row), "__call__");
    PyObject *itself = PyTuple_Pack(1, row), *all = NULL, *result = NULL;
    if (call != NULL && itself != NULL && (all = PySequence_Concat(itself, args)) != NULL) {
        result = PyObject_Call(call, all, kwargs);
    }
    Py_XDECREF(call);
    Py_XDECREF(itself);
    Py_XDECREF(all);
    return result;
}

static int
kernel_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
kernel_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot kernel_slots[] = {
    {Py_tp_doc, "What computes a row of the table in C."},
    {Py_tp_traverse, kernel_traverse},
    {Py_tp_dealloc, kernel_dealloc},
    {0, NULL},
};

static PyType_Spec kernel_spec = {
    .name = "chainrule.engine.native._core.RowKernel",
    .basicsize = sizeof(RowKernel),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = kernel_slots,
};

/* Give *row* its kernel. */
static int
set_kernel(State *state, PyObject *row, int number)
{
    RowKernel *kernel = PyObject_GC_New(RowKernel, state->kernel_type);
    if (kernel == NULL) {
        return -1;
    }
    kernel->state = state;
    kernel->number = number;
    PyObject_GC_Track((PyObject *)kernel);
    int failed = PyObject_SetAttrString(row, "_kernel", (PyObject *)kernel);
    Py_DECREF(kernel);
    return failed;
}

/* Make instances of *type*, the rows' class, callable by their kernels. */
static int
take_calls(PyObject *type)
{
    PyObject *slot = PyObject_GetAttrString(type, "_kernel");
    if (slot == NULL) {
        return -1;
    }
    int first = Py_IS_TYPE(slot, &PyMemberDescr_Type) &&
                ((PyMemberDescrObject *)slot)->d_member->offset == KERNEL_SLOT;
    Py_DECREF(slot);
    if (!first) {
        PyErr_SetString(PyExc_TypeError, "connect: _kernel must be the first slot of a primitive");
        return -1;
    }
    ((PyTypeObject *)type)->tp_call = primitive_call;
    return 0;
}
