#include "engine/session_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/checksum.h"
#include "base/error.h"
#include "engine/cache_rows.h"

namespace kexa {
namespace {

constexpr uint32_t kVersion = 2;
constexpr char kMagic[8] = {'k', 'e', 'x', 'a', 'K', 'V', '\r', '\n'};

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t row_bytes;
  uint64_t model;
  // "cpu", "gpu", or "mixed" of both kinds: they store rows differently. "cpu i16": they come of other activations
  char device[8];
  char cache_type[8];  // as in TypeFacts
  int32_t length, mtp_length, mtp_written, restored_at;
};
static_assert(sizeof(Header) == 56);

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// Removes the file unless it was renamed.
struct PartFile {
  std::string path;
  ~PartFile() {
    if (!path.empty()) ::unlink(path.c_str());
  }
};

template <size_t N>
void put_text(char (&to)[N], std::string_view text) {
  std::memset(to, 0, N);
  std::memcpy(to, text.data(), std::min(text.size(), N - 1));
}
template <size_t N>
std::string text_of(const char (&from)[N]) {
  return {from, strnlen(from, N)};
}

bool is_on_gpu(const PartOptions& part) { return !part.adapter.empty(); }

// For Header::device.
const char* kind_of_device(const PlanOptions& options) {
  if (options.is_rounding) return "cpu i16";
  const std::vector<PartOptions>& parts = options.parts;
  if (parts.empty()) return options.adapter.empty() ? "cpu" : "gpu";
  if (std::all_of(parts.begin(), parts.end(), is_on_gpu)) return "gpu";
  return std::any_of(parts.begin(), parts.end(), is_on_gpu) ? "mixed" : "cpu";
}

// Calls visit(layer, from, to) for each block of the file's rows, for sequences of `length` whose rings are as
// KvSlots::ring_reach() says.
template <typename Visit>
void each_block(const ModelDescription& description, const KvSlots& slots, int length, int reach, const Visit& visit) {
  for (int layer = 0; layer < description.layer_count(); ++layer)
    for (int from = description.layer(layer).window ? slots.ring_start(layer, reach) : 0; from < length;
         from += kPageRows)
      visit(layer, from, std::min(length, from + kPageRows));
}

}  // namespace

void SessionFile::save(int slot, const std::string& path) {
  PartFile part{path + ".part-" + std::to_string(::getpid())};
  const auto fail = [&] { throw Error("KEXA_WRITE_FAILED", path + ": cannot be written: " + std::strerror(errno)); };
  File file(std::fopen(part.path.c_str(), "wb"));
  if (!file) part.path.clear(), fail();
  Checksum sum;
  const auto write = [&](std::span<const std::byte> bytes) {
    sum.add(bytes);
    if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) fail();
  };
  const CachedSequence& sequence = slots.sequence(slot);
  const int length = int(sequence.ids.size());
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.row_bytes = uint32_t(device.cache_row_bytes());
  header.model = model;
  put_text(header.device, kind_of_device(plan.options));
  put_text(header.cache_type, type_name(plan.kv.type));
  header.length = length;
  header.mtp_length = std::min(sequence.mtp_length, length);
  header.mtp_written = std::min(sequence.mtp_written, length);
  header.restored_at = slots.ring_reach(slot);
  write(std::as_bytes(std::span(&header, 1)));
  write(std::as_bytes(std::span(sequence.ids)));
  std::vector<std::byte> block;
  each_block(description, slots, length, header.restored_at, [&](int layer, int from, int to) {
    if (cancelled.load(std::memory_order_relaxed)) throw Cancelled{};
    block.resize(size_t(2 * (to - from)) * header.row_bytes);
    read_positions(device, slots, layer, slot, from, to, block);
    write(block);
  });
  const uint64_t value = sum.value();
  write(std::as_bytes(std::span(&value, 1)));
  if (std::fflush(file.get()) != 0 || ::fsync(::fileno(file.get())) != 0) fail();
  file.reset();
  if (std::rename(part.path.c_str(), path.c_str()) != 0) fail();
  part.path.clear();
}

int SessionFile::load(uint64_t owner, const std::string& path) {
  File file(std::fopen(path.c_str(), "rb"));
  if (!file) throw Error("KEXA_NOT_FOUND", path + ": cannot be opened: " + std::strerror(errno));
  const auto damaged = [&](const std::string& what) { throw Error("KEXA_BAD_FILE", path + ": " + what); };
  Checksum sum;
  const auto read = [&](std::span<std::byte> bytes) {
    if (std::fread(bytes.data(), 1, bytes.size(), file.get()) != bytes.size())
      damaged("a saved session that is cut short, or cannot be read");
    sum.add(bytes);
  };
  if (std::fseek(file.get(), 0, SEEK_END) != 0) damaged("wanted a saved session, found no plain file");
  const int64_t found_bytes = std::ftell(file.get());
  std::rewind(file.get());
  Header header;
  read(std::as_writable_bytes(std::span(&header, 1)));
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) damaged("this is no saved session");
  const auto demand = [&](const char* what, const std::string& wanted, const std::string& found) {
    if (wanted != found)
      throw Error("KEXA_SESSION_MISMATCH", path + ": " + what + ": wanted " + wanted + ", found " + found);
  };
  demand("version of the file", std::to_string(kVersion), std::to_string(header.version));
  demand("device", kind_of_device(plan.options), text_of(header.device));
  demand("cacheType", std::string(type_name(plan.kv.type)), text_of(header.cache_type));
  demand("model (its shape, its weights and how they are held)", std::to_string(model), std::to_string(header.model));
  demand("bytes of a row", std::to_string(device.cache_row_bytes()), std::to_string(header.row_bytes));
  const int length = header.length;
  int64_t wanted_bytes = int64_t(sizeof header + sizeof(uint64_t)) + int64_t(length) * int64_t(sizeof(int));
  if (length > 0 && header.restored_at >= 0)
    each_block(description, slots, length, header.restored_at, [&](int, int from, int to) {
      wanted_bytes += 2 * int64_t(to - from) * header.row_bytes;
    });
  if (length < 1 || length > description.max_positions || wanted_bytes != found_bytes)
    damaged("a saved session that is damaged: wanted " + std::to_string(wanted_bytes) + " bytes, found " +
            std::to_string(found_bytes));

  const int slot = slots.acquire(owner).slot;
  try {
    CachedSequence sequence;
    sequence.ids.resize(size_t(length));
    read(std::as_writable_bytes(std::span(sequence.ids)));
    slots.reserve(slot, length);
    std::vector<std::byte> block;
    each_block(description, slots, length, header.restored_at, [&](int layer, int from, int to) {
      if (cancelled.load(std::memory_order_relaxed)) throw Cancelled{};
      block.resize(size_t(2 * (to - from)) * header.row_bytes);
      read(block);
      write_positions(device, slots, layer, slot, from, to, block);
    });
    const uint64_t found = sum.value();
    uint64_t wanted;
    read(std::as_writable_bytes(std::span(&wanted, 1)));
    if (found != wanted) damaged("a saved session that is damaged: its checksum is another");
    sequence.pages.assign(slots.pages(slot).begin(), slots.pages(slot).end());
    sequence.mtp_length = header.mtp_length;
    sequence.mtp_written = header.mtp_written;
    sequence.written = length;
    sequence.restored_at = header.restored_at;
    slots.restore(slot, sequence);
    return slot;
  } catch (...) {
    slots.rewind(slot, 0);
    throw;
  }
}

uint64_t model_fingerprint(const ModelDescription& description, const Plan& plan) {
  const PlanOptions& options = plan.options;
  constexpr size_t kTensors = 64, kBytes = 256;
  Checksum sum;
  for (int number : {description.vocab, description.hidden, description.heads, description.kv_heads,
                     description.head_dim, description.layer_count()})
    sum.add_value(number);
  sum.add_value(description.rope_theta);
  sum.add_value(description.norm_epsilon);
  for (int layer = 0; layer < description.layer_count(); ++layer) {
    sum.add_value(description.layer(layer).window);
    sum.add_value(description.layer(layer).ffn_width);
    sum.add_value(description.layer(layer).swiglu_limit);
  }
  // Which layers' rows are of which kind.
  if (kind_of_device(options) == std::string_view("mixed"))
    for (size_t i = 0; i < plan.parts.size(); ++i) {
      sum.add_value(int(is_on_gpu(options.parts[i])));
      sum.add_value(plan.parts[i].layers);
    }
  sum.add_value(options.weight_type ? int(*options.weight_type) : -1);
  const size_t step = std::max<size_t>(1, description.tensors.size() / kTensors);
  for (size_t i = 0; i < description.tensors.size(); ++i) {
    const TensorEntry& tensor = description.tensors[i];
    sum.add(std::as_bytes(std::span(tensor.name)));
    sum.add_value(int(tensor.type));
    sum.add_value(tensor.held ? int(*tensor.held) : -1);
    if (i % step != 0) continue;
    const std::string& path = description.files[size_t(tensor.file)];
    File file(std::fopen(path.c_str(), "rb"));
    std::byte bytes[kBytes];
    const size_t size = size_t(std::min<int64_t>(kBytes, tensor.bytes));
    if (!file || std::fseek(file.get(), long(tensor.offset + (tensor.bytes - int64_t(size)) / 2), SEEK_SET) != 0 ||
        std::fread(bytes, 1, size, file.get()) != size)
      throw Error("KEXA_BAD_FILE", path + ": cannot be read: " + std::strerror(errno));
    sum.add(std::span(bytes, size));
  }
  return sum.value();
}

}  // namespace kexa
