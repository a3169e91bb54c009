/* The shards of a run, on one thread or on several. */

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
