/* Chains on eight vectors of lanes: this file is included for CHAIN, a name, and SOME, whether there may be
   fewer, the last not all full. What is at hand stays in registers from one operation to the next: eight
   variables, since of an array in a loop the compiler makes memory. Where the compiler can do it, each
   operation jumps to the next one itself, which processors foresee better than one jump for all. */

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
#define LEAVE_AT(u) if (count == (u)) break;
#else
#define GET(p, u) LOAD((p) + (u) * WIDTH)
#define PUT(p, u, x) STORE((p) + (u) * WIDTH, x)
#define LEAVE_AT(u)
#endif
#define ON_EACH(DO, x)                                                                             \
    do {                                                                                           \
        DO(0, x) LEAVE_AT(1) DO(1, x) LEAVE_AT(2) DO(2, x) LEAVE_AT(3) DO(3, x)        \
        LEAVE_AT(4) DO(4, x) LEAVE_AT(5) DO(5, x) LEAVE_AT(6) DO(6, x) LEAVE_AT(7) \
        DO(7, x)                                                                                   \
    } while (0)
#define SET_TO(k, value) { enum { u = k }; const V a = a##k; (void)a; a##k = value; }
#define PUT_INTO(k, into) PUT(into, k, a##k);
#define FORGET_HAND a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = SET(0.0)
#define A a
#define X_B GET(ROW_AT(0), u)
#define Y_B GET(ROW_AT(1), u)
#define X_S SET(*SAME_AT(0))
#define Y_S SET(*SAME_AT(1))

/* Do operations from *code* on, up to one that is not for vectors, or the end; return that. The rows of
   BLOCK lie *apart*; of each, *lanes* are worked on. In tiles rows are numbers, so that is 1. */
static const Flat *
CHAIN(const Flat *code, Py_ssize_t apart, Py_ssize_t lanes, const Bases *bases)
{
    V a0, a1, a2, a3, a4, a5, a6, a7;
#if SOME
    int whole = (int)(lanes / WIDTH), rest = (int)(lanes % WIDTH), count = whole + (rest > 0);
#endif
    FORGET_HAND;
#if defined(__GNUC__)
#define CASE(NAME) label_##NAME
#define NEXT code++; goto *label[code->row]
#define LABEL(NAME, value) [DO_##NAME] = &&label_DO_##NAME, [DO_##NAME##_KEPT] = &&label_DO_##NAME##_KEPT,
    __extension__ static const void *const label[] = {
        [0 ... ROW_BRING - 1] = &&label_OTHER, [ROW_BRING ... ROW_PRODUCT] = &&label_TILE,
        [ROW_SHIFT] = &&label_ROW_SHIFT, [ROW_WIDTH] = &&label_ROW_WIDTH, [ROW_END] = &&label_ROW_END, CHAIN_OPERATIONS(LABEL)
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
        ON_EACH(SET_TO, value);                    \
        NEXT;                                      \
    CASE(DO_##NAME##_KEPT): {                      \
        double *into = PLACE(code->result);        \
        ON_EACH(SET_TO, value);                    \
        ON_EACH(PUT_INTO, into);                   \
        NEXT;                                      \
    }
    CHAIN_OPERATIONS(OPERATION)
    CASE(ROW_SHIFT): /* the number before comes from its place */
        a7 = SHIFTED(a6, a7);
        a6 = SHIFTED(a5, a6);
        a5 = SHIFTED(a4, a5);
        a4 = SHIFTED(a3, a4);
        a3 = SHIFTED(a2, a3);
        a2 = SHIFTED(a1, a2);
        a1 = SHIFTED(a0, a1);
        a0 = SHIFTED(SET(*ROW_AT(0)), a0);
        NEXT;
    CASE(ROW_WIDTH):
#if SOME
        lanes = code->argument[0] - bases->first;
        if (lanes <= 0) { /* none is left for the operations up to the next that says so */
            while (code[1].row != ROW_WIDTH && code[1].row != ROW_END) {
                code++;
            }
            NEXT;
        }
        lanes = lanes < 8 * WIDTH ? lanes : 8 * WIDTH;
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
        FORGET_HAND;
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
        FORGET_HAND;
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
#undef SOME
#undef LEAVE_AT
#undef ON_EACH
#undef SET_TO
#undef PUT_INTO
#undef FORGET_HAND
