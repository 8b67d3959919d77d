// Activations and their slopes, in float32.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

enum Act { NONE, RELU, GELU };

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
