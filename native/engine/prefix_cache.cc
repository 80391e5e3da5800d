#include "engine/prefix_cache.h"

#include "engine/cache_rows.h"

namespace kexa {

int64_t PrefixCache::Kept::bytes() const {
  return int64_t(rings.size() + (sequence.ids.size() + sequence.pages.size()) * sizeof(int));
}

template <typename Visit>
size_t PrefixCache::each_ring(int length, const Visit& visit) const {
  size_t at = 0;
  for (int layer = 0; layer < description_.layer_count(); ++layer) {
    if (!kv_.ring_rows[layer]) continue;
    const int first = slots_.ring_start(layer, length);
    const size_t size = size_t(2 * (length - first) * device_.cache_row_bytes());
    visit(layer, first, at, size);
    at += size;
  }
  return at;
}

int PrefixCache::next_boundary(int position) {
  int step = 512;
  while (step * 8 <= position) step *= 2;
  return (position / step + 1) * step;
}

void PrefixCache::keep(int slot) {
  const CachedSequence& sequence = slots_.sequence(slot);
  const int length = int(sequence.ids.size());
  if (length == 0) return;
  for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
    if (kept->sequence.ids != sequence.ids || kept->sequence.mtp_length < sequence.mtp_length) continue;
    kept_.splice(kept_.begin(), kept_, kept);
    return;
  }
  const size_t size = each_ring(length, [](int, int, size_t, size_t) {});
  const int64_t wanted = int64_t(size + (sequence.ids.size() + sequence.pages.size()) * sizeof(int));
  if (wanted > budget_) return;
  while (used_ + wanted > budget_) drop_oldest();
  Kept kept{{}, std::vector<std::byte>(size)};
  each_ring(length, [&](int layer, int first, size_t at, size_t bytes) {
    read_positions(device_, slots_, layer, slot, first, length, std::span(kept.rings).subspan(at, bytes));
  });
  kept.sequence = slots_.share(slot);
  used_ += kept.bytes();
  kept_.push_front(std::move(kept));
}

void PrefixCache::reuse(int slot, std::span<const int> ids, bool needs_mtp) {
  auto best = kept_.end();
  int most = slots_.prefix_length(slot, ids, needs_mtp);
  for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
    const int length = slots_.prefix_length(kept->sequence, ids, needs_mtp);
    if (length > most) most = length, best = kept;
  }
  if (best == kept_.end()) return;
  kept_.splice(kept_.begin(), kept_, best);
  slots_.restore(slot, best->sequence);
  const int length = int(best->sequence.ids.size());
  try {
    each_ring(length, [&](int layer, int first, size_t at, size_t bytes) {
      write_positions(device_, slots_, layer, slot, first, length, std::span(best->rings).subspan(at, bytes));
    });
  } catch (...) {
    slots_.rewind(slot, 0);
    throw;
  }
}

bool PrefixCache::drop_oldest() {
  if (kept_.empty()) return false;
  used_ -= kept_.back().bytes();
  slots_.release(kept_.back().sequence);
  kept_.pop_back();
  return true;
}

}  // namespace kexa
