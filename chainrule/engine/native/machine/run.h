/* A run: parameters and arguments in, the blocks one after another, results out. */

/* What one thread needs. */
typedef struct {
    double *memory; /* BLOCK, and then room for steps */
    size_t size;
} Bench;

enum { MOST_SHARDS = 16, MOST_THREADS = MOST_SHARDS };

#if defined(__GNUC__) && !defined(_WIN32) && !defined(__EMSCRIPTEN__)
#define HAS_THREADS 1
#include <pthread.h>
#include <signal.h>
#include <time.h>
#else
#define HAS_THREADS 0
#endif

typedef struct Workspace {
    struct Workspace *next;
    double *still;
    PyObject *parameters; /* the tuple of Values that STILL has the numbers of, or NULL */
    uint64_t writes;      /* when they were read */
    double *sums[MOST_SHARDS]; /* of the first shard, the total in the end; made when needed */
    Bench bench[MOST_THREADS];
} Workspace;

static void *
aligned_room(size_t size)
{
    char *memory = PyMem_RawCalloc(1, size + 64 + sizeof(void *));
    if (memory == NULL) {
        return NULL;
    }
    char *found = memory + sizeof(void *);
    found += 64 - (uintptr_t)found % 64;
    memcpy(found - sizeof(void *), &memory, sizeof(void *));
    return found;
}

static void
free_aligned(void *memory)
{
    if (memory != NULL) {
        void *start;
        memcpy(&start, (char *)memory - sizeof(void *), sizeof(void *));
        PyMem_RawFree(start);
    }
}

static void
free_workspace(Workspace *workspace)
{
    Py_XDECREF(workspace->parameters);
    free_aligned(workspace->still);
    for (int i = 0; i < MOST_SHARDS; i++) {
        free_aligned(workspace->sums[i]);
    }
    for (int i = 0; i < MOST_THREADS; i++) {
        free_aligned(workspace->bench[i].memory);
    }
    PyMem_RawFree(workspace);
}

static int
has_sums(const Machine *machine, Workspace *workspace, int shard)
{
    if (workspace->sums[shard] == NULL) {
        workspace->sums[shard] =
            aligned_room(sizeof(double) * (size_t)machine->size[IN_SUMS] + 8);
    }
    return workspace->sums[shard] != NULL;
}

static int
has_bench(const Machine *machine, Bench *bench, Py_ssize_t lanes)
{
    size_t size = (size_t)machine->size[IN_BLOCK] * (size_t)lanes + (size_t)machine->scratch + 16;
    if (bench->size < size) {
        free_aligned(bench->memory);
        bench->memory = aligned_room(sizeof(double) * size);
        bench->size = bench->memory != NULL ? size : 0;
    }
    return bench->memory != NULL;
}

/* Take a workspace of the machine's, or make one; NULL without memory. */
static Workspace *
take_workspace(Machine *machine)
{
    Workspace *workspace = machine->spare;
    if (workspace != NULL) {
        machine->spare = workspace->next;
        return workspace;
    }
    workspace = PyMem_RawCalloc(1, sizeof(Workspace));
    size_t size = sizeof(double) * (size_t)machine->size[IN_STILL];
    if (workspace == NULL || (workspace->still = aligned_room(size)) == NULL ||
        !has_sums(machine, workspace, 0)) {
        if (workspace != NULL) {
            free_workspace(workspace);
        }
        PyErr_NoMemory();
        return NULL;
    }
    memcpy(workspace->still, machine->still, size);
    return workspace;
}

static void
give_workspace(Machine *machine, Workspace *workspace)
{
    workspace->next = machine->spare;
    machine->spare = workspace;
}

/* --- how a batch is divided ------------------------------------------------------------------ */

enum { BLOCK_BYTES = 1 << 18, MOST_LANES = 248, WIDE_LANES = 120 }; /* see README.md */

/* The lanes of a full block, of a machine. Every block goes through all of STILL and SUMS, so where
   these are large, so is BLOCK. */
static Py_ssize_t
most_lanes(const Machine *machine)
{
    Py_ssize_t rows = machine->size[IN_BLOCK] + 1, lanes = BLOCK_BYTES / 8 / rows;
    Py_ssize_t balanced = (machine->size[IN_STILL] + machine->size[IN_SUMS]) / 2 / rows;
    balanced = balanced > WIDE_LANES ? WIDE_LANES : balanced;
    lanes = lanes < balanced ? balanced : lanes;
    lanes = lanes > MOST_LANES ? MOST_LANES : lanes & ~(Py_ssize_t)7;
    return lanes < 8 ? 8 : lanes > 16 && lanes % 16 == 0 ? lanes - 8 : lanes;
}

typedef struct {
    Py_ssize_t m, lanes, n_blocks;
    int n_shards;
} Division;

/* Divide *m* examples into blocks of the same number of lanes, but the last, and those into shards. It
   depends on *m* alone, and so the result does not depend on the number of threads. */
static Division
division_of(const Machine *machine, Py_ssize_t m)
{
    Division all = {m, m, m > 0, 1};
    if (m > machine->lanes) {
        Py_ssize_t n = (m - 1) / machine->lanes + 1;
        all.lanes = ((m - 1) / n + 8) & ~(Py_ssize_t)7;
        if (all.lanes % 16 == 0 && all.lanes + 8 <= machine->lanes) {
            all.lanes += 8; /* rows that lie an odd number of cache lines apart */
        }
        all.n_blocks = (m - 1) / all.lanes + 1;
    }
    while (all.n_shards < MOST_SHARDS && 3 * all.n_shards <= all.n_blocks) {
        all.n_shards *= 2;
    }
    return all;
}

/* The first block of a shard; that of the one behind it is its end. */
static Py_ssize_t
shard_start(const Division *all, int shard)
{
    Py_ssize_t each = all->n_blocks / all->n_shards, more = all->n_blocks % all->n_shards;
    return shard * each + (shard < more ? shard : more);
}

/* --- a run ----------------------------------------------------------------------------------- */

typedef struct {
    const double *x;
    Py_ssize_t apart; /* from one example to the next */
} Argument;

typedef struct Run {
    const Machine *machine;
    Workspace *workspace;
    const Argument *argument;
    double *output;
    const double *total; /* the sums of all shards, if these were done elsewhere; else NULL */
    int is_part;         /* one shard of a batch, whose steps AFTER are done elsewhere */
    Division division;
    double work;
    int n_threads;
    PyThreadState *thread; /* while the interpreter's lock is released */
#if HAS_THREADS
    pthread_mutex_t mutex;
    pthread_cond_t done;
    int n_running;
#endif
    int next_shard;
    int stopped; /* by an exception that is set, or by a bad count */
    int next_bench;
    Py_ssize_t bad_count;
} Run;

enum { WORTH_RELEASING = 200000, WORTH_A_THREAD = 500000, WORTH_ASKING = 10000000 }; /* work */

static int
add_up(int *number, int n) /* return what it was */
{
#if HAS_THREADS
    return __atomic_fetch_add(number, n, __ATOMIC_RELAXED);
#else
    int was = *number;
    *number += n;
    return was;
#endif
}

static int
is_stopped(const Run *run)
{
#if HAS_THREADS
    return __atomic_load_n(&run->stopped, __ATOMIC_RELAXED);
#else
    return run->stopped;
#endif
}

static void
stop(Run *run)
{
    add_up(&run->stopped, 1);
}

/* Let Python look for signals; only from the thread that Python knows. */
static void
ask_for_signals(Run *run)
{
    int released = run->thread != NULL;
    if (released) {
        PyEval_RestoreThread(run->thread);
    }
    if (PyErr_CheckSignals() < 0) {
        stop(run);
    }
    if (released) {
        run->thread = PyEval_SaveThread();
    }
}

/* Do the steps from *first* on up to *end*; whether to go on. */
static int
do_range(Run *run, Context *context, const Steps *steps, Py_ssize_t first, Py_ssize_t end)
{
    double lanes = (double)context->lanes;
    for (Py_ssize_t i = first; i < end; i++) {
        const Step *step = &steps->step[i];
        if (step->code == STEP_loop) {
            Py_ssize_t around = context->round;
            for (Py_ssize_t k = 0; k < step->count; k++) {
                context->round = k;
                if (!do_range(run, context, steps, i + 1, i + 1 + step->step)) {
                    return 0;
                }
            }
            context->round = around;
            i += step->step;
            continue;
        }
        do_step(context, step);
        context->work += lanes * step->work;
        if (context->bad_count) {
            stop(run);
            return 0;
        }
        if (context->work > WORTH_ASKING) {
            context->work = 0.0;
            if (context->asks) {
                ask_for_signals(run);
            }
            if (is_stopped(run)) {
                return 0;
            }
        }
    }
    return 1;
}

static void
do_steps(Run *run, Context *context, const Steps *steps)
{
    do_range(run, context, steps, 0, steps->n);
}

/* The numbers of an output, and how far they lie apart: 1, or 0. */
static const double *
output_at(const Context *context, Py_ssize_t i, Py_ssize_t *lane)
{
    Place place = context->machine->output[i];
    *lane = place.space == IN_BLOCK;
    return context->space[place.space] + place.offset * (*lane ? context->lanes : 1);
}

/* Put the outputs of each lane side by side, four of them at a time. */
static void
put_turned(const Context *context, double *into)
{
    Py_ssize_t n = context->lanes, count = context->machine->n_outputs;
    for (Py_ssize_t i = 0; i < count; i += 4) {
        int some = count - i < 4 ? (int)(count - i) : 4;
        const double *x[4];
        Py_ssize_t lane[4];
        for (int k = 0; k < 4; k++) {
            x[k] = output_at(context, i + (k < some ? k : 0), &lane[k]);
        }
        double *at = into + i;
        for (Py_ssize_t l = 0; some == 4 && l < n; l++, at += count) {
            at[0] = x[0][l * lane[0]];
            at[1] = x[1][l * lane[1]];
            at[2] = x[2][l * lane[2]];
            at[3] = x[3][l * lane[3]];
        }
        for (Py_ssize_t l = 0; some < 4 && l < n; l++, at += count) {
            for (int k = 0; k < some; k++) {
                at[k] = x[k][l * lane[k]];
            }
        }
    }
}

static void
do_block(Run *run, Context *context, Py_ssize_t block)
{
    const Machine *machine = run->machine;
    Py_ssize_t first = block * run->division.lanes, left = run->division.m - first;
    Py_ssize_t n = left < run->division.lanes ? left : run->division.lanes;
    context->lanes = n;
    for (Py_ssize_t i = 0; i < machine->n_inputs; i++) {
        Input input = machine->input[i];
        Argument argument = run->argument[i];
        if (input.size) {
            context->vector->into_lanes(n, input.size, argument.x + first * argument.apart,
                                        argument.apart, context->space[IN_BLOCK] + input.row * n);
        }
    }
    do_steps(run, context, &machine->list[EACH]);
    if (run->output != NULL && machine->turned) {
        put_turned(context, run->output + first * machine->n_outputs);
        return;
    }
    for (Py_ssize_t i = 0; run->output != NULL && i < machine->n_outputs; i++) {
        Py_ssize_t lane;
        const double *x = output_at(context, i, &lane);
        copy_stretch(n, run->output + i * run->division.m + first, 1, x, lane);
    }
}

static Context
context_on(const Run *run, int bench)
{
    const Machine *machine = run->machine;
    const Bench *place = &run->workspace->bench[bench];
    return (Context){
        .machine = machine,
        .vector = machine->vector,
        .space = {run->workspace->still, place->memory, run->workspace->sums[0]},
        .lanes = 1,
        .scratch = place->memory + place->size - machine->scratch,
    };
}

/* Do one shard after another, as long as there are any. On one thread their sums are added to those of
   the first as they come; on several each has its own, and they are added in the same order later. */
static void
do_shards(Run *run, Context *context)
{
    const Machine *machine = run->machine;
    Workspace *workspace = run->workspace;
    size_t n_sums = (size_t)machine->size[IN_SUMS];
    for (int shard; !is_stopped(run) &&
                    (shard = add_up(&run->next_shard, 1)) < run->division.n_shards;) {
        int alone = run->n_threads == 1;
        double *sums = workspace->sums[alone ? shard > 0 : shard];
        memset(sums, 0, sizeof(double) * n_sums);
        context->space[IN_SUMS] = sums;
        Py_ssize_t end = shard_start(&run->division, shard + 1);
        for (Py_ssize_t block = shard_start(&run->division, shard);
             block < end && !is_stopped(run); block++) {
            do_block(run, context, block);
        }
        if (alone && shard > 0) {
            context->vector->add_to((Py_ssize_t)n_sums, workspace->sums[0], sums, 1);
        }
    }
}

#if HAS_THREADS

static void
finished_bench(Run *run, const Context *context)
{
    pthread_mutex_lock(&run->mutex);
    run->n_running--;
    run->bad_count = context->bad_count ? context->bad_count : run->bad_count;
    pthread_cond_signal(&run->done);
    pthread_mutex_unlock(&run->mutex);
}

static void *
work_along(void *given)
{
    Run *run = given;
    Context context = context_on(run, add_up(&run->next_bench, 1));
    do_shards(run, &context);
    finished_bench(run, &context);
    return NULL;
}

/* Wait for the others, and for signals meanwhile. */
static void
wait_for_others(Run *run)
{
    pthread_mutex_lock(&run->mutex);
    while (run->n_running > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (pthread_cond_timedwait(&run->done, &run->mutex, &until) != 0 && !is_stopped(run)) {
            pthread_mutex_unlock(&run->mutex);
            ask_for_signals(run);
            pthread_mutex_lock(&run->mutex);
        }
    }
    pthread_mutex_unlock(&run->mutex);
}

static void
share_shards(Run *run, Context *context)
{
    pthread_t other[MOST_THREADS];
    sigset_t all, before;
    int n = 0;
    pthread_mutex_init(&run->mutex, NULL);
    pthread_cond_init(&run->done, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for Python's threads */
    run->n_running = run->n_threads - 1;
    run->next_bench = 1;
    while (n < run->n_threads - 1 && pthread_create(&other[n], NULL, work_along, run) == 0) {
        n++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_mutex_lock(&run->mutex);
    run->n_running -= run->n_threads - 1 - n; /* those that there cannot be */
    pthread_mutex_unlock(&run->mutex);
    do_shards(run, context);
    wait_for_others(run);
    for (int i = 0; i < n; i++) {
        pthread_join(other[i], NULL);
    }
    pthread_mutex_destroy(&run->mutex);
    pthread_cond_destroy(&run->done);
    for (int shard = 1; shard < run->division.n_shards && !is_stopped(run); shard++) {
        context->vector->add_to(run->machine->size[IN_SUMS], run->workspace->sums[0],
                                run->workspace->sums[shard], 1);
    }
}

#endif

/* Do all of it; whether it was done, and not stopped. */
static int
do_run(Run *run)
{
    const Machine *machine = run->machine;
    Context context = context_on(run, 0);
    context.asks = 1;
    if (run->work > WORTH_RELEASING) {
        run->thread = PyEval_SaveThread();
    }
    do_steps(run, &context, &machine->list[BEFORE]);
    if (run->total != NULL) {
        memcpy(run->workspace->sums[0], run->total, sizeof(double) * (size_t)machine->size[IN_SUMS]);
    }
#if HAS_THREADS
    else if (run->n_threads > 1) {
        share_shards(run, &context);
    }
#endif
    else {
        do_shards(run, &context);
    }
    context.lanes = 1;
    context.space[IN_SUMS] = run->workspace->sums[0];
    if (!is_stopped(run) && !run->is_part) {
        do_steps(run, &context, &machine->list[AFTER]);
    }
    if (run->thread != NULL) {
        PyEval_RestoreThread(run->thread);
    }
    run->bad_count = context.bad_count ? context.bad_count : run->bad_count;
    return !is_stopped(run);
}

/* --- what Python gives and gets -------------------------------------------------------------- */

/* Read the parameters into STILL: from Values, or from a vector. No step writes there, so a tuple of
   Values need not be read again as long as nobody writes to a leaf. */
static int
take_parameters(const Machine *machine, PyObject *given, Workspace *workspace)
{
    const State *state = machine->state;
    Py_ssize_t n = machine->parameters[1] - machine->parameters[0];
    double *into = workspace->still + machine->parameters[0];
    Segment segment;
    if (given == workspace->parameters && workspace->writes == state->writes) {
        return 0;
    }
    Py_CLEAR(workspace->parameters);
    if (segment_of(given, &segment)) {
        const PyTypeObject *type = state->value_type;
        for (Py_ssize_t i = 0; segment.n == n && i < n; i++) {
            if (Py_TYPE(segment.item[i]) != type) {
                PyErr_Format(PyExc_TypeError, "Machine.run: expected Values as parameters, not %R",
                             segment.item[i]);
                return -1;
            }
            into[i] = ((Node *)segment.item[i])->data;
        }
        if (segment.n != n) {
            PyErr_Format(PyExc_ValueError, "Machine.run: expected %zd parameters, not %zd", n,
                         segment.n);
            return -1;
        }
        if (PyTuple_CheckExact(given)) {
            workspace->parameters = Py_NewRef(given);
            workspace->writes = state->writes;
        }
        return 0;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(given, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
        return -1;
    }
    int fits = view.format != NULL && strcmp(view.format, "d") == 0 &&
               view.len == n * (Py_ssize_t)sizeof(double);
    if (fits) {
        memcpy(into, view.buf, (size_t)view.len);
    }
    else {
        PyErr_Format(PyExc_ValueError, "Machine.run: expected %zd parameters of float64", n);
    }
    PyBuffer_Release(&view);
    return fits ? 0 : -1;
}

typedef struct {
    Py_buffer view;
    double *copy; /* of an array whose examples are not in one piece, or NULL */
} Given;

enum { FEW = 4 };

typedef struct {
    Py_ssize_t n; /* how many are taken */
    Given *given, few[FEW];
    Argument *argument, few_arguments[FEW];
} Arguments;

static void
release_arguments(Arguments *arguments)
{
    for (Py_ssize_t i = 0; i < arguments->n; i++) {
        PyMem_Free(arguments->given[i].copy);
        PyBuffer_Release(&arguments->given[i].view);
    }
    if (arguments->given != arguments->few) {
        PyMem_Free(arguments->given);
        PyMem_Free(arguments->argument);
    }
}

/* See that an array holds examples of *size* numbers, if they are read; how many, or -1. */
static Py_ssize_t
examples_in(Given *given, Py_ssize_t size, Argument *argument)
{
    const Py_buffer *view = &given->view;
    if (view->format == NULL || strcmp(view->format, "d") != 0 || view->ndim < 1) {
        PyErr_SetString(PyExc_ValueError,
                        "Machine.run: expected arrays of float64 with an axis for the examples");
        return -1;
    }
    Py_ssize_t each = 1, step = (Py_ssize_t)sizeof(double);
    int in_one_piece = view->strides[0] % step == 0 && (uintptr_t)view->buf % sizeof(double) == 0;
    for (int axis = view->ndim - 1; axis > 0; axis--) {
        in_one_piece = in_one_piece &&
                       (view->shape[axis] == 1 || view->strides[axis] == step * each);
        each *= view->shape[axis];
    }
    *argument = (Argument){view->buf, view->strides[0] / step};
    if (size == 0 || view->shape[0] == 0) {
        return view->shape[0];
    }
    if (each != size) {
        PyErr_Format(PyExc_ValueError, "Machine.run: expected %zd numbers of each example, not %zd",
                     size, each);
        return -1;
    }
    if (!in_one_piece) {
        given->copy = PyMem_Malloc((size_t)view->len);
        if (given->copy == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        if (PyBuffer_ToContiguous(given->copy, (Py_buffer *)view, view->len, 'C') < 0) {
            return -1;
        }
        *argument = (Argument){given->copy, size};
    }
    return view->shape[0];
}

/* Whether an argument is an array of float64 whose examples have that very shape. */
static int
is_of_shape(const Py_buffer *view, PyObject *shape)
{
    if (!PyTuple_Check(shape) || view->ndim != 1 + PyTuple_GET_SIZE(shape) ||
        view->format == NULL || strcmp(view->format, "d") != 0) {
        return 0;
    }
    for (int axis = 1; axis < view->ndim; axis++) {
        if (view->shape[axis] != PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, axis - 1))) {
            PyErr_Clear();
            return 0;
        }
    }
    return view->shape[0] > 0;
}

enum { UNFIT = -2 };

/* Take the arguments; how many examples there are, or -1. If *shapes* are given, arguments that are not
   arrays of float64 with such examples, one at least, are UNFIT. */
static Py_ssize_t
take_arguments(const Machine *machine, PyObject *tuple, PyObject *shapes, Arguments *arguments)
{
    Py_ssize_t n = machine->n_inputs, m = 1;
    arguments->given = arguments->few;
    arguments->argument = arguments->few_arguments;
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != n) {
        if (shapes != NULL) {
            return UNFIT;
        }
        PyErr_Format(PyExc_ValueError, "Machine.run: expected a tuple of %zd arguments", n);
        return -1;
    }
    if (n > FEW) {
        arguments->given = PyMem_Calloc((size_t)n, sizeof(Given));
        arguments->argument = PyMem_Calloc((size_t)n, sizeof(Argument));
        if (arguments->given == NULL || arguments->argument == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        Given *given = &arguments->given[i];
        PyObject *array = PyTuple_GET_ITEM(tuple, i);
        given->copy = NULL;
        if (shapes != NULL && (PyObject *)Py_TYPE(array) != machine->array) {
            return UNFIT;
        }
        if (PyObject_GetBuffer(array, &given->view, PyBUF_STRIDES | PyBUF_FORMAT) < 0) {
            return -1;
        }
        arguments->n++;
        if (shapes != NULL && !is_of_shape(&given->view, PyTuple_GET_ITEM(shapes, i))) {
            return UNFIT;
        }
        Py_ssize_t found = examples_in(given, machine->input[i].size, &arguments->argument[i]);
        if (found < 0) {
            return -1;
        }
        if (i > 0 && found != m && shapes != NULL) {
            return UNFIT;
        }
        if (i > 0 && found != m) {
            PyErr_Format(PyExc_ValueError,
                         "Machine.run: expected as many examples in all arguments, not %zd and %zd",
                         m, found);
            return -1;
        }
        m = found;
    }
    return m;
}

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
