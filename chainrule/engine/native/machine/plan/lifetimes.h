/* Which step is the last to read a number. */

/* Whether nobody reads any number of an operand. */
static int
is_unread(const Reading *reading, const Reached *reached)
{
    if (reached->space == IN_SUMS) {
        return 0;
    }
    for (Py_ssize_t i = reached->first; i < reached->end; i++) {
        if (reading->reader[reached->space][i] != NOBODY) {
            return 0;
        }
    }
    return 1;
}

/* Note what the steps of a list may read in its loops, at any time. */
static void
note_reads_in_loops(Reading *reading, Steps *steps)
{
    Py_ssize_t end[MOST_NESTED + 1], rounds[MOST_NESTED + 1];
    int depth = 0;
    for (Py_ssize_t i = 0; i < steps->n; i++) {
        Step *step = &steps->step[i];
        while (depth > 0 && end[depth - 1] == i) {
            depth--;
        }
        step->in_loop = depth > 0;
        if (depth > 0) {
            reading->rounds = rounds[depth - 1];
            note_reads(reading, step);
        }
        if (step->code == STEP_loop) {
            rounds[depth] = step->count;
            end[depth++] = i + 1 + step->step;
        }
    }
}

/* Note for a step which of its arguments nothing reads after it, where it is noted what is read later; then
   note what it reads. What it overwrites is not read from before, but in a loop. */
static void
note_deaths(Reading *reading, Step *step)
{
    Element element;
    if (!read_element(step, &element)) {
        if (!step->in_loop) {
            note_reads(reading, step);
        }
        return;
    }
    for (int k = 0; !step->in_loop && k < element.n_written; k++) {
        const Reached *result = &element.result[k];
        if (result->how == AS_VECTOR && result->space != IN_SUMS) {
            memset(reading->reader[result->space] + result->first, 0,
                   sizeof(int32_t) * (size_t)(result->end - result->first));
        }
    }
    for (int k = 0; k < element.n_arguments; k++) {
        const Reached *argument = &element.argument[k];
        int dies = is_same_place(argument, &element.result[0]) || is_unread(reading, argument);
        step->dies |= (uint8_t)(dies << k);
    }
    for (int k = 0; k < element.n_arguments; k++) {
        const Reached *argument = &element.argument[k];
        note_reader(reading, argument->space, argument->first, argument->end, SEVERAL);
    }
}

/* Go through all steps from the end, to note who reads last. */
static int
note_lifetimes(const Reading *readers)
{
    Machine *machine = readers->machine;
    Reading reading = *readers;
    int failed = 0;
    for (int space = IN_STILL; space <= IN_BLOCK; space++) {
        reading.reader[space] = PyMem_RawCalloc((size_t)machine->size[space] + 1, sizeof(int32_t));
        failed |= reading.reader[space] == NULL;
    }
    if (!failed) {
        note_results(&reading);
    }
    for (int list = N_LISTS - 1; !failed && list >= 0; list--) {
        Steps *steps = &machine->list[list];
        note_reads_in_loops(&reading, steps);
        for (Py_ssize_t i = steps->n - 1; i >= 0; i--) {
            note_deaths(&reading, &steps->step[i]);
        }
    }
    PyMem_RawFree(reading.reader[IN_STILL]);
    PyMem_RawFree(reading.reader[IN_BLOCK]);
    if (failed) {
        PyErr_NoMemory();
    }
    return failed ? -1 : 0;
}
