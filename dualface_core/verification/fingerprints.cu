/* The fingerprint of a canvas as a CUDA kernel: what `fingerprints.py` takes of a frame on the processor, bit for bit.
 *
 * Belongs here: averages, rounded as OpenCV rounds them, and the sums that detail is made of. The layouts in memory of
 * `Region` and `Print` are those of `card_fingerprints.py`. A block makes a row of cells of one channel of a region, or
 * the sum that belongs to it.
 * It is compiled for processors, too, where tests compare it with OpenCV: so it keeps to what C++ has.
 */

#define CELL 40                   /* luma samples that are averaged into one, in either direction */
#define BAND 4                    /* rows at half size of a band */
#define CHROMA_ROWS 4             /* rows at half size that a cell of chroma is made of */
#define MOST_QUARTERS 18          /* rows at a quarter of the size that a cell is made of: of nine bands at the most */
#define WIDE 32                   /* cells that a block makes side by side */
#define MEMBERS 256               /* threads of a block */

struct Region {
    int x, y, width, height;      /* on the canvas */
    int bands;                    /* of a cell of luma */
    int offset;                   /* bytes of the fingerprint before this region's */
};

struct Print {
    const unsigned char *canvas[3];   /* Y, U, V */
    int pitch[3];
    int apart;                        /* bytes from one U to the next */
    int rows;                         /* of cells of luma, of the region that has most */
    Region regions[2];
    unsigned char *averages;          /* of both regions: Y, U, V, and a byte that is left out */
    unsigned long long *powers;       /* (2, rows): sums of fourth powers */
};

struct Plane {
    const unsigned char *first;
    int pitch, apart;
};

/* A sample at half the size of a plane. */
static __device__ __forceinline__ int half_at(const Plane &plane, int row, int column)
{
    const unsigned char *above = plane.first + (size_t)(2 * row) * plane.pitch + 2 * column * plane.apart;
    const unsigned char *below = above + plane.pitch;
    return (above[0] + above[plane.apart] + below[0] + below[plane.apart] + 2) >> 2;
}

/* A sample at a quarter of the size, of two rows at half the size. */
static __device__ __forceinline__ int quarter_at(const Plane &plane, int upper, int lower, int column)
{
    int above = half_at(plane, upper, 2 * column) + half_at(plane, upper, 2 * column + 1);
    return (above + half_at(plane, lower, 2 * column) + half_at(plane, lower, 2 * column + 1) + 2) >> 2;
}

/* The middle of one of `count` shares of `rows`. */
static __device__ __forceinline__ int spread(int rows, int count, int number)
{
    return (2 * number + 1) * rows / (2 * count);
}

/* What INTER_AREA adds up of a row of `columns` samples for one of `cells`: whole samples where they come out even, else
 * shares of them, in the order and with the roundings of OpenCV. */
static __device__ float across(const Plane &plane, int upper, int lower, int columns, int cells, int cell)
{
    float sum = 0;
    if (columns % cells == 0) {
        int each = columns / cells;
        for (int column = cell * each; column < (cell + 1) * each; column++)
            sum += quarter_at(plane, upper, lower, column);
        return sum;
    }
    double step = 1 / ((double)cells / columns), from = __dmul_rn(cell, step), to = from + step;
    double wide = step < columns - from ? step : columns - from;
    int last = (int)floor(to) < columns - 1 ? (int)floor(to) : columns - 1;
    int first = (int)ceil(from) < last ? (int)ceil(from) : last;
    if (first - from > 1e-3)
        sum = __fmul_rn(quarter_at(plane, upper, lower, first - 1), (float)((first - from) / wide));
    for (int column = first; column < last; column++)
        sum = __fadd_rn(sum, __fmul_rn(quarter_at(plane, upper, lower, column), (float)(1 / wide)));
    if (to - last > 1e-3) {
        double share = to - last < 1 ? to - last : 1;
        share = (share < wide ? share : wide) / wide;
        sum = __fadd_rn(sum, __fmul_rn(quarter_at(plane, upper, lower, last), (float)share));
    }
    return sum;
}

/* A row of cells. `rows` and `columns`: of the plane at half its size. */
static __device__ void averaged(const Plane &plane, int rows, int columns, int cells, int of_a_cell, int band, int row,
                                int cells_down, unsigned char *averages)
{
    __shared__ float sums[MOST_QUARTERS][WIDE];
    int quarters = of_a_cell * band / 2, place = threadIdx.x % WIDE, even = columns / 2 % cells == 0;
    float area = 1.0f / (columns / 2 / cells * quarters), share = (float)(1.0 / quarters);

    for (int left = 0; left < cells; left += WIDE) {
        int cell = left + place;
        for (int quarter = threadIdx.x / WIDE; quarter < quarters && cell < cells; quarter += MEMBERS / WIDE) {
            int one = 2 * (row * quarters + quarter), upper = spread(rows, of_a_cell * cells_down, one / band);
            int lower = band > 1 ? upper + 1 : spread(rows, of_a_cell * cells_down, one + 1);
            int above = band > 1 ? one % band - band / 2 : 0;
            sums[quarter][place] = across(plane, upper + above, lower + above, columns / 2, cells, cell);
        }
        __syncthreads();
        if (threadIdx.x < WIDE && cell < cells) {
            float sum = 0;
            for (int quarter = 0; quarter < quarters; quarter++)
                sum = __fadd_rn(sum, even ? sums[quarter][place] : __fmul_rn(sums[quarter][place], share));
            averages[row * cells + cell] = (int)rintf(even ? __fmul_rn(sum, area) : sum);
        }
        __syncthreads();
    }
}

/* The sum, over the inner rows of a row's bands, of the fourth powers of how far a sample at half size is from the mean
 * of the nine around; squares over 255 count as that. */
static __device__ void powers(const Plane &plane, int rows, int columns, int bands, int row, int cells_down,
                              unsigned long long *result)
{
    __shared__ unsigned long long all[MEMBERS];
    __shared__ short three[2][MEMBERS];
    int member = threadIdx.x;
    unsigned long long sum = 0;

    for (int band = row * bands; band < (row + 1) * bands; band++)
        for (int left = 0; left < columns; left += MEMBERS - 2) {
            int at = left + member - 1, level[BAND];
            int inside = at < 0 ? -at : at < columns ? at : at == columns ? columns - 2 : 0;
            for (int each = 0; each < BAND; each++)
                level[each] = half_at(plane, spread(rows, bands * cells_down, band) - BAND / 2 + each, inside);
            for (int each = 0; each < 2; each++)
                three[each][member] = level[each] + level[each + 1] + level[each + 2];
            __syncthreads();
            for (int each = 0; each < 2 && member && member < MEMBERS - 1 && at < columns; each++) {
                int nine = three[each][member - 1] + three[each][member] + three[each][member + 1];
                int aside = level[each + 1] - (nine + 4) / 9, square = aside * aside < 255 ? aside * aside : 255;
                sum += square * square;
            }
            __syncthreads();
        }
    all[member] = sum;
    for (int half = MEMBERS / 2; half; half /= 2) {
        __syncthreads();
        if (member < half)
            all[member] += all[member + half];
    }
    if (member == 0)
        *result = all[0];
}

/* blockIdx.x: the row of cells; y: the region; z: 0 to 2 for averages of Y, U and V, 3 for the sums. */
extern "C" __global__ void __launch_bounds__(MEMBERS) fingerprint(const Print job)
{
    const Region &region = job.regions[blockIdx.y];
    int sums = blockIdx.z == 3, channel = sums ? 0 : blockIdx.z, scale = channel ? 2 : 1;
    int row = blockIdx.x, rows = region.height / scale / 2, columns = region.width / scale / 2;
    int down = region.height / (CELL * scale), cells = region.width / (CELL * scale);
    size_t x = region.x / scale, y = region.y / scale;
    Plane plane = {job.canvas[channel], job.pitch[channel], channel ? job.apart : 1};

    plane.first += y * plane.pitch + x * plane.apart;
    if (sums) {
        unsigned long long *result = job.powers + blockIdx.y * job.rows + row;
        if (row < down)
            powers(plane, rows, columns, region.bands, row, down, result);
        else if (threadIdx.x == 0)
            *result = 0;
        return;
    }
    if (row >= down)
        return;
    unsigned char *to = job.averages + region.offset;
    if (channel)
        to += (region.height / CELL) * (region.width / CELL) + (channel - 1) * down * cells;
    averaged(plane, rows, columns, cells, channel ? CHROMA_ROWS : region.bands, channel ? 1 : BAND, row, down, to);
}
