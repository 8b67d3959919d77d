// Between a volume (N, H, W, C) and a matrix with a row for each position of a filter's window: the
// values that the filter meets there, (window's rows, its columns, C), zeros where it lies outside.

#include <algorithm>
#include <vector>

#include "values.h"
#include "window.h"

extern "C" void columns_of(const Half* volume, Half* matrix, const Window* window, Index n, Index h,
                           Index w, Index c, Index high, Index wide) {
    const Window at = *window;
    pieces(n * high, [=](Index, Index from, Index end) {
        Half* to = matrix + from * wide * at.rows * at.columns * c;
        for (Index row = from; row < end; ++row)
            for (Index column = 0; column < wide; ++column)
                for (Index i = 0; i < at.rows; ++i) {
                    Index y = row % high * at.down - at.above + i;
                    Index x = column * at.across - at.left;
                    Index first = std::min(std::max(-x, Index(0)), at.columns);
                    Index last = std::min(std::max(w - x, first), at.columns);
                    if (y < 0 || y >= h) first = last = at.columns;
                    std::fill_n(to, first * c, Half(0));
                    if (first < last) {
                        const Half* met = volume + ((row / high * h + y) * w + x + first) * c;
                        std::copy_n(met, (last - first) * c, to + first * c);
                    }
                    std::fill_n(to + last * c, (at.columns - last) * c, Half(0));
                    to += at.columns * c;
                }
    });
}

// The sum of all places where each value of the volume stands, in float32.
extern "C" void volume_of(const Half* matrix, Half* volume, const Window* window, Index n, Index h,
                          Index w, Index c, Index high, Index wide) {
    const Window at = *window;
    pieces(n * h, [=](Index, Index from, Index end) {
        std::vector<float> sum(c);
        for (Index row = from; row < end; ++row)
            for (Index column = 0; column < w; ++column) {
                float* __restrict total = sum.data();
                std::fill_n(total, c, 0.0f);
                for (Index i = (row % h + at.above) % at.down; i < at.rows; i += at.down) {
                    Index y = (row % h + at.above - i) / at.down;
                    if (row % h + at.above < i || y >= high) continue;
                    for (Index j = (column + at.left) % at.across; j < at.columns; j += at.across) {
                        Index x = (column + at.left - j) / at.across;
                        if (column + at.left < j || x >= wide) continue;
                        Index place = (row / h * high + y) * wide + x;
                        const Half* __restrict some =
                            matrix + ((place * at.rows + i) * at.columns + j) * c;
#pragma omp simd
                        for (Index k = 0; k < c; ++k) total[k] += widen(some[k]);
                    }
                }
                Half* __restrict to = volume + (row * w + column) * c;
#pragma omp simd
                for (Index k = 0; k < c; ++k) narrow(total[k], to[k]);
            }
    });
}
