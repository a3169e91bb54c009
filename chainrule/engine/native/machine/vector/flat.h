/* Flat steps on several lanes: on as many vectors at a time as there are registers for. */

#define CHAIN LEVEL(chains_on_all)
#define VECTORS 8
#define SOME 0
#include "chain.h"
#define CHAIN LEVEL(chains_on_some)
#define VECTORS 8
#define SOME 1
#include "chain.h"

/* Do operations from *code* on, up to one that needs more than this file knows, or the end, on *n*
   lanes; return that. */
static const Flat *
LEVEL(flat)(const Flat *code, Py_ssize_t n, const double *still, double *block)
{
    const Flat *end = code;
    Py_ssize_t l = 0;
    for (; l + 8 * WIDTH <= n; l += 8 * WIDTH) {
        end = LEVEL(chains_on_all)(code, n, 8 * WIDTH, still, block + l);
    }
    if (l < n) {
        end = LEVEL(chains_on_some)(code, n, n - l, still, block + l);
    }
    return end;
}
