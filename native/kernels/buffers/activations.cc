#include "kernels/buffers/activations.h"

#include "model/rope.h"

namespace kexa {

Activations::Activations(const KernelSet& kernels, const ModelDescription& description, const Plan& plan) {
  // The buffers are zeroed, because a zero weight times padding that was never written must be zero.
  const auto make = [&](const char* label) {
    return kernels.gpu().create_buffer(label, plan.gpu.bytes_of(label), true);
  };
  step = make("step state");
  pages = make("page tables");
  rope = make("rope");
  const std::vector<float> turns = rope_table(description, plan.options.context_size);
  kernels.gpu().write(rope, 0, std::as_bytes(std::span(turns)));
  residual = make("residual");
  branch = make("branch");
  if (description.part.has_end) hidden = make("hidden");
  if (description.mtp) {
    pair = make("mtp pair");
    next_embedding = make("next embedding");
  }
  qkv = make("qkv");
  attended = make("attended");
  if (kernels.choice().has_dots) {
    planes = make("planes");
    plane_scales = make("scales of planes");
  }
  partial = make("attention parts");
  inner = make("inner");
  experts = make("experts");
  expert_weights = make("expert weights");
  if (description.part.has_end) logits = make("logits");
  if (kernels.choice().matrices) row_scales = make("row scales");
  if (!description.moe) return;
  scored = make("router scores");
  if (plan.options.has_expert_slots()) {
    slots = make("expert slots");
    if (plan.options.has_host_experts()) {
      handover = make("handover");
      host_outputs = make("host experts' outputs");
    }
  }
  choices = make("choices by expert");
  tiles = make("tiles of experts' rows");
  expert_outputs = make("experts' outputs");
}

}  // namespace kexa
