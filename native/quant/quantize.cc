#include "quant/quantize.h"

#include <limits>
#include <string>

#include "base/error.h"
#include "quant/block_types.h"

namespace kexa {

template <typename Block>
KEXA_INLINE void write_blocks(const float* from, int64_t elements, std::byte* to) {
  if constexpr (Writable<Block>)
    for (int64_t i = 0; i < elements; i += Block::kElements, to += Block::kBytes) Block::write(from + i, to);
}

// A function for each type, so that each is compiled for several instruction sets.
#define KEXA_BLOCKS(Name, name, ...)                                                  \
  KEXA_HOT void quantize_##name(const float* from, int64_t elements, std::byte* to) { \
    write_blocks<types::Name>(from, elements, to);                                    \
  }
#include "base/types.inc"

namespace {

constexpr float kMostF16 = 65504;

void convert(Type type, const float* from, int64_t elements, std::byte* to) {
  if (type == Type::kF32) {
    std::memcpy(to, from, size_t(elements) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < elements; ++i) {
    const uint16_t bits = type == Type::kBf16 ? f32_to_bf16(from[i]) : f32_to_f16(from[i]);
    std::memcpy(to + i * 2, &bits, 2);
  }
}

using Quantizer = void (*)(const float*, int64_t, std::byte*);

// Returns the type's function; null for a type that kexa does not make blocks of.
Quantizer quantizer_of(Type type) {
  switch (type) {
#define KEXA_BLOCKS(Name, name, ...) \
  case Type::k##Name:                \
    return Writable<types::Name> ? quantize_##name : nullptr;
#include "base/types.inc"
    default:
      return nullptr;
  }
}

// Whether values beyond f16's largest can be written.
bool takes_any_size(Type type) {
  if (!is_quantized(type)) return type == Type::kF32 || type == Type::kBf16;
  return with_block(type, [](auto block) { return requires { decltype(block)::kTakesAnySize; }; });
}

void refuse_unfit(Type type, const float* from, int64_t elements, int64_t first) {
  const float most = takes_any_size(type) ? std::numeric_limits<float>::max() : kMostF16;
  for (int64_t i = 0; i < elements; ++i) {
    if (std::fabs(from[i]) <= most) continue;
    const std::string where = "element " + std::to_string(first + i) + ": ";
    const std::string name(type_name(type));
    if (!std::isfinite(from[i]))
      throw Error("KEXA_UNSUPPORTED", where + "wanted a finite number for " + name + ", found " +
                                          (std::isnan(from[i]) ? "NaN"
                                           : from[i] < 0       ? "-infinity"
                                                               : "infinity"));
    throw Error("KEXA_UNSUPPORTED", where + "wanted at most 65,504 for " + name + ", found " + std::to_string(from[i]));
  }
}

}  // namespace

bool can_quantize(Type type) { return quantizer_of(type) != nullptr; }

void quantize(Type type, const float* from, int64_t elements, std::byte* out, int64_t first) {
  const Quantizer quantizer = quantizer_of(type);
  if (quantizer == nullptr && is_quantized(type))
    throw Error("KEXA_UNSUPPORTED", std::string(type_name(type)) + ": kexa has no quantiser for this type");
  refuse_unfit(type, from, elements, first);
  if (quantizer == nullptr) return convert(type, from, elements, out);
  quantizer(from, elements, out);
}

}  // namespace kexa
