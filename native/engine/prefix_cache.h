// Keeps computed prefixes beyond the sessions' own cache, for prompts that begin alike.
#pragma once

#include <algorithm>
#include <list>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "device/device.h"
#include "engine/page_hashes.h"

namespace kexa {

// A request that looks for a prefix.
struct PrefixSeeker {
  uint64_t owner = 0;
  uint64_t group = 0;  // requests of a group have the same prompt; 0: it is in none
  std::span<const int> ids;
  std::span<const uint64_t> hashes;  // of the pages of the ids (extend_page_hashes)
};

// A kept prefix holds its pages, which costs no memory until others need them. Its rings, the MTP block's included, are
// copied to main memory, because the slot's owner overwrites them. These copies have a budget. The prefix unused for
// longest goes first, when the budget or a slot that needs pages demands it.
//
// With keeps_turns_only a prefix belongs to its own session and to forks of it, and goes when the last of them ends.
// The budget has room for a few; of those that go for its sake the owner is one that has most of them.
//
// A group's prompt is kept beside the budget until all requests of the group have started.
class PrefixCache {
 public:
  // All arguments must outlive it.
  PrefixCache(const ModelDescription& description, const Plan& plan, KvSlots& slots, Device& device);

  bool is_on() const { return budget_ > 0; }
  // Whether block boundaries and the ends of prompts and answers are kept too, and not only the turns that were asked
  // for.
  bool keeps_all() const { return is_on() && !keeps_turns_only_; }

  // The next position after `position` at which a prompt is kept: every 512 tokens, and further on at steps of an
  // eighth to a quarter of the position, at most 8,192.
  static int next_boundary(int position);

  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;

  // Keeps the content of the owner's slot, between two of its steps. Does nothing if this alone is over the budget.
  // Does not wait: the device copies the rings after the steps begun so far, and collect() takes them.
  void keep(int slot, uint64_t owner);
  // Keeps it for the requests of a group that have not started.
  void keep_for_group(int slot, uint64_t group);
  // How many prefixes were kept so far.
  uint64_t kept_count() const { return kept_count_; }
  // Takes the rings of the first `count` prefixes that were kept. Their copies do not make it wait once a step that was
  // begun after them has been taken. A prefix whose rings the device fails to give is let go of.
  void collect(uint64_t count);
  // Whether requests of the group have not started.
  bool waits_for(uint64_t group) const { return groups_.contains(group); }
  // To be called once for each of the `size` requests of a group, when it has started or will not start any more.
  void leave_group(uint64_t group, int size);

  // share(): prefixes of `parent` now belong to the owner too. release(): the owner's session has ended. Both matter
  // only with keeps_turns_only.
  void share(uint64_t owner, uint64_t parent);
  void release(uint64_t owner);

  // Gives the slot the kept prefix that has most of the seeker's ids, unless the slot itself has more. It counts like
  // KvSlots::keep_prefix(), which is to be called next. All prefixes that the ids begin with count as used.
  void reuse(int slot, const PrefixSeeker& seeker, bool needs_mtp);

  // The kept prefix that has most of the ids: how many, and its pages as far as they are full of them.
  struct Found {
    int length = 0;
    std::vector<int> pages;
  };
  Found find(const PrefixSeeker& seeker, bool needs_mtp) const;

  // Lets go of the prefix unused for longest. Returns false if there is none.
  bool drop_oldest();

 private:
  struct Kept {
    CachedSequence sequence;
    std::vector<uint64_t> owners;
    uint64_t group = 0;
    std::vector<std::byte> rings;  // for each sliding layer, the positions from KvSlots::ring_start() to the length
    size_t ring_bytes = 0;         // of `rings`
    uint64_t number = 0;           // prefixes count up from 1
    std::optional<int> ticket;     // by which the device gives the rings; empty once it has
    std::vector<uint64_t> keys;    // in index_
    uint64_t used = 0;             // the higher, the later
    int64_t bytes() const;
    bool is_of(uint64_t owner) const { return std::find(owners.begin(), owners.end(), owner) != owners.end(); }
  };
  using Place = std::list<Kept>::iterator;
  // Calls visit(layer, first position, place in Kept::rings) for each sliding layer of a sequence. Returns the total in
  // bytes.
  template <typename Visit>
  size_t each_ring(int length, const Visit& visit) const;
  // Calls visit(place, length) for each prefix that may have some of the seeker's ids and that the seeker may use.
  template <typename Visit>
  void each_candidate(const PrefixSeeker& seeker, bool needs_mtp, const Visit& visit) const;
  bool may_use(const Kept& kept, const PrefixSeeker& seeker) const;
  Place find_group(uint64_t group);
  // Keeps the slot's sequence, of whose pages these are the hashes.
  void add(int slot, Kept kept, std::span<const uint64_t> hashes);
  void take_rings(Kept& kept);
  void drop(Place kept);
  // The prefix to let go of when `owner` wants room for one.
  Place least_wanted(uint64_t owner);

  const ModelDescription& description_;
  KvLayout kv_;
  bool has_rings_;
  int64_t budget_, used_ = 0;
  bool keeps_turns_only_;
  KvSlots& slots_;
  Device& device_;
  std::list<Kept> kept_;  // most recently used first
  // By the hash of the prefix's pages, for each number of pages down to which it can be cut back. Ids are compared
  // before a prefix is used.
  std::unordered_multimap<uint64_t, Place> index_;
  std::map<uint64_t, int> groups_;  // requests that have not started
  uint64_t clock_ = 0;
  uint64_t kept_count_ = 0, collected_count_ = 0;
};

}  // namespace kexa
