#include "model/weights.h"

#include <algorithm>
#include <thread>
#include <unordered_map>

#include "base/error.h"
#include "model/open_packed.h"
#include "model/store_rows.h"
#include "model/synthetic.h"

namespace kexa {
namespace {

constexpr int64_t kPage = 4096;
constexpr int64_t kReportEvery = 16 << 20;

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace

struct Weights::Binder {
  const ModelDescription& description;
  Weights& weights;
  std::optional<Type> type;
  ConversionPlace conversion;
  ThreadPool& pool;  // for conversions
  const LoadProgress& progress;
  std::unordered_map<std::string_view, const TensorEntry*> entries;
  int64_t done_bytes = 0, total_bytes = 0, reported_bytes = 0;

  void report(int64_t more) {
    done_bytes += more;
    if (done_bytes - reported_bytes < kReportEvery && done_bytes != total_bytes) return;
    reported_bytes = done_bytes;
    progress(done_bytes, total_bytes);
  }

  const std::byte* find(const std::string& name, const std::vector<int64_t>& shape, const TensorEntry** found) {
    const auto at = entries.find(name);
    if (at == entries.end())
      throw Error("KEXA_TENSOR_MISMATCH", name + ": wanted " + shape_text(shape) + ", found no such tensor");
    const TensorEntry& entry = *at->second;
    int64_t elements = 1;
    for (int64_t size : shape) elements *= size;
    if (entry.shape != shape || shape.back() % facts_of(entry.type).block_elements != 0 ||
        entry.bytes != bytes_of(entry.type, elements))
      throw Error("KEXA_TENSOR_MISMATCH", name + ": wanted " + shape_text(shape) + ", found " +
                                              shape_text(entry.shape) + " in " + std::to_string(entry.bytes) +
                                              " bytes");
    *found = &entry;
    if (description.is_synthetic()) return nullptr;
    return bytes_at(name, entry.file, entry.offset, entry.file_bytes());
  }

  const std::byte* bytes_at(const std::string& name, int index, int64_t offset, int64_t bytes) {
    if (index < 0 || index >= int(weights.files_.size()))
      throw Error("KEXA_BAD_FILE", name + ": file index " + std::to_string(index) + " is not in the list");
    const MappedFile& file = weights.files_[index];
    const int64_t size = int64_t(file.bytes().size());
    if (offset < 0 || offset > size || bytes < 0 || bytes > size - offset)
      throw Error("KEXA_BAD_FILE", name + ": wanted " + std::to_string(bytes) + " bytes from " +
                                       std::to_string(offset) + " on, found " + std::to_string(size) + " bytes\n  in " +
                                       file.path());
    return file.bytes().data() + offset;
  }

  std::vector<float> vector(const std::string& name, int size) {
    const TensorEntry* entry;
    const std::byte* data = find(name, {size}, &entry);
    std::vector<float> values(size);
    if (data)
      read_values(data, entry->type, size, values.data());
    else if (!name.ends_with("router_bias"))
      values.assign(size, 1.0f);
    report(entry->bytes);
    return values;
  }

  Matrix matrix(const std::string& name, int rows, int columns) {
    const TensorEntry* entry;
    const std::byte* data = find(name, {rows, columns}, &entry);
    Matrix bound{.data = data,
                 .type = entry->type,
                 .rows = rows,
                 .columns = columns,
                 .scales = {},
                 .packed = entry->packed ? packed_matrix(*entry, data) : nullptr,
                 .seed = 0,
                 .held = {},
                 .name = entry->name};
    const bool is_made_here = conversion == ConversionPlace::kHere ||
                              (conversion == ConversionPlace::kExpertsHere && entry->is_routed_expert());
    if (!data) {
      bound.seed = synthetic_seed(name);
      if (is_made_here) make(bound);
      report(entry->bytes);
      return bound;
    }
    const std::optional<Type> wanted = entry->held ? entry->held : type;
    const bool is_converted = wanted && *wanted != entry->type, is_stored_anew = is_converted || bound.packed;
    std::vector<float> scales;
    if (entry->type == Type::kF8E4m3) bound.scales = read_scale_grid(*entry, scales);
    if (is_stored_anew && is_made_here)
      bound = store(bound, wanted.value_or(entry->type));
    else if (!scales.empty())
      weights.scales_.push_back(std::move(scales));
    if (is_converted && !is_made_here) bound.held = wanted;
    report(entry->bytes);
    return bound;
  }

  // Reads the scales into `values`. The grid points to them, even after `values` is moved.
  ScaleGrid read_scale_grid(const TensorEntry& entry, std::vector<float>& values) {
    if (!entry.scales) throw Error("KEXA_TENSOR_MISMATCH", entry.name + ": f8_e4m3 without scales");
    const ScaleEntry& scales = *entry.scales;
    const int64_t columns = scales.grid_columns(entry.shape[1]), count = scales.grid_rows(entry.shape[0]) * columns;
    const std::byte* data = bytes_at(scales.name, scales.file, scales.offset, bytes_of(scales.type, count));
    values = read_scales(data, scales.type, count, scales.name, weights.files_[scales.file].path());
    return {.values = values.data(),
            .columns = int(columns),
            .block_rows = scales.block_rows,
            .block_columns = scales.block_columns,
            .skipped_rows = scales.skipped_rows};
  }

  // The matrix of an entry whose codes begin at `codes`. Null if there are no files.
  const PackedMatrix* packed_matrix(const TensorEntry& entry, const std::byte* codes) {
    if (!codes) return nullptr;
    weights.packed_.push_back(
        std::make_unique<PackedMatrix>(open_packed(entry, codes, [&](const PackedPlace& place, int64_t bytes) {
          return PackedMatrix::Place{.data = bytes_at(place.name, place.file, place.offset, bytes),
                                     .name = place.name,
                                     .path = weights.files_[size_t(place.file)].path()};
        })));
    return weights.packed_.back().get();
  }

  void make(Matrix& matrix) {
    const int64_t row_bytes = bytes_of(matrix.type, matrix.columns);
    auto memory = std::make_unique_for_overwrite<std::byte[]>(size_t(matrix.rows * row_bytes));
    pool.run(matrix.rows, [&](int row, int) {
      make_synthetic_row(matrix.type, matrix.seed, row, matrix.columns, memory.get() + row * row_bytes);
    });
    matrix.data = memory.get();
    weights.stored_.push_back(std::move(memory));
  }

  Matrix store(const Matrix& from, Type type) {
    const int64_t row_bytes = bytes_of(type, from.columns);
    auto memory = std::make_unique_for_overwrite<std::byte[]>(size_t(from.rows * row_bytes));
    each_rows(pool, from, 0, from.rows,
              [&](int first, int count) { store_rows(from, first, count, type, memory.get() + first * row_bytes); });
    Matrix to = from;
    to.data = memory.get(), to.type = type, to.scales = {}, to.packed = nullptr;
    weights.stored_.push_back(std::move(memory));
    return to;
  }

  FfnWeights ffn(const std::string& prefix, int width) {
    const int hidden = description.hidden_size;
    return {matrix(prefix + "gate", width, hidden), matrix(prefix + "up", width, hidden),
            matrix(prefix + "down", hidden, width)};
  }

  LayerWeights layer(const std::string& prefix, const LayerDescription& layer) {
    const int hidden = description.hidden_size, q_width = description.q_width(), kv_width = description.kv_width();
    LayerWeights bound;
    bound.attention_norm = vector(prefix + "attention_norm", hidden);
    bound.ffn_norm = vector(prefix + "ffn_norm", hidden);
    bound.q = matrix(prefix + "q", q_width, hidden);
    bound.k = matrix(prefix + "k", kv_width, hidden);
    bound.v = matrix(prefix + "v", kv_width, hidden);
    bound.o = matrix(prefix + "o", hidden, q_width);
    if (description.qk_norm) {
      bound.q_norm = vector(prefix + "q_norm", description.head_dim);
      bound.k_norm = vector(prefix + "k_norm", description.head_dim);
    }
    if (!layer.is_moe()) {
      bound.dense = ffn(prefix, layer.ffn_width);
      return bound;
    }
    const MoeDescription& moe = *description.moe;
    bound.router = matrix(prefix + "router", moe.experts, hidden);
    bound.router_bias = vector(prefix + "router_bias", moe.experts);
    for (int e = 0; e < moe.experts; ++e)
      bound.experts.push_back(ffn(prefix + "experts." + std::to_string(e) + ".", layer.ffn_width));
    if (moe.shared_experts) bound.shared = ffn(prefix + "shared.", moe.shared_experts * layer.ffn_width);
    return bound;
  }

  // Reads one byte of each page, which brings the file into the page cache in order, as fast as the disk allows.
  void warm() {
    volatile unsigned char sink = 0;
    for (const MappedFile& file : weights.files_) {
      const auto bytes = file.bytes();
      for (int64_t start = 0; start < int64_t(bytes.size()); start += kReportEvery) {
        const int64_t end = std::min<int64_t>(start + kReportEvery, int64_t(bytes.size()));
        for (int64_t at = start; at < end; at += kPage) sink = sink ^ static_cast<unsigned char>(bytes[at]);
        report(end - start);
      }
    }
  }
};

Weights::Weights(const ModelDescription& description, std::optional<Type> type, ConversionPlace conversion,
                 int64_t warm_limit, const LoadProgress& progress) {
  const LoadProgress silent = [](int64_t, int64_t) {};
  int64_t file_bytes = 0, tensor_bytes = 0;
  for (const std::string& path : description.files) {
    files_.emplace_back(path);
    file_bytes += int64_t(files_.back().bytes().size());
  }
  for (const TensorEntry& entry : description.tensors) tensor_bytes += entry.bytes;

  const bool is_stored_anew = type || std::any_of(description.tensors.begin(), description.tensors.end(),
                                                  [](const TensorEntry& entry) { return entry.held || entry.packed; });
  const bool is_synthetic = description.is_synthetic(), is_made = is_stored_anew || is_synthetic;
  const bool is_warming = !is_made && file_bytes <= warm_limit;
  const bool is_making = is_made && conversion == ConversionPlace::kHere;
  ThreadPool pool(
      is_made && conversion != ConversionPlace::kOnDevice ? int(std::max(1u, std::thread::hardware_concurrency())) : 1);
  Binder binder{.description = description,
                .weights = *this,
                .type = type,
                .conversion = conversion,
                .pool = pool,
                // Reading ahead and later conversion report their own progress.
                .progress = is_warming || (is_made && !is_making) ? silent : progress,
                .entries = {}};
  binder.total_bytes = tensor_bytes;
  for (const TensorEntry& entry : description.tensors) binder.entries.emplace(entry.name, &entry);

  if (description.needs_embed()) embed = binder.matrix("embed", description.vocab_size, description.hidden_size);
  if (description.part.has_end) {
    head = description.tied_head ? embed : binder.matrix("head", description.vocab_size, description.hidden_size);
    norm = binder.vector("norm", description.hidden_size);
  }
  for (size_t i = 0; i < description.layers.size(); ++i)
    layers.push_back(
        binder.layer("layers." + std::to_string(description.part.first_layer + int(i)) + ".", description.layers[i]));
  if (description.mtp) {
    mtp.embedding_norm = binder.vector("mtp.embedding_norm", description.hidden_size);
    mtp.hidden_norm = binder.vector("mtp.hidden_norm", description.hidden_size);
    mtp.fc = binder.matrix("mtp.fc", description.hidden_size, 2 * description.hidden_size);
    mtp.norm = binder.vector("mtp.norm", description.hidden_size);
    layers.push_back(binder.layer("mtp.layer.", *description.mtp));
  }
  if (is_warming) {
    Binder warmer{.description = description,
                  .weights = *this,
                  .type = {},
                  .conversion = conversion,
                  .pool = pool,
                  .progress = progress,
                  .entries = {}};
    warmer.total_bytes = file_bytes;
    warmer.warm();
  }
}

}  // namespace kexa
