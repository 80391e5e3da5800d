#include "kernels/source/quantized_layout.h"

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "quant/codebooks.h"

namespace kexa {
namespace {

constexpr std::string_view kCodes = "codes: vec4u", kLoadCodes = "quad(unit)";
constexpr std::string_view kWithFifth = "codes: vec4u, fifth: u32";
constexpr std::string_view kLoadWithFifth = "quad(unit), word(blocks * 4u + unit)";

constexpr std::string_view kBytes = R"(let low = own.codes[k * 2u];
let high = own.codes[k * 2u + 1u];
let scale = unpack2x16float(tail).x;
)";
constexpr std::string_view kBits4 = R"(let codes = own.codes[k];
let low = codes & 0x0f0f0f0fu;
let high = (codes >> 4u) & 0x0f0f0f0fu;
let scale = unpack2x16float(tail).x;
)";
constexpr std::string_view kBits4Min = R"(let codes = own.codes[k];
let low = codes & 0x0f0f0f0fu;
let high = (codes >> 4u) & 0x0f0f0f0fu;
let factors = unpack2x16float(tail);
let scale = factors.x;
let min = -factors.y;
)";
constexpr std::string_view kBits5 = R"(let codes = own.codes[k];
let fifth = own.fifth >> (k * 2u);
let low = (codes & 0x0f0f0f0fu) | ((fifth & 0x01010101u) << 4u);
let high = ((codes >> 4u) & 0x0f0f0f0fu) | (((fifth >> 1u) & 0x01010101u) << 4u);
let scale = unpack2x16float(tail).x;
)";
constexpr std::string_view kBits5Min = R"(let codes = own.codes[k];
let fifth = own.fifth >> (k * 2u);
let low = (codes & 0x0f0f0f0fu) | ((fifth & 0x01010101u) << 4u);
let high = ((codes >> 4u) & 0x0f0f0f0fu) | (((fifth >> 1u) & 0x01010101u) << 4u);
let factors = unpack2x16float(tail);
let scale = factors.x;
let min = -factors.y;
)";
constexpr std::string_view kIq4Nl = R"(let codes = own.codes[k];
let low = iq4_values(codes & 0x0f0f0f0fu);
let high = iq4_values((codes >> 4u) & 0x0f0f0f0fu);
let scale = unpack2x16float(tail).x;
)";
// The two smallest scales are subnormal.
constexpr std::string_view kMxfp4 = R"(let codes = own.codes[k];
let low = mxfp4_values(codes & 0x0f0f0f0fu);
let high = mxfp4_values((codes >> 4u) & 0x0f0f0f0fu);
let exponent = tail & 0xffu;
let scale = bitcast<f32>(select((exponent - 1u) << 23u, 0x00200000u << exponent, exponent < 2u));
)";
// The twelve bytes of scales and minima begin at the head's second word: group g's are bytes g and g + 4, of 6 bits;
// those of the last four groups are halves of byte g + 4 below the upper 2 bits of bytes g - 4 and g.
constexpr std::string_view kQ4K = R"(let codes = own.codes[k];
let low = codes & 0x0f0f0f0fu;
let high = (codes >> 4u) & 0x0f0f0f0fu;
let factors = unpack2x16float(own.head.x) * k_scale_and_min(own.head.yzw, group % 2u * 4u + k);
let scale = factors.x;
let min = factors.y;
)";
constexpr std::string_view kQ5K = R"(let codes = own.codes[k];
let fifth = own.fifth >> (k * 2u);
let low = (codes & 0x0f0f0f0fu) | ((fifth & 0x01010101u) << 4u);
let high = ((codes >> 4u) & 0x0f0f0f0fu) | (((fifth >> 1u) & 0x01010101u) << 4u);
let factors = unpack2x16float(own.head.x) * k_scale_and_min(own.head.yzw, group % 2u * 4u + k);
let scale = factors.x;
let min = factors.y;
)";
constexpr std::string_view kQ6K = R"(let codes = own.codes[k];
let upper = own.upper[k / 2u] >> (k % 2u * 4u);
let low = (codes & 0x0f0f0f0fu) | ((upper & 0x03030303u) << 4u);
let high = ((codes >> 4u) & 0x0f0f0f0fu) | (((upper >> 2u) & 0x03030303u) << 4u);
let scale = unpack2x16float(tail).x * f32(i32(own.scales << (24u - k * 8u)) >> 24u);
)";
constexpr std::string_view kQ2K = R"(let codes = own.codes[k / 2u] >> (k % 2u * 4u);
let low = codes & 0x03030303u;
let high = (codes >> 2u) & 0x03030303u;
let packed = own.scales[k / 4u] >> (k % 4u * 8u);
let factors = unpack2x16float(tail) * vec2f(f32(packed & 15u), f32((packed >> 4u) & 15u));
let scale = factors.x;
let min = factors.y;
)";
constexpr std::string_view kQ3K = R"(let codes = own.codes[k / 2u] >> (k % 2u * 4u);
let third = own.third[k / 4u] >> (k % 4u * 2u);
let low = (codes & 0x03030303u) | ((third & 0x01010101u) << 2u);
let high = ((codes >> 2u) & 0x03030303u) | (((third >> 1u) & 0x01010101u) << 2u);
let packed = ((own.lower >> (k * 4u)) & 15u) | (((own.upper >> (lane / 2u * 16u + k * 2u)) & 3u) << 4u);
let scale = unpack2x16float(tail).x * f32(i32(packed) - 32);
)";
constexpr std::string_view kIq4Xs = R"(let codes = own.codes[k];
let low = iq4_values(codes & 0x0f0f0f0fu);
let high = iq4_values((codes >> 4u) & 0x0f0f0f0fu);
let part = group % 2u * 4u + k;
let packed = ((own.head.y >> (part * 4u)) & 15u) | (((own.head.x >> (16u + part * 2u)) & 3u) << 4u);
let scale = unpack2x16float(own.head.x).x * f32(i32(packed) - 32);
)";
// Word i of a block's eight words of signs is lane i % 4's: 28 bits for four of its chunks, below the scale of the 32
// weights that are the lanes' i-th chunks.
constexpr std::string_view kIq2Xxs = R"(let words = select(own.signs, own.more_signs, k >= 4u);
let signs = grid_signs((words[lane] >> (k % 4u * 7u)) & 127u);
let entry = iq2_xxs_entry((own.codes[k / 4u] >> (k % 4u * 8u)) & 0xffu);
let low = iq2_values(entry, signs);
let high = iq2_values(entry >> 8u, signs >> 4u);
let scale = unpack2x16float(tail).x * (0.5 + f32(words[k % 4u] >> 28u)) * 0.25;
)";
constexpr std::string_view kIq2Xs = R"(let index = (own.codes[k / 2u] >> (k % 2u * 16u)) & 0xffffu;
let signs = grid_signs(index >> 9u);
let entry = iq2_xs_entry(index & 511u);
let low = iq2_values(entry, signs);
let high = iq2_values(entry >> 8u, signs >> 4u);
let scale = unpack2x16float(tail).x * (0.5 + f32((own.scales >> (k * 4u)) & 15u)) * 0.25;
)";
constexpr std::string_view kIq3Xxs = R"(let words = select(own.signs, own.more_signs, k >= 4u);
let signs = grid_signs((words[lane] >> (k % 4u * 7u)) & 127u);
let indices = own.codes[k / 2u] >> (k % 2u * 16u);
let low = iq3_values(iq3_xxs_entry(indices & 0xffu), signs);
let high = iq3_values(iq3_xxs_entry((indices >> 8u) & 0xffu), signs >> 4u);
let scale = unpack2x16float(tail).x * (0.5 + f32(words[k % 4u] >> 28u)) * 0.5;
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
      {2, 8, 2, 0, 128, false, kCodes, kLoadCodes, kBytes},          // q8_0
      {4, 4, 2, 0, 8, false, kCodes, kLoadCodes, kBits4},            // q4_0
      {4, 4, 4, 0, 0, true, kCodes, kLoadCodes, kBits4Min},          // q4_1
      {4, 5, 2, 0, 16, false, kWithFifth, kLoadWithFifth, kBits5},   // q5_0
      {4, 5, 4, 0, 0, true, kWithFifth, kLoadWithFifth, kBits5Min},  // q5_1
      {8, 20, 4, 0, 0, true, "codes: vec4u, scales: vec2u",          // q2_k
       "quad(unit), pair(blocks * 8u + unit / 2u)", kQ2K},
      {8, 27, 2, 0, 4, false, "codes: vec4u, third: vec2u, lower: u32, upper: u32",  // q3_k
       "quad(unit), pair(blocks * 8u + unit), word(blocks * 24u + block * 3u + lane / 2u),\n"
       "word(blocks * 24u + block * 3u + 2u)",
       kQ3K},
      {4, 36, 0, 32, 0, true, "codes: vec4u, head: vec4u",  // q4_k
       "quad(unit), quad(blocks * 8u + block)", kQ4K},
      {4, 44, 0, 40, 0, true, "codes: vec4u, fifth: u32, head: vec4u",  // q5_k
       "quad(unit), word(blocks * 32u + unit), quad(blocks * 10u + block)", kQ5K},
      {4, 52, 2, 0, 32, false, "codes: vec4u, upper: vec2u, scales: u32",  // q6_k
       "quad(unit), pair(blocks * 16u + unit), word(blocks * 48u + unit / 2u)", kQ6K},
      {8, 16, 2, 0, 128, false, "codes: vec2u, signs: vec4u, more_signs: vec4u",  // iq2_xxs
       "pair(unit), quad(blocks * 2u + block * 2u), quad(blocks * 2u + block * 2u + 1u)", kIq2Xxs},
      {8, 18, 2, 0, 128, false, "codes: vec4u, scales: u32",  // iq2_xs
       "quad(unit), word(blocks * 16u + unit / 2u)", kIq2Xs},
      {8, 24, 2, 0, 128, false, "codes: vec4u, signs: vec4u, more_signs: vec4u",  // iq3_xxs
       "quad(unit), quad(blocks * 4u + block * 2u), quad(blocks * 4u + block * 2u + 1u)", kIq3Xxs},
      {4, 4, 2, 0, 128, false, kCodes, kLoadCodes, kIq4Nl},    // iq4_nl
      {4, 34, 0, 32, 128, false, "codes: vec4u, head: vec2u",  // iq4_xs
       "quad(unit), pair(blocks * 16u + block)", kIq4Xs},
      {4, 4, 1, 0, 128, false, kCodes, kLoadCodes, kMxfp4},  // mxfp4
  };
  static_assert(std::size(kLayouts) == kTypes.size() - size_t(Type::kQ8_0));
  if (!is_quantized(type)) throw Error("KEXA_INTERNAL", "no blocks hold " + std::string(type_name(type)));
  return kLayouts[size_t(type) - size_t(Type::kQ8_0)];
}

UnitText quantized_unit_text(Type type, int columns) {
  const QuantizedLayout& layout = quantized_layout(type);
  const WeightUnits units = weight_units(type, columns);
  const int of_block = facts_of(type).block_elements / 8 / units.chunks;
  UnitText text{.fields = std::string(layout.fields), .load = std::string(layout.load), .chunk = {}};
  if (layout.tail_bytes) {
    // Units side by side read the tails of all their blocks in one load.
    const int tails = std::max(1, units.lanes / of_block), bytes = tails * layout.tail_bytes;
    const int first = columns / facts_of(type).block_elements * layout.words * 4;
    const std::string i = tails > 1 ? "group" : "block";
    const auto number = [](int n) { return std::to_string(n) + "u"; };
    if (bytes >= 4) {
      text.fields += bytes == 16 ? ", tails: vec4u" : bytes == 8 ? ", tails: vec2u" : ", tails: u32";
      text.load += std::string(bytes == 16  ? ", quad("
                               : bytes == 8 ? ", pair("
                                            : ", word(") +
                   number(first / bytes) + " + " + i + ")";
    } else {
      const std::string of_word = number(4 / bytes);
      text.fields += ", tails: u32";
      text.load += ", word(" + number(first / 4) + " + " + i + " / " + of_word + ") >> (" + i + " % " + of_word +
                   " * " + number(bytes * 8) + ")";
    }
    // A block of 32 is four chunks: four threads have its all at once, two in two turns.
    const std::string at = tails == 1 ? "0u" : units.lanes == 4 ? "k" : "k / 2u", own = number(4 / layout.tail_bytes);
    text.chunk = "let tail = own.tails" + std::string(bytes > 4 ? "[" + at + " / " + own + "]" : "") + " >> (" + at +
                 " % " + own + " * " + number(8 * layout.tail_bytes % 32) + ");\n";
  }
  text.chunk += std::string(layout.chunk) + "return vec4u(low, high, bitcast<u32>(scale), " +
                (layout.has_min ? "bitcast<u32>(min)" : "0u") + ");\n";
  return text;
}

std::vector<std::string> quantized_tables(Type type) {
  const std::string signs(kGridSigns);
  const std::string iq2 =
      "const IQ2_VALUES = " + std::to_string(word_of(kIq2Values, 0)) + "u;\n" + std::string(kIq2Functions);
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

}  // namespace kexa
