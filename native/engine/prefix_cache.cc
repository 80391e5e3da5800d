#include "engine/prefix_cache.h"

#include <algorithm>
#include <map>
#include <utility>

#include "engine/cache_rows.h"

namespace kexa {

int64_t PrefixCache::Kept::bytes() const {
  return int64_t(ring_bytes + (sequence.ids.size() + sequence.pages.size()) * sizeof(int));
}

PrefixCache::~PrefixCache() {
  for (const Kept& kept : kept_)
    if (kept.ticket) device_.drop_cache(*kept.ticket);
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

void PrefixCache::keep(int slot, uint64_t owner) {
  const CachedSequence& sequence = slots_.sequence(slot);
  const int length = int(sequence.ids.size());
  if (length == 0) return;
  for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
    if (kept->sequence.ids != sequence.ids || kept->sequence.mtp_length < sequence.mtp_length) continue;
    if (!kept->is_of(owner)) kept->owners.push_back(owner);
    kept_.splice(kept_.begin(), kept_, kept);
    return;
  }
  const size_t size = each_ring(length, [](int, int, size_t, size_t) {});
  const int64_t wanted = int64_t(size + (sequence.ids.size() + sequence.pages.size()) * sizeof(int));
  if (wanted > budget_) return;
  while (used_ + wanted > budget_) drop(keeps_turns_only_ ? least_wanted(owner) : std::prev(kept_.end()));
  std::vector<CacheRun> runs;
  each_ring(length, [&](int layer, int first, size_t at, size_t) {
    add_runs(device_, slots_, {layer, slot, first, length}, at, runs);
  });
  Kept kept{{}, {owner}, {}, size, ++kept_count_, {}};
  if (size) kept.ticket = device_.read_cache(runs, size);
  kept.sequence = slots_.share(slot);
  used_ += kept.bytes();
  kept_.push_front(std::move(kept));
}

void PrefixCache::take_rings(Kept& kept) {
  if (!kept.ticket) return;
  const int ticket = *std::exchange(kept.ticket, {});
  kept.rings.resize(kept.ring_bytes);
  device_.take_cache(ticket, kept.rings);
}

void PrefixCache::collect(uint64_t count) {
  if (collected_count_ >= count) return;
  collected_count_ = count;
  for (auto kept = kept_.begin(); kept != kept_.end();) {
    const auto next = std::next(kept);
    try {
      if (kept->number <= count) take_rings(*kept);
    } catch (...) {
      drop(kept);  // if the device is broken, the next step says so
    }
    kept = next;
  }
}

void PrefixCache::reuse(int slot, uint64_t owner, std::span<const int> ids, bool needs_mtp) {
  // Marks them as used, and the most recent one stays first. The last tokens of a turn may differ in the next turn.
  std::vector<std::list<Kept>::iterator> used;
  for (auto kept = kept_.end(); kept != kept_.begin();) {
    --kept;
    if (keeps_turns_only_ && !kept->is_of(owner)) continue;
    const std::vector<int>& had = kept->sequence.ids;
    const auto common = std::mismatch(had.begin(), had.begin() + std::min(had.size(), ids.size()), ids.begin()).first;
    if (had.end() - common <= kKeptReach) used.push_back(kept);
  }
  for (const auto kept : used) kept_.splice(kept_.begin(), kept_, kept);
  auto best = kept_.end();
  int most = slots_.prefix_length(slot, ids, needs_mtp);
  for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
    if (keeps_turns_only_ && !kept->is_of(owner)) continue;
    const int length = slots_.prefix_length(kept->sequence, ids, needs_mtp);
    if (length > most) most = length, best = kept;
  }
  if (best == kept_.end()) return;
  kept_.splice(kept_.begin(), kept_, best);
  take_rings(*best);
  slots_.restore(slot, best->sequence);
  const int length = int(best->sequence.ids.size());
  try {
    each_ring(length, [&](int layer, int first, size_t at, size_t bytes) {
      write_positions(device_, slots_, {layer, slot, first, length}, std::span(best->rings).subspan(at, bytes));
    });
  } catch (...) {
    slots_.rewind(slot, 0);
    throw;
  }
}

std::vector<int> PrefixCache::pages_of(uint64_t owner, std::span<const int> ids) const {
  std::vector<int> pages;
  int most = 0;
  for (const Kept& kept : kept_) {
    if (keeps_turns_only_ && !kept.is_of(owner)) continue;
    const int length = slots_.prefix_length(kept.sequence, ids);
    if (length <= most) continue;
    most = length;
    pages.assign(kept.sequence.pages.begin(), kept.sequence.pages.begin() + length / kPageRows);
  }
  return pages;
}

bool PrefixCache::drop_oldest() {
  if (kept_.empty()) return false;
  drop(std::prev(kept_.end()));
  return true;
}

void PrefixCache::share(uint64_t owner, uint64_t parent) {
  for (Kept& kept : kept_)
    if (keeps_turns_only_ && kept.is_of(parent) && !kept.is_of(owner)) kept.owners.push_back(owner);
}

void PrefixCache::release(uint64_t owner) {
  for (auto kept = kept_.begin(); keeps_turns_only_ && kept != kept_.end();) {
    const auto next = std::next(kept);
    if (std::erase(kept->owners, owner) && kept->owners.empty()) drop(kept);
    kept = next;
  }
}

void PrefixCache::drop(std::list<Kept>::iterator kept) {
  used_ -= kept->bytes();
  if (kept->ticket) device_.drop_cache(*kept->ticket);
  slots_.release(kept->sequence);
  kept_.erase(kept);
}

std::list<PrefixCache::Kept>::iterator PrefixCache::least_wanted(uint64_t owner) {
  std::map<uint64_t, int> counts{{owner, 1}};
  int most = 1;
  for (const Kept& kept : kept_)
    for (const uint64_t each : kept.owners) most = std::max(most, ++counts[each]);
  const auto has_most = [&](uint64_t each) { return counts[each] == most; };
  auto found = std::prev(kept_.end());
  while (found != kept_.begin() && std::none_of(found->owners.begin(), found->owners.end(), has_most)) --found;
  return found;
}

}  // namespace kexa
