/* Element-wise steps as tiles take them: what is done, and where the operands of each lie. */

enum { MOST_TABLED = 512 };
enum { AS_VECTOR, AS_SAME, AS_STRIDED, AS_TABLED };

/* One operand of a step: where it lies, and how the step goes through it. */
typedef struct {
    int how;
    uint8_t space;
    Py_ssize_t first, end; /* what it may reach */
    Py_ssize_t stride;
    const Loop *loop;
    int which;             /* of the loop's operands */
} Reached;

/* One step. The numbers of others, in a stretch of them, are NONE where there is none: see joins.h. */
typedef struct {
    int row;               /* what is done; a copy is IDENTITY, and what is added to a place ADD */
    int n_arguments, n_written;
    int adds;              /* of ROW_PRODUCT: whether it is added to what is in the result */
    int dies;              /* a bit for each argument that nothing reads any more after this step */
    Py_ssize_t n;          /* how many numbers it has */
    Reached result[2], argument[MOST_OPERANDS];
    int32_t joins;         /* which goes on with the result, that has no other reader */
    int32_t chain, product; /* which join this one: what is at hand, and a product with it */
    int32_t next, last, size; /* all that have joined this one, or one of these, and itself: a list */
} Element;

static int
is_same_place(const Reached *one, const Reached *other) /* of two vectors of one length */
{
    return one->how == AS_VECTOR && other->how == AS_VECTOR && one->space == other->space &&
           one->first == other->first;
}

static int
overlaps(const Reached *one, const Reached *other)
{
    return one->space == other->space && one->first < other->end && other->first < one->end;
}

/* Find how a step of *n* numbers goes through operand *k*; 0 if that is not for tiles. */
static int
goes_through(const Step *step, const Loop *loop, Py_ssize_t n, int k, Reached *found)
{
    const Py_ssize_t *stride = loop->stride + k * loop->n;
    Py_ssize_t inner = 1, end = step->place[k].offset + 1;
    int is_vector = 1, is_same = 1;
    for (int axis = loop->n - 1; axis >= 0; axis--) {
        is_vector = is_vector && stride[axis] == inner;
        is_same = is_same && stride[axis] == 0;
        inner *= loop->extent[axis];
        end += (loop->extent[axis] - 1) * stride[axis];
    }
    *found = (Reached){is_vector     ? AS_VECTOR
                       : is_same     ? AS_SAME
                       : loop->n == 1 ? AS_STRIDED : AS_TABLED,
                       step->place[k].space, step->place[k].offset, end,
                       loop->n == 1 ? stride[0] : 0, loop, k};
    return end < 1 << 30 && (found->how != AS_TABLED || n <= MOST_TABLED);
}

/* The loops of an element-wise step, or NULL. */
static const Loop *
loops_of_elements(const Step *step)
{
    switch (step->code) {
    case STEP_apply:
        return arity_of(step->row) > 0 ? &step->loop[NARROW] : NULL;
    case STEP_sum:
        return step->count == 0 ? &step->loop[NARROW] : NULL;
    case STEP_product:
        return step->product->sum.n == 0 && step->product->form[NARROW].kind == ALONG_RESULT
                   ? &step->product->loop : NULL;
    case STEP_copy:
    case STEP_add:
    case STEP_one_minus:
    case STEP_one_minus_square:
    case STEP_sigmoids:
        return &step->loop[NARROW];
    default:
        return NULL;
    }
}

/* Read an element-wise step; 0 if it is none, or not for tiles. */
static int
read_element(const Step *step, Element *found)
{
    const Loop *loop = loops_of_elements(step);
    Reached reached[MOST_OPERANDS];
    Py_ssize_t n = 1;
    int n_written = step->code == STEP_sigmoids ? 2 : 1;
    if (loop == NULL || step->n_operands > MOST_OPERANDS) {
        return 0;
    }
    for (int axis = 0; axis < loop->n; axis++) {
        n *= loop->extent[axis];
    }
    for (int k = 0; k < step->n_operands; k++) {
        if (!goes_through(step, loop, n, k, &reached[k]) || (k < n_written && reached[k].how == AS_SAME)) {
            return 0;
        }
    }
    if (n > 1 << 30 || (step->code == STEP_sigmoids && reached[0].how != AS_VECTOR)) {
        return 0;
    }
    *found = (Element){.row = step->row, .n_written = n_written, .n = n, .result = {reached[0], reached[1]}};
    int adds = step->code == STEP_add, is_sum = reached[0].space == IN_SUMS;
    switch (step->code) {
    case STEP_copy:
    case STEP_sum:
        found->row = IDENTITY;
        adds = is_sum;
        break;
    case STEP_product:
        found->row = ROW_PRODUCT;
        found->adds = is_sum;
        break;
    case STEP_sigmoids:
        found->row = ROW_SIGMOIDS;
        break;
    }
    if (adds) { /* to what is there */
        found->row = ADD;
        found->argument[found->n_arguments++] = reached[0];
    }
    found->dies = step->dies;
    for (int k = n_written; k < step->n_operands; k++) {
        found->argument[found->n_arguments++] = reached[k];
    }
    return 1;
}

/* Whether an element is an operation of chains, on vectors and what is the same for all of one. */
static int
is_for_chains(const Element *element)
{
    int n_same = 0;
    for (int k = 0; k < element->n_arguments; k++) {
        n_same += element->argument[k].how == AS_SAME;
    }
    return element->row == IDENTITY || (is_arithmetic(element->row) && n_same < element->n_arguments);
}
