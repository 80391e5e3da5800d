#include "kernels/ffn/ffn_sources.h"

#include "kernels/source/weight_units.h"

namespace kexa {

FfnSources::FfnSources(KernelSet& kernels, const ModelDescription& description, const Plan& plan, int layer,
                       const GpuWeights& gpu_weights, const Activations& activations)
    : kernels(kernels), description(description), weights(gpu_weights.layers[layer]), activations(activations) {
  const LayerDescription& described = description.layer(layer);
  is_moe = described.is_moe();
  is_post_norm = description.is_post_norm();
  experts = is_moe ? description.moe->experts : 0;
  placed = is_moe && plan.options.has_expert_slots() ? plan.options.expert_slots : experts;
  has_slots = placed > 0 && plan.options.has_expert_slots();
  top_k = placed ? description.moe->top_k : 0;
  width = is_moe ? described.ffn_width : 0;
  shared_width = is_moe ? description.moe->shared_experts * described.ffn_width : described.ffn_width;
  hidden = description.hidden_size;
  stride = padded(hidden);
  shared_offset = top_k * padded(width);
  inner_stride = shared_offset + padded(shared_width);
  swiglu_limit = described.swiglu_limit;
}

Prelude FfnSources::prelude_of_input(int units, std::string_view op) const {
  Prelude prelude = kernels.prelude_of_sums(units, op);
  prelude.set("X_STRIDE", stride)
      .set("HAS_NORM", !is_post_norm)
      .set("NORM_SIZE", float(hidden))
      .set("EPSILON", description.norm_epsilon);
  return prelude;
}

Prelude FfnSources::prelude_of_route(std::string_view op) const {
  const MoeDescription& moe = *description.moe;
  const GpuMatrix& router = weights.router;
  Prelude prelude = prelude_of_input(weight_units(router.type, hidden).count, op);
  prelude.weights(router.type)
      .reads("weight", router.type, hidden)
      .set("ROW_WORDS", router.row_words())
      .set("TOP_K", moe.top_k)
      .set("EXPERTS", moe.experts)
      .set("GROUPS", moe.groups)
      .set("KEPT_GROUPS", moe.kept_groups)
      .set("ROUTED_SCALE", moe.scale)
      .set("IS_NORMALIZED", moe.normalize)
      .set("TILE_OUTPUTS", kTileOutputs);
  return prelude;
}

Prelude& set_slots(Prelude& prelude, bool has_slots) {
  const auto test = [&](const char* name, uint32_t value) {
    prelude.declare("fn " + std::string(name) + "(expert: u32) -> bool { return " +
                    (has_slots ? "expert == " + std::to_string(value) + "u" : "false") + "; }\n");
  };
  test("is_on_host", ExpertSlots::kOnHost);
  test("is_in_other_wave", ExpertSlots::kOtherWave);
  return prelude;
}

}  // namespace kexa
