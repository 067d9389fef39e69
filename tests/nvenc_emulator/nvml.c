/* libnvidia-ml.so.1: what NVML says about the emulated card, so that programs find it as they find a real one.

   The encoder sessions are the true ones of the emulated host. Memory and utilization are pretended: they follow the
   number of sessions and prove nothing. What is not here, a caller finds missing, as in an older driver. */

#include "emulation.h"

typedef enum {
    SUCCESS = 0,
    INVALID_ARGUMENT = 2,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
} Status;

typedef struct {
    unsigned long long total, free, used;
} Memory;

typedef struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
} Memory2;

typedef struct {
    unsigned gpu, memory;
} Utilization;

typedef struct {
    unsigned id, pid, virtual_gpu, codec, width, height, average_fps, latency;
} EncoderSession;

static const unsigned long long MIB = 1 << 20;
static int device; /* only its address is used, as the handle */

static unsigned live_sessions(EncoderSession sessions[static MAX_SLOTS])
{
    unsigned count = 0;
    int opening = lock_openings();
    for (unsigned slot = 0; slot < MAX_SLOTS; slot++) {
        Holder holder;
        int file = open_slot((int)slot, 0);
        if (file < 0)
            continue;
        if (read_holder(file, &holder) && !take(file))
            sessions[count++] = (EncoderSession){.id = slot + 1, .pid = (unsigned)holder.pid,
                                                 .width = (unsigned)holder.width, .height = (unsigned)holder.height};
        close(file);
    }
    close(opening);
    return count;
}

static unsigned session_count(void)
{
    EncoderSession sessions[MAX_SLOTS];
    return live_sessions(sessions);
}

static Status copy_text(char *out, unsigned room, const char *text)
{
    return (unsigned)snprintf(out, room, "%s", text) < room ? SUCCESS : INSUFFICIENT_SIZE;
}

EXPORTED Status nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    return card() == NO_DEVICE ? DRIVER_NOT_LOADED : SUCCESS;
}

EXPORTED Status nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}

EXPORTED Status nvmlShutdown(void)
{
    return SUCCESS;
}

EXPORTED const char *nvmlErrorString(Status status)
{
    switch (status) {
    case SUCCESS: return "Success";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    }
    return "Unknown Error";
}

EXPORTED Status nvmlSystemGetDriverVersion(char *text, unsigned room)
{
    return copy_text(text, room, card() == OLD_DRIVER ? "550.0" : "570.0");
}

EXPORTED Status nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    *version = card() == OLD_DRIVER ? 12020 : 13000;
    return SUCCESS;
}

EXPORTED Status nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = card() == ZERO_DEVICES ? 0 : 1;
    return SUCCESS;
}

EXPORTED Status nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle)
{
    if (index || card() == ZERO_DEVICES)
        return INVALID_ARGUMENT;
    *handle = &device;
    return SUCCESS;
}

EXPORTED Status nvmlDeviceGetIndex(void *handle, unsigned *index)
{
    (void)handle;
    *index = 0;
    return SUCCESS;
}

EXPORTED Status nvmlDeviceGetName(void *handle, char *text, unsigned room)
{
    (void)handle;
    return copy_text(text, room, "Emulated NVENC card");
}

EXPORTED Status nvmlDeviceGetUUID(void *handle, char *text, unsigned room)
{
    (void)handle;
    return copy_text(text, room, setting(PREFIX "UUID", "GPU-00000000-0000-0000-0000-000000000000"));
}

EXPORTED Status nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor)
{
    (void)handle;
    *major = 8;
    *minor = 9;
    return SUCCESS;
}

EXPORTED Status nvmlDeviceGetMemoryInfo(void *handle, Memory *memory)
{
    (void)handle;
    memory->total = 8192 * MIB;
    memory->used = (512 + 128 * session_count()) * MIB;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

EXPORTED Status nvmlDeviceGetMemoryInfo_v2(void *handle, Memory2 *memory)
{
    Memory plain;
    nvmlDeviceGetMemoryInfo(handle, &plain);
    *memory = (Memory2){.version = memory->version, .total = plain.total, .free = plain.free, .used = plain.used};
    return SUCCESS;
}

EXPORTED Status nvmlDeviceGetUtilizationRates(void *handle, Utilization *utilization)
{
    (void)handle;
    *utilization = (Utilization){0};
    return SUCCESS;
}

EXPORTED Status nvmlDeviceGetEncoderUtilization(void *handle, unsigned *percent, unsigned *period_us)
{
    (void)handle;
    unsigned sessions = session_count();
    *percent = sessions < 2 ? 50 * sessions : 100;
    *period_us = 100000;
    return SUCCESS;
}

EXPORTED Status nvmlDeviceGetDecoderUtilization(void *handle, unsigned *percent, unsigned *period_us)
{
    (void)handle;
    *percent = 0;
    *period_us = 100000;
    return SUCCESS;
}

/* Real cards without an encoder answer 100 too. */
EXPORTED Status nvmlDeviceGetEncoderCapacity(void *handle, int codec, unsigned *percent)
{
    (void)handle, (void)codec;
    *percent = 100;
    return SUCCESS;
}

EXPORTED Status nvmlDeviceGetEncoderStats(void *handle, unsigned *sessions, unsigned *average_fps, unsigned *latency)
{
    (void)handle;
    *sessions = session_count();
    *average_fps = *latency = 0;
    return SUCCESS;
}

EXPORTED Status nvmlDeviceGetEncoderSessions(void *handle, unsigned *count, EncoderSession *sessions)
{
    (void)handle;
    EncoderSession live[MAX_SLOTS];
    unsigned room = *count;
    *count = live_sessions(live);
    if (!sessions)
        return SUCCESS;
    if (*count > room)
        return INSUFFICIENT_SIZE;
    memcpy(sessions, live, *count * sizeof *live);
    return SUCCESS;
}
