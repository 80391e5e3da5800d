// Files by their descriptors: opened so that opening never waits, and written so that they are whole or not there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace kexa {

// Closes what it holds. Every descriptor of kexa's is closed in programs that the process starts (O_CLOEXEC).
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;

  int number() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }
  // Returns 0, or errno of the close.
  int close();

 private:
  int number_ = -1;
};

// A regular file, open for reading.
class InputFile {
 public:
  // Throws KEXA_NOT_FOUND if it cannot be opened, and KEXA_BAD_FILE if it is a folder, a FIFO, a device or the like: to
  // open a FIFO or to read a device could wait for ever.
  explicit InputFile(const std::string& path);

  int descriptor() const { return descriptor_.number(); }
  // When it was opened.
  int64_t bytes() const { return bytes_; }
  // Now; 0 if it cannot be told.
  int64_t bytes_now() const;

  // Reads the next bytes. Returns whether there were as many.
  bool read(std::span<std::byte> to);
  // Reads bytes from `offset` on. Returns whether there were as many.
  bool read_at(int64_t offset, std::span<std::byte> to) const;

 private:
  Descriptor descriptor_;
  int64_t bytes_ = 0, at_ = 0;
};

// A file that takes the place of `path` once it is whole. Until then it stands beside it under a name that nobody else
// has, and is removed if it is never finished. What stood at `path` is kept until then.
class OutputFile {
 public:
  // Throws KEXA_WRITE_FAILED if the folder cannot be written to, or if `path` is there and is no regular file: a
  // device, a FIFO, a symbolic link and a folder are never replaced.
  explicit OutputFile(std::string path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;

  // Throws KEXA_WRITE_FAILED.
  void write(std::span<const std::byte> bytes);
  // Brings it to the disk and gives it its name. Throws KEXA_WRITE_FAILED.
  void finish();

 private:
  void check_place() const;
  [[noreturn]] void fail(const std::string& why) const;

  const std::string path_;
  std::string part_;  // its name until it is finished; empty: none
  Descriptor descriptor_;
};

}  // namespace kexa
