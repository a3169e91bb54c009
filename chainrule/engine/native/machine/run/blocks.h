/* The blocks of a run, one after another; signals are heard between steps. */

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
        if (step->tiled != NULL && context->lanes == 1) {
            tiled(context, step->tiled);
            context->work += step->tiled->work;
            i += step->tiled->n_steps - 1;
        }
        else {
            do_step(context, step);
            context->work += lanes * step->work;
        }
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

/* How much room it takes to put outputs side by side: for each a place, a stride, and its number four
   times if that is the same for all lanes. */
static Py_ssize_t
room_for_outputs(const Machine *machine)
{
    return 6 * machine->n_outputs;
}

/* Put the outputs of each lane side by side. */
static void
put_turned(const Context *context, double *into)
{
    Py_ssize_t count = context->machine->n_outputs;
    const double **x = (const double **)context->scratch;
    Py_ssize_t *lane = (Py_ssize_t *)context->scratch + count;
    double *same = context->scratch + 2 * count; /* see room_for_outputs */
    for (Py_ssize_t i = 0; i < count; i++, same += 4) {
        x[i] = output_at(context, i, &lane[i]);
        if (!lane[i]) {
            same[0] = same[1] = same[2] = same[3] = *x[i];
            x[i] = same;
        }
    }
    context->vector->out_of_lanes(context->lanes, count, x, lane, into);
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
    if (run->output != NULL && run->division.m == 1 && machine->in_one_piece && machine->n_outputs) {
        Place place = machine->output[0];
        memcpy(run->output, context->space[place.space] + place.offset,
               sizeof(double) * (size_t)machine->n_outputs);
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
