/* Nests of loops, made as short as they can be. */

/* Make of the first *n* axes of a step the shortest nest: without axes of one, neighbours merged. */
static int
make_loop(Machine *machine, const Step *step, int first, int n, Loop *loop)
{
    int n_operands = step->n_operands, all = step->n_axes;
    loop->n = 0;
    loop->extent = machine_room(machine, sizeof(Py_ssize_t) * (size_t)(n - first + 1));
    loop->stride = machine_room(
        machine, sizeof(Py_ssize_t) * (size_t)((n - first + 1) * n_operands));
    if (loop->extent == NULL || loop->stride == NULL) {
        return -1;
    }
    int kept[MOST_AXES] = {0};
    for (int axis = first; axis < n; axis++) {
        Py_ssize_t extent = step->extent[axis];
        if (extent == 1) {
            continue;
        }
        int merges = loop->n > 0;
        for (int k = 0; merges && k < n_operands; k++) {
            const Py_ssize_t *stride = step->stride + k * all;
            merges = stride[kept[loop->n - 1]] == extent * stride[axis];
        }
        if (merges) {
            loop->extent[loop->n - 1] *= extent;
            kept[loop->n - 1] = axis;
        }
        else {
            loop->extent[loop->n] = extent;
            kept[loop->n++] = axis;
        }
    }
    for (int k = 0; k < n_operands; k++) {
        for (int i = 0; i < loop->n; i++) {
            loop->stride[k * loop->n + i] = step->stride[k * all + kept[i]];
        }
    }
    return 0;
}

/* Choose the axis along which an element-wise step runs at one lane: the result's contiguous one. */
static void
prefer_contiguous(Loop *loop, int n_operands)
{
    int last = loop->n - 1;
    for (int axis = last - 1; last > 0 && loop->stride[last] != 1 && axis >= 0; axis--) {
        if (loop->stride[axis] == 1) {
            Py_ssize_t extent = loop->extent[axis];
            loop->extent[axis] = loop->extent[last];
            loop->extent[last] = extent;
            for (int k = 0; k < n_operands; k++) {
                Py_ssize_t *stride = loop->stride + k * loop->n, moved = stride[axis];
                stride[axis] = stride[last];
                stride[last] = moved;
            }
        }
    }
}
