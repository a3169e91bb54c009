/* The vectors of a level: loaded, stored, made of a number, chosen from by a mask. */

#define V LEVEL(Vector)
#define I LEVEL(Whole)

#if WIDTH > 1
typedef double V __attribute__((vector_size(8 * WIDTH)));
typedef uint64_t I __attribute__((vector_size(8 * WIDTH))); /* whose sums may wrap around */
typedef double LEVEL(Unaligned) __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
#define LOAD(p) ((V)*(const LEVEL(Unaligned) *)(p))
#define STORE(p, x) ((void)(*(LEVEL(Unaligned) *)(p) = (x)))
#define SET(x) LEVEL(set)(x)
#define WHOLE(x) ((I){0} + (uint64_t)(x))
#define BITS(x) ((I)(x))
#define FLOATS(x) ((V)(x))
#if FUSED == 2 && WIDTH == 4
#define SELECT(mask, x, y) ((V)_mm256_blendv_pd((__m256d)(y), (__m256d)(x), (__m256d)(I)(mask)))
#else
#define SELECT(mask, x, y) ((V)(((I)(mask) & (I)(x)) | (~(I)(mask) & (I)(y))))
#endif
#else
typedef double V;
typedef uint64_t I;
#define LOAD(p) (*(p))
#define STORE(p, x) ((void)(*(p) = (x)))
#define SET(x) (x)
#define WHOLE(x) ((uint64_t)(x))
#define BITS(x) bits_of(x)
#define FLOATS(x) float_of(x)
#define SELECT(mask, x, y) ((mask) ? (x) : (y))
#endif

/* The first *n* of a vector's numbers, fewer than all; the others are 0. */
#if FUSED == 2 && WIDTH == 8
#define LOAD_PART(x, n) ((V)_mm512_maskz_loadu_pd((__mmask8)((1 << (n)) - 1), x))
#define STORE_PART(r, x, n) _mm512_mask_storeu_pd(r, (__mmask8)((1 << (n)) - 1), (__m512d)(x))
#elif FUSED == 2
#define MASK(n) _mm256_loadu_si256((const __m256i *)(mask_of_part + 4 - (n)))
#define LOAD_PART(x, n) ((V)_mm256_maskload_pd(x, MASK(n)))
#define STORE_PART(r, x, n) _mm256_maskstore_pd(r, MASK(n), (__m256d)(x))
#elif WIDTH == 2
#define LOAD_PART(x, n) ((V){(x)[0], 0.0})
#define STORE_PART(r, x, n) ((void)((r)[0] = (x)[0]))
#else /* there is no part of one number */
#define LOAD_PART(x, n) LOAD(x)
#define STORE_PART(r, x, n) STORE(r, x)
#endif

#if FUSED == 2 && WIDTH == 8
#define FMA(x, y, z) ((V)_mm512_fmadd_pd((__m512d)(x), (__m512d)(y), (__m512d)(z)))
#elif FUSED == 2
#define FMA(x, y, z) ((V)_mm256_fmadd_pd((__m256d)(x), (__m256d)(y), (__m256d)(z)))
#elif FUSED == 1
#define FMA(x, y, z) ((V)vfmaq_f64((float64x2_t)(z), (float64x2_t)(x), (float64x2_t)(y)))
#else
#define FMA(x, y, z) ((x) * (y) + (z))
#endif

#if WIDTH > 1
/* All numbers of a vector the same. (0 + x would be an addition, and lose the sign of -0.0.) */
ALWAYS_INLINE V
LEVEL(set)(double x)
{
#if WIDTH == 8
    return (V){x, x, x, x, x, x, x, x};
#elif WIDTH == 4
    return (V){x, x, x, x};
#else
    return (V){x, x};
#endif
}
#endif

/* The last number of x, and behind it all but the last of y. */
#if WIDTH == 1
#define SHIFTED(x, y) (x)
#elif WIDTH == 2
#define SHIFTED(x, y) TAKEN(x, y, 1, 2)
#elif WIDTH == 4
#define SHIFTED(x, y) TAKEN(x, y, 3, 4, 5, 6)
#else
#define SHIFTED(x, y) TAKEN(x, y, 7, 8, 9, 10, 11, 12, 13, 14)
#endif
#if defined(__clang__)
#define TAKEN(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define TAKEN(x, y, ...) __builtin_shuffle(x, y, (I){__VA_ARGS__})
#endif

/* x, but not more, or not less, than a bound; a nan stays. */
#if FUSED == 2 && WIDTH == 8
#define AT_MOST(bound, x) ((V)_mm512_min_pd((__m512d)SET(bound), (__m512d)(x)))
#define AT_LEAST(bound, x) ((V)_mm512_max_pd((__m512d)SET(bound), (__m512d)(x)))
#elif FUSED == 2
#define AT_MOST(bound, x) ((V)_mm256_min_pd((__m256d)SET(bound), (__m256d)(x)))
#define AT_LEAST(bound, x) ((V)_mm256_max_pd((__m256d)SET(bound), (__m256d)(x)))
#else
#define AT_MOST(bound, x) SELECT((x) > SET(bound), SET(bound), x)
#define AT_LEAST(bound, x) SELECT((x) < SET(bound), SET(bound), x)
#endif
