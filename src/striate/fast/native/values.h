// Values in float32 and bfloat16, and work cut into pieces whose number does not depend on the
// threads: neither do the sums.

#pragma once

#include <cstdint>
#include <cstring>

using Half = uint16_t;  // bfloat16's bits: the upper half of a float32's
using Index = int64_t;

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

const Index PIECES = 64;   // of the work
const Index RUN = 256;     // positions summed in float32 before their sum joins the others'

// Calls work(piece, first, end) for each piece of `count` items.
template <class Work> static void pieces(Index count, Work work) {
#pragma omp parallel for schedule(static)
    for (Index piece = 0; piece < PIECES; ++piece)
        work(piece, count * piece / PIECES, count * (piece + 1) / PIECES);
}
