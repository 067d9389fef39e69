/* What tracking looks at of a frame, as CUDA kernels: what `shots.make_thumbnail` and a `Frame` make of it on the
 * processor, bit for bit.
 *
 * Belongs here: OpenCV's ways to shrink, with its roundings, and its way to colors. The layouts in memory of
 * `Thumbnail` and `Image` are those of `card_frames.py`.
 * It is compiled for processors, too, where tests compare it with OpenCV: so it keeps to what C++ has.
 */

#define ACROSS_THUMBNAIL 64
#define DOWN_THUMBNAIL 36
#define SHARING 4                 /* threads that share a pixel of a thumbnail */
#define PIXELS 128                /* of an image that a block makes */

struct Thumbnail {
    const unsigned char *luma;
    int pitch, apart;             /* bytes from row to row, and from sample to sample */
    int width, height, rows;      /* of a block: samples across and down, and rows that are looked at */
    unsigned char *made;          /* (DOWN_THUMBNAIL, ACROSS_THUMBNAIL) */
};

/* A thread's share of a row of pixels. blockIdx.x: which row. */
extern "C" __global__ void __launch_bounds__(ACROSS_THUMBNAIL * SHARING) thumbnail(const Thumbnail job)
{
    __shared__ int sums[SHARING][ACROSS_THUMBNAIL];
    int column = threadIdx.x % ACROSS_THUMBNAIL, share = threadIdx.x / ACROSS_THUMBNAIL;
    int two = job.rows % 2 == 0 && job.width % 2 == 0, step = two ? 2 : 1, sum = 0;
    int area = (job.rows / step) * (job.width / step);
    size_t apart = (size_t)(job.height / job.rows) * job.pitch;
    const unsigned char *block = job.luma + (size_t)blockIdx.x * job.rows * apart + column * job.width * job.apart;

    for (int row = share * step; row < job.rows; row += SHARING * step) {
        const unsigned char *one = block + row * apart, *next = one + apart;
        for (int at = 0; at < job.width; at += step) {
            int x = at * job.apart;
            sum += two ? (one[x] + one[x + job.apart] + next[x] + next[x + job.apart] + 2) >> 2 : one[x];
        }
    }
    sums[share][column] = sum;
    __syncthreads();
    if (share)
        return;
    for (int other = 1; other < SHARING; other++)
        sum += sums[other][column];
    int halved = job.rows == 2 * step && job.width == 2 * step; /* of two by two OpenCV rounds halves up */
    int level = halved ? (sum + 2) >> 2 : (int)rintf(__fmul_rn(sum, 1.0f / area));
    job.made[blockIdx.x * ACROSS_THUMBNAIL + column] = level;
}

struct View {
    const unsigned char *plane;
    int pitch, apart;             /* bytes from row to row, and from sample to sample */
    int columns, rows;            /* of the plane */
    int x, y, width, height;      /* the part that is looked at; beyond the plane, its edge repeats */
    int halvings;                 /* how often it is halved before anything else: four times at the most */
    int area;                     /* whether INTER_AREA does the rest; otherwise INTER_LINEAR */
    double across, down;          /* samples of the halved part for each one that is made */
};

struct Image {
    View views[3];                /* of Y, U and V */
    int colors;                   /* 3: Y, U and V become B, G and R; 1: it is Y alone */
    int width, height;
    int matrix[3][4];             /* of Y, U, V and 1, in 1024ths */
    unsigned char *made;          /* (height, width, colors) */
};

/* Samples that one is made of, and how much each counts: those before `first`, those before `last`, and the others. */
struct Taps {
    int from, count, first, last;
    float before, whole, after;
};

/* Those of `size` samples that INTER_AREA makes number `at` of, which stands for `step` of them. */
static __device__ __noinline__ Taps shares(int size, double step, int at)
{
    double begin = __dmul_rn(at, step), end = begin + step, wide = step < size - begin ? step : size - begin;
    int last = (int)floor(end) < size - 1 ? (int)floor(end) : size - 1;
    int first = (int)ceil(begin) < last ? (int)ceil(begin) : last;
    int early = first - begin > 1e-3, late = end - last > 1e-3;
    double share = end - last < 1 ? end - last : 1;
    return {first - early, last - first + early + late, first, last, (float)((first - begin) / wide), (float)(1 / wide),
            (float)((share < wide ? share : wide) / wide)};
}

/* The two that INTER_LINEAR makes it of, in 2048ths; the first may be beyond one edge, and the second beyond the other. */
static __device__ Taps between(double step, int at)
{
    float place = (float)(__dmul_rn(at + 0.5, step) - 0.5), share = place - floorf(place);
    int from = (int)floorf(place);
    return {from, 2, from + 1, from + 1, rintf((1 - share) * 2048), 0, rintf(share * 2048)};
}

static __device__ __forceinline__ float weight(const Taps &taps, int number)
{
    int at = taps.from + number;
    return at < taps.first ? taps.before : at < taps.last ? taps.whole : taps.after;
}

static __device__ __forceinline__ int among(int at, int size)
{
    return at < 0 ? 0 : at < size ? at : size - 1;
}

/* A sample of a part that was halved so often. Its loops are not unrolled, here and below: copies of what they call would
 * take more stack than a context keeps for a thread. */
template <int HALVINGS> static __device__ int halved_at(const View &view, int row, int column)
{
    if constexpr (HALVINGS == 0) {
        int x = among(view.x + column, view.columns), y = among(view.y + row, view.rows);
        return view.plane[(size_t)y * view.pitch + x * view.apart];
    } else {
        int width = view.width >> (HALVINGS - 1), height = view.height >> (HALVINGS - 1);
        int even = (width | height) % 2 == 0, four = 2;
        Taps across = {2 * column, 2}, down = {2 * row, 2};
        float sum = 0;

        if (!even) {
            across = shares(width, 1 / ((double)(width / 2) / width), column);
            down = shares(height, 1 / ((double)(height / 2) / height), row);
        }
#pragma unroll 1
        for (int y = 0; y < down.count; y++) {
            float line = 0;
#pragma unroll 1
            for (int x = 0; x < across.count; x++) {
                int level = halved_at<HALVINGS - 1>(view, down.from + y, across.from + x);
                if (even)
                    four += level;
                else
                    line = __fadd_rn(line, __fmul_rn(level, weight(across, x)));
            }
            if (!even)
                sum = __fadd_rn(sum, __fmul_rn(line, weight(down, y)));
        }
        return even ? four >> 2 : (int)rintf(sum);
    }
}

static __device__ int source_at(const View &view, int row, int column)
{
    switch (view.halvings) {
    case 0: return halved_at<0>(view, row, column);
    case 1: return halved_at<1>(view, row, column);
    case 2: return halved_at<2>(view, row, column);
    case 3: return halved_at<3>(view, row, column);
    default: return halved_at<4>(view, row, column);
    }
}

/* A pixel of one plane. */
static __device__ int scaled_at(const View &view, int row, int column)
{
    int width = view.width >> view.halvings, height = view.height >> view.halvings, whole = 2;
    Taps across = view.area ? shares(width, view.across, column) : between(view.across, column);
    Taps down = view.area ? shares(height, view.down, row) : between(view.down, row);
    float sum = 0;
#pragma unroll 1
    for (int y = 0; y < down.count; y++) {
        float line = 0;
        int sharp = 0;
#pragma unroll 1
        for (int x = 0; x < across.count; x++) {
            int level = source_at(view, among(down.from + y, height), among(across.from + x, width));
            line = __fadd_rn(line, __fmul_rn(level, weight(across, x)));
            sharp += level * (int)weight(across, x);
        }
        sum = __fadd_rn(sum, __fmul_rn(line, weight(down, y)));
        whole += (int)weight(down, y) * (sharp >> 4) >> 16;
    }
    return view.area ? (int)rintf(sum) : whole >> 2;
}

extern "C" __global__ void __launch_bounds__(PIXELS) image(const Image job)
{
    int item = blockIdx.x * PIXELS + threadIdx.x, row = item / job.width, column = item % job.width, levels[3];

    if (row >= job.height)
        return;
    for (int channel = 0; channel < job.colors; channel++)
        levels[channel] = scaled_at(job.views[channel], row, column);
    if (job.colors == 1) {
        job.made[item] = levels[0];
        return;
    }
    for (int color = 0; color < 3; color++) {
        const int *of = job.matrix[color];
        int level = (of[0] * levels[0] + of[1] * levels[1] + of[2] * levels[2] + of[3]) >> 10;
        job.made[(size_t)item * 3 + color] = level < 0 ? 0 : level > 255 ? 255 : level;
    }
}
