/* Flat steps on several lanes, and tiles: on as many vectors at a time as there are registers for. */

/* Operations of tiles that are not rows; their operands share no place. */
NEVER_INLINE void
LEVEL(tile_row)(const Flat *code, Py_ssize_t n, const Bases *bases)
{
    int32_t at = code->argument[0];
    double *r = bases->at[base_of(code->result)] + number_at(code->result);
    const double *x = bases->at[base_of(at)] + number_at(at);
    const Py_ssize_t stride = code->argument[1], first = bases->first;
    const int32_t *table = NULL;
    if ((code->row == ROW_BRING || code->row == ROW_PUT) && code->argument[2] >= 0) {
        table = bases->table[code->argument[2]] + first;
    }
    switch (code->row) {
    case ROW_BRING:
        x = bases->same[base_of(at)] + number_at(at) + (table ? 0 : first * stride);
        if (table) {
            INDEPENDENT
            for (Py_ssize_t i = 0; i < n; i++) {
                r[i] = x[table[i]];
            }
        }
        else {
            INDEPENDENT
            for (Py_ssize_t i = 0; i < n; i++) {
                r[i] = x[i * stride];
            }
        }
        break;
    case ROW_PUT:
        r = bases->same[base_of(code->result)] + number_at(code->result) + (table ? 0 : first * stride);
        for (Py_ssize_t i = 0; table && i < n; i++) {
            r[table[i]] = x[i];
        }
        for (Py_ssize_t i = 0; !table && i < n; i++) {
            r[i * stride] = x[i];
        }
        break;
    case ROW_SIGMOIDS:
        LEVEL(sigmoids)(n, r, bases->at[base_of(code->argument[1])] + number_at(code->argument[1]), x);
        break;
    case ROW_PRODUCT: {
        Tiles tiles = {.v = n, .m = 1, .n = 1, .k = 1, .a_vector = 1, .adds = code->argument[2]};
        LEVEL(along_result)(&tiles, r, x, bases->at[base_of(code->argument[1])] +
                                              number_at(code->argument[1]));
        break;
    }
    }
}

#define CHAIN LEVEL(chains_on_all)
#define SOME 0
#include "chain.h"
#define CHAIN LEVEL(chains_on_some)
#define SOME 1
#include "chain.h"

/* Do operations from *code* on, up to one that needs more than this file knows, or the end, on *n*
   lanes; return that. */
static const Flat *
LEVEL(flat)(const Flat *code, Py_ssize_t n, const Bases *bases)
{
    const Flat *end = code;
    Py_ssize_t l = 0;
    for (; l + 8 * WIDTH <= n; l += 8 * WIDTH) {
        Bases here = bases_from(bases, l, 0);
        end = LEVEL(chains_on_all)(code, n, 8 * WIDTH, &here);
    }
    if (l < n) {
        Bases here = bases_from(bases, l, 0);
        end = LEVEL(chains_on_some)(code, n, n - l, &here);
    }
    return end;
}

/* Do a stretch of operations tile by tile. */
static void
LEVEL(tiles)(const Stretch *stretch, const Bases *bases)
{
    enum { TILE_NUMBERS = 8 * WIDTH };
    Py_ssize_t l = 0;
    if (stretch->first != NULL) {
        LEVEL(chains_on_some)(stretch->first, 1, TILE_NUMBERS, bases);
        l = TILE_NUMBERS;
    }
    for (; l + TILE_NUMBERS <= stretch->whole; l += TILE_NUMBERS) {
        Bases here = bases_from(bases, l, 1);
        LEVEL(chains_on_all)(stretch->code, 1, TILE_NUMBERS, &here);
    }
    for (; l < stretch->n; l += TILE_NUMBERS) {
        Bases here = bases_from(bases, l, 1);
        Py_ssize_t left = stretch->n - l;
        LEVEL(chains_on_some)(stretch->code, 1, left < TILE_NUMBERS ? left : TILE_NUMBERS, &here);
    }
}
