/* What the three emulated libraries share: their settings, the state folder, the log, the session slots and the faults.

   All processes that use one state folder are one emulated host. The folder holds

     log.jsonl      one JSON object per event, each appended by a single write(2)
     opening.lock   flock'ed while a session is being opened, so that openings happen one after the other
     slot-NN        one per session; flock'ed while the session lives, by the process that encodes in it. The kernel
                    drops the lock however that process ends. The text is "PID WIDTH HEIGHT" while the session is
                    open and nothing after it was closed: text without a lock means that the holder died.
     fault ...      a fault that happens once on this host has happened

   tests/nvenc_emulator/driver.py reads and writes the same files. Settings are environment variables; a setting that
   makes no sense ends the process, because an emulator that quietly does something else proves nothing. */

#ifndef EMULATION_H
#define EMULATION_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "DUALFACE_EMULATED_NVENC_"
#define EXPORTED __attribute__((visibility("default")))

enum { MAX_SLOTS = 64, RECORD_SIZE = 64 };

__attribute__((noreturn, format(printf, 1, 2))) static inline void give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("emulated NVENC driver: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(70);
}

/* ---- Settings ---- */

static inline const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static inline long number_setting(const char *name, long otherwise, long least, long most)
{
    const char *text = setting(name, NULL);
    if (!text)
        return otherwise;
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value < least || value > most)
        give_up("%s is '%s', expected a whole number from %ld to %ld", name, text, least, most);
    return value;
}

/* A setting in milliseconds, such as 1.4124, as nanoseconds. */
static inline int64_t duration_setting(const char *name)
{
    const char *text = setting(name, "0");
    char *end;
    double milliseconds = strtod(text, &end);
    if (*end || !(milliseconds >= 0 && milliseconds <= 3600000))
        give_up("%s is '%s', expected milliseconds from 0 to 3600000", name, text);
    return (int64_t)(milliseconds * 1e6);
}

typedef enum { NVENC, NO_ENCODER, NO_DEVICE, ZERO_DEVICES, OLD_DRIVER } Card;

static inline Card card(void)
{
    static const char *names[] = {"nvenc", "no-encoder", "no-device", "zero-devices", "old-driver"};
    const char *text = setting(PREFIX "CARD", names[NVENC]);
    for (Card i = NVENC; i <= OLD_DRIVER; i++)
        if (!strcmp(text, names[i]))
            return i;
    give_up(PREFIX "CARD is '%s', expected nvenc, no-encoder, no-device, zero-devices or old-driver", text);
}

/* ---- The state folder ---- */

static inline void state_path(char path[static 4096], const char *name)
{
    char otherwise[64];
    snprintf(otherwise, sizeof otherwise, "/tmp/dualface-emulated-nvenc-%ld", (long)getuid());
    const char *folder = setting(PREFIX "DIR", otherwise);
    if (mkdir(folder, 0700) && errno != EEXIST)
        give_up("cannot make the state folder %s: %s", folder, strerror(errno));
    if (snprintf(path, 4096, "%s/%s", folder, name) >= 4096)
        give_up("the name of the state folder is too long: %s", folder);
}

static inline int open_state(const char *name, int flags)
{
    char path[4096];
    state_path(path, name);
    int file = open(path, flags | O_CLOEXEC, 0600);
    if (file < 0 && ((flags & O_CREAT) || errno != ENOENT) && !((flags & O_EXCL) && errno == EEXIST))
        give_up("cannot open %s: %s", path, strerror(errno));
    return file;
}

/* Append {"time": ..., "event": EVENT, "pid": PID, DETAILS}. The time is CLOCK_MONOTONIC in seconds, as in Python's
   time.monotonic(). A single write to a file opened with O_APPEND is never mixed with another process's. */
__attribute__((format(printf, 3, 4))) static inline void log_event(const char *event, long pid, const char *details, ...)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    char line[1024];
    int length = snprintf(line, sizeof line, "{\"time\": %lld.%09ld, \"event\": \"%s\", \"pid\": %ld",
                          (long long)now.tv_sec, now.tv_nsec, event, pid);
    va_list arguments;
    va_start(arguments, details);
    if (*details) {
        length += snprintf(line + length, sizeof line - (size_t)length, ", ");
        length += vsnprintf(line + length, sizeof line - (size_t)length, details, arguments);
    }
    va_end(arguments);
    length += snprintf(line + length, sizeof line - (size_t)length, "}\n");
    int log = open_state("log.jsonl", O_WRONLY | O_APPEND | O_CREAT);
    if (length >= (int)sizeof line || write(log, line, (size_t)length) != length)
        give_up("cannot write the log: %s", strerror(errno));
    close(log);
}

/* ---- Session slots ---- */

typedef struct {
    long pid;
    int width, height;
} Holder;

static inline int open_slot(int slot, int flags)
{
    char name[32];
    snprintf(name, sizeof name, "slot-%02d", slot);
    return open_state(name, O_RDWR | flags);
}

static inline bool take(int file)
{
    return flock(file, LOCK_EX | LOCK_NB) == 0;
}

static inline bool read_holder(int file, Holder *holder)
{
    char text[RECORD_SIZE + 1] = {0};
    *holder = (Holder){0};
    return pread(file, text, RECORD_SIZE, 0) > 0 &&
           sscanf(text, "%ld %d %d", &holder->pid, &holder->width, &holder->height) >= 1;
}

static inline void write_holder(int file, int width, int height)
{
    char text[RECORD_SIZE];
    int length = snprintf(text, sizeof text, "%ld %d %d\n", (long)getpid(), width, height);
    if (pwrite(file, text, (size_t)length, 0) != length || ftruncate(file, length))
        give_up("cannot write a session slot: %s", strerror(errno));
}

static inline void clear_holder(int file)
{
    if (ftruncate(file, 0))
        give_up("cannot clear a session slot: %s", strerror(errno));
}

static inline int lock_openings(void)
{
    int file = open_state("opening.lock", O_RDWR | O_CREAT);
    while (flock(file, LOCK_EX))
        if (errno != EINTR)
            give_up("cannot lock opening.lock: %s", strerror(errno));
    return file;
}

/* Note the sessions whose process died: only whoever holds the opening lock may call this. */
static inline void log_lost_sessions(void)
{
    for (int slot = 0; slot < MAX_SLOTS; slot++) {
        Holder holder;
        int file = open_slot(slot, 0);
        if (file < 0)
            continue;
        if (read_holder(file, &holder) && take(file)) {
            log_event("lost", holder.pid, "\"slot\": %d", slot);
            clear_holder(file);
        }
        close(file);
    }
}

/* ---- Faults ---- */

/* FAULT is KIND or KIND,once, and KIND is one of
     error:CODE@N      the Nth picture of a session (from 1) is refused with CODE, at every attempt
     error:CODE@CALL   the call of that name (one of failing_calls) returns CODE, such as error:10@CreateInputBuffer
     hang@N            encoding the Nth picture never returns
     hang@CALL         the call of that name never returns
     crash@N           encoding the Nth picture ends the process by SIGABRT
     SILENT@A-B        the Ath to the Bth picture of a session are encoded as something else, with success: SILENT is
                       noise, green, half (the lower half is gray) or repeat (picture A again)
   With ",once" the first process of the host that gets there meets the fault, once. */
typedef struct {
    enum { NO_FAULT, ERROR, HANG, CRASH, NOISE, GREEN, HALF, REPEAT } kind;
    int code;
    long picture, last;
    char call[48];
    bool once;
    const char *text;
} Fault;

static const char *const failing_calls[] = {
    "cuInit", "cuCtxCreate", "cuMemAlloc", "OpenEncodeSessionEx", "InitializeEncoder", "CreateInputBuffer",
    "CreateBitstreamBuffer", "RegisterResource", "MapInputResource", "LockBitstream", "DestroyEncoder",
};

static const struct {
    const char *name;
    int kind;
} silent_faults[] = {{"noise", NOISE}, {"green", GREEN}, {"half", HALF}, {"repeat", REPEAT}};

/* The silent fault of that name, or NO_FAULT. */
static inline int silent_fault(const char *name)
{
    for (size_t i = 0; i < sizeof silent_faults / sizeof *silent_faults; i++)
        if (!strcmp(name, silent_faults[i].name))
            return silent_faults[i].kind;
    return NO_FAULT;
}

static inline bool can_fail(const char *call)
{
    for (size_t i = 0; i < sizeof failing_calls / sizeof *failing_calls; i++)
        if (!strcmp(call, failing_calls[i]))
            return true;
    return false;
}

static inline Fault fault(void)
{
    Fault found = {.text = setting(PREFIX "FAULT", "")};
    if (!*found.text)
        return found;
    char kind[64] = "", end[64] = "", silent[16] = "";
    int used = 0;
    const char *comma = strchr(found.text, ',');
    snprintf(kind, sizeof kind, "%.*s", comma ? (int)(comma - found.text) : (int)strlen(found.text), found.text);
    if (comma)
        snprintf(end, sizeof end, "%s", comma + 1);
    found.once = !strcmp(end, "once");
    int length = (int)strlen(kind);
    if ((sscanf(kind, "error:%d@%ld%n", &found.code, &found.picture, &used) == 2 && used == length) ||
        (sscanf(kind, "error:%d@%47[A-Za-z0-9]%n", &found.code, found.call, &used) == 2 && used == length))
        found.kind = ERROR;
    else if ((sscanf(kind, "hang@%ld%n", &found.picture, &used) == 1 && used == length) ||
             (sscanf(kind, "hang@%47[A-Za-z]%n", found.call, &used) == 1 && used == length))
        found.kind = HANG;
    else if (sscanf(kind, "crash@%ld%n", &found.picture, &used) == 1 && used == length)
        found.kind = CRASH;
    else if (sscanf(kind, "%15[a-z]@%ld-%ld%n", silent, &found.picture, &found.last, &used) == 3 && used == length &&
             found.last >= found.picture)
        found.kind = silent_fault(silent);
    bool sane = found.kind && (found.once || !comma) && (found.kind != ERROR || found.code > 0) &&
                (found.picture > 0 || can_fail(found.call)) && strlen(found.text) < 64 && !strchr(found.text, '/');
    if (!sane)
        give_up(PREFIX "FAULT is '%s', expected error:CODE@N, error:CODE@CALL, hang@N, hang@CALL, crash@N or noise, "
                "green, half or repeat@A-B, then nothing or ,once",
                found.text);
    return found;
}

/* Whether this fault happens now, and log it if so. */
static inline bool strikes(const Fault *fault, int slot)
{
    if (fault->once) {
        char name[80];
        snprintf(name, sizeof name, "fault %s", fault->text);
        int mark = open_state(name, O_WRONLY | O_CREAT | O_EXCL);
        if (mark < 0)
            return false;
        close(mark);
    }
    if (slot < 0)
        log_event("fault", getpid(), "\"fault\": \"%s\"", fault->text);
    else
        log_event("fault", getpid(), "\"slot\": %d, \"fault\": \"%s\"", slot, fault->text);
    return true;
}

/* The code with which the call of that name has to fail, or 0; never returns if it has to hang. `slot` is negative before a session is open. */
static inline int injected_error(const char *call, int slot)
{
    Fault wanted = fault();
    if (strcmp(wanted.call, call) || !strikes(&wanted, slot))
        return 0;
    while (wanted.kind == HANG)
        pause();
    return wanted.code;
}

#endif
