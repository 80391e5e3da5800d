// A file mapped read-only.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "files/descriptor.h"

namespace kexa {

// The mapping is valid while the object lives. If another program cuts the file short meanwhile, reading past the new
// end kills the process (SIGBUS), as with any mapped file: see WatchedFiles.
class MappedFile {
 public:
  // Throws KEXA_NOT_FOUND, or KEXA_BAD_FILE if it is no regular file, is empty or cannot be mapped.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Tells whether mapped files are still as large as when they were opened. A look before each step catches a file that
// was cut short between two steps. A file that is cut in the middle of a step can still end the process.
class WatchedFiles {
 public:
  WatchedFiles() = default;
  // Throws as InputFile does.
  explicit WatchedFiles(const std::vector<std::string>& paths);

  // Throws KEXA_BAD_FILE, naming the file.
  void check() const;

 private:
  struct Watched {
    std::string path;
    InputFile file;
  };
  std::vector<Watched> files_;
};

// Zeroed memory whose pages take no room until they are first written. A cache that is planned for a full context
// therefore costs only what a sequence has used.
class LazyMemory {
 public:
  LazyMemory() = default;
  // Throws KEXA_OUT_OF_MEMORY, naming `what`.
  LazyMemory(size_t bytes, const char* what);
  ~LazyMemory();
  LazyMemory(LazyMemory&& other) noexcept;
  LazyMemory& operator=(LazyMemory&& other) noexcept;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace kexa
