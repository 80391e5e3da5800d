#include "kernels/source/dots_layout.h"

#include <cstdint>
#include <cstring>

#include "quant/block_types.h"

namespace kexa {
namespace {

// d and dmin, then scales and minima of the eight groups as q4_k_dots.wgsl takes them.
void put_q4_k(const uint8_t* block, std::byte* to) {
  uint8_t bytes[8];
  uint32_t lower = 0;
  for (int group = 0; group < 8; ++group) {
    const types::ScaleAndMin packed = types::scale_and_min(block + 4, group);
    bytes[group] = uint8_t(packed.scale | packed.min >> 4 << 6);
    lower |= uint32_t(packed.min & 15) << (group * 4);
  }
  std::memcpy(to, block, 4);
  std::memcpy(to + 4, bytes, 8);
  std::memcpy(to + 12, &lower, 4);
}

// A word for each group, as iq2_xxs_dots.wgsl takes it: 28 signs in the order in which four bytes need them, and the
// scale.
void put_iq2_xxs(const uint8_t* block, std::byte* to) {
  for (int group = 0; group < 8; ++group) {
    uint32_t packed, word;
    std::memcpy(&packed, block + 6 + group * 8, 4);
    word = packed >> 28 << 28;
    for (int chunk = 0; chunk < 4; ++chunk)
      for (int i = 0; i < 7; ++i) word |= (packed >> (chunk * 7 + i) & 1) << (i % 4 * 8 + i / 4 * 4 + chunk);
    std::memcpy(to + group * 4, &word, 4);
  }
}

}  // namespace

bool takes_dots(Type type) { return type == Type::kQ8_0 || type == Type::kQ4K || type == Type::kIq2Xxs; }

void put_dots_fields(Type type, const uint8_t* block, std::byte* to) {
  if (type == Type::kQ4K) put_q4_k(block, to);
  if (type == Type::kIq2Xxs) put_iq2_xxs(block, to);
}

}  // namespace kexa
