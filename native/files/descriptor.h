// Files by their descriptors. Opening never waits, and a written file is either whole or not there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace kexa {

// Closes its descriptor. None of kexa's descriptors stays open in programs that the process starts (O_CLOEXEC).
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;

  int number() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }
  // Returns 0, or the errno of the close.
  int close();

 private:
  int number_ = -1;
};

// A regular file, open for reading.
class InputFile {
 public:
  // Throws KEXA_NOT_FOUND if the file cannot be opened, and KEXA_BAD_FILE if it is a folder, a FIFO, a device or the
  // like: opening a FIFO or reading a device could wait for ever.
  explicit InputFile(const std::string& path);

  int descriptor() const { return descriptor_.number(); }
  // The size when it was opened.
  int64_t bytes() const { return bytes_; }
  // The size now. 0 if it cannot be told.
  int64_t bytes_now() const;

  // Reads the next bytes. Returns false if the file ends before `to` is full.
  bool read(std::span<std::byte> to);
  // Reads the bytes from `offset` on. Returns false if the file ends before `to` is full.
  bool read_at(int64_t offset, std::span<std::byte> to) const;

 private:
  Descriptor descriptor_;
  int64_t bytes_ = 0, at_ = 0;
};

// A file that replaces the one at `path` once it is whole. Until then it stands in the same folder under a name that no
// other program has, and the file at `path` stays. It is removed if it is never finished.
class OutputFile {
 public:
  // Throws KEXA_WRITE_FAILED if the folder cannot be written to, or if `path` exists and is no regular file: a device,
  // a FIFO, a symbolic link and a folder are never replaced.
  explicit OutputFile(std::string path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;

  // Throws KEXA_WRITE_FAILED.
  void write(std::span<const std::byte> bytes);
  // Brings the file to the disk and gives it its name. Throws KEXA_WRITE_FAILED.
  void finish();

 private:
  void check_place() const;
  [[noreturn]] void fail(const std::string& why) const;

  const std::string path_;
  std::string part_;  // its name until it is finished; empty if there is none
  Descriptor descriptor_;
};

}  // namespace kexa
