// How blocks of weights lie on the GPU: the same bits in words that a kernel reads, packed once at load.
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
// The codes lie in planes of bits, each a word beside the other for a unit: one plane of 4 bits and one of the fifth
// bits, for example. Byte j of a plane's word holds the bits of element j below, those of element j + 4 above, so that
// eight codes come out with a shift and a mask. GpuRow (quant/block.h) says which planes a type has.
//
// Each type has a file in kernels/source/types, of three pieces, and functions of its own before them if it needs any:
// - struct Unit: what a thread loads of a unit;
// - load_unit(): how it loads it. word(i), pair(i) and quad(i) are the i-th 4, 8 and 16 bytes of the row;
// - chunk_of(): the eight weights of the unit's k-th chunk, as [bytes 0 to 3, bytes 4 to 7, scale, minimum or zero
//   point]. `tail` is the tail of the chunk's block. @NAME_chunk(unit, k) is the chunk's place in the row.
// A weight is scale * (byte - offset) - minimum in f32, or scale * (byte - zero point). This is the value of
// dequantize(): the products are exact where a minimum is subtracted. Subnormal scales are as exact as the GPU's
// unpack2x16float().
struct QuantizedLayout {
  int unit_chunks = 0;
  int words = 0;       // of a block, without its tail
  int tail_bytes = 0;  // 1, 2, 4 or 8; 0: a block's scale is the first of its words from `head` on
  int head = 0;
  int offset = 0;
  bool has_min = false;
  bool has_zero = false;
};

// Throws KEXA_INTERNAL if the type has no blocks.
QuantizedLayout quantized_layout(Type type);

UnitText quantized_unit_text(Type type, int columns, UnitOrder order);

// Declarations that a type's text needs. Types may share some of them.
std::vector<std::string> quantized_tables(Type type, UnitOrder order);

// Declares how a kernel reads blocks of 32 weights: see Prelude::reads_blocks(). Only for types that takes_dots()
// names.
std::string block_text(Type type, int columns, std::string_view name);
// The same for one part of a buffer.
std::string block_reader_text(Type type, int columns, std::string_view name, std::string_view part,
                              std::string_view buffer);

// Packs one row of `columns` weights from the file's blocks. Overwrites gpu_row_bytes() at `to`.
void repack_row(Type type, const std::byte* blocks, int columns, UnitOrder order, std::byte* to);

}  // namespace kexa
