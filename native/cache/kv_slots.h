// Which sequence's tokens the KV cache holds, and in which rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "plan/plan.h"

namespace kexa {

// One cached sequence: its tokens, where their rows lie, and how far back it can be cut.
struct CachedSequence {
  std::vector<int> ids;  // the tokens of positions [0, length)
  std::vector<int> pages;
  int mtp_length = 0;   // positions whose rows the MTP layer's cache holds
  int mtp_written = 0;  // positions that had a row there at some time since it was empty
  int written = 0;      // one past the highest position written since it was empty
  // Rings hold positions from ring_start(layer, restored_at) on, because that is what they were given; 0: all that has
  // not been overwritten.
  int restored_at = 0;
};

// Book-keeping only: the rows themselves belong to the device. Used by the engine thread alone.
//
// Pages may be shared, by slots and by what was kept of them: each has a count of its holders. Whoever is to write into
// a page that others hold is given a copy of it first.
//
// A slot is the cache of one sequence: a page table for the global layers and a ring in each sliding layer. Positions
// [0, length) are valid. Going back is setting `length`; rows past it stay until they are written again.
class KvSlots {
 public:
  KvSlots(const ModelDescription& description, const Plan& plan);

  // How a page's rows are copied, in every global layer. To be set before pages are shared.
  void set_copy_page(std::function<void(int from, int to)> copy_page) { copy_page_ = std::move(copy_page); }
  // How a device makes room for at least that many pages; returns how many it then has. What it throws reserve()
  // throws. Pages of low numbers are taken first, and those used before that are free, so that what a device holds
  // follows the most pages that were ever in use at a time. Without it all pages are there.
  void set_make_pages(std::function<int(int pages)> make_pages) { make_pages_ = std::move(make_pages); }
  // What is asked to let go of pages before a slot loses its own. Returns whether it has let go of anything.
  void set_reclaim(std::function<bool()> reclaim) { reclaim_ = std::move(reclaim); }

  // Owners whose cache is not taken to make room for others. The call replaces those named before.
  void protect(std::vector<uint64_t> owners) { protected_ = std::move(owners); }

  struct Lease {
    int slot;
    bool is_fresh;  // the owner had none: the slot is empty
  };
  // The slot of `owner`, or an unused one, or the one unused for longest, emptied. Neither a protected owner's nor that
  // of `spared` is taken; throws NoRoom if there is no other.
  Lease acquire(uint64_t owner, uint64_t spared = 0);

  // Empties the owner's slot, if it has one.
  void release(uint64_t owner);

  // Keeps as much of the slot as is a prefix of `ids` and can be gone back to, at most ids.size() - 1 tokens (the last
  // one's logits are always wanted). Returns the tokens kept. A sliding layer can be gone back on only while its ring
  // still holds the window before that point; otherwise everything is dropped.
  // If the MTP block is to go on too, its rows have to be there: row p of its cache also depends on token p + 1.
  int keep_prefix(int slot, std::span<const int> ids, bool needs_mtp = false);

  // Whether the MTP block's cache has what keep_prefix() without it would keep, but for the last row, which may be that
  // of another next token: good enough to draft from.
  bool has_mtp_nearly(int slot, std::span<const int> ids) const;

  // What keep_prefix() would keep.
  int prefix_length(int slot, std::span<const int> ids, bool needs_mtp = false) const {
    return prefix_length(slots_[slot], ids, needs_mtp);
  }
  int prefix_length(const CachedSequence& sequence, std::span<const int> ids, bool needs_mtp = false) const;

  // Whether the rings hold the window before position `length` of the sequence. If not, the rows there are another's.
  bool can_go_back_to(const CachedSequence& sequence, int length) const;

  // The owner's slot, or -1.
  int find(uint64_t owner) const;

  // Goes back to `length` tokens, or to none where the rings no longer reach that far back, and lets go of pages that
  // are not needed for them. Returns the tokens that are left.
  int rewind(int slot, int length);

  // What the slot holds, with a hold on its pages: to be given to release() some day. Rings are the caller's to copy,
  // from ring_start() to the length.
  CachedSequence share(int slot);
  void release(CachedSequence& sequence);
  // Makes the slot's sequence this one; its rings are the caller's to write, or, for a copy of a slot, to copy whole.
  void restore(int slot, const CachedSequence& sequence);
  // The slot's sequence as it is.
  const CachedSequence& sequence(int slot) const { return slots_[slot]; }

  // The shortest length that this slot can be cut back to with its rings still complete. All rings hold every position
  // from ring_start(layer, ring_reach()) up to the slot's length. A snapshot stores it as its `restored_at`.
  int ring_reach(int slot) const;

  // The first position that what is kept of a sequence of `length` has of a ring.
  int ring_start(int layer, int length) const {
    return std::max(0, length - kept_rows(description_.layer(layer).window));
  }

  // Drops everything from `length` on.
  void truncate(int slot, int length);

  // The MTP block's cache now holds positions [0, length).
  void set_mtp_length(int slot, int length) {
    slots_[slot].mtp_length = length;
    slots_[slot].mtp_written = std::max(slots_[slot].mtp_written, length);
  }

  // Makes room for positions [length, end). Pages are taken from other slots if none is free.
  // Throws KEXA_CONTEXT_FULL if `end` is past the context, NoRoom if only protected slots have pages to take, and what
  // making pages on the device throws; the slot then has those that there were.
  void reserve(int slot, int end);

  // To be called before a step writes positions up to `end`, and after it has.
  void begin_write(int slot, int end);
  void end_write(int slot, std::span<const int> ids);

  // As begin_write(), for the owner's slot, if it has one.
  void note_written(uint64_t owner, int end);

  int length(int slot) const { return int(slots_[slot].ids.size()); }
  std::span<const int> pages(int slot) const { return slots_[slot].pages; }

  // A copy that knows row() and pages() and no more, for a device that works while the slots go on. What the slots
  // refer to must outlive it.
  std::shared_ptr<const KvSlots> row_tables() const;

  // The row of `position` in the layer's storage: a page's row in a global layer, a ring's in a sliding one.
  int64_t row(int layer, int slot, int position) const {
    const int ring = kv_.ring_rows[layer];
    if (ring) return int64_t(slot) * ring + position % ring;
    return int64_t(slots_[slot].pages[position / kPageRows]) * kPageRows + position % kPageRows;
  }

 private:
  KvSlots(const ModelDescription& description, const KvLayout& kv)
      : description_(description), kv_(kv), context_size_(0), slots_(kSlots) {}

  struct Slot : CachedSequence {
    uint64_t owner = 0;  // 0: nobody
    uint64_t last_used = 0;
  };
  void clear(Slot& slot);
  void hold(std::span<const int> pages);
  void let_go(std::span<const int> pages);
  // A page nobody holds, taken from whoever may lose one to `slot`. Throws NoRoom.
  int take_page(const Slot& slot);
  // The slot unused for longest of those that may be taken and `is_wanted`, or null.
  Slot* oldest(const std::function<bool(const Slot&)>& is_wanted);

  const ModelDescription& description_;
  KvLayout kv_;
  int context_size_;
  std::vector<Slot> slots_;
  std::vector<int> free_pages_;
  std::vector<int> holders_;  // [pages]
  std::function<void(int, int)> copy_page_;
  std::function<bool()> reclaim_;
  std::function<int(int)> make_pages_;
  int made_pages_ = 0;
  std::vector<uint64_t> protected_;
  uint64_t clock_ = 0;
};

}  // namespace kexa
