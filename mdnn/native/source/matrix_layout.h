/* Where the weights of a matrix lie, see plan.h. */

static float half_to_float(uint16_t half) {
    union { uint32_t bits; float value; } v = {(uint32_t)(half & 0x7fff) << 13};
    v.value *= 0x1p112f;
    v.bits |= (uint32_t)(half & 0x8000) << 16;
    return v.value;
}

/* Inputs of a line of a panel. */
static int line_inputs(const mdnn_matrix *m) {
    return m->kind == MATRIX_INT4 ? 8 : m->kind == MATRIX_INT8 ? 4 : 1;
}

/* Bytes of a line of a panel. */
static size_t row_size(const mdnn_matrix *m) {
    return m->kind == MATRIX_FLOAT16 ? PANEL * 2 : PANEL * 4;
}

/* Panels of the bundle of a panel. */
static int bundle_width(const mdnn_matrix *m, int panel) {
    int panels = (m->n_out + PANEL - 1) / PANEL, first = panel / BUNDLE * BUNDLE;
    return panels - first < BUNDLE ? panels - first : BUNDLE;
}

static const char *panel_start(const mdnn_matrix *m, int panel) {
    size_t each = line_inputs(m), lines = (m->n_in + each - 1) / each, row = row_size(m);
    size_t first = panel / BUNDLE * BUNDLE;
    return (const char *)m->codes + first * lines * row + (panel - first) * row;
}

/* Index of the scales of a panel and a group of inputs. */
static size_t scale_index(const mdnn_matrix *m, int panel, int group) {
    size_t groups = (m->n_in + m->group - 1) / m->group, first = panel / BUNDLE * BUNDLE;
    return (first * groups + (size_t)group * bundle_width(m, panel) + panel - first) * PANEL;
}

static float scale_of(const mdnn_matrix *m, const void *scales, size_t at) {
    return m->wide ? ((const float *)scales)[at] : half_to_float(((const uint16_t *)scales)[at]);
}

static void table_row_of(const mdnn_matrix *m, int row, float *out) {
    const char *panel = panel_start(m, row / PANEL);
    size_t step = row_size(m) * bundle_width(m, row / PANEL);
    int at = row % PANEL, group = m->group ? m->group : 1;
    for (int i = 0; i < m->n_in; i++) {
        const char *line = panel + step * (i / line_inputs(m));
        float value;
        switch (m->kind) {
        case MATRIX_FLOAT32: value = ((const float *)line)[at]; break;
        case MATRIX_FLOAT16: value = half_to_float(((const uint16_t *)line)[at]); break;
        case MATRIX_INT8: value = (int8_t)(((const uint32_t *)line)[at] >> (8 * (i % 4))); break;
        default: value = (float)(((const uint32_t *)line)[at] >> (4 * (i % 8)) & 15) - m->offset;
        }
        if (m->scaling == SCALES_BY_INPUT) {
            size_t s = scale_index(m, row / PANEL, i / group) + at;
            value *= scale_of(m, m->scales, s);
            if (m->minima) value += scale_of(m, m->minima, s);
        } else if (m->scaling == SCALES_BY_OUTPUT) {
            value *= scale_of(m, m->scales, (size_t)(row / group) * m->n_in + i);
        }
        out[i] = value;
    }
}
