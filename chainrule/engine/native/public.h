/* The functions that users call with lists: sum, mean, logsumexp, dot. */

/* The items of a list or tuple; 0 for anything else. */
static int
segment_of(PyObject *sequence, Segment *segment)
{
    if (!PyList_CheckExact(sequence) && !PyTuple_CheckExact(sequence)) {
        return 0;
    }
    segment->item = PySequence_Fast_ITEMS(sequence);
    segment->n = PySequence_Fast_GET_SIZE(sequence);
    return 1;
}

static PyObject *
ask_reference(State *state, int which, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    if (state->published[which].reference == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the module is being torn down");
        return NULL;
    }
    return PyObject_Vectorcall(state->published[which].reference, args, n, names);
}

/* A variadic primitive on a list or tuple that is not empty. */
ALWAYS_INLINE PyObject *
public_reduction(PyObject *module, int which, int kernel, PyObject *const *args, Py_ssize_t n,
                 PyObject *names)
{
    State *state = PyModule_GetState(module);
    Segment segment;
    if (n == 1 && names == NULL && segment_of(args[0], &segment) && segment.n > 0) {
        PyObject *y = variadic(state, kernel, &segment);
        if (y != Py_NotImplemented) {
            return y;
        }
        Py_DECREF(y);
    }
    return ask_reference(state, which, args, n, names);
}

static PyObject *
public_sum(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    return public_reduction(module, PUBLIC_SUM, SUM, args, n, names);
}

static PyObject *
public_mean(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    return public_reduction(module, PUBLIC_MEAN, MEAN, args, n, names);
}

static PyObject *
public_logsumexp(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    return public_reduction(module, PUBLIC_LOGSUMEXP, LOGSUMEXP, args, n, names);
}

/* The dot primitive on two lists or tuples. */
static PyObject *
public_dot(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    State *state = PyModule_GetState(module);
    Py_ssize_t n_named = names ? PyTuple_GET_SIZE(names) : 0;
    int named_bias = n == 2 && n_named == 1 &&
                     !PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "bias");
    Segment weights, inputs;
    if ((named_bias || ((n == 2 || n == 3) && n_named == 0)) && segment_of(args[0], &weights) &&
        segment_of(args[1], &inputs) && weights.n == inputs.n) {
        PyObject *bias = n + n_named == 3 ? args[2] : state->no_bias;
        PyObject *z = dot(state, &weights, PyTuple_CheckExact(args[0]) ? args[0] : NULL, &inputs,
                          PyTuple_CheckExact(args[1]) ? args[1] : NULL, bias);
        if (z != Py_NotImplemented) {
            return z;
        }
        Py_DECREF(z);
    }
    return ask_reference(state, PUBLIC_DOT, args, n, names);
}

/* published(function, doc): the function of its name that users call; *doc* begins with its
   signature. */
static PyObject *
published(PyObject *module, PyObject *args)
{
#define PUBLIC(NAME, name) [PUBLIC_##NAME] = {#name, public_##name},
    static const struct {
        const char *name;
        PyObject *(*function)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
    } public[N_PUBLISHED] = {PUBLISHED(PUBLIC)};
#undef PUBLIC
    State *state = PyModule_GetState(module);
    PyObject *function, *doc, *result = NULL;
    if (!PyArg_ParseTuple(args, "OU:published", &function, &doc)) {
        return NULL;
    }
    PyObject *name = PyObject_GetAttrString(function, "__name__");
    PyObject *room = PyObject_GetAttrString(function, "__module__");
    const char *text = PyUnicode_AsUTF8(doc);
    int which = 0;
    while (name != NULL && which < N_PUBLISHED &&
           !(PyUnicode_Check(name) &&
             PyUnicode_CompareWithASCIIString(name, public[which].name) == 0)) {
        which++;
    }
    if (name == NULL || room == NULL || text == NULL) {
        goto done;
    }
    if (which == N_PUBLISHED) {
        PyErr_Format(PyExc_ValueError, "published: there is no %R here", name);
        goto done;
    }
    if (state->published[which].reference != NULL) { /* its definition holds its text */
        PyErr_Format(PyExc_RuntimeError, "published: there is one %R already", name);
        goto done;
    }
    state->published[which].def =
        (PyMethodDef){public[which].name, (PyCFunction)(void (*)(void))public[which].function,
                      METH_FASTCALL | METH_KEYWORDS, text};
    state->published[which].reference = Py_NewRef(function);
    state->published[which].doc = Py_NewRef(doc);
    result = PyCFunction_NewEx(&state->published[which].def, module, room);
done:
    Py_XDECREF(name);
    Py_XDECREF(room);
    return result;
}
