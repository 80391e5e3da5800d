#include "kernels/gpu_weights.h"

#include <algorithm>

#include "base/error.h"
#include "gpu/upload.h"

namespace kexa {
namespace {

class Uploader {
 public:
  Uploader(Gpu& gpu, int64_t total_bytes, const LoadProgress& progress)
      : gpu_(gpu), upload_(gpu, uint64_t(total_bytes), [&progress, total_bytes](uint64_t sent) {
          progress(std::min(int64_t(sent), total_bytes), total_bytes);
        }) {}

  GpuMatrix matrices(const std::string& label, const std::vector<const Matrix*>& parts) {
    GpuMatrix to{.buffer = {}, .type = parts[0]->type, .rows = 0, .columns = parts[0]->columns};
    for (const Matrix* part : parts) {
      if (part->type != to.type || part->columns != to.columns)
        throw Error("KEXA_UNSUPPORTED", label + ": matrices that are read together are stored as " +
                                            type_name(to.type) + " and " + type_name(part->type) +
                                            "; load with weights: 'bf16'");
      to.rows += part->rows;
    }
    const size_t row_bytes = size_t(to.columns) * element_bytes(to.type);
    const size_t padded_bytes = size_t(padded(to.columns)) * element_bytes(to.type);
    to.buffer = gpu_.create_buffer(label, uint64_t(padded_bytes) * to.rows);
    upload_.begin(to.buffer);
    for (const Matrix* part : parts)
      for (int row = 0; row < part->rows; ++row) upload_.add({part->row(row), row_bytes}, padded_bytes - row_bytes);
    upload_.end();
    return to;
  }
  GpuMatrix matrix(const std::string& label, const Matrix& from) { return matrices(label, {&from}); }

  Buffer vector(const std::string& label, const std::vector<float>& values, size_t stride = 0) {
    std::vector<float> row(std::max(stride, values.size()));
    std::copy(values.begin(), values.end(), row.begin());
    Buffer to = gpu_.create_buffer(label, row.size() * sizeof(float));
    upload_.begin(to);
    upload_.add(std::as_bytes(std::span(row)));
    upload_.end();
    return to;
  }
  void finish() { upload_.finish(); }

 private:
  Gpu& gpu_;
  Upload upload_;
};

}  // namespace

GpuWeights::GpuWeights(Gpu& gpu, const ModelDescription& description, const Weights& weights,
                       const LoadProgress& progress) {
  int64_t total = 0;
  for (const TensorEntry& tensor : description.tensors) total += tensor.bytes;
  Uploader upload(gpu, total, progress);
  const size_t stride = padded(description.hidden);
  nothing = gpu.create_buffer("nothing", 16, true);
  embed = upload.matrix("embed", weights.embed);
  if (!description.has_tied_head) head = upload.matrix("head", weights.head);
  norm = upload.vector("norm", weights.norm, stride);
  for (int i = 0; i < description.layer_count(); ++i) {
    const LayerWeights& from = weights.layers[i];
    const std::string name = "layer " + std::to_string(i) + " ";
    GpuLayer& to = layers.emplace_back();
    to.attention_norm = upload.vector(name + "attention norm", from.attention_norm, stride);
    to.ffn_norm = upload.vector(name + "ffn norm", from.ffn_norm, stride);
    to.qkv = upload.matrices(name + "qkv", {&from.q, &from.k, &from.v});
    std::vector<float> head_norms = from.q_norm;
    head_norms.insert(head_norms.end(), from.k_norm.begin(), from.k_norm.end());
    to.head_norms = upload.vector(name + "head norms", head_norms);
    to.o = upload.matrix(name + "o", from.o);
    const bool is_moe = description.layer(i).is_moe;
    const FfnWeights& shared = is_moe ? from.shared : from.dense;
    if (!is_moe || description.moe->shared_experts) {
      to.shared_input = upload.matrices(name + "gate and up", {&shared.gate, &shared.up});
      to.shared_output = upload.matrix(name + "down", shared.down);
    }
    if (!is_moe) continue;
    to.router = upload.matrix(name + "router", from.router);
    to.router_bias = upload.vector(name + "router bias", from.router_bias);
    std::vector<const Matrix*> inputs, outputs;
    for (const FfnWeights& expert : from.experts) {
      inputs.push_back(&expert.gate);
      inputs.push_back(&expert.up);
      outputs.push_back(&expert.down);
    }
    to.routed_input = upload.matrices(name + "experts' gate and up", inputs);
    to.routed_output = upload.matrices(name + "experts' down", outputs);
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
