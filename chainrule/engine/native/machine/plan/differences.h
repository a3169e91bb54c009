/* Sums of differences: over what they run, and along which axes their weights differ. */

struct Differences {
    Loop result;   /* over the result's elements */
    Loop sum;      /* over what is summed */
    Loop weighted; /* of a weighted difference: over the axes along which the weights differ */
    Loop rest;     /* and over all others */
};

/* Take those axes of the two nests along which the second operand moves, or all others. */
static int
take_axes(Machine *machine, const Loop *const *nests, int n_operands, int moves, Loop *taken)
{
    int all = nests[0]->n + nests[1]->n;
    taken->n = 0;
    taken->extent = machine_room(machine, sizeof(Py_ssize_t) * (size_t)(all + 1));
    taken->stride = machine_room(machine, sizeof(Py_ssize_t) * (size_t)((all + 1) * n_operands));
    if (taken->extent == NULL || taken->stride == NULL) {
        return -1;
    }
    for (int nest = 0; nest < 2; nest++) {
        for (int i = 0; i < nests[nest]->n; i++) {
            taken->n += (nests[nest]->stride[nests[nest]->n + i] != 0) == moves;
        }
    }
    for (int nest = 0, found = 0; nest < 2; nest++) {
        const Loop *from = nests[nest];
        for (int i = 0; i < from->n; i++) {
            if ((from->stride[from->n + i] != 0) != moves) {
                continue;
            }
            taken->extent[found] = from->extent[i];
            for (int k = 0; k < n_operands; k++) {
                taken->stride[k * taken->n + found] = from->stride[k * from->n + i];
            }
            found++;
        }
    }
    return 0;
}

static int
make_differences(Machine *machine, Step *step)
{
    Differences *found = step->differences = machine_room(machine, sizeof(Differences));
    int n = step->n_axes, outer = n - (int)step->count;
    if (found == NULL || make_loop(machine, step, 0, outer, &found->result) < 0 ||
        make_loop(machine, step, outer, n, &found->sum) < 0) {
        return -1;
    }
    prefer_contiguous(&found->result, step->n_operands);
    const Loop *const nests[2] = {&found->result, &found->sum};
    return take_axes(machine, nests, step->n_operands, 1, &found->weighted) < 0
               ? -1 : take_axes(machine, nests, step->n_operands, 0, &found->rest);
}
