#include "kernels/quantized_layout.h"

#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "plan/gpu_plan.h"
#include "quant/codebooks.h"

namespace kexa {
namespace {

// Codes of a block go to planes of bits, made so that eight come out with a shift and a mask: byte j of what is read
// holds element j below and element j + 4 above.

// One word for every eight codes, of whose bits it takes the lowest 4.
constexpr int kBits4 = 4;
// One word for every 16 codes, 2 bits of each.
constexpr int kBits2 = 2;
// One word for every 32 codes, 1 bit of each.
constexpr int kBits1 = 1;

// Bits `shift` and up of each code; returns where the plane ends.
uint32_t* put_plane(const uint8_t* codes, int count, int shift, int bits, uint32_t* words) {
  const int chunks_per_word = 4 / bits;
  std::memset(words, 0, size_t(count / 8 / chunks_per_word) * 4);
  for (int i = 0; i < count; ++i) {
    const int chunk = i / 8, in_byte = chunk % chunks_per_word * bits * 2 + i % 8 / 4 * bits;
    const uint32_t code = codes[i] >> shift & ((1 << bits) - 1);
    words[chunk / chunks_per_word] |= code << (i % 4 * 8 + in_byte);
  }
  return words + count / 8 / chunks_per_word;
}

uint32_t* put_bytes(const uint8_t* from, int count, uint32_t* words) {
  std::memcpy(words, from, size_t(count));
  return words + count / 4;
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

// One block into `words` and `tail`.
void repack_block(Type type, const uint8_t* block, uint32_t* words, std::byte* tail) {
  uint8_t codes[256];
  const int tail_bytes = quantized_layout(type).tail_bytes;
  switch (type) {
    case Type::kQ8_0:
      for (int i = 0; i < 32; ++i) codes[i] = block[2 + i] ^ 128;
      put_bytes(codes, 32, words);
      std::memcpy(tail, block, tail_bytes);
      return;
    case Type::kQ4_0:
    case Type::kIq4Nl:
    case Type::kQ4_1:
    case Type::kMxfp4:
      take_codes(block + tail_bytes, codes);
      put_plane(codes, 32, 0, kBits4, words);
      std::memcpy(tail, block, tail_bytes);
      return;
    case Type::kQ5_0:
    case Type::kQ5_1:
      take_codes(block + tail_bytes + 4, codes);
      take_fifth_bits(block + tail_bytes, codes);
      put_plane(codes, 32, 4, kBits1, put_plane(codes, 32, 0, kBits4, words));
      std::memcpy(tail, block, tail_bytes);
      return;
    case Type::kQ4K:
      take_halves(block + 16, codes);
      put_plane(codes, 256, 0, kBits4, put_bytes(block, 16, words));
      return;
    case Type::kQ5K:
      take_halves(block + 48, codes);
      for (int i = 0; i < 256; ++i) codes[i] |= (block[16 + i % 32] >> (i / 32) & 1) << 4;
      put_plane(codes, 256, 4, kBits1, put_plane(codes, 256, 0, kBits4, put_bytes(block, 16, words)));
      return;
    case Type::kQ6K:
      for (int i = 0; i < 256; ++i) {
        const int half = i / 128, in_half = i % 128;
        codes[i] = (block[half * 64 + in_half % 64] >> (in_half / 64 * 4) & 15) |
                   (block[128 + half * 32 + in_half % 32] >> (in_half / 32 * 2) & 3) << 4;
      }
      put_bytes(block + 192, 16, put_plane(codes, 256, 4, kBits2, put_plane(codes, 256, 0, kBits4, words)));
      std::memcpy(tail, block + 208, 2);
      return;
    case Type::kQ2K:
      take_pairs(block + 16, codes);
      put_bytes(block, 16, put_plane(codes, 256, 0, kBits2, words));
      std::memcpy(tail, block + 80, 4);
      return;
    case Type::kQ3K:
      take_pairs(block + 32, codes);
      for (int i = 0; i < 256; ++i) codes[i] |= (block[i % 32] >> (i / 32) & 1) << 2;
      put_bytes(block + 96, 12, put_plane(codes, 256, 2, kBits1, put_plane(codes, 256, 0, kBits2, words)));
      std::memcpy(tail, block + 108, 2);
      return;
    case Type::kIq4Xs:
      for (int i = 0; i < 8; ++i) take_codes(block + 8 + i * 16, codes + i * 32);
      put_plane(codes, 256, 0, kBits4, put_bytes(block, 8, words));
      return;
    case Type::kIq2Xxs:
    case Type::kIq2Xs:
    case Type::kIq3Xxs:
      // Indices and signs stay as they are.
      put_bytes(block + 2, facts_of(type).block_bytes - 2, words);
      std::memcpy(tail, block, 2);
      return;
    default:
      break;
  }
  throw Error("KEXA_INTERNAL", "no blocks hold " + std::string(type_name(type)));
}

constexpr std::string_view kBytesLoad = R"(let low = word(b + c * 2u);
let high = word(b + c * 2u + 1u);
let scale = unpack2x16float(tail).x;
)";
constexpr std::string_view kBits4Load = R"(let codes = word(b + c);
let low = codes & 0x0f0f0f0fu;
let high = (codes >> 4u) & 0x0f0f0f0fu;
let scale = unpack2x16float(tail).x;
)";
constexpr std::string_view kBits4MinLoad = R"(let codes = word(b + c);
let low = codes & 0x0f0f0f0fu;
let high = (codes >> 4u) & 0x0f0f0f0fu;
let factors = unpack2x16float(tail);
let scale = factors.x;
let min = -factors.y;
)";
constexpr std::string_view kBits5Load = R"(let codes = word(b + c);
let fifth = word(b + 4u) >> (c * 2u);
let low = (codes & 0x0f0f0f0fu) | ((fifth & 0x01010101u) << 4u);
let high = ((codes >> 4u) & 0x0f0f0f0fu) | (((fifth >> 1u) & 0x01010101u) << 4u);
let scale = unpack2x16float(tail).x;
)";
constexpr std::string_view kBits5MinLoad = R"(let codes = word(b + c);
let fifth = word(b + 4u) >> (c * 2u);
let low = (codes & 0x0f0f0f0fu) | ((fifth & 0x01010101u) << 4u);
let high = ((codes >> 4u) & 0x0f0f0f0fu) | (((fifth >> 1u) & 0x01010101u) << 4u);
let factors = unpack2x16float(tail);
let scale = factors.x;
let min = -factors.y;
)";
constexpr std::string_view kIq4NlLoad = R"(let codes = word(b + c);
let low = iq4_values(codes & 0x0f0f0f0fu);
let high = iq4_values((codes >> 4u) & 0x0f0f0f0fu);
let scale = unpack2x16float(tail).x;
)";
// The two smallest scales are subnormal.
constexpr std::string_view kMxfp4Load = R"(let codes = word(b + c);
let low = mxfp4_values(codes & 0x0f0f0f0fu);
let high = mxfp4_values((codes >> 4u) & 0x0f0f0f0fu);
let exponent = tail & 0xffu;
let scale = bitcast<f32>(select((exponent - 1u) << 23u, 0x00200000u << exponent, exponent < 2u));
)";
// The twelve bytes of scales and minima begin at word 1: group g's are bytes g and g + 4, of 6 bits; those of the last
// four groups are halves of byte g + 4 below the upper 2 bits of bytes g - 4 and g.
constexpr std::string_view kQ4KLoad = R"(let codes = word(b + 4u + c);
let low = codes & 0x0f0f0f0fu;
let high = (codes >> 4u) & 0x0f0f0f0fu;
let packed = k_scale_and_min(vec3u(word(b + 1u), word(b + 2u), word(b + 3u)), c / 4u);
let factors = unpack2x16float(word(b)) * packed;
let scale = factors.x;
let min = factors.y;
)";
constexpr std::string_view kQ5KLoad = R"(let codes = word(b + 4u + c);
let fifth = word(b + 36u + c / 4u) >> (c % 4u * 2u);
let low = (codes & 0x0f0f0f0fu) | ((fifth & 0x01010101u) << 4u);
let high = ((codes >> 4u) & 0x0f0f0f0fu) | (((fifth >> 1u) & 0x01010101u) << 4u);
let packed = k_scale_and_min(vec3u(word(b + 1u), word(b + 2u), word(b + 3u)), c / 4u);
let factors = unpack2x16float(word(b)) * packed;
let scale = factors.x;
let min = factors.y;
)";
constexpr std::string_view kQ6KLoad = R"(let codes = word(b + c);
let upper = word(b + 32u + c / 2u) >> (c % 2u * 4u);
let low = (codes & 0x0f0f0f0fu) | ((upper & 0x03030303u) << 4u);
let high = ((codes >> 4u) & 0x0f0f0f0fu) | (((upper >> 2u) & 0x03030303u) << 4u);
let packed = i32(word(b + 48u + c / 8u) << (24u - c / 2u % 4u * 8u)) >> 24u;
let scale = unpack2x16float(tail).x * f32(packed);
)";
constexpr std::string_view kQ2KLoad = R"(let codes = word(b + c / 2u) >> (c % 2u * 4u);
let low = codes & 0x03030303u;
let high = (codes >> 2u) & 0x03030303u;
let packed = word(b + 16u + c / 8u) >> (c / 2u % 4u * 8u);
let factors = unpack2x16float(tail) * vec2f(f32(packed & 15u), f32((packed >> 4u) & 15u));
let scale = factors.x;
let min = factors.y;
)";
constexpr std::string_view kQ3KLoad = R"(let codes = word(b + c / 2u) >> (c % 2u * 4u);
let third = word(b + 16u + c / 4u) >> (c % 4u * 2u);
let low = (codes & 0x03030303u) | ((third & 0x01010101u) << 2u);
let high = ((codes >> 2u) & 0x03030303u) | (((third >> 1u) & 0x01010101u) << 2u);
let group = c / 2u;
let lower = word(b + 24u + group / 4u % 2u) >> (group % 4u * 8u + group / 8u * 4u);
let upper = word(b + 26u) >> (group % 4u * 8u + group / 4u * 2u);
let scale = unpack2x16float(tail).x * f32(i32((lower & 15u) | ((upper & 3u) << 4u)) - 32);
)";
constexpr std::string_view kIq4XsLoad = R"(let codes = word(b + 2u + c);
let low = iq4_values(codes & 0x0f0f0f0fu);
let high = iq4_values((codes >> 4u) & 0x0f0f0f0fu);
let head = word(b);
let group = c / 4u;
let packed = ((word(b + 1u) >> (group * 4u)) & 15u) | (((head >> (16u + group * 2u)) & 3u) << 4u);
let scale = unpack2x16float(head).x * f32(i32(packed) - 32);
)";
constexpr std::string_view kIq2XxsLoad = R"(let index = (word(b + c / 4u * 2u) >> (c % 4u * 8u)) & 0xffu;
let packed = word(b + c / 4u * 2u + 1u);
let signs = grid_signs((packed >> (c % 4u * 7u)) & 127u);
let entry = iq2_xxs_entry(index);
let low = iq2_values(entry, signs);
let high = iq2_values(entry >> 8u, signs >> 4u);
let scale = unpack2x16float(tail).x * (0.5 + f32(packed >> 28u)) * 0.25;
)";
constexpr std::string_view kIq2XsLoad = R"(let index = (word(b + c / 2u) >> (c % 2u * 16u)) & 0xffffu;
let signs = grid_signs(index >> 9u);
let entry = iq2_xs_entry(index & 511u);
let low = iq2_values(entry, signs);
let high = iq2_values(entry >> 8u, signs >> 4u);
let packed = (word(b + 16u + c / 16u) >> (c / 2u % 8u * 4u)) & 15u;
let scale = unpack2x16float(tail).x * (0.5 + f32(packed)) * 0.25;
)";
constexpr std::string_view kIq3XxsLoad = R"(let indices = word(b + c / 2u) >> (c % 2u * 16u);
let packed = word(b + 16u + c / 4u);
let signs = grid_signs((packed >> (c % 4u * 7u)) & 127u);
let low = iq3_values(iq3_xxs_entry(indices & 0xffu), signs);
let high = iq3_values(iq3_xxs_entry((indices >> 8u) & 0xffu), signs >> 4u);
let scale = unpack2x16float(tail).x * (0.5 + f32(packed >> 28u)) * 0.5;
)";

constexpr std::string_view kScaleAndMin = R"(fn k_scale_and_min(packed: vec3u, group: u32) -> vec2f {
  let shift = group % 4u * 8u;
  let first = packed.x >> shift;
  let second = packed.y >> shift;
  if (group < 4u) { return vec2f(f32(first & 63u), f32(second & 63u)); }
  let third = packed.z >> shift;
  return vec2f(f32((third & 15u) | ((first >> 2u) & 48u)), f32(((third >> 4u) & 15u) | ((second >> 2u) & 48u)));
}
)";
// What follows gives values with 128 added: bytes.
constexpr std::string_view kGridSigns =
    R"(fn grid_signs(stored: u32) -> u32 { return stored | ((countOneBits(stored) & 1u) << 7u); }
)";
constexpr std::string_view kIq2Functions = R"(fn iq2_values(entry: u32, signs: u32) -> u32 {
  var bytes = 0u;
  for (var i = 0u; i < 4u; i++) {
    let value = (IQ2_VALUES >> (((entry >> (i * 2u)) & 3u) * 8u)) & 0xffu;
    bytes |= select(128u + value, 128u - value, ((signs >> i) & 1u) == 1u) << (i * 8u);
  }
  return bytes;
}
)";
constexpr std::string_view kIq3Functions = R"(fn iq3_values(entry: u32, signs: u32) -> u32 {
  var bytes = 0u;
  for (var i = 0u; i < 4u; i++) {
    let at = (entry >> (i * 4u)) & 7u;
    let value = (IQ3_VALUES[at / 4u] >> (at % 4u * 8u)) & 0xffu;
    bytes |= select(128u + value, 128u - value, ((signs >> i) & 1u) == 1u) << (i * 8u);
  }
  return bytes;
}
)";

template <size_t count, typename Value>
uint32_t word_of(const std::array<Value, count>& values, size_t first, int add = 0) {
  uint32_t word = 0;
  for (size_t i = 0; i < 4 && first + i < count; ++i) word |= uint32_t(uint8_t(values[first + i] + add)) << (i * 8);
  return word;
}

template <typename Value>
std::string values_function(const std::string& name, const std::array<Value, 16>& values) {
  std::string text = "fn " + name + "(codes: u32) -> u32 {\n  var values = vec4u(";
  for (size_t i = 0; i < 16; i += 4) text += std::to_string(word_of(values, i, 128)) + (i < 12 ? "u, " : "u);\n");
  return text + R"(  var bytes = 0u;
  for (var i = 0u; i < 4u; i++) {
    let code = (codes >> (i * 8u)) & 15u;
    bytes |= ((values[code / 4u] >> (code % 4u * 8u)) & 0xffu) << (i * 8u);
  }
  return bytes;
}
)";
}

// NAME_entry(), an entry of NAME_GRID.
template <size_t count>
std::string grid(const std::string& name, const std::array<uint16_t, count>& entries) {
  const std::string table = name + "_GRID";
  std::string text = "const " + table + " = array<u32, " + std::to_string(count / 2) + ">(";
  for (size_t i = 0; i < count; i += 2)
    text += std::to_string(entries[i] | uint32_t{entries[i + 1]} << 16) + (i + 2 < count ? "u," : "u);\n");
  return text + "fn " + name + "_entry(index: u32) -> u32 { return (" + table +
         "[index / 2u] >> (index % 2u * 16u)) & 0xffffu; }\n";
}

}  // namespace

const QuantizedLayout& quantized_layout(Type type) {
  static constexpr QuantizedLayout kLayouts[] = {
      {8, 2, 128, false, kBytesLoad},    // q8_0
      {4, 2, 8, false, kBits4Load},      // q4_0
      {4, 4, 0, true, kBits4MinLoad},    // q4_1
      {5, 2, 16, false, kBits5Load},     // q5_0
      {5, 4, 0, true, kBits5MinLoad},    // q5_1
      {20, 4, 0, true, kQ2KLoad},        // q2_k
      {27, 2, 4, false, kQ3KLoad},       // q3_k
      {36, 0, 0, true, kQ4KLoad},        // q4_k
      {44, 0, 0, true, kQ5KLoad},        // q5_k
      {52, 2, 32, false, kQ6KLoad},      // q6_k
      {16, 2, 128, false, kIq2XxsLoad},  // iq2_xxs
      {18, 2, 128, false, kIq2XsLoad},   // iq2_xs
      {24, 2, 128, false, kIq3XxsLoad},  // iq3_xxs
      {4, 2, 128, false, kIq4NlLoad},    // iq4_nl
      {34, 0, 128, false, kIq4XsLoad},   // iq4_xs
      {4, 1, 128, false, kMxfp4Load},    // mxfp4
  };
  static_assert(std::size(kLayouts) == kTypes.size() - size_t(Type::kQ8_0));
  if (!is_quantized(type)) throw Error("KEXA_INTERNAL", "no blocks hold " + std::string(type_name(type)));
  return kLayouts[size_t(type) - size_t(Type::kQ8_0)];
}

std::vector<std::string> quantized_tables(Type type) {
  const std::string signs(kGridSigns);
  const std::string iq2 = "const IQ2_VALUES = " + std::to_string(word_of(kIq2Values, 0)) + "u;\n" +
                          std::string(kIq2Functions);
  switch (type) {
    case Type::kQ4K:
    case Type::kQ5K:
      return {std::string(kScaleAndMin)};
    case Type::kIq4Nl:
    case Type::kIq4Xs:
      return {values_function("iq4_values", kIq4Values)};
    case Type::kMxfp4:
      return {values_function("mxfp4_values", kMxfp4Values)};
    case Type::kIq2Xxs:
      return {signs, iq2, grid("iq2_xxs", kIq2XxsGrid)};
    case Type::kIq2Xs:
      return {signs, iq2, grid("iq2_xs", kIq2XsGrid)};
    case Type::kIq3Xxs:
      return {signs,
              "const IQ3_VALUES = vec2u(" + std::to_string(word_of(kIq3Values, 0)) + "u, " +
                  std::to_string(word_of(kIq3Values, 4)) + "u);\n" + std::string(kIq3Functions),
              grid("iq3_xxs", kIq3XxsGrid)};
    default:
      return {};
  }
}

void repack_row(Type type, const std::byte* blocks, int columns, std::byte* to) {
  const TypeFacts& facts = facts_of(type);
  const QuantizedLayout& layout = quantized_layout(type);
  const int count = columns / facts.block_elements;
  std::byte* tails = to + size_t(count) * layout.words * 4;
  for (int i = 0; i < count; ++i) {
    uint32_t words[64];
    repack_block(type, reinterpret_cast<const uint8_t*>(blocks) + size_t(i) * facts.block_bytes, words,
                 tails + size_t(i) * layout.tail_bytes);
    std::memcpy(to + size_t(i) * layout.words * 4, words, size_t(layout.words) * 4);
  }
  std::byte* end = tails + size_t(count) * layout.tail_bytes;
  std::memset(end, 0, size_t(to + gpu_row_bytes(type, columns) - end));
}

}  // namespace kexa
