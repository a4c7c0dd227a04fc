/* Products of arrays with kernels along axes, and their gradients, for `MultidimDense`.
 *
 * x and y are arrays [batch][positions]; a pass along an axis computes
 * y[b, p with j at the axis] += sum_i x[b, p with i at the axis] * kernel[of p, i, j].
 * A plan, a list of integers that mdnn/native/axis_plan.py makes, says how the positions of an
 * example lie, which kernel belongs to which of them, and which axes one sweep over the array
 * takes together: those whose tile stays in the core's second cache. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "threads.h"

#if defined(_WIN32)
#define MDNN_API __declspec(dllexport)
#else
#define MDNN_API __attribute__((visibility("default")))
#endif
#ifndef MDNN_SOURCES
#define MDNN_SOURCES 0
#endif
#define INLINE static inline __attribute__((always_inline))

enum { UNIT = 16, MOST_UNITS = 4 };

/* Neighbouring products: how many, and floats from a row, from a kernel, to the next one's. */
typedef struct {
    int64_t count, row, kernel;
} walk;

typedef struct {
    void (*load)(const float *from, size_t far, int count, int length, float *tile,
                 const int32_t *rows);
    void (*store)(float *to, size_t far, int count, int length, const float *tile,
                  const int32_t *rows, int add);
    void (*product)(const float *x, size_t far, const float *k, int n, int transposed, float *y,
                    int width, int add, walk w);
    void (*outer)(const float *x, const float *y, size_t far, int n, int width, float *g, int add,
                  float *room, walk w);
} tile_math;

#define SET_SOURCE "axis_tile_math.h"
#include "instruction_sets.h"

static const tile_math *const math_sets[] = EVERY_SET(math);
static int chosen_set = -1;

/* Chooses an instruction set; returns 0 if the processor lacks it. */
MDNN_API int32_t mdnn_axis_use_set(const char *name) {
    int set = set_of(name, AVX512);
    if (set >= 0) chosen_set = set;
    return set >= 0;
}

static const tile_math *math_now(void) {
    if (chosen_set < 0) chosen_set = best_set(AVX512);
    return math_sets[chosen_set];
}

MDNN_API const char *mdnn_axis_instruction_set(void) {
    math_now();
    return shown_set(chosen_set);
}

#define TEXT_OF(x) TEXT(x)
#define TEXT(x) #x
/* Read in the file before it is loaded: a library of other sources is not. */
MDNN_API const char mdnn_axis_sources[] = "mdnn_axis_sources=" TEXT_OF(MDNN_SOURCES);

#include "axis_plan.h"
#include "axis_sweeps.h"
#include "axis_tensorflow.h"
#include "axis_xla.h"

#ifdef MDNN_PYTHON_MODULE
/* As setup.py builds it, the library is also an importable module, without contents. */
#include <Python.h>

static struct PyModuleDef module_of_library = {PyModuleDef_HEAD_INIT, "_axes", NULL, -1};

PyMODINIT_FUNC PyInit__axes(void) { return PyModule_Create(&module_of_library); }
#endif
