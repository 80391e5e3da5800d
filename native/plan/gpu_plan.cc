#include "plan/gpu_plan.h"

#include <algorithm>

#include "base/error.h"
#include "gpu/buffer_size.h"
#include "model/rope.h"
#include "plan/attention_parts.h"
#include "plan/plan.h"

namespace kexa {
namespace {

constexpr int64_t kExpertOutputBytes = 128 << 20;

}  // namespace

int64_t gpu_cache_bytes(const KvLayout& kv, int64_t rows) {
  return whole_buffer(rows * kv.kv_heads * gpu_cache_head_bytes(kv));
}

int64_t gpu_matrix_bytes(const TensorEntry& tensor, const PlanOptions& options) {
  const int columns = int(tensor.shape.back());
  const Type type = tensor.held.value_or(options.weight_type.value_or(tensor.type));
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) rows *= tensor.shape[i];
  return rows * gpu_row_bytes(type, columns);
}

namespace {

// Bytes of all weights: matrices with padded rows, and vectors as f32. Vectors of the hidden width are padded too.
int64_t weight_bytes(const ModelDescription& description, const PlanOptions& options) {
  int64_t bytes = 16;  // an empty buffer for kernels that read no weights
  int64_t routed_bytes = 0;
  for (const TensorEntry& tensor : description.tensors) {
    const int columns = int(tensor.shape.back());
    if (tensor.shape.size() == 1) {
      bytes += whole_buffer(int64_t(columns == description.hidden_size ? padded(columns) : columns) * 4);
      continue;
    }
    (tensor.is_routed_expert() ? routed_bytes : bytes) += gpu_matrix_bytes(tensor, options);
  }
  // The experts of a layer all have the same size.
  return bytes +
         (options.has_expert_slots() ? routed_bytes / description.moe->experts * options.expert_slots : routed_bytes);
}

}  // namespace

int expert_output_slice(int hidden, int rows, int top_k, bool has_slots) {
  if (has_slots) return hidden;
  const int64_t columns = kExpertOutputBytes / (int64_t(rows) * top_k * int64_t(sizeof(float)));
  return int(std::clamp<int64_t>(columns / 64 * 64, std::min(64, hidden), hidden));
}

std::string label_of_keys(int layer) { return "keys of layer " + std::to_string(layer); }
std::string label_of_values(int layer) { return "values of layer " + std::to_string(layer); }

int64_t GpuPlan::bytes_of(std::string_view label) const {
  for (const auto* buffers : {&work, &cache})
    for (const GpuBuffer& buffer : *buffers)
      if (buffer.label == label) return buffer.bytes;
  throw Error("KEXA_INTERNAL", "no buffer is planned as " + std::string(label));
}

GpuPlan plan_gpu(const ModelDescription& description, const PlanOptions& options, const KvLayout& kv) {
  GpuPlan plan;
  plan.weight_bytes = weight_bytes(description, options);
  const int64_t rows = options.prefill_chunk, stride = padded(description.hidden_size);
  const auto add = [&](const char* label, int64_t count, int64_t bytes = 4) {
    plan.work.push_back({label, whole_buffer(count * bytes)});
  };
  const int64_t element = element_bytes(options.gpu_elements);
  add("step state", step_places(options).words());
  add("page tables", int64_t(kv.slots) * kv.slot_pages);
  add("rope", rope_table_floats(description, options.context_size));
  add("residual", rows * stride);
  add("branch", rows * stride);
  if (description.part.has_end) add("hidden", rows * stride);
  if (description.mtp) {
    add("mtp pair", rows * padded(2 * description.hidden_size));
    add("next embedding", rows * stride);
  }
  add("qkv", rows * padded(description.q_width() + 2 * description.kv_width()), element);
  add("attended", rows * padded(description.q_width()), element);
  int64_t partial = 0, width = 0;
  for (int i = 0; i < description.layer_count(); ++i) {
    const LayerDescription& layer = description.layer(i);
    partial = std::max(partial, attention_partial_floats(description, options, i));
    width = std::max<int64_t>(width, layer.is_moe() ? int64_t(description.moe->top_k) * padded(layer.ffn_width) +
                                                          padded(description.moe->shared_experts * layer.ffn_width)
                                                    : padded(layer.ffn_width));
  }
  if (options.is_rounding) {
    // For the widest rows that a small step multiplies.
    const int64_t widest = std::max<int64_t>(widest_input(description), width);
    const int64_t blocks = options.decode_rows() * ((widest + 31) / 32);
    add("planes", blocks * 4, 16);
    add("scales of planes", blocks * 2);
  }
  add("attention parts", partial);
  add("inner", rows * width, element);
  const int64_t top_k = description.moe ? description.moe->top_k : 1;
  add("experts", rows * top_k);
  add("expert weights", rows * top_k);
  if (description.part.has_end) add("logits", int64_t{most_logit_rows(description, options)} * description.vocab_size);
  if (options.gpu_kernels == GpuKernels::kMatrices) add("row scales", rows);
  if (description.moe) {
    const int experts = description.moe->experts;
    add("router scores", rows * (experts + 1));
    if (options.has_expert_slots()) {
      add("expert slots", rows * top_k);
      if (options.has_host_experts()) {
        add("handover", rows * (top_k * 2 + stride));
        add("host experts' outputs", rows * stride);
      }
    }
    add("choices by expert", rows * top_k);
    add("tiles of experts' rows", (rows * top_k / kSmallestTile + experts) * 4);
    add("experts' outputs",
        rows * top_k * expert_output_slice(description.hidden_size, int(rows), int(top_k), options.has_expert_slots()));
  }
  if (description.part.has_end) {
    add("sampling", int64_t(kv.slots) * kSamplingWords);
    add("masks", int64_t(kv.slots + options.decode_rows()) * mask_words(description.vocab_size));
    add("logit bias", int64_t(kv.slots) * description.vocab_size);
    add("sequences", int64_t(kv.slots) * (kSequenceWords + (kMaxDrafts + 1) * kChoiceWords));
    add("token counts", int64_t(kv.slots) * description.vocab_size * 2);
    add("token history", int64_t(kv.slots) * options.context_size);
  }

  add(kCacheCopyLabel, gpu_cache_bytes(kv, kPageRows), 1);
  bool has_global = false;
  for (int i = 0; i < description.layer_count(); ++i) {
    const int64_t bytes = gpu_cache_bytes(kv, kv.cache_rows(i));
    plan.cache.push_back({label_of_keys(i), bytes});
    plan.cache.push_back({label_of_values(i), bytes});
    has_global |= !kv.ring_rows[i];
  }
  if (has_global && kv.grown_pages(0) < kv.pages)
    plan.work.push_back({kOutgrownLabel, gpu_cache_bytes(kv, int64_t((kv.pages + 1) / 2) * kPageRows)});
  return plan;
}

}  // namespace kexa
