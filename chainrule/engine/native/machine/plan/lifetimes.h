/* Which step is the last to read a number. */

/* Whether nobody reads any number of an operand. */
static int
is_unread(const Reading *reading, const Reached *reached)
{
    const int32_t *reader = reading->reader[reached->space];
    for (Py_ssize_t i = reached->first; reached->space != IN_SUMS && i < reached->end; i++) {
        if (reader[i] != NOBODY) {
            return 0;
        }
    }
    return reached->space != IN_SUMS;
}

/* Note for a step which of its arguments nothing reads after it, and that it reads them, where those are noted
   that are read later. What is overwritten, not in a loop, is not read from before. */
static void
note_deaths(Reading *reading, Step *step, int in_loop)
{
    Element element;
    if (!read_element(step, &element)) {
        note_reads(reading, step);
        return;
    }
    for (int k = 0; !in_loop && k < element.n_written; k++) {
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

/* Go through all steps from the end, to note who reads last. A loop may read whatever it reads at any time. */
static void
note_lifetimes(Reading *reading)
{
    Machine *machine = reading->machine;
    for (int space = IN_STILL; space <= IN_BLOCK; space++) {
        memset(reading->reader[space], 0, sizeof(int32_t) * (size_t)machine->size[space]);
    }
    note_results(reading);
    for (int list = N_LISTS - 1; list >= 0; list--) {
        Steps *steps = &machine->list[list];
        Py_ssize_t end = 0;
        for (Py_ssize_t i = 0; i < steps->n; i++) {
            Step *step = &steps->step[i];
            end = step->code == STEP_loop && i + 1 + step->step > end ? i + 1 + step->step : end;
            step->in_loop = i < end;
            if (step->in_loop) {
                note_reads(reading, step);
            }
        }
        for (Py_ssize_t i = steps->n - 1; i >= 0; i--) {
            note_deaths(reading, &steps->step[i], steps->step[i].in_loop);
        }
    }
}
