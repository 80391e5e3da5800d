// How many weights a thread of a kernel takes at a time, and which.
#pragma once

#include <string>
#include <string_view>

#include "base/type.h"

namespace kexa {

// A thread takes a unit: 16 bytes of codes in one load, or eight plain weights. The units of `lanes` threads side by
// side share `lanes * chunks` chunks of a row, eight weights each. The k-th chunk of thread j is the (k * lanes + j)-th
// of these: while threads read 16 bytes each, what they multiply with stays as near together as if each took one chunk.
struct WeightUnits {
  int chunks = 1;
  int lanes = 1;
  int count = 0;  // of a row

  // The place in the row of a unit's k-th chunk.
  int chunk(int unit, int k) const { return unit / lanes * lanes * chunks + k * lanes + unit % lanes; }
};
WeightUnits weight_units(Type type, int columns);

// Words of 16 bytes that a chunk is given in: of f32 it takes two.
constexpr int chunk_words(Type type) { return type == Type::kF32 ? 2 : 1; }

// WGSL that reads a unit. It knows the numbers `unit`, `lane` (of `lanes`) and `group` (of as many units); `block` and
// `blocks`, of a row, if the type has blocks.
struct UnitText {
  std::string fields;  // a struct's members
  // Their values, from word(i), pair(i) and quad(i): the i-th 4, 8 and 16 bytes of the row.
  std::string load;
  // A function's body that returns of `own`, such a struct, what Prelude::reads() calls the word of chunk `k`.
  std::string chunk;
};

}  // namespace kexa
