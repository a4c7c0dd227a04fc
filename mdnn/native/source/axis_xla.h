/* Targets of jax.ffi.ffi_call, by the C interface of XLA's foreign functions (version 0), whose
 * structures are declared here: this compiles without JAX.
 *
 * mdnn_axis_xla_products(x, kernels...) -> y; mdnn_axis_xla_gradients(x, dy, kernels...) ->
 * dx, gradients.... The attribute `plan` begins with 1 for transposed kernels, 0 otherwise. */

typedef struct xla_extension {
    size_t struct_size;
    int type;
    struct xla_extension *next;
} xla_extension;

typedef struct {
    size_t struct_size;
    xla_extension *extensions;
    int major, minor;
} xla_version;

typedef struct {
    size_t struct_size;
    xla_version version;
    uint32_t traits;
    int64_t state_type;
} xla_metadata;

typedef struct {
    xla_extension base;
    xla_metadata *metadata;
} xla_metadata_extension;

typedef struct {
    size_t struct_size;
    xla_extension *extensions;
    const char *message;
    int code;
} xla_error_arguments;

typedef struct {
    size_t struct_size;
    xla_extension *extensions;
    xla_version version;
    const void *internal;
    void *(*new_error)(xla_error_arguments *);
} xla_api;

typedef struct {
    size_t struct_size;
    xla_extension *extensions;
    int type;
    void *data;
    int64_t rank, *sizes;
} xla_buffer;

typedef struct {
    size_t struct_size;
    xla_extension *extensions;
    int64_t size;
    int *types;
    xla_buffer **buffers;
} xla_buffers;

typedef struct {
    const char *text;
    size_t length;
} xla_name;

typedef struct {
    int type;
    size_t size;
    int64_t *numbers;
} xla_array;

typedef struct {
    size_t struct_size;
    xla_extension *extensions;
    int64_t size;
    int *types;
    xla_name **names;
    void **values;
} xla_attributes;

typedef struct {
    size_t struct_size;
    xla_extension *extensions;
    const xla_api *api;
    void *context;
    int stage;
    xla_buffers arguments, results;
    xla_attributes attributes;
} xla_call;

enum { XLA_METADATA = 1, XLA_EXECUTE = 3, XLA_ARRAY = 1, XLA_S64 = 5, XLA_F32 = 11,
       XLA_INVALID_ARGUMENT = 3 };

static void *xla_fault(const xla_call *c, const char *message) {
    xla_error_arguments arguments = {sizeof arguments, NULL, message, XLA_INVALID_ARGUMENT};
    return c->api->new_error(&arguments);
}

/* Answers XLA's question for the interface's version; returns whether it was one. */
static int xla_is_question(xla_call *c) {
    if (!c->extensions || c->extensions->type != XLA_METADATA) return 0;
    xla_metadata *metadata = ((xla_metadata_extension *)c->extensions)->metadata;
    metadata->version = (xla_version){sizeof(xla_version), NULL, 0, c->api->version.minor};
    metadata->traits = 0;
    if (metadata->struct_size >= sizeof(xla_metadata)) metadata->state_type = 0;
    return 1;
}

static int64_t xla_elements(const xla_buffer *b) {
    int64_t elements = 1;
    for (int k = 0; k < b->rank; k++) elements *= b->sizes[k];
    return b->type == XLA_F32 ? elements : -1;
}

/* Whether there are `arrays` arrays, then, with `kernels`, one for each kernel. */
static int xla_fits(const xla_buffers *b, const axis_plan *plan, int arrays, int kernels,
                    int64_t batch) {
    if (b->size != arrays + (kernels ? plan->kernels : 0)) return 0;
    for (int k = 0; k < b->size; k++) {
        int64_t right = k < arrays ? batch * plan->positions : plan->elements[k - arrays];
        if (xla_elements(b->buffers[k]) != right) return 0;
    }
    return 1;
}

static void *xla_run(xla_call *c, int gradients) {
    if (xla_is_question(c)) return NULL;
    axis_plan *plan = NULL;
    int transposed = 0, done = 0;
    for (int k = 0; k < c->attributes.size; k++) {
        const xla_name *name = c->attributes.names[k];
        const xla_array *array = c->attributes.values[k];
        if (name->length != 4 || memcmp(name->text, "plan", 4) ||
            c->attributes.types[k] != XLA_ARRAY || array->type != XLA_S64 || !array->size)
            continue;
        transposed = array->numbers[0] != 0;
        plan = plan_new(array->numbers + 1, array->size - 1);
    }
    if (!plan) return xla_fault(c, "mdnn: the plan of products along axes is invalid");
    int64_t batch = c->arguments.size ? xla_elements(c->arguments.buffers[0]) / plan->positions : -1;
    if (batch < 0 || !xla_fits(&c->arguments, plan, 1 + gradients, 1, batch) ||
        !xla_fits(&c->results, plan, 1, gradients, batch)) {
        plan_free(plan);
        return xla_fault(c, "mdnn: an array has another size than the plan's");
    }
    const float *arguments[2 + MOST_PASSES] = {0};
    float *results[1 + MOST_PASSES];
    for (int k = 0; k < c->arguments.size; k++) arguments[k] = c->arguments.buffers[k]->data;
    for (int k = 0; k < c->results.size; k++) results[k] = c->results.buffers[k]->data;
    if (gradients)
        done = axis_gradients(plan, batch, transposed, arguments[0], arguments[1], arguments + 2,
                              results[0], results + 1);
    else done = axis_products(plan, batch, transposed, arguments[0], arguments + 1, results[0]);
    plan_free(plan);
    return done ? NULL : xla_fault(c, "mdnn: no memory for products along axes");
}

MDNN_API void *mdnn_axis_xla_products(xla_call *c) { return xla_run(c, 0); }
MDNN_API void *mdnn_axis_xla_gradients(xla_call *c) { return xla_run(c, 1); }
