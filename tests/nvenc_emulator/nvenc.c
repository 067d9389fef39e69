/* libnvidia-encode.so.1: an NVENC driver without an encoder, for FFmpeg's h264_nvenc with pictures in system memory or
   on the card.

   It speaks NVENC API 13.0 and encodes H.264 that decodes to exactly the pictures that went in: every macroblock is
   stored as it is (I_PCM), or, in a P picture, skipped where it equals the one before. Or it replays a stream that was
   encoded elsewhere. Each session has an engine, a thread that works like a card's: a picture is read when its turn
   comes, not when it is handed over, and its packet is ready when its pace says so. Pictures on the card are copied by
   whatever libcuda.so.1 is loaded: cuda.c's, or a real card's. Sessions are counted across all processes of the emulated
   host, everything that a test may want to prove is logged, and faults happen when asked for (see emulation.h). The
   structures below declare only what FFmpeg sets or reads; their sizes are asserted. */

#include "emulation.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>

/* ---- The interface: status codes, identifiers and structures ---- */

typedef enum {
    SUCCESS = 0,
    UNSUPPORTED_DEVICE = 2,
    INVALID_PTR = 6,
    INVALID_PARAM = 8,
    OUT_OF_MEMORY = 10,
    UNSUPPORTED_PARAM = 12,
    INVALID_VERSION = 15,
    GENERIC = 20,
    INCOMPATIBLE_CLIENT_KEY = 21,
    UNIMPLEMENTED = 22,
    RESOURCE_REGISTER_FAILED = 23,
    RESOURCE_NOT_MAPPED = 25,
} Status;

enum { API_13_0 = (13 << 4) | 0, API_12_2 = (12 << 4) | 2 };
enum { NV12 = 0x1, YV12 = 0x10 };
enum { FORCE_INTRA = 0x1, FORCE_IDR = 0x2, OUTPUT_HEADERS = 0x4, END_OF_STREAM = 0x8 };
enum { PICTURE_P = 0, PICTURE_I = 2, PICTURE_IDR = 3, FRAME = 1 };
enum { DISABLE_HEADERS = 0x80, REPEAT_HEADERS = 0x1000 };

#define VERSIONED(revision) (0x7000000Du + ((uint32_t)(revision) << 16))
#define NEWER(revision) (VERSIONED(revision) | 0x80000000u)
#define ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), "the size of " #type)
#define ASSERT_OFFSET(type, field, offset) \
    _Static_assert(offsetof(type, field) == (offset), "the offset of " #type "." #field)

typedef struct {
    uint8_t bytes[16];
} Identifier;

static const Identifier H264 = {{0x62, 0x27, 0xC8, 0x6B, 0x63, 0x4E, 0xA4, 0x4C, 0xAA, 0x85, 0x1E, 0x50, 0xF3, 0x21, 0xF6, 0xBF}};
static const Identifier BASELINE = {{0xAA, 0xBC, 0x27, 0x07, 0xC4, 0x78, 0x83, 0x4C, 0x8C, 0x2F, 0xEF, 0x3D, 0xFF, 0x26, 0x7C, 0x6A}};
static const Identifier MAIN = {{0xD4, 0xC1, 0xB5, 0x60, 0xFE, 0x67, 0x90, 0x47, 0x94, 0xD5, 0xC4, 0x72, 0x6D, 0x7B, 0x6E, 0x6D}};
static const Identifier HIGH = {{0x09, 0xC3, 0xCB, 0xE7, 0x7A, 0x4F, 0x89, 0x4B, 0xAF, 0x2A, 0xD5, 0x37, 0xC9, 0x2B, 0xE3, 0x10}};
static const Identifier PRESETS[7] = {
    {{0x3E, 0x8D, 0x0A, 0xFC, 0xF8, 0x45, 0xF8, 0x4C, 0x80, 0xC7, 0x29, 0x88, 0x71, 0x59, 0x0E, 0xBF}},
    {{0xB8, 0xCF, 0x81, 0xF5, 0xD6, 0x88, 0x81, 0x43, 0x93, 0xF0, 0xDF, 0x13, 0xF9, 0xC2, 0x7D, 0xAB}},
    {{0x10, 0x01, 0x85, 0x36, 0x07, 0x3A, 0x1F, 0x44, 0x94, 0xD5, 0x36, 0x70, 0x63, 0x1F, 0x91, 0xF6}},
    {{0x26, 0xB8, 0xA7, 0x90, 0x06, 0xDF, 0x62, 0x48, 0xB9, 0xD2, 0xCD, 0x6D, 0x73, 0xA0, 0x86, 0x81}},
    {{0xB4, 0xE6, 0xC6, 0x21, 0x7A, 0x29, 0xBA, 0x4C, 0x99, 0x8F, 0xB6, 0xCB, 0xDE, 0x72, 0xAD, 0xE3}},
    {{0x79, 0xC2, 0x75, 0x8E, 0x99, 0x62, 0xB6, 0x4A, 0x83, 0x02, 0x0B, 0x21, 0x5A, 0x33, 0x5C, 0xF5}},
    {{0x12, 0x8C, 0x84, 0x84, 0x71, 0x6F, 0x13, 0x4C, 0x93, 0x1B, 0x53, 0xE2, 0x83, 0xF5, 0x79, 0x74}},
};

static bool same(const Identifier *a, const Identifier *b)
{
    return !memcmp(a, b, sizeof *a);
}

typedef struct {
    uint32_t version, device_type;
    void *device;
    uint64_t reserved;
    uint32_t api_version, padding[381];
} OpenParameters;
ASSERT_OFFSET(OpenParameters, api_version, 24);
ASSERT_SIZE(OpenParameters, 1552);

typedef struct {
    uint32_t version, capability, padding[62];
} CapabilityQuery;
ASSERT_SIZE(CapabilityQuery, 256);

typedef struct {
    uint32_t version, mode, constant_qp[3], average_bit_rate, max_bit_rate, vbv_size, vbv_delay, flags;
    uint32_t min_qp[3], max_qp[3], initial_qp[3], padding_1[3];
    uint8_t target_quality, target_quality_fraction;
    uint16_t lookahead;
    uint32_t padding_2[9];
} RateControl;
ASSERT_OFFSET(RateControl, target_quality, 128 - 40);
ASSERT_SIZE(RateControl, 128);

typedef struct {
    uint32_t overscan_present, overscan, signal_type_present, video_format, full_range;
    uint32_t color_description_present, primaries, transfer, matrix;
} Vui;

typedef struct {
    uint32_t version;
    Identifier profile;
    uint32_t gop_length, frame_interval_p, monochrome, field_mode, mv_precision;
    RateControl rate_control;
    uint32_t h264_flags, h264_level, idr_period, padding_1[8], entropy_coding, padding_2[6];
    Vui vui;
    uint32_t padding_3[21], chroma_format, padding_4[4], output_bit_depth, input_bit_depth, padding_5[799];
} Configuration;
ASSERT_OFFSET(Configuration, rate_control, 40);
ASSERT_OFFSET(Configuration, h264_flags, 168);
ASSERT_OFFSET(Configuration, entropy_coding, 212);
ASSERT_OFFSET(Configuration, vui.signal_type_present, 248);
ASSERT_OFFSET(Configuration, vui.matrix, 272);
ASSERT_OFFSET(Configuration, chroma_format, 360);
ASSERT_OFFSET(Configuration, output_bit_depth, 380);
ASSERT_SIZE(Configuration, 3584);

typedef struct {
    uint32_t version, padding_1;
    Configuration configuration;
    uint32_t padding_2[384];
} PresetConfiguration;
ASSERT_SIZE(PresetConfiguration, 5128);

typedef struct {
    uint32_t version;
    Identifier codec, preset;
    uint32_t width, height, dar_width, dar_height, rate_numerator, rate_denominator;
    uint32_t asynchronous, decide_picture_types, flags, padding_1[4];
    Configuration *configuration;
    uint32_t padding_2[10], tuning, padding_3[415];
} InitializeParameters;
ASSERT_OFFSET(InitializeParameters, configuration, 88);
ASSERT_OFFSET(InitializeParameters, tuning, 136);
ASSERT_SIZE(InitializeParameters, 1800);

typedef struct {
    uint32_t version, padding_1;
    InitializeParameters initialize;
    uint32_t flags, padding_2;
} ReconfigureParameters;
ASSERT_SIZE(ReconfigureParameters, 1816);

typedef struct {
    uint32_t version, width, height, heap, format, padding_1;
    void *buffer;
    uint32_t padding_2[186];
} CreateInputBuffer;
ASSERT_OFFSET(CreateInputBuffer, buffer, 24);
ASSERT_SIZE(CreateInputBuffer, 776);

typedef struct {
    uint32_t version, type, width, height, pitch, index;
    void *resource, *registered;
    uint32_t format, usage, padding[372];
} RegisterResource;
ASSERT_OFFSET(RegisterResource, resource, 24);
ASSERT_OFFSET(RegisterResource, format, 40);
ASSERT_SIZE(RegisterResource, 1536);

typedef struct {
    uint32_t version, index;
    void *input, *registered, *mapped;
    uint32_t format, padding[377];
} MapInputResource;
ASSERT_OFFSET(MapInputResource, registered, 16);
ASSERT_OFFSET(MapInputResource, format, 32);
ASSERT_SIZE(MapInputResource, 1544);

typedef struct {
    uint32_t version, padding_1[3];
    void *buffer;
    uint32_t padding_2[188];
} CreateBitstreamBuffer;
ASSERT_OFFSET(CreateBitstreamBuffer, buffer, 16);
ASSERT_SIZE(CreateBitstreamBuffer, 776);

typedef struct {
    uint32_t version, flags;
    void *buffer, *data;
    uint32_t pitch, padding[379];
} LockInput;
ASSERT_OFFSET(LockInput, pitch, 24);
ASSERT_SIZE(LockInput, 1544);

typedef struct {
    uint32_t version, width, height, pitch, flags, index;
    uint64_t timestamp, duration;
    void *input, *output;
    uint64_t event;
    uint32_t format, structure, type, padding[821];
} PictureParameters;
ASSERT_OFFSET(PictureParameters, input, 40);
ASSERT_OFFSET(PictureParameters, format, 64);
ASSERT_SIZE(PictureParameters, 3360);

typedef struct {
    uint32_t version, flags;
    void *buffer;
    uint64_t slice_offsets;
    uint32_t index, status, slices, size;
    uint64_t timestamp, duration;
    void *data;
    uint32_t type, structure, average_qp, padding[367];
} LockBitstream;
ASSERT_OFFSET(LockBitstream, size, 36);
ASSERT_OFFSET(LockBitstream, data, 56);
ASSERT_OFFSET(LockBitstream, average_qp, 72);
ASSERT_SIZE(LockBitstream, 1544);

typedef struct {
    uint32_t version, room, padding_1[2];
    uint8_t *buffer;
    uint32_t *written;
    uint32_t padding_2[378];
} SequencePayload;
ASSERT_OFFSET(SequencePayload, buffer, 16);
ASSERT_SIZE(SequencePayload, 1544);

/* ---- What the emulator keeps ---- */

enum {
    LUMA = 256,
    CHROMA = 64,
    MACROBLOCK = LUMA + 2 * CHROMA, /* bytes: 16 rows of luma, 8 rows of Cb, 8 rows of Cr */
    HEADER_ROOM = 256,
    LEAST_WIDTH = 145,
    LEAST_HEIGHT = 49,
    LOG2_MAX_FRAME_NUM = 8,
};

/* A picture to encode: system memory of ours, or memory on the card that was registered. */
typedef struct InputBuffer {
    struct InputBuffer *next;
    uint8_t *data;
    bool on_card, mapped;
    uint32_t format, width, height, pitch;
} InputBuffer;

typedef struct BitstreamBuffer {
    struct BitstreamBuffer *next; /* the one that was handed over after this one, while both wait for the engine */
    uint8_t *room;
    const uint8_t *data;
    uint32_t size, type;
    bool ready;
    int64_t submitted, due;
    PictureParameters picture;
} BitstreamBuffer;

/* A stream that was encoded elsewhere, as the pictures of one file. */
typedef struct {
    uint8_t *file;
    size_t size;
    uint8_t headers[256];
    uint32_t headers_size;
    struct Replayed {
        size_t first, stop; /* bytes of the file */
        uint32_t type;
    } *pictures;
    long count;
} Replay;

typedef struct {
    int slot, slot_file;
    void *context, *stream; /* of CUDA */
    Fault fault;
    bool spoiling;
    int64_t pace; /* nanoseconds */
    long submitted, pictures, checksum_every;
    const char *last_error;
    InputBuffer *inputs;
    Replay replay;
    /* Known from InitializeEncoder on: */
    uint32_t width, height, columns, rows, gop_length;
    int profile;
    bool repeat_headers;
    Vui vui;
    /* The engine, and what it has still to do. */
    pthread_t engine;
    bool engine_runs, ending;
    pthread_mutex_t lock;
    pthread_cond_t handed_over, done;
    BitstreamBuffer *waiting, **last_waiting;
    int64_t ready_at, late; /* `late`: by how much all calls come later than they would at a card that is never late */
    /* The picture being encoded and the one before, as macroblocks; the coded picture before emulation prevention; a
       picture of the card, copied. */
    uint8_t *current, *previous, *raw, *copied;
    size_t copied_size;
    int (*copy_2d)(const void *copy, void *stream), (*synchronize)(void *stream);
    uint32_t since_idr, idr_pictures;
} Session;

/* A refusal that the API explains through GetLastErrorString. */
static Status refused(Session *session, Status status, const char *reason)
{
    session->last_error = reason;
    return status;
}

static Status injected(Session *session, const char *call)
{
    int code = injected_error(call, session->slot);
    return code ? refused(session, (Status)code, "a fault injected by the emulated driver") : SUCCESS;
}

/* ---- H.264: bits, parameter sets and pictures (ITU-T H.264, clauses 7.3 and B.1) ---- */

typedef struct {
    uint8_t *next;
    uint32_t byte, bits;
} BitWriter;

static void put(BitWriter *writer, int count, uint32_t value)
{
    while (count--) {
        writer->byte = writer->byte << 1 | (value >> count & 1);
        if (++writer->bits == 8) {
            *writer->next++ = (uint8_t)writer->byte;
            writer->byte = writer->bits = 0;
        }
    }
}

static void put_ue(BitWriter *writer, uint32_t value)
{
    int length = 31 - __builtin_clz(value + 1);
    put(writer, length, 0);
    put(writer, length + 1, value + 1);
}

static void align_with_zeros(BitWriter *writer)
{
    if (writer->bits)
        put(writer, 8 - (int)writer->bits, 0);
}

static void put_trailing_bits(BitWriter *writer)
{
    put(writer, 1, 1);
    align_with_zeros(writer);
}

/* Write a start code and the NAL unit whose raw bytes lie in [raw, end), and return where it ends. Between raw bytes
   that could look like a start code (two zeros, then a byte up to 3) goes a 3. memchr finds the zeros, so that
   the 3 MB of a 1080p picture are copied in long runs. */
static uint8_t *put_nal_unit(uint8_t *out, const uint8_t *raw, const uint8_t *end)
{
    static const uint8_t start_code[4] = {0, 0, 0, 1};
    memcpy(out, start_code, sizeof start_code);
    out += sizeof start_code;
    const uint8_t *copied = raw, *from = raw, *zero;
    while (end - from > 2 && (zero = memchr(from, 0, (size_t)(end - from - 2)))) {
        if (zero[1]) {
            from = zero + 2;
        } else if (zero[2] > 3) {
            from = zero + 3;
        } else {
            size_t run = (size_t)(zero + 2 - copied);
            memcpy(out, copied, run);
            out += run;
            *out++ = 3;
            copied = from = zero + 2;
        }
    }
    size_t rest = (size_t)(end - copied);
    memcpy(out, copied, rest);
    return out + rest;
}

static uint8_t *put_sequence_parameters(const Session *session, uint8_t *out)
{
    uint8_t raw[HEADER_ROOM / 4];
    BitWriter w = {.next = raw};
    put(&w, 8, 0x67); /* nal_ref_idc 3, nal_unit_type 7 */
    put(&w, 8, (uint32_t)session->profile);
    put(&w, 8, 0);  /* constraint flags */
    put(&w, 8, 62); /* level 6.2 */
    put_ue(&w, 0);  /* seq_parameter_set_id */
    if (session->profile == 100) {
        put_ue(&w, 1); /* chroma_format_idc: 4:2:0 */
        put_ue(&w, 0); /* bit_depth_luma_minus8 */
        put_ue(&w, 0); /* bit_depth_chroma_minus8 */
        put(&w, 2, 0); /* no transform bypass, no scaling matrix */
    }
    put_ue(&w, LOG2_MAX_FRAME_NUM - 4);
    put_ue(&w, 2); /* pic_order_cnt_type: output order is decoding order */
    put_ue(&w, 1); /* max_num_ref_frames */
    put(&w, 1, 0); /* no gaps in frame_num */
    put_ue(&w, session->columns - 1);
    put_ue(&w, session->rows - 1);
    put(&w, 2, 3); /* frames only; direct_8x8_inference */
    put(&w, 1, 1); /* cropping, in units of two samples */
    put_ue(&w, 0);
    put_ue(&w, (session->columns * 16 - session->width) / 2);
    put_ue(&w, 0);
    put_ue(&w, (session->rows * 16 - session->height) / 2);
    put(&w, 1, 1); /* VUI */
    put(&w, 2, 0); /* no aspect ratio, no overscan */
    const Vui *vui = &session->vui;
    put(&w, 1, !!vui->signal_type_present);
    if (vui->signal_type_present) {
        put(&w, 3, vui->video_format);
        put(&w, 1, vui->full_range);
        put(&w, 1, !!vui->color_description_present);
        if (vui->color_description_present) {
            put(&w, 8, vui->primaries);
            put(&w, 8, vui->transfer);
            put(&w, 8, vui->matrix);
        }
    }
    put(&w, 5, 0); /* no chroma location, timing, HRD (two of them) or pic_struct */
    put(&w, 1, 1); /* bitstream restriction: a decoder need not wait for pictures to reorder */
    put(&w, 1, 1); /* motion_vectors_over_pic_boundaries */
    put_ue(&w, 0); /* max_bytes_per_pic_denom: no limit */
    put_ue(&w, 0); /* max_bits_per_mb_denom: no limit */
    put_ue(&w, 10);
    put_ue(&w, 10); /* motion vectors */
    put_ue(&w, 0);  /* max_num_reorder_frames */
    put_ue(&w, 1);  /* max_dec_frame_buffering */
    put_trailing_bits(&w);
    return put_nal_unit(out, raw, w.next);
}

static uint8_t *put_picture_parameters(uint8_t *out)
{
    uint8_t raw[HEADER_ROOM / 4];
    BitWriter w = {.next = raw};
    put(&w, 8, 0x68); /* nal_ref_idc 3, nal_unit_type 8 */
    put_ue(&w, 0);    /* pic_parameter_set_id */
    put_ue(&w, 0);    /* seq_parameter_set_id */
    put(&w, 2, 0);    /* CAVLC; no field order */
    put_ue(&w, 0);    /* one slice group */
    put_ue(&w, 0);    /* one reference in list 0 */
    put_ue(&w, 0);    /* one reference in list 1 */
    put(&w, 3, 0);    /* no weighted prediction */
    put_ue(&w, 0);    /* pic_init_qp 26 */
    put_ue(&w, 0);    /* pic_init_qs 26 */
    put_ue(&w, 0);    /* chroma_qp_index_offset */
    put(&w, 3, 4);    /* deblocking control present; no constrained intra, no redundant pictures */
    put_trailing_bits(&w);
    return put_nal_unit(out, raw, w.next);
}

/* One picture as one slice: the deblocking filter is off, and every macroblock is I_PCM or skipped. */
static uint8_t *put_picture(Session *session, uint32_t type, uint8_t *out)
{
    bool predicted = type == PICTURE_P;
    BitWriter w = {.next = session->raw};
    put(&w, 8, type == PICTURE_IDR ? 0x65 : 0x61); /* nal_ref_idc 3, nal_unit_type 5 or 1 */
    put_ue(&w, 0);                                 /* first_mb_in_slice */
    put_ue(&w, predicted ? 5 : 7);                 /* slice_type: all P, or all I */
    put_ue(&w, 0);                                 /* pic_parameter_set_id */
    put(&w, LOG2_MAX_FRAME_NUM, session->since_idr);
    if (type == PICTURE_IDR)
        put_ue(&w, session->idr_pictures & 1); /* idr_pic_id: neighboring ones differ */
    if (predicted)
        put(&w, 2, 0); /* one reference, in its natural place */
    if (type == PICTURE_IDR)
        put(&w, 2, 0); /* output the pictures before; a short-term reference */
    else
        put(&w, 1, 0); /* sliding window */
    put_ue(&w, 0);     /* slice_qp_delta */
    put_ue(&w, 1);     /* disable_deblocking_filter_idc */

    uint32_t skipped = 0;
    const uint8_t *macroblock = session->current, *before = session->previous;
    for (uint32_t i = 0; i < session->columns * session->rows; i++, macroblock += MACROBLOCK, before += MACROBLOCK) {
        if (predicted && !memcmp(macroblock, before, MACROBLOCK)) {
            skipped++; /* all motion vectors are zero, so a skipped macroblock is the one in the same place */
            continue;
        }
        if (predicted)
            put_ue(&w, skipped);
        skipped = 0;
        put_ue(&w, predicted ? 30 : 25); /* mb_type: I_PCM */
        align_with_zeros(&w);
        memcpy(w.next, macroblock, MACROBLOCK);
        w.next += MACROBLOCK;
    }
    if (skipped)
        put_ue(&w, skipped);
    put_trailing_bits(&w);
    return put_nal_unit(out, session->raw, w.next);
}

/* Copy the input picture into macroblocks. Columns beyond the picture come from the padding of the rows, rows below it
   repeat the last one; both are cropped away by the decoder. */
static void read_macroblocks(const Session *session, const InputBuffer *input, const uint8_t *luma, uint8_t *out)
{
    const uint8_t *chroma = luma + (size_t)input->pitch * input->height;
    const size_t half_pitch = input->pitch / 2, half_rows = (input->height + 1) / 2;
    const uint8_t *v_plane = chroma, *u_plane = chroma + half_pitch * half_rows;
    for (uint32_t row = 0; row < session->rows; row++)
        for (uint32_t column = 0; column < session->columns; column++) {
            for (uint32_t y = 0; y < 16; y++, out += 16) {
                size_t line = row * 16 + y < input->height ? row * 16 + y : input->height - 1;
                memcpy(out, luma + line * input->pitch + column * 16, 16);
            }
            for (uint32_t y = 0; y < 8; y++, out += 8) {
                size_t line = row * 8 + y < half_rows ? row * 8 + y : half_rows - 1;
                if (input->format == NV12) {
                    const uint8_t *pairs = chroma + line * input->pitch + column * 16;
                    for (int x = 0; x < 8; x++) {
                        out[x] = pairs[2 * x];
                        out[x + CHROMA] = pairs[2 * x + 1];
                    }
                } else {
                    memcpy(out, u_plane + line * half_pitch + column * 8, 8);
                    memcpy(out + CHROMA, v_plane + line * half_pitch + column * 8, 8);
                }
            }
            out += CHROMA;
        }
}

/* ---- Replayed streams (H.264, Annex B) ---- */

/* Where the next start code (0 0 1) begins, or the end. */
static const uint8_t *find_start_code(const uint8_t *from, const uint8_t *end)
{
    for (const uint8_t *one = from + 2; one < end && (one = memchr(one, 1, (size_t)(end - one))); one++)
        if (!one[-1] && !one[-2])
            return one - 2;
    return end;
}

/* slice_type, the second ue(v) of a slice whose first one is 0, as 0 to 4. */
static uint32_t slice_type(const uint8_t *payload)
{
    uint32_t bits = ((uint32_t)payload[0] << 8 | payload[1]) << 17; /* behind the first one's single bit */
    int zeros = __builtin_clz(bits | 1);
    return ((bits >> (31 - 2 * zeros)) - 1) % 5;
}

/* Read what REPLAY names, WIDTHxHEIGHT:FILE, if pictures of that size are encoded: index the stream's parameter sets once,
   and for each picture its bytes without them. */
static void read_replay(Replay *replay, uint32_t width, uint32_t height)
{
    const char *text = setting(PREFIX "REPLAY", NULL), *path = text ? strchr(text, ':') : NULL;
    uint32_t its_width, its_height;
    if (!text)
        return;
    if (!path++ || sscanf(text, "%ux%u:", &its_width, &its_height) != 2)
        give_up(PREFIX "REPLAY is '%s', expected WIDTHxHEIGHT:FILE", text);
    if (its_width != width || its_height != height)
        return;
    enum { SLICE = 1, IDR_SLICE = 5, SPS = 7, PPS = 8, ACCESS_UNIT_DELIMITER = 9, P_SLICE = 0, B_SLICE = 1 };
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (file < 0 || fstat(file, &about))
        give_up("cannot read the stream to replay, %s: %s", path, strerror(errno));
    replay->size = (size_t)about.st_size;
    replay->file = mmap(NULL, replay->size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (replay->file == MAP_FAILED)
        give_up("cannot map the stream to replay, %s: %s", path, strerror(errno));
    const uint8_t *end = replay->file + replay->size, *unit = find_start_code(replay->file, end);
    size_t began = 0; /* of what lies before the next picture's first slice and belongs to it; 0: nothing */
    long room = 0;
    while (unit < end) {
        const uint8_t *next = find_start_code(unit + 3, end);
        /* A start code may have a zero more. */
        size_t first = (size_t)(unit - replay->file) - (unit > replay->file && !unit[-1]);
        size_t stop = (size_t)(next - replay->file) - (next < end && !next[-1]);
        int kind = unit[3] & 31;
        if (kind == SPS || kind == PPS) {
            size_t length = stop - first;
            if (!replay->count && replay->headers_size + length <= sizeof replay->headers) {
                memcpy(replay->headers + replay->headers_size, replay->file + first, length);
                replay->headers_size += (uint32_t)length;
            }
        } else if ((kind == SLICE || kind == IDR_SLICE) && unit[4] & 0x80) { /* first_mb_in_slice is 0 */
            if (replay->count == room)
                replay->pictures = realloc(replay->pictures, (size_t)(room = 2 * room + 1024) * sizeof *replay->pictures);
            uint32_t slices = slice_type(unit + 4);
            if (slices == B_SLICE)
                give_up("%s has B pictures: encode the stream to replay without them", path);
            uint32_t type = kind == IDR_SLICE ? PICTURE_IDR : slices == P_SLICE ? PICTURE_P : PICTURE_I;
            replay->pictures[replay->count++] = (struct Replayed){began ? began : first, stop, type};
            began = 0;
        } else if (kind == SLICE || kind == IDR_SLICE) {
            replay->pictures[replay->count - 1].stop = stop;
        } else if (kind != ACCESS_UNIT_DELIMITER && !began) {
            began = first;
        }
        unit = next;
    }
    if (!replay->count || !replay->headers_size)
        give_up("%s is not H.264 with start codes: there is no picture in it", path);
}

/* ---- Pictures on the card ---- */

/* A function of the CUDA driver that FFmpeg has loaded. */
static void *cuda_function(const char *name)
{
    void *library = dlopen("libcuda.so.1", RTLD_LAZY);
    void *function = library ? dlsym(library, name) : NULL;
    if (!function)
        give_up("cannot find %s in libcuda.so.1", name);
    return function;
}

/* Copy a picture from the card, after the work that the stream has, and return its first byte. */
static const uint8_t *copied_from_card(Session *session, const InputBuffer *input)
{
    enum { HOST = 1, DEVICE = 2 };
    struct {
        struct {
            size_t x, y;
            unsigned type;
            void *host, *device, *array;
            size_t pitch;
        } from, to;
        size_t width, height;
    } copy = {
        .from = {.type = DEVICE, .device = input->data, .pitch = input->pitch},
        .to = {.type = HOST, .pitch = input->pitch},
        /* Two rows of YV12's chroma lie in one row of the pitch. */
        .width = input->format == NV12 ? input->width : input->pitch,
        .height = input->height + (input->height + 1) / 2,
    };
    size_t size = copy.to.pitch * copy.height;
    if (size > session->copied_size) {
        free(session->copied);
        session->copied = calloc(1, size);
        session->copied_size = size;
        if (!session->copied)
            give_up("no memory for a picture of the card");
    }
    copy.to.host = session->copied;
    int code = session->copy_2d(&copy, session->stream);
    if (!code)
        code = session->synchronize(session->stream);
    if (code)
        give_up("copying a picture from the card failed with CUDA's code %d", code);
    return session->copied;
}

/* ---- The engine ---- */

static int64_t monotonic_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void sleep_until(int64_t nanoseconds)
{
    struct timespec end = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR)
        ;
}

/* Put something else in place of the next picture, where a silent fault says so. */
static void spoil(Session *session)
{
    const Fault *fault = &session->fault;
    size_t size = (size_t)session->rows * session->columns * MACROBLOCK;
    if (!session->spoiling || session->pictures >= fault->last)
        return;
    if (fault->kind == GREEN) {
        memset(session->current, 0, size);
    } else if (fault->kind == HALF) {
        size_t kept = (size_t)session->rows / 2 * session->columns * MACROBLOCK;
        memset(session->current + kept, 128, size - kept);
    } else if (fault->kind == REPEAT && session->pictures + 1 > fault->picture) {
        memcpy(session->current, session->previous, size);
    } else if (fault->kind == NOISE) {
        uint32_t state = (uint32_t)session->pictures + 1; /* xorshift, another picture each time */
        for (size_t i = 0; i < size; i++) {
            state ^= state << 13, state ^= state >> 17, state ^= state << 5;
            session->current[i] = (uint8_t)(state >> 24);
        }
    }
}

/* Adler-32 of the picture as planes of 4:2:0, Y, U and V, without padding. */
static uint32_t checksum(const Session *session)
{
    uint64_t a = 1, b = 0;
    for (uint32_t plane = 0; plane < 3; plane++) {
        uint32_t side = plane ? 8 : 16, skipped = plane == 0 ? 0 : plane == 1 ? LUMA : LUMA + CHROMA;
        uint32_t width = plane ? session->width / 2 : session->width, height = plane ? session->height / 2 : session->height;
        for (uint32_t y = 0; y < height; y++) {
            const uint8_t *row = session->current + (size_t)(y / side) * session->columns * MACROBLOCK + skipped + y % side * side;
            for (uint32_t x = 0; x < width; x++)
                b += a += row[(size_t)(x / side) * MACROBLOCK + x % side];
            a %= 65521, b %= 65521;
        }
    }
    return (uint32_t)(b << 16 | a);
}

static void read_picture(Session *session, const InputBuffer *input)
{
    read_macroblocks(session, input, input->on_card ? copied_from_card(session, input) : input->data, session->current);
    spoil(session);
}

static void encode_next(Session *session, BitstreamBuffer *output)
{
    const PictureParameters *picture = &output->picture;
    long number = session->pictures;
    bool checked = session->checksum_every && number % session->checksum_every == 0;
    uint32_t type;
    if (session->replay.count) {
        const struct Replayed *replayed = &session->replay.pictures[number];
        output->data = session->replay.file + replayed->first;
        output->size = (uint32_t)(replayed->stop - replayed->first);
        type = replayed->type;
        if (type == PICTURE_IDR && session->repeat_headers) {
            memcpy(output->room, session->replay.headers, session->replay.headers_size);
            memcpy(output->room + session->replay.headers_size, output->data, output->size);
            output->data = output->room;
            output->size += session->replay.headers_size;
        }
        if (checked)
            read_picture(session, picture->input);
    } else {
        bool gop_ends = !number || session->since_idr >= session->gop_length;
        type = gop_ends || (picture->flags & FORCE_IDR) ? PICTURE_IDR
               : picture->flags & FORCE_INTRA           ? PICTURE_I
                                                        : PICTURE_P;
        if (type == PICTURE_IDR) {
            session->since_idr = 0;
            session->idr_pictures++;
        }
        uint8_t *end = output->room;
        if ((type == PICTURE_IDR && session->repeat_headers) || (picture->flags & OUTPUT_HEADERS))
            end = put_picture_parameters(put_sequence_parameters(session, end));
        read_picture(session, picture->input);
        end = put_picture(session, type, end);
        output->data = output->room;
        output->size = (uint32_t)(end - output->room);
        session->since_idr++;
    }
    output->type = type;
    /* The next deadline counts from this one, not from when the engine woke up: lateness must not add up. */
    session->ready_at = (session->ready_at > output->submitted ? session->ready_at : output->submitted) + session->pace;
    output->due = session->ready_at;
    if (session->pace)
        sleep_until(session->ready_at);
    session->pictures++;
    if (checked)
        log_event("picture", getpid(), "\"slot\": %d, \"pictures\": %ld, \"checksum\": %u", session->slot,
                  session->pictures, checksum(session));
    else
        log_event("picture", getpid(), "\"slot\": %d, \"pictures\": %ld", session->slot, session->pictures);
    uint8_t *encoded = session->current;
    session->current = session->previous;
    session->previous = encoded;
}

static void *run_engine(void *argument)
{
    Session *session = argument;
    *(void **)&session->copy_2d = cuda_function("cuMemcpy2DAsync_v2");
    *(void **)&session->synchronize = cuda_function("cuStreamSynchronize");
    int (*make_current)(void *);
    *(void **)&make_current = cuda_function("cuCtxPushCurrent_v2");
    make_current(session->context);
    pthread_mutex_lock(&session->lock);
    while (true) {
        while (!session->waiting && !session->ending)
            pthread_cond_wait(&session->handed_over, &session->lock);
        if (session->ending)
            break;
        BitstreamBuffer *output = session->waiting;
        pthread_mutex_unlock(&session->lock);
        encode_next(session, output);
        pthread_mutex_lock(&session->lock);
        if (!(session->waiting = output->next))
            session->last_waiting = &session->waiting;
        output->ready = true;
        pthread_cond_broadcast(&session->done);
    }
    pthread_mutex_unlock(&session->lock);
    return NULL;
}

/* ---- The functions of the API ---- */

static Status open_session(OpenParameters *parameters, void **encoder)
{
    *encoder = NULL;
    if (parameters->version != VERSIONED(1))
        return INVALID_VERSION;
    int code = injected_error("OpenEncodeSessionEx", -1);
    if (!code && card() == NO_ENCODER)
        code = UNSUPPORTED_DEVICE;
    if (code) {
        log_event("refused", getpid(), "\"code\": %d", code);
        return (Status)code;
    }
    long limit = number_setting(PREFIX "SESSIONS", 2, 0, MAX_SLOTS);
    long refusal = number_setting(PREFIX "REFUSAL", INCOMPATIBLE_CLIENT_KEY, 1, 26);
    Session *session = calloc(1, sizeof *session);
    if (!session)
        return OUT_OF_MEMORY;
    session->fault = fault();
    session->pace = duration_setting(PREFIX "PACE_MS");
    session->checksum_every = number_setting(PREFIX "CHECKSUM_EVERY", 0, 0, 1000000);
    session->last_error = "";
    session->context = parameters->device;
    session->last_waiting = &session->waiting;
    pthread_mutex_init(&session->lock, NULL);
    pthread_cond_init(&session->handed_over, NULL);
    pthread_cond_init(&session->done, NULL);

    int opening = lock_openings();
    log_lost_sessions();
    for (session->slot = 0; session->slot < limit; session->slot++) {
        session->slot_file = open_slot(session->slot, O_CREAT);
        if (take(session->slot_file))
            break;
        close(session->slot_file);
    }
    bool opened = session->slot < limit;
    if (opened) {
        write_holder(session->slot_file, 0, 0);
        log_event("opened", getpid(), "\"slot\": %d", session->slot);
    } else {
        log_event("refused", getpid(), "\"code\": %ld", refusal);
    }
    close(opening);
    if (!opened) {
        free(session);
        return (Status)refusal;
    }
    *encoder = session;
    return SUCCESS;
}

static Status destroy_encoder(Session *session)
{
    injected_error("DestroyEncoder", session->slot);
    if (session->engine_runs) {
        pthread_mutex_lock(&session->lock);
        session->ending = true;
        pthread_cond_signal(&session->handed_over);
        pthread_mutex_unlock(&session->lock);
        pthread_join(session->engine, NULL);
    }
    if (session->replay.count) {
        munmap(session->replay.file, session->replay.size);
        free(session->replay.pictures);
    }
    /* The log says "closed" before the slot is free, so that it never shows fewer sessions than there were. */
    log_event("closed", getpid(), "\"slot\": %d, \"pictures\": %ld", session->slot, session->pictures);
    clear_holder(session->slot_file);
    close(session->slot_file);
    free(session->current);
    free(session->previous);
    free(session->raw);
    free(session->copied);
    free(session);
    return SUCCESS;
}

static Status get_codec_count(Session *session, uint32_t *count)
{
    (void)session;
    *count = 1;
    return SUCCESS;
}

static Status get_codecs(Session *session, Identifier *list, uint32_t room, uint32_t *count)
{
    (void)session;
    *count = room ? 1 : 0;
    if (room)
        *list = H264;
    return SUCCESS;
}

static Status get_capability(Session *session, Identifier codec, CapabilityQuery *query, int *value)
{
    (void)session;
    if (query->version != VERSIONED(1))
        return INVALID_VERSION;
    if (!same(&codec, &H264))
        return INVALID_PARAM;
    switch (query->capability) {
    case 0x00: *value = 4; break;                       /* B pictures at most */
    case 0x10: case 0x11: *value = 4096; break;         /* width, height at most */
    case 0x2b: case 0x38: *value = 3; break;            /* B pictures as references, lookahead level */
    case 0x07: case 0x14: case 0x18: case 0x19:         /* CABAC, new bit rate, constrained, intra refresh */
    case 0x25: case 0x26: case 0x29: case 0x2f:         /* lookahead, temporal AQ, weighted prediction, references */
    case 0x31: case 0x32: *value = 1; break;            /* engines, single-slice intra refresh */
    case 0x2d: *value = LEAST_WIDTH; break;
    case 0x2e: *value = LEAST_HEIGHT; break;
    default: *value = 0; break;
    }
    return SUCCESS;
}

static Status get_preset(Session *session, Identifier codec, Identifier preset, int tuning, PresetConfiguration *wanted)
{
    (void)preset;
    if (wanted->version != NEWER(5) || wanted->configuration.version != NEWER(9))
        return INVALID_VERSION;
    if (!same(&codec, &H264))
        return refused(session, UNSUPPORTED_PARAM, "The emulated driver encodes H.264 only.");
    Configuration *configuration = &wanted->configuration;
    configuration->profile = HIGH;
    configuration->gop_length = configuration->idr_period = tuning == 2 || tuning == 3 ? 0xFFFFFFFF : 250;
    configuration->frame_interval_p = 1;
    configuration->field_mode = 1;
    configuration->mv_precision = 3;
    configuration->rate_control = (RateControl){.version = VERSIONED(1), .mode = 1, .constant_qp = {28, 31, 25}};
    configuration->vui.video_format = 5;
    configuration->chroma_format = 1;
    configuration->output_bit_depth = configuration->input_bit_depth = 8;
    return SUCCESS;
}

static int preset_number(const Identifier *preset)
{
    for (int i = 0; i < 7; i++)
        if (same(preset, &PRESETS[i]))
            return i + 1;
    return 0;
}

static Status initialize_encoder(Session *session, InitializeParameters *parameters)
{
    Configuration *configuration = parameters->configuration;
    if (parameters->version != NEWER(7) || (configuration && configuration->version != NEWER(9)))
        return INVALID_VERSION;
    if (!configuration)
        return INVALID_PTR;
    Status code = injected(session, "InitializeEncoder");
    if (code)
        return code;
    if (parameters->width < LEAST_WIDTH || parameters->height < LEAST_HEIGHT)
        return refused(session, INVALID_PARAM, "Frame Dimension less than the minimum supported value.");
    if (parameters->width % 2 || parameters->height % 2)
        return refused(session, INVALID_PARAM, "The emulated driver encodes even widths and heights only.");

    session->width = parameters->width;
    session->height = parameters->height;
    session->columns = (session->width + 15) / 16;
    session->rows = (session->height + 15) / 16;
    session->gop_length = configuration->frame_interval_p ? configuration->gop_length : 1;
    session->profile = same(&configuration->profile, &BASELINE) ? 66 : same(&configuration->profile, &MAIN) ? 77 : 100;
    session->repeat_headers = (configuration->h264_flags & REPEAT_HEADERS) ||
                              !(configuration->h264_flags & DISABLE_HEADERS);
    session->vui = configuration->vui;
    size_t size = (size_t)session->columns * session->rows * MACROBLOCK;
    session->current = malloc(size);
    session->previous = malloc(size);
    /* Before each macroblock: a skip run and mb_type, at most 5 bytes. */
    session->raw = malloc(size + size / MACROBLOCK * 5 + HEADER_ROOM);
    if (!session->current || !session->previous || !session->raw)
        return refused(session, OUT_OF_MEMORY, "no memory for the picture");
    read_replay(&session->replay, session->width, session->height);
    if (session->replay.count && session->fault.last)
        give_up("a replayed stream is what it is: " PREFIX "FAULT cannot be '%s' with it", session->fault.text);
    if (pthread_create(&session->engine, NULL, run_engine, session))
        return refused(session, OUT_OF_MEMORY, "no thread for the engine");
    session->engine_runs = true;

    write_holder(session->slot_file, (int)session->width, (int)session->height);
    const RateControl *rate = &configuration->rate_control;
    log_event("configured", getpid(),
              "\"slot\": %d, \"configuration\": {\"width\": %u, \"height\": %u, \"preset\": %d, \"tuning\": %u, "
              "\"gop_length\": %u, \"b_pictures\": %u, \"rate_control\": %u, \"quality\": %.3f, "
              "\"constant_qp\": [%u, %u, %u], \"average_bit_rate\": %u, \"max_bit_rate\": %u}",
              session->slot, session->width, session->height, preset_number(&parameters->preset), parameters->tuning,
              configuration->gop_length, configuration->frame_interval_p ? configuration->frame_interval_p - 1 : 0,
              rate->mode, rate->target_quality + rate->target_quality_fraction / 256.0, rate->constant_qp[0],
              rate->constant_qp[1], rate->constant_qp[2], rate->average_bit_rate, rate->max_bit_rate);
    return SUCCESS;
}

static Status reconfigure_encoder(Session *session, ReconfigureParameters *parameters)
{
    (void)session;
    return parameters->version == NEWER(2) ? SUCCESS : INVALID_VERSION;
}

static Status set_streams(Session *session, void *in, void *out)
{
    (void)out;
    session->stream = in ? *(void **)in : NULL;
    return SUCCESS;
}

static Status create_input_buffer(Session *session, CreateInputBuffer *parameters)
{
    if (parameters->version != VERSIONED(2))
        return INVALID_VERSION;
    Status code = injected(session, "CreateInputBuffer");
    if (code)
        return code;
    if (parameters->format != NV12 && parameters->format != YV12)
        return refused(session, INVALID_PARAM, "The emulated driver takes NV12 and YV12 pictures only.");
    InputBuffer *buffer = malloc(sizeof *buffer);
    if (!buffer)
        return OUT_OF_MEMORY;
    *buffer = (InputBuffer){.next = session->inputs, .format = parameters->format, .height = parameters->height};
    buffer->pitch = (parameters->width + 127) & ~127u;
    buffer->data = calloc((size_t)buffer->pitch, parameters->height + (parameters->height + 1) / 2);
    if (!buffer->data) {
        free(buffer);
        return OUT_OF_MEMORY;
    }
    session->inputs = buffer;
    parameters->buffer = buffer;
    return SUCCESS;
}

/* When a bitstream buffer can't be made, FFmpeg 8.1 destroys the input buffer made with it twice. */
static Status destroy_input_buffer(Session *session, InputBuffer *buffer)
{
    InputBuffer **link = &session->inputs;
    while (*link && *link != buffer)
        link = &(*link)->next;
    if (!*link)
        return INVALID_PTR;
    *link = buffer->next;
    if (!buffer->on_card)
        free(buffer->data);
    free(buffer);
    return SUCCESS;
}

static bool is_known(const Session *session, const InputBuffer *wanted)
{
    const InputBuffer *buffer = session->inputs;
    while (buffer && buffer != wanted)
        buffer = buffer->next;
    return buffer;
}

/* A real driver reads 16 bytes at a time, so rows begin at multiples of that. */
static Status register_resource(Session *session, RegisterResource *parameters)
{
    enum { CUDA_POINTER = 1 };
    if (parameters->version != VERSIONED(5))
        return INVALID_VERSION;
    Status code = injected(session, "RegisterResource");
    if (code)
        return code;
    if (parameters->type != CUDA_POINTER || (parameters->format != NV12 && parameters->format != YV12))
        return refused(session, UNSUPPORTED_PARAM, "The emulated driver takes NV12 and YV12 pictures at CUDA pointers only.");
    if (parameters->pitch % 16 || parameters->pitch < parameters->width)
        return refused(session, RESOURCE_REGISTER_FAILED, "The pitch is no multiple of 16, or below the width.");
    InputBuffer *buffer = malloc(sizeof *buffer);
    if (!buffer)
        return OUT_OF_MEMORY;
    *buffer = (InputBuffer){
        .next = session->inputs,
        .data = parameters->resource,
        .on_card = true,
        .format = parameters->format,
        .width = parameters->width,
        .height = parameters->height,
        .pitch = parameters->pitch,
    };
    session->inputs = buffer;
    parameters->registered = buffer;
    return SUCCESS;
}

static Status unregister_resource(Session *session, InputBuffer *buffer)
{
    return destroy_input_buffer(session, buffer);
}

static Status map_resource(Session *session, MapInputResource *parameters)
{
    if (parameters->version != VERSIONED(4))
        return INVALID_VERSION;
    Status code = injected(session, "MapInputResource");
    if (code)
        return code;
    InputBuffer *buffer = parameters->registered;
    if (!is_known(session, buffer))
        return INVALID_PTR;
    buffer->mapped = true;
    parameters->mapped = buffer;
    parameters->format = buffer->format;
    return SUCCESS;
}

static Status unmap_resource(Session *session, InputBuffer *buffer)
{
    if (!is_known(session, buffer))
        return INVALID_PTR;
    if (!buffer->mapped)
        return refused(session, RESOURCE_NOT_MAPPED, "The picture is not mapped.");
    buffer->mapped = false;
    return SUCCESS;
}

static Status create_bitstream_buffer(Session *session, CreateBitstreamBuffer *parameters)
{
    if (parameters->version != VERSIONED(1))
        return INVALID_VERSION;
    Status code = injected(session, "CreateBitstreamBuffer");
    if (code)
        return code;
    BitstreamBuffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer)
        return OUT_OF_MEMORY;
    /* Emulation prevention makes three bytes of two at worst. Pages that are never written cost nothing. */
    size_t macroblocks = (size_t)session->columns * session->rows;
    buffer->room = malloc(macroblocks * (MACROBLOCK + 5) * 3 / 2 + 4 * HEADER_ROOM);
    if (!buffer->room) {
        free(buffer);
        return OUT_OF_MEMORY;
    }
    parameters->buffer = buffer;
    return SUCCESS;
}

static Status destroy_bitstream_buffer(Session *session, BitstreamBuffer *buffer)
{
    (void)session;
    if (!buffer) /* FFmpeg destroys all that it wanted to have, made or not */
        return INVALID_PTR;
    free(buffer->room);
    free(buffer);
    return SUCCESS;
}

static Status lock_input_buffer(Session *session, LockInput *parameters)
{
    (void)session;
    if (parameters->version != VERSIONED(1))
        return INVALID_VERSION;
    InputBuffer *buffer = parameters->buffer;
    parameters->data = buffer->data;
    parameters->pitch = buffer->pitch;
    return SUCCESS;
}

static Status unlock_input_buffer(Session *session, InputBuffer *buffer)
{
    (void)session, (void)buffer;
    return SUCCESS;
}

/* Do what the fault of this session says about its next picture, once those before it are encoded; `spoil` does it where
   the fault is silent. */
static Status meet_fault(Session *session)
{
    const Fault *fault = &session->fault;
    if (!fault->picture || session->submitted + 1 != fault->picture)
        return SUCCESS;
    pthread_mutex_lock(&session->lock);
    while (session->waiting)
        pthread_cond_wait(&session->done, &session->lock);
    pthread_mutex_unlock(&session->lock);
    if (!strikes(fault, session->slot))
        return SUCCESS;
    session->spoiling = fault->last;
    if (session->spoiling)
        return SUCCESS;
    if (fault->kind == CRASH)
        abort();
    if (fault->kind == HANG)
        while (true)
            pause();
    return refused(session, (Status)fault->code, "a fault injected by the emulated driver");
}

static Status encode_picture(Session *session, const PictureParameters *picture)
{
    if (picture->version != NEWER(7))
        return INVALID_VERSION;
    if (picture->flags & END_OF_STREAM)
        return SUCCESS;
    const InputBuffer *input = picture->input;
    if (input->on_card && !input->mapped)
        return refused(session, RESOURCE_NOT_MAPPED, "The picture is not mapped.");
    Status code = meet_fault(session);
    if (code)
        return code;
    if (session->replay.count && session->submitted >= session->replay.count)
        return refused(session, GENERIC, "The replayed stream has no more pictures.");
    BitstreamBuffer *output = picture->output;
    output->picture = *picture;
    output->ready = false;
    output->next = NULL;
    output->submitted = monotonic_now() - session->late;
    session->submitted++;
    pthread_mutex_lock(&session->lock);
    *session->last_waiting = output;
    session->last_waiting = &output->next;
    pthread_cond_signal(&session->handed_over);
    pthread_mutex_unlock(&session->lock);
    return SUCCESS;
}

static Status lock_bitstream(Session *session, LockBitstream *parameters)
{
    if (parameters->version != NEWER(2))
        return INVALID_VERSION;
    Status code = injected(session, "LockBitstream");
    if (code)
        return code;
    const BitstreamBuffer *buffer = parameters->buffer;
    /* A card that is never late would have been asked earlier, and would have answered at once or when it was due. */
    int64_t answered = monotonic_now() - session->late;
    pthread_mutex_lock(&session->lock);
    while (!buffer->ready)
        pthread_cond_wait(&session->done, &session->lock);
    pthread_mutex_unlock(&session->lock);
    if (answered < buffer->due)
        answered = buffer->due;
    session->late = session->pace ? monotonic_now() - answered : 0;
    parameters->index = buffer->picture.index;
    parameters->slices = 1;
    parameters->size = buffer->size;
    parameters->timestamp = buffer->picture.timestamp;
    parameters->duration = buffer->picture.duration;
    parameters->data = (void *)buffer->data;
    parameters->type = buffer->type;
    parameters->structure = FRAME;
    parameters->average_qp = 0;
    return SUCCESS;
}

static Status unlock_bitstream(Session *session, BitstreamBuffer *buffer)
{
    (void)session, (void)buffer;
    return SUCCESS;
}

static Status get_sequence_parameters(Session *session, SequencePayload *payload)
{
    if (payload->version != VERSIONED(1))
        return INVALID_VERSION;
    if (payload->room < HEADER_ROOM)
        return INVALID_PARAM;
    const Replay *replay = &session->replay;
    if (replay->count) {
        memcpy(payload->buffer, replay->headers, replay->headers_size);
        *payload->written = replay->headers_size;
        return SUCCESS;
    }
    *payload->written = (uint32_t)(put_picture_parameters(put_sequence_parameters(session, payload->buffer)) - payload->buffer);
    return SUCCESS;
}

static const char *get_last_error(Session *session)
{
    return session->last_error;
}

static Status unimplemented(void)
{
    return UNIMPLEMENTED;
}

/* ---- The two exported functions ---- */

typedef void (*Function)(void);

typedef struct {
    uint32_t version, reserved;
    Function functions[318];
} FunctionList;
ASSERT_SIZE(FunctionList, 2552);

EXPORTED Status NvEncodeAPIGetMaxSupportedVersion(uint32_t *version)
{
    *version = card() == OLD_DRIVER ? API_12_2 : API_13_0;
    return SUCCESS;
}

EXPORTED Status NvEncodeAPICreateInstance(FunctionList *list)
{
    static const struct {
        int number;
        Function function;
    } emulated[] = {
        {1, (Function)get_codec_count},
        {4, (Function)get_codecs},
        {7, (Function)get_capability},
        {11, (Function)initialize_encoder},
        {12, (Function)create_input_buffer},
        {13, (Function)destroy_input_buffer},
        {14, (Function)create_bitstream_buffer},
        {15, (Function)destroy_bitstream_buffer},
        {16, (Function)encode_picture},
        {17, (Function)lock_bitstream},
        {18, (Function)unlock_bitstream},
        {19, (Function)lock_input_buffer},
        {20, (Function)unlock_input_buffer},
        {22, (Function)get_sequence_parameters},
        {25, (Function)map_resource},
        {26, (Function)unmap_resource},
        {27, (Function)destroy_encoder},
        {29, (Function)open_session},
        {30, (Function)register_resource},
        {31, (Function)unregister_resource},
        {32, (Function)reconfigure_encoder},
        {37, (Function)get_last_error},
        {38, (Function)set_streams},
        {39, (Function)get_preset},
    };
    if (list->version != VERSIONED(2))
        return INVALID_VERSION;
    for (int number = 0; number <= 42; number++)
        list->functions[number] = number == 33 ? NULL : (Function)unimplemented;
    for (size_t i = 0; i < sizeof emulated / sizeof *emulated; i++)
        list->functions[emulated[i].number] = emulated[i].function;
    return SUCCESS;
}
