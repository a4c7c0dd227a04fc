/* The operations of a plan other than products, for one instruction set (see vector_math.h). */

static void NAME(norm)(const mdnn_op *op, const float *x, float *y) {
    int n = op->n, k = 0;
    const float *scale = op->extra, *shift = op->vector;
    float mean = 0, square = 0;
    if (op->flag) {
        VF total = {0};
        for (k = 0; k + LANES <= n; k += LANES) total += NAME(load)(x + k);
        mean = NAME(sum)(total);
        for (; k < n; k++) mean += x[k];
        mean /= n;
    }
    VF total = {0};
    for (k = 0; k + LANES <= n; k += LANES) {
        VF d = NAME(load)(x + k) - mean;
        total += d * d;
    }
    square = NAME(sum)(total);
    for (; k < n; k++) square += (x[k] - mean) * (x[k] - mean);
    float factor = 1.0f / sqrtf(square / n + op->alpha);
    for (k = 0; k + LANES <= n; k += LANES) {
        VF v = (NAME(load)(x + k) - mean) * factor;
        if (scale) v *= NAME(load)(scale + k);
        if (shift) v += NAME(load)(shift + k);
        NAME(store)(y + k, v);
    }
    for (; k < n; k++) {
        float v = (x[k] - mean) * factor;
        y[k] = v * (scale ? scale[k] : 1.0f) + (shift ? shift[k] : 0.0f);
    }
}

static void NAME(add)(float *y, const float *x, int n) {
    int k = 0;
    for (; k + LANES <= n; k += LANES) NAME(store)(y + k, NAME(load)(y + k) + NAME(load)(x + k));
    for (; k < n; k++) y[k] += x[k];
}

/* y += w[g] x for each group g of channels. */
INLINE void NAME(add_groups)(float *y, const float *x, const float *w, int groups, int each) {
    if (each == 1) {
        int k = 0;
        for (; k + LANES <= groups; k += LANES)
            NAME(store)(y + k, NAME(load)(y + k) + NAME(load)(w + k) * NAME(load)(x + k));
        for (; k < groups; k++) y[k] += w[k] * x[k];
        return;
    }
    for (int g = 0; g < groups; g++, y += each, x += each) {
        float factor = w[g];
        int k = 0;
        for (; k + LANES <= each; k += LANES)
            NAME(store)(y + k, NAME(load)(y + k) + factor * NAME(load)(x + k));
        for (; k < each; k++) y[k] += factor * x[k];
    }
}

/* What completed rows contribute to a row: `[columns, width]`. */
static void NAME(past_sum)(const mdnn_plan *plan, const mdnn_mix *mix, int row, int width,
                           const float *past, float *total) {
    int n = plan->columns, groups = mix->groups, each = width / groups;
    size_t of_row = (size_t)n * width;
    memset(total, 0, of_row * sizeof(float));
    for (int b = 0; b < mix->blocks; b++) {
        int columns = mix->between_columns[b];
        const float *z = past + b * of_row * plan->rows;
        for (int before = 0; before < row; before++) {
            const float *w = mix->between[b] +
                             ((size_t)row * plan->rows + before) * columns * groups;
            for (int c = 0; c < n; c++)
                NAME(add_groups)(total + (size_t)c * width, z + before * of_row + (size_t)c * width,
                                 columns > 1 ? w + (size_t)c * groups : w, groups, each);
        }
    }
}

/* Summarizes a completed row for later rows. */
static void NAME(finish_row)(const mdnn_plan *plan, const mdnn_mix *mix, int row, int width,
                             const float *current, float *past) {
    int n = plan->columns, groups = mix->groups, each = width / groups;
    size_t of_row = (size_t)n * width;
    for (int b = 0; b < mix->blocks; b++) {
        float *z = past + b * of_row * plan->rows + row * of_row;
        const float *inside = mix->inside[b];
        if (!inside) {
            memcpy(z, current, of_row * sizeof(float));
            continue;
        }
        if (mix->inside_kernels[b] > 1) inside += (size_t)row * n * n * groups;
        memset(z, 0, of_row * sizeof(float));
        for (int out = 0; out < n; out++)
            for (int in = 0; in < n; in++)
                NAME(add_groups)(z + (size_t)out * width, current + (size_t)in * width,
                                 inside + ((size_t)out * n + in) * groups, groups, each);
    }
}

/* The cache holds the inputs of the row, the sum of completed rows, and their summaries. */
static void NAME(mix)(const mdnn_plan *plan, const mdnn_op *op, int position, const float *x,
                      float *y, float *cache) {
    const mdnn_mix *mix = op->extra;
    int n = plan->columns, width = op->n, groups = mix->groups, each = width / groups;
    int row = position / n, column = position % n;
    float *current = cache, *total = cache + (size_t)n * width, *past = total;
    if (mix->blocks) past += (size_t)n * width;
    memcpy(current + (size_t)column * width, x, width * sizeof(float));
    if (mix->blocks && column == 0) NAME(past_sum)(plan, mix, row, width, past, total);
    if (mix->blocks) memcpy(y, total + (size_t)column * width, width * sizeof(float));
    else memset(y, 0, width * sizeof(float));
    if (mix->residual) NAME(add)(y, x, width);
    if (mix->row_kind == 1) {
        const float *w = mix->row + (mix->row_kernels > 1 ? (size_t)row * n * n * groups : 0);
        w += (size_t)column * n * groups;
        for (int c = 0; c <= column; c++)
            NAME(add_groups)(y, current + (size_t)c * width, w + (size_t)c * groups, groups, each);
    } else if (mix->row_kind == 2) {
        const float *w = mix->row +
                         (mix->row_kernels > 1 ? (size_t)row * mix->taps * groups : 0);
        int most = column + 1 < mix->taps ? column + 1 : mix->taps;
        for (int d = most - 1; d >= 0; d--)
            NAME(add_groups)(y, current + (size_t)(column - d) * width, w + (size_t)d * groups,
                             groups, each);
    }
    if (mix->diagonal) {
        int columns = mix->diagonal_columns;
        const float *w = mix->diagonal +
                         ((size_t)row * columns + (columns > 1 ? column : 0)) * groups;
        NAME(add_groups)(y, x, w, groups, each);
    }
    if (mix->blocks && column == n - 1) NAME(finish_row)(plan, mix, row, width, current, past);
}

static void NAME(rotate)(float *x, const float *cosines, const float *sines, int half) {
    int k = 0;
    for (; k + LANES <= half; k += LANES) {
        VF a = NAME(load)(x + k), b = NAME(load)(x + k + half);
        VF cosine = NAME(load)(cosines + k), sine = NAME(load)(sines + k);
        NAME(store)(x + k, a * cosine - b * sine);
        NAME(store)(x + k + half, a * sine + b * cosine);
    }
    for (; k < half; k++) {
        float a = x[k], b = x[k + half];
        x[k] = a * cosines[k] - b * sines[k];
        x[k + half] = a * sines[k] + b * cosines[k];
    }
}

/* Stores the key and the value of a position, and rotates its query in place.
 *
 * A sequence holds the positions that attend to each other: keys in blocks of 16 positions,
 * `[blocks, per_head, 16]` for each head of keys, values `[size, key_heads, per_head]`. */
static float *NAME(remember)(const mdnn_plan *plan, const mdnn_attention *a, int position,
                             float *x, float *cache, int *place) {
    int h = a->per_head, width = a->heads * h, keys = a->key_heads * h;
    int blocks = (a->size + 15) / 16;
    *place = position / a->stride % a->size;
    /* Each sequence has a place of its own: a chunk of positions may reach into several. */
    size_t floats = (size_t)(blocks * 16 + a->size) * keys;
    size_t sequence =
        position % a->stride + (size_t)(position / (a->stride * a->size)) * a->stride;
    float *base = cache + sequence * floats, *k = x + width, *v = k + keys;
    if (a->rotary) {
        const float *cosines = a->cosines + (size_t)*place * (h / 2);
        const float *sines = a->sines + (size_t)*place * (h / 2);
        for (int head = 0; head < a->heads; head++)
            NAME(rotate)(x + head * h, cosines, sines, h / 2);
        for (int head = 0; head < a->key_heads; head++)
            NAME(rotate)(k + head * h, cosines, sines, h / 2);
    }
    for (int head = 0; head < a->key_heads; head++) {
        float *block = base + ((size_t)head * blocks + *place / 16) * h * 16 + *place % 16;
        for (int c = 0; c < h; c++) block[c * 16] = k[head * h + c];
    }
    memcpy(base + (size_t)blocks * 16 * keys + (size_t)*place * keys, v, keys * sizeof(float));
    (void)plan;
    return base;
}

/* Attention of heads [from, to) of a position; `scores`: size + 16 floats. */
static void NAME(attend)(const mdnn_attention *a, int place, const float *x, const float *base,
                         float *y, int from, int to, float *scores) {
    int h = a->per_head, keys = a->key_heads * h, blocks = (a->size + 15) / 16;
    int share = a->heads / a->key_heads;
    for (int head = from; head < to; head++) {
        const float *q = x + head * h, *k = base + (size_t)(head / share) * blocks * h * 16;
        const float *v = base + (size_t)blocks * 16 * keys + head / share * h;
        for (int b = 0; b <= place / 16; b++, k += h * 16) {
            VF sums[Q];
            for (int p = 0; p < Q; p++) sums[p] = NAME(all)(0);
            for (int c = 0; c < h; c++)
                for (int p = 0; p < Q; p++)
                    sums[p] += NAME(load)(k + c * 16 + p * LANES) * q[c];
            for (int p = 0; p < Q; p++)
                NAME(store)(scores + b * 16 + p * LANES, sums[p] * a->scale);
        }
        for (int p = place + 1; p < (place / 16 + 1) * 16; p++) scores[p] = -1e30f;
        VF most = NAME(load)(scores), total = {0};
        int count = (place / 16 + 1) * 16;
        for (int p = 0; p < count; p += LANES) most = NAME(greater)(most, NAME(load)(scores + p));
        float largest = NAME(largest)(most);
        for (int p = 0; p < count; p += LANES) {
            VF e = NAME(exp)(NAME(load)(scores + p) - largest);
            NAME(store)(scores + p, e);
            total += e;
        }
        float *out = y + head * h, factor = 1.0f / NAME(sum)(total);
        int c = 0;
        for (; c + 2 * LANES <= h; c += 2 * LANES) {
            VF low = {0}, high = {0};
            for (int p = 0; p <= place; p++) {
                const float *one = v + (size_t)p * keys + c;
                low += scores[p] * NAME(load)(one);
                high += scores[p] * NAME(load)(one + LANES);
            }
            NAME(store)(out + c, low * factor);
            NAME(store)(out + c + LANES, high * factor);
        }
        for (; c < h; c++) {
            float one = 0;
            for (int p = 0; p <= place; p++) one += scores[p] * v[(size_t)p * keys + c];
            out[c] = one * factor;
        }
    }
}

/* One output of a matrix, the row of a table: `[n_in]`. */
static void table_row_of(const mdnn_matrix *m, int row, float *out);

static void NAME(embed)(const mdnn_plan *plan, const int32_t *token, int position, float *y,
                        float *scratch) {
    int width = plan->width;
    memset(y, 0, width * sizeof(float));
    for (int e = 0; e < plan->embeddings; e++) {
        const mdnn_embedding *one = plan->embedding + e;
        if (one->modality != token[0]) continue;
        for (int k = 0; k < one->tables; k++) {
            const mdnn_matrix *table = one->table + k;
            int64_t row = token[1 + k];
            for (int b = 1; b < one->joined; b++) row = row * 256 + token[1 + b];
            row = row < 0 ? 0 : row < table->n_out ? row : table->n_out - 1;
            const float *from = scratch;
            if (table->kind == MATRIX_ROWS) from = (const float *)table->codes + row * width;
            else table_row_of(table, (int)row, scratch);
            NAME(add)(y, from, width);
        }
        if (one->places) NAME(add)(y, one->places + (size_t)position * width, width);
        return;
    }
}

/* Adds a row of a table to a gate: y = x * (1 + row). */
static void NAME(condition)(const mdnn_matrix *table, int row, int width, const float *x, float *y,
                            float *scratch) {
    const float *from = scratch;
    if (table->kind == MATRIX_ROWS) from = (const float *)table->codes + (size_t)row * width;
    else table_row_of(table, row, scratch);
    int c = 0;
    for (; c + LANES <= width; c += LANES)
        NAME(store)(y + c, NAME(load)(x + c) * (1.0f + NAME(load)(from + c)));
    for (; c < width; c++) y[c] = x[c] * (1.0f + from[c]);
}

/* Turns logits into weights with the largest logit at 0: exp((logit - largest) / temperature). */
static float NAME(warm)(const float *logits, int classes, float temperature, float *scaled,
                        float *weights) {
    float largest = logits[0];
    int k = 0;
    if (classes >= LANES) {
        VF most = NAME(load)(logits);
        for (; k + LANES <= classes; k += LANES)
            most = NAME(greater)(most, NAME(load)(logits + k));
        largest = NAME(largest)(most);
    }
    for (; k < classes; k++) largest = logits[k] > largest ? logits[k] : largest;
    float divisor = temperature > 1e-30f ? temperature : 1e-30f;
    for (k = 0; k < classes; k += LANES) {
        /* The arrays have slack. */
        VF s = (NAME(load)(logits + k) - largest) / divisor;
        NAME(store)(scaled + k, s);
        NAME(store)(weights + k, NAME(exp)(s));
    }
    return largest;
}
