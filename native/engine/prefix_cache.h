// What sessions have computed, kept beyond their own cache: for prompts that begin alike.
#pragma once

#include <algorithm>
#include <list>
#include <vector>

#include "device/device.h"

namespace kexa {

// Of each kept sequence the pages are held, which costs no memory until others want them; rings, the MTP block's
// included, are copied out, since whoever owns the slot goes on writing them. Those copies have a budget. Whatever was
// unused for longest goes first, for the budget's sake or for that of a slot in want of pages.
//
// Where turns alone are kept, they are for their own sessions and for forks of those, and end with the last of them.
// The budget has room for a few; of those that go for its sake the owner is one that has most of them.
class PrefixCache {
 public:
  // All must outlive it.
  PrefixCache(const ModelDescription& description, const Plan& plan, KvSlots& slots, Device& device)
      : description_(description),
        kv_(plan.kv),
        budget_(plan.options.prefix_cache_bytes),
        keeps_turns_only_(plan.options.keeps_turns_only),
        slots_(slots),
        device_(device) {}

  bool is_on() const { return budget_ > 0; }
  // Whether more than the turns that are asked for is worth keeping: boundaries, ends of prompts and answers.
  bool keeps_all() const { return is_on() && !keeps_turns_only_; }

  // The next position after `position` at which a prompt is worth keeping: every 512 tokens, further on at an eighth to
  // a quarter of the way there.
  static int next_boundary(int position);

  // Keeps what the owner's slot holds, between two of its steps; not if it alone is over the budget.
  void keep(int slot, uint64_t owner);

  // Where turns alone are kept: those of `parent` are the owner's, too; and the owner's session has ended.
  void share(uint64_t owner, uint64_t parent);
  void release(uint64_t owner);

  // Gives the slot the kept sequence that has most of `ids`, if that is more than the slot has itself. As in
  // KvSlots::keep_prefix(), which is to be called next. All that `ids` begin with counts as used.
  void reuse(int slot, uint64_t owner, std::span<const int> ids, bool needs_mtp);

  // Lets go of the one unused for longest. Returns whether there was one.
  bool drop_oldest();

 private:
  struct Kept {
    CachedSequence sequence;
    std::vector<uint64_t> owners;
    std::vector<std::byte> rings;  // of each sliding layer the positions from KvSlots::ring_start() to the length
    int64_t bytes() const;
    bool is_of(uint64_t owner) const { return std::find(owners.begin(), owners.end(), owner) != owners.end(); }
  };
  // Calls visit(layer, first position, place in Kept::rings) for each sliding layer of a sequence; returns all bytes.
  template <typename Visit>
  size_t each_ring(int length, const Visit& visit) const;
  void drop(std::list<Kept>::iterator kept);
  // One that is in the way of another of `owner`.
  std::list<Kept>::iterator least_wanted(uint64_t owner);

  const ModelDescription& description_;
  KvLayout kv_;
  int64_t budget_, used_ = 0;
  bool keeps_turns_only_;
  KvSlots& slots_;
  Device& device_;
  std::list<Kept> kept_;  // the one used last first
};

}  // namespace kexa
