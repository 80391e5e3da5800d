#include "files/mapped_file.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace kexa {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const InputFile file(path);
  if (file.bytes() <= 0) throw Error("KEXA_BAD_FILE", path + ": the file is empty");
  void* mapped = ::mmap(nullptr, size_t(file.bytes()), PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (mapped == MAP_FAILED) throw Error("KEXA_BAD_FILE", path + ": cannot be mapped: " + std::strerror(errno));
  data_ = static_cast<const std::byte*>(mapped);
  size_ = size_t(file.bytes());
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

WatchedFiles::WatchedFiles(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) files_.push_back({path, InputFile(path)});
}

void WatchedFiles::check() const {
  for (const Watched& watched : files_)
    if (const int64_t now = watched.file.bytes_now(); now < watched.file.bytes())
      throw Error("KEXA_BAD_FILE", watched.path + ": was cut short while the model was in use: wanted " +
                                       std::to_string(watched.file.bytes()) + " bytes, found " + std::to_string(now) +
                                       "; restore the file and load the model again");
}

LazyMemory::LazyMemory(size_t bytes, const char* what) {
  if (bytes == 0) return;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
  flags |= MAP_NORESERVE;
#endif
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (mapped == MAP_FAILED)
    throw Error("KEXA_OUT_OF_MEMORY",
                std::string(what) + ": wanted " + std::to_string(bytes) + " bytes, and the system refused them");
  data_ = static_cast<std::byte*>(mapped);
  size_ = bytes;
}

LazyMemory::~LazyMemory() {
  if (data_) ::munmap(data_, size_);
}

LazyMemory::LazyMemory(LazyMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

LazyMemory& LazyMemory::operator=(LazyMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace kexa
