/* Runs the sweeps of a plan, in shares of tiles that threads take. */

enum {
    SHARES = 8,                  /* the most threads of a call; sums do not depend on their number */
    TILE_BYTES = 832 * 1024,     /* of all tiles that are in use at once: fits the second cache */
    THREAD_WORK = 1 << 18        /* multiply-adds that are worth a thread */
};

typedef struct {
    const axis_plan *plan;
    const axis_sweep *sweep;     /* of this phase */
    int sweeps;
    const tile_math *math;
    int64_t batch;
    int transposed;              /* multiply by k[j, i] in place of k[i, j] */
    const float *x, *dy;         /* dy: gradients are computed, of x into y, of kernels */
    const float *const *kernels;
    float *y, *const *gradients; /* by kernel */
    float **sums;                /* by share: gradients of kernels that positions share */
    const int64_t *place;        /* by kernel: where its gradient is in `sums` */
    atomic_int failed;
} axis_work;

/* Rows of a tile of one width, and the runs of neighbouring positions in it. */
typedef struct {
    int width, chunk, blocks;
    int64_t far[MOST_DIMS + 1], floats;
    int32_t *rows, *first, *length;
    int64_t *offset;
} tile_layout;

typedef struct {
    size_t bytes;
    void *memory;
} scratch;

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_free(void *value) {
    scratch *s = value;
    if (s) free(s->memory);
    free(s);
}

static void scratch_make_key(void) { pthread_key_create(&scratch_key, scratch_free); }

/* Memory of this thread, the same in each call. */
static void *scratch_get(size_t bytes) {
    pthread_once(&scratch_once, scratch_make_key);
    scratch *s = pthread_getspecific(scratch_key);
    if (!s && (s = calloc(1, sizeof(scratch)))) pthread_setspecific(scratch_key, s);
    if (!s) return NULL;
    if (s->bytes < bytes) {
        free(s->memory);
        s->memory = NULL;
        s->bytes = posix_memalign(&s->memory, 64, bytes) ? 0 : bytes;
    }
    return s->bytes ? s->memory : NULL;
}

/* Sets the distances between the rows of a tile. Rows that a product takes together never lie a
 * power of two apart: these would fall on each other in the first cache. */
static void set_distances(tile_layout *l, const axis_sweep *s, int width) {
    int64_t far = width;
    l->width = width;
    l->far[s->inner] = far;
    far *= s->chunk;
    for (int k = s->inner - 1; k >= 0; k--) {
        if (far % (8 * width) == 0) far += width;
        l->far[k] = far;
        far *= s->inside[k].size;
    }
    l->floats = far + UNIT;
}

/* Fills the tables of a layout for `chunk` positions on the last axis. */
static void set_blocks(tile_layout *l, const axis_sweep *s, int chunk) {
    int64_t at[MOST_DIMS] = {0}, row = 0, offset = 0, expected = -1;
    int t = 0;
    l->chunk = chunk;
    l->blocks = 0;
    for (;;) {
        for (int q = 0; q < chunk; q++, t++) {
            l->rows[t] = row + q * l->far[s->inner];
            int last = l->blocks - 1;
            if (offset + q != expected || l->length[last] == UNIT) {
                last = l->blocks++;
                l->first[last] = t;
                l->length[last] = 0;
                l->offset[last] = offset + q;
            }
            l->length[last]++;
            expected = offset + q + 1;
        }
        int k = s->inner - 1;
        for (; k >= 0; k--) {
            row += l->far[k];
            offset += s->inside[k].far;
            if (++at[k] < s->inside[k].size) break;
            row -= l->far[k] * s->inside[k].size;
            offset -= s->inside[k].far * s->inside[k].size;
            at[k] = 0;
        }
        if (k < 0) return;
    }
}

static int fits(const axis_sweep *s, int width, int tiles) {
    tile_layout l;
    set_distances(&l, s, width);
    return tiles * l.floats * 4 <= TILE_BYTES;
}

static int width_of(int64_t examples, int widest) {
    int64_t units = (examples + UNIT - 1) / UNIT;
    for (int k = MOST_UNITS; k > 1; k /= 2)
        if (units >= k && widest >= k * UNIT) return k * UNIT;
    return UNIT;
}

typedef struct {
    axis_work *w;
    const axis_sweep *sweep;
    int share, widest;
    tile_layout layout[3];       /* of 1, 2 and 4 units */
    float *x, *dy, *y, *room;
} share_state;

static tile_layout *layout_for(share_state *t, int width, int chunk) {
    tile_layout *l = t->layout + (width == UNIT ? 0 : width == 2 * UNIT ? 1 : 2);
    if (l->width != width) {
        set_distances(l, t->sweep, width);
        l->chunk = 0;
    }
    if (l->chunk != chunk) set_blocks(l, t->sweep, chunk);
    return l;
}

/* Multiplies along the axis of one pass in a loaded tile. */
static void run_pass(share_state *t, int pass, int64_t kernel_at, const tile_layout *l, int add_y,
                     int add_gradient) {
    axis_work *w = t->w;
    const axis_sweep *s = t->sweep;
    const axis_pass *p = w->plan->pass + s->pass[pass];
    int own = s->own[pass], n = p->n;
    int64_t at[MOST_DIMS] = {0}, row = 0, kernel = kernel_at, far = l->far[own];
    int transposed = w->transposed != (w->dy != NULL);
    const float *weights = w->kernels[p->kernel], *source = w->dy ? t->dy : t->x;
    float *g = NULL;
    if (w->dy) g = p->alone ? w->gradients[p->kernel] : w->sums[t->share] + w->place[p->kernel];
    add_gradient |= !p->alone;
    const float *in = w->transposed ? t->dy : t->x, *out = w->transposed ? t->x : t->dy;
    /* The fastest axis beside the pass's own is walked by the arithmetic itself. */
    int fast = s->inner;
    walk along = {l->chunk, l->far[s->inner], s->last.kernel[pass]};
    if (l->chunk == 1 && s->inner > 1) {
        fast = own == s->inner - 1 ? own - 1 : s->inner - 1;
        along = (walk){s->inside[fast].size, l->far[fast], s->inside[fast].kernel[pass]};
    }
    for (;;) {
        if (w->y)
            w->math->product(source + row, far, weights + kernel, n, transposed, t->y + row,
                             l->width, add_y, along);
        if (g)
            w->math->outer(in + row, out + row, far, n, l->width, g + kernel, add_gradient,
                           t->room, along);
        int k = s->inner - 1;
        for (; k >= 0; k--) {
            if (k == own || k == fast) continue;
            row += l->far[k];
            kernel += s->inside[k].kernel[pass];
            if (++at[k] < s->inside[k].size) break;
            row -= l->far[k] * s->inside[k].size;
            kernel -= s->inside[k].kernel[pass] * s->inside[k].size;
            at[k] = 0;
        }
        if (k < 0) return;
    }
}

static void load_tile(const axis_work *w, const tile_layout *l, const float *from, int64_t count,
                      float *tile) {
    /* Few examples at a time: their lines often fall on each other in the caches. */
    for (int u = 0; u < l->width; u += UNIT)
        for (int k = 0; k < l->blocks; k++) {
            int64_t some = count - u < UNIT ? count - u : UNIT;
            w->math->load(from + u * w->plan->positions + l->offset[k], w->plan->positions, some,
                          l->length[k], tile + u, l->rows + l->first[k]);
        }
}

static void store_tile(const axis_work *w, const tile_layout *l, float *to, int64_t count,
                       const float *tile, int add) {
    for (int u = 0; u < l->width && u < count; u += UNIT)
        for (int k = 0; k < l->blocks; k++) {
            int64_t some = count - u < UNIT ? count - u : UNIT;
            w->math->store(to + u * w->plan->positions + l->offset[k], w->plan->positions, some,
                           l->length[k], tile + u, l->rows + l->first[k], add);
        }
}

static void run_tile(share_state *t, int64_t number) {
    axis_work *w = t->w;
    const axis_sweep *s = t->sweep;
    int64_t chunks = (s->last.size + s->chunk - 1) / s->chunk, start = number % chunks * s->chunk;
    int64_t offset = start * s->last.far, kernel[MOST_PASSES], left = number / chunks;
    int chunk = s->last.size - start < s->chunk ? s->last.size - start : s->chunk;
    for (int p = 0; p < s->passes; p++) kernel[p] = start * s->last.kernel[p];
    for (int k = s->outer - 1; k >= 0; k--) {
        int64_t at = left % s->outside[k].size;
        left /= s->outside[k].size;
        offset += at * s->outside[k].far;
        for (int p = 0; p < s->passes; p++) kernel[p] += at * s->outside[k].kernel[p];
    }
    int first = s == w->plan->sweep;
    for (int64_t b = 0; b < w->batch;) {
        int width = width_of(w->batch - b, t->widest);
        tile_layout *l = layout_for(t, width, chunk);
        int64_t at = b * w->plan->positions + offset;
        int64_t count = w->batch - b < width ? w->batch - b : width;
        load_tile(w, l, w->x + at, count, t->x);
        if (w->dy) load_tile(w, l, w->dy + at, count, t->dy);
        for (int p = 0; p < s->passes; p++) run_pass(t, p, kernel[p], l, p > 0, b > 0);
        if (w->y) store_tile(w, l, w->y + at, count, t->y, !first);
        b += count;
    }
}

static size_t table_bytes(const axis_sweep *s) {
    return (3 * sizeof(int32_t) + sizeof(int64_t)) * s->positions;
}

static int width_for(const axis_work *w, const axis_sweep *s) {
    int widest = UNIT;
    while (widest < s->widest && widest < w->batch && fits(s, 2 * widest, w->dy ? 3 : 2))
        widest *= 2;
    return widest;
}

/* Runs the tiles of a slice of a sweep. */
static int run_slice(axis_work *w, const axis_sweep *s, int share, int64_t from, int64_t to) {
    int tiles = w->dy ? 3 : 2, widest = width_for(w, s), n = 0;
    for (int p = 0; p < s->passes; p++)
        if (w->plan->pass[s->pass[p]].n > n) n = w->plan->pass[s->pass[p]].n;
    share_state t = {.w = w, .sweep = s, .share = share, .widest = widest};
    tile_layout widest_layout;
    set_distances(&widest_layout, s, widest);
    int64_t floats = (widest_layout.floats + UNIT - 1) / UNIT * UNIT, positions = s->positions;
    size_t room = (size_t)widest * ((n + UNIT - 1) / UNIT * UNIT), table = table_bytes(s);
    char *memory = scratch_get(4 * (tiles * floats + room) + 3 * table + 64);
    if (!memory) return 0;
    t.x = (float *)memory;
    t.y = t.x + floats;
    t.dy = t.y + floats;
    t.room = t.y + (tiles - 1) * floats;
    char *at = (char *)(t.room + room);
    for (int k = 0; k < 3; k++, at += table) {
        t.layout[k].offset = (int64_t *)at;
        t.layout[k].rows = (int32_t *)(at + sizeof(int64_t) * positions);
        t.layout[k].first = t.layout[k].rows + positions;
        t.layout[k].length = t.layout[k].first + positions;
    }
    for (int64_t k = from; k < to; k++) run_tile(&t, k);
    return 1;
}

/* Runs a share of a phase: slice by slice, which the sweeps of the phase then find in a cache. */
static void run_share(axis_work *w, int share) {
    int64_t slices = w->sweep->slices;
    int64_t whole = slices > 1 ? slices : w->sweep->tiles;
    int64_t from = whole * share / SHARES, to = whole * (share + 1) / SHARES;
    if (slices == 1) {
        if (from < to && !run_slice(w, w->sweep, share, from, to)) atomic_store(&w->failed, 1);
        return;
    }
    for (int64_t slice = from; slice < to; slice++)
        for (int k = 0; k < w->sweeps; k++) {
            int64_t tiles = w->sweep[k].tiles / slices;
            if (!run_slice(w, w->sweep + k, share, slice * tiles, (slice + 1) * tiles))
                atomic_store(&w->failed, 1);
        }
}

static void run_shares(void *context, int number, int threads) {
    for (int share = number; share < SHARES; share += threads) run_share(context, share);
}

/* === Threads === */

static pthread_mutex_t threads_mutex = PTHREAD_MUTEX_INITIALIZER;
static pool *threads_pool;
static atomic_int threads_wanted = 1;

/* A forked process has none of the threads. */
static void forget_threads(void) {
    threads_pool = NULL;
    pthread_mutex_init(&threads_mutex, NULL);
}

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void watch_forks(void) { pthread_atfork(NULL, NULL, forget_threads); }

/* Sets the largest number of threads of a call, the caller's among them. */
MDNN_API void mdnn_axis_threads(int32_t threads) {
    atomic_store(&threads_wanted, threads < 1 ? 1 : threads > SHARES ? SHARES : threads);
}

/* Runs a phase; calls that come while another one has the threads use their own alone. */
static void run_phase(axis_work *w) {
    int64_t work = 0;
    for (int k = 0; k < w->sweeps; k++)
        for (int p = 0; p < w->sweep[k].passes; p++)
            work += w->batch * w->plan->positions * w->plan->pass[w->sweep[k].pass[p]].n;
    int wanted = atomic_load(&threads_wanted);
    if (wanted == 1 || work < THREAD_WORK || pthread_mutex_trylock(&threads_mutex)) {
        run_shares(w, 0, 1);
        return;
    }
    if (threads_pool && threads_pool->threads != wanted) {
        pool_stop(threads_pool);
        threads_pool = NULL;
    }
    pthread_once(&fork_once, watch_forks);
    if (!threads_pool) threads_pool = pool_new(wanted);
    if (threads_pool) parallel(threads_pool, run_shares, w);
    else run_shares(w, 0, 1);
    pthread_mutex_unlock(&threads_mutex);
}

/* Sweeps of the same slices are a phase: a slice is run by all of them before the next one. */
static int run_sweeps(axis_work *w) {
    w->math = math_now();
    for (int k = 0; k < w->plan->sweeps; k += w->sweeps) {
        w->sweep = w->plan->sweep + k;
        w->sweeps = 1;
        while (w->sweep->slices > 1 && k + w->sweeps < w->plan->sweeps &&
               w->sweep[w->sweeps].slices == w->sweep->slices)
            w->sweeps++;
        run_phase(w);
    }
    return !atomic_load(&w->failed);
}

/* === Calls; they return 0 without memory === */

/* y = the sum of all passes of x. */
static int axis_products(const axis_plan *plan, int64_t batch, int transposed, const float *x,
                         const float *const *kernels, float *y) {
    axis_work w = {.plan = plan, .batch = batch, .transposed = transposed, .x = x, .kernels = kernels, .y = y};
    return run_sweeps(&w);
}

/* The gradients of `axis_products` by x (dx; none if NULL) and by the kernels. */
static int axis_gradients(const axis_plan *plan, int64_t batch, int transposed, const float *x,
                          const float *dy, const float *const *kernels, float *dx,
                          float *const *gradients) {
    int64_t place[MOST_PASSES], floats = 0;
    int shared[MOST_PASSES] = {0};
    for (int p = 0; p < plan->passes; p++) shared[plan->pass[p].kernel] |= !plan->pass[p].alone;
    for (int k = 0; k < plan->kernels; k++) {
        place[k] = floats;
        if (shared[k]) floats += (plan->elements[k] + UNIT - 1) / UNIT * UNIT;
    }
    float *sums[SHARES] = {0}, *memory = NULL;
    if (floats && !(memory = calloc((size_t)floats * SHARES, 4))) return 0;
    for (int k = 0; k < SHARES && memory; k++) sums[k] = memory + k * floats;
    axis_work w = {.plan = plan, .batch = batch, .transposed = transposed, .x = x, .dy = dy, .kernels = kernels, .y = dx,
                   .gradients = gradients, .sums = sums, .place = place};
    int done = run_sweeps(&w);
    for (int k = 0; k < plan->kernels; k++) {
        if (!batch) memset(gradients[k], 0, 4 * plan->elements[k]);
        else if (shared[k])
            for (int64_t e = 0; e < plan->elements[k]; e++) {
                float total = 0;
                for (int share = 0; share < SHARES; share++) total += sums[share][place[k] + e];
                gradients[k][e] = total;
            }
    }
    free(memory);
    return done;
}

/* For tests and measurements without TensorFlow or JAX. */
MDNN_API int32_t mdnn_axis_products(const int64_t *numbers, int64_t count, int64_t batch,
                                    int32_t transposed, const float *x,
                                    const float *const *kernels, float *y) {
    axis_plan *plan = plan_new(numbers, count);
    int done = plan && axis_products(plan, batch, transposed, x, kernels, y);
    plan_free(plan);
    return done;
}

MDNN_API int32_t mdnn_axis_gradients(const int64_t *numbers, int64_t count, int64_t batch,
                                     int32_t transposed, const float *x, const float *dy,
                                     const float *const *kernels, float *dx,
                                     float *const *gradients) {
    axis_plan *plan = plan_new(numbers, count);
    int done = plan && axis_gradients(plan, batch, transposed, x, dy, kernels, dx, gradients);
    plan_free(plan);
    return done;
}
