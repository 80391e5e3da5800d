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

// What a 32-bit word of elements of a type without blocks keeps of random bits, and what it is given: values of either
// sign from 1/64 to 1/32.
struct SyntheticWord {
  uint32_t kept = 0, given = 0;
};
SyntheticWord synthetic_word(Type type);

// Another for each name.
uint32_t synthetic_seed(std::string_view tensor);

// Writes a row of a matrix. fill.wgsl writes the same bits for types without blocks, and other blocks of the same kind.
void make_synthetic_row(Type type, uint32_t seed, int row, int columns, std::byte* to);

}  // namespace kexa
