// Conversions between number formats, and vectors of 16 that the compiler lowers to whatever the processor has
// (GCC and Clang vector extensions).
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "base/type.h"

namespace kexa {

inline float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// Rounds to nearest even. A NaN stays a NaN.
inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return uint16_t((bits >> 16) | 0x40u);
  return uint16_t((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Exact, subnormals included: a multiplication moves the exponent and normalises subnormals on the way.
inline float f16_to_f32(uint16_t half) {
  const uint32_t magnitude = uint32_t{half & 0x7fffu} << 13;
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  if ((half & 0x7c00u) == 0x7c00u) return std::bit_cast<float>(sign | magnitude | 0x7f800000u);
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f));
}

// Rounds to nearest even. Values past 65,519 become infinite.
inline uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = uint16_t((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return uint16_t(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return uint16_t(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    // Subnormal: adding 0.5 lines up the last kept bit with the last bit of the f32, so that the addition does the
    // rounding.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return uint16_t(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  return uint16_t(sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13));
}

// E4M3 of the OCP ("fn"): 4 bits of exponent, 3 of fraction, no infinities; S.1111.111 is NaN. Exact, subnormals
// included, by the multiplication of f16_to_f32.
inline float e4m3_to_f32(uint8_t code) {
  const uint32_t magnitude = code & 0x7fu, sign = uint32_t{code & 0x80u} << 24;
  if (magnitude == 0x7fu) return std::bit_cast<float>(sign | 0x7fffffffu);
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude << 20) * 0x1p120f));
}

constexpr int kLanes = 16;
typedef float F32x16 __attribute__((vector_size(64)));
typedef uint32_t U32x16 __attribute__((vector_size(64)));
typedef int32_t I32x16 __attribute__((vector_size(64)));
typedef uint16_t U16x16 __attribute__((vector_size(32)));

// Loads and stores need no alignment, because tensors start wherever the header of their file ends.
#define KEXA_INLINE inline __attribute__((always_inline))
#define KEXA_INLINE_CALL __attribute__((always_inline))  // the form for lambdas

KEXA_INLINE void load(F32x16& lanes, const float* from) { std::memcpy(&lanes, from, sizeof lanes); }
KEXA_INLINE void store(float* to, const F32x16& lanes) { std::memcpy(to, &lanes, sizeof lanes); }

KEXA_INLINE void load_bf16(F32x16& lanes, const uint16_t* from) {
  U16x16 halves;
  std::memcpy(&halves, from, sizeof halves);
  const U32x16 wide = __builtin_convertvector(halves, U32x16) << 16;
  std::memcpy(&lanes, &wide, sizeof lanes);
}

KEXA_INLINE void load_f16(F32x16& lanes, const uint16_t* from) {
  U16x16 halves;
  std::memcpy(&halves, from, sizeof halves);
  const U32x16 wide = __builtin_convertvector(halves, U32x16);
  const U32x16 magnitude = (wide & 0x7fffu) << 13;
  F32x16 scaled;
  std::memcpy(&scaled, &magnitude, sizeof scaled);
  scaled *= 0x1p112f;
  U32x16 finite;
  std::memcpy(&finite, &scaled, sizeof finite);
  const U32x16 is_special = (U32x16)((wide & 0x7c00u) == 0x7c00u);
  const U32x16 bits = ((wide & 0x8000u) << 16) | (finite & ~is_special) | ((magnitude | 0x7f800000u) & is_special);
  std::memcpy(&lanes, &bits, sizeof lanes);
}

// In 16-bit lanes the codes become bf16 with exponents that are 120 too low. A NaN becomes all ones.
KEXA_INLINE void load_e4m3(F32x16& lanes, const uint8_t* from) {
  typedef uint8_t U8x16 __attribute__((vector_size(16)));
  typedef int16_t I16x16 __attribute__((vector_size(32)));
  U8x16 codes;
  std::memcpy(&codes, from, sizeof codes);
  U16x16 halves = (U16x16)((I16x16)(__builtin_convertvector(codes, U16x16) << 8) >> 4) & 0x87f0;
  halves |= (U16x16)((halves & 0x07f0) == 0x07f0);
  const U32x16 wide = __builtin_convertvector(halves, U32x16) << 16;
  std::memcpy(&lanes, &wide, sizeof lanes);
  lanes *= 0x1p120f;
}

// Adds in the same tree for any input, so that a sum never depends on what else is being summed.
KEXA_INLINE float sum_lanes(const F32x16& lanes) {
  float part[kLanes];
  store(part, lanes);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) part[i] += part[i + width];
  return part[0];
}

// The largest of `n` floats, none of which may be NaN. -infinity if n is 0.
KEXA_INLINE float largest_of(const float* values, size_t n) {
  F32x16 largest = F32x16{} - __builtin_inff();
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    F32x16 some;
    load(some, values + i);
    largest = some > largest ? some : largest;
  }
  float result = -__builtin_inff();
  for (int lane = 0; lane < kLanes; ++lane) result = largest[lane] > result ? largest[lane] : result;
  for (; i < n; ++i) result = values[i] > result ? values[i] : result;
  return result;
}

// On x86-64 the hot loops are compiled for three instruction sets, and the best one is chosen at load time. Under a
// sanitizer this is off: the choice would call the sanitizer before its functions are bound.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define KEXA_HOT __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define KEXA_HOT
#endif

}  // namespace kexa
