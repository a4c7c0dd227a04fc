/* The interface of the native decoder: what Python hands over, and the functions that it calls.
 *
 * Python lowers a network to a flat plan: a list of operations on registers, arrays of floats of
 * one position. The structures below are mirrored by ctypes in mdnn/kernels/structures.py; change
 * both together. All pointers stay the property of Python and must outlive the plan. */
#ifndef MDNN_PLAN_H
#define MDNN_PLAN_H

#include <stdint.h>

enum { PANEL = 16, BUNDLE = 4 };   /* outputs of a panel of a matrix; panels of a bundle */
enum { SLACK = 64 };       /* floats that a register has beyond its size, zeros at first */

/* Storage of a matrix `[n_in, n_out]`: `[bundles, n_in, panels, 16]`. A panel is 16 outputs, a bundle
 * 4 panels (the last bundle what remains), so that a product reads one bundle after another from
 * one end to the other. Missing outputs and inputs are zeros.
 * MATRIX_INT8, MATRIX_INT4: words of 32 bits, one per output, hold the codes of 4 or 8 inputs,
 * lowest bits first.
 * MATRIX_ROWS: float32 `[n_out, n_in]`, for tables that are read row by row. */
enum { MATRIX_FLOAT32, MATRIX_FLOAT16, MATRIX_INT8, MATRIX_INT4, MATRIX_ROWS };

/* Scales of codes, float16 or float32: none; `[bundles, n_in / group, panels, 16]`, for groups
 * of inputs of one output; `[n_out / group, n_in]`, for groups of outputs of one input. */
enum { SCALES_NONE, SCALES_BY_INPUT, SCALES_BY_OUTPUT };

typedef struct {
    int32_t kind, n_in, n_out, scaling, group, wide;   /* wide: scales are float32 */
    float offset;              /* subtracted from the codes of MATRIX_INT4 */
    int32_t rounded;           /* with groups of inputs: products round the inputs to 8 bits */
    const void *codes, *scales;
    const void *minima;        /* added to codes times scales; the layout of the scales; or NULL */
} mdnn_matrix;

enum {
    OP_EMBED,      /* dst = embedding of the token */
    OP_NORM,       /* dst = norm of src; extra: scale and shift; flag 0: RMS, 1: layer norm */
    OP_DENSE,      /* dst = src times matrix, plus bias */
    OP_ACTIVATE,   /* dst = activation of src, of its first `count` values */
    OP_GATE,       /* dst = activation(src) * other */
    OP_COPY,       /* dst = src */
    OP_COMBINE,    /* dst = alpha dst + beta src */
    OP_FILL,       /* dst = vector, at every position, or one per position with flag 1 */
    OP_MIX,        /* dst = weighted sum of src over earlier positions */
    OP_POSITIONS,  /* dst = src times a matrix of the position, float32 [positions, n, n] */
    OP_ATTEND,     /* dst = attention; src holds queries, keys and values */
    OP_TOWARDS,    /* dst = src + alpha (dst - src) */
    OP_COUNT
};

enum {
    ACT_NONE, ACT_SILU, ACT_SIGMOID, ACT_RELU, ACT_GELU, ACT_TANH, ACT_ABSOLUTE, ACT_MELU,
    ACT_LEAKY_RELU, ACT_ELU, ACT_HARD_TANH, ACT_SORT2, ACT_GELU_TANH, ACT_SOFTPLUS, ACT_COUNT
};

typedef struct {
    int32_t kind, n;                 /* n: values of dst */
    int32_t dst, dst_offset, src, src_offset, other, other_offset;
    int32_t activation, count, flag, cache;
    float alpha, beta;
    const void *extra;               /* mdnn_matrix, mdnn_mix, mdnn_attention or floats */
    const float *vector;             /* bias, shift or vector */
} mdnn_op;

enum { MOST_BLOCKS = 8 };

/* Weighted sum over earlier positions; see mdnn/layers/mixing/linear_mix_cache.py. */
typedef struct {
    int32_t groups, residual;
    int32_t row_kind;                /* 0: none, 1: a weight per pair of columns, 2: by distance */
    int32_t row_kernels, taps;       /* kernels: 1 or rows; taps: distances, with row_kind 2 */
    const float *row;                /* [kernels, n, n, groups] (out, in) or [kernels, taps, groups] */
    int32_t diagonal_columns, blocks;
    const float *diagonal;           /* [rows, 1 or n, groups] or NULL */
    int32_t inside_kernels[MOST_BLOCKS], between_columns[MOST_BLOCKS];
    const float *inside[MOST_BLOCKS];    /* [kernels, n, n, groups] (out, in) or NULL */
    const float *between[MOST_BLOCKS];   /* [rows, rows, columns, groups] (out, in) */
} mdnn_mix;

typedef struct {
    int32_t heads, key_heads, per_head, rotary;
    int32_t size, stride;            /* of the mixed axis, in positions; stride 1: the fastest */
    float scale;
    int32_t reserved;
    const float *cosines, *sines;    /* [size, per_head / 2] */
} mdnn_attention;

/* The modality of learned slots at a context's start. */
#define SLOT 16

/* The embedding of the tokens of one modality: the sum of one row of each table. */
typedef struct {
    int32_t modality, tables, joined, reserved;   /* joined: bytes of the index of the only table */
    mdnn_matrix table[3];
    const float *places;             /* [positions, width] or NULL */
} mdnn_embedding;

/* One decoding step of a token: scores, conditioned on the classes of earlier steps. */
typedef struct {
    int32_t classes, given, column, joined;
    mdnn_matrix kernel;
    const float *bias;
    mdnn_matrix gates[3];
} mdnn_step;

typedef struct {
    int32_t modality, steps;
    mdnn_step step[3];
} mdnn_head;

typedef struct {
    int32_t width, columns, rows, overlap, words;
    int32_t registers, ops, caches, embeddings, heads;
    int32_t hidden, text_modality, word_modality, largest;  /* largest: classes, values of a step */
    const int32_t *sizes;            /* floats of each register */
    const mdnn_op *op;
    const int64_t *cache_floats;
    const mdnn_embedding *embedding;
    const mdnn_step *kind_step;      /* the step of the modality, or NULL with one modality */
    const mdnn_head *head;
} mdnn_plan;

typedef struct {
    int32_t seed, top_k;
    float temperature, top_p;
} mdnn_sampling;

typedef struct mdnn_group mdnn_group;

#if defined(__GNUC__) && !defined(_WIN32)
#define MDNN_API __attribute__((visibility("default")))
#else
#define MDNN_API
#endif

/* Returns the number that the library was built with, a hash of its sources. */
MDNN_API uint64_t mdnn_sources(void);
/* Returns the instruction set in use. `mdnn_use_set` chooses one by name; 0 if it is missing. */
MDNN_API const char *mdnn_instruction_set(void);
MDNN_API int32_t mdnn_use_set(const char *name);

/* Returns texts that are continued together, or NULL without memory. */
MDNN_API mdnn_group *mdnn_group_new(const mdnn_plan *plan, int32_t texts, int32_t chunk,
                                    int32_t threads);
MDNN_API void mdnn_group_free(mdnn_group *group);
/* Starts a text with a prompt, `tokens` int32 `[filled, 4]` (modality and bytes). */
MDNN_API void mdnn_text_start(mdnn_group *group, int32_t text, const int32_t *tokens,
                              int32_t filled, const mdnn_sampling *sampling);
/* Continues the texts whose `active` is not 0 by `count` tokens, `out` int32 `[texts, count, 4]`. */
MDNN_API void mdnn_group_write(mdnn_group *group, int32_t count, const uint8_t *active,
                               int32_t *out);
/* Computes the inputs of the heads `[count, width]` and, unless NULL, the scores `[count, classes]`
 * of the steps of `targets`, for the first `count` positions of a context. */
MDNN_API void mdnn_evaluate(mdnn_group *group, const int32_t *tokens, const int32_t *targets,
                            int32_t count, float *hidden, float *scores, int32_t classes);
/* Multiplies `x` `[count, n_in]` by a matrix, for tests. */
MDNN_API void mdnn_product(const mdnn_matrix *matrix, const float *x, int32_t count, float *y,
                           int32_t threads);
/* Packs codes of 4 bits as weights files hold them, into the words of MATRIX_INT4, which are zeros:
 * `[n_out, n_in / group, group / 2]`, a group's first half in the low bits of its bytes, its
 * second half in the high ones. `group`: a multiple of 16 that divides n_in. */
MDNN_API void mdnn_pack_halves(const uint8_t *rows, int32_t n_in, int32_t n_out, int32_t group,
                               uint32_t *words, int32_t threads);
/* Lays out items of 2 or 4 bytes `[n_out, lines]`: scales, or words of 4 codes of 8 bits, as
 * `[bundles, lines, panels, 16]`. `out` holds zeros. */
MDNN_API void mdnn_pack_lines(const void *rows, int32_t size, int32_t lines, int32_t n_out,
                              void *out, int32_t threads);
/* Packs codes `[n_in, n_out]` of 4 bits, a byte each, into the words of MATRIX_INT4. */
MDNN_API void mdnn_pack_int4(const uint8_t *codes, int32_t n_in, int32_t n_out, uint32_t *words);

#endif
