// How GGUF's blocks lie on the GPU: the same bits in words that a kernel reads, repacked once at load.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/type.h"
#include "kernels/source/weight_units.h"

namespace kexa {

// A row is stored as separate arrays, not as blocks:
// 1. the codes of all units (weight_units.h);
// 2. the blocks' other fields, one array for each field;
// 3. the tails: the bytes of each block that do not fill a word, usually its f16 scale;
// 4. zeros up to a multiple of 16 bytes.
// A row of q4_0 with two blocks, for example: [codes of block 0][codes of block 1][scale 0][scale 1][zeros].
//
// Every chunk of 8 weights comes out of its unit as 8 unsigned bytes, a scale and a minimum. A weight is
// scale * (byte - offset) - min in f32, which is the value of dequantize(), because the products are exact. Subnormal
// scales are as exact as the GPU's unpack2x16float().
struct QuantizedLayout {
  int unit_chunks = 0;
  int words = 0;       // of a block
  int tail_bytes = 0;  // 1, 2 or 4; 0 if a block's scale is the first of its words from `head` on
  int head = 0;
  int offset = 0;
  bool has_min = false;
  // UnitText, of which `chunk` makes `low` and `high` (four bytes each), `scale` and perhaps `min`; `tail` is that of
  // the chunk's block.
  std::string_view fields, load, chunk;
};

// Throws KEXA_INTERNAL if the type has no blocks.
const QuantizedLayout& quantized_layout(Type type);

UnitText quantized_unit_text(Type type, int columns);

// Declarations that a type's text needs, some of them shared with other types.
std::vector<std::string> quantized_tables(Type type);

// One row of `columns` weights, from the file's blocks to `to`, which has gpu_row_bytes() and is overwritten whole.
void repack_row(Type type, const std::byte* blocks, int columns, std::byte* to);

}  // namespace kexa
