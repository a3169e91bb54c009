/* Products in tiles of the result that stay in registers. */

#if WIDTH > 1

/* A tile of *rows* by *vectors* of the result; *part*, if not 0, is how much of the one vector. */
ALWAYS_INLINE void
LEVEL(result_tile)(int rows, int vectors, int a_vector, int adds, Py_ssize_t part, Py_ssize_t k,
                   const Tiles *t, double *r, const double *a, const double *b)
{
    V sum[6][6];
    const Py_ssize_t am = t->am, rm = t->rm, ak = t->ak, bk = t->bk;
    for (int i = 0; i < rows; i++) {
        for (int u = 0; u < vectors; u++) {
            sum[i][u] = !adds ? SET(0.0)
                        : part ? LOAD_PART(r + i * rm, part) : LOAD(r + i * rm + u * WIDTH);
        }
    }
    for (; k > 0; k--, a += ak, b += bk) {
        V y[6];
        for (int u = 0; u < vectors; u++) {
            y[u] = part ? LOAD_PART(b, part) : LOAD(b + u * WIDTH);
        }
        for (int i = 0; i < rows; i++) {
            for (int u = 0; u < vectors; u++) {
                V x = !a_vector ? SET(a[i * am])
                      : part ? LOAD_PART(a + i * am, part) : LOAD(a + i * am + u * WIDTH);
                sum[i][u] = FMA(x, y[u], sum[i][u]);
            }
        }
    }
    for (int i = 0; i < rows; i++) {
        for (int u = 0; u < vectors; u++) {
            if (part) {
                STORE_PART(r + i * rm, sum[i][u], part);
            }
            else {
                STORE(r + i * rm + u * WIDTH, sum[i][u]);
            }
        }
    }
}

#define RESULT_TILE(rows, vectors, a_vector, part)                                               \
    LEVEL(result_tile)(rows, vectors, a_vector, adds, part, k, t, r + i * t->rm + l,              \
                       a + i * t->am + (a_vector ? l : 0), b + l)

/* *m* rows of the result and all of its vectors, summed over *k*. */
static void
LEVEL(result_rows)(const Tiles *t, Py_ssize_t m, Py_ssize_t k, int adds, double *r,
                   const double *a, const double *b)
{
    Py_ssize_t l = 0, i;
    if (m == 1 && !t->a_vector) {
        i = 0;
        for (; l + 6 * WIDTH <= t->v; l += 6 * WIDTH) {
            RESULT_TILE(1, 6, 0, 0);
        }
    }
    for (; l + TILE_VECTORS * WIDTH <= t->v; l += TILE_VECTORS * WIDTH) {
        for (i = 0; t->a_vector && i + 3 <= m; i += 3) {
            RESULT_TILE(3, TILE_VECTORS, 1, 0);
        }
        for (; t->a_vector && i < m; i++) {
            RESULT_TILE(1, TILE_VECTORS, 1, 0);
        }
        for (; i + 6 <= m; i += 6) {
            RESULT_TILE(6, TILE_VECTORS, 0, 0);
        }
        for (; i + 4 <= m; i += 4) {
            RESULT_TILE(4, TILE_VECTORS, 0, 0);
        }
        for (; i + 2 <= m; i += 2) {
            RESULT_TILE(2, TILE_VECTORS, 0, 0);
        }
        for (; i < m; i++) {
            RESULT_TILE(1, TILE_VECTORS, 0, 0);
        }
    }
    for (; l + WIDTH <= t->v; l += WIDTH) {
        for (i = 0; t->a_vector && i < m; i++) {
            RESULT_TILE(1, 1, 1, 0);
        }
        for (; i + 6 <= m; i += 6) {
            RESULT_TILE(6, 1, 0, 0);
        }
        for (; i + 2 <= m; i += 2) {
            RESULT_TILE(2, 1, 0, 0);
        }
        for (; i < m; i++) {
            RESULT_TILE(1, 1, 0, 0);
        }
    }
    Py_ssize_t part = t->v - l;
    if (part) {
        for (i = 0; t->a_vector && i < m; i++) {
            RESULT_TILE(1, 1, 1, part);
        }
        for (; i + 4 <= m; i += 4) {
            RESULT_TILE(4, 1, 0, part);
        }
        for (; i < m; i++) {
            RESULT_TILE(1, 1, 0, part);
        }
    }
}

enum { LEVEL(MOST_SUMMED) = 256, LEVEL(MOST_ROWS) = 48 }; /* of a and b at a time, for the cache */

/* Rows of a whose numbers lie apart, as those of a transposed matrix, are brought together first. */
static void
LEVEL(packed_rows)(const Tiles *t, Py_ssize_t m, Py_ssize_t k, int adds, double *r,
                   const double *a, const double *b)
{
    double packed[LEVEL(MOST_ROWS) * LEVEL(MOST_SUMMED)];
    Tiles tiles = *t;
    for (Py_ssize_t j = 0; j < k; j++) {
        for (Py_ssize_t i = 0; i < m; i++) {
            packed[j * m + i] = a[i * t->am + j * t->ak];
        }
    }
    tiles.am = 1;
    tiles.ak = m;
    LEVEL(result_rows)(&tiles, m, k, adds, r, packed, b);
}

/* r[i, :] = sum over k of a[i, k] b[k, :], where b has vectors, and perhaps a. */
static void
LEVEL(along_result)(const Tiles *t, double *r, const double *a, const double *b)
{
    for (Py_ssize_t k = 0; k < t->k; k += LEVEL(MOST_SUMMED)) {
        Py_ssize_t more = t->k - k < LEVEL(MOST_SUMMED) ? t->k - k : LEVEL(MOST_SUMMED);
        for (Py_ssize_t i = 0; i < t->m; i += LEVEL(MOST_ROWS)) {
            Py_ssize_t rows = t->m - i < LEVEL(MOST_ROWS) ? t->m - i : LEVEL(MOST_ROWS);
            int packs = !t->a_vector && t->ak > 8 && t->v >= 32 && rows > 3;
            (packs ? LEVEL(packed_rows) : LEVEL(result_rows))(
                t, rows, more, t->adds || k > 0, r + i * t->rm, a + i * t->am + k * t->ak,
                b + k * t->bk);
        }
    }
}

ALWAYS_INLINE double
LEVEL(across)(V x)
{
    double part[WIDTH];
    STORE(part, x);
    double total = part[0] + part[WIDTH / 2];
    for (int i = 1; i < WIDTH / 2; i++) {
        total += part[i] + part[i + WIDTH / 2];
    }
    return total;
}

/* The sums of four vectors. */
ALWAYS_INLINE void
LEVEL(across_four)(const V *x, double *total)
{
#if FUSED == 2 && WIDTH == 4
    __m256d low = _mm256_hadd_pd((__m256d)x[0], (__m256d)x[1]);
    __m256d high = _mm256_hadd_pd((__m256d)x[2], (__m256d)x[3]);
    STORE(total, (V)_mm256_permute2f128_pd(low, high, 0x20) +
                     (V)_mm256_permute2f128_pd(low, high, 0x31));
#else
    for (int i = 0; i < 4; i++) {
        total[i] = LEVEL(across)(x[i]);
    }
#endif
}

/* A tile of *rows* by *columns* sums. */
ALWAYS_INLINE void
LEVEL(sum_tile)(int rows, int columns, const Tiles *t, double *r, const double *a, const double *b)
{
    V sum[4][4]; /* of a column the rows */
    const Py_ssize_t am = t->am, bn = t->bn, v = t->v;
    double rest[4][4] = {{0}};
    for (int j = 0; j < columns; j++) {
        for (int i = 0; i < 4; i++) {
            sum[j][i] = SET(0.0);
        }
    }
    for (Py_ssize_t k = 0; k < t->k; k++, a += t->ak, b += t->bk) {
        Py_ssize_t l = 0;
        for (; l + WIDTH <= v; l += WIDTH) {
            V y[4];
            for (int j = 0; j < columns; j++) {
                y[j] = LOAD(b + j * bn + l);
            }
            for (int i = 0; i < rows; i++) {
                V x = LOAD(a + i * am + l);
                for (int j = 0; j < columns; j++) {
                    sum[j][i] = FMA(x, y[j], sum[j][i]);
                }
            }
        }
        for (; l < v; l++) {
            for (int i = 0; i < rows; i++) {
                for (int j = 0; j < columns; j++) {
                    rest[j][i] += a[i * am + l] * b[j * bn + l];
                }
            }
        }
    }
    for (int j = 0; j < columns; j++) {
        double total[4];
        LEVEL(across_four)(sum[j], total);
        for (int i = 0; i < rows; i++) {
            double *place = r + i * t->rm + j * t->rn, found = total[i] + rest[j][i];
            *place = t->adds ? *place + found : found;
        }
    }
}

#define SUM_TILE(rows, columns) \
    LEVEL(sum_tile)(rows, columns, t, r + i * t->rm + j * t->rn, a + i * t->am, b + j * t->bn)

/* r[i, j] = sum over k and all of a vector of a[i, k, :] b[j, k, :]. */
static void
LEVEL(along_sum)(const Tiles *t, double *r, const double *a, const double *b)
{
    Py_ssize_t i = 0, j;
    for (; i + 4 <= t->m; i += 4) {
        for (j = 0; j + TILE_COLUMNS <= t->n; j += TILE_COLUMNS) {
            SUM_TILE(4, TILE_COLUMNS);
        }
        for (; j + 2 <= t->n; j += 2) {
            SUM_TILE(4, 2);
        }
        for (; j < t->n; j++) {
            SUM_TILE(4, 1);
        }
    }
    for (; i + 2 <= t->m; i += 2) {
        for (j = 0; j + 4 <= t->n; j += 4) {
            SUM_TILE(2, 4);
        }
        for (; j < t->n; j++) {
            SUM_TILE(2, 1);
        }
    }
    for (; i < t->m; i++) {
        for (j = 0; j + 4 <= t->n; j += 4) {
            SUM_TILE(1, 4);
        }
        for (; j < t->n; j++) {
            SUM_TILE(1, 1);
        }
    }
}

#else /* plain loops serve */

static void
LEVEL(along_result)(const Tiles *t, double *r, const double *a, const double *b)
{
    for (Py_ssize_t i = 0; i < t->m; i++) {
        for (Py_ssize_t l = 0; l < t->v && !t->adds; l++) {
            r[i * t->rm + l] = 0.0;
        }
        for (Py_ssize_t k = 0; k < t->k; k++) {
            const double *x = a + i * t->am + k * t->ak, *y = b + k * t->bk;
            for (Py_ssize_t l = 0; l < t->v; l++) {
                r[i * t->rm + l] += x[t->a_vector ? l : 0] * y[l];
            }
        }
    }
}

static void
LEVEL(along_sum)(const Tiles *t, double *r, const double *a, const double *b)
{
    for (Py_ssize_t i = 0; i < t->m; i++) {
        for (Py_ssize_t j = 0; j < t->n; j++) {
            double total = 0.0;
            for (Py_ssize_t k = 0; k < t->k; k++) {
                const double *x = a + i * t->am + k * t->ak, *y = b + j * t->bn + k * t->bk;
                for (Py_ssize_t l = 0; l < t->v; l++) {
                    total += x[l] * y[l];
                }
            }
            double *place = r + i * t->rm + j * t->rn;
            *place = t->adds ? *place + total : total;
        }
    }
}

#endif
