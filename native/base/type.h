// The formats in which weights and caches are stored.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kexa {

enum class Type : uint8_t {
#define KEXA_ELEMENTS(Name, ...) k##Name,
#define KEXA_BLOCKS(Name, ...) k##Name,
#include "base/types.inc"
};

struct TypeFacts {
  std::string_view name;  // as lib/block-types.ts spells it
  int gguf_id = -1;       // -1: no GGUF file has the type
  int block_elements = 1;
  int block_bytes = 0;
};

constexpr auto kTypes = std::to_array<TypeFacts>({
#define KEXA_ELEMENTS(Name, name, ...) {#name, __VA_ARGS__},
#define KEXA_BLOCKS(Name, name, ...) {#name, __VA_ARGS__},
#include "base/types.inc"
});

constexpr const TypeFacts& facts_of(Type type) { return kTypes[size_t(type)]; }
constexpr std::string_view type_name(Type type) { return facts_of(type).name; }
constexpr bool is_quantized(Type type) { return facts_of(type).block_elements > 1; }
// The bytes of `elements` in a row. The elements must be whole blocks.
constexpr int64_t bytes_of(Type type, int64_t elements) {
  return elements / facts_of(type).block_elements * facts_of(type).block_bytes;
}
// The bytes of one element of a type that has no blocks.
constexpr int64_t element_bytes(Type type) { return facts_of(type).block_bytes; }

constexpr std::optional<Type> type_named(std::string_view name) {
  for (size_t i = 0; i < kTypes.size(); ++i)
    if (kTypes[i].name == name) return Type(i);
  return std::nullopt;
}

}  // namespace kexa
