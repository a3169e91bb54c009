/* Flat steps, on one lane or on several. */

/* Flat steps on one lane. Where the compiler can do it, each step jumps to the next one itself, which
   processors foresee better than one jump for all. */
static void
flat_narrow(Context *context, const Flat *flat, double *still, double *block)
{
    double *const base[2] = {block, still};
    double at_hand = 0.0;
#define AT(address) base[(uint32_t)(address) >> 31][(address) ^ ((address) >> 31)]
#define X AT(flat->argument[0])
#define Y AT(flat->argument[1])
#define A at_hand
#define X_B block[flat->argument[0]]
#define Y_B block[flat->argument[1]]
#define X_S still[~flat->argument[0]]
#define Y_S still[~flat->argument[1]]
#if defined(__GNUC__)
#define CASE(NAME) label_##NAME
#define NEXT flat++; goto *label[flat->row]
#define UNARY_LABEL(NAME, name, value, partial) [NAME] = &&label_##NAME,
#define BINARY_LABEL(NAME, name, value, first, second) [NAME] = &&label_##NAME,
#define VARIADIC_LABEL(NAME, name, value, partials, takes) [NAME] = &&label_OTHER,
#define OPERATION_LABEL(NAME, value) \
    [DO_##NAME] = &&label_DO_##NAME, [DO_##NAME##_KEPT] = &&label_DO_##NAME##_KEPT,
    __extension__ static const void *const label[] = {
        VARIADIC_ROWS(VARIADIC_LABEL) UNARY_ROWS(UNARY_LABEL) BINARY_ROWS(BINARY_LABEL)
        [ROW_TAKE] = &&label_OTHER, [ROW_ONE_MINUS] = &&label_ROW_ONE_MINUS,
        [ROW_ONE_MINUS_SQUARE] = &&label_OTHER, [ROW_END] = &&label_ROW_END,
        CHAIN_OPERATIONS(OPERATION_LABEL)
    };
    goto *label[flat->row];
#else
#define CASE(NAME) case NAME
#define NEXT break
    for (;; flat++)
    switch (flat->row) {
#endif
#define UNARY_CASE(NAME, name, value, partial) \
    CASE(NAME):                                \
        AT(flat->result) = value(X);           \
        NEXT;
#define BINARY_CASE(NAME, name, value, first, second) \
    CASE(NAME):                                       \
        AT(flat->result) = value(X, Y);               \
        NEXT;
#define OPERATION_CASE(NAME, value)                  \
    CASE(DO_##NAME):                                 \
        at_hand = value;                             \
        NEXT;                                        \
    CASE(DO_##NAME##_KEPT):                          \
        block[flat->result] = at_hand = value;       \
        NEXT;
    CHAIN_OPERATIONS(OPERATION_CASE)
    UNARY_ROWS(UNARY_CASE)
    BINARY_ROWS(BINARY_CASE)
    CASE(ROW_ONE_MINUS):
        AT(flat->result) = k_sigmoid(-Y);
        NEXT;
    CASE(ROW_END):
        return;
#if defined(__GNUC__)
    label_OTHER:
#else
    default:
#endif
    {
        const double *x[3] = {&X, &Y, &AT(flat->argument[2])};
        const Py_ssize_t s[3] = {1, 1, 1};
        double room[4];
        apply_row(context, flat->row, arity_of(flat->row) ? arity_of(flat->row) : 2, 1,
                  &AT(flat->result), x, s, room);
        NEXT;
    }
#if !defined(__GNUC__)
    }
#endif
#undef AT
#undef X
#undef Y
#undef A
#undef X_B
#undef Y_B
#undef X_S
#undef Y_S
#undef CASE
#undef NEXT
#undef UNARY_LABEL
#undef BINARY_LABEL
#undef VARIADIC_LABEL
#undef UNARY_CASE
#undef BINARY_CASE
#undef OPERATION_LABEL
#undef OPERATION_CASE
}

static void
flat(Context *context, const Step *step)
{
    Py_ssize_t n = context->lanes;
    double *still = context->space[IN_STILL];
    double *block = step->on_still ? still : context->space[IN_BLOCK];
    if (!is_wide(context)) {
        flat_narrow(context, step->flat, still, block);
        return;
    }
    const Bases bases = {.at = {block}, .same = {[3] = still}};
    for (const Flat *code = step->flat;; code++) {
        code = context->vector->flat(code, n, &bases);
        if (code->row == ROW_END) {
            return;
        }
        const double *x[2]; /* of a row of any number of arguments */
        Py_ssize_t s[2];
        double room[4];
        for (int i = 0; i < 2; i++) {
            int32_t at = code->argument[i];
            s[i] = at >= 0;
            x[i] = at >= 0 ? block + at * n : still + ~at;
        }
        apply_row(context, code->row, 2, n, block + code->result * n, x, s, room);
    }
}

/* A run of element-wise steps, on one lane. */
static void
tiled(Context *context, const Tiled *run)
{
    double *const *space = context->space;
    const Bases bases = {
        .at = {space[IN_BLOCK], context->scratch, space[IN_SUMS], space[IN_STILL]},
        .same = {space[IN_BLOCK], context->scratch, space[IN_SUMS], space[IN_STILL]},
        .table = run->table,
    };
    for (int i = 0; i < run->n_stretches; i++) {
        context->vector->tiles(&run->stretch[i], &bases);
    }
}
