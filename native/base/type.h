// The formats in which weights and caches are stored.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kexa {

enum class Type : uint8_t {
  kF32,
  kF16,
  kBf16,
  kF8E4m3,  // scaled by numbers of their own: quant/fp8.h
  // The types of GGUF, in blocks along a row:
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2K,
  kQ3K,
  kQ4K,
  kQ5K,
  kQ6K,
  kIq2Xxs,
  kIq2Xs,
  kIq3Xxs,
  kIq4Nl,
  kIq4Xs,
  kMxfp4,
};

struct TypeFacts {
  std::string_view name;  // as lib/description.ts spells it
  int block_elements = 1;
  int block_bytes = 0;
};

constexpr std::array<TypeFacts, 20> kTypes = {{
    {"f32", 1, 4},       {"f16", 1, 2},        {"bf16", 1, 2},     {"f8_e4m3", 1, 1},    {"q8_0", 32, 34},
    {"q4_0", 32, 18},    {"q4_1", 32, 20},     {"q5_0", 32, 22},   {"q5_1", 32, 24},     {"q2_k", 256, 84},
    {"q3_k", 256, 110},  {"q4_k", 256, 144},   {"q5_k", 256, 176}, {"q6_k", 256, 210},   {"iq2_xxs", 256, 66},
    {"iq2_xs", 256, 74}, {"iq3_xxs", 256, 98}, {"iq4_nl", 32, 18}, {"iq4_xs", 256, 136}, {"mxfp4", 32, 17},
}};

constexpr const TypeFacts& facts_of(Type type) { return kTypes[size_t(type)]; }
constexpr std::string_view type_name(Type type) { return facts_of(type).name; }
constexpr bool is_quantized(Type type) { return facts_of(type).block_elements > 1; }
// Bytes of a row's `elements`, which must be a multiple of the block.
constexpr int64_t bytes_of(Type type, int64_t elements) {
  return elements / facts_of(type).block_elements * facts_of(type).block_bytes;
}
// Bytes of one element, for a type that has no blocks.
constexpr int64_t element_bytes(Type type) { return facts_of(type).block_bytes; }

constexpr std::optional<Type> type_named(std::string_view name) {
  for (size_t i = 0; i < kTypes.size(); ++i)
    if (kTypes[i].name == name) return Type(i);
  return std::nullopt;
}

}  // namespace kexa
