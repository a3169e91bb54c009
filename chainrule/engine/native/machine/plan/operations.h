/* What flat steps are made of once they are chains: operations on a number that is at hand, in a
   register for every vector of lanes, and on others that are loaded. */

/* Each with its value: A is what is at hand; X and Y are the arguments, rows of BLOCK (B) or, the same
   for all lanes, places of STILL (S). Every one is there twice: as it is, and with its result written
   to its place as well. */
#define CHAIN_OPERATIONS(OP)                                                              \
    OP(ADD_BB, X_B + Y_B) OP(ADD_BS, X_B + Y_S)                                           \
    OP(SUBTRACT_BB, X_B - Y_B) OP(SUBTRACT_BS, X_B - Y_S) OP(SUBTRACT_SB, X_S - Y_B)      \
    OP(MULTIPLY_BB, X_B *Y_B) OP(MULTIPLY_BS, X_B *Y_S)                                   \
    OP(DIVIDE_BB, X_B / Y_B) OP(DIVIDE_BS, X_B / Y_S) OP(DIVIDE_SB, X_S / Y_B)            \
    OP(NEGATIVE_B, -X_B) OP(TAKE_B, X_B) OP(TAKE_S, X_S)                                  \
    OP(ADD_AB, A + X_B) OP(ADD_AS, A + X_S)                                               \
    OP(SUBTRACT_AB, A - X_B) OP(SUBTRACT_AS, A - X_S)                                     \
    OP(SUBTRACT_BA, X_B - A) OP(SUBTRACT_SA, X_S - A)                                     \
    OP(MULTIPLY_AB, A *X_B) OP(MULTIPLY_AS, A *X_S) OP(MULTIPLY_AA, A *A)                 \
    OP(DIVIDE_AB, A / X_B) OP(DIVIDE_AS, A / X_S)                                         \
    OP(DIVIDE_BA, X_B / A) OP(DIVIDE_SA, X_S / A)                                         \
    OP(NEGATIVE_A, -A) OP(TAKE_A, A)                                                      \
    OP(ADD_PRODUCT_BB, A + X_B * Y_B) OP(ADD_PRODUCT_BS, A + X_B * Y_S)                   \
    OP(SUBTRACT_PRODUCT_BB, A - X_B * Y_B) OP(SUBTRACT_PRODUCT_BS, A - X_B * Y_S)         \
    OP(FROM_PRODUCT_BB, X_B *Y_B - A) OP(FROM_PRODUCT_BS, X_B *Y_S - A)

#define OPERATION(NAME, value) DO_##NAME, DO_##NAME##_KEPT,
enum { BEFORE_OPERATIONS = ROW_END, CHAIN_OPERATIONS(OPERATION) N_OPERATIONS };
#undef OPERATION
