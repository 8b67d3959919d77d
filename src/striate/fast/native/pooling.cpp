// The largest value of each window of a volume (N, H, W, C), and gradients back to where it was, in
// float32 sums. Places are counted row by row of the window; of equals the first, and what is no
// number before all.

#include <algorithm>
#include <cmath>

#include "values.h"
#include "window.h"

const Index LANES = 64;  // channels at a time

template <class T>
static void largest_of(const T* volume, T* out, uint8_t* which, const Window& window, Index n,
                       Index h, Index w, Index c, Index high, Index wide) {
    const Window at = window;
    pieces(n * high, [=](Index, Index from, Index end) {
        float best[LANES];
        int32_t places[LANES];
        for (Index place = from * wide; place < end * wide; ++place) {
            const Index row = place / wide;
            const Index top = row % high * at.down - at.above;
            const Index side = place % wide * at.across - at.left;
            const Index above = std::max(-top, Index(0)), left = std::max(-side, Index(0));
            for (Index start = 0; start < c; start += LANES) {
                const Index some = std::min(LANES, c - start);
                std::fill_n(best, some, -INFINITY);
                std::fill_n(places, some, int32_t(above * at.columns + left));
                for (Index i = above; i < std::min(at.rows, h - top); ++i)
                    for (Index j = left; j < std::min(at.columns, w - side); ++j) {
                        const T* __restrict met =
                            volume + ((row / high * h + top + i) * w + side + j) * c + start;
                        const int32_t here = int32_t(i * at.columns + j);
#pragma omp simd
                        for (Index k = 0; k < some; ++k) {
                            const float value = widen(met[k]);
                            const bool more = (value > best[k]) | (value != value);
                            best[k] = more ? value : best[k];
                            places[k] = more ? here : places[k];
                        }
                    }
                T* __restrict to = out + place * c + start;
                uint8_t* __restrict were = which + place * c + start;
#pragma omp simd
                for (Index k = 0; k < some; ++k) {
                    narrow(best[k], to[k]);
                    were[k] = uint8_t(places[k]);
                }
            }
        }
    });
}

template <class T>
static void spread_of(const T* gradient, const uint8_t* which, T* out, const Window& window, Index n,
                      Index h, Index w, Index c, Index high, Index wide) {
    const Window at = window;
    pieces(n * h, [=](Index, Index from, Index end) {
        float sum[LANES];
        for (Index place = from * w; place < end * w; ++place) {
            const Index row = place / w, down = row % h + at.above, across = place % w + at.left;
            for (Index start = 0; start < c; start += LANES) {
                const Index some = std::min(LANES, c - start);
                std::fill_n(sum, some, 0.0f);
                for (Index i = down % at.down; i < std::min(at.rows, down + 1); i += at.down) {
                    const Index y = (down - i) / at.down;
                    if (y >= high) continue;
                    for (Index j = across % at.across; j < std::min(at.columns, across + 1);
                         j += at.across) {
                        const Index x = (across - j) / at.across;
                        if (x >= wide) continue;
                        const Index met = ((row / h * high + y) * wide + x) * c + start;
                        const T* __restrict from_here = gradient + met;
                        const uint8_t* __restrict were = which + met;
                        const int32_t here = int32_t(i * at.columns + j);
#pragma omp simd
                        for (Index k = 0; k < some; ++k)
                            sum[k] += were[k] == here ? widen(from_here[k]) : 0.0f;
                    }
                }
                T* __restrict to = out + place * c + start;
#pragma omp simd
                for (Index k = 0; k < some; ++k) narrow(sum[k], to[k]);
            }
        }
    });
}

#define POOLING(NAME, T)                                                                           \
    extern "C" void largest_##NAME(const T* volume, T* out, uint8_t* which, const Window* window,  \
                                   Index n, Index h, Index w, Index c, Index high, Index wide) {   \
        largest_of(volume, out, which, *window, n, h, w, c, high, wide);                           \
    }                                                                                              \
    extern "C" void spread_##NAME(const T* gradient, const uint8_t* which, T* out,                 \
                                  const Window* window, Index n, Index h, Index w, Index c,        \
                                  Index high, Index wide) {                                        \
        spread_of(gradient, which, out, *window, n, h, w, c, high, wide);                          \
    }

POOLING(float32, float)
POOLING(bfloat16, Half)
