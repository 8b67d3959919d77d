// Updates of weights that are computed with in bfloat16: one pass over the weight, what its rule
// remembers, its gradient, and the copy to compute with.

#include <algorithm>
#include <cmath>
#include <vector>

#include "values.h"

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
