/* The levels of the processor that vector.h is compiled for, and which one serves here. */

struct Vector {
    const char *name;
    void (*rows)(int row, int n_arguments, Py_ssize_t n, double *r, const double *const *x,
                 const Py_ssize_t *s);
    void (*add_to)(Py_ssize_t n, double *r, const double *x, Py_ssize_t s);
    double (*total)(Py_ssize_t n, const double *x);
    Py_ssize_t (*flat)(const Flat *flat, Py_ssize_t first, Py_ssize_t count, Py_ssize_t n,
                       double *still, double *block);
    void (*into_lanes)(Py_ssize_t n, Py_ssize_t size, const double *x, Py_ssize_t apart,
                       double *block);
    void (*careful)(int code, Py_ssize_t n, Py_ssize_t w, double *z, double *y, double *room);
};

#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define INDEPENDENT _Pragma("GCC ivdep")
#else
#define INDEPENDENT
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

static inline int64_t
bits_of(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static inline double
float_of(int64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

#define LEVEL(name) name##_baseline
#define LEVEL_NAME "baseline"
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
#include "vector.h"
#undef LEVEL
#undef LEVEL_NAME
#undef WIDTH
#undef FUSED

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
#include "vector.h"
#undef LEVEL
#undef LEVEL_NAME
#undef WIDTH
#undef FUSED
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
#include "vector.h"
#undef LEVEL
#undef LEVEL_NAME
#undef WIDTH
#undef FUSED
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
