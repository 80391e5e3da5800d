// repack_row() of quantized_layout.h.
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "kernels/source/quantized_layout.h"
#include "plan/gpu_plan.h"

namespace kexa {
namespace {

// Codes go to planes of bits, a unit's words side by side, made so that eight codes come out with a shift and a mask:
// byte j of what is read holds element j below and element j + 4 above.

// Bits `shift` and up of a row's codes; returns where the plane ends.
std::byte* put_plane(const uint8_t* codes, const WeightUnits& units, int shift, int bits, std::byte* to) {
  const int chunks_per_word = 4 / bits, words = units.chunks / chunks_per_word;
  const uint32_t mask = 0x01010101u * ((1u << bits) - 1);
  for (int unit = 0; unit < units.count; ++unit)
    for (int i = 0; i < words; ++i, to += 4) {
      uint32_t word = 0;
      for (int k = 0; k < chunks_per_word; ++k) {
        uint32_t eight[2];
        std::memcpy(eight, codes + units.chunk(unit, i * chunks_per_word + k) * 8, 8);
        word |= ((eight[0] >> shift & mask) | (eight[1] >> shift & mask) << bits) << (k * bits * 2);
      }
      std::memcpy(to, &word, 4);
    }
  return to;
}

// What stands for each chunk in `bytes` bytes, unit by unit.
std::byte* put_chunks(const uint8_t* from, int bytes, const WeightUnits& units, std::byte* to) {
  for (int unit = 0; unit < units.count; ++unit)
    for (int k = 0; k < units.chunks; ++k, to += bytes) std::memcpy(to, from + units.chunk(unit, k) * bytes, bytes);
  return to;
}

// The 32 codes of 4 bits of the types in blocks of 32.
void take_codes(const uint8_t* from, uint8_t* codes) {
  for (int i = 0; i < 16; ++i) codes[i] = from[i] & 15, codes[i + 16] = from[i] >> 4;
}

void take_fifth_bits(const uint8_t* from, uint8_t* codes) {
  for (int i = 0; i < 32; ++i) codes[i] |= (from[i / 8] >> (i % 8) & 1) << 4;
}

// Codes of 2 bits, four groups of 32 to 32 bytes.
void take_pairs(const uint8_t* from, uint8_t* codes) {
  for (int i = 0; i < 256; ++i) codes[i] = from[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

// Codes of 4 bits, two groups of 32 to 32 bytes.
void take_halves(const uint8_t* from, uint8_t* codes) {
  for (int i = 0; i < 256; ++i) codes[i] = from[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
}

// The codes of one block, or of the iq2 and iq3 types what stands for each of its chunks: 1 or 2 bytes.
void take_block(Type type, const uint8_t* block, uint8_t* codes) {
  switch (type) {
    case Type::kQ8_0:
      for (int i = 0; i < 32; ++i) codes[i] = block[2 + i] ^ 128;
      return;
    case Type::kQ4_0:
    case Type::kIq4Nl:
    case Type::kQ4_1:
    case Type::kMxfp4:
      return take_codes(block + facts_of(type).block_bytes - 16, codes);
    case Type::kQ5_0:
    case Type::kQ5_1:
      take_codes(block + facts_of(type).block_bytes - 16, codes);
      return take_fifth_bits(block + facts_of(type).block_bytes - 20, codes);
    case Type::kQ4K:
      return take_halves(block + 16, codes);
    case Type::kQ5K:
      take_halves(block + 48, codes);
      for (int i = 0; i < 256; ++i) codes[i] |= (block[16 + i % 32] >> (i / 32) & 1) << 4;
      return;
    case Type::kQ6K:
      for (int i = 0; i < 256; ++i) {
        const int half = i / 128, in_half = i % 128;
        codes[i] = (block[half * 64 + in_half % 64] >> (in_half / 64 * 4) & 15) |
                   (block[128 + half * 32 + in_half % 32] >> (in_half / 32 * 2) & 3) << 4;
      }
      return;
    case Type::kQ2K:
      return take_pairs(block + 16, codes);
    case Type::kQ3K:
      take_pairs(block + 32, codes);
      for (int i = 0; i < 256; ++i) codes[i] |= (block[i % 32] >> (i / 32) & 1) << 2;
      return;
    case Type::kIq4Xs:
      for (int i = 0; i < 8; ++i) take_codes(block + 8 + i * 16, codes + i * 32);
      return;
    case Type::kIq2Xxs:
      for (int i = 0; i < 8; ++i) std::memcpy(codes + i * 4, block + 2 + i * 8, 4);
      return;
    case Type::kIq2Xs:
    case Type::kIq3Xxs:
      std::memcpy(codes, block + 2, 64);
      return;
    default:
      throw Error("KEXA_INTERNAL", "no blocks hold " + std::string(type_name(type)));
  }
}

// Of eight times 32 weights the signs of four chunks of 7 bits, below a scale of 4 bits: for a lane's first and last
// four chunks a word each, and in the i-th word the i-th scale (quantized_layout.cc).
void put_signs(const uint8_t* from, int stride, std::byte* to) {
  uint32_t words[8] = {};
  for (int i = 0; i < 8; ++i) {
    uint32_t packed;
    std::memcpy(&packed, from + i * stride, 4);
    words[i] |= packed >> 28 << 28;
    for (int lane = 0; lane < 4; ++lane) words[i / 4 * 4 + lane] |= (packed >> (lane * 7) & 127) << (i % 4 * 7);
  }
  std::memcpy(to, words, sizeof words);
}

// What a block has between its codes and its tail, to `to`; `bytes` of it. Of scales of 16 weights, two lanes read
// every second one.
void put_middle(Type type, const uint8_t* block, std::byte* to, int bytes) {
  const auto nibble = [](const uint8_t* from, int i) { return uint32_t(from[i / 2] >> (i % 2 * 4) & 15); };
  switch (type) {
    case Type::kQ4K:
    case Type::kQ5K:
    case Type::kIq4Xs:
      std::memcpy(to, block, size_t(bytes));
      return;
    case Type::kQ6K:
      for (int i = 0; i < 16; ++i) to[i / 8 * 8 + i % 2 * 4 + i % 8 / 2] = std::byte(block[192 + i]);
      return;
    case Type::kQ2K:
      for (int i = 0; i < 16; ++i) to[i % 2 * 8 + i / 2] = std::byte(block[i]);
      return;
    case Type::kQ3K: {
      uint32_t words[3] = {};
      for (int i = 0; i < 16; ++i) {
        const uint8_t* scales = block + 96;
        words[i % 2] |= uint32_t(scales[i % 8] >> (i / 8 * 4) & 15) << (i / 2 * 4);
        words[2] |= uint32_t(scales[8 + i % 4] >> (i / 4 * 2) & 3) << (i % 2 * 16 + i / 2 * 2);
      }
      std::memcpy(to, words, sizeof words);
      return;
    }
    case Type::kIq2Xxs:
      return put_signs(block + 6, 8, to);
    case Type::kIq2Xs: {
      uint32_t words[2] = {};
      for (int i = 0; i < 16; ++i) words[i % 2] |= nibble(block + 66, i) << (i / 2 * 4);
      std::memcpy(to, words, sizeof words);
      return;
    }
    case Type::kIq3Xxs:
      return put_signs(block + 66, 4, to);
    default:
      return;
  }
}

int tail_place(Type type) { return type == Type::kQ6K ? 208 : type == Type::kQ2K ? 80 : type == Type::kQ3K ? 108 : 0; }

}  // namespace

void repack_row(Type type, const std::byte* blocks, int columns, std::byte* to) {
  const TypeFacts& facts = facts_of(type);
  const QuantizedLayout& layout = quantized_layout(type);
  const WeightUnits units = weight_units(type, columns);
  const int count = columns / facts.block_elements;
  const auto* from = reinterpret_cast<const uint8_t*>(blocks);
  const bool is_grid = type == Type::kIq2Xxs || type == Type::kIq2Xs || type == Type::kIq3Xxs;
  const int chunk_bytes = !is_grid ? 8 : type == Type::kIq2Xxs ? 1 : 2;
  std::vector<uint8_t> codes(size_t(columns / 8 * chunk_bytes));
  for (int i = 0; i < count; ++i)
    take_block(type, from + size_t(i) * facts.block_bytes, &codes[size_t(i) * facts.block_elements / 8 * chunk_bytes]);
  std::byte* at = to;
  switch (type) {
    case Type::kQ8_0:
    case Type::kIq2Xxs:
    case Type::kIq2Xs:
    case Type::kIq3Xxs:
      at = put_chunks(codes.data(), chunk_bytes, units, at);
      break;
    case Type::kQ2K:
      at = put_plane(codes.data(), units, 0, 2, at);
      break;
    case Type::kQ3K:
      at = put_plane(codes.data(), units, 2, 1, put_plane(codes.data(), units, 0, 2, at));
      break;
    case Type::kQ5_0:
    case Type::kQ5_1:
    case Type::kQ5K:
      at = put_plane(codes.data(), units, 4, 1, put_plane(codes.data(), units, 0, 4, at));
      break;
    case Type::kQ6K:
      at = put_plane(codes.data(), units, 4, 2, put_plane(codes.data(), units, 0, 4, at));
      break;
    default:
      at = put_plane(codes.data(), units, 0, 4, at);
      break;
  }
  std::byte* tails = to + size_t(count) * layout.words * 4;
  const int middle = count ? int(tails - at) / count : 0;
  for (int i = 0; i < count; ++i, at += middle) put_middle(type, from + size_t(i) * facts.block_bytes, at, middle);
  for (int i = 0; i < count; ++i, at += layout.tail_bytes)
    std::memcpy(at, blocks + size_t(i) * facts.block_bytes + tail_place(type), size_t(layout.tail_bytes));
  std::memset(at, 0, size_t(to + gpu_row_bytes(type, columns) - at));
}

}  // namespace kexa
