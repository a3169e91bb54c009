/* A plan as plain data, which compiler/plan.py explains, and the memory it lives in. */

#define STEP_CODES(CODE)                                                                   \
    CODE(apply) CODE(one_minus) CODE(one_minus_square) CODE(copy) CODE(add) CODE(gather)   \
    CODE(scatter) CODE(scatter_add) CODE(product) CODE(linked_product) CODE(sum)           \
    CODE(squared_distance) CODE(weighted_difference) CODE(segment_sum)                     \
    CODE(maximum) CODE(minimum) CODE(logsumexp) CODE(softmax) CODE(logsumexp_slopes)       \
    CODE(softmax_pullback) CODE(surprisals) CODE(cross_entropy) CODE(softmax_minus)        \
    CODE(one_hot) CODE(pick) CODE(spread) CODE(move) CODE(loop) CODE(call) CODE(flat)

#define CONSTANT(name) STEP_##name,
enum { STEP_CODES(CONSTANT) N_STEP_CODES, STEP_sigmoids = N_STEP_CODES }; /* the last made here */
#undef CONSTANT

enum { IN_STILL, IN_BLOCK, IN_SUMS, N_SPACES };
enum { BEFORE, EACH, AFTER, N_LISTS };
enum { NARROW, WIDE }; /* for one lane, and for more than one */
enum { MOST_AXES = 32, MOST_OPERANDS = 4 }; /* of operands: but of apply and call */

/* The one kernel that asks the interpreter, whose lock a run of a machine does not hold. */
#define k_hypot hypot

/* What runs beside the kernels of the engine: a row that has none there, and the two complements. */
enum {
    ROW_TAKE = N_KERNELS, ROW_ONE_MINUS, ROW_ONE_MINUS_SQUARE,
    /* Of tiles alone: an operand brought into one piece, or put out of it, along a stride or a table; a
       sigmoid and its complement; a product that is not summed; what is at hand moved on by one number;
       how many numbers come next. */
    ROW_BRING, ROW_PUT, ROW_SIGMOIDS, ROW_PRODUCT, ROW_SHIFT, ROW_WIDTH,
    ROW_END, /* after the last of flat steps */
};

typedef struct {
    uint8_t space;
    Py_ssize_t offset;
} Place;

/* A nest of loops, the last the innermost; strides of each operand in numbers or in rows. */
typedef struct {
    int n;
    Py_ssize_t *extent; /* n of them */
    Py_ssize_t *stride; /* for each operand n of them */
} Loop;

/* One step of a flat list: addresses, r for row r of BLOCK, ~s for place s of STILL; in tiles also of the
   rooms and of SUMS, which the bit below the sign says. Once chains.h or tiles.h has read it, *row* may be
   one of their operations, *same* has a bit for each argument that is one number for all, and a list on
   STILL has r for place r. */
typedef struct {
    int16_t row, same;
    int32_t result;
    int32_t argument[3];
} Flat;

/* Operations on numbers that go through them tile by tile. Not all have as many: see tiles.h. */
typedef struct {
    Py_ssize_t n;      /* how many numbers the longest operation has; 0 if each fits into a tile */
    Py_ssize_t whole;  /* how many the shortest has that does not fit into one */
    const Flat *first; /* what is done with the first tile, if that is more; or NULL */
    const Flat *code;  /* and with every other */
} Stretch;

/* A run of element-wise steps, as it is done on one lane. */
typedef struct {
    Py_ssize_t n_steps;
    double work;
    int n_stretches;
    Stretch *stretch;
    const int32_t **table;
} Tiled;

typedef struct Product Product;
typedef struct Differences Differences;

typedef struct {
    uint8_t code;
    int row;
    int n_operands, n_axes;
    Place *place;
    Py_ssize_t *extent, *stride; /* as they were given */
    Loop loop[2];     /* over all axes, or all but those of detail */
    Loop reduced[2];  /* of a sum: those that are summed over */
    const int64_t *table;
    Py_ssize_t n_table;
    Py_ssize_t count, step; /* of the rows of a table: how many, and how far apart; of a loop: how
                               often, and how many steps */
    Py_ssize_t moves[2];    /* by how much the offsets go on at each round of a loop */
    Flat *flat;
    Py_ssize_t n_flat;
    int on_still; /* of flat steps: whether they are before or after the examples */
    Product *product;
    Differences *differences;
    uint8_t in_loop;
    uint8_t dies; /* of an element-wise step: a bit for each argument that nothing reads after it */
    Tiled *tiled; /* of the first of a run of steps, how all of them are done on one lane; or NULL */
    double work; /* about how many operations for each lane */
} Step;

typedef struct {
    Step *step;
    Py_ssize_t n;
    double work;
} Steps;

/* A table while a plan is read: whole numbers of 32 or 64 bits; *kept* is its copy in the machine, made
   when a step needs one. */
typedef struct {
    Py_buffer view;
    const int64_t *kept;
    Py_ssize_t n, columns;
} Numbers;

typedef struct Piece {
    struct Piece *next;
    size_t used, size;
    double memory[];
} Piece;

typedef struct {
    Py_ssize_t row, size;
} Input;

struct Context;
struct Workspace;
struct Vector;

typedef struct {
    PyObject_HEAD
    PyObject *empty, *array; /* numpy.empty and numpy.ndarray */
    State *state;    /* kept alive by the module, which the type keeps alive */
    Piece *pieces;
    Py_ssize_t size[N_SPACES]; /* of BLOCK: its rows */
    double *still;             /* as it is before a run */
    Py_ssize_t parameters[2];
    Py_ssize_t n_inputs, n_outputs;
    Input *input;
    Place *output;
    int in_one_piece;       /* whether the outputs lie one behind another */
    int turned;             /* whether an example's outputs lie side by side */
    Py_ssize_t cost;        /* or -1 */
    Py_ssize_t gradient[2]; /* from which place of STILL to which */
    Steps list[N_LISTS];
    int has_flat;       /* whether flat steps are among those for each block */
    Py_ssize_t lanes;   /* as many as a block may have */
    Py_ssize_t tile;    /* numbers that a tile has */
    Py_ssize_t scratch; /* numbers of room that a step needs at most */
    const struct Vector *vector;
    struct Workspace *spare;
} Machine;

/* --- memory that lives as long as the machine ------------------------------------------------ */

static void *
machine_room(Machine *machine, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    Piece *piece = machine->pieces;
    if (piece == NULL || piece->size - piece->used < size) {
        size_t all = size > 1 << 16 ? size : 1 << 16;
        piece = PyMem_RawMalloc(sizeof(Piece) + all + 16);
        if (piece == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        *piece = (Piece){machine->pieces, (16 - (uintptr_t)piece->memory % 16) % 16, all + 16};
        machine->pieces = piece;
    }
    void *found = (char *)piece->memory + piece->used;
    piece->used += size;
    return found;
}
