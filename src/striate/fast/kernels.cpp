// Batch normalisation, the pooling before it, the sum with a shortcut and the activation after it, in
// two passes over memory forward and two backward, where PyTorch's operations take about three times
// as many. Volumes are (N, H, W, C), channels last, of float32 or bfloat16; sums are float32.
//
//     y = pool(x)      z = y * a + b + r      out = act(z)      a = weight / deviation, b = bias - mean * a
//
// Work is cut into pieces whose number does not depend on the threads: neither do the sums.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

using Half = uint16_t;  // bfloat16's bits: the upper half of a float32's
using Index = int64_t;

enum Act { NONE, RELU, GELU };

static inline float widen(float value) { return value; }
static inline float widen(Half bits) {
    uint32_t wide = uint32_t(bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}
static inline void narrow(float value, float& to) { to = value; }
static inline void narrow(float value, Half& to) {  // to the nearest, ties to even
    uint32_t wide;
    std::memcpy(&wide, &value, 4);
    to = Half((wide + 0x7fff + ((wide >> 16) & 1)) >> 16);
}

static inline float exponential(float x) {  // Cephes' expf, to 2 units in the last place
    x = std::min(std::max(x, -87.0f), 88.0f);
    float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  // to the nearest whole number
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t bits = (int32_t(n) + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, 4);
    return p * scale;
}

// The normal distribution up to z, and exp(-z*z/2). Abramowitz and Stegun 7.1.26, error below 1.5e-7.
static inline float normal(float z, float& bell) {
    float u = std::fabs(z) * 0.70710678f;
    float t = 1.0f / (1.0f + 0.3275911f * u);
    bell = exponential(-u * u);
    float tail = 1.061405429f * t - 1.453152027f;
    tail = (((tail * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t * bell * 0.5f;
    return z < 0 ? tail : 1.0f - tail;
}

template <Act act> static inline float activate(float z) {
    float bell;
    switch (act) {
        case RELU: return z > 0 ? z : z != z ? z : 0.0f;
        case GELU: return z * normal(z, bell);
        default: return z;
    }
}

template <Act act> static inline float slope(float z) {
    float bell, s;
    switch (act) {
        case RELU: return z > 0 ? 1.0f : 0.0f;
        case GELU: s = normal(z, bell); return s + z * bell * 0.39894228f;
        default: return 1.0f;
    }
}

const Index PIECES = 64;   // of the work
const Index RUN = 256;     // positions summed in float32 before their sum joins the others'

// Calls work(piece, first, end) for each piece of `count` items.
template <class Work> static void pieces(Index count, Work work) {
#pragma omp parallel for schedule(static)
    for (Index piece = 0; piece < PIECES; ++piece)
        work(piece, count * piece / PIECES, count * (piece + 1) / PIECES);
}

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

// The largest of each window of 2x2 at steps of 2, and which of the four it was, the first of equals.
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

// -- updates of weights that are computed with in bfloat16: one pass over the weight, what its rule
// remembers, its gradient, and the copy to compute with

extern "C" double squares(const Half* gradient, Index count) {
    std::vector<double> all(PIECES, 0.0);
    pieces(count, [&](Index piece, Index from, Index end) {
        double total = 0.0;
        for (; from < end; from += 16 * RUN) {
            const Half* __restrict part = gradient + from;
            const Index some = std::min(end - from, 16 * RUN);
            float run = 0.0f;
#pragma omp simd reduction(+ : run)
            for (Index at = 0; at < some; ++at) {
                float value = widen(part[at]);
                run += value * value;
            }
            total += run;
        }
        all[piece] = total;
    });
    double sum = 0.0;
    for (Index piece = 0; piece < PIECES; ++piece) sum += all[piece];
    return sum;
}

extern "C" void descend(float* weight, float* speed, const Half* gradient, Half* copy, Index count,
                        float rate, float momentum, float decay, int nesterov) {
    pieces(count, [=](Index, Index from, Index end) {
        float* __restrict w = weight;
        float* __restrict m = speed;
        Half* __restrict to = copy;
        if (!m)
#pragma omp simd
            for (Index at = from; at < end; ++at) {
                w[at] -= rate * (widen(gradient[at]) + decay * w[at]);
                narrow(w[at], to[at]);
            }
        else
#pragma omp simd
            for (Index at = from; at < end; ++at) {
                float slope = widen(gradient[at]) + decay * w[at];
                float now = momentum * m[at] + slope;
                m[at] = now;
                w[at] -= rate * (nesterov ? slope + momentum * now : now);
                narrow(w[at], to[at]);
            }
    });
}

extern "C" void descend_adam(float* weight, float* mean, float* square, const Half* gradient,
                             Half* copy, Index count, float rate, float beta1, float beta2,
                             float epsilon, float decay, int decoupled, float step) {
    float first = 1.0f - std::pow(beta1, step), second = std::sqrt(1.0f - std::pow(beta2, step));
    float shrunk = decoupled ? 1.0f - rate * decay : 1.0f, added = decoupled ? 0.0f : decay;
    pieces(count, [=](Index, Index from, Index end) {
        float* __restrict w = weight;
        float* __restrict m = mean;
        float* __restrict v = square;
        Half* __restrict to = copy;
#pragma omp simd
        for (Index at = from; at < end; ++at) {
            float slope = widen(gradient[at]) + added * w[at];
            m[at] += (1.0f - beta1) * (slope - m[at]);
            v[at] = beta2 * v[at] + (1.0f - beta2) * slope * slope;
            w[at] = shrunk * w[at] - rate / first * m[at] / (std::sqrt(v[at]) / second + epsilon);
            narrow(w[at], to[at]);
        }
    });
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
