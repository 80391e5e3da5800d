// Made-up weights, for measuring models at their real shapes without their files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/type.h"
#include "quant/block.h"

namespace kexa {

// Returns how a made-up block is scaled. Throws KEXA_INTERNAL if the type has no blocks.
SyntheticScale synthetic_scale(Type type);

// A made-up word (32 bits) of a type without blocks keeps the bits `kept` of a random word and gets the bits `given`.
// The values are 1/64 to 1/32 in magnitude, of either sign.
struct SyntheticWord {
  uint32_t kept = 0, given = 0;
};
SyntheticWord synthetic_word(Type type);

// A seed that differs for each tensor.
uint32_t synthetic_seed(std::string_view tensor);

// Writes a made-up row. For types without blocks fill.wgsl writes the same bits; for others it writes different blocks
// of the same kind.
void make_synthetic_row(Type type, uint32_t seed, int row, int columns, std::byte* to);

}  // namespace kexa
