/* A run: parameters and arguments in, the blocks one after another, results out. */

#include "workspaces.h"
#include "blocks.h"
#include "shards.h"
#include "arguments.h"

/* A new array of float64, and where its numbers are. */
static PyObject *
new_array(const Machine *machine, PyObject *shape, double **numbers)
{
    PyObject *array = shape ? PyObject_CallOneArg(machine->empty, shape) : NULL;
    Py_XDECREF(shape);
    Py_buffer view;
    if (array == NULL || PyObject_GetBuffer(array, &view, PyBUF_SIMPLE | PyBUF_WRITABLE) < 0) {
        Py_XDECREF(array);
        return NULL;
    }
    *numbers = view.buf;
    PyBuffer_Release(&view);
    return array;
}

/* How many of so many threads are worth it. */
static int
threads_for(const Run *run, Py_ssize_t threads)
{
#if HAS_THREADS
    double most = run->work / WORTH_A_THREAD;
    threads = threads > run->division.n_shards ? run->division.n_shards : threads;
    return (double)threads < most ? (int)threads : most < 1.0 ? 1 : (int)most;
#else
    (void)run, (void)threads;
    return 1;
#endif
}

/* See that a run has the memory it needs. */
static int
has_room(const Run *run)
{
    const Machine *machine = run->machine;
    int has = 1, n_sums = run->division.n_shards;
    n_sums = run->n_threads == 1 && n_sums > 2 ? 2 : n_sums;
    for (int i = 0; has && i < n_sums; i++) {
        has = has_sums(machine, run->workspace, i);
    }
    for (int i = 0; has && i < run->n_threads; i++) {
        has = has_bench(machine, &run->workspace->bench[i], run->division.lanes);
    }
    if (!has) {
        PyErr_NoMemory();
    }
    return has;
}

/* What there is to do: all of a batch, on so many threads; or one shard of it, in blocks of so many
   lanes. */
typedef struct {
    Py_ssize_t threads;
    PyObject *shapes; /* those of the examples, or NULL if they need not be looked at */
    Py_ssize_t lanes; /* of a shard's blocks; 0 for a run of all */
    Py_ssize_t whole; /* how many examples there are in the batch of a shard */
} Job;

/* The mean, and the gradient: a new vector whose numbers are at *numbers*. */
static PyObject *
cost_and_gradient(const Run *run, PyObject *array, double *numbers)
{
    const Machine *machine = run->machine;
    const double *still = run->workspace->still;
    Py_ssize_t n = machine->gradient[1] - machine->gradient[0];
    memcpy(numbers, still + machine->gradient[0], sizeof(double) * (size_t)n);
    PyObject *cost = PyFloat_FromDouble(still[machine->cost]);
    PyObject *result = cost ? PyTuple_Pack(2, cost, array) : NULL;
    Py_XDECREF(cost);
    return result;
}

/* The shape of what a run gives on *m* examples. */
static PyObject *
shape_of_result(const Machine *machine, Py_ssize_t m, int is_part)
{
    if (machine->cost >= 0) {
        Py_ssize_t n = machine->gradient[1] - machine->gradient[0];
        return PyLong_FromSsize_t(is_part ? machine->size[IN_SUMS] : n);
    }
    return machine->turned ? Py_BuildValue("nn", m, machine->n_outputs)
                           : Py_BuildValue("nn", machine->n_outputs, m);
}

/* Run; None if shapes are asked for and the arguments are not of these. */
static PyObject *
run_on(Machine *machine, Workspace *workspace, PyObject *parameters, PyObject *given, Job job)
{
    Arguments arguments;
    arguments.n = 0;
    PyObject *array = NULL, *result = NULL;
    double *numbers = NULL;
    Py_ssize_t m = take_arguments(machine, given, job.shapes, &arguments);
    if (m < 0) {
        result = m == UNFIT ? Py_NewRef(Py_None) : NULL;
        goto done;
    }
    int differentiates = machine->cost >= 0, is_part = job.lanes > 0;
    array = new_array(machine, shape_of_result(machine, m, is_part), &numbers);
    if (array == NULL) {
        goto done;
    }
    Run run = {
        .machine = machine,
        .workspace = workspace,
        .argument = arguments.argument,
        .output = differentiates ? NULL : numbers,
        .is_part = is_part,
        .division = is_part ? (Division){m, job.lanes, (m + job.lanes - 1) / job.lanes, 1}
                            : division_of(machine, m),
        .work = (double)m * machine->list[EACH].work + machine->list[BEFORE].work +
                machine->list[AFTER].work,
    };
    run.n_threads = is_part ? 1 : threads_for(&run, job.threads);
    if (!has_room(&run)) {
        goto done;
    }
    if (take_parameters(machine, parameters, workspace) < 0) {
        goto done;
    }
    workspace->still[0] = (double)(is_part ? job.whole : m);
    if (!do_run(&run)) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_IndexError, "take: expected whole numbers from 0 to %zd",
                         run.bad_count - 1);
        }
        goto done;
    }
    if (differentiates && is_part) {
        memcpy(numbers, workspace->sums[0], sizeof(double) * (size_t)machine->size[IN_SUMS]);
    }
    result = differentiates && !is_part ? cost_and_gradient(&run, array, numbers) : Py_NewRef(array);
done:
    Py_XDECREF(array);
    release_arguments(&arguments);
    return result;
}

/* The end of a run whose shards were done elsewhere: *m* examples gave the sums at *total*. */
static PyObject *
finish_on(Machine *machine, Workspace *workspace, PyObject *parameters, Py_ssize_t m,
          const double *total)
{
    double *numbers;
    PyObject *array = new_array(machine, shape_of_result(machine, m, 0), &numbers), *result = NULL;
    Run run = {
        .machine = machine,
        .workspace = workspace,
        .total = total,
        .division = {m, 1, 0, 1},
        .work = machine->list[BEFORE].work + machine->list[AFTER].work,
        .n_threads = 1,
    };
    if (array != NULL && has_room(&run) && take_parameters(machine, parameters, workspace) == 0) {
        workspace->still[0] = (double)m;
        if (do_run(&run)) {
            result = cost_and_gradient(&run, array, numbers);
        }
    }
    Py_XDECREF(array);
    return result;
}

/* How a batch of *m* examples is divided: the lanes of a block, and a tuple of where each shard starts,
   with *m* as the last. */
static PyObject *
division_as_tuple(const Machine *machine, Py_ssize_t m)
{
    Division all = division_of(machine, m);
    PyObject *starts = PyTuple_New(all.n_shards + 1);
    for (int shard = 0; starts != NULL && shard <= all.n_shards; shard++) {
        Py_ssize_t at = shard_start(&all, shard) * all.lanes;
        PyObject *start = PyLong_FromSsize_t(at < m ? at : m);
        if (start == NULL) {
            Py_CLEAR(starts);
            break;
        }
        PyTuple_SET_ITEM(starts, shard, start);
    }
    return starts ? Py_BuildValue("nN", all.lanes, starts) : NULL;
}
