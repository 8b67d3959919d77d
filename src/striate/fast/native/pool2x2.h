// The largest of each window of 2x2 at steps of 2, and gradients back to it.

#pragma once

#include <algorithm>

#include "values.h"

// Sixteen channels at a time: of few channels, most of a longer loop would be its beginning and end.
template <class Work> static inline void each_channel(Index channels, Work work) {
    Index k = 0;
    for (; k + 16 <= channels; k += 16) {
#pragma omp simd
        for (Index lane = 0; lane < 16; ++lane) work(k + lane);
    }
    for (; k < channels; ++k) work(k);
}

static inline void larger(float value, int place, float& best, int& at) {
    bool more = (value > best) | (value != value);  // what is no number stays
    best = more ? value : best;
    at = more ? place : at;
}

// The largest of each window, and which of the four it was, the first of equals.
template <class T>
static void pool(const T* x, T* y, uint8_t* which, Index n, Index h, Index w, Index c) {
    Index rows = h / 2, columns = w / 2;
    pieces(n * rows, [=](Index, Index from, Index end) {
        for (Index row = from; row < end; ++row)
            for (Index column = 0; column < columns; ++column) {
                const T* corner = x + ((row / rows * h + row % rows * 2) * w + column * 2) * c;
                T* __restrict to = y + (row * columns + column) * c;
                uint8_t* __restrict place = which + (row * columns + column) * c;
                const Index channels = c, below = w * c;  // bytes might alias what is captured
                each_channel(channels, [=](Index k) {
                    float best = widen(corner[k]);
                    int at = 0;
                    larger(widen(corner[channels + k]), 1, best, at);
                    larger(widen(corner[below + k]), 2, best, at);
                    larger(widen(corner[below + channels + k]), 3, best, at);
                    narrow(best, to[k]);
                    place[k] = uint8_t(at);
                });
            }
    });
}

// Gradients back to where the largest were, zero elsewhere; the odd row and column too.
template <class T>
static void unpool(const T* dy, const uint8_t* which, T* dx, Index n, Index h, Index w, Index c) {
    Index rows = h / 2, columns = w / 2;
    pieces(n, [=](Index, Index from, Index end) {
        for (Index image = from; image < end; ++image) {
            T* base = dx + image * h * w * c;
            for (Index row = 0; row < rows; ++row) {
                for (Index column = 0; column < columns; ++column) {
                    const Index small = ((image * rows + row) * columns + column) * c;
                    const T* __restrict gradient = dy + small;
                    const uint8_t* __restrict place = which + small;
                    T* __restrict to = base + (row * 2 * w + column * 2) * c;
                    const Index channels = c, below = w * c;
                    each_channel(channels, [=](Index k) {
                        T value = gradient[k];
                        uint8_t at = place[k];
                        to[k] = at == 0 ? value : T(0);
                        to[channels + k] = at == 1 ? value : T(0);
                        to[below + k] = at == 2 ? value : T(0);
                        to[below + channels + k] = at == 3 ? value : T(0);
                    });
                }
                if (w % 2)
                    for (Index odd = 0; odd < 2; ++odd)
                        std::fill_n(base + ((row * 2 + odd) * w + w - 1) * c, c, T(0));
            }
            if (h % 2) std::fill_n(base + (h - 1) * w * c, w * c, T(0));
        }
    });
}
