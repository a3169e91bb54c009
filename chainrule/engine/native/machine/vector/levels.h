/* The levels of the processor that level.h is compiled for, and which one serves here. */

/* A product as two nested loops over a result's tiles; see products.h. Strides in numbers. */
typedef struct {
    Py_ssize_t v, m, n, k; /* extents */
    Py_ssize_t rm, am;     /* strides along m */
    Py_ssize_t rn, bn;     /* along n */
    Py_ssize_t ak, bk;     /* along k */
    int a_vector, adds;    /* adds: to what is in the result */
} Tiles;

/* Where addresses lead, by their two highest bits: BLOCK, rooms, SUMS and STILL, as the complements of
   addresses begin with the complements of their bits. */
typedef struct {
    double *at[4];              /* from here, the numbers of a tile, or the lanes */
    double *same[4];            /* from here, what is the same for all of them */
    Py_ssize_t first;           /* which of a step's numbers the first of the tile is */
    const int32_t *const *table;
} Bases;

static inline Py_ssize_t
number_at(int32_t address)
{
    return (address ^ address >> 31) & ((1 << 30) - 1);
}

static inline int
base_of(int32_t address)
{
    return (int)((uint32_t)address >> 30);
}

/* The same addresses, of what comes *l* numbers or lanes later; the rooms every tile uses again. */
static inline Bases
bases_from(const Bases *bases, Py_ssize_t l, int is_tile)
{
    Bases found = *bases;
    found.first = l;
    found.at[0] += l;
    found.at[2] += is_tile ? l : 0;
    found.at[3] += is_tile ? l : 0;
    return found;
}

struct Vector {
    const char *name;
    int width; /* numbers in a vector */
    void (*rows)(int row, int n_arguments, Py_ssize_t n, double *r, const double *const *x,
                 const Py_ssize_t *s);
    void (*sigmoids)(Py_ssize_t n, double *a, double *rest, const double *z);
    void (*add_to)(Py_ssize_t n, double *r, const double *x, Py_ssize_t s);
    double (*total)(Py_ssize_t n, const double *x);
    const Flat *(*flat)(const Flat *code, Py_ssize_t n, const Bases *bases);
    void (*tiles)(const Stretch *stretch, const Bases *bases);
    void (*into_lanes)(Py_ssize_t n, Py_ssize_t size, const double *x, Py_ssize_t apart,
                       double *block);
    void (*out_of_lanes)(Py_ssize_t n, Py_ssize_t count, const double *const *x,
                         const Py_ssize_t *s, double *r);
    void (*along_result)(const Tiles *tiles, double *r, const double *a, const double *b);
    void (*along_sum)(const Tiles *tiles, double *r, const double *a, const double *b);
    void (*careful)(int code, Py_ssize_t n, Py_ssize_t w, double *z, double *y);
    int (*long_line)(int code, Py_ssize_t n, double *r, const double *x);
    void (*squared_distance)(Py_ssize_t n, Py_ssize_t count, int adds, double *r, const double *a,
                             Py_ssize_t sa, Py_ssize_t la, const double *b, Py_ssize_t sb,
                             Py_ssize_t lb);
    void (*weighted_difference)(Py_ssize_t n, double *r, const double *w, Py_ssize_t lw,
                                const double *a, Py_ssize_t la, const double *b, Py_ssize_t lb);
    double (*weighted_total)(Py_ssize_t n, const double *w, Py_ssize_t lw, const double *a,
                             Py_ssize_t la, const double *b, Py_ssize_t lb);
    Py_ssize_t (*nonzero)(Py_ssize_t n, const double *x, Py_ssize_t *hit);
};

#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define INDEPENDENT _Pragma("GCC ivdep")
#else
#define INDEPENDENT
#endif

#if defined(__GNUC__)
#define PREFETCH(x) __builtin_prefetch(x)
#else
#define PREFETCH(x) ((void)(x))
#endif

#if defined(__GNUC__) && defined(__x86_64__)
#define HAS_X86_LEVELS 1
#include <immintrin.h>
#else
#define HAS_X86_LEVELS 0
#endif
#if defined(__GNUC__) && defined(__aarch64__)
#include <arm_neon.h>
#endif

static inline uint64_t
bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline double
float_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

static inline int
is_power_of_two(double x) /* whose reciprocal is one, too */
{
    int exponent;
    return frexp(x, &exponent) == 0.5 && exponent > -1000 && exponent < 1000;
}

static const int64_t mask_of_part[8] = {-1, -1, -1, -1, 0, 0, 0, 0};

/* Does a row have so many arguments, one or two, always? */
static inline int
is_of(int row, int n_arguments)
{
    return row != ROW_TAKE && arity_of(row) == n_arguments;
}

#define OVER(NAME, expression)               \
    case NAME:                               \
        for (Py_ssize_t i = 0; i < n; i++) { \
            r[i] = expression;               \
        }                                    \
        break;
#define UNARY_OVER(NAME, name, value, partial) OVER(NAME, value(x[i]))
#define BINARY_OVER(NAME, name, value, first, second) OVER(NAME, value(x[sx * i], y[sy * i]))

/* A row of one argument by the engine's kernel, number by number. */
static void
unary_row(int row, Py_ssize_t n, double *r, const double *x)
{
    switch (row) {
        UNARY_ROWS(UNARY_OVER)
    }
}

static void
binary_row(int row, Py_ssize_t n, double *r, const double *x, Py_ssize_t sx, const double *y,
           Py_ssize_t sy)
{
    switch (row) {
        BINARY_ROWS(BINARY_OVER)
    }
}

#undef OVER
#undef UNARY_OVER
#undef BINARY_OVER

#define LEVEL(name) name##_baseline
#define LEVEL_NAME "baseline"
#define TILE_VECTORS 2
#define TILE_COLUMNS 2
#if !defined(__GNUC__)
#define WIDTH 1
#define FUSED 0
#elif defined(__aarch64__)
#define WIDTH 2
#define FUSED 1
#else
#define WIDTH 2
#define FUSED 0
#endif
#include "level.h"

#if HAS_X86_LEVELS

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define LEVEL(name) name##_avx2
#define LEVEL_NAME "avx2"
#define WIDTH 4
#define FUSED 2
#define TILE_VECTORS 2 /* 6 x 2 sums, 2 of b, 1 of a: of 16 registers */
#define TILE_COLUMNS 3 /* 4 x 3 sums, 3 of b, 1 of a */
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,fma")
#endif
#define LEVEL(name) name##_avx512
#define LEVEL_NAME "avx512"
#define WIDTH 8
#define FUSED 2
#define TILE_VECTORS 3 /* 6 x 3 sums, 3 of b, 1 of a: of 32 registers */
#define TILE_COLUMNS 4
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

/* The level of this processor, or a lower one that CHAINRULE_LEVEL names. */
static const struct Vector *
level_here(void)
{
    const char *wanted = getenv("CHAINRULE_LEVEL");
    (void)wanted;
#if HAS_X86_LEVELS
    int lower = wanted != NULL && strcmp(wanted, "avx512") != 0 && wanted[0] != '\0';
    __builtin_cpu_init();
    if (!lower && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
        return &functions_avx512;
    }
    lower = wanted != NULL && strcmp(wanted, "baseline") == 0;
    if (!lower && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return &functions_avx2;
    }
#endif
    return &functions_baseline;
}
