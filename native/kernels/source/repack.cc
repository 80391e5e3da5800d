// repack_row() of quantized_layout.h.
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/source/dots_layout.h"
#include "kernels/source/quantized_layout.h"
#include "plan/gpu_plan.h"
#include "quant/block_types.h"

namespace kexa {
namespace {

// Packs `bits` bits of each code of a row, from bit `shift` on. Returns the end of the plane.
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

// Copies the `bytes` bytes that stand for each chunk, unit by unit. Returns the end of the copies.
std::byte* put_chunks(const uint8_t* from, int bytes, const WeightUnits& units, std::byte* to) {
  for (int unit = 0; unit < units.count; ++unit)
    for (int k = 0; k < units.chunks; ++k, to += bytes) std::memcpy(to, from + units.chunk(unit, k) * bytes, bytes);
  return to;
}

template <typename Block>
void pack(const uint8_t* from, int columns, UnitOrder order, std::byte* to) {
  constexpr GpuRow row = Block::kGpu;
  constexpr int kChunkBytes = row.index_bytes ? row.index_bytes : 8;  // of codes as codes() writes them
  const QuantizedLayout layout = quantized_layout(Block::kType);
  const WeightUnits units = weight_units(Block::kType, columns, order);
  const int count = columns / Block::kElements;
  const auto block = [&](int i) { return from + size_t(i) * Block::kBytes; };
  std::vector<uint8_t> codes(size_t(columns / 8 * kChunkBytes));
  for (int i = 0; i < count; ++i) Block::codes(block(i), &codes[size_t(i) * (Block::kElements / 8 * kChunkBytes)]);
  // Whole numbers take codes as signed bytes.
  if (order == UnitOrder::kWhole && row.planes[0] == 8)
    for (uint8_t& code : codes) code ^= 128;
  std::byte* at = to;
  if (row.index_bytes || row.planes[0] == 8) {
    at = put_chunks(codes.data(), kChunkBytes, units, at);
  } else {
    at = put_plane(codes.data(), units, 0, row.planes[0], at);
    if (row.planes[1]) at = put_plane(codes.data(), units, row.planes[0], row.planes[1], at);
  }
  std::byte* tails = to + size_t(count) * layout.words * 4;
  const int middle = count ? int(tails - at) / count : 0;
  for (int i = 0; i < count; ++i, at += middle) {
    if (order == UnitOrder::kWhole)
      put_dots_fields(Block::kType, block(i), at);
    else
      Block::middle(block(i), at);
  }
  for (int i = 0; i < count; ++i, at += layout.tail_bytes)
    std::memcpy(at, block(i) + row.tail_at, size_t(layout.tail_bytes));
  std::memset(at, 0, size_t(to + gpu_row_bytes(Block::kType, columns) - at));
}

}  // namespace

void repack_row(Type type, const std::byte* blocks, int columns, UnitOrder order, std::byte* to) {
  with_block(type,
             [&](auto block) { pack<decltype(block)>(reinterpret_cast<const uint8_t*>(blocks), columns, order, to); });
}

}  // namespace kexa
