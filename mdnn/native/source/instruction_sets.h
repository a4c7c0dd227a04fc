/* The instruction sets: their names, what the processor has, and a source compiled for each.
 *
 * Before including this file, define SET_SOURCE as the name of a file. It is included once per set,
 * with LANES (floats of a vector) and NAME(x) (x with the set's suffix) defined. */

/* clang has no pragma for the target of the functions that follow. MDNN_PLAIN leaves them out. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(MDNN_PLAIN)
#define MDNN_X86 1
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")
#define LANES 16
#define NAME(x) x##_avx512
#include SET_SOURCE
#undef LANES
#undef NAME
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#define LANES 8
#define NAME(x) x##_avx2
#include SET_SOURCE
#undef LANES
#undef NAME
#pragma GCC pop_options
#endif

/* Vectors of 128 bits: NEON on ARM, SSE2 on x86, plain C elsewhere. */
#define LANES 4
#define NAME(x) x##_plain
#include SET_SOURCE
#undef LANES
#undef NAME

/* AVX512_VNNI is AVX512 with products of rounded numbers. */
enum { PLAIN, AVX2, AVX512, AVX512_VNNI };
static const char *const set_names[] = {"plain", "avx2", "avx512", "avx512vnni"};

/* An array of pointers to what SET_SOURCE defines as NAME(x), by set. */
#if MDNN_X86
#define EVERY_SET(x) {&x##_plain, &x##_avx2, &x##_avx512, &x##_avx512}
#else
#define EVERY_SET(x) {&x##_plain}
#endif

/* Whether there is a set, here and in the processor. */
static int has_set(int set) {
    if (set == PLAIN) return 1;
#if MDNN_X86
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
    if (set == AVX2) return 1;
    if (set == AVX512_VNNI && !__builtin_cpu_supports("avx512vnni")) return 0;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
    return 0;
#endif
}

/* The set of a name, at most `most`; -1 if there is none. */
static int set_of(const char *name, int most) {
    for (int set = PLAIN; set <= most; set++)
        if (!strcmp(name, set_names[set]) && has_set(set)) return set;
    return -1;
}

/* The best set that there is, at most `most`. */
static int best_set(int most) {
    while (!has_set(most)) most--;
    return most;
}

/* The name of a set for people. */
static const char *shown_set(int set) {
#if defined(__aarch64__)
    (void)set;
    return "neon";
#else
    return set_names[set];
#endif
}
