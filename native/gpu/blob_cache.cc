#include "gpu/blob_cache.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace kexa {
namespace {

namespace fs = std::filesystem;
using Bytes = BlobCache::Bytes;

constexpr char kSuffix[] = ".blob";

// FNV-1a, from any start.
uint64_t hash(Bytes bytes, uint64_t value) {
  for (const uint8_t byte : bytes) value = (value ^ byte) * 0x100000001b3;
  return value;
}
constexpr uint64_t kStart = 0xcbf29ce484222325, kOtherStart = 0x9e3779b97f4a7c15;

// In this machine's byte order: a folder is not carried from one to another.
struct Header {
  char magic[8] = {'k', 'e', 'x', 'a', 'b', 'l', 'b', '1'};
  uint64_t key_bytes = 0, value_bytes = 0;
  uint64_t checksum = 0;  // of the value
};

}  // namespace

BlobCache::BlobCache(const std::string& folder, uint64_t most_bytes) : folder_(folder), most_bytes_(most_bytes) {
  try {
    if (!folder_.empty()) trim();
  } catch (const std::exception&) {
  }
}

size_t BlobCache::load(Bytes key, std::span<uint8_t> to) noexcept {
  if (folder_.empty()) return 0;
  try {
    std::lock_guard lock(mutex_);
    if (!std::ranges::equal(key, last_key_)) {
      last_value_ = read(key);
      last_key_.assign(key.begin(), key.end());
    }
    if (!last_value_.empty() && last_value_.size() <= to.size())
      std::memcpy(to.data(), last_value_.data(), last_value_.size());
    return last_value_.size();
  } catch (const std::exception&) {
    return 0;
  }
}

void BlobCache::store(Bytes key, Bytes value) noexcept {
  if (folder_.empty() || value.empty()) return;
  try {
    std::lock_guard lock(mutex_);
    last_key_.clear();
    last_value_.clear();
    write(key, value);
    if (total_bytes_ > most_bytes_) trim();
  } catch (const std::exception&) {
  }
}

fs::path BlobCache::file_of(Bytes key) const {
  char name[33];
  std::snprintf(name, sizeof name, "%016llx%016llx", static_cast<unsigned long long>(hash(key, kStart)),
                static_cast<unsigned long long>(hash(key, kOtherStart)));
  return folder_ / (std::string(name) + kSuffix);
}

std::vector<uint8_t> BlobCache::read(Bytes key) const {
  const fs::path path = file_of(key);
  std::ifstream file(path, std::ios::binary);
  Header header, wanted;
  if (!file.read(reinterpret_cast<char*>(&header), sizeof header)) return {};
  const bool is_ours = std::memcmp(header.magic, wanted.magic, sizeof header.magic) == 0 &&
                       header.key_bytes == key.size() && header.value_bytes <= most_bytes_ &&
                       fs::file_size(path) == sizeof header + header.key_bytes + header.value_bytes;
  if (!is_ours) return {};
  std::vector<uint8_t> found_key(key.size()), value(header.value_bytes);
  file.read(reinterpret_cast<char*>(found_key.data()), std::streamsize(found_key.size()));
  file.read(reinterpret_cast<char*>(value.data()), std::streamsize(value.size()));
  if (!file || !std::ranges::equal(found_key, key) || hash(value, kStart) != header.checksum) return {};
  // Used: it is not to be the next that is removed.
  std::error_code ignored;
  fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
  return value;
}

void BlobCache::write(Bytes key, Bytes value) {
  // For its owner alone, as what lies in it is run by drivers.
  if (fs::create_directories(folder_)) fs::permissions(folder_, fs::perms::owner_all);
  const fs::path path = file_of(key);
  // No other cache, in this process or another, writes to the same name.
  char own[64];
  std::snprintf(own, sizeof own, ".%d.%p.%d", int(::getpid()), static_cast<void*>(this), written_++);
  fs::path unfinished = path;
  unfinished += own;
  Header header;
  header.key_bytes = key.size();
  header.value_bytes = value.size();
  header.checksum = hash(value, kStart);
  std::ofstream file(unfinished, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&header), sizeof header);
  file.write(reinterpret_cast<const char*>(key.data()), std::streamsize(key.size()));
  file.write(reinterpret_cast<const char*>(value.data()), std::streamsize(value.size()));
  file.close();
  std::error_code failure;
  if (file) fs::rename(unfinished, path, failure);
  if (file && !failure) {
    total_bytes_ += sizeof header + key.size() + value.size();
  } else {
    fs::remove(unfinished, failure);
  }
}

// Also counts. Other processes may be at it too: what vanishes meanwhile is none of ours.
void BlobCache::trim() {
  struct Entry {
    fs::path path;
    fs::file_time_type used;
    uint64_t bytes;
  };
  std::vector<Entry> entries;
  total_bytes_ = 0;
  std::error_code failure;
  for (const auto& item : fs::directory_iterator(folder_, failure)) {
    if (item.path().filename().string().find(kSuffix) == std::string::npos) continue;
    std::error_code gone;
    const Entry entry{item.path(), item.last_write_time(gone), item.file_size(gone)};
    if (gone) continue;
    total_bytes_ += entry.bytes;
    entries.push_back(entry);
  }
  if (total_bytes_ <= most_bytes_) return;
  std::ranges::sort(entries, {}, &Entry::used);
  for (const Entry& entry : entries) {
    // Some below the limit, so that not every store from now on comes here.
    if (total_bytes_ <= most_bytes_ / 4 * 3) break;
    if (fs::remove(entry.path, failure)) total_bytes_ -= entry.bytes;
  }
}

}  // namespace kexa
