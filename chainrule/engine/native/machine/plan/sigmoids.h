/* A sigmoid and its complement become one step. */

static int
is_same_operand(const Step *one, int i, const Step *other, int k)
{
    return one->n_axes == other->n_axes && one->place[i].space == other->place[k].space &&
           one->place[i].offset == other->place[k].offset &&
           memcmp(one->stride + i * one->n_axes, other->stride + k * other->n_axes,
                  sizeof(Py_ssize_t) * (size_t)one->n_axes) == 0;
}

/* The places behind the last one that an operand may reach. */
static Py_ssize_t
end_of(const Step *step, int k)
{
    Py_ssize_t end = step->place[k].offset + 1;
    for (int axis = 0; axis < step->n_axes; axis++) {
        end += (step->extent[axis] - 1) * step->stride[k * step->n_axes + axis];
    }
    return end;
}

/* May operand *k* of *step* share places with operand *i* of *other*? */
static int
may_touch(const Step *step, int k, const Step *other, int i)
{
    if (step->place[k].space != other->place[i].space) {
        return 0;
    }
    int is_plain = step->code <= STEP_add || (step->code >= STEP_product && step->code <= STEP_sum) ||
                   step->code == STEP_sigmoids;
    return !is_plain || (step->place[k].offset < end_of(other, i) &&
                         other->place[i].offset < end_of(step, k));
}

/* If the complement *late*, of operands (rest, a, z), may be computed with the sigmoid *early* of it,
   let *early* do that; 1, or 0 if not, or -1. */
static int
pair_up(Machine *machine, Step *early, const Step *late)
{
    size_t n_axes = (size_t)late->n_axes, size = sizeof(Py_ssize_t) * n_axes;
    const Py_ssize_t *stride = late->stride;
    if (early->code != STEP_apply || early->row != SIGMOID || early->n_axes != late->n_axes ||
        memcmp(early->extent, late->extent, size) != 0 || !is_same_operand(early, 0, late, 1) ||
        !is_same_operand(early, 1, late, 2) || may_touch(early, 0, early, 1) ||
        may_touch(late, 0, late, 1) || memcmp(stride, stride + n_axes, size) != 0 ||
        memcmp(stride, stride + 2 * n_axes, size) != 0 || stride[n_axes - 1] != 1 ||
        late->place[0].space != late->place[1].space ||
        late->place[0].space != late->place[2].space) {
        return 0;
    }
    if (may_touch(late, 0, late, 2) && late->place[0].offset != late->place[2].offset) {
        return 0;
    }
    Place *place = machine_room(machine, 3 * sizeof(Place));
    if (place == NULL) {
        return -1;
    }
    place[0] = late->place[1];
    place[1] = late->place[0];
    place[2] = late->place[2];
    early->code = STEP_sigmoids;
    early->place = place;
    early->stride = late->stride; /* the same for all three */
    early->n_operands = 3;
    return make_loop(machine, early, 0, early->n_axes, &early->loop[NARROW]) < 0 ||
                   make_loop(machine, early, 0, early->n_axes, &early->loop[WIDE]) < 0
               ? -1 : 1;
}

/* Compute each complement of a sigmoid together with it, where nothing between the two steps is in
   the way: both need the same exponential. */
static int
pair_sigmoids(Machine *machine, Steps *steps)
{
    enum { FAR = 64 };
    Py_ssize_t kept = 0;
    for (Py_ssize_t j = 0; j < steps->n; j++) {
        const Step *late = &steps->step[j];
        int paired = 0;
        for (Py_ssize_t i = kept - 1; late->code == STEP_one_minus && i >= 0 && i > kept - FAR;
             i--) {
            Step *early = &steps->step[i];
            paired = pair_up(machine, early, late);
            int is_in_the_way = early->code == STEP_flat || early->code == STEP_call;
            for (int k = 0; !is_in_the_way && k < early->n_operands; k++) {
                is_in_the_way = may_touch(early, k, late, 0) ||
                                (k == 0 && (may_touch(early, k, late, 1) ||
                                            may_touch(early, k, late, 2))) ||
                                (k == 1 && early->code == STEP_sigmoids &&
                                 (may_touch(early, k, late, 1) || may_touch(early, k, late, 2)));
            }
            if (paired || is_in_the_way) {
                break;
            }
        }
        if (paired < 0) {
            return -1;
        }
        if (!paired) {
            steps->step[kept++] = *late;
        }
    }
    steps->n = kept;
    return 0;
}
