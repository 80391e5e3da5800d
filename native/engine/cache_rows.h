// Rows of the KV cache by their positions, wherever in pages and rings they are.
#pragma once

#include <cstddef>
#include <span>

#include "device/device.h"

namespace kexa {

// The layer's keys of positions [from, to) of a slot, then their values: `bytes` has 2 * (to - from) *
// cache_row_bytes().
void read_positions(Device& device, const KvSlots& slots, int layer, int slot, int from, int to,
                    std::span<std::byte> bytes);
void write_positions(Device& device, const KvSlots& slots, int layer, int slot, int from, int to,
                     std::span<const std::byte> bytes);

}  // namespace kexa
