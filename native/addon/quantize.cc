#include "addon/quantize.h"

#include <sys/file.h>

#include <cerrno>
#include <map>

#include "addon/convert.h"
#include "addon/worker.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "cpu/matmul.h"
#include "files/mapped_file.h"
#include "model/open_packed.h"
#include "quant/fp8.h"
#include "quant/quantize.h"

namespace kexa {
namespace {

// Elements that a thread takes at a time: enough to be worth it, and a multiple of every type's block.
constexpr int kPiece = 16384;

class Quantize final : public Worker {
 public:
  Quantize(const Napi::Object& request)
      : Worker(request.Env(), "kexa.quantize"),
        request_(Napi::Persistent(request)),  // keeps the arrays alive
        to_type_(to_type(request.Get("toType").ToString())),
        first_(to_count(request.Get("first"), "first")),
        threads_(to_int(request.Get("threads"), "threads")) {
    auto to = request.Get("to").As<Napi::Uint8Array>();
    to_ = reinterpret_cast<std::byte*>(to.Data());
    if (request.Has("packed")) {
      take_packed(request.Get("packed").As<Napi::Object>(), int64_t(to.ByteLength()));
    } else {
      const auto from = request.Get("from").As<Napi::Uint8Array>();
      from_type_ = to_type(request.Get("fromType").ToString());
      from_ = reinterpret_cast<const std::byte*>(from.Data());
      elements_ = int64_t(from.ByteLength()) / element_bytes(from_type_);
    }
    if (elements_ % facts_of(to_type_).block_elements != 0 || int64_t(to.ByteLength()) != bytes_of(to_type_, elements_))
      throw Napi::RangeError::New(request.Env(), "quantize: the arrays do not fit each other");
    if (from_type_ == Type::kF8E4m3) take_scales(request.Get("scales").As<Napi::Object>());
  }

 private:
  void take_scales(const Napi::Object& from) {
    const auto stored = from.Get("stored").As<Napi::Uint8Array>();
    const Type type = to_type(from.Get("type").ToString());
    scales_ = read_scales(reinterpret_cast<const std::byte*>(stored.Data()), type,
                          int64_t(stored.ByteLength()) / element_bytes(type), from.Get("name").ToString(),
                          from.Get("path").ToString());
    columns_ = to_int(from.Get("columns"), "columns");
    grid_ = {.values = scales_.data(),
             .columns = to_int(from.Get("gridColumns"), "gridColumns"),
             .block_rows = to_int(from.Get("blockRows"), "blockRows"),
             .block_columns = to_int(from.Get("blockColumns"), "blockColumns"),
             .skipped_rows = to_int(from.Get("skippedRows"), "skippedRows")};
  }

  // Whole rows of a packed matrix, as many as the result has room for.
  void take_packed(const Napi::Object& from, int64_t to_bytes) {
    packed_ = to_tensor(from.Get("tensor").As<Napi::Object>());
    const auto paths = from.Get("paths").As<Napi::Array>();
    for (uint32_t i = 0; i < paths.Length(); ++i) paths_.push_back(paths.Get(i).ToString());
    columns_ = int(packed_->shape[1]);
    const TypeFacts& facts = facts_of(to_type_);
    elements_ = to_bytes / facts.block_bytes * facts.block_elements;
    if (first_ % columns_ != 0 || elements_ % columns_ != 0)
      throw Napi::RangeError::New(from.Env(), "quantize: wanted whole rows of a packed matrix");
  }

  void quantize_packed() const {
    std::map<int, MappedFile> files;
    const auto find = [&](const PackedPlace& place, int64_t bytes) {
      const MappedFile& file = files.try_emplace(place.file, paths_.at(size_t(place.file))).first->second;
      if (place.offset + bytes > int64_t(file.bytes().size()))
        throw Error("KEXA_BAD_FILE", file.path() + ": was cut short while it was read");
      return PackedMatrix::Place{file.bytes().data() + place.offset, place.name, file.path()};
    };
    const PackedPlace codes{packed_->name, packed_->file, packed_->offset};
    const PackedMatrix matrix = open_packed(*packed_, find(codes, packed_->packed->code_bytes).data, find);
    const int first = int(first_ / columns_), rows = int(elements_ / columns_);
    const int strips = (rows + kPackedStrip - 1) / kPackedStrip;
    ThreadPool pool(std::min(threads_, strips));
    pool.run(strips, [&](int strip, int) {
      const int start = strip * kPackedStrip, count = std::min(kPackedStrip, rows - start);
      const int64_t at = int64_t(start) * columns_;
      std::vector<float> values(size_t(count) * size_t(columns_));
      read_packed_rows(matrix, first + start, count, values.data());
      quantize(to_type_, values.data(), count * columns_, to_ + bytes_of(to_type_, at), first_ + at);
    });
  }

  // Reads `count` elements of an FP8 matrix, from element `first` on.
  void read_rows(const std::byte* from, int64_t first, int count, float* out) const {
    for (int i = 0; i < count;) {
      const int row = int((first + i) / columns_), column = int((first + i) % columns_);
      const int n = std::min(columns_ - column, count - i);
      read_fp8(from + i, grid_.row(row), grid_.block_columns, column, n, out + i);
      i += n;
    }
  }

  void work() override {
    if (packed_) return quantize_packed();
    const int64_t pieces = (elements_ + kPiece - 1) / kPiece;
    ThreadPool pool(int(std::min<int64_t>(threads_, std::max<int64_t>(pieces, 1))));
    pool.run(int(pieces), [&](int piece, int) {
      const int64_t start = int64_t(piece) * kPiece;
      const int count = int(std::min<int64_t>(kPiece, elements_ - start));
      std::vector<float> values(count);
      const std::byte* from = from_ + start * element_bytes(from_type_);
      if (from_type_ == Type::kF8E4m3)
        read_rows(from, first_ + start, count, values.data());
      else
        read_elements(from, from_type_, count, values.data());
      quantize(to_type_, values.data(), count, to_ + bytes_of(to_type_, start), first_ + start);
    });
  }
  Napi::Value result() override { return Env().Undefined(); }

  Napi::ObjectReference request_;
  Type from_type_ = Type::kF32, to_type_;
  int64_t first_;
  int threads_;
  const std::byte* from_ = nullptr;
  std::byte* to_ = nullptr;
  int64_t elements_ = 0;
  int columns_ = 1;
  std::vector<float> scales_;
  ScaleGrid grid_;
  std::optional<TensorEntry> packed_;
  std::vector<std::string> paths_;
};

}  // namespace

Napi::Value quantize_values(const Napi::CallbackInfo& info) {
  return Worker::start(std::make_unique<Quantize>(info[0].As<Napi::Object>()));
}

Napi::Value lock_file(const Napi::CallbackInfo& info) {
  int result;
  do result = ::flock(info[0].ToNumber().Int32Value(), LOCK_EX | LOCK_NB);
  while (result != 0 && errno == EINTR);
  return Napi::Boolean::New(info.Env(), result == 0 || errno != EWOULDBLOCK);
}

}  // namespace kexa
