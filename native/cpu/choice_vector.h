// The loops of choosing over a row of scores, for one instruction set (KEXA_SET). Each set's file includes it once.
#pragma once

#include <algorithm>
#include <cstring>

#include "base/vector.h"
#include "cpu/panel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace kexa::KEXA_SET {

typedef double F64Part __attribute__((vector_size(kWidth * 4)));
typedef uint64_t U64Part __attribute__((vector_size(kWidth * 4)));
typedef float HalfPart __attribute__((vector_size(kWidth * 2)));
constexpr int kHalf = kWidth / 2;

KEXA_INLINE F64Part every(double value) { return F64Part{} + value; }

// e^x for x <= 0, to 1e-15 of itself. Below -700, where e^x counts for nothing in any sum, it is e^-700.
KEXA_INLINE F64Part exp_of(F64Part x) {
  x = x < -700.0 ? every(-700.0) : x;
  // Adding 1.5 * 2^52 leaves the nearest whole number in the lowest bits.
  const F64Part shifted = x * 1.4426950408889634 + 0x1.8p52;
  const F64Part n = shifted - 0x1.8p52;
  const F64Part r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  F64Part sum = every(1.0 / 479001600);
  for (double factor : {1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120,
                        1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0})
    sum = sum * r + factor;
  return (F64Part)((U64Part)sum + ((U64Part)shifted << 52));
}

void exps(const float* x, double from, int n, double* out) {
  int i = 0;
  for (; i + kHalf <= n; i += kHalf) {
    HalfPart values;
    std::memcpy(&values, x + i, sizeof values);
    const F64Part found = exp_of(__builtin_convertvector(values, F64Part) - from);
    std::memcpy(out + i, &found, sizeof found);
  }
  for (; i < n; ++i) {
    const F64Part found = exp_of(every(double(x[i]) - from));
    out[i] = found[0];
  }
}

// The products of `by` and the lower halves of the 64-bit lanes.
KEXA_INLINE U64Part multiply_low(U64Part a, uint32_t by) {
#if defined(__AVX512F__)
  return (U64Part)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(by));
#elif defined(__AVX2__)
  return (U64Part)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(by));
#elif defined(__x86_64__)
  return (U64Part)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(by));
#else
  return (a & 0xffffffffull) * uint64_t{by};
#endif
}

KEXA_INLINE bool is_any(const I32Part& mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#elif defined(__x86_64__)
  return _mm_movemask_epi8((__m128i)mask) != 0;
#else
  int32_t any = 0;
  for (int i = 0; i < kWidth; ++i) any |= mask[i];
  return any != 0;
#endif
}

// philox() of random.h for the counters first, first + 1, ...: four words for each, one after the other.
KEXA_INLINE void draw_words(uint32_t first, uint32_t position, uint64_t seed, U32Part words[2]) {
  U64Part x0 = U64Part{} + first, x1 = U64Part{} + position, x2 = {}, x3 = {};
  for (int i = 0; i < kHalf; ++i) x0[i] += uint64_t(i);
  uint32_t key0 = uint32_t(seed), key1 = uint32_t(seed >> 32);
  // The upper halves of the lanes hold bits that nothing reads.
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const U64Part a = multiply_low(x0, 0xD2511F53u), b = multiply_low(x2, 0xCD9E8D57u);
    x0 = (b >> 32) ^ x1 ^ uint64_t { key0 };
    x1 = b;
    x2 = (a >> 32) ^ x3 ^ uint64_t { key1 };
    x3 = a;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  const U64Part low = (x0 & 0xffffffffull) | (x1 << 32), high = (x2 & 0xffffffffull) | (x3 << 32);
#if defined(__AVX512F__)
  words[0] = (U32Part)__builtin_shufflevector(low, high, 0, 8, 1, 9, 2, 10, 3, 11);
  words[1] = (U32Part)__builtin_shufflevector(low, high, 4, 12, 5, 13, 6, 14, 7, 15);
#elif defined(__AVX2__)
  words[0] = (U32Part)__builtin_shufflevector(low, high, 0, 4, 1, 5);
  words[1] = (U32Part)__builtin_shufflevector(low, high, 2, 6, 3, 7);
#else
  words[0] = (U32Part)__builtin_shufflevector(low, high, 0, 2);
  words[1] = (U32Part)__builtin_shufflevector(low, high, 1, 3);
#endif
}

// The next token that may win. A token wins only if its noise -ln(-ln u) is at least best - score. Because -ln u >= 1 -
// u, that requires 1 - u <= e^(score - best). So nearly all tokens are ruled out without a logarithm. e^score is
// approximated by straight lines between the powers of two, which lie above it; the added thousandth is far more than
// the rounding error.
int next_possible(const NoiseSearch& search, int from) {
  constexpr int kBlock = 2 * kWidth;
  static_assert(kScoreBlock % kBlock == 0);
  const float factor = search.chance * (0x1p23f * 1.001f);
  for (int block = from / kBlock * kBlock; block < search.count; block += kBlock) {
    Part scores[2];
    load_part(scores[0], search.scores + block), load_part(scores[1], search.scores + block + kWidth);
    if (!is_any((scores[0] >= search.least) | (scores[1] >= search.least))) continue;
    U32Part words[2];
    draw_words(uint32_t(block / 4), search.position, search.seed, words);
    I32Part is_possible[2];
    for (int i = 0; i < 2; ++i) {
      const Part rest = __builtin_convertvector(0x800000 - (I32Part)(words[i] >> 9), Part) - 0.5f;
      const Part score = scores[i] > -80.0f ? scores[i] : Part{} - 80.0f;
      const Part chance = (Part) __builtin_convertvector(score * 12102203.0f + 1065353216.0f, I32Part);
      is_possible[i] = (rest <= chance * factor) & (scores[i] >= search.least);
    }
    if (!is_any(is_possible[0] | is_possible[1])) continue;
    int32_t flags[kBlock];
    std::memcpy(flags, is_possible, sizeof flags);
    for (int i = std::max(0, from - block); i < kBlock; ++i)
      if (flags[i]) return block + i;
  }
  return -1;
}

}  // namespace kexa::KEXA_SET
