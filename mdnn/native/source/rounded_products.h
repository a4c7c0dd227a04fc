/* Products of codes by inputs rounded to 8 bits, in whole numbers, for one instruction set.
 *
 * Inputs are rounded in the groups of the weights: input = step * code, codes from -127 to 127. Sums
 * within a group are exact, so all instruction sets add up the same numbers. The rounding is that
 * of llama.cpp's Q8_1. */

#ifndef MDNN_ROUNDED_LAYOUT
#define MDNN_ROUNDED_LAYOUT
/* A rounded vector: the step of each group, the sum of its codes (both floats), the codes. */
static size_t rounded_stride(const mdnn_matrix *m) { return m->n_in; }

static const int8_t *rounded_codes(const mdnn_matrix *m, const float *rounded) {
    return (const int8_t *)(rounded + 2 * (size_t)(m->n_in / m->group));
}

/* Eight bytes, those at even places first. Processors here are little-endian. */
static inline uint64_t even_first(uint64_t word) {
    uint64_t even = word & 0x00ff00ff00ff00ff, odd = (word >> 8) & 0x00ff00ff00ff00ff;
    even = (even | even >> 8) & 0x0000ffff0000ffff;
    odd = (odd | odd >> 8) & 0x0000ffff0000ffff;
    even = (even | even >> 16) & 0xffffffff;
    odd = (odd | odd >> 16) & 0xffffffff;
    return even | odd << 32;
}
#endif

/* Rounds a vector. The codes of 8 inputs for MATRIX_INT4 are put as its words hold them: the
 * inputs of the low halves of the bytes, then those of the high halves. */
static void NAME(round_inputs)(const mdnn_matrix *m, const float *x, float *rounded) {
    const int groups = m->n_in / m->group, four = m->kind == MATRIX_INT4;
    float *steps = rounded, *totals = rounded + groups;
    int8_t *codes = (int8_t *)rounded_codes(m, rounded);
    for (int g = 0; g < groups; g++) {
        const float *from = x + g * m->group;
        VF most = {0};
        for (int i = 0; i < m->group; i += LANES)
            most = NAME(greater)(NAME(absolute)(NAME(load)(from + i)), most);
        const float top = NAME(largest)(most), factor = top > 0 ? 127 / top : 0;
        VI total = {0};
        int8_t *to = codes + (size_t)g * m->group;
        for (int i = 0; i < m->group; i += LANES) {
            /* Adding 1.5 * 2^23 rounds to the nearest whole number. */
            VI code = (VI)(NAME(load)(from + i) * factor + 12582912.0f) - 0x4b400000;
            total += code;
            NAME(vb) bytes = __builtin_convertvector(code, NAME(vb));
            memcpy(to + i, &bytes, sizeof bytes);
        }
        for (int i = 0; four && i < m->group; i += 8) {
            uint64_t word;
            memcpy(&word, to + i, 8);
            word = even_first(word);
            memcpy(to + i, &word, 8);
        }
        int sum = 0;
        for (int k = 0; k < LANES; k++) sum += total[k];
        steps[g] = top / 127;
        totals[g] = (float)sum;
    }
}

/* acc + the four products of bytes: codes of at most 15, or of at most 255, by four inputs. */
INLINE VI NAME(dot4)(VI acc, VI codes, const int8_t *x) {
#if LANES == 16 && defined(__AVX512BW__)
    int32_t four;
    memcpy(&four, x, 4);
    __m512i pairs = _mm512_maddubs_epi16((__m512i)codes, _mm512_set1_epi32(four));
    return acc + (VI)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#elif LANES == 8 && defined(__AVX2__)
    int32_t four;
    memcpy(&four, x, 4);
    __m256i pairs = _mm256_maddubs_epi16((__m256i)codes, _mm256_set1_epi32(four));
    return acc + (VI)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#else
    for (int k = 0; k < 4; k++) acc += ((codes >> (8 * k)) & 255) * (int32_t)x[k];
    return acc;
#endif
}

INLINE VI NAME(dot8)(VI acc, VI codes, const int8_t *x) {
#if LANES >= 8 && defined(__AVX2__)
    /* In halves: pairs of products of whole bytes exceed 16 bits. */
    VI high = {0};
    high = NAME(dot4)(high, (codes >> 4) & 0x0f0f0f0f, x);
    return NAME(dot4)(acc, codes & 0x0f0f0f0f, x) + (high << 4);
#else
    return NAME(dot4)(acc, codes, x);
#endif
}

#define ROUNDED_ARGUMENTS                                                                \
    const mdnn_matrix *m, int first, const float *rounded, float *y, size_t y_stride,    \
        const float *bias

/* The products of TT rounded vectors and NP panels from `first` on. */
#define ROUNDED_TILE(SUFFIX, TARGET, DOT4, DOT8, NP, TT)                                 \
    TARGET static void NAME(rounded_##NP##_##TT##SUFFIX)(ROUNDED_ARGUMENTS) {            \
        const int group = m->group, groups = m->n_in / group;                            \
        const int four = m->kind == MATRIX_INT4;                                         \
        const size_t row = row_size(m), step = row * bundle_width(m, first);             \
        const size_t stride = rounded_stride(m);                                         \
        const char *codes = panel_start(m, first);                                       \
        const float offset = four ? m->offset : 128;                                     \
        VF total[NP][TT][Q];                                                             \
        CLEAR_TILE(NP, TT, total)                                                        \
        for (int g = 0; g < groups; g++) {                                               \
            VI low[NP][TT][Q] = {0}, high[NP][TT][Q] = {0};                              \
            const int8_t *x = rounded_codes(m, rounded) + (size_t)g * group;             \
            for (int i = 0; four && i < group; i += 8, codes += step) {                  \
                _Pragma("GCC unroll 8") for (int p = 0; p < NP; p++)                     \
                    _Pragma("GCC unroll 8") for (int q = 0; q < Q; q++) {                \
                        VI words = *(const VI *)(codes + p * row + q * LANES * 4);       \
                        VI even = words & 0x0f0f0f0f, odd = (words >> 4) & 0x0f0f0f0f;   \
                        _Pragma("GCC unroll 16") for (int t = 0; t < TT; t++) {          \
                            const int8_t *own = x + t * stride * 4 + i;                  \
                            low[p][t][q] = DOT4(low[p][t][q], even, own);                \
                            high[p][t][q] = DOT4(high[p][t][q], odd, own + 4);           \
                        }                                                                \
                    }                                                                    \
            }                                                                            \
            for (int i = 0; !four && i < group; i += 4, codes += step) {                 \
                _Pragma("GCC unroll 8") for (int p = 0; p < NP; p++)                     \
                    _Pragma("GCC unroll 8") for (int q = 0; q < Q; q++) {                \
                        VI words = *(const VI *)(codes + p * row + q * LANES * 4) ^      \
                                   (int32_t)0x80808080;                                  \
                        _Pragma("GCC unroll 16") for (int t = 0; t < TT; t++)            \
                            low[p][t][q] = DOT8(low[p][t][q], words,                     \
                                                x + t * stride * 4 + i);                 \
                    }                                                                    \
            }                                                                            \
            _Pragma("GCC unroll 8") for (int p = 0; p < NP; p++)                         \
                _Pragma("GCC unroll 8") for (int q = 0; q < Q; q++) {                    \
                    size_t at = scale_index(m, first + p, g) + q * LANES;                \
                    VF scale = NAME(scale_at)(m, m->scales, at), least = {0};            \
                    if (m->minima) least = NAME(scale_at)(m, m->minima, at);             \
                    _Pragma("GCC unroll 16") for (int t = 0; t < TT; t++) {              \
                        const float *own = rounded + t * stride + g;                     \
                        VI sum = low[p][t][q] + high[p][t][q];                           \
                        VF v = __builtin_convertvector(sum, VF) - offset * own[groups];  \
                        total[p][t][q] += v * own[0] * scale;                            \
                        if (m->minima) total[p][t][q] += least * (own[0] * own[groups]); \
                    }                                                                    \
                }                                                                        \
        }                                                                                \
        STORE_TILE(NP, TT, total)                                                        \
    }

/* Panels [start, end) of `count` rounded vectors, a bundle at a time. */
#define ROUNDED_PANELS(SUFFIX, TARGET, DOT4, DOT8)                                       \
    ROUNDED_TILE(SUFFIX, TARGET, DOT4, DOT8, 1, 8)                                       \
    ROUNDED_TILE(SUFFIX, TARGET, DOT4, DOT8, 4, 1)                                       \
    ROUNDED_TILE(SUFFIX, TARGET, DOT4, DOT8, 1, 1)                                       \
    static void NAME(rounded_panels##SUFFIX)(const mdnn_matrix *m, int start, int end,   \
                                             const float *rounded, int count, float *y,  \
                                             size_t y_stride, const float *bias) {       \
        for (int first = start, stop; first < end; first = stop) {                       \
            stop = (first / BUNDLE + 1) * BUNDLE < end ? (first / BUNDLE + 1) * BUNDLE : end; \
            for (int t = 0; t < count;) {                                                \
                const float *own = rounded + t * rounded_stride(m);                      \
                float *to = y + t * y_stride;                                            \
                int p = first, many = count - t >= 8;                                    \
                for (; many && p < stop; p++)                                            \
                    NAME(rounded_1_8##SUFFIX)(m, p, own, to, y_stride, bias);            \
                for (; p + 4 <= stop; p += 4)                                            \
                    NAME(rounded_4_1##SUFFIX)(m, p, own, to, y_stride, bias);            \
                for (; p < stop; p++)                                                    \
                    NAME(rounded_1_1##SUFFIX)(m, p, own, to, y_stride, bias);            \
                t += many ? 8 : 1;                                                       \
            }                                                                            \
        }                                                                                \
    }

#if LANES == 16 && defined(__AVX512F__)
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))
VNNI INLINE VI NAME(dot_vnni)(VI acc, VI codes, const int8_t *x) {
    int32_t four;
    memcpy(&four, x, 4);
    return (VI)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)codes, _mm512_set1_epi32(four));
}
ROUNDED_PANELS(_vnni, VNNI, NAME(dot_vnni), NAME(dot_vnni))
#undef VNNI
#endif
ROUNDED_PANELS(_any, , NAME(dot4), NAME(dot8))

static void NAME(rounded_panels)(const mdnn_matrix *m, int start, int end, const float *rounded,
                                 int count, float *y, size_t y_stride, const float *bias) {
#if LANES == 16 && defined(__AVX512F__)
    if (use_vnni) {
        NAME(rounded_panels_vnni)(m, start, end, rounded, count, y, y_stride, bias);
        return;
    }
#endif
    NAME(rounded_panels_any)(m, start, end, rounded, count, y, y_stride, bias);
}
