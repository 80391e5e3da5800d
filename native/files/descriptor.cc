#include "files/descriptor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>
#include <utility>

#include "base/error.h"

namespace kexa {
namespace {

const char* kind_of(mode_t mode) {
  if (S_ISREG(mode)) return "a regular file";
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISLNK(mode)) return "a symbolic link";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISSOCK(mode)) return "a socket";
  return "something else";
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// No two files get the same name. The counter tells apart the threads of a process, the number tells apart processes,
// and random bits tell apart processes of one number (in containers that share a folder).
std::string part_name() {
  static std::atomic<uint32_t> counter{0};
  std::random_device random;
  char name[80];
  std::snprintf(name, sizeof name, ".kexa-%ld-%u-%08x%08x.part", long(::getpid()),
                counter.fetch_add(1, std::memory_order_relaxed), random(), random());
  return name;
}

}  // namespace

Descriptor::Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

int Descriptor::close() {
  const int number = std::exchange(number_, -1);
  return number >= 0 && ::close(number) != 0 ? errno : 0;
}

InputFile::InputFile(const std::string& path)
    // Without O_NONBLOCK, opening a FIFO waits until another program writes to it. For regular files the flag changes
    // nothing.
    : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {
  if (!descriptor_) throw Error("KEXA_NOT_FOUND", path + ": cannot be opened: " + std::strerror(errno));
  struct stat status{};
  if (::fstat(descriptor(), &status) != 0)
    throw Error("KEXA_BAD_FILE", path + ": its size cannot be read: " + std::strerror(errno));
  if (!S_ISREG(status.st_mode))
    throw Error("KEXA_BAD_FILE", path + ": wanted a regular file, found " + kind_of(status.st_mode));
  bytes_ = status.st_size;
}

int64_t InputFile::bytes_now() const {
  struct stat status{};
  return ::fstat(descriptor(), &status) == 0 ? int64_t(status.st_size) : 0;
}

bool InputFile::read(std::span<std::byte> to) {
  if (!read_at(at_, to)) return false;
  at_ += int64_t(to.size());
  return true;
}

bool InputFile::read_at(int64_t offset, std::span<std::byte> to) const {
  while (!to.empty()) {
    const ssize_t count = ::pread(descriptor(), to.data(), to.size(), off_t(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    to = to.subspan(size_t(count));
    offset += count;
  }
  return true;
}

OutputFile::OutputFile(std::string path) : path_(std::move(path)) {
  check_place();
  // A file that another program made under that name is never opened: with O_EXCL the name must be new, and even a link
  // counts.
  for (int attempt = 0; attempt < 8 && !descriptor_; ++attempt) {
    const std::string part = folder_of(path_) + "/" + part_name();
    descriptor_ = Descriptor(::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (descriptor_)
      part_ = part;
    else if (errno != EEXIST)
      break;
  }
  if (!descriptor_) fail(std::strerror(errno));
}

OutputFile::~OutputFile() {
  if (!part_.empty()) ::unlink(part_.c_str());
}

void OutputFile::fail(const std::string& why) const {
  throw Error("KEXA_WRITE_FAILED", path_ + ": cannot be written: " + why);
}

void OutputFile::check_place() const {
  struct stat status{};
  if (::lstat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    fail(std::string("wanted a regular file or none at that place, found ") + kind_of(status.st_mode));
}

void OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_.number(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(std::strerror(errno));
    bytes = bytes.subspan(size_t(count));
  }
}

void OutputFile::finish() {
  if (::fsync(descriptor_.number()) != 0) fail(std::strerror(errno));
  if (const int error = descriptor_.close()) fail(std::strerror(error));
  // Another program may have put something there in the meantime.
  check_place();
  if (std::rename(part_.c_str(), path_.c_str()) != 0) fail(std::strerror(errno));
  part_.clear();
  // The name survives a power failure only once the folder is on the disk. Some file systems cannot do that.
  const Descriptor folder(::open(folder_of(path_).c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
  if (folder) ::fsync(folder.number());
}

}  // namespace kexa
