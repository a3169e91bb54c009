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

/* Run; None if *shapes* are given and the arguments are not of these. */
static PyObject *
run_on(Machine *machine, Workspace *workspace, PyObject *parameters, PyObject *given,
       Py_ssize_t threads, PyObject *shapes)
{
    Arguments arguments;
    arguments.n = 0;
    PyObject *array = NULL, *result = NULL;
    double *numbers = NULL;
    Py_ssize_t m = take_arguments(machine, given, shapes, &arguments);
    if (m < 0) {
        result = m == UNFIT ? Py_NewRef(Py_None) : NULL;
        goto done;
    }
    int differentiates = machine->cost >= 0;
    Py_ssize_t n_gradient = machine->gradient[1] - machine->gradient[0];
    PyObject *shape = differentiates ? PyLong_FromSsize_t(n_gradient)
                      : machine->turned ? Py_BuildValue("nn", m, machine->n_outputs)
                                        : Py_BuildValue("nn", machine->n_outputs, m);
    array = new_array(machine, shape, &numbers);
    if (array == NULL) {
        goto done;
    }
    Run run = {
        .machine = machine,
        .workspace = workspace,
        .argument = arguments.argument,
        .output = differentiates ? NULL : numbers,
        .division = division_of(machine, m),
        .work = (double)m * machine->list[EACH].work + machine->list[BEFORE].work +
                machine->list[AFTER].work,
    };
    run.n_threads = threads_for(&run, threads);
    if (!has_room(&run)) {
        goto done;
    }
    if (take_parameters(machine, parameters, workspace) < 0) {
        goto done;
    }
    workspace->still[0] = (double)m;
    if (!do_run(&run)) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_IndexError, "take: expected whole numbers from 0 to %zd",
                         run.bad_count - 1);
        }
        goto done;
    }
    if (differentiates) {
        memcpy(numbers, workspace->still + machine->gradient[0],
               sizeof(double) * (size_t)n_gradient);
        PyObject *cost = PyFloat_FromDouble(workspace->still[machine->cost]);
        result = cost ? PyTuple_Pack(2, cost, array) : NULL;
        Py_XDECREF(cost);
    }
    else {
        result = Py_NewRef(array);
    }
done:
    Py_XDECREF(array);
    release_arguments(&arguments);
    return result;
}
