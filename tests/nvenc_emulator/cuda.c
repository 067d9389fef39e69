/* libcuda.so.1: as much of a CUDA driver as FFmpeg needs to hand pictures to NVENC, in system memory or on the card.

   The card's memory is memory of this process, so its pointers can be read and written by anybody here, and copies are
   done when the call returns, whatever the stream. FFmpeg looks up 68 functions and refuses to go on if one is missing;
   those that it has no use for on this way answer CUDA_ERROR_NOT_SUPPORTED: nothing can be computed or decoded here. */

#include "emulation.h"

enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    DEINITIALIZED = 4,
    NO_CUDA_DEVICE = 100,
    INVALID_CONTEXT = 201,
    NOT_SUPPORTED = 801,
};

/* Contexts are only handles: what matters is that they are not null and differ from each other. Each thread has a stack
   of them, and the one on top is current. */
enum { MOST_CONTEXTS = 32 };
static __thread void *contexts[MOST_CONTEXTS];
static __thread int context_count;

/* The primary context, which all users of the card in a process share. */
static char primary_context;
static int primary_users;
static unsigned primary_flags;

EXPORTED int cuInit(unsigned flags)
{
    (void)flags;
    if (card() == NO_DEVICE)
        return NO_CUDA_DEVICE;
    return injected_error("cuInit", -1);
}

EXPORTED int cuDriverGetVersion(int *version)
{
    *version = card() == OLD_DRIVER ? 12020 : 13000;
    return SUCCESS;
}

EXPORTED int cuDeviceGetCount(int *count)
{
    *count = card() == ZERO_DEVICES ? 0 : 1;
    return SUCCESS;
}

EXPORTED int cuDeviceGet(int *device, int ordinal)
{
    *device = ordinal;
    return ordinal == 0 ? SUCCESS : INVALID_VALUE;
}

EXPORTED int cuDeviceGetName(char *name, int length, int device)
{
    (void)device;
    snprintf(name, (size_t)length, "Emulated NVENC card");
    return SUCCESS;
}

EXPORTED int cuDeviceComputeCapability(int *major, int *minor, int device)
{
    (void)device;
    *major = 8;
    *minor = 9;
    return SUCCESS;
}

EXPORTED int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    enum { TEXTURE_ALIGNMENT = 14 };
    (void)device;
    *value = attribute == TEXTURE_ALIGNMENT ? 512 : 0;
    return SUCCESS;
}

EXPORTED int cuCtxGetCurrent(void **context)
{
    *context = context_count ? contexts[context_count - 1] : NULL;
    return SUCCESS;
}

EXPORTED int cuCtxPushCurrent_v2(void *context)
{
    if (context_count == MOST_CONTEXTS)
        return INVALID_VALUE;
    contexts[context_count++] = context;
    return SUCCESS;
}

EXPORTED int cuCtxPopCurrent_v2(void **context)
{
    if (!context_count)
        return INVALID_CONTEXT;
    context_count--;
    if (context)
        *context = contexts[context_count];
    return SUCCESS;
}

EXPORTED int cuCtxGetDevice(int *device)
{
    *device = 0;
    return context_count ? SUCCESS : INVALID_CONTEXT;
}

EXPORTED int cuCtxCreate_v2(void **context, unsigned flags, int device)
{
    (void)flags, (void)device;
    int code = injected_error("cuCtxCreate", -1);
    if (code)
        return code;
    *context = malloc(1);
    return *context ? cuCtxPushCurrent_v2(*context) : OUT_OF_MEMORY;
}

EXPORTED int cuCtxDestroy_v2(void *context)
{
    if (context_count && contexts[context_count - 1] == context)
        context_count--;
    free(context);
    return SUCCESS;
}

EXPORTED int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active)
{
    (void)device;
    *flags = primary_flags;
    *active = primary_users > 0;
    return SUCCESS;
}

EXPORTED int cuDevicePrimaryCtxSetFlags(int device, unsigned flags)
{
    (void)device;
    primary_flags = flags;
    return SUCCESS;
}

EXPORTED int cuDevicePrimaryCtxRetain(void **context, int device)
{
    (void)device;
    primary_users++;
    *context = &primary_context;
    return SUCCESS;
}

EXPORTED int cuDevicePrimaryCtxRelease(int device)
{
    (void)device;
    primary_users--;
    return SUCCESS;
}

/* ---- Memory ---- */

EXPORTED int cuMemAlloc_v2(void **memory, size_t size)
{
    int code = injected_error("cuMemAlloc", -1);
    if (code)
        return code;
    *memory = aligned_alloc(512, (size + 511) & ~(size_t)511);
    return *memory ? SUCCESS : OUT_OF_MEMORY;
}

EXPORTED int cuMemFree_v2(void *memory)
{
    free(memory);
    return SUCCESS;
}

typedef struct {
    size_t x, y;
    unsigned type;
    const void *host;
    void *device;
    void *array;
    size_t pitch;
} CopyEnd;

typedef struct {
    CopyEnd from, to;
    size_t width, height; /* bytes, rows */
} Copy2D;
_Static_assert(sizeof(Copy2D) == 128, "the size of CUDA_MEMCPY2D");

static char *first_byte(const CopyEnd *end)
{
    enum { HOST = 1 };
    return (char *)(end->type == HOST ? (void *)end->host : end->device) + end->y * end->pitch + end->x;
}

EXPORTED int cuMemcpy2D_v2(const Copy2D *copy)
{
    char *from = first_byte(&copy->from), *to = first_byte(&copy->to);
    for (size_t row = 0; row < copy->height; row++)
        memcpy(to + row * copy->to.pitch, from + row * copy->from.pitch, copy->width);
    return SUCCESS;
}

EXPORTED int cuMemcpy2DAsync_v2(const Copy2D *copy, void *stream)
{
    (void)stream;
    return cuMemcpy2D_v2(copy);
}

EXPORTED int cuStreamSynchronize(void *stream)
{
    (void)stream;
    return SUCCESS;
}

/* ---- Errors ---- */

typedef struct {
    int code;
    const char *name, *text;
} ErrorText;

static const ErrorText *error_text(int code)
{
    static const ErrorText known[] = {
        {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
        {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
        {DEINITIALIZED, "CUDA_ERROR_DEINITIALIZED", "driver shutting down"},
        {NO_CUDA_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
        {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
        {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    };
    static const ErrorText unknown = {999, "CUDA_ERROR_UNKNOWN", "unknown error"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].code == code)
            return &known[i];
    return &unknown;
}

EXPORTED int cuGetErrorName(int code, const char **name)
{
    *name = error_text(code)->name;
    return SUCCESS;
}

EXPORTED int cuGetErrorString(int code, const char **text)
{
    *text = error_text(code)->text;
    return SUCCESS;
}

#define NOT_EMULATED(name) \
    EXPORTED int name(void); \
    int name(void) { return NOT_SUPPORTED; }

NOT_EMULATED(cuCtxSetLimit)
NOT_EMULATED(cuMemAllocPitch_v2)
NOT_EMULATED(cuMemAllocManaged)
NOT_EMULATED(cuMemsetD8Async)
NOT_EMULATED(cuMemcpy)
NOT_EMULATED(cuMemcpyAsync)
NOT_EMULATED(cuMemcpyHtoD_v2)
NOT_EMULATED(cuMemcpyHtoDAsync_v2)
NOT_EMULATED(cuMemcpyDtoH_v2)
NOT_EMULATED(cuMemcpyDtoHAsync_v2)
NOT_EMULATED(cuMemcpyDtoD_v2)
NOT_EMULATED(cuMemcpyDtoDAsync_v2)
NOT_EMULATED(cuDevicePrimaryCtxReset)
NOT_EMULATED(cuStreamCreate)
NOT_EMULATED(cuStreamQuery)
NOT_EMULATED(cuStreamDestroy_v2)
NOT_EMULATED(cuStreamAddCallback)
NOT_EMULATED(cuStreamWaitEvent)
NOT_EMULATED(cuEventCreate)
NOT_EMULATED(cuEventDestroy_v2)
NOT_EMULATED(cuEventSynchronize)
NOT_EMULATED(cuEventQuery)
NOT_EMULATED(cuEventRecord)
NOT_EMULATED(cuLaunchKernel)
NOT_EMULATED(cuLinkCreate)
NOT_EMULATED(cuLinkAddData)
NOT_EMULATED(cuLinkComplete)
NOT_EMULATED(cuLinkDestroy)
NOT_EMULATED(cuModuleLoadData)
NOT_EMULATED(cuModuleUnload)
NOT_EMULATED(cuModuleGetFunction)
NOT_EMULATED(cuModuleGetGlobal)
NOT_EMULATED(cuTexObjectCreate)
NOT_EMULATED(cuTexObjectDestroy)
NOT_EMULATED(cuGLGetDevices_v2)
NOT_EMULATED(cuGraphicsGLRegisterImage)
NOT_EMULATED(cuGraphicsUnregisterResource)
NOT_EMULATED(cuGraphicsMapResources)
NOT_EMULATED(cuGraphicsUnmapResources)
NOT_EMULATED(cuGraphicsSubResourceGetMappedArray)
NOT_EMULATED(cuGraphicsResourceGetMappedPointer_v2)
NOT_EMULATED(cuArrayCreate_v2)
NOT_EMULATED(cuArray3DCreate_v2)
NOT_EMULATED(cuArrayDestroy)
