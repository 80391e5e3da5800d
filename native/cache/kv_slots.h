// Knows which sequences' tokens the KV cache holds, and in which rows.
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
  int mtp_written = 0;  // positions that the MTP layer's cache has ever held since it was empty
  int written = 0;      // one past the highest position written since it was empty
  // The position this slot was last restored at from a kept prefix. A restored ring holds the rows from
  // ring_start(layer, restored_at) on; earlier rows are gone. 0: the slot was never restored, so only rows that newer
  // ones overwrote are missing.
  int restored_at = 0;
};

// Only keeps the books: the rows themselves belong to the device. The engine's thread alone uses it.
//
// A slot is the cache of one sequence: a table of pages for the global layers and a ring in each sliding layer.
// Positions [0, length) are valid. Going back sets `length` to less; rows past it stay until they are overwritten.
//
// Slots and kept prefixes may share pages. Each page counts its holders. A slot that writes into a shared page gets a
// copy of that page first.
class KvSlots {
 public:
  KvSlots(const ModelDescription& description, const Plan& plan);

  // Sets how the rows of a page are copied, in every global layer. To be called before pages are shared.
  void set_copy_page(std::function<void(int from, int to)> copy_page) { copy_page_ = std::move(copy_page); }
  // Sets how the device makes room for at least `pages` pages. The function returns how many the device then has;
  // reserve() passes on its exceptions. Free pages of low numbers are used first, so that a device needs no more than
  // the most pages that were ever in use at once. Without such a function all pages exist from the start.
  void set_make_pages(std::function<int(int pages)> make_pages) { make_pages_ = std::move(make_pages); }
  // Sets a function that lets go of kept pages, which are given up before a slot loses its own. It returns whether it
  // let go of any.
  void set_reclaim(std::function<bool()> reclaim) { reclaim_ = std::move(reclaim); }

  // Names the owners whose cache is not taken to make room for others, instead of the owners named before.
  void protect(std::vector<uint64_t> owners) { protected_ = std::move(owners); }

  // Slots and pages that protected owners do not hold.
  struct Takeable {
    int slots, pages;
  };
  Takeable takeable() const;
  // Pages by who holds them. `live` pages are of these owners, `kept` ones of other slots or kept prefixes alone.
  struct PageCounts {
    int live, kept, free;
  };
  PageCounts count_pages(std::span<const uint64_t> owners) const;
  // [pages]: how many slots of protected owners hold each page.
  std::vector<int> protected_holders() const;

  struct Lease {
    int slot;
    bool is_fresh;  // the owner had no slot before: this one is empty
  };
  // The owner's slot. If it has none: an unused slot, or the one unused for longest, emptied. Slots of protected owners
  // and of `spared` are never taken. Throws NoRoom if there is no other.
  Lease acquire(uint64_t owner, uint64_t spared = 0);

  // Empties the owner's slot, if it has one.
  void release(uint64_t owner);

  // Keeps the longest prefix of `ids` that the slot holds and can go back to, at most ids.size() - 1 tokens, because
  // the logits of the last one are always needed. Returns the tokens kept. A slot can go back only while each sliding
  // layer's ring still holds the window before that point. If it cannot, everything is dropped.
  // With `needs_mtp` the MTP block's rows must be there too. Row p of its cache also depends on token p + 1.
  int keep_prefix(int slot, std::span<const int> ids, bool needs_mtp = false);

  // Whether the MTP block's cache holds all that keep_prefix() without `needs_mtp` would keep. Its last row may belong
  // to another next token, which is good enough for drafts.
  bool has_mtp_nearly(int slot, std::span<const int> ids) const;

  // The number of tokens that keep_prefix() would keep.
  int prefix_length(int slot, std::span<const int> ids, bool needs_mtp = false) const {
    return prefix_length(slots_[slot], ids, needs_mtp);
  }
  int prefix_length(const CachedSequence& sequence, std::span<const int> ids, bool needs_mtp = false) const;

  // Whether the rings hold the window before position `length` of the sequence. If not, newer rows have overwritten it.
  bool can_go_back_to(const CachedSequence& sequence, int length) const;

  // The owner's slot. -1 if it has none.
  int find(uint64_t owner) const;

  // Goes back to `length` tokens, and lets go of pages that are no longer needed. Returns the tokens left: `length`, or
  // 0 if the rings no longer reach that far back.
  int rewind(int slot, int length);

  // The slot's sequence, which now also holds its pages. To be given to release() later. The caller copies the rings,
  // from ring_start() to the length.
  CachedSequence share(int slot);
  // The same without pages: the caller copies all rows.
  CachedSequence copy(int slot) const;
  void release(CachedSequence& sequence);
  // Gives the slot this sequence. The caller writes the rings; if the sequence is a copy of a slot, it copies them
  // whole.
  void restore(int slot, const CachedSequence& sequence);
  // The slot's present sequence.
  const CachedSequence& sequence(int slot) const { return slots_[slot]; }

  // The shortest length that this slot can be cut back to with its rings still complete. All rings hold every position
  // from ring_start(layer, ring_reach()) up to the slot's length. A snapshot stores it as its `restored_at`.
  int ring_reach(int slot) const;

  // The first position of a layer's ring that a kept prefix of `length` tokens has.
  int ring_start(int layer, int length) const {
    return std::max(0, length - kept_rows(description_.layer(layer).window));
  }

  // Drops all positions from `length` on.
  void truncate(int slot, int length);

  // Notes that the MTP block's cache holds positions [0, length).
  void set_mtp_length(int slot, int length) {
    slots_[slot].mtp_length = length;
    slots_[slot].mtp_written = std::max(slots_[slot].mtp_written, length);
  }

  // Makes room for positions [length, end). If no page is free, pages are taken from other slots. Throws
  // KEXA_CONTEXT_FULL if `end` is past the context, NoRoom if only protected slots have pages, and any exception of the
  // device that makes pages; the slot keeps the pages it has.
  void reserve(int slot, int end);

  // To be called before a step writes positions up to `end`, and after the step has written them.
  void begin_write(int slot, int end);
  void end_write(int slot, std::span<const int> ids);

  // begin_write() for the owner's slot, if it has one.
  void note_written(uint64_t owner, int end);

  int length(int slot) const { return int(slots_[slot].ids.size()); }
  std::span<const int> pages(int slot) const { return slots_[slot].pages; }

  // A copy for a device that works while the slots change: it has only row() and pages(). The description must outlive
  // it.
  std::shared_ptr<const KvSlots> row_tables() const;

  // The row of `position` in the layer's storage: in a page of a global layer, or in the ring of a sliding one.
  int64_t row(int layer, int slot, int position) const {
    const int ring = kv_.ring_rows[layer];
    if (ring) return int64_t(slot) * ring + position % ring;
    return int64_t(slots_[slot].pages[position / kPageRows]) * kPageRows + position % kPageRows;
  }

 private:
  KvSlots(const ModelDescription& description, const KvLayout& kv)
      : description_(description), kv_(kv), context_size_(0), slots_(size_t(kv.slots)) {}

  struct Slot : CachedSequence {
    uint64_t owner = 0;  // 0: no owner
    uint64_t last_used = 0;
  };
  void clear(Slot& slot);
  bool is_protected(const Slot& slot) const {
    return std::find(protected_.begin(), protected_.end(), slot.owner) != protected_.end();
  }
  void hold(std::span<const int> pages);
  void let_go(std::span<const int> pages);
  // A free page for `slot`, taken from another slot if need be. Throws NoRoom.
  int take_page(const Slot& slot);
  // The slot unused for longest, of the slots that may be taken and that `is_wanted` accepts. Null if there is none.
  Slot* oldest(const std::function<bool(const Slot&)>& is_wanted);

  const ModelDescription& description_;
  KvLayout kv_;
  int context_size_;
  std::vector<Slot> slots_;
  std::vector<int> free_pages_;
  std::vector<int> holders_;  // [pages]: how many hold each page
  std::function<void(int, int)> copy_page_;
  std::function<bool()> reclaim_;
  std::function<int(int)> make_pages_;
  int made_pages_ = 0;
  std::vector<uint64_t> protected_;
  uint64_t clock_ = 0;
};

}  // namespace kexa
