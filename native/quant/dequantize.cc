#include "quant/dequantize.h"

#include "quant/block_types.h"

namespace kexa {

KEXA_HOT void dequantize(Type type, const std::byte* blocks, int64_t elements, float* out) {
  with_block(type, [&](auto block_type) KEXA_INLINE_CALL {
    using Block = decltype(block_type);
    const auto* block = reinterpret_cast<const uint8_t*>(blocks);
    for (int64_t i = 0; i < elements; i += Block::kElements, block += Block::kBytes) Block::read(block, out + i);
  });
}

}  // namespace kexa
