#include "plan/kv_slots.h"

#include <algorithm>

#include "base/error.h"

namespace kexa {

KvSlots::KvSlots(const ModelDescription& description, const Plan& plan)
    : description_(description), kv_(plan.kv), context_size_(plan.options.context_size), slots_(kSlots) {
  for (int page = kv_.pages - 1; page >= 0; --page) free_pages_.push_back(page);
}

void KvSlots::clear(Slot& slot) {
  free_pages_.insert(free_pages_.end(), slot.pages.rbegin(), slot.pages.rend());
  slot = {};
}

KvSlots::Slot* KvSlots::oldest(const std::function<bool(const Slot&)>& is_wanted) {
  Slot* found = nullptr;
  for (Slot& slot : slots_) {
    if (!is_wanted(slot) || std::find(protected_.begin(), protected_.end(), slot.owner) != protected_.end()) continue;
    // An unowned slot was last used at 0, before any other.
    if (!found || slot.last_used < found->last_used) found = &slot;
  }
  return found;
}

KvSlots::Lease KvSlots::acquire(uint64_t owner) {
  auto found = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) { return slot.owner == owner; });
  const bool is_fresh = found == slots_.end();
  if (is_fresh) {
    Slot* taken = oldest([](const Slot&) { return true; });
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

bool KvSlots::can_go_back_to(const Slot& slot, int length) const {
  for (int layer = 0; layer < int(kv_.ring_rows.size()); ++layer) {
    const int ring = kv_.ring_rows[layer];
    if (!ring) continue;
    // The next query, at `length`, sees from here on; writing position p destroyed position p - ring.
    const int oldest_needed = std::max(0, length - description_.layer(layer).window + 1);
    if (oldest_needed < length && slot.written - ring > oldest_needed) return false;
  }
  return true;
}

int KvSlots::prefix_length(int index, std::span<const int> ids, bool needs_mtp) const {
  const Slot& slot = slots_[index];
  const size_t limit = std::min(slot.ids.size(), ids.empty() ? 0 : ids.size() - 1);
  int kept = int(std::mismatch(ids.begin(), ids.begin() + limit, slot.ids.begin()).first - ids.begin());
  // The token after the last one kept may be another now, so that one's MTP row is made again.
  if (needs_mtp) kept = std::max(0, std::min(kept - 1, slot.mtp_length));
  return kept < int(slot.ids.size()) && !can_go_back_to(slot, kept) ? 0 : kept;
}

bool KvSlots::has_mtp_nearly(int index, std::span<const int> ids) const {
  const int kept = prefix_length(index, ids);
  return slots_[index].mtp_length >= kept - 1 && slots_[index].mtp_written >= kept;
}

int KvSlots::keep_prefix(int index, std::span<const int> ids, bool needs_mtp) {
  const int kept = prefix_length(index, ids, needs_mtp);
  truncate(index, kept);
  if (kept == 0) slots_[index].written = 0;
  return kept;
}

void KvSlots::truncate(int index, int length) {
  Slot& slot = slots_[index];
  slot.ids.resize(length);
  // The row before `length` was made with a token that is gone.
  slot.mtp_length = std::min(slot.mtp_length, std::max(0, length - 1));
}

void KvSlots::reserve(int index, int end) {
  if (end > context_size_)
    throw Error("KEXA_CONTEXT_FULL", "wanted room for " + std::to_string(end) + " tokens, found a context of " +
                                         std::to_string(context_size_));
  Slot& slot = slots_[index];
  const size_t wanted = size_t(end + kPageRows - 1) / kPageRows;
  while (slot.pages.size() < wanted) {
    if (free_pages_.empty()) {
      Slot* taken = oldest([&](const Slot& other) { return &other != &slot && !other.pages.empty(); });
      if (!taken) throw NoRoom{};
      clear(*taken);
    }
    slot.pages.push_back(free_pages_.back());
    free_pages_.pop_back();
  }
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
