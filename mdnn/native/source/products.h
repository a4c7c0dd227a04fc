/* Products of vectors by matrices, for one instruction set (see vector_math.h).
 *
 * Every output is summed over the inputs in the same order, whatever the number of vectors, of
 * panels side by side and of threads: a text does not depend on the others of its batch. */

/* The 16 weights of one input of a panel, as floats. */
#define WEIGHTS_F32(panel, q) NAME(load)((const float *)(panel) + (q) * LANES)
#define WEIGHTS_F16(panel, q) NAME(from_half)((const uint16_t *)(panel) + (q) * LANES)

/* Adds inputs [from, to) of NP panels and TT vectors to acc. */
#define SUM_OF(WEIGHTS, NP, TT)                                                          \
    for (int i = from; i < to; i++) {                                                    \
        VF w[NP][Q];                                                                     \
        _Pragma("GCC unroll 8") for (int p = 0; p < NP; p++)                             \
            _Pragma("GCC unroll 8") for (int q = 0; q < Q; q++)                          \
                w[p][q] = WEIGHTS(codes + (size_t)i * step + p * row, q);                \
        _Pragma("GCC unroll 16") for (int t = 0; t < TT; t++) {                          \
            VF one = NAME(all)(x[(size_t)t * x_stride + i]);                             \
            _Pragma("GCC unroll 8") for (int p = 0; p < NP; p++)                         \
                _Pragma("GCC unroll 8") for (int q = 0; q < Q; q++)                      \
                    acc[p][t][q] += w[p][q] * one;                                       \
        }                                                                                \
    }

INLINE VF NAME(scale_at)(const mdnn_matrix *m, const void *scales, size_t at) {
    if (m->wide) return NAME(load)((const float *)scales + at);
    return NAME(from_half)((const uint16_t *)scales + at);
}

INLINE VF NAME(nibbles)(VI words, int k, float offset, VF table) {
#if LANES == 16 && defined(__AVX512F__)
    (void)offset;
    return (VF)_mm512_permutexvar_ps(_mm512_srli_epi32((__m512i)words, 4 * k), (__m512)table);
#else
    (void)table;
    return __builtin_convertvector((words >> (4 * k)) & 15, VF) - offset;
#endif
}

#define SUM_OF_I8(NP, TT)                                                                \
    for (int i = from; i < to; i += 4) {                                                 \
        _Pragma("GCC unroll 8") for (int p = 0; p < NP; p++) {                           \
            _Pragma("GCC unroll 8") for (int q = 0; q < Q; q++) {                        \
                VI words = *(const VI *)(codes + (size_t)(i / 4) * step + p * row +      \
                                         q * LANES * 4);                                 \
                _Pragma("GCC unroll 8") for (int k = 0; k < 4; k++) {                    \
                    VF w = __builtin_convertvector((words << (24 - 8 * k)) >> 24, VF);   \
                    _Pragma("GCC unroll 16") for (int t = 0; t < TT; t++)                \
                        acc[p][t][q] += w * x[(size_t)t * x_stride + i + k];             \
                }                                                                        \
            }                                                                            \
        }                                                                                \
    }

#define SUM_OF_I4(NP, TT)                                                                \
    for (int i = from; i < to; i += 8) {                                                 \
        _Pragma("GCC unroll 8") for (int p = 0; p < NP; p++) {                           \
            _Pragma("GCC unroll 8") for (int q = 0; q < Q; q++) {                        \
                VI words = *(const VI *)(codes + (size_t)(i / 8) * step + p * row +      \
                                         q * LANES * 4);                                 \
                _Pragma("GCC unroll 8") for (int k = 0; k < 8; k++) {                    \
                    VF w = NAME(nibbles)(words, k, offset, table);                       \
                    _Pragma("GCC unroll 16") for (int t = 0; t < TT; t++)                \
                        acc[p][t][q] += w * x[(size_t)t * x_stride + i + k];             \
                }                                                                        \
            }                                                                            \
        }                                                                                \
    }

INLINE VF NAME(code_table)(float offset) {
    VF table = {0};
    for (int k = 0; k < LANES; k++) table[k] = k - offset;
    return table;
}

/* Stores the sums of a tile, with the bias. */
#define STORE_TILE(NP, TT, VALUES)                                                       \
    _Pragma("GCC unroll 8") for (int p = 0; p < NP; p++)                                 \
        _Pragma("GCC unroll 16") for (int t = 0; t < TT; t++)                            \
            _Pragma("GCC unroll 8") for (int q = 0; q < Q; q++) {                        \
                int at = (first + p) * PANEL + q * LANES;                                \
                VF v = VALUES[p][t][q];                                                  \
                if (bias) v += NAME(load)(bias + at);                                    \
                NAME(store)(y + (size_t)t * y_stride + at, v);                           \
            }

#define CLEAR_TILE(NP, TT, VALUES)                                                       \
    _Pragma("GCC unroll 8") for (int p = 0; p < NP; p++)                                 \
        _Pragma("GCC unroll 16") for (int t = 0; t < TT; t++)                            \
            _Pragma("GCC unroll 8") for (int q = 0; q < Q; q++)                          \
                VALUES[p][t][q] = NAME(all)(0);

#define TILE_ARGUMENTS                                                                   \
    const mdnn_matrix *m, int first, const float *x, size_t x_stride, float *y,          \
        size_t y_stride, const float *bias, const float *sums

/* The products of TT vectors and NP panels from `first` on; x is scaled if groups are of outputs. */
#define TILE(NP, TT)                                                                     \
    static void NAME(floats_##NP##_##TT)(TILE_ARGUMENTS) {                               \
        const int from = 0, to = m->n_in;                                                \
        const size_t row = row_size(m), step = row * bundle_width(m, first);             \
        const char *codes = panel_start(m, first);                                       \
        VF acc[NP][TT][Q];                                                               \
        (void)sums;                                                                      \
        CLEAR_TILE(NP, TT, acc)                                                          \
        SUM_OF(WEIGHTS_F32, NP, TT)                                                      \
        STORE_TILE(NP, TT, acc)                                                          \
    }                                                                                    \
    static void NAME(plain_##NP##_##TT)(TILE_ARGUMENTS) {                                \
        const int from = 0, to = m->n_in;                                                \
        const size_t row = row_size(m), step = row * bundle_width(m, first);             \
        const char *codes = panel_start(m, first);                                       \
        const float offset = m->offset;                                                  \
        VF acc[NP][TT][Q], table = NAME(code_table)(offset);                             \
        (void)sums;                                                                      \
        CLEAR_TILE(NP, TT, acc)                                                          \
        if (m->kind == MATRIX_FLOAT16) { SUM_OF(WEIGHTS_F16, NP, TT) }                   \
        else if (m->kind == MATRIX_INT8) { SUM_OF_I8(NP, TT) }                           \
        else { SUM_OF_I4(NP, TT) }                                                       \
        STORE_TILE(NP, TT, acc)                                                          \
    }                                                                                    \
    static void NAME(grouped_##NP##_##TT)(TILE_ARGUMENTS) {                              \
        const int n_in = m->n_in, group = m->group, groups = (n_in + group - 1) / group; \
        const size_t row = row_size(m), step = row * bundle_width(m, first);             \
        const char *codes = panel_start(m, first);                                       \
        const float offset = m->offset;                                                  \
        VF total[NP][TT][Q], acc[NP][TT][Q], table = NAME(code_table)(offset);           \
        CLEAR_TILE(NP, TT, total)                                                        \
        for (int g = 0; g < groups; g++) {                                               \
            const int from = g * group, to = from + group < n_in ? from + group : n_in;  \
            CLEAR_TILE(NP, TT, acc)                                                      \
            if (m->kind == MATRIX_INT8) { SUM_OF_I8(NP, TT) }                            \
            else { SUM_OF_I4(NP, TT) }                                                   \
            _Pragma("GCC unroll 8") for (int p = 0; p < NP; p++)                         \
                _Pragma("GCC unroll 8") for (int q = 0; q < Q; q++) {                    \
                    size_t at = scale_index(m, first + p, g) + q * LANES;                \
                    VF scale = NAME(scale_at)(m, m->scales, at);                         \
                    _Pragma("GCC unroll 16") for (int t = 0; t < TT; t++)                \
                        total[p][t][q] += acc[p][t][q] * scale;                          \
                    if (m->minima) {                                                     \
                        VF least = NAME(scale_at)(m, m->minima, at);                     \
                        _Pragma("GCC unroll 16") for (int t = 0; t < TT; t++)            \
                            total[p][t][q] += least * sums[(size_t)t * groups + g];      \
                    }                                                                    \
                }                                                                        \
        }                                                                                \
        STORE_TILE(NP, TT, total)                                                        \
    }                                                                                    \
    INLINE void NAME(tile_##NP##_##TT)(TILE_ARGUMENTS) {                                 \
        if (m->kind == MATRIX_FLOAT32)                                                   \
            NAME(floats_##NP##_##TT)(m, first, x, x_stride, y, y_stride, bias, sums);    \
        else if (m->scaling == SCALES_BY_INPUT)                                          \
            NAME(grouped_##NP##_##TT)(m, first, x, x_stride, y, y_stride, bias, sums);   \
        else                                                                             \
            NAME(plain_##NP##_##TT)(m, first, x, x_stride, y, y_stride, bias, sums);     \
    }

/* NP panels of one vector, and TT vectors at a time: as many sums as there are registers. */
#if LANES == 16
enum { NAME(together) = 8 };
TILE(4, 1)
TILE(2, 1)
TILE(2, 8)
TILE(1, 8)
TILE(1, 4)
#elif LANES == 8
enum { NAME(together) = 4 };
TILE(4, 1)
TILE(2, 1)
TILE(1, 4)
#else
enum { NAME(together) = 2 };
TILE(2, 1)
TILE(1, 2)
#endif
TILE(1, 1)

#define RUN(NP, TT) NAME(tile_##NP##_##TT)(m, p, xt, x_stride, yt, y_stride, bias, sums_t)

/* Panels [start, end) of `count` vectors. `sums` holds sums of groups of inputs, for minima. */
static void NAME(panels)(const mdnn_matrix *m, int start, int end, const float *x, size_t x_stride,
                         int count, float *y, size_t y_stride, const float *bias,
                         const float *sums) {
    int groups = m->scaling == SCALES_BY_INPUT ? (m->n_in + m->group - 1) / m->group : 0;
    /* One bundle at a time, so that it stays in the cache for all vectors. */
    for (int first = start, stop; first < end; first = stop) {
        stop = (first / BUNDLE + 1) * BUNDLE < end ? (first / BUNDLE + 1) * BUNDLE : end;
        for (int t = 0; t < count;) {
            int left = count - t, p = first, done = 1;
            const float *xt = x + t * x_stride, *sums_t = sums + (size_t)t * groups;
            float *yt = y + t * y_stride;
            if (left >= NAME(together)) {
                done = NAME(together);
#if LANES == 16
                for (; p + 2 <= stop; p += 2) RUN(2, 8);
                for (; p < stop; p++) RUN(1, 8);
            } else if (left >= 4) {
                done = 4;
                for (; p < stop; p++) RUN(1, 4);
#elif LANES == 8
                for (; p < stop; p++) RUN(1, 4);
#else
                for (; p < stop; p++) RUN(1, 2);
#endif
            } else {
#if LANES >= 8
                for (; p + 4 <= stop; p += 4) RUN(4, 1);
#endif
                for (; p + 2 <= stop; p += 2) RUN(2, 1);
                for (; p < stop; p++) RUN(1, 1);
            }
            t += done;
        }
    }
}

#include "rounded_products.h"

/* y = x times the matrix, for panels [start, end).
 *
 * `scratch`: count * (n_in + SLACK) floats, only used with groups of outputs. */
static void NAME(product)(const mdnn_matrix *m, int start, int end, const float *x,
                          size_t x_stride, int count, float *y, size_t y_stride,
                          const float *bias, const float *sums, float *scratch) {
    if (m->rounded) {
        NAME(rounded_panels)(m, start, end, sums, count, y, y_stride, bias);
        return;
    }
    if (m->scaling != SCALES_BY_OUTPUT) {
        NAME(panels)(m, start, end, x, x_stride, count, y, y_stride, bias, sums);
        return;
    }
    size_t stride = m->n_in + SLACK;
    int each = m->group / PANEL;
    for (int p = start; p < end;) {
        int group = p / each, stop = (group + 1) * each < end ? (group + 1) * each : end;
        size_t line = (size_t)group * m->n_in;
        for (int t = 0; t < count; t++) {
            const float *from = x + t * x_stride;
            float *to = scratch + t * stride;
            int i = 0;
            for (; i + LANES <= m->n_in; i += LANES)
                NAME(store)(to + i, NAME(load)(from + i) * NAME(scale_at)(m, m->scales, line + i));
            for (; i < m->n_in; i++) to[i] = from[i] * scale_of(m, m->scales, line + i);
            for (; i < (m->n_in + 7) / 8 * 8; i++) to[i] = 0;
        }
        NAME(panels)(m, p, stop, scratch, stride, count, y, y_stride, bias, sums);
        p = stop;
    }
}
