#include "engine/session_file.h"

#include <algorithm>
#include <cstring>

#include "base/checksum.h"
#include "base/error.h"
#include "engine/cache_rows.h"
#include "files/descriptor.h"

namespace kexa {
namespace {

constexpr uint32_t kVersion = 3;
constexpr char kMagic[8] = {'k', 'e', 'x', 'a', 'K', 'V', '\r', '\n'};

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t row_bytes;
  uint64_t model;
  // "cpu", "gpu" or "mixed", because they store rows differently. "cpu i16": its rows come from rounded activations.
  char device[8];
  char cache_type[8];  // as TypeFacts spells it
  int32_t length, mtp_length, mtp_written, restored_at;
};
static_assert(sizeof(Header) == 56);

template <size_t N>
void put_text(char (&to)[N], std::string_view text) {
  std::memset(to, 0, N);
  std::memcpy(to, text.data(), std::min(text.size(), N - 1));
}
template <size_t N>
std::string text_of(const char (&from)[N]) {
  return {from, strnlen(from, N)};
}

// A block has `rows` rows of keys and then `rows` rows of values. Fills both with zeros from row `from` on. The MTP
// layer has rows there that this session never wrote: they hold another session's data.
void clear_rows(std::span<std::byte> block, int from, int rows) {
  const int first = std::clamp(from, 0, rows);
  const size_t row_bytes = block.size() / size_t(2 * rows), count = size_t(rows - first) * row_bytes;
  std::fill_n(block.begin() + std::ptrdiff_t(size_t(first) * row_bytes), count, std::byte{0});
  std::fill_n(block.begin() + std::ptrdiff_t(size_t(rows + first) * row_bytes), count, std::byte{0});
}

bool is_on_gpu(const PartOptions& part) { return !part.adapter.empty(); }

// The text for Header::device.
const char* kind_of_device(const PlanOptions& options) {
  const std::vector<PartOptions>& parts = options.parts;
  const bool is_rounding = options.is_rounding;
  const bool is_all = parts.empty() ? !options.adapter.empty() : std::all_of(parts.begin(), parts.end(), is_on_gpu);
  if (is_all) return is_rounding ? "gpu i16" : "gpu";
  if (std::any_of(parts.begin(), parts.end(), is_on_gpu)) return is_rounding ? "mixed i16" : "mixed";
  return is_rounding ? "cpu i16" : "cpu";
}

// The first position of a layer that a file has. `reach` is KvSlots::ring_reach() of the sequence.
int first_position(const ModelDescription& description, const KvSlots& slots, int layer, int reach) {
  return description.layer(layer).window ? slots.ring_start(layer, reach) : 0;
}

// Calls visit(layer, from, to) for each block of the file's rows.
template <typename Visit>
void each_block(const ModelDescription& description, const KvSlots& slots, int length, int reach,
                const std::atomic<bool>& cancelled, const Visit& visit) {
  for (int layer = 0; layer < description.layer_count(); ++layer)
    for (int64_t from = first_position(description, slots, layer, reach); from < length; from += kPageRows) {
      if (cancelled.load(std::memory_order_relaxed)) throw Cancelled{};
      visit(layer, int(from), int(std::min<int64_t>(length, from + kPageRows)));
    }
}

// Bytes of a whole file.
int64_t file_bytes(const ModelDescription& description, const KvSlots& slots, const Header& header) {
  int64_t rows = 0;
  for (int layer = 0; layer < description.layer_count(); ++layer)
    rows += std::max(0, header.length - first_position(description, slots, layer, header.restored_at));
  return int64_t(sizeof header + sizeof(uint64_t)) + int64_t(header.length) * int64_t(sizeof(int)) +
         2 * rows * int64_t(header.row_bytes);
}

// Says why no session can have such numbers; empty if one can. A file's sender may have written anything. With numbers
// that pass, the file brings every row that a later step reads.
std::string fault_of(const Header& header, const ModelDescription& description, const KvSlots& slots) {
  const auto check = [](const char* what, int64_t least, int64_t most, int64_t found) {
    if (found >= least && found <= most) return std::string();
    return std::string(what) + ": wanted " + std::to_string(least) + " to " + std::to_string(most) + ", found " +
           std::to_string(found);
  };
  const int length = header.length;
  if (auto fault = check("tokens", 1, description.max_positions, length); !fault.empty()) return fault;
  if (auto fault = check("rows that drafting has written", 0, description.mtp ? length : 0, header.mtp_written);
      !fault.empty())
    return fault;
  if (auto fault = check("rows that drafting holds", 0, header.mtp_written, header.mtp_length); !fault.empty())
    return fault;
  if (auto fault = check("reach of the sliding layers", 0, description.max_positions, header.restored_at);
      !fault.empty())
    return fault;
  CachedSequence sequence;
  sequence.written = length;
  sequence.restored_at = header.restored_at;
  if (!slots.can_go_back_to(sequence, length))
    return "reach of the sliding layers: " + std::to_string(header.restored_at) +
           " leaves out rows of the window before " + std::to_string(length) + " tokens";
  return {};
}

// Adds a description to a sum: the fields of a structure by its one list, a list by its length and values.
class DescriptionSum {
 public:
  explicit DescriptionSum(Checksum& sum) : sum_(sum) {}

  template <typename T>
  void add(const T& value) const {
    if constexpr (requires { T::every_field_is_listed(value); }) {
      value.visit_fields([this](std::string_view, const auto& field) { add(field); });
    } else {
      static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
      sum_.add_value(value);
    }
  }
  template <typename T>
  void add(const std::optional<T>& value) const {
    sum_.add_value(value.has_value());
    if (value) add(*value);
  }
  template <typename T>
  void add(const std::vector<T>& values) const {
    sum_.add_value(values.size());
    for (const T& value : values) add(value);
  }
  // The same model may lie in another folder, or be cut into other files. Its tensors are model_fingerprint()'s to add.
  void add(const std::vector<std::string>&) const {}
  void add(const std::vector<TensorEntry>&) const {}

 private:
  Checksum& sum_;
};

}  // namespace

void SessionFile::save(int slot, const std::string& path) {
  OutputFile file(path);
  Checksum sum;
  const auto write = [&](std::span<const std::byte> bytes) {
    sum.add(bytes);
    file.write(bytes);
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
  header.mtp_written = std::min(sequence.mtp_written, length);
  header.mtp_length = std::min(sequence.mtp_length, header.mtp_written);
  header.restored_at = slots.ring_reach(slot);
  write(std::as_bytes(std::span(&header, 1)));
  write(std::as_bytes(std::span(sequence.ids)));
  std::vector<std::byte> block;
  const int mtp_layer = description.mtp ? description.layer_count() - 1 : -1;
  each_block(description, slots, length, header.restored_at, cancelled, [&](int layer, int from, int to) {
    block.resize(size_t(2 * (to - from)) * header.row_bytes);
    read_positions(device, slots, {layer, slot, from, to}, block);
    if (layer == mtp_layer) clear_rows(block, header.mtp_written - from, to - from);
    write(block);
  });
  const uint64_t value = sum.value();
  write(std::as_bytes(std::span(&value, 1)));
  file.finish();
}

int SessionFile::load(uint64_t owner, const std::string& path) {
  InputFile file(path);
  const auto damaged = [&](const std::string& what) { throw Error("KEXA_BAD_FILE", path + ": " + what); };
  Checksum sum;
  const auto read = [&](std::span<std::byte> bytes) {
    if (!file.read(bytes)) damaged("a saved session that is cut short, or cannot be read");
    sum.add(bytes);
  };
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
  if (const std::string fault = fault_of(header, description, slots); !fault.empty())
    damaged("a saved session that is damaged: " + fault);
  const int length = header.length;
  if (const int64_t wanted = file_bytes(description, slots, header); wanted != file.bytes())
    damaged("a saved session that is damaged: wanted " + std::to_string(wanted) + " bytes, found " +
            std::to_string(file.bytes()));

  const int slot = slots.acquire(owner).slot;
  try {
    CachedSequence sequence;
    sequence.ids.resize(size_t(length));
    read(std::as_writable_bytes(std::span(sequence.ids)));
    for (int id : sequence.ids)
      if (id < 0 || id >= description.vocab_size)
        damaged("a saved session that is damaged: token " + std::to_string(id) + ", wanted one of 0 to " +
                std::to_string(description.vocab_size - 1));
    slots.reserve(slot, length);
    std::vector<std::byte> block;
    each_block(description, slots, length, header.restored_at, cancelled, [&](int layer, int from, int to) {
      block.resize(size_t(2 * (to - from)) * header.row_bytes);
      read(block);
      write_positions(device, slots, {layer, slot, from, to}, block);
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
  DescriptionSum(sum).add(description);
  // Adds which layers' rows are stored by which kind of device.
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
    if (i % step != 0 || description.is_synthetic()) continue;
    const std::string& path = description.files[size_t(tensor.file)];
    std::byte bytes[kBytes];
    const size_t size = size_t(std::min<int64_t>(kBytes, tensor.file_bytes()));
    if (!InputFile(path).read_at(tensor.offset + (tensor.file_bytes() - int64_t(size)) / 2, std::span(bytes, size)))
      throw Error("KEXA_BAD_FILE", path + ": cannot be read where " + tensor.name + " should be");
    sum.add(std::span(bytes, size));
  }
  return sum.value();
}

}  // namespace kexa
