// Reads and writes rows of the KV cache by position, whether they lie in pages or in rings.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "device/device.h"

namespace kexa {

// Positions [from, to) of a slot in a layer.
struct CachePositions {
  int layer, slot, from, to;
};

// Adds the rows of the positions to `runs`. In the copy they lie from `at` on: all keys, then all values. Together they
// have 2 * (to - from) * cache_row_bytes() bytes.
void add_runs(const Device& device, const KvSlots& slots, const CachePositions& positions, size_t at,
              std::vector<CacheRun>& runs);

// Copies the rows from and to `bytes`, in the same order. Reading waits for the work that is running.
void read_positions(Device& device, const KvSlots& slots, const CachePositions& positions, std::span<std::byte> bytes);
void write_positions(Device& device, const KvSlots& slots, const CachePositions& positions,
                     std::span<const std::byte> bytes);

}  // namespace kexa
