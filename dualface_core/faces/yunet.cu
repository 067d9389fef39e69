/* YuNet, the face detector, as CUDA kernels on maps of floats, whose channels lie side by side.
 *
 * Belongs here: what is done with numbers. Which layers there are, and what their weights are, is said by `yunet.py`;
 * the layouts in memory of `Stem` and `Layer` are those there. A block makes 16 x 8 places of 16 channels of a layer.
 * It is compiled for processors, too, where tests compare it with OpenCV: so it keeps to what C++ has.
 */

#define ACROSS 16
#define DOWN 8
#define CHANNELS 16
#define AT_ONCE 4                 /* channels that a thread sums up side by side */
#define THREADS 128

struct Stem {
    const unsigned char *image;   /* (rows, columns, 3): as it is; beyond its right and lower edges it is black */
    int rows, columns;
    const float *weights;         /* (3, 3, 3, CHANNELS): rows, columns, colors; then a bias for each channel */
    float *maps;                  /* (half_rows, half_columns, CHANNELS) */
    int half_rows, half_columns;
};

/* A 3x3 convolution of every other place, and a ReLU. */
extern "C" __global__ void __launch_bounds__(THREADS) stem(const Stem job)
{
    int item = blockIdx.x * THREADS + threadIdx.x, channel = item % (CHANNELS / AT_ONCE) * AT_ONCE;
    int place = item / (CHANNELS / AT_ONCE), row = place / job.half_columns, column = place % job.half_columns;
    const float *bias = job.weights + 27 * CHANNELS + channel;
    float sum[AT_ONCE];

    if (row >= job.half_rows)
        return;
    for (int each = 0; each < AT_ONCE; each++)
        sum[each] = bias[each];
    for (int tap = 0; tap < 9; tap++) {
        int y = 2 * row + tap / 3 - 1, x = 2 * column + tap % 3 - 1;
        if (y < 0 || x < 0 || y >= job.rows || x >= job.columns)
            continue;
        for (int color = 0; color < 3; color++) {
            float value = job.image[((size_t)y * job.columns + x) * 3 + color];
            const float *weight = job.weights + (tap * 3 + color) * CHANNELS + channel;
            for (int each = 0; each < AT_ONCE; each++)
                sum[each] += value * weight[each];
        }
    }
    for (int each = 0; each < AT_ONCE; each++)
        job.maps[(size_t)place * CHANNELS + channel + each] = sum[each] > 0 ? sum[each] : 0;
}

struct Layer {
    const float *maps;            /* (rows, columns, inputs), or twice as many rows and columns if they are shrunk */
    const float *coarse;          /* (rows / 2, columns / 2, inputs), which is enlarged and added; 0 for none */
    const float *weights;         /* (inputs, outputs), a bias for each output; (9, outputs), a bias for each */
    float *result;                /* (rows, columns, outputs), or half as many rows and columns if they are pooled */
    int inputs, outputs, rows, columns;
    int shrunk, pooled, rectified;
};

static __device__ __forceinline__ float larger(float one, float other)
{
    return one > other ? one : other;
}

/* Numbers that lie side by side, and are loaded at once. */
struct alignas(16) Four {
    float of[AT_ONCE];
};

static __device__ __forceinline__ Four four_at(const float *address)
{
    return *(const Four *)address;
}

static __device__ __forceinline__ Four larger(const Four &one, const Four &other)
{
    Four found;
    for (int each = 0; each < AT_ONCE; each++)
        found.of[each] = larger(one.of[each], other.of[each]);
    return found;
}

/* What a layer gets at a place, of four channels. */
static __device__ __forceinline__ Four inputs_at(const Layer &layer, int row, int column, int input)
{
    size_t wide = (size_t)layer.columns * layer.inputs;
    if (layer.shrunk) {
        const float *at = layer.maps + 2 * (2 * row * wide + column * layer.inputs) + input;
        const float *below = at + 2 * wide;
        return larger(larger(four_at(at), four_at(at + layer.inputs)),
                      larger(four_at(below), four_at(below + layer.inputs)));
    }
    Four values = four_at(layer.maps + row * wide + column * layer.inputs + input);
    if (layer.coarse) {
        Four coarse = four_at(layer.coarse + row / 2 * (wide / 2) + column / 2 * layer.inputs + input);
        for (int each = 0; each < AT_ONCE; each++)
            values.of[each] += coarse.of[each];
    }
    return values;
}

/* A 1x1 convolution, and a 3x3 convolution of each channel; where wanted, a maximum of 2 x 2 places before the one or
 * after the other, and a ReLU. blockIdx.z: which of the outputs. */
extern "C" __global__ void __launch_bounds__(THREADS) separable(const Layer layer)
{
    __shared__ float middle[(DOWN + 2) * (ACROSS + 2)][CHANNELS];
    int left = blockIdx.x * ACROSS, top = blockIdx.y * DOWN, from = blockIdx.z * CHANNELS;
    const float *weights = layer.weights + from, *bias = weights + layer.inputs * layer.outputs;
    const float *taps = bias + layer.outputs, *after = taps + 9 * layer.outputs;

    for (int item = threadIdx.x; item < (DOWN + 2) * (ACROSS + 2) * CHANNELS / AT_ONCE; item += THREADS) {
        int place = item / (CHANNELS / AT_ONCE), channel = item % (CHANNELS / AT_ONCE) * AT_ONCE;
        int row = top + place / (ACROSS + 2) - 1, column = left + place % (ACROSS + 2) - 1;
        float sum[AT_ONCE] = {0, 0, 0, 0};

        if (row >= 0 && column >= 0 && row < layer.rows && column < layer.columns) {
            for (int each = 0; each < AT_ONCE; each++)
                sum[each] = bias[channel + each];
            for (int input = 0; input < layer.inputs; input += AT_ONCE) {
                Four values = inputs_at(layer, row, column, input);
                for (int one = 0; one < AT_ONCE; one++) {
                    Four weight = four_at(weights + (input + one) * layer.outputs + channel);
                    for (int each = 0; each < AT_ONCE; each++)
                        sum[each] += values.of[one] * weight.of[each];
                }
            }
        }
        for (int each = 0; each < AT_ONCE; each++)
            middle[place][channel + each] = sum[each];
    }
    __syncthreads();
    int step = layer.pooled ? 2 : 1, across = ACROSS / step, columns = layer.columns / step;
    int channel = threadIdx.x % CHANNELS;   /* of all that a thread makes */
    float tap_of[9];
    for (int tap = 0; tap < 9; tap++)
        tap_of[tap] = taps[tap * layer.outputs + channel];
    for (int item = threadIdx.x; item < ACROSS * DOWN / (step * step) * CHANNELS; item += THREADS) {
        int row = item / CHANNELS / across, column = item / CHANNELS % across;
        int y = top / step + row, x = left / step + column;
        float best = 0;

        if (y >= layer.rows / step || x >= columns)
            continue;
        for (int one = 0; one < step * step; one++) {
            int corner = (row * step + one / step) * (ACROSS + 2) + column * step + one % step;
            float sum = after[channel];
            for (int tap = 0; tap < 9; tap++)
                sum += tap_of[tap] * middle[corner + tap / 3 * (ACROSS + 2) + tap % 3][channel];
            best = one ? larger(best, sum) : sum;
        }
        if (layer.rectified)
            best = larger(best, 0);
        layer.result[((size_t)y * columns + x) * layer.outputs + from + channel] = best;
    }
}
