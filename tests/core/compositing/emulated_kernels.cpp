/* The kernels of the `.cu` files for a processor: each thread of a block is a fiber that runs until the next barrier. */

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <ucontext.h>

struct Three {
    unsigned x, y, z;
};

static Three blockIdx, threadIdx;
static ucontext_t outside, fiber[1024];
static unsigned running;

static void __syncthreads(void)
{
    swapcontext(&fiber[running], &outside);
}

#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __shared__ static

/* Without a fused multiplication and addition, for which the compiler is told not to make any. */
#define __fmul_rn(one, other) ((float)(one) * (float)(other))
#define __fadd_rn(one, other) ((float)(one) + (float)(other))
#define __dmul_rn(one, other) ((double)(one) * (double)(other))

#include CARD_FRAMES
#include FINGERPRINTS
#include TILES
#include YUNET

static bool ended[1024];
static void (*body)(void);

static void once(void)
{
    body();
    ended[running] = true;
}

static void run(void (*kernel)(void), const unsigned *blocks, unsigned threads)
{
    const size_t room = 1 << 15;
    char *stacks = (char *)malloc(room * threads);

    body = kernel;
    for (blockIdx.z = 0; blockIdx.z < blocks[2]; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < blocks[1]; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < blocks[0]; blockIdx.x++) {
                for (unsigned i = 0; i < threads; i++) {
                    getcontext(&fiber[i]);
                    fiber[i].uc_stack.ss_sp = stacks + room * i;
                    fiber[i].uc_stack.ss_size = room;
                    fiber[i].uc_link = &outside;
                    makecontext(&fiber[i], once, 0);
                    ended[i] = false;
                }
                for (unsigned left = threads; left;)
                    for (unsigned i = 0; i < threads; i++)
                        if (!ended[i]) {
                            running = threadIdx.x = i;
                            swapcontext(&outside, &fiber[i]);
                            left -= ended[i];
                        }
            }
    free(stacks);
}

static const void *given;

extern "C" void run_compose(const unsigned *blocks, unsigned threads, const Job *job)
{
    given = job;
    run([] { compose(*(const Job *)given); }, blocks, threads);
}

extern "C" void run_fingerprint(const unsigned *blocks, unsigned threads, const Print *job)
{
    given = job;
    run([] { fingerprint(*(const Print *)given); }, blocks, threads);
}

extern "C" void run_thumbnail(const unsigned *blocks, unsigned threads, const Thumbnail *job)
{
    given = job;
    run([] { thumbnail(*(const Thumbnail *)given); }, blocks, threads);
}

extern "C" void run_image(const unsigned *blocks, unsigned threads, const Image *job)
{
    given = job;
    run([] { image(*(const Image *)given); }, blocks, threads);
}

extern "C" void run_stem(const unsigned *blocks, unsigned threads, const Stem *job)
{
    given = job;
    run([] { stem(*(const Stem *)given); }, blocks, threads);
}

extern "C" void run_separable(const unsigned *blocks, unsigned threads, const Layer *job)
{
    given = job;
    run([] { separable(*(const Layer *)given); }, blocks, threads);
}

extern "C" const size_t sizes[] = {sizeof(Axis), sizeof(Slot), sizeof(Job), sizeof(Print), sizeof(Thumbnail), sizeof(Image), sizeof(Stem), sizeof(Layer)};
