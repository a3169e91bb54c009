/* The memory of a run, and how a batch is divided. */

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
enum { FLAT_LANES = 64, FEW_FLAT_LANES = 32, FEWEST_LANES = 8, MOST_FLAT_BYTES = 1 << 22 };

/* The lanes of a full block, of a machine. Every block goes through all of STILL and SUMS, so where
   these are large, so is BLOCK. */
static Py_ssize_t
most_lanes(const Machine *machine)
{
    Py_ssize_t rows = machine->size[IN_BLOCK] + 1, lanes = BLOCK_BYTES / 8 / rows;
    Py_ssize_t balanced = (machine->size[IN_STILL] + machine->size[IN_SUMS]) / 2 / rows;
    balanced = balanced > WIDE_LANES ? WIDE_LANES : balanced;
    lanes = lanes < balanced ? balanced : lanes;
    if (machine->has_flat) { /* they go through so many lanes at a time */
        return lanes >= 3 * FLAT_LANES                       ? 3 * FLAT_LANES
               : lanes >= FLAT_LANES                         ? FLAT_LANES
               : 8 * FEW_FLAT_LANES * rows < MOST_FLAT_BYTES ? FEW_FLAT_LANES
                                                             : FEWEST_LANES;
    }
    lanes = lanes > MOST_LANES ? MOST_LANES : lanes & ~(Py_ssize_t)7;
    return lanes < FEWEST_LANES ? FEWEST_LANES : lanes > 16 && lanes % 16 == 0 ? lanes - 8 : lanes;
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
        if (machine->has_flat) {
            all.lanes = machine->lanes;
        }
        else if (all.lanes % 16 == 0 && all.lanes + 8 <= machine->lanes) {
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
