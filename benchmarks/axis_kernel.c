/* What a compiled kernel would give: the paper's layer on a grid of 16 x 16 x 16 x 16, separate
   kernels, parallel, forward. Compiled and timed by benchmarks/kernel.py; not part of mdnn.

   y[b, p] = sum over axes a, over i: x[b, p with i at a] * kernel_a[p without a, i, p_a] */

#include <stdlib.h>

#define N 16
#define SLOTS (N * N * N * N)
#define LANES 16 /* one vector of floats */

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4)));

/* [rows][columns] to [columns][rows], in tiles that stay in the nearest cache. */
static void transpose(const float *restrict from, float *restrict to, int rows, int columns) {
#pragma omp parallel for schedule(static)
    for (int c = 0; c < columns; c += 4 * LANES)
        for (int r = 0; r < rows; r += LANES) {
            float tile[4 * LANES][LANES];
            for (int j = 0; j < LANES; j++)
                for (int i = 0; i < 4 * LANES; i++)
                    tile[i][j] = from[(long)(r + j) * columns + c + i];
            for (int i = 0; i < 4 * LANES; i++)
                *(vector *)(to + (long)(c + i) * rows + r) = *(vector *)tile[i];
        }
}

/* One axis of one plane: x and y are N rows of `batch` values each, `stride` values apart. */
static void product(const float *restrict x, const float *restrict kernel, float *restrict y,
                    long stride, int batch, int add) {
    for (int lane = 0; lane < batch; lane += LANES) {
        /* Rows a power of two apart fall on each other in the cache: side by side they do not. */
        vector rows[N];
        for (int i = 0; i < N; i++) rows[i] = *(const vector *)(x + i * stride + lane);
        for (int j = 0; j < N; j += 8) {
            vector sums[8];
            for (int u = 0; u < 8; u++)
                sums[u] = add ? *(vector *)(y + (j + u) * stride + lane) : (vector){0};
            for (int i = 0; i < N; i++)
                for (int u = 0; u < 8; u++) sums[u] += kernel[i * N + j + u] * rows[i];
            for (int u = 0; u < 8; u++) *(vector *)(y + (j + u) * stride + lane) = sums[u];
        }
    }
}

/* x, y: [batch][SLOTS]; kernels: 4 arrays [N^3][N][N]; batch: a multiple of LANES;
   across, sum: [SLOTS][batch], room to work in. */
void layer(const float *x, const float *const *kernels, float *y, int batch, float *across,
           float *sum) {
    transpose(x, across, batch, SLOTS);
    /* The slowest axis alone; then, slice by slice, the three whose planes fit the cache. */
#pragma omp parallel for schedule(static)
    for (int p = 0; p < N * N * N; p++)
        product(across + (long)p * batch, kernels[0] + (long)p * N * N, sum + (long)p * batch,
                (long)N * N * N * batch, batch, 0);
#pragma omp parallel for schedule(static)
    for (int a = 0; a < N; a++) {
        const float *slice = across + (long)a * N * N * N * batch;
        float *out = sum + (long)a * N * N * N * batch;
        for (int p = 0; p < N * N; p++)
            product(slice + (long)p * batch, kernels[1] + (long)(a * N * N + p) * N * N,
                    out + (long)p * batch, (long)N * N * batch, batch, 1);
        for (int b = 0; b < N; b++)
            for (int p = 0; p < N; p++) {
                long at = ((long)b * N * N + p) * batch;
                product(slice + at, kernels[2] + (long)((a * N + b) * N + p) * N * N, out + at,
                        (long)N * batch, batch, 1);
            }
        for (int p = 0; p < N * N; p++) {
            long at = (long)p * N * batch;
            product(slice + at, kernels[3] + (long)(a * N * N + p) * N * N, out + at, batch,
                    batch, 1);
        }
    }
    transpose(sum, y, SLOTS, batch);
}
