// Keeps compiled kernels of Dawn and the driver on disk, so that the next process need not compile them again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "files/descriptor.h"

namespace kexa {

// A folder with one file for each blob, named by a hash of its key. Any thread may use it.
// - Key and value stand in the file and are verified, so a collision or a broken file counts as a missing blob.
// - Files appear by renaming, so processes may share a folder.
// - Once all files are larger than `most_bytes`, the ones unused for longest are removed.
// - Nothing throws: a folder that cannot be read or written acts as an empty cache. So does a folder of another user,
//   or one that other users may write to.
class BlobCache {
 public:
  using Bytes = std::span<const uint8_t>;

  // An empty `folder` keeps nothing. The folder is made when the first blob is stored.
  explicit BlobCache(const std::string& folder, uint64_t most_bytes = 256 << 20);

  // Bytes of the value; 0 if there is none. Copies the value to `to` if it has room for all of it.
  size_t load(Bytes key, std::span<uint8_t> to) noexcept;
  void store(Bytes key, Bytes value) noexcept;

 private:
  static std::string name_of(Bytes key);
  // Returns an empty descriptor if there is no such folder, or if others may write to it.
  Descriptor open_folder() const;
  std::vector<uint8_t> read(Bytes key) const;
  void write(Bytes key, Bytes value);
  void trim();

  const std::filesystem::path folder_;
  const uint64_t most_bytes_;
  std::mutex mutex_;
  uint64_t total_bytes_ = 0;
  int written_ = 0;
  // Dawn asks for the size first. The value is kept for its second call, which asks for the bytes.
  std::vector<uint8_t> last_key_, last_value_;
};

}  // namespace kexa
