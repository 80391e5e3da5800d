// What Dawn and the driver made of kernels, kept on disk so that the next process need not make it again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "files/descriptor.h"

namespace kexa {

// One file a blob, named by a hash of its key; key and value stand in the file and are verified, so a collision or a
// broken file is a blob that is not there. Files appear by renaming, so processes may share a folder. Once all are
// larger than `most_bytes` those unused for longest are removed. Nothing here throws or is an error: a cache that
// cannot be read or written is an empty one, and so is a folder of another user or one that others may write to. Any
// thread.
class BlobCache {
 public:
  using Bytes = std::span<const uint8_t>;

  // An empty `folder` keeps nothing. It is made when it is first written to.
  explicit BlobCache(const std::string& folder, uint64_t most_bytes = 256 << 20);

  // Bytes of the value, 0 if there is none. They are copied to `to` if it has room for them all.
  size_t load(Bytes key, std::span<uint8_t> to) noexcept;
  void store(Bytes key, Bytes value) noexcept;

 private:
  static std::string name_of(Bytes key);
  // None if there is no such folder, or if others may write to it.
  Descriptor open_folder() const;
  std::vector<uint8_t> read(Bytes key) const;
  void write(Bytes key, Bytes value);
  void trim();

  const std::filesystem::path folder_;
  const uint64_t most_bytes_;
  std::mutex mutex_;
  uint64_t total_bytes_ = 0;
  int written_ = 0;
  // Dawn asks for the size first: the value is still at hand when it asks for the bytes.
  std::vector<uint8_t> last_key_, last_value_;
};

}  // namespace kexa
