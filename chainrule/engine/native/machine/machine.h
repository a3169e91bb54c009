/* Machine, the type: a plan in C that runs. */

#include "plan/plan.h"
#include "vector/levels.h"
#include "steps/steps.h"
#include "run/run.h"

static PyObject *
machine_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *plan;
    static char *names[] = {"", NULL};
    State *state = PyType_GetModuleState(type);
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Machine", names, &plan)) {
        return NULL;
    }
    if (state == NULL || state->value_type == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the native core is not connected to its table yet");
        return NULL;
    }
    Machine *machine = (Machine *)type->tp_alloc(type, 0);
    if (machine == NULL) {
        return NULL;
    }
    machine->state = state;
    machine->vector = level_here();
    PyObject *numpy = PyImport_ImportModule("numpy");
    machine->empty = numpy ? PyObject_GetAttrString(numpy, "empty") : NULL;
    machine->array = machine->empty ? PyObject_GetAttrString(numpy, "ndarray") : NULL;
    Py_XDECREF(numpy);
    if (machine->array == NULL || read_plan(machine, plan) < 0) {
        Py_DECREF(machine);
        return NULL;
    }
    machine->lanes = most_lanes(machine);
    for (int list = 0; list < N_LISTS; list++) {
        for (Py_ssize_t i = 0; i < machine->list[list].n; i++) {
            Py_ssize_t room = scratch_of(&machine->list[list].step[i]);
            machine->scratch = room > machine->scratch ? room : machine->scratch;
        }
    }
    return (PyObject *)machine;
}

static void
machine_dealloc(PyObject *self)
{
    Machine *machine = (Machine *)self;
    PyTypeObject *type = Py_TYPE(self);
    for (Workspace *workspace; (workspace = machine->spare) != NULL;) {
        machine->spare = workspace->next;
        free_workspace(workspace);
    }
    for (Piece *piece; (piece = machine->pieces) != NULL;) {
        machine->pieces = piece->next;
        PyMem_RawFree(piece);
    }
    Py_XDECREF(machine->empty);
    Py_XDECREF(machine->array);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Run with what Python gave; *given_threads* and *shapes* may be NULL. */
static PyObject *
run_with(Machine *machine, PyObject *parameters, PyObject *arguments, PyObject *given_threads,
         PyObject *shapes)
{
    Py_ssize_t threads = 1;
    if (given_threads != NULL && read_whole(given_threads, &threads) < 0) {
        return NULL;
    }
    if (threads < 1) {
        PyErr_Format(PyExc_ValueError, "Machine.run: expected one thread at least, not %zd", threads);
        return NULL;
    }
    Workspace *workspace = take_workspace(machine);
    if (workspace == NULL) {
        return NULL;
    }
    PyObject *result = run_on(machine, workspace, parameters, arguments, threads, shapes);
    give_workspace(machine, workspace);
    return result;
}

/* run(parameters, arguments, threads=1): as compiler/plan.py says. */
static PyObject *
machine_run(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    if (n != 2 && n != 3) {
        PyErr_SetString(PyExc_TypeError,
                        "Machine.run: expected parameters, arguments, and a number of threads");
        return NULL;
    }
    return run_with((Machine *)self, args[0], args[1], n == 3 ? args[2] : NULL, NULL);
}

/* attempt(parameters, arguments, threads, shapes): run, or None if the arguments are not arrays of
   float64 with one example or more, as many in each, of these shapes. */
static PyObject *
machine_attempt(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    const Machine *machine = (Machine *)self;
    if (n != 4 || !PyTuple_Check(args[3]) || PyTuple_GET_SIZE(args[3]) != machine->n_inputs) {
        PyErr_SetString(PyExc_TypeError, "Machine.attempt: expected parameters, arguments, a number of "
                                         "threads, and a tuple with a shape for each argument");
        return NULL;
    }
    return run_with((Machine *)self, args[0], args[1], args[2], args[3]);
}

/* can(row): whether there is a kernel of that row here. */
static PyObject *
machine_can(PyObject *type, PyObject *row)
{
    State *state = PyType_GetModuleState((PyTypeObject *)type);
    return state == NULL ? NULL : PyBool_FromLong(machine_row(state, row) >= 0);
}

static PyObject *
machine_level(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(((Machine *)self)->vector->name);
}

static PyMethodDef machine_methods[] = {
    {"run", (PyCFunction)(void (*)(void))machine_run, METH_FASTCALL,
     "Run on parameters and arguments, with a number of threads."},
    {"attempt", (PyCFunction)(void (*)(void))machine_attempt, METH_FASTCALL,
     "Run if the arguments have certain shapes; otherwise return None."},
    {"can", machine_can, METH_O | METH_CLASS, "Return whether there is a kernel of a row."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef machine_getset[] = {
    {"level", machine_level, NULL, "The level of the processor it runs at.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot machine_slots[] = {
    {Py_tp_doc, "A plan that runs; see machine/README.md."},
    {Py_tp_new, machine_new},
    {Py_tp_dealloc, machine_dealloc},
    {Py_tp_methods, machine_methods},
    {Py_tp_getset, machine_getset},
    {0, NULL},
};

static PyType_Spec machine_spec = {
    .name = "chainrule.engine.native._core.Machine",
    .basicsize = sizeof(Machine),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = machine_slots,
};
