// Matrices of Hugging Face folders in int4, int8 and fp4, as their files hold them. No device computes with them so:
// they are repacked to a type of blocks while they are loaded, with the same values.
//
//   int:   weight = (code - zero) * scale
//   float: weight = e2m1(code) * (scale * factor)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/type.h"

namespace kexa {

// How the codes lie. Words have 32 bits; the lowest bits come first.
enum class CodeLayout : uint8_t {
  kRows,    // [outputs, inputs]: a row's codes side by side (compressed-tensors, and fp4 everywhere)
  kSigned,  // [outputs, inputs], a signed byte each: the code less 128 (int-quantized)
  kGptq,    // words [inputs * bits / 32, outputs]: a word has codes of successive inputs
  kAwq,     // words [inputs, outputs / 8]: a word has eight outputs, in the order 0 2 4 6 1 3 5 7
};

// How the zeros lie. Groups are runs of columns.
enum class ZeroLayout : uint8_t {
  kMiddle,       // none are stored: 2^(bits - 1)
  kRows,         // words [outputs * bits / 32, groups]: a word has successive outputs
  kSigned,       // [outputs, groups], a signed byte each: the zero less 2^(bits - 1)
  kGptq,         // words [groups, outputs * bits / 32]: a word has successive outputs
  kGptqLessOne,  // the same, each zero less one
  kAwq,          // words [groups, outputs / 8], in the order of the codes
};

enum class ScaleFormat : uint8_t { kF32, kF16, kBf16, kE4m3, kE8m0 };

// A matrix whose bytes lie in mapped files.
struct PackedMatrix {
  // Stored tensors with their files, for errors.
  struct Place {
    const std::byte* data = nullptr;
    std::string name, path;
  };

  Type type = Type::kF32;  // what it is repacked to: a type of blocks, or f32 if none has its groups
  int columns = 0;         // inputs
  int stored_rows = 0;     // outputs of the stored tensors
  int first_row = 0;       // the place of the matrix's first row in them
  int bits = 4;
  bool is_float = false;
  CodeLayout code_layout = CodeLayout::kRows;
  ScaleFormat scale_format = ScaleFormat::kF32;
  ZeroLayout zero_layout = ZeroLayout::kMiddle;
  int group_size = 0;          // columns that share a scale
  bool has_one_scale = false;  // one scale, and one zero, for all
  const std::byte* codes = nullptr;
  Place scales, zeros;
  std::vector<int32_t> group_of;  // the group of each column; empty: they are in order
  float factor = 1;

  int groups() const { return columns / group_size; }
  bool is_transposed() const { return code_layout == CodeLayout::kGptq || code_layout == CodeLayout::kAwq; }
  // Bytes from one row's codes to the next's, when a row's codes lie side by side.
  int64_t code_stride() const;

  // Bytes from each place's first byte on that reading takes.
  int64_t code_bytes() const;
  int64_t scale_bytes() const;
  int64_t zero_bytes() const;
};

// Rows that are best repacked together: a strip is as wide as a cache line of a transposed matrix.
constexpr int kPackedStrip = 64;

// Writes `count` rows from `first` on as `matrix.type`: bytes_of(type, columns) each. Throws KEXA_BAD_FILE, naming the
// tensor, the place in it and its file, if a scale is negative or not finite, or a zero is none.
void repack_rows(const PackedMatrix& matrix, int first, int count, std::byte* out);

// Writes the values of `count` rows from `first` on: `columns` each. Throws as repack_rows does.
void read_packed_rows(const PackedMatrix& matrix, int first, int count, float* out);

}  // namespace kexa
