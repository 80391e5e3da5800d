#include "quant/packed.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/numbers.h"
#include "quant/codebooks.h"

namespace kexa {
namespace {

constexpr int kWordBytes = 4;
constexpr int kAwqOutputs = 8;                                    // of a word
constexpr int kAwqPlace[kAwqOutputs] = {0, 4, 1, 5, 2, 6, 3, 7};  // of each output in its word
constexpr int kGroupOfHalves = 32;  // elements whose codes a type of blocks keeps in 16 bytes

template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

int scale_element_bytes(ScaleFormat format) {
  switch (format) {
    case ScaleFormat::kF32:
      return 4;
    case ScaleFormat::kF16:
    case ScaleFormat::kBf16:
      return 2;
    default:
      return 1;
  }
}

int64_t words_for(int64_t codes, int bits) { return (codes * bits + 31) / 32; }

// The code at `index` of codes that lie side by side from `words` on.
int code_at(const std::byte* words, int64_t index, int bits) {
  const int64_t bit = index * bits;
  return int(uint8_t(words[bit / 8])) >> (bit % 8) & ((1 << bits) - 1);
}

int awq_code_at(const std::byte* words, int64_t output) {
  const auto word = load<uint32_t>(words + output / kAwqOutputs * kWordBytes);
  return int(word >> (4 * kAwqPlace[output % kAwqOutputs]) & 15);
}

std::string place_text(int row, int group) { return "[" + std::to_string(row) + ", " + std::to_string(group) + "]"; }

[[noreturn]] void bad_scale(const PackedMatrix& matrix, int row, int group, float found) {
  const std::string text = std::isnan(found)   ? "NaN"
                           : std::isinf(found) ? found < 0 ? "-infinity" : "infinity"
                                               : std::to_string(found);
  throw Error("KEXA_BAD_FILE", matrix.scales.name + ": wanted finite scales of 0 or more, found " + text +
                                   " for row and group " + place_text(row, group) + "\n  in " + matrix.scales.path);
}

[[noreturn]] void bad_zero(const PackedMatrix& matrix, int row, int group, int found) {
  const int most = (1 << matrix.bits) - 1;
  std::string wanted = "zeros from 0 to " + std::to_string(most);
  if (matrix.zero_layout == ZeroLayout::kGptqLessOne)
    wanted += ", which format gptq stores less one; a file of format gptq_v2 has no such doubt";
  throw Error("KEXA_BAD_FILE", matrix.zeros.name + ": wanted " + wanted + ", found " + std::to_string(found) +
                                   " for row and group " + place_text(row, group) + "\n  in " + matrix.zeros.path);
}

// Reads the scales and zeros of one row.
class RowGroups {
 public:
  explicit RowGroups(const PackedMatrix& matrix) : matrix_(matrix) {}

  // The scale's place in its tensor.
  int64_t place(int row, int group) const {
    if (matrix_.has_one_scale) return 0;
    const int64_t stored_row = matrix_.first_row + row;
    return matrix_.is_transposed() ? int64_t(group) * matrix_.stored_rows + stored_row
                                   : stored_row * matrix_.groups() + group;
  }

  float scale(int row, int group) const {
    const std::byte* at = matrix_.scales.data + place(row, group) * scale_element_bytes(matrix_.scale_format);
    const float scale = read(at);
    if (!(scale >= 0) || std::isinf(scale)) bad_scale(matrix_, row, group, scale);
    return scale;
  }

  int zero(int row, int group) const {
    const std::byte* data = matrix_.zeros.data;
    const int bits = matrix_.bits;
    const int64_t at = matrix_.first_row + row;
    switch (matrix_.zero_layout) {
      case ZeroLayout::kMiddle:
        return 1 << (bits - 1);
      case ZeroLayout::kRows: {
        const int codes = 32 / bits;
        const std::byte* word = data + (at / codes * matrix_.groups() + group) * kWordBytes;
        return code_at(word, at % codes, bits);
      }
      case ZeroLayout::kSigned: {
        const int found = int(load<int8_t>(data + place(row, group))), middle = 1 << (bits - 1);
        if (found < -middle || found >= middle) bad_zero(matrix_, row, group, found + middle);
        return found + middle;
      }
      case ZeroLayout::kAwq:
        return awq_code_at(data + group * words_for(matrix_.stored_rows, bits) * kWordBytes, at);
      case ZeroLayout::kGptq:
      case ZeroLayout::kGptqLessOne:
        break;
    }
    const int found = code_at(data + group * words_for(matrix_.stored_rows, bits) * kWordBytes, at, bits);
    if (matrix_.zero_layout == ZeroLayout::kGptq) return found;
    // One less than 0 and one less than the number above the largest are the same bits.
    if (found == (1 << bits) - 1) bad_zero(matrix_, row, group, found + 1);
    return found + 1;
  }

 private:
  float read(const std::byte* at) const {
    switch (matrix_.scale_format) {
      case ScaleFormat::kF32:
        return load<float>(at);
      case ScaleFormat::kF16:
        return f16_to_f32(load<uint16_t>(at));
      case ScaleFormat::kBf16:
        return bf16_to_f32(load<uint16_t>(at));
      case ScaleFormat::kE4m3:
        return e4m3_to_f32(load<uint8_t>(at));
      case ScaleFormat::kE8m0:
        break;
    }
    const auto exponent = load<uint8_t>(at);
    return exponent == 255 ? NAN : std::ldexp(1.0f, int(exponent) - 127);
  }

  const PackedMatrix& matrix_;
};

// The codes of some rows, each row's side by side. `memory` keeps those that do not lie so in the file.
const std::byte* side_by_side(const PackedMatrix& matrix, int first, int count, std::vector<std::byte>& memory) {
  const int64_t row_bytes = matrix.code_stride(), start = matrix.first_row + first;
  const std::byte* from = matrix.codes;
  if (matrix.code_layout == CodeLayout::kRows) return from + start * row_bytes;
  memory.resize(size_t(count * row_bytes));
  std::byte* to = memory.data();
  if (matrix.code_layout == CodeLayout::kSigned) {
    from += start * row_bytes;
    for (size_t i = 0; i < memory.size(); ++i) to[i] = from[i] ^ std::byte{0x80};
    return to;
  }
  if (matrix.code_layout == CodeLayout::kGptq) {
    for (int64_t word = 0; word < row_bytes / kWordBytes; ++word) {
      const std::byte* words = from + (word * matrix.stored_rows + start) * kWordBytes;
      for (int row = 0; row < count; ++row)
        std::memcpy(to + row * row_bytes + word * kWordBytes, words + row * kWordBytes, kWordBytes);
    }
    return to;
  }
  const int64_t input_bytes = words_for(matrix.stored_rows, matrix.bits) * kWordBytes;
  for (int column = 0; column < matrix.columns; column += 2) {
    const std::byte* even = from + column * input_bytes;
    const std::byte* odd = column + 1 < matrix.columns ? even + input_bytes : even;
    for (int row = 0; row < count; ++row)
      to[row * row_bytes + column / 2] = std::byte(awq_code_at(even, start + row) | awq_code_at(odd, start + row) << 4);
  }
  return to;
}

// Writes codes of 4 bits in the order of the types of blocks: of each 32, the first 16 in low halves.
void put_halves(const std::byte* from, int elements, std::byte* to) {
  constexpr int kBytes = kGroupOfHalves / 2;
  for (int start = 0; start < elements / 2; start += kBytes)
    for (int i = 0; i < kBytes / 2; ++i) {
      const auto early = uint8_t(from[start + i]), late = uint8_t(from[start + kBytes / 2 + i]);
      to[start + 2 * i] = std::byte((early & 15) | late << 4);
      to[start + 2 * i + 1] = std::byte(early >> 4 | (late & 0xf0));
    }
}

// Blocks of int: f32 scale, u16 zero, 2 bytes of zeros, the codes.
void put_int_row(const PackedMatrix& matrix, int row, const std::byte* codes, std::byte* out) {
  constexpr int kHead = 8;
  const TypeFacts& facts = facts_of(matrix.type);
  const RowGroups groups(matrix);
  const int elements = facts.block_elements, bytes = elements * matrix.bits / 8;
  for (int first = 0; first < matrix.columns; first += elements, codes += bytes, out += facts.block_bytes) {
    const int group = first / matrix.group_size;
    const float scale = groups.scale(row, group);
    const uint32_t zero = uint32_t(groups.zero(row, group));
    std::memcpy(out, &scale, 4);
    std::memcpy(out + 4, &zero, 4);
    if (matrix.bits == 4)
      put_halves(codes, elements, out + kHead);
    else
      std::memcpy(out + kHead, codes, size_t(bytes));
  }
}

// Blocks of fp4_64: f32 factor, four scales, the codes. Blocks of mxfp4: a scale, the codes.
void put_float_row(const PackedMatrix& matrix, int row, const std::byte* codes, std::byte* out) {
  const TypeFacts& facts = facts_of(matrix.type);
  const RowGroups groups(matrix);
  const int elements = facts.block_elements, bytes = elements / 2, scales = elements / matrix.group_size;
  const int head = facts.block_bytes - bytes, before = head - scales;
  for (int first = 0; first < matrix.columns; first += elements, codes += bytes, out += facts.block_bytes) {
    if (before > 0) std::memcpy(out, &matrix.factor, 4);
    for (int i = 0; i < scales; ++i) {
      const int group = first / matrix.group_size + i;
      groups.scale(row, group);  // throws if it is none
      out[before + i] = matrix.scales.data[groups.place(row, group)];
    }
    put_halves(codes, elements, out + head);
  }
}

void read_row(const PackedMatrix& matrix, int row, const std::byte* codes, float* out) {
  const RowGroups groups(matrix);
  std::vector<float> scales(size_t(matrix.groups()));
  std::vector<int> zeros(matrix.is_float ? 0 : scales.size());
  for (int group = 0; group < matrix.groups(); ++group) {
    scales[group] = groups.scale(row, group) * matrix.factor;
    if (!matrix.is_float) zeros[group] = groups.zero(row, group);
  }
  for (int i = 0; i < matrix.columns; ++i) {
    const int group = matrix.group_of.empty() ? i / matrix.group_size : matrix.group_of[i];
    const int code = code_at(codes, i, matrix.bits);
    if (matrix.is_float)
      out[i] = 0.5f * float(kMxfp4Values[code]) * scales[group];
    else
      out[i] = float(code - zeros[group]) * scales[group];
  }
}

}  // namespace

int64_t PackedMatrix::code_bytes() const {
  if (code_layout == CodeLayout::kAwq) return words_for(stored_rows, bits) * columns * kWordBytes;
  return code_stride() * stored_rows;
}

int64_t PackedMatrix::code_stride() const {
  if (code_layout == CodeLayout::kSigned) return columns;
  return is_float ? columns / 2 : words_for(columns, bits) * kWordBytes;
}

int64_t PackedMatrix::scale_bytes() const {
  return scale_element_bytes(scale_format) * (has_one_scale ? 1 : int64_t(stored_rows) * groups());
}

int64_t PackedMatrix::zero_bytes() const {
  switch (zero_layout) {
    case ZeroLayout::kMiddle:
      return 0;
    case ZeroLayout::kSigned:
      return has_one_scale ? 1 : int64_t(stored_rows) * groups();
    default:
      return words_for(stored_rows, bits) * groups() * kWordBytes;
  }
}

void repack_rows(const PackedMatrix& matrix, int first, int count, std::byte* out) {
  std::vector<std::byte> memory;
  const std::byte* codes = side_by_side(matrix, first, count, memory);
  const int64_t code_bytes = matrix.code_stride(), row_bytes = bytes_of(matrix.type, matrix.columns);
  for (int i = 0; i < count; ++i, codes += code_bytes, out += row_bytes)
    if (!is_quantized(matrix.type))
      read_row(matrix, first + i, codes, reinterpret_cast<float*>(out));
    else if (matrix.is_float)
      put_float_row(matrix, first + i, codes, out);
    else
      put_int_row(matrix, first + i, codes, out);
}

void read_packed_rows(const PackedMatrix& matrix, int first, int count, float* out) {
  std::vector<std::byte> memory;
  const std::byte* codes = side_by_side(matrix, first, count, memory);
  for (int i = 0; i < count; ++i)
    read_row(matrix, first + i, codes + i * matrix.code_stride(), out + int64_t(i) * matrix.columns);
}

}  // namespace kexa
