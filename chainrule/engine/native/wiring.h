/* What depends on what in the compiler's lists: walks over the inputs of their entries. */

/* Which inputs the entries of a tape have, as it was given to us: anything may stand in it, and
   whatever runs meanwhile may write to it, so every number is looked at where it is used. */
typedef struct {
    const int64_t *start, *input;
    Py_ssize_t n_inputs;
} Wiring;

static int
is_aligned(const Py_buffer *view, size_t size)
{
    return (uintptr_t)view->buf % size == 0 && view->len % (Py_ssize_t)size == 0;
}

/* Take the wiring of *n* entries; 0 if it is not one. */
static int
take_wiring(Wiring *wiring, const Py_buffer *starts, const Py_buffer *inputs, Py_ssize_t n)
{
    *wiring = (Wiring){starts->buf, inputs->buf, inputs->len / (Py_ssize_t)sizeof(int64_t)};
    return is_aligned(starts, sizeof(int64_t)) && is_aligned(inputs, sizeof(int64_t)) &&
           starts->len / (Py_ssize_t)sizeof(int64_t) == n + 1 && wiring->start[0] == 0 &&
           wiring->start[n] == wiring->n_inputs;
}

/* Find the inputs of entry *k*; 0 if they cannot be. */
ALWAYS_INLINE int
inputs_of(const Wiring *wiring, Py_ssize_t k, const int64_t **input, Py_ssize_t *count)
{
    int64_t start = wiring->start[k], end = wiring->start[k + 1];
    *input = wiring->input + (start < 0 ? 0 : start);
    *count = (Py_ssize_t)(end - start);
    return 0 <= start && start <= end && end <= wiring->n_inputs;
}

/* longest_paths(starts, inputs, depth): for every entry of such lists, 0 without inputs, else one
   more than the largest of its inputs has, into *depth*, int64. */
static PyObject *
longest_paths(PyObject *module, PyObject *given)
{
    (void)module;
    Py_buffer starts, inputs, depths;
    if (!PyArg_ParseTuple(given, "y*y*w*:longest_paths", &starts, &inputs, &depths)) {
        return NULL;
    }
    Wiring wiring;
    int64_t *depth = depths.buf;
    Py_ssize_t n = depths.len / (Py_ssize_t)sizeof(int64_t);
    int fits = is_aligned(&depths, sizeof(int64_t)) && take_wiring(&wiring, &starts, &inputs, n);
    for (Py_ssize_t k = 0; fits && k < n; k++) {
        const int64_t *input;
        Py_ssize_t count;
        int64_t deepest = -1;
        fits = inputs_of(&wiring, k, &input, &count);
        for (Py_ssize_t i = 0; fits && i < count; i++) {
            int64_t at = input[i];
            fits = 0 <= at && at < k;
            deepest = fits && depth[at] > deepest ? depth[at] : deepest;
        }
        depth[k] = deepest + 1;
    }
    PyBuffer_Release(&starts);
    PyBuffer_Release(&inputs);
    PyBuffer_Release(&depths);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "longest_paths: expected inputs before their users");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Whether *view* has one byte for each of *n*. */
static int
is_bytes(const Py_buffer *view, Py_ssize_t n)
{
    return view->len == n;
}

/* reach(starts, inputs, edges, marks): mark every entry that has an input which is marked, of those
   that a byte of *edges* does not leave out.  *marks* has a byte for each entry. */
static PyObject *
reach(PyObject *module, PyObject *given)
{
    (void)module;
    Py_buffer starts, inputs, edges, marks;
    if (!PyArg_ParseTuple(given, "y*y*y*w*:reach", &starts, &inputs, &edges, &marks)) {
        return NULL;
    }
    Wiring wiring;
    const uint8_t *edge = edges.buf;
    uint8_t *mark = marks.buf;
    Py_ssize_t n = marks.len;
    int fits = take_wiring(&wiring, &starts, &inputs, n) && is_bytes(&edges, wiring.n_inputs);
    for (Py_ssize_t k = 0; fits && k < n; k++) {
        const int64_t *input;
        Py_ssize_t count;
        fits = inputs_of(&wiring, k, &input, &count);
        for (Py_ssize_t i = 0; fits && i < count; i++) {
            int64_t at = input[i];
            fits = 0 <= at && at < k;
            mark[k] |= fits && edge[input - wiring.input + i] && mark[at];
        }
    }
    PyBuffer_Release(&starts);
    PyBuffer_Release(&inputs);
    PyBuffer_Release(&edges);
    PyBuffer_Release(&marks);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "reach: expected inputs before their users");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* descend(starts, inputs, edges, ceilings, marks): from the last entry to the first, raise the mark of
   each input, by the *edges*, to the mark of the entry, but not above its ceiling. */
static PyObject *
descend(PyObject *module, PyObject *given)
{
    (void)module;
    Py_buffer starts, inputs, edges, ceilings, marks;
    if (!PyArg_ParseTuple(given, "y*y*y*y*w*:descend", &starts, &inputs, &edges, &ceilings, &marks)) {
        return NULL;
    }
    Wiring wiring;
    const uint8_t *edge = edges.buf, *ceiling = ceilings.buf;
    uint8_t *mark = marks.buf;
    Py_ssize_t n = marks.len;
    int fits = take_wiring(&wiring, &starts, &inputs, n) && is_bytes(&edges, wiring.n_inputs) &&
               is_bytes(&ceilings, n);
    for (Py_ssize_t k = n - 1; fits && k >= 0; k--) {
        const int64_t *input;
        Py_ssize_t count;
        uint8_t mine = mark[k] < ceiling[k] ? mark[k] : ceiling[k];
        fits = inputs_of(&wiring, k, &input, &count);
        for (Py_ssize_t i = 0; fits && mine > 0 && i < count; i++) {
            int64_t at = input[i];
            fits = 0 <= at && at < k;
            if (fits && edge[input - wiring.input + i] && mark[at] < mine) {
                mark[at] = mine;
            }
        }
    }
    PyBuffer_Release(&starts);
    PyBuffer_Release(&inputs);
    PyBuffer_Release(&edges);
    PyBuffer_Release(&ceilings);
    PyBuffer_Release(&marks);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "descend: expected inputs before their users");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* allot(results, arguments, dies, place, first): the places of registers, as compiler/lifetimes.py has
   it; a byte of *dies* says that a register needs no place after the last step that touches it, and -1
   stands in *place* for none yet.  Return where they end. */
static PyObject *
allot(PyObject *module, PyObject *given)
{
    (void)module;
    Py_buffer results, arguments, dies, places;
    Py_ssize_t stop;
    if (!PyArg_ParseTuple(given, "y*y*y*w*n:allot", &results, &arguments, &dies, &places, &stop)) {
        return NULL;
    }
    const int32_t *result = results.buf, *argument = arguments.buf;
    const uint8_t *dying = dies.buf;
    int32_t *place = places.buf, *free = NULL, *last = NULL;
    Py_ssize_t n = results.len / (Py_ssize_t)sizeof(int32_t), n_free = 0, size = dies.len;
    Py_ssize_t width = n > 0 ? arguments.len / results.len : 0;
    int fits = is_aligned(&results, sizeof(int32_t)) && is_aligned(&arguments, sizeof(int32_t)) &&
               is_aligned(&places, sizeof(int32_t)) && arguments.len == width * results.len &&
               places.len == size * (Py_ssize_t)sizeof(int32_t) && n < INT32_MAX &&
               stop >= 0 && stop < INT32_MAX - n;
    int failed = enlarge(&last, (size + 1) * (Py_ssize_t)sizeof(int32_t)) < 0 ||
                 enlarge(&free, (size + 1) * (Py_ssize_t)sizeof(int32_t)) < 0;
    for (Py_ssize_t i = 0; fits && !failed && i < n; i++) {
        for (Py_ssize_t k = 0; fits && k <= width; k++) {
            int32_t at = k < width ? argument[width * i + k] : result[i];
            fits = at < size && (k < width ? at >= -1 : at >= 0);
            if (fits && at >= 0) {
                last[at] = (int32_t)i;
            }
        }
    }
    for (Py_ssize_t i = 0; fits && !failed && i < n; i++) {
        if (place[result[i]] < 0) {
            place[result[i]] = n_free > 0 ? free[--n_free] : (int32_t)stop++;
        }
        for (Py_ssize_t k = 0; k <= width; k++) {
            int32_t at = k < width ? argument[width * i + k] : result[i];
            if (at >= 0 && last[at] == i && dying[at]) {
                last[at] = -1; /* what occurs twice is freed once */
                free[n_free++] = place[at];
            }
        }
    }
    PyMem_Free(free);
    PyMem_Free(last);
    PyBuffer_Release(&results);
    PyBuffer_Release(&arguments);
    PyBuffer_Release(&dies);
    PyBuffer_Release(&places);
    if (!fits && !failed) {
        PyErr_SetString(PyExc_ValueError, "allot: expected registers that there are");
    }
    return fits && !failed ? PyLong_FromSsize_t(stop) : NULL;
}
