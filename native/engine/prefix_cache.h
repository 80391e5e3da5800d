// Keeps computed prefixes beyond the sessions' own cache, for prompts that begin alike.
#pragma once

#include <algorithm>
#include <list>
#include <optional>
#include <vector>

#include "device/device.h"

namespace kexa {

// A kept prefix holds its pages, which costs no memory until others need them. Its rings, the MTP block's included, are
// copied to main memory, because the slot's owner overwrites them. These copies have a budget. The prefix unused for
// longest goes first, when the budget or a slot that needs pages demands it.
//
// With keeps_turns_only a prefix belongs to its own session and to forks of it, and goes when the last of them ends.
// The budget has room for a few; of those that go for its sake the owner is one that has most of them.
class PrefixCache {
 public:
  // All arguments must outlive it.
  PrefixCache(const ModelDescription& description, const Plan& plan, KvSlots& slots, Device& device)
      : description_(description),
        kv_(plan.kv),
        budget_(plan.options.prefix_cache_bytes),
        keeps_turns_only_(plan.options.keeps_turns_only),
        slots_(slots),
        device_(device) {}

  bool is_on() const { return budget_ > 0; }
  // Whether block boundaries and the ends of prompts and answers are kept too, and not only the turns that were asked
  // for.
  bool keeps_all() const { return is_on() && !keeps_turns_only_; }

  // The next position after `position` at which a prompt is kept: every 512 tokens, and further on at steps of an
  // eighth to a quarter of the position.
  static int next_boundary(int position);

  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;

  // Keeps the content of the owner's slot, between two of its steps. Does nothing if this alone is over the budget.
  // Does not wait: the device copies the rings after the steps begun so far, and collect() takes them.
  void keep(int slot, uint64_t owner);
  // How many prefixes were kept so far.
  uint64_t kept_count() const { return kept_count_; }
  // Takes the rings of the first `count` prefixes that were kept. Their copies do not make it wait once a step that was
  // begun after them has been taken. A prefix whose rings the device fails to give is let go of.
  void collect(uint64_t count);

  // share(): prefixes of `parent` now belong to the owner too. release(): the owner's session has ended. Both matter
  // only with keeps_turns_only.
  void share(uint64_t owner, uint64_t parent);
  void release(uint64_t owner);

  // Gives the slot the kept prefix that has most of `ids`, unless the slot itself has more. It counts like
  // KvSlots::keep_prefix(), which is to be called next. All prefixes that `ids` begin with count as used.
  void reuse(int slot, uint64_t owner, std::span<const int> ids, bool needs_mtp);

  // Pages of the kept prefix that has most of `ids`, as far as it has them. Empty if no prefix has any.
  std::vector<int> pages_of(uint64_t owner, std::span<const int> ids) const;

  // Lets go of the prefix unused for longest. Returns false if there is none.
  bool drop_oldest();

 private:
  struct Kept {
    CachedSequence sequence;
    std::vector<uint64_t> owners;
    std::vector<std::byte> rings;  // for each sliding layer, the positions from KvSlots::ring_start() to the length
    size_t ring_bytes;             // of `rings`
    uint64_t number;               // prefixes count up from 1
    std::optional<int> ticket;     // by which the device gives the rings; empty once it has
    int64_t bytes() const;
    bool is_of(uint64_t owner) const { return std::find(owners.begin(), owners.end(), owner) != owners.end(); }
  };
  // Calls visit(layer, first position, place in Kept::rings) for each sliding layer of a sequence. Returns the total in
  // bytes.
  template <typename Visit>
  size_t each_ring(int length, const Visit& visit) const;
  void take_rings(Kept& kept);
  void drop(std::list<Kept>::iterator kept);
  // The prefix to let go of when `owner` wants room for one.
  std::list<Kept>::iterator least_wanted(uint64_t owner);

  const ModelDescription& description_;
  KvLayout kv_;
  int64_t budget_, used_ = 0;
  bool keeps_turns_only_;
  KvSlots& slots_;
  Device& device_;
  std::list<Kept> kept_;  // most recently used first
  uint64_t kept_count_ = 0, collected_count_ = 0;
};

}  // namespace kexa
