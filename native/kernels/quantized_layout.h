// How GGUF's blocks lie on the GPU: the same bits in words that a kernel reads, repacked once at load.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/type.h"

namespace kexa {

// A row is its blocks' words, then the blocks' tails (what is left of a block that is not whole words, as a rule its
// f16 scale) side by side, then zeros to 16 bytes. Every eight weights come out of the words as eight unsigned bytes, a
// scale and a minimum, and each weight is scale * (byte - offset) - min in f32: the value of dequantize(), since the
// products are exact. Subnormal scales are as exact as the GPU's unpack2x16float().
struct QuantizedLayout {
  int words = 0;       // of a block
  int tail_bytes = 0;  // 1, 2 or 4
  int offset = 0;
  bool has_min = false;
  // WGSL, which gives `low` and `high` (four bytes each), `scale` and perhaps `min` of chunk `c` of the block whose
  // words begin at `b` and whose tail is `tail`; word(i) is any word of the buffer.
  std::string_view load;
};

// Throws KEXA_INTERNAL if the type has no blocks.
const QuantizedLayout& quantized_layout(Type type);

// Declarations that a type's `load` needs, some of them shared with other types.
std::vector<std::string> quantized_tables(Type type);

// One row of `columns` weights, from the file's blocks to `to`, which has gpu_row_bytes() and is overwritten whole.
void repack_row(Type type, const std::byte* blocks, int columns, std::byte* to);

}  // namespace kexa
