/* Packs the codes and scales of a weights file into the layout of matrices, see plan.h. Panels are
 * divided among threads. */

typedef struct {
    mdnn_matrix matrix;
    const char *rows;          /* of the outputs, one after another */
    int size, lines, group;
    char *out;
} packing;

static void panels_of(const packing *job, int number, int threads, int *from, int *to) {
    int64_t panels = (job->matrix.n_out + PANEL - 1) / PANEL;
    *from = (int)(panels * number / threads);
    *to = (int)(panels * (number + 1) / threads);
}

/* Outputs of a panel; the last one may have fewer. */
static int outputs_of(const packing *job, int panel) {
    int left = job->matrix.n_out - panel * PANEL;
    return left < PANEL ? left : PANEL;
}

/* Eight codes of 4 bits, in the low halves of bytes, side by side. */
static uint32_t low_halves(uint64_t bytes) {
    bytes &= 0x0f0f0f0f0f0f0f0f;
    bytes = (bytes | bytes >> 4) & 0x00ff00ff00ff00ff;
    bytes = (bytes | bytes >> 8) & 0x0000ffff0000ffff;
    return (uint32_t)(bytes | bytes >> 16);
}

/* A group's bytes hold its first half in their low 4 bits, its second half in the high ones. */
static void pack_halves(void *context, int number, int threads) {
    const packing *job = context;
    const mdnn_matrix *m = &job->matrix;
    const size_t of_row = (size_t)m->n_in / 2;
    int from, to;
    panels_of(job, number, threads, &from, &to);
    for (int p = from; p < to; p++) {
        const size_t step = (size_t)PANEL * bundle_width(m, p), apart = step * (job->group / 16);
        const char *rows = job->rows + (size_t)p * PANEL * of_row;
        uint32_t *words = (uint32_t *)panel_start(m, p);
        const int outputs = outputs_of(job, p);
        for (size_t at = 0; at < of_row; at += job->group / 2, words += apart)
            for (int k = 0; k < job->group / 2; k += 8, words += step)
                for (int o = 0; o < outputs; o++) {
                    uint64_t bytes;
                    memcpy(&bytes, rows + o * of_row + at + k, 8);
                    words[o] = low_halves(bytes);
                    words[apart + o] = low_halves(bytes >> 4);
                }
    }
}

enum { TURNED = 32 };          /* lines that are written together, while their rows are cached */

static void pack_lines(void *context, int number, int threads) {
    const packing *job = context;
    const size_t size = job->size, of_row = size * job->lines;
    int from, to;
    panels_of(job, number, threads, &from, &to);
    for (int p = from; p < to; p++) {
        const int width = bundle_width(&job->matrix, p), first = p / BUNDLE * BUNDLE;
        const size_t step = size * PANEL * width;
        char *panel = job->out + size * PANEL * ((size_t)first * job->lines + p - first);
        const char *rows = job->rows + (size_t)p * PANEL * of_row;
        for (int line = 0; line < job->lines; line += TURNED)
            for (int o = 0; o < outputs_of(job, p); o++)
                for (int k = line; k < line + TURNED && k < job->lines; k++) {
                    char *to_line = panel + k * step + o * size;
                    const char *item = rows + o * of_row + k * size;
                    if (size == 2) memcpy(to_line, item, 2);
                    else memcpy(to_line, item, 4);
                }
    }
}

static void run_packing(work_function work, packing *job, int threads) {
    pool *p = threads > 1 ? pool_new(threads) : NULL;
    if (!p) {
        work(job, 0, 1);
        return;
    }
    parallel(p, work, job);
    pool_stop(p);
}

MDNN_API void mdnn_pack_halves(const uint8_t *rows, int32_t n_in, int32_t n_out, int32_t group,
                               uint32_t *words, int32_t threads) {
    packing job = {
        .matrix = {.kind = MATRIX_INT4, .n_in = n_in, .n_out = n_out, .codes = words},
        .rows = (const char *)rows,
        .group = group,
    };
    run_packing(pack_halves, &job, threads);
}

MDNN_API void mdnn_pack_lines(const void *rows, int32_t size, int32_t lines, int32_t n_out,
                              void *out, int32_t threads) {
    packing job = {
        .matrix = {.n_out = n_out}, .rows = rows, .size = size, .lines = lines, .out = out
    };
    run_packing(pack_lines, &job, threads);
}

MDNN_API void mdnn_pack_int4(const uint8_t *codes, int32_t n_in, int32_t n_out, uint32_t *words) {
    mdnn_matrix m = {.kind = MATRIX_INT4, .n_in = n_in, .n_out = n_out, .codes = words};
    size_t panels = (n_out + PANEL - 1) / PANEL;
    memset(words, 0, panels * ((n_in + 7) / 8) * PANEL * sizeof(uint32_t));
    for (int first = 0; first < n_out; first += PANEL) {
        uint32_t *panel = (uint32_t *)panel_start(&m, first / PANEL);
        size_t step = (size_t)PANEL * bundle_width(&m, first / PANEL);
        int outputs = n_out - first < PANEL ? n_out - first : PANEL;
        for (int i = 0; i < n_in; i++)
            for (int o = 0; o < outputs; o++)
                panel[i / 8 * step + o] |= (uint32_t)(codes[(size_t)i * n_out + first + o] & 15)
                                           << (4 * (i % 8));
    }
}
