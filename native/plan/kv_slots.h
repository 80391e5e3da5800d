// Which sequence's tokens the KV cache holds, and in which rows.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "plan/plan.h"

namespace kexa {

// Book-keeping only: the rows themselves belong to the device. Used by the engine thread alone.
//
// A slot is the cache of one sequence: a page table for the global layers and a ring in each sliding layer. Positions
// [0, length) are valid. Going back is setting `length`; rows past it stay until they are written again.
class KvSlots {
 public:
  KvSlots(const ModelDescription& description, const Plan& plan);

  // Owners whose cache is not taken to make room for others. The call replaces those named before.
  void protect(std::vector<uint64_t> owners) { protected_ = std::move(owners); }

  struct Lease {
    int slot;
    bool is_fresh;  // the owner had none: the slot is empty
  };
  // The slot of `owner`, or an unused one, or the one unused for longest, emptied. Throws NoRoom if all are protected.
  Lease acquire(uint64_t owner);

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
  int prefix_length(int slot, std::span<const int> ids, bool needs_mtp = false) const;

  // Drops everything from `length` on.
  void truncate(int slot, int length);

  // The MTP block's cache now holds positions [0, length).
  void set_mtp_length(int slot, int length) {
    slots_[slot].mtp_length = length;
    slots_[slot].mtp_written = std::max(slots_[slot].mtp_written, length);
  }

  // Makes room for positions [length, end). Pages are taken from other slots if none is free.
  // Throws KEXA_CONTEXT_FULL if `end` is past the context, NoRoom if only protected slots have pages to take.
  void reserve(int slot, int end);

  // To be called before a step writes positions up to `end`, and after it has.
  void begin_write(int slot, int end);
  void end_write(int slot, std::span<const int> ids);

  // As begin_write(), for the owner's slot, if it has one.
  void note_written(uint64_t owner, int end);

  int length(int slot) const { return int(slots_[slot].ids.size()); }
  std::span<const int> pages(int slot) const { return slots_[slot].pages; }

  // The row of `position` in the layer's storage: a page's row in a global layer, a ring's in a sliding one.
  int64_t row(int layer, int slot, int position) const {
    const int ring = kv_.ring_rows[layer];
    if (ring) return int64_t(slot) * ring + position % ring;
    return int64_t(slots_[slot].pages[position / kPageRows]) * kPageRows + position % kPageRows;
  }

 private:
  struct Slot {
    uint64_t owner = 0;  // 0: nobody
    uint64_t last_used = 0;
    std::vector<int> ids;  // the tokens of positions [0, length)
    std::vector<int> pages;
    int mtp_length = 0;   // positions whose rows the MTP layer's cache holds
    int mtp_written = 0;  // positions that had a row there at some time since the slot was empty
    int written = 0;      // one past the highest position written since the slot was empty
  };
  void clear(Slot& slot);
  // The slot unused for longest of those that may be taken and `is_wanted`, or null.
  Slot* oldest(const std::function<bool(const Slot&)>& is_wanted);
  bool can_go_back_to(const Slot& slot, int length) const;

  const ModelDescription& description_;
  KvLayout kv_;
  int context_size_;
  std::vector<Slot> slots_;
  std::vector<int> free_pages_;
  std::vector<uint64_t> protected_;
  uint64_t clock_ = 0;
};

}  // namespace kexa
