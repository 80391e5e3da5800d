#include "kernels/activations.h"

#include <algorithm>

#include "kernels/attention_parts.h"
#include "model/rope.h"

namespace kexa {

constexpr int64_t kExpertOutputBytes = 128 << 20;
constexpr int kSmallestTile = 32;

int expert_output_slice(int hidden, int rows, int top_k) {
  const int64_t columns = kExpertOutputBytes / (int64_t(rows) * top_k * int64_t(sizeof(float)));
  return int(std::clamp<int64_t>(columns / 64 * 64, std::min(64, hidden), hidden));
}

Activations::Activations(const KernelSet& kernels, const ModelDescription& description, const Plan& plan) {
  const int64_t rows = plan.options.prefill_chunk, stride = padded(description.hidden);
  // Zeroed: zero weights times padding that was never written must be zero.
  const auto make = [&](const char* label, int64_t count, int bytes = 4) {
    return kernels.gpu().create_buffer(label, uint64_t(count) * bytes, true);
  };
  const int element = kernels.element_bytes();
  step = make("step state", kStepLogitRows(int(rows)) + rows);
  pages = make("page tables", int64_t(kSlots) * plan.kv.pages);
  const std::vector<float> turns = rope_table(description, plan.options.context_size);
  rope = make("rope", int64_t(turns.size()));
  kernels.gpu().write(rope, 0, std::as_bytes(std::span(turns)));
  residual = make("residual", rows * stride);
  branch = make("branch", rows * stride);
  hidden = make("hidden", rows * stride);
  if (description.mtp) {
    pair = make("mtp pair", rows * padded(2 * description.hidden));
    next_embedding = make("next embedding", rows * stride);
  }
  qkv = make("qkv", rows * padded(description.q_width() + 2 * description.kv_width()), element);
  attended = make("attended", rows * padded(description.q_width()), element);
  int64_t partial_floats = 0;
  for (int i = 0; i < description.layer_count(); ++i)
    partial_floats = std::max(partial_floats, attention_partial_floats(description, plan, i));
  partial = make("attention parts", partial_floats);
  int64_t width = 0;
  for (int i = 0; i < description.layer_count(); ++i) {
    const LayerDescription& layer = description.layer(i);
    width = std::max<int64_t>(width, layer.is_moe ? int64_t(description.moe->top_k) * padded(layer.ffn_width) +
                                                        padded(description.moe->shared_experts * layer.ffn_width)
                                                  : padded(layer.ffn_width));
  }
  inner = make("inner", rows * width, element);
  const int64_t top_k = description.moe ? description.moe->top_k : 1;
  experts = make("experts", rows * top_k);
  expert_weights = make("expert weights", rows * top_k);
  logits = make("logits", rows * description.vocab);
  if (description.moe) scored = make("router scores", rows * (description.moe->experts + 1));
  if (description.moe && rows > kSmallRows) {
    const int slice = expert_output_slice(description.hidden, int(rows), int(top_k));
    choices = make("choices by expert", rows * top_k);
    tiles = make("tiles of experts' rows", (rows * top_k / kSmallestTile + description.moe->experts) * 4);
    expert_outputs = make("experts' outputs", rows * top_k * slice);
  }
}

}  // namespace kexa
