// How many weights a thread of a kernel reads at a time, and which.
#pragma once

#include <string>
#include <string_view>

#include "base/type.h"

namespace kexa {

// A thread reads a unit at a time: 16 bytes of codes in one load, or eight plain weights. The units of `lanes`
// neighbouring threads share `lanes * chunks` chunks of a row, eight weights each. The k-th chunk of thread j is chunk
// k * lanes + j of these. So each thread reads 16 bytes, and the inputs that neighbours multiply still lie next to each
// other.
struct WeightUnits {
  int chunks = 1;
  int lanes = 1;
  int count = 0;  // in a row

  // The index in the row of a unit's k-th chunk.
  int chunk(int unit, int k) const { return unit / lanes * lanes * chunks + k * lanes + unit % lanes; }
};
// The order of the units of a row: as WeightUnits describes, or with `lanes` 1, so that units follow each other.
enum class UnitOrder { kSpread, kWhole };
WeightUnits weight_units(Type type, int columns, UnitOrder order = UnitOrder::kSpread);

// Words of 16 bytes that a chunk takes.
constexpr int chunk_words(Type type) { return type == Type::kF32 ? 2 : 1; }

// WGSL that reads a unit. It may use the numbers `unit`, `lane` (of `lanes`) and `group` (the units of `lanes`
// threads); for a type with blocks also `block`, and `blocks`, their number in the row.
struct UnitText {
  std::string fields;  // the members of a struct
  // The members' values, made by word(i), pair(i) and quad(i): the i-th 4, 8 or 16 bytes of the row.
  std::string load;
  // The body of a function that makes the word of chunk `k`, as in Prelude::reads(), from `own`, such a struct.
  std::string chunk;
};

}  // namespace kexa
