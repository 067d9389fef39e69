/* The compositor as a CUDA kernel: all tiles of a frame, what lies over and behind them, in one launch.
 *
 * Belongs here: what is done with samples. Which samples a tile is made of, and where it is, comes as `Slot`s, made once
 * for a whole plan by the same code that the CPU's compositor reads (`sampling`, `finish`). Their layouts in memory are
 * those of `cuda.py`.
 *
 * Each axis of a tile is one filter of nine taps: the six that shift by a fraction of a sample, and after them the four
 * of bicubic interpolation. A block makes 64 x 32 samples of a plane of the canvas; U and V side by side count as two.
 * It is compiled for processors, too, where tests compare it with the CPU's compositor: so it keeps to what C++ has.
 */

#define COLUMNS 64
#define ROWS 32
#define WAYS 4                    /* threads of a block that share a column */
#define EACH (ROWS / WAYS)        /* samples that a thread makes */
#define TAPS 9
#define MOST_ROWS (2 * ROWS + TAPS) /* of the source: a tile is shrunk by less than two, once it is averaged */

struct Axis {
    int shrink, first, stop, skip, count, reach;
    double step;
    float kernel[6];
};

struct Slot {
    Axis axes[2][2];              /* luma and chroma, across and down */
    int x, y, width, height;      /* on the canvas; the width 0: not drawn */
    int radius, border;           /* of its corners and its line, in pixels of the canvas */
    int caption[4];               /* x, y, width and height on the canvas; the width 0: none */
    int letters[2];               /* where the masks of its caption begin, for luma and for chroma */
};

struct Job {
    const unsigned char *source[2];   /* Y; U and V in turn */
    int pitch[2], size[2][2];         /* bytes from row to row; samples across and down: U and V are one sample */
    int bytes;                        /* of a value: 1, or 2 with the value in the upper bits */
    int slots;
    const Slot *slot;
    const unsigned short *masks;      /* of captions, 0 to 256 */
    unsigned char *canvas[3];         /* Y, U, V */
    int canvas_pitch[3];
    int apart;                        /* bytes from one U to the next: 2 where U and V lie in turn, else 1 */
    int width, height;                /* of the canvas */
    int background[3], line[3], white[3], black[3];
    int plate;                        /* share of 256 of the picture that is left behind a caption */
};

static __device__ __forceinline__ int within(int value, int least, int most)
{
    return value < least ? least : value > most ? most : value;
}

/* One picture over another, as far as the mask shows it. */
static __device__ __forceinline__ int over(int above, int mask, int below)
{
    return (above * mask + below * (256 - mask) + 128) >> 8;
}

/* The nine taps of an output sample; returns the source sample that the first is for. */
static __device__ int taps_of(const Axis &axis, int number, float *taps)
{
    double at = (number + axis.skip + 0.5) * axis.step - 0.5;
    int whole = (int)floor(at);
    float t = (float)(at - whole), a = -0.75f, u = 1 - t;
    float cubic[4] = {
        ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a,
        ((a + 2) * t - (a + 3)) * t * t + 1,
        ((a + 2) * u - (a + 3)) * u * u + 1,
        0,
    };
    cubic[3] = 1 - cubic[0] - cubic[1] - cubic[2];
    for (int tap = 0; tap < TAPS; tap++)
        taps[tap] = 0;
    for (int one = 0; one < 4; one++)
        for (int other = 0; other < 6; other++)
            taps[one + other] += cubic[one] * axis.kernel[other];
    return axis.first + whole - 3;
}

/* A value of the source; where it is to be shrunk, the mean of several. Beyond the edge, the edge repeats. */
static __device__ float sample(const Job &job, int plane, int part, int x, int y, int across, int down)
{
    const unsigned char *from = job.source[plane];
    int values = plane + 1, width = job.size[plane][0], height = job.size[plane][1];
    float sum = 0;
    for (int row = 0; row < down; row++) {
        const unsigned char *line = from + (size_t)within(y * down + row, 0, height - 1) * job.pitch[plane];
        for (int column = 0; column < across; column++) {
            int at = within(x * across + column, 0, width - 1) * values + part;
            sum += job.bytes == 1 ? (float)line[at] : ((const unsigned short *)line)[at] * (1 / 256.0f);
        }
    }
    return sum / (across * down);
}

/* How much of 256 of a sample lies inside a disc around the inner corner of a square of `side` pixels; `x` and `y`, the
 * sample's place from the outer corner. A sample is as wide as `scale` pixels, and each pixel has 8 x 8 points. */
static __device__ int inside(int side, int radius, int scale, int x, int y)
{
    int points = 8 * scale, count = 0;
    for (int row = 0; row < points; row++)
        for (int column = 0; column < points; column++) {
            int right = 2 * (x * points + column) + 1 - 16 * side, below = 2 * (y * points + row) + 1 - 16 * side;
            count += right * right + below * below <= 256 * radius * radius;
        }
    return scale == 1 ? 4 * count : count;
}

/* What a tile looks like at a sample, with the line along its edges and its corners; `x` and `y` within the tile. */
static __device__ int finished(const Job &job, const Slot &slot, int plane, int channel, int x, int y, int drawn, int under)
{
    int scale = plane + 1, width = slot.width / scale, height = slot.height / scale;
    int right = width - 1 - x, bottom = height - 1 - y;
    int near_x = x < right ? x : right, near_y = y < bottom ? y : bottom;
    int thick = slot.border / scale, side = slot.radius / scale, cornered = near_x < side && near_y < side;
    if (slot.border) {
        if (near_x < thick || near_y < thick)
            drawn = job.line[channel];
        if (cornered) {
            int inner = slot.radius > slot.border ? slot.radius - slot.border : 0;
            drawn = over(drawn, inside(slot.radius, inner, scale, near_x, near_y), job.line[channel]);
        }
    }
    if (cornered)
        drawn = over(drawn, inside(slot.radius, slot.radius, scale, near_x, near_y), under);
    return drawn;
}

static __device__ int captioned(const Job &job, const Slot &slot, int plane, int channel, int x, int y, int drawn)
{
    int scale = plane + 1, width = slot.caption[2] / scale, height = slot.caption[3] / scale;
    x -= slot.caption[0] / scale;
    y -= slot.caption[1] / scale;
    if (x < 0 || y < 0 || x >= width || y >= height)
        return drawn;
    int letters = job.masks[slot.letters[plane] + y * width + x];
    return over(job.white[channel], letters, over(drawn, job.plate, job.black[channel]));
}

/* blockIdx.z: 0 for luma, 1 for chroma. */
extern "C" __global__ void compose(const Job job)
{
    __shared__ float across[MOST_ROWS][COLUMNS];
    __shared__ float taps[ROWS][TAPS];
    __shared__ int begins[ROWS];

    int column = threadIdx.x % COLUMNS, way = threadIdx.x / COLUMNS;
    int plane = blockIdx.z, scale = plane + 1, part = plane ? column % 2 : 0, channel = plane ? 1 + part : 0;
    int left = blockIdx.x * COLUMNS / scale, top = blockIdx.y * ROWS;
    int columns = COLUMNS / scale, x = left + column / scale;
    int width = job.width / scale, height = job.height / scale;
    int value[EACH];

    if (left >= width || top >= height)
        return;
    for (int each = 0; each < EACH; each++)
        value[each] = job.background[channel];
    for (int number = 0; number < job.slots; number++) {
        const Slot &slot = job.slot[number];
        int tile_x = slot.x / scale, tile_y = slot.y / scale;
        int tile_width = slot.width / scale, tile_height = slot.height / scale;
        int from_x = within(tile_x, left, left + columns), to_x = within(tile_x + tile_width, left, left + columns);
        int from_y = within(tile_y, top, top + ROWS), to_y = within(tile_y + tile_height, top, top + ROWS);

        if (!slot.width || from_x >= to_x || from_y >= to_y)
            continue;
        const Axis &h = slot.axes[plane][0], &v = slot.axes[plane][1];
        int rows = to_y - from_y;

        __syncthreads();
        if ((int)threadIdx.x < rows)
            begins[threadIdx.x] = taps_of(v, from_y - tile_y + threadIdx.x, taps[threadIdx.x]);
        __syncthreads();
        int first = begins[0], needed = begins[rows - 1] + TAPS - first;
        int drawn = x >= from_x && x < to_x;
        if (drawn) {
            float weights[TAPS];
            int begin = taps_of(h, x - tile_x, weights);
            for (int row = way; row < needed; row += WAYS) {
                float sum = 0;
                for (int tap = 0; tap < TAPS; tap++)
                    sum += weights[tap] * sample(job, plane, part, begin + tap, first + row, h.shrink, v.shrink);
                across[row][column] = sum;
            }
        }
        __syncthreads();
        if (!drawn)
            continue;
        for (int each = 0; each < EACH; each++) {
            int row = top + each * WAYS + way - from_y, y = from_y + row;
            if (row < 0 || row >= rows)
                continue;
            float sum = 0;
            for (int tap = 0; tap < TAPS; tap++)
                sum += taps[row][tap] * across[begins[row] - first + tap][column];
            int level = within((int)floorf(sum + 0.5f), 0, 255);
            level = finished(job, slot, plane, channel, x - tile_x, y - tile_y, level, value[each]);
            value[each] = captioned(job, slot, plane, channel, x, y, level);
        }
    }
    if (x >= width)
        return;
    for (int each = 0; each < EACH; each++) {
        int y = top + each * WAYS + way;
        if (y < height)
            job.canvas[channel][(size_t)y * job.canvas_pitch[channel] + x * (plane ? job.apart : 1)] = value[each];
    }
}

struct Halving {
    const unsigned char *canvas[3];
    int pitch[3];
    int apart;
    int x, y, width, height;          /* of the part of the canvas that is halved */
    unsigned char *halves;            /* Y, U and V of half the size, each without a gap after the other */
};

/* Part of a canvas at half its size: of this, fingerprints are taken. blockIdx.z: 0 for Y, 1 for U, 2 for V. */
extern "C" __global__ void halve(const Halving job)
{
    int channel = blockIdx.z, scale = channel ? 2 : 1, apart = channel ? job.apart : 1;
    int columns = job.width / scale / 2, rows = job.height / scale / 2;
    int x = blockIdx.x * COLUMNS + threadIdx.x % COLUMNS, y = blockIdx.y * WAYS + threadIdx.x / COLUMNS;
    unsigned char *to = job.halves;

    if (x >= columns || y >= rows)
        return;
    if (channel)
        to += (size_t)(job.width / 2) * (job.height / 2);
    if (channel == 2)
        to += (size_t)columns * rows;
    const unsigned char *from = job.canvas[channel] + (size_t)(job.y / scale + 2 * y) * job.pitch[channel];
    int at = (job.x / scale + 2 * x) * apart;
    const unsigned char *below = from + job.pitch[channel];
    to[(size_t)y * columns + x] = (from[at] + from[at + apart] + below[at] + below[at + apart] + 2) >> 2;
}
