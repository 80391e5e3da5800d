#include "kernels/ffn/ffn.h"

#include <algorithm>
#include <utility>

#include "kernels/matmul/matmul.h"
#include "kernels/source/weight_units.h"

namespace kexa {
namespace {

constexpr int kTileOutputs = 4;

// Declares sum_SIDE(), by which swiglu_input reads a buffer of gate and up, in parts. It is one pass over the rows if
// gate and up have the same type, and else two.
void sum_inputs(Prelude& prelude, const std::string& side, const std::string& buffer, const InputTypes& types,
                int columns, int parts) {
  // Emits WGSL that sums a tile's rows `first`, `first + step`, ... Gate and up rows alternate, so step 2 takes only
  // one of them. All loads come before the first use, outside any branch, so that the GPU can keep all of them in
  // flight.
  const auto sum_rows = [&](const std::string& name, Type type, int first, int step) {
    const std::string upper = in_capitals(name), array = "array<" + name + "_Unit, " + upper + "_ROWS>";
    prelude.weights(name + "_", type)
        .reads(name, type, columns, parts, name + "_", buffer)
        .set(upper + "_FIRST", first)
        .set(upper + "_STEP", step)
        .set(upper + "_ROWS", kTileOutputs * 2 / step)
        .over_parts(name, parts,
                    "load_" + name + "(part: u32, at: ptr<function, array<u32, PRODUCTS>>, unit: u32,\n" +
                        "units: ptr<function, " + array + ">)",
                    "for (var i = 0u; i < " + upper + "_ROWS; i++) { (*units)[i] = BUFFER_unit((*at)[" + upper +
                        "_FIRST + i * " + upper + "_STEP], unit); }")
        .include("swiglu_input_sums", name);
  };
  if (types.are_alike()) return sum_rows(side, types.gate, 0, 1);
  sum_rows(side + "_gate", types.gate, 0, 2);
  sum_rows(side + "_up", types.up, 1, 2);
  constexpr std::string_view both = R"(fn sum_@SIDE(thread: u32, row: u32, part: u32,
         weight_at: ptr<function, array<u32, PRODUCTS>>, sums: ptr<function, array<f32, SUMS>>) {
  sum_@SIDE_gate(thread, row, part, weight_at, sums);
  sum_@SIDE_up(thread, row, part, weight_at, sums);
}
)";
  prelude.declare(replaced(both, {{"@SIDE", side}}));
}

}  // namespace

Ffn::Ffn(KernelSet& kernels, const ModelDescription& description, const Plan& plan, int index,
         const GpuWeights& gpu_weights, const Activations& activations) {
  const LayerDescription& layer = description.layer(index);
  const GpuLayer& weights = gpu_weights.layers[index];
  const int hidden = description.hidden_size, stride = padded(hidden);
  const bool is_post_norm = description.is_post_norm();
  // Without any slot, the GPU computes no routed expert.
  const bool has_routed = layer.is_moe() && plan.options.expert_slots != 0;
  const bool has_slots = has_routed && plan.options.has_expert_slots();
  const int top_k = has_routed ? description.moe->top_k : 0;
  const int width = layer.is_moe() ? layer.ffn_width : 0;
  const int shared_width = layer.is_moe() ? description.moe->shared_experts * layer.ffn_width : layer.ffn_width;
  const int inner_stride = top_k * padded(width) + padded(shared_width);
  const Buffer& gain = is_post_norm ? gpu_weights.empty_buffer : weights.ffn_norm;
  const auto bound = [&](const Buffer& buffer) { return read(buffer.bytes ? buffer : gpu_weights.empty_buffer); };
  const auto bound_first = [&](const GpuExperts& experts) {
    return read(has_routed ? experts.parts[0] : gpu_weights.empty_buffer);
  };
  const Buffer& experts = has_slots ? activations.slots : activations.experts;

  const std::string op = layer.is_moe() ? "experts" : "dense_ffn";
  const auto normed_of = [&](const std::string& op, int units) {
    Prelude normed = kernels.prelude_of_sums(units, op);
    return normed.set("X_STRIDE", stride)
        .set("HAS_NORM", !is_post_norm)
        .set("NORM_SIZE", float(hidden))
        .set("EPSILON", description.norm_epsilon);
  };
  const auto route_of = [&](const std::string& op) {
    const MoeDescription& moe = *description.moe;
    Prelude route = normed_of(op, weight_units(weights.router.type, hidden).count);
    return route.weights(weights.router.type)
        .reads("weight", weights.router.type, hidden)
        .set("ROW_WORDS", weights.router.row_words())
        .set("TOP_K", moe.top_k)
        .set("EXPERTS", moe.experts)
        .set("GROUPS", moe.groups)
        .set("KEPT_GROUPS", moe.kept_groups)
        .set("ROUTED_SCALE", moe.scale)
        .set("IS_NORMALIZED", moe.normalize)
        .set("TILE_OUTPUTS", kTileOutputs);
  };
  if (layer.is_moe()) {
    Prelude prelude = route_of("route");
    prelude.set("HAS_LOGITS", false);
    route_ = kernels.make_rows_first(
        "route", prelude,
        {read(weights.router.buffer), read(weights.router_bias), read(activations.residual), read(gain),
         write(activations.scored), write(activations.experts), write(activations.expert_weights)},
        ceil_div(description.moe->experts, kTileOutputs));
  }
  const bool has_shared = weights.shared_input.bytes > 0;
  // If the layer has only one of the two, the kernel never reads the other, so any type will do.
  const InputTypes& routed_in = has_routed ? weights.routed_types : weights.shared_types;
  const InputTypes& shared_in = has_shared ? weights.shared_types : weights.routed_types;
  int most_units = 0;
  for (Type type : {routed_in.gate, routed_in.up, shared_in.gate, shared_in.up})
    most_units = std::max(most_units, weight_units(type, hidden).count);
  Prelude input = normed_of(op, most_units);
  set_slots(input, has_slots)
      .set("TOP_K", top_k)
      .set("ROUTED_GATE_ROW_WORDS", gpu_row_words(routed_in.gate, hidden))
      .set("ROUTED_UP_ROW_WORDS", gpu_row_words(routed_in.up, hidden))
      .set("SHARED_GATE_ROW_WORDS", gpu_row_words(shared_in.gate, hidden))
      .set("SHARED_UP_ROW_WORDS", gpu_row_words(shared_in.up, hidden))
      .set("INNER_STRIDE", inner_stride)
      .set("WIDTH", width)
      .set("WIDTH_STRIDE", padded(width))
      .set("SHARED_WIDTH", shared_width)
      .set("SWIGLU_LIMIT", layer.swiglu_limit)
      .set("TILE_OUTPUTS", kTileOutputs)
      .include("swiglu")
      .split("routed", weights.routed_input.part_count(), weights.routed_input.experts_per_part, 6);
  sum_inputs(input, "routed", "routed", routed_in, hidden, weights.routed_input.part_count());
  sum_inputs(input, "shared", "shared_weight", shared_in, hidden, 1);
  input_ =
      kernels.make_rows_first("swiglu_input", input,
                              weights.routed_input.with_parts({bound_first(weights.routed_input),
                                                               bound(weights.shared_input), read(activations.residual),
                                                               read(gain), read(experts), write(activations.inner)}),
                              top_k * ceil_div(width, kTileOutputs) + ceil_div(shared_width, kTileOutputs));

  const int output_parts = weights.routed_output.part_count();
  const Type routed_out = has_routed ? weights.routed_output_type : weights.shared_output.type;
  const Type shared_out = has_shared ? weights.shared_output.type : routed_out;
  Prelude output = kernels.prelude_of_sums(
      top_k * weight_units(routed_out, width).count + weight_units(shared_out, shared_width).count, op);
  set_slots(output, has_slots)
      .weights("routed_", routed_out)
      .weights("shared_weight_", shared_out)
      .reads("routed", routed_out, width, output_parts, "routed_")
      .reads("shared_weight", shared_out, shared_width, 1, "shared_weight_")
      .set("ROUTED_ROW_WORDS", gpu_row_words(routed_out, width))
      .set("SHARED_ROW_WORDS", gpu_row_words(shared_out, shared_width))
      .set("TOP_K", top_k)
      .set("INNER_STRIDE", inner_stride)
      .set("OUTPUTS", hidden)
      .set("Y_STRIDE", stride)
      .set("ADDS", !is_post_norm)
      .set("WIDTH_CHUNKS", padded(width) / 8)
      .set("TILE_OUTPUTS", kTileOutputs)
      .split("routed", output_parts, weights.routed_output.experts_per_part, 6)
      .over_parts("routed", output_parts,
                  "load_routed(part: u32, row_at: ptr<function, array<u32, LOADED_ROWS>>, first: u32, unit: u32,\n"
                  "               units: ptr<function, array<routed_Unit, LOADED_ROWS>>)",
                  "for (var i = 0u; i < LOADED_ROWS; i++) { (*units)[i] = BUFFER_unit((*row_at)[i] + first, unit); }");
  // A post-norm model normalises the branch before it is added, so the branch has a buffer of its own.
  output_ = kernels.make_rows_first(
      "swiglu_output", output,
      weights.routed_output.with_parts({bound_first(weights.routed_output), bound(weights.shared_output.buffer),
                                        read(activations.inner), read(experts), read(activations.expert_weights),
                                        write(is_post_norm ? activations.branch : activations.residual)}),
      ceil_div(hidden, kTileOutputs));
  if (is_post_norm)
    norm_ = make_rms_norm(kernels, weights.ffn_norm, activations.branch, activations.residual, hidden,
                          description.norm_epsilon, stride, 0, true);
  for_many_rows_ = FfnTiled(kernels, description, plan, index, gpu_weights, activations,
                            layer.is_moe() ? route_of("route large") : Prelude());
}

void Ffn::run_route(const KernelSet& kernels, const StepRows& rows) const {
  if (rows.is_large)
    for_many_rows_.run_route(kernels, rows.count);
  else
    kernels.run(route_, rows.count);
}

void Ffn::run_wave(const KernelSet& kernels, const StepRows& rows, bool is_last) const {
  if (rows.is_large) {
    for_many_rows_.run_wave(kernels, rows.count, is_last);
  } else {
    kernels.run(input_, rows.count);
    kernels.run(output_, rows.count);
  }
}

void Ffn::finish(const KernelSet& kernels, const StepRows& rows) const {
  if (norm_) kernels.run(norm_, rows.count);
}

}  // namespace kexa
