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
    machine->tile = 8 * machine->vector->width;
    PyObject *numpy = PyImport_ImportModule("numpy");
    machine->empty = numpy ? PyObject_GetAttrString(numpy, "empty") : NULL;
    machine->array = machine->empty ? PyObject_GetAttrString(numpy, "ndarray") : NULL;
    Py_XDECREF(numpy);
    if (machine->array == NULL || read_plan(machine, plan) < 0) {
        Py_DECREF(machine);
        return NULL;
    }
    machine->lanes = most_lanes(machine);
    machine->scratch = machine->turned ? room_for_outputs(machine) : 0;
    for (int list = 0; list < N_LISTS; list++) {
        for (Py_ssize_t i = 0; i < machine->list[list].n; i++) {
            const Step *step = &machine->list[list].step[i];
            Py_ssize_t room = scratch_of(step), tiles = step->tiled != NULL ? N_ROOMS * ROOM : 0;
            room = room > tiles ? room : tiles;
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

/* Run with what Python gave. */
static PyObject *
run_with(Machine *machine, PyObject *parameters, PyObject *arguments, Job job)
{
    Workspace *workspace = take_workspace(machine);
    if (workspace == NULL) {
        return NULL;
    }
    PyObject *result = run_on(machine, workspace, parameters, arguments, job);
    give_workspace(machine, workspace);
    return result;
}

/* Read a number of threads; -1 if it is none. */
static int
read_threads(PyObject *given, Py_ssize_t *threads)
{
    if (read_whole(given, threads) < 0) {
        return -1;
    }
    if (*threads < 1) {
        PyErr_Format(PyExc_ValueError, "Machine.run: expected one thread at least, not %zd", *threads);
        return -1;
    }
    return 0;
}

/* run(parameters, arguments, threads=1): as compiler/plan.py says. */
static PyObject *
machine_run(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    Job job = {.threads = 1};
    if (n != 2 && n != 3) {
        PyErr_SetString(PyExc_TypeError,
                        "Machine.run: expected parameters, arguments, and a number of threads");
        return NULL;
    }
    if (n == 3 && read_threads(args[2], &job.threads) < 0) {
        return NULL;
    }
    return run_with((Machine *)self, args[0], args[1], job);
}

/* attempt(parameters, arguments, threads, shapes): run, or None if the arguments are not arrays of
   float64 with one example or more, as many in each, of these shapes. */
static PyObject *
machine_attempt(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    const Machine *machine = (Machine *)self;
    Job job = {.threads = 1};
    if (n != 4 || !PyTuple_Check(args[3]) || PyTuple_GET_SIZE(args[3]) != machine->n_inputs) {
        PyErr_SetString(PyExc_TypeError, "Machine.attempt: expected parameters, arguments, a number of "
                                         "threads, and a tuple with a shape for each argument");
        return NULL;
    }
    job.shapes = args[3];
    if (read_threads(args[2], &job.threads) < 0) {
        return NULL;
    }
    return run_with((Machine *)self, args[0], args[1], job);
}

/* division(m): the lanes of a block, and where the shards of a batch of m examples start. */
static PyObject *
machine_division(PyObject *self, PyObject *given)
{
    Py_ssize_t m;
    if (read_whole(given, &m) < 0) {
        return NULL;
    }
    if (m < 0) {
        PyErr_Format(PyExc_ValueError, "Machine.division: expected a number of examples, not %zd", m);
        return NULL;
    }
    return division_as_tuple((Machine *)self, m);
}

/* part(parameters, rows, m, lanes): the outputs, or the sums, of one shard of a batch of m examples,
   whose rows these are. */
static PyObject *
machine_part(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    Machine *machine = (Machine *)self;
    Job job = {.threads = 1};
    if (n != 4) {
        PyErr_SetString(PyExc_TypeError, "Machine.part: expected parameters, rows, a number of "
                                         "examples, and a number of lanes");
        return NULL;
    }
    if (read_whole(args[2], &job.whole) < 0 || read_whole(args[3], &job.lanes) < 0) {
        return NULL;
    }
    if (job.lanes < 1 || job.lanes > machine->lanes) {
        PyErr_Format(PyExc_ValueError, "Machine.part: expected from 1 to %zd lanes, not %zd",
                     machine->lanes, job.lanes);
        return NULL;
    }
    return run_with(machine, args[0], args[1], job);
}

/* finish(parameters, m, sums): the mean and the gradient of a batch of m examples, whose shards gave
   these sums, added up. */
static PyObject *
machine_finish(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    Machine *machine = (Machine *)self;
    Py_ssize_t m;
    Py_buffer view;
    if (n != 3 || machine->cost < 0) {
        PyErr_SetString(PyExc_TypeError, "Machine.finish: expected parameters, a number of examples, "
                                         "and sums, of a plan with a cost");
        return NULL;
    }
    if (read_whole(args[1], &m) < 0 ||
        PyObject_GetBuffer(args[2], &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    if (view.format != NULL && strcmp(view.format, "d") == 0 &&
        view.len == machine->size[IN_SUMS] * (Py_ssize_t)sizeof(double)) {
        Workspace *workspace = take_workspace(machine);
        if (workspace != NULL) {
            result = finish_on(machine, workspace, args[0], m, view.buf);
            give_workspace(machine, workspace);
        }
    }
    else {
        PyErr_Format(PyExc_ValueError, "Machine.finish: expected %zd sums of float64",
                     machine->size[IN_SUMS]);
    }
    PyBuffer_Release(&view);
    return result;
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
    {"division", machine_division, METH_O, "Return how a batch of so many examples is divided."},
    {"part", (PyCFunction)(void (*)(void))machine_part, METH_FASTCALL,
     "Return the outputs, or the sums, of one shard of a batch."},
    {"finish", (PyCFunction)(void (*)(void))machine_finish, METH_FASTCALL,
     "Return the mean and the gradient from the sums of all shards."},
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
