#include "kernels/buffers/gpu_weights.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "gpu/upload.h"
#include "kernels/buffers/gpu_rows.h"
#include "kernels/source/kernel_source.h"
#include "kernels/source/quantized_layout.h"
#include "model/synthetic.h"

namespace kexa {
namespace {

// Storage buffers of swiglu_input_tiled beside its weights. No kernel that reads experts has more.
constexpr int kBuffersBesideExperts = 6;

// Bytes that are converted at a time, when a matrix is converted on its way to the GPU.
constexpr int64_t kPieceBytes = 4 << 20;

using Matrices = std::span<const Matrix* const>;

// The most bytes of experts in one buffer.
uint64_t expert_buffer_limit(const AdapterFacts& facts, const PlanOptions& options) {
  const uint64_t limit = std::min(facts.max_buffer_bytes, facts.max_binding_bytes);
  return options.gpu_buffer_bytes > 0 ? std::min(limit, uint64_t(options.gpu_buffer_bytes)) : limit;
}

uint64_t bytes_of_all(Matrices matrices) {
  uint64_t bytes = 0;
  for (const Matrix* matrix : matrices)
    bytes += uint64_t(matrix->rows) * gpu_row_bytes(matrix->stored(), matrix->columns);
  return bytes;
}

void check_alike(const std::string& label, const Matrix& first, const Matrix& other) {
  if (other.stored() == first.stored()) return;
  throw Error("KEXA_UNSUPPORTED", label + ": a layer's experts are stored as " +
                                      std::string(type_name(first.stored())) + " and " +
                                      std::string(type_name(other.stored())) + "; load with weights: 'bf16'");
}

// Divides experts into as few buffers as possible, and evenly.
int experts_per_part(const AdapterFacts& facts, uint64_t limit, const std::string& label, int experts,
                     uint64_t expert_bytes) {
  const int most = std::min(kMaxParts, int(facts.max_storage_buffers) - kBuffersBesideExperts);
  const uint64_t fitting = limit / expert_bytes;
  const uint64_t parts = fitting ? (experts + fitting - 1) / fitting : 0;
  if (!fitting || int64_t(parts) > most)
    throw Error("KEXA_UNSUPPORTED",
                label + ": " + std::to_string(experts) + " experts of " + std::to_string(expert_bytes) +
                    " bytes need " + (fitting ? std::to_string(parts) + " buffers" : "buffers that hold one at least") +
                    "; " + facts.device + " gives " + std::to_string(most) + " of at most " + std::to_string(limit) +
                    " bytes");
  return int((experts + parts - 1) / parts);
}

class Uploader {
 public:
  Uploader(Gpu& gpu, const Plan& plan, const LoadProgress& progress)
      : gpu_(gpu),
        expert_buffer_limit_(expert_buffer_limit(gpu.facts(), plan.options)),
        progress_(progress),
        has_dots_(plan.options.is_rounding),
        total_bytes_(plan.gpu.weight_bytes),
        upload_(gpu, uint64_t(total_bytes_),
                [this](uint64_t sent) { progress_(std::min(int64_t(sent), total_bytes_), total_bytes_); }),
        pool_(int(std::max(1u, std::thread::hardware_concurrency()))) {}

  GpuMatrix matrices(const std::string& label, const std::vector<const Matrix*>& from) {
    GpuMatrix to{.buffer = buffer(label, from), .type = from[0]->stored(), .rows = 0, .columns = from[0]->columns};
    for (const Matrix* matrix : from) to.rows += matrix->rows;
    return to;
  }
  GpuMatrix matrix(const std::string& label, const Matrix& from) { return matrices(label, {&from}); }

  // `from` has equally many matrices for each expert.
  GpuExperts experts(const std::string& label, const std::vector<const Matrix*>& from, int experts) {
    const size_t of_one = from.size() / experts;
    GpuExperts to;
    to.expert_bytes = int64_t(bytes_of_all(Matrices(from).first(of_one)));
    to.experts_per_part =
        experts_per_part(gpu_.facts(), expert_buffer_limit_, label, experts, uint64_t(to.expert_bytes));
    const size_t of_part = to.experts_per_part * of_one;
    for (size_t first = 0; first < from.size(); first += of_part)
      to.parts.push_back(buffer(label, Matrices(from).subspan(first, std::min(of_part, from.size() - first))));
    return to;
  }

  Buffer buffer(const std::string& label, Matrices from) {
    Buffer to = gpu_.create_buffer(label, bytes_of_all(from));
    if (!from[0]->data) {
      fill(to, from);
      return to;
    }
    upload_.begin(to);
    for (const Matrix* matrix : from)
      if (matrix->is_made() || is_quantized(matrix->type) || matrix->type == Type::kF8E4m3)
        add_made(*matrix, label);
      else
        add_plain(*matrix);
    upload_.end();
    return to;
  }

  Buffer vector(const std::string& label, const std::vector<float>& values, size_t stride = 0) {
    std::vector<float> row(std::max(stride, values.size()));
    std::copy(values.begin(), values.end(), row.begin());
    Buffer to = gpu_.create_buffer(label, row.size() * sizeof(float));
    upload_.begin(to);
    upload_.add(std::as_bytes(std::span(row)));
    upload_.end();
    return to;
  }
  void finish() {
    upload_.finish();
    // The total also counts buffers without weights.
    progress_(total_bytes_, total_bytes_);
  }

 private:
  // Makes up weights on the GPU, directly in their buffer, all matrices of one type at a time.
  void fill(const Buffer& to, Matrices from) {
    std::vector<Type> types;
    for (const Matrix* matrix : from)
      if (std::find(types.begin(), types.end(), matrix->type) == types.end()) types.push_back(matrix->type);
    for (Type type : types) fill(to, from, type);
    filled_bytes_ += int64_t(to.bytes);
    progress_(std::min(filled_bytes_, total_bytes_), total_bytes_);
  }

  void fill(const Buffer& to, Matrices from, Type type) {
    const int columns = from[0]->columns;
    std::vector<uint32_t> starts;
    uint32_t rows = 0, first_word = 0;
    for (const Matrix* matrix : from) {
      if (matrix->type == type) {
        starts.insert(starts.end(), {rows, matrix->seed, first_word, 0});
        rows += uint32_t(matrix->rows);
      }
      first_word += uint32_t(bytes_of_all(Matrices(&matrix, 1)) / 16);
    }
    const uint32_t row_words = uint32_t(gpu_row_words(type, columns)), words = rows * row_words;
    const SyntheticWord word = synthetic_word(type);
    Prelude prelude;
    prelude.set("MATRICES", uint32_t(starts.size() / 4))
        .set("WORDS", words)
        .set("ROW_WORDS", row_words)
        .set("COLUMNS", columns)
        .set("KEPT", word.kept)
        .set("GIVEN", word.given);
    uint32_t block_words = 0, blocks = 0, tail_bytes = 0;
    uint64_t tail = 0;
    uint32_t head_at = 0, head_kept = 0xffffffffu, head = 0;
    if (is_quantized(type)) {
      const QuantizedLayout& layout = quantized_layout(type);
      const SyntheticScale scale = synthetic_scale(type);
      block_words = uint32_t(layout.words), blocks = uint32_t(columns / facts_of(type).block_elements);
      tail_bytes = uint32_t(layout.tail_bytes), head_at = uint32_t(layout.head);
      if (tail_bytes == 0)
        head = uint32_t(scale.bits), head_kept = scale.bytes == 4 ? 0 : 0xffffffffu << (8 * scale.bytes);
      for (uint32_t at = 0; tail_bytes && at < 8; at += tail_bytes) tail |= scale.bits << (8 * at);
    }
    prelude.set("ELEMENTS", is_quantized(type) ? 1u : uint32_t(4 / element_bytes(type)))
        .set("BLOCK_WORDS", block_words)
        .set("BLOCKS", blocks)
        .set("HEAD_AT", head_at)
        .set("HEAD_KEPT", head_kept)
        .set("HEAD", head)
        .set("TAIL", uint32_t(tail))
        .set("TAIL_END", uint32_t(tail >> 32))
        .set("TAIL_BYTES", tail_bytes);
    constexpr bool kAccess[] = {false, true};
    Kernel kernel = gpu_.create_kernel("fill", prelude.text() + std::string(kernel_source("fill")), kAccess);
    Buffer table = gpu_.create_buffer("made-up matrices", starts.size() * sizeof(uint32_t));
    gpu_.write(table, 0, std::as_bytes(std::span(starts)));
    const Binding bindings[] = {read(table), write(to)};
    const uint32_t workgroups = (words + 255) / 256, along_x = std::min(workgroups, 32768u);
    gpu_.dispatch(kernel, gpu_.bind(kernel, bindings), along_x, (workgroups + along_x - 1) / along_x);
    gpu_.submit();
    gpu_.destroy(std::move(table));
  }

  // Adds the rows of the file with padding.
  void add_plain(const Matrix& matrix) {
    const size_t row_bytes = size_t(bytes_of(matrix.type, matrix.columns));
    const size_t gpu_bytes = size_t(gpu_row_bytes(matrix.type, matrix.columns));
    for (int row = 0; row < matrix.rows; ++row) upload_.add({matrix.row(row), row_bytes}, gpu_bytes - row_bytes);
  }

  // Adds rows that are converted or repacked, one piece at a time, so that no whole matrix is in memory.
  void add_made(const Matrix& matrix, const std::string& label) {
    const size_t gpu_bytes = size_t(gpu_row_bytes(matrix.stored(), matrix.columns));
    const int piece_rows = int(std::clamp<int64_t>(kPieceBytes / int64_t(gpu_bytes), 1, matrix.rows));
    made_.resize(std::max(made_.size(), piece_rows * gpu_bytes));
    for (int first = 0; first < matrix.rows; first += piece_rows) {
      const int rows = std::min(piece_rows, matrix.rows - first);
      make_gpu_rows(pool_, matrix, first, rows, label, has_dots_, made_.data());
      upload_.add(std::span(made_).first(size_t(rows) * gpu_bytes));
    }
  }

  Gpu& gpu_;
  uint64_t expert_buffer_limit_;
  const LoadProgress& progress_;
  bool has_dots_;
  int64_t total_bytes_, filled_bytes_ = 0;
  Upload upload_;
  ThreadPool pool_;
  std::vector<std::byte> made_;
};

}  // namespace

void check_types(const ModelDescription& description, const Weights& weights) {
  for (int i = 0; i < description.layer_count(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    const std::string name = "layer " + std::to_string(description.part.first_layer + i) + " ";
    for (const FfnWeights& expert : layer.experts) {
      check_alike(name + "experts' gate", layer.experts[0].gate, expert.gate);
      check_alike(name + "experts' up", layer.experts[0].up, expert.up);
      check_alike(name + "experts' down", layer.experts[0].down, expert.down);
    }
  }
}

GpuWeights::GpuWeights(Gpu& gpu, const ModelDescription& description, const Weights& weights, const Plan& plan,
                       const ExpertSlots* slots, const LoadProgress& progress) {
  Uploader upload(gpu, plan, progress);
  const size_t stride = padded(description.hidden_size);
  if (description.needs_embed()) embed = upload.matrix("embed", weights.embed);
  if (description.part.has_end) {
    if (!description.tied_head) head = upload.matrix("head", weights.head);
    norm = upload.vector("norm", weights.norm, stride);
  }
  for (int i = 0; i < description.layer_count(); ++i) {
    const LayerWeights& from = weights.layers[i];
    const std::string name = "layer " + std::to_string(description.part.first_layer + i) + " ";
    GpuLayer& to = layers.emplace_back();
    to.attention_norm = upload.vector(name + "attention norm", from.attention_norm, stride);
    to.ffn_norm = upload.vector(name + "ffn norm", from.ffn_norm, stride);
    std::vector<const Matrix*> run;
    for (const Matrix* matrix : {&from.q, &from.k, &from.v}) {
      if (!run.empty() && run[0]->stored() != matrix->stored()) {
        to.qkv.push_back(upload.matrices(name + "qkv", run));
        run.clear();
      }
      run.push_back(matrix);
    }
    to.qkv.push_back(upload.matrices(name + "qkv", run));
    if (description.qk_norm) {
      std::vector<float> head_norms = from.q_norm;
      head_norms.insert(head_norms.end(), from.k_norm.begin(), from.k_norm.end());
      to.head_norms = upload.vector(name + "head norms", head_norms);
    }
    to.o = upload.matrix(name + "o", from.o);
    const bool is_moe = description.layer(i).is_moe();
    const FfnWeights& shared = is_moe ? from.shared : from.dense;
    if (!is_moe || description.moe->shared_experts) {
      const Matrix* const input[] = {&shared.gate, &shared.up};
      to.shared_input = upload.buffer(name + "gate and up", input);
      to.shared_types = {shared.gate.stored(), shared.up.stored()};
      to.shared_output = upload.matrix(name + "down", shared.down);
    }
    if (!is_moe) continue;
    to.router = upload.matrix(name + "router", from.router);
    to.router_bias = upload.vector(name + "router bias", from.router_bias);
    const int experts = slots ? slots->slots() : description.moe->experts;
    if (experts == 0) continue;
    std::vector<const Matrix*> inputs, outputs;
    for (int e = 0; e < experts; ++e) {
      const FfnWeights& expert = from.experts[size_t(slots ? slots->in_slot(i, e) : e)];
      inputs.push_back(&expert.gate);
      inputs.push_back(&expert.up);
      outputs.push_back(&expert.down);
    }
    to.routed_input = upload.experts(name + "experts' gate and up", inputs, experts);
    to.routed_types = {inputs[0]->stored(), inputs[1]->stored()};
    to.routed_output = upload.experts(name + "experts' down", outputs, experts);
    to.routed_output_type = outputs[0]->stored();
  }
  if (description.mtp) {
    mtp_embedding_norm = upload.vector("mtp embedding norm", weights.mtp.embedding_norm, stride);
    mtp_hidden_norm = upload.vector("mtp hidden norm", weights.mtp.hidden_norm, stride);
    mtp_norm = upload.vector("mtp norm", weights.mtp.norm, stride);
    mtp_fc = upload.matrix("mtp fc", weights.mtp.fc);
  }
  upload.finish();
}

}  // namespace kexa
