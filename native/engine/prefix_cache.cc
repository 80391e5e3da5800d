#include "engine/prefix_cache.h"

#include <set>
#include <utility>

#include "engine/cache_rows.h"

namespace kexa {
namespace {

constexpr int kFirstStep = 512, kLongestStep = 8192;

}  // namespace

PrefixCache::PrefixCache(const ModelDescription& description, const Plan& plan, KvSlots& slots, Device& device)
    : description_(description),
      kv_(plan.kv),
      has_rings_(std::any_of(kv_.ring_rows.begin(), kv_.ring_rows.end(), [](int rows) { return rows > 0; })),
      budget_(plan.options.prefix_cache_bytes),
      keeps_turns_only_(plan.options.keeps_turns_only),
      slots_(slots),
      device_(device) {}

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

bool PrefixCache::may_use(const Kept& kept, const PrefixSeeker& seeker) const {
  if (kept.group) return kept.group == seeker.group;
  return !keeps_turns_only_ || kept.is_of(seeker.owner);
}

template <typename Visit>
void PrefixCache::each_candidate(const PrefixSeeker& seeker, bool needs_mtp, const Visit& visit) const {
  std::set<const Kept*> seen;
  for (size_t pages = seeker.hashes.size() + 1; pages-- > 0;) {
    const auto [begin, end] = index_.equal_range(pages ? seeker.hashes[pages - 1] : kEmptyHash);
    for (auto found = begin; found != end; ++found) {
      const Kept& kept = *found->second;
      if (!may_use(kept, seeker) || !seen.insert(&kept).second) continue;
      visit(found->second, slots_.prefix_length(kept.sequence, seeker.ids, needs_mtp));
    }
  }
}

int PrefixCache::next_boundary(int position) {
  int step = kFirstStep;
  while (step * 8 <= position && step < kLongestStep) step *= 2;
  return (position / step + 1) * step;
}

void PrefixCache::keep(int slot, uint64_t owner) {
  const CachedSequence& sequence = slots_.sequence(slot);
  const int length = int(sequence.ids.size());
  if (length == 0) return;
  std::vector<uint64_t> hashes;
  extend_page_hashes(hashes, sequence.ids);
  const auto [begin, end] = index_.equal_range(hashes.empty() ? kEmptyHash : hashes.back());
  for (auto found = begin; found != end; ++found) {
    const Place kept = found->second;
    if (kept->group || kept->sequence.ids != sequence.ids || kept->sequence.mtp_length < sequence.mtp_length) continue;
    if (!kept->is_of(owner)) kept->owners.push_back(owner);
    kept->used = ++clock_;
    kept_.splice(kept_.begin(), kept_, kept);
    return;
  }
  const size_t size = each_ring(length, [](int, int, size_t, size_t) {});
  const int64_t wanted = int64_t(size + (sequence.ids.size() + sequence.pages.size()) * sizeof(int));
  if (wanted > budget_) return;
  while (used_ + wanted > budget_) drop(least_wanted(owner));
  Kept kept;
  kept.owners = {owner};
  add(slot, std::move(kept), hashes);
}

PrefixCache::Place PrefixCache::find_group(uint64_t group) {
  return std::find_if(kept_.begin(), kept_.end(), [&](const Kept& one) { return one.group == group; });
}

void PrefixCache::keep_for_group(int slot, uint64_t group) {
  if (find_group(group) != kept_.end()) return;
  Kept kept;
  kept.group = group;
  std::vector<uint64_t> hashes;
  extend_page_hashes(hashes, slots_.sequence(slot).ids);
  add(slot, std::move(kept), hashes);
}

void PrefixCache::leave_group(uint64_t group, int size) {
  const auto left = groups_.try_emplace(group, size).first;
  if (--left->second > 0) return;
  groups_.erase(left);
  if (const Place kept = find_group(group); kept != kept_.end()) drop(kept);
}

void PrefixCache::add(int slot, Kept kept, std::span<const uint64_t> hashes) {
  const int length = slots_.length(slot);
  std::vector<CacheRun> runs;
  kept.ring_bytes = each_ring(length, [&](int layer, int first, size_t at, size_t) {
    add_runs(device_, slots_, {layer, slot, first, length}, at, runs);
  });
  kept.number = ++kept_count_;
  if (kept.ring_bytes) kept.ticket = device_.read_cache(runs, kept.ring_bytes);
  kept.sequence = slots_.share(slot);
  kept.used = ++clock_;
  const size_t fewest = has_rings_ ? size_t(std::max(0, length - kKeptReach) / kPageRows) : 0;
  for (size_t pages = fewest; pages <= hashes.size(); ++pages)
    kept.keys.push_back(pages ? hashes[pages - 1] : kEmptyHash);
  kept_.push_front(std::move(kept));
  if (!kept_.front().group) used_ += kept_.front().bytes();
  for (const uint64_t key : kept_.front().keys) index_.emplace(key, kept_.begin());
}

void PrefixCache::take_rings(Kept& kept) {
  if (!kept.ticket) return;
  kept.rings.resize(kept.ring_bytes);
  const int ticket = *std::exchange(kept.ticket, {});
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

void PrefixCache::reuse(int slot, const PrefixSeeker& seeker, bool needs_mtp) {
  // Marks them as used, and the most recent one stays first. The last tokens of a turn may differ in the next turn.
  std::vector<Place> used;
  Place best = kept_.end();
  int most = slots_.prefix_length(slot, seeker.ids, needs_mtp);
  each_candidate(seeker, needs_mtp, [&](Place kept, int length) {
    const std::vector<int>& had = kept->sequence.ids;
    const auto common =
        std::mismatch(had.begin(), had.begin() + std::min(had.size(), seeker.ids.size()), seeker.ids.begin()).first;
    if (had.end() - common <= kKeptReach) used.push_back(kept);
    if (length > most) most = length, best = kept;
  });
  std::sort(used.begin(), used.end(), [](Place a, Place b) { return a->used < b->used; });
  if (best != kept_.end()) used.push_back(best);
  for (const Place kept : used) {
    kept->used = ++clock_;
    kept_.splice(kept_.begin(), kept_, kept);
  }
  if (best == kept_.end()) return;
  try {
    take_rings(*best);
  } catch (...) {
    drop(best);  // the next one would get rings without their content
    throw;
  }
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

PrefixCache::Found PrefixCache::find(const PrefixSeeker& seeker, bool needs_mtp) const {
  Found found;
  each_candidate(seeker, needs_mtp, [&](Place kept, int length) {
    if (length <= found.length) return;
    const std::vector<int>& pages = kept->sequence.pages;
    found = {.length = length, .pages = {pages.begin(), pages.begin() + length / kPageRows}};
  });
  return found;
}

// A group's prompt is wanted soon, so it goes last.
bool PrefixCache::drop_oldest() {
  if (kept_.empty()) return false;
  auto oldest = std::prev(kept_.end());
  while (oldest != kept_.begin() && oldest->group) --oldest;
  drop(oldest->group ? std::prev(kept_.end()) : oldest);
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

void PrefixCache::drop(Place kept) {
  if (!kept->group) used_ -= kept->bytes();
  if (kept->ticket) device_.drop_cache(*kept->ticket);
  for (const uint64_t key : kept->keys) {
    const auto [begin, end] = index_.equal_range(key);
    const auto entry = std::find_if(begin, end, [&](const auto& each) { return each.second == kept; });
    if (entry != end) index_.erase(entry);
  }
  slots_.release(kept->sequence);
  kept_.erase(kept);
}

PrefixCache::Place PrefixCache::least_wanted(uint64_t owner) {
  std::map<uint64_t, int> counts{{owner, 1}};
  int most = 1;
  if (keeps_turns_only_)
    for (const Kept& kept : kept_)
      for (const uint64_t each : kept.owners) most = std::max(most, ++counts[each]);
  const auto is_wanted = [&](const Kept& kept) {
    if (kept.group) return true;
    return keeps_turns_only_ &&
           std::none_of(kept.owners.begin(), kept.owners.end(), [&](uint64_t each) { return counts[each] == most; });
  };
  auto found = std::prev(kept_.end());
  while (found != kept_.begin() && is_wanted(*found)) --found;
  return found;
}

}  // namespace kexa
