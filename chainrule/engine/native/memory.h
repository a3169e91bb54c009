/* Where nodes live: slabs in arenas, kept in the order in which they were opened. */

ALWAYS_INLINE Arena *
arena_of(const Node *node)
{
    return (Arena *)((char *)(node - node->place) - offsetof(Arena, node));
}

ALWAYS_INLINE Slab *
slab_of(const Node *node)
{
    return &arena_of(node)->slab[node->place / SLAB_NODES];
}

ALWAYS_INLINE uint64_t
bit_of(const Node *node)
{
    return (uint64_t)1 << (node->place % SLAB_NODES);
}

ALWAYS_INLINE Arena *
arena_of_slab(const Slab *slab)
{
    return (Arena *)((char *)(slab - slab->index) - offsetof(Arena, slab));
}

ALWAYS_INLINE Node *
nodes_of(const Slab *slab)
{
    return &arena_of_slab(slab)->node[slab->index * SLAB_NODES];
}

ALWAYS_INLINE int
highest_bit(uint64_t word) /* of a word that is not 0 */
{
#if defined(__GNUC__)
    return 63 - __builtin_clzll(word);
#else
    int bit = 0;
    for (int step = 32; step; step /= 2) {
        if (word >> step) {
            word >>= step;
            bit += step;
        }
    }
    return bit;
#endif
}

/* Let the address sanitizer know that no node is here; but sweeps look into `reached`. */
ALWAYS_INLINE void
poison(Node *node)
{
    ASAN_POISON_MEMORY_REGION(node, offsetof(Node, place));
    ASAN_POISON_MEMORY_REGION(&node->operand, sizeof(Node) - offsetof(Node, operand));
}

static void
push_slab(Slab **list, Slab *slab)
{
    slab->previous = NULL;
    slab->next = *list;
    if (*list != NULL) {
        (*list)->previous = slab;
    }
    *list = slab;
}

static void
remove_slab(Slab **list, Slab *slab)
{
    if (slab->previous != NULL) {
        slab->previous->next = slab->next;
    }
    else {
        *list = slab->next;
    }
    if (slab->next != NULL) {
        slab->next->previous = slab->previous;
    }
}

static int
new_arena(State *state)
{
    size_t queue_size = (state->n_arenas + 1) * ARENA_SLABS * sizeof(Slab *);
    Slab **queue = PyMem_Realloc(state->queue, queue_size);
    if (queue == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    state->queue = queue;
    Arena *arena = PyMem_RawMalloc(sizeof(Arena));
    if (arena == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    arena->state = state;
    arena->previous = NULL;
    arena->next = state->arenas;
    if (state->arenas != NULL) {
        state->arenas->previous = arena;
    }
    state->arenas = arena;
    state->n_arenas++;
    state->n_spare++;
    arena->n_empty = ARENA_SLABS;
    for (int i = ARENA_SLABS - 1; i >= 0; i--) { /* so that slab 0 is taken first */
        Slab *slab = &arena->slab[i];
        slab->index = (uint16_t)i;
        slab->live = slab->queued = 0;
        push_slab(&state->empty, slab);
    }
    for (int i = 0; i < ARENA_SLABS * SLAB_NODES; i++) {
        poison(&arena->node[i]);
    }
    return 0;
}

static void
free_arena(State *state, Arena *arena)
{
    if (arena->previous != NULL) {
        arena->previous->next = arena->next;
    }
    else {
        state->arenas = arena->next;
    }
    if (arena->next != NULL) {
        arena->next->previous = arena->previous;
    }
    state->n_arenas--;
    ASAN_UNPOISON_MEMORY_REGION(arena->node, sizeof(arena->node));
    PyMem_RawFree(arena);
}

static Slab *
take_slab(State *state, uint64_t number)
{
    if (state->empty == NULL && new_arena(state) < 0) {
        return NULL;
    }
    Slab *slab = state->empty;
    remove_slab(&state->empty, slab);
    Arena *arena = arena_of_slab(slab);
    if (arena->n_empty-- == ARENA_SLABS) {
        state->n_spare--;
    }
    slab->number = number;
    return slab;
}

static void
give_slab_back(State *state, Slab *slab)
{
    push_slab(&state->empty, slab);
    Arena *arena = arena_of_slab(slab);
    if (++arena->n_empty < ARENA_SLABS) {
        return;
    }
    if (state->n_spare < SPARE_ARENAS) {
        state->n_spare++;
        return;
    }
    for (int i = 0; i < ARENA_SLABS; i++) {
        remove_slab(&state->empty, &arena->slab[i]);
    }
    free_arena(state, arena);
}
