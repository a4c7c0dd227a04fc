/* Vectors of one instruction set, and functions of them. Included once per instruction set, with
 * LANES (floats of a vector) and NAME(x) (a suffix) defined. Compilers' vector extensions make
 * the same source run on AVX-512, AVX2, NEON and anything else. */

enum { NAME(Q) = PANEL / LANES };
#define Q NAME(Q)
#define VF NAME(vf)
#define VI NAME(vi)

typedef float VF __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t VI __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t NAME(vh) __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef int8_t NAME(vb) __attribute__((vector_size(LANES), aligned(1), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE VF NAME(load)(const float *p) { return *(const VF *)p; }
INLINE void NAME(store)(float *p, VF v) { *(VF *)p = v; }
INLINE VF NAME(all)(float x) { VF zero = {0}; return x - zero; }

INLINE VF NAME(choose)(VI mask, VF a, VF b) {
    return (VF)(((VI)a & mask) | ((VI)b & ~mask));
}

INLINE VF NAME(greater)(VF a, VF b) { return NAME(choose)((VI)(a > b), a, b); }
INLINE VF NAME(lesser)(VF a, VF b) { return NAME(choose)((VI)(a < b), a, b); }

INLINE VF NAME(from_half)(const uint16_t *p) {
#if LANES == 16 && defined(__AVX512F__)
    return (VF)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#elif LANES == 8 && defined(__F16C__)
    return (VF)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
#else
    VI bits = __builtin_convertvector(*(const NAME(vh) *)p, VI);
    VF value = (VF)((bits & 0x7fff) << 13) * 0x1p112f;
    return (VF)((VI)value | ((bits & 0x8000) << 16));
#endif
}

INLINE float NAME(sum)(VF v) {
    float total = 0;
    for (int k = 0; k < LANES; k++) total += v[k];
    return total;
}

INLINE float NAME(largest)(VF v) {
    float most = v[0];
    for (int k = 1; k < LANES; k++) most = v[k] > most ? v[k] : most;
    return most;
}

/* exp, to 2 units in the last place; 0 below -87.3. Cephes' polynomial. */
INLINE VF NAME(exp)(VF x) {
    VI tiny = (VI)(x < -87.3f);
    x = NAME(lesser)(NAME(greater)(x, NAME(all)(-87.3f)), NAME(all)(88.3f));
    VF n = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f;
    VF r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    VF p = NAME(all)(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    VI power = (__builtin_convertvector(n, VI) + 127) << 23;
    return NAME(choose)(tiny, NAME(all)(0), p * (VF)power);
}

INLINE VF NAME(sigmoid)(VF x) { return 1.0f / (1.0f + NAME(exp)(-x)); }
INLINE VF NAME(tanh)(VF x) { return 1.0f - 2.0f / (NAME(exp)(2.0f * x) + 1.0f); }
INLINE VF NAME(absolute)(VF x) { return (VF)((VI)x & 0x7fffffff); }

/* erf, to 1.5e-7: Abramowitz and Stegun, 7.1.26. */
INLINE VF NAME(erf)(VF x) {
    VF a = NAME(absolute)(x), t = 1.0f / (1.0f + 0.3275911f * a);
    VF p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    VF y = 1.0f - p * t * NAME(exp)(-(a * a));
    return (VF)((VI)y | ((VI)x & (int32_t)0x80000000));
}

INLINE VF NAME(activation)(int kind, VF x) {
    VF zero = {0}, small = NAME(lesser)(x, zero);
    switch (kind) {
    case ACT_SILU: return x * NAME(sigmoid)(x);
    case ACT_SIGMOID: return NAME(sigmoid)(x);
    case ACT_RELU: return NAME(greater)(x, zero);
    case ACT_GELU: return 0.5f * x * (1.0f + NAME(erf)(x * 0.70710678118654752f));
    case ACT_GELU_TANH:
        return 0.5f * x * (1.0f + NAME(tanh)(0.7978845608f * (x + 0.044715f * x * x * x)));
    case ACT_TANH: return NAME(tanh)(x);
    case ACT_ABSOLUTE: return NAME(absolute)(x);
    case ACT_MELU: return x * NAME(exp)(small);
    case ACT_LEAKY_RELU: return NAME(greater)(x, zero) + 0.2f * small;
    case ACT_ELU: return NAME(choose)((VI)(x > zero), x, NAME(exp)(small) - 1.0f);
    case ACT_HARD_TANH: return NAME(lesser)(NAME(greater)(x, NAME(all)(-1)), NAME(all)(1));
    default: return x;
    }
}

/* Activates `count` of `n` values and copies the others. `y` may be `x`. */
static void NAME(activate)(int kind, const float *x, float *y, int count, int n) {
    int k = 0;
    if (kind == ACT_SORT2) {
        for (; k + 1 < count; k += 2) {
            float a = x[k], b = x[k + 1];
            y[k] = a < b ? a : b;
            y[k + 1] = a < b ? b : a;
        }
    } else {
        for (; k + LANES <= count; k += LANES)
            NAME(store)(y + k, NAME(activation)(kind, NAME(load)(x + k)));
        if (k < count) {
            float rest[LANES] = {0};
            memcpy(rest, x + k, (count - k) * sizeof(float));
            NAME(store)(rest, NAME(activation)(kind, NAME(load)(rest)));
            memcpy(y + k, rest, (count - k) * sizeof(float));
            k = count;
        }
    }
    if (y != x) memcpy(y + k, x + k, (n - k) * sizeof(float));
}
