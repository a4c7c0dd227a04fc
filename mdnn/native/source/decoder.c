/* Runs text networks token by token; see plan.h.
 *
 * A group holds several texts, each with its caches. A step runs one position of each of them as
 * one product per layer; a prompt runs in chunks of positions. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#include "plan.h"
#include "threads.h"

#ifndef MDNN_SOURCES
#define MDNN_SOURCES 0
#endif

/* A position of a text to run. */
typedef struct {
    int32_t position;
    const int32_t *token;
    float **caches;
} entry;

/* What a run of the operations needs besides the plan. */
typedef struct {
    const mdnn_plan *plan;
    pool *pool;
    float **registers, **scratch, **bases, *sums;
    size_t *stride;
    int *places;
} runner;

typedef struct {
    void (*run)(runner *, const entry *, int count);
    void (*dense)(pool *, const mdnn_matrix *, float *x, size_t x_stride, int count,
                  float *y, size_t y_stride, const float *bias, float *sums, float **scratch);
    void (*condition)(const mdnn_matrix *, int row, int width, const float *x, float *y,
                      float *scratch);
    float (*warm)(const float *logits, int classes, float temperature, float *scaled,
                  float *weights);
} kernels;

#include "matrix_layout.h"

/* Whether rounded inputs are multiplied by AVX-512 VNNI. */
static int use_vnni;

/* === One set of kernels for each instruction set === */

#define SET_SOURCE "executor.h"
#include "instruction_sets.h"

static const kernels *const kernel_sets[] = EVERY_SET(set);
static int chosen_set = -1;

MDNN_API int32_t mdnn_use_set(const char *name) {
    int set = set_of(name, AVX512_VNNI);
    if (set < 0) return 0;
    chosen_set = set;
    use_vnni = set == AVX512_VNNI;
    return 1;
}

static const kernels *kernel_set(void) {
    if (chosen_set < 0) mdnn_use_set(set_names[best_set(AVX512_VNNI)]);
    return kernel_sets[chosen_set];
}

MDNN_API const char *mdnn_instruction_set(void) {
    kernel_set();
    return shown_set(chosen_set);
}

MDNN_API uint64_t mdnn_sources(void) { return MDNN_SOURCES; }

#include "sampling.h"

/* === Texts === */

#include "thread_choice.h"
#include "text_groups.h"

/* Runs positions [from, to) of a text's window; keeps the input of the heads of the last. */
static void run_positions(mdnn_group *g, text *t, int from, int to) {
    const mdnn_plan *plan = g->plan;
    while (from < to) {
        int count = to - from < g->chunk ? to - from : g->chunk;
        for (int k = 0; k < count; k++)
            g->entries[k] = (entry){from + k, t->window + (size_t)(from + k) * 4, t->caches};
        g->set->run(&g->run, g->entries, count);
        from += count;
        memcpy(t->hidden, g->run.registers[plan->hidden] +
               (size_t)(count - 1) * g->run.stride[plan->hidden], plan->width * sizeof(float));
    }
    t->done = to;
}

MDNN_API void mdnn_text_start(mdnn_group *g, int32_t number, const int32_t *tokens,
                              int32_t filled, const mdnn_sampling *sampling) {
    text *t = g->text + number;
    memcpy(t->window, tokens, (size_t)filled * 4 * sizeof(int32_t));
    t->filled = filled;
    t->done = t->written = 0;
    t->sampling = *sampling;
}

/* Replaces a full context by one that starts with its learned slots and its last tokens. */
static void next_context(mdnn_group *g, text *t) {
    int overlap = g->plan->overlap, slots = 0;
    while (slots < overlap && t->window[(size_t)slots * 4] >= SLOT) slots++;
    memmove(t->window + (size_t)slots * 4, t->window + (size_t)(t->filled - overlap + slots) * 4,
            (size_t)(overlap - slots) * 4 * sizeof(int32_t));
    t->filled = overlap;
    t->done = 0;
}

static void sanitize(const mdnn_plan *plan, int32_t *token) {
    if (token[0] == plan->text_modality && token[1] == 0 && token[2] / 8 == 0xD8 / 8) {
        token[2] = 0xFF;
        token[3] = 0xFD;
    }
    if (plan->words && token[0] == plan->word_modality) {
        int number = token[1] * 256 + token[2];
        if (number >= plan->words) number = plan->words - 1;
        token[1] = number / 256;
        token[2] = number % 256;
    }
}

/* Decides one step of the texts in `order`; the classes go to `classes[text * 3 + at]`. */
static void decide(mdnn_group *g, const mdnn_step *step, int count, int number, int at) {
    const mdnn_plan *plan = g->plan;
    float *x = g->hidden;
    for (int k = 0; k < count; k++) {
        text *t = g->text + g->order[k];
        float *own = x + k * g->hidden_stride;
        const float *from = t->hidden;
        for (int e = 0; e < step->given; e++) {
            g->set->condition(step->gates + e, g->classes[g->order[k] * 3 + e], plan->width, from,
                              own, g->run.scratch[0]);
            from = own;
        }
        if (!step->given) memcpy(own, from, plan->width * sizeof(float));
    }
    g->set->dense(g->run.pool, &step->kernel, x, g->hidden_stride, count, g->logits,
                  g->logit_stride, step->bias, g->run.sums, g->run.scratch);
    for (int k = 0; k < count; k++) {
        text *t = g->text + g->order[k];
        float u = uniform(t->sampling.seed, t->written, number);
        int chosen = sample_class(g->set, g->logits + k * g->logit_stride, step->classes, u,
                                  &t->sampling, g->scaled, g->weights);
        g->classes[g->order[k] * 3 + at] = chosen;
    }
}

static void write_column(const mdnn_step *step, int chosen, int32_t *token) {
    for (int b = step->joined - 1; b >= 0; b--) {
        token[step->column + b] = b ? chosen % 256 : chosen;
        chosen /= 256;
    }
}

/* Decodes the next token of the texts listed in `listed`. */
static void decode_tokens(mdnn_group *g, const int *listed, int count) {
    const mdnn_plan *plan = g->plan;
    int first = plan->kind_step != NULL;
    for (int k = 0; k < count; k++) g->head_of[listed[k]] = 0;
    if (first) {
        memcpy(g->order, listed, count * sizeof(int));
        decide(g, plan->kind_step, count, 0, 0);
        for (int k = 0; k < count; k++) g->head_of[listed[k]] = g->classes[listed[k] * 3];
    }
    for (int h = 0; h < plan->heads; h++) {
        const mdnn_head *head = plan->head + h;
        int members = 0;
        for (int k = 0; k < count; k++)
            if (g->head_of[listed[k]] == h) g->order[members++] = listed[k];
        if (!members) continue;
        for (int k = 0; k < members; k++) {
            int32_t *token = g->token + g->order[k] * 4;
            memset(token, 0, 4 * sizeof(int32_t));
            token[0] = head->modality;
        }
        for (int s = 0; s < head->steps; s++) {
            decide(g, head->step + s, members, first + s, s);
            for (int k = 0; k < members; k++)
                write_column(head->step + s, g->classes[g->order[k] * 3 + s],
                             g->token + g->order[k] * 4);
        }
    }
    for (int k = 0; k < count; k++) sanitize(plan, g->token + listed[k] * 4);
}

MDNN_API void mdnn_group_write(mdnn_group *g, int32_t count, const uint8_t *active, int32_t *out) {
    const mdnn_plan *plan = g->plan;
    int positions = positions_of(plan), members = 0;
    int *listed = malloc(g->texts * sizeof(int));
    if (!listed) return;
    for (int k = 0; k < g->texts; k++)
        if (active[k]) listed[members++] = k;
    for (int n = 0; n < count && members; n++) {
        int behind = 0, whole = 0;
        double start = now();
        choose_threads(&g->choice, g->run.pool);
        for (int k = 0; k < members; k++) {
            text *t = g->text + listed[k];
            if (t->filled > positions) next_context(g, t);
            if (t->filled - t->done > 1) {
                g->run.pool->active = g->choice.many ? g->run.pool->threads : 1;
                run_positions(g, t, t->done, t->filled);
                whole = 1;
            }
        }
        /* Texts that lack one position run together. */
        for (int k = 0; k < members; k++) {
            text *t = g->text + listed[k];
            if (t->filled > t->done) {
                g->order[behind] = listed[k];
                g->entries[behind++] = (entry){t->done, t->window + (size_t)t->done * 4, t->caches};
            }
        }
        if (behind) g->set->run(&g->run, g->entries, behind);
        for (int k = 0; k < behind; k++) {
            text *t = g->text + g->order[k];
            t->done = t->filled;
            memcpy(t->hidden, g->run.registers[plan->hidden] + k * g->run.stride[plan->hidden],
                   plan->width * sizeof(float));
        }
        decode_tokens(g, listed, members);
        for (int k = 0; k < members; k++) {
            text *t = g->text + listed[k];
            const int32_t *token = g->token + listed[k] * 4;
            memcpy(t->window + (size_t)t->filled * 4, token, 4 * sizeof(int32_t));
            memcpy(out + ((size_t)listed[k] * count + n) * 4, token, 4 * sizeof(int32_t));
            t->filled++;
            t->written++;
        }
        if (!whole) measured(&g->choice, g->run.pool, now() - start);
    }
    free(listed);
}

/* The scores of the steps of one target token, one after the other. */
static void score_target(mdnn_group *g, const float *hidden, const int32_t *target, float *scores) {
    const mdnn_plan *plan = g->plan;
    float *own = g->hidden, *logits = g->logits;
    size_t width = plan->width * sizeof(float);
    if (plan->kind_step) {
        memcpy(own, hidden, width);
        g->set->dense(g->run.pool, &plan->kind_step->kernel, own, g->hidden_stride, 1, logits,
                      g->logit_stride, plan->kind_step->bias, g->run.sums, g->run.scratch);
        memcpy(scores, logits, plan->kind_step->classes * sizeof(float));
        scores += plan->kind_step->classes;
    }
    for (int h = 0; h < plan->heads; h++) {
        int chosen[3] = {0, 0, 0};
        for (int s = 0; s < plan->head[h].steps; s++) {
            const mdnn_step *step = plan->head[h].step + s;
            memcpy(own, hidden, width);
            for (int e = 0; e < step->given; e++)
                g->set->condition(step->gates + e, chosen[e], plan->width, own, own,
                                  g->run.scratch[0]);
            g->set->dense(g->run.pool, &step->kernel, own, g->hidden_stride, 1, logits,
                          g->logit_stride, step->bias, g->run.sums, g->run.scratch);
            memcpy(scores, logits, step->classes * sizeof(float));
            scores += step->classes;
            int64_t value = target[step->column];
            for (int b = 1; b < step->joined; b++) value = value * 256 + target[step->column + b];
            chosen[s] = value < 0 ? 0 : value < step->classes ? (int)value : step->classes - 1;
        }
    }
}

MDNN_API void mdnn_evaluate(mdnn_group *g, const int32_t *tokens, const int32_t *targets,
                            int32_t count, float *hidden, float *scores, int32_t classes) {
    const mdnn_plan *plan = g->plan;
    text *t = g->text;
    memcpy(t->window, tokens, (size_t)count * 4 * sizeof(int32_t));
    for (int from = 0; from < count; from += g->chunk) {
        int some = count - from < g->chunk ? count - from : g->chunk;
        for (int k = 0; k < some; k++)
            g->entries[k] = (entry){from + k, t->window + (size_t)(from + k) * 4, t->caches};
        g->set->run(&g->run, g->entries, some);
        for (int k = 0; k < some; k++)
            memcpy(hidden + (size_t)(from + k) * plan->width,
                   g->run.registers[plan->hidden] + k * g->run.stride[plan->hidden],
                   plan->width * sizeof(float));
    }
    for (int k = 0; scores && k < count; k++)
        score_target(g, hidden + (size_t)k * plan->width, targets + (size_t)k * 4,
                     scores + (size_t)k * classes);
}

MDNN_API void mdnn_product(const mdnn_matrix *m, const float *x, int32_t count, float *y,
                           int32_t threads) {
    size_t x_stride = (size_t)m->n_in + SLACK, y_stride = (size_t)m->n_out + SLACK;
    pool *p = pool_new(threads);
    float *from = floats(x_stride * count), *to = floats(y_stride * count);
    float *sums = floats(x_stride * count), **scratch = calloc(threads, sizeof(float *));
    int ready = p && from && to && sums && scratch;
    for (int k = 0; ready && k < threads; k++)
        if (!(scratch[k] = floats(x_stride * count))) ready = 0;
    if (ready) {
        for (int t = 0; t < count; t++)
            memcpy(from + t * x_stride, x + (size_t)t * m->n_in, m->n_in * sizeof(float));
        kernel_set()->dense(p, m, from, x_stride, count, to, y_stride, NULL, sums, scratch);
        for (int t = 0; t < count; t++)
            memcpy(y + (size_t)t * m->n_out, to + t * y_stride, m->n_out * sizeof(float));
    }
    for (int k = 0; scratch && k < threads; k++) free(scratch[k]);
    free(scratch);
    free(from);
    free(to);
    free(sums);
    if (p) pool_stop(p);
}

#include "panel_packing.h"

#ifdef MDNN_PYTHON_MODULE
/* As setup.py builds it, the library is also an importable module, without contents. */
#include <Python.h>

static struct PyModuleDef module_of_library = {PyModuleDef_HEAD_INIT, "_decoder", NULL, -1};

PyMODINIT_FUNC PyInit__decoder(void) { return PyModule_Create(&module_of_library); }
#endif
