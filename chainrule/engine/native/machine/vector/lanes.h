/* Examples as they are given, turned into lanes. */

#if FUSED == 2
/* Transpose four rows of four numbers. */
ALWAYS_INLINE void
LEVEL(transpose)(const double *x, Py_ssize_t apart, double *r, Py_ssize_t n)
{
    __m256d a = _mm256_loadu_pd(x), b = _mm256_loadu_pd(x + apart);
    __m256d c = _mm256_loadu_pd(x + 2 * apart), d = _mm256_loadu_pd(x + 3 * apart);
    __m256d ab = _mm256_unpacklo_pd(a, b), cd = _mm256_unpacklo_pd(c, d);
    __m256d AB = _mm256_unpackhi_pd(a, b), CD = _mm256_unpackhi_pd(c, d);
    _mm256_storeu_pd(r, _mm256_permute2f128_pd(ab, cd, 0x20));
    _mm256_storeu_pd(r + n, _mm256_permute2f128_pd(AB, CD, 0x20));
    _mm256_storeu_pd(r + 2 * n, _mm256_permute2f128_pd(ab, cd, 0x31));
    _mm256_storeu_pd(r + 3 * n, _mm256_permute2f128_pd(AB, CD, 0x31));
}
#else
ALWAYS_INLINE void
LEVEL(transpose)(const double *x, Py_ssize_t apart, double *r, Py_ssize_t n)
{
    for (int i = 0; i < 4; i++) {
        for (int l = 0; l < 4; l++) {
            r[i * n + l] = x[l * apart + i];
        }
    }
}
#endif

/* Put *n* examples of *size* numbers, *apart* numbers from one to the next, into lanes. */
static void
LEVEL(into_lanes)(Py_ssize_t n, Py_ssize_t size, const double *x, Py_ssize_t apart, double *block)
{
    Py_ssize_t l = 0;
    if (n == 1) {
        memcpy(block, x, sizeof(double) * (size_t)size);
        return;
    }
    for (; l + 8 <= n; l += 8) { /* a cache line of each row */
        Py_ssize_t i = 0;
        for (; i + 4 <= size; i += 4) {
            for (int k = 0; k < 8 && i % 8 == 0 && l + 8 < n; k++) {
                PREFETCH(x + (l + 8 + k) * apart + i);
            }
            LEVEL(transpose)(x + l * apart + i, apart, block + i * n + l, n);
            LEVEL(transpose)(x + (l + 4) * apart + i, apart, block + i * n + l + 4, n);
        }
        for (; i < size; i++) {
            for (int k = 0; k < 8; k++) {
                block[i * n + l + k] = x[(l + k) * apart + i];
            }
        }
    }
    for (; l + 4 <= n; l += 4) {
        Py_ssize_t i = 0;
        for (; i + 4 <= size; i += 4) {
            LEVEL(transpose)(x + l * apart + i, apart, block + i * n + l, n);
        }
        for (; i < size; i++) {
            for (int k = 0; k < 4; k++) {
                block[i * n + l + k] = x[(l + k) * apart + i];
            }
        }
    }
    for (; l < n; l++) {
        for (Py_ssize_t i = 0; i < size; i++) {
            block[i * n + l] = x[l * apart + i];
        }
    }
}
