/* Reads a plan from the integers that mdnn/native/axis_plan.py writes. */

enum { MOST_DIMS = 16, MOST_PASSES = 32 };

/* An axis, or several neighbouring ones, of the positions of an example. */
typedef struct {
    int64_t size, far;               /* floats from a position to the next */
    int64_t kernel[MOST_PASSES];     /* by pass of the sweep: floats to the next position's kernel */
} axis_dim;

typedef struct {
    int kernel, n, alone;            /* alone: no two positions have the same kernel */
} axis_pass;

/* One way over the array: tiles of all positions on the inner axes, and `chunk` on `last`. */
typedef struct {
    int passes, outer, inner, chunk, widest;     /* widest: the most examples of a tile */
    int64_t slices;                              /* that sweeps of a phase have in common */
    int pass[MOST_PASSES], own[MOST_PASSES];     /* own: the inner axis that a pass mixes */
    axis_dim outside[MOST_DIMS], inside[MOST_DIMS], last;
    int64_t tiles, positions;                    /* tiles in all, positions of a tile */
} axis_sweep;

typedef struct {
    int64_t positions;
    int kernels, passes, sweeps;
    int64_t elements[MOST_PASSES];               /* by kernel */
    axis_pass pass[MOST_PASSES];
    axis_sweep *sweep;
} axis_plan;

typedef struct {
    const int64_t *at, *end;
    int bad;
} plan_reader;

/* The next integer, from `low` to `high`. */
static int64_t next(plan_reader *r, int64_t low, int64_t high) {
    if (r->at >= r->end || *r->at < low || *r->at > high) {
        r->bad = 1;
        return low;
    }
    return *r->at++;
}

static void read_dim(plan_reader *r, axis_dim *d, int passes) {
    d->size = next(r, 1, INT32_MAX);
    d->far = next(r, 0, INT64_MAX);
    for (int k = 0; k < passes; k++) d->kernel[k] = next(r, 0, INT64_MAX);
}

/* Adds to `reach` the largest offsets along an axis: of positions, then of each pass's kernel. */
static void add_reach(const axis_dim *d, int passes, double *reach) {
    reach[0] += (double)(d->size - 1) * d->far;
    for (int k = 0; k < passes; k++) reach[1 + k] += (double)(d->size - 1) * d->kernel[k];
}

static void read_sweep(plan_reader *r, const axis_plan *plan, axis_sweep *s) {
    double reach[1 + MOST_PASSES] = {0};
    s->slices = next(r, 1, INT32_MAX);
    s->widest = UNIT * next(r, 1, MOST_UNITS);
    s->passes = next(r, 1, MOST_PASSES);
    for (int k = 0; k < s->passes; k++) s->pass[k] = next(r, 0, plan->passes - 1);
    s->tiles = s->positions = 1;
    s->outer = next(r, 0, MOST_DIMS);
    for (int k = 0; k < s->outer && !r->bad; k++) {
        read_dim(r, s->outside + k, s->passes);
        add_reach(s->outside + k, s->passes, reach);
        s->tiles *= s->outside[k].size;
    }
    s->inner = next(r, 1, MOST_DIMS);
    for (int k = 0; k < s->inner && !r->bad; k++) {
        read_dim(r, s->inside + k, s->passes);
        add_reach(s->inside + k, s->passes, reach);
        s->positions *= s->inside[k].size;
    }
    for (int k = 0; k < s->passes && !r->bad; k++) {
        s->own[k] = next(r, 0, s->inner - 1);
        const axis_dim *own = s->inside + s->own[k];
        if (!r->bad && (own->size != plan->pass[s->pass[k]].n || own->kernel[k])) r->bad = 1;
    }
    read_dim(r, &s->last, s->passes);
    add_reach(&s->last, s->passes, reach);
    s->chunk = next(r, 1, s->last.size);
    s->tiles *= (s->last.size + s->chunk - 1) / s->chunk;
    s->positions *= s->chunk;
    if (s->tiles % s->slices) r->bad = 1;
    if (reach[0] >= plan->positions || s->positions > INT32_MAX / 1024) r->bad = 1;
    for (int k = 0; k < s->passes && !r->bad; k++) {
        const axis_pass *p = plan->pass + s->pass[k];
        if (reach[1 + k] + (double)p->n * p->n > plan->elements[p->kernel]) r->bad = 1;
    }
}

static void plan_free(axis_plan *plan) {
    if (plan) free(plan->sweep);
    free(plan);
}

/* Returns NULL if the integers are not a plan whose every access is inside its arrays. */
static axis_plan *plan_new(const int64_t *numbers, int64_t count) {
    plan_reader r = {numbers, numbers + count, 0};
    axis_plan *plan = calloc(1, sizeof(axis_plan));
    if (!plan) return NULL;
    plan->positions = next(&r, 1, INT64_MAX);
    plan->kernels = next(&r, 1, MOST_PASSES);
    for (int k = 0; k < plan->kernels; k++) plan->elements[k] = next(&r, 1, INT64_MAX);
    plan->passes = next(&r, 1, MOST_PASSES);
    for (int k = 0; k < plan->passes && !r.bad; k++) {
        plan->pass[k].kernel = next(&r, 0, plan->kernels - 1);
        plan->pass[k].n = next(&r, 1, 1 << 20);
        plan->pass[k].alone = next(&r, 0, 1);
    }
    plan->sweeps = next(&r, 1, MOST_PASSES);
    if (!r.bad) plan->sweep = calloc(plan->sweeps, sizeof(axis_sweep));
    if (!plan->sweep) r.bad = 1;
    for (int k = 0; k < plan->sweeps && !r.bad; k++) read_sweep(&r, plan, plan->sweep + k);
    if (r.bad || r.at != r.end) {
        plan_free(plan);
        return NULL;
    }
    return plan;
}
