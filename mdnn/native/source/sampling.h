/* The choice of a class from logits: the rule of mdnn/generation/sampling.py. */

static uint32_t mixed_bits(uint32_t x) {
    x ^= x >> 16;
    x *= 0x85EBCA6Bu;
    x ^= x >> 13;
    x *= 0xC2B2AE35u;
    return x ^ (x >> 16);
}

/* A number in [0, 1), a hash of the seed, the number of tokens written and the decoding step. */
static float uniform(int32_t seed, int32_t written, int32_t step) {
    uint32_t state = 0x9E3779B9u;
    const uint32_t numbers[3] = {(uint32_t)seed, (uint32_t)written, (uint32_t)step};
    for (int k = 0; k < 3; k++) state = mixed_bits(numbers[k] + state * 0x01000193u);
    return (float)(state >> 8) * (1.0f / 16777216.0f);
}

static int descending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The lowest scaled logit that may be sampled. `ordered`: scratch of the number of classes. */
static float lowest(const float *scaled, int classes, int top_k, float top_p, float *ordered) {
    memcpy(ordered, scaled, classes * sizeof(float));
    int count = classes;
    /* Far logits have no probability in float32; leave them out of the sorting. */
    if (classes > 1024) {
        count = 0;
        for (int k = 0; k < classes; k++)
            if (scaled[k] > -25.0f) ordered[count++] = scaled[k];
        if (top_k > count) count = -1;
    }
    if (count < 0) {
        count = classes;
        memcpy(ordered, scaled, classes * sizeof(float));
    }
    qsort(ordered, count, sizeof(float), descending);
    int most = top_k > 0 && top_k < count ? top_k : count;
    float total = 0, before = 0, least = ordered[0];
    for (int k = 0; k < most; k++) total += expf(ordered[k]);
    for (int k = 0; k < most; k++) {
        if (!(before < top_p || before <= 0.0f)) break;
        least = ordered[k];
        before += expf(ordered[k]) / total;
    }
    return least;
}

/* Returns the class; `scaled` and `weights` are scratch, with slack. */
static int sample_class(const kernels *set, const float *logits, int classes, float u,
                        const mdnn_sampling *how, float *scaled, float *weights) {
    if (how->temperature <= 0) {
        int likeliest = 0;
        for (int k = 1; k < classes; k++)
            if (logits[k] > logits[likeliest]) likeliest = k;
        return likeliest;
    }
    set->warm(logits, classes, how->temperature, scaled, weights);
    if (how->top_k > 0 || how->top_p < 1) {
        /* The weights are written again below. */
        float least = lowest(scaled, classes, how->top_k, how->top_p, weights);
        for (int k = 0; k < classes; k++) weights[k] = scaled[k] >= least ? expf(scaled[k]) : 0;
    }
    float total = 0;
    int last = 0;
    for (int k = 0; k < classes; k++) {
        total += weights[k];
        if (weights[k] > 0) last = k;
    }
    float limit = u * total, sum = 0;
    int drawn = 0;
    for (; drawn < classes; drawn++) {
        sum += weights[drawn];
        if (!(sum <= limit)) break;
    }
    return drawn < last ? drawn : last;
}
