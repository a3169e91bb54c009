/* A plan, read once into plain data and checked. */

#include "data.h"
#include "loops.h"
#include "products.h"
#include "differences.h"
#include "reading.h"
#include "operands.h"
#include "step.h"
#include "sigmoids.h"
#include "operations.h"
#include "chains.h"

enum { MOST_NESTED = 32 };

#include "elements.h"
#include "lifetimes.h"
#include "stretches.h"
#include "joins.h"
#include "tiles.h"

/* Read the steps from *first* on up to *end*, those of loops included; how much work they are, or -1. */
static double
read_range_of_steps(Reading *reading, PyObject *steps, Steps *found, int list, Py_ssize_t end,
                    int depth)
{
    double work = 0.0;
    while (found->n < end) {
        Step *step = &found->step[found->n];
        if (found->n >= PySequence_Fast_GET_SIZE(steps)) {
            return unsound("a list of steps changed");
        }
        PyObject *given = PySequence_Fast_GET_ITEM(steps, found->n);
        if (read_step(reading, given, step, list) < 0) {
            return -1;
        }
        found->n++;
        note_reads(reading, step);
        if (step->code == STEP_loop) {
            Py_ssize_t around = reading->rounds;
            if (list != EACH || step->count < 1 || step->count > 1 << 30 || step->step < 1 ||
                step->step > end - found->n || depth == MOST_NESTED) {
                return unsound("a loop goes round once at least, and ends with the one around it");
            }
            reading->rounds = step->count;
            double inner = read_range_of_steps(reading, steps, found, list,
                                               found->n + step->step, depth + 1);
            reading->rounds = around;
            if (inner < 0) {
                return -1;
            }
            work += inner * (double)step->count;
        }
        else {
            work += step->work;
        }
    }
    return work;
}

static int
has_loop(const Steps *steps)
{
    for (Py_ssize_t i = 0; i < steps->n; i++) {
        if (steps->step[i].code == STEP_loop) {
            return 1;
        }
    }
    return 0;
}

static int
read_steps(Reading *reading, PyObject *plan, const char *name, int list)
{
    Machine *machine = reading->machine;
    PyObject *given = PyObject_GetAttrString(plan, name);
    PyObject *steps = given ? PySequence_Fast(given, "Machine: expected a list of steps") : NULL;
    Py_XDECREF(given);
    if (steps == NULL) {
        return -1;
    }
    Steps *found = &machine->list[list];
    Py_ssize_t n = PySequence_Fast_GET_SIZE(steps);
    found->step = machine_room(machine, sizeof(Step) * (size_t)n + 1);
    found->work = found->step == NULL ? -1
                                      : read_range_of_steps(reading, steps, found, list, n, 0);
    Py_DECREF(steps);
    return found->work < 0 ? -1 : has_loop(found) ? 0 : pair_sigmoids(machine, found);
}

static PyObject *
sequence_of(PyObject *plan, const char *name)
{
    PyObject *given = PyObject_GetAttrString(plan, name);
    PyObject *found = given ? PySequence_Tuple(given) : NULL;
    Py_XDECREF(given);
    return found;
}

static int
read_optional(PyObject *plan, const char *name, Py_ssize_t *number)
{
    PyObject *given = PyObject_GetAttrString(plan, name);
    *number = -1;
    int failed = given == NULL || (given != Py_None && read_whole(given, number) < 0);
    if (!failed && given != Py_None && *number < 0) {
        failed = unsound("a place is negative") < 0;
    }
    Py_XDECREF(given);
    return failed ? -1 : 0;
}

/* Read from which place of STILL to which. */
static int
read_range(const Machine *machine, PyObject *plan, const char *name, Py_ssize_t *range)
{
    PyObject *given = sequence_of(plan, name);
    int n = given ? read_numbers(given, range, 2) : -1;
    Py_XDECREF(given);
    if (n < 0) {
        return -1;
    }
    if (n != 2 || range[0] < 1 || range[1] < range[0] || range[1] > machine->size[IN_STILL]) {
        return unsound("the parameters or the gradient lie outside of still");
    }
    return 0;
}

static int
read_sizes(Machine *machine, PyObject *plan)
{
    Py_buffer view;
    PyObject *still = PyObject_GetAttrString(plan, "still");
    if (still == NULL) {
        return -1;
    }
    int failed = PyObject_GetBuffer(still, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0;
    Py_DECREF(still);
    if (failed) {
        return -1;
    }
    int fits = view.format != NULL && strcmp(view.format, "d") == 0 &&
               view.len >= (Py_ssize_t)sizeof(double);
    machine->size[IN_STILL] = view.len / (Py_ssize_t)sizeof(double);
    machine->still = fits ? machine_room(machine, (size_t)view.len) : NULL;
    if (machine->still != NULL) {
        memcpy(machine->still, view.buf, (size_t)view.len);
    }
    PyBuffer_Release(&view);
    if (machine->still == NULL) {
        return fits ? -1 : unsound("still is a vector of float64 with one number at least");
    }
    if (read_optional(plan, "block", &machine->size[IN_BLOCK]) < 0 ||
        read_optional(plan, "sums", &machine->size[IN_SUMS]) < 0 ||
        read_optional(plan, "cost", &machine->cost) < 0) {
        return -1;
    }
    if (machine->size[IN_BLOCK] < 0 || machine->size[IN_SUMS] < 0) {
        return unsound("block and sums are numbers");
    }
    PyObject *turned = PyObject_GetAttrString(plan, "turned");
    machine->turned = turned ? PyObject_IsTrue(turned) : -1;
    Py_XDECREF(turned);
    if (machine->turned < 0) {
        return -1;
    }
    if (machine->cost >= machine->size[IN_STILL]) {
        return unsound("the cost lies outside of still");
    }
    return read_range(machine, plan, "parameters", machine->parameters) < 0 ||
                   (machine->cost >= 0 &&
                    read_range(machine, plan, "gradient", machine->gradient) < 0)
               ? -1 : 0;
}

static int
read_inputs(Machine *machine, PyObject *plan)
{
    PyObject *inputs = sequence_of(plan, "inputs");
    PyObject *outputs = inputs ? sequence_of(plan, "outputs") : NULL;
    int failed = inputs == NULL || outputs == NULL;
    if (!failed) {
        machine->n_inputs = PyTuple_GET_SIZE(inputs);
        machine->n_outputs = PyTuple_GET_SIZE(outputs);
        machine->input = machine_room(machine, sizeof(Input) * (size_t)machine->n_inputs + 1);
        machine->output = machine_room(machine, sizeof(Place) * (size_t)machine->n_outputs + 1);
        failed = machine->input == NULL || machine->output == NULL;
    }
    for (Py_ssize_t i = 0; !failed && i < machine->n_inputs; i++) {
        Py_ssize_t pair[2];
        int n = read_numbers(PyTuple_GET_ITEM(inputs, i), pair, 2);
        failed = n < 0;
        if (!failed) {
            machine->input[i] = (Input){pair[0], pair[1]};
            if (n != 2 || pair[0] < 0 || pair[1] < 0 ||
                pair[1] > machine->size[IN_BLOCK] - pair[0]) {
                failed = unsound("an input lies outside of block") < 0;
            }
        }
    }
    for (Py_ssize_t i = 0; !failed && i < machine->n_outputs; i++) {
        PyObject *operand = PyTuple_GET_ITEM(outputs, i);
        Py_ssize_t space;
        if (!PyTuple_Check(operand) || PyTuple_GET_SIZE(operand) < 2) {
            failed = unsound("an output is not (space, offset)") < 0;
            break;
        }
        failed = read_whole(PyTuple_GET_ITEM(operand, 0), &space) < 0 ||
                 read_whole(PyTuple_GET_ITEM(operand, 1), &machine->output[i].offset) < 0;
        if (!failed && ((space != IN_STILL && space != IN_BLOCK) ||
                        machine->output[i].offset < 0 ||
                        machine->output[i].offset >= machine->size[space])) {
            failed = unsound("an output lies outside") < 0;
        }
        machine->output[i].space = (uint8_t)(failed ? 0 : space);
    }
    machine->in_one_piece = !failed;
    for (Py_ssize_t i = 1; !failed && i < machine->n_outputs; i++) {
        const Place *place = &machine->output[i], *before = place - 1;
        machine->in_one_piece &= place->space == before->space && place->offset == before->offset + 1;
    }
    Py_XDECREF(inputs);
    Py_XDECREF(outputs);
    return failed ? -1 : 0;
}

/* Read all of *plan* into *machine*. */
static int
read_plan(Machine *machine, PyObject *plan)
{
    if (read_sizes(machine, plan) < 0 || read_inputs(machine, plan) < 0) {
        return -1;
    }
    PyObject *rows = sequence_of(plan, "rows");
    PyObject *tables = rows ? sequence_of(plan, "tables") : NULL;
    Reading reading = {.machine = machine, .rows = rows};
    int failed = rows == NULL || tables == NULL;
    for (int space = IN_STILL; space <= IN_BLOCK; space++) {
        size_t size = (size_t)machine->size[space];
        reading.reader[space] = PyMem_RawCalloc(size + 1, sizeof(int32_t));
        if (reading.reader[space] == NULL) {
            PyErr_NoMemory();
            failed = 1;
        }
    }
    if (!failed) {
        reading.n_rows = PyTuple_GET_SIZE(rows);
        reading.n_tables = PyTuple_GET_SIZE(tables);
        reading.row = PyMem_Calloc((size_t)reading.n_rows + 1, sizeof(int));
        reading.table = PyMem_Calloc((size_t)reading.n_tables + 1, sizeof(Numbers));
        if (reading.row == NULL || reading.table == NULL) {
            PyErr_NoMemory();
            failed = 1;
        }
    }
    for (Py_ssize_t i = 0; !failed && i < reading.n_rows; i++) {
        reading.row[i] = machine_row(machine->state, PyTuple_GET_ITEM(rows, i));
    }
    for (Py_ssize_t i = 0; !failed && i < reading.n_tables; i++) {
        failed = read_table(PyTuple_GET_ITEM(tables, i), &reading.table[i]) < 0;
    }
    failed = failed || read_steps(&reading, plan, "before", BEFORE) < 0 ||
             read_steps(&reading, plan, "each", EACH) < 0 ||
             read_steps(&reading, plan, "after", AFTER) < 0;
    if (!failed) {
        note_results(&reading);
        /* Lifetimes first: they need flat steps as they were read. */
        failed = note_lifetimes(&reading) < 0 || make_all_chains(&reading) < 0 || make_tiles(machine) < 0;
    }
    PyMem_RawFree(reading.reader[IN_STILL]);
    PyMem_RawFree(reading.reader[IN_BLOCK]);
    for (Py_ssize_t i = 0; reading.table != NULL && i < reading.n_tables; i++) {
        PyBuffer_Release(&reading.table[i].view); /* of one that was not got, nothing */
    }
    PyMem_Free(reading.row);
    PyMem_Free(reading.table);
    Py_XDECREF(rows);
    Py_XDECREF(tables);
    return failed ? -1 : 0;
}
