/* What the rest works on: nodes, their blocks, slabs and arenas, and the state of the module. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"

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
    double adjoint;   /* of the last sweep; the gradient of a node that is not a leaf */
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

#define MEMBER(name) PyObject *name;
typedef struct { ASKED(MEMBER) } Asked;

#define CONSTANT(NAME, ...) NAME,
enum {
    UNARY_ROWS(CONSTANT) BINARY_ROWS(CONSTANT) VARIADIC_ROWS(CONSTANT)
    N_KERNELS, NO_KERNEL = 127,
};
#undef CONSTANT
_Static_assert(N_KERNELS < NO_KERNEL, "the number of a kernel has seven bits");

#define CONSTANT(NAME, name) PUBLIC_##NAME,
enum { PUBLISHED(CONSTANT) N_PUBLISHED };
#undef CONSTANT

/* Also the key under which an interpreter's dict has its math.hypot: kernels are given numbers alone,
   no state. */
static PyModuleDef module_def;

struct State {
    PyTypeObject *value_type;
    PyTypeObject *row_type; /* the base of the rows' class */
    PyObject *row[N_KERNELS];
    PyObject *take; /* the row, which has a kernel in the machine alone */
    Asked asked;
    struct { ASKED_BY_TRANSFORMS(MEMBER) } above; /* or NULL, until the transforms are imported */
    PyObject *modes; /* a list: as many entries as modes are entered, anywhere */
    PyObject *observing; /* the same, of those that look at each new node */
    struct { /* functions that users call, and the one to ask where C does not know better */
        PyMethodDef def;
        PyObject *reference, *doc;
    } published[N_PUBLISHED];
    PyObject *no_bias;
    PyObject *partials_name; /* of the attribute of a row */

    int releasing;  /* how many calls of node_dealloc are under way */
    Node *left_over; /* nodes that those further out release */
    uint64_t serial;
    uint64_t writes; /* how often somebody wrote to the data of a leaf */
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
#undef MEMBER

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
