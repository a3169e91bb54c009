/* Sweeps whose derivatives have storage of their own, so that no gradient changes: one of plain
   numbers, and several at once over the route between inputs and outputs. */

/* --- one reverse sweep of plain numbers ------------------------------------------------------- */

/* What a sweep borrows: the adjoint of a node, to be given back. */
typedef struct {
    Node *node;
    double adjoint;
    uint16_t reached;
} Borrowed;

enum { AT_HAND_NODES = 32 };

typedef struct {
    Borrowed *entry;
    Py_ssize_t n, room;
    int failed;
    Borrowed at_hand[AT_HAND_NODES];
} Trail;

NEVER_INLINE int
widen(Trail *trail)
{
    size_t size = 2 * trail->room * sizeof(Borrowed);
    Borrowed *wider = trail->entry == trail->at_hand ? PyMem_Malloc(size)
                                                     : PyMem_Realloc(trail->entry, size);
    if (wider == NULL) {
        trail->failed = 1;
        return 0;
    }
    if (trail->entry == trail->at_hand) {
        memcpy(wider, trail->at_hand, sizeof(trail->at_hand));
    }
    trail->entry = wider;
    trail->room *= 2;
    return 1;
}

/* Let *share* flow into *node*, if it is young enough to depend on an input. */
ALWAYS_INLINE void
flow_into(State *state, Node *node, double share, uint16_t sweep, uint64_t floor, Trail *trail)
{
    if (node->reached == sweep) {
        node->adjoint += share;
        return;
    }
    if (node->serial < floor || UNLIKELY(trail->failed) ||
        (UNLIKELY(trail->n == trail->room) && !widen(trail))) {
        return;
    }
    trail->entry[trail->n++] = (Borrowed){node, node->adjoint, node->reached};
    node->adjoint = share;
    node->reached = sweep;
    if (node->form != LEAF) {
        queue_slab_of(state, node);
    }
}

/* Write seed by seed times d(output)/d(input), added up, into *found*; -1 if there is no memory.
   A seed of 0.0 counts as none: times an infinite derivative it is nan.  Items of *outputs* that
   are not nodes are numbers.  No gradient changes, and no other code runs. */
static int
pull_numbers(State *state, PyObject *const *outputs, const double *seeds, Py_ssize_t m,
             PyObject *const *inputs, Py_ssize_t n, double *found)
{
    uint64_t floor = UINT64_MAX;
    for (Py_ssize_t i = 0; i < n; i++) {
        uint64_t serial = ((Node *)inputs[i])->serial;
        floor = serial < floor ? serial : floor;
    }
    Trail trail; /* whose entries are not written yet */
    trail.entry = trail.at_hand;
    trail.n = 0;
    trail.room = AT_HAND_NODES;
    trail.failed = 0;
    uint16_t sweep = next_sweep(state);
    for (Py_ssize_t k = 0; k < m; k++) {
        if (seeds[k] != 0.0 && is_node(state, outputs[k])) {
            flow_into(state, (Node *)outputs[k], seeds[k], sweep, floor, &trail);
        }
    }
    while (state->queue_length > 0) {
        Slab *slab = dequeue(state);
        Node *nodes = nodes_of(slab);
        for (Node *node = nodes + slots_used(state, slab); node-- > nodes && !trail.failed;) {
            if (node->reached != sweep) {
                continue;
            }
            double adjoint = node->adjoint;
            Terms terms = terms_of(node);
            Py_ssize_t i = 0;
            while ((i = next_of(IS_PARENT, terms.kind, i, terms.n)) < terms.n) {
                double share = terms.partial[i] * adjoint;
                Node *parent = terms.operand[i++].node;
                if (parent->reached != sweep) {
                    share = 0.0 + share; /* as in the reference */
                }
                flow_into(state, parent, share, sweep, floor, &trail);
            }
        }
        slab->queued = 0; /* only now: what was reached in it meanwhile stands below */
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        Node *input = (Node *)inputs[i];
        found[i] = input->reached == sweep ? input->adjoint : 0.0;
    }
    for (Py_ssize_t i = 0; i < trail.n; i++) {
        trail.entry[i].node->adjoint = trail.entry[i].adjoint;
        trail.entry[i].node->reached = trail.entry[i].reached;
    }
    if (trail.entry != trail.at_hand) {
        PyMem_Free(trail.entry);
    }
    return trail.failed ? -1 : 0;
}

/* --- what lies between inputs and outputs ------------------------------------------------------ */

/* The nodes on the paths, by serial number, upwards, and the edges between them: from the parents of
   a node on the paths, in their order, to the node. */
typedef struct {
    Py_ssize_t n;
    Node **node;       /* borrowed: the outputs hold them */
    Py_ssize_t *first; /* n + 1: the first edge of each node */
    Py_ssize_t *parent;
    Py_ssize_t *which; /* as how many-th parent it stands */
    double *partial;
    Py_ssize_t *output, *input; /* their numbers, -1 if they are not on a path */
    void *memory;               /* of all arrays but the nodes */
} Route;

static void
free_route(Route *route)
{
    PyMem_Free(route->node);
    PyMem_Free(route->memory);
}

/* Return the nodes among *items* as a tuple. */
static PyObject *
nodes_among(const State *state, PyObject *const *items, Py_ssize_t n)
{
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        count += is_node(state, items[i]);
    }
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0, k = 0; tuple != NULL && i < n; i++) {
        if (is_node(state, items[i])) {
            PyTuple_SET_ITEM(tuple, k++, Py_NewRef(items[i]));
        }
    }
    return tuple;
}

static Py_ssize_t
number_on(const State *state, PyObject *x) /* while the route is numbered */
{
    return is_node(state, x) && ((Node *)x)->listed ? (Py_ssize_t)((Node *)x)->adjoint : -1;
}

/* Find the route; -1 and an error if there is no memory, or Ctrl-C. */
static int
find_route(State *state, PyObject *const *outputs, Py_ssize_t m, PyObject *const *inputs,
           Py_ssize_t n, Route *route)
{
    memset(route, 0, sizeof(*route));
    PyObject *from = nodes_among(state, inputs, n), *to = nodes_among(state, outputs, m);
    Py_ssize_t edges = 0;
    int done = -1;
    if (from == NULL || to == NULL ||
        (route->node = nodes_between(state, from, to, &route->n)) == NULL) {
        goto end;
    }
    for (Py_ssize_t i = 0; i < route->n; i++) {
        edges += terms_of(route->node[i]).n;
    }
    size_t words = 2 * (route->n + 1) + 3 * edges + m + n;
    if ((route->memory = PyMem_Malloc(words * sizeof(double))) == NULL) {
        PyErr_NoMemory();
        goto end;
    }
    double *adjoint = route->memory; /* those that the nodes had */
    route->partial = adjoint + route->n + 1;
    route->first = (Py_ssize_t *)(route->partial + edges);
    route->parent = route->first + route->n + 1;
    route->which = route->parent + edges;
    route->output = route->which + edges;
    route->input = route->output + m;
    for (Py_ssize_t i = 0; i < route->n; i++) { /* a node's number stands in its adjoint for a while */
        Node *node = route->node[i];
        adjoint[i] = node->adjoint;
        node->adjoint = (double)i;
        node->listed = 1;
    }
    edges = 0;
    for (Py_ssize_t i = 0; i < route->n; i++) {
        Terms terms = terms_of(route->node[i]);
        Py_ssize_t which = 0;
        route->first[i] = edges;
        for (Py_ssize_t k = 0; k < terms.n; k++) {
            if (!(terms.kind[k] & IS_PARENT)) {
                continue;
            }
            if (terms.operand[k].node->listed) {
                route->parent[edges] = (Py_ssize_t)terms.operand[k].node->adjoint;
                route->which[edges] = which;
                route->partial[edges++] = terms.partial[k];
            }
            which++;
        }
    }
    route->first[route->n] = edges;
    for (Py_ssize_t k = 0; k < m; k++) {
        route->output[k] = number_on(state, outputs[k]);
    }
    for (Py_ssize_t k = 0; k < n; k++) {
        route->input[k] = number_on(state, inputs[k]);
    }
    for (Py_ssize_t i = 0; i < route->n; i++) {
        route->node[i]->adjoint = adjoint[i];
        route->node[i]->listed = 0;
    }
    done = 0;
end:
    Py_XDECREF(from);
    Py_XDECREF(to);
    if (done < 0) {
        free_route(route);
    }
    return done;
}

/* --- several sweeps of plain numbers at once --------------------------------------------------- */

enum { LANES = 64, LANE_BYTES = 1 << 25 };
_Static_assert(sizeof(Py_ssize_t) <= sizeof(double), "a route's memory is counted in doubles");

/* Numbers of a node in up to 64 sweeps, its lanes; a bit of `reached` says which of them met it: where
   none did there is no number, which is not the same as 0.0, as infinite partials show. */
typedef struct {
    Py_ssize_t lanes;
    double *number;
    uint64_t *reached;
} Lanes;

/* Add partial times *from* into *to*, in the lanes of *from*.  In forward mode a first term stays as
   it is; in reverse mode it is added to 0.0, as in the reference. */
ALWAYS_INLINE void
add_lanes(const Lanes *lanes, Py_ssize_t to, double partial, Py_ssize_t from, int forward)
{
    Py_ssize_t n = lanes->lanes;
    uint64_t here = lanes->reached[from], there = lanes->reached[to];
    uint64_t all = n == LANES ? UINT64_MAX : ((uint64_t)1 << n) - 1;
    double *restrict y = lanes->number + to * n;
    const double *restrict x = lanes->number + from * n;
    if (here == all && there == all) {
        for (Py_ssize_t k = 0; k < n; k++) {
            y[k] += partial * x[k];
        }
    }
    else if (here == all && there == 0) {
        for (Py_ssize_t k = 0; k < n; k++) {
            double term = partial * x[k];
            y[k] = forward ? term : 0.0 + term;
        }
    }
    else {
        for (Py_ssize_t k = 0; k < n; k++) {
            if (here >> k & 1) {
                double term = partial * x[k];
                y[k] = there >> k & 1 ? y[k] + term : forward ? term : 0.0 + term;
            }
        }
    }
    lanes->reached[to] |= here;
}

/* Add up seeds: in each of the lanes, which begin with that of *row*, one for each of *count* nodes,
   numbered by *place*.  Seeds that are NULL are those of the unit matrix. */
static void
seed_lanes(const Lanes *lanes, const Py_ssize_t *place, Py_ssize_t count, const double *seeds,
           Py_ssize_t row)
{
    for (Py_ssize_t lane = 0; lane < lanes->lanes; lane++) {
        uint64_t bit = (uint64_t)1 << lane;
        Py_ssize_t first = seeds ? 0 : row + lane, end = seeds ? count : row + lane + 1;
        for (Py_ssize_t i = first; i < end; i++) {
            double seed = seeds ? seeds[(row + lane) * count + i] : 1.0;
            if (seed == 0.0 || place[i] < 0) {
                continue;
            }
            double *number = &lanes->number[place[i] * lanes->lanes + lane];
            *number = lanes->reached[place[i]] & bit ? *number + seed : seed;
            lanes->reached[place[i]] |= bit;
        }
    }
}

static void
sweep_lanes(const Route *route, const Lanes *lanes, int forward)
{
    if (!forward) {
        for (Py_ssize_t i = route->n; i-- > 0;) {
            for (Py_ssize_t e = route->first[i]; lanes->reached[i] && e < route->first[i + 1]; e++) {
                add_lanes(lanes, route->parent[e], route->partial[e], i, 0);
            }
        }
        return;
    }
    for (Py_ssize_t i = 0; i < route->n; i++) {
        for (Py_ssize_t e = route->first[i]; e < route->first[i + 1]; e++) {
            if (lanes->reached[route->parent[e]]) {
                add_lanes(lanes, i, route->partial[e], route->parent[e], 1);
            }
        }
    }
}

/* Sweep once for each of *count* rows of seeds, one for each output, or, forward, for each input; no
   input may depend on another one then.  Write a row for each with the derivatives by the inputs, or
   those of the outputs; if the seeds are NULL, for those of the unit matrix, write the Jacobian, with a
   row for each output.  -1 and an error if there is no memory, or Ctrl-C. */
static int
sweep_rows(State *state, PyObject *const *outputs, Py_ssize_t m, PyObject *const *inputs,
           Py_ssize_t n, Py_ssize_t count, const double *seeds, double *found, int forward)
{
    Route route;
    Py_ssize_t given = forward ? n : m, wanted = forward ? m : n;
    if (!forward && count == 1) {
        static const double one = 1.0;
        seeds = seeds ? seeds : &one;
        if (pull_numbers(state, outputs, seeds, m, inputs, n, found) < 0) {
            PyErr_NoMemory();
            return -1;
        }
        return 0;
    }
    if (find_route(state, outputs, m, inputs, n, &route) < 0) {
        return -1;
    }
    Py_ssize_t room = LANE_BYTES / (Py_ssize_t)sizeof(double) / (route.n + 1);
    Lanes lanes = {.lanes = room < 1 ? 1 : room > LANES ? LANES : room};
    lanes.lanes = lanes.lanes > count ? count : lanes.lanes;
    lanes.number = PyMem_Malloc((route.n + 1) * lanes.lanes * sizeof(double));
    lanes.reached = PyMem_New(uint64_t, route.n + 1);
    int done = lanes.number == NULL || lanes.reached == NULL ? -1 : 0;
    if (done < 0) {
        PyErr_NoMemory();
    }
    const Py_ssize_t *from = forward ? route.input : route.output;
    const Py_ssize_t *to = forward ? route.output : route.input;
    Py_ssize_t across = forward && seeds == NULL ? 1 : wanted; /* from one sweep to the next */
    Py_ssize_t along = forward && seeds == NULL ? count : 1;
    for (Py_ssize_t row = 0; done == 0 && row < count; row += lanes.lanes) {
        if (row > 0 && PyErr_CheckSignals() < 0) {
            done = -1;
            break;
        }
        lanes.lanes = lanes.lanes > count - row ? count - row : lanes.lanes;
        memset(lanes.reached, 0, route.n * sizeof(uint64_t));
        seed_lanes(&lanes, from, given, seeds, row);
        sweep_lanes(&route, &lanes, forward);
        for (Py_ssize_t lane = 0; lane < lanes.lanes; lane++) {
            for (Py_ssize_t i = 0; i < wanted; i++) {
                Py_ssize_t place = to[i];
                found[(row + lane) * across + i * along] =
                    place >= 0 && lanes.reached[place] >> lane & 1
                        ? lanes.number[place * lanes.lanes + lane]
                        : 0.0;
            }
        }
    }
    PyMem_Free(lanes.number);
    PyMem_Free(lanes.reached);
    free_route(&route);
    return done;
}

