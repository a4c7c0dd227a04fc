/* Runs a plan for one instruction set. Included once per set by decoder.c. */
#include "vector_math.h"
#include "products.h"
#include "layers.h"

typedef struct {
    const mdnn_op *op;
    runner *run;
    const entry *entries;
    int count;
    atomic_int next;               /* panel of a product that no thread has taken */
} NAME(job);

static void NAME(share)(int total, int number, int threads, int *from, int *to) {
    *from = (int)((int64_t)total * number / threads);
    *to = (int)((int64_t)total * (number + 1) / threads);
}

/* Takes the next panels of a product: whole bundles, so that a thread that other programs hold up
 * takes fewer. Returns 0 after the last. */
static int NAME(take)(atomic_int *next, const mdnn_matrix *m, int threads, int *from, int *to) {
    const int panels = (m->n_out + PANEL - 1) / PANEL, bundles = (panels + BUNDLE - 1) / BUNDLE;
    const int each = threads == 1 ? panels : (bundles + 8 * threads - 1) / (8 * threads) * BUNDLE;
    *from = atomic_fetch_add_explicit(next, each, memory_order_relaxed);
    *to = *from + each < panels ? *from + each : panels;
    return *from < panels;
}

/* The part of an operation that one thread computes. Registers have slack for whole vectors. */
static void NAME(work)(void *context, int number, int threads) {
    NAME(job) *job = context;
    const mdnn_op *op = job->op;
    runner *run = job->run;
    const mdnn_plan *plan = run->plan;
    int count = job->count, from, to;
    size_t ds = run->stride[op->dst], ss = run->stride[op->src];
    float *dst = run->registers[op->dst] + op->dst_offset;
    float *src = run->registers[op->src] + op->src_offset;
    if (op->kind == OP_DENSE) {
        const mdnn_matrix *m = op->extra;
        while (NAME(take)(&job->next, m, threads, &from, &to))
            NAME(product)(m, from, to, src, ss, count, dst, ds, op->vector, run->sums,
                          run->scratch[number]);
        return;
    }
    if (op->kind == OP_ATTEND && count == 1) {
        const mdnn_attention *a = op->extra;
        NAME(share)(a->heads, number, threads, &from, &to);
        NAME(attend)(a, run->places[0], src, run->bases[0], dst, from, to, run->scratch[number]);
        return;
    }
    NAME(share)(count, number, threads, &from, &to);
    for (int t = from; t < to; t++) {
        float *y = dst + t * ds, *x = src + t * ss;
        int position = job->entries[t].position, n = op->n;
        const float *vector = op->vector;
        switch (op->kind) {
        case OP_EMBED:
            NAME(embed)(plan, job->entries[t].token, position, y, run->scratch[number]);
            break;
        case OP_NORM: NAME(norm)(op, x, y); break;
        case OP_ACTIVATE: NAME(activate)(op->activation, x, y, op->count, n); break;
        case OP_GATE: {
            const float *v = run->registers[op->other] + op->other_offset +
                             t * run->stride[op->other];
            NAME(activate)(op->activation, x, run->scratch[number], op->count, n);
            const float *u = run->scratch[number];
            for (int k = 0; k < n; k += LANES)
                NAME(store)(y + k, NAME(load)(u + k) * NAME(load)(v + k));
            break;
        }
        case OP_COPY: memmove(y, x, n * sizeof(float)); break;
        case OP_COMBINE:
            for (int k = 0; k < n; k += LANES)
                NAME(store)(y + k, op->alpha * NAME(load)(y + k) + op->beta * NAME(load)(x + k));
            break;
        case OP_FILL:
            memcpy(y, vector + (op->flag ? (size_t)position * n : 0), n * sizeof(float));
            break;
        case OP_TOWARDS:
            for (int k = 0; k < n; k += LANES) {
                VF old = NAME(load)(x + k);
                NAME(store)(y + k, old + op->alpha * (NAME(load)(y + k) - old));
            }
            break;
        case OP_POSITIONS: {
            const float *w = (const float *)op->extra + (size_t)position * n * n;
            memset(y, 0, n * sizeof(float));
            for (int i = 0; i < n; i++, w += n) {
                float factor = x[i];
                int k = 0;
                for (; k + LANES <= n; k += LANES)
                    NAME(store)(y + k, NAME(load)(y + k) + factor * NAME(load)(w + k));
                for (; k < n; k++) y[k] += factor * w[k];
            }
            break;
        }
        case OP_ATTEND: {
            const mdnn_attention *a = op->extra;
            NAME(attend)(a, run->places[t], x, run->bases[t], y, 0, a->heads,
                         run->scratch[number]);
            break;
        }
        default: break;
        }
    }
}

/* Pads inputs with zeros for words of codes; sums groups of inputs, for groups with a minimum; or
 * rounds the inputs. */
static void NAME(prepare)(const mdnn_matrix *m, float *x, size_t stride, int count, float *sums) {
    if (m->rounded) {
        for (int t = 0; t < count; t++)
            NAME(round_inputs)(m, x + t * stride, sums + t * rounded_stride(m));
        return;
    }
    if (m->kind == MATRIX_INT4 || m->kind == MATRIX_INT8)
        for (int t = 0; t < count; t++)
            for (int i = m->n_in; i % 8; i++) x[t * stride + i] = 0;
    if (!m->minima || m->scaling != SCALES_BY_INPUT) return;
    int groups = (m->n_in + m->group - 1) / m->group;
    for (int t = 0; t < count; t++)
        for (int g = 0; g < groups; g++) {
            int end = (g + 1) * m->group < m->n_in ? (g + 1) * m->group : m->n_in;
            float total = 0;
            for (int i = g * m->group; i < end; i++) total += x[t * stride + i];
            sums[(size_t)t * groups + g] = total;
        }
}

/* Runs all operations for `count` entries: positions of one text in order, or texts' positions. */
static void NAME(run)(runner *run, const entry *entries, int count) {
    const mdnn_plan *plan = run->plan;
    for (int k = 0; k < plan->ops; k++) {
        const mdnn_op *op = plan->op + k;
        NAME(job) job = {op, run, entries, count, 0};
        int64_t cost = (int64_t)op->n * count;
        if (op->kind == OP_MIX) {
            for (int t = 0; t < count; t++)
                NAME(mix)(plan, op, entries[t].position,
                          run->registers[op->src] + op->src_offset + t * run->stride[op->src],
                          run->registers[op->dst] + op->dst_offset + t * run->stride[op->dst],
                          entries[t].caches[op->cache]);
            continue;
        }
        if (op->kind == OP_DENSE) {
            const mdnn_matrix *m = op->extra;
            cost = (int64_t)m->n_in * m->n_out * count;
            float *x = run->registers[op->src] + op->src_offset;
            NAME(prepare)(m, x, run->stride[op->src], count, run->sums);
        } else if (op->kind == OP_ATTEND) {
            const mdnn_attention *a = op->extra;
            for (int t = 0; t < count; t++)
                run->bases[t] = NAME(remember)(
                    plan, a, entries[t].position,
                    run->registers[op->src] + op->src_offset + t * run->stride[op->src],
                    entries[t].caches[op->cache], run->places + t);
            cost = (int64_t)(run->places[count - 1] + 1) * op->n * count;
        } else if (op->kind == OP_POSITIONS) {
            cost *= op->n;
        }
        /* One position is divided among threads by its outputs or heads alone. */
        const int whole = count == 1 && op->kind != OP_DENSE && op->kind != OP_ATTEND;
        if (cost < 4096 || whole) NAME(work)(&job, 0, 1);
        else parallel(run->pool, NAME(work), &job);
    }
}

typedef struct {
    const mdnn_matrix *matrix;
    const float *x, *bias, *sums;
    size_t x_stride, y_stride;
    int count;
    float *y, **scratch;
    atomic_int next;
} NAME(dense_job);

static void NAME(dense_work)(void *context, int number, int threads) {
    NAME(dense_job) *job = context;
    int from, to;
    while (NAME(take)(&job->next, job->matrix, threads, &from, &to))
        NAME(product)(job->matrix, from, to, job->x, job->x_stride, job->count, job->y,
                      job->y_stride, job->bias, job->sums, job->scratch[number]);
}

static void NAME(dense)(pool *pool, const mdnn_matrix *m, float *x, size_t x_stride,
                        int count, float *y, size_t y_stride, const float *bias, float *sums,
                        float **scratch) {
    NAME(prepare)(m, x, x_stride, count, sums);
    NAME(dense_job) job = {m, x, bias, sums, x_stride, y_stride, count, y, scratch, 0};
    if ((int64_t)m->n_in * m->n_out * count < 4096) NAME(dense_work)(&job, 0, 1);
    else parallel(pool, NAME(dense_work), &job);
}

static const kernels NAME(set) = {NAME(run), NAME(dense), NAME(condition), NAME(warm)};

#undef Q
#undef VF
#undef VI
#undef INLINE
#undef TILE
#undef TILE_ARGUMENTS
#undef STORE_TILE
#undef CLEAR_TILE
#undef RUN
#undef SUM_OF
#undef SUM_OF_I8
#undef SUM_OF_I4
#undef WEIGHTS_F32
#undef WEIGHTS_F16
#undef ROUNDED_TILE
#undef ROUNDED_PANELS
#undef ROUNDED_ARGUMENTS
