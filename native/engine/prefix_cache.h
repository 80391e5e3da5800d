// What sessions have computed, kept beyond their own cache: for prompts that begin alike.
#pragma once

#include <list>

#include "plan/device.h"

namespace kexa {

// Of each kept sequence the pages are held, which costs no memory until others want them; rings, the MTP block's
// included, are copied out, since whoever owns the slot goes on writing them. Those copies have a budget. Whatever was
// unused for longest goes first, for the budget's sake or for that of a slot in want of pages.
class PrefixCache {
 public:
  // All must outlive it.
  PrefixCache(const ModelDescription& description, const Plan& plan, KvSlots& slots, Device& device)
      : description_(description), kv_(plan.kv), budget_(plan.options.prefix_cache_bytes), slots_(slots), device_(device) {}

  bool is_on() const { return budget_ > 0; }

  // The next position after `position` at which a prompt is worth keeping: every 512 tokens, further on at an eighth to
  // a quarter of the way there.
  static int next_boundary(int position);

  // Keeps what the slot holds, between two of its steps; not if it alone is over the budget.
  void keep(int slot);

  // Gives the slot the kept sequence that has most of `ids`, if that is more than the slot has itself. As in
  // KvSlots::keep_prefix(), which is to be called next.
  void reuse(int slot, std::span<const int> ids, bool needs_mtp);

  // Lets go of the one unused for longest. Returns whether there was one.
  bool drop_oldest();

 private:
  struct Kept {
    CachedSequence sequence;
    std::vector<std::byte> rings;  // of each sliding layer the positions from KvSlots::ring_start() to the length
    int64_t bytes() const;
  };
  // Calls visit(layer, first position, place in Kept::rings) for each sliding layer of a sequence; returns all bytes.
  template <typename Visit>
  size_t each_ring(int length, const Visit& visit) const;

  const ModelDescription& description_;
  KvLayout kv_;
  int64_t budget_, used_ = 0;
  KvSlots& slots_;
  Device& device_;
  std::list<Kept> kept_;  // the one used last first
};

}  // namespace kexa
