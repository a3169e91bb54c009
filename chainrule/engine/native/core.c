/* The native core of chainrule's engine, one translation unit: see README.md. */

#include "data.h"

#include "memory.h"
#include "nodes.h"
#include "kernels.h"
#include "terms.h"
#include "apply.h"
#include "rows.h"
#include "sweeps.h"
#include "tape.h"
#include "wiring.h"
#include "attributes.h"
#include "value.h"
#include "making.h"
#include "public.h"
#include "vectors.h"
#include "routes.h"
#include "linked.h"
#include "runs.h"
#include "gradients.h"
#include "tangents.h"
#include "jacobians.h"
#include "pullbacks.h"
#include "sweep_calls.h"
#include "machine/machine.h"

/* memory(): bytes of the arenas, and the numbers of nodes and empty slabs in them. */
static PyObject *
memory(PyObject *module, PyObject *unused)
{
    (void)unused;
    State *state = PyModule_GetState(module);
    Py_ssize_t nodes = 0, empty = 0;
    for (Arena *arena = state->arenas; arena != NULL; arena = arena->next) {
        empty += arena->n_empty;
        for (int i = 0; i < ARENA_SLABS; i++) {
            for (uint64_t live = arena->slab[i].live; live; live &= live - 1) {
                nodes++;
            }
        }
    }
    return Py_BuildValue("{s:n,s:n,s:n}", "bytes", state->n_arenas * (Py_ssize_t)sizeof(Arena),
                         "nodes", nodes, "empty_slabs", empty);
}

static PyMethodDef hook_def = {
    "__chainrule__", (PyCFunction)(void (*)(void))chainrule_hook, METH_FASTCALL,
    "Apply a primitive to a tuple of arguments, at least one of them a Value."};

/* Keep for math_hypot what it calls, in the interpreter's dict. A function that somebody put in the place
   of CPython's is not kept, since kernels run no other code. */
static int
keep_math_hypot(void)
{
    PyObject *kept = PyInterpreterState_GetDict(PyInterpreterState_Get()); /* borrowed */
    PyObject *math = PyImport_ImportModule("math");
    PyObject *function = math ? PyObject_GetAttrString(math, "hypot") : NULL;
    int done = function == NULL ? -1 : 0;
    if (function != NULL && kept != NULL && PyCFunction_CheckExact(function)) {
        done = PyDict_SetItem(kept, (PyObject *)&module_def, function);
    }
    Py_XDECREF(math);
    Py_XDECREF(function);
    return done;
}

/* connect(primitives, value): take the table's rows and the functions to ask, and make Value. */
static PyObject *
connect(PyObject *module, PyObject *args)
{
    State *state = PyModule_GetState(module);
    PyObject *primitives, *value, *table = NULL, *type = NULL, *hook = NULL, *result = NULL;
    if (!PyArg_ParseTuple(args, "OO:connect", &primitives, &value)) {
        return NULL;
    }
    if (state->value_type != NULL) {
        Py_RETURN_NONE;
    }
#define ASK(name)                                                         \
    Py_XSETREF(state->asked.name, PyObject_GetAttrString(value, #name)); \
    if (state->asked.name == NULL) {                                      \
        return NULL;                                                      \
    }
    ASKED(ASK)
#undef ASK
    if ((table = PyObject_GetAttrString(primitives, "TABLE")) == NULL ||
        (type = PyType_FromModuleAndSpec(module, &node_spec, NULL)) == NULL ||
        (hook = PyCFunction_NewEx(&hook_def, module, NULL)) == NULL ||
        PyObject_SetAttrString(type, "__chainrule__", hook) < 0) {
        goto done;
    }
    ((PyTypeObject *)type)->tp_vectorcall = node_vectorcall;
    for (int kernel = 0; kernel < N_KERNELS; kernel++) {
        PyObject *row = PyMapping_GetItemString(table, kernels[kernel].name);
        if (row == NULL) {
            goto done;
        }
        Py_XSETREF(state->row[kernel], row);
        if (!is_row(state, row)) {
            PyErr_SetString(PyExc_TypeError,
                            "connect: the rows of the table are of classes derived from Row");
            goto done;
        }
    }
    Py_XSETREF(state->take, PyMapping_GetItemString(table, "take"));
    if (state->take == NULL || keep_math_hypot() < 0 ||
        PyObject_SetAttrString(module, "Value", type) < 0) {
        goto done;
    }
    state->value_type = (PyTypeObject *)Py_NewRef(type);
    for (int kernel = 0; kernel < N_KERNELS; kernel++) {
        ((Row *)state->row[kernel])->kernel = kernel;
    }
    result = Py_NewRef(Py_None);
done:
    Py_XDECREF(table);
    Py_XDECREF(type);
    Py_XDECREF(hook);
    return result;
}

static PyMethodDef module_methods[] = {
    {"connect", connect, METH_VARARGS, "Make Value, from the table and the reference."},
    {"make_node", make_node, METH_VARARGS, "Return a node with exactly these contents."},
    {"flatten", flatten, METH_VARARGS, "The graph below Values as a tape of the compiler."},
    {"longest_paths", longest_paths, METH_VARARGS, "How deep every entry of a tape is."},
    {"reach", reach, METH_VARARGS, "Mark what depends on marked entries of a tape."},
    {"descend", descend, METH_VARARGS, "Mark what the marked entries of a tape depend on."},
    {"allot", allot, METH_VARARGS, "Give registers places, by their lifetimes."},
    {"topological_order", topological_order, METH_O,
     "All nodes below a tuple of them, parents first; None unless all are of this class."},
    {"paths", paths, METH_VARARGS,
     "All nodes on the paths between two tuples, parents first; None unless all are of this class."},
    {"write_partials", write_partials, METH_VARARGS,
     "Give a node that was given its partials other ones."},
    {"published", published, METH_VARARGS, "Return the function that users call."},
    {"read_data", (PyCFunction)(void (*)(void))read_data, METH_FASTCALL,
     "Copy the data of Values into a float64 buffer; whether that could be done."},
    {"read_grads", (PyCFunction)(void (*)(void))read_grads, METH_FASTCALL,
     "Copy the gradients of Values into a float64 buffer; whether that could be done."},
    {"write_data", (PyCFunction)(void (*)(void))write_data, METH_FASTCALL,
     "Copy a float64 buffer into the data of leaves; whether that could be done."},
    {"add_grads", (PyCFunction)(void (*)(void))add_grads, METH_FASTCALL,
     "Add a float64 buffer to the gradients of leaves; whether that could be done."},
    {"reset_grads", reset_grads, METH_O,
     "Reset the gradients of Values; whether that could be done."},
    {"connect_transforms", connect_transforms, METH_O, "Take what the transforms ask Python."},
    {"run", (PyCFunction)(void (*)(void))run_function, METH_FASTCALL,
     "Call a function on fresh variables; None, and nothing called, if that is not for C."},
    {"gradient", (PyCFunction)(void (*)(void))gradient, METH_FASTCALL,
     "What grad or value_and_grad gives; None, and nothing called, if that is not for C."},
    {"jvp", (PyCFunction)(void (*)(void))jvp, METH_FASTCALL,
     "What jvp gives, or a run for Python to go on with, or None."},
    {"hvp", (PyCFunction)(void (*)(void))hvp, METH_FASTCALL,
     "A gradient and what hvp gives, or a run for Python to go on with, or None."},
    {"jacobian", (PyCFunction)(void (*)(void))jacobian, METH_FASTCALL,
     "What jacobian gives, or a run for Python to go on with, or None."},
    {"vjp", (PyCFunction)(void (*)(void))vjp, METH_FASTCALL,
     "What vjp gives, or a run for Python to go on with, or None."},
    {"pull_run", (PyCFunction)(void (*)(void))pull_run, METH_FASTCALL,
     "The adjoints of the variables of a run."},
    {"sweep", sweep, METH_VARARGS, "Sweep for each row of seeds; whether that could be done."},
    {"pull", (PyCFunction)(void (*)(void))pull, METH_FASTCALL,
     "The adjoints of inputs; None if that is not for C."},
    {"pull_linked", (PyCFunction)(void (*)(void))pull_linked, METH_FASTCALL,
     "The adjoints of inputs as Values; None if that is not for C."},
    {"push_linked", (PyCFunction)(void (*)(void))push_linked, METH_FASTCALL,
     "The tangents of outputs as Values; None if that is not for C."},
    {"sweep_linked", (PyCFunction)(void (*)(void))sweep_linked, METH_FASTCALL,
     "All derivatives as Values, a list for each sweep; None if that is not for C."},
    {"memory", memory, METH_NOARGS, "What the arenas take and hold."},
    {NULL, NULL, 0, NULL},
};

static int
module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->open_slot = SLAB_NODES; /* no slab is open yet */
    state->sweep = BY_HAND;
    state->no_bias = PyFloat_FromDouble(0.0);
    state->partials_name = PyUnicode_InternFromString("partials");
    state->modes = PyList_New(0);
    state->observing = PyList_New(0);
    state->row_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &row_spec, NULL);
    if (state->no_bias == NULL || state->partials_name == NULL || state->modes == NULL ||
        state->observing == NULL || state->row_type == NULL ||
        PyModule_AddObjectRef(module, "Row", (PyObject *)state->row_type) < 0) {
        return -1;
    }
    PyObject *machine = PyType_FromModuleAndSpec(module, &machine_spec, NULL);
    if (machine == NULL || PyModule_AddObjectRef(module, "Machine", machine) < 0) {
        Py_XDECREF(machine);
        return -1;
    }
    Py_DECREF(machine);
    return PyModule_AddObjectRef(module, "entered_modes", state->modes) < 0 ||
                   PyModule_AddObjectRef(module, "observing_modes", state->observing) < 0
               ? -1
               : 0;
}

#define VISIT(name) Py_VISIT(state->asked.name);
#define CLEAR(name) Py_CLEAR(state->asked.name);
#define VISIT_ABOVE(name) Py_VISIT(state->above.name);
#define CLEAR_ABOVE(name) Py_CLEAR(state->above.name);

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->value_type);
    Py_VISIT(state->row_type);
    Py_VISIT(state->modes);
    Py_VISIT(state->observing);
    for (int kernel = 0; kernel < N_KERNELS; kernel++) {
        Py_VISIT(state->row[kernel]);
    }
    Py_VISIT(state->take);
    ASKED(VISIT)
    ASKED_BY_TRANSFORMS(VISIT_ABOVE)
    for (int i = 0; i < N_PUBLISHED; i++) {
        Py_VISIT(state->published[i].reference);
    }
    return 0;
}

/* Called only when nothing can reach the module any more, so no node is alive: a node keeps its type
   and the type keeps the module. */
static int
module_clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->value_type);
    Py_CLEAR(state->row_type);
    for (int kernel = 0; kernel < N_KERNELS; kernel++) {
        Py_CLEAR(state->row[kernel]);
    }
    Py_CLEAR(state->take);
    ASKED(CLEAR)
    ASKED_BY_TRANSFORMS(CLEAR_ABOVE)
    for (int i = 0; i < N_PUBLISHED; i++) {
        Py_CLEAR(state->published[i].reference);
    }
    Py_CLEAR(state->no_bias);
    Py_CLEAR(state->partials_name);
    Py_CLEAR(state->modes);
    Py_CLEAR(state->observing);
    return 0;
}

static void
module_free(void *module)
{
    State *state = PyModule_GetState(module);
    if (state == NULL) {
        return;
    }
    (void)module_clear(module);
    for (int i = 0; i < N_PUBLISHED; i++) {
        Py_CLEAR(state->published[i].doc); /* which the function may still show until now */
    }
    while (state->arenas != NULL) {
        free_arena(state, state->arenas);
    }
    PyMem_Free(state->queue);
    for (int i = 0; i <= KEPT_OPERANDS / 8; i++) {
        for (Block *block; (block = state->spare_blocks[i]) != NULL;) {
            state->spare_blocks[i] = block->next_spare;
            ASAN_UNPOISON_MEMORY_REGION(block, block_size(8 * i));
            PyMem_Free(block);
        }
    }
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_core",
    .m_doc = "The native core of chainrule's engine; see README.md beside it.",
    .m_size = sizeof(State),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
