#include "kernels/ffn/ffn.h"

#include <algorithm>
#include <utility>

#include "kernels/matmul/matmul.h"
#include "kernels/source/weight_units.h"

namespace kexa {
namespace {

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

// The buffer, or the empty one where the layer has none.
Binding read_if_any(const FfnSources& from, const Buffer& buffer) {
  return read(buffer.bytes ? buffer : from.kernels.empty_buffer());
}

// The first part of the experts' matrices, or the empty buffer where the GPU has no expert.
Binding read_first_part(const FfnSources& from, const GpuExperts& experts) {
  return read(from.placed ? experts.parts[0] : from.kernels.empty_buffer());
}

// The gain of the norm before a branch; the empty buffer on post-norm models.
const Buffer& gain(const FfnSources& from) {
  return from.is_post_norm ? from.kernels.empty_buffer() : from.weights.ffn_norm;
}

std::string op_of(const FfnSources& from) { return from.is_moe ? "experts" : "dense_ffn"; }

BoundKernel make_route(const FfnSources& from) {
  const Activations& activations = from.activations;
  Prelude prelude = from.prelude_of_route("route");
  prelude.set("HAS_LOGITS", false);
  return from.kernels.make_rows_first(
      "route", prelude,
      {read(from.weights.router.buffer), read(from.weights.router_bias), read(activations.residual), read(gain(from)),
       write(activations.scored), write(activations.experts), write(activations.expert_weights)},
      ceil_div(from.experts, kTileOutputs));
}

// Gate, up and SwiGLU of the chosen experts and of the shared one.
BoundKernel make_input(const FfnSources& from) {
  const GpuLayer& weights = from.weights;
  const Activations& activations = from.activations;
  const int hidden = from.hidden;
  // If the layer has only one of the two, the kernel never reads the other, so any type will do.
  const InputTypes& routed = from.placed ? weights.routed_types : weights.shared_types;
  const InputTypes& shared = from.has_shared() ? weights.shared_types : weights.routed_types;
  int most_units = 0;
  for (Type type : {routed.gate, routed.up, shared.gate, shared.up})
    most_units = std::max(most_units, weight_units(type, hidden).count);
  const int parts = weights.routed_input.part_count();
  Prelude prelude = from.prelude_of_input(most_units, op_of(from));
  set_slots(prelude, from.has_slots)
      .set("TOP_K", from.top_k)
      .set("ROUTED_GATE_ROW_WORDS", gpu_row_words(routed.gate, hidden))
      .set("ROUTED_UP_ROW_WORDS", gpu_row_words(routed.up, hidden))
      .set("SHARED_GATE_ROW_WORDS", gpu_row_words(shared.gate, hidden))
      .set("SHARED_UP_ROW_WORDS", gpu_row_words(shared.up, hidden))
      .set("INNER_STRIDE", from.inner_stride)
      .set("WIDTH", from.width)
      .set("WIDTH_STRIDE", padded(from.width))
      .set("SHARED_WIDTH", from.shared_width)
      .set("SWIGLU_LIMIT", from.swiglu_limit)
      .set("TILE_OUTPUTS", kTileOutputs)
      .include("swiglu")
      .split("routed", parts, weights.routed_input.experts_per_part, 6);
  sum_inputs(prelude, "routed", "routed", routed, hidden, parts);
  sum_inputs(prelude, "shared", "shared_weight", shared, hidden, 1);
  return from.kernels.make_rows_first(
      "swiglu_input", prelude,
      weights.routed_input.with_parts({read_first_part(from, weights.routed_input),
                                       read_if_any(from, weights.shared_input), read(activations.residual),
                                       read(gain(from)), read(from.chosen()), write(activations.inner)}),
      from.top_k * ceil_div(from.width, kTileOutputs) + ceil_div(from.shared_width, kTileOutputs));
}

// Down of the same experts, weighted and summed. A post-norm model normalises the branch before it is added, so the
// branch has a buffer of its own.
BoundKernel make_output(const FfnSources& from) {
  const GpuLayer& weights = from.weights;
  const Activations& activations = from.activations;
  const int width = from.width, shared_width = from.shared_width, parts = weights.routed_output.part_count();
  const Type routed = from.placed ? weights.routed_output_type : weights.shared_output.type;
  const Type shared = from.has_shared() ? weights.shared_output.type : routed;
  Prelude prelude = from.kernels.prelude_of_sums(
      from.top_k * weight_units(routed, width).count + weight_units(shared, shared_width).count, op_of(from));
  set_slots(prelude, from.has_slots)
      .weights("routed_", routed)
      .weights("shared_weight_", shared)
      .reads("routed", routed, width, parts, "routed_")
      .reads("shared_weight", shared, shared_width, 1, "shared_weight_")
      .set("ROUTED_ROW_WORDS", gpu_row_words(routed, width))
      .set("SHARED_ROW_WORDS", gpu_row_words(shared, shared_width))
      .set("TOP_K", from.top_k)
      .set("INNER_STRIDE", from.inner_stride)
      .set("OUTPUTS", from.hidden)
      .set("Y_STRIDE", from.stride)
      .set("ADDS", !from.is_post_norm)
      .set("WIDTH_CHUNKS", padded(width) / 8)
      .set("TILE_OUTPUTS", kTileOutputs)
      .split("routed", parts, weights.routed_output.experts_per_part, 6)
      .over_parts("routed", parts,
                  "load_routed(part: u32, row_at: ptr<function, array<u32, LOADED_ROWS>>, first: u32, unit: u32,\n"
                  "               units: ptr<function, array<routed_Unit, LOADED_ROWS>>)",
                  "for (var i = 0u; i < LOADED_ROWS; i++) { (*units)[i] = BUFFER_unit((*row_at)[i] + first, unit); }");
  return from.kernels.make_rows_first(
      "swiglu_output", prelude,
      weights.routed_output.with_parts({read_first_part(from, weights.routed_output),
                                        read_if_any(from, weights.shared_output.buffer), read(activations.inner),
                                        read(from.chosen()), read(activations.expert_weights),
                                        write(from.is_post_norm ? activations.branch : activations.residual)}),
      ceil_div(from.hidden, kTileOutputs));
}

}  // namespace

Ffn::Ffn(const FfnSources& from) {
  if (from.is_moe) route_ = make_route(from);
  input_ = make_input(from);
  output_ = make_output(from);
  if (from.is_post_norm)
    norm_ = make_rms_norm(from.kernels, {.gain = from.weights.ffn_norm,
                                         .x = from.activations.branch,
                                         .y = from.activations.residual,
                                         .size = from.hidden,
                                         .epsilon = from.description.norm_epsilon,
                                         .adds = true});
  for_many_rows_ = FfnTiled(from);
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
