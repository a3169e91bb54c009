/* Chains on some vectors of lanes: this file is included for CHAIN, a name; VECTORS, how many there are,
   and SOME, whether there may be fewer, the last not all full. What is at hand stays in registers, or near
   by, from one operation to the next. Where the compiler can do it, each operation jumps to the next one
   itself, which processors foresee better than one jump for all. */

#define PLACE(address) (bases->at[base_of(address)] + number_at(address) * apart)
#define ROW_AT(k) PLACE(code->argument[k])
#define SAME_AT(k) (bases->same[base_of(code->argument[k])] + number_at(code->argument[k]))
#if SOME
#define GET(p, u) (u < whole ? LOAD((p) + (u) * WIDTH) : LOAD_PART((p) + (u) * WIDTH, rest))
#define PUT(p, u, x)                              \
    if (u < whole) {                              \
        STORE((p) + (u) * WIDTH, x);              \
    }                                             \
    else {                                        \
        STORE_PART((p) + (u) * WIDTH, x, rest);   \
    }
#define COUNT count
#else
#define GET(p, u) LOAD((p) + (u) * WIDTH)
#define PUT(p, u, x) STORE((p) + (u) * WIDTH, x)
#define COUNT VECTORS
#endif
#define A at_hand[u]
#define X_B GET(ROW_AT(0), u)
#define Y_B GET(ROW_AT(1), u)
#define X_S SET(*SAME_AT(0))
#define Y_S SET(*SAME_AT(1))

/* Do operations from *code* on, up to one that is not for vectors, or the end; return that. The rows of
   BLOCK lie *apart*; of each, *lanes* are worked on. In tiles rows are numbers, so that is 1. */
static const Flat *
CHAIN(const Flat *code, Py_ssize_t apart, Py_ssize_t lanes, const Bases *bases)
{
    V at_hand[VECTORS];
#if SOME
    int whole = (int)(lanes / WIDTH), rest = (int)(lanes % WIDTH), count = whole + (rest > 0);
#endif
    for (int u = 0; u < VECTORS; u++) {
        at_hand[u] = SET(0.0);
    }
#if defined(__GNUC__)
#define CASE(NAME) label_##NAME
#define NEXT code++; goto *label[code->row]
#define LABEL(NAME, value) [DO_##NAME] = &&label_DO_##NAME, [DO_##NAME##_KEPT] = &&label_DO_##NAME##_KEPT,
    __extension__ static const void *const label[] = {
        [0 ... ROW_BRING - 1] = &&label_OTHER, [ROW_BRING ... ROW_PRODUCT] = &&label_TILE,
        [ROW_WIDTH] = &&label_ROW_WIDTH, [ROW_END] = &&label_ROW_END, CHAIN_OPERATIONS(LABEL)
    };
#undef LABEL
    goto *label[code->row];
#else
#define CASE(NAME) case NAME
#define NEXT break
    for (;; code++)
    switch (code->row) {
#endif
#define OPERATION(NAME, value)                     \
    CASE(DO_##NAME):                               \
        for (int u = 0; u < COUNT; u++) {          \
            at_hand[u] = value;                    \
        }                                          \
        NEXT;                                      \
    CASE(DO_##NAME##_KEPT): {                      \
        double *into = PLACE(code->result);        \
        for (int u = 0; u < COUNT; u++) {          \
            at_hand[u] = value;                    \
        }                                          \
        for (int u = 0; u < COUNT; u++) {          \
            PUT(into, u, at_hand[u]);              \
        }                                          \
        NEXT;                                      \
    }
    CHAIN_OPERATIONS(OPERATION)
    CASE(ROW_WIDTH):
#if SOME
        lanes = code->argument[0];
        whole = (int)(lanes / WIDTH);
        rest = (int)(lanes % WIDTH);
        count = whole + (rest > 0);
#endif
        NEXT;
    CASE(ROW_END):
        return code;
#if defined(__GNUC__)
    label_TILE:
#else
    case ROW_BRING:
    case ROW_PUT:
    case ROW_SIGMOIDS:
    case ROW_PRODUCT:
#endif
        LEVEL(tile_row)(code, lanes, bases);
        NEXT;
#if defined(__GNUC__)
    label_OTHER:
#else
    default:
#endif
    {
        int arity = arity_of(code->row);
        if (arity == 0) {
            return code;
        }
        const double *x[3];
        Py_ssize_t s[3];
        for (int i = 0; i < 3; i++) {
            s[i] = !(code->same >> i & 1);
            x[i] = s[i] ? ROW_AT(i) : SAME_AT(i);
        }
        LEVEL(rows)(code->row, arity, lanes, PLACE(code->result), x, s);
        NEXT;
    }
#if !defined(__GNUC__)
    }
#endif
}

#undef OPERATION
#undef CASE
#undef NEXT
#undef PLACE
#undef ROW_AT
#undef SAME_AT
#undef GET
#undef PUT
#undef A
#undef X_B
#undef Y_B
#undef X_S
#undef Y_S
#undef CHAIN
#undef VECTORS
#undef SOME
#undef COUNT
