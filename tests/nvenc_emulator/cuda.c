/* libcuda.so.1: as much of a CUDA driver as FFmpeg needs to hand pictures in system memory to NVENC.

   FFmpeg looks up 68 functions and refuses to go on if one is missing; it calls nine of them. The others answer
   CUDA_ERROR_NOT_SUPPORTED, so nothing on this emulated card can be computed, decoded or copied. */

#include "emulation.h"

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, DEINITIALIZED = 4, NO_CUDA_DEVICE = 100, NOT_SUPPORTED = 801 };

/* Contexts are only handles: what matters is that they are not null and differ from each other. */
static __thread void *current_context;

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

EXPORTED int cuCtxCreate_v2(void **context, unsigned flags, int device)
{
    (void)flags, (void)device;
    int code = injected_error("cuCtxCreate", -1);
    if (code)
        return code;
    *context = malloc(1);
    if (!*context)
        return OUT_OF_MEMORY;
    current_context = *context;
    return SUCCESS;
}

EXPORTED int cuCtxGetCurrent(void **context)
{
    *context = current_context;
    return SUCCESS;
}

EXPORTED int cuCtxPushCurrent_v2(void *context)
{
    current_context = context;
    return SUCCESS;
}

EXPORTED int cuCtxPopCurrent_v2(void **context)
{
    if (context)
        *context = current_context;
    current_context = NULL;
    return SUCCESS;
}

EXPORTED int cuCtxDestroy_v2(void *context)
{
    if (current_context == context)
        current_context = NULL;
    free(context);
    return SUCCESS;
}

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

NOT_EMULATED(cuDeviceGetAttribute)
NOT_EMULATED(cuCtxSetLimit)
NOT_EMULATED(cuCtxGetDevice)
NOT_EMULATED(cuMemAlloc_v2)
NOT_EMULATED(cuMemAllocPitch_v2)
NOT_EMULATED(cuMemAllocManaged)
NOT_EMULATED(cuMemsetD8Async)
NOT_EMULATED(cuMemFree_v2)
NOT_EMULATED(cuMemcpy)
NOT_EMULATED(cuMemcpyAsync)
NOT_EMULATED(cuMemcpy2D_v2)
NOT_EMULATED(cuMemcpy2DAsync_v2)
NOT_EMULATED(cuMemcpyHtoD_v2)
NOT_EMULATED(cuMemcpyHtoDAsync_v2)
NOT_EMULATED(cuMemcpyDtoH_v2)
NOT_EMULATED(cuMemcpyDtoHAsync_v2)
NOT_EMULATED(cuMemcpyDtoD_v2)
NOT_EMULATED(cuMemcpyDtoDAsync_v2)
NOT_EMULATED(cuDevicePrimaryCtxRetain)
NOT_EMULATED(cuDevicePrimaryCtxRelease)
NOT_EMULATED(cuDevicePrimaryCtxSetFlags)
NOT_EMULATED(cuDevicePrimaryCtxGetState)
NOT_EMULATED(cuDevicePrimaryCtxReset)
NOT_EMULATED(cuStreamCreate)
NOT_EMULATED(cuStreamQuery)
NOT_EMULATED(cuStreamSynchronize)
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
