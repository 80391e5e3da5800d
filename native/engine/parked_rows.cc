#include "engine/parked_rows.h"

#include "engine/cache_rows.h"

namespace kexa {
namespace {

// Calls visit(layer, first position, place, bytes) for the rows of each layer. Returns the total in bytes.
template <typename Visit>
size_t each_layer(const ModelDescription& description, const KvSlots& slots, const Device& device, int length,
                  const Visit& visit) {
  size_t at = 0;
  for (int layer = 0; layer < description.layer_count(); ++layer) {
    const int first = description.layer(layer).window ? slots.ring_start(layer, length) : 0;
    const size_t size = size_t(2 * (length - first) * device.cache_row_bytes());
    visit(layer, first, at, size);
    at += size;
  }
  return at;
}

}  // namespace

int64_t ParkedRows::bytes_of(const ModelDescription& description, const KvSlots& slots, const Device& device,
                             int slot) {
  return int64_t(each_layer(description, slots, device, slots.length(slot), [](int, int, size_t, size_t) {}));
}

ParkedRows::ParkedRows(const ModelDescription& description, const KvSlots& slots, Device& device, int slot)
    : sequence_(slots.copy(slot)), rows_(size_t(bytes_of(description, slots, device, slot))) {
  const int length = slots.length(slot);
  each_layer(description, slots, device, length, [&](int layer, int first, size_t at, size_t size) {
    if (size) read_positions(device, slots, {layer, slot, first, length}, std::span(rows_).subspan(at, size));
  });
}

void ParkedRows::restore(const ModelDescription& description, KvSlots& slots, Device& device, int slot) const {
  const int length = int(sequence_.ids.size());
  slots.reserve(slot, length);
  each_layer(description, slots, device, length, [&](int layer, int first, size_t at, size_t size) {
    if (size) write_positions(device, slots, {layer, slot, first, length}, std::span(rows_).subspan(at, size));
  });
  CachedSequence sequence = sequence_;
  sequence.pages.assign(slots.pages(slot).begin(), slots.pages(slot).end());
  slots.restore(slot, sequence);
}

}  // namespace kexa
