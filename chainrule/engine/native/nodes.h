/* Nodes made and released, and the blocks of those with many terms. */

ALWAYS_INLINE Node *
node_in(State *state, Slab *slab, int slot)
{
    Node *node = nodes_of(slab) + slot;
    ASAN_UNPOISON_MEMORY_REGION(node, sizeof(Node));
    slab->live |= (uint64_t)1 << slot;
#ifdef Py_REF_DEBUG
    (void)PyObject_Init((PyObject *)node, state->value_type);
#else
    Py_INCREF(state->value_type);
    memset(node, 0, sizeof(PyObject)); /* what was here before may look immortal, from 3.12 on */
    Py_SET_TYPE((PyObject *)node, state->value_type);
    Py_SET_REFCNT((PyObject *)node, 1);
#endif
    node->serial = state->serial++;
    node->place = (uint16_t)(slab->index * SLAB_NODES + slot);
    node->reached = node->listed = 0;
    node->weakrefs = NULL;
    return node;
}

NEVER_INLINE int
open_slab(State *state)
{
    Slab *slab = take_slab(state, state->slab_number + 1);
    if (slab == NULL) {
        return -1;
    }
    state->slab_number++;
    state->open = slab;
    state->open_slot = 0;
    return 0;
}

/* Return a blank computed node; the caller gives it a form. */
ALWAYS_INLINE Node *
new_computed(State *state)
{
    if (UNLIKELY(state->open_slot == SLAB_NODES) && open_slab(state) < 0) {
        return NULL;
    }
    return node_in(state, state->open, state->open_slot++);
}

static Node *
new_leaf(State *state, double data)
{
    if (state->roomy == NULL) {
        Slab *fresh = take_slab(state, 0);
        if (fresh == NULL) {
            return NULL;
        }
        push_slab(&state->roomy, fresh);
        for (int slot = 0; slot < SLAB_NODES; slot++) {
            nodes_of(fresh)[slot].listed = 0;
        }
    }
    Slab *slab = state->roomy;
    uint64_t holes = ~slab->live;
    Node *node = node_in(state, slab, highest_bit(holes & (0 - holes))); /* the lowest hole */
    if (slab->live == UINT64_MAX) {
        remove_slab(&state->roomy, slab);
    }
    node->form = LEAF;
    node->kernel = NO_KERNEL;
    node->data = data;
    node->leaf.label = node->leaf.origin = NULL;
    return node;
}

ALWAYS_INLINE void
release_slot(State *state, Node *node)
{
    Slab *slab = slab_of(node);
    uint64_t bit = bit_of(node);
    poison(node);
    if (slab->number == 0 && slab->live == UINT64_MAX) {
        push_slab(&state->roomy, slab);
    }
    slab->live &= ~bit;
    if (slab == state->open) {
        state->open_slot = slab->live ? highest_bit(slab->live) + 1 : 0;
    }
    else if (slab->live == 0) {
        if (slab->number == 0) {
            remove_slab(&state->roomy, slab);
        }
        give_slab_back(state, slab);
    }
}

ALWAYS_INLINE double *
partials_of(Block *block)
{
    return (double *)&block->operand[block->n];
}

ALWAYS_INLINE uint8_t *
kinds_of(Block *block)
{
    return (uint8_t *)(partials_of(block) + block->n);
}

enum { PER_OPERAND = sizeof(Operand) + sizeof(double) + 1 }; /* bytes of a block */

/* Where spare blocks for n operands are kept; NULL if they are too large for that.  Blocks have
   room for a multiple of 8 operands, so that one spare serves several n. */
ALWAYS_INLINE Block **
spare_blocks(State *state, Py_ssize_t n)
{
    return n <= KEPT_OPERANDS ? &state->spare_blocks[(n + 7) / 8] : NULL;
}

ALWAYS_INLINE Py_ssize_t
block_size(Py_ssize_t n)
{
    return sizeof(Block) + (n <= KEPT_OPERANDS ? (n + 7) / 8 * 8 : n) * PER_OPERAND;
}

/* Return a block whose operands are all numbers, not written yet. */
static Block *
new_block(State *state, Py_ssize_t n)
{
    Block **spare = spare_blocks(state, n), *block = NULL;
    if (spare != NULL && *spare != NULL) {
        block = *spare;
        ASAN_UNPOISON_MEMORY_REGION(block, block_size(n));
        *spare = block->next_spare;
        state->spare_bytes -= block_size(n);
    }
    else if ((size_t)n <= (PY_SSIZE_T_MAX - sizeof(Block)) / PER_OPERAND) {
        block = PyMem_Malloc(block_size(n));
    }
    if (block == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    block->row = block->label = block->origin = block->owner[0] = block->owner[1] = NULL;
    block->n = n;
    memset(kinds_of(block), 0, n);
    return block;
}

/* Free a block that owns nothing any more. */
static void
free_block(State *state, Block *block)
{
    Py_ssize_t size = block_size(block->n);
    Block **spare = spare_blocks(state, block->n);
    if (spare == NULL || state->spare_bytes + size > SPARE_BYTES) {
        PyMem_Free(block);
        return;
    }
    state->spare_bytes += size;
    block->next_spare = *spare;
    *spare = block;
    ASAN_POISON_MEMORY_REGION(&block->n, size - offsetof(Block, n));
}

/* Return the tuple that owns the i-th operand, or NULL if the block does. */
ALWAYS_INLINE PyObject *
owner_of(const Block *block, Py_ssize_t i)
{
    Py_ssize_t half = block->n / 2;
    return i < half ? block->owner[0] : i < 2 * half ? block->owner[1] : NULL;
}

/* Return the first operand from the i-th on whose kind has one of the bits of *mask*, or n. */
ALWAYS_INLINE Py_ssize_t
next_of(uint8_t mask, const uint8_t *kind, Py_ssize_t i, Py_ssize_t n)
{
    for (uint64_t eight; i + 8 <= n; i += 8) { /* constants come in runs */
        memcpy(&eight, kind + i, 8);
        if (eight) {
            break;
        }
    }
    while (i < n && !(kind[i] & mask)) {
        i++;
    }
    return i;
}

/* Whether the next eight operands are all parents, so that each need not be looked at. */
ALWAYS_INLINE int
eight_parents(const uint8_t *kind, Py_ssize_t i, Py_ssize_t n)
{
    uint64_t eight = 0;
    if (i + 8 <= n) {
        memcpy(&eight, kind + i, 8);
    }
    return eight == (IS_NODE | IS_PARENT) * UINT64_C(0x0101010101010101);
}

/* Free a block whose nodes the caller has references to as well. */
static void
untake(State *state, Block *block)
{
    const uint8_t *kind = kinds_of(block);
    for (Py_ssize_t i = 0; i < block->n; i++) {
        if ((kind[i] & IS_NODE) && owner_of(block, i) == NULL) {
            Py_DECREF((PyObject *)block->operand[i].node);
        }
    }
    Py_XDECREF(block->owner[0]);
    Py_XDECREF(block->owner[1]);
    free_block(state, block);
}

/* Drop one reference to an operand; the last one puts it on the list of the dead. */
ALWAYS_INLINE void
drop(Node *node, Node **dead)
{
    if (Py_REFCNT((PyObject *)node) == 1) {
        Py_SET_REFCNT((PyObject *)node, 0); /* so that no weak reference revives it */
        node->next_dead = *dead;
        *dead = node;
    }
    else {
#ifdef Py_REF_DEBUG
        Py_DECREF((PyObject *)node);
#else
        Py_SET_REFCNT((PyObject *)node, Py_REFCNT((PyObject *)node) - 1); /* known not to be 0 */
#endif
    }
}

/* Drop the operands from the i-th up to the n-th. */
ALWAYS_INLINE void
drop_operands(Block *block, Py_ssize_t i, Py_ssize_t n, Node **dead)
{
    const uint8_t *kind = kinds_of(block);
    while ((i = next_of(IS_NODE, kind, i, n)) < n) {
        if (eight_parents(kind, i, n)) {
            for (Py_ssize_t end = i + 8; i < end; i++) {
                drop(block->operand[i].node, dead);
            }
        }
        else {
            drop(block->operand[i++].node, dead);
        }
    }
}

/* Drop the tuple that owns the operands from the i-th up to the n-th. */
static void
drop_owner(Block *block, PyObject *owner, Py_ssize_t i, Py_ssize_t n, Node **dead)
{
    int last = Py_REFCNT(owner) == 1;
    for (Py_ssize_t k = i; last && k < n; k++) {
        if (kinds_of(block)[k] & IS_NODE) { /* its own release would recurse from node to node */
            Py_INCREF((PyObject *)block->operand[k].node);
        }
    }
    Py_DECREF(owner);
    if (last) {
        drop_operands(block, i, n, dead);
    }
}

static void
drop_block(State *state, Block *block, Node **dead)
{
    Py_ssize_t half = block->n / 2, start = 0;
    for (int k = 0; k < 2; k++) {
        if (UNLIKELY(block->owner[k] != NULL)) {
            drop_operands(block, start, k * half, dead);
            start = (k + 1) * half;
            drop_owner(block, block->owner[k], k * half, start, dead);
        }
    }
    drop_operands(block, start, block->n, dead);
    Py_XDECREF(block->row);
    Py_XDECREF(block->label);
    Py_XDECREF(block->origin);
    free_block(state, block);
}

static void
node_dealloc(PyObject *self)
{
    Node *dead = (Node *)self;
    State *state = arena_of(dead)->state;
    if (UNLIKELY(state->releasing == RELEASE_DEPTH)) {
        dead->next_dead = state->left_over;
        state->left_over = dead;
        return;
    }
    PyTypeObject *type = Py_TYPE(self);
    dead->next_dead = NULL;
    state->releasing++;
    for (;;) {
        Node *node = dead;
        dead = node->next_dead;
        if (UNLIKELY(node->weakrefs != NULL)) {
            PyObject_ClearWeakRefs((PyObject *)node); /* may run any code; the list is our own */
        }
        switch (node->form) {
        case TWO_TERMS: /* the second was computed later as a rule, so it goes first */
            if (node->kind[0] & IS_NODE) {
                drop(node->operand[0].node, &dead);
            }
            if (node->kind[1] & IS_NODE) {
                drop(node->operand[1].node, &dead);
            }
            break;
        case ONE_TERM:
            drop(node->operand[0].node, &dead);
            break;
        case LEAF:
            Py_XDECREF(node->leaf.label);
            Py_XDECREF(node->leaf.origin);
            break;
        case BLOCK:
            drop_block(state, node->block, &dead);
            break;
        }
        release_slot(state, node);
        if (dead == NULL) {
            dead = state->left_over;
            state->left_over = NULL;
        }
        if (dead == NULL) {
            break;
        }
        Py_DECREF(type); /* of the node that went; the next has one as well */
    }
    state->releasing--;
    Py_DECREF(type); /* the last node may take the module with it */
}
