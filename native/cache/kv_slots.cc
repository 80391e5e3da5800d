#include "cache/kv_slots.h"

#include <algorithm>

#include "base/error.h"

namespace kexa {

KvSlots::KvSlots(const ModelDescription& description, const Plan& plan)
    : description_(description),
      kv_(plan.kv),
      context_size_(plan.options.context_size),
      slots_(size_t(plan.kv.slots)),
      holders_(plan.kv.pages) {
  for (int page = kv_.pages - 1; page >= 0; --page) free_pages_.push_back(page);
}

std::shared_ptr<const KvSlots> KvSlots::row_tables() const {
  const std::shared_ptr<KvSlots> tables(new KvSlots(description_, kv_));
  for (int slot = 0; slot < kv_.slots; ++slot) tables->slots_[slot].pages = slots_[slot].pages;
  return tables;
}

void KvSlots::clear(Slot& slot) {
  let_go(slot.pages);
  slot = {};
}

void KvSlots::hold(std::span<const int> pages) {
  for (int page : pages) ++holders_[page];
}

void KvSlots::let_go(std::span<const int> pages) {
  for (auto page = pages.rbegin(); page != pages.rend(); ++page)
    if (--holders_[*page] == 0) free_pages_.push_back(*page);
}

KvSlots::Slot* KvSlots::oldest(const std::function<bool(const Slot&)>& is_wanted) {
  Slot* found = nullptr;
  for (Slot& slot : slots_) {
    if (!is_wanted(slot) || is_protected(slot)) continue;
    // A slot without an owner has last_used 0, so it counts as the oldest.
    if (!found || slot.last_used < found->last_used) found = &slot;
  }
  return found;
}

std::vector<int> KvSlots::protected_holders() const {
  std::vector<int> holders(holders_.size());
  for (const Slot& slot : slots_)
    for (const int page : slot.pages) holders[page] += is_protected(slot);
  return holders;
}

KvSlots::PageCounts KvSlots::count_pages(std::span<const uint64_t> owners) const {
  std::vector<bool> is_live(holders_.size());
  for (const Slot& slot : slots_)
    if (std::find(owners.begin(), owners.end(), slot.owner) != owners.end())
      for (const int page : slot.pages) is_live[size_t(page)] = true;
  const int live = int(std::count(is_live.begin(), is_live.end(), true)), free = int(free_pages_.size());
  return {.live = live, .kept = kv_.pages - live - free, .free = free};
}

KvSlots::Takeable KvSlots::takeable() const {
  const std::vector<int> holders = protected_holders();
  const auto is_taken = [&](const Slot& slot) { return is_protected(slot); };
  return {.slots = int(slots_.size() - size_t(std::count_if(slots_.begin(), slots_.end(), is_taken))),
          .pages = int(std::count(holders.begin(), holders.end(), 0))};
}

KvSlots::Lease KvSlots::acquire(uint64_t owner, uint64_t spared) {
  auto found = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) { return slot.owner == owner; });
  const bool is_fresh = found == slots_.end();
  if (is_fresh) {
    Slot* taken = oldest([&](const Slot& slot) { return slot.owner == 0 || slot.owner != spared; });
    if (!taken) throw NoRoom{};
    clear(*taken);
    taken->owner = owner;
    found = slots_.begin() + (taken - slots_.data());
  }
  found->last_used = ++clock_;
  return {int(found - slots_.begin()), is_fresh};
}

void KvSlots::release(uint64_t owner) {
  for (Slot& slot : slots_)
    if (slot.owner == owner) clear(slot);
}

int KvSlots::find(uint64_t owner) const {
  const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) { return slot.owner == owner; });
  return found == slots_.end() ? -1 : int(found - slots_.begin());
}

bool KvSlots::can_go_back_to(const CachedSequence& sequence, int length) const {
  for (int layer = 0; layer < int(kv_.ring_rows.size()); ++layer) {
    const int ring = kv_.ring_rows[layer];
    if (!ring) continue;
    // The next query, at `length`, sees positions from `oldest_needed` on. Writing position p destroyed position p -
    // ring.
    const int oldest_needed = std::max(0, length - description_.layer(layer).window + 1);
    if (oldest_needed == length) continue;
    if (sequence.written - ring > oldest_needed) return false;
    if (sequence.restored_at && ring_start(layer, sequence.restored_at) > oldest_needed) return false;
  }
  return true;
}

int KvSlots::prefix_length(const CachedSequence& sequence, std::span<const int> ids, bool needs_mtp) const {
  const size_t limit = std::min(sequence.ids.size(), ids.empty() ? 0 : ids.size() - 1);
  int kept = int(std::mismatch(ids.begin(), ids.begin() + limit, sequence.ids.begin()).first - ids.begin());
  // The token after the last kept one may differ now. The MTP row of the last kept one depends on it and is made again.
  if (needs_mtp) kept = std::max(0, std::min(kept - 1, sequence.mtp_length));
  return can_go_back_to(sequence, kept) ? kept : 0;
}

bool KvSlots::has_mtp_nearly(int index, std::span<const int> ids) const {
  const int kept = prefix_length(index, ids);
  return slots_[index].mtp_length >= kept - 1 && slots_[index].mtp_written >= kept;
}

int KvSlots::keep_prefix(int index, std::span<const int> ids, bool needs_mtp) {
  const int kept = prefix_length(index, ids, needs_mtp);
  truncate(index, kept);
  return kept;
}

int KvSlots::rewind(int index, int length) {
  Slot& slot = slots_[index];
  int kept = std::min(length, int(slot.ids.size()));
  if (!can_go_back_to(slot, kept)) kept = 0;
  truncate(index, kept);
  // The rows past it lie in pages that others may write to from now on.
  slot.mtp_written = std::min(slot.mtp_written, kept);
  const size_t needed = size_t(kept + kPageRows - 1) / kPageRows;
  if (needed < slot.pages.size()) {
    let_go(std::span(slot.pages).subspan(needed));
    slot.pages.resize(needed);
  }
  return kept;
}

int KvSlots::ring_reach(int index) const {
  const Slot& slot = slots_[index];
  // Writing position p + ring destroys position p. Every ring is `slack` rows longer than its layer's window.
  int slack = 0;
  for (int layer = 0; layer < int(kv_.ring_rows.size()); ++layer)
    if (kv_.ring_rows[layer]) slack = kv_.ring_rows[layer] - description_.layer(layer).window;
  return std::max({0, slot.restored_at, slot.written - slack + 1});
}

CachedSequence KvSlots::copy(int index) const {
  CachedSequence copied = slots_[index];
  const int length = int(copied.ids.size());
  copied.pages.clear();
  copied.mtp_length = std::min(copied.mtp_length, length);
  copied.mtp_written = std::min(copied.mtp_written, length);
  copied.restored_at = std::max(length, ring_reach(index));
  copied.written = length;
  return copied;
}

CachedSequence KvSlots::share(int index) {
  CachedSequence shared = copy(index);
  const auto pages = std::span(slots_[index].pages).first((shared.ids.size() + kPageRows - 1) / kPageRows);
  shared.pages.assign(pages.begin(), pages.end());
  hold(shared.pages);
  return shared;
}

void KvSlots::release(CachedSequence& sequence) {
  let_go(sequence.pages);
  sequence = {};
}

void KvSlots::restore(int index, const CachedSequence& sequence) {
  Slot& slot = slots_[index];
  hold(sequence.pages);
  let_go(slot.pages);
  static_cast<CachedSequence&>(slot) = sequence;
}

void KvSlots::truncate(int index, int length) {
  Slot& slot = slots_[index];
  slot.ids.resize(length);
  // The MTP row before `length` was made with a token that is gone.
  slot.mtp_length = std::min(slot.mtp_length, std::max(0, length - 1));
  if (length == 0) slot.written = slot.restored_at = slot.mtp_written = 0;
}

void KvSlots::reserve(int index, int end) {
  if (end > context_size_)
    throw Error("KEXA_CONTEXT_FULL", "wanted room for " + std::to_string(end) + " tokens, found a context of " +
                                         std::to_string(context_size_));
  Slot& slot = slots_[index];
  const size_t wanted = size_t(end + kPageRows - 1) / kPageRows;
  for (size_t i = slot.ids.size() / kPageRows; i < std::min(wanted, slot.pages.size()); ++i) {
    if (holders_[slot.pages[i]] == 1) continue;
    // If no page is free, kept prefixes are let go, and perhaps the page's other holder with them.
    while (free_pages_.empty() && holders_[slot.pages[i]] > 1 && reclaim_ && reclaim_()) {
    }
    if (holders_[slot.pages[i]] == 1) continue;
    const int copy = take_page(slot);
    // The page's other holder may have been emptied to make room for the copy.
    copy_page_(slot.pages[i], copy);
    let_go(std::span(slot.pages).subspan(i, 1));
    slot.pages[i] = copy;
  }
  while (slot.pages.size() < wanted) slot.pages.push_back(take_page(slot));
}

int KvSlots::take_page(const Slot& slot) {
  while (free_pages_.empty()) {
    if (reclaim_ && reclaim_()) continue;
    Slot* taken = oldest([&](const Slot& other) { return &other != &slot && !other.pages.empty(); });
    if (!taken) throw NoRoom{};
    clear(*taken);
  }
  const int page = free_pages_.back();
  if (make_pages_ && page >= made_pages_) made_pages_ = make_pages_(page + 1);
  free_pages_.pop_back();
  holders_[page] = 1;
  return page;
}

void KvSlots::begin_write(int index, int end) { slots_[index].written = std::max(slots_[index].written, end); }

void KvSlots::note_written(uint64_t owner, int end) {
  for (Slot& slot : slots_)
    if (slot.owner == owner) slot.written = std::max(slot.written, end);
}

void KvSlots::end_write(int index, std::span<const int> ids) {
  slots_[index].ids.insert(slots_[index].ids.end(), ids.begin(), ids.end());
}

}  // namespace kexa
