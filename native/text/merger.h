// Byte-pair merging: turns pieces of normalised text into the ids of their tokens.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace kexa {

// The places in a run of bytes where two tokens may be merged. The most urgent merge comes first, and of its places the
// leftmost. Fast for runs of up to some thousand bytes.
class PairHeap {
 public:
  PairHeap(const Vocabulary&, Watch& watch) : watch_(watch) {}
  void begin(const uint8_t* bytes, size_t size);
  void add_first(uint32_t rank, uint32_t at) { entries_.push_back(uint64_t(rank) << 32 | at); }
  void end_first();
  void add(uint32_t rank, uint32_t at);
  // Returns false if no place is left.
  bool take(uint32_t& rank, uint32_t& at);

 private:
  Watch& watch_;
  std::vector<uint64_t> entries_;
};

// A PairHeap for longer runs: a list of places for each merge, and a heap of the merges that have places. It takes
// about n steps, n log n at worst, and 4 bytes a place.
class PairLists {
 public:
  PairLists(const Vocabulary& vocabulary, Watch& watch) : vocabulary_(vocabulary), watch_(watch) {}
  void begin(const uint8_t* bytes, size_t size);
  void add_first(uint32_t rank, uint32_t at) { add(rank, at); }
  void end_first() {}
  void add(uint32_t rank, uint32_t at);
  bool take(uint32_t& rank, uint32_t& at);

 private:
  static constexpr uint32_t kNoList = ~0u;
  struct List {
    std::vector<uint32_t> places;  // the first `taken` of them are done
    std::vector<uint32_t> late;    // a heap of the places that were found out of order, once taking had begun
    uint32_t taken = 0;
    bool is_being_taken = false, is_sorted = true;
  };
  List& list_for(uint32_t rank);

  const Vocabulary& vocabulary_;
  Watch& watch_;
  std::vector<uint32_t> list_of_;  // indexed by rank
  std::vector<List> lists_;
  std::vector<uint32_t> unused_;  // lists that no rank uses
  std::vector<uint32_t> ranks_;   // a heap of the ranks that have places
};

// Runs of more than `heap_from` bytes use a PairHeap, and of more than `lists_from` bytes PairLists. Only tests change
// these limits.
struct MergerLimits {
  size_t heap_from = 32, lists_from = 2048;
  bool has_cache = true;
  bool operator==(const MergerLimits&) const = default;
};

struct TooManyIds {};

// Scratch memory and a cache of short pieces. One thread at a time may use it.
class Merger {
 public:
  explicit Merger(const Vocabulary& vocabulary, MergerLimits limits = {});
  // Appends the ids of a text that is normalised and has no added token. Throws Cancelled; throws TooManyIds soon after
  // `ids` has more than `most_ids` in all.
  void append(std::string_view text, Watch& watch, size_t most_ids, std::vector<uint32_t>& ids);

 private:
  static constexpr size_t kCached = 32768, kCachedBytes = 30, kCachedIds = 8, kShort = 64;
  struct Cached {
    uint8_t bytes, ids;
    char text[kCachedBytes];
    uint32_t id[kCachedIds];
  };

  void append_run(const uint8_t* bytes, size_t size, Watch& watch, std::vector<uint32_t>& ids);
  void merge(const uint8_t* bytes, size_t size, Watch& watch, std::vector<uint32_t>& ids);
  void merge_short(const uint8_t* bytes, size_t size, std::vector<uint32_t>& ids) const;
  template <typename Queue>
  void merge_queued(const uint8_t* bytes, size_t size, Queue& queue, Watch& watch, std::vector<uint32_t>& ids);

  const Vocabulary& vocabulary_;
  MergerLimits limits_;
  std::vector<Cached> cache_;
  std::vector<uint32_t> symbols_;
};

}  // namespace kexa
