/* The compositor as a CUDA kernel: all tiles of a frame, what lies over and behind them, in one launch.
 *
 * Belongs here: what is done with samples. Which of them a tile is made of, and where it is, comes as `Slot`s, made
 * once for a whole plan by the code that the CPU's compositor reads, too (`sampling`, `finish`). Their layouts in
 * memory are those of `cuda.py`.
 *
 * Each axis of a tile is one filter of nine taps: the six that shift by a fraction of a sample, and after them the four
 * of bicubic interpolation. A block makes 64 x 32 samples of a plane of the canvas; U and V side by side count as two.
 * It is compiled for processors, too, where tests compare it with the CPU's compositor: so it keeps to what C++ has.
 */

#define COLUMNS 64
#define ROWS 32
#define WAYS 4                    /* threads of a block that share a column */
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

/* The nine taps of an output sample, `apart` from one another; returns the source sample that the first is for. */
static __device__ int taps_of(const Axis &axis, int number, float *taps, int apart)
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
#pragma unroll
    for (int tap = 0; tap < TAPS; tap++) {
        float sum = 0;
#pragma unroll
        for (int one = 0; one < 4; one++)
            if (tap >= one && tap - one < 6)
                sum += cubic[one] * axis.kernel[tap - one];
        taps[tap * apart] = sum;
    }
    return axis.first + whole - 3;
}

/* A value of a row of the source. */
static __device__ __forceinline__ float value_at(const unsigned char *line, int at, int bytes)
{
    return bytes == 1 ? (float)line[at] : ((const unsigned short *)line)[at] * (1 / 256.0f);
}

/* A row of the source, filtered across; where it is to be shrunk, each of its values is the mean of several. Beyond the
 * edge, the edge repeats. */
static __device__ float filtered(const Job &job, int plane, int part, int begin, int y, int across, int down,
                                 const float (*weights)[COLUMNS], int column)
{
    int values = plane + 1, width = job.size[plane][0], height = job.size[plane][1];
    float sum = 0;
    for (int row = 0; row < down; row++) {
        size_t from = (size_t)within(y * down + row, 0, height - 1) * job.pitch[plane];
        const unsigned char *line = job.source[plane] + from;
        if (across == 1 && begin >= 0 && begin + TAPS <= width) {
#pragma unroll
            for (int tap = 0; tap < TAPS; tap++)
                sum += weights[tap][column] * value_at(line, (begin + tap) * values + part, job.bytes);
            continue;
        }
#pragma unroll 1
        for (int tap = 0; tap < TAPS; tap++) {
            float several = 0;
            for (int one = 0; one < across; one++) {
                int x = within((begin + tap) * across + one, 0, width - 1);
                several += value_at(line, x * values + part, job.bytes);
            }
            sum += weights[tap][column] * several / across;
        }
    }
    return sum / down;
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
static __device__ int finished(const Job &job, const Slot &slot, int plane, int channel, int x, int y, int drawn,
                               int under)
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
extern "C" __global__ void __launch_bounds__(COLUMNS * WAYS, 4) compose(const Job job)
{
    __shared__ float across[MOST_ROWS][COLUMNS];
    __shared__ float weights[TAPS][COLUMNS], taps[ROWS][TAPS];
    __shared__ int lefts[COLUMNS], begins[ROWS];
    __shared__ unsigned char value[ROWS][COLUMNS]; /* what is on the canvas so far; each is one thread's */

    int column = threadIdx.x % COLUMNS, way = threadIdx.x / COLUMNS;
    int plane = blockIdx.z, scale = plane + 1, part = plane ? column % 2 : 0, channel = plane ? 1 + part : 0;
    int left = blockIdx.x * COLUMNS / scale, top = blockIdx.y * ROWS;
    int columns = COLUMNS / scale, x = left + column / scale;
    int width = job.width / scale, height = job.height / scale;

    if (left >= width || top >= height)
        return;
    for (int each = way; each < ROWS; each += WAYS)
        value[each][column] = job.background[channel];
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
        int drawn = x >= from_x && x < to_x;
        if (way == 0 && drawn)
            lefts[column] = taps_of(h, x - tile_x, &weights[0][column], COLUMNS);
        if (way == 1 && column < rows)
            begins[column] = taps_of(v, from_y - tile_y + column, taps[column], 1);
        __syncthreads();
        int first = begins[0], needed = begins[rows - 1] + TAPS - first;
        for (int row = way; drawn && row < needed; row += WAYS)
            across[row][column] =
                filtered(job, plane, part, lefts[column], first + row, h.shrink, v.shrink, weights, column);
        __syncthreads();
        if (!drawn)
            continue;
#pragma unroll 1
        for (int y = top + way; y < top + ROWS; y += WAYS) {
            int row = y - from_y;
            if (row < 0 || row >= rows)
                continue;
            float sum = 0;
            for (int tap = 0; tap < TAPS; tap++)
                sum += taps[row][tap] * across[begins[row] - first + tap][column];
            int level = within((int)floorf(sum + 0.5f), 0, 255);
            if (slot.border || slot.radius)
                level = finished(job, slot, plane, channel, x - tile_x, y - tile_y, level, value[y - top][column]);
            if (slot.caption[2])
                level = captioned(job, slot, plane, channel, x, y, level);
            value[y - top][column] = level;
        }
    }
    if (x >= width)
        return;
    unsigned char *to = job.canvas[channel] + x * (plane ? job.apart : 1);
    for (int y = top + way; y < top + ROWS && y < height; y += WAYS)
        to[(size_t)y * job.canvas_pitch[channel]] = value[y - top][column];
}
