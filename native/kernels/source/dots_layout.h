// Weights for products in whole numbers: `activations: 'i16'` on a GPU.
#pragma once

#include <cstddef>
#include <string>

#include "base/type.h"
#include "kernels/source/weight_units.h"

namespace kexa {

// A type that is multiplied in whole numbers lies as quantized_layout.h says, in as many bytes, but for this:
// - units follow each other (UnitOrder::kWhole), so that a thread that reads 32 weights in a row reads whole words;
// - fields are packed so that a block of 32 is decoded in few operations.
// Each type has a file in kernels/source/dots. It has the pieces of a file of kernels/source/types, by which all other
// kernels read the rows, and these:
// - struct Block and load_block(): what a thread loads of a block of 32 weights, and how;
// - block_weights(): the block as BlockWeights (block_dots.wgsl).

// Whether a type is multiplied in whole numbers. Others are multiplied by the activations as they are.
bool takes_dots(Type type);

// The order of a type's units on a GPU that multiplies in whole numbers where it can, if `has_dots`.
inline UnitOrder unit_order(Type type, bool has_dots) {
  return has_dots && takes_dots(type) ? UnitOrder::kWhole : UnitOrder::kSpread;
}

// Writes the fields of a block of the file that are neither codes nor its tail, packed for whole numbers.
void put_dots_fields(Type type, const uint8_t* block, std::byte* to);

}  // namespace kexa
