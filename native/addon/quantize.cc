#include "addon/quantize.h"

#include <sys/file.h>

#include <cerrno>
#include "addon/convert.h"
#include "addon/worker.h"
#include "base/thread_pool.h"
#include "cpu/matmul.h"
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
        from_type_(to_type(request.Get("fromType").ToString())),
        to_type_(to_type(request.Get("toType").ToString())),
        first_(to_count(request.Get("first"), "first")),
        threads_(to_int(request.Get("threads"), "threads")) {
    const auto from = request.Get("from").As<Napi::Uint8Array>();
    auto to = request.Get("to").As<Napi::Uint8Array>();
    from_ = reinterpret_cast<const std::byte*>(from.Data());
    to_ = reinterpret_cast<std::byte*>(to.Data());
    elements_ = int64_t(from.ByteLength()) / element_bytes(from_type_);
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
  Type from_type_, to_type_;
  int64_t first_;
  int threads_;
  const std::byte* from_;
  std::byte* to_;
  int64_t elements_ = 0;
  int columns_ = 1;
  std::vector<float> scales_;
  ScaleGrid grid_;
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
