#include "gpu/blob_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>

namespace kexa {
namespace {

namespace fs = std::filesystem;
using Bytes = BlobCache::Bytes;

constexpr char kSuffix[] = ".blob";
constexpr size_t kHexDigits = 32;

// FNV-1a, continued from `value`.
uint64_t hash(Bytes bytes, uint64_t value) {
  for (const uint8_t byte : bytes) value = (value ^ byte) * 0x100000001b3;
  return value;
}
constexpr uint64_t kStart = 0xcbf29ce484222325, kOtherStart = 0x9e3779b97f4a7c15;

// The head of a file, in this machine's byte order, because a folder is never carried to another machine.
struct Header {
  char magic[8] = {'k', 'e', 'x', 'a', 'b', 'l', 'b', '1'};
  uint64_t key_bytes = 0, value_bytes = 0;
  uint64_t checksum = 0;  // of the value
};

// Whether a file has a name that the cache gives, also to unfinished files.
bool is_own_name(const std::string& name) {
  return name.size() >= kHexDigits && name.find_first_not_of("0123456789abcdef") == kHexDigits &&
         name.compare(kHexDigits, sizeof kSuffix - 1, kSuffix) == 0;
}

bool read_all(int file, void* to, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t count = ::read(file, static_cast<char*>(to) + done, size - done);
    if (count <= 0) return false;
    done += size_t(count);
  }
  return true;
}

bool write_all(int file, const void* from, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t count = ::write(file, static_cast<const char*>(from) + done, size - done);
    if (count <= 0) return false;
    done += size_t(count);
  }
  return true;
}

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

std::string BlobCache::name_of(Bytes key) {
  char name[kHexDigits + 1];
  std::snprintf(name, sizeof name, "%016llx%016llx", static_cast<unsigned long long>(hash(key, kStart)),
                static_cast<unsigned long long>(hash(key, kOtherStart)));
  return std::string(name) + kSuffix;
}

// Opens the folder. Drivers run what lies in it, so no other user may be able to put something there. Everything after
// this goes through the folder's descriptor, so that nobody can swap the folder.
Descriptor BlobCache::open_folder() const {
  Descriptor folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat status{};
  const bool is_own = folder && ::fstat(folder.number(), &status) == 0 && status.st_uid == ::geteuid() &&
                      (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  return is_own ? std::move(folder) : Descriptor();
}

std::vector<uint8_t> BlobCache::read(Bytes key) const {
  const Descriptor folder = open_folder();
  if (!folder) return {};
  const Descriptor file(
      ::openat(folder.number(), name_of(key).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  Header header, wanted;
  if (!file || ::fstat(file.number(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  if (!read_all(file.number(), &header, sizeof header)) return {};
  const bool is_ours = std::memcmp(header.magic, wanted.magic, sizeof header.magic) == 0 &&
                       header.key_bytes == key.size() && header.value_bytes <= most_bytes_ &&
                       uint64_t(status.st_size) == sizeof header + header.key_bytes + header.value_bytes;
  if (!is_ours) return {};
  std::vector<uint8_t> found_key(key.size()), value(header.value_bytes);
  const bool is_read = read_all(file.number(), found_key.data(), found_key.size()) &&
                       read_all(file.number(), value.data(), value.size());
  if (!is_read || !std::ranges::equal(found_key, key) || hash(value, kStart) != header.checksum) return {};
  // Marks the blob as used, so that it is not the next to be removed.
  ::futimens(file.number(), nullptr);
  return value;
}

void BlobCache::write(Bytes key, Bytes value) {
  // Only its owner may enter the folder.
  fs::create_directories(folder_.parent_path());
  ::mkdir(folder_.c_str(), S_IRWXU);
  const Descriptor folder = open_folder();
  if (!folder) return;
  // The name is unique among all caches of all processes, and an existing file is never opened.
  char own[80];
  std::snprintf(own, sizeof own, ".%ld.%08x.%d", long(::getpid()), std::random_device()(), written_++);
  const std::string name = name_of(key), unfinished = name + own;
  Descriptor file(::openat(folder.number(), unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                           S_IRUSR | S_IWUSR));
  if (!file) return;
  Header header;
  header.key_bytes = key.size();
  header.value_bytes = value.size();
  header.checksum = hash(value, kStart);
  const bool is_written = write_all(file.number(), &header, sizeof header) &&
                          write_all(file.number(), key.data(), key.size()) &&
                          write_all(file.number(), value.data(), value.size()) && file.close() == 0;
  if (is_written && ::renameat(folder.number(), unfinished.c_str(), folder.number(), name.c_str()) == 0)
    total_bytes_ += sizeof header + key.size() + value.size();
  else
    ::unlinkat(folder.number(), unfinished.c_str(), 0);
}

// Counts the bytes and removes old blobs. A file that vanishes meanwhile was removed by another process.
void BlobCache::trim() {
  struct Entry {
    std::string name;
    fs::file_time_type used;
    uint64_t bytes;
  };
  const Descriptor folder = open_folder();
  total_bytes_ = 0;
  if (!folder) return;
  std::vector<Entry> entries;
  std::error_code failure;
  for (const auto& item : fs::directory_iterator(folder_, failure)) {
    const std::string name = item.path().filename().string();
    std::error_code gone;
    if (!is_own_name(name) || item.symlink_status(gone).type() != fs::file_type::regular) continue;
    const Entry entry{name, item.last_write_time(gone), item.file_size(gone)};
    if (gone) continue;
    total_bytes_ += entry.bytes;
    entries.push_back(entry);
  }
  if (total_bytes_ <= most_bytes_) return;
  std::ranges::sort(entries, {}, &Entry::used);
  for (const Entry& entry : entries) {
    // Goes well below the limit, so that not every later store has to trim.
    if (total_bytes_ <= most_bytes_ / 4 * 3) break;
    if (::unlinkat(folder.number(), entry.name.c_str(), 0) == 0) total_bytes_ -= entry.bytes;
  }
}

}  // namespace kexa
