// Batch normalisation, the pooling before it, the sum with a shortcut and the activation after it, in
// two passes over memory forward and two backward, where PyTorch's operations take about three times
// as many. Volumes are (N, H, W, C), channels last, of float32 or bfloat16; sums are float32.
//
//     y = pool(x)      z = y * a + b + r      out = act(z)      a = weight / deviation, b = bias - mean * a

#include <algorithm>
#include <cmath>
#include <vector>

#include "activations.h"
#include "pool2x2.h"
#include "values.h"

// The sums of two rows of `channels` numbers over all positions; add(position, s, t) adds to both.
template <class Add>
static void sums(Index positions, Index channels, double* first, double* second, Add add) {
    std::vector<double> all(2 * PIECES * channels, 0.0);
    pieces(positions, [&](Index piece, Index from, Index end) {
        double* total = &all[2 * piece * channels];
        std::vector<float> run(2 * channels);
        for (Index start = from; start < end; start += RUN) {
            std::fill(run.begin(), run.end(), 0.0f);
            for (Index at = start; at < std::min(end, start + RUN); ++at)
                add(at, run.data(), run.data() + channels);
            for (Index c = 0; c < 2 * channels; ++c) total[c] += run[c];
        }
    });
    std::fill(first, first + channels, 0.0);
    std::fill(second, second + channels, 0.0);
    for (Index piece = 0; piece < PIECES; ++piece)
#pragma omp simd
        for (Index c = 0; c < channels; ++c) {
            first[c] += all[2 * piece * channels + c];
            second[c] += all[(2 * piece + 1) * channels + c];
        }
}

// Few channels would leave vectors half empty: so many positions are taken as one.
static Index together(Index positions, Index channels) {
    Index many = 1;
    while (channels * many < 128 && positions % (many * 2) == 0) many *= 2;
    return many;
}

static std::vector<float> repeated(const float* values, Index channels, Index many) {
    std::vector<float> all(channels * many);
    for (Index k = 0; k < many; ++k) std::copy_n(values, channels, &all[k * channels]);
    return all;
}

static void folded(double* sum, Index channels, Index many) {
    for (Index k = 1; k < many; ++k)
#pragma omp simd
        for (Index c = 0; c < channels; ++c) sum[c] += sum[k * channels + c];
}

// Mean and inverse deviation of each channel. What is summed are differences from the first
// position's values: squares of large, nearly equal numbers would cancel.
template <class T>
static void moments(const T* y, Index positions, Index channels, float eps,
                    float* mean, float* inverse, double* variance) {
    Index many = together(positions, channels), wide = channels * many;
    std::vector<float> start(wide);
    for (Index c = 0; c < wide; ++c) start[c] = widen(y[c % channels]);
    std::vector<double> s(wide), t(wide);
    sums(positions / many, wide, s.data(), t.data(), [&](Index at, float* first, float* second) {
        const T* __restrict row = y + at * wide;
        const float* __restrict origin = start.data();
        float* __restrict plain = first;
        float* __restrict square = second;
#pragma omp simd
        for (Index c = 0; c < wide; ++c) {
            float value = widen(row[c]) - origin[c];
            plain[c] += value;
            square[c] += value * value;
        }
    });
    folded(s.data(), channels, many);
    folded(t.data(), channels, many);
    for (Index c = 0; c < channels; ++c) {
        double middle = s[c] / positions;
        variance[c] = std::max(t[c] / positions - middle * middle, 0.0);
        mean[c] = float(start[c] + middle);
        inverse[c] = float(1.0 / std::sqrt(variance[c] + eps));
    }
}

template <class T, Act act>
static void apply(const T* y, const T* r, T* out, const float* a, const float* b,
                  Index positions, Index channels) {
    Index many = together(positions, channels), wide = channels * many;
    std::vector<float> factor = repeated(a, channels, many), shift = repeated(b, channels, many);
    pieces(positions / many, [&](Index, Index from, Index end) {
        const float* __restrict f = factor.data();
        const float* __restrict g = shift.data();
        for (Index at = from; at < end; ++at) {
            const T* __restrict row = y + at * wide;
            T* __restrict to = out + at * wide;
            if (r) {
                const T* __restrict other = r + at * wide;
#pragma omp simd
                for (Index c = 0; c < wide; ++c)
                    narrow(activate<act>(widen(row[c]) * f[c] + g[c] + widen(other[c])), to[c]);
            } else {
#pragma omp simd
                for (Index c = 0; c < wide; ++c)
                    narrow(activate<act>(widen(row[c]) * f[c] + g[c]), to[c]);
            }
        }
    });
}

// dz: the gradient before the activation, into `dr`; sums of dz and of dz * (y - mean).
template <class T, Act act>
static void backward_sums(const T* dout, const T* y, const T* r, T* dz, const float* a,
                          const float* b, const float* mean, Index positions, Index channels,
                          double* s, double* t) {
    sums(positions, channels, s, t, [&](Index at, float* first, float* second) {
        const T* __restrict gradient = dout + at * channels;
        const T* __restrict row = y + at * channels;
        const T* __restrict other = r ? r + at * channels : nullptr;
        T* __restrict to = dz + at * channels;
        float* __restrict plain = first;
        float* __restrict product = second;
        if (other) {
#pragma omp simd
            for (Index c = 0; c < channels; ++c) {
                float value = widen(row[c]);
                float g = widen(gradient[c]) * slope<act>(value * a[c] + b[c] + widen(other[c]));
                plain[c] += g;
                product[c] += g * (value - mean[c]);
                narrow(g, to[c]);
            }
        } else {
#pragma omp simd
            for (Index c = 0; c < channels; ++c) {
                float value = widen(row[c]);
                float g = widen(gradient[c]) * slope<act>(value * a[c] + b[c]);
                plain[c] += g;
                product[c] += g * (value - mean[c]);
                narrow(g, to[c]);
            }
        }
    });
}

// dy = a * (dz - p - q * (y - mean)), in place of dz where `dy` is the same.
template <class T>
static void backward_apply(const T* dz, const T* y, T* dy, const float* a, const float* mean,
                           const float* p, const float* q, Index positions, Index channels) {
    pieces(positions, [&](Index, Index from, Index end) {
        for (Index at = from; at < end; ++at) {
            const T* gradient = dz + at * channels;
            const T* __restrict row = y + at * channels;
            T* to = dy + at * channels;
#pragma omp simd
            for (Index c = 0; c < channels; ++c)
                narrow(a[c] * (widen(gradient[c]) - p[c] - q[c] * (widen(row[c]) - mean[c])), to[c]);
        }
    });
}

template <class T>
static void forward(const T* x, const T* r, T* y, uint8_t* which, T* out, const float* weight,
                    const float* bias, float* mean, float* inverse, float* running_mean,
                    float* running_variance, float momentum, float eps, Index n, Index h, Index w,
                    Index c, int pooled, int norm, int act) {
    if (pooled) {
        pool(x, y, which, n, h, w, c);
        x = y;
        h /= 2, w /= 2;
    }
    Index positions = n * h * w;
    std::vector<float> a(c, 1.0f), b(c, 0.0f);
    if (norm) {
        std::vector<double> variance(c);
        moments(x, positions, c, eps, mean, inverse, variance.data());
#pragma omp simd
        for (Index k = 0; k < c; ++k) {
            a[k] = inverse[k] * (weight ? weight[k] : 1.0f);
            b[k] = (bias ? bias[k] : 0.0f) - mean[k] * a[k];
            running_mean[k] += momentum * (mean[k] - running_mean[k]);
            float unbiased = float(variance[k] * positions / (positions - 1));
            running_variance[k] += momentum * (unbiased - running_variance[k]);
        }
    }
    switch (act) {
        case RELU: return apply<T, RELU>(x, r, out, a.data(), b.data(), positions, c);
        case GELU: return apply<T, GELU>(x, r, out, a.data(), b.data(), positions, c);
        default: return apply<T, NONE>(x, r, out, a.data(), b.data(), positions, c);
    }
}

template <class T>
static void backward(const T* dout, const T* y, const T* r, const uint8_t* which, T* dz, T* dy,
                     T* dx, const float* weight, const float* bias, const float* mean,
                     const float* inverse, float* dweight, float* dbias, Index n, Index h, Index w,
                     Index c, int pooled, int norm, int act) {
    Index positions = pooled ? n * (h / 2) * (w / 2) : n * h * w;
    Index many = together(positions, c), wide = c * many;
    std::vector<float> a(c, 1.0f), b(c, 0.0f), middle(c, 0.0f), p(c), q(c);
    for (Index k = 0; norm && k < c; ++k) {
        a[k] = inverse[k] * (weight ? weight[k] : 1.0f);
        middle[k] = mean[k];
        b[k] = (bias ? bias[k] : 0.0f) - mean[k] * a[k];
    }
    std::vector<float> aa = repeated(a.data(), c, many), bb = repeated(b.data(), c, many),
                       mm = repeated(middle.data(), c, many);
    std::vector<double> s(wide), t(wide);
    auto first = backward_sums<T, NONE>;
    if (act == RELU) first = backward_sums<T, RELU>;
    if (act == GELU) first = backward_sums<T, GELU>;
    first(dout, y, r, dz, aa.data(), bb.data(), mm.data(), positions / many, wide, s.data(),
          t.data());
    if (norm) {
        folded(s.data(), c, many);
        folded(t.data(), c, many);
#pragma omp simd
        for (Index k = 0; k < c; ++k) {
            dbias[k] = float(s[k]);
            dweight[k] = float(t[k] * inverse[k]);
            p[k] = float(s[k] / positions);
            q[k] = float(t[k] / positions * inverse[k] * inverse[k]);
        }
        std::vector<float> pp = repeated(p.data(), c, many), qq = repeated(q.data(), c, many);
        backward_apply(dz, y, dy, aa.data(), mm.data(), pp.data(), qq.data(), positions / many,
                       wide);
    }
    if (pooled) unpool(norm ? dy : dz, which, dx, n, h, w, c);
}

#define KERNELS(NAME, T)                                                                           \
    extern "C" void forward_##NAME(                                                                \
        const T* x, const T* r, T* y, uint8_t* which, T* out, const float* weight,                 \
        const float* bias, float* mean, float* inverse, float* running_mean,                       \
        float* running_variance, float momentum, float eps, Index n, Index h, Index w, Index c,    \
        int pooled, int norm, int act) {                                                           \
        forward<T>(x, r, y, which, out, weight, bias, mean, inverse, running_mean,                 \
                   running_variance, momentum, eps, n, h, w, c, pooled, norm, act);                \
    }                                                                                              \
    extern "C" void backward_##NAME(                                                               \
        const T* dout, const T* y, const T* r, const uint8_t* which, T* dz, T* dy, T* dx,          \
        const float* weight, const float* bias, const float* mean, const float* inverse,           \
        float* dweight, float* dbias, Index n, Index h, Index w, Index c, int pooled, int norm,    \
        int act) {                                                                                 \
        backward<T>(dout, y, r, which, dz, dy, dx, weight, bias, mean, inverse, dweight, dbias, n, \
                    h, w, c, pooled, norm, act);                                                   \
    }

KERNELS(float32, float)
KERNELS(bfloat16, Half)
