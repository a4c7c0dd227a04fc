/* TensorFlow operations, by TensorFlow's C API, whose functions are looked up in the loaded
 * process: this compiles without TensorFlow, and loads without it.
 *
 * MdnnAxisProducts(x, kernels) -> y; MdnnAxisGradients(x, dy, kernels) -> dx, gradients;
 * MdnnAxisKernelGradients(x, dy) -> gradients. The attribute `plan` begins with 1 for transposed
 * kernels, 0 otherwise. */
#if !defined(_WIN32)
#include <dlfcn.h>


#define TF_FUNCTIONS(F) \
    F(void *, NewStatus, (void)) \
    F(void, DeleteStatus, (void *)) \
    F(void, SetStatus, (void *, int, const char *)) \
    F(int, GetCode, (const void *)) \
    F(void *, NewOpDefinitionBuilder, (const char *)) \
    F(void, OpDefinitionBuilderAddAttr, (void *, const char *)) \
    F(void, OpDefinitionBuilderAddInput, (void *, const char *)) \
    F(void, OpDefinitionBuilderAddOutput, (void *, const char *)) \
    F(void, OpDefinitionBuilderSetShapeInferenceFunction, (void *, void (*)(void *, void *))) \
    F(void, RegisterOpDefinition, (void *, void *)) \
    F(void *, NewShapeHandle, (void)) \
    F(void, DeleteShapeHandle, (void *)) \
    F(void, ShapeInferenceContextGetInput, (void *, int, void *, void *)) \
    F(void, ShapeInferenceContextSetOutput, (void *, int, void *, void *)) \
    F(int64_t, ShapeInferenceContextNumInputs, (void *)) \
    F(void, ShapeInferenceContextSetUnknownShape, (void *, void *)) \
    F(void *, NewKernelBuilder, (const char *, const char *, void *(*)(void *), \
                                 void (*)(void *, void *), void (*)(void *))) \
    F(void, RegisterKernelBuilder, (const char *, void *, void *)) \
    F(void, OpKernelConstruction_GetAttrSize, (void *, const char *, int32_t *, int32_t *, void *)) \
    F(void, OpKernelConstruction_GetAttrInt64List, (void *, const char *, int64_t *, int, void *)) \
    F(void, OpKernelConstruction_Failure, (void *, void *)) \
    F(void, OpKernelContext_Failure, (void *, void *)) \
    F(int, NumInputs, (void *)) \
    F(void, GetInput, (void *, int, void **, void *)) \
    F(void *, AllocateOutput, (void *, int, int, const int64_t *, int, size_t, void *)) \
    F(int, NumDims, (const void *)) \
    F(int64_t, Dim, (const void *, int)) \
    F(int64_t, TensorElementCount, (const void *)) \
    F(void *, TensorData, (const void *)) \
    F(void, DeleteTensor, (void *))

#define F(result, name, arguments) result (*name) arguments;
static struct { TF_FUNCTIONS(F) } tf;
#undef F

enum { TF_FLOAT = 1, TF_INVALID_ARGUMENT = 3, TF_RESOURCE_EXHAUSTED = 8, MOST_INPUTS = 2 + MOST_PASSES };

typedef struct {
    int transposed;
    axis_plan *plan;
} tf_kernel;

static void *tf_kernel_new(void *construction) {
    void *status = tf.NewStatus();
    int32_t count = 0, bytes = 0;
    tf_kernel *kernel = calloc(1, sizeof(tf_kernel));
    tf.OpKernelConstruction_GetAttrSize(construction, "plan", &count, &bytes, status);
    int64_t *numbers = count > 0 ? malloc(sizeof(int64_t) * count) : NULL;
    if (numbers)
        tf.OpKernelConstruction_GetAttrInt64List(construction, "plan", numbers, count, status);
    if (kernel && numbers && !tf.GetCode(status)) {
        kernel->transposed = numbers[0] != 0;
        kernel->plan = plan_new(numbers + 1, count - 1);
    }
    if (!kernel || !kernel->plan) {
        tf.SetStatus(status, TF_INVALID_ARGUMENT, "mdnn: the plan of products along axes is invalid");
        tf.OpKernelConstruction_Failure(construction, status);
    }
    free(numbers);
    tf.DeleteStatus(status);
    return kernel;
}

static void tf_kernel_free(void *value) {
    tf_kernel *kernel = value;
    if (kernel) plan_free(kernel->plan);
    free(kernel);
}

typedef struct {
    void *context, *status, *input[MOST_INPUTS];
    int inputs;
    const char *fault;
} tf_call;

/* Begins a call with `arrays` arrays before the kernels; `kernels`: whether these are inputs. */
static int64_t tf_begin(tf_call *c, const axis_plan *plan, int arrays, int kernels) {
    int64_t batch = 0;
    c->status = tf.NewStatus();
    int inputs = tf.NumInputs(c->context), wanted = arrays + (kernels ? plan->kernels : 0);
    if (inputs != wanted) c->fault = "mdnn: another number of inputs than the plan's";
    for (int k = 0; k < inputs && !c->fault; k++, c->inputs++) {
        tf.GetInput(c->context, k, c->input + k, c->status);
        if (tf.GetCode(c->status)) {
            c->fault = "mdnn: an input is missing";
            break;
        }
        int64_t elements = tf.TensorElementCount(c->input[k]);
        if (k == 0) batch = elements / plan->positions;
        int64_t right = k < arrays ? batch * plan->positions : plan->elements[k - arrays];
        if (elements != right) c->fault = "mdnn: an array has another size than the plan's";
    }
    return batch;
}

static const float *tf_floats(const tf_call *c, int k) { return tf.TensorData(c->input[k]); }

/* Allocates an output of the shape of an input, or of a kernel as one row. */
static void *tf_output(tf_call *c, int number, int like, int64_t elements) {
    int64_t sizes[32];
    int dims = 1;
    if (like >= 0) {
        dims = tf.NumDims(c->input[like]);
        if (dims > 32) c->fault = "mdnn: more than 32 axes";
        else for (int k = 0; k < dims; k++) sizes[k] = tf.Dim(c->input[like], k);
        elements = tf.TensorElementCount(c->input[like]);
    } else sizes[0] = elements;
    if (c->fault) return NULL;
    void *t = tf.AllocateOutput(c->context, number, TF_FLOAT, sizes, dims, 4 * elements, c->status);
    if (!t || tf.GetCode(c->status)) c->fault = "mdnn: no memory for an output";
    return t;
}

static void tf_end(tf_call *c, void **outputs, int count) {
    if (c->fault) {
        if (!tf.GetCode(c->status)) tf.SetStatus(c->status, TF_INVALID_ARGUMENT, c->fault);
        tf.OpKernelContext_Failure(c->context, c->status);
    }
    for (int k = 0; k < count; k++)
        if (outputs[k]) tf.DeleteTensor(outputs[k]);
    for (int k = 0; k < c->inputs; k++) tf.DeleteTensor(c->input[k]);
    tf.DeleteStatus(c->status);
}

static void tf_products(void *value, void *context) {
    const tf_kernel *kernel = value;
    tf_call c = {.context = context};
    const float *kernels[MOST_PASSES];
    void *y = NULL;
    int64_t batch = tf_begin(&c, kernel->plan, 1, 1);
    if (!c.fault) y = tf_output(&c, 0, 0, 0);
    if (!c.fault) {
        for (int k = 0; k < kernel->plan->kernels; k++) kernels[k] = tf_floats(&c, 1 + k);
        if (!axis_products(kernel->plan, batch, kernel->transposed, tf_floats(&c, 0), kernels,
                           tf.TensorData(y)))
            tf.SetStatus(c.status, TF_RESOURCE_EXHAUSTED, c.fault = "mdnn: no memory");
    }
    tf_end(&c, &y, 1);
}

static void tf_gradients_of(const tf_kernel *kernel, void *context, int of_x) {
    tf_call c = {.context = context};
    const float *kernels[MOST_PASSES] = {0};
    float *gradients[MOST_PASSES];
    void *outputs[1 + MOST_PASSES] = {0};
    const axis_plan *plan = kernel->plan;
    int64_t batch = tf_begin(&c, plan, 2, of_x);
    if (!c.fault && of_x) outputs[0] = tf_output(&c, 0, 0, 0);
    for (int k = 0; k < plan->kernels && !c.fault; k++) {
        outputs[1 + k] = tf_output(&c, of_x + k, of_x ? 2 + k : -1, plan->elements[k]);
        if (!c.fault) gradients[k] = tf.TensorData(outputs[1 + k]);
        if (!c.fault && of_x) kernels[k] = tf_floats(&c, 2 + k);
    }
    if (!c.fault && !axis_gradients(plan, batch, kernel->transposed, tf_floats(&c, 0),
                                    tf_floats(&c, 1), kernels,
                                    of_x ? tf.TensorData(outputs[0]) : NULL, gradients))
        tf.SetStatus(c.status, TF_RESOURCE_EXHAUSTED, c.fault = "mdnn: no memory");
    tf_end(&c, outputs, 1 + plan->kernels);
}

static void tf_gradients(void *kernel, void *context) { tf_gradients_of(kernel, context, 1); }
static void tf_kernel_gradients(void *kernel, void *context) { tf_gradients_of(kernel, context, 0); }

/* Copies the shape of an input to an output. */
static void tf_same_shape(void *context, int input, int output, void *status) {
    void *shape = tf.NewShapeHandle();
    tf.ShapeInferenceContextGetInput(context, input, shape, status);
    if (!tf.GetCode(status)) tf.ShapeInferenceContextSetOutput(context, output, shape, status);
    tf.DeleteShapeHandle(shape);
}

static void tf_products_shape(void *context, void *status) { tf_same_shape(context, 0, 0, status); }

static void tf_gradients_shape(void *context, void *status) {
    int inputs = tf.ShapeInferenceContextNumInputs(context);
    tf_same_shape(context, 0, 0, status);
    for (int k = 2; k < inputs && !tf.GetCode(status); k++)
        tf_same_shape(context, k, k - 1, status);
}

static void tf_unknown_shape(void *context, void *status) {
    tf.ShapeInferenceContextSetUnknownShape(context, status);
}

static void tf_register(const char *name, const char *const *inputs, const char *const *outputs,
                        void (*shape)(void *, void *), void (*compute)(void *, void *)) {
    void *status = tf.NewStatus(), *op = tf.NewOpDefinitionBuilder(name);
    tf.OpDefinitionBuilderAddAttr(op, "plan: list(int)");
    tf.OpDefinitionBuilderAddAttr(op, "N: int >= 1");
    for (; *inputs; inputs++) tf.OpDefinitionBuilderAddInput(op, *inputs);
    for (; *outputs; outputs++) tf.OpDefinitionBuilderAddOutput(op, *outputs);
    tf.OpDefinitionBuilderSetShapeInferenceFunction(op, shape);
    tf.RegisterOpDefinition(op, status);
    if (!tf.GetCode(status))
        tf.RegisterKernelBuilder(name, tf.NewKernelBuilder(name, "CPU", tf_kernel_new, compute,
                                                           tf_kernel_free), status);
    tf.DeleteStatus(status);
}

/* Runs when the library is loaded: registers the operations if TensorFlow is loaded already. */
__attribute__((constructor)) static void tf_register_all(void) {
    static const char *const names[] = {"libtensorflow_framework.so.2",
                                        "libtensorflow_framework.2.dylib"};
    void *loaded = NULL;
    for (int k = 0; k < 2 && !loaded; k++) loaded = dlopen(names[k], RTLD_LAZY | RTLD_NOLOAD);
    if (!loaded) return;
#define F(result, name, arguments) \
    if (!(tf.name = (result (*) arguments)dlsym(loaded, "TF_" #name))) return;
    TF_FUNCTIONS(F)
#undef F
    tf_register("MdnnAxisProducts", (const char *const[]){"x: float", "kernels: N * float", NULL},
                (const char *const[]){"y: float", NULL}, tf_products_shape, tf_products);
    tf_register("MdnnAxisGradients",
                (const char *const[]){"x: float", "dy: float", "kernels: N * float", NULL},
                (const char *const[]){"dx: float", "gradients: N * float", NULL},
                tf_gradients_shape, tf_gradients);
    tf_register("MdnnAxisKernelGradients", (const char *const[]){"x: float", "dy: float", NULL},
                (const char *const[]){"gradients: N * float", NULL}, tf_unknown_shape,
                tf_kernel_gradients);
}
#endif
