// Reads and writes rows of the KV cache by position, whether they lie in pages or in rings.
#pragma once

#include <cstddef>
#include <span>

#include "device/device.h"

namespace kexa {

// The keys of a layer and slot for the positions [from, to), then their values: 2 * (to - from) * cache_row_bytes()
// bytes.
void read_positions(Device& device, const KvSlots& slots, int layer, int slot, int from, int to,
                    std::span<std::byte> bytes);
void write_positions(Device& device, const KvSlots& slots, int layer, int slot, int from, int to,
                     std::span<const std::byte> bytes);

}  // namespace kexa
