/* Arithmetic of tiles for one instruction set. Included once per instruction set, with LANES
 * (floats of a vector) and NAME(x) (a suffix) defined.
 *
 * A tile holds some positions of `width` examples, a multiple of UNIT: a row of `width` floats for
 * each position. Arrays outside hold an example's positions side by side, so that loading and
 * storing a tile transposes it. */

#define VF NAME(vf)
typedef float VF __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE VF NAME(get)(const float *p) { return *(const VF *)p; }
INLINE void NAME(put)(float *p, VF v) { *(VF *)p = v; }

/* === Transposing === */

#define LOW(e, s) ((e) & (s) ? LANES + (e) - (s) : (e))
#define HIGH(e, s) ((e) & (s) ? LANES + (e) : (e) + (s))
#if LANES == 16
#define EACH(F, s) \
    F(0, s), F(1, s), F(2, s), F(3, s), F(4, s), F(5, s), F(6, s), F(7, s), F(8, s), F(9, s), \
        F(10, s), F(11, s), F(12, s), F(13, s), F(14, s), F(15, s)
#elif LANES == 8
#define EACH(F, s) F(0, s), F(1, s), F(2, s), F(3, s), F(4, s), F(5, s), F(6, s), F(7, s)
#else
#define EACH(F, s) F(0, s), F(1, s), F(2, s), F(3, s)
#endif

#define EXCHANGE(s) \
    _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++) if (!(r & (s))) { \
        VF a = v[r], b = v[r + (s)]; \
        v[r] = __builtin_shufflevector(a, b, EACH(LOW, s)); \
        v[r + (s)] = __builtin_shufflevector(a, b, EACH(HIGH, s)); \
    }

/* Transposes LANES vectors, by exchanging blocks of half the size each time. */
INLINE void NAME(transpose)(VF v[LANES]) {
#if LANES == 16
    EXCHANGE(8)
#endif
#if LANES >= 8
    EXCHANGE(4)
#endif
    EXCHANGE(2)
    EXCHANGE(1)
}

/* `count` floats; the rest is zero. */
INLINE VF NAME(get_some)(const float *p, int count) {
    if (count == LANES) return NAME(get)(p);
    float some[LANES] = {0};
    if (count > 0) memcpy(some, p, 4 * count);
    return NAME(get)(some);
}

INLINE int NAME(least)(int a, int b) { return a < b ? a : b; }

/* Loads `length` <= UNIT positions of UNIT examples, `count` of which exist, `far` floats apart. */
static void NAME(load_unit)(const float *from, size_t far, int count, int length, float *tile,
                            const int32_t *rows) {
    for (int b = 0; b < UNIT; b += LANES)
        for (int p = 0; p < length; p += LANES) {
            VF v[LANES];
            int some = NAME(least)(length - p, LANES), examples = count - b;
            const float *x = from + (size_t)b * far + p;
            if (some == LANES && examples >= LANES)
                _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++)
                    v[r] = NAME(get)(x + r * far);
            else
                _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++)
                    v[r] = NAME(get_some)(x + r * far, r < examples ? some : 0);
            NAME(transpose)(v);
            if (some == LANES)
                _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++)
                    NAME(put)(tile + rows[p + r] + b, v[r]);
            else
                _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++)
                    if (r < some) NAME(put)(tile + rows[p + r] + b, v[r]);
        }
}

/* Stores what `load_unit` loads, or adds it to what is there. */
static void NAME(store_unit)(float *to, size_t far, int count, int length, const float *tile,
                             const int32_t *rows, int add) {
    for (int b = 0; b < UNIT; b += LANES)
        for (int p = 0; p < length; p += LANES) {
            VF v[LANES];
            int some = NAME(least)(length - p, LANES), examples = count - b;
            float *y = to + (size_t)b * far + p;
            _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++)
                v[r] = NAME(get)(tile + rows[p + NAME(least)(r, some - 1)] + b);
            NAME(transpose)(v);
            if (some == LANES && examples >= LANES) {
                if (add)
                    _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++)
                        v[r] += NAME(get)(y + r * far);
                _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++)
                    NAME(put)(y + r * far, v[r]);
                continue;
            }
            _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++)
                if (r < examples) {
                    float all[LANES];
                    NAME(put)(all, v[r]);
                    for (int k = 0; k < some; k++)
                        y[r * far + k] = add ? y[r * far + k] + all[k] : all[k];
                }
        }
}

/* === Products === */

/* y[j] (+)= sum_i x[i] k[i, j] for `J` rows j and `V` vectors of each row. */
INLINE void NAME(product_block)(const float *x, size_t far, const float *k, int n, size_t k_in,
                                size_t k_out, float *y, int add, const int V, const int J) {
    VF sums[16][4];
    _Pragma("GCC unroll 16") for (int u = 0; u < J; u++)
        _Pragma("GCC unroll 4") for (int v = 0; v < V; v++)
            sums[u][v] = add ? NAME(get)(y + u * far + v * LANES) : (VF){0};
    for (int i = 0; i < n; i++, x += far, k += k_in) {
        VF row[4];
        _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) row[v] = NAME(get)(x + v * LANES);
        _Pragma("GCC unroll 16") for (int u = 0; u < J; u++)
            _Pragma("GCC unroll 4") for (int v = 0; v < V; v++)
                sums[u][v] += k[u * k_out] * row[v];
    }
    _Pragma("GCC unroll 16") for (int u = 0; u < J; u++)
        _Pragma("GCC unroll 4") for (int v = 0; v < V; v++)
            NAME(put)(y + u * far + v * LANES, sums[u][v]);
}

#define ROWS(V, J) \
    for (; j + (J) <= n; j += (J)) \
        NAME(product_block)(x + lane, far, k + j * k_out, n, k_in, k_out, y + lane + j * far, \
                            add, V, J);

/* y[j] (+)= sum_i x[i] k[i * k_in + j * k_out] for rows i and j, `far` floats apart. */
INLINE void NAME(product_of)(const float *x, size_t far, const float *k, int n, size_t k_in,
                             size_t k_out, float *y, int width, int add, walk w) {
    for (; w.count > 0; w.count--, x += w.row, y += w.row, k += w.kernel) {
        int lane = 0, j;
#if LANES == 16
        for (; lane + 64 <= width; lane += 64) {
            j = 0;
            ROWS(4, 4) ROWS(4, 1)
        }
        for (; lane + 32 <= width; lane += 32) {
            j = 0;
            ROWS(2, 8) ROWS(2, 4) ROWS(2, 1)
        }
        for (; lane < width; lane += UNIT) {
            j = 0;
            ROWS(1, 8) ROWS(1, 4) ROWS(1, 1)
        }
#else
        for (; lane < width; lane += UNIT) {
            j = 0;
            ROWS(UNIT / LANES, 4) ROWS(UNIT / LANES, 1)
        }
#endif
    }
}

static void NAME(product)(const float *x, size_t far, const float *k, int n, int transposed,
                          float *y, int width, int add, walk w) {
    /* A distance that the compiler knows is part of an instruction. */
    if (transposed) NAME(product_of)(x, far, k, n, 1, n, y, width, add, w);
    else NAME(product_of)(x, far, k, n, n, 1, y, width, add, w);
}

/* === Gradients of kernels === */

enum { NAME(WIDE) = LANES == 4 ? 4 : LANES == 8 ? 2 : 1, NAME(TALL) = LANES == 16 ? 8 : 4 };

/* g[i, j] (+)= sum_b x[i, b] across[b, j] for TALL rows i and WIDE vectors of columns j. */
INLINE void NAME(outer_block)(const float *const *x, const float *across, size_t pitch, int width,
                              VF sums[NAME(TALL)][NAME(WIDE)]) {
    VF total[NAME(TALL)][NAME(WIDE)];
    _Pragma("GCC unroll 8") for (int i = 0; i < NAME(TALL); i++)
        _Pragma("GCC unroll 4") for (int v = 0; v < NAME(WIDE); v++) total[i][v] = (VF){0};
    for (int b = 0; b < width; b++, across += pitch) {
        VF columns[NAME(WIDE)];
        _Pragma("GCC unroll 4") for (int v = 0; v < NAME(WIDE); v++)
            columns[v] = NAME(get)(across + v * LANES);
        _Pragma("GCC unroll 8") for (int i = 0; i < NAME(TALL); i++)
            _Pragma("GCC unroll 4") for (int v = 0; v < NAME(WIDE); v++)
                total[i][v] += x[i][b] * columns[v];
    }
    _Pragma("GCC unroll 8") for (int i = 0; i < NAME(TALL); i++)
        _Pragma("GCC unroll 4") for (int v = 0; v < NAME(WIDE); v++) sums[i][v] = total[i][v];
}

/* Large kernels: outputs j side by side in a vector; `room`: width x n floats, n rounded up. */
INLINE void NAME(large_outer)(const float *x, const float *y, size_t far, int n, int width,
                              float *g, int add, float *room) {
    size_t pitch = (n + UNIT - 1) / UNIT * UNIT;
    for (int j = 0; j < (int)pitch; j += LANES)
        for (int b = 0; b < width; b += LANES) {
            VF v[LANES];
            _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++)
                v[r] = j + r < n ? NAME(get)(y + (j + r) * far + b) : (VF){0};
            NAME(transpose)(v);
            _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++)
                NAME(put)(room + (b + r) * pitch + j, v[r]);
        }
    for (int i = 0; i < n; i += NAME(TALL)) {
        const float *rows[NAME(TALL)];
        for (int r = 0; r < NAME(TALL); r++) rows[r] = x + NAME(least)(i + r, n - 1) * far;
        for (int j = 0; j < n; j += UNIT) {
            VF sums[NAME(TALL)][NAME(WIDE)];
            NAME(outer_block)(rows, room + j, pitch, width, sums);
            for (int r = 0; r < NAME(TALL) && i + r < n; r++)
                for (int v = 0; v < NAME(WIDE); v++) {
                    float *to = g + (size_t)(i + r) * n + j + v * LANES;
                    int some = NAME(least)(n - j - v * LANES, LANES);
                    if (add) sums[r][v] += NAME(get_some)(to, some);
                    if (some == LANES) NAME(put)(to, sums[r][v]);
                    else
                        for (int k = 0; k < some; k++) to[k] = sums[r][v][k];
                }
        }
    }
}

/* Small kernels: examples side by side in a vector, whose floats are added up at the end. */
INLINE void NAME(small_outer)(const float *x, const float *y, size_t far, int n, int width,
                              float *g, int add) {
    for (int i = 0; i < n; i += 4)
        for (int j = 0; j < n; j += 4) {
            VF sums[16];
            _Pragma("GCC unroll 16") for (int k = 0; k < 16; k++) sums[k] = (VF){0};
            const float *xs[4], *ys[4];
            for (int k = 0; k < 4; k++) {
                xs[k] = x + NAME(least)(i + k, n - 1) * far;
                ys[k] = y + NAME(least)(j + k, n - 1) * far;
            }
            for (int b = 0; b < width; b += LANES)
                _Pragma("GCC unroll 4") for (int u = 0; u < 4; u++) {
                    VF row = NAME(get)(xs[u] + b);
                    _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++)
                        sums[4 * u + k] += row * NAME(get)(ys[k] + b);
                }
            float all[16];
            for (int k = 0; k < 16; k += LANES) {
                NAME(transpose)(sums + k);
                VF total = sums[k];
                _Pragma("GCC unroll 16") for (int r = 1; r < LANES; r++) total += sums[k + r];
                NAME(put)(all + k, total);
            }
            for (int u = 0; u < 4 && i + u < n; u++)
                for (int k = 0; k < 4 && j + k < n; k++) {
                    float *to = g + (size_t)(i + u) * n + j + k;
                    *to = add ? *to + all[4 * u + k] : all[4 * u + k];
                }
        }
}

/* g[i, j] (+)= sum_b x[i, b] y[j, b]. */
static void NAME(outer)(const float *x, const float *y, size_t far, int n, int width, float *g,
                        int add, float *room, walk w) {
    for (; w.count > 0; w.count--, x += w.row, y += w.row, g += w.kernel)
        if (n >= UNIT) NAME(large_outer)(x, y, far, n, width, g, add, room);
        else NAME(small_outer)(x, y, far, n, width, g, add);
}

static const tile_math NAME(math) = {NAME(load_unit), NAME(store_unit), NAME(product), NAME(outer)};

#undef VF
#undef LOW
#undef HIGH
#undef EACH
#undef EXCHANGE
#undef ROWS
