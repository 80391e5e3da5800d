// The cached rows of a sequence in main memory, while its slot and its pages serve others.
#pragma once

#include <cstddef>
#include <vector>

#include "device/device.h"

namespace kexa {

class ParkedRows {
 public:
  // Bytes that the rows of a slot would take.
  static int64_t bytes_of(const ModelDescription& description, const KvSlots& slots, const Device& device, int slot);

  // Copies the slot's rows. No step may be under way that writes them. Throws std::bad_alloc.
  ParkedRows(const ModelDescription& description, const KvSlots& slots, Device& device, int slot);

  // Gives them back to a slot, which is empty. Throws NoRoom, and what KvSlots::reserve() throws.
  void restore(const ModelDescription& description, KvSlots& slots, Device& device, int slot) const;

  int64_t bytes() const { return int64_t(rows_.size()); }
  int length() const { return int(sequence_.ids.size()); }

 private:
  CachedSequence sequence_;  // without pages
  std::vector<std::byte> rows_;
};

}  // namespace kexa
