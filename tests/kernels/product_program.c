/* Multiplies vectors by a matrix from standard input, in float32 and in float16: for a processor
 * that an emulator runs. Input: int32 n_in, n_out, count; float32 weights; float32 vectors. */
#include <stdio.h>

#include "decoder.c"

static uint16_t to_half(float value) {
    _Float16 half = (_Float16)value;
    uint16_t bits;
    memcpy(&bits, &half, 2);
    return bits;
}

int main(void) {
    int32_t head[3];
    if (fread(head, 4, 3, stdin) != 3) return 1;
    int n_in = head[0], n_out = head[1], count = head[2];
    size_t panels = (n_out + PANEL - 1) / PANEL, size = panels * n_in * PANEL;
    float *weights = calloc((size_t)n_in * n_out, 4), *packed = calloc(size, 4);
    float *x = calloc((size_t)count * n_in, 4), *y = calloc((size_t)count * n_out, 4);
    uint16_t *halves = calloc(size, 2);
    if (!weights || !packed || !x || !y || !halves) return 1;
    if (fread(weights, 4, (size_t)n_in * n_out, stdin) != (size_t)n_in * n_out) return 1;
    if (fread(x, 4, (size_t)count * n_in, stdin) != (size_t)count * n_in) return 1;
    mdnn_matrix m = {.kind = MATRIX_FLOAT32, .n_in = n_in, .n_out = n_out, .codes = packed};
    for (int i = 0; i < n_in; i++)
        for (int o = 0; o < n_out; o++) {
            size_t at = (panel_start(&m, o / PANEL) - (const char *)packed) / 4 + o % PANEL;
            at += (size_t)i * PANEL * bundle_width(&m, o / PANEL);
            packed[at] = weights[(size_t)i * n_out + o];
            halves[at] = to_half(packed[at]);
        }
    mdnn_product(&m, x, count, y, 2);
    fwrite(y, 4, (size_t)count * n_out, stdout);
    m.kind = MATRIX_FLOAT16;
    m.codes = halves;
    mdnn_product(&m, x, count, y, 1);
    fwrite(y, 4, (size_t)count * n_out, stdout);
    return 0;
}
