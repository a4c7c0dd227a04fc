/* Texts that run together, and their memory. */

typedef struct {
    int32_t *window;       /* [positions + 1, 4] */
    int32_t filled, done, written;
    mdnn_sampling sampling;
    float **caches, *hidden;
} text;

struct mdnn_group {
    const mdnn_plan *plan;
    const kernels *set;
    runner run;
    thread_choice choice;
    int texts, chunk, threads;
    text *text;
    entry *entries;
    /* Of the heads, for one step of all texts. */
    float *hidden, *logits, *scaled, *weights;
    size_t hidden_stride, logit_stride;
    int32_t *token, *classes;
    int *order, *head_of;
};

static int positions_of(const mdnn_plan *plan) { return plan->columns * plan->rows; }

MDNN_API void mdnn_group_free(mdnn_group *g) {
    if (!g) return;
    if (g->run.pool) pool_stop(g->run.pool);
    for (int k = 0; g->text && k < g->texts; k++) {
        text *t = g->text + k;
        for (int c = 0; t->caches && c < g->plan->caches; c++) free(t->caches[c]);
        free(t->caches);
        free(t->window);
        free(t->hidden);
    }
    for (int k = 0; g->run.registers && k < g->plan->registers; k++) free(g->run.registers[k]);
    for (int k = 0; g->run.scratch && k < g->threads; k++) free(g->run.scratch[k]);
    void *rest[] = {g->text, g->run.registers, g->run.scratch, g->run.bases, g->run.sums,
                    g->run.stride, g->run.places, g->entries, g->hidden, g->logits, g->scaled,
                    g->weights, g->token, g->classes, g->order, g->head_of};
    for (size_t k = 0; k < sizeof rest / sizeof *rest; k++) free(rest[k]);
    free(g);
}

static float *floats(size_t count) { return calloc(count ? count : 1, sizeof(float)); }

static int fill_group(mdnn_group *g) {
    const mdnn_plan *plan = g->plan;
    runner *run = &g->run;
    int most = g->chunk > g->texts ? g->chunk : g->texts;
    size_t largest = plan->largest + (size_t)positions_of(plan) + SLACK;
    run->plan = plan;
    run->pool = pool_new(g->threads);
    if (!run->pool) return 0;
    g->threads = run->pool->threads;
    run->registers = calloc(plan->registers, sizeof(float *));
    run->stride = calloc(plan->registers, sizeof(size_t));
    run->scratch = calloc(g->threads, sizeof(float *));
    run->bases = calloc(most, sizeof(float *));
    run->places = calloc(most, sizeof(int));
    if (!run->registers || !run->stride || !run->scratch || !run->bases || !run->places) return 0;
    size_t widest = plan->width;
    for (int k = 0; k < plan->registers; k++) {
        run->stride[k] = (size_t)plan->sizes[k] + SLACK;
        run->registers[k] = floats(run->stride[k] * most);
        if (!run->registers[k]) return 0;
        if ((size_t)plan->sizes[k] > widest) widest = plan->sizes[k];
    }
    size_t of_thread = (widest + SLACK) * most;
    if (of_thread < largest) of_thread = largest;
    for (int k = 0; k < g->threads; k++)
        if (!(run->scratch[k] = floats(of_thread))) return 0;
    run->sums = floats((widest + SLACK) * most);
    g->entries = calloc(most, sizeof(entry));
    g->hidden_stride = plan->width + SLACK;
    g->logit_stride = largest;
    g->hidden = floats(2 * g->hidden_stride * g->texts);
    g->logits = floats(g->logit_stride * g->texts);
    g->scaled = floats(largest);
    g->weights = floats(largest);
    g->token = calloc((size_t)g->texts * 4, sizeof(int32_t));
    g->classes = calloc((size_t)g->texts * 3, sizeof(int32_t));
    g->order = calloc(g->texts, sizeof(int));
    g->head_of = calloc(g->texts, sizeof(int));
    g->text = calloc(g->texts, sizeof(text));
    if (!run->sums || !g->entries || !g->hidden || !g->logits || !g->scaled || !g->weights ||
        !g->token || !g->classes || !g->order || !g->head_of || !g->text)
        return 0;
    for (int k = 0; k < g->texts; k++) {
        text *t = g->text + k;
        t->window = calloc(((size_t)positions_of(plan) + 1) * 4, sizeof(int32_t));
        t->hidden = floats(g->hidden_stride);
        t->caches = calloc(plan->caches + 1, sizeof(float *));
        if (!t->window || !t->hidden || !t->caches) return 0;
        /* Pages of a cache that no position has reached take no memory. */
        for (int c = 0; c < plan->caches; c++)
            if (!(t->caches[c] = floats(plan->cache_floats[c]))) return 0;
    }
    return 1;
}

MDNN_API mdnn_group *mdnn_group_new(const mdnn_plan *plan, int32_t texts, int32_t chunk,
                                    int32_t threads) {
    mdnn_group *g = calloc(1, sizeof(mdnn_group));
    if (!g) return NULL;
    g->plan = plan;
    g->set = kernel_set();
    g->texts = texts;
    g->chunk = chunk;
    g->threads = threads;
    if (fill_group(g)) return g;
    mdnn_group_free(g);
    return NULL;
}
