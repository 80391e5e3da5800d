#include "engine/cache_rows.h"

#include <cstring>
#include <vector>

namespace kexa {
namespace {

// Calls visit(row, count, first) for each run of positions whose rows are successive. `first` is the run's first
// position.
template <typename Visit>
void each_run(const KvSlots& slots, int layer, int slot, int from, int to, const Visit& visit) {
  for (int first = from; first < to;) {
    const int64_t row = slots.row(layer, slot, first);
    int count = 1;
    while (first + count < to && slots.row(layer, slot, first + count) == row + count) ++count;
    visit(row, count, first - from);
    first += count;
  }
}

}  // namespace

void read_positions(Device& device, const KvSlots& slots, int layer, int slot, int from, int to,
                    std::span<std::byte> bytes) {
  const size_t row_bytes = size_t(device.cache_row_bytes()), values_at = size_t(to - from) * row_bytes;
  std::vector<std::byte> run;
  each_run(slots, layer, slot, from, to, [&](int64_t row, int count, int index) {
    const size_t size = size_t(count) * row_bytes, at = size_t(index) * row_bytes;
    run.resize(2 * size);
    device.read_cache(layer, row, count, run);
    std::memcpy(&bytes[at], run.data(), size);
    std::memcpy(&bytes[values_at + at], run.data() + size, size);
  });
}

void write_positions(Device& device, const KvSlots& slots, int layer, int slot, int from, int to,
                     std::span<const std::byte> bytes) {
  const size_t row_bytes = size_t(device.cache_row_bytes()), values_at = size_t(to - from) * row_bytes;
  std::vector<std::byte> run;
  each_run(slots, layer, slot, from, to, [&](int64_t row, int count, int index) {
    const size_t size = size_t(count) * row_bytes, at = size_t(index) * row_bytes;
    run.resize(2 * size);
    std::memcpy(run.data(), &bytes[at], size);
    std::memcpy(run.data() + size, &bytes[values_at + at], size);
    device.write_cache(layer, row, count, run);
  });
}

}  // namespace kexa
