/* Steps of a stretch that others go on with.

   A result that a single later step reads, and nothing after it, is computed when that step is, so that
   it stays at hand and is written nowhere. A step goes on with two of them if it adds or subtracts, and
   one is a product. */

enum { MOST_JOINED = 24, FARTHEST = 32 };

static int
is_sum(const Element *element)
{
    return (element->row == ADD || element->row == SUBTRACT) && element->result[0].how == AS_VECTOR;
}

/* Whether an element is a product of operands that are neither computed with it nor brought together. */
static int
is_bare_product(const Element *element)
{
    int is_bare = element->row == MULTIPLY || element->row == SQUARE;
    for (int k = 0; k < element->n_arguments; k++) {
        is_bare = is_bare && element->argument[k].how <= AS_SAME;
    }
    return is_bare && element->chain == NONE;
}

/* Whether *later* reads the result of *element* as a step that may go on with it: 1; -1 if it reads, or
   writes, some of it otherwise; 0 if none. */
static int
goes_on_with(const Element *later, const Element *element)
{
    const Reached *result = &element->result[0];
    int found = 0;
    for (int k = 0; k < later->n_arguments; k++) {
        if (overlaps(&later->argument[k], result)) {
            int fits = later->n == element->n && is_same_place(&later->argument[k], result) &&
                       (later->dies >> k & 1);
            found = fits && found >= 0 ? 1 : -1;
        }
    }
    for (int k = 0; found == 0 && k < later->n_written; k++) {
        found = overlaps(&later->result[k], result) ? -1 : 0;
    }
    return found == 1 && !is_for_chains(later) ? -1 : found;
}

/* Whether *later* writes what is read by element *i*, or by one that has joined it. */
static int
writes_operand_of(const Element *later, const Element *all, int32_t i)
{
    for (; i != NONE; i = all[i].next) {
        for (int k = 0; k < all[i].n_arguments; k++) {
            for (int w = 0; w < later->n_written; w++) {
                if (overlaps(&later->result[w], &all[i].argument[k])) {
                    return 1;
                }
            }
        }
    }
    return 0;
}

static void
join(Element *all, int32_t i, int32_t j)
{
    if (all[j].chain == NONE) {
        all[j].chain = i;
    }
    else if (all[j].product == NONE && is_sum(&all[j]) && is_bare_product(&all[i])) {
        all[j].product = i;
    }
    else if (all[j].product == NONE && is_sum(&all[j]) && is_bare_product(&all[all[j].chain])) {
        all[j].product = all[j].chain;
        all[j].chain = i;
    }
    else {
        return;
    }
    all[i].joins = j;
    all[all[j].last].next = i;
    all[j].last = all[i].last;
    all[j].size += all[i].size;
}

/* Let the *n* elements of a stretch join others. */
static void
join_elements(Element *all, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        all[i].joins = all[i].chain = all[i].product = all[i].next = NONE;
        all[i].last = i;
        all[i].size = 1;
    }
    for (int32_t i = 0; i < n; i++) {
        const Reached *result = &all[i].result[0];
        if (!is_for_chains(&all[i]) || result->how != AS_VECTOR || result->space == IN_SUMS) {
            continue;
        }
        for (int32_t j = i + 1; j < n && j <= i + FARTHEST; j++) {
            int found = goes_on_with(&all[j], &all[i]);
            if (found == 1 && all[i].size + all[j].size <= MOST_JOINED) {
                join(all, i, j);
            }
            if (found != 0 || writes_operand_of(&all[j], all, i)) {
                break;
            }
        }
    }
}
