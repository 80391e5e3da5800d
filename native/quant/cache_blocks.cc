#include "quant/cache_blocks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/numbers.h"

namespace kexa {
namespace {

constexpr int kElements = 32;

void put_f16(std::byte* to, float value) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(to, &bits, sizeof bits);
}

float through_f16(float value) { return f16_to_f32(f32_to_f16(value)); }

// Rounds to the nearest whole number, or to the even one of two. Works for magnitudes below 2^22.
float nearest(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

// x = d * q, where q is -127 to 127.
void write_q8_0(const float* x, std::byte* to) {
  float most = 0;
  for (int i = 0; i < kElements; ++i) most = std::max(most, std::fabs(x[i]));
  const float d = through_f16(most / 127), inverse = d > 0 ? 1 / d : 0;
  put_f16(to, d);
  for (int i = 0; i < kElements; ++i)
    to[2 + i] = std::byte(int8_t(std::clamp(nearest(x[i] * inverse), -127.0f, 127.0f)));
}

// x = d * q + m, where q is 0 to 15.
void write_q4_1(const float* x, std::byte* to) {
  const auto [low, high] = std::minmax_element(x, x + kElements);
  const float m = through_f16(*low), d = through_f16((*high - m) / 15), inverse = d > 0 ? 1 / d : 0;
  put_f16(to, d);
  put_f16(to + 2, m);
  const auto code = [&](float value) { return uint8_t(std::clamp(nearest((value - m) * inverse), 0.0f, 15.0f)); };
  for (int i = 0; i < kElements / 2; ++i) to[4 + i] = std::byte(code(x[i]) | code(x[i + kElements / 2]) << 4);
}

}  // namespace

void write_cache_blocks(Type type, const float* from, int elements, std::byte* out) {
  const int64_t block_bytes = facts_of(type).block_bytes;
  for (int i = 0; i < elements; i += kElements, out += block_bytes) {
    const float* x = from + i;
    if (!std::all_of(x, x + kElements, [](float value) { return std::isfinite(value); })) {
      std::memset(out, 0, size_t(block_bytes));
      put_f16(out, std::numeric_limits<float>::quiet_NaN());
    } else if (type == Type::kQ8_0) {
      write_q8_0(x, out);
    } else if (type == Type::kQ4_1) {
      write_q4_1(x, out);
    } else {
      throw Error("KEXA_INTERNAL", "no cache holds " + std::string(type_name(type)));
    }
  }
}

}  // namespace kexa
