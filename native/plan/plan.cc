#include "plan/plan.h"

#include <algorithm>

#include "plan/split.h"
#include "quant/rounded.h"

namespace kexa {
namespace {

ScratchSizes scratch_sizes(const ModelDescription& description, const PlanOptions& options, const KvLayout& kv) {
  const int64_t rows = options.prefill_chunk;
  int64_t ffn_width = 0;   // floats of one row's inner activations
  int64_t ffn_blocks = 0;  // the same activations in rounded blocks
  for (int i = 0; i < description.layer_count(); ++i) {
    const LayerDescription& layer = description.layer(i);
    ffn_width = std::max<int64_t>(
        ffn_width, layer.is_moe()
                       ? int64_t(layer.ffn_width) * (description.moe->top_k + description.moe->shared_experts)
                       : layer.ffn_width);
    ffn_blocks = std::max(ffn_blocks, rounded_inner_blocks(description, i));
  }
  const int64_t experts = description.moe ? description.moe->experts : 0,
                top_k = description.moe ? description.moe->top_k : 0;
  return {
      // The residual, the normed row, a branch and the final norm; MTP adds its pair.
      .hidden = rows * description.hidden_size * (description.mtp ? 6 : 4),
      .q = rows * description.q_width(),
      .kv = rows * description.kv_width() * 2,
      .attention = rows * description.q_width(),
      .ffn = rows * ffn_width,
      .router = rows * experts,
      .routes = rows * top_k * 2,
      .logits = description.part.has_end ? int64_t{most_logit_rows(description, options)} * description.vocab_size : 0,
      .rounded = options.is_rounding ? rows * (rounded_blocks(widest_input(description)) + ffn_blocks) *
                                           int64_t(sizeof(RoundedBlock) / 4)
                                     : 0,
      // Floats of one thread in attention. For each query head of a KV head: a score for every key of a block, the
      // query, the output and its sum (both in f64), and the running maximum. Then the sum that one block adds to an
      // output, and one head on its way into the cache.
      .per_thread = int64_t(description.heads / description.kv_heads) * (kKeyBlock + 3 * kv.head_elements() + 3) +
                    2 * kv.head_elements(),
  };
}

bool is_stored_anew(const TensorEntry& tensor, const PlanOptions& options) {
  if (tensor.packed) return true;
  const std::optional<Type> type = tensor.held ? tensor.held : options.weight_type;
  return type && *type != tensor.type && tensor.shape.size() > 1;
}

// Bytes of a tensor in main memory, in the file's type or converted.
int64_t stored_bytes(const TensorEntry& tensor, const PlanOptions& options) {
  if (!is_stored_anew(tensor, options)) return tensor.bytes;
  const int64_t elements = tensor.bytes / facts_of(tensor.type).block_bytes * facts_of(tensor.type).block_elements;
  return bytes_of(tensor.held.value_or(options.weight_type.value_or(tensor.type)), elements);
}

void add_expert_bytes(const ModelDescription& description, const PlanOptions& options, MemoryPlan& memory) {
  int64_t gpu_bytes = 0;
  for (const TensorEntry& tensor : description.tensors) {
    if (!tensor.is_routed_expert()) continue;
    memory.host_expert_bytes += stored_bytes(tensor, options);
    if (!is_stored_anew(tensor, options) && !description.is_synthetic()) memory.mapped_expert_bytes += tensor.bytes;
    gpu_bytes += gpu_matrix_bytes(tensor, options);
  }
  memory.expert_slot_bytes = gpu_bytes / description.moe->experts * options.expert_slots;
}

// The most main memory that a kept prefix takes: see PrefixCache::Kept. 0 if every layer is global, because such a
// cache can go back to any position.
int64_t kept_bytes(const ModelDescription& description, const PlanOptions& options, const KvLayout& kv) {
  const bool has_gpu =
      !options.adapter.empty() || std::any_of(options.parts.begin(), options.parts.end(),
                                              [](const PartOptions& part) { return !part.adapter.empty(); });
  const int64_t row_bytes = has_gpu ? std::max(kv.row_bytes(), kv.kv_heads * gpu_cache_head_bytes(kv)) : kv.row_bytes();
  int64_t bytes = 0;
  for (int i = 0; i < description.layer_count(); ++i)
    if (const int window = description.layer(i).window)
      bytes += 2 * row_bytes * std::min(options.context_size, kept_rows(window));
  return bytes == 0 ? 0 : bytes + (options.context_size + kv.slot_pages) * int64_t(sizeof(int));
}

int pages_of(int tokens) { return int((int64_t{tokens} + kPageRows - 1) / kPageRows); }

}  // namespace

int widest_input(const ModelDescription& description) {
  return std::max(description.hidden_size * (description.mtp ? 2 : 1), description.q_width());
}

int64_t rounded_inner_blocks(const ModelDescription& description, int layer) {
  const LayerDescription& switches = description.layer(layer);
  const int width = switches.ffn_width;
  if (!switches.is_moe()) return rounded_blocks(width);
  const MoeDescription& moe = *description.moe;
  return int64_t{moe.top_k} * rounded_blocks(width) +
         (moe.shared_experts ? rounded_blocks(moe.shared_experts * width) : 0);
}

Plan make_plan(const ModelDescription& description, const PlanOptions& options) {
  Plan plan{.options = options, .kv = {}, .scratch = {}, .gpu = {}, .memory = {}, .parts = {}};
  KvLayout& kv = plan.kv;
  MemoryPlan& memory = plan.memory;

  const auto cache_share = [&](int layer) -> int64_t& {
    return layer == description.mtp_layer()  ? memory.mtp_cache_bytes
           : description.layer(layer).window ? memory.sliding_cache_bytes
                                             : memory.global_cache_bytes;
  };

  kv.type = options.cache_type;
  kv.kv_heads = description.kv_heads;
  kv.head_dim = description.head_dim;
  plan.scratch = scratch_sizes(description, options, kv);
  kv.slots = options.slots;
  kv.slot_pages = pages_of(options.context_size);
  kv.pages = std::max(kv.slot_pages, pages_of(options.cache_tokens));
  kv.start_pages = std::max(1, options.cache_start_rows / kPageRows);
  const int slack = std::max(options.prefill_chunk, kMaxDrafts + 1) - 1;
  for (int i = 0; i < description.layer_count(); ++i) {
    const int window = description.layer(i).window;
    kv.ring_rows.push_back(window ? window + slack : 0);
    if (!options.parts.empty()) continue;
    const int64_t pair_bytes = 2 * (options.adapter.empty() ? kv.row_bytes() : kv.kv_heads * gpu_cache_head_bytes(kv));
    const int64_t bytes = pair_bytes * kv.cache_rows(i);
    if (!window) memory.cache_bytes_per_token += pair_bytes;
    cache_share(i) += bytes;
  }

  if (options.prefix_cache_bytes < 0)
    plan.options.prefix_cache_bytes = options.slots * kept_bytes(description, options, kv);
  memory.prefix_cache_bytes = plan.options.prefix_cache_bytes;
  memory.is_host = options.adapter.empty() && options.parts.empty();

  if (!options.parts.empty()) {
    for (const Part& part : make_parts(description, options)) {
      const ModelDescription& share = part.description;
      plan.parts.push_back(
          {.first_layer = share.part.first_layer, .layers = int(share.layers.size()), .memory = part.plan.memory});
      memory += part.plan.memory;
    }
    return plan;
  }
  if (!options.adapter.empty()) {
    plan.gpu = plan_gpu(description, options, kv);
    memory.weight_bytes = plan.gpu.weight_bytes;
    memory.global_cache_bytes = memory.sliding_cache_bytes = memory.mtp_cache_bytes = 0;
    for (int i = 0; i < description.layer_count(); ++i)
      cache_share(i) += plan.gpu.bytes_of(label_of_keys(i)) + plan.gpu.bytes_of(label_of_values(i));
    for (const GpuBuffer& buffer : plan.gpu.work) {
      memory.scratch_bytes += buffer.bytes;
      if (buffer.label == kOutgrownLabel) memory.growth_bytes = buffer.bytes;
    }
    for (int i = 0; i < description.layer_count(); ++i)
      memory.cache_at_load_bytes +=
          2 * gpu_cache_bytes(kv, kv.ring_rows[i] ? kv.cache_rows(i) : int64_t(kv.grown_pages(0)) * kPageRows);
    if (options.has_expert_slots()) add_expert_bytes(description, options, memory);
    return plan;
  }
  for (const TensorEntry& tensor : description.tensors) {
    memory.weight_bytes += stored_bytes(tensor, options);
    if (is_stored_anew(tensor, options)) continue;
    if (!description.is_synthetic()) memory.mapped_weight_bytes += tensor.bytes;
    memory.weight_bytes += tensor.scale_bytes();
  }
  memory.scratch_bytes = plan.scratch.total_floats(options.threads) * int64_t(sizeof(float));
  return plan;
}

}  // namespace kexa
