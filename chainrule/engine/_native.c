/* The native core: `Value` in C.

   The same class as value.py, which is the readable reference: where the two differ by a bit, this
   file is wrong.  What leaves the path of plain numbers and Values (arrays, fractions, strings, a
   user's primitives, detect_anomaly) is asked of the Python functions there, so that each rule and
   each message stands in one place.  Formulas stand twice, in the table of primitives and in the
   kernels below; tests hold them equal.


   What a node is

   A node is one object of 88 bytes without a collector's header.  It holds its number, the adjoint
   that the last sweep left in it (that is its gradient, for a computed node), its serial number, and
   its form, one of four:

       a leaf            its gradient, its label
       one or two terms  of a unary or binary kernel.  A term is an operand, either a node or a plain
                         number kept right here, and the partial derivative with respect to it, fixed
                         now.  `kind` says of each term whether it is a node, and whether a parent.
       a block           for everything else: any number of terms, a user's primitive, a label or an
                         origin on a computed node.  The block is one piece of memory that the node
                         owns; some are kept for the next node when theirs goes.


   Ownership, and why nodes need no cycle collector

   A node owns a reference to each operand that is a node, and those are older than itself: operands
   are given when a node is made, and never change.  (A dot of a tuple of weights or inputs owns the
   tuple, which owns them.)  Apart from them it owns plain strings (a str of a subclass is copied) and
   rows of the table.  So references between nodes lead strictly back in time and close no cycle, and
   reference counting alone frees a graph, at once.  The one cycle that
   can be closed leads through a user's primitive whose own function holds on to a node which that
   primitive made; such a node stays as long as the program, as primitives in the table do.

   Releasing a graph is a loop, not a recursion: nodes whose last reference went are chained through
   their `serial` field and taken apart one by one.  A weak reference's callback, or the function of a
   user's primitive, may release further nodes meanwhile; from a certain depth on they are left to the
   loops further out, as CPython leaves objects in its trashcan.


   Views into a node

   The terms of a node may move, into a block: whoever sets a label does that.  So Terms, and whatever
   else points into a node, a list or a buffer, are good only until any code may run; and that is not
   only where Python is called, but wherever an object is made that the cycle collector knows (a tuple,
   a list, an exception: up to 3.11 that may start the collector, and finalizers with it), and wherever
   the last reference to an object may go.  Floats, ints and plain memory run nothing.


   Where nodes live

   Creation order is a topological order, so memory that follows it makes both sweeps and the release
   of a large graph run through memory in one direction.  Nodes live in slabs of 64, slabs in arenas
   of 128.  A slab of computed nodes is filled in creation order from slot 0 up, slabs are numbered
   in the order they were opened, and a slab is used again only when all its nodes are gone (a free
   list of whole slabs); thus (slab number, slot) orders all computed nodes by age.  The newest slab
   takes back its last slots when their nodes go, so temporaries do not use it up.

   Leaves need no order, since nothing flows through them, and they outlive graphs.  They have slabs
   of their own, numbered 0, and there any hole is filled.  What the order costs: a computed node that
   outlives all its neighbours keeps the 5.6 KB of its slab from being used again.


   The sweep

   A sweep has a number.  A node that a gradient reaches notes it, and at the first such node in a slab
   the slab is put in a queue that gives the one with the highest number first; in a slab the highest
   slot comes first.  So every node is met after all nodes that were computed from it, in exactly the
   order of the reference: by serial number, downwards.  No visited set, no sorting, no recursion, no
   memory to be allocated, hence nothing that could fail half-way.  Leaves pass nothing on, so they
   are never met: see "gradients" below.


   Threads and interpreters

   All of this relies on the interpreter's lock, so free-threaded builds use the reference.  There is
   no static state: each interpreter, and each import, has its own module state, which a node finds
   through its arena.  A node of another state is an object like any other here: slabs are numbered, and
   sweeps counted, for each state alone.
*/

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef Py_GIL_DISABLED
#error "the native core relies on the global interpreter lock: build with CHAINRULE_NO_EXTENSIONS=1"
#endif

#if defined(__GNUC__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NEVER_INLINE static __attribute__((noinline))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define ALWAYS_INLINE static inline
#define NEVER_INLINE static
#define UNLIKELY(x) (x)
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

/* --- data ---------------------------------------------------------------------------------- */

enum { SLAB_NODES = 64, ARENA_SLABS = 128, SPARE_ARENAS = 128 };  /* spare: at most 90 MB kept */
enum { RELEASE_DEPTH = 50 }; /* as deep as CPython's own trashcan lets it get */
enum { KEPT_OPERANDS = 256, SPARE_BYTES = 1 << 20 };  /* blocks up to that size, and 1 MB of them */

typedef struct Node Node;
typedef struct State State;

typedef union {
    Node *node; /* owned */
    double number;
} Operand;

enum { IS_NODE = 1, IS_PARENT = 2 }; /* an operand's kind: a parent is always a node */

typedef struct Block {
    union {
        PyObject *row;            /* a primitive without a kernel, or NULL */
        struct Block *next_spare; /* of a block that is not in use */
    };
    PyObject *label;  /* or NULL for "" */
    PyObject *origin; /* or NULL for None */
    PyObject *owner[2]; /* of a dot: the tuple that owns its weights, and its inputs, or NULL */
    Py_ssize_t n;
    Operand operand[]; /* n of them, then n partials, and then n bytes: the kinds */
} Block;

enum { LEAF = 0, ONE_TERM = 1, TWO_TERMS = 2, BLOCK = 3 };

struct Node {
    PyObject_HEAD
    double data;
    double adjoint;   /* of the last sweep; the gradient of a node that is no leaf */
    uint16_t place;   /* its number in the arena */
    uint16_t reached; /* by which sweep; 0: none, or the gradient was reset */
    uint8_t kind[2];
    uint8_t form;
    uint8_t kernel : 7;
    uint8_t listed : 1; /* by the topological order under way */
    union {
        struct {
            double earlier; /* the gradient before the last sweep */
            PyObject *label;
            PyObject *origin;
        } leaf;
        struct {
            Operand operand[2];
            double partial[2];
        };
        Block *block;
    };
    PyObject *weakrefs;
    union {
        uint64_t serial;
        Node *next_dead;
    };
};

typedef struct Slab {
    uint64_t live;   /* a bit for each slot with a node in it */
    uint64_t number; /* 0 for a slab of leaves; higher is newer */
    struct Slab *previous, *next;
    uint16_t index;
    uint8_t queued;
} Slab;

typedef struct Arena {
    State *state;
    struct Arena *previous, *next;
    int n_empty;
    Slab slab[ARENA_SLABS];
    Node node[ARENA_SLABS * SLAB_NODES];
} Arena;

/* The functions of value.py and primitives.py that are asked where C does not know better. */
typedef struct {
    PyObject *as_float, *as_operand, *leaf_data, *checked_label, *refuse_write, *coerced, *comparable;
    PyObject *checked_grad, *node_contents, *refuse_attribute, *refuse_row, *given;
    PyObject *evaluate, *observe, *watch_backward;
} Asked;

enum {
    ADD, SUBTRACT, MULTIPLY, DIVIDE, POWER, NEGATIVE, ABSOLUTE, IDENTITY, SQUARE, DAMPED,
    EQUAL, LESS, LESS_EQUAL, STEP, SIGN,
    EXP, EXPM1, LOG, LOG1P, SQRT, SIN, COS, TAN,
    SIGMOID, TANH, RELU, LEAKY_RELU, SOFTPLUS, LOGSIGMOID, SILU, NORMAL_PDF, NORMAL_CDF, GELU,
    LOGADDEXP, WHERE, MAXIMUM, MINIMUM, SUM, MEAN, DOT, SOFTMAX, LOGSUMEXP,
    SIGMOID_MINUS, LOGISTIC_LOSS, SQUARED_ERROR, HALF_SQUARED_ERROR, HINGE_LOSS,
    SOFTMAX_REST, CROSS_ENTROPY, SOFT_CROSS_ENTROPY,
    N_KERNELS,
    NO_KERNEL = 127,
};

enum { PUBLIC_SUM, PUBLIC_MEAN, PUBLIC_LOGSUMEXP, PUBLIC_DOT, N_PUBLISHED };

struct State {
    PyTypeObject *value_type;
    PyTypeObject *kernel_type;
    PyObject *row[N_KERNELS];
    Asked asked;
    PyObject *modes; /* a list: as many entries as modes are entered, anywhere */
    struct { /* functions that users call, and the one to ask where C does not know better */
        PyMethodDef def;
        PyObject *reference, *doc;
    } published[N_PUBLISHED];
    PyObject *no_bias;

    int releasing;  /* how many calls of node_dealloc are under way */
    Node *left_over; /* nodes that those further out release */
    uint64_t serial;
    uint64_t slab_number;
    uint16_t sweep; /* the number of the last one */
    Slab *open; /* the slab that new computed nodes go to, from open_slot on */
    int open_slot;
    Slab *roomy; /* slabs of leaves that have holes */
    Slab *empty;
    Arena *arenas;
    Py_ssize_t n_arenas, n_spare;
    Block *spare_blocks[KEPT_OPERANDS / 8 + 1]; /* with room for 8 operands, for 16, ... */
    Py_ssize_t spare_bytes;
    Slab **queue; /* a binary heap; has room for every slab there is */
    Py_ssize_t queue_length;
};

/* --- arenas and slabs ---------------------------------------------------------------------- */

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

/* --- nodes made and released --------------------------------------------------------------- */

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

/* --- kernels: the rows of the table on floats, to the last bit ------------------------------- */

/* Each function is the one of that name in primitives.py; the explanations stand there. */

static double one2(double x, double y) { (void)x, (void)y; return 1.0; }
static double minus_one2(double x, double y) { (void)x, (void)y; return -1.0; }
static double one3(double a, double b, double y) { (void)a, (void)b, (void)y; return 1.0; }
static double minus_one3(double a, double b, double y) { (void)a, (void)b, (void)y; return -1.0; }
static double output2(double x, double y) { (void)x; return y; }
static double first(double a, double b, double y) { (void)b, (void)y; return a; }
static double second(double a, double b, double y) { (void)a, (void)y; return b; }

static double k_add(double a, double b) { return a + b; }
static double k_subtract(double a, double b) { return a - b; }
static double k_multiply(double a, double b) { return a * b; }
static double k_divide(double a, double b) { return a / b; }
static double k_divide_0(double a, double b, double y) { (void)a, (void)y; return 1.0 / b; }
static double k_divide_1(double a, double b, double y) { (void)a; return -y / b; }
static double k_negative(double x) { return -x; }
static double k_identity(double x) { return x; }
static double k_square(double x) { return x * x; }
static double k_square_0(double x, double y) { (void)y; return 2.0 * x; }
static double k_damped(double x, double w) { return w != 0.0 ? x * w : 0.0; }

static double
k_damped_1(double x, double w, double y)
{
    (void)y;
    return w == 0.0 && isinf(x) ? 0.0 : x;
}

static double k_equal(double a, double b) { return a == b ? 1.0 : 0.0; }
static double k_less(double a, double b) { return a < b ? 1.0 : 0.0; }
static double k_less_equal(double a, double b) { return a <= b ? 1.0 : 0.0; }
static double k_step(double x) { return x > 0.0 ? 1.0 : x <= 0.0 ? 0.0 : Py_NAN; }
static double k_step_0(double x, double y) { (void)y; return k_step(x); }
static double k_sign(double x) { return k_step(x) - k_step(-x); }
static double k_sign_0(double x, double y) { (void)y; return k_sign(x); }

static double k_exp_0(double x, double y) { (void)y; return exp(x); }
static double k_log(double x) { return x > 0.0 ? log(x) : x == 0.0 ? -Py_HUGE_VAL : Py_NAN; }
static double k_log_0(double x, double y) { (void)y; return (x < 0.0 ? Py_NAN : 1.0) / (x + 0.0); }

static double
k_log1p(double x)
{
    if (x > -1.0) {
        return x == 0.0 ? x : log1p(x);
    }
    return x == -1.0 ? -Py_HUGE_VAL : Py_NAN;
}

static double k_log1p_0(double x, double y) { return k_log_0(1.0 + x, y); }
static double k_sqrt(double x) { return x >= 0.0 ? sqrt(x) : Py_NAN; }
static double k_sqrt_0(double x, double y) { (void)x; return 0.5 / (y + 0.0); }
static double k_sin(double x) { return isfinite(x) ? sin(x) : Py_NAN; }
static double k_cos(double x) { return isfinite(x) ? cos(x) : Py_NAN; }
static double k_tan(double x) { return isfinite(x) ? tan(x) : Py_NAN; }
static double k_sin_0(double x, double y) { (void)y; return k_cos(x); }
static double k_cos_0(double x, double y) { (void)y; return -k_sin(x); }
static double k_tan_0(double x, double y) { (void)x; return 1.0 + y * y; }

static double
k_power_0(double x, double p, double y)
{
    (void)y;
    return p != 0.0 ? p * pow(x, p - 1.0) : 0.0;
}

static double
k_power_1(double x, double p, double y)
{
    return x == 0.0 && 0.0 <= p ? 0.0 : y * k_log(x);
}

static double
k_sigmoid(double x)
{
    if (x >= 0.0) {
        return 1.0 / (1.0 + exp(-x));
    }
    double e = exp(x);
    return e / (1.0 + e);
}

static double k_sigmoid_0(double x, double y) { return y * k_sigmoid(-x); }

static double
k_tanh_0(double x, double y)
{
    (void)y;
    return 4.0 * (k_sigmoid(2.0 * x) * k_sigmoid(-2.0 * x));
}

static double k_relu(double x) { return x <= 0.0 ? 0.0 : x; }
static double k_leaky_relu(double x, double slope) { return x > 0.0 ? x : slope * x; }

static double
k_leaky_relu_0(double x, double slope, double y)
{
    (void)y;
    double step = k_step(x);
    return (step != 0.0 ? 1.0 : slope) + 0.0 * step;
}

static double
k_leaky_relu_1(double x, double slope, double y)
{
    (void)slope, (void)y;
    double step = k_step(x);
    return step != 0.0 ? 0.0 * step : x;
}

static double
k_softplus(double x)
{
    return x > 0.0 ? x + k_log1p(exp(-x)) : k_log1p(exp(x));
}

static double k_softplus_0(double x, double y) { (void)y; return k_sigmoid(x); }
static double k_logsigmoid(double x) { return -k_softplus(-x); }
static double k_logsigmoid_0(double x, double y) { (void)y; return k_sigmoid(-x); }
static double k_silu(double x) { return k_damped(x, k_sigmoid(x)); }

static double
k_silu_0(double x, double y)
{
    (void)y;
    double up = k_sigmoid(x), down = k_sigmoid(-x);
    return up + k_damped(x, up * down);
}

static double k_normal_pdf(double x) { return sqrt(0.5 / Py_MATH_PI) * exp(-0.5 * x * x); }
static double k_normal_pdf_0(double x, double y) { return -k_damped(x, y); }
static double k_normal_cdf(double x) { return 0.5 * erfc(-x * sqrt(0.5)); }
static double k_normal_cdf_0(double x, double y) { (void)y; return k_normal_pdf(x); }

static double k_gelu(double x) { return k_damped(x, k_normal_cdf(x)); }

static double
k_gelu_0(double x, double y)
{
    (void)y;
    return k_normal_cdf(x) + k_damped(x, k_normal_pdf(x));
}

/* Of any number of arguments.  Partials are written into all terms, linked or not. */

static double
k_sum(const double *x, Py_ssize_t n, double *unused)
{
    (void)unused;
    double total = x[0];
    for (Py_ssize_t i = 1; i < n; i++) {
        total = total + x[i];
    }
    return total;
}

static double
k_mean(const double *x, Py_ssize_t n, double *unused)
{
    return k_sum(x, n, unused) / (double)n;
}

static void
all_equal(double value, Py_ssize_t n, double *partial)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        partial[i] = value;
    }
}

static void
k_sum_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    (void)x, (void)y, (void)kind;
    all_equal(1.0, n, partial);
}

static void
k_mean_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    (void)x, (void)y, (void)kind;
    all_equal(1.0 / (double)n, n, partial);
}

static double
k_where(const double *x, Py_ssize_t n, double *unused)
{
    (void)n, (void)unused;
    return x[0] != 0.0 ? x[1] : x[2];
}

static int
k_where_takes(const double *x, Py_ssize_t n, const uint8_t *kind)
{
    (void)x, (void)kind;
    return n == 3;
}

static void
k_where_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    (void)x, (void)y, (void)kind;
    all_equal(1.0, n, partial); /* only the chosen one is linked */
}

static double
k_maximum(const double *x, Py_ssize_t n, double *unused)
{
    (void)unused;
    double best = x[0];
    for (Py_ssize_t i = 1; i < n; i++) {
        if (x[i] > best || x[i] != x[i]) {
            best = x[i];
        }
        else if (x[i] == best && best == 0.0) {
            best = x[i] + best;
        }
        if (best != best) {
            return Py_NAN;
        }
    }
    return best;
}

static double
k_minimum(const double *x, Py_ssize_t n, double *unused)
{
    (void)unused;
    double best = -x[0];
    for (Py_ssize_t i = 1; i < n; i++) {
        if (-x[i] > best || x[i] != x[i]) {
            best = -x[i];
        }
        else if (-x[i] == best && best == 0.0) {
            best = -x[i] + best;
        }
        if (best != best) {
            return -Py_NAN;
        }
    }
    return -best;
}

static void
k_tie_shares(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    double count = 0.0;
    for (Py_ssize_t i = 0; i < n; i++) {
        count += x[i] == y;
    }
    double share = 1.0 / count;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!(kind[i] & IS_NODE)) {
            share = share * (1.0 - (x[i] == y));
        }
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        partial[i] = (x[i] == y) * share;
    }
}

static double
k_logsumexp(const double *x, Py_ssize_t n, double *weight) /* which its partials are made of */
{
    double top = k_maximum(x, n, NULL);
    if (!isfinite(top)) {
        return top;
    }
    double rest = 0.0;
    int skipped = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        weight[i] = exp(x[i] - top);
        if (!skipped && x[i] == top) {
            skipped = 1;
        }
        else {
            rest = rest + weight[i];
        }
    }
    return top + k_log1p(rest);
}

static void
normalise(Py_ssize_t n, double *weight)
{
    double total = weight[0];
    for (Py_ssize_t i = 1; i < n; i++) {
        total = total + weight[i];
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        weight[i] = weight[i] / total;
    }
}

static void
k_shares(const double *x, Py_ssize_t n, double *partial) /* the softmax of x, into the partials */
{
    double top = k_maximum(x, n, NULL);
    if (!isfinite(top) && top != Py_HUGE_VAL) {
        all_equal(Py_NAN, n, partial);
        return;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        partial[i] = top == Py_HUGE_VAL ? (double)(x[i] == top) : exp(x[i] - top);
    }
    normalise(n, partial);
}

static void
k_logsumexp_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    (void)kind;
    if (isfinite(y)) {
        normalise(n, partial); /* the weights that are there */
    }
    else if (y == -Py_HUGE_VAL) {
        all_equal(0.0, n, partial);
    }
    else {
        k_shares(x, n, partial);
    }
}

static double
k_softmax(const double *x, Py_ssize_t n, double *unused) /* which entry, then the logits */
{
    (void)unused;
    double top = k_maximum(x + 1, n - 1, NULL), total = 0.0, own = 0.0;
    if (!isfinite(top) && top != Py_HUGE_VAL) {
        return Py_NAN;
    }
    for (Py_ssize_t i = 1; i < n; i++) {
        double weight = top == Py_HUGE_VAL ? (double)(x[i] == top) : exp(x[i] - top);
        total = i > 1 ? total + weight : weight;
        if (i - 1 == (Py_ssize_t)x[0]) {
            own = weight;
        }
    }
    return own / total;
}

static void
k_softmax_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    (void)kind;
    Py_ssize_t own = (Py_ssize_t)x[0] + 1, met = 0;
    double rest = 0.0;
    k_shares(x + 1, n - 1, partial + 1);
    for (Py_ssize_t i = 1; i < n; i++) {
        if (i != own) {
            rest = met++ ? rest + partial[i] : partial[i];
        }
    }
    for (Py_ssize_t i = 1; i < n; i++) {
        partial[i] = i == own ? y * rest : -(y * partial[i]);
    }
}

static int
k_softmax_takes(const double *x, Py_ssize_t n, const uint8_t *kind)
{
    return !(kind[0] & IS_NODE) && x[0] >= 0.0 && x[0] < (double)(n - 1);
}

static double
k_logaddexp(double a, double b)
{
    if (a != a || b != b) {
        return Py_NAN;
    }
    double high = b > a ? b : a;
    return isinf(high) ? high : high + k_log1p(exp(-fabs(a - b)));
}

static double
k_logaddexp_share(double a, double b, double y, int i)
{
    double x[2] = {a, b};
    double partial[2];
    k_shares(x, 2, partial);
    return y == -Py_HUGE_VAL ? 0.0 : partial[i];
}

static double k_logaddexp_0(double a, double b, double y) { return k_logaddexp_share(a, b, y, 0); }
static double k_logaddexp_1(double a, double b, double y) { return k_logaddexp_share(a, b, y, 1); }

/* Losses of one output: the output, then the target. */

static double
k_sigmoid_minus(double z, double y)
{
    return (1.0 - y) * k_sigmoid(z) - y * k_sigmoid(-z);
}

static double
k_sigmoid_minus_0(double z, double y, double d)
{
    (void)y, (void)d;
    return k_sigmoid(z) * k_sigmoid(-z);
}

static double
k_logistic_loss(double z, double y)
{
    double straight = z >= 0.0 ? k_damped(z, 1.0 - y) : k_damped(-z, y);
    return k_log1p(exp(-fabs(z))) + straight;
}

static double
k_logistic_loss_0(double z, double y, double loss)
{
    (void)loss;
    return k_sigmoid_minus(z, y);
}

static double k_logistic_loss_1(double z, double y, double loss) { (void)y, (void)loss; return -z; }

static double k_squared_error(double a, double y) { return (a - y) * (a - y); }
static double k_squared_error_0(double a, double y, double e) { (void)e; return 2.0 * (a - y); }
static double k_squared_error_1(double a, double y, double e) { (void)e; return 2.0 * (y - a); }
static double k_half_squared_error(double a, double y) { return 0.5 * ((a - y) * (a - y)); }
static double k_half_squared_error_0(double a, double y, double e) { (void)e; return a - y; }
static double k_half_squared_error_1(double a, double y, double e) { (void)e; return y - a; }

static double k_hinge_loss(double s, double y) { return k_relu(1.0 - y * s); }

static double
k_hinge_loss_0(double s, double y, double loss)
{
    (void)s;
    return -(y * k_step(loss));
}

static double
k_hinge_loss_1(double s, double y, double loss)
{
    (void)y;
    return -k_damped(s, k_step(loss));
}

/* Losses of a class, or of the share of every class, and the logits. */

static int
k_class_takes(const double *x, Py_ssize_t n, const uint8_t *kind)
{
    return k_softmax_takes(x, n, kind) && x[0] == floor(x[0]);
}

static double
all_but(const double *share, Py_ssize_t n, Py_ssize_t own)
{
    double before = 0.0, after = 0.0;
    for (Py_ssize_t i = 0; i < own; i++) {
        before = i ? before + share[i] : share[i];
    }
    for (Py_ssize_t i = n - 1; i > own; i--) {
        after = i < n - 1 ? after + share[i] : share[i];
    }
    return own == 0 ? after : own == n - 1 ? before : before + after;
}

static double
k_softmax_rest(const double *x, Py_ssize_t n, double *share) /* which entry, then the logits */
{
    k_shares(x + 1, n - 1, share + 1);
    return all_but(share + 1, n - 1, (Py_ssize_t)x[0]);
}

static void
k_softmax_rest_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *share)
{
    (void)kind;
    Py_ssize_t own = (Py_ssize_t)x[0] + 1; /* the shares are there from the value */
    double entry = share[own];
    for (Py_ssize_t i = 1; i < n; i++) {
        share[i] = i == own ? -(entry * y) : entry * share[i];
    }
    share[0] = 0.0;
}

/* Return minus the logarithm of the share that the largest logit has. */
static double
surprisal_of_top(const double *x, Py_ssize_t n, double top)
{
    double rest = 0.0;
    for (Py_ssize_t i = 0, skipped = 0; i < n; i++) {
        if (x[i] == top && !skipped) {
            skipped = 1;
        }
        else {
            rest = rest + (x[i] == top ? 1.0 : exp(-(top - x[i])));
        }
    }
    return k_log1p(rest);
}

static double below(double x, double top) { return x == top ? 0.0 : top - x; }

static int is_none(double top) { return top != top || top == -Py_HUGE_VAL; }

static double
k_cross_entropy(const double *x, Py_ssize_t n, double *unused) /* which class, then the logits */
{
    (void)unused;
    double top = k_maximum(x + 1, n - 1, NULL);
    if (is_none(top)) {
        return Py_NAN;
    }
    return below(x[1 + (Py_ssize_t)x[0]], top) + surprisal_of_top(x + 1, n - 1, top);
}

static void
k_cross_entropy_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind, double *partial)
{
    (void)y, (void)kind;
    Py_ssize_t own = (Py_ssize_t)x[0];
    k_shares(x + 1, n - 1, partial + 1);
    partial[1 + own] = -all_but(partial + 1, n - 1, own);
    partial[0] = 0.0;
}

static double
k_soft_cross_entropy(const double *x, Py_ssize_t n, double *unused) /* shares, then logits */
{
    (void)unused;
    Py_ssize_t m = n / 2;
    const double *z = x + m;
    double top = k_maximum(z, m, NULL), loss = 0.0;
    double of_top = is_none(top) ? Py_NAN : surprisal_of_top(z, m, top);
    for (Py_ssize_t i = 0; i < m; i++) {
        double term = k_damped(below(z[i], top) + of_top, x[i]);
        loss = i ? loss + term : term;
    }
    return loss;
}

enum { MOST_CLASSES = 256 }; /* of the loss above, whose partials need room; else the table does */

static void
all_but_one(const double *x, Py_ssize_t n, double *found)
{
    double before = 0.0, after = 0.0;
    for (Py_ssize_t i = n - 1; i >= 0; i--) {
        found[i] = after;
        after = i == n - 1 ? x[i] : after + x[i];
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        found[i] = i == 0 ? found[i] : i == n - 1 ? before : before + found[i];
        before = i == 0 ? x[i] : before + x[i];
    }
}

static void
k_soft_cross_entropy_d(const double *x, Py_ssize_t n, double y, const uint8_t *kind,
                       double *partial)
{
    (void)y, (void)kind;
    Py_ssize_t m = n / 2;
    const double *z = x + m;
    double rests[MOST_CLASSES], others[MOST_CLASSES], *shares = partial + m;
    double top = k_maximum(z, m, NULL);
    double of_top = is_none(top) ? Py_NAN : surprisal_of_top(z, m, top);
    k_shares(z, m, shares);
    all_but_one(shares, m, rests);
    all_but_one(x, m, others);
    for (Py_ssize_t i = 0; i < m; i++) {
        double surprisal = below(z[i], top) + of_top;
        partial[i] = x[i] == 0.0 && surprisal == Py_HUGE_VAL ? 0.0 : surprisal;
        partial[m + i] = others[i] * shares[i] - x[i] * rests[i];
    }
}

static int
k_soft_cross_entropy_takes(const double *x, Py_ssize_t n, const uint8_t *kind)
{
    (void)x, (void)kind;
    return n % 2 == 0 && n <= 2 * MOST_CLASSES;
}

typedef struct {
    const char *name;
    struct {
        double (*value)(double);
        double (*partial)(double x, double y); /* NULL: zero wherever it exists */
    } unary;
    struct {
        double (*value)(double, double);
        double (*partial[2])(double a, double b, double y);
    } binary;
    struct {
        double (*value)(const double *x, Py_ssize_t n, double *partial); /* room to prepare them */
        void (*partials)(const double *x, Py_ssize_t n, double y, const uint8_t *kind,
                         double *partial);
        int (*takes)(const double *x, Py_ssize_t n, const uint8_t *kind); /* NULL: any */
    } variadic;
} Kernel;

/* Not here, because `math.hypot` has an algorithm of its own: hypot, and atan2 that leans on it. */
static const Kernel kernels[N_KERNELS] = {
    [ADD] = {"+", .binary = {k_add, {one3, one3}}},
    [SUBTRACT] = {"-", .binary = {k_subtract, {one3, minus_one3}}},
    [MULTIPLY] = {"*", .binary = {k_multiply, {second, first}}},
    [DIVIDE] = {"/", .binary = {k_divide, {k_divide_0, k_divide_1}}},
    [POWER] = {"**", .binary = {pow, {k_power_0, k_power_1}}},
    [NEGATIVE] = {"neg", .unary = {k_negative, minus_one2}},
    [ABSOLUTE] = {"abs", .unary = {fabs, k_sign_0}},
    [IDENTITY] = {"identity", .unary = {k_identity, one2}},
    [SQUARE] = {"square", .unary = {k_square, k_square_0}},
    [DAMPED] = {"damped", .binary = {k_damped, {second, k_damped_1}}},
    [EQUAL] = {"equal", .binary = {k_equal, {NULL, NULL}}},
    [LESS] = {"less", .binary = {k_less, {NULL, NULL}}},
    [LESS_EQUAL] = {"less_equal", .binary = {k_less_equal, {NULL, NULL}}},
    [STEP] = {"step", .unary = {k_step, NULL}},
    [SIGN] = {"sign", .unary = {k_sign, NULL}},
    [EXP] = {"exp", .unary = {exp, output2}},
    [EXPM1] = {"expm1", .unary = {expm1, k_exp_0}},
    [LOG] = {"log", .unary = {k_log, k_log_0}},
    [LOG1P] = {"log1p", .unary = {k_log1p, k_log1p_0}},
    [SQRT] = {"sqrt", .unary = {k_sqrt, k_sqrt_0}},
    [SIN] = {"sin", .unary = {k_sin, k_sin_0}},
    [COS] = {"cos", .unary = {k_cos, k_cos_0}},
    [TAN] = {"tan", .unary = {k_tan, k_tan_0}},
    [SIGMOID] = {"sigmoid", .unary = {k_sigmoid, k_sigmoid_0}},
    [TANH] = {"tanh", .unary = {tanh, k_tanh_0}},
    [RELU] = {"relu", .unary = {k_relu, k_step_0}},
    [LEAKY_RELU] = {"leaky_relu", .binary = {k_leaky_relu, {k_leaky_relu_0, k_leaky_relu_1}}},
    [SOFTPLUS] = {"softplus", .unary = {k_softplus, k_softplus_0}},
    [LOGSIGMOID] = {"logsigmoid", .unary = {k_logsigmoid, k_logsigmoid_0}},
    [SILU] = {"silu", .unary = {k_silu, k_silu_0}},
    [NORMAL_PDF] = {"normal_pdf", .unary = {k_normal_pdf, k_normal_pdf_0}},
    [NORMAL_CDF] = {"normal_cdf", .unary = {k_normal_cdf, k_normal_cdf_0}},
    [GELU] = {"gelu", .unary = {k_gelu, k_gelu_0}},
    [LOGADDEXP] = {"logaddexp", .binary = {k_logaddexp, {k_logaddexp_0, k_logaddexp_1}}},
    [WHERE] = {"where", .variadic = {k_where, k_where_d, k_where_takes}},
    [MAXIMUM] = {"maximum", .variadic = {k_maximum, k_tie_shares, NULL}},
    [MINIMUM] = {"minimum", .variadic = {k_minimum, k_tie_shares, NULL}},
    [SUM] = {"sum", .variadic = {k_sum, k_sum_d, NULL}},
    [MEAN] = {"mean", .variadic = {k_mean, k_mean_d, NULL}},
    [DOT] = {"dot"}, /* a function of its own, dot() */
    [SOFTMAX] = {"softmax", .variadic = {k_softmax, k_softmax_d, k_softmax_takes}},
    [LOGSUMEXP] = {"logsumexp", .variadic = {k_logsumexp, k_logsumexp_d, NULL}},
    [SIGMOID_MINUS] = {"sigmoid_minus", .binary = {k_sigmoid_minus, {k_sigmoid_minus_0,
                                                                     minus_one3}}},
    [LOGISTIC_LOSS] = {"logistic_loss", .binary = {k_logistic_loss, {k_logistic_loss_0,
                                                                     k_logistic_loss_1}}},
    [SQUARED_ERROR] = {"squared_error", .binary = {k_squared_error, {k_squared_error_0,
                                                                     k_squared_error_1}}},
    [HALF_SQUARED_ERROR] = {"half_squared_error", .binary = {k_half_squared_error,
                                                             {k_half_squared_error_0,
                                                              k_half_squared_error_1}}},
    [HINGE_LOSS] = {"hinge_loss", .binary = {k_hinge_loss, {k_hinge_loss_0, k_hinge_loss_1}}},
    [SOFTMAX_REST] = {"softmax_rest", .variadic = {k_softmax_rest, k_softmax_rest_d,
                                                   k_class_takes}},
    [CROSS_ENTROPY] = {"cross_entropy", .variadic = {k_cross_entropy, k_cross_entropy_d,
                                                     k_class_takes}},
    [SOFT_CROSS_ENTROPY] = {"soft_cross_entropy", .variadic = {k_soft_cross_entropy,
                                                               k_soft_cross_entropy_d,
                                                               k_soft_cross_entropy_takes}},
};

/* --- terms --------------------------------------------------------------------------------- */

typedef struct {
    Py_ssize_t n;
    Operand *operand;
    double *partial;
    uint8_t *kind;
} Terms;

ALWAYS_INLINE Terms
terms_of(Node *node)
{
    if (node->form == BLOCK) {
        Block *block = node->block;
        return (Terms){block->n, block->operand, partials_of(block), kinds_of(block)};
    }
    return (Terms){node->form, node->operand, node->partial, node->kind};
}

/* Whether *x* is a node of any state of this library. */
ALWAYS_INLINE int
is_any_node(PyObject *x)
{
    return Py_TYPE(x)->tp_dealloc == node_dealloc; /* Value is the only type with it */
}

/* Whether *x* is a node of this state; those of another import or interpreter are strangers. */
ALWAYS_INLINE int
is_node(const State *state, PyObject *x)
{
    return Py_TYPE(x) == state->value_type;
}

/* Write the float that *x* is, if it is one of Python's own numbers, but for an int of more than 64
   bits, which may be beyond the float range: asking would raise, so it is left to Python.  Runs no
   code whatever, so that lists that are gone through meanwhile stay as they are. */
ALWAYS_INLINE int
plain_number(PyObject *x, double *number)
{
    if (PyFloat_CheckExact(x)) {
        *number = PyFloat_AS_DOUBLE(x);
        return 1;
    }
    if (!PyLong_CheckExact(x) && !PyBool_Check(x)) {
        return 0;
    }
    int beyond;
    *number = (double)PyLong_AsLongLongAndOverflow(x, &beyond);
    return !beyond;
}

static PyObject *
row_of(const State *state, const Node *node) /* borrowed; None for a leaf */
{
    if (node->form == LEAF) {
        return Py_None;
    }
    return node->form == BLOCK && node->block->row ? node->block->row : state->row[node->kernel];
}

static PyObject *
operands_of(Node *node)
{
    PyObject *operands = PyTuple_New(terms_of(node).n);
    Terms terms = terms_of(node); /* only now: the tuple may have run any code */
    for (Py_ssize_t i = 0; operands != NULL && i < terms.n; i++) {
        PyObject *operand = terms.kind[i] & IS_NODE
                                ? Py_NewRef((PyObject *)terms.operand[i].node)
                                : PyFloat_FromDouble(terms.operand[i].number);
        if (operand == NULL) {
            Py_CLEAR(operands);
            break;
        }
        PyTuple_SET_ITEM(operands, i, operand);
    }
    return operands;
}

static int
to_block(Node *node) /* so that a computed node can have a label or an origin */
{
    if (node->form == BLOCK) {
        return 0;
    }
    Terms terms = terms_of(node);
    Block *block = new_block(arena_of(node)->state, terms.n);
    if (block == NULL) {
        return -1;
    }
    memcpy(block->operand, terms.operand, terms.n * sizeof(Operand));
    memcpy(partials_of(block), terms.partial, terms.n * sizeof(double));
    memcpy(kinds_of(block), terms.kind, terms.n);
    node->block = block;
    node->form = BLOCK;
    return 0;
}

/* --- gradients -------------------------------------------------------------------------------

   The gradient of a computed node is its adjoint.  That of a leaf is the sum of its adjoints, of
   which the last is added in only when the next sweep begins with it, or when it is read: so a sweep
   need not come back to the leaves when their adjoints are complete. */

enum { BY_HAND = 1, LAST_SWEEP = UINT16_MAX }; /* in `reached`: not by a sweep; the last number */

ALWAYS_INLINE double
grad_of(const Node *node)
{
    return node->reached == 0     ? 0.0
           : node->form == LEAF ? node->adjoint + node->leaf.earlier
                                : node->adjoint;
}

ALWAYS_INLINE void
put_grad(Node *node, double grad)
{
    node->reached = BY_HAND;
    node->adjoint = grad;
    if (node->form == LEAF) {
        node->leaf.earlier = -0.0; /* to add that changes nothing, not even a sign */
    }
}

ALWAYS_INLINE void
assign_grad(Node *node, double grad) /* as `node.grad = grad` does: 0.0 is "not yet computed" */
{
    if (grad == 0.0) {
        node->reached = 0;
    }
    else {
        put_grad(node, grad);
    }
}

static PyObject *
settle(State *state, Node *node) /* steals *node*: what modes.py makes of it while a mode is on */
{
    PyObject *self = (PyObject *)node;
    PyObject *verdict = PyObject_CallOneArg(state->asked.observe, self);
    PyObject *origin = NULL;
    int linked;
    if (verdict == NULL || !PyArg_ParseTuple(verdict, "pO", &linked, &origin)) {
        goto failed;
    }
    if (node->form != LEAF && !linked) {
        Node *leaf = new_leaf(state, node->data);
        if (leaf == NULL) {
            goto failed;
        }
        if (node->reached) {
            put_grad(leaf, node->adjoint);
        }
        if (node->form == BLOCK) {
            leaf->leaf.label = Py_XNewRef(node->block->label);
        }
        Py_DECREF(self);
        node = leaf;
        self = (PyObject *)leaf;
    }
    if (origin != Py_None) {
        if (node->form == LEAF) {
            Py_XSETREF(node->leaf.origin, Py_NewRef(origin));
        }
        else {
            if (to_block(node) < 0) {
                goto failed;
            }
            Py_XSETREF(node->block->origin, Py_NewRef(origin));
        }
    }
    Py_DECREF(verdict);
    return self;

failed:
    Py_XDECREF(verdict);
    Py_DECREF(self);
    return NULL;
}

ALWAYS_INLINE PyObject *
finished(State *state, Node *node)
{
    return UNLIKELY(PyList_GET_SIZE(state->modes)) ? settle(state, node) : (PyObject *)node;
}

/* --- applying kernels ------------------------------------------------------------------------ */

ALWAYS_INLINE PyObject *
unary(int kernel, PyObject *operand)
{
    Node *x = (Node *)operand;
    State *state = arena_of(x)->state;
    Node *node = new_computed(state);
    if (node == NULL) {
        return NULL;
    }
    double y = kernels[kernel].unary.value(x->data);
    node->data = y;
    node->form = ONE_TERM;
    node->kernel = (uint8_t)kernel;
    node->kind[0] = IS_NODE;
    node->operand[0].node = (Node *)Py_NewRef(operand);
    if (kernels[kernel].unary.partial != NULL) {
        node->kind[0] = IS_NODE | IS_PARENT;
        node->partial[0] = kernels[kernel].unary.partial(x->data, y);
    }
    return finished(state, node);
}

/* One of *left* and *right* may be NULL, and is then the number *a* or *b*. */
ALWAYS_INLINE PyObject *
binary_of(int kernel, Node *left, double a, Node *right, double b)
{
    State *state = arena_of(left ? left : right)->state;
    Node *node = new_computed(state);
    if (node == NULL) {
        return NULL;
    }
    double y = kernels[kernel].binary.value(a, b);
    node->data = y;
    node->form = TWO_TERMS;
    node->kernel = (uint8_t)kernel;
    if (left == NULL) {
        node->kind[0] = 0;
        node->operand[0].number = a;
    }
    else {
        node->kind[0] = IS_NODE;
        node->operand[0].node = (Node *)Py_NewRef((PyObject *)left);
        if (kernels[kernel].binary.partial[0] != NULL) {
            node->kind[0] = IS_NODE | IS_PARENT;
            node->partial[0] = kernels[kernel].binary.partial[0](a, b, y);
        }
    }
    if (right == NULL) {
        node->kind[1] = 0;
        node->operand[1].number = b;
    }
    else {
        node->kind[1] = IS_NODE;
        node->operand[1].node = (Node *)Py_NewRef((PyObject *)right);
        if (kernels[kernel].binary.partial[1] != NULL) {
            node->kind[1] = IS_NODE | IS_PARENT;
            node->partial[1] = kernels[kernel].binary.partial[1](a, b, y);
        }
    }
    return finished(state, node);
}

NEVER_INLINE PyObject *
binary_with_other(int kernel, PyObject *left, PyObject *right) /* one is no Value and no float */
{
    int reflected = !is_any_node(left);
    PyObject *other = reflected ? left : right;
    Node *self = (Node *)(reflected ? right : left);
    State *state = arena_of(self)->state;
    double number;
    if (!plain_number(other, &number)) {
        PyObject *known = PyObject_CallFunction(state->asked.coerced, "OOs", state->row[kernel],
                                                other, reflected ? "{1} {0} Value" : "Value {} {}");
        if (known == NULL) {
            return NULL;
        }
        if (known == Py_None) {
            Py_DECREF(known);
            Py_RETURN_NOTIMPLEMENTED;
        }
        if (!PyFloat_CheckExact(known)) { /* an array */
            PyObject *result = PyObject_CallFunctionObjArgs(
                state->row[kernel], reflected ? known : left, reflected ? right : known, NULL);
            Py_DECREF(known);
            return result;
        }
        number = PyFloat_AS_DOUBLE(known);
        Py_DECREF(known);
    }
    return reflected ? binary_of(kernel, NULL, number, self, self->data)
                     : binary_of(kernel, self, self->data, NULL, number);
}

ALWAYS_INLINE PyObject *
binary(int kernel, PyObject *left, PyObject *right) /* at least one is a Value */
{
    Node *l = (Node *)left, *r = (Node *)right;
    if (Py_TYPE(left) == Py_TYPE(right)) {
        return binary_of(kernel, l, l->data, r, r->data);
    }
    if (PyFloat_CheckExact(right)) {
        return binary_of(kernel, l, l->data, NULL, PyFloat_AS_DOUBLE(right));
    }
    if (PyFloat_CheckExact(left)) {
        return binary_of(kernel, NULL, PyFloat_AS_DOUBLE(left), r, r->data);
    }
    return binary_with_other(kernel, left, right);
}

typedef struct {
    PyObject *const *item;
    Py_ssize_t n;
} Segment;

/* Take an item as an operand of *kind*, which was 0 so far, and read its number.  Return 0 if it is
   neither a Value nor a plain number. */
ALWAYS_INLINE int
take_item(const State *state, PyObject *item, int own, Operand *operand, uint8_t *kind, double *x)
{
    if (Py_TYPE(item) == state->value_type) {
        operand->node = (Node *)(own ? Py_NewRef(item) : item);
        *kind = IS_NODE | IS_PARENT;
        *x = operand->node->data;
        return 1;
    }
    if (!plain_number(item, x)) {
        return 0;
    }
    operand->number = *x;
    return 1;
}

/* Take all items, with references to the Values; 0 if one is neither a Value nor a plain number. */
ALWAYS_INLINE int
take_items(const State *state, const Segment *segment, Block *block, double *restrict x)
{
    PyTypeObject *value_type = state->value_type;
    PyObject *const *item = segment->item;
    Operand *restrict operand = block->operand;
    uint8_t *kind = kinds_of(block);
    Py_ssize_t i = 0, n = segment->n;
    while (i < n) {
        Py_ssize_t start = i;
        for (; i < n && Py_TYPE(item[i]) == value_type; i++) { /* Values come in runs */
            Node *node = (Node *)Py_NewRef(item[i]);
            x[i] = node->data;
            operand[i].node = node;
        }
        memset(kind + start, IS_NODE | IS_PARENT, i - start);
        if (i < n) {
            if (!take_item(state, item[i], 1, &operand[i], &kind[i], &x[i])) {
                return 0;
            }
            i++;
        }
    }
    return 1;
}

/* Return a node of *kernel* with the number *y* and the terms of *block*, which it takes over; a
   float if none of them is a node. */
static PyObject *
with_block(State *state, int kernel, double y, Block *block)
{
    Node *node = NULL;
    PyObject *number = NULL;
    if (next_of(IS_NODE, kinds_of(block), 0, block->n) == block->n) {
        number = PyFloat_FromDouble(y);
    }
    else {
        node = new_computed(state);
    }
    if (node == NULL) {
        untake(state, block);
        return number;
    }
    node->data = y;
    node->form = BLOCK;
    node->kernel = (uint8_t)kernel;
    node->block = block;
    return finished(state, node);
}

/* Apply a variadic kernel to some items: a node, or a float where none is a Value.
   NotImplemented if an item is neither a Value nor a plain number, or the kernel does not take them.
   Runs no Python code before that is decided, so the items stay as they are. */
static PyObject *
variadic(State *state, int kernel, const Segment *segment)
{
    enum { AT_HAND = 288 };
    double at_hand[AT_HAND], *x = at_hand;
    Py_ssize_t n = segment->n;
    Block *block = new_block(state, n);
    if (block == NULL) {
        return NULL;
    }
    if (n > AT_HAND && (x = PyMem_Malloc(n * sizeof(double))) == NULL) {
        untake(state, block);
        return PyErr_NoMemory();
    }
    uint8_t *kind = kinds_of(block);
    int (*takes)(const double *, Py_ssize_t, const uint8_t *) = kernels[kernel].variadic.takes;
    PyObject *result;
    if (!take_items(state, segment, block, x) || (takes != NULL && !takes(x, n, kind))) {
        untake(state, block);
        result = Py_NewRef(Py_NotImplemented);
    }
    else {
        double y = kernels[kernel].variadic.value(x, n, partials_of(block));
        kernels[kernel].variadic.partials(x, n, y, kind, partials_of(block));
        if (kernel == WHERE) {
            for (Py_ssize_t i = 0; i < n; i++) {
                kind[i] &= i == (x[0] != 0.0 ? 1 : 2) ? IS_NODE | IS_PARENT : IS_NODE;
            }
        }
        result = with_block(state, kernel, y, block);
    }
    if (x != at_hand) {
        PyMem_Free(x);
    }
    return result;
}

/* The same for bias + sum_i weights[i] * inputs[i].  The partial of a weight is its input and the
   other way round.  An owner is NULL, or the tuple that the weights, or the inputs, are in: it is
   then counted once, not all its items. */
ALWAYS_INLINE PyObject *
dot(State *state, const Segment *weights, PyObject *owner_of_weights, const Segment *inputs,
    PyObject *owner_of_inputs, PyObject *bias)
{
    Py_ssize_t half = weights->n, last = 2 * half;
    Block *block = new_block(state, last + 1);
    if (block == NULL) {
        return NULL;
    }
    PyTypeObject *value_type = state->value_type, *float_type = &PyFloat_Type;
    PyObject *const *w_item = weights->item, *const *x_item = inputs->item;
    Operand *restrict w_operand = block->operand, *restrict x_operand = w_operand + half;
    double *restrict w_partial = partials_of(block), *restrict x_partial = w_partial + half;
    uint8_t *w_kind = kinds_of(block), *x_kind = w_kind + half;
    double total = 0.0;
    block->owner[0] = Py_XNewRef(owner_of_weights);
    block->owner[1] = Py_XNewRef(owner_of_inputs);
    int taken = take_item(state, bias, 1, &block->operand[last], &w_kind[last], &total);
    for (Py_ssize_t i = 0; taken && i < half;) {
        Py_ssize_t start = i;
        for (; i < half; i++) { /* Values and floats */
            PyObject *w = w_item[i], *x = x_item[i];
            if (Py_TYPE(w) != value_type || Py_TYPE(x) != float_type) {
                break;
            }
            double a = ((Node *)w)->data, b = PyFloat_AS_DOUBLE(x);
            if (owner_of_weights == NULL) {
                Py_INCREF(w);
            }
            w_operand[i].node = (Node *)w;
            x_operand[i].number = b;
            w_partial[i] = b;
            total = total + a * b;
        }
        memset(w_kind + start, IS_NODE | IS_PARENT, i - start);
        start = i;
        for (; i < half; i++) { /* Values and Values */
            PyObject *w = w_item[i], *x = x_item[i];
            if (Py_TYPE(w) != value_type || Py_TYPE(x) != value_type) {
                break;
            }
            double a = ((Node *)w)->data, b = ((Node *)x)->data;
            if (owner_of_weights == NULL) {
                Py_INCREF(w);
            }
            if (owner_of_inputs == NULL) {
                Py_INCREF(x);
            }
            w_operand[i].node = (Node *)w;
            x_operand[i].node = (Node *)x;
            w_partial[i] = b;
            x_partial[i] = a;
            total = total + a * b;
        }
        memset(w_kind + start, IS_NODE | IS_PARENT, i - start);
        memset(x_kind + start, IS_NODE | IS_PARENT, i - start);
        if (i < half) { /* anything */
            double a = 0.0, b = 0.0;
            taken = take_item(state, w_item[i], owner_of_weights == NULL, &w_operand[i],
                              &w_kind[i], &a) &&
                    take_item(state, x_item[i], owner_of_inputs == NULL, &x_operand[i],
                              &x_kind[i], &b);
            w_partial[i] = b;
            x_partial[i] = a;
            total = total + a * b;
            i++;
        }
    }
    if (!taken) {
        untake(state, block);
        Py_RETURN_NOTIMPLEMENTED;
    }
    partials_of(block)[last] = 1.0;
    return with_block(state, DOT, total, block);
}

/* Apply a kernel to arguments, numbers alone included; NotImplemented where it is not for C. */
static PyObject *
apply(State *state, int kernel, PyObject *const *args, Py_ssize_t n)
{
    double a, b;
    if (kernel == DOT && n % 2 == 1) { /* weights, inputs, bias */
        Segment weights = {args, n / 2}, inputs = {args + n / 2, n / 2};
        return dot(state, &weights, NULL, &inputs, NULL, args[n - 1]);
    }
    if (kernels[kernel].variadic.value != NULL && n > 0) {
        Segment all = {args, n};
        return variadic(state, kernel, &all);
    }
    if (kernels[kernel].unary.value != NULL && n == 1) {
        if (is_node(state, args[0])) {
            return unary(kernel, args[0]);
        }
        if (plain_number(args[0], &a)) {
            return PyFloat_FromDouble(kernels[kernel].unary.value(a));
        }
    }
    else if (kernels[kernel].binary.value != NULL && n == 2) {
        Node *left = is_node(state, args[0]) ? (Node *)args[0] : NULL;
        Node *right = is_node(state, args[1]) ? (Node *)args[1] : NULL;
        if (left != NULL) {
            a = left->data;
        }
        else if (!plain_number(args[0], &a)) {
            Py_RETURN_NOTIMPLEMENTED;
        }
        if (right != NULL) {
            b = right->data;
        }
        else if (!plain_number(args[1], &b)) {
            Py_RETURN_NOTIMPLEMENTED;
        }
        if (left == NULL && right == NULL) {
            return PyFloat_FromDouble(kernels[kernel].binary.value(a, b));
        }
        return binary_of(kernel, left, a, right, b);
    }
    Py_RETURN_NOTIMPLEMENTED;
}

/* --- calling a primitive ---------------------------------------------------------------------

   The table knows nothing of this file. connect() puts a RowKernel into the slot `_kernel` of each row
   that has one here, and primitive_call into tp_call of the rows' class, whose own `__call__` stays
   the answer for everything that a kernel does not take. */

typedef struct {
    PyObject_HEAD
    State *state; /* kept alive by the module, which our type keeps alive */
    int number;
} RowKernel;

enum { KERNEL_SLOT = sizeof(PyObject) }; /* first of the sorted slots; connect() makes sure of it */

static void kernel_dealloc(PyObject *self);

/* Return the kernel in the slot of *row*, an instance of the rows' class, or NULL. Borrowed.
   Anybody can put anything there. */
ALWAYS_INLINE RowKernel *
kernel_in(PyObject *row)
{
    PyObject *kernel = *(PyObject **)((char *)row + KERNEL_SLOT);
    return kernel == NULL || Py_TYPE(kernel)->tp_dealloc != kernel_dealloc ? NULL
                                                                           : (RowKernel *)kernel;
}

ALWAYS_INLINE int
is_row(const State *state, PyObject *row)
{
    return PyObject_TypeCheck(row, Py_TYPE(state->row[0]));
}

ALWAYS_INLINE int
kernel_of(const State *state, PyObject *row)
{
    RowKernel *kernel = is_row(state, row) ? kernel_in(row) : NULL;
    return kernel == NULL ? NO_KERNEL : kernel->number;
}

/* As PyObject_GetAttrString, but that one's fresh string for the name would stay in the lookup cache
   of types, one more at each call. */
static PyObject *
attribute(PyObject *object, const char *name)
{
    PyObject *interned = PyUnicode_InternFromString(name);
    PyObject *found = interned ? PyObject_GetAttr(object, interned) : NULL;
    Py_XDECREF(interned);
    return found;
}

static PyObject *
primitive_call(PyObject *row, PyObject *args, PyObject *kwargs)
{
    RowKernel *kernel = kernel_in(row);
    if (kernel != NULL && kwargs == NULL) {
        PyObject *result = apply(kernel->state, kernel->number, ((PyTupleObject *)args)->ob_item,
                                 PyTuple_GET_SIZE(args));
        if (result != Py_NotImplemented) {
            return result;
        }
        Py_DECREF(result);
    }
    PyObject *call = attribute((PyObject *)Py_TYPE(row), "__call__");
    PyObject *itself = PyTuple_Pack(1, row), *all = NULL, *result = NULL;
    if (call != NULL && itself != NULL && (all = PySequence_Concat(itself, args)) != NULL) {
        result = PyObject_Call(call, all, kwargs);
    }
    Py_XDECREF(call);
    Py_XDECREF(itself);
    Py_XDECREF(all);
    return result;
}

static int
kernel_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
kernel_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot kernel_slots[] = {
    {Py_tp_doc, "What computes a row of the table in C."},
    {Py_tp_traverse, kernel_traverse},
    {Py_tp_dealloc, kernel_dealloc},
    {0, NULL},
};

static PyType_Spec kernel_spec = {
    .name = "chainrule.engine._native.RowKernel",
    .basicsize = sizeof(RowKernel),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = kernel_slots,
};

/* Give *row* its kernel. */
static int
set_kernel(State *state, PyObject *row, int number)
{
    RowKernel *kernel = PyObject_GC_New(RowKernel, state->kernel_type);
    if (kernel == NULL) {
        return -1;
    }
    kernel->state = state;
    kernel->number = number;
    PyObject_GC_Track((PyObject *)kernel);
    int failed = PyObject_SetAttrString(row, "_kernel", (PyObject *)kernel);
    Py_DECREF(kernel);
    return failed;
}

/* Make instances of *type*, the rows' class, callable by their kernels. */
static int
take_calls(PyObject *type)
{
    PyObject *slot = PyObject_GetAttrString(type, "_kernel");
    if (slot == NULL) {
        return -1;
    }
    int first = Py_IS_TYPE(slot, &PyMemberDescr_Type) &&
                ((PyMemberDescrObject *)slot)->d_member->offset == KERNEL_SLOT;
    Py_DECREF(slot);
    if (!first) {
        PyErr_SetString(PyExc_TypeError, "connect: _kernel must be the first slot of a primitive");
        return -1;
    }
    ((PyTypeObject *)type)->tp_call = primitive_call;
    return 0;
}

/* --- sweeps -------------------------------------------------------------------------------- */

static void
enqueue(State *state, Slab *slab)
{
    Slab **queue = state->queue;
    Py_ssize_t i = state->queue_length++;
    while (i > 0 && queue[(i - 1) / 2]->number < slab->number) {
        queue[i] = queue[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    queue[i] = slab;
}

static Slab *
dequeue(State *state) /* the newest */
{
    Slab **queue = state->queue;
    Slab *newest = queue[0];
    Py_ssize_t n = --state->queue_length, i = 0;
    Slab *last = queue[n];
    for (;;) {
        Py_ssize_t child = 2 * i + 1;
        if (child + 1 < n && queue[child + 1]->number > queue[child]->number) {
            child++;
        }
        if (child >= n || queue[child]->number <= last->number) {
            break;
        }
        queue[i] = queue[child];
        i = child;
    }
    queue[i] = last;
    return newest;
}

/* How many slots of a slab in the queue to look into.  Holes among them were not reached by this
   sweep, as no node dies meanwhile, and are not listed: a node dies struck off, and slabs of leaves,
   which may have slots that no node was in yet, are wiped when they are taken. */
ALWAYS_INLINE int
slots_used(const State *state, const Slab *slab)
{
    return slab == state->open ? state->open_slot : SLAB_NODES;
}

NEVER_INLINE void
queue_slab_of(State *state, Node *node)
{
    Slab *slab = slab_of(node);
    if (!slab->queued) {
        slab->queued = 1;
        enqueue(state, slab);
    }
}

/* Return a number that is in no node's `reached`. */
static uint16_t
next_sweep(State *state)
{
    if (state->sweep == LAST_SWEEP) {
        for (Arena *arena = state->arenas; arena != NULL; arena = arena->next) {
            for (int i = 0; i < ARENA_SLABS * SLAB_NODES; i++) {
                int live = arena->slab[i / SLAB_NODES].live >> i % SLAB_NODES & 1;
                arena->node[i].reached = live && arena->node[i].reached ? BY_HAND : 0;
            }
        }
        state->sweep = BY_HAND;
    }
    return ++state->sweep;
}

ALWAYS_INLINE void
begin_leaf(Node *leaf, double adjoint, uint16_t sweep)
{
    leaf->leaf.earlier = leaf->reached ? leaf->adjoint + leaf->leaf.earlier : -0.0;
    leaf->adjoint = adjoint;
    leaf->reached = sweep;
}

/* *queued* is the first node of a slab known to be in the queue: mostly it is the one asked for. */
ALWAYS_INLINE void
flow(State *state, Node *parent, double share, uint16_t sweep, Node **queued)
{
    if (parent->reached == sweep) {
        parent->adjoint += share;
        return;
    }
    share = 0.0 + share; /* 0.0 + -0.0 is 0.0, as in the reference */
    if (parent->form == LEAF) {
        begin_leaf(parent, share, sweep);
        return;
    }
    parent->adjoint = share;
    parent->reached = sweep;
    if ((uintptr_t)parent - (uintptr_t)*queued >= SLAB_NODES * sizeof(Node)) {
        queue_slab_of(state, parent);
        *queued = nodes_of(slab_of(parent));
    }
}

/* Add *seed* times the derivative of *root* into all that it depends on.  Cannot fail. */
static void
sweep_from(State *state, Node *root, double seed)
{
    uint16_t sweep = next_sweep(state);
    if (root->form == LEAF) {
        begin_leaf(root, seed, sweep);
        return;
    }
    root->adjoint = seed;
    root->reached = sweep;
    queue_slab_of(state, root);
    while (state->queue_length > 0) {
        Slab *slab = dequeue(state);
        Node *nodes = nodes_of(slab), *queued = nodes;
        for (Node *node = nodes + slots_used(state, slab); node-- > nodes;) {
            if (node->reached != sweep) {
                continue;
            }
            double adjoint = node->adjoint;
            if (node->form == TWO_TERMS) {
                if (node->kind[0] & IS_PARENT) {
                    flow(state, node->operand[0].node, node->partial[0] * adjoint, sweep, &queued);
                }
                if (node->kind[1] & IS_PARENT) {
                    flow(state, node->operand[1].node, node->partial[1] * adjoint, sweep, &queued);
                }
            }
            else {
                Terms terms = terms_of(node);
                Py_ssize_t i = 0, n = terms.n;
                while ((i = next_of(IS_PARENT, terms.kind, i, n)) < n) {
                    Py_ssize_t end = i + (eight_parents(terms.kind, i, n) ? 8 : 1);
                    for (; i < end; i++) {
                        flow(state, terms.operand[i].node, terms.partial[i] * adjoint, sweep,
                             &queued);
                    }
                }
            }
        }
        slab->queued = 0; /* only now: what was reached in it meanwhile stands below */
    }
}

static int
by_serial(const void *a, const void *b)
{
    uint64_t x = (*(Node *const *)a)->serial, y = (*(Node *const *)b)->serial;
    return (x > y) - (x < y);
}

enum { SLABS_TO_A_LOOK = 1024 }; /* for Ctrl-C: every few milliseconds */

ALWAYS_INLINE void
list_node(State *state, Node *node, uint64_t floor)
{
    if (!node->listed && node->serial >= floor) {
        node->listed = 1;
        queue_slab_of(state, node);
    }
}

/* The sweep without gradients: all nodes below *outputs*, a tuple, which holds them from now on, by
   serial number, upwards; where an operand of another *kind* is met, or a node whose serial number is
   below *floor*, it goes no further.  NULL without an error if one is not a node.  At Ctrl-C it stops
   and says so by *interrupted*, with an error only if the handler raised one: other Python code must
   not run while nodes are listed. */
static Node **
walk_below(State *state, PyObject *outputs, uint8_t kind, uint64_t floor, Py_ssize_t *count,
           int *interrupted)
{
    *interrupted = 0;
    if (!PyTuple_CheckExact(outputs)) {
        PyErr_SetString(PyExc_TypeError, "expected a tuple");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(outputs); i++) {
        if (!is_node(state, PyTuple_GET_ITEM(outputs, i))) {
            return NULL;
        }
    }
    /* Newest first; leaves, whose slabs come last, behind all computed nodes. */
    Py_ssize_t room = 4 * SLAB_NODES, n = 0, n_computed = 0;
    Node **found = PyMem_Malloc(room * sizeof(Node *));
    int failed = found == NULL; /* then the nodes are still to be struck off */
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(outputs); i++) {
        list_node(state, (Node *)PyTuple_GET_ITEM(outputs, i), floor);
    }
    for (int slabs = 1; state->queue_length > 0; slabs++) {
        Slab *slab = dequeue(state);
        Node *nodes = nodes_of(slab);
        if (slabs % SLABS_TO_A_LOOK == 0 && !failed && PyOS_InterruptOccurred()) {
            failed = *interrupted = 1;
        }
        if (!failed && n + SLAB_NODES > room) {
            room *= 2;
            Node **more = PyMem_Realloc(found, room * sizeof(Node *));
            failed = more == NULL;
            found = failed ? found : more;
        }
        for (Node *node = nodes + slots_used(state, slab); node-- > nodes;) {
            if (!node->listed) {
                continue;
            }
            node->listed = 0;
            if (failed) {
                continue;
            }
            found[n++] = node;
            n_computed += slab->number != 0;
            Terms terms = terms_of(node);
            for (Py_ssize_t i = 0; i < terms.n; i++) {
                if (terms.kind[i] & kind) {
                    list_node(state, terms.operand[i].node, floor);
                }
            }
        }
        slab->queued = 0;
    }
    Node **order = failed ? NULL : PyMem_Malloc((n + 1) * sizeof(Node *));
    if (order != NULL) {
        Node **computed = found + n_computed, **leaf = computed, **end = found + n;
        qsort(leaf, end - leaf, sizeof(Node *), by_serial);
        for (Py_ssize_t i = 0; i < n; i++) { /* merge; the computed ones backwards */
            if (computed == found || (leaf < end && (*leaf)->serial < computed[-1]->serial)) {
                order[i] = *leaf++;
            }
            else {
                order[i] = *--computed;
            }
        }
        *count = n;
    }
    else if (*interrupted) {
        PyErr_SetInterrupt();
        (void)PyErr_CheckSignals();
    }
    else {
        PyErr_NoMemory();
    }
    PyMem_Free(found);
    return order;
}

static Node **
nodes_below(State *state, PyObject *outputs, uint8_t kind, uint64_t floor, Py_ssize_t *count)
{
    Node **order;
    int interrupted;
    do {
        order = walk_below(state, outputs, kind, floor, count, &interrupted);
    } while (interrupted && !PyErr_Occurred()); /* the handler let it go on: from the beginning */
    return order;
}

static PyObject *
list_of(Node **nodes, Py_ssize_t n)
{
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
        PyList_SET_ITEM(list, i, Py_NewRef((PyObject *)nodes[i]));
    }
    return list;
}

/* Return the state of *module* if it has its rows and its Value yet, else raise RuntimeError. */
static State *
connected(PyObject *module)
{
    State *state = PyModule_GetState(module);
    if (state->value_type == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the native core is not connected to its table yet");
        return NULL;
    }
    return state;
}

static PyObject *
topological_order(PyObject *module, PyObject *outputs)
{
    State *state = connected(module);
    if (state == NULL) {
        return NULL;
    }
    Py_ssize_t n;
    Node **order = nodes_below(state, outputs, IS_PARENT, 0, &n);
    if (order == NULL) {
        if (PyErr_Occurred()) {
            return NULL;
        }
        Py_RETURN_NONE;
    }
    PyObject *list = list_of(order, n);
    PyMem_Free(order);
    return list;
}

/* Whether one of the parents of *node* is listed. */
ALWAYS_INLINE int
has_listed_parent(Node *node)
{
    Terms terms = terms_of(node);
    Py_ssize_t i = 0;
    while ((i = next_of(IS_PARENT, terms.kind, i, terms.n)) < terms.n) {
        if (terms.operand[i++].node->listed) {
            return 1;
        }
    }
    return 0;
}

/* The nodes on the paths from *inputs* to *outputs*, both tuples, which hold them from now on, by
   serial number, upwards.  What depends on an input is younger, so what is older than all of them is
   not looked at.  NULL without an error if an item of the tuples is not a node. */
static Node **
nodes_between(State *state, PyObject *inputs, PyObject *outputs, Py_ssize_t *count)
{
    uint64_t floor = UINT64_MAX;
    if (!PyTuple_CheckExact(inputs)) {
        PyErr_SetString(PyExc_TypeError, "expected a tuple");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++) {
        Node *input = (Node *)PyTuple_GET_ITEM(inputs, i);
        if (!is_node(state, (PyObject *)input)) {
            return NULL;
        }
        floor = input->serial < floor ? input->serial : floor;
    }
    Py_ssize_t n_below, n = 0;
    Node **order = nodes_below(state, outputs, IS_PARENT, floor, &n_below);
    if (order == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++) {
        ((Node *)PyTuple_GET_ITEM(inputs, i))->listed = 1;
    }
    for (Py_ssize_t i = 0; i < n_below; i++) {
        if (order[i]->listed || has_listed_parent(order[i])) {
            order[i]->listed = 1;
            order[n++] = order[i];
        }
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        order[i]->listed = 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++) {
        ((Node *)PyTuple_GET_ITEM(inputs, i))->listed = 0;
    }
    *count = n;
    return order;
}

static PyObject *
paths(PyObject *module, PyObject *args)
{
    Py_ssize_t n;
    PyObject *inputs, *outputs;
    State *state = connected(module);
    if (state == NULL || !PyArg_ParseTuple(args, "OO:paths", &inputs, &outputs)) {
        return NULL;
    }
    Node **order = nodes_between(state, inputs, outputs, &n);
    if (order == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    PyObject *list = list_of(order, n);
    PyMem_Free(order);
    return list;
}

/* --- the compiler's tape --------------------------------------------------------------------

   What recorded() of compiler/tape.py does, and says, in one walk: every node becomes the number of
   an entry, and equal nodes share one.  Entries are found again in a hash table. */

enum { TAPE_LEAF = -1, TAPE_CONSTANT = -2 };

typedef struct {
    int16_t *code;
    double *value;              /* of a constant */
    int64_t *start, *input;     /* the inputs of entry n begin at start[n] */
    uint64_t *hash;             /* 0 for an entry that is not to be found again */
    int32_t *slot;              /* the hash table: numbers of entries, or -1 */
    Py_ssize_t n, room, n_inputs, input_room;
    Py_ssize_t n_slots;         /* a power of 2, twice the room or more */
} Tape;

static int
enlarge(void *array, size_t bytes) /* *array* is the address of a pointer */
{
    void *more;
    memcpy(&more, array, sizeof(more)); /* the pointer is of any type */
    more = PyMem_Realloc(more, bytes);
    if (more == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(array, &more, sizeof(more));
    return 0;
}

/* Return where the entry with these contents is in the hash table, or where it would be. */
static int32_t *
tape_slot(const Tape *tape, uint64_t hash, int code, double value, const int64_t *input, Py_ssize_t n)
{
    uint64_t mask = tape->n_slots - 1, at = hash & mask;
    for (int64_t k; (k = tape->slot[at]) >= 0; at = (at + 1) & mask) {
        if (tape->hash[k] == hash && tape->code[k] == code &&
            tape->start[k + 1] - tape->start[k] == n &&
            memcmp(&tape->value[k], &value, sizeof(value)) == 0 &&
            (n == 0 || memcmp(tape->input + tape->start[k], input, n * sizeof(*input)) == 0)) {
            break;
        }
    }
    return &tape->slot[at];
}

static int
tape_room(Tape *tape, Py_ssize_t entries, Py_ssize_t inputs) /* make room for so many more */
{
    if (tape->n_inputs + inputs > tape->input_room) {
        tape->input_room = 2 * (tape->n_inputs + inputs);
        if (enlarge(&tape->input, tape->input_room * sizeof(int64_t)) < 0) {
            return -1;
        }
    }
    if (tape->n + entries <= tape->room) {
        return 0;
    }
    Py_ssize_t room = tape->n + entries + tape->n / 2;
    if (room > INT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a graph of more than a billion nodes");
        return -1;
    }
    for (tape->n_slots = 1; tape->n_slots < 2 * room;) {
        tape->n_slots *= 2;
    }
    if (enlarge(&tape->code, room * sizeof(int16_t)) < 0 ||
        enlarge(&tape->value, room * sizeof(double)) < 0 ||
        enlarge(&tape->start, (room + 1) * sizeof(int64_t)) < 0 ||
        enlarge(&tape->hash, room * sizeof(uint64_t)) < 0 ||
        enlarge(&tape->slot, tape->n_slots * sizeof(int32_t)) < 0) {
        return -1;
    }
    tape->room = room;
    memset(tape->slot, -1, tape->n_slots * sizeof(int32_t));
    for (int64_t k = 0; k < tape->n; k++) {
        if (tape->hash[k] != 0) {
            int64_t start = tape->start[k];
            *tape_slot(tape, tape->hash[k], tape->code[k], tape->value[k], tape->input + start,
                       tape->start[k + 1] - start) = (int32_t)k;
        }
    }
    return 0;
}

static int64_t
tape_append(Tape *tape, uint64_t hash, int code, double value, const int64_t *input, Py_ssize_t n)
{
    if (tape_room(tape, 1, n) < 0) {
        return -1;
    }
    tape->start[0] = 0;
    tape->code[tape->n] = (int16_t)code;
    tape->value[tape->n] = value;
    tape->hash[tape->n] = hash;
    if (n > 0) {
        memcpy(tape->input + tape->n_inputs, input, n * sizeof(int64_t));
    }
    tape->n_inputs += n;
    tape->start[tape->n + 1] = tape->n_inputs;
    return tape->n++;
}

/* Return the number of the entry with these contents, a new one if there is none; -1: an error. */
static int64_t
tape_entry(Tape *tape, int code, double value, const int64_t *input, Py_ssize_t n)
{
    uint64_t hash;
    memcpy(&hash, &value, sizeof(hash));
    hash = (hash ^ (uint64_t)(code + 3)) * 0x9E3779B97F4A7C15u;
    for (Py_ssize_t i = 0; i < n; i++) {
        hash = ((hash ^ (hash >> 29)) + (uint64_t)input[i]) * 0xBF58476D1CE4E5B9u;
    }
    hash = (hash ^ (hash >> 32)) | (uint64_t)1 << 63;
    if (tape_room(tape, 1, n) < 0) {
        return -1;
    }
    int32_t *slot = tape_slot(tape, hash, code, value, input, n);
    if (*slot < 0) {
        *slot = (int32_t)tape->n;
        return tape_append(tape, hash, code, value, input, n);
    }
    return *slot;
}

/* Return the code of a row: the number of its kernel, or its place in *rows* behind all kernels. */
static int
tape_code(const State *state, const Node *node, PyObject *rows)
{
    PyObject *row = row_of(state, node);
    if (node->kernel != NO_KERNEL && row == state->row[node->kernel]) {
        return node->kernel;
    }
    Py_ssize_t code = N_KERNELS;
    while (code < PyList_GET_SIZE(rows) && PyList_GET_ITEM(rows, code) != row) {
        code++;
    }
    if (code > INT16_MAX) {
        PyErr_SetString(PyExc_OverflowError, "tape: too many different primitives");
        return -1;
    }
    if (code == PyList_GET_SIZE(rows) && PyList_Append(rows, row) < 0) {
        return -1;
    }
    return (int)code;
}

/* Append *node*, whose operands have the *inputs* as their numbers; return its own. */
static int64_t
tape_node(Tape *tape, const State *state, Node *node, PyObject *rows, int64_t *input)
{
    Terms terms = terms_of(node);
    if (node->form == LEAF) {
        return tape_append(tape, 0, TAPE_LEAF, 0.0, NULL, 0);
    }
    int code = tape_code(state, node, rows);
    if (code == SOFTMAX) { /* all its entries, one after another; the first stands for them */
        Py_ssize_t before = tape->n, n = terms.n - 1;
        int64_t first = tape_entry(tape, code, 0.0, input + 1, n);
        for (Py_ssize_t k = 1; first == before && k < n; k++) {
            if (tape_append(tape, 0, code, 0.0, input + 1, n) < 0) {
                return -1;
            }
        }
        return first < 0 ? -1 : first + (int64_t)terms.operand[0].number;
    }
    if (code == MEAN) { /* a sum over a number */
        int64_t quotient[2];
        quotient[0] = tape_entry(tape, SUM, 0.0, input, terms.n);
        quotient[1] = tape_entry(tape, TAPE_CONSTANT, (double)terms.n, NULL, 0);
        return quotient[0] < 0 || quotient[1] < 0
                   ? -1 : tape_entry(tape, DIVIDE, 0.0, quotient, 2);
    }
    return code < 0 ? -1 : tape_entry(tape, code, 0.0, input, terms.n);
}

/* Where in *place* a node's place in the order stands, or would: its serial number says where to
   look, so that neighbours in the order are neighbours there. */
ALWAYS_INLINE int32_t *
place_of(int32_t *place, uint64_t mask, Node **order, const Node *node)
{
    uint64_t at = node->serial & mask;
    while (place[at] >= 0 && order[place[at]] != node) {
        at = (at + 1) & mask;
    }
    return &place[at];
}

/* Enter the *count* nodes of *order* into *tape*, the number of each into *number*. */
static int
tape_nodes(Tape *tape, const State *state, Node **order, Py_ssize_t count, int64_t *number,
           PyObject *rows)
{
    Py_ssize_t slots = 1, room = 0;
    while (slots < 2 * count) {
        slots *= 2;
    }
    int32_t *place = NULL;
    int64_t *input = NULL;
    int failed = enlarge(&place, slots * sizeof(int32_t)) < 0;
    if (!failed) {
        memset(place, -1, slots * sizeof(int32_t));
    }
    for (Py_ssize_t i = 0; !failed && i < count; i++) {
        Terms terms = terms_of(order[i]);
        if (terms.n > room) {
            room = 2 * terms.n;
            failed = enlarge(&input, room * sizeof(int64_t)) < 0;
        }
        int is_entry = order[i]->form != LEAF && order[i]->kernel == SOFTMAX; /* of the rest */
        for (Py_ssize_t k = is_entry; !failed && k < terms.n; k++) {
            input[k] = terms.kind[k] & IS_NODE
                           ? number[*place_of(place, slots - 1, order, terms.operand[k].node)]
                           : tape_entry(tape, TAPE_CONSTANT, terms.operand[k].number, NULL, 0);
            failed = input[k] < 0;
        }
        if (!failed) {
            *place_of(place, slots - 1, order, order[i]) = (int32_t)i;
            number[i] = tape_node(tape, state, order[i], rows, input);
            failed = number[i] < 0;
        }
    }
    PyMem_Free(place);
    PyMem_Free(input);
    return failed ? -1 : 0;
}

/* flatten(outputs): rows, nodes that are leaves, codes, values, starts, inputs, and the number that
   each of the nodes has, in their order; arrays as bytes.  None if an output is not a node of C. */
static PyObject *
flatten(PyObject *module, PyObject *outputs)
{
    State *state = connected(module);
    if (state == NULL) {
        return NULL;
    }
    Py_ssize_t count, n_leaves = 0;
    Node **order = nodes_below(state, outputs, IS_NODE, 0, &count);
    if (order == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    Tape tape = {0};
    int64_t *number = NULL;
    PyObject *rows = PyList_New(0), *leaves = NULL, *numbers = NULL, *result = NULL;
    int failed = rows == NULL || enlarge(&number, (count + 1) * sizeof(int64_t)) < 0;
    for (int kernel = 0; !failed && kernel < N_KERNELS; kernel++) {
        failed = PyList_Append(rows, state->row[kernel]) < 0;
    }
    failed = failed || tape_room(&tape, count + count / 8 + 8, 2 * count + 8) < 0;
    if (failed || tape_append(&tape, 0, TAPE_CONSTANT, 1.0, NULL, 0) < 0 /* ONE */ ||
        tape_nodes(&tape, state, order, count, number, rows) < 0) {
        goto done;
    }
    numbers = PyList_New(PyTuple_GET_SIZE(outputs));
    for (Py_ssize_t i = 0; numbers != NULL && i < PyTuple_GET_SIZE(outputs); i++) {
        const Node *output = (Node *)PyTuple_GET_ITEM(outputs, i);
        Py_ssize_t low = 0, high = count - 1;
        while (low < high) { /* nodes stand by serial number */
            Py_ssize_t middle = (low + high) / 2;
            low = order[middle]->serial < output->serial ? middle + 1 : low;
            high = order[middle]->serial < output->serial ? high : middle;
        }
        PyObject *entry = PyLong_FromLongLong(number[low]);
        if (entry == NULL) {
            goto done;
        }
        PyList_SET_ITEM(numbers, i, entry);
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (order[i]->form == LEAF) {
            order[n_leaves++] = order[i];
        }
    }
    leaves = list_of(order, n_leaves);
    if (leaves != NULL && numbers != NULL) {
        result = Py_BuildValue("OOOny#y#y#y#", rows, leaves, numbers, count, (char *)tape.code,
                               tape.n * sizeof(int16_t), (char *)tape.value,
                               tape.n * sizeof(double), (char *)tape.start,
                               (tape.n + 1) * sizeof(int64_t), (char *)tape.input,
                               tape.n_inputs * sizeof(int64_t));
    }
done:
    Py_XDECREF(rows);
    Py_XDECREF(leaves);
    Py_XDECREF(numbers);
    PyMem_Free(number);
    PyMem_Free(order);
    PyMem_Free(tape.code);
    PyMem_Free(tape.value);
    PyMem_Free(tape.start);
    PyMem_Free(tape.input);
    PyMem_Free(tape.hash);
    PyMem_Free(tape.slot);
    return result;
}

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

/* replay(rows, codes, starts, inputs, given): the operations of a tape on *given*, which has a Value or
   a number for every entry that is not computed; a list of the results of all entries. */
static PyObject *
replay(PyObject *module, PyObject *arguments)
{
    State *state = connected(module);
    PyObject *rows, *given, *found = NULL, **args = NULL;
    Py_buffer codes, starts, inputs;
    if (state == NULL ||
        !PyArg_ParseTuple(arguments, "O!y*y*y*O!:replay", &PyTuple_Type, &rows, &codes, &starts,
                          &inputs, &PyList_Type, &given)) {
        return NULL;
    }
    Wiring wiring;
    const int16_t *code = codes.buf;
    Py_ssize_t n = codes.len / (Py_ssize_t)sizeof(int16_t), room = 0;
    int fits = is_aligned(&codes, sizeof(int16_t)) && take_wiring(&wiring, &starts, &inputs, n);
    found = fits ? PyList_New(n) : NULL;
    if (found != NULL) {
        PyObject_GC_UnTrack(found); /* so that nobody can come by it while it fills */
    }
    for (Py_ssize_t k = 0; found != NULL && k < n; k++) {
        const int64_t *input;
        Py_ssize_t count;
        int which = code[k];
        PyObject *result = NULL;
        fits = inputs_of(&wiring, k, &input, &count);
        if (fits && which < 0) {
            fits = k < PyList_GET_SIZE(given);
            result = fits ? Py_NewRef(PyList_GET_ITEM(given, k)) : NULL;
        }
        else if (fits) {
            fits = which < PyTuple_GET_SIZE(rows) && count > 0;
            if (fits && count > room) {
                room = count;
                fits = enlarge(&args, room * sizeof(PyObject *)) == 0;
            }
            for (Py_ssize_t i = 0; fits && i < count; i++) {
                int64_t at = input[i];
                fits = 0 <= at && at < k;
                args[i] = fits ? PyList_GET_ITEM(found, at) : NULL;
            }
            PyObject *row = fits ? PyTuple_GET_ITEM(rows, which) : NULL;
            int kernel = fits ? kernel_of(state, row) : NO_KERNEL;
            result = kernel != NO_KERNEL ? apply(state, kernel, args, count) : NULL;
            if (fits && (kernel == NO_KERNEL || result == Py_NotImplemented)) {
                Py_XDECREF(result);
                result = PyObject_Vectorcall(row, args, count, NULL);
            }
        }
        if (result == NULL) {
            Py_CLEAR(found);
            break;
        }
        PyList_SET_ITEM(found, k, result);
    }
    PyMem_Free(args);
    PyBuffer_Release(&codes);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&inputs);
    if (found != NULL) {
        PyObject_GC_Track(found);
    }
    else if (!fits && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "replay: expected inputs before their users");
    }
    return found;
}

/* --- Value: what a node shows ---------------------------------------------------------------- */

/* Return *x* as a float object, as `as_float` or its like does it; *doing* may be NULL. */
static int
number_by(PyObject *asked, PyObject *x, const char *doing, double *number)
{
    if (plain_number(x, number)) {
        return 0;
    }
    PyObject *y = doing ? PyObject_CallFunction(asked, "Os", x, doing)
                        : PyObject_CallOneArg(asked, x);
    if (y == NULL) {
        return -1;
    }
    *number = PyFloat_AsDouble(y);
    Py_DECREF(y);
    return *number == -1.0 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *
label_of(const Node *node) /* borrowed, or NULL */
{
    return node->form == LEAF ? node->leaf.label : node->form == BLOCK ? node->block->label : NULL;
}

static int
set_label(Node *node, PyObject *label)
{
    PyObject *plain = PyObject_CallOneArg(arena_of(node)->state->asked.checked_label, label);
    if (plain == NULL) {
        return -1;
    }
    if (PyUnicode_GET_LENGTH(plain) == 0) {
        Py_CLEAR(plain);
    }
    if (node->form != LEAF && to_block(node) < 0) {
        Py_XDECREF(plain);
        return -1;
    }
    if (node->form == LEAF) {
        Py_XSETREF(node->leaf.label, plain);
    }
    else {
        Py_XSETREF(node->block->label, plain);
    }
    return 0;
}

static int
refuse_to_delete(const char *name)
{
    PyErr_Format(PyExc_AttributeError, "%s of a Value cannot be deleted", name);
    return -1;
}

static PyObject *
get_data(PyObject *self, void *closure)
{
    (void)closure;
    return PyFloat_FromDouble(((Node *)self)->data);
}

static int
set_data(PyObject *self, PyObject *data, void *closure)
{
    (void)closure;
    Node *node = (Node *)self;
    Asked *asked = &arena_of(node)->state->asked;
    double number;
    if (data == NULL) {
        return refuse_to_delete("data");
    }
    if (node->form != LEAF) {
        Py_XDECREF(PyObject_CallOneArg(asked->refuse_write, self));
        return -1;
    }
    if (number_by(asked->as_float, data, "Value.data", &number) < 0) {
        return -1;
    }
    node->data = number;
    return 0;
}

static PyObject *
get_grad(PyObject *self, void *closure)
{
    (void)closure;
    return PyFloat_FromDouble(grad_of((Node *)self));
}

static int
set_grad(PyObject *self, PyObject *grad, void *closure)
{
    (void)closure;
    Node *node = (Node *)self;
    double number;
    if (grad == NULL) {
        return refuse_to_delete("grad");
    }
    if (number_by(arena_of(node)->state->asked.checked_grad, grad, NULL, &number) < 0) {
        return -1;
    }
    assign_grad(node, number);
    return 0;
}

static PyObject *
get_has_grad(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((Node *)self)->reached != 0);
}

static PyObject *
get_label(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *label = label_of((Node *)self);
    return label ? Py_NewRef(label) : PyUnicode_FromStringAndSize(NULL, 0);
}

static int
set_label_attribute(PyObject *self, PyObject *label, void *closure)
{
    (void)closure;
    return label ? set_label((Node *)self, label) : refuse_to_delete("label");
}

static PyObject *
get_primitive(PyObject *self, void *closure)
{
    (void)closure;
    return Py_NewRef(row_of(arena_of((Node *)self)->state, (Node *)self));
}

static PyObject *
get_operands(PyObject *self, void *closure)
{
    (void)closure;
    return operands_of((Node *)self);
}

/* A tuple with one entry per parent. */
static PyObject *
per_parent(Node *node, PyObject *(*entry)(const Terms *, Py_ssize_t))
{
    Terms terms = terms_of(node);
    Py_ssize_t n = 0;
    for (Py_ssize_t i = 0; i < terms.n; i++) {
        n += (terms.kind[i] & IS_PARENT) != 0;
    }
    PyObject *tuple = PyTuple_New(n);
    if (tuple == NULL) {
        return NULL;
    }
    terms = terms_of(node); /* again: the tuple may have run any code */
    n = 0;
    for (Py_ssize_t i = 0; i < terms.n; i++) {
        if (terms.kind[i] & IS_PARENT) {
            PyObject *x = entry(&terms, i);
            if (x == NULL) {
                Py_DECREF(tuple);
                return NULL;
            }
            PyTuple_SET_ITEM(tuple, n++, x);
        }
    }
    return tuple;
}

static PyObject *
parent_entry(const Terms *terms, Py_ssize_t i)
{
    return Py_NewRef((PyObject *)terms->operand[i].node);
}

static PyObject *
partial_entry(const Terms *terms, Py_ssize_t i)
{
    return PyFloat_FromDouble(terms->partial[i]);
}

static PyObject *
get_parents(PyObject *self, void *closure)
{
    (void)closure;
    return per_parent((Node *)self, parent_entry);
}

static PyObject *
get_partials(PyObject *self, void *closure)
{
    (void)closure;
    return per_parent((Node *)self, partial_entry);
}

static PyObject *
get_serial(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(((Node *)self)->serial);
}

static PyObject *
get_origin(PyObject *self, void *closure)
{
    (void)closure;
    Node *node = (Node *)self;
    PyObject *origin = node->form == LEAF    ? node->leaf.origin
                       : node->form == BLOCK ? node->block->origin
                                             : NULL;
    return Py_NewRef(origin ? origin : Py_None);
}

static int
node_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    int done = PyObject_GenericSetAttr(self, name, value);
    if (done < 0 && value != NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyObject *kind, *error, *traceback;
        PyErr_Fetch(&kind, &error, &traceback);
        if (PyObject_HasAttr((PyObject *)Py_TYPE(self), name)) {
            PyErr_Restore(kind, error, traceback);
            return done;
        }
        Py_XDECREF(kind);
        Py_XDECREF(error);
        Py_XDECREF(traceback);
        Py_XDECREF(
            PyObject_CallOneArg(arena_of((Node *)self)->state->asked.refuse_attribute, name));
    }
    return done;
}

static PyGetSetDef node_getset[] = {
    {"data", get_data, set_data, "The number.  Writable on a leaf only.", NULL},
    {"grad", get_grad, set_grad,
     "The derivative of the last root of backward() with respect to this node; leaves add up.", NULL},
    {"has_grad", get_has_grad, NULL,
     "Whether a backward pass has reached this node since its grad was last reset.", NULL},
    {"label", get_label, set_label_attribute, "A name for drawings and messages.", NULL},
    {"primitive", get_primitive, NULL,
     "The row of the table that made this node; None for a leaf.", NULL},
    {"operands", get_operands, NULL,
     "What the operation was applied to: the parents, and the constants between them.", NULL},
    {"parents", get_parents, NULL,
     "The Values this one was computed from, in order, with duplicates.", NULL},
    {"partials", get_partials, NULL,
     "The derivative of this node with respect to each of its parents.", NULL},
    {"serial", get_serial, NULL, "The number of nodes made before this one.", NULL},
    {"origin", get_origin, NULL,
     "Where in the source the node was made, if detect_anomaly was on.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* --- Value: what a node does ----------------------------------------------------------------- */

static PyObject *
labelled_leaf(State *state, PyObject *data, PyObject *label)
{
    double number;
    if (number_by(state->asked.leaf_data, data, NULL, &number) < 0) {
        return NULL;
    }
    Node *node = new_leaf(state, number);
    if (node != NULL && label != NULL && set_label(node, label) < 0) {
        Py_CLEAR(node);
    }
    return (PyObject *)node;
}

/* Whether more is given than data and label. */
static int
more_given(PyObject *args, PyObject *kwargs)
{
    Py_ssize_t known = 0, named = kwargs == NULL ? 0 : PyDict_GET_SIZE(kwargs);
    if (named > 0) {
        known += PyDict_GetItemString(kwargs, "data") != NULL;
        known += PyDict_GetItemString(kwargs, "label") != NULL;
    }
    return PyTuple_GET_SIZE(args) + named > 2 || named > known;
}

static PyObject *make_node(PyObject *module, PyObject *given);

/* Value(data, children, local_grads) in any of its forms. */
static PyObject *
given_node(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    State *state = PyType_GetModuleState(type);
    PyObject *contents = PyObject_Call(state->asked.node_contents, args, kwargs), *node = NULL;
    if (contents != NULL && PyTuple_Check(contents)) {
        node = make_node(PyType_GetModule(type), contents);
    }
    Py_XDECREF(contents);
    return node;
}

/* The same of plain numbers and tuples, without a detour; NotImplemented for anything else. */
static PyObject *
plainly_given_node(State *state, PyObject *data, PyObject *children, PyObject *partials)
{
    double number;
    if (PyList_GET_SIZE(state->modes) || !PyTuple_CheckExact(children) || !PyTuple_CheckExact(partials) ||
        PyTuple_GET_SIZE(children) != PyTuple_GET_SIZE(partials) ||
        PyTuple_GET_SIZE(children) == 0 || !plain_number(data, &number)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    Block *block = new_block(state, PyTuple_GET_SIZE(children));
    if (block == NULL) {
        return NULL;
    }
    memset(kinds_of(block), IS_NODE | IS_PARENT, block->n);
    for (Py_ssize_t i = 0; i < block->n; i++) {
        PyObject *child = PyTuple_GET_ITEM(children, i);
        block->operand[i].node = (Node *)child; /* not owned yet */
        if (Py_TYPE(child) != state->value_type ||
            !plain_number(PyTuple_GET_ITEM(partials, i), &partials_of(block)[i])) {
            free_block(state, block);
            Py_RETURN_NOTIMPLEMENTED;
        }
    }
    Node *node = new_computed(state);
    if (node == NULL) {
        free_block(state, block);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < block->n; i++) {
        Py_INCREF((PyObject *)block->operand[i].node);
    }
    block->row = Py_NewRef(state->asked.given);
    node->data = number;
    node->form = BLOCK;
    node->kernel = NO_KERNEL;
    node->block = block;
    return (PyObject *)node;
}

static PyObject *
node_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"data", "label", NULL};
    PyObject *data, *label = NULL;
    if (type->tp_dealloc != node_dealloc) { /* a class caught before __init_subclass__ refused it */
        PyErr_SetString(PyExc_TypeError, "Value cannot be subclassed");
        return NULL;
    }
    if (more_given(args, kwargs)) {
        return given_node(type, args, kwargs);
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:Value", names, &data, &label)) {
        return NULL;
    }
    if (label != NULL && !PyUnicode_Check(label)) {
        return given_node(type, args, kwargs);
    }
    return labelled_leaf(PyType_GetModuleState(type), data, label);
}

static PyObject *
node_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t n = PyVectorcall_NARGS(nargsf);
    State *state = PyType_GetModuleState((PyTypeObject *)type);
    if (kwnames == NULL && (n == 1 || (n == 2 && PyUnicode_Check(args[1])))) {
        return labelled_leaf(state, args[0], n == 2 ? args[1] : NULL);
    }
    if (kwnames == NULL && n == 3) {
        PyObject *given = plainly_given_node(state, args[0], args[1], args[2]);
        if (given != Py_NotImplemented) {
            return given;
        }
        Py_DECREF(given);
    }
    PyObject *positional = PyTuple_New(n), *keywords = PyDict_New(), *node = NULL;
    if (positional == NULL || keywords == NULL) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyTuple_SET_ITEM(positional, i, Py_NewRef(args[i]));
    }
    for (Py_ssize_t i = 0; kwnames != NULL && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyDict_SetItem(keywords, PyTuple_GET_ITEM(kwnames, i), args[n + i]) < 0) {
            goto done;
        }
    }
    node = node_new((PyTypeObject *)type, positional, keywords);
done:
    Py_XDECREF(positional);
    Py_XDECREF(keywords);
    return node;
}

static PyObject *
node_backward(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    State *state = arena_of((Node *)self)->state;
    double seed = 1.0;
    Py_ssize_t n_named = names ? PyTuple_GET_SIZE(names) : 0;
    if (n + n_named > 1 ||
        (n_named && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "seed"))) {
        PyErr_SetString(PyExc_TypeError, "backward() takes one argument at most, the seed");
        return NULL;
    }
    if (n + n_named == 1 &&
        number_by(state->asked.as_float, args[0], "backward(seed)", &seed) < 0) {
        return NULL;
    }
    if (PyList_GET_SIZE(state->modes)) {
        PyObject *fine = PyObject_CallFunction(state->asked.watch_backward, "Od", self, seed);
        if (fine == NULL) {
            return NULL;
        }
        Py_DECREF(fine);
    }
    sweep_from(state, (Node *)self, seed);
    Py_RETURN_NONE;
}

static PyObject *
node_sizeof(PyObject *self, PyObject *unused)
{
    (void)unused;
    Node *node = (Node *)self;
    size_t size = sizeof(Node);
    if (node->form == BLOCK) {
        size += block_size(node->block->n);
    }
    return PyLong_FromSize_t(size);
}

static PyObject *
richcompare(PyObject *self, PyObject *other, int op)
{
    double b;
    int equality = op == Py_EQ || op == Py_NE;
    if (equality && self == other) {
        return PyBool_FromLong(op == Py_EQ);
    }
    State *state = arena_of((Node *)self)->state;
    if (PyList_GET_SIZE(state->modes)) { /* comparing may be refused */
        PyObject *fine = PyObject_CallOneArg(state->asked.comparable, other);
        if (fine == NULL) {
            return NULL;
        }
        Py_DECREF(fine);
    }
    if (equality) { /* identity, which the interpreter falls back to */
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (is_node(state, other)) {
        b = ((Node *)other)->data;
    }
    else if (!plain_number(other, &b)) {
        PyObject *number = PyObject_CallOneArg(state->asked.comparable, other);
        if (number == NULL) {
            return NULL;
        }
        if (number == Py_None) {
            Py_DECREF(number);
            Py_RETURN_NOTIMPLEMENTED;
        }
        b = PyFloat_AsDouble(number);
        Py_DECREF(number);
    }
    double a = ((Node *)self)->data; /* only now: what other did to it counts */
    Py_RETURN_RICHCOMPARE(a, b, op);
}

static Py_hash_t
hash_of(PyObject *self)
{
    return PyBaseObject_Type.tp_hash(self);
}

static PyObject *node_add(PyObject *a, PyObject *b) { return binary(ADD, a, b); }
static PyObject *node_subtract(PyObject *a, PyObject *b) { return binary(SUBTRACT, a, b); }
static PyObject *node_multiply(PyObject *a, PyObject *b) { return binary(MULTIPLY, a, b); }
static PyObject *node_divide(PyObject *a, PyObject *b) { return binary(DIVIDE, a, b); }
static PyObject *node_negative(PyObject *x) { return unary(NEGATIVE, x); }
static PyObject *node_positive(PyObject *x) { return Py_NewRef(x); }
static PyObject *node_absolute(PyObject *x) { return unary(ABSOLUTE, x); }

static PyObject *
node_power(PyObject *a, PyObject *b, PyObject *modulus)
{
    if (modulus != Py_None) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    return binary(POWER, a, b);
}

static PyObject *m_exp(PyObject *x, PyObject *_) { (void)_; return unary(EXP, x); }
static PyObject *m_expm1(PyObject *x, PyObject *_) { (void)_; return unary(EXPM1, x); }
static PyObject *m_log(PyObject *x, PyObject *_) { (void)_; return unary(LOG, x); }
static PyObject *m_log1p(PyObject *x, PyObject *_) { (void)_; return unary(LOG1P, x); }
static PyObject *m_sqrt(PyObject *x, PyObject *_) { (void)_; return unary(SQRT, x); }
static PyObject *m_square(PyObject *x, PyObject *_) { (void)_; return unary(SQUARE, x); }
static PyObject *m_abs(PyObject *x, PyObject *_) { (void)_; return unary(ABSOLUTE, x); }
static PyObject *m_sin(PyObject *x, PyObject *_) { (void)_; return unary(SIN, x); }
static PyObject *m_cos(PyObject *x, PyObject *_) { (void)_; return unary(COS, x); }
static PyObject *m_tan(PyObject *x, PyObject *_) { (void)_; return unary(TAN, x); }
static PyObject *m_tanh(PyObject *x, PyObject *_) { (void)_; return unary(TANH, x); }
static PyObject *m_sigmoid(PyObject *x, PyObject *_) { (void)_; return unary(SIGMOID, x); }
static PyObject *m_relu(PyObject *x, PyObject *_) { (void)_; return unary(RELU, x); }
static PyObject *m_softplus(PyObject *x, PyObject *_) { (void)_; return unary(SOFTPLUS, x); }
static PyObject *m_logsigmoid(PyObject *x, PyObject *_) { (void)_; return unary(LOGSIGMOID, x); }
static PyObject *m_gelu(PyObject *x, PyObject *_) { (void)_; return unary(GELU, x); }
static PyObject *m_silu(PyObject *x, PyObject *_) { (void)_; return unary(SILU, x); }

/* Return *row* of *args*, Values and floats: by its kernel, or by what evaluate() says. */
static PyObject *
computed_by(State *state, PyObject *row, PyObject *args)
{
    int kernel = kernel_of(state, row);
    if (kernel != NO_KERNEL) {
        PyObject *result =
            apply(state, kernel, ((PyTupleObject *)args)->ob_item, PyTuple_GET_SIZE(args));
        if (result != Py_NotImplemented) {
            return result;
        }
        Py_DECREF(result);
    }
    double y;
    PyObject *linked, *partials, *positions = NULL;
    Node *node = NULL;
    Block *block = NULL;
    PyObject *evaluated = PyObject_CallFunctionObjArgs(state->asked.evaluate, row, args, NULL);
    if (evaluated == NULL ||
        !PyArg_ParseTuple(evaluated, "dOO!", &y, &linked, &PyTuple_Type, &partials) ||
        (positions = PySequence_Tuple(linked)) == NULL ||
        (block = new_block(state, PyTuple_GET_SIZE(args))) == NULL) {
        goto failed;
    }
    uint8_t *kind = kinds_of(block);
    for (Py_ssize_t i = 0; i < block->n; i++) {
        PyObject *arg = PyTuple_GET_ITEM(args, i);
        kind[i] = is_node(state, arg) ? IS_NODE : 0;
        if (kind[i]) {
            block->operand[i].node = (Node *)arg; /* not owned yet */
        }
        else {
            block->operand[i].number = PyFloat_AS_DOUBLE(arg);
        }
    }
    if (PyTuple_GET_SIZE(positions) != PyTuple_GET_SIZE(partials)) {
        PyErr_Format(PyExc_ValueError, "%R: %zd partials for %zd linked arguments", row,
                     PyTuple_GET_SIZE(partials), PyTuple_GET_SIZE(positions));
        goto failed;
    }
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(positions); k++) {
        Py_ssize_t i = PyLong_AsSsize_t(PyTuple_GET_ITEM(positions, k));
        double partial = PyFloat_AsDouble(PyTuple_GET_ITEM(partials, k));
        if (PyErr_Occurred()) {
            goto failed;
        }
        if (i < 0 || i >= block->n || kind[i] != IS_NODE) {
            PyErr_Format(PyExc_ValueError, "%R: position %zd is not a linked argument", row, i);
            goto failed;
        }
        kind[i] |= IS_PARENT;
        partials_of(block)[i] = partial;
    }
    if ((node = new_computed(state)) == NULL) {
        goto failed;
    }
    for (Py_ssize_t i = 0; i < block->n; i++) {
        if (kind[i] & IS_NODE) {
            Py_INCREF((PyObject *)block->operand[i].node);
        }
    }
    block->row = Py_NewRef(row);
    node->data = y;
    node->form = BLOCK;
    node->kernel = NO_KERNEL;
    node->block = block;
    Py_DECREF(positions);
    Py_DECREF(evaluated);
    return finished(state, node);

failed:
    if (block != NULL) {
        free_block(state, block);
    }
    Py_XDECREF(positions);
    Py_XDECREF(evaluated);
    return NULL;
}

static PyMethodDef node_methods[] = {
    {"backward", (PyCFunction)(void (*)(void))node_backward, METH_FASTCALL | METH_KEYWORDS,
     "backward($self, seed=1.0)\n--\n\n"
     "Leave in grad of every node below this one seed times d(this)/d(that node).\n\n"
     "Gradients of interior nodes start fresh at each call; leaves add up, so that after k calls\n"
     "a leaf holds k times its gradient.  Nothing is changed if the pass raises."},
    {"__sizeof__", node_sizeof, METH_NOARGS, "The bytes that this node takes."},
    {"exp", m_exp, METH_NOARGS, NULL},
    {"expm1", m_expm1, METH_NOARGS, NULL},
    {"log", m_log, METH_NOARGS, NULL},
    {"log1p", m_log1p, METH_NOARGS, NULL},
    {"sqrt", m_sqrt, METH_NOARGS, NULL},
    {"square", m_square, METH_NOARGS, NULL},
    {"abs", m_abs, METH_NOARGS, NULL},
    {"sin", m_sin, METH_NOARGS, NULL},
    {"cos", m_cos, METH_NOARGS, NULL},
    {"tan", m_tan, METH_NOARGS, NULL},
    {"tanh", m_tanh, METH_NOARGS, NULL},
    {"sigmoid", m_sigmoid, METH_NOARGS, NULL},
    {"relu", m_relu, METH_NOARGS, NULL},
    {"softplus", m_softplus, METH_NOARGS, NULL},
    {"logsigmoid", m_logsigmoid, METH_NOARGS, NULL},
    {"gelu", m_gelu, METH_NOARGS, NULL},
    {"silu", m_silu, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef node_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Node, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot node_slots[] = {
    {Py_tp_doc, "Value(data, label='')\n--\n\nSee chainrule.engine.value.Value."},
    {Py_tp_new, node_new},
    {Py_tp_dealloc, node_dealloc},
    {Py_tp_methods, node_methods},
    {Py_tp_members, node_members},
    {Py_tp_getset, node_getset},
    {Py_tp_setattro, node_setattro},
    {Py_tp_richcompare, richcompare},
    {Py_tp_hash, hash_of},
    {Py_nb_add, node_add},
    {Py_nb_subtract, node_subtract},
    {Py_nb_multiply, node_multiply},
    {Py_nb_true_divide, node_divide},
    {Py_nb_power, node_power},
    {Py_nb_negative, node_negative},
    {Py_nb_positive, node_positive},
    {Py_nb_absolute, node_absolute},
    {0, NULL},
};

static PyType_Spec node_spec = {
    .name = "chainrule.Value",
    .basicsize = sizeof(Node),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, /* for __init_subclass__ to refuse */
    .slots = node_slots,
};

/* --- the module's functions ------------------------------------------------------------------ */

/* Return the tuple *given* with everything in it that is not a Value turned into a float. */
static PyObject *
numbers_and_nodes(State *state, PyObject *row, PyObject *given)
{
    Py_ssize_t n = PyTuple_GET_SIZE(given), known = 0;
    while (known < n && (is_node(state, PyTuple_GET_ITEM(given, known)) ||
                         PyFloat_CheckExact(PyTuple_GET_ITEM(given, known)))) {
        known++;
    }
    if (known == n) {
        return Py_NewRef(given);
    }
    PyObject *name = attribute(row, "name"), *args = PyTuple_New(n);
    if (name == NULL || args == NULL) {
        goto failed;
    }
    PyObject_GC_UnTrack(args); /* so that nobody can come by it while it fills */
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *arg = PyTuple_GET_ITEM(given, i);
        arg = is_node(state, arg)
                  ? Py_NewRef(arg)
                  : PyObject_CallFunctionObjArgs(state->asked.as_operand, arg, name, NULL);
        if (arg == NULL) {
            goto failed;
        }
        PyTuple_SET_ITEM(args, i, arg);
    }
    PyObject_GC_Track(args);
    Py_DECREF(name);
    return args;

failed:
    Py_XDECREF(name);
    Py_XDECREF(args);
    return NULL;
}

/* `Value.__chainrule__(row, args)`: what a primitive calls that met a Value among its arguments. */
static PyObject *
chainrule_hook(PyObject *module, PyObject *const *given, Py_ssize_t n_given)
{
    State *state = connected(module);
    if (state == NULL) {
        return NULL;
    }
    if (n_given != 2 || !PyTuple_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "__chainrule__: expected a primitive and a tuple");
        return NULL;
    }
    PyObject *row = given[0];
    if (!is_row(state, row)) {
        Py_XDECREF(PyObject_CallOneArg(state->asked.refuse_row, row));
        return NULL;
    }
    PyObject *args = numbers_and_nodes(state, row, given[1]);
    PyObject *result = args == NULL ? NULL : computed_by(state, row, args);
    Py_XDECREF(args);
    return result;
}

/* Return *kernel* if it could have made a node of these terms, else NO_KERNEL. */
static int
kernel_for(int kernel, Block *block)
{
    const uint8_t *kind = kinds_of(block);
    Py_ssize_t n = block->n;
    if (kernel == NO_KERNEL || n == 0) {
        return NO_KERNEL;
    }
    const Kernel *made_by = &kernels[kernel];
    int could = made_by->unary.value != NULL    ? n == 1 && (kind[0] & IS_NODE)
                : made_by->binary.value != NULL ? n == 2
                : kernel == DOT                 ? n % 2 == 1
                                                : 1;
    if (kernel == WHERE) {
        could = n == 3;
    }
    if (kernel == SOFTMAX) {
        double entry = block->operand[0].number;
        could = !(kind[0] & IS_NODE) && k_softmax_takes(&entry, n, kind);
    }
    return could ? kernel : NO_KERNEL;
}

/* make_node(primitive, operands, parents, data, partials, grad=None, label=""): exactly these. */
static PyObject *
make_node(PyObject *module, PyObject *given)
{
    State *state = connected(module);
    if (state == NULL) {
        return NULL;
    }
    PyObject *row, *operands, *parents, *partials, *grad = Py_None, *label = NULL;
    double data, number = 0.0;
    if (!PyArg_ParseTuple(given, "OO!O!dO!|OO:make_node", &row, &PyTuple_Type, &operands,
                          &PyTuple_Type, &parents, &data, &PyTuple_Type, &partials, &grad,
                          &label)) {
        return NULL;
    }
    if (grad != Py_None && number_by(state->asked.as_float, grad, "make_node", &number) < 0) {
        return NULL;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(operands), n_parents = PyTuple_GET_SIZE(parents);
    Node *node;
    if (row == Py_None) {
        if (n > 0 || n_parents > 0) {
            PyErr_SetString(PyExc_ValueError, "make_node: a leaf has no operands");
            return NULL;
        }
        if ((node = new_leaf(state, data)) == NULL) {
            return NULL;
        }
    }
    else {
        if (!is_row(state, row)) {
            PyErr_Format(PyExc_TypeError, "make_node: expected a primitive, not %R", row);
            return NULL;
        }
        Block *block = new_block(state, n);
        if (block == NULL) {
            return NULL;
        }
        uint8_t *kind = kinds_of(block);
        Py_ssize_t parent = 0;
        int valid = PyTuple_GET_SIZE(partials) == n_parents;
        for (Py_ssize_t i = 0; i < n && valid; i++) {
            PyObject *operand = PyTuple_GET_ITEM(operands, i);
            kind[i] = is_node(state, operand) ? IS_NODE : 0;
            if (kind[i]) {
                block->operand[i].node = (Node *)operand; /* not owned yet */
                if (parent < n_parents && PyTuple_GET_ITEM(parents, parent) == operand) {
                    PyObject *partial = PyTuple_GET_ITEM(partials, parent++);
                    valid = plain_number(partial, &partials_of(block)[i]);
                    kind[i] |= IS_PARENT;
                }
            }
            else if (number_by(state->asked.as_operand, operand, "make_node",
                               &block->operand[i].number) < 0) {
                free_block(state, block);
                return NULL;
            }
        }
        if (!valid || parent != n_parents) {
            free_block(state, block);
            PyErr_SetString(PyExc_ValueError,
                            "make_node: operands are Values and numbers, parents are some of them "
                            "in their order, and each has a partial");
            return NULL;
        }
        if ((node = new_computed(state)) == NULL) {
            free_block(state, block);
            return NULL;
        }
        for (Py_ssize_t i = 0; i < n; i++) {
            if (kind[i] & IS_NODE) {
                Py_INCREF((PyObject *)block->operand[i].node);
            }
        }
        node->data = data;
        node->kernel = (uint8_t)kernel_for(kernel_of(state, row), block);
        if (node->kernel != NO_KERNEL && kernels[node->kernel].variadic.value == NULL &&
            node->kernel != DOT) {
            node->form = (uint8_t)n;
            memcpy(node->kind, kind, n);
            memcpy(node->operand, block->operand, n * sizeof(Operand));
            memcpy(node->partial, partials_of(block), n * sizeof(double));
            free_block(state, block);
        }
        else {
            block->row = Py_NewRef(row);
            node->form = BLOCK;
            node->block = block;
        }
    }
    if (grad != Py_None) {
        put_grad(node, number);
    }
    if (label != NULL && PyUnicode_CheckExact(label) && PyUnicode_GET_LENGTH(label) == 0) {
        label = NULL;
    }
    if (label != NULL && set_label(node, label) < 0) {
        Py_DECREF((PyObject *)node);
        return NULL;
    }
    return finished(state, node);
}

/* write_partials(node, partials): of a node that was given them, other ones. */
static PyObject *
write_partials(PyObject *module, PyObject *args)
{
    State *state = connected(module);
    PyObject *given, *partials;
    if (state == NULL ||
        !PyArg_ParseTuple(args, "OO!:write_partials", &given, &PyTuple_Type, &partials)) {
        return NULL;
    }
    Node *node = (Node *)given;
    int valid = is_node(state, given) && node->form == BLOCK && node->kernel == NO_KERNEL &&
                node->block->n == PyTuple_GET_SIZE(partials);
    for (Py_ssize_t i = 0; valid && i < PyTuple_GET_SIZE(partials); i++) {
        valid = PyFloat_CheckExact(PyTuple_GET_ITEM(partials, i)) &&
                kinds_of(node->block)[i] == (IS_NODE | IS_PARENT);
    }
    if (!valid) {
        PyErr_SetString(PyExc_ValueError, "write_partials: expected a float for each child");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(partials); i++) {
        partials_of(node->block)[i] = PyFloat_AS_DOUBLE(PyTuple_GET_ITEM(partials, i));
    }
    Py_RETURN_NONE;
}

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
    static const struct {
        const char *name;
        PyObject *(*function)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
    } public[N_PUBLISHED] = {
        [PUBLIC_SUM] = {"sum", public_sum},
        [PUBLIC_MEAN] = {"mean", public_mean},
        [PUBLIC_LOGSUMEXP] = {"logsumexp", public_logsumexp},
        [PUBLIC_DOT] = {"dot", public_dot},
    };
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

/* Whether all items are Values of this class, and, if asked, leaves. */
ALWAYS_INLINE int
all_nodes(const State *state, const Segment *segment, int leaves_only)
{
    for (Py_ssize_t i = 0; i < segment->n; i++) {
        if (Py_TYPE(segment->item[i]) != state->value_type ||
            (leaves_only && ((Node *)segment->item[i])->form != LEAF)) {
            return 0;
        }
    }
    return 1;
}

enum { READ_DATA, READ_GRADS, WRITE_DATA, ADD_GRADS };

/* Between Values and a float64 buffer; False, and no Value changed, where it is not for C. */
ALWAYS_INLINE PyObject *
transfer(PyObject *module, PyObject *const *args, Py_ssize_t n, int what)
{
    const State *state = PyModule_GetState(module);
    int writing = what == WRITE_DATA || what == ADD_GRADS; /* to the Values */
    Segment segment;
    Py_buffer view;
    if (n != 2) {
        Py_RETURN_FALSE;
    }
    int flags = PyBUF_ND | PyBUF_FORMAT | (writing ? 0 : PyBUF_WRITABLE);
    if (PyObject_GetBuffer(args[1], &view, flags) < 0) {
        PyErr_Clear();
        Py_RETURN_FALSE;
    }
    /* Asking for the buffer may have run Python code, so the sequence is looked at only now. */
    int fits = segment_of(args[0], &segment) && (!writing || all_nodes(state, &segment, 1)) &&
               view.format != NULL && strcmp(view.format, "d") == 0 &&
               view.len == segment.n * (Py_ssize_t)sizeof(double) &&
               is_aligned(&view, sizeof(double));
    double *x = view.buf;
    for (Py_ssize_t i = 0; fits && i < segment.n; i++) {
        Node *node = (Node *)segment.item[i];
        if (!writing && Py_TYPE(node) != state->value_type) {
            fits = 0;
            break;
        }
        switch (what) {
        case READ_DATA:
            x[i] = node->data;
            break;
        case READ_GRADS:
            x[i] = grad_of(node);
            break;
        case WRITE_DATA:
            node->data = x[i];
            break;
        case ADD_GRADS:
            assign_grad(node, grad_of(node) + x[i]);
            break;
        }
    }
    PyBuffer_Release(&view);
    return PyBool_FromLong(fits);
}

static PyObject *
read_data(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    return transfer(module, args, n, READ_DATA);
}

static PyObject *
read_grads(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    return transfer(module, args, n, READ_GRADS);
}

static PyObject *
write_data(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    return transfer(module, args, n, WRITE_DATA);
}

static PyObject *
add_grads(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    return transfer(module, args, n, ADD_GRADS);
}

static PyObject *
reset_grads(PyObject *module, PyObject *values)
{
    Segment segment;
    if (!segment_of(values, &segment) || !all_nodes(PyModule_GetState(module), &segment, 0)) {
        Py_RETURN_FALSE;
    }
    for (Py_ssize_t i = 0; i < segment.n; i++) {
        ((Node *)segment.item[i])->reached = 0;
    }
    Py_RETURN_TRUE;
}

/* memory(): bytes of the arenas, and the numbers of nodes and empty slabs in them. */
static PyObject *
memory(PyObject *module, PyObject *unused)
{
    (void)unused;
    State *state = PyModule_GetState(module);
    Py_ssize_t nodes = 0, empty = 0;
    for (Arena *arena = state->arenas; arena != NULL; arena = arena->next) {
        empty += arena->n_empty;
        for (int i = 0; i < ARENA_SLABS; i++) {
            for (uint64_t live = arena->slab[i].live; live; live &= live - 1) {
                nodes++;
            }
        }
    }
    return Py_BuildValue("{s:n,s:n,s:n}", "bytes", state->n_arenas * (Py_ssize_t)sizeof(Arena),
                         "nodes", nodes, "empty_slabs", empty);
}

static PyMethodDef hook_def = {
    "__chainrule__", (PyCFunction)(void (*)(void))chainrule_hook, METH_FASTCALL,
    "Apply a primitive to a tuple of arguments, at least one of them a Value."};

/* connect(primitives, value): take the table's rows and the functions to ask, and make Value. */
static PyObject *
connect(PyObject *module, PyObject *args)
{
    State *state = PyModule_GetState(module);
    PyObject *primitives, *value, *table = NULL, *type = NULL, *hook = NULL, *result = NULL;
    if (!PyArg_ParseTuple(args, "OO:connect", &primitives, &value)) {
        return NULL;
    }
    if (state->value_type != NULL) {
        Py_RETURN_NONE;
    }
    struct {
        PyObject **function;
        const char *name;
    } asked[] = {
        {&state->asked.as_float, "as_float"},
        {&state->asked.as_operand, "as_operand"},
        {&state->asked.leaf_data, "leaf_data"},
        {&state->asked.checked_label, "checked_label"},
        {&state->asked.checked_grad, "checked_grad"},
        {&state->asked.node_contents, "node_contents"},
        {&state->asked.given, "GIVEN"},
        {&state->asked.refuse_attribute, "refuse_attribute"},
        {&state->asked.refuse_row, "refuse_row"},
        {&state->asked.refuse_write, "refuse_write"},
        {&state->asked.coerced, "coerced"},
        {&state->asked.comparable, "comparable"},
        {&state->asked.evaluate, "evaluate"},
        {&state->asked.observe, "observe"},
        {&state->asked.watch_backward, "watch_backward"},
    };
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        Py_XSETREF(*asked[i].function, PyObject_GetAttrString(value, asked[i].name));
        if (*asked[i].function == NULL) {
            return NULL;
        }
    }
    if ((table = PyObject_GetAttrString(primitives, "TABLE")) == NULL ||
        (type = PyType_FromModuleAndSpec(module, &node_spec, NULL)) == NULL ||
        (hook = PyCFunction_NewEx(&hook_def, module, NULL)) == NULL ||
        PyObject_SetAttrString(type, "__chainrule__", hook) < 0) {
        goto done;
    }
    ((PyTypeObject *)type)->tp_vectorcall = node_vectorcall;
    for (int kernel = 0; kernel < N_KERNELS; kernel++) {
        PyObject *row = PyMapping_GetItemString(table, kernels[kernel].name);
        if (row == NULL) {
            goto done;
        }
        Py_XSETREF(state->row[kernel], row);
        if (!is_row(state, row)) {
            PyErr_SetString(PyExc_TypeError, "connect: the rows of the table are of one class");
            goto done;
        }
    }
    if (take_calls((PyObject *)Py_TYPE(state->row[0])) < 0) {
        goto done;
    }
    if (PyObject_SetAttrString(module, "Value", type) < 0) {
        goto done;
    }
    state->value_type = (PyTypeObject *)Py_NewRef(type);
    for (int kernel = 0; kernel < N_KERNELS; kernel++) {
        if (set_kernel(state, state->row[kernel], kernel) < 0) {
            goto done;
        }
    }
    result = Py_NewRef(Py_None);
done:
    Py_XDECREF(table);
    Py_XDECREF(type);
    Py_XDECREF(hook);
    return result;
}

static PyMethodDef module_methods[] = {
    {"connect", connect, METH_VARARGS, "Make Value, from the table and the reference."},
    {"make_node", make_node, METH_VARARGS, "Return a node with exactly these contents."},
    {"flatten", flatten, METH_O, "The graph below Values as a tape of the compiler."},
    {"longest_paths", longest_paths, METH_VARARGS, "How deep every entry of a tape is."},
    {"replay", replay, METH_VARARGS, "Do again what a tape says."},
    {"topological_order", topological_order, METH_O,
     "All nodes below a tuple of them, parents first; None unless all are of this class."},
    {"paths", paths, METH_VARARGS,
     "All nodes on the paths between two tuples, parents first; None unless all are of this class."},
    {"write_partials", write_partials, METH_VARARGS,
     "Give a node that was given its partials other ones."},
    {"published", published, METH_VARARGS, "Return the function that users call."},
    {"read_data", (PyCFunction)(void (*)(void))read_data, METH_FASTCALL,
     "Copy the data of Values into a float64 buffer; whether that could be done."},
    {"read_grads", (PyCFunction)(void (*)(void))read_grads, METH_FASTCALL,
     "Copy the gradients of Values into a float64 buffer; whether that could be done."},
    {"write_data", (PyCFunction)(void (*)(void))write_data, METH_FASTCALL,
     "Copy a float64 buffer into the data of leaves; whether that could be done."},
    {"add_grads", (PyCFunction)(void (*)(void))add_grads, METH_FASTCALL,
     "Add a float64 buffer to the gradients of leaves; whether that could be done."},
    {"reset_grads", reset_grads, METH_O,
     "Reset the gradients of Values; whether that could be done."},
    {"memory", memory, METH_NOARGS, "What the arenas take and hold."},
    {NULL, NULL, 0, NULL},
};

/* --- the module ---------------------------------------------------------------------------- */

static int
module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->open_slot = SLAB_NODES; /* no slab is open yet */
    state->sweep = BY_HAND;
    state->no_bias = PyFloat_FromDouble(0.0);
    state->modes = PyList_New(0);
    state->kernel_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &kernel_spec, NULL);
    if (state->no_bias == NULL || state->modes == NULL || state->kernel_type == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "entered_modes", state->modes);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->value_type);
    Py_VISIT(state->kernel_type);
    Py_VISIT(state->modes);
    for (int kernel = 0; kernel < N_KERNELS; kernel++) {
        Py_VISIT(state->row[kernel]);
    }
    Py_VISIT(state->asked.as_float);
    Py_VISIT(state->asked.as_operand);
    Py_VISIT(state->asked.leaf_data);
    Py_VISIT(state->asked.checked_label);
    Py_VISIT(state->asked.checked_grad);
    Py_VISIT(state->asked.node_contents);
    Py_VISIT(state->asked.given);
    Py_VISIT(state->asked.refuse_attribute);
    Py_VISIT(state->asked.refuse_row);
    Py_VISIT(state->asked.refuse_write);
    Py_VISIT(state->asked.coerced);
    Py_VISIT(state->asked.comparable);
    Py_VISIT(state->asked.evaluate);
    Py_VISIT(state->asked.observe);
    Py_VISIT(state->asked.watch_backward);
    for (int i = 0; i < N_PUBLISHED; i++) {
        Py_VISIT(state->published[i].reference);
    }
    return 0;
}

/* Called only when nothing can reach the module any more, so no node is alive: a node keeps its type
   and the type keeps the module. */
static int
module_clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->value_type);
    Py_CLEAR(state->kernel_type);
    for (int kernel = 0; kernel < N_KERNELS; kernel++) {
        Py_CLEAR(state->row[kernel]);
    }
    Py_CLEAR(state->asked.as_float);
    Py_CLEAR(state->asked.as_operand);
    Py_CLEAR(state->asked.leaf_data);
    Py_CLEAR(state->asked.checked_label);
    Py_CLEAR(state->asked.checked_grad);
    Py_CLEAR(state->asked.node_contents);
    Py_CLEAR(state->asked.given);
    Py_CLEAR(state->asked.refuse_attribute);
    Py_CLEAR(state->asked.refuse_row);
    Py_CLEAR(state->asked.refuse_write);
    Py_CLEAR(state->asked.coerced);
    Py_CLEAR(state->asked.comparable);
    Py_CLEAR(state->asked.evaluate);
    Py_CLEAR(state->asked.observe);
    Py_CLEAR(state->asked.watch_backward);
    for (int i = 0; i < N_PUBLISHED; i++) {
        Py_CLEAR(state->published[i].reference);
    }
    Py_CLEAR(state->no_bias);
    Py_CLEAR(state->modes);
    return 0;
}

static void
module_free(void *module)
{
    State *state = PyModule_GetState(module);
    if (state == NULL) {
        return;
    }
    (void)module_clear(module);
    for (int i = 0; i < N_PUBLISHED; i++) {
        Py_CLEAR(state->published[i].doc); /* which the function may still show until now */
    }
    while (state->arenas != NULL) {
        free_arena(state, state->arenas);
    }
    PyMem_Free(state->queue);
    for (int i = 0; i <= KEPT_OPERANDS / 8; i++) {
        for (Block *block; (block = state->spare_blocks[i]) != NULL;) {
            state->spare_blocks[i] = block->next_spare;
            ASAN_UNPOISON_MEMORY_REGION(block, block_size(8 * i));
            PyMem_Free(block);
        }
    }
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "The native core of chainrule's engine; see the head of _native.c.",
    .m_size = sizeof(State),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&module_def);
}
