/* Which element-wise steps may go through tiles together.

   Every tile goes through all of a stretch before the next one does. So a step of a stretch may read what
   one before it writes, but no number of a later tile: what they have in common lies no higher in the step
   that comes later. Steps that are short, as they fit into a tile, are done with the first one. */

enum { MOST_TOUCHED = 256, UNEVEN = 2 };

typedef struct {
    Reached reached;
    int writes, is_short;
} Touch;

/* A stretch in the making. */
typedef struct {
    size_t first, code;           /* operations of the first tile, and of the others */
    Py_ssize_t longest, shortest; /* how many numbers steps have that are not short; or 0 */
    int has_short;
} Making;

/* What the steps of a stretch touch that are not short. */
typedef struct {
    Touch touch[MOST_TOUCHED];
    int n;
} Touched;

/* Whether *touch* may come after *before*. */
static int
may_follow(const Touch *before, const Touch *touch, Py_ssize_t tile)
{
    const Reached *one = &before->reached, *other = &touch->reached;
    if (!(before->writes || touch->writes) || !overlaps(one, other)) {
        return 1;
    }
    if (one->how != AS_VECTOR) {
        return 0;
    }
    if (other->how == AS_SAME || touch->is_short) {
        return other->end <= one->first + tile;
    }
    return other->how == AS_VECTOR && other->first <= one->first;
}

static int
is_same_reach(const Reached *one, const Reached *other)
{
    return one->how == other->how && one->space == other->space && one->first == other->first &&
           one->end == other->end;
}

static int
touch_all(const Element *element, Py_ssize_t tile, Touch *touch)
{
    int n = 0, is_short = element->n <= tile;
    for (int k = 0; k < element->n_written; k++) {
        touch[n++] = (Touch){element->result[k], 1, is_short};
    }
    for (int k = 0; k < element->n_arguments; k++) {
        touch[n++] = (Touch){element->argument[k], 0, is_short};
    }
    return n;
}

/* Take an element into a stretch; 0 if it may not be there together with what is. */
static int
joins_stretch(Making *stretch, Touched *all, const Element *element, Py_ssize_t tile)
{
    Touch touch[MOST_OPERANDS + 2];
    Py_ssize_t n = element->n;
    int n_touch = touch_all(element, tile, touch), is_short = n <= tile;
    if (!is_short && stretch->longest &&
        (n - stretch->shortest > UNEVEN * tile || stretch->longest - n > UNEVEN * tile)) {
        return 0;
    }
    for (int k = 0; k < n_touch; k++) {
        for (int i = 0; i < all->n; i++) {
            if (!may_follow(&all->touch[i], &touch[k], tile)) {
                return 0;
            }
        }
    }
    if (is_short) {
        stretch->has_short = 1;
        return 1;
    }
    if (all->n + n_touch > MOST_TOUCHED) {
        return 0;
    }
    stretch->longest = n > stretch->longest ? n : stretch->longest;
    stretch->shortest = !stretch->shortest || n < stretch->shortest ? n : stretch->shortest;
    for (int k = 0; k < n_touch; k++) {
        int i = 0;
        while (i < all->n && !is_same_reach(&all->touch[i].reached, &touch[k].reached)) {
            i++;
        }
        touch[k].writes |= i < all->n && all->touch[i].writes;
        all->touch[i] = touch[k];
        all->n += i == all->n;
    }
    return 1;
}
