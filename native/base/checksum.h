// A sum over the bytes of a file, by which a reader notices that they have changed since they were written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace kexa {

// FNV-1a in 64 bits. A change of a single byte always changes the sum. It guards against accidents, not against
// forgers.
class Checksum {
 public:
  void add(std::span<const std::byte> bytes) {
    for (std::byte byte : bytes) value_ = (value_ ^ uint64_t(byte)) * 0x100000001b3u;
  }
  template <typename Value>
  void add_value(const Value& value) {
    add(std::as_bytes(std::span(&value, 1)));
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

}  // namespace kexa
