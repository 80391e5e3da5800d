#include "engine/cache_rows.h"

#include <algorithm>
#include <cstring>

namespace kexa {
namespace {

// The most bytes that are read at once, because a device needs a buffer for them.
constexpr size_t kMostReadBytes = 16 << 20;

// Calls visit(row, count, first) for each run of positions whose rows are successive. `first` counts from the first
// position.
template <typename Visit>
void each_run(const KvSlots& slots, const CachePositions& positions, const Visit& visit) {
  const auto& [layer, slot, from, to] = positions;
  for (int first = from; first < to;) {
    const int64_t row = slots.row(layer, slot, first);
    int count = 1;
    while (first + count < to && slots.row(layer, slot, first + count) == row + count) ++count;
    visit(row, count, first - from);
    first += count;
  }
}

}  // namespace

void add_runs(const Device& device, const KvSlots& slots, const CachePositions& positions, size_t at,
              std::vector<CacheRun>& runs) {
  const size_t row_bytes = size_t(device.cache_row_bytes());
  const size_t values_at = at + size_t(positions.to - positions.from) * row_bytes;
  each_run(slots, positions, [&](int64_t row, int count, int first) {
    const size_t offset = size_t(first) * row_bytes;
    runs.push_back({positions.layer, row, count, at + offset, values_at + offset});
  });
}

void read_positions(Device& device, const KvSlots& slots, const CachePositions& positions, std::span<std::byte> bytes) {
  const size_t row_bytes = size_t(device.cache_row_bytes());
  const size_t values_at = size_t(positions.to - positions.from) * row_bytes;
  const int most = int(std::max<size_t>(1, kMostReadBytes / (2 * row_bytes)));
  std::vector<std::byte> piece;
  for (CachePositions next = positions; next.from < positions.to; next.from = next.to) {
    next.to = std::min(positions.to, next.from + most);
    const size_t size = size_t(next.to - next.from) * row_bytes, at = size_t(next.from - positions.from) * row_bytes;
    std::vector<CacheRun> runs;
    add_runs(device, slots, next, 0, runs);
    piece.resize(2 * size);
    device.take_cache(device.read_cache(runs, piece.size()), piece);
    std::memcpy(&bytes[at], piece.data(), size);
    std::memcpy(&bytes[values_at + at], piece.data() + size, size);
  }
}

void write_positions(Device& device, const KvSlots& slots, const CachePositions& positions,
                     std::span<const std::byte> bytes) {
  const size_t row_bytes = size_t(device.cache_row_bytes());
  const size_t values_at = size_t(positions.to - positions.from) * row_bytes;
  std::vector<std::byte> run;
  each_run(slots, positions, [&](int64_t row, int count, int first) {
    const size_t size = size_t(count) * row_bytes, at = size_t(first) * row_bytes;
    run.resize(2 * size);
    std::memcpy(run.data(), &bytes[at], size);
    std::memcpy(run.data() + size, &bytes[values_at + at], size);
    device.write_cache(positions.layer, row, count, run);
  });
}

}  // namespace kexa
