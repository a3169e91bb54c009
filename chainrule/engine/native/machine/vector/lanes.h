/* Examples as they are given turned into lanes, and results out of them. */

/* Transpose four rows of four numbers; the new ones lie *apart*. */
ALWAYS_INLINE void
LEVEL(transpose)(const double *x, const double *y, const double *z, const double *w, double *r,
                 Py_ssize_t apart)
{
#if FUSED == 2
    __m256d a = _mm256_loadu_pd(x), b = _mm256_loadu_pd(y);
    __m256d c = _mm256_loadu_pd(z), d = _mm256_loadu_pd(w);
    __m256d ab = _mm256_unpacklo_pd(a, b), cd = _mm256_unpacklo_pd(c, d);
    __m256d AB = _mm256_unpackhi_pd(a, b), CD = _mm256_unpackhi_pd(c, d);
    _mm256_storeu_pd(r, _mm256_permute2f128_pd(ab, cd, 0x20));
    _mm256_storeu_pd(r + apart, _mm256_permute2f128_pd(AB, CD, 0x20));
    _mm256_storeu_pd(r + 2 * apart, _mm256_permute2f128_pd(ab, cd, 0x31));
    _mm256_storeu_pd(r + 3 * apart, _mm256_permute2f128_pd(AB, CD, 0x31));
#else
    for (int i = 0; i < 4; i++, r += apart) {
        r[0] = x[i];
        r[1] = y[i];
        r[2] = z[i];
        r[3] = w[i];
    }
#endif
}

/* Put *count* rows of *n* lanes side by side, those of four lanes before the next ones. A row whose stride
   *s* is 0 is there four times. */
static void
LEVEL(out_of_lanes)(Py_ssize_t n, Py_ssize_t count, const double *const *x, const Py_ssize_t *s,
                    double *r)
{
    Py_ssize_t l = 0;
    for (; l + 4 <= n && count >= 4; l += 4, r += 4 * count) {
        for (Py_ssize_t i = 0; i < count; i += 4) {
            Py_ssize_t k = i + 4 <= count ? i : count - 4; /* the last four, some of them again */
            LEVEL(transpose)(x[k] + l * s[k], x[k + 1] + l * s[k + 1], x[k + 2] + l * s[k + 2],
                             x[k + 3] + l * s[k + 3], r + k, count);
        }
    }
    for (; l < n; l++, r += count) {
        for (Py_ssize_t k = 0; k < count; k++) {
            r[k] = x[k][l * s[k]];
        }
    }
}

ALWAYS_INLINE void
LEVEL(transpose_four)(const double *x, Py_ssize_t apart, double *r, Py_ssize_t n)
{
    LEVEL(transpose)(x, x + apart, x + 2 * apart, x + 3 * apart, r, n);
}

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
            LEVEL(transpose_four)(x + l * apart + i, apart, block + i * n + l, n);
            LEVEL(transpose_four)(x + (l + 4) * apart + i, apart, block + i * n + l + 4, n);
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
            LEVEL(transpose_four)(x + l * apart + i, apart, block + i * n + l, n);
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
